"""The order book as a compiled fold: changed levels go in, sorted levels a side stay, the best of them last.

Live streams, replay and matching share it. Both sides are kept as key = side x price (bids +, asks -), ascending, so
that one code serves both and what changes most, the best, lies where little has to be moved. A level is absolute: the
last quantity said is the quantity there, 0 removes it, removing an unknown level is nothing.

Prices are float64, quote per base; one decimal text has one nearest float64, so `65000` and `65000.00` are one level.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from utils.compiled import compiled
from utils.rows import Level, Rows, layout, layout_of

BIDS, ASKS = 0, 1
#: Most levels a side. A full side gives up its farthest level for a nearer one; venues of 1000 levels never fill it,
#: and a Binance book (1000 levels of REST, then whatever changes) forgets what lies beyond the nearest 8000.
CAPACITY = 8000

#: Changed levels: rows of (price, qty).
Changes = NDArray[np.float64]


class TopRow(Protocol):
    """The best of a book; NaN where a side is empty."""

    bid: float  # quote
    bid_qty: float  # base
    ask: float
    ask_qty: float


class BookRow(Protocol):
    """One book."""

    depth: int  # levels kept a side once an update is through
    held: NDArray[np.int64]  # levels of each side
    top: TopRow
    key: NDArray[np.float64]  # [side, level] = side x price, ascending: the best is last
    qty: NDArray[np.float64]  # [side, level], base


TOP = layout_of(TopRow)
BOOK = layout(
    ("depth", np.int64),
    ("held", np.int64, (2,)),
    ("top", TOP),
    ("key", np.float64, (2, CAPACITY)),
    ("qty", np.float64, (2, CAPACITY)),
)


@compiled
def remove(book: BookRow, side: int, place: int) -> None:
    """Drop level `place`; what is better moves down."""
    held = book.held[side]
    # slices, walked to their length: machine code then moves many levels at once, checked all the same
    key, qty = book.key[side, place:held], book.qty[side, place:held]
    for i in range(len(key) - 1):
        key[i] = key[i + 1]
    for i in range(len(qty) - 1):
        qty[i] = qty[i + 1]
    book.held[side] = held - 1


@compiled
def insert(book: BookRow, side: int, place: int) -> None:
    """Make room at `place`; what is better moves up."""
    held = book.held[side] + 1
    key, qty = book.key[side, place:held], book.qty[side, place:held]
    for i in range(len(key) - 1, 0, -1):
        key[i] = key[i - 1]
    for i in range(len(qty) - 1, 0, -1):
        qty[i] = qty[i - 1]
    book.held[side] = held


@compiled
def put(book: BookRow, side: int, price: float, qty: float) -> None:
    """Set one level of `side` (BIDS or ASKS): quantity 0 removes it."""
    key = price if side == BIDS else -price
    place, end = 0, book.held[side]
    while place < end:
        middle = (place + end) // 2
        if book.key[side, middle] < key:
            place = middle + 1
        else:
            end = middle
    known = place < book.held[side] and book.key[side, place] == key
    if qty == 0.0:
        if known:
            remove(book, side, place)
        return
    if not known:
        if book.held[side] == CAPACITY:
            if place == 0:
                return
            remove(book, side, 0)
            place -= 1
        insert(book, side, place)
        book.key[side, place] = key
    book.qty[side, place] = qty


@compiled
def trim(book: BookRow, side: int) -> None:
    """Keep the best `depth` levels of a side."""
    surplus = book.held[side] - book.depth
    if surplus > 0:
        for _ in range(surplus):
            remove(book, side, 0)


@compiled
def settle(book: BookRow) -> bool:
    """End an update: trim to depth and find the best. Is the book crossed? A locked one counts, an empty side not."""
    trim(book, BIDS)
    trim(book, ASKS)
    top, bids, asks = book.top, book.held[BIDS], book.held[ASKS]
    top.bid = book.key[BIDS, bids - 1] if bids else math.nan
    top.bid_qty = book.qty[BIDS, bids - 1] if bids else math.nan
    top.ask = -book.key[ASKS, asks - 1] if asks else math.nan
    top.ask_qty = book.qty[ASKS, asks - 1] if asks else math.nan
    return top.bid >= top.ask


@compiled
def clear(book: BookRow) -> None:
    """Forget every level."""
    book.held[BIDS] = 0
    book.held[ASKS] = 0


@compiled
def change(books: Rows, index: int, bids: Changes, asks: Changes, anew: bool) -> bool:
    """Apply one message to book `index`, in order. Is it crossed now, or locked?

    Args:
        books: BOOK records.
        index: which of them.
        bids: rows of (price, qty), checked by the caller: finite, prices above 0, quantities at least 0.
        asks: likewise.
        anew: forget what was there first.
    """
    book = books[index]
    if anew:
        clear(book)
    for i in range(len(bids)):
        put(book, BIDS, bids[i, 0], bids[i, 1])
    for i in range(len(asks)):
        put(book, ASKS, asks[i, 0], asks[i, 1])
    return settle(book)


def new_books(count: int, depth: int = CAPACITY) -> Rows:
    """Empty books of at most `depth` levels a side."""
    books = np.zeros(count, BOOK)
    books["depth"] = depth
    return books


def best_levels(book: Rows, side: int, most: int = CAPACITY) -> tuple[Level, ...]:
    """The best `most` levels of one BOOK record, (price, qty), best first."""
    held = int(book["held"][side])
    best = slice(max(held - most, 0), held)
    prices = np.abs(book["key"][side, best])[::-1].tolist()
    return tuple(zip(prices, book["qty"][side, best][::-1].tolist(), strict=True))
