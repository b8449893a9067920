"""Bodies are unpacked in pieces, and nothing beyond a limit."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
import zstandard

from ingest.rest.body import BOOK, Body, TooLong, Unreadable, check_parts

TEXT = b'{"bids":[["1.5","2"]]}' * 50


def read(packed: bytes, way: str = "", most: int = 10_000, piece: int = 7) -> bytes:
    body = Body(way, most)
    for at in range(0, len(packed), piece):
        body.add(packed[at : at + piece])
    return body.whole()


def fill(body: Body, packed: bytes) -> None:
    for at in range(0, len(packed), 1 << 16):
        body.add(packed[at : at + (1 << 16)])


def raw_deflate(text: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(text) + packer.flush()


@pytest.mark.parametrize(
    ("way", "packed"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("X-GZIP", gzip.compress(TEXT, mtime=0)),
        ("gzip", gzip.compress(TEXT[:100], mtime=0) + gzip.compress(TEXT[100:], mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_body_is_what_was_packed_however_it_comes(way, packed, piece):
    assert read(packed, way, piece=piece) == TEXT


@pytest.mark.parametrize("way", ["zstd", "br", "gzip, gzip", "compress", "gzip,zstd", "x" * 1000])
def test_what_is_packed_in_a_way_we_did_not_ask_for_is_refused_unread(way):
    with pytest.raises(Unreadable, match=r"expected an answer packed as gzip, deflate or not at all, saw '"):
        Body(way, 10_000)


@pytest.mark.parametrize(
    ("way", "packed"),
    [
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(TEXT, mtime=0)[:-9]),
        ("gzip", gzip.compress(TEXT, mtime=0) + b"rubbish"),
        ("deflate", b"\xff\xff\xff"),
        ("deflate", zlib.compress(TEXT)[:-1]),
        ("gzip", zstandard.compress(TEXT)),
    ],
)
def test_what_cannot_be_unpacked_to_its_end_is_refused(way, packed):
    with pytest.raises(Unreadable):
        read(packed, way)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, raw_deflate, bytes])
def test_what_is_longer_than_allowed_is_refused_before_it_is_unpacked(pack):
    bomb = pack(b" " * (64 << 20))
    body = Body({gzip.compress: "gzip", bytes: ""}.get(pack, "deflate"), BOOK.size)
    tracemalloc.start()
    with pytest.raises(TooLong, match="expected at most 1 MiB, saw more; nothing of it was used"):
        fill(body, bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert len(body.data) <= BOOK.size + (1 << 16)


def test_an_endless_row_of_empty_parts_is_too_long():
    body = Body("gzip", 1000)
    with pytest.raises(TooLong):
        fill(body, gzip.compress(b"") * 100)


def test_more_values_than_a_reader_can_take_are_refused_before_they_are_read():
    check_parts(b'[["1","2"],["1","2"]]', 6)
    with pytest.raises(TooLong, match="expected at most 60,000 values, saw 300,000"):
        check_parts(b"[" * 300_000, BOOK.parts)
