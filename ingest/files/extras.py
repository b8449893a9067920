"""Candles with columns beside them, from a frame, a file or `Candles`: read and checked, once.

They are what mathematics of a market is told besides its bars: spreads, depth, trades a minute, VPIN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ingest.files.candles import Candles, candles_of, is_candle_column, time_column
from ingest.files.columns import CLOSE_NAMES, TIME_NAMES, Table, in_order, numbers, refusal, times
from ingest.files.tables import Source, read_table
from utils.errors import ConfigError
from utils.market.timeframes import TIMEFRAMES, normalise_timeframe
from utils.rows import NS_PER_MINUTE

#: Columns beside the candles that are used where a user has them, and what they must lie in.
EXTRAS = {"spread_bps": (0.0, math.inf), "depth": (0.0, math.inf), "trade_rate": (0.0, math.inf), "vpin": (0.0, 1.0)}
#: The symbol of candles of which nobody tells it.
UNKNOWN = "NONE"
#: When bars without a time begin, ns: any Monday serves.
FIRST_OPEN = 946_857_600_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Extended:
    """Candles, and what stood beside them."""

    candles: Candles
    symbol: str  # exchange id; "" = nobody said
    extras: Mapping[str, NDArray[np.float64]]  # the columns of EXTRAS that there are, beside the closed bars
    timed: bool  # False = the times are made up, because the frame had none


def load_extended(source: Candles | Source, *, symbol: str | None = None, tf: str | None = None) -> Extended:
    """Closed bars and the columns beside them.

    Args:
        source: columns open, high, low, close, volume; a time (`timestamp`, or `ts` = nanoseconds of the close) where
            there is one; of `spread_bps`, `depth` (quote within 5 bps), `trade_rate` (trades a minute; or `trades` =
            trades of the bar) and `vpin` (0-1) what there is. Bars without a time follow each other without gaps, and
            need a timeframe. `Candles` have no such columns.
        symbol: any spelling; None = the path's, or unknown.
        tf: timeframe; None = from the spacing of the bars.

    Raises:
        ConfigError: an unknown symbol or timeframe, or one that contradicts the source.
        DataError: bars that no exchange could have printed; the message names row and column.
    """
    if isinstance(source, Candles):
        return Extended(source, source.symbol, {}, timed=True)
    table = read_table(source, wanted=lambda name: name in {*EXTRAS, "trades"} or is_candle_column(name))
    has_time = {*TIME_NAMES, *CLOSE_NAMES} & set(table.columns)
    table, timed = (table, True) if has_time else _with_opens(table, tf)
    table, _ = in_order(table, time_column(table))
    # a frame has no name to tell its symbol, and candles have to have one
    candles = candles_of(table, symbol, tf, fallback="" if table.path else UNKNOWN)
    columns = {name: _extra(table, name, len(candles.rows), candles.tf_ns / NS_PER_MINUTE) for name in EXTRAS}
    extras = {name: column for name, column in columns.items() if column is not None}
    return Extended(candles, "" if candles.symbol == UNKNOWN else candles.symbol, extras, timed)


def _extra(table: Table, name: str, rows: int, minutes: float) -> NDArray[np.float64] | None:
    """A column beside the candles, as far as there are closed bars; None where the table has none."""
    if name in table.columns:
        column, scale = name, 1.0
    elif name == "trade_rate" and "trades" in table.columns:
        column, scale = "trades", 1.0 / minutes
    else:
        return None
    values: NDArray[np.float64] = numbers(table, column)[:rows] * scale
    low, high = EXTRAS[name]
    wrong = (values < low) | (values > high)
    if wrong.any():
        row = int(wrong.argmax())
        limits = f"from {low:g} to {high:g}" if high < math.inf else f"of {low:g} or more"
        raise refusal(table, row, column, f"a number {limits}", float(values[row]), "correct it, or leave it empty")
    return values


def _with_opens(table: Table, tf: str | None) -> tuple[Table, bool]:
    """A table whose bars say when they opened, and whether that is true rather than made up."""
    length = None if tf is None else TIMEFRAMES[normalise_timeframe(tf)]
    closed = "ts" in table.columns
    if closed:
        closes = times(table, "ts")
        if length is None and len(closes) > 1:
            steps, counts = np.unique(np.diff(closes), return_counts=True)
            length = int(steps[counts.argmax()])
        opens = closes - (length or 0)
    else:
        opens = FIRST_OPEN + (length or 0) * np.arange(table.size)
    if length is None:
        raise ConfigError(
            "timeframe: expected one for bars that do not say when they opened, saw none; "
            "give one, such as 1m, or a column `timestamp`"
        )
    return replace(table, columns={**table.columns, "timestamp": opens}, names=(*table.names, "timestamp")), closed
