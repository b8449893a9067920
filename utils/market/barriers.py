"""What does a bar do to a waiting entry, and to an open position: which barrier first, and at what price.

Labels, parameter search and matching call these compiled functions; none of them holds a second copy. The rules are
those of a venue read pessimistically (a stop fires when touched, a limit needs a trade one tick through it and pays its
own price, both in one bar is the stop), because inside a candle the order of prices is unknown. Prices here are those
that were aimed at: what a market order pays beyond, its caller adds. Why: ``docs/adr/0016-own-price.md``.
"""

from __future__ import annotations

import math

from utils.codes import END_OF_DATA, LIMIT, MAKER, MARKET, STOP_LOSS, TAKE_PROFIT, TAKER, TIME_LIMIT
from utils.compiled import compiled, inlined
from utils.rows import BarRow

#: Answers of `enter_in_bar`.
WAITS, FILLS, CROSSES = 0, 1, 2

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
def band_edge(reference: float, direction: int, band: float, tick: float, per: float) -> float:
    """The worst price within `band` (a fraction) of `reference` (quote), on the grid; the next tick where none is."""
    if direction > 0:
        return max(floor_to(reference * (1.0 + band), tick, per), ceil_to(reference, tick, per))
    return min(ceil_to(reference * (1.0 - band), tick, per), floor_to(reference, tick, per))


@compiled
def crossed(reference: float, direction: int, cost: float, band: float, tick: float, per: float) -> tuple[float, bool]:
    """Fill price of a market order: `reference` worsened by its cost, on the grid against us, within the price band.

    Args:
        reference: price aimed at (quote).
        direction: +1 buy, -1 sell.
        cost: half the spread, slippage and impact, a fraction.
        band: most that a venue allows them together, a fraction.
        tick: price grid (quote).
        per: 1 / tick where whole, else 0.

    Returns:
        (quote, a tick at least; whether the band held it).
    """
    price = against_us(reference * (1.0 + direction * cost), direction, tick, per)
    if direction * (price - reference) > band * reference - tick:  # else a tick within the band: most are
        furthest = band_edge(reference, direction, band, tick, per)
        if direction * (price - furthest) > 0.0:
            return max(tick, furthest), True
    return max(tick, price), False


@compiled
def resting_price(close: float, direction: int, offset: float, tick: float, per: float) -> float:
    """Price of a resting entry: `offset` (a fraction) from the deciding close, on the grid away from the market."""
    away = close * (1.0 - direction * offset)
    if direction > 0:
        return floor_to(away, tick, per)
    return ceil_to(away, tick, per)


@compiled
def levels(side: int, entry: float, take: float, stop: float, tick: float, per: float) -> tuple[float, float]:
    """Take and stop prices of a position: both on the tick away from the entry, so at least as far as asked.

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
        return ceil_to(entry * (1.0 + take), tick, per), floor_to(entry * (1.0 - stop), tick, per)
    return floor_to(entry * (1.0 - take), tick, per), ceil_to(entry * (1.0 + stop), tick, per)


@compiled
def first_touch(
    side: int,
    stop: float,
    take: float,
    bar_open: float,
    high: float,
    low: float,
    close: float,
    tick: float,
    entry_bar: bool,
    inside: bool,
) -> tuple[float, int, bool]:
    """The barrier a bar touches first, before slippage.

    Rules: a bar after the entry bar that opens beyond the take fills it first; else the stop when touched, at the worse
    of stop and open; else the take when traded through by a tick. The take pays its own price. Of a bar in which the
    position was entered inside only the close is known to have come after: it alone can fill the take.

    Args:
        side: +1 long, -1 short.
        stop: stop price (quote).
        take: take price (quote).
        bar_open: open of the bar (quote).
        high: high of the bar (quote).
        low: low of the bar (quote).
        close: close of the bar (quote).
        tick: price grid (quote).
        entry_bar: the position was opened at this bar's open, or inside it.
        inside: it was opened inside the bar, by a resting limit.

    Returns:
        (reference price, STOP_LOSS or TAKE_PROFIT or 0, whether the bar touched both).
    """
    takes = trades_through(take, -side, close, close, tick) if inside else trades_through(take, -side, low, high, tick)
    if takes and not entry_bar and trades_through(take, -side, bar_open, bar_open, tick):
        return take, TAKE_PROFIT, False
    if side > 0:
        if low <= stop:
            return min(stop, bar_open), STOP_LOSS, takes
    elif high >= stop:
        return max(stop, bar_open), STOP_LOSS, takes
    if takes:
        return take, TAKE_PROFIT, False
    return math.nan, 0, False


@inlined
def enter_in_bar(
    kind: int, side: int, limit: float, rested: bool, bar: BarRow, tick: float
) -> tuple[int, float, int, bool]:
    """Does a waiting entry fill in a bar that trades?

    A market order fills at the open as a taker. A limit fills at its own price, as a maker, when the bar trades one
    tick through it: before anything else in the bar where it opens beyond it, else inside. An order that only arrives
    at such an open is marketable: it fills there as a taker, which a post-only order answers by being rejected.

    Args:
        kind: MARKET, LIMIT or POST_ONLY.
        side: +1 long, -1 short.
        limit: price of a resting order (quote).
        rested: it was in the market before this bar.
        bar: its volume is above 0.
        tick: price grid (quote).

    Returns:
        (WAITS, FILLS or CROSSES; price aimed at, quote, NaN = it waits; MAKER or TAKER; whether inside the bar).
    """
    if kind == MARKET:
        return FILLS, bar.open, TAKER, False
    beyond = trades_through(limit, side, bar.open, bar.open, tick)
    if beyond and not rested:
        return (FILLS, bar.open, TAKER, False) if kind == LIMIT else (CROSSES, bar.open, 0, False)
    if beyond or trades_through(limit, side, bar.low, bar.high, tick):
        return FILLS, limit, MAKER, not beyond
    return WAITS, math.nan, 0, False


@inlined
def trigger_in_bar(trigger: float, side: int, bar: BarRow) -> tuple[float, bool]:
    """Where a bar that trades fires a waiting stop order: when touched, at the worse of trigger and open.

    Args:
        trigger: its price (quote).
        side: of the order: +1 buys when the market rises to it, -1 sells when it falls to it.
        bar: its volume is above 0.

    Returns:
        (price aimed at, quote, NaN = it waits; whether inside the bar).
    """
    if side * (bar.open - trigger) >= 0.0:
        return bar.open, False
    if (bar.high >= trigger) if side > 0 else (bar.low <= trigger):
        return trigger, True
    return math.nan, False


@inlined
def out_of_reach(side: int, stop: float, take: float, bar: BarRow) -> bool:
    """True when a bar reaches neither barrier: the quick answer for most bars."""
    if side > 0:
        return bar.low > stop and bar.high <= take
    return bar.high < stop and bar.low >= take


@inlined
def leave_in_bar(
    side: int, stop: float, take: float, held: int, horizon: float, inside: bool, bar: BarRow, tick: float
) -> tuple[int, float, int, bool, bool]:
    """Does a position that is open in a bar end there, and how?

    The barriers come first, in the order of `first_touch`; then the limit of time, at the close of the bar in which it
    falls due, or at the last close that there is. Due in a bar without a trade it has to wait for the next open, which
    is the caller's to remember.

    Args:
        side: +1 long, -1 short.
        stop: stop price (quote).
        take: take price (quote).
        held: bars it has outlived; 0 = it was opened in this one.
        horizon: bars it may be held.
        inside: it was opened inside this bar, by a resting limit.
        bar: the bar.
        tick: price grid (quote).

    Returns:
        (STOP_LOSS, TAKE_PROFIT, TIME_LIMIT, END_OF_DATA, or 0 = it goes on; price aimed at, quote; MAKER or TAKER;
        whether the bar touched both barriers; whether the limit of time is due).
    """
    trades = bar.volume > 0.0
    both = False
    if trades:
        price, touched, both = first_touch(
            side, stop, take, bar.open, bar.high, bar.low, bar.close, tick, held == 0, inside
        )
        if touched != 0:
            return touched, price, MAKER if touched == TAKE_PROFIT else TAKER, both, False
    due = held + 1 >= horizon
    if due and trades:
        return TIME_LIMIT, bar.close, TAKER, both, due
    if bar.last == 1:
        return END_OF_DATA, bar.close, TAKER, both, due
    return 0, math.nan, 0, both, due
