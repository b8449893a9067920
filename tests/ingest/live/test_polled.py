"""A market by REST as one feed, from an exchange in a box."""

import asyncio

import pytest

from ingest.live import polled
from ingest.live.polled import PolledFeed
from ingest.replay_server import Fault
from tests.boxes import PATIENCE_S, quick_box
from tests.exec.live.desks import settings_at
from utils.errors import DataUnavailable
from utils.ports import Feed
from utils.rows import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from utils.types import Bar, BookSnapshot


async def heard(feed, wanted):
    """Events until so many bars, and a book, have come."""
    events = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in feed:
            events.append(event)
            kinds = [type(one) for one in events]
            if kinds.count(Bar) >= wanted and BookSnapshot in kinds:
                break
    return events


class Ear:
    def __init__(self):
        self.events = []

    def see(self, event):
        self.events.append(event)


def closed(box, symbol):
    """The last closed bar."""
    candle = box.candles(symbol, "1m")[-2]
    return symbol, candle.open_ms * NS_PER_MS + NS_PER_MINUTE, candle.close


@pytest.mark.parametrize("exchange", ["bybit", "binance"])
async def test_it_begins_with_the_newest_closed_bar_and_the_book_of_each_symbol(exchange):
    async with quick_box(symbols=("BTCUSDT", "ETHUSDT")) as box:
        settings = settings_at(box.endpoints, api={})
        settings = settings.model_copy(update={"market": settings.market.model_copy(update={"exchange": exchange})})
        ear = Ear()
        feed = PolledFeed(["BTCUSDT", "ETHUSDT"], "1m", settings, listener=ear, now_ns=lambda: box.now_ns)
        assert isinstance(feed, Feed)
        for symbol in ("BTCUSDT", "ETHUSDT"):
            box.candles(symbol, "1m")
        before = [closed(box, symbol) for symbol in ("BTCUSDT", "ETHUSDT")]
        events = await heard(feed, 2)
        after = [closed(box, symbol) for symbol in ("BTCUSDT", "ETHUSDT")]
    bars = sorted((one.symbol, one.ts, one.close) for one in events if isinstance(one, Bar))
    assert bars in (before, after)
    assert events == ear.events[: len(events)]
    assert all(one.ts_recv >= one.ts and one.tf == "1m" for one in events if isinstance(one, Bar))


@pytest.mark.slow
async def test_the_next_bar_comes_when_it_is_due_and_is_asked_for_until_it_is_there(monkeypatch):
    monkeypatch.setattr(polled, "AGAIN_S", 0.1)
    async with quick_box(symbols=("BTCUSDT",), speed=20.0) as box:
        settings = settings_at(box.endpoints, api={})
        # a clock that is ahead of the exchange's asks too early
        feed = PolledFeed(["BTCUSDT"], "1m", settings, now_ns=lambda: box.now_ns + 3 * NS_PER_S)
        bars = [one for one in await heard(feed, 3) if isinstance(one, Bar)]
        prices = {one.open_ms * NS_PER_MS + NS_PER_MINUTE: one.close for one in box.candles("BTCUSDT", "1m")}
    assert [bars[0].ts + k * NS_PER_MINUTE for k in range(3)] == [bar.ts for bar in bars]
    assert [prices[bar.ts] for bar in bars] == [bar.close for bar in bars]


@pytest.mark.parametrize("part", ["kline", "orderbook"])
async def test_an_exchange_that_does_not_answer_ends_the_reading_with_its_error(part):
    async with quick_box(symbols=("BTCUSDT",)) as box:
        box.inject(Fault("hang_up", part, times=0))
        with pytest.raises(DataUnavailable, match="no connection"):
            await heard(PolledFeed(["BTCUSDT"], "1m", settings_at(box.endpoints, api={})), 9)


async def test_a_feed_that_is_cancelled_leaves_no_task_behind():
    async with quick_box(symbols=("BTCUSDT",)) as box:
        before = asyncio.all_tasks()
        reading = asyncio.create_task(heard(PolledFeed(["BTCUSDT"], "1m", settings_at(box.endpoints, api={})), 9))
        await asyncio.sleep(0.3)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert set() == {task for task in asyncio.all_tasks() - before if "/live/" in str(task)}


async def test_a_clock_that_was_set_back_holds_no_bar_up_for_longer_than_a_bar_takes():
    feed = PolledFeed(["BTCUSDT"], "1m", settings_at(None, api={}), now_ns=lambda: 0)
    async with asyncio.timeout(PATIENCE_S):
        await feed._closed(60 * NS_PER_MINUTE, 0.05)


async def test_a_bar_that_is_due_already_is_asked_for_at_once():
    feed = PolledFeed(["BTCUSDT"], "1m", settings_at(None, api={}), now_ns=lambda: 2 * NS_PER_MINUTE)
    async with asyncio.timeout(PATIENCE_S):
        await feed._closed(NS_PER_MINUTE, 1000.0)
