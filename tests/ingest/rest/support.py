"""What the tests of REST share: a box in a thread, settings that do not wait, and venues closed afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import ccxt  # noqa: F401 - now, as what it silences would be heard if the box's thread warned while it is imported

from ingest.prices import get_ohlcv
from ingest.replay_server import ReplayServer
from ingest.rest.venue import close_venues, venue
from tests.boxes import box_in_thread
from utils.settings.tree import IngestSettings

#: Three attempts, hardly any wait between them.
QUICK = IngestSettings(retries=3, backoff_s=0.001, backoff_max_s=0.01, timeout_s=5.0)
VENUES = ("binance", "bybit")


@contextlib.contextmanager
def rest_box(**settings: Any) -> Iterator[ReplayServer]:
    """A box of BTCUSDT with three hours behind it, its market made, known to a venue of each exchange."""
    with box_in_thread(**{"symbols": ("BTCUSDT",), "history_hours": 3.0} | settings) as box:
        patient = QUICK.model_copy(update={"timeout_s": 120.0})  # the first market waits for the compiler
        try:
            for exchange in VENUES:
                get_ohlcv("BTCUSDT", "1m", exchange, limit=5, endpoints=box.endpoints, settings=patient)
            yield box
        finally:
            close_venues()


def unthrottled(box: ReplayServer) -> ReplayServer:
    """The box, which may be asked faster than ccxt asks an exchange."""
    for exchange in VENUES:
        venue(exchange, "futures", box.endpoints).client.enableRateLimit = False
    return box


def paths(box: ReplayServer, part: str) -> list[str]:
    """Paths of the requests that the box has seen and that hold `part`."""
    return [request.path for request in list(box.requests) if part in request.path]
