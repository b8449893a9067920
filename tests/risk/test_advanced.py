"""A size by all controls: what holds it, what shrinks it, what refuses it, and that it moves the way it must."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.advanced import calculate_position_size_with_all_controls as sized
from risk.advanced import drawdown_scale, size_of_probability
from risk.stops import liquidation_levels
from utils.codes import BOUND_NAMES
from utils.errors import DataError
from utils.settings.tree import RiskSettings, Settings, SimulationSettings
from utils.types import Instrument, Position

PAIR = np.array([[1.0, 0.6], [0.6, 1.0]])
#: Loss at the default stop: 18 bps, a maker's entry (2), a taker's exit (5), half a spread and slippage (1.5).
LOSS = 0.00265
FREE = Instrument("BTCUSDT", 0.1, 0.001, maker_bps=0.0, taker_bps=0.0)


def risk_of(**limits):
    return Settings(risk=RiskSettings(**limits))


def test_the_four_promised_arguments_are_enough():
    found = sized(100.0, 0.008, PAIR, 0.01)
    assert math.isclose(0.0025 * 10_000.0 / LOSS, found.notional)
    assert ("BTCUSDT", 1, "risk_per_trade", 0.0025) == (found.symbol, found.side, found.bound, round(found.risk, 12))
    assert math.isnan(found.qty)
    assert found.notional == float(found) == found.allowed


def test_the_account_is_that_of_the_settings():
    settings = Settings(simulation=SimulationSettings(initial_capital=500.0))
    assert math.isclose(
        0.05 * float(sized(100.0, 0.008, PAIR, 0.01)), float(sized(100.0, 0.008, PAIR, 0.01, settings=settings))
    )


@pytest.mark.parametrize(
    ("bound", "terms", "expected"),
    [
        ("max_leverage", {"settings": risk_of(max_leverage=0.5)}, 5_000.0),
        ("max_net_leverage", {"settings": risk_of(max_net_leverage=0.4)}, 4_000.0),
        ("fixed_notional", {"settings": risk_of(sizing="fixed", fixed_notional=700.0)}, 700.0),
        ("max_heat", {"settings": risk_of(max_heat=0.0105)}, 0.0005 * 10_000.0 / LOSS),
        ("max_correlated_heat", {"settings": risk_of(max_correlated_heat=0.01)}, 0.0),
        ("max_depth_share", {"depth": 20_000.0}, 1_000.0),
        ("venue_leverage", {"instrument": Instrument("BTCUSDT", 0.1, 0.001, max_leverage=1.0), "equity": 1e3,
                            "settings": risk_of(risk_per_trade=0.05, max_risk_per_trade=0.0)}, 1_000.0),
    ],
)  # fmt: skip
def test_the_tightest_control_holds_and_is_named(bound, terms, expected):
    found = sized(100.0, 0.008, PAIR, 0.01, **terms)
    assert (bound, round(expected, 6)) == (found.bound, round(found.notional, 6))
    assert found.limits[bound] == found.allowed


def test_kelly_holds_a_thin_edge_net_of_costs():
    found = sized(50.0, 0.0, None, 0.0, p_win=0.5, take_bps=20.0, stop_bps=18.0, instrument=FREE,
                  settings=Settings(simulation=SimulationSettings(spread_bps=0.0, slippage_bps=0.0)))  # fmt: skip
    assert math.isclose(0.25 * (0.5 - 0.5 * 18.0 / 20.0) * 10_000.0 / 0.0018, found.limits["kelly"])
    assert math.isclose(size_of_probability(0.5, 18.0 / 38.0), found.confidence)


@pytest.mark.parametrize(
    ("why", "terms"),
    [
        ("halted", {"halted": True}),
        ("stale", {"stale": True}),
        ("break_even", {"p_win": 0.5}),
        ("observations", {"p_win": 0.9, "observations": 29}),
        ("confidence", {"p_win": 0.5, "take_bps": 60.0, "stop_bps": 40.0, "observations": 40}),
        ("drawdown_floor", {"drawdown": 0.15}),
        ("min_notional", {"price": 50_000.0, "lot": 1.0}),
        ("max_heat", {"portfolio_heat": 0.05}),
    ],
)
def test_a_size_of_nothing_says_why(why, terms):
    found = sized(
        **{"signal_strength": 80.0, "volatility": 0.008, "correlation_matrix": PAIR, "portfolio_heat": 0.01} | terms
    )
    assert (0.0, 0.0, why) == (found.notional, found.risk, found.bound)


def test_no_strength_is_no_size():
    assert (0.0, "no_edge") == (float(sized(0.0, 0.008, PAIR, 0.01)), sized(0.0, 0.008, PAIR, 0.01).bound)


def test_multipliers_are_told_one_by_one():
    settings = risk_of(target_volatility_bps=40.0)
    found = sized(50.0, 0.008, PAIR, 0.01, drawdown=0.075, settings=settings)
    assert (0.5, 0.5, 0.5) == (found.volatility, round(found.drawdown, 12), found.confidence)
    assert math.isclose(0.125 * found.allowed, found.notional)


def test_quantities_are_rounded_down_to_the_lot():
    found = sized(100.0, 0.008, PAIR, 0.01, price=50_000.0, instrument=Instrument("BTCUSDT", 0.1, 0.001))
    assert (0.188, 9_400.0) == (found.qty, found.notional)
    assert 0.18 == sized(100.0, 0.008, PAIR, 0.01, price=50_000.0, lot=0.01).qty


def test_a_size_prints_as_a_table_that_marks_what_held_it():
    text = str(sized(85.0, 0.008, PAIR, 0.01, price=50_000.0))
    assert "BTCUSDT long: 8,018.87 quote (0.1603" in text
    assert "risk_per_trade                9,433.96  <" in text
    assert "x confidence                    0.8500" in text


HELD = [Position("ETHUSDT", 2.0, 90.0, 0, stop=95.0), Position("SOLUSDT", -1.0, 50.0, 0, stop=55.0)]
PRICES = {"ETHUSDT": 100.0, "SOLUSDT": 50.0, "BTCUSDT": 50_000.0}
NAMES = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
RHO = pd.DataFrame([[1.0, 0.8, 0.6], [0.8, 1.0, 0.6], [0.6, 0.6, 1.0]], index=NAMES, columns=NAMES)
FREELY = Settings(simulation=SimulationSettings(spread_bps=0.0, slippage_bps=0.0, initial_capital=1000.0))


def beside(**terms):
    return sized(
        100.0, 0.008, RHO, None, **{"positions": HELD, "prices": PRICES, "instrument": FREE, "settings": FREELY} | terms
    )


def test_what_is_held_leaves_less_room():
    found = beside()
    assert (0.015, 0.01) == (round(found.heat, 12), round(found.cluster, 12))
    assert math.isclose(3.0 * 1000.0 - 250.0, found.limits["max_leverage"])
    assert math.isclose(2.0 * 1000.0 - 150.0, found.limits["max_net_leverage"])
    assert math.isclose(0.025 * 1000.0 / found.loss, found.limits["max_heat"])
    assert math.isclose(0.01 * 1000.0 / found.loss, found.limits["max_cluster_risk"])
    variance = 0.01**2 + 0.005**2 - 2.0 * 0.6 * 0.01 * 0.005
    room = math.sqrt((0.8 * 0.01 - 0.6 * 0.005) ** 2 + 0.03**2 - variance) - (0.8 * 0.01 - 0.6 * 0.005)
    assert math.isclose(room * 1000.0 / found.loss, found.limits["max_correlated_heat"])
    assert math.isclose(math.sqrt(variance), found.correlated)


def test_against_what_is_held_there_is_more_room():
    found = beside(side="short")
    assert (0.0, -1) == (round(found.cluster, 12), found.side)
    assert found.limits["max_net_leverage"] > beside().limits["max_net_leverage"]


def test_mark_prices_of_the_exchange_will_do():
    row = {"symbol": "ETH/USDT:USDT", "side": "long", "contracts": 2.0, "entryPrice": 90.0, "stopLossPrice": 95.0}
    marked = beside(positions=[row | {"markPrice": 100.0}], prices=None)
    assert marked.heat == beside(positions=HELD[:1]).heat
    with pytest.raises(DataError, match="expected a price of ETHUSDT"):
        beside(positions=[row], prices=None)


@given(st.permutations([*HELD, Position("BTCUSDT", 0.001, 5e4, 0, stop=4.9e4)]))
def test_the_order_of_positions_changes_no_bit(positions):
    first = beside(positions=[*HELD, Position("BTCUSDT", 0.001, 5e4, 0, stop=4.9e4)])
    assert first == beside(positions=positions)


UNIT = st.floats(0.0, 1.0)


@given(st.floats(0.0, 100.0), st.floats(0.0, 100.0), UNIT)
def test_a_stronger_signal_is_never_smaller(one, other, drawdown):
    low, high = sorted((one, other))
    assert float(sized(low, 0.01, PAIR, 0.01, drawdown=drawdown)) <= float(
        sized(high, 0.01, PAIR, 0.01, drawdown=drawdown)
    )


@given(UNIT, UNIT)
def test_a_better_chance_is_never_smaller(one, other):
    low, high = sorted((one, other))
    terms = {"take_bps": 60.0, "stop_bps": 40.0, "observations": 100}
    assert float(sized(80.0, 0.01, PAIR, 0.01, p_win=low, **terms)) <= float(
        sized(80.0, 0.01, PAIR, 0.01, p_win=high, **terms)
    ) * (1 + 1e-12)


@given(st.floats(1.0, 1e9), st.floats(1.0, 1e9))
def test_more_equity_is_never_smaller(one, other):
    low, high = sorted((one, other))
    assert float(beside(equity=low)) <= float(beside(equity=high)) * (1.0 + 1e-12)


@pytest.mark.parametrize(
    ("name", "most"), [("volatility", 1.0), ("portfolio_heat", 0.1), ("drawdown", 1.0), ("stop_bps", 500.0)]
)
@given(st.data())
def test_more_of_what_hurts_is_never_larger(name, most, data):
    one, other = sorted(data.draw(st.tuples(st.floats(1e-3, most), st.floats(1e-3, most))))
    terms = {"signal_strength": 80.0, "volatility": 0.01, "correlation_matrix": PAIR, "portfolio_heat": 0.01}
    settings = risk_of(target_volatility_bps=50.0)
    little, much = (float(sized(**terms | {name: value}, settings=settings)) for value in (one, other))
    assert much <= little * (1.0 + 1e-12)


@given(st.floats(0.0, 0.04), st.floats(0.0, 0.04))
def test_no_size_goes_beyond_what_heat_leaves(heat, correlation):
    rho = np.array([[1.0, correlation], [correlation, 1.0]])
    found = sized(100.0, 0.01, rho, heat, settings=risk_of(risk_per_trade=0.05, max_risk_per_trade=0.0))
    assert heat + found.risk <= 0.04 * (1.0 + 1e-9)
    assert set(found.limits) <= set(BOUND_NAMES)


def test_a_probability_is_worth_its_distance_from_break_even():
    assert 0.1617 == round(size_of_probability(0.6), 4)
    assert (0.0, 1.0, 0.0) == (size_of_probability(0.5), size_of_probability(1.0), size_of_probability(0.9, math.inf))


def test_a_drawdown_scales_down_to_nothing_at_its_floor():
    assert [1.0, 0.66667, 0.0, 0.0] == [round(drawdown_scale(down, 0.85), 5) for down in (0.0, 0.05, 0.15, 0.3)]


def test_liquidation_stands_where_the_venues_say():
    long, short = (liquidation_levels(side, 20_000.0, 50.0, 0.005)[0] for side in (1, -1))
    assert (19_698.49, 20_298.51) == (round(long, 2), round(short, 2))


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"signal_strength": 101.0}, "signal_strength"),
        ({"signal_strength": "85"}, "not a text"),
        ({"volatility": math.nan}, "volatility"),
        ({"volatility": -0.1}, "volatility"),
        ({"portfolio_heat": -0.1}, "portfolio_heat"),
        ({"equity": 0.0}, "equity: expected a finite number above 0, saw '0.0'"),
        ({"p_win": 1.2}, "p_win"),
        ({"drawdown": 1.2}, "drawdown"),
        ({"depth": -1.0}, "depth"),
        ({"price": 0.0}, "price"),
        ({"lot": 0.0, "price": 1.0}, "lot"),
        ({"gap": 0.5, "positions": []}, "gap"),
        ({"stop_bps": 0.0}, "stop_bps"),
        ({"side": "up"}, "long or short"),
        ({"symbol": "BTCUSD_PERP"}, "settled in its coin"),
        ({"symbol": "ETHUSDT", "instrument": FREE}, "expected that of ETHUSDT"),
        ({"settings": {}}, "expected Settings"),
        ({"settings": risk_of(stop="atr")}, "ATR"),
        ({"correlation_matrix": np.array([[1.0, 2.0], [2.0, 1.0]])}, "correlation_matrix"),
        ({"correlation_matrix": np.eye(3), "positions": HELD[:1], "prices": PRICES}, "expected 2 rows"),
        ({"correlation_matrix": RHO, "positions": [Position("XRPUSDT", 1.0, 1.0, 0)]}, "expected XRPUSDT in it"),
        ({"correlation_matrix": PAIR, "positions": [], "symbols": ["ETHUSDT", "SOLUSDT"]}, "expected BTCUSDT"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(wrong, word):
    with pytest.raises(DataError) as refused:
        sized(
            **{"signal_strength": 80.0, "volatility": 0.008, "correlation_matrix": PAIR, "portfolio_heat": 0.01} | wrong
        )
    assert word in str(refused.value)
