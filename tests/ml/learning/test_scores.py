"""Scores against independent code, and what must hold of any probabilities."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.learning.scores import (
    auc,
    brier,
    brier_skill,
    ece,
    log_loss,
    murphy,
    reliability,
    reliability_line,
)
from tests.ml.learning.goldens import column, golden
from utils.figures.arithmetic import wilson_interval


def table():
    return [column("calibration.parquet", name) for name in ("p", "y", "w")]


def test_scores_are_those_of_independent_code():
    want, (p, y, w) = golden("calibration"), table()
    found = {
        "brier": brier(p, y),
        "brier_weighted": brier(p, y, w),
        "logloss": log_loss(p, y),
        "auc": auc(p, y),
        "brier_skill": brier_skill(p, y),
        "ece10_equal_mass": ece(p, y),
        "ece10_weighted": ece(p, y, w),
        "base_rate": float(np.mean(y)),
    }
    assert {name: want[name] for name in found} == pytest.approx(found, abs=1e-9)


def test_bins_and_their_parts_are_those_of_independent_code():
    want, (p, y, _) = golden("calibration"), table()
    found, parts = reliability(p, y), murphy(p, y)
    np.testing.assert_allclose(np.column_stack([found.p, found.rate, found.weight]), want["bins"], rtol=0, atol=1e-9)
    for name in ("reliability", "resolution", "uncertainty"):
        assert want["murphy"][name] == pytest.approx(getattr(parts, name), abs=1e-9)


def test_the_scores_of_isotonic_values_are_those_of_independent_code():
    want, (p, y, _) = golden("calibration")["isotonic"], table()
    assert want["ece_after"] == pytest.approx(ece(np.interp(p, *want["knots"]), y), abs=1e-9)


def test_the_slope_of_raw_scores_is_that_of_independent_code():
    # p of the table is the sigmoid of raw, rounded to six digits
    want, (p, y, _) = golden("calibration")["logistic"], table()
    assert (want["slope"], want["intercept"]) == pytest.approx(reliability_line(p, y), abs=1e-4)


def test_four_probabilities_by_hand():
    p, y = np.array([0.2, 0.4, 0.6, 0.8]), np.array([0.0, 1.0, 0.0, 1.0])
    assert brier(p, y) == pytest.approx(0.2)
    assert log_loss(p, y) == pytest.approx(0.56972, abs=1e-5)
    assert auc(p, y) == 0.75
    assert brier_skill(p, y) == pytest.approx(0.2)
    assert brier_skill(p, y, base=0.2) == pytest.approx(1.0 - 0.2 / 0.34)
    assert brier_skill(p, y, base=p) == 0.0
    assert ece(p, y, bins=2) == pytest.approx(0.2)
    two = reliability(p, y, bins=2)
    assert [0.3, 0.7, 0.5, 0.5, 2.0, 2.0] == pytest.approx([*two.p, *two.rate, *two.weight])
    assert wilson_interval(1, 2) == (two.low[0], two.high[0])


def test_a_certain_error_costs_a_finite_surprise():
    assert log_loss(np.array([0.0, 1.0]), np.array([1.0, 0.0])) == pytest.approx(34.5, abs=0.1)
    assert log_loss(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == pytest.approx(0.0, abs=1e-14)


@st.composite
def said(draw):
    """Probabilities with ties, outcomes, weights with zeros."""
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 20), st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.25, 1.0, 3.0])),
            min_size=1,
            max_size=60,
        )
    )
    p, y, w = np.array(rows, dtype=np.float64).T
    return p / 20.0, y, w


def same(one, other):
    return one == pytest.approx(other, abs=1e-9, nan_ok=True)


@given(said())
def test_a_weight_is_as_many_rows(rows):
    p, y, w = rows
    times = (w * 4).astype(int)
    many = np.repeat(p, times), np.repeat(y, times)
    for score in (brier, brier_skill, log_loss, auc):
        assert same(score(p, y, w), score(*many))


@given(said())
def test_auc_is_the_share_of_pairs_in_order(rows):
    p, y, w = rows
    pairs = [(w[i] * w[j], (p[i] > p[j]) + 0.5 * (p[i] == p[j])) for i in range(len(p)) for j in range(len(p))
             if y[i] > y[j]]  # fmt: skip
    total = sum(weight for weight, _ in pairs)
    assert same(auc(p, y, w), sum(weight * ahead for weight, ahead in pairs) / total if total else math.nan)
    assert same(auc(p, y, w), auc(np.log(p + 1.0), y, w))
    assert same(auc(p, y, w), 1.0 - auc(p, 1.0 - y, w))


@given(said())
def test_the_parts_add_up_where_bins_hide_nothing(rows):
    _, y, w = rows
    p = np.full(len(y), 0.3)
    parts = murphy(p, y, w, bins=1)
    assert same(brier(p, y, w), parts.reliability - parts.resolution + parts.uncertainty)


@given(said())
def test_bins_hold_all_weight_in_order_of_p_and_no_rate_leaves_its_interval(rows):
    p, y, w = rows
    found = reliability(p, y, w)
    assert float(np.sum(w)) == pytest.approx(float(np.sum(found.weight)))
    assert np.all(np.diff(found.p) >= -1e-12)
    assert np.all((found.low <= found.rate + 1e-12) & (found.rate <= found.high + 1e-12))
    assert len(found.p) == 0 or 0.0 <= ece(p, y, w) <= 1.0


def test_bins_take_equal_probabilities_in_the_order_of_rows():
    p = np.random.default_rng(6).integers(1, 4, 2000) / 4.0
    y = np.repeat([1.0, 0.0], 1000)
    ordered = y[np.lexsort([np.arange(2000), p])]
    assert [float(np.mean(part)) for part in np.array_split(ordered, 8)] == reliability(p, y, bins=8).rate.tolist()


@given(said())
def test_nothing_that_is_said_of_all_beats_the_rate_itself(rows):
    p, y, w = rows
    skill = brier_skill(np.full(len(y), p[0]), y, w)
    assert math.isnan(skill) == (w[y == 1.0].sum() == 0.0 or w[y == 0.0].sum() == 0.0)
    assert not skill > 1e-12


def test_what_is_said_is_calibrated_where_outcomes_follow_it():
    dice = np.random.default_rng(5)
    p = dice.uniform(0.1, 0.9, 40_000)
    y = (dice.random(40_000) < p).astype(np.float64)
    slope, intercept = reliability_line(p, y)
    assert (1.0, 0.0) == pytest.approx((slope, intercept), abs=0.04)
    assert reliability_line(1.0 / (1.0 + np.square((1.0 - p) / p)), y)[0] == pytest.approx(slope / 2.0)
    assert ece(p, y) < 2.0 * 0.4 * math.sqrt(10 / 40_000)


def test_what_cannot_be_computed_is_nan():
    none = np.empty(0)
    assert all(math.isnan(score(none, none)) for score in (brier, brier_skill, log_loss, auc, ece))
    assert math.isnan(murphy(none, none).resolution)
    ones = np.ones(3)
    assert all(math.isnan(score(ones / 2, ones)) for score in (auc, brier_skill))
    assert all(map(math.isnan, reliability_line(ones / 2, np.array([0.0, 1.0, 1.0]))))
    assert all(map(math.isnan, reliability_line(np.array([0.2, 0.4, 0.6]), ones)))


@pytest.mark.parametrize("score", [brier, brier_skill, log_loss, ece, reliability, reliability_line, murphy])
def test_what_is_no_probability_is_refused(score):
    y = np.array([0.0, 1.0])
    for p in ([0.5, math.nan], [0.5, 1.5], [0.5, -0.1]):
        with pytest.raises(ValueError, match="row 1 is not"):
            score(np.array(p), y)
    with pytest.raises(ValueError, match="outcomes of 0 or 1"):
        score(np.array([0.5, 0.5]), np.array([0.0, 2.0]))


def test_a_base_rate_that_is_no_probability_is_refused():
    p, y = np.array([0.2, 0.6]), np.array([0.0, 1.0])
    for base in (1.2, math.nan, np.array([-0.5, 0.5])):
        with pytest.raises(ValueError, match="row 0 is not"):
            brier_skill(p, y, base=base)


def test_auc_takes_any_score_but_nan():
    assert auc(np.array([-math.inf, 3.0]), np.array([0.0, 1.0])) == 1.0
    with pytest.raises(ValueError, match="row 0 is not"):
        auc(np.array([math.nan, 3.0]), np.array([0.0, 1.0]))
