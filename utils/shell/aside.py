"""Work beside an event loop that must not wait for it, and several works of one that end with the first."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def aside(work: Callable[P, T], /, *given: P.args, **named: P.kwargs) -> T:
    """What `work` answers, from a thread of its own; raises what it raises.

    Whoever is cancelled meanwhile leaves at once and nobody waits for the thread, as they would for one of
    `asyncio.to_thread` when the loop ends: an exchange that does not answer must not hold up Ctrl-C.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(how: Callable[[Any], None], what: Any) -> None:
        if not answer.done():
            how(what)

    def run() -> None:
        how: tuple[Callable[[Any], None], Any]
        try:
            how = (answer.set_result, work(*given, **named))
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
            how = (answer.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(settle, *how)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return await answer


async def first_of(*works: Coroutine[Any, Any, None], for_s: float | None = None) -> None:
    """Several works side by side until one of them has ended, or `for_s` seconds are over; the others are cancelled.

    Raises what that one raised.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
