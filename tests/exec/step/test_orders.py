"""The life of an order in its slot: what is wanted of one becomes of it, field by field."""

import math

import pytest

from exec.step.orders import (
    arrive,
    carry_out,
    close_at_next,
    leave,
    may_fill,
    part_of,
    protect,
    release,
    trade,
    watch,
    write_fill,
)
from tests.market import NAN, TF, asked, instrument, params, row, smudged, told
from utils.codes import (
    CANCEL,
    CANCELLED,
    CLOSE,
    EARLY_STOP,
    ENTRY,
    FILLED,
    FLIP,
    FREE,
    LIMIT,
    LIVE,
    MAKER,
    MARKET,
    ON_REQUEST,
    PARTIAL,
    PLACE,
    POST_ONLY,
    QUOTE,
    REDUCE_ONLY,
    REPLACE,
    SENT,
    STOP,
    STOP_LOSS,
    STOP_MARKET,
    TAKE,
    TAKE_PROFIT,
    TAKER,
)
from utils.rows import ACCOUNT, FILL, ORDER, ORDER_SLOT, POSITION, TRADE

BUY, SELL = 1, -1
FEES = instrument(maker_bps=2.0, taker_bps=5.0)[0]
#: What an order is without brackets, before it has met a market.
BARE = {
    "limit": None, "trigger": None, "ahead": None, "arrival_price": None, "aimed": None, "fill_price": None,
    "take_bps": None, "stop": None, "horizon": math.inf, "patience": math.inf, "chase": None,
}  # fmt: skip


def account(**values):
    """An account that keeps every row."""
    kept = {f"keep_{name}": 1 for name in ("trades", "orders", "fills", "decisions", "equity")}
    return row(ACCOUNT, slots=7, **{**kept, **values})[0]


def carried(slot, intent, orders=4, waiting=2):
    """What an intent makes of a slot: account, position, and the row of an order that ends."""
    acc, p, order = account(orders=orders), row(POSITION, waiting=waiting)[0], smudged(ORDER)
    carry_out(acc, p, slot, intent[0], order)
    return acc, p, order


def placed(**values):
    """A slot with an order that has met the market and is half filled."""
    known = {
        "id": 9, "state": LIVE, "side": SELL, "kind": LIMIT, "role": QUOTE, "reason": ON_REQUEST, "qty": 6.0,
        "filled": 2.0, "leaves": 4.0, "limit": 101.0, "trigger": NAN, "decision_ts": TF, "decision_price": 99.9,
        "arrival_ts": 2 * TF, "arrival_price": 100.2, "aimed": 101.5, "fill_price": 101.4, "fees": 0.3, "waited": 2,
        "patience": 5.0,
    }  # fmt: skip
    return row(ORDER_SLOT, **{**known, **values})[0]


def test_an_order_that_is_placed_is_what_its_intent_says_and_has_no_past():
    slot = smudged(ORDER_SLOT)
    brackets = {
        "trigger": 103.0,
        "take_bps": 25.0,
        "stop": 0.002,
        "trail": 0.5,
        "horizon": 9.0,
        "patience": 3.0,
        "chase": NAN,
    }
    acc, p, _ = carried(slot, asked(SELL, 2.0, POST_ONLY, 101.0, at=3.0, price=100.5, reduce_only=1, **brackets))
    assert told(slot) == {
        **BARE, "id": 5, "state": SENT, "side": SELL, "kind": POST_ONLY, "role": QUOTE, "reduce_only": 1,
        "reason": ON_REQUEST, "qty": 2.0, "leaves": 2.0, "limit": 101.0, "decision_ts": 3 * TF,
        "decision_price": 100.5, **brackets, "chase": None,
    }  # fmt: skip
    assert (5, 3) == (acc.orders, p.waiting)


def test_order_numbers_count_up():
    acc, p = account(), row(POSITION)[0]
    slots = row(ORDER_SLOT).repeat(3)
    for slot, role in zip(slots, (ENTRY, QUOTE, CLOSE), strict=True):
        carry_out(acc, p, slot, asked(role=role)[0], smudged(ORDER))
    # what closes takes its number when it acts
    assert ([1, 2, 0], 2, 3) == (slots["id"].tolist(), acc.orders, p.waiting)


def test_a_replaced_order_has_another_price_and_rest_and_arrives_anew_and_keeps_its_past():
    slot = placed()
    before = told(slot)
    change = {"trigger": 99.0}
    acc, p, _ = carried(slot, asked(SELL, 1.5, LIMIT, 100.7, action=REPLACE, at=5.0, order_id=9, **change))
    after = told(slot)
    assert {name: after.get(name) for name in before if before[name] != after.get(name)} == {
        "state": SENT, "limit": 100.7, "qty": 3.5, "leaves": 1.5, "waited": None, **change,
    }  # fmt: skip
    assert (4, 2) == (acc.orders, p.waiting)


def test_a_cancelled_order_leaves_its_slot_free_and_its_whole_story_in_a_row():
    slot = placed()
    acc, p, order = carried(slot, asked(action=CANCEL, at=7.0, price=102.5, order_id=9, sym=3))
    assert told(order) == {
        "order_id": 9, "sym": 3, "side": SELL, "kind": LIMIT, "status": CANCELLED, "reason": ON_REQUEST, "role": QUOTE,
        "decision_ts": TF, "arrival_ts": 2 * TF, "end_ts": 7 * TF, "qty": 6.0, "filled_qty": 2.0,
        "decision_price": 99.9, "arrival_price": 101.5, "mid": 100.2, "fill_price": 101.4, "end_price": 102.5,
        "fees": 0.3,
    }  # fmt: skip
    assert (FREE, 1, 1) == (slot.state, p.waiting, acc.n_orders)


def test_an_order_that_nobody_keeps_ends_without_a_row():
    slot, acc, p, order = placed(), account(keep_orders=0), row(POSITION, waiting=2)[0], smudged(ORDER)
    carry_out(acc, p, slot, asked(action=CANCEL, order_id=9)[0], order)
    assert (FREE, 1, 0, 7) == (slot.state, p.waiting, acc.n_orders, order.order_id)


def test_an_order_meets_the_market_once():
    slot = placed(state=SENT, arrival_ts=0, arrival_price=NAN)
    arrive(slot, 3 * TF, 100.5)
    arrive(slot, 4 * TF, 100.9)
    assert (LIVE, 3 * TF, 100.5) == (slot.state, slot.arrival_ts, slot.arrival_price)
    slot.state = SENT  # replaced, it comes back
    arrive(slot, 5 * TF, 101.3)
    assert (LIVE, 3 * TF, 100.5) == (slot.state, slot.arrival_ts, slot.arrival_price)
    slot.state = FREE
    arrive(slot, 6 * TF, 101.3)
    assert FREE == slot.state


def test_matching_says_of_a_fill_what_it_knows():
    fill = row(FILL)[0]
    write_fill(fill, 3, SELL, 2.0, 99.5, 99.6, MAKER, 4 * TF, 5 * TF)
    assert told(fill) == {
        "sym": 3, "side": SELL, "liquidity": MAKER, "ts": 4 * TF, "seen_ts": 5 * TF, "qty": 2.0, "price": 99.5,
        "reference": 99.6,
    }  # fmt: skip


def quiet(side, take, stop, liq):
    """Between which prices nothing happens to a position with brackets in these states."""
    p = row(POSITION, side=side, liq=liq, floor=7.0, ceiling=7.0)[0]
    watch(p, row(ORDER_SLOT, state=take, limit=100.0 + side)[0], row(ORDER_SLOT, state=stop, trigger=100.0 - side)[0])
    return p.floor, p.ceiling


def test_nothing_happens_to_a_position_between_its_nearest_level_and_its_take():
    assert (99.0, 101.0) == quiet(BUY, LIVE, LIVE, 50.0)
    assert (99.5, 101.0) == quiet(BUY, LIVE, LIVE, 99.5)
    assert (50.0, math.inf) == quiet(BUY, FREE, FREE, 50.0)
    assert (99.0, 101.0) == quiet(SELL, LIVE, LIVE, 150.0)
    assert (99.0, 100.5) == quiet(SELL, LIVE, LIVE, 100.5)
    assert (-math.inf, 150.0) == quiet(SELL, FREE, FREE, 150.0)


@pytest.mark.parametrize(("side", "take", "stop"), [(BUY, 101.0, 99.5), (SELL, 99.0, 100.5)])
def test_an_entrys_brackets_lie_around_the_mean_price_and_are_in_the_market_at_once(side, take, stop):
    place = {"entry_price": 100.0, "entry_ts": 4 * TF, "liq": 100.0 - side * 50.0, "waiting": 1}
    p = row(POSITION, side=side, qty=side * 2.0, **place)[0]
    slots = smudged(ORDER_SLOT), smudged(ORDER_SLOT)
    slots[0].state = slots[1].state = FREE
    protect(p, row(ORDER_SLOT, take_bps=100.0, stop=0.005)[0], *slots, instrument()[0])
    both = {**BARE, "state": LIVE, "side": -side, "qty": 2.0, "leaves": 2.0, "decision_ts": 4 * TF}
    known = {"kind": LIMIT, "role": TAKE, "reason": TAKE_PROFIT, "limit": take, "decision_price": take}
    assert told(slots[0]) == {**both, **known}
    known = {"kind": STOP_MARKET, "role": STOP, "reason": STOP_LOSS, "trigger": stop, "decision_price": stop}
    assert told(slots[1]) == {**both, **known}
    assert (take, stop, 1) == (p.take_price, p.first_stop, p.waiting)
    assert sorted((take, stop)) == [p.floor, p.ceiling]


def test_with_a_position_go_its_brackets_and_a_close_that_waited():
    for close, waiting in ((SENT, 2), (FREE, 3)):
        p, slots = row(POSITION, waiting=3)[0], [placed(), placed(), placed(state=close)]
        release(p, *slots)
        assert ([FREE] * 3, waiting) == ([slot.state for slot in slots], p.waiting)


def test_a_close_is_a_market_order_for_all_there_is_and_waits_once():
    p, slot = row(POSITION, qty=-3.0, side=SELL, waiting=1)[0], smudged(ORDER_SLOT)
    slot.state = FREE
    for _ in range(2):
        close_at_next(p, slot, EARLY_STOP, 4 * TF, 100.5)
        assert told(slot) == {
            **BARE, "state": SENT, "side": BUY, "kind": MARKET, "role": CLOSE, "reduce_only": 1, "reason": EARLY_STOP,
            "qty": 3.0, "leaves": 3.0, "decision_ts": 4 * TF, "decision_price": 100.5,
        }  # fmt: skip
        assert 2 == p.waiting


def holding(side, qty=2.0, **values):
    """An account with a position entered at 100 as a taker, brackets and a close around it."""
    acc, p = account(entries=6, orders=8, fills=3), row(POSITION, waiting=1)[0]
    entry = placed(id=8, role=ENTRY, side=side, qty=qty, filled=0.0, leaves=qty, fees=0.0, take_bps=100.0, stop=0.005)
    slots = row(ORDER_SLOT).repeat(3)
    fill, journal = row(FILL)[0], (smudged(TRADE), smudged(ORDER))
    write_fill(fill, 3, side, qty, 100.0, 100.0, TAKER, 4 * TF, 4 * TF)
    trade(acc, p, *slots, entry, FEES, params()[0], fill, journal[0])
    for name, value in values.items():
        p[name] = value
    return acc, p, slots, fill, journal


@pytest.mark.parametrize(("side", "price"), [(BUY, 101.0), (SELL, 99.0)])
def test_the_order_that_ends_a_position_takes_a_number_and_the_fee_and_the_others_go(side, price):
    acc, p, slots, fill, (trip, order) = holding(side)
    close_at_next(p, slots[2], EARLY_STOP, 4 * TF, 100.0)
    write_fill(fill, 3, -side, 2.0, price, price + 0.1, MAKER, 5 * TF, 6 * TF)
    leave(acc, p, *slots, slots[0], FEES, params()[0], fill, trip, order, 100.7)
    fee = pytest.approx(price * 2.0 * 2e-4)
    assert told(order) == {
        "order_id": 9, "entry_no": 7, "sym": 3, "side": -side, "kind": LIMIT, "status": FILLED, "reason": TAKE_PROFIT,
        "role": TAKE, "decision_ts": 4 * TF, "arrival_ts": 5 * TF, "end_ts": 5 * TF, "qty": 2.0, "filled_qty": 2.0,
        "decision_price": price, "arrival_price": price + 0.1, "mid": price + 0.1, "fill_price": price,
        "end_price": 100.7, "fees": fee,
    }  # fmt: skip
    assert (fee, 9, 5) == (fill.fee, fill.order_id, fill.fill_id)
    assert ([FREE] * 3, 1, 9, 1) == (slots["state"].tolist(), p.waiting, acc.orders, acc.n_orders)
    assert (TAKE_PROFIT, pytest.approx(2.0 - 200.0 * 5e-4 - price * 2.0 * 2e-4)) == (trip.exit_reason, trip.net_pnl)


def test_a_close_keeps_the_number_and_the_arrival_it_has():
    acc, p, slots, fill, (trip, order) = holding(BUY)
    close_at_next(p, slots[2], EARLY_STOP, 4 * TF, 100.0)
    slots[2].id, slots[2].arrival_ts = 5, 5 * TF
    write_fill(fill, 3, SELL, 2.0, 100.0, 100.0, TAKER, 6 * TF, 6 * TF)
    leave(acc, p, *slots, slots[2], FEES, params()[0], fill, trip, order, 100.0)
    assert (5, 5 * TF, 6 * TF, 8, 1) == (order.order_id, order.arrival_ts, order.end_ts, acc.orders, p.waiting)


def test_brackets_follow_an_entry_and_an_order_that_stands_by_itself_brings_none():
    acc, p, slots, fill, (trip, _) = holding(BUY)
    assert ([LIVE, LIVE, FREE], 99.5, 101.0) == (slots["state"].tolist(), p.floor, p.ceiling)
    slots[1].trigger = 99.7  # moved
    write_fill(fill, 3, BUY, 2.0, 102.0, 102.0, TAKER, 5 * TF, 5 * TF)
    trade(acc, p, *slots, placed(side=BUY), FEES, params()[0], fill, trip)
    assert (4.0, 101.0, 99.7, 101.0) == (p.qty, p.entry_price, p.floor, slots[0].limit)
    write_fill(fill, 3, SELL, 4.0, 102.0, 102.0, TAKER, 5 * TF, 5 * TF)
    trade(acc, p, *slots, placed(reason=FLIP), FEES, params()[0], fill, trip)
    assert ([FREE] * 3, 0.0, FLIP) == (slots["state"].tolist(), p.qty, trip.exit_reason)


@pytest.mark.parametrize(
    ("held", "side", "qty", "part"),
    [(2.0, SELL, 3.0, 2.0), (2.0, SELL, 1.0, 1.0), (2.0, BUY, 3.0, 3.0), (-2.0, BUY, 3.0, 2.0), (0.0, BUY, 3.0, 3.0)],
)
def test_a_fill_against_a_position_is_parted_at_its_end(held, side, qty, part):
    p = row(POSITION, qty=held, side=int(math.copysign(1, held)) if held else 0)[0]
    assert part == part_of(p, placed(side=side), qty)


def reducible(held, **values):
    """How much of an order to sell 4 that only reduces may fill, and how it ends if it does not."""
    p = row(POSITION, qty=held, side=(held > 0) - (held < 0), waiting=1)[0]
    slot, order, acc = placed(**{"reduce_only": 1, **values}), smudged(ORDER), account()
    qty = may_fill(acc, p, slot, 3, 5 * TF, 100.7, order)
    known = (order.status, order.reason, order.end_ts, order.end_price, order.sym, order.entry_no)
    return qty, known if acc.n_orders else slot.state


def test_what_only_reduces_fills_what_there_is_to_reduce_and_ends_where_there_is_nothing():
    assert (4.0, LIVE) == reducible(9.0)
    assert (1.0, LIVE) == reducible(1.0)
    for held in (0.0, -9.0):
        assert (0.0, (PARTIAL, REDUCE_ONLY, 5 * TF, 100.7, 3, 0)) == reducible(held)
        assert (0.0, (CANCELLED, REDUCE_ONLY, 5 * TF, 100.7, 3, 0)) == reducible(held, filled=0.0)
        assert (4.0, LIVE) == reducible(held, reduce_only=0)


def test_an_intent_is_written_whole():
    (intent,) = asked(SELL, 2.0, LIMIT, 101.0, action=REPLACE, at=3.0, price=100.5, order_id=9, sym=2)
    assert told(intent) == {
        "action": REPLACE, "order_id": 9, "sym": 2, "side": SELL, "kind": LIMIT, "role": QUOTE, "reason": ON_REQUEST,
        "saw": None, "allowed": None, "ts": 3 * TF, "price": 100.5, "qty": 2.0, "limit": 101.0, "trigger": None,
        "take_bps": None, "stop": None, "horizon": math.inf, "patience": math.inf, "chase": None,
    }  # fmt: skip
    assert PLACE == asked()[0].action
