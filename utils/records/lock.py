"""One at a time: who comes second is told at once, and a process that was killed is in nobody's way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from utils.disk import PLAIN, lock, not_plain, written
from utils.errors import StorageError

#: The file that is locked; it stays, as one that came and went could be locked by two.
FILE = ".training.lock"
#: Says to the second that there is a first.
REFUSAL = "expected no other {what} at work"


@contextmanager
def only_one(folder: Path, what: str = "training") -> Iterator[None]:
    """Be the only one at work in a folder. The lock ends with the process, however that ends.

    Where the disk knows no locks nobody is kept out.

    Args:
        folder: where; made if absent.
        what: is done there, as it is said to the second.

    Raises:
        StorageError: another is at it, or the place cannot be written to.
    """
    path = Path(folder) / FILE
    with written(path, "a place", f"the {what} was not begun", "name another folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if seen := not_plain(path):
            raise StorageError(f"{path}: expected a file, saw {seen}; move it away")
        opened = os.open(path, os.O_RDWR | os.O_CREAT | PLAIN, 0o666)
    try:
        with written(path, "a place", f"the {what} was not begun", "name another folder"):
            try:
                lock(opened)
            except BlockingIOError:
                who = os.read(opened, 100).decode("ascii", "replace").strip() or "another process"
                raise StorageError(
                    f"{folder}: {REFUSAL.format(what=what)}, saw {who}; let it end, or end it, and do this again"
                ) from None
            os.ftruncate(opened, 0)
            os.write(opened, f"process {os.getpid()} since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n".encode())
        yield
    finally:
        os.close(opened)


def is_refusal(sentence: str, what: str = "training") -> bool:
    """Whether a sentence says that another was at it."""
    return REFUSAL.format(what=what) in sentence
