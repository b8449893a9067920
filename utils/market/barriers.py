"""Which barrier does a bar touch first, and at what price: the one compiled rule.

Labels, parameter search and matching call these functions; none of them holds a second copy. The rules are those of a
venue read pessimistically (a stop fires when touched, a limit needs a trade one tick through it, both in one bar is the
stop), because inside a candle the order of prices is unknown.
"""

from __future__ import annotations

import math

from utils.codes import STOP_LOSS, TAKE_PROFIT
from utils.compiled import compiled

#: Fraction of a tick within which a computed price counts as lying on the grid (float noise, far below any tick).
ON_GRID = 1e-6


@compiled
def floor_to(x: float, step: float, per: float) -> float:
    """Largest multiple of `step` not above `x`; `per` = 1/step where whole (k / per is the exact decimal), else 0."""
    if per > 0.0:
        return math.floor(x * per + ON_GRID) / per
    return math.floor(x / step + ON_GRID) * step


@compiled
def ceil_to(x: float, step: float, per: float) -> float:
    """Smallest multiple of `step` not below `x`; `per` as in `floor_to`."""
    if per > 0.0:
        return math.ceil(x * per - ON_GRID) / per
    return math.ceil(x / step - ON_GRID) * step


@compiled
def against_us(x: float, direction: int, tick: float, per: float) -> float:
    """A taker's price on the grid: up when we buy (`direction` +1), down when we sell (-1)."""
    if direction > 0:
        return ceil_to(x, tick, per)
    return floor_to(x, tick, per)


@compiled
def trades_through(limit: float, direction: int, low: float, high: float, tick: float) -> bool:
    """True when the market traded at least one tick beyond our resting limit (`direction` +1 = our buy)."""
    if direction > 0:
        return limit - low >= tick * (1.0 - ON_GRID)
    return high - limit >= tick * (1.0 - ON_GRID)


@compiled
def crossed(reference: float, direction: int, cost: float, tick: float, per: float) -> float:
    """Fill price of a market order: `reference` (quote) worsened by `cost` (a fraction), on the grid against us."""
    return against_us(reference * (1.0 + direction * cost), direction, tick, per)


@compiled
def resting_price(close: float, direction: int, offset: float, tick: float, per: float) -> float:
    """Price of a resting entry: `offset` (a fraction) from the deciding close, on the grid away from the market."""
    away = close * (1.0 - direction * offset)
    if direction > 0:
        return floor_to(away, tick, per)
    return ceil_to(away, tick, per)


@compiled
def limit_fill(
    limit: float, direction: int, bar_open: float, high: float, low: float, tick: float
) -> tuple[float, bool]:
    """Where a bar fills our limit: at the open when it opens beyond it, else at the limit when it trades through it.

    On the bar in which the order arrives, an open beyond it makes it a marketable order; the caller knows that.

    Returns:
        (fill price, quote, NaN = it waits; whether the fill came inside the bar).
    """
    if trades_through(limit, direction, bar_open, bar_open, tick):
        return bar_open, False
    if trades_through(limit, direction, low, high, tick):
        return limit, True
    return math.nan, False


@compiled
def levels(side: int, entry: float, take: float, stop: float, tick: float, per: float) -> tuple[float, float]:
    """Take and stop prices of a position: take rounds away from the entry, stop towards it but one tick off at least.

    Formula: entry (1 + d take), entry (1 - d stop), d = `side`.

    Args:
        side: +1 long, -1 short.
        entry: fill price, slippage included (quote).
        take: distance of the take, fraction of the entry price.
        stop: distance of the stop, fraction of the entry price.
        tick: price grid (quote).
        per: 1 / tick where whole, else 0.

    Returns:
        (take price, stop price), quote.
    """
    if side > 0:
        take_price = ceil_to(entry * (1.0 + take), tick, per)
        stop_price = min(ceil_to(entry * (1.0 - stop), tick, per), floor_to(entry - tick, tick, per))
    else:
        take_price = floor_to(entry * (1.0 - take), tick, per)
        stop_price = max(floor_to(entry * (1.0 + stop), tick, per), ceil_to(entry + tick, tick, per))
    return take_price, stop_price


@compiled
def first_touch(
    side: int,
    stop: float,
    take: float,
    bar_open: float,
    high: float,
    low: float,
    tick: float,
    entry_bar: bool,
    inside: bool,
) -> tuple[float, int, bool]:
    """The barrier a bar touches first, before slippage.

    Rules: an open beyond the take fills it there, but not in the entry bar; else the stop when touched, at the worse of
    stop and open; else the take when traded through by a tick. A position entered inside this bar cannot take in it.

    Args:
        side: +1 long, -1 short.
        stop: stop price (quote).
        take: take price (quote).
        bar_open: open of the bar (quote).
        high: high of the bar (quote).
        low: low of the bar (quote).
        tick: price grid (quote).
        entry_bar: the position was opened at this bar's open, or inside it.
        inside: it was opened inside the bar, by a resting limit.

    Returns:
        (reference price, STOP_LOSS or TAKE_PROFIT or 0, whether the bar touched both).
    """
    takes = not inside and trades_through(take, -side, low, high, tick)
    if takes and not entry_bar and trades_through(take, -side, bar_open, bar_open, tick):
        return bar_open, TAKE_PROFIT, False
    if side > 0:
        if low <= stop:
            return min(stop, bar_open), STOP_LOSS, takes
    elif high >= stop:
        return max(stop, bar_open), STOP_LOSS, takes
    if takes:
        return take, TAKE_PROFIT, False
    return math.nan, 0, False
