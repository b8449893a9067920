"""Real markets: history by REST, then bars and books as the stream brings them, one instant at a time.

What a live run decided bar by bar is what a replay of its bars decides: when it ends, the engine is turned once more
over all of them, and the log files are written from that. A user's strategy is asked once more over all of them too;
where it answers otherwise than it did, that is said.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from backtest.data.manifest import describe
from backtest.data.market import build_market
from backtest.run.loop import Decider, Outcome, Watch, engine_of, simulate
from backtest.run.report import conclude, journal_of
from backtest.run.result import SimulationResult
from exec.asking import LiveStrategy, Verdict
from exec.engine import JournalRows
from exec.market import Market
from exec.strategy import Strategy
from features.live import BOOK_AT_CLOSE, EventFeatures, load_folds
from features.registry import feature_set
from ingest.files.candles import Candles, gaps_of
from ingest.history import Backfill, fetch_candles, listed, rest_backfill
from ingest.live.thread import MarketStream
from utils.errors import ScalperError
from utils.market.symbols import normalise_symbol
from utils.market.timeframes import normalise_timeframe
from utils.rows import BAR, NS_PER_S, SIGNAL, Rows
from utils.settings.tree import Settings
from utils.shell.log import event as log_event
from utils.types import Bar, MarketEvent

#: Bars of one close may arrive so far apart; then the missing ones are asked for by REST, s.
GRACE_S = 5.0
#: A bar so long after it should have closed is asked for by REST, s; if the exchange is gone, that says so.
OVERDUE_S = 30.0
#: Longest wait for an event before the clock is looked at, s.
PATIENCE_S = 0.5

logger = logging.getLogger("backtest")


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


@dataclass(frozen=True, slots=True, eq=False)
class Instant:
    """One close of a live run: its bars, the books as they stood, what the strategy said and what the engine did."""

    market: Market
    bars: Rows  # BAR
    book: Rows  # BOOK_AT_CLOSE, beside bars
    signals: Rows  # SIGNAL, beside bars
    rows: JournalRows
    late: bool  # the bars came by REST after the next had opened: nothing was decided on them


class Part(NamedTuple):
    """The history of a live run, or one close of it."""

    bars: Rows  # BAR
    book: Rows  # BOOK_AT_CLOSE, beside bars
    late: Rows  # bars on which nothing was decided
    signals: Rows  # SIGNAL, beside bars


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
        self._decide = Decider(market, settings, live=True)
        self._engine = engine_of(market, settings, live=True)
        self._last = [int(market.bars["ts"][market.bars["sym"] == sym][-1]) for sym in range(len(market.symbols))]
        closes = [last + market.tf_ns for last in self._last]
        self._features = EventFeatures(market.symbols, closes, market.tf_ns)
        self._pending: dict[int, dict[int, Bar]] = {}
        self._since: dict[int, float] = {}
        self._heard_s: float | None = None  # when the last instant was decided, or the first event was waited for
        books = np.full(len(market.bars), np.nan, BOOK_AT_CLOSE)
        signals = self._decide(self.market.bars).copy()
        self._asked: LiveStrategy | None = None
        if strategy is not None:
            self._asked = LiveStrategy(strategy, self.market, self._decide.vectors, books)
            signals = self._asked.signals
        self._size, self._reviewed = len(market.bars), len(market.bars)  # bars now, and when answers were last reviewed
        self._parts = [Part(self.market.bars, books, np.zeros(len(market.bars), np.bool_), signals)]
        self._engine.run(self.market.bars, signals)

    def first_rows(self) -> JournalRows:
        """What was decided on the history."""
        return self._engine.drain()

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
            self._features.see(event)
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
        return [self._instant(merged[merged["ts"] == at], late=late or at < ts) for at in np.unique(merged["ts"])]

    def _instant(self, bars: Rows, *, late: bool) -> Instant:
        """Bars of one close through features, signal and engine."""
        tops = np.zeros(len(bars), BOOK_AT_CLOSE)
        for i, bar in enumerate(bars):
            stood = self._features.at(int(bar["sym"]), int(bar["ts"]))
            tops[i] = (stood.book_age_ms, stood.print_age_ms, *stood.vector[0])
            self._decide.signaller.see_book(int(bar["sym"]), float(tops[i]["spread_bps"]))
        signals = self._decided(bars, tops)
        if late:
            signals["side"] = np.nan  # nobody could have acted on it then
        # one step, after the strategy: an interruption leaves a run that is whole until the close before
        self._parts.append(Part(bars, tops, np.full(len(bars), late), signals))
        self._engine.run(bars, signals)
        self._size += len(bars)
        if self._asked is not None and self._size >= 2 * self._reviewed:
            self._review(self._asked, self._whole())
        return Instant(self.market, bars, tops, signals, self._engine.drain(), late)

    def _decided(self, bars: Rows, book: Rows) -> Rows:
        """The signals beside the newest bars."""
        signals = self._decide(bars).copy()
        if self._asked is None:
            return signals
        newest = Part(bars, book, np.zeros(len(bars), np.bool_), signals)
        return self._asked(bars, self._decide.vectors[: len(bars)], book, lambda: self._whole(newest))

    def _whole(self, *newest: Part) -> Market:
        """History and what came after it, as one market that has ended."""
        parts = [*self._parts, *newest]
        bars = np.concatenate([part.bars for part in parts]).astype(BAR)
        for sym in range(len(self._index)):
            bars["last"][np.flatnonzero(bars["sym"] == sym)[-1]] = 1
        files = tuple(describe(_with_rows(one, bars[bars["sym"] == sym])) for sym, one in enumerate(self._candles))
        book = np.concatenate([part.book for part in parts]).astype(BOOK_AT_CLOSE)
        return dataclasses.replace(self.market, bars=bars, book=book, files=files)

    def _given(self) -> Rows:
        """SIGNAL rows beside all bars, as they were used."""
        rows: Rows = np.concatenate([part.signals for part in self._parts]).astype(SIGNAL)
        return rows

    def _review(self, asked: LiveStrategy, market: Market) -> Verdict:
        """What a replay of the bars so far would answer, beside what was answered; said where it differs."""
        self._reviewed = self._size
        verdict = asked.review(market, self._given(), np.concatenate([part.late for part in self._parts]))
        if verdict.note is not None:
            log_event(logger, "strategy_answers_differ", verdict.note, severity=logging.WARNING)
        return verdict

    def finish(self) -> tuple[Market, Outcome]:
        """The run as a replay of its bars decides it: the same, and what was open is closed with the last ones."""
        market = self._whole()
        signals = self._given()
        outcome = simulate(market, self._settings, signals=signals, live=True)
        if self._asked is not None:
            return market, dataclasses.replace(outcome, answers=self._review(self._asked, market).row())
        signaller = self._decide.signaller
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
