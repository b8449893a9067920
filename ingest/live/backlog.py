"""Events that wait for their reader, so many at most; a reader too slow for the market is never silently wrong."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence

from ingest.wire.streams import WireProtocol
from utils.types import BookInvalid, BookSnapshot, MarketEvent

#: Events whose time from socket to reader is remembered.
REMEMBERED = 10_000
#: More levels than any book has.
ALL_LEVELS = 1_000_000


class Backlog:
    """A bounded queue. What finds it full is dropped with all that waits, and every book begins anew.

    Args:
        room: most events that may wait.
        books: the protocol of each symbol whose book makes events.
    """

    def __init__(self, room: int, books: Mapping[str, WireProtocol]) -> None:
        self.room = max(room, 4 * len(books))  # with less, the books' new beginning would be dropped for ever
        self.books = books
        self.dropped = 0
        self._queue: deque[tuple[int, MarketEvent]] = deque()
        self._spent: deque[int] = deque(maxlen=REMEMBERED)
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, nouns: Sequence[MarketEvent], received: int) -> int:
        """Let events wait; returns how many were dropped.

        Args:
            nouns: the events of one message.
            received: when it came, ns of the process's clock.
        """
        lost = 0
        if len(self._queue) + len(nouns) > self.room:
            lost = self._begin_anew(nouns, received)
        else:
            self._queue.extend((received, noun) for noun in nouns)
        if nouns:
            self._news.set()
        return lost

    def take(self) -> MarketEvent:
        """The oldest event."""
        received, noun = self._queue.popleft()
        self.passed(received)
        return noun

    def passed(self, received: int) -> None:
        """What came at `received` (ns of the process's clock) has been dealt with."""
        self._spent.append(time.perf_counter_ns() - received)

    async def wait(self) -> None:
        """Until something comes, or `wake` is called."""
        self._news.clear()
        await self._news.wait()

    def wake(self) -> None:
        """Let the reader look up."""
        self._news.set()

    def latency_us(self, *shares: float) -> list[float]:
        """Quantiles of the time from socket to reader of the last events, µs; NaN before the first."""
        spent = sorted(self._spent)
        last = len(spent) - 1
        return [spent[min(last, int(share * len(spent)))] / 1e3 if spent else math.nan for share in shares]

    def _begin_anew(self, nouns: Sequence[MarketEvent], received: int) -> int:
        """Drop what waits and what comes; say so of each book, and give the live ones as they stand."""
        lost = [noun for _, noun in self._queue] + [*nouns]
        invalid = {noun.symbol: noun for noun in lost if isinstance(noun, BookInvalid)}
        self._queue.clear()
        for symbol, protocol in self.books.items():
            view = protocol.book(symbol, ALL_LEVELS)
            if view.state == "live":
                times = (view.ts, view.ts_recv)
                reason = f"reader too slow: {len(lost)} events dropped"
                self._queue.append((received, BookInvalid(symbol, *times, reason)))
                self._queue.append((received, BookSnapshot(symbol, *times, view.bids, view.asks)))
            elif symbol in invalid:
                self._queue.append((received, invalid[symbol]))
        self.dropped += len(lost)
        return len(lost)
