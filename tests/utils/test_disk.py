"""Files that are whole or as they were, locks, and what stands where a file should."""

import errno
import os
import signal

import pytest

from utils.disk import held, is_same, not_plain, put, stage, written
from utils.errors import StorageError


def test_a_file_is_put_in_the_place_of_another_and_leaves_nothing_beside(tmp_path):
    for data in (b"one", b"two"):
        put(tmp_path / "file", data)
        assert [data] == [path.read_bytes() for path in tmp_path.iterdir()]


def test_a_file_that_cannot_be_put_leaves_the_other_as_it_was(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        put(tmp_path / "file", b"one")
    assert ["file"] == [path.name for path in tmp_path.iterdir()]


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path):
    stage(tmp_path, ".file.0123456789ab.partial", b"half")
    stage(tmp_path, ".other.0123456789ab.partial", b"half")
    put(tmp_path / "file", b"one")
    assert {"file", ".other.0123456789ab.partial"} == {path.name for path in tmp_path.iterdir()}


def test_a_lock_is_had_by_one_and_ends_with_its_process(tmp_path):
    path = tmp_path / "lock"
    read, write = os.pipe()
    if not (pid := os.fork()):
        assert held(path, os.O_CREAT | os.O_RDONLY) is not None
        os.write(write, b".")
        signal.pause()
    os.read(read, 1)
    with pytest.raises(BlockingIOError):
        held(path)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    opened = held(path)
    assert opened is not None
    assert is_same(path, opened)
    path.unlink()
    assert not is_same(path, opened)
    os.close(opened)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (str, ""),
        (lambda path: path.touch(), ""),
        (lambda path: path.mkdir(), "a directory"),
        (lambda path: path.symlink_to("nowhere"), "a link"),
        (os.mkfifo, "a pipe"),
    ],
)
def test_what_stands_where_a_file_should_is_said_in_words(tmp_path, make, said):
    make(tmp_path / "there")
    assert said == not_plain(tmp_path / "there")


def test_a_device_and_a_file_in_the_place_of_a_folder_are_no_places(tmp_path):
    (tmp_path / "file").touch()
    assert "a device" == not_plain(type(tmp_path)(os.devnull))
    assert "a file where a folder should be" == not_plain(tmp_path / "file" / "more")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "full"), "x: the disk is full, none was kept; free some space or name another"),
        (PermissionError(errno.EACCES, "no"), "x: expected a file that this user may write to, saw 'no'; change that"),
        (FileExistsError(errno.EEXIST, "is"), "saw 'a file in its place'; change that or name another"),
    ],
)
def test_a_refusal_of_the_machine_is_a_sentence(tmp_path, error, said):
    with pytest.raises(StorageError) as caught, written(tmp_path / "x", "a file", "none was kept", "name another"):
        raise error
    assert said in str(caught.value)
