"""Which signals a meta-model takes, one position of a symbol at a time, and what they became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.learning.table import LONG, SHORT, Table, Whole
from ml.scoring import Scored
from utils.figures.arithmetic import Floats, Times


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """The trades that were taken, in order of (decision, symbol); an order that did not fill is none of them."""

    row: Whole  # of the table
    ts: Times  # decision, ns
    until: Times  # end, ns
    sym: Whole
    way: Whole  # LONG or SHORT
    p: Floats  # win probability that was told
    bps: Floats  # net that was expected
    net: Floats  # bps, what it became

    def __len__(self) -> int:
        return len(self.net)


def unfiltered(tables: Sequence[Table]) -> Floats:
    """What all that the strategy wants became, bps, one position of a symbol at a time; long where both may be taken.

    Args:
        tables: consecutive stretches of the same symbols.
    """
    busy = np.zeros(len(tables[0].symbols) if tables else 0, np.int64)
    found = [np.zeros(0)]
    for table in tables:
        nothing = np.zeros((len(table), 2))
        found.append(taken(table, Scored(nothing, nothing, nothing), 0.0, busy).net)
    return np.concatenate(found)


def taken(table: Table, told: Scored, threshold_bps: float, busy: NDArray[np.int64] | None = None) -> Taken:
    """The trades of a threshold: the better of the allowed directions where it expects at least that much.

    A symbol with a position, or with an order that waits, takes nothing until that is over.

    Args:
        table: decisions in order of (ts, sym).
        told: what the model says of each.
        threshold_bps: least expected net.
        busy: when what each symbol had before is over, ns; brought up to date. None = all are free.
    """
    bps = np.where(table.allowed, told.bps, -np.inf)
    way = np.where(bps[:, SHORT] > bps[:, LONG], SHORT, LONG)
    each = np.arange(len(table))
    worth = (bps[each, way] >= threshold_bps) & np.isfinite(bps[each, way])
    busy = np.zeros(len(table.symbols), np.int64) if busy is None else busy
    rows: list[int] = []
    for sym in range(len(table.symbols)):
        mine = np.flatnonzero(worth & (table.sym == sym))
        ts, until = table.ts[mine], table.until[mine, way[mine]]
        at, free = 0, int(busy[sym])
        while True:
            at = max(at, int(np.searchsorted(ts, free, side="left")))
            if at >= len(mine):
                break
            rows.append(int(mine[at]))
            free = int(until[at])
            at += 1
        busy[sym] = free
    chosen = np.array(sorted(rows), np.int64)
    chosen = chosen[np.isfinite(table.net[chosen, way[chosen]])]
    ways = way[chosen]
    return Taken(
        row=chosen,
        ts=table.ts[chosen],
        until=table.until[chosen, ways],
        sym=table.sym[chosen],
        way=ways,
        p=told.p[chosen, ways],
        bps=told.bps[chosen, ways],
        net=table.net[chosen, ways],
    )
