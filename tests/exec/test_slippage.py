"""What a market order pays: spread, slippage, impact, and the tick against us."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exec.slippage import (
    Estimate,
    fallback_slippage_bps,
    parent_impact_bps,
    square_root_impact,
    taker_price,
    walk_book,
)
from tests.market import bars, instrument, params, row
from utils.errors import DataError
from utils.rows import ACCOUNT
from utils.types import BookSnapshot


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


BIDS_OF = ((100.0, 10.0), (99.5, 20.0), (99.0, 5.0))
ASKS_OF = ((100.5, 6.0), (101.0, 4.0), (101.5, 30.0))
BOOK = {"bids": list(map(list, BIDS_OF)), "asks": list(map(list, ASKS_OF))}


@pytest.mark.parametrize(
    ("qty", "price", "slippage", "filled", "remainder", "levels", "worst"),
    [
        (5.0, 100.5, 24.93766, 5.0, 0.0, 1, 100.5),
        (8.0, 100.625, 37.40648, 8.0, 0.0, 2, 101.0),
        (15.0, 100.9666667, 71.48795, 15.0, 0.0, 3, 101.5),
        (50.0, 101.3, 104.73815, 40.0, 10.0, 3, 101.5),
        (6.0, 100.5, 24.93766, 6.0, 0.0, 1, 100.5),
    ],
)
def test_a_walk_of_the_reference_book(qty, price, slippage, filled, remainder, levels, worst):
    walk = walk_book("buy", qty, BOOK)
    found = (walk.price, walk.slippage_bps, walk.filled, walk.remainder, walk.levels, walk.worst)
    assert pytest.approx((price, slippage, filled, remainder, levels, worst), rel=1e-6) == found


@pytest.mark.parametrize(
    "book",
    [
        BookSnapshot("X", 1, 1, BIDS_OF, ASKS_OF),
        (BIDS_OF, ASKS_OF),
        (np.array(BIDS_OF), np.array(ASKS_OF)),
    ],
    ids=["noun", "tuples", "arrays"],
)
def test_every_form_of_a_book_is_walked_alike(book):
    assert walk_book(1, 8.0, BOOK) == walk_book("buy", 8.0, book)


def test_a_sale_walks_the_bids_and_its_slippage_is_paid_too():
    walk = walk_book(-1, 20.0, BOOK)
    assert (99.75, 99.5, 2) == (walk.price, walk.worst, walk.levels)
    assert pytest.approx(1e4 * 0.5 / 100.25) == walk.slippage_bps


def test_an_order_in_money_gives_each_level_what_is_left_over_its_price():
    walk = walk_book("buy", 6.0 * 100.5 + 2.0 * 101.0, BOOK, in_quote=True)
    assert pytest.approx((8.0, 100.625, 0.0)) == (walk.filled, walk.price, walk.remainder)
    beyond = walk_book("buy", 40.0 * 101.3 + 7.0, BOOK, in_quote=True)
    assert pytest.approx((40.0, 7.0)) == (beyond.filled, beyond.remainder)
    assert "7 quote not filled" in str(beyond)


def test_an_empty_side_fills_nothing_and_one_without_its_opposite_has_no_slippage():
    nothing = walk_book("buy", 3.0, (BIDS_OF, ()))
    assert (0.0, 3.0, 0) == (nothing.filled, nothing.remainder, nothing.levels)
    assert math.isnan(nothing.price)
    assert str(nothing) == "nothing filled: the book has no asks"
    alone = walk_book("buy", 3.0, ((), ASKS_OF))
    assert 100.5 == alone.price
    assert math.isnan(alone.slippage_bps)


def test_a_walk_reads_as_a_sentence():
    assert (
        str(walk_book("buy", 50.0, BOOK)) == "40 at 101.3 on average from 3 level(s), the last at 101.5: "
        "104.74 bps against the mid; 10 base not filled"
    )


@given(st.floats(0.01, 100.0), st.floats(0.01, 100.0), st.sampled_from([1, -1]))
def test_more_never_pays_less_and_nothing_is_made_up(one, more, side):
    small, large = (walk_book(side, qty, BOOK) for qty in (one, one + more))
    assert large.slippage_bps >= small.slippage_bps - 1e-9
    assert large.filled >= small.filled
    for walk, qty in ((small, one), (large, one + more)):
        assert pytest.approx(qty) == walk.filled + walk.remainder
        assert walk.filled <= sum(qty for _, qty in (ASKS_OF if side > 0 else BIDS_OF))


@pytest.mark.parametrize(
    ("side", "qty", "book", "sentence"),
    [
        ("up", 1.0, BOOK, "side: expected buy or sell, .1 or -1, saw 'up'"),
        (0, 1.0, BOOK, "side: expected"),
        (True, 1.0, BOOK, "side: expected"),
        ("buy", 0.0, BOOK, "qty: expected a finite number above 0, saw 0.0"),
        ("buy", "5", BOOK, "qty: expected a finite number above 0, saw '5'"),
        ("buy", True, BOOK, "qty: expected a finite number above 0, saw True"),
        ("buy", math.nan, BOOK, "qty: expected a finite number above 0, saw nan"),
        ("buy", math.inf, BOOK, "qty: expected a finite number above 0, saw inf"),
        ("buy", 1.0, (ASKS_OF, BIDS_OF), "best first"),
    ],
)
def test_what_cannot_be_walked_is_refused_with_a_sentence(side, qty, book, sentence):
    with pytest.raises(DataError, match=sentence):
        walk_book(side, qty, book)


def test_a_parent_of_a_ten_thousandth_of_the_day_moves_the_price_three_bps():
    assert pytest.approx(3.0) == parent_impact_bps(1, 10_000.0, 0.03)
    assert pytest.approx(1.5) == parent_impact_bps(np.float64(1.0), 10_000.0, 0.03, 0.5)
    with pytest.raises(DataError, match="daily_volume: expected a finite number above 0"):
        parent_impact_bps(1.0, 0.0, 0.03)


def test_without_a_book_the_estimate_names_itself_and_is_never_nothing():
    source = "no book: estimated from half the spread and "
    assert Estimate(2.5, source + "the move during the latency") == fallback_slippage_bps(0.5, 4.0, 0.25)
    assert Estimate(3.5, source + "impact") == fallback_slippage_bps(0.5, 4.0, 0.25, impact_bps=3.0)
    with pytest.raises(DataError, match="crossing is never free"):
        fallback_slippage_bps(0.0, 0.0, 0.25)
    with pytest.raises(DataError, match="latency_s"):
        fallback_slippage_bps(0.5, 4.0, -0.25)
