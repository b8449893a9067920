"""Measure the event features: `python -m benchmarks.events [--rounds 41] [--json]`.

All features of the book together, over the rows of one Bybit orderbook.50 message after the other, in batch: beside
it, in turns, the live-book path that makes those books (`benchmarks.wire`: text to checked book), and what a live run
pays on top of it for each message: the row, and the next live vector by one compiled call. Both ways give the same
bytes, which is looked at first. The messages are those of the recordings; without them, of a random walk in the same
shape.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Sequence

import numba
import numpy as np

from benchmarks.wire import RECORDING, RECORDINGS, Message, Messages, made, recorded
from features.fold import FeatureSet, matrix
from features.registry import BOOK_FEATURES, feature_set
from features.rows.book import BOOK_EVENT, show
from features.rows.sources import Source
from ingest.venues.bybit.protocol import BybitProtocol
from ingest.wire.streams import Stream
from utils.errors import ConfigError, InvariantError
from utils.market.book import change, new_books
from utils.rows import Rows
from utils.shell.cli import Parser, command, whole
from utils.types import BookDelta, BookSnapshot

#: Most microseconds a message that all book features together may cost in batch.
GOAL_US = 2.0


def book_events(symbol: str, messages: Sequence[Message]) -> list[BookSnapshot | BookDelta]:
    """The events of the messages, through the protocol core."""
    protocol = BybitProtocol([Stream("book", symbol)])
    protocol.connected(0)
    events = [event for recv_ns, text in messages for event in protocol.receive(text, recv_ns)]
    return [event for event in events if isinstance(event, BookSnapshot | BookDelta)]


def changes_of(events: Sequence[BookSnapshot | BookDelta]) -> list[tuple[Rows, Rows, bool]]:
    """What each event changes, as the compiled book eats it."""
    return [
        (
            np.array(event.bids, np.float64).reshape(-1, 2),
            np.array(event.asks, np.float64).reshape(-1, 2),
            isinstance(event, BookSnapshot),
        )
        for event in events
    ]


def rows_of(events: Sequence[BookSnapshot | BookDelta]) -> Rows:
    """A BOOK_EVENT row an event."""
    books, rows = new_books(1), np.zeros(len(events), BOOK_EVENT)
    for i, (event, (bids, asks, anew)) in enumerate(zip(events, changes_of(events), strict=True)):
        change(books, 0, bids, asks, anew)
        show(books, 0, event.ts, int(anew), rows[i : i + 1])
    return rows


class Paths:
    """The ways that are timed, over one symbol's messages."""

    def __init__(self, symbol: str, messages: Sequence[Message]) -> None:
        self.symbol, self.messages = symbol, messages
        self.events = book_events(symbol, messages)
        self.changes = changes_of(self.events)
        self.rows = rows_of(self.events)
        self.features = feature_set(source=Source.BOOK)
        self.out = np.empty(len(self.rows), self.features.dtype)

    def check(self) -> None:
        """Batch and live give the same bytes."""
        whole_set = FeatureSet(BOOK_FEATURES).batch(self.rows)
        live = feature_set(source=Source.BOOK)
        stepped = np.array([matrix(live.step(self.rows[i : i + 1]))[0].copy() for i in range(len(self.rows))])
        if stepped.tobytes() != np.ascontiguousarray(matrix(whole_set)).tobytes():
            raise InvariantError(f"{self.symbol}: batch and live differ; no speed is worth that")

    def batch(self) -> float:
        """Seconds for all book features of all rows."""
        self.features.reset()
        began = time.perf_counter()
        self.features.batch(self.rows, self.out)
        return time.perf_counter() - began

    def live_book(self) -> float:
        """Seconds for the live-book path: text to checked book."""
        protocol = BybitProtocol([Stream("book", self.symbol)])
        protocol.connected(0)
        protocol.receive(self.messages[0][1], self.messages[0][0])
        advance, deltas = protocol.advance, self.messages[1:]
        began = time.perf_counter()
        for recv_ns, text in deltas:
            if not advance(text, recv_ns):
                raise InvariantError(f"the fast door refused {text!r}")
        return time.perf_counter() - began

    def row(self) -> float:
        """Seconds to show each book as a row; the books are changed outside the clock."""
        books, row, spent = new_books(1), np.zeros(1, BOOK_EVENT), 0.0
        for bids, asks, anew in self.changes:
            change(books, 0, bids, asks, anew)
            began = time.perf_counter()
            show(books, 0, 0, 0, row)
            spent += time.perf_counter() - began
        return spent

    def vector(self) -> float:
        """Seconds for one live vector a row."""
        self.features.reset()
        step, rows = self.features.step, [self.rows[i : i + 1] for i in range(len(self.rows))]
        began = time.perf_counter()
        for row in rows:
            step(row)
        return time.perf_counter() - began


NAMES = ("batch", "live_book", "row", "vector")


def figures(paths: Paths, rounds: int) -> dict[str, float]:
    """Medians of one symbol, microseconds a message, in turns."""
    paths.check()
    spent: dict[str, list[float]] = {name: [] for name in NAMES}
    for turn in range(rounds + 1):
        for name in NAMES:
            seconds = getattr(paths, name)()
            if turn:  # the first is for warming up
                spent[name].append(seconds / len(paths.rows) * 1e6)
    ratios = [book / batch for book, batch in zip(spent["live_book"], spent["batch"], strict=True)]
    return {
        "messages": len(paths.rows),
        **{f"{name}_us": statistics.median(values) for name, values in spent.items()},
        "batch_high_us": max(spent["batch"]),
        "live_book_over_batch": statistics.median(ratios),
    }


def measured(messages: Messages, rounds: int) -> dict[str, dict[str, float]]:
    """The figures of each symbol."""
    return {symbol: figures(Paths(symbol, sequence), rounds) for symbol, sequence in messages.items()}


def worst(found: dict[str, dict[str, float]]) -> float:
    """The slowest symbol's median of the batch, microseconds a message."""
    return max(row["batch_us"] for row in found.values())


def report(found: dict[str, dict[str, float]], source: str) -> None:
    """The figures as a table."""
    print(f"{len(BOOK_FEATURES)} book features a message of Bybit orderbook.50; {source}")
    print(f"Python {platform.python_version()}, numba {numba.__version__}; medians, us a message\n")
    print(f"{'':<10}{'messages':>9}{'batch':>8}{'live book':>11}{'row':>7}{'vector':>8}   live book / batch")
    for symbol, row in found.items():
        print(
            f"{symbol:<10}{row['messages']:>9.0f}{row['batch_us']:>8.2f}{row['live_book_us']:>11.2f}{row['row_us']:>7.2f}"
            f"{row['vector_us']:>8.2f}   {row['live_book_over_batch']:.2f}"
        )
    print(f"\nslowest batch {worst(found):.2f} us a message; goal: at most {GOAL_US:g}")


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m benchmarks.events", description=__doc__)
    parser.add_argument("--rounds", type=whole, default=41, help="interleaved rounds; default 41")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure and report; 1 when the goal is not reached."""
    if options.rounds < 1:
        raise ConfigError(f"--rounds: expected at least 1, saw {options.rounds}")
    path = RECORDINGS / RECORDING
    messages, source = (recorded(path), path.name) if path.exists() else (made(), "made by a random walk")
    found = measured(messages, options.rounds)
    if options.json:
        print(json.dumps({"source": source, "batch_us": worst(found), "symbols": found}))
    else:
        report(found, source)
    return 0 if worst(found) <= GOAL_US else 1


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
