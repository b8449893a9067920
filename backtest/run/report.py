"""From the rows of a run to what is kept of it: log files, KPIs, the funnel, and the win rate that its costs demand."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from backtest.data.doubts import doubts
from backtest.run.loop import Outcome
from backtest.run.result import SimulationResult
from backtest.run.trials import tried
from backtest.strategies.identity import Identity
from exec.market import Market
from utils.codes import CANCELLED, CLOSED, EXPECTED_NET, EXPIRED, FLIPPED, HELD, OPENED, REFUSED, REJECTED, STATUS_NAMES
from utils.kpis import Log, fill_rate, max_drawdown, money_flow, profit_factor, sharpe_ratio, win_rate
from utils.market.costs import break_even_win_rate, crossing_bps, round_trip_costs
from utils.ports import Journal
from utils.records.files import FileJournal, csv_text, decision_hash, plain
from utils.records.names import KINDS, Words, log_tables
from utils.records.schema import SCHEMA_VERSION, Columns
from utils.rows import BPS, Rows
from utils.settings.tree import Settings
from utils.shell.version import version
from utils.summary import summarise

#: What the built-in strategy is called; its parameters are settings.
DEFAULT = "default"


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


@dataclass(frozen=True, slots=True)
class BarrierSizes:
    """How far take and stop were from the entry, bps."""

    take_bps: float
    stop_bps: float
    of_trades: bool  # as the trades of the run had them, else as the settings have them


def barriers_of(settings: Settings, trades: Columns) -> BarrierSizes:
    """The barriers that the trades had, means by the notional of their entries; without trades those of the settings.

    By notional, since the break-even rate asks when money is neither made nor lost: with these means it is the rate at
    which the sum over trades is 0.
    """
    entry, stop, take = (trades[name] for name in ("entry_price", "stop_price", "take_price"))
    notional = trades["qty"] * entry
    known = np.isfinite(stop) & np.isfinite(take) & (notional > 0.0)
    if not known.any():
        return BarrierSizes(settings.risk.take_bps, settings.risk.stop_bps, of_trades=False)
    take_bps, stop_bps = (
        float(np.average(np.abs(level[known] / entry[known] - 1.0) / BPS, weights=notional[known]))
        for level in (take, stop)
    )
    return BarrierSizes(take_bps, stop_bps, of_trades=True)


def break_even_table(market: Market, settings: Settings, barriers: BarrierSizes, price: float) -> list[dict[str, Any]]:
    """Win rate that these barriers need, per way to execute, with the first symbol's fees; costs in bps.

    Crossing costs a tick at least, at that symbol's price, quote.
    """
    costs, fees = settings.simulation, market.instruments[0]
    crossing = crossing_bps(costs.spread_bps / 2.0, costs.slippage_bps, float(fees.tick), price)
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
            "win_rate": break_even_win_rate(barriers.take_bps, barriers.stop_bps, take, stop),
        }
        for name, take, stop in rows
    ]


def needed_win_rate(table: Sequence[Mapping[str, Any]], settings: Settings) -> float:
    """Of a break-even table the win rate for the configured kind of entry, as a fraction."""
    return float(table[1 if settings.execution.entry != "market" else 2]["win_rate"])


def charged(market: Market) -> list[dict[str, Any]]:
    """What the venue allowed and charged in this run, by symbol: ticks, lots, fees, margin as the engine had them."""
    said = ("tick", "lot", "min_notional", "maker_bps", "taker_bps", "max_leverage", "maintenance")
    return [
        {"symbol": symbol} | {name: float(row[name]) for name in said}
        for symbol, row in zip(market.symbols, market.instruments, strict=True)
    ]


def median_closes(market: Market, decided: Rows) -> list[float]:
    """The median close of each symbol over its decided bars, quote; NaN where there are none."""
    closes = [decided["close"][decided["sym"] == sym] for sym in range(len(market.symbols))]
    return [float(np.median(own)) if len(own) else math.nan for own in closes]


def ticks_per_stop(market: Market, settings: Settings, trades: Rows, prices: Sequence[float]) -> dict[str, float]:
    """The tick as a fraction of the stop's distance, by symbol: the median of its trades, else what the settings ask.

    NaN: a stop in true ranges, and no trade. Above a quarter, where prices can rest decides more than where they go.
    """
    found = {}
    for sym, symbol in enumerate(market.symbols):
        own = trades[trades["sym"] == sym]
        asked = math.nan if settings.risk.stop == "atr" else settings.risk.stop_bps * BPS * prices[sym]
        away = float(np.median(np.abs(own["entry_price"] - own["stop_price"]))) if len(own) else asked
        found[symbol] = float(market.instruments["tick"][sym]) / away
    return found


def market_change(decided: Rows) -> float:
    """Close-to-close change over the decided bars, mean over the symbols that there are, as a fraction."""
    changes = []
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
        rows,
        Words(
            market.symbols,
            market.sources,
            costs.initial_capital,
            settings.execution.entry_latency_ms,
            tuple(model.name for model in outcome.models),
        ),
    )


def since_start(equity: Rows, market: Market) -> Rows:
    """EQUITY rows from the first decision on: those flat bars before it would only thin out what the KPIs measure."""
    rows: Rows = equity[equity["ts"] >= min(market.starts)]
    return rows


def money_of(log: Log) -> dict[str, Any]:
    """Where the money went: steps from the moves of prices to the net of closed trades, quote and bps of traded."""
    flow = money_flow(log)
    steps = [{"name": name, "quote": money, "bps": flow.bps(money)} for name, money in flow.steps()]
    return {"steps": steps, "net": flow.net, "net_bps": flow.bps(flow.net), "traded": flow.traded}


def judged(outcome: Outcome) -> dict[str, Any]:
    """What the model that judged last said of this run's signals, under `model`; nothing where none did."""
    if not outcome.models:
        return {}
    model, decisions = outcome.models[-1], outcome.rows.decisions
    return {
        "model": {
            "version": model.name,
            "family": model.meta.family,
            "threshold_bps": model.meta.threshold_bps,
            "signals": int((decisions["model"] == len(outcome.models)).sum()),
            "refused": int((decisions["rule"] == EXPECTED_NET).sum()),
        }
    }


def report_of(
    market: Market,
    decided: Rows,
    settings: Settings,
    outcome: Outcome,
    tables: Mapping[str, Columns],
    log: Log,
    digest: str,
) -> dict[str, Any]:
    """The headline numbers, each from the function of `utils.kpis` that answers for the log files."""
    trades = tables["trades"]
    prices, barriers = median_closes(market, decided), barriers_of(settings, trades)
    table = break_even_table(market, settings, barriers, prices[0])
    return {
        "version": version(),
        "source": ",".join(dict.fromkeys(market.sources)),
        "symbol": ",".join(market.symbols),
        "timeframe": market.tf,
        "bars": len(decided),
        "warmup_bars": len(market.bars) - len(decided),
        "trades": len(outcome.rows.trades),
        "signals": len(outcome.rows.decisions),
        "orders": len(outcome.rows.orders),
        "initial_capital": settings.simulation.initial_capital,
        "final_equity": outcome.equity,
        "net_pnl": float(np.sum(trades["net_pnl"])),
        "fees": float(np.sum(trades["fees"])),
        "funding": float(np.sum(trades["funding"])),
        "money": money_of(log),
        "sharpe": sharpe_ratio(log),
        "max_drawdown": max_drawdown(log),
        "profit_factor": profit_factor(log),
        "win_rate": win_rate(log),
        "market_change": market_change(decided),
        "barriers": dataclasses.asdict(barriers),
        "break_even": table,
        "break_even_win_rate": needed_win_rate(table, settings),
        "fill_rate": fill_rate(log),
        "ambiguous_share": outcome.ambiguous / max(1, outcome.held_bars),
        "capped_prices": outcome.capped,
        "halts": {"tripped": outcome.halts, "holding": [dataclasses.asdict(halt) for halt in outcome.holding]},
        "tick_per_stop": ticks_per_stop(market, settings, outcome.rows.trades, prices),
        "gap_bars": sum(gap["missing"] for one in market.files for gap in one["gaps"]),
        "data_warnings": doubts(market, trades),
        "decision_sha256": digest,
        **judged(outcome),
    }


def place_of(
    market: Market,
    settings: Settings,
    logs_dir: str | Path | None,
    started: datetime,
    identity: Identity | None = None,
) -> tuple[Path, str | None]:
    """Where a run on this market is written: the logs directory, and its name below `runs/` where it is to have one."""
    name = None if logs_dir is not None else f"{started:%Y%m%dT%H%M%SZ}-{run_hash(market, settings, identity)}"
    return logs_of(settings, logs_dir), name


def journal_of(
    market: Market,
    settings: Settings,
    logs_dir: str | Path | None,
    started: datetime,
    identity: Identity | None = None,
) -> FileJournal:
    """What keeps a run on this market that could be run again."""
    return FileJournal(*place_of(market, settings, logs_dir, started, identity))


def logs_of(settings: Settings, logs_dir: str | Path | None) -> Path:
    """The logs directory of a run."""
    return Path(settings.logs.dir if logs_dir is None else logs_dir)


def run_hash(market: Market, settings: Settings, identity: Identity | None = None) -> str:
    """Eight digits that name a run by what went in: data, settings, and a strategy of the user's."""
    went_in: list[Any] = [list(map(dict, market.files)), said_settings(settings)]
    if identity is not None:
        went_in.append(identity.row())
    text = json.dumps(went_in, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def said_settings(settings: Settings) -> dict[str, Any]:
    """Settings as a run keeps them, as JSON holds them: without secrets, and without its own place."""
    return settings.model_dump(mode="json", exclude={"secrets", "logs"})


def conclude(
    market: Market,
    settings: Settings,
    outcome: Outcome,
    journal: Journal,
    started: datetime,
    began: float,
    identity: Identity | None = None,
    *,
    told: str = "",
) -> SimulationResult:
    """Turn rows into tables, numbers and files.

    `identity` is that of a user's strategy, `told` the command line, "" where there was none.
    """
    tables = tables_of(market, settings, outcome)
    texts = {table: csv_text(columns) for table, columns in tables.items()}
    digest = decision_hash(texts)
    capital = settings.simulation.initial_capital
    log = Log(tables["trades"], tables["equity"], tables["orders"], capital, "this run", tables["fills"])
    funnel = funnel_of(market, outcome)
    decided = market.decided
    report = report_of(market, decided, settings, outcome, tables, log, digest)
    before = tried(settings)
    metrics = summarise(
        log,
        period=(int(decided["ts"][0]), int(decided["ts"][-1])),
        market_change=report["market_change"],
        trading_mode=f"Paper, {'spot as if' if market.spot else 'isolated'} futures",
        bars=report["bars"],
        max_open_trades=settings.risk.max_positions,
        rejected_entry_signals=funnel["refused"],
        entry_timeouts=funnel["entries expired"],
        exit_timeouts=0,
        canceled_entry_orders=funnel["entries cancelled"],
        canceled_trade_entries=funnel["entries cancelled"],
        replaced_entry_orders=0,
        break_even_win_rate=report["break_even_win_rate"],
        data_gaps=sum(len(one["gaps"]) for one in market.files),
        assumptions="pessimistic bars",
        trials=before.count,
        trial_variance=before.variance,
        pbo=before.pbo,
        decision_hash=digest,
    )
    report |= {
        "strategy": DEFAULT if identity is None else identity.name,
        "answers_different": outcome.answers.get("different"),
        "trials": before.count,
        "deflated_sharpe": metrics["DSR"],
        "pbo": before.pbo,
        "data_warnings": [*report["data_warnings"], *filter(None, [before.doubt])],
    }
    for table, text in texts.items():
        journal.write(table, text)
    run = {
        "schema": SCHEMA_VERSION,
        "started": f"{started:%Y-%m-%dT%H:%M:%SZ}",
        "elapsed_s": round(time.perf_counter() - began, 3),
        "command": told or None,
        "seed": settings.simulation.seed if market.synthetic else None,
        **report,
        "strategy": {"name": DEFAULT} if identity is None else identity.row(),
        "settings": said_settings(settings),
        "data": [dict(one) for one in market.files],
        "assumptions": market.assumptions,
        "kpis": metrics,
        "funnel": funnel,
        "unavailable_gates": outcome.unavailable,
        "instruments": charged(market),
        **({"answers": outcome.answers} if outcome.answers else {}),
    }
    paths = journal.finish(run)
    report |= {"elapsed_s": round(time.perf_counter() - began, 3), "logs": paths}
    return SimulationResult(
        market, settings, tables, metrics, plain(report), funnel, outcome.unavailable, outcome.answers
    )
