"""The arithmetic of performance, on arrays: no files, no frames, no defaults about an account.

Fractions are fractions (0.01 = 1 %), money is in quote, times are int64 nanoseconds UTC, NaN means "not computable".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.rows import NS_PER_DAY

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

DAYS_PER_YEAR = 365
ENOUGH_DAYS = 20
#: What is left of an order after float sums of its fills, as a fraction of it, counts as nothing.
QTY_NOISE = 1e-9
#: A spread or a fall of returns below this share of 1 + their size is what float arithmetic leaves of none: a return is
#: a quotient of two rounded amounts less 1, so its error is some units of the last place of 1, however small it is.
RETURN_NOISE = 64.0 * float(np.finfo(np.float64).eps)
EULER_GAMMA = 0.5772156649015329
NORMAL = NormalDist()


def day_span(times_ns: Times, start_ns: int | None = None) -> tuple[int, int]:
    """First and last UTC day (days since 1970) touched by rows stamped at their close.

    Stamps are closes, so a day is (00:00, 24:00]: the bar that closes at midnight belongs to the day that ends there.
    `start_ns` is an opening time, whose day is [00:00, 24:00).
    """
    first = (int(times_ns[0]) - 1) // NS_PER_DAY
    if start_ns is not None:
        first = min(first, start_ns // NS_PER_DAY)
    return first, (int(times_ns[-1]) - 1) // NS_PER_DAY


def daily_returns(times_ns: Times, equity: Floats, initial: float, start_ns: int | None = None) -> Floats:
    """Return of each UTC day: E_d / E_{d-1} - 1, where E before the first day is the initial capital.

    E_d is the last equity at or before the end of day d; a day without rows returns 0, the last day counts even where
    it is partial. Days are (00:00, 24:00], see `day_span`.

    Args:
        times_ns: ascending; of equal times the last row holds.
        equity: quote.
        initial: quote.
        start_ns: start of the run, where that lies on an earlier day than the first row.

    Returns:
        Fractions, one per day; empty without rows; NaN where the day began with nothing or less.
    """
    if len(times_ns) == 0:
        return np.empty(0)
    first, last = day_span(times_ns, start_ns)
    ends = np.arange(first + 1, last + 2, dtype=np.int64) * NS_PER_DAY
    at = np.searchsorted(times_ns, ends, side="right") - 1
    close = np.where(at >= 0, equity[at], initial)
    before = np.concatenate(([initial], close[:-1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0, close / before - 1, np.nan)


def is_noise(spread: float, size: float) -> bool:
    """Whether a spread of returns of this size is no more than rounding leaves of equal ones."""
    return abs(spread) <= RETURN_NOISE * (1.0 + abs(size))


def sharpe(returns: Floats, periods: float = DAYS_PER_YEAR) -> float:
    """Sharpe ratio: mean(r) / std(r, ddof=1) * sqrt(periods), without a riskless rate.

    Dimensionless, annual. NaN with fewer than two returns or no spread. Source: Sharpe 1994; crypto has 365 days.
    """
    if len(returns) < 2:
        return math.nan
    mean, spread = float(np.mean(returns)), float(np.std(returns, ddof=1))
    return math.nan if is_noise(spread, mean) else mean / spread * math.sqrt(periods)


def sharpe_is_insufficient(days: int) -> bool:
    """True when fewer than 20 days carry the ratio: it is then printed with a warning, not hidden."""
    return days < ENOUGH_DAYS


def sortino(returns: Floats, periods: float = DAYS_PER_YEAR, target: float = 0.0) -> float:
    """Sortino ratio: mean(r - target) / sqrt(mean(min(r - target, 0)^2)) * sqrt(periods); the mean is over all returns.

    Dimensionless, annual. NaN with fewer than two returns or without a return below target.
    Source: Sortino and Price 1994.
    """
    if len(returns) < 2:
        return math.nan
    excess = returns - target
    downside = math.sqrt(float(np.mean(np.square(np.minimum(excess, 0.0)))))
    mean = float(np.mean(excess))
    return math.nan if is_noise(downside, 0.0) else mean / downside * math.sqrt(periods)


def annual_growth(returns: Floats, periods: float = DAYS_PER_YEAR) -> float:
    """Compound annual growth: prod(1 + r)^(periods / n) - 1, fraction.

    NaN without returns; inf where a short run explodes; -1 when all is lost.
    """
    if len(returns) == 0:
        return math.nan
    with np.errstate(over="ignore"):
        growth = np.prod(1 + returns)
        return -1.0 if growth <= 0 else float(np.power(growth, periods / len(returns)) - 1)


def calmar(growth: float, drawdown: float) -> float:
    """Calmar ratio: annual growth / |maximum drawdown|. NaN without a drawdown. Source: Young 1991."""
    return growth / abs(drawdown) if drawdown < 0 and not is_noise(drawdown, 0.0) else math.nan


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest falls of an equity curve that begins with the initial capital; NaN without a capital."""

    max_fraction: float  # min(E / cummax(E) - 1), <= 0
    absolute: float  # greatest fall from a peak, quote, >= 0
    account: float  # that fall / its peak, fraction, >= 0
    high: float  # profit at that peak, quote
    low: float  # profit at its bottom, quote
    start_ns: int | None  # of that peak; None = no fall
    end_ns: int | None


def drawdown(times_ns: Times, equity: Floats, initial: float) -> Drawdown:
    """Measure the deepest relative and the deepest absolute fall; the initial capital is the first point."""
    if not initial > 0:
        return Drawdown(math.nan, math.nan, math.nan, math.nan, math.nan, None, None)
    level = np.concatenate(([initial], equity))
    peak = np.maximum.accumulate(level)
    fall = peak - level
    low = int(np.argmax(fall))
    if fall[low] <= RETURN_NOISE * peak[low]:
        return Drawdown(0.0, 0.0, 0.0, 0.0, 0.0, None, None)
    high = int(np.argmax(level[: low + 1]))
    return Drawdown(
        max_fraction=float(np.min(level / peak)) - 1,
        absolute=float(fall[low]),
        account=float(fall[low] / peak[low]),
        high=float(level[high]) - initial,
        low=float(level[low]) - initial,
        start_ns=int(times_ns[max(high - 1, 0)]),
        end_ns=int(times_ns[low - 1]),
    )


def moments(returns: Floats) -> tuple[float, float, float]:
    """Sharpe ratio per period (ddof=1), skewness, and kurtosis (3 for a normal law) of returns; NaN as in `sharpe`."""
    ratio = sharpe(returns, 1)
    if math.isnan(ratio):
        return math.nan, math.nan, math.nan
    away = returns - np.mean(returns)
    square = away * away
    variance = float(np.mean(square))
    return ratio, float(np.mean(square * away)) / variance**1.5, float(np.mean(square * square)) / (variance * variance)


def _spread(ratio: float, skew: float, kurtosis: float) -> float:
    """Variance of the Sharpe estimate times (n - 1): 1 - g3 SR + (g4 - 1)/4 SR^2."""
    return 1 - skew * ratio + (kurtosis - 1) / 4 * ratio * ratio


def probabilistic_sharpe(ratio: float, n: int, skew: float, kurtosis: float, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds a benchmark, given the observed one.

    Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - g3 SR + (g4 - 1)/4 SR^2)).

    Args:
        ratio: observed, per period (not annual).
        n: returns behind it.
        skew: g3.
        kurtosis: g4, not the excess.
        benchmark: SR*, per period.

    Returns:
        0-1; NaN with fewer than two returns. Source: Bailey and Lopez de Prado 2012.
    """
    spread = _spread(ratio, skew, kurtosis)
    if n < 2 or not spread > 0 or math.isnan(benchmark):
        return math.nan
    return NORMAL.cdf((ratio - benchmark) * math.sqrt((n - 1) / spread))


def expected_max_sharpe(trials: float, variance: float) -> float:
    """Sharpe ratio that the best of N worthless trials is expected to show.

    sqrt(V) ((1 - g) Z^-1(1 - 1/N) + g Z^-1(1 - 1/(N e))), g = 0.5772; 0 for N = 1.

    Args:
        trials: N, effective number of independent trials, >= 1.
        variance: V of the trials' Sharpe ratios, per period.

    Raises:
        ValueError: `trials` under 1.
    """
    if not trials >= 1:
        raise ValueError(f"expected at least 1 trial, got {trials}: count every parameter set that was looked at")
    if trials == 1:
        return 0.0
    best = (1 - EULER_GAMMA) * NORMAL.inv_cdf(1 - 1 / trials) + EULER_GAMMA * NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * best


def deflated_sharpe(ratio: float, n: int, skew: float, kurtosis: float, trials: float, variance: float) -> float:
    """Probabilistic Sharpe ratio against the best of N worthless trials; N = 1 gives the probabilistic one.

    Arguments as in `probabilistic_sharpe` and `expected_max_sharpe`; 0-1; NaN where the variance is and N > 1.
    Source: Bailey and Lopez de Prado 2014.
    """
    return probabilistic_sharpe(ratio, n, skew, kurtosis, expected_max_sharpe(trials, variance))


def min_track_record(
    ratio: float, skew: float, kurtosis: float, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Returns needed before the ratio stands above the benchmark: 1 + (1 - g3 SR + (g4 - 1)/4 SR^2)(Z / (SR - SR*))^2.

    Periods; inf where the ratio is not above the benchmark, NaN where it is. Source: Bailey and Lopez de Prado 2012.
    """
    if math.isnan(ratio):
        return math.nan
    if ratio <= benchmark:
        return math.inf
    return 1 + _spread(ratio, skew, kurtosis) * (NORMAL.inv_cdf(confidence) / (ratio - benchmark)) ** 2


def win_share(pnl: Floats) -> float:
    """Wins / (wins + losses); break-even trades count in neither. Fraction; NaN without a win or a loss."""
    wins = int(np.count_nonzero(pnl > 0))
    decided = wins + int(np.count_nonzero(pnl < 0))
    return wins / decided if decided else math.nan


def wilson_interval(wins: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided Wilson score interval of a share, fractions; NaN without observations. Source: Wilson 1927.

    Observations may be weights; one whose label shares its time with others counts less than one.
    """
    if n == 0:
        return math.nan, math.nan
    z = NORMAL.inv_cdf(0.5 + confidence / 2)
    share, stretch = wins / n, z * z / n
    middle = (share + stretch / 2) / (1 + stretch)
    half = z / (1 + stretch) * math.sqrt(share * (1 - share) / n + stretch / (4 * n))
    return middle - half, middle + half


def profit_over_loss(pnl: Floats) -> float:
    """Profit factor: sum of wins / |sum of losses|. inf without a loss, NaN without either."""
    won, lost = float(np.sum(pnl[pnl > 0])), float(-np.sum(pnl[pnl < 0]))
    if lost <= RETURN_NOISE * won:
        return math.inf if won > 0 else math.nan
    return won / lost


def mean_or_nan(values: Floats) -> float:
    """Mean; NaN, without a warning, of nothing."""
    return float(np.mean(values)) if len(values) else math.nan


def ratio_or_nan(part: float, whole: float) -> float:
    """Quotient part / whole; NaN where the whole is 0."""
    return part / whole if whole != 0 else math.nan


def longest_runs(pnl: Floats) -> tuple[int, int]:
    """Most wins and most losses in a row; a break-even trade ends a run."""
    sign = np.sign(pnl)
    if len(sign) == 0:
        return 0, 0
    starts = np.flatnonzero(np.concatenate(([True], sign[1:] != sign[:-1])))
    lengths = np.diff(np.append(starts, len(sign)))
    kinds = sign[starts]
    return int(np.max(lengths[kinds > 0], initial=0)), int(np.max(lengths[kinds < 0], initial=0))


def covered_time(starts_ns: Times, ends_ns: Times) -> int:
    """Time covered by at least one of the intervals, ns."""
    if len(starts_ns) == 0:
        return 0
    order = np.argsort(starts_ns, kind="stable")
    starts, ends = starts_ns[order], np.maximum.accumulate(ends_ns[order])
    fresh = np.maximum(starts[1:], ends[:-1])
    return int(ends[0] - starts[0] + np.sum(np.maximum(ends[1:] - fresh, 0)))


def groups(names: NDArray[Any] | Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The distinct names in order of name, and each row's index among them."""
    listed = np.asarray(names).tolist()
    distinct = tuple(sorted(set(listed)))
    index = {name: i for i, name in enumerate(distinct)}
    return distinct, np.fromiter(map(index.__getitem__, listed), np.int64, len(listed))
