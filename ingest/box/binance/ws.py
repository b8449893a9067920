"""Binance USD-M streams: topics, subscription frames and stream names in addresses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any

from ingest.box.floor.exchange import Exchange
from ingest.box.floor.market import AGGREGATE_NS, LENGTHS, Candle, Deed, Market, Print, bucket, bucket_end
from ingest.box.topics import Peer, Topic, Topics
from ingest.box.wire import text_of
from utils.rows import NS_PER_MS

#: Speeds of the order book stream, ns; 0 = every change at once.
SPEEDS = {
    "": 250 * NS_PER_MS,
    "@500ms": 500 * NS_PER_MS,
    "@250ms": 250 * NS_PER_MS,
    "@100ms": 100 * NS_PER_MS,
    "@0ms": 0,
}
#: Kinds of streams by the path they live under; the legacy paths have both.
PUBLIC, MARKET = "public", "market"
#: Most streams of a connection.
MOST_STREAMS = 1024


class DepthTopic(Topic):
    """`<s>@depth[@speed]`: changed levels of the whole book; `U..u` skips ids, `pu` is the `u` before."""

    path = PUBLIC

    def __init__(self, name: str, exchange: Exchange, symbol: str, cadence: int) -> None:
        super().__init__(name, exchange, symbol)
        self.cadence = cadence
        self._pu = self.market.update_id
        self._first_id = 0  # of the changes that wait; 0 = none
        self._waiting: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def first(self) -> list[str]:
        """Nothing but what is to come: the book is asked for by REST."""
        if not self.peers:
            self._pu, self._first_id, self._waiting = self.market.update_id, 0, ({}, {})
        return []

    def arrival(self, deed: Deed, /) -> list[str]:
        """Note the changes; send them where every change is sent."""
        bids, asks = self._waiting
        for side, tick, lots in deed.arrival.changes:
            (bids if side > 0 else asks)[tick] = lots
        if deed.arrival.changes:
            self._first_id = self._first_id or self.market.first_update_id
        return self.due() if self.cadence == 0 else []

    def due(self) -> list[str]:
        """The changes since the last message, if any."""
        if not self._first_id:
            return []
        market, grid = self.market, self.market.grid
        bids, asks = self._waiting
        data = {
            "e": "depthUpdate",
            "E": self.now // NS_PER_MS,
            "T": market.ts // NS_PER_MS,
            "s": self.symbol,
            "U": self._first_id,
            "u": market.update_id,
            "pu": self._pu,
            "b": [[grid.price(tick), grid.qty(bids[tick])] for tick in sorted(bids)],
            "a": [[grid.price(tick), grid.qty(asks[tick])] for tick in sorted(asks)],
        }
        self._pu, self._first_id, self._waiting = market.update_id, 0, ({}, {})
        return [text_of(data)]


class BookTickerTopic(Topic):
    """`<s>@bookTicker`: best bid and ask with their sizes, whenever one of them changes."""

    path = PUBLIC

    def __init__(self, name: str, exchange: Exchange, symbol: str) -> None:
        super().__init__(name, exchange, symbol)
        self._sent: dict[str, str] = {}

    def arrival(self, deed: Deed, /) -> list[str]:
        """The best prices, when they or their sizes are other than before."""
        best = best_prices(self.market)
        if best == self._sent or "" in best.values():
            return []
        self._sent = best
        times = {"T": deed.arrival.ts // NS_PER_MS, "E": self.now // NS_PER_MS}
        return [text_of({"e": "bookTicker", "u": self.market.update_id, "s": self.symbol} | best | times)]


def best_prices(market: Market) -> dict[str, str]:
    """Best bid (b, B) and ask (a, A); "" for an empty side."""
    found = {}
    for name, side in (("b", market.bids), ("a", market.asks)):
        found[name] = market.grid.price(side.best) if side.ticks else ""
        found[name.upper()] = market.grid.qty(side.lots[side.ticks[-1]]) if side.ticks else ""
    return found


class TradeTopic(Topic):
    """`<s>@trade`: every trade; `m` says that the buyer was the maker, so that the taker sold."""

    path = PUBLIC

    def arrival(self, deed: Deed, /) -> list[str]:
        """The trades an order made."""
        grid = self.market.grid
        return [
            text_of(
                {
                    "e": "trade",
                    "E": self.now // NS_PER_MS,
                    "T": trade.ts // NS_PER_MS,
                    "s": self.symbol,
                    "t": trade.id,
                    "p": grid.price(trade.tick),
                    "q": grid.qty(trade.lots),
                    "X": "MARKET",
                    "m": trade.side < 0,
                }
            )
            for trade in deed.prints
        ]


def aggregated(prints: Iterable[Print]) -> list[list[Print]]:
    """Trades grouped as Binance aggregates them: one side and one price within 100 ms."""
    return [list(group) for _, group in groupby(prints, attrgetter("aggregate"))]


def aggregate_row(market: Market, group: list[Print]) -> dict[str, Any]:
    """An aggregate trade."""
    first = group[0]
    return {
        "a": first.aggregate,
        "p": market.grid.price(first.tick),
        "q": market.grid.qty(sum(trade.lots for trade in group)),
        "f": first.id,
        "l": group[-1].id,
        "T": first.ts // NS_PER_MS,
        "m": first.side < 0,
    }


class AggTradeTopic(Topic):
    """`<s>@aggTrade`: trades of one taker at one price, every 100 ms."""

    path = MARKET
    cadence = AGGREGATE_NS

    def __init__(self, name: str, exchange: Exchange, symbol: str) -> None:
        super().__init__(name, exchange, symbol)
        self._waiting: list[Print] = []

    def first(self) -> list[str]:
        """Nothing but what is to come."""
        if not self.peers:
            self._waiting = []
        return []

    def arrival(self, deed: Deed, /) -> list[str]:
        """Note the trades."""
        self._waiting += deed.prints
        return []

    def due(self) -> list[str]:
        """The trades since the last message."""
        head = {"e": "aggTrade", "E": self.now // NS_PER_MS, "s": self.symbol}
        groups, self._waiting = aggregated(self._waiting), []
        return [text_of(head | aggregate_row(self.market, group)) for group in groups]


class KlineTopic(Topic):
    """`<s>@kline_<interval>`: the candle being formed, and once its final state with `x`."""

    path = MARKET
    cadence = 250 * NS_PER_MS

    def __init__(self, name: str, exchange: Exchange, symbol: str, tf: str) -> None:
        super().__init__(name, exchange, symbol)
        self.tf = tf
        self._open_ms = 0
        self._trades = -1

    def first(self) -> list[str]:
        """Nothing but what is to come."""
        if not self.peers:
            self._open_ms = bucket(self.now // NS_PER_MS, self.tf)
        return []

    def due(self) -> list[str]:
        """The closed candle when a new one has begun; the open one when something traded."""
        texts = []
        while bucket_end(self._open_ms, self.tf) * NS_PER_MS <= self.now:
            texts.append(self._message(closed=True))
            self._open_ms = bucket_end(self._open_ms, self.tf)
        if texts or self._trades != self.market.last_trade_id:
            texts.append(self._message(closed=False))
        return texts

    def _message(self, *, closed: bool) -> str:
        candle = self.market.candle(self.tf, self._open_ms)
        self._trades = self.market.last_trade_id
        grid = self.market.grid
        data = {
            "t": candle.open_ms,
            "T": bucket_end(candle.open_ms, self.tf) - 1,
            "s": self.symbol,
            "i": self.tf,
            "f": candle.first_id,
            "L": last_id(candle),
            "o": grid.price(candle.open),
            "c": grid.price(candle.close),
            "h": grid.price(candle.high),
            "l": grid.price(candle.low),
            "v": grid.qty(candle.lots),
            "n": candle.trades,
            "x": closed,
            "q": grid.value(candle.value),
            "V": grid.qty(candle.bought),
            "Q": grid.value(candle.bought_value),
            "B": "0",
        }
        return text_of({"e": "kline", "E": self.now // NS_PER_MS, "s": self.symbol, "k": data})


def last_id(candle: Candle) -> int:
    """Id of a candle's last trade; -1 when there was none."""
    return candle.first_id + candle.trades - 1 if candle.trades else -1


class MarkPriceTopic(Topic):
    """`<s>@markPrice[@1s]`: mark and index price, running funding rate."""

    path = MARKET

    def __init__(self, name: str, exchange: Exchange, symbol: str, cadence: int) -> None:
        super().__init__(name, exchange, symbol)
        self.cadence = cadence

    def due(self) -> list[str]:
        """The prices as they stand."""
        market, ms = self.market, self.now // NS_PER_MS
        settles = market.next_funding_ms(ms)
        data = {
            "e": "markPriceUpdate",
            "E": ms,
            "s": self.symbol,
            "p": market.mark(),
            "i": market.index(),
            "P": market.mark(),
            "r": market.funding_rate(settles),
            "T": settles,
        }
        return [text_of(data)]


class ForceOrderTopic(Topic):
    """`<s>@forceOrder`: the latest liquidation of each second; S is the side of the forced order."""

    path = MARKET
    cadence = 1000 * NS_PER_MS

    def __init__(self, name: str, exchange: Exchange, symbol: str) -> None:
        super().__init__(name, exchange, symbol)
        self._told = len(self.market.liquidations)

    def first(self) -> list[str]:
        """Nothing but what is to come."""
        if not self.peers:
            self._told = len(self.market.liquidations)
        return []

    def due(self) -> list[str]:
        """The latest liquidation since the last message."""
        new = self.market.liquidations[self._told :]
        self._told += len(new)
        if not new:
            return []
        grid, one = self.market.grid, new[-1]
        price, qty = grid.price(one.tick), grid.qty(one.lots)
        order = {
            "s": self.symbol,
            "S": "BUY" if one.side > 0 else "SELL",
            "o": "LIMIT",
            "f": "IOC",
            "q": qty,
            "p": price,
            "ap": price,
            "X": "FILLED",
            "l": qty,
            "z": qty,
            "T": one.ts // NS_PER_MS,
        }
        return [text_of({"e": "forceOrder", "E": self.now // NS_PER_MS, "o": order})]


def build(exchange: Exchange, name: str) -> Topic:
    """The topic of a stream name.

    Raises:
        KeyError: there is no such stream.
    """
    symbol, _, kind = name.partition("@")
    if symbol != symbol.lower() or symbol.upper() not in exchange.symbols:
        raise KeyError(name)
    symbol = symbol.upper()
    if kind.startswith("depth"):
        return DepthTopic(name, exchange, symbol, SPEEDS[kind.removeprefix("depth")])
    if kind.startswith("kline_"):
        tf = kind.removeprefix("kline_")
        if tf not in LENGTHS:
            raise KeyError(name)
        return KlineTopic(name, exchange, symbol, tf)
    if kind.startswith("markPrice"):
        return MarkPriceTopic(
            name, exchange, symbol, {"": 3000 * NS_PER_MS, "@1s": 1000 * NS_PER_MS}[kind.removeprefix("markPrice")]
        )
    plain = {
        "bookTicker": BookTickerTopic,
        "trade": TradeTopic,
        "aggTrade": AggTradeTopic,
        "forceOrder": ForceOrderTopic,
    }
    return plain[kind](name, exchange, symbol)


class BinanceSession:
    """What one connection says and hears."""

    venue = "binance"

    def __init__(self, topics: Topics, peer: Peer) -> None:
        self._topics = topics
        self._peer = peer
        self._kind = ""
        self._combined = False
        self._names: list[str] = []

    def from_address(self, path: str, query: Mapping[str, str]) -> None:
        """Take path, envelope and first streams from the address of the connection."""
        parts = path.strip("/").split("/")
        self._kind = parts[0] if parts[0] in {PUBLIC, MARKET} else ""
        self._combined = "stream" in parts
        for name in query.get("streams", "").split("/") + parts:
            if "@" in name and not self._objection(name):
                self._add(name)

    def receive(self, text: str) -> None:
        """Answer a frame of the client."""
        try:
            frame = json.loads(text)
            method, request_id, names = frame["method"], frame.get("id"), frame.get("params", [])
        except (ValueError, KeyError, AttributeError, TypeError):
            self._refuse(2, "Invalid request: request should be a JSON object with a method", None)
            return
        if method == "LIST_SUBSCRIPTIONS":
            self._peer.say(text_of({"result": self._names, "id": request_id}))
        elif method not in {"SUBSCRIBE", "UNSUBSCRIBE"} or not isinstance(names, list):
            self._refuse(2, f"Invalid request: unknown method {method}", request_id)
        elif objection := next(filter(None, map(self._objection, names)), ""):
            self._refuse(2, f"Invalid request: {objection}", request_id)
        elif method == "UNSUBSCRIBE":
            for name in names:
                self._drop(name)
            self._peer.say(text_of({"result": None, "id": request_id}))
        else:
            self._subscribe(names, request_id)

    def _subscribe(self, names: list[str], request_id: Any) -> None:
        trouble = self._peer.trouble(" ".join(names))
        if trouble == "reset_on_subscribe":
            self._peer.cut(reset=True)
            return
        if trouble == "subscribe_error":
            self._refuse(3, "Server busy", request_id)
            return
        if trouble != "no_ack":
            ack_id = f"{request_id}0" if trouble == "wrong_ack" else request_id
            self._peer.say(text_of({"result": None, "id": ack_id}), late=trouble == "late_ack")
        for name in names:
            self._add(name)

    def _objection(self, name: object) -> str:
        """Why a stream cannot be had here; "" when it can."""
        try:
            topic = self._topics.topic(str(name))
        except KeyError:
            return f"invalid stream {name}"
        if self._kind and topic.path != self._kind:
            return f"stream {name} is not served under /{self._kind}"
        return "too many streams" if len(self._names) >= MOST_STREAMS else ""

    def _add(self, name: str) -> None:
        if name not in self._names:
            self._names.append(name)
            self._topics.subscribe(self._peer, name)

    def _drop(self, name: str) -> None:
        if name in self._names:
            self._names.remove(name)
            self._topics.unsubscribe(self._peer, name)

    def wrapped(self, topic: str, text: str) -> str:
        """A message as this connection is sent it."""
        return f'{{"stream":"{topic}","data":{text}}}' if self._combined else text

    def topics(self) -> str:
        """What is subscribed, as one text."""
        return " ".join(self._names)

    def close(self) -> None:
        """The connection is gone."""
        for name in tuple(self._names):
            self._drop(name)

    def _refuse(self, code: int, message: str, request_id: object) -> None:
        self._peer.say(text_of({"error": {"code": code, "msg": message}, "id": request_id}))
