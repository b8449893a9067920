"""Rows of the tape: quotes and prints in the order they came, for what needs both.

`fresh` marks a row before which quotes or prints may be missing: no print is measured against a mid of before it.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from utils.compiled import compiled
from utils.rows import Short, layout, layout_of

#: Kinds of rows.
QUOTE, PRINT = 0, 1
#: Quotes that are remembered, to find the one before a print that came late.
QUOTES = 64


class TapeEventRow(Protocol):
    """A quote or a print; what the other kind holds is NaN."""

    ts: int  # exchange time, ns
    sym: Short
    fresh: Short  # 1 = quotes or prints before this one may be missing; a quote without a side says so too
    kind: Short  # QUOTE or PRINT
    side: Short  # of the aggressor of a print; 0 = unknown, or a quote
    bid: float  # quote
    ask: float
    price: float
    qty: float  # base


class PreparedTape(Protocol):
    """A quote or print, and the mids that prints are measured against."""

    count: int
    ts: int  # exchange time, ns; never before that of an earlier row
    fresh_ts: int
    fresh: int
    kind: int
    side: int
    price: float
    qty: float
    mid: float  # of the newest quote, this row included, quote; NaN = none since the reset
    mid_before: float  # of the last quote stamped strictly before this row; NaN likewise


class SharedTape(Protocol):
    """What one row of the tape leaves for the next."""

    count: int
    ts: int
    fresh_ts: int
    quotes: int  # since the last fresh row
    times: NDArray[np.int64]  # of the last quotes, a ring
    mids: NDArray[np.float64]


TAPE_EVENT = layout_of(TapeEventRow)
TAPE_ROW = layout_of(PreparedTape)
TAPE_SHARED = layout(
    *((name, np.int64) for name in ("count", "ts", "fresh_ts", "quotes")),
    ("times", np.int64, (QUOTES,)),
    ("mids", np.float64, (QUOTES,)),
)


@compiled
def prepare_tape(shared: SharedTape, event: TapeEventRow, row: PreparedTape) -> None:
    """Fill `row` from a row of the tape and from the quotes before it."""
    lost = event.kind == QUOTE and math.isnan(event.bid + event.ask)
    fresh = 1 if shared.count == 0 or event.fresh != 0 or lost else 0
    shared.count += 1
    shared.ts = max(shared.ts, event.ts)
    if fresh:
        shared.fresh_ts = shared.ts
        shared.quotes = 0
    if event.kind == QUOTE and not lost:
        shared.times[shared.quotes % QUOTES] = event.ts
        shared.mids[shared.quotes % QUOTES] = 0.5 * (event.bid + event.ask)
        shared.quotes += 1
    row.count = shared.count
    row.ts = shared.ts
    row.fresh_ts = shared.fresh_ts
    row.fresh = fresh
    row.kind = event.kind
    row.side = event.side
    row.price = event.price
    row.qty = event.qty
    newest = shared.quotes - 1
    row.mid = shared.mids[newest % QUOTES] if newest >= 0 else math.nan
    row.mid_before = math.nan
    for back in range(min(shared.quotes, QUOTES)):
        place = (newest - back) % QUOTES
        if shared.times[place] < event.ts:
            row.mid_before = shared.mids[place]
            break
