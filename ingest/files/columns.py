"""The columns of candles by every name they go under; columns as numbers and times; refusals that name row and column.

Row numbers in messages count data rows from 1: a header is not counted, and neither are blank lines.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.errors import DataError

#: Time columns by the names they go under, best first; the last two are an unnamed index, in Parquet and in CSV.
TIME_NAMES = ("open_time", "timestamp", "time", "date", "datetime", "start_time", "start", "__index_level_0__", "")
#: The columns that candles must have, by their one name.
PRICES, VOLUME = ("open", "high", "low", "close"), "volume"
#: What takers bought of the volume, base; and whether a candle is closed.
TAKER_NAMES = ("taker_buy_volume", "taker_buy_base", "taker_buy_base_volume", "taker_buy_base_asset_volume")
CONFIRM_NAMES = ("confirm", "confirmed", "closed", "is_closed", "complete")

#: Noisy numbers from which a column of doubles may be one of float32: fewer could be that by chance.
WIDENED = 16

_FIRST = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
_END = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = datetime.resolution


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns by normalised name (`Open Time` is `open_time`); a column is an Arrow or a NumPy array."""

    name: str  # the file's name, or "frame"
    path: Path | None
    sha256: str  # of the file's bytes; "" for a frame
    columns: dict[str, Any]
    size: int


def refusal(table: Table, row: int | None, column: str, expected: str, seen: object, remedy: str) -> DataError:
    """The error for one cell: file, data row (given from 0, shown from 1), column, expected, seen, what to do."""
    at = f"row {row + 1}, " if row is not None else ""
    return DataError(f"{table.name}: {at}column {column!r}: expected {expected}, seen {seen}; {remedy}")


def pick(table: Table, names: Collection[str]) -> str:
    """The first of `names` that the table has.

    Raises:
        DataError: it has none of them; the nearest name it has is suggested.
    """
    for name in names:
        if name in table.columns:
            return name
    known = [name for name in names if name and not name.startswith("_")]
    near = [(match, name) for name in known for match in get_close_matches(name, table.columns, 1, cutoff=0.65)]
    remedy = f"rename {near[0][0]!r} to {near[0][1]!r}" if near else "add it"
    raise refusal(table, None, known[0], f"a column named {' or '.join(known)}", list(table.columns), remedy)


def numbers(table: Table, name: str) -> NDArray[np.float64]:
    """One column as float64; an empty cell is NaN.

    A number of a narrower type is the shortest decimal that is this number there: 2.1924 and not 2.1923999786..., also
    where somebody widened the column before.

    Raises:
        DataError: a cell is not a number.
    """
    column = table.columns[name]
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiu":
        return _wide(column)
    if not isinstance(column, np.ndarray):
        import pyarrow as pa

        types = pa.types
        if types.is_float16(column.type) or types.is_float32(column.type):
            return _wide(np.asarray(column))
        if types.is_integer(column.type) or types.is_floating(column.type) or types.is_decimal(column.type):
            return _wide(np.asarray(column.cast(pa.float64(), safe=False)))
        column = column.to_pylist()
    values = np.empty(table.size)
    for row, cell in enumerate(column):
        try:
            values[row] = np.nan if cell is None else float(_not_bool(cell))
        except (TypeError, ValueError):
            raise refusal(table, row, name, "a number", repr(cell), "correct the cell or delete the row") from None
    return _wide(values)


def times(table: Table, name: str) -> NDArray[np.int64]:
    """One column as nanoseconds UTC since 1970.

    Dates without a zone are UTC. Integers are seconds, milli-, micro- or nanoseconds, whichever puts the first row
    between the years 2000 and 2100; these ranges do not overlap, and a value outside the first row's is refused.

    Raises:
        DataError: an empty cell, not a time, or outside the years 2000 to 2100.
    """
    stamps, unit = _stamps(table, name)
    if unit is None:
        first = int(stamps[0])
        unit = next((u for u, per in _PER_SECOND.items() if _FIRST * per <= first < _END * per), None)
        if unit is None:
            raise refusal(
                table, 0, name, "a time as date or as s, ms, us or ns since 1970, in 2000-2100", first, "check its unit"
            )
    per = _PER_SECOND[unit]
    off = (stamps < _FIRST * per) | (stamps >= _END * per)
    if off.any():
        row = int(off.argmax())
        expected = f"a time in the years 2000-2100, in {unit} since 1970"
        raise refusal(table, row, name, expected, int(stamps[row]), "check its unit; a file has one unit")
    return stamps * (10**9 // per)


def require_ascending(table: Table, name: str, stamps: NDArray[np.int64]) -> None:
    """Refuse a time (ns) that repeats or precedes the one before it.

    Raises:
        DataError: names the first such row.
    """
    steps = np.diff(stamps)
    if (steps > 0).all():
        return
    row = int((steps <= 0).argmax()) + 1
    seen, before = show(stamps[row]), show(stamps[row - 1])
    if steps[row - 1] == 0:
        raise refusal(table, row, name, f"a time after {before}", f"{seen} again", "delete one of the duplicates")
    remedy = "reverse the file, newest row last" if (steps < 0).all() else "sort the file by time"
    raise refusal(table, row, name, f"a time after {before}", seen, remedy)


def show(ts: int | np.integer[Any]) -> str:
    """A time in ns as ISO 8601 UTC, for messages."""
    text = str(np.datetime64(int(ts), "ns"))
    return re.sub(r"\.?0+$", "", text) + "Z"


def is_number(cell: Any) -> bool:
    """Whether a cell can be read as a number."""
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _wide(values: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers of any width as float64, each as the shortest decimal that it is in its own width."""
    if values.dtype.kind == "f" and values.dtype.itemsize < np.dtype(np.float64).itemsize:
        return _shortest(values)
    wide = values.astype(np.float64)
    return _shortest(wide.astype(np.float32)) if _was_float32(wide) else wide


def _shortest(values: NDArray[Any]) -> NDArray[np.float64]:
    """Narrow floats as the doubles nearest to their shortest decimals."""
    import pyarrow as pa

    # NumPy writes half floats, Arrow writes float32 thirty times faster
    texts = pa.array(values.astype(np.str_) if values.dtype == np.float16 else values).cast(pa.string())
    return np.asarray(texts.cast(pa.float64()))


def _was_float32(values: NDArray[np.float64]) -> bool:
    """Whether doubles are a float32 column that was widened: each is a float32, and uses its last bit as noise does.

    Every second decimal number does, as a float32. Numbers of a coarse binary grid (halves, 32nds) do not.
    """
    for some in (values[:WIDENED], values):  # a few tell of most columns that they are not
        with np.errstate(over="ignore"):
            narrow = some.astype(np.float32)
        if not np.array_equal(narrow, some, equal_nan=True):
            return False
        odd = narrow[(narrow.view(np.int32) & 1 == 1) & np.isfinite(narrow)]
    noisy = np.count_nonzero(_shortest(odd) != odd)
    return bool(noisy >= max(WIDENED, len(values) // 8))


def _stamps(table: Table, name: str) -> tuple[NDArray[np.int64], str | None]:
    """The column as integers and their unit; None = to be told by magnitude."""
    column = table.columns[name]
    if isinstance(column, np.ndarray):
        return _whole(table, name, column) if column.dtype.kind in "fiu" else _parsed(table, name, column)
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count:
        row = pc.index(column.is_null(), value=True).as_py()
        raise refusal(table, row, name, "a time", "an empty cell", "fill in the time or delete the row")
    kind = column.type
    if pa.types.is_date(kind):
        column, kind = column.cast(pa.timestamp("ms")), pa.timestamp("ms")
    if pa.types.is_timestamp(kind):
        return np.asarray(column.cast(pa.int64())), str(kind.unit)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _whole(table, name, np.asarray(column))
    return _parsed(table, name, column.to_pylist())


def _whole(table: Table, name: str, values: NDArray[Any]) -> tuple[NDArray[np.int64], None]:
    if values.dtype.kind == "f":
        off = ~((values == np.floor(values)) & (np.abs(values) < 2.0**63))
        if off.any():
            row = int(off.argmax())
            raise refusal(table, row, name, "a whole number", values[row], "correct the time or delete the row")
    return values.astype(np.int64), None


def _parsed(table: Table, name: str, cells: Collection[Any]) -> tuple[NDArray[np.int64], str | None]:
    """Cells one by one, the slow way, for text and mixed columns; the first cell says whether they are numbers."""
    whole = is_number(next(iter(cells)))
    values: NDArray[Any] = np.empty(table.size, dtype=np.float64 if whole else np.int64)
    for row, cell in enumerate(cells):
        try:
            values[row] = float(_not_bool(cell)) if whole else _microseconds(cell)
        except (AttributeError, TypeError, ValueError):
            raise refusal(table, row, name, "a time", repr(cell), "correct the cell or delete the row") from None
    return _whole(table, name, values) if whole else (values, "us")


def _microseconds(cell: Any) -> int:
    when = datetime.fromisoformat(cell.strip() if isinstance(cell, str) else cell.isoformat())
    return ((when.replace(tzinfo=UTC) if when.tzinfo is None else when) - _EPOCH) // _MICROSECOND


def _not_bool(cell: Any) -> Any:
    if isinstance(cell, (bool, date)):
        raise TypeError
    return cell
