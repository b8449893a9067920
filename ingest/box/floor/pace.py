"""How the exchange's clock follows that of the world: at some speed, as fast as it is read, or not at all."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from ingest.box.floor.exchange import Exchange
from utils.rows import NS_PER_S

#: Longest nap, s; with no listener the clock is only looked at so often. Shortest, while time stands still.
NAP_S, LOOK_S = 0.05, 0.005
#: Longest work in one go, s, and how far the clock may be behind before it is set anew.
MOMENT_S, BEHIND_S = 0.02, 10.0
#: At full speed, messages that may wait for the slowest reader.
MOST_WAITING = 64


class Pace:
    """Moves an exchange on.

    Args:
        exchange: to be moved.
        speed: exchange seconds a second; math.inf = as fast as the readers take it.
        waits: for the first listener.
        lag: messages that wait for the slowest reader.
        ended: whether there is nothing to come.
    """

    def __init__(
        self, exchange: Exchange, speed: float, *, waits: bool, lag: Callable[[], int], ended: Callable[[], bool]
    ) -> None:
        self._exchange = exchange
        self._speed = speed
        self._waits = waits
        self._lag = lag
        self._ended = ended
        self.frozen = False
        self._since, self._begin = 0.0, exchange.now  # monotonic s, exchange ns

    def start(self) -> None:
        """Let time go on from where it stands."""
        self._since, self._begin = time.monotonic(), self._exchange.now

    def resume(self) -> None:
        """The same, whatever it stood still for."""
        self.frozen = self._waits = False
        self.start()

    def freeze(self) -> None:
        """Let time stand still at the present."""
        self.catch_up()
        self.frozen = True

    def catch_up(self) -> None:
        """Move on to the present, or as far as a moment allows."""
        target, end = self._target(), time.monotonic() + MOMENT_S
        while not self._exchange.advance(target) and time.monotonic() < end:
            pass

    async def run(self) -> None:
        """Move on for ever."""
        while True:
            due = self._exchange.next_moment()
            if due is not None and self._waits:
                self._waits = False
                self.start()
            if self.frozen or self._waits:
                await asyncio.sleep(LOOK_S)
            elif math.isinf(self._speed):
                await self._rush(due)
            else:
                await self._walk()

    def _target(self) -> int:
        """Where the clock should stand, ns."""
        if self.frozen or self._waits or math.isinf(self._speed):
            return self._exchange.now
        return self._begin + round((time.monotonic() - self._since) * self._speed * NS_PER_S)

    async def _walk(self) -> None:
        """One step at the speed asked for, and the nap after it."""
        target = self._target()
        done = self._exchange.advance(target)
        if target - self._exchange.now > BEHIND_S * self._speed * NS_PER_S:
            self.start()  # faster than this machine: the clock slips
        due = self._exchange.next_moment()
        nap = NAP_S if due is None else (due - self._target()) / NS_PER_S / self._speed
        await asyncio.sleep(min(max(nap, 0.0), NAP_S) if done else 0)

    async def _rush(self, due: int | None) -> None:
        """One step as soon as it is wanted; time stands still while nobody listens, and after the end of a tape."""
        if due is None or self._ended() or self._lag() > MOST_WAITING:
            await asyncio.sleep(0.001)
            return
        self._exchange.advance(due)
        await asyncio.sleep(0)
