"""CSV and JSON as columns: CSV piece by piece, each piece's cells brought to their kind before the next is read."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.files.columns import PERHAPS_SYMBOLS, SYMBOL_NAMES, Table, refusal
from ingest.files.packed import HEAD, MOST_COLUMNS, MOST_ROWS, Opened
from utils.errors import DataError
from utils.market.prints import PRINT_NAMES, plain_name
from utils.market.times import is_number

#: Text that is read at once, bytes.
BLOCK = 1 << 22
#: Bytes of the longest line.
MOST_LINE = 1 << 22
#: Lines that are looked at to find the header, and lines above it that may be no table.
LOOKED_AT, MOST_ABOVE = 50, 10
#: Values and brackets of JSON that are read; each is some fifty bytes in memory.
MOST_VALUES = 30_000_000
#: Brackets among them, one to a row: a row of a table holds four values and more.
MOST_BRACKETS = MOST_VALUES // 5
#: Columns that are words, whatever they look like; `base` and `asset` may be volumes.
WORDS = {*SYMBOL_NAMES, *(set(PERHAPS_SYMBOLS) - {"asset", "base"}), *PRINT_NAMES["side"], *PRINT_NAMES["id"]}

_LINE_END = re.compile(rb"\r\n|\n|\r")


class Layout(NamedTuple):
    """What the first lines of a CSV file say of the rest."""

    delimiter: str
    skip: int  # lines to leave out: what stands above the header, and the header
    cells: list[str]  # of the header, or of the first row
    named: bool  # there is a header


def layout_of(name: str, head: bytes) -> Layout:
    """Where a CSV file's rows begin, and how they are divided.

    A website's line, a comment or Excel's `sep=` above the header is left out: it has other cells than all that follow.

    Raises:
        DataError: the header has another number of columns than the rows below it.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    lines = [(at, line) for at, line in enumerate(re.split(r"\r\n|\n|\r", text)) if line.strip()]
    # the last line may be cut where the head ends
    lines = (lines[:-1] if len(lines) > 2 and not text.endswith(("\n", "\r")) else lines)[:LOOKED_AT]
    body = lines[len(lines) // 2 :]
    delimiter = max(",;\t|", key=lambda mark: sum(line.count(mark) for _, line in body))
    rows = [(at, next(csv.reader([line], delimiter=delimiter), [])) for at, line in lines]
    usual = Counter(len(cells) for _, cells in rows[len(rows) // 2 :]).most_common(1)[0][0]
    above = 0
    while (
        above < min(MOST_ABOVE, len(rows) - 1)
        and len(rows[above][1]) != usual
        and (len(rows[above][1]) == 1 or lines[above][1].lstrip().startswith(("#", "sep=", "//")))
    ):
        above += 1
    at, cells = rows[above]
    cells = [cell.strip(" '\"") for cell in cells]
    named = not any(is_number(cell) for cell in cells)
    widths = {len(below) for _, below in rows[above + 1 :]}
    if named and len(rows) > above + 2 and widths == {usual} and len(cells) != usual:
        raise DataError(
            f"{name}: line {at + 1}: expected a header of {usual} columns, as the rows below it have, seen"
            f" {len(cells)}; {'delete the line' if len(cells) == 1 else 'name each column'}"
        )
    return Layout(delimiter, at + named, cells, named)


def read_csv(
    file: Opened, unnamed: Callable[[int], tuple[str, ...]], wanted: Callable[[str], bool]
) -> tuple[list[tuple[str, Any]], list[str]]:
    """The wanted columns of a CSV file, by plain name and in order, and the names of all.

    Args:
        file: the open file.
        unnamed: names of so many columns, where the file gives none.
        wanted: which are kept.

    Raises:
        DataError: a row has too few or too many cells, the text is damaged, or there are too many rows.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    name = file.name
    if len(file.head) >= HEAD and not _LINE_END.search(file.head):
        raise _long_line(name, HEAD)
    layout = layout_of(name, file.head)
    if layout.named and "�" in "".join(layout.cells):
        raise DataError(f"{name}: expected UTF-8 text, seen another encoding; save it as UTF-8")
    names = [plain_name(cell) for cell in (layout.cells if layout.named else unnamed(len(layout.cells)))]
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{name}: expected at most {MOST_COLUMNS:,} columns, seen {len(names):,}; leave out the others")
    # columns are known by their place: names may come twice
    labels = [str(number) for number in range(len(names))]
    kept = [number for number, each in enumerate(names) if wanted(each)] or [0]
    torn: list[Any] = []

    def on_torn(row: Any) -> str:
        torn.append(row)
        return "error"

    pieces: list[_Column] = [_Column(name, names[number], names[number] in WORDS) for number in kept]
    rows = 0
    parse = arrow_csv.ParseOptions(delimiter=layout.delimiter, invalid_row_handler=on_torn)
    convert = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(labels, pa.string()),
        include_columns=[labels[number] for number in kept],
        strings_can_be_null=True,
    )
    for block in _blocks(file, layout.skip):
        # one thread, or a torn row would not know its number
        read = arrow_csv.ReadOptions(use_threads=False, column_names=labels, block_size=len(block) + 1)
        try:
            table = arrow_csv.read_csv(
                _in_arrow(block), read_options=read, parse_options=parse, convert_options=convert
            ).combine_chunks()
        except pa.ArrowException as error:
            if torn:
                raise DataError(
                    f"{name}: row {rows + torn[0].number}: expected {torn[0].expected_columns} columns, seen"
                    f" {torn[0].actual_columns}; correct or delete the row"
                ) from None
            said = str(error)
            if "UTF8" in said or "UTF-8" in said:
                raise DataError(f"{name}: expected UTF-8 text, seen another encoding; save it as UTF-8") from None
            if "Empty CSV" in said:  # blank lines alone
                continue
            raise DataError(f"{name}: expected a CSV file, seen a damaged one ({said}); download it again") from None
        for column, cells in zip(pieces, table.columns, strict=True):
            for chunk in cells.chunks:
                column.add(chunk, rows)
        rows += table.num_rows
        if rows > MOST_ROWS:
            raise DataError(f"{name}: expected at most {MOST_ROWS:,} rows, seen more; cut the file")
    if not rows:  # a header alone
        return [], names
    columns = [(names[number], column.whole()) for number, column in zip(kept, pieces, strict=True)]
    return columns, names


def _blocks(file: Opened, skip: int) -> Iterator[bytes]:
    """The text of a file but its first lines, in pieces that end where a line does."""
    rest = b""
    while piece := file.read(BLOCK):
        block = rest + piece
        while skip and (line := _LINE_END.search(block)):
            block, skip = block[line.end() :], skip - 1
        # a carriage return at the very end may be half of a line's end
        end = 0 if skip else (block.rfind(b"\n") + 1 or block.rfind(b"\r", 0, -1) + 1)
        rest = block[end:]
        if len(rest) > MOST_LINE:
            raise _long_line(file.name, MOST_LINE)
        if end:
            yield block[:end]
    if rest and not skip:
        yield rest


def _in_arrow(block: bytes) -> Any:
    """A copy that is Arrow's own: a thread of it may let go of it when Python has ended, and must not need Python."""
    import pyarrow as pa

    out = pa.BufferOutputStream()
    out.write(block)
    return pa.BufferReader(out.getvalue())


def _long_line(name: str, most: int) -> DataError:
    return DataError(
        f"{name}: expected lines of at most {most >> 10:,} KiB, seen a longer one; check that its lines have ends"
    )


class _Column:
    """One column on its way in: cells as text, piece by piece, become numbers or times as soon as all of a piece can.

    Numbers go to one array that grows, as Arrow's memory keeps half as much again as many small pieces take.
    """

    def __init__(self, file: str, name: str, words: bool) -> None:
        import pyarrow as pa

        self._file, self._name, self._words = file, name, words
        self._kinds = (pa.int64(), pa.float64(), pa.timestamp("ns"), pa.timestamp("ns", "UTC"))
        self._kind: Any = None  # of the pieces so far
        self._pieces: list[Any] = []  # of what is no number, and of what came empty before any kind was known
        self._numbers: NDArray[Any] = np.empty(0)
        self._rows = 0

    def add(self, cells: Any, before: int) -> None:
        """One more piece, after so many rows."""
        import pyarrow as pa

        if self._words:
            self._pieces.append(cells.dictionary_encode())
            return
        if cells.null_count == len(cells):
            self._keep(cells if self._kind is None else cells.cast(self._kind))
            return
        for kind in ([self._kind] if self._kind is not None else []) + [*self._kinds]:
            typed = self._cast(cells, kind)
            if typed is not None:
                break
        else:
            kind, typed = pa.string(), cells
        if self._kind is None:
            self._kind = kind
            empty, self._pieces = self._pieces, []
            for piece in empty:
                self._keep(piece.cast(kind))
        elif kind != self._kind:
            if {kind, self._kind} == {pa.int64(), pa.float64()}:
                self._numbers = self._numbers.astype(np.float64, copy=False)
                self._kind, typed = pa.float64(), typed.cast(pa.float64(), safe=False)
            elif self._kind == pa.string():
                typed = cells
            else:
                raise self._odd(cells, before)
        self._keep(typed)

    def _keep(self, piece: Any) -> None:
        import pyarrow as pa

        if self._kind not in {pa.int64(), pa.float64()}:
            self._pieces.append(piece)
            return
        if piece.null_count and self._kind == pa.int64():  # an empty cell is no number
            self._kind, piece = pa.float64(), piece.cast(pa.float64(), safe=False)
        wanted = np.float64 if self._kind == pa.float64() else np.int64
        end = self._rows + len(piece)
        if self._numbers.dtype != wanted:
            self._numbers = self._numbers.astype(wanted)
        if end > len(self._numbers):
            self._numbers.resize(max(end, len(self._numbers) * 5 // 4), refcheck=False)
        self._numbers[self._rows : end] = piece.to_numpy(zero_copy_only=False)
        self._rows = end

    def _cast(self, cells: Any, kind: Any) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        if kind == pa.string():
            return None
        for text in (cells, None):
            try:
                typed = pc.cast(pc.utf8_trim_whitespace(cells) if text is None else text, kind)
            except pa.ArrowException:
                if text is None or not pc.any(pc.match_substring_regex(cells, r"^\s|\s$")).as_py():
                    return None
            else:
                # Arrow reads 0x10 as 16
                hexadecimal = kind == pa.int64() and any(pc.any(pc.match_substring(cells, x)).as_py() for x in "xX")
                return None if hexadecimal else typed
        return None

    def _odd(self, cells: Any, before: int) -> DataError:
        """The first cell that is not as the rows before."""
        import pyarrow as pa

        low, high = 0, len(cells)
        while high - low > 1:  # every piece up to `low` can be read
            middle = (low + high) // 2
            low, high = (middle, high) if self._cast(cells[low:middle], self._kind) is not None else (low, middle)
        what = "a time" if pa.types.is_timestamp(self._kind) else "a number"
        table = Table(self._file, None, "", {}, 0)
        seen = repr(cells[low].as_py())
        remedy = "correct the cell or delete the row"
        return refusal(table, before + low, self._name, f"{what} as in the rows before", seen, remedy)

    def whole(self) -> Any:
        """All pieces as one column: a NumPy array of numbers, else an Arrow one."""
        import pyarrow as pa

        if not self._words and self._kind in {pa.int64(), pa.float64()}:
            self._numbers.resize(self._rows, refcheck=False)
            return self._numbers
        return pa.chunked_array(self._pieces, None if self._pieces else pa.string())


def read_json(name: str, data: bytes) -> Any:
    """Rows, records or columns by name that a JSON text holds.

    Read are `[[ms, open, ...], ...]`, `[{"open": ...}, ...]`, `{"open": [...], ...}`, pandas' `{"open": {"0": ...}}`
    and `{"columns": [...], "data": [[...]]}`, and records line by line.

    Raises:
        DataError: damaged, too deep, too large, or of another shape.
    """
    brackets = data.count(b"[") + data.count(b"{")
    values = data.count(b",") + brackets
    if values > MOST_VALUES:
        raise DataError(f"{name}: expected at most {MOST_VALUES:,} values of JSON, seen {values:,}; save it as CSV")
    if brackets > MOST_BRACKETS:
        raise DataError(f"{name}: expected at most {MOST_BRACKETS:,} rows of JSON, seen {brackets:,}; save it as CSV")
    try:
        found = _parsed(name, data.removeprefix(b"\xef\xbb\xbf"))
    except RecursionError:
        raise DataError(
            f"{name}: expected a JSON list of rows, [[ms, open, ...], ...], seen brackets within brackets without end;"
            " convert it"
        ) from None
    except ValueError as error:
        found = _lines(name, data)
        if found is None:
            raise DataError(f"{name}: expected JSON, seen a damaged file ({error}); download it again") from None
    rows = _shaped(found)
    if rows is None:
        seen = f"an object of {', '.join(map(repr, list(found)[:5]))}" if isinstance(found, dict) else "another shape"
        raise DataError(f"{name}: expected a JSON list of rows, [[ms, open, ...], ...], seen {seen}; convert it")
    return rows


def _parsed(name: str, text: bytes) -> Any:
    """The value of a JSON text, in which no object has a name twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise DataError(f"{name}: expected each name once, seen {twice[:40]!r} twice in one object; delete one")
        return found

    return json.loads(text, object_pairs_hook=once)


def _lines(name: str, data: bytes) -> list[Any] | None:
    """JSON records line by line; None if it is none."""
    lines = [line for line in data.splitlines() if line.strip()]
    if len(lines) < 2:
        return None
    try:
        return [_parsed(name, line) for line in lines]
    except (ValueError, RecursionError):
        return None


def _shaped(found: Any) -> Any:
    """What a JSON value holds of rows, records or columns; None if it is none."""
    if isinstance(found, list):
        return found if all(isinstance(row, list) for row in found) or _all_records(found) else None
    if not isinstance(found, dict) or not found:
        return None
    if isinstance(found.get("columns"), list) and isinstance(found.get("data"), list):
        names: Sequence[Any] = found["columns"]
        if all(isinstance(row, list) and len(row) == len(names) for row in found["data"]):
            return [dict(zip(map(str, names), row, strict=True)) for row in found["data"]]
        return None
    cells = list(found.values())
    if all(isinstance(each, list) for each in cells) and all(len(a) == len(b) for a, b in pairwise(cells)):
        flat = not any(isinstance(value, (list, dict)) for each in cells for value in each)
        return found if flat and len(cells) > 1 else None
    if _all_records(cells) and len(cells) > 1 and all(list(a) == list(b) for a, b in pairwise(cells)):
        return {name: list(each.values()) for name, each in found.items()}
    return None


def _all_records(cells: list[Any]) -> bool:
    return all(isinstance(each, dict) for each in cells)
