"""A ccxt client for an exchange by name, as shipped, at the address that the settings give it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from utils.config import EndpointSettings, MarketSettings
from utils.errors import ConfigError


class Client(NamedTuple):
    """How a venue of ours is made with ccxt."""

    name: str  # of ccxt's class
    types: tuple[str, ...]  # of markets to load
    host: str  # what its addresses begin with
    endpoint: str  # the setting that may replace it


CLIENTS: Mapping[tuple[str, str], Client] = {
    ("binance", "futures"): Client("binanceusdm", ("linear",), "https://fapi.binance.com", "binance_rest"),
    ("binance", "spot"): Client("binance", ("spot",), "https://api.binance.com", "binance_spot_rest"),
    ("bybit", "futures"): Client("bybit", ("linear",), "https://api.{hostname}", "bybit_rest"),
    ("bybit", "spot"): Client("bybit", ("spot",), "https://api.{hostname}", "bybit_rest"),
}
MARKET_TYPES = ("futures", "spot")
#: Names under which exchanges of ours go elsewhere.
ALIASES = {"binanceusdm": "binance", "binance_usdm": "binance", "bybit_linear": "bybit"}


def exchange_name(exchange: str) -> str:
    """The name ccxt has for an exchange, small letters; binance and bybit stand for both of their markets.

    Raises:
        ConfigError: ccxt does not know it; the nearest name is said.
    """
    import ccxt

    name = exchange.strip().lower()
    name = ALIASES.get(name, name)
    if name not in ccxt.exchanges:
        near = difflib.get_close_matches(name, ccxt.exchanges, 2)
        hint = f"did you mean {' or '.join(near)}?" if near else "binance and bybit are tested best"
        raise ConfigError(f"exchange: expected one that ccxt knows, saw {exchange!r}; {hint}")
    return name


def folder_of(exchange: str, market_type: str) -> str:
    """The name of a venue's data folder, `binance_usdm`."""
    kind = "linear" if market_type == "futures" else "spot"
    return MarketSettings.VENUES.get((exchange, market_type), f"{exchange}_{kind}")


def base_of(exchange: str, market_type: str, endpoints: EndpointSettings) -> str:
    """The address that the settings give an exchange; "" for exchanges that have no such setting."""
    client = CLIENTS.get((exchange, market_type))
    return str(getattr(endpoints, client.endpoint)) if client else ""


def make_client(exchange: str, market_type: str, base: str) -> Any:
    """A blocking ccxt client as shipped, sent to `base` where one is given, and nowhere else then."""
    import ccxt

    ours = CLIENTS.get((exchange, market_type))
    options: dict[str, Any] = {"defaultType": "swap" if market_type == "futures" else "spot"}
    if ours:
        options["fetchMarkets"] = {"types": list(ours.types)}
    client = getattr(ccxt, ours.name if ours else exchange)({"options": options})
    if ours:
        client.has["fetchCurrencies"] = False  # wants a key
        client.urls["api"] = moved(client.urls["api"], ours.host, base)
    client.session.max_redirects = 0  # an exchange never does; a hotel's login page does
    # behind a company's proxy; ccxt would not look
    client.session.trust_env = urlsplit(base).hostname not in {"127.0.0.1", "::1", "localhost"}
    return client


def moved(urls: Any, host: str, base: str) -> Any:
    """Addresses of ccxt with those of `host` beginning with `base`; the others too if `base` is another machine."""
    if isinstance(urls, Mapping):
        return {name: moved(url, host, base) for name, url in urls.items()}
    if not isinstance(urls, str):
        return urls
    if urls.startswith(host):
        return base + urls.removeprefix(host)
    default = host.replace("{hostname}", "bybit.com")
    return urls if base == default else base + urlsplit(urls).path
