"""One trader: the same bytes from a whole history, from chunks, close by close, and after a night's sleep."""

import dataclasses

import numpy as np
import pytest

from backtest.data.market import synthetic_market
from exec.asking import LiveStrategy
from exec.engine import TABLES, joined
from exec.trader import Trader, chunks, taken_apart
from features.live import EventFeatures
from tests.e2e.support import settings_of
from utils.errors import DataError
from utils.rows import BAR, NS_PER_MINUTE
from utils.types import BookSnapshot

SETTINGS = settings_of()


@pytest.fixture(scope="module")
def market():
    return synthetic_market(SETTINGS, "BTCUSDT,ETHUSDT", "1m", 1_000)


def tables(*parts):
    return [joined([getattr(part, name) for part in parts], kind).tobytes() for name, (kind, _) in TABLES.items()]


def instants(bars):
    return [bars[lo:hi] for lo, hi in chunks(bars, 1)]


@pytest.fixture(scope="module")
def whole(market):
    """What a trader does that sees the history at once."""
    trader = Trader(market, SETTINGS)
    trader.on_bars(market.bars)
    rows = trader.drain()
    assert len(rows.trades) > 0
    return tables(rows)


def test_chunks_never_part_the_bars_of_one_instant():
    bars = np.zeros(10, BAR)
    bars["ts"] = [1, 1, 2, 2, 2, 2, 3, 4, 4, 5]
    assert [(0, 6), (6, 9), (9, 10)] == chunks(bars, 3)
    assert [] == chunks(bars[:0], 3)


@pytest.mark.parametrize("size", [1, 7, 500])
def test_a_history_in_chunks_is_the_history(market, whole, size):
    trader = Trader(market, SETTINGS)
    parts = []
    for lo, hi in chunks(market.bars, size):
        trader.on_bars(market.bars[lo:hi])
        parts.append(trader.drain())
    assert whole == tables(*parts)


def test_closes_one_after_another_are_the_history(market, whole):
    trader = Trader(market, SETTINGS)
    assert whole == tables(*(trader.on_close(bars).rows for bars in instants(market.bars)))


@pytest.mark.parametrize("at", [1, 333, 900])
def test_a_trader_that_goes_on_from_a_state_does_what_it_would_have_done(market, whole, at):
    done = chunks(market.bars, 1)[at][0]
    one, other = Trader(market, SETTINGS), Trader(market, SETTINGS)
    one.on_bars(market.bars[:done])
    other.on_bars(market.bars[: done // 2])  # whatever it did before is forgotten
    other.drain()
    other.resume(one.state())
    other.on_bars(market.bars[done:])
    assert whole == tables(one.drain(), other.drain())
    assert other.signaller.funnel()["signal"] == len(np.frombuffer(whole[3], TABLES["decisions"][0]))


def test_a_state_says_where_it_ends(market):
    one, other = Trader(market, SETTINGS), Trader(market, SETTINGS)
    assert (0, 0) == one.last
    one.on_bars(market.bars[:101])
    other.resume(one.state())
    assert (market.bars["ts"][100], market.bars["ts"][99]) == other.last


def test_a_state_of_another_run_is_refused(market):
    state = Trader(market, SETTINGS).state()
    others = [dataclasses.replace(market, symbols=("A", "B")), dataclasses.replace(market, tf="5m")]
    for other in others:
        with pytest.raises(DataError, match="state: expected one of"):
            Trader(other, SETTINGS).resume(state)
    for damaged in (b"", state[:-1], state + b"\0", state[100:]):
        with pytest.raises(DataError, match="state: expected one of BTCUSDT, ETHUSDT at 1m"):
            Trader(market, SETTINGS).resume(damaged)


def test_a_state_comes_apart_as_it_was_put_together(market):
    parts = taken_apart(Trader(market, SETTINGS).state())
    assert [32, len(parts[1]), len(parts[2]), len(parts[3])] == [len(part) for part in parts]
    assert [] == taken_apart(b"\x09" + b"\0" * 7 + b"too short")[1:]


def test_what_came_late_is_not_acted_on(market):
    trader = Trader(market, SETTINGS)
    told = [trader.on_close(bars, late=True) for bars in instants(market.bars)]
    assert all(instant.late and np.isnan(instant.signals["side"]).all() for instant in told)
    assert 0 == sum(len(instant.rows.decisions) for instant in told)


def test_folds_that_listened_before_there_was_a_market_stand_beside_its_first_close(market):
    ts = int(market.bars["ts"][200])
    history, now = market.bars[market.bars["ts"] < ts], market.bars[market.bars["ts"] == ts]
    events = EventFeatures(market.symbols, [0, 0], NS_PER_MINUTE)
    events.see(BookSnapshot("BTCUSDT", ts - 7_000_000, ts, ((1.0, 5.0),), ((1.0001, 5.0),)))
    trader = Trader(market, SETTINGS, live=True, events=events)
    trader.on_bars(history)
    trader.on_event(BookSnapshot("BTCUSDT", ts, ts, ((1.0, 5.0),), ((2.0, 5.0),)))
    book = trader.on_close(now).book
    assert 7.0 == book["book_age_ms"][0]
    assert 1.0 > book["spread_bps"][0]
    assert np.isnan(book["spread_bps"][1])


@pytest.mark.parametrize("remember", [False, True])
def test_a_trader_remembers_its_bars_where_it_is_to(market, remember):
    trader = Trader(market, SETTINGS, remember=remember)
    trader.on_bars(market.bars[:100])
    trader.on_close(market.bars[100:102])
    assert 102 * remember == len(trader.past)
    assert trader.review() is None


def test_a_users_function_answers_at_closes_and_its_answers_to_the_history_come_with_the_bars(market):
    def always(frame):
        return frame[["ts", "symbol"]].assign(side=1.0)

    history = dataclasses.replace(market, bars=market.bars[:400], starts=(int(market.bars["ts"][380]),) * 2)
    asked = LiveStrategy(always, history)
    trader = Trader(history, SETTINGS, asked=asked)
    used = trader.on_bars(history.bars, asked.signals)
    instant = trader.on_close(market.bars[400:402])
    assert [20, 2] == [int(np.isfinite(rows["side"]).sum()) for rows in (used, instant.signals)]
    assert 0 == trader.review().different
