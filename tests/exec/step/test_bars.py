"""What one candle does to orders and positions, every field of every row; and that the short way is no other way."""

import math

import numpy as np
import pytest

from exec.engine import Engine
from exec.step.bars import coast
from exec.step.loop import full
from tests.market import (
    EMPTY,
    FLAT,
    NAN,
    TF,
    after,
    asked,
    bars,
    chatter,
    ended,
    engine,
    experienced,
    instrument,
    one_clock,
    only,
    params,
    row,
    settlements,
    signals,
    standing,
    told,
    wander,
)
from utils.codes import (
    CANCEL,
    CLOSE,
    EARLY_STOP,
    END_OF_DATA,
    ENTRY,
    EXPIRED,
    FILLED,
    FLIP,
    FREE,
    HELD,
    LIMIT,
    LIMIT_BARS,
    LIQUIDATION,
    LIVE,
    MAKER,
    MARKET,
    MIN_NOTIONAL,
    ORDER_REASONS,
    PARTIAL,
    POST_ONLY,
    QUOTE,
    REJECTED,
    REPLACE,
    SENT,
    STATUS_NAMES,
    STOP,
    STOP_LOSS,
    STOP_MARKET,
    TAKE,
    TAKE_PROFIT,
    TAKER,
    TIME_LIMIT,
    VOLUME_CAP,
    WOULD_CROSS,
)
from utils.rows import ACCOUNT, BAR, SIGNAL

LONG, SHORT, SHUT = 1.0, -1.0, 0.0
BUY, SELL = 1, -1
FEES = instrument(maker_bps=2.0, taker_bps=5.0)
DROP = (100.0, 100.2, 99.4, 99.6)  # through a long's stop of 99.5


def lived(candles, said, ins=None, par=None, funding=None, *, last=False):
    """The engine after bars from the first on, and signals."""
    one = experienced(engine(ins, par, funding))
    rows = bars(*candles, last=last)
    one.run(rows, signals(len(rows), said))
    return one


# Entries and exits, whole


def test_an_entry_and_its_stop_are_told_in_full():
    costs = params(half_spread_bps=10.0)
    one = lived((FLAT, (100.4, 100.5, 100.3, 100.4), (100.4, 100.4, 99.8, 99.9)), {0: LONG}, FEES, costs)
    rows = one.drain()
    # 1,000 quote are 10 base; 10 bps on the open of 100.4 make 100.6; the stop of 100.097 is 100.0, less 10 bps 99.9
    entry, leave = rows.fills
    known = {"entry_no": 7, "liquidity": TAKER, "qty": 10.0}
    assert told(entry) == {
        **known, "fill_id": 21, "order_id": 1, "side": BUY, "role": ENTRY, "ts": TF, "seen_ts": 2 * TF, "price": 100.6,
        "reference": 100.4, "fee": pytest.approx(0.503),
    }  # fmt: skip
    assert told(leave) == {
        **known, "fill_id": 22, "order_id": 2, "side": SELL, "role": STOP, "ts": 3 * TF, "seen_ts": 3 * TF,
        "price": 99.9, "reference": 100.0, "fee": pytest.approx(0.4995),
    }  # fmt: skip
    assert told(rows.orders[0]) == {
        "order_id": 1, "entry_no": 7, "side": BUY, "kind": MARKET, "status": FILLED, "role": ENTRY, "decision_ts": TF,
        "arrival_ts": TF, "end_ts": TF, "qty": 10.0, "filled_qty": 10.0, "decision_price": 100.0,
        "arrival_price": 100.4, "mid": 100.4, "fill_price": 100.6, "end_price": 100.4, "fees": pytest.approx(0.503),
        "spread_cost": pytest.approx(1.004), "impact_cost": pytest.approx(0.996),
    }  # fmt: skip
    assert told(rows.orders[1]) == {
        "order_id": 2, "entry_no": 7, "side": SELL, "kind": STOP_MARKET, "status": FILLED, "reason": STOP_LOSS,
        "role": STOP, "decision_ts": TF, "arrival_ts": 3 * TF, "end_ts": 3 * TF, "qty": 10.0, "filled_qty": 10.0,
        "decision_price": 100.0, "arrival_price": 100.0, "mid": 100.0, "fill_price": 99.9, "end_price": 99.9,
        "fees": pytest.approx(0.4995), "spread_cost": pytest.approx(1.0),
    }  # fmt: skip
    assert told(only(rows.trades)) == {
        "entry_no": 7, "side": BUY, "entry_liquidity": TAKER, "exit_liquidity": TAKER, "exit_reason": STOP_LOSS,
        "signal_ts": TF, "entry_ts": TF, "exit_ts": 3 * TF, "qty": 10.0, "decision_price": 100.0,
        "entry_price": 100.6, "exit_price": 99.9, "stop_price": 100.0, "take_price": 101.7,
        "gross_pnl": pytest.approx(-7.0), "fees": pytest.approx(1.0025), "net_pnl": pytest.approx(-8.0025),
        "slippage_bps": pytest.approx(30.0),
    }  # fmt: skip
    state = one.positions[0]
    assert (0, 0.0, 3 * TF, 3 * TF, 99.9, 0) == tuple(
        state[name] for name in ("side", "qty", "mark_ts", "bar_ts", "mark", "waiting")
    )


@pytest.mark.parametrize(("side", "price"), [(LONG, 101.0), (SHORT, 99.0)])
def test_a_take_pays_the_makers_fee_and_is_told_in_full(side, price):
    through = (100.0, 101.1, 100.0, 100.9) if side > 0 else (100.0, 100.0, 98.9, 99.1)
    one = lived((FLAT, FLAT, through), {0: side}, FEES)
    assert ([FREE] * 4, 0) == (one.slots["state"].tolist(), one.positions[0].waiting)
    rows = one.drain()
    assert told(rows.orders[1]) == {
        "order_id": 2, "entry_no": 7, "side": -side, "kind": LIMIT, "status": FILLED, "reason": TAKE_PROFIT,
        "role": TAKE, "decision_ts": TF, "arrival_ts": 3 * TF, "end_ts": 3 * TF, "qty": 10.0, "filled_qty": 10.0,
        "decision_price": price, "arrival_price": price, "mid": price, "fill_price": price,
        "end_price": through[3], "fees": pytest.approx(price * 10.0 * 2e-4),
    }  # fmt: skip
    assert (MAKER, 3 * TF, 3 * TF, -side, price) == tuple(
        rows.fills[1][name] for name in ("liquidity", "ts", "seen_ts", "side", "price")
    )
    assert only(rows.trades)["net_pnl"] == pytest.approx(10.0 - 0.5 - price * 10.0 * 2e-4)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_close_that_waited_fills_at_the_open_and_is_told_in_full(side):
    one = lived((FLAT, (100.0, 100.0, 100.0, 100.2)), {0: side, 1: SHUT}, FEES, params(half_spread_bps=10.0))
    assert 1 == one.positions[0].waiting
    rows = after(one, (100.4, 100.5, 100.3, 100.4), first=2).drain()
    assert told(rows.orders[1]) == {
        "order_id": 2, "entry_no": 7, "side": -side, "kind": MARKET, "status": FILLED, "reason": EARLY_STOP,
        "role": CLOSE, "decision_ts": 2 * TF, "arrival_ts": 2 * TF, "end_ts": 2 * TF, "qty": 10.0, "filled_qty": 10.0,
        "decision_price": 100.2, "arrival_price": 100.4, "mid": 100.4, "fill_price": 100.2 if side > 0 else 100.6,
        "end_price": 100.4, "fees": pytest.approx((100.2 if side > 0 else 100.6) * 10.0 * 5e-4),
        "spread_cost": pytest.approx(1.004), "impact_cost": pytest.approx(0.996),
    }  # fmt: skip
    assert told(rows.fills[1]) == {
        "fill_id": 22, "order_id": 2, "entry_no": 7, "side": -side, "liquidity": TAKER, "role": CLOSE, "ts": 2 * TF,
        "seen_ts": 3 * TF, "qty": 10.0, "price": 100.2 if side > 0 else 100.6, "reference": 100.4,
        "fee": pytest.approx(rows.orders[1]["fees"]),
    }  # fmt: skip
    assert 0 == one.positions[0].waiting


@pytest.mark.parametrize(("side", "worse"), [(LONG, 99.9), (SHORT, 100.1)])
@pytest.mark.parametrize(("reason", "last", "horizon"), [(TIME_LIMIT, False, 2.0), (END_OF_DATA, True, 9.0)])
def test_a_limit_of_time_ends_at_the_close_and_is_told_in_full(side, worse, reason, last, horizon):
    par = params(half_spread_bps=10.0, horizon=horizon, take_bps=900.0, stop_bps=900.0)
    one = lived((FLAT, FLAT, (100.0, 100.6, 99.4, 100.0)), {0: side}, FEES, par, last=last)
    rows = one.drain()
    assert told(rows.orders[1]) == {
        "order_id": 2, "entry_no": 7, "side": -side, "kind": MARKET, "status": FILLED, "reason": reason,
        "role": CLOSE, "decision_ts": 3 * TF, "arrival_ts": 3 * TF, "end_ts": 3 * TF, "qty": 10.0, "filled_qty": 10.0,
        "decision_price": 100.0, "arrival_price": 100.0, "mid": 100.0, "fill_price": worse, "end_price": 100.0,
        "fees": pytest.approx(worse * 10.0 * 5e-4), "spread_cost": pytest.approx(1.0),
    }  # fmt: skip
    assert 0 == one.positions[0].waiting


def test_a_time_limit_that_no_trade_meets_waits_as_a_close_and_is_not_sent_twice():
    one = lived((FLAT, FLAT, EMPTY, EMPTY), {0: LONG}, FEES, params(horizon=2.0))
    close = one.slots[CLOSE - 1]
    assert (SENT, TIME_LIMIT, 3 * TF, 1) == (close.state, close.reason, close.decision_ts, one.positions[0].waiting)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_the_venue_takes_over_by_a_stop_decided_at_its_level(side):
    venue = instrument(maintenance=0.0, max_leverage=8.0)
    par = params(stop_bps=5000.0, take_bps=5000.0)
    low = 100.0 - side * 12.5
    rows = lived((FLAT, FLAT, (100.0, max(100.0, low), min(100.0, low), 95.0)), {0: side}, venue, par).drain()
    assert told(rows.orders[1]) == {
        "order_id": 2, "entry_no": 7, "side": -side, "kind": STOP_MARKET, "status": FILLED, "reason": LIQUIDATION,
        "role": STOP, "decision_ts": TF, "arrival_ts": 3 * TF, "end_ts": 3 * TF, "qty": 10.0, "filled_qty": 10.0,
        "decision_price": low, "arrival_price": low, "mid": low, "fill_price": low, "end_price": 95.0,
    }  # fmt: skip


def test_a_position_without_brackets_is_liquidated_by_a_stop_made_for_the_moment():
    venue = instrument(maintenance=0.0, max_leverage=8.0)
    one = after(standing(asked(qty=10.0), ins=venue), FLAT, (100.0, 100.0, 87.5, 95.0))
    assert told(one.drain().orders[1]) == {
        "order_id": 2, "entry_no": 7, "side": SELL, "kind": STOP_MARKET, "status": FILLED, "reason": LIQUIDATION,
        "role": STOP, "decision_ts": TF, "arrival_ts": 3 * TF, "end_ts": 3 * TF, "qty": 10.0, "filled_qty": 10.0,
        "decision_price": 87.5, "arrival_price": 87.5, "mid": 87.5, "fill_price": 87.5, "end_price": 95.0,
    }  # fmt: skip


def test_an_entry_that_is_rejected_says_what_it_aimed_at():
    dear = instrument(min_notional=995.0)
    rejected = {
        "order_id": 1, "side": BUY, "kind": MARKET, "status": REJECTED, "role": ENTRY, "decision_ts": TF,
        "arrival_ts": TF, "end_ts": TF, "qty": 10.0, "decision_price": 100.0, "fill_price": None, "end_price": 99.2,
    }  # fmt: skip
    down = (99.0, 99.3, 99.0, 99.2)
    order = told(only(lived((FLAT, down), {0: LONG}, dear).drain().orders))
    assert order == {**rejected, "reason": MIN_NOTIONAL, "arrival_price": 99.0, "mid": 99.0}
    order = told(only(lived((FLAT, (*down, 0.01)), {0: LONG}).drain().orders))
    assert order == {**rejected, "reason": VOLUME_CAP, "arrival_price": 99.0, "mid": 99.0}
    order = told(only(lived((FLAT, down), {0: LONG}, None, params(entry_kind=POST_ONLY)).drain().orders))
    assert order == {**rejected, "kind": POST_ONLY, "reason": WOULD_CROSS, "arrival_price": 99.0, "mid": 99.0}


def test_an_entry_of_just_the_least_notional_is_filled():
    assert FILLED == only(lived((FLAT, FLAT), {0: LONG}, instrument(min_notional=1000.0)).drain().orders)["status"]


def test_an_entry_capped_by_volume_is_on_the_lot_and_ends_in_part():
    order = only(lived((FLAT, (*FLAT, 200.09)), {0: LONG}, FEES).drain().orders)
    assert (PARTIAL, VOLUME_CAP, 10.0, 4.001, 7) == tuple(
        order[name] for name in ("status", "reason", "qty", "filled_qty", "entry_no")
    )
    assert pytest.approx(400.1 * 5e-4) == order["fees"]
    # all of the order, exactly
    assert FILLED == only(lived((FLAT, (*FLAT, 500.0)), {0: LONG}).drain().orders)["status"]


def test_an_entry_that_expires_tells_when_and_at_what_close():
    away = (100.2, 100.3, 100.1, 100.2)
    par = params(entry_kind=POST_ONLY, limit_bars=2.0)
    one = lived((FLAT, away, (100.2, 100.4, 100.1, 100.3)), {0: LONG}, None, par)
    assert told(only(one.drain().orders)) == {
        "order_id": 1, "side": BUY, "kind": POST_ONLY, "status": EXPIRED, "reason": LIMIT_BARS, "role": ENTRY,
        "decision_ts": TF, "arrival_ts": TF, "end_ts": 3 * TF, "qty": 10.0, "decision_price": 100.0,
        "arrival_price": None, "mid": 100.2, "fill_price": None, "end_price": 100.3,
    }  # fmt: skip
    assert 0 == one.positions[0].waiting


def test_a_bar_without_volume_counts_towards_the_patience_of_an_entry():
    one = lived((FLAT, EMPTY, EMPTY), {0: LONG}, None, params(entry_kind=POST_ONLY, limit_bars=2.0))
    order = only(one.drain().orders)
    assert (EXPIRED, 0, 3 * TF) == (order["status"], order["arrival_ts"], order["end_ts"])


def test_the_bar_of_a_resting_entry_forgets_at_its_close_that_it_was():
    one = lived((FLAT, (100.2, 100.4, 99.9, 100.2)), {0: LONG}, None, params(entry_kind=POST_ONLY))
    assert (0, 1, MAKER) == tuple(one.positions[0][name] for name in ("inside", "bars", "entry_liquidity"))


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_position_of_one_unit_is_stopped_closed_and_turned_round_as_any_other(side):
    unit, away = params(fixed_notional=100.0), (100.2, 100.3, 99.8, 100.2)
    stopped = (100.0, max(100.0, at := 100.0 - side * 0.5), min(100.0, at), 100.0)
    for candles, said, ending in (
        ((FLAT, FLAT, stopped), {0: side}, ("STOP_LOSS", at, 3.0)),
        ((FLAT, FLAT, away), {0: side, 1: SHUT}, ("EARLY_STOP", 100.2, 2.0)),
        ((FLAT, FLAT, away), {0: side, 1: -side}, ("FLIP", 100.2, 2.0)),
    ):
        rows = lived(candles, said, par=unit).drain()
        assert (1.0, ending) == (rows.trades[0]["qty"], ended(rows.trades[0]))
    one = lived((FLAT, FLAT, away), {0: side}, par=unit)
    assert (2, 2, pytest.approx(side * 0.2)) == (
        one.account[0].held_bars, one.positions[0].bars, one.account[0].open_pnl,
    )  # fmt: skip


def test_a_second_round_trip_owes_nothing_to_the_first():
    up = (100.0, 101.4, 100.0, 101.0)
    candles = (FLAT, FLAT, up, FLAT, FLAT, up)
    due = settlements((2.5, 1e-3))
    rows = lived(candles, {0: LONG, 3: LONG}, FEES, params(slippage_bps=10.0), due).drain()
    first, second = (told(trade) for trade in rows.trades)
    moved = {name: value + 3 * TF for name, value in first.items() if name.endswith("_ts")}
    without = {"entry_no": 8, "funding": 0.0, "net_pnl": pytest.approx(first["net_pnl"] + first["funding"])}
    assert {**first, **moved, **without} == {**second, "funding": 0.0}
    assert pytest.approx(1.0) == first["funding"]


# Orders that stand by themselves


def whole(rows):
    """(filled quantity, status, reason) of every order, in the order they ended."""
    return [
        (float(o["filled_qty"]), STATUS_NAMES[o["status"]], ORDER_REASONS[o["reason"]]) for o in rows.orders
    ]  # fmt: skip


def test_a_market_order_of_ones_own_fills_at_the_next_open_and_is_told_in_full():
    one = standing(asked(SELL, 10.0), ins=FEES, par=params(half_spread_bps=10.0))
    assert (1, SENT, 1) == (one.positions[0].waiting, one.slots[4].state, one.slots[4].id)
    rows = after(one, (100.4, 100.5, 100.3, 100.2)).drain()
    assert told(only(rows.orders)) == {
        "order_id": 1, "entry_no": 7, "side": SELL, "kind": MARKET, "status": FILLED, "role": QUOTE,
        "decision_ts": TF, "arrival_ts": TF, "end_ts": TF, "qty": 10.0, "filled_qty": 10.0,
        "decision_price": 100.0, "arrival_price": 100.4, "mid": 100.4, "fill_price": 100.2, "end_price": 100.2,
        "fees": pytest.approx(0.501),
        "spread_cost": pytest.approx(1.004), "impact_cost": pytest.approx(0.996),
    }  # fmt: skip
    assert told(only(rows.fills)) == {
        "fill_id": 21, "order_id": 1, "entry_no": 7, "side": SELL, "liquidity": TAKER, "role": QUOTE, "ts": TF,
        "seen_ts": 2 * TF, "qty": 10.0, "price": 100.2, "reference": 100.4, "fee": pytest.approx(0.501),
    }  # fmt: skip
    p = one.positions[0]
    assert (-10.0, 0, math.inf, -math.inf, p.liq) == (p.qty, p.waiting, p.horizon, p.floor, p.ceiling)
    assert FREE == one.slots[4].state


def test_resting_orders_share_what_one_entry_might_take_and_keep_the_rest():
    one = standing(asked(BUY, 3.0, LIMIT, 99.6), asked(BUY, 3.0, LIMIT, 99.5))
    rows = after(one, (100.0, 100.0, 99.3, 99.4, 200.0)).drain()
    assert [(3.0, 99.6, MAKER, 2 * TF), (1.0, 99.5, MAKER, 2 * TF)] == [
        (f["qty"], f["price"], f["liquidity"], f["ts"]) for f in rows.fills
    ]
    assert [(3.0, "FILLED", "")] == whole(rows)
    slot = one.slots[5]
    assert (LIVE, 3.0, 1.0, 2.0, 1, 1) == (slot.state, slot.qty, slot.filled, slot.leaves, slot.waited, slot.id - 1)
    # what opens beyond it comes at the open of the next bar, at its own price
    rows = after(one, (99.2, 99.3, 99.1, 99.2), first=2).drain()
    assert [(2.0, 99.5, MAKER, 2 * TF, 3 * TF)] == [
        (f["qty"], f["price"], f["liquidity"], f["ts"], f["seen_ts"]) for f in rows.fills
    ]
    order = only(rows.orders)
    assert (3.0, pytest.approx(99.5), 2, 7, 2 * TF, TF) == tuple(
        order[name] for name in ("filled_qty", "fill_price", "order_id", "entry_no", "end_ts", "arrival_ts")
    )
    assert 6.0 == one.positions[0].qty


def test_what_is_taken_at_the_open_is_missing_inside_the_bar():
    one = standing(asked(BUY, 3.0), asked(BUY, 3.0, LIMIT, 99.5))
    rows = after(one, (100.0, 100.0, 99.3, 99.4, 200.0)).drain()
    assert [3.0, 1.0] == rows.fills["qty"].tolist()
    assert [TF, 2 * TF] == rows.fills["ts"].tolist()


def test_a_market_order_beyond_its_share_fills_in_part_and_does_not_wait():
    one = standing(asked(BUY, 10.0))
    assert [(4.0, "PARTIAL", "VOLUME_CAP")] == whole(after(one, (*FLAT, 200.0)).drain())
    assert (FREE, 4.0, 0) == (one.slots[4].state, one.positions[0].qty, one.positions[0].waiting)


def test_a_market_order_without_a_share_is_rejected_and_a_resting_one_waits():
    one = standing(asked(BUY, 10.0), asked(BUY, 10.0, LIMIT, 99.5))
    rows = after(one, (99.9, 100.0, 99.3, 99.4, 0.01)).drain()
    assert told(only(rows.orders)) == {
        "order_id": 1, "side": BUY, "kind": MARKET, "status": REJECTED, "reason": VOLUME_CAP, "role": QUOTE,
        "decision_ts": TF, "arrival_ts": TF, "end_ts": TF, "qty": 10.0, "decision_price": 100.0,
        "arrival_price": 99.9, "mid": 99.9, "fill_price": None, "end_price": 99.4,
    }  # fmt: skip
    assert (LIVE, 10.0, 0) == (one.slots[5].state, one.slots[5].leaves, len(rows.fills))


def test_nothing_of_ones_own_fills_without_volume_but_time_passes():
    one = after(standing(asked(BUY, 1.0), asked(BUY, 1.0, LIMIT, 99.5)), EMPTY)
    assert [(SENT, 1, 0)] * 2 == [(slot.state, slot.waited, slot.arrival_ts) for slot in one.slots[4:6]]


def test_a_fill_below_the_least_notional_rejects_what_takes_unless_it_reduces():
    dear = instrument(min_notional=100.0)
    one = standing(asked(BUY, 1.0), asked(BUY, 1.0, LIMIT, 99.5), ins=dear)
    rows = after(one, (99.9, 100.0, 99.3, 99.4)).drain()
    order = only(rows.orders)
    assert (REJECTED, MIN_NOTIONAL, 99.9, TF, 99.4) == tuple(
        order[name] for name in ("status", "reason", "arrival_price", "end_ts", "end_price")
    )
    assert (LIVE, 0) == (one.slots[5].state, len(rows.fills))
    # just enough is enough
    one = after(standing(asked(BUY, 1.0), ins=dear), FLAT)
    assert [(1.0, "FILLED", "")] == whole(one.drain())
    one.obey(asked(SELL, 0.5, at=2.0, reduce_only=1))
    assert [(0.5, "FILLED", "")] == whole(after(one, FLAT, first=2).drain())


@pytest.mark.parametrize("side", [BUY, SELL])
def test_one_order_turns_a_position_round_in_two_fills(side):
    one = after(standing(asked(side, 10.0), ins=FEES), FLAT)
    one.obey(asked(-side, 25.0, at=2.0))
    rows = after(one, (101.0, 101.0, 101.0, 101.0), first=2).drain()
    assert [(10.0, side, 7), (10.0, -side, 7), (15.0, -side, 8)] == [
        (f["qty"], f["side"], f["entry_no"]) for f in rows.fills
    ]
    trade = only(rows.trades)
    assert (FLIP, pytest.approx(side * 10.0), 7) == (trade["exit_reason"], trade["gross_pnl"], trade["entry_no"])
    order = rows.orders[1]
    assert (FILLED, 0, 25.0, 8, pytest.approx(25.0 * 101.0 * 5e-4)) == tuple(
        order[name] for name in ("status", "reason", "filled_qty", "entry_no", "fees")
    )
    p = one.positions[0]
    assert (-side * 15.0, 8, 101.0, 2 * TF, 0) == (p.qty, p.entry_no, p.entry_price, p.entry_ts, p.waiting)


def test_a_flip_is_two_fills_though_floats_make_less_of_their_sum():
    # 0.2 + (0.9 - 0.2) is 0.8999999999999999
    one = after(standing(asked(BUY, 0.2)), FLAT)
    one.obey(asked(SELL, 0.9, at=2.0))
    rows = after(one, FLAT, first=2).drain()
    assert [0.2, 0.2, pytest.approx(0.7)] == rows.fills["qty"].tolist()
    assert [(0.2, "FILLED", ""), (pytest.approx(0.9), "FILLED", "")] == whole(rows)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_orders_against_a_position_end_it_part_by_part_as_an_early_stop(side):
    one = after(standing(asked(side, 10.0), ins=FEES), FLAT)
    one.obey(np.concatenate([asked(-side, 4.0, at=2.0), asked(-side, 6.0, LIMIT, 100.0 + side, at=2.0)]))
    candle = (100.0, 101.2, 99.9, 100.0) if side > 0 else (100.0, 100.1, 98.8, 100.0)
    rows = after(one, candle, first=2).drain()
    trade = only(rows.trades)
    assert (EARLY_STOP, 10.0, 7) == (trade["exit_reason"], trade["qty"], trade["entry_no"])
    assert pytest.approx(6.0) == trade["gross_pnl"]
    assert pytest.approx(1000.0 * 5e-4 + 400.0 * 5e-4 + 6.0 * (100.0 + side) * 2e-4) == trade["fees"]
    assert [7, 7, 7] == rows.orders["entry_no"].tolist()
    assert 0.0 == one.positions[0].qty


def test_what_only_reduces_takes_what_is_there_and_ends_with_the_position():
    one = after(standing(asked(BUY, 5.0)), FLAT)
    one.obey(np.concatenate([asked(SELL, 9.0, LIMIT, 100.5, at=2.0, reduce_only=1), asked(SELL, 2.0, at=2.0)]))
    rows = after(one, (100.0, 100.8, 100.0, 100.6), first=2).drain()
    assert [5.0, 2.0, 3.0] == rows.fills["qty"].tolist()
    assert 0.0 == one.positions[0].qty
    rows = after(one, FLAT, first=3).drain()
    order = only(rows.orders)
    assert (3.0, PARTIAL, "REDUCE_ONLY", 3 * TF, 100.0, 0) == (
        order["filled_qty"], order["status"], ORDER_REASONS[order["reason"]], order["end_ts"], order["end_price"],
        order["entry_no"],
    )  # fmt: skip
    assert 0 == one.positions[0].waiting


def test_a_post_only_order_that_arrives_beyond_the_open_is_rejected_there():
    one = standing(asked(BUY, 1.0, POST_ONLY, 100.0))
    order = only(after(one, (99.8, 100.0, 99.7, 99.9)).drain().orders)
    assert (REJECTED, WOULD_CROSS, 99.8, TF, 99.9, 0.0, 0) == tuple(
        order[name] for name in ("status", "reason", "arrival_price", "end_ts", "end_price", "filled_qty", "entry_no")
    )


def test_an_order_of_ones_own_expires_with_its_patience_or_with_the_data():
    away = (100.2, 100.3, 100.1, 100.2)
    one = standing(asked(BUY, 1.0, LIMIT, 99.0, patience=2.0))
    assert [] == whole(after(one, away).drain())
    order = only(after(one, away, first=2).drain().orders)
    assert (EXPIRED, LIMIT_BARS, 3 * TF, 100.2) == tuple(
        order[name] for name in ("status", "reason", "end_ts", "end_price")
    )
    one = after(standing(asked(BUY, 1.0, LIMIT, 99.0)), away, last=True)
    assert [(0.0, "EXPIRED", "END_OF_DATA")] == whole(one.drain())
    one = after(standing(asked(BUY, 9.0, LIMIT, 100.0)), (100.2, 100.2, 99.8, 100.0, 200.0), last=True)
    assert [(4.0, "PARTIAL", "END_OF_DATA"), (4.0, "FILLED", "END_OF_DATA")] == whole(one.drain())[-2:]


@pytest.mark.parametrize(("side", "worse"), [(BUY, 100.7), (SELL, 99.4)])
def test_a_stop_order_of_ones_own_fills_inside_the_bar_that_touches_it(side, worse):
    trigger = 100.0 + side * 0.5
    one = standing(asked(side, 2.0, STOP_MARKET, trigger=trigger), par=params(slippage_bps=10.0))
    assert [] == after(one, (100.0, 100.4, 99.6, 100.0)).drain().fills.tolist()
    fill = only(after(one, (100.0, 100.6, 99.4, 100.0), first=2).drain().fills)
    assert (worse, trigger, TAKER, 3 * TF, 3 * TF) == tuple(
        fill[name] for name in ("price", "reference", "liquidity", "ts", "seen_ts")
    )


def test_a_bar_that_had_opened_before_an_order_was_decided_passes_it_by():
    one = standing(asked(BUY, 1.0, LIMIT, 99.5, at=1.5, patience=1.0), asked(BUY, 1.0, at=1.5))
    rows = after(one, (100.0, 100.0, 99.0, 99.2)).drain()
    assert (0, [0, 0]) == (len(rows.fills), one.slots["waited"][4:].tolist())
    assert [(99.2, 2 * TF)] * 2 == [
        (f["price"], f["ts"]) for f in after(one, (99.2, 99.3, 99.1, 99.2), first=2).drain().fills
    ]


def test_orders_of_ones_own_come_after_the_entry_and_before_the_brackets_of_their_bar():
    one = standing(asked(SELL, 10.0, LIMIT, 100.6))
    one.run(bars(FLAT, first=1), signals(1, {0: LONG}))
    rows = after(one, (100.0, 100.8, 99.4, 99.6), first=2).drain()
    # the open is the entry's; inside, the stop comes first, and what is left opens a short
    assert ["STOP_LOSS"] == [ended(trade)[0] for trade in rows.trades]
    assert [(10.0, BUY), (10.0, SELL), (10.0, SELL)] == [(f["qty"], f["side"]) for f in rows.fills]


def test_a_replaced_order_arrives_anew_and_a_cancelled_one_does_not_fill():
    one = after(standing(asked(BUY, 2.0, POST_ONLY, 99.0), asked(BUY, 2.0, LIMIT, 99.0)), FLAT)
    one.obey(
        np.concatenate(
            [asked(BUY, 1.5, limit=100.1, action=REPLACE, at=2.0, order_id=1), asked(action=CANCEL, at=2.0, order_id=2)]
        )
    )
    rows = after(one, (100.0, 100.0, 98.0, 98.5), first=2).drain()
    assert [(0.0, "CANCELLED", "ON_REQUEST"), (0.0, "REJECTED", "WOULD_CROSS")] == whole(rows)
    assert (1.5, TF) == (rows.orders[1]["qty"], rows.orders[1]["arrival_ts"])


def bracketed(*wanted):
    """An engine with a position of 10 by a signal, brackets around it, at time 3, and wishes of then."""
    one = standing(places=3)
    one.run(bars(FLAT, first=1), signals(1, {0: LONG}))
    after(one, FLAT, first=2)
    one.obey(np.concatenate(wanted))
    return one


def test_an_order_of_ones_own_that_adds_leaves_the_brackets_where_they_are_around_more():
    one = after(bracketed(asked(BUY, 2.0, at=3.0)), FLAT, first=3)
    p = one.positions[0]
    assert (12.0, 99.5, 101.0) == (p.qty, p.floor, p.ceiling)
    assert [(LIVE, TAKE, 101.0, 12.0), (LIVE, STOP, NAN, 12.0)] == [
        (s.state, s.role, pytest.approx(float(s.limit), nan_ok=True), s.leaves) for s in one.slots[1:3]
    ]


def test_with_a_position_that_an_order_of_ones_own_ends_go_its_brackets():
    one = bracketed(asked(SELL, 10.0, at=3.0), asked(BUY, 1.0, LIMIT, 90.0, at=3.0))
    after(one, FLAT, first=3)
    assert ([FREE] * 5 + [LIVE, FREE], 1) == (one.slots["state"].tolist(), one.positions[0].waiting)


def test_with_a_position_that_an_order_of_ones_own_ends_goes_the_close_that_waited():
    one = bracketed(asked(SELL, 10.0, LIMIT, 100.5, at=3.0))
    now = bars(FLAT, first=3)
    now["ts"] = round(3.5 * TF)  # decided after the bar has opened, it cannot fill in it
    one.answer(one.params, now, signals(1, {0: SHUT}))
    assert ([FREE, LIVE, LIVE, SENT, SENT], 2) == (one.slots["state"][:5].tolist(), one.positions[0].waiting)
    rows = after(one, (100.0, 100.8, 100.0, 100.6), first=3).drain()
    assert ("EARLY_STOP", 100.5, 4.0) == ended(only(rows.trades))
    assert ([FREE] * 7, 0, 0.0) == (one.slots["state"].tolist(), one.positions[0].waiting, one.positions[0].qty)


# Room for rows


def room_for(symbols=1, standing_=0, wishes=1, **lacking):
    """Is there room for what an instant may cause, where each table has just enough but for what is lacking?"""
    enough = {
        "trades": (2 + 2 * standing_) * symbols, "orders": (5 + standing_ + wishes) * symbols,
        "fills": (3 + 4 * standing_) * symbols, "decisions": symbols, "equity": 1,
    }  # fmt: skip
    counts = {f"n_{name}": 3 for name in enough}
    sizes = [3 + size - lacking.get(name, 0) for name, size in enough.items()]
    return not full(row(ACCOUNT, slots=4 + standing_, **counts)[0], symbols, *sizes, wishes)


@pytest.mark.parametrize(("symbols", "places", "wishes"), [(1, 0, 1), (3, 0, 1), (2, 5, 16)])
def test_an_instant_waits_for_room_for_the_most_rows_that_it_may_cause(symbols, places, wishes):
    assert room_for(symbols, places, wishes)
    for name in KEEPS["all"]:
        assert not room_for(symbols, places, wishes, **{name: 1})


def test_one_bar_may_end_two_round_trips_by_three_fills():
    flip_and_stop = (100.0, 100.6, 100.0, 100.5)
    rows = lived((FLAT, FLAT, flip_and_stop), {0: LONG, 1: SHORT}).drain()
    assert ([2 * TF, 3 * TF], 4, 4) == (rows.trades["exit_ts"].tolist(), len(rows.fills), len(rows.orders))


# The short way through calm bars


def walked(one, parts, said, *, alone):
    """Journal and state of a first symbol, alone or beside one that nobody trades."""
    clock = parts if alone else one_clock(parts, silent(parts))
    heard = said if alone else np.full(len(clock), NAN, SIGNAL)
    if not alone:
        heard[clock["sym"] == 0] = said
    one.run(clock, heard)
    rows = one.drain()
    tables = [getattr(rows, name).tobytes() for name in rows.__slots__]
    left_out = {"slots"}
    account = {name: value for name, value in told(one.account[0]).items() if name not in left_out}
    position = {name: value for name, value in told(one.positions[0]).items() if not name.startswith("f_")}
    return tables, account, position, one.slots[:4].tobytes(), len(rows.trades)


def silent(parts):
    """Another symbol with a bar beside each, which keeps the engine from the short way."""
    rows = np.zeros(len(parts), BAR)
    rows[:] = parts
    rows["sym"] = 1
    return rows


SHORT_WAYS = {
    "plain": {},
    "seldom a row of equity": {"equity_step_ns": 7 * TF},
    "trails": {"trail_bps": 30.0},
    "resting": {"entry_kind": LIMIT, "limit_offset_bps": 5.0},
    "short": {"horizon": 4.0},
    "for ever": {"horizon": math.inf, "take_bps": 300.0, "stop_bps": 200.0},
}
KEEPS = {
    "all": ("trades", "orders", "fills", "decisions", "equity"),
    "no equity": ("trades", "orders", "fills", "decisions"),
    "trades alone": ("trades",),
    "equity alone": ("equity",),
    "nothing": (),
}


@pytest.mark.parametrize("settings", SHORT_WAYS)
@pytest.mark.parametrize("keep", KEEPS)
def test_the_short_way_through_calm_bars_leaves_what_the_long_way_leaves(settings, keep):
    n = 240
    rows, said = wander(n, 3, step=6, holes=5), chatter(n, 8)
    quiet = np.arange(n) % 3 != 0
    said["side"][quiet] = NAN
    due = settlements(*((k + 0.5, 2e-4) for k in range(0, n, 11)))
    par = params(half_spread_bps=1.0, **SHORT_WAYS[settings])
    one = Engine(FEES, par, 10_000.0, due, keep=KEEPS[keep])
    two = Engine(FEES.repeat(2), par, 10_000.0, due, keep=KEEPS[keep])
    short, long = walked(one, rows, said, alone=True), walked(two, rows, said, alone=False)
    assert short == long
    assert short[-1] > 3 or "trades" not in KEEPS[keep]


def test_the_short_way_stops_where_a_table_is_full():
    n = 120
    rows = bars(*[FLAT] * n, last=True)
    said = signals(n, dict.fromkeys(range(n), LONG))
    par = params(horizon=50.0)
    small, large = Engine(instrument(), par, 10_000.0, buffer=1), Engine(instrument(), par, 10_000.0)
    for one in (small, large):
        one.run(rows, said)
    expected, seen = large.drain(), small.drain()
    assert (n, n) == (len(expected.decisions), len(expected.equity))
    for name in expected.__slots__:
        assert getattr(expected, name).tobytes() == getattr(seen, name).tobytes()


def test_a_gap_where_a_table_is_full_is_counted_once():
    n = 400
    rows = bars(*[FLAT] * n, last=True)
    rows["gap"] = 1
    said = signals(n, dict.fromkeys(range(0, n, 3), LONG))
    par, kept = params(horizon=1e4), ("trades", "decisions")
    small, large = Engine(instrument(), par, 10_000.0, None, kept, buffer=1), Engine(instrument(), par, 10_000.0)
    for one in (small, large):
        one.run(rows, said)
    assert [n - 2] == large.drain().trades["gap_bars"].tolist() == small.drain().trades["gap_bars"].tolist()


def test_the_short_way_knows_the_best_close_of_a_calm_stretch():
    candles = (FLAT, FLAT, (100.0, 100.6, 100.0, 100.6), (100.6, 100.6, 100.2, 100.2), FLAT)
    for side, peak in ((LONG, 10_006.0), (SHORT, 10_000.0)):
        one = Engine(instrument(), params(stop_bps=900.0), 10_000.0, keep=())
        one.run(bars(*candles), signals(5, {0: side}))
        assert pytest.approx(peak) == one.account[0].peak
        assert (4, 100.0, 5 * TF) == (one.account[0].held_bars, one.positions[0].mark, one.positions[0].mark_ts)


def coasted(one, *candles, said=None, last=False, room=None, start=0):
    """How far the short way goes over bars after the first two: (row, only its signal is left to be answered)."""
    rows = bars(*candles, first=2, last=last)
    tables = [one._out[name][:room] for name in ("decisions", "equity")]
    return coast(
        one.account[0], one.positions[0], one.params[0], rows, signals(len(rows), said or {}), one.funding, *tables,
        start,
    )  # fmt: skip


def lone(side=LONG, *, funding=None, keep=tuple(KEEPS["all"]), **settings):
    """An engine of one symbol after two flat bars, in the second of which its signal, if any, became a position."""
    one = Engine(instrument(), params(**settings), 10_000.0, funding, keep=keep)
    one.run(bars(FLAT, FLAT), signals(2, {0: side} if side else {}))
    return one


def test_the_short_way_goes_to_the_end_when_nothing_happens():
    assert (5, False) == coasted(lone(0), *[FLAT] * 5)
    assert (5, False) == coasted(lone(), *[(100.0, 100.9, 99.6, 100.0)] * 5)
    assert (5, False) == coasted(lone(), *[FLAT] * 5, start=2)
    assert (5, False) == coasted(lone(0), FLAT, EMPTY, *[FLAT] * 3, last=True)


@pytest.mark.parametrize(
    ("side", "low", "high"), [(LONG, 99.5, 100.0), (LONG, 100.0, 101.0), (SHORT, 99.0, 100.0), (SHORT, 100.0, 100.5)]
)
def test_the_short_way_ends_before_a_bar_that_reaches_a_level(side, low, high):
    assert (2, False) == coasted(lone(side), FLAT, FLAT, (100.0, high, low, 100.0), FLAT)


def test_a_short_way_of_no_bar_leaves_everything_where_it_was():
    for keep in KEEPS.values():
        one = lone(keep=keep)
        before = one.snapshot()
        assert (0, False) == coasted(one, (100.0, 101.0, 99.0, 100.2), (100.2, 100.4, 100.2, 100.4))
        assert before == one.snapshot()


def test_the_short_way_of_a_position_ends_before_a_bar_without_volume_and_before_the_last():
    assert (1, False) == coasted(lone(), FLAT, (*FLAT, 0.0), FLAT)
    assert (3, False) == coasted(lone(), FLAT, (*FLAT, 0.001), FLAT)
    assert (2, False) == coasted(lone(), *[FLAT] * 3, last=True)


@pytest.mark.parametrize(
    ("horizon", "passed"), [(2.0, 0), (3.0, 1), (4.0, 2), (4.5, 3), (7.0, 5), (7.5, 5), (8.0, 5), (math.inf, 5)]
)
def test_the_short_way_ends_before_the_bar_in_which_the_time_is_up(horizon, passed):
    one = lone(horizon=horizon)
    assert (passed, False) == coasted(one, *[FLAT] * 5)
    assert (1 + passed, 1 + passed, 0) == (one.account[0].held_bars, one.positions[0].bars, one.positions[0].inside)
    one = lone(horizon=horizon)
    assert (min(2 + passed, 5), False) == coasted(one, *[FLAT] * 5, start=2)


@pytest.mark.parametrize(("due", "passed"), [(3.0, 0), (3.001, 1), (4.0, 1), (99.0, 4)])
def test_the_short_way_ends_before_the_bar_of_a_settlement(due, passed):
    for side in (LONG, 0):
        assert (passed, False) == coasted(lone(side, funding=settlements((due, 1e-3))), *[FLAT] * 4)


def test_the_short_way_is_closed_while_an_order_waits_or_a_trail_moves():
    one = lone()
    one.run(bars(FLAT, first=2), signals(1, {0: SHUT}))
    assert (0, False) == coasted(one, FLAT, FLAT)
    assert (1, False) == coasted(lone(trail_bps=20.0), FLAT, FLAT, start=1)
    assert (2, False) == coasted(lone(0, trail_bps=20.0), FLAT, FLAT)


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize(
    ("side", "wants"), [(0, LONG), (0, SHORT), (0, SHUT), (LONG, SHORT), (LONG, SHUT), (SHORT, LONG)]
)
def test_the_short_way_ends_at_a_signal_that_asks_for_something_and_its_bar_is_over(side, wants, keep):
    one = lone(side, keep=KEEPS[keep])
    flat_closes = side == 0 and wants == SHUT
    found = coasted(one, FLAT, FLAT, (100.0, 100.2, 100.0, 100.2), FLAT, said={2: wants})
    assert ((4, False) if flat_closes else (2, True)) == found
    assert (100.0 if flat_closes else 100.2, (6 if flat_closes else 5) * TF) == tuple(
        one.positions[0][["mark", "mark_ts"]]
    )
    assert (6 if flat_closes else 5) * TF == one.positions[0].bar_ts


def test_the_short_way_answers_a_signal_for_what_is_held():
    one = lone()
    assert (3, False) == coasted(one, *[FLAT] * 3, said={1: {"side": LONG, "p_win": 0.7}})
    decision = one.drain().decisions[-1]
    assert (HELD, 4 * TF, 0.7) == tuple(decision[["action", "ts", "p_win"]])


def test_the_short_way_ends_where_a_table_might_run_over():
    one = lone()  # two rows of equity, one answer so far
    assert (3, False) == coasted(one, *[FLAT] * 6, room=5)
    assert 5 == one.account[0].n_equity
    one = lone(keep=("decisions",))
    assert (2, False) == coasted(one, *[FLAT] * 6, said=dict.fromkeys(range(6), LONG), room=4)
    assert 3 == one.account[0].n_decisions
    assert (6, False) == coasted(lone(keep=()), *[FLAT] * 6, said=dict.fromkeys(range(6), LONG), room=0)


def test_the_short_way_thins_equity_as_the_long_way_does_but_for_the_last():
    one = lone(0, equity_step_ns=3 * TF)
    assert (5, False) == coasted(one, *[FLAT] * 5, last=True)
    # one at the first bar's close would have come too early after 0
    assert [3 * TF, 6 * TF, 7 * TF] == one.drain().equity["ts"].tolist()


def test_the_short_way_counts_missing_bars_of_a_position_alone():
    for side, gaps in ((LONG, 5), (0, 0)):
        one, rows = lone(side), bars(*[FLAT] * 4, first=2)
        rows["gap"][[0, 2]] = 2, 3
        coast(one.account[0], one.positions[0], one.params[0], rows, signals(4, {}), one.funding, *(
            one._out[name] for name in ("decisions", "equity")
        ), 0)  # fmt: skip
        assert gaps == one.positions[0].gaps
