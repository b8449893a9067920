"""Compile the core before it is needed, on two cores: the first run ever on a machine is mostly compilation.

`python -m backtest.run.warm` fills the compile cache with signal and engine. A run that finds it empty starts that in a
process of its own and compiles market and features meanwhile; numba compiles one function at a time per process.
"""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np

from exec.engine import Engine, engine_is_cached
from features.live import load_folds
from features.registry import feature_set
from ml.signal import Signaller, strategy_params
from utils.compiled import keeps
from utils.params import params_of
from utils.root import ROOT
from utils.rows import BAR, INSTRUMENT, NS_PER_MINUTE
from utils.settings.tree import Settings


def warm() -> None:
    """Run no bars through signal and engine: that compiles them."""
    settings, bars = Settings(), np.zeros(0, BAR)
    signals = Signaller(strategy_params(settings), [0]).batch(bars, np.zeros(0, feature_set().dtype))
    Engine(np.zeros(1, INSTRUMENT), params_of(settings, NS_PER_MINUTE), 1.0).run(bars, signals)


def start() -> subprocess.Popen[bytes] | None:
    """Begin to compile signal and engine in another process; None if they are compiled already, or are not kept."""
    if engine_is_cached() or not keeps():
        return None
    return subprocess.Popen(
        [sys.executable, "-m", "backtest.run.warm"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def finish(process: subprocess.Popen[bytes] | None) -> None:
    """Compile the features here, then wait; should the other process have failed, this one compiles on demand."""
    if process is not None:
        feature_set().batch(np.zeros(0, BAR))
        process.wait()


class Warming:
    """All machine code of a decision, loaded or made in a thread while a service already answers; enter it to begin."""

    def __init__(self) -> None:
        self._ready, self._left = threading.Event(), False
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Warming:
        threading.Thread(target=self._work, name="warming", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._ready.set()

    def wait(self) -> None:
        """Until it is there; what could not be made is made on demand."""
        self._ready.wait()

    @property
    def ready(self) -> bool:
        """Whether it is there."""
        return self._ready.is_set()

    def _work(self) -> None:
        try:
            self._process = start()
            if self._left and self._process is not None:
                self._process.kill()
            finish(self._process)
            if not self._left:
                warm()
                load_folds()
        finally:
            self._ready.set()


if __name__ == "__main__":
    warm()
