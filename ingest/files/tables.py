"""A file or a frame as named columns. Parquet, Feather, CSV and JSON are told apart by their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingest.files.columns import TIME_NAMES, Table, is_number
from ingest.venues.known import VENUES
from utils.errors import ConfigError, DataError

Unnamed: TypeAlias = Mapping[int, tuple[str, ...]]

if TYPE_CHECKING:
    import pandas as pd

Source: TypeAlias = "str | Path | pd.DataFrame | Sequence[Sequence[Any]] | NDArray[Any]"

_CCXT = ("timestamp", "open", "high", "low", "close", "volume")
#: Names of the columns where a table has none, by their number.
UNNAMED: Unnamed = {len(_CCXT): _CCXT} | {len(venue.archive): venue.archive for venue in VENUES.values()}


def read_table(source: Source, unnamed: Unnamed = UNNAMED) -> Table:
    """Columns of a Parquet, Feather, CSV or JSON file, a DataFrame, or rows of numbers.

    Args:
        source: a path (str or Path), a pandas DataFrame (its index counts as a column when it holds dates), a list
            of rows, or a two-dimensional array.
        unnamed: names of the columns of a table without any, by their number.

    Raises:
        DataError: missing, empty, corrupt, or not a table.
        ConfigError: `source` is of another type.
    """
    if isinstance(source, (str, Path)):
        return _read_file(Path(source), unnamed)
    if isinstance(source, (list, tuple, np.ndarray)):
        columns = _unnamed_columns("frame", source, unnamed)
    elif isinstance(source, Sequence) or not hasattr(source, "columns"):
        raise ConfigError(
            f"expected a path, a pandas DataFrame, a list of rows or an array, seen {type(source).__name__};"
            " pass one of these"
        )
    else:
        columns = _frame_columns(source)
    return _table("frame", None, "", columns)


def _table(name: str, path: Path | None, sha256: str, columns: dict[str, Any]) -> Table:
    size = min((len(column) for column in columns.values()), default=0)
    if size == 0:
        raise DataError(f"{name}: expected a table with at least one row, seen none; check how it was made")
    return Table(name, path, sha256, columns, size)


def _normalised(file: str, names: Sequence[Any]) -> list[str]:
    plain = [re.sub(r"\s+", "_", str(name).strip().lower()) for name in names]
    twice = sorted({name for name in plain if plain.count(name) > 1})
    if twice:
        raise DataError(f"{file}: expected each column once, seen {twice[0]!r} twice; delete or rename one of them")
    return plain


def _read_file(path: Path, unnamed: Unnamed) -> Table:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        near = get_close_matches(path.name, _names_in(path.parent), 1)
        hint = f"did you mean {near[0]}?" if near else "check the path"
        raise DataError(f"{path}: expected a file, seen none; {hint}") from None
    except IsADirectoryError:
        raise DataError(f"{path}: expected a file, seen a directory; name one file in it") from None
    except OSError as error:
        raise DataError(f"{path}: expected a readable file, seen {error.strerror}; check its permissions") from None
    name, kind = path.name, path.suffix.lower()
    if not data.strip():
        raise DataError(f"{name}: expected a table, seen an empty file; download it again")
    if data[:4] == b"PAR1" or kind in {".parquet", ".pq"}:
        columns = _parquet(name, data)
    elif data[:6] == b"ARROW1" or kind in {".feather", ".arrow"}:
        columns = _feather(name, data)
    elif b"\0" in data[:4096]:
        raise DataError(f"{name}: expected Parquet, Feather, CSV or JSON, seen other binary data; convert or unpack it")
    elif data.lstrip()[:1] == b"[" or kind == ".json":
        columns = _json(name, data, unnamed)
    else:
        columns = _csv(name, data, unnamed)
    return _table(name, path, hashlib.sha256(data).hexdigest(), columns)


def _names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []


def _parquet(name: str, data: bytes) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name}: expected a Parquet file, seen a damaged one ({error}); download it again") from None
    return dict(zip(_normalised(name, table.column_names), table.columns, strict=True))


def _feather(name: str, data: bytes) -> dict[str, Any]:
    import pyarrow as pa
    from pyarrow import feather

    try:
        table = feather.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name}: expected a Feather file, seen a damaged one ({error}); download it again") from None
    return dict(zip(_normalised(name, table.column_names), table.columns, strict=True))


def _json(name: str, data: bytes, unnamed: Unnamed) -> dict[str, Any]:
    import json

    try:
        rows = json.loads(data)
    except ValueError as error:
        raise DataError(f"{name}: expected JSON, seen a damaged file ({error}); download it again") from None
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise DataError(f"{name}: expected a JSON list of rows, [[ms, open, ...], ...], seen another shape; convert it")
    return _unnamed_columns(name, rows, unnamed)


def _csv(name: str, data: bytes, unnamed: Unnamed) -> dict[str, Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    data = data.removeprefix(b"\xef\xbb\xbf")
    line = data.lstrip().split(b"\n", 1)[0].decode(errors="replace").strip()
    delimiter = max(",;\t", key=line.count)
    cells = [cell.strip(' "') for cell in line.split(delimiter)]
    names = None if not any(is_number(cell) for cell in cells) else _unnamed(name, len(cells), unnamed)
    torn: list[Any] = []

    def on_torn(row: Any) -> str:
        torn.append(row)
        return "skip"

    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            # one thread, or a torn row would not know its number
            read_options=arrow_csv.ReadOptions(use_threads=False, column_names=names),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=on_torn),
        )
    except pa.ArrowException as error:
        raise DataError(f"{name}: expected a CSV file, seen a damaged one ({error}); download it again") from None
    if torn:
        row = torn[0].number - (1 if names is None else 0)
        raise DataError(
            f"{name}: row {row}: expected {torn[0].expected_columns} columns, seen {torn[0].actual_columns};"
            " correct or delete the row"
        )
    try:
        return dict(zip(_normalised(name, table.column_names), table.columns, strict=True))
    except UnicodeDecodeError:
        raise DataError(f"{name}: expected UTF-8 text, seen another encoding; save it as UTF-8") from None


def _unnamed(name: str, width: int, unnamed: Unnamed) -> tuple[str, ...]:
    if width not in unnamed:
        widths = " or ".join(str(known) for known in sorted(unnamed))
        raise DataError(f"{name}: expected {widths} columns where no names are given, seen {width}; add a header")
    return unnamed[width]


def _unnamed_columns(name: str, rows: Sequence[Any] | NDArray[Any], unnamed: Unnamed) -> dict[str, Any]:
    if len(rows) == 0:
        return {}
    if isinstance(rows, np.ndarray):
        if rows.ndim != 2:
            raise DataError(f"{name}: expected an array of rows and columns, seen {rows.ndim} dimensions; reshape it")
        table = rows
    else:
        try:
            table = np.array(rows, dtype=np.float64)
        except (TypeError, ValueError):
            widths = [len(row) if isinstance(row, (list, tuple)) else 1 for row in rows]
            torn = next((row for row, width in enumerate(widths) if width != widths[0]), None)
            if torn is not None:
                raise DataError(
                    f"{name}: row {torn + 1}: expected {widths[0]} columns, seen {widths[torn]};"
                    " correct or delete the row"
                ) from None
            table = np.array(rows, dtype=object)
    if table.ndim != 2:
        raise DataError(f"{name}: expected a list of rows, [[ms, open, ...], ...], seen another shape; convert it")
    return {column: table[:, i] for i, column in enumerate(_unnamed(name, table.shape[1], unnamed))}


def _frame_columns(frame: pd.DataFrame) -> dict[str, Any]:
    import pandas as pd

    names = _normalised("frame", list(frame.columns))
    columns = {name: _arrow(frame.iloc[:, i]) for i, name in enumerate(names)}
    if isinstance(frame.index, pd.DatetimeIndex) and not set(names) & set(TIME_NAMES):
        columns["timestamp"] = _arrow(frame.index.to_series())
    return columns


def _arrow(series: pd.Series[Any]) -> Any:
    import pyarrow as pa

    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):  # mixed kinds: read cell by cell, so that the row is found
        return np.array(series, dtype=object)
