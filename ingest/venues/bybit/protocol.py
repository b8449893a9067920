"""Bybit v5 public streams, linear, inverse and spot, without a socket: text in, events out.

Books follow the update id `u` of their topic: a snapshot, or `u` = 1, overwrites; a delta has the previous `u` + 1.
`ts` of a book event is `cts`, the matching engine's time and comparable with a trade's `T`; where it is missing, `ts`.
Block trades (`BT`) are agreed off the book and make no Trade. Source: Bybit v5 documentation of public streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from ingest.venues.bybit import messages
from ingest.venues.bybit.fast import advance
from ingest.venues.bybit.messages import Message, Topic
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
from ingest.wire.records import EMPTY, LIVE
from ingest.wire.streams import FUTURES_ONLY, BookView, Connection, ReceiveClock, Stream
from utils.errors import ConfigError, ProtocolError
from utils.rows import NS_PER_MS, NS_PER_S
from utils.types import Bar, Funding, Liquidation, MarketEvent, MarkPrice, Quote, Trade

#: Last part of a market's address.
MARKETS = {"bybit_linear": "linear", "bybit_inverse": "inverse", "bybit_spot": "spot"}
#: Topics of one request: spot takes no more.
ARGS = 10
#: Streams of one connection, whose topics may have 21,000 characters together.
MOST_STREAMS = 400
#: Topics a tape may hold.
MOST_TOPICS = 2000
#: A subscription may stay unanswered for so many times `stale_s`.
PATIENCE = 3


def connections(streams: Sequence[Stream], base_ws: str, market: str) -> list[Connection]:
    """The sockets to open: one, until there are very many streams; then a fragment, #2, tells the others apart.

    Raises:
        ConfigError: no market of Bybit.
    """
    known_market(market, MARKETS)
    url = f"{base_ws}/v5/public/{MARKETS[market]}"
    parts: list[list[Stream]] = []
    for _, same in groupby(sorted(streams, key=_symbol), _symbol):
        together = list(same)  # streams of one symbol may share a topic, and a topic has one socket
        if not parts or len(parts[-1]) + len(together) > MOST_STREAMS:
            parts.append([])
        parts[-1] += together
    found = []
    for place, part in enumerate(parts, 1):
        topics = {messages.topic_of(stream).name for stream in part}
        found.append(Connection(f"{url}#{place}" if place > 1 else url, tuple(part), topics))
    return found


def snapshot_message(view: BookView, depth: int) -> bytes:
    """A book as Bybit's stream begins one."""
    ms = view.ts // NS_PER_MS
    data = {"s": view.symbol, "b": decimals(view.bids), "a": decimals(view.asks), "u": view.update_id}
    topic = f"orderbook.{depth}.{view.symbol}"
    return msgspec.json.encode({"topic": topic, "type": "snapshot", "ts": ms, "data": data, "cts": ms})


def _symbol(stream: Stream) -> str:
    return stream.symbol


class BybitProtocol(ProtocolCore):
    """One connection's worth of Bybit v5 streams; see `ingest.wire.streams.WireProtocol`.

    `refused` holds the topics that Bybit does not give, and what it said.

    Args:
        streams: what to subscribe to.
        market: bybit_linear, bybit_inverse or bybit_spot.
        clock: shared by the connections of one feed; default: an own one.
        heartbeat_s: time between two pings; unanswered for twice as long, the connection has failed.
        stale_s: a book whose exchange time stands still for longer is invalid.
        anything: a tape of unknown subscriptions: whatever comes is taken, and nothing is asked for.

    Raises:
        ConfigError: a stream or a market that Bybit does not have.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        *,
        market: str = "bybit_linear",
        clock: ReceiveClock | None = None,
        heartbeat_s: float = 20.0,
        stale_s: float = 10.0,
        anything: bool = False,
    ) -> None:
        known_market(market, MARKETS)
        in_coin = any(messages.contract_of(name, market) for name in ("", *(stream.symbol for stream in streams)))
        fast = None if in_coin else advance  # the fast door takes quantities as they are
        super().__init__(streams, market, clock, heartbeat_s, stale_s, anything, fast=fast)
        self.refused: dict[str, str] = {}
        self._topics: dict[str, Topic] = {}
        for stream in streams:
            if market == "bybit_spot" and stream.kind in FUTURES_ONLY:
                raise ConfigError(f"{stream.kind} of {stream.symbol}: spot has none; choose a futures market")
            topic = messages.topic_of(stream)
            self._add_topic(self._topics.get(topic.name, topic), stream.kind)
            self._count(stream.symbol, stream.kind)
        self._requests = 0
        self._pending: dict[str, tuple[int, list[str]]] = {}  # by request: when it was sent, and its topics
        self._pinged = 0
        self._unanswered = 0  # when the first ping was sent that is not answered, ns; 0 = none
        self._handlers = {
            "book": self._on_book,
            "trades": self._on_trades,
            "bars": self._on_bars,
            "quote": self._on_ticker,
            "liquidations": self._on_liquidations,
        }

    def _contract(self, symbol: str) -> float:
        return messages.contract_of(symbol, self.market)

    def _add_topic(self, topic: Topic, *kinds: str) -> None:
        topic.wants.update(kinds)
        if topic.name not in self._topics:
            self._topics[topic.name] = topic
            if topic.kind == "book":
                self._add_feed(topic.symbol, topic.name, topic.depth)

    # what is sent, and the answers

    def connected(self, now_ns: int) -> list[MarketEvent]:
        """A connection begins: every book is empty, and `outgoing` holds the subscriptions."""
        events = super().connected(now_ns)
        self.refused.clear()
        self._pending.clear()
        self._pinged, self._unanswered = now_ns, 0
        for topic in self._topics.values():
            topic.ticker, topic.quote, topic.mark = {}, (), 0.0
        if not self._anything:
            names = list(self._topics)
            for first in range(0, len(names), ARGS):
                self._subscribe(names[first : first + ARGS], now_ns)
        return events

    def _request(self, op: str, args: list[str] | None = None) -> str:
        self._requests += 1
        request = {"req_id": str(self._requests), "op": op} | ({"args": args} if args else {})
        self._outgoing.append(msgspec.json.encode(request).decode())
        return str(self._requests)

    def _subscribe(self, names: list[str], now_ns: int) -> None:
        self._pending[self._request("subscribe", names)] = (now_ns, names)

    def _ask(self, feed: BookFeed, now_ns: int) -> None:
        self._request("unsubscribe", [feed.topic])
        self._subscribe([feed.topic], now_ns)

    def _answer(self, message: Message, now_ns: int) -> list[MarketEvent]:
        """What is no data: answers to requests and pings; what else there may be is ignored."""
        if message.op == "pong" or (message.op == "ping" and message.success is not False):
            self._unanswered = 0
        elif isinstance(message.success, bool):
            if message.op not in ("unsubscribe", "ping"):
                self._acknowledged(message, now_ns)
        elif message.op is None:
            raise Refused("message: expected a topic or an answer, saw neither")
        return []

    def _acknowledged(self, message: Message, now_ns: int) -> None:
        request = message.req_id if isinstance(message.req_id, str) else ""
        if request not in self._pending:  # Bybit answers in order, and may leave the id away
            request = next(iter(self._pending), "")
        _, names = self._pending.pop(request, (0, []))
        if message.success:
            return
        if len(names) > 1:  # one bad topic fails them all
            for name in names:
                self._subscribe([name], now_ns)
        for name in names if len(names) == 1 else ():
            topic = self._topics[name]
            self.refused[name] = message.ret_msg[:200] if isinstance(message.ret_msg, str) else "no reason given"
            self._count(topic.symbol, _main_kind(topic)).bad_messages += 1

    def tick(self, now_ns: int) -> list[MarketEvent]:
        """Time passes: pings fall due, books that stand still become invalid."""
        events = super().tick(now_ns)
        if self._anything:
            return events
        if now_ns - self._pinged >= self._heartbeat_ns:
            self._request("ping")
            self._pinged = now_ns
            self._unanswered = self._unanswered or now_ns
        if self._unanswered and now_ns - self._unanswered >= 2 * self._heartbeat_ns:
            self._failure = f"pings unanswered for {(now_ns - self._unanswered) / NS_PER_S:.1f} s"
        self._watch_requests(now_ns)
        return events

    def _watch_requests(self, now_ns: int) -> None:
        """Data is as good as an answer; a topic with neither is a subscription that was lost."""
        for request, (sent, names) in list(self._pending.items()):
            if now_ns - sent > PATIENCE * self._stale_ns:
                silent = [name for name in names if self._heard_of(name) < sent]
                if silent:
                    self._failure = f"subscription to {', '.join(silent)} was not answered"
                else:
                    del self._pending[request]

    def _heard_of(self, name: str) -> int:
        feed = self._feeds.get(name)
        return max(self._topics[name].heard, feed.moved if feed else 0)

    # messages

    def receive(self, text: str | bytes, recv_ns: int) -> list[MarketEvent]:
        """The events of one message.

        Raises:
            ProtocolError: it is not what Bybit documents, and no symbol of ours is concerned.
        """
        self._heard = recv_ns
        unknown = self._counts[UNKNOWN]
        if text in ("pong", b"pong"):
            unknown.messages += 1
            self._unanswered = 0
            return []
        try:
            message: Message = decode(text, messages.MESSAGE)
            if not isinstance(message.topic, str):
                events = self._answer(message, recv_ns)
                unknown.messages += 1
                return events
        except ProtocolError:
            unknown.bad_messages += 1
            raise
        topic = self._topics.get(message.topic) or self._at_sight(message.topic)
        if topic is None:
            unknown.messages += 1
            return []
        topic.heard = recv_ns
        self.refused.pop(topic.name, None)
        counts, feed = self._count(topic.symbol, _main_kind(topic)), self._feeds.get(topic.name)
        handle = self._handlers[topic.kind]
        return self._guarded(counts, feed, recv_ns, lambda: handle(topic, message, recv_ns))

    def _at_sight(self, name: str) -> Topic | None:
        """On a tape, a topic is known once it is seen."""
        topic = messages.topic_named(name) if self._anything and len(self._topics) < MOST_TOPICS else None
        if topic:
            self._add_topic(topic, *(("quote", "mark") if topic.kind == "quote" else (topic.kind,)))
        return topic

    def _times(self, message: Message, recv_ns: int) -> tuple[int, int]:
        """Exchange time (of matching, where that is said) and corrected receive time of a message."""
        pushed = milliseconds(decode(message.ts, messages.WHOLE), "ts")
        matched = milliseconds(decode(message.cts, messages.WHOLE), "cts") if message.cts else pushed
        return matched, self._stamp(max(pushed, matched), recv_ns)

    def _on_book(self, topic: Topic, message: Message, recv_ns: int) -> list[MarketEvent]:
        feed = self._feeds[topic.name]
        data: messages.Book = decode(message.data, messages.BOOK)
        if message.type not in ("snapshot", "delta"):
            raise Refused(f"type: expected snapshot or delta, saw {shown(message.type)}")
        same_symbol(data.s, topic.symbol)
        update = identity(data.u, "u", 1)  # 0 is our word for an id that is not known
        bids, asks = self._levels(topic.symbol, data.b, "bid"), self._levels(topic.symbol, data.a, "ask")
        ts, ts_recv = self._times(message, recv_ns)
        self._seen(feed.counts, ts)
        last = feed.update_id
        if message.type == "snapshot" or update == 1:
            # a book that begins anew has no older time; and of depth 1, whose every message is a snapshot, no lower id
            if feed.state == LIVE and (ts < feed.ts or (topic.depth == 1 and 1 < update < last)):
                feed.counts.duplicates += 1
                return []
            # the stream of depth 1 repeats itself by design
            feed.counts.duplicates += feed.state == LIVE and update == last and topic.depth > 1
            crossed = self._change(feed.index, bids, asks, anew=True)
            self._applied(feed, update, ts, ts_recv, recv_ns)
            return self._crossed(feed, recv_ns, ts) if crossed else self._begin(feed, recv_ns)
        if feed.state == EMPTY:
            return []
        if last and update <= last:
            feed.counts.duplicates += 1
            return []
        feed.update_id = update
        if last and update != last + 1:
            feed.counts.sequence_breaks += 1
            return self._invalidate(feed, f"gap: update {update} came after {last}", recv_ns, ts)
        if feed.state != LIVE:
            return []
        if self._change(feed.index, bids, asks, anew=False):
            return self._crossed(feed, recv_ns, ts)
        self._applied(feed, update, ts, ts_recv, recv_ns)
        return self._changed(feed, bids, asks)

    def _on_trades(self, topic: Topic, message: Message, recv_ns: int) -> list[MarketEvent]:
        counts = self._count(topic.symbol, "trades")
        rows: list[messages.Trade] = decode(message.data, messages.TRADES)
        pushed, ts_recv = self._times(message, recv_ns)
        self._seen(counts, pushed)
        trades = []
        for row in rows:
            same_symbol(row.s, topic.symbol)
            ts, price, qty = within(row.T, "T", pushed), above_zero(row.p, "p"), above_zero(row.v, "v")
            side = 1 if row.S == "Buy" else -1
            qty = self._base(topic.symbol, qty, price)
            trades.append(Trade(topic.symbol, ts, max(ts_recv, ts), price, qty, side))
        # only a whole message is remembered
        fresh = [not topic.repeated(row.i) for row in rows]
        counts.duplicates += len(rows) - sum(fresh)
        events = [
            trade
            for trade, row, new in zip(trades, rows, fresh, strict=True)
            if new and not row.BT and not self._late(topic.symbol, "trades", trade.ts, recv_ns, counts)
        ]
        counts.events += len(events)
        return [*events]

    def _on_bars(self, topic: Topic, message: Message, recv_ns: int) -> list[MarketEvent]:
        counts = self._count(topic.symbol, "bars")
        rows: list[messages.Kline] = decode(message.data, messages.KLINES)
        pushed, ts_recv = self._times(message, recv_ns)
        self._seen(counts, pushed)
        bars = []
        for row in rows:
            if messages.TF_OF.get(row.interval) != topic.tf:
                raise Refused(f"interval: expected that of {topic.name}, saw {shown(row.interval)}")
            start = milliseconds(row.start, "start")
            opened, high, low = above_zero(row.open, "open"), above_zero(row.high, "high"), above_zero(row.low, "low")
            in_coin = self._contract(topic.symbol) > 0.0
            volume = number(row.turnover, "turnover") if in_coin else number(row.volume, "volume")
            closed = above_zero(row.close, "close")
            if row.confirm:
                close = close_of(start, topic.tf, pushed)
                bars.append(Bar(topic.symbol, topic.tf, close, max(ts_recv, close), opened, high, low, closed, volume))
        events: list[MarketEvent] = []
        for bar in bars:
            if bar.ts > topic.last_close:
                topic.last_close = bar.ts
                events.append(bar)
        counts.duplicates += len(bars) - len(events)
        counts.events += len(events)
        return events

    def _on_ticker(self, topic: Topic, message: Message, recv_ns: int) -> list[MarketEvent]:
        data: messages.Ticker = decode(message.data, messages.TICKER)
        same_symbol(data.symbol, topic.symbol)
        ts, ts_recv = self._times(message, recv_ns)
        seen = self._count(topic.symbol, _main_kind(topic))
        self._seen(seen, ts)
        late = self._late(topic.symbol, "quote", ts, recv_ns, seen)
        before = topic.ticker
        if late and before:
            return []
        said = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not None}
        now = said if message.type == "snapshot" else before | said
        quote, mark = (
            self._quote(topic.symbol, now),
            above_zero(now["markPrice"], "markPrice") if now.get("markPrice") else 0.0,
        )
        settled = _settled(topic.symbol, before, now, ts)
        topic.ticker = now
        if late:  # a new connection begins with what the last one knew: it is what the next message changes
            topic.quote, topic.mark = quote, mark
            return []
        events: list[MarketEvent] = []
        if "quote" in topic.wants and quote and quote != topic.quote:
            counts = self._count(topic.symbol, "quote")
            if quote[0] < quote[2]:
                events.append(Quote(topic.symbol, ts, ts_recv, *quote))
                counts.events += 1
            else:
                counts.crossed += 1
        topic.quote = quote
        if "mark" in topic.wants:
            marks: list[MarketEvent] = [*settled]
            if mark and mark != topic.mark:
                marks.append(MarkPrice(topic.symbol, ts, mark))
            if marks:
                self._count(topic.symbol, "mark").events += len(marks)
            events += marks
        topic.mark = mark
        return events

    def _quote(self, symbol: str, ticker: dict[str, str]) -> tuple[float, ...]:
        """Bid, its quantity, ask, its quantity; () when one of them is not known, or a side is empty."""
        prices = [above_zero(ticker[name], name) for name in ("bid1Price", "ask1Price") if ticker.get(name)]
        sizes = [number(ticker[name], name) for name in ("bid1Size", "ask1Size") if ticker.get(name)]
        if len(prices) < 2 or len(sizes) < 2 or not all(sizes):
            return ()
        bid, ask = (self._base(symbol, qty, price) for qty, price in zip(sizes, prices, strict=True))
        return prices[0], bid, prices[1], ask

    def _on_liquidations(self, topic: Topic, message: Message, recv_ns: int) -> list[MarketEvent]:
        counts = self._count(topic.symbol, "liquidations")
        rows: list[messages.Liquidation] = decode(message.data, messages.LIQUIDATIONS)
        pushed, ts_recv = self._times(message, recv_ns)
        self._seen(counts, pushed)
        events: list[MarketEvent] = []
        for row in rows:
            same_symbol(row.s, topic.symbol)
            ts, price, qty = within(row.T, "T", pushed), above_zero(row.p, "p"), above_zero(row.v, "v")
            if self._late(topic.symbol, "liquidations", ts, recv_ns, counts):
                continue
            qty = self._base(topic.symbol, qty, price)
            # S is the side of the position: a long that is closed by force is sold
            events.append(Liquidation(topic.symbol, ts, max(ts_recv, ts), price, qty, -1 if row.S == "Buy" else 1))
        counts.events += len(events)
        return events

    def snapshot_path(self, symbol: str) -> str:
        """None: Bybit's stream brings its snapshots.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"book of {symbol}: expected no request for a snapshot, as Bybit's stream brings it")

    def snapshot(self, symbol: str, body: str | bytes, recv_ns: int) -> list[MarketEvent]:  # noqa: ARG002 - not needed
        """No events: Bybit's stream brings its snapshots."""
        return []

    def resume(self, symbol: str, body: str | bytes, recv_ns: int) -> list[MarketEvent]:  # noqa: ARG002 - it says whose
        """A book that was live when a recorder wrote it down, in the form of Bybit's own snapshots."""
        return self.receive(body, recv_ns)


def _main_kind(topic: Topic) -> str:
    """The kind under which a topic's messages are counted."""
    return topic.kind if topic.kind in topic.wants else "mark"


def _settled(symbol: str, before: dict[str, str], now: dict[str, str], ts: int) -> list[Funding]:
    """The settlement that lies between two states of the ticker, at the rate last seen before it."""
    due, following = (int(number(state.get("nextFundingTime") or "0", "nextFundingTime")) for state in (before, now))
    rates = [signed(state.get("fundingRate") or "0", "fundingRate") for state in (before, now)]
    if before.get("fundingRate") and 0 < due < following and ts >= due * NS_PER_MS:
        return [Funding(symbol, milliseconds(due, "nextFundingTime"), rates[0])]
    return []
