"""Trainings that nobody asked for: begun once, also among many; ended with who began them; told as they were."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from model.runs.record import FOLDER, Runs
from model.schedule import Schedule
from model.status import status_of
from tests.model.runs.made import open_files, program, running, settings_of, until
from tests.model.test_retrain import write_candles
from tests.places import ROOT
from utils.records.lock import only_one
from utils.records.versions import Versions

HOUR = 3600 * 10**9


def ns(*when):
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 10**9


class Clock:
    """A clock that stands where it is set."""

    def __init__(self, *when):
        self.at = ns(*when)

    def __call__(self):
        return self.at


def model_of(folder, at_ns):
    """A version that was written then."""
    return Versions(folder / "models").write({"long.txt": b"x"}, {"verdict": "not enabled: so"}, at_ns)


def of(folder, text, *, env=(), **more):
    return Schedule(
        settings_of(folder, **dict(env)), folder / "config.yaml", program=program(folder, text), pulse_s=0.05, **more
    )


def last(schedule):
    return schedule.status()["last"]


async def ended(schedule):
    return await until(lambda: last(schedule))


def said(run):
    return Path(run["log"]).read_text()


def at_work(schedule):
    return schedule.status()["running"]


QUIET = "print('building'); print('not enabled: test days 4 threshold 30')"
LONG = "print('begun', flush=True); time.sleep(600)"


async def test_off_it_says_so_and_does_nothing(tmp_path):
    async with of(tmp_path, QUIET, env={"SCALPER__RETRAIN__AUTO": "0"}) as schedule:
        await asyncio.sleep(0.3)
        told = schedule.status()
    assert (told["enabled"], told["next"], told["running"], told["last"]) == (False, None, None, None)
    assert not (tmp_path / "models").exists()


async def test_at_the_start_an_absent_model_is_trained_once(tmp_path):
    clock = Clock(2026, 11, 2, 12)
    async with of(tmp_path, QUIET, now_ns=clock) as schedule:
        found = await ended(schedule)
        await asyncio.sleep(0.5)
        told = schedule.status()
        runs = Runs(tmp_path / "models").read()
    assert len(runs) == 1
    assert found["outcome"] == "not_enabled"
    assert found["exit_code"] == 0
    assert found["verdict"] == "not enabled: test days 4 threshold 30"
    assert found["date"] == "2026-11-02"
    assert told["next"] == {"utc": "2026-11-03T02:00:00Z", "local": "2026-11-03T03:00:00+01:00"}
    assert said(found) == "building\nnot enabled: test days 4 threshold 30\n"
    assert json.dumps(told)


async def test_at_the_hour_it_trains_and_after_days_asleep_once(tmp_path):
    clock = Clock(2026, 11, 2, 12)
    model_of(tmp_path, clock.at - HOUR)
    runs = Runs(tmp_path / "models")
    async with of(tmp_path, QUIET, now_ns=clock) as schedule:
        await asyncio.sleep(0.3)
        assert runs.read() == ()
        clock.at = ns(2026, 11, 3, 2)
        await until(lambda: len(runs.read()) == 1 and last(schedule))
        clock.at = ns(2026, 11, 7, 9)
        await until(lambda: len(runs.read()) == 2 and last(schedule)["date"] == "2026-11-07")
        clock.at = ns(2026, 11, 7, 1)  # set back
        await asyncio.sleep(0.3)
        assert [run.day.day for run in runs.read()] == [3, 7]


async def test_a_run_has_the_flags_of_the_settings_the_environment_and_the_lowest_priority(tmp_path, monkeypatch):
    monkeypatch.setenv("OF_MINE", "passed on")
    monkeypatch.setenv("SCALPER__SECRETS__API_TOKEN", "of the API alone")
    tell = """
        print(*sys.argv[1:]); print(os.environ["OF_MINE"], os.environ.get("SCALPER__SECRETS__API_TOKEN"));
        print("nice", os.nice(0)); print("stdin", sys.stdin.read())
        print("session", os.getsid(0) == os.getpid())
    """
    async with of(
        tmp_path, tell, env={"SCALPER__RISK__TAKE_BPS": "31.5", "SCALPER__MARKET__SYMBOL": "ETHUSDT"}
    ) as schedule:
        found = await ended(schedule)
    lines = said(found).splitlines()
    out = tmp_path / "models" / "runs" / "features.parquet"
    assert lines[0] == (
        f"--take-bps 31.5 --stop-bps 18.0 --horizon 20 --out {out} --symbol ETHUSDT --tf 5m --exchange bybit "
        f"--market-type futures --page-back 60 --config {tmp_path / 'config.yaml'}"
    )
    assert lines[1:] == ["passed on None", "nice 19", "stdin ", "session True"]


@pytest.mark.parametrize(
    ("text", "outcome", "code", "verdict"),
    [
        ("print('enabled: V serves BTCUSDT')", "enabled", 0, "enabled: V serves BTCUSDT"),
        (
            "print('error: --horizon: no', file=sys.stderr); print('bye'); sys.exit(2)",
            "failed",
            2,
            "error: --horizon: no",
        ),
        (
            "print('error: bybit did not answer', file=sys.stderr); sys.exit(3)",
            "failed",
            3,
            "error: bybit did not answer",
        ),
        (
            "print('error: m: expected no other training at work, saw process 1'); sys.exit(1)",
            "refused",
            1,
            "error: m: expected no other training at work, saw process 1",
        ),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed", -9, ""),
        ("print('half', flush=True); os.kill(os.getpid(), signal.SIGTERM)", "killed", -15, "half"),
        ("sys.exit(130)", "stopped", 130, ""),
    ],
)
async def test_the_end_of_a_run_is_told_as_it_was(tmp_path, text, outcome, code, verdict):
    async with of(tmp_path, text) as schedule:
        found = await ended(schedule)
    assert (found["outcome"], found["exit_code"], found["verdict"]) == (outcome, code, verdict)


TOLD = """
def told(*_):
    print("stopped by SIGTERM; no file is half-written")
    os._exit(130)
signal.signal(signal.SIGTERM, told)
"""


@pytest.mark.parametrize("begins", ["", TOLD], ids=["killed", "told"])
async def test_ended_in_the_last_moments_of_a_training_that_is_done_it_is_not_trained_again(tmp_path, begins):
    clock = Clock(2026, 11, 2, 12)
    text = f"{begins}print('not enabled: so')\ntime.sleep(600)"
    async with of(tmp_path, text, now_ns=clock) as schedule:
        run = await until(lambda: at_work(schedule))
        await until(lambda: Path(run["log"]).is_file() and said(run))
        await asyncio.sleep(0.1)
    assert (last(schedule)["outcome"], last(schedule)["verdict"]) == ("not_enabled", "not enabled: so")
    clock.at += 11 * 60 * 10**9
    async with of(tmp_path, text, now_ns=clock) as schedule:
        await asyncio.sleep(0.3)
        assert at_work(schedule) is None
    assert len(Runs(tmp_path / "models").read()) == 1


async def test_what_fails_is_tried_three_times_a_date_whoever_starts_how_often(tmp_path):
    clock = Clock(2026, 11, 2, 12)
    runs = Runs(tmp_path / "models")
    for _ in range(40):
        async with of(tmp_path, "sys.exit(3)", now_ns=clock) as schedule:
            await until(lambda: last(schedule))
            await until(lambda: at_work(schedule) is None)
        clock.at += 10 * 60 * 10**9
    assert [(run.day.day, run.attempt, run.outcome) for run in runs.read()] == [
        (2, 1, "failed"),
        (2, 2, "failed"),
        (2, 3, "failed"),
    ]


async def test_ended_during_a_run_it_ends_that_and_a_restart_makes_up_for_it(tmp_path):
    clock = Clock(2026, 11, 2, 12)
    async with of(tmp_path, LONG, now_ns=clock) as schedule:
        await until(lambda: at_work(schedule))
        run = await until(lambda: next((one for one in Runs(tmp_path / "models").read() if one.child), None))
        assert running(run.child.pid)
    assert last(schedule)["outcome"] == "stopped"
    assert not running(run.child.pid)
    clock.at += 10 * 60 * 10**9
    async with of(tmp_path, QUIET, now_ns=clock) as schedule:
        await until(lambda: last(schedule) and last(schedule)["outcome"] == "not_enabled")
        assert last(schedule)["attempt"] == 2


async def test_a_run_that_does_not_listen_is_killed_with_what_it_began(tmp_path, monkeypatch):
    monkeypatch.setattr("model.runs.child.GRACE_S", 0.5)
    deaf = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        import subprocess
        print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
        time.sleep(600)
    """
    async with of(tmp_path, deaf) as schedule:
        log = Path((await until(lambda: at_work(schedule)))["log"])
        grandchild = int(await until(lambda: log.is_file() and log.read_text().strip()))
        run = await until(lambda: next((one for one in Runs(tmp_path / "models").read() if one.child), None))
    assert last(schedule)["outcome"] == "stopped"
    assert not running(run.child.pid)
    await until(lambda: not running(grandchild))


async def test_one_that_others_closed_is_ended(tmp_path):
    runs = Runs(tmp_path / "models")
    async with of(tmp_path, LONG) as schedule:
        run = await until(lambda: next((one for one in runs.read() if one.child), None))
        runs.end(run, "killed", exit_code=None, verdict="as another machine believed", seconds=1.0)
        await until(lambda: not running(run.child.pid))
        await until(lambda: at_work(schedule) is None)
    assert [(one.outcome, one.verdict) for one in runs.read()] == [("killed", "as another machine believed")]


async def test_a_folder_that_cannot_be_written_is_told_and_does_no_harm(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "runs").write_text("a file in its place")
    async with of(tmp_path, QUIET) as schedule:
        problem = await until(lambda: schedule.status()["problem"])
        assert "runs" in problem
        (tmp_path / "models" / "runs").unlink()
        await ended(schedule)
        await until(lambda: schedule.status()["problem"] == "")


async def test_a_long_run_does_not_hold_up_the_event_loop(tmp_path):
    talk = "for k in range(20_000): print('x' * 100)"
    longest, before = 0.0, time.monotonic()
    async with of(tmp_path, talk) as schedule:
        while last(schedule) is None:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            longest, before = max(longest, now - before), now
    assert longest < 2.0  # a busy machine
    assert len(said(last(schedule))) < 600_000


async def test_entered_and_left_over_and_over_it_leaves_no_file_open(tmp_path):
    async def once():
        async with of(tmp_path, QUIET):
            await asyncio.sleep(0.05)

    await once()
    before = open_files()
    for _ in range(5):
        await once()
    assert open_files() <= before


SERVE = """
import asyncio, sys
from pathlib import Path
from model.schedule import Schedule
from utils.config import load_settings
folder, text = Path(sys.argv[1]), sys.argv[2]
import signal
import socket
async def main():
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    settings = load_settings(folder / "config.yaml", env={}).settings
    program = (sys.executable, str(folder / "train.py"))
    async with Schedule(settings, folder / "config.yaml", program=program, pulse_s=0.05):
        print("up", flush=True)
        await done.wait()
asyncio.run(main())
"""


def serve(folder, text):
    """A process of its own that trains by itself."""
    settings_of(folder)
    program(folder, text)
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder), text], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(*processes):
    for one in processes:
        one.terminate()
    return [one.communicate(timeout=60)[1].decode() for one in processes]


@pytest.mark.slow
async def test_of_many_processes_one_trains(tmp_path):
    runs = Runs(tmp_path / "models")
    many = [serve(tmp_path, "time.sleep(2); print('not enabled: so')") for _ in range(4)]
    await until(lambda: any(run.outcome for run in runs.read()), 60)
    await asyncio.sleep(0.5)
    errors = finish(*many)
    assert [(run.attempt, run.outcome) for run in runs.read()] == [(1, "not_enabled")]
    assert not any("Traceback" in one for one in errors)


async def test_sigterm_ends_the_run_and_leaves_nothing_behind(tmp_path):
    one = serve(tmp_path, LONG)
    runs = Runs(tmp_path / "models")
    run = await until(lambda: next((run for run in runs.read() if run.child), None), 60)
    finish(one)
    assert one.returncode == 0
    assert not running(run.child.pid)
    assert [run.outcome for run in runs.read()] == ["stopped"]


async def test_kill_9_of_the_owner_ends_the_run_and_the_next_one_sees_it_as_killed(tmp_path):
    one = serve(tmp_path, LONG)
    runs = Runs(tmp_path / "models")
    run = await until(lambda: next((run for run in runs.read() if run.child), None), 60)
    one.kill()
    one.communicate()
    await until(lambda: not running(run.child.pid))
    assert [run.outcome for run in runs.look()] == ["killed"]
    two = serve(tmp_path, LONG)
    await asyncio.sleep(3)
    finish(two)
    assert len(runs.read()) == 1  # after a pause, and not at once


async def test_kill_9_of_the_run_is_told_and_tried_again_later(tmp_path):
    clock = Clock(2026, 11, 2, 12)
    runs = Runs(tmp_path / "models")
    async with of(tmp_path, LONG, now_ns=clock) as schedule:
        run = await until(lambda: next((run for run in runs.read() if run.child), None))
        os.kill(run.child.pid, signal.SIGKILL)
        assert (await ended(schedule))["outcome"] == "killed"
        assert schedule.status()["next"]["utc"] == "2026-11-02T12:10:00Z"
        clock.at += 10 * 60 * 10**9
        await until(lambda: at_work(schedule) and at_work(schedule)["attempt"] == 2)


def test_it_brings_no_library_of_a_training_into_the_process():
    line = "import sys, model.schedule, model.status; print(sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", line], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for heavy in ("pandas", "lightgbm", "sklearn", "pyarrow", "ccxt", "matplotlib"):
        assert f"'{heavy}'" not in found


def test_the_folder_of_runs_is_none_of_a_version(tmp_path):
    name = model_of(tmp_path, ns(2026, 11, 2))
    (tmp_path / "models" / FOLDER).mkdir()
    assert Versions(tmp_path / "models").names() == (name,)


def real(folder):
    """Settings of trainings on a small recording, which the real program does."""
    candles = write_candles(folder)
    return settings_of(folder, f"  ledger: {folder / 'models' / 'trials.jsonl'}\napi:\n  source: tape:{candles}\n")


@pytest.mark.slow
async def test_a_real_retrain_leaves_a_version_and_its_verdict(tmp_path):
    settings = real(tmp_path)
    async with Schedule(settings, tmp_path / "config.yaml") as schedule:
        found = await until(lambda: last(schedule), 300)
        told = status_of(settings, None, "no version serves", "", schedule)
    assert (found["outcome"], found["exit_code"]) == ("not_enabled", 0), said(found)
    assert found["verdict"].startswith("not enabled: ")
    assert said(found).splitlines()[-1] == found["verdict"]
    assert Versions(tmp_path / "models").current() is None
    assert told.newest.verdict.startswith("not enabled: ")
    assert told.retrain.last.verdict == found["verdict"]
    assert (tmp_path / "models" / "runs" / "features.parquet").is_file()


@pytest.mark.slow
async def test_while_somebody_trains_by_hand_a_real_retrain_is_refused_and_tried_again(tmp_path):
    settings = real(tmp_path)
    with only_one(tmp_path / "models"):
        async with Schedule(settings, tmp_path / "config.yaml") as schedule:
            found = await until(lambda: last(schedule), 120)
            comes = schedule.status()["next"]["utc"]
    assert (found["outcome"], found["exit_code"]) == ("refused", 1)
    assert "expected no other training at work" in found["verdict"]
    later = datetime.fromisoformat(comes) - datetime.fromisoformat(found["ended"])
    assert later.total_seconds() == pytest.approx(900, abs=1)


@pytest.mark.slow
async def test_a_real_retrain_is_ended_with_the_program_and_the_old_model_stands(tmp_path):
    settings = real(tmp_path)
    name = model_of(tmp_path, ns(2026, 11, 2))
    Versions(tmp_path / "models").make_current(name)
    async with Schedule(settings, tmp_path / "config.yaml") as schedule:
        lock = tmp_path / "models" / ".training.lock"
        await until(lambda: lock.is_file() and lock.read_bytes(), 120)
    found = last(schedule)
    assert (found["outcome"], found["exit_code"]) == ("stopped", 130)
    assert found["verdict"] == "stopped by SIGTERM; no file is half-written"
    assert Versions(tmp_path / "models").current() == name
    with only_one(tmp_path / "models"):
        pass  # and nobody is at it


@pytest.mark.slow
async def test_a_real_retrain_of_no_file_fails_with_its_sentence(tmp_path):
    settings = settings_of(tmp_path, f"api:\n  source: tape:{tmp_path / 'none.csv'}\n")
    async with Schedule(settings, tmp_path / "config.yaml") as schedule:
        found = await until(lambda: last(schedule), 120)
    assert (found["outcome"], found["exit_code"]) == ("failed", 2)
    assert "none.csv" in found["verdict"]


@pytest.mark.slow
async def test_an_exchange_that_is_away_is_told_and_the_old_model_stands(tmp_path):
    settings = settings_of(tmp_path, "endpoints:\n  bybit_rest: http://127.0.0.1:9\n")
    name = model_of(tmp_path, ns(2026, 11, 2))
    Versions(tmp_path / "models").make_current(name)
    async with Schedule(settings, tmp_path / "config.yaml") as schedule:
        found = await until(lambda: last(schedule), 240)
    assert (found["outcome"], found["exit_code"]) == ("failed", 3)
    assert found["verdict"].startswith("error: ")
    assert Versions(tmp_path / "models").current() == name


API = """
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from model.schedule import Schedule
from utils.config import load_settings
folder = Path(__file__).parent
@asynccontextmanager
async def lifespan():
    settings = load_settings(folder / "config.yaml", env={}).settings
    program = (sys.executable, str(folder / "train.py"))
    async with Schedule(settings, folder / "config.yaml", program=program, pulse_s=0.1):
        yield
async def app(scope, receive, send):
    async with lifespan():
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})
"""


@pytest.fixture
def uvicorn(tmp_path):
    """`uvicorn` with these flags, whose workers train by themselves; ended with the test."""
    begun = []

    def begin(text, *flags):
        settings_of(tmp_path)
        program(tmp_path, text)
        (tmp_path / "toy.py").write_text(API)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [sys.executable, "-m", "uvicorn", "toy:app", "--port", str(port), "--log-level", "warning", *flags]
        with (tmp_path / "said").open("wb") as out:
            begun.append(subprocess.Popen(words, cwd=tmp_path, stdout=out, stderr=out, start_new_session=True))
        return begun[-1]

    yield begin
    for one in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()


def child_of(runs, attempt=1):
    return next((run.child.pid for run in runs.read() if run.child and run.attempt == attempt), None)


@pytest.mark.slow
async def test_of_several_workers_one_trains_and_sigterm_ends_it_with_them(tmp_path, uvicorn):
    api = uvicorn(LONG, "--workers", "3")
    runs = Runs(tmp_path / "models")
    pid = await until(lambda: child_of(runs), 60)
    await asyncio.sleep(5)  # all have looked
    assert len(runs.read()) == 1
    api.terminate()
    assert api.wait(30) in {0, -15}
    assert [run.outcome for run in runs.read()] == ["stopped"]
    assert not running(pid)
    assert b"Traceback" not in (tmp_path / "said").read_bytes()


@pytest.mark.slow
async def test_reloaded_over_and_over_it_starts_no_run_after_run(tmp_path, uvicorn):
    uvicorn(LONG, "--reload", "--reload-dir", str(tmp_path), "--reload-include", "toy.py")
    runs = Runs(tmp_path / "models")
    pid = await until(lambda: child_of(runs), 60)
    for k in range(3):
        await asyncio.sleep(3)
        (tmp_path / "toy.py").write_text(f"{API}\n# {k}\n")
    await until(lambda: not running(pid), 60)
    await asyncio.sleep(3)
    assert [(run.attempt, run.outcome) for run in runs.read()] == [(1, "stopped")]


@pytest.mark.slow
async def test_kill_9_of_a_whole_api_leaves_no_training_behind(tmp_path, uvicorn):
    api = uvicorn(LONG)
    runs = Runs(tmp_path / "models")
    pid = await until(lambda: child_of(runs), 60)
    api.kill()
    api.wait()
    await until(lambda: not running(pid))
    assert [run.outcome for run in runs.look()] == ["killed"]
