"""A tape played back: which exchange it was, and its messages through the same protocol cores as live."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import islice

import msgspec

from ingest.tapes.file import UNHEARD, Line
from ingest.venues.known import VENUES, places, recorded
from ingest.wire.streams import Connection, Counts, ReceiveClock, WireProtocol
from utils.errors import DataError, ProtocolError
from utils.market.times import nanoseconds
from utils.rows import NS_PER_MS
from utils.settings.tree import IngestSettings
from utils.shell.log import event as log
from utils.types import MarketEvent

logger = logging.getLogger("ingest")

#: Lines that are looked at to recognise the markets.
LOOKED_AT = 5_000
#: Bytes of a message in which its kind shows.
HEAD = 64

_ASKED = re.compile(r"[?&]symbol=(\w{1,40})")
_STREAM = re.compile(rb'"(?:stream|topic)"\s*:\s*"([^"]{1,200})"')


@cache
def _text(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@cache
def _bytes(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode(), re.DOTALL)


def exchange_of(message: bytes) -> str:
    """The exchange by the look of a message; "" = none that we know."""
    return next((venue.name for venue in VENUES.values() if _bytes(venue.tapes.message).search(message)), "")


def market_at(url: str) -> str:
    """The market that alone has such an address; "" = any could."""
    return next((market.name for _, market in places() if _text(market.address).search(url)), "")


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
        market = line.market or market_at(line.url)
        if not line.event:
            message = line.wire
            exchange = exchange_of(message)
            unknown += not exchange
            seen.add(exchange)
            if exchange and exchange not in found:
                plain = message.replace(b'": ', b'":')
                candidates = VENUES[exchange].markets
                market = next((each.name for each in candidates if _bytes(each.message).search(plain)), "")
        if market:
            found.setdefault(recorded(market).venue.name, market)
    if unknown and not found and not seen - {""}:
        known = " or ".join(venue.title for venue in VENUES.values())
        raise DataError(
            f"tape: expected messages of {known}, saw {unknown} of neither; name a recording of one of them"
        )
    return {exchange: found.get(exchange, VENUES[exchange].usual) for exchange in {*found, *seen} - {""}}


def coin_margined(lines: Iterable[Line]) -> str:
    """The market of a tape whose contracts are in coin; "" = it has none."""
    return next((name for name in recognise(lines).values() if recorded(name).market.in_coin), "")


def protocol_of(market: str, clock: ReceiveClock) -> WireProtocol:
    """A protocol core for whatever a tape of `market` holds."""
    return recorded(market).venue.language().protocol((), market=market, clock=clock, anything=True)


class _Core:
    """One protocol core and what leads a line to it."""

    def __init__(self, market: str, protocol: WireProtocol, connection: Connection | None = None) -> None:
        self.protocol = protocol
        self.tapes = recorded(market).venue.tapes
        self.books = {stream.symbol for stream in connection.streams if stream.kind == "book"} if connection else set()
        self.names = {name.encode() for name in connection.names} if connection else set()
        self.ours = connection is not None  # the recording says what it was asked for
        self.heard = False


class Player:
    """Plays the lines of one recording, file after file, to the protocol cores that hear them.

    A recording of ours names its streams, so each connection gets the core it had live and makes the same events. Any
    other is played to one core an exchange, which takes whatever comes.

    Args:
        markets: by exchange, as `recognise` finds them.
        latency_ms: how long after its exchange time a message is taken to have come that does not say so; None = the
            default of `ingest.feed_latency_ms`.
    """

    def __init__(self, markets: Mapping[str, str], latency_ms: float | None = None) -> None:
        self.markets = dict(markets)
        self.latency_ms = IngestSettings().feed_latency_ms if latency_ms is None else latency_ms
        self.unheard = 0  # lines that do not say when they came
        self._came = 0  # when the last one did, ns
        self.clock = ReceiveClock()
        self.strange = 0  # messages of no exchange that the recording is of
        self._cores: dict[str, _Core] = {}  # by address, or by exchange where the recorder named no streams
        self._named: dict[bytes, _Core] = {}  # by the name of a stream
        self._last: _Core | None = None
        self._only: _Core | None = None  # the one that hears everything
        self._urls: set[str] = set()
        self._waiting: list[Line] = []  # books without a symbol that came before what tells it

    def timed(self, line: Line) -> Line:
        """A line with a receive time: its own, else its exchange time + latency, else that of the line before."""
        if line.recv_ns == UNHEARD:
            if not self.unheard:
                said = f"a recording without receive times: each message came {self.latency_ms:g} ms after it was sent"
                log(logger, "tape_without_receive_times", said, severity=logging.WARNING)
            self.unheard += 1
            stamp = None if line.event else self._sent(line.wire)
            heard = self._came if stamp is None else stamp + round(self.latency_ms * NS_PER_MS)
            line = msgspec.structs.replace(line, recv_ns=heard)
        self._came = line.recv_ns
        return line

    def _sent(self, message: bytes) -> int | None:
        """When the exchange sent a message, ns; None if it does not say."""
        for exchange in self.markets:
            found = _bytes(VENUES[exchange].tapes.stamp).search(message)
            if found:
                return int(nanoseconds([int(found[1])])[0])
        return None

    def play(self, line: Line) -> list[MarketEvent]:
        """The events of one line."""
        line = self.timed(line)
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
                total[key] = total[key] + counts if key in total else counts
        return total

    def _exchange(self, line: Line) -> str:
        if len(self.markets) == 1:
            return next(iter(self.markets))
        market = market_at(line.url)
        return recorded(market).venue.name if market else exchange_of(line.wire)

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
        language = recorded(line.market).venue.language()
        wanted = [each for each in language.connections(line.asked, "", line.market) if each.url in line.url]
        if not wanted:
            raise DataError(f"tape: expected an address of {line.market}, saw {line.url!r}; the recording is damaged")
        connection = wanted[-1]  # the first address of several is the beginning of the others
        protocol = language.protocol(
            connection.streams, market=line.market, clock=self.clock, stale_s=line.stale_s or 10.0
        )
        core = self._add(line.url, _Core(line.market, protocol, connection))
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
            market = self.markets[exchange]
            self._add(exchange, _Core(market, protocol_of(market, self.clock)))
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
            if core.ours or not core.tapes.book:
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
        """A tape may hold a book by REST among its messages, without a symbol: it is that of the changes."""
        if _bytes(core.tapes.book).search(message[:HEAD]) and not _books(core.protocol):
            self._waiting.append(line)
            return []
        events = core.protocol.receive(message, line.recv_ns)
        if self._waiting and (change := _bytes(core.tapes.change).search(message)):
            for early in self._waiting:
                events += core.protocol.snapshot(change[1].decode(errors="replace"), early.wire, line.recv_ns)
            self._waiting.clear()
        return events


def _books(protocol: WireProtocol) -> bool:
    return any(kind == "book" for _, kind in protocol.counts())


def _symbol(url: str) -> str:
    named = _ASKED.search(url)
    return named[1].upper() if named else ""
