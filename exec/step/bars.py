"""The market phase of an instant of bars: what one candle does to a symbol's orders and position.

Symbol by symbol, in order of name (no fill depends on another's): at the open, funding due, the close that waited, the
waiting entry; inside, funding of a new position, protective exit, time limit, trail; then the orders that stand by
themselves, and the mark.
"""

from __future__ import annotations

import math

from exec.matching.bars import match_exit, match_order, untouched
from exec.slippage import taker_price
from exec.step.answer import note_answer
from exec.step.orders import (
    ROLE_SLOTS,
    arrive,
    close_at_next,
    end_order,
    fill_in_parts,
    fill_standing,
    leave,
    may_fill,
    number,
    place,
    write_fill,
)
from exec.timing import chase_pays
from risk.halts import calm_until, low_water
from risk.portfolio import mark, note_equity, open_pnl, settle_at, settle_funding
from risk.stops import move_trail
from utils.codes import (
    CLOSE,
    END_OF_DATA,
    ENTRY,
    EXPIRED,
    FILLED,
    FREE,
    HELD,
    LIMIT_BARS,
    LIQUIDATION,
    MARKET,
    MIN_NOTIONAL,
    PARTIAL,
    QUOTE,
    REJECTED,
    STOP,
    STOP_MARKET,
    TAKE_PROFIT,
    TAKER,
    TIME_LIMIT,
    VOLUME_CAP,
    WOULD_CROSS,
)
from utils.compiled import compiled, inlined
from utils.market.barriers import CROSSES, WAITS, floor_to
from utils.rows import (
    BPS,
    NEVER,
    AccountRow,
    BarRow,
    FillRow,
    InstrumentRow,
    OrderRow,
    OrderSlotRow,
    ParamsRow,
    PositionRow,
    Rows,
    TradeRow,
)

#: Most journal rows one symbol can cause at one instant without orders that stand by themselves; each of those adds two
#: fills, two round trips and an order.
TRADES_PER_BAR, ORDERS_PER_BAR, FILLS_PER_BAR = 2, 5, 3


@inlined
def enter(
    acc: AccountRow,
    p: PositionRow,
    slots: Rows,
    first: int,
    ins: InstrumentRow,
    par: ParamsRow,
    bar: BarRow,
    trades: Rows,
    order: OrderRow,
    fills: Rows,
) -> None:
    """The waiting entry meets a bar that trades: it fills (capped by volume), is rejected, or waits on."""
    entry = slots[first]
    qty, share = entry.leaves, par.volume_cap * bar.volume
    if qty > share:
        qty = floor_to(share, ins.lot, ins.per_lot)
    outcome, price, reference, liquidity, inside = match_order(acc, entry, qty, bar, ins, par)
    opened = bar.ts - par.tf_ns
    arrive(entry, opened, bar.open)
    if outcome == WAITS:
        return
    capped = qty < entry.leaves
    if outcome == CROSSES:
        entry.aimed = reference
        end_order(acc, p, entry, order, bar.sym, opened, bar.close, 0, REJECTED, WOULD_CROSS)
        return
    if qty <= 0.0 or qty * price < ins.min_notional:
        entry.aimed = reference
        reason = VOLUME_CAP if capped else MIN_NOTIONAL
        end_order(acc, p, entry, order, bar.sym, opened, bar.close, 0, REJECTED, reason)
        return
    anew = p.qty == 0.0
    entry_no = fill_in_parts(
        acc, p, slots, first, entry, qty, price, reference, liquidity, opened, bar.ts, bar.sym, ins, par, trades, fills
    )
    if anew and inside:
        p.inside = 1
    status, reason = (PARTIAL, VOLUME_CAP) if capped else (FILLED, 0)
    end_order(acc, p, entry, order, bar.sym, opened, bar.close, entry_no, status, reason)


@inlined
def age(
    acc: AccountRow,
    p: PositionRow,
    slot: OrderSlotRow,
    ins: InstrumentRow,
    par: ParamsRow,
    bar: BarRow,
    order: OrderRow,
) -> None:
    """One more bar has passed over a waiting order; it expires with its patience, or with the data."""
    slot.waited += 1
    if bar.last == 1 or slot.waited >= slot.patience:
        reason = END_OF_DATA if bar.last == 1 else LIMIT_BARS
        status = PARTIAL if slot.filled > 0.0 else EXPIRED
        end_order(acc, p, slot, order, bar.sym, bar.ts, bar.close, 0, status, reason)
        if reason == LIMIT_BARS and not math.isnan(slot.chase):
            chase(acc, p, slot, ins, par, bar)


@compiled
def chase(acc: AccountRow, p: PositionRow, slot: OrderSlotRow, ins: InstrumentRow, par: ParamsRow, bar: BarRow) -> None:
    """An entry that expired unfilled goes to the market after all, where what is left of its edge pays for that."""
    moved = slot.side * (bar.close / slot.decision_price - 1.0) / BPS
    left = chase_pays(slot.chase, 0.0, 1.0, moved, par.half_spread_bps, par.slippage_bps, ins.taker_bps, 0.0)
    if not left > 0.0:
        return
    take_bps, stop, trail, horizon = slot.take_bps, slot.stop, slot.trail, slot.horizon
    place(slot, ENTRY, MARKET, slot.side, slot.leaves, 0, bar.ts, bar.close)
    slot.take_bps, slot.stop, slot.trail, slot.horizon = take_bps, stop, trail, horizon
    p.waiting += 1
    number(acc, slot)


@inlined
def exit_at_open(
    acc: AccountRow,
    p: PositionRow,
    take: OrderSlotRow,
    stop: OrderSlotRow,
    close: OrderSlotRow,
    ins: InstrumentRow,
    par: ParamsRow,
    bar: BarRow,
    round_trip: TradeRow,
    order: OrderRow,
    fill: FillRow,
) -> None:
    """A market exit decided earlier fills at the open of the first bar that trades."""
    qty, opened = abs(p.qty), bar.ts - par.tf_ns
    price = taker_price(acc, bar.open, -p.side, qty, bar, ins, par)
    write_fill(fill, bar.sym, -p.side, qty, price, bar.open, TAKER, opened, bar.ts)
    leave(acc, p, take, stop, close, close, ins, par, fill, round_trip, order, bar.close)


@inlined
def exit_inside(
    acc: AccountRow,
    p: PositionRow,
    take: OrderSlotRow,
    stop: OrderSlotRow,
    close: OrderSlotRow,
    ins: InstrumentRow,
    par: ParamsRow,
    bar: BarRow,
    round_trip: TradeRow,
    order: OrderRow,
    fill: FillRow,
) -> None:
    """What the bar does to the open position: stop, take, liquidation, time limit, end of data; or the trail moves."""
    reason, price, reference, liquidity, ambiguous, due = match_exit(acc, p, take, stop, bar, ins, par)
    if ambiguous:
        acc.ambiguous += 1
    if reason == 0:
        if due and close.state == FREE:
            close_at_next(p, close, TIME_LIMIT, bar.ts, bar.close)
        if p.trail > 0.0:
            move_trail(p, stop, bar, ins, par)
        return
    write_fill(fill, bar.sym, -p.side, abs(p.qty), price, reference, liquidity, bar.ts, bar.ts)
    if reason == TAKE_PROFIT:
        leave(acc, p, take, stop, close, take, ins, par, fill, round_trip, order, bar.close)
    elif reason in (TIME_LIMIT, END_OF_DATA):
        close_at_next(p, close, reason, bar.ts, bar.close)
        leave(acc, p, take, stop, close, close, ins, par, fill, round_trip, order, bar.close)
    else:
        stop_out(acc, p, take, stop, close, ins, par, reason, fill, round_trip, order, bar.close)


@compiled
def stop_out(
    acc: AccountRow,
    p: PositionRow,
    take: OrderSlotRow,
    stop: OrderSlotRow,
    close: OrderSlotRow,
    ins: InstrumentRow,
    par: ParamsRow,
    reason: int,
    fill: FillRow,
    round_trip: TradeRow,
    order: OrderRow,
    price: float,
) -> None:
    """The stop fires, or the venue takes over; a position without a stop has one for this moment."""
    if stop.state == FREE:
        place(stop, STOP, STOP_MARKET, -p.side, abs(p.qty), reason, p.entry_ts, p.liq)
    stop.reason = reason
    stop.decision_price = p.liq if reason == LIQUIDATION else stop.trigger
    leave(acc, p, take, stop, close, stop, ins, par, fill, round_trip, order, price)


@compiled
def stand(
    acc: AccountRow,
    p: PositionRow,
    slots: Rows,
    first: int,
    room: float,
    inside: int,
    trades_anew: bool,
    ins: InstrumentRow,
    par: ParamsRow,
    bar: BarRow,
    trades: Rows,
    orders: Rows,
    fills: Rows,
) -> float:
    """Orders that stand by themselves meet the open of a bar (`inside` 0), or what came after it.

    Together they take at most the share of the bar's volume that one entry may; what is left of a resting one waits.

    Args:
        acc: the account.
        p: the symbol's position.
        slots: ORDER_SLOT of all symbols.
        first: the symbol's first.
        room: what they may still take of the bar, base.
        inside: 0 = its open, 1 = inside.
        trades_anew: it trades, and its events have not met them already.
        ins: the symbol's instrument.
        par: settings.
        bar: the bar.
        trades: rows for round trips that end.
        orders: rows for orders that end.
        fills: rows for fills.

    Returns:
        What they may take after this, base.
    """
    opened = bar.ts - par.tf_ns
    at = bar.ts if inside == 1 else opened
    for i in range(first + ROLE_SLOTS, first + acc.slots):
        slot = slots[i]
        if slot.state == FREE or slot.decision_ts > opened:
            continue
        if trades_anew:
            wanted = may_fill(acc, p, slot, bar.sym, at, bar.close, orders[acc.n_orders])
            # what protects fills whole, as a stop of an entry does
            qty = wanted if slot.reduce_only == 1 and slot.kind in (MARKET, STOP_MARKET) else min(wanted, room)
            outcome, price, reference, liquidity, within = match_order(acc, slot, qty, bar, ins, par)
            arrive(slot, opened, bar.open)
            if slot.state != FREE and outcome != WAITS and within == (inside == 1):
                if outcome == CROSSES:
                    slot.aimed = reference
                    end_order(acc, p, slot, orders[acc.n_orders], bar.sym, at, bar.close, 0, REJECTED, WOULD_CROSS)
                else:
                    room -= fill_standing(
                        acc, p, slots, first, slot, qty, wanted, price, reference, liquidity, at, bar.ts, bar.sym,
                        bar.close, ins, par, trades, orders, fills,
                    )  # fmt: skip
        if inside == 1 and slot.state != FREE:
            age(acc, p, slot, ins, par, bar, orders[acc.n_orders])
    return room


@compiled
def end_with_data(
    acc: AccountRow,
    p: PositionRow,
    slots: Rows,
    first: int,
    ins: InstrumentRow,
    par: ParamsRow,
    bar: BarRow,
    trades: Rows,
    orders: Rows,
    fills: Rows,
) -> None:
    """What a standing order opened inside the last bar ends at its close, as a taker."""
    take, stop, close, fill = slots[first + 1], slots[first + 2], slots[first + 3], fills[acc.n_fills]
    qty = abs(p.qty)
    price = taker_price(acc, bar.close, -p.side, qty, bar, ins, par)
    write_fill(fill, bar.sym, -p.side, qty, price, bar.close, TAKER, bar.ts, bar.ts)
    close_at_next(p, close, END_OF_DATA, bar.ts, bar.close)
    leave(
        acc, p, take, stop, close, close, ins, par, fill, trades[acc.n_trades], orders[acc.n_orders], bar.close
    )  # fmt: skip


@inlined
def open_bar(
    acc: AccountRow,
    p: PositionRow,
    slots: Rows,
    first: int,
    ins: InstrumentRow,
    par: ParamsRow,
    bar: BarRow,
    funding: Rows,
    trades: Rows,
    orders: Rows,
    fills: Rows,
) -> None:
    """What stands at a bar's open: funding due, the close that waited, the waiting entry.

    An order decided inside the bar waits for what comes next, and so does every other where events came inside it: it
    has met them already.
    """
    entry, take, stop, close = slots[first], slots[first + 1], slots[first + 2], slots[first + 3]
    opened = bar.ts - par.tf_ns
    trades_anew = bar.volume > 0.0 and p.met_ts <= opened
    while p.f_next < p.f_end and funding[p.f_next].ts <= opened:
        settle_funding(p, funding[p.f_next], bar)
    p.gaps += bar.gap
    if close.state != FREE and trades_anew and close.decision_ts <= opened:
        exit_at_open(
            acc, p, take, stop, close, ins, par, bar, trades[acc.n_trades], orders[acc.n_orders], fills[acc.n_fills]
        )
    if entry.state != FREE and entry.decision_ts <= opened:
        if trades_anew:
            enter(acc, p, slots, first, ins, par, bar, trades, orders[acc.n_orders], fills)
        if entry.state != FREE:
            age(acc, p, entry, ins, par, bar, orders[acc.n_orders])


@inlined
def close_bar(
    acc: AccountRow,
    p: PositionRow,
    slots: Rows,
    first: int,
    ins: InstrumentRow,
    par: ParamsRow,
    bar: BarRow,
    funding: Rows,
    trades: Rows,
    orders: Rows,
    fills: Rows,
) -> None:
    """What happens inside a bar and at its close: funding of a new position, protective exit, time limit, trail."""
    while p.f_next < p.f_end and funding[p.f_next].ts <= bar.ts:
        settle_funding(p, funding[p.f_next], bar)
    if p.qty != 0.0:
        if not untouched(p, bar):
            exit_inside(
                acc, p, slots[first + 1], slots[first + 2], slots[first + 3], ins, par, bar, trades[acc.n_trades],
                orders[acc.n_orders], fills[acc.n_fills],
            )  # fmt: skip
        acc.held_bars += 1
        p.bars += 1
        p.inside = 0
    p.mark = bar.close
    p.mark_ts = bar.ts
    p.bar_ts = bar.ts


@compiled
def pass_by(
    acc: AccountRow,
    p: PositionRow,
    slots: Rows,
    first: int,
    ins: InstrumentRow,
    par: ParamsRow,
    bar: BarRow,
    funding: Rows,
    orders: Rows,
) -> None:
    """A bar that arrives after events behind its close: it is time alone, for what was there before it closed."""
    while p.f_next < p.f_end and funding[p.f_next].ts <= bar.ts:
        settle_at(p, funding[p.f_next], p.mark)
    p.gaps += bar.gap
    for i in range(first, first + acc.slots):
        slot = slots[i]
        waits = slot.state != FREE and slot.role in (ENTRY, QUOTE)
        if waits and slot.decision_ts <= bar.ts - par.tf_ns:
            age(acc, p, slot, ins, par, bar, orders[acc.n_orders])
    if p.qty != 0.0 and p.entry_ts < bar.ts:
        acc.held_bars += 1
        p.bars += 1
        if p.bars >= p.horizon and slots[first + CLOSE - 1].state == FREE:
            close_at_next(p, slots[first + CLOSE - 1], TIME_LIMIT, p.mark_ts, p.mark)
    p.bar_ts = bar.ts


@inlined
def meet_bar(
    acc: AccountRow,
    pos: Rows,
    slots: Rows,
    instruments: Rows,
    par: ParamsRow,
    bar: BarRow,
    funding: Rows,
    trades: Rows,
    orders: Rows,
    fills: Rows,
) -> None:
    """What one candle does to its symbol, where no order stands by itself."""
    s = bar.sym
    first = s * acc.slots
    open_bar(acc, pos[s], slots, first, instruments[s], par, bar, funding, trades, orders, fills)
    close_bar(acc, pos[s], slots, first, instruments[s], par, bar, funding, trades, orders, fills)


@inlined
def meet_bar_standing(
    acc: AccountRow,
    pos: Rows,
    slots: Rows,
    instruments: Rows,
    par: ParamsRow,
    bar: BarRow,
    funding: Rows,
    trades: Rows,
    orders: Rows,
    fills: Rows,
) -> None:
    """What one candle does to its symbol, orders that stand by themselves among it."""
    s = bar.sym
    p, ins, first = pos[s], instruments[s], s * acc.slots
    if p.mark_ts > bar.ts:
        pass_by(acc, p, slots, first, ins, par, bar, funding, orders)
        return
    trades_anew = bar.volume > 0.0 and p.met_ts <= bar.ts - par.tf_ns
    open_bar(acc, p, slots, first, ins, par, bar, funding, trades, orders, fills)
    room = floor_to(par.volume_cap * bar.volume, ins.lot, ins.per_lot)
    room = stand(acc, p, slots, first, room, 0, trades_anew, ins, par, bar, trades, orders, fills)
    close_bar(acc, p, slots, first, ins, par, bar, funding, trades, orders, fills)
    stand(acc, p, slots, first, room, 1, trades_anew, ins, par, bar, trades, orders, fills)
    if bar.last == 1 and p.qty != 0.0:
        end_with_data(acc, p, slots, first, ins, par, bar, trades, orders, fills)
    if bar.last == 1:
        for i in range(first, first + acc.slots):
            if slots[i].state != FREE:
                status = PARTIAL if slots[i].filled > 0.0 else EXPIRED
                end_order(acc, p, slots[i], orders[acc.n_orders], s, bar.ts, bar.close, 0, status, END_OF_DATA)


@inlined
def coast(
    acc: AccountRow,
    p: PositionRow,
    par: ParamsRow,
    bars: Rows,
    signals: Rows,
    funding: Rows,
    decisions: Rows,
    equity: Rows,
    lo: int,
) -> tuple[int, bool]:
    """Pass calm bars of an account with one symbol: the short way for most bars of most runs.

    A bar is calm when no order is about, no level is reached, no time is up, and its signal is neutral or held. What
    such bars leave behind is told at once for a stretch of them: between two closes the equity is highest at the best.

    Returns:
        (the first row that is not calm, or for whose journal rows there is no room; whether only its signal is left to
        be answered, as the market did nothing).
    """
    held = p.qty != 0.0
    if p.waiting != 0 or (held and p.trail > 0.0):
        return lo, False
    until = funding[p.f_next].ts if p.f_next < p.f_end else NEVER
    if par.limits == 1:
        until = min(until, calm_until(acc))
    watched = held and par.limits == 1
    side, floor, ceiling = float(p.side), p.floor, p.ceiling
    end = len(bars)
    if held and p.horizon - 1.0 - p.bars < end - lo:
        end = lo + max(0, math.ceil(p.horizon - 1.0 - p.bars))
    notes, answers = acc.keep_equity == 1, acc.keep_decisions == 1
    k, told = lo, lo
    best = -math.inf
    gaps = 0
    asks = False
    flat, low = 0.0, -math.inf
    if watched:
        flat = acc.initial + acc.realised + open_pnl(p) - p.qty * p.mark
        low = low_water(acc, par, acc.high)
    if not held and not notes and until == NEVER:
        while k < end and math.isnan(signals[k].side):  # a flat account without a wish need not look at prices
            k += 1
    while k < end:
        bar, wants = bars[k], signals[k].side
        if bar.low <= floor or bar.high >= ceiling or bar.ts >= until:
            break
        if held and (bar.volume <= 0.0 or bar.last == 1):
            break
        if watched:
            equity_now = flat + p.qty * bar.close
            if equity_now <= low:
                break
            if side * bar.close > best:
                low = max(low, low_water(acc, par, equity_now))
        gaps += bar.gap
        best = max(best, side * bar.close)
        says = not math.isnan(wants)
        if says or notes:
            noting = notes and (bar.ts - acc.equity_ts >= par.equity_step_ns or bar.last == 1)
            if (noting and acc.n_equity >= len(equity)) or (answers and acc.n_decisions + 1 >= len(decisions)):
                gaps -= bar.gap  # the bar comes again
                break
            asks = says and wants != side
            if noting or asks or (answers and says):
                pass_over(acc, p, k + 1 - told, gaps, side * best, bar)
                told, best, gaps = k + 1, -math.inf, 0
                if noting:
                    note_equity(acc, par, bar.ts, bar.last, equity[acc.n_equity])
                if asks:
                    return k, True
                if says:
                    note_answer(acc, decisions[acc.n_decisions], bar, signals[k], HELD)
        k += 1
    if k > told:
        pass_over(acc, p, k - told, gaps, side * best, bars[k - 1])
    return k, False


@inlined
def pass_over(acc: AccountRow, p: PositionRow, count: int, gaps: int, best: float, bar: BarRow) -> None:
    """`count` calm bars are over, the last of them `bar`; `best` is the most favourable of their closes (quote)."""
    if p.qty != 0.0:
        acc.held_bars += count
        p.bars += count
        p.gaps += gaps
        p.inside = 0
        p.mark = best
        mark(acc, open_pnl(p))
        p.mark = bar.close
        mark(acc, open_pnl(p))
    p.mark = bar.close
    p.mark_ts = bar.ts
    p.bar_ts = bar.ts
