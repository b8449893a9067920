"""Top-of-book measures: how wide the book is, which side is heavier, and where the price leans.

Each is one compiled function over a TOP record (`utils.market.book`); folds, studies and `features.orderflow` call it.
An empty side gives NaN.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from utils.compiled import compiled
from utils.market.book import TopRow
from utils.rows import BPS, Rows

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


def weighed_depths(
    bids: NDArray[np.float64], asks: NDArray[np.float64], levels: int | None, decay: float, distance_bps: float | None
) -> tuple[float, float]:
    """Sums of the quantities of both sides' best levels, each weighed as `level_weight` says: bids, asks, base.

    Args:
        bids: price (quote) and quantity (base) of each level, best first.
        asks: likewise.
        levels: of each side; None = all.
        decay: a level.
        distance_bps: distance from the mid at which a level weighs 1/e; None = distance does not count.

    Returns:
        NaN for both when a side is empty.
    """
    if not (len(bids) and len(asks)):
        return math.nan, math.nan
    mid = 0.5 * (bids[0, 0] + asks[0, 0])
    per_distance = 0.0 if distance_bps is None else 1.0 / distance_bps
    heavy, light = (
        math.fsum(
            qty * level_weight(i, price, mid, decay, per_distance) for i, (price, qty) in enumerate(side[:levels])
        )
        for side in (bids, asks)
    )
    return heavy, light
