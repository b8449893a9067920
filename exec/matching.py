"""What the market does to our orders in one candle: the matching seam.

The engine asks two questions of a market event: does the waiting entry fill (`match_entry`), and does the position end
(`match_exit`)? The walk through a candle is that of `utils.market.barriers`, which labels and search take, too; what a
taker pays, trails and liquidation are added here. Signal, risk and ledger see the answers only.
"""

from __future__ import annotations

from exec.slippage import taker_price
from utils.codes import LIQUIDATION, MARKET, STOP_LOSS, TAKER, TRAILING_STOP
from utils.compiled import inlined
from utils.market.barriers import enter_in_bar, leave_in_bar, out_of_reach
from utils.rows import BarRow, InstrumentRow, ParamsRow, PositionRow

# what is inlined here, and the engine's short way through a calm bar, cost a tenth of a run as calls


@inlined
def match_entry(
    p: PositionRow, qty: float, bar: BarRow, ins: InstrumentRow, par: ParamsRow
) -> tuple[int, float, float, int, bool]:
    """Does the waiting entry fill in this bar, and at what price?

    Args:
        p: the symbol's record with its waiting order.
        qty: size that would fill, base.
        bar: the bar; its volume is above 0.
        ins: tick of the symbol.
        par: cost parameters.

    Returns:
        (WAITS, FILLS or CROSSES; fill price; reference price for slippage; MAKER or TAKER; filled inside the bar).
    """
    outcome, reference, liquidity, inside = enter_in_bar(p.o_kind, p.o_side, p.o_limit, p.o_waited > 0, bar, ins.tick)
    if p.o_kind == MARKET:
        return outcome, taker_price(reference, p.o_side, qty, bar, ins, par), reference, liquidity, inside
    return outcome, reference, reference, liquidity, inside


@inlined
def untouched(p: PositionRow, bar: BarRow) -> bool:
    """True when the bar leaves the open position as it is: no level reached, no limit of time, nothing to move.

    The quick answer for most bars; where it is False, `match_exit` and the clock decide.
    """
    if bar.volume <= 0.0 or bar.last == 1 or p.bars + 1 >= p.horizon or p.trail > 0.0:
        return False
    return out_of_reach(p.side, p.stop, p.take_price, bar) and out_of_reach(p.side, p.liq, p.take_price, bar)


@inlined
def match_exit(
    p: PositionRow, bar: BarRow, ins: InstrumentRow, par: ParamsRow
) -> tuple[int, float, float, int, bool, bool]:
    """Does the open position end in this bar, by a protective order or by its limit of time?

    Liquidation is touched like a stop; whichever of the two lies nearer to the entry comes first. Liquidated, the whole
    margin is lost: the fill is the bankruptcy price, or the open if that is worse.

    Args:
        p: the open position.
        bar: the bar.
        ins: tick of the symbol.
        par: cost parameters.

    Returns:
        (exit reason or 0, fill price, reference price for slippage, MAKER or TAKER, bar touched stop and take,
        the limit of time is due).
    """
    liquidates = p.side * (p.liq - p.stop) > 0.0
    stop = p.liq if liquidates else p.stop
    reason, reference, liquidity, ambiguous, due = leave_in_bar(
        p.side, stop, p.take_price, p.bars, p.horizon, p.inside == 1, bar, ins.tick
    )
    if reason == STOP_LOSS and liquidates:
        lost = min(p.bankrupt, bar.open) if p.side > 0 else max(p.bankrupt, bar.open)
        return LIQUIDATION, lost, p.liq, TAKER, ambiguous, due
    price = reference
    if liquidity == TAKER:
        price = taker_price(reference, -p.side, abs(p.qty), bar, ins, par)
    if reason == STOP_LOSS and p.stop != p.first_stop:
        reason = TRAILING_STOP
    return reason, price, reference, liquidity, ambiguous, due
