"""Candle files in: read, checked and brought to one form, once.

A row's time is the bar's close. What is missing stays missing: gaps are listed, never filled.

A last bar that is still being formed is dropped, by these rules and no others (no clock is read, neither the
machine's nor a file's):

* its `confirm` (or `confirmed`, `closed`, `is_closed`, `complete`) column says no;
* its `close_time` is more than a second short of open + timeframe;
* the caller gave `now_ns`, and the bar closes after it.

What a file says of itself is believed, or it is refused: its symbol column, its name, the folder it lies in. Times that
end a millisecond before a multiple of the timeframe are closes. Where a fault is one of the whole file, such as columns
in another order or a volume in contracts, the sentence is about the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import permutations
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ingest.files.columns import (
    CLOSE_NAMES,
    CONFIRM_NAMES,
    INDEX_NAMES,
    PERHAPS_SYMBOLS,
    PRICES,
    SYMBOL_NAMES,
    TAKER_NAMES,
    TIME_NAMES,
    VOLUME,
    WHOLE,
    Table,
    find,
    in_order,
    is_volume,
    numbers,
    pick,
    pick_time,
    pick_volume,
    quote_column,
    refusal,
    require_symbol,
    show,
    symbol_inside,
    symbol_of_rows,
    times,
    words_of,
)
from ingest.files.tables import LONG, Progressed, Source, give_back, read_table
from ingest.venues.known import places
from utils.errors import ConfigError, DataError
from utils.market.prints import print_columns
from utils.market.symbols import linear_symbol, parts_of, symbol_of_file, timeframe_of_file
from utils.market.timeframes import KNOWN, MONDAY, TIMEFRAMES, normalise_timeframe, timeframe_of
from utils.rows import BAR, NS_PER_MS, NS_PER_S, Rows

#: How long before a multiple of the timeframe a candle is stamped that is stamped at its close, ns.
BEFORE_CLOSE = (NS_PER_S, NS_PER_MS, 1000, 1)
#: Candles of which the archive says in a folder's name, and freqtrade in a file's, that nothing traded in them.
_PRICES_ALONE = {
    "markpriceklines": "mark prices",
    "indexpriceklines": "index prices",
    "premiumindexklines": "a premium",
    "mark": "mark prices",
    "index": "index prices",
    "premiumindex": "a premium",
    "funding_rate": "funding rates",
}
#: Orders of the price columns that are known besides the usual one: jesse's.
_ORDERS = (("open", "close", "high", "low"), ("open", "low", "high", "close"), *permutations(PRICES))
#: Rows that are looked at to tell what a column of volume counts, and how far it may be off.
_LOOKED_AT, _OFF, _APART = 10_000, np.log(2.0), 0.2
#: What counts as one ratio and as a price that moved, where that is little: logarithms.
_SAME, _MOVED = 1e-6, 1e-4


@dataclass(frozen=True, slots=True)
class Gap:
    """Bars the file does not have."""

    after_ts: int  # close of the last bar before the gap, ns
    before_ts: int  # close of the first bar after it, ns
    missing: int  # bars


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """Closed bars of one symbol, every one of them legal, and what is known about where they came from."""

    symbol: str  # the exchange's id, BTCUSDT
    tf: str  # ccxt name
    tf_ns: int
    market: str  # `binance_usdm` from a path <market>/<tf>/<SYMBOL>..., else ""
    source: str  # the file's name, or "frame"
    sha256: str  # of the file's bytes; of the rows' bytes for a frame
    rows: Rows  # utils.rows.BAR, by close time; taker_buy is NaN where the venue does not say
    gaps: tuple[Gap, ...]
    dropped_unfinished: bool
    zero_volume: int  # bars in which nothing traded


def load_candles(
    source: Source,
    *,
    symbol: str | None = None,
    tf: str | None = None,
    now_ns: int | None = None,
    progressed: Progressed | None = None,
) -> Candles:
    """Candles from a file, a frame, or rows of numbers, checked and stamped with their close.

    Formula: ts = open time + timeframe; gap = (ts - previous ts) / timeframe - 1.
    Units: times ns UTC, prices quote, volumes base. NaN: only `taker_buy`, and only if the source has no such column.

    Args:
        source: path of a Parquet, Feather, CSV or JSON file, packed by gzip, zip, zstd or bzip2 or not; a pandas or
            polars DataFrame or an Arrow table; a list of [ms, open, high, low, close, volume] rows or of records, or an
            n x 6 array. Twelve columns without names are Binance's archive format, seven Bybit's. Rows may begin with
            the newest.
        symbol: needed where neither the file's name nor a column tells; must not contradict them.
        tf: must not contradict path and spacing; needed for a single bar.
        now_ns: present time, ns UTC; the last bar is dropped if it closes later.
        progressed: told how many bytes of a file are read, and how many it has.

    Raises:
        ConfigError: `symbol` or `tf` unknown, needed, or contradicting the data; a dated or coin-margined contract.
        DataError: the file is missing or wrong; names file, row, column, expected, seen and what to do.
    """
    if isinstance(source, (str, Path)):  # before it is read
        told = _told(Path(source))
        _require_traded(Path(source).absolute(), told)
    candles = candles_of(read_table(source, wanted=is_candle_column, progressed=progressed), symbol, tf, now_ns=now_ns)
    if len(candles.rows) > LONG:
        give_back()
    return candles


def is_candle_column(name: str) -> bool:
    """Whether candles need a column of this plain name, or a sentence about them could."""
    known = {*TIME_NAMES, *CLOSE_NAMES, *PRICES, *CONFIRM_NAMES, *SYMBOL_NAMES, *PERHAPS_SYMBOLS, *TAKER_NAMES, "ts"}
    if name in known or (is_volume(name) and "taker" not in name):
        return True
    return "time" in name or bool(get_close_matches(name, PRICES, 1, cutoff=0.65))


def candles_of(
    table: Table, symbol: str | None = None, tf: str | None = None, *, now_ns: int | None = None, fallback: str = ""
) -> Candles:
    """Candles of a table that was read; see `load_candles`.

    Args:
        table: with the columns that `is_candle_column` names; it gives each up when it is read, so that a long table is
            not held twice.
        symbol: as there.
        tf: as there.
        now_ns: as there.
        fallback: the symbol where nobody tells one.

    Raises:
        ConfigError: as there.
        DataError: as there.
    """
    market, path_tf = _place(table.path)
    name = _symbol(table, symbol, fallback)
    time_name = time_column(table)
    fields = {field: pick(table, (field,), lambda near: _is_price(table, near)) for field in PRICES}
    fields[VOLUME] = pick_volume(table, name)
    table, opens = in_order(table, time_name)
    table.columns.pop(time_name)
    frame = _timeframe(table, time_name, opens, path_tf, None if tf is None else normalise_timeframe(tf))
    length = TIMEFRAMES[frame]
    opens = _at_open(table, time_name, opens, length)
    closes = opens + length
    kept = _finished(table, time_name, opens, closes, now_ns)
    del opens
    turnover = _turnover(table, fields[VOLUME], name, kept)
    for close_name in CLOSE_NAMES:
        table.columns.pop(close_name, None)

    rows = np.zeros(kept, dtype=BAR)
    rows["ts"] = closes[:kept]
    rows["gap"][1:] = np.diff(closes[:kept]) // length - 1
    del closes
    rows["last"][-1] = 1
    taker = find(table, TAKER_NAMES)
    for field, column in fields.items():
        rows[field] = numbers(table, column)[:kept]
        table.columns.pop(column)
    rows["taker_buy"] = np.nan if taker is None else numbers(table, taker)[:kept]
    _check(table, rows, fields[VOLUME], taker)
    _check_unit(table, rows, fields[VOLUME], name, turnover)
    return Candles(
        symbol=name,
        tf=frame,
        tf_ns=length,
        market=market,
        source=table.name,
        sha256=table.sha256 or hashlib.sha256(rows.tobytes()).hexdigest(),
        rows=rows,
        gaps=gaps_of(rows),
        dropped_unfinished=kept < table.size,
        zero_volume=int(np.count_nonzero(rows["volume"] == 0.0)),
    )


def gaps_of(rows: Rows) -> tuple[Gap, ...]:
    """The gaps that `utils.rows.BAR` rows of one symbol say they have."""
    holes = np.flatnonzero(rows["gap"])
    return tuple(Gap(int(rows["ts"][i - 1]), int(rows["ts"][i]), int(rows["gap"][i])) for i in holes)


def _place(path: Path | None) -> tuple[str, str]:
    """Market and timeframe that a path tells, "" for what it does not."""
    if path is None:
        return "", ""
    folder = path.absolute().parent
    if folder.name in TIMEFRAMES and symbol_of_file(path.name):
        return folder.parent.name, folder.name
    return "", folder.name if folder.name in TIMEFRAMES else timeframe_of_file(path.name)


def _told(path: Path) -> str:
    """The symbol that a file's name tells, "" if it tells none.

    Raises:
        ConfigError: it is a dated or coin-margined contract, or one of a market that counts contracts.
    """
    told = symbol_of_file(path.name)
    market = _place(path)[0]
    counts = any(place.market.name == market and place.market.in_coin for place in places())
    if counts:
        raise ConfigError(
            f"{path.name}: expected candles of a spot or linear market, seen those of {market}, whose quantities are"
            " contracts of dollars; name a file of another market"
        )
    return told


def _require_traded(path: PurePath, told: str) -> None:
    """Refuse what is called candles of prices at which nothing traded: in them no order fills."""
    folders = [part.lower() for part in path.parts[-5:-1]]
    last = re.split(r"-", path.name.partition(".")[0])[-1].lower() if told else ""
    kind = next((_PRICES_ALONE[part] for part in (*folders, last) if part in _PRICES_ALONE), "")
    if kind and (last in _PRICES_ALONE or any(part.endswith("klines") for part in folders)):
        raise DataError(
            f"{path.name}: expected candles of trades, seen {kind} by its name: nothing traded in them, so no order"
            " could be filled; name the candles of trades of the same time"
        )


def _symbol(table: Table, asked: str | None, fallback: str) -> str:
    told, who = "", f"as the name of {table.name} says"
    if table.path is not None:
        told = _told(table.path)
        inside = symbol_inside(table)
        _require_traded(PurePosixPath(table.inner), inside)
        if not told:
            told, who = inside, f"as the name of {table.inner} in it says"
    if asked is None and told:
        require_symbol(table, told, who)
        return told
    if asked is None:
        said = symbol_of_rows(table)
        if parts_of(said)[0]:  # a column may name a coin alone, which is no symbol
            return said
        if not fallback:
            raise ConfigError(f"{table.name}: expected a symbol, seen none in the name; give one (symbol=, --symbol)")
        return fallback
    name = linear_symbol(asked)
    if told and told != name:
        raise ConfigError(f"symbol: expected {told} {who}, seen {asked!r}; drop one of them")
    require_symbol(table, name, "as was asked for" if not told else who)
    return name


def time_column(table: Table) -> str:
    """The column that says when bars open, or, where there is no such column, when they close.

    Raises:
        DataError: there is neither; or the table is one of trades.
    """
    named = find(table, (name for name in TIME_NAMES if name not in INDEX_NAMES))
    close = find(table, CLOSE_NAMES)
    prints = print_columns(table.names)
    if "open" not in table.names and {"price", "qty"} <= prints.keys() and ("side" in prints or "maker" in prints):
        raise DataError(
            f"{table.name}: expected candles, seen trades (columns {', '.join(table.names[:6])}); name a file of"
            " candles, or hand these to a function that takes trades (ingest.files.trades.load_trades reads them)"
        )
    return close if named is None and close is not None else pick_time(table)


def _is_price(table: Table, name: str) -> bool:
    """Whether a column holds what the price columns beside it do."""
    known = [each for each in PRICES if each in table.columns and each not in table.doubled]
    if name not in table.columns:
        return False
    try:
        found, *others = (np.nanmedian(numbers(table, each)) for each in (name, *known))
    except DataError:
        return False
    return all(0.5 * other < found < 2.0 * other for other in others)


def _at_open(table: Table, column: str, stamps: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """When the bars open, of stamps that may be their closes.

    Stamps are closes where they end a moment before a multiple of the timeframe, as no bar opens then; where the column
    is called so; and where a column of closes beside them says the same.

    Raises:
        DataError: the column is called `open_time` and holds closes.
    """
    start = MONDAY if length == TIMEFRAMES["1w"] else 0
    by = -(int(stamps[0]) - start) % length
    if by not in BEFORE_CLOSE or ((stamps + (by - start)) % length != 0).any():
        by = 0
    if by and column.startswith("open"):
        raise refusal(
            table, 0, column, f"when bars open, such as {show(stamps[0] + by - length)}", f"{show(stamps[0])}, a close",
            "rename the column to 'close_time'",
        )  # fmt: skip
    if by or column in CLOSE_NAMES:
        return stamps + by - length
    close = find(table, CLOSE_NAMES)
    if close is not None and not column.startswith("open"):
        ends = times(table, close)
        if (np.abs(ends - stamps) <= NS_PER_S).all():
            return stamps - length
    return stamps


def _timeframe(table: Table, column: str, opens: NDArray[np.int64], told: str, asked: str | None) -> str:
    """The most common spacing, held against what the path and the caller say; every step must be a multiple of it."""
    if table.size == 1:
        if told and asked and told != asked:
            raise ConfigError(f"timeframe: expected {told} as the path of {table.name} says, seen {asked}; drop it")
        name = told or asked
        if not name:
            raise ConfigError(f"{table.name}: expected a timeframe, seen a single bar; give one (tf=, --timeframe)")
        return name
    steps = np.diff(opens)
    lengths, counts = np.unique(steps, return_counts=True)
    length = int(lengths[counts.argmax()])
    found = timeframe_of(length)
    if found is None:
        row = int((steps == length).argmax()) + 1
        raise refusal(
            table, row, column, f"bars {told or asked or KNOWN} apart", _span(length), "check the times or resample"
        )
    if asked and asked != found:
        raise ConfigError(f"timeframe: expected {found} as the bars of {table.name} are, seen {asked}; drop it")
    off = steps % length != 0
    if told and told != found:
        row = int((steps == length).argmax()) + 1
        raise refusal(table, row, column, f"bars {told} apart as the path says", _span(length), "correct the path")
    if off.any():
        row = int(off.argmax()) + 1
        expected = f"a multiple of {found} after {show(opens[row - 1])}"
        raise refusal(table, row, column, expected, show(opens[row]), "wrong timeframe or time: correct the row")
    return found


def _span(length_ns: int) -> str:
    name = timeframe_of(length_ns)
    return name or (f"{length_ns / (60 * NS_PER_S):g} minutes")


def _finished(
    table: Table, column: str, opens: NDArray[np.int64], closes: NDArray[np.int64], now_ns: int | None
) -> int:
    """Number of rows without the last one if that is unfinished."""
    last = table.size - 1
    unfinished = False
    confirm = find(table, CONFIRM_NAMES)
    if confirm:
        open_still = _denied(table, confirm)
        if open_still[:-1].any():
            row = int(open_still.argmax())
            raise refusal(table, row, confirm, "a closed bar before the last row", "an open one", "delete the row")
        unfinished = bool(open_still[-1])
    ending = find(table, CLOSE_NAMES)
    if ending is not None:
        ends = times(table, ending)
        early = ends <= opens
        if early.any():
            row = int(early.argmax())
            raise refusal(table, row, ending, f"a time after {show(opens[row])}", show(ends[row]), "correct it")
        unfinished |= int(closes[-1] - ends[-1]) > NS_PER_S
    if now_ns is not None:
        if last > 0 and closes[-2] > now_ns:
            row = int((closes > now_ns).argmax())
            expected = f"no bar but the last to close after {show(now_ns)}"
            raise refusal(table, row, column, expected, show(closes[row]), "check clock and zone")
        unfinished |= int(closes[-1]) > now_ns
    if unfinished and last == 0:
        raise DataError(f"{table.name}: expected a finished bar, seen only an unfinished one; wait for its close")
    return last if unfinished else table.size


def _denied(table: Table, name: str) -> NDArray[np.bool_]:
    """Where a yes-or-no column says no."""
    words = {"false": True, "0": True, "0.0": True, "true": False, "1": False, "1.0": False}
    kinds, codes = words_of(table.column(name))
    unknown = [number for number, kind in enumerate(kinds) if kind.strip().lower() not in words]
    if unknown:
        row = int(np.isin(codes, unknown).argmax())
        raise refusal(table, row, name, "true or false", repr(kinds[codes[row]]), "correct the cell")
    return np.array([words[kind.strip().lower()] for kind in kinds])[codes]


def _check(table: Table, rows: Rows, volume: str, taker: str | None) -> None:
    """Refuse the first row that no exchange could have printed; where most of them are such, the table."""
    low, high = rows["low"], rows["high"]
    wrong: list[tuple[NDArray[np.bool_], str, str]] = []
    for field in PRICES:
        wrong.append((~np.isfinite(rows[field]), field, "a finite number"))
        wrong.append((rows[field] <= 0.0, field, "a price above 0"))
    wrong.append((~np.isfinite(rows["volume"]), volume, "a finite number"))
    wrong.append((rows["volume"] < 0.0, volume, "a volume of 0 or more"))
    wrong.append((high < low, "high", "a price not below low {low}"))
    for field in ("open", "close"):
        outside = (high >= low) & ((rows[field] < low) | (rows[field] > high))
        wrong.append((outside, field, "a price from low {low} to high {high}"))
    if taker is not None:
        wrong.append((~np.isfinite(rows["taker_buy"]), taker, "a finite number"))
        wrong.append(((rows["taker_buy"] < 0.0) | (rows["taker_buy"] > rows["volume"]), taker, "0 to volume {volume}"))
    found = [(int(mask.argmax()), column, rule) for mask, column, rule in wrong if mask.any()]
    if not found:
        return
    _check_whole(table, rows, [(mask, column, rule) for mask, column, rule in wrong if mask.mean() > WHOLE])
    row, column, rule = min(found, key=lambda item: item[0])
    bar = rows[row]
    seen = float(bar["taker_buy" if column == taker else "volume" if column == volume else column])
    expected = rule.format(low=float(bar["low"]), high=float(bar["high"]), volume=float(bar["volume"]))
    raise refusal(table, row, column, expected, seen, "correct or delete the row")


def _check_whole(table: Table, rows: Rows, wrong: Sequence[tuple[NDArray[np.bool_], str, str]]) -> None:
    """Refuse a table most of whose rows break a rule, with what explains them all."""
    outside = (rows["high"] < rows["low"]) | (rows["close"] > rows["high"]) | (rows["close"] < rows["low"])
    outside |= (rows["open"] > rows["high"]) | (rows["open"] < rows["low"])
    positive = all((rows[field] > 0.0).all() for field in PRICES)
    n = len(rows)
    if n < 3:
        return
    if positive and outside.mean() > WHOLE:
        orders = (dict(zip(order, PRICES, strict=True)) for order in _ORDERS)
        order = next((order for order in orders if _legal(rows, order)), None)
        there = {ours: said for said, ours in order.items()} if order else {}
        asked = f"are the columns {', '.join(there[field] for field in PRICES)}?" if order else "which column is which?"
        raise DataError(
            f"{table.name}: expected columns open, high, low, close, seen that in {int(outside.sum()):,} of {n:,} rows"
            f" high lies below low, or open or close outside of them: {asked}"
        )
    if wrong:
        mask, column, rule = wrong[0]
        expected = rule.format(low="low", high="high", volume="volume")
        raise DataError(
            f"{table.name}: column {column!r}: expected {expected}, seen otherwise in {int(mask.sum()):,} of {n:,}"
            " rows: is this the right column, and the right file?"
        )


def _legal(rows: Rows, order: dict[str, str]) -> bool:
    """Whether every bar is legal if its open, high, low and close stand in these columns."""
    low, high = rows[order["low"]], rows[order["high"]]
    inside = [(rows[order[field]] >= low) & (rows[order[field]] <= high) for field in ("open", "close")]
    return bool((high >= low).all() and inside[0].all() and inside[1].all())


def _turnover(table: Table, volume: str, symbol: str, kept: int) -> tuple[str, NDArray[np.float64]] | None:
    """The column of the volume in quote currency and every so many rows of it; None where nobody could tell by it."""
    money = quote_column(table, symbol)
    if money is None or money == volume:
        return None
    try:
        return money, numbers(table, money)[: kept : max(1, kept // _LOOKED_AT)].copy()
    except DataError:
        return None  # nobody reads it
    finally:
        table.columns.pop(money)


def _check_unit(
    table: Table, rows: Rows, volume: str, symbol: str, turnover: tuple[str, NDArray[np.float64]] | None
) -> None:
    """Refuse a volume that the turnover beside it shows to be in quote currency, or in contracts.

    Formula: turnover / (volume x close) is about 1 where volume is in base currency; where it is some other number
    throughout, that is the size of what volume counts. Where turnover / volume stays the same while the price moves,
    volume is in quote currency; where turnover x close / volume does, it is in contracts of dollars.
    """
    if turnover is None:
        return
    money, values = turnover
    seen = rows[:: max(1, len(rows) // _LOOKED_AT)]
    traded = (seen["volume"] > 0.0) & (values > 0.0)
    if np.count_nonzero(traded) < 3:
        return
    close, ratio = np.log(seen["close"][traded]), np.log(values[traded] / seen["volume"][traded])
    low, middle, high = np.percentile(ratio - close, (10.0, 50.0, 90.0))
    base, quote = parts_of(symbol)
    for others, what in ((ratio, quote or "quote"), (ratio + close, "contracts of dollars")):
        some, usual, most = np.percentile(others, (10.0, 50.0, 90.0))
        closer = high - low > _APART and most - some < min(_APART, (high - low) / 2.0)
        if closer or (most - some < _SAME and high - low > _MOVED):
            times_price = " / price" if others is not ratio else ""
            raise DataError(
                f"{table.name}: column {volume!r}: expected the volume in {base or 'base currency'}, seen one of which"
                f" {money!r} is {float(np.exp(usual)):.3g}{times_price} times as much throughout: it counts {what};"
                f" give the volume in {base or 'base currency'}"
            )
    if abs(middle) <= _OFF or high - low > _APART:
        return
    raise DataError(
        f"{table.name}: column {volume!r}: expected the volume in {base or 'base currency'}, seen one that {money!r}"
        f" ({quote or 'quote'}) is {float(np.exp(middle)):.3g} times as large as at these prices it would be: it counts"
        f" contracts, or {quote or 'quote'}; give the volume in {base or 'base currency'}"
    )
