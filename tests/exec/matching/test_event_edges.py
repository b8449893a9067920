"""What a print, a quote or a mark does to a waiting order and to an open position."""

import math

import pytest

from exec.matching.events import match_exit_at, match_order_at, price_for, taker_price_at
from tests.market import NAN, instrument, marked, params, printed, quoted, row
from utils.codes import (
    EXIT_NAMES,
    FREE,
    LIMIT,
    LIQUIDATION,
    LIVE,
    MAKER,
    MARKET,
    POST_ONLY,
    SENT,
    STOP_LOSS,
    STOP_MARKET,
    TAKE_PROFIT,
    TAKER,
    TRAILING_STOP,
)
from utils.market.barriers import CROSSES, FILLS, WAITS
from utils.rows import ORDER_SLOT, POSITION

BUY, SELL = 1, -1
COSTS = {"slippage_bps": 10.0, "half_spread_bps": 20.0}
BOOK = quoted(1.0, 99.9, 100.1)
NOTHING = (WAITS, None, None, 0)


def plain(answer):
    """An answer with None for what is no number."""
    return tuple(None if isinstance(part, float) and math.isnan(part) else part for part in answer)


def met(event, side, kind, *, limit=NAN, trigger=NAN, state=LIVE, **costs):
    """(outcome, fill price, reference, liquidity) of an order that meets an event."""
    order = row(ORDER_SLOT, side=side, kind=kind, limit=limit, trigger=trigger, state=state)[0]
    return plain(match_order_at(order, event[0], instrument()[0], params(**costs)[0]))


def test_who_takes_meets_the_other_sides_best_price_the_print_or_the_mark():
    assert (100.1, 99.9) == tuple(price_for(BOOK[0], side) for side in (BUY, SELL))
    assert (100.0, 100.0) == tuple(price_for(printed(1.0, 100.0)[0], side) for side in (BUY, SELL))
    assert (100.0, 100.0) == tuple(price_for(marked(1.0, 100.0)[0], side) for side in (BUY, SELL))


def test_a_taker_pays_slippage_and_half_a_spread_where_the_other_side_is_not_shown():
    def paid(event, side):
        return taker_price_at(100.0, side, event[0], instrument()[0], params(**COSTS)[0])

    assert (100.1, 99.9) == (paid(BOOK, BUY), paid(BOOK, SELL))
    assert (100.3, 99.7) == (paid(printed(1.0, 100.0), BUY), paid(printed(1.0, 100.0), SELL))
    assert (100.3, 99.7) == (paid(marked(1.0, 100.0), BUY), paid(marked(1.0, 100.0), SELL))


@pytest.mark.parametrize(("side", "book", "print_"), [(BUY, (100.3, 100.1), 100.3), (SELL, (99.7, 99.9), 99.7)])
def test_a_market_order_fills_at_once_as_a_taker(side, book, print_):
    assert (FILLS, *book, TAKER) == met(BOOK, side, MARKET, slippage_bps=11.0)
    assert (FILLS, print_, 100.0, TAKER) == met(printed(1.0, 100.0), side, MARKET, **COSTS)


@pytest.mark.parametrize("kind", [MARKET, LIMIT, POST_ONLY, STOP_MARKET])
def test_a_mark_fills_no_order_nor_does_a_side_that_is_empty(kind):
    places = {"limit": 101.0, "trigger": 99.0}
    assert NOTHING == met(marked(1.0, 100.0), BUY, kind, **places)
    assert NOTHING == met(quoted(1.0, 99.9, NAN), BUY, kind, **places)
    assert NOTHING == met(quoted(1.0, NAN, 100.1), SELL, kind, limit=99.0, trigger=101.0)


@pytest.mark.parametrize(("side", "before", "at", "beyond"), [(BUY, 100.4, 100.5, 100.9), (SELL, 99.6, 99.5, 99.1)])
def test_a_stop_order_fires_when_touched_and_takes(side, before, at, beyond):
    trigger = 100.0 + side * 0.5
    assert NOTHING == met(printed(1.0, before), side, STOP_MARKET, trigger=trigger)
    assert (FILLS, at, at, TAKER) == met(printed(1.0, at), side, STOP_MARKET, trigger=trigger)
    assert (FILLS, beyond, beyond, TAKER) == met(printed(1.0, beyond), side, STOP_MARKET, trigger=trigger)
    paid = 101.3 if side > 0 else 98.8  # 30 bps against us, on the tick
    assert (FILLS, paid, beyond, TAKER) == met(printed(1.0, beyond), side, STOP_MARKET, trigger=trigger, **COSTS)


@pytest.mark.parametrize(("side", "limit"), [(BUY, 100.1), (SELL, 99.9)])
def test_an_arriving_limit_that_a_quote_reaches_takes_it_and_a_post_only_is_rejected(side, limit):
    where = {"limit": limit, "state": SENT, **COSTS}
    assert (FILLS, limit, limit, TAKER) == met(BOOK, side, LIMIT, **where)
    assert (CROSSES, limit, limit, 0) == met(BOOK, side, POST_ONLY, **where)
    where["limit"] = limit + side * 0.5
    assert (FILLS, limit, limit, TAKER) == met(BOOK, side, LIMIT, **where)
    where["limit"] = limit - side * 0.1
    assert NOTHING == met(BOOK, side, LIMIT, **where)
    assert NOTHING == met(BOOK, side, POST_ONLY, **where)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_an_arriving_limit_needs_a_print_beyond_it_to_take(side):
    where = {"limit": 100.0, "state": SENT}
    beyond = printed(1.0, 100.0 - side * 0.1)
    assert NOTHING == met(printed(1.0, 100.0), side, LIMIT, **where)
    assert NOTHING == met(printed(1.0, 100.0 + side * 0.1), side, LIMIT, **where)
    assert (FILLS, beyond[0].price, beyond[0].price, TAKER) == met(beyond, side, LIMIT, **where)
    assert (CROSSES, beyond[0].price, beyond[0].price, 0) == met(beyond, side, POST_ONLY, **where)


@pytest.mark.parametrize("kind", [LIMIT, POST_ONLY])
@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_resting_limit_fills_at_its_price_by_a_print_a_tick_through_it_alone(side, kind):
    assert NOTHING == met(printed(1.0, 100.0), side, kind, limit=100.0)
    assert (FILLS, 100.0, 100.0, MAKER) == met(printed(1.0, 100.0 - side * 0.1), side, kind, limit=100.0, **COSTS)
    assert NOTHING == met(quoted(1.0, 98.0, 98.1), BUY, kind, limit=100.0)
    assert NOTHING == met(quoted(1.0, 101.9, 102.0), SELL, kind, limit=100.0)


def left(event, side, *, stop=None, take=None, costs=None, **fields):
    """How an event ends a position of 1; long: stop 99.5, take 101, liquidation at 50, bankrupt at 49.5."""
    known = {"qty": float(side), "side": side, "liq": 100.0 - side * 50.0, "bankrupt": 100.0 - side * 50.5}
    first = 100.0 - side * 0.5
    resting = {"state": LIVE, "trigger": first} if stop is None else {"state": LIVE, "trigger": stop}
    taking = {"state": LIVE, "limit": 100.0 + side} if take is None else {"state": take, "limit": NAN}
    if stop == FREE:
        resting = {"state": FREE, "trigger": NAN}
    p = row(POSITION, **{**known, "first_stop": first, **fields})[0]
    slots = row(ORDER_SLOT, **taking)[0], row(ORDER_SLOT, **resting)[0]
    reason, *rest = plain(match_exit_at(p, *slots, event[0], instrument()[0], params(**(costs or {}))[0]))
    return EXIT_NAMES[reason], *rest


STAYS = ("", None, None, 0)


@pytest.mark.parametrize("side", [BUY, SELL])
@pytest.mark.parametrize("happens", [printed, marked])
def test_a_stop_is_touched_by_a_print_and_by_a_mark_and_pays_as_a_taker(side, happens):
    assert STAYS == left(happens(1.0, 100.0 - side * 0.4), side)
    assert (EXIT_NAMES[STOP_LOSS], at := 100.0 - side * 0.5, at, TAKER) == left(happens(1.0, at), side)
    gone = 100.0 - side * 0.8
    paid = 98.9 if side > 0 else 101.2  # 30 bps against us, on the tick
    assert (EXIT_NAMES[STOP_LOSS], paid, gone, TAKER) == left(happens(1.0, gone), side, costs=COSTS)


def test_a_stop_is_touched_by_the_side_of_the_book_at_which_we_could_leave():
    assert STAYS == left(quoted(1.0, 99.6, 99.7), BUY)
    assert ("STOP_LOSS", 99.5, 99.5, TAKER) == left(quoted(1.0, 99.5, 99.9), BUY)
    assert ("STOP_LOSS", 99.4, 99.5, TAKER) == left(quoted(1.0, 99.5, 99.9), BUY, costs=COSTS)
    assert STAYS == left(quoted(1.0, 100.3, 100.4), SELL)
    assert ("STOP_LOSS", 100.5, 100.5, TAKER) == left(quoted(1.0, 100.1, 100.5), SELL)
    assert STAYS == left(quoted(1.0, NAN, 90.0), BUY)
    assert STAYS == left(quoted(1.0, 110.0, NAN), SELL)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_an_exit_at_a_moved_stop_is_a_trailing_stop(side):
    at = 100.0 - side * 0.2
    assert (EXIT_NAMES[TRAILING_STOP], at, at, TAKER) == left(printed(1.0, at), side, stop=at)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_take_fills_at_its_price_by_a_print_a_tick_through_it_alone(side):
    through = 100.0 + side * 1.1
    assert STAYS == left(printed(1.0, 100.0 + side), side)
    assert (EXIT_NAMES[TAKE_PROFIT], 100.0 + side, 100.0 + side, MAKER) == left(
        printed(1.0, through), side, costs=COSTS
    )
    assert STAYS == left(marked(1.0, through), side)
    assert STAYS == left(quoted(1.0, through, through), side)
    assert STAYS == left(printed(1.0, through), side, take=FREE)


@pytest.mark.parametrize("side", [BUY, SELL])
@pytest.mark.parametrize("stop", [FREE, None])
def test_liquidation_nearer_than_the_stop_or_without_one_takes_the_whole_margin(side, stop):
    near = {"liq": 100.0 - side * 0.3, "bankrupt": 100.0 - side * 0.6, "stop": stop, "costs": COSTS}
    assert STAYS == left(printed(1.0, 100.0 - side * 0.2), side, **near)
    at, lost = near["liq"], near["bankrupt"]
    assert (EXIT_NAMES[LIQUIDATION], lost, at, TAKER) == left(printed(1.0, at), side, **near)
    beyond = 100.0 - side * 0.9
    assert (EXIT_NAMES[LIQUIDATION], beyond, at, TAKER) == left(printed(1.0, beyond), side, **near)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_stop_nearer_than_liquidation_or_beside_it_comes_first(side):
    at = 100.0 - side * 0.5
    assert (EXIT_NAMES[STOP_LOSS], at, at, TAKER) == left(printed(1.0, at), side, liq=100.0 - side * 0.6)
    assert (EXIT_NAMES[STOP_LOSS], at, at, TAKER) == left(printed(1.0, at), side, liq=at, bankrupt=90.0)
