"""What the engine answers to a signal: an exit, an entry, or a refusal that names its rule."""

from __future__ import annotations

import math

from exec.orders import close_at_next_open, end_entry, place_entry
from risk.guard import guard
from risk.sizing import entry_qty
from risk.stops import stop_distance, trail_distance
from utils.codes import (
    CANCELLED,
    CLOSE_SIGNAL,
    CLOSED,
    EARLY_STOP,
    FLIP,
    FLIPPED,
    HELD,
    NO_STOP,
    OPENED,
    OPPOSITE_SIGNAL,
    REFUSED,
    TOO_SMALL,
)
from utils.compiled import compiled
from utils.rows import AccountRow, BarRow, DecisionRow, InstrumentRow, OrderRow, ParamsRow, PositionRow, SignalRow


@compiled
def answer(acc: AccountRow, decision: DecisionRow, bar: BarRow, sig: SignalRow) -> None:
    """Journal the signal that is being answered; action, and the rule that refused, the caller adds."""
    decision.ts = bar.ts
    decision.sym = bar.sym
    decision.side = int(sig.side)
    decision.strength = sig.strength
    decision.threshold = sig.threshold
    decision.p_win = sig.p_win
    decision.expected_bps = sig.expected_bps
    decision.rule = 0
    decision.value = math.nan
    decision.limit = math.nan
    acc.n_decisions += 1


@compiled
def decide_exit(
    acc: AccountRow, p: PositionRow, bar: BarRow, sig: SignalRow, decision: DecisionRow, order: OrderRow
) -> int:
    """First half of a decision: what the signal ends, and whether it asks for an entry.

    Returns:
        0 = answered; OPENED, FLIPPED = wants an entry, from flat or out of the opposite position.
    """
    side = int(sig.side)
    if side == 0:
        return close_all(acc, p, bar, sig, decision, order)
    if p.o_side == side or (p.o_side == 0 and p.side == side):
        answer(acc, decision, bar, sig)
        decision.action = HELD
        return 0
    if p.o_side != 0:
        end_entry(acc, p, order, bar)
        order.status = CANCELLED
        order.reason = OPPOSITE_SIGNAL
    if p.qty == 0.0:
        return OPENED
    if p.side == side:
        # the cancelled entry was the other half of a flip that this signal takes back; the exit goes on
        answer(acc, decision, bar, sig)
        decision.action = CLOSED
        return 0
    if p.closing == 0:
        close_at_next_open(p, bar)
        p.closing = FLIP
    return FLIPPED


@compiled
def close_all(
    acc: AccountRow, p: PositionRow, bar: BarRow, sig: SignalRow, decision: DecisionRow, order: OrderRow
) -> int:
    """A close signal: cancel the waiting entry, send the open position to the next open."""
    answer(acc, decision, bar, sig)
    decision.action = HELD
    if p.o_side != 0:
        end_entry(acc, p, order, bar)
        order.status = CANCELLED
        order.reason = CLOSE_SIGNAL
        decision.action = CLOSED
    if p.qty != 0.0 and p.closing == 0:
        close_at_next_open(p, bar)
        p.closing = EARLY_STOP
        decision.action = CLOSED
    return 0


@compiled
def expected(sig: SignalRow) -> float:
    """Rank of an entry among those of one instant: its expected bps; without an estimate it comes last."""
    return -math.inf if math.isnan(sig.expected_bps) else sig.expected_bps


@compiled
def decide_entry(
    acc: AccountRow,
    p: PositionRow,
    ins: InstrumentRow,
    par: ParamsRow,
    bar: BarRow,
    sig: SignalRow,
    decision: DecisionRow,
    count: int,
    gross: float,
) -> None:
    """Second half: rules and sizing; an order into the market, or a refusal.

    Args:
        acc: marked account.
        p: the symbol's record; `wants` says what a success is called, OPENED or FLIPPED.
        ins: the symbol's instrument.
        par: settings.
        bar: the bar that closed.
        sig: its signal.
        decision: row to write.
        count: positions that count against the limits, from `exposure`.
        gross: their notional, quote.
    """
    answer(acc, decision, bar, sig)
    action = p.wants
    p.wants = 0
    stop = stop_distance(sig, bar.close, par)
    scale, rule, value, limit = guard(acc, ins, par, sig, stop, count, gross)
    trail = trail_distance(sig, bar.close, par)
    if rule == 0 and not (stop > 0.0 and stop < 1.0 and trail >= 0.0):
        rule, value, limit = NO_STOP, trail if stop > 0.0 and stop < 1.0 else stop, 0.0
    qty = 0.0
    if rule == 0:
        qty = entry_qty(acc, ins, par, bar.close, stop, gross, scale)
        if qty <= 0.0 or qty * bar.close < ins.min_notional:
            rule, value, limit = TOO_SMALL, qty * bar.close, max(ins.min_notional, ins.lot * bar.close)
    decision.rule = rule
    decision.value = value
    decision.limit = limit
    if rule == 0:
        place_entry(acc, p, ins, par, bar, sig, qty, stop, trail)
        decision.action = action
    else:
        decision.action = CLOSED if action == FLIPPED else REFUSED
