import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest.rest.cache import TimedCache
from tests.boxes import PATIENCE_S


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Counter:
    """Counts how often it is fetched; waits for `gate` if there is one."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.calls = 0
        self.gate = gate

    def __call__(self) -> int:
        self.calls += 1
        if self.gate is not None:
            assert self.gate.wait(PATIENCE_S)
        return self.calls


def test_a_value_is_kept_until_it_is_as_old_as_its_life_and_its_age_is_told():
    clock, fetch = Clock(), Counter()
    cache: TimedCache[int] = TimedCache(clock=clock)
    seen = []
    for now in (100.0, 103.0, 114.9, 115.0, 116.0):
        clock.now = now
        kept = cache.get("a", 15.0, fetch)
        seen.append((kept.value, pytest.approx(kept.age_s)))
    assert [(1, 0.0), (1, 3.0), (1, 14.9), (2, 0.0), (2, 1.0)] == seen


def test_age_counts_from_the_moment_the_value_was_there():
    clock = Clock()
    cache: TimedCache[str] = TimedCache(clock=clock)

    def slow() -> str:
        clock.now += 7.0
        return "x"

    assert 0.0 == cache.get("a", 15.0, slow).age_s
    clock.now += 2.0
    assert 2.0 == cache.get("a", 15.0, slow).age_s


def test_keys_do_not_share_values():
    cache: TimedCache[int] = TimedCache()
    fetch = Counter()
    assert [1, 2, 1] == [cache.get(key, 15.0, fetch).value for key in (("a", 1), ("a", 2), ("a", 1))]


def test_fresh_asks_anew_and_the_others_have_it_afterwards():
    cache: TimedCache[int] = TimedCache()
    fetch = Counter()
    seen = [cache.get("a", 15.0, fetch, fresh=fresh).value for fresh in (False, True, False)]
    assert [1, 2, 2] == seen


def test_a_life_of_0_keeps_nothing():
    cache: TimedCache[int] = TimedCache(clock=Clock())
    fetch = Counter()
    assert [1, 2] == [cache.get("a", 0.0, fetch).value for _ in range(2)]


def test_the_least_recently_used_value_goes_first():
    cache: TimedCache[int] = TimedCache(size=2)
    fetch = Counter()
    for key in ("a", "b", "a", "c", "a", "b"):
        cache.get(key, 15.0, fetch)
    assert (4, 2) == (fetch.calls, len(cache))


def test_fifty_callers_at_once_fetch_once():
    gate = threading.Event()
    cache: TimedCache[int] = TimedCache()
    fetch = Counter(gate)
    with ThreadPoolExecutor(50) as pool:
        waiting = [pool.submit(cache.get, "a", 15.0, fetch) for _ in range(50)]
        time.sleep(0.1)
        gate.set()
        assert {1} == {each.result().value for each in waiting}
    assert 1 == fetch.calls


def test_an_error_reaches_everybody_who_waited_and_is_not_kept():
    gate = threading.Event()
    cache: TimedCache[int] = TimedCache()

    def fail() -> int:
        assert gate.wait(PATIENCE_S)
        raise ConnectionError("no")

    with ThreadPoolExecutor(10) as pool:
        waiting = [pool.submit(cache.get, "a", 15.0, fail) for _ in range(10)]
        time.sleep(0.05)
        gate.set()
        assert ["no"] * 10 == [str(each.exception()) for each in waiting]
    assert 1 == cache.get("a", 15.0, Counter()).value


def test_when_the_fetcher_is_interrupted_somebody_else_fetches():
    gate, inside = threading.Event(), threading.Event()
    cache: TimedCache[int] = TimedCache()

    def interrupted() -> int:
        inside.set()
        assert gate.wait(PATIENCE_S)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "a", 15.0, interrupted)
        assert inside.wait(PATIENCE_S)
        second = pool.submit(cache.get, "a", 15.0, Counter())
        time.sleep(0.05)
        gate.set()
        assert 1 == second.result().value
        assert isinstance(first.exception(), KeyboardInterrupt)
