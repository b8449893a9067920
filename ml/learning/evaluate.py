"""What a walk through a history shows: how good the probabilities were, and what could have been earned without them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ml.learning.policy import Taken, taken
from ml.learning.scores import auc, brier, brier_skill, ece, log_loss, murphy
from ml.learning.table import LONG, SHORT, Table
from ml.learning.walk import Judged
from ml.scoring import Scored
from utils.figures.arithmetic import Floats, moments, min_track_record, probabilistic_sharpe
from utils.figures.bootstrap import lower_bound
from utils.rows import NS_PER_DAY

#: Draws of random entries.
DRAWS = 1000
#: Shares of the most promising signals whose trades are looked at beside those of the threshold.
SHADOWS = (1.0, 0.5, 0.2, 0.1, 0.05)
#: The feature that says where the last bar went, bps.
LAST_RETURN = "return_1_bps"


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """All that was said out of sample of labels that are known, both directions one after the other."""

    p: Floats
    y: Floats
    w: Floats
    base: Floats  # base rate that each model knew
    way: Floats  # LONG or SHORT


@dataclass(frozen=True, slots=True)
class Quality:
    """How good probabilities were; weighted with uniqueness."""

    labels: int
    effective: float  # sum of uniqueness
    rate: float  # share of wins
    brier: float
    skill: float  # over the base rate that was known
    log_loss: float  # nats
    auc_long: float
    auc_short: float
    ece: float  # ten bins of equal mass
    reliability: float  # Murphy's parts
    resolution: float
    uncertainty: float


@dataclass(frozen=True, slots=True)
class Earned:
    """What trades earned, after costs unless the data set is gross."""

    what: str
    trades: int
    net_bps: float  # mean; NaN without a trade
    low_bps: float  # its lower 95 % bound, blocks of ten trades
    sd_bps: float
    sharpe: float  # per trade
    psr: float  # probability that it is above 0
    track: float  # trades that would show it at 95 %; inf = none do


def predicted(judged: Sequence[Judged]) -> Predicted:
    """What models said out of sample, where a label is known."""
    parts = []
    for way in (LONG, SHORT):
        for one in judged:
            known = one.table.labelled[:, way]
            n = int(known.sum())
            parts.append(
                (
                    one.told.p[known, way],
                    one.table.won[known, way],
                    one.table.weight[known, way],
                    np.full(n, one.fitted.base[way]),
                    np.full(n, float(way)),
                )
            )
    return Predicted(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def quality(seen: Predicted) -> Quality:
    """Scores of what was said; see `ml.learning.scores`."""
    p, y, w = seen.p, seen.y, seen.w
    reliability, resolution, uncertainty = murphy(p, y, w)
    one = seen.way == LONG
    return Quality(
        labels=len(p),
        effective=float(w.sum()),
        rate=float(np.average(y, weights=w)),
        brier=brier(p, y, w),
        skill=brier_skill(p, y, seen.base, w),
        log_loss=log_loss(p, y, w),
        auc_long=auc(p[one], y[one], w[one]),
        auc_short=auc(p[~one], y[~one], w[~one]),
        ece=ece(p, y, w),
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
    )


def earned(what: str, net: Floats) -> Earned:
    """What trades earned, in order of time."""
    ratio, skew, kurtosis = moments(net)
    return Earned(
        what=what,
        trades=len(net),
        net_bps=float(net.mean()) if len(net) else math.nan,
        low_bps=lower_bound(net) if len(net) > 1 else math.nan,
        sd_bps=float(net.std(ddof=1)) if len(net) > 1 else math.nan,
        sharpe=ratio,
        psr=probabilistic_sharpe(ratio, len(net), skew, kurtosis),
        track=min_track_record(ratio, skew, kurtosis),
    )


def trades_of(judged: Sequence[Judged]) -> Floats:
    """Net of all trades that were taken, in order, bps."""
    return np.concatenate([one.trades.net for one in judged]) if judged else np.zeros(0)


def shadow(judged: Sequence[Judged], share: float) -> list[Taken]:
    """The trades of another threshold: that which lets this share of a model's calibration pass is not known here.

    So it is the share of the rows judged, and is of no use to trade by: it shows whether there is anything in the order
    of the predictions.
    """
    found = []
    for one in judged:
        best = np.where(one.table.allowed, one.told.bps, -np.inf).max(axis=1)
        best = best[np.isfinite(best)]
        level = float(np.quantile(best, 1.0 - share)) if len(best) else math.inf
        found.append(taken(one.table, one.told, level))
    return found


def daily(table: Table, trades: Sequence[Taken]) -> tuple[Floats, Floats]:
    """Net bps of each UTC day between the first and the last of a table, and the days; a day without a trade earned 0."""
    first, last = (int((ts - 1) // NS_PER_DAY) for ts in (table.ts[0], table.ts[-1]))
    sums = np.zeros(last - first + 1)
    for one in trades:
        np.add.at(sums, (one.ts - 1) // NS_PER_DAY - first, one.net)
    return sums, np.arange(first, last + 1)


def baselines(judged: Sequence[Judged]) -> list[Earned]:
    """What the same bars paid without the model, at the same costs and one position at a time.

    All of the strategy's signals, and the direction of the last bar, followed and faded, where there is that feature.
    """
    found = []
    tables = [one.table for one in judged]
    for what, sides in (
        ("all signals of the strategy", None),
        ("last bar's direction", 1.0),
        ("against the last bar", -1.0),
    ):
        if sides is not None and LAST_RETURN not in tables[0].names:
            continue
        found.append(earned(what, np.concatenate([_followed(table, sides) for table in tables])))
    return found


def held_throughout(judged: Sequence[Judged]) -> float:
    """What holding every symbol long from the first judged row to the last would have moved, a symbol's mean, bps.

    Formula: sum of the bars' log returns. NaN: no feature tells them.
    """
    names = judged[0].table.names
    if LAST_RETURN not in names:
        return math.nan
    moves = np.concatenate([one.table.x[:, names.index(LAST_RETURN)] for one in judged])
    return float(np.nansum(moves)) / len(judged[0].table.symbols)


def random_entries(judged: Sequence[Judged], seed: int) -> tuple[float, float]:
    """What as many random entries earn where a trade is allowed: their mean net, bps, and how often they beat the model.

    Formula: 1000 draws of as many labels of allowed directions as the model took trades, without replacement. The share
    counts the model as one of the draws. NaN: no trade, or fewer labels than trades.
    Source: the permutation test, Fisher 1935.
    """
    own = trades_of(judged)
    pool = np.concatenate([one.table.net[one.table.allowed & one.table.labelled] for one in judged])
    if len(own) == 0 or len(pool) < len(own):
        return math.nan, math.nan
    dice = np.random.default_rng(seed)
    means = np.array([dice.choice(pool, len(own), replace=False).mean() for _ in range(DRAWS)])
    return float(means.mean()), float((1 + np.count_nonzero(means >= own.mean())) / (1 + DRAWS))


def _followed(table: Table, sign: float | None) -> Floats:
    """Net of trades in given directions, one at a time: the strategy's, or the last return's times a sign."""
    bps = np.zeros((len(table), 2))
    if sign is not None:
        move = sign * table.x[:, table.names.index(LAST_RETURN)]
        bps[:, LONG], bps[:, SHORT] = np.where(move > 0.0, 0.0, -np.inf), np.where(move < 0.0, 0.0, -np.inf)
        table = replace(table, side=np.zeros(len(table)))
    return taken(table, Scored(bps, bps, bps), 0.0).net
