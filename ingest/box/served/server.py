"""The server of the box: its life, its addresses, what a test may do to it, and the sockets of its clients."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl as tls
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TypeVar

from aiohttp import WSMsgType, web

from ingest.box.binance import ws as binance_ws
from ingest.box.bybit import ws as bybit_ws
from ingest.box.faults.desk import Desk, Fault
from ingest.box.faults.line import Ping
from ingest.box.floor.exchange import Exchange
from ingest.box.floor.market import LENGTHS
from ingest.box.floor.pace import Pace
from ingest.box.floor.sources import SyntheticFlow
from ingest.box.served.connection import Connection, Session
from ingest.box.served.front import Front
from ingest.box.served.limits import Limits
from ingest.box.served.seen import CandleSeen, Connections, FrameSeen, RequestSeen, candle_seen, levels_seen
from ingest.box.tape_flow import Tape
from ingest.box.topics import Topics
from ingest.box.wire import Asked, Reply
from ingest.mock.settings import PRESETS
from utils.errors import ConfigError
from utils.rows import NS_PER_S, Level
from utils.settings.tree import EndpointSettings

T = TypeVar("T")
HOST = "127.0.0.1"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
#: Requests that are still being answered when the box stops may take so long, s.
STOP_WITHIN_S = 0.2
#: A look at all connections for pongs that are due, s; Binance pings so often and waits so long; Bybit wants a word.
LOOK_S, PING_EVERY_S, PONG_WITHIN_S, SILENCE_S = 0.1, 180.0, 600.0, 600.0
_STREAMS = re.compile(r"^/v5/public/linear$|^(/public|/market)?/(ws|stream)(/.*)?$")


class ReplayServer:
    """The box: an HTTP and WebSocket server with a venue behind it.

    Args:
        symbols: exchange ids; default BTCUSDT and ETHUSDT, or all of the tape.
        tape: a recording to play; None = the seeded mock market.
        seed: of the mock market, of the faults and of the headlines.
        preset: of the mock market.
        speed: exchange seconds a second; math.inf = as fast as the readers take it.
        faults: what goes wrong, from the start.
        port: to listen on; 0 = any free one.
        history_hours: candles and trades before the start.
        ssl: for TLS, with a certificate of the names it is to be known by.
        start_ns: exchange time at the start; default the present, or the tape's.
        limits: how often the venues let themselves be asked.

    Raises:
        ConfigError: a value out of range.
        DataError: the tape cannot be read, or does not hold the symbols.
    """

    def __init__(
        self,
        symbols: Sequence[str] | None = None,
        *,
        tape: Path | None = None,
        seed: int = 7,
        preset: str = "large-tick",
        speed: float = 1.0,
        faults: Iterable[Fault] = (),
        port: int = 0,
        history_hours: float = 24.0,
        ssl: tls.SSLContext | None = None,
        start_ns: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        if not speed > 0:
            raise ConfigError(f"speed: expected a number above 0 or max, saw {speed}; 1 is the pace of the world")
        if not 0 <= history_hours <= 24 * 365:
            raise ConfigError(f"history_hours: expected 0 to 8760, saw {history_hours:g}; name fewer")
        if preset not in PRESETS:
            raise ConfigError(f"preset: expected one of {', '.join(PRESETS)}, saw {preset!r}; choose one of these")
        if not 0 <= seed < 2**64:
            raise ConfigError(f"seed: expected a whole number from 0 to 2^64 - 1, saw {seed}; name another")
        self.tape = Tape(tape, symbols) if tape else None
        self._begin_ns = time.time_ns() if start_ns is None else start_ns
        self._from_present = start_ns is None and self.tape is None
        if self.tape:
            self.exchange = Exchange(self.tape.symbols, self.tape.flow, self.tape.begin_ns, self.tape.lag_ns)
        else:

            def flow(symbol: str) -> SyntheticFlow:
                return SyntheticFlow(symbol, preset, seed, self._begin_ns, history_hours)

            self.exchange = Exchange(tuple(symbols or SYMBOLS), flow, self._begin_ns)
        self.requests: list[RequestSeen] = []
        self.frames: list[FrameSeen] = []
        self.connections = Connections()
        self._desk = Desk(seed)
        for fault in faults:
            self._desk.inject(fault, self.exchange.now)
        self._bybit = Topics(self.exchange, "bybit", self._desk, lambda name: bybit_ws.build(self.exchange, name))
        self._binance = Topics(self.exchange, "binance", self._desk, lambda name: binance_ws.build(self.exchange, name))
        if self.tape:
            self._bybit.recorded = self._binance.recorded = partial(self.tape.topic, self.exchange)
        self.exchange.listeners += [self._bybit, self._binance]
        self._front = Front(self.exchange, self._bybit, self._desk, limits or Limits(), seed)
        self._port = port
        self._ssl = ssl
        self._open: dict[Connection, float] = {}  # last frame of the client, monotonic s
        self._thread_id = 0
        self._pace = Pace(
            self.exchange,
            speed,
            waits=self.tape is not None,
            lag=lambda: max((connection.lag for connection in self._open), default=0),
            ended=lambda: self.ended,
        )

    # --- life

    async def __aenter__(self) -> ReplayServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on loopback, and begin to make the markets.

        Raises:
            OSError: the port is taken.
        """
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        app = web.Application(client_max_size=2**16)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=STOP_WITHIN_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port, ssl_context=self._ssl)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        if self._from_present:  # which is not when the box was made
            self._begin_ns = self.exchange.now = time.time_ns()
        self._pace.start()
        self._tasks = [asyncio.create_task(work()) for work in (self._pace.run, self._make_all, self._look_after)]

    async def stop(self) -> None:
        """Hang up and close; raises what went wrong in the background."""
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in tuple(self._open):
            connection.cut(reset=False)
        await self._runner.cleanup()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def ready(self) -> None:
        """Wait until the first market is made; the others follow in the background."""
        await self._ready(self.exchange.symbols[0])

    async def serve(self) -> None:
        """Serve for ever.

        Raises:
            ConfigError: the mock market cannot be made as it was asked for.
        """
        await asyncio.gather(*self._tasks)

    @classmethod
    @contextlib.contextmanager
    def thread(cls, *args: object, **kwargs: object) -> Iterator[ReplayServer]:
        """The same box in a thread with a loop of its own, for callers that block."""
        box = cls(*args, **kwargs)  # type: ignore[arg-type]
        up: Future[asyncio.Event] = Future()

        async def live() -> None:
            try:
                await box.start()
            except BaseException as error:  # noqa: BLE001 - it is the caller's, and raised there
                up.set_exception(error)
                return
            end = asyncio.Event()
            up.set_result(end)
            await end.wait()
            await box.stop()

        runner = threading.Thread(target=asyncio.run, args=(live(),), name="exchange in a box", daemon=True)
        runner.start()
        end = up.result()
        try:
            yield box
        finally:
            box._loop.call_soon_threadsafe(end.set)
            runner.join()

    # --- addresses

    @property
    def http(self) -> str:
        """Root of the REST addresses."""
        return f"{'https' if self._ssl else 'http'}://{HOST}:{self.port}"

    @property
    def ws(self) -> str:
        """Root of the stream addresses."""
        return f"{'wss' if self._ssl else 'ws'}://{HOST}:{self.port}"

    @property
    def endpoints(self) -> EndpointSettings:
        """Settings that point the product at this box."""
        addresses = {name: self.ws if name.endswith("_ws") else self.http for name in EndpointSettings.model_fields}
        return EndpointSettings(**addresses | {"coingecko_pro": f"{self.http}/pro"})

    # --- control

    def _in_loop(self, work: Callable[[], T]) -> T:
        """Do `work` in the loop's thread, and wait for it."""
        if threading.get_ident() == self._thread_id:
            return work()
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is the caller's, and raised there
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result()

    def inject(self, *faults: Fault) -> None:
        """Let something go wrong."""

        def work() -> None:
            for fault in faults:
                self._desk.inject(fault, self.exchange.now)

        self._in_loop(work)

    def clear_faults(self) -> None:
        """Let nothing more go wrong; what was done to a connection stays done."""
        self._in_loop(self._desk.clear)

    def push(self, text: str, venue: str = "") -> None:
        """Send a frame of your own to every connection, or to those of one venue."""

        def work() -> None:
            for connection in self._open:
                if venue in {"", connection.venue}:
                    connection.say(text)

        self._in_loop(work)

    def freeze(self) -> None:
        """Let time stand still, after everything that has happened was sent."""

        def work() -> None:
            self._pace.freeze()
            self.exchange.flush()

        self._in_loop(work)

    def resume(self) -> None:
        """Let time go on from where it stands."""
        self._in_loop(self._pace.resume)

    def step(self, seconds: float) -> None:
        """Move a frozen box on by so much exchange time, and send everything that happened."""

        def work() -> None:
            if not self._pace.frozen:
                raise ConfigError("step: expected a frozen box, saw one that runs; freeze() it first")
            until = self.exchange.now + round(seconds * NS_PER_S)
            while not self.exchange.advance(until):
                pass
            self.exchange.flush()

        self._in_loop(work)

    def truth(self, symbol: str, levels: int = 1000) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Bids and asks, (price, qty) best first, as the market stands; frozen: as every view shows it."""

        def work() -> tuple[tuple[Level, ...], tuple[Level, ...]]:
            market = self.exchange.market(symbol)
            return levels_seen(market, market.bids, levels), levels_seen(market, market.asks, levels)

        return self._in_loop(work)

    def candles(self, symbol: str, tf: str) -> list[CandleSeen]:
        """All candles, oldest first; the last is being formed."""
        if tf not in LENGTHS:
            raise ConfigError(f"timeframe: expected one of {', '.join(LENGTHS)}, saw {tf!r}; choose one of these")

        def work() -> list[CandleSeen]:
            market = self.exchange.market(symbol)
            return [candle_seen(market, row) for row in market.candles_of(tf, 0, 2**62)]

        return self._in_loop(work)

    @property
    def now_ns(self) -> int:
        """The exchange's clock, ns."""
        return self.exchange.now

    @property
    def ended(self) -> bool:
        """Whether the tape has been played to its end; the mock market has none."""
        return self.tape is not None and self.tape.ended

    @property
    def unknown(self) -> list[str]:
        """Paths, parameters and stream addresses that clients asked for and no venue knows."""
        return self._front.unknown

    @property
    def struck(self) -> list[tuple[str, str]]:
        """(kind, subject) of every fault so far."""
        return self._desk.log

    # --- markets and heartbeats

    async def _make_all(self) -> None:
        """Make every market, one after the other, in the background."""
        for symbol in self.exchange.symbols:
            await self._ready(symbol)

    async def _ready(self, text: str) -> None:
        """Wait for the markets that a request or frame names; for all of them if it names none."""
        named = [symbol for symbol in self.exchange.symbols if symbol in text.upper()]
        for symbol in named or self.exchange.symbols:
            if not self.exchange.made(symbol):
                await asyncio.to_thread(self.exchange.make, symbol)

    async def _look_after(self) -> None:
        """The venues' own heartbeats: Binance pings, Bybit hangs up on the silent."""
        pinged: dict[Connection, float] = {}
        while True:
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            pinged = {connection: pinged.get(connection, now) for connection in self._open}
            for connection, heard in tuple(self._open.items()):
                if connection.overdue or (connection.venue == "bybit" and now - heard > SILENCE_S):
                    connection.cut(reset=False)
                elif connection.venue == "binance" and now - pinged[connection] > PING_EVERY_S:
                    pinged[connection] = now
                    connection.put(Ping(PONG_WITHIN_S))

    # --- requests

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._talk(request)
        if not request.path.endswith(("/time", "/ping")):
            await self._ready(request.query_string)
        self._pace.catch_up()
        asked = Asked(request.path, request.query, request.headers)
        root = f"{request.scheme}://{request.host}"
        reply = self._front.reply(request.method, asked, root)
        self.requests.append(
            RequestSeen(request.method, request.path, dict(request.query), reply.status, time.monotonic())
        )
        return await _deliver(request, reply)

    # --- streams

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        if not _STREAMS.match(request.path):
            self.unknown.append(f"WS {request.path}")
            return web.Response(status=404)
        self._pace.catch_up()
        venue = "bybit" if request.path.startswith("/v5") else "binance"
        subject = f"{venue} handshake {request.path_qs}"
        fault = self._desk.strike(("handshake_refused", "handshake_hang"), subject, self.exchange.now)
        if fault:
            self.connections.refused += 1
            if fault.kind == "handshake_hang":
                await asyncio.sleep(fault.length)
                _hang_up(request)
            wait = {} if fault.wait is None else {"Retry-After": f"{fault.wait:g}"}
            return web.Response(status=fault.status, headers=wait, text="not now")
        ws = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=2**20)
        try:
            await ws.prepare(request)
        except ConnectionError:
            return ws  # the client did not wait
        await self._ready(request.path_qs)
        self.connections.total += 1
        self.connections.by_venue[venue] = self.connections.by_venue.get(venue, 0) + 1
        connection = Connection(f"box-{self.connections.total}", venue, ws, request)
        await self._converse(connection, ws, request)
        return ws

    async def _converse(self, connection: Connection, ws: web.WebSocketResponse, request: web.Request) -> None:
        """Everything from the handshake to the end."""
        self._pace.catch_up()
        session: Session
        if connection.venue == "bybit":
            session = bybit_ws.BybitSession(self._bybit, connection)
            connection.arm(self._desk, self.exchange, session)
        else:
            session = binance = binance_ws.BinanceSession(self._binance, connection)
            connection.arm(self._desk, self.exchange, session)
            binance.from_address(request.path, request.query)
        self.connections.open += 1
        self._open[connection] = time.monotonic()
        writer = asyncio.create_task(connection.write())
        try:
            await self._listen(connection, ws)
        finally:
            session.close()
            del self._open[connection]
            self.connections.open -= 1
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _listen(self, connection: Connection, ws: web.WebSocketResponse) -> None:
        """Take the client's frames, until the end."""
        while True:
            message = await ws.receive()
            if message.type in {WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR}:
                return
            text = str(message.data) if message.type is WSMsgType.TEXT else message.type.name
            now = time.monotonic()
            self.frames.append(FrameSeen(connection.name, connection.venue, text, now))
            self._open[connection] = now
            if message.type is WSMsgType.CLOSE:
                if not connection.dead:
                    await ws.close()
                return
            if message.type is WSMsgType.PING:
                await connection.ping(message.data)
            elif message.type is WSMsgType.PONG:
                connection.pong()
            elif not connection.dead:
                await self._ready(text)
                self._pace.catch_up()
                connection.session.receive(text)


def _hang_up(request: web.Request) -> None:
    """Let go of a request without an answer."""
    if request.transport is not None:
        request.transport.abort()


async def _deliver(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send an answer, in the way it is to arrive."""
    await asyncio.sleep(reply.delay_s)
    if reply.sent <= 0.0:
        _hang_up(request)
    if reply.sent == 1.0 and not reply.byte_s:
        return web.Response(body=reply.body, status=reply.status, headers=reply.headers, content_type=reply.kind)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type, response.content_length = reply.kind, len(reply.body)
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        if reply.byte_s:
            for at in range(len(reply.body)):
                await response.write(reply.body[at : at + 1])
                await asyncio.sleep(reply.byte_s)
        else:
            await response.write(reply.body[: int(len(reply.body) * reply.sent)])
            await asyncio.sleep(0.05)  # or the reset overtakes what was sent
            _hang_up(request)
    return response
