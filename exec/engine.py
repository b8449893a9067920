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
from dataclasses import dataclass

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
    lo: int,
    hi: int,
) -> None:
    """Entries of one instant, rows `lo` to `hi`: the most promising first, ties by name, until a limit refuses."""
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
            admit(acc, pos, instruments, par, bars, signals, decisions, lo, hi)
        lo = hi
    return n


@dataclass(frozen=True, slots=True)
class JournalRows:
    """What a run wrote: one array of rows a kind, in the order things happened."""

    trades: Rows
    orders: Rows
    decisions: Rows
    equity: Rows


class Engine:
    """Owns the records of one account and hands rows to `replay`; it holds no rule of its own.

    Args:
        instruments: INSTRUMENT rows, one a symbol, in order of name.
        params: PARAMS, one row.
        capital: initial capital, quote.
        funding: FUNDING rows of all symbols, any order.
        buffer: journal rows kept before a flush; at least `ORDERS_PER_BAR` a symbol.
    """

    def __init__(
        self, instruments: Rows, params: Rows, capital: float, funding: Rows | None = None, buffer: int = 65_536
    ) -> None:
        self.instruments = instruments
        self.params = params
        self.account = np.zeros(1, ACCOUNT)
        self.positions = np.zeros(len(instruments), POSITION)
        self._out = tuple(np.zeros(buffer, kind) for kind in (TRADE, ORDER, DECISION, EQUITY))
        self._flushed: tuple[list[Rows], ...] = ([], [], [], [])
        self.funding = np.zeros(0, FUNDING)
        self.reset(capital)
        if funding is not None:
            self.set_funding(funding)

    def reset(self, capital: float) -> None:
        """Begin anew with `capital` (quote), flat; funding is kept and starts over, journal rows are forgotten."""
        self.account[:] = 0
        self.account[0].initial = self.account[0].equity = self.account[0].peak = capital
        self.positions[:] = 0
        for rows in self._flushed:
            rows.clear()
        self.set_funding(self.funding)

    def set_funding(self, funding: Rows) -> None:
        """Hand over the settlements of all symbols; each position gets its range of them, from the beginning."""
        self.funding = np.sort(funding, order=("sym", "ts"))
        for s in range(len(self.positions)):
            first, end = np.searchsorted(self.funding["sym"], (s, s + 1))
            self.positions[s].f_next, self.positions[s].f_end = first, end

    def run(self, bars: Rows, signals: Rows) -> None:
        """Process bars and the signals of their closes; may be called again with the next rows, of any number."""
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
                self._out[0],
                self._out[1],
                self._out[2],
                self._out[3],
                at,
            )
            if at == len(bars):
                return
            self._flush()

    def _flush(self) -> None:
        """Move filled journal rows out of the buffers."""
        for name, buffer, kept in zip(
            ("n_trades", "n_orders", "n_decisions", "n_equity"), self._out, self._flushed, strict=True
        ):
            count = int(self.account[name][0])
            if count:
                kept.append(buffer[:count].copy())
                self.account[name] = 0

    def drain(self) -> JournalRows:
        """Everything journalled since the last drain."""
        self._flush()
        arrays = [
            np.concatenate(kept) if kept else np.zeros(0, buffer.dtype)
            for buffer, kept in zip(self._out, self._flushed, strict=True)
        ]
        for kept in self._flushed:
            kept.clear()
        return JournalRows(*arrays)

    def snapshot(self) -> bytes:
        """The whole state as bytes: account and positions."""
        return self.account.tobytes() + self.positions.tobytes()

    def restore(self, state: bytes) -> None:
        """Go on from a `snapshot` of an engine with the same symbols."""
        cut = self.account.nbytes
        self.account[:] = np.frombuffer(state[:cut], ACCOUNT)
        self.positions[:] = np.frombuffer(state[cut:], POSITION)
