"""Whether the model that serves still fits: its features, what its probabilities promised, what its trades earned.

    python -m model.drift --data data/features.parquet         newer bars than it was trained on
    python -m model.drift --logs-dir logs                      what it said of trades that are over
    python -m model.drift --data data/features.parquet --act   and do what the verdict says

The last line is the verdict: ok, watch, retrain, fall back, or not judged. Nothing here ever turns a model on; with
`--act` a model that has to fall back is turned off.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from backtest.data.dataset import DataSet, read_dataset
from ml.learning.drift import (
    ENOUGH_ROWS,
    ENOUGH_TRADES,
    SCALE,
    Action,
    Gap,
    Shift,
    Verdict,
    shifts,
    verdict,
)
from model.predictions import Journal, joined, no_journal, predicted
from model.registry import WIDTH, changed
from model.training import fitted_of
from utils.config import load_settings
from utils.errors import ConfigError, DataError
from utils.records.reader import iso_time, tail
from utils.records.versions import Versions
from utils.settings.tree import RiskSettings, Settings
from utils.shell.cli import INTERRUPTED, Parser, command
from utils.shell.console import PlainConsole, progress_console
from utils.shell.meter import Meter

#: Features that are shown: those that moved most.
SHOWN = 10
#: What a verdict is called.
WORDS = {
    Action.UNJUDGED: "not judged",
    Action.OK: "ok",
    Action.WATCH: "watch - trade smaller",
    Action.RETRAIN: "retrain",
    Action.FALL_BACK: "fall back",
}


def build_parser() -> Parser:
    """The flags."""
    line = "python -m model.drift"
    parser = Parser(
        line,
        "Whether the model that serves still fits its market; nothing here turns a model on.",
        examples=(
            (f"{line} --data data/features.parquet", "its features, on newer bars, and the trades in logs.dir"),
            (f"{line} --logs-dir logs paper", "what it said of the trades of two runs"),
            (f"{line} --data data/features.parquet --act", "turn it off where it has to fall back"),
            (f"{line} --data data/features.parquet --json", "one JSON object, for scripts"),
        ),
        exits=(
            "0 a verdict, whichever",
            "1 our fault or the machine's",
            "2 no such version, nothing to judge it by, or data of another one; a flag, setting or file of yours",
            f"{INTERRUPTED} Ctrl-C or SIGTERM",
        ),
    )
    add = parser.group("what is judged, and by what")
    add("--data", type=Path, metavar="PATH", help="data set of python -m backtest.build_dataset, newer than its own")
    add(
        "--logs-dir",
        type=Path,
        action="extend",
        nargs="+",
        metavar="DIR",
        help="folders of signals.csv and trades.csv, a run each (default: logs.dir)",
    )
    add("--version", metavar="VERSION", help="version that is judged (default: the one that serves)")
    add = parser.group("where it is")
    add("--dir", "--outdir", type=Path, metavar="DIR", help="folder of the versions (default: meta.dir)")
    add("--config", type=Path, metavar="PATH", help="settings file (default: config.yaml beside the program)")
    add = parser.group("what becomes of it")
    add("--act", action="store_true", help="where the verdict is fall back, set meta.enabled: false; else nothing")
    add = parser.group("output")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add("--quiet", action="store_true", help="print the last line alone")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="with an error, its traceback")
    return parser


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    settings = load_settings(flags.config).settings
    model = judged_of(flags, settings)
    quiet = flags.json or flags.quiet
    said, why_not = journal_of(flags, settings, model)
    if flags.data is None and not said.trades:
        raise DataError(f"{why_not}; name a data set with --data, or the logs of a run that it served with --logs-dir")
    moved = Moved((), 0, 0, "no --data was named")
    if flags.data is not None:
        with Meter("comparing", "features", progress_console(quiet=quiet)) as meter:
            moved = moved_of(read_dataset(flags.data), flags.data, model, meter)
    found = Found(model, moved, said, why_not, *said.gaps())
    line, acted = answer(found, flags, settings)
    if flags.json:
        print(json.dumps({**found.row(), "acted": acted, "line": line}, allow_nan=False))
        return 0
    if not flags.quiet:
        console = PlainConsole(sys.stdout, WIDTH)
        for each in found.lines(settings):
            console.print(each) if isinstance(each, Table) else console.say(Text(each))
    print(line)
    return 0


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The version that is judged."""

    name: str
    said: Mapping[str, Any]  # its manifest
    since: int  # first close that it was trained on, ns
    until: int  # the last label that it knew was over by then, ns
    serves: bool


def judged_of(flags: argparse.Namespace, settings: Settings) -> Judged:
    """The version that is named, or else the one that serves.

    Raises:
        ConfigError: none is named, and none serves.
        DataError: it is not as it was written, or does not say on what it was trained.
    """
    meta = settings.meta
    versions = Versions(flags.dir or meta.dir)
    here = versions.folder.resolve() == meta.dir.resolve()
    serving = (meta.version if here else "") or versions.current()
    name = flags.version or serving
    if name is None:
        raise ConfigError(
            f"{versions.folder}: expected a version that serves, saw none; name one with --version (python -m "
            "model.registry list shows them), or train one with ./scripts/retrain.sh"
        )
    said, parts = versions.read(name)
    until = fitted_of(said, parts).until
    try:
        since = int(said["data"]["first"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{name}: expected on which data it was trained, saw nothing of it; train anew") from error
    return Judged(name, said, since, until, serves=meta.enabled and here and name == serving)


def journal_of(flags: argparse.Namespace, settings: Settings, model: Judged) -> tuple[Journal, str]:
    """What the logs hold of a version, and why they hold nothing; empty = they do.

    Raises:
        DataError: a folder that was named cannot be read.
    """
    named = flags.logs_dir is not None
    folders = flags.logs_dir if named else [settings.logs.dir]
    if not named and not any((folders[0] / name).exists() for name in ("trades.csv", "run.json")):
        return no_journal(), f"{folders[0]}: no log files of a run there"
    whole = no_journal()
    for folder in folders:
        tables = tail(folder).tables
        if "signals" not in tables:
            raise DataError(
                f"{folder}: expected signals.csv beside trades.csv, saw none; name the folder of a whole run"
            )
        whole = joined(whole, predicted(tables["signals"], tables["trades"], model.name, model.until, str(folder)))
    where = ", ".join(map(str, folders))
    if not whole.own:
        return whole, f"{where}: no signal there was judged by {model.name} ({whole.others:,} by other versions)"
    if not whole.trades:
        return whole, (
            f"{where}: {model.name} judged {whole.own:,} signals there, and no trade of one after its training, "
            f"{iso_time(model.until)[:16]}Z, is over"
        )
    return whole, ""


@dataclass(frozen=True, slots=True)
class Moved:
    """The features of newer rows beside those of the training."""

    features: tuple[Shift, ...]  # none = they were not compared
    training: int  # rows
    now: int  # rows
    why_not: str  # empty = they were


def moved_of(data: DataSet, path: Path, model: Judged, meter: Meter) -> Moved:
    """How far each feature moved since the training.

    Raises:
        DataError: the data set has other features than the version, or is of another market.
    """
    said, table = model.said, data.table
    anew = "build one with python -m backtest.build_dataset as the version's own was, or judge another with --version"
    if data.manifest.get("fingerprint") != said.get("fingerprint") or list(table.names) != said.get("features"):
        raise DataError(
            f"{path}: expected the features of {model.name} ({said.get('fingerprint')!s:.12}), saw others "
            f"({data.manifest.get('fingerprint')!s:.12}); {anew}"
        )
    markets = [
        f"{' '.join(one['symbols'])} {one['timeframe']}"
        for one in (said["configuration"], data.manifest["configuration"])
    ]
    if markets[0] != markets[1]:
        raise DataError(f"{path}: expected {markets[0]} as {model.name} was trained on, saw {markets[1]}; {anew}")
    training = table.x[(table.ts >= model.since) & (table.ts <= model.until)]
    now = table.x[table.ts > model.until]
    for rows, when in ((training, "up to"), (now, "after")):
        if len(rows) < ENOUGH_ROWS:
            return Moved(
                (),
                len(training),
                len(now),
                f"{path} has {len(rows):,} of the {ENOUGH_ROWS} rows that it takes {when} the training's end, "
                f"{iso_time(model.until)[:16]}Z; build a longer one",
            )
    names = table.names
    meter.reach(0, len(names))
    found = shifts(names, training, now, told=lambda done: meter.reach(done, len(names)))
    return Moved(found, len(training), len(now), "")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """All that was found of a version."""

    model: Judged
    moved: Moved
    journal: Journal
    why_no_trades: str  # empty = there are some
    calibration: Gap
    edge: Gap

    @property
    def verdict(self) -> Verdict:
        """What to do."""
        return verdict(self.moved.features, self.calibration, self.edge)

    @property
    def scale(self) -> float:
        """Share of its size that is to be traded; 0 = nothing by this model."""
        action = self.verdict.action
        if action is Action.FALL_BACK:
            return 0.0
        return SCALE if action in (Action.WATCH, Action.RETRAIN) else 1.0

    def row(self) -> dict[str, Any]:
        """As JSON holds it; null = not known."""
        told = self.verdict
        return {
            "version": self.model.name,
            "serves": self.model.serves,
            "trained_until": iso_time(self.model.until),
            "action": told.action.name.lower(),
            "reason": told.reason,
            "scale": self.scale,
            "rows": {"training": self.moved.training, "now": self.moved.now},
            "features": [
                {**_known(asdict(one)), "action": one.action.name.lower()} for one in worst(self.moved.features)
            ],
            "calibration": {**_known(asdict(self.calibration)), "judged": self.calibration.judged},
            "edge_bps": {**_known(asdict(self.edge)), "judged": self.edge.judged},
            "left_out": {name: getattr(self.journal, name) for name in ("others", "unsaid", "learned", "twice")},
            "notes": [why for why in (self.moved.why_not, self.why_no_trades) if why],
        }

    def lines(self, settings: Settings) -> list[str | Table]:
        """For people, without the last line."""
        model, moved, journal = self.model, self.moved, self.journal
        serves = "it serves" if model.serves else "it does not serve"
        found: list[str | Table] = [f"{model.name}, trained until {iso_time(model.until)[:16]}Z; {serves}"]
        if moved.why_not:
            found.append(f"features: not judged: {moved.why_not}")
        else:
            found.append(
                f"features: {moved.now:,} rows since, beside {moved.training:,} of the training; those that moved most:"
            )
            found.append(table_of(worst(moved.features)[:SHOWN]))
        if self.why_no_trades:
            found.append(f"trades: not judged: {self.why_no_trades}")
        else:
            found += [_calibration(self.calibration), _edge(self.edge)]
        if left := [
            f"{count:,} {what}"
            for count, what in (
                (journal.others, "signals of other versions"),
                (journal.unsaid, "trades of whose signal this version said nothing"),
                (journal.learned, "trades of bars that it was trained on"),
                (journal.twice, "trades that an earlier folder holds, too"),
            )
            if count
        ]:
            found.append(f"left out: {', '.join(left)}")
        if 0.0 < self.scale < 1.0:
            found.append(smaller(settings.risk, self.scale))
        return found


def worst(features: Sequence[Shift]) -> list[Shift]:
    """Those that moved most first."""
    return sorted(features, key=lambda one: (-one.action, -one.excess))


def table_of(features: Sequence[Shift]) -> Table:
    """Features as a table."""
    table = Table("FEATURE", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("PSI", "by chance", "KS"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in features:
        distance = "-" if math.isnan(one.ks) else f"{one.ks:.2f}"
        table.add_row(one.name, f"{one.psi:.2f}", f"{one.noise:.2f}", distance, one.action.name.lower())
    return table


def smaller(risk: RiskSettings, scale: float) -> str:
    """Where a smaller size is set."""
    key = "risk_per_trade" if risk.sizing == "risk" else "fixed_notional"
    was = float(getattr(risk, key))
    return f"size: trade {scale:g} of it until then: risk.{key}: {scale * was:g} in the settings file (it is {was:g})"


def _calibration(gap: Gap) -> str:
    low, high = gap.low + gap.said, gap.high + gap.said
    told = f"says {100 * gap.said:.0f} %, wins {100 * gap.seen:.0f} % ({100 * low:.0f}-{100 * high:.0f})"
    return _trades("calibration", gap, told)


def _edge(gap: Gap) -> str:
    ends = "" if math.isnan(gap.low) else f" ({gap.low + gap.said:+.1f} to {gap.high + gap.said:+.1f})"
    return _trades("edge", gap, f"expects {gap.said:+.1f} bps, earns {gap.seen:+.1f}{ends}")


def _trades(what: str, gap: Gap, told: str) -> str:
    """What trades show, or that they are too few."""
    if gap.judged:
        return f"{what}: {told} over {gap.trades:,} trades"
    few = f"{what}: not judged: {gap.trades} of the {ENOUGH_TRADES} trades that it takes"
    return f"{few}; so far it {told}" if gap.trades else few


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON holds it: NaN is null."""
    return {name: None if isinstance(item, float) and math.isnan(item) else item for name, item in row.items()}


def answer(found: Found, flags: argparse.Namespace, settings: Settings) -> tuple[str, bool]:
    """The last line, and whether a setting was changed: `meta.enabled` to false, never to true.

    Raises:
        ConfigError: the settings file is not to be changed.
    """
    told = found.verdict
    line = f"drift: {WORDS[told.action]}: {told.reason}"
    if told.action is Action.RETRAIN:
        return f"{line}; ./scripts/retrain.sh", False
    if told.action is not Action.FALL_BACK:
        return line, False
    if not flags.act:
        return f"{line}; set meta.enabled: false or python -m model.registry rollback", False
    if not settings.meta.enabled:
        return f"{line}; meta.enabled is off already", False
    if not found.model.serves:
        return f"{line}; it is not the version that serves, and nothing was changed", False
    config = changed(flags, {"meta.enabled": False})
    return f"{line}; meta.enabled is false now in {config.name}: no model serves from the next start of a run on", True


main = command(build_parser, run)

if __name__ == "__main__":
    sys.exit(main())
