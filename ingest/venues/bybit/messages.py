"""What Bybit v5 sends: the shapes of its public messages, as documented, and the names of its topics."""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache
from typing import Any, Literal

import msgspec

from ingest.wire.fields import Pair
from ingest.wire.streams import Stream
from utils.errors import ConfigError
from utils.market.timeframes import TIMEFRAMES

DEPTHS = (1, 50, 200, 1000)
#: Bybit's names of bar lengths.
INTERVALS = {tf: str(ns // TIMEFRAMES["1m"]) for tf, ns in TIMEFRAMES.items() if tf != "8h"} | {"1d": "D", "1w": "W"}
TF_OF = {interval: tf for tf, interval in INTERVALS.items()}
#: First word of a topic, by the kind of stream, and back.
HEADS = {"trades": "publicTrade", "quote": "tickers", "mark": "tickers", "liquidations": "allLiquidation"}
_KINDS = {"publicTrade": "trades", "tickers": "quote", "allLiquidation": "liquidations"}
#: Trade ids remembered for each symbol; one message has at most 1024 trades.
MEMORY = 4096
_IN_COIN = re.compile(r"[A-Z0-9]+USD(?:[HMUZ]\d\d)?")
_SYMBOL = re.compile(r"[A-Z0-9_-]{2,40}")


class Message(msgspec.Struct):
    """The envelope, which any message fits that is a JSON object."""

    topic: Any = None
    type: Any = None
    ts: msgspec.Raw = msgspec.Raw()
    cts: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()
    op: Any = None
    success: Any = None
    ret_msg: Any = None
    req_id: Any = None


class Book(msgspec.Struct):
    """`orderbook`."""

    s: str
    b: list[Pair]
    a: list[Pair]
    u: int


class Trade(msgspec.Struct):
    """One of `publicTrade`; `S` is the taker's side."""

    T: int
    s: str
    S: Literal["Buy", "Sell"]
    v: str
    p: str
    i: str
    BT: bool = False


class Kline(msgspec.Struct):
    """One of `kline`; inverse has USD in `volume`, and base currency in `turnover`."""

    start: int
    interval: str
    open: str
    high: str
    low: str
    close: str
    volume: str
    confirm: bool
    turnover: str = ""


class Ticker(msgspec.Struct):
    """`tickers`: in a delta, a field that is absent has not changed; "" = there is none."""

    symbol: str
    bid1Price: str | None = None  # noqa: N815 - Bybit's names
    bid1Size: str | None = None  # noqa: N815
    ask1Price: str | None = None  # noqa: N815
    ask1Size: str | None = None  # noqa: N815
    markPrice: str | None = None  # noqa: N815
    fundingRate: str | None = None  # noqa: N815
    nextFundingTime: str | None = None  # noqa: N815


class Liquidation(msgspec.Struct):
    """One of `allLiquidation`; `S` is the side of the position that is closed."""

    T: int
    s: str
    S: Literal["Buy", "Sell"]
    v: str
    p: str


MESSAGE = msgspec.json.Decoder(Message)
WHOLE = msgspec.json.Decoder(int)
BOOK = msgspec.json.Decoder(Book)
TRADES = msgspec.json.Decoder(list[Trade])
KLINES = msgspec.json.Decoder(list[Kline])
TICKER = msgspec.json.Decoder(Ticker)
LIQUIDATIONS = msgspec.json.Decoder(list[Liquidation])


class Topic:
    """One topic, and what is remembered of it."""

    def __init__(self, name: str, kind: str, symbol: str, tf: str = "", depth: int = 0) -> None:
        self.name = name
        self.kind = kind  # quote for tickers, which bring marks too
        self.symbol = symbol
        self.tf = tf
        self.depth = depth
        self.wants: set[str] = set()  # kinds of streams
        self.heard = 0  # receive time of its last message, ns
        self.last_close = 0  # of the last closed bar, ns
        self.ticker: dict[str, str] = {}
        self.quote: tuple[float, ...] = ()
        self.mark = 0.0
        self._ids: deque[str] = deque(maxlen=MEMORY)
        self._known: set[str] = set()

    def repeated(self, trade: str) -> bool:
        """Was a trade of this id there before? It is remembered."""
        if trade in self._known:
            return True
        if len(self._ids) == MEMORY:
            self._known.discard(self._ids[0])
        self._ids.append(trade)
        self._known.add(trade)
        return False


@lru_cache(4096)
def contract_of(symbol: str, market: str) -> float:
    """What a contract is worth in USD; 0 = quantities are base currency. Source: Bybit v5, inverse contracts.

    Args:
        symbol: Bybit's; on a tape its name tells, too.
        market: as everywhere.
    """
    return float(market == "bybit_inverse" or (market != "bybit_spot" and _IN_COIN.fullmatch(symbol) is not None))


def topic_of(stream: Stream) -> Topic:
    """The topic that brings a stream.

    Raises:
        ConfigError: Bybit has none.
    """
    kind, symbol = stream.kind, stream.symbol
    if kind == "book":
        if stream.depth not in DEPTHS:
            known = ", ".join(map(str, DEPTHS))
            raise ConfigError(f"book of {symbol}: expected a depth of {known}, saw {stream.depth}; choose one of these")
        return Topic(f"orderbook.{stream.depth}.{symbol}", kind, symbol, depth=stream.depth)
    if kind == "bars":
        if stream.tf not in INTERVALS:
            known = ", ".join(INTERVALS)
            raise ConfigError(f"bars of {symbol}: expected one of {known}, saw {stream.tf}; Bybit has no other")
        return Topic(f"kline.{INTERVALS[stream.tf]}.{symbol}", kind, symbol, tf=stream.tf)
    return Topic(f"{HEADS[kind]}.{symbol}", "quote" if HEADS[kind] == "tickers" else kind, symbol)


def topic_named(name: str) -> Topic | None:
    """The topic of a name; None for one that is none of ours."""
    head, *rest = name.split(".")
    if not rest or not _SYMBOL.fullmatch(rest[-1]):
        return None
    symbol = rest[-1]
    if head in _KINDS and len(rest) == 1:
        return Topic(name, _KINDS[head], symbol)
    if head == "orderbook" and len(rest) == 2 and re.fullmatch("[1-9][0-9]{0,3}", rest[0]):
        return Topic(name, "book", symbol, depth=int(rest[0]))
    if head == "kline" and len(rest) == 2 and rest[0] in TF_OF:
        return Topic(name, "bars", symbol, tf=TF_OF[rest[0]])
    return None
