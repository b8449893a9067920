"""A named file as a stream of bytes: looked at before it is read, unpacked as it is read, within limits.

A file may hold much more than its size says, or never end. Nothing is read of what is no regular file, and unpacking
stops at a limit while it goes on, so that what a few kilobytes unpack to is never held.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from utils.errors import DataError
from utils.regular import size_of, unreadable

#: Rows of one table: candles of one minute for 38 years, some 2 GB.
MOST_ROWS = 20_000_000
#: Columns of a table of text.
MOST_COLUMNS = 1000
#: Bytes that a packed file may unpack to, whatever its size: candles pack to a fifth, and these bombs to a thousandth.
MOST_RATIO, FREE_BYTES = 100, 256 << 20
#: Bytes of what has to be held whole to be read: a packed Parquet file, and JSON, which takes ten times that as values.
MOST_HELD, MOST_JSON = 512 << 20, 128 << 20
#: Bytes that are looked at to see what a file is.
HEAD = 1 << 16
#: A longer window than this is asked for by nothing but a file packed in one go with unusual settings.
MOST_WINDOW = 1 << 27

_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}
_OTHERS = {b"\xfd7zXZ\0": "an xz file", b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!": "a rar archive"}


class Opened:
    """The bytes of a file, unpacked where it is packed. Use it with `with`.

    Args:
        path: a regular file, packed by gzip, zip (one member), zstd or bzip2, or not packed.
        progressed: told how many bytes of the file are behind us, and how many it has.

    Raises:
        DataError: there is none, it cannot be read, or it is packed in a way that we do not unpack.
    """

    def __init__(self, path: Path, progressed: Callable[[int, int], None] | None = None) -> None:
        self.path, self.name = path, path.name
        self.inner = path.name  # of the member of a zip, with the folders it lies in there
        self.size = size_of(path)
        self._progressed = progressed
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise unreadable(path, error) from None
        self._came = 0
        self.closed = False
        try:
            self.packed = next((kind for magic, kind in _PACKED.items() if self._begins(magic)), "")
            self._refuse_others()
            self._stream = self._unpacker()
            self.head = b""
            self.head = self.read(HEAD)
        except BaseException:
            self._file.close()
            raise
        self._rest = self.head

    def __enter__(self) -> Opened:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.closed = True
        self._file.close()

    def readable(self) -> bool:
        """Always: what reads streams asks."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` unpacked bytes, those that `head` holds first; none at the end.

        Raises:
            DataError: the file is damaged, or unpacks to more than a table of its size does.
        """
        if self.head and self._rest:
            size = len(self._rest) if size < 0 else size
            piece, self._rest = self._rest[:size], self._rest[size:]
            return piece
        piece = self._unpacked(size)
        self._came += len(piece)
        if self.packed and self._came > FREE_BYTES and self._came > MOST_RATIO * self.size:
            raise DataError(
                f"{self.name}: expected a packed table, seen {self._came >> 20:,} MiB and more come out of"
                f" {self.size:,} bytes; unpack it if you know it to be right"
            )
        if self._progressed is not None:
            self._progressed(min(self._file.tell(), self.size), self.size)
        return piece

    def whole(self, most: int) -> bytes:
        """All bytes.

        Raises:
            DataError: there are more than `most`.
        """
        pieces, came = [], 0
        while piece := self.read(1 << 20):
            pieces.append(piece)
            came += len(piece)
            if came > most:
                raise DataError(
                    f"{self.name}: expected at most {most >> 20} MiB of a file that has to be held whole, seen more;"
                    " save it as CSV or as plain Parquet"
                )
        return b"".join(pieces)

    def _unpacked(self, size: int) -> bytes:
        import zlib
        from zipfile import BadZipFile

        import zstandard

        try:
            return bytes(self._stream.read(size))
        except (EOFError, zlib.error, BadZipFile, zstandard.ZstdError) as error:
            raise self._damaged(error) from None
        except OSError as error:
            if self.packed:  # gzip and bzip2 say so
                raise self._damaged(error) from None
            raise unreadable(self.path, error) from None

    def _damaged(self, error: Exception) -> DataError:
        return DataError(
            f"{self.name}: expected a whole {self.packed} file, seen a damaged one ({error}); download it again"
        )

    def _refuse_others(self) -> None:
        other = next((what for magic, what in _OTHERS.items() if self._begins(magic)), "")
        if other:
            raise DataError(f"{self.name}: expected a table, or one packed by gzip or zip, seen {other}; unpack it")

    def _begins(self, magic: bytes) -> bool:
        self._file.seek(0)
        found = self._file.read(len(magic)) == magic
        self._file.seek(0)
        return found

    def _unpacker(self) -> Any:
        """What reads the unpacked bytes."""
        if self.packed == "gzip":
            import gzip

            return gzip.GzipFile(fileobj=self._file)
        if self.packed == "bzip2":
            import bz2

            return bz2.BZ2File(self._file)
        if self.packed == "zstd":
            import zstandard

            if not _ends(self._file, self.size):
                raise self._damaged(EOFError("it ends before its end-of-stream marker"))
            unpacker = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW)
            return unpacker.stream_reader(self._file, read_across_frames=True)
        return self._member() if self.packed else self._file

    def _member(self) -> Any:
        """The one file in a zip."""
        import zipfile

        try:
            archive = zipfile.ZipFile(self._file)
            members = [
                each for each in archive.infolist() if not each.is_dir() and not each.filename.startswith("__MACOSX/")
            ]
            if len(members) != 1:
                names = ", ".join(each.filename for each in members[:3])
                more = f" ({names}{', ...' if len(members) > 3 else ''})" if members else ""
                raise DataError(
                    f"{self.name}: expected a zip of one file, seen {len(members)}{more}; unpack it and name one"
                )
            declared = members[0].file_size
            if declared > FREE_BYTES and declared > MOST_RATIO * self.size:
                raise DataError(
                    f"{self.name}: expected a packed table, seen {self.size:,} bytes that declare to be"
                    f" {declared >> 20:,} MiB; unpack it if you know it to be right"
                )
            self.inner = members[0].filename
            return archive.open(members[0])
        except zipfile.BadZipFile as error:
            raise self._damaged(error) from None
        except RuntimeError as error:  # locked, or packed in an unknown way
            raise DataError(
                f"{self.name}: expected a zip that can be unpacked, seen one ({error}); unpack it"
            ) from None


def _ends(file: BinaryIO, size: int) -> bool:
    """Whether a zstd file holds the last block of each of its frames; its unpacker takes what is there for all."""
    import zstandard

    at = 0
    while at < size:
        file.seek(at)
        head = file.read(18)
        if len(head) >= 8 and head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:  # may be skipped
            at += 8 + int.from_bytes(head[4:8], "little")
            continue
        try:
            checked, length = zstandard.get_frame_parameters(head).has_checksum, zstandard.frame_header_size(head)
        except zstandard.ZstdError:
            if len(head) < 4:
                return False
            break  # what is no frame is the unpacker's to refuse
        at, last = at + length, False
        while not last:
            file.seek(at)
            block = int.from_bytes(piece := file.read(3), "little")
            last = bool(block & 1)
            at += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
            if len(piece) < 3 or at > size:
                return False
        at += 4 * checked
    file.seek(0)
    return at <= size
