"""A trader follows a feed: what ends it, what it waits for, and what it has when it is ended."""

import asyncio

import numpy as np
import pytest

from backtest.run.loop import simulate
from exec.live import closes as waiting
from exec.live import follow as shell
from exec.live.follow import Follower
from exec.market import Market
from exec.trader import Trader
from ingest.live.feed import LiveFeed
from ingest.tape import Recorder, TapeFeed
from ingest.wire.streams import Stream
from tests.boxes import quick_box, until
from tests.fakes import ListFeed
from tests.live import BARS, HISTORY, SETTINGS, Live, bar_events, before, quoted, sources, whole
from tests.market import instrument
from utils.errors import DataUnavailable
from utils.rows import BAR, FUNDING, NS_PER_MINUTE
from utils.types import Bar


@pytest.fixture(scope="module")
def world():
    return sources()


@pytest.fixture
def run(world):
    return Live(*before(world))


async def nobody(symbol, first, last):
    raise AssertionError(f"asked for {symbol} {first} to {last}")


class Silent:
    """A feed that brings these events, and then nothing for ever."""

    def __init__(self, events=()):
        self.events = list(events)

    async def __aiter__(self):
        for event in self.events:
            yield event
        await asyncio.Event().wait()


async def test_a_feed_that_ends_has_been_followed_to_its_end(world, run):
    told = []
    await Follower(run.trader, nobody, tell=told.append).follow(ListFeed([*quoted(world), *bar_events(world)]))
    expected = simulate(whole(world), SETTINGS, live=True)
    live = np.concatenate([instant.rows.decisions for instant in told])
    assert (BARS - HISTORY, expected.rows.decisions.tobytes()) == (len(told), live.tobytes())


@pytest.mark.parametrize("feed", [ListFeed, Silent])
async def test_it_ends_after_so_many_closes(world, run, feed):
    await Follower(run.trader, nobody, closes=7).follow(feed([*quoted(world), *bar_events(world)]))
    assert 2 * (HISTORY + 7) == len(run.trader.past)


async def test_it_ends_when_its_time_is_over_with_what_has_come_until_then(world, run):
    await Follower(run.trader, nobody).follow(Silent(list(bar_events(world))[:6]), 0.2)
    assert 2 * (HISTORY + 3) == len(run.trader.past)


async def test_whoever_cancels_it_has_everything_decided_so_far(world, run):
    task = asyncio.create_task(Follower(run.trader, nobody).follow(Silent(list(bar_events(world))[:100])))
    await until(lambda: len(run.trader.past) == 2 * (HISTORY + 50))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 2 * (HISTORY + 50) == len(run.finish()[0].bars)


async def test_missed_bars_are_awaited_and_closes_stay_in_their_order(world, run, monkeypatch):
    monkeypatch.setattr(shell, "LOOK_S", 0.01)
    asked, told = [], []

    async def fetch(symbol, first, last):
        asked.append(symbol)
        await asyncio.sleep(0.05)  # meanwhile the clock is looked at, and other bars come
        (one,) = [one for one in world if one.symbol == symbol]
        return one.rows[(one.rows["ts"] >= first) & (one.rows["ts"] <= last)]

    events = bar_events(world, {(name, 600) for name in ("BTCUSDT", "ETHUSDT")})
    await Follower(run.trader, fetch, tell=told.append).follow(ListFeed([*quoted(world), *events]))
    assert ["BTCUSDT", "ETHUSDT"] == asked
    assert whole(world).bars.tobytes() == run.finish()[0].bars.tobytes()
    assert [600 - HISTORY] == [k for k, instant in enumerate(told) if instant.late]


async def test_the_clock_is_looked_at_though_nothing_is_heard(world, run, monkeypatch):
    monkeypatch.setattr(shell, "LOOK_S", 0.01)
    monkeypatch.setattr(waiting, "GRACE_S", 0.05)

    async def fetch(symbol, first, last):
        return world[1].rows[(world[1].rows["ts"] >= first) & (world[1].rows["ts"] <= last)]

    only = Bar.of(world[0].rows[HISTORY], "BTCUSDT", "1m")
    await Follower(run.trader, fetch, closes=1).follow(Silent([only]))
    assert 2 * (HISTORY + 1) == len(run.trader.past)


async def test_an_exchange_that_is_gone_ends_it(run, monkeypatch):
    monkeypatch.setattr(shell, "LOOK_S", 0.01)
    monkeypatch.setattr(waiting, "OVERDUE_S", 0.05 - 60.0)

    async def gone(*_):
        raise DataUnavailable("gone")

    with pytest.raises(DataUnavailable, match="gone"):
        await Follower(run.trader, gone).follow(Silent())


async def test_a_feed_that_fails_ends_it_with_its_error(world, run):
    class Broken(Silent):
        async def __aiter__(self):
            for event in self.events:
                yield event
            raise DataUnavailable("banned")

    with pytest.raises(DataUnavailable, match="banned"):
        await Follower(run.trader, nobody).follow(Broken(list(bar_events(world))[:4]))
    assert 2 * (HISTORY + 2) == len(run.trader.past)


async def test_nothing_of_it_is_left_when_it_has_ended(run):
    before_it = asyncio.all_tasks()
    await Follower(run.trader, nobody).follow(Silent(), 0.02)
    assert before_it == asyncio.all_tasks()


def market_of_one():
    """A market without a past."""
    nothing = np.zeros(0, BAR)
    return Market(
        ("BTCUSDT",), ("box",), "1m", NS_PER_MINUTE, nothing, instrument(), np.zeros(0, FUNDING), (0,), (), ()
    )


async def test_a_tape_of_what_was_followed_is_decided_as_it_was(tmp_path):
    async def nothing(*_):
        return np.zeros(0, BAR)

    async def followed(feed):
        told = []
        trader = Trader(market_of_one(), SETTINGS, live=True)
        await Follower(trader, nothing, closes=3, tell=told.append).follow(feed)
        return told

    streams = [Stream("bars", "BTCUSDT", "1m"), Stream("book", "BTCUSDT"), Stream("trades", "BTCUSDT")]
    recorder = Recorder(tmp_path, streams)
    async with quick_box(symbols=("BTCUSDT",), speed=60.0) as box:
        feed = LiveFeed("bybit", streams, endpoints=box.endpoints, on_raw=recorder)
        recorder.follow(feed)
        async with feed:
            live = await followed(feed)
    played = await followed(TapeFeed(tuple(recorder.close().paths)))
    assert np.isfinite([instant.book["spread_bps"][0] for instant in live]).all()
    for name in ("bars", "book"):
        assert [getattr(one, name).tobytes() for one in live] == [getattr(one, name).tobytes() for one in played]
