"""How often one client may ask: a token bucket for each, in a table that cannot grow without end."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from functools import lru_cache

#: Clients that are remembered at most; one who is forgotten has a full bucket.
MOST_CLIENTS = 10_000


class Buckets:
    """A token bucket for each client, kept as the one time at which it will be full again.

    A client whose time has passed is as good as unknown, so a full table forgets those first, and of the others those
    that asked longest ago.

    Args:
        rate_per_s: requests that a bucket regains; 0 = nobody is held up.
        burst: requests that a full bucket holds.
        clock: s, running on.
        most: clients remembered.
    """

    def __init__(self, rate_per_s: float, burst: int, clock: Callable[[], float], most: int = MOST_CLIENTS) -> None:
        self._each = 1.0 / rate_per_s if rate_per_s > 0.0 else 0.0
        self._room = (burst - 1) * self._each
        self._clock, self._most = clock, most
        self._full: dict[str, float] = {}  # in order of the last request

    def take(self, client: str) -> float:
        """Let one request of a client pass: 0, or the time after which it may, s."""
        if self._each == 0.0:
            return 0.0
        now = self._clock()
        full = max(self._full.pop(client, now), now)
        late = full - now - self._room
        if late > 1e-9:  # sums of floats round
            self._full[client] = full
            return late
        self._full[client] = full + self._each
        if len(self._full) > self._most:
            self._forget(now)
        return 0.0

    def __len__(self) -> int:
        return len(self._full)

    def _forget(self, now: float) -> None:
        busy = [(client, full) for client, full in self._full.items() if full > now]
        self._full = dict(busy[-math.ceil(self._most / 2) :])


@lru_cache(4096)
def client_of(address: str) -> str:
    """Who counts as one client: an address; of IPv6 its /64, all of which one user commands."""
    if ":" not in address:
        return address
    try:
        whole = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if whole.ipv4_mapped is not None:
        return str(whole.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(whole) >> 64 << 64))
