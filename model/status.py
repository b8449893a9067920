"""What `/model` answers: which version serves, what it rests upon, why no other does, when the next is trained.

A version never changes, so it is read once; a record grows, so it is read when it has; a folder is looked at once a
second at most; and what is damaged is told as that.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import Field

from exec.advice import Said
from exec.champion import Champion
from exec.live.watch import NONE
from model.records import RECORDS, Record, path_of
from model.registry import ENABLED, OFF, seconds_since, window
from model.runs.due import Outcome
from model.schedule import Schedule
from utils.errors import DataError, ScalperError
from utils.figures.arithmetic import mean_or_nan
from utils.http.traffic import Figure
from utils.records.versions import Versions
from utils.rows import NS_PER_HOUR, NS_PER_S
from utils.settings.tree import Settings

Key = TypeVar("Key")
Value = TypeVar("Value")
Kind = TypeVar("Kind", int, str)
#: A folder is looked at no sooner again, s.
EVERY_S = 1.0
#: Folders and versions that are remembered.
MOST = 64


class Metrics(Said):
    """What a configuration has shown out of sample, all trainings together; the gate looks at nothing else."""

    days: int | None = Field(default=None, description="Days on which something was judged.")
    trades: int | None = Field(default=None, description="Trades out of sample, each counted once.")
    net_bps: float | None = Field(default=None, description="Mean net of a trade, after costs. Unit: bps.")
    brier_skill: float | None = Field(
        default=None, description="1 - Brier / Brier of the base rate; above 0 knows more than that. Unit: fraction."
    )
    trainings: int | None = Field(default=None, description="How often it was trained.")
    calibration_trades: int | None = Field(default=None, description="Trades that chose the threshold.")
    calibration_bps: float | None = Field(default=None, description="Mean net of those. Unit: bps.")


class VersionStatus(Said):
    """What a version says of itself."""

    version: str = Field(description="Its name: when it was written, and the hash of its manifest.")
    written: str | None = Field(default=None, description="When, ISO 8601 UTC.")
    age_hours: float | None = Field(default=None, description="How long ago. Unit: hours.")
    trained_from: str | None = Field(default=None, description="First close of its training data, ISO 8601 UTC.")
    trained_until: str | None = Field(default=None, description="Last close of them, ISO 8601 UTC.")
    rows: int | None = Field(default=None, description="Decisions among them.")
    family: str | None = Field(default=None, description="Its learner.")
    threshold_bps: float | None = Field(
        default=None, description="Net that a signal must promise to be taken; null = none is taken. Unit: bps."
    )
    configuration: dict[str, Any] | None = Field(
        default=None,
        description="What it was tested with: symbols, timeframe, barriers (bps, bars), entry, costs.",
    )
    metrics: Metrics = Field(default_factory=Metrics, description="What its configuration has shown.")
    verdict: str | None = Field(default=None, description="What the gate said of it: enabled, or why not.")
    promoted: bool | None = Field(default=None, description="Whether the gate opened for it.")
    damage: str | None = Field(default=None, description="Why it cannot be read; null = it is whole.")


class NextRun(Said):
    """When the next training begins, if nothing else happens."""

    utc: str = Field(description="ISO 8601 UTC.")
    local: str = Field(description="The same on a clock of retrain.tz, with its offset.")


class RunningRun(Said):
    """A training at work, of this process or another's."""

    since: str = Field(description="ISO 8601 UTC.")
    date: str = Field(description="The local date for which it is.")
    attempt: int = Field(description="Which run of that date, from 1 on.")
    log: str = Field(description="File of what it says.")


class LastRun(Said):
    """The training that ended last."""

    outcome: Outcome = Field(
        description="enabled or not_enabled: it was done, and a version serves or does not; failed; killed; stopped: "
        "told to end; refused: somebody trained by hand."
    )
    exit_code: int | None = Field(
        description="0 done, 1 the machine, 2 a setting or file, 3 an exchange; below 0: signal."
    )
    verdict: str = Field(description="Its last line, or the one that says what was wrong.")
    date: str = Field(description="The local date for which it was.")
    attempt: int = Field(description="Which run of that date, from 1 on.")
    started: str = Field(description="ISO 8601 UTC.")
    ended: str = Field(description="ISO 8601 UTC.")
    seconds: float | None = Field(description="How long it took. Unit: s.")
    log: str = Field(description="File of what it said.")


class RetrainStatus(Said):
    """Training by itself."""

    enabled: bool = Field(description="Whether retrain.auto is on.")
    daily_hour: int = Field(description="Local hour of the daily training, 0-23.")
    tz: str = Field(description="Time zone of that hour.")
    next: NextRun | None = Field(default=None, description="The next one; null = none is planned.")
    running: RunningRun | None = Field(default=None, description="The one at work; null = none.")
    last: LastRun | None = Field(default=None, description="The one that ended last; null = none is on record.")
    problem: str = Field(default="", description="Why nobody can look whether one is due; empty = somebody does.")


class ModelStatus(Said):
    """Which model serves, and how it stands with the others."""

    enabled: bool = Field(description="Whether a model is to judge signals (meta.enabled).")
    frozen: str | None = Field(default=None, description="The version that serves whatever is trained (meta.version).")
    serving: VersionStatus | None = Field(default=None, description="The one that serves; null = none.")
    why: str = Field(default="", description="Why none serves; empty = one does.")
    newest: VersionStatus | None = Field(
        default=None,
        description="The version that was trained last, where another or none serves; with why.",
    )
    before: str | None = Field(default=None, description="The version that served before: a rollback goes there.")
    problem: str = Field(default="", description="What is wrong with the models or their folder; empty = nothing.")
    retrain: RetrainStatus | None = Field(default=None, description="Training by itself; null = this program does not.")


@dataclass(frozen=True, slots=True)
class _Folder:
    """What a look at a folder found."""

    at_s: float
    newest: str | None
    before: str | None
    problem: str


_keeping = threading.Lock()
_folders: dict[Path, _Folder] = {}
_versions: dict[tuple[Path, str], VersionStatus] = {}
_records: dict[Path, tuple[tuple[int, int], Mapping[str, Any]]] = {}  # by time and size of the file


def status_of(
    settings: Settings,
    serving: Champion | None,
    why: str,
    problem: str,
    schedule: Schedule | None,
    *,
    now_ns: int | None = None,
) -> ModelStatus:
    """Which model serves, what it rests upon, and why no other does. It raises for no damage, but tells it.

    Args:
        settings: section meta, as it holds now.
        serving: the model that serves; None = none.
        why: none serves; empty where one does.
        problem: what whoever reads the models stumbled over; empty = nothing.
        schedule: of the trainings; None = there is none.
        now_ns: the time, ns UTC; None = now.
    """
    meta, now = settings.meta, time.time_ns() if now_ns is None else now_ns
    versions = Versions(meta.dir)
    folder = _look(versions)
    home = versions if serving is None or serving.home is None else Versions(serving.home)
    other = folder.newest if serving is None or folder.newest != serving.name else None
    return ModelStatus(
        enabled=meta.enabled or serving is not None,
        frozen=meta.version or None,
        serving=None if serving is None else _version(home, serving.name, now),
        why=OFF if serving is None and why == NONE else why,
        newest=None if other is None else _version(versions, other, now),
        before=folder.before,
        problem="; ".join(dict.fromkeys(filter(None, (problem, folder.problem, _elsewhere(settings, schedule))))),
        retrain=None if schedule is None else RetrainStatus(**schedule.status()),
    )


def _elsewhere(settings: Settings, schedule: Schedule | None) -> str:
    """What is to be said of trainings that are for another folder than the one that holds now; empty = nothing."""
    if schedule is None or not settings.retrain.auto or schedule.folder.resolve() == settings.meta.dir.resolve():
        return ""
    return (
        f"meta.dir: expected {schedule.folder}, for which this process trains by itself, saw {settings.meta.dir}; "
        "restart it, and trainings follow"
    )


def figures_of(status: ModelStatus) -> Iterator[Figure]:
    """The same as figures: which version serves, since when, and how its training goes."""
    serving, run = status.serving, status.retrain
    named = [] if serving is None else [((serving.version,), 1)]
    yield Figure("scalper_model_info", "The version that serves.", ("version",), named)
    age_s = serving.age_hours * 3_600.0 if serving and serving.age_hours is not None else None
    yield Figure("scalper_model_age_seconds", "Age of the version that serves, s.", (), [((), age_s)])
    yield Figure("scalper_model_problem", "Whether something is wrong with models.", (), [((), bool(status.problem))])
    if run is None:
        return
    yield Figure("scalper_retrain_running", "Whether a training is at work.", (), [((), run.running is not None)])
    last = [((outcome,), run.last is not None and run.last.outcome == outcome) for outcome in get_args(Outcome)]
    yield Figure("scalper_retrain_last", "1 for how the last training ended.", ("outcome",), last)


def _look(versions: Versions) -> _Folder:
    """The newest version and the one that served before, as of a second ago at most."""
    now = time.monotonic()
    known = _folders.get(versions.folder)
    if known is not None and now - known.at_s < EVERY_S:
        return known
    newest = before = None
    problem = ""
    try:
        newest = _newest(versions)
        versions.current()
        before = versions.predecessor()
    except (ScalperError, OSError) as error:
        problem = str(error)
    return _kept(_folders, versions.folder, _Folder(now, newest, before, problem))


def _newest(versions: Versions) -> str | None:
    """The version that was written last; a name knows the second alone, and a training of two learners writes two."""
    names = versions.names()
    same = [name for name in names if name.partition("-")[0] == names[-1].partition("-")[0]]
    return max(same, key=lambda name: (versions.folder / name).stat().st_mtime_ns, default=None)


def _version(versions: Versions, name: str, now_ns: int) -> VersionStatus:
    """A version as it is told; one that is damaged is read again each second, for it may be mended."""
    key = (versions.folder, name)
    known = _versions.get(key)
    if known is None:
        try:
            known = _kept(_versions, key, told(name, versions.read(name)[0]))
        except (ScalperError, OSError) as error:
            return VersionStatus(version=name, damage=str(error))
    age = None if known.written is None else seconds_since(known.written, now_ns) * NS_PER_S / NS_PER_HOUR
    shown = _shown(versions.folder / RECORDS, known.configuration or {})
    return known.model_copy(
        update={
            "age_hours": None if age is None else round(age, 2),
            "metrics": known.metrics.model_copy(update=shown),
        }
    )


def told(version: str, said: Mapping[str, Any]) -> VersionStatus:
    """A manifest as it is told; what it does not say, or says in another form, is null."""
    data, fit, verdict = _part(said, "data"), _part(said, "fit"), _kind(said.get("verdict"), str)
    ends = window(data) or (None, None)
    return VersionStatus(
        version=version,
        written=_kind(said.get("written"), str),
        trained_from=ends[0],
        trained_until=ends[1],
        rows=_kind(data.get("rows"), int),
        family=_kind(said.get("family"), str),
        threshold_bps=_number(said.get("threshold_bps")),
        configuration=_part(said, "configuration") or None,
        metrics=Metrics(
            calibration_trades=_kind(fit.get("calibration_trades"), int),
            calibration_bps=_number(fit.get("calibration_bps")),
        ),
        verdict=verdict,
        promoted=None if verdict is None else verdict == ENABLED,
    )


def _shown(folder: Path, configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the record of a configuration shows, read again when it has grown; one of too few days shows nothing."""
    path = path_of(folder, configuration)
    try:
        seen = path.stat()
        mark = (seen.st_mtime_ns, seen.st_size)
        known = _records.get(path)
        if known is not None and known[0] == mark:
            return known[1]
        record = Record(folder, configuration)
    except (DataError, OSError, ValueError):
        return {}
    shown: dict[str, Any] = {}
    if record.version:
        evidence = record.evidence
        shown = {
            "days": evidence.days,
            "trades": len(evidence.net),
            "net_bps": _number(mean_or_nan(evidence.net)),
            "brier_skill": _number(evidence.skill),
            "trainings": record.trainings,
        }
    return _kept(_records, path, (mark, shown))[1]


def _part(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object of a manifest; empty where there is none."""
    part = said.get(name)
    return dict(part) if isinstance(part, Mapping) else {}


def _kind(value: object, kind: type[Kind]) -> Kind | None:
    """A value of a kind; null for any other."""
    return value if type(value) is kind else None


def _number(value: object) -> float | None:
    """A finite number; null for anything else."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _kept(known: dict[Key, Value], key: Key, value: Value) -> Value:
    """Remember a value; the oldest goes where there are too many."""
    with _keeping:
        known.pop(key, None)
        known[key] = value
        while len(known) > MOST:
            del known[next(iter(known))]
    return value
