"""How symbols move together: one fold over closes that come at the same moment, for the engine and for research.

A correlation is what hedges count on and what crowds have in common, and it is worst known when it matters. So what is
not known yet counts as 1, what is estimated low between majors counts as the floor, and a hedge is believed only as far
as it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from risk.held import Same, known_symbol, number
from utils.compiled import compiled
from utils.errors import DataError
from utils.figures.arithmetic import Floats
from utils.rows import Rows, layout_of

#: Returns over which the memory of an estimate halves: a day of five-minute bars.
HALFLIFE = 288.0
#: Least correlation of two majors.
FLOOR = 0.5
#: An eigenvalue above minus this is 0: what float arithmetic leaves of a matrix that is singular.
SINGULAR = 1e-9


class PairRow(Protocol):
    """What is known of two symbols' returns at the same closes; all zero = nothing yet."""

    cov: float  # weighted mean of a b, fraction squared; all three lack the same share while young, so rho does not
    var_a: float  # weighted mean of a a
    var_b: float
    seen: int  # closes at which both had a return


PAIR = layout_of(PairRow)


def weight_of(halflife: float) -> float:
    """Weight of the newest return in a mean whose memory halves over `halflife` returns: 1 - 2^(-1 / halflife)."""
    return 1.0 - math.exp2(-1.0 / halflife)


@compiled
def pair_step(pair: PairRow, a: float, b: float, weight: float) -> None:
    """Two returns over the same time join a pair.

    Formula: cov += w (a b - cov), var likewise; of mean zero, as means of short returns are but noise.

    Args:
        pair: moves.
        a: log return of the one, fraction; where either is NaN the two are not of one time, and nothing moves.
        b: of the other.
        weight: w, as `weight_of` tells.
    """
    if math.isnan(a) or math.isnan(b):
        return
    pair.cov += weight * (a * b - pair.cov)
    pair.var_a += weight * (a * a - pair.var_a)
    pair.var_b += weight * (b * b - pair.var_b)
    pair.seen += 1


@compiled
def rho_of(pair: PairRow, floor: float, least: float) -> float:
    """The correlation of a pair, at least `floor`; 1, the stressed value, while it is unknown.

    Args:
        pair: cov, var_a, var_b, seen.
        floor: lowest answer; -1 = as estimated.
        least: closes below which nothing is known, as of a pair one of which never moved.

    Returns:
        rho from -1 to 1.
    """
    spread = math.sqrt(pair.var_a * pair.var_b)
    if pair.seen < least or not spread > 0.0:
        return 1.0
    return max(floor, min(1.0, max(-1.0, pair.cov / spread)))


@compiled
def heat_rho(pair: PairRow, sides: int, floor: float, least: float) -> float:
    """The correlation by which two positions' heats are to be multiplied: a crowd by the floor, a hedge by estimate.

    Args:
        pair: cov, var_a, var_b, seen.
        sides: d_i d_j, +1 = both on one side, -1 = one against the other.
        floor: lowest correlation of two on one side.
        least: closes below which nothing is known: then a crowd is one position, and a hedge is none.

    Returns:
        rho from -1 to 1; its sign is the pair's, that of the sides is not in it.
    """
    if sides > 0:
        return rho_of(pair, floor, least)
    if pair.seen < least or not math.sqrt(pair.var_a * pair.var_b) > 0.0:
        return 0.0
    return rho_of(pair, -1.0, least)


@compiled
def fold_pairs(returns: Floats, weight: float, pairs: Rows) -> None:
    """Every pair of columns over all rows, by `pair_step`.

    Args:
        returns: [T, N]; NaN = none at this moment.
        weight: of the newest row.
        pairs: PAIR rows, zeros: (0, 1), (0, 2) ... (N - 2, N - 1).
    """
    for t in range(returns.shape[0]):
        at = 0
        for i in range(returns.shape[1]):
            for j in range(i + 1, returns.shape[1]):
                pair_step(pairs[at], returns[t, i], returns[t, j], weight)
                at += 1


def correlation_matrix(
    returns: Any,
    *,
    halflife: float = HALFLIFE,
    floor: float | None = FLOOR,
    majors: Iterable[Any] | None = None,
    stress: bool = False,
    shrink: bool = True,
) -> Any:
    """How symbols move together: weighted towards now, shrunk, floored between majors, or stressed.

    Formula: rho = cov / sqrt(var var) of the fold `pair_step`; times 1 - s, s = Ledoit and Wolf's intensity towards no
    correlation, of returns in units of their deviation; at least `floor` between majors. Where the floor took positive
    semi-definiteness, all is moved towards the floor by the least that gives it back.

    Args:
        returns: log returns over the same times, one column a symbol: a DataFrame, or an array [T, N]; NaN where a
            symbol has none. Of less than a minute they underestimate, as prices do not move at once.
        halflife: rows over which the memory halves.
        floor: least correlation of two majors; None = as estimated.
        majors: columns that the floor is for, by name (of an array by number); None = all.
        stress: every correlation 1, which is what a crash makes of them.
        shrink: False = as estimated, then it is the engine's own fold to the bit.

    Returns:
        [N, N], a DataFrame where one was given; symmetric, 1 on the diagonal, positive semi-definite.

    Raises:
        DataError: no table of numbers, infinite or constant columns, a column that shares no row with another, an
            unknown major, or a setting out of its range.
    Source: Ledoit and Wolf 2004; Epps 1979 for the short returns.
    """
    table, names = _returns_of(returns)
    weight = weight_of(number(halflife, "halflife", 0.0, open_low=True))
    least = -1.0 if floor is None else number(floor, "floor", -1.0, 1.0)
    floored = _majors_of(majors, names)
    matrix = np.ones((len(names), len(names)))
    if not stress:
        pairs = np.zeros(len(names) * (len(names) - 1) // 2, PAIR)
        fold_pairs(table, weight, pairs)
        kept = 1.0 - _intensity(table, weight) if shrink and len(names) > 1 else 1.0
        above = np.triu_indices(len(names), 1)
        for i, j, pair in zip(*above, pairs, strict=True):
            if pair.seen < 2:
                raise DataError(
                    f"returns: expected rows that {names[i]} and {names[j]} share, saw {pair.seen}; align them"
                )
            rho = kept * rho_of(pair, -1.0, 0.0)
            matrix[i, j] = matrix[j, i] = max(rho, least) if floored[i] and floored[j] else rho
        matrix = _definite(matrix, least, floored)
    if hasattr(returns, "columns"):
        import pandas as pd

        return pd.DataFrame(matrix, index=returns.columns, columns=returns.columns)
    return matrix


def _returns_of(returns: Any) -> tuple[Floats, list[Any]]:
    """The table and what its columns are called."""
    table = np.asarray(returns)
    if table.ndim != 2 or 0 in table.shape or table.dtype.kind not in "fiu":
        raise DataError(
            f"returns: expected a table of numbers, one column a symbol, saw {table.dtype} of shape {table.shape};"
            " numbers are not read from text"
        )
    table = np.ascontiguousarray(table, np.float64)
    names = list(returns.columns) if hasattr(returns, "columns") else list(range(table.shape[1]))
    for name, column in zip(names, table.T, strict=True):
        if np.isinf(column).any():
            raise DataError(f"returns: expected finite returns, saw an infinite one of {name}; mend its prices")
        seen = column[~np.isnan(column)]
        if len(seen) < 2 or (seen == seen[0]).all():
            what = f"{len(seen)} returns" if len(seen) < 2 else f"{seen[0]:g} in each row"
            raise DataError(f"returns: expected a column that varies, saw {what} of {name}; leave it out")
    return table, names


def _majors_of(majors: Iterable[Any] | None, names: Sequence[Any]) -> list[bool]:
    """Which columns the floor is for."""
    if majors is None:
        return [True] * len(names)
    chosen, known = [majors] if isinstance(majors, str) else list(majors), [_spelled(name) for name in names]
    strange = [name for name in chosen if _spelled(name) not in known]
    if strange:
        raise DataError(
            f"majors: expected columns of the returns, saw {strange[0]!r}; they are {', '.join(map(str, names))}"
        )
    wanted = {_spelled(name) for name in chosen}
    return [name in wanted for name in known]


def _spelled(name: Any) -> Any:
    """A column's name in the one spelling of symbols; a number as it is."""
    return known_symbol(name) if isinstance(name, str) else name


def _intensity(table: Floats, weight: float) -> float:
    """Ledoit and Wolf's share of the target, of the rows in which every symbol has a return."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    whole = ~np.isnan(table).any(axis=1)
    rows = table[whole]
    if len(rows) < 2:
        raise DataError(
            f"returns: expected rows with a return of every symbol, saw {len(rows)}; align them, or shrink=False"
        )
    ages = len(table) - 1.0 - np.flatnonzero(whole)
    weights = (1.0 - weight) ** (ages - ages[-1])
    rows = rows * np.sqrt(weights / weights.mean())[:, None]
    return float(ledoit_wolf_shrinkage(rows / np.sqrt((rows * rows).mean(axis=0)), assume_centered=True))


def _definite(matrix: Floats, floor: float, floored: Sequence[bool]) -> Floats:
    """The matrix, moved towards the floor until no eigenvalue is below 0; what stands at the floor stays there."""
    lowest = float(np.linalg.eigvalsh(matrix)[0])
    if lowest >= -SINGULAR or floor >= 1.0:
        return matrix
    flags = np.array(floored)
    target = np.where(np.outer(flags, flags), max(floor, 0.0), 0.0)
    np.fill_diagonal(target, 1.0)
    return matrix + min(1.0, -lowest / (1.0 - max(floor, 0.0) - lowest)) * (target - matrix)


@compiled
def fault_of(matrix: Floats, work: Floats) -> int:
    """What is wrong with a correlation matrix: the place in `FAULTS`, 0 = nothing.

    Positive semi-definite = Cholesky's decomposition of C + `SINGULAR` I exists: a singular matrix passes, as nothing
    is ever inverted.

    Args:
        matrix: [N, N].
        work: [N, N], overwritten.
    """
    n = matrix.shape[0]
    for i in range(n):
        for j in range(n):
            value = matrix[i, j]
            if math.isnan(value):
                return 1
            if not -1.0 - SINGULAR <= value <= 1.0 + SINGULAR:
                return 2
            if abs(value - matrix[j, i]) > SINGULAR:
                return 3
        if abs(matrix[i, i] - 1.0) > SINGULAR:
            return 4
    for i in range(n):
        for j in range(i + 1):
            left = matrix[i, j]
            if i == j:
                left += SINGULAR
            for k in range(j):
                left -= work[i, k] * work[j, k]
            if i > j:
                work[i, j] = left / work[j, j]
            elif left > 0.0:
                work[i, i] = math.sqrt(left)
            else:
                return 5
    return 0


#: What `fault_of` found, in words.
FAULTS = (
    "",
    "NaN in it",
    "a value beyond -1 to 1",
    "one that is not symmetric",
    "a diagonal that is not 1",
    "one that is not positive semi-definite",
)


def checked_matrix(given: Any, symbols: Sequence[str]) -> tuple[Mapping[str, int], Floats]:
    """Where each symbol stands in a correlation matrix, and the matrix; nothing is inverted, so a singular one will do.

    Args:
        given: a DataFrame named by symbols in any spelling; or an array, whose rows are `symbols` in their order; None
            = nothing is known, and everything counts as 1.
        symbols: exchange ids that are asked for.

    Raises:
        DataError: not square, of another size, with a symbol missing, or no correlation matrix.
    """
    if given is None:
        return {symbol: i for i, symbol in enumerate(symbols)}, np.ones((len(symbols), len(symbols)))
    framed = hasattr(given, "columns")
    matrix = given.to_numpy() if framed else np.asarray(given)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size or matrix.dtype.kind not in "fiu":
        raise DataError(
            f"correlation_matrix: expected a square table of numbers, saw {matrix.dtype} of shape {matrix.shape};"
            " correlation_matrix(returns) makes one"
        )
    matrix = np.ascontiguousarray(matrix, np.float64)
    fault = fault_of(matrix, np.empty(matrix.shape))
    if fault:
        raise DataError(
            f"correlation_matrix: expected one with 1 on its diagonal, symmetric and positive semi-definite, saw"
            f" {FAULTS[fault]}; correlation_matrix(returns) makes one"
        )
    if not framed:
        if len(symbols) > 1 and len(symbols) != len(matrix):
            raise DataError(
                f"correlation_matrix: expected {len(symbols)} rows, of {', '.join(symbols[:5])}, saw {len(matrix)};"
                " name the rows by a DataFrame or by `symbols`"
            )
        return {symbol: i for i, symbol in enumerate(symbols)}, matrix
    where = _rows_of(Same(given.columns))
    if where != _rows_of(Same(given.index)):
        raise DataError(
            "correlation_matrix: expected the same symbols in rows and columns, saw others; sort both alike"
        )
    missing = [symbol for symbol in symbols if symbol not in where]
    if missing:
        raise DataError(
            f"correlation_matrix: expected {missing[0]} in it, saw {', '.join(list(where)[:5])}; add the symbol"
        )
    return where, matrix


@lru_cache(64)
def _rows_of(index: Same) -> Mapping[str, int]:
    """The row of each symbol; an index of pandas never changes.

    Raises:
        DataError: a name that is no symbol, or one twice.
    """
    names = [known_symbol(name) for name in index.it.tolist()]
    where = {name: i for i, name in enumerate(names)}
    if len(where) < len(names):
        raise DataError(f"correlation_matrix: expected each symbol once, saw {', '.join(names[:5])}; drop one")
    return where
