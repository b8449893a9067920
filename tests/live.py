"""A live run that is told what time it is, and a world for it: no loop, no socket, the product's own parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from backtest.data.market import build_market
from backtest.run.live import begin
from backtest.run.loop import Outcome
from exec.live.closes import Closes
from exec.market import Market
from exec.strategy import Strategy
from exec.trader import Instant
from ingest.files.candles import Candles
from ingest.history import Backfill
from ingest.synthetic import SyntheticFeed
from utils.rows import Rows
from utils.settings.tree import Settings
from utils.types import Bar, BookSnapshot, MarketEvent

SETTINGS = Settings()
#: Bars of the history of `sources`, and all of them.
HISTORY, BARS = 500, 900


def sources() -> list[Candles]:
    """Two symbols of the mock market."""
    feeds = (SyntheticFeed("BTCUSDT", "1m", 3, "large-tick"), SyntheticFeed("ETHUSDT", "1m", 4, "large-tick"))
    return [feed.candles(BARS) for feed in feeds]


def before(world: Sequence[Candles]) -> tuple[list[Candles], Market]:
    """The history as sources and as one market; what comes next is decided on."""
    parts = []
    for one in world:
        rows = one.rows[:HISTORY].copy()
        rows["last"][-1] = 1
        parts.append(dataclasses.replace(one, rows=rows))
    market = build_market(parts, SETTINGS, steps=1)
    return parts, dataclasses.replace(market, starts=tuple(int(one.rows["ts"][-1]) + 1 for one in parts))


def whole(world: Sequence[Candles]) -> Market:
    """All bars as one history, decided on from the same bar."""
    market = build_market(world, SETTINGS, steps=1)
    starts = tuple(int(one.rows["ts"][HISTORY - 1]) + 1 for one in world)
    return dataclasses.replace(market, starts=starts)


def bar_events(world: Sequence[Candles], leave_out: Sequence[tuple[str, int]] = ()) -> Iterator[Bar]:
    """The bars after the history, close by close, the symbols in turn first."""
    for i in range(HISTORY, BARS):
        order = world if i % 2 else world[::-1]
        yield from (Bar.of(one.rows[i], one.symbol, "1m") for one in order if (one.symbol, i) not in leave_out)


def quoted(world: Sequence[Candles]) -> list[BookSnapshot]:
    """A book with a narrow spread for each symbol, before anything else."""
    first = int(world[0].rows["ts"][HISTORY - 1]) + 1
    return [BookSnapshot(one.symbol, first, first, ((1.0, 5.0),), ((1.0001, 5.0),)) for one in world]


def nothing_missed(symbol: str, first: int, last: int) -> Rows:
    raise AssertionError(f"asked for {symbol} {first} to {last}")


class Live:
    """A live run whose clock and missed bars are arguments."""

    def __init__(
        self,
        candles: Sequence[Candles],
        market: Market,
        settings: Settings = SETTINGS,
        strategy: Strategy | None = None,
        *,
        backfill: Backfill = nothing_missed,
    ) -> None:
        self.begun = begin(candles, market, settings, strategy)
        self.trader, self.backfill = self.begun.trader, backfill
        self.closes = Closes(market.symbols, self.trader.last, market.tf_ns)

    def see(self, event: MarketEvent, now_s: float) -> list[Instant]:
        """Something happened; the closes that it completes."""
        if isinstance(event, Bar):
            self.closes.see(event, now_s)
        else:
            self.trader.on_event(event)
        return self.due(now_s)

    def due(self, now_s: float) -> list[Instant]:
        """The closes that are due by now."""
        told = []
        while due := self.closes.due(now_s):
            rows = [self.backfill(*missed) for missed in due.missed]
            told += [self.trader.on_close(bars, late=late) for bars, late in self.closes.instants(due, rows)]
        return told

    def play(self, events: Sequence[MarketEvent]) -> list[Instant]:
        """Events at one moment of the clock."""
        return [instant for event in events for instant in self.see(event, 0.0)]

    def finish(self) -> tuple[Market, Outcome]:
        """The run as a replay decides it."""
        return self.begun.finish()
