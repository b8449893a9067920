"""The versions of the model: which there are, what each is, which one serves, and how to serve another.

python -m model.registry list
python -m model.registry show 20270115T080000Z-0123456789ab
python -m model.registry rollback                                 the version that served before serves again
python -m model.registry freeze 20270115T080000Z-0123456789ab     exactly this one serves, whatever is trained
python -m model.registry thaw                                     and the current one again
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from exec.champion import champion_of
from features.registry import feature_set, fingerprint
from ml.learning.artifact import meta_of
from utils.config import Loaded, load_settings
from utils.errors import ConfigError, DataError
from utils.records.versions import CURRENT, Versions
from utils.root import ROOT
from utils.rows import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S
from utils.settings.edit import set_values
from utils.settings.tree import MetaSettings, Settings
from utils.shell.cli import INTERRUPTED, Parser, command
from utils.shell.console import PlainConsole

VERBS = {
    "list": "every version: when it was made, on which data, the verdict, and which one serves",
    "show": "what a version says of itself",
    "rollback": "CURRENT names the version that served before; again, and it is the one before that",
    "freeze": "exactly this version serves, whatever is trained: meta.version and meta.enabled in the settings file",
    "thaw": "the version that CURRENT names serves again: meta.version is emptied",
}
#: Of these a version is named.
NAMED = ("show", "freeze")
#: Why none serves, as a rule.
OFF = "no version serves: meta.enabled is off; a retrain turns it on where the gate opens"
#: The verdict of a version for which the gate opened.
ENABLED = "enabled"
#: Columns where there is no terminal to ask.
WIDTH = 120


def build_parser() -> Parser:
    """The flags."""
    line = "python -m model.registry"
    name = "20270115T080000Z-0123456789ab"
    parser = Parser(
        line,
        "The versions of the model: which there are, which one serves, and how to serve another.",
        usage="list|show VERSION|rollback|freeze VERSION|thaw [flags]",
        examples=(
            (f"{line} list", VERBS["list"]),
            (f"{line} show {name}", VERBS["show"]),
            (f"{line} rollback", VERBS["rollback"]),
            (f"{line} freeze {name}", VERBS["freeze"]),
            (f"{line} thaw", VERBS["thaw"]),
            (f"{line} list --json", "one JSON object, for scripts"),
        ),
        exits=(
            "0 done",
            "1 our fault or the machine's: a full disk, a folder that may not be written",
            "2 an unknown or damaged version, a flag, or a settings file that is not to be changed",
            f"{INTERRUPTED} Ctrl-C or SIGTERM",
        ),
    )
    parser.add_argument("verb", choices=tuple(VERBS), metavar="VERB", help=", ".join(VERBS))
    parser.add_argument("version", nargs="?", metavar="VERSION", help="of show and freeze: a name that list shows")
    add = parser.group("where they are")
    add("--dir", type=Path, metavar="DIR", help="folder of the versions (default: meta.dir)")
    add("--config", type=Path, metavar="PATH", help="settings file (default: config.yaml beside the program)")
    add = parser.group("output")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="with an error, its traceback")
    return parser


@dataclass(frozen=True, slots=True)
class Entry:
    """A version, as `list` tells it."""

    version: str
    made: str  # ISO 8601 UTC; empty = not known
    age_s: float | None
    trained: tuple[str, str] | None  # first and last close of its data, ISO 8601 UTC
    verdict: str  # empty = it says none
    current: bool  # CURRENT names it
    serves: bool
    damage: str  # why it is not loaded; empty = it is whole


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    if (flags.verb in NAMED) != (flags.version is not None):
        needs = "a version behind it" if flags.verb in NAMED else "no version behind it"
        raise ConfigError(f"{flags.verb}: expected {needs}, saw {flags.version or 'none'}; --help shows each form")
    settings = load_settings(flags.config).settings
    told = WORK[flags.verb](flags, settings, Versions(flags.dir or settings.meta.dir))
    if flags.json:
        print(json.dumps(told.row, allow_nan=False))
        return 0
    console = PlainConsole(sys.stdout, WIDTH)
    for line in told.lines:
        console.print(line) if isinstance(line, Table) else console.say(Text(line))
    return 0


@dataclass(frozen=True, slots=True)
class Told:
    """What a verb answers: as JSON holds it, and for people."""

    row: Mapping[str, Any]
    lines: tuple[str | Table, ...]


def list_(_: argparse.Namespace, settings: Settings, versions: Versions) -> Told:
    """Every version."""
    meta = settings.meta
    entries = entries_of(versions, meta, time.time_ns())
    damage = _damage(versions)
    row = {
        "dir": str(versions.folder),
        "enabled": meta.enabled,
        "frozen": meta.version or None,
        "damage": damage,
        "versions": [asdict(entry) for entry in entries],
    }
    damaged = (f"{CURRENT} is damaged: {damage}",) if damage else ()
    if not entries:
        return Told(row, (f"no versions in {versions.folder}: python -m model.retrain makes one", *damaged))
    table = Table("VERSION", "Age", "Trained on", "Verdict", "", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for one in entries:
        window = "-" if one.trained is None else " to ".join(stamp[:10] for stamp in one.trained)
        marks = [word for word, yes in (("current", one.current), ("SERVES", one.serves)) if yes]
        table.add_row(one.version, age(one.age_s), window, one.damage or one.verdict or "-", " ".join(marks))
    return Told(row, (table, *damaged, *notes(meta, entries, _named(versions))))


def notes(meta: MetaSettings, entries: tuple[Entry, ...], current: str | None) -> Iterator[str]:
    """What the table cannot say; `current` is what CURRENT names, None where it names no version."""
    if not meta.enabled:
        yield OFF
    if meta.version:
        yield f"frozen: meta.version names {meta.version}; python -m model.registry thaw ends that"
    if meta.enabled and not any(entry.serves for entry in entries):
        wanted = meta.version or current
        why = f"{wanted} is not here, or not whole" if wanted else f"{CURRENT} names none"
        yield f"no version serves: {why}"


def show(flags: argparse.Namespace, _: Settings, versions: Versions) -> Told:
    """What a version says of itself."""
    said, _parts = versions.read(flags.version)
    return Told({"version": flags.version, **said}, (flags.version, *outlined(said, "  ")))


def rollback(_: argparse.Namespace, settings: Settings, versions: Versions) -> Told:
    """The version that served before serves again."""
    meta, before = settings.meta, _named(versions)
    require_servable(versions.before(), versions)
    name = versions.rollback()
    lines = [f"{name} is current again; it was {before or 'none'}"]
    if meta.version:
        lines.append(f"{meta.version} is frozen and serves on: python -m model.registry thaw ends that")
    elif not meta.enabled:
        lines.append("it does not serve: meta.enabled is off")
    lines += otherwise(versions.read(name)[0], settings)
    return Told({"current": name, "before": before, "frozen": meta.version or None}, tuple(lines))


def freeze(flags: argparse.Namespace, settings: Settings, versions: Versions) -> Told:
    """Exactly one version serves."""
    said = require_servable(flags.version, versions)
    verdict = said.get("verdict") or "unknown"
    wanted: dict[str, object] = {"meta.enabled": True, "meta.version": flags.version}
    if flags.dir is not None:
        wanted["meta.dir"] = flags.dir.as_posix()
    config = changed(flags, wanted)
    if verdict != ENABLED:
        line = f"FORCED: its verdict was {verdict}; you serve a model that could not be told from luck"
        print(line, file=sys.stderr)
    line = f"{flags.version} serves, whatever is trained: {config}; python -m model.registry thaw ends that"
    return Told({"frozen": flags.version, "config": str(config)}, (line, *otherwise(said, settings)))


def require_servable(name: str, versions: Versions) -> dict[str, Any]:
    """What a version says of itself, if a run could be given it.

    Raises:
        DataError: there is no such version, it is not as it was written, no sound model, or one of other features.
    """
    said, parts = versions.read(name)
    champion_of(name, meta_of(parts), feature_set().names, fingerprint())
    return said


def otherwise(said: Mapping[str, Any], settings: Settings) -> Iterator[str]:
    """Which settings are others than those a version was tested with, each a sentence: its evidence is not theirs."""
    tested = said.get("configuration")
    now = {
        "take_bps": ("risk.take_bps", settings.risk.take_bps),
        "stop_bps": ("risk.stop_bps", settings.risk.stop_bps),
        "horizon": ("risk.horizon", settings.risk.horizon),
        "entry": ("execution.entry", settings.execution.entry),
    }
    for name, (key, value) in now.items():
        if isinstance(tested, Mapping) and name in tested and tested[name] != value:
            yield f"{key} is {value}, and the version was tested with {tested[name]}: set it so in the settings file"


def thaw(flags: argparse.Namespace, settings: Settings, versions: Versions) -> Told:
    """The version that CURRENT names serves again."""
    meta = settings.meta
    config = changed(flags, {"meta.version": ""})
    current = versions.current()
    serves = f"{current or 'no version'} {'serves' if meta.enabled else 'is current; meta.enabled is off'}"
    line = f"nothing is frozen any more: {config}; {serves}" if meta.version else f"nothing was frozen; {serves}"
    return Told({"frozen": None, "thawed": meta.version or None, "current": current, "config": str(config)}, (line,))


WORK: dict[str, Callable[[argparse.Namespace, Settings, Versions], Told]] = {
    "list": list_,
    "show": show,
    "rollback": rollback,
    "freeze": freeze,
    "thaw": thaw,
}


def changed(flags: argparse.Namespace, wanted: Mapping[str, object]) -> Path:
    """The settings file, changed.

    Raises:
        ConfigError: it is not to be changed, or the environment says otherwise and would win.
    """
    config: Path = flags.config or ROOT / "config.yaml"
    require_own(load_settings(flags.config), wanted)
    set_values(config, wanted)
    return config


def require_own(loaded: Loaded, keys: Iterable[str]) -> None:
    """Refuse to write settings that the environment sets, and would win: what is written has to hold.

    Raises:
        ConfigError: it does.
    """
    for key in keys:
        origin = loaded.origin.get(key, "")
        if origin.startswith(("environment", ".env")):
            raise ConfigError(
                f"{key}: expected it to be set in the settings file alone, saw it in {origin}; remove it there"
            )


def entries_of(versions: Versions, meta: MetaSettings, now_ns: int) -> tuple[Entry, ...]:
    """Every version in a folder, the oldest first, damaged ones with what is wrong."""
    current = _named(versions)
    serving = (meta.version or current) if meta.enabled else None
    return tuple(_entry(versions, name, current, serving, now_ns) for name in versions.names())


def _named(versions: Versions) -> str | None:
    """The version that CURRENT names; None where it is damaged, which a rollback mends."""
    try:
        return versions.current()
    except DataError:
        return None


def _damage(versions: Versions) -> str:
    """What is wrong with CURRENT; empty = nothing, or there is none."""
    try:
        versions.current()
    except DataError as error:
        return str(error)
    return ""


def _entry(versions: Versions, name: str, current: str | None, serving: str | None, now_ns: int) -> Entry:
    try:
        said, _ = versions.read(name)
    except DataError as error:
        return Entry(name, "", None, None, "", name == current, serves=False, damage=f"damaged: {error}")
    made = str(said["written"])
    verdict = said.get("verdict")
    return Entry(
        version=name,
        made=made,
        age_s=seconds_since(made, now_ns),
        trained=window(said.get("data")),
        verdict=verdict if isinstance(verdict, str) else "",
        current=name == current,
        serves=name == serving,
        damage="",
    )


def seconds_since(stamp: str, now_ns: int) -> float:
    """How long ago an ISO 8601 instant in UTC was, s; 0 where it is yet to come."""
    return max(0.0, float(now_ns - np.datetime64(stamp[:-1], "ns").astype(int)) / NS_PER_S)


def window(data: object) -> tuple[str, str] | None:
    """First and last close that a version was trained on."""
    if not isinstance(data, Mapping):
        return None
    ends = [data.get(name) for name in ("first", "last")]
    if not all(type(end) is int and 0 < end < 2**62 for end in ends):
        return None
    first, last = (f"{np.datetime64(end, 'ns').astype('M8[s]')}Z" for end in ends if isinstance(end, int))
    return first, last


def age(seconds: float | None) -> str:
    """How old something is, in its largest unit: 3 d, 5 h, 7 min."""
    if seconds is None:
        return "-"
    for unit, length in (("d", NS_PER_DAY), ("h", NS_PER_HOUR), ("min", NS_PER_MINUTE)):
        if seconds * NS_PER_S >= length:
            return f"{int(seconds * NS_PER_S // length)} {unit}"
    return "0 min"


def outlined(value: Any, indent: str) -> Iterator[str]:
    """A value of JSON in lines: a key a line, what is below it further in."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if isinstance(item, Mapping) and item:
                yield f"{indent}{name}:"
                yield from outlined(item, f"{indent}  ")
            else:
                yield f"{indent}{name}: {item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)}"


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
