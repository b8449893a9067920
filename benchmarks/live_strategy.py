"""Measure a user's strategy live: `python -m benchmarks.live_strategy [--rounds 11] [--bars 200] [--json]`.

The README's breakout beside a history of 2,000 and of 20,000 bars: milliseconds that one more bar costs, from the event
to the decision. *Newest rows* is the live run as it stands, *whole history* asks the function for all bars at each
close, *function* is the user's function alone over the rows that it is shown: what no machinery can save. *Default* is
the same live run with the built-in strategy. Every answer of the live run is compared with the one over the whole
history before anything is timed.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import platform
import re
import statistics
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backtest.data.market import build_market
from backtest.run.live import Begun, begin
from benchmarks.inputs import bars
from benchmarks.timing import interleaved, line, ratio
from exec.live.closes import Closes
from exec.market import Market
from exec.strategy import Strategy, ask
from exec.trader import Instant
from features.live import BOOK_AT_CLOSE
from ingest.files.candles import Candles
from utils.errors import ConfigError, InvariantError
from utils.rows import NS_PER_MINUTE
from utils.settings.tree import Settings
from utils.shell.cli import Parser, command, whole
from utils.types import Bar

README = Path(__file__).resolve().parent.parent / "README.md"
HISTORIES = (2_000, 20_000)
#: Most milliseconds that a bar may cost beside the longest history.
GOAL_MS = 2.0
#: Bars of a round that are asked for the whole history, and whose answers are compared before.
FEW = 5
NAMES = ("newest", "whole", "function", "default")


def breakout() -> Strategy:
    """The strategy of the README, as it stands there."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    scope: dict[str, Strategy] = {}
    exec(next(code for code in blocks if "def breakout" in code), scope)  # noqa: S102 - our own README
    return scope["breakout"]


class Live:
    """A live run that is fed by hand: from the event of a bar to its decision, as `exec.live.follow` goes."""

    def __init__(self, begun: Begun) -> None:
        self.begun, self._trader = begun, begun.trader
        market = begun.trader.market
        self._closes = Closes(market.symbols, begun.trader.last, market.tf_ns)

    def see(self, event: Bar) -> Instant:
        """A bar closed; the close that it completes."""
        self._closes.see(event, 0.0)
        due = self._closes.due(0.0)
        if due is None or due.missed:
            raise InvariantError(f"{event.symbol}: no bar is missing, and the close at {event.ts} waits for one")
        ((bars, late),) = self._closes.instants(due, ())
        return self._trader.on_close(bars, late=late)


class Paths:
    """The ways that are timed, beside a history of so many bars."""

    def __init__(self, history: int, count: int) -> None:
        self.strategy, self.count = breakout(), count
        self.best = np.inf  # seconds of the quickest bar of all rounds, newest rows
        self.rows = bars(history + count, seed=1)
        candles = Candles(
            "BENCH", "1m", NS_PER_MINUTE, "benchmark", "walk", "", self.rows[:history].copy(), (), False, 0
        )
        market = build_market([candles], Settings(), steps=1)
        self.candles = candles
        self.market = dataclasses.replace(market, starts=(int(candles.rows["ts"][-1]) + 1,))
        self.events = [Bar.of(row, "BENCH", "1m") for row in self.rows[history:]]
        self.wholes = [self.known(history + k + 1) for k in range(FEW)]
        self.frames = self.shown()

    def shown(self) -> list[pd.DataFrame]:
        """What the strategy is shown at each live bar."""
        frames: list[pd.DataFrame] = []

        def watched(market: pd.DataFrame) -> Any:
            frames.append(market)
            return self.strategy(market)

        run = self.live(watched)
        frames.clear()
        for event in self.events:
            run.see(event)
        return frames

    def known(self, size: int) -> Market:
        """The first bars as a market, beside which no book stood."""
        return dataclasses.replace(self.market, bars=self.rows[:size].copy(), book=np.full(size, np.nan, BOOK_AT_CLOSE))

    def live(self, strategy: Strategy | None) -> Live:
        """A live run at the end of the history."""
        return Live(begin([self.candles], self.market, Settings(), strategy))

    def check(self) -> None:
        """Bar by bar, the live run answers as the whole history does."""
        run = self.live(self.strategy)
        for event, known in zip(self.events, self.wholes, strict=False):
            instant = run.see(event)
            if instant.signals.tobytes() != ask(self.strategy, known)[-1:].tobytes():
                raise InvariantError(f"the answers at {event.ts} differ; no speed is worth that")
        for event in self.events[FEW:]:
            run.see(event)
        _, outcome = run.begun.finish()
        if outcome.answers["different"]:
            raise InvariantError(outcome.answers["note"])

    def newest(self) -> float:
        """Seconds of a median bar, live; what is done once, when a run begins, is outside the clock."""
        spent = self._live(self.live(self.strategy))
        self.best = min(self.best, *spent)
        return statistics.median(spent)

    def default(self) -> float:
        """Seconds of a median bar, live, with the built-in strategy."""
        return statistics.median(self._live(self.live(None)))

    def whole(self) -> float:
        """Seconds a bar when all of them are asked for again."""
        began = time.thread_time()
        for known in self.wholes:
            ask(self.strategy, known)
        return (time.thread_time() - began) / FEW

    def function(self) -> float:
        """Seconds a bar of the user's function alone."""
        began = time.thread_time()
        for frame in self.frames:
            self.strategy(frame)
        return (time.thread_time() - began) / self.count

    def _live(self, run: Live) -> list[float]:
        """Seconds of each bar."""
        gc.collect()
        marks = [time.thread_time()]
        for event in self.events:
            run.see(event)
            marks.append(time.thread_time())
        return [end - begin for begin, end in pairwise(marks)]


def measured(histories: Sequence[int], count: int, rounds: int) -> dict[int, dict[str, list[float]]]:
    """Seconds a bar of each way and round, by bars of history; all of them in turn."""
    paths = {history: Paths(history, count) for history in histories}
    for one in paths.values():
        one.check()
    work = {(history, name): getattr(one, name) for history, one in paths.items() for name in NAMES}
    seconds = interleaved({f"{history} {name}": piece for (history, name), piece in work.items()}, rounds)
    return {
        history: {name: seconds[f"{history} {name}"] for name in NAMES} | {"best": [one.best]}
        for history, one in paths.items()
    }


def report(found: dict[int, dict[str, list[float]]]) -> None:
    """The figures, line by line."""
    print(f"Python {platform.python_version()}, pandas {pd.__version__}; processor time of a bar, medians and ranges\n")
    for history, seconds in found.items():
        for name in NAMES:
            low, mid, high = (1e3 * f(seconds[name]) for f in (min, statistics.median, max))
            line(f"{history:,} bars of history, {name}", f"{mid:.2f} ms ({low:.2f}-{high:.2f})")
        line(f"{history:,} bars of history, newest, its quickest bar", f"{1e3 * seconds['best'][0]:.2f} ms")
        line("whole / newest", ratio(seconds, "whole", "newest"))
        line("newest / function", ratio(seconds, "newest", "function"))
    short, long = min(found), max(found)
    both = {"long": found[long]["newest"], "short": found[short]["newest"]}
    line(f"newest, {long:,} / {short:,} bars", ratio(both, "long", "short"))
    line(f"newest, {long:,} bars", f"{worst(found):.2f} ms", f"at most {GOAL_MS:g} ms")


def worst(found: dict[int, dict[str, list[float]]]) -> float:
    """Milliseconds a bar beside the longest history, median."""
    return 1e3 * statistics.median(found[max(found)]["newest"])


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m benchmarks.live_strategy", description=__doc__)
    parser.add_argument("--rounds", type=whole, default=11, help="interleaved rounds; default 11")
    parser.add_argument("--bars", type=whole, default=200, help="live bars of a round; default 200")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure and report; 1 when the goal is not reached."""
    if options.rounds < 1:
        raise ConfigError(f"--rounds: expected at least 1, saw {options.rounds}")
    if options.bars < FEW:
        raise ConfigError(f"--bars: expected at least {FEW}, saw {options.bars}")
    found = measured(HISTORIES, options.bars, options.rounds)
    if options.json:
        medians = {size: {name: 1e3 * statistics.median(s) for name, s in one.items()} for size, one in found.items()}
        print(json.dumps({"unit": "ms a bar", "histories": medians}))
    else:
        report(found)
    return 0 if worst(found) <= GOAL_MS else 1


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
