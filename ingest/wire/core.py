"""What the protocol cores of all venues share: the life of a book, the receive clock, and the counts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ingest.wire.fields import AHEAD_NS, Pair, Refused, changes
from ingest.wire.order import Order
from ingest.wire.records import EMPTY, FIELDS, INVALID, LIVE, ODD, STATES, FastDoor, name_feed, new_feeds
from ingest.wire.streams import BookView, Counts, ReceiveClock, Stream
from utils.errors import ConfigError, ProtocolError
from utils.market.book import ASKS, BIDS, CAPACITY, Changes, best_levels, change
from utils.ports import Listener
from utils.rows import NS_PER_S, Level, Rows
from utils.types import BookDelta, BookInvalid, BookSnapshot, MarketEvent

#: What concerns no known symbol is counted under this key.
UNKNOWN = ("", "")
#: When every message of a connection is ahead of the clock for so long, a clock was set, and its time is taken.
CLOCK_SET_NS = 1 * NS_PER_S
#: The first stamp, before a clock difference is known, may be so far ahead.
FIRST_AHEAD_NS = 86_400 * NS_PER_S
#: Shortest and longest wait between two requests for a fresh book, and how long it must live to earn one at once.
WAIT_NS = (1 * NS_PER_S, 30 * NS_PER_S)
CALM_NS = 10 * NS_PER_S
#: Places in a record of what a listener is told.
FOUND, TS, TS_RECV = (FIELDS.index(name) for name in ("found", "ts", "ts_recv"))


class _Shared:
    """An integer of the compiled record, as an attribute."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._place = FIELDS.index(name)

    def __get__(self, feed: BookFeed, owner: type) -> int:
        return feed.line[self._place]

    def __set__(self, feed: BookFeed, value: int) -> None:
        feed.line[self._place] = value


class BookFeed:
    """One book's stream: its compiled record, and beside it what matters only when something goes wrong."""

    state = _Shared()
    update_id = _Shared()
    ts = _Shared()
    ts_recv = _Shared()
    latest = _Shared()
    moved = _Shared()
    applied = _Shared()

    def __init__(self, symbol: str, topic: str, index: int, counts: Counts) -> None:
        self.symbol = symbol
        self.topic = topic
        self.index = index
        self.counts = counts
        self.line: memoryview[int] = memoryview(b"")
        self.book: Rows = np.zeros(0)  # its BOOK record, as an array of length 1
        self.reason = "no snapshot yet"
        self.invalid_since = 0  # exchange time, ns; 0 = it is not
        self.lived_since = 0  # receive time, ns
        self.asked = 0  # when a fresh book was asked for last, ns; 0 = not on this connection
        self.wait = 0  # ns that must lie between that and the next request
        self.due = 0  # when the next one may be made, ns


class ProtocolCore(ABC):
    """The part of a protocol core that does not depend on the venue.

    A book is empty, live or invalid. Whatever is wrong with a message of its stream makes it invalid at once: one
    BookInvalid, a fresh book is asked for, and nothing more comes from it until that book is there. Requests for fresh
    books wait longer each time (1 s to 30 s), unless the book had lived for 10 s.
    """

    market: str
    #: An answer to such a request may take so many times `stale_s`.
    _patience = 1

    def __init__(
        self,
        streams: Sequence[Stream],
        market: str,
        clock: ReceiveClock | None,
        heartbeat_s: float,
        stale_s: float,
        anything: bool,
        fast: FastDoor | None = None,
    ) -> None:
        if len({(s.symbol, s.kind, s.tf) for s in streams}) < len(streams):
            raise ConfigError("streams: expected each symbol and kind once, saw one twice; name it once")
        self.market = market
        self._clock = clock or ReceiveClock()
        self._heartbeat_ns = round(heartbeat_s * NS_PER_S)
        self._stale_ns = round(stale_s * NS_PER_S)
        self._anything = anything
        self._fast = fast or _no_door
        self._records = new_feeds(max(1, sum(s.kind == "book" for s in streams)))
        self._feeds: dict[str, BookFeed] = {}  # by topic
        self._order: list[BookFeed] = []  # by index
        self._books: dict[str, BookFeed] = {}  # by symbol: of several depths on a tape, the first makes the events
        self._counts: dict[tuple[str, str], Counts] = {UNKNOWN: Counts()}
        self._orders: dict[tuple[str, str], Order] = {}  # by symbol and kind; they outlive a connection
        self._outgoing: list[str] = []
        self._failure = ""
        self._heard = 0  # when the last message came, ns
        self._ahead: tuple[int, int] | None = None  # receive and exchange time of the first stamp that was ahead
        self._change(0, (), (), anew=True)  # compiled here if it must be, not while a socket waits

    def _contract(self, symbol: str) -> float:  # noqa: ARG002 - by which coin-margined markets tell
        """What a contract of a symbol is worth, quote; 0 = quantities are base currency."""
        return 0.0

    def _base(self, symbol: str, qty: float, price: float) -> float:
        """A quantity in base currency: contracts x worth of one / price, where contracts are counted."""
        worth = self._contract(symbol)
        return qty * worth / price if worth else qty

    def _levels(self, symbol: str, pairs: Sequence[Pair], side: str) -> tuple[Level, ...]:
        """Changed levels, quantities in base currency.

        Raises:
            Refused: one of them is no such number.
        """
        levels, worth = changes(pairs, side), self._contract(symbol)
        return tuple((price, qty * worth / price) for price, qty in levels) if worth else levels

    @abstractmethod
    def _ask(self, feed: BookFeed, now_ns: int) -> None:
        """Ask the venue for a fresh book."""

    # the life of a book

    def _add_feed(self, symbol: str, topic: str, depth: int = CAPACITY) -> BookFeed:
        feed = BookFeed(symbol, topic, len(self._feeds), self._count(symbol, "book"))
        self._feeds[topic] = feed
        self._order.append(feed)
        self._books.setdefault(symbol, feed)
        if len(self._feeds) > len(self._records):
            self._records = np.concatenate([self._records, new_feeds(len(self._records))])
        name_feed(self._records, feed.index, topic, depth)
        strides = (self._records.dtype.itemsize, 8)
        lines: Any = np.ndarray((len(self._records), len(FIELDS)), np.int64, self._records.data, 0, strides)
        for each in self._order:
            each.line = lines[each.index].data
            each.book = self._records["book"][each.index : each.index + 1]
        self._end(feed, EMPTY, feed.reason)
        return feed

    def _change(self, index: int, bids: tuple[Level, ...], asks: tuple[Level, ...], *, anew: bool) -> bool:
        """Apply checked levels to a book; is it crossed now?"""
        return change(self._records["book"], index, _array(bids), _array(asks), anew)

    def _applied(self, feed: BookFeed, update: int, ts: int, ts_recv: int, recv_ns: int) -> None:
        """Note that a message was applied."""
        if ts > feed.ts or feed.state != LIVE:
            feed.moved = recv_ns
        # the chain says that it is the next one, and time does not run backwards; a clock that was set takes a new book
        if feed.state == LIVE or feed.ts - ts <= AHEAD_NS:
            ts = max(ts, feed.ts)
        feed.update_id, feed.ts, feed.ts_recv = update, ts, max(ts_recv, ts)

    def _begin(self, feed: BookFeed, recv_ns: int) -> list[MarketEvent]:
        """The book is whole: from here on it can be trusted."""
        feed.due = feed.asked + feed.wait
        feed.counts.snapshots += 1
        if feed.state != LIVE:
            feed.lived_since = recv_ns
            feed.state, feed.reason = LIVE, ""
        if feed.invalid_since:
            feed.counts.invalid_ns += max(feed.ts - feed.invalid_since, 0)
            feed.invalid_since = 0
        if self._books[feed.symbol] is not feed:
            return []
        feed.counts.events += 1
        book = self._records["book"][feed.index]
        return [BookSnapshot(feed.symbol, feed.ts, feed.ts_recv, best_levels(book, BIDS), best_levels(book, ASKS))]

    def _changed(self, feed: BookFeed, bids: tuple[Level, ...], asks: tuple[Level, ...]) -> list[MarketEvent]:
        """The event of a delta that was applied."""
        if self._books[feed.symbol] is not feed:
            return []
        feed.counts.events += 1
        return [BookDelta(feed.symbol, feed.ts, feed.ts_recv, bids, asks)]

    def _crossed(self, feed: BookFeed, recv_ns: int, ts: int) -> list[MarketEvent]:
        feed.counts.crossed += 1
        return self._invalidate(feed, "crossed: best bid at or above best ask", recv_ns, ts)

    def _invalidate(self, feed: BookFeed, reason: str, recv_ns: int, ts: int = 0) -> list[MarketEvent]:
        """Trust the book no more, and ask for a fresh one; `ts` is the offending message's exchange time, if known."""
        was = feed.state
        self._end(feed, INVALID, reason)
        if was == LIVE and recv_ns - feed.lived_since >= CALM_NS:
            feed.wait = feed.due = 0
        self._want(feed, recv_ns)
        if was == INVALID:
            return []
        now = max(self._clock.now(recv_ns), 0)
        at = max(feed.ts, ts) or now
        feed.counts.invalid += 1
        feed.invalid_since = feed.invalid_since or at
        if self._books[feed.symbol] is not feed:
            return []
        feed.counts.events += 1
        return [BookInvalid(feed.symbol, at, max(now, at), reason)]

    def _end(self, feed: BookFeed, state: int, reason: str) -> None:
        """The book is not to be used."""
        feed.state, feed.reason = state, reason
        self._records["book"]["top"][feed.index] = (math.nan,) * 4

    def _want(self, feed: BookFeed, now_ns: int) -> None:
        """Ask for a fresh book, if it is time."""
        if self._anything or now_ns < feed.due:
            return
        feed.wait = min(max(2 * feed.wait, WAIT_NS[0]), WAIT_NS[1])
        feed.asked = now_ns
        feed.due = now_ns + max(feed.wait, self._patience * self._stale_ns)
        self._ask(feed, now_ns)

    def _book_feed(self, symbol: str) -> BookFeed:
        if symbol not in self._books:
            known = ", ".join(self._books) or "none"
            raise ConfigError(f"book: expected one of {known}, saw {symbol!r}; subscribe to it first")
        return self._books[symbol]

    # messages

    def _stamp(self, ts: int, recv_ns: int) -> int:
        """The corrected receive time of a message stamped `ts`.

        Raises:
            Refused: the stamp lies too far ahead of our clock.
        """
        ahead = ts - self._clock.now(recv_ns)
        if ahead <= (AHEAD_NS if self._clock.lag < 2**62 else FIRST_AHEAD_NS):
            self._ahead = None
            return self._clock.stamp(ts, recv_ns)
        recv_first, ts_first = self._ahead or (recv_ns, ts)
        drift = (ts - ts_first) - (recv_ns - recv_first)
        if abs(drift) <= AHEAD_NS and recv_ns - recv_first >= CLOCK_SET_NS:
            self._ahead = None
            return self._clock.stamp(ts, recv_ns)
        self._ahead = (recv_first, ts_first) if abs(drift) <= AHEAD_NS else (recv_ns, ts)
        raise Refused(f"exchange time: expected at most 5 s ahead of ours, saw {ahead / NS_PER_S:.1f} s")

    def _late(self, symbol: str, kind: str, ts: int, recv_ns: int, counts: Counts) -> bool:
        """Is this older than what came before it in its stream? Then it is counted, and to be dropped."""
        order = self._orders.get((symbol, kind))
        if order is None:
            order = self._orders[symbol, kind] = Order()
        late = order.late(ts, recv_ns)
        counts.duplicates += late
        return late

    def _count(self, symbol: str, kind: str) -> Counts:
        return self._counts.setdefault((symbol, kind), Counts())

    def _guarded(
        self, counts: Counts, feed: BookFeed | None, recv_ns: int, handle: Callable[[], list[MarketEvent]]
    ) -> list[MarketEvent]:
        """The events of one message of a known stream; a refusal is counted, and ends the book it concerns."""
        counts.messages += 1
        try:
            return handle()
        except (ProtocolError, ValueError) as error:  # a noun's refusal is a ValueError
            counts.bad_messages += 1
            if feed is None:
                return []
            feed.update_id = 0  # what it was cannot be known: the chain begins anew with the next
            return self._invalidate(feed, f"bad message: {error}", recv_ns)

    def _seen(self, counts: Counts, ts: int) -> None:
        counts.first_ts = counts.first_ts or ts
        counts.last_ts = max(counts.last_ts, ts)

    # what the shell calls

    def _reset(self, now_ns: int, ended: str, reason: str) -> list[MarketEvent]:
        """Every book is empty, because of `reason`; those that were live end with `ended`."""
        events: list[MarketEvent] = []
        for feed in self._feeds.values():
            if feed.state == LIVE:
                events += self._invalidate(feed, ended, now_ns)
            self._end(feed, EMPTY, reason)
            feed.update_id = feed.asked = feed.wait = 0
            feed.due = now_ns + self._patience * self._stale_ns
        self._outgoing.clear()
        return events

    def connected(self, now_ns: int) -> list[MarketEvent]:
        """A connection begins: every book is empty, and `outgoing` holds the subscriptions."""
        self._failure = ""
        self._heard = now_ns
        return self._reset(now_ns, "a new connection began", "no snapshot yet")

    def disconnected(self, now_ns: int, reason: str) -> list[MarketEvent]:
        """The connection ended: a BookInvalid for each book that was live."""
        why = f"disconnected: {reason or 'no reason given'}"
        return self._reset(now_ns, why, why)

    def advance(self, text: bytes, recv_ns: int, listener: Listener | None = None) -> bool:
        """The fast door for a plain book update: True = it was applied, and no event was made of it.

        False = hand the same message to `receive`, as all are where the venue has no such door.

        Args:
            text: the message.
            recv_ns: when it was received, ns, not corrected.
            listener: is told of the book that moved, if that is the one of its symbol that makes events.
        """
        if type(text) is not bytes:
            return False
        clock = self._clock
        lag = self._fast(text, recv_ns, clock.lag, self._records)
        if lag == ODD:
            return False
        if lag < clock.lag:  # noqa: PLR1730 - min() is a call more, on the hot path
            clock.lag = lag
        self._heard = recv_ns
        self._ahead = None
        if listener is not None:
            feed = self._order[self._order[0].line[FOUND]]
            if self._books[feed.symbol] is feed:
                listener.moved(feed.symbol, feed.line[TS], feed.line[TS_RECV], feed.book)
        return True

    def tick(self, now_ns: int) -> list[MarketEvent]:
        """Time passes: books that stand still become invalid, fresh ones are asked for again."""
        events: list[MarketEvent] = []
        for feed in self._feeds.values():
            still = now_ns - feed.moved
            if feed.state != LIVE:
                self._want(feed, now_ns)
            elif still > self._stale_ns:
                reason = f"stale: exchange time stood still for {still / NS_PER_S:.1f} s"
                events += self._invalidate(feed, reason, now_ns)
        silent = now_ns - self._heard
        if self._feeds and silent > max(2 * self._stale_ns, self._stale_ns + self._heartbeat_ns):
            self._failure = f"nothing came for {silent / NS_PER_S:.1f} s"
        return events

    def outgoing(self) -> list[str]:
        """Frames to send, once each."""
        frames, self._outgoing = self._outgoing, []
        return frames

    def snapshots_wanted(self) -> list[str]:
        """Symbols whose book must be asked for by REST, once each; none where the stream brings snapshots."""
        return []

    @property
    def failure(self) -> str:
        """Why this connection should be given up for a new one; "" while it is fine."""
        return self._failure

    def book(self, symbol: str, levels: int = 50) -> BookView:
        """The book as it stands; without levels unless it is live.

        Raises:
            ConfigError: no book of that symbol is subscribed to.
        """
        feed = self._book_feed(symbol)
        record = self._records["book"][feed.index]
        live = feed.state == LIVE
        bids, asks = (best_levels(record, side, levels) if live else () for side in (BIDS, ASKS))
        times = (feed.ts, feed.ts_recv, feed.update_id)
        return BookView(symbol, STATES[feed.state], feed.reason, *times, bids, asks)

    def top(self, symbol: str) -> Rows:
        """The best of a book: one TOP record that follows it, NaN while the book is not live.

        Raises:
            ConfigError: no book of that symbol is subscribed to.
        """
        index = self._book_feed(symbol).index
        return self._records["book"]["top"][index : index + 1]

    def record(self, symbol: str) -> Rows:
        """A book as one BOOK record that follows it, as an array of length 1; not to be trusted unless it is live.

        Raises:
            ConfigError: no book of that symbol is subscribed to.
        """
        return self._book_feed(symbol).book

    def counts(self) -> Mapping[tuple[str, str], Counts]:
        """By symbol and kind of stream; ("", "") holds what concerned no known symbol."""
        counts = {key: replace(value) for key, value in self._counts.items()}
        for feed in self._feeds.values():
            seen = counts[feed.symbol, "book"]
            seen.messages += feed.applied
            seen.events += feed.applied if self._books[feed.symbol] is feed else 0
            seen.last_ts = max(seen.last_ts, feed.latest)
            if feed.invalid_since:
                seen.invalid_ns += max(seen.last_ts - feed.invalid_since, 0)
        return counts


def known_market(market: str, markets: Collection[str]) -> None:
    """A venue has this market.

    Raises:
        ConfigError: it has not.
    """
    if market not in markets:
        raise ConfigError(f"market: expected one of {', '.join(markets)}, saw {market!r}; choose one of these")


def _no_door(text: bytes, recv_ns: int, lag: int, feeds: Rows) -> int:  # noqa: ARG001 - the others need them
    """The fast door of a venue that has none."""
    return ODD


def _array(levels: tuple[Level, ...]) -> Changes:
    return np.array(levels, np.float64).reshape(-1, 2)
