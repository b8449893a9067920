"""Features beside the registered ones, and the proof by trial that neither these nor those know later bars."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.data.decisions import Further, reserved
from backtest.strategies.identity import identity_of
from exec.market import Market
from exec.strategy import MarketRows, market_columns
from features.registry import feature_set
from ml.audit import leaks
from ml.signal import Signaller, strategy_params
from utils.errors import DataError, InvariantError
from utils.figures.arithmetic import Floats
from utils.rows import Rows
from utils.settings.tree import Settings

if TYPE_CHECKING:
    import pandas as pd

#: A user's function from market rows to columns.
Columns = Callable[[Any], Any]
#: Bars of the end of a market on which everything is asked again, cut off and with other bars afterwards.
AUDITED = 2_048
#: Cuts of it.
CUTS = 4


def audit_registered(market: Market, settings: Settings) -> None:
    """Ask the registered features and the default strategy again on bars cut off.

    Raises:
        InvariantError: one of them knew later bars.
    """
    bars = market.bars[-AUDITED:]
    warmup = feature_set().warmup
    if len(bars) < 2:
        return
    symbols = len(market.symbols)
    start = int(bars["ts"][min(warmup, len(bars) - 1)])

    def columns(rows: Rows) -> dict[str, Floats]:
        features = feature_set(symbols).batch(rows)
        side = Signaller(strategy_params(settings), [start] * symbols).batch(rows, features)["side"]
        return {**{name: features[name] for name in features.dtype.names or ()}, "side": side}

    for leak in leaks(columns, bars, cuts=cuts_of(len(bars))):
        raise InvariantError(f"{leak.column}: knew bars after row {leak.cut} of the last {len(bars)}; report it")


def cuts_of(rows: int) -> list[int]:
    """Where a market of so many rows is cut off: spread over its second half, and before the last row."""
    return sorted({rows // 2 + k * (rows - rows // 2) // CUTS for k in range(CUTS)} & set(range(rows - 1)) | {rows - 2})


def of_user(function: Columns, market: Market, flag: str = "--features") -> Further:
    """The columns that a user's function makes of market rows, of each symbol by itself, after they were audited.

    It is shown the frame that strategies see, and answers with a value for each row: a DataFrame, or a mapping of
    columns. What it hands back of the market as it was is passed over.

    Args:
        function: from market rows to columns.
        market: its bars.
        flag: where it was said, for messages.

    Raises:
        DataError: it fails, its answer is no columns of numbers, or one of them knows later bars.
    """
    features = feature_set(len(market.symbols)).batch(market.bars)
    rows = MarketRows(market.symbols, market.bars, features, market.book)
    sym = market.bars["sym"]
    names: tuple[str, ...] = ()
    values: Floats = np.empty((0, 0))
    for number in range(len(market.symbols)):
        own = np.flatnonzero(sym == number)
        frame = rows.frame(own).reset_index(drop=True)
        _audit(function, frame.iloc[-AUDITED:].reset_index(drop=True), flag)
        found = answer_of(function, frame, flag)
        if number == 0:
            names, values = tuple(found), np.full((len(market.bars), len(found)), np.nan)
        if tuple(found) != names:
            raise DataError(
                f"{flag}: expected the columns {', '.join(names)} of each symbol, saw {', '.join(found)} of "
                f"{market.symbols[number]}; return the same ones"
            )
        for k, column in enumerate(found.values()):
            values[own, k] = column
    told = json.dumps([identity_of(function).row(), names], sort_keys=True)
    return Further(names, values, hashlib.sha256(told.encode()).hexdigest())


def _audit(function: Columns, frame: pd.DataFrame, flag: str) -> None:
    """Refuse columns that change when later rows do."""
    if len(frame) < 2:
        return
    try:
        found = leaks(lambda shown: answer_of(function, shown, flag), frame, cuts=cuts_of(len(frame)))
    except InvariantError as error:  # of the audit: other columns, or too few values, when later rows change
        raise DataError(f"{flag}: {error}") from None
    for leak in found:
        raise DataError(
            f"{flag}: column {leak.column} knows later bars: at row {leak.row} of {len(frame):,} it is another when "
            f"those after row {leak.cut} are {'cut off' if leak.later == 'cut off' else 'others'}; compute it from the "
            "row and those before it"
        )


def answer_of(function: Columns, frame: pd.DataFrame, flag: str) -> Mapping[str, Floats]:
    """The further columns of a function's answer, as numbers.

    Raises:
        DataError: it fails, or answers with something else.
    """
    import pandas as pd

    try:
        with contextlib.redirect_stdout(sys.stderr):
            given = function(frame.copy())
        answer = pd.DataFrame(dict(given) if isinstance(given, Mapping) else given)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(f"{flag}: expected columns, saw {error!r:.200}; mend the function") from error
    if len(answer) != len(frame):
        raise DataError(f"{flag}: expected a value for each of {len(frame):,} rows, saw {len(answer):,}; pad with NaN")
    found: dict[str, Floats] = {}
    for name in answer.columns:
        if name in market_columns():
            continue
        if not (isinstance(name, str) and name.isidentifier()) or name in reserved() or name in found:
            raise DataError(f"{flag}: expected names of columns that are free, saw {name!r:.60}; name it otherwise")
        try:
            column = np.ascontiguousarray(answer[name].to_numpy(dtype=np.float64, na_value=np.nan))
        except (TypeError, ValueError):
            raise DataError(
                f"{flag}: column {name}: expected numbers, saw {answer[name].dtype}; convert them"
            ) from None
        if np.isinf(column).any():
            row = int(np.argmax(np.isinf(column)))
            raise DataError(f"{flag}: column {name}: row {row}: expected a finite number or NaN, saw inf; mend it")
        found[name] = column
    if not found:
        raise DataError(f"{flag}: expected columns besides those of the market, saw none; return at least one")
    return found
