"""The mock market's loop: the next arrival, and whatever is due before it."""

from __future__ import annotations

from ingest.mock.arrivals import arrive, new_metaorder
from ingest.mock.dice import exponential, normal
from ingest.mock.outputs import close_bar, close_grid, count_flow, write_event
from ingest.mock.rates import next_step, refresh_rates, set_base
from ingest.mock.rows import STEP_S, TAPE, WINDOW, MarketRow, ParamsRow
from utils.compiled import compiled
from utils.rows import Rows

FLOOR_TICKS = 4 * WINDOW  # the best bid may not come nearer to zero: prices stay positive
NOT_STARTED = -1.0  # a waiting time no dice give
DONE, FULL, FLOOR = range(3)  # why the loop came back


@compiled
def start(m: MarketRow, p: ParamsRow) -> None:
    """Throw the dice that are due before the first step: activity, parents, the first wait; excitement at its mean."""
    m.activity = normal(m)
    set_base(m, p)
    for i in range(3):
        m.hawkes[i] = p.jump[i] * p.market_mean * STEP_S / (1.0 - p.decay[i])
    for j in range(p.metaorders):
        new_metaorder(m, p, j)
    refresh_rates(m, p)
    m.wait = exponential(m)


@compiled
def run(markets: Rows, sides: Rows, params: Rows, until: int, events: Rows, grid: Rows, bars: Rows) -> int:
    """Go on until `until` (ns, excluded), or until `events` has no room for one more arrival.

    The arrays are filled from their beginning as far as the market's counters say; one of length 0 is not wanted.

    Returns:
        DONE, FULL (flush `events`, reset its counter, call again), or FLOOR (the price is near zero).
    """
    m, p, bid, ask = markets[0], params[0], sides[0], sides[1]
    if m.wait == NOT_STARTED:
        start(m, p)
    while True:
        if m.taping and m.n_events + TAPE > len(events):
            return FULL
        rate = m.market_rate + m.limit_rate + m.cancel_rate * (bid.depth + ask.depth)
        phase = m.phase + m.wait / rate
        in_step = phase < STEP_S
        ts = m.step_ts + p.step_ns
        if in_step:
            ts = max(m.step_ts + int(phase / STEP_S * p.step_ns), m.ts + 1)
        if ts >= m.due_ts:
            upto = min(ts, until)
            while m.bar_ts <= upto and m.n_bars < len(bars):
                close_bar(m, p, bars[m.n_bars])
            while m.grid_ts <= upto and m.n_grid < len(grid):
                close_grid(m, bid, ask, grid[m.n_grid])
            m.due_ts = min(m.bar_ts, m.grid_ts)
        if ts >= until:
            return DONE
        if not in_step:
            m.wait -= rate * (STEP_S - m.phase)
            next_step(m, p)
            if bid.best < FLOOR_TICKS:
                return FLOOR
            continue
        m.phase = phase
        m.ts = ts
        m.n_tape = 0
        arrive(m, p, bid, ask, rate)
        if len(grid) > 0:
            count_flow(m, bid, ask)
        if m.taping:
            for i in range(m.n_tape):
                write_event(m, p, i, events[m.n_events + i])
            m.n_events += m.n_tape
