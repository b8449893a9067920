"""From market events to rows: a row for history to be folded at once, or a row for the next live vector.

A book is put together from its events; each event becomes a row of the book, of prints or of the tape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from features.rows.book import BOOK_EVENT, gone, show
from features.rows.sources import EVENT_SOURCES, Source
from features.rows.tape import PRINT, QUOTE, TAPE_EVENT
from features.rows.trades import TRADE_EVENT
from utils.errors import DataError
from utils.market.book import change, new_books
from utils.rows import Rows
from utils.types import BookDelta, BookInvalid, BookSnapshot, MarketEvent, Trade

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
    found: dict[Source, list[Rows]] = {source: [] for source in EVENT_SOURCES}
    for event in events:
        for source, row in maker.rows(event):
            found[source].append(row)
    return {
        source: np.concatenate(rows).astype(source.value.rows) if rows else np.zeros(0, source.value.rows)
        for source, rows in found.items()
    }
