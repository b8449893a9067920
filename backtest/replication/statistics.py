"""Statistics of the replications: each is a function of sums over windows, so that one bootstrap serves them all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from utils.figures.bootstrap import statistic_interval

Floats = NDArray[np.float64]
#: A statistic of sums: the last axis holds the columns, whatever stands before it stays.
Statistic = Callable[[Floats], Floats]

#: Resamples of a bootstrap, and the seed of their dice.
DRAWS, SEED = 1000, 1
#: Ends of a 95 % interval.
ENDS = (0.025, 0.975)
#: Columns of `moments`.
MOMENTS = 6
#: Classes of equal size into which scores are sorted for `auc`.
CLASSES = 100


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


def resampled(parts: Floats, statistic: Statistic, n: int | None = None, block: int | None = None) -> Estimate:
    """A statistic, with the interval of a moving-block bootstrap over windows.

    Formula: `statistic_interval` over 1000 draws, of blocks of L windows. L = n^(1/3), rounded, unless it is given.
    NaN: fewer than 2 blocks, or where the statistic is without one of them.

    Args:
        parts: what each window adds to the sums, shape (windows, columns).
        statistic: of the sums.
        n: observations, where a window is not one.
        block: L.
    Source: Kuensch 1989.
    """
    windows = len(parts)
    length = max(1, round(windows ** (1.0 / 3.0))) if block is None else block
    value = float(statistic(parts.sum(axis=0))) if windows else math.nan
    n = windows if n is None else n
    if windows < 2 * length:
        return Estimate(value, math.nan, math.nan, n)
    return Estimate(value, *statistic_interval(parts, statistic, length, DRAWS, SEED), n)


def moments(x: Floats, y: Floats) -> Floats:
    """Columns for `r_squared` and `slope_of`: 1, x, y, x^2, xy, y^2, both centred and scaled; shape (n, 6)."""
    x, y = ((values - values.mean()) / (values.std() or 1.0) for values in (x, y))
    return np.column_stack([np.ones(len(x)), x, y, x * x, x * y, y * y])


def r_squared(sums: Floats) -> Floats:
    """Share of the variance of y that a line on x explains, from sums of `moments`; NaN where either does not vary.

    Formula: cov(x, y)^2 / (var(x) var(y)).
    """
    n, x, y, xx, xy, yy = np.moveaxis(sums, -1, 0)
    both = (n * xx - x * x) * (n * yy - y * y)
    return np.where(both > 1e-9 * n**4, (n * xy - x * y) ** 2 / np.where(both > 0.0, both, 1.0), math.nan)


def ratio(sums: Floats) -> Floats:
    """First column over the second; NaN where that is 0."""
    return np.where(sums[..., 1] != 0.0, sums[..., 0] / np.where(sums[..., 1] == 0.0, 1.0, sums[..., 1]), math.nan)


def fitted_line(x: Floats, y: Floats) -> tuple[float, float]:
    """(intercept, slope) of the least-squares line of y on x; NaN where x does not vary."""
    if not (len(x) and np.ptp(x) > 0.0):  # a mean may be rounded: what lies around it is no sign of variation
        return math.nan, math.nan
    slope = float((x - x.mean()) @ (y - y.mean())) / float(((x - x.mean()) ** 2).sum())
    return float(y.mean() - slope * x.mean()), slope


def slope_estimate(x: Floats, y: Floats) -> Estimate:
    """Slope of the least-squares line of y on x, with the interval of Student's t for n - 2 degrees of freedom.

    NaN: fewer than 3 points, or x does not vary.
    """
    from scipy.stats import t

    intercept, slope = fitted_line(x, y)
    n = len(x)
    if n < 3 or math.isnan(slope):
        return Estimate(slope, math.nan, math.nan, n)
    error = y - intercept - slope * x
    width = float(t.ppf(ENDS[1], n - 2)) * math.sqrt(error @ error / (n - 2) / ((x - x.mean()) ** 2).sum())
    return Estimate(slope, slope - width, slope + width, n)


def classed(scores: Floats, up: NDArray[np.bool_], groups: int = 500) -> Floats:
    """Columns for `auc`: how many of each class of the score went up, then how many went down.

    Args:
        scores: of each observation, in order of time.
        up: which of them went up.
        groups: at most so many rows; observations that follow each other share one.
    """
    edges = np.unique(np.quantile(scores, np.arange(1, CLASSES) / CLASSES))
    kind = np.searchsorted(edges, scores, side="right") + np.where(up, 0, CLASSES)
    group = np.arange(len(scores)) * min(groups, len(scores)) // len(scores)
    parts: Floats = np.zeros((int(group[-1]) + 1, 2 * CLASSES))
    np.add.at(parts, (group, kind), 1.0)
    return parts


def auc(sums: Floats) -> Floats:
    """Probability that an observation that went up had the higher score than one that went down; ties count half.

    Formula: area under the curve of true against false positives, scores taken in at most 100 classes of equal
    size: within a thousandth of the exact area.
    NaN: all went the same way.
    """
    up, down = sums[..., :CLASSES], sums[..., CLASSES:]
    below = np.cumsum(down, axis=-1) - 0.5 * down
    pairs = up.sum(axis=-1) * down.sum(axis=-1)
    return np.where(pairs > 0.0, (up * below).sum(axis=-1) / np.where(pairs > 0.0, pairs, 1.0), math.nan)


def logistic(x: Floats, up: NDArray[np.bool_]) -> tuple[float, float]:
    """(a, b) of P(up) = 1 / (1 + exp(-a - b x)), by maximum likelihood; NaN where it has no maximum.

    Formula: Newton's steps from 0, at most 50.
    """
    design = np.column_stack([np.ones(len(x)), x])
    found = np.zeros(2)
    for _ in range(50):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ found, -30.0, 30.0)))
        weight = chance * (1.0 - chance)
        bend = design.T @ (design * weight[:, None])
        if not np.linalg.cond(bend) < 1e12:
            return math.nan, math.nan
        step = np.linalg.solve(bend, design.T @ (up - chance))
        found += step
        if np.abs(step).max() < 1e-9:
            return float(found[0]), float(found[1])
    return math.nan, math.nan
