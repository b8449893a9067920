"""Funding files in, and where they lie beside candles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ingest.files.columns import (
    PRICES,
    TIME_NAMES,
    Table,
    find,
    in_order,
    listed,
    numbers,
    pick,
    pick_time,
    refusal,
    require_symbol,
    show,
)
from ingest.files.tables import Unnamed, read_table
from utils.errors import ConfigError, DataError
from utils.market.settlements import nominal
from utils.market.symbols import linear_symbol, normalise_symbol, symbol_of_file
from utils.rows import FUNDING, NS_PER_HOUR, Rows

RATE_NAMES = ("funding_rate", "last_funding_rate", "fundingrate", "rate")
STAMP_NAMES = (
    *("funding_time", "fundingtime", "calc_time", "funding_rate_timestamp", "fundingratetimestamp"),
    *("funding_timestamp", *TIME_NAMES),
)
#: A table without names holds time and rate.
_UNNAMED: Unnamed = {2: ("timestamp", "funding_rate")}
#: The usual distance of settlements, ns.
USUAL = 8 * NS_PER_HOUR


def load_funding(path: str | Path, symbol: str) -> Rows:
    """Funding settlements of one symbol from a Parquet, Feather, CSV or JSON file, as `utils.rows.FUNDING` rows.

    Units: `ts` ns UTC, the time it was due (`utils.market.settlements.nominal`), `rate` fraction of notional per
    settlement, positive = longs pay. NaN: never; an empty rate is an error. Intervals are not checked: venues change
    them. Two rows of one settlement are one if they agree.

    Args:
        path: the file, packed or not; columns `timestamp` and `funding_rate`, or the names that Binance, Bybit and ccxt
            use; or freqtrade's, which keeps the rate as `open` of a candle without volume.
        symbol: any known spelling; must not contradict the file's name, nor its symbol column.

    Raises:
        ConfigError: the file's name says another symbol.
        DataError: the file is missing or wrong; names file, row, column, expected, seen and what to do.
    """
    asked, told = linear_symbol(symbol), symbol_of_file(Path(path).name)
    if told and told != asked:
        raise ConfigError(f"funding: expected a file of {asked}, seen {Path(path).name}; name the file of this symbol")
    table = read_table(path, _UNNAMED)
    require_symbol(table, asked, "as the candles are")
    time_name, rate_name = pick_time(table, STAMP_NAMES), _rate_column(table)
    table, stamps = in_order(table, time_name)
    rates = numbers(table, rate_name)
    wrong = ~(np.abs(rates) < 1.0)
    if wrong.any():
        row = int(wrong.argmax())
        remedy = "correct the row; 0.01 % is 0.0001"
        raise refusal(table, row, rate_name, "a fraction between -1 and 1", float(rates[row]), remedy)
    due = nominal(stamps)
    again = np.concatenate([[False], np.diff(due) == 0])
    unlike = again & (rates != np.roll(rates, 1))
    if unlike.any():
        row = int(unlike.argmax())
        expected = f"the rate {rates[row - 1]:g} of the row before, which is of the same settlement ({show(due[row])})"
        raise refusal(table, row, rate_name, expected, float(rates[row]), "delete the wrong one")
    rows = np.zeros(np.count_nonzero(~again), dtype=FUNDING)
    rows["ts"] = due[~again]
    rows["rate"] = rates[~again]
    return rows


def _rate_column(table: Table) -> str:
    """The column of the rate."""
    found = find(table, RATE_NAMES)
    if found is None and set(PRICES) <= table.columns.keys():
        rest = [numbers(table, name) for name in PRICES[1:]]
        if all((each == 0.0).all() for each in rest):
            return "open"
        raise DataError(
            f"{table.name}: expected funding settlements, seen candles ({listed(table.names)}); freqtrade's file of"
            " them ends in -funding_rate.feather and has 0 for high, low and close"
        )
    return found or pick(table, RATE_NAMES, lambda name: name not in STAMP_NAMES and _is_rate(table, name))


def _is_rate(table: Table, name: str) -> bool:
    """Whether a column could be a rate by what it holds."""
    try:
        return name in table.columns and bool((np.abs(numbers(table, name)) < 1.0).all())
    except DataError:
        return False


def uncovered(settlements: Rows, start: int, end: int) -> list[tuple[int, int]]:
    """The spans between two times (ns UTC) in which settlements must have been due that are not there, in order.

    One is missing where more than one and a half intervals lie between two, before the first one where it comes later
    than an interval after `start`, and after the last one where `end` is more than an interval later. An interval is
    the most common distance, and not less than the eight hours that are usual: venues shorten it for a time.
    """
    stamps = settlements["ts"]
    if len(stamps) == 0:
        return [(start, end)]
    lengths, counts = np.unique(np.diff(stamps), return_counts=True)
    interval = max(USUAL, int(lengths[counts.argmax()]) if len(lengths) else 0)
    first, last = int(stamps[0]), int(stamps[-1])
    spans = [(start, first)] if first - interval > start else []
    holes = np.flatnonzero(2 * np.diff(stamps) > 3 * interval)
    spans += [(int(stamps[k]), int(stamps[k + 1])) for k in holes]
    spans += [(last, end)] if last + interval < end else []
    cut = [(max(start, since), min(end, until)) for since, until in spans]
    return [(since, until) for since, until in cut if since < until]


def sibling_funding(candles_path: str | Path, market: str, symbol: str) -> Path | None:
    """The funding file that belongs to a candle file, by place: funding/<market>/<SYMBOL>_*.parquet.

    `funding` stands beside the folder that holds <market>/<tf>/. None if there is no such file, or if the candle file
    does not lie in a folder <market>/<tf>. Several files are refused, never merged and never chosen from.

    Raises:
        DataError: several files match; the message lists them.
    """
    folders = Path(candles_path).absolute().parents
    if not market or len(folders) < 4 or folders[1].name != market:
        return None
    found = sorted((folders[3] / "funding" / market).glob(f"{normalise_symbol(symbol)}_*.parquet"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"funding: expected one file for {symbol}, seen {names}; name one by --funding PATH")
    return found[0] if found else None
