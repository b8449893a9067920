"""Which rows train and which test, so that no label that trains overlaps one that tests.

Rows are decisions in order of `start`; the label of row i stands for [start[i], end[i]) and is known at its end. Times
are whole numbers of one unit: ns, or numbers of rows. Several rows may share an instant, one a symbol; no cut parts
them.
Source: Lopez de Prado 2018, chapters 7 and 12.
"""

from __future__ import annotations

from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from utils.errors import DataError

Whole: TypeAlias = NDArray[np.int64]
#: Rows that train, rows that test; both ascending.
Split: TypeAlias = tuple[Whole, Whole]


def purged_kfold(start: Whole, end: Whole, folds: int, embargo: int = 0) -> list[Split]:
    """Each of `folds` stretches of neighbours is tested once, by what is left of all others.

    A row does not train where its label's interval meets [first start, last end) of the tested stretch, nor where it
    starts within `embargo` after the stretch's last start. The first n mod folds stretches are a row longer.

    Args:
        start: of each row, ascending.
        end: of each row, not before its start.
        folds: at least 2.
        embargo: in the unit of `start`, >= 0.

    Raises:
        DataError: too few instants, or a split without a row to train on.
        ValueError: a number that cannot be meant.
    """
    return cpcv(start, end, folds, 1, embargo)


def cpcv(start: Whole, end: Whole, groups: int, test_groups: int, embargo: int = 0) -> list[Split]:
    """Each choice of `test_groups` out of `groups` stretches is tested once: combinatorial purged cross-validation.

    Purge, embargo, arguments and errors as in `purged_kfold`, at each tested stretch. Splits are in the order of
    `itertools.combinations`; `cpcv_paths` puts their tests together.
    """
    _check(start, end)
    if not 1 <= test_groups < groups:
        raise ValueError(f"expected 1 <= test groups < groups, got {test_groups} of {groups}")
    if embargo < 0:
        raise ValueError(f"expected an embargo of 0 or more, got {embargo}")
    firsts = _firsts(start, 0, groups)
    return [
        _told(_purged(start, end, firsts, tested, embargo), firsts, tested)
        for tested in combinations(range(groups), test_groups)
    ]


def cpcv_paths(groups: int, test_groups: int) -> Whole:
    """Which split of `cpcv` tests each stretch on each path through all data; paths x groups.

    A stretch is tested by C(groups - 1, test_groups - 1) splits; path j takes the j-th of them.
    """
    tested = list(combinations(range(groups), test_groups))
    return np.array([[i for i, chosen in enumerate(tested) if group in chosen] for group in range(groups)]).T


def walk_forward(start: Whole, end: Whole, folds: int, first: float = 0.5) -> list[Split]:
    """Each of `folds` stretches of what follows the first rows is tested by all rows whose labels were known before.

    A row trains where its `end` is not after the first start of the tested stretch. Nothing later trains, so there is
    no embargo.

    Args:
        start: of each row, ascending.
        end: of each row, not before its start.
        folds: at least 1.
        first: share of rows before the first test, within (0, 1).

    Raises:
        DataError: too few instants, or a split without a row to train on.
        ValueError: a number that cannot be meant.
    """
    _check(start, end)
    if not 0.0 < first < 1.0:
        raise ValueError(f"expected a share of rows within (0, 1) before the first test, got {first}")
    if folds < 1:
        raise ValueError(f"expected at least 1 fold, got {folds}")
    firsts = _firsts(start, round(len(start) * first), folds)
    if firsts[0] == 0:
        raise DataError(f"expected rows before the first test, saw none of {len(start)}; use more data")
    return [_told(end[: firsts[fold]] <= start[firsts[fold]], firsts, (fold,)) for fold in range(folds)]


def _check(start: Whole, end: Whole) -> None:
    """Refuse rows out of order, and labels known before their decision."""
    if len(start) != len(end):
        raise ValueError(f"expected an end for each of {len(start)} rows, got {len(end)}")
    if start.dtype.kind not in "iu" or end.dtype.kind not in "iu":
        raise ValueError(f"expected whole numbers as times, got {start.dtype} and {end.dtype}")
    if np.any(start[1:] < start[:-1]):
        raise ValueError(
            f"expected rows in order of start, row {int(np.argmax(start[1:] < start[:-1])) + 1} is earlier"
        )
    if np.any(end < start):
        raise ValueError(f"expected labels known after their decision, row {int(np.argmax(end < start))} is before")


def _firsts(start: Whole, begin: int, parts: int) -> Whole:
    """First row of each of `parts` stretches of rows begin.., and the row after the last; no cut parts an instant."""
    n = len(start)
    sizes = np.full(parts, (n - begin) // parts, dtype=np.int64)
    sizes[: (n - begin) % parts] += 1
    firsts = np.concatenate(([0], np.cumsum(sizes))) + begin
    firsts[:-1] = np.searchsorted(start, start[np.minimum(firsts[:-1], n - 1)]) if n else 0
    if np.any(firsts[1:] <= firsts[:-1]):
        raise DataError(
            f"expected {parts} stretches of whole instants, saw {n} rows at {len(np.unique(start))} instants; use "
            "more data or fewer folds"
        )
    return firsts


def _purged(start: Whole, end: Whole, firsts: Whole, tested: tuple[int, ...], embargo: int) -> NDArray[np.bool_]:
    """Which rows train where some stretches are tested."""
    trains = np.ones(len(start), dtype=np.bool_)
    for group in tested:
        rows = slice(firsts[group], firsts[group + 1])
        opened, last, closed = start[rows][0], start[rows][-1], np.max(end[rows])
        trains &= (end <= opened) | (start >= closed)
        trains &= (start <= last) | (start - last > embargo)
        trains[rows] = False
    return trains


def _told(trains: NDArray[np.bool_], firsts: Whole, tested: tuple[int, ...]) -> Split:
    """A split as indices."""
    train = np.flatnonzero(trains).astype(np.int64)
    if len(train) == 0:
        raise DataError(
            f"expected rows to train on beside stretch {tested[0] + 1} of {len(firsts) - 1}, saw none that purge and "
            "embargo leave; use more data, fewer folds or shorter labels"
        )
    return train, np.concatenate([np.arange(firsts[group], firsts[group + 1], dtype=np.int64) for group in tested])
