"""Rows of the order book: its best levels after an event, and what each event is to the folds that eat it.

`fresh` marks a row before which something may be missing (a snapshot, a gap, an invalid book): nothing is differenced
across it, and windows begin anew. An invalid book is a fresh row without levels.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from utils.compiled import compiled
from utils.market.book import ASKS, BIDS, BookRow
from utils.rows import BPS, Rows, layout

#: Levels a side that book features see.
LEVELS = 10
#: Quantities this near to the mid are counted together, bps: ten levels of a book with tiny ticks span far less.
BAND_BPS = 5.0


class BookEventRow(Protocol):
    """A book after an event, best level first; NaN where there is no such level."""

    ts: int  # exchange time, ns
    sym: int
    fresh: int  # 1 = a snapshot, or nothing is known of what came before
    prices: NDArray[np.float64]  # [BIDS or ASKS, level], quote
    qtys: NDArray[np.float64]  # [BIDS or ASKS, level], base; 0 where there is no such level
    near: NDArray[np.float64]  # [BIDS or ASKS], base within BAND_BPS of the mid, of all levels the book holds


class PreparedBook(Protocol):
    """One book event, and what several features want of it."""

    count: int  # rows of this symbol so far, this one included
    ts: int  # exchange time, ns; never before that of an earlier row
    whole_ts: int  # since when the book is whole: of the last row that was fresh here
    fresh: int  # 1 = nothing may be differenced with the row before: a reset, or a side is or was empty
    both: int  # 1 = neither side is empty
    bid: float  # quote, NaN where the side is empty
    ask: float
    mid: float
    bid_qty: float  # base
    ask_qty: float
    mean_depth: float  # base: mean quantity at the levels that exist
    prices: NDArray[np.float64]
    qtys: NDArray[np.float64]
    near: NDArray[np.float64]
    flow: NDArray[np.float64]  # [level], base: order flow of this event (Cont, Kukanov and Stoikov), 0 on a fresh row


class SharedBook(Protocol):
    """What one book event leaves for the next."""

    count: int
    ts: int
    whole_ts: int
    both: int
    prices: NDArray[np.float64]
    qtys: NDArray[np.float64]


_LADDER: tuple[tuple[str, Any, tuple[int, ...]], ...] = (
    ("prices", np.float64, (2, LEVELS)),
    ("qtys", np.float64, (2, LEVELS)),
)
BOOK_EVENT = layout(("ts", np.int64), ("sym", np.int32), ("fresh", np.int32), *_LADDER, ("near", np.float64, (2,)))
BOOK_ROW = layout(
    *((name, np.int64) for name in ("count", "ts", "whole_ts", "fresh", "both")),
    *((name, np.float64) for name in ("bid", "ask", "mid", "bid_qty", "ask_qty", "mean_depth")),
    *_LADDER,
    ("near", np.float64, (2,)),
    ("flow", np.float64, (LEVELS,)),
)
BOOK_SHARED = layout(*((name, np.int64) for name in ("count", "ts", "whole_ts", "both")), *_LADDER)


@compiled
def level_flow(price: float, qty: float, old_price: float, old_qty: float, direction: int) -> float:
    """What one event did to one side of one level: positive = pressure on the price towards `direction`.

    Formula: q 1{d p >= d p'} - q' 1{d p <= d p'}, p' and q' before the event, d = +1 for bids and -1 for asks. The
    event's order flow is that of the bid less that of the ask. A level that is not there has quantity 0, and a price
    beyond all others.
    Unit: base.
    Source: Cont, Kukanov and Stoikov, The Price Impact of Order Book Events, 2014, eq. 3.
    """
    missing, was_missing = math.isnan(price), math.isnan(old_price)
    if missing or was_missing:
        return (0.0 if missing else qty) - (0.0 if was_missing else old_qty)
    ahead = direction * (price - old_price)
    return (qty if ahead >= 0.0 else 0.0) - (old_qty if ahead <= 0.0 else 0.0)


@compiled
def prepare_book(shared: SharedBook, event: BookEventRow, row: PreparedBook) -> None:
    """Fill `row` from a book event and from what the one before left in `shared`."""
    row.bid = event.prices[BIDS, 0]
    row.ask = event.prices[ASKS, 0]
    row.mid = 0.5 * (row.bid + row.ask)
    row.bid_qty = event.qtys[BIDS, 0]
    row.ask_qty = event.qtys[ASKS, 0]
    row.both = 0 if math.isnan(row.mid) else 1
    fresh = 0 if row.both == 1 and shared.both == 1 and event.fresh == 0 else 1
    shared.count += 1
    shared.ts = max(shared.ts, event.ts)
    shared.both = row.both
    if fresh:
        shared.whole_ts = shared.ts
    row.count = shared.count
    row.ts = shared.ts
    row.whole_ts = shared.whole_ts
    row.fresh = fresh
    row.near[BIDS] = event.near[BIDS]
    row.near[ASKS] = event.near[ASKS]
    total, there = 0.0, 0
    for level in range(LEVELS):
        flow = 0.0
        for side in range(2):
            price, qty = event.prices[side, level], event.qtys[side, level]
            if not fresh:
                direction = 1 if side == BIDS else -1
                old_price, old_qty = shared.prices[side, level], shared.qtys[side, level]
                flow += direction * level_flow(price, qty, old_price, old_qty, direction)
            if qty > 0.0:
                total += qty
                there += 1
            row.prices[side, level] = price
            row.qtys[side, level] = qty
            shared.prices[side, level] = price
            shared.qtys[side, level] = qty
        row.flow[level] = flow
    row.mean_depth = total / there if there > 0 else math.nan


@compiled
def picture(book: BookRow, sym: int, ts: int, fresh: int, row: BookEventRow) -> None:
    """Write the best levels of a book to `row`.

    Args:
        book: as an event left it.
        sym: the symbol's number.
        ts: exchange time of the event, ns.
        fresh: 1 = a snapshot.
        row: where to.
    """
    row.ts = ts
    row.sym = sym
    row.fresh = fresh
    mid = 0.5 * (book.top.bid + book.top.ask)
    reach = BAND_BPS * BPS * mid
    for side in range(2):
        held = book.held[side]
        for level in range(LEVELS):
            place = held - 1 - level
            row.prices[side, level] = abs(book.key[side, place]) if place >= 0 else math.nan
            row.qtys[side, level] = book.qty[side, place] if place >= 0 else 0.0
        near = 0.0
        place = held - 1
        # with an empty side there is no mid, and the comparison with NaN ends the walk
        while place >= 0 and abs(abs(book.key[side, place]) - mid) <= reach:
            near += book.qty[side, place]
            place -= 1
        row.near[side] = near


@compiled
def gone(sym: int, ts: int, row: BookEventRow) -> None:
    """Write the row of a book that is not valid any more: fresh, and without levels."""
    row.ts = ts
    row.sym = sym
    row.fresh = 1
    for side in range(2):
        for level in range(LEVELS):
            row.prices[side, level] = math.nan
            row.qtys[side, level] = 0.0
        row.near[side] = 0.0


@compiled
def show(books: Rows, index: int, ts: int, fresh: int, out: Rows) -> None:
    """Write the best levels of book `index` to `out[0]`, a BOOK_EVENT record: see `picture`.

    Args:
        books: BOOK records.
        index: which of them, and the symbol's number.
        ts: exchange time of the event, ns.
        fresh: 1 = a snapshot.
        out: BOOK_EVENT records, at least one.
    """
    picture(books[index], index, ts, fresh, out[0])
