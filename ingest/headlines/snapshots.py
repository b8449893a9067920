"""Snapshots of headlines on the disk: a file a day, each snapshot whole or not there."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

from ingest.headlines.headline import Snapshot
from utils.errors import DataError, StorageError
from utils.rows import NS_PER_DAY, NS_PER_S
from utils.shell.log import event

SUFFIX = ".jsonl.zst"
#: Longest snapshot, bytes.
LONGEST = 64 << 20
_SNAPSHOT = msgspec.json.Decoder(Snapshot)

logger = logging.getLogger("ingest")


class SnapshotFile:
    """Appends snapshots to a new file of a folder, one zstd frame each, on the disk before `write` returns.

    Whatever happens to the program or the machine, all but the snapshot being written can be read. A day has a file of
    its own (UTC); a file that exists is never written to.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._day = -1
        self._packer = zstandard.ZstdCompressor(write_checksum=True)
        self.path: Path | None = None

    def write(self, snapshot: Snapshot) -> None:
        """Append one snapshot.

        Raises:
            StorageError: it cannot be kept.
        """
        frame = self._packer.compress(msgspec.json.encode(snapshot) + b"\n")
        day = snapshot.seen_ns // NS_PER_DAY
        try:
            if self.path is None or day != self._day:
                self.path, self._day = self._next(snapshot.seen_ns), day
            with self.path.open("ab") as handle:
                handle.write(frame)
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            place, self.path = self.path or self._folder, None  # half a snapshot may stand there: never written after
            raise StorageError(
                f"news: expected to be able to write {place}, saw '{error.strerror or error}'; free some space or name"
                " another place"
            ) from None

    def _next(self, now_ns: int) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        stem = f"news_{datetime.fromtimestamp(now_ns // NS_PER_S, UTC):%Y%m%dT%H%M%SZ}"
        names = (stem + (f"_{number}" if number > 1 else "") + SUFFIX for number in count(1))
        path = next(path for path in map(self._folder.joinpath, names) if not path.exists())
        path.touch(exist_ok=False)
        return path


def read_snapshots(path: str | Path) -> Iterator[Snapshot]:
    """The snapshots of a file, or of all `news_*.jsonl.zst` of a folder, in order of time.

    A snapshot that a crash cut short is left out and logged.

    Raises:
        DataError: nothing there, or a file damaged before its end; names the line.
    """
    place = Path(path)
    files = sorted(place.glob(f"news_*{SUFFIX}")) if place.is_dir() else [place]
    if not files or not all(file.is_file() for file in files):
        raise DataError(f"news: expected {SUFFIX} files at {place}, saw none; name what was recorded")
    for file in files:
        with file.open("rb") as handle:
            yield from _snapshots(file.name, handle)


def _snapshots(name: str, handle: BinaryIO) -> Iterator[Snapshot]:
    unpacked = zstandard.ZstdDecompressor().stream_reader(handle, read_across_frames=True)
    number = 0
    try:
        lines = io.BufferedReader(unpacked)
        for number, line in enumerate(iter(lambda: lines.readline(LONGEST + 1), b""), 1):
            _look(line)
            if not line.endswith(b"\n"):
                event(logger, "snapshot_cut_short", severity=logging.WARNING, file=name, line=number)
                return
            yield _SNAPSHOT.decode(line)
    except (zstandard.ZstdError, msgspec.MsgspecError, RecursionError) as error:
        advice = "what stands before it is whole; move the file away, or cut it there"
        raise DataError(f"{name}: line {number}: expected a snapshot of headlines, saw '{error}'; {advice}") from None


def _look(line: bytes) -> None:
    if len(line) > LONGEST:
        raise zstandard.ZstdError(f"more than {LONGEST >> 20} MiB without an end")
