"""A recorded tape as a market: its book and trades drive every view, and its own topics are sent as they were recorded.

The tape is read twice: once to learn its symbols, steps and clock offset, once to play it. The box's clock is the
receive time less the smallest lag that any message had, so that no message is sent before its own stamp.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from ingest.box.floor.exchange import Exchange
from ingest.box.floor.market import Arrival, Change, Deed, Fill, Grid, Market
from ingest.box.topics import Topic
from ingest.box.wire import text_of
from ingest.tapes.file import Line, TapeReader
from ingest.tapes.play import coin_margined
from utils.errors import DataError
from utils.rows import MS_PER_MINUTE, NS_PER_MS

Levels = list[tuple[str, str]]


class _Envelope(msgspec.Struct):
    """The outermost keys of a message; what is inside stays as it was sent."""

    topic: str = ""
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


#: Binance's names of streams by their events, where a message comes without.
_NAMES = {"depthUpdate": "depth", "markPriceUpdate": "markPrice"}
_envelope = msgspec.json.Decoder(_Envelope)


@dataclass(slots=True)
class Heard:
    """What one line of the tape says."""

    topic: str  # as it is subscribed; "" = a book that was asked for by REST
    symbol: str
    text: str
    ts_ms: int
    bids: Levels = field(default_factory=list)
    asks: Levels = field(default_factory=list)
    whole: bool = False
    ids: tuple[int, int] = (0, 0)  # Binance's first and last update id
    fills: list[tuple[int, str, str]] = field(default_factory=list)  # side of the aggressor, price, quantity
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """book, trades, or other."""
        if self.bids or self.asks or self.whole:
            return "book"
        return "trades" if self.fills else "other"


def heard(line: Line) -> Heard | None:
    """What a line says about a market; None for answers to subscriptions, and what else is no market data."""
    if line.event not in {"", "http", "book"}:
        return None
    try:
        outer = _envelope.decode(line.wire)
        inner: Any = msgspec.json.decode(outer.data if outer.stream else line.wire)
        if outer.topic:
            return _bybit(outer.topic, inner, line.wire.decode())
        return _binance(outer.stream, inner, bytes(outer.data or line.wire).decode(), line.url)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return None  # the tape's own check counts these


def _bybit(topic: str, message: dict[str, Any], text: str) -> Heard:
    data = message["data"]
    symbol = topic.rpartition(".")[2]
    found = Heard(topic, symbol, text, int(message.get("cts", message["ts"])))
    if topic.startswith("orderbook."):
        found.bids, found.asks = _pairs(data["b"]), _pairs(data["a"])
        found.whole = message["type"] == "snapshot"
        found.data = message
    elif topic.startswith("publicTrade."):
        found.fills = [(1 if row["S"] == "Buy" else -1, row["p"], row["v"]) for row in data]
        found.ts_ms = data[0]["T"]
    elif topic.startswith("tickers."):
        found.data = message
    return found


def _binance(stream: str, message: dict[str, Any], text: str, url: str) -> Heard | None:
    if "lastUpdateId" in message:
        symbol = parse_qs(urlsplit(url).query).get("symbol", [""])[0]
        book = Heard("", symbol, "", int(message.get("T", 0)), _pairs(message["bids"]), _pairs(message["asks"]), True)
        book.ids = (message["lastUpdateId"], message["lastUpdateId"])
        return book
    event = message.get("e")
    if event is None:
        return None
    symbol = message.get("s", "")
    topic = stream or f"{symbol.lower()}@{_NAMES.get(event, event)}"
    found = Heard(topic, symbol, text, int(message.get("T", message["E"])))
    if event == "depthUpdate":
        found.bids, found.asks, found.ids = _pairs(message["b"]), _pairs(message["a"]), (message["U"], message["u"])
    elif event == "aggTrade" or (event == "trade" and message.get("X", "MARKET") == "MARKET"):
        found.fills = [(-1 if message["m"] else 1, message["p"], message["q"])]
    elif event == "kline":
        found.ts_ms = int(message["E"])
    return found


def _pairs(levels: list[list[str]]) -> Levels:
    return [(level[0], level[1]) for level in levels]


@dataclass(slots=True)
class _Steps:
    """Digits and common divisor of a symbol's decimals."""

    digits: int = 0
    seen: set[str] = field(default_factory=set)

    def divisor(self) -> int:
        return math.gcd(*(units(text, self.digits) for text in self.seen)) or 1

    def see(self, text: str) -> None:
        if text not in self.seen:
            self.seen.add(text)
            self.digits = max(self.digits, len(text.partition(".")[2]))


def units(text: str, digits: int) -> int:
    """A decimal as a whole number of 10^-digits."""
    whole, _, rest = text.partition(".")
    return int(whole + rest.ljust(digits, "0"))


@dataclass(slots=True)
class _Learned:
    """What the first reading told about a symbol."""

    price: _Steps = field(default_factory=_Steps)
    qty: _Steps = field(default_factory=_Steps)
    book: str = ""  # the topic that drives the book, and the one that drives the trades
    trades: str = ""
    first: Heard | None = None  # the first whole book
    first_fill: str = ""  # price of the first trade


class Tape:
    """A recording and where it stands.

    Args:
        path: the file.
        symbols: of those it holds; None = all.

    Raises:
        DataError: it cannot be read, holds no order book, or not the symbols.
    """

    def __init__(self, path: Path, symbols: Sequence[str] | None) -> None:
        in_coin = coin_margined(TapeReader(path))
        if in_coin:
            raise DataError(
                f"{path.name}: expected a recording of a linear or spot market, saw {in_coin}: its contracts are in"
                " coin, and the box serves none; name another"
            )
        self.path = path
        self.ended = False
        self._only = ""  # symbol of what names none: the first that is named
        self._learned: dict[str, _Learned] = {}
        self._topics: dict[str, Recorded] = {}
        self._learn()
        held = [symbol for symbol, known in self._learned.items() if known.book]
        absent = [symbol for symbol in symbols or () if symbol not in held]
        if absent or not held:
            wanted, seen = ", ".join(absent) or "some symbol", ", ".join(held) or "none"
            raise DataError(f"{path.name}: expected the book of {wanted}, saw {seen}; name a recording that holds it")
        self.symbols = tuple(symbols or held)
        self._queues: dict[str, deque[Arrival]] = {symbol: deque() for symbol in self.symbols}
        self._flows = {symbol: TapeFlow(self, symbol, self._learned[symbol]) for symbol in self.symbols}
        self._lines = enumerate(TapeReader(path))
        self._next: tuple[int, Line] | None = next(self._lines, None)

    def flow(self, symbol: str) -> TapeFlow:
        """The market of a symbol."""
        return self._flows[symbol]

    def topic(self, exchange: Exchange, name: str) -> Topic | None:
        """A topic that the tape holds; None = it does not."""
        state = self._topics.get(name)
        return RecordedTopic(name, exchange, state) if state else None

    def queue(self, symbol: str, until_ns: int) -> deque[Arrival]:
        """Arrivals of a symbol, read up to an instant."""
        while self._next is not None and self._next[1].recv_ns - self.lag_ns <= until_ns:
            self._take(*self._next)
            self._next = next(self._lines, None)
        self.ended = self._next is None
        return self._queues[symbol]

    def _learn(self) -> None:
        """Read it all once."""
        lag, first = 2**62, 0
        for line in TapeReader(self.path):
            said = heard(line)
            if said is None:
                continue
            first = first or line.recv_ns
            self._only = self._only or said.symbol
            said.symbol = said.symbol or self._only
            if not said.symbol:
                continue  # a book before anything tells whose it is
            if said.ts_ms and said.topic:
                lag = min(lag, line.recv_ns - said.ts_ms * NS_PER_MS)
            self._note(said)
        self.lag_ns = lag if first else 0
        self.begin_ns = first - self.lag_ns - NS_PER_MS

    def _note(self, said: Heard) -> None:
        known = self._learned.setdefault(said.symbol, _Learned())
        for price, qty in (*said.bids, *said.asks, *((price, qty) for _, price, qty in said.fills)):
            known.price.see(price)
            known.qty.see(qty)
        if said.whole:
            known.first = known.first or said
        if not said.topic:
            return
        self._topics.setdefault(said.topic, Recorded(said.symbol))
        if said.kind == "book" and _depth(said.topic) > _depth(known.book):
            known.book = said.topic
        elif said.kind == "trades" and (not known.trades or said.topic.endswith("@trade")):
            known.trades = said.topic
            known.first_fill = known.first_fill or said.fills[0][1]

    def _take(self, number: int, line: Line) -> None:
        """One line, as an arrival of its symbol and in the state of its topic."""
        said = heard(line)
        if said is None:
            return
        said.symbol = said.symbol or self._only
        if said.symbol not in self._queues:
            return
        if said.topic in self._topics:
            self._topics[said.topic].hear(said)
        arrival = self._flows[said.symbol].arrival(said, line.recv_ns - self.lag_ns, number)
        self._queues[said.symbol].append(arrival)


def _depth(topic: str) -> int:
    """How much a book topic tells; 0 for none."""
    parts = topic.split(".")
    return int(parts[1]) if parts[0] == "orderbook" else int("@depth" in topic)


class TapeFlow:
    """One symbol of a tape: its market, and its arrivals."""

    def __init__(self, tape: Tape, symbol: str, known: _Learned) -> None:
        self._tape = tape
        self._known = known
        self._price_units, self._qty_units = known.price.divisor(), known.qty.divisor()
        grid = Grid(
            Decimal(self._price_units).scaleb(-known.price.digits),
            Decimal(self._qty_units).scaleb(-known.qty.digits),
            known.price.digits,
            known.qty.digits,
        )
        begin_ms = tape.begin_ns // NS_PER_MS // MS_PER_MINUTE * MS_PER_MINUTE
        self.market = Market(symbol, grid, begin_ms, 0)
        self._book_id = 0  # Binance: the update id of the book
        if known.first is not None:
            # the first whole book is there from the start: who buffers the stream meanwhile waits for its update id
            self._book_id = known.first.ids[1]
            self.market.apply(self._whole(known.first, tape.begin_ns))
        self.market.begin(self._tick(known.first_fill) if known.first_fill else self.market.bids.best)

    def take(self, until_ns: int) -> Iterator[Arrival]:
        """The arrivals up to an instant (ns, included), once each."""
        waiting = self._tape.queue(self.market.symbol, until_ns)
        while waiting and waiting[0].at <= until_ns:
            yield waiting.popleft()

    def arrival(self, said: Heard, at_ns: int, number: int) -> Arrival:
        """What a line does to the market; lines that only repeat it do nothing."""
        drives = said.topic in {self._known.book, self._known.trades}
        if not drives or (said.ids[1] and said.ids[1] < self._book_id):
            changes, fills, whole = [], [], False
        else:
            changes = self._changes(said)
            fills = [Fill(side, self._tick(price), self._lots(qty)) for side, price, qty in said.fills]
            whole = said.whole
            self._book_id = said.ids[1] or self._book_id
        ids = said.ids if changes and said.ids[1] else (self._book_id, self._book_id)
        raw = (said.topic, said.text) if said.topic else ("", "")
        return Arrival(self.market.symbol, at_ns, said.ts_ms * NS_PER_MS, changes, fills, whole, ids, raw, number)

    def _whole(self, said: Heard, at_ns: int) -> Arrival:
        return Arrival(self.market.symbol, at_ns, at_ns, self._changes(said), (), True, said.ids)

    def _changes(self, said: Heard) -> list[Change]:
        sides = ((1, said.bids), (-1, said.asks))
        return [Change(side, self._tick(price), self._lots(qty)) for side, rows in sides for price, qty in rows]

    def _tick(self, price: str) -> int:
        return units(price, self._known.price.digits) // self._price_units

    def _lots(self, qty: str) -> int:
        return units(qty, self._known.qty.digits) // self._qty_units


class Recorded:
    """What a recorded topic has said so far, for those who begin to listen in the middle."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.message: dict[str, Any] = {}  # the latest of a book or a ticker
        self.fields: dict[str, Any] = {}  # of a ticker
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}

    def hear(self, said: Heard) -> None:
        """Take in a message."""
        if not said.data:
            return
        self.message = said.data
        if said.topic.startswith("tickers."):
            self.fields |= said.data["data"]
            return
        if said.whole:
            self.bids, self.asks = {}, {}
        for side, rows in ((self.bids, said.bids), (self.asks, said.asks)):
            for price, size in rows:
                if float(size) > 0.0:
                    side[price] = size
                else:
                    side.pop(price, None)

    def snapshot(self, **instead: int) -> list[str]:
        """Everything said so far as one message; none where nothing was, or where topics have no snapshots.

        Args:
            instead: of what the latest message of a book said, such as `u=1`.
        """
        if not self.message:
            return []
        data = self.fields
        if not data:
            bids = sorted(self.bids.items(), key=lambda level: -float(level[0]))
            asks = sorted(self.asks.items(), key=lambda level: float(level[0]))
            data = self.message["data"] | {"b": bids, "a": asks} | instead
        return [text_of(self.message | {"type": "snapshot", "data": data})]


class RecordedTopic(Topic):
    """A topic of the tape: its messages as they were recorded."""

    def __init__(self, name: str, exchange: Exchange, state: Recorded) -> None:
        super().__init__(name, exchange, state.symbol)
        self._state = state

    def first(self) -> list[str]:
        """What was said so far."""
        return self._state.snapshot()

    def arrival(self, deed: Deed, /) -> list[str]:
        """The recorded message."""
        topic, text = deed.arrival.raw
        return [text] if topic == self.name else []

    def again(self, restart: bool, /) -> list[str]:
        """The whole book in place of a recorded message."""
        return self._state.snapshot(u=1) if restart else self._state.snapshot()
