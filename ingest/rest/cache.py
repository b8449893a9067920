"""A cache with single flight: what several callers ask for at once is fetched once, and its age is told.

Errors are never kept: whoever waited for a fetch that failed gets its error, the next caller fetches anew.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")


def uptime() -> float:
    """Seconds on a clock that nobody sets and that, where the system has one, runs on while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(frozen=True, slots=True)
class Kept(Generic[V]):
    """A value, and how long ago we had it."""

    value: V
    age_s: float


class _Abandoned(Exception):  # noqa: N818 - no error: the fetcher was interrupted, somebody else fetches
    """Who was fetching was stopped by Ctrl-C or its like."""


class TimedCache(Generic[V]):
    """Values by key, each as young as its reader asks; the least recently used one goes first. For any thread.

    Args:
        size: most values kept.
        clock: seconds, never going back.
    """

    def __init__(self, size: int = 256, clock: Callable[[], float] = uptime) -> None:
        self._size = size
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[float, V]] = OrderedDict()
        self._flights: dict[Hashable, Future[tuple[float, V]]] = {}

    def get(self, key: Hashable, life_s: float, fetch: Callable[[], V], *, fresh: bool = False) -> Kept[V]:
        """The value of a key: kept for less than `life_s` seconds, on its way already, or fetched now.

        Age counts from the moment the value was there. Readers share it: what may be changed, they copy.

        Args:
            key: everything the value depends on.
            life_s: age from which a kept value is not good enough.
            fetch: makes the value; its error goes to everybody who waited for it.
            fresh: fetch whatever is kept or on its way; the result is kept for others.
        """
        while True:
            with self._lock:
                kept = self._kept.get(key)
                now = self._clock()
                if kept is not None and now - kept[0] < life_s and not fresh:
                    self._kept.move_to_end(key)
                    return Kept(kept[1], now - kept[0])
                flight = None if fresh else self._flights.get(key)
                mine: Future[tuple[float, V]] = Future()
                if flight is None and not fresh:
                    self._flights[key] = mine
            if flight is None:
                return self._fetch(key, mine, fetch)
            try:
                there, value = flight.result()
            except _Abandoned:
                continue
            return Kept(value, self._clock() - there)

    def _fetch(self, key: Hashable, flight: Future[tuple[float, V]], fetch: Callable[[], V]) -> Kept[V]:
        try:
            value = fetch()
        except BaseException as error:
            self._land(key, flight)
            flight.set_exception(error if isinstance(error, Exception) else _Abandoned())
            raise
        there = self._clock()
        with self._lock:
            self._kept[key] = (there, value)
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        self._land(key, flight)
        flight.set_result((there, value))
        return Kept(value, 0.0)

    def _land(self, key: Hashable, flight: Future[tuple[float, V]]) -> None:
        """Nobody waits for this flight any more; a fresh one was never announced."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def __len__(self) -> int:
        return len(self._kept)
