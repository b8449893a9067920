"""What comes again and again is logged once in a while, with how often it came."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Hashable

from utils.shell.log import event


class Seldom:
    """Events that come again and again, each logged at most once in a while; the next line says how many were left out.

    Args:
        every_s: shortest time between two lines of the same kind, s.
        clock: seconds, never going back.
    """

    #: Kinds that are remembered.
    MOST = 256

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._clock = every_s, clock
        self._said: dict[Hashable, tuple[float, int]] = {}  # when last, and how many were left out since; oldest first

    def event(
        self,
        logger: logging.Logger,
        name: str,
        text: str = "",
        /,
        *,
        kind: Hashable,
        severity: int = logging.INFO,
        **fields: object,
    ) -> None:
        """Log that `name` happened, as `event` does, unless another of its kind was logged a moment ago."""
        now = self._clock()
        last, left_out = self._said.get((name, kind), (-math.inf, 0))
        if now - last < self._every_s:
            self._said[name, kind] = (last, left_out + 1)
            return
        self._said.pop((name, kind), None)
        self._said[name, kind] = (now, 0)
        while len(self._said) > self.MOST:
            self._said.pop(next(iter(self._said)), None)
        event(logger, name, text, severity=severity, **fields, **({"left_out": left_out} if left_out else {}))
