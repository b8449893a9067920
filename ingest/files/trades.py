"""Trade files in: Binance's and Bybit's archives, and tables like them, as one frame of trades.

frame = load_trades("BTCUSDT2024-01-01.csv.gz")
order_flow_imbalance(frame)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.files.columns import Table, listed, numbers, require_symbol, symbol_inside, symbol_of_rows, times, words_of
from ingest.files.tables import Progressed, Unnamed, read_table
from utils.errors import ConfigError, DataError
from utils.market.prints import AGGRESSORS, print_columns
from utils.market.symbols import linear_symbol, symbol_of_file
from utils.market.times import is_number

if TYPE_CHECKING:
    import pandas as pd

_AGG = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker")
_TRADES = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match")
#: Columns of Binance's archives, which name none for spot; of seven, what they hold tells which they are.
_UNNAMED: Unnamed = {6: _TRADES[:6], 7: tuple(f"column_{i}" for i in range(7)), 8: (*_AGG, "is_best_match")}


def load_trades(
    paths: str | Path | Sequence[str | Path], *, symbol: str | None = None, progressed: Progressed | None = None
) -> pd.DataFrame:
    """Trades of one symbol: the columns `ts`, `side`, `price`, `qty` and, where the file has it, `id`.

    Units: `ts` ns UTC, `side` +1 where the aggressor bought and -1 where it sold, `price` quote, `qty` base. Rows stand
    as in the files; what takes trades brings them into order of time.

    Args:
        paths: a file or several, in order of time: Binance's trades or aggTrades, Bybit's trades, or any table with a
            time, a price, a quantity and a side; packed or not.
        symbol: any spelling; must not contradict name and columns.
        progressed: told how many bytes of a file are read, and how many it has.

    Raises:
        ConfigError: a dated or coin-margined contract, another symbol than was asked for, or no file.
        DataError: a file is missing or wrong, or its quantities are contracts; names file, row and column.
    """
    import pandas as pd

    named = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not named:
        raise ConfigError("trades: expected a file, saw none; name one")
    asked = None if symbol is None else linear_symbol(symbol)
    frames = []
    for path in named:
        told = symbol_of_file(Path(path).name)
        if asked and told and told != asked:
            raise ConfigError(f"trades: expected files of {asked}, saw {Path(path).name}; name files of one symbol")
        table = _with_names(read_table(path, _UNNAMED, progressed=progressed))
        asked = asked or told or symbol_inside(table) or symbol_of_rows(table)
        if asked:
            require_symbol(table, asked, "as its name or the files before say")
        frames.append(_frame(table))
    return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]


def _with_names(table: Table) -> Table:
    """Seven columns without names are aggregated trades if the sixth is a time, else trades."""
    if table.names != _UNNAMED[7]:
        return table
    sixth = table.column("column_5")[0]
    names = _AGG if is_number(str(sixth)) else _TRADES
    columns = dict(zip(names, table.columns.values(), strict=True))
    return Table(table.name, table.path, table.sha256, columns, table.size, names)


def _frame(table: Table) -> pd.DataFrame:
    import pandas as pd

    known = {ours: str(theirs) for ours, theirs in print_columns(table.names).items()}
    for name in ("timestamp", "price", "qty"):
        if name not in known:
            raise DataError(
                f"{table.name}: expected trades with a {'time' if name == 'timestamp' else name}, seen columns"
                f" {listed(table.names)}; name a file of trades, as an exchange's archive has them"
            )
    columns: dict[str, Any] = {
        "ts": times(table, known["timestamp"]),
        "side": _sides(table, known),
        "price": numbers(table, known["price"]),
        "qty": numbers(table, known["qty"]),
    }
    _require_base(table, columns["qty"])
    if "id" in known:
        kept = table.column(known["id"])
        columns["id"] = kept if isinstance(kept, np.ndarray) else kept.to_pandas()
    return pd.DataFrame(columns)


def _sides(table: Table, known: dict[str, str]) -> Any:
    """+1 or -1 of the aggressor from a flag of the buyer; a column of sides as it stands."""
    if "side" in known:
        words, codes = words_of(table.column(known["side"]))
        return np.array([word or None for word in words], dtype=object)[codes]
    if "maker" not in known:
        raise DataError(
            f"{table.name}: expected trades with a side, or whether the buyer was the maker, seen columns"
            f" {listed(table.names)}; name a file that says who was the aggressor"
        )
    words, codes = words_of(table.column(known["maker"]))
    unknown = [number for number, word in enumerate(words) if word.strip().lower() not in AGGRESSORS]
    if unknown:
        row = int(np.isin(codes, unknown).argmax())
        raise DataError(
            f"{table.name}: row {row + 1}, column {known['maker']!r}: expected true or false, seen"
            f" {words[codes[row]]!r}; correct the cell"
        )
    return np.array([AGGRESSORS[word.strip().lower()] for word in words])[codes]


def _require_base(table: Table, qty: Any) -> None:
    """Refuse quantities that Bybit's archive says are not those in the base currency."""
    if "home_notional" not in table.columns:
        return
    base = numbers(table, "home_notional")
    off = ~np.isclose(qty, base, rtol=1e-3, atol=1e-9)
    if off.mean() > 0.5:
        row = int(off.argmax())
        raise DataError(
            f"{table.name}: expected quantities in base currency, seen {qty[row]:g} where homeNotional is"
            f" {base[row]:g}: they are contracts; name trades of a spot pair or of a linear perpetual"
        )
