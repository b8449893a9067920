"""Distances of stops and trails, how a trail moves, and where the venue takes over."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.stops import liquidation_levels, move_trail, stop_distance, trail_distance
from tests.market import bars, instrument, params, row, signals
from utils.rows import ORDER_SLOT, POSITION


def asked(**fields):
    return signals(1, {0: {"side": 1.0, **fields}})[0]


def test_the_settings_decide_the_stop_unless_the_signal_does():
    assert pytest.approx(0.0018) == stop_distance(asked(), 100.0, params(stop_bps=18.0)[0])
    assert pytest.approx(0.0040) == stop_distance(asked(stop_bps=40.0), 100.0, params(stop_bps=18.0)[0])


def test_a_stop_in_true_ranges_is_a_fraction_of_the_price():
    par = params(stop_in_atr=1, stop_atr=1.5)[0]
    assert pytest.approx(0.03) == stop_distance(asked(atr=4.0), 200.0, par)
    assert pytest.approx(0.0040) == stop_distance(asked(atr=4.0, stop_bps=40.0), 200.0, par)


def test_a_stop_in_true_ranges_is_unknown_while_they_warm_up():
    assert math.isnan(stop_distance(asked(), 200.0, params(stop_in_atr=1, stop_atr=1.5)[0]))


def test_trails_are_off_in_bps_or_in_true_ranges():
    assert 0.0 == trail_distance(asked(atr=4.0), 200.0, params()[0])
    assert pytest.approx(0.24) == trail_distance(asked(), 200.0, params(trail_bps=12.0)[0])
    assert 8.0 == trail_distance(asked(atr=4.0), 200.0, params(trail_atr=2.0)[0])
    assert math.isnan(trail_distance(asked(), 200.0, params(trail_atr=2.0)[0]))


def trailed(side, *candles, stop, inside=0):
    """Stops after each candle, with a trail of 1 quote and a fill at 100."""
    p = row(POSITION, side=side, qty=side, best=100.0, trail=1.0, first_stop=stop, inside=inside)[0]
    slot = row(ORDER_SLOT, trigger=stop)[0]
    seen = []
    for bar in bars(*candles):
        move_trail(p, slot, bar, instrument()[0])
        p.inside = 0
        seen.append(float(slot.trigger))
    return seen


def test_a_long_trail_follows_the_highest_price_shown_and_never_falls():
    candles = [(100.0, 100.4, 99.8, 100.0), (100.0, 102.0, 99.9, 100.0), (100.0, 101.0, 99.0, 99.5)]
    assert [99.5, 101.0, 101.0] == trailed(1, *candles, stop=99.5)


def test_a_short_trail_is_its_mirror():
    candles = [(100.0, 100.2, 99.6, 100.0), (100.0, 100.1, 98.0, 100.0), (100.0, 101.0, 99.0, 100.5)]
    assert [100.5, 99.0, 99.0] == trailed(-1, *candles, stop=100.5)


def test_of_the_bar_a_resting_entry_filled_in_only_the_close_came_after_it():
    candles = [(103.0, 104.0, 99.8, 100.9), (100.9, 101.0, 100.5, 100.9)]
    assert [99.9, 100.0] == trailed(1, *candles, stop=99.0, inside=1)


def test_a_trail_rounds_away_from_the_market():
    p, stop = row(POSITION, side=1, qty=1.0, best=100.0, trail=0.95)[0], row(ORDER_SLOT, trigger=90.0)[0]
    move_trail(p, stop, bars((100.0, 101.0, 100.0, 101.0))[0], instrument()[0])
    assert 100.0 == stop.trigger
    p, stop = row(POSITION, side=-1, qty=-1.0, best=100.0, trail=0.95)[0], row(ORDER_SLOT, trigger=110.0)[0]
    move_trail(p, stop, bars((100.0, 100.0, 99.0, 99.0))[0], instrument()[0])
    assert 100.0 == stop.trigger


@given(
    side=st.sampled_from([1, -1]),
    path=st.lists(st.tuples(st.integers(900, 1100), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=20),
)
def test_a_trail_only_ratchets(side, path):
    candles = [(mid / 10.0, (mid + up) / 10.0, (mid - down) / 10.0, mid / 10.0) for mid, up, down in path]
    stops = trailed(side, *candles, stop=100.0 - side)
    assert sorted(stops, reverse=side < 0) == stops


def test_liquidation_of_twenty_thousand_at_fifty_times():
    liq, bankrupt = liquidation_levels(1, 20_000.0, 50.0, 0.005)
    assert (19_698.49, 19_600.0) == (round(liq, 2), round(bankrupt, 2))
    liq, bankrupt = liquidation_levels(-1, 20_000.0, 50.0, 0.005)
    assert (20_298.51, 20_400.0) == (round(liq, 2), round(bankrupt, 2))


def test_at_liquidation_the_margin_left_equals_maintenance():
    for side in (1, -1):
        liq, _ = liquidation_levels(side, 20_000.0, 50.0, 0.005)
        assert pytest.approx(liq * 0.005) == 20_000.0 / 50.0 + side * (liq - 20_000.0)


def test_an_unlevered_long_cannot_be_liquidated():
    assert (0.0, 0.0) == liquidation_levels(1, 20_000.0, 1.0, 0.005)
