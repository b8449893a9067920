"""How the crowd is positioned: funding, open interest, and the ratio of long to short accounts, by REST through ccxt.

What an exchange does not tell is None, never zero. What it tells and then fails to answer is an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingest.rest import checks as check
from ingest.rest.cache import TimedCache
from ingest.rest.client import base_of, exchange_name
from ingest.rest.retry import BadVenueData
from ingest.rest.venue import Venue, configured, venue
from ingest.venues.facts import Listing
from utils.errors import ConfigError
from utils.market.symbols import normalise_symbol
from utils.rows import MS_PER_DAY, MS_PER_HOUR, NS_PER_MS
from utils.settings.tree import EndpointSettings, IngestSettings
from utils.shell.moments import at_ms

#: Over what time the ratio of accounts is taken, in ccxt's word.
RATIO_PERIOD = "5m"
#: How old its last value may be, ms.
RATIO_AGE_MS = MS_PER_HOUR
#: Open interest may be a figure of the last 5 minutes to an hour, ms.
INTEREST_AGE_MS = 2 * MS_PER_HOUR
#: The next settlement lies within a day, ms.
NEXT_MS = MS_PER_DAY

_cache: TimedCache[Positioning] = TimedCache()


@dataclass(frozen=True, slots=True)
class Positioning:
    """What one exchange told of one perpetual contract; None = it does not tell."""

    symbol: str
    exchange: str
    market: str  # data folder, binance_usdm
    ts: int  # exchange time when the last answer came, ns
    funding_rate: float | None  # fraction of notional at the next settlement, as it stands; above 0 = longs pay
    next_funding_ts: int | None  # ns
    mark_price: float | None  # quote
    open_interest: float | None  # base
    open_interest_ts: int | None  # ns
    long_short_ratio: float | None  # accounts that are long over accounts that are short
    long_short_ts: int | None  # ns
    age_s: float = 0.0  # since the answers came


def fetch_positioning(
    symbol: str,
    exchange: str = "binance",
    *,
    endpoints: EndpointSettings | None = None,
    settings: IngestSettings | None = None,
    fresh: bool = False,
) -> Positioning:
    """Funding, open interest and long/short ratio of a perpetual contract as they stand now.

    Not point-in-time: what is asked today about the past may have been revised. History is what you recorded.

    Args:
        symbol: any known spelling.
        exchange: any that ccxt knows.
        endpoints: where the exchanges live; None = by settings file and environment.
        settings: timeouts, retries, life of the cache; None = likewise.
        fresh: ask the exchange whatever the cache has.

    Raises:
        ConfigError: no such exchange or symbol, or it tells none of this.
        DataUnavailable: the exchange did not answer, or answered garbage.
    """
    endpoints, settings = configured(endpoints, settings)
    name = exchange_name(exchange)
    key = (name, base_of(name, "futures", endpoints), normalise_symbol(symbol))
    kept = _cache.get(
        key, settings.cache_s, lambda: _fetch(venue(name, "futures", endpoints), symbol, settings), fresh=fresh
    )
    return dataclasses.replace(kept.value, age_s=kept.age_s)


def _fetch(where: Venue, symbol: str, settings: IngestSettings) -> Positioning:
    offered = where.client.has
    asked = ("fetchFundingRate", "fetchOpenInterest", "fetchLongShortRatioHistory")
    if not any(offered.get(call) for call in asked):
        raise ConfigError(f"{where.exchange} tells neither funding nor positioning; choose another exchange")
    listing = where.listing(symbol, settings)
    where.reading(settings)
    found: dict[str, Any] = {
        "funding_rate": None,
        "next_funding_ts": None,
        "mark_price": None,
        "open_interest": None,
        "open_interest_ts": None,
        "long_short_ratio": None,
        "long_short_ts": None,
    }
    if offered.get("fetchFundingRate"):
        what = f"fetch_funding_rate {listing.symbol}"
        found |= where.call(what, lambda client: _funding(client, where, listing), settings)
    if offered.get("fetchOpenInterest"):
        what = f"fetch_open_interest {listing.symbol}"
        found |= where.call(what, lambda client: _interest(client, where, listing), settings)
    if offered.get("fetchLongShortRatioHistory"):
        what = f"fetch_long_short_ratio_history {listing.symbol}"
        found |= where.call(what, lambda client: _ratio(client, where, listing), settings)
    ts = int(where.now_ms(settings)) * NS_PER_MS
    return Positioning(listing.symbol, where.exchange, where.folder, ts, **found)


def _funding(client: Any, where: Venue, listing: Listing) -> dict[str, Any]:
    told = check.a_dict(client.fetch_funding_rate(listing.unified), "funding")
    _check_wire(where, listing)
    rate = check.number(told.get("fundingRate"), "funding rate")
    if not abs(rate) < check.MOST_RATE:
        raise BadVenueData(f"funding rate: expected a fraction between -1 and 1, saw {rate:g}")
    stamp = told.get("fundingTimestamp")
    following = None if stamp is None else check.time_ms(stamp, "next funding")
    now_ms = where.seen_ms()
    if following is not None and not now_ms - check.SLACK_MS <= following <= now_ms + NEXT_MS:
        raise BadVenueData(f"next funding: expected a time within a day from now, saw {at_ms(following)}")
    mark = check.maybe(told.get("markPrice"), "mark price")
    if mark is not None and mark <= 0.0:
        raise BadVenueData(f"mark price: expected a price above 0, saw {mark:g}")
    ns = None if following is None else following * NS_PER_MS
    return {"funding_rate": rate, "next_funding_ts": ns, "mark_price": mark}


def _interest(client: Any, where: Venue, listing: Listing) -> dict[str, Any]:
    told = check.a_dict(client.fetch_open_interest(listing.unified), "open interest")
    _check_wire(where, listing)
    amount = check.maybe(told.get("openInterestAmount"), "open interest")
    if amount is None:  # some tell only its value; who tells neither has told nothing
        check.number(told.get("openInterestValue"), "open interest")
    elif amount < 0.0:
        raise BadVenueData(f"open interest: expected 0 or more, saw {amount:g}")
    stamp = _stamp(told, where, INTEREST_AGE_MS, "time of the open interest")
    return {"open_interest": amount, "open_interest_ts": stamp}


def _ratio(client: Any, where: Venue, listing: Listing) -> dict[str, Any]:
    period = where.ours.ratio_period if where.ours else RATIO_PERIOD
    rows = check.a_list(client.fetch_long_short_ratio_history(listing.unified, period, None, 1), "ratio")
    if not rows:
        raise BadVenueData("long/short ratio: expected at least one, saw none")
    told = max((check.a_dict(row, "ratio") for row in rows), key=lambda row: check.time_ms(row.get("timestamp")))
    _check_wire(where, listing)
    ratio = check.number(told.get("longShortRatio"), "long/short ratio")
    if not 0.0 < ratio < check.MOST_RATIO:
        raise BadVenueData(f"long/short ratio: expected a number above 0 and below {check.MOST_RATIO:g}, saw {ratio:g}")
    return {"long_short_ratio": ratio, "long_short_ts": _stamp(told, where, RATIO_AGE_MS, "time of the ratio")}


def _check_wire(where: Venue, listing: Listing) -> None:
    """The answer as it came is about this symbol, as far as exchanges we know well say."""
    if where.ours:
        check.only_about(where.answer.json(), listing.id)


def _stamp(told: Mapping[str, Any], where: Venue, age_ms: int, what: str) -> int | None:
    """The time of a measure in ns, held against the clock; None where an exchange we know less of gives none."""
    if told.get("timestamp") is None and not where.ours:
        return None
    return check.recent(told.get("timestamp"), where.seen_ms(), age_ms / 1000.0, what) * NS_PER_MS
