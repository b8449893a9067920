"""The exchanges that are known: to add one is a folder beside this file, and a line here.

An exchange that only ccxt knows can be asked by REST all the same, with what ccxt tells of it.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import NamedTuple

from ingest.venues.binance.venue import BINANCE
from ingest.venues.bybit.venue import BYBIT
from ingest.venues.facts import Market, Venue
from utils.config import Loaded
from utils.errors import ConfigError, DataError
from utils.settings.checked import place
from utils.settings.sources import did_you_mean
from utils.settings.tree import EndpointSettings, MarketSettings

#: By name. Where a message could be of several, it is of the first.
VENUES: dict[str, Venue] = {
    BYBIT.name: BYBIT,
    BINANCE.name: BINANCE,
}
#: What the settings call a market; those of futures are linear perpetuals.
MARKET_TYPES = ("futures", "spot")


class Place(NamedTuple):
    """A market, and the exchange it is of."""

    venue: Venue
    market: Market


def places() -> list[Place]:
    """Every market of every known exchange."""
    return [Place(venue, market) for venue in VENUES.values() for market in venue.markets]


def name_of(exchange: str) -> str:
    """The name by which an exchange is known here, small letters; one that is not keeps its own."""
    name = exchange.strip().lower()
    return next((venue.name for venue in VENUES.values() if name in venue.aliases), name)


def place_of(exchange: str, market_type: str) -> Place | None:
    """Exchange and market by the words of the settings; None = not known here."""
    return next((place for place in places() if (exchange, market_type) == (place.venue.name, place.market.kind)), None)


def streamed(exchange: str, market_type: str) -> Place:
    """Exchange and market, of which there are streams.

    Raises:
        ConfigError: there are none; those there are are named.
    """
    place = place_of(exchange, market_type)
    if place is None or not place.market.ws:
        known = ", ".join(f"{venue.name} {market.kind}" for venue, market in places() if market.ws)
        raise ConfigError(f"live streams: expected one of {known}, saw {exchange} {market_type}; choose one of these")
    return place


def recorded(market: str) -> Place:
    """Exchange and market by the name of the market's data folder.

    Raises:
        DataError: none has this name.
    """
    found = next((place for place in places() if place.market.name == market), None)
    if found is None:
        known = ", ".join(place.market.name for place in places())
        raise DataError(f"market: expected one of {known}, saw {market!r}; name a recording of one of these")
    return found


def folder_of(exchange: str, market_type: str) -> str:
    """The name of a market's data folder, `binance_usdm`, and its key under `instruments` in the settings."""
    place = place_of(exchange, market_type)
    return place.market.name if place else f"{exchange}_{'linear' if market_type == 'futures' else 'spot'}"


def address(endpoints: EndpointSettings, name: str) -> str:
    """Where something lives: what the settings say of an endpoint, else what its venue says."""
    said = getattr(endpoints, name, None)
    return str(said) if said is not None else own_addresses()[name]


def own_addresses() -> dict[str, str]:
    """Every endpoint's own address, by its name in the settings."""
    further = {name: url for venue in VENUES.values() for name, url in venue.addresses.items()}
    return further | dict(EndpointSettings())


def check_names(loaded: Loaded) -> None:
    """Look at the names of exchanges in the settings, which stand below this table and cannot know them.

    Raises:
        ConfigError: one is not known here.
    """
    seen, usual = loaded.settings.market.exchange, MarketSettings().exchange
    if seen not in VENUES:
        origin = f" (from {place(loaded.origin['market.exchange'])})" if loaded.origin else ""
        known = ", ".join(sorted(VENUES))
        raise ConfigError(f"market.exchange: expected one of {known}, saw {seen!r}{origin}; the default is {usual}")
    own = own_addresses()
    for name in sorted(dict(loaded.settings.endpoints).keys() - own):
        key = f"endpoints.{name}"
        origin = f"{place(loaded.origin[key])}: " if loaded.origin else ""
        near = get_close_matches(name, own, 1)
        raise ConfigError(f"{origin}unknown key {key}{did_you_mean(f'endpoints.{near[0]}' if near else None)}")
