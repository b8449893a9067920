import json

from ingest.box.faults.desk import Desk, Fault
from ingest.box.topics import AT_ONCE_NS, Topic, Topics
from tests.boxes import MIDNIGHT_NS, ListPeer, advance, deed, scripted
from utils.rows import NS_PER_MS

NAME = "orderbook.1.BTCUSDT"  # such faults strike books only


class Count(Topic):
    """Says how many orders came, each at once or all of them every 100 ms; a snapshot is below 0."""

    def __init__(self, name, exchange, cadence):
        super().__init__(name, exchange, "BTCUSDT")
        self.cadence = cadence * NS_PER_MS
        self._orders = 0

    def first(self):
        return [json.dumps({"n": 0})]

    def arrival(self, _deed, /):
        self._orders += 1
        return [] if self.cadence else [json.dumps({"n": self._orders})]

    def due(self):
        return [json.dumps({"n": self._orders})]

    def again(self, restart, /):
        return [json.dumps({"n": -2 if restart else -1})]


def listening(cadence, *faults):
    """An exchange with orders at 10, 20 and 130 ms, its topics, and one who hears them."""
    exchange = scripted(*(deed(ms, (1, 90, 1)) for ms in (10, 20, 130)))
    desk, peer = Desk(1), ListPeer()
    for fault in faults:
        desk.inject(fault, MIDNIGHT_NS)
    topics = Topics(exchange, "bybit", desk, lambda name: Count(name, exchange, cadence))
    exchange.listeners.append(topics)
    topics.subscribe(peer, NAME)
    return exchange, topics, peer


def heard(peer):
    return [message["n"] for message in peer.heard]


def test_a_topic_without_cadence_speaks_at_each_order_and_one_with_it_at_its_multiples():
    for cadence, expected in ((0, [0, 1, 2, 3]), (100, [0, 2, 3])):
        exchange, _, peer = listening(cadence)
        advance(exchange, 200)
        assert expected == heard(peer)


def test_who_has_left_hears_nothing_and_the_topic_is_looked_after_no_longer():
    exchange, topics, peer = listening(0)
    assert {AT_ONCE_NS} == topics.cadences()
    topics.unsubscribe(peer, NAME)
    advance(exchange, 200)
    assert ([0], set()) == (heard(peer), topics.cadences())


def test_a_topic_goes_on_for_who_comes_later():
    _, topics, _ = listening(0)
    assert topics.topic(NAME) is topics.topic(NAME)


def test_a_snapshot_or_a_restart_takes_the_place_of_what_was_due():
    for kind, said in (("snapshot", -1), ("restart", -2)):
        exchange, _, peer = listening(0, Fault(kind, match="orderbook", after=1))
        advance(exchange, 25)
        assert [0, 1, said] == heard(peer)
