"""The default strategy: its score, its gates, and a threshold that learns."""

import math
from itertools import islice

import numpy as np
import pytest

from features.registry import feature_set
from ml.signal import STRATEGY, Signaller, score
from tests.market import FLAT, NAN, TF, bars, dice, row
from utils.rows import SIGNAL

#: A strong dip in an uptrend, in a market with nothing to object to.
DIP = {
    "trend_12_48": 3.0,
    "zscore_20": -2.0,
    "taker_flow_20": 0.1,
    "candle_flow_proxy_20": -0.9,
    "vol_ratio_20_120": 1.0,
    "volume_ratio_20": 1.0,
    "roll_spread_20_bps": 1.0,
    "ewma_vol_20_bps": 10.0,
    "atr_14": 0.7,
}
MIRROR = {**DIP, "trend_12_48": -3.0, "zscore_20": 2.0, "taker_flow_20": -0.1}
#: 100 (3 / 4 + 2 / 2 + 0.5 x 2 x 0.1) / 2.5
STRENGTH = 74.0


def settings(**values):
    known = {
        "trend_weight": 1.0,
        "stretch_weight": 1.0,
        "flow_weight": 0.5,
        "per_weight": 1.0 / 2.5,
        "min_strength": 20.0,
        "adapt_quantile": 0.9,
        "adapt_step": 1.0,
        "vol_tilt": 10.0,
        "vol_low": 0.5,
        "vol_high": 3.0,
        "min_volume_ratio": 0.1,
        "max_roll_bps": 20.0,
        "max_flow_against": 0.3,
        "edge_per_sigma": 0.15,
        "horizon": 16.0,
    }
    return row(STRATEGY, **{**known, **values})


def seen(*moments, start=0, **values):
    """(signal rows, signaller) after bars with these features each."""
    one = Signaller(settings(**values), [start])
    kind = feature_set().dtype
    vectors = np.concatenate([row(kind, **moment) for moment in moments], dtype=kind)
    return one.batch(bars(*[FLAT] * len(moments)), vectors), one


def ended_at(**changes):
    """The gate at which one bar ended, and which gates had no input."""
    settings_of = {name: changes.pop(name) for name in [*changes] if name in STRATEGY.names}
    _, one = seen({**DIP, **changes}, **settings_of)
    (gate,) = [name for name, count in one.funnel().items() if count]
    return gate, one.unavailable()


def test_the_score_is_the_weighted_pull_of_trend_stretch_and_flow():
    features = row(feature_set().dtype, **DIP)[0]
    assert pytest.approx(STRENGTH / 100.0) == score(settings()[0], features)


def test_the_score_is_antisymmetric():
    features = [row(feature_set().dtype, **moment)[0] for moment in (DIP, MIRROR)]
    assert -score(settings()[0], features[0]) == score(settings()[0], features[1])


@pytest.mark.parametrize(
    ("changes", "points"),
    [
        ({"trend_12_48": 4.0}, 84.0),
        ({"trend_12_48": 400.0}, 84.0),
        ({"zscore_20": -1.0}, 54.0),
        ({"zscore_20": -200.0}, 74.0),
        ({"taker_flow_20": 0.5}, 90.0),
        ({"taker_flow_20": 0.9}, 90.0),
    ],
)
def test_no_single_input_counts_for_more_than_its_weight(changes, points):
    features = row(feature_set().dtype, **{**DIP, **changes})[0]
    assert pytest.approx(points / 100.0) == score(settings()[0], features)


def test_the_score_lies_between_minus_one_and_one():
    for sign in (1.0, -1.0):
        wild = {**DIP, "trend_12_48": 99.0 * sign, "zscore_20": -99.0 * sign, "taker_flow_20": sign}
        assert pytest.approx(sign, abs=1e-15) == score(settings()[0], row(feature_set().dtype, **wild)[0])


@pytest.mark.parametrize("name", ["trend_12_48", "zscore_20"])
def test_the_score_is_nan_without_a_trend_or_a_stretch(name):
    assert math.isnan(score(settings()[0], row(feature_set().dtype, **{**DIP, name: NAN})[0]))


def test_without_taker_flow_the_candles_lend_theirs():
    proxy = {**DIP, "taker_flow_20": NAN, "candle_flow_proxy_20": 0.1}
    assert pytest.approx(STRENGTH / 100.0) == score(settings()[0], row(feature_set().dtype, **proxy)[0])


def test_without_any_flow_the_rest_is_scored():
    blind = {**DIP, "taker_flow_20": NAN, "candle_flow_proxy_20": NAN}
    assert pytest.approx(1.75 / 2.5) == score(settings()[0], row(feature_set().dtype, **blind)[0])


def test_a_signal_says_side_strength_threshold_and_expectation_and_leaves_the_rest_to_the_settings():
    signal = seen(DIP)[0][0]
    assert (1.0, pytest.approx(STRENGTH), 20.0, 0.7) == (signal.side, signal.strength, signal.threshold, signal.atr)
    assert pytest.approx(0.15 * 10.0 * math.sqrt(16.0) * STRENGTH / 100.0) == signal.expected_bps
    assert all(math.isnan(signal[name]) for name in ("p_win", "take_bps", "stop_bps", "horizon"))


def test_the_mirror_image_is_a_short():
    assert -1.0 == seen(MIRROR)[0][0].side


def test_a_neutral_bar_says_that_it_has_no_side_and_nothing_else():
    out = np.full(1, 5.0, SIGNAL)
    calm = row(feature_set().dtype, **{**DIP, "vol_ratio_20_120": 9.0})
    assert out is Signaller(settings(), [0]).batch(bars(FLAT), calm, out)
    assert math.isnan(out[0].side)
    assert {5.0} == {out[0][name] for name in SIGNAL.names if name != "side"}


def test_fields_of_a_neutral_bar_are_nan_in_new_rows():
    signal = seen({**DIP, "vol_ratio_20_120": 9.0})[0][0]
    assert all(math.isnan(signal[name]) for name in SIGNAL.names)


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({}, "signal"),
        ({"vol_ratio_20_120": 0.49}, "vol_low"),
        ({"vol_ratio_20_120": 0.5}, "signal"),
        ({"vol_ratio_20_120": 3.01}, "vol_high"),
        ({"volume_ratio_20": 0.09}, "thin_volume"),
        ({"volume_ratio_20": 0.1}, "signal"),
        ({"volume_ratio_20": 0.5, "min_volume_ratio": 0.6}, "thin_volume"),
        ({"roll_spread_20_bps": 20.1}, "wide_spread"),
        ({"trend_12_48": 0.2, "zscore_20": -0.1}, "strength"),
        ({"taker_flow_20": -0.31}, "flow_against"),
        ({"trend_12_48": NAN}, "flat_market"),
        ({"zscore_20": NAN}, "flat_market"),
        ({"vol_ratio_20_120": NAN}, "flat_market"),
        ({"min_strength": 90.0}, "strength"),
        ({"min_strength": 70.0}, "signal"),
        ({"vol_ratio_20_120": 2.0, "min_strength": 70.0}, "strength"),  # ten points more per unit of volatility
    ],
)
def test_each_gate_stops_what_it_should(changes, gate):
    assert (gate, {}) == ended_at(**changes)


@pytest.mark.parametrize(
    ("feature", "gate"), [("volume_ratio_20", "thin_volume"), ("roll_spread_20_bps", "wide_spread")]
)
def test_a_gate_without_input_is_counted_and_passes_in_simulations_and_refuses_live(feature, gate):
    assert ("signal", {gate: 1}) == ended_at(**{feature: NAN})
    assert (gate, {gate: 1}) == ended_at(**{feature: NAN}, nan_refuses=1)


def test_without_any_flow_that_gate_is_unavailable():
    blind = {"taker_flow_20": NAN, "candle_flow_proxy_20": NAN}
    assert ("signal", {"flow_against": 1}) == ended_at(**blind)
    assert ("flow_against", {"flow_against": 1}) == ended_at(**blind, nan_refuses=1)


def test_bars_before_the_start_are_warm_up_and_still_teach_the_threshold():
    signals, one = seen(DIP, DIP, DIP, start=3 * TF)
    assert [True, True, False] == np.isnan(signals["side"]).tolist()
    assert (2, 1) == (one.funnel()["warmup"], one.funnel()["signal"])
    assert pytest.approx(20.0 + 2 * 0.9) == signals[2].threshold


def test_the_threshold_rises_over_strong_bars_and_falls_over_weak_ones_but_never_under_its_floor():
    weak = {**DIP, "trend_12_48": 0.2, "zscore_20": -0.1}
    signals, _ = seen(*[DIP] * 50, *[weak] * 2000, DIP, adapt_step=0.5)
    assert pytest.approx(20.0 + 49 * 0.45) == signals[49].threshold
    assert 20.0 == signals[-1].threshold


def test_the_given_share_of_bars_lies_below_the_threshold():
    vectors = row(feature_set().dtype, **DIP).repeat(4000)
    vectors["trend_12_48"] = [number / 1000.0 for number in islice(dice(3), 4000)]
    one = Signaller(settings(min_strength=0.0, vol_tilt=0.0, adapt_step=0.2), [1001 * TF])
    one.batch(bars(*[FLAT] * 4000), vectors)
    assert pytest.approx(0.1, abs=0.005) == one.funnel()["signal"] / 3000


def test_symbols_do_not_share_their_memory():
    one = Signaller(settings(), [0, 0])
    vectors = row(feature_set().dtype, **DIP).repeat(3)
    clock = np.concatenate([bars(FLAT), bars(FLAT, first=1), bars(FLAT, first=1, sym=1)])
    signals = one.batch(clock.view(bars(FLAT).dtype), vectors)
    assert [20.0, pytest.approx(20.9), 20.0] == signals["threshold"].tolist()


def test_reset_forgets_every_bar():
    one = Signaller(settings(), [0])
    vectors = row(feature_set().dtype, **DIP)
    first = one.batch(bars(FLAT), vectors)
    one.batch(bars(FLAT), vectors)
    one.reset()
    assert first.tobytes() == one.batch(bars(FLAT), vectors).tobytes()
    assert 1 == one.funnel()["signal"]


@pytest.mark.parametrize(
    ("spread_bps", "refuses", "gate"),
    [(5.0, 1, "signal"), (5.1, 1, "wide_book"), (NAN, 1, "wide_book"), (NAN, 0, "signal")],
)
def test_a_live_book_that_is_wide_or_not_valid_stops_entries(spread_bps, refuses, gate):
    one = Signaller(settings(max_book_spread_bps=5.0, nan_refuses=refuses), [0])
    one.see_book(0, spread_bps)
    one.batch(bars(FLAT), row(feature_set().dtype, **DIP))
    assert [gate] == [name for name, count in one.funnel().items() if count]
    assert ({"wide_book": 1} if math.isnan(spread_bps) else {}) == one.unavailable()


def test_without_a_book_its_gate_is_not_asked():
    assert ("signal", {}) == ended_at(nan_refuses=1)
