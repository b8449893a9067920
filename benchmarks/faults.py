"""Every fault against the real live feed: `python -m benchmarks.faults [--seeds 20] [--kinds gap,stall] [--json]`.

Each run has an exchange in a box of its own, and the feed as a strategy has it, over real sockets. When both books are
live, one thing goes wrong at a moment the seed decides, with the seed's choice of the fault's details. Then must hold:
no change of a book comes between its BookInvalid and its next snapshot; in the end the books equal the box's truth,
both the feed's and the one that a reader builds from the events; from BookInvalid to the next snapshot pass at most 2 s
and the waits that the feed made on purpose (backoff, Retry-After). Exit code 1 when a bar does not hold.

So that it ends in minutes, backoff, heartbeat and staleness are short (`SETTINGS`), and many boxes run at once; the
times are therefore those of a busy machine. A run that fails while the machine keeps the whole process waiting is
tried again, and counted. Kinds that strike answers a live feed never asks
for (candles by REST) are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import random
import signal
import statistics
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import rich.console
import rich.progress

from ingest.box.faults.desk import FAULT_KINDS, Fault
from ingest.live.feed import LiveFeed
from ingest.replay_server import ReplayServer
from ingest.wire.core import WAIT_NS
from ingest.wire.streams import BookView, Stream
from utils.errors import ConfigError, DataUnavailable
from utils.rows import NS_PER_MINUTE, NS_PER_S, Level
from utils.settings.tree import IngestSettings
from utils.shell.cli import Parser, command, whole
from utils.types import Bar, BookDelta, BookInvalid, BookSnapshot, MarketEvent

SYMBOLS = ("BTCUSDT", "ETHUSDT")
SETTINGS = IngestSettings(
    timeout_s=1.0, backoff_s=0.05, backoff_max_s=0.3, heartbeat_s=0.5, stale_s=1.0, max_frame_mib=0.5
)
#: A candle closes so long after a box begins, s; for kinds that concern closed candles.
CLOSE_S = 2.5
#: Longest time from BookInvalid to the next snapshot, waits on purpose not counted, s.
BAR_S = 2.0
#: Longest wait for a fault to strike, and for the feed to be whole again, s.
PATIENCE_S = 15.0
#: Time in which late consequences of a fault may still show, s.
LINGER_S = 0.4
#: Time between two looks at what is waited for, s.
LOOK_S = 0.02
#: A failed run in which everything stood still for so long (s) says nothing; it is tried again, so often at most.
BUSY_S, MOST_AGAIN = 0.2, 3
#: Levels a side that are compared.
LEVELS = 20


class Waits:
    """What is waited on purpose: the feed's backoff, and the protocol's between two requests for a fresh book."""

    def __init__(self, box: ReplayServer) -> None:
        self.box = box
        self.feed: LiveFeed | None = None
        self.answers: list[tuple[str, float]] = []  # address and when it was answered, monotonic s

    def tap(self, _: int, url: str, _text: str | bytes, event: str = "", /) -> None:
        """Sees what passes the feed's sockets."""
        if event == "http":
            self.answers.append((url, time.monotonic()))
        elif event == "disconnect":
            self.answers.clear()  # the next request follows from that

    def backoff_s(self) -> float:
        """The feed's own, so far."""
        return self.feed.stats().waited_s if self.feed else 0.0

    def protocol_s(self, symbol: str, since: float) -> float:
        """From each answer since a moment (monotonic, s) to the request that follows it."""
        asked = [seen.at for seen in self.box.requests if seen.query.get("symbol") == symbol]
        answered = [at for url, at in self.answers if symbol in url and at > since]
        return sum(min(next_at) - at for at in answered if (next_at := [one for one in asked if one > at]))


class Reader:
    """Follows a feed's events as a strategy would, and notes what must never be.

    Args:
        waits: what is waited on purpose, and no part of a recovery; None = nothing.
    """

    def __init__(self, waits: Waits | None = None) -> None:
        self.waits = waits
        self.kinds: Counter[type] = Counter()
        self.nouns: deque[MarketEvent] = deque(maxlen=10_000)
        self.invalid: list[BookInvalid] = []
        self.wrong: list[str] = []
        self.recoveries: list[float] = []  # s, from a BookInvalid to the next snapshot, less waits on purpose
        self.books: dict[str, tuple[dict[float, float], dict[float, float]]] = {}  # the live ones
        self.lost: dict[str, tuple[float, float]] = {}  # invalid books: since when, and the backoff until then, s

    def take(self, noun: MarketEvent) -> None:
        """The next event."""
        self.kinds[type(noun)] += 1
        self.nouns.append(noun)
        if isinstance(noun, BookSnapshot):
            if noun.symbol in self.lost:
                self.recoveries.append(self.recovery(noun.symbol))
            self.books[noun.symbol] = (dict(noun.bids), dict(noun.asks))
        elif isinstance(noun, BookInvalid):
            self.invalid.append(noun)
            self.books.pop(noun.symbol, None)
            self.lost.setdefault(noun.symbol, (time.monotonic(), self.waits.backoff_s() if self.waits else 0.0))
        elif isinstance(noun, BookDelta):
            self.change(noun)

    def recovery(self, symbol: str) -> float:
        """How long a book was lost, s, without what was waited on purpose."""
        since, backoff = self.lost.pop(symbol)
        waited = self.waits.backoff_s() - backoff + self.waits.protocol_s(symbol, since) if self.waits else 0.0
        return time.monotonic() - since - waited

    def change(self, noun: BookDelta) -> None:
        """Apply a change; there must be a live book for it, and it must not cross."""
        if not self.live(noun.symbol):
            self.wrong.append(f"{noun.symbol}: a change of a book that is not live")
            return
        for side, changes in zip(self.books[noun.symbol], (noun.bids, noun.asks), strict=True):
            for price, qty in changes:
                if qty:
                    side[price] = qty
                else:
                    side.pop(price, None)
        bids, asks = self.books[noun.symbol]
        if bids and asks and max(bids) >= min(asks):
            self.wrong.append(f"{noun.symbol}: a crossed book")

    def live(self, symbol: str) -> bool:
        """May the book be used?"""
        return symbol in self.books

    def top(self, symbol: str, levels: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """The best levels as the events tell them; both sides empty when the book is not live."""
        bids, asks = self.books.get(symbol, ({}, {}))
        return tuple(sorted(bids.items(), reverse=True)[:levels]), tuple(sorted(asks.items())[:levels])


class Plan(NamedTuple):
    """One kind of fault as it is tried."""

    make: Callable[[random.Random, str], list[Fault]]  # from the seed's dice and the book's topic
    notice: str = "invalid"  # what it must lead to: invalid book, counted, nothing, ended
    venues: tuple[str, ...] = ("bybit", "binance")
    close: bool = False  # it concerns the close of a candle


def struck(kind: str, **options: Sequence[object]) -> Callable[[random.Random, str], list[Fault]]:
    """The fault on the book's topic, at some message; each option one of its choices."""

    def make(dice: random.Random, topic: str) -> list[Fault]:
        chosen = {name: dice.choice(choices) for name, choices in options.items()}
        return [Fault(kind, match=topic, after=dice.randrange(15), **chosen)]

    return make


def dialled(kind: str, match: str = "", **options: Sequence[object]) -> Callable[[random.Random, str], list[Fault]]:
    """The connection is reset, and the fault meets the next one."""

    def make(dice: random.Random, topic: str) -> list[Fault]:
        chosen = {name: dice.choice(choices) for name, choices in options.items()}
        return [Fault("reset", match=topic, after=dice.randrange(15)), Fault(kind, match=match, **chosen)]

    return make


def fetched(kind: str, **options: Sequence[object]) -> Callable[[random.Random, str], list[Fault]]:
    """A message is lost, and the fault meets the request for the fresh book."""

    def make(dice: random.Random, topic: str) -> list[Fault]:
        chosen = {name: dice.choice(choices) for name, choices in options.items()}
        symbol = topic.partition("@")[0]
        return [
            Fault("gap", match=topic, after=dice.randrange(15)),
            Fault(kind, match=f"/depth?symbol={symbol}", **chosen),
        ]

    return make


def skewed(kind: str, *seconds: float) -> Callable[[random.Random, str], list[Fault]]:
    """The venue's clock is off, from some moment on."""

    def make(dice: random.Random, _: str) -> list[Fault]:
        return [Fault(kind, after_s=dice.uniform(0.1, 0.5), times=0, seconds=dice.choice(seconds))]

    return make


NUMBERS = ("NaN", "Infinity", "-Infinity", "-1", "", "abc", "1,5", "1e400", "9" * 30, None, True, 7)
BYBIT, BINANCE = ("bybit",), ("binance",)
PLANS: dict[str, Plan] = {
    "reset": Plan(struck("reset")),
    "close": Plan(struck("close", code=(1000, 1001, 1006, 1011, 1012))),
    "reset_after_snapshot": Plan(dialled("reset_after_snapshot")),
    "reset_on_subscribe": Plan(dialled("reset_on_subscribe"), venues=BYBIT),
    "handshake_refused": Plan(dialled("handshake_refused", status=(403, 429, 500, 503), retry_after=(None, 1.0))),
    "handshake_hang": Plan(dialled("handshake_hang")),
    "gap": Plan(struck("gap", count=(1, 2, 3, 5))),
    "reorder": Plan(struck("reorder", count=(1, 2, 3))),
    "duplicate": Plan(struck("duplicate", count=(1, 2, 5)), "counted"),
    "crossed": Plan(struck("crossed")),
    "locked": Plan(struck("locked")),
    "stall": Plan(struck("stall")),
    "no_pong": Plan(lambda _, topic: [Fault("no_pong", match=topic)]),
    "dead": Plan(struck("dead")),
    "server_ping": Plan(struck("server_ping", seconds=(0.5,)), "nothing"),
    "restart": Plan(struck("restart"), "nothing", BYBIT),
    "snapshot": Plan(struck("snapshot"), "nothing", BYBIT),
    "bad_number": Plan(struck("bad_number", value=NUMBERS, where=("price", "size"))),
    "wrong_symbol": Plan(struck("wrong_symbol")),
    "truncated": Plan(struck("truncated")),
    "garbage": Plan(struck("garbage", value=("<html>", "null", "[]", "{}", "0", '"x"', "{", "\x00"))),
    "oversized": Plan(struck("oversized")),
    "deep": Plan(struck("deep")),
    "bad_time": Plan(struck("bad_time", value=("0", "s", "us"))),
    "clock_skew": Plan(skewed("clock_skew", 90.0, -90.0, 3.0, -3.0), "nothing"),
    "clock_drift": Plan(skewed("clock_drift", 0.01, -0.01, 0.1, -0.1), "nothing"),
    "subscribe_error": Plan(dialled("subscribe_error"), venues=BYBIT),
    "no_ack": Plan(dialled("no_ack"), venues=BYBIT),
    "late_ack": Plan(dialled("late_ack"), venues=BYBIT),
    "wrong_ack": Plan(dialled("wrong_ack"), venues=BYBIT),
    "confirmed_twice": Plan(lambda *_: [Fault("confirmed_twice")], "counted", close=True),
    "never_confirmed": Plan(lambda *_: [Fault("never_confirmed")], "nothing", close=True),
    "rate_limited": Plan(fetched("rate_limited", retry_after=(1.0, 2.0)), venues=BINANCE),
    "banned": Plan(fetched("banned"), "ended", BINANCE),
    "forbidden": Plan(fetched("forbidden"), venues=BINANCE),
    "rate_code": Plan(fetched("rate_code"), venues=BINANCE),
    "server_error": Plan(
        fetched("server_error", status=(500, 502, 503, 504, 507, 520), body=("html", "json", "text")), venues=BINANCE
    ),
    **{
        kind: Plan(fetched(kind), venues=BINANCE)
        for kind in (
            *("html", "empty_body", "null_body", "empty_object", "empty_array", "truncated_json", "cut_body"),
            *("wrong_type", "gzip_garbage", "bom", "duplicate_keys", "slow", "trickle", "hang_up"),
            *("reply_crossed", "stale_snapshot"),
        )
    },
    "reply_bad_number": Plan(fetched("reply_bad_number", value=NUMBERS, where=("price", "size")), venues=BINANCE),
    "reply_bad_time": Plan(fetched("reply_bad_time", value=("0", "s", "us")), venues=BINANCE),
}
#: Kinds that strike answers a live feed never asks for: candles, and what names a symbol.
ELSEWHERE = {kind for kind in FAULT_KINDS if kind.endswith(("_candle", "_candles"))} | {
    *("reply_wrong_interval", "reply_wrong_category", "reply_wrong_symbol"),
}


@dataclass(frozen=True, slots=True)
class Run:
    """What one fault led to."""

    kind: str
    venue: str
    seed: int
    noticed: bool
    wrong: tuple[str, ...]  # what must never be
    equal: bool
    recovery_s: float  # the longest, waits on purpose taken off; 0 = no book was lost
    note: str = ""  # why it failed, if it did
    lag_s: float = 0.0  # the longest that the machine kept box, feed and watch waiting
    again: int = 0  # how often it was tried before

    @property
    def failed(self) -> list[str]:
        """The bars that do not hold."""
        bars = {
            "noticed": self.noticed or PLANS[self.kind].notice == "nothing",
            "no event from an invalid book": not self.wrong,
            "books equal": self.equal,
            f"recovery within {BAR_S:g} s": self.recovery_s <= BAR_S,
        }
        return [bar for bar, holds in bars.items() if not holds]


async def until(true: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Wait for something; False when it does not come true in time."""
    deadline = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_S)
    return True


async def try_once(kind: str, venue: str, seed: int) -> Run:
    """One box, one feed, one fault."""
    plan = PLANS[kind]
    streams = [Stream("book", symbol) for symbol in SYMBOLS]
    streams += [Stream("trades", SYMBOLS[0]), Stream("bars", SYMBOLS[0], "1m")]
    now = time.time_ns()
    start = (now // NS_PER_MINUTE + 1) * NS_PER_MINUTE - round(CLOSE_S * NS_PER_S) if plan.close else now
    async with ReplayServer(SYMBOLS, seed=seed, history_hours=0.1, start_ns=start) as box:
        for symbol in SYMBOLS:
            await asyncio.to_thread(box.exchange.make, symbol)
        waits = Waits(box)
        async with LiveFeed(venue, streams, endpoints=box.endpoints, settings=SETTINGS, on_raw=waits.tap) as feed:
            waits.feed = feed
            lag = Lag()
            pulse = asyncio.create_task(lag.measure())
            run = await watch(box, feed, Reader(waits), Run(kind, venue, seed, False, (), False, 0.0))
            pulse.cancel()
            return replace(run, lag_s=lag.worst_s)


class Lag:
    """How long the machine keeps this process waiting."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def measure(self) -> None:
        """Look again and again."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(LOOK_S)
            self.worst_s = max(self.worst_s, time.monotonic() - began - LOOK_S)


async def try_fairly(kind: str, venue: str, seed: int) -> Run:
    """The same; a run that failed while the machine was too busy for it is tried again."""
    run = await try_once(kind, venue, seed)
    while run.failed and run.lag_s > BUSY_S and run.again < MOST_AGAIN:
        run = replace(await try_once(kind, venue, seed), again=run.again + 1)
    return run


async def watch(box: ReplayServer, feed: LiveFeed, reader: Reader, run: Run) -> Run:
    """Let the fault happen, and see what comes of it."""
    plan, ended = PLANS[run.kind], ""
    topic = "orderbook.50.BTCUSDT" if run.venue == "bybit" else "btcusdt@depth"
    faults = plan.make(random.Random(f"{run.kind} {run.venue} {run.seed}"), topic)

    async def read() -> None:
        nonlocal ended
        try:
            async for noun in feed:
                reader.take(noun)
        except DataUnavailable as error:
            ended = str(error)

    def live() -> bool:
        return all(reader.live(symbol) for symbol in SYMBOLS)

    def happened() -> bool:
        kinds = Counter(kind for kind, _ in box.struck)
        return all(kinds[fault.kind] or fault.kind.startswith("clock_") for fault in faults)

    def noticed() -> bool:
        if plan.notice == "ended":
            return bool(ended)
        return len(reader.invalid) > invalid if plan.notice == "invalid" else signs(feed) != before

    def equal() -> bool:
        return all(
            box.truth(symbol, LEVELS) == reader.top(symbol, LEVELS) == sides(feed.book(symbol, LEVELS))
            for symbol in SYMBOLS
        )

    task = asyncio.create_task(read())
    try:
        if not await until(live):
            return replace(run, note=f"the books never came: {ended}")
        if run.venue == "binance":
            await asyncio.sleep(WAIT_NS[0] / NS_PER_S)  # a fresh book was just fetched: the protocol would wait so long
        before, invalid = signs(feed), len(reader.invalid)
        for fault in faults:
            box.inject(fault)
        if not await until(happened):
            return replace(run, note=f"never happened: {faults}")
        saw = await until(noticed, PATIENCE_S if plan.notice != "nothing" else LINGER_S)
        if plan.notice == "ended":
            return replace(
                run, noticed=saw, equal=not any(map(reader.live, SYMBOLS[:1])), note="" if saw else "goes on"
            )
        await asyncio.sleep(LINGER_S)
        if not await until(live):
            lost = ", ".join(f"{symbol}: {feed.book(symbol).reason}" for symbol in reader.lost)
            return replace(run, noticed=saw, wrong=tuple(reader.wrong), note=f"not live again: {ended or lost}")
        box.freeze()
        agreed = await until(equal, SETTINGS.stale_s / 2)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    wrong = (*reader.wrong, *wrong_bars(box, reader))
    worst = max(reader.recoveries, default=0.0)
    return replace(run, noticed=saw, wrong=wrong, equal=agreed, recovery_s=worst)


def sides(view: BookView) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    return view.bids, view.asks


def signs(feed: LiveFeed) -> tuple[object, ...]:
    """Everything by which a feed shows that something went wrong."""
    counts, stats = feed.counts().values(), feed.stats()
    names = ("sequence_breaks", "duplicates", "crossed", "bad_messages", "invalid")
    troubles = tuple(sum(getattr(count, name) for count in counts) for name in names)
    return *troubles, stats.reconnects, stats.refused_messages, *stats.errors.values()


def wrong_bars(box: ReplayServer, reader: Reader) -> list[str]:
    """Bars that came twice, or are not the market's candles."""
    bars = [noun for noun in reader.nouns if isinstance(noun, Bar)]
    known = {(row.open_ms + 60_000) * 1_000_000: row for row in box.candles(SYMBOLS[0], "1m")}
    wrong = [f"bar {ts} came {count} times" for ts, count in Counter(bar.ts for bar in bars).items() if count > 1]
    for bar in bars:
        row = known.get(bar.ts)
        if row is None or (row.open, row.high, row.low, row.close) != (bar.open, bar.high, bar.low, bar.close):
            wrong.append(f"bar {bar.ts} is not the market's candle")
    return wrong


@dataclass(frozen=True, slots=True)
class Row:
    """All seeds of one kind on one venue."""

    kind: str
    venue: str
    runs: tuple[Run, ...]

    @property
    def broken(self) -> list[str]:
        """The bars that do not hold, with the first run that shows it."""
        bars: dict[str, list[Run]] = {}
        for run in self.runs:
            for bar in run.failed:
                bars.setdefault(bar, []).append(run)
        return [
            f"{self.kind} {self.venue}: {bar}: {len(runs)} of {len(self.runs)} runs do not, first seed {runs[0].seed}"
            f" {runs[0].note or '; '.join(runs[0].wrong[:2]) or f'({runs[0].recovery_s:.2f} s)'}"
            for bar, runs in bars.items()
        ]

    def cells(self) -> list[str]:
        """The row as printed."""
        spent = [run.recovery_s for run in self.runs if run.recovery_s] or [0.0]
        noticed = sum(run.noticed for run in self.runs)
        return [
            self.kind,
            self.venue,
            str(len(self.runs)),
            "-" if PLANS[self.kind].notice == "nothing" else str(noticed),
            str(sum(len(run.wrong) for run in self.runs)),
            "ended" if PLANS[self.kind].notice == "ended" else str(sum(run.equal for run in self.runs)),
            f"{statistics.median(spent):.2f}",
            f"{max(spent):.2f}",
            "NO" if self.broken else "yes",
        ]


HEAD = ("fault", "venue", "runs", "noticed", "wrong", "equal", "p50 s", "max s", "holds")


def show(rows: Sequence[Row], seconds: float) -> None:
    """The table, and in plain words what does not hold."""
    lines = [HEAD, *(row.cells() for row in rows)]
    wide = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    for line in lines:
        cells = [f"{cell:<{wide[i]}}" if i < 2 else f"{cell:>{wide[i]}}" for i, cell in enumerate(line)]
        print("  ".join(cells))
    print(
        f"\nwrong = events from an invalid book, crossed books, bars that are not the market's. equal = runs that end"
        f" with the box's books. s = from BookInvalid to the next snapshot, waits on purpose (backoff,"
        f" Retry-After) taken off; bar {BAR_S:g} s.\nSettings: timeout {SETTINGS.timeout_s:g} s, backoff"
        f" {SETTINGS.backoff_s:g}-{SETTINGS.backoff_max_s:g} s, heartbeat {SETTINGS.heartbeat_s:g} s, stale"
        f" {SETTINGS.stale_s:g} s, longest message {SETTINGS.max_frame_mib:g} MiB. {seconds:.0f} s in all;"
        f" {sum(run.again for row in rows for run in row.runs)} runs were tried again, as the machine had kept them"
        f" waiting for more than {BUSY_S:g} s."
    )
    broken = [sentence for row in rows for sentence in row.broken]
    print("\n".join(f"DOES NOT HOLD: {sentence}" for sentence in broken) or "all bars hold")


async def try_seeds(kind: str, venue: str, seeds: Sequence[int], at_once: int) -> Row:
    """One kind on one venue with every seed, so many at once."""
    free = asyncio.Semaphore(at_once)

    async def job(seed: int) -> Run:
        async with free:
            return await try_fairly(kind, venue, seed)

    return Row(kind, venue, tuple(await asyncio.gather(*map(job, seeds))))


def work(job: tuple[str, str, Sequence[int], int]) -> Row:
    """The same, for a process of its own."""
    return asyncio.run(try_seeds(*job))


def warm() -> None:
    """Load all code, so that nothing is compiled while time counts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    logging.disable(logging.WARNING)  # a thousand reconnections are what was asked for
    for venue in ("bybit", "binance"):
        work(("gap", venue, (0,), 1))


def try_all(kinds: Sequence[str], seeds: Sequence[int], flags: argparse.Namespace, progress: Progress) -> list[Row]:
    """Every kind on its venues, spread over processes."""
    jobs = [(kind, venue, seeds, flags.at_once) for kind in kinds for venue in PLANS[kind].venues]
    rows = []
    with multiprocessing.get_context("spawn").Pool(flags.workers, warm) as pool:
        for row in pool.imap(work, jobs):
            rows.append(row)
            progress.say(len(rows) * len(seeds), len(jobs) * len(seeds))
    return rows


def build_parser() -> Parser:
    parser = Parser(prog="python -m benchmarks.faults", description="Every fault, every seed.", allow_abbrev=False)
    parser.add_argument("--seeds", type=whole, default=20, metavar="N", help="runs of each kind and venue (20)")
    parser.add_argument("--first-seed", type=whole, default=1, metavar="N", help="the first of them (1)")
    parser.add_argument("--kinds", default=",".join(PLANS), metavar="A,B", help="only these kinds of faults")
    parser.add_argument("--workers", type=whole, default=os.cpu_count(), metavar="N", help="processes (one a core)")
    parser.add_argument("--at-once", type=whole, default=8, metavar="N", help="boxes in each at the same time (8)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


def run(flags: argparse.Namespace) -> int:
    kinds = flags.kinds.replace("-", "_").split(",")
    unknown = [kind for kind in kinds if kind not in PLANS]
    if unknown:
        raise ConfigError(f"--kinds: expected some of {', '.join(PLANS)}, saw {unknown[0]!r}; choose one of these")
    if min(flags.seeds, flags.at_once, flags.workers) < 1:
        raise ConfigError("--seeds, --at-once, --workers: expected at least 1, saw less; correct it")
    began, seeds = time.monotonic(), range(flags.first_seed, flags.first_seed + flags.seeds)
    with Progress(silent=flags.json) as progress:
        rows = try_all(kinds, seeds, flags, progress)
    if flags.json:
        print(json.dumps({"seconds": time.monotonic() - began, "rows": [plain(row) for row in rows]}))
    else:
        show(rows, time.monotonic() - began)
    return 1 if any(row.broken for row in rows) else 0


def plain(row: Row) -> dict[str, object]:
    """A row as JSON has it."""
    return dict(zip(HEAD, row.cells(), strict=True)) | {"broken": row.broken}


class Progress:
    """A bar on a terminal, else a line now and then; on standard error."""

    def __init__(self, *, silent: bool) -> None:
        self.silent, self.said = silent, time.monotonic()
        self.bar: rich.progress.Progress | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty() and not self.silent:
            self.bar = rich.progress.Progress(console=rich.console.Console(stderr=True))
            self.bar.start()
            self.task = self.bar.add_task("faults", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def say(self, done: int, total: int) -> None:
        """So many of so many."""
        if self.bar:
            self.bar.update(self.task, completed=done, total=total)
        elif not self.silent and time.monotonic() - self.said > 15.0:
            self.said = time.monotonic()
            print(f"{done} of {total} runs", file=sys.stderr, flush=True)


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
