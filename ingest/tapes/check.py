"""Is a recording whole? Every message goes through the protocol cores, and what they find is counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ingest.tapes.file import Line, TapeReader
from ingest.tapes.play import Player, recognise
from ingest.venues.known import recorded
from ingest.wire.streams import Counts
from utils.rows import NS_PER_MS, NS_PER_S
from utils.types import Bar, BookDelta, BookInvalid, BookSnapshot, Funding, Liquidation, MarkPrice, Quote, Trade

#: Lines between two reports of progress.
STEP = 5_000
#: Width of what is printed where there is no terminal.
WIDTH = 160
#: A fastest message that took longer than this is a clock that is set wrong.
AHEAD_MS = 10_000
#: What is counted, and summed into the totals.
COUNTED = ("events", "snapshots", "sequence_breaks", "duplicates", "crossed", "bad_messages", "invalid")
#: What should be none in a recording that is whole, in words.
FAULTS = {
    "sequence_breaks": "sequence breaks",
    "duplicates": "repeated or late lines",
    "crossed": "crossed books or quotes",
    "bad_messages": "bad messages",
    "invalid": "intervals without a valid book",
    "books_without_snapshot": "books that never begin",
    "dropped": "messages the recorder dropped",
    "disconnects": "lost connections",
    "back": "steps back of the receive clock",
}
#: (bytes of compressed file read so far)
Progressed = Callable[[int], None]

#: Kind of stream of an event.
KIND_OF: dict[type, str] = {
    **dict.fromkeys((BookSnapshot, BookDelta, BookInvalid), "book"),
    **dict.fromkeys((MarkPrice, Funding), "mark"),
    Trade: "trades",
    Bar: "bars",
    Quote: "quote",
    Liquidation: "liquidations",
}
#: Kinds whose events carry the time at which the exchange sent them.
_STAMPED = {kind: name for kind, name in KIND_OF.items() if name in {"book", "trades", "quote", "liquidations"}}


class Lags:
    """Receive time less exchange time, message by message: the line's latency plus the clocks' difference."""

    def __init__(self) -> None:
        self.least = 2**62  # ns
        self.by_ms: Counter[int] = Counter()

    def add(self, lag: int) -> None:
        """One more message, ns."""
        self.least = min(self.least, lag)
        self.by_ms[lag // NS_PER_MS] += 1

    @property
    def min_ms(self) -> float | None:
        """That of the fastest message, ms; None without any."""
        return round(self.least / NS_PER_MS, 3) if self.by_ms else None

    @property
    def median_ms(self) -> int | None:
        """The median, whole ms; None without any."""
        half = sum(self.by_ms.values()) / 2.0
        for lag in sorted(self.by_ms):
            half -= self.by_ms[lag]
            if half <= 0.0:
                return lag
        return None


class Check:
    """What is found in one recording: a file, and those that go on from it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.lines = self.messages = self.dropped = self.connects = self.disconnects = self.back = 0
        self.unheard = 0  # lines that do not say when they came
        self.latency_ms = 0.0  # how long after it was sent each of those is taken to have come
        self.first = self.last = 0  # receive time, ns
        self.cuts: list[str] = []
        self.lags: defaultdict[tuple[str, str], Lags] = defaultdict(Lags)
        self.counts: dict[tuple[str, str], Counts] = {}
        self.markets: list[str] = []
        self.stamped = True  # best bid and ask come with their time

    def run(self, progressed: Progressed) -> Check:
        """Read the recording to its end.

        Raises:
            DataError: a file is not there, is no tape, or is damaged before its end.
        """
        player = Player(recognise(TapeReader(self.paths[0])))
        self.markets = sorted(player.markets.values())
        self.stamped = all(recorded(name).market.stamps_quotes for name in self.markets)
        done = 0
        for path in self.paths:
            reader = TapeReader(path)
            for line in reader:
                self._take(line, player)
                if self.lines % STEP == 0:
                    progressed(done + reader.position)
            done += reader.size
            if reader.cut:
                self.cuts.append(f"{path.name}: {reader.cut}")
        self.latency_ms = player.latency_ms
        progressed(done)
        self.counts = player.counts()
        unknown = self.counts.setdefault(("", ""), Counts())
        unknown.bad_messages += player.strange
        return self

    def _take(self, line: Line, player: Player) -> None:
        self.lines += 1
        if line.event:
            self.connects += line.event == "connect"
            self.disconnects += line.event == "disconnect"
            self.dropped += line.missing
        else:
            self.messages += 1
        unheard = player.unheard
        line = player.timed(line)
        unheard = player.unheard - unheard
        self.unheard += unheard
        self.first = self.first or line.recv_ns
        if line.recv_ns >= self.last:
            self.last = line.recv_ns
        else:
            self.back += 1
        events = player.play(line)
        if line.event:
            return
        for event in events:
            kind = _STAMPED.get(type(event))
            unsaid = kind == "quote" and not self.stamped  # such quotes carry no time but ours
            if kind and not (unsaid or unheard):  # of those the lag is only what was assumed
                self.lags[event.symbol, kind].add(line.recv_ns - event.ts)

    @property
    def all_lags(self) -> Lags:
        """Those of all streams together."""
        together = Lags()
        for lags in self.lags.values():
            together.least = min(together.least, lags.least)
            together.by_ms += lags.by_ms
        return together

    @property
    def clock(self) -> str:
        """What the receive clock is worth, one sentence."""
        least = self.all_lags.min_ms
        if self.unheard:
            return (
                f"receive times not recorded in {self.unheard:,} lines: each is taken to have come"
                f" {self.latency_ms:g} ms after it was sent"
            )
        if least is None:
            return "receive clock not known: no message carries the exchange's time"
        if least < 0.0:
            return f"receive clock {-least:,.0f} ms behind the exchange: times are corrected by that"
        if least > AHEAD_MS:
            return f"receive clock {least / 1e3:,.1f} s ahead of the exchange, or messages are as late as that"
        return f"receive clock not behind the exchange: the fastest message took {least:,.0f} ms"

    def report(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        lags = self.all_lags
        return {
            "files": [path.name for path in self.paths],
            "markets": self.markets,
            "first": _iso(self.first),
            "last": _iso(self.last),
            "seconds": round((self.last - self.first) / NS_PER_S, 3),
            "clock": {
                "offset_min_ms": lags.min_ms,
                "offset_median_ms": lags.median_ms,
                "text": self.clock,
            },
            "cut": self.cuts,
            "totals": totals_of([self]),
            "streams": streams_of(self.counts, self.lags),
        }


def check(paths: Sequence[str | Path], progressed: Progressed = lambda _: None) -> list[Check]:
    """What is found in these files: one answer a recording, as rotated files that go on from each other are one.

    Args:
        paths: tape files, in order of time.
        progressed: told how many bytes of all files are behind us.

    Raises:
        DataError: a file is not there, is no tape, or is damaged before its end.
    """
    found: list[Check] = []
    behind = 0
    for recording in recordings([Path(path) for path in paths]):
        begun = behind
        found.append(Check(recording).run(lambda done, begun=begun: progressed(begun + done)))  # type: ignore[misc]
        behind += sum(path.stat().st_size for path in recording)
    return found


def recordings(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """The files of each recording: one that begins with open connections goes on from the one before it."""
    together: list[Path] = []
    for path in paths:
        first = next(iter(TapeReader(path)), None)
        if together and not (first and first.event == "continue"):
            yield together
            together = []
        together.append(path)
    if together:
        yield together


def report_of(found: Sequence[Check]) -> dict[str, Any]:
    """One object for all recordings: `totals` and `streams` are sums over them, `recordings` holds each."""
    counts: dict[tuple[str, str], Counts] = {}
    for each in found:
        for key, one in each.counts.items():
            counts[key] = counts[key] + one if key in counts else one
    return {
        "files": [path.name for each in found for path in each.paths],
        "totals": totals_of(found),
        "streams": streams_of(counts, found[0].lags if len(found) == 1 else {}),
        "recordings": [each.report() for each in found],
    }


def totals_of(found: Sequence[Check]) -> dict[str, Any]:
    """Sums over all streams; `messages` are all lines that are no events, `control` those of them of no stream."""
    all_counts = [counts for each in found for counts in each.counts.values()]
    trades, books = (
        [counts for each in found for (_, kind), counts in each.counts.items() if kind == wanted]
        for wanted in ("trades", "book")
    )
    sums: dict[str, Any] = {name: sum(getattr(counts, name) for counts in all_counts) for name in COUNTED}
    sums["invalid_s"] = round(sum(counts.invalid_ns for counts in all_counts) / NS_PER_S, 3)
    sums["trade_id_gaps"] = sum(counts.sequence_breaks for counts in trades)
    sums["books_without_snapshot"] = sum(counts.messages > 0 and not counts.snapshots for counts in books)
    sums["control"] = sum(each.counts[("", "")].messages for each in found)
    for name in ("lines", "dropped", "connects", "disconnects", "back"):
        sums[name] = sum(getattr(each, name) for each in found)
    return {"messages": sum(each.messages for each in found), **sums}


def streams_of(
    counts: dict[tuple[str, str], Counts], lags: dict[tuple[str, str], Lags]
) -> dict[str, dict[str, dict[str, Any]]]:
    """By symbol, then by kind of stream: book, trades, quote, mark, bars, liquidations."""
    streams: dict[str, dict[str, dict[str, Any]]] = {}
    for (symbol, kind), seen in sorted(counts.items()):
        if symbol and (seen.messages or seen.events):
            lag = lags.get((symbol, kind), Lags())
            streams.setdefault(symbol, {})[kind] = {
                "messages": seen.messages,
                **{name: getattr(seen, name) for name in COUNTED},
                "invalid_s": round(seen.invalid_ns / NS_PER_S, 3),
                "first": _iso(seen.first_ts),
                "last": _iso(seen.last_ts),
                "offset_min_ms": lag.min_ms,
                "offset_median_ms": lag.median_ms,
            }
    return streams


def _iso(ns: int) -> str | None:
    """ISO 8601, UTC, milliseconds."""
    if not ns:
        return None
    moment = datetime.fromtimestamp(ns // NS_PER_S, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % NS_PER_S // NS_PER_MS:03d}Z"


def show(found: Sequence[Check], console: Console) -> None:
    """The findings for people: a table a recording, and what to make of it."""
    for each in found:
        report = each.report()
        totals = report["totals"]
        console.print(Text(", ".join(report["files"]), style="bold"))
        console.print(
            f"{', '.join(each.markets) or 'no exchange'}: {totals['messages']:,} messages"
            f" in {report['seconds']:,.1f} s, {report['first'] or 'never'} to {report['last'] or 'never'}"
        )
        console.print(_table(report["streams"]))
        console.print(each.clock)
        for cut in each.cuts:
            console.print(Text(f"not whole: {cut}", style="yellow"))
        faults = [f"{totals[name]:,} {words}" for name, words in FAULTS.items() if totals[name]]
        if faults:
            console.print(Text(f"found: {', '.join(faults)}", style="yellow"))
        elif not totals["messages"]:
            console.print(Text("empty: no message of a stream", style="yellow"))
        else:
            upto = "up to there" if each.cuts else "whole"
            console.print(Text(f"{upto}: nothing is missing, repeated, crossed or unreadable", style="green"))


def _table(streams: dict[str, dict[str, dict[str, Any]]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    heads = ("symbol", "stream", "messages", "events", "snapshots", "breaks", "repeated", "crossed", "bad")
    for head in (*heads, "invalid", "invalid s", "first", "last", "clock min ms", "median"):
        table.add_column(head, justify="left" if head in {"symbol", "stream", "first", "last"} else "right")
    names = ("messages", "events", "snapshots", "sequence_breaks", "duplicates", "crossed", "bad_messages", "invalid")
    for symbol, kinds in streams.items():
        for kind, seen in kinds.items():
            offsets = [seen["offset_min_ms"], seen["offset_median_ms"]]
            table.add_row(
                symbol,
                kind,
                *(f"{seen[name]:,}" for name in names),
                f"{seen['invalid_s']:,.1f}",
                *((seen[end] or "")[11:23] for end in ("first", "last")),
                *("" if offset is None else f"{offset:,.0f}" for offset in offsets),
            )
    return table
