"""Published results of market microstructure, measured again on recorded books or on the mock market.

    python -m backtest.replicate --data PATH... [--symbol BTCUSDT] [--json] [--out DIR]
    python -m backtest.replicate --synthetic [--seed 7] [--hours 1] [--json] [--out DIR]

PATH is a tape or a folder of tapes (`ingest.tape`). What does not hold is printed as it is, and what a recording is too
short for is not measured. None of it is a forecast that pays: most of these explain the move of their own window.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from backtest.replication.data import Sample, mock_sample, samples_of, tapes_in
from backtest.replication.studies import FAILS, HOLDS, UNDECIDED, UNMEASURED, Measured, measure
from ingest.tape import WIDTH
from utils.errors import ConfigError
from utils.market.symbols import normalise_symbol
from utils.shell.cli import Parser, amount, command, whole
from utils.shell.console import PlainConsole, progress_console
from utils.shell.meter import Meter

#: Of the mock market, where no flag says.
USUAL_SEED, USUAL_HOURS = 7, 1.0
#: A week is a billion events; all its rows are held at once.
MOST_HOURS = 168.0
COLOURS = {HOLDS: "green", FAILS: "red", UNDECIDED: "yellow"}


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        "python -m backtest.replicate",
        "Published results of market microstructure, measured again on recorded books.",
        examples=(
            ("python -m backtest.replicate --data data/tapes", "every market in a folder of recordings"),
            ("python -m backtest.replicate --data FILE --symbol BTCUSDT --out plots", "one market, with pictures"),
            ("python -m backtest.replicate --synthetic --hours 2", "the mock market, to see what it looks like"),
            ("python -m backtest.replicate --data FILE --json", "one JSON list, for scripts"),
        ),
    )
    add = parser.group("what is measured")
    add("--data", nargs="+", action="extend", metavar="PATH", help="tapes or folders of them, in order of time")
    add("--symbol", metavar="SYMBOL", help="only these, several with commas (default: all)")
    add = parser.group("the mock market instead")
    add("--synthetic", action="store_true", help="the mock market instead of recordings")
    add("--seed", type=whole, metavar="N", help=f"of the mock market (default: {USUAL_SEED})")
    add("--hours", type=amount, metavar="H", help=f"of the mock market (default: {USUAL_HOURS:g})")
    add = parser.group("output")
    add("--out", type=Path, metavar="DIR", help="save plots there, a sheet a symbol and one of all results")
    add("--json", action="store_true", help="print one JSON list and nothing else")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="with an error, its traceback")
    return parser


def run(flags: Any) -> int:
    """Do what the flags say."""
    _check(flags)
    measured: list[Measured] = []
    for sample in _samples(flags):
        one = measure(sample)
        if flags.out and one.drawn:
            from backtest.replication.plots import save_sheet

            save_sheet(one, flags.out)
        measured.append(replace(one, drawn={}))
    if flags.out:
        from backtest.replication.plots import save_forest

        save_forest(measured, flags.out)
    if flags.json:
        print(json.dumps([finding.row for one in measured for finding in one.findings], allow_nan=False))
        return 0
    console = PlainConsole(sys.stdout, WIDTH)
    for one in measured:
        show(one, console)
    if flags.out:
        print(f"plots: {flags.out.as_posix()}")
    return 0


def _check(flags: Any) -> None:
    if bool(flags.data) == flags.synthetic:
        seen = "both" if flags.data else "neither"
        raise ConfigError(f"expected --data PATH or --synthetic, saw {seen}; choose one")
    for name in ("seed", "hours"):
        if flags.data and getattr(flags, name) is not None:
            raise ConfigError(
                f"--{name}: it belongs to --synthetic, and --data names recordings; leave one of them out"
            )
    if flags.hours is not None and not 0.0 < flags.hours <= MOST_HOURS:
        raise ConfigError(
            f"--hours: expected a number above 0, at most {MOST_HOURS:g}, saw {flags.hours:g}; choose one"
        )
    if flags.synthetic and flags.symbol:
        raise ConfigError("--symbol: it belongs to --data, and the mock market has one symbol; leave it out")
    for place in (flags.out, *flags.out.parents) if flags.out else ():
        if place.exists() and not place.is_dir():
            raise ConfigError(f"--out: expected a folder, saw the file {place}; name another")


def _samples(flags: Any) -> Iterator[Sample]:
    console = progress_console(quiet=flags.json)
    if flags.synthetic:
        hours = USUAL_HOURS if flags.hours is None else flags.hours
        with Meter("trading", "seconds", console, 3600.0 * hours) as meter:
            yield mock_sample(USUAL_SEED if flags.seed is None else flags.seed, hours, meter.reach)
        return
    symbols = [normalise_symbol(name) for name in flags.symbol.split(",")] if flags.symbol else []
    paths = tapes_in(flags.data)
    with Meter("reading", "MB", console, sum(path.stat().st_size for path in paths), size=1e6) as meter:
        yield from samples_of(paths, symbols, meter.reach)


def show(one: Measured, console: Console) -> None:
    """The findings of a sample for people: a table, what was too short in the last lines."""
    console.print(Text(f"{one.symbol}, {one.recording}", style="bold"))
    console.print(one.about)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("result", "paper", "ours", "low", "high", "n", "", "note"):
        table.add_column(head, justify="right" if head in {"paper", "ours", "low", "high", "n"} else "left")
    for finding in one.findings:
        value = finding.estimate
        if finding.verdict == UNMEASURED:
            continue
        numbers = ("-" if math.isnan(x) else f"{x:.3f}" for x in (value.value, value.low, value.high))
        verdict = Text(finding.verdict, style=COLOURS.get(finding.verdict, "dim"))
        table.add_row(
            finding.name, finding.claim.text, *numbers, f"{value.n:,}", verdict, Text(finding.remark, style="dim")
        )
    if table.row_count:
        console.print(table)
    reasons: dict[str, list[str]] = {}
    for finding in one.findings:
        if finding.verdict == UNMEASURED:
            reasons.setdefault(finding.note, []).append(finding.name)
    for reason, names in reasons.items():
        console.print(Text(f"not measured: {'; '.join(names)}: {reason}", style="dim"))
    console.print()


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
