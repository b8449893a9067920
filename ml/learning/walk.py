"""Trades out of sample: each decided by the model that was current then, on rows after its training.

A walk through a history and a retrain of every day are the same step: the model that there is judges what came since,
and then the next is made of all that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.learning.fit import Fitted, fit_meta
from ml.learning.policy import Taken, taken
from ml.learning.splits import walk_forward
from ml.learning.table import Table
from ml.scoring import Scored, scored
from utils.errors import DataError
from utils.figures.arithmetic import Floats, Times, ratio_or_nan
from utils.rows import NS_PER_DAY

#: Share of the rows before the first that is judged, and steps through the rest.
FIRST, FOLDS = 0.4, 8
#: What a day of predictions leaves behind: weight of the labels, of their wins; squared errors of p, of the base rate.
DAY = ("weight", "won", "squared", "base")

#: Columns of a trade.
TRADE = ("ts", "until", "sym", "side", "p", "bps", "net")

Told = Callable[[float, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What one model said of rows after its training, and what it took."""

    fitted: Fitted
    table: Table  # the rows
    told: Scored
    trades: Taken  # rows are those of `table`

    @property
    def threshold(self) -> float:
        """From how many expected bps on the model trades."""
        return self.fitted.meta.threshold_bps


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a configuration has to show: trades and predictions of models that did not know them, each counted once.

    It is all that the gate looks at, and may be written down and put together again.
    """

    first: int  # the first close that was judged, ns; 0 = none
    last: int  # the last close that was judged, ns
    ts: Times  # of each trade: its decision, in order
    until: Times  # its end
    sym: NDArray[np.int64]
    side: NDArray[np.int64]  # +1 or -1
    p: Floats  # win probability that was told
    bps: Floats  # net that was expected
    net: Floats  # what it earned, bps
    day: NDArray[np.int64]  # UTC days since 1970 with a label, in order
    scores: Floats  # days x DAY

    @property
    def days(self) -> int:
        """Days on which something was judged."""
        return len(self.day)

    @property
    def skill(self) -> float:
        """Brier skill of all its days, fraction: 1 - sum w (p - y)^2 / sum w (b - y)^2; NaN = nothing was judged."""
        squared, base = (float(self.scores[:, DAY.index(name)].sum()) for name in ("squared", "base"))
        return 1.0 - ratio_or_nan(squared, base)

    @property
    def trade_days(self) -> NDArray[np.int64]:
        """UTC day of each trade's decision; a close at midnight belongs to the day that ends."""
        found: NDArray[np.int64] = (self.ts - 1) // NS_PER_DAY
        return found


def nothing() -> Evidence:
    """No evidence yet."""
    none, whole = np.zeros(0), np.zeros(0, np.int64)
    return Evidence(0, 0, whole, whole, whole, whole, none, none, none, whole, np.zeros((0, len(DAY))))


def of_judged(judged: Judged) -> Evidence:
    """What one model's judgements leave behind.

    Formula: of each label of the day, weighted with its uniqueness: w, w y, w (p - y)^2 and w (b - y)^2, where b is the
    base rate among the rows that the model learned from.
    """
    table, trades = judged.table, judged.trades
    known = table.labelled
    won = np.where(known, table.won, 0.0)
    weight = np.where(known, table.weight, 0.0)
    away, plain = judged.told.p - won, np.array(judged.fitted.base) - won
    each = np.column_stack(
        [(weight * part).sum(axis=1) for part in (np.ones_like(won), won, away * away, plain * plain)]
    )
    days, at = np.unique((table.ts - 1) // NS_PER_DAY, return_inverse=True)
    sums = _by_day(each, at, len(days))
    seen = sums[:, 0] > 0.0
    return Evidence(
        first=int(table.ts[0]),
        last=int(table.ts[-1]),
        ts=trades.ts,
        until=trades.until,
        sym=trades.sym,
        side=1 - 2 * trades.way,
        p=trades.p,
        bps=trades.bps,
        net=trades.net,
        day=days[seen],
        scores=sums[seen],
    )


def added(before: Evidence, after: Evidence) -> Evidence:
    """Evidence with what came later; a day that both have a part of is one day.

    Raises:
        DataError: it is not later: something would be counted twice.
    """
    if not before.last:
        return after
    if not after.last:
        return before
    if after.first <= before.last:
        raise DataError("evidence: expected closes after those that were judged, saw some of them again; begin after")
    days, at = np.unique(np.concatenate([before.day, after.day]), return_inverse=True)
    sums = _by_day(np.concatenate([before.scores, after.scores]), at, len(days))
    return replace(before, last=after.last, day=days, scores=sums, **of_both(before, after))


def of_both(before: Evidence, after: Evidence) -> dict[str, Any]:
    """The trades of both, one after the other, by name of the column."""
    return {name: np.concatenate([getattr(before, name), getattr(after, name)]) for name in TRADE}


def _by_day(rows: Floats, day: NDArray[np.intp], days: int) -> Floats:
    """Columns added up by day."""
    return np.column_stack([np.bincount(day, column, days).astype(np.float64) for column in rows.T])


def together(parts: Sequence[Evidence]) -> Evidence:
    """Evidence of consecutive stretches."""
    whole = nothing()
    for part in parts:
        whole = added(whole, part)
    return whole


def judge(fitted: Fitted, table: Table, busy: NDArray[np.int64] | None = None) -> Judged:
    """What a model says of rows, and what it takes.

    Args:
        fitted: the model.
        table: rows after all that it learned from.
        busy: when what each symbol had before is over, ns; brought up to date.

    Raises:
        DataError: a row is not after its training.
    """
    if len(table) and table.ts[0] < fitted.until:
        raise DataError("model: expected rows after its training, saw some that it may know; judge later ones")
    told = scored(fitted.meta, table.x)
    return Judged(fitted, table, told, taken(table, told, fitted.meta.threshold_bps, busy))


def known_at(table: Table, now: int) -> Table:
    """The rows whose orders and trades were over by a moment, in both directions: what a model may then learn from."""
    return table.take((table.ts <= now) & (table.until <= now).all(axis=1))


def walk(
    table: Table,
    family: str,
    fingerprint: str,
    *,
    seed: int,
    threads: int = 1,
    folds: int = FOLDS,
    first: float = FIRST,
    progressed: Told | None = None,
) -> list[Judged]:
    """Purged walk-forward, expanding: at each cut a model of all labels known by then judges until the next.

    The stretches are those of `ml.learning.splits.walk_forward`.

    Args:
        table: decisions in order of (ts, sym).
        family: learner.
        fingerprint: of the features.
        seed: of the learner's dice.
        threads: of the learner.
        folds: steps.
        first: share of the rows before the first step.
        progressed: told how many of the folds are done.

    Raises:
        DataError: too few instants, or too few labels before the first step.
    """
    busy = np.zeros(len(table.symbols), np.int64)
    found: list[Judged] = []
    for train, test in walk_forward(table.ts, table.until.max(axis=1), folds, first):
        fitted = fit_meta(table.take(train), family, fingerprint, seed=seed, threads=threads)
        found.append(judge(fitted, table.take(test), busy))
        if progressed is not None:
            progressed(len(found), folds)
    return found
