"""A market without streams: closed bars and books as an exchange answers by REST."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

from ingest.history import newest_bar
from ingest.live.market import polled_books
from ingest.live.together import Together
from utils.market.timeframes import TIMEFRAMES
from utils.ports import Listener
from utils.rows import NS_PER_MS, NS_PER_S
from utils.settings.tree import Settings
from utils.shell.aside import aside
from utils.types import Bar, MarketEvent

#: A bar that should have closed and is not there yet is asked for again after so long, s.
AGAIN_S = 1.0
#: Longest wait between two looks at the clock, s: it may be set, and the machine may sleep.
LOOK_S = 1.0


class PolledFeed:
    """Closed bars and books of the configured exchange by REST (`utils.ports.Feed`); prints there are none.

    Each reading begins with the newest closed bar of each symbol. The next one is asked for when its close is due and
    `simulation.bar_delay_ms` has passed, and again until it is there; bars between are not brought. Books come every
    other second. An exchange that does not answer, answers garbage, or has banned us raises DataUnavailable from the
    reading.

    Args:
        symbols: exchange ids.
        tf: timeframe of the bars.
        settings: exchange, addresses, patience, life of a cached answer.
        listener: is told of each event before the reader.
        now_ns: the clock by which closes are due, ns.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        tf: str,
        settings: Settings,
        *,
        listener: Listener | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._symbols, self._tf, self._settings, self._listener, self._now_ns = symbols, tf, settings, listener, now_ns

    async def __aiter__(self) -> AsyncIterator[MarketEvent]:
        hear = None if self._listener is None else self._listener.see
        exchange = self._settings.market.exchange
        books = [(polled_books(symbol, exchange, self._settings), hear) for symbol in self._symbols]
        bars = [(self._bars(symbol), hear) for symbol in self._symbols]
        async with Together([*bars, *books], self._settings.ingest.queue) as together:
            async for event in together:
                yield event

    async def _bars(self, symbol: str) -> AsyncIterator[Bar]:
        """The newest closed bar, and then each as it closes, for ever."""
        length, delay = TIMEFRAMES[self._tf], round(self._settings.simulation.bar_delay_ms * NS_PER_MS)
        bar = await aside(newest_bar, symbol, self._tf, self._settings)
        while True:
            yield bar
            last = bar.ts
            await self._closed(last + length + delay, (length + delay) / NS_PER_S)
            bar = await aside(newest_bar, symbol, self._tf, self._settings)
            while bar.ts <= last:  # the cache would say so again
                await asyncio.sleep(AGAIN_S)
                bar = await aside(newest_bar, symbol, self._tf, self._settings, fresh=True)

    async def _closed(self, due: int, most_s: float) -> None:
        """Wait until the clock says `due` (ns); at most so long, for it may be set back."""
        latest_s = time.monotonic() + most_s
        while True:
            left_s = min((due - self._now_ns()) / NS_PER_S, latest_s - time.monotonic())
            if left_s <= 0.0:
                return
            await asyncio.sleep(min(left_s, LOOK_S))
