"""Tapes: record what an exchange sends, play it back, see whether it is whole, make candles of it.

`python -m ingest.tape check FILE` and `bars FILE` are its commands; `--help` shows how. `scripts/record.py` records;
`ingest.tapes.file` says what stands in a file.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ingest.tapes.check import KIND_OF, STEP, WIDTH, Progressed, check, recordings, report_of, show
from ingest.tapes.file import SUFFIX, Line, TapeReader
from ingest.tapes.play import Player, recognise
from ingest.tapes.record import Recorded, Recorder, record
from ingest.wire.streams import KINDS
from utils.errors import ConfigError
from utils.market.symbols import normalise_symbol
from utils.shell.cli import Parser, guarded, with_hyphens
from utils.shell.console import PlainConsole, progress_console
from utils.shell.log import event as log
from utils.shell.meter import Meter
from utils.types import MarketEvent

__all__ = [
    "STEP",
    "SUFFIX",
    "WIDTH",
    "Line",
    "Player",
    "Progressed",
    "Recorded",
    "Recorder",
    "TapeFeed",
    "TapeReader",
    "lines",
    "main",
    "recognise",
    "record",
    "recordings",
    "replay",
]

logger = logging.getLogger("ingest")

#: What its commands do, and lines to type.
ABOUT = {
    "check": "Is a recording whole? Counts what is missing, repeated, crossed or unreadable.",
    "bars": "Candles of a recording's trades, for backtests: --data takes them.",
}
EXAMPLES = {
    "check": (
        ("python -m ingest.tape check FILE", "is it whole?"),
        ("python -m ingest.tape check data/tapes/*.zst --json", "all of them, as JSON"),
    ),
    "bars": (
        ("python -m ingest.tape bars FILE --tf 5m", "candles of five minutes, into data/candles"),
        ("python -m ingest.tape bars FILE --symbol BTCUSDT --out BTCUSDT-1m.parquet", "one market, one file"),
    ),
}

Source = str | Path | Sequence[str | Path]

#: Events of a tape between two turns of the others.
TURN = 1024


def lines(path: str | Path) -> Iterator[Line]:
    """The lines of a tape file, in order; one that a crash cut short is read as far as it is whole, and that is logged.

    Raises:
        DataError: missing, not a tape, or damaged before its end; names the line.
    """
    reader = TapeReader(path)
    yield from reader
    if reader.cut:
        log(logger, "tape_cut", reader.cut, severity=logging.WARNING, file=reader.path.name)


def replay(
    path: Source, *, symbols: Sequence[str] = (), kinds: Sequence[str] = (), feed_latency_ms: float | None = None
) -> Iterator[MarketEvent]:
    """The market events of a recording, through the protocol cores, in the order they were received.

    What a live feed made of the same messages, its clock correction included. Only what the shell did is left out: a
    reader that was too slow then has its dropped events here.

    Args:
        path: a tape file, or several in order of time; files that the recorder turned over are one recording.
        symbols: only these, in any spelling; none = all.
        kinds: of `ingest.wire.streams.KINDS`: only these; none = all.
        feed_latency_ms: of messages whose receive time was not recorded (`recv_ns` null): they came so long after their
            exchange time, and that is logged; None = the default of the setting `ingest.feed_latency_ms`.

    Raises:
        ConfigError: an unknown kind or symbol.
        DataError: a file is missing, no tape, or damaged before its end; names the line.
    """
    wanted = {normalise_symbol(symbol) for symbol in symbols}
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ConfigError(f"kinds: expected some of {', '.join(KINDS)}, saw {unknown[0]!r}; choose of these")
    paths = [path] if isinstance(path, str | Path) else path
    for together in recordings([Path(each) for each in paths]):
        player = Player(recognise(TapeReader(together[0])), feed_latency_ms)
        for line in chain.from_iterable(lines(each) for each in together):
            for noun in player.play(line):
                if (not wanted or noun.symbol in wanted) and (not kinds or KIND_OF[type(noun)] in kinds):
                    yield noun


@dataclass(frozen=True, slots=True)
class TapeFeed:
    """A recording as a `utils.ports.Feed`: each reading begins anew."""

    path: Source
    symbols: tuple[str, ...] = ()  # none = all
    kinds: tuple[str, ...] = ()

    async def __aiter__(self) -> AsyncIterator[MarketEvent]:
        for number, event in enumerate(replay(self.path, symbols=self.symbols, kinds=self.kinds)):
            if number % TURN == 0:
                await asyncio.sleep(0)  # a tape never waits: others of the loop have their turn, and Ctrl-C
            yield event


def build_parser(command: str) -> Parser:
    """The flags of one command."""
    parser = Parser(
        f"python -m ingest.tape {command}", ABOUT[command], usage="FILE... [flags]", examples=EXAMPLES[command]
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="recordings, in order of time")
    if command == "bars":
        add = parser.group("which candles")
        add("--tf", "--timeframe", default="1m", metavar="TF", help="length of a candle (default: 1m)")
        add("--symbol", metavar="SYMBOL", help="only these, several with commas (default: all)")
    add = parser.group("output")
    if command == "bars":
        folder = Path("data/candles")
        add("--out", type=Path, default=folder, metavar="PATH", help="folder or .parquet file (default: data/candles)")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="with an error, its traceback")
    return parser


def build_overview() -> Parser:
    """What `python -m ingest.tape --help` shows: its commands."""
    parser = Parser(
        "python -m ingest.tape",
        "Recordings of an exchange's streams: see whether one is whole, make candles of it. COMMAND --help shows more.",
        usage="COMMAND FILE... [flags]",
        examples=[example for command in ABOUT for example in EXAMPLES[command]],
    )
    commands = parser.add_argument_group("commands")
    for command, what in ABOUT.items():
        commands.add_argument(command, help=what)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 done, 1 ours, 2 yours, 130 Ctrl-C)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: _run(with_hyphens(arguments)), arguments)


def _run(arguments: Sequence[str]) -> int:
    commands: dict[str, Callable[[Any], int]] = {"check": _check, "bars": _bars}
    command = arguments[0] if arguments else ""
    if command in {"-h", "--help"}:
        print(build_overview().format_help(), end="")
        return 0
    if command not in commands:
        near = difflib.get_close_matches(command, commands, 1)
        hint = f"did you mean {near[0]}?" if near else "python -m ingest.tape --help shows how"
        raise ConfigError(f"expected a command, {' or '.join(commands)}, saw {command!r}; {hint}")
    return commands[command](build_parser(command).parse_args(arguments[1:]))


def _meter(what: str, flags: Any) -> Meter:
    total = sum(TapeReader(path).size for path in flags.files)
    return Meter(what, "MB", progress_console(quiet=flags.json), total, size=1e6)


def _check(flags: Any) -> int:
    with _meter("checking", flags) as meter:
        found = check(flags.files, meter.reach)
    if flags.json:
        print(json.dumps(report_of(found), allow_nan=False))
    else:
        show(found, PlainConsole(sys.stdout, WIDTH))
    return 0


def _bars(flags: Any) -> int:
    from ingest.tapes.bars import bars_of, save_bars

    symbols = [normalise_symbol(name) for name in flags.symbol.split(",")] if flags.symbol else []
    with _meter("reading", flags) as meter:
        found = bars_of(flags.files, flags.tf, symbols, meter.reach)
    if flags.out.suffix == ".parquet" and len(found) > 1:
        names = ", ".join(bars.symbol for bars in found)
        raise ConfigError(f"--out: expected a folder for the candles of {names}, saw one file; name one --symbol")
    written = []
    for bars in found:
        path = save_bars(bars, flags.out)
        about = {"symbol": bars.symbol, "bars": len(bars.rows), "missing": bars.missing, "empty": bars.empty}
        written.append({**about, "tf": bars.tf, "market": bars.market, "path": path.as_posix()})
        if not flags.json:
            print(
                f"{bars.symbol}: {len(bars.rows):,} bars of {bars.tf}, {bars.missing:,} missing between them,"
                f" {bars.empty:,} without a trade: {path}"
            )
    if flags.json:
        print(json.dumps({"written": written}, allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
