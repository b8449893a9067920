"""What is at work when an entry is asked for: positions, notional, heat, and how they move with the entry.

Heat is the share of equity that is lost if every stop is hit now, costs of leaving included. It is measured from the
last price, so it grows as a price runs away from its stop: entries are held to its limit, positions are not trimmed.
"""

from __future__ import annotations

import math

from risk.controls import correlated_room, kelly_fraction, loss_to, on
from risk.correlation import heat_rho, pair_step
from risk.portfolio import exposure, notional_of
from risk.sizing import loss_at_stop
from risk.stops import way_to_liquidation
from utils.codes import AUTO, CLOSE, FREE, MARKET, SENT, STOP
from utils.compiled import compiled
from utils.market.costs import crossing_bps, round_trip_costs
from utils.rows import (
    BPS,
    AccountRow,
    AskedRow,
    InstrumentRow,
    OrderSlotRow,
    ParamsRow,
    PositionRow,
    Rows,
    SignalRow,
)

_costs = compiled(round_trip_costs)
_crossing = compiled(crossing_bps)
#: Closes that two symbols must have had together before their correlation is believed; until then it is 1.
LEAST_PAIRS = 100


@compiled
def held_heat(p: PositionRow, stop: OrderSlotRow, ins: InstrumentRow, par: ParamsRow) -> float:
    """Heat of a position in quote, signed by its side; without a stop it is left where the venue takes it over."""
    level = max(ins.tick, stop.trigger if stop.state != FREE else p.liq)
    cost = (_crossing(par.half_spread_bps, par.slippage_bps, ins.tick, level) + ins.taker_bps) * BPS
    return p.side * loss_to(p.side, p.mark, level, abs(p.qty), cost, 1.0)


@compiled
def planned_heat(order: OrderSlotRow, ins: InstrumentRow, par: ParamsRow) -> float:
    """Heat that a waiting order may bring, in quote, signed by its side; without a stop, up to its liquidation."""
    notional = notional_of(order)
    if notional == 0.0:
        return 0.0
    if math.isnan(order.stop):
        return order.side * notional * way_to_liquidation(order.side, ins, par)
    kind = order.kind if math.isnan(order.chase) else MARKET  # in the end it may take
    return order.side * notional * loss_at_stop(order.side, kind, order.decision_price, order.stop, ins, par)


@compiled
def heat_of(acc: AccountRow, p: PositionRow, slots: Rows, first: int, ins: InstrumentRow, par: ParamsRow) -> float:
    """Heat of one symbol, fraction of equity, signed by its side; the sides of orders that oppose each other add up."""
    heat = 0.0
    if p.qty != 0.0 and slots[first + CLOSE - 1].state == FREE:
        heat = held_heat(p, slots[first + STOP - 1], ins, par)
    for i in range(first, first + acc.slots):
        slot = slots[i]
        if slot.state >= SENT and (i == first or i >= first + CLOSE) and slot.reduce_only == 0:
            more = planned_heat(slot, ins, par)
            heat += more if heat * more >= 0.0 else (abs(more) if heat > 0.0 else -abs(more))
    return heat / acc.equity


@compiled
def signed_notional(acc: AccountRow, p: PositionRow, slots: Rows, first: int) -> float:
    """Longs less shorts of one symbol that count against the limits, quote."""
    net = 0.0
    if p.qty != 0.0 and slots[first + CLOSE - 1].state == FREE:
        net = p.qty * p.mark
    for i in range(first, first + acc.slots):
        slot = slots[i]
        if i == first or i >= first + CLOSE:
            net += slot.side * notional_of(slot)
    return net


@compiled
def moves_with(pairs: Rows, symbols: int, i: int, j: int, sides: int, par: ParamsRow) -> float:
    """How a position in symbol j moves with one in i, -1 to 1, their sides (d_i d_j) counted in."""
    if i == j:
        return float(sides)
    return sides * heat_rho(pairs[min(i, j) * symbols + max(i, j)], sides, par.rho_floor, LEAST_PAIRS)


@compiled
def learn(pos: Rows, pairs: Rows, rows: Rows, par: ParamsRow, lo: int, hi: int) -> None:
    """The closes of one instant, rows `lo` to `hi` in order of symbol, join the correlations of their symbols."""
    symbols = len(pos)
    for k in range(lo, hi):
        p, bar = pos[rows[k].sym], rows[k]
        p.moved = math.log(bar.close / p.close) if p.close > 0.0 and bar.gap == 0 else math.nan
        p.close = bar.close
    for k in range(lo, hi):
        a = pos[rows[k].sym].moved
        if not math.isnan(a):
            for m in range(k + 1, hi):
                b = pos[rows[m].sym].moved
                if not math.isnan(b):
                    pair_step(pairs[rows[k].sym * symbols + rows[m].sym], a, b, par.rho_weight)


@compiled
def look_at_heat(
    acc: AccountRow, pos: Rows, slots: Rows, pairs: Rows, instruments: Rows, par: ParamsRow, at: AskedRow, sym: int
) -> None:
    """Add up heat, correlated heat, cluster and net of what is at work, as they bear on an entry of `sym`."""
    symbols = len(pos)
    for k in range(symbols):
        p = pos[k]
        p.heat = heat_of(acc, p, slots, k * acc.slots, instruments[k], par)
        at.heat += abs(p.heat)
        at.net += at.side * signed_notional(acc, p, slots, k * acc.slots)
        if p.qty != 0.0 and slots[k * acc.slots + CLOSE - 1].state == FREE:
            at.age_ns = max(at.age_ns, float(at.ts - p.mark_ts))
        if p.heat != 0.0:
            rho = moves_with(pairs, symbols, sym, k, 1 if at.side * p.heat > 0.0 else -1, par)
            at.covariance += rho * abs(p.heat)
            if rho > par.cluster_rho:
                at.cluster += abs(p.heat)
    for i in range(symbols):
        if pos[i].heat != 0.0:
            for j in range(symbols):
                if pos[j].heat != 0.0:
                    same = 1 if pos[i].heat * pos[j].heat > 0.0 else -1
                    at.variance += moves_with(pairs, symbols, i, j, same, par) * abs(pos[i].heat * pos[j].heat)


@compiled
def kelly_after_costs(sig: SignalRow, at: AskedRow, maker_entry: bool, ins: InstrumentRow, par: ParamsRow) -> float:
    """Share of equity to lose at the stop by Kelly's rule, costs of both ways of ending counted; 0 where none pays."""
    take = par.take_bps if math.isnan(sig.take_bps) else sig.take_bps
    cross = _crossing(par.half_spread_bps, par.slippage_bps, ins.tick, at.price)
    cost_take, cost_stop = _costs(maker_entry, ins.maker_bps, ins.taker_bps, cross)
    return max(0.0, kelly_fraction(sig.p_win, take - cost_take, at.stop / BPS + cost_stop))


@compiled
def look(
    acc: AccountRow,
    pos: Rows,
    slots: Rows,
    pairs: Rows,
    instruments: Rows,
    par: ParamsRow,
    sig: SignalRow,
    at: AskedRow,
    sym: int,
    side: int,
    ts: int,
    price: float,
    kind: int,
) -> None:
    """Write what the rules and the size of an entry are told; its stop has been written before.

    Args:
        acc: the account, marked.
        pos: POSITION of all symbols.
        slots: ORDER_SLOT of all symbols.
        pairs: PAIR of all symbols with all.
        instruments: INSTRUMENT of all symbols.
        par: limits; costs.
        sig: the signal; of an order that stands by itself a neutral one.
        at: ASKED record to write; `stop` stands in it.
        sym: number of the symbol.
        side: +1 long, -1 short.
        ts: now, ns.
        price: close or mark, quote.
        kind: of the entry; AUTO as a taker's.
    """
    p, ins = pos[sym], instruments[sym]
    at.ts, at.side, at.price = ts, side, price
    at.equity = acc.equity
    at.count, at.gross = exposure(acc, pos, slots)
    at.max_leverage, at.venue_leverage = par.leverage, ins.max_leverage
    at.fixed_notional = par.fixed_notional if par.fixed_notional > 0.0 else math.nan
    at.risk_fraction = math.nan if par.fixed_notional > 0.0 else par.risk_fraction
    at.drawdown = 1.0 - acc.equity / acc.high
    at.vol_bps, at.spread_bps, at.cool_until = sig.vol_bps, p.spread_bps, p.cool_until
    at.age_ns = float(ts - p.mark_ts)
    at.loss = math.nan
    stands = at.stop > 0.0 and at.stop < 1.0  # else the entry is refused for its stop, and for nothing reckoned from it
    if stands and (par.fixed_notional == 0.0 or par.limits == 1):
        at.loss = loss_at_stop(side, kind, price, at.stop, ins, par)
    at.heat = at.variance = at.covariance = at.cluster = at.net = 0.0
    at.max_net_leverage, at.max_heat, at.max_cluster = on(par.max_net), on(par.max_heat), on(par.max_cluster)
    at.depth, at.depth_share = p.depth, on(par.depth_share)
    at.kelly = at.correlated_room = math.nan
    if par.limits == 1:
        look_at_heat(acc, pos, slots, pairs, instruments, par, at, sym)
        at.correlated_room = correlated_room(at.variance, at.covariance, on(par.max_correlated))
        if stands and not math.isnan(sig.p_win) and par.kelly > 0.0:
            at.kelly = par.kelly * kelly_after_costs(sig, at, kind not in (MARKET, AUTO), ins, par)
        if par.max_risk > 0.0:
            at.risk_fraction = par.max_risk if par.fixed_notional > 0.0 else min(par.risk_fraction, par.max_risk)
