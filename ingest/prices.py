"""Closed candles by REST, through ccxt: `get_ohlcv` gives what was asked for, or an error.

An answer is asked for again page by page beyond the exchange's limit, one after the other, and every page must hold
exactly the candles of its span. The candle that is still forming is dropped by its time, held against the exchange's
clock. Missing candles are an error that names them, except before a symbol's first day and where the exchange is known
to have stood still.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ingest.rest import checks as check
from ingest.rest.cache import TimedCache
from ingest.rest.checks import Matrix, Span
from ingest.rest.client import base_of, exchange_name
from ingest.rest.retry import BadVenueData, IncompleteCandles
from ingest.rest.venue import Venue, configured, venue
from ingest.venues.facts import CandleCall, Listing
from ingest.venues.known import folder_of
from utils.errors import ConfigError, DataUnavailable
from utils.market.symbols import normalise_symbol
from utils.market.timeframes import TIMEFRAMES, normalise_timeframe
from utils.rows import MS_PER_DAY, MS_PER_HOUR, NS_PER_MS
from utils.settings.tree import EndpointSettings, IngestSettings
from utils.shell.log import event
from utils.shell.moments import at_ms

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("ingest")

#: A time as its user writes it: ms since 1970, ISO 8601 text (UTC without a zone), a datetime or a date.
When: TypeAlias = int | str | datetime | date

#: Most candles of one request to an exchange that we do not know, and how many where ccxt does not tell either.
PAGE, LEAST_PAGE = 1000, 100
#: Most candles of one call; `python -m ingest.download` takes more, and can be stopped.
MOST = 200_000
#: A symbol's first candle may lie so far from the time its exchange gives for its listing: ten days after it and
#: two weeks before it have been seen.
LISTING_MS = 30 * MS_PER_DAY

_cache: TimedCache[Candles] = TimedCache()
_began: TimedCache[int] = TimedCache()


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """What was fetched, before it becomes a frame; shared by readers, never changed."""

    listing: Listing
    rows: Matrix
    missing: tuple[tuple[int, int], ...]  # (first open in ms, candles) of each known outage inside


def get_ohlcv(
    symbol: str,
    tf: str,
    exchange: str = "binance",
    market_type: str = "futures",
    limit: int = 1000,
    *,
    since: When | None = None,
    until: When | None = None,
    endpoints: EndpointSettings | None = None,
    settings: IngestSettings | None = None,
    fresh: bool = False,
    cache: TimedCache[Candles] | None = None,
) -> pd.DataFrame:
    """The closed candles of one symbol, oldest first: the last `limit`, or those of a period.

    With `since`: the first `limit` from there, or as many as have closed. With `until`: the last `limit` up to it.
    With both: all of them, and `limit` must not be less. A candle belongs to a period by its open, both ends included;
    a date without a time of day means the whole day. Fewer come only of a symbol that is not yet that old.

    Units: `timestamp` is the candle's open, UTC, datetime64[ms] without a zone; prices quote; `volume` and, where the
    exchange tells it, `taker_buy_volume` base. An exchange outside binance and bybit may count volume in
    contracts. NaN: never. `frame.attrs` holds symbol, tf, exchange, market (data folder), age_s (since the answer
    came) and gaps (known outages: first open in ms and candles).

    Args:
        symbol: any known spelling, BTCUSDT or BTC/USDT:USDT.
        tf: ccxt's name of a timeframe.
        exchange: any that ccxt knows.
        market_type: futures (linear perpetuals) or spot.
        limit: candles.
        since: ms since 1970, ISO 8601 text, or a datetime.
        until: likewise.
        endpoints: where the exchanges live; None = by settings file and environment.
        settings: timeouts, retries, life of the cache; None = likewise.
        fresh: ask the exchange whatever the cache has.
        cache: None = the process's own.

    Raises:
        ConfigError: an argument is wrong; the nearest right one is said.
        DataUnavailable: the exchange did not answer, answered garbage, or does not have all of it.
    """
    import pandas as pd

    endpoints, settings = configured(endpoints, settings)
    name, length = exchange_name(exchange), normalise_timeframe(tf)
    if not 1 <= limit <= MOST:
        raise ConfigError(f"limit: expected 1 to {MOST:,} candles, saw {limit!r}; python -m ingest.download takes more")
    wanted = Period.of(since, until, TIMEFRAMES[length] // NS_PER_MS, limit)
    key = (name, market_type, base_of(name, market_type, endpoints), normalise_symbol(symbol), length, wanted)
    kept = (_cache if cache is None else cache).get(
        key,
        settings.cache_s,
        lambda: _fetch(venue(name, market_type, endpoints), symbol, length, wanted, settings),
        fresh=fresh,
    )
    rows = kept.value.rows
    columns: dict[str, Any] = {"timestamp": rows[:, check.TIME].astype("int64").astype("M8[ms]")}
    columns |= {check.NAMES[i]: rows[:, i].copy() for i in range(check.OPEN, check.TAKER_BUY)}
    if not np.isnan(rows[0, check.TAKER_BUY]):
        columns["taker_buy_volume"] = rows[:, check.TAKER_BUY].copy()
    frame = pd.DataFrame(columns)
    frame.attrs = {
        "symbol": kept.value.listing.symbol,
        "tf": length,
        "exchange": name,
        "market": folder_of(name, market_type),
        "age_s": kept.age_s,
        "gaps": [{"first_ms": first, "candles": candles} for first, candles in kept.value.missing],
    }
    return frame


def when_ms(when: When, what: str, *, end: bool = False) -> int:
    """A time as ms since 1970; a date without a time of day is its first millisecond, or for `end` its last.

    Raises:
        ConfigError: not a time.
    """
    try:
        if isinstance(when, str):
            text = when.strip()
            when = int(text) if text.isdigit() and len(text) > 8 else _parsed(text)
        if isinstance(when, int):
            return check.time_ms(when, what)
        if isinstance(when, datetime):
            return check.time_ms(int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000.0), what)
        day = datetime(when.year, when.month, when.day, tzinfo=UTC) + timedelta(days=int(end))
        return check.time_ms(int(day.timestamp() * 1000.0) - int(end), what)
    except (ValueError, OverflowError, AttributeError, BadVenueData):
        raise ConfigError(
            f"{what}: expected a time such as 2025-01-31, 2025-01-31T12:00 (UTC) or ms since 1970, saw {when!r}"
        ) from None


def _parsed(text: str) -> date:
    """A date where there is no time of day, else a datetime."""
    return date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Period:
    """Which candles are wanted: a number of them, and where they begin or end; opens on the grid, ms."""

    tf: int
    limit: int
    first: int | None  # open of the first
    last: int | None  # open of the last

    @classmethod
    def of(cls, since: When | None, until: When | None, tf_ms: int, limit: int) -> Period:
        """The period that a caller's words mean.

        Raises:
            ConfigError: it is empty, or holds more than `limit` candles.
        """
        first = None if since is None else check.ceil_to_grid(when_ms(since, "since"), tf_ms)
        last = None if until is None else check.floor_to_grid(when_ms(until, "until", end=True), tf_ms)
        if first is not None and last is not None:
            count = (last - first) // tf_ms + 1
            if count < 1:
                raise ConfigError(f"period: expected since before until, saw {since} and {until}")
            if count > limit:
                raise ConfigError(
                    f"limit: {since} to {until} holds {count:,} candles, saw limit={limit:,}; raise it, or leave out"
                    " one of the three"
                )
        return cls(tf_ms, limit, first, last)

    def span(self, now_ms: float) -> Span:
        """The candles that have closed by now."""
        end = check.floor_to_grid(now_ms, self.tf)
        if self.last is not None:
            end = min(end, self.last + self.tf)
        if self.first is None:
            return Span(end - self.limit * self.tf, end, self.tf)
        return Span(self.first, min(end, self.first + self.limit * self.tf), self.tf)


def _fetch(where: Venue, symbol: str, tf: str, wanted: Period, settings: IngestSettings) -> Candles:
    """All candles of a period, page by page from the newest back, so that the newest is as new as can be."""
    listing = where.listing(symbol, settings)
    source = CandleSource(where, listing, tf, settings)
    span = source.clip(wanted.span(where.now_ms(settings)))
    pages: list[Matrix] = []
    missing: list[tuple[int, int]] = []
    end = span.end
    while end > span.start:
        start = max(span.start, end - source.page * span.tf)
        page, never = source.fetch(Span(start, end, span.tf))
        pages.append(page)
        missing += never
        end = start
    rows = np.concatenate(pages[::-1])
    if len(rows) == 0:
        raise source.nothing()
    return Candles(listing, rows, tuple(sorted(run for run in missing if run[0] > rows[0, check.TIME])))


class CandleSource:
    """Asks one exchange for pages of one symbol's candles.

    Args:
        where: the exchange.
        listing: the symbol.
        tf: ccxt's name of a timeframe.
        settings: timeouts and retries.

    Raises:
        ConfigError: the exchange has no such candles; those it has are named.
    """

    def __init__(self, where: Venue, listing: Listing, tf: str, settings: IngestSettings) -> None:
        self._where, self._listing, self._tf, self._settings = where, listing, tf, settings
        self._known: Mapping[str, str] = where.client.timeframes or {}
        if not where.client.has["fetchOHLCV"] or tf not in self._known:
            names = [name for name in TIMEFRAMES if name in self._known]
            raise ConfigError(f"{where.exchange} has no {tf} candles; it has {', '.join(names) or 'none'}")
        if own := where.rest.candles:
            self.page = own.page
        else:
            told = where.client.feature_value(listing.unified, "fetchOHLCV", "limit")
            self.page = min(PAGE, int(told or LEAST_PAGE))
        if listing.contract_size != 1.0:
            text = (
                f"{where.name} counts contracts of {listing.contract_size:g}; ccxt does not say whether its candles do"
            )
            event(logger, "volume_unit", text, severity=logging.WARNING, symbol=listing.symbol)
        # opens at which there never was a candle, from - up to, ms
        self._never = [*where.rest.outages]

    def nothing(self) -> DataUnavailable:
        """The error for a period without a candle."""
        listed = self._listing.listed_ms
        since = f", which is listed since {at_ms(listed)}" if listed else ""
        return DataUnavailable(
            f"{self._where.name}: there is no closed {self._tf} candle of {self._listing.symbol}{since}, in the period"
            " asked for; ask for another one"
        )

    def clip(self, span: Span) -> Span:
        """The part of a span in which the symbol has traded, so far as can be known.

        What exchanges say of a listing is good to some weeks; near it, their candles are asked when they begin.

        Raises:
            DataUnavailable: there is no such part, or the exchange did not answer.
        """
        listed = self._listing.listed_ms
        if listed is not None and span.start < listed + LISTING_MS:
            key = (self._where.name, self._where.base, self._listing.id)
            began = _began.get(key, MS_PER_DAY / 1000.0, lambda: self._find_beginning(listed)).value
            self._never.append((began, began + MS_PER_HOUR))
            span = Span(max(span.start, check.floor_to_grid(began, span.tf)), span.end, span.tf)
        if span.size < 1:
            raise self.nothing()
        return span

    def _find_beginning(self, listed_ms: int) -> int:
        """The hour of the first trade, ms; 0 if it lies too far back to matter."""
        if not {"1d", "1h"} <= set(self._known):
            return check.floor_to_grid(listed_ms, MS_PER_HOUR)
        earliest = check.floor_to_grid(listed_ms - LISTING_MS, MS_PER_DAY)
        day = self._first("1d", earliest, earliest + 2 * LISTING_MS, listed_ms)
        return 0 if day == earliest else self._first("1h", day, day + MS_PER_DAY, listed_ms)

    def _first(self, tf: str, start: int, end: int, listed_ms: int) -> int:
        """The open of the first candle in a period; the present one if none has closed since the listing."""
        length = TIMEFRAMES[tf] // NS_PER_MS
        now_ms = self._where.now_ms(self._settings)
        present = check.floor_to_grid(now_ms, length)
        span = Span(start, min(end, present), length)
        if span.size < 1:
            return present

        def ask(client: Any) -> int:
            try:
                rows = check.candles(self._ask(client, tf, span), span, now_ms)
            except IncompleteCandles as lost:
                rows = lost.rows
            if len(rows) == 0 and check.floor_to_grid(listed_ms, length) < present:
                raise BadVenueData(f"expected {tf} candles since the listing at {at_ms(listed_ms)}, saw none")
            return int(rows[0, check.TIME]) if len(rows) else present

        return self._where.call(f"fetch_ohlcv {self._listing.symbol} {tf} (the first)", ask, self._settings)

    def fetch(self, span: Span) -> tuple[Matrix, list[tuple[int, int]]]:
        """The candles of a span, at most a page, and of those that never were (first open in ms, candles) of each run.

        Raises:
            DataUnavailable: the exchange did not answer, answered garbage, or does not have all of them; then its cause
                is an IncompleteCandles.
        """
        now_ms = self._where.now_ms(self._settings)

        def ask(client: Any) -> tuple[Matrix, list[tuple[int, int]]]:
            try:
                return check.candles(self._ask(client, self._tf, span), span, now_ms), []
            except IncompleteCandles as lost:
                if all(self._never_was(first, first + bars * span.tf) for first, bars in lost.missing):
                    return lost.rows, lost.missing
                raise

        period = f"{at_ms(span.start)} to {at_ms(span.end - span.tf)}"
        what = f"fetch_ohlcv {self._listing.symbol} {self._tf} ({span.size} candles, {period})"
        return self._where.call(what, ask, self._settings)

    def _never_was(self, start: int, end: int) -> bool:
        return any(first <= start and end <= last for first, last in self._never)

    def _ask(self, client: Any, tf: str, span: Span) -> object:
        """Rows as the exchange has them, oldest first."""
        name = self._known[tf]
        if own := self._where.rest.candles:
            return _own_rows(client, own, self._listing.id, name, span)
        return client.fetch_ohlcv(self._listing.unified, tf, span.start, span.size, {"until": span.end - 1})


def _own_rows(client: Any, own: CandleCall, symbol: str, interval: str, span: Span) -> list[list[Any]]:
    """Rows as an exchange answers its own call: an answer for another symbol or in a mess does not pass."""
    period = {own.since: span.start, own.until: span.end - 1}
    asked = {"symbol": symbol, "interval": interval, "limit": span.size}
    answer = getattr(client, own.call)(asked | dict(own.more) | period)
    check.only_about(answer, symbol)
    for key, value in own.more.items():
        check.same(check.inside(answer, (*own.rows_at[:-1], key), "answer"), value, f"candles' {key}")
    found = check.a_list(check.inside(answer, own.rows_at, "answer"), "candles")
    rows = [check.a_list(row, "candle") for row in found]
    least = max(own.columns) + 1
    if any(len(row) < least for row in rows):
        raise BadVenueData(f"candles: expected at least {least} items each, saw fewer")
    picked = [[row[column] for column in own.columns] for row in rows]
    return picked[::-1] if own.newest_first else picked
