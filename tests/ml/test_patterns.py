"""Candlestick patterns: the whole list, by hand, without TA-Lib, and on recorded candles."""

import sys

import numpy as np
import pandas as pd
import pytest

from features.check_inputs import random_bars
from ml.patterns import PATTERNS, PRICES, detect_patterns
from tests.e2e.support import CANDLES, recordings
from utils.errors import ConfigError, DataError


def frame_of(bars):
    return pd.DataFrame({name: bars[name] for name in PRICES})


def test_without_talib_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "talib", None)
    with pytest.raises(ConfigError, match="pip install TA-Lib"):
        detect_patterns(frame_of(random_bars(30, seed=1)))


def test_the_names_are_all_of_talibs():
    talib = pytest.importorskip("talib")
    assert list(PATTERNS) == talib.get_function_groups()["Pattern Recognition"]
    assert 61 == len(PATTERNS)


def test_a_long_white_body_around_a_black_one_engulfs_it():
    pytest.importorskip("talib")
    candles = [(10.0, 10.2, 9.8, 10.1)] * 12 + [(10.1, 10.2, 9.6, 9.7), (9.6, 10.6, 9.5, 10.5)]
    bars = pd.DataFrame(candles, columns=PRICES, index=pd.date_range("2025-01-01", periods=14, freq="min"))
    found = detect_patterns(bars, ["CDLENGULFING", "CDLDOJI"])
    assert [100.0, 0.0] == list(found.iloc[-1])
    assert found.index.equals(bars.index)
    assert [2, 10] == list(found.isna().sum())


def test_every_pattern_has_a_column_of_its_few_values_after_its_first_rows():
    pytest.importorskip("talib")
    found = detect_patterns(frame_of(random_bars(5000, seed=2)))
    assert list(PATTERNS) == list(found.columns)
    assert found.iloc[:2].isna().all().all()
    assert {0.0, 80.0, 100.0, 200.0} == set(np.unique(found.iloc[14:].abs()))


def test_few_bars_and_none_have_no_patterns():
    pytest.importorskip("talib")
    for rows in (0, 1, 2):
        found = detect_patterns(frame_of(random_bars(rows, seed=3)))
        assert (rows, 61) == found.shape
        assert found.isna().all().all()


def test_what_is_not_there_is_refused():
    pytest.importorskip("talib")
    bars = frame_of(random_bars(30, seed=4))
    with pytest.raises(ConfigError, match="CDLNONE"):
        detect_patterns(bars, ["CDLNONE"])
    with pytest.raises(DataError, match="no low"):
        detect_patterns(bars.drop(columns="low"))
    with pytest.raises(DataError, match="no open, high, low, close"):
        detect_patterns(bars.to_numpy())
    with pytest.raises(DataError, match="close twice"):
        detect_patterns(pd.concat([bars, bars[["close"]]], axis=1))
    with pytest.raises(DataError, match="open: expected numbers"):
        detect_patterns(bars.assign(open="dear"))
    bars.loc[7, "high"] = np.nan
    with pytest.raises(DataError, match="high, row 7"):
        detect_patterns(bars)


@pytest.mark.skipif(not recordings(), reason="the recorded candles are not beside this tree")
def test_recorded_minutes_show_most_patterns_and_dojis_often():
    pytest.importorskip("talib")
    candles = pd.read_parquet(CANDLES / "binance_usdm/1m/ETHUSDT_20250706_20250717.parquet")
    seen = detect_patterns(candles).fillna(0.0) != 0.0
    assert (seen.any()).sum() >= 45
    assert 0.02 < seen["CDLDOJI"].mean() < 0.4
