"""Confidence without independence: the moving-block bootstrap of sums."""

from __future__ import annotations

import math

import numpy as np

from utils.figures.arithmetic import Floats

DRAWS = 1000
SEED = 7


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
