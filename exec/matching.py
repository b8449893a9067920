"""What the market does to our orders in one candle: the matching seam.

The engine asks two questions of a market event: does the waiting entry fill (`match_entry`), and does the position end
(`match_exit`)? Everything that knows a candle's shape stands here; signal, risk and ledger see the answers only, so a
book engine replaces these two functions and nothing else.
"""

from __future__ import annotations

import math

from exec.slippage import taker_price
from utils.codes import LIMIT, LIQUIDATION, MAKER, MARKET, STOP_LOSS, TAKE_PROFIT, TAKER, TRAILING_STOP
from utils.compiled import compiled
from utils.market.barriers import first_touch, limit_fill
from utils.rows import BarRow, InstrumentRow, ParamsRow, PositionRow

#: Answers of `match_entry`.
WAITS, FILLS, CROSSES = 0, 1, 2


@compiled
def match_entry(
    p: PositionRow, qty: float, bar: BarRow, ins: InstrumentRow, par: ParamsRow
) -> tuple[int, float, float, int, bool]:
    """Does the waiting entry fill in this bar?

    A market order fills at the open as a taker. A limit fills at its price when the bar trades one tick through it, or
    at the open when the bar opens beyond it; on its arrival bar that is a marketable order (a taker), which a post-only
    order answers by being rejected.

    Args:
        p: the symbol's record with its waiting order.
        qty: size that would fill, base.
        bar: the bar; its volume is above 0.
        ins: tick of the symbol.
        par: cost parameters.

    Returns:
        (WAITS, FILLS or CROSSES; fill price; reference price for slippage; MAKER or TAKER; filled inside the bar).
    """
    if p.o_kind == MARKET:
        return FILLS, taker_price(bar.open, p.o_side, qty, bar, ins, par), bar.open, TAKER, False
    price, inside = limit_fill(p.o_limit, p.o_side, bar.open, bar.high, bar.low, ins.tick)
    if math.isnan(price):
        return WAITS, math.nan, math.nan, 0, False
    if inside or p.o_waited > 0:
        return FILLS, price, price, MAKER, inside
    if p.o_kind == LIMIT:
        return FILLS, price, price, TAKER, False
    return CROSSES, math.nan, price, 0, False


@compiled
def untouched(p: PositionRow, bar: BarRow) -> bool:
    """True when the bar leaves the open position as it is: no level reached, no limit of time, nothing to move.

    The quick answer for most bars; where it is False, `match_exit` and the clock decide.
    """
    if bar.volume <= 0.0 or bar.last == 1 or p.bars + 1 >= p.horizon or p.trail > 0.0:
        return False
    if p.side > 0:
        return bar.low > p.stop and bar.low > p.liq and bar.high <= p.take_price
    return bar.high < p.stop and bar.high < p.liq and bar.low >= p.take_price


@compiled
def match_exit(p: PositionRow, bar: BarRow, ins: InstrumentRow, par: ParamsRow) -> tuple[int, float, float, int, bool]:
    """Does a protective order end the position in this bar?

    Liquidation is touched like a stop; whichever of the two lies nearer to the entry comes first. Liquidated, the whole
    margin is lost: the fill is the bankruptcy price, or the open if that is worse.

    Args:
        p: the open position.
        bar: the bar; its volume is above 0.
        ins: tick of the symbol.
        par: cost parameters.

    Returns:
        (exit reason or 0, fill price, reference price for slippage, MAKER or TAKER, bar touched stop and take).
    """
    liquidates = p.side * (p.liq - p.stop) > 0.0
    stop = p.liq if liquidates else p.stop
    reference, touched, ambiguous = first_touch(
        p.side, stop, p.take_price, bar.open, bar.high, bar.low, ins.tick, p.bars == 0, p.inside == 1
    )
    if touched == TAKE_PROFIT:
        return TAKE_PROFIT, reference, reference, MAKER, ambiguous
    if touched == STOP_LOSS:
        if liquidates:
            lost = min(p.bankrupt, bar.open) if p.side > 0 else max(p.bankrupt, bar.open)
            return LIQUIDATION, lost, p.liq, TAKER, ambiguous
        price = taker_price(reference, -p.side, abs(p.qty), bar, ins, par)
        reason = STOP_LOSS if p.stop == p.first_stop else TRAILING_STOP
        return reason, price, reference, TAKER, ambiguous
    return 0, math.nan, math.nan, 0, False
