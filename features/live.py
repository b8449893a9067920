"""From market events to feature vectors: the one way that a live run, a replay of its tape and a study of one take.

A book is put together from its events, and each event becomes a row (`features.rows.events`): a row for history to be
folded at once, or a row for the next live vector. The folds are the same, so the numbers are the same, bit for bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.fold import FeatureSet, Source, matrix
from features.registry import REGISTERED, feature_set
from features.rows.events import BOOK_EVENT, PRINT, QUOTE, TAPE_EVENT, TRADE_EVENT, gone, show
from utils.errors import ConfigError, DataError
from utils.market.book import change, new_books
from utils.rows import NS_PER_MS, Rows, layout
from utils.types import BookDelta, BookInvalid, BookSnapshot, MarketEvent, Trade

#: Sources of event features, in the order of the vector.
SOURCES = (Source.BOOK, Source.TRADE, Source.TAPE)
#: One symbol's event features; NaN where they have no value.
EVENT_VECTOR = layout(*((feature.name, np.float64) for source in SOURCES for feature in REGISTERED[source]))

#: Rows that one event became, one array of length 1 for each source that it concerns.
EventRows = tuple[tuple[Source, Rows], ...]


class RowMaker:
    """Turns events into rows: keeps the books that deltas change, and knows what came after a gap.

    Args:
        symbols: in the order of their numbers; events of others are refused.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self.index = {symbol: sym for sym, symbol in enumerate(symbols)}
        self._books = new_books(len(symbols))
        self._live = [False] * len(symbols)
        self.broken = [True] * len(symbols)  # prints may be missing before the next
        self._top = [(np.nan, np.nan)] * len(symbols)

    def rows(self, event: MarketEvent) -> EventRows:
        """The rows of an event; none for one that is neither of the book nor a print. They are the caller's to keep.

        A delta of a book that is not there is passed over; one that crosses the book ends it.

        Raises:
            DataError: of a symbol that was not named.
        """
        if isinstance(event, Trade):
            return self._print(event, self._number(event.symbol))
        if isinstance(event, BookSnapshot | BookDelta | BookInvalid):
            return self._book(event, self._number(event.symbol))
        return ()

    def _number(self, symbol: str) -> int:
        if symbol not in self.index:
            raise DataError(f"event: expected one of {', '.join(self.index)}, saw {symbol}; name it at the start")
        return self.index[symbol]

    def _book(self, event: BookSnapshot | BookDelta | BookInvalid, sym: int) -> EventRows:
        anew = isinstance(event, BookSnapshot)
        if isinstance(event, BookDelta) and not self._live[sym]:
            return ()
        if isinstance(event, BookInvalid):
            self._live[sym] = False
        else:
            bids, asks = (np.array(side, np.float64).reshape(-1, 2) for side in (event.bids, event.asks))
            self._live[sym] = not change(self._books, sym, bids, asks, anew)
        if not self._live[sym]:
            self.broken[sym] = True
            self._top[sym] = (np.nan, np.nan)
            return (Source.BOOK, gone(sym, event.ts)), (Source.TAPE, _quote(sym, event.ts, np.nan, np.nan, 1))
        row = np.empty(1, BOOK_EVENT)
        show(self._books, sym, event.ts, int(anew), row)
        bid, ask = row["prices"][0, :, 0].tolist()
        if not anew and (bid, ask) == self._top[sym]:
            return ((Source.BOOK, row),)
        self._top[sym] = (bid, ask)
        return (Source.BOOK, row), (Source.TAPE, _quote(sym, event.ts, bid, ask, int(anew)))

    def _print(self, event: Trade, sym: int) -> EventRows:
        trade = np.zeros(1, TRADE_EVENT)
        trade[0] = (event.ts, sym, int(self.broken[sym]), event.side, event.price, event.qty)
        self.broken[sym] = False
        tape = np.zeros(1, TAPE_EVENT)
        tape[0] = (event.ts, sym, 0, PRINT, event.side, np.nan, np.nan, event.price, event.qty)
        return (Source.TRADE, trade), (Source.TAPE, tape)


def _quote(sym: int, ts: int, bid: float, ask: float, fresh: int) -> Rows:
    row = np.zeros(1, TAPE_EVENT)
    row[0] = (ts, sym, fresh, QUOTE, 0, bid, ask, np.nan, np.nan)
    return row


def rows_of(events: Iterable[MarketEvent], symbols: Sequence[str]) -> dict[Source, Rows]:
    """The rows of many events, source by source, in the order they came.

    Raises:
        DataError: an event of a symbol that was not named.
    """
    maker = RowMaker(symbols)
    found: dict[Source, list[Rows]] = {source: [] for source in SOURCES}
    for event in events:
        for source, row in maker.rows(event):
            found[source].append(row)
    return {
        source: np.concatenate(rows).astype(source.value.rows) if rows else np.zeros(0, source.value.rows)
        for source, rows in found.items()
    }


def load_folds() -> None:
    """Load the machine code of the event features, or make it, before an event would have to wait for it."""
    for source in SOURCES:
        feature_set(source=source).batch(np.zeros(0, source.value.rows))


def parts_of(vectors: Rows) -> dict[Source, NDArray[np.float64]]:
    """The columns of each source in EVENT_VECTOR rows: views of shape (rows, features)."""
    whole, parts, first = matrix(vectors), {}, 0
    for source in SOURCES:
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
        self._sets: dict[Source, FeatureSet] = {source: feature_set(len(symbols), source) for source in SOURCES}
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
