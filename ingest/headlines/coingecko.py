"""CoinGecko: what a coin and the whole market are worth, as context; minutes old at the source, never for a decision.

Asked without a key, with a demo key, or with a paid one (`ingest.coingecko_plan: pro`, another address). Only the paid
one has news. Source: docs.coingecko.com, authentication, errors, /simple/price, /global.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from pydantic import SecretStr

from ingest.headlines.headline import (
    TITLE_LENGTH,
    Headline,
    codes,
    converted,
    moment_ns,
    one_line,
    required_line,
    web_link,
)
from ingest.headlines.pages import MOST, Page, page_of
from ingest.headlines.web import Key, Service
from utils.errors import ConfigError, DataUnavailable, ScalperError
from utils.market.symbols import DOLLARS, normalise_symbol
from utils.rows import NS_PER_S
from utils.settings.tree import EndpointSettings, IngestSettings, SecretSettings

NAME = "CoinGecko"
ROOT = "/api/v3"
#: CoinGecko's names of what is traded most; symbols are not unique there, so no others are guessed.
COINS = {
    "BTC": "bitcoin",
    "ETH": "ethereum",
    "SOL": "solana",
    "XRP": "ripple",
    "BNB": "binancecoin",
    "DOGE": "dogecoin",
    "ADA": "cardano",
    "AVAX": "avalanche-2",
    "LINK": "chainlink",
    "DOT": "polkadot",
    "LTC": "litecoin",
    "TRX": "tron",
    "SUI": "sui",
    "TON": "the-open-network",
    "NEAR": "near",
    "FIL": "filecoin",
    "ALGO": "algorand",
    "SUSHI": "sushi",
}
#: What its error codes mean for our settings. Source: docs.coingecko.com, common errors.
_CODES = {
    10002: "COINGECKO_API_KEY: CoinGecko wants a key (code 10002); set it in the environment or in .env",
    10010: "ingest.coingecko_plan: the key is a paid one (code 10010); set ingest.coingecko_plan: pro",
    10011: "ingest.coingecko_plan: the key is a demo key (code 10011); set ingest.coingecko_plan: demo",
}
_BASES = {coin: code for code, coin in COINS.items()}
NEWS_PAGE = 20  # headlines, the most it allows
_lock = threading.Lock()


class _Article(msgspec.Struct):
    """One article of CoinGecko."""

    title: str
    url: str
    posted_at: str
    source_name: str | None = None
    type: str | None = None
    related_coin_ids: list[str] | None = None


@dataclass(frozen=True, slots=True)
class CoinPrice:
    """One coin in US dollars; NaN = CoinGecko does not say."""

    coin: str  # CoinGecko's name: bitcoin
    price: float  # USD per coin
    volume_24h: float  # USD, all venues, 24 hours
    change_24h: float  # fraction over 24 hours
    updated_ns: int  # when CoinGecko last changed it, ns UTC; 0 = it does not say
    seen_ns: int  # when we had it, ns UTC


@dataclass(frozen=True, slots=True)
class GlobalMarket:
    """All coins together; NaN = CoinGecko does not say."""

    market_cap: float  # USD
    volume_24h: float  # USD
    change_24h: float  # of the market value, fraction over 24 hours
    bitcoin_share: float  # of the market value, fraction
    updated_ns: int
    seen_ns: int


def base_currency(symbol: str) -> str:
    """The coin of a symbol: BTC of BTCUSDT, BTC/USDT:USDT or BTC; PEPE of 1000PEPEUSDT.

    Raises:
        ConfigError: not a symbol.
    """
    base, slash, _ = symbol.strip().upper().partition("/")
    if len(base) > 2 and not slash:
        base = normalise_symbol(base)
        quote = next((quote for quote in DOLLARS if base.endswith(quote)), "")
        base = base if base in DOLLARS else base.removesuffix(quote)
    if not base.isalnum():
        raise ConfigError(f"symbol: expected a coin such as BTC or a symbol such as BTCUSDT, saw {symbol!r}")
    thousands = next((many for many in ("1000000", "10000", "1000") if base.startswith(many)), "")
    return base.removeprefix(thousands) or base


def coin_id(name: str) -> str:
    """CoinGecko's name of a coin: of a symbol it knows, or the name itself (`bitcoin`).

    Raises:
        ConfigError: a symbol whose name we do not know.
    """
    own = re.fullmatch(r"[a-z0-9-]+", name) is not None
    base = "" if own and "-" in name else base_currency(name)
    if base in COINS:
        return COINS[base]
    if not own:
        raise ConfigError(
            f"coin: expected one of {', '.join(COINS)} or CoinGecko's own name such as bitcoin, saw {name!r};"
            " its page on coingecko.com shows the name as 'API ID'"
        )
    return name


def service(
    endpoints: EndpointSettings,
    settings: IngestSettings,
    secrets: SecretSettings,
    now_ns: Callable[[], int] = time.time_ns,
) -> Service:
    """CoinGecko as these settings reach it; the same one for the same settings, so that its pace and cache hold."""
    pro = settings.coingecko_plan == "pro"
    base = endpoints.coingecko_pro if pro else endpoints.coingecko
    with _lock:
        return _service(base, settings, secrets.coingecko_api_key, now_ns)


@lru_cache(maxsize=16)
def _service(base: str, settings: IngestSettings, key: SecretStr | None, now_ns: Callable[[], int]) -> Service:
    header = f"x-cg-{settings.coingecko_plan}-api-key"
    signed = Key("COINGECKO_API_KEY", key, header=header) if key else None
    return Service(NAME, base, settings, signed, explain, now_ns=now_ns)


def explain(_status: int, body: Any) -> ScalperError | None:
    """What an error of CoinGecko means for our settings; None = nothing special."""
    code = error_code(body)
    if code == 10005:
        return DataUnavailable(
            "CoinGecko: your plan does not hold this (code 10005); news needs a paid plan, or set CRYPTOPANIC_TOKEN"
        )
    return ConfigError(_CODES[code]) if code in _CODES else None


def error_code(body: Any) -> int | None:
    """The number in an error body: `{"status": {"error_code": ...}}`, or one level up or down; None if it has none."""
    for _ in range(3):
        if not isinstance(body, dict):
            return None
        code = body.get("error_code")
        if isinstance(code, int):
            return code
        body = body.get("status") or body.get("error")
    return None


def fetch_prices(
    coins: Sequence[str],
    endpoints: EndpointSettings,
    settings: IngestSettings,
    secrets: SecretSettings,
    *,
    now_ns: Callable[[], int] = time.time_ns,
) -> tuple[CoinPrice, ...]:
    """Price, volume and change of each coin, in the order asked; a minute or more old at the source.

    Args:
        coins: symbols (`BTCUSDT`, `BTC`) or CoinGecko's names (`bitcoin`).
        endpoints: where CoinGecko is.
        settings: plan, timeouts and retries.
        secrets: the key, if there is one.
        now_ns: the clock that stamps the answer, ns.

    Raises:
        ConfigError: an unknown symbol, a wrong key.
        DataUnavailable: no answer, garbage, or a coin left out of it.
    """
    ids = [coin_id(name) for name in coins]
    asked = {
        "ids": ",".join(sorted(set(ids))),
        "vs_currencies": "usd",
        "include_24hr_vol": "true",
        "include_24hr_change": "true",
        "include_last_updated_at": "true",
    }
    answer = service(endpoints, settings, secrets, now_ns).get(f"{ROOT}/simple/price", asked)
    return tuple(_price(coin, answer.body, answer.seen_ns) for coin in ids)


def fetch_global(
    endpoints: EndpointSettings,
    settings: IngestSettings,
    secrets: SecretSettings,
    *,
    now_ns: Callable[[], int] = time.time_ns,
) -> GlobalMarket:
    """What all coins are worth and trade.

    Raises:
        ConfigError: a wrong key.
        DataUnavailable: no answer, or garbage.
    """
    answer = service(endpoints, settings, secrets, now_ns).get(f"{ROOT}/global", {})
    data = _mapping(answer.body, "data")
    return GlobalMarket(
        market_cap=_number(data.get("total_market_cap"), "usd"),
        volume_24h=_number(_mapping(data, "total_volume"), "usd", above=0.0),
        change_24h=_number(data, "market_cap_change_percentage_24h_usd") / 100.0,
        bitcoin_share=_number(data.get("market_cap_percentage"), "btc") / 100.0,
        updated_ns=_stamp(data, "updated_at"),
        seen_ns=answer.seen_ns,
    )


def _price(coin: str, body: Any, seen_ns: int) -> CoinPrice:
    row = _mapping(body, coin)
    return CoinPrice(
        coin=coin,
        price=_number(row, "usd", above=0.0),
        volume_24h=_number(row, "usd_24h_vol"),
        change_24h=_number(row, "usd_24h_change") / 100.0,
        updated_ns=_stamp(row, "last_updated_at"),
        seen_ns=seen_ns,
    )


def _mapping(body: Any, name: str) -> Mapping[str, Any]:
    found = body.get(name) if isinstance(body, dict) else None
    if not isinstance(found, dict):
        raise DataUnavailable(f"CoinGecko: expected an answer with {name!r}, saw none; check the name on coingecko.com")
    return found


def _number(row: Any, name: str, above: float | None = None) -> float:
    """A finite number, NaN where there is none; with `above` there must be one, and above it."""
    value = row.get(name) if isinstance(row, dict) else None
    number = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300:
        number = float(value)
    if above is not None and not number > above:
        seen = repr(value)[:40]
        raise DataUnavailable(f"CoinGecko: expected {name!r} above {above:g}, saw {seen}; try again later")
    return number


def _stamp(row: Mapping[str, Any], name: str) -> int:
    seconds = _number(row, name)
    return int(seconds) * NS_PER_S if 0 < seconds < 1e11 else 0


def pages(service: Service, coin: str) -> Iterator[Page]:
    """Pages of one coin's news, newest first; "" = of all."""
    for number in range(1, MOST + 1):
        params = {"page": str(number), "per_page": str(NEWS_PAGE), "type": "news"}
        answer = service.get(f"{ROOT}/news", params | ({"coin_id": coin} if coin else {}))
        yield page_of(service.name, answer.body, parse, answer.seen_ns)
        if len(answer.body) < NEWS_PAGE:
            return


def parse(item: Any, seen_ns: int) -> Headline:
    """The headline in one article of CoinGecko; of its coins those that `COINS` names.

    Raises:
        ProtocolError: no title, address or time of publication, or something of another kind than documented.
    """
    article = converted(item, _Article)
    return Headline(
        id=f"coingecko:{required_line(article.url, 2000)}",
        title=required_line(article.title, TITLE_LENGTH),
        published_ns=moment_ns(article.posted_at),
        seen_ns=seen_ns,
        source=one_line(article.source_name or "", 100),
        currencies=codes(_BASES.get(coin, "") for coin in article.related_coin_ids or ()),
        kind=one_line(article.type or "", 20),
        url=web_link(article.url),
    )
