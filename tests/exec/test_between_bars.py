"""Orders and positions between bars: what prints, quotes and marks do to them, and what is obeyed of wishes."""

import math

import numpy as np
import pytest

from exec.engine import Engine
from tests.market import (
    FLAT,
    NAN,
    TF,
    after,
    asked,
    bars,
    ended,
    engine,
    experienced,
    instrument,
    marked,
    one_clock,
    only,
    params,
    printed,
    quoted,
    signals,
    standing,
    told,
)
from utils.codes import (
    CANCEL,
    CANCELLED,
    CLOSE,
    EARLY_STOP,
    ENTRY,
    FILLED,
    FREE,
    LIMIT,
    LIQUIDATION,
    LIVE,
    MAKER,
    MARKET,
    MIN_NOTIONAL,
    ON_REQUEST,
    ORDER_REASONS,
    PLACE,
    POST_ONLY,
    QUOTE,
    REJECTED,
    REPLACE,
    RULE_NAMES,
    SENT,
    STATUS_NAMES,
    STOP,
    STOP_LOSS,
    STOP_MARKET,
    TAKE,
    TAKE_PROFIT,
    TAKER,
    WOULD_CROSS,
)
from utils.compiled import compiled
from utils.rows import MARKET_EVENT

LONG, SHORT, SHUT = 1.0, -1.0, 0.0
BUY, SELL = 1, -1
FEES = instrument(maker_bps=2.0, taker_bps=5.0)
COSTS = {"slippage_bps": 10.0, "half_spread_bps": 20.0}
FAR = {"take_bps": 300.0, "stop_bps": 200.0}
SEEN = TF // 1000  # how much later an event is known


def happened(one, *events):
    """The engine once these events have happened."""
    one.happen(np.concatenate(events, dtype=MARKET_EVENT))
    return one


def entering(side=LONG, ins=None, par=None, standing=0):
    """An engine whose signal at the close of a first flat bar asked for 10."""
    one = experienced(engine(ins, par, standing=standing))
    one.run(bars(FLAT), signals(1, {0: side}))
    return one


def held(side=LONG, ins=None, par=None, standing=0):
    """An engine with a position of 10 since the print at 100 and time 1.2, brackets around it."""
    return happened(entering(side, ins, par, standing), printed(1.2, 100.0))


def whole(rows):
    """(filled quantity, status, reason) of every order, in the order they ended."""
    return [
        (float(o["filled_qty"]), STATUS_NAMES[o["status"]], ORDER_REASONS[o["reason"]]) for o in rows.orders
    ]  # fmt: skip


@pytest.mark.parametrize(("side", "paid"), [(LONG, 100.7), (SHORT, 99.9)])
def test_an_entry_fills_at_the_first_print_and_is_told_in_full(side, paid):
    # 30 bps of 100.3 are 0.3009, on the tick against us
    one = happened(entering(side, FEES, params(**COSTS, **FAR)), printed(1.2, 100.3))
    rows = one.drain()
    assert told(only(rows.fills)) == {
        "fill_id": 21, "order_id": 1, "entry_no": 7, "side": side, "liquidity": TAKER, "role": ENTRY,
        "ts": round(1.2 * TF), "seen_ts": round(1.2 * TF) + SEEN, "qty": 10.0, "price": paid, "reference": 100.3,
        "fee": pytest.approx(paid * 10.0 * 5e-4),
    }  # fmt: skip
    assert told(only(rows.orders)) == {
        "order_id": 1, "entry_no": 7, "side": side, "kind": MARKET, "status": FILLED, "role": ENTRY,
        "decision_ts": TF, "arrival_ts": round(1.2 * TF), "end_ts": round(1.2 * TF), "qty": 10.0, "filled_qty": 10.0,
        "decision_price": 100.0, "arrival_price": 100.3, "mid": 100.3, "fill_price": paid, "end_price": 100.3,
        "fees": pytest.approx(paid * 10.0 * 5e-4), "spread_cost": pytest.approx(2.006),
        "impact_cost": pytest.approx(1.994),
    }  # fmt: skip
    p = one.positions[0]
    assert (side * 10.0, 0, 100.3, round(1.2 * TF), TF) == (p.qty, p.waiting, p.mark, p.mark_ts, p.bar_ts)
    assert ([LIVE, LIVE], FREE) == (one.slots["state"][1:3].tolist(), one.slots[0].state)


def test_a_mark_or_an_empty_side_moves_at_most_the_mark_of_who_waits():
    one = happened(entering(), marked(1.1, 100.2))
    assert (SENT, 0, 100.2) == (one.slots[0].state, one.slots[0].arrival_ts, one.positions[0].mark)
    happened(one, quoted(1.2, 100.1, NAN))
    # it has met a market that shows nothing to take
    assert (LIVE, round(1.2 * TF), 100.2, round(1.2 * TF)) == (
        one.slots[0].state, one.slots[0].arrival_ts, one.positions[0].mark, one.positions[0].mark_ts,
    )  # fmt: skip
    assert 0 == len(one.drain().fills)


def test_a_taking_entry_fills_whole_and_a_resting_one_with_what_is_printed():
    rows = happened(entering(), printed(1.2, 100.0, 0.5)).drain()
    assert 10.0 == only(rows.fills)["qty"]
    one = happened(entering(par=params(entry_kind=LIMIT)), printed(1.1, 100.0, 3.0), printed(1.2, 99.9, 4.0))
    assert [(4.0, 100.0, MAKER)] == [(f["qty"], f["price"], f["liquidity"]) for f in one.drain().fills]
    entry = one.slots[0]
    assert (LIVE, 4.0, 6.0, 1) == (entry.state, entry.filled, entry.leaves, one.positions[0].waiting)
    assert (4.0, 4.0) == (one.slots[TAKE - 1].leaves, one.slots[STOP - 1].leaves)
    rows = happened(one, printed(1.3, 99.8, 9.0)).drain()
    assert [(10.0, "FILLED", "")] == whole(rows)
    order = only(rows.orders)
    assert (1, 7, round(1.3 * TF), round(1.1 * TF), 99.8) == tuple(
        order[name] for name in ("order_id", "entry_no", "end_ts", "arrival_ts", "end_price")
    )
    assert (10.0, 10.0, 0) == (one.positions[0].qty, one.slots[TAKE - 1].leaves, one.positions[0].waiting)


def test_an_entry_is_rejected_by_its_notional_or_where_it_would_cross_and_says_what_it_aimed_at():
    rejected = {
        "order_id": 1, "side": BUY, "status": REJECTED, "role": ENTRY, "decision_ts": TF, "mid": 99.0,
        "arrival_ts": round(1.2 * TF), "end_ts": round(1.2 * TF), "qty": 10.0, "decision_price": 100.0,
        "arrival_price": 99.0, "fill_price": None, "end_price": 99.0,
    }  # fmt: skip
    one = happened(entering(ins=instrument(min_notional=995.0)), printed(1.2, 99.0))
    assert told(only(one.drain().orders)) == {**rejected, "kind": MARKET, "reason": MIN_NOTIONAL}
    assert (FREE, 0, 0.0) == (one.slots[0].state, one.positions[0].waiting, one.positions[0].qty)
    one = happened(entering(par=params(entry_kind=POST_ONLY)), printed(1.2, 99.0))
    assert told(only(one.drain().orders)) == {**rejected, "kind": POST_ONLY, "reason": WOULD_CROSS}
    assert (FREE, 0, 0.0) == (one.slots[0].state, one.positions[0].waiting, one.positions[0].qty)
    assert 1 == len(happened(entering(ins=instrument(min_notional=1000.0)), printed(1.2, 100.0)).drain().fills)


def test_what_is_left_of_an_entry_fills_however_small_it_is():
    venue, par = instrument(min_notional=500.0), params(entry_kind=LIMIT)
    one = happened(entering(ins=venue, par=par), printed(1.1, 100.0), printed(1.2, 99.9, 9.0), printed(1.3, 99.9))
    assert [9.0, 1.0] == one.drain().fills["qty"].tolist()


@pytest.mark.parametrize(("side", "paid"), [(LONG, 99.4), (SHORT, 100.7)])
def test_a_close_that_waits_fills_at_the_first_print_and_is_told_in_full(side, paid):
    one = held(side, FEES, params(**COSTS, **FAR))
    one.drain()
    one.run(bars(FLAT, first=1), signals(1, {0: SHUT}))
    happened(one, marked(2.1, 100.1), quoted(2.15, *((NAN, 100.1) if side > 0 else (99.9, NAN))))
    assert (SENT, 1) == (one.slots[CLOSE - 1].state, one.positions[0].waiting)
    at = 99.7 if side > 0 else 100.3
    rows = happened(one, printed(2.2, at)).drain()
    fee = pytest.approx(paid * 10.0 * 5e-4, rel=1e-9)
    assert told(only(rows.orders)) == {
        "order_id": 2, "entry_no": 7, "side": -side, "kind": MARKET, "status": FILLED, "reason": EARLY_STOP,
        "role": CLOSE, "decision_ts": 2 * TF, "arrival_ts": round(2.2 * TF), "end_ts": round(2.2 * TF), "qty": 10.0,
        "filled_qty": 10.0, "decision_price": 100.0, "arrival_price": at, "mid": at, "fill_price": paid,
        "end_price": at, "fees": fee, "spread_cost": pytest.approx(0.02 * at),
        "impact_cost": pytest.approx(10.0 * abs(paid - at) - 0.02 * at),
    }  # fmt: skip
    assert told(only(rows.fills)) == {
        "fill_id": 22, "order_id": 2, "entry_no": 7, "side": -side, "liquidity": TAKER, "role": CLOSE,
        "ts": round(2.2 * TF), "seen_ts": round(2.2 * TF) + SEEN, "qty": 10.0, "price": paid, "reference": at,
        "fee": fee,
    }  # fmt: skip
    assert ("EARLY_STOP", paid, 2.2) == ended(only(rows.trades))
    assert (0.0, 0, [FREE] * 4) == (one.positions[0].qty, one.positions[0].waiting, one.slots["state"][:4].tolist())


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_take_fills_by_a_print_through_it_and_is_told_in_full(side):
    one = held(side, FEES)
    one.drain()
    at, beyond = 100.0 + side, 100.0 + side * 1.1
    rows = happened(one, printed(1.4, beyond, 0.5)).drain()
    assert told(only(rows.orders)) == {
        "order_id": 2, "entry_no": 7, "side": -side, "kind": LIMIT, "status": FILLED, "reason": TAKE_PROFIT,
        "role": TAKE, "decision_ts": round(1.2 * TF), "arrival_ts": round(1.4 * TF), "end_ts": round(1.4 * TF),
        "qty": 10.0, "filled_qty": 10.0, "decision_price": at, "arrival_price": at, "mid": at, "fill_price": at,
        "end_price": beyond, "fees": pytest.approx(at * 10.0 * 2e-4),
    }  # fmt: skip
    fill = only(rows.fills)
    assert (-side, 10.0, at, at, MAKER, round(1.4 * TF), round(1.4 * TF) + SEEN) == tuple(
        fill[name] for name in ("side", "qty", "price", "reference", "liquidity", "ts", "seen_ts")
    )
    assert ([FREE] * 4, 0) == (one.slots["state"].tolist(), one.positions[0].waiting)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_mark_fires_the_stop_and_it_is_told_in_full(side):
    one = held(side, FEES)
    one.drain()
    at = 100.0 - side * 0.7
    order = only(happened(one, marked(1.4, at)).drain().orders)
    assert told(order) == {
        "order_id": 2, "entry_no": 7, "side": -side, "kind": STOP_MARKET, "status": FILLED, "reason": STOP_LOSS,
        "role": STOP, "decision_ts": round(1.2 * TF), "arrival_ts": round(1.4 * TF), "end_ts": round(1.4 * TF),
        "qty": 10.0, "filled_qty": 10.0, "decision_price": 100.0 - side * 0.5, "arrival_price": at, "mid": at,
        "fill_price": at, "end_price": at, "fees": pytest.approx(at * 10.0 * 5e-4),
    }  # fmt: skip
    assert ([FREE] * 4, 0) == (one.slots["state"].tolist(), one.positions[0].waiting)


def test_the_venue_takes_a_position_without_brackets_over_at_a_mark():
    one = standing(asked(BUY, 10.0), ins=instrument(maintenance=0.0, max_leverage=8.0))
    rows = happened(one, printed(1.2, 100.0), marked(1.4, 87.5)).drain()
    assert ("LIQUIDATION", 87.5, 1.4) == ended(only(rows.trades))
    order = rows.orders[1]
    assert (LIQUIDATION, STOP, 87.5, SELL) == tuple(order[n] for n in ("reason", "role", "decision_price", "side"))


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_position_of_one_unit_is_closed_and_stopped_as_any_other(side):
    one = held(side, par=params(fixed_notional=100.0))
    assert ("STOP_LOSS", at := 100.0 - side * 0.5, 1.4) == ended(only(happened(one, marked(1.4, at)).drain().trades))
    one = held(side, par=params(fixed_notional=100.0))
    one.run(bars(FLAT, first=1), signals(1, {0: SHUT}))
    assert ("EARLY_STOP", 100.1, 2.2) == ended(only(happened(one, printed(2.2, 100.1)).drain().trades))


def test_an_entry_can_be_stopped_by_the_event_that_fills_it():
    rows = happened(entering(par=params(half_spread_bps=100.0)), printed(1.2, 100.0)).drain()
    assert ("STOP_LOSS", 99.0, 1.2) == ended(only(rows.trades))


def test_every_event_but_an_empty_book_moves_the_mark():
    one = held()
    seen = []
    for event in (printed(1.3, 100.2), quoted(1.4, 100.2, 100.4), marked(1.5, 100.1), quoted(1.6, NAN, 100.4)):
        p = happened(one, event).positions[0]
        seen.append((round(float(p.mark), 1), p.mark_ts))
    times = [round(at * TF) for at in (1.3, 1.4, 1.5, 1.6)]
    assert list(zip([100.2, 100.3, 100.1, 100.1], times, strict=True)) == seen
    assert pytest.approx(10_001.0) == one.account[0].equity


def test_an_event_is_its_own_symbols_alone():
    venue = instrument().repeat(2)
    one = Engine(venue, params(), 10_000.0, standing=2)
    one.run(one_clock(bars(FLAT), bars(FLAT, sym=1)), signals(2, {0: LONG, 1: SHORT}))
    one.obey(np.concatenate([asked(BUY, 1.0), asked(BUY, 2.0, sym=1)]))
    happened(one, printed(1.2, 100.0, sym=1))
    assert ([0.0, -8.0], [0.0, 100.0]) == (
        one.positions["qty"].tolist(),
        [float(p.mark) if p.mark_ts > TF else 0.0 for p in one.positions],
    )
    one.run(one_clock(bars(FLAT, first=1), bars(FLAT, first=1, sym=1)), signals(2, {1: SHUT}))
    happened(one, printed(2.2, 100.0, sym=1))
    assert [11.0, 0.0] == one.positions["qty"].tolist()


# Orders that stand by themselves, between bars


def test_an_order_of_ones_own_fills_at_the_first_print_and_is_told_in_full():
    one = happened(standing(asked(SELL, 10.0), ins=FEES, par=params(**COSTS)), marked(1.1, 100.0), printed(1.2, 100.3))
    rows = one.drain()
    fee = pytest.approx(999.0 * 5e-4)
    assert told(only(rows.fills)) == {
        "fill_id": 21, "order_id": 1, "entry_no": 7, "side": SELL, "liquidity": TAKER, "role": QUOTE,
        "ts": round(1.2 * TF), "seen_ts": round(1.2 * TF) + SEEN, "qty": 10.0, "price": 99.9, "reference": 100.3,
        "fee": fee,
    }  # fmt: skip
    assert told(only(rows.orders)) == {
        "order_id": 1, "entry_no": 7, "side": SELL, "kind": MARKET, "status": FILLED, "role": QUOTE,
        "decision_ts": TF, "arrival_ts": round(1.2 * TF), "end_ts": round(1.2 * TF), "qty": 10.0, "filled_qty": 10.0,
        "decision_price": 100.0, "arrival_price": 100.3, "mid": 100.3, "fill_price": 99.9, "end_price": 100.3,
        "fees": fee, "spread_cost": pytest.approx(2.006), "impact_cost": pytest.approx(1.994),
    }  # fmt: skip


def test_a_print_is_shared_by_those_who_rest_and_takers_need_none_of_it():
    one = standing(
        asked(BUY, 3.0, LIMIT, 99.6), asked(BUY, 3.0, LIMIT, 99.5), asked(BUY, 7.0, STOP_MARKET, trigger=99.0), places=3
    )
    happened(one, printed(1.1, 99.7))
    assert [LIVE, LIVE, FREE] == one.slots["state"][4:].tolist()
    one.drain()
    rows = happened(one, printed(1.2, 99.4, 4.0)).drain()
    assert [(3.0, 99.6), (1.0, 99.5)] == [(f["qty"], f["price"]) for f in rows.fills]
    assert (2.0, 1.0) == (one.slots[5].leaves, one.slots[5].filled)
    rows = happened(one, printed(1.3, 99.4, 9.0)).drain()
    order = only(rows.orders)
    assert (3.0, 99.5, 2, 7, round(1.3 * TF)) == tuple(
        order[name] for name in ("filled_qty", "fill_price", "order_id", "entry_no", "end_ts")
    )


def test_a_taker_before_a_resting_order_leaves_the_print_to_it():
    one = standing(asked(BUY, 3.0, LIMIT, 99.5))
    happened(one, printed(1.1, 99.7))
    one.obey(asked(BUY, 9.0, at=1.1))
    one.slots[[4, 5]] = one.slots[[5, 4]]  # the taker first
    assert [9.0, 3.0] == happened(one, printed(1.2, 99.4, 3.0)).drain().fills["qty"].tolist()


def test_a_mark_does_nothing_to_orders_of_ones_own_and_a_quote_is_their_arrival():
    one = happened(standing(asked(BUY, 1.0, POST_ONLY, 99.5), asked(BUY, 1.0)), marked(1.1, 99.0))
    assert ([SENT, SENT], [0, 0]) == (one.slots["state"][4:].tolist(), one.slots["arrival_ts"][4:].tolist())
    happened(one, quoted(1.2, 99.6, 99.8))
    slot = one.slots[4]
    assert (LIVE, round(1.2 * TF), 99.7) == (slot.state, slot.arrival_ts, round(float(slot.arrival_price), 9))
    fill = only(one.drain().fills)
    assert (99.8, TAKER, 1.0) == (fill["price"], fill["liquidity"], fill["qty"])


def test_a_post_only_order_that_a_quote_crosses_is_rejected():
    one = happened(standing(asked(BUY, 1.0, POST_ONLY, 99.8)), quoted(1.2, 99.6, 99.8))
    order = only(one.drain().orders)
    assert (REJECTED, WOULD_CROSS, 99.8, round(1.2 * TF), 0.0, 0) == tuple(
        order[name] for name in ("status", "reason", "arrival_price", "end_ts", "filled_qty", "entry_no")
    )
    assert (FREE, 0) == (one.slots[4].state, one.positions[0].waiting)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_one_order_turns_a_position_round_between_bars(side):
    one = happened(standing(asked(side, 10.0), ins=FEES), printed(1.2, 100.0))
    one.obey(asked(-side, 25.0, at=1.2))
    rows = happened(one, printed(1.3, 101.0)).drain()
    assert [(10.0, 7), (10.0, 7), (15.0, 8)] == [(f["qty"], f["entry_no"]) for f in rows.fills]
    assert ("FLIP", 101.0, 1.3) == ended(only(rows.trades))
    assert [(10.0, "FILLED", ""), (25.0, "FILLED", "")] == whole(rows)
    assert -side * 15.0 == one.positions[0].qty


def test_what_only_reduces_ends_at_an_event_that_finds_nothing_to_reduce():
    one = happened(standing(asked(SELL, 1.0, LIMIT, 101.0, reduce_only=1)), printed(1.2, 101.5))
    order = only(one.drain().orders)
    assert (CANCELLED, "REDUCE_ONLY", round(1.2 * TF), 101.5, 0) == (
        order["status"], ORDER_REASONS[order["reason"]], order["end_ts"], order["end_price"], one.positions[0].waiting,
    )  # fmt: skip
    # and does not end twice
    assert (0, 0) == (len(happened(one, printed(1.3, 101.5)).drain().orders), one.positions[0].waiting)


@pytest.mark.parametrize("kind", [MARKET, POST_ONLY])
@pytest.mark.parametrize("by_bar", [True, False])
def test_what_would_take_and_only_reduces_ends_once_where_there_is_nothing(kind, by_bar):
    one = standing(asked(SELL, 1.0, kind, 99.0 if kind == POST_ONLY else NAN, reduce_only=1))
    one = after(one, FLAT) if by_bar else happened(one, printed(1.2, 100.0))
    assert [(0.0, "CANCELLED", "REDUCE_ONLY")] == whole(one.drain())
    assert (FREE, 0, 0.0) == (one.slots[4].state, one.positions[0].waiting, one.positions[0].qty)


def test_an_entry_against_what_an_order_of_ones_own_opened_is_parted_at_its_end():
    one = happened(standing(asked(BUY, 4.0)), printed(1.2, 100.0))
    one.run(bars(FLAT, first=1), signals(1, {0: SHORT}))
    rows = happened(one, printed(2.2, 100.0)).drain()
    # the flip closes the 4 first, then 10 are sold
    assert [(4.0, BUY), (4.0, SELL), (10.0, SELL)] == [(f["qty"], f["side"]) for f in rows.fills]
    assert -10.0 == one.positions[0].qty


# Wishes


def refused(intent):
    """The rule that refused, what it saw and what it allows."""
    return RULE_NAMES[intent.rule], float(intent.saw), float(intent.allowed)


def test_a_wish_that_is_obeyed_learns_its_orders_number():
    one, wishes = standing(), np.concatenate([asked(BUY, 1.0, LIMIT, 99.0), asked(SELL, 1.0, LIMIT, 101.0)])
    one.obey(wishes)
    assert ([1, 2], [0, 0]) == (wishes["order_id"].tolist(), wishes["rule"].tolist())
    assert ([BUY, SELL], 2, 0) == (one.slots["side"][4:].tolist(), one.positions[0].waiting, one.account[0].refused)


def test_there_are_so_many_places_and_no_more():
    one, wishes = standing(asked(BUY, 1.0, LIMIT, 99.0), asked(SELL, 1.0, LIMIT, 101.0)), asked(BUY, 1.0)
    one.obey(wishes)
    assert ("order_slots", 2.0, 2.0) == refused(wishes[0])
    assert (2, 1, 2) == (one.account[0].orders, one.account[0].refused, one.positions[0].waiting)


@pytest.mark.parametrize("action", [REPLACE, CANCEL])
@pytest.mark.parametrize("number", [0, 9, -1])
def test_an_order_that_is_not_there_is_neither_changed_nor_cancelled(action, number):
    one, wishes = standing(asked(BUY, 1.0, LIMIT, 99.0)), asked(action=action, order_id=number)
    before = one.slots.tobytes()
    one.obey(wishes)
    assert ("unknown_order", 0.0, 1.0) == refused(wishes[0])
    assert (before, 1) == (one.slots.tobytes(), one.account[0].refused)


@pytest.mark.parametrize("action", [REPLACE, CANCEL])
def test_what_has_no_number_yet_cannot_be_named(action):
    one, wishes = held(standing=1), asked(action=action, order_id=0)
    one.obey(wishes)
    assert ("unknown_order", [LIVE, LIVE]) == (refused(wishes[0])[0], one.slots["state"][1:3].tolist())


def test_an_order_that_has_ended_is_not_there_though_its_place_remembers_it():
    one = standing(asked(BUY, 1.0, LIMIT, 99.0))
    for expected in ("", "unknown_order"):
        wishes = asked(action=CANCEL, order_id=1)
        one.obey(wishes)
        assert expected == refused(wishes[0])[0]
    assert [(0.0, "CANCELLED", "ON_REQUEST")] == whole(one.drain())


def test_the_entry_of_a_signal_can_be_cancelled_by_its_number():
    one = entering(par=params(entry_kind=LIMIT), standing=1)
    one.obey(asked(action=CANCEL, order_id=1))
    order = only(one.drain().orders)
    assert (CANCELLED, ON_REQUEST, ENTRY) == (order["status"], order["reason"], order["role"])
    assert (FREE, 0) == (one.slots[0].state, one.positions[0].waiting)


def test_of_two_symbols_each_has_its_own_places():
    one = Engine(instrument().repeat(2), params(), 10_000.0, standing=2)
    one.run(one_clock(bars(FLAT), bars(FLAT, sym=1)), signals(2, {}))
    one.obey(np.concatenate([asked(BUY, 1.0, sym=1), asked(BUY, 1.0, LIMIT, 99.0), asked(SELL, 2.0, sym=1)]))
    assert [0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 3] == one.slots["id"].tolist()
    assert [1, 2] == one.positions["waiting"].tolist()
    wishes = asked(action=CANCEL, order_id=3)  # of the other symbol
    one.obey(wishes)
    assert "unknown_order" == refused(wishes[0])[0]


def test_a_wish_to_close_has_one_place_of_its_own():
    one = held(standing=1)
    wishes = np.concatenate([asked(SELL, 10.0, role=CLOSE, reduce_only=1, reason=EARLY_STOP)] * 2)
    one.obey(wishes)
    assert ["", "order_slots"] == [refused(wish)[0] for wish in wishes]
    assert (SENT, FREE) == (one.slots[CLOSE - 1].state, one.slots[4].state)
    assert ("EARLY_STOP", 100.1, 1.5) == ended(only(happened(one, printed(1.5, 100.1)).drain().trades))


def test_a_wish_is_brought_under_the_leverage_and_on_the_lot():
    one, wishes = standing(par=params(leverage=3.0)), asked(BUY, 1_000.0)
    one.obey(wishes)
    assert (300.0, 300.0) == (wishes[0].qty, one.slots[4].qty)
    # what waits counts, and a wish is worth what the market says
    wishes = asked(SELL, 1.0, price=50.0)
    one.obey(wishes)
    assert ("max_leverage", 3.0, 3.0) == refused(wishes[0])
    one, wishes = standing(asked(BUY, 299.0), par=params(leverage=3.0)), asked(BUY, 9.0, price=99.0)
    one.obey(wishes)
    assert 1.0 == wishes[0].qty  # 100 quote are left
    one, wishes = standing(ins=instrument(max_leverage=2.0)), asked(BUY, 1_000.0, price=50.0)
    one.obey(wishes)
    assert 200.0 == wishes[0].qty


def test_a_wish_below_the_least_notional_or_a_lot_is_refused_and_says_why():
    one, wishes = standing(ins=instrument(min_notional=100.0)), asked(BUY, 0.5)
    one.obey(wishes)
    assert ("min_notional", 50.0, 100.0) == refused(wishes[0])
    for bad in (asked(BUY, -5.0), asked(BUY, NAN), asked(3, 1.0), asked(BUY, 1.0, LIMIT)):
        one.obey(bad)
        assert "unsound_order" == refused(bad[0])[0]
    one, wishes = standing(ins=instrument(lot=2.0, per_lot=0.0)), asked(BUY, 1.5)
    one.obey(wishes)
    assert ("min_notional", 0.0, 200.0) == refused(wishes[0])
    one, wishes = standing(ins=instrument(min_notional=100.0)), asked(BUY, 1.0)
    one.obey(wishes)
    assert "" == refused(wishes[0])[0]


def test_the_guard_is_asked_of_what_may_add_and_not_of_what_only_reduces():
    one = held(par=params(max_positions=1), standing=3)
    second = instrument().repeat(2)
    wishes = np.concatenate([asked(SELL, 4.0, reduce_only=1), asked(BUY, 1.0)])
    one.obey(wishes)
    assert ["", "max_positions"] == [refused(wish)[0] for wish in wishes]
    assert (4.0, 1, 1.0) == (one.slots[4].qty, one.slots[4].reduce_only, refused(wishes[1])[1])
    assert 2 == len(second)


def test_a_change_asks_no_guard_but_stays_under_the_caps():
    one = standing(asked(BUY, 1.0, LIMIT, 99.0), par=params(max_positions=1))
    wishes = asked(BUY, 5_000.0, limit=98.0, action=REPLACE, order_id=1)
    one.obey(wishes)
    assert ("", 1_000.0, 98.0, SENT) == (refused(wishes[0])[0], *one.slots[4][["leaves", "limit", "state"]])


def test_the_stop_of_the_settings_is_what_the_guard_hears_of_a_wish():
    # 100 bps against a stop of 50, a tick of 10 bps each time it crosses: 7 wins in 16; nothing is known of this one
    par = params(veto_break_even=1, nan_refuses=1)
    one, wishes = standing(par=par), asked(BUY, 1.0)
    one.obey(wishes)
    rule, saw, allowed = refused(wishes[0])
    assert ("break_even", pytest.approx(7.0 / 16.0)) == (rule, allowed)
    assert math.isnan(saw)


# A quoting step


@compiled
def both_sides(acc, p, ins, par, row, orders, memory, out):
    """Quotes 1 at both sides of the last price: half a quote away, moved with it, at first in a second call."""
    memory.bars += 1
    if memory.bars < 2:
        return 0
    n = 0
    for side in (1, -1):
        here = orders[4] if side > 0 else orders[5]
        out[n].action = 1 if here.state == 0 else 2
        out[n].order_id = here.id
        out[n].sym = row.sym
        out[n].side = side
        out[n].kind = 2
        out[n].role = 5
        out[n].reduce_only = 0
        out[n].reason = 15
        out[n].ts = row.ts
        out[n].price = p.mark
        out[n].qty = 1.0
        out[n].limit = p.mark - side * 0.5
        out[n].trigger = math.nan
        out[n].patience = math.inf
        n += 1
    return n


def test_a_quoting_step_is_asked_after_each_row_of_each_symbol():
    two = instrument().repeat(2)
    one = Engine(two, params(), 10_000.0, standing=2, quoting=both_sides)
    clock = one_clock(*(bars(FLAT, FLAT, (100.0, 100.0, 99.4, 99.6), sym=s) for s in range(2)))
    one.run(clock, signals(6, {}))
    assert [3, 3] == one.memory["bars"].tolist()
    rows = one.drain()
    assert [(0, BUY, 99.5), (1, BUY, 99.5)] == [(f["sym"], f["side"], f["price"]) for f in rows.fills]
    # the bought side is quoted anew, the other follows the price
    assert [(99.1, BUY), (100.1, SELL)] * 2 == [
        (round(float(slot.limit), 1), slot.side) for s in range(2) for slot in one.slots[6 * s + 4 : 6 * s + 6]
    ]
    assert [5, 2, 6, 4] == [slot.id for s in range(2) for slot in one.slots[6 * s + 4 : 6 * s + 6]]
    one.happen(np.concatenate([printed(3.1, 99.6), printed(3.2, 99.0)], dtype=MARKET_EVENT))
    assert [5, 3] == one.memory["bars"].tolist()
    # moved to 99.1 after the first print, it arrives anew beyond the second
    assert [(0, BUY, 99.0, TAKER)] == [(f["sym"], f["side"], f["price"], f["liquidity"]) for f in one.drain().fills]
    assert PLACE == one.intents[0].action


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_of_a_book_half_its_spread_lies_between_the_mid_and_what_a_taker_pays(side):
    par = params(half_spread_bps=20.0, slippage_bps=10.0, **FAR)
    rows = happened(entering(side, FEES, par), quoted(1.2, 100.0, 100.6)).drain()
    order, paid = only(rows.orders), 100.8 if side > 0 else 99.9  # 10 bps on 100.6, or on 100, on the tick against us
    assert (paid, 100.3) == (order.fill_price, order.mid)
    assert (pytest.approx(3.0), pytest.approx(10.0 * abs(paid - 100.3) - 3.0)) == (order.spread_cost, order.impact_cost)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_who_leaves_by_a_book_arrives_at_its_mid(side):
    one = held(side, FEES, params(half_spread_bps=20.0, **FAR))
    one.drain()
    one.run(bars(FLAT, first=1), signals(1, {0: SHUT}))
    order = only(happened(one, quoted(2.2, 100.0, 100.6)).drain().orders)
    assert (100.0 if side > 0 else 100.6, pytest.approx(100.3)) == (order.fill_price, order.mid)
    assert (pytest.approx(3.0), pytest.approx(0.0)) == (order.spread_cost, order.impact_cost)
    assert (0.0, 0.0) == (one.positions[0].bid, one.positions[0].ask)


def test_of_a_book_with_an_empty_side_the_distance_beyond_its_best_price_is_all_that_is_known():
    order = only(happened(entering(par=params(half_spread_bps=20.0)), quoted(1.2, NAN, 100.6)).drain().orders)
    assert (0.0, 0.0) == (order.spread_cost, order.impact_cost)
