"""The record of runs: one owner each, whoever is gone found out, whatever stands in the folder."""

import json
import math
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.runs.due import Due
from model.runs.record import KEPT, OUTCOMES, Process, Run, Runs, alive, born, here, myself
from model.schedule import Schedule
from model.status import figures_of, status_of
from tests.model.runs.made import running, settings_of
from tests.places import ROOT
from utils.errors import StorageError

DAY = date(2026, 11, 2)
NOW = 1_793_620_800 * 10**9  # 2026-11-02 12:00 UTC


class Steady:
    """A clock that nobody sets."""

    def __init__(self):
        self.at = 0.0

    def __call__(self):
        return self.at


def runs_of(folder, **more):
    return Runs(folder, now_ns=lambda: NOW, **more)


def due(day=DAY, attempt=1):
    return Due(day, attempt, "daily", NOW)


def test_a_run_is_claimed_once_and_read_as_it_was_written(tmp_path):
    one, two = runs_of(tmp_path), runs_of(tmp_path)
    mine = one.claim(due())
    assert two.claim(due()) is None
    assert two.read() == (mine,)
    mine = one.spawned(mine, os.getpid())
    ended = one.end(mine, "failed", exit_code=3, verdict="error: away", seconds=2.5)
    assert two.read() == (ended,)
    assert (ended.name, ended.outcome, ended.exit_code, ended.seconds) == ("2026-11-02.1", "failed", 3, 2.5)
    assert ended.ended_ns == NOW
    assert two.claim(due(attempt=2)).attempt == 2


@pytest.mark.parametrize("other", [date(2026, 11, 1), date(2026, 11, 3)])
def test_while_one_is_at_work_none_is_claimed_for_another_date(tmp_path, other):
    one, two = runs_of(tmp_path), runs_of(tmp_path)
    first = one.claim(due())
    assert two.claim(due(other)) is None
    assert one.read() == (first,)


CLAIM = """
import sys
from datetime import date
from pathlib import Path
from model.runs.due import Due
from model.runs.record import Runs
runs = Runs(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
won = [k for k in range(1, 21) if runs.claim(Due(date(2026, 11, 2), k, "daily", 0)) and not runs.end(
    runs.read()[k - 1], "failed", exit_code=1, verdict="", seconds=0.0) is None]
print(*won, flush=True)
"""


def test_of_many_processes_at_once_one_has_each_run(tmp_path):
    many = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for one in many:
        assert one.stdout.readline() == "ready\n"
    for one in many:
        one.stdin.write("\n")
        one.stdin.flush()
    won = [[int(word) for word in one.communicate(timeout=60)[0].split()] for one in many]
    both = [attempt for one in won for attempt in one]
    assert len(both) == len(set(both))
    assert {run.attempt for run in Runs(tmp_path).read()} >= set(both)


LEAVE = """
import sys
from datetime import date
from pathlib import Path
from model.runs.due import Due
from model.runs.record import Runs
Runs(Path(sys.argv[1])).claim(Due(date(2026, 11, 2), 1, "daily", 0))
"""


def test_an_owner_of_this_machine_that_is_gone_is_seen_at_once(tmp_path):
    subprocess.run([sys.executable, "-c", LEAVE, str(tmp_path)], cwd=ROOT, check=True)
    runs = runs_of(tmp_path)
    assert runs.read()[0].outcome is None
    (found,) = runs.look()
    assert (found.outcome, found.exit_code) == ("killed", None)
    assert runs.read() == (found,)


def test_what_a_gone_owner_left_at_work_is_ended(tmp_path):
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    runs = runs_of(tmp_path)
    run = runs.spawned(runs.claim(due()), left.pid)
    told = json.loads((runs.folder / f"{run.name}.json").read_text())
    told["owner"]["born"] += 1
    (runs.folder / f"{run.name}.json").write_text(json.dumps(told))
    assert runs.look()[0].outcome == "killed"
    assert left.wait(10) == -9


def elsewhere(runs, run):
    """The run is of another machine."""
    path = runs.folder / f"{run.name}.json"
    told = json.loads(path.read_text())
    told["owner"] = {"host": "another", "pid": 1, "born": 1}
    path.write_text(json.dumps(told))
    return path


def test_another_machine_is_believed_to_be_gone_after_minutes_without_a_sign_whatever_its_clock(tmp_path):
    steady = Steady()
    runs = runs_of(tmp_path, steady_s=steady)
    path = elsewhere(runs, runs.claim(due()))
    for minutes in range(10):  # it gives signs, by a clock that is a year behind
        steady.at = minutes * 60.0
        os.utime(path, ns=(NOW - 10**16 + minutes, NOW - 10**16 + minutes))
        assert runs.look()[0].outcome is None
    steady.at += 299.0
    assert runs.look()[0].outcome is None
    steady.at += 2.0
    assert runs.look()[0].outcome == "killed"


def test_who_begins_to_watch_waits_as_long_as_anybody(tmp_path):
    steady = Steady()
    path = elsewhere(runs_of(tmp_path), runs_of(tmp_path).claim(due()))
    os.utime(path, ns=(0, 0))
    runs = runs_of(tmp_path, steady_s=steady)
    assert runs.look()[0].outcome is None
    steady.at = 301.0
    assert runs.look()[0].outcome == "killed"


def test_a_sign_of_life_says_whether_the_run_is_still_ours(tmp_path):
    runs = runs_of(tmp_path)
    run = runs.claim(due())
    before = (runs.folder / f"{run.name}.json").stat().st_mtime_ns
    assert runs.beat(run)
    assert (runs.folder / f"{run.name}.json").stat().st_mtime_ns > before
    runs_of(tmp_path).end(run, "killed", exit_code=None, verdict="by another", seconds=1.0)
    assert not runs.beat(run)
    assert runs.end(run, "enabled", exit_code=0, verdict="late", seconds=2.0).outcome == "killed"


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"outcome": "won"}', b"\0" * 100, b"[" * 60_000, b'{"outcome": 1}']
)
def test_a_record_that_nobody_can_read_is_closed_after_a_while(tmp_path, text):
    steady = Steady()
    runs = runs_of(tmp_path, steady_s=steady)
    runs.folder.mkdir()
    (runs.folder / "2026-11-02.1.json").write_bytes(text)
    assert [run.outcome for run in runs.look()] == [None]
    assert runs.claim(due()) is None
    steady.at = 301.0
    assert [run.outcome for run in runs.look()] == ["killed"]
    assert [run.outcome for run in runs.read()] == ["killed"]


def whole(**changes):
    """A record of a run that is over, with some of it changed."""
    process = {"host": "another", "pid": 7, "born": 9}
    told = {"started": NOW, "owner": process, "child": process, "ended": NOW, "outcome": "failed", "exit_code": 3}
    return told | {"verdict": "error: away", "seconds": 2.5} | changes


def put_down(folder, told):
    """What reads a record, which is there."""
    runs = runs_of(folder)
    runs.folder.mkdir(parents=True, exist_ok=True)
    (runs.folder / "2026-11-02.1.json").write_text(json.dumps(told).replace("Infinity", "1e999"))
    return runs


@pytest.mark.parametrize(
    "changes",
    [
        {"started": 1e30, "ended": 1e30},
        {"started": math.inf},
        {"ended": math.inf},
        {"ended": 10**30},
        {"ended": 0},
        {"ended": None},
        {"started": NOW // 10**9},
        {"started": True},
        {"started": str(NOW)},
        {"exit_code": 10**12},
        {"exit_code": 0.5},
        {"seconds": math.inf},
        {"seconds": math.nan},
        {"seconds": -1.0},
        {"seconds": "long"},
        {"verdict": None},
        {"verdict": "\ud800"},
        {"owner": {"host": "another", "pid": 0, "born": 1}},
        {"child": {"host": "another", "pid": 1, "born": -1}},
        {"child": []},
        {"child": 7},
    ],
    ids=str,
)
def test_a_record_with_a_value_that_is_not_sane_is_one_that_nobody_can_read(tmp_path, changes):
    (run,) = put_down(tmp_path, whole(**changes)).look()
    assert (run.owner, run.outcome, run.ended_ns) == (None, None, None)


def test_a_file_of_a_time_that_is_not_sane_is_told_within_the_years_that_times_have(tmp_path):
    runs = put_down(tmp_path, {})
    for at_s, year in ((-(10**9), 2000), (5 * 10**9, 2099)):
        os.utime(runs.folder / "2026-11-02.1.json", ns=(at_s * 10**9, at_s * 10**9))
        assert datetime.fromtimestamp(runs.read()[0].started_ns // 10**9, UTC).year == year


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.just(NOW),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["host", "pid", "born"]), inner),
    max_leaves=4,
)
values = dict.fromkeys(whole(), anything) | {"outcome": st.sampled_from([*OUTCOMES, None]) | anything}


@settings(max_examples=200, deadline=None)
@given(changes=st.fixed_dictionaries({}, optional=values))
def test_whatever_a_record_says_it_is_told(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("any") / "models"
    runs = put_down(folder, whole(**changes))
    schedule = Schedule(settings_of(folder.parent), now_ns=lambda: NOW)
    schedule._seen = schedule._decide(None)
    told = status_of(settings_of(folder.parent), None, "", "", schedule, now_ns=NOW)
    assert told.model_dump_json()
    assert [*figures_of(told)]
    (run,) = runs.read()
    assert (run.outcome is None) == (told.retrain.running is not None)


def test_what_is_no_record_is_passed_over(tmp_path):
    runs = runs_of(tmp_path)
    runs.folder.mkdir()
    for name in (
        "notes.txt",
        "2026-11-02.json",
        "2026-11-02.0.json",
        "2026-11-02.1.log",
        ".2026-11-02.1.json.x.partial",
    ):
        (runs.folder / name).write_text("{}")
    (runs.folder / "2026-11-02.7.json").symlink_to("notes.txt")
    (runs.folder / "2026-13-45.1.json").write_text("{}")
    assert runs.look() == ()


def test_the_newest_thirty_are_kept_with_their_logs_and_what_says_least_goes_first(tmp_path):
    runs = runs_of(tmp_path)
    for day, outcome in ((date(2027, 11, 2), "failed"), (date(2026, 11, 3), "refused")):
        runs.end(runs.claim(due(day)), outcome, exit_code=1, verdict="", seconds=0.0)
    for attempt in range(1, KEPT + 5):
        run = runs.claim(due(attempt=attempt))
        Path(run.log).write_text("said")
        runs.end(run, "failed", exit_code=1, verdict="", seconds=0.0)
    found = runs.read()
    assert [run.attempt for run in found] == list(range(5, KEPT + 5))
    assert {path.stem for path in runs.folder.glob("*.log")} == {run.name for run in found}


def test_a_folder_that_refuses_is_one_sentence(tmp_path):
    (tmp_path / "runs").write_text("a file")
    runs = runs_of(tmp_path)
    assert runs.look() == ()
    with pytest.raises(StorageError, match="expected a folder that this user may write to, saw 'a file in its place'"):
        runs.claim(due())


def test_a_process_is_told_from_a_later_one_of_its_number():
    me = myself()
    assert alive(me)
    assert not alive(Process(here(), me.pid, me.born - 1))
    one = subprocess.Popen([sys.executable, "-c", "pass"])
    while born(one.pid) is not None:
        pass
    assert not running(one.pid)  # it is over, though nobody has asked how
    assert not alive(Process(here(), one.pid, me.born))
    one.wait()
    assert not alive(Process(here(), one.pid, None))


def test_a_name_says_date_and_attempt():
    assert Run(DAY, 2, NOW, None).name == "2026-11-02.2"
