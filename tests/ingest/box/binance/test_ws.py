"""Binance's streams, on a market whose every order is known."""

import json

import pytest

from ingest.box.binance import ws as binance_ws
from ingest.box.faults.desk import Desk
from ingest.box.floor.exchange import Exchange
from ingest.box.topics import Topics
from tests.boxes import MIDNIGHT_NS, ListPeer, advance, deed, scripted
from utils.rows import MS_PER_MINUTE, NS_PER_MS

MIDNIGHT = MIDNIGHT_NS // NS_PER_MS


def topics_of(exchange: Exchange) -> Topics:
    topics = Topics(exchange, "binance", Desk(1), lambda name: binance_ws.build(exchange, name))
    exchange.listeners.append(topics)
    return topics


def listening(exchange: Exchange, *names: str) -> ListPeer:
    peer, topics = ListPeer(), topics_of(exchange)
    for name in names:
        topics.subscribe(peer, name)
    return peer


def talking(exchange: Exchange, address: str = "/ws", **query: str) -> tuple[ListPeer, binance_ws.BinanceSession]:
    peer = ListPeer()
    session = binance_ws.BinanceSession(topics_of(exchange), peer)
    session.from_address(address, query)
    return peer, session


def frame(method: str, *params: str) -> str:
    return json.dumps({"method": method, "params": list(params), "id": 3})


def test_depth_events_are_chained_by_pu_and_skip_ids():
    exchange = scripted(*(deed(40 * i, (1, 100, i)) for i in range(1, 20)))
    peer = listening(exchange, "btcusdt@depth@100ms")
    start = exchange.market("BTCUSDT").update_id
    advance(exchange, 1_000)
    assert [start, *(event["u"] for event in peer.heard[:-1])] == [event["pu"] for event in peer.heard]
    assert all(event["pu"] < event["U"] <= event["u"] for event in peer.heard)
    assert any(event["U"] > event["pu"] + 1 for event in peer.heard)
    assert exchange.market("BTCUSDT").update_id == peer.heard[-1]["u"]


def test_a_depth_event_holds_absolute_sizes_and_0_for_what_is_gone():
    exchange = scripted(deed(1, (1, 100, 0), (1, 99, 2)), deed(2, (1, 99, 5), (-1, 101, 4)))
    peer = listening(exchange, "btcusdt@depth")
    advance(exchange, 250)
    (event,) = peer.heard
    assert ("depthUpdate", "BTCUSDT", MIDNIGHT + 250, MIDNIGHT + 2) == tuple(event[key] for key in "esET")
    assert ([["9.90", "0.005"], ["10.00", "0.000"]], [["10.10", "0.004"]]) == (event["b"], event["a"])


@pytest.mark.parametrize(("speed", "count"), [("", 2), ("@250ms", 2), ("@500ms", 1), ("@100ms", 4), ("@0ms", 9)])
def test_the_name_says_how_often_depth_is_sent(speed, count):
    exchange = scripted(*(deed(40 * i, (1, 100, i)) for i in range(1, 10)))
    peer = listening(exchange, f"btcusdt@depth{speed}")
    advance(exchange, 500)
    assert count == len(peer.heard)


def test_the_book_ticker_is_sent_when_the_best_prices_change():
    exchange = scripted(deed(1, (1, 100, 4)), deed(2, (1, 97, 9)), deed(3, (-1, 101, 0)))
    peer = listening(exchange, "btcusdt@bookTicker")
    advance(exchange, 10)
    assert [("10.00", "0.004", "10.10", "0.001"), ("10.00", "0.004", "10.20", "0.001")] == [
        tuple(event[key] for key in "bBaA") for event in peer.heard
    ]


def test_m_says_that_the_taker_sold():
    exchange = scripted(deed(1, fills=[(1, 101, 1)]), deed(2, fills=[(-1, 100, 2)]))
    peer = listening(exchange, "btcusdt@trade")
    advance(exchange, 10)
    assert [("10.10", "0.001", False, MIDNIGHT + 1), ("10.00", "0.002", True, MIDNIGHT + 2)] == [
        tuple(event[key] for key in "pqmT") for event in peer.heard
    ]
    assert peer.heard[0]["t"] + 1 == peer.heard[1]["t"]


def test_trades_of_one_side_at_one_price_within_100_ms_are_one_aggregate():
    exchange = scripted(
        deed(1, fills=[(1, 101, 1), (1, 101, 2), (1, 102, 4)]),
        deed(100, fills=[(1, 102, 8)]),
        deed(101, fills=[(1, 102, 16)]),
        deed(102, fills=[(-1, 102, 32)]),
    )
    peer = listening(exchange, "btcusdt@aggTrade")
    advance(exchange, 200)
    assert [("10.10", "0.003", 1), ("10.20", "0.012", 1), ("10.20", "0.016", 0), ("10.20", "0.032", 0)] == [
        (event["p"], event["q"], event["l"] - event["f"]) for event in peer.heard
    ]
    assert [0, 1, 2, 3] == [event["a"] - peer.heard[0]["a"] for event in peer.heard]


def test_an_aggregate_that_was_sent_does_not_grow():
    exchange = scripted(deed(1, fills=[(1, 101, 1)]), deed(60, fills=[(1, 101, 2)]))
    peer = listening(exchange, "btcusdt@aggTrade")
    advance(exchange, 50)
    exchange.flush()
    advance(exchange, 100)
    assert [("0.001", 0), ("0.002", 1)] == [(event["q"], event["a"] - peer.heard[0]["a"]) for event in peer.heard]


def test_a_candle_is_closed_once_and_tells_what_takers_bought():
    exchange = scripted(deed(30_000, fills=[(1, 105, 2), (-1, 104, 3)]), deed(MS_PER_MINUTE, fills=[(-1, 99, 1)]))
    peer = listening(exchange, "btcusdt@kline_1m")
    advance(exchange, MS_PER_MINUTE + 100)
    closed = [event["k"] for event in peer.heard if event["k"]["x"]]
    assert 1 == len(closed)
    assert ("10.50", "10.40", "0.005", "0.002", 2) == tuple(closed[0][key] for key in "ocvVn")
    assert (MIDNIGHT, MIDNIGHT + MS_PER_MINUTE - 1) == (closed[0]["t"], closed[0]["T"])


def test_the_mark_price_comes_every_second_with_the_running_funding():
    exchange = scripted()
    peer = listening(exchange, "btcusdt@markPrice@1s")
    advance(exchange, 2_500)
    assert [("10.050", "0.00010000", MIDNIGHT + 8 * 60 * MS_PER_MINUTE)] * 2 == [
        tuple(event[key] for key in "prT") for event in peer.heard
    ]


def test_only_the_latest_liquidation_of_a_second_is_told():
    sweep = [(-1, 100, 1), (-1, 99, 1), (-1, 98, 1)]
    exchange = scripted(deed(1, fills=sweep), deed(2, fills=[*sweep, (-1, 97, 6)]))
    peer = listening(exchange, "btcusdt@forceOrder")
    advance(exchange, 1_000)
    assert [("SELL", "0.006", "9.70")] == [tuple(event["o"][key] for key in "Sqp") for event in peer.heard]


def test_a_subscription_is_acknowledged():
    peer, session = talking(scripted())
    session.receive(frame("SUBSCRIBE", "btcusdt@depth", "btcusdt@aggTrade"))
    session.receive(frame("LIST_SUBSCRIPTIONS"))
    assert [{"result": None, "id": 3}, {"result": ["btcusdt@depth", "btcusdt@aggTrade"], "id": 3}] == peer.said


@pytest.mark.parametrize(
    "name",
    ["BTCUSDT@depth", "nousdt@depth", "btcusdt@depth@50ms", "btcusdt@kline_7m", "btcusdt", "btcusdt@markPrice@2s"],
)
def test_a_stream_that_does_not_exist_is_refused(name):
    peer, session = talking(scripted())
    session.receive(frame("SUBSCRIBE", name))
    assert {"error": {"code": 2, "msg": f"Invalid request: invalid stream {name}"}, "id": 3} == peer.said[0]


@pytest.mark.parametrize(
    ("path", "name", "served"),
    [
        ("/public/ws", "btcusdt@depth", True),
        ("/public/ws/0", "btcusdt@trade", True),
        ("/public/ws", "btcusdt@aggTrade", False),
        ("/market/ws", "btcusdt@aggTrade", True),
        ("/market/ws", "btcusdt@bookTicker", False),
        ("/ws", "btcusdt@forceOrder", True),
    ],
)
def test_streams_live_under_their_path(path, name, served):
    peer, session = talking(scripted(), path)
    session.receive(frame("SUBSCRIBE", name))
    assert served == ("result" in peer.said[0])


def test_streams_may_stand_in_the_address():
    for path, query in (("/ws/btcusdt@trade", {}), ("/stream", {"streams": "btcusdt@trade/btcusdt@depth"})):
        exchange = scripted(deed(1, fills=[(1, 101, 1)]))
        peer, _ = talking(exchange, path, **query)
        advance(exchange, 10)
        assert ["trade"] == [event["e"] for event in peer.heard]


def test_combined_streams_come_in_an_envelope():
    _, plain = talking(scripted(), "/public/ws")
    _, combined = talking(scripted(), "/public/stream")
    assert '{"a":1}' == plain.wrapped("btcusdt@trade", '{"a":1}')
    assert '{"stream":"btcusdt@trade","data":{"a":1}}' == combined.wrapped("btcusdt@trade", '{"a":1}')


def test_nothing_is_heard_after_unsubscribing():
    exchange = scripted(deed(30, fills=[(1, 101, 1)]))
    peer, session = talking(exchange)
    session.receive(frame("SUBSCRIBE", "btcusdt@trade"))
    session.receive(frame("UNSUBSCRIBE", "btcusdt@trade"))
    advance(exchange, 100)
    assert [] == peer.heard


@pytest.mark.parametrize("text", ["pong", "[]", "{}", '{"method":"DANCE","id":1}', '{"method":"SUBSCRIBE","params":7}'])
def test_what_it_does_not_understand_is_refused(text):
    peer, session = talking(scripted())
    session.receive(text)
    assert 2 == peer.said[0]["error"]["code"]
