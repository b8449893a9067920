"""Anything in, any order: nothing but ProtocolError comes out, and no event ever comes from a book that is not live.

Twenty thousand inputs: bytes that are none, messages that are nearly right, with connections, ticks and snapshots in
between. The Bybit core runs twice, once with its fast door, and both must agree on everything.
"""

import math
import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.venues.binance.protocol import BinanceProtocol
from ingest.venues.bybit.protocol import BybitProtocol
from ingest.wire.streams import Stream
from tests.wire import MS, R0, T0, answer, bybit, bybit_book, bybit_trade, diff, enveloped, rest_book, text
from utils.types import BookDelta, BookInvalid, BookSnapshot

INPUTS = 8
EXAMPLES = 20_000 // INPUTS // 2
SYMBOLS = ("BTCUSDT", "ETHUSDT")
STREAMS = [Stream(kind, symbol) for symbol in SYMBOLS for kind in ("book", "trades", "quote", "mark", "liquidations")]
STREAMS += [Stream("bars", symbol, tf="1m") for symbol in SYMBOLS]
MINUTE = T0 // 60_000 * 60_000

#: What a value may be replaced by, a text be cut at, or stand where a message should.
WEIRD = [
    *(b'""', b"null", b"true", b"0", b"1", b"-1", b'"-1"', b'"0"', b'"NaN"', b"NaN", b"Infinity", b"1e400", b'"1e400"'),
    *(b'"1,5"', b"1.5", b'"1e3"', b"[]", b"{}", b"[[]]", b'[["1"]]', b'[["1","2","3"]]', b'"\\u0031"', b'"\xff"'),
    *(b"9" * 30, b'"' + b"9" * 30 + b'"', b'"65000"', b'"64999.9"', b'"0.1"', b'"1234567890.00000000"', b'"BTCUSDT"'),
    *(
        b'"ETHUSDT"',
        b'"delta"',
        b'"snapshot"',
        b'"Buy"',
        b'"SELL"',
        b"1795327094280",
        b"1795327094",
        b"1795327094280000",
    ),
    *(b"9223372036854775807", b"18446744073709551616", b"007", b"1 ", b" 1", b'"1"', b"101", b'"' + b"x" * 5000 + b'"'),
]
JUNK = [
    *(b"", b"pong", b"null", b"[]", b"{}", b"{", b"3", b'"x"', b"\xff\xfe\x00", b"<html>502</html>", b"\xef\xbb\xbf{}"),
    *(
        b"[" * 2_000,
        b'{"a":' * 2_000,
        b'{"topic":' + b"[" * 1_500,
        b'{"topic":"orderbook.50.BTCUSDT","data":' + b"[" * 1_500,
    ),
    *(b'{"topic":"orderbook.50.BTCUSDT"}', b'{"topic":"tickers.BTCUSDT","data":{}}', b'{"topic":[]}', b'{"op":{}}'),
    *(b'{"success":false,"op":"subscribe","req_id":"1"}', b'{"success":true,"op":"ping"}', b'{"op":"pong"}'),
    *(b'{"stream":1,"data":{}}', b'{"stream":"btcusdt@depth","data":' + b"[" * 1_500, b'{"e":"forceOrder","o":[]}'),
    *(b'{"e":"depthUpdate","s":"BTCUSDT"}', b'{"lastUpdateId":5}', b'{"e":"trade","s":"\\ud800"}', b'{"result":null}'),
]
VALUE = re.compile(rb'"[^"]*"(?!:)|-?[0-9.]+|true|false|null|\[\]')


@cache
def bybit_stream(step):
    """The next messages of a sound stream."""
    now = T0 + 20 * step
    kline = {
        "start": MINUTE - 60_000,
        "interval": "1",
        "open": "9",
        "high": "9",
        "low": "9",
        "close": "9",
        "volume": "1",
    }
    ticker = {
        "symbol": "BTCUSDT",
        "bid1Price": "64999",
        "bid1Size": f"{step + 1}",
        "ask1Price": "65000",
        "ask1Size": "1",
    }
    return [
        bybit_book(100 + step, "64999.9 1.2, 64999.8 3", "65000 0.3", "delta" if step else "snapshot", ts=now),
        bybit_book(7 + step, f"3000 {step + 1}", "3001 1, 3002 0", "delta" if step else "snapshot", "ETHUSDT", ts=now),
        bybit("publicTrade", [bybit_trade(f"a{step}", ts=now), bybit_trade(f"b{step}", side="Sell", ts=now)], ts=now),
        bybit("kline.1", [kline | {"confirm": True}, kline | {"start": MINUTE, "confirm": False}], ts=now),
        bybit(
            "tickers", ticker | {"markPrice": "65000.5", "fundingRate": "-0.0001", "nextFundingTime": f"{now}"}, ts=now
        ),
        bybit("allLiquidation", [{"T": now, "s": "BTCUSDT", "S": "Buy", "v": "0.15", "p": "64710.2"}], ts=now),
        text({"success": True, "ret_msg": "", "req_id": f"{step}", "op": "subscribe"}),
    ]


@cache
def binance_stream(step):
    """The next messages of a sound stream."""
    now, first = T0 + 20 * step, 100 + 10 * step
    k = {"t": MINUTE - 60_000, "i": "1m", "o": "9", "c": "9", "h": "9", "l": "9", "v": "2", "x": True, "V": "1"}
    common = {"E": now, "s": "BTCUSDT"}
    mark = {"e": "markPriceUpdate", "p": "65000.5", "r": "0.0001", "T": now}
    order = {"s": "BTCUSDT", "S": "SELL", "q": "1", "p": "65000", "T": now}
    quote = {"e": "bookTicker", "T": now, "u": step, "b": "64999", "B": f"{step + 1}", "a": "65000", "A": "1"}
    return [
        diff(first, first + 9, first - 1, "64999 1, 64998 2", "65001 1", ts=now),
        diff(first, first + 9, first - 1, f"3000 {step + 1}", "3001 1, 3002 0", "ETHUSDT", ts=now),
        enveloped("btcusdt@trade", common | {"e": "trade", "T": now, "t": step, "p": "65000", "q": "1", "m": True}),
        enveloped("btcusdt@kline_1m", common | {"e": "kline", "k": k}),
        text(common | quote),
        text(common | mark),
        text({"e": "forceOrder", "E": now, "o": order}),
        rest_book(first + 5, "64990 1", "65010 1", E=now, T=now),
    ]


def mutated(message, how, place, weird):
    """A message that is nearly right; `place` is where, from 0 to 1."""
    at = int(place * len(message))
    if how == "value":
        values = list(VALUE.finditer(message))
        value = values[min(int(place * len(values)), len(values) - 1)]
        return message[: value.start()] + weird + message[value.end() :]
    if how == "insert":
        return message[:at] + weird + message[at:]
    if how == "delete":
        return message[:at] + message[at + 1 :]
    return {"cut": message[:at], "twice": message + message, "space": message.replace(b",", b", ", 1)}.get(how, message)


ACTION = st.tuples(
    st.sampled_from(["next", "next", "next", "value", "value", "value", "insert", "delete", "cut", "twice", "space"]),
    st.integers(0, 7),
    st.floats(0.0, 1.0),
    st.sampled_from(WEIRD),
)
CONTROL = st.tuples(
    st.sampled_from(["junk", "bytes", "tick", "connect", "disconnect", "snapshot", "late"]), st.binary(max_size=40)
)
#: Mostly messages, some of everything else.
INPUT = st.one_of(ACTION, ACTION, ACTION, CONTROL)


class Witness:
    """Holds a core to its promises, input by input."""

    def __init__(self, protocol, fast=False):
        self.protocol = protocol
        self.fast = fast
        self.live = set()
        self.views = {}

    def check(self, events):
        """No delta from a book that is not live, and a live book is not crossed."""
        for event in events if isinstance(events, list) else ():
            if isinstance(event, BookSnapshot):
                self.live.add(event.symbol)
            elif isinstance(event, BookInvalid):
                self.live.discard(event.symbol)
            elif isinstance(event, BookDelta):
                assert event.symbol in self.live
        for symbol in SYMBOLS:
            view, top = self.protocol.book(symbol), self.protocol.top(symbol)[0]
            self.views[symbol] = view
            assert (view.state == "live") == (symbol in self.live)
            assert not (view.bids and view.asks and view.bids[0][0] >= view.asks[0][0])
            assert math.isnan(top["bid"]) == (not view.bids)
        return events

    def take(self, message, now):
        """Feed a message."""
        if self.fast and self.protocol.advance(message, now):
            return self.check([])
        return self.check(answer(self.protocol, message, now))


def act(witness, stream, step, action):
    """One input, 20 ms after the one before."""
    now, protocol = R0 + 20 * step * MS, witness.protocol
    how = action[0]
    if how == "junk":
        return witness.take(JUNK[len(action[1]) % len(JUNK)], now)
    if how == "bytes":
        return witness.take(action[1], now)
    if how == "tick":
        return witness.check(protocol.tick(now + len(action[1]) * 1000 * MS))
    if how == "connect":
        return witness.check(protocol.connected(now))
    if how == "disconnect":
        return witness.check(protocol.disconnected(now, "reset"))
    if how == "snapshot":
        return witness.check(protocol.snapshot("BTCUSDT", action[1], now))
    if how == "late":
        return witness.take(stream(max(step - 2, 0))[0], now)
    messages = stream(step)
    return witness.take(mutated(messages[action[1] % len(messages)], *(action[0], *action[2:])), now)


@settings(max_examples=EXAMPLES)
@given(actions=st.lists(INPUT, min_size=INPUTS, max_size=INPUTS))
def test_bybit_raises_nothing_but_protocol_errors_and_its_two_doors_agree(actions):
    witnesses = [Witness(BybitProtocol(STREAMS), fast) for fast in (True, False)]
    for witness in witnesses:
        witness.protocol.connected(R0)
        for message in bybit_stream(0):
            witness.take(message, R0)
    for step, action in enumerate(actions, 1):
        first, second = (act(witness, bybit_stream, step, action) for witness in witnesses)
        assert first == second or (first == [] and [BookDelta] == [type(event) for event in second])
        assert witnesses[0].views == witnesses[1].views
        assert witnesses[0].protocol.outgoing() == witnesses[1].protocol.outgoing()
    assert witnesses[0].protocol.counts() == witnesses[1].protocol.counts()


@settings(max_examples=EXAMPLES)
@given(actions=st.lists(INPUT, min_size=INPUTS, max_size=INPUTS))
def test_binance_raises_nothing_but_protocol_errors(actions):
    witness = Witness(BinanceProtocol(STREAMS))
    witness.protocol.connected(R0)
    for message in binance_stream(0):
        witness.take(message, R0)
    for symbol, book in zip(
        SYMBOLS, (rest_book(105, "64999 1", "65001 1"), rest_book(105, "3000 1", "3001 1")), strict=True
    ):
        witness.check(witness.protocol.snapshot(symbol, book, R0))
    for step, action in enumerate(actions, 1):
        act(witness, binance_stream, step, action)


@pytest.mark.parametrize(
    "key", ["topic", "type", "ts", "op", "req_id", "ret_msg", "success", "stream", "e", "s", "lastUpdateId"]
)
def test_lists_of_any_depth_and_numbers_of_any_length_are_at_most_a_protocol_error(key):
    heads = [
        b'{"topic":"orderbook.50.BTCUSDT","data":{}',
        b'{"op":"subscribe","success":false',
        b'{"e":"trade"',
        b'{"id":1',
    ]
    values = [b"[" * depth + b"]" * depth for depth in range(900, 1000)] + [
        b"9" * length for length in range(4290, 4310)
    ]
    cores = [core(STREAMS) for core in (BybitProtocol, BinanceProtocol)]
    for core in cores:
        core.connected(R0)
        seen = [answer(core, head + b',"' + key.encode() + b'":' + value + b"}") for head in heads for value in values]
        assert {list, str} >= {type(one) for one in seen}


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk[:20]))
def test_junk_of_any_kind_is_at_most_a_protocol_error(junk):
    for core in (
        BybitProtocol(STREAMS),
        BinanceProtocol(STREAMS),
        BybitProtocol([], anything=True),
        BinanceProtocol([], anything=True),
    ):
        core.connected(R0)
        assert isinstance(answer(core, junk), list | str)
