"""Headlines and reference data in the shapes of CryptoPanic and CoinGecko, tied to the box's clock and prices.

The keys are placeholders, good for nothing but this box.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from ingest.box.floor.exchange import Exchange
from ingest.box.floor.market import Market
from ingest.box.wire import Asked, Refused, Reply, json_reply, whole_number
from utils.rows import MS_PER_DAY, NS_PER_MS, NS_PER_S

CRYPTOPANIC_TOKEN = "placeholder-cryptopanic"  # noqa: S105 - opens only this box
COINGECKO_DEMO_KEY = "placeholder-coingecko-demo"
COINGECKO_PRO_KEY = "placeholder-coingecko-pro"
#: A headline comes so often, at the most.
EVERY_NS = 600 * NS_PER_S
PAGE = 20
#: CryptoPanic pages no further back.
MOST_PAGES = 10
_FILTERS = ("rising", "hot", "bullish", "bearish", "important", "saved", "lol")
_KINDS = ("news", "media", "all")
_TEMPLATES = (
    "{coin} climbs as traders return",
    "{coin} slips after a quiet session",
    "Exchange lists new {coin} contracts",
    "Analysts disagree about {coin}",
    "{coin} funding turns, open interest steady",
    "Large {coin} transfer noticed",
)
_NAMES = {
    "BTC": "bitcoin",
    "ETH": "ethereum",
    "SOL": "solana",
    "DOGE": "dogecoin",
    "XRP": "ripple",
    "BNB": "binancecoin",
}


def coin_of(symbol: str) -> str:
    """The base of a symbol."""
    return symbol.removesuffix("USDT")


def coin_id(symbol: str) -> str:
    """CoinGecko's id of a symbol's base."""
    return _NAMES.get(coin_of(symbol), coin_of(symbol).lower())


def iso(ns: int) -> str:
    """A time as these services write it."""
    return datetime.fromtimestamp(ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class CryptoPanic:
    """`/api/v1/posts/` and `/api/<plan>/v2/posts/`: posts, newest first, twenty a page."""

    def __init__(self, exchange: Exchange, seed: int) -> None:
        self._exchange = exchange
        self._seed = seed

    def knows(self, path: str) -> bool:
        """Whether there is such a path."""
        parts = path.strip("/").split("/")
        return path.endswith("/posts/") and parts[0] == "api" and parts[1:-1] in (["v1"], *_PLANS)

    def reply(self, asked: Asked, root: str) -> Reply:
        """The answer to a request; `root` is the address the client used."""
        try:
            return json_reply(self._posts(asked, root))
        except Refused as refused:
            asked.refused()
            return refused.reply

    def _posts(self, asked: Asked, root: str) -> dict[str, Any]:
        if asked.text("auth_token") != CRYPTOPANIC_TOKEN:
            raise _panic(401, "Invalid or missing auth_token")
        for name, known in (("filter", _FILTERS), ("kind", _KINDS)):
            if asked.text(name, known[0]) not in known:
                raise _panic(400, f"{name}: expected one of {', '.join(known)}")
        for name in ("public", "regions", "following", "format"):
            asked.text(name)
        coins = {coin for coin in asked.text("currencies").upper().split(",") if coin}
        number = whole_number(asked.text("page", "1")) or 0
        if not 1 <= number <= MOST_PAGES:
            raise _panic(404, "Invalid page")
        v1 = asked.path.startswith("/api/v1/")
        numbers = self._numbers(coins, number * PAGE + 1)
        found = [self._post(i, v1=v1) for i in numbers[(number - 1) * PAGE : number * PAGE]]
        onward = number + 1 if len(numbers) > number * PAGE and number < MOST_PAGES else 0
        links = {"next": self._link(asked, root, onward), "previous": self._link(asked, root, number - 1)}
        return ({"count": len(numbers)} if v1 else {}) | links | {"results": found}

    def _link(self, asked: Asked, root: str, page: int) -> str | None:
        return f"{root}{asked.path}?{urlencode(dict(asked.query) | {'page': page})}" if page > 0 else None

    def _numbers(self, coins: set[str], most: int) -> list[int]:
        """Numbers of the posts that are out and name one of the coins, newest first."""
        newest = self._exchange.now // EVERY_NS
        return [
            i
            for i in range(newest, newest - 6 * 24 * 7, -1)
            if self._at(i) <= self._exchange.now and (not coins or coin_of(self._symbol(i)) in coins)
        ][:most]

    def _dice(self, i: int) -> random.Random:
        return random.Random(zlib.crc32(f"{self._seed} {i}".encode()))

    def _at(self, i: int) -> int:
        return i * EVERY_NS + self._dice(i).randrange(EVERY_NS)

    def _symbol(self, i: int) -> str:
        return self._exchange.symbols[zlib.crc32(str(i).encode()) % len(self._exchange.symbols)]

    def _post(self, i: int, *, v1: bool) -> dict[str, Any]:
        dice, at, coin = self._dice(i), self._at(i), coin_of(self._symbol(i))
        title = dice.choice(_TEMPLATES).format(coin=coin)
        slug = title.replace(" ", "-").replace(",", "")
        name = coin_id(self._symbol(i))
        currency = {"code": coin, "title": name.title(), "slug": name, "url": f"https://cryptopanic.com/news/{name}/"}
        votes = ("negative", "positive", "important", "liked", "disliked", "lol", "toxic", "saved", "comments")
        return {
            "kind": "news",
            "source": {"title": "The Daily Box", "region": "en", "domain": "box.example", "type": "feed"},
            "title": title,
            "published_at": iso(at),
            "slug": slug,
            "currencies" if v1 else "instruments": [currency],
            "id": 20_000_000 + i,
            "url": f"https://cryptopanic.com/news/{20_000_000 + i}/{slug}",
            "original_url": f"https://box.example/{slug}",
            "created_at": iso(at),
            "description": f"{title}. Nothing of this has happened.",
            "votes": {vote: dice.randrange(12) for vote in votes},
        }


_PLANS = [[plan, "v2"] for plan in ("developer", "growth", "enterprise")]


def _panic(status: int, info: str) -> Refused:
    return Refused(json_reply({"status": "api_error", "info": info}, status))


class CoinGecko:
    """`/api/v3` with a demo key or none, and the same under the paid root; `/news` is for paid keys only."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._paths: dict[str, Callable[[Asked], object]] = {
            "ping": lambda _: {"gecko_says": "(V3) To the Moon!"},
            "simple/price": self._price,
            "coins/markets": self._markets,
            "coins/list": self._list,
            "global": self._global,
            "news": self._news,
        }

    def knows(self, path: str) -> bool:
        """Whether there is such a path."""
        name = _name(path)
        return path.startswith("/api/v3/") and (name in self._paths or _chart_of(name) != "")

    def reply(self, asked: Asked, *, paid: bool) -> Reply:
        """The answer to a request; `paid` says at which root it was asked."""
        name = _name(asked.path)
        try:
            self._admit(asked, name, paid=paid)
            chart = _chart_of(name)
            return json_reply(self._chart(asked, chart) if chart else self._paths[name](asked))
        except Refused as refused:
            asked.refused()
            return refused.reply

    def _admit(self, asked: Asked, name: str, *, paid: bool) -> None:
        demo = asked.headers.get("x-cg-demo-api-key") or asked.text("x_cg_demo_api_key")
        pro = asked.headers.get("x-cg-pro-api-key") or asked.text("x_cg_pro_api_key")
        if paid and not pro:
            raise (
                _gecko(401, 10011, "This request is for the paid root, and the key is a demo key.")
                if demo
                else (_gecko(401, 10002, "API Key Missing"))
            )
        if pro and not paid:
            raise _gecko(400, 10010, "Pro API keys belong to the root https://pro-api.coingecko.com/api/v3/.")
        if (pro or demo) not in {None, "", COINGECKO_PRO_KEY if paid else COINGECKO_DEMO_KEY}:
            raise _gecko(401, 10011 if paid else 10002, "The API key is not known.")
        if name == "news" and not paid:
            raise _gecko(401, 10005, "This request is limited to paid API subscribers.")

    # --- answers

    def _of(self, ids: str) -> list[Market]:
        names = [symbol for symbol in self._exchange.symbols if not ids or coin_id(symbol) in ids.split(",")]
        return [self._exchange.market(symbol) for symbol in names]

    def _dollars(self, asked: Asked, name: str) -> None:
        if not asked.text(name):
            raise _gecko(422, 422, f"Missing parameter {name}")
        if "usd" not in asked.text(name).lower().split(","):
            raise _gecko(400, 400, "invalid vs_currency")

    def _price(self, asked: Asked) -> dict[str, Any]:
        self._dollars(asked, "vs_currencies")
        if not asked.text("ids"):
            raise _gecko(422, 422, "Missing parameter ids")
        asked.text("include_market_cap")
        found: dict[str, Any] = {}
        for market in self._of(asked.text("ids")):
            row = {"usd": _last(market)}
            if asked.text("include_24hr_vol") == "true":
                row["usd_24h_vol"] = float(market.grid.value(market.day().value))
            if asked.text("include_24hr_change") == "true":
                row["usd_24h_change"] = _change_percent(market)
            if asked.text("include_last_updated_at") == "true":
                row["last_updated_at"] = self._exchange.now // NS_PER_S
            found[coin_id(market.symbol)] = row
        return found

    def _markets(self, asked: Asked) -> list[dict[str, Any]]:
        self._dollars(asked, "vs_currency")
        for name in ("order", "per_page", "page", "sparkline", "price_change_percentage", "locale"):
            asked.text(name)
        return [
            {
                "id": coin_id(market.symbol),
                "symbol": coin_of(market.symbol).lower(),
                "name": coin_id(market.symbol).title(),
                "current_price": _last(market),
                "market_cap": None,
                "total_volume": float(market.grid.value(market.day().value)),
                "high_24h": float(market.grid.price(market.day().high)),
                "low_24h": float(market.grid.price(market.day().low)),
                "price_change_percentage_24h": _change_percent(market),
                "last_updated": iso(self._exchange.now),
            }
            for market in self._of(asked.text("ids"))
        ]

    def _list(self, asked: Asked) -> list[dict[str, str]]:
        asked.text("include_platform")
        coins = [(coin_id(symbol), coin_of(symbol)) for symbol in self._exchange.symbols]
        # symbols are not unique there: somebody always copies the famous
        coins += [(f"{name}-copy", coin) for name, coin in coins]
        return [{"id": name, "symbol": coin.lower(), "name": name.title()} for name, coin in coins]

    def _global(self, asked: Asked) -> dict[str, Any]:
        del asked
        volume = sum(float(market.grid.value(market.day().value)) for market in self._of(""))
        data = {
            "active_cryptocurrencies": 2 * len(self._exchange.symbols),
            "total_volume": {"usd": volume},
            "updated_at": self._exchange.now // NS_PER_S,
        }
        return {"data": data}

    def _chart(self, asked: Asked, name: str) -> dict[str, Any]:
        self._dollars(asked, "vs_currency")
        asked.text("interval")
        asked.text("precision")
        days = whole_number(asked.text("days")) or 0
        if not 1 <= days <= 365:
            raise _gecko(422, 422, "Missing parameter days")
        markets = self._of(name)
        if not markets:
            raise _gecko(404, 404, "coin not found")
        market, now_ms = markets[0], self._exchange.now // NS_PER_MS
        rows = market.candles_of("5m" if days <= 1 else "1h", now_ms - days * MS_PER_DAY, now_ms)
        prices = [[row.open_ms, float(market.grid.price(row.open))] for row in rows]
        volumes = [[row.open_ms, float(market.grid.value(row.value))] for row in rows]
        return {"prices": prices, "market_caps": [], "total_volumes": volumes}

    def _news(self, asked: Asked) -> list[dict[str, Any]]:
        page, size = (whole_number(asked.text(name, usual)) or 0 for name, usual in (("page", "1"), ("per_page", "10")))
        for name in ("coin_id", "language", "type"):
            asked.text(name)
        if not (1 <= page <= 20 and 1 <= size <= 20):
            raise _gecko(422, 422, "page is 1 to 20, per_page is 1 to 20")
        newest = self._exchange.now // EVERY_NS - (page - 1) * size
        return [
            {
                "title": f"Market note {i}",
                "url": f"https://box.example/notes/{i}",
                "image": "",
                "author": "The Daily Box",
                "posted_at": iso(i * EVERY_NS),
                "type": "news",
                "source_name": "The Daily Box",
                "related_coin_ids": [coin_id(self._exchange.symbols[i % len(self._exchange.symbols)])],
            }
            for i in range(newest, newest - size, -1)
        ]


def _name(path: str) -> str:
    return path.removeprefix("/api/v3/").rstrip("/")


def _chart_of(name: str) -> str:
    """The coin of a chart's path; "" for other paths."""
    parts = name.split("/")
    return parts[1] if len(parts) == 3 and parts[0] == "coins" and parts[2] == "market_chart" else ""


def _last(market: Market) -> float:
    return float(market.grid.price(market.last_tick))


def _change_percent(market: Market) -> float:
    day = market.day()
    return 100.0 * (day.close - day.open) / day.open


def _gecko(status: int, code: int, message: str) -> Refused:
    return Refused(json_reply({"status": {"error_code": code, "error_message": message}}, status))
