"""What a process that answers for markets does beside answering: it follows them, watches the model, tells readers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from pydantic import Field

from exec.advice import Said
from exec.live.desk import Desk
from exec.live.following import History
from exec.live.health import Health, figures_of, health_of
from exec.live.standing import Standing
from exec.live.watch import ModelWatch
from features.live import load_folds
from utils.errors import ScalperError
from utils.http.events import Hub, Topic
from utils.http.traffic import Figure
from utils.settings.tree import Settings
from utils.shell.aside import aside

#: Time between two looks at the disk for another model, and at what is read, s.
LOOK_S = 1.0

logger = logging.getLogger("exec")


class Stale(Said):
    """Of a market nothing can be said now; its next signal ends that."""

    symbol: str = Field(description="Exchange id.")
    timeframe: str = Field(description="Length of a candle.")
    reason: str = Field(description="Why, in one sentence.")


class Service:
    """A desk, the model that serves, and the readers of a stream; an async context manager.

    Args:
        settings: `api` and all that a desk reads.
        config: the settings file, which is watched for another model; None = the one beside the program.
        history: the past of a market.
        ready: as of a desk.
    """

    def __init__(
        self, settings: Settings, config: Path | None, history: History, ready: Callable[[], None] = load_folds
    ) -> None:
        api = settings.api
        self._settings, self._config, self._history, self._ready = settings, config, history, ready
        self.hub = Hub(
            f"{time.time_ns():x}{os.getpid():x}",
            self._stands,
            kept=api.kept_events,
            heartbeat_s=api.heartbeat_s,
            most=api.max_streams,
        )
        self._said: dict[Topic, Standing] = {}  # of each market that is followed the newest
        self._stale: dict[Topic, bytes] = {}  # markets of which that was told, and how
        self._asking: dict[Topic, asyncio.Task[None]] = {}
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Service:
        async with contextlib.AsyncExitStack() as opening:
            self.watch = await aside(ModelWatch, self._settings, self._config)
            self.desk = await opening.enter_async_context(
                Desk(self._settings, self.watch, self._history, ready=self._ready)
            )
            self.desk.listen(self._tell)
            await opening.enter_async_context(self.hub)
            looking = asyncio.create_task(self._look())
            opening.callback(looking.cancel)
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def end(self) -> None:
        """The service ends: streams do, and whoever waits for an answer is told so."""
        self.hub.close()
        self.desk.end()

    async def signal(self, symbol: str, tf: str) -> Standing:
        """What a market says; it is followed from now on.

        Raises:
            ConfigError: no such symbol or timeframe.
            Later: it cannot be had at present.
        """
        return self.desk.standing(symbol, tf) or await self.desk.ask(symbol, tf)

    async def topic(self, symbol: str, tf: str) -> Topic:
        """A market as events are told of it, followed from now on; raises as `signal`."""
        return topic_of(await self.signal(symbol, tf))

    def health(self) -> Health:
        """Whether all that is followed can be believed, and what is wrong with models."""
        return health_of(self.desk.markets(), filter(None, [self.watch.problem]))

    def figures(self) -> Iterator[Figure]:
        """Markets, their models, and readers."""
        markets = self.desk.markets()
        yield from figures_of(markets)
        models = [((one.symbol, one.tf, *_named(self.watch, one.symbol, one.tf)), 1.0) for one in markets]
        labels = ("symbol", "timeframe", "version", "why")
        yield Figure("scalper_market_model", "The model that judges a market, or why there is none.", labels, models)
        yield Figure("scalper_stream_readers", "Readers of /signals/stream.", (), [((), len(self.hub))])
        yield Figure("scalper_stream_events", "Events sent to them.", (), [((), self.hub.sent)], counts=True)

    def _tell(self, standing: Standing) -> None:
        topic = topic_of(standing)
        self._said[topic] = standing
        self._stale.pop(topic, None)
        self.hub.publish(topic, standing.json(time.time_ns()))

    def _compare(self) -> set[Topic]:
        """Tell readers of each market that stopped being fresh, and of each that is again without another close.

        Returns:
            Those that are fresh.
        """
        markets = {(market.symbol, market.tf): market for market in self.desk.markets()}
        for topic in self._said.keys() - markets.keys():
            del self._said[topic]
        for topic in self._stale.keys() - markets.keys() - self.hub.topics:
            del self._stale[topic]
        for topic, market in markets.items():
            if not market.fresh:
                for reason in health_of([market]).reasons:
                    self._lose(topic, reason)
            elif topic in self._stale:
                self._tell(self._said[topic])
        return {topic for topic, market in markets.items() if market.fresh}

    def _lose(self, topic: Topic, reason: str) -> None:
        """Readers of a market must not believe any more what it said last."""
        if topic not in self._stale:
            symbol, tf = topic
            self._stale[topic] = Stale(symbol=symbol, timeframe=tf, reason=reason).model_dump_json().encode()
            self.hub.publish(topic, self._stale[topic], "stale")

    def _stands(self, topics: Collection[Topic] | None) -> Iterator[tuple[str, bytes]]:
        """What readers of these topics hear first."""
        fresh, now_ns = self._compare(), time.time_ns()
        for topic in sorted(fresh | self._stale.keys() if topics is None else topics):
            if topic in self._stale:
                yield "stale", self._stale[topic]
            elif topic in fresh:
                yield "signal", self._said[topic].json(now_ns)

    async def _look(self) -> None:
        """Once a second: has another model been made current, and is all followed that somebody reads?"""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if await aside(self.watch.look):
                    self.desk.changed()
                self._compare()
                for topic in self.hub.topics:
                    self._follow(topic)
            except Exception:
                logger.exception("a look at models and readers failed")  # the next may not

    def _follow(self, topic: Topic) -> None:
        """Ask for a market that somebody reads, so that it is not let go."""
        if self.desk.standing(*topic) is None and topic not in self._asking:
            task = self._asking[topic] = asyncio.create_task(self._ask(topic))
            task.add_done_callback(lambda _: self._asking.pop(topic))

    async def _ask(self, topic: Topic) -> None:
        try:
            await self.desk.ask(*topic)
        except ScalperError as error:
            if all((market.symbol, market.tf) != topic for market in self.desk.markets()):  # of others `_compare` tells
                self._lose(topic, str(error))


def topic_of(standing: Standing) -> Topic:
    """The market of a standing, as events are told of it."""
    return standing.advice.symbol, standing.advice.timeframe


def _named(watch: ModelWatch, symbol: str, tf: str) -> tuple[str, str]:
    champion, why = watch.of(symbol, tf)
    return ("" if champion is None else champion.name), why
