"""A user's strategy: any function from market rows to signal rows, in NumPy, pandas or plain Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.data.market import Market
from features.registry import feature_set
from utils.errors import DataError
from utils.rows import SIGNAL, Rows

if TYPE_CHECKING:
    import pandas as pd

#: Takes the market frame, answers with signal rows: a DataFrame, a dict of columns, or a list of dicts.
Strategy = Callable[["pd.DataFrame"], Any]

#: Lowest and highest value of each field; NaN leaves it to the settings.
RANGES = {
    "side": (-1.0, 1.0),
    "strength": (0.0, 100.0),
    "p_win": (0.0, 1.0),
    "expected_bps": (-1e4, 1e4),
    "take_bps": (1e-3, 1e4),
    "stop_bps": (1e-3, 9999.0),
    "horizon": (1.0, 1e9),
}


def market_frame(market: Market, features: Rows) -> pd.DataFrame:
    """Market rows as a frame: `ts` (close, UTC), symbol, candle columns, every feature, and the live book if any.

    Only what was known at the close stands in a row: column j of row i never depends on a row after i.
    """
    import pandas as pd

    columns: dict[str, Any] = {
        "ts": pd.to_datetime(market.bars["ts"], utc=True),
        "symbol": np.array(market.symbols)[market.bars["sym"]],
    }
    columns |= {name: market.bars[name] for name in ("open", "high", "low", "close", "volume", "taker_buy")}
    columns |= {name: features[name] for name in features.dtype.names or ()}
    if market.book is not None:
        columns |= {name: market.book[name] for name in market.book.dtype.names or ()}
    return pd.DataFrame(columns)


def ask(strategy: Strategy, market: Market) -> Rows:
    """Signal rows of a user's strategy beside `market.bars`, checked.

    Raises:
        DataError: the answer lacks `ts` or `side`, names a bar that is not there, or holds a value out of range.
    """
    features = feature_set(len(market.symbols)).batch(market.bars)
    answer = strategy(market_frame(market, features))
    return aligned(answer, market, features["atr_14"])


def aligned(answer: Any, market: Market, atr: Any) -> Rows:
    """Put the rows a strategy gave at their bars; bars it does not mention are neutral."""
    import pandas as pd

    try:
        frame = answer if isinstance(answer, pd.DataFrame) else pd.DataFrame(answer)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"strategy: expected signal rows (a DataFrame, a dict of columns or a list of dicts), saw {answer!r:.60}; "
            "return one of these"
        ) from error
    missing = {"ts", "side"} - set(frame.columns)
    if missing:
        seen = ", ".join(map(str, frame.columns))
        raise DataError(
            f"strategy: expected signal rows with at least ts and side, saw columns {seen}; "
            f"add {' and '.join(sorted(missing))}"
        )
    at = positions(frame, market)
    signals = np.empty(len(market.bars), SIGNAL)
    for name in SIGNAL.names or ():
        signals[name] = np.nan
    signals["atr"] = atr
    for name, (low, high) in RANGES.items():
        if name in frame:
            signals[name][at] = checked(frame, name, low, high)
    sides = signals["side"]
    odd = ~np.isnan(sides) & ~np.isin(sides, (-1.0, 0.0, 1.0))
    if odd.any():
        raise DataError(f"strategy: side must be +1, -1, 0 (close) or NaN (nothing), saw {sides[odd][0]:g}")
    signals["side"][market.bars["ts"] < np.array(market.starts)[market.bars["sym"]]] = np.nan
    return signals


def positions(frame: pd.DataFrame, market: Market) -> Any:
    """Row of `market.bars` of each signal row."""
    import pandas as pd

    try:
        ts = pd.to_datetime(frame["ts"], utc=True).dt.as_unit("ns").astype("int64").to_numpy()
    except (TypeError, ValueError) as error:
        raise DataError(f"strategy: expected times in ts ({error}); use the ts column as given") from error
    names: Mapping[str, int] = {name: k for k, name in enumerate(market.symbols)}
    if "symbol" in frame:
        strangers = set(frame["symbol"]) - names.keys()
        if strangers:
            raise DataError(f"strategy: expected symbols {', '.join(names)}, saw {', '.join(map(str, strangers))}")
        sym = frame["symbol"].map(names).to_numpy(dtype=np.int64)
    elif len(names) == 1:
        sym = np.zeros(len(frame), dtype=np.int64)
    else:
        raise DataError("strategy: expected a symbol column, since several symbols are simulated; add it")
    pair = np.dtype([("ts", np.int64), ("sym", np.int64)])
    keys, wanted = np.empty(len(market.bars), pair), np.empty(len(ts), pair)
    keys["ts"], keys["sym"] = market.bars["ts"], market.bars["sym"]
    wanted["ts"], wanted["sym"] = ts, sym
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    lost = keys[at] != wanted
    if lost.any():
        first = frame["ts"].iloc[int(np.flatnonzero(lost)[0])]
        raise DataError(f"strategy: expected each ts to be the close of a bar, saw {first}; use the ts column as given")
    if len(np.unique(at)) < len(at):
        raise DataError("strategy: expected one signal row per bar and symbol, saw a repeated one; drop duplicates")
    return at


def checked(frame: pd.DataFrame, name: str, low: float, high: float) -> Any:
    """A column as float64 within its range; NaN passes."""
    try:
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise DataError(f"strategy: expected numbers in {name}, saw {frame[name].iloc[0]!r}") from error
    bad = ~np.isnan(values) & ~((values >= low) & (values <= high))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(f"strategy: {name} in row {row + 1} must lie from {low:g} to {high:g}, saw {values[row]:g}")
    if name == "horizon" and (values % 1.0 > 0.0).any():
        raise DataError(f"strategy: horizon must be whole bars, saw {values[values % 1.0 > 0.0][0]:g}")
    return values
