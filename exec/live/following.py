"""One market followed for as long as somebody asks for it: by streams, by REST while there are none, or from a tape.

    starting ──▶ streaming ◀──▶ polling          a tape: starting ──▶ tape
        │            │             │
        └────────────┴──▶ failed ◀─┘             tried again after a wait that doubles

The trader outlives all of them: what closed meanwhile is asked for, late, and it goes on. Only where more closed than
its history holds, it begins anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from exec.advice import Adviser
from exec.champion import Champion
from exec.live.closes import GRACE_S
from exec.live.follow import Follower
from exec.live.standing import Standing, age_s, standing_of
from exec.market import Market
from exec.trader import Instant
from features.live import EventFeatures, Stamps
from ingest.history import newest_bar, rest_backfill
from ingest.live.market import MarketFeed
from ingest.live.polled import PolledFeed
from utils.errors import ConfigError, DataError, DataUnavailable, ProtocolError, StorageError
from utils.market.timeframes import MONDAY, TIMEFRAMES
from utils.ports import Feed
from utils.rows import NS_PER_MS, NS_PER_S, Rows
from utils.settings.tree import Settings
from utils.shell.aside import aside, first_of
from utils.shell.backoff import Backoff
from utils.shell.log import event
from utils.shell.moments import at_ms
from utils.types import Bar, BookInvalid, MarketEvent

#: Time between two looks at whether streams still bring anything, s.
LOOK_S = 0.5
#: A bar that streams have not brought so long after it was due is asked for by REST, s; well before `FRESH_S`.
LATE_S = 2.0 * GRACE_S
#: A close is believed until the next one, with `simulation.bar_delay_ms`, is overdue by so much, s.
FRESH_S = 15.0

logger = logging.getLogger("exec")

State: TypeAlias = Literal["starting", "streaming", "polling", "failed", "tape"]
#: How a market is followed.
Way: TypeAlias = Literal["exchange", "rest", "tape"]


class History(Protocol):
    """The past of markets (`backtest.run.apart.Apart`); each call may block, and is made from a thread of its own."""

    def market(self, symbol: str, tf: str) -> Market:
        """The last `api.history_bars` closed candles of an exchange id.

        Raises:
            ConfigError: there is no such market; the nearest are named.
            DataUnavailable: it cannot be had.
        """
        ...

    def listing(self, symbol: str) -> str:
        """The exchange id under which the exchange lists a symbol; raises as `market`."""
        ...

    def tape(self) -> Market:
        """All candles of the file that `api.source` names.

        Raises:
            ConfigError: it is none of candles.
            DataError: it is missing or wrong.
        """
        ...

    def close(self) -> None:
        """What is asked for ends with an error: nobody waits for it any more."""
        ...


class Models(Protocol):
    """Which model judges a market (`exec.live.watch.ModelWatch`)."""

    def of(self, symbol: str, tf: str) -> tuple[Champion | None, str]:
        """The model, or None and why there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Followed:
    """How it stands with a market."""

    symbol: str
    tf: str
    state: State
    reason: str  # why it is in no better state; "" = there is no better
    fresh: bool  # somebody who asks now gets an answer
    silent: bool  # its streams are there, and bring no book
    last: int  # close of its last bar, ns; 0 = none yet
    bar_s: float | None  # age of that, s
    book_s: float | None  # since the last update of its book, s; None = none is valid
    prints_s: float | None  # since the last print, s; None = none is known
    asked: int  # requests
    closes: int  # that were advised on
    lost: int  # times that streams were lost, or were not to be had


class Following:
    """A market, from its first request until nobody asks for it any more.

    Args:
        symbol: exchange id.
        tf: timeframe.
        way: by streams, and REST while there are none; by REST alone; or not at all, as of a tape.
        settings: exchange, patience, strategy.
        models: which model judges it.
        past: its closed bars until now; may block.
        ready: returns when there is machine code to work with; may block.
        publish: told of each standing when it is there.
        number: the next standing's.
        now_ns: the time, ns UTC.
        source: where it comes from.
        reason: why it is not followed by streams, where it is not.
    """

    def __init__(
        self,
        symbol: str,
        tf: str,
        way: Way,
        settings: Settings,
        models: Models,
        past: Callable[[], Market],
        *,
        ready: Callable[[], None],
        publish: Callable[[Standing], None],
        number: Callable[[], int],
        now_ns: Callable[[], int],
        source: str,
        reason: str = "",
    ) -> None:
        self.symbol, self.tf, self._way, self._source = symbol, tf, way, source
        self._settings, self._models, self._past, self._ready = settings, models, past, ready
        self._publish, self._number, self._now_ns = publish, number, now_ns
        self._tf_ns = TIMEFRAMES[tf]
        self._delay_ns = round(settings.simulation.bar_delay_ms * NS_PER_MS)
        self._patience_s = (self._tf_ns + self._delay_ns) / NS_PER_S + FRESH_S  # with the last close
        self._closed_s = 0.0  # when that was decided, by a clock that nobody sets
        self._book_s = 0.0  # when its streams last brought a book, likewise
        self._backoff = Backoff(settings.ingest.backoff_s, settings.ingest.backoff_max_s)
        self._events: EventFeatures | None = None
        self._adviser: Adviser | None = None
        self._instant: Instant | None = None
        self._lost_by = reason
        self._by = "REST"  # how the last bar came
        self._behind = False  # another model serves than the one that judged the last close
        self._again_s = 0.0  # when a failed market is tried again, by the loop's clock
        self.state: State = "starting"
        self.reason = "its history is being fetched"
        self.standing: Standing | None = None
        self.settled = asyncio.Event()  # there is an answer, or a reason why there is none
        self.used = now_ns()
        self.asked = self.closes = self.lost = 0

    async def run(self) -> None:
        """Follow it until cancelled; what goes wrong is tried again for ever.

        Raises:
            ConfigError: there is no such market.
        """
        work = self._play if self._way == "tape" else self._serve
        while True:
            try:
                await aside(self._ready)
                self._events = self._events or EventFeatures([self.symbol], [MONDAY], self._tf_ns)
                await work()
            except ConfigError:
                raise
            except (DataError, DataUnavailable, ProtocolError, StorageError) as error:
                self._fail(str(error))
            except Exception as error:  # one market's bug is not the end of the others
                logger.exception("%s %s", self.symbol, self.tf)
                self._adviser = self._events = None
                self._fail(f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._again_s - asyncio.get_running_loop().time())

    def changed(self) -> None:
        """Another model serves: what was said of the last close is said anew, where it may still be believed."""
        self._behind = True
        instant = self._instant
        if instant is not None and not instant.late and self.at_hand(self._now_ns()) is not None:
            self._advise(instant)

    def at_hand(self, now_ns: int) -> Standing | None:
        """What it says, where it may be believed."""
        standing = self.standing
        if standing is None or self.state == "failed" or not standing.fresh(now_ns):
            return None
        # a clock that was set back makes nothing fresh
        return standing if self._way == "tape" or time.monotonic() - self._closed_s <= self._patience_s else None

    def trouble(self, now_ns: int) -> tuple[str, float]:
        """Why it says nothing, and after how many seconds asking again may help."""
        about = f"{self.symbol} {self.tf}"
        if self.state == "failed":
            return f"{about}: {self.reason}", max(1.0, self._again_s - asyncio.get_running_loop().time())
        if self.standing is None:
            return f"{about}: {self.reason}; ask again", 2.0
        last = self.standing.ts
        due = max(last + self._tf_ns, (now_ns - self._delay_ns) // self._tf_ns * self._tf_ns)
        return (
            f"{about}: expected the close of {at_ms(due // NS_PER_MS)}, the last that came is of "
            f"{at_ms(last // NS_PER_MS)}; it is being asked for"
        ), 5.0

    def told(self, now_ns: int) -> Followed:
        """How it stands."""
        last = 0 if self.standing is None else self.standing.ts
        now_ns = last if self._way == "tape" else now_ns
        stamps = self._stamps()
        stale_s = self._settings.ingest.stale_s
        silent = self.state == "streaming" and time.monotonic() - self._book_s > stale_s
        why = f"its streams have brought no valid book for more than {stale_s:g} s"
        return Followed(
            symbol=self.symbol,
            tf=self.tf,
            state=self.state,
            reason=self.reason or (why if silent else ""),
            fresh=self.at_hand(now_ns) is not None,
            silent=silent,
            last=last,
            bar_s=age_s(last, now_ns),
            book_s=age_s(stamps.book, now_ns),
            prints_s=age_s(stamps.print, now_ns),
            asked=self.asked,
            closes=self.closes,
            lost=self.lost,
        )

    # --- how it is followed

    async def _play(self) -> None:
        """A recording stands still at its last close."""
        await self._begin()
        self._turn("tape")
        await asyncio.Event().wait()

    async def _serve(self) -> None:
        """By streams while there are some, else by REST; ends with the error of the latter."""
        while True:
            if self._way == "exchange":
                try:
                    with self._proving():
                        await self._stream()
                except DataUnavailable as error:
                    if self._adviser is None:  # it was its history that could not be had
                        raise
                    self._lose(str(error))
            with self._proving():
                await self._poll()

    @contextlib.contextmanager
    def _proving(self) -> Iterator[None]:
        """What has gone well for long enough is tried again soon when it ends."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            if time.monotonic() - began_s >= self._settings.ingest.backoff_max_s:
                self._backoff.reset()

    async def _stream(self) -> None:
        """By streams, until they bring no more."""
        symbols, exchange = [self.symbol], self._settings.market.exchange
        # they open first, so that no bar can close between the history and them
        async with MarketFeed(symbols, self.tf, exchange, self._settings, listener=self._events) as feed:
            resumed = self._adviser is not None
            await self._begin()
            newest = await self._newest() if resumed else ()
            await first_of(self._follow(self._marked(feed, "streaming", newest)), self._watch())

    async def _newest(self) -> Sequence[Bar]:
        """The bar that closed between two ways of following; without it the next one shows that it is missing."""
        with contextlib.suppress(DataUnavailable):
            return [await aside(newest_bar, self.symbol, self.tf, self._settings, fresh=True)]
        return ()

    async def _poll(self) -> None:
        """By REST, until there are streams."""
        await self._begin()
        feed = PolledFeed([self.symbol], self.tf, self._settings, listener=self._events, now_ns=self._now_ns)
        works = [self._follow(self._marked(feed, "polling"))]
        if self._way == "exchange":
            works.append(self._streams_again())
        await first_of(*works)

    async def _begin(self) -> None:
        """See the history, if there was none yet or it lies too far back, and advise on its last close."""
        if self._adviser is not None:
            behind = self._now_ns() - self._adviser.last[0]
            if behind <= self._settings.api.history_bars * self._tf_ns:
                return
            self._adviser = None

        def made() -> tuple[Adviser, Instant]:
            adviser = Adviser(self._past(), self._settings, live=self._way != "tape", events=self._events)
            return adviser, adviser.begin()

        self._adviser, instant = await aside(made)
        self._by = "REST"
        self._tell(instant)

    async def _follow(self, feed: Feed) -> None:
        adviser = self._adviser
        if adviser is None:
            return
        backfill = rest_backfill(self.tf, self._settings)

        async def fetch(symbol: str, first: int, last: int) -> Rows:
            return await aside(backfill, symbol, first, last)

        await Follower(adviser, fetch, tell=self._tell, heard=True).follow(feed)

    async def _streams_again(self) -> None:
        """Ends when streams can be had."""
        exchange = self._settings.market.exchange
        while True:
            await asyncio.sleep(self._backoff.wait_s())
            with contextlib.suppress(DataUnavailable):
                async with MarketFeed([self.symbol], self.tf, exchange, self._settings) as feed:
                    async for heard in feed:
                        if not isinstance(heard, BookInvalid):
                            return

    async def _watch(self) -> None:
        """Notice that streams bring nothing: their sockets are dialled for ever, and a bar may be lost on its way.

        Raises:
            DataUnavailable: they do not.
        """
        loop, ingest = asyncio.get_running_loop(), self._settings.ingest
        patience_s = ingest.stale_s + ingest.timeout_s
        seen, since_s = self._stamps(), loop.time()
        self._book_s = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            if (stamps := self._stamps()) != seen:
                if stamps.book not in (0, seen.book):
                    self._book_s = time.monotonic()
                seen, since_s = stamps, loop.time()
            if loop.time() - since_s > patience_s:
                raise DataUnavailable(f"its streams have brought nothing for {patience_s:g} s")
            due = self._last + self._tf_ns
            if self._now_ns() - due - self._delay_ns > LATE_S * NS_PER_S:
                raise DataUnavailable(f"its streams did not bring the bar of {at_ms(due // NS_PER_MS)}")

    async def _marked(
        self, feed: AsyncIterable[MarketEvent], state: State, first: Sequence[Bar] = ()
    ) -> AsyncIterator[MarketEvent]:
        """These bars, then what a feed brings; the first thing of it that is whole shows that it is there."""
        self._by = "REST"
        for bar in first:
            yield bar
        async for heard in feed:
            if self.state != state and not isinstance(heard, BookInvalid):
                self._turn(state)
            if isinstance(heard, Bar):
                self._by = "streams" if state == "streaming" else "REST"
            yield heard

    # --- what follows from it

    def _tell(self, instant: Instant) -> None:
        """A close was decided; of those that nobody could act on nothing is said."""
        self._instant = instant
        if not instant.late:
            self._closed_s = time.monotonic()
            self._advise(instant)

    def _advise(self, instant: Instant) -> None:
        if self._adviser is None:
            return
        self._behind = False
        advice = self._adviser.advise(instant, *self._models.of(self.symbol, self.tf))
        self.standing = standing_of(
            self._number(),
            advice,
            int(instant.bars["ts"][-1]),
            self._source if self._way == "tape" else f"{self._source} by {self._by}",
            self._stamps,
            patience_ns=None if self._way == "tape" else round(self._patience_s * NS_PER_S),
        )
        self.closes += 1
        self.settled.set()
        self._publish(self.standing)

    @property
    def _last(self) -> int:
        """Close of the last bar, ns."""
        return 0 if self._adviser is None else self._adviser.last[0]

    def _stamps(self) -> Stamps:
        return Stamps(0, 0) if self._events is None else self._events.stamps(self.symbol)

    def _turn(self, state: State) -> None:
        """All is well, or as well as it can be."""
        self.state, self.reason = state, self._lost_by if state == "polling" else ""
        event(logger, f"market_{state}", self.reason, symbol=self.symbol, timeframe=self.tf)
        if self._behind:  # it came while nothing could be said
            self.changed()

    def _lose(self, reason: str) -> None:
        """Streams are gone, and with them the book."""
        self.lost += 1
        self._lost_by = reason
        stamps = self._stamps()
        if self._events is not None and stamps.book:
            now = max(stamps)
            self._events.see(BookInvalid(self.symbol, now, now, reason))

    def _fail(self, reason: str) -> None:
        """Nobody answers."""
        if self.state != "failed":
            event(
                logger, "market_failed", reason, severity=logging.WARNING, symbol=self.symbol, timeframe=self.tf
            )  # fmt: skip
        self.state, self.reason = "failed", reason
        self._again_s = asyncio.get_running_loop().time() + self._backoff.wait_s()
        self.settled.set()
