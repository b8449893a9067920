from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.learning.evidence.importance import BLOCK, FEWEST_BLOCKS, groups, importances, shuffled
from ml.learning.walk import walk
from tests.ml.learning.made import made


@pytest.fixture(scope="module")
def judged():
    table = made(4000, edge_bps=15.0)
    x = table.x.copy()
    x[:, 2] = x[:, 0] + 0.3 * x[:, 2]
    return walk(replace(table, x=x), "logistic", "f", seed=1)


def test_what_moves_together_is_one_group_directly_or_through_others():
    dice = np.random.default_rng(1)
    a, b, c, d = (dice.normal(size=2000) for _ in range(4))
    x = np.column_stack([a, d, a + 0.7 * b, -np.exp(a + 0.7 * b + 0.9 * c)])
    assert groups(x) == [[0, 2, 3], [1]]


def test_columns_that_say_nothing_stand_by_themselves():
    dice = np.random.default_rng(1)
    a = dice.normal(size=500)
    holes = np.where(dice.uniform(size=500) < 0.3, np.nan, a)
    x = np.column_stack([a, np.full(500, np.nan), np.full(500, 7.0), holes])
    assert groups(x) == [[0, 3], [1], [2]]


def test_the_features_that_tell_matter_most_and_stand_together(judged):
    found = importances(judged, seed=1)
    assert found[0].names == ("f0", "f2")
    assert found[0].loss > 3.0 * max(abs(one.loss) for one in found[1:])
    assert {name for one in found for name in one.names} == {"f0", "f1", "f2", "f3"}


def test_the_same_seed_finds_the_same(judged):
    assert importances(judged, seed=3) == importances(judged, seed=3)


def test_a_shuffle_moves_blocks_and_keeps_their_insides(judged):
    table = judged[0].table
    order = shuffled(table, np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(order), np.arange(len(table)))
    assert np.count_nonzero(np.diff(order) != 1) < len(table) // BLOCK + 1


def test_a_block_is_longer_than_a_label_lives_and_a_short_stretch_has_some(judged):
    table = judged[0].table
    slow = replace(table, until=table.until + 1000 * table.tf_ns)
    order = shuffled(slow, np.random.default_rng(1))
    assert np.count_nonzero(np.diff(order) != 1) < FEWEST_BLOCKS
    assert len(shuffled(table.take(slice(0, 3)), np.random.default_rng(1))) == 3


def test_without_labels_nothing_matters(judged):
    one = judged[0]
    assert importances([], seed=1) == []
    assert importances([replace(one, table=replace(one.table, net=np.full_like(one.table.net, np.nan)))], seed=1) == []
