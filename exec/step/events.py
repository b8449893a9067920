"""The market phase of an event between bars: what a print, a book or a mark does to a symbol's orders and position.

The same order as in a bar: the close that waited, the waiting entry, protective exits, the orders that stand by
themselves, the mark. Nothing ages: patience and horizon are counted in bars.
"""

from __future__ import annotations

import math

from exec.matching.events import match_exit_at, match_order_at, price_for, taker_price_at
from exec.step.bars import stop_out
from exec.step.orders import ROLE_SLOTS, arrive, end_order, fill_in_parts, fill_standing, leave, may_fill, write_fill
from risk.portfolio import settle_at
from utils.codes import BOOK, CLOSE, FILLED, FREE, MARK, MIN_NOTIONAL, PRINT, REJECTED, TAKE_PROFIT, TAKER, WOULD_CROSS
from utils.compiled import compiled, inlined
from utils.market.barriers import CROSSES, FILLS, floor_to
from utils.rows import BPS, AccountRow, InstrumentRow, MarketEventRow, ParamsRow, PositionRow, Rows


@compiled
def close_now(
    acc: AccountRow,
    p: PositionRow,
    slots: Rows,
    first: int,
    ins: InstrumentRow,
    par: ParamsRow,
    event: MarketEventRow,
    trades: Rows,
    orders: Rows,
    fills: Rows,
) -> None:
    """A market exit that waits fills at the first event that shows a price to leave at."""
    take, stop, close = slots[first + 1], slots[first + 2], slots[first + 3]
    price = price_for(event, -p.side)
    if event.kind == MARK or math.isnan(price):
        return
    arrive(close, event.ts, event.price)
    paid = taker_price_at(price, -p.side, event, ins, par)
    fill = fills[acc.n_fills]
    write_fill(fill, event.sym, -p.side, abs(p.qty), paid, price, TAKER, event.ts, event.ts_recv)
    leave(acc, p, take, stop, close, close, ins, par, fill, trades[acc.n_trades], orders[acc.n_orders], event.price)


@compiled
def enter_now(
    acc: AccountRow,
    p: PositionRow,
    slots: Rows,
    first: int,
    ins: InstrumentRow,
    par: ParamsRow,
    event: MarketEventRow,
    trades: Rows,
    orders: Rows,
    fills: Rows,
) -> None:
    """The waiting entry meets the event: it fills, with what was printed at most, is rejected, or waits on."""
    entry, order = slots[first], orders[acc.n_orders]
    outcome, price, reference, liquidity = match_order_at(entry, event, ins, par)
    if event.kind != MARK:
        arrive(entry, event.ts, event.price)
    if outcome == CROSSES:
        entry.aimed = reference
        end_order(acc, p, entry, order, event.sym, event.ts, event.price, 0, REJECTED, WOULD_CROSS)
    if outcome != FILLS:
        return
    qty = entry.leaves if liquidity == TAKER else floor_to(min(entry.leaves, event.qty), ins.lot, ins.per_lot)
    if qty <= 0.0:
        return
    if entry.filled == 0.0 and entry.qty * price < ins.min_notional:
        entry.aimed = reference
        end_order(acc, p, entry, order, event.sym, event.ts, event.price, 0, REJECTED, MIN_NOTIONAL)
        return
    entry_no = fill_in_parts(
        acc, p, slots, first, entry, qty, price, reference, liquidity, event.ts, event.ts_recv, event.sym, ins, par,
        trades, fills,
    )  # fmt: skip
    if entry.leaves == 0.0:
        end_order(acc, p, entry, order, event.sym, event.ts, event.price, entry_no, FILLED, 0)


@compiled
def exit_now(
    acc: AccountRow,
    p: PositionRow,
    slots: Rows,
    first: int,
    ins: InstrumentRow,
    par: ParamsRow,
    event: MarketEventRow,
    trades: Rows,
    orders: Rows,
    fills: Rows,
) -> None:
    """Protective orders of the open position meet the event."""
    take, stop, close = slots[first + 1], slots[first + 2], slots[first + 3]
    reason, price, reference, liquidity = match_exit_at(p, take, stop, event, ins, par)
    if reason == 0:
        return
    fill, round_trip, order = fills[acc.n_fills], trades[acc.n_trades], orders[acc.n_orders]
    write_fill(fill, event.sym, -p.side, abs(p.qty), price, reference, liquidity, event.ts, event.ts_recv)
    if reason == TAKE_PROFIT:
        leave(acc, p, take, stop, close, take, ins, par, fill, round_trip, order, event.price)
    else:
        stop_out(acc, p, take, stop, close, ins, par, reason, fill, round_trip, order, event.price)


@compiled
def stand_now(
    acc: AccountRow,
    p: PositionRow,
    slots: Rows,
    first: int,
    ins: InstrumentRow,
    par: ParamsRow,
    event: MarketEventRow,
    trades: Rows,
    orders: Rows,
    fills: Rows,
) -> None:
    """Orders that stand by themselves meet the event; together they get of a print what was printed."""
    room = event.qty if event.kind == PRINT else math.inf
    for i in range(first + ROLE_SLOTS, first + acc.slots):
        slot = slots[i]
        if slot.state == FREE:
            continue
        wanted = may_fill(acc, p, slot, event.sym, event.ts, event.price, orders[acc.n_orders])
        outcome, price, reference, liquidity = match_order_at(slot, event, ins, par)
        if slot.state == FREE:
            continue
        arrive(slot, event.ts, event.price)
        if outcome == CROSSES:
            slot.aimed = reference
            end_order(acc, p, slot, orders[acc.n_orders], event.sym, event.ts, event.price, 0, REJECTED, WOULD_CROSS)
        elif outcome == FILLS:
            qty = wanted if liquidity == TAKER else min(wanted, room)
            done = fill_standing(
                acc, p, slots, first, slot, qty, wanted, price, reference, liquidity, event.ts, event.ts_recv,
                event.sym, event.price, ins, par, trades, orders, fills,
            )  # fmt: skip
            room -= 0.0 if liquidity == TAKER else done


@inlined
def meet_event(
    acc: AccountRow,
    pos: Rows,
    slots: Rows,
    instruments: Rows,
    par: ParamsRow,
    event: MarketEventRow,
    funding: Rows,
    trades: Rows,
    orders: Rows,
    fills: Rows,
) -> None:
    """What one event does to its symbol; funding that fell due before it is paid at the mark there was."""
    s = event.sym
    p, ins = pos[s], instruments[s]
    first = s * acc.slots
    while p.f_next < p.f_end and funding[p.f_next].ts <= event.ts:
        settle_at(p, funding[p.f_next], p.mark)
    if event.kind == BOOK and event.bid <= event.ask:
        p.bid = event.bid
        p.ask = event.ask
    if p.qty != 0.0 and slots[first + CLOSE - 1].state != FREE:
        close_now(acc, p, slots, first, ins, par, event, trades, orders, fills)
    if slots[first].state != FREE:
        enter_now(acc, p, slots, first, ins, par, event, trades, orders, fills)
    if p.qty != 0.0:
        exit_now(acc, p, slots, first, ins, par, event, trades, orders, fills)
    if acc.slots > ROLE_SLOTS and event.kind != MARK:
        stand_now(acc, p, slots, first, ins, par, event, trades, orders, fills)
    p.bid = 0.0
    p.ask = 0.0
    if not math.isnan(event.price):
        p.mark = event.price
    if event.kind == BOOK:
        p.spread_bps = (event.ask - event.bid) / event.price / BPS
    p.mark_ts = event.ts
    if event.kind != MARK:
        p.met_ts = event.ts
