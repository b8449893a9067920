"""The engine: market rows and signal rows in; orders, fills and closed trades out.

One compiled loop body serves the backtest and the live bot: `replay` turns it over any number of instants, the live
shell hands it the rows of one. At one instant (all bars that closed together) the order of things is fixed:

1. opens: funding due, market exits, waiting entries;   2. inside the bar: protective exits, time limits;
3. closes: marks, trails, equity;                       4. signals: exits of all symbols, then entries by expected_bps.

Matching (`exec.matching`), sizing, rules and ledger (`risk`) are called, never repeated. The quoting seam: a strategy
that writes its own order intents runs where `decide` runs, with the same records.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exec.decisions import decide_entry, decide_exit, expected
from exec.orders import age_entry, enter, exit_at_open, exit_inside
from risk.portfolio import exposure, mark, note_equity, open_pnl, settle_funding
from risk.stops import move_trail
from utils.compiled import compiled
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
    InstrumentRow,
    OrderRow,
    ParamsRow,
    PositionRow,
    Rows,
    TradeRow,
)

#: Most journal rows one symbol can cause at one instant; `replay` stops in time for the caller to flush.
TRADES_PER_BAR, ORDERS_PER_BAR = 2, 4


@compiled
def bar_opens(
    acc: AccountRow, p: PositionRow, ins: InstrumentRow, par: ParamsRow, bar: BarRow, trade: TradeRow, order: OrderRow
) -> None:
    """A market exit that waited for a bar that trades."""
    p.gaps += bar.gap
    if p.closing != 0 and bar.volume > 0.0:
        exit_at_open(acc, p, ins, par, bar, trade, order)


@compiled
def bar_trades(
    acc: AccountRow, p: PositionRow, ins: InstrumentRow, par: ParamsRow, bar: BarRow, order: OrderRow
) -> None:
    """The waiting entry meets the bar: it fills, is refused, or has waited one bar more."""
    if bar.volume > 0.0:
        enter(acc, p, ins, par, bar, order)
    if p.o_side != 0:
        age_entry(acc, p, bar, order)


@compiled
def bar_closes(
    acc: AccountRow, p: PositionRow, ins: InstrumentRow, par: ParamsRow, bar: BarRow, trade: TradeRow, order: OrderRow
) -> None:
    """Protective exits inside the bar; then the trail moves, from what the bar showed."""
    exit_inside(acc, p, ins, par, bar, trade, order)
    if p.qty != 0.0 and p.trail > 0.0:
        move_trail(p, bar, ins)
    p.inside = 0


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
    while lo < n:
        hi = lo + 1
        while hi < n and bars[hi].ts == bars[lo].ts:
            hi += 1
        if (
            acc.n_trades + TRADES_PER_BAR * (hi - lo) > len(trades)
            or acc.n_orders + ORDERS_PER_BAR * (hi - lo) > len(orders)
            or acc.n_decisions + hi - lo > len(decisions)
            or acc.n_equity + 1 > len(equity)
        ):
            return lo
        for k in range(lo, hi):
            bar = bars[k]
            p = pos[bar.sym]
            while p.f_next < p.f_end and funding[p.f_next].ts <= bar.ts - par.tf_ns:
                settle_funding(p, funding[p.f_next], bar)
            if p.qty != 0.0:
                bar_opens(acc, p, instruments[bar.sym], par, bar, trades[acc.n_trades], orders[acc.n_orders])
        for k in range(lo, hi):
            bar = bars[k]
            p = pos[bar.sym]
            if p.o_side != 0:
                bar_trades(acc, p, instruments[bar.sym], par, bar, orders[acc.n_orders])
        for k in range(lo, hi):
            bar = bars[k]
            p = pos[bar.sym]
            while p.f_next < p.f_end and funding[p.f_next].ts <= bar.ts:
                settle_funding(p, funding[p.f_next], bar)
            if p.qty != 0.0:
                bar_closes(acc, p, instruments[bar.sym], par, bar, trades[acc.n_trades], orders[acc.n_orders])
            p.mark = bar.close
            p.mark_ts = bar.ts
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
        buffer: journal rows of a table before a flush; small enough to stay in cache.
    """

    def __init__(
        self,
        instruments: Rows,
        params: Rows,
        capital: float,
        funding: Rows | None = None,
        keep: Collection[str] = tuple(TABLES),
        buffer: int = 4096,
    ) -> None:
        self.instruments = instruments
        self.params = params
        self.account = np.zeros(1, ACCOUNT)
        self.positions = np.zeros(len(instruments), POSITION)
        rows = max(buffer, 2 * ORDERS_PER_BAR * len(instruments))
        self._out = {name: np.zeros(rows, kind) for name, (kind, _) in TABLES.items()}
        self._kept: dict[str, list[Rows]] = {name: [] for name in keep}
        self.funding = np.zeros(0, FUNDING) if funding is None else np.sort(funding, order=("sym", "ts"))
        self.reset(capital)

    def reset(self, capital: float) -> None:
        """Begin anew with `capital` (quote), flat; funding starts over, journal rows are forgotten."""
        self.account[:] = 0
        self.account[0].initial = self.account[0].equity = self.account[0].peak = capital
        self.positions[:] = 0
        for parts in self._kept.values():
            parts.clear()
        self._hand_out(0)

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
            self._flush()

    def _flush(self) -> None:
        """Move filled journal rows out of the buffers."""
        for name, (_, counter) in TABLES.items():
            count = int(self.account[counter][0])
            if count and name in self._kept:
                self._kept[name].append(self._out[name][:count].copy())
            self.account[counter] = 0

    def drain(self) -> JournalRows:
        """Everything journalled since the last drain; tables that are not kept are empty."""
        self._flush()
        rows = JournalRows(*(joined(self._kept.get(name, []), kind) for name, (kind, _) in TABLES.items()))
        for parts in self._kept.values():
            parts.clear()
        return rows

    def snapshot(self) -> bytes:
        """The whole state as bytes: account and positions."""
        return self.account.tobytes() + self.positions.tobytes()

    def restore(self, state: bytes) -> None:
        """Go on from a `snapshot` of an engine with the same symbols."""
        cut = self.account.nbytes
        self.account[:] = np.frombuffer(state[:cut], ACCOUNT)
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
