"""How much: equity at risk, under caps, on the lot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.sizing import entry_qty
from tests.market import instrument, params, row
from utils.rows import ACCOUNT


def qty(price, stop, *, equity=10_000.0, gross=0.0, scale=1.0, ins=None, **settings):
    par = params(**{"fixed_notional": 0.0, "risk_fraction": 0.0025, "leverage": 3.0, **settings})[0]
    acc, ins = row(ACCOUNT, equity=equity)[0], (instrument() if ins is None else ins)[0]
    return entry_qty(acc, ins, par, price, stop, gross, scale)


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
    for cap in (25.0 / stop * scale, max(0.0, 30_000.0 - gross), 20_000.0):
        assert notional <= cap + 1e-6 * 0.001 * price + 1e-9
    assert 0.0 <= notional
    assert notional == pytest.approx(min(25.0 / stop * scale, max(0.0, 30_000.0 - gross), 20_000.0), abs=0.0011 * price)
