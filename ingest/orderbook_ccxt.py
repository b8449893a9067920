"""Order book and last trades by REST, through ccxt: what the market shows now, or an error.

A live run reads the streams of its exchange (`ingest.live.market`); only where we have none, it asks for books here.
"""

from __future__ import annotations

import copy
from typing import Any

from ingest.rest import checks as check
from ingest.rest.body import BOOK, PAGE
from ingest.rest.cache import TimedCache
from ingest.rest.client import base_of, exchange_name
from ingest.rest.venue import Venue, configured, venue
from ingest.venues.facts import Listing
from utils.errors import ConfigError
from utils.market.symbols import normalise_symbol
from utils.settings.tree import EndpointSettings, IngestSettings

#: Levels and trades that any exchange may be asked for.
MOST_LEVELS, MOST_TRADES = 5000, 1000

_books: TimedCache[dict[str, Any]] = TimedCache()
_trades: TimedCache[list[dict[str, Any]]] = TimedCache()


def check_exchange(exchange: str) -> None:
    """Refuse an exchange whose books nobody could ask for.

    Raises:
        ConfigError: neither we nor ccxt know it; the nearest name is said.
    """
    exchange_name(exchange)


def get_orderbook(
    symbol: str,
    exchange: str = "binance",
    market_type: str = "futures",
    limit: int = 50,
    *,
    endpoints: EndpointSettings | None = None,
    settings: IngestSettings | None = None,
    fresh: bool = False,
    cache: TimedCache[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The order book as ccxt shapes it, after a look at it.

    Keys: symbol (ccxt's), bids and asks ([price, quantity] lists, best first), timestamp (ms, None where the exchange
    does not say), datetime, nonce (of its last update, likewise), and age_s (since the answer came). Prices are quote,
    quantities base, also where the exchange counts contracts.

    Args:
        symbol: any known spelling.
        exchange: any that ccxt knows.
        market_type: futures (linear perpetuals) or spot.
        limit: levels a side; a number the exchange does not know is rounded up to one it does, and the rest cut off.
        endpoints: where the exchanges live; None = by settings file and environment.
        settings: timeouts, retries, life of the cache, `stale_s`; None = likewise.
        fresh: ask the exchange whatever the cache has.
        cache: None = the process's own.

    Raises:
        ConfigError: an argument is wrong; the nearest right one is said.
        DataUnavailable: the exchange did not answer, or answered what is no order book of now.
    """
    endpoints, settings = configured(endpoints, settings)
    name = exchange_name(exchange)
    where = venue(name, market_type, endpoints)
    depths = where.rest.depths or (limit,)
    depth = next((known for known in depths if known >= limit), 0)
    if not 1 <= limit <= MOST_LEVELS or not depth:
        raise ConfigError(f"limit: expected 1 to {min(MOST_LEVELS, depths[-1])} levels, saw {limit!r}; ask for fewer")
    key = (name, market_type, base_of(name, market_type, endpoints), normalise_symbol(symbol), depth)
    kept = (_books if cache is None else cache).get(
        key, settings.cache_s, lambda: _fetch_book(where, symbol, depth, settings), fresh=fresh
    )
    book = copy.deepcopy(kept.value)
    return book | {"bids": book["bids"][:limit], "asks": book["asks"][:limit], "age_s": kept.age_s}


def get_trades(
    symbol: str,
    exchange: str = "binance",
    market_type: str = "futures",
    limit: int = 500,
    *,
    endpoints: EndpointSettings | None = None,
    settings: IngestSettings | None = None,
    fresh: bool = False,
) -> list[dict[str, Any]]:
    """The last public trades as ccxt shapes them, oldest first; arguments and errors as in `get_orderbook`.

    Keys of each: id, timestamp (ms), symbol, side (of the aggressor), price (quote), amount (as in `get_orderbook`).
    """
    endpoints, settings = configured(endpoints, settings)
    name = exchange_name(exchange)
    if not 1 <= limit <= MOST_TRADES:
        raise ConfigError(f"limit: expected 1 to {MOST_TRADES} trades, saw {limit!r}; ask for fewer")
    key = (name, market_type, base_of(name, market_type, endpoints), normalise_symbol(symbol), limit)
    kept = _trades.get(
        key,
        settings.cache_s,
        lambda: _fetch_trades(venue(name, market_type, endpoints), symbol, limit, settings),
        fresh=fresh,
    )
    return [dict(trade) for trade in kept.value]


def _fetch_book(where: Venue, symbol: str, depth: int, settings: IngestSettings) -> dict[str, Any]:
    listing = where.listing(symbol, settings)
    where.reading(settings)  # the clock first: a book is judged the moment it is there

    def ask(client: Any) -> dict[str, Any]:
        book: dict[str, Any] = client.fetch_order_book(listing.unified, depth)
        _check_wire(where, listing)
        check.book(book["bids"], book["asks"])
        if where.rest.numbers_books:
            check.number(book["nonce"], "book's last update id")
        if (where.ours and where.rest.stamps_books) or book["timestamp"] is not None:
            stamp = book["timestamp"]
            where.at_present(client, lambda now_ms: check.recent(stamp, now_ms, settings.stale_s, "book time"))
        if listing.contract_size != 1.0:  # ccxt's books are of contracts then
            for side in ("bids", "asks"):
                book[side] = [[level[0], level[1] * listing.contract_size] for level in book[side]]
        return book

    return where.call(f"fetch_order_book {listing.symbol}", ask, settings, BOOK if where.ours else PAGE)


def _check_wire(where: Venue, listing: Listing) -> None:
    """The book as it came: ccxt sorts what it gets, and takes any symbol's for the one asked for."""
    if where.ours:
        body = check.a_dict(where.answer.json(), "book")
        check.only_about(body, listing.id)
        check.book(*(check.inside(body, keys, "book") for keys in where.rest.sides))


def _fetch_trades(where: Venue, symbol: str, limit: int, settings: IngestSettings) -> list[dict[str, Any]]:
    listing = where.listing(symbol, settings)
    where.reading(settings)

    def ask(client: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.fetch_trades(listing.unified, None, limit)
        where.at_present(client, lambda now_ms: check.trades(found, listing.unified, now_ms, settings.stale_s))
        if listing.contract_size != 1.0:
            found = [trade | {"amount": trade["amount"] * listing.contract_size} for trade in found]
        return found

    return where.call(f"fetch_trades {listing.symbol}", ask, settings)
