"""The markets that people ask for: each is followed from its first request on, and let go when nobody asks any more.

A market that cannot be had, whose data are late, or for which there is no place is an error with its cause and a time
after which asking again may help (`Later`), never an old answer.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import count

from exec.live.following import Followed, Following, History, Models, Way
from exec.live.names import Elsewhere, Key, Names
from exec.live.standing import Later, Standing
from exec.market import Market
from features.live import load_folds
from ingest.history import source_of
from ingest.venues.known import place_of
from utils.errors import ConfigError, ScalperError
from utils.market.symbols import linear_symbol
from utils.market.timeframes import normalise_timeframe
from utils.rows import NS_PER_MINUTE, NS_PER_S
from utils.settings.tree import Settings
from utils.shell.aside import aside
from utils.shell.log import event

__all__ = ["Desk", "Followed", "Later"]

#: Whoever asks for what somebody has to mend first is told to come again after so long, s.
MOST_WAIT_S = 60.0
#: Longest that a start waits for a tape, s; it is read on while others are answered already.
START_S = 10.0
#: Time between two looks for markets that nobody asks for, s.
LOOK_S = 1.0
#: Histories that are fetched at the same time.
AT_ONCE = 2
#: A service that ends sends whoever waits away for so long, s: another may have taken its place.
ENDS_S = 5.0
#: Spellings of a market that are remembered.
MOST_SPELLINGS = 16

logger = logging.getLogger("exec")


class Desk:
    """The markets that are followed, and what they say.

        async with Desk(settings, watch, history) as desk:
            (await desk.ask("BTCUSDT", "5m")).json(time.time_ns())

    Args:
        settings: `api` says where markets come from, how many and for how long; all else is as in a live run.
        watch: which model judges a market.
        history: the past of markets.
        ready: returns when there is machine code to work with, which no market is begun without; it may block.
        now_ns: the time, ns UTC.
    """

    def __init__(
        self,
        settings: Settings,
        watch: Models,
        history: History,
        *,
        ready: Callable[[], None] = load_folds,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._settings, self._watch, self._history, self._now_ns = settings, watch, history, now_ns
        self._ready = ready
        self._markets: dict[Key, Following] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._spelled: dict[Key, Following] = {}  # as it was asked for; at most some spellings a market
        self._names, self._few = Names(history), threading.Semaphore(AT_ONCE)
        self._listeners: list[Callable[[Standing], None]] = []
        self._numbers = count(1)
        self._waits: set[asyncio.Timeout] = set()  # of requests that wait for an answer
        self._ended = False
        self._tidying: asyncio.Task[None] | None = None
        self._tape: Market | None = None
        self._reading: asyncio.Task[None] | None = None  # of the tape
        self._way: Way = "exchange"
        self._source = self._reason = ""

    async def __aenter__(self) -> Desk:
        """Raises ConfigError or DataError: the tape cannot be read."""
        market, source = self._settings.market, self._settings.api.source
        self._source = source_of(self._settings)
        if (tape := self._settings.api.tape) is not None:
            self._way, self._source = "tape", f"tape:{tape.name}"
            self._reading = asyncio.create_task(self._read())
            await asyncio.wait([self._reading], timeout=START_S)  # what is wrong at once ends the start
            if self._reading.done():
                self._reading.result()
        elif source == "rest":
            self._way = "rest"
        elif (place := place_of(market.exchange, market.market_type)) is None or not place.market.ws:
            self._way, self._reason = "rest", f"there are no streams of {market.exchange} {market.market_type} here"
        self._tidying = asyncio.create_task(self._tidy())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()
        tasks = [*self._tasks.values(), *filter(None, [self._tidying, self._reading])]
        for key in list(self._markets):
            self._drop(key)
        for task in tasks:
            task.cancel()
        self._history.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._names.aclose()

    def end(self) -> None:
        """The service ends: whoever waits for an answer is told so at once, and nobody may wait any more."""
        self._ended = True
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(0.0)
        self._waits.clear()

    # --- asking

    def standing(self, symbol: str, tf: str) -> Standing | None:
        """What a market says, spelled as it was asked for before; None = `ask`."""
        market = self._spelled.get((symbol, tf))
        if market is None:
            return None
        now = self._now_ns()
        standing = market.at_hand(now)
        if standing is not None:
            market.used = now
            market.asked += 1
        return standing

    async def ask(self, symbol: str, tf: str) -> Standing:
        """What a market says; it is followed from now on. A request waits at most `api.timeout_s`.

        Args:
            symbol: in any spelling of `utils.market.symbols.linear_symbol`.
            tf: likewise of `utils.market.timeframes.normalise_timeframe`.

        Raises:
            ConfigError: no such symbol or timeframe, the nearest known are named; or it is settled in its coin.
            Later: it cannot be had, its data are late, there is no place for it, or the service ends.
        """
        name, timeframe = linear_symbol(symbol), normalise_timeframe(tf)
        market = await self._settled(name, timeframe)
        if self._names.of(market.symbol) != market.symbol:
            market = await self._settled(name, timeframe)
        self._names.check((market.symbol, timeframe))
        now = self._now_ns()
        standing = market.at_hand(now)
        if standing is None:
            raise Later(*market.trouble(now))
        if sum(one is market for one in self._spelled.values()) < MOST_SPELLINGS:
            self._spelled[symbol, tf] = market
        return standing

    async def _settled(self, name: str, tf: str) -> Following:
        """The market as it is when there is an answer, or a reason why there is none; raises as `ask`."""
        name = self._names.of(name)
        market = self._markets.get((name, tf))
        if self._ended and (market is None or not market.settled.is_set()):
            raise self._ends(name, tf)
        wait = asyncio.timeout(self._settings.api.timeout_s)
        try:
            async with wait:
                self._waits.add(wait)
                market = market or await self._begun(name, tf)
                market.used = self._now_ns()
                market.asked += 1
                await market.settled.wait()
                market.used = self._now_ns()  # a history may take longer than a market is kept unused
        except TimeoutError:
            if self._ended:
                raise self._ends(name, tf) from None
            cause = f"{name} {tf}: {self._source} is being asked for it; ask again"
            raise Later(*(market.trouble(self._now_ns()) if market else (cause, 2.0))) from None
        finally:
            self._waits.discard(wait)
        return market

    @staticmethod
    def _ends(name: str, tf: str) -> Later:
        return Later(f"{name} {tf}: the service ends before it has an answer; ask again", ENDS_S)

    # --- what the rest of the process wants of it

    def markets(self) -> list[Followed]:
        """How it stands with each market that is followed."""
        now = self._now_ns()
        return [market.told(now) for market in self._markets.values()]

    def changed(self) -> None:
        """Another model serves: each market is advised anew at its last close."""
        for market in self._markets.values():
            market.changed()

    def listen(self, callback: Callable[[Standing], None]) -> None:
        """Have each new standing told to `callback`, in the order of their numbers; it must not block."""
        self._listeners.append(callback)

    # --- markets come and go

    async def _begun(self, name: str, tf: str) -> Following:
        """The market, followed from now on if it was not.

        Raises:
            ConfigError: there is none.
            Later: there is no place for it.
        """
        if self._reading is not None:
            try:
                await asyncio.shield(self._reading)
            except ScalperError as error:
                raise Later(str(error), MOST_WAIT_S) from None
        if self._tape is not None:
            (only,) = self._tape.symbols
            if (name, tf) != (only, self._tape.tf):
                raise ConfigError(
                    f"{self._source}: expected {only} at {self._tape.tf}, which is all that it holds, "
                    f"saw {name} at {tf}; ask for that"
                )
        else:
            self._names.check((name, tf))
            if len(self._markets) >= self._settings.api.max_markets:  # for a stranger no market is let go
                name = await self._names.look_up(name)
        key = (name, tf)
        if (market := self._markets.get(key)) is not None:  # somebody asked meanwhile, or it has another name here
            return market
        self._make_place()
        market = Following(
            name,
            tf,
            self._way,
            self._settings,
            self._watch,
            partial(self._past, name, tf),
            ready=self._ready,
            publish=self._publish,
            number=lambda: next(self._numbers),
            now_ns=self._now_ns,
            source=self._source,
            reason=self._reason,
        )
        self._markets[key] = market
        self._tasks[key] = asyncio.create_task(self._follow(key, market))
        return market

    async def _read(self) -> None:
        """Read the tape."""
        try:
            self._tape = await aside(self._history.tape)
        except ScalperError as error:
            event(logger, "tape_unreadable", str(error), severity=logging.ERROR)
            raise

    def _past(self, name: str, tf: str) -> Market:
        """The past of a market; called in a thread, of which few ask at once.

        Raises:
            ConfigError: there is none, or it has another name.
        """
        if self._tape is not None:
            return self._tape
        with self._few:
            market = self._history.market(name, tf)
        if market.symbols[0] != name:
            raise Elsewhere(market.symbols[0])
        return market

    async def _follow(self, key: Key, market: Following) -> None:
        """Follow a market until there turns out to be none."""
        try:
            await market.run()
        except Elsewhere as error:
            self._names.learn(market.symbol, error.name)
            self._drop(key)
        except ConfigError as error:
            self._names.refuse(key, error)
            self._drop(key)

    def _make_place(self) -> None:
        """See that there is a place for one more market.

        Raises:
            Later: there is none.
        """
        api, now = self._settings.api, self._now_ns()
        if len(self._markets) < api.max_markets:
            return
        key = min(self._markets, key=lambda one: (not self._markets[one].settled.is_set(), self._markets[one].used))
        left_s = (api.idle_minutes * NS_PER_MINUTE - (now - self._markets[key].used)) / NS_PER_S
        if left_s > 0.0 or not self._markets[key].settled.is_set():
            raise Later(
                f"api.max_markets: all {api.max_markets} places are taken, and none has been without a request for "
                f"{api.idle_minutes:g} minutes; ask again later, or set it higher",
                max(1.0, left_s),
            )
        self._drop(key)

    def _drop(self, key: Key) -> None:
        """Follow a market no more."""
        market, task = self._markets.pop(key), self._tasks.pop(key)
        self._spelled = {spelling: one for spelling, one in self._spelled.items() if one is not market}
        market.settled.set()  # whoever waits for it has nothing to wait for
        if task is not asyncio.current_task():
            task.cancel()
        event(logger, "market_dropped", symbol=market.symbol, timeframe=market.tf)

    async def _tidy(self) -> None:
        """Let go of markets that nobody asks for, but of none whose first answer is still waited for."""
        idle_ns = self._settings.api.idle_minutes * NS_PER_MINUTE
        while True:
            await asyncio.sleep(LOOK_S)
            now = self._now_ns()
            idle = [key for key, one in self._markets.items() if one.settled.is_set() and now - one.used > idle_ns]
            for key in idle:
                self._drop(key)

    def _publish(self, standing: Standing) -> None:
        for callback in self._listeners:
            callback(standing)
