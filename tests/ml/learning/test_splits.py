"""Splits against independent code, and against a rule that looks at each pair of rows."""

from itertools import combinations, pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.learning.splits import cpcv, cpcv_paths, purged_kfold, walk_forward
from tests.ml.learning.goldens import golden
from utils.errors import DataError

KINDS = ["constant6_embargo0", "constant6_embargo5", "variable_embargo0", "variable_embargo5"]


def rows_of(splits, kind):
    start = np.arange(splits["n"], dtype=np.int64)
    life = np.array(splits["life"]) if kind.startswith("variable") else np.full(splits["n"], 6)
    return start, start + life


@pytest.mark.parametrize("kind", KINDS)
def test_a_purged_kfold_is_that_of_independent_code(kind):
    splits = golden("splits.json")
    found = purged_kfold(*rows_of(splits, kind), 5, int(kind[-1]))
    assert [split["train"] for split in splits[kind]["kfold5"]] == [train.tolist() for train, _ in found]
    assert [split["test"] for split in splits[kind]["kfold5"]] == [[test[0], test[-1]] for _, test in found]


@pytest.mark.parametrize("kind", KINDS)
def test_a_combinatorial_split_is_that_of_independent_code(kind):
    splits = golden("splits.json")
    found = cpcv(*rows_of(splits, kind), 6, 2, int(kind[-1]))
    wanted = splits[kind]["cpcv6_2"]
    assert len(wanted) == len(found)
    for split, (train, test) in zip(wanted, found, strict=True):
        if "train" in split:
            assert (split["train"], split["test"]) == (train.tolist(), test.tolist())
        else:
            sums = {"train_n": len(train), "train_sum": train.sum(), "test_n": len(test), "test_sum": test.sum()}
            assert split == sums


def test_a_walk_forward_is_that_of_independent_code():
    splits = golden("splits.json")
    found = walk_forward(*rows_of(splits, "variable"), 4, 0.5)
    assert splits["variable_walk_forward"] == [
        {"test": [test[0], test[-1]], "train": train.tolist()} for train, test in found
    ]


@st.composite
def decisions(draw):
    """Rows of several symbols, at irregular times, with labels of any length."""
    steps = draw(st.lists(st.integers(0, 3), min_size=12, max_size=60))
    lives = draw(st.lists(st.integers(0, 9), min_size=len(steps), max_size=len(steps)))
    unit = draw(st.sampled_from([1, 300_000_000_000]))
    start = np.cumsum(np.array(steps, dtype=np.int64)) * unit + 1_700_000_000_000_000_000
    return start, start + np.array(lives, dtype=np.int64) * unit, unit


def meets(start, end, one, other):
    return start[one] < end[other] and start[other] < end[one]


def brute(start, end, tests, embargo):
    """Rows that train beside stretches of tested rows, pair by pair."""
    tested = {row for rows in tests for row in rows}
    return [
        row
        for row in range(len(start))
        if row not in tested
        and not any(meets(start, end, row, other) for other in tested)
        and not any(start[rows[-1]] < start[row] <= start[rows[-1]] + embargo for rows in tests)
    ]


def stretches(test, size):
    """Tested rows as stretches of neighbours."""
    cuts = [0, *(np.flatnonzero(np.diff(test) > 1) + 1), size]
    return [test[a:b].tolist() for a, b in pairwise(cuts)]


@given(decisions(), st.integers(2, 6), st.integers(1, 3), st.integers(0, 5))
def test_what_trains_is_all_that_meets_no_test_and_no_embargo(rows, groups, tested, embargo):
    start, end, unit = rows
    tested = min(tested, groups - 1)
    try:
        found = cpcv(start, end, groups, tested, embargo * unit)
    except DataError:
        return
    for train, test in found:
        assert brute(start, end, stretches(test, len(test)), embargo * unit) == train.tolist()
        assert not set(start[train]) & set(start[test])
    if tested == 1:
        for one, other in zip(found, purged_kfold(start, end, groups, embargo * unit), strict=True):
            np.testing.assert_array_equal(np.concatenate(one), np.concatenate(other))
        assert list(range(len(start))) == np.concatenate([test for _, test in found]).tolist()


@given(decisions(), st.integers(1, 5), st.floats(0.2, 0.8))
def test_a_walk_forward_knew_all_that_it_trains_on(rows, folds, first):
    start, end, _ = rows
    try:
        found = walk_forward(start, end, folds, first)
    except DataError:
        return
    for train, test in found:
        assert [row for row in range(test[0]) if end[row] <= start[test[0]]] == train.tolist()
    tested = np.concatenate([test for _, test in found])
    assert list(range(tested[0], len(start))) == tested.tolist()
    assert start[tested[0] - 1] < start[tested[0]]


@pytest.mark.parametrize(("groups", "tested"), [(6, 2), (5, 1), (7, 3)])
def test_each_path_tests_each_stretch_once_and_each_test_is_on_one_path(groups, tested):
    paths = cpcv_paths(groups, tested)
    chosen = list(combinations(range(groups), tested))
    assert (comb(groups - 1, tested - 1), groups) == paths.shape
    assert all(group in chosen[split] for path in paths for group, split in enumerate(path))
    pairs = {(int(split), group) for path in paths for group, split in enumerate(path)}
    assert comb(groups, tested) * tested == len(pairs)


def test_rows_of_one_instant_stay_together():
    start = np.repeat(np.arange(10, dtype=np.int64), 3)
    for train, test in purged_kfold(start, start + 1, 4):
        assert not set(start[train]) & set(start[test])


def test_too_few_instants_and_nothing_to_train_on_are_said():
    start = np.zeros(50, dtype=np.int64)
    with pytest.raises(DataError, match="expected 5 stretches of whole instants, saw 50 rows at 1 instants"):
        purged_kfold(start, start + 1, 5)
    start = np.arange(50, dtype=np.int64)
    with pytest.raises(DataError, match="expected rows to train on beside stretch 1 of 5"):
        purged_kfold(start, start + 1, 5, embargo=60)
    with pytest.raises(DataError, match="stretch 1 of 2"):
        walk_forward(start, start + 40, 2, 0.5)
    with pytest.raises(DataError, match="saw 0 rows at 0 instants"):
        purged_kfold(start[:0], start[:0], 2)


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ([1, 0], [2, 2], "row 1 is earlier"),
        ([0, 1], [2, 0], "row 1 is before"),
        ([0, 1], [2], "an end for each of 2 rows, got 1"),
        ([0.0, 1.0], [1.0, 2.0], "whole numbers"),
    ],
)
def test_rows_that_cannot_be_meant_are_refused(start, end, said):
    with pytest.raises(ValueError, match=said):
        purged_kfold(np.array(start), np.array(end), 2)


def test_numbers_that_cannot_be_meant_are_refused():
    start = np.arange(9, dtype=np.int64)
    with pytest.raises(ValueError, match="1 <= test groups < groups"):
        cpcv(start, start, 3, 3)
    with pytest.raises(ValueError, match="embargo of 0 or more"):
        purged_kfold(start, start, 3, -1)
    with pytest.raises(ValueError, match="within"):
        walk_forward(start, start, 3, 1.0)
    with pytest.raises(ValueError, match="at least 1 fold"):
        walk_forward(start, start, 0)
