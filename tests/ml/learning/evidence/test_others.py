from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ml.learning.evaluate import predicted, quality
from ml.learning.evidence.others import SHARES, instead, learning_curve, simple
from ml.learning.scores import log_loss
from ml.learning.walk import known_at, walk
from tests.ml.learning.made import made
from utils.errors import DataError


@pytest.fixture(scope="module")
def table():
    return made(4000, edge_bps=12.0)


@pytest.fixture(scope="module")
def judged(table):
    return walk(table, "logistic", "f", seed=1)


def test_the_same_family_in_its_own_place_says_the_same(table, judged):
    again = instead(judged, table, "logistic", "f", seed=1)
    for one, other in zip(judged, again, strict=True):
        np.testing.assert_array_equal(one.told.p, other.told.p)
        np.testing.assert_array_equal(one.trades.net, other.trades.net)


def test_the_base_rate_judges_the_same_rows_without_telling_them_apart(table, judged):
    found = instead(judged, table, "base", "f", seed=1)
    assert [len(one.table) for one in found] == [len(one.table) for one in judged]
    assert all(len(np.unique(one.told.p[:, 0])) == 1 for one in found)
    assert quality(predicted(found), seed=1).skill < quality(predicted(judged), seed=1).skill


def test_fewer_features_know_only_themselves(table, judged):
    blind = instead(judged, table, "logistic", "f", seed=1, names=("f1", "f2"))
    assert blind[0].fitted.meta.names == ("f1", "f2")
    assert quality(predicted(blind), seed=1).skill < quality(predicted(judged), seed=1).skill


def test_a_table_without_the_rows_before_is_refused(table, judged):
    with pytest.raises(DataError):
        instead(judged, table.take(slice(-100, None)), "base", "f", seed=1)


def test_the_simplest_model_has_its_features_or_the_first_three():
    assert simple(("a", "zscore_20", "ewma_vol_20_bps", "return_1_bps")) == (
        "return_1_bps",
        "zscore_20",
        "ewma_vol_20_bps",
    )
    assert simple(("a", "zscore_20", "c", "d")) == ("a", "zscore_20", "c")


def test_a_learning_curve_ends_with_the_model_of_the_walk(table, judged):
    found = learning_curve(judged, table, "logistic", "f", seed=1)
    assert [one.share for one in found] == list(SHARES)
    seen = predicted(judged[-1:])
    assert found[-1].log_loss == log_loss(seen.p, seen.y, seen.w)
    assert found[-1].learned == judged[-1].fitted.learned
    assert [one.learned for one in found] == sorted(one.learned for one in found)


def test_a_share_that_is_too_little_is_told_as_not_fitted(judged, table):
    last = judged[-1]
    history = known_at(table, last.fitted.until)
    few = learning_curve(judged, history.take(slice(-400, None)), "logistic", "f", seed=1)
    assert few[0].learned == 0
    assert math.isnan(few[0].log_loss)
    assert math.isnan(learning_curve(judged, table.take(slice(0, 0)), "logistic", "f", seed=1)[-1].skill)


def test_without_a_label_there_is_no_curve(table, judged):
    bare = [replace(one, table=replace(one.table, net=np.full_like(one.table.net, np.nan))) for one in judged]
    assert learning_curve(bare, table, "logistic", "f", seed=1) == []
    assert learning_curve([], table, "logistic", "f", seed=1) == []
