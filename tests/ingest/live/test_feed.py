"""The live feed over real sockets: the exchange in a box, and small servers that misbehave on purpose."""

import asyncio
import contextlib
import json
import time

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from benchmarks.faults import Reader
from benchmarks.soak import Book
from ingest.box.faults.desk import Fault
from ingest.live.feed import LiveFeed, load_code
from ingest.wire.streams import Stream
from tests import boxes
from tests.boxes import box_in_thread, certificate, quick_box
from utils.errors import ConfigError, DataUnavailable, InvariantError
from utils.settings.tree import EndpointSettings, IngestSettings
from utils.types import BookDelta, BookInvalid, BookSnapshot, Trade

SYMBOLS = ("BTCUSDT", "ETHUSDT")
QUICK = IngestSettings(timeout_s=5.0, backoff_s=0.05, backoff_max_s=0.2, heartbeat_s=5.0, stale_s=5.0)
HASTY = QUICK.model_copy(update={"timeout_s": 0.5})
BOOKS = [Stream("book", symbol) for symbol in SYMBOLS]
ALL = [*BOOKS, *(Stream("trades", symbol) for symbol in SYMBOLS), *(Stream("quote", symbol) for symbol in SYMBOLS)]
VENUES = ("bybit", "binance")


@pytest.fixture(scope="module", autouse=True)
def _warm():
    """Nothing is compiled while a test waits."""
    load_code("bybit")
    with box_in_thread(symbols=SYMBOLS, history_hours=0.1) as box:
        box.truth("BTCUSDT")


def small_box(**settings):
    return quick_box(**{"history_hours": 0.1} | settings)


async def until(true):
    """Wait for something; on a machine as busy as may be."""
    await boxes.until(true)


def agrees(feed, box, symbol, levels=20):
    """Is the book live, and what the market shows?"""
    view = feed.book(symbol, levels)
    return view.state == "live" and (view.bids, view.asks) == box.truth(symbol, levels)


@contextlib.asynccontextmanager
async def reading(feed):
    """Enter a feed, and read it in the background into a `Reader`."""
    reader = Reader()
    async with feed:

        async def read():
            async for noun in feed:
                reader.take(noun)

        task = asyncio.create_task(read())
        try:
            yield reader
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def to_the_end(feed):
    """Read a feed until it ends."""
    async for _ in feed:
        pass


def cut(box):
    """Every connection of the box ends by a TCP reset."""
    for connection in tuple(box._open):
        connection.cut(reset=True)


@contextlib.asynccontextmanager
async def venue(talk, **options):
    """A server of our own, where a test decides every frame; yields the endpoints."""
    async with serve(talk, "127.0.0.1", 0, compression=None, **options) as server:
        yield EndpointSettings(bybit_ws=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def acknowledge(socket, send_first=()):
    """Speak Bybit: answer requests, send snapshots of what is subscribed to."""
    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            order = json.loads(message)
            await socket.send(
                json.dumps({"success": True, "ret_msg": "", "req_id": order["req_id"], "op": order["op"]})
            )
            for topic in order.get("args", ()) if order["op"] == "subscribe" else ():
                await socket.send(Book(topic.split(".")[-1], 1).snapshot())
                for text in send_first:
                    await socket.send(text)


@pytest.mark.parametrize("exchange", VENUES)
async def test_books_read_from_the_stream_are_the_markets(exchange):
    async with small_box(symbols=SYMBOLS) as box, LiveFeed(exchange, ALL, endpoints=box.endpoints) as feed:
        await until(lambda: all(feed.book(symbol).state == "live" for symbol in SYMBOLS))
        await asyncio.sleep(0.5)
        box.freeze()
        await until(lambda: all(agrees(feed, box, symbol) for symbol in SYMBOLS))
        assert (0, 0, 0) == (feed.stats().reconnects, feed.stats().dropped, feed.stats().refused_messages)
        assert [] == box.unknown


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_reader_who_follows_the_events_has_the_same_book(exchange):
    async with (
        small_box(symbols=SYMBOLS) as box,
        reading(LiveFeed(exchange, BOOKS, endpoints=box.endpoints)) as reader,
    ):
        await until(lambda: all(reader.live(symbol) for symbol in SYMBOLS))
        await asyncio.sleep(0.5)
        box.freeze()
        await until(lambda: all(reader.top(symbol, 20) == box.truth(symbol, 20) for symbol in SYMBOLS))
        assert [] == reader.wrong


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_lost_connection_ends_the_books_and_a_new_one_brings_them_back(exchange):
    async with small_box(symbols=SYMBOLS) as box:
        feed = LiveFeed(exchange, BOOKS, endpoints=box.endpoints, settings=QUICK)
        async with reading(feed) as reader:
            await until(lambda: all(reader.live(symbol) for symbol in SYMBOLS))
            cut(box)
            await until(lambda: len(reader.invalid) == 2)
            await until(lambda: all(reader.live(symbol) for symbol in SYMBOLS))
            box.freeze()
            await until(lambda: all(reader.top(symbol, 20) == box.truth(symbol, 20) for symbol in SYMBOLS))
            assert set(SYMBOLS) == {noun.symbol for noun in reader.invalid}
            assert (1, []) == (feed.stats().reconnects, reader.wrong)
            assert all("disconnected" in noun.reason for noun in reader.invalid)


async def test_a_reader_too_slow_is_told_and_its_books_begin_anew():
    slow = QUICK.model_copy(update={"queue": 10})
    async with (
        small_box(symbols=SYMBOLS, preset="btc-like", speed=5.0) as box,
        LiveFeed("bybit", BOOKS, endpoints=box.endpoints, settings=slow) as feed,
    ):
        reader = Reader()
        await until(lambda: feed.stats().dropped > 50)
        box.freeze()
        await until(lambda: all(agrees(feed, box, symbol) for symbol in SYMBOLS))
        for noun in await feed.batch():
            reader.take(noun)
        assert all(reader.top(symbol, 20) == box.truth(symbol, 20) for symbol in SYMBOLS)
        assert any("reader too slow" in noun.reason for noun in reader.invalid)
        assert feed.stats().queued <= 10


async def test_without_events_books_are_still_the_markets_and_no_delta_is_made():
    async with small_box(symbols=SYMBOLS, preset="btc-like") as box:
        feed = LiveFeed("bybit", ALL, endpoints=box.endpoints, events=False)
        async with reading(feed) as reader:
            await until(lambda: all(feed.book(symbol).state == "live" for symbol in SYMBOLS))
            await until(lambda: feed.counts()["BTCUSDT", "book"].messages > 5)
            box.freeze()
            await until(lambda: all(agrees(feed, box, symbol) for symbol in SYMBOLS))
            assert 0 == reader.kinds[BookDelta]


class Ear:
    """A listener that keeps nouns, and of books that moved the best bid and ask."""

    def __init__(self):
        self.nouns, self.moves = [], []

    def see(self, event):
        self.nouns.append(event)

    def moved(self, symbol, ts, ts_recv, book):
        self.moves.append((symbol, ts <= ts_recv, *book["top"][["bid", "ask"]][0]))


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_listener_hears_all_and_the_reader_all_but_deltas(exchange):
    ear = Ear()
    async with small_box(symbols=SYMBOLS, preset="btc-like") as box:
        feed = LiveFeed(exchange, ALL, endpoints=box.endpoints, settings=QUICK, listener=ear)
        async with feed:
            yielded = [await anext(feed) for _ in range(300)]
            await until(lambda: len(ear.moves) > 100)
            box.freeze()
            await until(lambda: all(agrees(feed, box, symbol) for symbol in SYMBOLS))
            yielded += [await anext(feed) for _ in range(feed.stats().queued)]
            stats, counts = feed.stats(), feed.counts()
            tops = {symbol: (bid, ask) for symbol, _, bid, ask in ear.moves}
            views = {symbol: feed.book(symbol, 1) for symbol in SYMBOLS}
    assert yielded == ear.nouns[: len(yielded)]
    assert {BookSnapshot, Trade} < {*map(type, yielded)}
    assert BookDelta not in map(type, ear.nouns)
    assert all(in_time for _, in_time, *_ in ear.moves)
    assert tops == {symbol: (view.bids[0][0], view.asks[0][0]) for symbol, view in views.items()}
    books = sum(counts[symbol, "book"].events for symbol in SYMBOLS)
    assert books == len(ear.moves) + sum(isinstance(noun, BookSnapshot) for noun in ear.nouns)
    assert 0.0 < stats.latency_p50_us <= stats.latency_max_us


async def test_a_listener_misses_nothing_while_the_reader_is_too_slow():
    slow, ear = QUICK.model_copy(update={"queue": 10}), Ear()
    async with (
        small_box(symbols=SYMBOLS, preset="btc-like", speed=5.0) as box,
        LiveFeed("bybit", ALL, endpoints=box.endpoints, settings=slow, listener=ear) as feed,
    ):
        await until(lambda: feed.stats().dropped > 50)
    begun = [noun.symbol for noun in ear.nouns if isinstance(noun, BookSnapshot)]
    lost = [noun for noun in ear.nouns if isinstance(noun, BookInvalid) and "disconnected" not in noun.reason]
    assert ([*SYMBOLS], []) == (sorted(begun), lost)


async def test_what_a_listener_raises_ends_the_feed():
    class Full(Ear):
        def moved(self, symbol, *_):
            raise InvariantError(f"no room for {symbol}")

    async with small_box(symbols=SYMBOLS, preset="btc-like") as box:
        feed = LiveFeed("bybit", BOOKS, endpoints=box.endpoints, settings=QUICK, listener=Full())
        async with feed:
            with pytest.raises(InvariantError, match="no room for"):
                await to_the_end(feed)


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_socket_is_renewed_before_the_exchange_ends_it(exchange):
    async with small_box(symbols=SYMBOLS) as box:
        feed = LiveFeed(exchange, BOOKS, endpoints=box.endpoints, settings=QUICK, renew_s=0.5)
        async with reading(feed) as reader:
            await until(lambda: feed.stats().reconnects >= 2)
            await until(lambda: all(reader.live(symbol) for symbol in SYMBOLS))
            assert any("renewed" in noun.reason for noun in reader.invalid)
            assert box.connections.open <= 2  # the old one, if at all, and the new
            assert [] == reader.wrong


@pytest.mark.parametrize("exchange", VENUES)
async def test_the_tapes_clock_stamps_what_is_received(exchange):
    start_ns = 1_700_000_000_000_000_000
    async with small_box(symbols=SYMBOLS, start_ns=start_ns) as box:
        feed = LiveFeed(exchange, BOOKS, endpoints=box.endpoints, clock_query=True)
        async with reading(feed) as reader:
            await until(lambda: reader.kinds[BookDelta] > 5)
            assert all(start_ns < noun.ts_recv < start_ns + 60 * 10**9 for noun in reader.nouns)


async def test_a_tap_is_told_of_everything_that_passes_the_sockets():
    lines = []

    def tap(recv_ns, url, text, event="", /):
        lines.append((recv_ns, url, text, event))

    async with small_box(symbols=SYMBOLS) as box:
        began = time.time_ns()
        feed = LiveFeed("binance", BOOKS, endpoints=box.endpoints, on_raw=tap, settings=QUICK)
        async with reading(feed) as reader:
            await until(lambda: all(reader.live(symbol) for symbol in SYMBOLS))
            cut(box)
            await until(lambda: feed.stats().reconnects == 1)
        assert ["connect", "disconnect", "connect"] == [
            event for *_, event in lines if event in {"connect", "disconnect"}
        ]
        asked = {url.removeprefix(box.http) for _, url, _, event in lines if event == "http"}
        assert {f"/fapi/v1/depth?symbol={symbol}&limit=1000" for symbol in SYMBOLS} <= asked
        assert {"depthUpdate"} == {json.loads(text)["data"]["e"] for *_, text, event in lines if event == ""}
        assert sorted(stamp for stamp, *_ in lines) == [stamp for stamp, *_ in lines]
        assert began < lines[0][0]


async def test_what_is_sent_is_told_to_the_tap_too():
    lines = []
    async with small_box(symbols=SYMBOLS) as box:
        async with LiveFeed("bybit", BOOKS, endpoints=box.endpoints, on_raw=lambda *line: lines.append(line)):
            await until(lambda: len(lines) > 3)
        sent = [json.loads(line[2])["op"] for line in lines if line[3:] == ("send",)]
        assert ["subscribe"] == sent[:1]


async def test_tls_is_verified_against_the_trust_that_was_given():
    trusted = certificate()
    async with small_box(symbols=SYMBOLS, ssl=trusted.server) as box:
        for exchange in VENUES:
            async with LiveFeed(exchange, BOOKS, endpoints=box.endpoints, ssl=trusted.client) as feed:
                await until(lambda: feed.book("BTCUSDT").state == "live")
        async with LiveFeed("bybit", BOOKS, endpoints=box.endpoints, settings=HASTY) as feed:
            with pytest.raises(DataUnavailable, match="certificate verify failed"):
                await feed.batch()


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_symbol_the_exchange_does_not_know_ends_the_feed_by_name(exchange):
    async with (
        small_box(symbols=("BTCUSDT",)) as box,
        LiveFeed(exchange, [Stream("book", "NOSUCHUSDT")], endpoints=box.endpoints, settings=HASTY) as feed,
    ):
        with pytest.raises(DataUnavailable, match=rf"{exchange}.*NOSUCHUSDT"):
            await anext(feed)
        with pytest.raises(DataUnavailable):
            feed.book("NOSUCHUSDT")


async def test_a_symbol_the_exchange_does_not_know_is_not_mistaken_for_one_that_ends_alike():
    streams = [Stream("book", "BTCUSDT"), Stream("book", "WBTCUSDT")]
    async with (
        small_box(symbols=("BTCUSDT",)) as box,
        LiveFeed("bybit", streams, endpoints=box.endpoints, settings=QUICK) as feed,
    ):
        with pytest.raises(DataUnavailable, match="WBTCUSDT, and the exchange refused it"):
            await asyncio.wait_for(to_the_end(feed), 10.0)
        assert 1 == feed.stats().connects


@pytest.mark.parametrize("exchange", VENUES)
async def test_liquidations_may_be_silent_for_longer_than_a_beginning_may_take(exchange):
    streams = [Stream("book", "BTCUSDT"), Stream("liquidations", "BTCUSDT")]
    settings = QUICK.model_copy(update={"timeout_s": 3.0})
    async with (
        small_box(symbols=("BTCUSDT",)) as box,
        LiveFeed(exchange, streams, endpoints=box.endpoints, settings=settings) as feed,
    ):
        await asyncio.sleep(3.5)
        await until(lambda: feed.book("BTCUSDT").state == "live")


async def test_an_exchange_that_says_nothing_is_an_error_and_not_a_wait():
    async with (
        venue(lambda socket: socket.wait_closed()) as endpoints,
        LiveFeed("bybit", BOOKS, endpoints=endpoints, settings=HASTY) as feed,
    ):
        with pytest.raises(
            DataUnavailable,
            match=r"bybit: expected data of BTCUSDT, ETHUSDT from 127.0.0.1:.* within 0.5 s.*keeps silent",
        ):
            await anext(feed)


async def test_nobody_at_the_address_is_an_error_that_says_so():
    async with venue(lambda socket: socket.wait_closed()) as endpoints:
        pass
    async with LiveFeed("bybit", BOOKS, endpoints=endpoints, settings=HASTY) as feed:
        with pytest.raises(DataUnavailable, match="Connect call failed"):
            await anext(feed)


async def test_a_ban_on_the_stream_ends_the_feed():
    def refuse(connection, _):
        return connection.respond(418, "banned")

    async with (
        venue(acknowledge, process_request=refuse) as endpoints,
        LiveFeed("bybit", BOOKS, endpoints=endpoints, settings=QUICK) as feed,
    ):
        with pytest.raises(DataUnavailable, match=r"bybit.*418.*banned"):
            await anext(feed)


async def test_a_refused_handshake_waits_as_long_as_the_exchange_asks():
    tries = []

    def refuse_once(connection, _):
        tries.append(time.monotonic())
        if len(tries) > 1:
            return None
        response = connection.respond(429, "slow down")
        response.headers["Retry-After"] = "1"
        return response

    async with (
        venue(acknowledge, process_request=refuse_once) as endpoints,
        LiveFeed("bybit", BOOKS, endpoints=endpoints, settings=QUICK) as feed,
    ):
        await until(lambda: feed.book("BTCUSDT").state == "live")
        assert 1.0 <= tries[1] - tries[0] < 1.5


async def test_nonsense_is_counted_and_the_connection_goes_on(caplog):
    async def talk(socket):
        await acknowledge(socket, ("{", "\x00", "[1]", '{"hello":"world"}'))

    async with (
        venue(talk) as endpoints,
        LiveFeed("bybit", BOOKS[:1], endpoints=endpoints, settings=QUICK) as feed,
    ):
        await until(lambda: feed.stats().refused_messages >= 3)
        assert ("live", 0) == (feed.book("BTCUSDT").state, feed.stats().reconnects)
    # said once, not for each
    assert 1 == [getattr(record, "event", "") for record in caplog.records].count("message_refused")


async def test_a_message_too_long_ends_the_connection_and_not_the_feed():
    visits = []

    async def talk(socket):
        visits.append(socket)
        await acknowledge(socket, ("x" * 20_000,) if len(visits) == 1 else ())

    small = QUICK.model_copy(update={"max_frame_mib": 0.01})
    async with (
        venue(talk) as endpoints,
        LiveFeed("bybit", BOOKS[:1], endpoints=endpoints, settings=small) as feed,
    ):
        await until(lambda: feed.stats().reconnects == 1)
        await until(lambda: feed.book("BTCUSDT").state == "live")
        assert "1009" in next(iter(feed.stats().errors.values()))


async def test_a_server_that_goes_silent_is_left_for_a_new_connection():
    quiet = QUICK.model_copy(update={"stale_s": 0.2, "heartbeat_s": 0.2})
    visits = []

    async def talk(socket):
        visits.append(socket)
        if len(visits) > 1:
            return await acknowledge(socket)
        await socket.recv()
        await socket.send(Book("BTCUSDT", 1).snapshot())
        # not even a pong: what is sent to it is not read
        socket.transport.pause_reading()
        await asyncio.sleep(1)
        return None

    async with (
        venue(talk, ping_interval=None, close_timeout=0.1) as endpoints,
        LiveFeed("bybit", BOOKS[:1], endpoints=endpoints, settings=quiet) as feed,
    ):
        await until(lambda: feed.stats().reconnects >= 1)


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_book_whose_stream_stalls_alone_comes_back(exchange):
    short = QUICK.model_copy(update={"stale_s": 0.5})
    async with (
        small_box(symbols=SYMBOLS, preset="btc-like") as box,
        reading(LiveFeed(exchange, BOOKS, endpoints=box.endpoints, settings=short)) as reader,
    ):
        await until(lambda: all(reader.live(symbol) for symbol in SYMBOLS))
        box.inject(Fault("stall", match="orderbook.50.BTCUSDT" if exchange == "bybit" else "btcusdt@depth"))
        await until(lambda: any("stale" in noun.reason for noun in reader.invalid))
        await until(lambda: reader.live("BTCUSDT"))
        assert "BTCUSDT" == reader.invalid[0].symbol


async def test_a_clock_that_was_set_back_blinds_no_watch():
    back_s = 0

    def stamp():
        return time.time_ns() - back_s * 1_000_000_000

    async with (
        small_box(symbols=("BTCUSDT",)) as box,
        LiveFeed("bybit", BOOKS[:1], endpoints=box.endpoints, settings=QUICK, stamp=stamp) as feed,
    ):
        await until(lambda: feed.book("BTCUSDT").state == "live")
        back_s = 3600
        await until(lambda: feed.stats().reconnects == 1 and feed.book("BTCUSDT").state == "live")
        assert "set back by 3" in next(iter(feed.stats().errors.values()))


async def test_a_topic_that_is_refused_once_is_asked_for_again():
    async with small_box(symbols=SYMBOLS, preset="btc-like") as box:
        feed = LiveFeed("bybit", BOOKS, endpoints=box.endpoints, settings=QUICK)
        async with reading(feed) as reader:
            await until(lambda: all(reader.live(symbol) for symbol in SYMBOLS))
            box.inject(Fault("subscribe_error", times=3), Fault("gap", match="orderbook.50.BTCUSDT"))
            await until(lambda: len(box.struck) == 4)
            await until(lambda: reader.live("BTCUSDT"))


async def test_trades_come_with_their_side_and_price():
    async with (
        small_box(symbols=SYMBOLS, preset="btc-like", speed=5.0) as box,
        reading(LiveFeed("bybit", ALL, endpoints=box.endpoints)) as reader,
    ):
        await until(lambda: reader.kinds[Trade] > 3)
        known = {(round(trade.ts / 1e6), trade.price) for trade in reader.nouns if isinstance(trade, Trade)}
        box.freeze()
        market = box.exchange.market
        seen = {(row.ts // 10**6, float(market(s).grid.price(row.tick))) for s in SYMBOLS for row in market(s).trades}
        assert set() == known - seen


async def test_a_proxy_of_the_environment_does_not_stand_between_this_machine_and_itself(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "WS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with (
        small_box(symbols=SYMBOLS) as box,
        LiveFeed("binance", BOOKS, endpoints=box.endpoints, settings=QUICK) as feed,
    ):
        await until(lambda: feed.book("BTCUSDT").state == "live")


async def test_a_closed_feed_ends_its_readers():
    async with small_box(symbols=SYMBOLS) as box:
        async with LiveFeed("bybit", BOOKS, endpoints=box.endpoints) as feed:
            await anext(feed)
        assert all(isinstance(noun, (BookSnapshot, BookDelta, BookInvalid)) for noun in await feed.batch())
        assert [] == await feed.batch()
        with pytest.raises(StopAsyncIteration):
            await anext(feed)
        await until(lambda: box.connections.open == 0)


def test_a_feed_that_was_not_entered_says_so_instead_of_waiting():
    with pytest.raises(InvariantError, match="async with"):
        aiter(LiveFeed("bybit", BOOKS))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LiveFeed("kraken", BOOKS), "kraken futures"),
        (lambda: LiveFeed("bybit", BOOKS, market_type="options"), "bybit options"),
        (lambda: LiveFeed("bybit", []), "at least one"),
        (lambda: LiveFeed("bybit", BOOKS).book("DOGEUSDT"), "BTCUSDT, ETHUSDT"),
    ],
)
def test_a_feed_that_cannot_be_says_what_can(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_feed_cancelled_twice_leaves_nothing_open(exchange):
    """A second cancel came while sockets said goodbye, and the connections for REST stayed open."""
    async with small_box(symbols=SYMBOLS) as box:
        feed = LiveFeed(exchange, ALL, endpoints=box.endpoints)

        async def read():
            async with feed:
                async for _ in feed:
                    pass

        task = asyncio.create_task(read())
        await until(lambda: all(feed.book(symbol).state == "live" for symbol in SYMBOLS))
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: box.connections.open == 0)
        assert feed._dialler.client is None or feed._dialler.client.is_closed
