"""How a Binance book begins: changes come by the stream, what they change by REST, and the two must meet."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from utils.rows import Level

#: Changes kept while a snapshot is awaited: messages, and levels of them all; beyond it the oldest goes.
MOST_KEPT = 4096
MOST_LEVELS = 1_000_000


@dataclass(frozen=True, slots=True)
class Diff:
    """Checked changes of a book."""

    first: int  # U
    last: int  # u
    previous: int | None  # pu; None = spot, which numbers without gaps
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    ts: int  # exchange time, ns

    def follows(self, update: int) -> bool:
        """Is `update` what came just before it?"""
        return self.first == update + 1 if self.previous is None else self.previous == update

    def older(self, snapshot: int) -> bool:
        """Does the snapshot hold it already? Futures apply the change that ends at the snapshot once more."""
        return self.last <= snapshot if self.previous is None else self.last < snapshot

    def bridges(self, snapshot: int) -> bool:
        """Does it go on from the snapshot, with nothing between?"""
        if self.previous is None:
            return self.first <= snapshot + 1 <= self.last
        return self.first <= snapshot <= self.last or self.previous == snapshot


@dataclass(frozen=True, slots=True)
class Base:
    """A checked snapshot."""

    update_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    ts: int  # exchange time, ns; 0 = it does not say


class DepthSync:
    """What waits until snapshot and changes meet."""

    def __init__(self) -> None:
        self.base: Base | None = None
        self.came = 0  # when a snapshot or change came last, receive time, ns
        self._diffs: deque[Diff] = deque()
        self._levels = 0

    def forget_changes(self) -> None:
        """The changes kept so far do not belong to those to come."""
        self._diffs.clear()
        self._levels = 0

    def keep(self, diff: Diff) -> None:
        """Keep a change."""
        self._diffs.append(diff)
        self._levels += len(diff.bids) + len(diff.asks)
        while len(self._diffs) > MOST_KEPT or (self._levels > MOST_LEVELS and len(self._diffs) > 1):
            self._drop()

    def _drop(self) -> None:
        diff = self._diffs.popleft()
        self._levels -= len(diff.bids) + len(diff.asks)

    def meet(self) -> tuple[Base, list[Diff]] | None:
        """The snapshot and the changes that go on from it; None while one of them is missing.

        A snapshot from before the changes that were kept is dropped: `base` is None then.
        """
        base = self.base
        if base is None:
            return None
        while self._diffs and self._diffs[0].older(base.update_id):
            self._drop()
        if not self._diffs:
            return None
        diffs = list(self._diffs)
        self.base = None
        if not diffs[0].bridges(base.update_id):
            return None
        self.forget_changes()
        return base, diffs
