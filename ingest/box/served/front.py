"""The box's front desk: which view answers a request, what it costs, and what goes wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ingest.box.binance.rest import BinanceRest
from ingest.box.bybit.rest import BybitRest
from ingest.box.faults.answers import delivered
from ingest.box.faults.desk import Desk
from ingest.box.floor.exchange import Exchange
from ingest.box.floor.market import Market
from ingest.box.news import CoinGecko, CryptoPanic
from ingest.box.served.limits import BinanceBudget, BybitBudget, Limits
from ingest.box.topics import Topics
from ingest.box.wire import Asked, Reply

#: CoinGecko's paid root is known by its host, or by this in front of the path.
PRO_PATH, PRO_HOST = "/pro", "pro-api.coingecko.com"


class Front:
    """All REST views behind one door."""

    def __init__(self, exchange: Exchange, bybit: Topics, desk: Desk, limits: Limits, seed: int) -> None:
        self.unknown: list[str] = []  # paths and parameters that no view knows
        self._exchange = exchange
        self._desk = desk
        self._bybit = BybitRest(exchange, bybit)
        self._binance = BinanceRest(exchange)
        self._panic = CryptoPanic(exchange, seed)
        self._gecko = CoinGecko(exchange)
        self._bybit_budget = BybitBudget(limits)
        self._binance_budget = BinanceBudget(limits)

    def venue(self, path: str) -> str:
        """Who answers a path; "" = nobody."""
        plain = path.removeprefix(PRO_PATH) if path.startswith(f"{PRO_PATH}/api/v3/") else path
        views = (
            ("bybit", self._bybit.knows),
            ("binance", self._binance.knows),
            ("cryptopanic", self._panic.knows),
            ("coingecko", self._gecko.knows),
        )
        return next((name for name, knows in views if knows(plain)), "")

    def reply(self, method: str, asked: Asked, root: str) -> Reply:
        """The answer to a request; `root` is the address the client used."""
        venue = self.venue(asked.path)
        if not venue or method != "GET":
            self.unknown.append(f"{method} {asked.path}")
            return Reply(b"Not Found", 404, kind="text/plain")
        now = self._exchange.now
        reply = self._answer(venue, asked, root, now)
        self.unknown += [f"{method} {asked.path}?{name}" for name in asked.unread()]
        return delivered(self._desk, venue, asked, reply, self._market(asked), now)

    def _answer(self, venue: str, asked: Asked, root: str, now_ns: int) -> Reply:
        if venue == "binance":
            refused, headers = self._binance_budget.refusal(asked, now_ns), self._binance_budget.headers()
            return _with(headers, refused, asked, self._binance.reply)
        if venue == "bybit":
            refused, headers = self._bybit_budget.refusal(now_ns), self._bybit_budget.headers()
            return _with(headers, refused, asked, self._bybit.reply)
        if venue == "cryptopanic":
            return self._panic.reply(asked, root)
        paid = asked.path.startswith(f"{PRO_PATH}/") or asked.headers.get("host", "").startswith(PRO_HOST)
        asked.path = asked.path.removeprefix(PRO_PATH)
        return self._gecko.reply(asked, paid=paid)

    def _market(self, asked: Asked) -> Market | None:
        """The market that a request names."""
        symbol = asked.query.get("symbol", "")
        return self._exchange.market(symbol) if symbol in self._exchange.symbols else None


def _with(headers: dict[str, str], refused: Reply | None, asked: Asked, answer: Callable[[Asked], Reply]) -> Reply:
    """The refusal or the answer, with what the venue says about its budget."""
    if refused is not None:
        asked.refused()
    reply = refused or answer(asked)
    return replace(reply, headers=reply.headers | headers)
