"""From the rows of a run to what is kept of it: log files, KPIs, the funnel, and the win rate that its costs demand."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from backtest.data.doubts import doubts
from backtest.run.loop import Outcome
from backtest.run.result import SimulationResult
from exec.market import Market
from utils.codes import CANCELLED, CLOSED, EXPIRED, FLIPPED, HELD, OPENED, REFUSED, REJECTED, STATUS_NAMES
from utils.kpis import Log, fill_rate, max_drawdown, profit_factor, sharpe_ratio, win_rate
from utils.market.costs import break_even_win_rate, round_trip_costs
from utils.ports import Journal
from utils.records.files import FileJournal, csv_text, decision_hash, plain
from utils.records.names import KINDS, Words, log_tables
from utils.records.schema import SCHEMA_VERSION, Columns
from utils.rows import Rows
from utils.settings.tree import Settings
from utils.shell.version import version
from utils.summary import summarise


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
    """Close-to-close change over the decided period, mean over the symbols that were decided on, as a fraction."""
    changes, decided = [], market.decided
    for sym in np.unique(decided["sym"]):
        closes = decided[decided["sym"] == sym]["close"]
        changes.append(closes[-1] / closes[0] - 1.0)
    return float(np.mean(changes))


def tables_of(market: Market, settings: Settings, outcome: Outcome) -> dict[str, Columns]:
    """The log tables of an outcome."""
    rows = {name: getattr(outcome.rows, name) for name in KINDS}
    rows["equity"] = since_start(rows["equity"], market)
    costs = settings.simulation
    return log_tables(
        rows, Words(market.symbols, market.sources, costs.initial_capital, settings.execution.entry_latency_ms)
    )


def since_start(equity: Rows, market: Market) -> Rows:
    """EQUITY rows from the first decision on: those flat bars before it would only thin out what the KPIs measure."""
    rows: Rows = equity[equity["ts"] >= min(market.starts)]
    return rows


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
        "data_warnings": doubts(market, trades),
        "decision_sha256": digest,
    }


def place_of(
    market: Market, settings: Settings, logs_dir: str | Path | None, started: datetime
) -> tuple[Path, str | None]:
    """Where a run on this market is written: the logs directory, and its name below `runs/` where it is to have one."""
    name = None if logs_dir is not None else f"{started:%Y%m%dT%H%M%SZ}-{run_hash(market, settings)}"
    return logs_of(settings, logs_dir), name


def journal_of(market: Market, settings: Settings, logs_dir: str | Path | None, started: datetime) -> FileJournal:
    """What keeps a run on this market that could be run again."""
    return FileJournal(*place_of(market, settings, logs_dir, started))


def logs_of(settings: Settings, logs_dir: str | Path | None) -> Path:
    """The logs directory of a run."""
    return Path(settings.logs.dir if logs_dir is None else logs_dir)


def run_hash(market: Market, settings: Settings) -> str:
    """Eight digits that name a run by what went in: data and settings."""
    text = json.dumps([list(map(dict, market.files)), said_settings(settings)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def said_settings(settings: Settings) -> dict[str, Any]:
    """Settings as a run keeps them, as JSON holds them: without secrets, and without its own place."""
    return settings.model_dump(mode="json", exclude={"secrets", "logs"})


def conclude(
    market: Market, settings: Settings, outcome: Outcome, journal: Journal, started: datetime, began: float
) -> SimulationResult:
    """Turn rows into tables, numbers and files."""
    tables = tables_of(market, settings, outcome)
    texts = {table: csv_text(columns) for table, columns in tables.items()}
    digest = decision_hash(texts)
    capital = settings.simulation.initial_capital
    log = Log(tables["trades"], tables["equity"], tables["orders"], capital, "this run", tables["fills"])
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
        "settings": said_settings(settings),
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
