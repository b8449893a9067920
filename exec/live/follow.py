"""A trader follows a feed: the one loop of a live run, a bot, and a tape that is played to either."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from exec.live.closes import Closes, Due
from exec.trader import Instant, Trader
from utils.ports import Feed
from utils.rows import Rows
from utils.shell.aside import first_of
from utils.types import Bar

#: Time between two looks at the clock, s.
LOOK_S = 0.5

#: Asks for the closed bars of a symbol: (symbol, first close, last close) in ns, both included.
Fetch = Callable[[str, int, int], Awaitable[Rows]]


class Follower:
    """Hands a trader what a feed brings: events at once, bars when their close is complete or has waited enough.

    What it awaits are feed, clock and missed bars; features, signal and engine hold the loop for their own time.

    Args:
        trader: has seen its history, or goes on from a state.
        fetch: asks for bars that the feed missed.
        closes: after so many that could be decided on it is enough; None = go on.
        keep: told of each close when it has been decided, before anybody may act upon it.
        tell: told of it when it is kept.
        heard: the trader's folds listen to the feed: its events are not handed on to them a second time.
        until: what closed up to then while nobody followed is asked for first, and late; ns.
    """

    def __init__(
        self,
        trader: Trader,
        fetch: Fetch,
        *,
        closes: int | None = None,
        keep: Callable[[Instant], None] | None = None,
        tell: Callable[[Instant], None] | None = None,
        heard: bool = False,
        until: int = 0,
    ) -> None:
        self._trader, self._fetch, self._left, self._heard, self._until = trader, fetch, closes, heard, until
        self._told = [told for told in (keep, tell) if told is not None]
        self._closes = Closes(trader.market.symbols, trader.last, trader.market.tf_ns)
        self._deciding = asyncio.Lock()  # a close waits until the one before it has its missed bars

    async def follow(self, feed: Feed, for_s: float | None = None) -> None:
        """Until it is enough, the feed ends, or `for_s` seconds are over.

        Raises:
            ScalperError: the feed ended with it, missed bars could not be had, or a user's function gave no answer;
                what was decided until then stands.
        """
        if not self._enough:
            await self._take(self._closes.behind(self._until))
        await first_of(self._read(feed), self._look(), for_s=for_s)

    @property
    def _enough(self) -> bool:
        return self._left is not None and self._left <= 0

    async def _read(self, feed: Feed) -> None:
        """Events in the order in which they were heard: all go to the folds, of which a bar freezes its close."""
        async for event in feed:
            if not self._heard:
                self._trader.on_event(event)
            if isinstance(event, Bar):
                self._closes.see(event, self._now())
                await self._decide()
                if self._enough:
                    return

    async def _look(self) -> None:
        """Time passes whether something is heard or not."""
        while not self._enough:
            await self._decide()
            await asyncio.sleep(LOOK_S)

    async def _decide(self) -> None:
        """Every close that is due."""
        async with self._deciding:
            while not self._enough and (due := self._closes.due(self._now())):
                await self._take(due)

    async def _take(self, due: Due) -> None:
        """Decide a close and those before it that were missed."""
        fetched = [await self._fetch(*missed) for missed in due.missed]
        for bars, late in self._closes.instants(due, fetched):
            instant = self._trader.on_close(bars, late=late)
            if self._left is not None:
                self._left -= not late
            for told in self._told:
                told(instant)
            if late:
                await asyncio.sleep(0)  # there may be very many, and sockets have to be answered

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
