"""The data set beside the default strategy's own pass over the same bars, and the memory of either size of file."""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backtest.data.dataset import make_dataset, write_dataset
from benchmarks.features import keep_memory_warm
from benchmarks.timing import interleaved, line, ratio
from exec.market import Market
from utils.root import ROOT
from utils.settings.tree import Settings

ROUNDS = 7
#: Times the million bars of the market whose file must need no more memory but for its bars.
LONGER = 3


def bench(market: Market, run_default: Callable[[], object]) -> None:
    """Features, labels and weights in memory and into Parquet, and what memory a file takes.

    Args:
        market: a million bars.
        run_default: the default strategy over the same bars.
    """
    keep_memory_warm()
    settings = Settings()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.parquet"
        seconds = interleaved(
            {
                "default strategy": run_default,
                "in memory": lambda: make_dataset(market, settings),
                "into Parquet, lz4": lambda: write_dataset(path, market, settings),
            },
            ROUNDS,
        )
        size = path.stat().st_size / 1e6
    print(f"\nData set, {len(market.bars):,} mock bars: 30 features, labels of both directions, weights")
    for name, spent in seconds.items():
        line(name, f"{statistics.median(spent):.3f} s")
    line("in memory / default strategy", ratio(seconds, "in memory", "default strategy"), "goal: at most 2.5")
    line("into Parquet / default strategy", ratio(seconds, "into Parquet, lz4", "default strategy"))
    line("the file", f"{size:.0f} MB")
    for times in (1, LONGER):
        child = subprocess.run(
            [sys.executable, "-m", "benchmarks", f"dataset-memory-{times}"],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        line(f"peak memory of a process that writes {times} x that", child.stdout.strip(), "goal: under 1,500 MB")


def longer(market: Market, times: int) -> Market:
    """The market so many times, one after the other: its prices begin anew at each."""
    bars = np.concatenate([market.bars] * times)
    bars["ts"] = bars["ts"][0] + market.tf_ns * np.arange(len(bars), dtype=np.int64)
    bars["last"] = 0
    bars["last"][-1] = 1
    return dataclasses.replace(market, bars=bars)


def write_once(market: Market) -> None:
    """Write the data set of a market, and forget it."""
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder) / "features.parquet", market, Settings())
