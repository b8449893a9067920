"""A run as arrays: from its log files, from the journal of one that goes on, from a frame, or from a simulation.

Times are int64 nanoseconds UTC (`NO_TIME` = empty), numbers float64 (NaN = empty), text arrays of str. Columns are
those of `utils.records.schema`; what a KPI does not ask for may be missing.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from utils.errors import DataError
from utils.figures.arithmetic import Floats, Times, groups
from utils.market.times import NoTime, is_number, nanoseconds
from utils.records.schema import (
    EQUITY_COLUMNS,
    FILL_COLUMNS,
    ID_COLUMNS,
    NO_TIME,
    ORDER_COLUMNS,
    SCHEMA_VERSION,
    SIGNAL_COLUMNS,
    TEXT_COLUMNS,
    TIME_COLUMNS,
    TRADE_COLUMNS,
    Columns,
)
from utils.records.swap import whole_set
from utils.words import EXITS, KINDS, LIQUIDITIES, ORDER_SIDES, STATUSES, TRADE_SIDES, ours, ours_or_none

#: Path of trades.csv, of a folder of log files or of a journal; a pandas frame of trades; or a `Log`.
Source: TypeAlias = Any

#: The columns of each log table.
TABLE_COLUMNS = {
    "trades": TRADE_COLUMNS,
    "signals": SIGNAL_COLUMNS,
    "orders": ORDER_COLUMNS,
    "fills": FILL_COLUMNS,
    "equity": EQUITY_COLUMNS,
}
#: The words of the columns by which figures tell rows apart, by what a row is called.
WORDS = {
    "trade": {"side": TRADE_SIDES, "entry_liquidity": LIQUIDITIES, "exit_liquidity": LIQUIDITIES},
    "order": {"side": ORDER_SIDES, "kind": KINDS, "status": STATUSES},
}
#: How long a reader begins anew when the files change under its hands, s.
READ_PATIENCE_S = 10.0


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


_Read = TypeVar("_Read")


class Mark(NamedTuple):
    """How far somebody has read, and of which run."""

    run: str
    seq: int


START = Mark("", 0)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What came after a mark."""

    mark: Mark  # ask for what comes next with it
    whole: bool  # these are all rows of the run, in place of any read before; else they follow those
    finished: bool  # nothing will follow
    tables: Mapping[str, Columns]  # by name of the log file; ids are texts; a table without a file is not there


def tail(source: Source, after: Mark = START) -> Batch:
    """What a run wrote since; of a run that goes on, the moments after that one, as they stood at one commit.

    The files of a finished run are one batch. So are they once a run that was followed is over, and where another run
    took the place of the one that was followed: then `whole` says that what was read before does not count.

    Args:
        source: path of a folder of log files, of its trades.csv, or of a journal.
        after: where the last batch ended.

    Raises:
        DataError: as `read_log`.
    """
    return _steadily(source, lambda place: _batch(place, after))


def _batch(place: _Place, after: Mark) -> Batch:
    if place.journal is not None:
        from utils.records.database import read_rows
        from utils.records.names import tables_in_words

        told, rows, before = read_rows(place.journal, after.seq, after.run)
        columns = tables_in_words(rows, told.meta.words, before)
        return Batch(
            Mark(told.token, told.seq), after.run != told.token, told.finished,
            {table: _with_text_ids(values) for table, values in columns.items()},
        )  # fmt: skip
    mark = Mark(place.run, place.seq)
    known = TABLE_COLUMNS if place.named else {"trades": TRADE_COLUMNS}
    found = {table: place.trades.with_name(f"{table}.csv") if place.named else place.trades for table in known}
    tables = {
        table: _read_csv(path, known[table], (), ids=True, cut=not place.finished)
        for table, path in found.items()
        if table == "trades" or path.exists()
    }
    if mark == after:
        tables = {table: {name: values[:0] for name, values in columns.items()} for table, columns in tables.items()}
    return Batch(mark, mark != after, place.finished, tables)


def _with_text_ids(columns: Columns) -> Columns:
    return {
        name: np.array([str(value) if value else "" for value in values.tolist()], dtype=str)
        if name in ID_COLUMNS
        else values
        for name, values in columns.items()
    }


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the truth about a run is."""

    trades: Path
    journal: Path | None = None  # of a run that goes on, or that was named
    recorded: Mapping[str, Any] = field(default_factory=dict)  # run.json
    run: str = ""
    seq: int = 1

    @property
    def named(self) -> bool:
        """Whether the file has siblings: one of another name has none."""
        return self.trades.name == "trades.csv"

    @property
    def finished(self) -> bool:
        """Whether the files are whole."""
        return self.recorded.get("finished", True) is not False


def _place(path: Path) -> _Place:
    """Find out whether to read log files or a journal.

    Raises:
        DataError: run.json is none, or of a newer schema.
    """
    trades = path / "trades.csv" if path.is_dir() else path
    if trades.name != "trades.csv":
        return _Place(trades, run=_stamp(trades))
    folder = trades.parent
    trades = whole_set(folder) / trades.name
    recorded = _recorded(trades.with_name("run.json"))
    if recorded.get("finished", True) is not False:
        run = recorded.get("run") or f"{recorded.get('started', '')} {recorded.get('decision_sha256', _stamp(trades))}"
        return _Place(trades, None, recorded, str(run), int(recorded.get("moments", 0)) + 1)
    journal = folder / str(recorded.get("journal"))
    if journal.is_file():
        return _Place(trades, journal, recorded)
    return _Place(trades, None, recorded, " ".join(_stamp(trades.with_name(f"{table}.csv")) for table in TABLE_COLUMNS))


def _steadily(source: str | os.PathLike[str], read: Callable[[_Place], _Read]) -> _Read:
    """What `read` makes of log files that were of one run, and all there, from its beginning to its end.

    Raises:
        DataError: as `read`; or they never were.
    """
    path = Path(source)
    if path.suffix == ".sqlite":
        return read(_Place(path, path))
    folder = path if path.is_dir() else path.parent
    until = time.monotonic() + READ_PATIENCE_S
    while time.monotonic() < until:
        seen = _state(folder)
        try:
            place = _place(path)
            found = read(place)
        except (DataError, OSError):
            if seen == _state(folder):
                raise
            continue
        now = _state(folder)
        # files of a run that goes on may grow meanwhile
        same = all(seen[name] == now[name] for name in ("place", "run.json"))
        if seen == now or (not place.finished and same):
            return found
    raise DataError(
        f"{path}: expected log files that stand still, but other runs take their place all the time: read again"
    )


def _state(folder: Path) -> dict[str, str]:
    """The state of the log files that count."""
    place = whole_set(folder)
    names = (*(f"{table}.csv" for table in TABLE_COLUMNS), "run.json")
    return {"place": place.name, **{name: _stamp(place / name) for name in names}}


def _stamp(path: Path) -> str:
    """What changes when a file does."""
    try:
        seen = path.stat()
    except OSError:
        return ""  # reading it says why
    return f"{seen.st_ino} {seen.st_mtime_ns} {seen.st_size}"


def read_log(source: Source, initial_capital: float | None = None) -> Log:
    """Read a run: trades, and beside a file named trades.csv also equity.csv, orders.csv, fills.csv and run.json.

    A run that goes on is read from its journal, as it stood at one commit. The initial capital is, in this order:
    `initial_capital` of run.json (top level or any section of its settings), the first row of equity.csv less its
    profit, the argument, `equity_after` less `net_pnl` of the first trade. Trades without `exit_time` are open and left
    out. A `Log` is passed through.

    Args:
        source: path of trades.csv, of a folder of log files or of a journal; pandas frame of trades; or `Log`.
        initial_capital: quote; used where the run did not record it.

    Raises:
        DataError: a file is missing, empty, damaged, of a newer schema, lacks a column, or holds something unreadable.
    """
    if isinstance(source, Log):
        if initial_capital is not None and math.isnan(source.initial_capital):
            return dataclasses.replace(source, initial_capital=float(initial_capital))
        return source
    if isinstance(source, str | os.PathLike):
        return _steadily(
            source,
            lambda place: _filed(place, initial_capital) if place.journal is None else _journaled(place.journal),
        )
    if not hasattr(source, "columns"):
        raise DataError(
            f"expected the path of trades.csv, a frame of trades or a Log, got {type(source).__name__}: name the file"
        )
    where = "the frame of trades"
    trades = _closed(_in_our_words(_from_frame(source, where), "trade", where), where)
    return Log(trades, None, None, _first_capital(trades) if initial_capital is None else float(initial_capital), where)


def _journaled(path: Path) -> Log:
    """What a journal holds now."""
    from utils.records.database import read_rows
    from utils.records.names import log_tables

    told, rows, _ = read_rows(path)
    tables = log_tables(rows, told.meta.words)
    return Log(tables["trades"], tables["equity"], tables["orders"], told.meta.capital, str(path), tables["fills"])


def _filed(place: _Place, initial_capital: float | None) -> Log:
    """What log files hold."""
    cut, where = not place.finished, str(place.trades)
    needed = ("entry_time", "exit_time", "net_pnl")
    trades = _in_our_words(_read_csv(place.trades, TRADE_COLUMNS, needed, ids=True, cut=cut), "trade", where)
    trades = _closed(trades, where)
    equity = orders = fills = None
    known = _capital(place.recorded)
    if place.named:
        if (beside := place.trades.with_name("equity.csv")).exists():
            equity = _equity(_read_csv(beside, EQUITY_COLUMNS, ("time", "equity"), cut=cut), str(beside))
            if known is None and len(equity["time"]) and {"realised", "open_pnl"} <= equity.keys():
                known = float(equity["equity"][0] - equity["realised"][0] - equity["open_pnl"][0])
        if (beside := place.trades.with_name("orders.csv")).exists():
            orders = _in_our_words(_read_csv(beside, ORDER_COLUMNS, (), ids=True, cut=cut), "order", str(beside))
        if (beside := place.trades.with_name("fills.csv")).exists():
            fills = _read_csv(beside, FILL_COLUMNS, (), ids=True, cut=cut)
    known = initial_capital if known is None else known
    return Log(trades, equity, orders, _first_capital(trades) if known is None else float(known), where, fills)


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


def _read_csv(
    path: Path, known: tuple[str, ...], needed: tuple[str, ...], *, ids: bool = False, cut: bool = False
) -> dict[str, NDArray[Any]]:
    """The known columns of a log file as arrays; others are skipped.

    Args:
        path: the file.
        known: columns that may be there.
        needed: columns that must be.
        ids: ids too, as texts.
        cut: somebody is writing it: what follows the last line end does not count.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            header, first = next(lines, []), next(lines, [])
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

    wanted = [name for name in known if name in header and (ids or name not in ID_COLUMNS)]
    kinds = {name: pa.float64() for name in wanted}
    # a log's times are dates; those of other programs may be numbers
    numbered = any(name in TIME_COLUMNS and is_number(cell) for name, cell in zip(header, first, strict=False))
    time_kind = pa.int64() if numbered else pa.timestamp("ns", tz="UTC")
    kinds |= {name: time_kind for name in wanted if name in TIME_COLUMNS}
    kinds |= {name: pa.dictionary(pa.int32(), pa.string()) for name in wanted if name in TEXT_COLUMNS | ID_COLUMNS}
    options = arrow_csv.ConvertOptions(column_types=kinds, include_columns=wanted)
    try:
        text = path if not cut else pa.BufferReader(b"".join(path.read_bytes().rpartition(b"\n")[:2]))
        table = arrow_csv.read_csv(text, convert_options=options).unify_dictionaries()
    except pa.ArrowInvalid as error:
        raise DataError(_bad_line(path, header, wanted) or f"{path}: {error}") from None
    return {name: _array(table[name], name, pa, path) for name in wanted}


def _array(values: Any, name: str, pa: Any, path: Path) -> NDArray[Any]:
    if name in TIME_COLUMNS and pa.types.is_integer(values.type):
        try:
            return nanoseconds(values.fill_null(NO_TIME), NO_TIME)
        except NoTime as wrong:
            raise DataError(
                f"{path}, line {wrong.row + 2}, column {name}: expected {wrong.expected}, saw {wrong.seen}:"
                f" {wrong.remedy}"
            ) from None
    if name in TIME_COLUMNS:
        return values.cast(pa.int64()).fill_null(NO_TIME).to_numpy()  # type: ignore[no-any-return]
    if name in TEXT_COLUMNS | ID_COLUMNS:
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
    if name in TEXT_COLUMNS | ID_COLUMNS:
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
    """The known columns of a pandas frame; the size of integer times tells their unit, times without a zone are UTC."""
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
            else:
                columns[name] = nanoseconds(values, NO_TIME)
        except NoTime as wrong:
            raise DataError(
                f"{where}, trade {wrong.row + 1}, column {name}: expected {wrong.expected}, saw {wrong.seen}:"
                f" {wrong.remedy}"
            ) from None
        except (ValueError, TypeError) as error:
            raise DataError(f"{where}, column {name}: {error}: correct that column") from None
    return columns


def _in_our_words(columns: dict[str, NDArray[Any]], row: str, where: str) -> dict[str, NDArray[Any]]:
    """The columns with our names of sides, liquidity, kinds and states, however they were spelled."""

    def at(name: str) -> Callable[[int], str]:
        return lambda number: f"{where}, {row} {number + 1}, column {name}"

    said = {name: ours(columns[name], words, at(name)) for name, words in WORDS[row].items() if name in columns}
    if "exit_reason" in columns:
        names, code = groups(columns["exit_reason"])
        said["exit_reason"] = np.array([ours_or_none(name, EXITS) or name for name in names], dtype=str)[code]
    return columns | said


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


def _equity(columns: dict[str, NDArray[Any]], where: str) -> dict[str, NDArray[Any]]:
    for name, rows in (("time", columns["time"] == NO_TIME), ("equity", ~np.isfinite(columns["equity"]))):
        if rows.any():
            raise DataError(f"{where}, row {int(np.argmax(rows)) + 1}, column {name}: expected a value, saw nothing")
    if np.any(np.diff(columns["time"]) < 0):
        order = np.argsort(columns["time"], kind="stable")
        return {name: values[order] for name, values in columns.items()}
    return columns


def _recorded(path: Path) -> dict[str, Any]:
    """run.json; empty where there is none."""
    if not path.exists():
        return {}
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        schema = int(run.get("schema", SCHEMA_VERSION))
        _capital(run)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: expected the record of a run as JSON ({error}): run the simulation again") from None
    if schema > SCHEMA_VERSION:
        raise DataError(f"{path}: its schema is {schema}, this program reads up to {SCHEMA_VERSION}: update it")
    return dict(run)


def _capital(run: Mapping[str, Any]) -> float | None:
    """Initial capital in run.json; None where it is not there."""
    places = [run, *(part for part in run.get("settings", {}).values() if isinstance(part, dict))]
    found = [float(place["initial_capital"]) for place in places if place.get("initial_capital") is not None]
    return found[0] if found else None


def _first_capital(trades: Columns) -> float:
    if "equity_after" not in trades or len(trades["net_pnl"]) == 0:
        return math.nan
    return float(trades["equity_after"][0] - trades["net_pnl"][0])
