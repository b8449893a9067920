"""What is wanted of orders that stand by themselves: a strategy's own step after an event, or a user's wishes.

A quoting step is compiled, and is called after each row but a symbol's last, with market, account and own orders; it
writes intents and answers how many:

    @uncached
    def step(acc, p, ins, par, row, orders, memory, out) -> int: ...

`row` is a BAR or a MARKET_EVENT, `orders` the symbol's ORDER_SLOT rows, `memory` a record of the strategy's own for
this symbol, `out` INTENT rows to write to with `wish`: twice as many as orders may stand, and four. Each is decided at
the symbol's mark. What risk refuses is not sent, and is counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

from exec.step.answer import Guard
from exec.step.orders import ROLE_SLOTS, carry_out
from risk.controls import allowed_notional
from risk.exposure import look
from risk.guard import guard as built_in
from risk.portfolio import exposure_of, worst_price
from risk.stops import way_to_liquidation
from utils.codes import (
    BY_BPS,
    CANCEL,
    CLOSE,
    FREE,
    MARKET,
    NO_ORDER,
    NO_SLOT,
    ON_REQUEST,
    PLACE,
    QUOTE,
    REPLACE,
    SENT,
    STOP_MARKET,
    TOO_SMALL,
    UNSOUND,
)
from utils.compiled import compile_source, compiled
from utils.market.barriers import floor_to
from utils.rows import BPS, AccountRow, AskedRow, InstrumentRow, IntentRow, ParamsRow, Rows, SignalRow


@compiled
def wish(
    intent: IntentRow,
    action: int,
    sym: int,
    side: int,
    kind: int,
    qty: float,
    limit: float,
    ts: int,
    price: float,
    order_id: int,
) -> None:
    """Write what is wanted of an order that stands by itself; triggers, and that it only reduces, the caller adds.

    Args:
        intent: the row to write.
        action: PLACE, REPLACE (of limit and quantity) or CANCEL.
        sym: number of the symbol.
        side: +1 buys, -1 sells.
        kind: MARKET, LIMIT, POST_ONLY or STOP_MARKET.
        qty: base; of REPLACE what is still to be filled.
        limit: price of a resting order, quote; NaN = none.
        ts: when it is decided, ns.
        price: close or mid then, quote.
        order_id: of REPLACE and CANCEL.
    """
    intent.action = action
    intent.order_id = order_id
    intent.sym = sym
    intent.side = side
    intent.kind = kind
    intent.role = QUOTE
    intent.reduce_only = 0
    intent.reason = ON_REQUEST
    intent.rule = 0
    intent.saw = math.nan
    intent.allowed = math.nan
    intent.ts = ts
    intent.price = price
    intent.qty = qty
    intent.limit = limit
    intent.trigger = math.nan
    intent.take_bps = math.nan
    intent.stop = math.nan
    intent.trail = 0.0
    intent.horizon = math.inf
    intent.patience = math.inf
    intent.chase = math.nan


@compiled
def place_for(acc: AccountRow, slots: Rows, intent: IntentRow) -> int:
    """The slot that an intent is about, -1 = there is none: its order's, the close's, a free one behind the roles."""
    first = intent.sym * acc.slots
    if intent.action != PLACE:
        for i in range(first, first + acc.slots):
            if slots[i].state >= SENT and slots[i].id == intent.order_id and intent.order_id > 0:
                return i
        return -1
    if intent.role == CLOSE:
        i = first + CLOSE - 1
        return i if slots[i].state == FREE else -1
    for i in range(first + ROLE_SLOTS, first + acc.slots):
        if slots[i].state == FREE:
            return i
    return -1


@compiled
def refuse(intent: IntentRow, rule: int, saw: float, allowed: float) -> None:
    """It is not carried out, and why."""
    intent.rule = rule
    intent.saw = saw
    intent.allowed = allowed


@compiled
def weigh(
    acc: AccountRow,
    pos: Rows,
    slots: Rows,
    pairs: Rows,
    instruments: Rows,
    par: ParamsRow,
    neutral: SignalRow,
    at: AskedRow,
    intent: IntentRow,
    i: int,
) -> None:
    """Write what the rules are told of a wish; an order that it replaces, in slot `i`, does not count beside it.

    Without a stop, which an entry alone brings, it may lose the way to liquidation. Its size is its maker's, under the
    caps.
    """
    s, state = intent.sym, slots[i].state
    slots[i].state = FREE
    side = intent.side if intent.action == PLACE else slots[i].side
    bare = intent.action == PLACE or math.isnan(slots[i].stop)
    at.stop, at.stop_rule = par.stop_bps * BPS if bare else slots[i].stop, BY_BPS
    look(
        acc, pos, slots, pairs, instruments, par, neutral, at, s, side, max(pos[s].mark_ts, intent.ts), pos[s].mark,
        intent.kind,
    )  # fmt: skip
    at.venue_leverage = instruments[s].max_leverage - exposure_of(acc, pos[s], slots, s * acc.slots) / acc.equity
    at.risk_fraction = at.fixed_notional = math.nan
    if bare:
        at.loss = way_to_liquidation(side, instruments[s], par)
    slots[i].state = state


@compiled
def fit(ins: InstrumentRow, intent: IntentRow, at: AskedRow, scale: float) -> None:
    """Bring the quantity under the controls and on the lot, or refuse it.

    Args:
        ins: lot and least notional.
        intent: what is wanted; its quantity moves.
        at: the controls, as `weigh` found them.
        scale: what the risk rules left, 0-1.
    """
    room = allowed_notional(at)[0]
    worst = worst_price(intent.price, intent.limit, intent.trigger)
    intent.qty = max(0.0, floor_to(min(intent.qty * scale, room / worst), ins.lot, ins.per_lot))
    if intent.qty <= 0.0 or intent.qty * intent.price < ins.min_notional:
        refuse(intent, TOO_SMALL, intent.qty * intent.price, max(ins.min_notional, ins.lot * intent.price))


@compiled
def sound(intent: IntentRow) -> bool:
    """Whether this can be an order: a side, a kind, a quantity, and the prices that its kind needs."""
    if intent.action == CANCEL:
        return True
    priced = intent.limit > 0.0 and intent.limit < math.inf
    fires = intent.trigger > 0.0 and intent.trigger < math.inf
    if not (intent.qty > 0.0 and intent.qty < math.inf):
        return False
    if intent.action == REPLACE:
        return (priced or math.isnan(intent.limit)) and (fires or math.isnan(intent.trigger))
    if intent.side * intent.side != 1 or intent.kind < MARKET or intent.kind > STOP_MARKET:
        return False
    return (priced or intent.kind in (MARKET, STOP_MARKET)) and (fires or intent.kind != STOP_MARKET)


OBEY = """
def obey(acc, pos, slots, instruments, par, intents, count, blank, orders, asked_for, pairs):
    for k in range(count):
        intent = intents[k]
        s = intent.sym
        i = place_for(acc, slots, intent)
        intent.rule = 0
        intent.price = pos[s].mark
        if not sound(intent) or not pos[s].mark > 0.0:
            refuse(intent, UNSOUND, intent.qty, 0.0)
        elif i < 0:
            known = intent.action == PLACE
            refuse(intent, NO_SLOT if known else NO_ORDER, acc.slots - ROLE_SLOTS if known else 0.0,
                   acc.slots - ROLE_SLOTS if known else 1.0)
        elif (intent.action == PLACE and intent.reduce_only == 0) or (
            intent.action == REPLACE and slots[i].reduce_only == 0
        ):
            weigh(acc, pos, slots, pairs, instruments, par, blank[0], asked_for[0], intent, i)
            scale, rule, saw, allowed = 1.0, 0, 0.0, 0.0
            if intent.action == PLACE or intent.qty > slots[i].leaves:
                scale, rule, saw, allowed, _ = guard(acc, instruments[s], par, blank[0], asked_for[0])
            if rule != 0:
                refuse(intent, rule, saw, allowed)
            else:
                fit(instruments[s], intent, asked_for[0], scale)
        elif intent.action != CANCEL and intent.role != CLOSE:
            intent.qty = floor_to(intent.qty, instruments[s].lot, instruments[s].per_lot)
            if intent.qty <= 0.0:
                refuse(intent, TOO_SMALL, 0.0, instruments[s].lot * intent.price)
        if intent.rule == 0:
            carry_out(acc, pos[s], slots[i], intent, orders[acc.n_orders])
            intent.order_id = slots[i].id
        else:
            acc.refused += 1
"""


@cache
def obeying(guard: Guard) -> Callable[..., None]:
    """What carries out wishes under a guard, compiled.

    The result takes (account, POSITION, ORDER_SLOT, INSTRUMENT, params, INTENT, how many of them, a neutral SIGNAL row,
    ORDER, ASKED, PAIR): each intent in turn, after the guard where it may add to a position; the answer stands in it.
    """
    names = {
        "CANCEL": CANCEL,
        "CLOSE": CLOSE,
        "TOO_SMALL": TOO_SMALL,
        "UNSOUND": UNSOUND,
        "floor_to": floor_to,
        "sound": sound,
        "weigh": weigh,
        "NO_ORDER": NO_ORDER,
        "NO_SLOT": NO_SLOT,
        "PLACE": PLACE,
        "REPLACE": REPLACE,
        "ROLE_SLOTS": ROLE_SLOTS,
        "carry_out": carry_out,
        "fit": fit,
        "guard": guard,
        "place_for": place_for,
        "refuse": refuse,
    }
    return compile_source("obey", OBEY, names, __file__, cached=guard is built_in)


#: Under our own rules.
obey = obeying(built_in)
