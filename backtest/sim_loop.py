"""The replay driver's door: market rows through features, signal, risk, execution and ledger, to log files and KPIs.

`python -m backtest.sim_loop` simulates on real data or ends with an error; it never falls back to the mock market.
"""

from __future__ import annotations

import sys

from backtest.run.result import SimulationResult
from backtest.run.simulation import run_simulation

__all__ = ["SimulationResult", "run_simulation"]

if __name__ == "__main__":
    from backtest.run.cli import main

    sys.exit(main(real=True))
