"""Overfitting against independent code, by brute force, and the length of a record."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.learning.overfitting import (
    days_needed,
    deflated,
    pbo,
    record_needed,
    smallest_edge,
    trades_needed,
)
from tests.ml.learning.goldens import golden
from utils.errors import DataError
from utils.figures import arithmetic


@pytest.mark.parametrize("case", range(4))
def test_the_probability_of_overfitting_is_that_of_independent_code(case):
    want = golden("pbo")[case]
    found = pbo(golden(f"pbo_{want['name']}.parquet").to_numpy(), want["S"])
    assert want["splits"] == len(found.logits)
    assert want["pbo_lambda_le_0"] == want["purgedcv"] == found.probability
    assert want["pbo_lambda_lt_0"] == float(np.mean(found.logits < 0.0))
    assert want["median_logit"] == pytest.approx(float(np.median(found.logits)), abs=1e-12)


def sharpes(returns):
    return [0.0 if np.ptp(column) == 0.0 else column.mean() / column.std(ddof=1) for column in returns.T]


def brute(returns, blocks):
    """Logits, split after split."""
    parts = np.array_split(np.arange(len(returns)), blocks)
    for choice in combinations(range(blocks), blocks // 2):
        inside, outside = (
            sharpes(returns[np.concatenate([part for i, part in enumerate(parts) if (i in choice) is chosen])])
            for chosen in (True, False)
        )
        reached = outside[int(np.argmax(inside))]
        rank = sum(one < reached for one in outside) + (outside.count(reached) + 1) / 2
        yield math.log(rank / (len(outside) + 1 - rank))


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(24, 61), st.integers(2, 70), st.sampled_from([2, 4, 6]))
def test_each_logit_is_that_of_a_brute_force(seed, periods, columns, blocks):
    returns = np.random.default_rng(seed).normal(0.01, 1.0, (periods, columns))
    began = np.array_split(np.arange(periods), blocks)[blocks // 2][0]
    returns[:began, ::3] = 0.0  # every third traded in the later half alone
    np.testing.assert_allclose(pbo(returns, blocks).logits, list(brute(returns, blocks)), rtol=0, atol=1e-12)


@given(st.integers(0, 2**32))
def test_equal_configurations_share_a_rank(seed):
    one = np.random.default_rng(seed).normal(0.3, 1.0, (37, 1))
    found = pbo(np.repeat(one, 150, axis=1), 4)
    assert np.all(found.logits == 0.0)
    assert 1.0 == found.probability


def test_configurations_that_never_trade_are_worth_nothing():
    dice = np.random.default_rng(4)
    good = 1.0 + dice.normal(size=64)
    still, late = np.zeros(64), np.concatenate([np.zeros(32), dice.normal(size=32) - 1.0])
    found = pbo(np.column_stack([still, good, late]), 8)
    assert 0.0 == found.probability
    assert np.all(np.isfinite(pbo(np.zeros((16, 3)), 8).logits))


def test_sixteen_blocks_of_noise_are_a_coin_and_one_good_configuration_is_none():
    noise = np.random.default_rng(0).normal(size=(400, 20))
    found = pbo(noise)
    assert 12_870 == len(found.logits)
    assert 0.1 < found.probability < 0.9
    noise[:, 7] += 0.4
    assert pbo(noise).probability < 0.01


def test_the_unit_of_returns_and_the_order_of_columns_do_not_matter():
    returns = np.random.default_rng(9).normal(0.001, 0.02, (80, 9))
    want = pbo(returns, 8)
    np.testing.assert_allclose(pbo(1e4 * returns[:, ::-1], 8).logits, want.logits, atol=1e-12)


def test_a_trial_is_deflated_by_all_that_were_made():
    returns = np.random.default_rng(2).normal(0.2, 1.0, 200)
    others = np.array([0.1, -0.05, 0.12, math.nan])
    ratio, skew, kurtosis = arithmetic.moments(returns)
    variance = float(np.var(others[:3], ddof=1))
    assert deflated(returns, others) == arithmetic.deflated_sharpe(ratio, 200, skew, kurtosis, 4, variance)
    assert deflated(returns, others, trials=500) < deflated(returns, others)
    assert deflated(returns, np.array([ratio])) == arithmetic.probabilistic_sharpe(ratio, 200, skew, kurtosis)
    assert math.isnan(deflated(returns, np.array([ratio]), trials=2))
    assert math.isnan(deflated(np.zeros(9), others))
    with pytest.raises(ValueError, match="at least the 4 trials that are known, got 3"):
        deflated(returns, others, trials=3)
    with pytest.raises(ValueError, match="at least 1 trial"):
        deflated(returns, np.empty(0))


def test_a_record_is_long_enough_where_the_probabilistic_sharpe_says_so():
    net = np.random.default_rng(3).normal(1.0, 20.0, 2000)
    ratio, skew, kurtosis = arithmetic.moments(net)
    n = record_needed(net)
    assert arithmetic.probabilistic_sharpe(ratio, math.ceil(n), skew, kurtosis) >= 0.95
    assert math.inf == record_needed(-net - 5.0)
    assert math.isnan(record_needed(np.zeros(5)))


def test_twenty_two_bps_of_spread_hide_an_edge_below_three_in_three_hundred_trades():
    assert smallest_edge(22.0, 300) == pytest.approx(3.175, abs=1e-3)
    assert trades_needed(1.0, 22.0) == 3025
    assert days_needed(2.0, 22.0, 8 * 30, 30) == pytest.approx(757 / 8 - 30)
    assert days_needed(20.0, 22.0, 240, 30) == 0.0


@given(st.floats(0.1, 50.0), st.floats(1.0, 200.0))
def test_so_many_trades_show_the_edge_and_one_less_does_not(edge, sd):
    n = trades_needed(edge, sd)
    assert smallest_edge(sd, n) <= edge * (1.0 + 1e-9)
    assert smallest_edge(sd, n - 1.0) >= edge * (1.0 - 1e-9)


def test_where_there_is_no_edge_or_no_trade_it_takes_for_ever():
    assert math.inf == trades_needed(0.0, 20.0) == trades_needed(-1.0, 20.0) == smallest_edge(20.0, 0)
    assert math.inf == days_needed(1.0, 20.0, 0, 30) == days_needed(-1.0, 20.0, 10, 30)
    assert all(map(math.isnan, [trades_needed(math.nan, 1.0), days_needed(1.0, 20.0, 5, 0)]))


def test_what_says_nothing_is_refused():
    returns = np.zeros((20, 3))
    for blocks in (0, 3):
        with pytest.raises(ValueError, match="even number of blocks"):
            pbo(returns, blocks)
    with pytest.raises(DataError, match="in each of 16 blocks, saw 9"):
        pbo(returns[:9])
    for few in (returns[:, :1], returns[:, 0]):
        with pytest.raises(DataError, match="2 configurations or more"):
            pbo(few)
    returns[5, 1] = math.nan
    with pytest.raises(ValueError, match="period 5 is not"):
        pbo(returns)
