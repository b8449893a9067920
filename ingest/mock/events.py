"""What happens in the mock market: its book updates and trades, and their flows on a grid of time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ingest.mock.market import START_NS, SyntheticMarket, nothing, open_market
from ingest.mock.outputs import decimal
from ingest.mock.rows import BOOK, EVENT, GRID, TAPE
from ingest.mock.settings import MarketParams, require_positive
from utils.rows import NS_PER_S, Rows

BLOCK = 65_536  # rows


def event_blocks(
    seconds: float,
    seed: int,
    preset: str = "large-tick",
    start_ns: int = START_NS,
    params: MarketParams | None = None,
    rows: int = BLOCK,
) -> Iterator[Rows]:
    """Book updates and trades of `seconds` of exchange time, in blocks of at most about `rows` rows.

    The first block is the whole book at `start_ns` as BOOK rows. A market order gives, level by level, a TRADE row and
    the BOOK row of what it left. Prices quote, quantities base. Memory is flat in `seconds`.

    Raises:
        ConfigError: an argument out of range, or a history so long that the price came near zero.
    """
    require_positive("seconds", seconds)
    market = open_market(seed, preset, start_ns, params)
    yield _book_rows(market, start_ns)
    market.want(start_ns, events=True)
    m = market.state[0]
    block = np.zeros(max(rows, TAPE), EVENT)
    _, grid, bars = nothing()
    done = False
    while not done:
        m.n_events = 0
        done = market.advance(start_ns + round(seconds * NS_PER_S), block, grid, bars)
        yield block[: m.n_events].copy()


def _book_rows(market: SyntheticMarket, ts: int) -> Rows:
    """The whole book as event rows, bids then asks, best first."""
    p = market.params[0]
    rows = [
        (ts, BOOK, side, decimal(tick, p.tick, p.per_tick), decimal(lots, p.lot, p.per_lot))
        for side, tick, lots in market.levels()
    ]
    return np.array(rows, EVENT)


def synthetic_events(seconds: float, seed: int, preset: str = "large-tick", start_ns: int = START_NS) -> Rows:
    """All blocks of `event_blocks` in one array: about 8 MB a simulated hour of the large-tick preset.

    Raises:
        ConfigError: see `event_blocks`.
    """
    return np.concatenate(list(event_blocks(seconds, seed, preset, start_ns)))


def synthetic_grid(
    seconds: float, grid_s: float, seed: int, preset: str = "large-tick", params: MarketParams | None = None
) -> Rows:
    """Flows and book per `grid_s` seconds, for `seconds` seconds, in ticks and lots: see `GridRow`. Nothing is NaN.

    Raises:
        ConfigError: an argument out of range, or a history so long that the price came near zero.
    """
    require_positive("seconds", seconds)
    require_positive("grid_s", grid_s)
    market = open_market(seed, preset, START_NS, params)
    events, _, bars = nothing()
    grid = np.zeros(math.floor(seconds / grid_s + 1e-9), GRID)
    grid_ns = round(grid_s * NS_PER_S)
    market.want(START_NS, grid_ns=grid_ns)
    market.advance(START_NS + len(grid) * grid_ns, events, grid, bars)
    return grid
