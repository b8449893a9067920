"""The Bybit core, rule by rule: what makes a book, what ends it, what is asked for, and what becomes an event."""

import json
import math
from datetime import UTC, datetime

import pytest

from ingest.venues.bybit.protocol import BybitProtocol, connections
from ingest.wire.streams import Connection, ReceiveClock, Stream, WireProtocol
from tests.wire import MS, R0, T0, S, answer, book_counts, bybit, bybit_book, bybit_protocol, bybit_trade, names, text
from utils.errors import ConfigError
from utils.types import (
    Bar,
    BookDelta,
    BookInvalid,
    BookSnapshot,
    Funding,
    Liquidation,
    MarkPrice,
    Quote,
    Trade,
)

KEY = ("BTCUSDT", "book")
SNAPSHOT = bybit_book(100, "64999.9 1.2, 64999.8 3", "65000 0.3, 65000.1 0.7", "snapshot")


def live(**settings):
    """A core whose book of BTCUSDT stands at update 100."""
    protocol = bybit_protocol(**settings)
    protocol.receive(SNAPSHOT, R0)
    return protocol


def frames(protocol):
    """What is to be sent: operation and topics."""
    return [(frame["op"], frame.get("args")) for frame in map(json.loads, protocol.outgoing())]


def resubscription(*topics):
    return [(op, [topic]) for topic in topics for op in ("unsubscribe", "subscribe")]


FRESH_BOOK = resubscription("orderbook.50.BTCUSDT")


def test_it_is_what_shells_and_tapes_expect():
    assert isinstance(BybitProtocol([]), WireProtocol)


# a book begins


def test_a_snapshot_begins_a_book():
    protocol = bybit_protocol()
    events = protocol.receive(SNAPSHOT, R0)
    bids, asks = ((64999.9, 1.2), (64999.8, 3.0)), ((65000.0, 0.3), (65000.1, 0.7))
    assert [BookSnapshot("BTCUSDT", T0 * MS, R0, bids, asks)] == events
    view = protocol.book("BTCUSDT")
    assert ("live", "", 100, bids, asks) == (view.state, view.reason, view.update_id, view.bids, view.asks)


def test_a_delta_changes_it():
    protocol = live()
    events = protocol.receive(bybit_book(101, "64999.9 0, 64999.5 2", "65000 0.29", ts=T0 + 20), R0 + 20 * MS)
    changed = (((64999.9, 0.0), (64999.5, 2.0)), ((65000.0, 0.29),))
    assert [BookDelta("BTCUSDT", (T0 + 20) * MS, R0 + 20 * MS, *changed)] == events
    assert ((64999.8, 3.0), (64999.5, 2.0)) == protocol.book("BTCUSDT").bids


def test_the_time_of_matching_is_the_time_of_a_book_and_that_of_pushing_where_it_is_missing():
    protocol = live()
    [event] = protocol.receive(bybit_book(101, ts=T0 + 7, cts=T0 + 3), R0)
    assert (T0 + 3) * MS == event.ts
    message = json.loads(bybit_book(102, ts=T0 + 9))
    del message["cts"]
    [event] = protocol.receive(text(message), R0)
    assert (T0 + 9) * MS == event.ts


def test_a_snapshot_in_mid_stream_replaces_the_book():
    protocol = live()
    [event] = protocol.receive(bybit_book(500, "64000 1", "64001 1", "snapshot"), R0)
    assert (((64000.0, 1.0),), ((64001.0, 1.0),)) == (event.bids, event.asks)
    assert ["BookDelta"] == names(protocol.receive(bybit_book(501), R0))


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
def test_update_1_is_a_restart_of_the_service_and_replaces_the_book(kind):
    protocol = live()
    [event] = protocol.receive(bybit_book(1, "64000 1", "64001 1", kind), R0)
    assert ((64000.0, 1.0),) == event.bids
    assert 0 == book_counts(protocol).sequence_breaks


def test_update_0_begins_no_chain_that_could_not_be_checked():
    protocol = bybit_protocol()
    protocol.receive(bybit_book(0, "64999 1", "65001 1", "snapshot"), R0)
    assert [] == protocol.receive(bybit_book(57, "64998 1"), R0)
    assert (1, "invalid") == (book_counts(protocol).bad_messages, protocol.book("BTCUSDT").state)


def test_a_snapshot_may_be_smaller_than_the_book_it_replaces_or_empty():
    protocol = live()
    protocol.receive(bybit_book(101, "", "", "snapshot"), R0)
    view = protocol.book("BTCUSDT")
    assert ("live", (), ()) == (view.state, view.bids, view.asks)
    assert all(math.isnan(value) for value in protocol.top("BTCUSDT")[0])


def test_a_delta_before_the_first_snapshot_is_not_looked_at():
    protocol = bybit_protocol()
    assert [] == protocol.receive(bybit_book(99, "64999 1"), R0)
    assert ["BookSnapshot"] == names(protocol.receive(SNAPSHOT, R0))
    assert ((64999.9, 1.2), (64999.8, 3.0)) == protocol.book("BTCUSDT").bids


def test_a_delta_without_levels_is_a_delta():
    protocol = live()
    assert ["BookDelta"] == names(protocol.receive(bybit_book(101), R0))
    assert 101 == protocol.book("BTCUSDT").update_id


@pytest.mark.parametrize("price", ["65000", "65000.0", "65000.00", "065000"])
def test_one_price_is_one_level_however_it_is_written(price):
    protocol = live()
    protocol.receive(bybit_book(101, a=f"{price} 9"), R0)
    assert ((65000.0, 9.0), (65000.1, 0.7)) == protocol.book("BTCUSDT").asks


def test_a_book_holds_as_many_levels_as_were_asked_for():
    protocol = live()
    far = ", ".join(f"{64000 - i} 1" for i in range(60))
    protocol.receive(bybit_book(101, far), R0)
    assert 50 == len(protocol.book("BTCUSDT", 100).bids)


def test_depth_1_repeats_its_snapshot_with_the_same_update():
    protocol = bybit_protocol(Stream("book", "BTCUSDT", depth=1))
    message = bybit_book(7, "64999 1", "65000 1", "snapshot", depth=1)
    assert ["BookSnapshot", "BookSnapshot"] == names(protocol.receive(message, R0) + protocol.receive(message, R0))
    assert 0 == book_counts(protocol).duplicates


def test_exchange_time_may_go_back_while_updates_go_on():
    protocol = live()
    assert ["BookDelta"] == names(protocol.receive(bybit_book(101, ts=T0 - 500), R0))


# a book ends


def test_a_gap_ends_the_book_at_once_and_asks_for_a_fresh_one():
    protocol = live()
    events = protocol.receive(bybit_book(102, "64999 1", ts=T0 + 40), R0 + 40 * MS)
    reason = "gap: update 102 came after 100"
    assert [BookInvalid("BTCUSDT", (T0 + 40) * MS, R0 + 40 * MS, reason)] == events
    assert FRESH_BOOK == frames(protocol)
    view = protocol.book("BTCUSDT")
    assert ("invalid", reason, ()) == (view.state, view.reason, view.bids)
    assert all(math.isnan(value) for value in protocol.top("BTCUSDT")[0])


def test_after_a_gap_nothing_comes_from_the_book_until_its_snapshot():
    protocol = live()
    protocol.receive(bybit_book(102, ts=T0 + 40), R0)
    assert [] == protocol.receive(bybit_book(103), R0) + protocol.receive(bybit_book(105), R0)
    assert ["BookSnapshot"] == names(
        protocol.receive(bybit_book(106, "64999 1", "65000 1", "snapshot", ts=T0 + 90), R0)
    )
    counts = book_counts(protocol)
    assert (2, 1, 50 * MS) == (counts.sequence_breaks, counts.invalid, counts.invalid_ns)


@pytest.mark.parametrize("update", [100, 99])
def test_a_repeated_or_late_delta_is_counted_and_dropped(update):
    protocol = live()
    assert [] == protocol.receive(bybit_book(update, "64999.9 7"), R0)
    assert (1, "live", (64999.9, 1.2)) == (
        book_counts(protocol).duplicates,
        protocol.book("BTCUSDT").state,
        protocol.book("BTCUSDT").bids[0],
    )


@pytest.mark.parametrize("bids", ["65000 1", "65000.05 1"])
def test_a_crossed_or_locked_book_is_invalid(bids):
    protocol = live()
    [event] = protocol.receive(bybit_book(101, bids, ts=T0 + 1), R0)
    assert ("crossed: best bid at or above best ask", 1) == (event.reason, book_counts(protocol).crossed)
    assert FRESH_BOOK == frames(protocol)


def test_a_crossed_snapshot_is_never_live():
    protocol = bybit_protocol()
    assert ["BookInvalid"] == names(protocol.receive(bybit_book(5, "65001 1", "65000 1", "snapshot"), R0))
    assert "invalid" == protocol.book("BTCUSDT").state


BAD_NUMBERS = [
    "NaN",
    "Infinity",
    "",
    None,
    "-1",
    1e400,
    "1,5",
    64999.5,
    64999,
    "1e3",
    " 1",
    "1_000",
    "٣",
    "1" * 30,
    ".",
]


@pytest.mark.parametrize("bad", BAD_NUMBERS, ids=repr)
@pytest.mark.parametrize("place", [0, 1], ids=["price", "quantity"])
def test_a_bad_number_refuses_the_whole_message(bad, place):
    protocol = live()
    level = ["64999.9", "9"]
    level[place] = bad
    message = (
        bybit_book(101, b=[["64999.8", "9"], level]).replace(b"Infinity,", b"1e400,").replace(b"Infinity]", b"1e400]")
    )
    [event] = protocol.receive(message, R0)
    assert isinstance(event, BookInvalid)
    assert (1, 0) == (book_counts(protocol).bad_messages, book_counts(protocol).sequence_breaks)
    assert FRESH_BOOK == frames(protocol)


def test_a_price_of_0_is_no_price():
    assert ["BookInvalid"] == names(live().receive(bybit_book(101, "0 1"), R0))


@pytest.mark.parametrize("key", ["s", "b", "a", "u"])
def test_a_missing_field_refuses_the_whole_message(key):
    message = json.loads(bybit_book(101, "64999 1"))
    del message["data"][key]
    assert ["BookInvalid"] == names(live().receive(text(message), R0))


@pytest.mark.parametrize("key", ["ts", "type", "data"])
def test_a_missing_key_of_the_envelope_refuses_the_whole_message(key):
    message = json.loads(bybit_book(101, "64999 1"))
    del message[key]
    assert ["BookInvalid"] == names(live().receive(text(message), R0))


@pytest.mark.parametrize("update", ["101", 101.5, True, None, -1, 2**70])
def test_an_update_id_that_is_none_refuses_the_whole_message(update):
    assert ["BookInvalid"] == names(live().receive(bybit_book(update), R0))


def test_another_symbol_in_the_data_refuses_the_message_and_touches_no_other_book():
    protocol = bybit_protocol(Stream("book", "BTCUSDT"), Stream("book", "ETHUSDT"))
    protocol.receive(SNAPSHOT, R0)
    protocol.receive(bybit_book(7, "3000 1", "3001 1", "snapshot", "ETHUSDT"), R0)
    [event] = protocol.receive(bybit_book(101, "3000 5", s="ETHUSDT"), R0)
    assert ("BTCUSDT", "bad message: symbol: expected BTCUSDT, saw 'ETHUSDT'") == (event.symbol, event.reason)
    assert ["live", "invalid"] == [protocol.book(symbol).state for symbol in ("ETHUSDT", "BTCUSDT")]
    assert ["BookDelta"] == names(protocol.receive(bybit_book(8, "3000 5", symbol="ETHUSDT"), R0))


@pytest.mark.parametrize(
    "ts",
    [0, T0 // 1000, T0 * 1000, T0 * MS, -5, 2**70, 10**4299],
    ids=lambda ts: f"{ts:.3e}"[:9] if ts < 10**300 else "huge",
)
def test_a_time_that_is_not_milliseconds_refuses_the_message(ts):
    assert ["BookInvalid"] == names(live().receive(bybit_book(101, ts=ts), R0))


@pytest.mark.parametrize("field", ["ts", "cts"])
def test_exchange_time_more_than_5_s_ahead_refuses_the_message(field):
    message = json.loads(bybit_book(101))
    message[field] = T0 + 5_100
    [event] = live().receive(text(message), R0)
    assert (T0 * MS, True) == (event.ts, "ahead" in event.reason)


def test_when_every_message_is_ahead_for_a_second_a_clock_was_set_and_the_book_begins_anew():
    protocol = live()
    for step in range(12):
        protocol.receive(bybit_book(101 + step, ts=T0 + 90_000 + 100 * step), R0 + step * 100 * MS)
    [event] = protocol.receive(bybit_book(1, "64999 1", "65000 1", ts=T0 + 91_300), R0 + 1_300 * MS)
    assert isinstance(event, BookSnapshot)
    assert event.ts_recv >= event.ts


def test_one_stream_that_runs_ahead_of_the_others_is_never_believed():
    protocol = bybit_protocol(Stream("book", "BTCUSDT"), Stream("book", "ETHUSDT"))
    for step in range(30):
        now = step * 100
        protocol.receive(bybit_book(7, "3000 1", "3001 1", "snapshot", "ETHUSDT", ts=T0 + now), R0 + now * MS)
        protocol.receive(bybit_book(7, "64999 1", "65000 1", "snapshot", ts=T0 + now + 90_000), R0 + now * MS)
    assert ("invalid", 30) == (protocol.book("BTCUSDT").state, book_counts(protocol).bad_messages)


def test_a_machine_clock_that_is_behind_is_corrected():
    protocol = bybit_protocol()
    [event] = protocol.receive(SNAPSHOT, R0 - 90 * S)
    assert event.ts == event.ts_recv
    [event] = protocol.receive(bybit_book(101, ts=T0 + 100), R0 - 90 * S + 130 * MS)
    assert 30 * MS == event.ts_recv - event.ts


def test_one_clock_serves_several_connections():
    clock = ReceiveClock()
    bybit_protocol(clock=clock).receive(SNAPSHOT, R0 - 90 * S)
    [event] = bybit_protocol(clock=clock).receive(bybit_book(100, "1 1", "2 1", "snapshot", ts=T0 - 50), R0 - 90 * S)
    assert 50 * MS == event.ts_recv - event.ts


# fresh books are asked for with patience


def test_a_book_that_breaks_again_at_once_is_asked_for_after_a_growing_wait():
    protocol = live(heartbeat_s=1000.0)
    asked = []
    for ms in range(0, 40_000, 100):
        now = R0 + ms * MS
        protocol.receive(bybit_book(100, "64999 1", "65000 1", "snapshot", ts=T0 + ms), now)
        protocol.receive(bybit_book(102, ts=T0 + ms), now)
        protocol.tick(now)
        if frames(protocol):
            asked.append(ms)
    assert [0, 1_000, 3_000, 7_000, 15_000] == [ms for ms in asked if ms < 30_000]


def test_a_book_that_lived_for_10_s_is_asked_for_at_once():
    protocol = live()
    protocol.receive(bybit_book(102), R0)
    protocol.receive(bybit_book(200, "64999 1", "65000 1", "snapshot"), R0)
    protocol.outgoing()
    protocol.receive(bybit_book(202, ts=T0 + 11_000), R0 + 11 * S)
    assert FRESH_BOOK == frames(protocol)


def test_a_snapshot_that_does_not_come_is_asked_for_again():
    protocol = live()
    protocol.receive(bybit_book(102), R0)
    protocol.outgoing()
    protocol.tick(R0 + 9 * S)
    assert [] == frames(protocol)
    protocol.tick(R0 + 10 * S)
    assert FRESH_BOOK == frames(protocol)


# silence


def test_a_book_whose_exchange_time_stands_still_is_stale():
    protocol = live()
    assert [] == protocol.tick(R0 + 10 * S)
    [event] = protocol.tick(R0 + 10 * S + 1)
    assert ("stale: exchange time stood still for 10.0 s", T0 * MS) == (event.reason, event.ts)
    assert FRESH_BOOK == frames(protocol)


def test_messages_that_repeat_their_exchange_time_do_not_keep_a_book_alive():
    protocol = live(stale_s=2.0)
    for second in range(1, 4):
        protocol.receive(bybit_book(100 + second), R0 + second * S)
    assert ["BookInvalid"] == names(protocol.tick(R0 + 3 * S))


def test_the_watch_is_on_each_symbol():
    protocol = bybit_protocol(Stream("book", "BTCUSDT"), Stream("book", "ETHUSDT"), stale_s=2.0)
    protocol.receive(SNAPSHOT, R0)
    for second in range(4):
        ts = T0 + 1000 * second
        eth = bybit_book(7 + second, "3000 1", "3001 1", "delta" if second else "snapshot", "ETHUSDT", ts=ts)
        protocol.receive(eth, R0 + second * S)
    assert ["BTCUSDT"] == [event.symbol for event in protocol.tick(R0 + 3 * S)]


def test_a_connection_on_which_nothing_comes_has_failed():
    protocol = live(stale_s=10.0, heartbeat_s=20.0)
    protocol.tick(R0 + 30 * S)
    assert "" == protocol.failure
    protocol.tick(R0 + 31 * S)
    assert "nothing came for 31.0 s" == protocol.failure
    protocol.connected(R0 + 32 * S)
    assert "" == protocol.failure


# what is sent


def test_a_connection_begins_with_subscriptions_of_at_most_ten_topics():
    streams = [Stream("trades", f"COIN{i}USDT") for i in range(12)]
    protocol = BybitProtocol(streams)
    protocol.connected(R0)
    assert [10, 2] == [len(args) for op, args in frames(protocol) if op == "subscribe"]


def test_quote_and_mark_share_a_topic_and_each_kind_has_its_own_name():
    streams = [
        Stream("book", "BTC/USDT:USDT", depth=200),
        Stream("trades", "BTCUSDT"),
        Stream("bars", "BTCUSDT", tf="1h"),
        Stream("quote", "BTCUSDT"),
        Stream("mark", "BTCUSDT"),
        Stream("liquidations", "BTCUSDT"),
    ]
    protocol = BybitProtocol(streams)
    protocol.connected(R0)
    topics = ["orderbook.200", "publicTrade", "kline.60", "tickers", "allLiquidation"]
    assert [("subscribe", [f"{topic}.BTCUSDT" for topic in topics])] == frames(protocol)


def test_pings_are_sent_and_any_form_of_answer_is_one():
    answers = [
        text({"success": True, "ret_msg": "pong", "conn_id": "x", "req_id": "7", "op": "ping"}),
        text({"op": "pong", "args": ["1795327094280"]}),
        b"pong",
        "pong",
    ]
    for pong in answers:
        protocol = live(heartbeat_s=5.0, stale_s=1000.0)
        for seconds in range(1, 30):
            protocol.tick(R0 + seconds * S)
            if frames(protocol):
                assert [] == protocol.receive(pong, R0 + seconds * S)
        assert "" == protocol.failure


def test_pings_that_are_not_answered_fail_the_connection_though_data_flows():
    protocol = live(heartbeat_s=5.0)
    for seconds in range(1, 16):
        protocol.receive(bybit_book(100 + seconds, ts=T0 + 1000 * seconds), R0 + seconds * S)
        protocol.tick(R0 + seconds * S)
    assert ("pings unanswered for 10.0 s", 3) == (
        protocol.failure,
        sum(op == "ping" for op, _ in frames(protocol)),
    )


def test_data_may_come_before_the_answer_to_the_subscription():
    protocol = BybitProtocol([Stream("book", "BTCUSDT")])
    protocol.connected(R0)
    assert ["BookSnapshot"] == names(protocol.receive(SNAPSHOT, R0))
    assert [] == protocol.receive(text({"success": True, "ret_msg": "", "req_id": "1", "op": "subscribe"}), R0)


def ack(success, request="", message=""):
    return text({"success": success, "ret_msg": message, "conn_id": "x", "req_id": request, "op": "subscribe"})


def test_a_refused_request_of_several_topics_is_tried_one_by_one():
    protocol = BybitProtocol([Stream("trades", "BTCUSDT"), Stream("trades", "NOPEUSDT")])
    protocol.connected(R0)
    protocol.outgoing()
    protocol.receive(ack(False, "1", "error:handler not found"), R0)
    assert [("subscribe", ["publicTrade.BTCUSDT"]), ("subscribe", ["publicTrade.NOPEUSDT"])] == frames(protocol)
    assert {} == protocol.refused
    protocol.receive(ack(True, "2"), R0)
    protocol.receive(ack(False, "3", "error:handler not found"), R0)
    assert {"publicTrade.NOPEUSDT": "error:handler not found"} == protocol.refused
    assert 1 == protocol.counts()["NOPEUSDT", "trades"].bad_messages


@pytest.mark.parametrize("request_id", ["", "999", None, 7])
def test_an_answer_without_our_id_belongs_to_the_oldest_request(request_id):
    protocol = bybit_protocol(Stream("trades", "NOPEUSDT"))
    protocol.receive(ack(False, request_id, "no"), R0)
    assert {"publicTrade.NOPEUSDT": "no"} == protocol.refused


def test_a_refused_ping_refuses_no_topic():
    protocol = bybit_protocol()
    protocol.receive(text({"success": False, "ret_msg": "too many", "req_id": "7", "op": "ping"}), R0)
    assert {} == protocol.refused


def test_a_topic_that_sends_data_is_not_refused():
    protocol = bybit_protocol(Stream("trades", "BTCUSDT"))
    protocol.receive(ack(False, "1", "already subscribed"), R0)
    protocol.receive(bybit("publicTrade", [bybit_trade("a")]), R0)
    assert {} == protocol.refused


def test_a_subscription_that_is_neither_answered_nor_served_fails_the_connection():
    protocol = bybit_protocol(Stream("trades", "BTCUSDT"), Stream("trades", "ETHUSDT"), stale_s=2.0)
    protocol.receive(bybit("publicTrade", [bybit_trade("a")]), R0)
    protocol.tick(R0 + 6 * S)
    assert "" == protocol.failure
    protocol.tick(R0 + 6 * S + 1)
    assert "subscription to publicTrade.ETHUSDT was not answered" == protocol.failure


def test_a_subscription_that_is_served_needs_no_answer():
    protocol = bybit_protocol(Stream("trades", "BTCUSDT"), stale_s=2.0)
    protocol.receive(bybit("publicTrade", [bybit_trade("a")]), R0)
    protocol.tick(R0 + 7 * S)
    assert "" == protocol.failure


# connections come and go


def test_a_lost_connection_ends_live_books_and_a_new_one_begins_empty():
    protocol = live()
    [event] = protocol.disconnected(R0 + S, "closed 1001")
    assert ("disconnected: closed 1001", T0 * MS, R0 + S) == (event.reason, event.ts, event.ts_recv)
    assert [] == protocol.disconnected(R0 + S, "again")
    assert [] == protocol.connected(R0 + 2 * S)
    view = protocol.book("BTCUSDT")
    assert ("empty", "no snapshot yet", ()) == (view.state, view.reason, view.bids)
    assert [] == protocol.receive(bybit_book(101), R0 + 2 * S)
    assert ["BookSnapshot"] == names(protocol.receive(bybit_book(3, "1 1", "2 1", "snapshot"), R0 + 2 * S))


def test_frames_of_a_lost_connection_are_not_sent_on_the_next():
    protocol = live()
    protocol.receive(bybit_book(102), R0)
    protocol.disconnected(R0, "reset")
    protocol.connected(R0)
    assert [("subscribe", ["orderbook.50.BTCUSDT"])] == frames(protocol)


def test_time_spent_invalid_is_exchange_time_over_lost_connections_too():
    protocol = live()
    protocol.disconnected(R0, "reset")
    protocol.connected(R0)
    protocol.receive(bybit_book(3, "1 1", "2 1", "snapshot", ts=T0 + 700), R0 + 700 * MS)
    assert 700 * MS == book_counts(protocol).invalid_ns


# messages that are none


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"null",
        b"[]",
        b"3",
        b"{",
        b"{}",
        b'"pong"',
        b"<html>503</html>",
        b"\xff\xfe",
        b'{"topic":1}',
        b'{"a":' * 9_000,
    ],
    ids=lambda junk: repr(junk[:12]),
)
def test_what_bybit_never_sends_is_a_protocol_error_and_counted(junk):
    protocol = live()
    assert "expected" in answer(protocol, junk)
    assert (1, "live") == (protocol.counts()["", ""].bad_messages, protocol.book("BTCUSDT").state)


def test_text_that_is_no_unicode_is_a_protocol_error():
    assert "expected" in answer(live(), '{"topic":"\ud800"}')


@pytest.mark.parametrize(
    "message",
    [
        bybit_book(101, symbol="XRPUSDT"),
        bybit("kline.1", [], symbol="BTCUSDT"),
        text({"topic": "greeks.BTC", "data": [1, {"a": []}]}),
        text({"op": "auth", "success": True}),
        text({"op": "something new", "args": {}}),
    ],
)
def test_topics_and_operations_that_are_not_ours_are_ignored_and_counted(message):
    protocol = live()
    assert [] == protocol.receive(message, R0)
    assert 1 == protocol.counts()["", ""].messages


def test_keys_that_are_not_known_and_other_orders_of_keys_are_read():
    protocol = live()
    message = text(
        {
            "new": {"deep": [[1, "x"], None]},
            "cts": T0,
            "data": {"u": 101, "a": [], "extra": 1.5, "b": [["64999.9", "7"]], "s": "BTCUSDT"},
            "ts": T0,
            "type": "delta",
            "topic": "orderbook.50.BTCUSDT",
        }
    )
    assert ["BookDelta"] == names(protocol.receive(message, R0))
    assert (64999.9, 7.0) == protocol.book("BTCUSDT").bids[0]


# the other streams


def test_trades_have_the_aggressors_side_and_their_own_time():
    protocol = bybit_protocol(Stream("trades", "BTCUSDT"))
    rows = [bybit_trade("a", "64999.9", "0.012", "Sell", ts=T0 - 2), bybit_trade("b", "65000", "1", "Buy", ts=T0 - 1)]
    events = protocol.receive(bybit("publicTrade", rows), R0)
    sold, bought = (
        Trade("BTCUSDT", (T0 - 2) * MS, R0, 64999.9, 0.012, -1),
        Trade("BTCUSDT", (T0 - 1) * MS, R0, 65000.0, 1.0, 1),
    )
    assert [sold, bought] == events


def test_a_trade_is_told_once():
    protocol = bybit_protocol(Stream("trades", "BTCUSDT"))
    first = bybit("publicTrade", [bybit_trade("a"), bybit_trade("b"), bybit_trade("a")])
    assert 2 == len(protocol.receive(first, R0))
    assert 1 == len(protocol.receive(bybit("publicTrade", [bybit_trade("b"), bybit_trade("c")]), R0))
    counts = protocol.counts()["BTCUSDT", "trades"]
    assert (2, 2, 3) == (counts.messages, counts.duplicates, counts.events)


def test_a_block_trade_makes_no_event():
    protocol = bybit_protocol(Stream("trades", "BTCUSDT"))
    rows = [bybit_trade("a", BT=True), bybit_trade("b", RPI=True)]
    assert 1 == len(protocol.receive(bybit("publicTrade", rows), R0))


def test_one_bad_trade_refuses_its_whole_message_and_no_id_is_remembered():
    protocol = bybit_protocol(Stream("trades", "BTCUSDT"))
    rows = [bybit_trade("a"), bybit_trade("b", price="NaN")]
    assert [] == protocol.receive(bybit("publicTrade", rows), R0)
    assert 1 == len(protocol.receive(bybit("publicTrade", rows[:1]), R0))
    assert (1, 0) == (
        protocol.counts()["BTCUSDT", "trades"].bad_messages,
        protocol.counts()["BTCUSDT", "trades"].duplicates,
    )


def test_the_memory_of_trade_ids_is_bounded():
    protocol = bybit_protocol(Stream("trades", "BTCUSDT"))
    for start in range(0, 5_000, 1_000):
        protocol.receive(bybit("publicTrade", [bybit_trade(str(start + i)) for i in range(1_000)]), R0)
    assert 1 == len(protocol.receive(bybit("publicTrade", [bybit_trade("0")]), R0))
    assert 0 == len(protocol.receive(bybit("publicTrade", [bybit_trade("4999")]), R0))


def kline(opened, confirm, close="64999.9", **more):
    row = {"start": opened, "end": opened + 59_999, "interval": "1", "open": "64990", "close": close, "high": "65003"}
    return (
        row | {"low": "64988", "volume": "12.004", "turnover": "780212.5", "confirm": confirm, "timestamp": T0} | more
    )


MINUTE = T0 // 60_000 * 60_000


def test_a_bar_is_told_when_it_is_closed_and_once():
    protocol = bybit_protocol(Stream("bars", "BTCUSDT", tf="1m"))
    assert [] == protocol.receive(bybit("kline.1", [kline(MINUTE - 60_000, False)]), R0)
    closed = bybit("kline.1", [kline(MINUTE - 60_000, True), kline(MINUTE, False)])
    [bar] = protocol.receive(closed, R0)
    assert Bar("BTCUSDT", "1m", MINUTE * MS, R0, 64990.0, 65003.0, 64988.0, 64999.9, 12.004) == bar
    assert [] == protocol.receive(closed, R0)
    counts = protocol.counts()["BTCUSDT", "bars"]
    assert (3, 1, 1) == (counts.messages, counts.events, counts.duplicates)


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval": "5"},
        {"high": "1"},
        {"volume": "-1"},
        {"open": "0"},
        {"start": MINUTE + 60_000},
        {"start": MINUTE - 60_001},
    ],
)
def test_a_bar_that_cannot_be_is_refused(wrong):
    protocol = bybit_protocol(Stream("bars", "BTCUSDT", tf="1m"))
    assert [] == protocol.receive(bybit("kline.1", [kline(MINUTE - 60_000, True, **wrong)]), R0)
    assert 1 == protocol.counts()["BTCUSDT", "bars"].bad_messages


def test_a_week_begins_on_monday():
    monday = int(datetime(2026, 11, 9, tzinfo=UTC).timestamp()) * 1000
    protocol = bybit_protocol(Stream("bars", "BTCUSDT", tf="1w"))
    [bar] = protocol.receive(bybit("kline.W", [kline(monday, True, interval="W")]), R0)
    assert (monday + 7 * 86_400_000) * MS == bar.ts
    assert [] == protocol.receive(bybit("kline.W", [kline(monday - 4 * 86_400_000, True, interval="W")]), R0)
    assert 1 == protocol.counts()["BTCUSDT", "bars"].bad_messages


TICKER = {"bid1Price": "64999", "bid1Size": "3", "ask1Price": "65000", "ask1Size": "2", "markPrice": "64999.5"}


def ticker(kind="delta", ts=T0, **fields):
    return bybit("tickers", {"symbol": "BTCUSDT"} | fields, ts=ts, kind=kind)


def test_the_ticker_is_merged_and_tells_what_changed():
    protocol = bybit_protocol(Stream("quote", "BTCUSDT"), Stream("mark", "BTCUSDT"))
    quote = Quote("BTCUSDT", T0 * MS, R0, 64999.0, 3.0, 65000.0, 2.0)
    assert [quote, MarkPrice("BTCUSDT", T0 * MS, 64999.5)] == protocol.receive(ticker("snapshot", **TICKER), R0)
    assert [] == protocol.receive(ticker(volume24h="5"), R0)
    [event] = protocol.receive(ticker(bid1Size="4"), R0)
    assert (4.0, 65000.0) == (event.bid_qty, event.ask)
    assert [MarkPrice("BTCUSDT", T0 * MS, 64998.0)] == protocol.receive(ticker(markPrice="64998"), R0)


@pytest.mark.parametrize(("kind", "expected"), [("quote", ["Quote"]), ("mark", ["MarkPrice"])])
def test_of_the_ticker_only_what_was_asked_for_is_told(kind, expected):
    protocol = bybit_protocol(Stream(kind, "BTCUSDT"))
    assert expected == names(protocol.receive(ticker("snapshot", **TICKER), R0))
    assert {("", ""), ("BTCUSDT", kind)} == set(protocol.counts())


@pytest.mark.parametrize("missing", [{"bid1Price": ""}, {"ask1Size": "0"}, {"bid1Size": ""}])
def test_a_ticker_with_an_empty_side_makes_no_quote(missing):
    protocol = bybit_protocol(Stream("quote", "BTCUSDT"))
    assert [] == protocol.receive(ticker("snapshot", **TICKER | missing), R0)
    assert 0 == protocol.counts()["BTCUSDT", "quote"].bad_messages


def test_a_crossed_ticker_makes_no_quote_and_is_counted():
    protocol = bybit_protocol(Stream("quote", "BTCUSDT"))
    assert [] == protocol.receive(ticker("snapshot", **TICKER | {"bid1Price": "65000"}), R0)
    assert 1 == protocol.counts()["BTCUSDT", "quote"].crossed


def test_funding_is_settled_when_its_time_moves_on_at_the_rate_said_before():
    protocol = bybit_protocol(Stream("mark", "BTCUSDT"))
    protocol.receive(ticker("snapshot", fundingRate="0.0001", nextFundingTime=str(T0 + 1_000)), R0)
    protocol.receive(ticker(fundingRate="-0.0003"), R0)
    later = ticker(fundingRate="0.0005", nextFundingTime=str(T0 + 28_801_000), ts=T0 + 1_100)
    assert [Funding("BTCUSDT", (T0 + 1_000) * MS, -0.0003)] == protocol.receive(later, R0 + 1_100 * MS)


def test_a_settlement_that_is_put_off_before_it_was_due_is_none():
    protocol = bybit_protocol(Stream("mark", "BTCUSDT"))
    protocol.receive(ticker("snapshot", fundingRate="0.0001", nextFundingTime=str(T0 + 1_000)), R0)
    assert [] == protocol.receive(ticker(nextFundingTime=str(T0 + 9_000)), R0)


def test_a_settlement_while_we_were_away_is_not_told_as_its_rate_is_not_known():
    protocol = bybit_protocol(Stream("mark", "BTCUSDT"))
    protocol.receive(ticker("snapshot", fundingRate="0.0001", nextFundingTime=str(T0 + 1_000)), R0)
    protocol.connected(R0)
    later = ticker("snapshot", fundingRate="0.0005", nextFundingTime=str(T0 + 28_801_000), ts=T0 + 1_100)
    assert [] == protocol.receive(later, R0 + 1_100 * MS)


@pytest.mark.parametrize(
    "field", [{"markPrice": "0"}, {"bid1Price": "-1"}, {"fundingRate": "x"}, {"nextFundingTime": "soon"}]
)
def test_a_bad_number_in_the_ticker_is_not_merged(field):
    protocol = bybit_protocol(Stream("quote", "BTCUSDT"))
    protocol.receive(ticker("snapshot", **TICKER), R0)
    assert [] == protocol.receive(ticker(**field), R0)
    assert 1 == protocol.counts()["BTCUSDT", "quote"].bad_messages
    assert ["Quote"] == names(protocol.receive(ticker(ask1Size="9"), R0))


def test_a_liquidated_long_is_a_forced_sale():
    protocol = bybit_protocol(Stream("liquidations", "BTCUSDT"))
    rows = [{"T": T0 - 30, "s": "BTCUSDT", "S": side, "v": "0.15", "p": "64710.2"} for side in ("Buy", "Sell")]
    events = protocol.receive(bybit("allLiquidation", rows), R0)
    assert [Liquidation("BTCUSDT", (T0 - 30) * MS, R0, 64710.2, 0.15, side) for side in (-1, 1)] == events


# tapes


def test_on_a_tape_whatever_comes_is_known_at_sight_and_nothing_is_sent():
    protocol = BybitProtocol([], anything=True)
    protocol.connected(R0)
    protocol.receive(bybit_book(5, "9 1", "10 1", "snapshot", "XUSDT", depth=200), R0)
    protocol.receive(bybit("publicTrade", [bybit_trade("a")]), R0)
    protocol.receive(bybit_book(9, "9 1", symbol="XUSDT", depth=200), R0)
    protocol.tick(R0 + 3600 * S)
    assert [] == protocol.outgoing()
    assert {("", ""), ("XUSDT", "book"), ("BTCUSDT", "trades")} == set(protocol.counts())


@pytest.mark.parametrize(
    "topic", ["orderbook.50.btc", "orderbook.0.BTCUSDT", "kline.7.BTCUSDT", "greeks.BTC", "tickers", ""]
)
def test_a_topic_on_a_tape_that_is_none_of_ours_is_ignored(topic):
    protocol = BybitProtocol([], anything=True)
    assert [] == protocol.receive(text({"topic": topic, "data": {}}), R0)
    assert {("", "")} == set(protocol.counts())


def test_of_two_depths_of_one_symbol_on_a_tape_the_first_makes_the_events():
    protocol = BybitProtocol([], anything=True)
    protocol.connected(R0)
    for depth in (50, 200):
        protocol.receive(bybit_book(5, "9 1", "10 1", "snapshot", depth=depth), R0)
    assert [] == protocol.receive(bybit_book(6, "9 2", depth=200), R0)
    assert [] == protocol.receive(bybit_book(8, "9 2", depth=200), R0)
    assert ["BookDelta"] == names(protocol.receive(bybit_book(6, "9 2"), R0))
    assert 1 == book_counts(protocol).sequence_breaks


# what cannot be asked for


@pytest.mark.parametrize(
    "streams",
    [
        [Stream("book", "BTCUSDT", depth=25)],
        [Stream("bars", "BTCUSDT", tf="8h")],
        [Stream("book", "BTCUSDT"), Stream("book", "BTCUSDT", depth=200)],
    ],
)
def test_streams_that_cannot_be_are_refused_when_the_core_is_made(streams):
    with pytest.raises(ConfigError):
        BybitProtocol(streams)


def test_an_unknown_market_and_an_unknown_book_are_refused():
    with pytest.raises(ConfigError, match="market"):
        BybitProtocol([], market="bybit_option")
    with pytest.raises(ConfigError, match="BTCUSDT"):
        live().book("ETHUSDT")


def test_the_stream_brings_its_snapshots():
    protocol = live()
    protocol.receive(bybit_book(102), R0)
    assert ([], []) == (protocol.snapshots_wanted(), protocol.snapshot("BTCUSDT", b"{}", R0))
    with pytest.raises(ConfigError, match="Bybit's stream brings it"):
        protocol.snapshot_path("BTCUSDT")


@pytest.mark.parametrize("kind", ["mark", "liquidations"])
def test_spot_has_no_marks_and_no_liquidations(kind):
    with pytest.raises(ConfigError, match=f"{kind} of BTCUSDT: spot has none"):
        BybitProtocol([Stream("book", "BTCUSDT"), Stream(kind, "BTCUSDT")], market="bybit_spot")


def test_very_many_streams_are_spread_over_several_connections():
    streams = [Stream("trades", f"COIN{i}USDT") for i in range(900)]
    assert [400, 400, 100] == [len(connection.streams) for connection in connections(streams, "wss://x", "bybit_spot")]
    url = "wss://x/v5/public/spot"
    assert [url, f"{url}#2", f"{url}#3"] == [each.url for each in connections(streams, "wss://x", "bybit_spot")]


def test_streams_of_one_symbol_share_a_connection():
    streams = [Stream(kind, f"COIN{i}USDT") for kind in ("quote", "mark", "book") for i in range(150)]
    first, second = connections(streams, "wss://x", "bybit_linear")
    assert (399, 51) == (len(first.streams), len(second.streams))
    assert set() == {each.symbol for each in first.streams} & {each.symbol for each in second.streams}


def test_all_streams_share_one_address():
    streams = (Stream("book", "BTCUSDT"), Stream("mark", "BTCUSDT"))
    url = "wss://stream.bybit.com/v5/public/"
    assert [Connection(url + "linear", streams)] == connections(streams, "wss://stream.bybit.com", "bybit_linear")
    assert [Connection(url + "spot", streams)] == connections(streams, "wss://stream.bybit.com", "bybit_spot")
    assert [] == connections([], "wss://stream.bybit.com", "bybit_spot")
    with pytest.raises(ConfigError, match="market"):
        connections(streams, "wss://stream.bybit.com", "binance_usdm")
