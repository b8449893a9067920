"""A mock market at some instant: opened from a seed, moved on in place, asked for what it is to write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ingest.mock.dice import spread_seed
from ingest.mock.loop import DONE, FLOOR, FLOOR_TICKS, NOT_STARTED, run
from ingest.mock.outputs import tick_of
from ingest.mock.rows import EVENT, GRID, LEVELS, MARKET, MASK, SIDE, STEP_S, WINDOW
from ingest.mock.settings import PRESETS, MarketParams, Preset, params_record
from utils.errors import ConfigError
from utils.rows import BAR, NS_PER_HOUR, NS_PER_S, Rows

START_NS = 1_704_067_200 * NS_PER_S  # 2024-01-01T00:00Z
WARM_UP_S = 60.0  # model seconds before the first output; the book forgets its first shape in some 12
NEVER = 2**62  # ns


@dataclass(frozen=True, slots=True)
class SyntheticMarket:
    """A market at some instant: three arrays of records that `advance` moves on in place.

    Copy the arrays to keep an instant; a market goes on the same path however it is cut into advances, and whatever
    is wanted of it.
    """

    state: Rows  # one MARKET
    sides: Rows  # two SIDE: bids, asks
    params: Rows  # one PARAMS
    preset: Preset
    seed: int

    def want(self, start_ns: int, *, events: bool = False, grid_ns: int = 0, bar_ns: int = 0) -> None:
        """Say what the next advances are to write, from `start_ns` on; a length of 0 ns is not wanted."""
        m, (bid, ask) = self.state[0], self.sides
        m.taping = events
        m.grid_ns, m.grid_ts = grid_ns, start_ns + grid_ns if grid_ns > 0 else NEVER
        m.bar_ns, m.bar_ts = bar_ns, start_ns + bar_ns if bar_ns > 0 else NEVER
        m.due_ts = min(m.grid_ts, m.bar_ts)
        m.n_events = m.n_grid = m.n_bars = 0
        m.bar_lots = m.bar_bought = m.ofi = m.tfi = m.traded = m.orders = 0
        m.bid_tick, m.bid_lots = bid.best, bid.lots[bid.best & MASK]
        m.ask_tick, m.ask_lots = -ask.best, ask.lots[ask.best & MASK]

    def advance(self, until: int, events: Rows, grid: Rows, bars: Rows) -> bool:
        """Run to `until` (ns, excluded); False when `events` is full: flush it, reset `n_events`, call again.

        Raises:
            ConfigError: the price came near zero, or `until` lies beyond what 64 bits hold.
        """
        if until > NEVER:
            years = (until - START_NS) / (24 * 365 * NS_PER_HOUR)
            raise ConfigError(
                f"synthetic market: expected a time up to the year 2116, saw {years:.3g} years; ask for less"
            )
        with np.errstate(over="ignore"):  # the dice wrap on purpose; only the uncompiled run would warn
            why = run(self.state, self.sides, self.params, until, events, grid, bars)
        if why == FLOOR:
            hours = (self.state[0].ts - START_NS) / NS_PER_HOUR
            raise ConfigError(
                f"the synthetic market {self.preset.name!r} with seed {self.seed} fell to {FLOOR_TICKS} ticks, "
                f"{hours:.0f} hours after 2024-01-01, and its prices have to stay positive; "
                "ask for a shorter history or another seed"
            )
        return why == DONE

    def levels(self) -> Iterator[tuple[int, int, int]]:
        """The whole book, (side, tick, lots): bids, then asks, best first."""
        steps = self.preset.steps
        for side in self.sides:
            sign, best = int(side.sign), int(side.best)
            for level in range(best, best - LEVELS, -1):
                lots = int(side.lots[level & MASK])
                if lots > 0:
                    yield sign, int(tick_of(sign * level, steps)), lots


def open_market(
    seed: int, preset: str | Preset = "large-tick", start_ns: int = START_NS, params: MarketParams | None = None
) -> SyntheticMarket:
    """A market that has traded for a while, unseen, and stands at `start_ns`; a preset by name, or priced.

    Raises:
        ConfigError: an unknown preset, a seed outside [0, 2^64), or parameters that make no market.
    """
    if isinstance(preset, str) and preset not in PRESETS:
        raise ConfigError(f"the synthetic market knows the presets {', '.join(PRESETS)}, and not {preset!r}")
    if not 0 <= seed < 2**64:
        raise ConfigError(f"a seed is a whole number from 0 to 2^64 - 1, and not {seed}")
    chosen = PRESETS[preset] if isinstance(preset, str) else preset
    rows = params_record(params or MarketParams(), chosen)
    state, sides = np.zeros(1, MARKET), np.zeros(2, SIDE)
    m, p = state[0], rows[0]
    spread_seed(m, seed)
    m.last_tick = round(chosen.start_price / (chosen.tick * chosen.steps))
    _fill_sides(sides, m.last_tick, chosen.lots_per_unit)
    warm_up = round(WARM_UP_S / STEP_S) * p.step_ns
    m.step_ts = start_ns - warm_up
    m.ts = m.step_ts - 1
    m.wait = NOT_STARTED
    market = SyntheticMarket(state, sides, rows, chosen, seed)
    market.want(start_ns)
    market.advance(start_ns, *nothing())
    return market


def _fill_sides(sides: Rows, start_tick: int, unit: int) -> None:
    """A first book: the best bid one tick below `start_tick`, the best ask one above, deeper levels larger."""
    for side, sign in zip(sides, (1, -1), strict=True):
        side.sign = sign
        side.best = sign * start_tick - 1
        for i in range(WINDOW):
            side.lots[(side.best - i) & MASK] = round(2.5 * unit * (1 + i) ** 0.3)
        side.depth = side.lots.sum()


def nothing() -> tuple[Rows, Rows, Rows]:
    """Arrays of length 0 for the outputs nobody asked for: events, grid, bars."""
    return np.zeros(0, EVENT), np.zeros(0, GRID), np.zeros(0, BAR)
