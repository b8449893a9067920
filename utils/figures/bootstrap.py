"""Confidence without independence: bootstraps that draw runs of neighbours, not single values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from utils.errors import ConfigError
from utils.figures.arithmetic import Floats

DRAWS = 1000
SEED = 7
#: Mean length of a run of trades, and resamples, of the stationary bootstrap.
BLOCK, STATIONARY_DRAWS = 10.0, 5000
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


def mean_interval(
    totals: Floats, counts: Floats, length: int, draws: int = DRAWS, seed: int = SEED
) -> tuple[float, float]:
    """95 % interval of sum(totals) / sum(counts) over consecutive buckets; NaN without a count."""
    if len(totals) == 0 or not np.sum(counts) > 0:
        return math.nan, math.nan
    sums = block_sums(np.column_stack([totals, counts]), length, draws, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        return interval(sums[:, 0] / sums[:, 1])


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
    """How surely a mean is above 0: the share of resampled means that are, fraction; NaN as `stationary_means`.

    Args:
        values: n, or n x k.
        block: mean length of a run.
        draws: resampled series.
        seed: of the dice.
        statistic: of the k means, one row each, such as `skill`; None = the mean itself.
    """
    drawn = _drawn(values, block, draws, seed, statistic)
    return float(np.mean(drawn > 0.0)) if np.isfinite(drawn).all() else math.nan


def lower_bound(
    values: Floats,
    confidence: float = 0.95,
    block: float = BLOCK,
    draws: int = STATIONARY_DRAWS,
    seed: int = SEED,
    statistic: Callable[[Floats], Floats] | None = None,
) -> float:
    """What a mean is above with this confidence: the quantile of resampled means; NaN as `stationary_means`.

    Formula: one-sided, so the 1 - confidence quantile. Unit: that of the values, or of the statistic. Of paired values
    take their differences; of a ratio both columns, beside each other.

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
    drawn = _drawn(values, block, draws, seed, statistic)
    return float(np.quantile(drawn, 1.0 - confidence)) if np.isfinite(drawn).all() else math.nan


def skill(means: Floats) -> Floats:
    """What a loss saves of another's: 1 - first column / second, such as a Brier skill; NaN where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(means[:, 1] != 0.0, 1.0 - means[:, 0] / means[:, 1], np.nan)


def _drawn(values: Floats, block: float, draws: int, seed: int, statistic: Callable[[Floats], Floats] | None) -> Floats:
    means = stationary_means(values, block, draws, seed)
    return means if statistic is None else statistic(means)


def optimal_block(values: Floats) -> float:
    """The mean length of runs that suits a series best: the longer its memory, the longer.

    Formula: (2 g^2 / d)^(1/3) n^(1/3) with g = sum lambda(k/m) |k| R(k), d = 2 (sum lambda(k/m) R(k))^2, R the
    autocovariance and lambda flat up to 1/2, then falling to 0 at 1; m is twice the lag after which five correlations
    are within 2 sqrt(log10 n / n). At most min(3 sqrt n, n / 3), at least 1. Unit: values. NaN: fewer than 30 values,
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
