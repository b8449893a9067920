from __future__ import annotations

import numpy as np
import pytest

from ml.learning.policy import taken
from ml.learning.walk import FIRST, added, judge, known_at, nothing, of_judged, together, walk
from tests.ml.learning.made import DAY, made
from utils.errors import DataError


@pytest.fixture(scope="module")
def table():
    return made(4000, edge_bps=10.0)


@pytest.fixture(scope="module")
def judged(table):
    return walk(table, "logistic", "f", seed=1)


def test_each_row_after_the_first_stretch_is_judged_once(table, judged):
    ts = np.concatenate([one.table.ts for one in judged])
    np.testing.assert_array_equal(ts, table.ts[int(FIRST * len(table)) :])


def test_no_model_knows_a_label_that_was_open_when_it_began_to_judge(table, judged):
    for one in judged:
        known = known_at(table, int(one.table.ts[0]))
        assert one.fitted.until <= one.table.ts[0]
        assert (known.until <= one.table.ts[0]).all()


def test_a_model_refuses_to_judge_what_it_may_know(table, judged):
    with pytest.raises(DataError, match="after its training"):
        judge(judged[1].fitted, judged[0].table)


def test_trades_of_two_folds_do_not_overlap(judged):
    ts = np.concatenate([one.trades.ts for one in judged])
    until = np.concatenate([one.trades.until for one in judged])
    assert (ts[1:] >= until[:-1]).all()


def test_rows_after_a_fold_do_not_change_what_it_did(table, judged):
    other = made(4000, edge_bps=-10.0, seed=9)
    mixed = table.take(slice(None))
    later = table.ts >= judged[3].table.ts[0]
    mixed.net[later] = other.net[later]
    mixed.x[later] = other.x[later]
    again = walk(mixed, "logistic", "f", seed=1)
    for k in range(3):
        np.testing.assert_array_equal(again[k].told.p, judged[k].told.p)
        np.testing.assert_array_equal(again[k].trades.net, judged[k].trades.net)


def test_evidence_together_is_that_of_one_stretch(table, judged):
    one = judged[-1]
    whole = of_judged(judge(one.fitted, one.table))
    half = one.table.ts[len(one.table) // 2]
    busy = np.zeros(1, np.int64)
    parts = [
        of_judged(judge(one.fitted, one.table.take(rows), busy)) for rows in (one.table.ts < half, one.table.ts >= half)
    ]
    again = together([nothing(), *parts])
    np.testing.assert_array_equal(again.net, whole.net)
    np.testing.assert_array_equal(again.day, whole.day)
    np.testing.assert_allclose(again.scores, whole.scores, rtol=1e-12)
    assert (again.first, again.last) == (whole.first, whole.last)


def test_nothing_is_counted_twice(judged):
    evidence = of_judged(judged[0])
    with pytest.raises(DataError, match="again"):
        added(evidence, evidence)


def test_scores_of_a_day_are_weighted_squares(judged):
    evidence = of_judged(judged[0])
    one = judged[0]
    day = evidence.day[1]
    rows = (one.table.ts - 1) // DAY == day
    won, p = (one.table.net[rows] > 0).astype(float), one.told.p[rows]
    np.testing.assert_allclose(evidence.scores[1, 0], 0.4 * 2 * rows.sum())
    np.testing.assert_allclose(evidence.scores[1, 2], 0.4 * ((p - won) ** 2).sum())
    np.testing.assert_allclose(evidence.scores[1, 3], 0.4 * ((np.array(one.fitted.base) - won) ** 2).sum())


def test_an_edge_that_a_feature_tells_is_found(judged):
    net = np.concatenate([one.trades.net for one in judged])
    assert len(net) > 100
    assert net.mean() > 3.0


def test_too_few_instants_are_refused():
    with pytest.raises(DataError, match="use more data"):
        walk(made(8), "logistic", "f", seed=1)


def test_the_threshold_is_what_was_served(judged):
    one = judged[0]
    np.testing.assert_array_equal(taken(one.table, one.told, one.threshold).net, one.trades.net)
