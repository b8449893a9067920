"""Simulate the scalper on paper: `python run_simulation.py --help`."""

import sys

if __name__ == "__main__":
    try:
        try:
            from backtest.run.cli import main
        except ModuleNotFoundError as error:  # outside the environment
            from utils.shell.cli import fail, missing

            sys.exit(fail(missing(error), 1, verbose="-v" in sys.argv))
        sys.exit(main())
    except KeyboardInterrupt:  # while Python was still loading
        sys.exit(130)
