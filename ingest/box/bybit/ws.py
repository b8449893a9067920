"""Bybit v5 public linear streams: topics, subscriptions, heartbeat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ingest.box.floor.exchange import Exchange
from ingest.box.floor.market import Deed, Market, Print, Side, bucket, bucket_end, trimmed
from ingest.box.topics import Peer, Topic, Topics
from ingest.box.wire import text_of
from utils.rows import MS_PER_DAY, MS_PER_HOUR, NS_PER_MS

#: Levels of an order book topic, and how often it is sent, ns.
DEPTHS = {1: 10 * NS_PER_MS, 50: 20 * NS_PER_MS, 200: 100 * NS_PER_MS, 1000: 200 * NS_PER_MS}
#: Bybit's words for the lengths of candles.
INTERVALS = {
    "1": "1m",
    "3": "3m",
    "5": "5m",
    "15": "15m",
    "30": "30m",
    "60": "1h",
    "120": "2h",
    "240": "4h",
    "360": "6h",
    "720": "12h",
    "D": "1d",
    "W": "1w",
    "M": "1M",
}
#: A quiet best price is sent again after so long.
IDLE_NS = 3000 * NS_PER_MS
_SIDES = {1: "Buy", -1: "Sell"}


class DepthTopic(Topic):
    """`orderbook.N.SYMBOL`: a snapshot, then what changed among the best N levels; `u` is this topic's own."""

    def __init__(self, name: str, exchange: Exchange, symbol: str, depth: int) -> None:
        super().__init__(name, exchange, symbol)
        self.depth = depth
        self.cadence = DEPTHS[depth]
        self.u = 100_000 + self.market.seq % 900_000 + depth
        self.sent: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._seq = -1  # of the market when it was last looked at, and its time
        self._ts = 0
        self._sent_ns = 0

    def first(self) -> list[str]:
        """The book as last sent; nothing while there is none."""
        self._refresh()
        if not any(self.sent):
            return []
        return [self._message("snapshot", self.sent)]

    def due(self) -> list[str]:
        """The changes since the last message, if any; of the best price always the whole."""
        if self._seq == self.market.seq:
            idle = self.depth == 1 and self.now - self._sent_ns >= IDLE_NS
            return [self._message("snapshot", self.sent)] if idle else []
        bids, asks = self.sent
        self._look()
        changes = (_difference(bids, self.sent[0]), _difference(asks, self.sent[1]))
        if not any(changes):
            return []
        self.u += 1
        if self.depth == 1 or not (bids or asks):
            return [self._message("snapshot", self.sent)]
        return [self._message("delta", changes)]

    def again(self, restart: bool, /) -> list[str]:
        """The whole book in place of the changes that were due; after a restart with u = 1."""
        if restart:
            self.u = 1
        return [self._message("snapshot", self.sent)]

    def rest(self, limit: int) -> dict[str, Any]:
        """The book as REST tells it: as last sent, or as it stands when nobody listens."""
        self._refresh()
        market = self.market
        bids, asks = (dict(list(side.items())[:limit]) for side in self.sent)
        return {
            "s": self.symbol,
            "b": _levels(market, bids, market.bids),
            "a": _levels(market, asks, market.asks),
            "ts": self.now // NS_PER_MS,
            "u": self.u,
            "seq": self._seq,
            "cts": self._ts // NS_PER_MS,
        }

    def _refresh(self) -> None:
        """Without listeners nothing was sent: then the book as it stands is what was last sent."""
        if not self.peers and self._seq != self.market.seq:
            self._look()
            self.u += 1

    def _look(self) -> None:
        self._seq, self._ts = self.market.seq, self.market.ts
        self.sent = (self.market.bids.top(self.depth), self.market.asks.top(self.depth))

    def _message(self, kind: str, sides: tuple[dict[int, int], dict[int, int]]) -> str:
        self._sent_ns = self.now
        market = self.market
        data = {
            "s": self.symbol,
            "b": _levels(market, sides[0], market.bids),
            "a": _levels(market, sides[1], market.asks),
            "u": self.u,
            "seq": self._seq,
        }
        return text_of(
            {"topic": self.name, "type": kind, "ts": self.now // NS_PER_MS, "data": data, "cts": self._ts // NS_PER_MS}
        )


def _difference(old: dict[int, int], new: dict[int, int]) -> dict[int, int]:
    """Levels that are new or have changed, then those that are gone, with 0 lots."""
    changed = {tick: lots for tick, lots in new.items() if old.get(tick) != lots}
    return changed | {tick: 0 for tick in old if tick not in new}


def _levels(market: Market, levels: dict[int, int], side: Side) -> list[list[str]]:
    """[price, size] pairs; a level that is gone has the size "0"."""
    grid, sign = market.grid, side.sign
    return [[grid.price(sign * tick), grid.qty(lots) if lots else "0"] for tick, lots in levels.items()]


def trade_row(market: Market, trade: Print, before: int) -> dict[str, Any]:
    """One trade of `publicTrade`; `before` is the tick of the trade before it."""
    direction = "ZeroPlusTick" if trade.tick == before else "PlusTick" if trade.tick > before else "MinusTick"
    return {
        "T": trade.ts // NS_PER_MS,
        "s": market.symbol,
        "S": _SIDES[trade.side],
        "v": market.grid.qty(trade.lots),
        "p": market.grid.price(trade.tick),
        "L": direction,
        "i": trade_id(trade),
        "BT": False,
        "RPI": False,
        "seq": trade.seq,
    }


def trade_id(trade: Print) -> str:
    """Bybit's ids are UUIDs; these are made of the number."""
    return f"{trade.id:08x}-0000-5000-8000-{trade.ts // NS_PER_MS % 16**12:012x}"


class TradeTopic(Topic):
    """`publicTrade.SYMBOL`: the trades of each order, at once."""

    def __init__(self, name: str, exchange: Exchange, symbol: str) -> None:
        super().__init__(name, exchange, symbol)
        self._before = self.market.last_tick

    def arrival(self, deed: Deed, /) -> list[str]:
        """The trades an order made."""
        rows = []
        for trade in deed.prints:
            rows.append(trade_row(self.market, trade, self._before))
            self._before = trade.tick
        return (
            [text_of({"topic": self.name, "type": "snapshot", "ts": self.now // NS_PER_MS, "data": rows})]
            if rows
            else []
        )


class KlineTopic(Topic):
    """`kline.INTERVAL.SYMBOL`: the candle being formed, and once its final state with `confirm`."""

    cadence = 1000 * NS_PER_MS

    def __init__(self, name: str, exchange: Exchange, symbol: str, interval: str) -> None:
        super().__init__(name, exchange, symbol)
        self.interval = interval
        self.tf = INTERVALS[interval]
        self._open_ms = 0
        self._trades = -1

    def first(self) -> list[str]:
        """The candle as it stands."""
        if not self.peers:
            self._open_ms = bucket(self.now // NS_PER_MS, self.tf)
        return [self._message(confirm=False)]

    def due(self) -> list[str]:
        """The closed candle when a new one has begun; the open one when something traded."""
        texts = []
        while bucket_end(self._open_ms, self.tf) * NS_PER_MS <= self.now:
            texts.append(self._message(confirm=True))
            self._open_ms = bucket_end(self._open_ms, self.tf)
        if texts or self._trades != self.market.last_trade_id:
            texts.append(self._message(confirm=False))
        return texts

    def _message(self, *, confirm: bool) -> str:
        grid, candle = self.market.grid, self.market.candle(self.tf, self._open_ms)
        self._trades = self.market.last_trade_id
        trades = self.market.trades
        data = {
            "start": candle.open_ms,
            "end": bucket_end(candle.open_ms, self.tf) - 1,
            "interval": self.interval,
            "open": trimmed(grid.price(candle.open)),
            "close": trimmed(grid.price(candle.close)),
            "high": trimmed(grid.price(candle.high)),
            "low": trimmed(grid.price(candle.low)),
            "volume": trimmed(grid.qty(candle.lots)),
            "turnover": trimmed(grid.value(candle.value)),
            "confirm": confirm,
            "timestamp": trades[-1].ts // NS_PER_MS if trades else candle.open_ms,
        }
        return text_of({"topic": self.name, "data": [data], "ts": self.now // NS_PER_MS, "type": "snapshot"})


def ticker(market: Market, now_ns: int) -> dict[str, str]:
    """Everything that stands in a ticker, as the stream and REST tell it."""
    grid, day, ms = market.grid, market.day(), now_ns // NS_PER_MS
    bids, asks = market.bids, market.asks
    last, before = market.last_tick, market.price_at(ms - MS_PER_DAY)
    interest = market.open_interest(ms)
    row = {
        "symbol": market.symbol,
        "lastPrice": grid.price(last),
        "prevPrice24h": grid.price(before),
        "price24hPcnt": f"{(last - before) / before:.6f}",
        "highPrice24h": grid.price(day.high),
        "lowPrice24h": grid.price(day.low),
        "prevPrice1h": grid.price(market.price_at(ms - MS_PER_HOUR)),
        "markPrice": market.mark(),
        "indexPrice": market.index(),
        "openInterest": grid.qty(interest),
        "openInterestValue": grid.value(interest * last),
        "turnover24h": grid.value(day.value),
        "volume24h": grid.qty(day.lots),
        "fundingIntervalHour": "8",
        "fundingCap": "0.005",
        "nextFundingTime": str(market.next_funding_ms(ms)),
        "fundingRate": market.funding_rate(market.next_funding_ms(ms)),
    }
    for name, side in (("bid1", bids), ("ask1", asks)):
        row[f"{name}Price"] = grid.price(side.best) if side.ticks else ""
        row[f"{name}Size"] = grid.qty(side.lots[side.ticks[-1]]) if side.ticks else ""
    return row


class TickerTopic(Topic):
    """`tickers.SYMBOL`: a snapshot, then the fields that changed."""

    cadence = 100 * NS_PER_MS

    def __init__(self, name: str, exchange: Exchange, symbol: str) -> None:
        super().__init__(name, exchange, symbol)
        self._sent: dict[str, str] = {}

    def first(self) -> list[str]:
        """All fields."""
        if not self.peers:
            self._sent = self._row()
        return [self._message("snapshot", self._sent)]

    def due(self) -> list[str]:
        """The changed fields, if any."""
        now = self._row()
        changed = {name: value for name, value in now.items() if self._sent[name] != value}
        self._sent = now
        return [self._message("delta", {"symbol": self.symbol} | changed)] if changed else []

    def _row(self) -> dict[str, str]:
        row = ticker(self.market, self.now)
        trades = self.market.trades[-2:]
        risen = len(trades) < 2 or trades[1].tick >= trades[0].tick
        return {"symbol": self.symbol, "tickDirection": "PlusTick" if risen else "MinusTick"} | row

    def _message(self, kind: str, data: Mapping[str, str]) -> str:
        return text_of(
            {"topic": self.name, "type": kind, "data": data, "cs": self.market.seq, "ts": self.now // NS_PER_MS}
        )


class LiquidationTopic(Topic):
    """`allLiquidation.SYMBOL`: positions closed by force; S is "Buy" where a long was sold out."""

    cadence = 500 * NS_PER_MS

    def __init__(self, name: str, exchange: Exchange, symbol: str) -> None:
        super().__init__(name, exchange, symbol)
        self._told = len(self.market.liquidations)

    def first(self) -> list[str]:
        """Nothing but what is to come."""
        if not self.peers:
            self._told = len(self.market.liquidations)
        return []

    def due(self) -> list[str]:
        """What was liquidated since."""
        new = self.market.liquidations[self._told :]
        self._told += len(new)
        grid = self.market.grid
        data = [
            {
                "T": one.ts // NS_PER_MS,
                "s": self.symbol,
                "S": _SIDES[-one.side],
                "v": grid.qty(one.lots),
                "p": grid.price(one.tick),
            }
            for one in new
        ]
        return (
            [text_of({"topic": self.name, "type": "snapshot", "ts": self.now // NS_PER_MS, "data": data})]
            if data
            else []
        )


#: What a topic's last part is a symbol of, and what stands before it.
_PLAIN = {"publicTrade": TradeTopic, "tickers": TickerTopic, "allLiquidation": LiquidationTopic}
#: Longest list of topics of one connection, characters.
LONGEST_ARGS = 21_000


def build(exchange: Exchange, name: str) -> Topic:
    """The topic of a name.

    Raises:
        KeyError: there is no such topic.
    """
    front, _, symbol = name.rpartition(".")
    kind, _, detail = front.partition(".")
    if symbol not in exchange.symbols:
        raise KeyError(name)
    if kind == "orderbook" and detail in map(str, DEPTHS):
        return DepthTopic(name, exchange, symbol, int(detail))
    if kind == "kline" and detail in INTERVALS:
        return KlineTopic(name, exchange, symbol, detail)
    if detail:
        raise KeyError(name)
    return _PLAIN[kind](name, exchange, symbol)


class BybitSession:
    """What one connection says and hears."""

    venue = "bybit"

    def __init__(self, topics: Topics, peer: Peer) -> None:
        self._topics = topics
        self._peer = peer
        self._names: list[str] = []

    def receive(self, text: str) -> None:
        """Answer a frame of the client."""
        try:
            frame = json.loads(text)
            op, req_id, args = frame["op"], str(frame.get("req_id", "")), frame.get("args", [])
        except (ValueError, KeyError, AttributeError, TypeError):
            self._answer("", "", success=False, ret_msg="error:request format error")
            return
        if op == "ping":
            if self._peer.pongs(self.topics()):
                self._answer("ping", req_id, ret_msg="pong")
        elif op == "subscribe" and isinstance(args, list):
            self._subscribe(req_id, [str(name) for name in args])
        elif op == "unsubscribe" and isinstance(args, list):
            for name in args:
                self._drop(name)
            self._answer(op, req_id)
        else:
            self._answer(str(op), req_id, success=False, ret_msg="error:op not supported")

    def _subscribe(self, req_id: str, names: list[str]) -> None:
        wrong, trouble = self._objection(names), self._peer.trouble(" ".join(names))
        if trouble == "reset_on_subscribe":
            self._peer.cut(reset=True)
        elif wrong or trouble == "subscribe_error":
            self._answer("subscribe", req_id, success=False, ret_msg=wrong or "error:server busy")
        else:
            if trouble != "no_ack":
                ack_id = f"{req_id}0" if trouble == "wrong_ack" else req_id
                self._answer("subscribe", ack_id, late=trouble == "late_ack")
            for name in names:
                self._names.append(name)
                self._topics.subscribe(self._peer, name)

    def _objection(self, names: list[str]) -> str:
        """Why a subscription fails as a whole; "" when it does not."""
        if sum(map(len, names + self._names)) > LONGEST_ARGS:
            return "error:args size too large"
        for name in names:
            if name in self._names:
                return f"error:already subscribed,topic:{name}"
            try:
                self._topics.topic(name)
            except KeyError:
                return f"error:handler not found,topic:{name}"
        return ""

    def _drop(self, name: str) -> None:
        if name in self._names:
            self._names.remove(name)
            self._topics.unsubscribe(self._peer, name)

    def wrapped(self, topic: str, text: str) -> str:  # noqa: ARG002 - other venues put the topic around it
        """A message as this connection is sent it."""
        return text

    def topics(self) -> str:
        """What is subscribed, as one text."""
        return " ".join(self._names)

    def close(self) -> None:
        """The connection is gone."""
        for name in tuple(self._names):
            self._drop(name)

    def _answer(self, op: str, req_id: str, *, success: bool = True, ret_msg: str = "", late: bool = False) -> None:
        answer = {"success": success, "ret_msg": ret_msg, "conn_id": self._peer.name, "req_id": req_id, "op": op}
        self._peer.say(text_of(answer), late=late)
