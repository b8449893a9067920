"""Simulate the scalper on paper: `python run_simulation.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from backtest.run.cli import main

        sys.exit(main())
    except KeyboardInterrupt:  # while Python was still loading
        sys.exit(130)
