"""The second ends with a sentence at once; a killed one is in nobody's way."""

import os
import re
import resource
import signal
import time
from multiprocessing import get_context

import pytest

from utils.errors import StorageError
from utils.records.lock import FILE, only_one


def test_the_second_is_told_at_once_who_is_at_work_and_since_when(tmp_path):
    with only_one(tmp_path / "new", "retrain"):
        began = time.monotonic()
        with pytest.raises(StorageError) as caught, only_one(tmp_path / "new", "retrain"):
            pass
        assert time.monotonic() - began < 1.0
    said = rf"new: expected no other retrain at work, saw process {os.getpid()} since 20\S+Z; let it end, or end it"
    assert re.search(said, str(caught.value))


def test_one_after_the_other_is_one_at_a_time(tmp_path):
    for _ in range(2):
        with only_one(tmp_path):
            pass
    with pytest.raises(ZeroDivisionError), only_one(tmp_path):
        raise ZeroDivisionError
    with only_one(tmp_path):
        pass


def test_a_process_that_was_killed_is_in_nobodys_way(tmp_path):
    read, write = os.pipe()
    if not (pid := os.fork()):
        with only_one(tmp_path):
            os.write(write, b".")
            signal.pause()
    os.read(read, 1)
    with pytest.raises(StorageError, match=f"saw process {pid} since"), only_one(tmp_path):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with only_one(tmp_path):
        pass


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("x"), os.mkfifo])
def test_what_is_no_file_is_said_in_a_sentence(tmp_path, make):
    make(tmp_path / FILE)
    with pytest.raises(StorageError, match="expected a file, saw a "), only_one(tmp_path):
        pass


def test_a_file_in_the_place_of_the_folder_is_said_in_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="expected a place that this user may write to"), only_one(tmp_path / "file"):
        pass


def _on_a_full_disk(folder):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        with only_one(folder):
            os._exit(0)
    except StorageError as error:
        os._exit(7 if "the disk is full, the training was not begun" in str(error) else 8)


def test_a_full_disk_is_said_in_a_sentence(tmp_path):
    job = get_context("fork").Process(target=_on_a_full_disk, args=(tmp_path,))
    job.start()
    job.join()
    assert 7 == job.exitcode
