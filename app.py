"""The signal over HTTP: `uvicorn app:app --port 8000`, then `curl 'http://localhost:8000/signal/BTCUSDT?tf=5m'`.

Settings are those of every command: environment over `.env` over `config.yaml`, or over the file that SCALPER_CONFIG
names. Each process has its own: of several workers every one follows the markets that it is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from functools import cache
from itertools import product
from pathlib import Path as File
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.sse import EventSourceResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backtest.run.asked import Warmth, history_of
from exec.advice import Answer
from exec.live.desk import Desk, Later
from exec.live.health import Health, figures_of, health_of
from exec.live.watch import ModelWatch
from utils.config import load_settings
from utils.errors import ConfigError, DataUnavailable, ScalperError
from utils.http.asgi import Receive, Scope, Send
from utils.http.ending import told_to_end
from utils.http.events import Hub, Topic
from utils.http.gate import Gate, Rules
from utils.http.problem import Kind, Problem, answers, refusal
from utils.http.traffic import MEDIA_TYPE, Figure, Traffic
from utils.market.timeframes import KNOWN
from utils.settings.tree import Settings
from utils.shell.aside import aside
from utils.shell.log import event, setup_logging
from utils.shell.rim import safe

#: Time between two looks at the disk for another model, and at what is read, s.
LOOK_S = 1.0
#: What stands behind the gate says itself what it waited for; the gate is a little more patient.
SLACK_S = 0.5
ROUTES = """\
/signal/BTCUSDT?tf=5m              what the trader would do now, and why
/signals/stream?symbol=BTCUSDT     the same as server-sent events
/health  /health/live              whether data are fresh; whether the process answers
/model                             which model serves, why, and when the next is trained
/metrics                           figures for Prometheus
/docs  /openapi.json               all of it, in detail
"""
_log = logging.getLogger("app")


def config_file() -> File | None:
    """The settings file that SCALPER_CONFIG names; None = `config.yaml` beside the program."""
    named = os.environ.get("SCALPER_CONFIG", "")
    return File(named) if named else None


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings(config_file()).settings


def rules() -> Rules:
    """What is granted to whom."""
    api, token = settings().api, settings().secrets.api_token
    return Rules(
        token=token.get_secret_value().encode() if token else b"",
        hosts=frozenset(name.strip().lower() for name in api.hosts.split(",") if name.strip()),
        rate_per_s=api.rate_per_s,
        burst=api.burst,
        timeout_s=api.timeout_s + SLACK_S,
        origins=frozenset(origin.encode() for origin in api.cors.split(",") if origin),
    )


class Service:
    """What the routes ask: the markets that are followed, the model that serves, who reads the stream."""

    def __init__(self, desk: Desk, watch: ModelWatch, hub: Hub, warmth: Warmth) -> None:
        self.desk, self.watch, self.hub, self.warmth = desk, watch, hub, warmth
        self.tf = settings().market.timeframe
        self._asking: dict[Topic, asyncio.Task[None]] = {}

    async def look(self) -> None:
        """Once a second: has another model been made current; is all followed that somebody reads?"""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if await aside(self.watch.look):
                    self.desk.changed()
                self.hub.keep({(market.symbol, market.tf) for market in self.desk.markets()})
                for topic in self.hub.topics:
                    self._follow(topic)
            except Exception:
                _log.exception("a look failed")

    def _follow(self, topic: Topic) -> None:
        """Ask for a market that somebody reads, so that it is not let go."""
        symbol, tf = topic
        if self.desk.standing(symbol, tf) is None and topic not in self._asking:
            task = self._asking[topic] = asyncio.create_task(self._ask(symbol, tf))
            task.add_done_callback(lambda _: self._asking.pop(topic))

    async def _ask(self, symbol: str, tf: str) -> None:
        with contextlib.suppress(ScalperError):  # /health says so
            await self.desk.ask(symbol, tf)

    def figures(self) -> Iterator[Figure]:
        """Figures of markets, readers and models."""
        markets = self.desk.markets()
        yield from figures_of(markets)
        yield Figure("scalper_stream_readers", "Readers of /signals/stream.", (), [((), len(self.hub))])
        yield Figure("scalper_stream_events", "Events sent to them.", (), [((), self.hub.sent)], counts=True)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Follow markets, watch the model and train while the service runs."""
    setup_logging()
    api = settings().api
    watch = await aside(ModelWatch, settings(), config_file())
    hub = Hub(
        f"{time.time_ns():x}{os.getpid():x}", kept=api.kept_events, heartbeat_s=api.heartbeat_s, most=api.max_streams
    )
    async with contextlib.AsyncExitStack() as stack:
        warmth = stack.enter_context(Warmth())
        desk = await stack.enter_async_context(Desk(settings(), watch, history_of(settings(), warmth)))
        await stack.enter_async_context(hub)
        stack.enter_context(told_to_end(hub.close))
        desk.listen(
            lambda one: hub.publish((one.advice.symbol, one.advice.timeframe), one.json(time.time_ns()))
        )
        app.state.service = service = Service(desk, watch, hub, warmth)
        looking = asyncio.create_task(service.look())
        stack.callback(looking.cancel)
        yield


app = FastAPI(
    title="Hybrid Scalper",
    summary="What the trader would do now, and why.",
    description="Times are UTC, distances in bps, what is not known is null. Where a token is set, each request but "
    "/health/live carries it: `Authorization: Bearer TOKEN`.",
    lifespan=lifespan,
    redirect_slashes=False,
)
traffic = Traffic(lambda: app.state.service.figures())
app.add_middleware(
    Gate,
    rules=rules,
    observe=traffic.observe,
    opened=frozenset({"/health/live"}),
    endless=frozenset({"/signals/stream"}),
)

Symbol = Annotated[
    str,
    Path(
        description="Exchange id or pair: BTCUSDT, BTC/USDT, BTC/USDT:USDT, BTC-USDT.",
        max_length=64,
        examples=["BTCUSDT"],
    ),
]
Timeframe = Annotated[
    str,
    Query(description=f"Length of a candle: {KNOWN}; empty = market.timeframe.", max_length=8, examples=["5m"]),
]


@app.get(
    "/signal/{symbol:path}",
    response_class=Response,
    responses={200: {"model": Answer, "description": "The signal at the last close."}} | answers(404, 422),
)
async def signal(request: Request, symbol: Symbol, tf: Timeframe = "") -> Response:
    """What the trader would do now with nothing open: the decision of simulation and bot, with orders left out."""
    service: Service = request.app.state.service
    tf = tf or service.tf
    standing = service.desk.standing(symbol, tf) or await service.desk.ask(symbol, tf)
    return Response(standing.json(time.time_ns()), media_type="application/json")


class Stream(EventSourceResponse):
    """An answer of events, straight from the hub."""

    def __init__(self, hub: Hub, topics: list[Topic] | None, last_id: str) -> None:
        super().__init__(content=[])
        self._read = (hub, topics, last_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send events until the client leaves."""
        hub, topics, last_id = self._read
        await hub.serve(receive, send, topics, last_id)
