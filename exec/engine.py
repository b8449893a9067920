"""The engine: market rows and signal rows in; orders, fills and closed trades out.

One compiled loop body serves the backtest and the live bot: `replay` turns it over any number of instants, the live
shell hands it the rows of one. At one instant (all bars that closed together) the order of things is fixed. Symbol by
symbol, in order of name (no fill depends on another's):

1. open: funding due, market exit, waiting entry;   2. inside: funding of a new position, protective exit, time limit,
trail;   3. the mark.

Then for all together: 4. equity;   5. signals: exits of all symbols first, then entries by expected_bps.

Matching (`exec.matching`), sizing, rules and ledger (`risk`) are called, never repeated.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exec.decisions import answer, decide_entry, decide_exit, expected
from exec.matching import untouched
from exec.orders import age_entry, enter, exit_at_open, exit_inside
from risk.portfolio import exposure, mark, note_equity, open_pnl, settle_funding
from utils.codes import HELD
from utils.compiled import compiled, inlined
from utils.rows import (
    ACCOUNT,
    DECISION,
    EQUITY,
    FUNDING,
    ORDER,
    POSITION,
    TRADE,
    AccountRow,
    BarRow,
    DecisionRow,
    EquityRow,
    ParamsRow,
    PositionRow,
    Rows,
    SignalRow,
)

#: Most journal rows one symbol can cause at one instant; `replay` stops in time for the caller to flush.
TRADES_PER_BAR, ORDERS_PER_BAR = 2, 4


@compiled
def full(acc: AccountRow, symbols: int, trades: int, orders: int, decisions: int, equity: int) -> bool:
    """Might the bars of `symbols` symbols at one instant cause more rows than the arrays have room for?"""
    return (
        acc.n_trades + TRADES_PER_BAR * symbols > trades
        or acc.n_orders + ORDERS_PER_BAR * symbols > orders
        or acc.n_decisions + symbols > decisions
        or acc.n_equity + 1 > equity
    )


@compiled
def forget(acc: AccountRow) -> None:
    """Begin anew in the tables that nobody keeps."""
    if acc.keep_trades == 0:
        acc.n_trades = 0
    if acc.keep_orders == 0:
        acc.n_orders = 0
    if acc.keep_decisions == 0:
        acc.n_decisions = 0
    if acc.keep_equity == 0:
        acc.n_equity = 0


@compiled
def outlive(acc: AccountRow, p: PositionRow) -> None:
    """A bar is over for the open position."""
    acc.held_bars += 1
    p.bars += 1
    p.inside = 0


@compiled
def close_at(p: PositionRow, bar: BarRow) -> None:
    """Remember the close: the mark until the next one."""
    p.mark = bar.close
    p.mark_ts = bar.ts


@inlined
def calm(p: PositionRow, bar: BarRow, sig: SignalRow) -> bool:
    """True when bar and signal change nothing: no order about, no level reached, a signal that is neutral or held."""
    if p.o_side != 0 or p.closing != 0 or not (math.isnan(sig.side) or sig.side == p.side):
        return False
    return p.qty == 0.0 or untouched(p, bar)


@inlined
def coast(
    acc: AccountRow,
    p: PositionRow,
    par: ParamsRow,
    bar: BarRow,
    sig: SignalRow,
    decision: DecisionRow,
    row: EquityRow,
) -> None:
    """Pass a calm bar of an account with one symbol: the short way through the instant for most bars of most runs."""
    close_at(p, bar)
    if p.qty != 0.0:
        p.gaps += bar.gap
        outlive(acc, p)
        mark(acc, open_pnl(p))
    note_equity(acc, par, bar, row)
    if not math.isnan(sig.side):
        answer(acc, decision, bar, sig)
        decision.action = HELD


@compiled
def admit(
    acc: AccountRow,
    pos: Rows,
    instruments: Rows,
    par: ParamsRow,
    bars: Rows,
    signals: Rows,
    decisions: Rows,
    orders: Rows,
    lo: int,
    hi: int,
) -> None:
    """Entries of one instant, rows `lo` to `hi`: the most promising first, ties by name, until a limit refuses.

    An entry decided at a symbol's last bar has no bar left to fill in: it expires with the data.
    """
    while True:
        best = -1
        for k in range(lo, hi):
            if pos[bars[k].sym].wants != 0 and (best < 0 or expected(signals[k]) > expected(signals[best])):
                best = k
        if best < 0:
            return
        count, gross = exposure(pos)
        s = bars[best].sym
        row = decisions[acc.n_decisions]
        decide_entry(acc, pos[s], instruments[s], par, bars[best], signals[best], row, count, gross)
        if bars[best].last == 1 and pos[s].o_side != 0:
            age_entry(acc, pos[s], bars[best], orders[acc.n_orders])


@compiled
def replay(
    account: Rows,
    pos: Rows,
    instruments: Rows,
    params: Rows,
    bars: Rows,
    signals: Rows,
    funding: Rows,
    trades: Rows,
    orders: Rows,
    decisions: Rows,
    equity: Rows,
    start: int,
) -> int:
    """Turn the loop over `bars` from row `start`; the one loop body of backtest and live.

    Args:
        account: ACCOUNT, one row.
        pos: POSITION, one row a symbol, in order of name.
        instruments: INSTRUMENT, likewise.
        params: PARAMS, one row.
        bars: BAR, in order of (ts, sym); rows of one instant stand together.
        signals: SIGNAL, row by row beside `bars`: what the strategy said at that bar's close.
        funding: FUNDING of all symbols; each position holds its range.
        trades: TRADE, to be filled from `n_trades` on; likewise the next three.
        orders: ORDER.
        decisions: DECISION.
        equity: EQUITY.
        start: first row to process: the beginning of an instant.

    Returns:
        `len(bars)`, or the row to go on from once the caller has flushed the journal arrays.
    """
    acc = account[0]
    par = params[0]
    n = len(bars)
    lo = start
    alone = len(pos) == 1
    while lo < n:
        if alone and acc.n_decisions < len(decisions) and acc.n_equity < len(equity):
            p = pos[0]
            due = p.f_next < p.f_end and funding[p.f_next].ts <= bars[lo].ts
            if not due and calm(p, bars[lo], signals[lo]):
                coast(acc, p, par, bars[lo], signals[lo], decisions[acc.n_decisions], equity[acc.n_equity])
                lo += 1
                continue
        hi = lo + 1
        while hi < n and bars[hi].ts == bars[lo].ts:
            hi += 1
        if full(acc, hi - lo, len(trades), len(orders), len(decisions), len(equity)):
            forget(acc)
            if full(acc, hi - lo, len(trades), len(orders), len(decisions), len(equity)):
                return lo
        for k in range(lo, hi):
            bar = bars[k]
            s = bar.sym
            p = pos[s]
            while p.f_next < p.f_end and funding[p.f_next].ts <= bar.ts - par.tf_ns:
                settle_funding(p, funding[p.f_next], bar)
            p.gaps += bar.gap
            if p.closing != 0 and bar.volume > 0.0:
                exit_at_open(acc, p, instruments[s], par, bar, trades[acc.n_trades], orders[acc.n_orders])
            if p.o_side != 0 and bar.volume > 0.0:
                enter(acc, p, instruments[s], par, bar, orders[acc.n_orders])
            if p.o_side != 0:
                age_entry(acc, p, bar, orders[acc.n_orders])
            while p.f_next < p.f_end and funding[p.f_next].ts <= bar.ts:
                settle_funding(p, funding[p.f_next], bar)
            if p.qty != 0.0:
                if not untouched(p, bar):
                    exit_inside(acc, p, instruments[s], par, bar, trades[acc.n_trades], orders[acc.n_orders])
                outlive(acc, p)
            close_at(p, bar)
        total = 0.0
        for s in range(len(pos)):
            total += open_pnl(pos[s])
        mark(acc, total)
        note_equity(acc, par, bars[lo], equity[acc.n_equity])
        wanting = 0
        for k in range(lo, hi):
            if not math.isnan(signals[k].side):
                p = pos[bars[k].sym]
                p.wants = decide_exit(acc, p, bars[k], signals[k], decisions[acc.n_decisions], orders[acc.n_orders])
                wanting += 1 if p.wants != 0 else 0
        if wanting > 0:
            admit(acc, pos, instruments, par, bars, signals, decisions, orders, lo, hi)
        lo = hi
    return n


@dataclass(frozen=True, slots=True)
class JournalRows:
    """What a run wrote: one array of rows a kind, in the order things happened."""

    trades: Rows
    orders: Rows
    decisions: Rows
    equity: Rows


#: The tables of a journal, with their rows and the counter each has in the account.
TABLES = {
    "trades": (TRADE, "n_trades"),
    "orders": (ORDER, "n_orders"),
    "decisions": (DECISION, "n_decisions"),
    "equity": (EQUITY, "n_equity"),
}


class Engine:
    """Owns the records of one account and hands rows to `replay`; it holds no rule of its own.

    Args:
        instruments: INSTRUMENT rows, one a symbol, in order of name.
        params: PARAMS, one row.
        capital: initial capital, quote.
        funding: FUNDING rows of all symbols, any order.
        keep: journal tables that `drain` is to return; the others are counted and forgotten.
        buffer: rows of a kept table before a flush.
    """

    def __init__(
        self,
        instruments: Rows,
        params: Rows,
        capital: float,
        funding: Rows | None = None,
        keep: Collection[str] = tuple(TABLES),
        buffer: int = 131_072,
    ) -> None:
        self.instruments = instruments
        self.params = params
        self.account = np.zeros(1, ACCOUNT)
        self.positions = np.zeros(len(instruments), POSITION)
        # rows nobody keeps are written over and over: few, to stay in cache. Kept ones go to large empty arrays,
        # which NumPy asks the system for in huge pages; zeroed ones come page by page, ten times slower
        least = 16 * ORDERS_PER_BAR * len(instruments)
        self._rows = {name: max(least, buffer) if name in keep else least for name in TABLES}
        self._out = {name: np.empty(self._rows[name], kind) for name, (kind, _) in TABLES.items()}
        self._kept: dict[str, list[Rows]] = {name: [] for name in keep}
        self.funding = np.zeros(0, FUNDING) if funding is None else np.sort(funding, order=("sym", "ts"))
        self.reset(capital)

    def reset(self, capital: float) -> None:
        """Begin anew with `capital` (quote), flat; funding starts over, journal rows are forgotten."""
        self.account[:] = 0
        self.account[0].initial = self.account[0].equity = self.account[0].peak = capital
        self._mark_kept()
        self.positions[:] = 0
        for parts in self._kept.values():
            parts.clear()
        self._hand_out(0)

    def _mark_kept(self) -> None:
        """Tell the compiled loop which tables wait for us when they are full."""
        for name in TABLES:
            self.account[f"keep_{name}"] = int(name in self._kept)

    def set_funding(self, funding: Rows) -> None:
        """Replace the settlements of all symbols; those up to each symbol's last bar count as settled."""
        self.funding = np.sort(funding, order=("sym", "ts"))
        self._hand_out(None)

    def _hand_out(self, settled: int | None) -> None:
        """Give each position its range of settlements: those after `settled`, or after its own last bar (ns)."""
        for s in range(len(self.positions)):
            first, end = np.searchsorted(self.funding["sym"], (s, s + 1))
            after = int(self.positions["mark_ts"][s]) if settled is None else settled
            done = int(np.searchsorted(self.funding["ts"][first:end], after, "right")) if after else 0
            self.positions["f_next"][s], self.positions["f_end"][s] = first + done, end

    def run(self, bars: Rows, signals: Rows) -> None:
        """Process bars and the signals of their closes; call again with the next rows, of any number of instants."""
        out = self._out
        at = 0
        while True:
            at = replay(
                self.account,
                self.positions,
                self.instruments,
                self.params,
                bars,
                signals,
                self.funding,
                out["trades"],
                out["orders"],
                out["decisions"],
                out["equity"],
                at,
            )
            if at == len(bars):
                return
            self._flush(full_only=True)

    def _flush(self, *, full_only: bool) -> None:
        """Move journal rows out of the buffers, of those alone that another instant might overflow if `full_only`."""
        instant = ORDERS_PER_BAR * len(self.positions)
        for name, (kind, counter) in TABLES.items():
            count = int(self.account[counter][0])
            if count == 0 or (full_only and count + instant <= self._rows[name]):
                continue
            self.account[counter] = 0
            if name not in self._kept:
                continue
            if count < 1024:
                self._kept[name].append(self._out[name][:count].copy())
            else:
                self._kept[name].append(self._out[name][:count])
                self._out[name] = np.empty(self._rows[name], kind)

    def drain(self) -> JournalRows:
        """Everything journalled since the last drain; tables that are not kept are empty."""
        self._flush(full_only=False)
        rows = JournalRows(*(joined(self._kept.get(name, []), kind) for name, (kind, _) in TABLES.items()))
        for parts in self._kept.values():
            parts.clear()
        return rows

    def snapshot(self) -> bytes:
        """The whole state as bytes: account and positions; journal rows stay here, for `drain`."""
        self._flush(full_only=False)
        return self.account.tobytes() + self.positions.tobytes()

    def restore(self, state: bytes) -> None:
        """Go on from a `snapshot` of an engine with the same symbols and funding."""
        self._flush(full_only=False)
        cut = self.account.nbytes
        self.account[:] = np.frombuffer(state[:cut], ACCOUNT)
        self._mark_kept()
        self.positions[:] = np.frombuffer(state[cut:], POSITION)


def joined(parts: Sequence[Rows], kind: np.dtype[Any]) -> Rows:
    """Journal rows of consecutive parts as one array; NumPy's own concatenate would lose the record type."""
    if len(parts) == 1:
        return parts[0]
    whole = np.empty(sum(map(len, parts)), kind)
    at = 0
    for part in parts:
        whole[at : at + len(part)] = part
        at += len(part)
    return whole
