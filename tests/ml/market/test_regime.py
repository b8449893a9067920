"""Regimes against plain re-computations and other libraries, on dice, by hand and on recorded candles."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.check_inputs import random_bars
from features.fold import FeatureSet
from features.folds.volatility import ewma_vol
from features.registry import feature_set
from ml.market.columns import volatility_of
from ml.market.regime import (
    EXTREME,
    HIGH,
    LOW,
    NAMES,
    NORMAL,
    UNKNOWN,
    Regimes,
    RegimeTracker,
    price_regime,
    volatility_regime,
)
from tests.e2e.support import CANDLES, recordings
from utils.errors import ConfigError, DataError

NAN = math.nan
absent = pytest.mark.skipif(not recordings(), reason="the recorded candles are not beside this tree")


def same(first, second):
    return first.rank.tobytes() == second.rank.tobytes() and first.regime.tobytes() == second.regime.tobytes()


def at_ranks(*ranks, **options):
    """The regimes of values drawn to have about these ranks (to 0.01) among 1,000, after a warm-up that ends normal."""
    usual = np.random.default_rng(5).permutation(np.linspace(0.0, 1.0, 1000))
    usual[-1] = 0.5
    return list(volatility_regime([*usual, *ranks], window=1000, **options).regime[1000:])


# values of few kinds, so that many are equal, some unknown
VOLATILITIES = st.lists(st.one_of(st.integers(0, 12).map(float), st.just(NAN)), max_size=120)


@given(VOLATILITIES, st.integers(34, 50))
@settings(max_examples=40)
def test_a_rank_is_the_percentile_among_the_last_values_this_one_included(values, window):
    found = volatility_regime(values, window=window, least=34).rank
    seen = []
    for value, rank in zip(values, found, strict=True):
        if math.isnan(value):
            assert math.isnan(rank)
            continue
        seen = [*seen, value][-window:]
        below = sum(other < value for other in seen)
        through = sum(other <= value for other in seen)
        expected = (below + through) / (2 * len(seen)) if len(seen) >= 34 else NAN
        assert expected == pytest.approx(rank, rel=1e-15, nan_ok=True)


def test_a_rank_is_the_mean_percentile_of_scipy():
    score = pytest.importorskip("scipy.stats").percentileofscore
    values = np.random.default_rng(2).integers(0, 40, 300).astype(float)
    found = volatility_regime(values, window=100).rank
    assert [score(values[t - 99 : t + 1], values[t], kind="mean") / 100 for t in range(99, 300)] == pytest.approx(
        list(found[99:])
    )


@given(VOLATILITIES, st.integers(1, 119))
@settings(max_examples=40)
def test_history_at_once_in_parts_and_bar_by_bar_give_the_same_bits(values, cut):
    whole = volatility_regime(values, window=40, least=34)
    for parts in ([values[:cut], values[cut:]], [[value] for value in values]):
        tracker = RegimeTracker(40, least=34)
        answers = [tracker.batch(part) for part in parts]
        joined = Regimes(
            np.concatenate([np.zeros(0), *(answer.rank for answer in answers)]),
            np.concatenate([np.zeros(0, np.int8), *(answer.regime for answer in answers)]),
        )
        assert same(whole, joined)


def test_a_tracker_that_was_reset_has_forgotten():
    values = np.random.default_rng(3).random(200)
    tracker = RegimeTracker(50)
    first = tracker.batch(values)
    tracker.reset()
    assert same(first, tracker.batch(values))


def test_regimes_change_after_two_bars_beyond_border_and_band():
    assert [NORMAL, NORMAL, NORMAL, NORMAL] == at_ranks(0.9, 0.5, 0.83, 0.83)
    assert [NORMAL, HIGH, HIGH, HIGH, HIGH, NORMAL] == at_ranks(0.9, 0.9, 0.77, 0.77, 0.7, 0.7)
    assert [NORMAL, NORMAL, LOW, LOW, LOW, NORMAL] == at_ranks(0.3, 0.2, 0.2, 0.36, 0.45, 0.45)


def test_the_extreme_is_entered_and_left_by_half_of_the_room_that_its_border_has():
    assert [NORMAL, HIGH] == at_ranks(0.978, 0.978)
    assert [NORMAL, EXTREME, EXTREME, EXTREME, EXTREME, HIGH] == at_ranks(0.998, 0.998, 0.965, 0.965, 0.9, 0.9)


def test_a_change_goes_as_far_as_its_bars_agree_and_a_turn_begins_anew():
    assert [NORMAL, HIGH, HIGH, EXTREME] == at_ranks(0.998, 0.9, 0.998, 0.998)
    assert [NORMAL, NORMAL, NORMAL, LOW] == at_ranks(0.9, 0.1, 0.9, 0.1, hold=2)[:3] + at_ranks(0.1, 0.1)[1:]


def test_one_bar_suffices_when_the_hold_is_one_and_a_wide_hold_waits():
    assert [LOW, EXTREME] == at_ranks(0.1, 0.998, hold=1)
    assert [NORMAL, NORMAL, NORMAL, HIGH] == at_ranks(0.9, 0.9, 0.9, 0.9, hold=4)


def test_an_unknown_volatility_is_an_unknown_regime_ends_a_run_and_leaves_no_trace_in_ranks():
    assert [NORMAL, UNKNOWN, NORMAL, HIGH] == at_ranks(0.9, NAN, 0.9, 0.9)
    values = np.random.default_rng(4).random(300)
    holed = np.insert(values, [50, 120, 120], NAN)
    kept = ~np.isnan(holed)
    assert (
        volatility_regime(values, window=60).rank.tobytes() == volatility_regime(holed, window=60).rank[kept].tobytes()
    )


def test_the_warm_up_is_unknown():
    found = volatility_regime(np.random.default_rng(6).random(100), window=80)
    assert ["unknown"] == list({NAMES[code] for code in found.regime[:79]})
    assert np.isnan(found.rank[:79]).all()
    assert not np.isnan(found.rank[79:]).any()
    assert UNKNOWN not in found.regime[79:]


def test_a_volatility_that_never_changes_is_normal():
    found = volatility_regime(np.full(100, 3.0), window=50)
    assert {0.5} == set(found.rank[49:])
    assert {NORMAL} == set(found.regime[49:])


@given(st.integers(-20, 20), st.integers(0, 9))
@settings(max_examples=15)
def test_regimes_do_not_depend_on_the_unit(power, seed):
    values = np.random.default_rng(seed).lognormal(0.0, 1.0, 300)
    assert same(volatility_regime(values, window=80), volatility_regime(values * 2.0**power, window=80))


def test_ranks_stay_within_0_and_1():
    found = volatility_regime(np.arange(200.0), window=34).rank[33:]
    assert {1.0 - 0.5 / 34} == set(found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 33}, "34 <= least"),
        ({"window": 100, "least": 101}, "least 101"),
        ({"window": 100, "borders": (0.5, 0.4, 0.9)}, "ascending"),
        ({"window": 100, "borders": (0.5, 0.9)}, "three"),
        ({"window": 100, "borders": (0.5, 0.9, 1.0)}, "between 0 and 1"),
        ({"window": 100, "hold": 0}, "hold"),
        ({"window": 100, "band": -0.1}, "band"),
        ({"window": 100, "band": NAN}, "band"),
    ],
)
def test_impossible_settings_of_a_regime_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        volatility_regime([], **options)


@pytest.mark.parametrize("values", [[1.0, math.inf], [[1.0, 2.0]], ["much"]])
def test_what_is_not_one_column_of_numbers_is_refused(values):
    with pytest.raises(DataError, match="volatility"):
        volatility_regime(values, window=50)


def test_prices_give_the_regime_of_the_registered_volatility_whatever_form_they_come_in():
    bars = random_bars(400, seed=7)
    ranked = volatility_regime(feature_set().batch(bars)["ewma_vol_20_bps"], window=100)
    frame = pd.DataFrame({name: bars[name] for name in ("open", "high", "low", "close", "volume")})
    for prices in (bars, frame, bars["close"], frame["close"], list(bars["close"])):
        assert same(ranked, price_regime(prices, window=100))


def test_a_live_bar_gives_the_regime_that_history_gives():
    bars = random_bars(300, seed=7)
    fold, tracker = FeatureSet((ewma_vol(20),)), RegimeTracker(80)
    live = [tracker.batch(fold.step(bars[i : i + 1])["ewma_vol_20_bps"]) for i in range(len(bars))]
    past = price_regime(bars, window=80)
    assert list(past.regime) == [int(one.regime[0]) for one in live]
    assert past.rank.tobytes() == np.concatenate([one.rank for one in live]).tobytes()


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        (pd.DataFrame({"open": [1.0]}), "column `close`"),
        ([1.0, 0.0], "row 1"),
        ([1.0, NAN], "row 1"),
        (np.concatenate((random_bars(3, 1), random_bars(3, 1))), "several"),
    ],
)
def test_prices_that_are_none_are_refused(prices, words):
    if isinstance(prices, np.ndarray):
        prices["sym"][3:] = 1
    with pytest.raises(DataError, match=words):
        price_regime(prices, window=50)


@absent
def test_recorded_weeks_divide_into_regimes_about_as_the_borders_say():
    candles = pd.read_parquet(CANDLES / "binance_usdm/5m/BTCUSDT_20250119_20251031.parquet")
    found = price_regime(candles, window=2016)
    codes = found.regime[2016 + 20 :]
    shares = np.bincount(codes, minlength=len(NAMES)) / len(codes)
    assert 0.0 == shares[UNKNOWN]
    assert [0.33, 0.47, 0.17, 0.03] == pytest.approx(list(shares[LOW:]), abs=0.05)
    # a regime lasts: without band and hold there are three times as many changes
    eager = volatility_regime(volatility_of(candles, 20), window=2016, band=0.0, hold=1).regime[2036:]
    assert np.count_nonzero(np.diff(codes)) < 0.5 * np.count_nonzero(np.diff(eager))
