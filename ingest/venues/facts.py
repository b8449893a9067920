"""What must be known of an exchange, as values: what it is called, where it lives, who speaks its language, its limits.

Each exchange fills one `Venue` in its own folder; `ingest.venues.known` lists them. What a venue does not say is said
here too, by a default: code that meets a venue asks for the fact, never for its name. The table is of named tuples, as
every start reads it and dataclasses take twice as long to make.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ingest.wire.records import FastDoor
    from ingest.wire.streams import BookView, Connection, Stream, WireProtocol

NOTHING: Mapping[str, str] = MappingProxyType({})


class Language(NamedTuple):
    """Who speaks an exchange's language."""

    protocol: Callable[..., WireProtocol]  # its core: (streams, market=, clock=, heartbeat_s=, stale_s=, anything=)
    connections: Callable[[Sequence[Stream], str, str], Sequence[Connection]]  # (streams, address, market) -> sockets
    snapshot: Callable[[BookView, int], bytes]  # a book and its depth in the form in which the exchange sends one
    fast: FastDoor | None = None


class CandleCall(NamedTuple):
    """An exchange's own call for candles: ccxt drops columns of some, and sorts and cuts what it gets."""

    call: str  # ccxt's name of it
    since: str  # name of the parameter for the first open, ms
    until: str  # of that for the last ms
    columns: tuple[int, ...]  # where time, open, high, low, close, volume and, if it tells it, taker-buy volume stand
    more: Mapping[str, str] = NOTHING  # parameters that the answer repeats beside its rows
    rows_at: tuple[str, ...] = ()  # keys that lead to the rows
    newest_first: bool = False
    page: int = 1000  # candles of one request, where the answer to more costs double, or is cut

    @property
    def tells_takers(self) -> bool:
        """Whether the volume that takers bought is among the columns."""
        return len(self.columns) > 6


class Rest(NamedTuple):
    """How a market is asked by REST, through ccxt."""

    ccxt: str  # name of its class
    types: tuple[str, ...]  # of markets to load
    host: str  # what its addresses in ccxt begin with
    at: str  # the address's name among the settings' endpoints
    candles: CandleCall | None = None  # None = as ccxt has them
    depths: tuple[int, ...] = ()  # numbers of levels that a book may be asked for; () = any
    sides: tuple[tuple[str, ...], tuple[str, ...]] = (("bids",), ("asks",))  # keys that lead to bids and asks of a book
    numbers_books: bool = False  # a book names its last update
    stamps_books: bool = True  # a book says its time
    outages: tuple[tuple[int, int], ...] = ()  # opens without a candle, from - up to, ms: it stood still
    weight: float = 2400.0  # that it allows one address a minute, if its answers say in `used` how much that has used
    used: str = "X-MBX-USED-WEIGHT-1M"


class Market(NamedTuple):
    """One market of an exchange: where it lives, and how it is known on a tape."""

    name: str  # of its data folder, binance_usdm
    kind: str = ""  # futures or spot, as the settings call it; "" = known on tapes only
    ws: str = ""  # the name of its streams' address among the settings' endpoints
    rest: Rest | None = None  # None = it is not asked by REST
    address: str = "(?!)"  # pattern of an address that no other market has
    message: str = "(?!)"  # pattern of a message that no other market of the exchange has
    in_coin: bool = False  # its messages count contracts of quote currency: its cores make base currency of them
    stamps_quotes: bool = True  # best bid and ask come with their time


class Tapes(NamedTuple):
    """What an exchange's messages look like, for tapes whose recorder does not say. All are patterns."""

    message: str  # of any of its messages
    book: str = ""  # of the beginning of a book by REST, which names no symbol; "" = books come by the stream
    change: str = ""  # of a change of such a book; group 1 is its symbol
    stamp: str = "(?!)"  # of the time at which a message was sent; group 1 is ms or finer since 1970


class Refusals(NamedTuple):
    """Codes of an exchange's refusals, as text."""

    passing: frozenset[str] = frozenset()  # pass by themselves: timeout, server error
    limited: str = ""  # too many requests, the end of which `reset` says
    reset: str = ""  # header with a time in ms
    unknown_symbol: str = ""


class Venue(NamedTuple):
    """One exchange."""

    name: str  # small letters, as the settings call it
    title: str  # as people call what it speaks
    markets: tuple[Market, ...]  # where several could have a line of a tape, the one that is meant first
    usual: str  # name of the market whose messages these are where nothing tells
    language: Callable[[], Language]  # loads it: nothing is that is not used
    tapes: Tapes
    aliases: tuple[str, ...] = ()
    addresses: Mapping[str, str] = NOTHING  # of endpoints for which the settings have no default
    sockets: int = 300  # new ones that it allows one address in five minutes
    refusals: Refusals = Refusals()
    funding_page: int = 100  # settlements of one request
    ratio_period: str = "5m"  # over which the ratio of accounts is taken, in ccxt's word or its own where ccxt has none
    archive: tuple[str, ...] = ()  # columns of its candle files, which name none

    def market(self, kind: str) -> Market | None:
        """The market of a kind, futures or spot; None = it has none that we know."""
        return next((market for market in self.markets if market.kind == kind), None)


@dataclass(frozen=True, slots=True)
class Listing:
    """One instrument as its exchange lists it."""

    symbol: str  # the exchange's id, in our spelling: BTCUSDT
    id: str  # as the exchange writes it: BTC-USDT-SWAP
    unified: str  # ccxt's name: BTC/USDT:USDT
    market: str  # the data folder's name: binance_usdm
    tick_size: float | None  # quote; None = the venue counts significant digits
    lot_size: float | None  # base, also where the venue counts contracts
    min_qty: float | None  # likewise
    min_notional: float | None  # quote
    max_leverage: float | None  # ratio
    contract_size: float  # base per contract
    status: str  # the exchange's word for it
    active: bool  # it trades
    listed_ms: int | None  # when it began to trade

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.symbol} on {self.market}"
