"""Train the meta-model on a data set, judge it out of sample, and say in one sentence what that is worth.

    python -m model.train_meta --data data/features.parquet --outdir model/artifacts
    python -m model.train_meta --data data/features.parquet --family logistic --json

A version of each learner is written below the folder, and what was found to `report.md` and `report.html` beside it. No
setting is changed: `python -m model.retrain` does that, when the gate opens. The usual verdict is `not enabled`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from backtest.data.dataset import DataSet, read_dataset
from model.report import Report, Written, best_of, places, report_of, write_report
from model.training import SERVING, Trained, train
from utils.config import load_settings
from utils.records.ledger import Kind, Ledger
from utils.records.lock import only_one
from utils.settings.tree import Settings
from utils.shell.cli import Parser, command, whole
from utils.shell.console import progress_console
from utils.shell.meter import Meter

#: How far a training steps back behind what else the machine does.
NICE = 10
REPORT = "report"


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        "python -m model.train_meta",
        "Train the meta-model on a data set and judge it out of sample; no setting is changed.",
        examples=(
            ("python -m model.train_meta --data data/features.parquet", "both learners, and a report"),
            ("python -m model.train_meta --data data/features.parquet --family logistic --json", "one, for scripts"),
        ),
    )
    add = parser.group("what is learned from")
    add("--data", type=Path, required=True, metavar="PATH", help="data set of python -m backtest.build_dataset")
    add("--family", choices=(*SERVING, "both"), default="both", help="learner (default: both, compared)")
    add = parser.group("where it goes")
    add("--outdir", type=Path, metavar="DIR", help="versions, records and the report (default: meta.dir)")
    add("--seed", type=whole, metavar="N", help="of learners and bootstraps (default: simulation.seed)")
    add("--config", type=Path, metavar="PATH", help="settings file (default: config.yaml beside the program)")
    add = parser.group("output")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add("--quiet", action="store_true", help="print the verdict alone")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="with an error, its traceback")
    return parser


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    settings = load_settings(flags.config).settings
    data = read_dataset(flags.data)
    with only_one(folder_of(flags, settings)):
        found, told, paths = trained(data, flags, settings, "training")
    if flags.json:
        print(json.dumps(told.row(), allow_nan=False))
        return 0
    if not flags.quiet:
        print(told.brief())
        print(paths)
    print(best_of(found).verdict)
    return 0


def trained(
    data: DataSet, flags: argparse.Namespace, settings: Settings, kind: Kind
) -> tuple[list[Trained], Report, Written]:
    """Train on a data set, behind what else the machine does, and write down what was found.

    Args:
        data: decisions with their labels.
        flags: `family`, `seed`, `outdir`, `json` and `quiet`.
        settings: where they are silent.
        kind: of trial.

    Raises:
        DataError: too few rows or labels, or a record that was changed.
        StorageError: something cannot be written.
    """
    step_back()
    folder, ledger = folder_of(flags, settings), Ledger(settings.meta.ledger)
    seed = settings.simulation.seed if flags.seed is None else flags.seed
    families = SERVING if flags.family == "both" else (flags.family,)
    console = progress_console(quiet=flags.json or flags.quiet)
    places(folder / REPORT)  # before a record goes on that nobody could be told of
    with Meter("training", "folds", console) as meter:
        found = train(
            data,
            folder,
            ledger,
            families=families,
            kind=kind,
            now_ns=time.time_ns(),
            seed=seed,
            threads=threads(),
            told=lambda _, done, total: meter.reach(done, total),
        )
    with Meter("judging", "parts", console) as meter:
        told = report_of(
            found, data, ledger, seed=seed, threads=threads(), told=lambda _, done, total: meter.reach(done, total)
        )
    return found, told, write_report(told, folder / REPORT)


def folder_of(flags: argparse.Namespace, settings: Settings) -> Path:
    """Where versions, records and the report are."""
    return flags.outdir or settings.meta.dir


def step_back() -> None:
    """Let whatever else runs on this machine go first."""
    if hasattr(os, "nice") and os.nice(0) < NICE:
        os.nice(NICE - os.nice(0))


def threads() -> int:
    """Threads of a training: all cores but one."""
    return max(1, (os.cpu_count() or 1) - 1)


main = command(build_parser, run)

if __name__ == "__main__":
    sys.exit(main())
