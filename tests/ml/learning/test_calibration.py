"""Calibrations against independent code, and what must hold of any data."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from ml.learning.calibration import (
    Beta,
    beta_columns,
    fit_beta,
    fit_calibrator,
    fit_isotonic,
    fit_logistic,
    fit_platt,
    venn_abers,
)
from ml.learning.scores import log_loss
from ml.scoring import Knots, Platt
from tests.ml.learning.goldens import column, golden
from utils.errors import DataError


def scored(seed=3, n=400, slope=1.0):
    """Scores, and outcomes that follow them."""
    dice = np.random.default_rng(seed)
    raw = dice.normal(size=n)
    return raw, (dice.random(n) < sigmoid(slope * raw)).astype(np.float64)


def sigmoid(odds):
    return 1.0 / (1.0 + np.exp(-np.asarray(odds)))


def table(*names):
    return [column("calibration.parquet", name) for name in names]


def test_platt_is_that_of_independent_code():
    want = golden("calibration")["platt_smoothed_targets"]
    found = fit_platt(*table("raw", "y"))
    assert (want["a"], want["b"]) == pytest.approx((found.a, found.b), abs=1e-4)
    assert want["values"] == pytest.approx(sigmoid(-(found.a * np.array(want["at"]) + found.b)), abs=1e-4)


def test_a_plain_logistic_is_that_of_independent_code():
    want = golden("calibration")["logistic"]
    found = fit_logistic(*table("raw", "y"))
    assert (want["slope"], want["intercept"]) == pytest.approx(found, abs=1e-4)
    assert want["statsmodels"] == pytest.approx(found, abs=1e-8)


@pytest.mark.parametrize(("kind", "columns"), [("isotonic", "pyp"), ("isotonic_weighted", "pyw")])
def test_isotonic_knots_are_those_of_independent_code(kind, columns):
    want = golden("calibration")[kind]
    p, y, w = table("p", "y", "w")
    found = fit_isotonic(p, y, w if columns == "pyw" else None)
    np.testing.assert_allclose([found.x, found.y], want["knots"], rtol=0, atol=1e-9)
    at = golden("calibration")["isotonic"]["at"]
    np.testing.assert_allclose(np.interp(at, found.x, found.y), want["values"], rtol=0, atol=1e-9)


def test_beta_calibration_is_that_of_independent_code():
    want = golden("calibration")["beta"]
    p, y = table("p", "y")
    found, at = fit_beta(p, y), np.array(want["at"])
    a, b, m = want["map"]
    its = Beta(a, b, -a * math.log(m))
    assert want["values"] == pytest.approx(its.probability(at), abs=1e-6)
    # its optimiser stops where the likelihood rises by less than 1e-4 a unit, 2e-4 of a probability below the top
    assert 0.0 <= log_loss(its.probability(p), y) - log_loss(found.probability(p), y) < 1e-7
    assert found.b == b
    assert want["values"] == pytest.approx(found.probability(at), abs=2.5e-4)


def test_the_likelihood_of_beta_calibration_is_at_its_top():
    raw, y = scored(n=1500)
    p = sigmoid(raw)
    top = LogisticRegression(C=1e11, tol=1e-10, max_iter=10_000).fit(beta_columns(p), y)
    found = fit_beta(p, y)
    assert (*top.coef_[0], top.intercept_[0]) == pytest.approx((found.a, found.b, found.c), abs=1e-5)


def test_venn_abers_is_that_of_independent_code():
    want = golden("calibration")["venn_abers"]
    found = venn_abers(*table("p", "y"), np.array(want["at"]))
    np.testing.assert_allclose(np.column_stack(found), want["p0_p1"], rtol=0, atol=1e-9)


@given(st.integers(0, 2**32), st.floats(-3, 3), st.floats(0.01, 100))
def test_a_logistic_fit_leaves_no_slope_in_any_direction(seed, slope, scale):
    raw, y = scored(seed, 60, slope)
    w = np.random.default_rng(seed).random(60)
    if np.ptp(y) == 0.0 or raw[y == 1.0].min() > raw[y == 0.0].max() or raw[y == 1.0].max() < raw[y == 0.0].min():
        return
    b, c = fit_logistic(scale * raw, y, w)
    rest = w * (y - sigmoid(c + b * scale * raw))
    assert (0.0, 0.0) == pytest.approx((float(np.sum(rest)), float(rest @ raw)), abs=1e-6)


def test_a_step_that_would_lose_is_made_shorter():
    raw = np.concatenate([np.zeros(100), [0.1, 1.0, 100.0]])
    y = np.concatenate([np.zeros(100), [1.0, 0.0, 1.0]])
    slope, intercept = fit_logistic(raw, y)
    rest = y - sigmoid(intercept + slope * raw)
    assert (0.0, 0.0) == pytest.approx((float(np.sum(rest)), float(rest @ raw)), abs=1e-5)


@given(st.integers(0, 2**32))
def test_a_weight_is_as_many_rows(seed):
    raw, y = scored(seed, 40)
    times = np.random.default_rng(seed).integers(0, 3, 40)
    if times.sum() == 0:
        return
    one, many = fit_platt(raw, y, times.astype(np.float64)), fit_platt(np.repeat(raw, times), np.repeat(y, times))
    assert (one.a, one.b) == pytest.approx((many.a, many.b), abs=1e-7)
    knots, more = (
        fit_isotonic(raw, y, times.astype(np.float64)),
        fit_isotonic(np.repeat(raw, times), np.repeat(y, times)),
    )
    np.testing.assert_allclose([knots.x, knots.y], [more.x, more.y], atol=1e-12)


@given(st.lists(st.tuples(st.integers(-5, 5), st.sampled_from([0.0, 1.0])), min_size=1, max_size=40))
def test_knots_ascend_within_their_bounds(rows):
    raw, y = np.array(rows, dtype=np.float64).T
    knots = fit_isotonic(raw, y)
    assert np.all(np.diff(knots.x) > 0.0)
    assert np.all(np.diff(knots.y) >= 0.0)
    assert 0.01 <= knots.y.min() <= knots.y.max() <= 0.99


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(-5, 5), st.sampled_from([0.0, 1.0])), min_size=1, max_size=30))
def test_a_score_that_won_is_worth_no_less_than_one_that_lost(rows):
    raw, y = np.array(rows, dtype=np.float64).T
    p0, p1 = venn_abers(raw, y, np.arange(-6.0, 7.0, 2.0))
    assert np.all(p0 <= p1 + 1e-12)
    assert np.all(np.diff(p0) >= -1e-12)
    assert np.all(np.diff(p1) >= -1e-12)


@given(st.integers(0, 2**32), st.floats(-2, 2))
def test_beta_never_falls_and_never_loses_to_what_it_was_given(seed, slope):
    raw, y = scored(seed, 80, slope)
    p = sigmoid(raw)
    found = fit_beta(p, y)
    assert min(found.a, found.b) >= 0.0
    assert log_loss(found.probability(p), y) <= log_loss(np.full(80, y.mean()), y) + 1e-9
    if found.a > 0.0 and found.b > 0.0:
        assert log_loss(found.probability(p), y) <= log_loss(p, y) + 1e-9


def test_order_turned_round_has_no_beta_but_the_rate():
    raw, y = scored(slope=-3.0)
    found = fit_beta(sigmoid(raw), y)
    assert (0.0, 0.0) == (found.a, found.b)
    assert y.mean() == pytest.approx(float(found.probability(np.array([0.9]))[0]))


def test_a_beta_of_one_and_one_changes_nothing():
    p = np.array([0.1, 0.5, 0.8])
    assert p == pytest.approx(Beta(1.0, 1.0, 0.0).probability(p))


def test_a_perfect_order_one_class_and_one_score_have_a_finite_platt():
    apart = fit_platt(np.array([-1e6, 1e6]), np.array([0.0, 1.0]))
    assert apart.a < 0.0
    assert sigmoid(-(apart.a * 1e6 + apart.b)) == pytest.approx(2 / 3, abs=1e-6)
    one_class = fit_platt(np.array([1.0, 2.0, 3.0]), np.ones(3))
    assert (0.0, 4 / 5) == pytest.approx((one_class.a, sigmoid(-one_class.b)), abs=1e-9)
    one_score = fit_platt(np.full(4, 7.0), np.array([0.0, 1.0, 1.0, 1.0]))
    assert 0.0 == one_score.a
    assert sigmoid(-one_score.b) == pytest.approx((3 * 4 / 5 + 1 / 3) / 4)


def test_a_plain_fit_of_what_is_parted_ends():
    slope, intercept = fit_logistic(np.array([-1.0, -0.5, 0.5, 1.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert math.isfinite(slope)
    assert slope > 10.0
    assert intercept == pytest.approx(0.0, abs=1e-6)


def test_isotonic_needs_a_thousand_winners_by_weight():
    raw, y = scored(n=2500)
    assert isinstance(fit_calibrator(raw, y), Knots)
    assert isinstance(fit_calibrator(raw, y, np.full(2500, 0.5)), Platt)
    order = np.argsort(-y, kind="stable")
    assert isinstance(fit_calibrator(raw[order[:999]], y[order[:999]]), Platt)
    assert isinstance(fit_calibrator(raw[order[:1000]], y[order[:1000]]), Knots)


@pytest.mark.parametrize("fit", [fit_platt, fit_logistic, fit_isotonic, fit_beta, fit_calibrator])
def test_nothing_to_fit_is_said_and_nonsense_refused(fit):
    half, won = np.array([0.5, 0.4]), np.array([1.0, 0.0])
    with pytest.raises(DataError, match="expected labels to calibrate on, saw none; use more data"):
        fit(half[:0], won[:0])
    with pytest.raises(DataError, match="saw none"):
        fit(half, won, np.zeros(2))
    for raw, y, w, said in [
        (np.array([0.5, math.nan]), won, None, "row 1"),
        (np.array([math.inf, 0.5]), won, None, "row 0"),
        (half, np.array([0.5, 1.0]), None, "outcomes of 0 or 1, row 0"),
        (half, won, np.array([1.0, -1.0]), "weights of 0 or more, row 1"),
        (half, won[:1], None, "each of 2 rows"),
    ]:
        with pytest.raises(ValueError, match=said):
            fit(raw, y, w)
