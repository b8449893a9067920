"""What a round trip costs, and the win rate it asks for."""

import math

import pytest

from utils.market.costs import break_even_win_rate, round_trip_costs


@pytest.mark.parametrize(
    ("cost_take", "cost_stop", "expected"),
    [(0.0, 0.0, 0.419), (4.0, 4.0, 0.512), (4.0, 7.5, 0.548), (7.0, 7.0, 0.581), (11.0, 11.0, 0.674)],
)
def test_break_even_of_25_over_18_bps(cost_take, cost_stop, expected):
    assert expected == round(break_even_win_rate(25.0, 18.0, cost_take, cost_stop), 3)


def test_a_take_that_does_not_pay_its_costs_needs_more_than_every_trade():
    assert break_even_win_rate(10.0, 18.0, 12.0, 12.0) > 1.0
    assert math.inf == break_even_win_rate(10.0, 2.0, 15.0, 2.0)


def test_at_break_even_a_trade_earns_nothing():
    won = break_even_win_rate(25.0, 18.0, 4.0, 7.5)
    assert pytest.approx(0.0, abs=1e-12) == won * (25.0 - 4.0) - (1.0 - won) * (18.0 + 7.5)


def test_a_maker_entry_pays_the_crossing_only_at_its_stop():
    assert (4.0, 8.5) == round_trip_costs(True, 2.0, 5.0, 1.5)


def test_a_taker_entry_crosses_twice_when_stopped():
    assert (8.5, 13.0) == round_trip_costs(False, 2.0, 5.0, 1.5)
