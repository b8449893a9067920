"""Bar features of volatility: exponential, from the range, average true range, and the shape of the day.

Each is a state, a compiled step and a constructor that fills in the windows. All return NaN until their window is
full. r is the log return of a bar, O H L C its prices, C' the close before. Bars missing from a file are not bars: a
return spans them.
"""

from __future__ import annotations

import math
from typing import Protocol

from features.fold import NEVER, Feature
from features.folds.undefined import still, unseen
from features.folds.windows import (
    Average,
    Ring,
    Summed,
    TwoWindows,
    Window,
    half_life_weight,
    pushed,
    pushed_both,
    smoothed,
    state_layout,
)
from features.rows.bars import NAN, TO_BPS, PreparedBar, log_ratio
from features.rows.sources import Source
from utils.compiled import compiled, inlined

PARKINSON = 1.0 / (4.0 * math.log(2.0))
GARMAN = 2.0 * math.log(2.0) - 1.0
BUCKET_MINUTES = 30
BUCKETS = 48
#: Returns whose mean square starts an exponential volatility.
VOL_SEED = 20


class Gapped(Protocol):
    """What Yang-Zhang needs over n bars."""

    n: int
    k: float
    rogers_part: float  # (1 - k) (n - 1) / n
    per_n: float
    per_n_less_1: float
    means: TwoWindows  # of the gaps and of the bodies
    mixed: Window


class Volatility(Protocol):
    """Exponential mean of squared returns."""

    weight: float
    seed: int
    square: float


class TwoVolatilities(Protocol):
    """A fast and a slow exponential mean of squared returns."""

    weight: float
    seed: int
    slow_weight: float
    slow_seed: int
    square: float
    slow_square: float


class DayShape(Protocol):
    """Mean absolute return of each half hour of the day, and of all."""

    seen: float
    usual: float
    buckets_seen: Ring
    buckets_mean: Ring


class TimeOfDay(Protocol):
    """The shape of the day, and how slowly it may change."""

    least: int
    bucket_weight: float
    all_weight: float
    day: DayShape


class AdjustedVolatility(Protocol):
    """A volatility and the shape of the day."""

    least: int
    bucket_weight: float
    all_weight: float
    weight: float
    seed: int
    square: float
    day: DayShape


@compiled
def ewma_vol_step(state: Volatility, row: PreparedBar) -> float:
    """Exponentially weighted volatility of a bar's return.

    Formula: s2 = (1 - a) s2 + a r^2, started with the mean of the first `seed` squares; 1e4 sqrt(s2).
    Unit: bps per sqrt(bar).
    NaN: never.
    Source: RiskMetrics Technical Document, 1996; a = 1 - 2^(-1 / half-life).
    """
    count = row.count - 1
    if count == 0:
        return NAN
    state.square = smoothed(state.square, row.log_return * row.log_return, count, state.seed, state.weight)
    if count < state.seed:
        return NAN
    return TO_BPS * math.sqrt(state.square)


def ewma_vol(half_life: int = 20, seed: int = VOL_SEED) -> Feature:
    """Exponentially weighted volatility, bps per sqrt(bar); half-life and seed in bars."""
    return Feature(
        name=f"ewma_vol_{half_life}_bps",
        source=Source.BAR,
        unit="bps per sqrt(bar)",
        warmup=seed,
        state=state_layout(Volatility),
        step=ewma_vol_step,
        undefined=NEVER,
        params=(half_life_weight(half_life), seed),
        reference="RiskMetrics 1996",
        bounds=(0.0, math.inf),
    )


@compiled
def vol_ratio_step(state: TwoVolatilities, row: PreparedBar) -> float:
    """Fast over slow exponentially weighted volatility.

    Formula: sqrt(s2_fast / s2_slow), each as in ewma_vol_step.
    Unit: ratio, 1 = as volatile as usual.
    NaN: no return but 0 in the slow seed.
    Source: own.
    """
    count = row.count - 1
    if count == 0:
        return NAN
    square = row.log_return * row.log_return
    state.square = smoothed(state.square, square, count, state.seed, state.weight)
    state.slow_square = smoothed(state.slow_square, square, count, state.slow_seed, state.slow_weight)
    if count < state.slow_seed or row.still >= state.slow_seed:
        return NAN
    return math.sqrt(state.square / state.slow_square)


def vol_ratio(fast: int = 20, slow: int = 120, seed: int = VOL_SEED, slow_seed: int = 60) -> Feature:
    """Ratio of a fast to a slow exponentially weighted volatility; half-lives and seeds in bars, seed <= slow_seed."""
    return Feature(
        name=f"vol_ratio_{fast}_{slow}",
        source=Source.BAR,
        unit="ratio",
        warmup=slow_seed,
        state=state_layout(TwoVolatilities),
        step=vol_ratio_step,
        undefined=still(slow_seed),
        params=(half_life_weight(fast), seed, half_life_weight(slow), slow_seed),
        reference="own",
        bounds=(0.0, math.inf),
    )


@compiled
def parkinson_step(state: Summed, row: PreparedBar) -> float:
    """Parkinson volatility over n bars.

    Formula: 1e4 sqrt(mean(ln(H/L)^2) / (4 ln 2)).
    Unit: bps per sqrt(bar).
    NaN: never.
    Source: Parkinson, The Extreme Value Method, 1980.
    """
    total = pushed(state.window, row.log_range * row.log_range, state.n)
    if row.count < state.n:
        return NAN
    return TO_BPS * math.sqrt(total * state.scale)


@compiled
def garman_klass_step(state: Summed, row: PreparedBar) -> float:
    """Garman-Klass volatility over n bars.

    Formula: 1e4 sqrt(max(0, mean(0.5 ln(H/L)^2 - (2 ln 2 - 1) ln(C/O)^2))); clipped after averaging.
    Unit: bps per sqrt(bar).
    NaN: never.
    Source: Garman and Klass, On the Estimation of Security Price Volatilities, 1980.
    """
    value = 0.5 * (row.log_range * row.log_range) - GARMAN * (row.log_body * row.log_body)
    total = pushed(state.window, value, state.n)
    if row.count < state.n:
        return NAN
    return TO_BPS * math.sqrt(max(0.0, total) * state.scale)


@compiled
def rogers_of(row: PreparedBar) -> float:
    """Rogers and Satchell's term of one bar: ln(H/C) ln(H/O) + ln(L/C) ln(L/O)."""
    above = log_ratio(row.high, row.close)
    below = log_ratio(row.low, row.close)
    return above * (above + row.log_body) + below * (below + row.log_body)


@compiled
def rogers_satchell_step(state: Summed, row: PreparedBar) -> float:
    """Rogers-Satchell volatility over n bars: free of drift.

    Formula: 1e4 sqrt(mean(ln(H/C) ln(H/O) + ln(L/C) ln(L/O))).
    Unit: bps per sqrt(bar).
    NaN: never.
    Source: Rogers and Satchell, Estimating Variance from High, Low and Closing Prices, 1991.
    """
    total = pushed(state.window, rogers_of(row), state.n)
    if row.count < state.n:
        return NAN
    # prices a rounding apart can make the sum as little less than 0
    return TO_BPS * math.sqrt(max(0.0, total) * state.scale)


@compiled
def yang_zhang_step(state: Gapped, row: PreparedBar) -> float:
    """Yang-Zhang volatility over n bars and the n gaps before them.

    Formula: 1e4 sqrt(var(ln(O/C')) + k var(ln(C/O)) + (1 - k) RS), k = 0.34 / (1.34 + (n + 1) / (n - 1)), sample
    variances, RS as in rogers_satchell_step.
    Unit: bps per sqrt(bar).
    NaN: never.
    Source: Yang and Zhang, Drift-Independent Volatility Estimation, 2000.
    """
    if row.count < 2:
        return NAN
    n = state.n
    k = state.k
    pushed_both(state.means, row.log_gap, row.log_body, n)
    # n - 1 times all three terms, before the means are taken out: one window for the three
    mixed = row.log_gap * row.log_gap + k * (row.log_body * row.log_body) + state.rogers_part * rogers_of(row)
    gaps = state.means.first
    bodies = state.means.second
    total = pushed(state.mixed, mixed, n) - (gaps * gaps + k * (bodies * bodies)) * state.per_n
    if row.count <= n:
        return NAN
    return TO_BPS * math.sqrt(max(0.0, total) * state.per_n_less_1)


def parkinson(n: int = 20) -> Feature:
    """Parkinson volatility over n bars, bps per sqrt(bar)."""
    return Feature(
        name=f"parkinson_{n}_bps",
        source=Source.BAR,
        unit="bps per sqrt(bar)",
        warmup=n - 1,
        state=state_layout(Summed, n),
        step=parkinson_step,
        undefined=NEVER,
        params=(n, PARKINSON / n),
        reference="Parkinson 1980",
        bounds=(0.0, math.inf),
    )


def garman_klass(n: int = 20) -> Feature:
    """Garman-Klass volatility over n bars, bps per sqrt(bar)."""
    return Feature(
        name=f"garman_klass_{n}_bps",
        source=Source.BAR,
        unit="bps per sqrt(bar)",
        warmup=n - 1,
        state=state_layout(Summed, n),
        step=garman_klass_step,
        undefined=NEVER,
        params=(n, 1.0 / n),
        reference="Garman-Klass 1980",
        bounds=(0.0, math.inf),
    )


def rogers_satchell(n: int = 20) -> Feature:
    """Rogers-Satchell volatility over n bars, bps per sqrt(bar)."""
    return Feature(
        name=f"rogers_satchell_{n}_bps",
        source=Source.BAR,
        unit="bps per sqrt(bar)",
        warmup=n - 1,
        state=state_layout(Summed, n),
        step=rogers_satchell_step,
        undefined=NEVER,
        params=(n, 1.0 / n),
        reference="Rogers-Satchell 1991",
        bounds=(0.0, math.inf),
    )


def yang_zhang(n: int = 20) -> Feature:
    """Yang-Zhang volatility over n bars (n >= 2), bps per sqrt(bar)."""
    k = 0.34 / (1.34 + (n + 1.0) / (n - 1.0))
    return Feature(
        name=f"yang_zhang_{n}_bps",
        source=Source.BAR,
        unit="bps per sqrt(bar)",
        warmup=n,
        state=state_layout(Gapped, n),
        step=yang_zhang_step,
        undefined=NEVER,
        params=(n, k, (1.0 - k) * (n - 1.0) / n, 1.0 / n, 1.0 / (n - 1.0)),
        reference="Yang-Zhang 2000",
        bounds=(0.0, math.inf),
    )


@compiled
def atr_step(state: Average, row: PreparedBar) -> float:
    """Average true range, smoothed the way of Wilder.

    Formula: TR = max(H, C') - min(L, C'); A = A + (TR - A) / n, started with the mean of the first n.
    Unit: quote.
    NaN: never.
    Source: Wilder, New Concepts in Technical Trading Systems, 1978; equals TA-Lib's ATR.
    """
    count = row.count - 1
    if count == 0:
        return NAN
    state.value = smoothed(state.value, row.true_range, count, state.n, state.weight)
    if count < state.n:
        return NAN
    return state.value


@compiled
def atr_bps_step(state: Average, row: PreparedBar) -> float:
    """Average true range as a fraction of the close.

    Formula: 1e4 A / C, A as in atr_step.
    Unit: bps of the close.
    NaN: never.
    Source: Wilder 1978.
    """
    count = row.count - 1
    if count == 0:
        return NAN
    state.value = smoothed(state.value, row.true_range, count, state.n, state.weight)
    if count < state.n:
        return NAN
    return TO_BPS * state.value * row.per_close


def atr(n: int = 14) -> Feature:
    """Wilder's average true range over n bars, quote."""
    return Feature(
        name=f"atr_{n}",
        source=Source.BAR,
        unit="quote",
        warmup=n,
        state=state_layout(Average),
        step=atr_step,
        undefined=NEVER,
        params=(n, 1.0 / n),
        reference="Wilder 1978",
        bounds=(0.0, math.inf),
    )


def atr_bps(n: int = 14) -> Feature:
    """Wilder's average true range over n bars, bps of the close."""
    return Feature(
        name=f"atr_{n}_bps",
        source=Source.BAR,
        unit="bps",
        warmup=n,
        state=state_layout(Average),
        step=atr_bps_step,
        undefined=NEVER,
        params=(n, 1.0 / n),
        reference="Wilder 1978",
        bounds=(0.0, math.inf),
    )


@inlined
def day_shape(day: DayShape, row: PreparedBar, least: int, bucket_weight: float, all_weight: float) -> float:
    """Take in a return; the mean |r| of this half hour of the day over that of all; NaN if seen too rarely."""
    size = abs(row.log_return)
    k = row.minute // BUCKET_MINUTES
    day.seen += 1.0
    weight = all_weight if all_weight * day.seen > 1.0 else 1.0 / day.seen
    day.usual += weight * (size - day.usual)
    seen = day.buckets_seen[k] + 1.0
    weight = bucket_weight if bucket_weight * seen > 1.0 else 1.0 / seen
    mean = day.buckets_mean[k]
    mean += weight * (size - mean)
    day.buckets_seen[k] = seen
    day.buckets_mean[k] = mean
    if seen < least or day.usual <= 0.0:
        return NAN
    return mean / day.usual


@compiled
def time_of_day_vol_step(state: TimeOfDay, row: PreparedBar) -> float:
    """How volatile this half hour of the UTC day usually is, against all.

    Formula: m_k / m; m_k = mean |r| of bars that close in half hour k, m = mean |r| of all; plain means at first,
    exponential ones later, m over 48 times as many bars as m_k.
    Unit: ratio, 1 = as usual.
    NaN: the half hour was seen in fewer than `least` returns, or the price never moved.
    Source: Andersen and Bollerslev, Intraday Periodicity and Volatility Persistence, 1997.
    """
    if row.count < 2:
        return NAN
    return day_shape(state.day, row, state.least, state.bucket_weight, state.all_weight)


def time_of_day_vol(half_life: int = 300, least: int = 20) -> Feature:
    """Usual volatility of this half hour of the day over that of all; half-life in bars of one half hour."""
    return Feature(
        name="time_of_day_vol",
        source=Source.BAR,
        unit="ratio",
        warmup=least,
        state=state_layout(TimeOfDay, BUCKETS),
        step=time_of_day_vol_step,
        undefined=unseen(least, BUCKET_MINUTES),
        params=(least, half_life_weight(half_life), half_life_weight(half_life * BUCKETS)),
        reference="Andersen-Bollerslev 1997",
        bounds=(0.0, math.inf),
    )


@compiled
def adjusted_vol_step(state: AdjustedVolatility, row: PreparedBar) -> float:
    """Volatility with the shape of the day taken out.

    Formula: ewma_vol_step over time_of_day_vol_step.
    Unit: bps per sqrt(bar).
    NaN: as in time_of_day_vol_step, or the price never moved in this half hour of the day.
    Source: Andersen and Bollerslev 1997.
    """
    count = row.count - 1
    if count == 0:
        return NAN
    state.square = smoothed(state.square, row.log_return * row.log_return, count, state.seed, state.weight)
    usual = day_shape(state.day, row, state.least, state.bucket_weight, state.all_weight)
    if count < state.seed or math.isnan(usual) or usual == 0.0:
        return NAN
    return TO_BPS * math.sqrt(state.square) / usual


def adjusted_vol(vol_half_life: int = 20, seed: int = VOL_SEED, half_life: int = 300, least: int = 20) -> Feature:
    """Exponentially weighted volatility over the usual one of this half hour of the day, bps per sqrt(bar)."""
    return Feature(
        name=f"adjusted_vol_{vol_half_life}_bps",
        source=Source.BAR,
        unit="bps per sqrt(bar)",
        warmup=max(seed, least),
        state=state_layout(AdjustedVolatility, BUCKETS),
        step=adjusted_vol_step,
        undefined=unseen(least, BUCKET_MINUTES, pace=True),
        params=(
            least,
            half_life_weight(half_life),
            half_life_weight(half_life * BUCKETS),
            half_life_weight(vol_half_life),
            seed,
        ),
        reference="Andersen-Bollerslev 1997",
        bounds=(0.0, math.inf),
    )
