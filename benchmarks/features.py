"""Measure the 30 registered bar features: `python -m benchmarks.features [batch] [live]`, beside their peers in turns.

batch: 1,000,000 mock bars on one core and on two, beside TA-Lib's equivalents (`benchmarks/feature_peers.py` pairs
them), those of pandas and of polars. live: one row after the other, beside plain Python (`benchmarks/plain_vector.py`).
Work of one thread is measured in processor time, so that a busy machine counts less; that of two by the clock on the
wall. First pandas, polars and plain Python must give our values to 1e-9, TA-Lib where its definitions are ours to 1e-6
(its running sums keep what they once rounded); else it stops. Exit code 1 when a goal is not reached.
`pip install -r benchmarks/requirements.txt` brings the peers.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.feature_peers import PRICES, SAME, by_pandas, by_polars, by_talib, columns
from benchmarks.inputs import market_bars
from benchmarks.plain_vector import plain_vector
from benchmarks.timing import interleaved, line, per_bar, ratio
from features.registry import FEATURES, feature_set
from utils.errors import ConfigError, InvariantError
from utils.rows import Rows
from utils.shell.cli import Parser, command, whole

#: Roots of differences that come near 0, where a root magnifies rounding: compared before the root is drawn.
ROOTS = ("parkinson_20_bps", "garman_klass_20_bps", "roll_spread_20_bps")
BARS, LIVE_ROWS = 1_000_000, 2_000
KEEP = 1 << 30  # bytes


def keep_memory_warm() -> None:
    """Let the C library keep what is freed: a peer makes a gigabyte of columns, and then need not fetch it anew.

    It halves the time of TA-Lib and pandas, and does nothing for us, who write into rows made beforehand.
    """
    if platform.system() == "Linux":
        library = ctypes.CDLL(None)
        trim_threshold, mmap_threshold = -1, -3
        library.mallopt(mmap_threshold, KEEP)
        library.mallopt(trim_threshold, KEEP)


def compare(ours: Rows, theirs: Mapping[str, Any], peer: str, *, room: float) -> None:
    """Stop unless a peer's columns are ours wherever ours are finite after warm-up.

    Raises:
        InvariantError: a value is further off than `room` times the larger of 1 and itself.
    """
    for feature in FEATURES:
        if feature.name not in theirs:
            continue
        mine = ours[feature.name][feature.warmup :]
        finite = np.isfinite(mine)
        mine = mine[finite]
        other = np.asarray(theirs[feature.name])[feature.warmup :][finite]
        if feature.name in ROOTS:
            mine, other = mine * mine, other * other
        off = np.abs(mine - other) / np.maximum(1.0, np.abs(mine))
        if not off.max(initial=0.0) <= room:
            raise InvariantError(f"{feature.name}: {peer} is off by {off.max():.1e}; no speed is worth that")


def bench_batch(rounds: int) -> bool:
    """All 30 over a million bars; are the goals reached?"""
    if not find_spec("talib"):
        raise ConfigError("expected TA-Lib to measure against, found none; pip install -r benchmarks/requirements.txt")
    bars, tick = market_bars(BARS)
    features = feature_set()
    out = np.zeros(len(bars), features.dtype)
    keep_memory_warm()
    given = columns(bars)
    frame = pd.DataFrame(given)

    def ours(threads: int = 1) -> None:
        features.reset()
        features.batch(bars, out, threads=threads)

    ours()
    seen = hashlib.sha256(out.tobytes()).hexdigest()
    with np.errstate(all="ignore"):
        compare(out, by_pandas(frame, tick), "pandas", room=1e-9)
        nearest = by_talib(given)
    compare(out, {name: nearest[name] for name in SAME}, "TA-Lib", room=1e-6)
    ours(2)
    if hashlib.sha256(out.tobytes()).hexdigest() != seen:
        raise InvariantError("two threads give other bytes than one: no speed is worth that")
    one: dict[str, Callable[[], object]] = {
        "one core": ours,
        "TA-Lib": lambda: by_talib(given),
        "pandas": lambda: by_pandas(frame, tick),
    }
    two: dict[str, Callable[[], object]] = {"two threads": lambda: ours(2), "one": ours, "pandas": one["pandas"]}
    peers = ["TA-Lib", "pandas"]
    if find_spec("polars"):
        import polars as pl

        lazy = pl.DataFrame(given).lazy()
        compare(out, by_polars(lazy, tick), "polars", room=1e-9)
        two["polars"] = lambda: by_polars(lazy, tick)
        peers.append("polars")
    versions = ", ".join(f"{name} {version(name)}" for name in peers)
    print(f"\n{len(FEATURES)} features, {len(bars):,} mock bars, {versions}; SHA-256 of the matrix {seen[:16]}")
    with np.errstate(all="ignore"):
        alone = interleaved(one, rounds, time.thread_time)
        together = interleaved(two, rounds)
    reached = report("One core, processor time", alone, [("TA-Lib", "one core", 1.0), ("pandas", "one core", 5.0)])
    goals = [("pandas", "two threads", 8.0)] + [("polars", "two threads", 1.8)] * ("polars" in two)
    reached &= report("Two cores, time on the wall", together, goals)
    line("one / two threads", ratio(together, "one", "two threads"))
    return reached


def report(title: str, seconds: dict[str, list[float]], goals: list[tuple[str, str, float]]) -> bool:
    """The figures of one comparison; are its goals reached?"""
    print(title)
    for name, spent in seconds.items():
        line(name, per_bar(spent, BARS), f"best {min(spent) / BARS * 1e9:.0f}")
    for above, below, goal in goals:
        line(f"{above} / {below}", ratio(seconds, above, below), f"goal: at least {goal:g}")
    return all(middle(seconds, above, below) >= goal for above, below, goal in goals)


def middle(seconds: dict[str, list[float]], above: str, below: str) -> float:
    """Median of the ratios of the same round."""
    return statistics.median(a / b for a, b in zip(seconds[above], seconds[below], strict=True))


def bench_live(rounds: int) -> bool:
    """All 30 of one row, row after row; is the goal reached?"""
    bars = market_bars(BARS)[0][:LIVE_ROWS].copy()
    features = feature_set()
    rows = [bars[i : i + 1] for i in range(len(bars))]
    plain = list(zip(*(bars[name].tolist() for name in ("ts", *PRICES)), strict=True))

    def ours() -> float:
        features.reset()
        began = time.thread_time()
        for row in rows:
            features.step(row)
        return time.thread_time() - began

    def python() -> float:
        vector = plain_vector()
        next(vector)
        began = time.thread_time()
        for bar in plain:
            vector.send(bar)
        return time.thread_time() - began

    vector = plain_vector()
    next(vector)
    theirs = np.array([vector.send(bar) for bar in plain])
    whole_batch = features.batch(bars)
    absent = np.isnan(theirs) != np.isnan(whole_batch.view(np.float64).reshape(theirs.shape))
    if absent.any():
        raise InvariantError(f"plain Python has other NaN in columns {np.flatnonzero(absent.any(axis=0)).tolist()}")
    compare(whole_batch, dict(zip(features.names, theirs.T, strict=True)), "plain Python", room=1e-9)
    seconds = interleaved({"ours": ours, "plain Python": python}, rounds)
    print(f"\nOne live vector of {len(FEATURES)} features, {LIVE_ROWS:,} rows one by one, processor time")
    for name, spent in seconds.items():
        line(name, f"{statistics.median(spent) / LIVE_ROWS * 1e6:.2f} us/row")
    line("plain Python / ours", ratio(seconds, "plain Python", "ours"), "goal: at least 4, stretch 7")
    return middle(seconds, "plain Python", "ours") >= 4.0


PARTS = {"batch": bench_batch, "live": bench_live}


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help="batch, live; default: both")
    parser.add_argument("--rounds", type=whole, default=11, help="interleaved rounds; default 11")
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure and report; 1 when a goal is not reached."""
    if options.rounds < 1:
        raise ConfigError(f"--rounds: expected at least 1, saw {options.rounds}")
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {os.cpu_count()} cores, {platform.machine()}")
    reached = [PARTS[part](options.rounds) for part in options.parts or PARTS]
    return 0 if all(reached) else 1


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
