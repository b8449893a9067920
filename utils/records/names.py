"""From the engine's rows to the columns of the log files: names for codes, ids, running equity, reasons in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.codes import (
    ACTION_NAMES,
    BOUND_NAMES,
    BY_BPS,
    BY_FIXED,
    BY_RISK,
    BY_SIGNAL,
    EXIT_NAMES,
    EXPECTED_NET,
    KIND_NAMES,
    LIQUIDITY_NAMES,
    ORDER_REASONS,
    ROLE_NAMES,
    RULE_NAMES,
    RULE_SIGNS,
    STATUS_NAMES,
    STOP_NAMES,
)
from utils.records.schema import (
    EQUITY_COLUMNS,
    FILL_COLUMNS,
    NO_TIME,
    ORDER_COLUMNS,
    SIGNAL_COLUMNS,
    TRADE_COLUMNS,
    Columns,
)
from utils.rows import DECISION, EQUITY, FILL, NEVER, ORDER, TRADE, Rows
from utils.shell.moments import iso

#: The rows of a run by name, with the layout of each: what the log tables are made of.
KINDS = {"trades": TRADE, "decisions": DECISION, "orders": ORDER, "fills": FILL, "equity": EQUITY}


@dataclass(frozen=True, slots=True)
class Words:
    """What the log tables of a run say that its rows do not."""

    symbols: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()  # beside symbols
    capital: float = 0.0  # quote, at the start
    latency_ms: float = 0.0  # from decision to market
    models: tuple[str, ...] = ()  # versions of models that were asked, in the order of their numbers


def named(names: Sequence[str], codes: NDArray[np.int64]) -> NDArray[np.object_]:
    """Texts of codes: references to a few strings, not a copy of them in each row."""
    return np.array(names, dtype=object)[codes]


def log_tables(rows: Mapping[str, Rows], words: Words) -> dict[str, Columns]:
    """The tables of the log files of a run; rows that are not given are none."""
    return tables_in_words(log_order(rows), words)


def log_order(rows: Mapping[str, Rows]) -> dict[str, Rows]:
    """All rows of `KINDS`, in the order of the log files: trades by exit, then entry order; fills by time, then id."""
    every = {name: rows.get(name, np.zeros(0, kind)) for name, kind in KINDS.items()}
    trades, fills = every["trades"], every["fills"]
    every["trades"] = trades[np.lexsort((trades["entry_no"], trades["exit_ts"]))]
    every["fills"] = fills[np.lexsort((fills["fill_id"], fills["ts"]))]
    return every


def tables_in_words(rows: Mapping[str, Rows], words: Words, realised: float = 0.0) -> dict[str, Columns]:
    """The log tables of rows as they stand; `realised` is the net of all trades before them, quote."""
    names, sources = words.symbols, words.sources
    return {
        "trades": _trades(rows["trades"], names, words.capital, sources, realised),
        "signals": signal_columns(rows["decisions"], names, sources, words.models),
        "orders": order_columns(rows["orders"], names, words.latency_ms, sources),
        "fills": _fills(rows["fills"], names, sources),
        "equity": equity_columns(rows["equity"]),
    }


def trade_columns(rows: Rows, symbols: Sequence[str], capital: float, sources: Sequence[str]) -> Columns:
    """trades.csv: in order of exit time, then entry order; `equity_after` = capital + net of all rows so far."""
    return _trades(log_order({"trades": rows})["trades"], symbols, capital, sources, 0.0)


def _trades(rows: Rows, symbols: Sequence[str], capital: float, sources: Sequence[str], realised: float) -> Columns:
    columns: Columns = {
        "trade_id": rows["entry_no"],
        "symbol": named(symbols, rows["sym"]),
        "side": np.where(rows["side"] > 0, "long", "short"),
        "signal_time": rows["signal_ts"],
        "entry_time": rows["entry_ts"],
        "exit_time": rows["exit_ts"],
        "entry_liquidity": named(LIQUIDITY_NAMES, rows["entry_liquidity"]),
        "exit_liquidity": named(LIQUIDITY_NAMES, rows["exit_liquidity"]),
        "exit_reason": named(EXIT_NAMES, rows["exit_reason"]),
        # summed from the first trade on, whether rows come at once or one by one: the same additions, the same bits
        "equity_after": capital + np.cumsum(np.concatenate([[realised], rows["net_pnl"]]))[1:],
        "source": named(sources, rows["sym"]),
    }
    return {name: columns[name] if name in columns else rows[name] for name in TRADE_COLUMNS}


def order_columns(rows: Rows, symbols: Sequence[str], latency_ms: float, sources: Sequence[str]) -> Columns:
    """orders.csv: one row an order, in the order they ended; what rows of an older layout do not say is empty."""
    columns: Columns = {
        "trade_id": rows["entry_no"],
        "symbol": named(symbols, rows["sym"]),
        "side": np.where(rows["side"] > 0, "buy", "sell"),
        "kind": named(KIND_NAMES, rows["kind"]),
        "decision_time": rows["decision_ts"],
        "status": named(STATUS_NAMES, rows["status"]),
        "reason": named(ORDER_REASONS, rows["reason"]),
        "latency_ms": np.full(len(rows), latency_ms),
        "source": named(sources, rows["sym"]),
        "role": named(ROLE_NAMES, _said(rows, "role", 0)),
        "arrival_time": _moments(_said(rows, "arrival_ts", 0)),
        "end_time": _moments(_said(rows, "end_ts", 0)),
        "arrival_mid": _said(rows, "mid", np.nan),
        "spread_cost": _said(rows, "spread_cost", np.nan),
        "impact_cost": _said(rows, "impact_cost", np.nan),
    }
    return {name: columns[name] if name in columns else rows[name] for name in ORDER_COLUMNS}


def _said(rows: Rows, name: str, nothing: float) -> NDArray[Any]:
    """A field, or nothing where the layout of the rows has none of that name."""
    return rows[name] if name in (rows.dtype.names or ()) else np.full(len(rows), nothing)


def _moments(stamps: NDArray[Any]) -> NDArray[np.int64]:
    """Times of what may not have happened: 0 becomes `NO_TIME`."""
    return np.where(stamps == 0, NO_TIME, stamps)


def fill_columns(rows: Rows, symbols: Sequence[str], sources: Sequence[str]) -> Columns:
    """fills.csv: one row a fill, in order of time, then fill."""
    return _fills(log_order({"fills": rows})["fills"], symbols, sources)


def _fills(rows: Rows, symbols: Sequence[str], sources: Sequence[str]) -> Columns:
    columns: Columns = {
        "trade_id": rows["entry_no"],
        "symbol": named(symbols, rows["sym"]),
        "side": np.where(rows["side"] > 0, "buy", "sell"),
        "liquidity": named(LIQUIDITY_NAMES, rows["liquidity"]),
        "time": rows["ts"],
        "seen_time": rows["seen_ts"],
        "source": named(sources, rows["sym"]),
    }
    return {name: columns[name] if name in columns else rows[name] for name in FILL_COLUMNS}


#: The limit of a model that takes no trade at all, whatever it expects of it.
NEVER_TAKEN = "never"


def refusal_text(rule: int, value: float, limit: float) -> str:
    """`rule=value<limit` of a rule that refused; a model that takes no trade has the limit `never`."""
    bound = NEVER_TAKEN if rule == EXPECTED_NET and limit == math.inf else f"{limit:.6g}"
    return f"{RULE_NAMES[rule]}={value:.6g}{RULE_SIGNS[rule]}{bound}"


def until_text(until: int) -> str:
    """`until=<time>` of a refusal that holds so long (ns), or until somebody lifts the halt."""
    if until == NEVER:
        return "until=lifted"
    return f"until={iso(until)}"


#: What decided of an entry, where it was not simply what the settings ask for.
PLAIN_BOUNDS = (0, BY_RISK, BY_FIXED)
PLAIN_STOPS = (0, BY_BPS, BY_SIGNAL)


def reasons_of(rows: Rows) -> list[str]:
    """Why each decision was taken, `name=value` or `rule=value<limit`, in this order.

    The strength it passed with; the kind of entry, where the engine chose it; what set the stop (bps), and what held
    the size (quote), where that was not simply the settings' word; then the rule that refused, and until when.
    """
    names = ["strength", "threshold", "kind", "stop_rule", "stop_bps", "bound", "notional"]
    asked = rows[[*names, "rule", "value", "limit", "until"]].tolist()
    texts = []
    for strength, threshold, kind, stop_rule, stop_bps, bound, notional, rule, value, limit, until in asked:
        parts = [] if threshold != threshold else [f"strength={strength:.1f}>={threshold:.1f}"]  # noqa: PLR0124 - NaN
        if kind:
            parts.append(f"entry={KIND_NAMES[kind]}")
        if stop_rule not in PLAIN_STOPS:
            parts.append(f"{STOP_NAMES[stop_rule]}={stop_bps:.6g}")
        if rule:
            parts.append(refusal_text(rule, value, limit))
        if bound not in PLAIN_BOUNDS:
            parts.append(f"held_by={BOUND_NAMES[bound]}" if rule else f"{BOUND_NAMES[bound]}={notional:.6g}")
        if until:
            parts.append(until_text(until))
        texts.append(";".join(parts))
    return texts


def signal_columns(rows: Rows, symbols: Sequence[str], sources: Sequence[str], models: Sequence[str] = ()) -> Columns:
    """signals.csv: one row a non-neutral signal, in the order they were answered."""
    columns: Columns = {
        "time": rows["ts"],
        "symbol": named(symbols, rows["sym"]),
        "side": named(("close", "long", "short"), rows["side"]),
        "action": named(ACTION_NAMES, rows["action"]),
        "reasons": np.array(reasons_of(rows), dtype=np.str_),
        "source": named(sources, rows["sym"]),
        "net_bps": _said(rows, "net_bps", np.nan),
        "model": named(("", *models), _said(rows, "model", 0).astype(np.int64)),
    }
    return {name: columns[name] if name in columns else rows[name] for name in SIGNAL_COLUMNS}


def equity_columns(rows: Rows) -> Columns:
    """equity.csv: the account at closes."""
    return {name: rows["ts"] if name == "time" else rows[name] for name in EQUITY_COLUMNS}
