"""What a market says as it stands: the advice of its last close, ready to be sent; or that there is none now."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from exec.advice import Advice
from features.live import Stamps
from utils.errors import DataUnavailable
from utils.rows import NEVER, NS_PER_S
from utils.shell.moments import iso


class Later(DataUnavailable):
    """There is no answer now, and there may be one later.

    Args:
        cause: in one sentence.
        retry_after_s: until then asking again is of no use, s.
    """

    def __init__(self, cause: str, retry_after_s: float) -> None:
        super().__init__(cause)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """One advice, and what is known of its age; made by `standing_of`."""

    number: int  # of all that were made, from 1 on
    advice: Advice
    ts: int  # the close it is of, ns
    source: str  # where the market comes from, and how
    until: int  # after this it is no longer fresh, ns
    stamps: Callable[[], Stamps]  # when book and prints were last heard of
    head: bytes  # the answer as JSON, up to what changes with time

    def json(self, now_ns: int) -> bytes:
        """The `exec.advice.Answer` of a request at `now_ns`, as JSON; of a recording at its own last close."""
        now_ns = self._now(now_ns)
        stamps = self.stamps()
        bar, book, prints = (_number(age_s(ts, now_ns)) for ts in (self.ts, stamps.book, stamps.print))
        return b'%s,"as_of":"%s","ages":{"bar_s":%s,"book_s":%s,"prints_s":%s}}' % (
            self.head, iso(now_ns).encode(), bar, book, prints,
        )  # fmt: skip

    def fresh(self, now_ns: int) -> bool:
        """Whether no later close can be expected to be there."""
        return now_ns <= self.until

    def _now(self, now_ns: int) -> int:
        return self.ts if self.until == NEVER else now_ns


def standing_of(
    number: int, advice: Advice, ts: int, source: str, stamps: Callable[[], Stamps], *, patience_ns: int | None
) -> Standing:
    """An advice made ready to be sent.

    Args:
        number: of all that were made.
        advice: of a close.
        ts: that close, ns.
        source: where the market comes from.
        stamps: tells when book and prints were last heard of.
        patience_ns: how old the close may become; None = time stands still at it, as in a recording.
    """
    until = NEVER if patience_ns is None else ts + patience_ns
    said = advice.model_dump_json().encode()
    head = said[:-1] + b',"source":' + json.dumps(source).encode()
    return Standing(number, advice, ts, source, until, stamps, head)


def age_s(ts: int, now_ns: int) -> float | None:
    """How long ago something was heard, s; a clock that lags behind the exchange's says 0. None = it never was."""
    return max(0.0, (now_ns - ts) / NS_PER_S) if ts else None


def _number(seconds: float | None) -> bytes:
    return b"null" if seconds is None else b"%.3f" % seconds
