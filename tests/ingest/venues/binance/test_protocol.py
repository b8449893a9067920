"""The Binance core, rule by rule: how snapshot and changes meet, what breaks the chain, and what becomes an event."""

import json
import math

import pytest

from ingest.venues.binance.depth_sync import MOST_KEPT
from ingest.venues.binance.protocol import BinanceProtocol, connections
from ingest.wire.streams import Connection, Stream, WireProtocol
from tests.wire import MS, R0, T0, S, answer, binance_protocol, book_counts, diff, enveloped, names, rest_book, text
from utils.errors import ConfigError, ProtocolError
from utils.types import Bar, BookDelta, BookInvalid, BookSnapshot, Funding, Liquidation, MarkPrice, Quote, Trade

BOOK = Stream("book", "BTCUSDT")


def live(**settings):
    """A USD-M core whose book of BTCUSDT stands at update 110."""
    protocol = binance_protocol(**settings)
    protocol.receive(diff(91, 100, 90, ts=T0 - 2_000), R0 - 2 * S)
    protocol.snapshots_wanted()
    protocol.snapshot("BTCUSDT", rest_book(95, "64999 1, 64998 2", "65001 1, 65002 2"), R0 - 2 * S)
    protocol.receive(diff(101, 110, 100), R0)
    return protocol


def spot(**settings):
    """A spot core that has seen updates 101 to 110."""
    protocol = binance_protocol(market="binance_spot", **settings)
    protocol.receive(diff(101, 110), R0)
    return protocol


def state(protocol):
    return protocol.book("BTCUSDT").state


def test_it_is_what_shells_and_tapes_expect():
    assert isinstance(BinanceProtocol([]), WireProtocol)


# snapshot and changes meet


def test_the_first_change_asks_for_a_snapshot_and_only_once():
    protocol = binance_protocol()
    assert [] == protocol.snapshots_wanted()
    assert [] == protocol.receive(diff(101, 110, 100), R0)
    assert ["BTCUSDT"] == protocol.snapshots_wanted()
    protocol.receive(diff(111, 120, 110), R0)
    assert [] == protocol.snapshots_wanted()


def test_the_book_begins_with_the_change_that_holds_the_snapshot():
    protocol = binance_protocol()
    protocol.receive(diff(91, 99, 90, b="64000 9"), R0)
    protocol.receive(diff(101, 110, 99, b="64999 5", a="65001 0", ts=T0 + 7), R0)
    [event] = protocol.snapshot("BTCUSDT", rest_book(105, "64999 1, 64998 2", "65001 1, 65002 2"), R0 + 9 * MS)
    bids, asks = ((64999.0, 5.0), (64998.0, 2.0)), ((65002.0, 2.0),)
    assert BookSnapshot("BTCUSDT", (T0 + 4) * MS, R0 + 9 * MS, bids, asks) == event
    assert ("live", 110) == (state(protocol), protocol.book("BTCUSDT").update_id)


@pytest.mark.parametrize(
    ("first", "last", "begins"),
    [(101, 104, False), (101, 105, True), (105, 110, True), (106, 110, False)],
)
def test_futures_begin_with_a_change_from_first_to_last_around_the_snapshot(first, last, begins):
    protocol = binance_protocol()
    protocol.receive(diff(first, last, 90), R0)
    assert begins == bool(protocol.snapshot("BTCUSDT", rest_book(105), R0))


@pytest.mark.parametrize(
    ("first", "last", "begins"),
    [(101, 105, False), (101, 106, True), (106, 110, True), (107, 110, False)],
)
def test_spot_begins_with_a_change_around_the_one_after_the_snapshot(first, last, begins):
    protocol = binance_protocol(market="binance_spot")
    protocol.receive(diff(first, last), R0)
    assert begins == bool(protocol.snapshot("BTCUSDT", rest_book(105), R0))


def test_a_change_that_names_the_snapshot_as_the_one_before_it_goes_on_from_it():
    protocol = binance_protocol()
    protocol.receive(diff(140, 150, 105), R0)
    assert ["BookSnapshot"] == names(protocol.snapshot("BTCUSDT", rest_book(105), R0))


def test_a_snapshot_newer_than_all_changes_waits_for_the_next():
    protocol = binance_protocol()
    protocol.receive(diff(101, 110, 100), R0)
    assert [] == protocol.snapshot("BTCUSDT", rest_book(115), R0)
    assert "empty" == state(protocol)
    assert ["BookSnapshot"] == names(protocol.receive(diff(112, 120, 110), R0))
    assert [] == protocol.snapshots_wanted()[1:]


def test_a_snapshot_older_than_the_changes_is_asked_for_again():
    protocol = binance_protocol()
    protocol.receive(diff(101, 110, 100), R0)
    protocol.snapshots_wanted()
    assert [] == protocol.snapshot("BTCUSDT", rest_book(50), R0)
    protocol.tick(R0 + S)
    assert ["BTCUSDT"] == protocol.snapshots_wanted()
    assert ["BookSnapshot"] == names(protocol.snapshot("BTCUSDT", rest_book(105), R0 + S))


def test_a_snapshot_of_a_live_book_is_not_needed():
    protocol = live()
    assert [] == protocol.snapshot("BTCUSDT", rest_book(500, "1 1", "2 1"), R0)
    assert (64999.0, 1.0) == protocol.book("BTCUSDT").bids[0]


def test_changes_kept_while_a_snapshot_is_awaited_are_bounded():
    protocol = binance_protocol()
    for update in range(1, MOST_KEPT + 100):
        protocol.receive(diff(update, update, update - 1), R0)
    assert [] == protocol.snapshot("BTCUSDT", rest_book(50), R0)
    assert ["BookSnapshot"] == names(protocol.snapshot("BTCUSDT", rest_book(200), R0))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b'{"code":-1121,"msg":"Invalid symbol."}',
        rest_book(105, "", ""),
        rest_book(105, "65001 1", "65000 1"),
        rest_book(105, "NaN 1"),
        rest_book(105)[:-9],
        rest_book("105"),
        rest_book(10**4299),
        rest_book(105, E=T0 + 60_000),
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_body_that_is_no_book_is_counted_and_asked_for_again_later(body):
    protocol = binance_protocol()
    protocol.receive(diff(101, 110, 100), R0)
    protocol.snapshots_wanted()
    assert [] == protocol.snapshot("BTCUSDT", body, R0)
    assert (1, []) == (book_counts(protocol).bad_messages, protocol.snapshots_wanted())
    protocol.tick(R0 + S)
    assert ["BTCUSDT"] == protocol.snapshots_wanted()


def test_a_snapshot_that_does_not_come_is_asked_for_again():
    protocol = binance_protocol()
    protocol.receive(diff(101, 110, 100), R0)
    protocol.snapshots_wanted()
    protocol.tick(R0 + 29 * S)
    assert [] == protocol.snapshots_wanted()
    protocol.tick(R0 + 30 * S)
    assert ["BTCUSDT"] == protocol.snapshots_wanted()


def test_a_snapshot_of_a_symbol_nobody_asked_for_is_a_protocol_error():
    with pytest.raises(ProtocolError, match="ETHUSDT"):
        live().snapshot("ETHUSDT", rest_book(1), R0)


@pytest.mark.parametrize(
    ("market", "path"),
    [
        ("binance_usdm", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"),
        ("binance_spot", "/api/v3/depth?symbol=BTCUSDT&limit=1000"),
        ("binance_coinm", "/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000"),
    ],
)
def test_each_market_has_its_snapshots_elsewhere(market, path):
    symbol = "BTCUSD" if market == "binance_coinm" else "BTCUSDT"
    assert path == BinanceProtocol([], market=market).snapshot_path(symbol)


# the chain


def test_a_live_book_follows_its_changes():
    protocol = live()
    [event] = protocol.receive(diff(115, 120, 110, b="64999 0", a="65000.5 3", ts=T0 + 100), R0 + 100 * MS)
    assert BookDelta("BTCUSDT", (T0 + 97) * MS, R0 + 100 * MS, ((64999.0, 0.0),), ((65000.5, 3.0),)) == event
    assert (((64998.0, 2.0),), (65000.5, 3.0)) == (protocol.book("BTCUSDT").bids, protocol.book("BTCUSDT").asks[0])


def test_spot_has_one_time_and_numbers_without_gaps():
    protocol = spot()
    protocol.snapshot("BTCUSDT", rest_book(105), R0)
    [event] = protocol.receive(diff(111, 112, ts=T0 + 5), R0)
    assert (T0 + 5) * MS == event.ts
    assert ["BookInvalid"] == names(protocol.receive(diff(114, 115), R0))


def test_a_gap_ends_the_book_and_it_begins_anew_from_there():
    protocol = live()
    [event] = protocol.receive(diff(130, 140, 129, ts=T0 + 100), R0 + 100 * MS)
    reason = "gap: update 140 does not follow 110"
    assert BookInvalid("BTCUSDT", (T0 + 97) * MS, R0 + 100 * MS, reason) == event
    assert (["BTCUSDT"], "invalid") == (protocol.snapshots_wanted(), state(protocol))
    assert all(math.isnan(value) for value in protocol.top("BTCUSDT")[0])
    assert [] == protocol.receive(diff(141, 150, 140), R0)
    assert ["BookSnapshot"] == names(protocol.snapshot("BTCUSDT", rest_book(135), R0))
    assert 1 == book_counts(protocol).sequence_breaks


@pytest.mark.parametrize("last", [110, 105])
def test_a_repeated_or_late_change_is_counted_and_dropped(last):
    protocol = live()
    assert [] == protocol.receive(diff(101, last, 100, b="64999 77"), R0)
    assert (1, "live", (64999.0, 1.0)) == (
        book_counts(protocol).duplicates,
        state(protocol),
        protocol.book("BTCUSDT").bids[0],
    )


def test_update_0_begins_no_chain_that_could_not_be_checked():
    protocol = binance_protocol(market="binance_spot")
    protocol.receive(diff(0, 0), R0)
    protocol.snapshot("BTCUSDT", rest_book(0), R0)
    assert (1, []) == (book_counts(protocol).bad_messages, protocol.receive(diff(57, 58), R0))


def test_ids_that_begin_anew_end_the_book_and_it_goes_on_with_them():
    protocol = live()
    [event] = protocol.receive(diff(11, 20, 10, ts=T0 + 100), R0 + 100 * MS)
    assert "gap: update 20 does not follow 110" == event.reason
    assert (1, ["BTCUSDT"]) == (book_counts(protocol).sequence_breaks, protocol.snapshots_wanted())
    assert ["BookSnapshot"] == names(protocol.snapshot("BTCUSDT", rest_book(15), R0 + 200 * MS))


def test_a_snapshot_from_before_the_ids_began_anew_is_not_waited_for():
    protocol = binance_protocol()
    protocol.receive(diff(101, 110, 100), R0)
    protocol.snapshots_wanted()
    protocol.snapshot("BTCUSDT", rest_book(115), R0)
    protocol.receive(diff(11, 20, 10, ts=T0 + 100), R0 + 100 * MS)
    protocol.tick(R0 + 60 * S)
    assert ["BTCUSDT"] == protocol.snapshots_wanted()
    assert ["BookSnapshot"] == names(protocol.snapshot("BTCUSDT", rest_book(15), R0 + 60 * S))


def test_the_chain_is_checked_before_there_is_a_book_and_below_its_snapshot():
    protocol = binance_protocol()
    assert [] == protocol.receive(diff(1, 10, 0), R0)
    assert [] == protocol.receive(diff(21, 30, 20), R0)
    assert [] == protocol.receive(diff(21, 30, 20), R0)
    counts = book_counts(protocol)
    assert (1, 1, 0, "empty") == (counts.sequence_breaks, counts.duplicates, counts.invalid, state(protocol))
    assert ["BookSnapshot"] == names(protocol.snapshot("BTCUSDT", rest_book(25), R0))


def test_a_snapshot_that_waits_survives_a_gap_that_it_covers():
    protocol = binance_protocol()
    protocol.receive(diff(1, 10, 0), R0)
    protocol.snapshot("BTCUSDT", rest_book(35), R0)
    assert ["BookSnapshot"] == names(protocol.receive(diff(31, 40, 30), R0))


def test_a_book_that_crosses_is_invalid():
    protocol = live()
    [event] = protocol.receive(diff(111, 120, 110, b="65001 1"), R0)
    assert ("crossed: best bid at or above best ask", 1) == (event.reason, book_counts(protocol).crossed)
    assert ["BTCUSDT"] == protocol.snapshots_wanted()


def test_a_book_that_crosses_while_it_is_put_together_never_lives():
    protocol = binance_protocol()
    protocol.receive(diff(101, 110, 100, b="65001 1"), R0)
    protocol.receive(diff(111, 120, 110, b="65001 0"), R0)
    assert ["BookInvalid"] == names(protocol.snapshot("BTCUSDT", rest_book(105), R0))


BAD_NUMBERS = ["NaN", "Infinity", "", None, "-1", 1e400, "1,5", 64999.5, 64999, "1e3", "1" * 30]


@pytest.mark.parametrize("bad", BAD_NUMBERS, ids=repr)
@pytest.mark.parametrize("place", [0, 1], ids=["price", "quantity"])
def test_a_bad_number_refuses_the_whole_message(bad, place):
    protocol = live()
    level = ["64999", "9"]
    level[place] = bad
    message = (
        diff(111, 120, 110, b=[["64998", "9"], level]).replace(b"Infinity,", b"1e400,").replace(b"Infinity]", b"1e400]")
    )
    assert ["BookInvalid"] == names(protocol.receive(message, R0))
    assert ["BTCUSDT"] == protocol.snapshots_wanted()
    assert (1, 0) == (book_counts(protocol).bad_messages, book_counts(protocol).sequence_breaks)
    protocol.receive(diff(121, 130, 120), R0)
    assert ["BookSnapshot"] == names(protocol.snapshot("BTCUSDT", rest_book(125), R0))


def test_eight_decimals_of_a_billion_coins_are_a_number():
    protocol = spot()
    [event] = protocol.snapshot("BTCUSDT", rest_book(105, "0.00001000 1234567890.00000000", "0.00001001 1"), R0)
    assert ((0.00001, 1234567890.0),) == event.bids


@pytest.mark.parametrize("key", ["E", "s", "U", "u", "pu", "b", "a"])
def test_a_missing_field_refuses_the_whole_message(key):
    message = json.loads(diff(111, 120, 110))
    del message["data"][key]
    assert ["BookInvalid"] == names(live().receive(text(message), R0))


@pytest.mark.parametrize(
    "wrong", [{"U": 130}, {"u": "120"}, {"E": 0}, {"E": T0 // 1000}, {"E": T0 * 1000}, {"T": T0 + 6_000}]
)
def test_a_field_that_cannot_be_refuses_the_whole_message(wrong):
    assert ["BookInvalid"] == names(live().receive(diff(111, 120, 110, **wrong), R0))


def test_another_symbol_in_the_data_refuses_the_message_and_touches_no_other_book():
    protocol = binance_protocol(BOOK, Stream("book", "ETHUSDT"))
    protocol.receive(diff(1, 2, 0, symbol="ETHUSDT"), R0)
    protocol.snapshot("ETHUSDT", rest_book(2, "3000 1", "3001 1"), R0)
    protocol.receive(diff(101, 110, 100), R0)
    protocol.snapshot("BTCUSDT", rest_book(105), R0)
    assert ["BTCUSDT"] == [event.symbol for event in protocol.receive(diff(111, 112, 110, s="ETHUSDT"), R0)]
    assert ["BookDelta"] == names(protocol.receive(diff(3, 4, 2, symbol="ETHUSDT"), R0))


def test_a_book_whose_exchange_time_stands_still_is_stale():
    protocol = live()
    assert [] == protocol.tick(R0 + 10 * S)
    [event] = protocol.tick(R0 + 11 * S)
    assert "stale: exchange time stood still for 11.0 s" == event.reason
    assert ["BTCUSDT"] == protocol.snapshots_wanted()


def test_a_stream_that_stops_while_its_book_goes_on_fails_the_connection():
    protocol = live()
    protocol.tick(R0 + 11 * S)
    protocol.snapshot("BTCUSDT", rest_book(500), R0 + 11 * S)
    protocol.tick(R0 + 12 * S)
    assert "" == protocol.failure
    protocol.tick(R0 + 12 * S + 1)
    assert "changes of BTCUSDT no longer come, though its book has gone on" == protocol.failure


def test_a_stream_that_is_only_late_fails_nothing():
    protocol = live()
    protocol.tick(R0 + 11 * S)
    protocol.snapshot("BTCUSDT", rest_book(500), R0 + 11 * S)
    for second in range(5):
        protocol.receive(diff(111 + second, 111 + second, 110 + second, ts=T0 + second), R0 + (11 + second) * S)
        protocol.tick(R0 + (12 + second) * S)
    assert "" == protocol.failure


def test_a_quiet_book_that_has_not_gone_on_fails_nothing():
    protocol = live()
    protocol.tick(R0 + 11 * S)
    protocol.snapshot("BTCUSDT", rest_book(110), R0 + 11 * S)
    protocol.tick(R0 + 29 * S)
    assert "" == protocol.failure


def test_a_connection_on_which_nothing_comes_has_failed():
    protocol = live()
    protocol.tick(R0 + 31 * S)
    assert "nothing came for 31.0 s" == protocol.failure


def test_a_lost_connection_ends_live_books_and_the_next_begins_a_chain_of_its_own():
    protocol = live()
    assert ["disconnected: closed 1006"] == [event.reason for event in protocol.disconnected(R0, "closed 1006")]
    assert [] == protocol.connected(R0)
    assert [] == protocol.receive(diff(501, 510, 500), R0)
    assert ["BTCUSDT"] == protocol.snapshots_wanted()
    assert ["BookSnapshot"] == names(protocol.snapshot("BTCUSDT", rest_book(505), R0))
    assert 0 == book_counts(protocol).sequence_breaks


# envelopes, and messages that are none


def test_a_message_is_read_without_its_envelope_too():
    protocol = binance_protocol()
    bare = text(json.loads(diff(101, 110, 100))["data"])
    protocol.receive(bare, R0)
    assert ["BookSnapshot"] == names(protocol.snapshot("BTCUSDT", rest_book(105), R0))


@pytest.mark.parametrize(
    "junk",
    [b"", b"null", b"[]", b"{}", b"{", b'{"e":1}', b"<html>503</html>", b"\xff", b"[" * 9_000, b'{"e":"forceOrder"}'],
    ids=lambda junk: repr(junk[:16]),
)
def test_what_binance_never_sends_is_a_protocol_error_and_counted(junk):
    protocol = live()
    assert "expected" in answer(protocol, junk)
    assert (1, "live") == (protocol.counts()["", ""].bad_messages, state(protocol))


@pytest.mark.parametrize(
    "message",
    [
        text({"result": None, "id": 1}),
        text({"error": {"code": 2, "msg": "Invalid request"}, "id": 1}),
        text({"code": 2, "msg": "Invalid request", "id": 1}),
        diff(1, 2, 0, symbol="XRPUSDT"),
        enveloped("btcusdt@depth20@100ms", {"e": "depthUpdate", "E": T0, "s": "BTCUSDT"}),
        enveloped("!markPrice@arr", [{"e": "markPriceUpdate"}]),
        text({"e": "24hrTicker", "s": "BTCUSDT"}),
        text({"e": "depthUpdate", "s": 5}),
        enveloped("", {}),
    ],
)
def test_answers_and_streams_that_are_not_ours_are_ignored_and_counted(message):
    protocol = live()
    assert [] == protocol.receive(message, R0)
    assert (1, 0, "live") == (
        protocol.counts()["", ""].messages,
        protocol.counts()["", ""].bad_messages,
        state(protocol),
    )


# the other streams


def trade(number, name="trade", symbol="BTCUSDT", ts=T0, buyer_is_maker=False, **more):
    key = "t" if name == "trade" else "a"
    data = {"e": name, "E": ts + 2, "T": ts, "s": symbol, key: number, "p": "65000.0", "q": "0.5", "m": buyer_is_maker}
    return enveloped(f"{symbol.lower()}@{name}", data | more)


def trades(**settings):
    return binance_protocol(Stream("trades", "BTCUSDT"), **settings)


def trade_counts(protocol):
    return protocol.counts()["BTCUSDT", "trades"]


@pytest.mark.parametrize("name", ["trade", "aggTrade"])
@pytest.mark.parametrize(("buyer_is_maker", "side"), [(True, -1), (False, 1)])
def test_a_trade_whose_buyer_was_the_maker_was_a_sale(name, buyer_is_maker, side):
    events = trades().receive(trade(1, name, buyer_is_maker=buyer_is_maker), R0)
    assert [Trade("BTCUSDT", T0 * MS, R0, 65000.0, 0.5, side)] == events


@pytest.mark.parametrize("name", ["trade", "aggTrade"])
def test_trades_are_numbered_a_gap_is_counted_and_a_repetition_dropped(name):
    protocol = trades()
    told = [len(protocol.receive(trade(number, name), R0)) for number in (7, 8, 10, 9, 10, 11)]
    assert [1, 1, 1, 0, 0, 1] == told
    assert (1, 2, 4) == (
        trade_counts(protocol).sequence_breaks,
        trade_counts(protocol).duplicates,
        trade_counts(protocol).events,
    )


def test_a_numbering_that_begins_anew_is_a_break_and_no_silence_for_ever():
    protocol = trades()
    protocol.receive(trade(10**15), R0)
    assert 1 == len(protocol.receive(trade(8, ts=T0 + 1), R0))
    assert 1 == len(protocol.receive(trade(9, ts=T0 + 1), R0))
    assert 1 == trade_counts(protocol).sequence_breaks


def test_a_new_connection_may_begin_with_any_number_but_tells_no_trade_twice():
    protocol = trades()
    protocol.receive(trade(7), R0)
    protocol.disconnected(R0, "reset")
    protocol.connected(R0)
    assert [] == protocol.receive(trade(7), R0)
    assert 1 == len(protocol.receive(trade(20), R0))
    assert (0, 1) == (trade_counts(protocol).sequence_breaks, trade_counts(protocol).duplicates)


@pytest.mark.parametrize("kind", ["INSURANCE_FUND", "NA", "ADL"])
def test_what_is_no_market_trade_is_numbered_and_makes_no_event(kind):
    protocol = trades()
    protocol.receive(trade(1), R0)
    assert [] == protocol.receive(trade(2, X=kind, p="0", q="0"), R0)
    assert 1 == len(protocol.receive(trade(3, X="MARKET"), R0))
    assert (0, 0) == (trade_counts(protocol).sequence_breaks, trade_counts(protocol).bad_messages)


def test_where_both_kinds_of_trades_come_only_one_is_told_and_both_are_checked():
    protocol = trades()
    assert 1 == len(protocol.receive(trade(7), R0))
    assert [] == protocol.receive(trade(1, "aggTrade"), R0) + protocol.receive(trade(3, "aggTrade"), R0)
    assert 1 == trade_counts(protocol).sequence_breaks


@pytest.mark.parametrize(
    "wrong", [{"p": "NaN"}, {"q": "0"}, {"t": None}, {"t": -1}, {"m": "true"}, {"s": "ETHUSDT"}, {"T": 5}]
)
def test_a_trade_that_cannot_be_is_refused(wrong):
    protocol = trades()
    assert [] == protocol.receive(trade(1, **wrong), R0)
    assert 1 == trade_counts(protocol).bad_messages


MINUTE = T0 // 60_000 * 60_000


def kline(opened, closed, symbol="BTCUSDT", interval="1m", **more):
    k = {"t": opened, "T": opened + 59_999, "s": symbol, "i": interval, "o": "64990", "c": "64999.9", "h": "65003"}
    k |= {"l": "64988", "v": "12.004", "n": 48, "x": closed, "q": "1", "V": "5.5", "Q": "1", "B": "0"} | more
    return enveloped(f"{symbol.lower()}@kline_{interval}", {"e": "kline", "E": T0, "s": symbol, "k": k})


def test_a_bar_is_told_when_it_is_closed_and_once_with_what_takers_bought():
    protocol = binance_protocol(Stream("bars", "BTCUSDT", tf="1m"))
    assert [] == protocol.receive(kline(MINUTE, False), R0)
    [bar] = protocol.receive(kline(MINUTE - 60_000, True), R0)
    assert Bar("BTCUSDT", "1m", MINUTE * MS, R0, 64990.0, 65003.0, 64988.0, 64999.9, 12.004, 5.5) == bar
    assert [] == protocol.receive(kline(MINUTE - 60_000, True), R0)
    assert 1 == protocol.counts()["BTCUSDT", "bars"].duplicates


def test_bars_of_another_length_than_asked_for_are_not_told():
    protocol = binance_protocol(Stream("bars", "BTCUSDT", tf="1m"))
    assert [] == protocol.receive(kline(MINUTE - 300_000, True, interval="5m"), R0)


@pytest.mark.parametrize(
    "wrong", [{"h": "1"}, {"v": "-1"}, {"V": "13"}, {"o": "0"}, {"t": MINUTE}, {"t": MINUTE - 60_001}, {"x": 1}]
)
def test_a_bar_that_cannot_be_is_refused(wrong):
    protocol = binance_protocol(Stream("bars", "BTCUSDT", tf="1m"))
    assert [] == protocol.receive(kline(MINUTE - 60_000, True, **wrong), R0)
    assert 1 == protocol.counts()["BTCUSDT", "bars"].bad_messages


def book_ticker(update, bid="64999 3", ask="65000 2", ts=T0, **more):
    (b, B), (a, A) = bid.split(), ask.split()
    data = {"u": update, "s": "BTCUSDT", "b": b, "B": B, "a": a, "A": A} | more
    times = {"e": "bookTicker", "T": ts, "E": ts + 1} if ts else {}
    return text(times | data)


def test_the_best_prices_are_told_when_they_change():
    protocol = binance_protocol(Stream("quote", "BTCUSDT"))
    assert [Quote("BTCUSDT", T0 * MS, R0, 64999.0, 3.0, 65000.0, 2.0)] == protocol.receive(book_ticker(5), R0)
    assert [] == protocol.receive(book_ticker(6), R0)
    assert ["Quote"] == names(protocol.receive(book_ticker(7, ask="65000 9"), R0))


def test_late_best_prices_are_dropped_and_crossed_ones_counted():
    protocol = binance_protocol(Stream("quote", "BTCUSDT"))
    protocol.receive(book_ticker(5), R0)
    assert [] == protocol.receive(book_ticker(4, ask="65000 9"), R0)
    assert [] == protocol.receive(book_ticker(6, bid="65000 3"), R0)
    counts = protocol.counts()["BTCUSDT", "quote"]
    assert (1, 1) == (counts.duplicates, counts.crossed)


def test_best_prices_of_spot_carry_no_time_and_have_that_of_their_receipt():
    protocol = binance_protocol(Stream("quote", "BTCUSDT"), market="binance_spot")
    [event] = protocol.receive(book_ticker(5, ts=0), R0)
    assert (R0, R0) == (event.ts, event.ts_recv)


def mark(price="65000.5", rate="0.0001", settles=T0 + 1_000, ts=T0):
    data = {
        "e": "markPriceUpdate",
        "E": ts,
        "s": "BTCUSDT",
        "p": price,
        "i": "65001",
        "P": "65000",
        "r": rate,
        "T": settles,
    }
    return enveloped("btcusdt@markPrice@1s", data)


def test_funding_is_settled_when_its_time_moves_on_at_the_rate_said_before():
    protocol = binance_protocol(Stream("mark", "BTCUSDT"))
    assert [MarkPrice("BTCUSDT", T0 * MS, 65000.5)] == protocol.receive(mark(), R0)
    assert [] == protocol.receive(mark(rate="-0.0003"), R0)
    events = protocol.receive(mark("65000.6", "0.0005", T0 + 28_801_000, T0 + 1_100), R0 + 1_100 * MS)
    assert [
        Funding("BTCUSDT", (T0 + 1_000) * MS, -0.0003),
        MarkPrice("BTCUSDT", (T0 + 1_100) * MS, 65000.6),
    ] == events


def test_a_contract_without_funding_has_a_mark_price():
    protocol = binance_protocol(Stream("mark", "BTCUSDT"))
    assert ["MarkPrice"] == names(protocol.receive(mark(rate="", settles=0), R0))


@pytest.mark.parametrize(("said", "side"), [("BUY", 1), ("SELL", -1)])
def test_a_forced_order_has_its_own_side(said, side):
    protocol = binance_protocol(Stream("liquidations", "BTCUSDT"))
    order = {
        "s": "BTCUSDT",
        "S": said,
        "o": "LIMIT",
        "f": "IOC",
        "q": "0.014",
        "p": "64710",
        "ap": "64720",
        "T": T0 - 5,
    }
    message = text({"e": "forceOrder", "E": T0, "o": order})
    assert [Liquidation("BTCUSDT", (T0 - 5) * MS, R0, 64710.0, 0.014, side)] == protocol.receive(message, R0)


# tapes


def test_on_a_tape_whatever_comes_is_known_at_sight_and_nothing_is_asked_for():
    protocol = BinanceProtocol([], anything=True)
    protocol.connected(R0)
    protocol.receive(diff(101, 110, 100), R0)
    protocol.receive(trade(5, symbol="ETHUSDT"), R0)
    protocol.tick(R0 + 3600 * S)
    assert [] == protocol.snapshots_wanted()
    assert {("", ""), ("BTCUSDT", "book"), ("ETHUSDT", "trades")} == set(protocol.counts())


def test_on_a_tape_a_snapshot_without_a_name_belongs_to_its_only_book():
    protocol = BinanceProtocol([], anything=True)
    assert "saw 0" in answer(protocol, rest_book(105))
    protocol.receive(diff(101, 110, 100), R0)
    assert ["BookSnapshot"] == names(protocol.receive(rest_book(105), R0))
    protocol.receive(diff(1, 2, 0, symbol="ETHUSDT"), R0)
    assert "saw 2" in answer(protocol, rest_book(105))


def test_on_a_tape_a_snapshot_may_come_before_the_first_change():
    protocol = BinanceProtocol([], anything=True)
    assert [] == protocol.snapshot("BTCUSDT", rest_book(105), R0)
    assert ["BookSnapshot"] == names(protocol.receive(diff(101, 110, 100), R0))


def test_on_a_tape_the_changes_say_whether_they_are_spots():
    protocol = BinanceProtocol([], anything=True)
    protocol.receive(diff(101, 110), R0)
    assert ["BookSnapshot"] == names(protocol.receive(rest_book(105), R0))
    assert ["BookDelta", "BookInvalid"] == names(
        protocol.receive(diff(111, 115), R0) + protocol.receive(diff(117, 118), R0)
    )


def test_coin_margined_perpetuals_lose_their_suffix():
    protocol = binance_protocol(Stream("book", "BTCUSD"), market="binance_coinm")
    protocol.receive(diff(101, 110, 100, symbol="BTCUSD_PERP"), R0)
    assert ["BTCUSD"] == protocol.snapshots_wanted()
    [event] = protocol.snapshot("BTCUSD", rest_book(105), R0)
    assert "BTCUSD" == event.symbol


# addresses


def test_futures_have_two_addresses_and_spot_one():
    public = (BOOK, Stream("quote", "BTCUSDT"), Stream("trades", "BTCUSDT"))
    other = (Stream("bars", "BTCUSDT", tf="5m"), Stream("mark", "BTCUSDT"), Stream("liquidations", "BTCUSDT"))
    first = "btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade"
    second = "btcusdt@kline_5m/btcusdt@markPrice@1s/btcusdt@forceOrder"
    assert [
        Connection(f"wss://x/public/stream?streams={first}", public),
        Connection(f"wss://x/market/stream?streams={second}", other),
    ] == connections([*public, *other], "wss://x", "binance_usdm")
    assert [Connection(f"wss://y/stream?streams={first}", public)] == connections(public, "wss://y", "binance_spot")
    coin = connections([Stream("book", "BTCUSD")], "wss://z", "binance_coinm")
    assert ["wss://z/public/stream?streams=btcusd_perp@depth@100ms"] == [connection.url for connection in coin]


def test_many_streams_are_spread_over_several_addresses():
    streams = [Stream("book", f"COIN{i}USDT") for i in range(450)]
    assert [200, 200, 50] == [len(connection.streams) for connection in connections(streams, "wss://x", "binance_usdm")]


@pytest.mark.parametrize("kind", ["mark", "liquidations"])
def test_spot_has_no_marks_and_no_liquidations(kind):
    with pytest.raises(ConfigError, match="spot has none"):
        BinanceProtocol([Stream(kind, "BTCUSDT")], market="binance_spot")


def test_an_unknown_market_is_refused():
    with pytest.raises(ConfigError, match="market"):
        BinanceProtocol([], market="binance_options")
    with pytest.raises(ConfigError, match="market"):
        connections([], "wss://x", "bybit_linear")
