"""Bar features of return, trend and position: where the price is, and how it got there.

All return NaN until their window is full. r is the log return of a bar, O H L C its prices, C' the close before.
"""

from __future__ import annotations

import math
from typing import Protocol

from features.fold import NEVER, Feature
from features.folds.undefined import NO_RANGE, frozen, level, still
from features.folds.volatility import VOL_SEED
from features.folds.windows import (
    Average,
    Channel,
    Ring,
    Spread,
    Window,
    half_life_weight,
    moved,
    pushed,
    smoothed,
    standing,
    state_layout,
    widened,
)
from features.rows.bars import NAN, TO_BPS, Nothing, PreparedBar
from features.rows.sources import Source
from utils.compiled import compiled


class Lagged(Protocol):
    """The last n values."""

    n: int
    pos: int
    ring: Ring


class Travelled(Protocol):
    """The close n bars ago, and the way from there."""

    n: int
    pos: int
    closes: Ring
    path: Window


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
    weight: float
    gain: float
    loss: float


class Range(Protocol):
    """Highest high and lowest low of n bars."""

    n: int
    channel: Channel


class Running(Protocol):
    """The run so far."""

    run: float


class Breakout(Protocol):
    """Channel of n bars and an average true range."""

    n: int
    atr_n: int
    atr_weight: float
    atr: float
    channel: Channel


@compiled
def return_1_step(state: Nothing, row: PreparedBar) -> float:  # noqa: ARG001 - every step has this shape
    """Log return of the bar.

    Formula: 1e4 ln(C / C').
    Unit: bps.
    NaN: never.
    Source: own.
    """
    return TO_BPS * row.log_return


@compiled
def gap_step(state: Nothing, row: PreparedBar) -> float:  # noqa: ARG001 - every step has this shape
    """Jump from the last close to this open.

    Formula: 1e4 ln(O / C').
    Unit: bps.
    NaN: never.
    Source: own; large where bars are missing or the market was halted.
    """
    return TO_BPS * row.log_gap


def gap() -> Feature:
    """Log of the open over the close before it, bps."""
    return Feature("gap_bps", Source.BAR, "bps", 1, state_layout(Nothing), gap_step, NEVER, (), "own")


@compiled
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


@compiled
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
    return (state.fast - state.slow) * row.per_close / math.sqrt(state.square)


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


@compiled
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
    return TO_BPS * (state.value - before) * row.per_close


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


@compiled
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
    return standing(state.moments, row.close, state)


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
        params=(n, 1.0 / n, n - 1.0, most),
        reference="Bollinger 1983",
        bounds=(-most, most),
    )


@compiled
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


@compiled
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
    state.gain = smoothed(state.gain, max(0.0, row.change), count, state.n, state.weight)
    state.loss = smoothed(state.loss, max(0.0, -row.change), count, state.n, state.weight)
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
        params=(n, 1.0 / n),
        reference="Wilder 1978",
        bounds=(0.0, 100.0),
    )


@compiled
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


@compiled
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
    state.atr = smoothed(state.atr, row.true_range, count, state.atr_n, state.atr_weight)
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
        params=(n, atr_n, 1.0 / atr_n),
        reference="Donchian channel",
    )


@compiled
def to_funding_step(state: Nothing, row: PreparedBar) -> float:  # noqa: ARG001 - every step has this shape
    """Minutes from the close to the next usual funding settlement, 00:00, 08:00 and 16:00 UTC.

    Formula: 480 - minute of the UTC day mod 480.
    Unit: minutes; 480 at a settlement.
    NaN: never.
    Source: Binance and Bybit funding schedules; a symbol may settle more often.
    """
    return float(480 - row.minute % 480)


def to_funding() -> Feature:
    """Minutes to the next eight-hour funding settlement, 1 to 480."""
    return Feature(
        name="to_funding_min",
        source=Source.BAR,
        unit="minutes",
        warmup=0,
        state=state_layout(Nothing),
        step=to_funding_step,
        undefined=NEVER,
        params=(),
        reference="exchange funding schedules",
        bounds=(1.0, 480.0),
    )


@compiled
def run_step(state: Running, row: PreparedBar) -> float:
    """Closes in a row that rose (positive) or fell (negative); 0 after a close that did not move.

    Formula: sign(C - C') times the number of changes of that sign up to this one.
    Unit: bars.
    NaN: never.
    Source: Wald and Wolfowitz's runs, 1940.
    """
    if row.count < 2:
        return NAN
    direction = 1.0 * (int(row.change > 0.0) - int(row.change < 0.0))
    state.run = direction if direction * state.run <= 0.0 else state.run + direction
    return state.run


def run() -> Feature:
    """Length of the run of rising or falling closes, signed."""
    return Feature(
        name="run",
        source=Source.BAR,
        unit="bars",
        warmup=1,
        state=state_layout(Running),
        step=run_step,
        undefined=NEVER,
        params=(),
        reference="Wald-Wolfowitz 1940",
    )


@compiled
def upper_wick_step(state: Nothing, row: PreparedBar) -> float:  # noqa: ARG001 - every step has this shape
    """Upper wick of the candle against its range: how much of a rise was taken back.

    Formula: (H - max(O, C)) / (H - L).
    Unit: fraction in [0, 1].
    NaN: high equals low.
    Source: own.
    """
    if row.per_range == 0.0:
        return NAN
    return min(1.0, (row.high - max(row.open, row.close)) * row.per_range)


def upper_wick() -> Feature:
    """Upper wick over candle range, 0-1."""
    return Feature(
        name="upper_wick",
        source=Source.BAR,
        unit="fraction",
        warmup=0,
        state=state_layout(Nothing),
        step=upper_wick_step,
        undefined=NO_RANGE,
        params=(),
        reference="own",
        bounds=(0.0, 1.0),
    )


@compiled
def body_ratio_step(state: Nothing, row: PreparedBar) -> float:  # noqa: ARG001 - every step has this shape
    """Body of the candle against its range.

    Formula: (C - O) / (H - L).
    Unit: fraction in [-1, 1]; +1 = opened at the low, closed at the high.
    NaN: high equals low.
    Source: own.
    """
    if row.per_range == 0.0:
        return NAN
    return min(1.0, max(-1.0, (row.close - row.open) * row.per_range))


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


@compiled
def close_location_step(state: Nothing, row: PreparedBar) -> float:  # noqa: ARG001 - every step has this shape
    """Where in its own range the bar closed.

    Formula: ((C - L) - (H - C)) / (H - L).
    Unit: fraction in [-1, 1]; +1 = at the high.
    NaN: high equals low.
    Source: Chaikin's close location value.
    """
    if row.per_range == 0.0:
        return NAN
    return min(1.0, max(-1.0, ((row.close - row.low) - (row.high - row.close)) * row.per_range))


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
