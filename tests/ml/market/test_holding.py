"""How long to hold: the golden curve, the maximum against a grid, and no horizon where none pays."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.market.holding import (
    Decay,
    best_holding,
    break_even_holding,
    decay_point,
    holding_period,
    holding_ratio,
    horizons_up_to,
    signed_moves,
)
from ml.market.momentum import fit_decay
from tests.ml.walks import known_ahead, walk
from utils.errors import ConfigError

GOLDEN = Decay(12.0, 5.0)


def test_the_golden_curve():
    # 12 bps, 5 minutes, a round trip of 4 bps, 8 bps per square root of a minute
    assert best_holding(GOLDEN, 4.0) == pytest.approx(5.94, abs=0.005)
    once = best_holding(GOLDEN, 4.0, "sharpe")
    assert once == pytest.approx(10.13, abs=0.01)
    assert holding_ratio(GOLDEN, once, 4.0, 8.0) == pytest.approx(0.252, abs=5e-4)
    assert break_even_holding(GOLDEN, 4.0) == pytest.approx(2.03, abs=0.005)


@pytest.mark.parametrize("cost", [12.0, 13.0])
def test_an_edge_that_ends_below_its_cost_pays_at_no_horizon(cost):
    assert best_holding(GOLDEN, cost) is None
    assert best_holding(GOLDEN, cost, "sharpe") is None
    assert break_even_holding(GOLDEN, cost) is None


def test_without_cost_one_leaves_at_once_or_where_a_single_shot_is_best():
    assert best_holding(GOLDEN, 0.0) == 0.0
    assert break_even_holding(GOLDEN, 0.0) == 0.0
    assert best_holding(GOLDEN, 0.0, "sharpe") == pytest.approx(1.2564 * 5.0, abs=1e-3)


@given(amplitude=st.floats(1.0, 100.0), tau=st.floats(0.5, 200.0), share=st.floats(0.01, 0.95), once=st.booleans())
def test_no_point_of_a_grid_is_better(amplitude, tau, share, once):
    decay, cost = Decay(amplitude, tau), share * amplitude
    best = best_holding(decay, cost, "sharpe" if once else "rate")
    hs = np.geomspace(0.01 * tau, 50.0 * tau, 2000)

    def worth(h):
        return (decay.at(h) - cost) / (math.sqrt(h) if once else h)

    assert worth(best) >= max(map(worth, hs)) - 1e-9
    assert best > break_even_holding(decay, cost)


@given(share=st.floats(0.05, 0.8), scale=st.floats(0.1, 10.0))
def test_dearer_round_trips_are_held_longer_and_units_do_not_matter(share, scale):
    assert best_holding(GOLDEN, 12.0 * share) < best_holding(GOLDEN, 12.0 * share + 1.0)
    scaled = best_holding(Decay(12.0 * scale, 5.0), 12.0 * share * scale)
    assert scaled == pytest.approx(best_holding(GOLDEN, 12.0 * share), rel=1e-6)


def test_a_ratio_without_time_or_volatility_is_unknown():
    assert math.isnan(holding_ratio(GOLDEN, 0.0, 4.0, 8.0))
    assert math.isnan(holding_ratio(GOLDEN, 5.0, 4.0, 0.0))


def test_horizons_grow_to_the_longest_each_once():
    assert (1, 2, 3, 4, 5) == horizons_up_to(60)[:5]
    assert 60 == horizons_up_to(60)[-1]
    assert len(set(horizons_up_to(200))) == len(horizons_up_to(200))


def test_an_exact_curve_is_found_again():
    h = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0])
    assert fit_decay(h, np.array([GOLDEN.at(x) for x in h]), np.full(8, 0.5)) == pytest.approx((12.0, 5.0), rel=1e-5)


def test_a_point_of_the_curve_has_the_error_of_its_mean():
    moves = np.where(np.arange(8_000) % 20 == 0, np.random.default_rng(2).normal(3.0, 40.0, 8_000), np.nan)
    mean, error = decay_point(moves, 5)
    assert mean == pytest.approx(np.nanmean(moves))
    assert error == pytest.approx(np.nanstd(moves) / math.sqrt(400))
    assert all(map(math.isnan, decay_point(np.full(3, np.nan), 1)))


def test_moves_are_signed_and_end_with_the_data():
    moves = signed_moves(np.log([100.0, 101.0, 100.0, 102.0]), np.array([1.0, -1.0, np.nan, 1.0]), 1)
    expected = [1e4 * math.log(1.01), 1e4 * math.log(1.01), math.nan, math.nan]
    assert moves == pytest.approx(expected, nan_ok=True)


def prepared(n, seed, push):
    sides, drift = known_ahead(n, seed, push_bps=push)
    return np.log(walk(n, seed=seed, push_bps=drift)["close"].to_numpy()), sides


def test_a_signal_that_knows_ten_bars_ahead_is_held_about_as_long():
    closes, sides = prepared(20_000, 3, 6.0)
    found = holding_period(closes, sides, 5.0, 9.0, 60)
    assert 15.0 <= found.minutes <= 75.0
    assert found.low_bps > 9.0


def test_the_half_that_was_not_fitted_has_its_say():
    closes, sides = prepared(20_000, 3, 6.0)
    later = slice(10_000, None)
    sides[later] = np.where(np.arange(10_000) % 50 == 0, -sides[later], sides[later])
    found = holding_period(closes, sides, 5.0, 9.0, 60)
    assert found.minutes is None
    assert "but the later half moved" in found.reason


def test_noise_is_not_held():
    closes, sides = prepared(20_000, 4, 0.0)
    assert holding_period(closes, sides, 5.0, 9.0, 60).minutes is None


def test_few_signals_and_short_horizons_are_said():
    closes, sides = prepared(2_000, 4, 0.0)
    assert (
        "0 signals are too few for a decay curve: 50 in each half are needed"
        == holding_period(closes, np.zeros(2_000), 5.0, 9.0, 60).reason
    )
    with pytest.raises(ConfigError, match="longest: expected a horizon of at least 3 bars"):
        holding_period(closes, sides, 5.0, 9.0, 2)


def test_what_is_scarce_is_one_of_two_words_even_where_nothing_pays():
    with pytest.raises(ConfigError, match="scarce: expected rate or sharpe, saw 'risk'"):
        best_holding(GOLDEN, 13.0, "risk")
    with pytest.raises(ConfigError, match="scarce: expected rate or sharpe, saw 'risk'"):
        holding_period(np.zeros(200), np.ones(200), 1.0, 4.0, 20, "risk")


def test_a_curve_without_a_time_constant_breaks_even_never():
    assert break_even_holding(Decay(12.0, -1.0), 4.0) is None
    assert break_even_holding(Decay(12.0, math.nan), 4.0) is None


def test_sides_that_are_not_beside_the_bars_are_refused():
    with pytest.raises(ConfigError, match="sides: expected a number beside each of 200 bars, saw 5"):
        holding_period(np.zeros(200), np.ones(5), 1.0, 4.0, 20)
