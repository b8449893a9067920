"""The loop of a run: market rows through features, signal and engine, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from exec.engine import TABLES, Engine, JournalRows, joined
from exec.market import Market
from exec.strategy import Strategy, ask
from features.registry import feature_set
from ml.signal import Signaller, strategy_params
from utils.params import params_of
from utils.rows import SIGNAL, Rows
from utils.settings.tree import Settings

#: Bars handed to the compiled loop at once: features and signals of a chunk stay in cache, memory stays flat.
CHUNK = 16_384
#: Called after each chunk with the bars done and the journal rows since the last call.
Watch = Callable[[int, JournalRows], None]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What the engine did on a market, in rows."""

    rows: JournalRows
    equity: float  # quote, at the end
    held_bars: int
    ambiguous: int  # of them, bars that touched both barriers
    funnel: Mapping[str, int]  # bars by the gate they ended at; empty for a user's strategy
    unavailable: Mapping[str, int]  # bars by gate that had no input
    answers: Mapping[str, Any] = field(default_factory=dict)  # of a user's strategy live, as a replay sees them


def chunks(bars: Rows, size: int) -> list[tuple[int, int]]:
    """Row ranges of about `size` rows that never part the bars of one instant."""
    cuts = [0]
    while cuts[-1] < len(bars):
        end = min(cuts[-1] + size, len(bars))
        while end < len(bars) and bars["ts"][end] == bars["ts"][end - 1]:
            end += 1
        cuts.append(end)
    return list(pairwise(cuts))


class Decider:
    """The default strategy's signal rows for the bars it is fed: any number of instants at a time, to the same bytes.

    Args:
        market: its symbols, and the closes from which they may be decided on.
        settings: the strategy's parameters.
        live: gates without input refuse.
    """

    def __init__(self, market: Market, settings: Settings, *, live: bool = False) -> None:
        self.features = feature_set(len(market.symbols))
        self.signaller = Signaller(strategy_params(settings, live=live), market.starts)
        self.vectors = np.empty(0, self.features.dtype)
        self._signals = np.empty(0, SIGNAL)

    def __call__(self, bars: Rows) -> Rows:
        """Signal rows beside `bars`; the next call writes over them."""
        if len(self.vectors) < len(bars):
            self.vectors = np.empty(len(bars), self.features.dtype)
            self._signals = np.empty(len(bars), SIGNAL)
        vectors = self.features.batch(bars, self.vectors[: len(bars)])
        return self.signaller.batch(bars, vectors, self._signals[: len(bars)])


def simulate(
    market: Market,
    settings: Settings,
    strategy: Strategy | None = None,
    watch: Watch | None = None,
    chunk: int = CHUNK,
    keep: Collection[str] = tuple(TABLES),
    signals: Rows | None = None,
    *,
    live: bool = False,
) -> Outcome:
    """Run a strategy over a market in memory; the default strategy if none is given.

    Args:
        market: rows of all symbols on one clock.
        settings: strategy, risk, execution and cost parameters.
        strategy: a user's function from market rows to signal rows.
        watch: told after each chunk.
        chunk: rows at once; the result does not depend on it.
        keep: tables to keep; the others come back empty.
        signals: what was decided beside `market.bars` already; then no strategy is asked.
        live: gates without input refuse.
    """
    engine = engine_of(market, settings, keep, live=live)
    decide = Decider(market, settings, live=live)
    asked = ask(strategy, market) if signals is None and strategy is not None else signals
    parts = []
    for lo, hi in chunks(market.bars, chunk):
        bars = market.bars[lo:hi]
        engine.run(bars, decide(bars) if asked is None else asked[lo:hi])
        if watch is not None:
            parts.append(engine.drain())
            watch(hi, parts[-1])
    parts.append(engine.drain())
    account = engine.account[0]
    return Outcome(
        rows=JournalRows(
            *(joined([getattr(part, name) for part in parts], kind) for name, (kind, _) in TABLES.items())
        ),
        equity=float(account.equity),
        held_bars=int(account.held_bars),
        ambiguous=int(account.ambiguous),
        funnel={} if asked is not None else decide.signaller.funnel(),
        unavailable={} if asked is not None else decide.signaller.unavailable(),
    )


def engine_of(market: Market, settings: Settings, keep: Collection[str] = tuple(TABLES), *, live: bool) -> Engine:
    """An engine for a market's symbols, with the settings' capital."""
    params = params_of(settings, market.tf_ns, live=live)
    return Engine(market.instruments, params, settings.simulation.initial_capital, market.funding, keep)
