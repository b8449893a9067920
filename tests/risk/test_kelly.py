"""Kelly's rule: golden values, costs, what is known of a win rate, and what it may never do."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.kelly import chance_of_falling_to, growth_share, kelly_position_sizing
from utils.errors import DataError

RATES = st.floats(0.0, 1.0)
PAYOFFS = st.floats(0.1, 1000.0)


def test_the_plain_formula_is_the_default():
    assert math.isclose(0.2776, kelly_position_sizing(0.58, 25.0, 18.0), rel_tol=1e-12)
    assert math.isclose(0.1388, kelly_position_sizing(0.58, 25.0, 18.0, fraction=0.5), rel_tol=1e-12)


@pytest.mark.parametrize(("cost", "full", "risk"), [(4.0, 0.14, 0.14), (7.0, -0.00333, 0.0), (11.0, -0.29, 0.0)])
def test_costs_come_off_the_win_and_onto_the_loss(cost, full, risk):
    found = kelly_position_sizing(0.58, 25.0, 18.0, cost_win_bps=cost, cost_loss_bps=cost, explain=True)
    assert (round(full, 3), round(risk, 3)) == (round(found.full, 3), round(found.risk, 3))
    assert found.bound == ("kelly" if risk else "no_edge")


def test_of_a_hundred_trades_the_lower_bound_is_believed():
    found = kelly_position_sizing(0.58, 25.0, 18.0, observations=100, explain=True)
    assert (0.498, 0.136, "confidence") == (round(found.win_rate, 3), round(found.risk, 3), found.bound)


def test_under_thirty_trades_the_minimum_is_the_answer():
    assert 0.0 == kelly_position_sizing(0.58, 25.0, 18.0, observations=29)
    found = kelly_position_sizing(0.58, 25.0, 18.0, observations=29, minimum=0.001, explain=True)
    assert (0.001, "observations") == (found.risk, found.bound)
    assert 0.0 == kelly_position_sizing(0.3, 25.0, 18.0, observations=29, minimum=0.001)


def test_a_cap_holds_and_says_so():
    found = kelly_position_sizing(0.58, 25.0, 18.0, fraction=0.25, cap=0.01, explain=True)
    assert (0.01, "cap", 0.01) == (found.risk, found.bound, float(found))
    assert "held by the cap" in str(found)
    assert "fraction" == kelly_position_sizing(0.58, 25.0, 18.0, fraction=0.25, explain=True).bound


def test_costs_that_eat_the_win_leave_nothing():
    found = kelly_position_sizing(1.0, 5.0, 18.0, cost_win_bps=11.0, explain=True)
    assert (0.0, "no_edge") == (found.risk, found.bound)
    assert "no edge after costs" in str(found)


@pytest.mark.parametrize(
    ("terms", "word"),
    [
        ((1.2, 25.0, 18.0), "win_rate: expected a finite number of at least 0 and at most 1, saw '1.2'"),
        ((math.nan, 25.0, 18.0), "win_rate"),
        (("0.58", 25.0, 18.0), "not a text"),
        ((True, 25.0, 18.0), "win_rate"),
        ((0.58, 25.0, -18.0), "avg_loss: expected a finite number above 0, saw '-18.0'"),
        ((0.58, 25.0, 0.0), "avg_loss"),
        ((0.58, 0.0, 18.0), "avg_win"),
        ((0.58, math.inf, 18.0), "avg_win"),
    ],
)
def test_what_is_out_of_range_is_one_sentence(terms, word):
    with pytest.raises(DataError) as refused:
        kelly_position_sizing(*terms)
    assert word in str(refused.value)


@pytest.mark.parametrize(
    "further",
    [{"fraction": 0.0}, {"fraction": 1.5}, {"observations": 30.5}, {"observations": -1}, {"cap": -0.1}, {"cap": "1"},
     {"confidence": 1.0}, {"cost_loss_bps": -18.0}, {"minimum": math.nan}],
)  # fmt: skip
def test_terms_out_of_their_range_are_refused(further):
    with pytest.raises(DataError):
        kelly_position_sizing(0.58, 25.0, 18.0, **further)


@given(RATES, RATES, PAYOFFS, PAYOFFS)
def test_a_better_win_rate_never_risks_less(one, other, win, loss):
    low, high = sorted((one, other))
    assert kelly_position_sizing(low, win, loss) <= kelly_position_sizing(high, win, loss) <= 1.0


@given(RATES, PAYOFFS, PAYOFFS, PAYOFFS)
def test_a_larger_loss_or_cost_never_risks_more(rate, win, one, other):
    low, high = sorted((one, other))
    assert kelly_position_sizing(rate, win, low) >= kelly_position_sizing(rate, win, high) >= 0.0
    assert kelly_position_sizing(rate, win, 18.0, cost_win_bps=low) >= kelly_position_sizing(
        rate, win, 18.0, cost_win_bps=high
    )


@given(RATES, PAYOFFS, st.integers(30, 5000))
def test_what_was_counted_never_risks_more_than_what_is_known(rate, win, n):
    assert kelly_position_sizing(rate, win, 18.0, observations=n) <= kelly_position_sizing(rate, win, 18.0)


def test_half_of_kelly_keeps_three_quarters_of_the_growth():
    assert (1.0, 0.75, 0.4375) == (growth_share(1.0), growth_share(0.5), growth_share(0.25))


def test_the_chance_of_ever_losing_half_falls_with_the_fraction():
    assert (0.5, 0.125, 0.0078125) == tuple(chance_of_falling_to(0.5, c) for c in (1.0, 0.5, 0.25))
