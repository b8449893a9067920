"""What a folder says of itself is believed only so far as it stays in the folder: names, links, sizes.

Whoever can write to a data folder, or made an archive that was unpacked there, must not thereby reach what lies
outside.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from utils.errors import DataError

#: Longest small file that is read whole: a manifest, a plan, an address. Bytes.
MOST = 64 * 2**20
_NAME = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_.-]*/)*[A-Za-z0-9][A-Za-z0-9_.-]*")


def inside(root: Path, name: str, said_by: Path) -> Path:
    """The file of a name in a folder.

    Args:
        root: the folder.
        name: from there, with slashes.
        said_by: the file that names it, for the message.

    Raises:
        DataError: the name leads elsewhere.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise DataError(
            f"{said_by}: expected names of files in {root}, saw {name[:80]!r}; it was not written by this program: move"
            " it away"
        )
    return stays(root, root / name)


def stays(root: Path, path: Path) -> Path:
    """The path, if no link leads out of the folder.

    Raises:
        DataError: one does.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{path}: expected it to lie in {root}, and a link leads out of there; take the link away")
    return path


def plain_file(path: Path) -> bool:
    """Whether there is a file that ends: no folder, pipe or device.

    Raises:
        DataError: something else is there.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DataError(f"{path}: expected a file, and it cannot be read ({error.strerror}); move it away") from None
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: expected a file, saw something else; move it away")
    return True


def read_small(path: Path) -> str:
    """The text of a small file.

    Raises:
        DataError: it is too long, no file, or no text.
    """
    if not plain_file(path):
        raise DataError(f"{path}: expected a file, saw none")
    with path.open("rb") as file:
        data = file.read(MOST + 1)
    if len(data) > MOST:
        raise DataError(f"{path}: expected at most {MOST >> 20} MiB, saw more; move it away")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path}: expected text, saw other bytes; move it away") from None


def open_lock(path: Path) -> int:
    """A file that is there to be locked, whatever it holds; its descriptor.

    Raises:
        DataError: something else is in its place.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        return os.open(path, flags, 0o644)
    except PermissionError:
        raise
    except OSError as error:
        raise DataError(f"{path}: expected a lock file, saw something else ({error.strerror}); take it away") from None
