"""A second opinion on the bar features: TA-Lib's functions and pandas', wherever they mean what we mean."""

import numpy as np
import pandas as pd
import pytest
import talib

from benchmarks import feature_peers
from features.check_inputs import random_bars
from features.fold import FeatureSet
from features.folds import technical, volatility
from features.folds.windows import half_life_weight
from features.registry import FEATURES

EXTRA = (volatility.atr_bps(), technical.rsi(7), technical.zscore(50), technical.range_position(10))


@pytest.fixture(scope="module")
def bars():
    return random_bars(3_000, seed=41)


@pytest.fixture(scope="module")
def ours(bars):
    return FeatureSet(FEATURES + EXTRA).batch(bars)


@pytest.fixture(scope="module")
def columns(bars):
    return feature_peers.columns(bars)


def by_single_functions(columns):
    """What TA-Lib says by its own functions, scaled to our unit."""
    o, h, low, c = (columns[field] for field in ("open", "high", "low", "close"))
    return {
        "return_5_bps": 1e4 * np.log(talib.ROCR(c, 5)),
        "atr_14": talib.ATR(h, low, c, 14),
        "atr_14_bps": 100.0 * talib.NATR(h, low, c, 14),
        "rsi_14": talib.RSI(c, 14),
        "rsi_7": 50.0 + talib.CMO(c, 7) / 2.0,
        "range_position_20": talib.STOCHF(h, low, c, 20, 1)[0] / 100.0,
        "range_position_10": 1.0 + talib.WILLR(h, low, c, 10) / 100.0,
        "body_ratio": talib.BOP(o, h, low, c),
        "ema_slope_12_bps": 1e4 * talib.MOM(talib.EMA(c, 12), 1) / c,
        "zscore_20": np.sqrt(0.95) * (c - talib.SMA(c, 20)) / talib.STDDEV(c, 20),
    }


def test_features_equal_the_functions_of_talib_that_mean_the_same(ours, columns):
    for name, theirs in by_single_functions(columns).items():
        both = np.isfinite(ours[name]) & np.isfinite(theirs)
        assert both.sum() > 2_900, name
        np.testing.assert_allclose(ours[name][both], theirs[both], rtol=1e-7, atol=1e-7, err_msg=name)


def test_features_equal_talib_with_numpy_on_top(ours, columns):
    theirs = feature_peers.by_talib(columns)
    assert set(theirs) == {feature.name for feature in FEATURES}
    for name in feature_peers.SAME:
        np.testing.assert_allclose(ours[name][100:], theirs[name][100:], rtol=1e-6, atol=1e-6, err_msg=name)


def test_trend_is_the_macd_line_over_close_and_volatility(ours, columns):
    c = columns["close"]
    # TA-Lib starts the fast average of its MACD where the slow one starts: built from the two averages instead
    line = talib.EMA(c, 12) - talib.EMA(c, 48)
    expected = 1e4 * line / (c * ours["ewma_vol_20_bps"])
    np.testing.assert_allclose(ours["trend_12_48"][60:], expected[60:], rtol=1e-9, atol=1e-9)


def test_zscore_is_the_place_between_the_bollinger_bands(ours, columns):
    c = columns["close"]
    upper, middle, lower = talib.BBANDS(c, 50, 2.0, 2.0)
    # the bands use the population's deviation, and stand two of them from the middle
    expected = np.sqrt(49.0 / 50.0) * (c - middle) / ((upper - lower) / 4.0)
    np.testing.assert_allclose(ours["zscore_50"][50:], expected[50:], rtol=1e-7, atol=1e-7)


def test_exponential_volatility_is_that_of_pandas_once_the_seed_has_faded(ours, columns):
    r = np.log(pd.Series(columns["close"])).diff()
    expected = 1e4 * np.sqrt((r * r).ewm(halflife=20, adjust=False).mean())
    np.testing.assert_allclose(ours["ewma_vol_20_bps"][1_000:], expected[1_000:], rtol=1e-9)
    assert 1.0 - np.exp(-np.log(2.0) / 20.0) == pytest.approx(half_life_weight(20))


def test_autocorrelation_is_that_of_pandas_where_returns_have_no_mean():
    # alternating returns: their mean over 20 bars is 0 to the rounding, so both definitions agree
    close = np.where(np.arange(200) % 2, 101.0, 100.0)
    bars = random_bars(200, seed=1)
    for field in ("open", "high", "low", "close"):
        bars[field] = close
    bars["high"], bars["low"] = 101.0, 100.0
    r = np.log(pd.Series(close)).diff()
    ours = FeatureSet(FEATURES).batch(bars)["autocorrelation_20"]
    np.testing.assert_allclose(ours[50:], r.rolling(20).corr(r.shift(1))[50:], rtol=1e-9)
