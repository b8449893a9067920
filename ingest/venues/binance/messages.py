"""What Binance sends: the shapes of its public messages and of the REST order book, and the names of its streams."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Literal

import msgspec

from ingest.wire.fields import Pair
from ingest.wire.streams import Stream

#: Path of the order book by REST, and levels asked for.
SNAPSHOTS = {
    "binance_usdm": "/fapi/v1/depth?symbol={}&limit=1000",
    "binance_coinm": "/dapi/v1/depth?symbol={}&limit=1000",
    "binance_spot": "/api/v3/depth?symbol={}&limit=1000",
}
#: Name of each kind's stream, and the kinds that futures have under /public; the others are under /market.
NAMES = {
    "book": "depth@100ms",
    "trades": "trade",
    "quote": "bookTicker",
    "bars": "kline_{}",
    "mark": "markPrice@1s",
    "liquidations": "forceOrder",
}
PUBLIC = {"book", "trades", "quote"}
_IN_COIN = re.compile(r"USD_(?:PERP|\d{6})$")
SYMBOL = re.compile(r"[A-Z0-9_-]{2,40}")
_KIND_OF_STREAM = {
    "depth": "book",
    "trade": "trades",
    "aggTrade": "trades",
    "bookTicker": "quote",
    "markPrice": "mark",
    "forceOrder": "liquidations",
}
_KIND_OF_EVENT = {
    "depthUpdate": "book",
    "trade": "trades",
    "aggTrade": "trades",
    "bookTicker": "quote",
    "kline": "bars",
    "markPriceUpdate": "mark",
    "forceOrder": "liquidations",
}


class Message(msgspec.Struct):
    """The envelope, or a message without one; any of them fits that is a JSON object."""

    stream: Any = None
    data: msgspec.Raw = msgspec.Raw()
    e: Any = None
    s: Any = None
    o: msgspec.Raw = msgspec.Raw()
    B: msgspec.Raw = msgspec.Raw()
    lastUpdateId: msgspec.Raw = msgspec.Raw()  # noqa: N815 - Binance's name
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    code: msgspec.Raw = msgspec.Raw()

    @property
    def kind(self) -> str | None:
        """Its kind of stream by its event type; "" = none of ours, None = nothing that Binance sends."""
        if isinstance(self.e, str):
            return _KIND_OF_EVENT.get(self.e, "")
        if self.B and isinstance(self.s, str):
            return "quote"  # spot sends it without a type
        return "" if self.result or self.error or self.code else None


class Depth(msgspec.Struct):
    """`depthUpdate`: changes `U` to `u`; futures name the one before, `pu`."""

    E: int
    s: str
    U: int
    u: int
    b: list[Pair]
    a: list[Pair]
    T: int | None = None
    pu: int | None = None


class Snapshot(msgspec.Struct):
    """The order book by REST."""

    lastUpdateId: int  # noqa: N815
    bids: list[Pair]
    asks: list[Pair]
    E: int | None = None
    T: int | None = None


class Trade(msgspec.Struct):
    """`trade`, numbered by `t`, or `aggTrade`, by `a`; `m` = the buyer was the maker, so the taker sold."""

    E: int
    s: str
    T: int
    p: str
    q: str
    m: bool
    t: int | None = None
    a: int | None = None
    X: str = "MARKET"


class Candle(msgspec.Struct):
    """`k` of a `kline`; COIN-M has contracts in `v` and `V`, and base currency in `q` and `Q`."""

    t: int
    i: str
    o: str
    h: str
    l: str  # noqa: E741 - Binance's name
    c: str
    v: str
    V: str
    x: bool
    q: str = ""
    Q: str = ""


class Kline(msgspec.Struct):
    """`kline`."""

    E: int
    s: str
    k: Candle


class BookTicker(msgspec.Struct):
    """`bookTicker`; spot sends no times."""

    s: str
    u: int
    b: str
    B: str
    a: str
    A: str
    E: int | None = None
    T: int | None = None


class Mark(msgspec.Struct):
    """`markPriceUpdate`; `r` is the running funding rate, settled at `T`, "" and 0 where there is none."""

    E: int
    s: str
    p: str
    r: str = ""
    T: int = 0


class ForcedOrder(msgspec.Struct):
    """`o` of a `forceOrder`."""

    s: str
    S: Literal["BUY", "SELL"]
    q: str
    p: str
    T: int


class ForceOrder(msgspec.Struct):
    """`forceOrder`."""

    E: int
    o: ForcedOrder


class Symbol(msgspec.Struct):
    """What a message is about."""

    s: str


MESSAGE = msgspec.json.Decoder(Message)
SNAPSHOT = msgspec.json.Decoder(Snapshot)
DEPTH = msgspec.json.Decoder(Depth)
TRADE = msgspec.json.Decoder(Trade)
KLINE = msgspec.json.Decoder(Kline)
BOOK_TICKER = msgspec.json.Decoder(BookTicker)
MARK = msgspec.json.Decoder(Mark)
FORCE_ORDER = msgspec.json.Decoder(ForceOrder)
ABOUT = msgspec.json.Decoder(Symbol)


def wire_symbol(symbol: str, market: str) -> str:
    """Binance's id of a symbol: perpetual COIN-M contracts have a suffix."""
    return f"{symbol}_PERP" if market == "binance_coinm" and "_" not in symbol else symbol


@lru_cache(4096)
def contract_of(symbol: str, market: str) -> float:
    """What a contract is worth in USD; 0 = quantities are base currency. Source: Binance, COIN-M specifications.

    Args:
        symbol: ours, or Binance's where a tape of another market holds it.
        market: as everywhere.
    """
    if market != "binance_coinm" and not _IN_COIN.search(symbol):
        return 0.0
    return 100.0 if symbol.partition("_")[0] == "BTCUSD" else 10.0


def own_symbol(symbol: str, market: str) -> str:
    """Our id of Binance's symbol."""
    return symbol.removesuffix("_PERP") if market == "binance_coinm" else symbol


def stream_name(stream: Stream, market: str) -> str:
    """The name by which an address asks for a stream."""
    return f"{wire_symbol(stream.symbol, market).lower()}@{NAMES[stream.kind].format(stream.tf)}"


@lru_cache(4096)
def stream_named(name: str) -> tuple[str, str]:
    """Binance's symbol and the kind of a stream's name; the kind is "" for one that is none of ours."""
    symbol, _, rest = name.partition("@")
    head = rest.partition("@")[0]
    return symbol.upper(), "bars" if head.startswith("kline_") else _KIND_OF_STREAM.get(head, "")
