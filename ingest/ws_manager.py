"""Live streams for code that is not asynchronous: subscribe, then read what is newest, from any thread.

    from ingest.ws_manager import latest, subscribe
    subscribe("bybit", "orderbook", "BTCUSDT")
    subscribe("binance", "klines", ["BTCUSDT", "ETHUSDT"], tf="1m")
    book = latest("bybit", "orderbook", "BTCUSDT")

One daemon thread owns the event loop and every socket. What it publishes is immutable and replaced by one assignment,
so readers need no lock. Code that runs on an event loop takes `ingest.live.feed.LiveFeed` instead: calls here may block
it.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from ssl import SSLContext
from typing import Any, TypeAlias

from ingest.live.feed import LiveFeed, load_code
from ingest.wire.streams import BookView, Stream
from utils.config import load_settings
from utils.errors import ConfigError, DataUnavailable, InvariantError, ScalperError, StaleData
from utils.settings.tree import EndpointSettings, IngestSettings
from utils.types import Bar, BookDelta, BookInvalid, BookSnapshot, MarketEvent, Trade

#: What can be subscribed to, and the kind of stream it is.
KINDS = {"orderbook": "book", "klines": "bars", "trades": "trades"}
#: Trades or closed bars that are kept of each stream.
HISTORY = 1000

_Key: TypeAlias = tuple[str, Stream]


class _Slot:
    """The newest of one stream, written by the loop's thread only."""

    def __init__(self, exchange: str, stream: Stream) -> None:
        self.exchange, self.stream = exchange, stream
        self.view: tuple[BookView, float] | None = None  # and when it was published, monotonic seconds
        self.rows: tuple[Bar | Trade, ...] = ()
        self.recent: deque[Bar | Trade] = deque(maxlen=HISTORY)
        self.ready = threading.Event()  # the book is live, the first row is there, or all is lost
        self.error: ScalperError | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return " ".join(filter(None, (self.exchange, self.stream.symbol, self.stream.kind, self.stream.tf)))


class WSManager:
    """Streams of any supported venue, read from any thread; memory is bounded, and symbols may be added at any time.

    Each call of `subscribe` opens sockets of its own, so that what runs is not disturbed: name many symbols at once.

    Args:
        endpoints: where the exchanges live; None = by settings file and environment.
        settings: timeouts, staleness; None = likewise.
        market_type: futures (linear perpetuals) or spot.
        ssl: trust for wss and https; None = the system's.
    """

    def __init__(
        self,
        *,
        endpoints: EndpointSettings | None = None,
        settings: IngestSettings | None = None,
        market_type: str = "futures",
        ssl: SSLContext | None = None,
    ) -> None:
        if endpoints is None or settings is None:
            loaded = load_settings().settings
            endpoints, settings = endpoints or loaded.endpoints, settings or loaded.ingest
        self.endpoints, self.settings, self.market_type, self._ssl = endpoints, settings, market_type, ssl
        self._slots: dict[_Key, _Slot] = {}
        self._lock = threading.Lock()  # of subscribing and closing; reading takes none
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="live streams", daemon=True)
        self._thread.start()
        self.closed = False

    def __enter__(self) -> WSManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def subscribe(
        self, exchange: str, kind: str, symbols: str | Iterable[str], *, tf: str = "", depth: int | None = None
    ) -> None:
        """Begin to receive; returns at once. What is subscribed to already goes on as it is.

        Args:
            exchange: one of `ingest.venues.known`.
            kind: orderbook, klines or trades.
            symbols: one or more, in any spelling.
            tf: timeframe of klines, and of them only.
            depth: levels a side of a book; None = `ingest.book_depth`.

        Raises:
            ConfigError: no such exchange, kind, symbol or timeframe.
        """
        self._begin(exchange, self._streams(kind, symbols, tf, depth))

    def ensure(
        self,
        exchange: str,
        kind: str,
        symbol: str,
        *,
        tf: str = "",
        depth: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """Subscribe if need be, and wait until the book is live, or the first trade or closed bar is there.

        Args:
            exchange: as of `subscribe`, and so are `kind`, `symbol`, `tf`, `depth`.
            kind: orderbook, klines or trades.
            symbol: one, in any spelling.
            tf: timeframe of klines.
            depth: levels a side of a book.
            timeout: longest wait, s; None = `ingest.timeout_s`.

        Raises:
            ConfigError: no such exchange, kind, symbol or timeframe.
            DataUnavailable: the exchange refused, or sent nothing in time.
            StaleData: the book was live, and was not again in time.
        """
        streams = self._streams(kind, symbol, tf, depth)
        self._begin(exchange, streams)
        slot = self._slots[exchange, streams[0]]
        wait = self.settings.timeout_s if timeout is None else timeout
        if not slot.ready.wait(wait):
            if slot.view:
                view, _ = slot.view
                raise StaleData(
                    f"{slot.name}: expected a live book within {wait:g} s, saw it {view.state} ({view.reason});"
                    " check the connection"
                )
            raise DataUnavailable(
                f"{slot.name}: expected data within {wait:g} s, saw none; check the connection and the symbol"
            )
        if slot.error:
            raise slot.error

    def latest(self, exchange: str, kind: str, symbol: str, *, tf: str = "", depth: int | None = None) -> Any:
        """What is newest of a stream that was subscribed to.

        Args:
            exchange: as of `subscribe`, and so are `kind`, `symbol`, `tf`, `depth`.
            kind: orderbook, klines or trades.
            symbol: one, in any spelling.
            tf: timeframe of klines.
            depth: levels a side of a book.

        Returns:
            Of a book a dict: exchange, symbol, bids and asks as (price, qty) best first, `ts` (exchange time) and
            `ts_recv` in ns, `u` (update id), `age_s` (since it was received), `state` (always live). Of klines and
            trades a tuple of `Bar` or `Trade`, the newest last, at most 1,000; empty before the first.

        Raises:
            ConfigError: it was not subscribed to.
            StaleData: the book is not live, or older than `ingest.stale_s`; a book that cannot be trusted is never
                returned.
            DataUnavailable: the stream ended for a cause that cannot be repaired.
        """
        (stream,) = self._streams(kind, symbol, tf, depth)
        slot = self._slots.get((exchange, stream))
        if slot is None:
            raise ConfigError(f"{exchange} {symbol} {kind} {tf}: expected a subscription, saw none; subscribe first")
        if slot.error:
            raise slot.error
        return self._book(slot) if stream.kind == "book" else slot.rows

    def close(self) -> None:
        """End every stream, and the thread."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _streams(self, kind: str, symbols: str | Iterable[str], tf: str, depth: int | None) -> list[Stream]:
        if kind not in KINDS:
            raise ConfigError(f"kind: expected one of {', '.join(KINDS)}, saw {kind!r}; choose one of these")
        names = [symbols] if isinstance(symbols, str) else symbols
        return [Stream(KINDS[kind], name, tf, depth or self.settings.book_depth) for name in names]

    def _begin(self, exchange: str, streams: Sequence[Stream]) -> None:
        load_code(exchange)
        with self._lock:
            if self.closed:
                raise InvariantError("live streams: closed, and then asked for more; make a new manager")
            known = self._slots
            new = [s for s in dict.fromkeys(streams) if (exchange, s) not in known or known[exchange, s].error]
            if not new:
                return
            feed = LiveFeed(
                exchange,
                new,
                market_type=self.market_type,
                endpoints=self.endpoints,
                settings=self.settings,
                ssl=self._ssl,
            )
            slots = [_Slot(exchange, stream) for stream in new]
            known.update({(exchange, slot.stream): slot for slot in slots})
        self._loop.call_soon_threadsafe(self._start, feed, slots)

    def _book(self, slot: _Slot) -> dict[str, Any]:
        view, published = slot.view or (None, 0.0)
        age = time.monotonic() - published
        if view is None or view.state != "live":
            seen = f"it {view.state} ({view.reason})" if view else "nothing yet"
            raise StaleData(f"{slot.name}: expected a live book, saw {seen}; wait for the next snapshot")
        if age > self.settings.stale_s:
            raise StaleData(
                f"{slot.name}: expected a book of the last {self.settings.stale_s:g} s, saw one {age:.1f} s old;"
                " check the connection, or raise ingest.stale_s for a quiet market"
            )
        return {
            "exchange": slot.exchange,
            "symbol": view.symbol,
            "bids": view.bids,
            "asks": view.asks,
            "ts": view.ts,
            "ts_recv": view.ts_recv,
            "u": view.update_id,
            "age_s": age,
            "state": view.state,
        }

    # on the loop's thread

    def _start(self, feed: LiveFeed, slots: Sequence[_Slot]) -> None:
        task = self._loop.create_task(_publish(feed, slots))
        self._tasks.add(task)

        def finished(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            if not done.cancelled():
                _lose(slots, done.exception())

        task.add_done_callback(finished)

    async def _end(self) -> None:
        ending = list(self._tasks)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await self._loop.shutdown_default_executor()


async def _publish(feed: LiveFeed, slots: Sequence[_Slot]) -> None:
    """Read a feed to its end, and publish what is newest after each batch."""
    places = {(slot.stream.kind, slot.stream.symbol, slot.stream.tf): slot for slot in slots}
    async with feed:
        while batch := await feed.batch():
            touched = {}
            for noun in batch:
                slot = places[_place(noun)]
                touched[slot.name] = slot
                if isinstance(noun, (Bar, Trade)):
                    slot.recent.append(noun)
            for slot in touched.values():
                if slot.stream.kind == "book":
                    view = feed.book(slot.stream.symbol, slot.stream.depth)
                    slot.view = (view, time.monotonic())
                    (slot.ready.set if view.state == "live" else slot.ready.clear)()
                else:
                    slot.rows = tuple(slot.recent)
                    slot.ready.set()


def _place(noun: MarketEvent) -> tuple[str, str, str]:
    """The stream an event belongs to: kind, symbol, timeframe."""
    if isinstance(noun, (BookSnapshot, BookDelta, BookInvalid)):
        return "book", noun.symbol, ""
    return ("bars", noun.symbol, noun.tf) if isinstance(noun, Bar) else ("trades", noun.symbol, "")


def _lose(slots: Sequence[_Slot], error: BaseException | None) -> None:
    """Tell the readers why nothing more will come."""
    if not isinstance(error, ScalperError):
        error = InvariantError(f"live streams: ended by a bug of ours: {error!r}; report it")
    for slot in slots:
        slot.error = error
        slot.ready.set()


_lock = threading.Lock()
_manager: WSManager | None = None


def get_manager(endpoints: EndpointSettings | None = None, settings: IngestSettings | None = None) -> WSManager:
    """The process's own manager; closed when the program ends.

    Args:
        endpoints: where the exchanges live; None = as it is, or by settings file and environment.
        settings: timeouts, staleness; None = likewise.

    Raises:
        ConfigError: it runs already, with other endpoints or settings.
    """
    global _manager  # noqa: PLW0603 - one a process is the point
    with _lock:
        if _manager is None or _manager.closed:
            _manager = WSManager(endpoints=endpoints, settings=settings)
            atexit.register(_manager.close)
        if endpoints not in {None, _manager.endpoints} or settings not in {None, _manager.settings}:
            raise ConfigError("live streams run already with other settings; close them first, or use a WSManager")
        return _manager


def subscribe(
    exchange: str, kind: str, symbols: str | Iterable[str], *, tf: str = "", depth: int | None = None
) -> None:
    """`WSManager.subscribe` of the process's own manager."""
    get_manager().subscribe(exchange, kind, symbols, tf=tf, depth=depth)


def latest(exchange: str, kind: str, symbol: str, *, tf: str = "", depth: int | None = None) -> Any:
    """`WSManager.latest` of the process's own manager."""
    return get_manager().latest(exchange, kind, symbol, tf=tf, depth=depth)
