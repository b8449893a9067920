"""Bybit's streams, on a market whose every order is known."""

import json

import pytest

from ingest.box.bybit import ws as bybit_ws
from ingest.box.faults.desk import Desk, Fault
from ingest.box.floor.exchange import Exchange
from ingest.box.topics import Topics
from tests.boxes import MIDNIGHT_NS, ListPeer, advance, deed, scripted
from utils.rows import MS_PER_MINUTE, NS_PER_MS

MIDNIGHT = MIDNIGHT_NS // NS_PER_MS


def topics_of(exchange: Exchange, desk: Desk | None = None) -> Topics:
    topics = Topics(exchange, "bybit", desk or Desk(1), lambda name: bybit_ws.build(exchange, name))
    exchange.listeners.append(topics)
    return topics


def listening(exchange: Exchange, *names: str, desk: Desk | None = None) -> ListPeer:
    """Somebody who hears topics of an exchange from midnight on."""
    peer, topics = ListPeer(), topics_of(exchange, desk)
    for name in names:
        topics.subscribe(peer, name)
    return peer


def talking(exchange: Exchange) -> tuple[ListPeer, bybit_ws.BybitSession]:
    peer = ListPeer()
    return peer, bybit_ws.BybitSession(topics_of(exchange), peer)


def frame(op: str, *args: str, req_id: object = "1") -> str:
    return json.dumps({"req_id": req_id, "op": op, "args": list(args)})


def test_a_book_begins_with_a_snapshot_best_levels_first():
    peer = listening(scripted(), "orderbook.50.BTCUSDT")
    (snapshot,) = peer.heard
    assert ("orderbook.50.BTCUSDT", "snapshot", "BTCUSDT") == (
        snapshot["topic"],
        snapshot["type"],
        snapshot["data"]["s"],
    )
    assert [["10.00", "0.001"], ["9.90", "0.001"]] == snapshot["data"]["b"][:2]
    assert [["10.10", "0.001"], ["10.20", "0.001"]] == snapshot["data"]["a"][:2]


def test_a_delta_brings_what_changed_and_size_0_for_what_is_gone():
    exchange = scripted(deed(3, (1, 100, 0), (1, 99, 7)), deed(4, (-1, 103, 2)))
    peer = listening(exchange, "orderbook.50.BTCUSDT")
    advance(exchange, 20)
    snapshot, delta = peer.heard
    assert ("delta", [["9.90", "0.007"], ["10.00", "0"]], [["10.30", "0.002"]]) == (
        delta["type"],
        delta["data"]["b"],
        delta["data"]["a"],
    )
    assert (snapshot["data"]["u"] + 1, MIDNIGHT + 20, MIDNIGHT + 4) == (
        delta["data"]["u"],
        delta["ts"],
        delta["cts"],
    )


def test_nothing_is_sent_while_nothing_changes():
    exchange = scripted()
    peer = listening(exchange, "orderbook.50.BTCUSDT", "tickers.BTCUSDT", "allLiquidation.BTCUSDT")
    before = len(peer.heard)
    advance(exchange, 2_000)
    assert before == len(peer.heard)


def test_a_level_that_enters_the_window_is_sent_when_another_leaves():
    crowd = [(1, 90 - i, 1) for i in range(60)]
    exchange = scripted(deed(1, *crowd), deed(30, (1, 100, 0)))
    peer = listening(exchange, "orderbook.50.BTCUSDT")
    advance(exchange, 40)
    first, second = peer.heard[1:]
    assert 45 == len(first["data"]["b"])  # and five that were there
    assert [["4.50", "0.001"], ["10.00", "0"]] == second["data"]["b"]


def test_each_depth_counts_its_own_updates_and_shares_the_sequence():
    exchange = scripted(deed(1, (1, 100, 5)), deed(30, (1, 100, 6)))
    peer = listening(exchange, "orderbook.50.BTCUSDT", "orderbook.200.BTCUSDT")
    advance(exchange, 100)
    fast = [message["data"] for message in peer.heard if message["topic"].startswith("orderbook.50")]
    slow = [message["data"] for message in peer.heard if message["topic"].startswith("orderbook.200")]
    assert [[0, 1, 2], [0, 1]] == [[data["u"] - rows[0]["u"] for data in rows] for rows in (fast, slow)]
    assert fast[0]["u"] != slow[0]["u"]
    assert fast[-1]["seq"] == slow[-1]["seq"]


def test_the_best_level_is_sent_again_after_three_quiet_seconds_with_the_same_u():
    exchange = scripted(deed(1, (1, 100, 5)))
    peer = listening(exchange, "orderbook.1.BTCUSDT")
    advance(exchange, 3_500)
    _, changed, again = peer.heard
    assert ("snapshot", "snapshot", changed["data"]) == (changed["type"], again["type"], again["data"])
    assert 3_000 == again["ts"] - changed["ts"]


def test_who_comes_later_gets_the_book_as_the_others_have_it():
    exchange = scripted(deed(1, (1, 100, 5)), deed(30, (1, 100, 6)))
    topics, early, late = topics_of(exchange), ListPeer(), ListPeer()
    topics.subscribe(early, "orderbook.50.BTCUSDT")
    advance(exchange, 25)
    topics.subscribe(late, "orderbook.50.BTCUSDT")
    advance(exchange, 50)
    assert early.heard[1]["data"]["u"] == late.heard[0]["data"]["u"]
    assert early.heard[2] == late.heard[1]


def test_a_restart_is_a_snapshot_with_u_1_and_goes_on_from_there():
    exchange = scripted(deed(1, (1, 100, 5)), deed(30, (1, 100, 6)), deed(50, (1, 100, 7)))
    desk = Desk(1)
    desk.inject(Fault("restart", after=1), MIDNIGHT_NS)
    peer = listening(exchange, "orderbook.50.BTCUSDT", desk=desk)
    advance(exchange, 60)
    assert [("delta", None), ("snapshot", 1), ("delta", 2)] == [
        (message["type"], message["data"]["u"] if message["data"]["u"] < 10 else None) for message in peer.heard[1:]
    ]


def test_trades_come_at_once_with_the_side_of_the_taker():
    exchange = scripted(deed(7, fills=[(1, 101, 3), (1, 102, 4)]), deed(8, fills=[(-1, 100, 1)]))
    peer = listening(exchange, "publicTrade.BTCUSDT")
    advance(exchange, 10)
    rows = [row for message in peer.heard for row in message["data"]]
    assert [("Buy", "10.10", "0.003"), ("Buy", "10.20", "0.004"), ("Sell", "10.00", "0.001")] == [
        (row["S"], row["p"], row["v"]) for row in rows
    ]
    assert [MIDNIGHT + 7, MIDNIGHT + 7, MIDNIGHT + 8] == [row["T"] for row in rows]
    assert 3 == len({row["i"] for row in rows})
    assert rows[0]["seq"] == rows[1]["seq"] < rows[2]["seq"]


def test_a_candle_is_confirmed_once_and_the_next_begins():
    exchange = scripted(deed(30_000, fills=[(1, 105, 2)]), deed(MS_PER_MINUTE, fills=[(-1, 99, 1)]))
    peer = listening(exchange, "kline.1.BTCUSDT")
    advance(exchange, MS_PER_MINUTE + 500)
    rows = [message["data"][0] for message in peer.heard]
    assert [False, False, True, False] == [row["confirm"] for row in rows]
    assert ("10.5", "10.5", "0.002", "0.021") == tuple(
        rows[2][name] for name in ("high", "close", "volume", "turnover")
    )
    assert (MIDNIGHT + MS_PER_MINUTE, "9.9", "0.001") == (rows[3]["start"], rows[3]["open"], rows[3]["volume"])


def test_the_changes_of_a_ticker_merged_give_what_rest_tells():
    exchange = scripted(deed(40, (1, 100, 0), fills=[(-1, 100, 1)]), deed(140, (-1, 101, 9)))
    peer = listening(exchange, "tickers.BTCUSDT")
    advance(exchange, 200)
    assert ["snapshot", "delta", "delta"] == [message["type"] for message in peer.heard]
    assert {"symbol", "ask1Size"} == set(peer.heard[2]["data"])
    merged = {}
    for message in peer.heard:
        merged |= message["data"]
    assert bybit_ws.ticker(exchange.market("BTCUSDT"), exchange.now).items() <= merged.items()


def test_a_long_that_is_sold_out_is_a_liquidation_with_side_buy():
    exchange = scripted(deed(40, fills=[(-1, 100, 1), (-1, 99, 1), (-1, 98, 7)]))
    peer = listening(exchange, "allLiquidation.BTCUSDT")
    advance(exchange, 500)
    assert [{"T": MIDNIGHT + 40, "s": "BTCUSDT", "S": "Buy", "v": "0.007", "p": "9.80"}] == peer.heard[0]["data"]


def test_a_ping_is_answered_as_the_linear_streams_answer_it():
    peer, session = talking(scripted())
    session.receive(json.dumps({"req_id": "7", "op": "ping"}))
    assert [{"success": True, "ret_msg": "pong", "conn_id": "peer", "req_id": "7", "op": "ping"}] == peer.said


def test_a_subscription_is_acknowledged_and_its_id_comes_back_as_text():
    peer, session = talking(scripted())
    session.receive(frame("subscribe", "orderbook.50.BTCUSDT", req_id=5))
    assert (True, "5", "subscribe", 1) == (*(peer.said[0][key] for key in ("success", "req_id", "op")), len(peer.heard))


@pytest.mark.parametrize(
    "topic",
    ["orderbook.25.BTCUSDT", "orderbook.50.NOUSDT", "kline.7.BTCUSDT", "trades.BTCUSDT", "publicTrade.1.BTCUSDT", "x"],
)
def test_one_bad_topic_fails_the_whole_request(topic):
    peer, session = talking(scripted())
    session.receive(frame("subscribe", "orderbook.50.BTCUSDT", topic))
    assert (False, f"error:handler not found,topic:{topic}", 0) == (
        peer.said[0]["success"],
        peer.said[0]["ret_msg"],
        len(peer.heard),
    )


def test_a_topic_is_subscribed_once_until_it_is_given_up():
    peer, session = talking(scripted())
    for op in ("subscribe", "subscribe", "unsubscribe", "subscribe"):
        session.receive(frame(op, "orderbook.50.BTCUSDT"))
    assert [True, False, True, True] == [answer["success"] for answer in peer.said]
    assert 2 == len(peer.heard)


def test_too_long_a_list_of_topics_is_refused():
    peer, session = talking(scripted())
    session.receive(frame("subscribe", *["x" * 1000] * 22))
    assert "error:args size too large" == peer.said[0]["ret_msg"]


@pytest.mark.parametrize("text", ["pong", "[]", "{}", '{"op":"dance"}', '{"op":"subscribe","args":7}'])
def test_what_it_does_not_understand_is_refused(text):
    peer, session = talking(scripted())
    session.receive(text)
    assert not peer.said[0]["success"]


def test_nothing_is_heard_after_the_end():
    exchange = scripted(deed(5, (1, 100, 5)))
    peer, session = talking(exchange)
    session.receive(frame("subscribe", "orderbook.50.BTCUSDT"))
    session.close()
    advance(exchange, 100)
    assert (1, None) == (len(peer.heard), exchange.next_moment())
