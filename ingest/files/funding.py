"""Funding files in, and where they lie beside candles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ingest.files.columns import TIME_NAMES, numbers, pick, refusal, require_ascending, times
from ingest.files.tables import Unnamed, read_table
from utils.errors import ConfigError, DataError
from utils.market.symbols import normalise_symbol, symbol_of_file
from utils.rows import FUNDING, Rows

RATE_NAMES = ("funding_rate", "last_funding_rate", "fundingrate", "rate")
STAMP_NAMES = ("funding_time", "fundingtime", "calc_time", "funding_rate_timestamp", *TIME_NAMES)
#: A table without names holds time and rate.
_UNNAMED: Unnamed = {2: ("timestamp", "funding_rate")}


def load_funding(path: str | Path, symbol: str) -> Rows:
    """Funding settlements of one symbol from a Parquet or CSV file, as `utils.rows.FUNDING` rows.

    Units: `ts` ns UTC as the file has it, `rate` fraction of notional per settlement, positive = longs pay.
    NaN: never; an empty rate is an error. Intervals are not checked: venues change them.

    Args:
        path: the file; columns `timestamp` and `funding_rate`, or the names exchanges use.
        symbol: any known spelling; must not contradict the file's name.

    Raises:
        ConfigError: the file's name says another symbol.
        DataError: the file is missing or wrong; names file, row, column, expected, seen and what to do.
    """
    asked, told = normalise_symbol(symbol), symbol_of_file(Path(path).name)
    if told and told != asked:
        raise ConfigError(f"funding: expected a file of {asked}, seen {Path(path).name}; name the file of this symbol")
    table = read_table(path, _UNNAMED)
    time_name, rate_name = pick(table, STAMP_NAMES), pick(table, RATE_NAMES)
    stamps = times(table, time_name)
    require_ascending(table, time_name, stamps)
    rates = numbers(table, rate_name)
    wrong = ~(np.abs(rates) < 1.0)
    if wrong.any():
        row = int(wrong.argmax())
        remedy = "correct the row; 0.01 % is 0.0001"
        raise refusal(table, row, rate_name, "a fraction between -1 and 1", float(rates[row]), remedy)
    rows = np.zeros(table.size, dtype=FUNDING)
    rows["ts"] = stamps
    rows["rate"] = rates
    return rows


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
