"""The moment at which a service is told to end: a server waits for open answers first, and tells its app afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def told_to_end(tell: Callable[[], None]) -> Iterator[None]:
    """While this is entered, SIGINT and SIGTERM are told to the loop, and then to whoever heard them before.

    Answers without an end can end then. In a thread of its own a server hears no signals, nor does this.

    Args:
        tell: called in the running loop.
    """
    loop = asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def hear(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(tell)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in before:
        signal.signal(number, hear)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is hear:  # nobody has taken it since
                signal.signal(number, handler)
