"""Top-of-book measures: how wide the book is, which side is heavier, and where the price leans.

Each is one compiled function over a TOP record (`utils.book`), and beside it the same number for what users hold: a
ccxt order book, our BookSnapshot or BookView, or a pair of arrays. An empty side gives NaN, a crossed book an error.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from features.inputs import Book, top_of
from utils.book import TopRow
from utils.compiled import compiled
from utils.errors import DataError
from utils.rows import BPS, Rows

if TYPE_CHECKING:  # the model is fitted with what stands here
    from features.micro_price import MicroPrice

#: Distance from the mid at which a level weighs 1/e in `bid_ask_pressure`, bps.
DISTANCE_BPS = 5.0


@compiled
def leaning(bids: float, asks: float) -> float:
    """(bids - asks) / (bids + asks), a fraction in [-1, 1]; NaN when both are 0."""
    total = bids + asks
    return (bids - asks) / total if total > 0.0 else math.nan


@compiled
def spread_of(top: TopRow) -> float:
    """Quoted spread over the mid.

    Formula: 1e4 (a - b) / ((a + b) / 2), b and a the best bid and ask.
    Unit: bps.
    NaN: a side is empty.
    Source: Huang and Stoll 1996.
    """
    return (top.ask - top.bid) / (0.5 * (top.bid + top.ask)) / BPS


@compiled
def imbalance_of(top: TopRow) -> float:
    """Which side is heavier.

    Formula: (q_b - q_a) / (q_b + q_a), quantities at the best bid and ask.
    Unit: fraction in [-1, 1]; above 0 = more to buy.
    NaN: a side is empty.
    Source: Gould and Bonart 2015, arXiv 1512.03492.
    """
    return leaning(top.bid_qty, top.ask_qty)


@compiled
def weighted_mid_of(top: TopRow) -> float:
    """Mid that leans towards the lighter side.

    Formula: (b q_a + a q_b) / (q_b + q_a).
    Unit: quote.
    NaN: a side is empty.
    Source: own; at one tick of spread a worse forecast than the mid (Stoikov 2018 mends it).
    """
    return (top.bid * top.ask_qty + top.ask * top.bid_qty) / (top.bid_qty + top.ask_qty)


@compiled
def level_weight(level: int, price: float, mid: float, decay: float, per_distance: float) -> float:
    """Weight of a level: exp(-decay x level - distance x per_distance); 0 for one that is not there.

    Args:
        level: 0 for the best.
        price: of the level, quote; NaN = there is none.
        mid: quote.
        decay: a level, at least 0.
        per_distance: 1 / d0, per bps of distance from the mid; 0 = distance does not count.
    """
    if math.isnan(price):
        return 0.0
    return math.exp(-decay * level - abs(price - mid) / mid / BPS * per_distance)


@compiled
def measures(tops: Rows) -> tuple[float, float, float]:
    """(spread in bps, imbalance, weighted mid in quote) of the first TOP record."""
    top = tops[0]
    return spread_of(top), imbalance_of(top), weighted_mid_of(top)


def spread_bps(book: Book) -> float:
    """Quoted spread over the mid: 1e4 (a - b) / ((a + b) / 2), bps; NaN when a side is empty.

    Raises:
        DataError: the book is crossed, not sorted best first, or holds what is no number.
    """
    return measures(top_of(book))[0]


def order_book_imbalance(book: Book, levels: int = 1) -> float:
    """Bid less ask quantity over their sum, over the best `levels` of each side: a fraction in [-1, 1].

    NaN when a side is empty. A side with fewer levels counts those it has.

    Raises:
        DataError: the book is crossed, not sorted best first, or holds what is no number; or no levels are asked for.
    """
    if levels < 1:
        raise DataError(f"levels: expected at least 1, saw {levels}")
    return measures(top_of(book, levels))[1]


def weighted_mid(book: Book) -> float:
    """(b q_a + a q_b) / (q_b + q_a) of the best bid b and ask a, quote; NaN when a side is empty.

    Raises:
        DataError: the book is crossed, not sorted best first, or holds what is no number.
    """
    return measures(top_of(book))[2]


def micro_price(book: Book, model: MicroPrice) -> float:
    """Where the mid is expected to be after its next moves, given imbalance and spread.

    Args:
        book: as users hold it, or a row of ours.
        model: what `features.micro_price.fit_micro_price` learned of this market.

    Formula: m + sum over i of B^i g1 in the book's state.
    Unit: quote.
    NaN: a side is empty, or the model has never seen such a state.

    Raises:
        DataError: the book is crossed, not sorted best first, or holds what is no number.
    Source: Stoikov, The Micro-Price, 2018.
    """
    return model.price(top_of(book))
