"""What regimes, forecasts and momentum share: one column, checked; features of closes; what lies ahead; one error.

Whatever these functions accept as prices is made one column of closes here, so that all refuse in the same words.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.fold import Feature, FeatureSet
from features.folds.volatility import ewma_vol
from utils.errors import ConfigError, DataError
from utils.rows import BAR

Floats = NDArray[np.float64]
#: What functions of prices accept: a DataFrame or rows with a `close`, or the closes themselves, oldest first; quote.
Prices = Any


def require(holds: bool, name: str, expected: str, seen: object) -> None:
    """Refuse a setting that does not hold, in the words of the house: what was expected and what was seen.

    Raises:
        ConfigError: it does not hold.
    """
    if not holds:
        raise ConfigError(f"{name}: expected {expected}, got {seen}")


def one_column(values: Any, name: str) -> Floats:
    """What was given as one column of float64, oldest first.

    Unit: as given.
    NaN: allowed, and left where it is.

    Raises:
        DataError: no numbers, not one column, or an infinity; the message calls the column `name`.
    """
    try:
        column = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: expected one column of numbers, got {type(values).__name__}") from error
    if column.ndim != 1:
        raise DataError(f"{name}: expected one column, got shape {column.shape}; pass one value a bar")
    if np.isinf(column).any():
        row = int(np.argmax(np.isinf(column)))
        raise DataError(f"{name}, row {row}: expected a finite number or NaN, seen infinity; mend or drop the row")
    return column


def closes_of(prices: Prices) -> Floats:
    """The closes of a frame or of rows, or what is one column already.

    Unit: quote.
    NaN: refused, as no price is.

    Raises:
        DataError: no column `close`, several symbols, or a close that is not finite and above 0.
    """
    named = getattr(prices, "columns", None)
    names = getattr(getattr(prices, "dtype", None), "names", None) if named is None else named
    if names is not None and "close" not in names:
        raise DataError(f"prices: expected a column `close`, seen {', '.join(map(str, names))}; rename it")
    if names is not None and "sym" in names and len(np.unique(prices["sym"])) > 1:
        raise DataError("prices: expected rows of one symbol, seen several; pass them one by one")
    closes = one_column(prices if names is None else prices["close"], "close")
    wrong = ~(closes > 0.0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"close, row {row}: expected a price above 0, seen {closes[row]}; drop or mend the row")
    return closes


def folded(prices: Prices, feature: Feature) -> Floats:
    """A feature of the close alone, by its registered fold: research and live have the same bits.

    Formula, Unit, NaN, Source: the feature's; open, high and low are the close, and there is no volume.

    Raises:
        DataError: prices are not finite and above 0.
    """
    closes = closes_of(prices)
    bars = np.zeros(len(closes), BAR)
    for field in ("open", "high", "low", "close"):
        bars[field] = closes
    column: Floats = FeatureSet((feature,)).batch(bars)[feature.name].copy()
    return column


def volatility_of(prices: Prices, half_life: int) -> Floats:
    """Exponential volatility of each bar.

    Formula, NaN, Source: as `ewma_vol`.
    Unit: bps.

    Raises:
        ConfigError: half-life under 1.
        DataError: prices are not finite and above 0.
    """
    require(half_life >= 1, "half_life", "1 bar or more", half_life)
    # one name for all half-lives, so that they share one compiled loop
    return folded(prices, replace(ewma_vol(half_life), name="volatility"))


def rows_ahead(values: Floats, rows: int) -> Floats:
    """What stands `rows` later: the future, for outcomes and never for columns that a decision reads.

    Unit: as given.
    NaN: the last `rows` rows.
    """
    later = np.full(len(values), math.nan)
    later[: max(0, len(values) - rows)] = values[rows:]
    return later


def variance_of_sum(scores: Floats, lags: int) -> float:
    """Variance of the sum of scores whose mean is 0 and whose neighbours may resemble each other.

    Formula: sum s[t]^2 + 2 sum over k <= lags of (1 - k / (lags + 1)) sum s[t] s[t-k]; Bartlett weights.
    Unit: that of the scores, squared.
    NaN: the scores hold none.
    Source: Newey and West, A Simple, Positive Semi-Definite Covariance Matrix, 1987.
    """
    total = float(scores @ scores)
    for lag in range(1, min(lags, len(scores) - 1) + 1):
        total += 2.0 * (1.0 - lag / (lags + 1.0)) * float(scores[lag:] @ scores[:-lag])
    return max(0.0, total)
