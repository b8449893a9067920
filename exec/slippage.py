"""What a market order pays beyond the price it aimed at: in a candle, in a book, and as an estimate without one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from utils.compiled import compiled
from utils.errors import DataError
from utils.market.barriers import crossed
from utils.market.sides import Book, sides
from utils.rows import BPS, AccountRow, BarRow, InstrumentRow, ParamsRow
from utils.words import ORDER_SIDES, SIGNS, ours_or_none

#: A bar's range over its volatility: Parkinson's 2 sqrt(ln 2), so sigma = ln(high / low) / RANGE_TO_SIGMA.
RANGE_TO_SIGMA = 2.0 * math.sqrt(math.log(2.0))


@compiled
def square_root_impact(qty: float, volume: float, sigma: float, coefficient: float) -> float:
    """Price impact of one market order.

    Formula: I = Y sigma sqrt(Q / V). Scale-free: sigma and V may belong to any one period.

    Args:
        qty: order size Q, base.
        volume: traded volume V of the period, base; 0 = nothing known, no impact added.
        sigma: volatility of the period, fraction.
        coefficient: Y, dimensionless, 0.5-1 in the literature.

    Returns:
        Impact as a fraction of the price, >= 0.

    Source: Almgren et al. 2005; Toth et al. 2011; Donier and Bonart, arXiv 1412.4503.
    """
    if volume <= 0.0 or coefficient <= 0.0:
        return 0.0
    return coefficient * sigma * math.sqrt(qty / volume)


@compiled
def taker_price(
    acc: AccountRow, reference: float, direction: int, qty: float, bar: BarRow, ins: InstrumentRow, par: ParamsRow
) -> float:
    """Where a market order fills in a candle: reference, half spread, slippage and impact, on the tick against us.

    The three together are held to the settings' cap, as a venue's price band would; how often, the account counts.

    Args:
        acc: its counter of capped prices moves.
        reference: price aimed at: an open, a close, or a stop level (quote).
        direction: +1 buy, -1 sell.
        qty: size, base, positive.
        bar: the candle it fills in.
        ins: tick of the symbol.
        par: half spread, slippage and their cap in bps, impact coefficient.

    Returns:
        Fill price, quote; a tick at least.
    """
    impact = 0.0
    if par.impact > 0.0:
        impact = square_root_impact(qty, bar.volume, math.log(bar.high / bar.low) / RANGE_TO_SIGMA, par.impact)
    cost = (par.half_spread_bps + par.slippage_bps) * BPS + impact
    price, held = crossed(reference, direction, cost, par.max_impact_bps * BPS, ins.tick, ins.per_tick)
    if held:
        acc.capped += 1
    return price


@dataclass(frozen=True, slots=True)
class Walk:
    """What a market order takes out of a book; NaN where nothing was taken or a side is empty."""

    side: int  # +1 buy, -1 sell
    price: float  # average paid, quote
    worst: float  # of the last level it took from, quote
    mid: float  # before it, quote
    filled: float  # base
    remainder: float  # what the book did not have: base, or quote where the order was given in quote
    levels: int  # it took from
    slippage_bps: float  # average against the mid, above 0 = paid
    in_quote: bool

    def __str__(self) -> str:
        """The walk as a sentence."""
        if not self.levels:
            return f"nothing filled: the book has no {'asks' if self.side > 0 else 'bids'}"
        told = f"{self.filled:g} at {self.price:g} on average from {self.levels} level(s), the last at {self.worst:g}"
        left = f"; {self.remainder:g} {'quote' if self.in_quote else 'base'} not filled" if self.remainder > 0.0 else ""
        return f"{told}: {self.slippage_bps:.2f} bps against the mid{left}"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A cost that was not read off a book, and what it was made of."""

    bps: float
    source: str


def number(name: str, value: float, low: float, high: float = math.inf, *, above: bool = False) -> float:
    """A number of the user's within its range.

    Args:
        name: as the user knows it.
        value: to check.
        low: least.
        high: most; finite values only.
        above: `low` itself is too little.

    Raises:
        DataError: no number (a text is none), NaN, infinite or out of range.
    """
    if type(value) is float or (isinstance(value, int | float | np.integer | np.floating) and type(value) is not bool):
        found = float(value)
        if (low < found if above else low <= found) and found <= high and found < math.inf:
            return found
    most = "" if high == math.inf else f" and at most {high:g}"
    raise DataError(
        f"{name}: expected a finite number {'above' if above else 'of at least'} {low:g}{most}, saw {value!r:.60}; "
        "correct it"
    )


def direction_of(side: int | str) -> int:
    """+1 to buy, -1 to sell.

    Raises:
        DataError: a word or number that is no side.
    """
    known = None if isinstance(side, bool) else ours_or_none(side, ORDER_SIDES)
    if known is None:
        raise DataError(f"side: expected buy or sell, +1 or -1, saw {side!r:.60}; name one")
    return int(SIGNS[known])


def walk_book(side: int | str, qty: float, book: Book, *, in_quote: bool = False) -> Walk:
    """What a market order of a size pays in this book, level by level; what the book does not have stays unfilled.

    Formula: price = sum p q / sum q over the levels taken, slippage = 1e4 d (price - m) / m, m the mid before it.

    Args:
        side: buy or sell, or +1 or -1.
        qty: size, base; quote where `in_quote`.
        book: see `utils.market.sides.Book`.
        in_quote: the size is money: each level gives what is left over its price.

    Returns:
        Never more than the book shows: `remainder` tells the rest. Our own orders are not taken out of the book, so a
        second walk of one snapshot meets the same levels again.

    Raises:
        DataError: a size that is not above 0, a side that is none, or a book that is none.
    """
    direction, left = direction_of(side), number("qty", qty, 0.0, above=True)
    bids, asks = sides(book)
    mid = 0.5 * (float(bids[0, 0]) + float(asks[0, 0])) if len(bids) and len(asks) else math.nan
    filled, paid, worst, levels = 0.0, 0.0, math.nan, 0
    for price, there in (asks if direction > 0 else bids).tolist():
        if left <= 0.0:
            break
        whole = price * there if in_quote else there
        whole_taken = left >= whole
        taken = there if whole_taken else (left / price if in_quote else left)
        filled += taken
        paid += price * taken
        left = left - whole if whole_taken else 0.0
        worst, levels = price, levels + 1
    average = paid / filled if levels else math.nan
    return Walk(direction, average, worst, mid, filled, left, levels, direction * (average - mid) / mid / BPS, in_quote)


def parent_impact_bps(qty: float, daily_volume: float, sigma: float, coefficient: float = 1.0) -> float:
    """Expected impact of a parent order that is worked over time: 1e4 Y sigma sqrt(Q / V), bps.

    For a single market order walk the book instead; adding both counts one thing twice.

    Args:
        qty: Q, base.
        daily_volume: V of a day, base.
        sigma: volatility of a day, fraction.
        coefficient: Y, 0.5-1 in the literature.

    Raises:
        DataError: a number that is none or out of range.

    Source: Almgren et al. 2005; Toth et al. 2011; Donier and Bonart, arXiv 1412.4503.
    """
    return (
        square_root_impact(
            number("qty", qty, 0.0),
            number("daily_volume", daily_volume, 0.0, above=True),
            number("sigma", sigma, 0.0),
            number("coefficient", coefficient, 0.0),
        )
        / BPS
    )


def fallback_slippage_bps(
    half_spread_bps: float, sigma_1s_bps: float, latency_s: float, *, impact_bps: float = 0.0, k1: float = 1.0
) -> Estimate:
    """What crossing is expected to cost where there is no book: an estimate, which says so.

    Formula: h + max(k1 sigma_1s sqrt(latency), I).

    Args:
        half_spread_bps: h, bps.
        sigma_1s_bps: volatility of one second, bps.
        latency_s: from decision to market, seconds.
        impact_bps: I, such as `parent_impact_bps` of the order, bps.
        k1: share of the move during the latency that goes against us.

    Returns:
        The estimate, never 0, and its source: "no book: estimated from ...".

    Raises:
        DataError: a number that is none or out of range; or all are 0: no crossing is free.
    """
    spread = number("half_spread_bps", half_spread_bps, 0.0)
    moved = number("k1", k1, 0.0) * number("sigma_1s_bps", sigma_1s_bps, 0.0)
    moved *= math.sqrt(number("latency_s", latency_s, 0.0))
    impact = number("impact_bps", impact_bps, 0.0)
    bps = spread + max(moved, impact)
    if bps <= 0.0:
        raise DataError(
            "slippage: expected a half spread, a volatility with a latency, or an impact above 0, saw none; "
            "crossing is never free, give what is known of one of them"
        )
    return Estimate(
        bps,
        f"no book: estimated from half the spread and {'impact' if impact > moved else 'the move during the latency'}",
    )
