"""Prints, books and mark prices between bars: what they do to the orders and the position of a paper broker."""

import dataclasses
import math

import numpy as np
import pytest

from exec.engine import Engine
from exec.simulator import PaperBroker, default_params
from utils.codes import PRINT
from utils.rows import INSTRUMENT, MARKET_EVENT
from utils.types import Bar, BookSnapshot, Funding, Instrument, MarkPrice, Order, Quote, Trade

TF = 300_000_000_000
MS = 1_000_000
BTC = Instrument(
    "BTC", 0.1, 0.001, min_notional=5.0, maker_bps=0.0, taker_bps=0.0, maintenance=0.005, max_leverage=20.0
)
ETH = Instrument("ETH", 0.1, 0.001, maker_bps=0.0, taker_bps=0.0)


def bar(k, prices=(100.0, 100.0, 100.0, 100.0), symbol="BTC", volume=1e6):
    return Bar(symbol, "5m", k * TF, k * TF, *prices, volume)


def trade(ms, price, qty=10.0, symbol="BTC"):
    ts = TF + ms * MS
    return Trade(symbol, ts, ts + 7 * MS, price, qty, 1)


def book(ms, bid, ask):
    ts = TF + ms * MS
    return BookSnapshot("BTC", ts, ts + 7 * MS, ((bid, 1.0),), ((ask, 1.0),))


def mark(ms, price):
    return MarkPrice("BTC", TF + ms * MS, price)


def broker(*instruments, **values):
    params = default_params()
    for name, value in {"half_spread_bps": 0.0, "slippage_bps": 0.0, "impact": 0.0, **values}.items():
        params[name] = value
    one = PaperBroker(instruments or [BTC], params=params)
    for instrument in instruments or [BTC]:
        one.on_event(bar(1, symbol=instrument.symbol))
    return one


def test_an_entry_fills_at_the_next_event_and_its_brackets_stand_from_there():
    one = broker()
    one.open("BTC", "long", 1.0, take_bps=100.0, stop_bps=50.0)
    (fill,) = one.on_event(book(1, 99.9, 100.0)).fills
    assert (100.0, "taker", TF + MS, TF + 8 * MS, "ENTRY") == (
        fill.price,
        fill.liquidity,
        fill.ts,
        fill.ts_recv,
        fill.role,
    )
    position = one.positions["BTC"]
    assert (1.0, 99.5, 101.0, TF + MS) == (position.qty, position.stop, position.take, position.opened_ts)
    assert ["TAKE", "STOP"] == [order.role for order in one.orders]


@pytest.mark.parametrize("event", [trade(2, 99.5), book(2, 99.5, 99.6), mark(2, 99.5)], ids=["print", "book", "mark"])
def test_every_event_moves_the_mark_and_touches_the_stop(event):
    one = broker()
    one.open("BTC", "long", 1.0, stop_bps=50.0)
    one.on_event(trade(1, 100.0))
    (closed,) = one.on_event(event).closed
    assert ("STOP_LOSS", 99.5, TF + 2 * MS) == (closed.exit_reason, closed.exit_price, closed.exit_time)
    assert {} == one.positions


def test_equity_follows_the_mark_of_every_event():
    one = broker()
    one.open("BTC", "long", 2.0, stop_bps=500.0, take_bps=500.0)
    one.on_event(trade(1, 100.0))
    for event, equity in ((trade(2, 101.0), 10_002.0), (book(3, 101.4, 101.6), 10_003.0), (mark(4, 99.0), 9_998.0)):
        one.on_event(event)
        assert pytest.approx(equity) == one.equity
    ts = TF + 5 * MS
    one.on_event(Quote("BTC", ts, ts, 100.9, 1.0, 101.1, 1.0))
    assert pytest.approx(10_002.0) == one.equity


def test_bid_and_ask_rest_at_once_and_prints_fill_them_in_parts():
    one = broker()
    bid, ask = one.apply(
        [Order(0, "BTC", TF, 1, 2.0, "POST_ONLY", 99.5), Order(0, "BTC", TF, -1, 3.0, "LIMIT", 100.5)]
    ).orders
    one.on_event(trade(1, 100.0))
    (part,) = one.on_event(trade(2, 99.4, qty=0.75)).fills
    assert (bid.id, 0.75, 99.5, "maker") == (part.order_id, part.qty, part.price, part.liquidity)
    (rest,) = one.on_event(trade(3, 99.4, qty=5.0)).fills
    assert 1.25 == rest.qty
    decision = one.on_event(trade(4, 100.6, qty=50.0))
    assert [(-1, 2.0), (-1, 1.0)] == [(fill.side, fill.qty) for fill in decision.fills]
    (closed,) = decision.closed
    assert ("FLIP", 2.0, 99.5, 100.5) == (closed.exit_reason, closed.qty, closed.entry_price, closed.exit_price)
    assert -1.0 == one.positions["BTC"].qty
    assert ask.id == decision.fills[1].order_id


def test_a_post_only_order_that_would_take_is_rejected_and_one_that_rests_is_not():
    one = broker()
    one.apply([Order(0, "BTC", TF, 1, 1.0, "POST_ONLY", 100.0)])
    assert ["would_cross"] == [refusal.rule for refusal in one.on_event(book(1, 99.9, 100.0)).refusals]
    one.apply([Order(0, "BTC", TF, 1, 1.0, "POST_ONLY", 100.0)])
    one.on_event(book(2, 100.0, 100.1))
    assert () == one.on_event(book(3, 99.0, 99.1)).refusals
    assert 1 == len(one.orders)


def test_a_bar_of_events_that_were_seen_adds_its_close_and_its_time_alone():
    one = broker(horizon=2.0)
    one.open("BTC", "long", 1.0, stop_bps=50.0, take_bps=500.0, horizon=2)
    one.on_event(trade(1, 100.0))
    decision = one.on_event(bar(2, (100.0, 103.0, 90.0, 100.2)))
    assert ((), ()) == (decision.closed, decision.fills)
    assert pytest.approx(10_000.2) == one.equity
    (closed,) = one.on_event(bar(3, (100.2, 100.4, 100.1, 100.3))).closed
    assert ("TIME_LIMIT", 100.3) == (closed.exit_reason, closed.exit_price)


def test_a_bar_whose_close_is_beyond_the_stop_ends_the_position_there():
    one = broker()
    one.open("BTC", "long", 1.0, stop_bps=50.0)
    one.on_event(trade(1, 100.0))
    (closed,) = one.on_event(bar(2, (100.0, 100.0, 90.0, 99.0))).closed
    assert ("STOP_LOSS", 99.0, 2 * TF) == (closed.exit_reason, closed.exit_price, closed.exit_time)


def test_what_is_decided_between_bars_waits_for_the_next_event_or_the_next_open():
    one = broker()
    one.on_event(trade(1, 100.0))
    (order,) = one.open("BTC", "long", 1.0, stop_bps=100.0).orders
    assert (TF + MS, 100.0) == (order.ts, order.decision_price)
    assert () == one.on_event(bar(2, (100.0, 101.0, 99.9, 100.5))).fills
    (fill,) = one.on_event(bar(3, (100.7, 100.8, 100.6, 100.7))).fills
    assert (100.7, 2 * TF) == (fill.price, fill.ts)


def test_a_part_of_a_position_is_closed_and_the_rest_goes_on():
    one = broker()
    one.open("BTC", "long", 2.0, stop_bps=50.0, take_bps=500.0)
    one.on_event(trade(1, 100.0))
    (order,) = one.close("BTC", 0.5).orders
    assert (True, 0.5, "QUOTE") == (order.reduce_only, order.qty, order.role)
    decision = one.on_event(trade(2, 100.4))
    assert ((), 0.5) == (decision.closed, decision.fills[0].qty)
    assert 1.5 == one.positions["BTC"].qty
    assert [1.5, 1.5] == [bracket.qty for bracket in one.orders]
    assert pytest.approx(10_000.8) == one.equity
    assert pytest.approx(10_000.2) == one.cash
    (closed,) = one.on_event(trade(3, 99.5)).closed
    assert (2.0, pytest.approx((0.5 * 100.4 + 1.5 * 99.5) / 2.0)) == (closed.qty, closed.exit_price)
    assert 1.5 == one.drain().fills["qty"][-1]


def test_an_order_that_only_reduces_goes_when_there_is_nothing_left_to_reduce():
    one = broker()
    one.open("BTC", "long", 1.0, stop_bps=50.0)
    one.on_event(trade(1, 100.0))
    one.apply([Order(0, "BTC", TF + MS, -1, 1.0, "LIMIT", 102.0, reduce_only=True)])
    one.on_event(trade(2, 99.0))
    one.on_event(trade(3, 99.0))
    assert (() == one.orders, {} == one.positions) == (True, True)
    assert ["REDUCE_ONLY"] == [order.reason for order in named(one.drain().orders) if order.status == "CANCELLED"]


def named(rows):
    """Status and reason of ORDER rows in words."""
    from types import SimpleNamespace

    from utils.codes import ORDER_REASONS, STATUS_NAMES

    return [SimpleNamespace(status=STATUS_NAMES[row["status"]], reason=ORDER_REASONS[row["reason"]]) for row in rows]


def test_a_replaced_order_keeps_its_number_and_a_market_order_has_no_price_to_replace():
    one = broker()
    (order,) = one.apply([Order(0, "BTC", TF, 1, 1.0, "POST_ONLY", 99.0)]).orders
    (moved,) = one.replace(order.id, qty=2.0, price=99.57).orders
    assert (order.id, 2.0, 99.5) == (moved.id, moved.qty, moved.price)
    one.on_event(trade(1, 100.0))
    (fill,) = one.on_event(trade(2, 99.4)).fills
    assert (order.id, 99.5, 2.0) == (fill.order_id, fill.price, fill.qty)
    (order,) = one.apply([Order(0, "BTC", TF, 1, 1.0)]).orders
    assert ["no_limit"] == [refusal.rule for refusal in one.replace(order.id, price=98.0).refusals]
    assert ["unknown_order"] == [refusal.rule for refusal in one.replace(99, qty=1.0).refusals]
    with pytest.raises(ValueError, match="qty: expected a finite number above 0"):
        one.replace(order.id, qty=math.nan)


def test_more_orders_than_there_are_places_are_refused_by_name():
    one = PaperBroker([BTC], standing=1)
    one.on_event(bar(1))
    bid = Order(0, "BTC", TF, 1, 1.0, "LIMIT", 99.0)
    assert ["order_slots"] == [refusal.rule for refusal in one.apply([bid, bid]).refusals]


def test_a_limit_order_without_a_price_is_refused():
    one = broker()
    assert ["no_limit"] == [refusal.rule for refusal in one.apply([Order(0, "BTC", TF, 1, 1.0, "LIMIT")]).refusals]


def test_an_event_that_is_older_than_its_symbols_last_is_counted_and_passed_over():
    one = broker()
    one.on_event(trade(5, 101.0))
    one.open("BTC", "long", 1.0)
    assert () == one.on_event(trade(4, 90.0)).fills
    assert (1, 101.0) == (one.late, one.open("BTC", "short", 1.0).orders[0].decision_price)


def test_one_symbols_events_do_not_make_another_symbols_bar_old():
    one = broker(BTC, ETH)
    one.on_event(trade(1, 100.0))
    assert 1 == len(one.open("ETH", "long", 1.0).orders)


def test_brackets_grow_with_the_parts_of_their_entry():
    one = broker(entry_kind=2)
    one.open("BTC", "long", 2.0, kind="LIMIT", limit=99.5, stop_bps=50.0, take_bps=100.0)
    one.on_event(trade(1, 100.0))
    one.on_event(trade(2, 99.4, qty=0.5))
    assert (0.5, 99.0) == (one.positions["BTC"].qty, one.positions["BTC"].stop)
    one.on_event(trade(3, 99.4, qty=9.0))
    assert {"TAKE": 2.0, "STOP": 2.0} == {order.role: order.qty for order in one.orders}
    (closed,) = one.on_event(trade(4, 99.0)).closed
    assert (2.0, 99.0) == (closed.qty, closed.exit_price)


def flat_long(one, ms, qty=1.0):
    """A position without brackets."""
    one.apply([Order(0, "BTC", TF, 1, qty)])
    return one.on_event(trade(ms, 100.0))


def test_a_bracket_that_went_with_its_position_does_not_fill_for_the_next():
    one = broker(leverage=5.0)
    one.open("BTC", "short", 1.0, take_bps=500.0, stop_bps=500.0)
    one.on_event(bar(2))
    one.close("BTC")
    one.on_event(bar(3))
    one.apply([Order(0, "BTC", 3 * TF, 1, 10.0)])
    one.on_event(bar(4))
    (closed,) = one.on_event(bar(5, (96.0, 96.0, 50.0, 55.0))).closed
    assert ("LIQUIDATION", 80.0) == (closed.exit_reason, closed.exit_price)


def test_parts_of_a_lot_are_neither_sold_nor_lost():
    coarse = dataclasses.replace(BTC, lot_size=1.0, min_notional=0.0)
    one = broker(coarse)
    flat_long(one, 1, 2.0)
    assert ["min_notional"] == [refusal.rule for refusal in one.close("BTC", 0.6).refusals]
    (order,) = one.close("BTC", 1.6).orders
    assert 1.0 == order.qty
    one.apply([Order(0, "BTC", TF, 1, 10.0, "LIMIT", 99.0)])
    one.on_event(trade(2, 99.5))
    (fill,) = one.on_event(trade(3, 98.9, qty=9.6)).fills
    assert 9.0 == fill.qty


def test_a_bar_that_comes_after_the_prints_behind_it_is_time_alone():
    one = broker()
    one.open("BTC", "long", 1.0, stop_bps=50.0, take_bps=500.0, horizon=1)
    after = Trade("BTC", 2 * TF + MS, 2 * TF + MS, 101.0, 5.0, 1)
    one.on_event(trade(1, 100.0))
    one.on_event(after)
    assert () == one.on_event(bar(2, (100.0, 100.5, 90.0, 100.2))).closed
    assert pytest.approx(10_001.0) == one.equity
    (closed,) = one.on_event(Trade("BTC", 2 * TF + 2 * MS, 2 * TF + 2 * MS, 101.5, 5.0, 1)).closed
    assert ("TIME_LIMIT", 101.5) == (closed.exit_reason, closed.exit_price)


def test_a_book_of_one_side_trades_and_its_bar_does_not_trade_again():
    one = broker()
    one.apply([Order(0, "BTC", TF, 1, 1.0), Order(0, "BTC", TF, -1, 2.0, "LIMIT", 101.0)])
    ts = TF + MS
    one.on_event(BookSnapshot("BTC", ts, ts, (), ((100.1, 1.0),)))
    assert () == one.on_event(bar(2, (102.0, 103.0, 99.0, 100.0))).fills
    assert 1.0 == one.positions["BTC"].qty


def test_a_bar_beside_marks_alone_fills_orders():
    one = broker()
    one.apply([Order(0, "BTC", TF, 1, 1.0, "LIMIT", 99.0)])
    one.on_event(mark(1, 100.0))
    (fill,) = one.on_event(bar(2, (100.0, 100.0, 98.0, 99.0))).fills
    assert 99.0 == fill.price


def test_a_stop_of_ones_own_fills_whole_whatever_the_volume():
    one = broker(volume_cap=0.02)
    flat_long(one, 1)
    one.on_event(bar(2))
    one.apply([Order(0, "BTC", 2 * TF, -1, 1.0, "STOP_MARKET", reduce_only=True, trigger=95.0)])
    (closed,) = one.on_event(bar(3, (100.0, 100.0, 90.0, 90.0), volume=10.0)).closed
    assert (95.0, 1.0) == (closed.exit_price, closed.qty)


def test_funding_between_bars_is_paid_by_who_held_at_the_stamp():
    one = broker()
    flat_long(one, 1)
    one.on_event(Funding("BTC", TF + 50 * MS, 0.01))
    one.on_event(Funding("BTC", TF + 50 * MS, 0.01))
    one.close("BTC")
    (closed,) = one.on_event(trade(100, 100.0)).closed
    assert pytest.approx(1.0) == closed.funding


def test_a_venues_leverage_is_that_of_the_symbol_and_a_far_limit_counts_at_its_price():
    one = broker(dataclasses.replace(BTC, max_leverage=2.0), leverage=10.0)
    decision = one.apply([Order(0, "BTC", TF, 1, 150.0, "LIMIT", 99.0)] * 3)
    assert ([150.0, 50.0], 1) == ([order.qty for order in decision.orders], len(decision.refusals))
    one = broker(leverage=2.0)
    (order,) = one.apply([Order(0, "BTC", TF, -1, 500.0, "LIMIT", 1_000.0)]).orders
    assert 20.0 == order.qty


def test_an_order_of_nothing_and_a_price_of_nothing_are_refused():
    one = broker()
    assert ["no_limit"] == [
        refusal.rule for refusal in one.apply([Order(0, "BTC", TF, 1, 1.0, "LIMIT", 0.01)]).refusals
    ]
    with pytest.raises(ValueError, match="qty: expected a finite number above 0"):
        one.close("BTC", -1.0)
    with pytest.raises(ValueError, match="standing: expected a whole number from 0"):
        PaperBroker([BTC], standing=-1)


def test_a_market_order_into_next_to_no_volume_pays_the_cap_and_no_more():
    one = broker(impact=1.0, volume_cap=1e6)
    flat_long(one, 1)
    one.close("BTC")
    one.on_event(bar(2))
    (closed,) = one.on_event(bar(3, (100.0, 100.0, 90.0, 90.0), volume=1e-3)).closed
    assert 98.0 == closed.exit_price


def test_a_part_filled_order_that_is_cancelled_is_told():
    one = broker()
    (order,) = one.apply([Order(0, "BTC", TF, 1, 2.0, "LIMIT", 99.0)]).orders
    one.on_event(trade(1, 100.0))
    one.on_event(trade(2, 98.9, qty=0.5))
    assert (order.id,) == one.apply([], [order.id]).cancels


def test_small_prints_fill_a_large_order():
    one = broker()
    one.apply([Order(0, "BTC", TF, 1, 2.0, "LIMIT", 99.0)])
    one.on_event(trade(1, 100.0))
    assert [0.01] * 3 == [one.on_event(trade(2 + k, 98.9, qty=0.01)).fills[0].qty for k in range(3)]


def test_events_of_one_time_are_turned_one_by_one():
    one = Engine(np.array([BTC.row()], INSTRUMENT), default_params(), 10_000.0, keep=(), standing=2)
    events = np.zeros(50, MARKET_EVENT)
    events["ts"], events["kind"], events["price"], events["qty"] = TF, PRINT, 100.0, 1.0
    one.happen(events)
    assert (100.0, TF) == (one.positions[0].mark, one.positions[0].mark_ts)


def test_what_waits_when_the_data_end_expires_with_them():
    one = broker()
    one.on_event(trade(1, 100.0))
    (order,) = one.apply([Order(0, "BTC", TF, 1, 1.0, "LIMIT", 90.0)]).orders
    assert (order.id,) == one.on_event(bar(2), last=True).cancels
    (row,) = one.drain().orders
    assert (0, 2 * TF, 100.0, 0) == (row["sym"], row["end_ts"], row["end_price"], row["entry_no"])
    assert [("EXPIRED", "END_OF_DATA")] == [(told.status, told.reason) for told in named([row])]
