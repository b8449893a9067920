"""The record of runs: who does which, since when, and what became of it. Below `<meta.dir>/runs/`, a file a run.

A run belongs to whoever makes its file: of all processes, on all machines that share the folder, one can. The owner
renews a sign of life, the time of the file; a record without an end whose owner is gone is closed by whoever sees it.
Whether the owner is gone a machine knows of its own processes; of another's, and of one that hangs, it is believed
after minutes without a sign, by the clock of who watches. So it does not matter what the clocks of two machines show.
"""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

from model.runs.due import Due, Outcome
from utils.disk import PLAIN, put, written
from utils.market.times import END_S, FIRST_S
from utils.rows import NS_PER_DAY, NS_PER_S

#: Folder of the records, below that of the versions.
FOLDER = "runs"
#: Runs that are kept, with their logs.
KEPT = 30
#: So long without a sign its owner is believed to be gone, s.
LIFELESS_S = 300.0
#: Letters of a verdict, and bytes of a record, that are read.
MOST_VERDICT, MOST_RECORD = 1_000, 1 << 16
#: What numbers of a record may be: of a process, of its exit, of clock ticks, of seconds.
MOST_PID, MOST_CODE, MOST_TICKS, MOST_SECONDS = (1 << 31) - 1, (1 << 32) - 1, (1 << 64) - 1, END_S - FIRST_S
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.([1-9]\d{0,5})\.json")


@dataclass(frozen=True, slots=True)
class Process:
    """One process, told from a later one of the same number."""

    host: str  # machine, its boot, and the space of its numbers
    pid: int
    born: int | None  # clock ticks since boot; None = this system does not say


@dataclass(frozen=True, slots=True)
class Run:
    """One run on record."""

    day: date  # the local date for which it was
    attempt: int  # of that date, from 1 on
    started_ns: int
    owner: Process | None  # None = a record that nobody can read
    child: Process | None = None
    ended_ns: int | None = None
    outcome: Outcome | None = None
    exit_code: int | None = None  # below 0: of the signal that ended it
    verdict: str = ""
    seconds: float | None = None
    log: str = ""

    @property
    def name(self) -> str:
        """Of its files, without their ends."""
        return f"{self.day.isoformat()}.{self.attempt}"


class _Name(NamedTuple):
    """The name of a record."""

    day: date
    attempt: int

    @classmethod
    def of(cls, file: str) -> _Name | None:
        """The name that a file has; None where it is none of a record."""
        found = _NAME.fullmatch(file)
        try:
            return None if found is None else cls(date.fromisoformat(found[1]), int(found[2]))
        except ValueError:
            return None

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.day.isoformat()}.{self.attempt}.json"


class Runs:
    """The runs below a folder.

    Args:
        folder: of the versions.
        now_ns: the time, ns UTC.
        steady_s: a clock that nobody sets, s.
        lifeless_s: so long without a sign an owner is believed to be gone, s.
    """

    def __init__(
        self,
        folder: Path,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        steady_s: Callable[[], float] = time.monotonic,
        lifeless_s: float = LIFELESS_S,
    ) -> None:
        self.folder = folder / FOLDER
        self._now_ns, self._steady_s, self._lifeless_s = now_ns, steady_s, lifeless_s
        self._signs: dict[str, tuple[int, float]] = {}  # by name: time of the file, and when that was seen first
        self._ended: dict[str, tuple[int, Run]] = {}  # what has an end is read once

    def look(self) -> tuple[Run, ...]:
        """Every run, by date and attempt; those whose owner is gone are closed as killed.

        Raises:
            StorageError: one cannot be closed.
        """
        found = self.read()
        return tuple(run if run.outcome or not self._gone(run) else self._closed(run) for run in found)

    def read(self) -> tuple[Run, ...]:
        """Every run, by date and attempt, as it stands there."""
        try:
            names = [named for path in self.folder.iterdir() if (named := _Name.of(path.name))]
        except (FileNotFoundError, NotADirectoryError):
            names = []
        known = {named.file: one for named in names if (one := self._read(named)) is not None}
        for gone in self._signs.keys() - known.keys():
            del self._signs[gone]
        for gone in self._ended.keys() - known.keys():
            del self._ended[gone]
        return tuple(sorted(known.values(), key=lambda run: (run.day, run.attempt)))

    def claim(self, wanted: Due) -> Run | None:
        """The run becomes ours; None where others have one. What is older than the newest 30 goes.

        Raises:
            StorageError: the disk refuses.
        """
        run = Run(wanted.day, wanted.attempt, self._now_ns(), myself())
        run = replace(run, log=str(self.log(run)))
        path = self._path(run)
        with self._written():
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | PLAIN, 0o666)
            except FileExistsError:
                return None
            with os.fdopen(opened, "wb") as file:
                file.write(_text(run))
                file.flush()
                os.fsync(file.fileno())
        if any(one.outcome is None and one.name != run.name for one in self.look()):
            path.unlink(missing_ok=True)  # for another date, as at midnight; who sees the other gives way
            return None
        self._prune()
        return run

    def spawned(self, run: Run, pid: int) -> Run:
        """Write down the process that does it; its owner is asked no more."""
        run = replace(run, child=Process(here(), pid, born(pid)))
        self._put(run)
        return run

    def beat(self, run: Run) -> bool:
        """Give a sign of life; False where somebody has closed the run meanwhile."""
        path = self._path(run)
        with suppress(OSError):
            os.utime(path)
        now = self._stands(run)
        return now is None or now.outcome is None

    def end(self, run: Run, outcome: Outcome, *, exit_code: int | None, verdict: str, seconds: float) -> Run:
        """Write down how a run of ours ended, unless somebody has closed it.

        Raises:
            StorageError: the disk refuses.
        """
        before = self._stands(run)
        if before is not None and before.outcome is not None:
            return before
        ended = replace(
            run,
            ended_ns=self._now_ns(),
            outcome=outcome,
            exit_code=exit_code,
            verdict=verdict[:MOST_VERDICT],
            seconds=round(seconds, 3),
        )
        self._put(ended)
        return ended

    def log(self, run: Run) -> Path:
        """The file of what it says."""
        return self.folder / f"{run.name}.log"

    def _stands(self, run: Run) -> Run | None:
        """A run as it is on record now; None where that has gone."""
        return self._read(_Name(run.day, run.attempt))

    def _path(self, run: Run) -> Path:
        return self.folder / f"{run.name}.json"

    def _put(self, run: Run) -> None:
        with self._written():
            put(self._path(run), _text(run))

    def _written(self) -> AbstractContextManager[None]:
        return written(self.folder, "a folder", "the run was not written down", "name another in meta.dir")

    def _read(self, named: _Name) -> Run | None:
        """A run; None where it has gone meanwhile."""
        name = named.file
        path = self.folder / name
        try:
            opened = os.open(path, os.O_RDONLY | PLAIN)
            with os.fdopen(opened, "rb") as file:
                stood = os.fstat(opened).st_mtime_ns
                known = self._ended.get(name)
                if known is not None and known[0] == stood:
                    return known[1]
                text = file.read(MOST_RECORD)
        except OSError:
            return None
        if self._signs.get(name, (None, 0.0))[0] != stood:
            self._signs[name] = (stood, self._steady_s())
        run = _run(named, text, stood, str(path.with_suffix(".log")))
        if run.outcome is not None:
            self._ended[name] = (stood, run)
        return run

    def _gone(self, run: Run) -> bool:
        """Whether nobody does it any more."""
        owner = run.owner
        seen = self._signs.get(self._path(run).name)
        if seen is not None and self._steady_s() - seen[1] > self._lifeless_s:
            return True
        if owner is None or owner.host != here() or alive(owner):
            return False
        # a process whose birth is not known may be another by now, and is left to end
        return run.child is None or run.child.born is not None or not alive(run.child)

    def _closed(self, run: Run) -> Run:
        """End what a gone owner left, on this machine, and write down that it is over."""
        child = run.child
        if child is not None and child.born is not None and child.host == here() and alive(child):
            end_session(child.pid)
        now = self._now_ns()
        return self.end(
            run,
            "killed",
            exit_code=None,
            verdict="whoever began it was gone before it ended",
            seconds=max(0, now - run.started_ns) / NS_PER_S,
        )

    def _prune(self) -> None:
        """Remove the oldest; what a wrong clock dated ahead goes first, and then refusals: they say least."""
        soon = date.fromordinal(date(1970, 1, 1).toordinal() + self._now_ns() // NS_PER_DAY + 2)
        runs = sorted(self.read(), key=lambda run: (run.day <= soon, run.outcome != "refused", run.day, run.attempt))
        for run in runs[:-KEPT]:
            if run.outcome is not None:
                with suppress(OSError):
                    self.log(run).unlink(missing_ok=True)
                    self._path(run).unlink(missing_ok=True)


def myself() -> Process:
    """The process that asks."""
    return Process(here(), os.getpid(), born(os.getpid()))


@cache
def here() -> str:
    """Where numbers of processes mean what they mean here: this machine since it was started, and this container."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(parts)


def alive(process: Process) -> bool:
    """Whether a process of this machine is at work."""
    if sys.platform == "win32":  # where that would be Ctrl-C; so it is believed until it gives no sign
        return True
    try:
        os.kill(process.pid, 0)
    except PermissionError:
        pass
    except (OSError, OverflowError):
        return False
    now = born(process.pid)
    return now == process.born if process.born is not None else True


def born(pid: int) -> int | None:
    """When a process began, clock ticks since boot; None = it is over, or this system does not say."""
    with suppress(OSError, ValueError, IndexError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in {"Z", "X"} else int(fields[18])
    return None


def end_session(pid: int) -> None:
    """Kill a process that leads a session of its own, and whatever it has begun there."""
    if sys.platform != "win32":
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


def _text(run: Run) -> bytes:
    """A record as its file holds it."""
    told = {
        "started": run.started_ns,
        "owner": _process(run.owner),
        "child": _process(run.child),
        "ended": run.ended_ns,
        "outcome": run.outcome,
        "exit_code": run.exit_code,
        "verdict": run.verdict,
        "seconds": run.seconds,
    }
    return json.dumps(told, indent=1, allow_nan=False).encode() + b"\n"


def _process(process: Process | None) -> dict[str, Any] | None:
    return None if process is None else {"host": process.host, "pid": process.pid, "born": process.born}


def _run(named: _Name, text: bytes, stood_ns: int, log: str) -> Run:
    """A record as it is read; one that is cut off, not sane or none of ours has an owner that nobody knows."""
    try:
        told = json.loads(text)
        outcome, verdict, seconds = told["outcome"], told["verdict"], told["seconds"]
        if outcome is not None and outcome not in OUTCOMES:
            raise ValueError(outcome)  # noqa: TRY301 - it ends as any other that is none of ours
        if type(verdict) is not str:
            raise TypeError(verdict)  # noqa: TRY301
        verdict.encode()  # raises where half a letter stands, which no answer could hold
        if seconds is not None and not (type(seconds) in {int, float} and 0.0 <= seconds < MOST_SECONDS):
            raise ValueError(seconds)  # noqa: TRY301
        return Run(
            day=named.day,
            attempt=named.attempt,
            started_ns=_time(told["started"]),
            owner=_told_process(told["owner"]),
            child=_told_process(told["child"]),
            ended_ns=None if outcome is None else _time(told["ended"]),
            outcome=outcome,
            exit_code=None if told["exit_code"] is None else _whole(told["exit_code"], -MOST_CODE, MOST_CODE),
            verdict=verdict[:MOST_VERDICT],
            seconds=None if seconds is None else float(seconds),
            log=log,
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        stood_ns = min(max(stood_ns, FIRST_S * NS_PER_S), END_S * NS_PER_S - 1)  # a file may have any time
        return Run(named.day, named.attempt, stood_ns, None, log=log)


def _told_process(told: Mapping[str, Any] | None) -> Process | None:
    if told is None:
        return None
    born_at = told["born"]
    return Process(
        str(told["host"]), _whole(told["pid"], 1, MOST_PID), None if born_at is None else _whole(born_at, 0, MOST_TICKS)
    )


def _time(value: object) -> int:
    """A time of the years that times may lie in, ns UTC; ValueError for anything else."""
    return _whole(value, FIRST_S * NS_PER_S, END_S * NS_PER_S - 1)


def _whole(value: object, least: int, most: int) -> int:
    """A whole number within its bounds; ValueError for anything else."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(value)
    return value
