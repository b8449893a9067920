"""Which closes of a live market are complete, late or missed; what time it is stands in the arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from utils.rows import BAR, NS_PER_S, Rows
from utils.types import Bar

#: Bars of one close may arrive so far apart; then the missing ones are asked for by REST, s.
GRACE_S = 5.0
#: A bar so long after it should have closed is asked for by REST, s; if the exchange is gone, that says so.
OVERDUE_S = 30.0


class Missed(NamedTuple):
    """Bars that the stream did not bring."""

    symbol: str
    first: int  # closes, both included, ns
    last: int


class Due(NamedTuple):
    """A close that has waited long enough, and what has to be asked for before it can be decided."""

    ts: int
    bars: Mapping[int, Bar]  # that came, by number of the symbol
    missed: tuple[Missed, ...]
    late: bool  # the stream has gone silent: nobody could act on it


class Closes:
    """Bars as they come, instants as they are complete.

    Args:
        symbols: in the order of their numbers.
        last: close of the last bar of each symbol that is known already, ns.
        tf_ns: time between closes.
    """

    def __init__(self, symbols: Sequence[str], last: Sequence[int], tf_ns: int) -> None:
        self._index = {symbol: sym for sym, symbol in enumerate(symbols)}
        self._last, self._tf_ns = list(last), tf_ns
        self._pending: dict[int, dict[int, Bar]] = {}
        self._since: dict[int, float] = {}
        self._heard_s: float | None = None  # when the last close was due, or was asked for the first time

    def see(self, bar: Bar, now_s: float) -> None:
        """A bar came.

        Args:
            bar: of one of the symbols.
            now_s: a clock that only measures how long bars of one close are waited for.
        """
        sym = self._index[bar.symbol]
        if bar.ts > self._last[sym]:  # else the history has it, or it was fetched meanwhile
            self._pending.setdefault(bar.ts, {})[sym] = bar
            self._since.setdefault(bar.ts, now_s)

    def due(self, now_s: float) -> Due | None:
        """The next close that is complete, or whose missing bars had time enough to come; `instants` has to follow."""
        ts = min(self._pending, default=0)
        if ts and (len(self._pending[ts]) == len(self._index) or now_s - self._since[ts] > GRACE_S):
            self._heard_s = now_s
            self._since.pop(ts)
            return self._due(ts, self._pending.pop(ts), late=False)
        if self._heard_s is None:
            self._heard_s = now_s
        elif not self._pending and now_s - self._heard_s > self._tf_ns / NS_PER_S + OVERDUE_S:
            self._heard_s = now_s
            return self._due(min(self._last) + self._tf_ns, {}, late=True)
        return None

    def behind(self, ts: int) -> Due:
        """All that closed up to `ts` (ns) while nobody followed: it is late; `instants` has to follow."""
        return self._due(ts, {}, late=True)

    def instants(self, due: Due, fetched: Sequence[Rows]) -> list[tuple[Rows, bool]]:
        """The BAR rows of each close up to that which was due, and whether they are too late to be acted on.

        Args:
            due: as it was told.
            fetched: BAR rows for each of its `missed`; fewer than were asked for are a gap.
        """
        parts = []
        found = {one.symbol: rows for one, rows in zip(due.missed, fetched, strict=True)}
        for symbol, sym in self._index.items():
            rows = found.get(symbol, np.zeros(0, BAR)).copy()
            rows["sym"], rows["last"] = sym, 0
            if sym in due.bars:
                rows = np.concatenate([rows, np.array([due.bars[sym].row(sym)], BAR)]).astype(BAR)
            if len(rows):
                rows["gap"] = np.diff(rows["ts"], prepend=self._last[sym]) // self._tf_ns - 1
                self._last[sym] = int(rows["ts"][-1])
                parts.append(rows)
        if not parts:
            return []
        merged = np.concatenate(parts).astype(BAR)
        merged = merged[np.lexsort((merged["sym"], merged["ts"]))]
        return [(merged[merged["ts"] == ts], due.late or bool(ts < due.ts)) for ts in np.unique(merged["ts"])]

    def _due(self, ts: int, bars: Mapping[int, Bar], *, late: bool) -> Due:
        wanted = [
            Missed(symbol, self._last[sym] + self._tf_ns, ts - self._tf_ns if sym in bars else ts)
            for symbol, sym in self._index.items()
        ]
        return Due(ts, bars, tuple(one for one in wanted if one.first <= one.last), late)
