"""Intervals that know about neighbours."""

import math

import numpy as np
import pytest

from utils.figures.bootstrap import block_length, block_sums, interval, mean_interval


def test_sums_of_blocks_as_long_as_the_series_are_its_sums():
    columns = np.column_stack([np.arange(10.0), np.ones(10)])
    assert np.array_equal(np.tile([45.0, 10.0], (5, 1)), block_sums(columns, 10, 5))
    assert np.array_equal(block_sums(columns, 99, 5), block_sums(columns, 10, 5))


def test_the_same_seed_draws_the_same_blocks():
    columns = np.random.default_rng(1).normal(size=(50, 2))
    assert np.array_equal(block_sums(columns, 7, 20), block_sums(columns, 7, 20))
    assert not np.array_equal(block_sums(columns, 7, 20, 1), block_sums(columns, 7, 20, 2))


def test_of_independent_numbers_the_interval_is_two_errors_wide():
    values = np.random.default_rng(3).normal(1.0, 2.0, 4000)
    low, high = mean_interval(values, np.ones(4000), 5)
    assert low < np.mean(values) < high
    assert high - low == pytest.approx(2 * 1.96 * 2.0 / math.sqrt(4000), rel=0.15)


def test_of_numbers_that_hang_together_it_is_wider():
    dice = np.random.default_rng(4)
    slow = np.repeat(dice.normal(size=200), 20)
    low, high = mean_interval(slow, np.ones(4000), 80)
    alone = mean_interval(slow, np.ones(4000), 1)
    assert high - low > 3.0 * (alone[1] - alone[0])


def test_without_anything_to_count_there_is_no_interval():
    assert all(map(math.isnan, mean_interval(np.zeros(0), np.zeros(0), 3)))
    assert all(map(math.isnan, mean_interval(np.zeros(5), np.zeros(5), 3)))
    assert all(map(math.isnan, interval(np.full(3, np.nan))))


@pytest.mark.parametrize(("n", "length"), [(0, 1), (1, 1), (10, 2), (1_000, 10), (3_508, 15)])
def test_a_block_is_as_long_as_the_cube_root_of_what_there_is(n, length):
    assert length == block_length(n)
