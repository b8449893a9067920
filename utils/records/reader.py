"""A finished run as arrays: read from trades.csv and its siblings, from a frame, or built by a simulation.

Times are int64 nanoseconds UTC (`NO_TIME` = empty), numbers float64 (NaN = empty), text arrays of str. Columns are
those of `utils.records.schema`; what a KPI does not ask for may be missing.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from utils.errors import DataError
from utils.figures.arithmetic import Floats, Times
from utils.records.schema import (
    EQUITY_COLUMNS,
    ID_COLUMNS,
    NO_TIME,
    ORDER_COLUMNS,
    SCHEMA_VERSION,
    TEXT_COLUMNS,
    TIME_COLUMNS,
    TRADE_COLUMNS,
    Columns,
)

#: Path of trades.csv, a pandas frame of trades, or a `Log`.
Source: TypeAlias = Any


class RealisedEquityWarning(UserWarning):
    """A KPI of the account had only closed trades to work with: open profit and loss is not in it."""


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """One run; `trades` in order of exit time, then entry order."""

    trades: Columns
    equity: Columns | None  # `time` ascending, `equity`; None = equity.csv is not there
    orders: Columns | None  # None = orders.csv is not there
    initial_capital: float  # quote; NaN = unknown
    where: str = "this log"  # for messages
    fills: Columns | None = None  # None = fills.csv is not there


def read_log(source: Source, initial_capital: float | None = None) -> Log:
    """Read a run: trades, and beside a file named trades.csv also equity.csv, orders.csv and run.json.

    The initial capital is, in this order: `initial_capital` of run.json (top level or any section of its settings),
    the first row of equity.csv less its profit, the argument, `equity_after` less `net_pnl` of the first trade.
    Trades without `exit_time` are open and left out. A `Log` is passed through.

    Args:
        source: path of trades.csv, pandas frame of trades, or `Log`.
        initial_capital: quote; used where the run did not record it.

    Raises:
        DataError: a file is missing, empty, of a newer schema, lacks a column, or holds something unreadable.
    """
    if isinstance(source, Log):
        if initial_capital is not None and math.isnan(source.initial_capital):
            return dataclasses.replace(source, initial_capital=float(initial_capital))
        return source
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        where = str(path)
        trades = _closed(_read_csv(path, TRADE_COLUMNS, ("entry_time", "exit_time", "net_pnl")), where)
        equity, orders, recorded = _siblings(path)
    elif hasattr(source, "columns"):
        where, equity, orders, recorded = "the frame of trades", None, None, None
        trades = _closed(_from_frame(source, where), where)
    else:
        raise DataError(
            f"expected the path of trades.csv, a frame of trades or a Log, got {type(source).__name__}: name the file"
        )
    for known in (recorded, initial_capital):
        if known is not None:
            return Log(trades, equity, orders, float(known), where)
    return Log(trades, equity, orders, _first_capital(trades), where)


def column(columns: Columns, name: str, where: str) -> NDArray[Any]:
    """One column of a log file.

    Raises:
        DataError: it is not there.
    """
    try:
        return columns[name]
    except KeyError:
        raise _lacks(where, name, columns) from None


def equity_curve(log: Log) -> tuple[Times, Floats, float, int | None]:
    """Times (ns), mark-to-market equity (quote), initial capital (quote) and, where needed, the start (ns) of a run.

    Without equity.csv: initial capital plus the net of closed trades, from the first entry to the last exit, and a
    `RealisedEquityWarning`, once per file and process.

    Raises:
        DataError: the initial capital is known from nowhere.
    """
    if log.equity is not None and len(column(log.equity, "time", log.where)):
        return log.equity["time"], column(log.equity, "equity", log.where), log.initial_capital, None
    times, pnl = column(log.trades, "exit_time", log.where), column(log.trades, "net_pnl", log.where)
    if len(times) == 0:
        return times, pnl, log.initial_capital, None
    if math.isnan(log.initial_capital):
        raise DataError(
            f"{log.where}: the initial capital is not in run.json, equity.csv or a column 'equity_after': "
            "pass initial_capital"
        )
    _warn_once(log.where)
    start = int(np.min(column(log.trades, "entry_time", log.where)))
    return times, log.initial_capital + np.cumsum(pnl), log.initial_capital, start


@cache
def _warn_once(where: str) -> None:
    """Warn; the cache is what makes it once per process and path (a warning turned into an error is not cached)."""
    warnings.warn(
        f"{where}: no equity.csv beside it, so KPIs of the account use realised daily equity between the first entry "
        "and the last exit; open profit and loss is not in them",
        RealisedEquityWarning,
        stacklevel=4,
    )


def _lacks(where: str, name: str, seen: Iterable[str]) -> DataError:
    return DataError(f"{where}: expected the column '{name}', saw {', '.join(seen)}: is this the right file?")


def _read_csv(path: Path, known: tuple[str, ...], needed: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The known columns of a log file as arrays; others are skipped."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DataError(f"{path}: expected a log file, but it cannot be read ({reason}): check the path") from None
    if not header:
        raise DataError(f"{path}: expected a header line, but the file is empty: run the simulation again")
    for name in needed:
        if name not in header:
            raise _lacks(str(path), name, header)
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    wanted = [name for name in known if name in header and name not in ID_COLUMNS]
    kinds = {name: pa.float64() for name in wanted}
    kinds |= {name: pa.timestamp("ns", tz="UTC") for name in wanted if name in TIME_COLUMNS}
    kinds |= {name: pa.dictionary(pa.int32(), pa.string()) for name in wanted if name in TEXT_COLUMNS}
    options = arrow_csv.ConvertOptions(column_types=kinds, include_columns=wanted)
    try:
        table = arrow_csv.read_csv(path, convert_options=options).unify_dictionaries()
    except pa.ArrowInvalid as error:
        raise DataError(_bad_line(path, header, wanted) or f"{path}: {error}") from None
    return {name: _array(table[name], name, pa) for name in wanted}


def _array(values: Any, name: str, pa: Any) -> NDArray[Any]:
    if name in TIME_COLUMNS:
        return values.cast(pa.int64()).fill_null(NO_TIME).to_numpy()  # type: ignore[no-any-return]
    if name in TEXT_COLUMNS:
        coded = values.combine_chunks()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.chunk(0) if coded.num_chunks else pa.array([], coded.type)
        names = np.array([*coded.dictionary.to_pylist(), ""], dtype=str)
        return np.asarray(names[coded.indices.fill_null(-1).to_numpy()])
    return values.to_numpy().astype(np.float64, copy=False)  # type: ignore[no-any-return]


def _bad_line(path: Path, header: list[str], wanted: list[str]) -> str:
    """What is wrong with the first line that cannot be read; empty if every one can."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        next(lines)
        for line in lines:
            at = f"{path}, line {lines.line_num}"
            if line and len(line) != len(header):
                return f"{at}: expected {len(header)} columns, saw {len(line)}: was the file cut off?"
            for name, text in zip(header, line, strict=False):
                if name in wanted and text and not _readable(name, text):
                    what = "a UTC time such as 2025-01-19T00:05:00.000Z" if name in TIME_COLUMNS else "a number"
                    return f"{at}, column {name}: expected {what}, saw {text!r}: correct that cell"
    return ""


def _readable(name: str, text: str) -> bool:
    if name in TEXT_COLUMNS:
        return True
    try:
        if name in TIME_COLUMNS:
            from datetime import datetime

            return datetime.fromisoformat(text).tzinfo is not None
        float(text)
    except ValueError:
        return False
    return True


def _from_frame(frame: Any, where: str) -> dict[str, NDArray[Any]]:
    """The known columns of a pandas frame; integer times are nanoseconds, times without a zone are UTC."""
    import pandas as pd

    for name in ("entry_time", "exit_time", "net_pnl"):
        if name not in frame.columns:
            raise _lacks(where, name, map(str, frame.columns))
    columns: dict[str, NDArray[Any]] = {}
    for name in TRADE_COLUMNS:
        if name not in frame.columns or name in ID_COLUMNS:
            continue
        values = frame[name]
        try:
            if name in TEXT_COLUMNS:
                columns[name] = values.astype(object).where(values.notna(), "").to_numpy().astype(str)
            elif name not in TIME_COLUMNS:
                columns[name] = values.to_numpy(dtype=np.float64, na_value=np.nan)
            elif pd.api.types.is_integer_dtype(values):
                columns[name] = values.to_numpy(dtype=np.int64)
            else:
                stamps = pd.to_datetime(values, utc=True, format="ISO8601").dt.tz_localize(None)
                columns[name] = stamps.to_numpy(dtype="datetime64[ns]").view(np.int64)
        except (ValueError, TypeError) as error:
            raise DataError(f"{where}, column {name}: {error}: correct that column") from None
    return columns


def _closed(columns: dict[str, NDArray[Any]], where: str) -> dict[str, NDArray[Any]]:
    """Check what every KPI rests on, leave open trades out, and put the rest in order of exit (ties as they stood)."""
    entry, out, pnl = columns["entry_time"], columns["exit_time"], columns["net_pnl"]
    closed = out != NO_TIME
    wrong = {
        "net_pnl: expected an amount": closed & ~np.isfinite(pnl),
        "entry_time: expected a time": closed & (entry == NO_TIME),
        "exit_time: expected a time not before entry_time": closed & (out < entry),
    }
    for what, rows in wrong.items():
        if rows.any():
            row = int(np.argmax(rows))
            seen = _shown(columns[what.split(":", maxsplit=1)[0]][row])
            raise DataError(f"{where}, trade {row + 1}, column {what}, saw {seen}: correct that row")
    order = np.flatnonzero(closed)
    if np.any(np.diff(out[order]) < 0):
        order = order[np.argsort(out[order], kind="stable")]
    elif len(order) == len(out):
        return columns
    return {name: values[order] for name, values in columns.items()}


def _shown(value: Any) -> str:
    if isinstance(value, np.int64):
        return "nothing" if value == NO_TIME else iso_time(int(value))
    return "nothing" if np.isnan(value) else str(value)


def iso_time(ns: int) -> str:
    """A time as the log files write it: ISO 8601 UTC with milliseconds."""
    return f"{np.datetime64(ns, 'ns').astype('datetime64[ms]')}Z"


def _siblings(path: Path) -> tuple[Columns | None, Columns | None, float | None]:
    """Equity, orders and the recorded initial capital beside a trades.csv; a file of another name has no siblings."""
    if path.name != "trades.csv":
        return None, None, None
    recorded = _recorded_capital(path.with_name("run.json"))
    equity, orders = None, None
    if (beside := path.with_name("equity.csv")).exists():
        equity = _equity(_read_csv(beside, EQUITY_COLUMNS, ("time", "equity")), str(beside))
        if recorded is None and len(equity["time"]) and {"realised", "open_pnl"} <= equity.keys():
            recorded = float(equity["equity"][0] - equity["realised"][0] - equity["open_pnl"][0])
    if (beside := path.with_name("orders.csv")).exists():
        orders = _read_csv(beside, ORDER_COLUMNS, ())
    return equity, orders, recorded


def _equity(columns: dict[str, NDArray[Any]], where: str) -> dict[str, NDArray[Any]]:
    for name, rows in (("time", columns["time"] == NO_TIME), ("equity", ~np.isfinite(columns["equity"]))):
        if rows.any():
            raise DataError(f"{where}, row {int(np.argmax(rows)) + 1}, column {name}: expected a value, saw nothing")
    if np.any(np.diff(columns["time"]) < 0):
        order = np.argsort(columns["time"], kind="stable")
        return {name: values[order] for name, values in columns.items()}
    return columns


def _recorded_capital(path: Path) -> float | None:
    """Initial capital in run.json; None where the file or the entry is not there."""
    if not path.exists():
        return None
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        schema = int(run.get("schema", SCHEMA_VERSION))
        places = [run, *(part for part in run.get("settings", {}).values() if isinstance(part, dict))]
        found = [float(place["initial_capital"]) for place in places if place.get("initial_capital") is not None]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: expected the record of a run as JSON ({error}): run the simulation again") from None
    if schema > SCHEMA_VERSION:
        raise DataError(f"{path}: its schema is {schema}, this program reads up to {SCHEMA_VERSION}: update it")
    return found[0] if found else None


def _first_capital(trades: Columns) -> float:
    if "equity_after" not in trades or len(trades["net_pnl"]) == 0:
        return math.nan
    return float(trades["equity_after"][0] - trades["net_pnl"][0])
