"""The answer phase: what signals of an instant become. Exits of all symbols first, then entries by what they promise.

An answer writes intents, and `carry_out` alone acts on them; before an entry the guard is asked. This is the one
answering order: history, live runs and the paper broker call it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from textwrap import indent
from typing import Any

from exec.step.orders import carry_out, end_order
from exec.timing import EDGE_PER_SIGMA, chase_pays, decide_kind, edge_of, exit_cost, kind_worths
from risk.exposure import look
from risk.guard import guard as built_in
from risk.sizing import entry_qty
from risk.stops import stop_distance, trail_distance
from utils.codes import (
    ASKED,
    AUTO,
    BY_FIXED,
    BY_SIGNAL,
    CANCEL,
    CLOSE,
    CLOSE_SIGNAL,
    CLOSED,
    EARLY_STOP,
    END_OF_DATA,
    ENTRY,
    EXPIRED,
    FLIP,
    FLIPPED,
    FREE,
    HELD,
    LIMIT,
    MARKET,
    NO_EDGE,
    NO_STOP,
    OPENED,
    OPPOSITE_SIGNAL,
    PLACE,
    REFUSED,
    TOO_SMALL,
)
from utils.compiled import compile_source, compiled, inlined
from utils.market.barriers import resting_price
from utils.rows import (
    BPS,
    AccountRow,
    AskedRow,
    BarRow,
    DecisionRow,
    InstrumentRow,
    IntentRow,
    OrderRow,
    OrderSlotRow,
    ParamsRow,
    PositionRow,
    SignalRow,
)


@inlined
def note_answer(acc: AccountRow, decision: DecisionRow, bar: BarRow, sig: SignalRow, action: int) -> None:
    """Journal the answer to a signal, where somebody keeps it; the rule that refused, the caller adds."""
    if acc.keep_decisions == 0:
        return
    decision.ts = bar.ts
    decision.sym = bar.sym
    decision.side = int(sig.side)
    decision.action = action
    decision.strength = sig.strength
    decision.threshold = sig.threshold
    decision.p_win = sig.p_win
    decision.expected_bps = sig.expected_bps
    decision.net_bps = sig.net_bps
    decision.model = 0 if math.isnan(sig.model) else int(sig.model)
    decision.rule = 0
    decision.value = math.nan
    decision.limit = math.nan
    decision.kind = 0
    decision.stop_rule = 0
    decision.bound = 0
    decision.stop_bps = 0.0
    decision.notional = 0.0
    decision.until = 0
    acc.n_decisions += 1


@inlined
def want(intent: IntentRow, action: int, role: int, side: int, qty: float, reason: int, bar: BarRow) -> None:
    """Write an intent of a bar's close: a market order without brackets, unless the caller says more."""
    intent.action = action
    intent.order_id = 0
    intent.sym = bar.sym
    intent.side = side
    intent.kind = MARKET
    intent.role = role
    intent.reduce_only = 1 if role == CLOSE else 0
    intent.reason = reason
    intent.ts = bar.ts
    intent.price = bar.close
    intent.qty = qty
    intent.limit = math.nan
    intent.trigger = math.nan
    intent.take_bps = math.nan
    intent.stop = math.nan
    intent.trail = 0.0
    intent.horizon = math.inf
    intent.patience = math.inf
    intent.chase = math.nan


@compiled
def decide_exit(
    acc: AccountRow,
    p: PositionRow,
    entry: OrderSlotRow,
    close: OrderSlotRow,
    bar: BarRow,
    sig: SignalRow,
    decision: DecisionRow,
    order: OrderRow,
    intent: IntentRow,
) -> int:
    """First half of a decision: what the signal ends, and whether it asks for an entry.

    Returns:
        0 = answered; 1 = the entry's slot is ASKED, its reason OPENED or FLIPPED: from flat or out of the opposite.
    """
    side = int(sig.side)
    if side == 0:
        close_all(acc, p, entry, close, bar, sig, decision, order, intent)
        return 0
    waits = entry.state != FREE
    if (waits and entry.side == side) or (not waits and p.side == side):
        note_answer(acc, decision, bar, sig, HELD)
        return 0
    if waits:
        want(intent, CANCEL, ENTRY, entry.side, 0.0, OPPOSITE_SIGNAL, bar)
        carry_out(acc, p, entry, intent, order)
    if p.side == side:
        # the cancelled entry was the other half of a flip that this signal takes back; the exit goes on
        note_answer(acc, decision, bar, sig, CLOSED)
        return 0
    if p.qty != 0.0 and close.state == FREE:
        want(intent, PLACE, CLOSE, -p.side, abs(p.qty), FLIP, bar)
        carry_out(acc, p, close, intent, order)
    entry.state = ASKED
    entry.reason = OPENED if p.qty == 0.0 else FLIPPED
    return 1


@inlined
def close_all(
    acc: AccountRow,
    p: PositionRow,
    entry: OrderSlotRow,
    close: OrderSlotRow,
    bar: BarRow,
    sig: SignalRow,
    decision: DecisionRow,
    order: OrderRow,
    intent: IntentRow,
) -> None:
    """A close signal: cancel the waiting entry, send the open position to the next open."""
    action = HELD
    if entry.state != FREE:
        want(intent, CANCEL, ENTRY, entry.side, 0.0, CLOSE_SIGNAL, bar)
        carry_out(acc, p, entry, intent, order)
        action = CLOSED
    if p.qty != 0.0 and close.state == FREE:
        want(intent, PLACE, CLOSE, -p.side, abs(p.qty), EARLY_STOP, bar)
        carry_out(acc, p, close, intent, order)
        action = CLOSED
    note_answer(acc, decision, bar, sig, action)


@compiled
def expected(sig: SignalRow) -> float:
    """Rank of an entry among those of one instant: its expected bps; without an estimate it comes last."""
    return -math.inf if math.isnan(sig.expected_bps) else sig.expected_bps


@compiled
def decide_entry(
    acc: AccountRow,
    p: PositionRow,
    entry: OrderSlotRow,
    ins: InstrumentRow,
    par: ParamsRow,
    bar: BarRow,
    sig: SignalRow,
    decision: DecisionRow,
    order: OrderRow,
    intent: IntentRow,
    at: AskedRow,
    kind: int,
    edge: float,
    said: tuple[float, int, float, float, int],
) -> None:
    """Second half: sizing, and an order into the market, or a refusal that names its rule.

    Args:
        acc: marked account.
        p: the symbol's position.
        entry: the symbol's entry slot, ASKED; its `reason` is what a success is called, OPENED or FLIPPED.
        ins: the symbol's instrument.
        par: settings.
        bar: the bar that closed.
        sig: its signal.
        decision: row to write.
        order: row for an entry that ends at once: one decided at a symbol's last bar has no bar left to fill in.
        intent: row for what is wanted.
        at: what the rules were told, the controls of its size among it.
        kind: of the entry.
        edge: what it is worth after costs, bps, where the engine chose the kind; NaN = it did not.
        said: what the guard answered: scale, code of the refusing rule, value, limit, until when.
    """
    scale, rule, value, limit, until = said
    stop, trail = at.stop, trail_distance(sig, bar.close, par)
    if rule == 0 and par.entry_kind == AUTO and (edge <= 0.0 or (math.isnan(edge) and par.nan_refuses == 1)):
        rule, value, limit = NO_EDGE, edge, 0.0
    if rule == 0 and not (stop > 0.0 and stop < 1.0 and trail >= 0.0):
        rule, value, limit = NO_STOP, trail if stop > 0.0 and stop < 1.0 else stop, 0.0
    qty, bound = 0.0, 0
    if rule == 0:
        qty, bound = entry_qty(at, ins, scale)
        if qty <= 0.0 or qty * bar.close < ins.min_notional:
            rule, value, limit = TOO_SMALL, qty * bar.close, max(ins.min_notional, ins.lot * bar.close)
    action = entry.reason
    entry.state = FREE
    if rule != 0:
        note_answer(acc, decision, bar, sig, CLOSED if action == FLIPPED else REFUSED)
        if acc.keep_decisions == 1:
            decision.rule = rule
            decision.value = value
            decision.limit = limit
            decision.until = until
            decision.bound = bound
        return
    note_answer(acc, decision, bar, sig, action)
    if acc.keep_decisions == 1:
        decision.kind = kind if par.entry_kind == AUTO else 0
        decision.stop_rule = at.stop_rule
        decision.stop_bps = stop / BPS if at.stop_rule > BY_SIGNAL else 0.0
        decision.bound = bound
        decision.notional = qty * bar.close if bound > BY_FIXED else 0.0
    side = int(sig.side)
    want(intent, PLACE, ENTRY, side, qty, 0, bar)
    intent.kind = kind
    if kind != MARKET:
        intent.limit = resting_price(bar.close, side, par.limit_offset_bps * BPS, ins.tick, ins.per_tick)
        intent.patience = par.limit_bars
    intent.take_bps = par.take_bps if math.isnan(sig.take_bps) else sig.take_bps
    intent.stop = stop
    intent.trail = trail
    intent.horizon = par.horizon if math.isnan(sig.horizon) else sig.horizon
    if par.entry_kind == AUTO and kind == LIMIT:
        exit_bps = exit_of(sig, stop, ins, par)
        intent.chase = chase_pays(expected_of(sig, par), par.limit_bars, intent.horizon, 0.0, 0.0, 0.0, 0.0, exit_bps)
    carry_out(acc, p, entry, intent, order)
    if bar.last == 1:
        entry.waited += 1
        end_order(acc, p, entry, order, bar.sym, bar.ts, bar.close, 0, EXPIRED, END_OF_DATA)


@compiled
def expected_of(sig: SignalRow, par: ParamsRow) -> float:
    """The signal's expected move, bps; without one, the prior of its strength over the volatility of the horizon."""
    if not math.isnan(sig.expected_bps):
        return sig.expected_bps
    horizon = par.horizon if math.isnan(sig.horizon) else sig.horizon
    strength = 100.0 if math.isnan(sig.strength) else sig.strength
    return edge_of(strength, sig.vol_bps * math.sqrt(horizon), EDGE_PER_SIGMA)


@compiled
def exit_of(sig: SignalRow, stop: float, ins: InstrumentRow, par: ParamsRow) -> float:
    """What leaving is expected to cost, bps; `stop` is the distance as a fraction."""
    take = par.take_bps if math.isnan(sig.take_bps) else sig.take_bps
    crossing = par.half_spread_bps + par.slippage_bps
    return exit_cost(take, stop / BPS, sig.p_win, ins.maker_bps, ins.taker_bps, crossing)


@compiled
def worths_of(
    sig: SignalRow, price: float, stop: float, ins: InstrumentRow, par: ParamsRow
) -> tuple[float, float, float]:
    """What each kind of entry is expected to earn after costs, bps: market, limit, post-only (`exec.timing`).

    Args:
        sig: the signal.
        price: close at which is decided, quote.
        stop: distance of the stop, fraction.
        ins: tick and fees.
        par: costs and barriers.
    """
    return kind_worths(
        expected_of(sig, par),
        sig.vol_bps,
        par.half_spread_bps,
        par.slippage_bps,
        ins.maker_bps,
        ins.taker_bps,
        par.limit_offset_bps,
        ins.tick / price / BPS,
        par.limit_bars,
        par.horizon if math.isnan(sig.horizon) else sig.horizon,
        par.take_bps if math.isnan(sig.take_bps) else sig.take_bps,
        stop / BPS,
        sig.p_win,
    )


@compiled
def kind_of(sig: SignalRow, price: float, stop: float, ins: InstrumentRow, par: ParamsRow) -> tuple[int, float]:
    """The kind of an entry, and what it is worth after costs where the engine chooses (bps; NaN = the settings did)."""
    if par.entry_kind != AUTO:
        return par.entry_kind, math.nan
    return decide_kind(worths_of(sig, price, stop, ins, par))


#: (account, instrument, params, signal, ASKED) -> scale, code of the refusing rule, value, limit, until; `risk.guard`.
Guard = Callable[..., tuple[float, int, float, float, int]]
#: Text of the answers to the signals of rows `lo` to `hi`, for the loop to contain and for `answering` to wrap.
ANSWER = """
asked = 0
for k in range(lo, hi):
    if not isnan(signals[k].side):
        s = rows[k].sym
        at = s * acc.slots
        asked += decide_exit(
            acc, pos[s], slots[at], slots[at + 3], rows[k], signals[k], decisions[acc.n_decisions],
            orders[acc.n_orders], intents[0],
        )
while asked > 0:
    best = -1
    for k in range(lo, hi):
        if slots[rows[k].sym * acc.slots].state == ASKED:
            if best < 0 or expected(signals[k]) > expected(signals[best]):
                best = k
    s = rows[best].sym
    at = asked_for[0]
    at.stop, at.stop_rule = stop_distance(signals[best], rows[best].close, instruments[s], par)
    kind, edge = kind_of(signals[best], rows[best].close, at.stop, instruments[s], par)
    look(
        acc, pos, slots, pairs, instruments, par, signals[best], at, s, int(signals[best].side), rows[best].ts,
        rows[best].close, MARKET if kind == LIMIT and par.entry_kind == AUTO else kind,
    )
    said = guard(acc, instruments[s], par, signals[best], at)
    decide_entry(
        acc, pos[s], slots[s * acc.slots], instruments[s], par, rows[best], signals[best],
        decisions[acc.n_decisions], orders[acc.n_orders], intents[0], at, kind, edge, said,
    )
    asked -= 1
"""
HEAD = (
    "def answer(acc, pos, slots, instruments, par, rows, signals, decisions, orders, intents, asked_for, pairs, "
    "lo, hi):"
)


def names_of(guard: Guard) -> dict[str, Any]:
    """What the text of the answers calls."""
    return {
        "isnan": math.isnan,
        "ASKED": ASKED,
        "decide_exit": decide_exit,
        "decide_entry": decide_entry,
        "expected": expected,
        "AUTO": AUTO,
        "LIMIT": LIMIT,
        "MARKET": MARKET,
        "kind_of": kind_of,
        "look": look,
        "stop_distance": stop_distance,
        "guard": guard,
    }


@cache
def answering(guard: Guard) -> Callable[..., None]:
    """The answer phase under a guard, compiled.

    The result takes (account, POSITION, ORDER_SLOT, INSTRUMENT, params, BAR, SIGNAL beside it, DECISION, ORDER, INTENT,
    ASKED, PAIR, lo, hi) and answers the signals of rows `lo` to `hi`, which stand for one instant: records where one is
    meant, else arrays. Entries come by `expected_bps`, ties by name, until a limit refuses.
    """
    return compile_source("answer", HEAD + indent(ANSWER, "    "), names_of(guard), __file__, cached=guard is built_in)


#: Under our own rules.
answer = answering(built_in)
