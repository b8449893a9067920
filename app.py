"""The signal over HTTP: `uvicorn app:app --port 8000`, then `curl 'http://localhost:8000/signal/BTCUSDT?tf=5m'`.

Settings are those of every command: environment over `.env` over `config.yaml`, or over the file that SCALPER_CONFIG
names. Each process has its own: of several workers every one follows the markets that it is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import cache
from itertools import chain, product
from pathlib import Path as File
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backtest.run.apart import Apart
from backtest.run.warm import Warming
from exec.advice import Answer
from exec.live.desk import Later
from exec.live.health import Health
from exec.live.service import Service, Stale
from exec.live.standing import Standing
from model.registry import require_own
from model.schedule import Schedule
from model.status import ModelStatus, figures_of, status_of
from utils.config import Loaded, load_settings
from utils.errors import ConfigError, DataUnavailable
from utils.http.asgi import Receive, Scope, Send
from utils.http.ending import told_to_end
from utils.http.events import Hub, Topic
from utils.http.gate import Gate, Rules
from utils.http.local import proxied
from utils.http.problem import Kind, Problem, answers, refusal
from utils.http.traffic import MEDIA_TYPE, Traffic
from utils.market.timeframes import KNOWN
from utils.settings.tree import Settings
from utils.shell.aside import aside
from utils.shell.log import setup_logging
from utils.shell.rim import safe

#: What stands behind the gate says itself what it waited for; the gate is a little more patient.
SLACK_S = 0.5
#: Markets that one reader may name.
MOST_PAIRS = 32
#: Path and query of a request; so many are remembered that were answered.
Asked = tuple[str, bytes]
MOST_ASKED = 1_024
ROUTES = """\
/signal/BTCUSDT?tf=5m              what the trader would do now, and why
/signals/stream?symbol=BTCUSDT     the same as server-sent events
/health  /health/live              whether data are fresh; whether the process answers
/model                             which model serves, why, and when the next is trained
/metrics                           figures for Prometheus
/docs  /openapi.json               all of it, in detail
"""
#: Data of an event that says that some were missed.
RESET = {"type": "object", "required": ["reason"], "properties": {"reason": {"type": "string"}}}
#: One server-sent event, for the schema.
EVENT = {
    "type": "object",
    "required": ["id", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["signal", "stale", "reset"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"anyOf": [{"$ref": "#/components/schemas/Answer"}, Stale.model_json_schema(), RESET]},
        },
    },
}


def config_file() -> File | None:
    """The settings file that SCALPER_CONFIG names; None = `config.yaml` beside the program."""
    named = os.environ.get("SCALPER_CONFIG", "")
    return File(named) if named else None


@cache
def loaded() -> Loaded:
    """The settings of this process and where each came from, read once."""
    return load_settings(config_file())


def settings() -> Settings:
    """The settings of this process."""
    return loaded().settings


def rules() -> Rules:
    """What is granted to whom."""
    api, token = settings().api, settings().secrets.api_token
    return Rules(
        token=token.get_secret_value().encode() if token else b"",
        hosts=frozenset(name.strip().lower() for name in api.hosts.split(",") if name.strip()),
        rate_per_s=api.rate_per_s,
        burst=api.burst,
        timeout_s=api.timeout_s + SLACK_S,
        proxied=proxied(sys.argv, os.environ),
        origins=frozenset(origin.encode() for origin in api.cors.split(",") if origin),
    )


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Follow markets, watch the model and train while the service runs."""
    setup_logging()
    if settings().retrain.auto:
        require_own(loaded(), ("meta.enabled", "meta.dir", "meta.version"))  # else every training would fail by it
    with Warming() as warming:
        async with (
            Service(settings(), config_file(), Apart(settings()), warming.wait) as service,
            Schedule(settings(), config_file()) as schedule,
        ):
            app.state.service, app.state.schedule, app.state.asked = service, schedule, {}
            with told_to_end(service.end):
                yield


def service_of(request: Request) -> Service:
    """What stands behind the routes."""
    service: Service = request.app.state.service
    return service


app = FastAPI(
    title="Hybrid Scalper",
    summary="What the trader would do now, and why.",
    description="Times are UTC, distances in bps, what is not known is null. Where a token is set, each request but "
    "/health/live carries it: `Authorization: Bearer TOKEN`.",
    lifespan=lifespan,
    redirect_slashes=False,
)
traffic = Traffic()
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


def only(*once: str, often: tuple[str, ...] = ()) -> Any:
    """A dependency of a route: of its query, what is not known is refused, so that no misspelling is passed over.

    Args:
        once: names that may stand there once.
        often: names that may stand there several times.
    """
    expected = " and ".join([f"{name}, once" for name in once] + [f"{name}, as often as wanted" for name in often])

    def check(request: Request) -> None:
        left = list(once)
        for name, _ in request.query_params.multi_items():
            if name in left:
                left.remove(name)
            elif name not in often:
                raise RequestValidationError([{"loc": ["query"], "msg": f"expected {expected}, saw {name!r}"}])

    return Depends(check)


def openapi() -> dict[str, Any]:
    """The schema, with the token where one is asked for."""
    if app.openapi_schema is None:
        schema = FastAPI.openapi(app)
        if settings().secrets.api_token:
            schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}]
            schema["paths"]["/health/live"]["get"]["security"] = []
    return app.openapi_schema or {}


app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's manual has it


async def signal(request: Request, symbol: Symbol, tf: Timeframe = "") -> Response:
    """What the trader would do now with nothing open: the decision of simulation and bot, with orders left out."""
    tf = tf or settings().market.timeframe
    standing = await service_of(request).signal(symbol, tf)
    asked: dict[Asked, Topic] = request.app.state.asked
    if len(asked) < MOST_ASKED:
        asked[request.scope["path"], request.scope["query_string"]] = symbol, tf
    return told(standing)


def told(standing: Standing) -> Response:
    """A signal as it is sent."""
    return Response(standing.json(time.time_ns()), media_type="application/json")


class Quick(APIRoute):
    """The route of `signal`: what was asked before and found sound is answered from what is at hand.

    Of a request to FastAPI's own handler most of the time goes into reading and checking its parameters.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Where FastAPI asks for the handler."""
        whole = super().get_route_handler()

        async def handle(request: Request) -> Response:
            scope, state = request.scope, request.app.state
            asked = state.asked.get((scope["path"], scope["query_string"]))
            standing = None if asked is None else state.service.desk.standing(*asked)
            return await whole(request) if standing is None else told(standing)

        return handle


app.router.add_api_route(
    "/signal/{symbol:path}",
    signal,
    methods=["GET"],
    responses={**answers(404, 422), 200: {"model": Answer, "description": "The signal at the last close."}},
    dependencies=[only("tf")],
    route_class_override=Quick,
)
app.router.routes.insert(0, app.router.routes.pop())  # routes are tried in turn, and FastAPI's own pages were first


class Stream(Response):
    """An answer of events, straight from the hub."""

    def __init__(self, hub: Hub, topics: list[Topic] | None = None, last_id: str = "", status_code: int = 200) -> None:
        super().__init__(status_code=status_code)  # by this name the schema knows it
        self._read = (hub, topics, last_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send events until the client leaves."""
        hub, topics, last_id = self._read
        await hub.serve(receive, send, topics, last_id)


@app.get(
    "/signals/stream",
    response_class=Stream,
    dependencies=[only(often=("symbol", "tf"))],
    responses={
        **answers(404, 422),
        200: {
            "description": "Events `signal`, whose data are an Answer, `stale` and `reset`; each has an id.",
            "content": {"text/event-stream": {"itemSchema": EVENT}},
        },
    },
)
async def stream(
    request: Request,
    symbol: Annotated[list[str], Query(description="Markets to read; none = all that are followed.")] = [],  # noqa: B006
    tf: Annotated[list[str], Query(description="Their timeframes, each with each symbol; none without one.")] = [],  # noqa: B006
) -> Response:
    """Each new signal as it comes, or that there is none, first what stands; `Last-Event-ID` brings what was missed."""
    service = service_of(request)
    if service.hub.full:
        return Stream(service.hub)  # which says so; no market need be followed for that
    if tf and not symbol:
        return refused(422, "invalid", "query: expected symbol beside tf, saw none; name the markets, or leave tf away")
    pairs = list(product(symbol, [one or settings().market.timeframe for one in tf or [""]]))
    if len(pairs) > MOST_PAIRS:
        return refused(422, "invalid", f"query: expected at most {MOST_PAIRS} markets, saw {len(pairs)}; read fewer")
    topics = await asyncio.gather(*(service.topic(*pair) for pair in pairs)) if symbol else None
    return Stream(service.hub, topics, request.headers.get("last-event-id", ""))


@app.get("/health/live", responses=answers())
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@app.get("/health", responses={**answers(), 503: {"model": Health | Problem, "description": "Some of it is stale."}})
async def health(request: Request, response: Response) -> Health:
    """Whether the data of all markets that are followed are fresh."""
    found = service_of(request).health()
    response.status_code = 200 if found.status == "ok" else 503
    return found


@app.get("/model", responses=answers())
async def model(request: Request) -> ModelStatus:
    """Which model serves, what it rests upon, why no other does, and when the next is trained."""
    return await aside(model_status, request)


def model_status(request: Request) -> ModelStatus:
    """The same, read from a disk that may be slow."""
    watch = service_of(request).watch
    champion, why = watch.serving
    now = settings().model_copy(update={"meta": watch.meta})
    return status_of(now, champion, why, watch.problem, request.app.state.schedule)


@app.get("/metrics", response_class=PlainTextResponse, responses=answers())
async def metrics(request: Request) -> Response:
    """Figures for Prometheus: requests, markets, readers, the model, trainings, and this process."""
    status = await aside(model_status, request)
    return Response(traffic.page(chain(service_of(request).figures(), figures_of(status))), media_type=MEDIA_TYPE)


@app.get("/", response_class=PlainTextResponse, responses=answers())
async def index() -> str:
    """What there is to ask."""
    return ROUTES


def refused(status: int, kind: Kind, message: str, retry_after_s: float | None = None) -> Response:
    """A refusal as a framework's response."""
    status, lines, body = refusal(status, kind, safe(message), retry_after_s)
    response = Response(body, status)
    response.raw_headers = [*lines, (b"content-length", str(len(body)).encode())]
    return response


@app.exception_handler(ConfigError)
async def unknown(_: Request, error: Exception) -> Response:
    """No such symbol or timeframe."""
    return refused(404, "unknown", str(error))


@app.exception_handler(DataUnavailable)
async def unavailable(_: Request, error: Exception) -> Response:
    """The data cannot be had at present."""
    return refused(503, "unavailable", str(error), error.retry_after_s if isinstance(error, Later) else 5.0)


@app.exception_handler(RequestValidationError)
async def invalid(_: Request, error: Exception) -> Response:
    """A parameter is not as the schema says."""
    first: Any = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    return refused(422, "invalid", f"{' '.join(map(str, first.get('loc', ())))}: {first.get('msg', '')}")


@app.exception_handler(HTTPException)
async def no_such(request: Request, error: Exception) -> Response:
    """No such path, or no such method of it."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status != 405:
        return refused(404, "no_such_path", "expected one of the paths that / names, saw another")
    answer = refused(405, "no_such_method", f"expected GET, saw {request.method}")
    answer.headers["allow"] = "GET"
    return answer
