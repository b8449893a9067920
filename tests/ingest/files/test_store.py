import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.files.store import Covered, Entry, Series, Store, missing, touching
from tests.places import ROOT
from utils.errors import ConfigError, DataError

DAY = 86_400_000
T0 = 1_735_689_600_000  # 2025-01-01
PLACE, SYMBOL, ADDRESS = "venue/1h", "BTCUSDT", "https://exchange.test"


def page(period: Covered) -> pa.Table:
    """An hourly row for each hour of a period."""
    stamps = list(range(period.start, period.end, 3_600_000))
    return pa.table({"timestamp": pa.array(stamps).cast(pa.timestamp("ms")), "close": [float(s) for s in stamps]})


def blank() -> Entry:
    return Entry("", SYMBOL, (0, 0), 0, "", "", "", (), {"exchange": "x", "address": ADDRESS}, "2025-02-01T00:00:00Z")


def add(root: Path, *days: int, finish: bool = True) -> Entry | None:
    """Keep a page a day, and make a file of them."""
    with Store(root) as store:
        series = Series(store, PLACE, SYMBOL, ADDRESS)
        for day in days:
            series.keep(
                Covered(T0 + day * DAY, T0 + (day + 1) * DAY), page(Covered(T0 + day * DAY, T0 + (day + 1) * DAY))
            )
        period, replaced = touching(
            Covered(T0 + days[0] * DAY, T0 + (days[-1] + 1) * DAY), series.entries(), series.covered()
        )
        return series.finish(period, replaced, blank()) if finish else None


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != ".lock")


def stamps(root: Path, entry: Entry) -> list[int]:
    return pq.ParquetFile(root / entry.path).read().column("timestamp").cast("int64").to_pylist()


def test_pages_become_one_file_named_after_its_days(tmp_path):
    made = add(tmp_path, 0, 1, 2)
    assert ["manifest.json", f"{PLACE}/BTCUSDT_20250101_20250103.parquet"] == files(tmp_path)
    assert (72, "2025-01-01T00:00Z", "2025-01-03T23:00Z") == (made.rows, made.first, made.last)
    assert list(range(T0, T0 + 3 * DAY, 3_600_000)) == stamps(tmp_path, made)


def test_a_file_that_touches_the_new_pages_becomes_part_of_theirs(tmp_path):
    add(tmp_path, 0, 1)
    made = add(tmp_path, 2)
    assert ["manifest.json", f"{PLACE}/BTCUSDT_20250101_20250103.parquet"] == files(tmp_path)
    assert list(range(T0, T0 + 3 * DAY, 3_600_000)) == stamps(tmp_path, made)


def test_a_period_that_touches_nothing_becomes_a_file_of_its_own(tmp_path):
    add(tmp_path, 0)
    add(tmp_path, 5)
    names = [f"{PLACE}/BTCUSDT_20250101_20250101.parquet", f"{PLACE}/BTCUSDT_20250106_20250106.parquet"]
    assert ["manifest.json", *names] == files(tmp_path)


def test_pages_of_a_period_that_is_not_asked_for_wait_for_theirs(tmp_path):
    add(tmp_path, 0, finish=False)
    made = add(tmp_path, 5)
    assert (24, 1) == (
        made.rows,
        len([name for name in files(tmp_path) if name.endswith(".parquet") and ".parts" in name]),
    )
    assert 24 == add(tmp_path, 0).rows
    assert [] == [name for name in files(tmp_path) if ".parts" in name]


def test_a_file_that_was_changed_is_not_built_upon(tmp_path):
    made = add(tmp_path, 0)
    (tmp_path / made.path).write_bytes(b"PAR1 other")
    with pytest.raises(DataError, match=r"BTCUSDT_20250101_20250101\.parquet: expected the file that the manifest"):
        add(tmp_path, 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "files": [{"path": "x"}]}'])
def test_a_manifest_of_somebody_else_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json"):
        add(tmp_path, 0)


@pytest.mark.parametrize("wrong", [{"covers": [1]}, {"covers": ["a", "b"]}, {"path": 5}, {"rows": "x"}, {"gaps": 5}])
def test_a_manifest_whose_values_are_of_another_kind_is_refused(tmp_path, wrong):
    add(tmp_path, 0)
    manifest = tmp_path / "manifest.json"
    told = json.loads(manifest.read_text())
    told["files"][0] |= wrong
    manifest.write_text(json.dumps(told))
    with pytest.raises(DataError, match=r"manifest\.json: expected the manifest of a download"):
        add(tmp_path, 1)


def test_a_file_that_was_taken_away_is_no_longer_counted_upon(tmp_path):
    made = add(tmp_path, 0)
    (tmp_path / made.path).unlink()
    assert 24 == add(tmp_path, 1).rows


def test_files_of_others_are_left_alone(tmp_path):
    other = tmp_path / PLACE / "BTCUSDT_20240101_20241231.parquet"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"mine")
    add(tmp_path, 0)
    assert b"mine" == other.read_bytes()


def test_a_file_of_others_is_not_written_over(tmp_path):
    other = tmp_path / PLACE / "BTCUSDT_20250101_20250101.parquet"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"BTCUSDT_20250101_20250101\.parquet: expected no such file"):
        add(tmp_path, 0)
    assert b"mine" == other.read_bytes()
    other.rename(other.with_name("mine.parquet"))
    with Store(tmp_path) as store:
        assert [(T0, T0 + DAY)] == Series(store, PLACE, SYMBOL, ADDRESS).covered()
    assert 24 == add(tmp_path, 0).rows


@pytest.mark.parametrize("finish", [True, False])
def test_rows_of_two_addresses_are_never_joined(tmp_path, finish):
    add(tmp_path, 0, finish=finish)
    with Store(tmp_path) as store, pytest.raises(ConfigError, match=r"expected BTCUSDT to come from https://exchange"):
        Series(store, PLACE, SYMBOL, "http://127.0.0.1:8900")
    assert 48 == add(tmp_path, 1).rows


def test_two_processes_do_not_write_at_once(tmp_path):
    program = (
        "import sys; from pathlib import Path; from ingest.files.store import Store\n"
        "with Store(Path(sys.argv[1])): pass"
    )
    with Store(tmp_path):
        other = subprocess.run(
            [sys.executable, "-c", program, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
        )
        with pytest.raises(ConfigError, match="another download is writing here"), Store(tmp_path):
            pass
    assert "another download is writing here" in other.stderr
    with Store(tmp_path):
        pass


def left_by_a_kill(root: Path, *, renamed: bool, counted: bool, cleaned: bool) -> Entry:
    """A store as it is when a run is killed between the steps of putting a file in its place."""
    add(root, 0, 1)  # BTCUSDT_20250101_20250102, to be replaced
    add(root, 2, finish=False)
    before = root.with_name("before")
    shutil.copytree(root, before)
    made = add(root, 2)
    manifest = json.loads((root / "manifest.json").read_text())
    after = root.with_name("after")
    root.rename(after)
    before.rename(root)
    plan = {"made": manifest["files"][0], "replaced": [f"{PLACE}/BTCUSDT_20250101_20250102.parquet"]}
    (root / PLACE / ".BTCUSDT.parts" / "pending.json").write_text(json.dumps(plan))
    if renamed:
        shutil.copy(after / made.path, root / made.path)
    if counted:
        shutil.copy(after / "manifest.json", root / "manifest.json")
    if cleaned:
        (root / plan["replaced"][0]).unlink()
        next((root / PLACE / ".BTCUSDT.parts").glob("*.parquet")).unlink()
    return made


@pytest.mark.parametrize(
    "state",
    [
        {"renamed": False, "counted": False, "cleaned": False},
        {"renamed": True, "counted": False, "cleaned": False},
        {"renamed": True, "counted": True, "cleaned": False},
        {"renamed": True, "counted": True, "cleaned": True},
    ],
)
def test_what_a_killed_run_left_is_finished_or_taken_back(tmp_path, state):
    root = tmp_path / "store"
    expected = left_by_a_kill(root, **state)
    with Store(root) as store:
        series = Series(store, PLACE, SYMBOL, ADDRESS)
        entries, pages = series.entries(), series.covered()
    assert (not state["renamed"]) == (len(pages) == 1)
    made = entries[0] if state["renamed"] else add(root, 2)
    assert expected.sha256 == made.sha256
    assert ["manifest.json", made.path] == files(root)


def test_half_written_files_are_taken_away(tmp_path):
    add(tmp_path, 0)
    partial = tmp_path / PLACE / ".BTCUSDT_20250101_20250102.parquet.partial"
    partial.write_bytes(b"PAR1")
    add(tmp_path, 1)
    assert not partial.exists()


@pytest.mark.parametrize(
    ("have", "lacks"),
    [
        ([], [(0, 10)]),
        ([(0, 10)], []),
        ([(2, 4)], [(0, 2), (4, 10)]),
        ([(6, 12), (-3, 1)], [(1, 6)]),
        ([(2, 6), (4, 8)], [(0, 2), (8, 10)]),
        ([(20, 30)], [(0, 10)]),
    ],
)
def test_what_is_missing_is_what_no_period_covers(have, lacks):
    assert [Covered(*each) for each in lacks] == missing(Covered(0, 10), [Covered(*each) for each in have])


def test_periods_that_share_a_day_are_one_as_their_names_would_be():
    hour = 3_600_000
    early = Entry("a", SYMBOL, (T0, T0 + hour), 1, "", "", "", (), {}, "")
    later = Entry("b", SYMBOL, (T0 + 3 * DAY, T0 + 4 * DAY), 1, "", "", "", (), {}, "")
    wanted = Covered(T0 + 5 * hour, T0 + 6 * hour)
    assert (Covered(T0, T0 + 6 * hour), [early]) == touching(wanted, [later, early], [])


# nothing that lies in the folder is believed to be about what lies outside


def plan(root: Path, replaced: list[str], **changed: object) -> Path:
    """The plan that a killed run would have left, of a file that is there."""
    made = add(root, 0)
    parts = root / PLACE / f".{SYMBOL}.parts"
    parts.mkdir(exist_ok=True)
    told = json.loads((root / "manifest.json").read_text())["files"][0] | changed
    (parts / "pending.json").write_text(json.dumps({"made": told, "replaced": replaced}))
    assert made is not None
    return parts / "pending.json"


@pytest.mark.parametrize(
    ("replaced", "changed"),
    [
        (["../victim.txt"], {}),
        (["VICTIM"], {}),
        ([f"{PLACE}/../../../victim.txt"], {}),
        ([f"{PLACE}/ETHUSDT_20250101_20250102.parquet"], {}),
        ([f"{PLACE}/BTCUSDT_mine.parquet"], {}),
        ([], {"path": "../victim.txt"}),
        ([], {"path": "VICTIM"}),
        ([], {"path": "other/BTCUSDT_20250101_20250102.parquet"}),
    ],
)
def test_a_plan_that_names_other_files_than_its_own_is_refused(tmp_path, replaced, changed):
    root, victim = tmp_path / "root", tmp_path / "victim.txt"
    victim.write_text("precious")
    absolute = {name: str(victim) if value == "VICTIM" else value for name, value in changed.items()}
    pending = plan(root, [str(victim) if name == "VICTIM" else name for name in replaced], **absolute)
    with pytest.raises(DataError, match=rf"{re.escape(str(pending))}: expected files of BTCUSDT in venue/1h"):
        add(root, 1)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "null", "[" * 100_000, '{"made": 1, "replaced": []}', '{"made": {}, "replaced": "x"}', "\xff"),
        '{"made": {"path": "x"}, "replaced": [1]}',
    ],
)
def test_a_damaged_plan_is_one_sentence_about_it(tmp_path, text):
    pending = plan(tmp_path, [])
    pending.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"pending.json: expected (the plan of a download|text), saw"):
        add(tmp_path, 1)


@pytest.mark.parametrize(
    "name",
    ["abc_def.parquet", "1.parquet", "5_4.parquet", "-1_5.parquet", f"0_{10**20}.parquet", "0_9999999999999.parquet"],
)
def test_a_stray_page_is_one_sentence_about_it(tmp_path, name):
    add(tmp_path, 0, finish=False)
    (tmp_path / PLACE / f".{SYMBOL}.parts" / name).write_text("x")
    with pytest.raises(DataError, match=rf"{name}: expected only pages that a download left here"):
        add(tmp_path, 1)


def damaged_page(kind: str, path: Path) -> None:
    table = pq.ParquetFile(path).read()
    if kind == "text":
        path.write_text("x")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif kind == "column":
        pq.write_table(table.rename_columns(["when", "close"]), path)
    elif kind == "more":
        pq.write_table(table.append_column("more", table.column("close")), path)
    elif kind == "times":
        pq.write_table(page(Covered(T0 + 5 * DAY, T0 + 6 * DAY)), path)
    elif kind == "rows":  # 30 million equal rows in some kilobytes
        times = pa.array([0]).cast(pa.timestamp("ms"))
        many = pa.concat_arrays([pa.repeat(times[0], 15_000_000)])
        pq.write_table(pa.table({"timestamp": many}), path)


@pytest.mark.parametrize("kind", ["text", "cut", "column", "more", "times", "rows"])
def test_a_page_that_is_not_as_it_was_left_is_one_sentence_about_it(tmp_path, kind):
    add(tmp_path, 0, finish=False)
    (path,) = (tmp_path / PLACE / f".{SYMBOL}.parts").glob("*.parquet")
    damaged_page(kind, path)
    with pytest.raises(DataError, match=r"expected rows of BTCUSDT as a download leaves them, saw others"):
        add(tmp_path, 1)


@pytest.mark.parametrize("path", ["../victim.txt", "a/../../victim.txt", "/victim.txt"])
def test_a_manifest_names_no_file_outside(tmp_path, path):
    root = tmp_path / "root"
    add(root, 0)
    manifest = root / "manifest.json"
    told = json.loads(manifest.read_text())
    told["files"][0]["path"] = path
    manifest.write_text(json.dumps(told))
    with pytest.raises(DataError, match=r"manifest.json: expected names of files in"):
        add(root, 1)


@pytest.mark.parametrize("covers", [[5, 4], [-1, 5], [0, 10**20]])
def test_a_manifest_of_periods_that_cannot_be_is_refused(tmp_path, covers):
    add(tmp_path, 0)
    manifest = tmp_path / "manifest.json"
    told = json.loads(manifest.read_text())
    told["files"][0]["covers"] = covers
    manifest.write_text(json.dumps(told))
    with pytest.raises(DataError, match=r"manifest\.json"):
        add(tmp_path, 1)


@pytest.mark.parametrize("what", ["parts", "folder", "file"])
def test_a_link_out_of_the_folder_is_not_followed(tmp_path, what):
    root, outside = tmp_path / "root", tmp_path / "outside"
    made = add(root, 0)
    assert made is not None
    outside.mkdir()
    link = {"parts": root / PLACE / f".{SYMBOL}.parts", "folder": root / PLACE, "file": root / made.path}[what]
    if what == "file":
        link.rename(outside / "x")
        outside = outside / "x"
    elif what == "folder":
        shutil.rmtree(link)
    link.symlink_to(outside)
    before = sorted(tmp_path.glob("outside/**"))
    with pytest.raises(DataError, match="a link leads out of there"):
        add(root, 1)
    assert sorted(tmp_path.glob("outside/**")) == before


def test_a_half_written_file_that_is_a_link_is_not_written_through(tmp_path):
    root, victim = tmp_path / "root", tmp_path / "victim.txt"
    victim.write_text("precious")
    add(root, 0)
    (root / ".manifest.json.partial").symlink_to(victim)
    add(root, 1)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    "name", ["manifest.json", f"{PLACE}/.BTCUSDT.parts/pending.json", f"{PLACE}/.BTCUSDT.parts/address"]
)
def test_a_pipe_in_place_of_a_file_holds_nobody_up(tmp_path, name):
    add(tmp_path, 0, finish=False)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="expected a file, saw something else"):
        add(tmp_path, 1)
