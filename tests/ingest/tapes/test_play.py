"""Which exchange a tape is of, and its messages through the cores that hear them."""

import json

import msgspec
import pytest

from ingest.tapes.file import UNHEARD, Line, Record, TapeReader
from ingest.tapes.play import Player, recognise
from ingest.venues.binance.protocol import connections
from ingest.wire.streams import Stream
from utils.errors import DataError
from utils.types import BookDelta, BookInvalid, BookSnapshot, Trade

START = 1_769_233_902_000_000_000
MS = START // 1_000_000


def line(message=None, event="", after=0, **more):
    """A line as it is read from a file."""
    text = message if isinstance(message, str | None) else json.dumps(message)
    record = Record(START + 50_000_000 + after * 1_000_000, text, event, **more)
    return msgspec.json.decode(record.line(), type=Line)


def enveloped(stream, **data):
    return {"stream": stream, "data": data}


def diff(symbol, first, last, previous=None, ms=0, **more):
    futures = {} if previous is None else {"T": MS + ms, "pu": previous}
    levels = {"b": [["100.0", "1"]], "a": [["101.0", "2"]]}
    return {"e": "depthUpdate", "E": MS + ms, "s": symbol, "U": first, "u": last, **futures, **levels, **more}


def body(last, bid="99.0", ask="102.0"):
    return {"lastUpdateId": last, "bids": [[bid, "5"]], "asks": [[ask, "5"]]}


def trade(symbol, number, ms=0, **more):
    return {
        "e": "trade",
        "E": MS + ms,
        "T": MS + ms,
        "s": symbol,
        "t": number,
        "p": "100.5",
        "q": "2",
        "m": True,
    } | more


def bybit_book(kind, update, symbol="BTCUSDT", **levels):
    data = {"s": symbol, "b": [["100", "1"]], "a": [["101", "1"]], "u": update, "seq": update} | levels
    return {"topic": f"orderbook.50.{symbol}", "type": kind, "ts": MS, "data": data, "cts": MS}


def bybit_trade(symbol="BTCUSDT", **more):
    print_of = {"T": MS, "s": symbol, "S": "Buy", "v": "0.1", "p": "100", "i": "a-1", "BT": False} | more
    return {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": MS, "data": [print_of]}


MARKETS = {
    "bybit_linear": [
        line(bybit_trade(L="PlusTick")),
        line({"topic": "tickers.BTCUSDT", "type": "snapshot", "data": {"symbol": "BTCUSDT", "markPrice": "1"}}),
        line(event="connect", url="wss://stream.bybit.com/v5/public/linear"),
        line(bybit_book("delta", 7)),
    ],
    "bybit_spot": [
        line(bybit_trade()),
        line({"topic": "tickers.BTCUSDT", "type": "snapshot", "data": {"symbol": "BTCUSDT", "usdIndexPrice": "1"}}),
        line(event="connect", url="wss://stream.bybit.com/v5/public/spot"),
    ],
    "bybit_inverse": [
        line(bybit_trade("BTCUSD", L="PlusTick")),
        line(bybit_book("delta", 7, "ETHUSDH26")),
        line(event="connect", url="wss://stream.bybit.com/v5/public/inverse"),
    ],
    "binance_usdm": [
        line(enveloped("btcusdt@depth@0ms", **diff("BTCUSDT", 1, 2, 0))),
        line(diff("BTCUSDT", 1, 2, 0)),
        line(diff("BTCUSDT", 1, 2, 0, ps="BTCUSDT", st=1)),
        line(trade("BTCUSDT", 1, X="MARKET")),
        line({"e": "bookTicker", "u": 1, "s": "BTCUSDT", "b": "1", "B": "1", "a": "2", "A": "1", "T": MS, "E": MS}),
        line(event="connect", url="wss://fstream.binance.com/stream?streams=btcusdt@aggTrade"),
        line(event="http", url="https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT", message=body(1)),
        line({"e": "kline", "E": MS, "s": "BTCUSDT", "k": {}}),
    ],
    "binance_coinm": [
        line(diff("BTCUSD_PERP", 1, 2, 0, ps="BTCUSD")),
        line(diff("BTCUSD_260327", 1, 2, 0, ps="BTCUSD")),
        line(event="connect", url="wss://dstream.binance.com/stream?streams=btcusd_perp@depth"),
    ],
    "binance_spot": [
        line(enveloped("btcusdt@depth@100ms", **diff("BTCUSDT", 1, 2))),
        line(trade("BTCUSDT", 1, M=True)),
        line(event="connect", url="wss://stream.binance.com:9443/stream?streams=btcusdt@trade"),
        line(event="http", url="https://api.binance.com/api/v3/depth?symbol=BTCUSDT", message=body(1)),
    ],
}


@pytest.mark.parametrize(
    ("market", "first"),
    [
        pytest.param(market, first, id=f"{market} {k}")
        for market, lines in MARKETS.items()
        for k, first in enumerate(lines)
    ],
)
def test_a_market_is_recognised_by_its_first_telling_line(market, first):
    assert {market.partition("_")[0]: market} == recognise([first])


def test_a_spaced_message_is_recognised_too():
    spaced = line(json.dumps(diff("BTCUSDT", 1, 2, 0), separators=(", ", ": ")))
    assert {"binance": "binance_usdm"} == recognise([spaced])


def test_lines_that_do_not_tell_wait_for_one_that_does():
    vague = line({"e": "aggTrade", "E": MS, "s": "BTCUSDT", "a": 1, "p": "1", "q": "1", "T": MS, "m": True})
    assert {"binance": "binance_usdm"} == recognise([vague])
    assert {"binance": "binance_spot"} == recognise([vague, line(diff("BTCUSDT", 1, 2))])


def test_a_tape_may_hold_both_exchanges():
    both = [MARKETS["binance_spot"][0], MARKETS["bybit_linear"][0]]
    assert {"binance": "binance_spot", "bybit": "bybit_linear"} == recognise(both)


def test_a_tape_of_another_exchange_is_refused():
    strange = line({"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": "snapshot"})
    with pytest.raises(DataError, match="expected messages of Bybit v5 or Binance, saw 3 of neither"):
        recognise([strange] * 3)


def test_a_tape_without_messages_is_of_no_exchange():
    assert {} == recognise([])


def played(*lines):
    """The events of these lines, and the player."""
    player = Player(recognise(lines))
    return [noun for each in lines for noun in player.play(each)], player


@pytest.mark.parametrize("envelope", [True, False])
@pytest.mark.parametrize("snapshot_at", [0, 1, 2])
def test_a_book_that_stands_among_the_messages_is_that_of_the_changes(envelope, snapshot_at):
    diffs = [diff("BTCUSDT", 10, 12, 9), diff("BTCUSDT", 13, 15, 12), diff("BTCUSDT", 16, 19, 15)]
    lines = [line(enveloped("btcusdt@depth@0ms", **each) if envelope else each) for each in diffs]
    lines.insert(snapshot_at, line(body(12 if snapshot_at < 2 else 14)))
    nouns, player = played(*lines, line(diff("BTCUSDT", 20, 21, 19)))
    assert BookSnapshot is type(nouns[0])
    assert {BookDelta} == {type(noun) for noun in nouns[1:]}
    assert ((100.0, 1.0), (99.0, 5.0)) == nouns[0].bids
    assert (0, 1) == (
        player.counts()["BTCUSDT", "book"].sequence_breaks,
        player.counts()["BTCUSDT", "book"].snapshots,
    )


def test_a_spot_book_follows_its_own_rule():
    nouns, player = played(
        line(diff("BTCUSDT", 10, 12)),
        line(body(12)),
        line(diff("BTCUSDT", 13, 15)),
        line(diff("BTCUSDT", 16, 16)),
        line(diff("BTCUSDT", 18, 18)),
    )
    assert [BookSnapshot, BookDelta, BookInvalid] == [type(noun) for noun in nouns]
    assert 1 == player.counts()["BTCUSDT", "book"].sequence_breaks


def test_fetched_books_go_to_the_symbol_of_their_address():
    url = "https://fapi.binance.com/fapi/v1/depth?symbol={}&limit=1000"
    nouns, _ = played(
        line(diff("BTCUSDT", 10, 12, 9)),
        line(diff("ETHUSDT", 20, 22, 19)),
        line(body(21, "50.0"), "http", url=url.format("ETHUSDT")),
        line(body(12, "60.0"), "http", url=url.format("BTCUSDT")),
        line({"symbols": []}, "http", url="https://fapi.binance.com/fapi/v1/exchangeInfo"),
    )
    assert [("ETHUSDT", 50.0), ("BTCUSDT", 60.0)] == [(noun.symbol, noun.bids[-1][0]) for noun in nouns]


def test_a_coin_margined_book_has_the_symbol_of_its_pair():
    nouns, player = played(
        line(diff("BTCUSD_PERP", 10, 12, 9, ps="BTCUSD")),
        line(body(11), "http", url="https://dapi.binance.com/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000"),
    )
    assert ["BTCUSD"] == [noun.symbol for noun in nouns]
    assert {"binance": "binance_coinm"} == player.markets


def test_prints_of_other_kinds_are_no_market_trades_and_not_bad():
    nouns, player = played(
        line(trade("BTCUSDT", 1, X="MARKET")),
        line(trade("BTCUSDT", 2, X="INSURANCE_FUND", p="0", q="0")),
        line(trade("BTCUSDT", 3, X="NA", p="0", q="0")),
        line(trade("BTCUSDT", 4, X="MARKET")),
    )
    assert [Trade, Trade] == [type(noun) for noun in nouns]
    counts = player.counts()["BTCUSDT", "trades"]
    assert (4, 0, 0, 2) == (counts.messages, counts.bad_messages, counts.sequence_breaks, counts.events)


def test_both_exchanges_in_one_tape_keep_apart():
    nouns, player = played(
        line(bybit_book("snapshot", 7)),
        line(diff("BTCUSDT", 10, 12, 9)),
        line(body(11)),
        line(bybit_book("delta", 8)),
        line(diff("BTCUSDT", 13, 14, 12)),
    )
    assert [BookSnapshot, BookSnapshot, BookDelta, BookDelta] == [type(noun) for noun in nouns]
    assert 0 == player.counts()["BTCUSDT", "book"].sequence_breaks


def test_a_lost_connection_makes_books_invalid_until_the_next_snapshot():
    url = "wss://stream.bybit.com/v5/public/linear"
    nouns, _ = played(
        line(event="connect", url=url),
        line(bybit_book("snapshot", 7)),
        line(event="disconnect", url=url, reason="reset"),
        line(event="connect", url=url),
        line(bybit_book("delta", 9)),
        line(bybit_book("snapshot", 3)),
    )
    assert [BookSnapshot, BookInvalid, BookSnapshot] == [type(noun) for noun in nouns]
    assert "disconnected: reset" == nouns[1].reason


def test_several_addresses_at_the_start_are_one_client():
    nouns, _ = played(
        line(event="connect", url="wss://fstream.binance.com/public/stream?streams=btcusdt@depth"),
        line(diff("BTCUSDT", 10, 12, 9)),
        line(body(11)),
        line(event="connect", url="wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade"),
        line(diff("BTCUSDT", 13, 14, 12)),
    )
    assert [BookSnapshot, BookDelta] == [type(noun) for noun in nouns]


def test_a_connection_of_our_recorder_takes_only_what_was_asked_for():
    asked = [Stream("book", "BTCUSDT")]
    url = "wss://stream.bybit.com/v5/public/linear"
    nouns, _ = played(
        line(event="connect", url=url, market="bybit_linear", streams=asked, stale_s=10.0),
        line(bybit_book("snapshot", 7)),
        line(bybit_book("snapshot", 7, "ETHUSDT")),
    )
    assert ["BTCUSDT"] == [noun.symbol for noun in nouns]


@pytest.mark.parametrize("market", ["binance_usdm", "binance_spot", "bybit_linear"])
def test_a_file_begun_by_rotation_has_every_book_though_one_does_not_change_again(market):
    asked = [Stream("book", "BTCUSDT"), Stream("book", "ETHUSDT")]
    if market == "bybit_linear":
        url = "wss://stream.bybit.com/v5/public/linear"
        books = {stream.symbol: bybit_book("snapshot", 7, stream.symbol) for stream in asked}
        change = bybit_book("delta", 8, "ETHUSDT")
    else:
        ((url, _),) = ((each.url, each.streams) for each in connections(asked, "wss://fstream.binance.com", market))
        books = {stream.symbol: body(12) | {"E": MS, "T": MS} for stream in asked}
        change = enveloped(
            "ethusdt@depth@100ms", **diff("ETHUSDT", 13, 15, None if market == "binance_spot" else 12, ms=5)
        )
    nouns, player = played(
        line(event="continue", url=url, market=market, streams=asked, stale_s=10.0),
        *(line(book, "book", url=f"tape:depth?symbol={symbol}") for symbol, book in books.items()),
        line(change, after=5),
    )
    assert [
        ("BTCUSDT", BookSnapshot, START),
        ("ETHUSDT", BookSnapshot, START),
        ("ETHUSDT", BookDelta, change["cts"] * 1_000_000 if market == "bybit_linear" else START + 5_000_000),
    ] == [(noun.symbol, type(noun), noun.ts) for noun in nouns]
    assert {(1, 0)} == {
        (counts.snapshots, counts.sequence_breaks) for (symbol, _), counts in player.counts().items() if symbol
    }


def test_a_tick_that_was_recorded_ends_a_silent_book_again():
    asked = [Stream("book", "BTCUSDT")]
    url = "wss://stream.bybit.com/v5/public/linear"
    nouns, _ = played(
        line(event="connect", url=url, market="bybit_linear", streams=asked, stale_s=2.0),
        line(bybit_book("snapshot", 7)),
        line(event="tick", url=url, after=2_500),
    )
    assert [BookSnapshot, BookInvalid] == [type(noun) for noun in nouns]
    assert "stale: exchange time stood still for 2.5 s" == nouns[1].reason


def test_nonsense_among_the_messages_is_counted_and_the_rest_goes_on():
    nouns, player = played(
        line(bybit_book("snapshot", 7)), line("nonsense"), line("{"), line('"pong"'), line(bybit_book("delta", 8))
    )
    assert [BookSnapshot, BookDelta] == [type(noun) for noun in nouns]
    assert 3 == player.counts()["", ""].bad_messages


def test_an_address_that_is_not_of_the_recorders_market_is_refused():
    wrong = line(event="connect", url="wss://x/y", market="bybit_linear", streams=[Stream("book", "BTCUSDT")])
    with pytest.raises(DataError, match=r"expected an address of bybit_linear, saw 'wss://x/y'"):
        Player({}).play(wrong)


def test_a_message_that_nobody_says_when_it_came_came_a_latency_after_it_was_sent(tmp_path):
    trades = [
        {"topic": "publicTrade.XUSDT", "type": "snapshot", "ts": MS + n, "data": [
            {"i": str(n), "T": MS + n, "p": "100", "v": "1", "S": "Buy", "s": "XUSDT", "BT": False}
        ]}
        for n in range(2)
    ]  # fmt: skip
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"recv_ns": null, "msg": {json.dumps(message)}}}\n' for message in trades))
    read = list(TapeReader(path))
    assert [UNHEARD, UNHEARD] == [each.recv_ns for each in read]
    player = Player({"bybit": "bybit_linear"}, latency_ms=20.0)
    assert [(MS + n + 20) * 1_000_000 for n in range(2)] == [player.timed(each).recv_ns for each in read]
    assert 2 == player.unheard
    heard = [event for each in read for event in Player({"bybit": "bybit_linear"}, 20.0).play(each)]
    assert [20_000_000, 20_000_000] == [event.ts_recv - event.ts for event in heard]
