"""Simulate the scalper on paper: `python run_simulation.py --help`."""

import sys

from backtest.cli import main

if __name__ == "__main__":
    sys.exit(main())
