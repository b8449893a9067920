"""Measure the live path: `python -m benchmarks.live_path [--rounds 41] [--json]`, from the socket's text to the vector.

One Bybit orderbook.50 delta after the other goes where a socket's text goes, through the hearing of a `LiveFeed` whose
listener keeps the event features: stamped, checked, applied, shown as a row, folded, every check on and the latency
noted. Beside it, in turns, the same messages go through json and ccxt.pro's own `handle_order_book`, which makes a book
and no features, and through the way of the nouns: `receive`, a `BookDelta`, a book put together once more. Before
anything is timed, both of ours must give the same vector after every message, and all books must be equal at the end.
Processor time of the process counts; the clock on the wall stands beside it. The messages are those of the recordings,
cut to 50 levels, one symbol at a time and all of them on one socket as they came; without recordings, of a random walk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import ccxt.pro
import numba

from benchmarks.wire import RECORDING, RECORDINGS, Ccxt, Message, Messages, ccxt_markets, made, recorded
from features.live import EventFeatures
from ingest.live.feed import LiveFeed
from ingest.venues.bybit.protocol import BybitProtocol
from ingest.wire.streams import Stream
from utils.errors import ConfigError, InvariantError
from utils.rows import Level, Rows
from utils.shell.cli import Parser, command, whole

#: Most microseconds of processor time a delta, from text to vector.
GOAL_US = 8.0
CLOCKS: dict[str, Callable[[], float]] = {"processor": time.process_time, "wall": time.perf_counter}
#: Best levels a side, of each symbol.
Books = dict[str, tuple[Sequence[Level], Sequence[Level]]]


class Part:
    """Messages of one socket: a snapshot of each symbol first, then deltas as they came."""

    def __init__(self, messages: Messages) -> None:
        self.symbols = tuple(messages)
        self.begin = [sequence[0] for sequence in messages.values()]
        self.deltas = sorted(delta for sequence in messages.values() for delta in sequence[1:])


class Hearing:
    """Ours: a live feed and its listener, without the socket."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def start(self) -> Callable[[Message], None]:
        """A feed that heard the snapshots; what hears a message."""
        self.features = EventFeatures(self.part.symbols)
        streams = [Stream("book", symbol) for symbol in self.part.symbols]
        now = [0]
        self.feed = LiveFeed("bybit", streams, stamp=lambda: now[0], listener=self.features)
        [link] = self.feed._links  # noqa: SLF001 - only a socket leads here
        link.protocol.connected(0)
        on_text = self.feed._hear  # noqa: SLF001

        def hear(message: Message) -> None:
            now[0], text = message
            on_text(link, text)

        for message in self.part.begin:
            hear(message)
        return hear

    def vector(self, symbol: str) -> Rows:
        """As it stands."""
        return self.features.vector(symbol)

    def books(self) -> Books:
        """As they stand."""
        views = {symbol: self.feed.book(symbol) for symbol in self.part.symbols}
        return {symbol: (view.bids, view.asks) for symbol, view in views.items()}


class Nouns:
    """Every message an event, and a second book made of the events."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def start(self) -> Callable[[Message], None]:
        """A core that heard the snapshots; what hears a message."""
        self.features = features = EventFeatures(self.part.symbols)
        self.protocol = BybitProtocol([Stream("book", symbol) for symbol in self.part.symbols])
        self.protocol.connected(0)
        receive = self.protocol.receive

        def hear(message: Message) -> None:
            for event in receive(message[1], message[0]):
                features.see(event)

        for message in self.part.begin:
            hear(message)
        return hear

    def vector(self, symbol: str) -> Rows:
        """As it stands."""
        return self.features.vector(symbol)

    def books(self) -> Books:
        """As they stand."""
        views = {symbol: self.protocol.book(symbol) for symbol in self.part.symbols}
        return {symbol: (view.bids, view.asks) for symbol, view in views.items()}


class Theirs:
    """json and ccxt.pro's own class."""

    def __init__(self, part: Part, exchange: Any) -> None:
        self.part = part
        self.paths = {symbol: Ccxt(exchange, symbol) for symbol in part.symbols}

    def start(self) -> Callable[[Message], None]:
        """A client that heard the snapshots; what hears a message."""
        path = next(iter(self.paths.values()))
        handle, client, loads = path.exchange.handle_order_book, path.client, json.loads

        def hear(message: Message) -> None:
            handle(client, loads(message[1]))

        for message in self.part.begin:
            hear(message)
        return hear

    def books(self) -> Books:
        """As they stand."""
        return {symbol: path.book() for symbol, path in self.paths.items()}


#: One of the ways that are timed.
Path: TypeAlias = Hearing | Nouns | Theirs


def check(part: Part, ours: Hearing, nouns: Nouns, theirs: Theirs) -> None:
    """Ours and the nouns agree after every message, and all books at the end.

    Raises:
        InvariantError: they do not.
    """
    hears = [path.start() for path in (ours, nouns, theirs)]
    for message in part.deltas:
        for hear in hears:
            hear(message)
        symbol = next(symbol for symbol in part.symbols if symbol.encode() in message[1])
        if ours.vector(symbol).tobytes() != nouns.vector(symbol).tobytes():
            raise InvariantError(f"{symbol}: the record and the nouns give different vectors; no speed is worth that")
    if not ours.books() == nouns.books() == theirs.books():
        raise InvariantError(f"{part.symbols}: the paths end with different books; no speed is worth that")


def seconds(path: Path, clock: Callable[[], float]) -> float:
    """Seconds a delta of one round."""
    hear, deltas = path.start(), path.part.deltas
    began = clock()
    for message in deltas:
        hear(message)
    return (clock() - began) / len(deltas)


def figures(part: Part, exchange: Any, rounds: int) -> dict[str, Any]:
    """Medians of one socket's messages in microseconds a delta, and of the ratios of equal rounds."""
    ours, nouns, theirs = Hearing(part), Nouns(part), Theirs(part, exchange)
    check(part, ours, nouns, theirs)
    paths: dict[str, Path] = {"ours": ours, "nouns": nouns, "ccxt": theirs}
    spent: dict[str, list[float]] = {f"{name}_{clock}": [] for name in paths for clock in CLOCKS}
    for turn in range(rounds + 1):
        for clock, read in CLOCKS.items():
            for name, path in paths.items():
                taken = seconds(path, read) * 1e6
                if turn:  # the first is for warming up
                    spent[f"{name}_{clock}"].append(taken)
    ratios = [a / b for a, b in zip(spent["ccxt_processor"], spent["ours_processor"], strict=True)]
    return {
        "deltas": len(part.deltas),
        **{f"{name}_us": statistics.median(values) for name, values in spent.items()},
        "ours_low_us": min(spent["ours_processor"]),
        "ours_high_us": max(spent["ours_processor"]),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }


async def measured(messages: Messages, rounds: int) -> dict[str, dict[str, Any]]:
    """The figures of each symbol, and of all of them on one socket."""
    exchange = ccxt.pro.bybit()
    exchange.set_markets(ccxt_markets())
    parts = {symbol: Part({symbol: sequence}) for symbol, sequence in messages.items()}
    try:
        return {name: figures(part, exchange, rounds) for name, part in (parts | {"together": Part(messages)}).items()}
    finally:
        await exchange.close()


def worst(found: dict[str, dict[str, Any]]) -> float:
    """Microseconds of processor time a delta where it costs most."""
    return max(float(row["ours_processor_us"]) for row in found.values())


def report(found: dict[str, dict[str, Any]], source: str) -> None:
    """The figures as a table."""
    print(f"Bybit orderbook.50 deltas, from the socket's text to the vector of the event features; {source}")
    print(f"Python {platform.python_version()}, ccxt {ccxt.pro.__version__}, numba {numba.__version__}")
    print("medians of processor time, us a delta; of ours that of the wall's clock, and the range over rounds\n")
    print(f"{'':<10}{'deltas':>7}{'ours':>28}{'by nouns':>10}{'ccxt+json, no vector':>22}   ccxt / ours")
    for name, row in found.items():
        low, high = row["ours_low_us"], row["ours_high_us"]
        ours = f"{row['ours_processor_us']:.2f} ({row['ours_wall_us']:.2f}; {low:.2f}-{high:.2f})"
        ratio = f"{row['ratio']:.2f} ({row['ratio_low']:.2f}-{row['ratio_high']:.2f})"
        print(
            f"{name:<10}{row['deltas']:>7}{ours:>28}{row['nouns_processor_us']:>10.2f}"
            f"{row['ccxt_processor_us']:>22.2f}   {ratio}"
        )
    print(f"\nslowest median {worst(found):.2f} us of processor time a delta; goal: at most {GOAL_US:g}")


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m benchmarks.live_path", description=__doc__)
    parser.add_argument("--rounds", type=whole, default=41, help="interleaved rounds; default 41")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure and report; 1 when the goal is not reached."""
    if options.rounds < 1:
        raise ConfigError(f"--rounds: expected at least 1, saw {options.rounds}")
    path = RECORDINGS / RECORDING
    messages, source = (recorded(path), path.name) if path.exists() else (made(), "made by a random walk")
    found = asyncio.run(measured(messages, options.rounds))
    if options.json:
        print(json.dumps({"source": source, "ours_us": worst(found), "parts": found}))
    else:
        report(found, source)
    return 0 if worst(found) <= GOAL_US else 1


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
