"""One meta-model from the labels that are known at a moment: learned on the earlier ones, calibrated on the later.

The win probability, the bps that may be expected and the threshold above which a trade is taken all come from rows that
the learner has not seen; a label that reaches into them is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.learning.calibration import fit_calibrator
from ml.learning.learners import fit
from ml.learning.policy import Taken, taken
from ml.learning.table import LONG, SHORT, Table
from ml.scoring import Direction, Meta, Scored, raw_scores, scored
from utils.errors import DataError
from utils.figures.arithmetic import Floats

#: Share of the known rows that calibrate, the latest.
CALIBRATION = 0.3
#: Labels of a direction, and of the rarer outcome among them, below which nothing is fitted or calibrated.
FEWEST_LABELS, FEWEST_OF_A_KIND = 100, 10
#: Thresholds that are tried: shares of the strategy's own signals, the most promising, that would be taken.
SHARES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02)
#: Trades behind a threshold, and in a block of neighbours when its error is told.
FEWEST_TRADES, BLOCK = 30, 10


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A meta-model, and what it was told when it was made."""

    meta: Meta
    base: tuple[float, float]  # weighted share of wins a direction among the rows that were learned from
    slope: tuple[float, float]  # of net on raw as fitted, before it is shrunk, bps per unit of log odds
    slope_error: tuple[float, float]  # its standard error, of as many labels as are unlike each other
    learned: int  # rows
    calibrated: int  # rows
    until: int  # the last label that it knows was over by then, ns
    calibration_trades: int  # at the threshold; 0 = no trade is worth taking
    calibration_bps: float  # mean net of them; NaN without one


def fit_meta(table: Table, family: str, fingerprint: str, *, seed: int, threads: int = 1) -> Fitted:
    """Learn, calibrate and choose a threshold on rows whose labels are all known.

    Formula: the latest 30 % of the instants calibrate; a label of the others that is over after the first of them is
    left out. p by `fit_calibrator`, expected net = a + b raw by least squares weighted with uniqueness, b shrunk to
    b max(0, 1 - (error / b)^2) and not below 0. The threshold is that of `threshold_of`.
    Source: own; positive-part shrinkage James and Stein 1961.

    Args:
        table: rows in order of time; a row without a label in a direction is left out there.
        family: one of `ml.learning.learners.FAMILIES`.
        fingerprint: of the features.
        seed: of the learner's dice.
        threads: of the learner.

    Raises:
        DataError: too few labels, or of one kind only.
    """
    instants = np.unique(table.ts)
    if len(instants) < 2:
        raise DataError(f"data set: expected decisions at several times, saw {len(instants)}; ask for more bars")
    since = instants[math.floor((1.0 - CALIBRATION) * len(instants))]
    early, late = table.take(table.ts < since), table.take(table.ts >= since)
    known = early.labelled & (early.until <= since)
    ways, bases, slopes, errors = [], [], [], []
    for way in (LONG, SHORT):
        name = ("long", "short")[way]
        won = _enough(early, known[:, way], way, f"{name} labels to learn from")
        rows, later = known[:, way], late.labelled[:, way]
        _enough(late, later, way, f"{name} labels to calibrate on")
        learner = fit(family, early.x[rows], won, early.weight[rows, way], seed=seed, threads=threads)
        raw = raw_scores(learner, late.x[later])
        weight = late.weight[later, way]
        calibrator = fit_calibrator(raw, late.won[later, way], weight)
        intercept, slope, fitted, error = expectation(raw, late.net[later, way], weight)
        ways.append(Direction(learner, calibrator, intercept, slope))
        bases.append(float(np.average(won, weights=early.weight[rows, way])))
        slopes.append(fitted)
        errors.append(error)
    meta = Meta(table.names, fingerprint, family, ways[LONG], ways[SHORT], math.inf)
    threshold, told = threshold_of(late, scored(meta, late.x))
    meta = Meta(table.names, fingerprint, family, ways[LONG], ways[SHORT], threshold)
    return Fitted(
        meta,
        (bases[LONG], bases[SHORT]),
        (slopes[LONG], slopes[SHORT]),
        (errors[LONG], errors[SHORT]),
        learned=int(known.any(axis=1).sum()),
        calibrated=len(late),
        until=int(max(table.ts[-1], table.until.max())),
        calibration_trades=len(told.net),
        calibration_bps=float(told.net.mean()) if len(told.net) else math.nan,
    )


def _enough(part: Table, rows: NDArray[np.bool_], way: int, what: str) -> Floats:
    """Whether the labels of a direction were won.

    Raises:
        DataError: too few of them, or of one kind only.
    """
    won: Floats = part.won[rows, way]
    of_a_kind = int(min(won.sum(), len(won) - won.sum()))
    if len(won) < FEWEST_LABELS or of_a_kind < FEWEST_OF_A_KIND:
        raise DataError(
            f"data set: expected at least {FEWEST_LABELS} {what}, {FEWEST_OF_A_KIND} of them won and as many lost, saw "
            f"{len(won)}, of which {int(won.sum())} won; ask for more bars, or other barriers"
        )
    return won


def expectation(raw: Floats, net: Floats, weight: Floats) -> tuple[float, float, float, float]:
    """What a trade nets by its raw score: intercept and shrunk slope, and the slope as fitted with its error.

    Formula: b = sum w (x - mx)(y - my) / sum w (x - mx)^2; its variance sum w (y - a - b x)^2 / sum w over
    sum w (x - mx)^2, since overlapping labels count by how unlike they are; shrunk b = b max(0, 1 - var / b^2), 0 where
    b is not above 0; a = my - b mx. Unit: bps, bps per unit of log odds.

    Args:
        raw: scores, log odds.
        net: what the trades earned, bps.
        weight: uniqueness of each.
    """
    total = float(weight.sum())
    middle, mean = float(weight @ raw) / total, float(weight @ net) / total
    away = raw - middle
    spread = float(weight @ (away * away))
    # a score that does not vary beyond rounding says nothing
    if not spread > 1e-18 * total * (1.0 + middle * middle):
        return mean, 0.0, 0.0, math.inf
    slope = float(weight @ (away * (net - mean))) / spread
    left = net - mean - slope * away
    variance = float(weight @ (left * left)) / total / spread
    shrunk = slope * max(0.0, 1.0 - variance / (slope * slope)) if slope > 0.0 else 0.0
    return mean - shrunk * middle, shrunk, slope, math.sqrt(variance)


def threshold_of(table: Table, told: Scored) -> tuple[float, Taken]:
    """From how many expected bps on the strategy's signals are worth taking, and the trades behind that.

    Formula: of the thresholds that let the most promising 100, 50, 20, 10, 5 and 2 % of the allowed signals through,
    none of them below 0, the one whose trades have the highest mean less its standard error, by blocks of ten trades;
    that must be above 0, of at least 30 trades. inf: there is none, so no trade. Unit: bps.
    Source: the one-standard-error rule, Breiman et al. 1984.
    """
    best = np.where(table.allowed, told.bps, -np.inf).max(axis=1)
    best = best[np.isfinite(best)]
    found, chosen, most = math.inf, taken(table, told, math.inf), 0.0
    if len(best) == 0:
        return found, chosen
    for level in dict.fromkeys(max(0.0, float(np.quantile(best, 1.0 - share))) for share in SHARES):
        trades = taken(table, told, level)
        if len(trades.net) < FEWEST_TRADES:
            continue
        low = float(trades.net.mean()) - block_error(trades.net, BLOCK)
        if low > most:
            found, chosen, most = level, trades, low
    return found, chosen


def block_error(values: Floats, block: int) -> float:
    """Standard error of a mean whose neighbours hang together: that of the means of blocks, none thrown away.

    Formula: sqrt(sum (S_j - n_j m)^2 / n^2 * B / (B - 1)) over B blocks of sums S_j. Unit: that of the values.
    NaN: fewer than two blocks. Source: batch means, Law and Kelton 1982.
    """
    cuts = np.arange(0, len(values), block)
    if len(cuts) < 2:
        return math.nan
    sums = np.add.reduceat(values - values.mean(), cuts)
    return math.sqrt(float(sums @ sums) * len(cuts) / (len(cuts) - 1)) / len(values)
