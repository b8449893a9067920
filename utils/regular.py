"""Whether a path names a regular file: asked before it is opened, as a pipe may wait and a device never end."""

from __future__ import annotations

import stat
from difflib import get_close_matches
from pathlib import Path

from utils.errors import DataError

_KINDS = {
    stat.S_ISDIR: "a directory; name one file in it",
    stat.S_ISFIFO: "a pipe, which may never end; save what comes out of it to a file and name that",
    stat.S_ISSOCK: "a socket; name a file",
    stat.S_ISCHR: "a device, which may never end; name a file",
    stat.S_ISBLK: "a device; name a file",
}


def size_of(path: Path) -> int:
    """The size of a regular file, without opening it.

    Raises:
        DataError: there is none, or it is something else; says what.
    """
    try:
        seen = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        near = get_close_matches(path.name, _names_in(path.parent), 1)
        hint = f"did you mean {near[0]}?" if near else "check the path"
        raise DataError(f"{path}: expected a file, seen none; {hint}") from None
    except ValueError:
        raise DataError(f"{str(path)!r}: expected a path, seen one with a NUL in it; check the path") from None
    except OSError as error:
        raise unreadable(path, error) from None
    if not stat.S_ISREG(seen.st_mode):
        what = next((said for kind, said in _KINDS.items() if kind(seen.st_mode)), "something else; name a file")
        raise DataError(f"{path}: expected a file, seen {what}")
    return seen.st_size


def unreadable(path: Path, error: OSError) -> DataError:
    """What is said of a file that the machine does not let us read."""
    return DataError(f"{path}: expected a readable file, seen {error.strerror or error}; check its permissions")


def _names_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    except OSError:
        return []
