"""Distances of stops and trails, how a trail moves, and where the venue takes over."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.fold import FeatureSet
from features.folds.volatility import atr as atr_feature
from risk.stops import liquidation_levels, move_trail, stop_distance, trail_distance
from tests.market import bars, engine, instrument, params, row, signals, wander
from utils.codes import BY_ATR, BY_BPS, BY_FLOOR, BY_LIQUIDATION, BY_SIGNAL
from utils.rows import ORDER_SLOT, POSITION


def asked(**fields):
    return signals(1, {0: {"side": 1.0, **fields}})[0]


def distance(*, price=100.0, ins=None, said=None, **settings):
    """(fraction, code of what set it)."""
    ins = instrument() if ins is None else ins
    return stop_distance(asked(**(said or {})), price, ins[0], params(**settings)[0])


#: A stop in true ranges.
ATR = {"stop_in_atr": 1, "stop_atr": 1.5}


def test_the_settings_decide_the_stop_unless_the_signal_does():
    assert (pytest.approx(0.0018), BY_BPS) == distance(stop_bps=18.0)
    assert (pytest.approx(0.0040), BY_SIGNAL) == distance(said={"stop_bps": 40.0}, stop_bps=18.0)


def test_a_stop_in_true_ranges_is_a_fraction_of_the_price():
    assert (pytest.approx(0.03), BY_ATR) == distance(price=200.0, said={"atr": 4.0}, **ATR)
    assert (pytest.approx(0.0040), BY_SIGNAL) == distance(price=200.0, said={"atr": 4.0, "stop_bps": 40.0}, **ATR)


def test_a_stop_in_true_ranges_is_unknown_while_they_warm_up():
    for limits in ({}, {"stop_floor": 3.0, "stop_liquidation": 2.0}):
        fraction, rule = distance(price=200.0, **ATR, **limits)
        assert (True, BY_ATR) == (math.isnan(fraction), rule)


#: Three times a spread of 1 bp and slippage of 2 are 9 bps.
FLOOR = {"half_spread_bps": 0.5, "slippage_bps": 2.0, "stop_floor": 3.0}


def test_a_stop_in_true_ranges_is_at_least_so_many_times_what_crossing_costs():
    assert (pytest.approx(0.0009), BY_FLOOR) == distance(said={"atr": 0.02}, **ATR, **FLOOR)
    assert (pytest.approx(0.0009), BY_FLOOR) == distance(said={"atr": 0.0599}, **ATR, **FLOOR)
    assert (pytest.approx(0.0012), BY_ATR) == distance(said={"atr": 0.08}, **ATR, **FLOOR)
    assert (pytest.approx(0.0003), BY_ATR) == distance(said={"atr": 0.02}, **ATR, **{**FLOOR, "stop_floor": 0.0})


def test_a_stop_that_somebody_chose_has_no_floor():
    assert (pytest.approx(0.0002), BY_SIGNAL) == distance(said={"stop_bps": 2.0}, **ATR, **FLOOR)
    assert (pytest.approx(0.0002), BY_BPS) == distance(stop_bps=2.0, **FLOOR)


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(
    ("said", "settings"),
    [({"stop_bps": 400.0}, {}), ({}, {"stop_bps": 400.0}), ({"atr": 10.0}, ATR), ({"atr": 0.0}, {**ATR, **FLOOR})],
)
def test_no_stop_lies_beyond_its_share_of_the_way_to_liquidation(side, said, settings):
    # at twenty times the venue takes over 5 % away, less maintenance of 0.5 %
    cap = {"leverage": 50.0, "stop_liquidation": 2.0}
    costly = {"slippage_bps": 900.0} if "stop_floor" in settings else {}
    venue = instrument(max_leverage=20.0)
    liq, _ = liquidation_levels(int(side), 1.0, 20.0, 0.005)
    way = abs(1.0 - liq) / 2.0
    assert 0.0222 < way < 0.0228
    found = distance(said={"side": side, **said}, ins=venue, **{**settings, **costly, **cap})
    assert (pytest.approx(way), BY_LIQUIDATION) == found
    free = distance(said={"side": side, **said}, ins=venue, **{**settings, **costly, **cap, "stop_liquidation": 0.0})
    assert free[0] >= 0.0399
    assert free[1] != BY_LIQUIDATION


def test_the_account_may_be_less_levered_than_the_venue_allows():
    venue = instrument(max_leverage=20.0, maintenance=0.0)
    wide = {"stop_bps": 9_000.0, "stop_liquidation": 2.0}
    assert (pytest.approx(0.25), BY_LIQUIDATION) == distance(ins=venue, leverage=2.0, **wide)
    assert (pytest.approx(0.5), BY_LIQUIDATION) == distance(ins=venue, leverage=0.5, **wide)  # whole, and no less
    assert (pytest.approx(0.024), BY_BPS) == distance(ins=venue, leverage=20.0, **{**wide, "stop_bps": 240.0})


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
        move_trail(p, slot, bar, instrument()[0], params()[0])
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
    move_trail(p, stop, bars((100.0, 101.0, 100.0, 101.0))[0], instrument()[0], params()[0])
    assert 100.0 == stop.trigger
    p, stop = row(POSITION, side=-1, qty=-1.0, best=100.0, trail=0.95)[0], row(ORDER_SLOT, trigger=110.0)[0]
    move_trail(p, stop, bars((100.0, 100.0, 99.0, 99.0))[0], instrument()[0], params()[0])
    assert 100.0 == stop.trigger


@given(
    side=st.sampled_from([1, -1]),
    path=st.lists(st.tuples(st.integers(900, 1100), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=20),
)
def test_a_trail_only_ratchets(side, path):
    candles = [(mid / 10.0, (mid + up) / 10.0, (mid - down) / 10.0, mid / 10.0) for mid, up, down in path]
    stops = trailed(side, *candles, stop=100.0 - side)
    assert sorted(stops, reverse=side < 0) == stops


#: Twice Wilder's average of each bar.
CHANDELIER = {"chandelier": 1, "trail_atr": 2.0}


@pytest.mark.parametrize("side", [1, -1])
def test_a_chandelier_hangs_by_the_true_range_of_each_bar(side):
    p = row(POSITION, side=side, qty=side, best=100.0, atr=1.4, trail=2.8, mark=100.0)[0]
    stop, par = row(ORDER_SLOT, trigger=100.0 - 3.0 * side)[0], params(**CHANDELIER)[0]
    up, down = (100.7, 100.0) if side > 0 else (100.0, 99.3)
    # a true range of 0.7: 1.4 + (0.7 - 1.4) / 14 = 1.35, the trail 2.7: 98.0 and 102.0
    move_trail(p, stop, bars((100.0, up, down, 100.0))[0], instrument()[0], par)
    hung = pytest.approx(100.0 - 2.0 * side)
    assert (pytest.approx(1.35), pytest.approx(2.7), hung) == (p.atr, p.trail, stop.trigger)
    # a jump from the close before counts: 4.85 of it, 1.35 + 3.5 / 14 = 1.6, and it never lets out
    p.mark = 100.0 + 4.85 * side
    move_trail(p, stop, bars((100.0, 100.0, 100.0, 100.0))[0], instrument()[0], par)
    assert (pytest.approx(1.6), pytest.approx(3.2), hung) == (p.atr, p.trail, stop.trigger)


def test_a_chandelier_goes_on_with_the_average_true_range_of_its_entry():
    rows = wander(60, 3, step=4)
    rows["volume"], rows["last"] = 1e6, 0
    atr = FeatureSet((atr_feature(),)).batch(rows)["atr_14"]
    said = signals(60, {30: 1.0})
    said["atr"] = atr
    one = engine(par=params(**{**CHANDELIER, "trail_atr": 20.0}, take_bps=5e3, stop_bps=4e3, horizon=1e3))
    for k in range(60):
        one.run(rows[k : k + 1], said[k : k + 1])
        if k > 30:
            assert pytest.approx(atr[k], rel=1e-12) == one.positions[0].atr
    assert np.ptp(atr[30:]) > 0.1 * atr[30:].min()  # it moved at all
    assert 0.0 != one.positions[0].qty


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
