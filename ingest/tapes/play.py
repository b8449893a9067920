"""A tape played back: which exchange it was, and its messages through the same protocol cores as live."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from itertools import islice
from urllib.parse import parse_qs, urlsplit

from ingest.tapes.file import Line
from ingest.venues.binance import protocol as binance_protocol
from ingest.venues.binance.protocol import BinanceProtocol
from ingest.venues.bybit import protocol as bybit_protocol
from ingest.venues.bybit.messages import topic_of
from ingest.venues.bybit.protocol import BybitProtocol
from ingest.wire.streams import Connection, Counts, ReceiveClock, WireProtocol
from utils.errors import DataError, ProtocolError
from utils.types import MarketEvent

BYBIT, BINANCE = "bybit", "binance"
#: The market of an exchange's messages where nothing tells.
USUAL = {BYBIT: "bybit_linear", BINANCE: "binance_usdm"}
#: Lines that are looked at to recognise the markets.
LOOKED_AT = 5_000

#: Parts of an address that only one market has.
_ADDRESSES = {
    "bybit_linear": r"/v5/public/linear|category=linear",
    "bybit_spot": r"/v5/public/spot|category=spot",
    "bybit_inverse": r"/v5/public/inverse|category=inverse",
    "binance_usdm": r"//fstream\d?\.|/fapi/|/(?:public|market)/(?:ws|stream)",
    "binance_coinm": r"//dstream\d?\.|/dapi/",
    "binance_spot": r"//(?:stream|data-stream)\d?\.binance|/api/v3/",
}
#: Parts of a message that only one market has; the first that is found counts.
_MESSAGES = {
    "bybit_inverse": rb'"topic":"[^"]*\.[A-Z0-9]+USD(?:[HMUZ]\d\d)?"',
    "bybit_linear": rb'"topic":"tickers\..*"(?:markPrice|openInterest)":|"topic":"publicTrade\..*"L":"',
    "bybit_spot": rb'"topic":"tickers\..*"usdIndexPrice":|"topic":"publicTrade\..*"BT":',
    "binance_coinm": rb'"s":"[A-Z0-9]+USD_(?:PERP|\d{6})"',
    "binance_usdm": rb'"e":"(?:depthUpdate".*"pu":\d|trade".*"X":"|bookTicker"|markPriceUpdate"|forceOrder")',
    "binance_spot": rb'"e":"depthUpdate"|"e":"(?:trade|aggTrade)".*"M":',
}
_MARKS = {market: re.compile(pattern, re.DOTALL) for market, pattern in _MESSAGES.items()}
_PLACES = {market: re.compile(pattern) for market, pattern in _ADDRESSES.items()}
_OF_BYBIT = re.compile(rb'"topic"\s*:\s*"|"op"\s*:\s*"|"ret_msg"\s*:|^pong$')
_OF_BINANCE = re.compile(rb'"stream"\s*:\s*"|"e"\s*:\s*"|"lastUpdateId"\s*:|"u"\s*:\s*\d+.*"A"\s*:|"result"\s*:')
_ASKED = re.compile(r"[?&]symbol=(\w{1,40})")
_STREAM = re.compile(rb'"(?:stream|topic)"\s*:\s*"([^"]{1,200})"')
_DIFF = re.compile(rb'"e"\s*:\s*"depthUpdate".*"s"\s*:\s*"([^"]{1,40})"', re.DOTALL)


def exchange_of(message: bytes) -> str:
    """The exchange, bybit or binance, by the look of a message; "" = neither."""
    if _OF_BYBIT.search(message):
        return BYBIT
    return BINANCE if _OF_BINANCE.search(message) else ""


def recognise(lines: Iterable[Line]) -> dict[str, str]:
    """The market of each exchange that a tape holds: {"binance": "binance_spot"}.

    The first line that only one market can have decides: its recorder's word, an address, a key of a message. Where
    none does, it is the exchange's usual futures market.

    Raises:
        DataError: there are messages, and none of them is of an exchange that we know.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    unknown = 0
    for line in islice(lines, LOOKED_AT):
        market = line.market or next((name for name, place in _PLACES.items() if place.search(line.url)), "")
        if not line.event:
            message = line.wire
            exchange = exchange_of(message)
            unknown += not exchange
            seen.add(exchange)
            if exchange and exchange not in found:
                plain = message.replace(b'": ', b'":')
                marks = (name for name, mark in _MARKS.items() if name.startswith(exchange) and mark.search(plain))
                market = next(marks, "")
        if market:
            found.setdefault(market.partition("_")[0], market)
    if unknown and not found and not seen - {""}:
        raise DataError(
            f"tape: expected messages of Bybit v5 or Binance, saw {unknown} of neither; name a recording of one of them"
        )
    return {exchange: found.get(exchange, USUAL[exchange]) for exchange in {*found, *seen} - {""}}


def protocol_of(market: str, clock: ReceiveClock) -> WireProtocol:
    """A protocol core for whatever a tape of `market` holds."""
    if market.startswith(BYBIT):
        # inverse contracts speak the language of linear ones
        name = "bybit_linear" if market == "bybit_inverse" else market
        return BybitProtocol((), market=name, clock=clock, anything=True)
    return BinanceProtocol((), market=market, clock=clock, anything=True)


class _Core:
    """One protocol core and what leads a line to it."""

    def __init__(self, protocol: WireProtocol, connection: Connection | None = None) -> None:
        self.protocol = protocol
        self.books = {stream.symbol for stream in connection.streams if stream.kind == "book"} if connection else set()
        self.names = _names(connection) if connection else set()
        self.ours = connection is not None  # the recording says what it was asked for
        self.heard = False


class Player:
    """Plays the lines of one recording, file after file, to the protocol cores that hear them.

    A recording of ours names its streams, so each connection gets the core it had live and makes the same events. Any
    other is played to one core an exchange, which takes whatever comes.

    Args:
        markets: by exchange, as `recognise` finds them.
    """

    def __init__(self, markets: Mapping[str, str]) -> None:
        self.markets = dict(markets)
        self.clock = ReceiveClock()
        self.strange = 0  # messages of no exchange that the recording is of
        self._cores: dict[str, _Core] = {}  # by address, or by exchange where the recorder named no streams
        self._named: dict[bytes, _Core] = {}  # by the name of a stream
        self._last: _Core | None = None
        self._only: _Core | None = None  # the one that hears everything
        self._urls: set[str] = set()
        self._waiting: list[Line] = []  # books without a symbol that came before what tells it

    def play(self, line: Line) -> list[MarketEvent]:
        """The events of one line."""
        if line.event in {"", "http", "book"}:
            events = self._hear(line)
        elif line.event in {"connect", "continue"}:
            events = self._connect(line)
        else:
            core = self._cores.get(line.url) or self._cores.get(self._exchange(line))
            if core is None:
                return []
            self._last = core
            if line.event == "disconnect":
                events = core.protocol.disconnected(line.recv_ns, line.reason)
            else:
                events = core.protocol.tick(line.recv_ns) if line.event == "tick" else []
        if self._last:
            self._last.heard = True
            if self._last.ours:
                # nobody sends or fetches these: what came of it live stands in the tape
                self._last.protocol.outgoing()
                self._last.protocol.snapshots_wanted()
        return events

    def counts(self) -> dict[tuple[str, str], Counts]:
        """By symbol and kind of stream; ("", "") holds what concerned no known symbol."""
        total: dict[tuple[str, str], Counts] = {}
        for core in self._cores.values():
            for key, counts in core.protocol.counts().items():
                total[key] = added(total[key], counts) if key in total else counts
        return total

    def _exchange(self, line: Line) -> str:
        if len(self.markets) == 1:
            return next(iter(self.markets))
        known = next((name.partition("_")[0] for name, place in _PLACES.items() if place.search(line.url)), "")
        return known or exchange_of(line.wire)

    def _connect(self, line: Line) -> list[MarketEvent]:
        core = self._cores.get(line.url)
        if core is None and line.streams:
            core = self._add_ours(line)
        if core is None:
            core = self._any(self._exchange(line))
            if core is None:
                return []
            # several addresses are several sockets of one client: only one that comes again replaces another
            again = not self._urls or line.url in self._urls
            self._urls.add(line.url)
            if not again:
                return []
        self._last = core
        if line.event == "continue" and core.heard:
            return []  # the file before was played too
        return core.protocol.connected(line.recv_ns)

    def _add_ours(self, line: Line) -> _Core:
        """The core that a connection of our recorder had."""
        ours = bybit_protocol if line.market.startswith(BYBIT) else binance_protocol
        wanted = [each for each in ours.connections(line.asked, "", line.market) if each.url in line.url]
        if not wanted:
            raise DataError(f"tape: expected an address of {line.market}, saw {line.url!r}; the recording is damaged")
        connection = wanted[-1]  # the first address of several is the beginning of the others
        kind = BybitProtocol if line.market.startswith(BYBIT) else BinanceProtocol
        protocol = kind(connection.streams, market=line.market, clock=self.clock, stale_s=line.stale_s or 10.0)
        core = self._add(line.url, _Core(protocol, connection))
        self._named |= dict.fromkeys(core.names, core)
        return core

    def _add(self, name: str, core: _Core) -> _Core:
        self._cores[name] = core
        self._only = core if len(self._cores) == 1 and len(self.markets) < 2 else None
        return core

    def _any(self, exchange: str) -> _Core | None:
        """The core of an exchange whose streams nobody named."""
        if exchange not in self._cores:
            if exchange not in self.markets:
                return None
            self._add(exchange, _Core(protocol_of(self.markets[exchange], self.clock)))
        return self._cores[exchange]

    def _hear(self, line: Line) -> list[MarketEvent]:
        """A message, or a REST answer."""
        message = line.wire
        core = self._only or self._core_of(line, message)
        if core is None:
            self.strange += not line.event
            return []
        self._last = core
        try:
            if line.event:
                return self._rest(core, line, message)
            if core.ours or core.protocol.market.startswith(BYBIT):
                return core.protocol.receive(message, line.recv_ns)
            return self._unnamed(core, line, message)
        except ProtocolError:
            return []  # counted, as live

    def _core_of(self, line: Line, message: bytes) -> _Core | None:
        if self._named:
            if line.event:
                symbol = _symbol(line.url)
                return next((core for core in self._cores.values() if symbol in core.books), None)
            named = _STREAM.search(message)
            # what names no stream is an answer or damaged, and belongs to no book
            return self._named.get(named[1], self._last) if named else self._last
        return self._any(self._exchange(line))

    def _rest(self, core: _Core, line: Line, message: bytes) -> list[MarketEvent]:
        """A book that was fetched, or that our recorder wrote down when a file began."""
        symbol = _symbol(line.url)
        if line.event == "book":
            live = core.protocol.book(symbol, 1).state == "live"
            return [] if live else core.protocol.resume(symbol, message, line.recv_ns)
        if not symbol or "depth" not in line.url:
            return []
        return core.protocol.snapshot(symbol, message, line.recv_ns)

    def _unnamed(self, core: _Core, line: Line, message: bytes) -> list[MarketEvent]:
        """A Binance tape may hold a book by REST among its messages, without a symbol: it is that of the changes."""
        head = message[:64]
        if b'"lastUpdateId"' in head and b'"stream"' not in head and not _books(core.protocol):
            self._waiting.append(line)
            return []
        events = core.protocol.receive(message, line.recv_ns)
        if self._waiting and (diff := _DIFF.search(message)):
            for early in self._waiting:
                events += core.protocol.snapshot(diff[1].decode(errors="replace"), early.wire, line.recv_ns)
            self._waiting.clear()
        return events


def _names(connection: Connection) -> set[bytes]:
    """What the messages of a connection call their streams."""
    asked = parse_qs(urlsplit(connection.url).query).get("streams")
    names = asked[0].split("/") if asked else [topic_of(stream).name for stream in connection.streams]
    return {name.encode() for name in names}


def _books(protocol: WireProtocol) -> bool:
    return any(kind == "book" for _, kind in protocol.counts())


def _symbol(url: str) -> str:
    named = _ASKED.search(url)
    return named[1].upper() if named else ""


def added(one: Counts, other: Counts) -> Counts:
    """Both together; the time is from the earlier beginning to the later end."""
    total = Counts(**{field.name: getattr(one, field.name) + getattr(other, field.name) for field in fields(Counts)})
    begun = [counts.first_ts for counts in (one, other) if counts.first_ts]
    total.first_ts, total.last_ts = min(begun, default=0), max(one.last_ts, other.last_ts)
    return total
