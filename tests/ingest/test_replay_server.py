"""The exchange in a box over real sockets: ccxt and ccxt.pro as shipped, httpx and websockets, and every fault."""

import asyncio
import json
import math
import ssl
import time
import urllib.request
from itertools import pairwise
from typing import Any

import ccxt
import ccxt.async_support
import ccxt.pro
import httpx
import pytest
import websockets
from ccxt.base.errors import BadRequest, BadSymbol, DDoSProtection, ExchangeError, RateLimitExceeded

from ingest.box.floor.exchange import LATENCY_NS
from ingest.box.news import COINGECKO_PRO_KEY, CRYPTOPANIC_TOKEN
from ingest.replay_server import FAULT_KINDS, REST_FAULTS, WS_FAULTS, Fault, Limits, ReplayServer
from tests.boxes import (
    PATIENCE_S,
    binance,
    box_in_thread,
    bybit,
    certificate,
    closing,
    levels_of,
    named_session,
    quick_box,
    until,
)
from utils.errors import ConfigError
from utils.rows import NS_PER_MS, NS_PER_S
from utils.settings.tree import EndpointSettings

BTC = "BTC/USDT:USDT"
START = 1_704_103_230 * NS_PER_S  # 2024-01-01T10:00:30Z
BYBIT_BOOK = "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=50"
BYBIT_CANDLES = "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=1&limit=10"
BINANCE_BOOK = "/fapi/v1/depth?symbol=BTCUSDT&limit=50"
BINANCE_CANDLES = "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=10"


def frozen(**settings: Any) -> ReplayServer:
    """A box of one symbol at a fixed time, which stands still until it is stepped."""
    return quick_box(symbols=("BTCUSDT",), start_ns=START, **settings)


# --- ccxt, way A ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def standing():
    """A box in a thread that stands still, for blocking clients."""
    with box_in_thread(symbols=("BTCUSDT", "ETHUSDT"), start_ns=START, history_hours=12.0) as box:
        box.freeze()
        box.step(5.0)
        yield box
        assert [] == box.unknown


@pytest.fixture(scope="module", params=[binance, bybit], ids=["binance", "bybit"])
def blocking(standing, request):
    """Blocking ccxt on it, with its markets."""
    exchange = request.param(standing, ccxt)
    exchange.load_markets()
    return exchange


def test_ccxt_finds_the_markets(blocking):
    assert {BTC, "ETH/USDT:USDT"} == set(blocking.markets)
    market = blocking.market(BTC)
    assert (True, True, "USDT", True, 0.1, 0.001) == (
        market["swap"],
        market["linear"],
        market["settle"],
        market["active"],
        market["precision"]["price"],
        market["precision"]["amount"],
    )


def test_ccxt_reads_the_clock(standing, blocking):
    assert standing.now_ns // 1_000_000 == blocking.fetch_time()


def test_ccxt_gets_the_candles_of_the_box(standing, blocking):
    expected = [list(row[:6]) for row in standing.candles("BTCUSDT", "5m")]
    assert expected[-50:] == blocking.fetch_ohlcv(BTC, "5m", limit=50)
    since = expected[-30][0]
    assert expected[-30:-20] == blocking.fetch_ohlcv(BTC, "5m", since=since, limit=10)


def test_ccxt_gets_the_book_of_the_box(standing, blocking):
    bids, asks = standing.truth("BTCUSDT", levels=20)
    assert (bids, asks) == levels_of(blocking.fetch_order_book(BTC, 20))


def test_ccxt_gets_trades_in_order_of_time(blocking):
    trades = blocking.fetch_trades(BTC, limit=100)
    times = [trade["timestamp"] for trade in trades]
    assert (sorted(times), len(trades)) == (times, len({trade["id"] for trade in trades}))
    assert {"buy", "sell"} == {trade["side"] for trade in trades}


def test_ccxt_gets_a_ticker_that_agrees_with_book_and_trades(standing, blocking):
    ticker = blocking.fetch_ticker(BTC)
    assert blocking.fetch_trades(BTC, limit=1)[-1]["price"] == ticker["last"]
    bids, asks = standing.truth("BTCUSDT", levels=1)
    if ticker["bid"] is not None:  # Binance's ticker has none
        assert (bids[0], asks[0]) == (
            (ticker["bid"], ticker["bidVolume"]),
            (ticker["ask"], ticker["askVolume"]),
        )


def test_ccxt_gets_the_funding_rate_and_its_history(blocking):
    rate = blocking.fetch_funding_rate(BTC)
    assert START // 1_000_000 < rate["fundingTimestamp"] <= START // 1_000_000 + 8 * 3_600_000
    history = blocking.fetch_funding_rate_history(BTC)
    assert [1_704_067_200_000, 1_704_096_000_000] == [row["timestamp"] for row in history]
    assert all(0.0 <= row["fundingRate"] <= 0.0002 for row in history)


def test_ccxt_gets_open_interest_and_long_short_ratio(blocking):
    assert blocking.fetch_open_interest_history(BTC, "5m", limit=3)[-1]["openInterestAmount"] > 0
    assert 3 == len(blocking.fetch_long_short_ratio_history(BTC, "1h", limit=3))


def test_the_venues_errors_reach_ccxt(standing):
    usdm, linear = binance(standing, ccxt), bybit(standing, ccxt)
    with pytest.raises(BadSymbol, match="-1121"):
        usdm.fapiPublicGetKlines({"symbol": "NOUSDT", "interval": "1m"})
    with pytest.raises(BadRequest, match="-1120"):
        usdm.fapiPublicGetKlines({"symbol": "BTCUSDT", "interval": "7m"})
    with pytest.raises(ExchangeError, match="-4021"):
        usdm.fapiPublicGetDepth({"symbol": "BTCUSDT", "limit": 25})
    with pytest.raises(BadSymbol, match="Not supported symbols"):
        linear.publicGetV5MarketOrderbook({"category": "linear", "symbol": "NOUSDT"})
    with pytest.raises(BadRequest, match="10001"):
        linear.publicGetV5MarketKline({"category": "linear", "symbol": "BTCUSDT", "interval": "7"})


async def test_both_venues_and_both_doors_show_the_same_candles():
    async with frozen() as box:
        box.freeze()
        frames = await heard_candles(box, minutes=3)
        rest_b = {row[0]: row for row in await asked(box, BINANCE_CANDLES)}
        rest_y = {int(row[0]): row for row in (await asked(box, BYBIT_CANDLES))["result"]["list"]}
        own = {row.open_ms: row for row in box.candles("BTCUSDT", "1m")}
    assert 3 == len(frames["binance"]) == len(frames["bybit"])
    for open_ms, kline in frames["binance"].items():
        candle = (kline["o"], kline["h"], kline["l"], kline["c"], kline["v"], kline["V"], kline["n"])
        row = rest_b[open_ms]
        assert candle == (*row[1:6], row[9], row[8])
        assert tuple(map(float, candle)) == own[open_ms][1:]
        linear = frames["bybit"][open_ms]
        assert rest_y[open_ms][1:6] == [linear[name] for name in ("open", "high", "low", "close", "volume")]
        assert list(map(float, rest_y[open_ms][1:6])) == list(own[open_ms][1:6])
        trades = [trade for trade in frames["trades"] if 0 <= trade["T"] - open_ms < 60_000]
        prices = [float(trade["p"]) for trade in trades]
        assert (prices[0], max(prices), min(prices), prices[-1]) == own[open_ms][1:5]
        assert sum(float(trade["v"]) for trade in trades) == pytest.approx(own[open_ms].volume)
        assert sum(float(trade["v"]) for trade in trades if trade["S"] == "Buy") == pytest.approx(
            own[open_ms].taker_buy_volume
        )


async def heard_candles(box: ReplayServer, minutes: int) -> dict[str, Any]:
    """Closed candles and trades, as the streams of both venues tell them while the box is moved on."""
    found: dict[str, Any] = {"binance": {}, "bybit": {}, "trades": []}
    async with (
        websockets.connect(f"{box.ws}/market/ws/btcusdt@kline_1m") as usdm,
        websockets.connect(f"{box.ws}/v5/public/linear") as linear,
    ):
        await linear.send(json.dumps({"op": "subscribe", "args": ["kline.1.BTCUSDT", "publicTrade.BTCUSDT"]}))
        await linear.recv()
        box.step(60.0 * minutes + 40.0)
        async for text in until_quiet(usdm):
            kline = json.loads(text)["k"]
            if kline["x"]:
                found["binance"][kline["t"]] = kline
        async for text in until_quiet(linear):
            message = json.loads(text)
            if message["topic"].startswith("publicTrade"):
                found["trades"] += message["data"]
            elif message["data"][0]["confirm"]:
                found["bybit"][message["data"][0]["start"]] = message["data"][0]
    # the first minute was not heard from its beginning
    first = min(found["bybit"])
    return found | {name: {k: v for k, v in found[name].items() if k > first} for name in ("binance", "bybit")}


async def until_quiet(ws: Any, pause_s: float = 0.15):
    """Frames until none comes for a while; ends with the connection too."""
    while True:
        try:
            yield await asyncio.wait_for(ws.recv(), pause_s)
        except TimeoutError:
            return


async def asked(box: ReplayServer, address: str) -> Any:
    async with httpx.AsyncClient() as client:
        return (await client.get(box.http + address)).json()


# --- ccxt.pro, both ways ----------------------------------------------------------------------------------------------


async def watched(box: ReplayServer, exchange: Any) -> None:
    """watch_order_book follows the box: each time it stands still, the two books are the same."""
    book = await exchange.watch_order_book(BTC)
    for _ in range(3):
        await asyncio.sleep(0.15)
        box.freeze()
        bids, asks = box.truth("BTCUSDT")
        depth = 50 if exchange.id == "bybit" else 1000

        def same(book: Any = book, truth: Any = (bids[:depth], asks[:depth])) -> bool:
            return truth == levels_of(book)

        task = asyncio.create_task(exchange.watch_order_book(BTC))  # it only reads while somebody watches
        await until(same)
        box.resume()
        await task


@pytest.mark.parametrize("venue", [binance, bybit], ids=["binance", "bybit"])
async def test_ccxt_pro_watches_books_trades_and_candles(venue):
    async with quick_box(symbols=("BTCUSDT",), speed=5.0) as box, closing(venue(box)) as exchange:
        await watched(box, exchange)
        trades = await exchange.watch_trades(BTC)
        assert {BTC} == {trade["symbol"] for trade in trades}
        candles = await exchange.watch_ohlcv(BTC, "1m")
        assert candles[-1][0] in {row.open_ms for row in box.candles("BTCUSDT", "1m")}
        assert [] == box.unknown


async def test_the_real_host_names_work_over_tls_with_a_certificate_of_the_test():
    trusted = certificate()
    async with quick_box(symbols=("BTCUSDT",), ssl=trusted.server, speed=5.0) as box:
        async with named_session(box.port, trusted) as session:
            options = {"session": session, "options": {"fetchMarkets": {"types": ["linear"]}}}
            for exchange in (ccxt.pro.bybit(options), ccxt.pro.binanceusdm({"session": session})):
                async with closing(exchange):
                    assert [BTC] == list(await exchange.load_markets())
                    await watched(box, exchange)
            with pytest.raises(OSError, match=r"api\.kraken\.com"):
                await session.get("https://api.kraken.com/0/public/Time")
        with pytest.raises(ssl.SSLCertVerificationError):
            await websockets.connect(f"{box.ws}/v5/public/linear", ssl=ssl.create_default_context())


async def test_async_ccxt_agrees_with_the_box():
    async with frozen() as box, closing(bybit(box, ccxt.async_support)) as exchange:
        box.freeze()
        assert box.truth("BTCUSDT", 10) == levels_of(await exchange.fetch_order_book(BTC, 10))


# --- the box itself ---------------------------------------------------------------------------------------------------


async def test_the_local_book_of_binance_is_built_by_the_recipe():
    async with frozen() as box:
        box.freeze()
        async with websockets.connect(f"{box.ws}/public/ws/btcusdt@depth@100ms") as ws:
            box.step(1.0)
            snapshot = await asked(box, "/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
            box.step(2.0)
            events = [json.loads(text) async for text in until_quiet(ws)]
        last, truth = snapshot["lastUpdateId"], box.truth("BTCUSDT")
    sides = [{float(p): float(q) for p, q in snapshot[side]} for side in ("bids", "asks")]
    applied = [event for event in events if event["u"] > last]
    assert applied[0]["pu"] == last or applied[0]["U"] <= last <= applied[0]["u"]
    for before, event in pairwise(applied):
        assert before["u"] == event["pu"]
    for event in applied:
        for side, changes in zip(sides, (event["b"], event["a"]), strict=True):
            side.update({float(price): float(size) for price, size in changes})
    bids, asks = ({price: size for price, size in side.items() if size > 0} for side in sides)
    assert tuple(sorted(bids.items(), reverse=True)) == truth[0]
    assert tuple(sorted(asks.items())) == truth[1]


async def test_with_the_tapes_clock_each_message_is_preceded_by_its_time():
    async with frozen() as box:
        box.freeze()
        async with websockets.connect(f"{box.ws}/v5/public/linear?clock=tape") as ws:
            await ws.send('{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}')
            await ws.recv()
            box.step(1.0)
            frames = [json.loads(text) async for text in until_quiet(ws)]
    clocks = [frame["clock"] for frame in frames[::2]]
    assert len(frames) == 2 * len(clocks) > 4
    assert clocks == sorted(clocks)
    assert [LATENCY_NS // 1_000_000] * len(clocks) == [
        clock // 1_000_000 - book["ts"] for clock, book in zip(clocks, frames[1::2], strict=True)
    ]


async def test_a_box_is_the_same_whenever_it_is_started():
    async def play() -> list[str]:
        async with frozen() as box:
            box.freeze()
            async with websockets.connect(f"{box.ws}/v5/public/linear") as ws:
                await ws.send('{"op":"subscribe","args":["orderbook.50.BTCUSDT","publicTrade.BTCUSDT"]}')
                await ws.recv()
                box.step(3.0)
                return [text async for text in until_quiet(ws)]

    assert await play() == await play()


async def test_at_full_speed_time_goes_as_fast_as_it_is_read():
    async with quick_box(symbols=("BTCUSDT",), start_ns=START, speed=math.inf) as box:
        await asyncio.sleep(0.1)
        assert START == box.now_ns
        async with websockets.connect(f"{box.ws}/v5/public/linear") as ws:
            await ws.send('{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}')
            began = time.monotonic()
            while box.now_ns < START + 240 * NS_PER_S:
                await ws.recv()
            assert time.monotonic() - began < PATIENCE_S


def test_a_box_in_a_thread_is_controlled_from_outside():
    with box_in_thread(symbols=("BTCUSDT",), start_ns=START) as box:
        box.freeze()
        now = box.now_ns
        box.step(2.5)
        assert now + round(2.5 * NS_PER_S) == box.now_ns
        with urllib.request.urlopen(f"{box.http}/fapi/v1/time", timeout=PATIENCE_S) as reply:  # noqa: S310
            assert {"serverTime": box.now_ns // 1_000_000} == json.load(reply)
        box.resume()
        with pytest.raises(ConfigError, match="freeze"):
            box.step(1.0)


async def test_what_clients_do_is_recorded():
    async with frozen() as box:
        await asked(box, "/fapi/v1/depth?symbol=BTCUSDT&levels=5")
        await asked_text(box, "/fapi/v9/depth")
        async with websockets.connect(f"{box.ws}/public/ws") as ws:
            await ws.send('{"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":1}')
            await ws.recv()
            assert (1, 1, {"binance": 1}) == (box.connections.open, box.connections.total, box.connections.by_venue)
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(f"{box.ws}/v5/private")
        await until(lambda: box.connections.open == 0)
    assert ["GET /fapi/v1/depth?levels", "GET /fapi/v9/depth", "WS /v5/private"] == box.unknown
    assert [("GET", "/fapi/v1/depth", 200), ("GET", "/fapi/v9/depth", 404)] == [
        (one.method, one.path, one.status) for one in box.requests
    ]
    assert ['{"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":1}', "CLOSE"] == [one.text for one in box.frames]


async def asked_text(box: ReplayServer, address: str) -> str:
    async with httpx.AsyncClient() as client:
        return (await client.get(box.http + address)).text


async def test_a_test_can_push_a_frame_of_its_own():
    async with frozen() as box, websockets.connect(f"{box.ws}/v5/public/linear") as ws:
        await until(lambda: box.connections.open == 1)
        box.push("not for bybit", venue="binance")
        box.push("pong")
        assert "pong" == await ws.recv()


async def test_its_addresses_are_settings():
    async with quick_box() as box:
        assert isinstance(box.endpoints, EndpointSettings)
        assert {box.http, box.ws, f"{box.http}/pro"} == set(box.endpoints.model_dump().values())


async def test_a_request_over_the_budget_is_refused_by_both_venues():
    limits = Limits(binance_weight=30, bybit_requests=3)
    async with frozen(limits=limits) as box, httpx.AsyncClient(base_url=box.http) as client:
        seen = [await client.get("/fapi/v1/depth?symbol=BTCUSDT&limit=1000") for _ in range(2)]
        assert [(200, "20"), (429, "40")] == [(one.status_code, one.headers["X-MBX-USED-WEIGHT-1M"]) for one in seen]
        assert 0 < int(seen[1].headers["Retry-After"]) <= 60
        statuses = [(await client.get("/v5/market/time")).status_code for _ in range(4)]
        assert [200, 200, 200, 403] == statuses


async def test_the_news_services_are_there():
    async with quick_box() as box, httpx.AsyncClient() as client:
        posts = await client.get(f"{box.endpoints.cryptopanic}/api/v1/posts/", params={"auth_token": CRYPTOPANIC_TOKEN})
        assert 20 == len(posts.json()["results"])
        onward = await client.get(posts.json()["next"])
        assert 20 == len(onward.json()["results"])
        key = {"x-cg-pro-api-key": COINGECKO_PRO_KEY}
        for root, host in ((box.endpoints.coingecko_pro, None), (box.http, "pro-api.coingecko.com")):
            headers = key | ({"Host": host} if host else {})
            news = await client.get(f"{root}/api/v3/news", headers=headers)
            assert (200, 10) == (news.status_code, len(news.json()))
        assert [] == box.unknown


async def test_a_port_that_is_taken_is_an_error():
    async with quick_box() as box:
        with pytest.raises(OSError, match="address already in use"):
            async with quick_box(port=box.port):
                pass


def test_a_port_that_is_taken_is_an_error_in_a_thread_too():
    with box_in_thread() as box, pytest.raises(OSError, match="address already in use"), box_in_thread(port=box.port):
        pass


async def test_the_clock_begins_with_the_present_when_the_box_is_started_not_when_it_is_made():
    box = quick_box(symbols=("BTCUSDT",))
    await asyncio.sleep(0.3)
    began = time.time_ns()
    async with box:
        box.freeze()
        assert began - NS_PER_MS <= box.now_ns <= time.time_ns() + NS_PER_MS


@pytest.mark.parametrize("wrong", [{"speed": 0.0}, {"speed": math.nan}, {"history_hours": -1.0}, {"preset": "no"}])
async def test_a_wrong_setting_is_refused(wrong):
    with pytest.raises(ConfigError):
        async with quick_box(**wrong) as box:
            box.truth("BTCUSDT")


# --- faults of streams ------------------------------------------------------------------------------------------------

RESET = "reset"  # the connection ended without a close frame


async def conversation(kind: str, topic: str = "orderbook.50.BTCUSDT", **details: Any) -> tuple[list[Any], Any, Any]:
    """Frames that came, how it ended (None = it did not), and the box, with one fault after two good messages."""
    details = {"after": 2} | details
    async with frozen(faults=[Fault(kind, match="" if "handshake" in kind else "bybit", **details)]) as box:
        box.freeze()
        frames: list[Any] = []
        end: Any = None
        patience = 0.3 if kind == "handshake_hang" else 10.0
        try:
            async with websockets.connect(f"{box.ws}/v5/public/linear", max_size=2**23, open_timeout=patience) as ws:
                await ws.send(json.dumps({"op": "subscribe", "req_id": "9", "args": [topic]}))
                await ws.send('{"op":"ping"}')
                try:
                    await until(lambda: len(box.frames) == 2 or box.connections.total > box.connections.open)
                    for _ in range(8):
                        box.step(0.2 if topic.startswith("orderbook") else 20.0)
                    async for text in until_quiet(ws):
                        frames.append(text)  # noqa: PERF401 - what came before the end is kept
                except websockets.ConnectionClosed as closed:
                    end = closed.rcvd.code if closed.rcvd else RESET
                ws.transport.abort()
        except (websockets.InvalidHandshake, TimeoutError, ConnectionError, websockets.ConnectionClosed) as error:
            end = end or error
        return [decoded(text) for text in frames], end, box


def decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def books(frames: list[Any]) -> list[dict[str, Any]]:
    return [frame for frame in frames if isinstance(frame, dict) and frame.get("topic", "").startswith("orderbook")]


def us(frames: list[Any]) -> list[int]:
    """Update ids, from the snapshot's on."""
    ids = [frame["data"]["u"] for frame in books(frames)]
    return [u - ids[0] for u in ids]


def answers(frames: list[Any]) -> list[tuple[str, bool]]:
    return [(frame["op"], frame["success"]) for frame in frames if isinstance(frame, dict) and "op" in frame]


@pytest.mark.parametrize(
    ("kind", "details", "ended"),
    [
        ("reset", {}, RESET),
        ("close", {}, 1001),
        ("close", {"code": 1000}, 1000),
        ("close", {"code": 1012}, 1012),
        ("close", {"code": 1006}, RESET),
        ("reset_after_snapshot", {"after": 0}, RESET),
        ("reset_on_subscribe", {"after": 0}, RESET),
    ],
)
async def test_a_connection_ends(kind, details, ended):
    frames, end, _ = await conversation(kind, **details)
    assert ended == end
    most = {"reset_on_subscribe": 0, "reset_after_snapshot": 1}.get(kind, 2)
    assert most == len(books(frames)) or (ended == RESET and len(books(frames)) < most)  # it overtakes what was sent


@pytest.mark.parametrize(("status", "retry_after"), [(503, None), (403, None), (429, 3)])
async def test_a_handshake_is_refused(status, retry_after):
    _, end, box = await conversation("handshake_refused", after=0, status=status, retry_after=retry_after)
    assert (status, retry_after and str(retry_after), 1) == (
        end.response.status_code,
        end.response.headers.get("Retry-After"),
        box.connections.refused,
    )


async def test_a_handshake_is_not_answered():
    _, end, _ = await conversation("handshake_hang", after=0, seconds=30.0)
    assert isinstance(end, TimeoutError)


@pytest.mark.parametrize(
    ("kind", "details", "expected"),
    [
        ("gap", {}, [0, 1, 3, 4, 5, 6, 7, 8]),
        ("gap", {"count": 3}, [0, 1, 5, 6, 7, 8]),
        ("reorder", {}, [0, 1, 3, 2, 4, 5, 6, 7, 8]),
        ("reorder", {"count": 2}, [0, 1, 3, 4, 2, 5, 6, 7, 8]),
        ("duplicate", {}, [0, 1, 2, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
async def test_the_order_of_messages_is_spoiled(kind, details, expected):
    frames, _, _ = await conversation(kind, **details)
    found = us(frames)
    assert expected == found[: len(expected)]


@pytest.mark.parametrize("kind", ["crossed", "locked"])
async def test_a_book_is_crossed(kind):
    frames, _, box = await conversation(kind)
    bids = {float(p): float(q) for p, q in books(frames)[0]["data"]["b"]}
    asks = {float(p): float(q) for p, q in books(frames)[0]["data"]["a"]}
    for message in books(frames)[1:3]:
        for side, changes in ((bids, message["data"]["b"]), (asks, message["data"]["a"])):
            side.update({float(price): float(size) for price, size in changes})
    best_bid = max(price for price, size in bids.items() if size > 0)
    best_ask = min(price for price, size in asks.items() if size > 0)
    assert best_bid == best_ask if kind == "locked" else best_bid > best_ask
    assert 1 == len(box.struck)


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "", None, "-1", "0", "1e400", "1,5", "0.123456789012345678901234567890"]
)
@pytest.mark.parametrize("where", ["price", "size"])
async def test_a_number_is_none(value, where):
    frames, _, _ = await conversation("bad_number", value=value, where=where)
    data = books(frames)[2]["data"]
    first = (data["b"] or data["a"])[0]
    assert value == first[0 if where == "price" else 1]


async def test_a_message_is_of_another_symbol():
    frames, _, _ = await conversation("wrong_symbol")
    assert ["BTCUSDT", "BTCUSDT", "OTHERUSDT", "BTCUSDT"] == [one["data"]["s"] for one in books(frames)[:4]]


@pytest.mark.parametrize(("value", "low", "high"), [("0", 0, 0), ("s", 1e9, 1e10), ("us", 1e15, 1e16)])
async def test_a_messages_times_are_in_another_unit(value, low, high):
    frames, _, _ = await conversation("bad_time", value=value)
    assert low <= books(frames)[2]["ts"] <= high
    assert low <= books(frames)[2]["cts"] <= high


@pytest.mark.parametrize("kind", ["truncated", "garbage"])
async def test_a_frame_is_no_json(kind):
    frames, _, _ = await conversation(kind, value="<html>")
    (wrong,) = [frame for frame in frames if isinstance(frame, str)]
    assert wrong.startswith('{"topic":"orderbook.50.BTCUSDT"' if kind == "truncated" else "<html>")


async def test_a_frame_is_too_long():
    frames, _, _ = await conversation("oversized", count=2)
    assert [2 * 2**20] == [len(frame["padding"]) for frame in books(frames) if "padding" in frame]


async def test_a_frame_is_nested_too_deep():
    frames, _, _ = await conversation("deep")
    (wrong,) = [frame for frame in frames if isinstance(frame, str)]
    assert wrong.startswith("[" * 50_000)


async def test_a_topic_stalls_while_pings_are_answered():
    frames, _, _ = await conversation("stall", seconds=0.7)
    times = [book["ts"] for book in books(frames)]
    assert 700 <= max(later - sooner for sooner, later in pairwise(times)) < 1_000
    assert ("ping", True) in answers(frames)


async def test_a_stalled_topic_comes_back_when_it_is_subscribed_anew():
    async with frozen(faults=[Fault("stall", after=1, seconds=1e6)]) as box:
        box.freeze()
        async with websockets.connect(f"{box.ws}/v5/public/linear") as ws:
            kinds = []
            for op in ("subscribe", "unsubscribe", "subscribe"):
                await ws.send(json.dumps({"op": op, "args": ["orderbook.50.BTCUSDT"]}))
                frames = [json.loads(text) async for text in until_quiet(ws)]
                box.step(0.5)
                frames += [json.loads(text) async for text in until_quiet(ws)]
                kinds.append([book["type"] for book in books(frames)])
    assert (["snapshot"], [], ["snapshot", "delta"]) == (*kinds[:2], kinds[2][:2])


async def test_pings_are_not_answered_while_data_goes_on():
    frames, end, _ = await conversation("no_pong", after=0)
    assert ([("subscribe", True)], None) == (answers(frames), end)
    assert len(books(frames)) > 5


async def test_a_connection_is_open_and_dead():
    async with frozen(faults=[Fault("dead", after=1)]) as box:
        box.freeze()
        async with websockets.connect(f"{box.ws}/v5/public/linear", close_timeout=0.1) as ws:
            await ws.send('{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}')
            await ws.recv()
            box.step(0.5)
            first = [text async for text in until_quiet(ws)]
            await ws.send('{"op":"ping"}')
            box.step(0.5)
            assert (1, []) == (len(first), [text async for text in until_quiet(ws)])
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(await ws.ping(), 0.2)


async def test_the_server_pings_and_hangs_up_without_a_pong():
    async with frozen(faults=[Fault("server_ping", after=1, times=2, seconds=0.3)]) as box:
        box.freeze()
        async with websockets.connect(f"{box.ws}/v5/public/linear") as ws:
            await ws.send('{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}')
            await ws.recv()
            box.step(0.5)
            await until(lambda: "PONG" in [frame.text for frame in box.frames])
            ws.protocol.receive_data = lambda _: None  # this client has fallen asleep
            box.step(0.5)
            await until(lambda: box.connections.open == 0)


@pytest.mark.parametrize(("kind", "u"), [("restart", [1, 2, 3]), ("snapshot", None)])
async def test_a_snapshot_comes_in_the_middle_of_the_stream(kind, u):
    frames, _, _ = await conversation(kind, after=1)
    stream = books(frames)
    assert ["snapshot", "delta", "snapshot", "delta", "delta"] == [one["type"] for one in stream[:5]]
    assert (u or [stream[0]["data"]["u"] + i for i in (2, 3, 4)]) == [one["data"]["u"] for one in stream[2:5]]


@pytest.mark.parametrize(
    ("kind", "seconds", "least"),
    [("clock_skew", 90.0, 90_000), ("clock_skew", -90.0, -90_001), ("clock_drift", 1.0, 1)],
)
async def test_the_venues_clock_is_wrong(kind, seconds, least):
    async with frozen() as box, httpx.AsyncClient(base_url=box.http) as client:
        box.freeze()
        box.inject(Fault(kind, seconds=seconds))
        box.step(2.0)
        now = box.now_ns // 1_000_000
        linear = (await client.get("/v5/market/time")).json()
        stamps = [
            (await client.get("/fapi/v1/time")).json()["serverTime"],
            linear["time"],
            int(linear["result"]["timeNano"]) // 1_000_000,
            (await client.get(BINANCE_BOOK)).json()["E"],
        ]
        assert all(least <= stamp - now <= least + 2_001 for stamp in stamps)


async def test_a_subscription_is_refused_once():
    frames, _, _ = await conversation("subscribe_error", after=0)
    assert (("subscribe", False), []) == (answers(frames)[0], books(frames))


async def test_a_subscription_is_not_acknowledged_and_works():
    frames, _, _ = await conversation("no_ack", after=0)
    assert ([("ping", True)], True) == (answers(frames), len(books(frames)) > 2)


async def test_a_subscription_is_acknowledged_after_the_data():
    frames, _, _ = await conversation("late_ack", after=0)
    assert ("snapshot", "subscribe") == (frames[0].get("type"), frames[1].get("op"))


async def test_a_subscription_is_acknowledged_under_another_id():
    frames, _, _ = await conversation("wrong_ack", after=0)
    assert ("subscribe", "90") == (frames[0]["op"], frames[0]["req_id"])


@pytest.mark.parametrize(("kind", "count"), [("confirmed_twice", [2, 1]), ("never_confirmed", [0, 1])])
async def test_the_closed_state_of_a_candle_comes_otherwise_than_once(kind, count):
    frames, _, _ = await conversation(kind, topic="kline.1.BTCUSDT", after=0)
    closed = [row["start"] for frame in frames if "topic" in frame for row in frame["data"] if row["confirm"]]
    first = START // NS_PER_S // 60 * 60_000
    assert count == [closed.count(first), closed.count(first + 60_000)]


# --- faults of requests -----------------------------------------------------------------------------------------------


async def answered(kind: str, address: str = BYBIT_CANDLES, **details: Any) -> tuple[Any, Any]:
    """The answer with a fault, and the one without."""
    async with frozen() as box, httpx.AsyncClient(base_url=box.http) as client:
        box.freeze()
        right = await client.get(address)
        box.inject(Fault(kind, **details))
        wrong = await client.get(address)
        assert [kind] == [struck for struck, _ in box.struck]
        assert right.content == (await client.get(address)).content  # it was wrong once
        return wrong, right


@pytest.mark.parametrize("address", [BYBIT_CANDLES, BINANCE_CANDLES])
@pytest.mark.parametrize(
    ("kind", "details", "status", "wait"),
    [
        ("rate_limited", {}, 429, "2"),
        ("rate_limited", {"retry_after": 7}, 429, "7"),
        ("banned", {}, 418, "120"),
        ("forbidden", {}, 403, None),
        *(("server_error", {"status": status}, status, None) for status in (500, 502, 503, 504, 507, 520)),
        ("server_error", {"body": "json"}, 503, None),
        ("server_error", {"body": "text"}, 503, None),
    ],
)
async def test_a_request_is_refused(kind, details, status, wait, address):
    wrong, _ = await answered(kind, address, **details)
    assert (status, wait) == (wrong.status_code, wrong.headers.get("Retry-After"))
    if details.get("body") == "json":
        assert {"retCode", "code"} & set(wrong.json())


async def test_too_many_requests_in_the_venues_own_words():
    bybit_reply, _ = await answered("rate_code")
    assert (200, 10006) == (bybit_reply.status_code, bybit_reply.json()["retCode"])
    assert START // 1_000_000 + 2_000 == pytest.approx(
        int(bybit_reply.headers["X-Bapi-Limit-Reset-Timestamp"]), abs=500
    )
    binance_reply, _ = await answered("rate_code", BINANCE_CANDLES)
    assert (429, -1003) == (binance_reply.status_code, binance_reply.json()["code"])


@pytest.mark.parametrize(
    ("kind", "body"),
    [("empty_body", b""), ("null_body", b"null"), ("empty_object", b"{}"), ("empty_array", b"[]")],
)
async def test_a_body_is_empty_in_some_way(kind, body):
    wrong, _ = await answered(kind)
    assert (200, body) == (wrong.status_code, wrong.content)


async def test_a_body_is_a_page():
    wrong, _ = await answered("html")
    assert (200, "text/html", True) == (
        wrong.status_code,
        wrong.headers["Content-Type"].partition(";")[0],
        wrong.text.startswith("<!DOCTYPE html>"),
    )


async def test_a_body_is_half():
    wrong, right = await answered("truncated_json")
    assert right.content[: len(right.content) // 2] == wrong.content


async def test_a_body_has_another_type():
    wrong, right = await answered("wrong_type")
    assert ("text/html", right.content) == (wrong.headers["Content-Type"].partition(";")[0], wrong.content)


async def test_a_body_begins_with_a_byte_order_mark():
    wrong, right = await answered("bom")
    assert b"\xef\xbb\xbf" + right.content == wrong.content


async def test_a_key_comes_twice():
    wrong, _ = await answered("duplicate_keys")
    assert (2, None) == (wrong.content.count(b'"retCode"'), wrong.json()["retCode"])


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("cut_body", httpx.RemoteProtocolError),
        ("hang_up", httpx.RemoteProtocolError),
        ("gzip_garbage", httpx.DecodingError),
    ],
)
async def test_an_answer_cannot_be_read(kind, error):
    async with frozen(faults=[Fault(kind)]) as box:
        with pytest.raises((error, httpx.ReadError)):
            await asked(box, BYBIT_CANDLES)


async def test_an_answer_is_slow():
    began = time.monotonic()
    await answered("slow", seconds=0.4)
    assert time.monotonic() - began >= 0.4


async def test_an_answer_trickles():
    began = time.monotonic()
    wrong, right = await answered("trickle", "/fapi/v1/time", seconds=0.02)
    assert right.content == wrong.content
    assert time.monotonic() - began >= 0.02 * len(right.content)


def opens_of(answer: httpx.Response) -> list[int]:
    """Minutes from the first candle, oldest first for both venues."""
    body = answer.json()
    rows = body["result"]["list"][::-1] if isinstance(body, dict) else body
    return [(int(row[0]) - START // 1_000_000) // 60_000 for row in rows]


@pytest.mark.parametrize(
    ("kind", "bybit_ages", "binance_ages"),
    [
        ("missing_candle", [9, 8, 7, 6, 4, 3, 2, 1, 0], [9, 8, 7, 6, 5, 3, 2, 1, 0]),
        ("duplicate_candle", [9, 8, 7, 6, 5, 5, 4, 3, 2, 1, 0], [9, 8, 7, 6, 5, 4, 4, 3, 2, 1, 0]),
        ("unsorted_candles", [9, 8, 7, 6, 4, 5, 3, 2, 1, 0], [9, 8, 7, 6, 4, 5, 3, 2, 1, 0]),
        ("reply_wrong_interval", [8, 6, 4, 2, 0], [9, 7, 5, 3, 1]),
        ("future_candle", [9, 8, 7, 6, 5, 4, 3, 2, 1, -100], [9, 8, 7, 6, 5, 4, 3, 2, 1, -100]),
    ],
)
async def test_candles_are_not_as_they_should_be(kind, bybit_ages, binance_ages):
    for address, expected in ((BYBIT_CANDLES, bybit_ages), (BINANCE_CANDLES, binance_ages)):
        wrong, right = await answered(kind, address)
        newest = opens_of(right)[-1]
        assert expected == [newest - minute for minute in opens_of(wrong)]


@pytest.mark.parametrize("address", [f"{BYBIT_CANDLES}&end={{end}}", f"{BINANCE_CANDLES}&endTime={{end}}"])
async def test_the_candle_being_formed_is_there_though_nobody_asked(address):
    end = START // NS_PER_S // 60 * 60_000 - 180_000
    wrong, right = await answered("forming_candle", address.format(end=end))
    assert [*opens_of(right), -3, -2, -1] == opens_of(wrong)


@pytest.mark.parametrize("address", [BYBIT_CANDLES, BINANCE_CANDLES])
async def test_a_closed_candle_is_revised(address):
    wrong, right = await answered("revised_candle", address)
    assert opens_of(right) == opens_of(wrong)
    assert right.content != wrong.content


@pytest.mark.parametrize("address", [BYBIT_CANDLES, BINANCE_CANDLES])
async def test_a_candle_is_impossible(address):
    wrong, _ = await answered("impossible_candle", address)
    body = wrong.json()
    rows = body["result"]["list"] if isinstance(body, dict) else body
    assert [float(row[2]) < float(row[3]) for row in rows].count(True) == 1


@pytest.mark.parametrize(
    ("address", "where"),
    [
        *(
            (address, where)
            for address in (BYBIT_CANDLES, BINANCE_CANDLES, BYBIT_BOOK, BINANCE_BOOK)
            for where in ("price", "size")
        ),
        ("/fapi/v1/premiumIndex?symbol=BTCUSDT", "price"),
    ],
)
async def test_an_answers_number_is_none(address, where):
    wrong, right = await answered("reply_bad_number", address, where=where, value="Infinity")
    assert (0, 1) == (right.text.count("Infinity"), wrong.text.count('"Infinity"'))


@pytest.mark.parametrize(
    ("kind", "address", "seen"),
    [
        ("reply_wrong_symbol", BYBIT_BOOK, b"OTHERUSDT"),
        ("reply_wrong_symbol", "/fapi/v1/ticker/24hr?symbol=BTCUSDT", b"OTHERUSDT"),
        ("reply_wrong_category", BYBIT_CANDLES, b'"category":"inverse"'),
        ("reply_bad_time", "/fapi/v1/time", b'{"serverTime":0}'),
    ],
)
async def test_an_answer_is_about_something_else(kind, address, seen):
    wrong, right = await answered(kind, address)
    assert (True, False) == (seen in wrong.content, seen in right.content)


@pytest.mark.parametrize("address", [BYBIT_BOOK, BINANCE_BOOK])
async def test_an_answers_book_is_crossed(address):
    wrong, _ = await answered("reply_crossed", address)
    body = wrong.json()
    bids, asks = (body["bids"], body["asks"]) if "bids" in body else (body["result"]["b"], body["result"]["a"])
    assert float(bids[0][0]) > float(asks[0][0])


async def test_a_snapshot_is_older_than_the_stream():
    wrong, right = await answered("stale_snapshot", BINANCE_BOOK)
    assert right.json()["lastUpdateId"] - 1_000_000 == wrong.json()["lastUpdateId"]


def test_every_kind_of_fault_has_a_test():
    with open(__file__, encoding="utf-8") as handle:  # noqa: PTH123
        text = handle.read()
    assert [] == [kind for kind in FAULT_KINDS if f'"{kind}"' not in text]
    assert {"clock_skew", "clock_drift"} == set(WS_FAULTS) & set(REST_FAULTS)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("banned"), DDoSProtection),
        (Fault("forbidden"), RateLimitExceeded),
        (Fault("rate_code"), RateLimitExceeded),
    ],
)
def test_ccxt_meets_the_faults(standing, fault, error):
    exchange = bybit(standing, ccxt)
    standing.inject(fault)
    with pytest.raises(error):
        exchange.fetch_order_book(BTC, 5)
    standing.clear_faults()
