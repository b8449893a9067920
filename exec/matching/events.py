"""What the market does to our orders between bars: prints, quotes and marks.

Until matching on a book comes, a resting order fills by prints through its price alone, with no more than was printed;
what takes pays the other side's best price, or the print, and the costs of the settings on top. Size in front of us,
depth and latency are not modelled.
"""

from __future__ import annotations

import math

from utils.codes import (
    BOOK,
    FREE,
    LIMIT,
    LIQUIDATION,
    LIVE,
    MAKER,
    MARK,
    MARKET,
    PRINT,
    STOP_LOSS,
    STOP_MARKET,
    TAKE_PROFIT,
    TAKER,
    TRAILING_STOP,
)
from utils.compiled import compiled
from utils.market.barriers import CROSSES, FILLS, WAITS, crossed, trades_through
from utils.rows import BPS, InstrumentRow, MarketEventRow, OrderSlotRow, ParamsRow, PositionRow


@compiled
def price_for(event: MarketEventRow, side: int) -> float:
    """What an order of `side` that takes now meets: the best price of the other side, the print, or the mark (quote).

    NaN where that side of the book is empty.
    """
    if event.kind == BOOK:
        return event.ask if side > 0 else event.bid
    return event.price


@compiled
def taker_price_at(reference: float, side: int, event: MarketEventRow, ins: InstrumentRow, par: ParamsRow) -> float:
    """What a taker pays: `reference` (quote) and slippage, on the tick against us.

    Half a spread comes on top where the event does not show the other side.
    """
    cost = par.slippage_bps + (0.0 if event.kind == BOOK else par.half_spread_bps)
    return crossed(reference, side, cost * BPS, par.max_impact_bps * BPS, ins.tick, ins.per_tick)[0]


@compiled
def match_order_at(
    order: OrderSlotRow, event: MarketEventRow, ins: InstrumentRow, par: ParamsRow
) -> tuple[int, float, float, int]:
    """Does an order fill by this event, and at what price?

    Returns:
        (WAITS, FILLS or CROSSES; fill price; reference price for slippage; MAKER or TAKER).
    """
    side = order.side
    price = price_for(event, side)
    if event.kind == MARK or math.isnan(price):
        return WAITS, math.nan, math.nan, 0
    if order.kind == MARKET:
        return FILLS, taker_price_at(price, side, event, ins, par), price, TAKER
    if order.kind == STOP_MARKET:
        if side * (price - order.trigger) < 0.0:
            return WAITS, math.nan, math.nan, 0
        return FILLS, taker_price_at(price, side, event, ins, par), price, TAKER
    if order.state != LIVE:
        beyond = side * (order.limit - price) >= 0.0 if event.kind == BOOK else side * (order.limit - price) > 0.0
        if beyond:
            return (FILLS, price, price, TAKER) if order.kind == LIMIT else (CROSSES, price, price, 0)
        return WAITS, math.nan, math.nan, 0
    if event.kind == PRINT and trades_through(order.limit, side, price, price, ins.tick):
        return FILLS, order.limit, order.limit, MAKER
    return WAITS, math.nan, math.nan, 0


@compiled
def match_exit_at(
    p: PositionRow, take: OrderSlotRow, stop: OrderSlotRow, event: MarketEventRow, ins: InstrumentRow, par: ParamsRow
) -> tuple[int, float, float, int]:
    """Does a protective order of the open position fire, or the venue take over?

    Stop and liquidation are touched by every event, at the price at which we could leave; the take is a resting order.

    Returns:
        (exit reason or 0, fill price, reference price for slippage, MAKER or TAKER).
    """
    side = -p.side
    price = price_for(event, side)
    if math.isnan(price):
        return 0, math.nan, math.nan, 0
    liquidates = stop.state == FREE or p.side * (p.liq - stop.trigger) > 0.0
    level = p.liq if liquidates else stop.trigger
    if p.side * (level - price) >= 0.0:
        if liquidates:
            lost = min(p.bankrupt, price) if p.side > 0 else max(p.bankrupt, price)
            return LIQUIDATION, lost, p.liq, TAKER
        reason = STOP_LOSS if stop.trigger == p.first_stop else TRAILING_STOP
        return reason, taker_price_at(price, side, event, ins, par), price, TAKER
    if take.state != FREE and event.kind == PRINT and trades_through(take.limit, side, price, price, ins.tick):
        return TAKE_PROFIT, take.limit, take.limit, MAKER
    return 0, math.nan, math.nan, 0
