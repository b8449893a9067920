"""Server-sent events: one copy of each for all readers, a past to come back to, and an end for those who do not read.

A reader is a position in the ring of what was sent, so that nothing is kept for it: one who falls out of the ring, or
takes nothing for a heartbeat, is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable

from utils.http.asgi import Receive, Send, answer, drop
from utils.http.problem import refusal

#: What an event is of, such as (symbol, timeframe).
Topic = tuple[str, ...]
#: What of these topics (None = all) is so now, as name and data of an event each.
Stands = Callable[[frozenset[Topic] | None], Iterable[tuple[str, bytes]]]

#: Events that are handed to a connection at once.
MOST_AT_ONCE = 32
#: Time that readers have to take what is on its way when the service ends, s.
LAST_S = 1.0
#: Time after which somebody for whom there is no place may come again, s.
LATER_S = 5.0
#: Time after which a reader who lost the line comes back, ms.
RETRY_MS = 2_000
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")],
}
HEARTBEAT = b": alive\n\n"
RESET = b'{"reason":"what came since then is not known; what stands follows"}'


class Reader:
    """Who reads: which topics, how far, and whether there is something to do.

    Args:
        topics: what is read; None = everything.
        at: number of the last event that needs not be sent.
    """

    __slots__ = ("_waits", "at", "beat", "gone", "limit", "topics")

    def __init__(self, topics: frozenset[Topic] | None, at: int) -> None:
        self.topics, self.at = topics, at
        self.gone = False  # the client has left
        self.beat = False  # a sign of life is due
        self.limit: asyncio.Timeout | None = None  # of the sending that goes on
        self._waits: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Something is to be done."""
        if self._waits is not None and not self._waits.done():
            self._waits.set_result(None)

    async def wait(self) -> None:
        """Until there is."""
        self._waits = asyncio.get_running_loop().create_future()
        await self._waits


class Hub:
    """What is sent, and who reads it; an async context manager.

    Args:
        epoch: name of this process, no other's: numbers of events count from its start.
        stands: asked for what a new reader hears first; events that it publishes meanwhile are not sent twice.
        kept: events that can be asked for again.
        heartbeat_s: time between two signs of life on a quiet stream, and the longest for taking what was sent.
        most: readers at once.
    """

    def __init__(self, epoch: str, stands: Stands, *, kept: int, heartbeat_s: float, most: int) -> None:
        self.epoch, self.most = epoch, most
        self._stands, self._kept, self._heartbeat_s = stands, kept, heartbeat_s
        self._ring: list[tuple[Topic, bytes]] = []  # event n stands at (n - 1) % kept
        self._number = 0  # of the newest event
        self._readers: set[Reader] = set()
        self._lines: set[Receive] = set()
        self._closed = False
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Hub:
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._readers)

    @property
    def full(self) -> bool:
        """Whether there are as many readers as may be, or the service ends."""
        return self._closed or len(self._readers) >= self.most

    @property
    def sent(self) -> int:
        """Events so far."""
        return self._number

    @property
    def topics(self) -> set[Topic]:
        """What somebody reads by name."""
        return {topic for reader in self._readers for topic in reader.topics or ()}

    def publish(self, topic: Topic, data: bytes, name: str = "signal") -> None:
        """Send one line of data to all who read its topic."""
        self._number += 1
        event = _event(self._id(self._number), name, data)
        if len(self._ring) < self._kept:
            self._ring.append((topic, event))
        else:
            self._ring[(self._number - 1) % self._kept] = (topic, event)
        for reader in self._readers:
            if reader.topics is None or topic in reader.topics:
                reader.wake()

    def close(self) -> None:
        """End all streams; who does not take the last of it in time is cut off."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        for reader in self._readers:
            if reader.limit is not None and not reader.limit.expired():
                reader.limit.reschedule(loop.time() + LAST_S / 2)
            reader.wake()
        for line in self._lines:
            loop.call_later(LAST_S, drop, line)

    async def serve(self, receive: Receive, send: Send, topics: Collection[Topic] | None, last_id: str = "") -> None:
        """Answer a request with events until its client leaves, does not read, or the service ends.

        Where there is no place for it the answer is a 503 that says so.

        Args:
            receive: of the request.
            send: likewise.
            topics: what it reads; None = everything.
            last_id: of the last event that the client has seen; what came since is sent, or, where that is not known,
                an event `reset` and what stands.
        """
        if self.full:
            cause = "the service ends" if self._closed else f"all {self.most} places are taken (api.max_streams)"
            await answer(send, *refusal(503, "too_many_streams", f"{cause}; come later", LATER_S))
            return
        wanted = None if topics is None else frozenset(topics)
        first, at = self._greeting(wanted, last_id)
        reader = Reader(wanted, at)
        self._readers.add(reader)
        self._lines.add(receive)
        leaving = asyncio.create_task(self._leave(receive, reader))
        try:
            await send(START)
            await self._send(send, reader, first)
            while not reader.gone:
                if events := self._due(reader):
                    await self._send(send, reader, events)
                elif self._closed:
                    await send({"type": "http.response.body", "body": b""})
                    return
                elif reader.beat:
                    reader.beat = False
                    await self._send(send, reader, HEARTBEAT)
                else:
                    await reader.wait()
        except TimeoutError:
            drop(receive)
            await asyncio.wait({leaving}, timeout=LAST_S)  # a server logs an answer without an end as a mistake
        finally:
            self._readers.discard(reader)
            self._lines.discard(receive)
            leaving.cancel()

    async def _send(self, send: Send, reader: Reader, text: bytes) -> None:
        reader.limit = asyncio.timeout(LAST_S / 2 if self._closed else self._heartbeat_s)
        try:
            async with reader.limit:
                await send({"type": "http.response.body", "body": text, "more_body": True})
        finally:
            reader.limit = None

    @staticmethod
    async def _leave(receive: Receive, reader: Reader) -> None:
        """Wait until the client has left."""
        while (await receive())["type"] != "http.disconnect":
            pass
        reader.gone = True
        reader.wake()

    def _greeting(self, wanted: frozenset[Topic] | None, last_id: str) -> tuple[bytes, int]:
        """What a reader is told first, and the number of the last event that it needs not be sent."""
        epoch, _, number = last_id.rpartition("-")
        if last_id:
            known = epoch == self.epoch and number.isascii() and number.isdecimal() and len(number) < 20
            if known and max(0, self._number - self._kept) <= int(number) <= self._number:
                return b"retry: %d\n\n" % RETRY_MS, int(number)
        told = [("reset", RESET)] if last_id else []
        told += self._stands(wanted)
        now = self._id(self._number)
        hello = b"retry: %d\nid: %s\n\n" % (RETRY_MS, now)
        return hello + b"".join(_event(now, *each) for each in told), self._number

    def _due(self, reader: Reader) -> bytes:
        """The next events of a reader, whose position moves behind them; TimeoutError if they are not kept any more."""
        if reader.at < self._number - self._kept:
            raise TimeoutError
        found: list[bytes] = []
        while reader.at < self._number and len(found) < MOST_AT_ONCE:
            reader.at += 1
            topic, event = self._ring[(reader.at - 1) % self._kept]
            if reader.topics is None or topic in reader.topics:
                found.append(event)
        return b"".join(found)

    def _id(self, number: int) -> bytes:
        return f"{self.epoch}-{number}".encode()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            for reader in self._readers:
                reader.beat = True
                reader.wake()


def _event(number: bytes, name: str, data: bytes) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (number, name.encode(), data)
