"""What others would have said of the rows of a walk: the base rate, three features, a model that knows less."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ml.learning.evaluate import predicted
from ml.learning.fit import fit_meta
from ml.learning.scores import brier_skill, log_loss
from ml.learning.table import Table
from ml.learning.walk import Judged, judge, known_at
from ml.scoring import scored
from utils.errors import DataError

#: Shares of the history, the latest part of it, that models of a learning curve know.
SHARES = (0.125, 0.25, 0.5, 1.0)
#: Features of the simplest model: where the last bar went, how far off the price is, how much it moves.
SIMPLE = ("return_1_bps", "zscore_20", "ewma_vol_20_bps")


@dataclass(frozen=True, slots=True)
class Point:
    """One model of a learning curve, on the rows of the last step of the walk."""

    share: float  # of the history
    learned: int  # rows that it learned from; 0 = too few to fit
    log_loss: float  # nats; NaN = not fitted
    skill: float  # Brier skill over the base rate that it knew


def instead(
    judged: Sequence[Judged],
    table: Table,
    family: str,
    fingerprint: str,
    *,
    seed: int,
    threads: int = 1,
    names: Sequence[str] | None = None,
) -> list[Judged]:
    """The same rows judged by models of another family, or of fewer features, that knew what those before them knew.

    Args:
        judged: the walk in whose place another is made.
        table: all decisions, in order of (ts, sym).
        family: learner.
        fingerprint: of the features.
        seed: of the learner's dice.
        threads: of the learner.
        names: features that are used; None = all.

    Raises:
        DataError: the table has too few labels from before one of the steps.
    """
    columns = [table.names.index(name) for name in (table.names if names is None else names)]
    busy = np.zeros(len(table.symbols), np.int64)
    found = []
    for one in judged:
        known, rows = (
            replace(part, names=tuple(part.names[k] for k in columns), x=part.x[:, columns])
            for part in (known_at(table, one.fitted.until), one.table)
        )
        found.append(judge(fit_meta(known, family, fingerprint, seed=seed, threads=threads), rows, busy))
    return found


def simple(names: Sequence[str]) -> tuple[str, ...]:
    """The three features of the simplest model; the first three where those are not there."""
    found = tuple(name for name in SIMPLE if name in names)
    return found if len(found) == len(SIMPLE) else tuple(names[: len(SIMPLE)])


def learning_curve(
    judged: Sequence[Judged], table: Table, family: str, fingerprint: str, *, seed: int, threads: int = 1
) -> list[Point]:
    """How good models are on the last step's rows that know an eighth, a quarter, half and all of what was known then.

    The latest part is known. Empty: no rows were judged.

    Args:
        judged: a walk.
        table: all decisions, in order of (ts, sym).
        family: learner.
        fingerprint: of the features.
        seed: of the learner's dice.
        threads: of the learner.
    """
    last = next((one for one in reversed(judged) if one.table.labelled.any()), None)
    if last is None:
        return []
    history = known_at(table, last.fitted.until)
    instants = np.unique(history.ts)
    found = []
    for share in SHARES:
        since = instants[math.floor((1.0 - share) * len(instants))] if len(instants) else 0
        part = history.take(history.ts >= since)
        try:
            fitted = fit_meta(part, family, fingerprint, seed=seed, threads=threads)
        except DataError:
            found.append(Point(share, 0, math.nan, math.nan))
            continue
        seen = predicted([replace(last, fitted=fitted, told=scored(fitted.meta, last.table.x))])
        found.append(
            Point(
                share, fitted.learned, log_loss(seen.p, seen.y, seen.w), brier_skill(seen.p, seen.y, seen.w, seen.base)
            )
        )
    return found
