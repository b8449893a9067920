"""A file that only grows, one JSON line a row: each line holds the SHA-256 of the one before, so a change shows.

A line is written in one piece and seen on the disk before `append` returns. What a kill or a full disk left of one
does not count, and goes with the next append. That lines were cut off at the end, whole, does not show: whoever must
know keeps the number of the last line elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from utils.disk import PLAIN, is_same, lock, not_plain, sync_folder, written
from utils.errors import DataError, StorageError
from utils.records.files import plain
from utils.regular import unreadable

#: Bytes of a line, its end included, and of a file.
MOST_LINE, MOST_BYTES = 1 << 20, 1 << 30
#: How patiently the lock is tried for, seconds.
PATIENCE_S, PAUSE_S = 5.0, 0.01
#: What stands in the first line in the place of a hash.
NOTHING = "0" * 64


class _End(NamedTuple):
    """Where a chain ends: the number of lines, the hash of the last, and the bytes they take."""

    lines: int
    hash: str
    size: int


class Chain:
    """Rows in a file that only grows; the file is made with the first row.

    Args:
        path: the file.
        patience_s: how long another writer is waited for, seconds.
    """

    def __init__(self, path: Path, patience_s: float = PATIENCE_S) -> None:
        self.path, self._patience_s = Path(path), patience_s

    def read(self) -> list[dict[str, Any]]:
        """Every row, the oldest first; none where there is no file. What is left of a cut line is no row.

        Raises:
            DataError: a line is not what was written, or the path is no file of ours; names the line.
            StorageError: another process has held the file for too long.
        """
        if self._absent():
            return []
        try:
            with self._opened(os.O_RDONLY) as opened:
                return self._rows(_bytes(opened, self.path))[0]
        except OSError as error:
            raise unreadable(self.path, error) from None

    def append(self, row: Mapping[str, Any]) -> int:
        """Add a row; its number, from 1 on. NaN and infinities become null. Only the last line before it is checked.

        Raises:
            DataError: that line is not what was written, the path is no file of ours, or the row is too long.
            StorageError: the disk refuses, or another process has held the file for too long; the row does not count.
        """
        with self._to_write() as opened:
            end = self._end(opened)
            self._write(opened, end, [row])
        return end.lines + 1

    def extend(self, choose: Callable[[list[dict[str, Any]]], Iterable[Mapping[str, Any]]]) -> int:
        """Add the rows that are chosen by all there are, while nobody else can add one; how many were.

        Args:
            choose: told every row, it answers which to add.

        Raises:
            DataError: a line is not what was written, the path is no file of ours, or a row is too long.
            StorageError: the disk refuses, or another process has held the file for too long; no row counts.
        """
        with self._to_write() as opened:
            rows, end = self._rows(_bytes(opened, self.path))
            chosen = list(choose(rows))
            self._write(opened, end, chosen)
        return len(chosen)

    def _absent(self) -> bool:
        """Whether there is nothing; refuses what is no file."""
        if seen := not_plain(self.path):
            raise DataError(f"{self.path}: expected a file, saw {seen}; move it away or name another file")
        return not self.path.exists()

    @contextmanager
    def _to_write(self) -> Iterator[int]:
        with written(self.path, "a file", "nothing was added and what stood there is whole", "name another place"):
            if new := self._absent():
                self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._opened(os.O_RDWR | os.O_CREAT) as opened:
                if new:
                    sync_folder(self.path.parent)
                yield opened

    @contextmanager
    def _opened(self, how: int) -> Iterator[int]:
        """The file, which nobody else writes meanwhile."""
        until = time.monotonic() + self._patience_s
        while True:
            opened = os.open(self.path, how | PLAIN, 0o666)
            try:
                lock(opened)
                if is_same(self.path, opened):
                    break
            except BlockingIOError:
                pass
            except BaseException:
                os.close(opened)
                raise
            os.close(opened)
            if time.monotonic() >= until:
                raise StorageError(
                    f"{self.path}: another process has held the file for {self._patience_s:g} seconds; let it end, "
                    "and do this again"
                )
            time.sleep(PAUSE_S)
        try:
            yield opened
        finally:
            os.close(opened)

    def _rows(self, data: bytes) -> tuple[list[dict[str, Any]], _End]:
        """All rows, and where they end; refuses a broken chain."""
        rows: list[dict[str, Any]] = []
        before, size = NOTHING, 0
        for text in whole_lines(data):
            row = self._row(text, len(rows) + 1, before)
            before, size = digest(text), size + len(text) + 1
            rows.append(row)
        return rows, _End(len(rows), before, size)

    def _row(self, text: bytes, number: int, before: str | None) -> dict[str, Any]:
        """The row of a line; refuses one that is not what was written there."""
        try:
            told = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            told = None
        shape = isinstance(told, dict) and told.keys() == {"seq", "before", "row"} and isinstance(told["row"], dict)
        if not shape:
            self._broken(number, "no line of ours")
        if told["seq"] != number:
            self._broken(number, f"the number {str(told['seq'])[:40]}")
        if before is not None and told["before"] != before:
            self._broken(number, "another hash than that of the line before it: one of the two was changed")
        row: dict[str, Any] = told["row"]
        return row

    def _broken(self, number: int, seen: str) -> NoReturn:
        raise DataError(
            f"{self.path} line {number}: expected line {number} as it was written, saw {seen}; take the file from a "
            "copy, or move it away to begin a new one"
        )

    def _end(self, opened: int) -> _End:
        """Where the chain ends, by its last line alone."""
        size = os.fstat(opened).st_size
        start = max(0, size - 3 * MOST_LINE)  # room for the last two lines, and for what is left of one
        data = _bytes(opened, self.path, start)
        lines = whole_lines(data)
        left = len(data) - sum(len(line) + 1 for line in lines)
        if not lines:
            if start:
                raise DataError(f"{self.path}: expected lines of at most 1 MiB, saw a longer one; move the file away")
            return _End(0, NOTHING, 0)
        last = lines[-1]
        try:
            number = json.loads(last, parse_constant=_no_number)["seq"]
        except (ValueError, RecursionError, TypeError, KeyError):
            number = None
        if type(number) is not int or number < 1 or (not start and number != len(lines)):
            self._rows(_bytes(opened, self.path))  # says which line it is
            raise DataError(f"{self.path}: expected a line of ours at its end, saw none; move the file away")
        self._row(last, number, digest(lines[-2]) if len(lines) > 1 and number > 1 else None)
        return _End(number, digest(last), size - left)

    def _write(self, opened: int, end: _End, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows behind the last whole line; what was cut goes."""
        texts, before = [], end.hash
        for number, row in enumerate(rows, end.lines + 1):
            text = as_line({"seq": number, "before": before, "row": plain(row)})
            if len(text) >= MOST_LINE:
                raise DataError(
                    f"{self.path}: expected a row of at most 1 MiB, saw {len(text):,} bytes; leave some out"
                )
            before = digest(text)
            texts.append(text + b"\n")
        data = b"".join(texts)
        if not data:
            return
        if end.size + len(data) > MOST_BYTES:
            raise DataError(f"{self.path}: expected a file of at most 1 GiB, and this would exceed it; move it away")
        try:
            os.ftruncate(opened, end.size)
            os.lseek(opened, end.size, os.SEEK_SET)
            done = 0
            while done < len(data):
                done += os.write(opened, data[done:])
            os.fsync(opened)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(opened, end.size)
            raise


def as_line(value: object) -> bytes:
    """A value as JSON in one line, without its end."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def digest(text: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(text).hexdigest()


def whole_lines(data: bytes) -> list[bytes]:
    """The lines that were written whole, without their ends: of the last a kill may have left a part."""
    lines = data.split(b"\n")[:-1]
    while lines and b"\0" in lines[-1]:  # a page that had not come to the disk
        lines.pop()
    return lines


def _bytes(opened: int, path: Path, start: int = 0) -> bytes:
    """What stands in an open file from a byte on."""
    size = os.fstat(opened).st_size
    if size > MOST_BYTES:
        raise DataError(f"{path}: expected a file of at most 1 GiB, saw {size:,} bytes; move it away")
    os.lseek(opened, start, os.SEEK_SET)
    with os.fdopen(opened, "rb", closefd=False) as file:
        return file.read()


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)
