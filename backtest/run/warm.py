"""Compile the core before it is needed, on two cores: the first run ever on a machine is mostly compilation.

`python -m backtest.run.warm` fills the compile cache with signal and engine. A run that finds it empty starts that in a
process of its own and compiles market and features meanwhile; numba compiles one function at a time per process.
`python -m backtest.run.warm advice` fills it with all that a service needs, which loads it then: compiling in a service
would leave 280 MiB behind, and answer nobody for seconds (measured).
"""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import numpy as np

from exec.advice import Adviser
from exec.champion import champion_of
from exec.engine import Engine, engine_is_cached
from exec.market import Market
from features.live import load_folds
from features.registry import feature_set, fingerprint
from ingest.live.market import load_books
from ml.scoring import Constant, Direction, Meta, Platt
from ml.signal import Signaller, strategy_params
from utils.compiled import keeps
from utils.errors import InvariantError
from utils.market.timeframes import MONDAY, TIMEFRAMES
from utils.params import params_of
from utils.rows import BAR, FUNDING, INSTRUMENT, NS_PER_MINUTE, SIGNAL
from utils.settings.tree import Settings
from utils.shell.tied import begin
from utils.types import Instrument

WARM = (sys.executable, "-m", "backtest.run.warm")


def warm() -> None:
    """Run no bars through signal and engine: that compiles them."""
    settings, bars = Settings(), np.zeros(0, BAR)
    signals = Signaller(strategy_params(settings), [0]).batch(bars, np.zeros(0, feature_set().dtype))
    Engine(np.zeros(1, INSTRUMENT), params_of(settings, NS_PER_MINUTE), 1.0).run(bars, signals)


def start() -> subprocess.Popen[bytes] | None:
    """Begin to compile signal and engine in another process; None if they are compiled already, or are not kept."""
    if engine_is_cached() or not keeps():
        return None
    return begin(WARM, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(process: subprocess.Popen[bytes] | None) -> None:
    """Compile the features here, then wait; should the other process have failed, this one compiles on demand."""
    if process is not None:
        feature_set().batch(np.zeros(0, BAR))
        process.wait()


def warm_advice() -> None:
    """Advise on bars that never were, with a model and without: that compiles, or loads, all that a service runs."""
    load_folds()
    load_books()
    count, tf_ns = 2 * feature_set().warmup, TIMEFRAMES["1m"]
    bars = np.zeros(count, BAR)
    close = 100.0 + np.sin(np.arange(count, dtype=np.float64))
    bars["ts"], bars["volume"] = MONDAY + tf_ns * np.arange(1, count + 1), 1.0
    for name in ("open", "high", "low", "close"):
        bars[name] = close
    market = Market(
        symbols=("NONE",),
        sources=("",),
        tf="1m",
        tf_ns=tf_ns,
        bars=bars,
        instruments=np.array([Instrument("NONE", 0.01, 0.001).row()], INSTRUMENT),
        funding=np.zeros(0, FUNDING),
        starts=(int(bars["ts"][0]),),
        files=({"market": ""},),
        assumptions=(),
    )
    adviser = Adviser(market, Settings(), live=True)
    instant = adviser.begin()
    wanted = {"side": 1.0, "strength": 50.0, "threshold": 20.0, "atr": 1.0, "vol_bps": 10.0}
    for name in SIGNAL.names or ():
        instant.signals[name] = wanted.get(name, np.nan)
    sure, names = Direction(Constant(0.0), Platt(0.0, -5.0), 100.0, 0.0), feature_set().names
    model = champion_of("none", Meta(names, fingerprint(), "base", sure, sure, 0.0), names, fingerprint())
    for one in (None, model):
        advised = adviser.advise(instant, one)
    if advised.action != "OPENED":
        raise InvariantError(f"expected a signal that is taken, so that all of it is compiled, saw {advised.reasons}")


class Warming:
    """All machine code of a decision, loaded in a thread while a service already answers; enter it to begin."""

    def __init__(self) -> None:
        self._ready, self._left = threading.Event(), False
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Warming:
        threading.Thread(target=self._work, name="warming", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left = True
        self._end()
        self._ready.set()

    def wait(self) -> None:
        """Until it is there; what could not be made is made on demand."""
        self._ready.wait()

    def _work(self) -> None:
        try:
            if keeps():
                self._process = begin([*WARM, "advice"])
                if self._left:
                    self._end()
                self._process.wait()
            if not self._left:
                warm_advice()
                # machine code and libraries stay to the end; looking through them holds everybody up for 150 ms
                gc.collect()
                gc.freeze()
        finally:
            self._ready.set()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


if __name__ == "__main__":
    warm_advice() if "advice" in sys.argv[1:] else warm()
