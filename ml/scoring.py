"""The meta-model as a value: of either direction a score, a win probability, and bps that may be expected after costs.

Everything here is numbers: what is saved is what is said, and no code comes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from utils.figures.arithmetic import Floats

Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """The base rate: the same score whatever the features."""

    raw: float  # log odds


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Logistic regression on standardised features: raw = bias + sum_j weight_j (x_j - mean_j) / scale_j.

    A feature that is NaN counts as its mean.
    """

    mean: Floats  # f
    scale: Floats  # f, above 0
    weight: Floats  # f
    bias: float  # log odds


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Gradient-boosted trees, as LightGBM writes them: raw = sum over trees, in order, of the leaf that x falls into.

    Nodes of all trees stand one after the other. A child >= 0 is a node of the same tree's numbering, offset already
    added; a child < 0 is leaf ~child, offset already added.
    """

    root: Whole  # of each tree: its first node, or ~leaf where it has no split
    feature: Whole  # of each node: column of x
    threshold: Floats  # of each node: x <= threshold goes left
    kind: Whole  # of each node: LightGBM's decision_type (bit 0 categorical, bit 1 default left, bits 2-3 missing type)
    left: Whole
    right: Whole
    leaf: Floats  # value of each leaf, log odds


@dataclass(frozen=True, slots=True, eq=False)
class Platt:
    """p = 1 / (1 + exp(a raw + b)). Source: Platt 1999."""

    a: float
    b: float


@dataclass(frozen=True, slots=True, eq=False)
class Knots:
    """Isotonic: p of raw by straight lines between knots, flat outside. Source: Zadrozny and Elkan 2002."""

    x: Floats  # ascending, log odds
    y: Floats  # ascending, probabilities within [.01, .99]


Learner: TypeAlias = Constant | Linear | Trees
Calibrator: TypeAlias = Platt | Knots


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """One direction: a learner's raw score, made a probability and bps by what came after its training."""

    learner: Learner
    calibrator: Calibrator
    intercept: float  # expected net = intercept + slope raw, bps
    slope: float  # bps per unit of log odds, >= 0


@dataclass(frozen=True, slots=True, eq=False)
class Meta:
    """Both directions, and from how many bps on a trade is worth taking."""

    names: tuple[str, ...]  # of the features, in order
    fingerprint: str  # of the features, as `features.registry.fingerprint`
    family: str  # base, logistic or lightgbm
    long: Direction
    short: Direction
    threshold_bps: float  # a trade is taken where it expects at least that; inf = none is
