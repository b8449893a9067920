"""Numbers and JSON from outside: one rule for streams and REST."""

from __future__ import annotations

import time

import msgspec
import pytest

from ingest.rest.checks import number
from ingest.rest.retry import BadVenueData
from ingest.venues.binance import messages
from ingest.wire.fields import MOST_PARTS, Refused, decode, strict_json
from tests.boxes import PATIENCE_S
from tests.wire import R0, answer, binance_protocol, bybit_book, bybit_protocol, rest_book


@pytest.mark.parametrize(
    "text",
    [
        *('{"a":"1","a":"1"}', '{"x":[{"a":1,"b":2,"a":3}]}', "[NaN]", "[-Infinity]", "[1e400]", '{"a":[["1_000"]]}'),
        *('{"a":" 1"}', '{"a":"1 "}', '{"a":"1e5"}', '{"a":"+1"}', '{"a":"1."}', '{"a":".5"}', '{"a":"１２"}'),
        '{"a":"\\uff11"}',
    ],
)
def test_json_with_a_key_twice_or_an_odd_number_is_refused(text):
    with pytest.raises(Refused):
        strict_json(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        *('{"a":"1.5","b":[["-0.1","2"]]}', '{"id":"2100000000007764263"}', '{"day":"2024-01-01"}', '{"a":1.5e3}'),
        *('{"a":""," ":null}', '{"uuid":"20f43950-d8dd-5b31-9112-a178eb6023af"}', '{"ip":"1.2.3.4"}', '["INF","NAN"]'),
    ],
)
def test_json_as_exchanges_write_it_is_read(text):
    assert strict_json(text) is not None


@pytest.mark.parametrize("text", ["1_000", " 1", "1 ", "1e5", "+1", "1.", ".5", "nan", "inf", "１", "0x1", "", "--1"])
def test_a_number_in_quotes_by_rest_is_held_to_the_rule_of_streams(text):
    with pytest.raises(BadVenueData, match="price: expected a plain decimal"):
        number(text, "price")


@pytest.mark.parametrize(("said", "value"), [("1.50", 1.5), ("-0.0001", -0.0001), (7, 7.0), (1.5, 1.5), ("0", 0.0)])
def test_a_number_is_read(said, value):
    assert number(said, "price") == value


def bulk(count: int) -> list[list[str]]:
    return [["1", "1"]] * count


def test_a_book_of_300_000_levels_is_refused_before_it_is_parsed():
    body = rest_book(95, bulk(150_000), bulk(150_000))
    protocol = binance_protocol()
    began = time.monotonic()
    assert [] == protocol.snapshot("BTCUSDT", body, R0)
    assert time.monotonic() - began < 0.1 * PATIENCE_S
    assert 1 == protocol.counts()["BTCUSDT", "book"].bad_messages


def test_a_message_of_300_000_levels_rows_or_lists_is_refused_before_it_is_parsed():
    protocol = bybit_protocol()
    protocol.receive(bybit_book(100, "64999 1", "65000 1", "snapshot"), R0)
    for text in (
        bybit_book(101, bulk(300_000), []),
        b'{"topic":"publicTrade.BTCUSDT","data":[' + b"{}," * 300_000 + b"{}]}",
        b"[" * 300_000,
    ):
        began = time.monotonic()
        assert "levels or rows" in answer(protocol, text)
        assert time.monotonic() - began < 0.1 * PATIENCE_S


def test_the_deepest_book_there_is_is_read():
    side = [[f"{price}.5", "1.25"] for price in range(10_000, 15_000)]
    text = msgspec.json.encode({"lastUpdateId": 1, "bids": side[::-1], "asks": side})
    assert 5_000 == len(decode(text, messages.SNAPSHOT).asks)
    assert MOST_PARTS > 10_003
