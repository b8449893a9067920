"""The engine: market rows and signal rows in; orders, fills and closed trades out.

It owns the records of one account and lets one compiled loop (`exec.step.loop`) turn over them: the backtest hands it
any number of instants, a live shell the rows of one. At one instant (all bars that closed together) the order of things
is fixed: what the market does, symbol by symbol (`exec.step.bars`); marks and equity; what signals are answered
(`exec.step.answer`); what a quoting step wants (`exec.step.quoting`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from exec.step.answer import answer
from exec.step.bars import ORDERS_PER_BAR
from exec.step.loop import BARS, BARS_STANDING, EVENTS, Quoting, fleet_of, loop_of
from exec.step.orders import ROLE_SLOTS
from exec.step.quoting import obey
from exec.step.rows import TABLES, JournalRows, joined
from risk.correlation import PAIR
from risk.guard import guard
from risk.halts import lift
from utils.compiled import is_cached
from utils.rows import ACCOUNT, ASKED, FUNDING, INTENT, ORDER_SLOT, POSITION, SIGNAL, Rows

__all__ = ["TABLES", "Engine", "Fleet", "JournalRows", "engine_is_cached", "joined"]

#: Memory of a quoting step that brings none: a record, as its own would be, so that it reads alike uncompiled.
NO_MEMORY = np.dtype((np.record, [("bars", np.int64)]))


def engine_is_cached() -> bool:
    """True when the loop of a backtest need not be compiled."""
    return is_cached(loop_of(BARS))


class Engine:
    """Owns the records of one account and lets the loop turn over rows; it holds no rule of its own.

    Args:
        instruments: INSTRUMENT rows, one a symbol, in order of name.
        params: PARAMS, one row.
        capital: initial capital, quote.
        funding: FUNDING rows of all symbols, any order.
        keep: journal tables that `drain` is to return; rows of the others are not written at all.
        buffer: rows of a kept table before a flush.
        standing: orders a symbol may have beside its entry, its brackets and its close.
        quoting: a strategy's own compiled step after each row, see `exec.step.quoting`; it needs `standing` orders.
        memory: its rows, one a symbol; `reset` brings them back to what they are here.

    Raises:
        ValueError: `standing` below 0.
    """

    def __init__(
        self,
        instruments: Rows,
        params: Rows,
        capital: float,
        funding: Rows | None = None,
        keep: Collection[str] = tuple(TABLES),
        buffer: int = 131_072,
        *,
        standing: int = 0,
        quoting: Quoting | None = None,
        memory: Rows | None = None,
    ) -> None:
        self.instruments = instruments
        self.params = params
        self.quoting = quoting
        self.memory = np.zeros(len(instruments), NO_MEMORY) if memory is None else memory
        self._memory = self.memory.copy()
        if standing < 0:
            raise ValueError(f"standing: expected a whole number from 0, saw {standing!r}")
        self.account = np.zeros(1, ACCOUNT)
        self.positions = np.zeros(len(instruments), POSITION)
        self._each = ROLE_SLOTS + standing
        self.slots = np.zeros(self._each * len(instruments), ORDER_SLOT)
        self.intents = np.zeros(2 * standing + 4 if quoting is not None else 1, INTENT)
        self.asked: Rows = np.zeros(1, ASKED)
        self.pairs: Rows = np.zeros(len(instruments) * len(instruments), PAIR)
        self.blank = np.full(len(SIGNAL.names or ()), np.nan).view(SIGNAL)
        # rows nobody keeps are never written. Kept ones go to large empty arrays, which NumPy asks the system for in
        # huge pages; zeroed ones come page by page, ten times slower
        self._least = (ORDERS_PER_BAR + 4 * standing + len(self.intents)) * len(instruments) + 1
        self._rows = {name: max(16 * self._least, buffer) if name in keep else self._least for name in TABLES}
        self._out = {name: np.empty(self._rows[name], kind) for name, (kind, _) in TABLES.items()}
        self._kept: dict[str, list[Rows]] = {name: [] for name in keep}
        self.funding = np.zeros(0, FUNDING) if funding is None else np.sort(funding, order=("sym", "ts"))
        self.reset(capital)

    def reset(self, capital: float) -> None:
        """Begin anew with `capital` (quote), flat; funding starts over, journal rows are forgotten."""
        self.account[:] = 0
        self.account[0].initial = self.account[0].equity = self.account[0].peak = capital
        self.account[0].slots = self._each
        self.account[0].high = self.account[0].day_equity = capital
        self.pairs[:] = 0
        self._mark_kept()
        self.positions[:] = 0
        self.positions["spread_bps"] = self.positions["depth"] = self.positions["moved"] = np.nan
        self.positions["floor"], self.positions["ceiling"] = -np.inf, np.inf
        self.memory[:] = self._memory
        self.slots[:] = 0
        self.slots["limit"] = self.slots["trigger"] = np.nan
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
            after = int(self.positions["bar_ts"][s]) if settled is None else settled
            done = int(np.searchsorted(self.funding["ts"][first:end], after, "right")) if after else 0
            self.positions["f_next"][s], self.positions["f_end"][s] = first + done, end

    def run(self, bars: Rows, signals: Rows) -> None:
        """Process bars and the signals of their closes; call again with the next rows, of any number of instants."""
        matching = BARS if self._each == ROLE_SLOTS else BARS_STANDING
        self._turn(loop_of(matching, guard, self.quoting), bars, signals)

    def happen(self, events: Rows) -> None:
        """Process MARKET_EVENT rows, in order of time: what happened between bars; call again with the next."""
        self._turn(loop_of(EVENTS, guard, self.quoting), events, self.blank)

    def _turn(self, loop: Callable[..., int], rows: Rows, signals: Rows) -> None:
        at = 0
        while True:
            at = loop(
                self.account,
                self.positions,
                self.slots,
                self.instruments,
                self.params,
                rows,
                signals,
                self.funding,
                *self.spare(),
                at,
            )
            if at == len(rows):
                return
            self._flush(full_only=True)

    def answer(self, params: Rows, bars: Rows, signals: Rows) -> None:
        """Answer the signals of one instant under PARAMS of their own, at the closes of `bars`."""
        out = self._out
        answer(
            self.account[0],
            self.positions,
            self.slots,
            self.instruments,
            params[0],
            bars,
            signals,
            out["decisions"],
            out["orders"],
            self.intents,
            self.asked,
            self.pairs,
            0,
            len(bars),
        )

    def obey(self, intents: Rows) -> None:
        """Carry out wishes, each after the guard where it may add to a position; the answers stand in `intents`."""
        obey(
            self.account[0],
            self.positions,
            self.slots,
            self.instruments,
            self.params[0],
            intents,
            len(intents),
            self.blank,
            self._out["orders"],
            self.asked,
            self.pairs,
        )

    def see_book(self, sym: int, spread_bps: float, depth: float) -> None:
        """The book of a symbol as it stands: spread in bps, quote within 5 bps on its thinner side; NaN = none."""
        self.positions["spread_bps"][sym], self.positions["depth"][sym] = spread_bps, depth

    def lift_halts(self) -> None:
        """Let a halted account trade again, measuring from the equity there is: for the one who looked at it."""
        lift(self.account[0])

    def spare(self) -> tuple[Rows, ...]:
        """What else the loop is handed: the journal tables in order, intents, a neutral signal, memory, risk's rows."""
        out = (self._out[name] for name in TABLES)
        return *out, self.intents, self.blank, self.memory, self.asked, self.pairs

    def _flush(self, *, full_only: bool) -> None:
        """Move journal rows out of the buffers, of those alone that another instant might overflow if `full_only`."""
        for name, (kind, counter) in TABLES.items():
            count = int(self.account[counter][0])
            if count == 0 or (full_only and count + self._least <= self._rows[name]):
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
        """The whole state as bytes: account, positions, orders, and what a quoting step remembers; not journal rows."""
        self._flush(full_only=False)
        return b"".join(part.tobytes() for part in self._state())

    def restore(self, state: bytes) -> None:
        """Go on from a `snapshot` of an engine with the same symbols, slots and funding.

        Raises:
            ValueError: a snapshot of another kind of engine.
        """
        self._flush(full_only=False)
        expected = sum(part.nbytes for part in self._state())
        if len(state) != expected:
            raise ValueError(f"state: expected {expected} bytes of an engine like this one, saw {len(state)}")
        at = 0
        for part in self._state():
            part[:] = np.frombuffer(state[at : at + part.nbytes], part.dtype)
            at += part.nbytes
        self._mark_kept()

    def _state(self) -> tuple[Rows, ...]:
        return self.account, self.positions, self.slots, self.memory, self.pairs


class Fleet:
    """Many accounts over one market, each under its own parameters; none keeps a journal row.

    What each earns is what an `Engine` finds under the same parameters, bit for bit: the loop is the same, turned for
    one account after the other in one call.

    Args:
        instruments: INSTRUMENT rows, one a symbol, in order of name.
        params: PARAMS, one row an account.
        capital: initial capital of each, quote.
        funding: FUNDING rows of all symbols, any order.
    """

    def __init__(self, instruments: Rows, params: Rows, capital: float, funding: Rows) -> None:
        one = Engine(instruments, params[:1], capital, funding, keep=())
        self.accounts = one.account.repeat(len(params))
        self._state = (np.tile(one.positions, len(params)), np.tile(one.slots, len(params)), instruments, params)
        self._funding = one.funding
        self._rows = (*one.spare()[:-1], np.tile(one.pairs, len(params)))
        self._turn = fleet_of(BARS)

    def run(self, bars: Rows, signals: Rows) -> None:
        """Let every account see these bars and the signals of their closes."""
        self._turn(self.accounts, *self._state, bars, signals, self._funding, *self._rows)
