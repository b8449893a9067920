"""Heat: from current prices, from entries, with correlations; and that the order of positions is no matter."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.heat import correlated_heat, initial_heat, portfolio_heat
from utils.errors import DataError
from utils.types import Position

PRICES = {"BTCUSDT": 100.0, "ETHUSDT": 50.0}
LONG = Position("BTCUSDT", 2.0, 90.0, 0, stop=95.0)  # 10 quote away now, 2 x (90 - 95) at entry
SHORT = Position("ETHUSDT", -4.0, 52.0, 0, stop=55.0)  # 20 quote away


def matrix(rho):
    return pd.DataFrame([[1.0, rho], [rho, 1.0]], index=list(PRICES), columns=list(PRICES))


def test_heat_is_counted_from_current_prices():
    assert 0.03 == portfolio_heat([LONG, SHORT], 1000.0, PRICES)


def test_initial_heat_is_counted_from_entries():
    assert 0.012 == initial_heat([LONG, SHORT], 1000.0)


def test_nothing_held_is_no_heat():
    assert 0.0 == portfolio_heat([], 1000.0, {}) == initial_heat([], 1000.0) == correlated_heat([], 1.0, {}, None)


def test_leaving_costs_and_gaps_count():
    assert math.isclose(0.01 + 2.0 * 95.0 * 5e-4 / 1000.0, portfolio_heat([LONG], 1000.0, PRICES, exit_cost_bps=5.0))
    assert math.isclose(0.015, portfolio_heat([LONG], 1000.0, PRICES, gap=1.5))


def test_a_stop_beyond_the_market_has_no_heat():
    assert 0.0 == portfolio_heat([LONG], 1000.0, {"BTCUSDT": 94.0})


def test_without_a_stop_the_liquidation_counts_or_else_the_notional():
    bare = {"symbol": "BTC/USDT:USDT", "side": "long", "contracts": 2.0, "entryPrice": 90.0}
    assert 0.06 == portfolio_heat([bare | {"liquidationPrice": 70.0}], 1000.0, PRICES)
    assert 0.2 == portfolio_heat([bare], 1000.0, PRICES)
    assert 0.01 == portfolio_heat([bare], 1000.0, PRICES, stops={"BTCUSDT": 95.0})


def test_a_stop_may_be_asked_for():
    with pytest.raises(DataError, match="expected a stop of BTCUSDT, saw a long without"):
        portfolio_heat([Position("BTCUSDT", 2.0, 90.0, 0)], 1000.0, PRICES, require_stops=True)


@pytest.mark.parametrize("equity", [0.0, -1.0, math.nan, math.inf, "1000", None])
def test_no_equity_is_one_sentence(equity):
    with pytest.raises(DataError, match="total_equity: expected a finite number above 0, saw"):
        portfolio_heat([LONG], equity, PRICES)


def test_a_symbol_without_a_price_is_named():
    with pytest.raises(DataError, match="expected a price of ETHUSDT, saw prices of BTCUSDT"):
        portfolio_heat([LONG, SHORT], 1000.0, {"BTC/USDT": 100.0})


def test_correlated_heat_of_one_side_is_between_its_root_and_its_sum():
    short_btc = Position("BTCUSDT", -2.0, 90.0, 0, stop=105.0)
    for rho, floored in ((1.0, 1.0), (0.8, 0.8), (0.2, 0.5), (-0.3, 0.5)):
        expected = math.sqrt(0.01 * 0.01 + 0.02 * 0.02 + 2.0 * floored * 0.01 * 0.02)
        found = correlated_heat([short_btc, SHORT], 1000.0, PRICES, matrix(rho))
        assert math.isclose(expected, found)


def test_a_hedge_counts_by_the_estimate():
    expected = math.sqrt(0.01 * 0.01 + 0.02 * 0.02 - 2.0 * 0.3 * 0.01 * 0.02)
    assert math.isclose(expected, correlated_heat([LONG, SHORT], 1000.0, PRICES, matrix(0.3)))


def test_a_hedge_at_the_floor_is_none():
    assert math.isclose(math.hypot(0.01, 0.02), correlated_heat([LONG, SHORT], 1000.0, PRICES, matrix(0.5)))


def test_a_perfect_hedge_leaves_the_difference():
    assert math.isclose(0.01, correlated_heat([LONG, SHORT], 1000.0, PRICES, matrix(1.0)))
    assert 0.0 == correlated_heat([LONG, Position("BTCUSDT", -2.0, 90.0, 0, stop=105.0)], 1000.0, PRICES, None)


def test_an_unknown_matrix_is_a_crowd():
    short_btc = Position("BTCUSDT", -2.0, 90.0, 0, stop=105.0)
    assert math.isclose(0.03, correlated_heat([short_btc, SHORT], 1000.0, PRICES, None))


def test_a_bare_array_has_the_order_of_the_positions_or_of_the_names():
    bare = np.array([[1.0, 0.3], [0.3, 1.0]])
    named = correlated_heat([LONG, SHORT], 1000.0, PRICES, matrix(0.3))
    assert named == correlated_heat([LONG, SHORT], 1000.0, PRICES, bare)
    assert named == correlated_heat([SHORT, LONG], 1000.0, PRICES, bare, symbols=["BTC/USDT", "ETH/USDT"])


SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
POSITIONS = st.lists(
    st.builds(
        lambda symbol, qty, stop: Position(symbol, qty, 100.0, 0, stop=stop),
        st.sampled_from(SYMBOLS),
        st.floats(-10.0, 10.0).filter(lambda qty: abs(qty) > 1e-3),
        st.none() | st.floats(50.0, 150.0),
    ),
    max_size=6,
)
CURRENT = dict(zip(SYMBOLS, (99.0, 101.0, 97.3, 103.7), strict=True))
RHO = pd.DataFrame(0.6, index=SYMBOLS, columns=SYMBOLS) + 0.4 * np.eye(4)


@given(POSITIONS, st.randoms())
def test_the_order_of_positions_changes_no_bit(positions, dice):
    shuffled = list(positions)
    dice.shuffle(shuffled)
    assert portfolio_heat(positions, 1e4, CURRENT) == portfolio_heat(shuffled, 1e4, CURRENT)
    assert correlated_heat(positions, 1e4, CURRENT, RHO) == correlated_heat(shuffled, 1e4, CURRENT, RHO)


@given(POSITIONS, POSITIONS)
def test_heat_adds_up(some, others):
    together = portfolio_heat(some + others, 1e4, CURRENT)
    apart = portfolio_heat(some, 1e4, CURRENT) + portfolio_heat(others, 1e4, CURRENT)
    assert math.isclose(together, apart, rel_tol=1e-9, abs_tol=1e-12)


@given(POSITIONS, st.floats(1e3, 1e6), st.floats(1.0, 3.0))
def test_correlated_heat_is_never_above_the_sum_and_a_gap_never_cools(positions, equity, gap):
    heat = portfolio_heat(positions, equity, CURRENT)
    assert 0.0 <= correlated_heat(positions, equity, CURRENT, RHO) <= heat * (1.0 + 1e-9)
    assert heat <= portfolio_heat(positions, equity, CURRENT, gap=gap)
