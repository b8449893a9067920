"""A market goes on by streams, by REST where there are none, and says why where neither can be had."""

import asyncio
import contextlib

import pytest

from exec.live import following
from exec.live.desk import Later
from exec.live.health import health_of
from ingest.replay_server import Fault
from tests.boxes import let_clocks_run, quick_box, until
from tests.exec.live.desks import ByRest, desk_at, only
from tests.ml.models import champion
from utils.errors import DataUnavailable
from utils.rows import NS_PER_MINUTE, NS_PER_MS
from utils.settings.tree import EndpointSettings

#: Streams end, and nobody opens another.
SHUT = (Fault("reset"), Fault("handshake_refused", times=0))
#: No REST answer either.
AWAY = (*SHUT, Fault("hang_up", times=0))
#: Times as fast as the world: a bar of a minute in three seconds.
FAST = 20.0


@pytest.fixture
def patient(monkeypatch):
    """A machine that is busy loses no bars of a box that runs fast."""
    let_clocks_run(monkeypatch)
    monkeypatch.setattr(following, "LATE_S", 200.0)


@pytest.mark.slow
async def test_each_close_is_advised_on_as_streams_bring_it(patient):
    told = []
    async with quick_box(symbols=("BTCUSDT",), speed=FAST) as box, desk_at(box) as desk:
        desk.listen(told.append)
        await desk.ask("BTCUSDT", "1m")
        await until(lambda: len(told) >= 3)
        closes = [one.ts for one in told[:3]]
        prices = {one.open_ms * NS_PER_MS + NS_PER_MINUTE: one.close for one in box.candles("BTCUSDT", "1m")}
    assert [1, 2, 3] == [one.number for one in told[:3]]
    assert [closes[0], closes[0] + NS_PER_MINUTE, closes[0] + 2 * NS_PER_MINUTE] == closes
    assert [prices[ts] for ts in closes] == [one.advice.close for one in told[:3]]
    assert ["REST", "streams", "streams"] == [one.source.split(" by ")[1] for one in told[:3]]
    assert told[2].advice.spread_bps is not None


@pytest.mark.slow
async def test_without_streams_it_goes_on_by_rest_and_with_them_by_streams_again(patient):
    told = []
    async with quick_box(symbols=("BTCUSDT",), speed=FAST) as box, desk_at(box) as desk:
        desk.listen(told.append)
        await desk.ask("BTCUSDT", "1m")
        await until(lambda: only(desk).state == "streaming")
        box.inject(*SHUT)
        await until(lambda: only(desk).state == "polling")
        assert (1, True) == (only(desk).lost, "brought nothing" in only(desk).reason)
        polled = len(told)
        await until(lambda: len(told) >= polled + 2)
        assert (None, True) == (only(desk).prints_s, only(desk).book_s is not None)
        box.clear_faults()
        await until(lambda: only(desk).state == "streaming")
        assert "" == only(desk).reason
        streamed = len(told)
        await until(lambda: len(told) >= streamed + 2)
    assert {NS_PER_MINUTE} == {two.ts - one.ts for one, two in zip(told[polled:], told[polled + 1 :], strict=False)}
    assert "REST" in told[polled + 1].source
    assert "streams" in told[streamed + 1].source


@pytest.mark.slow
async def test_an_exchange_that_goes_away_is_a_cause_and_comes_back(patient):
    async with quick_box(symbols=("BTCUSDT",), speed=FAST) as box, desk_at(box) as desk:
        await desk.ask("BTCUSDT", "1m")
        await until(lambda: only(desk).state == "streaming")
        box.inject(*AWAY)
        await until(lambda: only(desk).state == "failed")
        assert None is desk.standing("BTCUSDT", "1m")
        with pytest.raises(Later, match=r"BTCUSDT 1m: bybit futures: .*no connection") as refused:
            await desk.ask("BTCUSDT", "1m")
        assert 1.0 <= refused.value.retry_after_s <= 30.0
        box.clear_faults()
        await until(lambda: only(desk).state == "streaming" and only(desk).fresh)
        answered = await desk.ask("BTCUSDT", "1m")
        newest = box.candles("BTCUSDT", "1m")[-2]
        assert answered.ts >= newest.open_ms * NS_PER_MS


async def test_an_exchange_that_is_away_at_the_first_request_is_asked_again():
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box) as desk:
        box.inject(*AWAY)
        with pytest.raises(Later, match="no connection"):
            await desk.ask("BTCUSDT", "1m")
        assert ("failed", 0) == (only(desk).state, only(desk).closes)
        box.clear_faults()
        await until(lambda: only(desk).fresh)
        assert 1 == (await desk.ask("BTCUSDT", "1m")).number


async def test_a_stream_that_cannot_be_had_at_first_leaves_rest():
    async with quick_box(symbols=("BTCUSDT",)) as box:
        nowhere = EndpointSettings(**{**dict(box.endpoints), "bybit_ws": "ws://127.0.0.1:9"})
        async with desk_at(box, endpoints=nowhere, timeout_s=1.0) as desk:
            standing = await desk.ask("BTCUSDT", "1m")
            assert standing.source == f"bybit@127.0.0.1:{box.port} by REST"
            await until(lambda: only(desk).state == "polling")
            assert only(desk).lost >= 1


async def test_streams_that_bring_no_book_are_a_reason_not_to_believe_them():
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box, stale_s=1.0) as desk:
        await desk.ask("BTCUSDT", "1m")
        await until(lambda: only(desk).state == "streaming" and only(desk).book_s is not None)
        assert ("ok", False) == (health_of(desk.markets()).status, only(desk).silent)
        box.inject(Fault("stall", match="orderbook", times=0, seconds=600.0))
        await until(lambda: only(desk).silent)
        seen = health_of(desk.markets())
        why = "its streams have brought no valid book for more than 1 s"
        assert ("streaming", True, why) == (only(desk).state, only(desk).fresh, only(desk).reason)
        assert ("stale", [f"BTCUSDT 1m: {why}"]) == (seen.status, seen.reasons)
        box.clear_faults()
        await until(lambda: not only(desk).silent)
        assert "" == only(desk).reason


async def test_rest_alone_opens_no_stream():
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box, api={"source": "rest"}) as desk:
        await desk.ask("BTCUSDT", "1m")
        await until(lambda: only(desk).state == "polling")
        await until(lambda: only(desk).book_s is not None)
        assert (0, "") == (box.connections.total, only(desk).reason)


async def test_a_bug_in_one_market_is_said_and_it_begins_anew():
    trouble = [RuntimeError("of ours")]

    class Buggy(ByRest):
        def market(self, symbol, tf):
            if trouble:
                raise trouble.pop()
            return super().market(symbol, tf)

    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box, past=Buggy) as desk:
        with pytest.raises(Later, match="RuntimeError: of ours"):
            await desk.ask("BTCUSDT", "1m")
        await until(lambda: only(desk).fresh)


async def test_what_closed_while_nobody_answered_is_more_than_its_history_and_it_begins_anew():
    shift = [0]
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box, now_ns=lambda: box.now_ns + shift[0]) as desk:
        await desk.ask("BTCUSDT", "1m")
        market = next(iter(desk._markets.values()))
        adviser = market._adviser
        await market._begin()
        assert adviser is market._adviser
        shift[0] = 51 * NS_PER_MINUTE
        await market._begin()
        assert adviser is not market._adviser


async def test_another_model_says_nothing_of_a_close_that_may_not_be_believed():
    later, told = [0], []
    async with (
        quick_box(symbols=("BTCUSDT",)) as box,
        desk_at(box, now_ns=lambda: box.now_ns + later[0], api={"source": "rest"}) as desk,
    ):
        desk.listen(told.append)
        await desk.ask("BTCUSDT", "1m")
        (market,) = desk._markets.values()
        desk._watch.model = champion(2.0)
        market._fail("the exchange is away")
        desk.changed()
        assert [None] == [one.advice.model for one in told]
        market._turn("polling")  # it is back, within the same minute: the model that came meanwhile says what it thinks
        assert [None, "one"] == [one.advice.model for one in told]
        market._turn("polling")
        later[0] = 5 * NS_PER_MINUTE
        desk.changed()
        assert 2 == len(told)


async def test_what_is_said_anew_names_the_way_by_which_its_close_came():
    told = []
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box) as desk:
        desk.listen(told.append)
        await desk.ask("BTCUSDT", "1m")
        await until(lambda: only(desk).state == "streaming")
        desk.changed()  # its last close came with its history
    assert [f"bybit@127.0.0.1:{box.port} by REST"] * 2 == [one.source for one in told[:2]]


async def test_nothing_of_it_is_left_when_the_desk_is_closed():
    async with quick_box(symbols=("BTCUSDT",)) as box:
        before = asyncio.all_tasks()
        async with desk_at(box) as desk:
            await desk.ask("BTCUSDT", "1m")
            await until(lambda: only(desk).state == "streaming")
        assert set() == {
            task for task in asyncio.all_tasks() - before if "/exec/" in str(task) or "/live/" in str(task)
        }


async def test_what_has_gone_well_for_long_is_tried_again_soon_and_what_has_not_is_not():
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box, api={"source": "rest"}) as desk:
        await desk.ask("BTCUSDT", "1m")
        (market,) = desk._markets.values()
        market._backoff.failures = 7
        with market._proving():
            pass
        assert 7 == market._backoff.failures
        with contextlib.suppress(DataUnavailable), market._proving():
            await asyncio.sleep(0.25)
            raise DataUnavailable("gone")
        assert 0 == market._backoff.failures
