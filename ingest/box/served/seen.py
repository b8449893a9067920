"""What a box tells about its clients and its market."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ingest.box.floor.market import Candle, Market, Side
from utils.rows import Level


class RequestSeen(NamedTuple):
    """A request a client made."""

    method: str
    path: str
    query: dict[str, str]
    status: int
    at: float  # s, time.monotonic


class FrameSeen(NamedTuple):
    """A frame a client sent; PING, PONG and CLOSE stand for the protocol's own."""

    connection: str
    venue: str
    text: str
    at: float  # s, time.monotonic


@dataclass(slots=True)
class Connections:
    """How many sockets there are and were."""

    open: int = 0
    total: int = 0
    refused: int = 0  # whose handshake a fault struck
    by_venue: dict[str, int] = field(default_factory=dict)


class CandleSeen(NamedTuple):
    """A candle as every view shows it; prices quote, volumes base."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    taker_buy_volume: float
    trades: int


def candle_seen(market: Market, row: Candle) -> CandleSeen:
    """A candle in numbers."""
    price, qty = market.grid.price, market.grid.qty
    return CandleSeen(
        open_ms=row.open_ms,
        open=float(price(row.open)),
        high=float(price(row.high)),
        low=float(price(row.low)),
        close=float(price(row.close)),
        volume=float(qty(row.lots)),
        taker_buy_volume=float(qty(row.bought)),
        trades=row.trades,
    )


def levels_seen(market: Market, side: Side, levels: int) -> tuple[Level, ...]:
    """The best levels of a side as prices and quantities."""
    price, qty = market.grid.price, market.grid.qty
    return tuple((float(price(side.sign * tick)), float(qty(lots))) for tick, lots in side.top(levels).items())
