"""What a model would lose without a feature: blocks of it are shuffled on rows that the model has not seen.

Features that move together hide each other, so those that are correlated are shuffled as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ml.learning.evaluate import predicted
from ml.learning.scores import log_loss
from ml.learning.table import Table
from ml.learning.walk import Judged
from ml.scoring import scored
from utils.figures.arithmetic import Floats

#: Features whose rank correlation exceeds that, up or down, are one group.
TOGETHER = 0.7
#: Times a group is shuffled; rows of a block, and blocks of a stretch, at least.
SHUFFLES, BLOCK, FEWEST_BLOCKS = 3, 64, 4
#: Rows that are looked at, the latest of each model: enough to see what matters, and a minute at most.
MOST_ROWS = 40_000


@dataclass(frozen=True, slots=True)
class Importance:
    """One group of features."""

    names: tuple[str, ...]
    loss: float  # mean rise of the log loss when it is shuffled, nats; near 0 = the model does without
    error: float  # standard deviation over shuffles and models


def groups(x: Floats, together: float = TOGETHER) -> list[list[int]]:
    """Columns joined wherever two are rank-correlated, directly or through others; in order, NaN as the mean."""
    from scipy.stats import rankdata

    away = np.zeros(x.shape)
    for column, seen in zip(away.T, x.T, strict=True):
        known = np.isfinite(seen)
        ranks = rankdata(seen[known])
        column[known] = ranks - 0.5 * (len(ranks) + 1)
    size = np.sqrt(np.square(away).sum(axis=0))
    size[size == 0.0] = np.inf
    near = np.abs((away / size).T @ (away / size)) > together
    label = np.arange(x.shape[1])
    for i in range(x.shape[1]):
        for j in np.flatnonzero(near[i]):
            label[label == label[j]] = label[i]
    return [np.flatnonzero(label == one).tolist() for one in dict.fromkeys(label.tolist())]


def importances(judged: Sequence[Judged], seed: int) -> list[Importance]:
    """The rise of the log loss out of sample when a group of features is shuffled in blocks; greatest first.

    Formula: mean over models and shuffles of L(shuffled) - L, L the weighted log loss of both directions; rows of a
    model's stretch are cut into blocks, each at least as long as a label lives, whose order is drawn. Unit: nats.
    Empty: no labels were judged. Source: Breiman 2001; Lopez de Prado 2018, on purged rows and clusters.
    """
    most = MOST_ROWS // max(1, len(judged))
    parts = [_latest(one, most) for one in judged]
    parts = [one for one in parts if one.table.labelled.any()]
    if not parts:
        return []
    dice = np.random.default_rng(seed)
    plain = [_loss(one, one.table.x) for one in parts]
    found = []
    for columns in groups(np.concatenate([one.table.x for one in parts])):
        rises = []
        for one, loss in zip(parts, plain, strict=True):
            for _ in range(SHUFFLES):
                other = one.table.x.copy()
                other[:, columns] = other[shuffled(one.table, dice)][:, columns]
                rises.append(_loss(one, other) - loss)
        names = tuple(parts[0].table.names[k] for k in columns)
        found.append(Importance(names, float(np.mean(rises)), float(np.std(rises))))
    return sorted(found, key=lambda one: -one.loss)


def shuffled(table: Table, dice: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """An order of the rows in which blocks of neighbours have changed places."""
    n = len(table)
    life = float((table.until.max(axis=1) - table.ts).max()) / table.tf_ns * len(table.symbols)
    block = max(BLOCK, math.ceil(life))
    blocks = np.array_split(np.arange(n), min(n, max(FEWEST_BLOCKS, n // block)))
    return np.concatenate([blocks[k] for k in dice.permutation(len(blocks))])


def _latest(one: Judged, most: int) -> Judged:
    """What a model said of the last of its rows; what it took is not asked for."""
    return replace(one, table=one.table.take(slice(max(0, len(one.table) - most), None)))


def _loss(one: Judged, x: Floats) -> float:
    seen = predicted([replace(one, told=scored(one.fitted.meta, x))])
    return log_loss(seen.p, seen.y, seen.w)
