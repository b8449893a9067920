"""What a live stream is asked for, and what every sans-IO protocol core answers: text in, events out.

A core holds no socket and reads no clock: the shell that owns the connection stamps each message and hands it in, asks
for what is to be sent, and tells the core when time passes. So a core fed from a tape does what it did live.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol, runtime_checkable

from utils.errors import ConfigError
from utils.market.symbols import normalise_symbol
from utils.market.timeframes import normalise_timeframe
from utils.ports import Listener
from utils.rows import Level, Rows
from utils.types import MarketEvent

#: Kinds of streams: order book, public trades, closed bars, best bid and ask, mark price and funding, liquidations.
KINDS = ("book", "trades", "bars", "quote", "mark", "liquidations")
#: Those of them that spot markets do not have.
FUTURES_ONLY = {"mark", "liquidations"}


@dataclass(frozen=True, slots=True)
class Stream:
    """One thing to subscribe to."""

    kind: str  # of KINDS
    symbol: str  # the exchange's id, BTCUSDT; other spellings are brought to it
    tf: str = ""  # bars only
    depth: int = 50  # book only: levels a side, where the venue offers a choice

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"stream: expected one of {', '.join(KINDS)}, saw {self.kind!r}; choose one of these")
        if (self.kind == "bars") != bool(self.tf):
            raise ConfigError(f"stream {self.kind}: expected a timeframe for bars and for them only, saw {self.tf!r}")
        object.__setattr__(self, "symbol", normalise_symbol(self.symbol))
        if self.tf:
            object.__setattr__(self, "tf", normalise_timeframe(self.tf))


@dataclass(slots=True)
class Counts:
    """What was seen of one symbol's stream."""

    messages: int = 0
    events: int = 0  # nouns made of them, or that would have been made
    snapshots: int = 0
    sequence_breaks: int = 0  # update ids (book) or trade ids that do not follow
    duplicates: int = 0  # repeated or late lines: dropped, never applied
    crossed: int = 0  # books that crossed or locked after an update
    bad_messages: int = 0  # refused whole: bad number, wrong symbol, missing field
    invalid: int = 0  # times the book became invalid
    invalid_ns: int = 0  # how long it was, exchange time
    first_ts: int = 0  # exchange time of the first and the last message, ns; 0 = none
    last_ts: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Both together; the time is from the earlier beginning to the later end."""
        total = Counts(**{part.name: getattr(self, part.name) + getattr(other, part.name) for part in fields(Counts)})
        begun = [counts.first_ts for counts in (self, other) if counts.first_ts]
        total.first_ts, total.last_ts = min(begun, default=0), max(self.last_ts, other.last_ts)
        return total


@dataclass(frozen=True, slots=True)
class BookView:
    """A book at an instant, immutable, to hand to readers on other threads."""

    symbol: str
    state: str  # empty, live or invalid
    reason: str  # why it is not live; "" when it is
    ts: int  # exchange time of the last update, ns
    ts_recv: int
    update_id: int
    bids: tuple[Level, ...]  # (price, qty), best first
    asks: tuple[Level, ...]


@dataclass(slots=True)
class ReceiveClock:
    """Receive times corrected by a running minimum filter, so that `ts_recv >= ts` whatever the machine's clock says.

    lag = min over messages so far of (received - exchange time); while it is negative the receive clock runs behind
    the exchange's, and -lag is added. Live and replay alike, as it looks only back. One a feed: its connections share
    the machine's clock. Units: ns.
    """

    lag: int = field(default=2**62)

    def stamp(self, ts: int, recv_ns: int) -> int:
        """The corrected receive time of a message the exchange stamped `ts`."""
        lag = recv_ns - ts
        self.lag = min(self.lag, lag)
        return recv_ns - self.lag if self.lag < 0 else recv_ns

    def now(self, recv_ns: int) -> int:
        """The corrected time of something that carries no exchange time."""
        return recv_ns - self.lag if self.lag < 0 else recv_ns


@runtime_checkable
class WireProtocol(Protocol):
    """One connection's worth of a venue's streams, without the connection."""

    market: str  # its data folder's name: bybit_linear, binance_usdm, ...

    def connected(self, now_ns: int) -> list[MarketEvent]:
        """A connection begins: every book is empty, and `outgoing` holds the subscriptions."""
        ...

    def disconnected(self, now_ns: int, reason: str) -> list[MarketEvent]:
        """The connection ended: a BookInvalid for each book that was live."""
        ...

    def receive(self, text: str | bytes, recv_ns: int) -> list[MarketEvent]:
        """The events of one message.

        A gap, a crossed book, a bad number or a wrong symbol is a BookInvalid, counted, and asks for a fresh book. A
        BookDelta stands alone: when it is given out, `record` is the book that it left.

        Raises:
            ProtocolError: the text is not what the exchange documents, and no symbol of ours is concerned; the
                connection may go on.
        """
        ...

    def advance(self, text: bytes, recv_ns: int, listener: Listener | None = None) -> bool:
        """The fast door for a plain book update: True = it was applied, the listener told, and no event made of it.

        False = nothing was done; hand the same message to `receive`.
        """
        ...

    def tick(self, now_ns: int) -> list[MarketEvent]:
        """Time passes: heartbeats fall due, silent books become invalid."""
        ...

    def outgoing(self) -> list[str]:
        """Frames to send, once each: subscriptions, pings."""
        ...

    def snapshots_wanted(self) -> list[str]:
        """Symbols whose book must be asked for by REST, once each; always empty where the stream brings snapshots."""
        ...

    def snapshot_path(self, symbol: str) -> str:
        """Path and query of that REST request, from the slash on."""
        ...

    def snapshot(self, symbol: str, body: str | bytes, recv_ns: int) -> list[MarketEvent]:
        """The answer to it. A body that is no book is counted and asks again."""
        ...

    def resume(self, symbol: str, body: str | bytes, recv_ns: int) -> list[MarketEvent]:
        """A book that was live when a recorder wrote it down, as its exchange sends one: it is live again at once."""
        ...

    @property
    def failure(self) -> str:
        """Why this connection should be given up for a new one; "" while it is fine."""
        ...

    def book(self, symbol: str, levels: int = 50) -> BookView:
        """The book as it stands."""
        ...

    def record(self, symbol: str) -> Rows:
        """The book as one BOOK record that follows it, an array of length 1."""
        ...

    def counts(self) -> Mapping[tuple[str, str], Counts]:
        """By symbol and kind of stream; ("", "") holds what concerned no known symbol."""
        ...


@dataclass(frozen=True, slots=True)
class Connection:
    """One socket to open: where, and what for."""

    url: str  # no two of a feed are the same; a fragment, #2, is not dialled
    streams: Sequence[Stream]
    names: Collection[str] = field(default=(), compare=False)  # what its messages call their streams, if they do
