"""Statistics of replications against SciPy, known truths and known chances."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, norm

from backtest.replication.statistics import (
    CLASSES,
    auc,
    classed,
    fitted_line,
    logistic,
    moments,
    r_squared,
    ratio,
    resampled,
    slope_estimate,
)


def dice(seed=1):
    return np.random.default_rng(seed)


# --- statistics


def test_r_squared_is_the_square_of_the_correlation():
    x, y = dice().normal(size=(2, 300))
    assert np.corrcoef(x, y + x)[0, 1] ** 2 == pytest.approx(float(r_squared(moments(x, y + x).sum(axis=0))))


def test_a_known_share_of_variance_lies_in_its_interval():
    x, noise = dice().normal(size=(2, 5000))
    seen = resampled(moments(x, 3.0 * x + 3.0 * math.sqrt(2.0 / 3.0) * noise), r_squared)
    assert 0.6 == pytest.approx(seen.value, abs=0.02)
    assert seen.low < 0.6 < seen.high


def test_flow_that_says_nothing_explains_nothing():
    x, y = dice().normal(size=(2, 2000))
    seen = resampled(moments(x, y), r_squared)
    assert seen.high < 0.02


def test_what_does_not_vary_has_no_share_of_variance():
    assert math.isnan(float(r_squared(moments(np.ones(50), dice().normal(size=50)).sum(axis=0))))
    assert math.isnan(float(ratio(np.array([1.0, 0.0]))))


def test_the_interval_of_a_mean_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(60):
        x = dice(seed).normal(size=300)
        seen = resampled(np.column_stack([x, np.ones(300)]), ratio)
        held += seen.low < 0.0 < seen.high
    assert 51 <= held


def test_what_hangs_together_has_a_wider_interval_in_blocks():
    x = np.convolve(dice().normal(size=2000), np.ones(10), "valid")
    parts = np.column_stack([x, np.ones(len(x))])
    alone, together = resampled(parts, ratio, block=1), resampled(parts, ratio, block=40)
    assert together.high - together.low > 2.0 * (alone.high - alone.low)


def test_the_same_numbers_give_the_same_interval_and_too_few_give_none():
    parts = moments(*dice().normal(size=(2, 100)))
    assert resampled(parts, r_squared) == resampled(parts, r_squared)
    assert math.isnan(resampled(parts[:1], r_squared).low)


def test_a_slope_and_its_interval_are_those_of_scipy():
    x, noise = dice().normal(size=(2, 20))
    theirs, ours = linregress(x, noise - x), slope_estimate(x, noise - x)
    assert theirs.slope == pytest.approx(ours.value)
    width = 2.10092204 * theirs.stderr  # of Student's t, 18 degrees of freedom
    assert (theirs.slope - width, theirs.slope + width) == pytest.approx((ours.low, ours.high))
    assert math.isnan(slope_estimate(np.ones(5), x[:5]).value)


def test_the_area_under_the_curve_is_that_of_two_normal_classes():
    up = dice(5).random(20_000) < 0.4
    scores = dice(6).normal(size=20_000) + up
    seen = resampled(classed(scores, up), auc, n=len(up))
    assert norm.cdf(1.0 / math.sqrt(2.0)) == pytest.approx(seen.value, abs=0.01)
    assert seen.low < norm.cdf(1.0 / math.sqrt(2.0)) < seen.high
    assert 20_000 == seen.n


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60))
@settings(max_examples=40)
def test_few_scores_have_the_exact_area_and_the_other_side_has_the_rest(pairs):
    scores, up = np.array([pair[0] for pair in pairs], float), np.array([pair[1] for pair in pairs])
    seen = float(auc(classed(scores, up).sum(axis=0)))
    if up.all() or not up.any():
        assert math.isnan(seen)
        return
    better = np.sign(scores[up][:, None] - scores[~up][None, :])
    assert (0.5 * (1.0 + better)).mean() == pytest.approx(seen)
    assert 1.0 - seen == pytest.approx(float(auc(classed(scores, ~up).sum(axis=0))))


def test_every_observation_is_in_one_class():
    parts = classed(dice().normal(size=1234), dice(2).random(1234) < 0.5)
    assert (500, 2 * CLASSES) == parts.shape
    assert 1234 == parts.sum()


def test_a_logistic_line_is_found_and_a_clean_cut_has_none():
    x = dice().uniform(-1.0, 1.0, 40_000)
    up = dice(2).random(40_000) < 1.0 / (1.0 + np.exp(-0.3 - 1.7 * x))
    assert (0.3, 1.7) == pytest.approx(logistic(x, up), abs=0.06)
    assert math.isnan(logistic(x, x > 0.0)[1])


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0 / 3.0, 1e9 / 7.0])
def test_a_line_on_what_does_not_vary_has_no_slope(value):
    assert all(math.isnan(found) for found in fitted_line(np.full(30, value), np.arange(30.0)))
