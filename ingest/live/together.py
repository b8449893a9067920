"""Several sources of events as one, in the order in which they are heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence

from utils.types import MarketEvent

#: Told of an event before it waits for its reader.
Hear = Callable[[MarketEvent], None]


class Together:
    """Events of several sources, and the first error of any; their tasks end with its `async with`.

    Args:
        sources: each with who is told of its events at hearing; None = somebody was told already.
        size: events that may wait for the reader; then sources wait too.
    """

    def __init__(self, sources: Sequence[tuple[AsyncIterable[MarketEvent], Hear | None]], size: int) -> None:
        self._sources = sources
        self._queue: asyncio.Queue[MarketEvent | BaseException] = asyncio.Queue(size)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Together:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aiter__(self) -> AsyncIterator[MarketEvent]:
        self._tasks = [asyncio.create_task(self._pass_on(*source)) for source in self._sources]
        while True:
            heard = await self._queue.get()
            if isinstance(heard, BaseException):
                raise heard
            yield heard

    async def _pass_on(self, source: AsyncIterable[MarketEvent], hear: Hear | None) -> None:
        """Everything of one source; while the reader lags it waits, and in time says that it dropped some."""
        try:
            async for event in source:
                if hear is not None:
                    hear(event)
                await self._queue.put(event)
        except Exception as error:  # noqa: BLE001 - it is raised where the events are read
            await self._queue.put(error)
