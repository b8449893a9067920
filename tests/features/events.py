"""Events of a market by hand, and a stream of many."""

import numpy as np

from features.check_inputs import random_books
from utils.types import BookDelta, BookSnapshot, Trade

S = 1_000_000_000
MINUTE = 60 * S
BIDS, ASKS = ((99.0, 1.0), (98.0, 2.0)), ((101.0, 3.0),)


def snapshot(ts, bids=BIDS, asks=ASKS, symbol="X"):
    return BookSnapshot(symbol, ts, ts, bids, asks)


def delta(ts, bids=(), asks=(), symbol="X"):
    return BookDelta(symbol, ts, ts, bids, asks)


def a_print(ts, side=1, price=101.0, qty=1.0, symbol="X"):
    return Trade(symbol, ts, ts, price, qty, side)


def stream(rows=2500, symbol="X", seed=1):
    """A book that changes, from one snapshot, and prints beside it, as events."""
    books = random_books(rows, seed)
    dice = np.random.default_rng(seed)
    before = None
    for book in books:
        ts = int(book["ts"])
        sides = [np.column_stack([book["prices"][side], book["qtys"][side]]).tolist() for side in (0, 1)]
        levels = [tuple(map(tuple, side)) for side in sides]
        yield BookSnapshot(symbol, ts, ts, *levels) if before is None else _replaced(symbol, ts, before, levels)
        before = levels
        if dice.random() < 0.5:
            yield a_print(ts, int(dice.choice([-1, 1])), levels[1][0][0], 0.5, symbol)


def _replaced(symbol, ts, before, levels):
    sides = []
    for old, new in zip(before, levels, strict=True):
        kept = {price for price, _ in new}
        sides.append(tuple((price, 0.0) for price, _ in old if price not in kept) + tuple(new))
    return BookDelta(symbol, ts, ts, *sides)
