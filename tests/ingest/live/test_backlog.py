"""What waits for a reader, and what a reader too slow is told."""

import json
import math

from ingest.live.backlog import Backlog
from ingest.venues.bybit.protocol import BybitProtocol
from ingest.wire.streams import Stream
from utils.types import BookInvalid, BookSnapshot, Trade

NOW = 1_700_000_000_000_000_000
TRADE = Trade("BTCUSDT", 1, 1, 100.0, 1.0, 1)
INVALID = BookInvalid("BTCUSDT", 1, 1, "gap")
SNAPSHOT = {
    "topic": "orderbook.50.BTCUSDT",
    "type": "snapshot",
    "ts": NOW // 10**6,
    "data": {"s": "BTCUSDT", "b": [["99.0", "1"]], "a": [["101.0", "2"]], "u": 5, "seq": 7},
    "cts": NOW // 10**6,
}


def backlog(room=10, *, live):
    """A backlog over one book of Bybit, with or without a snapshot."""
    protocol = BybitProtocol([Stream("book", "BTCUSDT")])
    protocol.connected(NOW)
    if live:
        protocol.receive(json.dumps(SNAPSHOT), NOW)
    return Backlog(room, {"BTCUSDT": protocol})


def everything(waiting):
    return [waiting.take() for _ in range(len(waiting))]


def test_events_leave_in_the_order_they_came():
    waiting = backlog(live=True)
    assert waiting.put([TRADE, INVALID], 0) == 0
    assert waiting.put([TRADE], 0) == 0
    assert everything(waiting) == [TRADE, INVALID, TRADE]
    assert waiting.dropped == 0


def test_a_full_backlog_drops_all_counts_it_and_a_live_book_begins_anew():
    waiting = backlog(room=4, live=True)
    waiting.put([TRADE] * 4, 0)
    assert waiting.put([TRADE], 0) == 5
    assert waiting.dropped == 5
    invalid, snapshot = everything(waiting)
    assert isinstance(invalid, BookInvalid)
    assert "5 events dropped" in invalid.reason
    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.bids, snapshot.asks) == (((99.0, 1.0),), ((101.0, 2.0),))


def test_a_slow_reader_is_still_told_of_a_book_that_is_not_live():
    waiting = backlog(room=10, live=False)
    waiting.put([TRADE, INVALID], 0)
    waiting.put([TRADE] * 10, 0)
    assert (everything(waiting), waiting.dropped) == ([INVALID], 12)


def test_there_is_always_room_for_the_new_beginning_of_the_books():
    assert backlog(room=1, live=True).room == 4


def test_time_from_socket_to_reader_is_unknown_before_the_first_event():
    waiting = backlog(live=True)
    assert all(math.isnan(value) for value in waiting.latency_us(0.5, 1.0))
    waiting.put([TRADE], 0)
    waiting.take()
    p50, longest = waiting.latency_us(0.5, 1.0)
    assert 0 < p50 == longest
