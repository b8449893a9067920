"""What is advised at a close is what simulation and live run decide there: the same gates, bytes, orders and words."""

import asyncio
import dataclasses

import numpy as np
import pytest

from backtest.data.market import build_market, synthetic_market
from backtest.run.loop import simulate
from exec.advice import Adviser, cautious
from exec.live.follow import Follower
from exec.trader import Trader, chunks
from features.registry import feature_set
from ingest.files.candles import load_candles
from ml.signal import FUNNEL
from tests.e2e.support import settings_of
from tests.ml.models import champion
from tests.places import DATA
from utils.codes import BOUND_NAMES, KIND_NAMES
from utils.records.names import Words, log_tables
from utils.rows import BAR, NS_PER_DAY
from utils.shell.moments import iso
from utils.types import Bar, BookSnapshot

SETTINGS = settings_of()
MODEL = champion(-3.0)
AUTO = settings_of(execution__entry="auto")


@pytest.fixture(scope="module")
def market():
    return synthetic_market(SETTINGS, "BTCUSDT", "1m", 600)


def closes(bars):
    return [bars[lo:hi] for lo, hi in chunks(bars, 1)]


def advised(market, settings, model, live=False):
    """The advice at every close that may be decided on, with the signal beside it."""
    adviser, found = Adviser(market, settings, live=live), []
    for bars in closes(market.bars):
        instant = adviser.on_close(bars)
        signal = instant.signals.copy()
        if model is not None:
            model.judge(bars, adviser.vectors, signal, adviser.engine.instruments, adviser.engine.params)
        found.append((adviser.advise(instant, model), signal))
    return found


@pytest.fixture(scope="module", params=[SETTINGS, AUTO], ids=["post_only", "auto"])
def told(request, market):
    return request.param, advised(market, request.param, MODEL)


def test_the_signal_of_every_close_is_that_of_a_simulation(market, told):
    settings, found = told
    trader = Trader(market, cautious(settings), model=MODEL)
    whole = trader.on_bars(market.bars)
    mine = np.concatenate([signal for _, signal in found])
    wanted = np.flatnonzero(np.isfinite(whole["side"]))
    assert len(wanted) > 10
    np.testing.assert_array_equal(whole["side"], mine["side"])
    assert whole[wanted].tobytes() == mine[wanted].tobytes()
    ends = [advice.gate for advice, _ in found]
    assert trader.signaller.funnel() == {gate: ends.count(gate) for gate in FUNNEL}


def test_a_simulation_that_begins_at_a_close_does_what_was_advised_there(market, told):
    settings, found = told
    last, kinds = market.bars["ts"][-1], set()
    for advice, _ in found:
        if advice.side == "none" or iso(last) == advice.closed_at:
            continue
        ts = market.bars["ts"][[iso(ts) == advice.closed_at for ts in market.bars["ts"]]][0]
        # it may answer this one signal, and none after it
        outcome = simulate(
            dataclasses.replace(market, starts=(ts,), bars=market.bars[market.bars["ts"] <= ts + 4 * market.tf_ns]),
            cautious(settings),
            model=MODEL,
        )
        row, order = outcome.rows.decisions[:1], outcome.rows.orders[:1]
        assert (iso(row[0]["ts"]), advice.action) == (
            advice.closed_at,
            ("OPENED", "REFUSED")[int(row[0]["action"] == 5)],
        )
        log = log_tables({"decisions": row}, Words(market.symbols, market.sources, 0.0, 0.0, (MODEL.name,)))["signals"]
        assert log["reasons"][0].split(";") == advice.reasons
        assert [log[name][0] for name in ("side", "strength", "p_win", "net_bps", "model")] == [
            advice.side, advice.strength, advice.p_win, advice.expected_bps, advice.model,
        ]  # fmt: skip
        if advice.action == "REFUSED":
            assert advice.order is None
            assert 0.0 == advice.size.qty
            continue
        assert [order[0]["qty"], KIND_NAMES[order[0]["kind"]]] == [advice.size.qty, advice.order.kind]
        assert BOUND_NAMES[row[0]["bound"]] == advice.size.bound
        kinds.add(advice.order.kind)
        for trade in outcome.rows.trades[:1]:
            if advice.order.limit_price == trade["entry_price"]:
                assert [trade["stop_price"], trade["take_price"]] == [advice.order.stop_price, advice.order.take_price]
    assert kinds


def test_without_a_model_nothing_is_advised_and_that_is_said(market):
    for advice, _ in advised(market, SETTINGS, None):
        assert [None, None, None, None, 0.0] == [
            advice.model, advice.p_win, advice.expected_bps, advice.order, advice.size.qty,
        ]  # fmt: skip
        assert "model=none" == advice.reasons[-1]
        assert ("NONE" if advice.side == "none" else "REFUSED") == advice.action


def test_what_is_told_has_no_number_that_is_none(market, told):
    _, found = told
    for advice, _ in found:
        text = advice.model_dump_json()
        assert "NaN" not in text
        assert "Infinity" not in text
        assert advice == type(advice).model_validate_json(text)


def test_a_gate_says_what_it_saw_and_what_it_asks_for(market, told):
    _, found = told
    seen = {advice.gate: advice.reasons[0] for advice, _ in found if advice.side == "none"}
    assert seen["warmup"] == "warmup"
    name, _, numbers = seen["strength"].partition("=")
    strength, asked = map(float, numbers.split("<"))
    assert name == "strength"
    assert strength <= asked
    for gate, sign in (("vol_low", "<"), ("vol_high", ">"), ("wide_spread", ">"), ("flow_against", "<")):
        if gate in seen:
            value, limit = map(float, seen[gate].partition("=")[2].split(sign))
            assert (value < limit) == (sign == "<")


def heard(market, bars):
    """What a feed brings of a recording: before each bar a book that is good enough, then the bar."""
    symbol = market.symbols[0]
    for row in bars:
        price, ts = float(row["close"]), int(row["ts"])
        yield BookSnapshot(symbol, ts - 1, ts - 1, ((price * 0.99999, 5.0),), ((price * 1.00001, 5.0),))
        yield Bar.of(row, symbol, market.tf)


class Feed:
    """Events of a list."""

    def __init__(self, events):
        self._events = events

    async def __aiter__(self):
        for event in self._events:
            yield event


async def nothing_missed(symbol, first, last):
    return np.zeros(0, BAR)


def followed(trader, market, first):
    """What a trader decides on the bars from `first` on, which a feed brings one after another."""
    trader.on_bars(market.bars[:first])
    instants = []
    follower = Follower(trader, nothing_missed, closes=len(market.bars) - first, tell=instants.append)
    asyncio.run(follower.follow(Feed(heard(market, market.bars[first:]))))
    return np.concatenate([one.signals for one in instants])


def same_signals(market, settings, first):
    """Signals of simulation, live run and adviser from `first` on; the latter judged, as the others are."""
    settings = cautious(settings)
    simulated = Trader(market, settings, model=MODEL).on_bars(market.bars)[first:]
    traded = followed(Trader(market, settings, live=True, model=MODEL), market, first)
    adviser = Adviser(market, settings, live=True)
    advice = followed(adviser, market, first)
    rows = feature_set().batch(market.bars)[first:]
    MODEL.judge(market.bars[first:], rows, advice, market.instruments, adviser.engine.params)
    wanted = np.isfinite(simulated["side"])
    for other in (traded, advice):
        np.testing.assert_array_equal(simulated["side"], other["side"])
        assert simulated[wanted].tobytes() == other[wanted].tobytes()
    return int(wanted.sum())


def test_simulation_live_run_and_adviser_have_the_same_signals(market):
    assert same_signals(market, SETTINGS, len(market.bars) - 500) > 10


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the recordings in ../shared/data")
@pytest.mark.parametrize("name", ["BTCUSDT", "SOLUSDT"])
def test_they_have_the_same_signals_on_a_recorded_day(name):
    path = next(iter(sorted((DATA / "ohlcv" / "bybit_linear" / "5m").glob(f"{name}_*.parquet"))))
    market = build_market([load_candles(path)], SETTINGS)
    a_day = NS_PER_DAY // market.tf_ns
    short = dataclasses.replace(market, bars=market.bars[: 2_000 + a_day])
    assert same_signals(short, SETTINGS, 2_000) > 5
