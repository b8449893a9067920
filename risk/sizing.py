"""How much: equity lost when the stop is hit, costs included, under leverage caps, on the lot."""

from __future__ import annotations

from risk.controls import allowed_notional
from utils.codes import AUTO, MARKET
from utils.compiled import compiled
from utils.market.barriers import crossed, floor_to, levels, resting_price
from utils.rows import BPS, AskedRow, InstrumentRow, ParamsRow


@compiled
def crossing(reference: float, direction: int, ins: InstrumentRow, par: ParamsRow) -> float:
    """What a taker is expected to pay: `reference` (quote) less half spread and slippage, and a tick at least."""
    cost = (par.half_spread_bps + par.slippage_bps) * BPS
    price, _ = crossed(reference, direction, cost, par.max_impact_bps * BPS, ins.tick, ins.per_tick)
    return max(price, reference + ins.tick) if direction > 0 else min(price, reference - ins.tick)


@compiled
def loss_at_stop(side: int, kind: int, price: float, stop: float, ins: InstrumentRow, par: ParamsRow) -> float:
    """What an entry loses when its stop is hit where it stands: the move, what crossing costs, and both fees.

    Formula: (d (E - X) + fee_in E + fee_out X) / price: E where the entry is expected to fill, X the stop on its tick
    less crossing, both a tick at least against us. Impact and gaps beyond the stop come on top: nobody knows them yet.

    Args:
        side: d, +1 long, -1 short.
        kind: of the entry; what may be MARKET in the end is counted as such.
        price: close at which is decided, quote.
        stop: distance of the stop, fraction of the entry price.
        ins: tick and fees.
        par: offset of a resting entry, half spread and slippage.

    Returns:
        Fraction of `price`; 0 or less where rebates pay for it.
    """
    if kind in (MARKET, AUTO):
        entry = crossing(price, side, ins, par)
        fee = ins.taker_bps
    else:
        entry = resting_price(price, side, par.limit_offset_bps * BPS, ins.tick, ins.per_tick)
        fee = ins.maker_bps
    out = max(ins.tick, crossing(levels(side, entry, stop, stop, ins.tick, ins.per_tick)[1], -side, ins, par))
    return (side * (entry - out) + (fee * entry + ins.taker_bps * out) * BPS) / price


@compiled
def entry_qty(at: AskedRow, ins: InstrumentRow, scale: float) -> tuple[float, int]:
    """Size of an entry: what the smallest control allows, times what the rules left of it, down to the lot.

    Where rebates pay for the stop, nothing is lost at it, and the caps alone decide.

    Args:
        at: what `risk.exposure.look` found, the controls among it.
        ins: lot.
        scale: product of the rules' scales, 0-1.

    Returns:
        (base quantity, >= 0; code of the control that held it).
    """
    allowed, bound = allowed_notional(at)
    return max(0.0, floor_to(allowed * scale / at.price, ins.lot, ins.per_lot)), bound
