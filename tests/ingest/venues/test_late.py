"""Event time never runs backwards in a stream: what is late is counted and dropped, whatever its kind."""

from __future__ import annotations

import pytest

from ingest.wire.order import ANEW_NS
from ingest.wire.streams import Stream
from tests.wire import (
    MS,
    R0,
    T0,
    S,
    binance_protocol,
    bybit,
    bybit_book,
    bybit_protocol,
    bybit_trade,
    diff,
    rest_book,
    text,
)
from utils.types import BookDelta, BookSnapshot, Quote

#: Times of messages: the second is late, the third goes on.
TIMES = (T0, T0 - 200, T0 + 100)


def binance(kind, ts, step):
    """A message of a kind; each has another value."""
    price = str(65_000 + step)
    number = 10 + step if ts >= T0 else 9
    messages = {
        "quote": {"e": "bookTicker", "u": 20 + step, "s": "BTCUSDT", "b": price, "B": "1", "a": "66000", "A": "1"}
        | {"T": ts, "E": ts},
        "spot quote": {"u": number, "s": "BTCUSDT", "b": price, "B": "1", "a": "66000", "A": "1"},
        "trades": {"e": "trade", "E": ts, "T": ts, "s": "BTCUSDT", "t": 20 + step, "p": price, "q": "1", "m": True},
        "aggregated": {
            "e": "aggTrade",
            "E": ts,
            "T": ts,
            "s": "BTCUSDT",
            "a": 20 + step,
            "p": price,
            "q": "1",
            "m": True,
        },
        "mark": {"e": "markPriceUpdate", "E": ts, "s": "BTCUSDT", "p": price, "r": "0.0001", "T": T0 + 10_000},
        "liquidations": {"e": "forceOrder", "E": ts}
        | {"o": {"s": "BTCUSDT", "S": "SELL", "q": "1", "p": price, "T": ts}},
        "bars": {"e": "kline", "E": T0 + 120_000, "s": "BTCUSDT"}
        | {"k": {"t": bar(ts), "i": "1m", "o": "1", "c": "1", "h": "1", "l": "1", "v": "1", "V": "1", "x": True}},
    }
    return text(messages[kind])


def bar(ts):
    """The minute of a time; 200 ms before T0 count as the minute before."""
    return T0 // 60_000 * 60_000 + (-60_000 if ts < T0 else 60_000 if ts > T0 else 0)


def of_bybit(kind, ts, step):
    price = str(65_000 + step)
    if kind == "trades":
        return bybit("publicTrade", [bybit_trade(f"id{step}", price, ts=ts)], ts=ts)
    if kind == "liquidations":
        return bybit("allLiquidation", [{"T": ts, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": price}], ts=ts)
    if kind == "bars":
        row = {"start": bar(ts), "end": bar(ts) + 59_999, "interval": "1", "open": "1", "close": "1", "high": "1"}
        row |= {"low": "1", "volume": "1", "turnover": "1", "confirm": True, "timestamp": ts}
        return bybit("kline.1", [row], ts=T0 + 120_000)
    if kind == "depth 1":
        return bybit_book(50 + step, f"{price} 1", "66000 1", "snapshot", depth=1, ts=ts)
    fields = {"symbol": "BTCUSDT", "bid1Price": price, "bid1Size": "1", "ask1Price": "66000", "ask1Size": "1"}
    return bybit("tickers", fields | {"markPrice": price}, ts=ts, kind="snapshot" if step == 0 else "delta")


def told(protocol, make, kind, key):
    """How many events each of three messages made, and what was counted as late."""
    came = R0 + 300 * S if kind == "bars" else R0
    events = [protocol.receive(make(kind, ts, step), came + step * MS) for step, ts in enumerate(TIMES)]
    times = [event.ts for each in events for event in each]
    assert times == sorted(times)
    return [len(each) for each in events], protocol.counts()["BTCUSDT", key].duplicates


@pytest.mark.parametrize("kind", ["quote", "trades", "aggregated", "mark", "liquidations", "bars"])
def test_binance_drops_and_counts_what_is_late(kind):
    key = {"aggregated": "trades"}.get(kind, kind)
    stream = Stream(key, "BTCUSDT", tf="1m" if key == "bars" else "")
    assert ([1, 0, 1], 1) == told(binance_protocol(stream), binance, kind, key)


def test_binances_spot_quotes_come_in_the_order_of_their_ids():
    protocol = binance_protocol(Stream("quote", "BTCUSDT"), market="binance_spot")
    assert ([1, 0, 1], 1) == told(protocol, binance, "spot quote", "quote")


def test_a_new_connection_goes_on_with_the_order_of_the_one_before():
    protocol = binance_protocol(Stream("quote", "BTCUSDT"), market="binance_spot")
    protocol.receive(binance("spot quote", T0, 5), R0)
    protocol.disconnected(R0, "renewed")
    protocol.connected(R0)
    assert [] == protocol.receive(binance("spot quote", T0, 4), R0 + MS)
    [quote] = protocol.receive(binance("spot quote", T0, 6), R0 + 2 * MS)
    assert isinstance(quote, Quote)


def test_ids_that_began_anew_are_believed_when_no_others_come():
    protocol = binance_protocol(Stream("quote", "BTCUSDT"), market="binance_spot")
    protocol.receive(binance("spot quote", T0, 900), R0)
    assert [] == protocol.receive(binance("spot quote", T0, 1), R0 + MS)
    assert [65_002.0] == [quote.bid for quote in protocol.receive(binance("spot quote", T0, 2), R0 + MS + ANEW_NS)]
    assert [65_003.0] == [quote.bid for quote in protocol.receive(binance("spot quote", T0, 3), R0 + 2 * MS + ANEW_NS)]


def test_a_late_mark_settles_no_funding():
    protocol = binance_protocol(Stream("mark", "BTCUSDT"))
    due = T0 - 100
    say = {"e": "markPriceUpdate", "s": "BTCUSDT", "p": "65000"}
    protocol.receive(text(say | {"E": T0, "r": "0.0001", "T": due + 28_800_000}), R0)
    assert [] == protocol.receive(text(say | {"E": T0 - 200, "r": "0.0009", "T": due}), R0)
    assert [] == protocol.receive(text(say | {"E": T0 + 50, "r": "0.0001", "T": due + 28_800_000}), R0)


@pytest.mark.parametrize("kind", ["trades", "liquidations", "bars", "quote", "mark", "depth 1"])
def test_bybit_drops_and_counts_what_is_late(kind):
    key = {"depth 1": "book"}.get(kind, kind)
    stream = Stream(key, "BTCUSDT", tf="1m" if key == "bars" else "", depth=1 if key == "book" else 50)
    assert ([1, 0, 1], 1) == told(bybit_protocol(stream), of_bybit, kind, key)


def test_a_late_row_among_others_is_dropped_alone():
    protocol = bybit_protocol(Stream("trades", "BTCUSDT"))
    rows = [bybit_trade("a", ts=T0), bybit_trade("b", ts=T0 - 1), bybit_trade("c", ts=T0)]
    assert [T0 * MS] * 2 == [trade.ts for trade in protocol.receive(bybit("publicTrade", rows), R0)]
    assert 1 == protocol.counts()["BTCUSDT", "trades"].duplicates


def test_a_late_ticker_changes_nothing_that_later_ones_are_put_on():
    protocol = bybit_protocol(Stream("quote", "BTCUSDT"))
    protocol.receive(of_bybit("quote", T0, 0), R0)
    protocol.receive(bybit("tickers", {"symbol": "BTCUSDT", "bid1Price": "1"}, ts=T0 - 5, kind="delta"), R0)
    [quote] = protocol.receive(bybit("tickers", {"symbol": "BTCUSDT", "ask1Size": "7"}, ts=T0 + 5, kind="delta"), R0)
    assert (65_000.0, 7.0) == (quote.bid, quote.ask_qty)


def test_a_new_connections_first_ticker_is_a_base_even_when_it_is_late_and_no_event():
    protocol = bybit_protocol(Stream("quote", "BTCUSDT"))
    protocol.receive(of_bybit("quote", T0, 0), R0)
    protocol.connected(R0)
    late = {"symbol": "BTCUSDT", "bid1Price": "64000", "bid1Size": "1", "ask1Price": "66000", "ask1Size": "1"}
    assert [] == protocol.receive(bybit("tickers", late, ts=T0 - 5), R0)
    [quote] = protocol.receive(bybit("tickers", {"symbol": "BTCUSDT", "ask1Size": "7"}, ts=T0 + 5, kind="delta"), R0)
    assert (64_000.0, 7.0) == (quote.bid, quote.ask_qty)


def test_a_book_of_depth_1_with_a_lower_id_is_late_whatever_its_time():
    protocol = bybit_protocol(Stream("book", "BTCUSDT", depth=1))
    protocol.receive(of_bybit("depth 1", T0, 5), R0)
    assert [] == protocol.receive(bybit_book(54, "64000 1", "66000 1", "snapshot", depth=1, ts=T0 + 9), R0)
    assert (65_005.0, 1) == (protocol.book("BTCUSDT").bids[0][0], protocol.counts()["BTCUSDT", "book"].duplicates)
    [anew] = protocol.receive(bybit_book(1, "64000 1", "66000 1", "snapshot", depth=1, ts=T0 + 9), R0)
    assert isinstance(anew, BookSnapshot)


def test_a_snapshot_in_mid_stream_that_is_older_than_the_book_is_late():
    protocol = bybit_protocol()
    protocol.receive(bybit_book(100, "64999 1", "65000 1", "snapshot"), R0)
    assert [] == protocol.receive(bybit_book(90, "64000 1", "65000 1", "snapshot", ts=T0 - 50), R0)
    assert 64_999.0 == protocol.book("BTCUSDT").bids[0][0]


@pytest.mark.parametrize("fast", [False, True])
def test_the_next_change_of_a_chain_is_applied_and_its_time_does_not_run_backwards(fast):
    protocol = bybit_protocol()
    protocol.receive(bybit_book(100, "64999 1", "65000 1", "snapshot"), R0)
    change = bybit_book(101, "64999 2", ts=T0 - 50)
    if fast:
        assert protocol.advance(change, R0)
    else:
        [event] = protocol.receive(change, R0)
        assert (BookDelta, T0 * MS) == (type(event), event.ts)
    view = protocol.book("BTCUSDT")
    assert (T0 * MS, R0, ((64_999.0, 2.0),)) == (view.ts, view.ts_recv, view.bids)


def test_binances_next_change_likewise():
    protocol = binance_protocol()
    protocol.receive(diff(91, 100, 90), R0)
    protocol.snapshot("BTCUSDT", rest_book(95), R0)
    [event] = protocol.receive(diff(101, 110, 100, b="64999 2", ts=T0 - 50), R0)
    assert (BookDelta, (T0 - 3) * MS) == (type(event), event.ts)
