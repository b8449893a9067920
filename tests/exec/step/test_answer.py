"""What a signal is answered: the whole journal row, the whole order, and in which order several are heard."""

import math

import pytest

from exec.engine import Engine
from exec.step.answer import decide_entry, expected, note_answer, want
from tests.market import (
    EMPTY,
    FLAT,
    NAN,
    TF,
    bars,
    engine,
    instrument,
    one_clock,
    only,
    params,
    row,
    signals,
    smudged,
    told,
)
from utils.codes import (
    ASKED,
    CANCELLED,
    CLOSE,
    CLOSE_SIGNAL,
    CLOSED,
    EARLY_STOP,
    END_OF_DATA,
    ENTRY,
    EXPIRED,
    FLIP,
    FLIPPED,
    FREE,
    HELD,
    LIMIT,
    MARKET,
    NO_STOP,
    OPENED,
    OPPOSITE_SIGNAL,
    PLACE,
    REFUSED,
    SENT,
    TOO_SMALL,
)
from utils.rows import ACCOUNT, DECISION, INTENT, ORDER, ORDER_SLOT, POSITION
from utils.rows import ASKED as ASKED_ROW

LONG, SHORT, SHUT = 1.0, -1.0, 0.0
SAID = {"strength": 71.0, "threshold": 60.0, "p_win": 0.6, "expected_bps": 3.0, "net_bps": -1.5, "model": 2}
RESTING = {"entry_kind": LIMIT, "limit_offset_bps": 10.0, "limit_bars": 4.0}


def heard(candles, said, par=None, ins=None, *, last=False):
    """The engine after bars from the first on, and signals."""
    one = engine(ins, par)
    rows = bars(*candles, last=last)
    one.run(rows, signals(len(rows), said))
    return one


def answers(one):
    """(action, time in bars) of every answer."""
    return [(int(d["action"]), d["ts"] / TF) for d in one.drain().decisions]


def test_an_answer_repeats_the_signal_and_says_what_became_of_it():
    acc, decision = row(ACCOUNT, keep_decisions=1, n_decisions=2)[0], smudged(DECISION)
    (bar,), (sig,) = bars(FLAT, sym=3), signals(1, {0: {"side": SHORT, **SAID}})
    note_answer(acc, decision, bar, sig, HELD)
    assert told(decision) == {"ts": TF, "sym": 3, "side": -1, "action": HELD, **SAID, "value": None, "limit": None}
    assert 3 == acc.n_decisions


def test_an_answer_that_nobody_keeps_is_not_written():
    acc, decision = row(ACCOUNT)[0], smudged(DECISION)
    note_answer(acc, decision, bars(FLAT)[0], signals(1, {0: LONG})[0], HELD)
    assert (0, 7) == (acc.n_decisions, decision.action)


@pytest.mark.parametrize(("role", "reduces"), [(ENTRY, {}), (CLOSE, {"reduce_only": 1})])
def test_what_a_signal_wants_is_a_market_order_without_brackets_at_the_close(role, reduces):
    intent = smudged(INTENT)
    want(intent, PLACE, role, -1, 2.5, FLIP, bars((100.0, 101.0, 99.0, 100.4), sym=3)[0])
    written = told(intent)
    for answer in ("rule", "saw", "allowed"):  # not for who carries it out
        written.pop(answer)
    assert written == {
        "action": PLACE, "sym": 3, "side": -1, "kind": MARKET, "role": role, **reduces, "reason": FLIP, "ts": TF,
        "price": 100.4, "qty": 2.5, "limit": None, "trigger": None, "take_bps": None, "stop": None,
        "horizon": math.inf, "patience": math.inf, "chase": None,
    }  # fmt: skip


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_an_entry_is_sent_as_the_settings_say(side):
    slot = heard(((100.0, 101.0, 99.0, 100.4),), {0: side}, params(**RESTING, trail_bps=20.0)).slots[0]
    assert told(slot) == {
        "id": 1, "state": SENT, "side": side, "kind": LIMIT, "role": ENTRY, "qty": 9.96, "leaves": 9.96,
        "limit": 100.2 if side > 0 else 100.6, "trigger": None, "ahead": None, "decision_ts": TF,
        "decision_price": 100.4, "arrival_price": None, "aimed": None, "fill_price": None, "take_bps": 100.0,
        "stop": pytest.approx(0.005), "trail": pytest.approx(0.2008), "horizon": 20.0, "patience": 4.0,
        "chase": None,
    }  # fmt: skip


def test_a_market_entry_has_neither_a_limit_nor_patience_and_what_the_signal_says_counts():
    own = {"side": LONG, "take_bps": 33.0, "stop_bps": 44.0, "horizon": 5.0}
    slot = heard((FLAT,), {0: own}, params(limit_bars=4.0)).slots[0]
    assert (MARKET, math.inf, 33.0, pytest.approx(0.0044), 5.0, 0.0) == tuple(
        slot[name] for name in ("kind", "patience", "take_bps", "stop", "horizon", "trail")
    )
    assert math.isnan(slot["limit"])


def refusal(said, **settings):
    """(action, rule, value, limit) of an entry at the close of a flat bar that is refused, and what waits then."""
    venue = {name: settings.pop(name) for name in ("min_notional", "lot", "per_lot") if name in settings}
    one = heard((FLAT,), {0: {"side": LONG, **said}}, params(**settings), instrument(**venue))
    decision = only(one.drain().decisions)
    assert (FREE, 0) == (one.slots[0].state, one.positions[0].waiting)
    values = [None if math.isnan(decision[name]) else float(decision[name]) for name in ("value", "limit")]
    return int(decision["action"]), int(decision["rule"]), *values


@pytest.mark.parametrize(("bps", "value"), [(0.0, 0.0), (-10.0, -0.001), (10_000.0, 1.0), (20_000.0, 2.0)])
def test_a_stop_of_nothing_or_of_all_is_no_stop(bps, value):
    assert (REFUSED, NO_STOP, pytest.approx(value), 0.0) == refusal({"stop_bps": bps})
    assert (REFUSED, NO_STOP, pytest.approx(value), 0.0) == refusal({}, stop_bps=bps)


def test_a_stop_that_warms_up_is_what_an_entry_is_refused_for_whatever_is_asked_besides():
    atr = {"stop_in_atr": 1, "stop_atr": 1.5, "fixed_notional": 0.0, "risk_fraction": 0.01}
    assert (REFUSED, NO_STOP, None, 0.0) == refusal({"p_win": 0.6}, **atr)
    assert (REFUSED, NO_STOP, None, 0.0) == refusal({"p_win": 0.6}, **atr, limits=1, kelly=0.25)


def test_a_stop_just_inside_is_one():
    for bps in (0.01, 9_999.0):
        assert SENT == heard((FLAT,), {0: {"side": LONG, "stop_bps": bps}}).slots[0].state


def test_a_trail_below_nothing_is_refused_by_its_own_value_and_one_of_nothing_is_none():
    assert (REFUSED, NO_STOP, pytest.approx(-0.2), 0.0) == refusal({}, trail_bps=-20.0)
    assert (REFUSED, NO_STOP, None, 0.0) == refusal({}, trail_atr=1.0)
    for bps, value in ((10_000.0, 1.0), (0.0, 0.0), (-10.0, -0.001)):  # a stop that is none comes first
        assert (REFUSED, NO_STOP, pytest.approx(value), 0.0) == refusal({"stop_bps": bps}, trail_bps=-20.0)
    assert SENT == heard((FLAT,), {0: LONG}, params(trail_bps=0.0)).slots[0].state


def test_an_entry_too_small_says_its_notional_and_what_is_asked():
    assert (REFUSED, TOO_SMALL, 1000.0, 1000.5) == refusal({}, min_notional=1000.5)
    assert (REFUSED, TOO_SMALL, 0.0, 2000.0) == refusal({}, lot=20.0, per_lot=0.05, min_notional=5.0)
    assert SENT == heard((FLAT,), {0: LONG}, ins=instrument(min_notional=1000.0)).slots[0].state


def test_a_flip_of_which_the_new_side_is_refused_is_a_close():
    one = heard((FLAT, FLAT), {0: LONG, 1: {"side": SHORT, "stop_bps": 0.0}})
    first, second = one.drain().decisions
    assert (OPENED, CLOSED, NO_STOP) == (first["action"], second["action"], second["rule"])
    assert (FREE, SENT, FLIP, -1, 10.0) == (one.slots[0].state, *one.slots[3][["state", "reason", "side", "qty"]])


def test_a_flip_sends_both_halves():
    one = heard((FLAT, FLAT), {0: LONG, 1: SHORT})
    assert [(OPENED, 1.0), (FLIPPED, 2.0)] == answers(one)
    assert [(SENT, -1, 2 * TF)] * 2 == [(s.state, s.side, s.decision_ts) for s in one.slots[[0, 3]]]
    assert (FLIP, 2) == (one.slots[3].reason, one.positions[0].waiting)


def test_a_flip_heard_twice_is_held():
    one = heard((FLAT, FLAT, EMPTY, EMPTY), {0: LONG, 1: SHORT, 2: SHORT, 3: SHUT})
    # the close that waits is not sent again; what waited is cancelled
    assert [(OPENED, 1.0), (FLIPPED, 2.0), (HELD, 3.0), (CLOSED, 4.0)] == answers(one)
    assert (2 * TF, FLIP, FREE, 1) == (
        one.slots[3].decision_ts, one.slots[3].reason, one.slots[0].state, one.positions[0].waiting,
    )  # fmt: skip


def test_a_close_is_asked_for_once():
    one = heard((FLAT, FLAT, EMPTY), {0: LONG, 1: SHUT, 2: SHUT})
    assert [(OPENED, 1.0), (CLOSED, 2.0), (HELD, 3.0)] == answers(one)
    assert (EARLY_STOP, 2 * TF, -1) == tuple(one.slots[3][["reason", "decision_ts", "side"]])


def test_the_side_of_before_while_a_close_waits_is_held_and_the_other_is_a_flip():
    one = heard((FLAT, FLAT, EMPTY), {0: LONG, 1: SHUT, 2: LONG})
    assert [(OPENED, 1.0), (CLOSED, 2.0), (HELD, 3.0)] == answers(one)
    one = heard((FLAT, FLAT, EMPTY), {0: LONG, 1: SHUT, 2: SHORT})
    assert [(OPENED, 1.0), (CLOSED, 2.0), (FLIPPED, 3.0)] == answers(one)
    # the close that waits stays what it was
    assert (EARLY_STOP, 2 * TF) == tuple(one.slots[3][["reason", "decision_ts"]])


@pytest.mark.parametrize(("then", "reason", "action"), [(SHUT, CLOSE_SIGNAL, CLOSED), (SHORT, OPPOSITE_SIGNAL, OPENED)])
def test_an_entry_that_is_taken_back_is_told_in_full(then, reason, action):
    away = (100.2, 100.3, 100.1, 100.2)
    one = heard((FLAT, away), {0: LONG, 1: then}, params(**RESTING))
    rows = one.drain()
    assert told(only(rows.orders)) == {
        "order_id": 1, "side": 1, "kind": LIMIT, "status": CANCELLED, "reason": reason, "role": ENTRY,
        "decision_ts": TF, "arrival_ts": TF, "end_ts": 2 * TF, "qty": 10.0, "decision_price": 100.0,
        "arrival_price": None, "mid": 100.2, "fill_price": None, "end_price": 100.2,
    }  # fmt: skip
    assert [OPENED, action] == rows.decisions["action"].tolist()
    assert int(then != SHUT) == one.positions[0].waiting


def test_an_entry_at_the_last_bar_ends_there_and_is_told_in_full():
    one = heard(((100.0, 101.0, 99.0, 100.4),), {0: LONG}, last=True)
    rows = one.drain()
    assert told(only(rows.orders)) == {
        "order_id": 1, "side": 1, "kind": MARKET, "status": EXPIRED, "reason": END_OF_DATA, "role": ENTRY,
        "decision_ts": TF, "end_ts": TF, "qty": 9.96, "decision_price": 100.4, "arrival_price": None, "mid": None,
        "fill_price": None, "end_price": 100.4,
    }  # fmt: skip
    assert (OPENED, FREE, 1, 0) == (
        only(rows.decisions)["action"], one.slots[0].state, one.slots[0].waited, one.positions[0].waiting,
    )  # fmt: skip


def test_what_no_signal_promises_comes_last():
    assert [3.0, -3.0, -math.inf] == [
        expected(signals(1, {0: {"side": LONG, "expected_bps": bps}})[0]) for bps in (3.0, -3.0, NAN)
    ]


def test_of_several_symbols_each_is_answered_with_its_own_bar_instrument_and_slots():
    venue = instrument().repeat(3)
    venue["lot"], venue["per_lot"] = (0.001, 0.1, 1.0), (1000.0, 10.0, 1.0)
    one = Engine(venue, params(), 10_000.0)
    candles = [(price,) * 4 for price in (30.0, 70.0, 110.0)]
    said = {0: {"side": LONG, "expected_bps": 1.0}, 2: {"side": SHORT, "expected_bps": 2.0}}
    one.run(one_clock(*(bars(candle, sym=s) for s, candle in enumerate(candles))), signals(3, said))
    assert [(2, -1, 110.0, 9.0, 1), (0, 1, 30.0, 33.333, 2)] == [
        (s, slot.side, slot.decision_price, slot.qty, slot.id) for s, slot in ((2, one.slots[8]), (0, one.slots[0]))
    ]
    assert [2, 0] == one.drain().decisions["sym"].tolist()
    assert ([0] * 10, FREE) == (one.slots["state"][[1, 2, 3, 4, 5, 6, 7, 9, 10, 11]].tolist(), one.slots[4].state)


@pytest.mark.parametrize(
    ("before", "now", "action"),
    [
        ({}, SHUT, HELD),
        ({0: LONG}, LONG, HELD),
        ({0: LONG}, SHUT, CLOSED),
        ({0: LONG, 1: SHORT}, LONG, CLOSED),
        ({0: LONG, 1: SHORT}, SHORT, HELD),
        ({0: LONG, 1: SHORT}, SHUT, CLOSED),
    ],
)
def test_what_one_symbol_is_answered_at_once_takes_no_answer_from_another(before, now, action):
    one = Engine(instrument().repeat(2), params(), 10_000.0)
    clock = one_clock(bars(FLAT, FLAT, EMPTY), bars(FLAT, FLAT, FLAT, sym=1))
    one.run(clock, signals(6, {**{2 * k: side for k, side in before.items()}, 4: now, 5: LONG}))
    assert [(0, action), (1, OPENED)] == [(d["sym"], d["action"]) for d in one.drain().decisions[-2:]]


def test_the_guard_of_an_entry_hears_what_is_open_and_what_waits():
    one = Engine(instrument().repeat(2), params(leverage=0.15), 10_000.0)
    one.run(one_clock(bars(FLAT), bars(FLAT, sym=1)), signals(2, {0: LONG, 1: LONG}))
    # 1,000 wait already of the 1,500 that are allowed
    assert [10.0, 5.0] == [float(one.slots[at].qty) for at in (0, 4)]


def test_a_scale_of_the_guard_shrinks_the_entry_and_a_refusal_names_what_it_saw():
    acc, p, slot = row(ACCOUNT, equity=1e4, keep_decisions=1)[0], row(POSITION)[0], row(ORDER_SLOT, state=ASKED)[0]
    slot.reason = OPENED
    decision, order, intent = smudged(DECISION), smudged(ORDER), smudged(INTENT)
    (bar,), (sig,) = bars(FLAT), signals(1, {0: LONG})
    where = acc, p, slot, instrument()[0], params()[0], bar, sig, decision, order, intent
    at = row(ASKED_ROW, equity=1e4, price=100.0, stop=0.005, fixed_notional=1000.0, max_leverage=10.0)
    at["venue_leverage"] = 10.0
    for name in ("risk_fraction", "kelly", "max_net_leverage", "max_heat", "max_cluster", "depth_share"):
        at[name] = NAN
    decide_entry(*where, at[0], MARKET, NAN, (0.0, 2, 3.0, 4.0, 9))
    said = decision[["action", "rule", "value", "limit", "until"]]
    assert (REFUSED, 2, 3.0, 4.0, 9, FREE) == (*said, slot.state)
    slot.reason = OPENED
    decide_entry(*where, at[0], MARKET, NAN, (0.5, 0, NAN, NAN, 0))
    assert (OPENED, 0, 5.0, SENT) == (*decision[["action", "rule"]], slot.qty, slot.state)
