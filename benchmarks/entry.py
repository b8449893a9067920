"""What one decision about an entry costs from Python: `python -m benchmarks.entry`.

`optimal_entry_timing` with its defaults and with terms of the user's, checks of the input included, beside a Python
function of the same arguments that does nothing; time of this thread alone, as others share the core. Exit code 1 when
the bar does not hold.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from benchmarks.timing import interleaved, line, ratio
from exec.timing import optimal_entry_timing, order_decision

CALLS, ROUNDS = 20_000, 11
#: Longest a call may take, seconds.
BAR_S = 3e-6


def nothing(signal_strength: float, spread_bps: float, volatility: float, **terms: float) -> str:  # noqa: ARG001
    """The floor: a call with these arguments."""
    return "MARKET"


def repeated(call: Callable[[], object]) -> Callable[[], None]:
    """Many calls in a row."""

    def work() -> None:
        for _ in range(CALLS):
            call()

    return work


def main() -> int:
    """Measure, show, and say whether the bar holds."""
    seconds = interleaved(
        {
            "nothing": repeated(lambda: nothing(85.0, 3.5, 0.008)),
            "nothing, with terms": repeated(lambda: nothing(85.0, 3.5, 0.008, maker_bps=1.0, taker_bps=4.0)),
            "optimal_entry_timing": repeated(lambda: optimal_entry_timing(85.0, 3.5, 0.008)),
            "optimal_entry_timing, with terms": repeated(
                lambda: optimal_entry_timing(85.0, 3.5, 0.008, maker_bps=1.0, taker_bps=4.0)
            ),
            "order_decision": repeated(lambda: order_decision(85.0, 3.5, 0.008)),
        },
        ROUNDS,
        time.thread_time,
    )
    print(f"\nOne decision, {CALLS:,} calls a round")
    for name, spent in seconds.items():
        line(name, f"{statistics.median(spent) / CALLS * 1e6:.2f} us a call")
    line("optimal_entry_timing / nothing", ratio(seconds, "optimal_entry_timing", "nothing"))
    slowest = max(statistics.median(seconds[name]) for name in seconds if name.startswith("optimal")) / CALLS
    line("slowest of the two", f"{slowest * 1e6:.2f} us a call", f"at most {BAR_S * 1e6:.0f}")
    return 0 if slowest <= BAR_S else 1


if __name__ == "__main__":
    sys.exit(main())
