"""Real markets: history by REST, then bars and books as the stream brings them, one instant at a time.

What a live run decided bar by bar is what a replay of its bars decides: when it ends, the engine is turned once more
over all of them, and the log files are written from that. A user's strategy is asked once more over all of them too;
where it answers otherwise than it did, that is said.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from backtest.data.manifest import describe
from backtest.data.market import build_market
from backtest.run.loop import Outcome, Watch, simulate
from backtest.run.report import conclude, journal_of
from backtest.run.result import SimulationResult
from exec.asking import LiveStrategy
from exec.engine import JournalRows
from exec.market import Market
from exec.strategy import Strategy
from exec.trader import Instant, Trader
from features.live import load_folds
from features.registry import feature_set
from ingest.files.candles import Candles, gaps_of
from ingest.history import Backfill, fetch_candles, listed, rest_backfill
from ingest.live.thread import MarketStream
from utils.errors import ScalperError
from utils.market.symbols import normalise_symbol
from utils.market.timeframes import normalise_timeframe
from utils.rows import BAR, NS_PER_S, Rows
from utils.settings.tree import Settings
from utils.types import Bar, MarketEvent

#: Bars of one close may arrive so far apart; then the missing ones are asked for by REST, s.
GRACE_S = 5.0
#: A bar so long after it should have closed is asked for by REST, s; if the exchange is gone, that says so.
OVERDUE_S = 30.0
#: Longest wait for an event before the clock is looked at, s.
PATIENCE_S = 0.5


class EventSource(Protocol):
    """A live stream as this thread reads it."""

    def get(self, timeout_s: float) -> MarketEvent | None:
        """The next event; None when none came in time."""
        ...


def history(symbols: str, tf: str, steps: int, settings: Settings) -> tuple[Candles, ...]:
    """The last closed candles of each symbol: `steps` to decide on, and the warm-up before them."""
    warmup = settings.simulation.warmup_bars
    bars = steps + (feature_set().warmup if warmup is None else warmup)
    names = sorted({normalise_symbol(name) for name in symbols.split(",")})
    return tuple(fetch_candles(name, normalise_timeframe(tf), bars, settings) for name in names)


def market_of(candles: Sequence[Candles], settings: Settings, steps: int) -> Market:
    """The candles as one market, with ticks, lots and least orders as the exchange lists them."""
    listings = {one.symbol: listed(one.symbol, settings) for one in candles}
    return build_market(candles, settings, steps=steps, listings=listings)


class LiveRun:
    """Features, signals and engine of a live run: fed with events, it decides at every close.

    Args:
        candles: the history of each symbol, in order of name.
        market: the same as one market; bars that close after its `starts` are decided on.
        settings: parameters.
        strategy: a user's function; None = the default strategy.
        backfill: asks for bars that the stream missed.

    Raises:
        ConfigError: the strategy's lookback is wrong, as far as the history tells.
        DataError: the strategy answered with what is no signal rows.
    """

    def __init__(
        self,
        candles: Sequence[Candles],
        market: Market,
        settings: Settings,
        strategy: Strategy | None,
        *,
        backfill: Backfill,
    ) -> None:
        self._candles = candles
        self.market = dataclasses.replace(market, bars=_unended(market.bars))
        self._settings, self._backfill = settings, backfill
        self._index = {symbol: sym for sym, symbol in enumerate(market.symbols)}
        asked = None if strategy is None else LiveStrategy(strategy, self.market)
        self._trader = Trader(self.market, settings, live=True, asked=asked, remember=True)
        self._trader.on_bars(self.market.bars, None if asked is None else asked.signals)
        self._last = list(self._trader.last)
        self._pending: dict[int, dict[int, Bar]] = {}
        self._since: dict[int, float] = {}
        self._heard_s: float | None = None  # when the last instant was decided, or the first event was waited for

    def first_rows(self) -> JournalRows:
        """What was decided on the history."""
        return self._trader.drain()

    def see(self, event: MarketEvent, now_s: float) -> list[Instant]:
        """Something happened; the instants that it completes are decided.

        Args:
            event: of one of the symbols; what is neither a bar, a print nor of the book is passed over.
            now_s: a clock that only measures how long bars of one close are waited for.
        """
        if isinstance(event, Bar):
            sym = self._index[event.symbol]
            if event.ts > self._last[sym]:  # else the history has it, or it was fetched meanwhile
                self._pending.setdefault(event.ts, {})[sym] = event
                self._since.setdefault(event.ts, now_s)
        else:
            self._trader.on_event(event)
        return self.due(now_s)

    def due(self, now_s: float) -> list[Instant]:
        """Decide instants that are complete, or whose missing bars had time enough to come."""
        done = []
        for ts in sorted(self._pending):
            waited = now_s - self._since[ts] > GRACE_S
            if not (waited or len(self._pending[ts]) == len(self._index)):
                break
            done += self._close(ts)
        if done or self._heard_s is None:
            self._heard_s = now_s
        elif not self._pending and now_s - self._heard_s > self.market.tf_ns / NS_PER_S + OVERDUE_S:
            self._heard_s = now_s
            done = self._close(min(self._last) + self.market.tf_ns, late=True)
        return done

    def _close(self, ts: int, *, late: bool = False) -> list[Instant]:
        """Decide the instant `ts`, and before it what the stream missed; `late` = it is not to be acted on either."""
        bars, step = self._pending.pop(ts, {}), self.market.tf_ns
        self._since.pop(ts, None)
        parts = []
        for symbol, sym in self._index.items():
            bar, missed = bars.get(sym), self._last[sym] + step
            rows = np.zeros(0, BAR)
            upto = ts if bar is None else ts - step
            if missed <= upto:
                rows = self._backfill(symbol, missed, upto).copy()
                rows["sym"], rows["last"] = sym, 0
            if bar is not None:
                rows = np.concatenate([rows, np.array([bar.row(sym)], BAR)]).astype(BAR)
            if len(rows):
                rows["gap"] = np.diff(rows["ts"], prepend=self._last[sym]) // step - 1
                self._last[sym] = int(rows["ts"][-1])
                parts.append(rows)
        if not parts:
            return []
        merged = np.concatenate(parts).astype(BAR)
        merged = merged[np.lexsort((merged["sym"], merged["ts"]))]
        return [
            self._trader.on_close(merged[merged["ts"] == at], late=late or at < ts) for at in np.unique(merged["ts"])
        ]

    def finish(self) -> tuple[Market, Outcome]:
        """The run as a replay of its bars decides it: the same, and what was open is closed with the last ones."""
        market, signaller = self._trader.past.market(), self._trader.signaller
        bars = market.bars
        files = tuple(describe(_with_rows(one, bars[bars["sym"] == sym])) for sym, one in enumerate(self._candles))
        market = dataclasses.replace(market, files=files)
        outcome = simulate(market, self._settings, signals=self._trader.past.signals, live=True)
        verdict = self._trader.review()
        if verdict is not None:
            return market, dataclasses.replace(outcome, answers=verdict.row())
        return market, dataclasses.replace(outcome, funnel=signaller.funnel(), unavailable=signaller.unavailable())


def _unended(bars: Rows) -> Rows:
    """Bars of a history that goes on."""
    bars = bars.copy()
    bars["last"] = 0
    return bars


def _with_rows(candles: Candles, rows: Rows) -> Candles:
    """The same source with these rows."""
    return dataclasses.replace(
        candles,
        rows=rows,
        sha256=hashlib.sha256(rows.tobytes()).hexdigest(),
        gaps=gaps_of(rows),
        zero_volume=int(np.count_nonzero(rows["volume"] == 0.0)),
    )


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
    began, started = time.perf_counter(), datetime.now(tz=UTC)
    tf = normalise_timeframe(tf)
    wanted = 1 if live else settings.simulation.steps if steps is None else steps
    if not (live or use_ws):
        candles = history(symbols, tf, wanted, settings)
        market = market_of(candles, settings, wanted)
        with journal_of(market, settings, logs_dir, started) as journal:
            return conclude(market, settings, simulate(market, settings, strategy, watch), journal, started, began)
    names = sorted({normalise_symbol(name) for name in symbols.split(",")})
    load_folds()
    # the stream opens first, so that no bar can close between the history and it
    with MarketStream(names, tf, exchange_for_ob, settings) as stream:
        candles = history(symbols, tf, wanted, settings)
        market = market_of(candles, settings, wanted)
        if live:
            after = tuple(int(one.rows["ts"][-1]) + 1 for one in candles)
            market = dataclasses.replace(market, starts=after)
        with journal_of(market, settings, logs_dir, started) as journal:
            run = LiveRun(candles, market, settings, strategy, backfill=rest_backfill(tf, settings))
            if watch is not None:
                watch(len(market.bars), run.first_rows())
            lost: ScalperError | None = None
            interrupted = False
            try:
                interrupted = follow(run, stream, steps if live else None, live=live, tell=tell)
            except ScalperError as error:
                lost = error
            whole, outcome = run.finish()
            if len(whole.decided) == 0:  # ended before the first bar closed: there is nothing to keep
                raise lost or KeyboardInterrupt
            result = conclude(whole, settings, outcome, journal, started, began)
            if lost is not None:
                raise type(lost)(f"{lost}; what was decided until then stands in {result.report['logs']['run']}")
            return dataclasses.replace(result, interrupted=interrupted)


def follow(
    run: LiveRun, stream: EventSource, bars: int | None, *, live: bool, tell: Callable[[Instant], None] | None
) -> bool:
    """Hand events to the run until `bars` instants are decided, or what has come is used up if not `live`.

    Returns:
        Whether Ctrl-C ended it.
    """
    decided = 0
    try:
        while bars is None or decided < bars:
            event = stream.get(PATIENCE_S if live else 0.0)
            instants = run.due(time.monotonic()) if event is None else run.see(event, time.monotonic())
            if event is None and not live:
                return False
            for instant in instants:
                decided += not instant.late
                if tell is not None:
                    tell(instant)
    except KeyboardInterrupt:
        return True
    return False
