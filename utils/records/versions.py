"""Versions of a model on disk: each a folder that is whole or not there, one of them named by CURRENT.

A version is written to a hidden folder, seen on the disk, and gets its name by one rename; CURRENT is replaced by one,
too. So whoever is killed, or finds the disk full, leaves what there was before or what there is now. A version's name
ends with the hash of its manifest, and that holds the hash of each part: what was changed, cut off or put there by
somebody else is never loaded.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from utils.disk import PLAIN, not_plain, put, stage, sync_folder, written
from utils.errors import DataError
from utils.records.chain import Chain, digest
from utils.records.files import plain
from utils.records.swap import Hidden, alone

MANIFEST, CURRENT = "manifest.json", "CURRENT"
#: A file that only grows: which version served from when on.
SERVED = "served.jsonl"
#: Of the manifest's form; one of another is not read.
SCHEMA = 1
#: Bytes of a manifest, and of a part; and how many parts there may be.
MOST_MANIFEST, MOST_PART, MOST_PARTS = 1 << 20, 1 << 26, 64
_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{12}")
_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_BUSY = "another process has held the versions for {seconds:g} seconds; let it end, and do this again"


class Versions:
    """The versions in a folder.

    Args:
        folder: where they stand; made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def write(self, parts: Mapping[str, bytes], manifest: Mapping[str, Any], now_ns: int | None = None) -> str:
        """A new version, whole on the disk; its name. It does not serve yet. What killed writers left is removed.

        Args:
            parts: each file of the version by name.
            manifest: what is said about it, as JSON can hold it; `schema`, `written` and `parts` are added.
            now_ns: when it is written, ns UTC; None = now.

        Raises:
            DataError: a part's name or size, or what is said, is none that could be read back.
            StorageError: the disk refuses; nothing was written.
        """
        for name, data in parts.items():
            if not _PART.fullmatch(name) or name == MANIFEST or len(data) > MOST_PART:
                raise DataError(
                    f"{self.folder}: expected parts named like long.txt, of at most 64 MiB, saw {name!r} of "
                    f"{len(data):,} bytes; correct it"
                )
        if not 0 < len(parts) <= MOST_PARTS or {"schema", "written", "parts"} & manifest.keys():
            raise DataError(
                f"{self.folder}: expected 1 to {MOST_PARTS} parts and a manifest without schema, written and parts, "
                f"saw {len(parts)} and {', '.join(manifest)}; correct them"
            )
        at = datetime.fromtimestamp((time.time_ns() if now_ns is None else now_ns) // 10**9, UTC)
        stamp = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        said = {
            "schema": SCHEMA,
            "written": stamp,
            "parts": {name: {"sha256": digest(data), "bytes": len(data)} for name, data in sorted(parts.items())},
        }
        text = json.dumps(plain(said | dict(manifest)), indent=1, allow_nan=False).encode() + b"\n"
        if len(text) > MOST_MANIFEST:
            raise DataError(f"{self.folder}: expected a manifest of at most 1 MiB, saw {len(text):,} bytes; say less")
        name = _name(stamp, text)
        with self._written(), Hidden(self.folder, (), _BUSY) as hidden:
            for part, data in parts.items():
                stage(hidden, part, data)
            stage(hidden, MANIFEST, text)
            sync_folder(hidden)
            try:
                hidden.rename(self.folder / name)
            except OSError:
                if not (self.folder / name).is_dir():
                    raise
            sync_folder(self.folder)
        self.read(name)  # also where another was as quick and wrote the same
        return name

    def read(self, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Manifest and parts of a version, checked.

        Raises:
            DataError: there is no such version, or it is not as it was written; says what is wrong.
        """
        place = self.folder / name if _NAME.fullmatch(name) else None
        if place is None or not place.is_dir() or place.is_symlink():
            known = ", ".join(self.names()[-3:]) or "none"
            raise DataError(
                f"{self.folder}: expected the name of a version (the last ones: {known}), saw {name[:80]!r}; "
                "python -m model.registry list shows them"
            )
        with _as_written(place):
            text = _file(place / MANIFEST, MOST_MANIFEST)
            said = json.loads(text)
            if not isinstance(said, dict) or said.get("schema") != SCHEMA:
                raise ValueError(f"a manifest of another form than {SCHEMA}")
            if _name(said["written"], text) != name:
                raise ValueError("a manifest that was changed, or another name")
            parts = {}
            for part, told in said["parts"].items():
                if not _PART.fullmatch(part):
                    raise ValueError(f"a part named {part[:80]!r}")
                data = _file(place / part, MOST_PART)
                if len(data) != told["bytes"] or digest(data) != told["sha256"]:
                    raise ValueError(f"{part} with other bytes, {len(data):,} of {told['bytes']:,}")
                parts[part] = data
        return said, parts

    def names(self) -> tuple[str, ...]:
        """What stands there under the name of a version, the oldest first; whether it is whole, `read` says."""
        if not self.folder.is_dir():
            return ()
        return tuple(sorted(path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name)))

    def current(self) -> str | None:
        """The version that CURRENT names; None where there is no CURRENT. Whether it is whole, `read` says.

        Raises:
            DataError: CURRENT is no file, or names no version.
        """
        path = self.folder / CURRENT
        if seen := not_plain(path):
            raise DataError(f"{path}: expected a file, saw {seen}; move it away")
        if not path.exists():
            return None
        try:
            text = _file(path, 200).decode("ascii", "replace")
        except ValueError as error:
            text = str(error)
        if not _NAME.fullmatch(name := text.strip()):
            raise DataError(
                f"{path}: expected the name of a version, saw {name[:80]!r}; python -m model.registry rollback names "
                "the one that served last"
            )
        return name

    def make_current(self, name: str, now_ns: int | None = None) -> None:
        """From now on a version serves, if it is whole.

        Raises:
            DataError: there is no such version, or it is not as it was written.
            StorageError: the disk refuses; what served goes on serving.
        """
        self._serve(name, "swap", now_ns)

    def rollback(self, now_ns: int | None = None) -> str:
        """The version that served before serves again; its name. Again, and it is the one before that.

        Raises:
            DataError: none served before, or it is not as it was written.
            StorageError: the disk refuses; what served goes on serving.
        """
        name = self.before()
        self._serve(name, "rollback", now_ns)
        return name

    def before(self) -> str:
        """The version to which a rollback goes: `predecessor`.

        Raises:
            DataError: there is none.
        """
        name = self.predecessor()
        if name is None:
            raise DataError(
                f"{self.folder}: expected a version that served before, saw none; freeze one by its name with "
                "python -m model.registry freeze VERSION"
            )
        return name

    def predecessor(self) -> str | None:
        """The version that served before; where CURRENT is damaged, the one that served last. None = none did.

        Raises:
            DataError: the record of what served is damaged.
        """
        served = self.served()
        if self._current_or_none() in served[-1:]:
            served = served[:-1]
        return served[-1] if served else None

    def served(self) -> tuple[str, ...]:
        """The versions that served, the latest last; what was rolled back is left out.

        Raises:
            DataError: the record of it is damaged.
        """
        stack: list[str] = []
        for row in Chain(self.folder / SERVED).read():
            _settle(stack, row.get("before"))
            if row.get("how") == "rollback" and row.get("version") in stack:
                _settle(stack, row.get("version"))
            else:
                stack.append(str(row.get("version")))
        _settle(stack, self._current_or_none())
        return tuple(stack)

    def _serve(self, name: str, how: Literal["swap", "rollback"], now_ns: int | None) -> None:
        self.read(name)
        with self._written(), alone(self.folder, _BUSY):
            before = self._current_or_none()
            if before == name:
                return
            now = time.time_ns() if now_ns is None else now_ns
            # the record first: one of a swap that was not done is told by the next one's `before`
            Chain(self.folder / SERVED).append({"time": now, "version": name, "before": before, "how": how})
            put(self.folder / CURRENT, f"{name}\n".encode())

    def _current_or_none(self) -> str | None:
        with suppress(DataError):
            return self.current()
        if seen := not_plain(self.folder / CURRENT):
            raise DataError(f"{self.folder / CURRENT}: expected a file, saw {seen}; move it away")
        return None

    @contextmanager
    def _written(self) -> Iterator[None]:
        lost = "the version was not written, and the one that serves goes on serving"
        with written(self.folder, "a folder", lost, "name another in meta.dir"):
            yield


def written_ns(name: str) -> int | None:
    """When a version was written, by its name, ns UTC; None = it names no time."""
    try:
        return int(datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%S%z").timestamp()) * 10**9
    except ValueError:
        return None


def _name(stamp: str, manifest: bytes) -> str:
    """A version's name by when it was written and by its manifest."""
    return f"{re.sub('[-:]', '', stamp)}-{digest(manifest)[:12]}"


def _settle(stack: list[str], serving: object) -> None:
    """What serves becomes the last of those that did: what was recorded since was not done, or was rolled back."""
    if serving in stack:
        del stack[len(stack) - stack[::-1].index(str(serving)) :]
    elif isinstance(serving, str):
        stack.append(serving)


def _file(path: Path, most: int) -> bytes:
    """What stands in a file that is no link and not too large; ValueError if it is."""
    opened = os.open(path, os.O_RDONLY | PLAIN)
    with os.fdopen(opened, "rb") as file:
        seen = os.fstat(opened)
        if not stat.S_ISREG(seen.st_mode) or seen.st_size > most:
            raise ValueError(f"{path.name} of {seen.st_size:,} bytes, or no file")
        return file.read(most)


@contextmanager
def _as_written(place: Path) -> Iterator[None]:
    """Turn whatever a damaged version shows into one sentence."""
    try:
        yield
    except FileNotFoundError as error:
        seen = f"no {Path(error.filename).name}"
    except OSError as error:
        seen = f"{Path(error.filename).name}: {error.strerror}"
    except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError, UnicodeDecodeError):
        seen = f"a {MANIFEST} that is none of ours"
    except ValueError as error:
        seen = str(error)
    else:
        return
    raise DataError(
        f"{place}: expected a version as it was written, saw {seen}; train again, or serve another: "
        "python -m model.registry list shows them"
    )
