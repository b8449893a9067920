"""Forecasts of variance against plain re-computations and other libraries, on dice and on recorded candles."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.check_inputs import halted, random_bars
from features.registry import feature_set
from ml.market.forecasts import compare_forecasts, ewma_forecast, har_forecast, qlike, realised_ahead
from tests.e2e.support import recordings
from utils.errors import ConfigError, DataError

NAN = math.nan
absent = pytest.mark.skipif(not recordings(), reason="the recorded candles are not beside this tree")


def test_the_exponential_forecast_is_the_registered_variance_over_the_horizon():
    bars = random_bars(300, seed=8)
    volatility = feature_set().batch(bars)["ewma_vol_20_bps"]
    found = ewma_forecast(bars, horizon=12, half_life=20)
    assert (12 * (volatility * volatility)).tobytes() == found.tobytes()


def test_what_comes_is_the_sum_of_the_squares_that_come():
    r = 1e-4 * np.array([3.0, -1.0, 2.0, 4.0])
    closes = 100.0 * np.exp(np.concatenate(([0.0], np.cumsum(r))))
    assert [10.0, 5.0, 20.0, NAN, NAN] == pytest.approx(list(realised_ahead(closes, horizon=2)), nan_ok=True)


def test_har_is_least_squares_on_the_logs_of_realised_variance():
    ols = pytest.importorskip("statsmodels.api").OLS
    closes = random_bars(2400, seed=9)["close"]
    horizon, terms, train, t = 10, (1, 3, 8), 100, 1990
    squares = (1e4 * np.diff(np.log(closes), prepend=NAN)) ** 2

    def regressors(s):
        return [1.0, *(math.log(squares[s - horizon * k + 1 : s + 1].sum() / k) for k in terms)]

    origins = [t - horizon * k for k in range(1, train + 1)]
    outcomes = [math.log(squares[s + 1 : s + horizon + 1].sum()) for s in origins]
    fit = ols(outcomes, [regressors(s) for s in origins]).fit()
    found = har_forecast(closes, horizon=horizon, terms=terms, train=train)
    for row in (t, t + 9):  # fitted at t, used until the next fit
        expected = math.exp(float(fit.params @ regressors(row)) + fit.scale / 2.0)
        assert expected == pytest.approx(found[row], rel=1e-9)
    assert 10 * (8 + 100) == int(np.argmax(np.isfinite(found)))


def test_har_without_movement_has_no_forecast():
    flat = halted(random_bars(1500, seed=10), 0, 1500)
    assert np.isnan(har_forecast(flat, horizon=10, terms=(1, 2), train=40)).all()
    paused = halted(random_bars(1500, seed=10), 900, 940)
    found = har_forecast(paused, horizon=10, terms=(1, 2), train=40)
    gone = np.flatnonzero(np.isnan(found[420:])) + 420
    assert (909, 939) == (gone.min(), gone.max())  # no span of ten bars moved


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"horizon": 0}, "horizon"),
        ({"horizon": 5, "terms": ()}, "terms"),
        ({"horizon": 5, "terms": (0, 2)}, "terms"),
        ({"horizon": 5, "train": 39}, "40 periods"),
        ({"horizon": 5, "refit": 0}, "refit"),
    ],
)
def test_impossible_settings_of_a_forecast_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        har_forecast([1.0, 2.0], **options)


def test_short_prices_have_no_forecast_yet():
    for forecast in (ewma_forecast, har_forecast, realised_ahead):
        assert [True, True] == list(np.isnan(forecast([1.0, 2.0], horizon=5)))
    assert {0} == {score.n for score in compare_forecasts([1.0, 2.0], horizon=5)}


def test_qlike_is_0_for_the_truth_and_patton_s_loss_otherwise():
    assert 0.0 == qlike([2.0, 3.0], [2.0, 3.0])
    assert 0.5 - math.log(0.5) - 1.0 == pytest.approx(qlike([2.0, NAN, 1.0], [1.0, 1.0, 0.0]))
    assert math.isnan(qlike([NAN], [1.0]))


@given(st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.integers(-10, 10))
@settings(max_examples=30)
def test_qlike_is_at_least_0_and_knows_no_unit(forecast, realised, power):
    loss = qlike([forecast], [realised])
    assert loss >= 0.0
    assert loss == qlike([forecast * 2.0**power], [realised * 2.0**power])


def test_columns_of_different_length_are_refused():
    with pytest.raises(DataError, match="2 for 1"):
        qlike([1.0, 2.0], [1.0])


@absent
@pytest.mark.long
def test_har_forecasts_the_next_hour_better_than_averages_on_every_long_recording():
    worse = {}
    for path in recordings():
        minutes = {"1m": 1, "5m": 5}.get(path.parent.name)
        candles = pd.read_parquet(path)
        if minutes is None or len(candles) < 30_000:
            continue
        half_lives = tuple(hours // minutes for hours in (20, 60, 240))
        har, *others = compare_forecasts(candles, horizon=60 // minutes, half_lives=half_lives)
        worse |= {(path.parent.parent.name, path.stem, other.name): other for other in others if other.worse <= 0.0}
        assert har.qlike < 0.6
    # the one file without a winner: the month of a halt and of single minutes that move the price by percents
    assert {("binance_usdm_flow", "NEARUSDT_202308_202310", "ewma_20")} == set(worse)
    assert all(abs(other.worse) < 2.0 * other.error for other in worse.values())
