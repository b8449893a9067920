"""The disk: files that are there after a power cut, locks that end with their process, and what it says no to."""

from __future__ import annotations

import errno
import os
import stat
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.errors import StorageError

#: What a machine says when there is no room.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: Opened so, a link is refused and a pipe does not wait.
PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def stage(folder: Path, file: str, data: bytes) -> None:
    """Write one file and see it on the disk."""
    with (folder / file).open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def sync_folder(folder: Path) -> None:
    """See the names in a folder on the disk, as far as the machine opens folders."""
    if sys.platform == "win32":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def put(path: Path, data: bytes, last: Callable[[Path], None] | None = None) -> None:
    """A file becomes `data`, at once and whole, or stays what it was; a power cut afterwards changes nothing.

    What a writer left that was killed on the way is removed: nobody else may write to the same file meanwhile.

    Args:
        path: the file.
        data: what it becomes.
        last: told where the data stand, just before they take the place; what it raises keeps the file as it was.

    Raises:
        OSError: it could not be written; nothing is left behind.
    """
    for left in path.parent.glob(f".{path.name}.*.partial"):
        left.unlink(missing_ok=True)
    partial = f".{path.name}.{uuid.uuid4().hex[:12]}.partial"
    try:
        stage(path.parent, partial, data)
        if last is not None:
            last(path.parent / partial)
        (path.parent / partial).replace(path)
    except BaseException:
        with suppress(OSError):
            (path.parent / partial).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def lock(opened: int) -> bool:
    """Lock an open file until it is closed or the process ends, however; False where the disk knows no locks.

    Raises:
        BlockingIOError: somebody else holds it.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(opened, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            raise BlockingIOError from None
        return True
    import fcntl

    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def held(path: Path, how: int = os.O_RDONLY) -> int | None:
    """A lock on a file or folder, until it is closed or the process ends; None where there are no locks.

    Raises:
        BlockingIOError: somebody else holds it.
        OSError: it is not there, or cannot be opened.
    """
    if sys.platform == "win32" and path.is_dir():  # which opens no folders
        return None
    opened = os.open(path, how, 0o666)
    try:
        locked = lock(opened)
    except BaseException:
        os.close(opened)
        raise
    if not locked:
        os.close(opened)
        return None
    return opened


def is_same(path: Path, opened: int) -> bool:
    """Whether a path still names the file that is open."""
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(opened))
    return False


def not_plain(path: Path) -> str:
    """Why a path that we are to write cannot be: what stands there, in words; "" for a file, or nothing."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return ""
    except NotADirectoryError:
        return "a file where a folder should be"
    if stat.S_ISREG(mode):
        return ""
    kinds = {stat.S_ISLNK: "a link", stat.S_ISDIR: "a directory", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    return next((said for kind, said in kinds.items() if kind(mode)), "a device")


@contextmanager
def written(where: Path, place: str, lost: str, cure: str) -> Iterator[None]:
    """Turn the machine's refusals to write into one sentence.

    Args:
        where: what was to be written.
        place: what it is, as "a directory".
        lost: what a full disk means, as "the logs of this run were not kept".
        cure: what else can be done, as "pass --logs-dir with another one".

    Raises:
        StorageError: it refused.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageError(f"{where}: the disk is full, {lost}; free some space or {cure}") from error
        seen = "a file in its place" if isinstance(error, (FileExistsError, NotADirectoryError)) else error.strerror
        raise StorageError(
            f"{where}: expected {place} that this user may write to, saw '{seen}'; change that or {cure}"
        ) from error
