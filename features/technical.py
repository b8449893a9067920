"""Bar features: returns, volatility, trend, position, flow, liquidity and time of day.

Each is a state, a compiled step and a constructor that fills in the windows. All return NaN until their window is
full. Returns are logarithmic; r is the return of a bar, O H L C its prices, V its volume, C' the close before. Bars
missing from a file are not bars: a return spans them.
"""

from __future__ import annotations

import math
from typing import Protocol

from features.bars import NAN, PreparedBar
from features.fold import NEVER, Feature, Source
from features.rules import (
    NO_RANGE,
    few_volumes,
    frozen,
    idle,
    level,
    silent,
    still,
    still_before,
    unseen,
)
from features.windows import (
    Channel,
    Moments,
    Ring,
    TwoWindows,
    Window,
    half_life_weight,
    inlined,
    moved,
    pushed,
    pushed_both,
    smoothed,
    standing,
    state_layout,
    widened,
)

TO_BPS = 1e4
PARKINSON = 1.0 / (4.0 * math.log(2.0))
GARMAN = 2.0 * math.log(2.0) - 1.0
BUCKET_MINUTES = 30
BUCKETS = 48
#: Returns whose mean square starts an exponential volatility.
VOL_SEED = 20


class Nothing(Protocol):
    """State of a feature that needs only its row."""

    unused: float


class Lagged(Protocol):
    """The last n values."""

    n: int
    pos: int
    ring: Ring


class Summed(Protocol):
    """A sum over n bars."""

    n: int
    scale: float  # of the mean: a constant over n
    window: Window


class Travelled(Protocol):
    """The close n bars ago, and the way from there."""

    n: int
    pos: int
    closes: Ring
    path: Window


class TwiceSummed(Protocol):
    """Two sums over n bars."""

    n: int
    windows: TwoWindows


class Spread(Protocol):
    """Mean and variance over n values."""

    n: int
    most: float  # (n - 1) / sqrt(n)
    seen: int
    moments: Moments


class Gapped(Protocol):
    """What Yang-Zhang needs over n bars."""

    n: int
    k: float
    rogers_part: float  # (1 - k) (n - 1) / n
    means: TwoWindows  # of the gaps and of the bodies
    mixed: Window


class Paired(Protocol):
    """Sums over n pairs of one return and the next."""

    n: int
    last: float
    windows: TwoWindows  # of the products, and of each return alone


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


class Average(Protocol):
    """Exponential mean that starts with the mean of the first n values."""

    n: int
    weight: float
    value: float


class Trend(Protocol):
    """Two averages of the close and a volatility."""

    n: int
    fast_weight: float
    slow_n: int
    slow_weight: float
    weight: float
    seed: int
    fast: float
    slow: float
    square: float


class GainLoss(Protocol):
    """Wilder averages of rises and falls."""

    n: int
    gain: float
    loss: float


class Range(Protocol):
    """Highest high and lowest low of n bars."""

    n: int
    channel: Channel


class Breakout(Protocol):
    """Channel of n bars and an average true range."""

    n: int
    atr_n: int
    atr: float
    channel: Channel


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


# --- returns ----------------------------------------------------------------------------------------------------


@inlined
def return_1_step(state: Nothing, row: PreparedBar) -> float:  # noqa: ARG001 - every step has this shape
    """Log return of the bar.

    Formula: 1e4 ln(C / C').
    Unit: bps.
    NaN: never.
    Source: own.
    """
    return TO_BPS * row.log_return


@inlined
def return_step(state: Lagged, row: PreparedBar) -> float:
    """Log return over n bars.

    Formula: 1e4 ln(C[t] / C[t-n]).
    Unit: bps.
    NaN: never.
    Source: own.
    """
    k = state.pos
    before = state.ring[k]
    state.ring[k] = row.log_close
    k += 1
    state.pos = 0 if k == state.n else k
    if row.count <= state.n:
        return NAN
    return TO_BPS * (row.log_close - before)


def log_return(n: int = 1) -> Feature:
    """Log return over n bars, bps."""
    if n == 1:
        step, state, params = return_1_step, state_layout(Nothing), ()
        return Feature("return_1_bps", Source.BAR, "bps", 1, state, step, NEVER, params, "own")
    state = state_layout(Lagged, n)
    return Feature(f"return_{n}_bps", Source.BAR, "bps", n, state, return_step, NEVER, (n,), "own")


# --- volatility -------------------------------------------------------------------------------------------------


@inlined
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


@inlined
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


@inlined
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


@inlined
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


@inlined
def rogers_satchell_step(state: Summed, row: PreparedBar) -> float:
    """Rogers-Satchell volatility over n bars: free of drift.

    Formula: 1e4 sqrt(mean(ln(H/C) ln(H/O) + ln(L/C) ln(L/O))).
    Unit: bps per sqrt(bar).
    NaN: never.
    Source: Rogers and Satchell, Estimating Variance from High, Low and Closing Prices, 1991.
    """
    total = pushed(state.window, row.rogers, state.n)
    if row.count < state.n:
        return NAN
    return TO_BPS * math.sqrt(total * state.scale)


@inlined
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
    mixed = row.log_gap * row.log_gap + k * (row.log_body * row.log_body) + state.rogers_part * row.rogers
    gaps = state.means.first
    bodies = state.means.second
    total = pushed(state.mixed, mixed, n) - (gaps * gaps + k * (bodies * bodies)) / n
    if row.count <= n:
        return NAN
    return TO_BPS * math.sqrt(max(0.0, total) / (n - 1))


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
        params=(n, k, (1.0 - k) * (n - 1.0) / n),
        reference="Yang-Zhang 2000",
        bounds=(0.0, math.inf),
    )


@inlined
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


@inlined
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
    return TO_BPS * state.value / row.close


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


# --- trend and position -----------------------------------------------------------------------------------------


@inlined
def trend_step(state: Trend, row: PreparedBar) -> float:
    """Fast less slow exponential average of the close, in units of a bar's volatility.

    Formula: (EMA_fast - EMA_slow) / (C sigma); EMA weight 2 / (n + 1), started with the mean of the first n;
    sigma as in ewma_vol_step, as a fraction.
    Unit: bars' standard deviations.
    NaN: the volatility's seed of returns is all 0.
    Source: Appel's MACD, 1979, divided by volatility.
    """
    state.fast = smoothed(state.fast, row.close, row.count, state.n, state.fast_weight)
    state.slow = smoothed(state.slow, row.close, row.count, state.slow_n, state.slow_weight)
    count = row.count - 1
    if count == 0:
        return NAN
    state.square = smoothed(state.square, row.log_return * row.log_return, count, state.seed, state.weight)
    if row.count < state.slow_n or count < state.seed or row.still >= state.seed:
        return NAN
    return (state.fast - state.slow) / (row.close * math.sqrt(state.square))


def trend(fast: int = 12, slow: int = 48, half_life: int = 20, seed: int = VOL_SEED) -> Feature:
    """Difference of two exponential averages of the close over volatility; windows in bars, fast < slow."""
    return Feature(
        name=f"trend_{fast}_{slow}",
        source=Source.BAR,
        unit="standard deviations of a bar",
        warmup=max(slow - 1, seed),
        state=state_layout(Trend),
        step=trend_step,
        undefined=still(seed),
        params=(fast, 2.0 / (fast + 1.0), slow, 2.0 / (slow + 1.0), half_life_weight(half_life), seed),
        reference="Appel 1979",
    )


@inlined
def ema_slope_step(state: Average, row: PreparedBar) -> float:
    """How far an exponential average of the close moved in this bar.

    Formula: 1e4 (EMA[t] - EMA[t-1]) / C; weight 2 / (n + 1), started with the mean of the first n closes.
    Unit: bps per bar.
    NaN: never.
    Source: own.
    """
    before = state.value
    state.value = smoothed(before, row.close, row.count, state.n, state.weight)
    if row.count <= state.n:
        return NAN
    return TO_BPS * (state.value - before) / row.close


def ema_slope(n: int = 12) -> Feature:
    """Slope of the n-bar exponential average of the close, bps per bar."""
    return Feature(
        name=f"ema_slope_{n}_bps",
        source=Source.BAR,
        unit="bps per bar",
        warmup=n,
        state=state_layout(Average),
        step=ema_slope_step,
        undefined=NEVER,
        params=(n, 2.0 / (n + 1.0)),
        reference="own",
    )


@inlined
def zscore_step(state: Spread, row: PreparedBar) -> float:
    """Distance of the close from its mean over n bars, in sample standard deviations.

    Formula: (C - mean(C)) / sd(C), both over the last n bars, this one included.
    Unit: standard deviations; at most (n - 1) / sqrt(n).
    NaN: all n closes are equal.
    Source: Bollinger bands, 1983; bound: Samuelson 1968.
    """
    moved(state.moments, row.close, state.n)
    if row.count < state.n:
        return NAN
    return standing(state.moments, row.close, state.n, state.most)


def zscore(n: int = 20) -> Feature:
    """z-score of the close within the last n bars (n >= 2)."""
    most = (n - 1.0) / math.sqrt(n)
    return Feature(
        name=f"zscore_{n}",
        source=Source.BAR,
        unit="standard deviations",
        warmup=n - 1,
        state=state_layout(Spread, n),
        step=zscore_step,
        undefined=still(n - 1),
        params=(n, most),
        reference="Bollinger 1983",
        bounds=(-most, most),
    )


@inlined
def efficiency_step(state: Travelled, row: PreparedBar) -> float:
    """Efficiency ratio over n changes of the close: 1 = straight, 0 = back where it began.

    Formula: |C[t] - C[t-n]| / sum |C[i] - C[i-1]|.
    Unit: fraction in [0, 1].
    NaN: the close did not move in n bars.
    Source: Kaufman, Smarter Trading, 1995.
    """
    k = state.pos
    before = state.closes[k]
    state.closes[k] = row.close
    k += 1
    state.pos = 0 if k == state.n else k
    if row.count < 2:
        return NAN
    path = pushed(state.path, abs(row.change), state.n)
    if row.count <= state.n or path == 0.0:
        return NAN
    return min(1.0, abs(row.close - before) / path)


def efficiency(n: int = 20) -> Feature:
    """Kaufman's efficiency ratio over n changes, 0-1."""
    return Feature(
        name=f"efficiency_{n}",
        source=Source.BAR,
        unit="fraction",
        warmup=n,
        state=state_layout(Travelled, n),
        step=efficiency_step,
        undefined=still(n),
        params=(n,),
        reference="Kaufman 1995",
        bounds=(0.0, 1.0),
    )


@inlined
def rsi_step(state: GainLoss, row: PreparedBar) -> float:
    """Relative strength index, smoothed the way of Wilder.

    Formula: 100 G / (G + L); G, L = Wilder averages of rises and falls of the close, started with the mean of n.
    Unit: 0 to 100.
    NaN: the close did not move in n bars.
    Source: Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    count = row.count - 1
    if count == 0:
        return NAN
    weight = 1.0 / state.n
    state.gain = smoothed(state.gain, max(0.0, row.change), count, state.n, weight)
    state.loss = smoothed(state.loss, max(0.0, -row.change), count, state.n, weight)
    if count < state.n or row.still >= state.n:
        return NAN
    return 100.0 * state.gain / (state.gain + state.loss)


def rsi(n: int = 14) -> Feature:
    """Wilder's relative strength index over n changes, 0-100."""
    return Feature(
        name=f"rsi_{n}",
        source=Source.BAR,
        unit="0 to 100",
        warmup=n,
        state=state_layout(GainLoss),
        step=rsi_step,
        undefined=still(n),
        params=(n,),
        reference="Wilder 1978",
        bounds=(0.0, 100.0),
    )


@inlined
def range_position_step(state: Range, row: PreparedBar) -> float:
    """Where the close stands between the lowest low and the highest high of n bars.

    Formula: (C - min L) / (max H - min L) over the last n bars.
    Unit: fraction in [0, 1].
    NaN: all n bars stand at one price.
    Source: Lane's stochastic %K, 1950s.
    """
    widened(state.channel, row.high, row.low, state.n)
    if row.count < state.n or state.channel.top <= state.channel.bottom:
        return NAN
    return (row.close - state.channel.bottom) / (state.channel.top - state.channel.bottom)


def range_position(n: int = 20) -> Feature:
    """Position of the close in the range of the last n bars, 0-1."""
    return Feature(
        name=f"range_position_{n}",
        source=Source.BAR,
        unit="fraction",
        warmup=n - 1,
        state=state_layout(Range, n),
        step=range_position_step,
        undefined=level(n),
        params=(n,),
        reference="Lane's stochastic",
        bounds=(0.0, 1.0),
    )


@inlined
def breakout_step(state: Breakout, row: PreparedBar) -> float:
    """How far the close is outside the range of the n bars before it.

    Formula: (C - U) / ATR if C > U, (C - D) / ATR if C < D, else 0; U, D = highest high and lowest low of the n bars
    before this one; ATR as in atr_step.
    Unit: average true ranges; 0 = inside.
    NaN: the last true ranges, as many as the ATR averages, are 0.
    Source: Donchian channel; Wilder 1978.
    """
    top = state.channel.top
    bottom = state.channel.bottom
    widened(state.channel, row.high, row.low, state.n)
    count = row.count - 1
    if count == 0:
        return NAN
    state.atr = smoothed(state.atr, row.true_range, count, state.atr_n, 1.0 / state.atr_n)
    if count < state.n or count < state.atr_n or row.frozen >= state.atr_n:
        return NAN
    if row.close > top:
        return (row.close - top) / state.atr
    if row.close < bottom:
        return (row.close - bottom) / state.atr
    return 0.0


def breakout(n: int = 20, atr_n: int = 14) -> Feature:
    """Distance of the close outside the n-bar channel before it, in average true ranges."""
    return Feature(
        name=f"breakout_{n}",
        source=Source.BAR,
        unit="average true ranges",
        warmup=max(n, atr_n),
        state=state_layout(Breakout, n),
        step=breakout_step,
        undefined=frozen(atr_n),
        params=(n, atr_n),
        reference="Donchian channel",
    )


@inlined
def body_ratio_step(state: Nothing, row: PreparedBar) -> float:  # noqa: ARG001 - every step has this shape
    """Body of the candle against its range.

    Formula: (C - O) / (H - L).
    Unit: fraction in [-1, 1]; +1 = opened at the low, closed at the high.
    NaN: high equals low.
    Source: own.
    """
    width = row.high - row.low
    if width <= 0.0:
        return NAN
    return (row.close - row.open) / width


def body_ratio() -> Feature:
    """Candle body over candle range, -1 to 1."""
    return Feature(
        name="body_ratio",
        source=Source.BAR,
        unit="fraction",
        warmup=0,
        state=state_layout(Nothing),
        step=body_ratio_step,
        undefined=NO_RANGE,
        params=(),
        reference="own",
        bounds=(-1.0, 1.0),
    )


@inlined
def close_location_step(state: Nothing, row: PreparedBar) -> float:  # noqa: ARG001 - every step has this shape
    """Where in its own range the bar closed.

    Formula: ((C - L) - (H - C)) / (H - L).
    Unit: fraction in [-1, 1]; +1 = at the high.
    NaN: high equals low.
    Source: Chaikin's close location value.
    """
    width = row.high - row.low
    if width <= 0.0:
        return NAN
    return min(1.0, max(-1.0, ((row.close - row.low) - (row.high - row.close)) / width))


def close_location() -> Feature:
    """Close location value of the bar, -1 to 1."""
    return Feature(
        name="close_location",
        source=Source.BAR,
        unit="fraction",
        warmup=0,
        state=state_layout(Nothing),
        step=close_location_step,
        undefined=NO_RANGE,
        params=(),
        reference="Chaikin",
        bounds=(-1.0, 1.0),
    )


# --- volume and flow --------------------------------------------------------------------------------------------


@inlined
def volume_zscore_step(state: Spread, row: PreparedBar) -> float:
    """Distance of the bar's log volume from its mean over the last n bars that traded.

    Formula: (ln V - mean(ln V)) / sd(ln V) over the last n bars with V > 0, this one included.
    Unit: standard deviations; at most (n - 1) / sqrt(n).
    NaN: no volume, fewer than n bars with volume so far, or n equal ones.
    Source: own; logarithms because volume is near log-normal.
    """
    if row.volume == 0.0:
        return NAN
    log_volume = math.log(row.volume)
    moved(state.moments, log_volume, state.n)
    if state.seen < state.n:
        state.seen += 1
    if state.seen < state.n:
        return NAN
    return standing(state.moments, log_volume, state.n, state.most)


def volume_zscore(n: int = 20) -> Feature:
    """z-score of log volume within the last n bars that traded (n >= 2)."""
    most = (n - 1.0) / math.sqrt(n)
    return Feature(
        name=f"volume_zscore_{n}",
        source=Source.BAR,
        unit="standard deviations",
        warmup=n - 1,
        state=state_layout(Spread, n),
        step=volume_zscore_step,
        undefined=few_volumes(n),
        params=(n, most),
        reference="own",
        bounds=(-most, most),
    )


@inlined
def candle_flow_step(state: TwiceSummed, row: PreparedBar) -> float:
    """Volume signed by the candle's direction: a proxy for flow, for venues that do not say who was the taker.

    Formula: sum sign(C - O) V / sum V over n bars.
    Unit: fraction in [-1, 1].
    NaN: no volume in n bars.
    Source: own; a proxy only, use taker_flow where the venue tells.
    """
    # without a branch: candles cannot be predicted
    direction = int(row.close > row.open) - int(row.close < row.open)
    windows = state.windows
    pushed_both(windows, direction * row.volume, row.volume, state.n)
    if row.count < state.n or windows.second == 0.0:
        return NAN
    return min(1.0, max(-1.0, windows.first / windows.second))


def candle_flow_proxy(n: int = 20) -> Feature:
    """Candle-signed volume over volume, n bars, -1 to 1: a proxy for order flow."""
    return Feature(
        name=f"candle_flow_proxy_{n}",
        source=Source.BAR,
        unit="fraction",
        warmup=n - 1,
        state=state_layout(TwiceSummed, n),
        step=candle_flow_step,
        undefined=idle(n),
        params=(n,),
        reference="own",
        bounds=(-1.0, 1.0),
    )


@inlined
def taker_flow_1_step(state: Nothing, row: PreparedBar) -> float:  # noqa: ARG001 - every step has this shape
    """Order-flow imbalance of takers in this bar.

    Formula: 2 B / V - 1, B = volume bought by takers.
    Unit: fraction in [-1, 1]; +1 = takers only bought.
    NaN: no volume, or the venue does not tell.
    Source: Binance kline field 9 over field 5.
    """
    if row.volume > 0.0 and row.taker_buy >= 0.0:
        return 2.0 * row.taker_buy / row.volume - 1.0
    return NAN


@inlined
def taker_flow_step(state: TwiceSummed, row: PreparedBar) -> float:
    """Order-flow imbalance of takers over n bars.

    Formula: 2 sum B / sum V - 1 over those of the last n bars that traded and tell B, the volume bought by takers.
    Unit: fraction in [-1, 1]; +1 = takers only bought.
    NaN: none of the n bars tells.
    Source: Chordia and Subrahmanyam 2004; Binance kline field 9 over field 5.
    """
    told = row.volume > 0.0 and row.taker_buy >= 0.0
    windows = state.windows
    pushed_both(windows, row.taker_buy if told else 0.0, row.volume if told else 0.0, state.n)
    if row.count < state.n or windows.second == 0.0:
        return NAN
    return min(1.0, max(-1.0, 2.0 * windows.first / windows.second - 1.0))


def taker_flow(n: int = 20) -> Feature:
    """Taker order-flow imbalance over n bars, -1 to 1; NaN where the venue does not tell."""
    return Feature(
        name=f"taker_flow_{n}",
        source=Source.BAR,
        unit="fraction",
        warmup=n - 1,
        state=state_layout(TwiceSummed if n > 1 else Nothing, n),
        step=taker_flow_step if n > 1 else taker_flow_1_step,
        undefined=silent(n),
        params=(n,) if n > 1 else (),
        reference="Chordia-Subrahmanyam 2004",
        bounds=(-1.0, 1.0),
    )


@inlined
def amihud_step(state: TwiceSummed, row: PreparedBar) -> float:
    """Amihud's illiquidity over n bars: how far a million quote moves the price.

    Formula: 1e4 mean(|r| / (C V / 1e6)) over those of the last n bars that traded.
    Unit: bps per million quote.
    NaN: no volume in n bars.
    Source: Amihud, Illiquidity and Stock Returns, 2002.
    """
    if row.count < 2:
        return NAN
    traded = row.volume > 0.0
    value = TO_BPS * abs(row.log_return) / (row.close * row.volume * 1e-6) if traded else 0.0
    windows = state.windows
    pushed_both(windows, value, 1.0 if traded else 0.0, state.n)
    if row.count <= state.n or windows.second == 0.0:
        return NAN
    return windows.first / windows.second


def amihud(n: int = 20) -> Feature:
    """Amihud's illiquidity over n bars, bps per million quote."""
    return Feature(
        name=f"amihud_{n}",
        source=Source.BAR,
        unit="bps per million quote",
        warmup=n,
        state=state_layout(TwiceSummed, n),
        step=amihud_step,
        undefined=idle(n),
        params=(n,),
        reference="Amihud 2002",
        bounds=(0.0, math.inf),
    )


# --- dependence of returns --------------------------------------------------------------------------------------


@inlined
def roll_spread_step(state: Paired, row: PreparedBar) -> float:
    """Roll's implied spread over n pairs of returns.

    Formula: 2e4 sqrt(max(0, -cov(r[t], r[t-1]))), sample covariance; positive covariance gives 0.
    Unit: bps.
    NaN: never.
    Source: Roll, A Simple Implicit Measure of the Effective Bid-Ask Spread, 1984.
    """
    if row.count < 2:
        return NAN
    n = state.n
    windows = state.windows
    before = windows.second
    pushed_both(windows, row.log_return * state.last, row.log_return, n)
    state.last = row.log_return
    if row.count <= n + 1:
        return NAN
    covariance = (windows.first - windows.second * before / n) / (n - 1.0)
    return 2.0 * TO_BPS * math.sqrt(max(0.0, -covariance))


def roll_spread(n: int = 20) -> Feature:
    """Roll's spread from n pairs of returns (n >= 2), bps."""
    return Feature(
        name=f"roll_spread_{n}_bps",
        source=Source.BAR,
        unit="bps",
        warmup=n + 1,
        state=state_layout(Paired, n),
        step=roll_spread_step,
        undefined=NEVER,
        params=(n,),
        reference="Roll 1984",
        bounds=(0.0, math.inf),
    )


@inlined
def autocorrelation_step(state: Paired, row: PreparedBar) -> float:
    """Autocorrelation of returns at lag 1 over n pairs, about a mean of 0.

    Formula: sum r[t] r[t-1] / sqrt(sum r[t]^2 sum r[t-1]^2).
    Unit: fraction in [-1, 1]; below 0 = moves are taken back.
    NaN: the n returns, or the n returns one bar before, are 0.
    Source: own; the mean of a bar's return is far below its error.
    """
    if row.count < 2:
        return NAN
    n = state.n
    windows = state.windows
    before = windows.second
    pushed_both(windows, row.log_return * state.last, row.log_return * row.log_return, n)
    state.last = row.log_return
    if row.count <= n + 1 or windows.second == 0.0 or before == 0.0:
        return NAN
    return min(1.0, max(-1.0, windows.first / math.sqrt(windows.second * before)))


def autocorrelation(n: int = 20) -> Feature:
    """Lag-1 autocorrelation of returns over n pairs, -1 to 1."""
    return Feature(
        name=f"autocorrelation_{n}",
        source=Source.BAR,
        unit="fraction",
        warmup=n + 1,
        state=state_layout(Paired, n),
        step=autocorrelation_step,
        undefined=still_before(n),
        params=(n,),
        reference="own",
        bounds=(-1.0, 1.0),
    )


# --- time of day ------------------------------------------------------------------------------------------------


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


@inlined
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


@inlined
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
