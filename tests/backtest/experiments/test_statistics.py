"""Statistics of the experiments, by hand and against known truths."""

import math

import numpy as np
import pytest

from backtest.experiments.statistics import by_day, clustered, tail_mean
from utils.figures.bootstrap import quotient


def test_rows_of_a_day_are_added_up():
    seen = by_day(np.array([[1.0, 1.0], [2.0, 1.0], [4.0, 1.0]]), np.array([5, 3, 5]))
    assert [[2.0, 1.0], [5.0, 2.0]] == seen.tolist()


def test_a_ratio_without_a_denominator_is_no_number():
    seen = quotient(np.array([[1.0, 2.0], [1.0, 0.0], [0.0, 0.0]]))
    assert 0.5 == seen[0]
    assert np.isnan(seen[1:]).all()


def test_days_are_drawn_so_a_thousand_rows_of_one_day_say_no_more_than_one():
    dice = np.random.default_rng(3)
    effect = dice.normal(size=100)
    days = np.repeat(np.arange(100), 50)
    table = np.column_stack([effect[days] + 0.01 * dice.normal(size=5000), np.ones(5000)])
    seen = clustered(table, days, quotient, 1)
    width = seen.high - seen.low
    assert 2.0 * 1.96 * effect.std() / 10.0 == pytest.approx(width, rel=0.1)
    assert seen.low < seen.value < seen.high


def test_one_day_has_no_interval_and_nothing_has_no_value():
    one = clustered(np.ones((3, 2)), np.zeros(3, np.int64), quotient, 1)
    assert (1.0, True) == (one.value, math.isnan(one.low))
    assert math.isnan(clustered(np.empty((0, 2)), np.empty(0, np.int64), quotient, 1).value)


def test_the_same_seed_draws_the_same_interval():
    table, days = np.column_stack([np.arange(60.0), np.ones(60)]), np.arange(60) // 3
    assert clustered(table, days, quotient, 4) == clustered(table, days, quotient, 4)
    assert clustered(table, days, quotient, 4) != clustered(table, days, quotient, 5)


def test_the_tail_is_the_worst_twentieth_and_one_at_least():
    assert -4.5 == tail_mean(np.arange(-5.0, 35.0))
    assert -3.0 == tail_mean(np.array([1.0, -3.0]))
    assert math.isnan(tail_mean(np.empty(0)))
