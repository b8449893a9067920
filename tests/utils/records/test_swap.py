"""One run's files take the place of another's: killed anywhere, stuck anywhere, readers see one of the two, whole."""

import json
import os
import signal
import sys
import threading
import time
from functools import partial

import pytest

from tests.journal import META, moment
from utils.errors import StorageError
from utils.records.files import FILES, FileJournal, decision_hash_of
from utils.records.reader import read_log, tail
from utils.records.swap import LOCK, POINTER, Hidden, alone, replace_set, whole_set


def run(logs, moments, name=None):
    """A run of so many moments: each has one trade, and its capital tells whose run.json it is."""
    with FileJournal(logs, name, META.words) as journal:
        for number in range(moments):
            journal.commit(moment(number + 1))
        journal.finish({"initial_capital": float(moments), "started": str(moments)})


def hide(logs):
    Hidden(logs, FILES).close()


def told(logs):
    """Of how many moments each file is, as our readers see them."""
    log = read_log(logs / "trades.csv")
    assert len(tail(logs).tables["trades"]["qty"]) == len(log.trades["qty"])
    return {len(log.trades["qty"]), len(log.orders["qty"]), len(log.fills["qty"]) // 2, round(log.initial_capital)}


def seen_by_others(logs):
    """Of how many moments each file in the folder is, as any program sees it."""
    texts = {name: (logs / name).read_text() for name in FILES if (logs / name).exists()}
    lines = {"trades.csv": 1, "orders.csv": 1, "fills.csv": 2}  # of a moment
    of_run = {round(json.loads(texts["run.json"])["initial_capital"])} if "run.json" in texts else set()
    return of_run | {(text.count("\n") - 1) // lines[name] for name, text in texts.items() if name in lines}


def in_a_child(work, left):
    """Do `work` in a process that is killed before its move number `left`; whether it was."""
    if not (child := os.fork()):  # audit hooks see each move, and stay: hence a process of its own

        def deadly(what, _):
            nonlocal left
            if what in {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"}:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(deadly)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


@pytest.mark.slow
def test_a_writer_that_is_killed_anywhere_leaves_one_run_and_the_next_start_puts_it_in_its_place(tmp_path):
    run(tmp_path / "first", 1)
    killed, seen = 0, set()
    while True:
        logs = tmp_path / str(killed)
        run(logs, 1)
        if not in_a_child(partial(run, logs, 2, "now"), killed):
            break
        (whole,) = told(logs)
        assert len(seen_by_others(logs)) <= 1
        decided = decision_hash_of(logs)
        with FileJournal(logs, None):
            pass
        assert ({whole}, {whole}, decided) == (told(logs), seen_by_others(logs), decision_hash_of(logs))
        assert [] == [path.name for path in logs.iterdir() if path.name.startswith(".")]
        seen.add(whole)
        killed += 1
    assert (seen, killed > 2 * len(FILES)) == ({1, 2}, True)


@pytest.mark.slow
def test_a_writer_that_is_killed_while_it_finishes_for_another_leaves_that_run(tmp_path):
    for killed in range(12):
        logs = tmp_path / str(killed)
        run(logs, 1)
        assert in_a_child(partial(run, logs, 2), 10)
        assert {2} == told(logs)
        in_a_child(partial(hide, logs), killed)
        assert {2} == told(logs)
        run(logs, 3)
        assert ({3}, {3}) == (told(logs), seen_by_others(logs))


@pytest.mark.parametrize("stuck", range(3 * len(FILES)))
def test_a_move_that_fails_leaves_the_older_run(tmp_path, stuck, monkeypatch):
    run(tmp_path, 1)
    moves = {"left": stuck}

    def refusing(move):
        def refuse(*arguments):
            moves["left"] -= 1
            if moves["left"] == 0:
                raise PermissionError(13, "held open by a spreadsheet")
            return move(*arguments)

        return refuse

    with FileJournal(tmp_path, None, META.words) as journal:
        for number in (1, 2):
            journal.commit(moment(number))
        monkeypatch.setattr(os, "replace", refusing(os.replace))
        monkeypatch.setattr(os, "unlink", refusing(os.unlink))
        if 0 < stuck < 8:  # the pointer and six files aside; after them links, and then the pointer and the lock away
            with pytest.raises(StorageError, match=r"held open by a spreadsheet"):
                journal.finish({"initial_capital": 2.0})
        else:
            journal.finish({"initial_capital": 2.0})
        monkeypatch.undo()
    assert 1 == len(told(tmp_path))
    assert told(tmp_path) == seen_by_others(tmp_path)
    run(tmp_path, 3)
    assert {3} == told(tmp_path)


def test_a_disk_without_links_takes_copies(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "link", refuse)
    run(tmp_path, 1)
    run(tmp_path, 2)
    assert ({2}, {2}) == (told(tmp_path), seen_by_others(tmp_path))
    assert sorted(FILES) == sorted(path.name for path in tmp_path.iterdir())


def test_a_set_that_is_not_whole_is_not_taken(tmp_path):
    run(tmp_path, 1)
    with Hidden(tmp_path, FILES) as staged:
        with pytest.raises(FileNotFoundError, match=r"no file trades\.csv"):
            replace_set(staged, tmp_path, FILES)
        assert tmp_path == whole_set(tmp_path)
    assert {1} == told(tmp_path)


@pytest.mark.parametrize("text", ["", "..", "../elsewhere", ".partial-0123456789ab", "\0", "runs/x"])
def test_a_pointer_to_what_is_no_set_of_ours_is_not_followed(tmp_path, text):
    (tmp_path / "elsewhere").mkdir()
    logs = tmp_path / "logs"
    run(logs, 1)
    (logs / POINTER).write_text(text)
    assert (logs, {1}) == (whole_set(logs), told(logs))
    run(logs, 2)
    assert ({2}, False) == (told(logs), (logs / POINTER).exists())


@pytest.mark.parametrize("hours", [-48, 0, 1])
def test_a_lock_is_what_somebody_holds_whatever_its_time(tmp_path, hours):
    lock = tmp_path / LOCK
    lock.touch()
    stamp = time.time() + 3600 * hours
    os.utime(lock, (stamp, stamp))
    began = time.monotonic()
    run(tmp_path, 1)
    assert {1} == told(tmp_path)
    assert (time.monotonic() - began < 2.0, lock.exists()) == (True, False)


def test_the_lock_lets_one_in_at_a_time(tmp_path):
    inside, most = 0, 0
    counting = threading.Lock()

    def work():
        nonlocal inside, most
        for _ in range(20):
            with alone(tmp_path):
                with counting:
                    inside += 1
                    most = max(most, inside)
                with counting:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, (tmp_path / LOCK).exists()) == (1, False)


@pytest.mark.parametrize("hours", [-48, 0, 1])
def test_what_a_killed_writer_left_goes_and_what_a_living_one_has_stays(tmp_path, hours):
    with Hidden(tmp_path, FILES) as mine:
        left = tmp_path / ".partial-0123456789ab"
        left.mkdir()
        (left / "trades.csv").touch()
        for place in (mine, left):
            stamp = time.time() + 3600 * hours
            os.utime(place, (stamp, stamp))
        with Hidden(tmp_path, FILES) as other:
            assert (True, False, True) == (mine.exists(), left.exists(), other.exists())
    assert [] == list(tmp_path.iterdir())
