"""The columns of candles by every name they go under; columns as numbers and times; refusals that name row and column.

Row numbers in messages count data rows from 1: a header is not counted, and neither are blank lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.errors import ConfigError, DataError
from utils.market.symbols import DOLLARS, QUOTES, is_coin_margined, is_dated, linear_symbol, parts_of, symbol_of_file
from utils.market.times import NoTime, is_number, nanoseconds
from utils.rows import NS_PER_HOUR

#: An index that was saved without a name, as Parquet and CSV have it: of times, or a number of the row.
INDEX_NAMES = ("__index_level_0__", "", "unnamed:_0", "index")
#: Time columns by the names they go under, best first: what counts from 1970 leaves no doubt about its zone.
TIME_NAMES = (
    *("open_time", "timestamp", "time", "unix", "unix_time", "unix_timestamp", "opentime"),
    *("date", "datetime", "start_time", "start_at", "start", *INDEX_NAMES),
)
#: Times at which candles close.
CLOSE_NAMES = ("close_time", "closetime", "end_time", "close_timestamp")
#: The columns that candles must have, by their one name.
PRICES, VOLUME = ("open", "high", "low", "close"), "volume"
#: What takers bought of the volume, base; and whether a candle is closed.
TAKER_NAMES = ("taker_buy_volume", "taker_buy_base", "taker_buy_base_volume", "taker_buy_base_asset_volume")
CONFIRM_NAMES = ("confirm", "confirmed", "closed", "is_closed", "complete")
#: Columns that say whose rows these are.
SYMBOL_NAMES = (
    "symbol",
    "ticker",
    "tic",
    "pair",
    "instrument",
    "instrument_name",
    "instrument_id",
    "inst_id",
    "contract",
    *("contract_code", "product_id", "currency_pair", "sym"),
)
#: Columns that may say so, or something else: of them no more is believed than that several words are several symbols.
PERHAPS_SYMBOLS = ("symbol_id", "coin", "market", "asset", "base", "name", "code", "series", "product")
#: What a column of volume in the quote currency is called, besides by the quote currency's name.
QUOTE_VOLUMES = (
    *("quote_volume", "volume_quote", "quote_asset_volume", "vol_quote", "vol_ccy_quote", "turnover", "amount_quote"),
    *("quotevolume", "volume_usd"),
)
#: What one of the base currency is called, besides by its name; and what may be base, quote or contracts.
BASE_VOLUMES = ("base_volume", "volume_base", "base_asset_volume", "basevolume")
ANY_VOLUMES = ("vol", "vol_ccy", "contracts", "volume_contracts", "tick_volume", "real_volume", "amount", "quantity")
#: Share of the rows from which a fault is one of the table and not of its rows.
WHOLE = 0.5
#: Names of columns that a message lists.
LISTED = 25
_TWO = "are these two symbols, or two files, in one? give each its own"

#: Noisy numbers from which a column of doubles may be one of float32: fewer could be that by chance.
WIDENED = 16


@dataclass(frozen=True, slots=True, eq=False)
class Unread:
    """A column of a long file, read each time that it is asked for: only the one at hand is in memory."""

    size: int
    read: Callable[[], Any]

    def __len__(self) -> int:
        return self.size


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns by plain name (`Open Time` is `open_time`); `column` gives one as an Arrow or a NumPy array."""

    name: str  # the file's name, or "frame"
    path: Path | None
    sha256: str  # of the file's bytes; "" for a frame
    columns: dict[str, Any]  # those that were wanted, the first of a name; a long file's are `Unread`
    size: int
    names: tuple[str, ...] = ()  # of all columns, as they stand
    doubled: frozenset[str] = field(default=frozenset())  # names that come twice, with different values
    inner: str = ""  # name of the file in a zip, with the folders it lies in there
    newest_first: bool = False  # its rows were turned round

    def __post_init__(self) -> None:
        if not self.names:
            object.__setattr__(self, "names", tuple(self.columns))

    def column(self, name: str) -> Any:
        """The values of a column, in the order of the rows.

        Raises:
            DataError: they are read only now, and the file is another than it was.
        """
        held = self.columns[name]
        if not isinstance(held, Unread):
            return held
        values = held.read()
        return values[::-1] if self.newest_first else values

    def turned(self) -> Table:
        """The same rows from the last to the first; messages go on to count them as the file does."""
        columns = {name: held if isinstance(held, Unread) else held[::-1] for name, held in self.columns.items()}
        return replace(self, columns=columns, newest_first=not self.newest_first)


def refusal(table: Table, row: int | None, column: str, expected: str, seen: object, remedy: str) -> DataError:
    """The error for one cell: file, data row (given from 0, shown from 1), column, expected, seen, what to do."""
    at = ""
    if row is not None:
        at = f"row {table.size - row if table.newest_first else row + 1}, "
    return DataError(f"{table.name}: {at}column {column!r}: expected {expected}, seen {seen}; {remedy}")


def listed(names: Sequence[str]) -> str:
    """The names of columns for a message; of many the first ones."""
    said = ", ".join(repr(name[:40]) for name in names[:LISTED])
    return f"[{said}]" if len(names) <= LISTED else f"[{said}, and {len(names) - LISTED:,} more]"


def find(table: Table, names: Iterable[str]) -> str | None:
    """The first of `names` that the table has; None if it has none.

    Raises:
        DataError: the table has two different columns of that name.
    """
    name = next((name for name in names if name in table.columns), None)
    if name in table.doubled:
        raise DataError(f"{table.name}: expected each column once, seen {name!r} twice; delete or rename one of them")
    return name


def pick(table: Table, names: Collection[str], fits: Callable[[str], bool] = lambda _: True) -> str:
    """The first of `names` that the table has.

    Args:
        table: where to look.
        names: what is looked for, best first.
        fits: whether a column that is called nearly so could be it, by what it holds: only then is it suggested.

    Raises:
        DataError: it has none of them, or two of one name; the nearest name it has is suggested.
    """
    found = find(table, names)
    if found is not None:
        return found
    known = [name for name in names if name and name not in INDEX_NAMES]
    others = [name for name in table.names if name not in {*TIME_NAMES, *CLOSE_NAMES, *PRICES, VOLUME} and fits(name)]
    near = [(match, name) for name in known for match in get_close_matches(name, others, 1, cutoff=0.65)]
    remedy = f"rename {near[0][0]!r} to {near[0][1]!r}" if near else "add it"
    raise refusal(table, None, known[0], f"a column named {' or '.join(known)}", listed(table.names), remedy)


def pick_time(table: Table, names: Collection[str] = TIME_NAMES) -> str:
    """The time column: the first of `names` that the table has; a number of the row is none.

    Raises:
        DataError: it has none of them; a column whose first value looks like a time is named.
    """
    found = find(table, (name for name in names if name not in INDEX_NAMES)) or next(
        (name for name in INDEX_NAMES if name in names and name in table.columns and _is_time(table, name)), None
    )
    if found is not None:
        return found
    known = [name for name in names if name not in INDEX_NAMES]
    like = next((name for name in table.columns if name not in INDEX_NAMES and _is_time(table, name)), None)
    unlike = table.names if like is None else ()
    near = [(match, name) for name in known for match in get_close_matches(name, unlike, 1, cutoff=0.75)]
    if like is not None:
        remedy = f"no column of a known name; {like!r} looks like one: rename it to {known[0]!r} if bars open then"
    else:
        remedy = f"rename {near[0][0]!r} to {near[0][1]!r}" if near else "add it"
    raise refusal(table, None, known[0], f"a column named {' or '.join(known[:4])}", listed(table.names), remedy)


def _is_time(table: Table, name: str) -> bool:
    """Whether the first value of a column is a time."""
    try:
        nanoseconds(table.column(name)[:1])
    except NoTime:
        return False
    return name not in {*PRICES, VOLUME}


def pick_volume(table: Table, symbol: str) -> str:
    """The column of the volume in base currency, of a table of candles.

    One that names the base coin is it (`volume_btc` of BTCUSDT), also where another is called `volume`, as an exchange
    that says both means money by that; else `volume`.

    Raises:
        DataError: there is none, or several that could be meant; the sentence says which is which, where that is known.
    """
    base, quote = parts_of(symbol)
    coin, money = base.lower(), quote.lower()
    named = _named_after(table.names, coin) if coin else []
    exact = find(table, [*named, *BASE_VOLUMES, VOLUME])
    if exact is not None:
        return exact
    moneys = {*QUOTE_VOLUMES, *(_named_after(table.names, money) if money else [])}
    moneys |= {name for dollar in DOLLARS for name in _named_after(table.names, dollar.lower())}
    in_quote = [name for name in table.names if name in moneys]
    open_ones = [name for name in table.names if name in ANY_VOLUMES]
    wanted = f"a column 'volume' in {base or 'base currency'}"
    if "vol_ccy" in open_ones and "vol" in open_ones:  # OKX
        remedy = (
            f"'vol_ccy' is in {base or 'base currency'} for swaps (there 'vol' counts contracts) and 'vol' for spot:"
            " rename that one to 'volume'"
        )
    elif open_ones:
        which = " or ".join(map(repr, open_ones))
        remedy = (
            f"{which} may be in base currency, in quote currency or contracts: rename it if it is in {base or 'base'}"
        )
    elif in_quote:
        remedy = f"{in_quote[0]!r} is in {quote or 'quote'} and no substitute: get the volume in {base or 'base'} too"
    else:
        return pick(table, (VOLUME,), lambda name: not re.search("taker|buy|sell|quote", name))
    raise refusal(table, None, VOLUME, wanted, listed(table.names), remedy)


def _named_after(names: Iterable[str], coin: str) -> list[str]:
    """The columns of volume that are called by a coin: volume_btc, vol_btc, volume_(btc), btc_volume."""
    pattern = re.compile(rf"(?:volume|vol)_?\(?{re.escape(coin)}\)?|{re.escape(coin)}_(?:volume|vol)")
    return [name for name in names if pattern.fullmatch(name)]


def is_volume(name: str) -> bool:
    """Whether a column's name is that of a volume of any unit."""
    return "vol" in name or name in {*QUOTE_VOLUMES, *BASE_VOLUMES, *ANY_VOLUMES, *TAKER_NAMES}


def quote_column(table: Table, symbol: str) -> str | None:
    """The column of the volume in quote currency, where the table has one."""
    money = parts_of(symbol)[1].lower()
    names = [*(_named_after(table.names, money) if money else []), *QUOTE_VOLUMES]
    return next((name for name in names if name in table.columns and name not in table.doubled), None)


def symbol_of_rows(table: Table) -> str:
    """The exchange id of which the table's own columns say that all rows are; "" where none does.

    Raises:
        DataError: rows of two symbols; names the first of the other. Or they are of a dated or coin-margined contract.
    """
    said = ""
    for column in SYMBOL_NAMES:
        name = find(table, (column,))
        if name is None:
            continue
        found = _one_word(table, name)
        if found is None:
            continue
        if is_dated(found) or is_coin_margined(found):
            try:
                linear_symbol(found)
            except ConfigError as error:
                raise DataError(f"{table.name}: column {name!r}: {error}") from None
        told = _told_by(found)
        if said and told and told != said:
            raise refusal(table, 0, name, f"{said} as another column says", told, "correct or delete one of them")
        said = said or told
    for name in PERHAPS_SYMBOLS:
        if name in table.columns and not _is_numeric(table.column(name)):
            _one_word(table, name)
    return said


def symbol_inside(table: Table) -> str:
    """The symbol that the name of the file in a zip tells, "" if it tells none or there is no such file.

    Raises:
        ConfigError: it is a dated or coin-margined contract.
    """
    name = PurePosixPath(table.inner).name
    if table.path is None or name == table.path.name:
        return ""
    told = symbol_of_file(name)
    # a word may end as a quote currency does: entry.csv
    return told if name.startswith(told) or parts_of(told)[1] in DOLLARS else ""


def require_symbol(table: Table, symbol: str, who: str) -> None:
    """Refuse a table whose own columns, or the name of whose file in a zip, say that it is of another symbol.

    Args:
        table: candles, trades or funding.
        symbol: what it is taken for.
        who: said so: "as the name says".

    Raises:
        DataError: it is of another symbol, or of several.
    """
    inside = symbol_inside(table)
    if inside and inside != symbol:
        raise DataError(
            f"{table.name}: expected a file of {symbol} in it, {who}, seen {table.inner}; name the file or the symbol"
            " that is meant"
        )
    said = symbol_of_rows(table)
    for name in SYMBOL_NAMES:
        word = _one_word(table, name) if name in table.columns else None
        if word and not is_number(word) and not _told_by(word) and word.upper() not in {symbol, parts_of(symbol)[0]}:
            remedy = f"write {symbol} there if it is meant, or leave the column out"
            raise refusal(table, 0, name, f"{symbol} {who}", repr(word), remedy)
    if not said or said == symbol or (not parts_of(said)[0] and symbol.startswith(said)):
        return
    name = next(name for name in SYMBOL_NAMES if name in table.columns)
    raise refusal(table, 0, name, f"{symbol} {who}", said, "name the file or the symbol that is meant")


def _one_word(table: Table, name: str) -> str | None:
    """The one word that a column holds; None if it is empty.

    Raises:
        DataError: it holds several.
    """
    words, codes = words_of(table.column(name))
    kept = [(word, number) for number, word in enumerate(words) if word.strip()]
    if not kept:
        return None
    spelled = {_told_by(word) or word.strip().upper() for word, _ in kept}
    if len(spelled) > 1:
        first = codes[np.isin(codes, [number for _, number in kept])][0]
        same = _told_by(words[first]) or words[first].strip().upper()
        others = [number for word, number in kept if (_told_by(word) or word.strip().upper()) != same]
        row = int(np.isin(codes, others).argmax())
        raise refusal(
            table, row, name, f"{words[first].strip()} as in the rows before", words[codes[row]].strip(),
            "a file has one symbol: write a file of each",
        )  # fmt: skip
    return kept[0][0].strip()


def _is_numeric(column: Any) -> bool:
    """Whether a column holds numbers and no words."""
    if isinstance(column, np.ndarray):
        return column.dtype.kind in "fiub" or all(isinstance(cell, (int, float)) or cell is None for cell in column)
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return all(is_number(word) for word in words_of(column)[0] if word.strip())
    return True


def words_of(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    """The different words of a column, and for each row the number of its word."""
    if isinstance(column, np.ndarray):
        words, codes = np.unique(np.array(["" if cell is None else str(cell) for cell in column]), return_inverse=True)
        return [str(word) for word in words], codes.astype(np.int64)
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    plain = column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column
    try:
        coded = pc.fill_null(plain.cast(pa.string()), "").dictionary_encode()
    except pa.ArrowInvalid:  # bytes that are no text: every word by its letters
        coded = pa.array([str(cell or b"") for cell in plain.to_pylist()]).dictionary_encode()
    coded = coded.unify_dictionaries().combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.chunk(0)
    return coded.dictionary.to_pylist(), np.asarray(coded.indices).astype(np.int64)


def _told_by(word: str) -> str:
    """The exchange id that a word spells, also behind a venue's (BINANCE:BTCUSDT); "" if none for certain: BITCOIN."""
    if "/" not in word:
        word = word.rpartition(":")[2]
    try:
        symbol = linear_symbol(word)
    except ConfigError:
        return ""
    capitals = word.strip().isupper() or bool(re.search(r"[/_-]", word))
    return symbol if parts_of(symbol)[0] or (capitals and len(symbol) <= 6 and symbol not in QUOTES) else ""


def numbers(table: Table, name: str) -> NDArray[np.float64]:
    """One column as float64; an empty cell is NaN.

    A number of a narrower type is the shortest decimal that is this number there: 2.1924 and not 2.1923999786..., also
    where somebody widened the column before.

    Raises:
        DataError: a cell is not a number.
    """
    column = table.column(name)
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiu":
        return _wide(column)
    if not isinstance(column, np.ndarray):
        import pyarrow as pa

        types = pa.types
        if types.is_float16(column.type) or types.is_float32(column.type):
            return _wide(np.asarray(column))
        if types.is_integer(column.type) or types.is_floating(column.type) or types.is_decimal(column.type):
            return _wide(np.asarray(column.cast(pa.float64(), safe=False)))
        column = column.to_pylist()
    values = np.empty(table.size)
    for row, cell in enumerate(column):
        try:
            values[row] = np.nan if cell is None else float(_not_bool(cell))
        except (TypeError, ValueError, OverflowError):
            if row == 0 and isinstance(cell, str) and re.fullmatch(r"\s*-?[\d.' ]*\d,\d[\d, ]*(?:\.\d+)?\s*", cell):
                remedy = "write the numbers of the file with a decimal point and nothing between thousands"
            else:
                remedy = "correct the cell or delete the row"
            raise refusal(table, row, name, "a number", repr(cell), remedy) from None
    return _wide(values)


def times(table: Table, name: str) -> NDArray[np.int64]:
    """One column as nanoseconds UTC since 1970, its unit told as `utils.market.times` tells it.

    Raises:
        DataError: an empty cell, not a time, or outside the years 2000 to 2100.
    """
    try:
        return nanoseconds(table.column(name))
    except NoTime as wrong:
        raise refusal(table, wrong.row, name, wrong.expected, wrong.seen, wrong.remedy) from None


def in_order(table: Table, name: str) -> tuple[Table, NDArray[np.int64]]:
    """A table from its oldest row to its newest, and its times (ns): one whose newest row is first is turned round.

    Raises:
        DataError: as `times`; or a time repeats, or precedes the one before it.
    """
    stamps = times(table, name)
    if len(stamps) > 1 and (np.diff(stamps) < 0).all():
        table, stamps = table.turned(), stamps[::-1]
    require_ascending(table, name, stamps)
    return table, stamps


def require_ascending(table: Table, name: str, stamps: NDArray[np.int64]) -> None:
    """Refuse a time (ns) that repeats or precedes the one before it.

    Raises:
        DataError: names the first such row, or what explains it.
    """
    steps = np.diff(stamps)
    if (steps > 0).all():
        return
    row = int((steps <= 0).argmax()) + 1
    seen, before = show(stamps[row]), show(stamps[row - 1])
    day = _clocks_set_back(stamps, row)
    if day:
        raise refusal(
            table, row, name, f"a time after {before}", f"{seen}, an hour back on the {day}",
            "these are local times, and clocks were set back: give the times of the file in UTC",
        )  # fmt: skip
    if (steps == 0).sum() >= WHOLE * len(steps) and len(steps) > 2:
        raise refusal(table, row, name, f"a time after {before}", f"{seen} again", f"most times come twice: {_TWO}")
    if steps[row - 1] == 0:
        raise refusal(table, row, name, f"a time after {before}", f"{seen} again", "delete one of the duplicates")
    anew = (
        2 < row < len(stamps) - 2
        and (steps < 0).sum() == 1
        and stamps[row] <= stamps[0] + (stamps[row - 1] - stamps[0]) // 2
    )
    remedy = f"its times begin anew there: {_TWO}" if anew else "sort the file by time"
    raise refusal(table, row, name, f"a time after {before}", seen, remedy)


def _clocks_set_back(stamps: NDArray[np.int64], row: int) -> str:
    """The Sunday on which summer time ended between a row and the one before; "" if it did not.

    The clock goes back by an hour, so that the row that follows an hour's last bar is that hour's first again.
    """
    steps = np.diff(stamps)
    usual = int(np.median(steps[steps > 0])) if (steps > 0).any() else 0
    if not 0 < usual <= NS_PER_HOUR or int(stamps[row] - stamps[row - 1]) != usual - NS_PER_HOUR:
        return ""
    when = datetime.fromtimestamp(int(stamps[row]) // 10**9, UTC)
    if when.weekday() != 6 or when.hour > 3:
        return ""
    if when.month == 10 and when.day > 24:
        return "last Sunday of October"
    if when.month in {4, 11} and when.day <= 7:
        return f"first Sunday of {when:%B}"
    return ""


def show(ts: int | np.integer[Any]) -> str:
    """A time in ns as ISO 8601 UTC, for messages."""
    text = str(np.datetime64(int(ts), "ns"))
    return re.sub(r"\.?0+$", "", text) + "Z"


def _wide(values: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers of any width as float64, each as the shortest decimal that it is in its own width."""
    if values.dtype.kind == "f" and values.dtype.itemsize < np.dtype(np.float64).itemsize:
        return _shortest(values)
    wide = values.astype(np.float64, copy=False)
    return _shortest(wide.astype(np.float32)) if _was_float32(wide) else wide


def _shortest(values: NDArray[Any]) -> NDArray[np.float64]:
    """Narrow floats as the doubles nearest to their shortest decimals."""
    import pyarrow as pa

    # NumPy writes half floats, Arrow writes float32 thirty times faster
    texts = pa.array(values.astype(np.str_) if values.dtype == np.float16 else values).cast(pa.string())
    return np.asarray(texts.cast(pa.float64()))


def _was_float32(values: NDArray[np.float64]) -> bool:
    """Whether doubles are a float32 column that was widened: each is a float32, and uses its last bit as noise does.

    Every second decimal number does, as a float32. Numbers of a coarse binary grid (halves, 32nds) do not.
    """
    for some in (values[:WIDENED], values):  # a few tell of most columns that they are not
        with np.errstate(over="ignore"):
            narrow = some.astype(np.float32)
        if not np.array_equal(narrow, some, equal_nan=True):
            return False
        odd = narrow[(narrow.view(np.int32) & 1 == 1) & np.isfinite(narrow)]
    noisy = np.count_nonzero(_shortest(odd) != odd)
    return bool(noisy >= max(WIDENED, len(values) // 8))


def _not_bool(cell: Any) -> Any:
    if isinstance(cell, (bool, np.bool_, datetime)) or (isinstance(cell, str) and "_" in cell):  # Python reads 1_0
        raise TypeError
    return cell
