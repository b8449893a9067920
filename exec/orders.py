"""The life of an order: sent, filled, cut short, rejected, expired, cancelled; each end writes its journal row."""

from __future__ import annotations

import math

from exec.matching import match_entry, match_exit
from exec.slippage import taker_price
from risk.portfolio import close_position, open_position
from risk.stops import move_trail
from utils.codes import (
    END_OF_DATA,
    EXPIRED,
    FILLED,
    LIMIT,
    LIMIT_BARS,
    LIQUIDATION,
    MARKET,
    MIN_NOTIONAL,
    PARTIAL,
    REJECTED,
    STOP_LOSS,
    STOP_MARKET,
    TAKE_PROFIT,
    TAKER,
    TIME_LIMIT,
    TRAILING_STOP,
    VOLUME_CAP,
    WOULD_CROSS,
)
from utils.compiled import compiled
from utils.market.barriers import CROSSES, WAITS, floor_to, resting_price
from utils.rows import BPS, AccountRow, BarRow, InstrumentRow, OrderRow, ParamsRow, PositionRow, SignalRow, TradeRow


@compiled
def place_entry(
    acc: AccountRow,
    p: PositionRow,
    ins: InstrumentRow,
    par: ParamsRow,
    bar: BarRow,
    sig: SignalRow,
    qty: float,
    stop: float,
    trail: float,
) -> None:
    """Send the entry order; it is in the market from the next open on."""
    side = int(sig.side)
    acc.orders += 1
    p.o_id = acc.orders
    p.o_side = side
    p.o_kind = par.entry_kind
    p.o_qty = qty
    p.o_ts = bar.ts
    p.o_price = bar.close
    p.o_limit = math.nan
    p.o_bars = math.inf
    if par.entry_kind != MARKET:
        p.o_limit = resting_price(bar.close, side, par.limit_offset_bps * BPS, ins.tick, ins.per_tick)
        p.o_bars = par.limit_bars
    p.o_take_bps = par.take_bps if math.isnan(sig.take_bps) else sig.take_bps
    p.o_stop = stop
    p.o_trail = trail
    p.o_horizon = par.horizon if math.isnan(sig.horizon) else sig.horizon
    p.o_waited = 0


@compiled
def end_entry(acc: AccountRow, p: PositionRow, order: OrderRow, bar: BarRow) -> None:
    """The waiting entry ended unfilled; write its order row. Status and reason, or what it filled, the caller adds."""
    order.order_id = p.o_id
    order.entry_no = 0
    order.sym = bar.sym
    order.side = p.o_side
    order.kind = p.o_kind
    order.qty = p.o_qty
    order.filled_qty = 0.0
    order.decision_ts = p.o_ts
    order.decision_price = p.o_price
    order.arrival_price = math.nan
    order.fill_price = math.nan
    order.end_price = bar.close
    order.fees = 0.0
    acc.n_orders += 1
    p.o_side = 0


@compiled
def enter(acc: AccountRow, p: PositionRow, ins: InstrumentRow, par: ParamsRow, bar: BarRow, order: OrderRow) -> None:
    """The waiting entry meets a bar that trades: it fills (capped by volume), is rejected, or waits on."""
    qty = min(p.o_qty, floor_to(par.volume_cap * bar.volume, ins.lot, ins.per_lot))
    outcome, price, reference, liquidity, inside = match_entry(p, qty, bar, ins, par)
    if outcome == WAITS:
        return
    side = p.o_side
    end_entry(acc, p, order, bar)
    order.arrival_price = reference
    capped = qty < p.o_qty
    if outcome == CROSSES:
        order.status = REJECTED
        order.reason = WOULD_CROSS
        return
    if qty <= 0.0 or qty * price < ins.min_notional:
        order.status = REJECTED
        order.reason = VOLUME_CAP if capped else MIN_NOTIONAL
        return
    open_position(acc, p, ins, par, side, bar.ts - par.tf_ns, qty, price, reference, liquidity, inside)
    order.status = PARTIAL if capped else FILLED
    order.reason = VOLUME_CAP if capped else 0
    order.entry_no = p.entry_no
    order.filled_qty = qty
    order.fill_price = price
    order.fees = p.fees


@compiled
def age_entry(acc: AccountRow, p: PositionRow, bar: BarRow, order: OrderRow) -> None:
    """One more bar has passed over the waiting entry; it expires with its patience, or with the data."""
    p.o_waited += 1
    if bar.last == 1:
        end_entry(acc, p, order, bar)
        order.status = EXPIRED
        order.reason = END_OF_DATA
    elif p.o_waited >= p.o_bars:
        end_entry(acc, p, order, bar)
        order.status = EXPIRED
        order.reason = LIMIT_BARS


@compiled
def exit_kind(reason: int) -> int:
    """The order kind behind an exit: a resting limit, a triggered stop, or a plain market order."""
    if reason == TAKE_PROFIT:
        return LIMIT
    if reason in (STOP_LOSS, TRAILING_STOP, LIQUIDATION):
        return STOP_MARKET
    return MARKET


@compiled
def end_position(
    acc: AccountRow,
    p: PositionRow,
    ins: InstrumentRow,
    trade: TradeRow,
    order: OrderRow,
    bar: BarRow,
    reference: float,
    decision_ts: int,
    decision_price: float,
) -> None:
    """Book the exit whose reason, time, price and liquidity stand in `trade`, and the order that did it."""
    paid = p.fees
    close_position(acc, p, ins, trade, bar, reference)
    acc.orders += 1
    order.order_id = acc.orders
    order.entry_no = trade.entry_no
    order.sym = bar.sym
    order.side = -trade.side
    order.kind = exit_kind(trade.exit_reason)
    order.qty = trade.qty
    order.filled_qty = trade.qty
    order.decision_ts = decision_ts
    order.decision_price = decision_price
    order.arrival_price = reference
    order.fill_price = trade.exit_price
    order.end_price = bar.close
    order.fees = trade.fees - paid
    order.status = FILLED
    order.reason = trade.exit_reason
    acc.n_orders += 1


@compiled
def close_at_next_open(p: PositionRow, bar: BarRow) -> None:
    """Send a market exit to the open of the next bar that trades; the caller writes its reason to `closing`."""
    p.closing_ts = bar.ts
    p.closing_price = bar.close


@compiled
def exit_at_open(
    acc: AccountRow, p: PositionRow, ins: InstrumentRow, par: ParamsRow, bar: BarRow, trade: TradeRow, order: OrderRow
) -> None:
    """A market exit decided earlier fills at the open of the first bar that trades."""
    trade.exit_reason = p.closing
    trade.exit_ts = bar.ts - par.tf_ns
    trade.exit_price = taker_price(bar.open, -p.side, abs(p.qty), bar, ins, par)
    trade.exit_liquidity = TAKER
    end_position(acc, p, ins, trade, order, bar, bar.open, p.closing_ts, p.closing_price)


@compiled
def decided_at(p: PositionRow, bar: BarRow, reason: int) -> tuple[int, float]:
    """When (ns) and at what price an exit of this bar was decided: barriers with the entry, the rest at the close."""
    if reason == TAKE_PROFIT:
        return p.entry_ts, p.take_price
    if reason == LIQUIDATION:
        return p.entry_ts, p.liq
    if reason in (STOP_LOSS, TRAILING_STOP):
        return p.entry_ts, p.stop
    return bar.ts, bar.close


@compiled
def exit_inside(
    acc: AccountRow, p: PositionRow, ins: InstrumentRow, par: ParamsRow, bar: BarRow, trade: TradeRow, order: OrderRow
) -> None:
    """What the bar does to the open position: stop, take, liquidation, time limit, end of data; or the trail moves."""
    reason, price, reference, liquidity, ambiguous, due = match_exit(p, bar, ins, par)
    if ambiguous:
        acc.ambiguous += 1
    if reason != 0:
        trade.exit_ts = bar.ts
        trade.exit_reason = reason
        trade.exit_price = price
        trade.exit_liquidity = liquidity
        ts, level = decided_at(p, bar, reason)
        end_position(acc, p, ins, trade, order, bar, reference, ts, level)
        return
    if due and p.closing == 0:
        close_at_next_open(p, bar)
        p.closing = TIME_LIMIT
    if p.trail > 0.0:
        move_trail(p, bar, ins)
