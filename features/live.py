"""From market events to feature vectors: the one way that a live run, a replay of its tape and a study of one take.

Each event becomes a row (`features.rows.maker`), and the folds that eat it are those of history, so the numbers are the
same, bit for bit: here they are kept as they stand, and as they stood at each close.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.fold import FeatureSet, matrix
from features.registry import REGISTERED, feature_set
from features.rows.maker import RowMaker
from features.rows.sources import EVENT_SOURCES, Source
from utils.errors import ConfigError
from utils.rows import NS_PER_MS, Rows, layout
from utils.types import MarketEvent

#: One symbol's event features; NaN where they have no value.
EVENT_VECTOR = layout(*((feature.name, np.float64) for source in EVENT_SOURCES for feature in REGISTERED[source]))
#: The live book and tape beside a bar, frozen at its close: age of the book's latest update and of the latest print,
#: and the event features. NaN = no valid book, or no print known: a candle file has none, nor has a bar that closed
#: before the first came.
BOOK_AT_CLOSE = layout(*((name, np.float64) for name in ("book_age_ms", "print_age_ms", *(EVENT_VECTOR.names or ()))))


def load_folds() -> None:
    """Load the machine code of the event features, or make it, before an event would have to wait for it."""
    for source in EVENT_SOURCES:
        feature_set(source=source).batch(np.zeros(0, source.value.rows))


def parts_of(vectors: Rows) -> dict[Source, NDArray[np.float64]]:
    """The columns of each source in EVENT_VECTOR rows: views of shape (rows, features)."""
    whole, parts, first = matrix(vectors), {}, 0
    for source in EVENT_SOURCES:
        parts[source] = whole[:, first : first + len(REGISTERED[source])]
        first += len(REGISTERED[source])
    return parts


class AtClose(NamedTuple):
    """The event features of one symbol at a close, and how old what they were made of was then."""

    book_age_ms: float  # since the last update of the book; NaN = none was valid
    print_age_ms: float  # since the last print; NaN = none was known
    vector: Rows  # EVENT_VECTOR, of length 1


class _Standing(NamedTuple):
    """What stood from one event to the next."""

    close: int  # the last one between them, ns
    book_ts: int
    print_ts: int
    vector: Rows


class EventFeatures:
    """The event features of some symbols as they stand, and as they stood at each close.

    A close's vector is frozen at the first event with ts >= close, before that event is applied. Events and closes are
    those of the exchange's clock.

    Args:
        symbols: in the order of their numbers.
        closes: the next close of each symbol, ns; None = nothing is frozen.
        tf_ns: time between closes.

    Raises:
        ConfigError: not a close for each symbol, or no time between closes.
    """

    def __init__(self, symbols: Sequence[str], closes: Sequence[int] | None = None, tf_ns: int = 0) -> None:
        self._maker = RowMaker(symbols)
        self._sets: dict[Source, FeatureSet] = {source: feature_set(len(symbols), source) for source in EVENT_SOURCES}
        self._vectors = np.full(len(symbols), np.nan, EVENT_VECTOR)
        self._parts = parts_of(self._vectors)
        # exchange time of the last update of a valid book and of the last print, by symbol; 0 = there is none
        self._book_ts, self._print_ts = [0] * len(symbols), [0] * len(symbols)
        if closes is not None and not (len(closes) == len(symbols) and tf_ns > 0):
            raise ConfigError(
                f"expected a close for each of {len(symbols)} symbols and a time between closes above 0,"
                f" got {len(closes)} closes and {tf_ns} ns"
            )
        self._closes, self._tf_ns = None if closes is None else list(closes), tf_ns
        self._frozen: list[deque[_Standing]] = [deque() for _ in symbols]  # oldest first

    def see(self, event: MarketEvent) -> None:
        """Something happened.

        Raises:
            DataError: to a symbol that was not named.
        """
        rows = self._maker.rows(event)
        if not rows:
            return
        sym = int(rows[0][1]["sym"][0])
        self._freeze(sym, int(rows[0][1]["ts"][0]))
        for source, row in rows:
            self._parts[source][sym] = matrix(self._sets[source].step(row))[0]
            if source is Source.BOOK:
                self._book_ts[sym] = 0 if np.isnan(row["prices"][0, :, 0]).all() else int(row["ts"][0])
            elif source is Source.TRADE:
                self._print_ts[sym] = int(row["ts"][0])
        if self._maker.broken[sym]:  # the next print begins anew; those of before the loss are not the market
            self._parts[Source.TRADE][sym] = np.nan
            self._print_ts[sym] = 0

    def vector(self, symbol: str) -> Rows:
        """The features of a symbol as they stand: an EVENT_VECTOR array of length 1, a copy."""
        sym = self._maker.index[symbol]
        return self._vectors[sym : sym + 1].copy()

    def at(self, sym: int, close: int) -> AtClose:
        """What stood at a close; earlier closes are forgotten."""
        frozen = self._frozen[sym]
        while frozen and frozen[0].close < close:
            frozen.popleft()
        found = frozen[0] if frozen else self._standing(sym, close)
        book_age, print_age = ((close - ts) / NS_PER_MS if ts else np.nan for ts in (found.book_ts, found.print_ts))
        return AtClose(book_age, print_age, found.vector)

    def _freeze(self, sym: int, ts: int) -> None:
        """What stands now stood at every close up to `ts`."""
        if self._closes is None or ts < self._closes[sym]:
            return
        last = ts - (ts - self._closes[sym]) % self._tf_ns
        self._frozen[sym].append(self._standing(sym, last))
        self._closes[sym] = last + self._tf_ns

    def _standing(self, sym: int, close: int) -> _Standing:
        return _Standing(close, self._book_ts[sym], self._print_ts[sym], self._vectors[sym : sym + 1].copy())
