"""From market events to rows: a row for history to be folded at once, or a row for the next live vector.

Each event becomes a row of the book, of prints or of the tape, by the compiled functions here, in a line that remembers
what the next one needs. A book is either put together from its nouns, or given: the record that a protocol core keeps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from features.rows.book import BOOK_EVENT, BookEventRow, gone, picture
from features.rows.sources import EVENT_SOURCES, Source
from features.rows.tape import PRINT, QUOTE, TAPE_EVENT, TapeEventRow
from features.rows.trades import TRADE_EVENT, TradeEventRow
from utils.compiled import compiled
from utils.errors import DataError, InvariantError
from utils.market.book import ASKS, BIDS, BookRow, change, new_books
from utils.rows import Rows, layout
from utils.types import BookDelta, BookInvalid, BookSnapshot, MarketEvent, Trade

#: What an event did to a book: changed one that is put together from nouns, began it anew, ended it, or changed one
#: that is given as a record.
CHANGED, ANEW, GONE, GIVEN = 0, 1, 2, 3
#: Where a symbol's book stands: there is none, it is put together from nouns, or its changes come with its record.
NONE, OWN, RECORD = 0, 1, 2
#: Rows that one event became, one array of length 1 for each source that it concerns.
EventRows = tuple[tuple[Source, Rows], ...]


class LineRow(Protocol):
    """One symbol's events: the rows that the last of them became, and what the next one needs to know of them."""

    held: int  # NONE, OWN or RECORD
    broken: int  # 1 = prints may be missing before the next
    bid: float  # of the last quote of the tape, quote; NaN = no such side
    ask: float
    book: BookEventRow
    trade: TradeEventRow
    tape: TapeEventRow


LINE = layout(
    *((name, np.int64) for name in ("held", "broken")),
    *((name, np.float64) for name in ("bid", "ask")),
    *(("book", BOOK_EVENT), ("trade", TRADE_EVENT), ("tape", TAPE_EVENT)),
)


def new_lines(count: int) -> Rows:
    """Lines before their first event."""
    lines = np.zeros(count, LINE)
    lines["broken"], lines["bid"], lines["ask"] = 1, math.nan, math.nan
    return lines


@compiled
def write_book(line: LineRow, book: BookRow, sym: int, ts: int, what: int) -> bool:
    """Write the row of a book after an event; was one of the tape written, too, because a best price changed?

    Args:
        line: of the symbol.
        book: as the event left it; not looked at when it is GONE.
        sym: the symbol's number.
        ts: exchange time of the event, ns.
        what: CHANGED, ANEW, GONE or GIVEN.
    """
    fresh = 1 if what in (ANEW, GONE) or line.held == NONE else 0
    if what == GONE:
        gone(sym, ts, line.book)
        line.held = NONE
        line.broken = 1
    else:
        picture(book, sym, ts, fresh, line.book)
        line.held = RECORD if what == GIVEN else OWN
    bid, ask = line.book.prices[BIDS, 0], line.book.prices[ASKS, 0]
    if fresh == 0 and bid == line.bid and ask == line.ask:
        return False
    line.bid = bid
    line.ask = ask
    tape = line.tape
    tape.ts = ts
    tape.sym = sym
    tape.fresh = fresh
    tape.kind = QUOTE
    tape.side = 0
    tape.bid = bid
    tape.ask = ask
    tape.price = math.nan
    tape.qty = math.nan
    return True


@compiled
def write_print(line: LineRow, sym: int, ts: int, side: int, price: float, qty: float) -> None:
    """Write the rows of a print, its own and that of the tape; units as in a Trade."""
    trade = line.trade
    trade.ts = ts
    trade.sym = sym
    trade.fresh = line.broken
    trade.side = side
    trade.price = price
    trade.qty = qty
    line.broken = 0
    tape = line.tape
    tape.ts = ts
    tape.sym = sym
    tape.fresh = 0
    tape.kind = PRINT
    tape.side = side
    tape.bid = math.nan
    tape.ask = math.nan
    tape.price = price
    tape.qty = qty


@compiled
def book_rows(lines: Rows, book: Rows, sym: int, ts: int, what: int) -> bool:
    """`write_book` for line `sym` of LINE records and the first of BOOK records."""
    return write_book(lines[sym], book[0], sym, ts, what)


@compiled
def print_rows(lines: Rows, sym: int, ts: int, side: int, price: float, qty: float) -> None:
    """`write_print` for line `sym` of LINE records."""
    write_print(lines[sym], sym, ts, side, price, qty)


class OwnBooks:
    """Books put together from nouns.

    Args:
        symbols: in the order of their numbers.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self.index = {symbol: sym for sym, symbol in enumerate(symbols)}
        self._books = new_books(len(symbols))

    def number(self, symbol: str) -> int:
        """The number of a symbol.

        Raises:
            DataError: it was not named.
        """
        sym = self.index.get(symbol)
        if sym is None:
            raise DataError(f"event: expected one of {', '.join(self.index)}, saw {symbol}; name it at the start")
        return sym

    def book(self, sym: int) -> Rows:
        """The BOOK record of a symbol, as an array of length 1."""
        return self._books[sym : sym + 1]

    def take(self, event: BookSnapshot | BookDelta | BookInvalid, sym: int, held: int) -> int | None:
        """Apply an event: what it did; None = it is a delta of a book that is not there, and is passed over.

        A delta that crosses the book ends it.

        Args:
            event: of the book.
            sym: its symbol's number.
            held: where that symbol's book stands.

        Raises:
            InvariantError: a delta of a book whose changes came with its record: ours has missed them.
        """
        if isinstance(event, BookInvalid):
            return GONE
        anew = isinstance(event, BookSnapshot)
        if not anew and held != OWN:
            if held == RECORD:
                raise InvariantError(f"{event.symbol}: expected its book's record, as before, saw a delta; give either")
            return None
        bids, asks = (np.array(side, np.float64).reshape(-1, 2) for side in (event.bids, event.asks))
        crossed = change(self._books, sym, bids, asks, anew)
        return GONE if crossed else ANEW if anew else CHANGED


class RowMaker:
    """Turns events into rows: keeps the books that deltas change, and knows what came after a gap.

    Args:
        symbols: in the order of their numbers; events of others are refused.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self._books = OwnBooks(symbols)
        self._lines = new_lines(len(symbols))

    def rows(self, event: MarketEvent) -> EventRows:
        """The rows of an event; none for one that is neither of the book nor a print. They are the caller's to keep.

        A delta of a book that is not there is passed over; one that crosses the book ends it.

        Raises:
            DataError: of a symbol that was not named.
        """
        if isinstance(event, Trade):
            sym = self._books.number(event.symbol)
            print_rows(self._lines, sym, event.ts, event.side, event.price, event.qty)
            return self._written(sym, Source.TRADE, Source.TAPE)
        if not isinstance(event, BookSnapshot | BookDelta | BookInvalid):
            return ()
        sym = self._books.number(event.symbol)
        what = self._books.take(event, sym, int(self._lines["held"][sym]))
        if what is None:
            return ()
        return self.moved(sym, event.ts, self._books.book(sym), what)

    def moved(self, sym: int, ts: int, book: Rows, what: int = GIVEN) -> EventRows:
        """The rows of a book that an event left so; they are the caller's to keep.

        Args:
            sym: the symbol's number.
            ts: exchange time of the event, ns.
            book: a BOOK record, as an array of length 1.
            what: the event did to it: CHANGED, ANEW, GONE or GIVEN.
        """
        quoted = book_rows(self._lines, book, sym, ts, what)
        return self._written(sym, Source.BOOK, Source.TAPE) if quoted else self._written(sym, Source.BOOK)

    def _written(self, sym: int, *sources: Source) -> EventRows:
        return tuple((source, self._lines[LINE_FIELDS[source]][sym : sym + 1].copy()) for source in sources)


#: The field of a line that holds the row of a source.
LINE_FIELDS = {Source.BOOK: "book", Source.TRADE: "trade", Source.TAPE: "tape"}


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
