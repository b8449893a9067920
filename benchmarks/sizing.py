"""What a size costs beside 20 open positions: `python -m benchmarks.sizing`, or `python -m benchmarks risk`.

The call is `calculate_position_size_with_all_controls`, with a win probability, so that Kelly's rule is asked, too: all
checks of positions, prices and matrix are in it. Positions are nouns or dicts as ccxt gives them, the matrix an array
or a DataFrame. Every combination has to give the same size before anything is timed. Exit code 1 = the bar is missed.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.timing import interleaved, line
from risk.advanced import PositionSize, calculate_position_size_with_all_controls, correlation_matrix
from utils.types import Position

POSITIONS = 20
CALLS = 200
ROUNDS = 25
#: Most that a call may take, us.
BAR = 50.0


def cases(positions: int = POSITIONS) -> dict[str, Callable[[], PositionSize]]:
    """The call by what it is handed; all give the same size but the one that is handed nothing."""
    import pandas as pd

    symbols = [f"COIN{i}USDT" for i in range(positions)]
    returns = np.random.default_rng(7).normal(0.0, 1e-3, (500, positions))
    framed = correlation_matrix(pd.DataFrame(returns, columns=symbols))
    bare = framed.to_numpy()
    nouns = [Position(symbol, 0.1, 100.0, 0, stop=99.0) for symbol in symbols]
    dicts = [
        {
            "symbol": f"{symbol.removesuffix('USDT')}/USDT:USDT", "side": "long", "contracts": 0.1, "contractSize": 1.0,
            "entryPrice": 100.0, "markPrice": 100.5, "liquidationPrice": 70.0, "stopLossPrice": 99.0, "leverage": 3.0,
        }
        for symbol in symbols
    ]  # fmt: skip
    prices = dict.fromkeys(symbols, 100.5)

    def case(held: object, matrix: object, marks: dict[str, float] | None) -> Callable[[], PositionSize]:
        return lambda: calculate_position_size_with_all_controls(
            85.0, 0.008, matrix, None, positions=held, prices=marks, symbol=symbols[0], price=100.5, p_win=0.8
        )

    return {
        "nothing held, four arguments": lambda: calculate_position_size_with_all_controls(85.0, 0.008, bare, 0.02),
        f"{positions} nouns, array": case(nouns, bare, prices),
        f"{positions} nouns, DataFrame": case(nouns, framed, prices),
        f"{positions} dicts of ccxt, array": case(dicts, bare, None),
        f"{positions} dicts of ccxt, DataFrame": case(dicts, framed, None),
    }


def main() -> int:
    """Time the cases, show them, and answer whether the bar holds for all."""
    calls = cases()
    first, *others = list(calls.values())[1:]
    if any(other() != first() for other in others) or float(first()) <= 0.0:
        raise SystemExit("what is handed in changes the size: no speed is worth that")

    def repeated(call: Callable[[], PositionSize]) -> Callable[[], object]:
        return lambda: [call() for _ in range(CALLS)]

    spent = interleaved({name: repeated(call) for name, call in calls.items()}, ROUNDS, time.thread_time)
    print(f"\nA size by all controls, microseconds of a call: median of {ROUNDS} rounds of {CALLS}, and the best round")
    missed = 0
    for name, seconds in spent.items():
        middle, best = (1e6 * pick(seconds) / CALLS for pick in (statistics.median, min))
        line(name, f"{middle:.1f} us (best {best:.1f})", f"goal: at most {BAR:g}")
        missed += middle > BAR
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
