"""How long momentum lasts: the decay of what a signal foretells, half-lives, and whether returns trend or revert.

Each answers one number, or one curve, about a whole sample: for research, never a column that a decision reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.market.columns import Floats, Prices, closes_of, one_column, require, rows_ahead, variance_of_sum
from utils.errors import DataError
from utils.rows import ROUNDING

#: Pairs of signal and return under which a correlation is not worth its name.
FEWEST_PAIRS = 30
#: Lengths of a decay that are tried, per horizon.
TAUS = 200
#: MacKinnon 2010, 5 %, with constant: critical value of the Dickey-Fuller t over 1, 1/n, 1/n^2, 1/n^3.
DICKEY_FULLER = (-2.86154, -2.8903, -4.234, -40.04)


@dataclass(frozen=True, slots=True, eq=False)
class MomentumDecay:
    """How the return that a signal foretells grows with the horizon, and how fast it is used up."""

    horizons: NDArray[np.int64]  # bars
    ic: Floats  # Spearman's rank correlation of signal and return
    error: Floats  # standard error of `ic`, Newey-West with as many lags as the horizon has bars
    edge_bps: Floats  # ic times the return's standard deviation: return foretold by a signal one deviation strong
    n: NDArray[np.int64]  # pairs
    limit_bps: float  # A: what the edge grows to
    tau: float  # bars
    half_life: float  # bars in which half of it has come


def momentum_decay(
    signal: Sequence[float] | Floats, closes: Prices, horizons: Sequence[int] | int = (1, 2, 3, 5, 8, 13, 21, 34, 55)
) -> MomentumDecay:
    """How long a signal goes on foretelling returns: its information curve, and the half-life fitted to it.

    Formula: IC(h) = Spearman(signal[t], ln(C[t+h] / C[t])); edge(h) = IC(h) sd(return over h), to which
    A (1 - exp(-h / tau)) is fitted by least squares weighted with the errors; half-life = tau ln 2. The edge and not
    the IC is fitted: a return's deviation grows with sqrt(h), so the IC of a decaying signal rises and falls again,
    and its half-life would come out far too short.
    Unit: bars; edge in bps.
    NaN: a horizon with fewer than 30 pairs, or with a constant side; limit, tau and half-life where under three
    horizons have an IC, none is three errors from 0, or tau leaves [first horizon / 3, 3 last horizon].
    Source: Grinold and Kahn, Active Portfolio Management, 2000; Newey and West 1987.

    Args:
        signal: one value a bar, known at its close; NaN = none.
        closes: DataFrame or bar rows with `close`, or closes of the same bars, oldest first; quote. Mids where there
            are any: trades bounce between bid and ask, which looks like reversal.
        horizons: bars, ascending.

    Raises:
        ConfigError: horizons do not ascend from 1 or more.
        DataError: the columns differ in length, or prices are not finite and above 0.
    """
    spans = np.atleast_1d(np.array(horizons, dtype=np.int64))
    require(
        len(spans) > 0 and int(spans[0]) >= 1 and bool((np.diff(spans) > 0).all()),
        "horizons",
        "ascending numbers of bars, 1 or more",
        horizons,
    )
    said = one_column(signal, "signal")
    prices = closes_of(closes)
    if len(said) != len(prices):
        raise DataError(f"expected a signal for each of {len(prices)} prices, got {len(said)}; pass NaN for none")
    logs = 1e4 * np.log(prices)
    measured = [_information(said, rows_ahead(_change(logs, h), h), h) for h in map(int, spans)]
    ic, error, spread, n = (np.array(column) for column in zip(*measured, strict=True))
    edge = ic * spread
    limit, tau = fit_decay(spans, edge, error * spread)
    return MomentumDecay(spans, ic, error, edge, n, limit, tau, tau * math.log(2.0))


def fit_decay(horizons: NDArray[Any], edge: Floats, error: Floats) -> tuple[float, float]:
    """What an edge grows to and how fast: the curve nearest to a measured one.

    Formula: least squares of A (1 - exp(-h / tau)) weighted with the errors; tau first on a grid, then to its minimum.
    Unit: A that of edge and error, tau that of the horizons.
    NaN: both where under three horizons are known, none is three errors from 0, or tau leaves [first horizon / 3,
    3 last horizon].
    Source: Grinold and Kahn, Active Portfolio Management, 2000.

    Args:
        horizons: ascending.
        edge: at each; NaN = not known.
        error: its standard error.
    """
    from scipy.optimize import minimize_scalar

    seen = np.isfinite(edge) & (error > 0.0)
    if seen.sum() < 3 or not (np.abs(edge[seen]) > 3.0 * error[seen]).any():
        return math.nan, math.nan
    h = horizons[seen].astype(np.float64)
    weight = 1.0 / error[seen]
    y = weight * edge[seen]

    def best(log_tau: float) -> tuple[float, float]:
        shape = weight * -np.expm1(-h / math.exp(log_tau))
        limit = float(shape @ y / (shape @ shape))
        missed = y - limit * shape
        return float(missed @ missed), limit

    grid = np.linspace(math.log(h[0] / 3.0), math.log(3.0 * h[-1]), TAUS)
    lowest = int(np.argmin([best(log_tau)[0] for log_tau in grid]))
    if lowest in {0, TAUS - 1}:
        return math.nan, math.nan
    found = minimize_scalar(lambda log_tau: best(log_tau)[0], bounds=grid[[lowest - 1, lowest + 1]], method="bounded")
    return best(found.x)[1], math.exp(found.x)


def ar1_half_life(x: Sequence[float] | Floats) -> float:
    """In how many bars a deviation from the mean halves, by a first-order autoregression.

    Formula: -ln 2 / ln(phi), x[t] = a + phi x[t-1] + e by least squares.
    Unit: bars; phi = 0.9 gives 6.58.
    NaN: phi outside (0, 1), x constant or shorter than 3.
    Source: own; phi is biased down in short samples (Kendall 1954), and below 0 for prices that bounce: use the mid.

    Raises:
        DataError: not one column of numbers.
    """
    return _half_life(_autoregression(one_column(x, "x"))[0])


def ou_half_life(x: Sequence[float] | Floats, *, tested: bool = True) -> float:
    """In how many bars an Ornstein-Uhlenbeck process comes half the way back, given that it comes back at all.

    Formula: -ln 2 / ln(1 + b), x[t] - x[t-1] = a + b x[t-1] + e by least squares.
    Unit: bars.
    NaN: b outside (-1, 0), x constant or shorter than 4, or, unless `tested` is False, a unit root that Dickey and
    Fuller's t of b does not reject at 5 %: a random walk of any length has some b below 0.
    Source: Dickey and Fuller 1979; critical values: MacKinnon, Critical Values for Cointegration Tests, 2010.

    Raises:
        DataError: not one column of numbers.
    """
    phi, t, n = _autoregression(one_column(x, "x"))
    if tested and (math.isnan(t) or t >= sum(value / n**power for power, value in enumerate(DICKEY_FULLER))):
        return math.nan
    return _half_life(phi)


@dataclass(frozen=True, slots=True)
class VarianceRatio:
    """Variance of sums of q returns over q times the variance of one."""

    ratio: float  # 1 = random walk, above = trending, below = reverting
    z: float  # robust to changing variance; standard normal under a random walk
    p_value: float  # two-sided


def variance_ratio(returns: Sequence[float] | Floats, q: int) -> VarianceRatio:
    """Do returns trend or revert over q bars, or is the price a random walk whose volatility may change?

    Formula: VR = s2(q) / s2(1) from overlapping sums, without bias; z* = sqrt(n) (VR - 1) / sqrt(theta),
    theta = sum over k < q of (2 (q - k) / q)^2 delta_k, delta_k = n sum e[t]^2 e[t-k]^2 / (sum e[t]^2)^2.
    Unit: ratio; z* in standard deviations.
    NaN: no more than q returns, or all equal; z* where theta is 0. NaN returns are refused, since sums would span them.
    Source: Lo and MacKinlay, Stock Market Prices Do Not Follow Random Walks, 1988.

    Raises:
        ConfigError: q under 2.
        DataError: a return is NaN or infinite.
    """
    require(q >= 2, "q", "2 bars or more", q)
    r = one_column(returns, "returns")
    if np.isnan(r).any():
        row = int(np.argmax(np.isnan(r)))
        raise DataError(f"returns, row {row}: expected a number, seen nan; cut the column there")
    n = len(r)
    if n <= q or not np.ptp(r) > 0.0:
        return VarianceRatio(math.nan, math.nan, math.nan)
    off = r - r.mean()
    squares = off * off
    total = squares.sum()
    path = np.concatenate(([0.0], np.cumsum(off)))
    sums = path[q:] - path[:-q]
    ratio = float(sums @ sums / (q * (n - q + 1) * (1.0 - q / n)) / (total / (n - 1)))
    deltas = [n * float(squares[k:] @ squares[:-k]) / total**2 for k in range(1, q)]
    theta = sum((2.0 * (q - k) / q) ** 2 * delta for k, delta in enumerate(deltas, 1))
    z = math.sqrt(n / theta) * (ratio - 1.0) if theta > 0.0 else math.nan
    return VarianceRatio(ratio, z, math.erfc(abs(z) / math.sqrt(2.0)))


def _change(values: Floats, n: int) -> Floats:
    """Each value less the one `n` rows before; NaN where there is none."""
    change = np.full(len(values), math.nan)
    change[n:] = values[n:] - values[: max(0, len(values) - n)]
    return change


def _information(signal: Floats, ahead: Floats, horizon: int) -> tuple[float, float, float, int]:
    """Rank correlation, its error, the return's deviation and the number of pairs."""
    from scipy.stats import rankdata

    both = np.isfinite(signal) & np.isfinite(ahead)
    n = int(both.sum())
    if n < FEWEST_PAIRS or np.ptp(signal[both]) == 0.0 or np.ptp(ahead[both]) == 0.0:
        return math.nan, math.nan, math.nan, n
    x, y = (_standardised(rankdata(side[both])) for side in (signal, ahead))
    ic = float(x @ y) / n
    # rows without a pair keep their place in time, with nothing to say
    scores = np.zeros(len(signal))
    scores[both] = x * (y - ic * x)
    return ic, math.sqrt(variance_of_sum(scores, horizon)) / n, float(ahead[both].std()), n


def _standardised(values: Floats) -> Floats:
    standard: Floats = (values - values.mean()) / values.std()
    return standard


def _autoregression(x: Floats) -> tuple[float, float, int]:
    """Slope of x[t] on x[t-1], t of its distance from 1, and the number of pairs; pairs with a NaN are left out."""
    both = np.isfinite(x[1:]) & np.isfinite(x[:-1])
    before, after = x[:-1][both], x[1:][both]
    n = len(before)
    if n < 2 or not np.ptp(before) > 0.0:
        return math.nan, math.nan, n
    off = before - before.mean()
    room = float(off @ off)
    phi = float(off @ after) / room
    missed = after - after.mean() - phi * off
    error = math.sqrt(float(missed @ missed) / (n - 2) / room) if n > 2 else math.nan
    distance = phi - 1.0
    return phi, math.copysign(math.inf, distance) if error == 0.0 else distance / error, n


def _half_life(phi: float) -> float:
    # of a straight line phi is 1, and computed a last bit beside it
    return -math.log(2.0) / math.log(phi) if ROUNDING < phi < 1.0 - ROUNDING else math.nan
