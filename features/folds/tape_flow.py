"""Features of quotes and prints together: what trading costs, what of it is kept, and how far flow moves the price.

A print is held against the last quote that the exchange stamped strictly before it. Windows are made of buckets on the
exchange's clock, as in `book_flow`; they are empty after a reset or a quote without a side. s is the aggressor's side,
p the price, q the quantity, m the mid.
"""

from __future__ import annotations

import math
from typing import Protocol

from features.fold import Feature, Rule
from features.folds.undefined import measured_for, settled_for, unregressed
from features.folds.windows import BUCKETS, Ring, TimeWindow, emptied, state_layout, summed, time_params
from features.rows.bars import NAN, TO_BPS
from features.rows.sources import Source
from features.rows.tape import PRINT, QUOTE, PreparedTape
from utils.compiled import compiled, inlined
from utils.rows import NS_PER_S

#: Prints that can wait for their horizon; in a burst of more, some are not sampled.
WAITING = 1024
#: Quote that lambda is told for.
MILLION = 1e6


class Paying(Protocol):
    """Costs over a span of time, weighed by quantity."""

    n: int
    width: int
    span: int
    costs: TimeWindow
    weight: TimeWindow


class Waiting(Protocol):
    """Prints that wait for their horizon, oldest first."""

    first: int  # number of the oldest, since the reset
    end: int  # of the next
    time: Ring  # ns since the reset: exact in float64 for a hundred days
    side: Ring
    price: Ring
    qty: Ring
    mid: Ring


class Keeping(Protocol):
    """Costs that turned out, over a span of time."""

    n: int
    width: int
    span: int
    horizon: int  # ns
    mid: float  # of the last quote before this row
    costs: TimeWindow
    weight: TimeWindow
    waiting: Waiting


class Regressing(Protocol):
    """Moves and signed volumes of the last whole buckets."""

    n: int
    width: int
    span: int
    bucket: int
    mid: float
    end: float  # mid at the end of the bucket before
    volume: float  # signed quote, millions, in this bucket
    value: float
    moves: Ring  # bps, by bucket % n
    volumes: Ring


def _tape(
    name: str, unit: str, state: type, step: object, params: tuple[float, ...], undefined: Rule, ref: str, ring: int
) -> Feature:
    """A feature of quotes and prints; its first row is a reset."""
    return Feature(name, Source.TAPE, unit, 1, state_layout(state, ring), step, undefined, params, ref)  # type: ignore[arg-type]


@compiled
def cost_bps(side: float, price: float, later: float, mid: float) -> float:
    """Spread paid by a print against a mid, at its time or later.

    Formula: 1e4 x 2 s (p - m') / m, m the mid before the print, m' that mid or a later one.
    Unit: bps; positive = the aggressor paid.
    Source: Huang and Stoll 1996; SEC Rule 605.
    """
    return TO_BPS * 2.0 * side * (price - later) / mid


@compiled
def effective_spread_step(state: Paying, row: PreparedTape) -> float:
    """What takers paid, against the mid before each print.

    Formula: sum q c / sum q over the prints of the window, c = 1e4 x 2 s (p - m) / m.
    Unit: bps.
    NaN: a reset less than T ago, or no print of known side with a quote before it in the window.
    Source: Huang and Stoll 1996; SEC Rule 605.
    """
    bucket = row.ts // state.width
    if row.fresh:
        emptied(state.costs, bucket, state.n)
        emptied(state.weight, bucket, state.n)
    cost, weight = 0.0, 0.0
    if row.kind == PRINT and row.side != 0 and row.mid_before > 0.0:
        weight = row.qty
        cost = weight * cost_bps(float(row.side), row.price, row.mid_before, row.mid_before)
    costs = summed(state.costs, cost, bucket, state.n)
    total = summed(state.weight, weight, bucket, state.n)
    return costs / total if total > 0.0 and row.ts - row.fresh_ts >= state.span else NAN


def effective_spread(seconds: float = 60.0) -> Feature:
    """Effective spread of the last `seconds`, weighed by quantity."""
    name, rule = f"effective_spread_{seconds:g}s_bps", measured_for(seconds)
    params = time_params(seconds)
    return _tape(name, "bps", Paying, effective_spread_step, params, rule, "Huang-Stoll 1996", BUCKETS)


@inlined
def settled(state: Keeping, row: PreparedTape) -> None:
    """Settle the prints whose horizon ended before this row, at the mid that stood then and in the bucket of then."""
    waiting = state.waiting
    now = float(row.ts - row.fresh_ts)
    while waiting.first < waiting.end and waiting.time[waiting.first % WAITING] + state.horizon < now:
        k = waiting.first % WAITING
        cost = cost_bps(waiting.side[k], waiting.price[k], state.mid, waiting.mid[k])
        ended = (row.fresh_ts + int(waiting.time[k]) + state.horizon) // state.width
        summed(state.costs, waiting.qty[k] * cost, ended, state.n)
        summed(state.weight, waiting.qty[k], ended, state.n)
        waiting.first += 1


@compiled
def realised_spread_step(state: Keeping, row: PreparedTape) -> float:
    """What makers kept of it: the same against the mid a horizon later; the rest was the prints' impact.

    Formula: sum q c / sum q over the prints whose horizon D ended in the window, c = 1e4 x 2 s (p - m_(t+D)) / m.
    Unit: bps; below 0 = the price went on against the makers.
    NaN: a reset less than T + D ago, or no such print.
    Source: Huang and Stoll 1996.
    """
    bucket = row.ts // state.width
    waiting = state.waiting
    if row.fresh:
        emptied(state.costs, bucket, state.n)
        emptied(state.weight, bucket, state.n)
        waiting.first = 0
        waiting.end = 0
    settled(state, row)
    if row.kind == PRINT and row.side != 0 and row.mid_before > 0.0 and waiting.end - waiting.first < WAITING:
        k = waiting.end % WAITING
        waiting.time[k] = float(row.ts - row.fresh_ts)
        waiting.side[k] = float(row.side)
        waiting.price[k] = row.price
        waiting.qty[k] = row.qty
        waiting.mid[k] = row.mid_before
        waiting.end += 1
    state.mid = row.mid
    costs = summed(state.costs, 0.0, bucket, state.n)
    total = summed(state.weight, 0.0, bucket, state.n)
    return costs / total if total > 0.0 and row.ts - row.fresh_ts >= state.span + state.horizon else NAN


def realised_spread(seconds: float = 60.0, horizon: float = 5.0) -> Feature:
    """Realised spread after `horizon` seconds, over the last `seconds`, weighed by quantity."""
    params = (*time_params(seconds), round(horizon * NS_PER_S))
    name, rule = f"realised_spread_{seconds:g}s_bps", settled_for(seconds, horizon)
    return _tape(name, "bps", Keeping, realised_spread_step, params, rule, "Huang-Stoll 1996", WAITING)


@compiled
def slope(x: Ring, y: Ring, n: int) -> float:
    """Slope of the least-squares line of y on x with intercept, over n points; NaN if all x are equal.

    Formula: sum (x - mean x) (y - mean y) / sum (x - mean x)^2.
    """
    mean_x, mean_y = 0.0, 0.0
    for k in range(n):
        mean_x += x[k]
        mean_y += y[k]
    mean_x /= n
    mean_y /= n
    both, square, same = 0.0, 0.0, True
    for k in range(n):
        both += (x[k] - mean_x) * (y[k] - mean_y)
        square += (x[k] - mean_x) * (x[k] - mean_x)
        same = same and x[k] == x[0]
    return NAN if same or square == 0.0 else both / square


@compiled
def kyle_lambda_step(state: Regressing, row: PreparedTape) -> float:
    """How far a million quote of one-sided trading goes with a move of the price.

    Formula: slope of the move of ln m (bps) on signed turnover (millions of quote), with intercept, over the last n
    whole buckets.
    Unit: bps per million quote; above 0 where flow moves the price.
    NaN: a reset less than T and one bucket ago, or signed turnover the same in all buckets.
    Source: Kyle 1985; estimated as in Lopez de Prado, Advances in Financial Machine Learning, chapter 19.
    """
    bucket = row.ts // state.width
    if row.fresh:
        state.bucket = bucket
        state.mid = NAN
        state.end = NAN
        state.volume = 0.0
        state.value = NAN
        for k in range(state.n):
            state.moves[k] = NAN
            state.volumes[k] = NAN
    if bucket > state.bucket:
        for passed in range(max(state.bucket, bucket - state.n), bucket):
            k = passed % state.n
            moved = passed == state.bucket
            state.moves[k] = TO_BPS * (math.log(state.mid) - math.log(state.end)) if moved else 0.0
            state.volumes[k] = state.volume if moved else 0.0
        state.end = state.mid
        state.volume = 0.0
        state.bucket = bucket
        state.value = slope(state.volumes, state.moves, state.n)
    if row.kind == PRINT:
        state.volume += row.side * row.price * row.qty / MILLION
    elif row.kind == QUOTE:
        state.mid = row.mid
        if math.isnan(state.end):
            state.end = row.mid
    return state.value if row.ts - row.fresh_ts >= state.span + state.width else NAN


def kyle_lambda(seconds: float = 60.0) -> Feature:
    """Kyle's lambda over the last `seconds`."""
    name, rule = f"kyle_lambda_{seconds:g}s", unregressed(seconds)
    params = time_params(seconds)
    return _tape(name, "bps per million quote", Regressing, kyle_lambda_step, params, rule, "Kyle 1985", BUCKETS)
