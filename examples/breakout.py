"""A strategy of one's own: any function from market rows to signal rows.

Run it on a candle file, or on the mock market when none is named:

    python examples/breakout.py [CANDLES]
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pandas as pd

from backtest.data.market import build_market, read_sources, synthetic_market
from backtest.sim_loop import run_simulation
from exec.market import Market
from utils.config import load_settings
from utils.shell.cli import guarded


def breakout(market: pd.DataFrame) -> pd.DataFrame:
    """Buy a close above the highest high of the 20 bars before it, sell one below their lowest low.

    `market` has one row a closed bar: `ts` (close), symbol, candle columns, and every registered feature. It is of one
    symbol: of several, each is asked for by itself, unless `breakout.together = True` asks for one frame of all. A row
    of the answer needs `ts` and `side` (+1, -1, or 0 to close); strength, p_win, expected_bps and barriers of its own
    are optional, and bars it does not mention are neutral.
    """
    highest = market["high"].rolling(20).max().shift(1)
    lowest = market["low"].rolling(20).min().shift(1)
    side = (market["close"] > highest).astype(int) - (market["close"] < lowest).astype(int)
    signals = market[["ts", "symbol"]].assign(side=side, take_bps=40.0, stop_bps=25.0)
    return signals[side != 0]


def candles(arguments: list[str]) -> Market:
    """The file named, or the mock market."""
    settings = load_settings().settings
    if arguments:
        path = Path(arguments[0])
        return build_market(read_sources(path, None, None), settings, data=path)
    return synthetic_market(settings, "BTCUSDT", "5m", 500, None)


def main(arguments: list[str]) -> int:
    """Simulate it, and print its last trades."""
    result = run_simulation(data=candles(arguments), strategy=breakout)
    print(result.trades[["symbol", "side", "entry_time", "exit_time", "exit_reason", "net_pnl"]].tail(10).to_string())
    print(
        f"{len(result.trades)} trades, net {result.report['net_pnl']:.2f}, log files: {result.report['logs']['trades']}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(guarded(partial(main, sys.argv[1:]), sys.argv[1:]))
