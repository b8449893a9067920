"""A file that only grows: killed anywhere, filled to the brim, written by two, tampered with."""

import json
import math
import os
import random
import resource
import signal
import time
from multiprocessing import get_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.errors import DataError, StorageError
from utils.records.chain import MOST_LINE, NOTHING, Chain, digest, whole_lines


@pytest.fixture
def chain(tmp_path):
    return Chain(tmp_path / "new" / "rows.jsonl", patience_s=0.2)


def lines(chain):
    return [json.loads(line) for line in chain.path.read_bytes().splitlines()]


def test_rows_come_back_as_they_were_added_and_are_numbered(chain):
    assert [] == chain.read()
    assert [1, 2] == [chain.append({"a": 1, "b": [1.5, None, "ü\n"]}), chain.append({})]
    assert [{"a": 1, "b": [1.5, None, "ü\n"]}, {}] == chain.read()


def test_each_line_holds_the_hash_of_the_one_before(chain):
    for number in range(3):
        chain.append({"n": number})
    texts = chain.path.read_bytes().splitlines()
    assert [NOTHING, digest(texts[0]), digest(texts[1])] == [line["before"] for line in lines(chain)]
    assert [1, 2, 3] == [line["seq"] for line in lines(chain)]


def test_what_json_has_no_number_for_is_null(chain):
    chain.append({"nan": math.nan, "inf": [math.inf]})
    assert [{"nan": None, "inf": [None]}] == chain.read()


def test_rows_chosen_by_those_there_are_written_together(chain):
    chain.append({"n": 0})
    assert 2 == chain.extend(lambda rows: [{"n": len(rows)}, {"n": 7}])
    assert 0 == chain.extend(lambda rows: rows[:0])
    assert [{"n": 0}, {"n": 1}, {"n": 7}] == chain.read()


@given(cut=st.integers(1, 200))
def test_what_is_left_of_a_cut_line_is_no_row_and_goes_with_the_next(tmp_path_factory, cut):
    chain = Chain(tmp_path_factory.mktemp("cut") / "rows")
    chain.append({"n": 0})
    whole = chain.path.stat().st_size
    chain.append({"n": 1, "long": "x" * 200})
    os.truncate(chain.path, min(whole + cut, chain.path.stat().st_size - 1))
    assert [{"n": 0}] == chain.read()
    assert 2 == chain.append({"n": 2})
    assert [{"n": 0}, {"n": 2}] == chain.read()


@pytest.mark.parametrize("left", [b"\0" * 100, b'{"seq"\0\0\0}\n', b"{", b"x" * 3000])
def test_what_a_power_cut_leaves_of_a_line_is_no_row(chain, left):
    chain.append({"n": 0})
    with chain.path.open("ab") as file:
        file.write(left)
    assert [{"n": 0}] == chain.read()
    chain.append({"n": 1})
    assert [{"n": 0}, {"n": 1}] == chain.read()


def test_a_file_that_was_cut_within_its_first_line_begins_anew(chain):
    chain.path.parent.mkdir()
    chain.path.write_bytes(b'{"seq":1,"bef')
    assert [] == chain.read()
    assert 1 == chain.append({"n": 1})
    assert [{"n": 1}] == chain.read()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda texts: [texts[0].replace(b'"n":0', b'"n":9'), *texts[1:]], 2),
        (lambda texts: [texts[0], texts[2]], 2),
        (lambda texts: [texts[1], texts[0], texts[2]], 1),
        (lambda texts: [texts[0], b"not ours", texts[2]], 2),
        (lambda texts: [texts[0], b"[" * 100_000, texts[2]], 2),
        (lambda texts: [texts[0], b'{"seq":2,"before":"","row":NaN}', texts[2]], 2),
        (lambda texts: [texts[0], b"", *texts[1:]], 2),
        (lambda texts: [b"\xef\xbb\xbf" + texts[0], *texts[1:]], 2),
        (lambda texts: texts[1:], 1),
    ],
)
def test_a_change_in_the_middle_is_refused_and_names_its_line(chain, change, line):
    for number in range(3):
        chain.append({"n": number})
    chain.path.write_bytes(b"\n".join([*change(chain.path.read_bytes().splitlines()), b""]))
    with pytest.raises(DataError, match=f"rows.jsonl line {line}: expected line {line} as it was written, saw "):
        chain.read()


@pytest.mark.parametrize("text", [b"time,open\n1,2\n", b'{"seq":1}\n', b"\n", b'{"seq":true,"before":"","row":{}}\n'])
def test_nothing_is_added_to_a_file_of_another(chain, text):
    chain.path.parent.mkdir()
    chain.path.write_bytes(text)
    with pytest.raises(DataError, match=r"rows\.jsonl line 1: expected line 1 as it was written, saw "):
        chain.append({"n": 1})
    assert text == chain.path.read_bytes()


def test_nothing_is_added_behind_a_last_line_that_was_changed(chain):
    for number in range(2):
        chain.append({"n": number})
    chain.path.write_bytes(chain.path.read_bytes().replace(b'"n":0', b'"n":5'))
    with pytest.raises(DataError, match="line 2: expected line 2 as it was written, saw another hash"):
        chain.append({"n": 2})


def test_the_longest_rows_are_added_and_longer_ones_refused(chain):
    room = MOST_LINE - 200
    for _ in range(4):
        chain.append({"x": "y" * room})
    with chain.path.open("ab") as file:
        file.write(b"z" * room)
    assert 5 == chain.append({"x": "y" * room})
    assert 5 == len(chain.read())
    with pytest.raises(DataError, match="expected a row of at most 1 MiB"):
        chain.append({"x": "y" * MOST_LINE})
    assert 5 == len(chain.read())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "a directory"),
        (os.mkfifo, "a pipe"),
        (lambda path: path.symlink_to(path.with_name("other")), "a link"),
    ],
)
def test_what_is_no_file_is_said_in_a_sentence(tmp_path, make, said):
    make(tmp_path / "rows")
    for ask in (Chain(tmp_path / "rows").read, lambda: Chain(tmp_path / "rows").append({})):
        with pytest.raises(DataError, match=f"rows: expected a file, saw {said}; move it away or name another file"):
            ask()


def test_a_file_in_the_place_of_the_folder_is_said_in_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="expected a file, saw a file where a folder should be"):
        Chain(tmp_path / "file" / "rows").append({})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_not_be_written_is_said_in_a_sentence(chain):
    chain.append({"n": 0})
    chain.path.chmod(0o444)
    with pytest.raises(StorageError, match="expected a file that this user may write to, saw 'Permission denied'"):
        chain.append({"n": 1})


def test_who_waits_too_long_for_another_is_told(chain):
    chain.append({"n": 0})
    with chain._opened(os.O_RDWR), pytest.raises(StorageError, match=r"another process has held the file for 0\.2 sec"):
        chain.append({"n": 1})


def test_a_file_that_was_replaced_while_it_was_waited_for_is_opened_again(chain):
    chain.append({"n": 0})
    chain._patience_s = 30.0
    with get_context("fork").Pool(1) as pool, chain._opened(os.O_RDWR):
        asked = pool.apply_async(chain.append, ({"n": 1},))
        time.sleep(0.1)
        chain.path.rename(chain.path.with_name("moved"))
        chain.path.touch()
        assert 1 == asked.get(30)
    assert [{"n": 1}] == chain.read()


def _adds(path, who, rows):
    for number in range(rows):
        Chain(path, patience_s=60).append({"who": who, "n": number})


def test_two_processes_add_their_rows_each_whole_and_in_its_order(tmp_path):
    path = tmp_path / "rows"
    jobs = [get_context("fork").Process(target=_adds, args=(path, who, 50)) for who in (0, 1)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    rows = Chain(path).read()
    assert [[{"who": who, "n": n} for n in range(50)] for who in (0, 1)] == [
        [row for row in rows if row["who"] == who] for who in (0, 1)
    ]


@pytest.mark.slow
def test_killed_at_random_moments_the_rows_are_whole_and_those_that_were_told_are_there(tmp_path):
    dice = random.Random(1)
    chain, told = Chain(tmp_path / "rows"), 3
    began = time.monotonic()
    for _ in range(3):
        chain.append({})
    each = (time.monotonic() - began) / 3
    for _ in range(30):
        read, write = os.pipe()
        if not (pid := os.fork()):
            while True:
                number = chain.append({"x": "y" * dice.randrange(20_000)})
                os.write(write, number.to_bytes(8, "big"))
        os.close(write)
        time.sleep(dice.random() * 5 * each)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with os.fdopen(read, "rb") as pipe:
            said = pipe.read()
        told = max(told, int.from_bytes(said[-8:], "big"))
        there = len(chain.read())
        assert told <= there <= told + 1
        told = there
    assert told > 10


def _fills(path, limit):
    """Adds rows under a limit of the file's size; exits with the number of those that were told, or 255."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    number = 0
    try:
        while True:
            number = Chain(path).append({"x": "y" * 100})
    except StorageError as error:
        os._exit(number if "the disk is full, nothing was added and what stood there is whole" in str(error) else 255)


@pytest.mark.parametrize("limit", [1, 200, 1000, 1999, 5000])
def test_a_full_disk_adds_nothing_and_what_stood_there_is_whole(tmp_path, limit):
    path = tmp_path / "rows"
    job = get_context("fork").Process(target=_fills, args=(path, limit))
    job.start()
    job.join()
    assert job.exitcode == len(Chain(path).read()) == len(whole_lines(path.read_bytes()))
    assert path.read_bytes()[-1:] in {b"", b"\n"}
    Chain(path).append({"n": 1})
    assert {"n": 1} == Chain(path).read()[-1]
