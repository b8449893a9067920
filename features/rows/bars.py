"""What bar features read: one prepared row, filled once a bar by one compiled function."""

from __future__ import annotations

import math
from typing import Protocol

from utils.compiled import compiled
from utils.rows import NS_PER_DAY, NS_PER_MINUTE, NS_PER_MS, BarRow, layout_of

MINUTES_PER_DAY = NS_PER_DAY // NS_PER_MINUTE
NAN = math.nan
TO_BPS = 1e4
#: Largest z for which five terms of the artanh series are exact: prices about 4 % apart.
SERIES = 0.02


class PreparedBar(Protocol):
    """One bar, and what several features want of it. Nothing here has a parameter."""

    count: int  # bars of this symbol so far, this one included
    time_ms: float  # close time, milliseconds since 1970 UTC
    minute: int  # of the UTC day, at the close
    open: float  # quote
    high: float
    low: float
    close: float
    volume: float  # base
    taker_buy: float  # base; NaN = the venue does not say
    prev_close: float  # quote; NaN at the first bar, like all fields that need it
    change: float  # close - prev_close, quote
    per_close: float  # 1 / close; a division costs as much as a feature, so the common ones are made once
    per_range: float  # 1 / (high - low), 0 without a range
    per_volume: float  # 1 / volume, 0 without volume
    log_close: float
    log_return: float  # ln(close / prev_close)
    log_gap: float  # ln(open / prev_close)
    log_body: float  # ln(close / open)
    log_range: float  # ln(high / low)
    true_range: float  # quote: max(high, prev_close) - min(low, prev_close)
    still: float  # bars in a row, up to this one, whose log return is 0
    frozen: float  # bars in a row, up to this one, whose true range is 0


class SharedBar(Protocol):
    """What one bar leaves for the next."""

    count: int
    close: float
    log_close: float
    still: float
    frozen: float


class Nothing(Protocol):
    """State of a feature that needs only its row."""

    unused: float


BAR_ROW = layout_of(PreparedBar)
BAR_SHARED = layout_of(SharedBar)


@compiled
def log_ratio(a: float, b: float) -> float:
    """ln(a / b) to three ulps: 2 artanh(z), z = (a - b) / (a + b), by its series where z is small.

    The prices of one bar are so close that the series needs five terms; it costs half of two logarithms, and
    ln(a / b) = -ln(b / a) holds exactly. Further apart it is as exact as the difference of two logarithms.
    """
    z = (a - b) / (a + b)
    if abs(z) > SERIES:
        return math.log(a) - math.log(b)
    square = z * z
    return 2.0 * z * (1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0 + square / 9.0))))


@compiled
def prepare_bar(shared: SharedBar, bar: BarRow, row: PreparedBar) -> None:
    """Fill `row` from `bar` and from what the bar before left in `shared`."""
    log_close = math.log(bar.close)
    log_body = log_ratio(bar.close, bar.open)
    width = bar.high - bar.low
    row.count = shared.count + 1
    row.time_ms = float(bar.ts // NS_PER_MS)
    row.minute = bar.ts // NS_PER_MINUTE % MINUTES_PER_DAY
    row.open = bar.open
    row.high = bar.high
    row.low = bar.low
    row.close = bar.close
    row.volume = bar.volume
    row.taker_buy = bar.taker_buy
    row.per_close = 1.0 / bar.close
    row.per_range = 1.0 / width if width > 0.0 else 0.0
    row.per_volume = 1.0 / bar.volume if bar.volume > 0.0 else 0.0
    row.log_close = log_close
    row.log_body = log_body
    row.log_range = log_ratio(bar.high, bar.low)
    if shared.count == 0:
        row.prev_close = NAN
        row.change = NAN
        row.log_return = NAN
        row.log_gap = NAN
        row.true_range = NAN
        row.still = 0.0
        row.frozen = 0.0
    else:
        row.prev_close = shared.close
        row.change = bar.close - shared.close
        row.log_return = log_close - shared.log_close
        # most bars open where the last one closed, and a branch is cheaper than a division
        row.log_gap = 0.0 if bar.open == shared.close else log_ratio(bar.open, shared.close)
        row.true_range = max(bar.high, shared.close) - min(bar.low, shared.close)
        row.still = shared.still + 1.0 if row.log_return == 0.0 else 0.0
        row.frozen = shared.frozen + 1.0 if row.true_range == 0.0 else 0.0
    shared.count = row.count
    shared.close = bar.close
    shared.log_close = log_close
    shared.still = row.still
    shared.frozen = row.frozen
