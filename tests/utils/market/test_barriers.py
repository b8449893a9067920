"""The barrier rule, against itself in whole ticks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.market import EMPTY, FLAT, bars
from utils.codes import END_OF_DATA, LIMIT, MAKER, MARKET, POST_ONLY, STOP_LOSS, TAKE_PROFIT, TAKER, TIME_LIMIT
from utils.market.barriers import (
    CROSSES,
    FILLS,
    WAITS,
    against_us,
    ceil_to,
    crossed,
    enter_in_bar,
    first_touch,
    floor_to,
    leave_in_bar,
    levels,
    out_of_reach,
    resting_price,
    trades_through,
    trigger_in_bar,
)

NONE = (0, 0)
LONG, SHORT = 1, -1


def touch(side, candle, *, stop=99.5, take=101.0, entry_bar=False, inside=False):
    """(reason, price) of a bar (open, high, low, and its close where that matters) on a grid of 0.1."""
    price, reason, _ = first_touch(side, stop, take, *candle, *([100.0] * (4 - len(candle))), 0.1, entry_bar, inside)
    return (reason, price) if reason else NONE


def both(side, candle, **where):
    levels = (99.5, 101.0) if side > 0 else (100.5, 99.0)
    return first_touch(side, *levels, *candle, *([100.0] * (4 - len(candle))), 0.1, *where.values())[2]


@pytest.mark.parametrize(
    ("candle", "expected"),
    [
        ((100.0, 100.9, 99.6), NONE),
        ((100.0, 101.0, 99.6), NONE),  # at the take, not through it
        ((100.0, 101.1, 99.6), (TAKE_PROFIT, 101.0)),
        ((100.0, 100.9, 99.5), (STOP_LOSS, 99.5)),  # a stop is touched
        ((99.2, 100.9, 99.0), (STOP_LOSS, 99.2)),  # or jumped over: the open is worse
        ((100.0, 101.1, 99.5), (STOP_LOSS, 99.5)),  # both: the stop
        ((101.1, 101.5, 99.0), (TAKE_PROFIT, 101.0)),  # opens beyond the take: that came first, and pays its own price
        ((101.0, 101.0, 99.0), (STOP_LOSS, 99.5)),  # opens at the take: not through it
    ],
)
def test_a_long_bar_after_the_entry_bar(candle, expected):
    assert expected == touch(LONG, candle)


@pytest.mark.parametrize(
    ("candle", "expected"),
    [
        ((100.0, 100.4, 99.0), NONE),
        ((100.0, 100.4, 98.9), (TAKE_PROFIT, 99.0)),
        ((100.0, 100.5, 99.5), (STOP_LOSS, 100.5)),
        ((100.8, 101.0, 99.5), (STOP_LOSS, 100.8)),
        ((100.0, 100.5, 98.9), (STOP_LOSS, 100.5)),
        ((98.9, 101.0, 98.5), (TAKE_PROFIT, 99.0)),
    ],
)
def test_a_short_bar_after_the_entry_bar(candle, expected):
    assert expected == touch(SHORT, candle, stop=100.5, take=99.0)


def test_in_the_entry_bar_an_open_beyond_the_take_came_before_the_position():
    # a fill far below the open: the take lies under the open and is filled at its own price
    assert (TAKE_PROFIT, 101.0) == touch(LONG, (101.5, 102.0, 101.2), entry_bar=True)
    assert (STOP_LOSS, 99.5) == touch(LONG, (101.5, 102.0, 99.0), entry_bar=True)


@pytest.mark.parametrize(
    ("candle", "expected"),
    [
        ((100.2, 105.0, 99.6, 100.0), NONE),  # the high may have come before the entry
        ((100.2, 105.0, 99.6, 101.0), NONE),  # closed at the take, not through it
        ((100.2, 105.0, 99.6, 101.1), (TAKE_PROFIT, 101.0)),  # the close came after the entry: the take has filled
        ((100.2, 105.0, 99.5, 100.0), (STOP_LOSS, 99.5)),
        ((100.2, 105.0, 99.5, 101.1), (STOP_LOSS, 99.5)),  # both: the stop
    ],
)
def test_of_a_bar_with_an_entry_inside_only_the_close_came_after_it(candle, expected):
    assert expected == touch(LONG, candle, entry_bar=True, inside=True)
    mirrored = (200.0 - candle[0], 200.0 - candle[2], 200.0 - candle[1], 200.0 - candle[3])
    reason, price = touch(SHORT, mirrored, stop=100.5, take=99.0, entry_bar=True, inside=True)
    assert expected == ((reason, round(200.0 - price, 9)) if reason else NONE)


def test_a_bar_that_touched_both_says_so_unless_its_open_decided():
    assert both(LONG, (100.0, 101.1, 99.5), entry_bar=False, inside=False)
    assert both(SHORT, (100.0, 100.5, 98.9), entry_bar=False, inside=False)
    assert not both(LONG, (100.0, 101.0, 99.5), entry_bar=False, inside=False)
    assert not both(LONG, (101.2, 101.2, 99.5), entry_bar=False, inside=False)
    assert not both(LONG, (100.0, 101.1, 99.5), entry_bar=True, inside=True)
    assert both(LONG, (100.0, 101.1, 99.5, 101.1), entry_bar=True, inside=True)


def in_ticks(side, stop, take, candle, entry_bar, inside):
    """The rule of the contract in whole ticks, from a long's point of view: shorts are mirrored before and after."""
    opened, high, low, closed = candle if side > 0 else (-candle[0], -candle[2], -candle[1], -candle[3])
    stop, take = side * stop, side * take
    takes = (closed if inside else high) >= take + 1
    if takes and opened >= take + 1 and not entry_bar:
        return TAKE_PROFIT, side * take
    if low <= stop:
        return STOP_LOSS, side * min(stop, opened)
    return (TAKE_PROFIT, side * take) if takes else NONE


@given(
    side=st.sampled_from([LONG, SHORT]),
    stop=st.integers(1, 30),
    take=st.integers(1, 30),
    path=st.lists(st.integers(-40, 40), min_size=4, max_size=4),
    entry_bar=st.booleans(),
    inside=st.booleans(),
    tick=st.sampled_from([(0.1, 10.0), (0.01, 100.0), (1.0, 1.0), (0.0001, 10_000.0)]),
)
def test_any_bar_equals_the_rule_in_whole_ticks(side, stop, take, path, entry_bar, inside, tick):
    step, per = tick
    middle = 20_000
    stop, take = middle - side * stop, middle + side * take
    candle = middle + path[0], middle + max(path), middle + min(path), middle + path[3]
    expected = in_ticks(side, stop, take, candle, entry_bar, entry_bar and inside)
    prices = [price / per for price in candle]
    price, reason, _ = first_touch(side, stop / per, take / per, *prices, step, entry_bar, entry_bar and inside)
    assert (expected[0], expected[1] / per) == ((reason, price) if reason else NONE)


def test_a_limit_needs_a_trade_one_tick_through_it():
    assert not trades_through(100.0, LONG, 100.0, 101.0, 0.1)
    assert trades_through(100.0, LONG, 99.9, 101.0, 0.1)
    assert not trades_through(100.0, SHORT, 99.0, 100.0, 0.1)
    assert trades_through(100.0, SHORT, 99.0, 100.1, 0.1)


@pytest.mark.parametrize("price", [0.3, 0.7, 1.1, 17.3, 60_123.7, 123_456.9])
def test_a_price_on_the_grid_stays_where_it_is_whatever_floats_say(price):
    assert price == floor_to(price, 0.1, 10.0) == ceil_to(price, 0.1, 10.0)
    assert price == floor_to(price * (1.0 + 2e-16), 0.1, 10.0)


def test_a_grid_without_a_whole_inverse_is_counted_in_steps():
    assert 97.5 == floor_to(99.9, 2.5, 0.0)
    assert 100.0 == ceil_to(97.6, 2.5, 0.0)
    assert 97.5 == floor_to(97.5, 2.5, 0.0) == ceil_to(97.5, 2.5, 0.0)


def test_a_taker_pays_up_and_sells_down_to_the_grid():
    assert 100.1 == against_us(100.01, LONG, 0.1, 10.0)
    assert 100.0 == against_us(100.09, SHORT, 0.1, 10.0)
    assert 100.0 == against_us(100.0, LONG, 0.1, 10.0) == against_us(100.0, SHORT, 0.1, 10.0)


def test_take_and_stop_round_away_from_the_entry():
    # 25 and 18 bps of 100 are 100.25 and 99.82
    assert (100.3, 99.8) == levels(LONG, 100.0, 25e-4, 18e-4, 0.1, 10.0)
    assert (99.7, 100.2) == levels(SHORT, 100.0, 25e-4, 18e-4, 0.1, 10.0)
    assert (100.1, 99.9) == levels(LONG, 100.0, 1e-4, 1e-4, 0.1, 10.0)
    assert (99.9, 100.1) == levels(SHORT, 100.0, 1e-4, 1e-4, 0.1, 10.0)
    # a mean entry price off the grid
    assert (101.0, 100.0) == levels(LONG, 100.7, 1e-4, 1e-4, 1.0, 1.0)
    assert (100.0, 101.0) == levels(SHORT, 100.3, 1e-4, 1e-4, 1.0, 1.0)


def test_distances_of_whole_ticks_are_kept():
    assert (100.4, 99.7) == levels(LONG, 100.0, 40e-4, 30e-4, 0.1, 10.0)
    assert (99.6, 100.3) == levels(SHORT, 100.0, 40e-4, 30e-4, 0.1, 10.0)


@given(
    side=st.sampled_from([LONG, SHORT]),
    entry=st.integers(1_000, 1_000_000),
    take=st.floats(1e-5, 0.05),
    stop=st.floats(1e-5, 0.05),
)
def test_levels_lie_on_the_grid_and_within_a_tick_of_their_distance(side, entry, take, stop):
    take_price, stop_price = levels(side, entry / 10.0, take, stop, 0.1, 10.0)
    assert take_price * 10.0 == round(take_price * 10.0)
    assert stop_price * 10.0 == round(stop_price * 10.0)
    gained = side * (take_price - entry / 10.0) - entry / 10.0 * take
    risked = side * (entry / 10.0 - stop_price) - entry / 10.0 * stop
    assert -1e-6 <= gained < 0.1 + 1e-6
    assert -1e-6 <= risked < 0.1 + 1e-6


@pytest.mark.parametrize(
    ("kind", "rested", "candle", "answer"),
    [
        (MARKET, False, (100.0, 105.0, 95.0, 101.0), (FILLS, 100.0, TAKER, False)),
        (LIMIT, False, (100.0, 100.0, 99.4, 100.0), (FILLS, 99.5, MAKER, True)),
        (LIMIT, False, (99.0, 102.0, 98.0, 100.0), (FILLS, 99.0, TAKER, False)),
        (LIMIT, True, (99.0, 102.0, 98.0, 100.0), (FILLS, 99.5, MAKER, False)),
        (POST_ONLY, False, (99.0, 102.0, 98.0, 100.0), (CROSSES, 99.0, 0, False)),
        (POST_ONLY, True, (99.0, 102.0, 98.0, 100.0), (FILLS, 99.5, MAKER, False)),
    ],
)
def test_what_a_bar_does_to_an_entry_at_99_and_a_half(kind, rested, candle, answer):
    assert answer == enter_in_bar(kind, LONG, 99.5, rested, bars(candle)[0], 0.1)


@pytest.mark.parametrize("rested", [False, True])
def test_a_limit_waits_in_a_bar_that_does_not_trade_through_it(rested):
    outcome, price, liquidity, inside = enter_in_bar(
        POST_ONLY, LONG, 99.5, rested, bars((100.0, 101.0, 99.5, 100.0))[0], 0.1
    )
    assert (WAITS, 0, False) == (outcome, liquidity, inside)
    assert math.isnan(price)


def leave(candle, side=LONG, held=1, horizon=20.0, inside=False, last=False):
    """What a bar does to a position with barriers 1 away from 100."""
    return leave_in_bar(side, 100.0 - side, 100.0 + side, held, horizon, inside, bars(candle, last=last)[0], 0.1)


def test_barriers_come_before_the_limit_of_time():
    assert (STOP_LOSS, 99.0, TAKER, False, False) == leave((100.0, 100.0, 98.0, 100.0), held=19)
    assert (TAKE_PROFIT, 101.0, MAKER, False, False) == leave((100.0, 102.0, 99.5, 100.0), held=19)
    assert (STOP_LOSS, 99.0, TAKER, True, False) == leave((100.0, 102.0, 98.0, 100.0))


def test_an_open_beyond_the_take_came_after_the_entry_of_a_bar_before():
    beyond = (101.5, 102.0, 100.5, 101.2)
    assert (TAKE_PROFIT, 101.0, MAKER, False, False) == leave(beyond, held=0)
    assert (TAKE_PROFIT, 101.0, MAKER, False, False) == leave(beyond, held=1)
    gapped = (101.5, 102.0, 98.0, 100.0)
    assert (STOP_LOSS, 99.0, TAKER, True, False) == leave(gapped, held=0)
    assert (TAKE_PROFIT, 101.0, MAKER, False, False) == leave(gapped, held=1)


def test_a_position_due_ends_at_the_close_of_a_bar_that_trades():
    assert (TIME_LIMIT, 100.2, TAKER, False, True) == leave((100.0, 100.3, 99.9, 100.2), held=19)
    assert (TIME_LIMIT, 100.2, TAKER, False, True) == leave((100.0, 100.3, 99.9, 100.2), held=19, last=True)


def test_a_position_due_in_a_bar_without_a_trade_goes_on_unless_it_is_the_last():
    reason, price, _, _, due = leave(EMPTY, held=19)
    assert (0, True) == (reason, due)
    assert math.isnan(price)
    assert (END_OF_DATA, 100.0, TAKER, False, True) == leave(EMPTY, held=19, last=True)


def test_a_position_that_nothing_ends_goes_on():
    reason, _, liquidity, both, due = leave(FLAT)
    assert (0, 0, False, False) == (reason, liquidity, both, due)


@given(
    side=st.sampled_from([LONG, SHORT]),
    low=st.integers(980, 1000),
    high=st.integers(1000, 1020),
    held=st.integers(0, 3),
    inside=st.booleans(),
)
def test_a_bar_out_of_reach_ends_no_position_and_only_a_take_just_touched_is_in_reach_without_ending_one(
    side, low, high, held, inside
):
    candle = (100.0, high / 10.0, low / 10.0, 100.0)
    far = out_of_reach(side, 100.0 - side, 100.0 + side, bars(candle)[0])
    reason = leave(candle, side, held, inside=inside)[0]
    takes = high > 1010 if side > 0 else low < 990
    assert far == (reason == 0 and not (takes and inside))


def plain(answer):
    """An answer with None for what is no number."""
    return tuple(None if isinstance(part, float) and math.isnan(part) else part for part in answer)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_resting_limit_pays_its_own_price_first_at_an_open_beyond_it_else_inside(side):
    at = 100.0 - side * 0.5

    def filled(opened, furthest):
        reach = sorted((100.0 - side * furthest, 100.0 + side))
        candle = (100.0 - side * opened, reach[1], reach[0], 100.0)
        return plain(enter_in_bar(POST_ONLY, side, at, True, bars(candle)[0], 0.1))

    assert (FILLS, at, MAKER, False) == filled(0.6, 0.6)
    assert (FILLS, at, MAKER, True) == filled(0.5, 0.6)
    assert (FILLS, at, MAKER, True) == filled(0.0, 0.9)
    assert (WAITS, None, 0, False) == filled(0.5, 0.5)


def test_a_market_order_pays_its_cost_against_us_on_the_grid():
    assert (100.2, False) == crossed(100.0, LONG, 0.0011, 1.0, 0.1, 10.0)
    assert (99.8, False) == crossed(100.0, SHORT, 0.0011, 1.0, 0.1, 10.0)


@pytest.mark.parametrize(("band", "paid", "held"), [(0.0011, 0.1, True), (0.002, 0.2, False), (0.0019, 0.1, True)])
def test_a_market_order_pays_no_more_than_the_band_allows(band, paid, held):
    assert (100.0 + paid, held) == crossed(100.0, LONG, 0.0011, band, 0.1, 10.0)
    assert (100.0 - paid, held) == crossed(100.0, SHORT, 0.0011, band, 0.1, 10.0)


def test_a_resting_entry_lies_away_from_the_market_on_the_grid():
    assert 99.8 == resting_price(100.0, LONG, 0.0011, 0.1, 10.0)
    assert 100.2 == resting_price(100.0, SHORT, 0.0011, 0.1, 10.0)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_stop_order_fires_at_the_open_beyond_it_or_where_it_is_touched(side):
    def fired(opened, furthest):
        reach = sorted((100.0 + side * furthest, 100.0 - side))
        candle = (100.0 + side * opened, reach[1], reach[0], 100.0)
        return plain(trigger_in_bar(100.0 + side * 0.5, side, bars(candle)[0]))

    assert (100.0 + side * 0.5, False) == fired(0.5, 0.6)
    assert (100.0 + side * 0.7, False) == fired(0.7, 0.8)
    assert (100.0 + side * 0.5, True) == fired(0.4, 0.5)
    assert (None, False) == fired(0.4, 0.4)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_touch_is_told_whole(side):
    def touched(opened, down, up, *, entry_bar=False):
        low, high = sorted((100.0 - side * down, 100.0 + side * up))
        return plain(first_touch(
            side, 100.0 - side, 100.0 + side, 100.0 + side * opened, high, low, 100.0, 0.1, entry_bar, False
        ))  # fmt: skip

    assert (None, 0, False) == touched(0.0, 0.9, 1.0)
    assert (100.0 - side, STOP_LOSS, False) == touched(0.0, 1.0, 1.0)
    assert (100.0 - side, STOP_LOSS, True) == touched(0.0, 1.0, 1.5)
    assert (100.0 - side * 1.5, STOP_LOSS, False) == touched(-1.5, 2.0, 0.0)
    assert (100.0 + side, TAKE_PROFIT, False) == touched(0.0, 0.5, 1.5)
    assert (100.0 + side, TAKE_PROFIT, False) == touched(1.5, 2.0, 1.5)
    assert (100.0 - side, STOP_LOSS, True) == touched(1.5, 2.0, 1.5, entry_bar=True)
    assert (100.0 + side, TAKE_PROFIT, False) == touched(1.5, 0.0, 1.5, entry_bar=True)


@pytest.mark.parametrize(("held", "horizon"), [(0, 1.0), (1, 2.0), (18, 19.0), (1, 1.5)])
def test_a_position_is_due_in_the_bar_that_makes_its_horizon_full(held, horizon):
    assert (TIME_LIMIT, 100.0, TAKER, False, True) == leave(FLAT, held=held, horizon=horizon)
    assert (0, None, 0, False, False) == plain(leave(FLAT, held=held, horizon=held + 1.5))
    assert (0, None, 0, False, True) == plain(leave(EMPTY, held=held, horizon=horizon))
    assert (END_OF_DATA, 100.0, TAKER, False, False) == leave(FLAT, held=held, horizon=99.0, last=True)
