"""The exchange in a box for tests, and real clients pointed at it.

    from tests.boxes import binance, box_in_thread, bybit, closing, levels_of, quick_box, until

    async def test_something():
        async with quick_box(symbols=("BTCUSDT",)) as box:      # ReplayServer(history_hours=1, ...)
            async with closing(bybit(box)) as exchange:         # ccxt.pro
                book = await exchange.watch_order_book("BTC/USDT:USDT")
            box.freeze()                                        # everything made so far is on its way
            await until(lambda: levels_of(book) == box.truth("BTCUSDT"))

    def test_something_that_blocks():
        with box_in_thread() as box:                            # own thread, own loop
            exchange = binance(box, ccxt)                       # ccxt, ccxt.async_support or ccxt.pro

What the product itself needs is `box.endpoints` (utils.settings.tree.EndpointSettings), or `box.http` and `box.ws`:
Bybit streams at `box.ws + "/v5/public/linear"`, Binance streams at `box.ws + "/public/ws"`, `/market/ws`, `/ws`,
`/stream?streams=...`. `?clock=tape` puts `{"clock": <ns>}` before each message. `box.step(s)` moves a frozen box on,
`box.requests`, `box.frames`, `box.connections` and `box.unknown` tell what clients did.

Way B of the wire reference, real host names over TLS: `certificate()` and `named_session(box.port, certificate)`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

from ingest.box.floor.exchange import Exchange
from ingest.box.floor.market import Arrival, Change, Fill, Grid, Market
from ingest.replay_server import ReplayServer
from ingest.wire import core
from utils.rows import NS_PER_DAY, NS_PER_MS

#: The real names of the venues' hosts.
HOSTS = ("fapi.binance.com", "fstream.binance.com", "api.bybit.com", "stream.bybit.com")


def quick_box(**settings: Any) -> ReplayServer:
    """A box with an hour or two of history: made in a blink."""
    return ReplayServer(**{"history_hours": 1.0} | settings)


@contextlib.contextmanager
def box_in_thread(**settings: Any) -> Iterator[ReplayServer]:
    """The same in a thread of its own, for callers that block."""
    with ReplayServer.thread(**{"history_hours": 1.0} | settings) as box:
        yield box


def let_clocks_run(patch: pytest.MonkeyPatch) -> None:
    """Let this process take the times of a box that runs fast: alone, a stream on which little happens runs ahead."""
    patch.setattr(core, "AHEAD_NS", 365 * NS_PER_DAY)


def binance(box: ReplayServer, flavour: ModuleType | None = None, **options: Any) -> Any:
    """ccxt's binanceusdm on the box (way A); flavour is ccxt, ccxt.async_support or ccxt.pro (default)."""
    exchange = _flavour(flavour).binanceusdm(options)
    api = exchange.urls["api"]
    for name, address in list(api.items()):
        if isinstance(address, str):
            api[name] = box.http + urlsplit(address).path
    if "ws" in api:
        api["ws"]["linear"] = box.ws + "/ws"
    return exchange


def bybit(box: ReplayServer, flavour: ModuleType | None = None, **options: Any) -> Any:
    """ccxt's bybit on the box (way A), linear contracts only."""
    exchange = _flavour(flavour).bybit({"options": {"fetchMarkets": {"types": ["linear"]}}} | options)
    api = exchange.urls["api"]
    for name, address in list(api.items()):
        if isinstance(address, str):
            api[name] = box.http
    if "ws" in api:
        api["ws"]["public"] = {kind: f"{box.ws}/v5/public/{kind}" for kind in ("spot", "linear", "inverse", "option")}
    return exchange


def _flavour(flavour: ModuleType | None) -> ModuleType:
    if flavour is None:
        import ccxt.pro

        return ccxt.pro
    return flavour


@contextlib.asynccontextmanager
async def closing(exchange: Any) -> AsyncIterator[Any]:
    """An async ccxt instance, closed at the end."""
    try:
        yield exchange
    finally:
        await exchange.close()


def levels_of(book: Any) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Bids and asks of a ccxt order book, in the form of `box.truth`."""
    return tuple(tuple((float(level[0]), float(level[1])) for level in book[side]) for side in ("bids", "asks"))


#: What takes a blink takes at most so long on a machine as busy as may be, s; less than a test's limit.
PATIENCE_S = 120.0


async def until(true: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not true within {timeout_s} s"
        await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Certificate:
    """A throw-away certificate with the real host names."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def certificate() -> Certificate:
    """A new certificate authority, and a certificate of it for `HOSTS` and loopback."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS, "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Certificate(server, client)


class BoxResolver(AbstractResolver):
    """Resolves the venues' names to a box on loopback, and refuses every other."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del port  # theirs; the box has its own
        if host not in HOSTS:
            raise OSError(f"the test asked for {host}, which is not one of {HOSTS}")
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=self.port, family=family, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        pass


def named_session(port: int, trusted: Certificate) -> aiohttp.ClientSession:
    """A session that finds the box under the venues' real names, over TLS; close it yourself."""
    connector = aiohttp.TCPConnector(resolver=BoxResolver(port), ssl=trusted.client, use_dns_cache=False)
    return aiohttp.ClientSession(connector=connector)


#: An exchange time without a meaning: 2024-01-01T00:00Z, when a funding is due as well.
MIDNIGHT_NS = 1_704_067_200_000_000_000


class ListFlow:
    """A market that does what a test says: arrivals at milliseconds after midnight, in order.

    Its first book has one lot at each of five ticks a side, bids from 100 down, asks from 101 up; tick 0.1, lot 0.001.
    """

    def __init__(self, symbol: str = "BTCUSDT", arrivals: Sequence[Arrival] = ()) -> None:
        self.market = Market(symbol, Grid(Decimal("0.1"), Decimal("0.001")), MIDNIGHT_NS // NS_PER_MS, 0)
        self.market.begin(100)
        book = [Change(1, 100 - i, 1) for i in range(5)] + [Change(-1, 101 + i, 1) for i in range(5)]
        self.market.apply(Arrival(symbol, MIDNIGHT_NS, MIDNIGHT_NS, book, whole=True))
        self._arrivals = list(arrivals)

    def take(self, until_ns: int) -> Iterator[Arrival]:
        while self._arrivals and self._arrivals[0].at <= until_ns:
            yield self._arrivals.pop(0)


def deed(
    ms: float, *changes: tuple[int, int, int], fills: Sequence[tuple[int, int, int]] = (), symbol: str = "BTCUSDT"
) -> Arrival:
    """An arrival so many ms after midnight: (side, tick, lots) of the book, and of trades."""
    at = MIDNIGHT_NS + round(ms * NS_PER_MS)
    return Arrival(symbol, at, at, [Change(*change) for change in changes], [Fill(*fill) for fill in fills])


def scripted(*arrivals: Arrival, symbols: tuple[str, ...] = ("BTCUSDT",)) -> Exchange:
    """An exchange at midnight where the given things are going to happen."""
    flows = {name: ListFlow(name, [one for one in arrivals if one.symbol == name]) for name in symbols}
    return Exchange(symbols, flows.__getitem__, MIDNIGHT_NS)


class ListPeer:
    """A peer that keeps what it is sent, decoded."""

    name = "peer"

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.said: list[dict[str, Any]] = []
        self.times: list[int] = []

    def hear(self, _topic: str, text: str, at_ns: int) -> None:
        self.heard.append(json.loads(text))
        self.times.append(at_ns)

    def say(self, text: str, *, late: bool = False) -> None:
        self.said.append(json.loads(text) | ({"late": True} if late else {}))

    def subscribed(self, _topic: str) -> None:
        pass

    def trouble(self, _topics: str) -> str:
        return ""

    def pongs(self, _topics: str) -> bool:
        return True

    def cut(self, *, reset: bool) -> None:
        self.said.append({"reset": reset})


def advance(exchange: Exchange, ms: float) -> None:
    """Move an exchange to so many ms after midnight."""
    while not exchange.advance(MIDNIGHT_NS + round(ms * NS_PER_MS)):
        pass


def jump(exchange: Exchange, ms: float) -> None:
    """The same in one leap, with nothing sent on the way."""
    for symbol in exchange.symbols:
        exchange.market(symbol)
    exchange._pass(MIDNIGHT_NS + round(ms * NS_PER_MS))
