"""The market behind the views: ticks and lots in, candles and decimals out."""

from decimal import Decimal

import pytest

from ingest.box.floor.market import FUNDING_MS, Grid, Side, bucket, bucket_end, shift, trimmed
from tests.boxes import MIDNIGHT_NS, ListFlow, deed
from utils.rows import MS_PER_DAY, MS_PER_MINUTE, NS_PER_MS

MIDNIGHT = MIDNIGHT_NS // NS_PER_MS


@pytest.mark.parametrize(
    ("tf", "opened", "ended"),
    [
        ("1m", MIDNIGHT, MIDNIGHT + MS_PER_MINUTE),
        ("4h", MIDNIGHT, MIDNIGHT + 240 * MS_PER_MINUTE),
        ("1w", MIDNIGHT, MIDNIGHT + 7 * MS_PER_DAY),  # 2024-01-01 is a Monday
        ("1M", MIDNIGHT, MIDNIGHT + 31 * MS_PER_DAY),
    ],
)
def test_a_bucket_begins_where_the_venues_begin_it(tf, opened, ended):
    assert (opened, ended) == (bucket(opened + 30_000, tf), bucket_end(opened, tf))


def test_a_week_begins_on_monday():
    assert MIDNIGHT == bucket(MIDNIGHT + 7 * MS_PER_DAY - 1, "1w")


def test_february_of_a_leap_year_has_29_days():
    assert MIDNIGHT + 60 * MS_PER_DAY == bucket_end(MIDNIGHT + 31 * MS_PER_DAY, "1M")


@pytest.mark.parametrize(
    ("number", "digits", "text"), [(0, 0, "0"), (5, 3, "0.005"), (12345, 2, "123.45"), (-5, 1, "-0.5"), (7, 0, "7")]
)
def test_whole_numbers_become_decimals(number, digits, text):
    assert text == shift(number, digits)


@pytest.mark.parametrize(("text", "short"), [("1.500", "1.5"), ("1.000", "1"), ("100", "100")])
def test_trailing_zeros_are_trimmed_after_the_point_only(text, short):
    assert short == trimmed(text)


def test_prices_have_at_least_two_digits_and_the_step_decides_the_rest():
    grid = Grid(Decimal("0.1"), Decimal("0.001"))
    assert ("6511.40", "6.054", "65.84460") == (grid.price(65114), grid.qty(6054), grid.value(658446))


def test_a_side_keeps_its_best_level_first():
    side = Side(-1)
    for tick, lots in ((105, 2), (101, 1), (103, 4), (101, 0)):
        side.set(tick, lots)
    assert ({-103: 4, -105: 2}, 103) == (side.top(5), side.best)


def test_taking_away_a_level_that_is_not_there_changes_nothing():
    side = Side(1)
    side.set(100, 0)
    assert ({}, 0) == (side.top(5), side.best)


def test_a_candle_holds_the_trades_of_its_minute():
    market = ListFlow().market
    for ms, side, tick, lots in ((1_000, 1, 101, 3), (2_000, -1, 99, 5), (59_999, 1, 100, 2)):
        market.apply(deed(ms, fills=[(side, tick, lots)]))
    candle = market.candles[0]
    assert (101, 101, 99, 100) == (candle.open, candle.high, candle.low, candle.close)
    assert (10, 5, 3, 3 * 101 + 5 * 99 + 2 * 100) == (candle.lots, candle.bought, candle.trades, candle.value)


def test_a_minute_without_trades_is_flat_at_the_last_price():
    market = ListFlow().market
    market.apply(deed(1_000, fills=[(1, 105, 1)]))
    market.roll(MIDNIGHT_NS + 3 * MS_PER_MINUTE * NS_PER_MS)
    assert [(105, 105, 0)] * 3 == [(candle.open, candle.low, candle.lots) for candle in market.candles[1:]]


def test_a_longer_candle_is_made_of_its_minutes():
    market = ListFlow().market
    for minute, tick in ((0, 101), (1, 97), (4, 99), (5, 104)):
        market.apply(deed(minute * MS_PER_MINUTE + 1, fills=[(1, tick, 2)]))
    first, second = market.candles_of("5m", 0, 2**60)
    assert (101, 101, 97, 99, 6) == (first.open, first.high, first.low, first.close, first.lots)
    assert (104, 104, 104, 104, 2) == (second.open, second.high, second.low, second.close, second.lots)


def test_candles_are_asked_for_by_their_open_times():
    market = ListFlow().market
    market.apply(deed(9 * MS_PER_MINUTE, fills=[(1, 100, 1)]))
    wanted = market.candles_of("1m", MIDNIGHT + 2 * MS_PER_MINUTE + 1, MIDNIGHT + 5 * MS_PER_MINUTE)
    assert [3, 4, 5] == [(candle.open_ms - MIDNIGHT) // MS_PER_MINUTE for candle in wanted]


def test_funding_follows_the_takers_of_the_eight_hours_before():
    market = ListFlow().market
    market.apply(deed(1_000, fills=[(1, 100, 3)]))
    market.apply(deed(2_000, fills=[(-1, 100, 1)]))
    assert "0.00015000" == market.funding_rate(MIDNIGHT + FUNDING_MS)


def test_fundings_are_due_every_eight_hours_from_the_listing_on():
    market = ListFlow().market
    assert [MIDNIGHT, MIDNIGHT + FUNDING_MS] == market.settlements(MIDNIGHT + FUNDING_MS)
    assert MIDNIGHT + 2 * FUNDING_MS == market.next_funding_ms(MIDNIGHT + FUNDING_MS)


def test_mark_and_index_differ_by_half_a_tick():
    market = ListFlow().market
    assert ("10.050", "10.100") == (market.mark(), market.index())


def test_an_order_through_three_levels_ends_in_a_liquidation():
    market = ListFlow().market
    market.apply(deed(1, fills=[(1, 101, 1), (1, 102, 1)]))
    market.apply(deed(2, fills=[(-1, 100, 1), (-1, 99, 1), (-1, 98, 7)]))
    assert [(-1, 98, 7)] == [(one.side, one.tick, one.lots) for one in market.liquidations]


def test_one_order_moves_the_sequence_once_and_skips_update_ids():
    market = ListFlow().market
    seq, last = market.seq, market.update_id
    market.apply(deed(3, (1, 100, 5)))
    assert seq < market.seq
    assert last < market.first_update_id <= market.update_id
