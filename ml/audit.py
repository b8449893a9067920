"""The truncation audit: proof by trial that rows after t change nothing at t, for any function from market to columns.

A column that looks ahead (a centred mean, a rank within the whole sample, a scaler fitted on everything) is found by
cutting the market off after t, and by putting other rows after t.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from utils.errors import ConfigError, DataError, InvariantError

#: A market: a DataFrame, rows, or one column of numbers; oldest first.
Market = Any
#: What makes columns of it: a DataFrame, rows, a mapping of arrays, or one array; a value for each row of the market.
Columns = Callable[[Any], Any]

#: Cuts that are drawn where none are given.
CUTS = 8


@dataclass(frozen=True, slots=True)
class Leak:
    """A value that changed although its rows did not."""

    column: str
    cut: int  # last row that both markets share
    row: int  # first row, up to the cut, whose value differs
    later: str  # what was done to later rows: "cut off" or "others"


def leaks(columns: Columns, market: Market, *, cuts: Sequence[int] | None = None, seed: int = 1) -> tuple[Leak, ...]:
    """Every column of `columns(market)` that knows later rows, with the cut that showed it.

    Formula: rows 0 to t of columns(market) equal, bit for bit, those of columns(market[: t + 1]) and of columns(market
    with other rows after t). The others are rows of the same market drawn at random, numbers with a point times a
    factor that each row draws, so that candles stay legal; whole numbers and times that never fall stay as they are.
    Unit: rows. NaN equals NaN.
    Source: own.

    Args:
        columns: a value for each row of what it is given; must answer for a market cut off after any of `cuts`.
        market: rows in order of time.
        cuts: last rows before the cut; default: eight drawn from the second half.
        seed: of the dice.

    Raises:
        ConfigError: a cut after which there is no row.
        DataError: a market that is neither a DataFrame with each column once, nor rows, nor one column of numbers.
        InvariantError: a column without a value for each row, or other columns when later rows change.
    """
    market = _checked(market)
    size = len(market)
    dice = np.random.default_rng(seed)
    places = sorted(dice.integers(size // 2, max(size - 1, 1), CUTS).tolist()) if cuts is None else [*map(int, cuts)]
    if size < 2 or not places or min(places) < 0 or max(places) > size - 2:
        raise ConfigError(f"cuts: expected rows from 0 to {size - 2}, so that a row comes after them, got {places}")
    whole = _answer(columns, market, size)
    found = []
    for cut in dict.fromkeys(places):
        for later, other in (("cut off", market[: cut + 1]), ("others", _with_other_rows(market, cut, dice))):
            answer = _answer(columns, other, len(other))
            if answer.keys() != whole.keys():
                raise InvariantError(f"columns change with rows after {cut}: {[*whole]} became {[*answer]}")
            for name, values in whole.items():
                differs = _differs(values[: cut + 1], answer[name][: cut + 1])
                if differs.any():
                    found.append(Leak(name, cut, int(np.argmax(differs)), later))
    return tuple(found)


def truncation_audit(columns: Columns, market: Market, *, cuts: Sequence[int] | None = None, seed: int = 1) -> None:
    """Hold columns to the rule that rows after t change nothing at t; arguments and method as in `leaks`.

    Raises:
        ConfigError: a cut after which there is no row.
        DataError: no market; see `leaks`.
        InvariantError: with the name of each column that knows later rows, and where it was caught.
    """
    caught: dict[str, Leak] = {}
    for leak in leaks(columns, market, cuts=cuts, seed=seed):
        caught.setdefault(leak.column, leak)
    if caught:
        told = (f"{name} (row {leak.row} with rows after {leak.cut} {leak.later})" for name, leak in caught.items())
        raise InvariantError(f"expected columns that know no later row, seen {len(caught)} that do: {', '.join(told)}")


def _checked(market: Market) -> Market:
    """The market as a DataFrame, as rows or as one column of float64."""
    if isinstance(market, pd.DataFrame):
        if (repeated := market.columns[market.columns.duplicated()]).size:
            raise DataError(f"market: expected each column once, seen {repeated[0]!r} twice; drop one")
        return market
    try:
        rows = np.asarray(market)
        rows = rows if rows.dtype.names else rows.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"market: expected a DataFrame, rows or numbers, got {str(market)[:80]}") from error
    if rows.ndim != 1:
        raise DataError(f"market: expected one column, got shape {rows.shape}; make a DataFrame of several")
    return rows


def _answer(columns: Columns, market: Market, size: int) -> dict[str, NDArray[Any]]:
    """The columns by name, of a copy of the market."""
    answer = columns(market.copy())
    if isinstance(answer, pd.DataFrame):
        named = {str(name): answer[name].to_numpy() for name in answer.columns}
    elif isinstance(answer, Mapping):
        named = {str(name): np.asarray(values) for name, values in answer.items()}
    else:
        values = np.asarray(answer)
        named = {name: values[name] for name in values.dtype.names} if values.dtype.names else {"column": values}
    short = {name: np.size(values) for name, values in named.items() if np.shape(values)[:1] != (size,)}
    if short:
        raise InvariantError(f"expected a value for each of {size} rows, got {short}; pad with NaN")
    return named


def _with_other_rows(market: Market, cut: int, dice: np.random.Generator) -> Market:
    """A market that is the same up to the cut."""
    size = len(market)
    order = np.concatenate((np.arange(cut + 1), dice.integers(0, size, size - cut - 1)))
    factor = np.concatenate((np.ones(cut + 1), np.exp(dice.normal(0.0, 0.3, size - cut - 1))))
    if isinstance(market, pd.DataFrame):
        other = market.iloc[order].set_axis(market.index)
        names = list(market.columns)
    else:
        other = market[order]
        names = list(market.dtype.names or ())
    if not names:
        return other * factor
    for name in names:
        if other[name].dtype.kind == "f":
            other[name] = (other[name] * factor).astype(other[name].dtype)
        elif market[name].dtype.kind in "iuM" and pd.Index(market[name]).is_monotonic_increasing:
            other[name] = market[name]
    return other


def _differs(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two columns hold different bits; NaN equals NaN, as do other values that are missing."""
    if first.dtype != second.dtype:
        return np.ones(len(first), np.bool_)
    if first.dtype.kind != "f":
        missing, still_missing = pd.isna(first), pd.isna(second)
        changed: NDArray[np.bool_] = missing != still_missing
        there = ~(missing | still_missing)
        changed[there] = first[there] != second[there]
        return changed
    bits = np.dtype(f"u{first.dtype.itemsize}")
    other: NDArray[np.bool_] = np.ascontiguousarray(first).view(bits) != np.ascontiguousarray(second).view(bits)
    other &= ~(np.isnan(first) & np.isnan(second))
    return other
