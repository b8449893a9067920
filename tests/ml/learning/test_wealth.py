"""Wealth by hand, what makes it grow, and that chance alone seldom does."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.learning.wealth import BETS, bets, open_path, wealth, wealth_needed, wealth_path

NETS = st.lists(st.floats(-200.0, 200.0), max_size=30).map(np.array)


def by_hand(net, sizes):
    """Products, one bet after the other."""
    total = 0.0
    for bet in sizes:
        worth = 1.0
        for one in net:
            worth = worth * (1.0 + bet * one) if worth > 0.0 and 1.0 + bet * one > 0.0 else 0.0
        total += worth / len(sizes)
    return total


def test_two_trades_by_hand():
    want = [math.fsum((1 + bet * 10) * (1 + bet * last) for bet in BETS) / 5 for last in (0.0, -20.0)]
    assert want == pytest.approx(wealth_path(np.array([10.0, -20.0]), 40.0))
    assert 1.0 == wealth(np.empty(0), 40.0)


def test_bets_stay_below_what_the_worst_loss_would_end():
    assert list(BETS) == bets(62.0).tolist()
    assert [0.001, 0.002, 0.004, 0.008] == bets(62.5).tolist()
    assert [0.001] == bets(500.0).tolist()
    assert [0.0005] == bets(1000.0).tolist()


@given(NETS, st.sampled_from([20.0, 62.5, 300.0, 2000.0]))
def test_wealth_is_the_mean_of_products(net, worst):
    assert wealth(net, worst) == pytest.approx(by_hand(net, bets(worst)), rel=1e-9, abs=1e-12)


@given(NETS, st.lists(st.floats(0.0, 50.0), min_size=30, max_size=30))
def test_more_earned_is_no_less_wealth(net, more):
    low, high = wealth_path(net, 50.0), wealth_path(net + np.array(more)[: len(net)], 50.0)
    assert np.all(high >= low * (1.0 - 1e-9))


@given(NETS, st.floats(0.0, 200.0))
def test_a_trade_that_loses_nothing_takes_nothing(net, one):
    assert wealth(np.append(net, one), 50.0) >= wealth(net, 50.0) * (1.0 - 1e-9)
    assert wealth(np.append(net, -one), 50.0) <= wealth(net, 50.0) * (1.0 + 1e-9)


@given(NETS, st.randoms())
def test_order_does_not_change_where_it_ends(net, dice):
    mixed = net.tolist()
    dice.shuffle(mixed)
    assert wealth(net, 50.0) == pytest.approx(wealth(np.array(mixed), 50.0), rel=1e-9, abs=1e-12)


@given(NETS, st.integers(0, 29))
def test_a_past_value_does_not_know_what_came_after(net, at):
    assert wealth_path(net, 50.0)[:at].tolist() == pytest.approx(wealth_path(net[:at], 50.0).tolist())


def test_a_bet_that_lost_all_is_lost_for_ever():
    lost = wealth_path(np.array([-62.5, 1000.0]), 40.0)
    assert lost[1] == pytest.approx(by_hand([-62.5, 1000.0], BETS[:4]) * 4 / 5)
    assert [0.0, 0.0] == wealth_path(np.array([-1000.0, 1e6]), 40.0).tolist()


def test_ten_thousand_good_trades_are_a_number_and_bad_ones_too():
    assert math.inf == wealth(np.full(100_000, 50.0), 60.0)
    assert 0.0 <= wealth(np.full(100_000, -50.0), 60.0) < 1e-30


def test_records_beside_each_other_are_those_alone():
    dice = np.random.default_rng(1)
    net = dice.normal(0.0, 20.0, (3, 40))
    assert wealth_path(net, 60.0).tolist() == [wealth_path(one, 60.0).tolist() for one in net]


@pytest.mark.parametrize("kind", ["even", "take and stop", "one big loss", "follows the last"])
def test_chance_alone_reaches_twenty_at_any_time_in_one_case_of_twenty_at_most(kind):
    dice = np.random.default_rng(11)
    uniform = dice.random((2000, 1000))
    if kind == "even":
        net = np.where(uniform < 0.5, 20.0, -20.0)
    elif kind == "take and stop":
        net = np.where(uniform < 18 / 43, 25.0, -18.0)
    elif kind == "one big loss":
        net = np.where(uniform < 0.98, 1.0, -49.0)
    else:  # the size of a trade depends on how the last ended, its mean does not
        won = uniform < 0.5
        size = np.where(np.roll(won, 1, axis=1), 50.0, 5.0)
        net = np.where(won, size, -size)
    assert abs(net.mean()) < 4.0 * net.std() / math.sqrt(net.size)
    passed = float(np.mean(wealth_path(net, 60.0).max(axis=1) >= 20.0))
    assert passed <= 0.05


def test_an_edge_of_four_bps_is_found():
    dice = np.random.default_rng(12)
    net = 4.0 + np.where(dice.random((200, 1500)) < 18 / 43, 25.0, -18.0)
    assert float(np.mean(wealth_path(net, 60.0).max(axis=1) >= 20.0)) > 0.95


def test_each_configuration_ever_tried_raises_what_is_needed():
    assert [20.0, 60.0] == pytest.approx([wealth_needed(1), wealth_needed(3)])


def test_what_cannot_be_meant_is_refused():
    for net in ([1.0, math.nan], [1.0, math.inf]):
        with pytest.raises(ValueError, match="trade 1 is not"):
            wealth(np.array(net), 50.0)
    for worst in (0.0, -5.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="worst loss above 0 bps"):
            wealth(np.empty(0), worst)
    for k, error in ((0, 0.05), (1, 0.0), (1, 1.0)):
        with pytest.raises(ValueError, match="expected 1 configuration or more"):
            wealth_needed(k, error)


def test_the_wealth_of_trades_that_overlap_is_settled_at_their_ends():
    """By hand, one bet: the second trade is staked on what is left if the first loses the worst."""
    ts, until, net = np.array([1, 2]), np.array([10, 20]), np.array([400.0, -400.0])
    bet = bets(2_000.0)[0]
    first = 1.0 + bet * 400.0
    second = first - bet * (1.0 - bet * 2_000.0) * 400.0
    np.testing.assert_allclose(open_path(ts, until, net, 2_000.0), [first, second])


def test_of_trades_one_after_the_other_it_is_the_product():
    ts, net = np.arange(1, 51) * 10, np.random.default_rng(1).normal(0.0, 20.0, 50)
    np.testing.assert_array_equal(open_path(ts, ts + 10, net, 60.0), wealth_path(net, 60.0))
