"""What the experiments are made on: recorded candles, the mock market, and walks whose truth is known.

Each is candles like any other: the default strategy's features and signals are computed on them by the code that
simulations use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backtest.data.market import build_market, synthetic_market
from exec.market import Market
from features.registry import feature_set
from ingest.files.candles import Candles, load_candles
from ingest.files.columns import show
from ingest.synthetic import START_NS
from ml.signal import Signaller, strategy_params
from utils.errors import DataError
from utils.figures.arithmetic import Floats
from utils.market.timeframes import TIMEFRAMES
from utils.params import params_of
from utils.rows import BAR, BPS, NS_PER_DAY, Rows
from utils.settings.tree import Settings

Whole = NDArray[np.int64]
#: Told how many of how many are behind us.
Told = Callable[[float, float], None]

#: Ends of the names of candle files in a folder, packed or not.
TABLES, PACKED = {".parquet", ".feather", ".csv", ".json"}, {".gz", ".zip", ".zst", ".bz2"}
#: Candles of the made markets: a length at which the default barriers are a few volatilities away.
MADE_TF = "1m"
#: Price and tick at which the walks begin, quote.
FIRST_PRICE, WALK_TICK = 30_000.0, 0.1
#: Increments inside a bar of a walk, and its volatility a bar, bps.
STEPS, WALK_BPS = 30, 7.0
#: Of the walk whose volatility clusters: spread of the logarithm, and memory in bars.
CLUSTER_SD, CLUSTER_BARS = 0.7, 240.0
#: What the made markets are called.
MOCK, WALK, CLUSTERED = "mock market", "random walk", "random walk, clustered volatility"


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Candles of one symbol with the default strategy's signals on them."""

    place: str  # market and timeframe of a recording; "" = it was made
    name: str  # symbol and period, or what it was made by
    group: str  # what it is counted with
    bars: Rows  # BAR
    instrument: Rows  # INSTRUMENT, one row
    params: Rows  # PARAMS, one row
    at: Whole  # rows of the signals, ascending
    sides: Floats  # +1 or -1 of each
    strength: Floats  # 0-100
    atr_bps: Floats  # average true range at each, of the close
    sigma_bps: Floats  # volatility a bar at each

    @property
    def made(self) -> bool:
        """Whether it was made here rather than recorded."""
        return not self.place

    @property
    def days(self) -> Whole:
        """UTC day of each signal, since 1970; a bar that closes at midnight belongs to the day that ends."""
        found: Whole = (self.bars["ts"][self.at] - 1) // NS_PER_DAY
        return found


def candle_files(paths: Sequence[str]) -> list[Path]:
    """The candle files that are named, by themselves, by a pattern or by their folder; each once, in order of path.

    Raises:
        DataError: a path is not there, or a folder or pattern holds no candle file.
    """
    found: set[Path] = set()
    for text in paths:
        path = Path(text)
        if path.is_dir():
            inside = {one for one in path.rglob("*") if one.is_file() and _is_table(one)}
        elif path.exists():
            inside = {path}
        else:
            inside = {Path(one) for one in glob(text, recursive=True) if Path(one).is_file()}  # noqa: PTH207 - it may be absolute
        if not inside:
            raise DataError(f"--data: expected candle files or a folder of them, saw none at {text}; name others")
        found |= inside
    return sorted(found)


def _is_table(path: Path) -> bool:
    endings = [ending.lower() for ending in path.suffixes]
    return bool(endings) and (endings[-1] in TABLES or (endings[-1] in PACKED and bool(TABLES & set(endings[-2:-1]))))


def recorded(paths: Sequence[Path], settings: Settings, told: Told) -> Iterator[Series]:
    """The series of candle files, one after the other, each a market of its own."""
    for k, path in enumerate(paths):
        candles = load_candles(path)
        market = build_market([candles], settings, data=path)
        first, last = (show(int(ts))[:10] for ts in (candles.rows["ts"][0] - candles.tf_ns, candles.rows["ts"][-1] - 1))
        place = f"{candles.market or 'market unknown'} {candles.tf}"
        name = f"{candles.symbol} {first} to {last}"
        yield series_of(market, settings, name, f"recorded, {candles.tf}", place=place)
        told(k + 1, len(paths))


def mocked(bars: int, seed: int, settings: Settings, told: Told) -> Series:
    """The mock market, `bars` of them decided on."""
    chosen = settings.model_copy(update={"simulation": settings.simulation.model_copy(update={"seed": seed})})
    market = synthetic_market(chosen, settings.market.symbol, MADE_TF, bars, told)
    return series_of(market, chosen, f"{settings.simulation.preset}, seed {seed}", MOCK)


def walked(walks: int, bars: int, seed: int, settings: Settings, *, clustered: bool = False) -> Iterator[Series]:
    """Walks of geometric Brownian motion, or one whose volatility clusters (`walk_candles`), on days of their own."""
    group = CLUSTERED if clustered else WALK
    for number in range(walks):
        market = build_market([walk_candles(bars, seed, number, clustered=clustered)], settings)
        yield series_of(market, settings, f"{bars:,} bars, seed {seed}", group)


def walk_candles(bars: int, seed: int, number: int = 0, *, clustered: bool = False, tf: str = MADE_TF) -> Candles:
    """Candles of a driftless walk, made of finer increments.

    Formula: 30 increments a bar, ln P' - ln P = s N(0, 1) - s^2 / 2 with s = 7 bps e^x / sqrt(30); x = 0, or,
    clustered, an Ornstein-Uhlenbeck process of standard deviation 0.7 and a memory of 240 bars, less 0.7^2, so that the
    mean variance is the same. A bar opens at the close before it; prices lie on a grid of 0.1; volumes are even dice of
    1 to 2. Unit: quote, base. NaN: the volume that takers bought.

    Args:
        bars: how many.
        seed: of the dice.
        number: of the walk; it begins on a day that is after those before it.
        clustered: volatility is not constant.
        tf: length of a bar; its volatility is the same whatever that is.
    """
    dice = np.random.default_rng([seed, number, int(clustered)])
    x = np.zeros(bars)
    if clustered:
        from scipy.signal import lfilter

        keep = float(np.exp(-1.0 / CLUSTER_BARS))
        shocks = dice.normal(size=bars) * CLUSTER_SD * np.sqrt(1.0 - keep * keep)
        shocks[0] = dice.normal() * CLUSTER_SD
        x = lfilter([1.0], [1.0, -keep], shocks) - CLUSTER_SD * CLUSTER_SD
    scale = WALK_BPS * BPS * np.exp(x) / np.sqrt(STEPS)
    moves = dice.normal(size=(bars, STEPS)) * scale[:, None] - 0.5 * (scale * scale)[:, None]
    price = FIRST_PRICE * np.exp(np.cumsum(moves)).reshape(bars, STEPS)
    closes = price[:, -1]
    opens = np.concatenate(([FIRST_PRICE], closes[:-1]))
    rows: Rows = np.zeros(bars, BAR)
    tf_ns = TIMEFRAMES[tf]
    days = -(-bars * tf_ns // NS_PER_DAY)
    rows["ts"] = START_NS + number * days * NS_PER_DAY + tf_ns * np.arange(1, bars + 1)
    for name, column in (
        ("open", opens),
        ("high", np.maximum(opens, price.max(axis=1))),
        ("low", np.minimum(opens, price.min(axis=1))),
        ("close", closes),
    ):
        rows[name] = np.round(np.round(column / WALK_TICK) * WALK_TICK, 1)
    rows["volume"], rows["taker_buy"] = dice.uniform(1.0, 2.0, bars), np.nan
    rows["last"][-1] = 1
    digest = hashlib.sha256(rows.tobytes()).hexdigest()
    return Candles("WALKUSDT", tf, tf_ns, "synthetic", "synthetic", digest, rows, (), False, 0)


def series_of(market: Market, settings: Settings, name: str, group: str, *, place: str = "") -> Series:
    """A market of one symbol, and where the default strategy has a signal with an average true range."""
    seen = feature_set().batch(market.bars)
    signals = Signaller(strategy_params(settings), market.starts).batch(market.bars, seen)
    atr_bps = seen["atr_14"] / market.bars["close"] / BPS
    known = np.isfinite(signals["side"]) & (signals["side"] != 0.0) & np.isfinite(atr_bps)
    at = np.flatnonzero(known)
    return Series(
        place=place,
        name=name,
        group=group,
        bars=market.bars,
        instrument=market.instruments,
        params=params_of(settings, market.tf_ns),
        at=at,
        sides=np.ascontiguousarray(signals["side"][at], np.float64),
        strength=np.ascontiguousarray(signals["strength"][at], np.float64),
        atr_bps=np.ascontiguousarray(atr_bps[at], np.float64),
        sigma_bps=np.ascontiguousarray(seen["ewma_vol_20_bps"][at], np.float64),
    )
