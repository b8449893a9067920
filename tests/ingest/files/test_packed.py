import bz2
import gzip
import io
import os
import tarfile
import zipfile

import pytest
import zstandard

from ingest.files import packed
from ingest.files.packed import Opened
from ingest.files.tables import read_table
from utils.errors import DataError

TEXT = b"a,b\n1,2\n3,4\n"


def zipped(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_csv", ".csv"), data)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        TEXT,
        gzip.compress(TEXT),
        gzip.compress(TEXT[:5]) + gzip.compress(TEXT[5:]),
        bz2.compress(TEXT),
        zstandard.compress(TEXT),
        zstandard.ZstdCompressor(write_checksum=True).compress(TEXT[:5])
        + b"\x50\x2a\x4d\x18\3\0\0\0abc"
        + zstandard.compress(TEXT[5:]),
        zipped(a_csv=TEXT),
    ],
    ids=["plain", "gzip", "gzip twice", "bzip2", "zstd", "zstd twice", "zip"],
)
def test_a_file_gives_its_bytes_however_it_is_packed(tmp_path, data):
    (tmp_path / "x.csv").write_bytes(data)
    with Opened(tmp_path / "x.csv") as file:
        assert TEXT == file.head
        assert (b"a,b", TEXT[3:]) == (file.read(3), file.whole(100))


def test_how_far_a_file_is_read_is_told(tmp_path):
    (tmp_path / "x.csv").write_bytes(TEXT)
    told = []
    with Opened(tmp_path / "x.csv", lambda done, total: told.append((done, total))) as file:
        file.whole(100)
    assert (len(TEXT), len(TEXT)) == told[-1]


def test_a_zstd_file_of_many_blocks_is_whole_until_its_last_byte_is_gone(tmp_path):
    dense = b"".join(b"%d,%d\n" % (i, i * 7919 % 10_007) for i in range(100_000))
    data = zstandard.ZstdCompressor(write_checksum=True).compress(dense)
    (tmp_path / "x").write_bytes(data)
    with Opened(tmp_path / "x") as file:
        assert dense == file.whole(1 << 24)
    for end in (len(data) - 1, len(data) // 2, 20):
        (tmp_path / "x").write_bytes(data[:end])
        with pytest.raises(DataError, match="expected a whole zstd file"):
            Opened(tmp_path / "x")


def test_what_is_no_regular_file_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="seen a pipe, which may never end"):
        Opened(tmp_path / "pipe.csv")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstandard.compress])
def test_unpacking_stops_at_the_limit(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(packed, "FREE_BYTES", 1 << 20)
    (tmp_path / "x").write_bytes(pack(b"1,2\n" * (1 << 22)))
    with Opened(tmp_path / "x") as file, pytest.raises(DataError, match=r"seen [12] MiB and more come out of"):
        file.whole(1 << 40)


def test_a_zip_that_declares_too_much_is_refused_before_a_byte_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "FREE_BYTES", 1 << 20)
    (tmp_path / "x.zip").write_bytes(zipped(a_csv=b"\n" * (1 << 22)))
    with pytest.raises(DataError, match="declare to be 4 MiB"):
        Opened(tmp_path / "x.zip")


def test_a_table_of_usual_density_is_not_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "FREE_BYTES", 1 << 10)
    dense = b"".join(b"%d,%d\n" % (i, i * 7919 % 10_007) for i in range(20_000))
    (tmp_path / "x.gz").write_bytes(gzip.compress(dense))
    with Opened(tmp_path / "x.gz") as file:
        assert dense == file.whole(1 << 20)


def test_what_has_to_be_held_whole_has_a_limit(tmp_path):
    (tmp_path / "x").write_bytes(b"x" * 2_000_000)
    with Opened(tmp_path / "x") as file, pytest.raises(DataError, match="at most 1 MiB"):
        file.whole(1 << 20)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (gzip.compress(TEXT * 100)[:-12], "seen a damaged one"),
        (bz2.compress(TEXT * 100)[:-12], "seen a damaged one"),
        *((zstandard.compress(TEXT * 100)[:-cut], "expected a whole zstd file, seen a damaged one") for cut in (1, 12)),
        (zstandard.compress(TEXT) + zstandard.compress(TEXT)[:7], "expected a whole zstd file"),
        (b"PK\3\4torn", "expected a whole zip file, seen a damaged one"),
        (zipped(a_csv=TEXT, b_csv=TEXT), "expected a zip of one file, seen 2"),
        (b"\xfd7zXZ\0etc", "seen an xz file; unpack it"),
        (b"7z\xbc\xaf\x27\x1cetc", "seen a 7z archive; unpack it"),
    ],
)
def test_what_cannot_be_unpacked_is_said(tmp_path, data, says):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(DataError, match=says), Opened(tmp_path / "x") as file:
        file.whole(1 << 20)


def test_a_tar_in_gzip_is_named(tmp_path):
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(__file__, "a.csv")
    with pytest.raises(DataError, match="seen a tar archive; unpack it"):
        read_table(tmp_path / "x.tar.gz")
