"""The past of a live market by REST: the last closed candles, and the bars that a stream missed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from ingest.files.candles import Candles, load_candles
from ingest.instruments import Listing, market_of
from ingest.prices import get_ohlcv
from ingest.rest.client import base_of
from ingest.rest.venue import instrument
from utils.market.timeframes import TIMEFRAMES
from utils.rows import NS_PER_MS, Rows
from utils.settings.tree import EndpointSettings, Settings
from utils.types import Bar

#: Asks for the closed bars of a symbol: (symbol, first close, last close) in ns, both included.
Backfill = Callable[[str, int, int], Rows]


def asked(
    symbol: str,
    tf: str,
    bars: int,
    settings: Settings,
    *,
    since: int | None = None,
    until: int | None = None,
    fresh: bool = True,
) -> Candles:
    """Closed candles from the market of the settings, asked for now if `fresh`; `since` and `until` are opens, ms."""
    market = settings.market
    frame = get_ohlcv(
        symbol,
        tf,
        market.exchange,
        market.market_type,
        bars,
        since=since,
        until=until,
        endpoints=settings.endpoints,
        settings=settings.ingest,
        fresh=fresh,
    )
    return load_candles(frame, symbol=symbol, tf=tf)


def fetch_candles(symbol: str, tf: str, bars: int, settings: Settings) -> Candles:
    """The last `bars` closed candles of one symbol, by REST.

    Raises:
        DataUnavailable: the exchange did not answer, answered garbage, or does not have them.
    """
    return fetch_period(symbol, tf, bars, settings)


def fetch_period(
    symbol: str, tf: str, bars: int, settings: Settings, *, since: int | None = None, until: int | None = None
) -> Candles:
    """Closed candles of one symbol by REST: the first `bars` from `since` on, or the last ones up to `until`.

    `since` and `until` are opens, ms; with both, all between them, at most `bars`.

    Raises:
        DataUnavailable: the exchange did not answer, answered garbage, or does not have them.
    """
    candles = asked(symbol, tf, bars, settings, since=since, until=until)
    return dataclasses.replace(candles, market=market_of(settings), source=source_of(settings))


def newest_bar(symbol: str, tf: str, settings: Settings, *, fresh: bool = False) -> Bar:
    """The last closed bar of an exchange id; one that was asked for within `ingest.cache_s` will do, unless `fresh`.

    Raises:
        DataUnavailable: the exchange did not answer, answered garbage, or has no bar.
    """
    row = asked(symbol, tf, 1, settings, fresh=fresh).rows[-1]
    return Bar.of(row, symbol, tf, max(int(row["ts"]), time.time_ns()))


def source_of(settings: Settings) -> str:
    """What the data calls itself: the exchange, and where it was asked if that is not the exchange's own address."""
    name = settings.market.exchange
    asked = base_of(name, settings.market.market_type, settings.endpoints)
    own = base_of(name, settings.market.market_type, EndpointSettings())
    return name if asked == own else f"{name}@{urlsplit(asked).netloc}"


def rest_backfill(tf: str, settings: Settings) -> Backfill:
    """Closed bars by REST, for what a stream missed."""
    length = TIMEFRAMES[tf]

    def backfill(symbol: str, first: int, last: int) -> Rows:
        since, until = (first - length) // NS_PER_MS, (last - length) // NS_PER_MS
        return asked(symbol, tf, (last - first) // length + 1, settings, since=since, until=until).rows

    return backfill


def listed(symbol: str, settings: Settings) -> Listing:
    """What the exchange of the settings lists of a symbol: tick, lot, least order.

    Raises:
        ConfigError: it does not list the symbol; the nearest ones are named.
        DataUnavailable: it did not answer, or answered garbage.
    """
    market = settings.market
    return instrument(
        symbol, market.exchange, market.market_type, endpoints=settings.endpoints, settings=settings.ingest
    )
