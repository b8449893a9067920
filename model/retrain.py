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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backtest.build_dataset import add_data_flags, build, settings_of
from backtest.build_dataset import check as check_data
from backtest.data.dataset import DataSet, read_dataset
from backtest.data.market import warmup_of
from features.registry import fingerprint
from ml.learning.fit import CALIBRATION
from ml.learning.fit import FEWEST_TRADES as FEWEST_THRESHOLD
from ml.learning.gate import FEWEST_DAYS
from ml.learning.walk import FIRST
from model.registry import main as registry
from model.registry import require_own
from model.report import best_of
from model.train_meta import folder_of, trained
from model.training import SERVING, Trained, against_champion, table_days
from utils.config import load_settings
from utils.errors import ConfigError, DataError
from utils.market.timeframes import TIMEFRAMES
from utils.records.lock import only_one
from utils.records.versions import Versions
from utils.root import ROOT
from utils.rows import NS_PER_DAY
from utils.settings.edit import set_values
from utils.settings.tree import Settings
from utils.shell.cli import Parser, command, whole

#: Days that `--page-back` asks for where it does not say: 60 hold 36 days out of sample.
PAGE_BACK = 60


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        "python -m model.retrain",
        "Data set, training and gate in one; the settings change only where the gate opens.",
        examples=(
            ("python -m model.retrain --symbol BTCUSDT --tf 5m --limit 2000", "the exchange's last 2,000 bars"),
            ("python -m model.retrain --page-back 90", "ninety days of them"),
            ("python -m model.retrain --data BTCUSDT-5m.parquet", "your candles"),
            ("python -m model.retrain --freeze 20261130T080000-1a2b3c4d", "serve that version, whatever comes"),
        ),
    )
    add_data_flags(parser)
    add = parser.group("how much of it")
    add(
        "--page-back",
        type=whole,
        nargs="?",
        const=PAGE_BACK,
        metavar="DAYS",
        help=f"fetch so many days instead of --limit bars (without a number: {PAGE_BACK})",
    )
    add(
        "--family", choices=(*SERVING, "both"), default="both", help="learner (default: both, each with its own record)"
    )
    add = parser.group("what becomes of it")
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
    require_own(loaded, ("meta.enabled", "meta.dir", "meta.version"))
    settings = loaded.settings
    config = flags.config or ROOT / "config.yaml"
    folder = folder_of(flags, settings)
    if flags.freeze is not None:
        return registry(["freeze", flags.freeze, "--dir", str(folder), "--config", str(config)])
    asked = settings_of(flags).settings
    page_back(flags, asked)
    check_data(flags, asked)
    if flags.gross:
        raise ConfigError(
            "--gross: only what pays its costs is enabled; leave it out, or study it with model.train_meta"
        )
    with only_one(folder):
        built = build(flags, asked, quiet=flags.json or flags.quiet)
        data = read_dataset(flags.out)
        if data.manifest["content"] != built["content"]:
            raise DataError(
                f"{flags.out}: expected the data set that was just built, saw another; name an --out of its own"
            )
        found, told, paths = trained(data, flags, settings, "retrain")
        said, enabled = decide(best_of(found), data, folder, config, settings, flags.force)
    for line in said:
        if line.startswith("FORCED") and (flags.json or flags.quiet):
            print(line, file=sys.stderr)
    if flags.json:
        print(json.dumps({**told.row(), "enabled": enabled, "verdict": said[-1]}, allow_nan=False))
        return 0
    if not flags.quiet:
        print(told.brief())
        print(paths)
        for line in filter(None, (too_small(data), *said[:-1])):
            print(line)
    print(said[-1])
    return 0


def page_back(flags: argparse.Namespace, settings: Settings) -> None:
    """Make bars of the days that are to be fetched.

    Raises:
        ConfigError: no day, or bars were named, too.
    """
    if flags.page_back is None:
        return
    if flags.page_back < 1:
        raise ConfigError(f"--page-back: expected at least 1 day, saw {flags.page_back}; leave it out to use --limit")
    for name in ("data", "limit", "since", "until"):
        if getattr(flags, name) is not None:
            raise ConfigError(f"--page-back: it says how much is fetched, and so does --{name}; leave one of them out")
    a_day = NS_PER_DAY / TIMEFRAMES[settings.market.timeframe]
    flags.limit = warmup_of(settings) + math.ceil(flags.page_back * a_day)


def decide(
    best: Trained,
    data: DataSet,
    folder: Path,
    config: Path,
    settings: Settings,
    force: bool,
) -> tuple[list[str], bool]:
    """Enable the version or leave all as it is; what is to be said of that, its last line last.

    Every enabling needs the gate on the configuration's own record, a newer version of the one that serves, too: the
    record is the evidence of both. One of another configuration than the version that serves needs it on differences
    to that one's record besides.

    Raises:
        ConfigError: the settings file cannot be changed; what served serves on.
    """
    meta = settings.meta
    if meta.enabled and meta.version and not force:
        return [f"not enabled: {meta.version} is frozen and serves on; python -m model.registry thaw ends that"], False
    if data.manifest["fingerprint"] != fingerprint():
        return [
            "not enabled: a run computes the registered features alone, and this data set has others besides"
        ], False
    asked = best.verdict
    serving = (meta.version or Versions(meta.dir).current()) if meta.enabled else None
    if serving is not None and asked.opens:
        other = against_champion(best, meta.dir, serving, asked.tried, seed=settings.simulation.seed)
        asked = other or asked
    if not asked.opens and not force:
        return [str(asked)], False
    said = []
    if not asked.opens:
        said.append(f"FORCED: the gate says {asked}; you enable a model that could not be told from luck")
    said += enable(best.version, folder, config, settings, best.record.configuration)
    if math.isinf(best.fitted.meta.threshold_bps):
        said.append("its threshold is out of reach: at present it refuses every signal")
    said.append(f"enabled: {best.version} serves {' '.join(data.table.symbols)}")
    return said, True


def enable(version: str, folder: Path, config: Path, settings: Settings, configuration: Mapping[str, Any]) -> list[str]:
    """Let a version serve, by one write: of the settings file where that has to change, else of CURRENT.

    Where the settings' barriers are others than those it was tested with, they are set to these, and that is said.
    Meanwhile a version that serves is held by its name, so that it never meets barriers that are not its own.

    Raises:
        ConfigError: the file cannot be changed; what served serves on.
    """
    elsewhere = folder.resolve() != settings.meta.dir.resolve()
    place = folder.resolve() if elsewhere else settings.meta.dir
    wanted: dict[str, object] = {"meta.enabled": True, "meta.dir": place.as_posix(), "meta.version": ""}
    said = []
    if settings.meta.version:
        said.append(f"meta.version is emptied: {settings.meta.version} was frozen")
    for key, section, name in (
        ("risk.take_bps", settings.risk, "take_bps"),
        ("risk.stop_bps", settings.risk, "stop_bps"),
        ("risk.horizon", settings.risk, "horizon"),
        ("execution.entry", settings.execution, "entry"),
    ):
        if (was := getattr(section, name)) != (now := configuration[name]):
            wanted[key], elsewhere = now, True
            said.append(f"{key} is set to {now} (it was {was}): the model was tested with it")
    for key, was, now in (
        ("market.timeframe", settings.market.timeframe, configuration["timeframe"]),
        ("market.symbol", settings.market.symbol, configuration["symbols"][0]),
    ):
        if was != now:
            said.append(f"it judges {now}, and {key} is {was}: ask for {now}, or it is refused")
    serving = Versions(settings.meta.dir).current() if settings.meta.enabled and not settings.meta.version else None
    if elsewhere and serving is not None:
        set_values(config, {"meta.version": serving})
    Versions(folder).make_current(version)
    if elsewhere or settings.meta.version or not settings.meta.enabled:
        set_values(config, wanted)
    return said


def too_small(data: DataSet) -> str:
    """What has to be said of a window that is too small to choose a threshold by, or to be judged; empty = nothing."""
    table = data.table
    since = table.ts[math.floor((1.0 - CALIBRATION) * len(table))]
    signals = int(np.count_nonzero(table.allowed.any(axis=1) & (table.ts >= since)))
    days = table_days(table)
    why = ""
    if signals < FEWEST_THRESHOLD:
        why = (
            f"the {100 * CALIBRATION:.0f} % of it that choose a threshold hold {signals} signals, and "
            f"{FEWEST_THRESHOLD} trades are needed: the model will take none"
        )
    elif days * (1.0 - FIRST) < FEWEST_DAYS:
        why = f"a first training judges {100 * (1.0 - FIRST):.0f} % of it, and {FEWEST_DAYS} days must be judged"
    return why and f"warning: {days:.1f} days are too small a window: {why}; page back (--page-back {PAGE_BACK})"


main = command(build_parser, run)

if __name__ == "__main__":
    sys.exit(main())
