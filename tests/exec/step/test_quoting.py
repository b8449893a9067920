"""A strategy's own step after each row: it quotes both sides, moves its quotes, and risk is asked before they act."""

import math

import numpy as np
import pytest

from exec.engine import Engine
from exec.step.quoting import obey, wish
from tests.market import FLAT, NAN, TF, bars, instrument, params, row, signals, wander
from utils.codes import (
    CANCEL,
    CANCELLED,
    CLOSE,
    EXIT_NAMES,
    FILLED,
    FREE,
    KIND_NAMES,
    LIMIT,
    MARKET,
    NO_ORDER,
    NO_SLOT,
    ON_REQUEST,
    ORDER_REASONS,
    PLACE,
    POST_ONLY,
    REPLACE,
    RULE_NAMES,
    SENT,
    STATUS_NAMES,
    TOO_SMALL,
)
from utils.compiled import compiled
from utils.rows import INTENT

MEMORY = [("step", np.int64)]


@compiled
def both_sides(acc, p, ins, par, row, orders, memory, out):
    """Keep one bid and one ask three ticks from the close: cancel what stands, place anew."""
    count = 0
    for k in range(4, len(orders)):
        if orders[k].state >= SENT:
            wish(out[count], CANCEL, row.sym, 1, LIMIT, 0.0, math.nan, row.ts, row.close, orders[k].id)
            count += 1
    for side in (1, -1):
        limit = round(row.close / ins.tick) * ins.tick - side * 3 * ins.tick
        wish(out[count], PLACE, row.sym, side, POST_ONLY, 1.0, limit, row.ts, row.close, 0)
        count += 1
    memory.step += 1
    return count


@compiled
def silent(acc, p, ins, par, row, orders, memory, out):
    """Want nothing."""
    return 0


def quoted(rows, quoting, *, standing=4, par=None, ins=None):
    """An engine with a quoting step, and what it journals."""
    memory = np.zeros(1, MEMORY).view(np.recarray)
    one = Engine(
        instrument() if ins is None else ins, params() if par is None else par, 10_000.0,
        standing=standing, quoting=quoting, memory=memory,
    )  # fmt: skip
    one.run(rows, signals(len(rows), {}))
    return one, one.drain()


def test_bid_and_ask_stand_at_once_and_each_is_filled_at_its_own_price():
    rows = bars(FLAT, (100.0, 100.5, 99.5, 100.0))
    one, journal = quoted(rows, both_sides)
    assert [(1, 99.7), (-1, 100.3)] == [(fill.side, fill.price) for fill in journal.fills]
    assert [FILLED, FILLED] == [order.status for order in journal.orders]
    assert pytest.approx(0.6) == journal.trades[0].gross_pnl
    assert 2 == one.memory[0]["step"]


def test_quotes_that_are_not_reached_are_cancelled_and_placed_anew():
    _, journal = quoted(bars(FLAT, FLAT, FLAT), both_sides)
    assert [(CANCELLED, ON_REQUEST)] * 4 == [(order.status, order.reason) for order in journal.orders]
    assert [1, 2, 3, 4] == [order.order_id for order in journal.orders]
    assert [0, 0, 0, 0] == [order.filled_qty for order in journal.orders]


def test_what_is_quoted_into_the_last_bar_ends_with_the_data():
    one, journal = quoted(bars(FLAT, (100.0, 100.1, 99.5, 99.9), last=True), both_sides)
    assert [("END_OF_DATA", 99.9)] == [(EXIT_NAMES[trade.exit_reason], trade.exit_price) for trade in journal.trades]
    ended = [(STATUS_NAMES[order.status], ORDER_REASONS[order.reason]) for order in journal.orders]
    assert [("FILLED", ""), ("EXPIRED", "END_OF_DATA"), ("FILLED", "END_OF_DATA")] == ended
    assert (1, 0.0) == (one.memory[0]["step"], one.positions[0].qty)
    assert not one.slots["state"].any()
    assert (CLOSE, 0) == (journal.orders[-1].role, one.positions[0].waiting)


def test_a_step_that_wants_nothing_changes_nothing():
    rows, said = wander(400, 5), signals(400, {k: 1.0 if k % 20 else -1.0 for k in range(0, 400, 10)})
    plain = Engine(instrument(), params(), 10_000.0)
    plain.run(rows, said)
    one = Engine(instrument(), params(), 10_000.0, standing=2, quoting=silent)
    one.run(rows, said)
    expected, journal = plain.drain(), one.drain()
    assert len(expected.trades) > 5
    for name in ("trades", "orders", "fills", "decisions", "equity"):
        assert getattr(expected, name).tobytes() == getattr(journal, name).tobytes(), name


def test_a_quoting_run_in_pieces_equals_the_whole():
    rows = wander(300, 9, step=6)
    _, whole = quoted(rows, both_sides)
    memory = np.zeros(1, MEMORY).view(np.recarray)
    one = Engine(instrument(), params(), 10_000.0, standing=4, quoting=both_sides, memory=memory, buffer=1)
    for k in range(0, 300, 7):
        one.run(rows[k : k + 7], signals(len(rows[k : k + 7]), {}))
    pieces = one.drain()
    assert len(whole.fills) > 20
    assert whole.fills.tobytes() == pieces.fills.tobytes()
    assert whole.trades.tobytes() == pieces.trades.tobytes()


def test_what_risk_refuses_is_not_sent_and_is_counted():
    one, journal = quoted(bars(FLAT, FLAT), both_sides, par=params(max_positions=0))
    assert (0, 4) == (len(journal.orders), one.account[0].refused)
    assert 0 == one.account[0].orders


def wished(*wants, standing=2, par=None, **fields):
    """An engine after one flat bar, and the answers to wishes at its close."""
    one = Engine(instrument(**fields), params() if par is None else par, 10_000.0, standing=standing)
    one.run(bars(FLAT), signals(1, {}))
    return one, asked(one, *wants)


def asked(one, *wants):
    intents = np.zeros(len(wants), INTENT)
    for intent, (action, side, kind, qty, limit, order_id) in zip(intents, wants, strict=True):
        wish(intent, action, 0, side, kind, qty, limit, TF, 100.0, order_id)
    one.obey(intents)
    return intents


def test_an_order_may_have_no_place_or_not_be_there():
    bid = (PLACE, 1, LIMIT, 1.0, 99.0, 0)
    one, answers = wished(bid, bid, bid, (CANCEL, 1, LIMIT, 0.0, NAN, 77), (REPLACE, 1, LIMIT, 1.0, 98.0, 0))
    assert [0, 0, NO_SLOT, NO_ORDER, NO_ORDER] == [intent.rule for intent in answers]
    assert ([1, 2], 3) == ([intent.order_id for intent in answers[:2]], one.account[0].refused)
    assert (2.0, 2.0) == (answers[2].saw, answers[2].allowed)
    assert ("order_slots", "unknown_order") == (RULE_NAMES[NO_SLOT], RULE_NAMES[NO_ORDER])


def test_a_quantity_is_brought_under_the_caps_and_on_the_lot_or_is_too_small():
    _, answers = wished((PLACE, 1, LIMIT, 3000.0, 99.0, 0), par=params(leverage=2.0))
    assert 200.0 == answers[0].qty
    _, answers = wished((PLACE, 1, LIMIT, 1.00061, 99.0, 0))
    assert 1.0 == answers[0].qty
    _, answers = wished((PLACE, 1, LIMIT, 0.04, 99.0, 0), min_notional=5.0)
    assert (TOO_SMALL, 4.0, 5.0) == (answers[0].rule, answers[0].saw, answers[0].allowed)


def test_standing_orders_share_the_leverage():
    bid = (PLACE, 1, LIMIT, 80.0, 99.0, 0)
    _, answers = wished(bid, bid, par=params(leverage=1.0))
    assert [80.0, 20.0] == [intent.qty for intent in answers]


def test_an_order_that_is_replaced_keeps_its_number_and_arrives_anew():
    one, (placed,) = wished((PLACE, 1, POST_ONLY, 2.0, 99.0, 0))
    one.run(bars((100.0, 100.0, 98.9, 100.0, 1e6), first=1)[:0], signals(0, {}))
    asked(one, (REPLACE, 1, POST_ONLY, 1.5, 98.0, int(placed.order_id)))
    slot = one.slots[4]
    assert (1, 98.0, 1.5, SENT, "POST_ONLY") == (slot.id, slot.limit, slot.leaves, slot.state, KIND_NAMES[slot.kind])
    one.run(bars((97.0, 97.0, 97.0, 97.0), first=1), signals(1, {}))
    assert FREE == slot.state  # arriving anew it would have crossed
    assert 0 == len(one.drain().fills)


def test_a_market_order_that_stands_by_itself_has_no_brackets():
    one, _ = wished((PLACE, 1, MARKET, 2.0, NAN, 0))
    one.run(bars(FLAT, (100.0, 150.0, 95.0, 100.0), first=1), signals(2, {}))
    assert (2.0, 0) == (one.positions[0].qty, len(one.drain().trades))
    assert np.isnan(one.positions[0].take_price)


def test_the_door_for_wishes_is_the_loops_own():
    assert obey.__name__ == "obey"
    assert 0 == row(INTENT)[0].rule
