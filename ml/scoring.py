"""The meta-model as a value: in either direction a score, a win probability, and bps to be expected after costs.

Everything here is numbers: what is saved is what is said, and no code comes with it. One compiled function scores a
row, `row_score`; whole tables, the loop of a run and a single close all call it, so they give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from utils.compiled import compiled, inlined
from utils.errors import DataError
from utils.figures.arithmetic import Floats
from utils.rows import Rows, layout_of

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

    text: str  # the model as LightGBM wrote it: what is saved
    features: int  # columns of x
    root: Whole  # of each tree: its first node, or ~leaf where it has no split
    feature: Whole  # of each node: column of x
    threshold: Floats  # of each node: x <= threshold goes left; inf = whatever has a value
    kind: Whole  # of each node: LightGBM's decision_type (bit 1 default left, bits 2-3 missing type)
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


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What a meta-model says of n rows, n x 2: `ml.learning.table.LONG` and SHORT."""

    raw: Floats  # log odds, before calibration
    p: Floats  # win probability
    bps: Floats  # expected after costs


class HeadRow(Protocol):
    """One direction as compiled code reads it, and which rows of the tables are its own."""

    learner: int  # one of CONSTANT, LINEAR, BOOSTED
    calibrator: int  # one of NONE, SIGMOID, STRAIGHT
    first: int  # of its lines, or of its roots
    end: int
    knot: int  # first of its knots
    knots: int  # how many
    bias: float  # log odds
    a: float
    b: float
    intercept: float  # bps
    slope: float  # bps per unit of log odds
    threshold_bps: float


class NodeRow(Protocol):
    """One split of a tree; numbering as in `Trees`."""

    threshold: float
    feature: int
    kind: int
    left: int
    right: int


HEAD = layout_of(HeadRow)
NODE = layout_of(NodeRow)
CONSTANT, LINEAR, BOOSTED = range(3)
NONE, SIGMOID, STRAIGHT = range(3)
#: What LightGBM does with a missing value: takes it as 0; 0 and NaN go where the node says; NaN goes there.
MISSING_NONE, MISSING_ZERO, MISSING_NAN = range(3)
#: What LightGBM takes for 0: `kZeroThreshold`, a float of 32 bits.
ZERO = float(np.float32(1e-35))


class Form(NamedTuple):
    """A meta-model, or one direction of it, in arrays that compiled code walks; made by `form_of` alone."""

    heads: Rows  # HEAD, one a direction
    nodes: Rows  # NODE, of the trees of all directions
    roots: Whole
    leaves: Floats
    lines: Floats  # of linear learners: feature x (mean, scale, weight)
    knots: Floats  # of isotonic calibrators: knot x (raw, p)


@inlined
def goes_left(kind: int, threshold: float, value: float) -> bool:
    """Where LightGBM sends a value at a split: `NumericalDecision` of its `tree.h`."""
    missing = (kind >> 2) & 3
    if math.isnan(value):
        if missing == MISSING_NAN:
            return kind & 2 != 0
        value = 0.0
    if -ZERO <= value <= ZERO:
        if missing == MISSING_ZERO:
            return kind & 2 != 0
        value = 0.0  # as its reader of rows makes it
    return value <= threshold


@inlined
def tree_score(form: Form, first: int, end: int, x: Floats, i: int) -> float:
    """Sum over trees, in their order, of the leaf that row `i` falls into; log odds."""
    raw: float = 0.0
    for tree in range(first, end):
        at = form.roots[tree]
        while at >= 0:
            node = form.nodes[at]
            at = node.left if goes_left(node.kind, node.threshold, x[i, node.feature]) else node.right
        raw += form.leaves[~at]
    return raw


@inlined
def line_score(form: Form, first: int, end: int, bias: float, x: Floats, i: int) -> float:
    """Logistic regression: raw = bias + sum_j weight_j (x_j - mean_j) / scale_j; NaN counts as its mean; log odds."""
    raw = bias
    for j in range(first, end):
        value = x[i, j - first]
        weight = form.lines[j, 2]
        if weight != 0.0 and not math.isnan(value):
            raw += weight * ((value - form.lines[j, 0]) / form.lines[j, 1])
    return raw


@inlined
def sigmoid(z: float) -> float:
    """1 / (1 + exp(-z)), without overflow; NaN stays NaN."""
    if z < 0.0:
        e = math.exp(z)
        return e / (1.0 + e)
    return 1.0 / (1.0 + math.exp(-z))


@inlined
def between_knots(form: Form, first: int, count: int, raw: float) -> float:
    """Straight lines between knots, flat outside; NaN stays NaN."""
    if math.isnan(raw):
        return math.nan
    if raw <= form.knots[first, 0]:
        return float(form.knots[first, 1])
    low, high = first, first + count
    while high - low > 1:
        middle = (low + high) // 2
        if form.knots[middle, 0] <= raw:
            low = middle
        else:
            high = middle
    if high == first + count:
        return float(form.knots[low, 1])
    x0, y0, x1, y1 = form.knots[low, 0], form.knots[low, 1], form.knots[high, 0], form.knots[high, 1]
    return float(y0 + (y1 - y0) * ((raw - x0) / (x1 - x0)))


@inlined
def sigma(form: Form, which: int, raw: float) -> float:
    """Win probability of a raw score, by the calibrator of direction `which`."""
    head = form.heads[which]
    if head.calibrator == SIGMOID:
        return sigmoid(-(head.a * raw + head.b))
    if head.calibrator == STRAIGHT:
        return between_knots(form, head.knot, head.knots, raw)
    return sigmoid(raw)


@inlined
def raw_score(form: Form, which: int, x: Floats, i: int) -> float:
    """Raw score of row `i` by the learner of direction `which`, log odds."""
    head = form.heads[which]
    if head.learner == BOOSTED:
        return tree_score(form, head.first, head.end, x, i)
    return line_score(form, head.first, head.end, head.bias, x, i)  # a constant has no lines


@compiled
def row_score(form: Form, which: int, x: Floats, i: int) -> tuple[float, float, float]:
    """Raw score (log odds), win probability and expected bps after costs of row `i` in direction `which`."""
    head = form.heads[which]
    raw = raw_score(form, which, x, i)
    return raw, sigma(form, which, raw), head.intercept + head.slope * raw


@compiled
def _score_rows(form: Form, which: int, x: Floats, raw: Floats, p: Floats, bps: Floats) -> None:
    """`row_score` over rows; x is of n x features, the answers of n x directions."""
    for i in range(len(x)):
        raw[i, which], p[i, which], bps[i, which] = row_score(form, which, x, i)


@compiled
def _calibrate_rows(form: Form, raw: Floats, p: Floats) -> None:
    """`sigma` over raw scores."""
    for i in range(len(raw)):
        p[i] = sigma(form, 0, raw[i])


def raw_scores(learner: Learner, x: Floats) -> Floats:
    """Raw scores of rows of features (n x f), log odds.

    Raises:
        DataError: the learner is not sound, or was made for another number of features.
    """
    rows = _matrix(x)
    form = form_of([Direction(learner, Platt(-1.0, 0.0), 0.0, 0.0)], features=rows.shape[1])
    raw, p, bps = (np.empty((len(rows), 1)) for _ in range(3))
    _score_rows(form, 0, rows, raw, p, bps)
    return raw[:, 0].copy()


def probability(calibrator: Calibrator, raw: Floats) -> Floats:
    """Win probabilities of raw scores; NaN where the score is.

    Raises:
        DataError: the calibrator is not sound.
    """
    scores = np.require(raw, np.float64, ["C", "W"])
    p = np.empty(len(scores))
    _calibrate_rows(form_of([Direction(Constant(0.0), calibrator, 0.0, 0.0)], features=0), scores, p)
    return p


def scored(meta: Meta, x: Floats) -> Scored:
    """Scores, win probabilities and expected bps of rows of features (n x f) in both directions.

    Raises:
        DataError: the model is not sound, or was made for another number of features.
    """
    rows = _matrix(x)
    if rows.shape[1] != len(meta.names):
        raise DataError(f"expected {len(meta.names)} features a row, saw {rows.shape[1]}; give the model its own")
    form = meta_form(meta)
    answer = Scored(*(np.empty((len(rows), 2)) for _ in range(3)))
    for which in range(2):
        _score_rows(form, which, rows, answer.raw, answer.p, answer.bps)
    return answer


def meta_form(meta: Meta) -> Form:
    """A meta-model in the arrays that compiled code walks: long, then short.

    Raises:
        DataError: it is not sound.
    """
    return form_of([meta.long, meta.short], meta.threshold_bps, features=len(meta.names))


def form_of(directions: Sequence[Direction], threshold_bps: float = math.inf, *, features: int) -> Form:
    """Directions in the arrays that compiled code walks, each checked: it walks without looking.

    Args:
        directions: one or several.
        threshold_bps: from how many expected bps on a trade is taken; inf = none is.
        features: columns of the rows that will be scored.

    Raises:
        DataError: a part is not finite, not in order, of another number of features, or trees are not trees.
    """
    heads = np.zeros(len(directions), HEAD)
    heads["threshold_bps"] = threshold_bps
    nodes, roots, leaves = [np.zeros(0, NODE)], [np.zeros(0, np.int64)], [np.zeros(0)]
    lines, knots = [np.zeros((0, 3))], [np.zeros((0, 2))]
    if math.isnan(threshold_bps):
        raise DataError("expected a threshold in bps, saw NaN; train the model again")
    for head, one in zip(heads, directions, strict=True):
        check_direction(one, features)
        head.intercept, head.slope = one.intercept, one.slope
        if isinstance(one.learner, Constant):
            head.learner, head.bias = CONSTANT, one.learner.raw
        elif isinstance(one.learner, Linear):
            head.learner, head.bias, head.first = LINEAR, one.learner.bias, sum(map(len, lines))
            lines.append(np.column_stack([one.learner.mean, one.learner.scale, one.learner.weight]))
            head.end = sum(map(len, lines))
        else:
            head.learner, head.first = BOOSTED, sum(map(len, roots))
            _add_trees(one.learner, nodes, roots, leaves)
            head.end = sum(map(len, roots))
        if isinstance(one.calibrator, Platt):
            head.calibrator, head.a, head.b = SIGMOID, one.calibrator.a, one.calibrator.b
        else:
            head.calibrator, head.knot, head.knots = STRAIGHT, sum(map(len, knots)), len(one.calibrator.x)
            knots.append(np.column_stack([one.calibrator.x, one.calibrator.y]))
    return Form(heads, *(np.concatenate(part) for part in (nodes, roots, leaves, lines, knots)))


def _add_trees(trees: Trees, nodes: list[Rows], roots: list[Whole], leaves: list[Floats]) -> None:
    """Put trees behind those that are there already, and renumber them."""
    at, leaf = sum(map(len, nodes)), sum(map(len, leaves))
    rows = np.zeros(len(trees.feature), NODE)
    for name in ("threshold", "feature", "kind"):
        rows[name] = getattr(trees, name)
    for name in ("left", "right"):
        child = getattr(trees, name)
        rows[name] = np.where(child >= 0, child + at, child - leaf)
    nodes.append(rows)
    roots.append(np.where(trees.root >= 0, trees.root + at, trees.root - leaf))
    leaves.append(trees.leaf)


def check_direction(one: Direction, features: int) -> None:
    """Refuse a direction that compiled code could not walk, or that says what nobody can mean.

    Raises:
        DataError: what is wrong, in one sentence.
    """
    if not (math.isfinite(one.intercept) and math.isfinite(one.slope) and one.slope >= 0.0):
        raise DataError(
            f"expected a finite intercept and a slope from 0 on, saw {one.intercept} and {one.slope}; train it again"
        )
    check_learner(one.learner, features)
    check_calibrator(one.calibrator)


def check_learner(learner: Learner, features: int) -> None:
    """Refuse a learner that is not sound, or of another number of features.

    Raises:
        DataError: what is wrong, in one sentence.
    """
    if isinstance(learner, Constant):
        if not math.isfinite(learner.raw):
            raise DataError(f"expected a base rate as finite log odds, saw {learner.raw}; train the model again")
    elif isinstance(learner, Linear):
        parts = {"mean": learner.mean, "scale": learner.scale, "weight": learner.weight}
        for name, values in parts.items():
            if values.shape != (features,):
                raise DataError(f"expected a {name} for each of {features} features, saw {len(values)}; train it again")
            if not np.isfinite(values).all():
                raise DataError(f"expected finite numbers as {name}, saw others; train the model again")
        if not (learner.scale > 0.0).all() or not math.isfinite(learner.bias):
            raise DataError("expected scales above 0 and a finite bias, saw others; train the model again")
    else:
        if learner.features != features:
            raise DataError(f"expected trees of {features} features, saw {learner.features}; train the model again")
        _check_trees(learner)


def check_calibrator(calibrator: Calibrator) -> None:
    """Refuse a calibrator that is not sound.

    Raises:
        DataError: what is wrong, in one sentence.
    """
    if isinstance(calibrator, Platt):
        if not (math.isfinite(calibrator.a) and math.isfinite(calibrator.b)):
            raise DataError(f"expected finite a and b, saw {calibrator.a} and {calibrator.b}; train the model again")
        return
    x, y = calibrator.x, calibrator.y
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise DataError(f"expected as many knots in x as in y, saw {x.size} and {y.size}; train the model again")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (y >= 0.0).all() and (y <= 1.0).all()):
        raise DataError("expected finite knots with probabilities from 0 to 1, saw others; train the model again")
    if (np.diff(x) < 0.0).any() or (np.diff(y) < 0.0).any():
        raise DataError("expected knots in ascending order, saw others; train the model again")


def _check_trees(trees: Trees) -> None:
    """Refuse trees in which a walk might leave the arrays or never end: all have one parent, which stands before."""
    nodes, leaves = len(trees.feature), len(trees.leaf)
    children = np.concatenate([trees.left, trees.right])
    if any(len(part) != nodes for part in (trees.threshold, trees.kind, trees.left, trees.right)):
        raise DataError("expected as many thresholds, kinds and children as splits, saw others; train the model again")
    if np.isnan(trees.threshold).any() or not np.isfinite(trees.leaf).all():
        raise DataError("expected thresholds and finite leaves, saw NaN or inf; train the model again")
    if ((trees.feature < 0) | (trees.feature >= trees.features)).any():
        raise DataError(f"expected splits by features 0 to {trees.features - 1}, saw others; train the model again")
    if ((trees.kind < 0) | (trees.kind > 10) | (trees.kind & 1 != 0)).any():
        raise DataError("expected splits by thresholds, saw categories; train the model without categorical features")
    targets = np.concatenate([children, trees.root])
    after = np.tile(np.arange(nodes), 2)
    if not np.array_equal(np.sort(targets), np.arange(-leaves, nodes)) or ((children >= 0) & (children <= after)).any():
        raise DataError("expected trees, whose branches never meet or return, saw others; train the model again")


def _matrix(x: Floats) -> Floats:
    """Rows of features as compiled code takes them.

    Raises:
        DataError: it is no table.
    """
    if x.ndim != 2:
        raise DataError(f"expected rows of features, n x f, saw {x.ndim} dimensions; give a table")
    rows: Floats = np.require(x, np.float64, ["C", "W"])
    return rows
