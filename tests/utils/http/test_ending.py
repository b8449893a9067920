"""Signals that end a service are told to its loop, and to whoever heard them before."""

import asyncio
import os
import signal
import threading

import pytest

from tests.boxes import until
from utils.http.ending import told_to_end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_is_told_to_both(number):
    heard, told = [], []
    before = signal.signal(number, lambda seen, _: heard.append(seen))
    try:
        with told_to_end(lambda: told.append(threading.current_thread())):
            os.kill(os.getpid(), number)
            await until(lambda: told != [])
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.01)
    finally:
        signal.signal(number, before)
    assert ([number, number], [threading.main_thread()]) == (heard, told)


async def test_a_handler_that_came_later_stays():
    before = signal.getsignal(signal.SIGTERM)
    try:
        with told_to_end(lambda: None):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.SIG_IGN == signal.getsignal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_thread_of_its_own_hears_no_signals():
    async def enter():
        with told_to_end(lambda: None):
            return signal.getsignal(signal.SIGTERM)

    assert signal.getsignal(signal.SIGTERM) == await asyncio.to_thread(asyncio.run, enter())
