"""Measure what we claim: `python -m benchmarks [PART ...]`, each beside its peer.

Figures are medians of interleaved runs, after a warm-up run of each; machines are noisy, so the ratios are what counts.
`pip install -r benchmarks/requirements.txt` brings the peer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backtest.run.loop import simulate
from backtest.sweep import Branch, SignalMaker, run_branches
from benchmarks import kernel as bare
from benchmarks.inputs import SETTINGS, market_bars
from benchmarks.peers import vectorbt_bars, vectorbt_sweep
from benchmarks.rules import (
    CAPITAL,
    engine_trades,
    filter_passes,
    filtered_signals,
    fresh_rule,
    instrument_for,
    params_for,
)
from benchmarks.scoring import main as bench_scoring_rows
from benchmarks.sizing import main as bench_sizing
from benchmarks.timing import interleaved, line, per_bar, ratio
from exec.market import Market
from features.registry import feature_set
from utils.records.names import trade_columns
from utils.rows import FUNDING, NS_PER_MINUTE, Rows
from utils.settings.tree import Settings

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 11


def market_of(bars: Rows, tick: float) -> Market:
    """The benchmark's bars as a market of one symbol; decisions from the 61st bar on."""
    rows = np.array(instrument_for(tick))
    start = int(bars["ts"][60])
    return Market(("BENCH",), ("bars",), "1m", NS_PER_MINUTE, bars, rows, np.zeros(0, FUNDING), (start,), (), ())


def bench_bars() -> None:
    """The benchmark rules: bare kernel, our engine, vectorbt's engines."""
    bars, tick = market_bars()
    arrays, room = bare.columns(bars), np.empty(len(bars), bare.TRADE)
    theirs, ours = bare.run(bars, tick), engine_trades(bars, tick)
    ours = ours[np.argsort(ours["entry_no"])]
    for name, other in (("side", "side"), ("qty", "qty"), ("entry_price", "entry_price"), ("exit_price", "exit_price")):
        if not np.array_equal(theirs[name], ours[other]):
            raise SystemExit(f"engine and kernel differ in {name}: no speed is worth that")
    held = engine_trades(bars, tick, limits=True)
    if held[np.argsort(held["entry_no"])].tobytes() != ours.tobytes():
        raise SystemExit("limits that do not bind change the trades: no speed is worth that")
    seconds = interleaved(
        {
            "kernel": lambda: bare.kernel(*arrays, tick, room),
            "engine": lambda: engine_trades(bars, tick),
            "engine, all rules on": lambda: engine_trades(bars, tick, limits=True),
            "vectorbt rust": lambda: vectorbt_bars(bars, "rust")[0],
            "vectorbt numba": lambda: vectorbt_bars(bars, "numba")[0],
        },
        ROUNDS,
    )
    print(
        f"\nBenchmark rules, {len(bars):,} mock bars, {len(ours):,} trades, equal to the kernel's; SHA-256 "
        f"{hashlib.sha256(ours.tobytes()).hexdigest()[:16]}"
    )
    for name, spent in seconds.items():
        line(name, per_bar(spent, len(bars)))
    fastest = min(("vectorbt rust", "vectorbt numba"), key=lambda name: statistics.median(seconds[name]))
    line("engine / kernel", ratio(seconds, "engine", "kernel"), "goal: at most 2.5")
    line("engine, all rules on / kernel", ratio(seconds, "engine, all rules on", "kernel"), "goal: at most 3.5")
    line(f"{fastest} / engine", ratio(seconds, fastest, "engine"), "goal: at least 2.5")
    line(f"{fastest} / kernel", ratio(seconds, fastest, "kernel"), "goal: at least 5")


def default_run(bars: Rows, tick: float) -> int:
    """The default strategy over bars, to the table of trades; how many there are."""
    market, settings = market_of(bars, tick), Settings()
    trades = simulate(market, settings, keep=("trades",)).rows.trades
    return len(trade_columns(trades, market.symbols, settings.simulation.initial_capital, market.sources)["net_pnl"])


def bench_default() -> None:
    """The default strategy: features, signal, engine, trades table; and its peak memory in a process of its own."""
    bars, tick = market_bars()
    arrays, room = bare.columns(bars), np.empty(len(bars), bare.TRADE)
    features = feature_set()
    out = np.empty(4096, features.dtype)

    def vectors() -> None:
        for lo in range(0, len(bars), 4096):
            part = bars[lo : lo + 4096]
            features.batch(part, out[: len(part)])

    seconds = interleaved(
        {
            "kernel": lambda: bare.kernel(*arrays, tick, room),
            "30 features": vectors,
            "default strategy": lambda: default_run(bars, tick),
        },
        ROUNDS,
    )
    print(f"\nDefault strategy, {len(bars):,} mock bars, one core: 30 features, signal, engine, trades table")
    for name, spent in seconds.items():
        line(name, per_bar(spent, len(bars)))
    line("default strategy / kernel", ratio(seconds, "default strategy", "kernel"), "goal: at most 12")
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks", "memory"], check=True, capture_output=True, text=True, cwd=ROOT
    )
    line("peak memory of a process that does this", child.stdout.strip(), "goal: under 600 MB")


def memory() -> None:
    """Print the peak resident memory of this process after one default run."""
    default_run(*market_bars())
    # not getrusage: that counts the parent from before the exec
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    print(f"{int(peak.split()[1]) / 1024:.0f} MB")


def branches(bars: Rows) -> list[Branch]:
    """The sweep's 200 sets, grouped by the averages that make their signals; what all share is computed once."""
    passes = np.empty(len(bars), np.bool_)
    filter_passes(bars, passes)
    groups: dict[tuple[int, int], list[int]] = {}
    for index, setting in enumerate(SETTINGS):
        groups.setdefault((setting.fast, setting.slow), []).append(index)

    def beginning(fast: int, slow: int) -> Callable[[], SignalMaker]:
        def begin() -> SignalMaker:
            state = fresh_rule(fast, slow)

            def make(bars: Rows, _: Rows, out: Rows) -> None:
                done = int(state["bars"][0])
                filtered_signals(state, bars, passes[done : done + len(bars)], out)

            return make

        return begin

    return [
        Branch(
            beginning(*spans),
            tuple(params_for(SETTINGS[index].take_bps, SETTINGS[index].stop_bps) for index in indices),
            tuple(indices),
        )
        for spans, indices in groups.items()
    ]


def bench_sweep() -> None:
    """200 parameter sets over 100,000 bars, one and two threads, beside vectorbt's best."""
    bars, tick = market_bars()
    bars = bars[:100_000].copy()
    bars["last"][-1] = 1
    market = market_of(bars, tick)
    alone = [engine_trades(bars, tick, setting)["net_pnl"] for setting in SETTINGS[::10]]
    swept = run_branches(market, branches(bars), CAPITAL, with_features=False)
    # a sum of the rows may round otherwise than the ledger's own
    if not all(
        len(net) == score.trades and math.isclose(net.sum(), score.net_pnl, rel_tol=1e-12)
        for net, score in zip(alone, swept[::10], strict=True)
    ):
        raise SystemExit("sweep and single runs differ: no speed is worth that")
    seconds = interleaved(
        {
            "one thread": lambda: run_branches(market, branches(bars), CAPITAL, with_features=False),
            "two threads": lambda: run_branches(market, branches(bars), CAPITAL, workers=2, with_features=False),
            "vectorbt rust, chunks of 10": lambda: vectorbt_sweep(bars, SETTINGS, 10, "rust")[0],
        },
        7,
    )
    print(f"\nSweep, {len(SETTINGS)} parameter sets x {len(bars):,} bars")
    for name, spent in seconds.items():
        line(name, f"{statistics.median(spent):.3f} s")
    line(
        "vectorbt / two threads", ratio(seconds, "vectorbt rust, chunks of 10", "two threads"), "goal: at least 10 (25)"
    )
    line("vectorbt / one thread", ratio(seconds, "vectorbt rust, chunks of 10", "one thread"))
    line("one thread / two threads", ratio(seconds, "one thread", "two threads"), "goal: at least 1.7")


def bench_start() -> None:
    """`python run_simulation.py`: the first run ever on a machine, and later ones."""
    print("\nStart: process start to summary, 500 mock bars of 5 minutes")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(Path(folder) / "cache")}
        command = [sys.executable, str(ROOT / "run_simulation.py"), "--json", "--logs-dir", str(Path(folder) / "logs")]
        spent = []
        for _ in range(6):
            began = time.perf_counter()
            child = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            spent.append(time.perf_counter() - began)
        trades = json.loads(child.stdout)["trades"]
    line("first run ever, compilation included", f"{spent[0]:.2f} s", "goal: under 25 s")
    line(
        f"later runs, median of {len(spent) - 1} ({trades} trades)",
        f"{statistics.median(spent[1:]):.2f} s",
        "goal: under 3 s",
    )


def bench_risk() -> None:
    """A size by all controls, beside 20 positions."""
    bench_sizing()


def bench_scoring() -> None:
    """A row scored, and a model trained, beside scikit-learn and LightGBM."""
    bench_scoring_rows()


PARTS: dict[str, Callable[[], None]] = {
    "bars": bench_bars,
    "default": bench_default,
    "sweep": bench_sweep,
    "start": bench_start,
    "risk": bench_risk,
    "scoring": bench_scoring,
}


def main() -> None:
    """Run the parts named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "memory", []], help="default: all")
    chosen = parser.parse_args().parts or list(PARTS)
    if chosen == ["memory"]:
        memory()
        return
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {os.cpu_count()} cores, {platform.machine()}")
    for part in chosen:
        PARTS[part]()


if __name__ == "__main__":
    main()
