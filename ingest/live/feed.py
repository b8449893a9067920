"""The live feed: one thin socket shell around any protocol core.

The core knows the exchange; the shell dials, stamps, sends what the core wants sent, tells it that time passes, and
hands its events on. A reader too slow for the market is never silently wrong: what waits is dropped and counted, and
its books begin anew. A listener is never behind: it is told of each message at hearing, before the next is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, Protocol
from urllib.parse import urldefrag

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ingest.live.backlog import Backlog
from ingest.live.dial import Dialler, Refused
from ingest.live.links import Link
from ingest.rest.retry import said
from ingest.venues.known import VENUES, address, streamed
from ingest.wire.records import books_compiled, load_books
from ingest.wire.streams import BookView, Counts, ReceiveClock, Stream
from utils.errors import ConfigError, InvariantError, ProtocolError
from utils.market.symbols import normalise_symbol
from utils.ports import Listener
from utils.rows import NS_PER_S
from utils.settings.tree import EndpointSettings, IngestSettings
from utils.shell.backoff import Backoff
from utils.shell.log import event
from utils.shell.seldom import Seldom
from utils.types import BookDelta, BookInvalid, MarketEvent

#: Time between two looks at the watch, s.
TICK_S = 0.1
#: A receive clock that went back by more was set back, ns: all that was timed by it is begun anew.
SET_BACK_NS = 1 * NS_PER_S
#: Exchanges cut a socket after 24 h; ours are renewed before, not all at once. In seconds.
RENEW_S = 23 * 3600.0
#: Shortest time between two log lines of the same kind, s.
LOG_EVERY_S = 10.0
#: The same between two that say that a socket was lost, of whichever feed of this process, s.
RECONNECTING_S = 60.0

logger = logging.getLogger("ingest")
_RECONNECTING = Seldom(RECONNECTING_S)


class _Clock(msgspec.Struct):
    """What a loopback exchange says before a message when it is asked for its tape's time."""

    clock: int


_CLOCK = msgspec.json.Decoder(_Clock)


class Tap(Protocol):
    """Is told of everything that passes the sockets, before it is understood.

    `event` is "" for a message of a stream, else `connect`, `send`, `http` (a REST answer), `tick` (time passed, and
    that alone changed a book) or `disconnect` (the text is the reason).
    """

    def __call__(self, recv_ns: int, url: str, text: str | bytes, event: str = "", /) -> None:
        """Keep it; must not block."""
        ...


@dataclass(frozen=True, slots=True)
class LiveStats:
    """How a feed is doing, since it began."""

    connects: int  # sockets that were opened
    reconnects: int  # those of them that replaced one that was lost or renewed
    messages: int
    refused_messages: int  # not what the exchange documents, and of no symbol of ours
    dropped: int  # events a slow reader never saw
    resubscriptions: int  # books that became invalid on a live socket and were asked for anew
    snapshots: int  # books fetched by REST
    waited_s: float  # waits on purpose that are over: backoff, and what exchanges asked for
    queued: int  # events that wait for the reader
    latency_p50_us: float  # from receipt to the reader, of the last 10,000 events; NaN before the first
    latency_p99_us: float
    latency_max_us: float
    errors: Mapping[str, str]  # by address: the last thing that went wrong


class LiveFeed:
    """Market events of an exchange as they come: `async with LiveFeed(...) as feed: async for event in feed: ...`.

    Sockets that are lost are dialled again for ever, with exponential backoff and jitter; what cannot be repaired (a
    ban, a refused topic, no data at all within `settings.timeout_s` of the start) ends the iteration with an error.

    Args:
        exchange: one of `ingest.venues.known`.
        streams: what to subscribe to.
        market_type: futures (linear perpetuals) or spot.
        endpoints: where the exchange lives.
        settings: timeouts, backoff, heartbeat, staleness, length of the queue.
        stamp: the receive clock, ns.
        clock_query: ask a loopback exchange for its tape's time before each message, and stamp by it.
        on_raw: told of everything that passes the sockets.
        ssl: trust for wss and https; None = the system's.
        events: False = no event is made of a plain book update; read `book` instead.
        renew_s: age at which a socket is replaced, s.
        listener: is told of each message at hearing, in the order of hearing: a delta as the record of the book that it
            left, all else as nouns. Who iterates then gets all events but deltas, of which none is made where the
            exchange has a fast door. It must not block, and what it raises ends the feed.
    """

    def __init__(
        self,
        exchange: str,
        streams: Sequence[Stream],
        *,
        market_type: str = "futures",
        endpoints: EndpointSettings | None = None,
        settings: IngestSettings | None = None,
        stamp: Callable[[], int] = time.time_ns,
        clock_query: bool = False,
        on_raw: Tap | None = None,
        ssl: SSLContext | None = None,
        events: bool = True,
        renew_s: float = RENEW_S,
        listener: Listener | None = None,
    ) -> None:
        if not streams:
            raise ConfigError("streams: expected at least one, saw none; name what to subscribe to")
        self.exchange = exchange
        self._settings = settings or IngestSettings()
        self._stamp, self._tap, self._renew_s, self._listener = stamp, on_raw, renew_s, listener
        self._fast = listener is not None or not events
        self._clock_query = clock_query
        place = streamed(exchange, market_type)
        venue, market = place
        endpoints = endpoints or EndpointSettings()
        self._dialler = Dialler(place, self._settings, ssl)
        self.market = market.name  # its data folder's name: bybit_linear, binance_usdm, ...
        self._rest = address(endpoints, market.rest.at) if market.rest else ""
        language = venue.language()
        self._links = []
        clock = ReceiveClock()
        for connection in language.connections(streams, address(endpoints, market.ws), market.name):
            protocol = language.protocol(
                connection.streams,
                market=market.name,
                clock=clock,
                heartbeat_s=self._settings.heartbeat_s,
                stale_s=self._settings.stale_s,
            )
            self._links.append(Link(connection.streams, protocol, connection.url, self._settings))
        self._books = {symbol: link.protocol for link in self._links for symbol in link.books}
        self._backlog = Backlog(self._settings.queue, self._books)
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._entered = self._closed = False
        self._waited_s = 0.0
        self._refused = self._resubscribed = self._fetched = 0
        self._said = Seldom(LOG_EVERY_S)

    async def __aenter__(self) -> LiveFeed:
        self._entered = True
        await asyncio.to_thread(load_code, self.exchange)
        for link in self._links:
            self._spawn(self._serve(link), self._tasks)
        self._spawn(self._expect_data(), self._tasks)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        try:
            await _ended(self._tasks)
        finally:  # whoever cancels once more does not want to wait, and still leaves nothing open
            await self._dialler.aclose()
            self._backlog.wake()

    def __aiter__(self) -> AsyncIterator[MarketEvent]:
        if not self._entered:
            raise InvariantError("a live feed is read inside its `async with`; enter it first")
        return self

    async def __anext__(self) -> MarketEvent:
        while not self._backlog:
            if not await self._arrival():
                raise StopAsyncIteration
        return self._backlog.take()

    async def batch(self) -> list[MarketEvent]:
        """All events that wait, at least one; none = the feed was closed.

        Raises:
            DataUnavailable: it ended for a cause that cannot be repaired.
        """
        while not self._backlog:
            if not await self._arrival():
                break
        return [self._backlog.take() for _ in range(len(self._backlog))]

    def book(self, symbol: str, levels: int = 50) -> BookView:
        """The book as it stands.

        Raises:
            ConfigError: no book of this symbol was asked for.
            DataUnavailable: the feed ended for a cause that cannot be repaired.
        """
        if self._error:
            raise self._error
        protocol = self._books.get(symbol) or self._books.get(normalise_symbol(symbol))
        if protocol is None:
            raise ConfigError(f"book: expected one of {', '.join(self._books) or 'no symbol'}, saw {symbol!r}")
        return protocol.book(normalise_symbol(symbol), levels)

    def counts(self) -> dict[tuple[str, str], Counts]:
        """What was seen, by symbol and kind of stream; ("", "") holds what concerned no known symbol."""
        total: dict[tuple[str, str], Counts] = {}
        for link in self._links:
            for key, counts in link.protocol.counts().items():
                total[key] = total[key] + counts if key in total else counts
        return total

    def stats(self) -> LiveStats:
        """How the feed is doing."""
        p50, p99, longest = self._backlog.latency_us(0.5, 0.99, 1.0)
        return LiveStats(
            connects=sum(link.connects for link in self._links),
            reconnects=sum(max(0, link.connects - 1) for link in self._links),
            messages=sum(link.messages for link in self._links),
            refused_messages=self._refused,
            dropped=self._backlog.dropped,
            resubscriptions=self._resubscribed,
            snapshots=self._fetched,
            waited_s=self._waited_s,
            queued=len(self._backlog),
            latency_p50_us=p50,
            latency_p99_us=p99,
            latency_max_us=longest,
            errors={link.name: link.error for link in self._links if link.error},
        )

    # the reader's end

    async def _arrival(self) -> bool:
        """Wait for something to come; False = nothing ever will."""
        if self._error:
            raise self._error
        if not self._closed:
            await self._backlog.wait()
        return not self._closed

    def _deliver(self, link: Link, nouns: Sequence[MarketEvent], received: int) -> None:
        """Tell the listener, and hand events to the reader.

        Args:
            link: where they come from.
            nouns: the events of one message.
            received: when it came, ns of the process's clock.
        """
        for noun in nouns:
            if isinstance(noun, BookInvalid):
                self._log("book_invalid", noun.symbol, noun.reason, severity=logging.WARNING)
        if self._listener is not None:
            nouns = self._told(self._listener, link, nouns, received)
        lost = self._backlog.put(nouns, received)
        if lost:
            self._log("reader_slow", "", "events dropped, books begin anew", severity=logging.WARNING, dropped=lost)

    def _told(
        self, listener: Listener, link: Link, nouns: Sequence[MarketEvent], received: int
    ) -> Sequence[MarketEvent]:
        """Tell a listener; what is left for the reader."""
        left = []
        for noun in nouns:
            if isinstance(noun, BookDelta):
                listener.moved(noun.symbol, noun.ts, noun.ts_recv, link.protocol.record(noun.symbol))
                self._backlog.passed(received)
            else:
                listener.see(noun)
                left.append(noun)
        return left

    # the sockets' end

    async def _serve(self, link: Link) -> None:
        """Keep one place filled with a socket, for ever."""
        try:
            while True:
                socket = link.successor or await self._dial(link)
                link.successor = None
                await self._converse(link, socket)
        finally:
            if link.successor:
                await link.successor.close()

    def _address(self, link: Link) -> str:
        url = urldefrag(link.url).url
        mark = "&" if "?" in url else "?"
        return f"{url}{mark}clock=tape" if self._clock_query else url

    async def _dial(self, link: Link) -> ClientConnection:
        while True:
            await self._wait(link.wait_s)
            answer = await self._dialler.open(self._address(link))
            if isinstance(answer, ClientConnection):
                return answer
            link.error = answer.reason
            link.wait_s = max(answer.wait_s, link.backoff.wait_s())
            self._say_reconnecting(link)

    async def _converse(self, link: Link, socket: ClientConnection) -> None:
        """Read a socket to its end."""
        opened, protocol = time.monotonic(), link.protocol
        link.connects += 1
        link.reason = ""
        self._log("connected", link.name, exchange=self.exchange, streams=len(link.streams))
        try:
            now = self._now(link)
            self._note(now, link, "", "connect")
            self._deliver(link, protocol.connected(now), time.perf_counter_ns())
            await self._flush(link, socket)
            self._spawn(self._watch(link, socket), link.tasks)
            self._spawn(self._renew(link, socket), link.tasks)
            while True:
                self._hear(link, await socket.recv(decode=False))
                await self._flush(link, socket)
        except ConnectionClosed as closed:
            link.error = link.reason or said(closed)
        finally:
            try:
                await _ended(link.tasks)
                await socket.close()
            finally:
                socket.transport.abort()  # without a goodbye, if even that wait was cut short
        now = self._now(link)
        self._note(now, link, link.error, "disconnect")
        self._deliver(link, protocol.disconnected(now, link.error), time.perf_counter_ns())
        if link.spoken and time.monotonic() - opened >= self._settings.backoff_max_s:
            link.backoff.reset()  # it has proved good
        link.wait_s = 0.0 if link.successor else link.backoff.wait_s()
        self._say_reconnecting(link)

    def _hear(self, link: Link, message: bytes) -> None:
        received, recv_ns = time.perf_counter_ns(), self._now(link)
        if self._clock_query and message.startswith(b'{"clock"'):
            with contextlib.suppress(msgspec.MsgspecError):
                link.tape_ns = _CLOCK.decode(message).clock
                return
        link.messages += 1
        if self._tap:
            self._tap(recv_ns, link.url, message)
        if self._fast and link.protocol.advance(message, recv_ns, self._listener):
            self._backlog.passed(received)
            return
        try:
            nouns = link.protocol.receive(message, recv_ns)
        except ProtocolError as error:
            self._refused += 1
            link.error = str(error)
            self._log("message_refused", link.name, str(error), severity=logging.WARNING)
        else:
            self._resubscribed += sum(isinstance(noun, BookInvalid) for noun in nouns)
            self._deliver(link, nouns, received)

    async def _flush(self, link: Link, socket: ClientConnection) -> None:
        """Do what the protocol wants done: frames to send, books to fetch."""
        for frame in link.protocol.outgoing():
            self._note(self._now(link), link, frame, "send")
            await socket.send(frame)
        for symbol in link.protocol.snapshots_wanted():
            if symbol not in link.fetching:  # a second answer would be no fresher
                link.fetching.add(symbol)
                self._spawn(self._fetch(link, socket, symbol), link.tasks)

    async def _watch(self, link: Link, socket: ClientConnection) -> None:
        """Tell the protocol that time passes, and end a socket it has given up."""
        last = self._now(link)
        with contextlib.suppress(ConnectionClosed):  # the one that reads it sees that too
            while True:
                await asyncio.sleep(TICK_S)
                now = self._now(link)
                nouns = link.protocol.tick(now)
                if nouns:
                    self._note(now, link, "", "tick")
                    self._deliver(link, nouns, time.perf_counter_ns())
                await self._flush(link, socket)
                failure = link.protocol.failure or link.judge_refusals()
                if last - now > SET_BACK_NS:
                    failure = f"the receive clock was set back by {(last - now) / NS_PER_S:.1f} s"
                last = now
                if failure:
                    link.reason = failure
                    socket.transport.abort()  # no goodbye: whoever is silent does not answer one
                    return

    async def _renew(self, link: Link, socket: ClientConnection) -> None:
        """Open the next socket before the exchange ends this one, and only then let go."""
        wait = self._renew_s * random.uniform(0.9, 1.0)
        backoff = Backoff(self._settings.backoff_s, self._settings.backoff_max_s)
        while True:
            await asyncio.sleep(wait)
            answer = await self._dialler.open(self._address(link))
            if not isinstance(answer, Refused):
                break
            wait = max(answer.wait_s, backoff.wait_s())
        link.successor, link.reason = answer, "renewed before the exchange ends it"
        await socket.close()

    async def _fetch(self, link: Link, socket: ClientConnection, symbol: str) -> None:
        """Fetch a book by REST until there is an answer, and let the protocol judge it."""
        path = link.protocol.snapshot_path(symbol)
        backoff = Backoff(self._settings.backoff_s, self._settings.backoff_max_s)
        try:
            while isinstance(answer := await self._dialler.get(self._rest + path), Refused):
                link.error = f"{path}: {answer.reason}"
                wait = max(answer.wait_s, backoff.wait_s())
                self._log("snapshot_refused", symbol, answer.reason, severity=logging.WARNING, wait_s=wait)
                await self._wait(wait)
        finally:
            link.fetching.discard(symbol)
        self._fetched += 1
        now = self._now(link)
        self._note(now, link, answer, "http", self._rest + path)
        self._deliver(link, link.protocol.snapshot(symbol, answer, now), time.perf_counter_ns())
        with contextlib.suppress(ConnectionClosed):
            await self._flush(link, socket)

    async def _expect_data(self) -> None:
        """A feed that never begins is an error, not a wait."""
        await asyncio.sleep(self._settings.timeout_s)
        for link in self._links:
            if not link.spoken:
                raise link.silence(self.exchange, self._settings.timeout_s)

    # what all share

    def _now(self, link: Link) -> int:
        # each socket has its own: messages of another may come between a clock and what it stamps
        return link.tape_ns if self._clock_query else self._stamp()

    def _note(self, now: int, link: Link, text: str | bytes, name: str, url: str = "") -> None:
        if self._tap:
            self._tap(now, url or link.url, text, name)

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._waited_s += seconds

    def _spawn(self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> None:
        """Start a task whose failure ends the feed."""
        task = asyncio.create_task(work)
        among.add(task)

        def finished(done: asyncio.Task[None]) -> None:
            among.discard(done)
            error = None if done.cancelled() else done.exception()
            if error and not self._error:
                self._error = error
                self._backlog.wake()
                for other in self._tasks:
                    other.cancel()

        task.add_done_callback(finished)

    def _say_reconnecting(self, link: Link) -> None:
        _RECONNECTING.event(
            logger,
            "reconnecting",
            link.error,
            kind=(self.exchange, link.name),
            severity=logging.WARNING,
            about=link.name,
            exchange=self.exchange,
            wait_s=link.wait_s,
            failures=link.backoff.failures,
        )

    def _log(self, name: str, what: str, text: str = "", *, severity: int = logging.INFO, **more: object) -> None:
        """Log an event, the same one at most once in a while; the next line says how many were left out."""
        about = {"about": what} if what else {}
        self._said.event(logger, name, text, kind=what, severity=severity, **about, **more)


def load_code(exchange: str) -> None:
    """Load the machine code of an exchange's books before a message, or a time limit, would have to wait for it."""
    venue = VENUES.get(exchange)
    door = venue.language().fast if venue else None
    doors = [door] if door else []
    if not books_compiled(*doors):
        event(logger, "compiling", "making the machine code of books, once after an update; this takes some seconds")
    load_books(*doors)


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel these tasks and see them end; what went wrong in one has been kept already."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
