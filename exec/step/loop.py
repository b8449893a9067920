"""The one loop of backtest and live: a market phase and an answer phase, generated from matching, guard and quoting.

Rows of one instant go through the same order: what the market does to orders and positions, marks and equity, what the
signals are answered, what a quoting step wants. `loop_of` writes that out as one compiled function without a call
through a pointer, as `features.fold` and `risk.guard` do theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from textwrap import indent
from typing import Any

import numpy as np

from exec.step.answer import ANSWER, Guard, names_of
from exec.step.bars import FILLS_PER_BAR, ORDERS_PER_BAR, TRADES_PER_BAR, coast, meet_bar, meet_bar_standing
from exec.step.events import meet_event
from exec.step.halting import halt
from exec.step.orders import ROLE_SLOTS
from exec.step.quoting import obeying
from risk.exposure import learn
from risk.guard import guard as built_in
from risk.halts import turn_day, watch_equity
from risk.portfolio import mark, note_equity, open_pnl
from utils.compiled import compile_source, compiled
from utils.rows import BAR, MARKET_EVENT, AccountRow

#: (acc, p, ins, par, row, orders, memory, out) -> intents written; see `exec.step.quoting`.
Quoting = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Matching:
    """A way to read a market: its rows, and the compiled functions that let them meet orders."""

    rows: np.dtype[Any]
    meet: Callable[..., None]  # what one row does to its symbol
    #: The short way through rows that change nothing, for an account of one symbol.
    coast: Callable[..., tuple[int, bool]] | None
    signals: bool  # a row of signals stands beside each, and those of one time are one instant


BARS = Matching(BAR, meet_bar, coast, signals=True)
BARS_STANDING = Matching(BAR, meet_bar_standing, coast, signals=True)
EVENTS = Matching(MARKET_EVENT, meet_event, None, signals=False)


@compiled
def full(
    acc: AccountRow, symbols: int, trades: int, orders: int, fills: int, decisions: int, equity: int, intents: int
) -> bool:
    """Might the rows of `symbols` symbols at one instant cause more journal rows than the arrays have room for?"""
    standing = acc.slots - ROLE_SLOTS
    return (
        acc.n_trades + (TRADES_PER_BAR + 2 * standing) * symbols > trades
        or acc.n_orders + (ORDERS_PER_BAR + standing + intents) * symbols > orders
        or acc.n_fills + (FILLS_PER_BAR + 4 * standing) * symbols > fills
        or acc.n_decisions + symbols > decisions
        or acc.n_equity + 1 > equity
    )


HEAD = """
def turn(
    account, pos, slots, instruments, params, rows, signals, funding, trades, orders, fills, decisions, equity, intents,
    blank, memory, asked_for, pairs, start,
):
    acc, par = account[0], params[0]
    n, lo = len(rows), start
    alone = len(pos) == 1
    while lo < n:
        passed = False
        hi = lo + 1
        while together and hi < n and rows[hi].ts == rows[lo].ts:
            hi += 1
        if full(acc, len(pos), len(trades), len(orders), len(fills), len(decisions), len(equity), len(intents)):
            return lo
"""
COAST = """
        if alone:
            lo, passed = coast(acc, pos[0], par, rows, signals, funding, decisions, equity, lo)
            if lo == n:
                return n
            hi = lo + 1
            if not passed and acc.n_decisions + acc.n_equity > 0 and full(
                acc, 1, len(trades), len(orders), len(fills), len(decisions), len(equity), len(intents)
            ):
                return lo
"""
MARKET = """
        if not passed:
            if par.limits == 1:
                turn_day(acc, rows[lo].ts)
            for k in range(lo, hi):
                meet(acc, pos, slots, instruments, par, rows[k], funding, trades, orders, fills)
            total = 0.0
            for s in range(len(pos)):
                total += open_pnl(pos[s])
            mark(acc, total)
            if par.limits == 1:
                action = watch_equity(acc, par, rows[lo].ts)
                if action > 0:
                    halt(acc, pos, slots, orders, action, rows[lo].ts)
            note_equity(acc, par, rows[lo].ts, rows[lo].last, equity[acc.n_equity])
"""
LEARN = """
            if par.limits == 1 and len(pos) > 1:
                learn(pos, pairs, rows, par, lo, hi)
"""
QUOTES = """
        for k in range(lo, hi):
            if rows[k].last == 1:
                continue
            s = rows[k].sym
            own = slots[s * acc.slots : (s + 1) * acc.slots]
            count = quoting(acc, pos[s], instruments[s], par, rows[k], own, memory[s], intents)
            obey(acc, pos, slots, instruments, par, intents, count, blank, orders, asked_for, pairs)
"""
TAIL = """
        lo = hi
    return n
"""


FLEET = """
def turn_all(
    accounts, pos, slots, instruments, params, rows, signals, funding, trades, orders, fills, decisions, equity,
    intents, blank, memory, asked_for, pairs,
):
    symbols, places = len(instruments), accounts[0].slots * len(instruments)
    for j in range(len(accounts)):
        turn(
            accounts[j : j + 1], pos[j * symbols : (j + 1) * symbols], slots[j * places : (j + 1) * places],
            instruments, params[j : j + 1], rows, signals, funding, trades, orders, fills, decisions, equity,
            intents, blank, memory, asked_for, pairs[j * symbols * symbols : (j + 1) * symbols * symbols], 0,
        )
"""


@cache
def fleet_of(matching: Matching) -> Callable[..., None]:
    """The loop for many accounts that keep no rows, each with its own PARAMS, over the same rows, compiled.

    It takes what `loop_of` does, accounts, positions, slots and params one after the other, and no first row.
    """
    return compile_source("turn_all", FLEET, {"turn": loop_of(matching)}, __file__)


def loop_of(
    matching: Matching,
    guard: Guard = built_in,
    quoting: Quoting | None = None,
) -> Callable[..., int]:
    """The loop for a way to match, a guard, and a quoting step or none, compiled.

    The result turns (account, POSITION, ORDER_SLOT, INSTRUMENT, params, rows, SIGNAL beside them, FUNDING, then the
    journal arrays TRADE, ORDER, FILL, DECISION, EQUITY to be filled from the account's counters on, INTENT to write to,
    a neutral SIGNAL row, the quoting step's memory, ASKED to write to, PAIR of all symbols with all, first row) and
    answers `len(rows)`, or the row to go on from once the caller has flushed the journal arrays. Rows stand in order of
    (ts, sym); `start` begins an instant.
    """
    return _loop(matching, guard, quoting)


@cache
def _loop(matching: Matching, guard: Guard, quoting: Quoting | None) -> Callable[..., int]:
    parts = [HEAD]
    names: dict[str, Any] = {"full": full, "isnan": math.isnan, "mark": mark, "meet": matching.meet}
    names |= {"note_equity": note_equity, "open_pnl": open_pnl, "together": matching.signals}
    if matching.coast is not None and quoting is None:
        parts.append(COAST)
        names["coast"] = matching.coast
    parts.append(MARKET)
    names |= {"turn_day": turn_day, "watch_equity": watch_equity, "halt": halt}
    if matching.signals:
        parts.append(LEARN)
        names["learn"] = learn
        parts.append(indent(ANSWER, 8 * " "))
        names |= names_of(guard)
    if quoting is not None:
        parts.append(QUOTES)
        names |= {"quoting": quoting, "obey": obeying(guard)}
    own = quoting is None and guard is built_in
    return compile_source("turn", "".join([*parts, TAIL]), names, __file__, cached=own)
