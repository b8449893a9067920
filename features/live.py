"""From market events to feature vectors: the one way that a live run, a replay of its tape and a study of one take.

Each event becomes a row (`features.rows.maker`), and the folds that eat it are those of history, so the numbers are the
same, bit for bit: here they are kept as they stand, and as they stood at each close. A live book is not kept a second
time: the record of the protocol core is looked at, and one compiled call goes from it to the vector.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.fold import callees, fresh_state, matrix, one_row
from features.registry import REGISTERED
from features.rows.maker import GIVEN, GONE, LINE, LINE_FIELDS, OwnBooks, new_lines, write_book, write_print
from features.rows.sources import EVENT_SOURCES, Source
from utils.compiled import compile_source
from utils.errors import ConfigError
from utils.rows import NEVER, NS_PER_MS, Rows, layout
from utils.types import Bar, BookDelta, BookInvalid, BookSnapshot, MarketEvent, Trade

#: One symbol's event features; NaN where they have no value.
EVENT_VECTOR = layout(*((feature.name, np.float64) for source in EVENT_SOURCES for feature in REGISTERED[source]))
#: The live book and tape beside a bar, frozen at its close: age of the book's latest update and of the latest print,
#: and the event features. NaN = no valid book, or no print known: a candle file has none, nor has a bar that closed
#: before the first came.
BOOK_AT_CLOSE = layout(*((name, np.float64) for name in ("book_age_ms", "print_age_ms", *(EVENT_VECTOR.names or ()))))


class Steps(NamedTuple):
    """The compiled calls that feed an event to the features; each ends with the vector of its symbol."""

    moved: Callable[[Rows, Rows, int, int, int], None]  # (book, desks, sym, ts, what): as `write_book` has them
    printed: Callable[[Rows, int, int, int, float, float], None]  # (desks, sym, ts, side, price, qty)


@cache
def desk_of_one() -> Rows:
    """A symbol's desk before its first event: its line, what features remember, the vector; an array of length 1."""
    states = {source: fresh_state(REGISTERED[source]) for source in EVENT_SOURCES}
    parts = ((LINE_FIELDS[source], state.dtype) for source, state in states.items())
    stamps = ((name, np.int64) for name in ("book_ts", "print_ts"))
    desk = np.zeros(1, layout(*stamps, ("line", LINE), *parts, ("vector", EVENT_VECTOR)))
    desk["line"], desk["vector"] = new_lines(1), np.full(1, np.nan, EVENT_VECTOR)
    for source, state in states.items():
        desk[LINE_FIELDS[source]] = state
    return desk


@cache
def steps() -> Steps:
    """The compiled calls, generated from the registered features: a call costs as much as some of them."""
    fed: dict[Source, list[str]] = {}
    scope: dict[str, Any] = {"__name__": __name__, "isnan": np.isnan, "nan": np.nan, "gone": GONE}
    scope |= {"write_book": write_book, "write_print": write_print}
    for source in EVENT_SOURCES:
        field, features = LINE_FIELDS[source], REGISTERED[source]
        names = [feature.name for feature in features]
        fed[source] = [f"event_{field} = line.{field}", f"state_{field} = desk.{field}", *one_row(names, f"_{field}")]
        scope |= callees(source.value, [feature.step for feature in features], f"_{field}")
    begin = ["    desk = desks[sym]", "    line = desk.line", "    answer = desk.vector"]
    moved = [
        "def moved(book, desks, sym, ts, what):",
        *begin,
        "    quoted = write_book(line, book[0], sym, ts, what)",
        *(f"    {each}" for each in fed[Source.BOOK]),
        "    desk.book_ts = 0 if isnan(event_book.prices[0, 0]) and isnan(event_book.prices[1, 0]) else ts",
        "    if what == gone:",  # the next print begins anew; those of before the loss are not the market
        *(f"        answer.{feature.name} = nan" for feature in REGISTERED[Source.TRADE]),
        "        desk.print_ts = 0",
        "    if quoted:",
        *(f"        {each}" for each in fed[Source.TAPE]),
    ]
    printed = [
        "def printed(desks, sym, ts, side, price, qty):",
        *begin,
        "    write_print(line, sym, ts, side, price, qty)",
        *(f"    {each}" for each in (*fed[Source.TRADE], *fed[Source.TAPE])),
        "    desk.print_ts = ts",
    ]
    return Steps(
        *(
            compile_source(lines[0][4:].split("(")[0], "\n".join([*lines, ""]), scope, __file__)
            for lines in (moved, printed)
        )
    )


def load_folds() -> None:
    """Load the machine code of the event features, or make it, before an event would have to wait for it."""
    features = EventFeatures(["X"])
    features.see(BookSnapshot("X", 1, 1, ((1.0, 1.0),), ((2.0, 1.0),)))
    features.see(Trade("X", 1, 1, 1.0, 1.0, 1))


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


class Stamps(NamedTuple):
    """Exchange times of what was heard last of a symbol, ns."""

    book: int  # the last update of its book; 0 = none is valid
    print: int  # the last print; 0 = none is known


class _Standing(NamedTuple):
    """What stood from one event to the next."""

    close: int  # the last one between them, ns
    book_ts: int
    print_ts: int
    vector: Rows


class EventFeatures:
    """The event features of some symbols as they stand, and as they stood at each close.

    Events come as nouns (`see`); changes of a book also as the record that a protocol core keeps (`moved`), which makes
    it what a live feed tells (`utils.ports.Listener`). A close's vector is frozen at the first event with ts >= close,
    before that event is applied: so a bar that is heard freezes its own close. Events and closes are those of the
    exchange's clock.

    Args:
        symbols: in the order of their numbers.
        closes: the next close of each symbol, ns; None = nothing is frozen.
        tf_ns: time between closes.

    Raises:
        ConfigError: not a close for each symbol, or no time between closes.
    """

    def __init__(self, symbols: Sequence[str], closes: Sequence[int] | None = None, tf_ns: int = 0) -> None:
        if closes is not None and not (len(closes) == len(symbols) and tf_ns > 0):
            raise ConfigError(
                f"expected a close for each of {len(symbols)} symbols and a time between closes above 0,"
                f" got {len(closes)} closes and {tf_ns} ns"
            )
        self._books = OwnBooks(symbols)
        self._desks = np.repeat(desk_of_one(), len(symbols))
        self._book_ts, self._print_ts = self._desks["book_ts"], self._desks["print_ts"]  # views, as they stand
        self._moved, self._printed = steps()
        self._closes, self._tf_ns = [NEVER] * len(symbols) if closes is None else list(closes), tf_ns
        self._frozen: list[deque[_Standing]] = [deque() for _ in symbols]  # oldest first

    def see(self, event: MarketEvent) -> None:
        """Something happened.

        Raises:
            DataError: to a symbol that was not named.
            InvariantError: a delta by itself, where the book came as a record until then.
        """
        if isinstance(event, BookSnapshot | BookDelta | BookInvalid):
            sym = self._books.number(event.symbol)
            what = self._books.take(event, sym, int(self._desks["line"]["held"][sym]))
            if what is not None:
                self._freeze(sym, event.ts)
                self._moved(self._books.book(sym), self._desks, sym, event.ts, what)
        elif isinstance(event, Trade):
            sym = self._books.number(event.symbol)
            self._freeze(sym, event.ts)
            self._printed(self._desks, sym, event.ts, event.side, event.price, event.qty)
        elif isinstance(event, Bar):
            self._freeze(self._books.number(event.symbol), event.ts)

    def moved(self, symbol: str, ts: int, ts_recv: int, book: Rows) -> None:  # noqa: ARG002 - others want to know
        """A delta changed the book of a symbol.

        Args:
            symbol: whose.
            ts: exchange time, ns.
            ts_recv: when it was heard, ns.
            book: a BOOK record as the delta left it, as an array of length 1; it is not kept.

        Raises:
            DataError: a symbol that was not named.
        """
        sym = self._books.number(symbol)
        if ts >= self._closes[sym]:
            self._freeze(sym, ts)
        self._moved(book, self._desks, sym, ts, GIVEN)

    def vector(self, symbol: str) -> Rows:
        """The features of a symbol as they stand: an EVENT_VECTOR array of length 1, a copy."""
        return self._vector(self._books.number(symbol))

    def stamps(self, symbol: str) -> Stamps:
        """When a symbol's book and prints were last heard of."""
        sym = self._books.number(symbol)
        return Stamps(self._book_ts.item(sym), self._print_ts.item(sym))

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
        if ts < self._closes[sym]:
            return
        last = ts - (ts - self._closes[sym]) % self._tf_ns
        self._frozen[sym].append(self._standing(sym, last))
        self._closes[sym] = last + self._tf_ns

    def _standing(self, sym: int, close: int) -> _Standing:
        desk = self._desks[sym]
        return _Standing(close, int(desk["book_ts"]), int(desk["print_ts"]), self._vector(sym))

    def _vector(self, sym: int) -> Rows:
        vector: Rows = self._desks["vector"][sym : sym + 1].copy()
        return vector
