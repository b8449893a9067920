"""Distances of stops and trails, and how a trail moves."""

from __future__ import annotations

import math

from utils.codes import BY_ATR, BY_BPS, BY_FLOOR, BY_LIQUIDATION, BY_SIGNAL
from utils.compiled import compiled
from utils.market.barriers import ceil_to, floor_to
from utils.rows import BPS, BarRow, InstrumentRow, OrderSlotRow, ParamsRow, PositionRow, SignalRow

#: Bars of the average true range, as of the feature `atr_14`.
ATR_BARS = 14.0


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


@compiled
def way_to_liquidation(side: int, ins: InstrumentRow, par: ParamsRow) -> float:
    """How far the venue lets a position of `side` run before it takes over, fraction of the entry price."""
    leverage = max(1.0, min(par.leverage, ins.max_leverage))
    return abs(1.0 - liquidation_levels(side, 1.0, leverage, ins.maintenance)[0])


@compiled
def stop_distance(sig: SignalRow, price: float, ins: InstrumentRow, par: ParamsRow) -> tuple[float, int]:
    """Distance of the stop as a fraction of the price, and what set it.

    The signal's own distance, else the settings' bps, else a multiple of the ATR: k ATR / price. A distance that the
    ATR gives is at least `stop_floor` times what crossing costs (spread and slippage); every one is at most the way to
    liquidation over `stop_liquidation`, so that the venue does not come first.

    Args:
        sig: signal row; `stop_bps` NaN = settings, `atr` in quote.
        price: close at which is decided (quote).
        ins: leverage and maintenance margin of the symbol.
        par: `stop_bps`, or `stop_atr` when `stop_in_atr`; floor and cap, 0 = off.

    Returns:
        (fraction > 0, NaN when an ATR is asked for and still warming up; code of `STOP_NAMES`).
    """
    distance, rule = par.stop_bps * BPS, BY_BPS
    if not math.isnan(sig.stop_bps):
        distance, rule = sig.stop_bps * BPS, BY_SIGNAL
    elif par.stop_in_atr == 1:
        distance, rule = par.stop_atr * sig.atr / price, BY_ATR
        least = par.stop_floor * (2.0 * par.half_spread_bps + par.slippage_bps) * BPS
        if distance < least:
            distance, rule = least, BY_FLOOR
    if par.stop_liquidation > 0.0:
        most = way_to_liquidation(int(sig.side), ins, par) / par.stop_liquidation
        if distance > most:
            distance, rule = most, BY_LIQUIDATION
    return distance, rule


@compiled
def trail_distance(sig: SignalRow, price: float, par: ParamsRow) -> float:
    """Distance of the trailing stop in quote; 0 = no trail; NaN when an ATR is asked for and still warming up."""
    if par.trail_atr > 0.0:
        return par.trail_atr * sig.atr
    return par.trail_bps * BPS * price


@compiled
def move_trail(p: PositionRow, stop: OrderSlotRow, bar: BarRow, ins: InstrumentRow, par: ParamsRow) -> None:
    """At a bar's close, ratchet the stop to the best price shown less the trail; it holds from the next bar on.

    Formula: long: stop = max(stop, max high since entry - trail); short mirrored; rounded to the tick away from the
    market. Of a bar in which a resting entry filled only the close is known to have come after it. A chandelier's trail
    is k ATR of this bar, Wilder's average of 14 true ranges carried on from the entry; else it stays that of the entry.
    """
    if par.chandelier == 1:
        true_range = max(bar.high, p.mark) - min(bar.low, p.mark)
        p.atr += (true_range - p.atr) / ATR_BARS
        p.trail = par.trail_atr * p.atr
    if p.side > 0:
        p.best = max(p.best, bar.close if p.inside == 1 else bar.high)
        stop.trigger = max(stop.trigger, floor_to(p.best - p.trail, ins.tick, ins.per_tick))
    else:
        p.best = min(p.best, bar.close if p.inside == 1 else bar.low)
        stop.trigger = min(stop.trigger, ceil_to(p.best + p.trail, ins.tick, ins.per_tick))
