"""A ccxt client for an exchange by name, as shipped, at the address that the settings give it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ingest.rest.deadline import TotalAdapter
from ingest.rest.retry import local
from ingest.venues.known import VENUES, address, name_of, own_addresses, place_of
from utils.errors import ConfigError
from utils.settings.tree import EndpointSettings


def exchange_name(exchange: str) -> str:
    """The name by which we or ccxt know an exchange, small letters; one of ours stands for all of its markets.

    Raises:
        ConfigError: nobody knows it; the nearest name is said.
    """
    import ccxt

    name = name_of(exchange)
    if name not in VENUES and name not in ccxt.exchanges:
        near = difflib.get_close_matches(name, [*VENUES, *ccxt.exchanges], 2)
        tested = " and ".join(sorted(VENUES))
        hint = f"did you mean {' or '.join(near)}?" if near else f"{tested} are tested best"
        raise ConfigError(f"exchange: expected one that ccxt knows, saw {exchange!r}; {hint}")
    return name


def base_of(exchange: str, market_type: str, endpoints: EndpointSettings) -> str:
    """The address that the settings give an exchange; "" for exchanges that have no such setting."""
    place = place_of(exchange, market_type)
    return address(endpoints, place.market.rest.at) if place and place.market.rest else ""


def make_client(exchange: str, market_type: str, base: str) -> Any:
    """A blocking ccxt client as shipped, sent to `base` where one is given, and nowhere else then.

    Raises:
        ConfigError: the exchange is one of ours, and is not asked by REST.
    """
    import ccxt

    place = place_of(exchange, market_type)
    ours = place.market.rest if place else None
    name = ours.ccxt if ours else exchange
    if name not in ccxt.exchanges:
        raise ConfigError(
            f"{exchange} {market_type}: expected a market that is asked by REST, saw one of streams alone;"
            " choose another"
        )
    options: dict[str, Any] = {"defaultType": "swap" if market_type == "futures" else "spot"}
    if ours:
        options["fetchMarkets"] = {"types": list(ours.types)}
    client = getattr(ccxt, name)({"options": options})
    if ours:
        client.has["fetchCurrencies"] = False  # wants a key
        client.urls["api"] = moved(client.urls["api"], ours.host, base, own_addresses()[ours.at])
    for scheme in ("http://", "https://"):
        client.session.mount(scheme, TotalAdapter())
    client.session.max_redirects = 0  # an exchange never does; a hotel's login page does
    # behind a company's proxy; ccxt would not look
    client.session.trust_env = not local(urlsplit(base).hostname)
    return client


def moved(urls: Any, host: str, base: str, own: str) -> Any:
    """Addresses of ccxt with those of `host` beginning with `base`; the others too if `base` is another than `own`."""
    if isinstance(urls, Mapping):
        return {name: moved(url, host, base, own) for name, url in urls.items()}
    if not isinstance(urls, str):
        return urls
    if urls.startswith(host):
        return base + urls.removeprefix(host)
    return urls if base == own else base + urlsplit(urls).path
