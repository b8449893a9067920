"""How symbols move together: one fold over closes that come at the same moment, for the engine and for research.

A correlation is what hedges count on and what crowds have in common, and it is worst known when it matters. So what is
not known yet counts as 1, what is estimated low between majors counts as the floor, and a hedge is believed only as far
as it was measured.
"""

from __future__ import annotations

import math
from typing import Protocol

from utils.compiled import compiled
from utils.rows import layout_of


class PairRow(Protocol):
    """What is known of two symbols' returns at the same closes; all zero = nothing yet."""

    cov: float  # weighted mean of a b, fraction squared; all three lack the same share while young, so rho does not
    var_a: float  # weighted mean of a a
    var_b: float
    seen: int  # closes at which both had a return


PAIR = layout_of(PairRow)


def weight_of(halflife: float) -> float:
    """Weight of the newest return in a mean whose memory halves over `halflife` returns: 1 - 2^(-1 / halflife)."""
    return 1.0 - 2.0 ** (-1.0 / halflife)


@compiled
def pair_step(pair: PairRow, a: float, b: float, weight: float) -> None:
    """Two returns over the same time join a pair.

    Formula: cov += w (a b - cov), var likewise; of mean zero, as means of short returns are but noise.

    Args:
        pair: moves.
        a: log return of the one, fraction; where either is NaN the two are not of one time, and nothing moves.
        b: of the other.
        weight: w, as `weight_of` tells.
    """
    if math.isnan(a) or math.isnan(b):
        return
    pair.cov += weight * (a * b - pair.cov)
    pair.var_a += weight * (a * a - pair.var_a)
    pair.var_b += weight * (b * b - pair.var_b)
    pair.seen += 1


@compiled
def rho_of(pair: PairRow, floor: float, least: float) -> float:
    """The correlation of a pair, at least `floor`; 1, the stressed value, while it is unknown.

    Args:
        pair: cov, var_a, var_b, seen.
        floor: lowest answer; -1 = as estimated.
        least: closes below which nothing is known, as of a pair one of which never moved.

    Returns:
        rho from -1 to 1.
    """
    spread = math.sqrt(pair.var_a * pair.var_b)
    if pair.seen < least or not spread > 0.0:
        return 1.0
    return max(floor, min(1.0, max(-1.0, pair.cov / spread)))


@compiled
def heat_rho(pair: PairRow, sides: int, floor: float, least: float) -> float:
    """The correlation by which two positions' heats are to be multiplied: a crowd by the floor, a hedge by estimate.

    Args:
        pair: cov, var_a, var_b, seen.
        sides: d_i d_j, +1 = both on one side, -1 = one against the other.
        floor: lowest correlation of two on one side.
        least: closes below which nothing is known: then a crowd is one position, and a hedge is none.

    Returns:
        rho from -1 to 1; its sign is the pair's, that of the sides is not in it.
    """
    if sides > 0:
        return rho_of(pair, floor, least)
    if pair.seen < least or not math.sqrt(pair.var_a * pair.var_b) > 0.0:
        return 0.0
    return rho_of(pair, -1.0, least)
