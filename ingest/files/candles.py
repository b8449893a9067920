"""Candle files in: read, checked and brought to one form, once.

A row's time is the bar's close. What is missing stays missing: gaps are listed, never filled.

A last bar that is still being formed is dropped, by these rules and no others (no clock is read, neither the
machine's nor a file's):

* its `confirm` (or `confirmed`, `closed`, `is_closed`, `complete`) column says no;
* its `close_time` is more than a second short of open + timeframe;
* the caller gave `now_ns`, and the bar closes after it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest.files.columns import (
    CONFIRM_NAMES,
    PRICES,
    TAKER_NAMES,
    TIME_NAMES,
    VOLUME,
    Table,
    numbers,
    pick,
    refusal,
    require_ascending,
    show,
    times,
)
from ingest.files.tables import Source, read_table
from utils.errors import ConfigError, DataError
from utils.market.symbols import normalise_symbol, symbol_of_file, timeframe_of_file
from utils.market.timeframes import KNOWN, TIMEFRAMES, normalise_timeframe, timeframe_of
from utils.rows import BAR, NS_PER_S, Rows


@dataclass(frozen=True, slots=True)
class Gap:
    """Bars the file does not have."""

    after_ts: int  # close of the last bar before the gap, ns
    before_ts: int  # close of the first bar after it, ns
    missing: int  # bars


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """Closed bars of one symbol, every one of them legal, and what is known about where they came from."""

    symbol: str  # the exchange's id, BTCUSDT
    tf: str  # ccxt name
    tf_ns: int
    market: str  # `binance_usdm` from a path <market>/<tf>/<SYMBOL>..., else ""
    source: str  # the file's name, or "frame"
    sha256: str  # of the file's bytes; of the rows' bytes for a frame
    rows: Rows  # utils.rows.BAR, by close time; taker_buy is NaN where the venue does not say
    gaps: tuple[Gap, ...]
    dropped_unfinished: bool
    zero_volume: int  # bars in which nothing traded


def load_candles(
    source: Source, *, symbol: str | None = None, tf: str | None = None, now_ns: int | None = None
) -> Candles:
    """Candles from a file, a DataFrame, or rows of numbers, checked and stamped with their close.

    Formula: ts = open time + timeframe; gap = (ts - previous ts) / timeframe - 1.
    Units: times ns UTC, prices quote, volumes base. NaN: only `taker_buy`, and only if the source has no such column.

    Args:
        source: path of a Parquet, Feather, CSV or JSON file; a DataFrame; a list of [ms, open, high, low, close,
            volume] rows or an n x 6 array. Twelve columns without names are Binance's archive format, seven Bybit's.
        symbol: needed where the file's name does not tell; must not contradict it.
        tf: must not contradict path and spacing; needed for a single bar.
        now_ns: present time, ns UTC; the last bar is dropped if it closes later.

    Raises:
        ConfigError: `symbol` or `tf` unknown, needed, or contradicting the data.
        DataError: the file is missing or wrong; names file, row, column, expected, seen and what to do.
    """
    table = read_table(source)
    market, path_tf = _place(table.path)
    name = _symbol(table, symbol)
    time_name = pick(table, TIME_NAMES)
    fields = {field: pick(table, (field,)) for field in (*PRICES, VOLUME)}
    opens = times(table, time_name)
    require_ascending(table, time_name, opens)
    frame = _timeframe(table, time_name, opens, path_tf, None if tf is None else normalise_timeframe(tf))
    length = TIMEFRAMES[frame]
    closes = opens + length
    kept = _finished(table, opens, closes, now_ns)

    rows = np.zeros(kept, dtype=BAR)
    rows["ts"] = closes[:kept]
    rows["gap"][1:] = np.diff(closes[:kept]) // length - 1
    rows["last"][-1] = 1
    for field, column in fields.items():
        rows[field] = numbers(table, column)[:kept]
    taker = next((column for column in TAKER_NAMES if column in table.columns), None)
    rows["taker_buy"] = np.nan if taker is None else numbers(table, taker)[:kept]
    _check(table, rows, taker)
    return Candles(
        symbol=name,
        tf=frame,
        tf_ns=length,
        market=market,
        source=table.name,
        sha256=table.sha256 or hashlib.sha256(rows.tobytes()).hexdigest(),
        rows=rows,
        gaps=gaps_of(rows),
        dropped_unfinished=kept < table.size,
        zero_volume=int(np.count_nonzero(rows["volume"] == 0.0)),
    )


def gaps_of(rows: Rows) -> tuple[Gap, ...]:
    """The gaps that `utils.rows.BAR` rows of one symbol say they have."""
    holes = np.flatnonzero(rows["gap"])
    return tuple(Gap(int(rows["ts"][i - 1]), int(rows["ts"][i]), int(rows["gap"][i])) for i in holes)


def _place(path: Path | None) -> tuple[str, str]:
    """Market and timeframe that a path tells, "" for what it does not."""
    if path is None:
        return "", ""
    folder = path.absolute().parent
    if folder.name in TIMEFRAMES and symbol_of_file(path.name):
        return folder.parent.name, folder.name
    return "", folder.name if folder.name in TIMEFRAMES else timeframe_of_file(path.name)


def _symbol(table: Table, asked: str | None) -> str:
    told = symbol_of_file(table.path.name) if table.path else ""
    if asked is None:
        if not told:
            raise ConfigError(f"{table.name}: expected a symbol, seen none in the name; give one (symbol=, --symbol)")
        return told
    name = normalise_symbol(asked)
    if told and told != name:
        raise ConfigError(f"symbol: expected {told} as the name of {table.name} says, seen {asked!r}; drop one of them")
    return name


def _timeframe(table: Table, column: str, opens: NDArray[np.int64], told: str, asked: str | None) -> str:
    """The most common spacing, held against what the path and the caller say; every step must be a multiple of it."""
    if table.size == 1:
        if told and asked and told != asked:
            raise ConfigError(f"timeframe: expected {told} as the path of {table.name} says, seen {asked}; drop it")
        name = told or asked
        if not name:
            raise ConfigError(f"{table.name}: expected a timeframe, seen a single bar; give one (tf=, --timeframe)")
        return name
    steps = np.diff(opens)
    lengths, counts = np.unique(steps, return_counts=True)
    length = int(lengths[counts.argmax()])
    found = timeframe_of(length)
    if found is None:
        row = int((steps == length).argmax()) + 1
        raise refusal(
            table, row, column, f"bars {told or asked or KNOWN} apart", _span(length), "check the times or resample"
        )
    if asked and asked != found:
        raise ConfigError(f"timeframe: expected {found} as the bars of {table.name} are, seen {asked}; drop it")
    off = steps % length != 0
    if told and told != found:
        row = int((steps == length).argmax()) + 1
        raise refusal(table, row, column, f"bars {told} apart as the path says", _span(length), "correct the path")
    if off.any():
        row = int(off.argmax()) + 1
        expected = f"a multiple of {found} after {show(opens[row - 1])}"
        raise refusal(table, row, column, expected, show(opens[row]), "wrong timeframe or time: correct the row")
    return found


def _span(length_ns: int) -> str:
    name = timeframe_of(length_ns)
    return name or (f"{length_ns / (60 * NS_PER_S):g} minutes")


def _finished(table: Table, opens: NDArray[np.int64], closes: NDArray[np.int64], now_ns: int | None) -> int:
    """Number of rows without the last one if that is unfinished."""
    last = table.size - 1
    unfinished = False
    confirm = next((name for name in CONFIRM_NAMES if name in table.columns), None)
    if confirm:
        open_still = _denied(table, confirm)
        if open_still[:-1].any():
            row = int(open_still.argmax())
            raise refusal(table, row, confirm, "a closed bar before the last row", "an open one", "delete the row")
        unfinished = bool(open_still[-1])
    if "close_time" in table.columns:
        ends = times(table, "close_time")
        early = ends <= opens
        if early.any():
            row = int(early.argmax())
            raise refusal(table, row, "close_time", f"a time after {show(opens[row])}", show(ends[row]), "correct it")
        unfinished |= int(closes[-1] - ends[-1]) > NS_PER_S
    if now_ns is not None:
        if last > 0 and closes[-2] > now_ns:
            row = int((closes > now_ns).argmax())
            expected = f"no bar but the last to close after {show(now_ns)}"
            raise refusal(table, row, pick(table, TIME_NAMES), expected, show(closes[row]), "check clock and zone")
        unfinished |= int(closes[-1]) > now_ns
    if unfinished and last == 0:
        raise DataError(f"{table.name}: expected a finished bar, seen only an unfinished one; wait for its close")
    return last if unfinished else table.size


def _denied(table: Table, name: str) -> NDArray[np.bool_]:
    """Where a yes-or-no column says no."""
    column = table.columns[name]
    words = {"false": True, "0": True, "0.0": True, "true": False, "1": False, "1.0": False}
    cells = [str(cell).lower() for cell in (column if isinstance(column, np.ndarray) else column.to_pylist())]
    unknown = next((row for row, cell in enumerate(cells) if cell not in words), None)
    if unknown is not None:
        raise refusal(table, unknown, name, "true or false", repr(cells[unknown]), "correct the cell")
    return np.array([words[cell] for cell in cells])


def _check(table: Table, rows: Rows, taker: str | None) -> None:
    """Refuse the first row that no exchange could have printed."""
    low, high, volume = rows["low"], rows["high"], rows["volume"]
    wrong: list[tuple[NDArray[np.bool_], str, str]] = []
    for field in PRICES:
        wrong.append((~np.isfinite(rows[field]), field, "a finite number"))
        wrong.append((rows[field] <= 0.0, field, "a price above 0"))
    wrong.append((~np.isfinite(volume), "volume", "a finite number"))
    wrong.append((volume < 0.0, "volume", "a volume of 0 or more"))
    wrong.append((high < low, "high", "a price not below low {low}"))
    for field in ("open", "close"):
        outside = (high >= low) & ((rows[field] < low) | (rows[field] > high))
        wrong.append((outside, field, "a price from low {low} to high {high}"))
    if taker is not None:
        wrong.append((~np.isfinite(rows["taker_buy"]), taker, "a finite number"))
        wrong.append(((rows["taker_buy"] < 0.0) | (rows["taker_buy"] > volume), taker, "0 to volume {volume}"))
    found = [(int(mask.argmax()), column, rule) for mask, column, rule in wrong if mask.any()]
    if found:
        row, column, rule = min(found, key=lambda item: item[0])
        bar = rows[row]
        seen = float(bar["taker_buy" if column == taker else column])
        expected = rule.format(low=float(bar["low"]), high=float(bar["high"]), volume=float(bar["volume"]))
        raise refusal(table, row, column, expected, seen, "correct or delete the row")
