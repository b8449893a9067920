"""Volume profile: how much was traded at each price, where most of it was, and between which prices.

What a profile says of a moment is causal only if it was made of what came before: hand in the session before, or a
window that ends there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.rows.users import Trades, of_one_symbol, trade_rows
from utils.compiled import compiled
from utils.errors import ConfigError, DataError
from utils.rows import BAR, Rows
from utils.types import per_step

#: Without a row height: a bar's mean range holds this many rows.
ROWS_PER_BAR = 50
#: More rows than this are a mistake in `bin`.
MOST_ROWS = 1_000_000
#: A sum of volumes that falls short of the value area's share by less than this has rounding to thank, no volume.
SLACK = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class VolumeProfile:
    """Volume by price, and what is read off it. Prices are those of rows, each the middle of its row."""

    prices: NDArray[np.float64]  # quote, ascending, every row from the lowest to the highest traded
    volumes: NDArray[np.float64]  # base
    poc: float  # point of control, quote: the row with the most volume
    val: float  # value area low, quote: its lowest row
    vah: float  # value area high
    hvn: NDArray[np.float64]  # high-volume nodes, quote, ascending
    lvn: NDArray[np.float64]  # low-volume nodes
    bin: float  # height of a row, quote
    approximate: bool  # True = made of bars, whose volume was spread over their range

    def position(self, price: float) -> float:
        """Where a price lies in the value area.

        Formula: (p - VAL) / (VAH - VAL).
        Unit: fraction; below 0 under the area, above 1 over it.
        NaN: the area is one row.
        Source: Steidlmayer, CBOT Market Profile.
        """
        return (price - self.val) / (self.vah - self.val) if self.vah > self.val else math.nan


def volume_profile(
    trades_or_bars: Trades,
    *,
    bin: float | None = None,  # noqa: A002 - what everyone calls it
    value_area: float = 0.70,
    rows: int = 2,
    smooth: float = 1.5,
    prominence: float = 0.15,
) -> VolumeProfile:
    """How much was traded at each price.

    The point of control is the row with the most volume; of several the one nearest to the middle of the range, then
    the lower. The value area grows from it: of the next `rows` rows above and below the side with more volume is added
    (above, when equal), until it holds its share; a side that has fewer rows left offers those. High- and low-volume
    nodes are local extremes of the smoothed profile that stand out from it.

    Args:
        trades_or_bars: what `trade_rows` takes; or bars, a DataFrame with `high`, `low` and `volume` or BAR rows, whose
            volume is spread evenly over their range: then the profile is `approximate`.
        bin: height of a row, quote; row k holds the prices nearest to k x bin. None = the smallest step between traded
            prices, or a fiftieth of the bars' mean range.
        value_area: its share of all volume, fraction.
        rows: that are added at a time, 2 or 1; both are in use.
        smooth: width of the Gaussian, rows.
        prominence: how far a node has to stand out, fraction of the smoothed profile's maximum.

    Formula: volume of row k = sum of q where floor(p / bin + 1/2) = k.
    Unit: quote and base.
    NaN: never.

    Raises:
        ConfigError: a setting out of its range, or so small a `bin` that there are more than a million rows.
        DataError: no volume; or as `trade_rows`, and for bars likewise.
    Source: Steidlmayer, CBOT Market Profile; nodes by the prominence of peaks, own.
    """
    if rows not in {1, 2}:
        raise ConfigError(f"rows: expected 1 or 2 rows at a time, saw {rows!r}")
    legal = {"value_area": 0.0 < value_area <= 1.0, "smooth": 0.0 < smooth < math.inf, "prominence": prominence > 0.0}
    if wrong := [name for name, right in legal.items() if not right]:
        raise ConfigError(f"{wrong[0]}: expected a number above 0, value_area at most 1; choose another")
    if bin is not None and not 0.0 < bin < math.inf:
        raise ConfigError(f"bin: expected a height in quote above 0, saw {bin!r}")
    bars = _bars(trades_or_bars)
    if bars is None:
        trades = of_one_symbol(trade_rows(trades_or_bars), "trades")
        low = high = trades["price"]
        volume = trades["qty"]
    else:
        low, high, volume = bars
    if not volume.sum() > 0.0:
        raise DataError("volume profile: expected volume, saw none; give trades, or bars in which something was traded")
    height = bin or _height(low, high, approximate=bars is not None)
    first, last = math.floor(low.min() / height + 0.5), math.floor(high.max() / height + 0.5)
    if last - first >= MOST_ROWS:
        raise ConfigError(f"bin: expected rows of more than {height:g}, saw {last - first + 1} of them; choose larger")
    volumes = np.zeros(last - first + 1)
    spread_volume(low, high, volume, height, first, volumes)
    per = per_step(height)
    numbers = np.arange(first, last + 1)
    prices = numbers / per if per else numbers * height
    poc = _most(volumes)
    bottom, top = _area(volumes, poc, value_area, rows)
    hvn, lvn = _nodes(volumes, smooth, prominence)
    area = float(prices[poc]), float(prices[bottom]), float(prices[top])
    return VolumeProfile(prices, volumes, *area, prices[hvn], prices[lvn], height, bars is not None)


@compiled
def spread_volume(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    volume: NDArray[np.float64],
    height: float,
    first: int,
    out: NDArray[np.float64],
) -> None:
    """Add each volume to the rows it was traded at, evenly over [low, high]; a price without a range is in one row."""
    for i in range(len(low)):
        begin = math.floor(low[i] / height + 0.5) - first
        end = math.floor(high[i] / height + 0.5) - first
        if begin == end:
            out[begin] += volume[i]
            continue
        density = volume[i] / (high[i] - low[i])
        for k in range(begin, end + 1):
            over = min(high[i], (first + k + 0.5) * height) - max(low[i], (first + k - 0.5) * height)
            out[k] += density * max(over, 0.0)


def _bars(given: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Low, high and volume of bars, checked; None for what is no bars."""
    if isinstance(given, np.ndarray) and given.dtype == BAR:
        table: Rows | Any = given
    elif hasattr(given, "columns") and {"low", "high", "volume"} <= set(given.columns):
        table = given
    else:
        return None
    if isinstance(table, np.ndarray):
        of_one_symbol(table, "bars")
    try:
        low, high, volume = (np.asarray(table[name], np.float64) for name in ("low", "high", "volume"))
    except (TypeError, ValueError) as error:
        raise DataError(f"bars: expected numbers in low, high and volume, saw others: {error}") from error
    if low.ndim != 1 or not low.shape == high.shape == volume.shape:
        raise DataError("bars: expected low, high and volume once each, saw one twice; drop one")
    wrong = ~((low > 0.0) & (low <= high) & (high < math.inf) & (volume >= 0.0) & (volume < math.inf))
    if wrong.any():
        bad = int(np.argmax(wrong))
        raise DataError(
            f"bars, row {bad}: expected 0 < low <= high and a volume of at least 0,"
            f" saw low {low[bad]:g}, high {high[bad]:g}, volume {volume[bad]:g}"
        )
    return low, high, volume


def _height(low: NDArray[np.float64], high: NDArray[np.float64], approximate: bool) -> float:
    """A row's height for want of a better one, quote; where the price never moved, any will do."""
    if approximate:
        return float((high - low).mean()) / ROWS_PER_BAR or float(high[0])
    steps = np.diff(np.unique(low))
    # prices are decimals: what differs by less than a billionth of itself is one price
    steps = steps[steps > 1e-9 * low.max()]
    return float(f"{steps.min():.9g}") if len(steps) else float(low[0])


def _most(volumes: NDArray[np.float64]) -> int:
    """The row with the most volume; ties: nearest to the middle, then the lower."""
    most = np.flatnonzero(volumes == volumes.max())
    return int(most[np.argmin(np.abs(2 * most - (len(volumes) - 1)))])


def _area(volumes: NDArray[np.float64], poc: int, share: float, rows: int) -> tuple[int, int]:
    """Lowest and highest row of the value area."""
    bottom = top = poc
    held, wanted = volumes[poc], share * volumes.sum() * (1.0 - SLACK)
    while held < wanted and (bottom > 0 or top < len(volumes) - 1):
        above, below = volumes[top + 1 : top + 1 + rows], volumes[max(bottom - rows, 0) : bottom]
        if len(above) and (above.sum() >= below.sum() or not len(below)):
            top += len(above)
            held += above.sum()
        else:
            bottom -= len(below)
            held += below.sum()
    return bottom, top


def _nodes(volumes: NDArray[np.float64], smooth: float, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of high- and of low-volume nodes."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import find_peaks

    smoothed = gaussian_filter1d(volumes, smooth, mode="nearest")
    least = share * smoothed.max()
    # nothing was traded beyond the range, so the last row may be a peak, but no valley
    peaks = find_peaks(np.pad(smoothed, 1), prominence=least)[0] - 1
    return peaks, find_peaks(-smoothed, prominence=least)[0]
