"""Top-of-book measures: how wide the book is, which side is heavier, and where the price leans.

Each is one compiled function over a TOP record (`utils.market.book`), and beside it the same number for what users
hold: a ccxt order book, our BookSnapshot or BookView, or a pair of arrays. An empty side gives NaN, a crossed book an
error.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.rows.users import Book, sides, top_of
from utils.compiled import compiled
from utils.errors import DataError
from utils.market.book import TopRow
from utils.rows import BPS, Rows

if TYPE_CHECKING:  # the model is fitted with what stands here
    from features.studies.micro_price import MicroPrice

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
def fill_spreads(tops: Rows, out: NDArray[np.float64]) -> None:
    """Write `spread_of` of each row, bps."""
    for i in range(len(tops)):
        out[i] = spread_of(tops[i])


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


def order_book_imbalance(
    book: Book, levels: int = 1, *, decay: float = 0.0, distance_bps: float | None = None
) -> float:
    """Which side is heavier, over the best levels, equally or with nearer ones counting more.

    Formula: (B - A) / (B + A), B = sum w q_b over the best `levels`, w = exp(-decay (l - 1) - |P - m| / distance_bps).
    Unit: fraction in [-1, 1]; above 0 = more to buy.
    NaN: a side is empty. A side with fewer levels counts those it has.

    Args:
        book: see `inputs.Book`.
        levels: of each side, at least 1.
        decay: a level, at least 0; 0 = all levels weigh the same.
        distance_bps: distance from the mid at which a level weighs 1/e; None = distance does not count.

    Raises:
        DataError: the book is crossed, not sorted best first, or holds what is no number; or no levels are asked for.
    Source: Gould and Bonart 2015, arXiv 1512.03492.
    """
    if levels < 1:
        raise DataError(f"levels: expected at least 1, saw {levels}")
    if not (0.0 <= decay < math.inf and (distance_bps is None or distance_bps > 0.0)):
        raise DataError(f"weights: expected decay of at least 0 and a distance above 0, saw {decay} and {distance_bps}")
    return leaning(*weighed_depths(book, levels, decay, distance_bps))


def weighed_depths(book: Book, levels: int | None, decay: float, distance_bps: float | None) -> tuple[float, float]:
    """Sums of the quantities of both sides' best levels, weighed as in `order_book_imbalance`: bids, asks, base.

    Args:
        book: see `inputs.Book`.
        levels: None = all.
        decay: a level.
        distance_bps: None = distance does not count.

    Returns:
        NaN for both when a side is empty.
    """
    both = sides(book)
    if not (len(both[0]) and len(both[1])):
        return math.nan, math.nan
    mid = 0.5 * (both[0][0, 0] + both[1][0, 0])
    per_distance = 0.0 if distance_bps is None else 1.0 / distance_bps
    bids, asks = (
        math.fsum(
            qty * level_weight(i, price, mid, decay, per_distance) for i, (price, qty) in enumerate(side[:levels])
        )
        for side in both
    )
    return bids, asks


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
        model: what `features.studies.micro_price.fit_micro_price` learned of this market.

    Formula: m + sum over i of B^i g1 in the book's state.
    Unit: quote.
    NaN: a side is empty, or the model has never seen such a state.

    Raises:
        DataError: the book is crossed, not sorted best first, or holds what is no number.
    Source: Stoikov, The Micro-Price, 2018.
    """
    return model.price(top_of(book))
