"""The venue behind the views: one clock, the markets of all symbols, and who wants to hear of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from ingest.box.floor.market import Arrival, Deed, Market, in_order
from utils.rows import NS_PER_MS

#: How long a message of the mock market is on its way: `?clock=tape` stamps it so much later, ns.
LATENCY_NS = 5 * NS_PER_MS
#: Steps in one go before others get their turn, and the longest of them, ns.
SLICE, LONGEST_STEP_NS = 50, 100 * NS_PER_MS


class Flow(Protocol):
    """A source of one symbol's arrivals, in order of time."""

    market: Market

    def take(self, until_ns: int) -> Iterator[Arrival]:
        """The arrivals up to an instant (ns, included), once each."""
        ...


class Listener(Protocol):
    """A venue's streams."""

    def cadences(self) -> set[int]:
        """Periods (ns) at which something may have to be sent."""
        ...

    def arrival(self, deed: Deed) -> None:
        """An order did something."""
        ...

    def moment(self, now_ns: int, *, all_due: bool = False) -> None:
        """The clock stands at a multiple of a cadence; or everything that waits is to go out."""
        ...


class Exchange:
    """Markets by symbol, each made when it is first asked for, and moved on together by one clock."""

    def __init__(
        self, symbols: tuple[str, ...], make: Callable[[str], Flow], start_ns: int, latency_ns: int = LATENCY_NS
    ) -> None:
        self.symbols = symbols
        self.now = start_ns
        self._latency_ns = latency_ns
        self.listeners: list[Listener] = []
        self._make = make
        self._flows: dict[str, Flow] = {}
        self._building = {symbol: threading.Lock() for symbol in symbols}

    def received(self, at_ns: int) -> int:
        """When a message that is sent at an instant is to be stamped, ns."""
        return at_ns + self._latency_ns

    def made(self, symbol: str) -> bool:
        """Whether a market need not be waited for."""
        return symbol in self._flows

    def make(self, symbol: str) -> None:
        """Make a market with its history, in whatever thread; takes a moment the first time."""
        with self._building[symbol]:
            if symbol not in self._flows:
                self._flows[symbol] = self._make(symbol)

    def market(self, symbol: str) -> Market:
        """The market of a symbol as it stands."""
        self.make(symbol)
        market = self._flows[symbol].market
        for arrival in self._flows[symbol].take(self.now):
            self._apply(market, arrival)  # what a market that was made late has missed
        market.roll(self.now)
        return market

    def next_moment(self) -> int | None:
        """When something may next have to be sent, ns; None = nobody listens."""
        cadences = set().union(*(listener.cadences() for listener in self.listeners))
        return min(((self.now // period + 1) * period for period in cadences), default=None)

    def advance(self, until_ns: int) -> bool:
        """Move on, at most to `until_ns`; False when there is more to do, and others should have their turn first."""
        for _ in range(SLICE):
            due = self.next_moment()
            edge = min(until_ns, self.now + LONGEST_STEP_NS, until_ns if due is None else due)
            self._pass(edge)
            if edge == due:
                for listener in self.listeners:
                    listener.moment(edge)
            if edge >= until_ns:
                return True
        return False

    def flush(self) -> None:
        """Send what waits for its moment, so that every view shows the market as it stands."""
        for listener in self.listeners:
            listener.moment(self.now, all_due=True)
        for flow in self._flows.values():
            flow.market.close_aggregate()

    def _pass(self, until_ns: int) -> None:
        """Let everything happen up to an instant, symbols mixed in order of time."""
        if until_ns <= self.now:
            return
        flows = list(self._flows.values())
        for arrival in in_order(arrival for flow in flows for arrival in flow.take(until_ns)):
            self.now = max(self.now, arrival.at)
            self._apply(self._flows[arrival.symbol].market, arrival)
        self.now = until_ns
        for flow in flows:
            flow.market.roll(until_ns)

    def _apply(self, market: Market, arrival: Arrival) -> None:
        deed = market.apply(arrival)
        for listener in self.listeners:
            listener.arrival(deed)
