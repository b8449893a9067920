"""What the market does to our orders in one candle: the matching seam.

The engine asks two questions of a candle: does this order fill (`match_order`), and does the position end
(`match_exit`)? The walk through a candle is that of `utils.market.barriers`, which labels and search take, too; what a
taker pays, trails and liquidation are added here. Signal, risk and ledger see the answers only.
"""

from __future__ import annotations

import math

from exec.slippage import taker_price
from utils.codes import FREE, LIQUIDATION, LIVE, MARKET, STOP_LOSS, STOP_MARKET, TAKER, TRAILING_STOP
from utils.compiled import inlined
from utils.market.barriers import FILLS, WAITS, enter_in_bar, leave_in_bar, trigger_in_bar
from utils.rows import AccountRow, BarRow, InstrumentRow, OrderSlotRow, ParamsRow, PositionRow

# what is inlined here, and the engine's short way through calm bars, cost a tenth of a run as calls


@inlined
def match_order(
    acc: AccountRow, order: OrderSlotRow, qty: float, bar: BarRow, ins: InstrumentRow, par: ParamsRow
) -> tuple[int, float, float, int, bool]:
    """Does an order fill in this bar, and at what price?

    Args:
        acc: it counts capped prices.
        order: it stands by itself, or enters.
        qty: size that would fill, base.
        bar: the bar; its volume is above 0.
        ins: tick of the symbol.
        par: cost parameters.

    Returns:
        (WAITS, FILLS or CROSSES; fill price; reference price for slippage; MAKER or TAKER; filled inside the bar).
    """
    if order.kind == STOP_MARKET:
        reference, inside = trigger_in_bar(order.trigger, order.side, bar)
        outcome, liquidity = WAITS if math.isnan(reference) else FILLS, TAKER
    else:
        outcome, reference, liquidity, inside = enter_in_bar(
            order.kind, order.side, order.limit, order.waited > 0 or order.state == LIVE, bar, ins.tick
        )
    if outcome == FILLS and order.kind in (MARKET, STOP_MARKET):
        return outcome, taker_price(acc, reference, order.side, qty, bar, ins, par), reference, liquidity, inside
    return outcome, reference, reference, liquidity, inside


@inlined
def untouched(p: PositionRow, bar: BarRow) -> bool:
    """True when the bar leaves the open position as it is: no level reached, no limit of time, nothing to move.

    The quick answer for most bars; where it is False, `match_exit` and the clock decide.
    """
    if bar.volume <= 0.0 or bar.last == 1 or p.bars + 1 >= p.horizon or p.trail > 0.0:
        return False
    return bar.low > p.floor and bar.high < p.ceiling


@inlined
def match_exit(
    acc: AccountRow,
    p: PositionRow,
    take: OrderSlotRow,
    stop: OrderSlotRow,
    bar: BarRow,
    ins: InstrumentRow,
    par: ParamsRow,
) -> tuple[int, float, float, int, bool, bool]:
    """Does the open position end in this bar, by a protective order or by its limit of time?

    Liquidation is touched like a stop; whichever of the two lies nearer to the entry comes first. Liquidated, the whole
    margin is lost: the fill is the bankruptcy price, or the open if that is worse.

    Args:
        acc: it counts capped prices.
        p: the open position.
        take: its take, or a free slot.
        stop: its stop, or a free slot.
        bar: the bar.
        ins: tick of the symbol.
        par: cost parameters.

    Returns:
        (exit reason or 0, fill price, reference price for slippage, MAKER or TAKER, bar touched stop and take,
        the limit of time is due).
    """
    liquidates = stop.state == FREE or p.side * (p.liq - stop.trigger) > 0.0
    level = p.liq if liquidates else stop.trigger
    limit = math.nan if take.state == FREE else take.limit
    reason, reference, liquidity, ambiguous, due = leave_in_bar(
        p.side, level, limit, p.bars, p.horizon, p.inside == 1, bar, ins.tick
    )
    if reason == STOP_LOSS and liquidates:
        lost = min(p.bankrupt, bar.open) if p.side > 0 else max(p.bankrupt, bar.open)
        return LIQUIDATION, lost, p.liq, TAKER, ambiguous, due
    price = reference
    if liquidity == TAKER:
        price = taker_price(acc, reference, -p.side, abs(p.qty), bar, ins, par)
    if reason == STOP_LOSS and stop.trigger != p.first_stop:
        reason = TRAILING_STOP
    return reason, price, reference, liquidity, ambiguous, due
