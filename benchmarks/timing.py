"""How figures are made and shown: pieces of work in turn, medians, and ratios of the same round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def interleaved(
    work: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each piece of work per round, all pieces in turn, after one warm-up of each.

    Args:
        work: by name; a piece that returns a float has measured itself.
        rounds: of all pieces.
        clock: `time.thread_time` leaves out what other processes take of a core, where one thread does the work.
    """
    for run in work.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            began = clock()
            own = run()
            seconds[name].append(own if isinstance(own, float) else clock() - began)
    return seconds


def ratio(seconds: dict[str, list[float]], above: str, below: str) -> str:
    """Median of the ratios of the same round, with their range."""
    ratios = [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def line(what: str, value: str, goal: str = "") -> None:
    """One figure."""
    print(f"{what:<62} {value:>22}  {goal}", flush=True)


def per_bar(seconds: list[float], bars: int) -> str:
    """Median nanoseconds a bar."""
    return f"{statistics.median(seconds) / bars * 1e9:.1f} ns/bar"
