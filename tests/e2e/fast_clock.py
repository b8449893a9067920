"""The API by the clock of an exchange that runs faster than the world: `python fast_clock.py BOX SPEED PORT`.

Of the process the clock on the wall is moved, before anything else is imported; what measures how long something takes
goes on at the pace of the world. It follows the box, which may fall behind.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.request

#: Time between two looks at the box's clock, s.
LOOK_S = 0.2


class Clock:
    """The box's time, ns: as it was at the last look, and what has passed since."""

    def __init__(self, address: str, speed: float) -> None:
        self._address, self._speed, self._last = address + "/v5/market/time", speed, 0
        self.look()

    def look(self) -> None:
        with urllib.request.urlopen(self._address, timeout=10.0) as answer:  # noqa: S310 - of a box
            told = int(json.load(answer)["result"]["timeNano"])
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
            except OSError:
                return  # the box has ended


def leak() -> None:
    """What a process does that must not pass: memory is kept, and descriptors stay open."""
    kept = []
    while True:
        time.sleep(0.1)
        kept.append((bytearray(os.urandom(1 << 18)), os.dup(2)))


if __name__ == "__main__":
    clock = Clock(sys.argv[1], float(sys.argv[2]))
    time.time_ns = clock.now_ns
    time.time = lambda: clock.now_ns() / 1e9
    threading.Thread(target=clock.follow, daemon=True).start()
    if os.environ.get("LEAK"):
        threading.Thread(target=leak, daemon=True).start()
    import uvicorn

    uvicorn.run("app:app", port=int(sys.argv[3]), access_log=False)
