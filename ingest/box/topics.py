"""Topics of a venue's streams, who hears them, and when they have something to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ingest.box.faults.desk import Desk
from ingest.box.floor.exchange import Exchange
from ingest.box.floor.market import Deed
from utils.rows import NS_PER_MS

#: Topics that send at once are looked after so often, ns.
AT_ONCE_NS = 10 * NS_PER_MS


class Peer(Protocol):
    """The other end of a connection."""

    name: str

    def hear(self, topic: str, text: str, at_ns: int) -> None:
        """Send a message of a topic, received at `at_ns`."""
        ...

    def say(self, text: str, *, late: bool = False) -> None:
        """Send an answer; `late` = after the next message of a topic."""
        ...

    def subscribed(self, topic: str) -> None:
        """A topic begins."""
        ...

    def trouble(self, topics: str) -> str:
        """The fault that strikes a subscription; "" = none."""
        ...

    def pongs(self, topics: str) -> bool:
        """Whether a ping is answered."""
        ...

    def cut(self, *, reset: bool) -> None:
        """End without a close frame."""
        ...


class Topic:
    """One subscription anybody may share; sends nothing before its first listener."""

    name: str
    symbol: str
    path: str = ""  # under which it lives, where the venue has several
    cadence: int = 0  # ns; 0 = at once

    def __init__(self, name: str, exchange: Exchange, symbol: str) -> None:
        self.name = name
        self.symbol = symbol
        self.market = exchange.market(symbol)
        self.peers: list[Peer] = []
        self._exchange = exchange

    @property
    def now(self) -> int:
        """The exchange's clock, ns."""
        return self._exchange.now

    def first(self) -> list[str]:
        """What a new listener is sent."""
        return []

    def arrival(self, _deed: Deed, /) -> list[str]:
        """What an order gives at once."""
        return []

    def due(self) -> list[str]:
        """What is sent at a multiple of the cadence."""
        return []

    def again(self, _restart: bool, /) -> list[str]:
        """A snapshot in the middle of the stream, in place of what was due; after a restart of the service or not."""
        return []


class Topics:
    """The topics of one venue that somebody listens to."""

    def __init__(self, exchange: Exchange, venue: str, desk: Desk, build: Callable[[str], Topic]) -> None:
        self.exchange = exchange
        self._venue = venue
        self._desk = desk
        self._build = build
        self.recorded: Callable[[str], Topic | None] = lambda _: None  # topics of a tape
        self._topics: dict[str, Topic] = {}  # all that were ever asked for: update ids go on
        self._live: dict[str, Topic] = {}
        self._of_symbol: dict[str, list[Topic]] = {}
        self._cadences: set[int] = set()

    def topic(self, name: str) -> Topic:
        """The topic of a name."""
        if name not in self._topics:
            self._topics[name] = self.recorded(name) or self._build(name)
        return self._topics[name]

    def subscribe(self, peer: Peer, name: str) -> None:
        """Let `peer` hear a topic from now on, what it is to be sent first at once."""
        topic = self.topic(name)
        first = topic.first()
        topic.peers.append(peer)
        self._live[name] = topic
        self._count()
        peer.subscribed(name)
        for text in first:
            peer.hear(name, text, self.exchange.received(self.exchange.now))

    def unsubscribe(self, peer: Peer, name: str) -> None:
        """Let `peer` no longer hear a topic."""
        topic = self._live.get(name)
        if topic is not None and peer in topic.peers:
            topic.peers.remove(peer)
            if not topic.peers:
                del self._live[name]
                self._count()

    def _count(self) -> None:
        self._cadences = {topic.cadence or AT_ONCE_NS for topic in self._live.values()}
        self._of_symbol = {topic.symbol: [] for topic in self._live.values()}
        for topic in self._live.values():
            self._of_symbol[topic.symbol].append(topic)

    # --- the exchange's listener

    def cadences(self) -> set[int]:
        """Periods (ns) at which something may have to be sent."""
        return self._cadences

    def arrival(self, deed: Deed) -> None:
        """An order did something."""
        for topic in self._of_symbol.get(deed.arrival.symbol, ()):
            self._tell(topic, self._struck(topic, topic.arrival(deed)), deed.arrival.at)

    def moment(self, now_ns: int, *, all_due: bool = False) -> None:
        """The clock stands at a multiple of a cadence; or everything that waits is to go out."""
        for topic in self._live.values():
            if topic.cadence and (all_due or now_ns % topic.cadence == 0):
                self._tell(topic, self._struck(topic, topic.due()), now_ns)

    def _struck(self, topic: Topic, texts: list[str]) -> list[str]:
        """What is sent, or a snapshot in its place, where such a fault strikes."""
        if texts and self._desk.faults:
            fault = self._desk.strike(("restart", "snapshot"), f"{self._venue} {topic.name}", self.exchange.now)
            if fault:
                return topic.again(fault.kind == "restart")
        return texts

    def _tell(self, topic: Topic, texts: list[str], at_ns: int) -> None:
        for text in texts:
            for peer in tuple(topic.peers):
                peer.hear(topic.name, text, self.exchange.received(at_ns))
