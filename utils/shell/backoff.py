"""How long to wait before another attempt."""

from __future__ import annotations

import random


class Backoff:
    """Waits that double at most, each drawn from its whole range ("full jitter"), so that clients do not march in step.

    wait = uniform(0, min(most, first x 2^n)) after n failures, in seconds.
    """

    def __init__(self, first_s: float, most_s: float) -> None:
        self.first_s, self.most_s, self.failures = first_s, most_s, 0

    def wait_s(self) -> float:
        """The wait after one more failure."""
        most = min(self.most_s, self.first_s * 2.0 ** min(self.failures, 60))
        self.failures += 1
        return random.uniform(0.0, most)

    def reset(self) -> None:
        """All went well."""
        self.failures = 0
