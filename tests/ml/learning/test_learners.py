from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from ml.learning.learners import FAMILIES, fit, library
from ml.scoring import Constant, Linear, Trees, raw_scores
from utils.errors import DataError, StorageError


def rows(n: int = 1200, seed: int = 3):
    """Features of which the first tells something, one is constant and some are missing; wins; weights."""
    drawn = np.random.default_rng(seed)
    x = drawn.normal(size=(n, 5)) * 10.0 + 3.0
    x[:, 3] = 7.0
    y = (drawn.random(n) < 1.0 / (1.0 + np.exp(-(x[:, 0] - 3.0) / 10.0))).astype(np.float64)
    x[drawn.random(x.shape) < 0.02] = math.nan
    return x, y, drawn.random(n)


def test_the_base_rate_is_the_weighted_share_of_wins() -> None:
    x, y, w = rows()
    one = fit("base", x, y, w, seed=1, threads=1)
    assert isinstance(one, Constant)
    assert math.log(np.average(y, weights=w) / (1.0 - np.average(y, weights=w))) == pytest.approx(one.raw, abs=1e-12)


def test_logistic_regression_scores_as_scikit_learn_decides() -> None:
    from sklearn.linear_model import LogisticRegression

    x, y, w = rows()
    one = fit("logistic", x, y, w, seed=1, threads=1)
    assert isinstance(one, Linear)
    mean = np.array([np.average(c[np.isfinite(c)], weights=w[np.isfinite(c)]) for c in x.T])
    spread = np.array(
        [
            np.sqrt(np.average((c[f] - m) ** 2, weights=w[f]))
            for c, m in zip(x.T, mean, strict=True)
            for f in [np.isfinite(c)]
        ]
    )
    spread[3] = 1.0
    standard = np.nan_to_num((x - mean) / spread)
    peer = LogisticRegression(C=0.1, solver="newton-cholesky", tol=1e-8).fit(
        np.delete(standard, 3, axis=1), y, sample_weight=w / w.mean()
    )
    asked = peer.decision_function(np.delete(standard, 3, axis=1))
    np.testing.assert_allclose(raw_scores(one, x), asked, rtol=0.0, atol=1e-9)
    assert 0.0 == one.weight[3]
    assert one.weight[0] > 0.5


@pytest.mark.parametrize("n", [300, 6000])
def test_boosted_trees_score_as_lightgbm_predicts_to_the_bit(n) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    x, y, w = rows(n)
    one = fit("lightgbm", x, y, w, seed=1, threads=1)
    assert isinstance(one, Trees)
    asked = lightgbm.Booster(model_str=one.text).predict(x, raw_score=True)
    assert asked.tobytes() == raw_scores(one, x).tobytes()
    assert len(np.unique(asked)) > 10


def test_boosted_trees_may_part_what_is_missing_from_all_else() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    x, _, w = rows(2000)
    y = np.isnan(x[:, 1]).astype(np.float64)
    one = fit("lightgbm", x, y, w, seed=1, threads=1)
    asked = lightgbm.Booster(model_str=one.text).predict(x, raw_score=True)
    assert asked.tobytes() == raw_scores(one, x).tobytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_rows_and_seed_give_the_same_learner(family) -> None:
    x, y, w = rows()
    one, other = fit(family, x, y, w, seed=5, threads=1), fit(family, x, y, 3.0 * w, seed=5, threads=2)
    np.testing.assert_allclose(raw_scores(one, x), raw_scores(other, x), rtol=0.0, atol=1e-9)
    again = fit(family, x, y, w, seed=5, threads=2)
    assert raw_scores(one, x).tobytes() == raw_scores(again, x).tobytes()
    if isinstance(one, Trees):
        assert one.text == again.text


def test_rows_without_weight_count_for_nothing() -> None:
    x, y, w = rows()
    w[::3] = 0.0
    for family in FAMILIES:
        whole, part = fit(family, x, y, w), fit(family, x[w > 0], y[w > 0], w[w > 0])
        assert raw_scores(whole, x).tobytes() == raw_scores(part, x).tobytes()


def test_features_that_say_nothing_leave_the_base_rate() -> None:
    x, y, w = rows()
    for nothing in (np.full_like(x, 0.1), np.full_like(x, math.nan)):
        base = fit("base", nothing, y, w).raw
        np.testing.assert_allclose(raw_scores(fit("logistic", nothing, y, w), nothing), base, rtol=0.0, atol=1e-9)
        assert np.ptp(raw_scores(fit("lightgbm", nothing, y, w), nothing)) == 0.0


X, Y, W = rows(100)
BAD = {
    "one of base, logistic, lightgbm": ("forest", X, Y, W),
    "a label and a weight for each": ("base", X, Y[1:], W),
    "finite or NaN": ("base", np.where(X > 3.0, math.inf, X), Y, W),
    "labels 0 and 1": ("base", X, np.where(Y > 0, math.nan, Y), W),
    "finite weights": ("base", X, Y, -W),
    "at least 50 rows": ("logistic", X[:20], Y[:20], W[:20]),
    "at least 50 rows with a weight, saw 0": ("base", X, Y, 0.0 * W),
    "won and lost trades, saw 100 and 0": ("lightgbm", X, np.ones(100), W),
}


@pytest.mark.parametrize("saw", BAD)
def test_what_cannot_be_learned_from_is_refused_in_one_sentence(saw) -> None:
    with pytest.raises(DataError, match=saw):
        fit(*BAD[saw], seed=1, threads=1)


def test_a_machine_without_openmp_is_told_which_package_it_lacks(tmp_path, monkeypatch) -> None:
    (tmp_path / "lightgbm.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    with pytest.raises(StorageError, match=r"expected the OpenMP library libgomp1, saw .*apt-get install libgomp1"):
        library()
    (tmp_path / "lightgbm.py").write_text("raise ImportError('no such module')\n")
    with pytest.raises(StorageError, match="pip install lightgbm"):
        library()
