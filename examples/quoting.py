"""A strategy that quotes both sides: a compiled step of its own, called after each bar.

It keeps one bid and one ask around the close, leans them against what it holds, and writes what it wants as intents;
risk is asked before they act. Run it on a candle file, or on the mock market when none is named:

    python examples/quoting.py [CANDLES]

Candles know nothing of the queue: a bar that trades one tick through a quote fills it. What this prints is how such a
strategy is written, not what it would earn.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
from breakout import candles

from exec.engine import Engine
from exec.step.quoting import wish
from utils.codes import CANCEL, KIND_NAMES, LIVE, PLACE, POST_ONLY, SENT
from utils.compiled import uncached
from utils.config import load_settings
from utils.params import params_of
from utils.rows import BPS, SIGNAL
from utils.shell.cli import guarded

WIDTH_BPS, LEAN_BPS, MOST = 12.0, 8.0, 1_000.0  # half the distance of the quotes; shift when full; quote
MEMORY = [("quoted", np.int64)]


@uncached
def both_sides(acc: Any, p: Any, ins: Any, par: Any, bar: Any, orders: Any, memory: Any, out: Any) -> int:  # noqa: ARG001
    """Cancel what stands, and place a bid and an ask anew; answers how many intents it wrote."""
    count = 0
    for k in range(len(orders)):
        if orders[k].state in (SENT, LIVE):
            wish(out[count], CANCEL, bar.sym, 1, POST_ONLY, 0.0, np.nan, bar.ts, bar.close, orders[k].id)
            count += 1
    full = p.qty * bar.close / MOST
    middle = bar.close * (1.0 - LEAN_BPS * BPS * full)
    for side in (1, -1):
        if side * full < 1.0:
            limit = round(middle * (1.0 - side * WIDTH_BPS * BPS) / ins.tick) * ins.tick
            qty = 0.25 * MOST / bar.close
            wish(out[count], PLACE, bar.sym, side, POST_ONLY, qty, limit, bar.ts, bar.close, 0)
            count += 1
    memory.quoted += 1
    return count


def main(arguments: list[str]) -> int:
    """Quote over a market, and say what became of the orders."""
    market, settings = candles(arguments), load_settings().settings
    capital = settings.simulation.initial_capital
    memory = np.zeros(len(market.symbols), MEMORY).view(np.recarray)
    params = params_of(settings, market.tf_ns)
    engine = Engine(market.instruments, params, capital, market.funding, standing=2, quoting=both_sides, memory=memory)
    silent = np.full(len(market.bars), np.nan, SIGNAL)
    engine.run(market.bars, silent)
    rows = engine.drain()
    filled = rows.orders["filled_qty"] > 0.0
    print(f"{', '.join(market.symbols)}: {len(market.bars)} bars, quoted after {int(memory['quoted'].sum())}")
    print(f"{len(rows.orders)} {KIND_NAMES[POST_ONLY]} orders, {int(filled.sum())} filled; {len(rows.trades)} trades")
    print(f"equity {capital:,.2f} -> {float(engine.account[0].equity):,.2f}; fees {rows.fills['fee'].sum():,.2f}")
    print("Candles show no queue: nothing follows from this for a live market.")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(partial(main, sys.argv[1:]), sys.argv[1:]))
