"""The clock of every process that finds this folder in PYTHONPATH is that of an exchange in a box, which runs fast.

It is moved before anything else is imported. What measures how long something takes goes on at the pace of the world.
FAST_BOX is the address of the box, FAST_SPEED its speed; LEAK lets a server keep memory and descriptors for nothing.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time

#: Time between two looks at the box's clock, s.
LOOK_S = 0.5


class Clock:
    """The box's time, ns: as it was at the last look, and what has passed since."""

    def __init__(self, box: str, speed: float) -> None:
        self._box, self._speed, self._last = box.removeprefix("http://"), speed, 0
        self.look()

    def look(self) -> None:
        line = http.client.HTTPConnection(self._box, timeout=10.0)
        try:
            line.request("GET", "/v5/market/time")
            told = int(json.loads(line.getresponse().read())["result"]["timeNano"])
        finally:
            line.close()
        self._seen = told, time.monotonic_ns()

    def now_ns(self) -> int:
        told, at = self._seen
        self._last = max(self._last, told + int((time.monotonic_ns() - at) * self._speed))
        return self._last

    def follow(self) -> None:
        while True:
            time.sleep(LOOK_S)
            try:
                self.look()
            except (OSError, http.client.HTTPException):
                return  # the box has ended


def leak() -> None:
    """What a process does that must not pass."""
    kept = []
    while True:
        time.sleep(0.1)
        kept.append((bytearray(os.urandom(1 << 18)), os.dup(2)))


def move() -> None:
    """Let this process live by the box's clock."""
    try:
        clock = Clock(os.environ["FAST_BOX"], float(os.environ["FAST_SPEED"]))
    except OSError:
        return  # it has ended
    time.time_ns = clock.now_ns  # not time.time: requests measures by it how long an answer takes
    threading.Thread(target=clock.follow, daemon=True).start()


if "FAST_BOX" in os.environ:
    move()
if "LEAK" in os.environ and "uvicorn" in sys.orig_argv:
    threading.Thread(target=leak, daemon=True).start()
