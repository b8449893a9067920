"""Rows of prints: each trade of the market, and what it is to the folds that eat it.

`fresh` marks a print before which others may be missing: windows begin anew there.
"""

from __future__ import annotations

from typing import Protocol

from utils.compiled import compiled
from utils.rows import Short, Word, layout_of


class TradeEventRow(Protocol):
    """One print."""

    ts: int  # exchange time, ns
    sym: Short
    fresh: Short  # 1 = prints before this one may be missing
    side: Word  # of the aggressor: +1, -1; 0 = unknown
    price: float  # quote
    qty: float  # base


class PreparedTrade(Protocol):
    """One print, and what several features want of it."""

    count: int
    ts: int  # exchange time, ns; never before that of an earlier row
    fresh_ts: int
    fresh: int
    side: int
    price: float
    qty: float


class SharedTrade(Protocol):
    """What one print leaves for the next."""

    count: int
    ts: int
    fresh_ts: int


TRADE_EVENT = layout_of(TradeEventRow)
TRADE_ROW = layout_of(PreparedTrade)
TRADE_SHARED = layout_of(SharedTrade)


@compiled
def prepare_trade(shared: SharedTrade, event: TradeEventRow, row: PreparedTrade) -> None:
    """Fill `row` from a print and from what the one before left in `shared`."""
    fresh = 1 if shared.count == 0 or event.fresh != 0 else 0
    shared.count += 1
    shared.ts = max(shared.ts, event.ts)
    if fresh:
        shared.fresh_ts = shared.ts
    row.count = shared.count
    row.ts = shared.ts
    row.fresh_ts = shared.fresh_ts
    row.fresh = fresh
    row.side = event.side
    row.price = event.price
    row.qty = event.qty
