"""Combinatorial purged cross-validation: not one walk through a history but several, to see how much of it is chance.

Secondary evidence: models that learned from later rows judge earlier ones, which nobody could have done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ml.learning.evaluate import predicted, trades_of
from ml.learning.fit import fit_meta
from ml.learning.policy import taken
from ml.learning.scores import brier_skill
from ml.learning.splits import cpcv, cpcv_paths
from ml.learning.table import Table
from ml.learning.walk import Judged
from ml.scoring import scored
from utils.figures.arithmetic import mean_or_nan

#: Stretches of a history, and how many of them each fit leaves out: 15 fits, 5 paths.
GROUPS, LEFT_OUT = 6, 2


@dataclass(frozen=True, slots=True)
class Paths:
    """One value a path, each through the whole history."""

    skill: tuple[float, ...]  # Brier skill over the base rate that each model knew
    net_bps: tuple[float, ...]  # mean net of the trades above each model's threshold; NaN = none was taken
    trades: tuple[int, ...]


def paths(
    table: Table,
    family: str,
    fingerprint: str,
    embargo_ns: int,
    *,
    seed: int,
    threads: int = 1,
    progressed: Callable[[float, float], None] | None = None,
) -> Paths:
    """CPCV(6, 2) of one configuration: a label that meets a tested stretch is not learned from.

    Source: Lopez de Prado 2018, chapter 12.

    Args:
        table: decisions in order of (ts, sym).
        family: learner.
        fingerprint: of the features.
        embargo_ns: how long after a tested stretch nothing is learned from, ns.
        seed: of the learner's dice.
        threads: of the learner.
        progressed: told how many of the fits are done.

    Raises:
        DataError: too few rows or labels for one of the fits.
    """
    end = np.maximum(table.until.max(axis=1), table.ts)
    stretches = [table.take(rows) for _, rows in cpcv(table.ts, end, GROUPS, 1)]
    splits = cpcv(table.ts, end, GROUPS, LEFT_OUT, embargo_ns)
    tested: dict[tuple[int, int], Judged] = {}
    for k, groups in enumerate(combinations(range(GROUPS), LEFT_OUT)):
        fitted = fit_meta(table.take(splits[k][0]), family, fingerprint, seed=seed, threads=threads)
        for group in groups:
            rows = stretches[group]
            told = scored(fitted.meta, rows.x)
            tested[k, group] = Judged(fitted, rows, told, taken(rows, told, fitted.meta.threshold_bps))
        if progressed is not None:
            progressed(k + 1, len(splits))
    ways = [[tested[int(k), group] for group, k in enumerate(path)] for path in cpcv_paths(GROUPS, LEFT_OUT)]
    seen = [predicted(way) for way in ways]
    nets = [trades_of(way) for way in ways]
    return Paths(
        tuple(brier_skill(one.p, one.y, one.w, one.base) for one in seen),
        tuple(map(mean_or_nan, nets)),
        tuple(map(len, nets)),
    )
