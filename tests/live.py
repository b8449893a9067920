"""A live run that is told what time it is, and a world for it: no loop, no socket, the product's own parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from backtest.data.market import build_market
from backtest.run.keeping import Keeper, meta_of
from backtest.run.live import Begun, begin, resumed
from backtest.run.loop import Outcome
from exec.champion import Champion
from exec.live.closes import Closes
from exec.market import Market
from exec.strategy import Strategy
from exec.trader import Instant
from features.live import EventFeatures
from ingest.files.candles import Candles
from ingest.history import Backfill
from ingest.synthetic import SyntheticFeed
from utils.ports import Journal
from utils.records.moment import Meta
from utils.records.sqlite import SqliteJournal
from utils.rows import NS_PER_MINUTE, Rows
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


def begun_with(
    settings: Settings,
    market: Market,
    *,
    strategy: bool = False,
    closes: int | None = None,
    models: Sequence[str] = (),
) -> Meta:
    """What a live run on this market says of itself, as if Bybit had brought it."""
    asked = {"exchange_for_ob": "bybit", "closes": closes, "strategy": strategy, "models": list(models)}
    market = dataclasses.replace(market, sources=("bybit",) * len(market.symbols))
    return meta_of(market, settings, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), asked)


class Live:
    """A live run whose clock and missed bars are arguments.

    Args:
        candles: the history of each symbol.
        market: the same as one market.
        settings: parameters.
        strategy: a user's function; None = the default strategy.
        backfill: what REST has.
        journal: each close is kept there.
        model: judges what the default strategy wants.
    """

    def __init__(
        self,
        candles: Sequence[Candles],
        market: Market,
        settings: Settings = SETTINGS,
        strategy: Strategy | None = None,
        *,
        backfill: Backfill = nothing_missed,
        journal: Journal | None = None,
        model: Champion | None = None,
    ) -> None:
        begun = begin(candles, market, settings, strategy, model=model)
        rows, history = begun.trader.drain(), begun.trader.past.first
        self._follow(begun, backfill, None if journal is None else Keeper(journal, begun.trader, history, rows))

    @classmethod
    def going_on(
        cls,
        home: Path,
        settings: Settings = SETTINGS,
        strategy: Strategy | None = None,
        *,
        backfill: Backfill = nothing_missed,
        model: Champion | None = None,
    ) -> Live:
        """A run that was killed, from its folder."""
        journal, recovery = SqliteJournal.resume(home)
        run = cls.__new__(cls)
        events = EventFeatures(recovery.meta.symbols, [0, 0], NS_PER_MINUTE)
        begun = resumed(recovery, settings, strategy, events, model)
        run._follow(begun, backfill, Keeper(journal, begun.trader))
        return run

    def _follow(self, begun: Begun, backfill: Backfill, keep: Keeper | None) -> None:
        self.begun, self.trader, self.backfill, self.keep = begun, begun.trader, backfill, keep
        self.closes = Closes(self.trader.market.symbols, self.trader.last, self.trader.market.tf_ns)

    def see(self, event: MarketEvent, now_s: float) -> list[Instant]:
        """Something happened; the closes that it completes."""
        self.trader.on_event(event)
        if isinstance(event, Bar):
            self.closes.see(event, now_s)
        return self.due(now_s)

    def due(self, now_s: float) -> list[Instant]:
        """The closes that are due by now."""
        told = []
        while due := self.closes.due(now_s):
            rows = [self.backfill(*missed) for missed in due.missed]
            for bars, late in self.closes.instants(due, rows):
                told.append(self.trader.on_close(bars, late=late))
                if self.keep is not None:
                    self.keep(told[-1])
        return told

    def play(self, events: Sequence[MarketEvent]) -> list[Instant]:
        """Events at one moment of the clock."""
        return [instant for event in events for instant in self.see(event, 0.0)]

    def finish(self) -> tuple[Market, Outcome]:
        """The run as a replay decides it."""
        return self.begun.finish()
