"""What a live run remembers: its bars, what stood beside them, and what was said at their closes."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from exec.market import Market
from features.live import BOOK_AT_CLOSE
from utils.rows import BAR, SIGNAL, Rows


class Part(NamedTuple):
    """A history, or one close after it: rows of the same length."""

    bars: Rows  # BAR
    book: Rows  # BOOK_AT_CLOSE
    signals: Rows  # SIGNAL
    late: bool  # nobody could have acted on it


class Past:
    """The parts of a run in the order in which they were decided.

    Args:
        market: its symbols, and all that is true of them whatever the bars.
    """

    def __init__(self, market: Market) -> None:
        self._market = market
        self._parts: list[Part] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def first(self) -> Part:
        """The history."""
        return self._parts[0]

    def append(self, part: Part) -> None:
        """What came, and was answered."""
        self._parts.append(part)
        self._size += len(part.bars)

    def market(self, *newest: Part) -> Market:
        """All bars as a market that has ended; `newest` are not remembered yet."""
        parts = [*self._parts, *newest]
        bars = np.concatenate([part.bars for part in parts]).astype(BAR)
        bars["last"] = 0
        for sym in range(len(self._market.symbols)):
            bars["last"][np.flatnonzero(bars["sym"] == sym)[-1]] = 1
        book = np.concatenate([part.book for part in parts]).astype(BOOK_AT_CLOSE)
        return dataclasses.replace(self._market, bars=bars, book=book)

    @property
    def signals(self) -> Rows:
        """SIGNAL rows beside the bars, as they were used."""
        rows: Rows = np.concatenate([part.signals for part in self._parts]).astype(SIGNAL)
        return rows

    @property
    def late(self) -> Rows:
        """Which bars came too late to be acted on."""
        rows: Rows = np.concatenate([np.full(len(part.bars), part.late) for part in self._parts])
        return rows


def no_book(bars: int) -> Rows:
    """BOOK_AT_CLOSE rows beside bars of which no book is known."""
    return np.full(bars, np.nan, BOOK_AT_CLOSE)
