"""Bars and costs in: whatever a user holds, and one clear sentence where it cannot be."""

import numpy as np
import pandas as pd
import pytest

from ingest.files.candles import load_candles
from ml.market.inputs import read_market
from tests.e2e.support import settings_of
from tests.ml.walks import walk
from utils.codes import MARKET, POST_ONLY
from utils.errors import ConfigError, DataError
from utils.rows import NS_PER_MINUTE

CANDLES = walk(60)


def test_a_frame_a_file_and_candles_are_the_same_market(tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    CANDLES.to_csv(path, index=False)
    settings = settings_of()
    frame = read_market(CANDLES, settings=settings, symbol="BTCUSDT")
    file = read_market(path, settings=settings)
    candles = read_market(load_candles(CANDLES, symbol="BTCUSDT"), settings=settings)
    for other in (file, candles):
        assert frame.bars.tobytes() == other.bars.tobytes()
        assert frame.instrument.tobytes() == other.instrument.tobytes()
        assert frame.params.tobytes() == other.params.tobytes()
    assert (5.0, "BTCUSDT") == (frame.minutes, file.symbol)


def test_ts_is_the_close_and_without_a_time_bars_follow_each_other():
    real = read_market(CANDLES, settings=settings_of())
    bare = CANDLES.drop(columns="timestamp")
    closed = read_market(bare.assign(ts=real.bars["ts"]), settings=settings_of())
    assert closed.timed
    assert np.array_equal(real.bars["ts"], closed.bars["ts"])
    made_up = read_market(bare, timeframe="5m", settings=settings_of())
    assert not made_up.timed
    assert set(np.diff(made_up.bars["ts"])) == {5 * NS_PER_MINUTE}


def test_costs_are_the_settings_unless_told_otherwise():
    market = read_market(CANDLES, settings=settings_of())
    # post-only at Bybit: 2 to enter, 2 at the take; 5.5 and half a spread and slippage at the stop
    assert (4.0, 9.0) == market.costs()
    assert (POST_ONLY, "post_only") == (market.params["entry_kind"][0], market.entry)
    crossed = read_market(
        CANDLES, settings=settings_of(), entry="market", taker_bps=4.0, half_spread_bps=0.0, slippage_bps=0.5
    )
    assert (6.5, 9.0) == crossed.costs()
    assert MARKET == crossed.params["entry_kind"][0]


def test_the_tick_is_the_symbols_or_shows_in_the_prices():
    assert 0.1 == read_market(CANDLES, settings=settings_of()).instrument["tick"][0]
    assert 0.01 == read_market(CANDLES, settings=settings_of(), symbol="SOLUSDT").instrument["tick"][0]
    assert 0.5 == read_market(CANDLES, settings=settings_of(), tick=0.5).instrument["tick"][0]


def test_a_market_keeps_what_it_was_told():
    first = read_market(CANDLES, settings=settings_of(), maker_bps=-1.0, symbol="ETHUSDT")
    again = read_market(first, slippage_bps=2.0)
    assert (-1.0, 2.0, "ETHUSDT") == (again.instrument["maker_bps"][0], again.params["slippage_bps"][0], again.symbol)
    with pytest.raises(ConfigError, match="timeframe: the score has settled it"):
        read_market(first, timeframe="1m")


def test_trades_of_a_bar_become_trades_a_minute():
    market = read_market(CANDLES.assign(trades=np.arange(60)), settings=settings_of())
    assert market.extras["trade_rate"] == pytest.approx(np.arange(60) / 5.0)
    assert {"trade_rate"} == set(market.extras)


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("vpin", 1.5, "row 8, column 'vpin': expected a number from 0 to 1, seen 1.5"),
        ("spread_bps", -1.0, "row 8, column 'spread_bps': expected a number of 0 or more, seen -1.0"),
    ],
)
def test_a_column_beside_the_candles_that_cannot_be_is_refused(column, value, text):
    frame = CANDLES.assign(**{column: np.full(60, 0.5)})
    frame.loc[7, column] = value
    with pytest.raises(DataError, match=text):
        read_market(frame, settings=settings_of())


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ({"entry": "stop"}, "entry: expected one of market, limit, post_only, saw 'stop'"),
        ({"taker_bps": float("nan")}, "taker_bps: expected a number from -10 to 1000 bps, saw nan"),
        ({"slippage_bps": -1.0}, "slippage_bps: expected a number from 0 to 1000 bps, saw -1.0"),
        ({"tick": 0.0}, "tick: expected a finite price step above 0, saw 0.0"),
        ({"tick": "0.1"}, "tick: expected a finite price step above 0, saw '0.1'"),
        ({"taker_fee_bps": 9.0}, "taker_fee_bps: expected one of symbol, timeframe, .*, tick, saw another name"),
        ({"timeframe": "1h"}, "timeframe: expected 5m as the bars of frame are, seen 1h"),
    ],
)
def test_terms_that_cannot_be_are_refused(terms, text):
    with pytest.raises(ConfigError, match=text):
        read_market(CANDLES, settings=settings_of(), **terms)


def test_bars_without_a_time_need_a_timeframe():
    with pytest.raises(ConfigError, match="timeframe: expected one for bars that do not say when they opened"):
        read_market(CANDLES.drop(columns="timestamp"), settings=settings_of())


def test_what_is_no_table_is_refused():
    with pytest.raises(ConfigError, match="expected a path, a pandas DataFrame"):
        read_market(7, settings=settings_of())
    with pytest.raises(DataError, match="expected a column named open"):
        read_market(pd.DataFrame({"timestamp": [1_736_121_600_000], "close": [1.0]}), settings=settings_of())
