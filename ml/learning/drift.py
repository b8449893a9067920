"""Whether the world a model was trained in is still there: its features, what its probabilities promise, what it earns.

An alarm makes sizes smaller, falls back or asks for a training; the absence of one enables nothing. Looked at daily, a
5 % alarm comes without a cause some day: that costs trades, not money.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ml.learning.calibration import weights_of
from utils.figures.arithmetic import Floats, wilson_interval
from utils.figures.bootstrap import DRAWS, SEED, mean_interval

#: Bins of a feature, of equal numbers of training rows.
BINS = 10
#: A share of rows below this counts as this, so that an empty bin is a finite surprise.
FLOOR = 1e-4
#: From where on a PSI is looked at, and from where on acted upon. Source: Siddiqi 2006.
SOME, MUCH = 0.10, 0.25
#: Blocks of neighbours that a training sample holds, where nobody says how long they are.
BLOCKS = 20
#: Trades that stay together, as they overlap in time.
TRADES_TOGETHER = 10
#: Trades from which on a record is judged, and rows, of the training and of now, from which on features are.
ENOUGH_TRADES, ENOUGH_ROWS = 100, 100
#: Share of its size that is traded where something has moved.
SCALE = 0.5
#: Features that a reason names.
NAMED = 3
#: A probability that is off by less is not worth a training.
WRONG = 0.05
#: Rate of false alarms, of all features together.
ERROR = 0.05


def psi(train: Floats, now: Floats) -> float:
    """Population stability index: sum((a - e) ln(a / e)) over ten bins of equal numbers of training rows.

    e and a are shares of either sample, at least 1e-4. A value is in bin `searchsorted(deciles, value, "left")`; NaN
    has a bin of its own; a feature that was constant has bins below, at and above its value. >= 0; NaN without rows.
    """
    edges = _edges(train)
    return _index(_shares(_bin(edges, train)), _shares(_bin(edges, now)))


def psi_noise(
    train: Floats,
    n: int,
    level: float = 1.0 - ERROR,
    block: int | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> float:
    """The PSI that `n` rows exceed in 1 - `level` of cases without any drift: a quantile over resampled training rows.

    Rows are drawn in blocks of neighbours, round the end; times 1 + n / m for the training's own m rows, which are a
    sample, too. Of independent rows the mean is some 9 (1/n + 1/m).

    Args:
        train: in order of time.
        n: rows that are to be compared with them.
        level: 0-1.
        block: rows that hang together, at most n; None = a twentieth of the training, so that slow features have their
            slowness. 1 = independent rows.
        draws: resampled sets.
        seed: of the dice.
    """
    m = len(train)
    if m == 0 or n < 1:
        return math.nan
    length = max(1, min(m // BLOCKS if block is None else block, n))
    bins = _bin(_edges(train), train)
    expected = _shares(bins)
    ring = np.concatenate([bins, bins[:length]])
    running = np.zeros((len(ring) + 1, BINS + 1), np.int64)
    np.cumsum(ring[:, None] == np.arange(BINS + 1), axis=0, out=running[1:])
    blocks = math.ceil(n / length)
    lengths = np.full(blocks, length)
    lengths[-1] = n - (blocks - 1) * length
    dice = np.random.default_rng(seed)
    found = np.empty(draws)
    for draw in range(draws):
        starts = dice.integers(0, m, blocks)
        counts = (running[starts + lengths] - running[starts]).sum(axis=0)
        found[draw] = _index(expected, np.maximum(counts / n, FLOOR))
    return float(np.quantile(found, level)) * (1.0 + n / m)


def ks(train: Floats, now: Floats) -> tuple[float, float]:
    """Kolmogorov and Smirnov's greatest distance of two distributions, and its p value were all rows independent.

    Rows of one market are not, so that p is far too small; it is shown, and decides nothing. NaN rows are left out;
    NaN, NaN without others.
    """
    from scipy.stats import ks_2samp

    one, other = train[~np.isnan(train)], now[~np.isnan(now)]
    if len(one) == 0 or len(other) == 0:
        return math.nan, math.nan
    result = ks_2samp(one, other)
    return float(result.statistic), float(result.pvalue)


class Action(IntEnum):
    """What to do, from nothing to most. None of them enables a model."""

    UNJUDGED = 0  # nothing, as there is too little to judge by
    OK = 1  # nothing
    WATCH = 2  # smaller sizes
    RETRAIN = 3  # smaller sizes, and a training
    FALL_BACK = 4  # serve the version before, or none


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a feature has moved since the training."""

    name: str
    psi: float
    noise: float  # PSI that all features together exceed in 5 % of cases without drift
    ks: float  # 0-1

    def beyond(self, limit: float) -> bool:
        """Whether the PSI is above a limit and above what chance makes."""
        return self.psi > max(limit, self.noise)

    @property
    def excess(self) -> float:
        """PSI over what it has to pass to be looked at: above 1 it has moved."""
        return self.psi / max(SOME, self.noise)

    @property
    def action(self) -> Action:
        """What this feature alone asks for."""
        if not self.beyond(SOME):
            return Action.OK
        return Action.RETRAIN if self.beyond(MUCH) else Action.WATCH


def shifts(
    names: Sequence[str],
    train: Floats,
    now: Floats,
    draws: int = DRAWS,
    seed: int = SEED,
    told: Callable[[float], None] | None = None,
) -> tuple[Shift, ...]:
    """The shift of each feature between training rows and newer ones, both n x f and in order of time.

    False alarms, of the 30 registered features on 5m walks, 12,000 rows against the next 1,000: 10 of 100 walks where
    volatility clusters; 20 of 100 where it is constant, most of them of features in units of the price (`atr_14`,
    `amihud_20`), which leave with it what the model knows. Of independent rows: none of 100.

    Args:
        names: of the features.
        train: rows that the model knew.
        now: rows after them.
        draws: resampled sets behind each noise.
        seed: of the dice.
        told: how many features are done.
    """
    level = 1.0 - ERROR / max(len(names), 1)
    found = []
    for j, name in enumerate(names):
        one, other = np.ascontiguousarray(train[:, j]), np.ascontiguousarray(now[:, j])
        noise = psi_noise(one, len(now), level, draws=draws, seed=seed)
        found.append(Shift(name, psi(one, other), noise, ks(one, other)[0]))
        if told is not None:
            told(j + 1)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Gap:
    """What was said of trades beside what was seen; both NaN without trades."""

    trades: int
    said: float
    seen: float
    low: float  # 95 % interval of seen - said; NaN of too few trades
    high: float

    @property
    def judged(self) -> bool:
        """Whether there are trades enough."""
        return self.trades >= ENOUGH_TRADES


def calibration_gap(p: Floats, y: Floats) -> Gap:
    """Mean win probability beside the share that won, of trades in order of time.

    The interval holds Wilson's, which knows few trades, and that of resampled blocks of ten trades, which knows that
    they overlap.

    Raises:
        ValueError: as `ml.learning.calibration.weights_of`, p within [0, 1].
    """
    weights_of(p, y, within=(0.0, 1.0))
    gap = _gap(y, p)
    low, high = wilson_interval(gap.seen * gap.trades, gap.trades)
    ends = (low - gap.said, high - gap.said)
    # of few trades the blocks say nothing, and Wilson alone is heard
    return Gap(gap.trades, gap.said, gap.seen, float(np.fmin(gap.low, ends[0])), float(np.fmax(gap.high, ends[1])))


def edge_gap(net_bps: Floats, expected_bps: Floats) -> Gap:
    """Mean net beside the mean that was expected, bps, of trades in order of time; the interval is of blocks of ten.

    Raises:
        ValueError: lengths that differ, or a value that is not finite.
    """
    if len(net_bps) != len(expected_bps) or not np.all(np.isfinite(net_bps) & np.isfinite(expected_bps)):
        raise ValueError(f"expected a finite net and expectation of each of {len(net_bps)} trades")
    return _gap(net_bps, expected_bps)


def _gap(seen: Floats, said: Floats) -> Gap:
    """Means, and the interval of their difference."""
    n = len(seen)
    if n == 0:
        return Gap(0, math.nan, math.nan, math.nan, math.nan)
    low, high = mean_interval(seen - said, np.ones(n), TRADES_TOGETHER)
    return Gap(n, float(np.mean(said)), float(np.mean(seen)), low, high)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, and why."""

    action: Action
    reason: str


def verdict(features: Sequence[Shift], calibration: Gap, edge: Gap) -> Verdict:
    """The strictest answer that features, calibration and edge ask for, with all reasons for it.

    | seen | answer |
    |---|---|
    | trades earn less than expected, beyond their interval, and nothing or less at all | fall back |
    | the same, but more than nothing | retrain |
    | the win rate is off by more than .05, beyond its interval | retrain |
    | the same by less | watch |
    | a feature's PSI is above .25 and its noise | retrain |
    | above .1 and its noise | watch |

    Under 100 trades calibration and edge are not judged. Without features, too, nothing is.

    Args:
        features: all that were compared; none = they are not judged.
        calibration: of the win probability.
        edge: of the net.
    """
    found = [*_of_edge(edge), *_of_calibration(calibration), *_of_features(features)]
    worst = max((action for action, _ in found), default=Action.OK)
    if worst is not Action.OK:
        return Verdict(worst, "; ".join(why for action, why in found if action is worst))
    seen = "features as trained" if features else "features not judged"
    trades = min(calibration.trades, edge.trades)
    if trades < ENOUGH_TRADES:
        judged = Action.OK if features or calibration.judged or edge.judged else Action.UNJUDGED
        return Verdict(judged, f"{seen}; {trades} of the {ENOUGH_TRADES} trades that a judgement needs")
    return Verdict(worst, f"{seen}; {trades} trades as expected")


def _of_edge(gap: Gap) -> list[tuple[Action, str]]:
    """What the net of trades asks for."""
    if not gap.judged or not gap.high < 0.0:
        return []
    action = Action.RETRAIN if gap.seen > 0.0 else Action.FALL_BACK
    return [(action, f"{gap.trades} trades earned {gap.seen:.1f} bps on average, expected {gap.said:.1f}")]


def _of_calibration(gap: Gap) -> list[tuple[Action, str]]:
    """What the win rate of trades asks for."""
    if not gap.judged or not (gap.low > 0.0 or gap.high < 0.0):
        return []
    action = Action.RETRAIN if abs(gap.seen - gap.said) > WRONG else Action.WATCH
    return [(action, f"{gap.seen:.1%} of {gap.trades} trades won, expected {gap.said:.1%}")]


def _of_features(features: Sequence[Shift]) -> list[tuple[Action, str]]:
    """What features ask for, those that moved furthest first, and how many more there are."""
    found = []
    for action in (Action.RETRAIN, Action.WATCH):
        moved = sorted((one for one in features if one.action is action), key=lambda one: -one.excess)
        found += [
            (action, f"{one.name} moved: PSI {one.psi:.2f}, by chance at most {one.noise:.2f}") for one in moved[:NAMED]
        ]
        if more := moved[NAMED:]:
            found.append((action, f"{len(more)} more moved"))
    return found


def _edges(train: Floats) -> Floats:
    """Upper ends of all bins but the last."""
    known = train[np.isfinite(train)]
    if len(known) == 0:
        return np.zeros(BINS - 1)
    edges = np.quantile(known, np.arange(1, BINS) / BINS)
    if np.ptp(known) == 0.0:  # what is below would fall into the bin of the constant itself
        edges[0] = np.nextafter(edges[0], -math.inf)
    return np.asarray(edges, np.float64)


def _bin(edges: Floats, values: Floats) -> NDArray[np.int64]:
    """Bin of each value; NaN has the last."""
    return np.where(np.isnan(values), BINS, np.searchsorted(edges, values, side="left")).astype(np.int64)


def _shares(bins: NDArray[np.int64]) -> Floats:
    """Share of rows in each bin, at least the floor; NaN without rows."""
    if len(bins) == 0:
        return np.full(BINS + 1, np.nan)
    return np.maximum(np.bincount(bins, minlength=BINS + 1) / len(bins), FLOOR)


def _index(expected: Floats, actual: Floats) -> float:
    """PSI of shares."""
    return float(np.sum((actual - expected) * np.log(actual / expected)))
