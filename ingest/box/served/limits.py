"""How often a venue lets itself be asked: weights a minute, requests in five seconds, and bans."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.box.binance.rest import WEIGHT_LIMIT, weight
from ingest.box.wire import Asked, Reply, json_reply
from utils.rows import NS_PER_MINUTE, NS_PER_MS, NS_PER_S

_FUNDING_NS = 300 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Limits:
    """The venues' budgets; times are the exchange clock's."""

    binance_weight: int = WEIGHT_LIMIT  # a UTC minute
    binance_patience: int = 20  # requests after the first 429 that are still only refused
    binance_ban_s: float = 120.0
    binance_funding: int = 500  # requests of the funding history in five minutes
    bybit_requests: int = 600  # in five seconds
    bybit_ban_s: float = 600.0


class BinanceBudget:
    """Weight used in the current minute: 429 beyond the budget, 418 for who goes on."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._minute = 0
        self._used = 0
        self._refused = 0
        self._banned_until = 0
        self._funding: tuple[int, int] = (0, 0)  # five-minute window, requests

    def refusal(self, asked: Asked, now_ns: int) -> Reply | None:
        """Count a request; the venue's no when there were too many."""
        if now_ns < self._banned_until:
            return _refused(418, self._banned_until - now_ns, "Way too many requests; IP banned.")
        if now_ns // NS_PER_MINUTE != self._minute:
            self._minute, self._used, self._refused = now_ns // NS_PER_MINUTE, 0, 0
        self._used += weight(asked.path, asked.query.get("limit", ""), asked.query.get("symbol", ""))
        if self._used > self._limits.binance_weight:
            self._refused += 1
            if self._refused > self._limits.binance_patience:
                self._banned_until = now_ns + round(self._limits.binance_ban_s * NS_PER_S)
                return self.refusal(asked, now_ns)
            wait = NS_PER_MINUTE - now_ns % NS_PER_MINUTE
            return _refused(429, wait, "Too many requests; please use the websocket for live updates.")
        if asked.path.startswith("/fapi/v1/funding"):
            window, count = now_ns // _FUNDING_NS, self._funding[1]
            self._funding = (window, count + 1 if window == self._funding[0] else 1)
            if self._funding[1] > self._limits.binance_funding:
                return _refused(429, _FUNDING_NS - now_ns % _FUNDING_NS, "Too many requests.")
        return None

    def headers(self) -> dict[str, str]:
        """What every answer says about the budget."""
        return {"X-MBX-USED-WEIGHT-1M": str(self._used)}


def _refused(status: int, wait_ns: int, message: str) -> Reply:
    reply = json_reply({"code": -1003, "msg": message}, status)
    reply.headers["Retry-After"] = str(-(-wait_ns // NS_PER_S))
    return reply


class BybitBudget:
    """Requests of the last five seconds: 403 beyond the budget, for ten minutes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._window = 0
        self._count = 0
        self._banned_until = 0

    def refusal(self, now_ns: int) -> Reply | None:
        """Count a request; the venue's no when there were too many."""
        window = now_ns // (5 * NS_PER_S)
        self._count = self._count + 1 if window == self._window else 1
        self._window = window
        if self._count > self._limits.bybit_requests:
            self._banned_until = now_ns + round(self._limits.bybit_ban_s * NS_PER_S)
        if now_ns < self._banned_until:
            return Reply(b"<html><body>403 Forbidden: access too frequent.</body></html>", 403, kind="text/html")
        return None

    def headers(self) -> dict[str, str]:
        """What every answer says about the budget."""
        reset_ms = (self._window + 1) * 5 * NS_PER_S // NS_PER_MS
        return {
            "X-Bapi-Limit": str(self._limits.bybit_requests),
            "X-Bapi-Limit-Status": str(max(0, self._limits.bybit_requests - self._count)),
            "X-Bapi-Limit-Reset-Timestamp": str(reset_ms),
        }
