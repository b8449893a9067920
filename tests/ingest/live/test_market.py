"""A live market as one feed, from an exchange in a box."""

import asyncio
import time

import pytest

from ingest.live import market as rim
from ingest.live.market import MarketFeed, polled_books
from tests.boxes import PATIENCE_S, let_clocks_run, quick_box
from tests.fakes import ListFeed
from utils.errors import DataUnavailable
from utils.ports import Feed
from utils.settings.tree import EndpointSettings, Settings
from utils.types import Bar, BookDelta, BookSnapshot, Trade


def settings_at(endpoints, exchange="bybit", **ingest):
    plain = Settings()
    return plain.model_copy(
        update={
            "endpoints": endpoints,
            "market": plain.market.model_copy(update={"exchange": exchange}),
            "ingest": plain.ingest.model_copy(update=ingest),
        }
    )


async def heard(feed, wanted):
    """Events until one of each wanted kind has come."""
    events = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in feed:
            events.append(event)
            if set(wanted) <= {type(one) for one in events}:
                break
    return events


@pytest.mark.slow
@pytest.mark.parametrize("books_of", ["bybit", "binance"])
async def test_books_and_prints_come_as_one_feed_wherever_they_are_from(books_of):
    async with quick_box(symbols=("BTCUSDT",)) as box:
        async with MarketFeed(["BTCUSDT"], "1m", books_of, settings_at(box.endpoints)) as feed:
            assert isinstance(feed, Feed)
            events = await heard(feed, {BookSnapshot, BookDelta, Trade})
        assert {"BTCUSDT"} == {event.symbol for event in events}


class Ear:
    """A listener that keeps what kinds of events it was told of, and the books that moved."""

    def __init__(self):
        self.kinds, self.moves = set(), []

    def see(self, event):
        self.kinds.add(type(event))

    def moved(self, symbol, ts, ts_recv, book):
        self.moves.append((symbol, ts, ts_recv, len(book)))


@pytest.mark.parametrize("books_of", ["bybit", "binance"])
async def test_a_listener_hears_what_every_exchange_brings_and_the_reader_all_but_deltas(books_of, monkeypatch):
    let_clocks_run(monkeypatch)
    ear = Ear()
    async with quick_box(symbols=("BTCUSDT",), speed=60.0) as box:
        feed = MarketFeed(["BTCUSDT"], "1m", books_of, settings_at(box.endpoints), listener=ear)
        async with feed:
            events = await heard(feed, {BookSnapshot, Trade, Bar})
    assert BookDelta not in {type(event) for event in events} | ear.kinds
    assert {BookSnapshot, Trade, Bar} <= ear.kinds
    assert {("BTCUSDT", 1)} == {(symbol, size) for symbol, _, _, size in ear.moves}


async def test_a_listener_hears_of_books_by_rest():
    ear, nowhere = Ear(), EndpointSettings(bybit_ws="ws://127.0.0.1:9")
    book = BookSnapshot("BTCUSDT", 1, 1, ((1.0, 1.0),), ((2.0, 1.0),))
    async with MarketFeed(["BTCUSDT"], "1m", "bybit", settings_at(nowhere), listener=ear) as feed:
        feed._polled = [ListFeed([book])]
        assert [book] == await heard(feed, {BookSnapshot})
    assert {BookSnapshot} == ear.kinds


async def test_bars_come_among_them_when_they_close():
    async with quick_box(symbols=("BTCUSDT",), speed=60.0) as box:
        async with MarketFeed(["BTCUSDT"], "1m", "bybit", settings_at(box.endpoints)) as feed:
            events = await heard(feed, {Bar, BookDelta})
        assert {"1m"} == {event.tf for event in events if isinstance(event, Bar)}


async def test_what_one_exchange_brings_passes_no_second_queue():
    nowhere = EndpointSettings(bybit_ws="ws://127.0.0.1:9")
    async with MarketFeed(["BTCUSDT"], "1m", "bybit", settings_at(nowhere)) as feed:
        assert aiter(feed) is feed._feeds[0]


@pytest.mark.parametrize("books_of", ["bybit", "binance"])
async def test_an_exchange_that_is_not_there_ends_the_reading_with_its_error(books_of):
    async with quick_box(symbols=("BTCUSDT",)) as box:
        nowhere = EndpointSettings(
            **{**dict(box.endpoints), "bybit_ws": "ws://127.0.0.1:9", "bybit_rest": "http://127.0.0.1:9"}
        )
        quick = {"retries": 1, "backoff_s": 0.01, "backoff_max_s": 0.02, "timeout_s": 1.0}
        async with MarketFeed(["BTCUSDT"], "1m", books_of, settings_at(nowhere, **quick)) as feed:
            with pytest.raises(DataUnavailable, match="bybit"):
                await heard(feed, {Bar})


@pytest.mark.parametrize("books_of", ["bybit", "binance"])
async def test_a_feed_that_is_left_has_no_task_behind_it(books_of):
    async with quick_box(symbols=("BTCUSDT",)) as box:
        before = asyncio.all_tasks()
        async with MarketFeed(["BTCUSDT"], "1m", books_of, settings_at(box.endpoints)) as feed:
            await heard(feed, {BookSnapshot})
        mine = {task for task in asyncio.all_tasks() - before if "ingest/live" in str(task)}
        assert set() == mine


async def test_books_by_rest_come_again_and_again(monkeypatch):
    monkeypatch.setattr(rim, "POLL_S", 0.01)
    async with quick_box(symbols=("BTCUSDT",)) as box:
        books = polled_books("BTCUSDT", "bybit", settings_at(box.endpoints))
        began = time.time_ns()
        first, second = [await anext(books), await anext(books)]
        await books.aclose()
    assert ["BTCUSDT"] * 2 == [first.symbol, second.symbol]
    assert first.bids[0][0] < first.asks[0][0]
    assert first.ts <= second.ts <= second.ts_recv
    assert began <= first.ts_recv
