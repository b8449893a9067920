"""A file or a frame as named columns. Parquet, Feather, CSV and JSON are told apart by their content.

What a caller does not want is not kept, and CSV and Parquet are read piece by piece: memory follows the columns that
are used, not the file. Of a long Parquet file it follows a single one: all of it is looked at, and a column of numbers
is read when it is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingest.files.arrows import declared
from ingest.files.columns import INDEX_NAMES, TIME_NAMES, Table, Unread
from ingest.files.packed import MOST_COLUMNS, MOST_HELD, MOST_JSON, MOST_ROWS, Opened
from ingest.files.texts import MOST_VALUES, read_csv, read_json
from ingest.venues.known import VENUES
from utils.errors import ConfigError, DataError
from utils.market.prints import plain_name

Unnamed: TypeAlias = Mapping[int, tuple[str, ...]]
#: Told how many bytes of a file are behind us, and how many it has.
Progressed: TypeAlias = Callable[[int, int], None]

if TYPE_CHECKING:
    import pandas as pd

#: A path, a pandas or polars frame, an Arrow table, rows or records.
Source: TypeAlias = "str | Path | pd.DataFrame | Sequence[Any] | NDArray[Any] | Any"

#: Rows above which a Parquet file is long: to look at all of it first takes a fifth of the time more.
LONG = 1 << 21
#: Bytes of a cell of fixed width: the widest decimal has 32.
MOST_WIDTH = 64
_CCXT = ("timestamp", "open", "high", "low", "close", "volume")
#: Names of the columns where a table has none, by their number.
UNNAMED: Unnamed = {len(_CCXT): _CCXT} | {len(venue.archive): venue.archive for venue in VENUES.values()}


def read_table(
    source: Source,
    unnamed: Unnamed = UNNAMED,
    wanted: Callable[[str], bool] = lambda _: True,
    progressed: Progressed | None = None,
) -> Table:
    """Columns of a Parquet, Feather, CSV or JSON file, packed or not, of a frame, or of rows of numbers.

    Args:
        source: a path (str or Path); a pandas DataFrame (levels of its index count as columns when they hold dates or
            symbols), a polars one or an Arrow table; a list of rows or of records; or a two-dimensional array.
        unnamed: names of the columns of a table without any, by their number.
        wanted: which columns are kept, by their plain names.
        progressed: told how far a long file is read.

    Raises:
        DataError: missing, no regular file, empty, corrupt, too large, or not a table.
        ConfigError: `source` is of another type.
    """
    if isinstance(source, (str, Path)):
        return _read_file(Path(source), unnamed, wanted, progressed)
    if isinstance(source, (list, tuple, np.ndarray)):
        return _table("frame", None, "", *_of_rows("frame", source, unnamed, wanted))
    frame: Any = source
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):
        return _table("frame", None, "", *_of_pandas(frame, wanted))
    if hasattr(frame, "__arrow_c_stream__") and hasattr(frame, "columns"):
        import pyarrow as pa

        return _table("frame", None, "", *_of_arrow(pa.table(frame), wanted))
    hint = "call its collect() first" if hasattr(frame, "collect") else "pass one of these"
    raise ConfigError(
        f"expected a path, a pandas DataFrame, a list of rows or an array, seen {type(source).__name__}; {hint}"
    )


def _table(
    name: str, path: Path | None, sha256: str, columns: list[tuple[str, Any]], names: Sequence[str], inner: str = ""
) -> Table:
    """A table of named columns, of which a name may come twice."""
    size = min((len(column) for _, column in columns), default=0)
    if size == 0:
        raise DataError(f"{name}: expected a table with at least one row, seen none; check how it was made")
    if size > MOST_ROWS:
        raise _too_long(name, size)
    known: dict[str, Any] = {}
    doubled = set()
    for column, values in columns:
        if column not in known:
            known[column] = values
        elif not _same(known[column], values):
            doubled.add(column)
    return Table(name, path, sha256, known, size, tuple(names), frozenset(doubled), inner)


def _same(one: Any, other: Any) -> bool:
    """Whether two columns of one name hold the same, so that it does not matter which is read."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return bool(np.array_equal(np.asarray(one), np.asarray(other)))
    return bool(one.equals(other))


def _too_long(name: str, rows: int) -> DataError:
    return DataError(f"{name}: expected at most {MOST_ROWS:,} rows, seen {rows:,}; cut the file")


def _read_file(path: Path, unnamed: Unnamed, wanted: Callable[[str], bool], progressed: Progressed | None) -> Table:
    with Opened(path, progressed) as file:
        head, kind = file.head, Path(file.inner).suffix.lower()
        name = path.name
        if not head.strip():
            raise DataError(f"{name}: expected a table, seen an empty file; download it again")
        if head[:4] == b"PAR1" or kind in {".parquet", ".pq"}:
            columns, names = _parquet(file, wanted)
        elif head[:6] == b"ARROW1" or head[:4] == b"FEA1" or kind in {".feather", ".arrow"}:
            columns, names = _feather(file, wanted)
        elif head[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            raise DataError(f"{name}: expected UTF-8 text, seen UTF-16; save it as UTF-8")
        elif head[257:262] == b"ustar":
            raise DataError(f"{name}: expected a table, seen a tar archive; unpack it and name a file in it")
        elif b"\0" in head[:4096]:
            raise DataError(
                f"{name}: expected Parquet, Feather, CSV or JSON, seen other binary data; convert or unpack it"
            )
        elif head.lstrip()[:1] in {b"[", b"{"} or kind == ".json":
            columns, names = _of_rows(name, read_json(name, file.whole(MOST_JSON)), unnamed, wanted)
        else:
            columns, names = read_csv(file, lambda width: _unnamed(name, width, unnamed), wanted)
        inner = file.inner
    with path.open("rb") as again:
        sha256 = hashlib.file_digest(again, "sha256").hexdigest()
    return _table(name, path, sha256, columns, names, inner)


def _parquet(file: Opened, wanted: Callable[[str], bool]) -> tuple[list[tuple[str, Any]], list[str]]:
    """The wanted columns, row group by row group; what the file says of its own size is looked at first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = file.name
    try:
        source = pa.BufferReader(file.whole(MOST_HELD)) if file.packed else pa.OSFile(str(file.path))
        schema = pq.read_schema(source)
        names = [plain_name(each) for each in schema.names]
        chosen = [field.name for field, plain in zip(schema, names, strict=True) if wanted(plain)]
        _require_flat(name, [field for field in schema if field.name in chosen])
        texts = [field.name for field in schema if field.name in chosen and _is_text(field.type)]
        opened = pq.ParquetFile(source, read_dictionary=texts)
        rows = opened.metadata.num_rows
        if rows > MOST_ROWS:
            raise _too_long(name, rows)
        size = sum(
            column.total_uncompressed_size
            for group in (opened.metadata.row_group(i) for i in range(opened.metadata.num_row_groups))
            for column in (group.column(j) for j in range(group.num_columns))
            if column.path_in_schema.partition(".")[0] in chosen
        )
        _require_held(name, size, len(chosen))
        plains = [plain_name(each) for each in chosen]
        later = set(chosen) - set(texts) if rows > LONG and len(set(plains)) == len(plains) else set()
        kept = [each for each in chosen if each not in later]
        batches, came = [], 0
        for batch in opened.iter_batches(columns=chosen):
            came += batch.num_rows
            if came > min(rows, MOST_ROWS):
                raise _too_long(name, came)
            batches.append(batch.select(kept) if later else batch)
        table = pa.Table.from_batches(batches, batches[0].schema) if batches else opened.schema_arrow.empty_table()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name, error) from None
    columns, _ = _of_arrow(table, wanted)
    for column, values in columns:
        _bounded_text(name, column, values)
    if not later:
        return columns, names
    known = dict(columns)
    unread = {
        plain: Unread(came, partial(_alone, name, source, each, came))
        for each, plain in zip(chosen, plains, strict=True)
    }
    return [(plain, known.get(plain, unread[plain])) for plain in plains], names


def _alone(name: str, source: Any, column: str, rows: int) -> Any:
    """One column of numbers or times of an open Parquet file that was found to be whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    give_back()
    try:
        # a reader of its own: it holds what it unpacked last
        values = pq.ParquetFile(source).read(columns=[column]).column(column)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _damaged(name, error) from None
    if len(values) != rows:
        raise _damaged(name, f"{len(values):,} rows, and {rows:,} before")
    return values


def give_back() -> None:
    """Give the machine the memory that columns took which nobody holds: Arrow keeps it for the next ones."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def _damaged(name: str, error: object) -> DataError:
    return DataError(f"{name}: expected a Parquet file, seen a damaged one ({error}); download it again")


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return any(
        test(kind)
        for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    )


def _bounded_text(name: str, column: str, values: Any) -> None:
    """Refuse a column of texts that are few and long, which takes no room in a file and all of it in memory."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        longest = max((pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0 for chunk in values.chunks), default=0)
        if longest * len(values) > MOST_HELD:
            raise DataError(f"{name}: column {column!r}: expected words, seen texts of {longest:,} bytes; leave it out")


def _feather(file: Opened, wanted: Callable[[str], bool]) -> tuple[list[tuple[str, Any]], list[str]]:
    """The wanted columns; what the file says of its own size is looked at first."""
    import pyarrow as pa
    from pyarrow import feather

    name = file.name
    try:
        source = pa.BufferReader(file.whole(MOST_HELD)) if file.packed else pa.memory_map(str(file.path))
        if file.head[:6] == b"ARROW1":
            return _arrow_file(name, source.read_buffer().slice(len(b"ARROW1\0\0")), wanted)
        table = feather.read_table(source)  # the first version packs nothing
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{name}: expected a Feather file, seen a damaged one ({error}); download it again") from None
    return _of_arrow(table, wanted)


def _arrow_file(name: str, data: Any, wanted: Callable[[str], bool]) -> tuple[list[tuple[str, Any]], list[str]]:
    """The wanted columns of an Arrow stream, which is what an Arrow file holds behind its first bytes."""
    import pyarrow as pa

    with pa.ipc.open_stream(data) as stream:
        schema = stream.schema
    chosen = [number for number, each in enumerate(schema.names) if wanted(plain_name(each))]
    _require_flat(name, [schema.field(number) for number in chosen])
    # a column has three buffers at most, where none of its texts lie in buffers of their own
    views = any(pa.types.is_string_view(field.type) or pa.types.is_binary_view(field.type) for field in schema)
    said = declared(pa.ipc.MessageReader.open_stream(data), 1 << 31 if views else 3 * max(1, len(chosen)))
    if said.rows > MOST_ROWS:
        raise _too_long(name, said.rows)
    _require_held(name, said.bytes, len(chosen))
    _require_held(name, said.words, 1)
    names = [plain_name(each) for each in schema.names]
    if not chosen:
        return [], names
    with pa.ipc.open_stream(data, options=pa.ipc.IpcReadOptions(included_fields=chosen)) as stream:
        columns, _ = _of_arrow(stream.read_all(), wanted)
    for column, values in columns:
        _bounded_text(name, column, values)
    return columns, names


def _require_held(name: str, size: int, columns: int) -> None:
    """Refuse what takes more bytes in memory than so many columns of the longest table."""
    if size > 16 * MOST_ROWS * max(1, columns):
        raise DataError(f"{name}: expected a table, seen columns of {size >> 20:,} MiB; cut the file")


def _require_flat(name: str, fields: Sequence[Any]) -> None:
    """Refuse columns of which a cell may be as long as it likes and take no room in the file."""
    import pyarrow as pa

    for field in fields:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        wide = pa.types.is_fixed_size_binary(kind) and kind.byte_width > MOST_WIDTH
        if pa.types.is_nested(kind) or wide:
            raise DataError(
                f"{name}: column {plain_name(field.name)!r}: expected a number, a time or a word in each row, seen"
                f" {str(kind)[:60]}; leave it out or rename it"
            )


def _of_arrow(table: Any, wanted: Callable[[str], bool]) -> tuple[list[tuple[str, Any]], list[str]]:
    names = [plain_name(each) for each in table.column_names]
    return [(name, table.column(i)) for i, name in enumerate(names) if wanted(name)], names


def _unnamed(name: str, width: int, unnamed: Unnamed) -> tuple[str, ...]:
    if width not in unnamed:
        widths = " or ".join(str(known) for known in sorted(unnamed))
        raise DataError(f"{name}: expected {widths} columns where no names are given, seen {width}; add a header")
    return unnamed[width]


def _of_rows(
    name: str, rows: Sequence[Any] | NDArray[Any] | Mapping[str, Any], unnamed: Unnamed, wanted: Callable[[str], bool]
) -> tuple[list[tuple[str, Any]], list[str]]:
    """Columns of rows, of records, or of columns by name."""
    if isinstance(rows, Mapping):
        return _by_name({key: np.array(cells, dtype=object) for key, cells in rows.items()}, wanted)
    if len(rows) == 0:
        return [], []
    if isinstance(rows, np.ndarray):
        if rows.ndim != 2:
            raise DataError(f"{name}: expected an array of rows and columns, seen {rows.ndim} dimensions; reshape it")
        table = rows
    elif isinstance(rows[0], Mapping):
        return _by_name(_records(name, rows), wanted)
    else:
        try:
            # Python reads true as 1 and 1_0 as 10
            odd = any(type(cell) is bool or (type(cell) is str and "_" in cell) for row in rows for cell in row)
            table = np.array(rows, dtype=object if odd else np.float64)
        except (TypeError, ValueError, OverflowError):
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
    names = list(_unnamed(name, table.shape[1], unnamed))
    return [(column, table[:, i]) for i, column in enumerate(names) if wanted(column)], names


def _records(name: str, rows: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """Columns of rows that name their values; what a row leaves out is empty."""
    columns: dict[str, NDArray[Any]] = {}
    for row, record in enumerate(rows):
        if not isinstance(record, Mapping):
            seen = type(record).__name__
            raise DataError(f"{name}: row {row + 1}: expected a record as in the rows before, seen {seen}; convert it")
        for key, cell in record.items():
            if key not in columns:
                if len(columns) == MOST_COLUMNS:
                    raise DataError(
                        f"{name}: expected a table, seen records of more than {MOST_COLUMNS:,} names; convert it"
                    )
                if (len(columns) + 1) * len(rows) > MOST_VALUES:
                    raise DataError(
                        f"{name}: expected at most {MOST_VALUES:,} values, seen {len(rows):,} records of"
                        f" {len(columns) + 1} names and more; save it as CSV"
                    )
                columns[key] = np.full(len(rows), None, dtype=object)
            columns[key][row] = cell
    return columns


def _by_name(
    columns: Mapping[str, NDArray[Any]], wanted: Callable[[str], bool]
) -> tuple[list[tuple[str, Any]], list[str]]:
    named = [(plain_name(key), cells) for key, cells in columns.items()]
    return [(name, _real(cells)) for name, cells in named if wanted(name)], [name for name, _ in named]


def _real(cells: NDArray[Any]) -> NDArray[Any]:
    """Numbers as such, so that they need not be read one by one; whole ones stay whole."""
    kinds = {type(cell) for cell in cells.tolist()}
    if kinds == {int}:
        return cells.astype(np.int64) if max(map(abs, cells.tolist())) < 2**63 else cells
    return cells.astype(np.float64) if kinds <= {int, float} else cells


def _of_pandas(frame: pd.DataFrame, wanted: Callable[[str], bool]) -> tuple[list[tuple[str, Any]], list[str]]:
    import pandas as pd

    names = [plain_name(each) for each in frame.columns]
    columns = [(name, _arrow(frame.iloc[:, i])) for i, name in enumerate(names) if wanted(name)]
    if isinstance(frame.index, pd.MultiIndex):
        for level, given in enumerate(frame.index.names):
            values = frame.index.get_level_values(level)
            name = plain_name(given) if given is not None else ""
            if isinstance(values, pd.DatetimeIndex) and not set(names) & set(TIME_NAMES):
                name = "timestamp"
            if name and name not in names:
                names.append(name)
                columns.append((name, _arrow(values.to_series())))
    elif isinstance(frame.index, pd.DatetimeIndex) and not set(names) & set(TIME_NAMES) - set(INDEX_NAMES):
        names.append("timestamp")
        columns.append(("timestamp", _arrow(frame.index.to_series())))
    return columns, names


def _arrow(series: pd.Series[Any]) -> Any:
    import pyarrow as pa

    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):  # mixed kinds: read cell by cell, so that the row is found
        return np.array(series, dtype=object)
