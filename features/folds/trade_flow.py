"""Trade features: who was in a hurry, how often, and how their signs hang together.

Windows are made of buckets on the exchange's clock, as in `book_flow`; they are empty after a reset, and NaN until they
are whole again. s is the aggressor's side, q the quantity, p the price. Prints whose side is unknown count where sides
do not matter.
"""

from __future__ import annotations

import math
from typing import Protocol

from features.fold import Feature, Rule
from features.folds.top_of_book import leaning
from features.folds.undefined import few_buckets, few_orders, signed_since, traded_for
from features.folds.windows import (
    BUCKETS,
    TimeWindow,
    Window,
    cleared,
    emptied,
    pushed,
    state_layout,
    summed,
    time_params,
)
from features.rows.bars import NAN
from features.rows.sources import Source
from features.rows.trades import PreparedTrade
from utils.compiled import compiled
from utils.rows import NS_PER_DAY, NS_PER_S

#: Prints that set the first bucket volume of VPIN.
CALIBRATION = 500


class Sided(Protocol):
    """Bought and sold over a span of time."""

    n: int
    width: int
    span: int
    bought: TimeWindow
    sold: TimeWindow


class Counted(Protocol):
    """One sum over a span of time."""

    n: int
    width: int
    span: int
    window: TimeWindow


class Decaying(Protocol):
    """Bought and sold, the past forgotten by half every so often."""

    rate: float  # ln 2 / half-life, per ns
    span: int
    ts: int
    bought: float
    sold: float


class Remembering(Protocol):
    """Signs of the last market orders."""

    n: int
    seen: int  # orders that have ended since the reset
    side: int  # of the order that may go on
    ts: int
    last: int  # side of the order before it
    total: float
    products: Window


class Toxic(Protocol):
    """Buckets of equal volume."""

    n: int  # buckets
    prints: float  # of a usual size that fill one; 0 = the capacity stays
    capacity: float  # volume of a bucket, base; 0 = not known yet
    day: int  # since 1970
    day_prints: float
    day_volume: float
    bought: float  # in the bucket that fills
    sold: float
    filled: int  # buckets since the reset
    total: float
    window: Window  # of |bought - sold| / (bought + sold)


def _trade(
    name: str,
    unit: str,
    state: type,
    step: object,
    params: tuple[float, ...],
    undefined: Rule,
    reference: str,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    window: int = BUCKETS,
) -> Feature:
    """A feature of prints; its first row is a reset."""
    layout = state_layout(state, window)
    return Feature(name, Source.TRADE, unit, 1, layout, step, undefined, params, reference, bounds)  # type: ignore[arg-type]


@compiled
def trade_imbalance_step(state: Sided, row: PreparedTrade) -> float:
    """Order-flow imbalance of trades.

    Formula: (sum of q bought - sum of q sold) / their sum, over the window.
    Unit: fraction in [-1, 1]; +1 = takers only bought.
    NaN: a reset less than T ago, or no print of known side in the window.
    Source: Chordia and Subrahmanyam 2004.
    """
    bucket = row.ts // state.width
    if row.fresh:
        emptied(state.bought, bucket, state.n)
        emptied(state.sold, bucket, state.n)
    bought = summed(state.bought, row.qty if row.side > 0 else 0.0, bucket, state.n)
    sold = summed(state.sold, row.qty if row.side < 0 else 0.0, bucket, state.n)
    return leaning(bought, sold) if row.ts - row.fresh_ts >= state.span else NAN


def trade_imbalance(seconds: float = 10.0) -> Feature:
    """Signed volume over volume of the last `seconds`."""
    return _trade(
        f"trade_imbalance_{seconds:g}s",
        "fraction",
        Sided,
        trade_imbalance_step,
        time_params(seconds),
        traded_for(seconds, signed=True),
        "Chordia-Subrahmanyam 2004",
        (-1.0, 1.0),
    )


@compiled
def trade_rate_step(state: Counted, row: PreparedTrade) -> float:
    """How often the market trades.

    Formula: prints of the window / T.
    Unit: prints a second.
    NaN: a reset less than T ago.
    Source: own.
    """
    bucket = row.ts // state.width
    if row.fresh:
        emptied(state.window, bucket, state.n)
    prints = summed(state.window, 1.0, bucket, state.n)
    return prints * NS_PER_S / state.span if row.ts - row.fresh_ts >= state.span else NAN


def trade_rate(seconds: float = 10.0) -> Feature:
    """Prints a second over the last `seconds`."""
    rule = traded_for(seconds, signed=False)
    name, unit, bounds = f"trade_rate_{seconds:g}s", "prints a second", (0.0, math.inf)
    return _trade(name, unit, Counted, trade_rate_step, time_params(seconds), rule, "own", bounds)


@compiled
def turnover_step(state: Counted, row: PreparedTrade) -> float:
    """How much the market trades.

    Formula: 60 sum p q / T over the window.
    Unit: quote a minute.
    NaN: a reset less than T ago.
    Source: own.
    """
    bucket = row.ts // state.width
    if row.fresh:
        emptied(state.window, bucket, state.n)
    traded = summed(state.window, row.price * row.qty, bucket, state.n)
    return traded * 60.0 * NS_PER_S / state.span if row.ts - row.fresh_ts >= state.span else NAN


def turnover(seconds: float = 60.0) -> Feature:
    """Quote traded a minute, over the last `seconds`."""
    rule = traded_for(seconds, signed=False)
    name, unit, bounds = f"turnover_{seconds:g}s", "quote a minute", (0.0, math.inf)
    return _trade(name, unit, Counted, turnover_step, time_params(seconds), rule, "own", bounds)


@compiled
def hurry_step(state: Decaying, row: PreparedTrade) -> float:
    """Order-flow imbalance of trades whose past fades.

    Formula: (B - S) / (B + S), B = sum of q bought x 2^(-age / half-life).
    Unit: fraction in [-1, 1].
    NaN: a reset less than four half-lives ago, or no print of known side since.
    Source: the excitation of an exponential Hawkes process, fixed rather than fitted; Bacry et al. 2015.
    """
    if row.fresh:
        state.bought = 0.0
        state.sold = 0.0
        state.ts = row.ts
    kept = math.exp(-state.rate * (row.ts - state.ts))
    state.ts = row.ts
    state.bought = state.bought * kept + (row.qty if row.side > 0 else 0.0)
    state.sold = state.sold * kept + (row.qty if row.side < 0 else 0.0)
    return leaning(state.bought, state.sold) if row.ts - row.fresh_ts >= state.span else NAN


def hurry(half_life: float = 2.0) -> Feature:
    """Trade imbalance whose past fades by half in `half_life` seconds."""
    params = (math.log(2.0) / (half_life * NS_PER_S), round(4 * half_life * NS_PER_S))
    rule = signed_since(4 * half_life)
    name = f"trade_imbalance_fading_{half_life:g}s"
    return _trade(name, "fraction", Decaying, hurry_step, params, rule, "Bacry et al. 2015", (-1.0, 1.0))


@compiled
def sign_memory_step(state: Remembering, row: PreparedTrade) -> float:
    """How much the side of a market order says of the next.

    Formula: mean of s_i s_(i+1) over the last n pairs of market orders; prints of one time and side are one order.
    Unit: fraction in [-1, 1]; 0 = no memory of either sort.
    NaN: fewer than n pairs have ended since the last reset.
    Source: Lillo, Mike and Farmer 2005; signs average near 0 over many orders, so this is their autocorrelation.
    """
    if row.fresh:
        cleared(state.products, state.n)
        state.seen = 0
        state.side = 0
        state.last = 0
    if row.side != 0 and not (row.side == state.side and row.ts == state.ts):
        if state.last != 0:
            state.total = pushed(state.products, float(state.last * state.side), state.n)
            state.seen += 1
        state.last = state.side
        state.side = row.side
        state.ts = row.ts
    return state.total / state.n if state.seen >= state.n else NAN


def sign_memory(n: int = 200) -> Feature:
    """Autocorrelation of the sides of the last n pairs of market orders."""
    return _trade(
        f"sign_memory_{n}",
        "fraction",
        Remembering,
        sign_memory_step,
        (n,),
        few_orders(n),
        "Lillo-Mike-Farmer 2005",
        (-1.0, 1.0),
        n,
    )


@compiled
def vpin_step(state: Toxic, row: PreparedTrade) -> float:
    """Volume-synchronised probability of informed trading, from true aggressor flags.

    Formula: mean over the last n full buckets of |V_b - V_s| / (V_b + V_s). A bucket holds the volume of `prints`
    prints of mean size: that of the UTC day before, or of the first 500 prints. A print is split over buckets.
    Unit: fraction in [0, 1].
    NaN: fewer than n buckets since the last reset.
    Source: Easley, Lopez de Prado and O'Hara 2012. A measure of risk, never of direction; by Andersen and Bondarenko
        2014 it adds little to volume and volatility.
    """
    if row.fresh:
        cleared(state.window, state.n)
        state.filled = 0
        state.bought = 0.0
        state.sold = 0.0
    day = row.ts // NS_PER_DAY
    if day != state.day:
        if state.day_prints >= CALIBRATION and state.prints > 0.0:
            state.capacity = state.prints * state.day_volume / state.day_prints
        state.day = day
        state.day_prints = 0.0
        state.day_volume = 0.0
    state.day_prints += 1.0
    state.day_volume += row.qty
    if state.capacity == 0.0:
        if state.day_prints >= CALIBRATION:
            state.capacity = state.prints * state.day_volume / state.day_prints
        return NAN
    # a print larger than all buckets that count fills them, however large it is
    left = min(row.qty, (state.n + 1) * state.capacity) if row.side != 0 else 0.0
    while left > 0.0:
        room = max(0.0, state.capacity - (state.bought + state.sold))
        part = min(left, room)
        state.bought += part if row.side > 0 else 0.0
        state.sold += part if row.side < 0 else 0.0
        left -= part
        if part == room:
            state.total = pushed(state.window, abs(leaning(state.bought, state.sold)), state.n)
            state.filled += 1
            state.bought = 0.0
            state.sold = 0.0
    return min(1.0, state.total / state.n) if state.filled >= state.n else NAN


def vpin(prints: int = 20, n: int = 50) -> Feature:
    """VPIN over n buckets, each of the volume of `prints` usual prints."""
    return _trade(
        f"vpin_{n}",
        "fraction",
        Toxic,
        vpin_step,
        (n, prints),
        few_buckets(n, prints, CALIBRATION),
        "Easley-Lopez de Prado-O'Hara 2012",
        (0.0, 1.0),
        n,
    )


def vpin_of(bucket_volume: float, n: int = 50) -> Feature:
    """VPIN over n buckets of a volume that is given (base) and stays."""
    return _trade(
        f"vpin_{n}_fixed",
        "fraction",
        Toxic,
        vpin_step,
        (n, 0, bucket_volume),
        few_buckets(n, 0.0, CALIBRATION, bucket_volume),
        "Easley-Lopez de Prado-O'Hara 2012",
        (0.0, 1.0),
        n,
    )
