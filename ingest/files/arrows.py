"""What an Arrow file says that it unpacks to, seen before anything is unpacked.

A buffer of a record batch begins with the length that it has when it is unpacked, and pyarrow allocates that. The
batches' own headers (FlatBuffers, `Message.fbs` of Arrow's columnar format) say where the buffers lie.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

_DICTIONARY = 2


class Declared(NamedTuple):
    """What the batches of a file say of themselves."""

    rows: int
    bytes: int  # that so many columns take at most, whichever they are
    words: int  # bytes of dictionaries


def declared(messages: Any, buffers: int) -> Declared:
    """Rows and bytes that Arrow messages unpack to.

    Args:
        messages: of one file, from its schema on (`pyarrow.MessageReader`).
        buffers: of each batch's buffers the largest so many are counted.

    Raises:
        ValueError: a header is damaged.
    """
    rows = size = words = 0
    for message in messages:
        if message.type not in {"record batch", "dictionary"}:
            continue
        try:
            length, sizes = _batch(message.metadata.to_pybytes(), message.body)
        except (struct.error, IndexError, TypeError) as error:
            raise ValueError(f"a batch has no header: {error}") from None
        if message.type == "dictionary":
            words += sum(sizes)
            continue
        rows += length
        size += sum(sorted(sizes)[-buffers:])
    return Declared(rows, size, words)


def _batch(header: bytes, body: Any) -> tuple[int, list[int]]:
    """Rows of a batch, and the bytes of each of its buffers when unpacked."""
    message = _follow(header, 0)
    kind = header[_field(header, message, 1)]
    batch = _follow(header, _field(header, message, 2))
    if kind == _DICTIONARY:
        batch = _follow(header, _field(header, batch, 1))
    at = _field(header, batch, 0)
    (rows,) = struct.unpack_from("<q", header, at) if at else (0,)
    at, packed = _field(header, batch, 2), _field(header, batch, 3)
    if not at:
        return rows, []
    at = _follow(header, at)
    (count,) = struct.unpack_from("<I", header, at)
    sizes = []
    for place in range(at + 4, at + 4 + 16 * count, 16):
        offset, length = struct.unpack_from("<qq", header, place)
        if packed and length >= 8:
            (said,) = struct.unpack("<q", body.slice(offset, 8).to_pybytes())
            length = said if said >= 0 else length
        sizes.append(length)
    return rows, sizes


def _follow(data: bytes, at: int) -> int:
    return at + int(struct.unpack_from("<I", data, at)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Where a table's field lies, 0 if it has none."""
    names = table - int(struct.unpack_from("<i", data, table)[0])
    (size,) = struct.unpack_from("<H", data, names)
    if 4 + 2 * number >= size:
        return 0
    (offset,) = struct.unpack_from("<H", data, names + 4 + 2 * number)
    return table + int(offset) if offset else 0
