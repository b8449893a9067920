"""Headline claims, put to the test: what is found is printed and written down, also where the claim does not hold.

    python -m backtest.claims stops [--data PATH...] [--width 1 2 4] [--json] [--out FILE]
    python -m backtest.claims kelly [--data PATH...] [--json] [--out FILE]
    python -m backtest.claims micro [--data PATH...] [--tapes PATH...] [--json] [--out FILE]

`stops`: stops by the ATR are hit in vain 20 % less often than fixed ones. `kelly`: Kelly's rule sizes trades better
than a fixed fraction. `micro`: features of the microstructure make forecasts 15 % more accurate. All look at recorded
candles, if some are named, `micro` at recorded books too, and always at the mock market and at walks whose truth is
known: on a plain random walk nothing may be found.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from backtest.experiments import kelly, micro, stops
from backtest.experiments.data import Series, candle_files, mocked, recorded, walked
from backtest.experiments.page import Part, listed, require_page, write
from backtest.replication.data import Sample, mock_sample, samples_of, tapes_in
from ingest.tape import WIDTH
from utils.config import load_settings
from utils.errors import ConfigError
from utils.root import ROOT
from utils.settings.tree import Settings
from utils.shell.cli import Parser, amount, command, whole
from utils.shell.console import PlainConsole, progress_console
from utils.shell.meter import Meter

STOPS, KELLY, MICRO = "stops", "kelly", "micro"
EXPERIMENTS: dict[str, Any] = {STOPS: stops, KELLY: kelly, MICRO: micro}
#: Take and stop of `stops` where no flag says, as multiples of the settings'.
WIDTHS = (1.0, 2.0, 4.0)
#: The widest that may be asked for.
MOST_WIDTH = 40.0
#: Bars of the mock market where no flag says, the fewest and the most; a walk has three times as many.
BARS, FEWEST_BARS, MOST_BARS, WALK_TIMES = 60_000, 1_000, 200_000, 3
#: Walks of each kind.
WALKS = 8
MOST_SEED = 2**32 - 1
#: Bars of the mock market for which its book is looked at for a second; a walk's for two.
BARS_A_SECOND = 50
#: Books, and what each is counted with.
Books = list[tuple[Sample, str]]
#: The page.
PAGE = ROOT / "docs" / "claims.md"
TITLES = {
    STOPS: "Stops by the ATR, 20 % fewer false triggers",
    KELLY: "Kelly's rule against a fixed fraction",
    MICRO: "Microstructure, 15 % more accuracy",
}


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        "python -m backtest.claims",
        "Headline claims, put to the test: what is found is printed and written down, whatever it is.",
        usage="stops|kelly|micro [flags]",
        examples=(
            ("python -m backtest.claims stops --data data/ohlcv", "every candle file of a folder, and the controls"),
            ("python -m backtest.claims kelly --data A.parquet B.csv --out found.md", "two files, to a page of yours"),
            ("python -m backtest.claims stops --width 1 3", "no recordings: the mock market and the walks alone"),
            (
                "python -m backtest.claims micro --data data/ohlcv --tapes data/tapes",
                "candles with taker flow, and books",
            ),
            ("python -m backtest.claims kelly --json", "one JSON object, for scripts"),
        ),
    )
    parser.add_argument("claim", choices=tuple(EXPERIMENTS), metavar="CLAIM", help=" or ".join(EXPERIMENTS))
    add = parser.group("what it is tested on")
    add("--data", nargs="+", action="extend", metavar="PATH", help="candle files, patterns, or folders of them")
    add("--tapes", nargs="+", action="extend", metavar="PATH", help="of micro: tapes of books, or folders of them")
    add("--bars", type=whole, default=BARS, metavar="N", help=f"of the mock market, a walk has 3 N (default: {BARS})")
    add("--seed", type=whole, metavar="N", help="of everything drawn (default: that of the settings)")
    add = parser.group("how")
    add("--width", nargs="+", type=amount, metavar="W", help="take and stop, times the settings' (default: 1 2 4)")
    add("--config", type=Path, metavar="PATH", help="settings file (default: config.yaml beside the program)")
    add = parser.group("output")
    add("--out", type=Path, default=PAGE, metavar="FILE", help="page that gets the tables (default: docs/claims.md)")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="with an error, its traceback")
    return parser


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    _check(flags)
    settings = load_settings(flags.config).settings
    seed = settings.simulation.seed if flags.seed is None else flags.seed
    paths = candle_files(flags.data) if flags.data else []
    measure = _measure(flags, settings, seed)
    kinds: dict[str, tuple[list[str], list[Any]]] = {}
    console = progress_console(quiet=flags.json)
    if paths or flags.tapes:
        with Meter("reading", "files", console, len(paths)) as meter:
            series = [one for one in recorded(paths, settings, meter.reach) if flags.claim != MICRO or micro.flows(one)]
        samples = list(_books(flags.tapes, console))
        kinds["recorded"] = micro.named(listed(series), samples), measure(series, samples, coins=False)
    made, books = list(_made(flags, seed, settings, console)), list(_made_books(flags, seed))
    kinds["made"] = micro.named(listed(made), books), measure(made, books, coins=True)
    module = EXPERIMENTS[flags.claim]
    recorded_as = "recorded candles and books" if flags.claim == MICRO else "recorded candles"
    parts = [
        Part(
            f"{flags.claim}, {kind}",
            f"{TITLES[flags.claim]}: {recorded_as if kind == 'recorded' else 'made markets'}",
            flags.told,
            data,
            [module.cells(one) for one in found],
            module.answer(found),
        )
        for kind, (data, found) in kinds.items()
    ]
    write(flags.out, parts)
    if flags.json:
        rows = [
            {"data": kind, **_plain(asdict(one)), "verdict": one.verdict}
            for kind, (_, found) in kinds.items()
            for one in found
        ]
        told = {kind: data for kind, (data, _) in kinds.items()}
        print(json.dumps({"claim": flags.claim, "seed": seed, "data": told, "findings": rows}, allow_nan=False))
        return 0
    show(parts, module.BRIEF)
    if "recorded" not in kinds:
        print("no recordings were named (--data): this is of the mock market and of walks, and no evidence of a market")
    print(f"written to {flags.out.as_posix()}")
    return 0


def _measure(flags: argparse.Namespace, settings: Settings, seed: int) -> Callable[..., list[Any]]:
    """The experiment that is asked for, of series."""
    risk, widths = settings.risk.risk_per_trade, tuple(dict.fromkeys(flags.width or WIDTHS))

    def measure(series: list[Series], books: Books, *, coins: bool) -> list[Any]:
        if flags.claim == MICRO:
            return list(micro.findings(micro.events_of(series, books), seed))
        return list(
            stops.findings(series, widths, seed)
            if flags.claim == STOPS
            else kelly.findings(series, risk, seed, coins=coins)
        )

    return measure


def _made(flags: argparse.Namespace, seed: int, settings: Settings, console: Any) -> Iterator[Series]:
    with Meter("trading", "bars", console) as meter:
        yield mocked(flags.bars, seed, settings, meter.reach)
    for clustered in (False, True):
        if flags.claim == MICRO:
            yield micro.walk_series(WALK_TIMES * flags.bars, seed, settings, clustered=clustered)
        else:
            yield from walked(WALKS, WALK_TIMES * flags.bars, seed, settings, clustered=clustered)


def _books(paths: Sequence[str] | None, console: Any) -> Iterator[tuple[Sample, str]]:
    """What recorded books there are, and what they are counted with."""
    if paths:
        tapes = tapes_in(paths)
        with Meter("reading", "bytes", console, sum(path.stat().st_size for path in tapes)) as meter:
            for sample in samples_of(tapes, [], meter.reach):
                yield sample, micro.BOOKS


def _made_books(flags: argparse.Namespace, seed: int) -> Iterator[tuple[Sample, str]]:
    """Books of the mock market and of a walk, as long as the candles allow: a second for so many bars."""
    if flags.claim == MICRO:
        seconds = flags.bars // BARS_A_SECOND
        yield mock_sample(seed, seconds / 3600.0, lambda _: None), micro.MOCK_BOOKS
        yield micro.walk_book(2 * seconds, seed), micro.WALK_BOOKS


def _check(flags: argparse.Namespace) -> None:
    if not FEWEST_BARS <= flags.bars <= MOST_BARS:
        raise ConfigError(f"--bars: expected {FEWEST_BARS:,} to {MOST_BARS:,}, saw {flags.bars}; choose another number")
    if flags.seed is not None and not 0 <= flags.seed <= MOST_SEED:
        raise ConfigError(f"--seed: expected a whole number from 0 to {MOST_SEED}, saw {flags.seed}; choose another")
    if flags.width and flags.claim != STOPS:
        raise ConfigError(f"--width: it belongs to {STOPS}, saw {flags.claim}; leave it out")
    if flags.tapes and flags.claim != MICRO:
        raise ConfigError(f"--tapes: it belongs to {MICRO}, saw {flags.claim}; leave it out")
    for width in flags.width or ():
        if not 0.0 < width <= MOST_WIDTH:
            raise ConfigError(f"--width: expected numbers above 0, at most {MOST_WIDTH:g}, saw {width:g}; correct it")
    require_page(flags.out)


def _plain(value: Any) -> Any:
    """A value as JSON has it: what is no number is null."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(parts: Sequence[Part], heads: Sequence[str]) -> None:
    """The tables for people, of some columns, and what they say; the page has all."""
    console = PlainConsole(sys.stdout, WIDTH)
    for part in parts:
        console.print(Text(part.title, style="bold"))
        table = Table(box=None, pad_edge=False, header_style="dim")
        for head in heads:
            table.add_column(head, justify="left" if head in {"trades of", "rule", "market", "learner"} else "right")
        for row in part.rows:
            table.add_row(*(row[head] for head in heads))
        console.print(table)
        for sentence in part.said:
            console.print(Text(sentence))
        console.print()


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
