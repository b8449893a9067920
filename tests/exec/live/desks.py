"""A desk on an exchange in a box, and what a test needs to ask it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from backtest.data.market import build_market
from backtest.run.live import history, market_of
from exec.champion import Champion
from exec.live.desk import Desk
from exec.live.following import Followed, History
from exec.market import Market
from ingest.files.candles import load_candles
from ingest.history import listed
from ingest.replay_server import ReplayServer
from utils.settings.tree import EndpointSettings, Settings

#: So little history that a box has it, and patience that a test has.
API = {"history_bars": 50, "timeout_s": 120.0}
QUICK = {"retries": 1, "backoff_s": 0.02, "backoff_max_s": 0.2, "timeout_s": 2.0, "stale_s": 2.0}
WARMUP = 30


class Models:
    """No model, and why; or one that serves."""

    def __init__(self) -> None:
        self.model: Champion | None = None
        self.why = "none is enabled"

    def of(self, _symbol: str, _tf: str) -> tuple[Champion | None, str]:
        return self.model, self.why


def settings_at(endpoints: EndpointSettings | None, *, api: dict[str, Any], **ingest: Any) -> Settings:
    """Settings of Bybit at these addresses."""
    plain = Settings()
    update = {
        "market": plain.market.model_copy(update={"exchange": "bybit"}),
        "api": plain.api.model_copy(update=API | api),
        "ingest": plain.ingest.model_copy(update=QUICK | ingest),
        "simulation": plain.simulation.model_copy(update={"warmup_bars": WARMUP}),
    }
    return plain.model_copy(update=update | ({} if endpoints is None else {"endpoints": endpoints}))


class ByRest:
    """The past of markets as an exchange has it, or a file, without a process of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.asked: list[str] = []  # who was asked for

    def market(self, symbol: str, tf: str) -> Market:
        self.asked.append(symbol)
        steps = self.settings.api.history_bars - WARMUP
        return market_of(history([symbol], tf, steps, self.settings), self.settings, steps)

    def listing(self, symbol: str) -> str:
        self.asked.append(symbol)
        return listed(symbol, self.settings).symbol

    def tape(self) -> Market:
        path = Path(self.settings.api.source.removeprefix("tape:"))
        return build_market([load_candles(path)], self.settings)

    def close(self) -> None:
        pass


@contextlib.asynccontextmanager
async def desk_at(
    box: ReplayServer,
    *,
    endpoints: EndpointSettings | None = None,
    past: Callable[[Settings], History] = ByRest,
    now_ns: Callable[[], int] | None = None,
    api: dict[str, Any] | None = None,
    **ingest: Any,
) -> AsyncIterator[Desk]:
    """A desk that follows a box, by the box's clock."""
    settings = settings_at(endpoints or box.endpoints, api=api or {}, **ingest)
    clock = now_ns or (lambda: box.now_ns)
    async with Desk(settings, Models(), past(settings), now_ns=clock) as desk:
        yield desk


def only(desk: Desk) -> Followed:
    """The one market that is followed."""
    (market,) = desk.markets()
    return market
