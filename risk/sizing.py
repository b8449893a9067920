"""How much: equity lost when the stop is hit, costs included, under leverage caps, on the lot."""

from __future__ import annotations

import math

from utils.codes import MARKET
from utils.compiled import compiled
from utils.market.barriers import crossed, floor_to, levels, resting_price
from utils.rows import BPS, AccountRow, InstrumentRow, ParamsRow


@compiled
def crossing(reference: float, direction: int, ins: InstrumentRow, par: ParamsRow) -> float:
    """What a taker is expected to pay: `reference` (quote) less half spread and slippage, and a tick at least."""
    cost = (par.half_spread_bps + par.slippage_bps) * BPS
    price, _ = crossed(reference, direction, cost, par.max_impact_bps * BPS, ins.tick, ins.per_tick)
    return max(price, reference + ins.tick) if direction > 0 else min(price, reference - ins.tick)


@compiled
def loss_at_stop(side: int, price: float, stop: float, ins: InstrumentRow, par: ParamsRow) -> float:
    """What an entry loses when its stop is hit where it stands: the move, what crossing costs, and both fees.

    Formula: (d (E - X) + fee_in E + fee_out X) / price: E where the entry is expected to fill, X the stop on its tick
    less crossing, both a tick at least against us. Impact and gaps beyond the stop come on top: nobody knows them yet.

    Args:
        side: d, +1 long, -1 short.
        price: close at which is decided, quote.
        stop: distance of the stop, fraction of the entry price.
        ins: tick and fees.
        par: kind of entry, offset of a resting one, half spread and slippage.

    Returns:
        Fraction of `price`; 0 or less where rebates pay for it.
    """
    if par.entry_kind == MARKET:
        entry = crossing(price, side, ins, par)
        fee = ins.taker_bps
    else:
        entry = resting_price(price, side, par.limit_offset_bps * BPS, ins.tick, ins.per_tick)
        fee = ins.maker_bps
    out = max(ins.tick, crossing(levels(side, entry, stop, stop, ins.tick, ins.per_tick)[1], -side, ins, par))
    return (side * (entry - out) + (fee * entry + ins.taker_bps * out) * BPS) / price


@compiled
def entry_qty(
    acc: AccountRow, ins: InstrumentRow, par: ParamsRow, price: float, loss: float, gross: float, scale: float
) -> float:
    """Size of an entry.

    Formula: notional = min(risk x equity / loss, leverage x equity - gross, venue leverage x equity) x scale, or the
    fixed notional under the same caps; qty = notional / price, rounded down to the lot. Where rebates pay for the stop,
    nothing is lost at it, and the caps alone decide.

    Args:
        acc: marked equity, quote.
        ins: lot and the venue's leverage limit.
        par: risk fraction, fixed notional, account leverage.
        price: close at which is decided, quote.
        loss: what is lost at the stop, as `loss_at_stop` tells, fraction of the price; of a fixed notional nobody asks.
        gross: notional already at work, quote.
        scale: what the risk rules left of it, 0-1.

    Returns:
        Base quantity, >= 0.
    """
    wanted = math.inf if loss <= 0.0 else par.risk_fraction * acc.equity / loss
    if par.fixed_notional > 0.0:
        wanted = par.fixed_notional
    room = min(par.leverage * acc.equity - gross, ins.max_leverage * acc.equity)
    return max(0.0, floor_to(min(wanted * scale, room) / price, ins.lot, ins.per_lot))
