"""Blocking work beside a loop: its answer, its error, and nobody who waits for it in vain."""

import asyncio
import threading
import time

import pytest

from utils.shell.aside import aside, first_of


async def test_what_it_answers_comes_from_another_thread():
    assert (3, threading.get_ident()) != (await aside(int, "3"), await aside(threading.get_ident))
    assert 5 == await aside(int, "11", base=4)


async def test_what_it_raises_is_raised_where_it_is_waited_for():
    with pytest.raises(ValueError, match="invalid literal"):
        await aside(int, "three")


def test_a_loop_that_ends_does_not_wait_for_it():
    go_on, began = threading.Event(), time.monotonic()

    async def impatient():
        async with asyncio.timeout(0.05):
            await aside(go_on.wait, 60.0)

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    assert time.monotonic() - began < 30.0
    go_on.set()  # its answer finds no loop, and that troubles nobody
    for thread in threading.enumerate():
        if thread.name == "aside":
            thread.join()


async def test_an_answer_that_nobody_waits_for_any_more_is_dropped():
    go_on = threading.Event()
    task = asyncio.create_task(aside(go_on.wait, 60.0))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await asyncio.sleep(0.02)


async def test_several_works_end_with_the_first_and_the_others_are_cancelled():
    ended = []

    async def work(name, seconds):
        try:
            await asyncio.sleep(seconds)
        finally:
            ended.append(name)

    await first_of(work("long", 60.0), work("short", 0.01))
    assert ["short", "long"] == ended
    await first_of(work("endless", 60.0), for_s=0.01)
    assert "endless" == ended[-1]


async def test_the_error_of_the_first_is_raised():
    async def broken():
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await first_of(broken(), asyncio.sleep(60.0))
