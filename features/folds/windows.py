"""Running statistics of the last n values: small records and the compiled functions that push a value into them.

Each costs O(1) a row. The ring is worked in blocks of n: the window is the part of this block that came so far plus a
tail of the last block, whose tail sums (or extremes) were made when it was full. Nothing is ever subtracted, so
nothing drifts, a sum of zeros is exactly 0, and a wild value leaves no trace once it is out of the window.
Source: M. van Herk, A fast algorithm for local minimum and maximum filters, 1992 (for extremes).
"""

from __future__ import annotations

import math
from typing import Any, Protocol, get_type_hints

import numpy as np

from utils.compiled import inlined
from utils.rows import NS_PER_S, layout

#: Capacities are rounded up to a power of two, so that windows of 2 to 32 rows share one compilation.
SMALLEST_RING = 32
#: Buckets that a window of time is made of: its length is exact to a twentieth.
BUCKETS = 20


class Ring(Protocol):
    """An array field of a state record, float64."""

    def __getitem__(self, index: int) -> float: ...

    def __setitem__(self, index: int, value: float) -> None: ...


def state_layout(row: type, window: int = SMALLEST_RING) -> np.dtype[Any]:
    """The dtype of a state class: int64, float64, array fields of at least `window` values, and nested states.

    Args:
        row: a Protocol whose annotations are int, float, `Ring` or another such Protocol.
        window: values that each ring has to hold.
    """
    capacity = max(SMALLEST_RING, 1 << (window - 1).bit_length())
    fields: list[tuple[Any, ...]] = []
    for name, kind in get_type_hints(row).items():
        if kind is int or kind is float:
            fields.append((name, np.int64 if kind is int else np.float64))
        elif kind is Ring:
            fields.append((name, np.float64, (capacity,)))
        else:
            fields.append((name, state_layout(kind, window)))
    return layout(*fields)


class Window(Protocol):
    """Sum of the last n values."""

    pos: int
    block: float  # sum of this block so far
    ring: Ring  # filled from the top down; above: values of this block, below: tail sums of the last


class Summed(Protocol):
    """A sum over n bars."""

    n: int
    scale: float  # of the mean: a constant over n
    window: Window


class TwoWindows(Protocol):
    """Sums of the last n values of two columns, which share one position."""

    pos: int
    first: float
    second: float
    first_block: float
    second_block: float
    first_ring: Ring
    second_ring: Ring


class Moments(Protocol):
    """Sum and sum of squares of the last n values, measured from an anchor that is one of them."""

    pos: int
    anchor: float
    block: float
    block_squares: float
    total: float
    squares: float
    ring: Ring
    tails: Ring
    tail_squares: Ring


class Spread(Protocol):
    """Mean and variance over n values."""

    n: int
    per_n: float
    n_less_1: float
    most: float  # (n - 1) / sqrt(n): no member of a sample is further out (Samuelson 1968)
    seen: int
    moments: Moments


class Average(Protocol):
    """Exponential mean that starts with the mean of the first n values."""

    n: int
    weight: float
    value: float


class TimeWindow(Protocol):
    """Sum over the last n buckets of time, the current one included; events come when they come."""

    bucket: int  # number of the current one: time // its width
    before: float  # sum of the n - 1 before it
    now: float  # of the current one so far
    ring: Ring  # by number % n


class Channel(Protocol):
    """Highest high and lowest low of the last n bars: running extremes of this block, suffix extremes of the last."""

    pos: int
    top: float
    bottom: float
    block_top: float
    block_bottom: float
    highs: Ring
    lows: Ring


@inlined
def pushed(window: Window, value: float, n: int) -> float:
    """Push `value`; returns the sum of the last n values (those before the first count as 0)."""
    ring = window.ring
    k = n - 1 - window.pos
    total = window.block + value
    ring[k] = value
    if k > 0:
        window.block = total
        window.pos += 1
        return total + ring[k - 1]
    tail = 0.0
    for j in range(n):
        tail += ring[j]
        ring[j] = tail
    window.block = 0.0
    window.pos = 0
    return tail


@inlined
def cleared(window: Window, n: int) -> None:
    """Forget the last n values."""
    for k in range(n):
        window.ring[k] = 0.0
    window.pos = 0
    window.block = 0.0


@inlined
def pushed_both(windows: TwoWindows, first: float, second: float, n: int) -> None:
    """Push one value into each column; `windows.first` and `windows.second` are then sums of the last n values."""
    first_ring = windows.first_ring
    second_ring = windows.second_ring
    k = n - 1 - windows.pos
    first_ring[k] = first
    second_ring[k] = second
    if k > 0:
        windows.first_block += first
        windows.second_block += second
        windows.first = windows.first_block + first_ring[k - 1]
        windows.second = windows.second_block + second_ring[k - 1]
        windows.pos += 1
        return
    first = 0.0
    second = 0.0
    for j in range(n):
        first += first_ring[j]
        second += second_ring[j]
        first_ring[j] = first
        second_ring[j] = second
    windows.first = first
    windows.second = second
    windows.first_block = 0.0
    windows.second_block = 0.0
    windows.pos = 0


@inlined
def moved(moments: Moments, value: float, n: int) -> None:
    """Push `value` into `moments`; from the n-th on they describe the last n values.

    The anchor is renewed with each block and stays inside the window, so the variance keeps its digits at any level.
    """
    k = n - 1 - moments.pos
    moments.ring[k] = value
    if k > 0:
        distance = value - moments.anchor
        moments.block += distance
        moments.block_squares += distance * distance
        moments.total = moments.block + moments.tails[k - 1]
        moments.squares = moments.block_squares + moments.tail_squares[k - 1]
        moments.pos += 1
        return
    total = 0.0
    squares = 0.0
    for j in range(n):
        distance = moments.ring[j] - value
        total += distance
        squares += distance * distance
        moments.tails[j] = total
        moments.tail_squares[j] = squares
    moments.anchor = value
    moments.total = total
    moments.squares = squares
    moments.block = 0.0
    moments.block_squares = 0.0
    moments.pos = 0


@inlined
def standing(moments: Moments, value: float, state: Spread) -> float:
    """z-score of `value`, the newest of n, by their sample deviation; NaN if all are equal.

    Args:
        moments: of the last n values.
        value: the newest of them.
        state: n in the forms this needs, and the bound.
    """
    offset = moments.total * state.per_n
    spread = moments.squares - moments.total * offset
    if spread <= 0.0:
        return math.nan
    z = (value - moments.anchor - offset) * math.sqrt(state.n_less_1 / spread)
    return min(state.most, max(-state.most, z))


@inlined
def widened(channel: Channel, high: float, low: float, n: int) -> None:
    """Push a bar; from the n-th on `top` and `bottom` are the extremes of the last n bars."""
    highs = channel.highs
    lows = channel.lows
    k = n - 1 - channel.pos
    highs[k] = high
    lows[k] = low
    if channel.pos > 0:
        high = max(channel.block_top, high)
        low = min(channel.block_bottom, low)
    if k > 0:
        channel.block_top = high
        channel.block_bottom = low
        channel.top = max(high, highs[k - 1])
        channel.bottom = min(low, lows[k - 1])
        channel.pos += 1
        return
    channel.top = high
    channel.bottom = low
    channel.pos = 0
    high = highs[0]
    low = lows[0]
    for j in range(1, n):
        high = max(high, highs[j])
        low = min(low, lows[j])
        highs[j] = high
        lows[j] = low


@inlined
def emptied(window: TimeWindow, bucket: int, n: int) -> None:
    """Forget everything; time is in `bucket` now."""
    for k in range(n):
        window.ring[k] = 0.0
    window.bucket = bucket
    window.before = 0.0
    window.now = 0.0


@inlined
def summed(window: TimeWindow, value: float, bucket: int, n: int) -> float:
    """Add `value` in `bucket` (never before the last call's); returns the sum of the last n buckets, n <= ring."""
    steps = bucket - window.bucket
    if steps >= n:
        emptied(window, bucket, n)
    elif steps > 0:
        ring = window.ring
        ring[window.bucket % n] = window.now
        for k in range(window.bucket + 1, bucket):
            ring[k % n] = 0.0
        total = 0.0
        for k in range(bucket - n + 1, bucket):
            total += ring[k % n]
        window.bucket = bucket
        window.before = total
        window.now = 0.0
    window.now += value
    return window.before + window.now


@inlined
def smoothed(average: float, value: float, count: int, seed: int, weight: float) -> float:
    """The next exponential average; the mean of the first `seed` values begins it, not zero.

    Args:
        average: what this function returned for the value before; 0 before the first.
        value: the new value.
        count: number of this value, 1 for the first. Until `seed` the result is a sum, not yet an average.
        seed: number of values whose mean starts the average.
        weight: of a new value, 0-1.
    """
    if count > seed:
        return average + weight * (value - average)
    if count == seed:
        return (average + value) / seed
    return average + value


def time_params(seconds: float) -> tuple[float, float, float]:
    """Parameters of a fold over the last `seconds`: buckets, and the width of one and of all, ns."""
    return BUCKETS, round(seconds * NS_PER_S / BUCKETS), round(seconds * NS_PER_S)


def half_life_weight(half_life: float) -> float:
    """Weight of the newest value in an exponential average: 1 - 2^(-1 / half_life); 0.0341 for 20."""
    return 1.0 - math.exp2(-1.0 / half_life)
