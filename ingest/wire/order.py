"""What comes late: event time never runs backwards in a stream, nor do the ids of one that tells no time."""

from __future__ import annotations

from utils.rows import NS_PER_S

#: When nothing but what is late has come for so long, a clock was set or ids began anew, and theirs is the order.
ANEW_NS = 5 * NS_PER_S


class Order:
    """Where one stream stands."""

    __slots__ = ("_late_since", "latest")

    def __init__(self) -> None:
        self.latest = -1  # time or id of the latest that was not late
        self._late_since = 0  # receive time, ns; 0 = what came last was not late

    def late(self, value: int, recv_ns: int) -> bool:
        """Is what has this time or id older than what came before it? If not, it is the latest.

        Args:
            value: exchange time, ns, or an id.
            recv_ns: when it came, ns.
        """
        if value < self.latest:
            self._late_since = self._late_since or recv_ns
            if recv_ns - self._late_since < ANEW_NS:
                return True
        self.latest, self._late_since = value, 0
        return False
