import json
import os
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
import zstandard

from features.news_metrics import news_metrics
from ingest.headlines.headline import Headline, Snapshot
from ingest.headlines.snapshots import SUFFIX, SnapshotFile, read_snapshots
from utils.errors import DataError, StorageError

S = 10**9
NOW = int(datetime(2026, 1, 24, 12, tzinfo=UTC).timestamp()) * S


def snapshot_at(seen_ns, *titles):
    rows = [Headline(f"x:{i}", title, NOW - i * S, seen_ns, votes={"positive": i}) for i, title in enumerate(titles)]
    return Snapshot(seen_ns, "cryptopanic", ("BTC",), tuple(rows))


def test_what_is_written_is_read_back(tmp_path):
    kept = [snapshot_at(NOW, "a", "日本 🚀"), snapshot_at(NOW + S), snapshot_at(NOW + 2 * S, "c")]
    file = SnapshotFile(tmp_path / "news")
    for snapshot in kept:
        file.write(snapshot)
    assert kept == list(read_snapshots(file.path)) == list(read_snapshots(tmp_path / "news"))
    assert "news_20260124T120000Z.jsonl.zst" == file.path.name


def test_a_day_has_a_file_and_no_file_is_written_twice(tmp_path):
    file = SnapshotFile(tmp_path)
    for seen_ns in (NOW, NOW + 13 * 3600 * S):
        file.write(snapshot_at(seen_ns))
    SnapshotFile(tmp_path).write(snapshot_at(NOW + 1))
    names = ["news_20260124T120000Z.jsonl.zst", "news_20260124T120000Z_2.jsonl.zst", "news_20260125T010000Z.jsonl.zst"]
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert [NOW, NOW + 1, NOW + 13 * 3600 * S] == [snapshot.seen_ns for snapshot in read_snapshots(tmp_path)]


def test_a_file_cut_anywhere_gives_every_whole_snapshot_before_the_cut(tmp_path):
    file = SnapshotFile(tmp_path)
    ends = []
    for number in range(3):
        file.write(snapshot_at(NOW + number, *"abcdefgh"))
        ends.append(file.path.stat().st_size)
    whole = file.path.read_bytes()
    for size in range(len(whole) + 1):
        file.path.write_bytes(whole[:size])
        whole_frames, without_checksum = (sum(end - short <= size for end in ends) for short in (0, 4))
        assert whole_frames <= len(list(read_snapshots(tmp_path))) <= without_checksum, size


def test_a_damaged_file_is_an_error_that_names_the_line(tmp_path):
    file = SnapshotFile(tmp_path)
    for number in range(3):
        file.write(snapshot_at(NOW + number, *"abcdefgh"))
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[:150] + bytes([whole[150] ^ 255]) + whole[151:])
    with pytest.raises(DataError, match=r"jsonl.zst: line \d: expected a snapshot of headlines, saw '"):
        list(read_snapshots(tmp_path))


def test_nothing_recorded_is_an_error(tmp_path):
    for place in (tmp_path, tmp_path / "none.jsonl.zst"):
        with pytest.raises(DataError, match=r"expected .jsonl.zst files at .*, saw none"):
            list(read_snapshots(place))


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"expected to be able to write .*file/news, saw '"):
        SnapshotFile(tmp_path / "file" / "news").write(snapshot_at(NOW))


WRITER = """
import sys, time
from ingest.headlines.headline import Headline, Snapshot
from ingest.headlines.snapshots import SnapshotFile
file = SnapshotFile(sys.argv[1])
for n in range(1, 10**6):
    file.write(Snapshot(n * 10**9, "cryptopanic", (), (Headline("x", "t" * 400, 1, n),)))
    print(n, flush=True)
"""


def test_kill_9_loses_nothing_that_was_written(tmp_path):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with writer:
        for line in writer.stdout:
            said = int(line)
            if said >= 20:
                os.kill(writer.pid, signal.SIGKILL)
                break
        said = max([said, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    read = [snapshot.seen_ns // S for snapshot in read_snapshots(tmp_path)]
    assert list(range(1, len(read) + 1)) == read
    assert said <= len(read) <= said + 1


def test_recorded_snapshots_give_metrics_as_they_were_known(tmp_path):
    file = SnapshotFile(tmp_path)
    first = Headline("x:1", "t", NOW, NOW + 60 * S, currencies=("BTC",), votes={"positive": 1, "negative": 5})
    for later_s, bulls in [(60, 1), (120, 20)]:
        row = replace(first, seen_ns=NOW + later_s * S, votes={"positive": bulls, "negative": 5})
        file.write(Snapshot(row.seen_ns, "cryptopanic", ("BTC",), (row,)))
    rows = [headline for snapshot in read_snapshots(tmp_path) for headline in snapshot.headlines]
    seen = [news_metrics(rows, NOW + s * S, currency="BTC").sentiment for s in (59, 60, 119, 120)]
    assert pytest.approx([float("nan"), -4 / 6, -4 / 6, 15 / 25], nan_ok=True) == seen


def test_a_snapshot_is_one_plain_json_line():
    line = json.loads(msgspec.json.encode(snapshot_at(NOW, "a")))
    assert {"seen_ns", "source", "currencies", "headlines"} == set(line)
    assert "a" == line["headlines"][0]["title"]


def test_a_snapshot_without_an_end_is_refused_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("ingest.headlines.snapshots.LONGEST", 1 << 20)
    path = tmp_path / f"news_x{SUFFIX}"
    path.write_bytes(zstandard.compress(b" " * (64 << 20)))
    tracemalloc.start()
    with pytest.raises(
        DataError, match="line 1: expected a snapshot of headlines, saw 'more than 1 MiB without an end'"
    ):
        list(read_snapshots(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_a_snapshot_of_lists_without_end_is_refused(tmp_path):
    path = tmp_path / f"news_x{SUFFIX}"
    path.write_bytes(zstandard.compress(b"[" * 100_000 + b"\n"))
    with pytest.raises(DataError, match="line 1: expected a snapshot of headlines"):
        list(read_snapshots(path))
