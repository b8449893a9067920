"""Trains again by itself: daily at an hour of the settings' time zone, and at the start where the model is too old.

    async with Schedule(settings, config) as schedule:
        schedule.status()

When a run is due says `model.runs.due`, whose it is `model.runs.record`; `model.runs.child` is its process. APScheduler
asks at the hour itself. A timer of APScheduler's waits for a time on the clock, and where that was set back it waits a
day, or a year: so a pulse that counts seconds asks, too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from model.runs.child import TRAIN, Child, Ended, command_of
from model.runs.due import AHEAD, DONE, Due, Plan, due
from model.runs.record import LIFELESS_S, Run, Runs
from utils.errors import ScalperError
from utils.records.versions import Versions, written_ns
from utils.rows import NS_PER_HOUR, NS_PER_S
from utils.settings.tree import Settings
from utils.shell.aside import aside
from utils.shell.cli import INTERRUPTED, bug
from utils.shell.log import event

logger = logging.getLogger("model")

#: Time between two looks, s.
PULSE_S = 15.0
#: How long a folder that does not answer may hold up the end, s.
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look found."""

    runs: tuple[Run, ...]
    next: Due | None
    claimed: Run | None


class Schedule:
    """Trains by itself while it is entered, if `retrain.auto` says so.

    Args:
        settings: what is trained, and when.
        config: the settings file, handed to each run; None = the one beside the program.
        now_ns: the time, ns UTC.
        program: what trains.
        pulse_s: time between two looks, s.
        lifeless_s: so long without a sign the owner of a run is believed to be gone, s.
    """

    def __init__(
        self,
        settings: Settings,
        config: Path | None = None,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        program: Sequence[str] = TRAIN,
        pulse_s: float = PULSE_S,
        lifeless_s: float = LIFELESS_S,
    ) -> None:
        retrain = settings.retrain
        self._settings, self._config, self._program = settings, config, program
        self._now_ns, self._pulse_s = now_ns, pulse_s
        self._plan = Plan(retrain.daily_hour, ZoneInfo(retrain.tz), round(retrain.max_age_hours * NS_PER_HOUR))
        self._versions = Versions(settings.meta.dir)
        self._runs = Runs(settings.meta.dir, now_ns=now_ns, lifeless_s=lifeless_s)
        self._seen = _Seen((), None, None)
        self._problem = ""
        self._began_ns = now_ns()
        self._ending = False
        self._lost = False
        self._looking = asyncio.Lock()
        self._asked: set[asyncio.Task[Any]] = set()
        self._mine: Run | None = None
        self._child: Child | None = None
        self._scheduler: AsyncIOScheduler | None = None

    async def __aenter__(self) -> Schedule:
        """Begin; the first look is at once, and not waited for."""
        self._began_ns = self._now_ns()
        if not self._settings.retrain.auto:
            self._ask(self._read())
            return self
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_job(
            self._at_the_hour,
            CronTrigger(hour=self._plan.hour, minute=0, second=0, timezone=self._plan.zone),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
        self._scheduler.start()
        self._ask(self._pulse())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; a run at work is told to end, and that is on record before this is left."""
        self._ending = True
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S), self._looking:
                    pass  # whoever was about to begin a run has, or sees that none is to begin
            if self._child is not None:
                await self._child.stop()
        finally:
            training = [one for one in self._asked if one.get_name() == "run"]  # it writes down how it ended
            for one in self._asked - set(training):
                one.cancel()
            await asyncio.gather(*self._asked, return_exceptions=True)

    @property
    def folder(self) -> Path:
        """The folder of versions that it trains for: the one of the start."""
        return self._versions.folder

    def status(self) -> dict[str, Any]:
        """What there is to know, as JSON holds it: whether it is on, the next run, the one at work, the last.

        `next` is None where none is planned; `problem` says why nobody could look, and is empty otherwise.
        """
        on, seen = self._settings.retrain.auto, self._seen
        at_work = next((run for run in reversed(seen.runs) if run.outcome is None), None)
        return {
            "enabled": on,
            "daily_hour": self._plan.hour,
            "tz": str(self._plan.zone),
            "next": self._instant(seen.next.at_ns) if on and seen.next is not None else None,
            "running": None
            if at_work is None
            else {
                "since": _utc(at_work.started_ns),
                "date": at_work.day.isoformat(),
                "attempt": at_work.attempt,
                "log": at_work.log,
            },
            "last": self._last(seen.runs),
            "problem": self._problem,
        }

    def _last(self, runs: Sequence[Run]) -> dict[str, Any] | None:
        """The run that ended last; one that a wrong clock dated ahead only where there is no other."""
        now = self._now_ns()
        ended = [run for run in runs if run.ended_ns is not None]
        last = max(ended, key=lambda run: (run.ended_ns or 0) * ((run.ended_ns or 0) <= now + AHEAD), default=None)
        if last is None or last.ended_ns is None:
            return None
        return {
            "outcome": last.outcome,
            "exit_code": last.exit_code,
            "verdict": last.verdict,
            "date": last.day.isoformat(),
            "attempt": last.attempt,
            "started": _utc(last.started_ns),
            "ended": _utc(last.ended_ns),
            "seconds": last.seconds,
            "log": last.log,
        }

    def _instant(self, at_ns: int) -> dict[str, str]:
        local = datetime.fromtimestamp(at_ns // NS_PER_S, self._plan.zone)
        return {"utc": _utc(at_ns), "local": local.isoformat()}

    def _ask(self, work: Any, name: str = "") -> None:
        """Have something done beside everything else."""
        task = asyncio.create_task(work, name=name or "look")
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _at_the_hour(self) -> None:
        """Look, in a task of our own: APScheduler cancels what it does when it ends, and a claim is not to be lost."""
        self._ask(self._look())

    async def _pulse(self) -> None:
        """Look again and again, whatever the clock on the wall does."""
        while not self._ending:
            await self._look()
            await asyncio.sleep(self._pulse_s)

    async def _read(self) -> None:
        """Know what was, where nothing is to be done."""
        try:
            self._seen = _Seen(await aside(self._runs.read), None, None)
        except (ScalperError, OSError) as error:
            self._tell(str(error))

    async def _look(self) -> None:
        """See what is on record; begin a run if one is due, and end ours if it was closed by others."""
        async with self._looking:
            if self._ending:
                return
            try:
                self._seen = await aside(self._decide, self._mine)
            except (ScalperError, OSError) as error:
                self._tell(str(error))
                return
            except Exception as error:  # noqa: BLE001 - what one look stumbles over must not be the last one
                self._tell(bug(error))
                return
            self._tell("")
            if self._seen.claimed is not None:
                await self._begin(self._seen.claimed)
            elif self._child is not None and self._lost:
                await self._child.stop()

    def _decide(self, mine: Run | None) -> _Seen:
        """Look at the folder, and claim what is due; in a thread, for a folder may be slow to answer."""
        if mine is not None and not self._runs.beat(mine):
            self._lost = True
        runs = self._runs.look()
        found = self._due(runs)
        if not found.why or mine is not None or self._ending:
            return _Seen(runs, found, None)
        claimed = self._runs.claim(found)
        runs = self._runs.read()
        return _Seen(runs, self._due(runs), claimed)

    def _due(self, runs: Sequence[Run]) -> Due:
        """The next run."""
        return due(self._now_ns(), self._plan, runs, self._newest_ns(), self._began_ns)

    def _newest_ns(self) -> int | None:
        """When the newest version was written, by its name, ns UTC; one dated ahead is passed over."""
        now = self._now_ns()
        written = [written_ns(name) for name in self._versions.names()]
        return max((at for at in written if at is not None and at <= now + AHEAD), default=None)

    async def _begin(self, run: Run) -> None:
        """Begin a run that is ours, by the thread of the event loop: the kernel ends it with that."""
        words = command_of(self._settings, self._config, self._runs.folder, self._program)
        if self._ending:
            await aside(self._settle, run, Ended(INTERRUPTED, "stopped before it began", 0.0))
            return
        try:
            child = Child(words, self._runs.log(run))
        except OSError as error:
            await aside(self._settle, run, Ended(1, f"error: the training could not be begun: {error}", 0.0))
            return
        self._mine, self._child, self._lost = run, child, False
        event(logger, "retrain_began", run.name, pid=child.pid, log=run.log)
        self._ask(self._finish(run, child), "run")

    async def _finish(self, run: Run, child: Child) -> None:
        """Wait for the end of our run, and write it down."""
        try:
            with suppress(ScalperError, OSError):
                run = await aside(self._runs.spawned, run, child.pid)
            ended = await child.ended()
            await aside(self._settle, run, ended)
        except (ScalperError, OSError) as error:
            self._tell(str(error))
        finally:
            self._mine = self._child = None
        if not self._ending:
            await self._look()

    def _settle(self, run: Run, ended: Ended) -> None:
        """Write down how our run ended, and see what follows."""
        run = self._runs.end(
            run,
            "stopped" if self._ending and ended.outcome == "killed" else ended.outcome,
            exit_code=ended.exit_code,
            verdict=ended.verdict,
            seconds=ended.seconds,
        )
        severity = logging.INFO if run.outcome in DONE else logging.WARNING
        event(logger, "retrain_ended", run.verdict, severity=severity, run=run.name, outcome=run.outcome)
        runs = self._runs.read()
        self._seen = _Seen(runs, self._due(runs), None)

    def _tell(self, problem: str) -> None:
        """Keep what is wrong, and log it once."""
        if problem and problem != self._problem:
            event(logger, "retrain_unwatched", problem, severity=logging.WARNING)
        self._problem = problem


def _utc(at_ns: int) -> str:
    """An instant as ISO 8601, UTC, whole seconds."""
    return f"{datetime.fromtimestamp(at_ns // NS_PER_S, UTC):%Y-%m-%dT%H:%M:%SZ}"
