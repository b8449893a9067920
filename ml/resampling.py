"""Rank correlation, as a function of sums: that of resampled sums tells how far it can be trusted."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from utils.figures.arithmetic import Floats


def correlation(sums: Floats) -> Floats:
    """Pearson's correlation from sums (1, x, y, xx, yy, xy), one per row; NaN where either does not vary."""
    n, x, y, xx, yy, xy = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = (n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y))
    return np.where(np.isfinite(found), found, np.nan)


def products(x: Floats, y: Floats) -> Floats:
    """The columns (1, x, y, xx, yy, xy) of the ranks of x and y, centred, for `correlation` of their sums."""
    from scipy.stats import rankdata

    a, b = rankdata(x), rankdata(y)
    a, b = a - a.mean(), b - b.mean()
    return np.column_stack([np.ones(len(a)), a, b, a * a, b * b, a * b])


def spearman(x: Floats, y: Floats) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, ties at their mean rank; NaN where one does not vary."""
    if len(x) < 2:
        return math.nan
    return float(correlation(products(x, y).sum(axis=0)[None])[0])


def finite(*columns: Floats) -> NDArray[np.bool_]:
    """Rows in which every column is a number."""
    return np.asarray(np.isfinite(np.column_stack(columns)).all(axis=1))
