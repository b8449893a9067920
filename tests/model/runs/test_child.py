"""The process of a run: its command line, its words, its end."""

import asyncio
import os

import pytest

from model.runs.child import MOST_HEAD, MOST_TAIL, Child, Ended, Words, command_of
from tests.model.runs.made import program, running, settings_of, until


def test_a_recording_is_trained_on_as_the_file_it_is(tmp_path):
    settings = settings_of(tmp_path, "api:\n  source: tape:a folder/BTCUSDT-1m.csv\n")
    assert command_of(settings, None, tmp_path, ["train"]) == [
        *("train", "--take-bps", "25.0", "--stop-bps", "18.0", "--horizon", "20"),
        *("--out", str(tmp_path / "features.parquet"), "--data", "a folder/BTCUSDT-1m.csv"),
    ]


def test_the_last_line_is_the_verdict_and_of_a_failure_the_line_that_says_why():
    words = Words()
    words.hear(b"one\n", None)
    words.hear(b"error: it br", None)
    words.hear("oke ü\nbye\n\n".encode(), None)
    assert words.verdict(0) == "bye"
    assert words.verdict(1) == "error: it broke ü"
    assert Words().verdict(1) == ""


def test_a_log_keeps_beginning_and_end(tmp_path):
    words = Words()
    with (tmp_path / "log").open("wb", buffering=0) as file:
        for k in range(20_000):
            words.hear(f"line {k} {'x' * 90}\n".encode(), file)
        words.close(file)
    text = (tmp_path / "log").read_text()
    assert text.startswith("line 0 ")
    assert text.endswith(f"line 19999 {'x' * 90}\n")
    assert "bytes left out" in text
    assert len(text) < MOST_HEAD + 2 * MOST_TAIL
    assert words.verdict(0) == f"line 19999 {'x' * 90}"


def test_a_short_log_is_whole(tmp_path):
    words = Words()
    with (tmp_path / "log").open("wb", buffering=0) as file:
        words.hear(b"all of it\n", file)
        words.close(file)
    assert (tmp_path / "log").read_text() == "all of it\n"


def test_exit_codes_and_verdicts_are_outcomes():
    ends = [(0, "enabled: V serves"), (0, "not enabled: days"), (0, ""), (1, ""), (2, ""), (130, ""), (-9, "")]
    busy = "error: m: expected no other training at work, saw process 7 since then; let it end"
    assert [Ended(code, verdict, 0.0).outcome for code, verdict in ends] == [
        *("enabled", "not_enabled", "not_enabled", "failed", "failed", "stopped", "killed"),
    ]
    assert Ended(1, busy, 0.0).outcome == "refused"


@pytest.mark.parametrize("code", [-15, -9, 130])
@pytest.mark.parametrize(
    ("verdict", "outcome"), [("enabled: V serves", "enabled"), ("not enabled: days", "not_enabled")]
)
def test_a_training_that_was_done_when_it_was_ended_is_done(code, verdict, outcome):
    words = Words()
    words.hear(f"error: of a while ago\n{verdict}\n".encode(), None)
    if code == 130:
        words.hear(b"stopped by SIGTERM; no file is half-written\n", None)
    assert (words.verdict(code), Ended(code, words.verdict(code), 0.0).outcome) == (verdict, outcome)


@pytest.mark.parametrize(("code", "outcome"), [(-15, "killed"), (130, "stopped"), (1, "failed"), (3, "failed")])
def test_a_training_that_was_not_done_is_not(code, outcome):
    words = Words()
    words.hear(b"not enabled: said by another, long ago\nbuilding\nhalf of it\n", None)
    assert Ended(code, words.verdict(code), 0.0).outcome == outcome


async def test_what_it_began_and_left_ends_with_it_and_holds_nobody_up(tmp_path):
    text = """
        import subprocess
        print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
    """
    child = Child(program(tmp_path, text), tmp_path / "log")
    ended = await asyncio.wait_for(child.ended(), 30)
    assert ended.exit_code == 0
    await until(lambda: not running(int(ended.verdict)))


async def test_a_log_that_cannot_be_written_does_not_end_it(tmp_path):
    child = Child(program(tmp_path, "print('done')"), tmp_path / "no" / "log")
    ended = await child.ended()
    assert (ended.exit_code, ended.verdict) == (0, "done")


async def test_told_to_end_it_ends(tmp_path):
    child = Child(program(tmp_path, "print('x', flush=True); time.sleep(600)"), tmp_path / "log")
    waiting = asyncio.create_task(child.ended())
    await until(lambda: (tmp_path / "log").is_file() and (tmp_path / "log").read_bytes())
    await child.stop()
    ended = await waiting
    assert ended.exit_code == -15
    assert not running(child.pid)
    await child.stop()  # twice does no harm


async def test_its_number_is_that_of_the_training_itself(tmp_path):
    child = Child(program(tmp_path, "print(os.getpid(), os.getppid())"), tmp_path / "log")
    assert (await child.ended()).verdict == f"{child.pid} {os.getpid()}"
