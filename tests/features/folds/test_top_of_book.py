"""Top-of-book measures as compiled functions: symmetry, bounds, and what the weight of a level is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.folds.top_of_book import fill_spreads, leaning, level_weight, measures, weighed_depths
from utils.market.book import TOP

SIZE = st.floats(0.001, 1e6)


@given(bid=st.floats(1.0, 1e6), width=st.floats(1e-4, 0.5), bid_qty=SIZE, ask_qty=SIZE)
def test_swapping_the_sides_mirrors_the_measures_and_they_stay_in_their_bounds(bid, width, bid_qty, ask_qty):
    ask = bid * (1.0 + width)
    top, mirrored = np.zeros(1, TOP), np.zeros(1, TOP)
    top[0], mirrored[0] = (bid, bid_qty, ask, ask_qty), (bid, ask_qty, ask, bid_qty)
    (spread, imbalance, leaning), (same, other, opposite) = measures(top), measures(mirrored)
    assert spread == same > 0.0
    assert -1.0 <= imbalance == -other <= 1.0
    assert bid * (1.0 - 1e-12) <= leaning <= ask * (1.0 + 1e-12)
    assert bid + ask == pytest.approx(leaning + opposite, rel=1e-12)


def test_spreads_of_many_are_those_of_each():
    tops, out = np.zeros(2, TOP), np.empty(2)
    tops[0], tops[1] = (99.0, 1.0, 101.0, 1.0), (math.nan, 0.0, 101.0, 1.0)
    fill_spreads(tops, out)
    assert 200.0 == pytest.approx(out[0])
    assert math.isnan(out[1])


def test_nothing_on_either_side_leans_nowhere():
    assert math.isnan(leaning(0.0, 0.0))
    assert (1.0, -1.0, 0.2) == (leaning(2.0, 0.0), leaning(0.0, 2.0), leaning(3.0, 2.0))


def test_a_level_weighs_less_the_deeper_and_the_farther_it_is():
    assert 1.0 == level_weight(0, 100.0, 100.0, 0.5, 0.2)
    assert level_weight(2, 100.0, 100.0, 0.5, 0.0) == pytest.approx(math.exp(-1.0))
    assert level_weight(0, 100.05, 100.0, 0.0, 0.2) == pytest.approx(math.exp(-1.0))  # five bps off
    assert 0.0 == level_weight(0, math.nan, 100.0, 0.0, 0.0)


def test_depths_are_sums_of_weighed_quantities_and_need_both_sides():
    bids, asks = np.array([(99.0, 3.0), (98.0, 5.0)]), np.array([(101.0, 1.0)])
    assert (8.0, 1.0) == weighed_depths(bids, asks, None, 0.0, None)
    assert (3.0, 1.0) == weighed_depths(bids, asks, 1, 0.0, None)
    assert all(math.isnan(depth) for depth in weighed_depths(bids, asks[:0], None, 0.0, None))
