"""The life of an order in its slot: sent, arrived, filled, ended; what is wanted of one is carried out here alone.

Each end writes an ORDER row, each fill a FILL row, where somebody keeps them. A bracket that never acted leaves none:
it goes with its position.
"""

from __future__ import annotations

import math

from risk.portfolio import apply_fill, before_spread, rest_of
from utils.codes import (
    CANCEL,
    CANCELLED,
    CLOSE,
    EARLY_STOP,
    ENTRY,
    FILLED,
    FLIP,
    FREE,
    LIMIT,
    LIVE,
    MARKET,
    MIN_NOTIONAL,
    PARTIAL,
    PLACE,
    QUOTE,
    REDUCE_ONLY,
    REJECTED,
    SENT,
    STOP,
    STOP_LOSS,
    STOP_MARKET,
    TAKE,
    TAKE_PROFIT,
    VOLUME_CAP,
)
from utils.compiled import compiled, inlined
from utils.market.barriers import floor_to, levels
from utils.rows import (
    BPS,
    AccountRow,
    FillRow,
    InstrumentRow,
    IntentRow,
    OrderRow,
    OrderSlotRow,
    ParamsRow,
    PositionRow,
    Rows,
    TradeRow,
)

#: Slots of each symbol that have a role; those behind them hold orders that stand by themselves.
ROLE_SLOTS = CLOSE


@inlined
def place(slot: OrderSlotRow, role: int, kind: int, side: int, qty: float, reason: int, ts: int, price: float) -> None:
    """An order is on its way, decided at `ts` (ns) and `price` (quote); all that not every order has is left out."""
    slot.id = 0
    slot.state = SENT
    slot.side = side
    slot.kind = kind
    slot.role = role
    slot.reduce_only = 0
    slot.reason = reason
    slot.qty = qty
    slot.filled = 0.0
    slot.leaves = qty
    slot.limit = math.nan
    slot.trigger = math.nan
    slot.ahead = math.nan
    slot.decision_ts = ts
    slot.decision_price = price
    slot.arrival_ts = 0
    slot.arrival_price = math.nan
    slot.aimed = math.nan
    slot.fill_price = math.nan
    slot.fees = 0.0
    slot.spread_cost = 0.0
    slot.impact_cost = 0.0
    slot.take_bps = math.nan
    slot.stop = math.nan
    slot.trail = 0.0
    slot.horizon = math.inf
    slot.patience = math.inf
    slot.chase = math.nan
    slot.waited = 0


@inlined
def number(acc: AccountRow, slot: OrderSlotRow) -> None:
    """Give an order its number, if it has none."""
    if slot.id == 0:
        acc.orders += 1
        slot.id = acc.orders


@compiled
def carry_out(acc: AccountRow, p: PositionRow, slot: OrderSlotRow, intent: IntentRow, order: OrderRow) -> None:
    """Do what is wanted of one order: the only reader of intents.

    Args:
        acc: the account, for numbers.
        p: the symbol's position; it counts what waits.
        slot: a free one for PLACE, the order's for REPLACE and CANCEL.
        intent: what is wanted; risk has passed it.
        order: row for an order that ends by it.
    """
    if intent.action == PLACE:
        role = int(intent.role)
        place(slot, role, int(intent.kind), int(intent.side), intent.qty, int(intent.reason), intent.ts, intent.price)
        slot.reduce_only = intent.reduce_only
        slot.limit = intent.limit
        slot.trigger = intent.trigger
        slot.take_bps = intent.take_bps
        slot.stop = intent.stop
        slot.trail = intent.trail
        slot.horizon = intent.horizon
        slot.patience = intent.patience
        slot.chase = intent.chase
        p.waiting += 1
        if role in (ENTRY, QUOTE):
            number(acc, slot)
    elif intent.action == CANCEL:
        end_order(acc, p, slot, order, int(intent.sym), intent.ts, intent.price, 0, CANCELLED, int(intent.reason))
    else:
        if not math.isnan(intent.limit):
            slot.limit = intent.limit
        if not math.isnan(intent.trigger):
            slot.trigger = intent.trigger
        slot.qty = slot.filled + intent.qty
        slot.leaves = intent.qty
        slot.waited = 0
        slot.state = SENT


@inlined
def arrive(slot: OrderSlotRow, ts: int, price: float) -> None:
    """The order meets the market for the first time, at `ts` (ns) and a mid, or open, of `price` (quote)."""
    if slot.state == SENT:
        slot.state = LIVE
        if slot.arrival_ts == 0:
            slot.arrival_ts = ts
            slot.arrival_price = price


@inlined
def end_order(
    acc: AccountRow,
    p: PositionRow,
    slot: OrderSlotRow,
    row: OrderRow,
    sym: int,
    ts: int,
    price: float,
    entry_no: int,
    status: int,
    reason: int,
) -> None:
    """The order is over at `ts` (ns), with the market at `price` (quote): write its row and free its slot."""
    slot.state = FREE
    if slot.role not in (TAKE, STOP):
        p.waiting -= 1
    if acc.keep_orders == 0:
        return
    row.order_id = slot.id
    row.entry_no = entry_no
    row.sym = sym
    row.side = slot.side
    row.kind = slot.kind
    row.status = status
    row.reason = reason
    row.role = slot.role
    row.decision_ts = slot.decision_ts
    row.arrival_ts = slot.arrival_ts
    row.end_ts = ts
    row.qty = slot.qty
    row.filled_qty = slot.filled
    row.decision_price = slot.decision_price
    row.arrival_price = slot.aimed
    row.mid = slot.arrival_price
    row.fill_price = slot.fill_price
    row.end_price = price
    row.fees = slot.fees
    row.spread_cost = slot.spread_cost
    row.impact_cost = slot.impact_cost
    acc.n_orders += 1


@inlined
def write_fill(
    fill: FillRow, sym: int, side: int, qty: float, price: float, reference: float, liquidity: int, ts: int, seen: int
) -> None:
    """What matching knows of a fill: `qty` base at `price`, `reference` aimed at; traded `ts`, seen `seen`, ns."""
    fill.sym = sym
    fill.side = side
    fill.qty = qty
    fill.price = price
    fill.reference = reference
    fill.liquidity = liquidity
    fill.ts = ts
    fill.seen_ts = seen


@inlined
def watch(p: PositionRow, take: OrderSlotRow, stop: OrderSlotRow) -> None:
    """Remember between which prices nothing happens to the position."""
    if p.side > 0:
        p.floor = max(p.liq, stop.trigger) if stop.state != FREE else p.liq
        p.ceiling = take.limit if take.state != FREE else math.inf
    else:
        p.ceiling = min(p.liq, stop.trigger) if stop.state != FREE else p.liq
        p.floor = take.limit if take.state != FREE else -math.inf


@inlined
def protect(p: PositionRow, entry: OrderSlotRow, take: OrderSlotRow, stop: OrderSlotRow, ins: InstrumentRow) -> None:
    """Put the brackets that the entry carries around its position, measured from the mean entry price."""
    moved = stop.trigger if stop.state != FREE and stop.trigger != p.first_stop else math.nan
    p.take_price, p.first_stop = levels(p.side, p.entry_price, entry.take_bps * BPS, entry.stop, ins.tick, ins.per_tick)
    p.take_price = max(p.take_price, ins.tick)
    qty = abs(p.qty)
    place(take, TAKE, LIMIT, -p.side, qty, TAKE_PROFIT, p.entry_ts, p.take_price)
    take.limit = p.take_price
    take.state = LIVE
    place(stop, STOP, STOP_MARKET, -p.side, qty, STOP_LOSS, p.entry_ts, p.first_stop)
    stop.trigger = p.first_stop
    if not math.isnan(moved):  # a trail moved it, and it only ratchets
        stop.trigger = max(moved, stop.trigger) if p.side > 0 else min(moved, stop.trigger)
    stop.state = LIVE
    watch(p, take, stop)


@inlined
def release(p: PositionRow, take: OrderSlotRow, stop: OrderSlotRow, close: OrderSlotRow) -> None:
    """The position is gone, and with it its brackets and a close that still waited."""
    take.state = FREE
    stop.state = FREE
    if close.state != FREE:
        close.state = FREE
        p.waiting -= 1


@inlined
def leave(
    acc: AccountRow,
    p: PositionRow,
    take: OrderSlotRow,
    stop: OrderSlotRow,
    close: OrderSlotRow,
    slot: OrderSlotRow,
    ins: InstrumentRow,
    par: ParamsRow,
    fill: FillRow,
    trade: TradeRow,
    order: OrderRow,
    end_price: float,
) -> None:
    """`slot`, one of the three, closes the whole position as `fill` says (`write_fill` has); the others go with it.

    Args:
        acc: the account.
        p: the position.
        take: its take.
        stop: its stop.
        close: its close.
        slot: the one that fills; its `reason` says why.
        ins: the symbol's instrument.
        par: settings.
        fill: price, reference, liquidity, times.
        trade: row for the round trip.
        order: row for the order.
        end_price: close or mid when it ends, quote.
    """
    slot.qty = fill.qty
    slot.filled = 0.0
    slot.arrival_ts = fill.ts if slot.arrival_ts == 0 else slot.arrival_ts
    slot.arrival_price = before_spread(p, fill)
    number(acc, slot)
    apply_fill(acc, p, ins, par, slot, fill, trade)
    end_order(acc, p, slot, order, int(fill.sym), fill.ts, end_price, fill.entry_no, FILLED, slot.reason)
    release(p, take, stop, close)


@inlined
def trade(
    acc: AccountRow,
    p: PositionRow,
    take: OrderSlotRow,
    stop: OrderSlotRow,
    close: OrderSlotRow,
    slot: OrderSlotRow,
    ins: InstrumentRow,
    par: ParamsRow,
    fill: FillRow,
    round_trip: TradeRow,
) -> None:
    """An entry, or an order that stands by itself, fills as `fill` says; brackets follow the position it leaves.

    A fill against the position is at most all of it: `fill_in_parts` divides one that goes beyond.
    """
    apply_fill(acc, p, ins, par, slot, fill, round_trip)
    if p.qty == 0.0:
        release(p, take, stop, close)
    elif slot.role == ENTRY and p.side == slot.side:
        protect(p, slot, take, stop, ins)
    else:
        for bracket in (take, stop):
            bracket.qty = abs(p.qty)
            bracket.leaves = bracket.qty
        watch(p, take, stop)


@inlined
def part_of(p: PositionRow, slot: OrderSlotRow, qty: float) -> float:
    """How much of a fill of `qty` (base) is one fill of the ledger: up to the end of an opposite position, or all."""
    return min(qty, abs(p.qty)) if p.side == -slot.side else qty


@inlined
def fill_in_parts(
    acc: AccountRow,
    p: PositionRow,
    slots: Rows,
    first: int,
    slot: OrderSlotRow,
    qty: float,
    price: float,
    reference: float,
    liquidity: int,
    ts: int,
    seen: int,
    sym: int,
    ins: InstrumentRow,
    par: ParamsRow,
    trades: Rows,
    fills: Rows,
) -> int:
    """An order fills with `qty` (base): one fill, or two where that turns the position round, an exit and an entry.

    Returns:
        Number of the round trip that the last of it belongs to.
    """
    take, stop, close = slots[first + TAKE - 1], slots[first + STOP - 1], slots[first + CLOSE - 1]
    slot.reason = FLIP if qty > abs(p.qty) else EARLY_STOP
    entry_no, done = 0, 0.0
    while done < qty:
        part = part_of(p, slot, qty - done)
        fill = fills[acc.n_fills]
        write_fill(fill, sym, slot.side, part, price, reference, liquidity, ts, seen)
        trade(acc, p, take, stop, close, slot, ins, par, fill, trades[acc.n_trades])
        entry_no = fill.entry_no
        done = qty if rest_of(qty - done - part, ins) == 0.0 else done + part
    return entry_no


@compiled
def may_fill(
    acc: AccountRow, p: PositionRow, slot: OrderSlotRow, sym: int, ts: int, price: float, order: OrderRow
) -> float:
    """How much of a standing order may fill, base; one that only reduces ends where there is nothing to reduce."""
    if slot.reduce_only == 0:
        return slot.leaves
    if p.side == -slot.side:
        return min(slot.leaves, abs(p.qty))
    end_order(acc, p, slot, order, sym, ts, price, 0, PARTIAL if slot.filled > 0.0 else CANCELLED, REDUCE_ONLY)
    return 0.0


@compiled
def fill_standing(
    acc: AccountRow,
    p: PositionRow,
    slots: Rows,
    first: int,
    slot: OrderSlotRow,
    qty: float,
    wanted: float,
    price: float,
    reference: float,
    liquidity: int,
    ts: int,
    seen: int,
    sym: int,
    end_price: float,
    ins: InstrumentRow,
    par: ParamsRow,
    trades: Rows,
    orders: Rows,
    fills: Rows,
) -> float:
    """A standing order fills with `qty` of the `wanted` (base), in two fills where it turns the position round.

    A resting order keeps what is left; one that takes has only this moment.

    Returns:
        The quantity filled, base.
    """
    takes = slot.kind in (MARKET, STOP_MARKET)
    qty = floor_to(qty, ins.lot, ins.per_lot)
    least = slot.filled == 0.0 and slot.reduce_only == 0 and slot.qty * price < ins.min_notional
    if qty <= 0.0 or least:
        if takes:
            slot.aimed = reference
            reason = VOLUME_CAP if qty < wanted else MIN_NOTIONAL
            end_order(acc, p, slot, orders[acc.n_orders], sym, ts, end_price, 0, REJECTED, reason)
        return 0.0
    entry_no = fill_in_parts(
        acc, p, slots, first, slot, qty, price, reference, liquidity, ts, seen, sym, ins, par, trades, fills
    )
    if slot.leaves == 0.0:
        end_order(acc, p, slot, orders[acc.n_orders], sym, ts, end_price, entry_no, FILLED, 0)
    elif takes:
        end_order(acc, p, slot, orders[acc.n_orders], sym, ts, end_price, entry_no, PARTIAL, VOLUME_CAP)
    return qty


@inlined
def close_at_next(p: PositionRow, close: OrderSlotRow, reason: int, ts: int, price: float) -> None:
    """Send a market exit of the whole position, decided at `ts` (ns) and `price` (quote)."""
    if close.state == FREE:
        p.waiting += 1
    place(close, CLOSE, MARKET, -p.side, abs(p.qty), reason, ts, price)
    close.reduce_only = 1
