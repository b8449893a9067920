from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml.learning.boosted import trees_of
from ml.scoring import (
    Constant,
    Direction,
    Knots,
    Linear,
    Meta,
    Platt,
    form_of,
    meta_form,
    probability,
    raw_scores,
    row_score,
    scored,
)
from tests.ml.models import KINDS, VALUES, grid, metas, text
from tests.places import ROOT, SHARED
from utils.errors import DataError

GOLDEN = SHARED / "golden" / "learning"


def test_a_meta_model_is_a_value_of_numbers() -> None:
    way = Direction(Constant(0.0), Platt(-1.0, 0.0), intercept=-1.0, slope=0.0)
    one = Meta(("a",), "f", "base", way, way, threshold_bps=math.inf)
    assert np.isinf(one.threshold_bps)
    assert one.long is one.short


@pytest.mark.skipif(not GOLDEN.exists(), reason="the goldens of the learning loop are not here")
def test_trees_score_the_golden_rows_to_the_bit() -> None:
    rows = pd.read_parquet(GOLDEN / "lightgbm_rows.parquet")
    trees = trees_of((GOLDEN / "lightgbm.txt").read_text())
    raw = raw_scores(trees, rows.iloc[:, :28].to_numpy())
    assert rows["raw"].to_numpy().tobytes() == raw.tobytes()
    np.testing.assert_allclose(probability(Platt(-1.0, 0.0), raw), rows["p"], rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("kinds", KINDS)
def test_whatever_is_missing_goes_where_lightgbm_sends_it(kinds) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    asked = lightgbm.Booster(model_str=text((kinds,))).predict(grid(), raw_score=True)
    assert asked.tobytes() == raw_scores(trees_of(text((kinds,))), grid()).tobytes()


def leaf(kinds: tuple[int, ...], x: list[float]) -> float:
    """The leaf of the tree of `tests.ml.models`, by LightGBM's rule as its source has it."""
    tree = {0: (0, 0.5, 1, 2), 1: (1, -0.25, -1, -3), 2: (1, 1.0000000180025095e-35, -2, -4)}
    at = 0
    while at >= 0:
        feature, threshold, left, right = tree[at]
        value, missing = x[feature], kinds[at] >> 2
        if math.isnan(value) and missing != 2:
            value = 0.0
        if abs(value) <= float(np.float32(1e-35)):
            value = 0.0
        if (missing == 1 and value == 0.0) or (missing == 2 and math.isnan(value)):
            at = left if kinds[at] & 2 else right
        else:
            at = left if value <= threshold else right
    return (0.1, 0.02, -0.3, 0.4)[~at]


def test_a_score_is_the_sum_of_leaves_in_the_order_of_trees() -> None:
    for x, raw in zip(grid().tolist(), raw_scores(trees_of(text()), grid()), strict=True):
        total = 0.0
        for kinds in KINDS:
            total += leaf(tuple(int(kind) for kind in kinds.split()), x)
        assert total - 0.7 == raw


def test_a_feature_without_value_counts_as_its_mean_in_a_line() -> None:
    line = Linear(np.array([1.0, -2.0]), np.array([2.0, 4.0]), np.array([0.5, 0.0]), 0.25)
    x = np.array([[1.0, 0.0], [math.nan, 9.0], [3.0, math.inf], [-3.0, math.nan]])
    assert [0.25, 0.25, 0.75, -0.75] == raw_scores(line, x).tolist()


def test_knots_are_joined_by_straight_lines_and_flat_outside() -> None:
    knots = Knots(np.array([-1.0, 0.0, 0.0, 2.0]), np.array([0.1, 0.2, 0.6, 0.8]))
    raw = np.array([-math.inf, -2.0, -1.0, -0.5, 0.0, 1.0, 2.0, 5.0, math.inf, math.nan])
    np.testing.assert_allclose(
        probability(knots, raw), [0.1, 0.1, 0.1, 0.15, 0.6, 0.7, 0.8, 0.8, 0.8, math.nan], rtol=1e-15
    )
    assert [0.3] * 3 == probability(Knots(np.array([0.0]), np.array([0.3])), np.array([-1.0, 0.0, 1.0])).tolist()


def test_a_sigmoid_holds_at_the_ends() -> None:
    raw = np.array([-1e308, -800.0, 0.0, 800.0, 1e308, math.nan])
    np.testing.assert_array_equal(probability(Platt(-1.0, 0.0), raw), [0.0, 0.0, 0.5, 1.0, 1.0, math.nan])


@pytest.mark.parametrize("family", ["base", "logistic", "lightgbm"])
def test_a_row_alone_has_the_bits_of_the_table(family) -> None:
    one, x = metas()[family], grid()
    table, form = scored(one, x), meta_form(one)
    for i in range(len(x)):
        for which in (0, 1):
            row = np.array(row_score(form, which, x, i))
            assert row.tobytes() == np.array([part[i, which] for part in (table.raw, table.p, table.bps)]).tobytes()
    assert (table.bps[:, 0] == -1.5 + 7.0 * table.raw[:, 0]).all()
    assert table.raw[:, 0].tobytes() == raw_scores(one.long.learner, x).tobytes()
    assert table.p[:, 1].tobytes() == probability(one.short.calibrator, table.raw[:, 1].copy()).tobytes()


def bits() -> str:
    """All scores of all families, as text."""
    parts = [scored(one, grid()) for one in metas().values()]
    return json.dumps([table.tobytes().hex() for part in parts for table in (part.raw, part.p, part.bps)])


def test_uncompiled_scores_have_the_same_bits() -> None:
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    script = "from tests.ml.test_scoring import bits; print(bits())"
    seen = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert 0 == seen.returncode, seen.stderr
    assert bits() == seen.stdout.strip()


def test_one_who_scores_loads_no_library_of_trainings() -> None:
    script = (
        "from tests.ml.test_scoring import bits; import sys; bits(); "
        "print([m for m in ('sklearn', 'lightgbm') if m in sys.modules])"
    )
    seen = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "[]" == seen.stdout.strip()


def test_two_directions_of_trees_are_numbered_apart() -> None:
    one = trees_of(text())
    other = replace(one, leaf=one.leaf * 2.0)
    form = form_of([Direction(way, Platt(-1.0, 0.0), 0.0, 1.0) for way in (one, other)], features=2)
    x = grid()
    assert all(2.0 * row_score(form, 0, x, i)[0] == row_score(form, 1, x, i)[0] for i in range(len(x)))


trees = trees_of(text())
UNSOUND = {
    "base rate": Constant(math.nan),
    "a mean for each": Linear(np.zeros(3), np.ones(2), np.ones(2), 0.0),
    "finite numbers as weight": Linear(np.zeros(2), np.ones(2), np.array([0.0, math.inf]), 0.0),
    "scales above 0": Linear(np.zeros(2), np.array([1.0, 0.0]), np.ones(2), 0.0),
    "trees of 2 features": replace(trees, features=3),
    "splits by features 0 to 1": replace(trees, feature=trees.feature + 1),
    "splits by thresholds": replace(trees, kind=trees.kind | 1),
    "thresholds and finite leaves": replace(trees, leaf=trees.leaf * math.nan),
    "as many thresholds": replace(trees, threshold=trees.threshold[1:]),
    "never meet or return": replace(trees, left=np.full_like(trees.left, 0)),
}


@pytest.mark.parametrize("saw", UNSOUND)
def test_a_learner_that_is_not_sound_is_refused_in_one_sentence(saw) -> None:
    with pytest.raises(DataError, match=f"expected .*{saw}.*; train"):
        raw_scores(UNSOUND[saw], np.zeros((1, 2)))


def test_a_branch_that_returns_is_refused() -> None:
    left, right = trees.left.copy(), trees.right.copy()
    left[0], left[1] = left[1], 1  # the second node its own child
    with pytest.raises(DataError, match="never meet or return"):
        raw_scores(replace(trees, left=left, right=right), np.zeros((1, 2)))


CALIBRATORS = {
    "finite a and b": Platt(math.nan, 0.0),
    "as many knots": Knots(np.zeros(2), np.zeros(3)),
    "as many knots in x": Knots(np.zeros(0), np.zeros(0)),
    "from 0 to 1": Knots(np.zeros(1), np.array([1.5])),
    "ascending": Knots(np.array([1.0, 0.0]), np.array([0.1, 0.2])),
    "ascending order": Knots(np.array([0.0, 1.0]), np.array([0.2, 0.1])),
}


@pytest.mark.parametrize("saw", CALIBRATORS)
def test_a_calibrator_that_is_not_sound_is_refused_in_one_sentence(saw) -> None:
    with pytest.raises(DataError, match=f"expected .*{saw}.*; train"):
        probability(CALIBRATORS[saw], np.zeros(1))


def test_a_model_is_not_asked_about_other_features() -> None:
    with pytest.raises(DataError, match="expected 2 features a row, saw 3"):
        scored(metas()["base"], np.zeros((1, 3)))
    with pytest.raises(DataError, match="saw 1 dimensions"):
        raw_scores(Constant(0.0), np.zeros(3))
    with pytest.raises(DataError, match="intercept and a slope"):
        scored(replace(metas()["base"], long=Direction(Constant(0.0), Platt(-1.0, 0.0), 0.0, -1.0)), np.zeros((1, 2)))
    with pytest.raises(DataError, match="threshold"):
        meta_form(replace(metas()["base"], threshold_bps=math.nan))


def test_values_around_thresholds_are_all_asked() -> None:
    assert len(VALUES) ** 2 == len(grid())
