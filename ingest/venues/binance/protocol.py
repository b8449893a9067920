"""Binance public streams, USD-M, COIN-M and spot, without a socket: text in, events out.

The stream brings only changes of the book; what they change comes by REST. The first change applied has `U` <=
lastUpdateId <= `u`, each next one names the last one's `u` as its `pu` (spot: `U` <= lastUpdateId + 1 <= `u`, then `U`
= the last `u` + 1). The chain is checked from the first change on, applied or not. `ts` is `T`, the matching engine's
time, where it is sent, else `E`; spot's `bookTicker` has neither, so its `ts` is its corrected receive time.

Streams are named in the address, so nothing is ever sent. Sources: Binance, How to manage a local order book
correctly; USD-M, COIN-M and spot market streams.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ingest.venues.binance import messages
from ingest.venues.binance.depth_sync import Base, DepthSync, Diff
from ingest.venues.binance.messages import own_symbol, wire_symbol
from ingest.wire.core import UNKNOWN, BookFeed, ProtocolCore, known_market
from ingest.wire.fields import (
    Refused,
    above_zero,
    close_of,
    decimals,
    decode,
    identity,
    milliseconds,
    number,
    same_symbol,
    shown,
    signed,
    within,
)
from ingest.wire.records import LIVE
from ingest.wire.streams import FUTURES_ONLY, BookView, Connection, Counts, ReceiveClock, Stream
from utils.errors import ConfigError, ProtocolError
from utils.market.timeframes import TIMEFRAMES
from utils.rows import NS_PER_MS, NS_PER_S
from utils.types import Bar, Funding, Liquidation, MarketEvent, MarkPrice, Quote, Trade

#: Streams named in one address.
MOST_STREAMS = 200
#: A stream that is behind the snapshot of its book may keep silent for so long: ten times its push interval.
BEHIND_NS = 1 * NS_PER_S
#: Symbols a tape may hold.
MOST_SYMBOLS = 2000
#: A message, bare or taken out of its envelope.
Body = str | bytes | msgspec.Raw


class _Numbered:
    """Where the trades of one symbol stand."""

    def __init__(self) -> None:
        self.name = ""  # trade or aggTrade: of both, the first makes the events
        self.last: dict[str, tuple[int, int]] = {}  # by name: id and time of the last
        self.anew: set[str] = set()  # names that may go on with any id, after a new connection

    def is_new(self, name: str, trade: int, ts: int, counts: Counts) -> bool:
        """Take note of a trade; gaps and repetitions are counted."""
        self.name = self.name or name
        last, last_ts = self.last.get(name, (-1, 0))
        if trade <= last and ts <= last_ts:
            counts.duplicates += 1
            return False
        if last >= 0 and trade != last + 1 and name not in self.anew:
            counts.sequence_breaks += 1
        self.anew.discard(name)
        self.last[name] = (trade, max(ts, last_ts))
        return True


def connections(streams: Sequence[Stream], base_ws: str, market: str) -> list[Connection]:
    """The sockets to open: futures have one address for book, quotes and trades, another for the rest.

    Raises:
        ConfigError: no market of Binance.
    """
    known_market(market, messages.SNAPSHOTS)
    if market == "binance_spot":
        groups = {"": list(streams)}
    else:
        groups = {
            "/public": [stream for stream in streams if stream.kind in messages.PUBLIC],
            "/market": [stream for stream in streams if stream.kind not in messages.PUBLIC],
        }
    found = []
    for path, group in groups.items():
        for first in range(0, len(group), MOST_STREAMS):
            part = tuple(group[first : first + MOST_STREAMS])
            names = [messages.stream_name(stream, market) for stream in part]
            found.append(Connection(f"{base_ws}{path}/stream?streams={'/'.join(names)}", part, names))
    return found


def snapshot_message(view: BookView, depth: int) -> bytes:  # noqa: ARG001 - others choose by it
    """A book as Binance answers by REST."""
    ms = view.ts // NS_PER_MS
    sides = {"bids": decimals(view.bids), "asks": decimals(view.asks)}
    return msgspec.json.encode({"lastUpdateId": view.update_id, "E": ms, "T": ms, **sides})


class BinanceProtocol(ProtocolCore):
    """One connection's worth of Binance streams; see `ingest.wire.streams.WireProtocol`.

    Args:
        streams: what the address names.
        market: binance_usdm, binance_coinm or binance_spot.
        clock: shared by the connections of one feed; default: an own one.
        heartbeat_s: Binance pings on the level of the socket; here it only lengthens the silence that is borne.
        stale_s: a book whose exchange time stands still for longer is invalid.
        anything: a tape of unknown subscriptions: whatever comes is taken, and nothing is asked for.

    Raises:
        ConfigError: a stream or a market that Binance does not have.
    """

    _patience = 3  # a REST answer may have to be asked for more than once

    def __init__(
        self,
        streams: Sequence[Stream],
        *,
        market: str = "binance_usdm",
        clock: ReceiveClock | None = None,
        heartbeat_s: float = 20.0,
        stale_s: float = 10.0,
        anything: bool = False,
    ) -> None:
        known_market(market, messages.SNAPSHOTS)
        super().__init__(streams, market, clock, heartbeat_s, stale_s, anything)
        self._syncs: dict[str, DepthSync] = {}
        self._numbered: dict[str, _Numbered] = {}
        self._tfs: dict[str, set[str]] = {}
        self._last_close: dict[tuple[str, str], int] = {}  # of bars, by symbol and timeframe, ns
        self._quotes: dict[str, tuple[int, int, tuple[float, ...]]] = {}  # update id, time and values of the last
        self._marks: dict[str, float] = {}
        self._funding: dict[str, tuple[int, float]] = {}  # next settlement, ns, and the rate last said
        self._wanted: dict[str, None] = {}
        for stream in streams:
            if market == "binance_spot" and stream.kind in FUTURES_ONLY:
                raise ConfigError(f"{stream.kind} of {stream.symbol}: spot has none; choose a futures market")
            self._add(stream.symbol, stream.kind)
            if stream.tf:
                self._tfs.setdefault(stream.symbol, set()).add(stream.tf)
        self._handlers = {
            "book": self._on_book,
            "trades": self._on_trade,
            "bars": self._on_bar,
            "quote": self._on_quote,
            "mark": self._on_mark,
            "liquidations": self._on_liquidation,
        }

    def _contract(self, symbol: str) -> float:
        return messages.contract_of(symbol, self.market)

    def _add(self, symbol: str, kind: str) -> None:
        self._count(symbol, kind)
        if kind == "book" and symbol not in self._books:
            self._add_feed(symbol, symbol)
            self._syncs[symbol] = DepthSync()
        elif kind == "trades":
            self._numbered.setdefault(symbol, _Numbered())

    # messages

    def receive(self, text: str | bytes, recv_ns: int) -> list[MarketEvent]:
        """The events of one message, in its envelope or without.

        Raises:
            ProtocolError: it is not what Binance documents, and no symbol of ours is concerned.
        """
        self._heard = recv_ns
        try:
            message: messages.Message = decode(text, messages.MESSAGE)
            if message.lastUpdateId and message.stream is None:
                return self._unnamed_snapshot(text, recv_ns)
            about, kind, body = _addressed(message, text)
        except Refused:
            self._counts[UNKNOWN].bad_messages += 1
            raise
        return self._routed(about, kind, body, recv_ns)

    def _routed(self, about: str, kind: str, body: Body, recv_ns: int) -> list[MarketEvent]:
        """Hand a message to its stream."""
        symbol = own_symbol(about, self.market)
        if not kind or not ((symbol, kind) in self._counts or self._at_sight(symbol, kind)):
            self._counts[UNKNOWN].messages += 1
            return []
        counts, handle = self._counts[symbol, kind], self._handlers[kind]
        feed = self._books[symbol] if kind == "book" else None
        return self._guarded(counts, feed, recv_ns, lambda: handle(symbol, counts, body, recv_ns))

    def _at_sight(self, symbol: str, kind: str) -> bool:
        """On a tape, a symbol is known once it is seen."""
        room = len(self._counts) < MOST_SYMBOLS * len(messages.NAMES)
        known = self._anything and room and messages.SYMBOL.fullmatch(symbol) is not None
        if known:
            self._add(symbol, kind)
        return known

    def _same_symbol(self, seen: str, symbol: str) -> None:
        same_symbol(own_symbol(seen, self.market), symbol)

    # the book

    def _on_book(self, symbol: str, counts: Counts, body: Body, recv_ns: int) -> list[MarketEvent]:
        feed, sync = self._books[symbol], self._syncs[symbol]
        sync.came = recv_ns
        data: messages.Depth = decode(body, messages.DEPTH)
        self._same_symbol(data.s, symbol)
        pushed = milliseconds(data.E, "E")
        diff = self._diff(symbol, data, pushed)
        ts_recv = self._stamp(pushed, recv_ns)
        before, last = counts.last_ts, feed.update_id
        self._seen(counts, diff.ts)
        back = last > 0 and diff.last <= last
        if back and diff.ts <= before:
            counts.duplicates += 1
            return []
        feed.update_id = diff.last
        events: list[MarketEvent] = []
        if back:
            sync.base = None  # newer, and yet a lower number: ids begin anew, and no older snapshot can be met
        if back or (last and not diff.follows(last)):
            counts.sequence_breaks += 1
            sync.forget_changes()
            if feed.state == LIVE:
                events = self._invalidate(feed, f"gap: update {diff.last} does not follow {last}", recv_ns, diff.ts)
        elif feed.state == LIVE:
            if self._change(feed.index, diff.bids, diff.asks, anew=False):
                return self._crossed(feed, recv_ns, diff.ts)
            self._applied(feed, diff.last, diff.ts, ts_recv, recv_ns)
            return self._changed(feed, diff.bids, diff.asks)
        sync.keep(diff)
        if not feed.asked:  # a snapshot asked for once changes come is not older than they are
            feed.due = 0
            self._want(feed, recv_ns)
        return events + self._meet(feed, recv_ns)

    def _diff(self, symbol: str, data: messages.Depth, pushed: int) -> Diff:
        """Checked changes.

        Raises:
            Refused: they are not legal.
        """
        first, last = identity(data.U, "U"), identity(data.u, "u", 1)  # 0 is our word for one that is not known
        if first > last:
            raise Refused(f"U: expected at most u {last}, saw {first}")
        if data.pu is None and self.market != "binance_spot" and not self._anything:
            raise Refused("pu: expected the update before, saw none")
        previous = None if data.pu is None else identity(data.pu, "pu")
        ts = pushed if data.T is None else within(data.T, "T", pushed)
        bids, asks = self._levels(symbol, data.b, "bid"), self._levels(symbol, data.a, "ask")
        return Diff(first, last, previous, bids, asks, ts)

    def _meet(self, feed: BookFeed, recv_ns: int) -> list[MarketEvent]:
        """Bring snapshot and changes together, if both are there."""
        sync = self._syncs[feed.symbol]
        waited = sync.base is not None
        met = sync.meet()
        if met is None:
            if waited and sync.base is None:
                self._ask_again(feed, recv_ns)
            return []
        base, diffs = met
        ts = diffs[-1].ts
        crossed = self._change(feed.index, base.bids, base.asks, anew=True)
        for diff in diffs:
            crossed = crossed or self._change(feed.index, diff.bids, diff.asks, anew=False)
        if crossed:
            return self._crossed(feed, recv_ns, ts)
        self._applied(feed, diffs[-1].last, ts, self._clock.now(recv_ns), recv_ns)
        return self._begin(feed, recv_ns)

    def _invalidate(self, feed: BookFeed, reason: str, recv_ns: int, ts: int = 0) -> list[MarketEvent]:
        self._syncs[feed.symbol].forget_changes()
        return super()._invalidate(feed, reason, recv_ns, ts)

    def _reset(self, now_ns: int, ended: str, reason: str) -> list[MarketEvent]:
        events = super()._reset(now_ns, ended, reason)
        self._syncs = {symbol: DepthSync() for symbol in self._syncs}
        for numbered in self._numbered.values():
            numbered.anew = set(numbered.last)
        for memory in (self._quotes, self._marks, self._funding, self._wanted):
            memory.clear()
        return events

    def tick(self, now_ns: int) -> list[MarketEvent]:
        """Time passes; a stream that is silent though its book has gone on, as the snapshot shows, is a failure."""
        events = super().tick(now_ns)
        for symbol, sync in self._syncs.items():
            behind = sync.base is not None and 0 < self._books[symbol].update_id < sync.base.update_id
            if behind and now_ns - sync.came > BEHIND_NS:
                self._failure = f"changes of {symbol} no longer come, though its book has gone on"
        return events

    # its snapshot

    def _ask(self, feed: BookFeed, now_ns: int) -> None:  # noqa: ARG002 - other venues number their requests by time
        self._wanted[feed.symbol] = None

    def _want(self, feed: BookFeed, now_ns: int) -> None:
        if self._syncs[feed.symbol].base is None:  # else the next change decides
            super()._want(feed, now_ns)

    def _ask_again(self, feed: BookFeed, now_ns: int) -> None:
        """The answer is there, and it is of no use."""
        feed.due = min(feed.due, feed.asked + feed.wait)
        self._want(feed, now_ns)

    def snapshots_wanted(self) -> list[str]:
        """Symbols whose book must be asked for by REST, once each."""
        wanted = list(self._wanted)
        self._wanted.clear()
        return wanted

    def snapshot_path(self, symbol: str) -> str:
        """Path and query of that REST request, from the slash on."""
        return messages.SNAPSHOTS[self.market].format(wire_symbol(symbol, self.market))

    def snapshot(self, symbol: str, body: str | bytes, recv_ns: int) -> list[MarketEvent]:
        """The answer to it. A body that is no book is counted and asks again; a live book goes on by its stream.

        Raises:
            ProtocolError: no book of that symbol is subscribed to.
        """
        feed, base = self._fetched(symbol, body, recv_ns)
        if base is None or feed.state == LIVE:
            return []
        sync = self._syncs[feed.symbol]
        sync.base, sync.came = base, recv_ns
        return self._meet(feed, recv_ns)

    def resume(self, symbol: str, body: str | bytes, recv_ns: int) -> list[MarketEvent]:
        """A book that was live when a recorder wrote it down: it had met its changes, so it waits for none.

        Raises:
            ProtocolError: no book of that symbol is subscribed to.
        """
        feed, base = self._fetched(symbol, body, recv_ns)
        if base is None or feed.state == LIVE:
            return []
        sync = self._syncs[feed.symbol]
        sync.base = None
        sync.forget_changes()
        self._seen(feed.counts, base.ts)
        self._change(feed.index, base.bids, base.asks, anew=True)
        self._applied(feed, base.update_id, base.ts, self._clock.now(recv_ns), recv_ns)
        return self._begin(feed, recv_ns)

    def _fetched(self, symbol: str, body: str | bytes, recv_ns: int) -> tuple[BookFeed, Base | None]:
        """The book a body is of, and what it holds; None = it is no book, which is counted and asks again."""
        name = own_symbol(symbol, self.market)
        if name not in self._books and not self._at_sight(name, "book"):
            raise ProtocolError(f"snapshot: expected a symbol that is subscribed to, saw {shown(symbol)}")
        feed = self._books[name]
        feed.counts.messages += 1
        try:
            return feed, self._checked_snapshot(name, feed.counts, body, recv_ns)
        except ProtocolError:
            feed.counts.bad_messages += 1
            self._ask_again(feed, recv_ns)
            return feed, None

    def _checked_snapshot(self, symbol: str, counts: Counts, body: str | bytes, recv_ns: int) -> Base:
        data: messages.Snapshot = decode(body, messages.SNAPSHOT)
        last = identity(data.lastUpdateId, "lastUpdateId")
        bids, asks = self._levels(symbol, data.bids, "bid"), self._levels(symbol, data.asks, "ask")
        if not bids and not asks:
            raise Refused("snapshot: expected levels, saw none")
        if bids and asks and max(bids)[0] >= min(asks)[0]:
            counts.crossed += 1
            raise Refused("snapshot: expected the best bid below the best ask, saw them crossed")
        times = [milliseconds(value, name) for name, value in (("E", data.E), ("T", data.T)) if value is not None]
        if times:
            self._stamp(max(times), recv_ns)
        return Base(last, bids, asks, max(times, default=0))

    def _unnamed_snapshot(self, body: str | bytes, recv_ns: int) -> list[MarketEvent]:
        """A REST book that stands among the messages of a tape, as tapes of one symbol have it."""
        if len(self._books) != 1:
            raise Refused(f"snapshot without a symbol: expected one book it can belong to, saw {len(self._books)}")
        return self.snapshot(next(iter(self._books)), body, recv_ns)

    # the other streams

    def _on_trade(self, symbol: str, counts: Counts, body: Body, recv_ns: int) -> list[MarketEvent]:
        data: messages.Trade = decode(body, messages.TRADE)
        self._same_symbol(data.s, symbol)
        name, trade = ("trade", data.t) if data.t is not None else ("aggTrade", data.a)
        if trade is None:
            raise Refused("trade: expected an id, t or a, saw none")
        identity(trade, "trade id")
        pushed = milliseconds(data.E, "E")
        ts = within(data.T, "T", pushed)
        # funds and the like trade with themselves: they are numbered, and no trades of the market
        market = data.X == "MARKET"
        price, qty = (above_zero(data.p, "p"), above_zero(data.q, "q")) if market else (0.0, 0.0)
        ts_recv = self._stamp(pushed, recv_ns)
        self._seen(counts, ts)
        numbered = self._numbered[symbol]
        if not numbered.is_new(name, trade, ts, counts) or not market or numbered.name != name:
            return []
        if self._late(symbol, "trades", ts, recv_ns, counts):
            return []
        counts.events += 1
        return [Trade(symbol, ts, max(ts_recv, ts), price, self._base(symbol, qty, price), -1 if data.m else 1)]

    def _on_bar(self, symbol: str, counts: Counts, body: Body, recv_ns: int) -> list[MarketEvent]:
        data: messages.Kline = decode(body, messages.KLINE)
        self._same_symbol(data.s, symbol)
        k, pushed = data.k, milliseconds(data.E, "E")
        start = milliseconds(k.t, "t")
        opened, high, low, closed = (
            above_zero(k.o, "o"),
            above_zero(k.h, "h"),
            above_zero(k.l, "l"),
            above_zero(k.c, "c"),
        )
        in_coin = self._contract(symbol) > 0.0
        volume, bought = (number(k.q, "q"), number(k.Q, "Q")) if in_coin else (number(k.v, "v"), number(k.V, "V"))
        ts_recv = self._stamp(pushed, recv_ns)
        self._seen(counts, pushed)
        asked_for = k.i in TIMEFRAMES and (self._anything or k.i in self._tfs[symbol])
        if not k.x or not asked_for:
            return []
        close = close_of(start, k.i, pushed)
        bar = Bar(symbol, k.i, close, max(ts_recv, close), opened, high, low, closed, volume, bought)
        if close <= self._last_close.get((symbol, k.i), 0):
            counts.duplicates += 1
            return []
        self._last_close[symbol, k.i] = close
        counts.events += 1
        return [bar]

    def _on_quote(self, symbol: str, counts: Counts, body: Body, recv_ns: int) -> list[MarketEvent]:
        data: messages.BookTicker = decode(body, messages.BOOK_TICKER)
        self._same_symbol(data.s, symbol)
        update = identity(data.u, "u")
        bid, ask = above_zero(data.b, "b"), above_zero(data.a, "a")
        sizes = (self._base(symbol, number(data.B, "B"), bid), self._base(symbol, number(data.A, "A"), ask))
        quote = (bid, sizes[0], ask, sizes[1])
        pushed = None if data.E is None else milliseconds(data.E, "E")
        ts_recv = self._clock.now(recv_ns) if pushed is None else self._stamp(pushed, recv_ns)
        ts = ts_recv if pushed is None or data.T is None else within(data.T, "T", pushed)
        self._seen(counts, ts)
        last, last_ts, before = self._quotes.get(symbol, (-1, 0, ()))
        if update <= last and ts <= last_ts:
            counts.duplicates += 1
            return []
        # what tells no time is in the order of its ids, which a new connection goes on with
        if self._late(symbol, "quote", update if pushed is None else ts, recv_ns, counts):
            return []
        self._quotes[symbol] = (update, ts, quote)
        if quote == before or not (quote[1] and quote[3]):
            return []
        if quote[0] >= quote[2]:
            counts.crossed += 1
            return []
        counts.events += 1
        return [Quote(symbol, ts, max(ts_recv, ts), *quote)]

    def _on_mark(self, symbol: str, counts: Counts, body: Body, recv_ns: int) -> list[MarketEvent]:
        data: messages.Mark = decode(body, messages.MARK)
        self._same_symbol(data.s, symbol)
        ts, price = milliseconds(data.E, "E"), above_zero(data.p, "p")
        following = (milliseconds(data.T, "T"), signed(data.r, "r")) if data.T and data.r else None
        self._stamp(ts, recv_ns)
        self._seen(counts, ts)
        if self._late(symbol, "mark", ts, recv_ns, counts):
            return []
        events: list[MarketEvent] = []
        if following:
            due, rate = self._funding.get(symbol, following)
            if ts >= due < following[0]:
                events.append(Funding(symbol, due, rate))
            self._funding[symbol] = following
        if price != self._marks.get(symbol):
            self._marks[symbol] = price
            events.append(MarkPrice(symbol, ts, price))
        counts.events += len(events)
        return events

    def _on_liquidation(self, symbol: str, counts: Counts, body: Body, recv_ns: int) -> list[MarketEvent]:
        data: messages.ForceOrder = decode(body, messages.FORCE_ORDER)
        order, pushed = data.o, milliseconds(data.E, "E")
        self._same_symbol(order.s, symbol)
        ts, price, qty = within(order.T, "T", pushed), above_zero(order.p, "p"), above_zero(order.q, "q")
        ts_recv = self._stamp(pushed, recv_ns)
        self._seen(counts, ts)
        if self._late(symbol, "liquidations", ts, recv_ns, counts):
            return []
        counts.events += 1
        # S is the side of the forced order itself
        qty = self._base(symbol, qty, price)
        return [Liquidation(symbol, ts, max(ts_recv, ts), price, qty, 1 if order.S == "BUY" else -1)]


def _addressed(message: messages.Message, text: str | bytes) -> tuple[str, str, Body]:
    """Binance's symbol, the kind of stream ("" = none of ours), and the message without its envelope.

    Raises:
        Refused: it looks like nothing that Binance sends.
    """
    if isinstance(message.stream, str):
        return *messages.stream_named(message.stream), message.data
    if message.kind is None:
        raise Refused(f"message: expected a stream's event or an answer, saw {shown(text)}")
    about = decode(message.o, messages.ABOUT).s if message.kind == "liquidations" else message.s
    return about if isinstance(about, str) else "", message.kind, text
