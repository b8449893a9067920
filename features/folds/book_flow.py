"""Book features: how wide, how heavy, where it leans, and what the last events did to it.

A window of T seconds is made of twenty buckets on the exchange's clock, the current one included. It is empty after a
snapshot, a gap or an empty side, and its features are NaN until the book has been whole for T. P and q are price and
quantity at a level, b bids and a asks, m the mid.
"""

from __future__ import annotations

import math
from typing import Protocol

from features.fold import Feature, Rule
from features.folds.top_of_book import DISTANCE_BPS, imbalance_of, leaning, level_weight, spread_of, weighted_mid_of
from features.folds.undefined import NOTHING_NEAR, ONE_SIDED, whole_for
from features.folds.windows import BUCKETS, Ring, TimeWindow, emptied, state_layout, summed, time_params
from features.rows.bars import NAN, TO_BPS, Nothing
from features.rows.book import BAND_BPS, LEVELS, PreparedBook
from features.rows.sources import Source
from utils.compiled import compiled, inlined
from utils.market.book import ASKS, BIDS
from utils.rows import NS_PER_S


class Weighed(Protocol):
    """How levels weigh."""

    levels: int
    decay: float  # weight falls by exp(-decay) a level
    per_distance: float  # and by exp(-distance x per_distance), distance in bps of the mid; 0 = it does not


class Timed(Protocol):
    """Two sums over a span of time."""

    n: int  # buckets
    width: int  # of one, ns
    span: int  # of all, ns
    first: TimeWindow
    second: TimeWindow


class Flowing(Protocol):
    """Order flow over a span of time, and the depth it came upon."""

    n: int
    width: int
    span: int
    levels: int
    flow: TimeWindow
    depth: TimeWindow
    events: TimeWindow


class Standing(Protocol):
    """Spreads over a span of time, each with how long it stood."""

    n: int
    width: int
    span: int
    ts: int
    spread: float
    sums: TimeWindow
    time: TimeWindow


class Looking(Protocol):
    """Mids at the ends of past buckets."""

    n: int
    width: int
    span: int
    bucket: int
    mid: float
    ring: Ring


class Moving(Protocol):
    """Squared moves of the mid from bucket to bucket."""

    n: int
    width: int
    span: int
    scale: float
    bucket: int
    mid: float
    end: float  # mid at the end of the bucket before
    squares: TimeWindow


def _book(
    name: str,
    unit: str,
    state: type,
    step: object,
    params: tuple[float, ...],
    undefined: Rule,
    reference: str,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Feature:
    """A feature of the book; its first row is a reset, so that what needs a window has its warm-up there."""
    warmup = 0 if state in {Nothing, Weighed} else 1
    layout = state_layout(state, BUCKETS)
    return Feature(name, Source.BOOK, unit, warmup, layout, step, undefined, params, reference, bounds)  # type: ignore[arg-type]


@compiled
def spread_step(state: Nothing, row: PreparedBook) -> float:  # noqa: ARG001 - every step has this shape
    """Quoted spread over the mid.

    Formula: 1e4 (P_a - P_b) / m at the best level.
    Unit: bps.
    NaN: a side is empty.
    Source: Huang and Stoll 1996.
    """
    return spread_of(row)


def spread() -> Feature:
    """Quoted spread now."""
    return _book("spread_bps", "bps", Nothing, spread_step, (), ONE_SIDED, "Huang-Stoll 1996", (0.0, math.inf))


@compiled
def mean_spread_step(state: Standing, row: PreparedBook) -> float:
    """Quoted spread over a span of time, each weighed by how long it stood.

    Formula: sum s dt / sum dt, s the spread (bps) that stood for dt up to an event of the window.
    Unit: bps.
    NaN: the book has not been whole for the span.
    Source: Huang and Stoll 1996; by time, not by update, as updates come in bursts.
    """
    bucket = row.ts // state.width
    if row.fresh:
        emptied(state.sums, bucket, state.n)
        emptied(state.time, bucket, state.n)
        state.ts = row.ts
        state.spread = spread_of(row)
        return NAN
    stood = float(row.ts - state.ts)
    sums = summed(state.sums, stood * state.spread, bucket, state.n)
    time = summed(state.time, stood, bucket, state.n)
    state.ts = row.ts
    state.spread = spread_of(row)
    if row.ts - row.whole_ts < state.span or time == 0.0:
        return NAN
    return sums / time


def mean_spread(seconds: float = 10.0) -> Feature:
    """Time-weighted spread of the last `seconds`."""
    rule = whole_for(seconds)
    return _book(
        f"spread_{seconds:g}s_bps",
        "bps",
        Standing,
        mean_spread_step,
        time_params(seconds),
        rule,
        "Huang-Stoll 1996",
        (0.0, math.inf),
    )


@compiled
def imbalance_step(state: Weighed, row: PreparedBook) -> float:
    """Which side is heavier, its levels weighed.

    Formula: (B - A) / (B + A), B = sum w q_b over the best levels, w = exp(-decay (l - 1) - |P - m| / d0).
    Unit: fraction in [-1, 1]; above 0 = more to buy.
    NaN: a side is empty.
    Source: Gould and Bonart 2015, arXiv 1512.03492.
    """
    if row.both == 0:
        return NAN
    bids, asks = 0.0, 0.0
    for level in range(state.levels):
        bids += row.qtys[BIDS, level] * level_weight(
            level, row.prices[BIDS, level], row.mid, state.decay, state.per_distance
        )
        asks += row.qtys[ASKS, level] * level_weight(
            level, row.prices[ASKS, level], row.mid, state.decay, state.per_distance
        )
    return leaning(bids, asks)


@compiled
def imbalance_1_step(state: Nothing, row: PreparedBook) -> float:  # noqa: ARG001
    """Which side is heavier at the best level.

    Formula: (q_b - q_a) / (q_b + q_a).
    Unit: fraction in [-1, 1]; above 0 = more to buy.
    NaN: a side is empty.
    Source: Gould and Bonart 2015, arXiv 1512.03492.
    """
    return imbalance_of(row) if row.both == 1 else NAN


def imbalance(levels: int = 1, decay: float = 0.0) -> Feature:
    """Imbalance of the best levels; `decay` per level, 0 = all weigh the same."""
    reference = "Gould-Bonart 2015"
    name = f"imbalance_{levels}" + ("_decayed" if decay else "")
    if levels == 1:
        return _book(name, "fraction", Nothing, imbalance_1_step, (), ONE_SIDED, reference, (-1.0, 1.0))
    params = (levels, decay, 0.0)
    return _book(name, "fraction", Weighed, imbalance_step, params, ONE_SIDED, reference, (-1.0, 1.0))


def pressure(levels: int = LEVELS, distance_bps: float = DISTANCE_BPS) -> Feature:
    """Imbalance of the best levels, each weighed by how near to the mid it lies."""
    params = (levels, 0.0, 1.0 / distance_bps)
    name = f"pressure_{levels}"
    return _book(name, "fraction", Weighed, imbalance_step, params, ONE_SIDED, "Gould-Bonart 2015", (-1.0, 1.0))


@compiled
def near_imbalance_step(state: Nothing, row: PreparedBook) -> float:  # noqa: ARG001
    """Which side is heavier within 5 bps of the mid, of all levels the book holds.

    Formula: (B - A) / (B + A), B = sum of q_b with |P - m| <= 5 bps.
    Unit: fraction in [-1, 1].
    NaN: a side is empty, or nothing lies so near.
    Source: Xu, Gould and Howison 2019 (levels by distance); own width.
    """
    return leaning(row.near[BIDS], row.near[ASKS])


def near_imbalance() -> Feature:
    """Imbalance within `BAND_BPS` of the mid."""
    name = f"imbalance_{BAND_BPS:g}bps"
    return _book(name, "fraction", Nothing, near_imbalance_step, (), NOTHING_NEAR, "own", (-1.0, 1.0))


@compiled
def near_depth_step(state: Nothing, row: PreparedBook) -> float:  # noqa: ARG001
    """What could be traded within 5 bps of the mid, of all levels the book holds.

    Formula: m (sum q_b + sum q_a) over |P - m| <= 5 bps.
    Unit: quote.
    NaN: a side is empty.
    Source: own.
    """
    near: float = row.near[BIDS] + row.near[ASKS]
    return row.mid * near


def near_depth() -> Feature:
    """Depth within `BAND_BPS` of the mid, quote."""
    name = f"depth_{BAND_BPS:g}bps"
    return _book(name, "quote", Nothing, near_depth_step, (), ONE_SIDED, "own", (0.0, math.inf))


@compiled
def lean_step(state: Nothing, row: PreparedBook) -> float:  # noqa: ARG001
    """Distance of the weighted mid from the mid.

    Formula: 1e4 (wm / m - 1), wm = (P_b q_a + P_a q_b) / (q_b + q_a).
    Unit: bps.
    NaN: a side is empty.
    Source: own; see `weighted_mid_of`.
    """
    return TO_BPS * (weighted_mid_of(row) - row.mid) / row.mid if row.both == 1 else NAN


def lean() -> Feature:
    """How far the weighted mid lies from the mid."""
    return _book("weighted_mid_bps", "bps", Nothing, lean_step, (), ONE_SIDED, "own")


@inlined
def begun_anew(state: Flowing, bucket: int) -> None:
    """Forget all flow."""
    emptied(state.flow, bucket, state.n)
    emptied(state.depth, bucket, state.n)
    emptied(state.events, bucket, state.n)


@compiled
def ofi_step(state: Flowing, row: PreparedBook) -> float:
    """Order-flow imbalance of book events, in units of the depth they came upon.

    Formula: sum e / AD over the window, e the event's order flow at the best level (`level_flow`), AD the mean over
    its events of (q_b + q_a) / 2.
    Unit: multiples of the mean best quantity; above 0 = pressure upwards.
    NaN: the book has not been whole for the span.
    Source: Cont, Kukanov and Stoikov 2014. It explains the move of its own window; it is no forecast.
    """
    bucket = row.ts // state.width
    if row.fresh:
        begun_anew(state, bucket)
        return NAN
    flow = summed(state.flow, row.flow[0], bucket, state.n)
    depth = summed(state.depth, 0.5 * (row.bid_qty + row.ask_qty), bucket, state.n)
    events = summed(state.events, 1.0, bucket, state.n)
    return flow * events / depth if row.ts - row.whole_ts >= state.span else NAN


def ofi(seconds: float = 10.0) -> Feature:
    """Best-level order-flow imbalance of the last `seconds`."""
    name, params = f"ofi_{seconds:g}s", (*time_params(seconds), 1)
    return _book(name, "mean best quantities", Flowing, ofi_step, params, whole_for(seconds), "Cont et al. 2014")


@compiled
def deep_ofi_step(state: Flowing, row: PreparedBook) -> float:
    """Order-flow imbalance over several levels, all weighing the same, in units of the depth they came upon.

    Formula: mean over levels of sum e_l / AD, AD the mean over events and levels of the quantity at a level.
    Unit: multiples of the mean quantity at a level; above 0 = pressure upwards.
    NaN: the book has not been whole for the span.
    Source: Xu, Gould and Howison 2019, arXiv 1907.06230; equal weights stand in for the first principal component of
        Cont, Cucuringu and Zhang 2023, which `microstructure.integrated_ofi` fits.
    """
    bucket = row.ts // state.width
    if row.fresh:
        begun_anew(state, bucket)
        return NAN
    total = 0.0
    for level in range(state.levels):
        total += row.flow[level]
    flow = summed(state.flow, total / state.levels, bucket, state.n)
    depth = summed(state.depth, row.mean_depth, bucket, state.n)
    events = summed(state.events, 1.0, bucket, state.n)
    return flow * events / depth if row.ts - row.whole_ts >= state.span else NAN


def deep_ofi(seconds: float = 10.0, levels: int = LEVELS) -> Feature:
    """Order-flow imbalance of the best levels over the last `seconds`."""
    name, params = f"ofi_{levels}_levels_{seconds:g}s", (*time_params(seconds), levels)
    return _book(name, "mean quantities", Flowing, deep_ofi_step, params, whole_for(seconds), "Xu et al. 2019")


@compiled
def mid_return_step(state: Looking, row: PreparedBook) -> float:
    """Move of the mid since the end of the bucket that lies a window back.

    Formula: 1e4 ln(m / m'), m' the mid at the end of the bucket n buckets before this one: T ago, or up to T/20 less.
    Unit: bps.
    NaN: the book has not been whole for the span.
    Source: own.
    """
    bucket = row.ts // state.width
    if row.fresh:
        state.bucket = bucket
        for k in range(state.n):
            state.ring[k] = row.mid
    for k in range(max(state.bucket, bucket - state.n), bucket):
        state.ring[k % state.n] = state.mid
    state.bucket = bucket
    state.mid = row.mid
    if row.ts - row.whole_ts < state.span or row.both == 0:
        return NAN
    return TO_BPS * (math.log(row.mid) - math.log(state.ring[bucket % state.n]))


def mid_return(seconds: float = 10.0) -> Feature:
    """Move of the mid over the last `seconds`, bps."""
    name = f"mid_return_{seconds:g}s_bps"
    return _book(name, "bps", Looking, mid_return_step, time_params(seconds), whole_for(seconds), "own")


@compiled
def mid_vol_step(state: Moving, row: PreparedBook) -> float:
    """Volatility of the mid, from its moves between the ends of the buckets of a window.

    Formula: 1e4 sqrt(sum r^2 60 / T), r = ln of the mid over the mid at the end of the bucket before, for those of the
    last T s.
    Unit: bps per square root of a minute.
    NaN: the book has not been whole for the span.
    Source: realised volatility; Andersen and Bollerslev 1998.
    """
    bucket = row.ts // state.width
    if row.fresh:
        emptied(state.squares, bucket, state.n)
        state.bucket = bucket
        state.mid = row.mid
        state.end = row.mid
        return NAN
    if bucket > state.bucket:
        move = math.log(state.mid) - math.log(state.end)
        # known when its bucket ended, which may be long ago
        summed(state.squares, move * move, state.bucket + 1, state.n)
        state.end = state.mid
        state.bucket = bucket
    total = summed(state.squares, 0.0, bucket, state.n)
    state.mid = row.mid
    return math.sqrt(total * state.scale) if row.ts - row.whole_ts >= state.span else NAN


def mid_vol(seconds: float = 60.0) -> Feature:
    """Realised volatility of the mid over the last `seconds`."""
    params = (*time_params(seconds), TO_BPS * TO_BPS * 60.0 / seconds)
    name, unit = f"mid_vol_{seconds:g}s_bps", "bps per sqrt(minute)"
    rule = whole_for(seconds)
    return _book(name, unit, Moving, mid_vol_step, params, rule, "Andersen-Bollerslev 1998", (0.0, math.inf))


@compiled
def update_rate_step(state: Timed, row: PreparedBook) -> float:
    """How often the book changes.

    Formula: events of the window / T.
    Unit: events a second.
    NaN: the book has not been whole for the span.
    Source: own; what counts as an event differs between venues and streams.
    """
    bucket = row.ts // state.width
    if row.fresh:
        emptied(state.first, bucket, state.n)
        return NAN
    events = summed(state.first, 1.0, bucket, state.n)
    return events * NS_PER_S / state.span if row.ts - row.whole_ts >= state.span else NAN


def update_rate(seconds: float = 10.0) -> Feature:
    """Book events a second over the last `seconds`."""
    name, unit = f"book_rate_{seconds:g}s", "events a second"
    return _book(name, unit, Timed, update_rate_step, time_params(seconds), whole_for(seconds), "own", (0.0, math.inf))
