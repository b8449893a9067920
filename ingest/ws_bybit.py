"""Bybit's public linear stream: order book, klines and trades, for code that is not asynchronous.

    from ingest.ws_bybit import ensure_orderbook, get_orderbook_snapshot
    ensure_orderbook("BTCUSDT")
    book = get_orderbook_snapshot("BTCUSDT")

Sockets and thread are those of `ingest.ws_manager`. `BybitFeed` is the asynchronous feed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from ingest.live.feed import LiveFeed
from ingest.wire.streams import Stream
from ingest.ws_manager import WSManager, get_manager
from utils.settings.tree import EndpointSettings, IngestSettings
from utils.types import Bar, Trade

EXCHANGE = "bybit"


class BybitFeed(LiveFeed):
    """`LiveFeed` of Bybit; takes its keywords."""

    def __init__(self, streams: Sequence[Stream], **options: Any) -> None:
        super().__init__(EXCHANGE, streams, **options)


class BybitClient:
    """Reads Bybit's stream from any thread; nothing here touches a socket.

    Args:
        manager: owns the sockets.
    """

    def __init__(self, manager: WSManager) -> None:
        self.manager = manager

    def ensure_orderbook(self, symbol: str, timeout: float | None = None) -> None:
        """Subscribe to `orderbook.50` (or `ingest.book_depth`) of a symbol and wait until its book is live.

        Args:
            symbol: in any spelling.
            timeout: longest wait, s; None = `ingest.timeout_s`.

        Raises:
            DataUnavailable: Bybit refused, or sent nothing in time.
            StaleData: the book was live, and was not again in time.
        """
        self.manager.ensure(EXCHANGE, "orderbook", symbol, timeout=timeout)

    def get_orderbook_snapshot(self, symbol: str) -> dict[str, Any]:
        """The book as it stands: `exchange, symbol, bids, asks, ts, ts_recv, u, age_s, state` (`WSManager.latest`).

        Raises:
            StaleData: it is not live, or older than `ingest.stale_s`; such a book is never returned.
            DataUnavailable: the stream ended for a cause that cannot be repaired.
            ConfigError: it was not subscribed to.
        """
        return cast("dict[str, Any]", self.manager.latest(EXCHANGE, "orderbook", symbol))

    def subscribe_klines(self, symbols: str | Iterable[str], tf: str = "1m") -> None:
        """Begin to receive closed bars."""
        self.manager.subscribe(EXCHANGE, "klines", symbols, tf=tf)

    def get_klines(self, symbol: str, tf: str = "1m") -> tuple[Bar, ...]:
        """The closed bars since the subscription, newest last, at most 1,000."""
        return cast("tuple[Bar, ...]", self.manager.latest(EXCHANGE, "klines", symbol, tf=tf))

    def subscribe_trades(self, symbols: str | Iterable[str]) -> None:
        """Begin to receive trades."""
        self.manager.subscribe(EXCHANGE, "trades", symbols)

    def get_trades(self, symbol: str) -> tuple[Trade, ...]:
        """The trades since the subscription, newest last, at most 1,000."""
        return cast("tuple[Trade, ...]", self.manager.latest(EXCHANGE, "trades", symbol))

    def close(self) -> None:
        """End every stream of the manager, and its thread."""
        self.manager.close()


def get_client(endpoints: EndpointSettings | None = None, settings: IngestSettings | None = None) -> BybitClient:
    """The process's client; see `ingest.ws_manager.get_manager`."""
    return BybitClient(get_manager(endpoints, settings))


def ensure_orderbook(symbol: str, timeout: float | None = None) -> None:
    """`BybitClient.ensure_orderbook` of the process's client."""
    get_client().ensure_orderbook(symbol, timeout)


def get_orderbook_snapshot(symbol: str) -> dict[str, Any]:
    """`BybitClient.get_orderbook_snapshot` of the process's client."""
    return get_client().get_orderbook_snapshot(symbol)
