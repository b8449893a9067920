"""Distances of stops and trails, and how a trail moves."""

from __future__ import annotations

import math

from utils.compiled import compiled
from utils.market.barriers import ceil_to, floor_to
from utils.rows import BPS, BarRow, InstrumentRow, OrderSlotRow, ParamsRow, PositionRow, SignalRow


@compiled
def stop_distance(sig: SignalRow, price: float, par: ParamsRow) -> float:
    """Distance of the stop as a fraction of the price: the signal's, else the settings' ATR multiple or bps.

    Args:
        sig: signal row; `stop_bps` NaN = settings, `atr` in quote.
        price: close at which is decided (quote).
        par: `stop_bps`, or `stop_atr` when `stop_in_atr`.

    Returns:
        Fraction > 0; NaN when an ATR is asked for and still warming up.
    """
    if not math.isnan(sig.stop_bps):
        return sig.stop_bps * BPS
    if par.stop_in_atr == 1:
        return par.stop_atr * sig.atr / price
    return par.stop_bps * BPS


@compiled
def trail_distance(sig: SignalRow, price: float, par: ParamsRow) -> float:
    """Distance of the trailing stop in quote; 0 = no trail; NaN when an ATR is asked for and still warming up."""
    if par.trail_atr > 0.0:
        return par.trail_atr * sig.atr
    return par.trail_bps * BPS * price


@compiled
def move_trail(p: PositionRow, stop: OrderSlotRow, bar: BarRow, ins: InstrumentRow) -> None:
    """At a bar's close, ratchet the stop to the best price shown less the trail; it holds from the next bar on.

    Formula: long: stop = max(stop, max high since entry - trail); short mirrored; rounded to the tick away from the
    market. Of a bar in which a resting entry filled only the close is known to have come after it.
    """
    if p.side > 0:
        p.best = max(p.best, bar.close if p.inside == 1 else bar.high)
        stop.trigger = max(stop.trigger, floor_to(p.best - p.trail, ins.tick, ins.per_tick))
    else:
        p.best = min(p.best, bar.close if p.inside == 1 else bar.low)
        stop.trigger = min(stop.trigger, ceil_to(p.best + p.trail, ins.tick, ins.per_tick))


@compiled
def liquidation_levels(side: int, entry: float, leverage: float, maintenance: float) -> tuple[float, float]:
    """Where the venue takes an isolated linear position over, and where its margin is gone.

    Formula: bankruptcy E (1 - d / L); liquidation E (1 - d / L) / (1 - d m), margin equal to maintenance there.

    Args:
        side: d, +1 long, -1 short.
        entry: E, quote.
        leverage: L, notional / margin.
        maintenance: m, maintenance margin as a fraction of notional.

    Returns:
        (liquidation price, bankruptcy price), quote.

    Source: Bybit help pages on isolated margin; Binance's formula gives the same (20000, 50x, 0.5 % -> 19698.49).
    """
    bankrupt = entry * (1.0 - side / leverage)
    return bankrupt / (1.0 - side * maintenance), bankrupt
