"""A live market as one feed: bars of one exchange, books and prints of the same or another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AsyncExitStack

from ingest.live.feed import LiveFeed, load_code
from ingest.live.together import Hear, Together
from ingest.venues.known import VENUES, place_of
from ingest.wire.streams import Stream
from utils.ports import Listener
from utils.rows import NS_PER_MS
from utils.settings.tree import Settings
from utils.shell.aside import aside
from utils.types import BookSnapshot, MarketEvent

#: Time between two books of an exchange without a stream of ours, s.
POLL_S = 2.0
#: Levels asked for by REST.
REST_LEVELS = 50


class MarketFeed:
    """Bars of the configured exchange, and books and prints of this or another one (`utils.ports.Feed`).

    It is read once, inside its `async with`, in which the sockets are open. Where all comes from one exchange its feed
    is read itself; several are put together in the order in which they are heard. A stream that cannot be had raises
    its error from the reading.

    Args:
        symbols: exchange ids.
        tf: timeframe of the bars.
        exchange_for_ob: where books and prints come from: by stream where we have one, else books by REST every other
            second, and no prints.
        settings: exchange, addresses, patience.
        listener: is told of each message at hearing, wherever it comes from; who reads then gets all events but deltas.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        tf: str,
        exchange_for_ob: str,
        settings: Settings,
        *,
        listener: Listener | None = None,
    ) -> None:
        self._settings, self._listener = settings, listener
        bars = [Stream("bars", symbol, tf) for symbol in symbols]
        books = [Stream("book", symbol, depth=settings.ingest.book_depth) for symbol in symbols]
        prints = [Stream("trades", symbol) for symbol in symbols]
        wanted = {settings.market.exchange: bars}
        streamed = place_of(exchange_for_ob, settings.market.market_type) is not None
        if streamed:
            wanted[exchange_for_ob] = wanted.get(exchange_for_ob, []) + books + prints
        self._feeds = [self._feed(exchange, streams) for exchange, streams in wanted.items()]
        self._polled = [] if streamed else [polled_books(symbol, exchange_for_ob, settings) for symbol in symbols]
        self._open = AsyncExitStack()

    async def __aenter__(self) -> MarketFeed:
        async with AsyncExitStack() as opening:
            for feed in self._feeds:
                await opening.enter_async_context(feed)
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def __aiter__(self) -> AsyncIterator[MarketEvent]:
        hear = None if self._listener is None else self._listener.see
        sources: list[tuple[AsyncIterable[MarketEvent], Hear | None]] = [
            *((feed, None) for feed in self._feeds),
            *((books, hear) for books in self._polled),
        ]
        if len(sources) == 1:
            return aiter(sources[0][0])
        together = Together(sources, self._settings.ingest.queue)
        self._open.push_async_exit(together)
        return aiter(together)

    def _feed(self, exchange: str, streams: Sequence[Stream]) -> LiveFeed:
        settings = self._settings
        return LiveFeed(
            exchange,
            streams,
            market_type=settings.market.market_type,
            endpoints=settings.endpoints,
            settings=settings.ingest,
            listener=self._listener,
        )


def load_books() -> None:
    """Load the machine code of all exchanges' books, or make it, before a market would have to wait for it."""
    for exchange in VENUES:
        load_code(exchange)


async def polled_books(symbol: str, exchange: str, settings: Settings) -> AsyncIterator[BookSnapshot]:
    """Books by REST, as events, for ever.

    Raises:
        DataUnavailable: the exchange did not answer, answered garbage, or banned us.
    """
    from ingest.orderbook_ccxt import get_orderbook

    while True:
        book = await aside(
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
        yield BookSnapshot(symbol, ts, max(ts, now), *sides)
        await asyncio.sleep(POLL_S)
