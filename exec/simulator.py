"""The paper broker: open, close, flip and orders of one's own over the compiled engine, event by event.

It holds no rule. A bar, print, book or mark price goes to the engine's loop; what is wanted becomes a SIGNAL record, or
an INTENT for an order that stands by itself, and is answered by the engine's own functions, so the order is in the
market from the symbol's next event on. An explicit quantity or kind of order is one field of the PARAMS record that
this one decision is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict, Unpack

import numpy as np

from exec.engine import TABLES, Engine, JournalRows
from exec.step.orders import ROLE_SLOTS
from exec.step.quoting import wish
from utils.codes import (
    BOOK,
    CANCEL,
    CLOSE,
    EARLY_STOP,
    ENTRY,
    FILLED,
    FREE,
    HELD,
    KIND_NAMES,
    LIMIT,
    MARK,
    MARKET,
    ORDER_REASONS,
    PARTIAL,
    PLACE,
    PRINT,
    REJECTED,
    REPLACE,
    ROLE_NAMES,
    RULE_NAMES,
    SENT,
    STOP,
    TAKE,
    VOLUME_CAP,
)
from utils.market.timeframes import normalise_timeframe, parse_timeframe
from utils.params import params_of
from utils.records.names import refusal_text
from utils.rows import BAR, BPS, FUNDING, INSTRUMENT, INTENT, MARKET_EVENT, PARAMS, SIGNAL, Rows
from utils.types import (
    Bar,
    BookSnapshot,
    Decision,
    Event,
    Fill,
    Funding,
    Instrument,
    MarkPrice,
    Order,
    OrderId,
    Position,
    Quote,
    Refusal,
    Signal,
    Trade,
    TradeRecord,
)
from utils.words import SIGNS, TRADE_SIDES, ours_or_none

#: How near to the mid depth counts, bps.
DEPTH_BPS = 5.0
#: Prices of so many ticks are still exact.
MOST_TICKS = 1e15


@dataclass(frozen=True, slots=True)
class Wish:
    """What a signal wants of one symbol at its last price."""

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
    """An account at a simulated exchange (`utils.ports.Broker`).

    Bars of one close are matched together, as in a backtest: when the last symbol's bar is in, when something later
    comes, or when somebody looks or acts. So, fed the same bars and signals, it writes the rows of `Engine.run`, bit
    for bit. Prints, books and mark prices move a symbol's mark and trigger its protective orders, prints fill what
    rests; of a bar in which such events came only the close is new, and its time.

    Args:
        instruments: what is traded; the order does not matter.
        params: PARAMS, one row; None = `default_params(tf)`.
        initial_capital: quote.
        tf: length of the bars.
        journal: is handed every closed trade, once.
        source: stamped on every trade: a file's name, an exchange, `synthetic`.
        standing: orders of one's own that a symbol may have at a time.

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
        standing: int = 16,
    ) -> None:
        self.tf = normalise_timeframe(tf)
        self.source = source
        self.late = 0  # events that came after a later one of their symbol, and were passed over
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
        self._engine = Engine(rules, row, initial_capital, standing=standing)
        self._bars = np.zeros(len(rules), BAR)  # the last bar of each symbol
        self._unmatched: set[int] = set()  # symbols whose last bar the engine has not seen
        self._silent = np.array([(math.nan,) * len(SIGNAL.names or ())] * len(rules), SIGNAL)
        self._now = 0  # latest close, ns
        self._latest = 0  # latest event of any kind, ns
        self._capital, self._realised = initial_capital, 0.0
        self._journal = journal
        self._kept: list[JournalRows] = []
        self._closed: list[TradeRecord] = []
        self._cancelled: list[OrderId] = []
        self._rejected: list[Refusal] = []
        self._filled: list[Fill] = []

    @property
    def positions(self) -> dict[str, Position]:
        """Open positions by symbol; the entry price is the mean of what is held."""
        self._match()
        found = {}
        for s, (symbol, p) in enumerate(zip(self._symbols, self._engine.positions, strict=True)):
            if p.qty:
                stop, take = self._slot(s, STOP), self._slot(s, TAKE)
                brackets = (
                    float(stop.trigger) if stop.state != FREE else None,
                    float(take.limit) if take.state != FREE else None,
                )
                found[symbol] = Position(symbol, float(p.qty), float(p.basis), int(p.entry_ts), *brackets)
        return found

    @property
    def orders(self) -> tuple[Order, ...]:
        """Every order that has not ended, brackets included, symbol by symbol; quantities are what is still to fill."""
        self._match()
        each = int(self._engine.account[0].slots)
        return tuple(self._order(i // each, slot) for i, slot in enumerate(self._engine.slots) if slot.state >= SENT)

    @property
    def equity(self) -> float:
        """Initial capital + net of closed trades + `open_pnl`, at the last marks, quote."""
        self._match()
        return float(self._engine.account[0].equity)

    @property
    def open_pnl(self) -> float:
        """Open positions at their last marks and what their partial exits realised, less fees and funding, quote."""
        self._match()
        return float(self._engine.account[0].open_pnl)

    @property
    def cash(self) -> float:
        """Wallet balance: initial capital + net of closed trades + what open ones realised, fees and funding off."""
        self._match()
        rows = self._engine.positions[self._engine.positions["qty"] != 0.0]
        account = self._engine.account[0]
        realised = rows["share"].sum() - rows["fees"].sum() - rows["funding"].sum()
        return float(account.initial + account.realised + realised)

    def open(self, symbol: str, side: str | int, qty: float | None = None, **terms: Unpack[Terms]) -> Decision:
        """Send an entry order with brackets at the last price; against an open position it flips.

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
        if (direction := ours_or_none(side, TRADE_SIDES)) is None:
            raise ValueError(f"side: expected long or short, +1 or -1, saw {side!r}")
        distances = {name: terms.get(name) for name in ("take_bps", "stop_bps", "horizon")}
        signal = Signal(self._latest, symbol, int(SIGNS[direction]), **distances)  # type: ignore[arg-type]
        limit = terms.get("limit")
        return self._decide([Wish(s, signal, self._params(s, qty, terms.get("kind"), limit), limit)])

    def close(self, symbol: str, qty: float | None = None) -> Decision:
        """Cancel the symbol's waiting entry and close its position at the next price (EARLY_STOP), or `qty` of it.

        Raises:
            ValueError: unknown symbol, or a quantity that is no number above 0.
        """
        s = self._index_of(symbol)
        if qty is not None and not 0.0 < qty < math.inf:
            raise ValueError(f"qty: expected a finite number above 0, saw {qty!r}")
        self._match()
        held = float(self._engine.positions[s].qty)
        if qty is None or held == 0.0 or qty >= abs(held):
            return self._decide([Wish(s, Signal(self._latest, symbol, 0), self._engine.params)])
        return self.apply([Order(0, symbol, self._latest, -1 if held > 0.0 else 1, qty, reduce_only=True)])

    def flip(self, symbol: str, qty: float | None = None, **terms: Unpack[Terms]) -> Decision:
        """Close the position and open the opposite one at the same price; arguments and errors as in `open`.

        A waiting entry counts as the position; with neither there is nothing to flip, which is a refusal.
        """
        self._match()
        s = self._index_of(symbol)
        entry = self._slot(s, ENTRY)
        side = -int(entry.side if entry.state != FREE else self._engine.positions[s].side)
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
        """Cancel, then send orders that stand by themselves: several a symbol, both sides at once, parts of a position.

        Each adds to the position of its symbol, takes from it, or turns it round; none brings brackets: a stop is a
        STOP_MARKET order of its own. Those that only reduce come first, so that they make room; a market order that
        reduces by all there is closes the position. The answer holds the orders as accepted, under the ids that
        `cancels` understands, and of each that was not the rule that refused it.

        Raises:
            ValueError: unknown symbol.
        """
        self._match()
        order_of = sorted(orders, key=lambda order: (not order.reduce_only, self._index_of(order.symbol)))
        intents = np.zeros(len(cancels) + len(orders), INTENT)
        refusals = []
        for intent, order_id in zip(intents, cancels, strict=False):
            s = self._waiting(order_id)
            if s is None:
                refusals.append(
                    Refusal("unknown_order", f"order {order_id} is not waiting: it has ended, or never was")
                )
            else:
                self._wish(intent, CANCEL, s, order_id=int(order_id))
        for intent, order in zip(intents[len(cancels) :], order_of, strict=True):
            s = self._index_of(order.symbol)
            if refused := self._stale(s) or self._unfit(s, order):
                refusals.append(refused)
            else:
                self._want(intent, s, order)
        return self._obey(intents[intents["action"] > 0], refusals)

    def replace(self, order_id: OrderId, qty: float | None = None, price: float | None = None) -> Decision:
        """Change an order that waits: what of it is still to fill (base), or its limit or trigger (quote).

        It keeps its id, and arrives at the market anew.

        Raises:
            ValueError: a number that can be no size or price.
        """
        self._match()
        for name, value in (("qty", qty), ("price", price)):
            if value is not None and not 0.0 < value < math.inf:
                raise ValueError(f"{name}: expected a finite number above 0, saw {value!r}")
        s = self._waiting(order_id)
        if s is None:
            reason = f"order {order_id} is not waiting: it has ended, or never was"
            return self._answer(refusals=[Refusal("unknown_order", reason)])
        if stale := self._stale(s):
            return self._answer(refusals=[stale])
        slot = next(slot for slot in self._own(s) if slot.state != FREE and slot.id == order_id)
        if price is not None and slot.kind == MARKET:
            return self._answer(refusals=[Refusal("no_limit", f"order {order_id} goes to the market: it has no price")])
        (intent,) = intents = np.zeros(1, INTENT)
        self._wish(intent, REPLACE, s, order_id=int(order_id), qty=float(slot.leaves if qty is None else qty))
        intent.limit, intent.trigger, intent.patience = slot.limit, slot.trigger, slot.patience
        if price is not None:
            # away from the market, as when it was named
            name, direction = ("trigger", int(slot.side)) if math.isnan(slot.limit) else ("limit", -int(slot.side))
            intent[name] = self._instruments[s].round_price(price, direction)
        return self._obey(intents, [])

    def on_event(self, event: Event, *, last: bool = False) -> Decision:
        """The market moved; the answer says what was filled and what has ended since the answer before.

        Args:
            event: a `Bar`, `Trade`, `BookSnapshot`, `Quote`, `MarkPrice`, or a `Funding`, which comes before the bar
                that closes at or after it. One that is older than what its symbol has seen is counted in `late`.
            last: this is known to be the symbol's last bar: what is open ends with it (END_OF_DATA).

        Raises:
            TypeError: an event that nothing can be matched with.
            ValueError: unknown symbol, another bar length, or a bar or funding out of order.
        """
        if isinstance(event, Bar):
            self._take_bar(event, last=last)
        elif isinstance(event, Funding):
            self._take_funding(event)
        elif isinstance(event, Trade | BookSnapshot | Quote | MarkPrice):
            self._take_event(event)
        else:
            known = "Bar, Trade, BookSnapshot, Quote, MarkPrice or Funding"
            raise TypeError(f"PaperBroker: expected {known}, saw {type(event).__name__}")
        return self._answer()

    def lift_halts(self) -> None:
        """Let a halted account trade again, every breaker measuring from the equity there is."""
        self._match()
        self._engine.lift_halts()

    def drain(self) -> JournalRows:
        """The engine's rows since the last drain: trades, orders, fills, decisions, equity."""
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

    # what comes in

    def _index_of(self, symbol: str) -> int:
        if symbol not in self._index:
            raise ValueError(f"symbol: expected one of {', '.join(self._symbols)}, saw {symbol!r}")
        return self._index[symbol]

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
        self._latest = max(self._latest, bar.ts)
        gap = (bar.ts - before) // length - 1 if before else 0
        self._bars[s] = bar.row(s, gap, last)
        if self._engine.positions[s].met_ts > bar.ts - length:
            # its prints were matched as they came; what a candle says of them would come twice
            for name in ("open", "high", "low"):
                self._bars[s][name] = bar.close
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
        due[s] = due[s][due[s]["ts"] != funding.ts]  # told again, it is one settlement still
        new = np.array([(funding.ts, s, funding.rate)], FUNDING)
        self._engine.set_funding(np.concatenate([*due, new]))

    def _take_event(self, event: Trade | BookSnapshot | Quote | MarkPrice) -> None:
        s = self._index_of(event.symbol)
        self._match()
        if event.ts < self._engine.positions[s].mark_ts:
            self.late += 1
            return
        self._latest = max(self._latest, event.ts)
        (row,) = rows = np.zeros(1, MARKET_EVENT)
        row.sym, row.ts, row.ts_recv, row.bid, row.ask = s, event.ts, event.ts, math.nan, math.nan
        if isinstance(event, Trade):
            row.kind, row.price, row.qty, row.side = PRINT, event.price, event.qty, event.side
        elif isinstance(event, MarkPrice):
            row.kind, row.price = MARK, event.price
        else:
            bid, ask = _best(event)
            row.kind, row.price, row.bid, row.ask = BOOK, 0.5 * (bid + ask), bid, ask
        if not isinstance(event, MarkPrice):
            row.ts_recv = event.ts_recv
        self._engine.happen(rows)
        if isinstance(event, BookSnapshot):
            self._engine.see_depth(s, _depth(event))
        self._collect()

    def _match(self) -> None:
        """Hand the bars of the latest close to the engine: whoever looks or acts has seen them all."""
        if not self._unmatched:
            return
        bars = self._bars[sorted(self._unmatched)]
        self._unmatched.clear()
        self._engine.run(bars, self._silent[: len(bars)])
        self._collect()

    # what is wanted

    def _stale(self, s: int) -> Refusal | None:
        """Nobody may act in a bar that is not over: its price is unknown, and later it would be too late."""
        seen = int(self._engine.positions[s].mark_ts)
        if seen and self._engine.positions[s].mark > 0.0 and (seen >= self._now or self._bars[s].ts == self._now):
            return None
        return Refusal("no_bar", f"{self._symbols[s]} has no bar that closed at {self._now}: act after its next one")

    def _moments(self, syms: Sequence[int]) -> Rows:
        """The last bars of symbols, with the mark for a close where something has happened since."""
        bars = self._bars[list(syms)]
        for bar, s in zip(bars, syms, strict=True):
            p = self._engine.positions[s]
            if p.mark_ts > bar.ts:
                bar.sym, bar.ts, bar.close, bar.last = s, p.mark_ts, p.mark, 0
        return bars

    def _params(self, s: int, qty: float | None, kind: str | None, limit: float | None) -> Rows:
        """The account's PARAMS with what this one order says otherwise: its kind, its size as a notional."""
        self._match()
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
            params["fixed_notional"] = qty * float(self._engine.positions[s].mark)
        return params

    def _decide(self, wishes: Sequence[Wish]) -> Decision:
        """Let the engine answer wishes at the last prices, or say why nobody can."""
        self._match()
        if len({asked.sym for asked in wishes}) < len(wishes):
            raise ValueError("symbol: expected each once, saw one twice; a wish against the position flips it")
        refusals = [stale for asked in wishes if (stale := self._stale(asked.sym))]
        ready = sorted((asked for asked in wishes if not self._stale(asked.sym)), key=lambda asked: asked.sym)
        orders = self._respond(ready, refusals) if ready else []
        return self._answer(wishes[0].signal if len(wishes) == 1 else None, orders, refusals)

    def _respond(self, wishes: Sequence[Wish], refusals: list[Refusal]) -> list[Order]:
        """The engine's answers to signals under one set of params; the orders sent, and `refusals` grows."""
        before = {asked.sym: int(self._slot(asked.sym, CLOSE).state) for asked in wishes}
        sent = int(self._engine.account[0].orders)
        signals = np.array([asked.signal.row() for asked in wishes], SIGNAL)
        self._engine.answer(wishes[0].params, self._moments([asked.sym for asked in wishes]), signals)
        rows = self._collect()
        refusals += [refused for row in rows.decisions if (refused := refusal_of(row, self._symbols[row.sym]))]
        out = []
        for asked in wishes:
            close, entry = self._slot(asked.sym, CLOSE), self._slot(asked.sym, ENTRY)
            if close.state != FREE and before[asked.sym] == FREE:
                out.append(self._order(asked.sym, close))
            if entry.state != FREE and entry.id > sent:
                if asked.limit is not None and (refused := self._move(asked.sym, entry, asked.limit)):
                    refusals.append(refused)
                else:
                    out.append(self._order(asked.sym, entry))
        return out

    def _move(self, s: int, entry: Any, limit: float) -> Refusal | None:
        """Give an entry that was just sent the price its maker named; where that is refused, nothing is sent."""
        (intent,) = intents = np.zeros(1, INTENT)
        self._wish(intent, REPLACE, s, order_id=int(entry.id), qty=float(entry.leaves))
        intent.limit = self._instruments[s].round_price(limit, -int(entry.side))
        intent.patience = entry.patience
        self._engine.obey(intents)
        if not intent.rule:
            return None
        reason = refusal_text(intent.rule, intent.saw, intent.allowed)
        refused = Refusal(RULE_NAMES[intent.rule], f"{self._symbols[s]}: {reason}")
        self._wish(intent, CANCEL, s, order_id=int(entry.id))
        self._engine.obey(intents)
        return refused

    def _wish(self, intent: Any, action: int, s: int, **what: Any) -> None:
        """Write an intent at the symbol's last price."""
        p = self._engine.positions[s]
        terms = {"side": 1, "kind": MARKET, "qty": 0.0, "limit": math.nan, "order_id": 0, **what}
        wish(
            intent, action, s, terms["side"], terms["kind"], terms["qty"], terms["limit"], max(p.mark_ts, p.bar_ts),
            p.mark, terms["order_id"],
        )  # fmt: skip

    def _want(self, intent: Any, s: int, order: Order) -> None:
        """The intent of an order of a user."""
        rounded = self._instruments[s].round_price
        limit = math.nan if order.price is None else rounded(order.price, -order.side)
        self._wish(
            intent, PLACE, s, side=order.side, kind=KIND_NAMES.index(order.kind), qty=order.qty, limit=limit
        )  # fmt: skip
        if order.trigger is not None:
            intent.trigger = rounded(order.trigger, order.side)
        intent.reduce_only = order.reduce_only
        held = float(self._engine.positions[s].qty)
        if order.reduce_only and order.kind == "MARKET" and order.qty == abs(held):
            intent.role, intent.reason = CLOSE, EARLY_STOP

    def _unfit(self, s: int, order: Order) -> Refusal | None:
        """Why an order can be no order here."""
        held = float(self._engine.positions[s].qty)
        if order.reduce_only and (order.side * held >= 0.0 or order.qty > abs(held)):
            return Refusal("reduce_only", f"{order.symbol} holds {held:g}: {order.qty:g} of it cannot be reduced")
        if order.kind in ("LIMIT", "POST_ONLY") and order.price is None:
            return Refusal("no_limit", f"{order.symbol}: a {order.kind} order needs a price; name one")
        instrument, price = self._instruments[s], order.price if order.trigger is None else order.trigger
        if (
            price is not None
            and not 0.0 < instrument.round_price(price, -order.side) < MOST_TICKS * instrument.tick_size
        ):
            return Refusal("no_limit", f"{order.symbol}: {price:g} is no price on a tick of {instrument.tick_size:g}")
        return None

    def _waiting(self, order_id: OrderId) -> int | None:
        """The symbol of an order that waits."""
        for s in range(len(self._symbols)):
            if any(slot.state >= SENT and slot.id == order_id != 0 for slot in self._own(s)):
                return s
        return None

    def _obey(self, intents: Rows, refusals: list[Refusal]) -> Decision:
        """Let the engine carry out wishes; the answer tells what became of each."""
        self._engine.obey(intents)
        self._collect()
        orders = []
        for intent in intents:
            s = int(intent.sym)
            if intent.rule:
                reason = refusal_text(intent.rule, intent.saw, intent.allowed)
                refusals.append(Refusal(RULE_NAMES[intent.rule], f"{self._symbols[s]}: {reason}"))
            elif intent.action != CANCEL:
                own = [self._slot(s, CLOSE)] if intent.role == CLOSE else self._own(s)
                orders += [self._order(s, slot) for slot in own if slot.state != FREE and slot.id == intent.order_id]
        return self._answer(orders=orders, refusals=refusals)

    # what goes out

    def _slot(self, s: int, role: int) -> Any:
        return self._engine.slots[s * int(self._engine.account[0].slots) + role - 1]

    def _own(self, s: int) -> list[Any]:
        """The symbol's slots whose orders have a number: the entry's, and those of orders that stand by themselves."""
        each = int(self._engine.account[0].slots)
        return [self._slot(s, ENTRY), *self._engine.slots[s * each + ROLE_SLOTS : (s + 1) * each]]

    def _order(self, s: int, slot: Any) -> Order:
        """The noun of an order in its slot."""
        limit, trigger = (None if math.isnan(price) else float(price) for price in (slot.limit, slot.trigger))
        return Order(
            int(slot.id), self._symbols[s], int(slot.decision_ts), int(slot.side), float(slot.leaves),
            KIND_NAMES[slot.kind], limit, reduce_only=slot.role in (TAKE, STOP) or bool(slot.reduce_only),
            decision_price=float(slot.decision_price), trigger=trigger, role=ROLE_NAMES[slot.role],
        )  # fmt: skip

    def _collect(self) -> JournalRows:
        """Keep what the engine wrote, and tell what ended: the journal its trades, the next answer the rest."""
        rows = self._engine.drain()
        self._keep(rows)
        return rows

    def _keep(self, rows: JournalRows) -> None:
        if any(len(getattr(rows, name)) for name in TABLES):
            self._kept.append(rows)
        for order in rows.orders[rows.orders["status"] != FILLED]:
            if order.status == PARTIAL and order.reason == VOLUME_CAP:
                continue  # its fill is told
            if order.status == REJECTED:
                rule = ORDER_REASONS[order.reason].lower()
                self._rejected.append(Refusal(rule, f"order {order.order_id} of {self._symbols[order.sym]} rejected"))
            else:
                self._cancelled.append(int(order.order_id))
        self._filled += [Fill.of(row, self._symbols) for row in rows.fills]
        records = []
        for trade in rows.trades:
            self._realised += float(trade.net_pnl)
            records.append(TradeRecord.of(trade, self._symbols, self.source, self._capital + self._realised))
        self._closed += records
        if records and self._journal is not None:
            self._journal.write(records)

    def _answer(
        self, signal: Signal | None = None, orders: Sequence[Order] = (), refusals: Sequence[Refusal] = ()
    ) -> Decision:
        ended = (tuple(self._cancelled), (*self._rejected, *refusals), tuple(self._closed), tuple(self._filled))
        self._rejected, self._cancelled, self._closed, self._filled = [], [], [], []
        return Decision(self._latest, signal, tuple(orders), *ended)


def _depth(book: BookSnapshot) -> float:
    """What rests within 5 bps of the mid on the thinner side, quote; NaN where a side is empty."""
    bid, ask = _best(book)
    mid, near = 0.5 * (bid + ask), DEPTH_BPS * BPS
    sides = ((book.bids, mid * (1.0 - near)), (book.asks, mid * (1.0 + near)))
    if math.isnan(mid):
        return math.nan
    return min(
        sum(price * qty for price, qty in levels if abs(price - mid) <= abs(edge - mid)) for levels, edge in sides
    )


def _best(event: BookSnapshot | Quote) -> tuple[float, float]:
    """Best bid and ask, quote; NaN where a side is empty."""
    if isinstance(event, Quote):
        return event.bid, event.ask
    return (event.bids[0][0] if event.bids else math.nan), (event.asks[0][0] if event.asks else math.nan)
