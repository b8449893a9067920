"""What a walk through a history shows: how good its probabilities were, what it earned, what the bars paid anyway."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.learning.fit import expectation
from ml.learning.gate import skill_bound
from ml.learning.overfitting import record_needed, smallest_edge
from ml.learning.policy import Taken, taken, unfiltered
from ml.learning.scores import BINS, auc, brier, brier_skill, ece, log_loss, murphy
from ml.learning.table import LONG, SHORT, Table, Whole
from ml.learning.walk import Judged
from utils.figures.arithmetic import Floats, mean_or_nan, moments, probabilistic_sharpe, ratio_or_nan
from utils.figures.bootstrap import interval, lower_bound, stationary_means
from utils.rows import NS_PER_DAY

#: Draws of random entries, and of days for the interval of a calibration error.
DRAWS = 1000
#: Shares of the most promising signals whose trades are looked at beside those of the threshold.
SHADOWS = (1.0, 0.5, 0.2, 0.1, 0.05)
#: The feature that says where the last bar went, bps, and what the names of those begin with that tell the book's
#: heavier side.
LAST_RETURN, BOOK_SIDE = "return_1_bps", "imbalance_"


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """All that was said out of sample of labels that are known, both directions one after the other."""

    p: Floats
    y: Floats
    w: Floats
    base: Floats  # base rate that each model knew
    way: NDArray[np.int64]  # LONG or SHORT
    day: NDArray[np.int64]  # UTC day since 1970 of the decision; a close at midnight belongs to the day that ends
    raw: Floats  # score, log odds
    bps: Floats  # expected net
    net: Floats  # what it became, bps


@dataclass(frozen=True, slots=True)
class Quality:
    """How good probabilities were; weighted with uniqueness; NaN = not computable."""

    labels: int
    effective: float  # sum of uniqueness
    rate: float  # share of wins
    brier: float
    skill: float  # over the base rate that was known
    skill_low: float  # its lower 95 % bound, days as they come
    log_loss: float  # nats
    auc_long: float
    auc_short: float
    ece: float  # ten bins of equal mass
    ece_low: float  # 95 % interval by a bootstrap of days, which lies high: noise adds to an absolute error
    ece_high: float
    ece_noise: float  # what perfect probabilities would show of so many labels
    reliability: float  # Murphy's parts
    resolution: float
    uncertainty: float


@dataclass(frozen=True, slots=True)
class Line:
    """Expected net beside what came of it, of one direction; NaN = not computable."""

    expected_bps: float  # mean of what the models expected out of sample, weighted
    realised_bps: float  # mean of what it was
    intercept_bps: float  # of realised net on the raw score, out of sample
    slope_bps: float  # per unit of log odds
    error_bps: float  # standard error of the slope

    @property
    def pays(self) -> bool:
        """Whether a higher score earned more, beyond doubt at 95 %."""
        return self.slope_bps > 1.645 * self.error_bps


@dataclass(frozen=True, slots=True)
class Earned:
    """What trades earned, after costs unless the data set is gross."""

    what: str
    trades: int
    net_bps: float  # mean; NaN without a trade
    low_bps: float  # its lower 95 % bound, blocks of ten trades
    sd_bps: float
    smallest_bps: float  # the smallest mean that so many trades can show
    sharpe: float  # per trade
    psr: float  # probability that it is above 0
    track: float  # trades that would show it at 95 %; inf = none do


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of a walk."""

    first: int  # close of the first row judged, ns; 0 = none was
    last: int
    rows: int
    learned: int  # rows that the model knew
    threshold_bps: float  # inf = no trade is worth taking
    calibration_trades: int  # at the threshold, on the rows that chose it
    calibration_bps: float
    trades: int
    net_bps: float  # mean of the trades out of sample


def predicted(judged: Sequence[Judged]) -> Predicted:
    """What models said out of sample, where a label is known."""
    none, whole = np.zeros(0), np.zeros(0, np.int64)
    parts: list[tuple[Any, ...]] = [(none, none, none, none, whole, whole, none, none, none)]
    for way in (LONG, SHORT):
        for one in judged:
            table, told, known = one.table, one.told, one.table.labelled[:, way]
            n = int(known.sum())
            parts.append(
                (
                    told.p[known, way],
                    table.won[known, way],
                    table.weight[known, way],
                    np.full(n, one.fitted.base[way]),
                    np.full(n, way),
                    (table.ts[known] - 1) // NS_PER_DAY,
                    told.raw[known, way],
                    told.bps[known, way],
                    table.net[known, way],
                )
            )
    return Predicted(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def quality(seen: Predicted, seed: int) -> Quality:
    """Scores of what was said; see `ml.learning.scores`.

    Args:
        seen: what was said.
        seed: of the bootstraps of days.
    """
    p, y, w = seen.p, seen.y, seen.w
    parts = murphy(p, y, w)
    one = seen.way == LONG
    effective, rate = float(w.sum()), ratio_or_nan(float(w @ y), float(w.sum()))
    low, high = ece_interval(seen, seed)
    return Quality(
        labels=len(p),
        effective=effective,
        rate=rate,
        brier=brier(p, y, w),
        skill=brier_skill(p, y, w, seen.base),
        skill_low=skill_low(seen, seed),
        log_loss=log_loss(p, y, w),
        auc_long=auc(p[one], y[one], w[one]),
        auc_short=auc(p[~one], y[~one], w[~one]),
        ece=ece(p, y, w),
        ece_low=low,
        ece_high=high,
        ece_noise=math.sqrt(2.0 / math.pi * rate * (1.0 - rate) * BINS / effective) if effective > 0.0 else math.nan,
        reliability=parts.reliability,
        resolution=parts.resolution,
        uncertainty=parts.uncertainty,
    )


def at_base(seen: Predicted) -> Predicted:
    """The same labels, of each of which the base rate was said that its model knew."""
    return replace(seen, p=seen.base)


def skill_low(seen: Predicted, seed: int) -> float:
    """What the Brier skill exceeds with 95 % confidence, days drawn as they come; NaN under two days."""
    days, at = np.unique(seen.day, return_inverse=True)
    squared, base = (
        np.bincount(at, seen.w * np.square(said - seen.y), len(days)).astype(np.float64) for said in (seen.p, seen.base)
    )
    return skill_bound(squared, base, seed=seed)


def ece_interval(seen: Predicted, seed: int) -> tuple[float, float]:
    """95 % interval of the calibration error, days drawn as they come, bins as they are; NaN, NaN under two days.

    Formula: of each draw sum over bins of |sum w p - sum w y| / sum w.
    """
    days, at = np.unique(seen.day, return_inverse=True)
    if len(days) < 2:
        return math.nan, math.nan
    place = np.empty(len(seen.p), np.int64)
    for k, rows in enumerate(np.array_split(np.argsort(seen.p, kind="stable"), BINS)):
        place[rows] = k
    cells = at * BINS + place
    sums = [np.bincount(cells, each, len(days) * BINS) for each in (seen.w, seen.w * (seen.p - seen.y))]
    drawn = stationary_means(np.column_stack([each.reshape(-1, BINS) for each in sums]), 1.0, DRAWS, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        return interval(np.abs(drawn[:, BINS:]).sum(axis=1) / drawn[:, :BINS].sum(axis=1))


def line(seen: Predicted, way: int) -> Line:
    """What a direction's expected net was worth out of sample: realised net by raw score, see `fit.expectation`."""
    mine = seen.way == way
    raw, bps, net, weight = (each[mine] for each in (seen.raw, seen.bps, seen.net, seen.w))
    total = float(weight.sum())
    if not total > 0.0:
        return Line(math.nan, math.nan, math.nan, math.nan, math.nan)
    expected, realised, middle = (float(weight @ each) / total for each in (bps, net, raw))
    _, _, slope, error = expectation(raw, net, weight)
    if math.isinf(error):
        return Line(expected, realised, realised, math.nan, math.nan)
    return Line(expected, realised, realised - slope * middle, slope, error)


def earned(what: str, net: Floats) -> Earned:
    """What trades earned, in order of time."""
    ratio, skew, kurtosis = moments(net)
    n = len(net)
    sd = float(net.std(ddof=1)) if n > 1 else math.nan
    return Earned(
        what=what,
        trades=n,
        net_bps=mean_or_nan(net),
        low_bps=lower_bound(net) if n > 1 else math.nan,
        sd_bps=sd,
        smallest_bps=smallest_edge(sd, n) if n > 1 else math.nan,
        sharpe=ratio,
        psr=probabilistic_sharpe(ratio, n, skew, kurtosis),
        track=record_needed(net),
    )


def folds(judged: Sequence[Judged]) -> list[Fold]:
    """Threshold of each model, what chose it, and what its trades became."""
    return [
        Fold(
            first=int(one.table.ts[0]) if len(one.table) else 0,
            last=int(one.table.ts[-1]) if len(one.table) else 0,
            rows=len(one.table),
            learned=one.fitted.learned,
            threshold_bps=one.threshold,
            calibration_trades=one.fitted.calibration_trades,
            calibration_bps=one.fitted.calibration_bps,
            trades=len(one.trades),
            net_bps=mean_or_nan(one.trades.net),
        )
        for one in judged
    ]


def trades_of(judged: Sequence[Judged]) -> Floats:
    """Net of all trades that were taken, in order, bps."""
    return np.concatenate([one.trades.net for one in judged]) if judged else np.zeros(0)


def shadow(judged: Sequence[Judged], share: float) -> list[Taken]:
    """The trades of another threshold: that which at most this share of the rows of a stretch reaches.

    It is known only afterwards, so nobody could trade by it: it shows whether there is anything in the order of what
    was expected. Rows of which the same is expected have no order, and are taken together or not at all.
    """
    busy: Whole | None = None
    found = []
    for one in judged:
        busy = np.zeros(len(one.table.symbols), np.int64) if busy is None else busy
        best = np.where(one.table.allowed, one.told.bps, -np.inf).max(axis=1)
        best = np.sort(best[np.isfinite(best)])
        most = math.floor(share * len(best))
        level = float(best[len(best) - most]) if most else math.inf
        if len(best) - np.searchsorted(best, level) > most:
            level = math.nextafter(level, math.inf)
        found.append(taken(one.table, one.told, level, busy))
    return found


def baselines(judged: Sequence[Judged]) -> list[Earned]:
    """What the same bars paid without the model, at the same costs and one position at a time.

    All of the strategy's signals; the direction of the last bar, and of the heavier side of the book, each followed and
    faded, where there is such a feature. Entries are those of the data set's labels.
    """
    tables = [one.table for one in judged if len(one.table)]
    names = tables[0].names if tables else ()
    rules: list[tuple[str, str, float]] = []
    if LAST_RETURN in names:
        rules += [("last bar, followed", LAST_RETURN, 1.0), ("last bar, faded", LAST_RETURN, -1.0)]
    heavier = next((name for name in names if name.startswith(BOOK_SIDE)), None)
    if heavier is not None:
        rules += [
            ("heavier side of the book, followed", heavier, 1.0),
            ("heavier side of the book, faded", heavier, -1.0),
        ]
    all_signals = earned("all signals of the strategy", unfiltered(tables))
    return [all_signals, *(earned(what, _followed(tables, feature, sign)) for what, feature, sign in rules)]


def shared_days(net_bps: Floats, fewest: int) -> Floats:
    """The configurations that can be compared, on the days that their data share, of days x configurations with NaN.

    Those of the most days first, each as long as `fewest` days are left. No rows: no two can be.
    """
    known = np.isfinite(net_bps)
    chosen: list[int] = []
    rows = np.ones(len(net_bps), np.bool_)
    for column in np.argsort(-known.sum(axis=0), kind="stable").tolist():
        left = rows & known[:, column]
        if int(left.sum()) >= fewest:
            chosen, rows = [*chosen, column], left
    return net_bps[rows][:, sorted(chosen)] if len(chosen) > 1 else np.zeros((0, len(chosen)))


def held_throughout(judged: Sequence[Judged]) -> float:
    """What holding every symbol long from the first judged row to the last would have moved, a symbol's mean, bps.

    Formula: sum of the bars' log returns, before costs. NaN: no feature tells them, or no rows.
    """
    tables = [one.table for one in judged if len(one.table)]
    if not tables or LAST_RETURN not in tables[0].names:
        return math.nan
    moves = np.concatenate([table.x[:, table.names.index(LAST_RETURN)] for table in tables])
    return float(np.nansum(moves)) / len(tables[0].symbols)


def random_entries(judged: Sequence[Judged], seed: int) -> tuple[float, float]:
    """What as many random entries earn where a trade is allowed: mean net, bps, and how often they beat the model.

    Formula: 1000 draws of as many labels of allowed directions as the model took trades, without replacement. The share
    counts the model as one of the draws. NaN: no trade, or fewer labels than trades.
    Source: the permutation test, Fisher 1935.
    """
    own = trades_of(judged)
    pool = np.concatenate([np.zeros(0), *(one.table.net[one.table.allowed & one.table.labelled] for one in judged)])
    if len(own) == 0 or len(pool) < len(own):
        return math.nan, math.nan
    dice = np.random.default_rng(seed)
    drawn = (dice.choice(len(pool), len(own), replace=False, shuffle=False) for _ in range(DRAWS))
    means = np.array([pool[rows].mean() for rows in drawn])
    return float(means.mean()), float((1 + np.count_nonzero(means >= own.mean())) / (1 + DRAWS))


def _followed(tables: Sequence[Table], feature: str, sign: float) -> Floats:
    """Net of trades in the direction of a feature's sign times another, one at a time."""
    turned = []
    for table in tables:
        lean = np.sign(sign * table.x[:, table.names.index(feature)])
        turned.append(replace(table, side=np.where(lean == 0.0, np.nan, lean)))
    return unfiltered(turned)
