"""What the 15-second cache saves: `python -m benchmarks.cache [--polls 60] [--json]`.

A program polls `get_ohlcv` every 3 seconds; the exchange is the box on loopback, each answer of which takes an injected
50 or 150 ms more. Waiting is the time inside the calls: of a poll with the cache, and of one that asks each time
(`fresh=True`), in turn. So that minutes of polling end in seconds, nobody sleeps between two polls: the cache's clock
is its constructor's argument, and jumps on by the 3 seconds. The round trips are real.

Then 50 threads ask for the same candles at once. Exit code 1 when a bar does not hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ingest.prices import Candles, get_ohlcv
from ingest.replay_server import Fault, ReplayServer
from ingest.rest.cache import TimedCache
from ingest.rest.venue import close_venues
from utils.errors import ConfigError
from utils.figures.shown import percent
from utils.settings.tree import IngestSettings
from utils.shell.cli import Parser, command, whole

POLL_S, LIFE_S = 3.0, 15.0
ROUND_TRIPS_S = (0.050, 0.150)
CALLERS = 50
#: Least share of the waiting that the cache must save.
BAR = 0.80
SETTINGS = IngestSettings(cache_s=LIFE_S, timeout_s=60.0)


class PollClock:
    """Seconds as the polling program would see them: a poll every `POLL_S`, and the time that calls really take."""

    def __init__(self) -> None:
        self._poll = -1
        self._began = 0.0

    def next_poll(self) -> None:
        """Three seconds after the last one."""
        self._poll += 1
        self._began = time.perf_counter()

    def __call__(self) -> float:
        """The time, s."""
        return POLL_S * self._poll + time.perf_counter() - self._began


@dataclass(frozen=True, slots=True)
class Polled:
    """What polling at one round trip showed."""

    round_trip_ms: float
    polls: int
    asked_each_time_s: float  # waiting
    asked_each_time_requests: int
    cached_s: float  # waiting
    cached_requests: int
    hit_us: float  # median of a poll that the cache answered

    @property
    def saved(self) -> float:
        """Share of the waiting that the cache spares."""
        return 1.0 - self.cached_s / self.asked_each_time_s


def ask(box: ReplayServer, cache: TimedCache[Candles], *, fresh: bool = False) -> float:
    """One poll; seconds inside the call."""
    began = time.perf_counter()
    get_ohlcv("BTCUSDT", "1m", limit=50, endpoints=box.endpoints, settings=SETTINGS, cache=cache, fresh=fresh)
    return time.perf_counter() - began


def klines(box: ReplayServer) -> int:
    return sum("klines" in request.path for request in list(box.requests))


def poll(box: ReplayServer, round_trip_s: float, polls: int) -> Polled:
    """Both ways of polling, one after the other at each poll."""
    box.clear_faults()
    box.inject(Fault("slow", seconds=round_trip_s, times=0))
    clock = PollClock()
    cache: TimedCache[Candles] = TimedCache(clock=clock)
    spent: dict[bool, list[float]] = {True: [], False: []}
    requests = {True: 0, False: 0}
    for _ in range(polls):
        for fresh in (True, False):
            before = klines(box)
            if not fresh:
                clock.next_poll()
            spent[fresh].append(ask(box, TimedCache() if fresh else cache, fresh=fresh))
            requests[fresh] += klines(box) - before
    hits = sorted(spent[False])[: polls - requests[False]]
    return Polled(
        round_trip_ms=1000.0 * round_trip_s,
        polls=polls,
        asked_each_time_s=round(sum(spent[True]), 4),
        asked_each_time_requests=requests[True],
        cached_s=round(sum(spent[False]), 4),
        cached_requests=requests[False],
        hit_us=round(1e6 * hits[len(hits) // 2], 1),
    )


def crowd(box: ReplayServer) -> tuple[int, float]:
    """Requests that many callers at once cause, and the seconds until the last of them has its candles."""
    cache: TimedCache[Candles] = TimedCache()
    before, began = klines(box), time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda _: ask(box, cache), range(CALLERS)))
    return klines(box) - before, time.perf_counter() - began


def measure(polls: int) -> dict[str, object]:
    """Everything, against one box."""
    with ReplayServer.thread(symbols=("BTCUSDT",), history_hours=2.0) as box:
        try:
            ask(box, TimedCache())  # its market is made, markets are loaded
            polled = [poll(box, round_trip_s, polls) for round_trip_s in ROUND_TRIPS_S]
            requests, seconds = crowd(box)
        finally:
            close_venues()
    broken = [
        f"at least {percent(BAR, 0)} saved at {each.round_trip_ms:.0f} ms: {percent(each.saved)}"
        for each in polled
        if each.saved < BAR
    ]
    if requests != 1:
        broken.append(f"one request for {CALLERS} callers: {requests}")
    rows = [
        {name: getattr(each, name) for name in Polled.__slots__} | {"saved": round(each.saved, 4)} for each in polled
    ]
    return {"polled": rows, "callers": CALLERS, "requests": requests, "seconds": round(seconds, 4), "broken": broken}


def show(seen: dict[str, object]) -> None:
    print(f"get_ohlcv polled every {POLL_S:g} s, cache life {LIFE_S:g} s, box on loopback with a delay")
    for row in seen["polled"]:
        print(
            f"  {row['round_trip_ms']:3.0f} ms   {row['polls']} polls: {row['asked_each_time_s']:.2f} s of waiting in"
            f" {row['asked_each_time_requests']} requests, cached {row['cached_s']:.2f} s in {row['cached_requests']}:"
            f" {percent(row['saved'])} less (goal: at least {percent(BAR, 0)}); a hit takes {row['hit_us']:.0f} µs"
        )
    print(
        f"  {seen['callers']} callers at once: {seen['requests']} request (goal: 1),"
        f" all served after {1000.0 * seen['seconds']:.0f} ms"
    )
    print("all bars hold" if not seen["broken"] else "DOES NOT HOLD: " + "; ".join(seen["broken"]))


def build_parser() -> Parser:
    parser = Parser(prog="python -m benchmarks.cache", description="What the cache saves.", allow_abbrev=False)
    parser.add_argument("--polls", type=whole, default=60, metavar="N", help="polls at each round trip (60)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


def run(flags: argparse.Namespace) -> int:
    if flags.polls < 6:
        raise ConfigError(f"--polls: expected at least 6, one life of the cache, saw {flags.polls}")
    seen = measure(flags.polls)
    print(json.dumps(seen)) if flags.json else show(seen)
    return 1 if seen["broken"] else 0


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
