"""The two sides of an order book, as users hold one: read and checked here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.errors import DataError
from utils.market.book import ASKS, BIDS, TOP

#: One order book: {'bids': [[price, qty], ...], 'asks': ...} as ccxt has it, anything with such attributes, (bids,
#: asks), best first and further columns ignored and numbers
#: perhaps texts, as exchanges send them; or a TOP record, or one of `features.rows.book`.
Book = Any


def sides(book: Book) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bids and asks of a book: rows of (price, qty), best first.

    Raises:
        DataError: the book is crossed, not sorted best first, or holds what is no number.
    """
    bids, asks = (_side(book, number, name) for number, name in ((BIDS, "bids"), (ASKS, "asks")))
    if (np.diff(bids[:, 0]) >= 0.0).any() or (np.diff(asks[:, 0]) <= 0.0).any():
        raise DataError("book: expected levels best first and each price once, saw others; sort them")
    if len(bids) and len(asks) and bids[0, 0] >= asks[0, 0]:
        raise DataError(
            f"book: expected the best bid below the best ask, saw bid {bids[0, 0]:g} and ask {asks[0, 0]:g};"
            " a crossed book is not a market, wait for the next"
        )
    return bids, asks


def _side(book: Book, number: int, name: str) -> NDArray[np.float64]:
    """Rows of (price, qty) of one side, checked."""
    try:
        rows = _levels(book, number, name)
    except (TypeError, ValueError, LookupError) as error:
        raise DataError(f"{name}: expected rows of price and quantity, saw {str(book)[:80]}") from error
    if not (np.isfinite(rows).all() and (rows > 0.0).all()):
        raise DataError(f"{name}: expected finite prices and quantities above 0, saw others")
    return rows


def _levels(book: Book, number: int, name: str) -> NDArray[np.float64]:
    kind = getattr(book, "dtype", None)
    event = "prices" in (getattr(kind, "names", None) or ())
    if event or kind == TOP:
        row = book[0] if np.shape(book) else book
        columns = ("prices", "qtys") if event else (name[:-1], f"{name[:-1]}_qty")
        prices, qtys = (np.atleast_1d(row[column][number] if event else row[column]) for column in columns)
        levels: NDArray[np.float64] = np.column_stack([prices, qtys])[~np.isnan(prices)]
        return levels
    side: Any = book[name] if isinstance(book, Mapping) else getattr(book, name, None)
    side = book[number] if side is None else side
    return np.array([(level[0], level[1]) for level in side], np.float64).reshape(-1, 2)
