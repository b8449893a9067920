"""Real markets: history by REST, then bars and books as the stream brings them, one close at a time.

What a live run decided bar by bar is what a replay of its bars decides: when it ends, the engine is turned once more
over all of them, and the log files are written from that. A user's strategy is asked once more over all of them too;
where it answers otherwise than it did, that is said.

Each close of a live run is committed to a journal before anybody hears of it; a run that was killed goes on from there.
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
from backtest.data.market import build_market, one_currency
from backtest.run.keeping import Keeper, market_kept, meta_of, past_kept
from backtest.run.loop import Outcome, Watch, replayed, simulate
from backtest.run.report import conclude, journal_of, logs_of, place_of
from backtest.run.result import SimulationResult
from backtest.run.resume import Going, agreed, check_agreement, run_to_resume
from backtest.strategies.identity import Identity, identity_of
from exec.asking import LiveStrategy
from exec.champion import Champion
from exec.live.follow import Follower
from exec.live.serving import served
from exec.market import Market
from exec.strategy import Strategy
from exec.trader import Instant, Trader
from features.live import EventFeatures, load_folds
from features.registry import feature_set
from ingest.files.candles import Candles, gaps_of
from ingest.history import fetch_candles, listed, rest_backfill
from ingest.instruments import market_of as folder_of
from ingest.live.market import MarketFeed
from utils.errors import ConfigError, ScalperError, StorageError
from utils.market.symbols import normalise_symbol
from utils.market.timeframes import MONDAY, TIMEFRAMES, normalise_timeframe
from utils.ports import Journal
from utils.records.database import Recovery
from utils.records.files import plain
from utils.records.sqlite import SqliteJournal
from utils.rows import NS_PER_S, Rows
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

    candles: Sequence[Candles]  # of each symbol, in order of name: where its bars come from
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
        if self.trader.model is not None:
            outcome = dataclasses.replace(outcome, models=(self.trader.model,))
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
    model: Champion | None = None,
) -> Begun:
    """A live run at the end of its history.

    Args:
        candles: the history of each symbol, in order of name.
        market: the same as one market; bars that close after its `starts` are decided on.
        settings: parameters.
        strategy: a user's function; None = the default strategy.
        events: the folds of books and prints, if they have begun to listen.
        model: judges what the default strategy wants; None = nobody does.

    Raises:
        ConfigError: the strategy's lookback is wrong, as far as the history tells.
        DataError: the strategy answered with what is no signal rows.
    """
    bars = market.bars.copy()
    bars["last"] = 0  # the history goes on
    market = dataclasses.replace(market, bars=bars)
    asked = None if strategy is None else LiveStrategy(strategy, market)
    trader = Trader(market, settings, live=True, asked=asked, events=events, model=model, remember=True)
    trader.on_bars(bars, None if asked is None else asked.signals)
    return Begun(candles, trader, settings)


def resumed(
    recovery: Recovery,
    settings: Settings,
    strategy: Strategy | None,
    events: EventFeatures,
    model: Champion | None = None,
) -> Begun:
    """A live run that was killed, as it was after its last close.

    Args:
        recovery: what its journal holds.
        settings: its parameters.
        strategy: a user's function; None = the default strategy.
        events: the folds of books and prints, which begin anew.
        model: the one that judged until then; None = nobody did.

    Raises:
        DataError: the journal is of another version of this program; the strategy answered with what is no signal rows.
    """
    meta, inputs = recovery.meta, recovery.inputs
    market = market_kept(meta, inputs, TIMEFRAMES[meta.tf])
    past = past_kept(market, inputs)
    asked = None if strategy is None else LiveStrategy(strategy, past.market(), begun=True)
    trader = Trader(market, settings, live=True, asked=asked, events=events, model=model, remember=True)
    trader.resume(recovery.state or b"", past)
    candles = [
        Candles(
            symbol=symbol,
            tf=meta.tf,
            tf_ns=market.tf_ns,
            market=folder_of(settings),
            source=source,
            sha256="",
            rows=market.bars[:0],
            gaps=(),
            dropped_unfinished=False,
            zero_volume=0,
        )
        for symbol, source in zip(meta.symbols, meta.sources, strict=True)
    ]
    return Begun(candles, trader, settings)


def newest_closes(names: Sequence[str], tf: str, settings: Settings) -> list[int]:
    """Close of the last closed candle of each symbol, ns."""
    return [int(fetch_candles(name, tf, 1, settings).rows["ts"][-1]) for name in names]


def _with_rows(candles: Candles, rows: Rows) -> Candles:
    """The same source with these rows."""
    return dataclasses.replace(
        candles,
        rows=rows,
        sha256=hashlib.sha256(rows.tobytes()).hexdigest(),
        gaps=gaps_of(rows),
        zero_volume=int(np.count_nonzero(rows["volume"] == 0.0)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A run on an exchange's stream; fields as of `run_simulation`."""

    names: Sequence[str]  # exchange ids, in order
    tf: str
    exchange_for_ob: str
    steps: int | None
    settings: Settings
    live: bool
    logs_dir: str | Path | None
    strategy: Strategy | None
    watch: Watch | None
    tell: Callable[[Instant], None] | None
    told: str = ""
    model: Champion | None = None

    @property
    def identity(self) -> Identity | None:
        """Of the user's strategy."""
        return None if self.strategy is None else identity_of(self.strategy)


class Streamed:
    """A run on an exchange's stream, from its opening to the log files.

    Args:
        asked: what it is to be.
        going: the run that goes on; None = a new one.
    """

    def __init__(self, asked: Asked, going: Going | None = None) -> None:
        self._asked, self._going = asked, going
        self._clock, self._started = time.perf_counter(), datetime.now(tz=UTC)
        self._closes = asked.steps if asked.live else None
        # any close will do to count from: until the history is there nobody knows the next one
        self._events = EventFeatures(asked.names, [MONDAY] * len(asked.names), TIMEFRAMES[asked.tf])
        self._begun: Begun | None = None
        self._journal: Journal | None = None
        self._keeper: Keeper | None = None

    def result(self) -> SimulationResult:
        """Follow the stream until it is enough, then keep what was decided, however it ended.

        A journal that takes no more leaves the run unfinished, as a kill does; so does whatever ends a run that goes on
        before anything new was decided.
        """
        load_folds()
        lost: ScalperError | None = None
        interrupted = False
        with contextlib.ExitStack() as kept:
            if self._going is not None:
                self._go_on(self._going, kept)
            try:
                asyncio.run(self._follow(kept))
            except KeyboardInterrupt:
                interrupted = True
            except StorageError:
                raise
            except ScalperError as error:
                lost = error
            in_vain = self._going is not None and self._keeper is not None and not self._keeper.kept
            result = None if in_vain and (lost or interrupted) else self._concluded()
            if result is None:  # ended before the first bar closed: there is nothing to keep
                raise lost or KeyboardInterrupt
        if lost is not None:
            raise type(lost)(f"{lost}; what was decided until then stands in {result.report['logs']['run']}")
        return dataclasses.replace(result, interrupted=interrupted)

    async def _follow(self, kept: contextlib.ExitStack) -> None:
        asked = self._asked
        # the stream opens first, so that no bar can close between the history and it
        async with MarketFeed(
            asked.names, asked.tf, asked.exchange_for_ob, asked.settings, listener=self._events
        ) as feed:
            until = 0
            if self._begun is None:
                self._begun = await self._begin(kept)
            else:
                until = min(await aside(newest_closes, asked.names, asked.tf, asked.settings))
            backfill = rest_backfill(asked.tf, asked.settings)

            async def fetch(symbol: str, first: int, last: int) -> Rows:
                return await aside(backfill, symbol, first, last)

            follower = Follower(
                self._begun.trader, fetch,
                closes=self._closes, keep=self._keeper, tell=asked.tell, heard=True, until=until,
            )  # fmt: skip
            await follower.follow(feed, None if asked.live else CAUGHT_UP_S)

    async def _begin(self, kept: contextlib.ExitStack) -> Begun:
        """The history of a new run; what comes is decided on."""
        asked = self._asked
        settings = asked.settings
        steps = 1 if asked.live else settings.simulation.steps if asked.steps is None else asked.steps
        candles = await aside(history, asked.names, asked.tf, steps, settings)
        market = await aside(market_of, candles, settings, steps)
        if not asked.live:
            self._journal = kept.enter_context(
                journal_of(market, settings, asked.logs_dir, self._started, asked.identity)
            )
            begun = begin(candles, market, settings, asked.strategy, self._events, asked.model)
            rows = begun.trader.drain()
        else:
            market = dataclasses.replace(market, starts=tuple(int(one.rows["ts"][-1]) + 1 for one in candles))
            who = asked.identity
            said = {
                "exchange_for_ob": asked.exchange_for_ob, "closes": asked.steps, "strategy": who is not None,
                "identity": None if who is None else plain(who.row()),
                "models": [] if asked.model is None else [asked.model.name],
            }  # fmt: skip
            meta = meta_of(market, settings, self._started, said)
            journal = SqliteJournal.begin(*place_of(market, settings, asked.logs_dir, self._started, who), meta)
            self._journal = kept.enter_context(journal)
            begun = begin(candles, market, settings, asked.strategy, self._events, asked.model)
            rows = begun.trader.drain()
            self._keeper = Keeper(journal, begun.trader, begun.trader.past.first, rows)
        if asked.watch is not None:
            asked.watch(len(market.bars), rows)
        return begun

    def _go_on(self, going: Going, kept: contextlib.ExitStack) -> None:
        """A run that was killed, as it was after its last close."""
        asked, meta = self._asked, going.meta
        journal, recovery = SqliteJournal.resume(going.home)
        self._journal = kept.enter_context(journal)
        self._started = datetime.fromtimestamp(meta.started / NS_PER_S, tz=UTC)
        self._begun = resumed(recovery, asked.settings, asked.strategy, self._events, asked.model)
        self._keeper = Keeper(journal, self._begun.trader)
        if asked.steps is None and meta.asked["closes"] is not None:
            self._closes = meta.asked["closes"] - sum(not one["late"] for one in recovery.inputs)

    def _concluded(self) -> SimulationResult | None:
        if self._begun is None or self._journal is None:
            return None
        whole, outcome = self._begun.finish()
        if len(whole.decided) == 0:
            return None
        asked = self._asked
        return conclude(
            whole, asked.settings, outcome, self._journal, self._started, self._clock, asked.identity, told=asked.told
        )


def run_on_exchange(
    symbols: str | None,
    tf: str | None,
    exchange_for_ob: str,
    steps: int | None,
    settings: Settings,
    *,
    use_ws: bool,
    live: bool,
    logs_dir: str | Path | None,
    strategy: Strategy | None,
    audit: bool = True,
    watch: Watch | None = None,
    tell: Callable[[Instant], None] | None = None,
    resume: bool | str | Path = False,
    told: str = "",
) -> SimulationResult:
    """`run_simulation` on real data: see there."""
    going = None
    if resume:
        if not live:
            raise ConfigError("resume: only a live run can go on, saw another kind; add live")
        going = run_to_resume(logs_of(settings, logs_dir), None if resume is True else resume)
        check_agreement(going.meta, symbols, tf, exchange_for_ob, None if strategy is None else identity_of(strategy))
        settings = agreed(settings, going.meta)
        symbols, tf = ",".join(going.meta.symbols), going.meta.tf
    symbols, tf = symbols or settings.market.symbol, normalise_timeframe(tf or settings.market.timeframe)
    names = sorted({normalise_symbol(name) for name in symbols.split(",")})
    one_currency(names)
    model = model_for(settings, strategy, going, names, tf)
    if live or use_ws:
        refuse_loop()
        asked = Asked(names, tf, exchange_for_ob, steps, settings, live, logs_dir, strategy, watch, tell, told, model)
        return Streamed(asked, going).result()
    clock, started = time.perf_counter(), datetime.now(tz=UTC)
    wanted = settings.simulation.steps if steps is None else steps
    market = market_of(history(names, tf, wanted, settings), settings, wanted)
    identity = None if strategy is None else identity_of(strategy)
    with journal_of(market, settings, logs_dir, started, identity) as journal:
        outcome = replayed(market, settings, strategy, watch, audit=audit, model=model)
        return conclude(market, settings, outcome, journal, started, clock, identity, told=told)


def model_for(
    settings: Settings, strategy: Strategy | None, going: Going | None, symbols: Sequence[str], tf: str
) -> Champion | None:
    """The model that judges a run: of one that goes on its own, whatever serves by now.

    Raises:
        ConfigError: one is enabled, and there is none, or it was tested on something else.
        DataError: it is not as it was written, or was trained on other features.
    """
    if strategy is not None:
        return None
    if going is None:
        return served(settings, symbols=symbols, tf=tf)
    own = going.meta.asked.get("models", ())
    return served(settings, str(own[-1])) if own else None


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
