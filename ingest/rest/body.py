"""Bodies of answers: unpacked bit by bit, and nothing beyond a limit that was looked at first."""

from __future__ import annotations

import zlib
from typing import NamedTuple

#: Bytes of an answer that are read at once.
PIECE = 2**16
#: How we ask for bodies to be packed; what comes packed in another way is refused unread.
ACCEPTED = "gzip, deflate"
_GZIP, _ZLIB, _RAW = 31, 15, -15
_WAYS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


class Limit(NamedTuple):
    """How much an answer may hold before anything reads it."""

    size: int  # bytes, unpacked
    parts: int  # lists and objects, and what is parted by commas in them


#: A time; a book; a page of rows, and whatever else comes in pages; a list of all markets.
TIME, BOOK = Limit(2**16, 1_000), Limit(2**20, 60_000)
PAGE, LIST = Limit(8 * 2**20, 300_000), Limit(64 * 2**20, 3_000_000)


class Unreadable(Exception):  # noqa: N818 - internal: becomes what the caller says of an answer
    """A body that is not read, and why."""


class TooLong(Unreadable):
    """It is too long; asking again brings the same."""


class Body:
    """A body as it comes.

    Args:
        packed: what its Content-Encoding says.
        most: bytes, unpacked.

    Raises:
        Unreadable: it is packed in a way we did not ask for.
    """

    def __init__(self, packed: str, most: int) -> None:
        self.data = bytearray()
        self._most, self._came = most, 0
        ways = [way for way in packed.lower().replace(" ", "").split(",") if way not in {"", "identity"}]
        if len(ways) > 1 or (ways and ways[0] not in _WAYS):
            raise Unreadable(f"expected an answer packed as {ACCEPTED} or not at all, saw {packed[:40]!r}")
        self._way = _WAYS[ways[0]] if ways else 0
        self._head = b""  # of one that is packed as deflate
        self._unpacker = zlib.decompressobj(self._way) if ways else None

    def add(self, piece: bytes) -> None:
        """One more piece, as it came.

        Raises:
            Unreadable: it cannot be unpacked, or is longer than allowed.
        """
        self._came += len(piece)
        if self._way == _ZLIB and len(self._head) < 2:
            self._head += piece
            if len(self._head) < 2:
                return
            piece = self._head
            if piece[0] & 15 != 8 or int.from_bytes(piece[:2], "big") % 31:
                self._way = _RAW  # some say deflate and leave its head away
                self._unpacker = zlib.decompressobj(_RAW)
        while piece and self._came <= self._most and len(self.data) <= self._most:
            if self._unpacker is None:
                self.data += piece
                break
            if self._unpacker.eof:  # a second part, or rubbish
                self._unpacker = zlib.decompressobj(self._way)
            piece = self._unpacked(self._unpacker, piece)
        if max(self._came, len(self.data)) > self._most:
            most = f"{self._most / 2**20:g} MiB" if self._most >= 2**20 else f"{self._most} bytes"
            raise TooLong(f"expected at most {most}, saw more; nothing of it was used")

    def _unpacked(self, unpacker: zlib._Decompress, piece: bytes) -> bytes:
        """Unpack as much of a piece as there is room for; what is left of it."""
        try:
            self.data += unpacker.decompress(piece, self._most - len(self.data) + 1)
        except zlib.error:
            raise Unreadable("expected an answer that can be unpacked, saw another") from None
        return unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail

    def whole(self) -> bytes:
        """All of it.

        Raises:
            Unreadable: it ended before its end.
        """
        if self._unpacker is not None and self._came and not self._unpacker.eof:
            raise Unreadable("expected an answer that can be unpacked, saw one that breaks off")
        return bytes(self.data)


def check_parts(body: bytes, most: int) -> None:
    """Look that a body holds no more than a reader can take, before it is parsed.

    Raises:
        Unreadable: it does.
    """
    parts = sum(body.count(mark) for mark in (b",", b"[", b"{"))
    if parts > most:
        raise TooLong(f"expected at most {most:,} values, saw {parts:,}; nothing of it was used")
