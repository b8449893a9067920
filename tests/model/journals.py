"""What a version said and what became of it, as the log files of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.runs import text, trade_arrays
from utils.records.schema import SIGNAL_COLUMNS, TRADE_COLUMNS

#: Of each trade in `trade_arrays`, quote.
PAID = 2_000.0


def signal_arrays(version: str, p: np.ndarray, expected: np.ndarray) -> dict[str, np.ndarray]:
    """One signal of each trade in `trade_arrays`."""
    trades, n = trade_arrays(np.zeros(len(p))), len(p)
    return {
        "time": trades["signal_time"],
        "symbol": trades["symbol"],
        "side": trades["side"],
        "strength": np.full(n, 50.0),
        "p_win": p,
        "expected_bps": expected + 10.0,
        "action": np.full(n, "OPENED"),
        "reasons": np.full(n, ""),
        "source": trades["source"],
        "net_bps": expected,
        "model": np.full(n, version),
    }


def run_of(folder: Path, version: str, net: np.ndarray, p: float = 0.5, expected: float = 0.0, first: int = 0) -> Path:
    """A folder of log files: trades that earned `net` bps; the version judged all signals but the first few."""
    folder.mkdir(exist_ok=True, parents=True)
    signals = signal_arrays(version, np.full(len(net), p), np.full(len(net), expected))
    signals["model"][:first] = "20200101T000000Z-0123456789ab"
    (folder / "signals.csv").write_text(text(signals, SIGNAL_COLUMNS))
    (folder / "trades.csv").write_text(text(trade_arrays(net * PAID / 1e4), TRADE_COLUMNS))
    (folder / "run.json").write_text('{"schema": 1, "finished": true}')
    return folder
