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
from features.live import EventFeatures
from ingest.live.feed import LiveFeed
from ingest.tape import Recorder, TapeFeed
from ingest.wire.streams import Stream
from tests.boxes import quick_box, until
from tests.fakes import ListFeed
from tests.features.hearing import STREAMS, SYMBOLS, made
from tests.live import BARS, HISTORY, SETTINGS, Live, bar_events, before, quoted, sources, whole
from tests.market import instrument
from tests.wire import bybit_protocol
from utils.errors import DataUnavailable, StorageError
from utils.market.timeframes import MONDAY
from utils.rows import BAR, FUNDING, NS_PER_MINUTE
from utils.types import Bar, BookDelta


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


async def test_each_close_is_kept_before_anybody_hears_of_it(world, run):
    done = []
    follower = Follower(
        run.trader,
        nobody,
        keep=lambda instant: done.append(("kept", instant.bars["ts"][0])),
        tell=lambda instant: done.append(("told", instant.bars["ts"][0])),
    )
    await follower.follow(ListFeed(list(bar_events(world))[:6]))
    closes = world[0].rows["ts"][HISTORY : HISTORY + 3]
    assert [(what, close) for close in closes for what in ("kept", "told")] == done


async def test_a_close_that_cannot_be_kept_ends_it_and_nobody_hears_of_it(world, run):
    told = []

    def full(instant):
        if told:
            raise StorageError("full")

    with pytest.raises(StorageError, match="full"):
        await Follower(run.trader, nobody, keep=full, tell=told.append).follow(ListFeed([*bar_events(world)]))
    assert [world[0].rows["ts"][HISTORY]] == [instant.bars["ts"][0] for instant in told]


async def test_what_closed_while_nobody_followed_comes_first_and_late(world, run):
    asked, told = [], []

    async def fetch(symbol, first, last):
        asked.append(symbol)
        (one,) = [one for one in world if one.symbol == symbol]
        return one.rows[(one.rows["ts"] >= first) & (one.rows["ts"] <= last)]

    until = int(world[0].rows["ts"][HISTORY + 9])
    feed = ListFeed([*quoted(world), *bar_events(world)])
    await Follower(run.trader, fetch, closes=3, tell=told.append, until=until).follow(feed)
    assert ["BTCUSDT", "ETHUSDT"] == asked
    assert [True] * 10 + [False] * 3 == [instant.late for instant in told]
    expected, seen = whole(world).bars[: 2 * (HISTORY + 13)], run.finish()[0].bars
    assert [expected[name].tolist() for name in ("ts", "sym", "close")] == [
        seen[name].tolist() for name in ("ts", "sym", "close")
    ]


async def test_a_run_that_has_had_enough_asks_for_nothing(run):
    await Follower(run.trader, nobody, closes=0, until=2**62).follow(Silent())


def market_of(*symbols):
    """A market without a past."""
    nothing, many = np.zeros(0, BAR), len(symbols)
    listed = instrument().repeat(many)
    funding = np.zeros(0, FUNDING)
    return Market(symbols, ("box",) * many, "1m", NS_PER_MINUTE, nothing, listed, funding, (0,) * many, (), ())


async def followed(trader, feed, **how):
    """What a trader decided of a feed."""

    async def nothing(*_):
        return np.zeros(0, BAR)

    told = []
    await Follower(trader, nothing, tell=told.append, **how).follow(feed)
    return told


def same(live, played):
    """Whether two runs saw the same bars and books, to the bit."""
    return all(
        [getattr(one, name).tobytes() for one in live] == [getattr(one, name).tobytes() for one in played]
        for name in ("bars", "book")
    )


async def test_a_tape_of_what_was_followed_is_decided_as_it_was(tmp_path):
    streams = [Stream("bars", "BTCUSDT", "1m"), Stream("book", "BTCUSDT"), Stream("trades", "BTCUSDT")]
    recorder = Recorder(tmp_path, streams)
    events = EventFeatures(["BTCUSDT"], [MONDAY], NS_PER_MINUTE)
    async with quick_box(symbols=("BTCUSDT",), speed=60.0) as box:
        feed = LiveFeed("bybit", streams, endpoints=box.endpoints, on_raw=recorder, listener=events)
        recorder.follow(feed)
        async with feed:
            trader = Trader(market_of("BTCUSDT"), SETTINGS, live=True, events=events)
            live = await followed(trader, feed, closes=3, heard=True)
    tape = TapeFeed(tuple(recorder.close().paths))
    played = await followed(Trader(market_of("BTCUSDT"), SETTINGS, live=True), tape, closes=3)
    assert np.isfinite([instant.book["spread_bps"][0] for instant in live]).all()
    assert same(live, played)


@pytest.mark.parametrize("seed", range(3))
async def test_a_close_that_is_decided_long_after_it_was_heard_is_what_its_tape_gives(seed):
    messages = list(made(seed, 900))
    now, protocol = [0], bybit_protocol(*STREAMS)
    events = EventFeatures(SYMBOLS, [MONDAY] * 2, NS_PER_MINUTE)
    feed = LiveFeed("bybit", STREAMS, stamp=lambda: now[0], listener=events)
    [link] = feed._links
    link.protocol.connected(messages[0][0])
    for now[0], message in messages:  # all of it is heard before the first close is decided
        feed._hear(link, message)
    left = ListFeed([feed._backlog.take() for _ in range(len(feed._backlog))])
    nouns = [noun for recv_ns, message in messages for noun in protocol.receive(message, recv_ns)]
    live = await followed(Trader(market_of(*SYMBOLS), SETTINGS, live=True, events=events), left, heard=True)
    played = await followed(Trader(market_of(*SYMBOLS), SETTINGS, live=True), ListFeed(nouns))
    assert (True, False) == (len(live) > 2, any(isinstance(event, BookDelta) for event in left.events))
    assert np.isfinite([instant.book["spread_bps"] for instant in live[1:]]).any()
    assert same(live, played)
