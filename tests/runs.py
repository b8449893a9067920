"""A finished run by hand: the arrays and the files of a few trades, orders and closes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from utils.records import schema
from utils.records.reader import Log, iso_time
from utils.rows import NS_PER_DAY as DAY
from utils.rows import NS_PER_MINUTE as MINUTE

START = 1_704_067_200 * 10**9  # 2024-01-01T00:00Z
RETURNS = np.array([0.01, -0.005, 0.002, 0.0, -0.012, 0.008, 0.003])
PNL = np.array([30.0, -18.0, 25.0, -18.0, -18.0, 25.0])


def equity_log() -> Log:
    """The golden returns as one equity row a day, without trades."""
    times = START + DAY * np.arange(1, 8)
    equity = {"time": times, "equity": 10_000 * np.cumprod(1 + RETURNS)}
    return Log(trade_arrays(np.empty(0)), equity, None, 10_000.0)


def trade_arrays(pnl: np.ndarray, initial: float = 10_000.0) -> dict[str, np.ndarray]:
    """One trade of ten minutes every eight hours, long and short in turn, fee 1, funding 0.5."""
    n = len(pnl)
    entry = START + 8 * 60 * MINUTE * np.arange(n)
    long = np.arange(n) % 2 == 0
    gross = pnl + 1.5
    return {
        "symbol": np.where(np.arange(n) < 4, "BTCUSDT", "ETHUSDT"),
        "side": np.where(long, "long", "short"),
        "qty": np.full(n, 2.0),
        "signal_time": entry,
        "entry_time": entry,
        "exit_time": entry + 10 * MINUTE,
        "decision_price": np.full(n, 1000.0),
        "entry_price": np.full(n, 1000.0),
        "exit_price": 1000.0 + np.where(long, 1, -1) * gross / 2,
        "stop_price": np.where(long, 998.0, 1002.0),
        "take_price": np.where(long, 1002.5, 997.5),
        "gross_pnl": gross,
        "fees": np.full(n, 1.0),
        "funding": np.full(n, 0.5),
        "net_pnl": pnl.astype(float),
        "slippage_bps": np.full(n, 3.0),
        "entry_liquidity": np.full(n, "taker"),
        "exit_liquidity": np.where(pnl > 0, "maker", "taker"),
        "exit_reason": np.where(pnl > 0, "TAKE_PROFIT", np.where(pnl < 0, "STOP_LOSS", "TIME_LIMIT")),
        "equity_after": initial + np.cumsum(pnl),
        "source": np.full(n, "synthetic"),
        "gap_bars": np.zeros(n),
    }


def text(columns: dict[str, np.ndarray], names: tuple[str, ...]) -> str:
    """Columns as a log file, floats by repr, times as ISO 8601 with milliseconds, NaN as nothing."""

    def cell(name: str, i: int) -> str:
        if name not in columns:
            return str(i + 1)
        value = columns[name][i]
        if name in schema.TIME_COLUMNS:
            return "" if value == schema.NO_TIME else iso_time(int(value))
        if name in schema.TEXT_COLUMNS:
            return str(value)
        return "" if math.isnan(value) else repr(float(value))

    n = len(next(iter(columns.values())))
    return "\n".join([",".join(names), *(",".join(cell(name, i) for name in names) for i in range(n))]) + "\n"


def write_trades(folder: Path, pnl: np.ndarray = PNL, name: str = "trades.csv") -> Path:
    path = folder / name
    path.write_text(text(trade_arrays(pnl), schema.TRADE_COLUMNS))
    return path


EQUITY = {
    "time": START + 6 * 60 * MINUTE * np.arange(1, 11),
    "equity": np.array([10_010.0, 9_990, 10_050, 10_020, 10_100, 10_000, 9_900, 9_950, 10_026, 10_026]),
    "realised": np.array([0.0, 30, 12, 37, 37, 19, 19, 1, 26, 26]),
}
EQUITY["open_pnl"] = EQUITY["equity"] - EQUITY["realised"] - 10_000
EQUITY["drawdown"] = np.zeros(10)

ORDERS = {
    "symbol": np.array(["BTCUSDT"] * 4),
    "side": np.array(["buy", "sell", "buy", "buy"]),
    "kind": np.array(["LIMIT", "MARKET", "LIMIT", "MARKET"]),
    "qty": np.array([10.0, 8, 5, 5]),
    "filled_qty": np.array([8.0, 8, 0, 0]),
    "decision_time": START + MINUTE * np.arange(4),
    "decision_price": np.array([100.0, 101, 100, 100]),
    "arrival_price": np.array([100.05, 100.9, np.nan, np.nan]),
    "fill_price": np.array([100.12, 100.8, np.nan, np.nan]),
    "end_price": np.array([100.40, np.nan, 100.2, np.nan]),
    "fees": np.array([0.4405, 0.4, np.nan, np.nan]),
    "status": np.array(["PARTIAL", "FILLED", "EXPIRED", "REJECTED"]),
    "reason": np.array(["", "TAKE_PROFIT", "", "MIN_NOTIONAL"]),
    "latency_ms": np.full(4, np.nan),
    "source": np.full(4, "synthetic"),
    "role": np.array(["ENTRY", "TAKE", "ENTRY", "ENTRY"]),
    "arrival_time": np.array([START, START + 2 * MINUTE, schema.NO_TIME, schema.NO_TIME]),
    "end_time": START + MINUTE * np.arange(1, 5),
    "arrival_mid": np.full(4, np.nan),
    "spread_cost": np.array([0.2, 0.3, 0, 0]),
    "impact_cost": np.array([0.36, 0.5, 0, 0]),
}

FILLS = {
    "order_id": np.array([1.0, 1, 2]),
    "trade_id": np.array([1.0, 1, 1]),
    "symbol": np.array(["BTCUSDT"] * 3),
    "side": np.array(["buy", "buy", "sell"]),
    "qty": np.array([5.0, 3, 8]),
    "price": np.array([100.12, 100.12, 100.8]),
    "fee": np.array([0.27, 0.1705, 0.4]),
    "liquidity": np.array(["taker", "taker", "maker"]),
    "time": START + MINUTE * np.arange(1, 4),
    "seen_time": START + MINUTE * np.arange(1, 4),
    "reference": np.array([100.05, 100.05, 100.9]),
    "source": np.full(3, "synthetic"),
}


def write_run(folder: Path) -> Path:
    (folder / "equity.csv").write_text(text(EQUITY, schema.EQUITY_COLUMNS))
    (folder / "orders.csv").write_text(text(ORDERS, schema.ORDER_COLUMNS))
    (folder / "fills.csv").write_text(text(FILLS, schema.FILL_COLUMNS))
    (folder / "run.json").write_text('{"schema": 1, "settings": {"simulation": {"initial_capital": 10000}}}')
    return write_trades(folder)


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
