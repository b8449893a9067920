"""The benchmark's inputs: bars of the mock market for figures, a random walk for tests, the settings of the sweep."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

import ingest.mock
import utils.rows
from ingest.synthetic import PRESETS, synthetic_bars
from utils.rows import BAR, NS_PER_MINUTE, NS_PER_S, Rows

CACHE = Path(__file__).parent / ".cache"
START_NS = 1_735_689_600 * NS_PER_S  # 2025-01-01 00:00 UTC
TICK = 0.01  # quote; the walk starts at 100


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter set of the sweep: EMA spans in bars, take and stop in bps of the entry price."""

    fast: int
    slow: int
    take_bps: float
    stop_bps: float


#: The sweep's 200 parameter sets.
SETTINGS = tuple(
    Setting(*values)
    for values in product((8, 10, 12, 16, 20), (36, 48, 60, 80, 100), (20.0, 25.0, 30.0, 40.0), (15.0, 18.0))
)


def market_bars(n: int = 1_000_000, seed: int = 1) -> tuple[Rows, float]:
    """`n` candles of the mock market, and its tick (quote): made once, then read from `benchmarks/.cache`.

    They are five-second candles stamped as minutes: making a million real minutes would
    take twelve times as long. Their volumes are those of five seconds, so a run that caps entries at
    a share of the volume has to lift that cap to be compared with the kernel.
    """
    sources = (*sorted(Path(ingest.mock.__file__).parent.glob("*.py")), Path(utils.rows.__file__))
    source = b"".join(path.read_bytes() for path in sources)
    path = CACHE / f"bars_{n}_{seed}_{hashlib.sha256(source).hexdigest()[:12]}.npy"
    if not path.exists():
        rows = synthetic_bars(n, 5 * NS_PER_S, seed)
        rows["ts"] = START_NS + NS_PER_MINUTE * np.arange(1, n + 1)
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(".part.npy")
        np.save(part, rows.view(np.uint8))
        part.replace(path)
    return np.load(path).view(BAR), PRESETS["large-tick"].tick


def bars(n: int, seed: int, *, empty: float = 0.0, gaps: float = 0.0) -> Rows:
    """`n` one-minute `BAR` rows of one symbol: the same seed gives the same bars.

    The close walks by sigma * N(0, 1), sigma about 5 bps a bar and drawn anew every 200 bars; all prices are whole
    ticks of `TICK`; volumes are large enough that 1,000 quote stay below 2 % of them.

    Args:
        n: number of bars.
        seed: of the generator.
        empty: fraction of bars without volume; such a bar stands at the close before it.
        gaps: fraction of bars that open up to 60 bps away from the close before them.
    """
    dice = np.random.default_rng(seed)
    sigma = np.repeat(5e-4 * np.exp(0.5 * dice.standard_normal(n // 200 + 1)), 200)[:n]
    void = dice.random(n) < empty
    jump = np.where(dice.random(n) < gaps, dice.uniform(-60e-4, 60e-4, n), 0.0)
    move = sigma * dice.standard_normal(n)
    jump[void] = move[void] = 0.0
    # reflected at e and 1 / e times the start, so that long runs keep to prices of one size
    log_close = np.abs((np.cumsum(jump + move) - 1.0) % 4.0 - 2.0) - 1.0
    close = np.rint(100.0 * np.exp(log_close) / TICK)
    before = np.concatenate(([100.0 / TICK], close[:-1]))
    open_ = np.rint(before * np.exp(jump))
    close[void] = before[void]
    wick = np.where(void, 0.0, sigma * close)
    high = np.maximum(open_, close) + np.rint(wick * dice.exponential(0.5, n))
    low = np.minimum(open_, close) - np.rint(wick * dice.exponential(0.5, n))
    rows = np.zeros(n, BAR)
    per_tick = round(1.0 / TICK)
    for name, ticks in (("open", open_), ("high", high), ("low", low), ("close", close)):
        rows[name] = ticks / per_tick
    rows["ts"] = START_NS + NS_PER_MINUTE * np.arange(1, n + 1)
    rows["volume"] = np.where(void, 0.0, 10_000.0 * np.exp(0.4 * dice.standard_normal(n)))
    rows["taker_buy"] = np.nan
    if n:
        rows["last"][-1] = 1
    return rows
