"""A folder's own words reach no file outside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.files import inside as module
from ingest.files.inside import inside, open_lock, plain_file, read_small, stays
from utils.errors import DataError


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../x.parquet",
            "a/../../x",
            "/etc/passwd",
            "a/./b",
            "a//b",
            "",
            ".",
            "..",
            "a\\..\\b",
            "C:/x",
            "~/x",
            "a\0b",
        ),
        *("a/..b", ".hidden/x", "a/.lock", "x" + "/../" * 200, "a\nb", "ünï"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="expected names of files in"):
        inside(tmp_path, name, tmp_path / "manifest.json")


def test_a_name_in_the_folder_is_a_path(tmp_path):
    name = "binance_usdm/1h/BTCUSDT_20250101_20250103.parquet"
    assert inside(tmp_path, name, tmp_path / "manifest.json") == tmp_path / name


def test_a_link_that_leads_out_is_refused_and_one_that_stays_is_not(tmp_path):
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (root / "out").symlink_to(tmp_path / "b")
    (root / "in").symlink_to(root / "a")
    with pytest.raises(DataError, match="a link leads out of there"):
        stays(root, root / "out" / "x")
    with pytest.raises(DataError, match="a link leads out of there"):
        inside(root, "out/x.parquet", root / "manifest.json")
    assert inside(root, "in/x.parquet", root / "manifest.json") == root / "in" / "x.parquet"


def test_a_folder_that_is_itself_a_link_is_a_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "link", "x.parquet", tmp_path) == tmp_path / "link" / "x.parquet"


def test_only_a_file_that_ends_is_a_file(tmp_path):
    assert not plain_file(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "zero"):
        with pytest.raises(DataError, match="expected a file, saw something else"):
            read_small(tmp_path / name)


def test_a_loop_of_links_is_one_sentence(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises(DataError):
        plain_file(tmp_path / "a")


def test_a_small_file_is_small_and_text(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="expected text, saw other bytes"):
        read_small(path)
    monkeypatch.setattr(module, "MOST", 1 << 20)
    path.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(DataError, match="expected at most 1 MiB, saw more"):
        read_small(path)
    with pytest.raises(DataError, match="saw none"):
        read_small(tmp_path / "absent")


def test_a_lock_writes_to_no_file_elsewhere(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".lock").symlink_to(victim)
    with pytest.raises(DataError, match="expected a lock file"):
        open_lock(tmp_path / ".lock")
    assert victim.read_text() == "precious"
    os.close(open_lock(Path(tmp_path, "other")))
