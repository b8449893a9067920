"""How much: equity at risk, under caps, on the lot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.sizing import entry_qty, loss_at_stop
from tests.market import instrument, params, question
from utils.codes import (
    AUTO,
    BOUND_NAMES,
    BY_DEPTH,
    BY_FIXED,
    BY_HEAT,
    BY_LEVERAGE,
    BY_NET_LEVERAGE,
    BY_RISK,
    BY_VENUE,
    LIMIT,
    MARKET,
    POST_ONLY,
)


def sized(price, loss, *, scale=1.0, ins=None, **known):
    """(quantity, code of what held it) of an entry at a price, of a loss at its stop, under these controls."""
    ins = (instrument() if ins is None else ins)[0]
    risked = {} if "fixed_notional" in known else {"risk_fraction": 0.0025}
    usual = {"max_leverage": 3.0, "venue_leverage": ins.max_leverage, **risked}
    return entry_qty(question(price=price, loss=loss, **{**usual, **known})[0], ins, scale)


def qty(price, loss, **known):
    return sized(price, loss, **known)[0]


def test_the_stop_costs_the_risked_share_of_equity():
    # 25 quote at risk, 50 bps of 100 away
    assert 50.0 == qty(100.0, 0.005)


def test_leverage_caps_the_notional():
    assert 300.0 == qty(100.0, 0.0001)


def test_notional_already_at_work_leaves_less_room():
    assert 5.0 == qty(100.0, 0.0001, gross=29_500.0)


def test_no_room_is_no_order():
    assert 0.0 == qty(100.0, 0.005, gross=30_000.0) == qty(100.0, 0.005, gross=40_000.0)


def test_the_venue_may_allow_less_than_the_account():
    assert 100.0 == qty(100.0, 0.0001, ins=instrument(max_leverage=1.0))


def test_a_fixed_notional_ignores_the_stop_but_not_the_caps():
    assert 10.0 == qty(100.0, 0.9, fixed_notional=1000.0) == qty(100.0, 0.001, fixed_notional=1000.0)
    assert 300.0 == qty(100.0, 0.9, fixed_notional=1e6)


def test_a_rule_may_scale_an_entry_down():
    assert 25.0 == qty(100.0, 0.005, scale=0.5)
    assert 5.0 == qty(100.0, 0.9, scale=0.5, fixed_notional=1000.0)


def test_quantities_round_down_to_the_lot():
    assert 3.333 == qty(300.0, 0.9, fixed_notional=1000.0)
    assert 3.0 == qty(300.0, 0.9, fixed_notional=1000.0, ins=instrument(lot=0.5, per_lot=2.0))


def test_a_quantity_on_the_lot_is_not_shaved_by_floats():
    # 0.3 / 0.1 is 2.9999999999999996
    assert 0.3 == qty(1.0, 0.9, fixed_notional=0.3, ins=instrument(lot=0.1, per_lot=10.0))


def test_ruined_accounts_buy_nothing():
    assert 0.0 == qty(100.0, 0.005, equity=-50.0)


@given(
    price=st.floats(0.01, 1e5),
    stop=st.floats(1e-4, 0.5),
    gross=st.floats(0.0, 40_000.0),
    scale=st.floats(0.0, 1.0),
)
def test_an_entry_never_exceeds_risk_room_or_venue(price, stop, gross, scale):
    notional = qty(price, stop, gross=gross, scale=scale, ins=instrument(max_leverage=2.0)) * price
    caps = 25.0 / stop, max(0.0, 30_000.0 - gross), 20_000.0
    for cap in caps:
        assert notional <= cap * scale + 1e-6 * 0.001 * price + 1e-9
    assert 0.0 <= notional
    assert notional == pytest.approx(min(caps) * scale, abs=0.0011 * price)


@pytest.mark.parametrize("loss", [0.0, -0.001])
def test_where_nothing_is_lost_at_the_stop_the_caps_decide(loss):
    assert 300.0 == qty(100.0, loss)
    assert (75.0, BY_LEVERAGE) == sized(100.0, loss, scale=0.5, max_leverage=1.5)
    assert 10.0 == qty(100.0, loss, fixed_notional=1000.0)


@pytest.mark.parametrize(
    ("known", "quantity", "bound"),
    [
        ({}, 50.0, BY_RISK),
        ({"fixed_notional": 1000.0}, 10.0, BY_FIXED),
        ({"max_leverage": 0.2}, 20.0, BY_LEVERAGE),
        ({"venue_leverage": 0.1}, 10.0, BY_VENUE),
        ({"max_net_leverage": 1.0, "net": 9_000.0}, 10.0, BY_NET_LEVERAGE),
        ({"max_heat": 0.04, "heat": 0.039}, 20.0, BY_HEAT),
        ({"depth": 20_000.0, "depth_share": 0.05}, 10.0, BY_DEPTH),
    ],
)
def test_a_size_names_what_held_it(known, quantity, bound):
    found, by = sized(100.0, 0.005, **known)
    assert (pytest.approx(quantity, abs=0.001), BOUND_NAMES[bound]) == (found, BOUND_NAMES[by])
    assert (pytest.approx(0.5 * quantity, abs=0.001), by) == sized(100.0, 0.005, scale=0.5, **known)


def lost(side, stop_bps, price=100.0, tick=0.01, kind=MARKET, **settings):
    """What the stop costs in quote, for one base at `price`."""
    ins = instrument(tick=tick, per_tick=1.0 / tick, maker_bps=2.0, taker_bps=5.0)[0]
    return price * loss_at_stop(side, kind, price, stop_bps * 1e-4, ins, params(**settings)[0])


@pytest.mark.parametrize("side", [1, -1])
def test_the_loss_at_the_stop_is_the_move_the_crossing_and_both_fees(side):
    costs = {"half_spread_bps": 5.0, "slippage_bps": 5.0}
    # in at 100 +- 10 bps, out 50 bps on, to the tick away, and 10 bps more
    entry = 100.0 + side * 0.1
    out = {1: 99.49, -1: 100.51}[side]  # 99.5995 -> 99.59 -> 99.4904; 100.3995 -> 100.40 -> 100.5004
    expected = side * (entry - out) + 5e-4 * (entry + out)
    assert pytest.approx(expected, abs=1e-9) == lost(side, 50.0, **costs) == lost(side, 50.0, kind=AUTO, **costs)
    # resting ten bps away, as a maker
    entry = 100.0 - side * 0.1
    out = {1: 99.3, -1: 100.72}[side]  # 99.4005 -> 99.40 -> 99.3006; 100.6005 -> 100.61 -> 100.7106
    expected = side * (entry - out) + 2e-4 * entry + 5e-4 * out
    for kind in (POST_ONLY, LIMIT):
        assert pytest.approx(expected, abs=1e-9) == lost(side, 50.0, kind=kind, limit_offset_bps=10.0, **costs)


def test_crossing_costs_a_tick_even_where_the_settings_say_nothing():
    # in at 100.1; one percent below is 99.099, on the tick 99.0; out at 98.9
    assert pytest.approx(1.2 + 5e-4 * (100.1 + 98.9), abs=1e-9) == lost(1, 100.0, tick=0.1)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("tick", [0.01, 0.1, 1.0])
def test_a_stop_rounded_away_is_counted_as_far_as_it_lies(side, tick):
    assert lost(side, 18.0, tick=tick) >= tick + 0.18
