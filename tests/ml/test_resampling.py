"""Intervals that know about neighbours, and rank correlation."""

import math

import numpy as np
import pandas as pd
import pytest

from ml.resampling import block_sums, correlation, interval, mean_interval, products, spearman


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


def test_rank_correlation_is_pandas_and_survives_any_rising_function():
    dice = np.random.default_rng(5)
    x = dice.normal(size=300)
    y = x + dice.normal(size=300)
    expected = pd.Series(x).rank().corr(pd.Series(y).rank())
    assert spearman(x, y) == pytest.approx(expected, abs=1e-12)
    assert spearman(np.exp(x), y) == pytest.approx(expected, abs=1e-12)
    assert spearman(x, -y) == pytest.approx(-expected, abs=1e-12)


def test_a_side_that_does_not_vary_has_no_correlation():
    assert math.isnan(spearman(np.ones(5), np.arange(5.0)))
    assert math.isnan(spearman(np.ones(1), np.ones(1)))
    assert np.isnan(correlation(products(np.ones(4), np.arange(4.0)).sum(axis=0)[None])).all()
