"""The paper broker: open, close and flip over the compiled engine, bar by bar.

It holds no rule. A bar goes to the engine's `replay`; a wish becomes a SIGNAL record at the close of the symbol's last
bar and is answered by the engine's own decision functions, so the order is in the market from the next open on. An
explicit quantity or kind of order is one field of the PARAMS record that this one decision is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict, Unpack

import numpy as np

from exec.decisions import decide_exit
from exec.engine import TABLES, Engine, JournalRows, admit
from exec.orders import end_entry
from utils.codes import CANCELLED, HELD, KIND_NAMES, LIMIT, MARKET, ORDER_REASONS, REJECTED, RULE_NAMES
from utils.market.timeframes import normalise_timeframe, parse_timeframe
from utils.params import params_of
from utils.records.names import refusal_text
from utils.rows import BAR, DECISION, EQUITY, FUNDING, INSTRUMENT, ORDER, PARAMS, SIGNAL, TRADE, Rows
from utils.types import (
    Bar,
    Decision,
    Event,
    Funding,
    Instrument,
    Order,
    OrderId,
    Position,
    Refusal,
    Signal,
    TradeRecord,
)

SIDES = {"long": 1, "short": -1, 1: 1, -1: -1}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of one symbol at its last close."""

    sym: int
    signal: Signal
    params: Rows  # PARAMS under which it is decided
    limit: float | None = None  # price its maker named, quote


class Terms(TypedDict, total=False):
    """How an entry is sent; what is not named is as the broker's `params` say."""

    kind: str | None  # MARKET, LIMIT or POST_ONLY; when only a limit is named, LIMIT
    limit: float | None  # price of a resting order, quote, rounded away from the market
    take_bps: float | None  # distance of the take from the fill
    stop_bps: float | None  # distance of the stop from the fill
    horizon: int | None  # longest holding time, bars


class TradeJournal(Protocol):
    """Whatever keeps closed trades."""

    def write(self, trades: Sequence[TradeRecord]) -> object:
        """Keep `trades`, in the order in which they closed."""
        ...


def default_params(tf: str = "5m") -> Rows:
    """One PARAMS row: the settings' defaults, but market entries and no limit on the number of positions."""
    from utils.settings.tree import Settings  # not needed by whoever brings PARAMS of his own

    params = params_of(Settings(), parse_timeframe(tf))
    params["entry_kind"] = MARKET
    params["max_positions"] = 1_000_000
    return params


def refusal_of(row: Any, symbol: str) -> Refusal | None:
    """Why a DECISION row did not do all that was asked; None if it did."""
    if row.rule:
        return Refusal(RULE_NAMES[row.rule], f"{symbol}: {refusal_text(row.rule, row.value, row.limit)}")
    if row.action != HELD:
        return None
    if row.side == 0:
        return Refusal("flat", f"{symbol}: there is nothing to close, or it is closing already")
    return Refusal("held", f"{symbol}: there is such a position or order already: nothing is added or extended")


class PaperBroker:
    """An account at a simulated exchange that knows bars and funding only (`utils.ports.Broker`).

    Bars of one close are matched together, as in a backtest: when the last symbol's bar is in, when a later one comes,
    or when somebody looks or acts. So, fed the same bars and signals, it writes the rows of `Engine.run`, bit for bit.

    Args:
        instruments: what is traded; the order does not matter.
        params: PARAMS, one row; None = `default_params(tf)`.
        initial_capital: quote.
        tf: length of the bars.
        journal: is handed every closed trade, once.
        source: stamped on every trade: a file's name, an exchange, `synthetic`.

    Raises:
        ValueError: a symbol given twice or none, no capital, or `params` made for another bar length.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        *,
        params: Rows | None = None,
        initial_capital: float = 10_000.0,
        tf: str = "5m",
        journal: TradeJournal | None = None,
        source: str = "",
    ) -> None:
        self.tf = normalise_timeframe(tf)
        self.source = source
        self._instruments = sorted(instruments, key=lambda instrument: instrument.symbol)
        self._symbols = [instrument.symbol for instrument in self._instruments]
        self._index = {symbol: s for s, symbol in enumerate(self._symbols)}
        if not self._index or len(self._index) < len(self._symbols):
            raise ValueError(f"instruments: expected each symbol once, saw {self._symbols}; leave the others out")
        if not 0.0 < initial_capital < math.inf:
            raise ValueError(f"initial_capital: expected a finite number above 0, saw {initial_capital!r}")
        row = default_params(self.tf) if params is None else np.array(params, PARAMS).reshape(1)
        if row[0].tf_ns != parse_timeframe(self.tf):
            raise ValueError(f"params: expected tf_ns of {self.tf}, saw {row[0].tf_ns}; name the same bar length as tf")
        rules = np.array([instrument.row() for instrument in self._instruments], INSTRUMENT)
        self._engine = Engine(rules, row, initial_capital)
        self._bars = np.zeros(len(rules), BAR)  # the last bar of each symbol
        self._unmatched: set[int] = set()  # symbols whose last bar the engine has not seen
        self._silent = np.array([(math.nan,) * len(SIGNAL.names or ())] * len(rules), SIGNAL)
        self._now = 0  # latest close, ns
        self._capital, self._realised = initial_capital, 0.0
        self._journal = journal
        self._kept: list[JournalRows] = []
        self._closed: list[TradeRecord] = []
        self._cancelled: list[OrderId] = []
        self._rejected: list[Refusal] = []

    @property
    def positions(self) -> dict[str, Position]:
        """Open positions by symbol."""
        self._match()
        fields = ("qty", "entry_price", "entry_ts", "stop", "take_price")
        rows = zip(self._symbols, self._engine.positions, strict=True)
        return {symbol: Position(symbol, *(p[name].item() for name in fields)) for symbol, p in rows if p.qty}

    @property
    def equity(self) -> float:
        """Initial capital + net of closed trades + `open_pnl`, at the last closes, quote."""
        self._match()
        return float(self._engine.account[0].equity)

    @property
    def open_pnl(self) -> float:
        """Open positions at their last closes, less fees and funding paid on them, quote."""
        self._match()
        return float(self._engine.account[0].open_pnl)

    @property
    def cash(self) -> float:
        """Wallet balance: initial capital + net of closed trades - fees and funding of open positions, quote."""
        self._match()
        rows = self._engine.positions[self._engine.positions["qty"] != 0.0]
        account = self._engine.account[0]
        return float(account.initial + account.realised - rows["fees"].sum() - rows["funding"].sum())

    def open(self, symbol: str, side: str | int, qty: float | None = None, **terms: Unpack[Terms]) -> Decision:
        """Send an entry order at the last close; against an open position it flips.

        Args:
            symbol: what to trade.
            side: "long" or "short", +1 or -1.
            qty: base, rounded down to the lot and held under the leverage caps; None = sized by risk.
            **terms: kind, limit, take_bps, stop_bps, horizon: see `Terms`.

        Returns:
            The order sent, or the refusal: no bar yet, held, or a rule of risk or sizing.

        Raises:
            ValueError: unknown symbol, side or kind, or a number that can be no size, price or distance.
        """
        s = self._index_of(symbol)
        if side not in SIDES:
            raise ValueError(f"side: expected long or short, +1 or -1, saw {side!r}")
        distances = {name: terms.get(name) for name in ("take_bps", "stop_bps", "horizon")}
        signal = Signal(self._now, symbol, SIDES[side], **distances)  # type: ignore[arg-type]
        limit = terms.get("limit")
        return self._decide([Wish(s, signal, self._params(s, qty, terms.get("kind"), limit), limit)])

    def close(self, symbol: str) -> Decision:
        """Cancel the symbol's waiting entry and close its position at the next open (EARLY_STOP).

        Raises:
            ValueError: unknown symbol.
        """
        return self._decide([Wish(self._index_of(symbol), Signal(self._now, symbol, 0), self._engine.params)])

    def flip(self, symbol: str, qty: float | None = None, **terms: Unpack[Terms]) -> Decision:
        """Close the position and open the opposite one at the same open; arguments and errors as in `open`.

        A waiting entry counts as the position; with neither there is nothing to flip, which is a refusal.
        """
        self._match()
        p = self._engine.positions[self._index_of(symbol)]
        side = -int(p.o_side or p.side)
        if side == 0:
            return self._answer(refusals=[Refusal("flat", f"{symbol} has no position to flip")])
        return self.open(symbol, side, qty, **terms)

    def decide(self, signals: Sequence[Signal]) -> Decision:
        """Answer the signals of one close: exits of all symbols first, then entries by expected bps, ties by name.

        Raises:
            ValueError: unknown symbol, or one that is named twice.
        """
        return self._decide([Wish(self._index_of(s.symbol), s, self._engine.params) for s in signals])

    def apply(self, orders: Sequence[Order], cancels: Sequence[OrderId] = ()) -> Decision:
        """Cancel, then send; entries in order of name.

        A reduce-only order closes the whole position, as bar matching knows no part of one: another quantity is
        refused. The answer holds the orders as accepted, under the ids that `cancels` understands.

        Raises:
            ValueError: unknown symbol, or one that is named twice.
        """
        self._match()
        wishes: list[Wish] = []
        refusals: list[Refusal] = []
        for order in orders:
            s = self._index_of(order.symbol)
            held = float(self._engine.positions[s].qty)
            if not order.reduce_only:
                params = self._params(s, order.qty, order.kind, order.price)
                wishes.append(Wish(s, Signal(order.ts, order.symbol, order.side), params, order.price))
            elif order.side * order.qty == -held:
                wishes.append(Wish(s, Signal(order.ts, order.symbol, 0), self._engine.params))
            else:
                refusals.append(Refusal("reduce_only", f"{order.symbol} holds {held:g}: only all of it can be closed"))
        refusals += [refused for order_id in cancels if (refused := self._cancel(order_id))]
        return self._decide(wishes, refusals)

    def on_event(self, event: Event, *, last: bool = False) -> Decision:
        """A bar closed, or funding was settled; the answer says what has ended since the answer before.

        Args:
            event: a `Bar`, or a `Funding`, which comes before the bar that closes at or after it.
            last: this is known to be the symbol's last bar: what is open ends with it (END_OF_DATA).

        Raises:
            TypeError: an event that bar matching cannot use.
            ValueError: unknown symbol, another bar length, or an event out of order.
        """
        if isinstance(event, Bar):
            self._take_bar(event, last=last)
        elif isinstance(event, Funding):
            self._take_funding(event)
        else:
            raise TypeError(f"PaperBroker matches bars: expected Bar or Funding, saw {type(event).__name__}")
        return self._answer()

    def drain(self) -> JournalRows:
        """The engine's rows since the last drain: trades, orders, decisions, equity."""
        self._match()
        self._keep(self._engine.drain())
        kept, self._kept = self._kept, []
        # NumPy forgets that rows from several drains are records, unless their dtype is named
        return JournalRows(
            **{
                name: np.concatenate([np.zeros(0, kind), *(getattr(rows, name) for rows in kept)], dtype=kind)
                for name, (kind, _) in TABLES.items()
            }
        )

    def _index_of(self, symbol: str) -> int:
        if symbol not in self._index:
            raise ValueError(f"symbol: expected one of {', '.join(self._symbols)}, saw {symbol!r}")
        return self._index[symbol]

    def _params(self, s: int, qty: float | None, kind: str | None, limit: float | None) -> Rows:
        """The account's PARAMS with what this one order says otherwise: its kind, its size as a notional."""
        params = self._engine.params.copy()
        for name, value in (("qty", qty), ("limit", limit)):
            if value is not None and not 0.0 < value < math.inf:
                raise ValueError(f"{name}: expected a finite number above 0, saw {value!r}")
        if kind is not None:
            if kind not in KIND_NAMES[1:4]:
                raise ValueError(f"kind: expected MARKET, LIMIT or POST_ONLY, saw {kind!r}")
            params["entry_kind"] = KIND_NAMES.index(kind)
        elif limit is not None and params[0].entry_kind == MARKET:
            params["entry_kind"] = LIMIT
        if limit is not None and params[0].entry_kind == MARKET:
            raise ValueError(f"limit: expected None for a MARKET order, saw {limit!r}; name LIMIT or POST_ONLY")
        if qty is not None:
            params["fixed_notional"] = qty * self._bars[s].close
        return params

    def _take_bar(self, bar: Bar, *, last: bool) -> None:
        s = self._index_of(bar.symbol)
        length = int(self._engine.params[0].tf_ns)
        before = int(self._bars[s].ts)
        if bar.tf != self.tf:
            raise ValueError(f"tf: expected bars of {self.tf}, saw {bar.tf} of {bar.symbol}")
        if bar.ts < self._now or (before and bar.ts < before + length):
            due = max(self._now, before + length if before else 0)
            raise ValueError(f"ts: expected a bar of {bar.symbol} that closes at or after {due}, saw {bar.ts}")
        if bar.ts > self._now:
            self._match()
            self._now = bar.ts
        gap = (bar.ts - before) // length - 1 if before else 0
        self._bars[s] = bar.row(s, gap, last)
        self._unmatched.add(s)
        if len(self._unmatched) == len(self._symbols):
            self._match()

    def _take_funding(self, funding: Funding) -> None:
        s = self._index_of(funding.symbol)
        if funding.ts <= self._bars[s].ts:
            raise ValueError(
                f"ts: expected funding of {funding.symbol} after its last bar {self._bars[s].ts}, saw {funding.ts}"
            )
        due = [self._engine.funding[p.f_next : p.f_end] for p in self._engine.positions]
        new = np.array([(funding.ts, s, funding.rate)], FUNDING)
        self._engine.set_funding(np.concatenate([*due, new]))

    def _match(self) -> None:
        """Hand the bars of the latest close to the engine: whoever looks or acts has seen them all."""
        if not self._unmatched:
            return
        bars = self._bars[sorted(self._unmatched)]
        self._unmatched.clear()
        self._engine.run(bars, self._silent[: len(bars)])
        account = self._engine.account[0]
        if account.n_trades or account.n_orders:
            self._keep(self._engine.drain())

    def _keep(self, rows: JournalRows) -> None:
        """Keep rows for `drain`, and tell what ended: the journal its trades, the next answer the rest."""
        if any(len(getattr(rows, name)) for name in TABLES):
            self._kept.append(rows)
        for order in rows.orders[rows.orders["entry_no"] == 0]:
            if order.status == REJECTED:
                rule = ORDER_REASONS[order.reason].lower()
                self._rejected.append(Refusal(rule, f"order {order.order_id} of {self._symbols[order.sym]} rejected"))
            else:
                self._cancelled.append(int(order.order_id))
        records = []
        for trade in rows.trades:
            self._realised += float(trade.net_pnl)
            records.append(TradeRecord.of(trade, self._symbols, self.source, self._capital + self._realised))
        self._closed += records
        if records and self._journal is not None:
            self._journal.write(records)

    def _keep_written(self, orders: Rows, decisions: Rows) -> None:
        """Keep what decision functions wrote into rows of ours; the engine's counters go back to its own, at 0."""
        account = self._engine.account[0]
        orders, decisions = orders[: account.n_orders], decisions[: account.n_decisions]
        account.n_orders = account.n_decisions = 0
        self._keep(JournalRows(np.zeros(0, TRADE), orders, decisions, np.zeros(0, EQUITY)))

    def _answer(
        self, signal: Signal | None = None, orders: Sequence[Order] = (), refusals: Sequence[Refusal] = ()
    ) -> Decision:
        ended = (tuple(self._cancelled), (*self._rejected, *refusals), tuple(self._closed))
        self._rejected, self._cancelled, self._closed = [], [], []
        return Decision(self._now, signal, tuple(orders), *ended)

    def _stale(self, s: int) -> Refusal | None:
        """Nobody may act in a bar that is not over: its price is unknown, and later it would be too late."""
        if self._now and self._bars[s].ts == self._now:
            return None
        return Refusal("no_bar", f"{self._symbols[s]} has no bar that closed at {self._now}: act after its next one")

    def _decide(self, wishes: Sequence[Wish], refused: Sequence[Refusal] = ()) -> Decision:
        """Let the engine answer wishes at the last close, or say why nobody can."""
        self._match()
        if len({wish.sym for wish in wishes}) < len(wishes):
            raise ValueError("symbol: expected each once, saw one twice; a wish against the position flips it")
        refusals = [*refused, *(stale for wish in wishes if (stale := self._stale(wish.sym)))]
        ready = sorted((wish for wish in wishes if not self._stale(wish.sym)), key=lambda wish: wish.sym)
        orders = self._respond(ready, refusals) if ready else []
        return self._answer(wishes[0].signal if len(wishes) == 1 else None, orders, refusals)

    def _respond(self, wishes: Sequence[Wish], refusals: list[Refusal]) -> list[Order]:
        """The engine's decisions, all exits before the entries; answers the orders sent, adds to `refusals`."""
        self._keep(self._engine.drain())
        account, pos, n = self._engine.account[0], self._engine.positions, len(wishes)
        bars = self._bars[[wish.sym for wish in wishes]]
        signals = np.array([wish.signal.row() for wish in wishes], SIGNAL)
        orders, decisions = np.zeros(2 * n, ORDER), np.zeros(n, DECISION)
        closing, sent = pos["closing"].copy(), int(account.orders)
        for k, wish in enumerate(wishes):
            p, row, order = pos[wish.sym], decisions[account.n_decisions], orders[account.n_orders]
            p.wants = decide_exit(account, p, bars[k], signals[k], row, order)
        # under one set of params the engine ranks the entries; orders of their own terms have no rank but the name
        shared = all(wish.params is self._engine.params for wish in wishes)
        for lo, hi in [(0, n)] if shared else [(k, k + 1) for k in range(n)]:
            par = wishes[lo].params[0]
            admit(account, pos, self._engine.instruments, par, bars, signals, decisions, orders, lo, hi)
        refusals += [refused for row in decisions if (refused := refusal_of(row, self._symbols[row.sym]))]
        self._keep_written(orders, decisions)
        out = []
        for wish in wishes:
            p = pos[wish.sym]
            if p.closing != closing[wish.sym]:
                out.append(self._exit_order(wish.sym))
            if p.o_side and p.o_id > sent:
                if wish.limit is not None:
                    p.o_limit = self._instruments[wish.sym].round_price(wish.limit, -int(p.o_side))
                out.append(self._entry_order(wish.sym))
        return out

    def _exit_order(self, s: int) -> Order:
        p, symbol = self._engine.positions[s], self._symbols[s]
        ts, price = int(p.closing_ts), float(p.closing_price)
        return Order(0, symbol, ts, -int(p.side), abs(float(p.qty)), reduce_only=True, decision_price=price)

    def _entry_order(self, s: int) -> Order:
        p, symbol = self._engine.positions[s], self._symbols[s]
        order_id, ts, side, qty, price = (p[f"o_{name}"].item() for name in ("id", "ts", "side", "qty", "price"))
        limit = None if math.isnan(p.o_limit) else float(p.o_limit)
        return Order(order_id, symbol, ts, side, qty, KIND_NAMES[p.o_kind], limit, decision_price=price)

    def _cancel(self, order_id: OrderId) -> Refusal | None:
        """Take a waiting entry out of the market."""
        waiting = (s for s, p in enumerate(self._engine.positions) if p.o_side and p.o_id == order_id)
        s = next(waiting, None)
        if s is None:
            return Refusal("unknown_order", f"order {order_id} is not waiting: it has ended, or never was")
        stale = self._stale(s)
        if stale:
            return stale
        self._keep(self._engine.drain())
        orders = np.zeros(1, ORDER)
        end_entry(self._engine.account[0], self._engine.positions[s], orders[0], self._bars[s])
        orders["status"] = CANCELLED
        self._keep_written(orders, np.zeros(0, DECISION))
        return None
