"""The columns of the log files, in order, and the number of their layout.

A reader refuses a `run.json` whose `schema` is greater than `SCHEMA_VERSION`. Further columns may only follow these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from numpy.typing import NDArray

#: A table: column name to values; times int64 ns UTC, texts str, ids int (0 = not applicable), the rest float64.
Columns: TypeAlias = Mapping[str, NDArray[Any]]

SCHEMA_VERSION = 1

#: trades.csv: one row per closed round trip, by exit time, then entry order.
TRADE_COLUMNS = (
    "trade_id",
    "symbol",
    "side",
    "qty",
    "signal_time",
    "entry_time",
    "exit_time",
    "decision_price",
    "entry_price",
    "exit_price",
    "stop_price",
    "take_price",
    "gross_pnl",
    "fees",
    "funding",
    "net_pnl",
    "slippage_bps",
    "entry_liquidity",
    "exit_liquidity",
    "exit_reason",
    "equity_after",
    "source",
    "gap_bars",
)

#: signals.csv: one row per non-neutral signal.
SIGNAL_COLUMNS = (
    "time",
    "symbol",
    "side",
    "strength",
    "p_win",
    "expected_bps",
    "action",
    "reasons",
    "source",
)

#: orders.csv: one row per order, written when it ends; `side` is the order's own: buy | sell.
ORDER_COLUMNS = (
    "order_id",
    "trade_id",
    "symbol",
    "side",
    "kind",
    "qty",
    "filled_qty",
    "decision_time",
    "decision_price",
    "arrival_price",
    "fill_price",
    "end_price",
    "fees",
    "status",
    "reason",
    "latency_ms",
    "source",
)

#: equity.csv: the account, at most one row a minute.
EQUITY_COLUMNS = ("time", "equity", "realised", "open_pnl", "drawdown")

#: Names of rows, not numbers to reckon with: numbers in a simulation, an exchange's text in a live run.
ID_COLUMNS = frozenset({"trade_id", "order_id"})

#: ISO 8601 UTC with milliseconds; in memory int64 nanoseconds.
TIME_COLUMNS = frozenset({"time", "signal_time", "entry_time", "exit_time", "decision_time"})

TEXT_COLUMNS = frozenset(
    {
        "symbol",
        "side",
        "kind",
        "status",
        "reason",
        "reasons",
        "action",
        "entry_liquidity",
        "exit_liquidity",
        "exit_reason",
        "source",
    }
)
