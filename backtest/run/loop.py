"""A run over a history: its bars through a trader, a chunk at a time, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from backtest.data.market import under
from backtest.strategies import ahead
from exec.champion import Champion
from exec.engine import TABLES, JournalRows, joined
from exec.market import Market
from exec.strategy import Strategy, ask
from exec.trader import CHUNK, Trader, chunks
from risk.halts import Halt, holding
from utils.rows import Rows
from utils.settings.tree import Settings

#: Called after each chunk with the bars done and the journal rows since the last call.
Watch = Callable[[int, JournalRows], None]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What the engine did on a market, in rows."""

    rows: JournalRows
    equity: float  # quote, at the end
    held_bars: int
    ambiguous: int  # of them, bars that touched both barriers
    capped: int  # prices of market orders that `simulation.max_impact_bps` held
    halts: int  # breakers that tripped
    holding: tuple[Halt, ...]  # those that still hold at the end
    funnel: Mapping[str, int]  # bars by the gate they ended at; empty for a user's strategy
    unavailable: Mapping[str, int]  # bars by gate that had no input
    models: tuple[Champion, ...] = ()  # that judged the default strategy's signals, in the order of their numbers
    answers: Mapping[str, Any] = field(default_factory=dict)  # of a user's strategy, asked again: `ahead`, or live


def replayed(
    market: Market,
    settings: Settings,
    strategy: Strategy | None,
    watch: Watch | None = None,
    *,
    audit: bool = True,
    model: Champion | None = None,
) -> Outcome:
    """`simulate`, and what came of asking a user's strategy again on data cut off, in `answers`."""
    if strategy is None:
        return simulate(market, settings, watch=watch, model=model)
    market = under(market, settings)
    signals = ask(strategy, market)
    outcome = simulate(market, settings, watch=watch, signals=signals)
    if not audit:
        return outcome
    return replace(outcome, answers=ahead.audit(strategy, market, signals).row())


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
    model: Champion | None = None,
) -> Outcome:
    """Run a strategy over a market in memory; the default strategy if none is given.

    Args:
        market: rows of all symbols on one clock; its fees and the like are those of the settings (`under`).
        settings: strategy, risk, execution and cost parameters.
        strategy: a user's function from market rows to signal rows.
        watch: told after each chunk.
        chunk: rows at once; the result does not depend on it.
        keep: tables to keep; the others come back empty.
        signals: what was decided beside `market.bars` already; then no strategy is asked.
        live: gates without input refuse.
        model: judges what the default strategy wants; None = nobody does.
    """
    market = under(market, settings)
    trader = Trader(market, settings, keep, live=live, model=model)
    asked = ask(strategy, market) if signals is None and strategy is not None else signals
    parts = []
    for lo, hi in chunks(market.bars, chunk):
        trader.on_bars(market.bars[lo:hi], None if asked is None else asked[lo:hi])
        if watch is not None:
            parts.append(trader.drain())
            watch(hi, parts[-1])
    parts.append(trader.drain())
    account = trader.engine.account[0]
    return Outcome(
        rows=JournalRows(
            *(joined([getattr(part, name) for part in parts], kind) for name, (kind, _) in TABLES.items())
        ),
        equity=float(account.equity),
        held_bars=int(account.held_bars),
        ambiguous=int(account.ambiguous),
        capped=int(account.capped),
        halts=int(account.halts),
        holding=holding(account, trader.engine.params[0], int(market.bars["ts"][-1]) if len(market.bars) else 0),
        funnel={} if asked is not None else trader.signaller.funnel(),
        unavailable={} if asked is not None else trader.signaller.unavailable(),
        models=() if model is None or asked is not None else (model,),
    )
