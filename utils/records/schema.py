"""The columns of the log files, in order, and the number of their layout.

A reader refuses a `run.json` whose `schema` is greater than `SCHEMA_VERSION`. Further columns may only follow these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: A table: column name to values; times int64 ns UTC, texts str, ids int (0 = not applicable), the rest float64.
Columns: TypeAlias = Mapping[str, NDArray[Any]]

#: A time that is not there.
NO_TIME = np.iinfo(np.int64).min

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

#: signals.csv: one row per non-neutral signal; `net_bps` is what the version of a model named `model` expected.
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
    "net_bps",
    "model",
)

#: orders.csv: one row per order, written when it ends; `side` is the order's own: buy | sell. Arrival is the moment at
#: which it reached the market, `arrival_mid` the mid then, or the open of a bar; `spread_cost` is half the spread that
#: its taker fills crossed, `impact_cost` what they paid beyond it, quote.
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
    "role",
    "arrival_time",
    "end_time",
    "arrival_mid",
    "spread_cost",
    "impact_cost",
)

#: fills.csv: one row per fill, by time, then fill; `reference` is the price aimed at, `seen_time` when we could know.
FILL_COLUMNS = (
    "fill_id",
    "order_id",
    "trade_id",
    "symbol",
    "side",
    "qty",
    "price",
    "fee",
    "liquidity",
    "time",
    "seen_time",
    "reference",
    "source",
)

#: equity.csv: the account, at most one row a minute.
EQUITY_COLUMNS = ("time", "equity", "realised", "open_pnl", "drawdown")

#: Names of rows, not numbers to reckon with: numbers in a simulation, an exchange's text in a live run.
ID_COLUMNS = frozenset({"trade_id", "order_id", "fill_id"})

#: ISO 8601 UTC with milliseconds; in memory int64 nanoseconds.
TIME_COLUMNS = frozenset(
    {"time", "seen_time", "signal_time", "entry_time", "exit_time", "decision_time", "arrival_time", "end_time"}
)

TEXT_COLUMNS = frozenset(
    {
        "symbol",
        "side",
        "kind",
        "status",
        "reason",
        "reasons",
        "action",
        "role",
        "liquidity",
        "entry_liquidity",
        "exit_liquidity",
        "exit_reason",
        "source",
        "model",
    }
)
