"""Candles with columns beside them: whatever a user holds, and one clear sentence where it cannot be."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ingest.files.candles import load_candles
from ingest.files.extras import load_extended
from tests.ml.walks import walk
from utils.errors import ConfigError, DataError
from utils.rows import NS_PER_MINUTE

CANDLES = walk(60)


def test_ts_is_the_close_and_without_a_time_bars_follow_each_other():
    real = load_extended(CANDLES)
    bare = CANDLES.drop(columns="timestamp")
    closed = load_extended(bare.assign(ts=real.candles.rows["ts"]))
    assert closed.timed
    assert np.array_equal(real.candles.rows["ts"], closed.candles.rows["ts"])
    made_up = load_extended(bare, tf="5m")
    assert not made_up.timed
    assert set(np.diff(made_up.candles.rows["ts"])) == {5 * NS_PER_MINUTE}


def test_trades_of_a_bar_become_trades_a_minute():
    found = load_extended(CANDLES.assign(trades=np.arange(60)))
    assert found.extras["trade_rate"] == pytest.approx(np.arange(60) / 5.0)
    assert {"trade_rate"} == set(found.extras)


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
        load_extended(frame)


def test_bars_without_a_time_need_a_timeframe():
    with pytest.raises(ConfigError, match="timeframe: expected one for bars that do not say when they opened"):
        load_extended(CANDLES.drop(columns="timestamp"))


def test_columns_beside_candles_that_come_newest_first_are_turned_with_them():
    frame = CANDLES.assign(vpin=np.linspace(0.0, 1.0, 60))
    assert load_extended(frame[::-1]).extras["vpin"].tolist() == load_extended(frame).extras["vpin"].tolist()


def test_an_arrow_table_without_a_time_is_read_too():
    bare = pa.Table.from_pandas(CANDLES.drop(columns="timestamp"), preserve_index=False)
    assert not load_extended(bare, tf="5m").timed


def test_what_is_no_table_is_refused():
    with pytest.raises(ConfigError, match="expected a path, a pandas DataFrame"):
        load_extended(7)
    with pytest.raises(DataError, match="expected a column named open"):
        load_extended(pd.DataFrame({"timestamp": [1_736_121_600_000], "close": [1.0]}))


def test_a_symbol_is_the_callers_or_the_files_or_unknown(tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    CANDLES.to_csv(path, index=False)
    found = (load_extended(CANDLES), load_extended(CANDLES, symbol="ETH/USDT:USDT"), load_extended(path))
    assert ["", "ETHUSDT", "BTCUSDT"] == [each.symbol for each in found]


def test_candles_come_as_they_are():
    candles = load_candles(CANDLES, symbol="BTCUSDT")
    found = load_extended(candles)
    assert found.candles is candles
    assert ("BTCUSDT", {}, True) == (found.symbol, found.extras, found.timed)


def test_a_bar_that_is_not_closed_is_left_out_beside_the_candles_too():
    found = load_extended(CANDLES.assign(confirm=[*[True] * 59, False], vpin=np.linspace(0.0, 1.0, 60)))
    assert (59, 59) == (len(found.candles.rows), len(found.extras["vpin"]))
