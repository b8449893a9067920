"""The exchange's clock, as its answers show it: how far it is ahead of the machine's, and how wrong that may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

from ingest.rest.retry import Answer
from utils.rows import NS_PER_MS, NS_PER_S

#: The difference is measured again after the first of these, and then, as long as it holds, after twice the time each,
#: up to the second; at once when the machine's clock was set by more than the third.
FIRST_S, LIFE_S, JUMP_S = 1.0, 300.0, 0.5
#: How fast a machine's clock may run away: what an old measurement may be wrong by grows so much a second.
DRIFT = 50e-6


@dataclass(frozen=True, slots=True)
class ClockReading:
    """How far the exchange's clock is ahead of the machine's, as one answer showed."""

    offset_ns: int  # exchange - machine
    error_ns: int  # how wrong that may be
    rtt_ns: int
    wall_ns: int  # when it was taken, machine's clock
    uptime_s: float


class ExchangeClock:
    """What is known of an exchange's clock. It is looked at often until it has been seen to keep pace with ours.

    A box may run faster than the world, so a first difference is not believed for long. Of two readings that agree the
    one with the shorter round trip is kept.

    Args:
        wall_ns: the machine's clock, ns.
        uptime_s: seconds, never going back.
    """

    def __init__(self, wall_ns: Callable[[], int], uptime_s: Callable[[], float]) -> None:
        self._wall_ns, self._uptime_s = wall_ns, uptime_s
        self._reading: ClockReading | None = None
        self._life_s = FIRST_S
        self.dated: ClockReading | None = None  # what the Date of the last answer showed, to the second

    @property
    def offset_ns(self) -> int:
        """Exchange - machine; 0 = never read."""
        return self._reading.offset_ns if self._reading else 0

    def reading(self) -> ClockReading | None:
        """What was measured; None = it has to be measured anew."""
        return self._reading if self.holds(self._reading) else None

    def holds(self, reading: ClockReading | None) -> bool:
        """Whether a reading may still be used."""
        if reading is None:
            return False
        passed = self._uptime_s() - reading.uptime_s
        jumped = abs((self._wall_ns() - reading.wall_ns) / NS_PER_S - passed)
        return passed < self._life_s and jumped < JUMP_S

    def note(self, answer: Answer) -> None:
        """Take what an answer's Date says."""
        try:
            date_s = int(parsedate_to_datetime(str(answer.headers.get("Date", ""))).timestamp())
        except (ValueError, OverflowError):
            return
        self.dated = self.measured(date_s * NS_PER_S + NS_PER_S // 2, answer, NS_PER_S // 2)

    def measured(self, server_ns: int, answer: Answer, error_ns: int) -> ClockReading:
        """A reading of the time that an answer tells.

        Formula: offset = exchange time - (send + receive) / 2; it may be wrong by half the round trip, and by
        `error_ns`, as exactly as the time is told.
        """
        rtt_ns = int(NS_PER_S * answer.elapsed_s)
        offset_ns = server_ns - (answer.wall_ns - rtt_ns // 2)
        return ClockReading(offset_ns, rtt_ns // 2 + error_ns, rtt_ns, answer.wall_ns, self._uptime_s())

    def told(self, server_ms: int, answer: Answer) -> ClockReading:
        """A reading of the exchange's time in ms."""
        return self.measured(server_ms * NS_PER_MS, answer, NS_PER_MS)

    def keep(self, new: ClockReading) -> ClockReading:
        """What holds after a new measurement."""
        old = self._reading
        if old is None or _contradict(old, new):
            self._reading, self._life_s = new, 0.0 if old else FIRST_S
        else:
            self._reading = _better(old, new)
            self._life_s = min(max(2.0 * self._life_s, FIRST_S), LIFE_S)
        return self._reading


def _contradict(old: ClockReading, new: ClockReading) -> bool:
    """Cannot both be right: one of the clocks was set, or they do not keep pace."""
    return abs(old.offset_ns - new.offset_ns) > old.error_ns + new.error_ns


def _better(old: ClockReading, new: ClockReading) -> ClockReading:
    """Of two readings that agree the one that may be wrong by less, as of now."""
    error_ns = old.error_ns + int(NS_PER_S * DRIFT * (new.uptime_s - old.uptime_s))
    if new.error_ns <= error_ns:
        return new
    return replace(old, error_ns=error_ns, wall_ns=new.wall_ns, uptime_s=new.uptime_s)
