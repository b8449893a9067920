"""Statistics of the experiments: days are drawn, not trades, because trades of a day hang together."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from utils.figures.arithmetic import Floats
from utils.figures.bootstrap import statistic_interval

#: Resamples of a bootstrap.
DRAWS = 2000
#: Share of the trades that is the tail.
TAIL = 0.05
#: Words of a verdict.
HOLDS, FAILS, UNPROVEN, UNMEASURED = "holds", "does not hold", "not proven", "not measured"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def by_day(columns: Floats, days: NDArray[np.int64]) -> Floats:
    """Columns added up by day: one row for each day that has any."""
    known, at = np.unique(days, return_inverse=True)
    sums: Floats = np.column_stack([np.bincount(at, column, len(known)) for column in columns.T])
    return sums


def clustered(columns: Floats, days: NDArray[np.int64], statistic: Callable[[Floats], Floats], seed: int) -> Estimate:
    """A statistic of column sums, with the interval of a bootstrap that draws whole days.

    Formula: the middle 95 % over 2000 draws of as many days as there are, with replacement, widened for few days as
    `statistic_interval` does; what trades of one day share, in whatever symbol, is drawn together, and what two rules
    made of one trade stays paired.
    NaN: fewer than 2 days, or days that tell as much; or where the statistic is.

    Args:
        columns: a row for each trade.
        days: UTC day of each.
        statistic: of sums, one row each.
        seed: of the dice.
    Source: Cameron, Gelbach, Miller 2008.
    """
    if len(columns) == 0:
        return Estimate(math.nan, math.nan, math.nan)
    sums = by_day(columns, days)
    value = float(statistic(sums.sum(axis=0)[None])[0])
    return Estimate(value, *statistic_interval(sums, statistic, 1, DRAWS, seed))


def tail_mean(values: Floats) -> float:
    """Mean of the worst 5 %, one at least; NaN of nothing."""
    if len(values) == 0:
        return math.nan
    return float(np.sort(values)[: max(1, int(TAIL * len(values)))].mean())
