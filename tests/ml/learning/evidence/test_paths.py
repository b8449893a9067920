from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ml.learning.evaluate import predicted
from ml.learning.evidence.paths import paths
from ml.learning.scores import brier_skill
from ml.learning.splits import cpcv_paths
from ml.learning.walk import walk
from tests.ml.learning.made import made
from utils.errors import DataError


def test_five_paths_through_all_rows_see_an_edge_that_there_is():
    table = made(3000, edge_bps=20.0)
    found = paths(table, "logistic", "f", 6 * table.tf_ns, seed=1)
    assert len(found.skill) == len(found.net_bps) == len(found.trades) == len(cpcv_paths(6, 2)) == 5
    assert min(found.skill) > 0.0
    assert min(found.net_bps) > 5.0


def test_without_an_edge_skill_is_about_that_of_a_walk_and_nothing_is_traded():
    table = made(3000)
    table = replace(table, net=table.net - 5.0)
    found = paths(table, "logistic", "f", 6 * table.tf_ns, seed=1)
    seen = predicted(walk(table, "logistic", "f", seed=1))
    assert np.mean(found.skill) == pytest.approx(brier_skill(seen.p, seen.y, seen.w, seen.base), abs=0.01)
    assert max(found.skill) < 0.005
    assert sum(found.trades) < 50


def test_a_path_without_a_trade_has_no_net():
    table = made(3000)
    found = paths(replace(table, net=table.net - 30.0), "base", "f", 0, seed=1)
    assert found.trades == (0, 0, 0, 0, 0)
    assert all(map(math.isnan, found.net_bps))


def test_progress_is_told_fit_by_fit():
    heard = []
    table = made(2000)
    paths(table, "base", "f", 0, seed=1, progressed=lambda done, whole: heard.append((done, whole)))
    assert heard == [(k, 15) for k in range(1, 16)]


def test_too_few_rows_are_refused():
    with pytest.raises(DataError):
        paths(made(100), "logistic", "f", 0, seed=1)
