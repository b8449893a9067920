"""The unit of a time, told by its size, at one place: whatever a user holds becomes nanoseconds UTC here.

Seconds, milli-, micro- and nanoseconds of the years 2000 to 2100 lie in ranges that do not overlap, so one value tells
the unit, and a column has one: the first value's. Dates are what they say, without a zone UTC.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Units of numbers, by how many make a second.
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
#: The years that a time may lie in, as s since 1970.
FIRST_S = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
END_S = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())

_ANY = "a time as date or as s, ms, us or ns since 1970, in 2000-2100"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = datetime.resolution
_PER_US = 1000


class NoTime(ValueError):  # noqa: N818 - says what the value is
    """A value of a column is no time: which one, what was expected, what was seen, and what to do."""

    def __init__(self, row: int, expected: str, seen: object, remedy: str) -> None:
        super().__init__(f"row {row}: expected {expected}, saw {seen}; {remedy}")
        self.row, self.expected, self.seen, self.remedy = row, expected, seen, remedy


def nanoseconds(values: Any, empty: int | None = None) -> NDArray[np.int64]:
    """A column of times as nanoseconds UTC since 1970.

    Formula: number x 10^9 / units a second; numbers with a fraction are rounded to the microsecond, which is as fine as
    a float64 of seconds holds.

    Args:
        values: a NumPy or Arrow array, a pandas series, or a list, of numbers, numbers as text, ISO 8601 dates, or
            datetimes of any resolution and zone.
        empty: what an empty value becomes; None = it is refused.

    Raises:
        NoTime: a value is no time, of another unit than the first, or outside the years 2000 to 2100.
    """
    column = _plain(values)
    if not len(column):
        return np.empty(0, np.int64)
    if column.dtype.kind == "M":
        return _dated(column, empty)
    if column.dtype.kind not in "iuf":
        column = _told(column)
        if column.dtype.kind == "M":
            return _dated(column, empty)
    return _numbered(column, empty)


def unit_of(value: float) -> str | None:
    """The unit in which a number is a time of the years 2000 to 2100: s, ms, us or ns; None if there is none."""
    return next((unit for unit, per in UNITS.items() if FIRST_S * per <= value < END_S * per), None)


def _plain(values: Any) -> NDArray[Any]:
    """The values as a NumPy array, of dates if they are known to be dates; of objects where kinds are mixed."""
    if isinstance(values, np.ndarray):
        return values.ravel() if values.dtype != object else values
    if hasattr(values, "null_count") and hasattr(values, "type"):
        return _of_arrow(values)
    if hasattr(values, "dtype") and hasattr(values, "to_numpy"):
        if getattr(values.dtype, "tz", None) is not None and hasattr(values, "dt"):
            values = values.dt.tz_convert("UTC").dt.tz_localize(None)
        plain: NDArray[Any] = values.to_numpy()
        return plain
    objects = np.empty(len(values), dtype=object)
    objects[:] = list(values)
    return objects


def _of_arrow(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_date(kind):
        column, kind = column.cast(pa.timestamp("ms")), pa.timestamp("ms")
    if pa.types.is_timestamp(kind):
        filled: NDArray[Any] = np.asarray(column.cast(pa.int64()).fill_null(np.iinfo(np.int64).min))
        return filled.view(f"datetime64[{kind.unit}]")
    if pa.types.is_floating(kind) or (pa.types.is_integer(kind) and not column.null_count):
        return np.asarray(column)
    return np.array(column.to_pylist(), dtype=object)


def _told(column: NDArray[Any]) -> NDArray[Any]:
    """Text and mixed values, one by one, the slow way; the first that is there says whether they are numbers."""
    cells = column.tolist()
    first = next((cell for cell in cells if not _missing(cell)), None)
    numbers = is_number(first) and not isinstance(first, np.datetime64)
    whole = all(isinstance(cell, int) or (isinstance(cell, str) and cell.strip().isdigit()) for cell in cells)
    told: NDArray[Any] = np.empty(len(cells), np.int64 if whole or not numbers else np.float64)
    for row, cell in enumerate(cells):
        if _missing(cell):
            told[row] = np.nan if numbers else np.iinfo(np.int64).min
            continue
        try:
            told[row] = _number_of(cell, whole) if numbers else _microseconds(cell)
        except (AttributeError, TypeError, ValueError, OverflowError):
            raise _unreadable(cells, row, numbers) from None
    return told if numbers else told.view("datetime64[us]")


def _unreadable(cells: list[Any], row: int, numbers: bool) -> NoTime:
    """What to say of a cell that is no time; where none of the column is, of the column."""
    if row == 0 and not numbers and len(cells) > 1:
        sample = [cell for cell in cells[:50] if not _missing(cell)]
        if not any(_readable(cell) for cell in sample):
            remedy = "no row of this column is a time: write them as 2025-01-19 00:05:00, or name another column"
            return NoTime(row, "a time", repr(cells[row]), remedy)
    return NoTime(row, "a time", repr(cells[row]), "correct the cell or delete the row")


def _readable(cell: Any) -> bool:
    try:
        _microseconds(cell)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return is_number(cell)
    return True


def is_number(cell: Any) -> bool:
    """Whether a cell can be read as a number; 1_0 is one for Python alone."""
    if isinstance(cell, str) and "_" in cell:
        return False
    try:
        float(cell)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _microseconds(cell: Any) -> int:
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()
    if isinstance(cell, (bool, time)):
        raise TypeError
    when = datetime.fromisoformat(cell.strip() if isinstance(cell, str) else cell.isoformat())
    return ((when.replace(tzinfo=UTC) if when.tzinfo is None else when) - _EPOCH) // _MICROSECOND


def _number_of(cell: Any, whole: bool) -> int | float:
    if isinstance(cell, (bool, date, np.datetime64)):
        raise TypeError
    return int(cell) if whole else float(cell)


def _missing(cell: Any) -> bool:
    """Whether a cell is empty: None, text without a letter, not-a-number, pandas' NaT and NA."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return True
    if type(cell).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(cell, (float, np.datetime64)) and cell != cell  # noqa: PLR0124 - NaN and NaT differ from themselves


def _dated(column: NDArray[Any], empty: int | None) -> NDArray[np.int64]:
    """Dates of any resolution."""
    gone = np.isnat(column)
    _refuse_empty(gone, empty)
    unit = np.datetime_data(column.dtype)[0]
    per = UNITS.get(unit)
    if per is None:  # years to minutes
        column, unit, per = column.astype("datetime64[s]"), "s", 1
    numbers = column.view(np.int64)
    # in the column's own unit: a year far away does not fit nanoseconds
    off = ((numbers < FIRST_S * per) | (numbers >= END_S * per)) & ~gone
    if off.any():
        row = int(off.argmax())
        raise NoTime(row, "a time in the years 2000-2100", _shown(column[row]), "check the unit it was read with")
    return _filled(numbers * (10**9 // per), gone, empty)


def _shown(cell: Any) -> str:
    try:
        return f"{np.datetime_as_string(cell)}"
    except (ValueError, OverflowError):
        return str(cell)


def _numbered(column: NDArray[Any], empty: int | None) -> NDArray[np.int64]:
    """Numbers, of the unit that the first one tells."""
    real = column.dtype.kind == "f"
    gone = np.isnan(column) if real else column == np.iinfo(np.int64).min  # which is how NaT is kept as a number
    _refuse_empty(gone, empty)
    if gone.all():
        return np.full(len(column), empty, np.int64)
    at = int(gone.argmin())
    first = column[at]
    unit = unit_of(first)
    if unit is None:
        raise NoTime(at, _ANY, _number(first), "check its unit")
    per = UNITS[unit]
    off = ~((column >= FIRST_S * per) & (column < END_S * per)) & ~gone
    if off.any():
        row = int(off.argmax())
        expected = f"a time in the years 2000-2100, in {unit} since 1970"
        raise NoTime(row, expected, _number(column[row]), "check its unit; a column has one unit")
    if not real:
        return column.astype(np.int64) * (10**9 // per)
    column = np.where(gone, 0.0, column)
    if per == UNITS["ns"]:
        ns = column.astype(np.int64)
    else:
        # whole and fraction apart: a product of both would round
        whole = np.floor(column)
        us = np.rint((column - whole) * (UNITS["us"] // per)).astype(np.int64)
        ns = whole.astype(np.int64) * (10**9 // per) + us * _PER_US
    return _filled(ns, gone, empty)


def _number(value: Any) -> int | float:
    """A number as people write it: 1704067200, not 1704067200.0."""
    return int(value) if np.isfinite(value) and value == int(value) else float(value)


def _refuse_empty(gone: NDArray[np.bool_], empty: int | None) -> None:
    if empty is None and gone.any():
        raise NoTime(int(gone.argmax()), "a time", "an empty cell", "fill in the time or delete the row")


def _filled(ns: NDArray[np.int64], gone: NDArray[np.bool_], empty: int | None) -> NDArray[np.int64]:
    if empty is not None:
        ns[gone] = empty
    return ns
