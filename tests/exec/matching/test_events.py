"""What a print, a book or a mark price does to an order, and to an open position."""

import math

import pytest

from exec.matching.events import match_exit_at, match_order_at, price_for, taker_price_at
from tests.market import instrument, params, row
from utils.codes import (
    BOOK,
    EXIT_NAMES,
    FREE,
    LIMIT,
    LIVE,
    MAKER,
    MARK,
    MARKET,
    POST_ONLY,
    PRINT,
    SENT,
    STOP_MARKET,
    TAKER,
)
from utils.market.barriers import CROSSES, FILLS, WAITS
from utils.rows import MARKET_EVENT, ORDER_SLOT, POSITION

BUY, SELL = 1, -1


def printed(price, qty=5.0, side=BUY):
    return row(MARKET_EVENT, kind=PRINT, price=price, qty=qty, side=side, bid=math.nan, ask=math.nan)[0]


def book(bid, ask):
    return row(MARKET_EVENT, kind=BOOK, price=0.5 * (bid + ask), bid=bid, ask=ask)[0]


def mark(price):
    return row(MARKET_EVENT, kind=MARK, price=price, bid=math.nan, ask=math.nan)[0]


def met(event, side, kind, *, limit=math.nan, trigger=math.nan, state=LIVE, **costs):
    """(price, liquidity) of an order that the event fills, else what becomes of it."""
    order = row(ORDER_SLOT, side=side, kind=kind, limit=limit, trigger=trigger, state=state, qty=1.0)[0]
    outcome, price, _, liquidity = match_order_at(order, event, instrument()[0], params(**costs)[0])
    return (price, liquidity) if outcome == FILLS else outcome


def left(event, side, *, bare=False, moved=False, **fields):
    """(reason, price, liquidity) of a position of a long's stop 99.5 and take 101 and their mirrors."""
    stop = row(ORDER_SLOT, state=FREE if bare else LIVE, trigger=100.0 - side * 0.5)[0]
    take = row(ORDER_SLOT, state=FREE if bare else LIVE, limit=math.nan if bare else 100.0 + side)[0]
    known = {
        "liq": 100.0 - side * 50.0,
        "bankrupt": 100.0 - side * 50.5,
        "first_stop": 100.0 - side * (1 if moved else 0.5),
    }
    p = row(POSITION, side=side, qty=side, **{**known, **fields})[0]
    reason, price, _, liquidity = match_exit_at(p, take, stop, event, instrument()[0], params()[0])
    return (EXIT_NAMES[reason], price, liquidity) if reason else ""


def test_whoever_takes_meets_the_other_side_the_print_or_the_mark():
    assert (100.2, 100.0) == (price_for(book(100.0, 100.2), BUY), price_for(book(100.0, 100.2), SELL))
    assert 99.0 == price_for(printed(99.0), BUY)
    assert 98.0 == price_for(mark(98.0), SELL)


def test_half_a_spread_is_paid_only_where_the_event_does_not_show_the_other_side():
    par, ins = params(half_spread_bps=20.0, slippage_bps=10.0)[0], instrument()[0]
    assert 100.1 == taker_price_at(100.0, BUY, book(99.9, 100.0), ins, par)
    assert 100.3 == taker_price_at(100.0, BUY, printed(100.0), ins, par)
    assert 99.7 == taker_price_at(100.0, SELL, printed(100.0), ins, par)


def test_a_market_order_fills_at_the_next_price_but_not_at_a_mark():
    assert (100.2, TAKER) == met(book(100.0, 100.2), BUY, MARKET)
    assert (100.0, TAKER) == met(book(100.0, 100.2), SELL, MARKET)
    assert (99.0, TAKER) == met(printed(99.0), SELL, MARKET)
    assert WAITS == met(mark(99.0), BUY, MARKET)
    assert WAITS == met(book(100.0, math.nan), BUY, MARKET)


@pytest.mark.parametrize("kind", [LIMIT, POST_ONLY])
@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_resting_order_fills_by_a_print_one_tick_through_it_and_by_nothing_else(side, kind):
    limit = 100.0
    assert (limit, MAKER) == met(printed(limit - side * 0.1), side, kind, limit=limit)
    assert WAITS == met(printed(limit), side, kind, limit=limit)
    through = limit - side * 1.0
    assert WAITS == met(book(through - 0.05, through + 0.05), side, kind, limit=limit)
    assert WAITS == met(mark(through), side, kind, limit=limit)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_limit_that_arrives_beyond_the_other_side_takes_and_a_post_only_is_rejected(side):
    here = book(99.9, 100.0) if side == BUY else book(100.0, 100.1)
    assert (100.0, TAKER) == met(here, side, LIMIT, limit=100.0, state=SENT)
    assert CROSSES == met(here, side, POST_ONLY, limit=100.0, state=SENT)
    away = 100.0 - side * 0.1
    assert WAITS == met(here, side, LIMIT, limit=away, state=SENT)
    assert WAITS == met(printed(100.0), side, POST_ONLY, limit=100.0, state=SENT)
    assert CROSSES == met(printed(away), side, POST_ONLY, limit=100.0, state=SENT)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_stop_order_fires_when_touched_at_the_price_there_is(side):
    trigger = 100.0
    assert (trigger, TAKER) == met(printed(trigger), side, STOP_MARKET, trigger=trigger)
    assert (trigger + side * 2.0, TAKER) == met(printed(trigger + side * 2.0), side, STOP_MARKET, trigger=trigger)
    assert WAITS == met(printed(trigger - side * 0.1), side, STOP_MARKET, trigger=trigger)


@pytest.mark.parametrize("side", [BUY, SELL])
@pytest.mark.parametrize("event", [printed, mark, lambda price: book(price, price)])
def test_every_event_touches_the_stop_at_the_price_at_which_we_could_leave(side, event):
    assert ("STOP_LOSS", 100.0 - side * 0.5, TAKER) == left(event(100.0 - side * 0.5), side)
    assert "" == left(event(100.0 - side * 0.4), side)
    assert ("TRAILING_STOP", 100.0 - side * 0.7, TAKER) == left(event(100.0 - side * 0.7), side, moved=True)


def test_a_long_leaves_at_the_bid_and_a_short_at_the_ask():
    assert ("STOP_LOSS", 99.5, TAKER) == left(book(99.5, 100.4), BUY)
    assert "" == left(book(99.6, 99.7), BUY)
    assert ("STOP_LOSS", 100.5, TAKER) == left(book(99.6, 100.5), SELL)
    assert "" == left(book(math.nan, 90.0), BUY)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_the_take_is_a_resting_order(side):
    assert ("TAKE_PROFIT", 100.0 + side, MAKER) == left(printed(100.0 + side * 1.1), side)
    assert "" == left(printed(100.0 + side), side)
    assert "" == left(book(100.0 + side * 2.0, 100.0 + side * 2.0), side)
    assert "" == left(mark(100.0 + side * 2.0), side)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_liquidation_nearer_than_the_stop_takes_the_margin_and_is_no_better_than_the_market(side):
    near = {"liq": 100.0 - side * 0.3, "bankrupt": 100.0 - side * 0.8}
    assert ("LIQUIDATION", 100.0 - side * 0.8, TAKER) == left(mark(100.0 - side * 0.3), side, **near)
    assert ("LIQUIDATION", 100.0 - side * 2.0, TAKER) == left(printed(100.0 - side * 2.0), side, **near)
    assert "" == left(mark(100.0 - side * 0.2), side, **near)
    assert ("LIQUIDATION", 100.0 - side * 50.5, TAKER) == left(mark(100.0 - side * 50.0), side, bare=True)
    assert "" == left(mark(100.0 - side * 49.0), side, bare=True)
