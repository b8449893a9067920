"""One command from market data to a calibrated signal, or to why there is none: data set, training, gate, settings.

    python -m model.retrain --symbol BTCUSDT --tf 5m --horizon 20 --take_bps 25 --stop_bps 18 --exchange bybit
    python -m model.retrain --data BTCUSDT-5m.parquet          your candles
    python -m model.retrain --freeze VERSION                   serve exactly this version from now on

The usual end is `not enabled` and exit code 0: nothing was found that could be told from luck, and the settings stay as
they are. Where the gate opens, the version serves and `meta.enabled` is turned on in config.yaml. Whatever fails leaves
the old model serving.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backtest.build_dataset import add_data_flags, built
from utils.records.lock import only_one

from backtest.data.dataset import DataSet, write_dataset
from ml.learning.gate import Verdict
from model.report import report_of, write_report
from model.train_meta import REPORT, best_of, step_back, threads
from model.training import SERVING, Trained, against_champion, table_days, train
from utils.config import load_settings
from utils.errors import ConfigError
from utils.records.ledger import Ledger
from utils.records.versions import Versions
from utils.root import ROOT
from utils.settings.edit import set_values
from utils.settings.tree import Settings
from utils.shell.cli import Parser, command, whole
from utils.shell.console import progress_console
from utils.shell.meter import Meter

#: Days that `--page_back` asks for where it does not say: 60 hold 36 days out of sample.
PAGE_BACK = 60
#: Share of a window that a first training judges.
JUDGED = 0.6


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        "python -m model.retrain",
        "Data set, training and gate in one; the settings change only where the gate opens.",
        examples=(
            ("python -m model.retrain --symbol BTCUSDT --tf 5m --limit 2000", "the exchange's last 2,000 bars"),
            ("python -m model.retrain --page_back 90", "ninety days of them"),
            ("python -m model.retrain --data BTCUSDT-5m.parquet", "your candles"),
            ("python -m model.retrain --freeze 20261130T080000-1a2b3c4d", "serve that version, whatever comes"),
        ),
    )
    add_data_flags(parser)
    add = parser.group("how much of it")
    add(
        "--page_back",
        "--page-back",
        type=whole,
        nargs="?",
        const=PAGE_BACK,
        metavar="DAYS",
        help=f"fetch so many days instead of --limit bars (without a number: {PAGE_BACK})",
    )
    add = parser.group("what becomes of it")
    add("--out", type=Path, default=Path("data/features.parquet"), metavar="PATH", help="where the data set is written")
    add("--outdir", type=Path, metavar="DIR", help="versions, records and the report (default: meta.dir)")
    add("--force", action="store_true", help="enable the version whatever the gate says, loudly")
    add("--freeze", metavar="VERSION", help="train nothing: serve exactly this version from now on")
    add("--seed", type=whole, metavar="N", help="of learners and bootstraps (default: simulation.seed)")
    add = parser.group("output")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add("--quiet", action="store_true", help="print the last line alone")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="with an error, its traceback")
    return parser


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    loaded = load_settings(flags.config)
    settings = loaded.settings
    config = flags.config or ROOT / "config.yaml"
    folder = flags.outdir or settings.meta.dir
    if flags.freeze is not None:
        return freeze(flags.freeze, folder, config)
    seed = settings.simulation.seed if flags.seed is None else flags.seed
    ledger = Ledger(folder / settings.meta.ledger.name if flags.outdir else settings.meta.ledger)
    quiet = flags.json or flags.quiet
    with only_one(folder):
        step_back()
        data = built(flags, settings, quiet=quiet)
        write_dataset(data, flags.out)
        with Meter("training", "folds", progress_console(quiet=quiet)) as meter:
            found = train(
                data,
                folder,
                ledger,
                families=SERVING,
                kind="retrain",
                now_ns=time.time_ns(),
                seed=seed,
                threads=threads(),
                told=lambda _, done, total: meter.reach(done, total),
            )
        told = report_of(found, data, ledger, seed=seed)
        paths = write_report(told, folder / REPORT)
        best = best_of(found)
        said, enabled = decide(best, data, folder, config, settings, ledger, force=flags.force, seed=seed)
    if flags.json:
        print(json.dumps({**told.row(), "enabled": enabled, "verdict": said[-1]}, allow_nan=False))
        return 0
    if not flags.quiet:
        print(told.brief())
        print(f"report: {paths.markdown.as_posix()}, {paths.html.as_posix()}")
        for line in window_words(best.verdict, data):
            print(line)
        for line in said[:-1]:
            print(line)
    print(said[-1])
    return 0


def decide(
    best: Trained,
    data: DataSet,
    folder: Path,
    config: Path,
    settings: Settings,
    ledger: Ledger,
    *,
    force: bool,
    seed: int,
) -> tuple[list[str], bool]:
    """Enable the version or leave all as it is; what is to be said of that, its last line last.

    Every enabling needs the gate on the configuration's own record, a newer version of the one that serves, too: the
    record is the evidence of both. One of another configuration than the version that serves needs it on differences
    to that one's record besides.
    """
    versions = Versions(folder)
    serving = versions.current() if settings.meta.enabled else None
    asked = best.verdict
    if settings.meta.enabled and settings.meta.version and not force:
        frozen = settings.meta.version
        return [f"not enabled: {frozen} is frozen and serves on; python -m model.registry thaw lets others in"], False
    if serving is not None:
        other = against_champion(best, folder, serving, ledger.count(), seed=seed)
        if other is not None and asked.opens:
            asked = other
    if not asked.opens and not force:
        return [str(asked)], False
    said = []
    if not asked.opens:
        said.append(f"FORCED: the gate says {asked}; you enable a model that could not be told from luck")
    enable(best.version, folder, config, settings, best.record.configuration, said)
    said.append(f"enabled: {best.version} serves {' '.join(data.table.symbols)}")
    return said, True


def enable(
    version: str, folder: Path, config: Path, settings: Settings, configuration: Mapping[str, Any], said: list[str]
) -> None:
    """Let a version serve: CURRENT first, then the settings, each whole or not at all.

    Where the settings' barriers are others than those it was tested with, they are set to these, and that is said.
    """
    wanted: dict[str, object] = {"meta.enabled": True, "meta.dir": folder.as_posix()}
    for key in ("take_bps", "stop_bps", "horizon"):
        was, now = getattr(settings.risk, key), configuration[key]
        if was != now:
            wanted[f"risk.{key}"] = now
            said.append(f"risk.{key} is set to {now:g} (it was {was:g}): the model was tested with it")
    if settings.execution.entry != configuration["entry"]:
        wanted["execution.entry"] = configuration["entry"]
        said.append(f"execution.entry is set to {configuration['entry']}: the model was tested with it")
    Versions(folder).make_current(version)
    set_values(config, wanted)


def freeze(version: str, folder: Path, config: Path) -> int:
    """Serve exactly one version from now on."""
    Versions(folder).read(version)
    set_values(config, {"meta.enabled": True, "meta.dir": folder.as_posix(), "meta.version": version})
    print(f"frozen: {version} serves, whatever is trained; python -m model.registry thaw ends that")
    return 0


def window_words(verdict: Verdict, data: DataSet) -> list[str]:
    """What the window can show, and the days still needed."""
    seen = verdict.outlook
    days = table_days(data.table)
    said = []
    if days * JUDGED < 30.0:
        said.append(
            f"the window of {days:.1f} days is too small: a first training judges {100 * JUDGED:.0f} % of it, and 30 "
            f"days must be judged; page back (--page_back {PAGE_BACK}) or let the daily retrains add up"
        )
    if math.isnan(seen.smallest_bps):
        said.append("smallest edge this window can show: not known, fewer than two trades were taken out of sample")
    else:
        said.append(
            f"smallest edge this window can show: {seen.smallest_bps:.1f} bps a trade after costs "
            f"(2.5 sd / sqrt n, sd {seen.sd_bps:.1f}, n {seen.trades})"
        )
    said.append(f"days still needed: {_days(seen.days_needed)} before anything is judged; {_edge(seen)}")
    return said


def _edge(seen: Any) -> str:
    return f"about {_days(seen.edge_days)} for the gate at a mean of {seen.edge_bps:.1f} bps a trade"


def _days(days: float) -> str:
    return "more than can be said" if not math.isfinite(days) else f"{math.ceil(days):,}"


def check(flags: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is fetched."""
    if flags.page_back is not None and flags.page_back < 1:
        raise ConfigError(f"--page_back: expected at least 1 day, saw {flags.page_back}; leave it out to use --limit")


main = command(build_parser, run)

if __name__ == "__main__":
    sys.exit(main())
