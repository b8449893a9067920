"""Raw scores made probabilities, by what came after the training.

Fit on rows that trained nothing and are later than those that did. Scores are log odds, outcomes y are 0 or 1, weights
w are >= 0 (average uniqueness of a label): all sums are weighted, a weight of 1/2 counts as half an observation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ml.scoring import Calibrator, Knots, Platt
from utils.errors import DataError
from utils.figures.arithmetic import Floats

#: A probability nearer to 0 or 1 counts as that near: its logarithm is finite.
NEAREST = 1e-15
#: Isotonic probabilities stay within: a level that saw no loss is no promise.
LOWEST, HIGHEST = 0.01, 0.99
#: No score is as large: squares of scores are finite.
MOST = 1e100
#: Winners from which on isotonic steps are worth their freedom. Source: Niculescu-Mizil and Caruana 2005.
ENOUGH_POSITIVES = 1000
#: Newton's steps; few are needed, and one that halves is counted once.
MOST_STEPS = 100
#: A ridge, as a share of the weight, that no figure shows; it keeps a column without spread at a coefficient of 0.
RIDGE = 1e-12


def fit_calibrator(raw: Floats, y: Floats, w: Floats | None = None) -> Calibrator:
    """Platt's two numbers where the winners weigh less than 1000, isotonic knots from there on; errors as of either."""
    weight = _weights(raw, y, w)
    return fit_isotonic(raw, y, w) if float(np.sum(weight * y)) >= ENOUGH_POSITIVES else fit_platt(raw, y, w)


def fit_platt(raw: Floats, y: Floats, w: Floats | None = None) -> Platt:
    """Platt's sigmoid p = 1 / (1 + exp(a raw + b)), of largest likelihood for smoothed targets.

    The target of a winner is (n+ + 1) / (n+ + 2), of a loser 1 / (n- + 2), where n+ and n- are their weights; so a
    perfect order has a finite answer, and one class alone gives a = 0. Source: Platt 1999.

    Raises:
        DataError: nothing to calibrate on.
        ValueError: a number that cannot be meant.
    """
    weight = _weights(raw, y, w)
    positive, negative = float(np.sum(weight * y)), float(np.sum(weight * (1.0 - y)))
    target = np.where(y > 0.5, (positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0))
    slope, intercept = logistic(raw[:, None], target, weight)
    return Platt(-slope, -intercept)


def fit_logistic(raw: Floats, y: Floats, w: Floats | None = None) -> tuple[float, float]:
    """Slope and intercept of log odds = intercept + slope raw, of largest likelihood; errors as of `fit_platt`.

    A score that parts winners from losers has no finite answer: then the slope is as large as sixteen digits can tell.
    """
    slope, intercept = logistic(raw[:, None], y, _weights(raw, y, w))
    return slope, intercept


def fit_isotonic(raw: Floats, y: Floats, w: Floats | None = None) -> Knots:
    """Least-squares steps that never fall, within [.01, .99], as knots; equal scores share one mean.

    Errors as of `fit_platt`. Source: Zadrozny and Elkan 2002.
    """
    from sklearn.isotonic import IsotonicRegression

    weight = _weights(raw, y, w)
    fit = IsotonicRegression(y_min=LOWEST, y_max=HIGHEST).fit(raw, y, weight)
    return Knots(np.asarray(fit.X_thresholds_, np.float64), np.asarray(fit.y_thresholds_, np.float64))


def venn_abers(raw: Floats, y: Floats, at: Floats, w: Floats | None = None) -> tuple[Floats, Floats]:
    """Two probabilities for each score of `at`, as if it had lost and as if it had won: p0 <= p1.

    p0 and p1 are isotonic fits with that one observation added, of weight 1. p1 / (1 - p0 + p1) is one probability of
    the two, p1 - p0 says how little is known. Two fits a score. Errors as of `fit_platt`. Source: Vovk and Petej 2014.
    """
    from sklearn.isotonic import IsotonicRegression

    weight = np.append(_weights(raw, y, w), 1.0)
    p0, p1 = np.empty(len(at)), np.empty(len(at))
    for i, score in enumerate(at):
        for out, outcome in ((p0, 0.0), (p1, 1.0)):
            fit = IsotonicRegression().fit(np.append(raw, score), np.append(y, outcome), weight)
            out[i] = fit.predict([score])[0]
    return p0, p1


@dataclass(frozen=True, slots=True)
class Beta:
    """Beta calibration of a probability: log odds = a ln p - b ln(1 - p) + c. Source: Kull, Silva Filho, Flach 2017."""

    a: float  # >= 0
    b: float  # >= 0
    c: float  # log odds

    def probability(self, p: Floats) -> Floats:
        """The calibrated probabilities of some."""
        above, below = beta_columns(p).T
        return _sigmoid(self.a * above + self.b * below + self.c)


def fit_beta(p: Floats, y: Floats, w: Floats | None = None) -> Beta:
    """Beta calibration of largest likelihood; of a and b, one that would be negative is 0 and the rest is fit again.

    Errors as of `fit_platt`; p within [0, 1].
    """
    weight = _weights(p, y, w)
    columns = beta_columns(p)
    a, b, c = logistic(columns, y, weight)
    if a < 0.0:
        a, (b, c) = 0.0, logistic(columns[:, 1:], y, weight)
    elif b < 0.0:
        b, (a, c) = 0.0, logistic(columns[:, :1], y, weight)
    if min(a, b) < 0.0:  # the reduced one falls, too: nothing of the order is left
        a, b, (c,) = 0.0, 0.0, logistic(columns[:, :0], y, weight)
    return Beta(a, b, c)


def beta_columns(p: Floats) -> Floats:
    """The logarithms ln p and -ln(1 - p), n x 2, which sum to the log odds; p kept at least 1e-15 from 0 and 1."""
    near = np.clip(p, NEAREST, 1.0 - NEAREST)
    return np.column_stack([np.log(near), -np.log1p(-near)])


def logistic(columns: Floats, target: Floats, w: Floats) -> tuple[float, ...]:
    """Coefficients of each column, then the intercept, of the largest weighted likelihood of targets within [0, 1].

    Newton's method on standardised columns, a step halved until it does not lose. A column without spread has 0.
    """
    total = float(np.sum(w))
    mean = w @ columns / total
    spread = np.sqrt(w @ np.square(columns - mean) / total)
    spread = np.where(spread > 1e-12 * (1.0 + np.abs(mean)), spread, np.inf)
    design = np.column_stack([(columns - mean) / spread, np.ones(len(columns))])
    ridge = RIDGE * total * np.eye(design.shape[1])

    def loss(at: Floats) -> float:
        odds = design @ at
        return float(w @ (np.logaddexp(0.0, odds) - target * odds)) + 0.5 * float(at @ ridge @ at)

    at = np.zeros(design.shape[1])
    now = loss(at)
    for _ in range(MOST_STEPS):
        p = _sigmoid(design @ at)
        slope = design.T @ (w * (p - target)) + ridge @ at
        step = np.linalg.solve((design * (w * p * (1.0 - p))[:, None]).T @ design + ridge, slope)
        size = 1.0
        while (then := loss(at - size * step)) > now and size > 1e-8:
            size *= 0.5
        if not then < now:
            break
        at, now = at - size * step, then
    coefficients = at[:-1] / spread
    return (*coefficients.tolist(), float(at[-1] - coefficients @ mean))


def weights_of(
    said: Floats, y: Floats, w: Floats | None = None, within: tuple[float, float] = (-math.inf, math.inf)
) -> Floats:
    """The weights of what was said and of what happened, 1 each where none are given.

    Raises:
        ValueError: lengths that differ, a `said` that is NaN or not `within`, another outcome than 0 and 1, a weight
            that is not finite or below 0.
    """
    weight = np.ones(len(said)) if w is None else np.asarray(w, np.float64)
    if not len(said) == len(y) == len(weight):
        raise ValueError(f"expected an outcome and a weight for each of {len(said)} rows, got {len(y)}, {len(weight)}")
    meant = {
        f"scores within [{within[0]:g}, {within[1]:g}]": (said >= within[0]) & (said <= within[1]),
        "outcomes of 0 or 1": (y == 0.0) | (y == 1.0),
        "finite weights of 0 or more": np.isfinite(weight) & (weight >= 0.0),
    }
    for what, is_so in meant.items():
        if not np.all(is_so):
            raise ValueError(f"expected {what}, row {int(np.argmin(is_so))} is not")
    return weight


def _weights(raw: Floats, y: Floats, w: Floats | None) -> Floats:
    """The weights to fit with: there is something to fit."""
    weight = weights_of(raw, y, w, (-MOST, MOST))
    if not np.sum(weight) > 0.0:
        raise DataError("expected labels to calibrate on, saw none; use more data")
    return weight


def _sigmoid(odds: Floats) -> Floats:
    """1 / (1 + exp(-odds)), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * odds)
