"""What a market order pays: spread, slippage, impact, and the tick against us."""

import math

import pytest

from exec.slippage import square_root_impact, taker_price
from tests.market import bars, instrument, params, row
from utils.rows import ACCOUNT


def filled(reference, side, qty=1.0, candle=(100.0, 100.0, 100.0, 100.0), tick=None, **costs):
    return capped(reference, side, qty, candle, tick, **costs)[0]


def capped(reference, side, qty, candle, tick=None, **costs):
    """Price of a market order, and how many prices the account counts as capped."""
    acc, ins = row(ACCOUNT)[0], instrument(**(tick or {}))
    return taker_price(acc, reference, side, qty, bars(candle)[0], ins[0], params(**costs)[0]), int(acc["capped"])


def test_three_percent_and_a_ten_thousandth_of_the_volume_move_the_price_three_bps():
    assert pytest.approx(3e-4) == square_root_impact(1.0, 10_000.0, 0.03, 1.0)


def test_impact_grows_with_the_root_of_size():
    assert pytest.approx(2.0) == square_root_impact(4.0, 100.0, 0.01, 0.5) / square_root_impact(1.0, 100.0, 0.01, 0.5)


def test_without_volume_or_coefficient_there_is_no_impact():
    assert 0.0 == square_root_impact(1.0, 0.0, 0.03, 1.0) == square_root_impact(1.0, 100.0, 0.03, 0.0)
    assert 0.0 == square_root_impact(1.0, -0.5, 0.03, 1.0) == square_root_impact(1.0, 100.0, 0.03, -0.5)
    assert 0.0 == filled(100.0, 1, qty=20.0, candle=(100.0, 102.0, 99.0, 100.0, 0.5), impact=-0.5) - 100.0


def test_half_the_spread_and_the_slippage_are_paid_on_the_tick_against_us():
    # 1.5 bps of 100 are 0.015
    assert 100.1 == filled(100.0, 1, half_spread_bps=0.5, slippage_bps=1.0)
    assert 99.9 == filled(100.0, -1, half_spread_bps=0.5, slippage_bps=1.0)


def test_costs_of_whole_ticks_are_not_rounded_up():
    assert 100.2 == filled(100.0, 1, half_spread_bps=10.0, slippage_bps=10.0)
    assert 99.8 == filled(100.0, -1, half_spread_bps=10.0, slippage_bps=10.0)


def test_without_costs_a_price_on_the_grid_is_kept_and_one_off_it_rounds_against_us():
    assert 100.3 == filled(100.3, 1) == filled(100.3, -1)
    assert 100.4 == filled(100.33, 1)
    assert 100.3 == filled(100.33, -1)


def test_a_tick_without_a_whole_inverse_rounds_against_us_too():
    coarse = {"tick": 2.5, "per_tick": 0.0}
    assert 102.5 == filled(100.1, 1, tick=coarse)
    assert 100.0 == filled(102.4, -1, tick=coarse)


def test_impact_reads_volatility_from_the_range_of_the_bar():
    candle = (100.0, 102.0, 99.0, 100.0, 1000.0)
    # Parkinson: sigma of one bar = ln(H/L) / (2 sqrt(ln 2))
    sigma = math.log(102.0 / 99.0) / (2.0 * math.sqrt(math.log(2.0)))
    expected = math.ceil(1000.0 * (1.0 + 0.5 * sigma * math.sqrt(20.0 / 1000.0))) / 10.0
    assert expected == filled(100.0, 1, qty=20.0, candle=candle, impact=0.5)


def test_a_bar_that_stood_still_has_no_impact():
    assert 100.0 == filled(100.0, 1, qty=1e5, impact=1.0)


THIN = (100.0, 100.5, 99.5, 100.0, 0.001)  # one trade of next to nothing


def test_what_is_paid_beyond_the_reference_is_capped_and_counted():
    fields = {"qty": 5000.0, "candle": THIN, "impact": 0.5, "max_impact_bps": 200.0}
    assert (98.0, 1) == capped(100.0, -1, **fields)
    assert (102.0, 1) == capped(100.0, 1, **fields)


def test_the_cap_holds_spread_slippage_and_impact_together():
    costs = {"half_spread_bps": 60.0, "slippage_bps": 40.0}
    assert (101.0, 0) == capped(100.0, 1, 1.0, (100.0,) * 4, max_impact_bps=100.0, **costs)
    assert (100.9, 1) == capped(100.0, 1, 1.0, (100.0,) * 4, max_impact_bps=90.0, **costs)


@pytest.mark.parametrize(("side", "paid"), [(1, 101.8), (-1, 97.9)])
def test_a_capped_price_lies_on_the_tick_within_the_band(side, paid):
    # 2 % of 99.88 end at 101.8776 and 97.8824
    assert (paid, 1) == capped(99.88, side, 5000.0, THIN, impact=0.5, max_impact_bps=200.0)


@pytest.mark.parametrize("side", [1, -1])
def test_where_a_tick_is_wider_than_the_band_no_market_order_is_better_than_its_reference(side):
    coarse = {"tick": 5.0, "per_tick": 0.0}
    assert (100.0, 1) == capped(100.0, side, 1.0, (100.0,) * 4, coarse, slippage_bps=10.0, max_impact_bps=200.0)


def test_a_price_is_a_tick_at_least():
    assert (0.1, 0) == capped(0.1, -1, 1.0, (0.1, 0.1, 0.1, 0.1), slippage_bps=9000.0)
