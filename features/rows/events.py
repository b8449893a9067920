"""Rows of the book and of the tape: what every book, trade and quote event is to the folds that eat it.

BOOK rows hold the best levels after an event, TRADE rows a print, TAPE rows quotes and prints in the order they came,
for what needs both. `fresh` marks a row before which something may be missing (a snapshot, a gap, an invalid book):
nothing is differenced across it, and windows begin anew. An invalid book is a fresh row without levels.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.rows.bars import NAN
from utils.compiled import compiled
from utils.market.book import ASKS, BIDS, BookRow
from utils.rows import BPS, Rows, Short, layout, layout_of

#: Levels a side that book features see.
LEVELS = 10
#: Quantities this near to the mid are counted together, bps: ten levels of a book with tiny ticks span far less.
BAND_BPS = 5.0

#: Kinds of TAPE rows.
QUOTE, PRINT = 0, 1


class BookEventRow(Protocol):
    """A book after an event, best level first; NaN where there is no such level."""

    ts: int  # exchange time, ns
    sym: int
    fresh: int  # 1 = a snapshot, or nothing is known of what came before
    prices: NDArray[np.float64]  # [BIDS or ASKS, level], quote
    qtys: NDArray[np.float64]  # [BIDS or ASKS, level], base; 0 where there is no such level
    near: NDArray[np.float64]  # [BIDS or ASKS], base within BAND_BPS of the mid, of all levels the book holds


class TradeEventRow(Protocol):
    """One print."""

    ts: int  # exchange time, ns
    sym: Short
    fresh: Short  # 1 = prints before this one may be missing
    side: int  # of the aggressor: +1, -1; 0 = unknown
    price: float  # quote
    qty: float  # base


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


BOOK_EVENT = layout(
    ("ts", np.int64),
    ("sym", np.int32),
    ("fresh", np.int32),
    ("prices", np.float64, (2, LEVELS)),
    ("qtys", np.float64, (2, LEVELS)),
    ("near", np.float64, (2,)),
)
TRADE_EVENT = layout_of(TradeEventRow)
TAPE_EVENT = layout_of(TapeEventRow)


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


#: Quotes that are remembered, to find the one before a print that came late.
QUOTES = 64

_LADDER: tuple[tuple[str, Any, tuple[int, ...]], ...] = (
    ("prices", np.float64, (2, LEVELS)),
    ("qtys", np.float64, (2, LEVELS)),
)
BOOK_ROW = layout(
    *((name, np.int64) for name in ("count", "ts", "whole_ts", "fresh", "both")),
    *((name, np.float64) for name in ("bid", "ask", "mid", "bid_qty", "ask_qty", "mean_depth")),
    *_LADDER,
    ("near", np.float64, (2,)),
    ("flow", np.float64, (LEVELS,)),
)
BOOK_SHARED = layout(*((name, np.int64) for name in ("count", "ts", "whole_ts", "both")), *_LADDER)
TRADE_ROW = layout_of(PreparedTrade)
TRADE_SHARED = layout_of(SharedTrade)
TAPE_ROW = layout_of(PreparedTape)
TAPE_SHARED = layout(
    *((name, np.int64) for name in ("count", "ts", "fresh_ts", "quotes")),
    ("times", np.int64, (QUOTES,)),
    ("mids", np.float64, (QUOTES,)),
)


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
    row.mean_depth = total / there if there > 0 else NAN


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
    row.mid = shared.mids[newest % QUOTES] if newest >= 0 else NAN
    row.mid_before = NAN
    for back in range(min(shared.quotes, QUOTES)):
        place = (newest - back) % QUOTES
        if shared.times[place] < event.ts:
            row.mid_before = shared.mids[place]
            break


@compiled
def show(books: Rows, index: int, ts: int, fresh: int, out: Rows) -> None:
    """Write the best levels of book `index` to `out[0]`, a BOOK_EVENT record.

    Args:
        books: BOOK records.
        index: which of them, and the symbol's number.
        ts: exchange time of the event, ns.
        fresh: 1 = a snapshot.
        out: BOOK_EVENT records, at least one.
    """
    book: BookRow = books[index]
    row: BookEventRow = out[0]
    row.ts = ts
    row.sym = index
    row.fresh = fresh
    mid = 0.5 * (book.top.bid + book.top.ask)
    reach = BAND_BPS * BPS * mid
    for side in range(2):
        held = book.held[side]
        for level in range(LEVELS):
            place = held - 1 - level
            row.prices[side, level] = abs(book.key[side, place]) if place >= 0 else NAN
            row.qtys[side, level] = book.qty[side, place] if place >= 0 else 0.0
        near = 0.0
        place = held - 1
        # with an empty side there is no mid, and the comparison with NaN ends the walk
        while place >= 0 and abs(abs(book.key[side, place]) - mid) <= reach:
            near += book.qty[side, place]
            place -= 1
        row.near[side] = near


def gone(sym: int, ts: int) -> Rows:
    """The BOOK_EVENT row of a book that is not valid any more: fresh, and without levels."""
    row = np.zeros(1, BOOK_EVENT)
    row["ts"], row["sym"], row["fresh"], row["prices"] = ts, sym, 1, np.nan
    return row
