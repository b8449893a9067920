"""An older time or id is late, until nothing else comes: then a clock was set, or ids began anew."""

from __future__ import annotations

from ingest.wire.order import ANEW_NS, Order

MS = 1_000_000


def test_what_is_older_is_late_and_what_is_as_old_is_not():
    order = Order()
    assert [False, False, True, False, True] == [order.late(value, 1) for value in (5, 5, 4, 6, 5)]
    assert order.latest == 6


def test_when_nothing_but_what_is_late_comes_for_five_seconds_it_is_the_order():
    order = Order()
    order.late(100, 0)
    assert order.late(10, 1)
    assert order.late(11, ANEW_NS)
    assert not order.late(12, ANEW_NS + 1)
    assert order.late(11, ANEW_NS + 2)


def test_one_that_is_on_time_between_them_ends_the_wait():
    order = Order()
    order.late(100, 0)
    order.late(10, 1)
    order.late(101, 2)
    assert order.late(11, ANEW_NS + 1)
