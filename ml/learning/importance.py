"""What a model would lose without a feature: blocks of it are shuffled on rows that the model has not seen.

Features that move together hide each other, so those that are correlated are shuffled as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.learning.scores import log_loss
from ml.learning.table import LONG, SHORT
from ml.learning.walk import Judged
from ml.scoring import scored
from utils.figures.arithmetic import Floats

#: Features whose rank correlation exceeds that are one group.
TOGETHER = 0.7
#: Times a group is shuffled, and rows of a block, at least as long as a label lives.
SHUFFLES, BLOCK = 3, 64


@dataclass(frozen=True, slots=True)
class Importance:
    """One group of features."""

    names: tuple[str, ...]
    loss: float  # mean rise of the log loss when it is shuffled, nats; near 0 = the model does without
    error: float  # standard deviation over shuffles and models


def groups(x: Floats, together: float = TOGETHER) -> list[list[int]]:
    """Columns joined wherever two are rank-correlated, directly or through others; each group in order, NaN as the mean."""
    from scipy.stats import rankdata

    ranks = rankdata(np.where(np.isfinite(x), x, np.nan), axis=0, nan_policy="omit")
    ranks = np.where(np.isfinite(x), ranks, np.nan)
    with np.errstate(invalid="ignore"):
        means = np.array(
            [np.mean(column[np.isfinite(column)]) if np.isfinite(column).any() else 0.0 for column in ranks.T]
        )
    away = np.where(np.isfinite(ranks), ranks - means, 0.0)
    size = np.sqrt((away * away).sum(axis=0))
    size[size == 0.0] = np.inf
    near = np.abs((away / size).T @ (away / size)) > together
    label = np.arange(x.shape[1])
    for i in range(x.shape[1]):
        for j in np.flatnonzero(near[i]):
            label[label == label[j]] = label[i]
    return [np.flatnonzero(label == one).tolist() for one in dict.fromkeys(label.tolist())]


def importances(judged: Sequence[Judged], seed: int, block: int = BLOCK) -> list[Importance]:
    """The rise of the log loss out of sample when a group of features is shuffled in blocks; greatest first.

    Formula: mean over models and shuffles of L(shuffled) - L, L the weighted log loss of both directions; rows of a
    model's stretch are cut into blocks whose order is drawn. Unit: nats. Source: Breiman 2001; Lopez de Prado 2018,
    on purged rows and clusters.
    """
    dice = np.random.default_rng(seed)
    first = judged[0]
    found = []
    for columns in groups(np.concatenate([one.table.x for one in judged])):
        rises = []
        for one in judged:
            plain = _loss(one, one.table.x)
            for _ in range(SHUFFLES):
                other = one.table.x.copy()
                blocks = np.array_split(np.arange(len(other)), max(1, len(other) // block))
                order = np.concatenate([blocks[k] for k in dice.permutation(len(blocks))])
                other[:, columns] = other[order][:, columns]
                rises.append(_loss(one, other) - plain)
        names = tuple(first.table.names[k] for k in columns)
        found.append(Importance(names, float(np.mean(rises)), float(np.std(rises))))
    return sorted(found, key=lambda one: -one.loss)


def _loss(one: Judged, x: Floats) -> float:
    told = scored(one.fitted.meta, x)
    known = one.table.labelled
    p = np.concatenate([told.p[known[:, way], way] for way in (LONG, SHORT)])
    y = np.concatenate([one.table.won[known[:, way], way] for way in (LONG, SHORT)])
    w = np.concatenate([one.table.weight[known[:, way], way] for way in (LONG, SHORT)])
    return log_loss(p, y, w)
