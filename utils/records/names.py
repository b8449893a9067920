"""From the engine's rows to the columns of the log files: names for codes, ids, running equity, reasons in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from utils.codes import (
    ACTION_NAMES,
    EXIT_NAMES,
    KIND_NAMES,
    LIQUIDITY_NAMES,
    ORDER_REASONS,
    RULE_NAMES,
    RULE_SIGNS,
    STATUS_NAMES,
)
from utils.records.schema import EQUITY_COLUMNS, ORDER_COLUMNS, SIGNAL_COLUMNS, TRADE_COLUMNS, Columns
from utils.rows import Rows


def named(names: Sequence[str], codes: NDArray[np.int64]) -> NDArray[np.object_]:
    """Texts of codes: references to a few strings, not a copy of them in each row."""
    return np.array(names, dtype=object)[codes]


def trade_columns(rows: Rows, symbols: Sequence[str], capital: float, sources: Sequence[str]) -> Columns:
    """trades.csv: in order of exit time, then entry order; `equity_after` = capital + net of all rows so far."""
    rows = rows[np.lexsort((rows["entry_no"], rows["exit_ts"]))]
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
        "equity_after": capital + np.cumsum(rows["net_pnl"]),
        "source": named(sources, rows["sym"]),
    }
    return {name: columns[name] if name in columns else rows[name] for name in TRADE_COLUMNS}


def order_columns(rows: Rows, symbols: Sequence[str], latency_ms: float, sources: Sequence[str]) -> Columns:
    """orders.csv: one row an order, in the order they ended."""
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
    }
    return {name: columns[name] if name in columns else rows[name] for name in ORDER_COLUMNS}


def refusal_text(rule: int, value: float, limit: float) -> str:
    """`rule=value<limit` of a rule that refused."""
    return f"{RULE_NAMES[rule]}={value:.6g}{RULE_SIGNS[rule]}{limit:.6g}"


def reasons_of(rows: Rows) -> list[str]:
    """`rule=value<limit` of each decision: the strength it passed with, then the rule that refused."""
    texts = []
    for strength, threshold, rule, value, limit in rows[["strength", "threshold", "rule", "value", "limit"]].tolist():
        parts = [] if threshold != threshold else [f"strength={strength:.1f}>={threshold:.1f}"]  # noqa: PLR0124 - NaN
        if rule:
            parts.append(refusal_text(rule, value, limit))
        texts.append(";".join(parts))
    return texts


def signal_columns(rows: Rows, symbols: Sequence[str], sources: Sequence[str]) -> Columns:
    """signals.csv: one row a non-neutral signal, in the order they were answered."""
    columns: Columns = {
        "time": rows["ts"],
        "symbol": named(symbols, rows["sym"]),
        "side": named(("close", "long", "short"), rows["side"]),
        "action": named(ACTION_NAMES, rows["action"]),
        "reasons": np.array(reasons_of(rows), dtype=np.str_),
        "source": named(sources, rows["sym"]),
    }
    return {name: columns[name] if name in columns else rows[name] for name in SIGNAL_COLUMNS}


def equity_columns(rows: Rows) -> Columns:
    """equity.csv: the account at closes."""
    return {name: rows["ts"] if name == "time" else rows[name] for name in EQUITY_COLUMNS}
