from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ml.learning.evaluate import (
    SHADOWS,
    at_base,
    baselines,
    earned,
    ece_interval,
    folds,
    held_throughout,
    line,
    predicted,
    quality,
    random_entries,
    shadow,
    shared_days,
    trades_of,
)
from ml.learning.fit import expectation
from ml.learning.gate import skill_bound
from ml.learning.policy import taken
from ml.learning.scores import brier, ece
from ml.learning.table import LONG, SHORT
from ml.learning.walk import DAY, of_judged, together, walk
from ml.scoring import Scored
from tests.ml.learning.made import made


@pytest.fixture(scope="module")
def table():
    found = made(4000, edge_bps=25.0)
    return replace(found, names=("tells", "return_1_bps", "imbalance_1", "other"))


@pytest.fixture(scope="module")
def judged(table):
    return walk(table, "logistic", "f", seed=1)


def emptied(judged):
    nothing = [one.table.take(slice(0, 0)) for one in judged]
    none = np.zeros((0, 2))
    return [
        replace(one, table=table, told=Scored(none, none, none), trades=taken(table, Scored(none, none, none), 0.0))
        for one, table in zip(judged, nothing, strict=True)
    ]


def test_each_label_is_looked_at_once_with_what_its_model_knew(judged):
    seen = predicted(judged)
    labels = sum(int(one.table.labelled.sum()) for one in judged)
    assert len(seen.p) == len(seen.net) == labels
    assert set(np.unique(seen.base)) == {value for one in judged for value in one.fitted.base}
    np.testing.assert_array_equal(seen.y, (seen.net > 0.0).astype(float))


def test_skill_and_its_bound_are_those_of_the_record_that_the_gate_looks_at(judged):
    found = quality(predicted(judged), seed=1)
    record = together([of_judged(one) for one in judged])
    squared, base = (record.scores[:, DAY.index(name)] for name in ("squared", "base"))
    assert found.skill == pytest.approx(1.0 - squared.sum() / base.sum())
    assert found.skill_low == pytest.approx(skill_bound(squared, base, seed=1))
    assert found.skill_low < found.skill
    assert found.effective == pytest.approx(record.scores[:, 0].sum())


def test_murphys_parts_add_up_to_the_brier_score(judged):
    found = quality(predicted(judged), seed=1)
    assert found.brier == pytest.approx(found.reliability - found.resolution + found.uncertainty, abs=2e-3)


def test_the_base_rate_has_no_skill(judged):
    found = quality(at_base(predicted(judged)), seed=1)
    assert found.skill == 0.0
    assert found.skill_low == 0.0


def test_the_interval_of_the_calibration_error_holds_it_or_lies_above(judged):
    seen = predicted(judged)
    low, high = ece_interval(seen, seed=1)
    assert 0.0 <= low < high
    assert ece(seen.p, seen.y, seen.w) < high


def test_perfect_probabilities_show_the_calibration_error_that_is_called_noise():
    seen = predicted(walk(made(4000), "base", "f", seed=1))
    dice = np.random.default_rng(3)
    p = dice.uniform(0.3, 0.7, len(seen.p))
    drawn = [(p, (dice.uniform(size=len(p)) < p).astype(float)) for _ in range(20)]
    ones = np.ones(len(p))
    errors = [quality(replace(seen, p=said, y=won, w=ones), seed=1) for said, won in drawn]
    assert np.mean([one.ece for one in errors]) == pytest.approx(errors[0].ece_noise, rel=0.15)


def test_a_score_that_pays_has_a_slope_and_one_that_does_not_has_none(judged):
    seen = predicted(judged)
    found = line(seen, LONG)
    mine = seen.way == LONG
    assert found.pays
    assert found.slope_bps == expectation(seen.raw[mine], seen.net[mine], seen.w[mine])[2]
    assert found.realised_bps == pytest.approx(np.average(seen.net[mine], weights=seen.w[mine]))
    turned = replace(seen, net=np.random.default_rng(1).permutation(seen.net))
    assert not line(turned, SHORT).pays


def test_scores_that_are_all_alike_have_no_slope():
    found = line(predicted(walk(made(1000), "base", "f", seed=1)[-1:]), LONG)
    assert math.isnan(found.slope_bps)
    assert not found.pays
    assert math.isfinite(found.realised_bps)


def test_of_nothing_all_is_unknown_and_nothing_fails(judged):
    for none in ([], emptied(judged)):
        seen = predicted(none)
        found = quality(seen, seed=1)
        assert (found.labels, found.effective) == (0, 0.0)
        assert all(map(math.isnan, (found.rate, found.brier, found.skill, found.skill_low, found.auc_long, found.ece)))
        assert math.isnan(line(seen, LONG).realised_bps)
        assert earned("", trades_of(none)).trades == 0
        assert [one.trades for one in baselines(none)] == [0] * len(baselines(none))
        assert math.isnan(held_throughout(none))
        assert all(map(math.isnan, random_entries(none, seed=1)))
        assert [one.rows for one in folds(none)] == [0] * len(none)
        assert sum(len(one) for one in shadow(none, 0.5)) == 0


def test_earned_tells_mean_bound_and_what_so_many_can_show():
    net = np.random.default_rng(1).normal(4.0, 20.0, 400)
    found = earned("made", net)
    assert found.net_bps == net.mean()
    assert found.low_bps < found.net_bps
    assert found.smallest_bps == pytest.approx(2.5 * net.std(ddof=1) / 20.0)
    assert found.psr > 0.99
    assert found.track < 400
    assert math.isinf(earned("made", -net).track)


def test_one_trade_has_a_mean_and_no_error():
    found = earned("made", np.array([3.0]))
    assert found.net_bps == 3.0
    assert all(map(math.isnan, (found.low_bps, found.sd_bps, found.smallest_bps, found.psr)))


def test_folds_tell_the_threshold_and_what_became_of_it(judged):
    found = folds(judged)
    assert [one.threshold_bps for one in found] == [one.threshold for one in judged]
    assert sum(one.trades for one in found) == len(trades_of(judged))
    assert found[0].last < found[1].first


def test_a_share_of_the_rows_is_reached_by_no_more(judged):
    rows = sum(len(one.table) for one in judged)
    taken_ = [sum(map(len, shadow(judged, share))) for share in SHADOWS]
    assert taken_ == sorted(taken_, reverse=True)
    assert taken_[-1] <= 0.05 * rows


def test_rows_of_which_the_same_is_expected_have_no_best_part(judged):
    flat = [replace(one, told=replace(one.told, bps=np.zeros_like(one.told.bps))) for one in judged]
    assert sum(map(len, shadow(flat, 0.5))) == 0
    assert sum(map(len, shadow(flat, 1.0))) > 0


def test_best_signals_earn_more_where_a_feature_tells(judged):
    nets = [np.concatenate([one.net for one in shadow(judged, share)]).mean() for share in (1.0, 0.1)]
    assert nets[1] > nets[0] + 3.0


def test_the_last_bar_is_followed_and_faded_and_the_book_where_it_is_there(judged):
    names = [one.what for one in baselines(judged)]
    assert names == [
        "all signals of the strategy",
        "last bar, followed",
        "last bar, faded",
        "heavier side of the book, followed",
        "heavier side of the book, faded",
    ]
    bare = [replace(one, table=replace(one.table, names=("a", "b", "c", "d"))) for one in judged]
    assert len(baselines(bare)) == 1


def test_a_feature_that_is_the_answer_earns_when_followed_and_loses_when_faded(table, judged):
    one = judged[0]
    x = one.table.x.copy()
    x[:, 1] = np.where(one.table.net[:, LONG] > 0.0, 1.0, -1.0)
    net = np.column_stack([one.table.net[:, LONG], -one.table.net[:, LONG]])
    found = {each.what: each for each in baselines([replace(one, table=replace(one.table, x=x, net=net))])}
    assert found["last bar, followed"].net_bps > 10.0
    assert found["last bar, faded"].net_bps < -10.0


def test_holding_moves_by_all_returns(judged):
    moved = sum(one.table.x[:, 1].sum() for one in judged)
    assert held_throughout(judged) == pytest.approx(moved)


def test_random_entries_do_as_well_as_a_model_without_an_edge_and_not_as_one_with(judged):
    mean, chance = random_entries(judged, seed=1)
    pool = np.concatenate([one.table.net.ravel() for one in judged])
    assert mean == pytest.approx(pool.mean(), abs=0.5)
    assert chance < 0.01
    dice = np.random.default_rng(5)
    blind = [replace(one, trades=replace(one.trades, net=dice.choice(pool, len(one.trades)))) for one in judged]
    assert 0.01 < random_entries(blind, seed=1)[1] < 0.99


def test_days_are_shared_by_the_configurations_that_have_most():
    nan = math.nan
    one, other = np.arange(6.0), np.array([nan, 1.0, 2.0, 3.0, 4.0, nan])
    alone = np.array([5.0, nan, nan, nan, nan, nan])
    found = shared_days(np.column_stack([alone, one, other]), 3)
    np.testing.assert_array_equal(found, np.column_stack([one, other])[1:5])
    assert shared_days(np.column_stack([one, alone]), 3).shape == (0, 1)
    assert shared_days(np.zeros((0, 0)), 3).shape == (0, 0)


def test_brier_of_what_was_said_is_that_of_its_parts(judged):
    seen = predicted(judged)
    assert quality(seen, seed=1).brier == brier(seen.p, seen.y, seen.w)
