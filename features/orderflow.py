"""Top-of-book measures for what users hold: how wide the book is, which side is heavier, where the price leans.

A book is a ccxt order book, our BookSnapshot or BookView, or a pair of arrays (`utils.market.sides`); the numbers are
those of the folds (`features.folds.top_of_book`). An empty side gives NaN, a crossed book an error.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from features.folds.top_of_book import leaning, measures, weighed_depths
from features.rows.users import top_of
from utils.errors import DataError
from utils.market.sides import Book, sides

if TYPE_CHECKING:  # whoever has a model has loaded it
    from features.studies.micro_price import MicroPrice


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
        book: see `utils.market.sides.Book`.
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
    return leaning(*weighed_depths(*sides(book), levels, decay, distance_bps))


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
