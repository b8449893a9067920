"""One WebSocket connection of the box: frames in order, recorded, with the tape's clock where it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from typing import Protocol

from aiohttp import ClientConnectionError, WSCloseCode, web

from ingest.box.faults.desk import Desk
from ingest.box.faults.line import Close, Cut, Line, Ping, Step
from ingest.box.floor.exchange import Exchange

#: Messages a slow reader may lag before the venue cuts it off.
LONGEST_QUEUE = 20_000
_SUBSCRIPTION = ("subscribe_error", "reset_on_subscribe", "no_ack", "late_ack", "wrong_ack")


class Session(Protocol):
    """A venue's half of the conversation."""

    venue: str

    def receive(self, text: str) -> None:
        """Answer a frame of the client."""
        ...

    def wrapped(self, topic: str, text: str) -> str:
        """A message as this connection is sent it."""
        ...

    def topics(self) -> str:
        """What is subscribed, as one text."""
        ...

    def close(self) -> None:
        """The connection is gone."""
        ...


class Connection:
    """The other end of one client's socket."""

    session: Session

    def __init__(self, name: str, venue: str, ws: web.WebSocketResponse, request: web.Request) -> None:
        self.name = name
        self.venue = venue
        self.tape_clock = request.query.get("clock") == "tape"
        self._ws = ws
        self._transport = request.transport
        self._out: deque[tuple[Step, int]] = deque()
        self._wake = asyncio.Event()
        self._ending = False
        self._late: list[str] = []
        self._pong_due = 0.0  # monotonic s; 0 = none is waited for

    def arm(self, desk: Desk, exchange: Exchange, session: Session) -> None:
        """Begin the conversation."""
        self.session = session
        self._desk = desk
        self._exchange = exchange
        self._line = Line(desk, exchange, self.venue, session.wrapped)

    @property
    def dead(self) -> bool:
        """Whether it is open, and nothing is read or sent any more."""
        return self._line.dead

    @property
    def lag(self) -> int:
        """Messages that wait to be sent."""
        return len(self._out)

    # --- what a session asks

    def hear(self, topic: str, text: str, at_ns: int) -> None:
        """Send a message of a topic, received at `at_ns`."""
        for step in self._line.through(topic, text):
            self.put(step, at_ns)
        while self._late and not self._line.dead:
            self.put(self._late.pop(0), 0)

    def say(self, text: str, *, late: bool = False) -> None:
        """Send an answer; `late` = after the next message of a topic."""
        if late:
            self._late.append(text)
        elif not self._line.dead:
            self.put(text, 0)

    def subscribed(self, topic: str) -> None:
        """A topic begins."""
        self._line.subscribed(topic)

    def trouble(self, topics: str) -> str:
        """The fault that strikes a subscription; "" = none."""
        fault = self._desk.strike(_SUBSCRIPTION, f"{self.venue} {topics}", self._exchange.now)
        return fault.kind if fault else ""

    def pongs(self, topics: str) -> bool:
        """Whether a ping is answered."""
        return self._line.pongs(topics)

    def cut(self, *, reset: bool) -> None:
        """End without a close frame: by a TCP reset, or by hanging up."""
        self._ending = True
        self._out.clear()
        if self._transport is None or self._transport.is_closing():
            return
        if reset:
            wire = self._transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()

    # --- the socket

    def put(self, step: Step, at_ns: int = 0) -> None:
        """Queue a step; `at_ns` is when its receiver is to stamp it, 0 = answers carry no time."""
        if self._ending:
            return
        if len(self._out) >= LONGEST_QUEUE:
            self._out.clear()
            step = Close(WSCloseCode.POLICY_VIOLATION)
        self._ending = isinstance(step, (Close, Cut))
        self._out.append((step, at_ns))
        self._wake.set()

    async def ping(self, data: bytes) -> None:
        """Answer a ping frame."""
        if self._line.pongs(self.session.topics()):
            with contextlib.suppress(ClientConnectionError, ConnectionError):
                await self._ws.pong(data)

    def pong(self) -> None:
        """A pong frame came."""
        self._pong_due = 0.0

    @property
    def overdue(self) -> bool:
        """Whether a pong was waited for in vain."""
        return 0.0 < self._pong_due < time.monotonic()

    async def write(self) -> None:
        """Send what is queued, until the end."""
        with contextlib.suppress(ClientConnectionError, ConnectionError):
            while not self._ws.closed:
                await self._wake.wait()
                self._wake.clear()
                while self._out:
                    await self._do(*self._out.popleft())

    async def _do(self, step: Step, at_ns: int) -> None:
        if isinstance(step, str):
            if self.tape_clock and at_ns:
                await self._ws.send_str(f'{{"clock":{at_ns}}}')
            await self._ws.send_str(step)
        elif isinstance(step, Ping):
            self._pong_due = time.monotonic() + step.seconds
            await self._ws.ping()
        elif isinstance(step, Cut):
            self.cut(reset=step.reset)
        else:
            await self._ws.close(code=step.code)
