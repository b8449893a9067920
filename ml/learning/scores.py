"""How good probabilities are: proper scores, their parts, and how often what is said happens.

p are probabilities within [0, 1], outcomes y are 0 or 1, weights w are >= 0, 1 each where none are given. A weight is
how much of an observation a row is (average uniqueness of its label). NaN = not computable: no rows, no weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ml.learning.calibration import NEAREST, beta_columns, fit_logistic, weights_of
from utils.figures.arithmetic import Floats, ratio_or_nan, wilson_interval

#: Equal-mass bins of a reliability diagram.
BINS = 10


def brier(p: Floats, y: Floats, w: Floats | None = None) -> float:
    """Mean squared error of probabilities: mean((p - y)^2), 0-1, less is better. Source: Brier 1950."""
    return _mean(np.square(p - y), _weights(p, y, w))


def brier_skill(p: Floats, y: Floats, w: Floats | None = None, base: float | Floats | None = None) -> float:
    """Share of the base rate's error that is gone: 1 - Brier(p) / Brier(base); above 0 is better than the base rate.

    Args:
        p: probabilities.
        y: outcomes.
        w: weights.
        base: what would be said without looking, one probability or one a row; None = the rate of `y` itself, which is
            harder to beat than any rate known before.
    """
    weight = _weights(p, y, w)
    without = np.full(len(y), _mean(y, weight)) if base is None else np.broadcast_to(base, len(y)).astype(np.float64)
    if base is not None:
        _weights(without, y, w)
    return 1.0 - ratio_or_nan(brier(p, y, w), _mean(np.square(without - y), weight))


def log_loss(p: Floats, y: Floats, w: Floats | None = None) -> float:
    """Mean surprise: -mean(y ln p + (1 - y) ln(1 - p)), nats, less is better.

    A p nearer than 1e-15 to 0 or 1 counts as that near, so that a wrong certainty costs 34.5 and not infinity.
    """
    weight = _weights(p, y, w)
    near = np.clip(p, NEAREST, 1.0 - NEAREST)
    return _mean(-np.where(y > 0.5, np.log(near), np.log1p(-near)), weight)


def auc(p: Floats, y: Floats, w: Floats | None = None) -> float:
    """Probability that a winner was given more than a loser, a tie counting half: the area under the ROC curve.

    0-1, 0.5 = no order; any score will do as p; NaN without a winner or a loser.
    """
    weight = weights_of(p, y, w)
    levels, level = np.unique(p, return_inverse=True)
    won = np.bincount(level, weight * y, len(levels))
    lost = np.bincount(level, weight * (1.0 - y), len(levels))
    ahead = float(won @ (np.cumsum(lost) - 0.5 * lost))
    return ratio_or_nan(ahead, float(np.sum(won)) * float(np.sum(lost)))


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Bins of equal numbers of rows, in order of p, as arrays beside each other; bins without weight are left out."""

    p: Floats  # mean of what was said
    rate: Floats  # share that won
    weight: Floats  # observations
    low: Floats  # 95 % Wilson interval of the rate, observations counted by weight
    high: Floats


def reliability(p: Floats, y: Floats, w: Floats | None = None, bins: int = BINS) -> Reliability:
    """What was said beside what happened, in bins of equal numbers of rows: `numpy.array_split` of the stable order."""
    weight = _weights(p, y, w)
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, bins) if np.sum(weight[part]) > 0.0]
    rows = np.empty((5, len(parts)))
    for i, part in enumerate(parts):
        n, rate = float(np.sum(weight[part])), _mean(y[part], weight[part])
        rows[:, i] = (_mean(p[part], weight[part]), rate, n, *wilson_interval(rate * n, n))
    return Reliability(*rows)


def ece(p: Floats, y: Floats, w: Floats | None = None, bins: int = BINS) -> float:
    """Expected calibration error: mean over equal-mass bins, by weight, of |mean p - rate|; 0-1.

    It is above 0 for perfect probabilities, too: some 0.4 sqrt(bins / n). Source: Naeini, Cooper, Hauskrecht 2015.
    """
    of = reliability(p, y, w, bins)
    return _mean(np.abs(of.p - of.rate), of.weight)


def reliability_line(p: Floats, y: Floats, w: Floats | None = None) -> tuple[float, float]:
    """Slope and intercept of the outcome's log odds on those of p; 1 and 0 where p is calibrated.

    A slope below 1 says that p is bolder than it should be. NaN, NaN without a winner, a loser, or a spread of p.
    Source: Cox 1958.
    """
    weight = _weights(p, y, w)
    odds = np.sum(beta_columns(p), axis=1)
    seen = weight > 0.0
    if not np.any(seen) or np.ptp(y[seen]) == 0.0 or np.ptp(odds[seen]) == 0.0:
        return math.nan, math.nan
    return fit_logistic(odds, y, w)


@dataclass(frozen=True, slots=True)
class Murphy:
    """Parts of the Brier score over bins: it is reliability - resolution + uncertainty, but for what bins hide."""

    reliability: float  # what is lost by saying more or less than happens; 0 is best
    resolution: float  # what is won by telling rows apart
    uncertainty: float  # of the outcome itself: rate (1 - rate)


def murphy(p: Floats, y: Floats, w: Floats | None = None, bins: int = BINS) -> Murphy:
    """The three parts of the Brier score over equal-mass bins. Source: Murphy 1973."""
    of = reliability(p, y, w, bins)
    rate = _mean(of.rate, of.weight)
    return Murphy(
        _mean(np.square(of.p - of.rate), of.weight), _mean(np.square(of.rate - rate), of.weight), rate * (1.0 - rate)
    )


def _mean(values: Floats, weight: Floats) -> float:
    """Weighted mean; NaN without a weight."""
    return ratio_or_nan(float(weight @ values), float(np.sum(weight)))


def _weights(p: Floats, y: Floats, w: Floats | None) -> Floats:
    """The weights of probabilities."""
    return weights_of(p, y, w, (0.0, 1.0))
