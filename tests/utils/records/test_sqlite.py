"""A live run's journal: log files grow beside it, a kill loses nothing, one process keeps it, and it goes on."""

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.journal import META, moment
from tests.places import ROOT
from utils import kpis
from utils.errors import DataError, StorageError
from utils.records.database import JOURNAL, read_rows, read_told, reading
from utils.records.files import FILES, TABLES, FileJournal, csv_text
from utils.records.names import tables_in_words
from utils.records.reader import START, read_log, tail
from utils.records.sqlite import LOCK, Growing, SqliteJournal, unfinished

#: Commits moments of a run, begun or gone on with, until it is killed; says its process and what was committed. Each
#: line read starts another one, forked where the modules are loaded already.
WRITERS = """
import os, sys; from pathlib import Path; from tests.journal import META, moment; from utils.records.sqlite import *
logs, name = Path(sys.argv[1]), sys.argv[2] or None
def write():
    going_on = unfinished(logs)
    journal = SqliteJournal.resume(going_on[0])[0] if going_on else SqliteJournal.begin(logs, name, META)
    number = read_told(journal.home / JOURNAL).seq
    print(os.getpid(), number, flush=True)
    while True:
        number += 1
        assert number == journal.commit(moment(number))
        print(os.getpid(), number, flush=True)
while sys.stdin.readline():
    child = os.fork()
    if not child:
        write()
    os.waitpid(child, 0)
    print(child, "ended", flush=True)
"""


class Writers:
    """Writers of one run, one after the other."""

    def __init__(self, logs, name="", **options):
        command = [sys.executable, "-c", WRITERS, logs, name]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self._parent = subprocess.Popen(command, cwd=ROOT, **pipes, text=True, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.errors = self._parent.communicate()[1]

    def begin(self):
        """Another writer; the number of the last moment that it found."""
        self._parent.stdin.write("\n")
        self._parent.stdin.flush()
        self._child, said = self._parent.stdout.readline().split()
        return int(said)

    def committed(self):
        """The number of the next moment that it committed; None once it has ended."""
        said = self._parent.stdout.readline().split()[1]
        return None if said == "ended" else int(said)

    def kill(self):
        """Kill it; the numbers that it still said."""
        os.kill(int(self._child), signal.SIGKILL)
        return list(iter(self.committed, None))


def expected(number):
    """The log files after so many moments, made at once."""
    rows = [moment(k).rows for k in range(1, number + 1)]
    every = {name: np.concatenate([one[name] for one in rows]) for name in rows[0]}
    every["fills"] = every["fills"][np.lexsort((every["fills"]["fill_id"], every["fills"]["ts"]))]
    return {table: csv_text(columns) for table, columns in tables_in_words(every, META.words).items()}


def texts(folder):
    return {table: (folder / f"{table}.csv").read_text() for table in TABLES}


@pytest.mark.parametrize("name", [None, "now"])
def test_log_files_grow_with_every_moment_in_the_runs_folder_and_in_the_logs_directory(tmp_path, name):
    with SqliteJournal.begin(tmp_path, name, META) as journal:
        for number in range(1, 30):
            journal.commit(moment(number))
            assert expected(number) == texts(journal.home) == texts(tmp_path)
        run = json.loads((tmp_path / "run.json").read_text())
        assert (False, tmp_path / run["journal"]) == (run["finished"], journal.home / JOURNAL)
    assert expected(29) == texts(journal.home) == texts(tmp_path)


def test_what_a_reader_sees_of_a_run_that_goes_on_is_what_was_committed(tmp_path):
    with SqliteJournal.begin(tmp_path, "now", META) as journal:
        for number in range(1, 8):
            journal.commit(moment(number))
            for source in (tmp_path, tmp_path / "trades.csv", journal.home, journal.home / JOURNAL):
                log = read_log(source)
                assert (number, 10_000.0) == (len(log.trades["net_pnl"]), log.initial_capital)
                assert (number, 2 * number) == (len(log.orders["qty"]), len(log.fills["qty"]))
                assert number == kpis.trade_count(source)
            assert 10_000.0 + number == kpis.final_balance(tmp_path)


def test_figures_do_not_change_when_the_run_is_over(tmp_path):
    with SqliteJournal.begin(tmp_path, "now", META) as journal:
        for number in range(1, 8):
            journal.commit(moment(number))
        before = kpis.evaluate(tmp_path)
        journal.finish({"initial_capital": META.capital})
    after = {source: kpis.evaluate(source) for source in (tmp_path, journal.home, journal.home / JOURNAL)}
    for figures in after.values():
        assert before == pytest.approx(figures, nan_ok=True)


def test_tail_gives_what_came_after_a_mark_and_all_of_it_once_the_run_is_over(tmp_path):
    with SqliteJournal.begin(tmp_path, "now", META) as journal:
        journal.commit(moment(1))
        first = tail(tmp_path)
        assert (True, False, 1, ["1"]) == (
            first.whole,
            first.finished,
            first.mark.seq,
            list(first.tables["trades"]["trade_id"]),
        )
        nothing = tail(tmp_path, first.mark)
        assert (False, first.mark, 0) == (nothing.whole, nothing.mark, len(nothing.tables["trades"]["trade_id"]))
        for number in (2, 3):
            journal.commit(moment(number))
        second = tail(journal.home / JOURNAL, first.mark)
        assert (False, 3, ["2", "3"]) == (second.whole, second.mark.seq, list(second.tables["trades"]["trade_id"]))
        joined = np.concatenate([one.tables["trades"]["equity_after"] for one in (first, second)])
        assert pd.read_csv(tmp_path / "trades.csv").equity_after.tolist() == joined.tolist()
        journal.finish({"initial_capital": META.capital})
    last = tail(tmp_path, second.mark)
    assert (True, True, ["1", "2", "3"]) == (last.whole, last.finished, list(last.tables["trades"]["trade_id"]))
    assert not tail(tmp_path, last.mark).whole
    with FileJournal(tmp_path, None, META.words) as another:
        another.commit(moment(9))
        another.finish({"started": "2024"})
    assert (True, ["9"]) == (
        tail(tmp_path, last.mark).whole,
        list(tail(tmp_path, last.mark).tables["trades"]["trade_id"]),
    )


def test_a_run_that_goes_on_knows_what_it_was(tmp_path):
    with SqliteJournal.begin(tmp_path, "now", META) as journal:
        for number in (1, 2, 3):
            journal.commit(moment(number))
    again, recovery = SqliteJournal.resume(unfinished(tmp_path)[0])
    with again:
        assert (3, moment(3).state) == (recovery.seq, recovery.state)
        assert tuple(moment(number).ts for number in (1, 2, 3)) == recovery.times
        for number, inputs in enumerate(recovery.inputs, 1):
            assert {name: values.tobytes() for name, values in moment(number).inputs.items()} == {
                name: values.tobytes() for name, values in inputs.items()
            }
        assert [1, 2, 3] == recovery.rows["trades"]["entry_no"].tolist()
        assert META.settings == recovery.meta.settings
        assert 4 == again.commit(moment(4))
        assert expected(4) == texts(again.home) == texts(tmp_path)
        again.finish({})
    assert [] == unfinished(tmp_path)
    with pytest.raises(DataError, match="this run is finished, and nothing can follow"):
        SqliteJournal.resume(again.home)


@pytest.mark.parametrize("left", [b"", b"trade_id,sym", None])
def test_log_files_that_were_left_behind_are_mended(tmp_path, left):
    with SqliteJournal.begin(tmp_path, None, META) as journal:
        for number in (1, 2, 3):
            journal.commit(moment(number))
    for table in TABLES:
        path = tmp_path / f"{table}.csv"
        path.write_bytes(path.read_bytes()[:-40] if left is None else left)
    (tmp_path / "run.json").unlink()
    with SqliteJournal.resume(tmp_path)[0] as again:
        assert expected(3) == texts(tmp_path)
        again.commit(moment(4))
        assert expected(4) == texts(tmp_path)


@pytest.mark.slow
def test_a_run_that_was_killed_30_times_lost_nothing_and_cut_no_line(tmp_path):
    dice = random.Random(9)
    home, said = tmp_path / "runs" / "now", 0
    with Writers(tmp_path, "now") as writers:
        for _ in range(30):
            began = writers.begin()
            assert said <= began <= said + 1
            said = began
            while said < began + dice.choice([0, 1, 1, 3, 9]):
                said = writers.committed()
            time.sleep(dice.random() * 0.004)
            said = max([said, *writers.kill()])
            told, rows, _ = read_rows(home / JOURNAL)
            assert said <= told.seq <= said + 1
            assert list(range(1, told.seq + 1)) == rows["trades"]["entry_no"].tolist()
            if (home / "run.json").exists():  # else killed before its first moment could be shown
                wanted = expected(told.seq)
                for table, text in texts(home).items():
                    assert text.endswith("\n")
                    assert wanted[table].startswith(text)
    with SqliteJournal.resume(home)[0] as last:
        assert expected(told.seq) == texts(tmp_path)
        last.finish({})
    assert told.seq > 30
    assert [] == list(tmp_path.rglob("*.sqlite-*"))


def test_readers_see_whole_moments_while_the_writer_writes_is_killed_and_goes_on(tmp_path):
    ended = threading.Event()
    wrong, seen = [], []

    def read():
        mark, numbers = START, []
        while not ended.is_set():
            try:
                batch = tail(tmp_path, mark)
            except DataError as error:
                if seen:
                    wrong.append(error)
                continue
            new = [int(number) for number in batch.tables["trades"]["trade_id"]]
            numbers, mark = (new if batch.whole else numbers + new), batch.mark
            seen.append(len(numbers))
            if numbers != list(range(1, mark.seq + 1)) or 2 * len(new) != len(batch.tables["fills"]["qty"]):
                wrong.append((mark, numbers))

    reader = threading.Thread(target=read)
    reader.start()
    with Writers(tmp_path) as writers:
        for _ in range(5):
            said = writers.begin()
            until = said + 20
            while said < until:
                said = writers.committed()
            writers.kill()
    ended.set()
    reader.join()
    assert [] == wrong
    assert len(set(seen)) > 20


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path):
    with Writers(tmp_path, "now") as writers:
        writers.begin()
        writers.committed()
        (home,) = unfinished(tmp_path)
        with pytest.raises(StorageError, match="another process keeps the journal of a run here; end it"):
            SqliteJournal.resume(home)
        with pytest.raises(StorageError, match="another process keeps the journal"):
            SqliteJournal.begin(home, None, META)
        writers.kill()
    with SqliteJournal.resume(home)[0] as again, pytest.raises(StorageError, match="another process keeps the journal"):
        SqliteJournal.resume(again.home)


def test_a_run_in_the_way_moves_to_a_folder_of_its_own(tmp_path):
    with SqliteJournal.begin(tmp_path, None, META) as first:
        first.commit(moment(1))
    with SqliteJournal.begin(tmp_path, None, META) as second:
        second.commit(moment(2))
        aside = tmp_path / "runs" / "20240101T000000Z"
        assert [aside, tmp_path] == sorted(unfinished(tmp_path), reverse=True)
        assert expected(1) == texts(aside)
        second.finish({})
    assert 1 == kpis.trade_count(aside)
    assert [1] == read_rows(aside / JOURNAL)[1]["trades"]["entry_no"].tolist()
    with SqliteJournal.resume(aside)[0] as again:
        again.commit(moment(2))
        assert expected(2) == texts(aside)


def test_a_run_in_the_way_whose_files_another_run_replaced_moves_without_them(tmp_path):
    with SqliteJournal.begin(tmp_path, None, META) as first:
        first.commit(moment(1))
    with FileJournal(tmp_path, None) as simulation:
        simulation.finish({})
    with SqliteJournal.begin(tmp_path, None, META):
        assert [JOURNAL] == [path.name for path in (tmp_path / "runs" / "20240101T000000Z").iterdir()]


def test_a_journal_that_was_only_begun_is_in_nobodys_way(tmp_path):
    (tmp_path / JOURNAL).touch()
    with SqliteJournal.begin(tmp_path, None, META) as journal:
        assert 1 == journal.commit(moment(1))
    assert not (tmp_path / "runs").exists()


def test_a_foreign_database_in_the_way_is_refused_and_left_alone(tmp_path):
    (tmp_path / JOURNAL).write_text("mine, not yours" * 100)
    with pytest.raises(DataError, match="saw another kind of file"):
        SqliteJournal.begin(tmp_path, None, META)
    assert "mine, not yours" * 100 == (tmp_path / JOURNAL).read_text()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this machine has no read-only file system to try")
@pytest.mark.parametrize("name", [None, "now"])
def test_a_read_only_place_is_said_before_the_run(name):
    with pytest.raises(StorageError, match=r"/proc/self/logs: expected a directory .* --logs-dir"):
        SqliteJournal.begin(Path("/proc/self/logs"), name, META)


def test_a_folder_in_the_place_of_the_journal_is_one_sentence(tmp_path):
    (tmp_path / LOCK).mkdir()
    with pytest.raises(StorageError, match="expected a place that this user may write to, saw 'unable to open"):
        SqliteJournal.begin(tmp_path, None, META)


def full_disk(size):
    """Forbids files longer than `size` bytes; runs in the child."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [150_000, 1_000_000])
def test_a_full_disk_is_one_sentence_and_loses_no_moment(tmp_path, size):
    with Writers(tmp_path, "now", preexec_fn=full_disk(size)) as writers:
        said = [writers.begin(), *iter(writers.committed, None)][-1]
    (last,) = re.findall(r"^utils\.errors\.StorageError: .*", writers.errors, re.MULTILINE)
    assert re.search(r"the disk did not take it|the disk is full|the log files cannot be written", last)
    journal = tmp_path / "runs" / "now" / JOURNAL
    assert said <= read_told(journal).seq <= said + 1
    for text in texts(journal.parent).values():
        assert text.endswith("\n")
    with SqliteJournal.resume(journal)[0] as again:
        seq = read_told(journal).seq
        assert seq + 1 == again.commit(moment(seq + 1))
        assert expected(seq + 1) == texts(again.home)


def test_a_log_file_that_fills_the_disk_ends_with_a_whole_line_and_the_moment_is_kept(tmp_path):
    question = (
        "import sys; from pathlib import Path; from utils.records.sqlite import *\n"
        "file = Growing(Path(sys.argv[1]))\n"
        "while True: file.append(b'0123456,89\\n' * 7)\n"
    )
    (tmp_path / "trades.csv").write_text("a,b\n")
    command = [sys.executable, "-c", question, tmp_path / "trades.csv"]
    ran = subprocess.run(command, cwd=ROOT, preexec_fn=full_disk(10_000), capture_output=True, text=True, check=False)
    assert "File too large" in ran.stderr
    assert "a,b\n" + "0123456,89\n" * 7 * (9_996 // 77) == (tmp_path / "trades.csv").read_text()


def test_lines_go_in_at_once(tmp_path):
    (tmp_path / "trades.csv").write_text("a,b\n")
    with closing(Growing(tmp_path / "trades.csv")) as file:
        file.append(b"1,2\n3,4\n")
        file.append(b"5,6\n")
    assert "a,b\n1,2\n3,4\n5,6\n" == (tmp_path / "trades.csv").read_text()


def test_log_files_that_cannot_be_written_stop_the_run_and_keep_the_moment(tmp_path):
    with SqliteJournal.begin(tmp_path, None, META) as journal:
        (tmp_path / "orders.csv").mkdir()
        with pytest.raises(StorageError, match=f"the log files cannot be written .* every moment is kept in {JOURNAL}"):
            journal.commit(moment(1))
        assert 1 == read_told(tmp_path / JOURNAL).seq
    (tmp_path / "orders.csv").rmdir()
    with SqliteJournal.resume(tmp_path)[0]:
        assert expected(1) == texts(tmp_path)


def test_a_disk_without_links_shows_the_run_in_its_folder_until_it_is_over(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "trades.csv").write_text("older\n")
    with SqliteJournal.begin(tmp_path, "now", META) as journal:
        journal.commit(moment(1))
        assert ("older\n", expected(1)) == ((tmp_path / "trades.csv").read_text(), texts(journal.home))
        journal.finish({})
    assert expected(1) == texts(tmp_path)


def test_the_end_of_a_run_that_cannot_be_written_can_be_tried_again(tmp_path):
    with SqliteJournal.begin(tmp_path, None, META) as journal:
        journal.commit(moment(1))
        (tmp_path / "run.json").unlink()
        (tmp_path / "run.json").mkdir()
        with pytest.raises(StorageError, match="the log files cannot be written"):
            journal.finish({})
        assert (expected(1), False) == (texts(tmp_path), read_told(tmp_path / JOURNAL).finished)
        (tmp_path / "run.json").rmdir()
        journal.finish({})
    assert read_told(tmp_path / JOURNAL).finished
    assert {*FILES, JOURNAL} == {path.name for path in tmp_path.iterdir()}


def test_a_journal_that_somebody_reads_can_be_closed_and_gone_on_with(tmp_path):
    with SqliteJournal.begin(tmp_path, None, META) as journal:
        journal.commit(moment(1))
        with reading(tmp_path / JOURNAL) as seen:
            journal.close()
            assert (1,) == seen.execute("SELECT count(*) FROM moments").fetchone()
    with SqliteJournal.resume(tmp_path)[0] as again:
        assert 2 == again.commit(moment(2))


def test_unfinished_runs_come_newest_first_and_what_is_none_is_passed_over(tmp_path):
    import dataclasses

    for name, started in (("a", 2), ("b", 3), ("c", 1)):
        with SqliteJournal.begin(tmp_path, name, dataclasses.replace(META, started=started)) as journal:
            journal.commit(moment(1))
    (tmp_path / "runs" / "d").mkdir()
    (tmp_path / "runs" / "d" / JOURNAL).write_text("x" * 1000)
    assert ["b", "a", "c"] == [path.name for path in unfinished(tmp_path)]
    assert [] == unfinished(tmp_path / "nowhere")
