"""Closed bars and books of a live market for a reader that is no coroutine: sockets live on a thread of their own."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from ingest.live.feed import LiveFeed
from ingest.venues.known import place_of
from ingest.wire.streams import Stream
from utils.errors import InvariantError, ScalperError
from utils.rows import NS_PER_MS
from utils.settings.tree import Settings
from utils.types import BookSnapshot, MarketEvent

#: Time between two books of an exchange without a stream of ours, s.
POLL_S = 2.0
#: Time between two looks at a full queue, s.
FULL_S = 0.01
#: Levels asked for by REST.
REST_LEVELS = 50


class MarketStream:
    """Bars of the configured exchange, and books and prints of this or another one, as one queue of events.

    All come through the queue together, so a reader sees them in the order in which they arrived. A stream
    that cannot be had raises its error from `get`.

    Args:
        symbols: exchange ids.
        tf: timeframe of the bars.
        exchange_for_ob: where books and prints come from: by stream where we have one, else books by REST every other
            second, and no prints.
        settings: exchange, addresses, patience.
    """

    def __init__(self, symbols: Sequence[str], tf: str, exchange_for_ob: str, settings: Settings) -> None:
        self._settings, self._symbols = settings, tuple(symbols)
        bars = [Stream("bars", symbol, tf) for symbol in symbols]
        books = [Stream("book", symbol, depth=settings.ingest.book_depth) for symbol in symbols]
        prints = [Stream("trades", symbol) for symbol in symbols]
        self._feeds: dict[str, list[Stream]] = {settings.market.exchange: bars}
        streamed = place_of(exchange_for_ob, settings.market.market_type) is not None
        if streamed:
            self._feeds[exchange_for_ob] = self._feeds.get(exchange_for_ob, []) + books + prints
        self._polled = None if streamed else exchange_for_ob
        self._queue: queue.Queue[MarketEvent] = queue.Queue(settings.ingest.queue)
        self._failure: ScalperError | None = None
        self._begun = threading.Event()
        self._stop: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._serve, name="market-stream", daemon=True)

    def __enter__(self) -> MarketStream:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._begun.wait()
        # the loop may have ended by itself meanwhile
        with contextlib.suppress(RuntimeError):
            self._stop()
        self._thread.join()

    def get(self, timeout_s: float) -> MarketEvent | None:
        """The next event; None when none came in time.

        Raises:
            DataUnavailable: the exchange did not answer, answered garbage, or banned us.
        """
        try:
            return self._queue.get(timeout=timeout_s) if timeout_s > 0.0 else self._queue.get_nowait()
        except queue.Empty:
            if self._thread.is_alive():
                return None
        raise self._failure or InvariantError("the market stream ended without an error")

    def _serve(self) -> None:
        """The thread: feeds until they end or are stopped."""
        try:
            asyncio.run(self._all())
        except asyncio.CancelledError:
            pass
        except ScalperError as error:
            self._failure = error
        finally:
            self._begun.set()

    async def _all(self) -> None:
        """Every feed side by side; the first error ends them all."""
        loop, work = asyncio.get_running_loop(), asyncio.current_task()
        self._stop = lambda: loop.call_soon_threadsafe(work.cancel) if work else None
        self._begun.set()
        tasks = [asyncio.create_task(self._feed(name, streams)) for name, streams in self._feeds.items()]
        if self._polled is not None:
            tasks += [asyncio.create_task(self._poll(self._polled, symbol)) for symbol in self._symbols]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                if not task.cancelling():  # a second cancel would cut short what closes its sockets
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _put(self, item: MarketEvent) -> None:
        """Hand an event over; while the reader lags the feed waits, and in time says that it dropped some."""
        while self._queue.full():  # noqa: ASYNC110 - the reader is a thread, and no event of asyncio's can tell of it
            await asyncio.sleep(FULL_S)
        self._queue.put(item)

    async def _feed(self, exchange: str, streams: Sequence[Stream]) -> None:
        settings = self._settings
        async with LiveFeed(
            exchange,
            streams,
            market_type=settings.market.market_type,
            endpoints=settings.endpoints,
            settings=settings.ingest,
        ) as feed:
            async for event in feed:
                await self._put(event)

    async def _poll(self, exchange: str, symbol: str) -> None:
        """Books by REST, as events."""
        from ingest.orderbook_ccxt import get_orderbook

        settings = self._settings
        while True:
            book = await asyncio.to_thread(
                get_orderbook,
                symbol,
                exchange,
                settings.market.market_type,
                REST_LEVELS,
                endpoints=settings.endpoints,
                settings=settings.ingest,
                fresh=True,
            )
            # venues that stamp no book: it is as old as its journey at most
            now = time.time_ns()
            ts = int(book["timestamp"]) * NS_PER_MS if book["timestamp"] else now
            sides = (tuple((float(price), float(qty)) for price, qty, *_ in book[side]) for side in ("bids", "asks"))
            await self._put(BookSnapshot(symbol, ts, max(ts, now), *sides))
            await asyncio.sleep(POLL_S)
