"""Real markets: history by REST, then bars and books as the stream brings them, one close at a time.

What a live run decided bar by bar is what a replay of its bars decides: when it ends, the engine is turned once more
over all of them, and the log files are written from that. A user's strategy is asked once more over all of them too;
where it answers otherwise than it did, that is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from backtest.data.manifest import describe
from backtest.data.market import build_market
from backtest.run.loop import Outcome, Watch, simulate
from backtest.run.report import conclude, journal_of
from backtest.run.result import SimulationResult
from exec.asking import LiveStrategy
from exec.live.follow import Follower
from exec.market import Market
from exec.strategy import Strategy
from exec.trader import Instant, Trader
from features.live import EventFeatures, load_folds
from features.registry import feature_set
from ingest.files.candles import Candles, gaps_of
from ingest.history import fetch_candles, listed, rest_backfill
from ingest.live.market import MarketFeed
from utils.errors import ConfigError, ScalperError
from utils.market.symbols import normalise_symbol
from utils.market.timeframes import MONDAY, TIMEFRAMES, normalise_timeframe
from utils.records.files import FileJournal
from utils.rows import Rows
from utils.settings.tree import Settings
from utils.shell.aside import aside

#: Without `live`, bars that closed while the history was fetched are taken from the stream for so long, s.
CAUGHT_UP_S = 0.5


def history(names: Sequence[str], tf: str, steps: int, settings: Settings) -> tuple[Candles, ...]:
    """The last closed candles of each symbol: `steps` to decide on, and the warm-up before them."""
    warmup = settings.simulation.warmup_bars
    bars = steps + (feature_set().warmup if warmup is None else warmup)
    return tuple(fetch_candles(name, tf, bars, settings) for name in names)


def market_of(candles: Sequence[Candles], settings: Settings, steps: int) -> Market:
    """The candles as one market, with ticks, lots and least orders as the exchange lists them."""
    listings = {one.symbol: listed(one.symbol, settings) for one in candles}
    return build_market(candles, settings, steps=steps, listings=listings)


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A live run whose history has been seen: what it goes on with, and what it is concluded from."""

    candles: Sequence[Candles]  # the history of each symbol, in order of name
    trader: Trader
    settings: Settings

    def finish(self) -> tuple[Market, Outcome]:
        """The run as a replay of its bars decides it: the same, and what was open is closed with the last ones."""
        past, signaller = self.trader.past, self.trader.signaller
        market = past.market()
        parts = [market.bars[market.bars["sym"] == sym] for sym in range(len(self.candles))]
        files = tuple(describe(_with_rows(one, part)) for one, part in zip(self.candles, parts, strict=True))
        market = dataclasses.replace(market, files=files)
        outcome = simulate(market, self.settings, signals=past.signals, live=True)
        verdict = self.trader.review()
        if verdict is not None:
            return market, dataclasses.replace(outcome, answers=verdict.row())
        return market, dataclasses.replace(outcome, funnel=signaller.funnel(), unavailable=signaller.unavailable())


def begin(
    candles: Sequence[Candles],
    market: Market,
    settings: Settings,
    strategy: Strategy | None,
    events: EventFeatures | None = None,
) -> Begun:
    """A live run at the end of its history.

    Args:
        candles: the history of each symbol, in order of name.
        market: the same as one market; bars that close after its `starts` are decided on.
        settings: parameters.
        strategy: a user's function; None = the default strategy.
        events: the folds of books and prints, if they have begun to listen.

    Raises:
        ConfigError: the strategy's lookback is wrong, as far as the history tells.
        DataError: the strategy answered with what is no signal rows.
    """
    bars = market.bars.copy()
    bars["last"] = 0  # the history goes on
    market = dataclasses.replace(market, bars=bars)
    asked = None if strategy is None else LiveStrategy(strategy, market)
    trader = Trader(market, settings, live=True, asked=asked, events=events, remember=True)
    trader.on_bars(bars, None if asked is None else asked.signals)
    return Begun(candles, trader, settings)


def _with_rows(candles: Candles, rows: Rows) -> Candles:
    """The same source with these rows."""
    return dataclasses.replace(
        candles,
        rows=rows,
        sha256=hashlib.sha256(rows.tobytes()).hexdigest(),
        gaps=gaps_of(rows),
        zero_volume=int(np.count_nonzero(rows["volume"] == 0.0)),
    )


class Streamed:
    """A run on an exchange's stream, from its opening to the log files; arguments as of `run_simulation`."""

    def __init__(
        self,
        names: Sequence[str],
        tf: str,
        exchange_for_ob: str,
        steps: int | None,
        settings: Settings,
        *,
        live: bool,
        logs_dir: str | Path | None,
        strategy: Strategy | None,
        watch: Watch | None,
        tell: Callable[[Instant], None] | None,
    ) -> None:
        self._names, self._tf, self._exchange_for_ob, self._settings = names, tf, exchange_for_ob, settings
        self._closes = steps if live else None
        self._for_s = None if live else CAUGHT_UP_S
        self._history = 1 if live else settings.simulation.steps if steps is None else steps
        self._live, self._logs_dir, self._strategy = live, logs_dir, strategy
        self._watch, self._tell = watch, tell
        self._clock, self._started = time.perf_counter(), datetime.now(tz=UTC)
        self._begun: Begun | None = None
        self._journal: FileJournal | None = None

    def result(self) -> SimulationResult:
        """Follow the stream until it is enough, then keep what was decided, however it ended."""
        load_folds()
        lost: ScalperError | None = None
        interrupted = False
        with contextlib.ExitStack() as kept:
            try:
                asyncio.run(self._follow(kept))
            except KeyboardInterrupt:
                interrupted = True
            except ScalperError as error:
                lost = error
            result = self._concluded()
            if result is None:  # ended before the first bar closed: there is nothing to keep
                raise lost or KeyboardInterrupt
        if lost is not None:
            raise type(lost)(f"{lost}; what was decided until then stands in {result.report['logs']['run']}")
        return dataclasses.replace(result, interrupted=interrupted)

    async def _follow(self, kept: contextlib.ExitStack) -> None:
        names, tf, settings = self._names, self._tf, self._settings
        # any close will do to count from: until the history is there nobody knows the next one
        events = EventFeatures(names, [MONDAY] * len(names), TIMEFRAMES[tf])
        # the stream opens first, so that no bar can close between the history and it
        async with MarketFeed(names, tf, self._exchange_for_ob, settings) as feed:
            candles = await aside(history, names, tf, self._history, settings)
            market = await aside(market_of, candles, settings, self._history)
            if self._live:
                after = tuple(int(one.rows["ts"][-1]) + 1 for one in candles)
                market = dataclasses.replace(market, starts=after)
            self._journal = kept.enter_context(journal_of(market, settings, self._logs_dir, self._started))
            self._begun = begin(candles, market, settings, self._strategy, events)
            first = self._begun.trader.drain()
            if self._watch is not None:
                self._watch(len(market.bars), first)
            backfill = rest_backfill(tf, settings)

            async def fetch(symbol: str, first: int, last: int) -> Rows:
                return await aside(backfill, symbol, first, last)

            follower = Follower(self._begun.trader, fetch, closes=self._closes, tell=self._tell)
            await follower.follow(feed, self._for_s)

    def _concluded(self) -> SimulationResult | None:
        if self._begun is None or self._journal is None:
            return None
        whole, outcome = self._begun.finish()
        if len(whole.decided) == 0:
            return None
        return conclude(whole, self._settings, outcome, self._journal, self._started, self._clock)


def run_on_exchange(
    symbols: str,
    tf: str,
    exchange_for_ob: str,
    steps: int | None,
    settings: Settings,
    *,
    use_ws: bool,
    live: bool,
    logs_dir: str | Path | None,
    strategy: Strategy | None,
    watch: Watch | None,
    tell: Callable[[Instant], None] | None,
) -> SimulationResult:
    """`run_simulation` on real data: see there."""
    names, tf = sorted({normalise_symbol(name) for name in symbols.split(",")}), normalise_timeframe(tf)
    if live or use_ws:
        refuse_loop()
        return Streamed(
            names, tf, exchange_for_ob, steps, settings,
            live=live, logs_dir=logs_dir, strategy=strategy, watch=watch, tell=tell,
        ).result()  # fmt: skip
    clock, started = time.perf_counter(), datetime.now(tz=UTC)
    wanted = settings.simulation.steps if steps is None else steps
    market = market_of(history(names, tf, wanted, settings), settings, wanted)
    with journal_of(market, settings, logs_dir, started) as journal:
        return conclude(market, settings, simulate(market, settings, strategy, watch), journal, started, clock)


def refuse_loop() -> None:
    """A live run has an event loop of its own, and a thread can have but one.

    Raises:
        ConfigError: one runs here already, as in a notebook.
    """
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise ConfigError(
            "live: expected a thread without an event loop, saw one that runs; "
            "await asyncio.to_thread(run_simulation, ...) instead"
        )
