"""Which closes are complete, late or missed, by the clock that is told."""

import numpy as np
import pytest

from exec.live.closes import GRACE_S, OVERDUE_S, Closes, Missed
from tests.market import FLAT, bars
from utils.rows import NS_PER_MINUTE
from utils.types import Bar

NAMES = ("BTCUSDT", "ETHUSDT")
#: Both symbols have their bars up to number 10.
LAST = (10 * NS_PER_MINUTE,) * 2


def bar(number, symbol="BTCUSDT"):
    return Bar(symbol, "1m", number * NS_PER_MINUTE, number * NS_PER_MINUTE, *FLAT, 1.0)


def rows(*numbers):
    """What REST has of these bars."""
    return np.concatenate([bars(FLAT, first=number - 1, sym=7, last=True) for number in numbers])


def fresh():
    return Closes(NAMES, LAST, NS_PER_MINUTE)


def numbers(instants):
    """(number, symbols, late) of each close."""
    return [(int(one["ts"][0]) // NS_PER_MINUTE, one["sym"].tolist(), late) for one, late in instants]


def test_a_close_is_due_when_the_bars_of_all_symbols_are_there():
    closes = fresh()
    closes.see(bar(11, "ETHUSDT"), 0.0)
    assert closes.due(0.0) is None
    closes.see(bar(11), 1.0)
    due = closes.due(1.0)
    assert ((), False) == (due.missed, due.late)
    assert [(11, [0, 1], False)] == numbers(closes.instants(due, []))
    assert closes.due(1.0) is None


def test_a_close_waits_for_a_missing_bar_and_then_has_it_asked_for():
    closes = fresh()
    closes.see(bar(11), 100.0)
    assert closes.due(100.0 + GRACE_S) is None
    due = closes.due(100.1 + GRACE_S)
    assert (Missed("ETHUSDT", 11 * NS_PER_MINUTE, 11 * NS_PER_MINUTE),) == due.missed
    assert [(11, [0, 1], False)] == numbers(closes.instants(due, [rows(11)]))


def test_bars_before_the_one_that_came_are_late_each_at_its_own_close():
    closes = fresh()
    for name in NAMES:
        closes.see(bar(13, name), 0.0)
    due = closes.due(0.0)
    wanted = [(one.symbol, one.first // NS_PER_MINUTE, one.last // NS_PER_MINUTE) for one in due.missed]
    assert [("BTCUSDT", 11, 12), ("ETHUSDT", 11, 12)] == wanted
    instants = closes.instants(due, [rows(11, 12), rows(12)])
    assert [(11, [0], True), (12, [0, 1], True), (13, [0, 1], False)] == numbers(instants)
    assert [[0], [0, 1], [0, 0]] == [one["gap"].tolist() for one, _ in instants]
    assert {0} == {int(last) for one, _ in instants for last in one["last"]}


def test_closes_are_due_in_their_order():
    closes = fresh()
    for number in (12, 11):
        for name in NAMES:
            closes.see(bar(number, name), 0.0)
    found = []
    while due := closes.due(0.0):
        found += numbers(closes.instants(due, []))
    assert [(11, [0, 1], False), (12, [0, 1], False)] == found


def test_a_bar_that_is_known_already_is_passed_over():
    closes = fresh()
    closes.see(bar(10), 0.0)
    assert closes.due(50.0) is None


def test_a_silent_stream_is_asked_for_by_rest_and_its_bars_are_late():
    closes = fresh()
    assert closes.due(1000.0) is None
    assert closes.due(1060.0 + OVERDUE_S) is None
    due = closes.due(1060.1 + OVERDUE_S)
    assert (True, ["BTCUSDT", "ETHUSDT"]) == (due.late, [one.symbol for one in due.missed])
    assert [(11, [0, 1], True)] == numbers(closes.instants(due, [rows(11), rows(11)]))


def test_silence_is_counted_from_the_last_close():
    closes = fresh()
    for name in NAMES:
        closes.see(bar(11, name), 500.0)
    closes.instants(closes.due(500.0), [])
    assert closes.due(560.0 + OVERDUE_S) is None
    assert closes.due(560.1 + OVERDUE_S).late


def test_a_bar_that_nobody_has_is_a_gap_of_the_next():
    closes = fresh()
    due = closes.due(0.0) or closes.due(1000.0)
    assert [] == closes.instants(due, [rows(11)[:0], rows(11)[:0]])
    for name in NAMES:
        closes.see(bar(12, name), 1000.0)
    ((instant, _),) = closes.instants(closes.due(1000.0), [rows(11)[:0]] * 2)
    assert [1, 1] == instant["gap"].tolist()


def test_answers_stand_beside_what_was_asked_for():
    closes = fresh()
    closes.see(bar(12), 0.0)
    due = closes.due(GRACE_S + 1.0)
    with pytest.raises(ValueError, match="zip"):
        closes.instants(due, [rows(11)])


def test_what_closed_while_nobody_followed_is_late_all_of_it():
    closes = fresh()
    due = closes.behind(13 * NS_PER_MINUTE)
    assert [("BTCUSDT", 11, 13), ("ETHUSDT", 11, 13)] == [
        (one.symbol, one.first // NS_PER_MINUTE, one.last // NS_PER_MINUTE) for one in due.missed
    ]
    instants = closes.instants(due, [rows(11, 12, 13), rows(11, 13)])
    assert [(11, [0, 1], True), (12, [0], True), (13, [0, 1], True)] == numbers(instants)
    assert ((), []) == (closes.behind(13 * NS_PER_MINUTE).missed, closes.instants(closes.behind(0), []))
