"""What is no regular file is told by its kind before anything opens it."""

import os
import socket
from pathlib import Path

import pytest

from utils.errors import DataError
from utils.regular import size_of


def test_a_regular_file_is_as_long_as_it_is(tmp_path):
    (tmp_path / "three").write_bytes(b"abc")
    assert 3 == size_of(tmp_path / "three")


def test_what_is_no_regular_file_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(tmp_path / "ear"))
        for path, says in (
            (tmp_path / "pipe.csv", "seen a pipe, which may never end"),
            ("/dev/zero", "seen a device, which may never end"),
            (tmp_path / "ear", "seen a socket"),
            (tmp_path, "seen a directory"),
            (f"{tmp_path}/a\0b", "seen one with a NUL"),
            (tmp_path / "none", "seen none"),
            (tmp_path / "pipe.cvs", r"did you mean pipe\.csv"),
        ):
            with pytest.raises(DataError, match=says):
                size_of(Path(path))
