"""Confidence without independence: bootstraps that draw runs of neighbours, not single values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from utils.errors import ConfigError
from utils.figures.arithmetic import NORMAL, Floats, is_noise

DRAWS = 1000
SEED = 7
#: Mean length of a run of trades, and resamples, of the stationary bootstrap.
BLOCK, STATIONARY_DRAWS = 10.0, 5000
#: Blocks below which an interval says nothing.
FEWEST_BLOCKS = 4.0
#: Numbers that one step of the stationary bootstrap holds at once.
CELLS = 1 << 20
#: Values below which nothing is known of their memory.
FEWEST_VALUES = 30


def block_sums(columns: Floats, length: int, draws: int = DRAWS, seed: int = SEED) -> Floats:
    """Column sums of resampled series made of blocks of neighbours, so that what hangs together stays together.

    Formula: ceil(n / L) blocks of L rows, their starts drawn evenly; means, ratios and correlations are functions of
    such sums. Unit: that of the columns. NaN: where a row has one. Source: Kuensch 1989.

    Args:
        columns: n observations in order of time, k quantities beside each other.
        length: L, at least as long as neighbours depend on each other; at most n is used.
        draws: resampled series.
        seed: of the dice.

    Returns:
        draws x k.
    """
    n = len(columns)
    length = max(1, min(length, n))
    starts = np.random.default_rng(seed).integers(0, n - length + 1, (draws, math.ceil(n / length)))
    running = np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(columns, axis=0)])
    blocks = running[length:] - running[:-length]
    return np.array([blocks[drawn].sum(axis=0) for drawn in starts])  # one by one: all at once may be gigabytes


def interval(samples: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """The middle `confidence` of bootstrap samples; NaN, NaN without a finite one."""
    known = samples[np.isfinite(samples)]
    if len(known) == 0:
        return math.nan, math.nan
    low, high = np.quantile(known, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return float(low), float(high)


def effective_blocks(columns: Floats, length: float, statistic: Callable[[Floats], Floats]) -> float:
    """How many blocks of equal weight tell as much of a statistic's spread as these do.

    Formula: m = n / L; u = what leaving out each run of L neighbours does to the statistic, less its mean;
    B = m (pi / 2) mean(|u|)^2 / mean(u^2), at most m: of normal numbers m, and where only a share q of the blocks holds
    any, q m. Where blocks differ in size alone it is Kish's number for weights. Unit: blocks. NaN: the statistic is not
    known without one of them, or the series is shorter than two. Source: Kish 1965; Carter, Schnepel, Steigerwald 2017.

    Args:
        columns: n observations in order of time, k quantities beside each other.
        length: L.
        statistic: of column sums, one row each.
    """
    n = len(columns)
    whole = max(1, min(round(length), n))
    if n < 2 * whole:
        return math.nan
    running = np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(columns, axis=0)])
    step = max(1, whole // 8)  # closer ones tell the same
    without = statistic(running[-1] - (running[whole:] - running[:-whole])[::step])
    if not np.isfinite(without).all():
        return math.nan
    moved = without - without.mean()
    squares = float(np.mean(moved * moved))
    if is_noise(math.sqrt(squares), float(without.mean())):
        return n / whole
    return n / whole * min(1.0, math.pi / 2.0 * float(np.mean(np.abs(moved))) ** 2 / squares)


def widened(blocks: float, tail: float) -> float:
    """How much further from its middle a bootstrap's quantile must lie because the blocks are few; 1 for very many.

    Formula: sqrt(B / (B - 1)) t(tail; B - 1) / z(tail): the samples know neither that their own middle was fitted nor
    that their spread is uncertain. Unit: none. NaN: fewer than 4 blocks. Source: Hesterberg 2015.

    Args:
        blocks: B, `effective_blocks`.
        tail: what is left out on the side of the quantile, fraction up to 1/2.
    """
    if not blocks >= FEWEST_BLOCKS:
        return math.nan
    bias = math.sqrt(blocks / (blocks - 1.0))
    if tail >= 0.5:
        return bias
    from scipy.special import stdtrit

    return bias * float(stdtrit(blocks - 1.0, tail)) / NORMAL.inv_cdf(tail)


def statistic_interval(
    columns: Floats,
    statistic: Callable[[Floats], Floats],
    length: int,
    draws: int = DRAWS,
    seed: int = SEED,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Interval of a statistic of column sums by moving blocks, as wide as the number of blocks demands.

    Formula: the middle of `block_sums`' statistics, both ends moved away from the statistic itself by `widened` for
    `effective_blocks`. How often the lower end of a 95 % interval lay above the truth (nominal 2.5 %), in 2000 series
    without an edge, as moving blocks alone have it and with the widening:

        holding: signals in spells, moves over 5 bars, blocks of 20, 300 bars     5.3 %  2.5 %
        the same, a signal on 5 % of the bars                                    15.0    2.7
        search: 24 stretches of trades, blocks of 4                               7.1    2.2
        the same, 100 stretches, a signal on 5 % of the bars                      5.3    2.3
        claims: 5 days of trades that share the luck of their day                 7.2    3.2
        figures: 10 trades, blocks of 2                                           7.5    2.5
        figures: 20 trades that remember, blocks of 3                             8.2    3.3

    Not mended: what hangs together further than L apart, and few numbers that are gains but for rare large losses.
    Unit: that of the statistic. NaN: fewer than 4 `effective_blocks`, or where the statistic is.

    Args:
        columns: n observations in order of time, k quantities beside each other.
        statistic: of column sums, one row each.
        length: L.
        draws: resampled series.
        seed: of the dice.
        confidence: of both sides together.
    """
    if len(columns) == 0:
        return math.nan, math.nan
    middle = float(statistic(columns.sum(axis=0)[None])[0])
    factor = widened(effective_blocks(columns, length, statistic), (1.0 - confidence) / 2.0)
    if not math.isfinite(middle * factor):
        return math.nan, math.nan
    low, high = interval(statistic(block_sums(columns, length, draws, seed)), confidence)
    return middle + factor * (low - middle), middle + factor * (high - middle)


def mean_interval(
    totals: Floats, counts: Floats, length: int, draws: int = DRAWS, seed: int = SEED
) -> tuple[float, float]:
    """95 % interval of sum(totals) / sum(counts) over consecutive buckets, as `statistic_interval`."""
    return statistic_interval(np.column_stack([totals, counts]), quotient, length, draws, seed)


def quotient(sums: Floats) -> Floats:
    """First column over the second; NaN where that is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = sums[:, 0] / sums[:, 1]
    return np.where(np.isfinite(found), found, np.nan)


def block_length(n: int) -> int:
    """Neighbours that stay together where nothing else is known of how they depend: the cube root of n, at least 1.

    Source: Hall, Horowitz, Jing 1995.
    """
    return max(1, round(math.cbrt(n)))


def stationary_means(values: Floats, block: float = BLOCK, draws: int = STATIONARY_DRAWS, seed: int = SEED) -> Floats:
    """Means of resampled series made of runs of neighbours whose lengths are random, the series being a ring.

    Formula: runs of geometric length, mean L, with starts drawn evenly from all n, the last one cut, n values in all.
    What is drawn is as stationary as the series, and each value is drawn equally often, those at the ends too. Time
    grows with draws x n / L, memory does not grow with the draws. Unit: that of the values. NaN: where one is, or there
    are none. Source: Politis, Romano 1994.

    Args:
        values: n in order of time, or n x k, whose columns stay paired.
        block: L, 1 or more; 1 draws each value by itself.
        draws: resampled series.
        seed: of the dice.

    Returns:
        As many means as draws, or draws x k.

    Raises:
        ConfigError: a block under 1, or no draw.
    """
    if not 1.0 <= block < math.inf:
        raise ConfigError(f"block: expected a mean length of 1 or more, saw {block!r}; correct it")
    if draws < 1:
        raise ConfigError(f"draws: expected 1 or more, saw {draws!r}; correct it")
    columns = values[:, None] if values.ndim == 1 else values
    n, k = columns.shape
    shape = (draws, *values.shape[1:])
    if n == 0 or not np.isfinite(columns).all():
        return np.full(shape, np.nan)
    running = np.concatenate([np.zeros((1, k)), np.cumsum(np.concatenate([columns, columns]), axis=0)])
    runs = math.ceil(n / block + 5.0 * math.sqrt(n / block)) + 1  # enough, but for one draw in many
    dice = np.random.default_rng(seed)
    found = np.empty((draws, k))
    at_once = max(1, CELLS // runs)
    for first in range(0, draws, at_once):
        rows = min(at_once, draws - first)
        ends = np.zeros((rows, 1), np.int64)
        while ends[:, -1].min() < n:
            lengths = np.minimum(n, dice.geometric(1.0 / block, (rows, runs)))
            ends = np.concatenate([ends, ends[:, -1:] + np.cumsum(lengths, axis=1)], axis=1)
        lengths = np.diff(np.minimum(ends, n))
        starts = dice.integers(0, n, lengths.shape)
        found[first : first + rows] = (running[starts + lengths] - running[starts]).sum(axis=1) / n
    return found.reshape(shape)


def chance_positive(
    values: Floats,
    block: float = BLOCK,
    draws: int = STATIONARY_DRAWS,
    seed: int = SEED,
    statistic: Callable[[Floats], Floats] | None = None,
) -> float:
    """How surely a mean is above 0, fraction: the share of resampled means that are, less what few blocks cost.

    Formula: T(z(share) / sqrt(B / (B - 1)); B - 1) with B = `effective_blocks`, as `widened` moves a bound; by many
    blocks the share itself. NaN: fewer than 4 of them, or as `stationary_means`.

    Args:
        values: n, or n x k.
        block: mean length of a run.
        draws: resampled series.
        seed: of the dice.
        statistic: of the k means, one row each, such as `skill`; None = the mean itself.

    Raises:
        ConfigError: as `stationary_means`.
    """
    drawn, _, blocks = _drawn(values, block, draws, seed, statistic)
    share = float(np.mean(drawn > 0.0))
    if not (blocks >= FEWEST_BLOCKS and np.isfinite(drawn).all()):
        return math.nan
    if share in {0.0, 1.0}:
        return share
    from scipy.special import stdtr

    return float(stdtr(blocks - 1.0, NORMAL.inv_cdf(share) * math.sqrt((blocks - 1.0) / blocks)))


def lower_bound(
    values: Floats,
    confidence: float = 0.95,
    block: float = BLOCK,
    draws: int = STATIONARY_DRAWS,
    seed: int = SEED,
    statistic: Callable[[Floats], Floats] | None = None,
) -> float:
    """What a mean is above with this confidence, one-sided.

    Formula: the 1 - confidence quantile of resampled means, moved away from the mean by `widened`. Unit: that of the
    values, or of the statistic. Of paired values take their differences; of a ratio both columns, beside each other.
    NaN: fewer than 4 `effective_blocks`, or as `stationary_means`.

    Args:
        values: n, or n x k.
        confidence: above 0, below 1.
        block: mean length of a run.
        draws: resampled series.
        seed: of the dice.
        statistic: of the k means, one row each, such as `skill`; None = the mean itself.

    Raises:
        ConfigError: a confidence that is none; as `stationary_means`.
    """
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"confidence: expected a number above 0 and below 1, saw {confidence!r}; correct it")
    drawn, middle, blocks = _drawn(values, block, draws, seed, statistic)
    if not np.isfinite(drawn).all():
        return math.nan
    factor = widened(blocks, min(confidence, 1.0 - confidence))
    return middle + factor * (float(np.quantile(drawn, 1.0 - confidence)) - middle)


def skill(means: Floats) -> Floats:
    """What a loss saves of another's: 1 - first column / second, such as a Brier skill; NaN where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(means[:, 1] != 0.0, 1.0 - means[:, 0] / means[:, 1], np.nan)


def _drawn(
    values: Floats, block: float, draws: int, seed: int, statistic: Callable[[Floats], Floats] | None
) -> tuple[Floats, float, float]:
    """The resampled statistics, the statistic itself, and the effective number of blocks."""
    asked = _first if statistic is None else statistic
    columns = values[:, None] if values.ndim == 1 else values
    drawn = asked(stationary_means(columns, block, draws, seed))
    if len(values) == 0 or not np.isfinite(drawn).all():
        return drawn, math.nan, math.nan
    ones = np.column_stack([columns, np.ones(len(columns))])
    blocks = effective_blocks(ones, block, lambda sums: asked(sums[:, :-1] / sums[:, -1:]))
    return drawn, float(asked(columns.mean(axis=0)[None])[0]), blocks


def _first(means: Floats) -> Floats:
    return means[:, 0]


def optimal_block(values: Floats) -> float:
    """The mean length of runs that suits a series best: the longer its memory, the longer.

    Formula: (2 g^2 / d)^(1/3) n^(1/3) with g = sum lambda(k/m) |k| R(k), d = 2 (sum lambda(k/m) R(k))^2, R the
    autocovariance and lambda flat up to 1/2, then falling to 0 at 1; m is twice the lag after which five correlations
    are within 2 sqrt(log10 n / n). At most min(3 sqrt n, n / 3), at least 1. Unit: values. NaN: fewer than 40 values,
    one that is NaN, or none that differ. Source: Politis, White 2004; Patton, Politis, White 2009.
    """
    n = len(values)
    away = values - np.mean(values) if n else values
    if n < FEWEST_VALUES or not np.isfinite(away).all() or not np.ptp(values) > 0.0:
        return math.nan
    near = max(5, int(math.log10(n)))
    most = math.ceil(math.sqrt(n)) + near
    lags = range(most + 1)
    covariance = np.array([away[k:] @ away[: n - k] for k in lags])
    scale = np.array([math.sqrt((away[k + 1 :] @ away[k + 1 :]) * (away[: -k - 1] @ away[: -k - 1])) for k in lags])
    small = np.abs(covariance) < 2.0 * math.sqrt(math.log10(n) / n) * scale
    quiet = [k for k in range(most + 1 - near) if small[k : k + near].all()]
    m = min(2 * max(quiet[0], 1), most) if quiet else most
    k = np.arange(-m, m + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - np.abs(k) / m)) * covariance[np.abs(k)] / n
    g, d = float(np.abs(k) @ window), 2.0 * float(window.sum()) ** 2
    longest = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    return max(1.0, min(float(longest), math.cbrt(2.0 * g * g / d * n) if d > 0.0 else math.inf))
