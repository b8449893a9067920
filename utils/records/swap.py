"""The log files of one run take the place of another's: readers see the one or the other, whole, at every moment.

A set is written to a hidden directory, beside the place it is for. While its files take their places, a pointer beside
them names that directory: from the rename that puts the pointer there the new set counts, and our readers read it where
it was written. When all files are in place the pointer goes. A writer that is killed on the way leaves the pointer, and
the next one goes on from there; what cannot be moved brings the older files back, and then the pointer goes.

Other programs see files alone: those of one run, or for a moment, and after a kill until the next start, fewer of them,
for the older ones go aside before the new ones come.

Who is alive is told by locks that end with their process, never by the time of a file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from utils.disk import held, is_same
from utils.errors import StorageError

#: Held while the log files are replaced; names the set that counts while they are.
LOCK, POINTER = ".lock", ".swap"
#: How patiently the lock is tried for, seconds.
LOCK_TRIES, LOCK_PAUSE_S = 500, 0.01
#: What is said to whoever waited for it in vain.
BUSY = (
    "other runs have held the log files for {seconds:g} seconds; the run is kept under runs/ if it has a place there, "
    "else run again with another --logs-dir"
)
#: The name of a hidden directory.
_HIDDEN = re.compile(r"\.partial-[0-9a-f]{12}")


class Hidden:
    """A new directory that nobody looks into, below `folder`, which is made if absent; gone when closed.

    What killed writers left there is put in its place, if it was whole and on its way, or removed.

    Args:
        folder: where.
        files: names of the files of a set; none = the directory itself is to be moved to its place.
        busy: see `alone`.

    Raises:
        OSError: it cannot be made.
        StorageError: others have held the place for too long.
    """

    def __init__(self, folder: Path, files: Sequence[str], busy: str = BUSY) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        with alone(folder, busy):
            _clear(folder, files)
            self.path = folder / f".partial-{uuid.uuid4().hex[:12]}"
            self.path.mkdir()
            self._held = held(self.path)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove it, unless it is the set that counts; then the next writer finishes."""
        if _pointed(self._folder) != self.path.name:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._held is not None:
            os.close(self._held)
            self._held = None


@contextmanager
def alone(folder: Path, busy: str = BUSY) -> Iterator[None]:
    """Be the only one that replaces files in a folder, as far as the disk knows locks.

    Args:
        folder: where.
        busy: what is said when others hold it for too long, with their `seconds`.

    Raises:
        StorageError: others have held it for too long.
    """
    lock = folder / LOCK
    for _ in range(LOCK_TRIES):
        try:
            opened = held(lock, os.O_CREAT | os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
            continue
        if opened is None or is_same(lock, opened):
            break
        os.close(opened)  # whoever held it took it away meanwhile
    else:
        raise StorageError(f"{lock}: {busy.format(seconds=LOCK_TRIES * LOCK_PAUSE_S)}")
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        if opened is not None:
            os.close(opened)


def _pointed(folder: Path) -> str:
    """The hidden directory whose files count, by name; "" where those in the folder do."""
    try:
        name = (folder / POINTER).read_bytes()[:64].decode("ascii", "replace").strip()
    except OSError:
        return ""
    return name if _HIDDEN.fullmatch(name) and (folder / name).is_dir() else ""


def whole_set(folder: Path) -> Path:
    """Where the log files are that count: in the folder, or where a set stands that is taking its place."""
    return folder / _pointed(folder)


def replace_set(staged: Path, folder: Path, files: Sequence[str]) -> None:
    """Put the staged files, all of them, in the place of those of another run.

    Args:
        staged: a hidden directory in the folder; its files stay there.
        folder: where to.
        files: names of the files of a set.

    Raises:
        OSError: one could not be moved; those of the other run stand where they stood.
        StorageError: others have held the files for too long.
    """
    with alone(folder):
        _put(staged, folder, files)


def _put(staged: Path, folder: Path, files: Sequence[str]) -> None:
    if taken := [name for name in files if (folder / name).is_dir()]:
        raise IsADirectoryError(errno.EISDIR, f"a directory named {taken[0]}")
    if missing := [name for name in files if not (staged / name).is_file()]:
        raise FileNotFoundError(errno.ENOENT, f"no file {missing[0]}")
    before = _pointed(folder)
    older = staged / f"older-{uuid.uuid4().hex[:8]}"
    older.mkdir()
    placed: list[str] = []
    try:
        _point(folder, staged)
        for name in files:
            with suppress(FileNotFoundError):
                (folder / name).replace(older / name)
        for name in files:
            _place(staged / name, folder / name)
            placed.append(name)
    except BaseException:
        for name in placed:
            (folder / name).unlink()
        for path in older.iterdir():
            path.replace(folder / path.name)
        if before:
            _point(folder, folder / before)
        else:
            (folder / POINTER).unlink(missing_ok=True)
        raise
    with suppress(OSError):  # else it names the same files, and the next writer removes it
        (folder / POINTER).unlink()


def _place(source: Path, target: Path) -> None:
    """One file in its place, where none stands: a link, which takes no room and is there at once, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        partial = source.with_name(f"{source.name}.copy")
        shutil.copyfile(source, partial)
        partial.replace(target)


def _point(folder: Path, staged: Path) -> None:
    """From now on the files in a hidden directory count."""
    new = staged / "pointer"
    with new.open("wb") as file:
        file.write(staged.name.encode())
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / POINTER)


def _clear(folder: Path, files: Sequence[str]) -> None:
    """Finish what killed writers had all but done, and remove what they left."""
    counts = _pointed(folder)
    for left in folder.glob(".partial-*"):
        with contextlib.ExitStack() as stack, suppress(OSError):
            opened = held(left)  # refused by whoever writes there
            if opened is not None:
                stack.callback(os.close, opened)
            if left.name == counts:
                _put(left, folder, files)
            if opened is not None:
                shutil.rmtree(left, ignore_errors=True)
    if not _pointed(folder):
        (folder / POINTER).unlink(missing_ok=True)  # it names nothing that is there
