"""Several sources as one: the order of hearing, the first error, and nothing left behind."""

import asyncio

import pytest

from ingest.live.together import Together
from tests.fakes import ListFeed
from utils.errors import DataUnavailable
from utils.types import Trade


def prints(symbol, count):
    return [Trade(symbol, k, k, 1.0, 1.0, 1) for k in range(1, count + 1)]


class Silent:
    async def __aiter__(self):
        await asyncio.Event().wait()
        yield


class Broken:
    async def __aiter__(self):
        for event in prints("X", 1):
            yield event
        raise DataUnavailable("gone")


async def test_all_of_each_comes_and_each_in_its_order():
    heard = []
    async with Together([(ListFeed(prints("X", 5)), heard.append), (ListFeed(prints("Y", 5)), None)], 2) as together:
        events = aiter(together)
        came = [await anext(events) for _ in range(10)]
    assert [*prints("X", 5), *prints("Y", 5)] == sorted(came, key=lambda one: (one.symbol, one.ts))
    assert prints("X", 5) == heard


async def test_the_first_error_ends_the_reading():
    async with Together([(Silent(), None), (Broken(), None)], 10) as together:
        events = aiter(together)
        assert prints("X", 1) == [await anext(events)]
        with pytest.raises(DataUnavailable, match="gone"):
            await anext(events)


async def test_nothing_is_left_when_it_is_left():
    before = asyncio.all_tasks()
    async with Together([(Silent(), None), (ListFeed(prints("X", 50)), None)], 1) as together:
        await anext(aiter(together))
    assert before == asyncio.all_tasks()
