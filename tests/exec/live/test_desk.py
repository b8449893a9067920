"""Who asks for a market has it followed: one start, few places, no stranger, and nothing that is old."""

import asyncio
import threading

import pytest

from exec.live import desk as shell
from exec.live.desk import Desk, Later
from exec.live.watch import ModelWatch
from ingest.replay_server import Fault
from ingest.synthetic import SyntheticFeed
from tests.boxes import PATIENCE_S, quick_box, until
from tests.exec.live.desks import ByRest, Models, desk_at, only, settings_at
from tests.ml.models import champion
from utils.errors import ConfigError, DataError
from utils.market.timeframes import TIMEFRAMES
from utils.rows import NS_PER_MINUTE, NS_PER_MS, NS_PER_S


async def test_a_market_is_followed_from_its_first_request_on():
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box) as desk:
        assert ([], None) == (desk.markets(), desk.standing("BTC/USDT:USDT", "1m"))
        standing = await desk.ask("BTC/USDT:USDT", "1m")
        assert box.now_ns - standing.ts < 2 * NS_PER_MINUTE
        await until(lambda: only(desk).state == "streaming")
        assert standing is desk.standing("BTC/USDT:USDT", "1m") or box.now_ns - standing.ts > NS_PER_MINUTE
        await until(lambda: only(desk).book_s is not None)
        assert ("BTCUSDT", "1m", "", True, 2) == tuple(
            getattr(only(desk), name) for name in ("symbol", "tf", "reason", "fresh", "asked")
        )


async def test_requests_at_once_in_all_spellings_start_one_market():
    spellings = ["BTCUSDT", "btcusdt", "BTC/USDT", "BTC/USDT:USDT", "BTC-USDT-SWAP", "BTCUSDT.P", "BTC_USDT"]
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box) as desk:
        answers = await asyncio.gather(*(desk.ask(symbol, "1m") for symbol in spellings))
        assert {1} == {one.number for one in answers}
        assert (1, 7) == (only(desk).closes, only(desk).asked)
        assert ["BTCUSDT"] == desk._history.asked
        assert all(desk.standing(symbol, "1m") for symbol in spellings)


async def test_places_are_few_and_the_one_unused_for_longest_goes_first():
    later = [0]
    async with quick_box(symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT")) as box:
        await until(lambda: len(box.candles("SOLUSDT", "1m")) > 50)
        clock = lambda: box.now_ns + later[0]  # noqa: E731
        async with desk_at(box, now_ns=clock, api={"max_markets": 2, "idle_minutes": 0.5}) as desk:
            await desk.ask("BTCUSDT", "1m")
            await desk.ask("ETHUSDT", "1m")
            with pytest.raises(Later, match="all 2 places are taken") as refused:
                await desk.ask("SOLUSDT", "1m")
            assert 1.0 <= refused.value.retry_after_s <= 30.0
            later[0] = 31 * NS_PER_S
            desk._markets["ETHUSDT", "1m"].used = clock()
            desk._make_place()
            assert ["ETHUSDT"] == [market.symbol for market in desk.markets()]
            assert None is desk.standing("BTCUSDT", "1m")
            later[0] = 0
            await desk.ask("SOLUSDT", "1m")


async def test_a_market_that_nobody_asks_for_is_let_go_with_all_that_it_held(monkeypatch):
    monkeypatch.setattr(shell, "LOOK_S", 0.01)
    later = [0]
    async with (
        quick_box(symbols=("BTCUSDT",)) as box,
        desk_at(box, now_ns=lambda: box.now_ns + later[0], api={"idle_minutes": 0.25}) as desk,
    ):
        await desk.ask("BTCUSDT", "1m")
        await until(lambda: only(desk).state == "streaming")
        later[0] = 14 * NS_PER_S
        assert desk.standing("BTCUSDT", "1m") is not None
        later[0] = 20 * NS_PER_S
        await asyncio.sleep(0.1)
        assert 1 == len(desk.markets())
        later[0] = 36 * NS_PER_S
        await until(lambda: desk.markets() == [])
        assert ({}, {}, {}) == (desk._tasks, desk._spelled, desk._markets)
        await until(lambda: box.connections.open == 0)


class Waiting(ByRest):
    """The past of markets when it is let go."""

    def __init__(self, settings):
        super().__init__(settings)
        self.free = threading.Event()

    def market(self, symbol, tf):
        assert self.free.wait(PATIENCE_S)
        return super().market(symbol, tf)


async def test_a_market_whose_history_is_waited_for_is_not_let_go(monkeypatch):
    monkeypatch.setattr(shell, "LOOK_S", 0.01)
    later = [0]
    async with (
        quick_box(symbols=("BTCUSDT", "ETHUSDT")) as box,
        desk_at(
            box, past=Waiting, now_ns=lambda: box.now_ns + later[0], api={"idle_minutes": 0.05, "max_markets": 1}
        ) as desk,
    ):
        asked = asyncio.create_task(desk.ask("BTCUSDT", "1m"))
        await until(lambda: len(desk.markets()) == 1)
        later[0] = 10 * NS_PER_S
        await asyncio.sleep(0.1)
        assert ("BTCUSDT", "starting") == (only(desk).symbol, only(desk).state)
        with pytest.raises(Later, match="all 1 places are taken"):
            await desk.ask("ETHUSDT", "1m")
        desk._history.free.set()
        assert 1 == (await asked).number
        later[0] += 4 * NS_PER_S
        await until(lambda: desk.markets() == [])


async def test_what_is_not_listed_is_said_takes_no_place_and_is_asked_for_once_in_a_while():
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box) as desk:
        for _ in range(3):
            with pytest.raises(ConfigError, match=r"did you mean BTCUSDT\?"):
                await desk.ask("BTCUSDC", "1m")
        assert (["BTCUSDC"], []) == (desk._history.asked, desk.markets())
        with pytest.raises(ConfigError, match="expected one of 1m, 3m, 5m"):
            await desk.ask("BTCUSDT", "7m")
        with pytest.raises(ConfigError, match="dated"):
            await desk.ask("BTCUSDT_240329", "1m")
        with pytest.raises(ConfigError, match="settled in its coin"):
            await desk.ask("BTC/USDT:BTC", "1m")
        assert ["BTCUSDC"] == desk._history.asked


async def test_for_a_stranger_no_market_is_let_go():
    later = [0]
    async with (
        quick_box(symbols=("BTCUSDT",)) as box,
        desk_at(box, now_ns=lambda: box.now_ns + later[0], api={"max_markets": 1, "idle_minutes": 10.0}) as desk,
    ):
        await desk.ask("BTCUSDT", "1m")
        next(iter(desk._markets.values())).used -= 11 * NS_PER_MINUTE
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"did you mean BTCUSDT\?"):
                await desk.ask("BTCUSDC", "1m")
        assert (["BTCUSDT", "BTCUSDC"], "BTCUSDT") == (desk._history.asked, only(desk).symbol)


async def test_a_market_is_followed_under_the_name_by_which_it_is_listed():
    class Renamed(ByRest):
        def market(self, symbol, tf):
            return super().market("BTCUSDT" if symbol == "BTCUSD" else symbol, tf)

    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box, past=Renamed) as desk:
        one, other = await desk.ask("BTC/USD", "1m"), await desk.ask("BTCUSDT", "1m")
        assert (one.advice.symbol, one.number) == (other.advice.symbol, other.number)
        assert "BTCUSDT" == only(desk).symbol
        assert desk.standing("BTC/USD", "1m") is not None


async def test_what_an_exchange_has_not_as_a_market_is_refused_and_takes_no_place():
    class Without(ByRest):
        def market(self, _symbol, tf):
            raise ConfigError(f"bybit has no {tf} candles; it has 1m")

    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box, past=Without, api={"source": "rest"}) as desk:
        for _ in range(2):
            with pytest.raises(ConfigError, match="has no 8h candles"):
                await desk.ask("BTCUSDT", "8h")
        assert [] == desk.markets()


async def test_a_bar_that_is_overdue_leaves_no_signal():
    later = [0]
    async with (
        quick_box(symbols=("BTCUSDT",)) as box,
        desk_at(box, now_ns=lambda: box.now_ns + later[0], api={"source": "rest"}) as desk,
    ):
        standing = await desk.ask("BTCUSDT", "1m")
        box.inject(Fault("slow", "kline", times=0, seconds=60.0))
        later[0] = standing.ts - box.now_ns + 76 * NS_PER_S
        assert None is desk.standing("BTCUSDT", "1m")
        with pytest.raises(Later, match=r"BTCUSDT 1m: expected the close of .*, the last that came is of"):
            await desk.ask("BTCUSDT", "1m")
        assert not only(desk).fresh


async def test_a_clock_that_was_set_back_makes_nothing_fresh():
    later = [0]
    async with (
        quick_box(symbols=("BTCUSDT",)) as box,
        desk_at(box, now_ns=lambda: box.now_ns + later[0], api={"source": "rest"}) as desk,
    ):
        await desk.ask("BTCUSDT", "1m")
        later[0] = -60 * NS_PER_MINUTE
        (market,) = desk._markets.values()
        market._closed_s -= 50.0
        assert desk.standing("BTCUSDT", "1m") is not None
        market._closed_s -= 26.0
        assert None is desk.standing("BTCUSDT", "1m")
        with pytest.raises(Later, match="the last that came is of"):
            await desk.ask("BTCUSDT", "1m")


async def test_who_has_waited_long_enough_is_told_to_come_later_and_the_market_goes_on():
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box, api={"timeout_s": 0.05}) as desk:
        with pytest.raises(Later, match=r"BTCUSDT 1m: its history is being fetched; ask again"):
            await desk.ask("BTCUSDT", "1m")
        with pytest.raises(Later, match="its history is being fetched; ask again"):
            await desk.ask("BTCUSDT", "1m")
        await until(lambda: only(desk).fresh)
        assert 1 == (await desk.ask("BTCUSDT", "1m")).number


@pytest.mark.parametrize("where", ["market", "listing"])
async def test_a_service_that_ends_tells_whoever_waits_at_once(where):
    class Away(ByRest):
        closed = 0

        def __init__(self, settings):
            super().__init__(settings)
            self.over = threading.Event()
            setattr(self, where, lambda *_: self.over.wait(PATIENCE_S))  # one of them hangs

        def close(self):
            self.closed += 1
            self.over.set()

    api = {"source": "rest", "max_markets": 1}
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box, past=Away, api=api) as desk:
        if where == "listing":  # where all places are taken, the exchange is asked first whether it has the symbol
            await desk.ask("BTCUSDT", "1m")
        asked = [asyncio.create_task(desk.ask("ETHUSDT", "1m")) for _ in range(3)]
        await until(lambda: len(desk._waits) == 3)
        await asyncio.sleep(0.05)
        desk.end()
        desk.end()
        for task in asked:
            with pytest.raises(Later, match="ETHUSDT 1m: the service ends") as told:
                await asyncio.wait_for(task, 1.0)
            assert 5.0 == told.value.retry_after_s
        with pytest.raises(Later, match="the service ends"):
            await desk.ask("ETHUSDT", "1m")
        assert 0 == desk._history.closed
    assert 1 == desk._history.closed


async def test_what_is_at_hand_is_answered_to_the_end():
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box, api={"source": "rest"}) as desk:
        first = await desk.ask("BTCUSDT", "1m")
        desk.end()
        assert first.ts == (await desk.ask("BTCUSDT", "1m")).ts


async def test_another_model_says_the_last_close_anew():
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box) as desk:
        told = []
        desk.listen(told.append)
        first = await desk.ask("BTCUSDT", "1m")
        desk._watch.model = champion(2.0)
        desk.changed()
        second = desk.standing("BTCUSDT", "1m")
        assert [first, second] == told[:2]
        assert ((1, None), (2, "one")) == tuple((one.number, one.advice.model) for one in (first, second))
        assert first.ts == second.ts
        assert "model=none is enabled" in first.advice.reasons


# a recording of candles


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    path = tmp_path_factory.mktemp("tape") / "BTCUSDT-5m.csv"
    rows = SyntheticFeed("BTCUSDT", "5m", 3, "large-tick").candles(400).rows
    opens = (rows["ts"] - TIMEFRAMES["5m"]) // NS_PER_MS
    lines = zip(opens, *(rows[name] for name in ("open", "high", "low", "close", "volume")), strict=True)
    path.write_text("timestamp,open,high,low,close,volume\n" + "".join(f"{','.join(map(str, one))}\n" for one in lines))
    return path, int(rows["ts"][-1])


def on_tape(path, models=None):
    settings = settings_at(None, api={"source": f"tape:{path}"})
    return Desk(settings, models or Models(), ByRest(settings))


async def test_a_tape_stands_still_at_its_last_close(tape):
    path, last = tape
    async with on_tape(path) as desk:
        standing = await desk.ask("BTC/USDT", "5m")
        assert standing is desk.standing("BTC/USDT", "5m")
        assert ("tape", 0.0, None, True) == tuple(
            getattr(only(desk), name) for name in ("state", "bar_s", "book_s", "fresh")
        )
    assert (last, f"tape:{path.name}") == (standing.ts, standing.source)
    assert b'"ages":{"bar_s":0.000,"book_s":null,"prints_s":null}' in standing.json(last + 10**18)


async def test_a_tape_holds_its_own_symbol_and_timeframe_alone(tape):
    async with on_tape(tape[0]) as desk:
        for asked in (("ETHUSDT", "5m"), ("BTCUSDT", "1m")):
            with pytest.raises(ConfigError, match="expected BTCUSDT at 5m, which is all that it holds, saw"):
                await desk.ask(*asked)
        assert [] == desk.markets()


async def test_a_tape_that_cannot_be_read_is_said_at_the_start(tmp_path):
    with pytest.raises(DataError, match="nothing"):
        async with on_tape(tmp_path / "nothing.csv"):
            pass


async def test_a_tape_that_takes_long_does_not_hold_up_the_start(tape, monkeypatch):
    monkeypatch.setattr(shell, "START_S", 0.01)

    class Slow(ByRest):
        def tape(self):
            assert slowly.wait(PATIENCE_S)
            return super().tape()

    slowly = threading.Event()
    for path, answer in ((tape[0], None), (tape[0].with_name("nothing.csv"), "nothing.csv")):
        slowly.clear()
        settings = settings_at(None, api={"source": f"tape:{path}", "timeout_s": 0.05})
        async with Desk(settings, Models(), Slow(settings)) as desk:
            with pytest.raises(Later, match=f"tape:{path.name} is being asked for it"):
                await desk.ask("BTCUSDT", "5m")
            slowly.set()
            await until(desk._reading.done)
            if answer is None:
                await until(lambda desk=desk: desk._tape is not None)
            else:
                with pytest.raises(Later, match=answer) as refused:
                    await desk.ask("BTCUSDT", "5m")
                assert 60.0 == refused.value.retry_after_s


async def test_what_watches_models_is_asked_for_each_market(tape):
    settings = settings_at(None, api={"source": f"tape:{tape[0]}"})
    async with Desk(settings, ModelWatch(settings), ByRest(settings)) as desk:
        assert "model=none" in (await desk.ask("BTCUSDT", "5m")).advice.reasons


async def test_an_exchange_without_streams_of_ours_is_followed_by_rest_and_why_is_said():
    plain = settings_at(None, api={})
    settings = plain.model_copy(update={"market": plain.market.model_copy(update={"exchange": "kraken"})})
    async with Desk(settings, Models(), ByRest(settings)) as desk:
        assert ("rest", "kraken", "there are no streams of kraken futures here") == (
            desk._way, desk._source, desk._reason,
        )  # fmt: skip
