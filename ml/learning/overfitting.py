"""How much of a best result is the search for it, and how long a record has to be before it says anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from utils.errors import DataError
from utils.figures.arithmetic import RETURN_NOISE, Floats, deflated_sharpe, min_track_record, moments

#: Standard errors that an edge needs to be seen in four of five cases, at a false alarm of one in twenty:
#: 1.645 + 0.84.
SEEN = 2.5
#: Columns that are worked on at once; all at once may be gigabytes.
AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Overfitting:
    """Where the best of one half of the time stands in the other half, for each way to halve it."""

    probability: (
        float  # share of halves whose best is in the lower half of the others: logit <= 0; above .5 is a warning
    )
    logits: Floats  # ln(w / (1 - w)), w = rank of the best among n / (n + 1), a tie counting half; one a split


def pbo(returns: Floats, blocks: int = 16) -> Overfitting:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation.

    Time is cut into S blocks (`numpy.array_split`). For each choice of S/2 of them, the configuration of the greatest
    Sharpe ratio in these, the first of equal ones, is ranked by its Sharpe ratio in the others. One without spread is
    worth 0: it did not trade.

    Args:
        returns: periods x configurations, in order of time, any unit.
        blocks: S, even; 16 makes 12,870 splits.

    Raises:
        DataError: fewer periods than blocks, or fewer than 2 configurations.
        ValueError: S odd or below 2, or a return that is not finite.

    Source: Bailey, Borwein, Lopez de Prado, Zhu 2017.
    """
    if blocks < 2 or blocks % 2:
        raise ValueError(f"expected an even number of blocks, 2 or more, got {blocks}")
    if returns.ndim != 2 or returns.shape[1] < 2:
        raise DataError(f"expected 2 configurations or more beside each other, saw shape {returns.shape}; try another")
    if len(returns) < blocks:
        raise DataError(f"expected a period or more in each of {blocks} blocks, saw {len(returns)}; use more data")
    if not np.all(np.isfinite(returns)):
        raise ValueError(f"expected finite returns, period {int(np.argmin(np.isfinite(returns).all(axis=1)))} is not")
    inside = _ratios(returns, blocks)
    # choices stand in lexical order, so the blocks that one leaves are the choice as far from the other end
    outside = inside[::-1]
    best = np.argmax(inside, axis=1)
    reached = np.take_along_axis(outside, best[:, None], axis=1)
    below, equal = np.sum(outside < reached, axis=1), np.sum(outside == reached, axis=1)
    rank = below + 0.5 * (equal + 1.0)
    logits = np.log(rank / (returns.shape[1] + 1.0 - rank))
    return Overfitting(float(np.mean(logits <= 0.0)), logits)


def _ratios(returns: Floats, blocks: int) -> Floats:
    """Sharpe ratio, but for a factor, of each configuration in each choice of half of the blocks; choices x columns."""
    parts = np.array_split(np.arange(len(returns)), blocks)
    chosen = np.zeros((math.comb(blocks, blocks // 2), blocks))
    for row, choice in zip(chosen, combinations(range(blocks), blocks // 2), strict=True):
        row[list(choice)] = 1.0
    n = chosen @ np.array([float(len(part)) for part in parts])
    ratios = np.empty((len(chosen), returns.shape[1]))
    for first in range(0, returns.shape[1], AT_ONCE):
        some = returns[:, first : first + AT_ONCE]
        middle = np.mean(some, axis=0)
        away = some - middle
        total, square = np.zeros((2, len(chosen), some.shape[1]))
        # block by block, and not as a product of matrices: equal columns keep equal bits, so that ties are ties
        for block, part in enumerate(parts):
            total += chosen[:, block, None] * np.sum(away[part], axis=0)
            square += chosen[:, block, None] * np.sum(np.square(away[part]), axis=0)
        mean, size = total / n[:, None], square / n[:, None]
        variance = size - np.square(mean)
        spread = variance > RETURN_NOISE * size
        ratios[:, first : first + AT_ONCE] = np.where(
            spread, (middle + mean) / np.sqrt(np.where(spread, variance, 1.0)), 0.0
        )
    return ratios


def deflated(returns: Floats, trial_sharpes: Floats, trials: int | None = None) -> float:
    """Deflated Sharpe ratio of one trial: the probability that it beats the best of so many worthless ones.

    `utils.figures.arithmetic.deflated_sharpe` with the variance (ddof 1) of the trials' Sharpe ratios.

    Args:
        returns: of the trial, a period each.
        trial_sharpes: of all trials that are known, per period; NaN = no spread, which counts as a trial alone.
        trials: how many were ever made, where that is more than are known.

    Returns:
        0-1; NaN where `returns` have no Sharpe ratio, or several trials fewer than two known ones.

    Raises:
        ValueError: fewer trials than are known, or none.
    """
    count = len(trial_sharpes) if trials is None else trials
    if count < len(trial_sharpes):
        raise ValueError(f"expected at least the {len(trial_sharpes)} trials that are known, got {count}")
    known = trial_sharpes[np.isfinite(trial_sharpes)]
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else math.nan
    ratio, skew, kurtosis = moments(returns)
    return deflated_sharpe(ratio, len(returns), skew, kurtosis, count, variance)


def record_needed(net: Floats, confidence: float = 0.95) -> float:
    """Trades, of the kind that a record holds, before its mean stands above 0: the minimum track record of its moments.

    inf where the mean is not above 0, NaN without a spread.
    """
    return min_track_record(*moments(net), confidence=confidence)


def smallest_edge(sd_bps: float, trades: float) -> float:
    """The smallest mean of a trade that so many can show: 2.5 sd / sqrt(n), bps; inf without a trade.

    It is found in four of five cases at an error of 5 %. Trades that overlap count by their uniqueness.
    """
    return SEEN * sd_bps / math.sqrt(trades) if trades > 0.0 else math.inf


def trades_needed(edge_bps: float, sd_bps: float) -> float:
    """How many trades show an edge: (2.5 sd / edge)^2, whole; inf where there is none to show."""
    if math.isnan(edge_bps) or math.isnan(sd_bps):
        return math.nan
    return float(math.ceil((SEEN * sd_bps / edge_bps) ** 2)) if edge_bps > 0.0 else math.inf


def days_needed(edge_bps: float, sd_bps: float, trades: float, days: float) -> float:
    """Days still to come before an edge can be shown, at the pace of `trades` in `days`.

    `trades_needed` / pace - days, at least 0; inf without an edge or a trade, NaN without days.
    """
    if not days > 0.0:
        return math.nan
    if trades <= 0.0:
        return math.inf
    return max(trades_needed(edge_bps, sd_bps) * days / trades - days, 0.0)
