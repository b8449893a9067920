"""What users hold, made rows: trades, books and quotes are checked here and nowhere else.

A row that is wrong is refused with its number, as the user counts: the first is 0. Times are exchange times. The size
of a number tells whether it is seconds, milli-, micro- or nanoseconds, whatever the column is called; datetimes and ISO
dates are what they say, without a zone UTC. Our own rows and nouns have nanoseconds.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.rows.book import BOOK_EVENT, show
from features.rows.tape import PRINT, QUOTE, TAPE_EVENT
from features.rows.trades import TRADE_EVENT
from utils.errors import DataError
from utils.market.book import ASKS, BIDS, TOP, change, new_books
from utils.market.prints import AGGRESSORS, print_columns
from utils.market.sides import Book, sides
from utils.market.times import NoTime, nanoseconds
from utils.rows import NS_PER_DAY, Rows, layout_of
from utils.types import Quote, Trade
from utils.words import PRINT_SIDES, SIGNS, ours_or_none

#: ccxt trades, Trade nouns, a DataFrame or TRADE_EVENT rows.
Trades = Any
#: A DataFrame of best bids and asks, Quote nouns, books, or BOOK_EVENT rows.
Quotes = Any

#: Name of the times of nouns, whose unit needs no telling.
NOUNS = "ns"
#: No window or offset is longer than this.
LONGEST_NS = 40 * 365 * NS_PER_DAY


class QuoteRow(Protocol):
    """The best of a book after an event."""

    ts: int  # exchange time, ns
    fresh: int  # 1 = quotes before this one may be missing
    bid: float  # quote; NaN where the side is empty
    bid_qty: float  # base; NaN = not given
    ask: float
    ask_qty: float
    near_bid: float  # base within BAND_BPS of the mid; NaN = not given
    near_ask: float


QUOTE_ROW = layout_of(QuoteRow)


def trade_rows(trades: Trades) -> Rows:
    """TRADE_EVENT rows of trades, in order of time; those of one moment stay in the order given.

    A side that is not known is that of the last change of price up to this trade, the tick rule; before the first
    change it stays 0, and measures of signed volume leave it out. A trade whose id came before is dropped.

    Args:
        trades: ccxt dicts (timestamp, side, price, amount, id), Trade nouns, a DataFrame or an Arrow table with the
            columns `timestamp` or `ts`, `side`, `price`, `amount` or `qty`, and perhaps `id`, or as the archives of
            Binance and Bybit call them (`utils.market.prints`); or TRADE_EVENT rows, which stay as they are. Files of
            such trades are read by `ingest.files.trades`.

    Formula: unknown side = sign of the last p - p' that is not 0.
    Unit: time ns, price quote, quantity base, side +1 or -1 of the aggressor.
    NaN: never.

    Raises:
        DataError: a row without a time, a side that is neither, a price or quantity that is not above 0, trades of
            several symbols, or one id on different trades; names the row.
    Source: Lee and Ready, Inferring Trade Direction from Intraday Data, 1991.
    """
    if isinstance(trades, np.ndarray) and trades.dtype == TRADE_EVENT:
        return trades
    trades = _archived(trades)
    table = _table(trades, "trades", Trade, ("timestamp", "ts", "side", "price", "amount", "qty", "id", "symbol"))
    qty = "amount" if "amount" in table else "qty"
    _need(table, "trades", "side", "price", qty)
    rows = np.zeros(len(table["price"]), TRADE_EVENT)
    rows["ts"] = _times(table, "trades")
    rows["side"] = _sides(table["side"])
    rows["price"] = _positive(table["price"], "trades", "price")
    rows["qty"] = _positive(table[qty], "trades", qty)
    _one_symbol(table)
    if "id" in table:
        rows = rows[_first_of_each(table["id"], rows)]
    rows = _in_order(rows)
    rows["fresh"][:1] = 1
    _tick_rule(rows)
    return rows


def book_rows(books: Iterable[Book] | Rows, times: Sequence[Any] | None = None) -> Rows:
    """BOOK_EVENT rows of order books, in the order given. The first is fresh: nothing is known of what came before.

    Args:
        books: ccxt order books (`timestamp` in ms), BookSnapshot nouns (`ts` in ns) or (bids, asks) pairs; or
            BOOK_EVENT rows, which stay as they are.
        times: of the books, ns or datetimes; None = their own. Books without any time get 0, and then what looks at
            time, and not at the number of events, means nothing.

    Unit: time ns, price quote, quantity base.
    NaN: prices of levels that are not there.

    Raises:
        DataError: a book that is crossed, not sorted best first or holds what is no number; a time that lies before
            the last, or is there for some books only; names the row.
    Source: own.
    """
    if isinstance(books, np.ndarray) and books.dtype == BOOK_EVENT:
        return books
    if isinstance(books, Mapping | str | bytes) or not isinstance(books, Iterable):
        raise DataError(f"books: expected a sequence of order books, saw {str(books)[:80]}; put one book in a list")
    books = list(books)
    rows = np.zeros(len(books), BOOK_EVENT)
    ts = _times_of(books) if times is None else _times({"ts": times}, "books")
    if len(ts) != len(books):
        raise DataError(f"books: expected a time for each of {len(books)} books, saw {len(ts)}")
    if (late := np.flatnonzero(np.diff(ts) < 0)).size:
        raise _wrong("books", late[0] + 1, "time", f"one not before {ts[late[0]]} ns", ts[late[0] + 1])
    kept = new_books(1)
    for number, book in enumerate(books):
        try:
            bids, asks = sides(book)
        except DataError as error:
            raise DataError(f"books, row {number}: {error}") from error
        # the best last: each level is then put at the end, where nothing has to move
        change(kept, 0, bids[::-1].copy(), asks[::-1].copy(), True)
        show(kept, 0, int(ts[number]), int(number == 0), rows[number : number + 1])
    return rows


def quote_rows(quotes: Quotes) -> Rows:
    """Rows of best bids and asks (QuoteRow), in order of time; those of one moment stay in the order given.

    Args:
        quotes: a DataFrame with the columns `timestamp` or `ts`, `bid`, `ask`, and perhaps `bid_qty` and `ask_qty`,
            dicts of these, or Quote nouns; or whatever `book_rows` takes.

    Unit: time ns, price quote, quantity base.
    NaN: price of an empty side, and all that is not given.

    Raises:
        DataError: a row without a time, a crossed quote, a price or quantity that is not above 0; names the row.
    Source: own.
    """
    if isinstance(quotes, np.ndarray) and quotes.dtype == QUOTE_ROW:
        return quotes
    if isinstance(quotes, Iterable) and not isinstance(quotes, np.ndarray | Mapping) and not hasattr(quotes, "columns"):
        quotes = list(quotes)
    first = quotes[0] if isinstance(quotes, list) and quotes else None
    if not (hasattr(quotes, "columns") or isinstance(first, Quote) or (isinstance(first, Mapping) and "bid" in first)):
        books = of_one_symbol(book_rows(quotes), "books")
        rows = np.zeros(len(books), QUOTE_ROW)
        # a book is a sequence: one that is stamped before the last is not older than it
        rows["ts"], rows["fresh"] = np.maximum.accumulate(books["ts"]), books["fresh"]
        for side, name in ((BIDS, "bid"), (ASKS, "ask")):
            rows[name] = books["prices"][:, side, 0]
            rows[f"{name}_qty"] = np.where(np.isnan(rows[name]), math.nan, books["qtys"][:, side, 0])
            rows[f"near_{name}"] = books["near"][:, side]
        return rows
    table = _table(quotes, "quotes", Quote, ("timestamp", "ts", "bid", "ask", "bid_qty", "ask_qty"))
    _need(table, "quotes", "bid", "ask")
    rows = np.zeros(len(table["bid"]), QUOTE_ROW)
    rows["ts"] = _times(table, "quotes")
    rows["near_bid"] = rows["near_ask"] = math.nan
    for name in ("bid", "ask", "bid_qty", "ask_qty"):
        rows[name] = _positive(table[name], "quotes", name, empty=True) if name in table else math.nan
    if (crossed := np.flatnonzero(rows["bid"] >= rows["ask"])).size:
        row = rows[crossed[0]]
        raise _wrong("quotes", crossed[0], "bid", f"a price below the ask {row['ask']:g}", f"{row['bid']:g}")
    rows = _in_order(rows)
    rows["fresh"][:1] = 1
    return rows


def tape_rows(quotes: Quotes, trades: Trades) -> Rows:
    """TAPE_EVENT rows: quotes and trades as one sequence in order of time.

    The mid that a trade is measured against is that of the last quote strictly before it, so at one moment trades come
    first: a quote of the same moment may already show what the trade did.

    Args:
        quotes: what `quote_rows` takes.
        trades: what `trade_rows` takes.

    Unit: time ns, price quote, quantity base.
    NaN: prices and quantities that the other kind of row has, and the price of an empty side.

    Raises:
        DataError: as `quote_rows` and `trade_rows`.
    Source: Huang and Stoll 1996, for the quote before.
    """
    quotes, trades = quote_rows(quotes), of_one_symbol(trade_rows(trades), "trades")
    order = np.lexsort((np.repeat([1, 0], [len(quotes), len(trades)]), np.concatenate([quotes["ts"], trades["ts"]])))
    rows = np.zeros(len(order), TAPE_EVENT)
    for name in ("bid", "ask", "price", "qty"):
        rows[name] = math.nan
    of_quotes, of_trades = rows[: len(quotes)], rows[len(quotes) :]
    of_quotes["kind"], of_trades["kind"] = QUOTE, PRINT
    for name in ("ts", "fresh", "bid", "ask"):
        of_quotes[name] = quotes[name]
    # the first trade of a list is no gap in the quotes
    for name in ("ts", "side", "price", "qty"):
        of_trades[name] = trades[name]
    rows = rows[order]
    rows["fresh"][:1] = 1
    return rows


def top_of(book: Book, levels: int = 1) -> Rows:
    """One TOP record of what users hold: best prices, and the quantities of the best `levels` of each side together.

    Raises:
        DataError: the book is crossed, not sorted best first, or holds what is no number.
    """
    top = np.full(1, math.nan, TOP)
    for name, side in zip(("bid", "ask"), sides(book), strict=True):
        if len(side):
            top[name], top[f"{name}_qty"] = side[0, 0], sum(side[:levels, 1].tolist())
    return top


def _table(given: Any, what: str, noun: Any, names: tuple[str, ...]) -> dict[str, Sequence[Any] | NDArray[Any]]:
    """The columns of `given` that are among `names`: of a DataFrame, of dicts that all have them, or of nouns."""
    given = _in_pandas(given)
    if hasattr(given, "columns"):
        repeated = [name for name in given.columns[given.columns.duplicated()] if name in names]
        if repeated:
            raise DataError(f"{what}: expected each column once, saw {repeated[0]!r} twice; drop one")
        return {name: given[name] for name in names if name in given.columns}
    if isinstance(given, Mapping | str | bytes) or not isinstance(given, Iterable):
        raise DataError(f"{what}: expected a sequence of them or a DataFrame, saw {str(given)[:80]}")
    rows = list(given)
    if rows and all(isinstance(row, noun) for row in rows):
        columns = {name: [getattr(row, name) for row in rows] for name in names if hasattr(rows[0], name)}
        return {NOUNS: columns.pop("ts"), **columns}
    strange = next((number for number, row in enumerate(rows) if not isinstance(row, Mapping)), None)
    if strange is not None:
        raise DataError(f"{what}, row {strange}: expected dicts as ccxt gives them, saw {str(rows[strange])[:80]}")
    present = [name for name in names if not rows or name in rows[0]]
    try:
        return {name: [row[name] for row in rows] for name in present}
    except KeyError as error:
        bad = next(number for number, row in enumerate(rows) if error.args[0] not in row)
        raise DataError(f"{what}, row {bad}: expected {error.args[0]!r} as in the rows before, saw none") from error


def _in_pandas(given: Any) -> Any:
    """A frame of another library as one of pandas; all else as it is."""
    if hasattr(given, "__arrow_c_stream__") and hasattr(given, "columns") and not hasattr(given, "iloc"):
        import pyarrow as pa

        return pa.table(given).to_pandas()
    return given


def _archived(trades: Any) -> Any:
    """Trades whose columns are called as in an exchange's archive, with our names; all else as it is."""
    trades = _in_pandas(trades)
    if not hasattr(trades, "columns"):
        return trades
    known = print_columns(trades.columns)
    side, maker = known.get("side"), known.pop("maker", None)
    named = {theirs: ours for ours, theirs in known.items() if theirs not in {"ts", "amount"}}
    trades = trades.rename(columns=named)
    if side is None and maker is not None:
        words = trades[maker].astype(str).str.strip().str.lower().map(dict(AGGRESSORS))
        if (bad := _first(words.isna().to_numpy())) is not None:
            raise _wrong("trades", bad, str(maker), "true or false", repr(trades[maker].iloc[bad]))
        trades = trades.assign(side=words)
    return trades


def _need(table: Mapping[str, Any], what: str, *names: str) -> None:
    for name in names:
        if name not in table:
            hint = "; give None where it is unknown, the tick rule decides" if name == "side" else ""
            raise DataError(f"{what}: expected {name!r}, saw {', '.join(table) or 'none of the known names'}{hint}")


def _wrong(what: str, row: Any, name: str, expected: str, seen: object) -> DataError:
    return DataError(f"{what}, row {int(row)}: {name}: expected {expected}, saw {seen!s}")


def _first(wrong: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(wrong)) if wrong.any() else None


def _positive(values: Any, what: str, name: str, empty: bool = False) -> NDArray[np.float64]:
    """Numbers above 0; with `empty` also NaN or None."""
    import pandas as pd

    seen = pd.Series(values).reset_index(drop=True)
    if len(seen) and seen.dtype.kind in "bcmM":  # what pandas would make numbers of: truth, times
        raise _wrong(what, 0, name, "a finite number above 0", repr(seen[0]))
    numbers: NDArray[np.float64] = pd.to_numeric(seen, errors="coerce").to_numpy(np.float64, na_value=math.nan)
    legal = (numbers > 0.0) & (numbers < math.inf)
    if empty:
        legal |= seen.isna().to_numpy()
    if (bad := _first(~legal)) is not None:
        raise _wrong(what, bad, name, "a finite number above 0", seen[bad])
    return numbers


def _times(table: Mapping[str, Any], what: str) -> NDArray[np.int64]:
    """Nanoseconds of the column `timestamp` or `ts`, whose unit its size tells; of nouns, as they are."""
    if NOUNS in table:
        return np.array(table[NOUNS], np.int64)
    name = "timestamp" if "timestamp" in table else "ts"
    _need(table, what, name)
    try:
        return nanoseconds(table[name])
    except NoTime as wrong:
        raise _wrong(what, wrong.row, name, f"{wrong.expected}", f"{wrong.seen}; {wrong.remedy}") from None


def _times_of(books: Sequence[Book]) -> NDArray[np.int64]:
    """The books' own times: `timestamp` of mappings in any unit, `ts` of all others in ns; 0 where no book has one."""
    mapped = [isinstance(book, Mapping) for book in books]
    if len(set(mapped)) > 1:
        raise _wrong("books", mapped.index(not mapped[0]), "book", "one like those before", "another kind")
    times = [book.get("timestamp") if isinstance(book, Mapping) else getattr(book, "ts", None) for book in books]
    if all(time is None for time in times):
        return np.zeros(len(books), np.int64)
    return _times({"timestamp" if mapped[0] else NOUNS: times}, "books")


def _sides(values: Any) -> NDArray[np.int64]:
    """+1, -1, or 0 where nobody says."""
    codes, kinds = _codes(values, "side")
    names = [ours_or_none(kind, PRINT_SIDES) for kind in kinds]
    known = [None if name is None else int(np.nan_to_num(SIGNS[name])) for name in names]
    wrong = np.array([*(side is None for side in known), False])[codes]
    if (bad := _first(wrong)) is not None:
        seen = repr(kinds[codes[bad]])
        raise _wrong("trades", bad, "side", "'buy' or 'sell' of the aggressor, +1 or -1, or None", seen)
    return np.array([*(side or 0 for side in known), 0], np.int64)[codes]


def of_one_symbol(rows: Rows, what: str) -> Rows:
    """`rows` as they are.

    Raises:
        DataError: they are of several symbols; names the first row of another.
    """
    if (bad := _first(rows["sym"] != rows["sym"][:1])) is not None:
        raise _wrong(
            what, bad, "sym", f"{rows['sym'][0]} as in the rows before, one symbol at a time", rows["sym"][bad]
        )
    return rows


def _codes(values: Any, name: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """A number for each value, equal ones the same, -1 = none; and the value of each number."""
    import pandas as pd

    seen = pd.Series(values, dtype=object).to_numpy()
    try:
        codes, kinds = pd.factorize(seen)
    except TypeError as error:
        bad = next(number for number, value in enumerate(seen) if not isinstance(value, Hashable))
        raise _wrong("trades", bad, name, "a word or number", repr(seen[bad])) from error
    return codes, kinds


def _one_symbol(table: Mapping[str, Any]) -> None:
    if "symbol" in table:
        codes, symbols = _codes(table["symbol"], "symbol")
        if len(symbols) > 1:
            raise _wrong("trades", np.argmax(codes != codes[0]), "symbol", f"{symbols[0]!r} only", repr(symbols[1]))


def _first_of_each(ids: Any, rows: Rows) -> NDArray[np.bool_]:
    """Which rows are the first of their id; rows without one all are."""
    import pandas as pd

    codes, kinds = _codes(ids, "id")
    frame = pd.DataFrame({"id": codes, "price": rows["price"], "qty": rows["qty"]})
    again = frame.duplicated("id").to_numpy() & (codes >= 0)
    if again.any() and (bad := _first(again & ~frame.duplicated().to_numpy())) is not None:
        raise _wrong("trades", bad, "id", "one id for each trade", f"{kinds[codes[bad]]!r} on different trades")
    return ~again


def _in_order(rows: Rows) -> Rows:
    """`rows` by time, those of one moment as they were."""
    return rows[np.argsort(rows["ts"], kind="stable")] if (np.diff(rows["ts"]) < 0).any() else rows


def _tick_rule(rows: Rows) -> None:
    """Give rows without a side that of the last change of price."""
    unknown = rows["side"] == 0
    if unknown.any():
        moves = np.sign(np.diff(rows["price"], prepend=rows["price"][:1])).astype(np.int64)
        last = np.maximum.accumulate(np.where(moves != 0, np.arange(len(rows)), 0))
        rows["side"][unknown] = moves[last][unknown]
