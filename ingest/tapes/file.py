"""Tape files: what an exchange sent, as it sent it, one JSON line a message, zstd-compressed.

    {"recv_ns": <local receive time, ns UTC; null = nobody noted it>, "msg": <the message, byte for byte>}

A message that cannot stand in a line as it is (not JSON, or with a line break or outer blanks) is the string `text`
in place of `msg`; one that is not even UTF-8 is `base64`. Lines with an `event` are no stream messages:

| event | also has | meaning |
|---|---|---|
| `connect` | `url`; ours also `market`, `streams`, `stale_s` | a connection begins |
| `continue` | as `connect` | this connection was open when the last file was full and this one began |
| `book` | `url`, `msg` | the book as it stood then, in the exchange's own form of a snapshot |
| `send` | `url`, `msg` | what the client sent |
| `http` | `url`, `msg` | the body of a REST answer |
| `tick` | `url` | time passed, and that alone changed a book |
| `disconnect` | `url`, `reason` | the connection ended |
| `dropped` | `missing` | messages that the disk was too slow for are missing here |

Sockets at the same address are told apart by a fragment, `#2`, that is not dialled.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import msgspec
import zstandard

from ingest.wire.streams import Stream
from utils.errors import DataError, InvariantError, StorageError
from utils.rows import NS_PER_S

MAGIC = b"\x28\xb5\x2f\xfd"
SUFFIX = ".jsonl.zst"
#: Bytes read at once, and of them unpacked at once: a block of 4 bytes may unpack to 128 KiB.
CHUNK, BITE = 1 << 16, 1 << 10
#: Unpacked bytes that are looked at together.
PIECE = 1 << 20
#: A file compressed in one go may ask for a window as long as itself: that is memory.
MOST_WINDOW = 1 << 27
#: Longest line, bytes, and most empty ones in a row.
LONGEST_LINE, MOST_EMPTY = 64 << 20, 1_000
#: A file is flushed and synced this often, so that a crash loses less than a second; the writer looks in between.
FLUSH_S, LOOK_S = 0.5, 0.1
#: Flushes a zstd frame holds: each frame carries a checksum, and damage inside it is found at its end.
FRAME_FLUSHES = 120
LEVEL = 3
#: Memory of a waiting record besides its message, bytes.
OVERHEAD = 200
#: Brackets around a message that must be readable too: who reads the tape may stand deeper in calls than who wrote it.
DEEPER = 500
#: The receive time of a line whose recorder did not note it: `Player.timed` gives it one.
UNHEARD = -1
_NULL = re.compile(rb'\s*\{\s*"recv_ns"\s*:\s*null\b')
#: Symbols a file's name lists; more are counted.
MOST_NAMES = 6


class Line(msgspec.Struct, frozen=True):
    """One line of a tape."""

    recv_ns: Annotated[int, msgspec.Meta(ge=UNHEARD, lt=2**62)]
    msg: msgspec.Raw = msgspec.Raw(b"")
    event: str = ""  # "" = a message of a stream
    url: str = ""
    reason: str = ""
    text: str | None = None
    base64: str | None = None
    missing: int = 0
    market: str = ""
    streams: tuple[tuple[str, str, str, int], ...] = ()  # of all connections: kind, symbol, tf, depth
    stale_s: Annotated[float, msgspec.Meta(ge=0.0, le=3600.0)] = 0.0

    @property
    def wire(self) -> bytes:
        """The message as it was sent."""
        if self.text is not None:
            return self.text.encode()
        return bytes(self.msg) if self.base64 is None else base64.b64decode(self.base64)

    @property
    def asked(self) -> tuple[Stream, ...]:
        """The streams that were asked for; empty where the recorder did not say."""
        return tuple(Stream(kind, symbol, tf, depth) for kind, symbol, tf, depth in self.streams)


class Record(NamedTuple):
    """What a recorder is told of, before it is a line."""

    recv_ns: int
    message: str | bytes | None = None
    event: str = ""
    url: str = ""
    reason: str = ""
    missing: int = 0
    market: str = ""
    streams: Sequence[Stream] = ()
    stale_s: float = 0.0

    def line(self) -> bytes:
        """Its line, the message's bytes unchanged in it."""
        parts = [b'{"recv_ns":%d' % self.recv_ns]
        for name in ("event", "url", "reason", "missing", "market", "stale_s"):
            value = getattr(self, name)
            if value:
                parts.append(b'"%s":%s' % (name.encode(), msgspec.json.encode(value)))
        if self.streams:
            asked = [(stream.kind, stream.symbol, stream.tf, stream.depth) for stream in self.streams]
            parts.append(b'"streams":' + msgspec.json.encode(asked))
        if self.message is not None:
            parts.append(_spelled(self.message))
        return b",".join(parts) + b"}\n"


_VALUE = msgspec.json.Decoder(msgspec.Raw)
_LINE = msgspec.json.Decoder(Line)


def _spelled(message: str | bytes) -> bytes:
    """The key of a message and its value."""
    try:
        wire, text = (message.encode(), message) if isinstance(message, str) else (message, message.decode())
    except UnicodeError:
        raw = message if isinstance(message, bytes) else message.encode("utf-8", "surrogatepass")
        return b'"base64":"%s"' % base64.b64encode(raw)
    try:
        plain = bytes(_VALUE.decode(wire)) == wire and b"\n" not in wire and b"\r" not in wire
        if plain and wire.count(b"[") + wire.count(b"{") >= DEEPER:
            _VALUE.decode(b"[" * DEEPER + wire + b"]" * DEEPER)
    except (msgspec.DecodeError, RecursionError):
        plain = False
    return b'"msg":' + wire if plain else b'"text":' + msgspec.json.encode(text)


class TapeReader:
    """The lines of a tape file, in order, from the beginning; memory stays flat.

    A file that ends in the middle, as a killed recorder leaves it, is read as far as it is whole; `cut` then says so.
    Plain JSON lines are read too.

    Args:
        path: the file.

    Raises:
        DataError: missing, not a tape, or damaged before its end; names the line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"tape: expected a file at {self.path}, saw none; name a {SUFFIX} recording")
        self.size = self.path.stat().st_size  # bytes, compressed
        self.position = 0  # bytes of it read
        self.number = 0  # lines read
        self.cut = ""  # what is missing at the end, one sentence

    def __iter__(self) -> Iterator[Line]:
        self.position = self.number = 0
        self.cut = ""
        rest, empty = bytearray(), 0
        with self.path.open("rb") as handle:
            for piece in self._pieces(handle):
                first, *others = piece.split(b"\n")
                rest += first
                for following in others:
                    self.number += 1
                    empty = 0 if rest.strip() else empty + 1
                    if not empty:
                        yield self._line(bytes(rest))
                    elif empty > MOST_EMPTY:
                        raise self._wrong("a line with a message", f"{empty:,} empty ones in a row")
                    rest = bytearray(following)
                if len(rest) > LONGEST_LINE:
                    self.number += 1
                    raise self._wrong("a line", f"more than {LONGEST_LINE >> 20} MiB without an end")
        if rest.strip():
            self.number += 1
            try:
                last = self._line(bytes(rest))
            except DataError:
                self.number -= 1
                self.cut = f"the last line is cut short after {len(rest)} bytes: its message is lost"
                return
            yield last

    def _pieces(self, handle: BinaryIO) -> Iterator[bytes]:
        """The file unpacked, bit by bit."""
        for piece in self._unpacked(handle):
            for at in range(0, len(piece), PIECE):
                yield piece[at : at + PIECE]

    def _unpacked(self, handle: BinaryIO) -> Iterator[bytes]:
        packed = self._read(handle)
        if packed[:1] in {b"{", b" ", b"\n"}:
            while packed:
                yield packed
                packed = self._read(handle)
            return
        if packed and packed[: len(MAGIC)] != MAGIC[: len(packed)]:
            raise DataError(f"{self.path.name}: expected a zstd-compressed tape, saw another kind of file; check it")
        unpacker = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW)
        frame = None
        while packed:
            frame = frame or unpacker.decompressobj()
            try:
                yield frame.decompress(packed[:BITE])
            except zstandard.ZstdError as error:
                self.number += 1
                raise self._wrong("a whole recording", f"a damaged one ({error})") from None
            packed = packed[BITE:]
            if frame.eof:
                packed, frame = frame.unused_data + packed, None
            packed = packed or self._read(handle)
        if frame or not self.position:
            self.cut = (
                "the recording was not closed: what came after its last whole block is lost,"
                " at most a second if its recorder was killed"
            )

    def _read(self, handle: BinaryIO) -> bytes:
        packed = handle.read(CHUNK)
        self.position += len(packed)
        return packed

    def _line(self, line: bytes) -> Line:
        try:
            unheard = b"null" in line[:40] and _NULL.match(line)
            read = _LINE.decode(b'{"recv_ns":%d' % UNHEARD + line[unheard.end() :] if unheard else line)
            if read.base64 is not None:
                base64.b64decode(read.base64, validate=True)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise self._wrong("a JSON line with recv_ns and msg", f"{error}") from None
        if read.recv_ns == UNHEARD and not unheard:
            raise self._wrong("a receive time of 0 or more, or null", line[:60].decode(errors="replace"))
        if not (read.event or read.msg) and read.text is None and read.base64 is None:
            raise self._wrong("a message or an event", line[:60].decode(errors="replace"))
        return read

    def _wrong(self, expected: str, seen: str) -> DataError:
        advice = "the lines before it are whole, so cut the file there or record again"
        return DataError(f"{self.path.name}: line {self.number}: expected {expected}, saw {seen}; {advice}")


def file_name(market: str, symbols: Sequence[str], start_ns: int) -> str:
    """`bybit_linear_BTCUSDT-ETHUSDT_20260124T055142Z.jsonl.zst`."""
    named = "-".join(symbols) if len(symbols) <= MOST_NAMES else f"{len(symbols)}symbols"
    return f"{market}_{named}_{datetime.fromtimestamp(start_ns // NS_PER_S, UTC):%Y%m%dT%H%M%SZ}{SUFFIX}"


class _File:
    """One tape file being written: packed, flushed, synced, closed."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        stem = name.removesuffix(SUFFIX)
        for number in range(1, 1000):
            # a file that exists is someone's recording: never written to
            self.path = folder / (stem + (f"_{number}" if number > 1 else "") + SUFFIX)
            with contextlib.suppress(FileExistsError):
                self._handle = self.path.open("xb", buffering=0)
                break
        else:
            raise FileExistsError(f"{folder / name} and its 998 successors exist")
        self._packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self._frame = self._packer.compressobj()
        self._flushes = 0
        self._pending = bytearray()
        self._dirty = False
        self.size = 0

    def write(self, line: bytes) -> None:
        self._pending += self._frame.compress(line)
        self._dirty = True

    def flush(self) -> None:
        """Put what was written on the disk; what is there can be read whatever happens next."""
        if not self._dirty:
            return
        self._flushes += 1
        if self._flushes < FRAME_FLUSHES:
            self._pending += self._frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        else:
            self._pending += self._frame.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)
            self._frame = self._packer.compressobj()
            self._flushes = 0
        self._out()
        self._dirty = False

    def close(self) -> None:
        try:
            if self._dirty or self._flushes:
                self._pending += self._frame.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)
                self._out()
        finally:
            self._handle.close()

    def abandon(self) -> None:
        """Close without writing more."""
        self._handle.close()

    def _out(self) -> None:
        rest = memoryview(bytes(self._pending))
        self._pending.clear()
        self.size += len(rest)
        while rest:
            rest = rest[self._handle.write(rest) :]
        os.fsync(self._handle.fileno())


def _weight(record: Record) -> int:
    """Memory that a waiting record takes, about, in bytes."""
    return len(record.message or b"") + OVERHEAD


class TapeWriter:
    """Writes records to tape files from a thread of its own, so that the disk never holds up the socket.

    `put` and `turn` are for one thread; they never wait. A message that finds the queue full is dropped and counted,
    and the tape says where.

    Args:
        folder: where the files go; made if it is not there.
        name: a file's name from the receive time of its first line, ns.
        queue_bytes: most that may wait for the disk.
    """

    def __init__(self, folder: str | Path, name: Callable[[int], str], *, queue_bytes: int = 64 << 20) -> None:
        self._folder, self._name, self._queue_bytes = Path(folder), name, queue_bytes
        self._queue: deque[Record | list[Record]] = deque()
        # bytes, and turns: each is counted by one thread only, so none needs a lock
        self._came = self._went = 0
        self._turns_asked = self._turns_done = 0
        self._missing = 0  # dropped since the last record that found room
        self._last_ns = 0
        self.dropped = 0
        self.paths: list[Path] = []  # the last one may still be written
        self._file: _File | None = None
        self._closed_size = 0
        self._failure: StorageError | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tape", daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """Bytes on the disk, all files together."""
        file = self._file
        return self._closed_size + (file.size if file else 0)

    @property
    def file_size(self) -> int:
        """Bytes on the disk of the file to which the next record goes."""
        file = self._file
        return file.size if file and self._turns_asked == self._turns_done else 0

    def put(self, record: Record) -> bool:
        """Hand a record over; False = there was no room and it is lost."""
        length = _weight(record)
        full = self._came - self._went + length > self._queue_bytes
        if self._failure or (full and not record.event):
            self.dropped += 1
            self._missing += 1
            self._last_ns = record.recv_ns
            return False
        self._say_missing(record.recv_ns)
        self._came += length
        self._queue.append(record)
        return True

    def turn(self, opening: Sequence[Record]) -> None:
        """Close the file; the next one begins with these records."""
        self._say_missing(self._last_ns)
        self._turns_asked += 1
        self._queue.append(list(opening))

    def check(self) -> None:
        """Raise what went wrong on the disk, if anything did.

        Raises:
            StorageError: disk full, or the folder cannot be written to.
            InvariantError: the writing thread ended by a bug.
        """
        if self._failure:
            raise self._failure
        if not self._thread.is_alive() and not self._closing.is_set():
            raise InvariantError("tape: expected the writing thread to live as long as the recording, saw it end")

    def close(self) -> None:
        """Write what is left, close the file, and raise what went wrong."""
        self._say_missing(self._last_ns)
        self._closing.set()
        self._thread.join()
        self.check()

    def _say_missing(self, now_ns: int) -> None:
        if self._missing:
            self._queue.append(Record(now_ns, event="dropped", missing=self._missing))
            self._missing = 0

    def _run(self) -> None:
        try:
            flushed = time.monotonic()
            while not self._closing.wait(LOOK_S):
                self._drain()
                if time.monotonic() - flushed >= FLUSH_S and self._file:
                    flushed = time.monotonic()
                    self._file.flush()
            self._drain()
            if self._file:
                self._file.close()
        except OSError as error:
            place = self._file.path if self._file else self._folder
            if self._file:
                self._file.abandon()
            self._failure = StorageError(
                f"tape: expected to be able to write {place}, saw '{error.strerror or error}';"
                " what was recorded before is whole: free some space or name another place (--out)"
            )

    def _drain(self) -> None:
        while self._queue:
            head = self._queue.popleft()
            if isinstance(head, list):
                if self._file:
                    self._file.close()
                    self._closed_size += self._file.size
                    self._file = None
                self._turns_done += 1
                for record in head:
                    self._write(record)
            else:
                self._went += _weight(head)
                self._write(head)

    def _write(self, record: Record) -> None:
        if self._file is None:
            self._file = _File(self._folder, self._name(record.recv_ns))
            self.paths.append(self._file.path)
        self._file.write(record.line())
