"""The controls of a size: each binds under its own name, and what is off has no say."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from risk.controls import (
    allowed_notional,
    correlated_room,
    drawdown_scale,
    kelly_fraction,
    loss_to,
    on,
    per_loss,
    room_of,
    volatility_scale,
)
from tests.market import LIMITS, NAN, controls
from utils.codes import BOUND_NAMES


def allowed(**known):
    """(notional, name of the control that gave it)."""
    notional, bound = allowed_notional(controls(**known)[0])
    return notional, BOUND_NAMES[bound]


#: What each control allows alone, of 10,000 quote and a loss of 50 bps at the stop.
ALONE = {
    "fixed_notional": ({"fixed_notional": 1_234.0}, 1_234.0),
    "risk_per_trade": ({"risk_fraction": 0.0025}, 5_000.0),
    "kelly": ({"kelly": 0.01}, 20_000.0),
    "max_leverage": ({"max_leverage": 3.0, "gross": 12_000.0}, 18_000.0),
    "venue_leverage": ({"venue_leverage": 2.0, "gross": 12_000.0}, 20_000.0),
    "max_net_leverage": ({"max_net_leverage": 2.0, "net": -5_000.0}, 25_000.0),
    "max_heat": ({"max_heat": 0.04, "heat": 0.03}, 20_000.0),
    "max_correlated_heat": ({"correlated_room": 0.02}, 40_000.0),
    "max_cluster_risk": ({"max_cluster": 0.02, "cluster": 0.005}, 30_000.0),
    "max_depth_share": ({"depth": 50_000.0, "depth_share": 0.05}, 2_500.0),
}


@pytest.mark.parametrize("name", BOUND_NAMES[1:])
def test_each_control_alone_is_what_holds_the_size(name):
    known, notional = ALONE[name]
    assert (pytest.approx(notional), name) == allowed(**known)


@pytest.mark.parametrize("name", BOUND_NAMES[1:])
def test_the_smallest_control_holds_the_size_whichever_it_is(name):
    wide = {key: value for known, _ in ALONE.values() for key, value in known.items()}
    wide |= {"fixed_notional": 1e6, "risk_fraction": 0.5, "kelly": 0.5, "depth": 1e8}
    wide |= {"max_leverage": 90.0, "venue_leverage": 90.0, "max_net_leverage": 90.0}
    wide |= {"max_heat": 0.9, "correlated_room": 0.9, "max_cluster": 0.9}
    tight = {
        "fixed_notional": {"fixed_notional": 100.0},
        "risk_per_trade": {"risk_fraction": 0.00005},
        "kelly": {"kelly": 0.00005},
        "max_leverage": {"max_leverage": 1.21},
        "venue_leverage": {"venue_leverage": 0.01},
        "max_net_leverage": {"max_net_leverage": -0.49},
        "max_heat": {"max_heat": 0.03005},
        "max_correlated_heat": {"correlated_room": 0.00005},
        "max_cluster_risk": {"max_cluster": 0.00505},
        "max_depth_share": {"depth": 2_000.0},
    }[name]
    assert (pytest.approx(100.0), name) == allowed(**{**wide, **tight})


def test_controls_that_are_off_have_no_say():
    assert (math.inf, "") == allowed()
    for known, notional in ALONE.values():
        off = {name: NAN for name in LIMITS if name not in known}
        assert pytest.approx(notional) == allowed(**known, **off)[0]


def test_of_two_that_allow_the_same_the_first_is_named():
    assert (5_000.0, "risk_per_trade") == allowed(fixed_notional=5_000.0, risk_fraction=0.0025)
    assert (20_000.0, "max_leverage") == allowed(max_leverage=2.0, venue_leverage=2.0)


@pytest.mark.parametrize(
    "spent",
    [
        {"max_leverage": 3.0, "gross": 31_000.0},
        {"max_net_leverage": 1.0, "net": 10_000.0},
        {"max_heat": 0.04, "heat": 0.05},
        {"max_cluster": 0.02, "cluster": 0.02},
        {"correlated_room": 0.0},
        {"kelly": -0.1},
        {"max_leverage": 3.0, "equity": -50.0},
        {"depth": 0.0, "depth_share": 0.05},
    ],
)
def test_what_is_spent_leaves_nothing_and_never_less(spent):
    assert 0.0 == allowed(**spent)[0]


@pytest.mark.parametrize("loss", [0.0, -0.001])
def test_where_nothing_is_lost_at_the_stop_only_notional_is_held(loss):
    losing = {"risk_fraction": 0.0025, "kelly": 0.01, "max_heat": 0.04, "correlated_room": 0.01, "max_cluster": 0.02}
    assert (30_000.0, "max_leverage") == allowed(loss=loss, max_leverage=3.0, **losing)
    assert math.inf == per_loss(0.01, 1e4, loss)


def test_a_loss_that_nobody_reckoned_holds_nothing():
    assert (1_000.0, "fixed_notional") == allowed(loss=NAN, fixed_notional=1_000.0, max_leverage=3.0)


def test_what_a_limit_leaves():
    assert 18_000.0 == room_of(3.0, 1e4, 12_000.0)
    assert 0.0 == room_of(3.0, 1e4, 42_000.0)
    assert math.inf == room_of(NAN, 1e4, 12_000.0) == room_of(0.05, NAN, 0.0)
    assert 0.5 == on(0.5)
    assert math.isnan(on(0.0))


def test_a_fraction_of_kelly_is_of_equity_lost_at_the_stop():
    # 58 % of wins of 25 against losses of 18; then 4, 7 and 11 bps each way
    assert pytest.approx(0.2776, abs=5e-5) == kelly_fraction(0.58, 25.0, 18.0)
    assert pytest.approx(0.140, abs=5e-4) == kelly_fraction(0.58, 21.0, 22.0)
    assert pytest.approx(-0.003, abs=5e-4) == kelly_fraction(0.58, 18.0, 25.0)
    assert pytest.approx(-0.29, abs=5e-3) == kelly_fraction(0.58, 14.0, 29.0)
    assert 1.0 == kelly_fraction(1.0, 25.0, 18.0)
    assert -math.inf == kelly_fraction(0.58, 0.0, 18.0) == kelly_fraction(0.58, -1.0, 18.0)


def test_a_drawdown_scales_from_all_to_nothing():
    assert [1.0, 0.5, 0.0, 0.0] == [pytest.approx(drawdown_scale(dd, 0.8)) for dd in (0.0, 0.1, 0.2, 0.3)]
    assert pytest.approx(2.0 / 3.0) == drawdown_scale(0.05, 0.85)
    assert 1.0 == drawdown_scale(-0.1, 0.85)
    assert 1.0 == drawdown_scale(0.5, 0.0) == drawdown_scale(0.5, NAN)


def test_volatility_scales_in_proportion():
    assert [1.0, 1.0, 0.5, 0.1] == [volatility_scale(moves, 10.0) for moves in (5.0, 10.0, 20.0, 100.0)]
    assert 1.0 == volatility_scale(NAN, 10.0) == volatility_scale(20.0, 0.0) == volatility_scale(20.0, NAN)


def test_the_correlated_limit_leaves_what_brings_it_to_the_limit():
    # alone: all of it; beside two percent with rho 1, 0.5, 0 and -1
    assert pytest.approx(0.03) == correlated_room(0.0, 0.0, 0.03)
    assert pytest.approx(0.01) == correlated_room(0.0004, 0.02, 0.03)
    assert pytest.approx(math.sqrt(0.0006) - 0.01) == correlated_room(0.0004, 0.01, 0.03)
    assert pytest.approx(math.sqrt(0.0005)) == correlated_room(0.0004, 0.0, 0.03)
    assert pytest.approx(0.05) == correlated_room(0.0004, -0.02, 0.03)


def test_a_hedge_may_come_where_the_correlated_limit_is_passed_and_a_crowd_may_not():
    assert 0.0 == correlated_room(0.0016, 0.04, 0.03) == correlated_room(0.0016, 0.0, 0.03)
    assert pytest.approx(0.07) == correlated_room(0.0016, -0.04, 0.03)
    assert 0.0 == correlated_room(0.0016, -0.01, 0.03)  # it helps too little to come under
    assert 0.0 == correlated_room(0.0009, 0.03, 0.03)
    assert math.isnan(correlated_room(0.0016, 0.04, NAN))


@given(held=st.floats(0.0, 0.1), rho=st.floats(-1.0, 1.0), limit=st.floats(1e-3, 0.1))
def test_a_room_that_is_used_up_is_the_limit(held, rho, limit):
    more = correlated_room(held * held, rho * held, limit)
    assert 0.0 <= more
    if more > 0.0:
        after = held * held + 2.0 * rho * held * more + more * more
        assert math.isclose(limit, math.sqrt(max(0.0, after)), rel_tol=1e-6, abs_tol=1e-9)


SHARES = st.floats(0.0, 1.0) | st.just(NAN)
MONEY = st.floats(0.0, 1e6)
CONTROL = st.fixed_dictionaries(
    {
        "equity": st.floats(-1e3, 1e6),
        "loss": st.floats(1e-5, 1.0),
        "risk_fraction": SHARES,
        "fixed_notional": MONEY | st.just(NAN),
        "kelly": SHARES,
        "gross": MONEY,
        "max_leverage": st.floats(0.0, 100.0),
        "venue_leverage": st.floats(0.0, 100.0),
        "net": st.floats(-1e6, 1e6),
        "max_net_leverage": st.floats(0.0, 100.0) | st.just(NAN),
        "heat": st.floats(0.0, 1.0),
        "max_heat": SHARES,
        "correlated_room": SHARES,
        "cluster": st.floats(0.0, 1.0),
        "max_cluster": SHARES,
        "depth": MONEY | st.just(NAN),
        "depth_share": SHARES,
    }
)
UP = (
    "equity", "risk_fraction", "fixed_notional", "kelly", "max_leverage", "venue_leverage", "max_net_leverage",
    "max_heat", "correlated_room", "max_cluster", "depth", "depth_share",
)  # fmt: skip
DOWN = ("loss", "gross", "net", "heat", "cluster")


@given(known=CONTROL, field=st.sampled_from((*UP, *DOWN)), more=st.floats(0.0, 1e3))
def test_a_size_rises_with_equity_and_limits_and_falls_with_loss_and_what_is_used(known, field, more):
    assume(not math.isnan(known[field]))
    before, _ = allowed(**known)
    after, _ = allowed(**{**known, field: known[field] + more})
    room = 1e-9 * abs(before)
    assert (after >= before - room) if field in UP else (after <= before + room)
    assert 0.0 <= before


@given(known=CONTROL, field=st.sampled_from(LIMITS))
def test_to_switch_a_control_off_never_makes_a_size_smaller(known, field):
    assert allowed(**{**known, field: NAN})[0] >= allowed(**known)[0]


@given(known=CONTROL)
def test_a_size_is_what_its_bound_alone_allows(known):
    notional, name = allowed(**known)
    if name:
        own = {**ALONE[name][0], "equity": 0.0, "loss": 0.0, "gross": 0.0, "heat": 0.0, "cluster": 0.0, "net": 0.0}
        assert (notional, name) == allowed(**{field: known[field] for field in own})


@pytest.mark.parametrize("side", [1, -1])
def test_what_is_lost_at_a_stop_is_the_way_and_the_cost_of_leaving_and_never_below_nothing(side):
    stop = 100.0 - 2.0 * side
    assert pytest.approx(3.0 * (2.0 + 7e-4 * stop)) == loss_to(side, 100.0, stop, 3.0, 7e-4, 1.0)
    assert pytest.approx(3.0 * (3.0 + 7e-4 * stop)) == loss_to(side, 100.0, stop, 3.0, 7e-4, 1.5)
    assert 0.0 == loss_to(side, stop - side, stop, 3.0, 7e-4, 1.0)
