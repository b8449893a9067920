"""Candles of the mock market: made from its trades while it runs, and handed out as if a file held them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ingest.files.candles import Candles
from ingest.mock.market import START_NS, nothing, open_market
from ingest.mock.settings import PRESETS, Preset, priced, require_positive
from utils.errors import ConfigError
from utils.market.timeframes import TIMEFRAMES
from utils.rows import BAR, Rows


def synthetic_bars(
    n: int,
    tf_ns: int,
    seed: int,
    preset: str | Preset = "large-tick",
    start_ns: int = START_NS,
    progress: Callable[[int], None] | None = None,
) -> Rows:
    """`n` closed, contiguous candles of the mock market, made from its trades while it runs.

    A bar holds the trades of [close - tf_ns, close); open, high, low and close are trade prices (quote), volume and
    taker_buy are base. A bar without a trade is flat at the last trade price, with volume 0: nothing is NaN. `progress`
    is told the bars done, about a hundred times. Small bars are the quick way to many rows: a million of one second
    take seconds (the work is per simulated hour, not per bar).

    Raises:
        ConfigError: an argument out of range, or a history so long that the price came near zero.
    """
    require_positive("n", n)
    require_positive("tf_ns", tf_ns)
    market = open_market(seed, preset, start_ns)
    events, grid, _ = nothing()
    bars = np.zeros(n, BAR)
    market.want(start_ns, bar_ns=tf_ns)
    chunk = -(-n // 100)
    for done in range(0, n, chunk):
        upto = min(done + chunk, n)
        market.advance(start_ns + upto * tf_ns, events, grid, bars)
        if progress is not None:
            progress(upto)
    bars[-1].last = 1
    return bars


@dataclass(frozen=True, slots=True)
class SyntheticFeed:
    """The mock market as a source of candles: seeded, and used only where it is named."""

    symbol: str
    tf: str
    seed: int
    preset: str

    def candles(self, bars: int, progress: Callable[[int], None] | None = None) -> Candles:
        """The first `bars` candles of this seed."""
        if self.preset not in PRESETS:
            known = ", ".join(PRESETS)
            raise ConfigError(f"simulation.preset: expected one of {known}, saw {self.preset!r}; change the setting")
        tf_ns = TIMEFRAMES[self.tf]
        preset = priced(PRESETS[self.preset], self.symbol)
        rows = synthetic_bars(bars, tf_ns, self.seed, preset, progress=progress)
        digest = hashlib.sha256(rows.tobytes()).hexdigest()
        empty = int((rows["volume"] <= 0.0).sum())
        return Candles(self.symbol, self.tf, tf_ns, "synthetic", "synthetic", digest, rows, (), False, empty)
