"""What one candle does to a waiting entry and to an open position."""

import math
from types import MappingProxyType

import pytest

from exec.matching.bars import match_exit, match_order, untouched
from tests.market import FLAT, bars, instrument, params, row
from utils.codes import (
    EXIT_NAMES,
    FREE,
    LIMIT,
    LIQUIDATION,
    LIVE,
    MAKER,
    MARKET,
    POST_ONLY,
    STOP_LOSS,
    STOP_MARKET,
    TAKE_PROFIT,
    TAKER,
    TRAILING_STOP,
)
from utils.market.barriers import CROSSES, FILLS, WAITS
from utils.rows import ACCOUNT, ORDER_SLOT, POSITION

BUY, SELL = 1, -1


def entry(side, kind, candle, *, limit=math.nan, waited=0, places=MappingProxyType({}), **costs):
    """(outcome, price, liquidity, inside) of a waiting order for 1 base; `places` are further fields of its slot."""
    order = row(ORDER_SLOT, side=side, kind=kind, limit=limit, waited=waited, qty=1.0, **places)[0]
    market = bars(candle)[0], instrument()[0], params(**costs)[0]
    outcome, price, _, liquidity, inside = match_order(row(ACCOUNT)[0], order, 1.0, *market)
    return (outcome, price, liquidity, inside) if outcome == FILLS else outcome


def leave(side, candle, *, qty=1.0, costs=None, bare=False, **fields):
    """(reason, price, liquidity) of an open position; long: stop 99.5, take 101 (none if `bare`), liquidation far."""
    known = {
        "qty": side * qty,
        "side": side,
        "first_stop": 100.0 - side * 0.5,
        "liq": 100.0 - side * 50.0,
        "bankrupt": 100.0 - side * 50.5,
        "bars": 2,  # the bar after the entry bar
        "horizon": 20.0,
    }
    stop = row(ORDER_SLOT, state=LIVE, trigger=fields.pop("stop", 100.0 - side * 0.5))[0]
    take = row(ORDER_SLOT, state=LIVE, limit=100.0 + side)[0]
    if bare:
        stop.state = take.state = FREE
        take.limit = math.nan
    p = row(POSITION, **{**known, **fields})[0]
    market = bars(candle)[0], instrument()[0], params(**(costs or {}))[0]
    reason, price, _, liquidity, *_ = match_exit(row(ACCOUNT)[0], p, take, stop, *market)
    return (EXIT_NAMES[reason], price, liquidity) if reason else ""


def test_a_market_entry_fills_at_the_open_as_a_taker():
    assert (FILLS, 100.0, TAKER, False) == entry(BUY, MARKET, (100.0, 105.0, 95.0, 101.0))
    assert (FILLS, 100.1, TAKER, False) == entry(BUY, MARKET, FLAT, half_spread_bps=0.5)
    assert (FILLS, 99.9, TAKER, False) == entry(SELL, MARKET, FLAT, half_spread_bps=0.5)


@pytest.mark.parametrize("kind", [LIMIT, POST_ONLY])
@pytest.mark.parametrize("waited", [0, 1])
def test_a_limit_fills_at_its_price_only_when_traded_through_by_a_tick(kind, waited):
    where = {"limit": 99.5, "waited": waited}
    assert WAITS == entry(BUY, kind, (100.0, 100.0, 99.5, 100.0), **where)
    assert (FILLS, 99.5, MAKER, True) == entry(BUY, kind, (100.0, 100.0, 99.4, 100.0), **where)
    where["limit"] = 100.5
    assert WAITS == entry(SELL, kind, (100.0, 100.5, 100.0, 100.0), **where)
    assert (FILLS, 100.5, MAKER, True) == entry(SELL, kind, (100.0, 100.6, 100.0, 100.0), **where)


@pytest.mark.parametrize(("side", "opened"), [(BUY, 99.0), (SELL, 101.0)])
def test_an_open_beyond_the_limit_on_arrival_makes_a_taker_of_it_and_rejects_a_post_only(side, opened):
    candle = (opened, 102.0, 98.0, 100.0)
    limit = 100.0 - side * 0.5
    assert (FILLS, opened, TAKER, False) == entry(side, LIMIT, candle, limit=limit)
    assert CROSSES == entry(side, POST_ONLY, candle, limit=limit)


@pytest.mark.parametrize("kind", [LIMIT, POST_ONLY])
@pytest.mark.parametrize(("side", "opened"), [(BUY, 99.0), (SELL, 101.0)])
def test_an_open_beyond_a_limit_that_rested_already_fills_it_first_at_its_own_price(kind, side, opened):
    candle = (opened, 102.0, 98.0, 100.0)
    limit = 100.0 - side * 0.5
    assert (FILLS, limit, MAKER, False) == entry(side, kind, candle, limit=limit, waited=1)


def test_an_open_at_the_limit_is_not_beyond_it():
    assert WAITS == entry(BUY, POST_ONLY, (99.5, 100.0, 99.5, 100.0), limit=99.5)
    assert (FILLS, 99.5, MAKER, True) == entry(BUY, POST_ONLY, (99.5, 100.0, 99.4, 100.0), limit=99.5)


def test_a_stop_fills_at_the_worse_of_stop_and_open_less_slippage():
    costs = {"slippage_bps": 10.0}
    assert ("STOP_LOSS", 99.4, TAKER) == leave(BUY, (100.0, 100.0, 99.5, 100.0), costs=costs)
    assert ("STOP_LOSS", 98.9, TAKER) == leave(BUY, (99.0, 100.0, 98.0, 100.0), costs=costs)
    assert ("STOP_LOSS", 100.7, TAKER) == leave(SELL, (100.0, 100.5, 99.9, 100.0), costs=costs)
    assert ("STOP_LOSS", 101.2, TAKER) == leave(SELL, (101.0, 102.0, 99.9, 100.0), costs=costs)


def test_a_take_is_a_resting_limit_and_pays_no_slippage():
    costs = {"slippage_bps": 10.0, "half_spread_bps": 5.0}
    assert ("TAKE_PROFIT", 101.0, MAKER) == leave(BUY, (100.0, 101.1, 99.6, 100.0), costs=costs)
    assert ("TAKE_PROFIT", 101.0, MAKER) == leave(BUY, (102.0, 102.0, 99.0, 100.0), costs=costs)
    assert "" == leave(BUY, (100.0, 101.0, 99.6, 100.0))


def test_a_protective_exit_pays_its_impact():
    candle = (100.0, 100.0, 99.0, 100.0, 100.0)
    reason, price, _ = leave(BUY, candle, qty=50.0, costs={"impact": 1.0})
    sigma = math.log(100.0 / 99.0) / (2.0 * math.sqrt(math.log(2.0)))
    assert (EXIT_NAMES[STOP_LOSS], math.floor(995.0 * (1.0 - sigma * math.sqrt(0.5))) / 10.0) == (reason, price)


def test_an_exit_at_a_moved_stop_is_a_trailing_stop():
    fields = {"stop": 100.2, "first_stop": 99.5}
    assert (EXIT_NAMES[TRAILING_STOP], 100.2, TAKER) == leave(BUY, (100.5, 100.6, 100.2, 100.5), **fields)


def test_liquidation_nearer_than_the_stop_is_touched_first_and_takes_the_whole_margin():
    near = {"liq": 99.7, "bankrupt": 99.2}
    assert (EXIT_NAMES[LIQUIDATION], 99.2, TAKER) == leave(BUY, (100.0, 100.5, 99.7, 100.0), **near)
    assert "" == leave(BUY, (100.0, 100.5, 99.8, 100.0), **near)
    near = {"liq": 100.3, "bankrupt": 100.8}
    assert (EXIT_NAMES[LIQUIDATION], 100.8, TAKER) == leave(SELL, (100.0, 100.3, 99.8, 100.0), **near)


def test_an_open_beyond_bankruptcy_is_not_filled_better_than_that_open():
    assert ("LIQUIDATION", 98.0, TAKER) == leave(BUY, (98.0, 98.5, 97.0, 98.0), liq=99.7, bankrupt=99.2)
    assert ("LIQUIDATION", 102.0, TAKER) == leave(SELL, (102.0, 103.0, 101.0, 102.0), liq=100.3, bankrupt=100.8)


def test_a_stop_nearer_than_liquidation_comes_first():
    assert ("STOP_LOSS", 99.5, TAKER) == leave(BUY, (100.0, 100.5, 90.0, 95.0), liq=99.4, bankrupt=98.9)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_stop_beside_liquidation_comes_first(side):
    at = 100.0 - side * 0.5
    candle = (100.0, max(100.0, at), min(100.0, at), 100.0)
    assert ("STOP_LOSS", at, TAKER) == leave(side, candle, liq=at, bankrupt=at - side)


def test_liquidation_comes_before_a_take_in_the_same_bar():
    assert "LIQUIDATION" == leave(BUY, (100.0, 101.1, 99.7, 100.0), liq=99.7, bankrupt=99.2)[0]
    assert EXIT_NAMES[TAKE_PROFIT] == leave(BUY, (101.1, 101.1, 99.7, 100.0), liq=99.7, bankrupt=99.2)[0]


@pytest.mark.parametrize(
    ("side", "candle", "paid"),
    [(BUY, (100.0, 100.5, 99.9, 100.2), 100.7), (SELL, (100.0, 100.1, 99.5, 99.8), 99.4)],
)
def test_a_stop_order_of_ones_own_fires_when_touched_and_pays_as_a_taker(side, candle, paid):
    trigger = {"trigger": 100.0 + side * 0.5}
    outcome = entry(side, STOP_MARKET, candle, places=trigger, slippage_bps=10.0)
    assert (FILLS, paid, TAKER, True) == outcome
    assert WAITS == entry(side, STOP_MARKET, FLAT, places=trigger)
    gapped = (100.0 + side, 102.0, 98.0, 100.0)
    assert (FILLS, 100.0 + side, TAKER, False) == entry(side, STOP_MARKET, gapped, places=trigger)


def test_a_limit_that_reached_the_market_between_bars_rests_in_its_first_candle():
    candle = (99.0, 102.0, 98.0, 100.0)
    assert CROSSES == entry(BUY, POST_ONLY, candle, limit=99.5)
    assert (FILLS, 99.5, MAKER, False) == entry(BUY, POST_ONLY, candle, limit=99.5, places={"state": LIVE})


def test_a_position_without_brackets_ends_by_liquidation_alone():
    assert "" == leave(BUY, (100.0, 200.0, 60.0, 100.0), bare=True)
    assert ("LIQUIDATION", 49.5, TAKER) == leave(BUY, (100.0, 200.0, 50.0, 100.0), bare=True)
    assert ("LIQUIDATION", 150.5, TAKER) == leave(SELL, (100.0, 150.0, 60.0, 100.0), bare=True)


def calm(candle=(100.0, 100.9, 99.6, 100.0), *, last=False, **fields):
    """Does a bar leave a position with levels 99.5 and 101 as it is?"""
    known = {"qty": 1.0, "side": BUY, "floor": 99.5, "ceiling": 101.0, "bars": 2, "horizon": 20.0}
    return untouched(row(POSITION, **{**known, **fields})[0], bars(candle, last=last)[0])


def test_a_bar_that_reaches_no_level_leaves_a_position_as_it_is():
    assert calm()
    assert calm((100.0, 100.9, 99.6, 100.0, 0.001))
    assert not calm((100.0, 100.9, 99.5, 100.0))
    assert not calm((100.0, 101.0, 99.6, 100.0))


def test_the_clock_a_trail_the_last_bar_and_one_without_volume_are_looked_at_closely():
    assert not calm((100.0, 100.9, 99.6, 100.0, 0.0))
    assert not calm(last=True)
    assert (True, False, False) == tuple(calm(bars=held) for held in (18, 19, 20))
    assert not calm(trail=0.1)
    assert calm(horizon=math.inf)
