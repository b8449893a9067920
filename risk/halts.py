"""Breakers: what blocks an account's entries, or closes its positions, and until when.

A halt is state of the account: it is in every snapshot, and a restored engine is as halted as before. Breakers look at
marked equity at every instant, not only when a trade ends; a halt blocks entries and cancels those that wait, exits go
on. `block` and `flatten` are two actions: only the second closes positions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from utils.codes import BLOCK
from utils.compiled import compiled, inlined
from utils.rows import NEVER, NS_PER_DAY, AccountRow, ParamsRow


@inlined
def turn_day(acc: AccountRow, ts: int) -> None:
    """Before the marks of an instant: a UTC day that is over hands its last equity to the next."""
    if ts > acc.day_end:
        acc.day_equity = acc.equity
        acc.day_end = (ts + NS_PER_DAY - 1) // NS_PER_DAY * NS_PER_DAY


@compiled
def watch_equity(acc: AccountRow, par: ParamsRow, ts: int) -> int:
    """After the marks of an instant: does a breaker trip?

    A drawdown halt that has run its time measures anew from the equity of that moment. A streak that tripped is counted
    anew. The loss of a day blocks until its end, and a close at midnight ends the day.

    Args:
        acc: marked; halts and their reasons move.
        par: thresholds, 0 = off; what each does; how long.
        ts: now, ns.

    Returns:
        0 = nothing new, BLOCK or FLATTEN.
    """
    if 0 < acc.drawdown_until <= ts:
        acc.drawdown_until = 0
        acc.high = acc.equity
    acc.high = max(acc.high, acc.equity)
    action = 0
    below = 1.0 - acc.equity / acc.high
    if acc.drawdown_until == 0 and par.max_drawdown > 0.0 and below >= par.max_drawdown:
        acc.drawdown_until = NEVER if par.drawdown_ns == 0 else ts + par.drawdown_ns
        acc.drawdown_saw = below
        acc.halts += 1
        action = max(action, par.drawdown_action)
    lost = 1.0 - acc.equity / acc.day_equity
    if par.max_daily > 0.0 and lost >= par.max_daily and acc.daily_until != acc.day_end and ts < acc.day_end:
        acc.daily_until = acc.day_end
        acc.daily_saw = lost
        acc.halts += 1
        action = max(action, par.daily_action)
    if 0.0 < par.max_losses <= acc.losses:
        acc.losses_until = ts + par.losses_ns
        acc.losses_saw = float(acc.losses)
        acc.losses = 0
        acc.halts += 1
        action = max(action, BLOCK)
    if ts == acc.day_end:
        acc.day_equity = acc.equity
        acc.day_end += NS_PER_DAY
    return action


@compiled
def calm_until(acc: AccountRow) -> int:
    """The time (ns) at which the clock alone changes something: the end of the day, or of a drawdown halt."""
    return min(acc.day_end, acc.drawdown_until) if acc.drawdown_until > 0 else acc.day_end


@inlined
def low_water(acc: AccountRow, par: ParamsRow, high: float) -> float:
    """Equity (quote) down to which no breaker can trip, when the highest so far is `high`; a rounding on the safe side.

    -inf where none can.
    """
    low = -math.inf
    if acc.drawdown_until == 0 and par.max_drawdown > 0.0:
        low = high * (1.0 - par.max_drawdown)
    if acc.daily_until != acc.day_end and par.max_daily > 0.0:
        low = max(low, acc.day_equity * (1.0 - par.max_daily))
    return low + 1e-9 * abs(low) if low > -math.inf else low


@dataclass(frozen=True, slots=True)
class Halt:
    """A breaker that holds: entries are blocked, exits go on."""

    rule: str  # the setting that it is about
    value: float  # what tripped it
    limit: float
    until: int  # ns; NEVER = until somebody lifts it


def holding(acc: AccountRow, par: ParamsRow, ts: int) -> tuple[Halt, ...]:
    """The breakers that hold at `ts` (ns)."""
    every = (
        Halt("max_daily_loss", float(acc.daily_saw), float(par.max_daily), int(acc.daily_until)),
        Halt("max_losses", float(acc.losses_saw), float(par.max_losses), int(acc.losses_until)),
        Halt("max_drawdown", float(acc.drawdown_saw), float(par.max_drawdown), int(acc.drawdown_until)),
    )
    return tuple(halt for halt in every if halt.until > ts)


def lift(acc: AccountRow) -> None:
    """Somebody looked, and lets the account trade again: no breaker holds, and all measure from the equity there is."""
    acc.daily_until = acc.losses_until = acc.drawdown_until = 0
    acc.losses = 0
    acc.high = acc.day_equity = acc.equity
