"""The replay driver: market rows through features, signal, risk, execution and ledger, to log files and KPIs.

`python -m backtest.sim_loop` simulates on real data or ends with an error; it never falls back to the mock market.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.market import BOOK_AT_CLOSE, Market, build_market, read_sources
from backtest.strategies import Strategy, ask
from exec.columns import Columns, equity_columns, order_columns, signal_columns, trade_columns
from exec.engine import TABLES, Engine, JournalRows, joined
from features.registry import feature_set
from ml.signal import Signaller, strategy_params
from utils.config import Settings, load_settings
from utils.costs import break_even_win_rate, round_trip_costs
from utils.errors import ConfigError
from utils.journal import Journal, csv_text, decision_hash, plain
from utils.kpi_summary import summarise
from utils.kpis import Log, fill_rate, max_drawdown, profit_factor, sharpe_ratio, win_rate
from utils.rows import (
    CANCELLED,
    CLOSED,
    EXPIRED,
    FLIPPED,
    HELD,
    LIMIT,
    MARKET,
    NS_PER_S,
    OPENED,
    PARAMS,
    POST_ONLY,
    REFUSED,
    REJECTED,
    SIGNAL,
    STATUS_NAMES,
    Rows,
)
from utils.schema import SCHEMA_VERSION, TIME_COLUMNS
from utils.version import version

if TYPE_CHECKING:
    import pandas as pd

#: Bars handed to the compiled loop at once: features and signals of a chunk stay in cache, memory stays flat.
CHUNK = 16_384
#: Called after each chunk with the bars done and the journal rows since the last call.
Watch = Callable[[int, JournalRows], None]


def params_of(settings: Settings, tf_ns: int, *, live: bool = False) -> Rows:
    """The engine's PARAMS record of these settings; `live` makes gates without input refuse."""
    risk, entry, costs = settings.risk, settings.execution, settings.simulation
    row = np.zeros(1, PARAMS)
    par = row[0]
    par.tf_ns = tf_ns
    par.half_spread_bps = costs.spread_bps / 2.0
    par.slippage_bps = costs.slippage_bps
    par.impact = costs.impact
    par.volume_cap = costs.volume_cap
    par.take_bps = risk.take_bps
    par.stop_bps = risk.stop_bps
    par.horizon = risk.horizon
    par.stop_in_atr = int(risk.stop == "atr")
    par.stop_atr = risk.stop_atr
    par.trail_bps = risk.trail_bps if risk.trail == "bps" else 0.0
    par.trail_atr = risk.trail_atr if risk.trail == "atr" else 0.0
    par.entry_kind = {"market": MARKET, "limit": LIMIT, "post_only": POST_ONLY}[entry.entry]
    par.limit_offset_bps = entry.limit_offset_bps
    par.limit_bars = entry.limit_bars
    par.risk_fraction = risk.risk_per_trade
    par.fixed_notional = risk.fixed_notional if risk.sizing == "fixed" else 0.0
    par.leverage = risk.max_leverage
    par.max_positions = risk.max_positions
    par.veto_break_even = int(settings.signal.veto_below_break_even)
    par.nan_refuses = int(live)
    par.equity_step_ns = round(costs.equity_step_s * NS_PER_S)
    return row


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


@dataclass(frozen=True, slots=True, eq=False)
class SimulationResult:
    """A finished simulation: tables, KPIs and everything the summary shows."""

    market: Market
    settings: Settings
    tables: Mapping[str, Columns]  # trades, signals, orders, equity: the columns of the log files
    metrics: Mapping[str, Any]  # every row of the summary
    report: Mapping[str, Any]  # what `--json` prints, paths and timing included
    funnel: Mapping[str, int]
    unavailable: Mapping[str, int]
    answers: Mapping[str, Any] = field(default_factory=dict)  # of a user's strategy live, as a replay sees them
    interrupted: bool = False  # a live run that Ctrl-C ended
    _frames: dict[str, Any] = field(default_factory=dict)

    def frame(self, table: str) -> pd.DataFrame:
        """A table as a DataFrame; times as UTC datetimes."""
        if table not in self._frames:
            import pandas as pd

            columns = self.tables[table]
            self._frames[table] = pd.DataFrame(
                {name: pd.to_datetime(v, utc=True) if name in TIME_COLUMNS else v for name, v in columns.items()}
            )
        frame: pd.DataFrame = self._frames[table]
        return frame

    @property
    def trades(self) -> pd.DataFrame:
        """Closed round trips, the columns of trades.csv."""
        return self.frame("trades")

    @property
    def signals(self) -> pd.DataFrame:
        """Non-neutral signals and what was decided on each."""
        return self.frame("signals")

    @property
    def orders(self) -> pd.DataFrame:
        """Every order and how it ended."""
        return self.frame("orders")

    @property
    def equity(self) -> pd.DataFrame:
        """The account at closes."""
        return self.frame("equity")

    @property
    def book(self) -> pd.DataFrame:
        """The live book at each close; no rows where there was none."""
        import pandas as pd

        if self.market.book is None:
            return pd.DataFrame(columns=["time", "symbol", *(BOOK_AT_CLOSE.names or ())])
        bars = self.market.bars
        frame = pd.DataFrame({name: self.market.book[name] for name in BOOK_AT_CLOSE.names or ()})
        frame.insert(0, "time", pd.to_datetime(bars["ts"], utc=True))
        frame.insert(1, "symbol", np.array(self.market.symbols)[bars["sym"]])
        return frame[frame["book_age_ms"].notna()]

    @property
    def kpis(self) -> Mapping[str, Any]:
        """The headline numbers, as `--json` gives them."""
        return self.report


def funnel_of(market: Market, outcome: Outcome) -> dict[str, int]:
    """Why bars did not become trades: counts from bars down to closed trades."""
    actions = np.bincount(outcome.rows.decisions["action"], minlength=REFUSED + 1)
    orders = outcome.rows.orders
    counts = {"bars": len(market.bars)}
    counts |= {f"stopped by {gate}": n for gate, n in outcome.funnel.items() if gate != "signal" and n}
    counts["signals"] = len(outcome.rows.decisions)
    counts["held"] = int(actions[HELD])
    counts["refused"] = int(actions[REFUSED])
    counts["closed only"] = int(actions[CLOSED])
    counts["entry orders"] = int(actions[OPENED] + actions[FLIPPED])
    for status in (EXPIRED, CANCELLED, REJECTED):
        counts[f"entries {STATUS_NAMES[status].lower()}"] = int((orders["status"] == status).sum())
    counts["trades"] = len(outcome.rows.trades)
    return counts


def break_even_table(market: Market, settings: Settings) -> list[dict[str, Any]]:
    """Win rate that the configured barriers need, per way to execute, with the first symbol's fees; costs in bps."""
    risk, costs, fees = settings.risk, settings.simulation, market.instruments[0]
    crossing = costs.spread_bps / 2.0 + costs.slippage_bps
    rows = [("no costs", 0.0, 0.0)]
    for name, maker in (("maker entry, maker take, taker stop", True), ("taker entry, maker take, taker stop", False)):
        rows.append((name, *round_trip_costs(maker, fees.maker_bps, fees.taker_bps, crossing)))
    taker = 2.0 * (fees.taker_bps + crossing)
    rows.append(("taker everywhere", taker, taker))
    return [
        {
            "execution": name,
            "cost_take_bps": take,
            "cost_stop_bps": stop,
            "win_rate": break_even_win_rate(risk.take_bps, risk.stop_bps, take, stop),
        }
        for name, take, stop in rows
    ]


def needed_win_rate(market: Market, settings: Settings) -> float:
    """Break-even win rate of the configured entry kind, barriers and fees, as a fraction."""
    maker = settings.execution.entry != "market"
    return float(break_even_table(market, settings)[1 if maker else 2]["win_rate"])


def market_change(market: Market) -> float:
    """Close-to-close change over the decided period, mean over symbols, as a fraction."""
    changes = []
    for sym in range(len(market.symbols)):
        closes = market.decided[market.decided["sym"] == sym]["close"]
        changes.append(closes[-1] / closes[0] - 1.0)
    return float(np.mean(changes))


def tables_of(market: Market, settings: Settings, outcome: Outcome) -> dict[str, Columns]:
    """The four log tables of an outcome."""
    names, sources, rows = market.symbols, market.sources, outcome.rows
    # before the first decision nothing can happen: those flat bars would only thin out what the KPIs measure
    equity = rows.equity[rows.equity["ts"] >= min(market.starts)]
    return {
        "trades": trade_columns(rows.trades, names, settings.simulation.initial_capital, sources),
        "signals": signal_columns(rows.decisions, names, sources),
        "orders": order_columns(rows.orders, names, settings.execution.entry_latency_ms, sources),
        "equity": equity_columns(equity),
    }


def report_of(
    market: Market, settings: Settings, outcome: Outcome, tables: Mapping[str, Columns], log: Log, digest: str
) -> dict[str, Any]:
    """The headline numbers, each from the function of `utils.kpis` that answers for the log files."""
    trades = tables["trades"]
    return {
        "version": version(),
        "source": ",".join(dict.fromkeys(market.sources)),
        "symbol": ",".join(market.symbols),
        "timeframe": market.tf,
        "bars": len(market.decided),
        "warmup_bars": len(market.bars) - len(market.decided),
        "trades": len(outcome.rows.trades),
        "signals": len(outcome.rows.decisions),
        "orders": len(outcome.rows.orders),
        "initial_capital": settings.simulation.initial_capital,
        "final_equity": outcome.equity,
        "net_pnl": float(np.sum(trades["net_pnl"])),
        "fees": float(np.sum(trades["fees"])),
        "funding": float(np.sum(trades["funding"])),
        "sharpe": sharpe_ratio(log),
        "max_drawdown": max_drawdown(log),
        "profit_factor": profit_factor(log),
        "win_rate": win_rate(log),
        "break_even_win_rate": needed_win_rate(market, settings),
        "fill_rate": fill_rate(log),
        "ambiguous_share": outcome.ambiguous / max(1, outcome.held_bars),
        "gap_bars": sum(gap["missing"] for one in market.files for gap in one["gaps"]),
        "decision_sha256": digest,
    }


def run_simulation(
    symbol: str | None = None,
    tf: str | None = None,
    exchange_for_ob: str = "bybit",
    steps: int | None = None,
    use_ws: bool = False,
    *,
    data: Any = None,
    funding: str | Path | Sequence[str | Path] = (),
    settings: Settings | None = None,
    logs_dir: str | Path | None = None,
    live: bool = False,
    strategy: Strategy | None = None,
    watch: Watch | None = None,
    tell: Callable[[Any], None] | None = None,
) -> SimulationResult:
    """Simulate on paper, write the log files, and return everything.

    Without `data` the candles come from the exchange of the settings (`market.exchange`) or the run ends with an error.

    Args:
        symbol: exchange id, or several with commas; with `data` only to check against it.
        tf: timeframe, ccxt name; with `data` only to check against it.
        exchange_for_ob: exchange of the order book beside live bars: bybit and binance by their streams, others by
            REST. A book is never joined to a bar that closed before it came.
        steps: bars that may be decided on. With `data` the last ones, None = all after the warm-up; from the exchange
            the last closed ones, None = `simulation.steps`; live as many as are to come, None = until Ctrl-C.
        use_ws: append bars that close meanwhile, and the book beside them, from the stream.
        data: a path, several paths, a DataFrame, `Candles`, or a `Market` (taken as it is: symbol, tf, steps and
            funding are its own); None asks the exchange.
        funding: funding files; without one the sibling of the candle file is used.
        settings: parameters; None loads config.yaml, .env and the environment.
        logs_dir: write straight to this directory; None keeps the run under `logs/runs/` and refreshes `logs/`.
        live: begin to decide with the first bar of the stream, and go on bar by bar.
        strategy: a function from market rows to signal rows; None = the default strategy.
        watch: told of progress after each chunk of bars.
        tell: told of each instant of the stream (`backtest.exchange.Instant`) when it has been decided.

    Raises:
        DataUnavailable: the exchange did not answer, or answered garbage; nothing is made up instead.
        DataError: a file is missing or wrong.
        ConfigError: arguments contradict the data.
        StorageError: the log files cannot be written.
    """
    began = time.perf_counter()
    settings = load_settings().settings if settings is None else settings
    if data is None:
        from backtest.exchange import run_on_exchange

        asked = settings.market
        names, length = symbol or asked.symbol, tf or asked.timeframe
        return run_on_exchange(
            names, length, exchange_for_ob, steps, settings, use_ws=use_ws, live=live, logs_dir=logs_dir,
            strategy=strategy, watch=watch, tell=tell,
        )  # fmt: skip
    if live or use_ws:
        raise ConfigError("data: expected a file or the exchange's stream, saw both; leave use_ws and live out")
    if isinstance(data, Market):
        market = data
    else:
        paths = [Path(path) for path in ([funding] if isinstance(funding, (str, Path)) else funding)]
        market = build_market(read_sources(data, symbol, tf), settings, steps=steps, data=data, funding=paths)
    started = datetime.now(tz=UTC)
    with journal_of(market, settings, logs_dir, started) as journal:
        outcome = simulate(market, settings, strategy, watch)
        return conclude(market, settings, outcome, journal, started, began)


def journal_of(market: Market, settings: Settings, logs_dir: str | Path | None, started: datetime) -> Journal:
    """Where a run on this market is written."""
    name = None if logs_dir is not None else f"{started:%Y%m%dT%H%M%SZ}-{run_hash(market, settings)}"
    return Journal(Path(settings.logs.dir if logs_dir is None else logs_dir), name)


def run_hash(market: Market, settings: Settings) -> str:
    """Eight digits that name a run by what went in: data and settings."""
    asked = settings.model_dump(mode="json", exclude={"secrets", "logs"})
    text = json.dumps([list(map(dict, market.files)), asked], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def conclude(
    market: Market, settings: Settings, outcome: Outcome, journal: Journal, started: datetime, began: float
) -> SimulationResult:
    """Turn rows into tables, numbers and files."""
    tables = tables_of(market, settings, outcome)
    texts = {table: csv_text(columns) for table, columns in tables.items()}
    digest = decision_hash(texts)
    capital = settings.simulation.initial_capital
    log = Log(dict(tables["trades"]), dict(tables["equity"]), dict(tables["orders"]), capital, where="this run")
    funnel = funnel_of(market, outcome)
    decided = market.decided
    metrics = summarise(
        log,
        period=(int(decided["ts"][0]), int(decided["ts"][-1])),
        market_change=market_change(market),
        trading_mode=f"Paper, {'spot as if' if market.spot else 'isolated'} futures",
        bars=len(decided),
        max_open_trades=settings.risk.max_positions,
        rejected_entry_signals=funnel["refused"],
        entry_timeouts=funnel["entries expired"],
        exit_timeouts=0,
        canceled_entry_orders=funnel["entries cancelled"],
        canceled_trade_entries=funnel["entries rejected"],
        replaced_entry_orders=0,
        break_even_win_rate=needed_win_rate(market, settings),
        data_gaps=sum(len(one["gaps"]) for one in market.files),
        assumptions="pessimistic bars",
        decision_hash=digest,
    )
    report = report_of(market, settings, outcome, tables, log, digest)
    for table, text in texts.items():
        journal.write(table, text)
    run = {
        "schema": SCHEMA_VERSION,
        "started": f"{started:%Y-%m-%dT%H:%M:%SZ}",
        "elapsed_s": round(time.perf_counter() - began, 3),
        **report,
        "settings": settings.model_dump(mode="json", exclude={"secrets", "logs"}),
        "data": [dict(one) for one in market.files],
        "assumptions": market.assumptions,
        "kpis": metrics,
        "funnel": funnel,
        "unavailable_gates": outcome.unavailable,
        "break_even": break_even_table(market, settings),
        **({"answers": outcome.answers} if outcome.answers else {}),
    }
    paths = journal.finish(run)
    report |= {"elapsed_s": round(time.perf_counter() - began, 3), "logs": paths}
    return SimulationResult(
        market, settings, tables, metrics, plain(report), funnel, outcome.unavailable, outcome.answers
    )


if __name__ == "__main__":
    from backtest.cli import main

    sys.exit(main(real=True))
