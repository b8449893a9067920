"""How much: equity risked at the stop, under leverage caps, on the lot."""

from __future__ import annotations

from utils.compiled import compiled
from utils.market.barriers import floor_to
from utils.rows import AccountRow, InstrumentRow, ParamsRow


@compiled
def entry_qty(
    acc: AccountRow, ins: InstrumentRow, par: ParamsRow, price: float, stop: float, gross: float, scale: float
) -> float:
    """Size of an entry.

    Formula: notional = min(risk x equity / stop, leverage x equity - gross, venue leverage x equity) x scale, or the
    fixed notional under the same caps; qty = notional / price, rounded down to the lot.

    Args:
        acc: marked equity, quote.
        ins: lot and the venue's leverage limit.
        par: risk fraction, fixed notional, account leverage.
        price: close at which is decided, quote.
        stop: stop distance, fraction of the price.
        gross: notional already at work, quote.
        scale: what the risk rules left of it, 0-1.

    Returns:
        Base quantity, >= 0.
    """
    wanted = par.fixed_notional if par.fixed_notional > 0.0 else par.risk_fraction * acc.equity / stop
    room = min(par.leverage * acc.equity - gross, ins.max_leverage * acc.equity)
    return max(0.0, floor_to(min(wanted * scale, room) / price, ins.lot, ins.per_lot))
