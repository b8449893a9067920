"""Compile the core before it is needed, on two cores: the first run ever on a machine is mostly compilation.

`python -m backtest.run.warm` fills the compile cache with signal and engine. A run that finds it empty starts that in a
process of its own and compiles market and features meanwhile; numba compiles one function at a time per process.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from exec.engine import Engine, engine_is_cached
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


if __name__ == "__main__":
    warm()
