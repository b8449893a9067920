"""Bar features of volume, flow and liquidity: who traded, how much, and what it did to the price.

All return NaN until their window is full. r is the log return of a bar, O H L C its prices, V its volume.
"""

from __future__ import annotations

import math
from typing import Protocol

from features.fold import NEVER, Feature
from features.folds.undefined import few_volumes, idle, silent, still_before
from features.folds.windows import Spread, Summed, TwoWindows, moved, pushed, pushed_both, standing, state_layout
from features.rows.bars import NAN, TO_BPS, Nothing, PreparedBar
from features.rows.sources import Source
from utils.compiled import compiled, inlined


class TwiceSummed(Protocol):
    """Two sums over n bars."""

    n: int
    windows: TwoWindows


class Paired(Protocol):
    """Sums over n pairs of one return and the next."""

    n: int
    per_n: float
    per_n_less_1: float
    last: float
    windows: TwoWindows  # of the products, and of each return alone


@compiled
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
    return standing(state.moments, log_volume, state)


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
        params=(n, 1.0 / n, n - 1.0, most),
        reference="own",
        bounds=(-most, most),
    )


@compiled
def volume_ratio_step(state: Summed, row: PreparedBar) -> float:
    """Volume of the bar over the mean of the last n bars.

    Formula: V / mean(V), this bar included.
    Unit: ratio in [0, n]; 1 = as usual, 0 = nothing traded.
    NaN: no volume in n bars.
    Source: own.
    """
    total = pushed(state.window, row.volume, state.n)
    if row.count < state.n or total == 0.0:
        return NAN
    return row.volume * state.scale / total


def volume_ratio(n: int = 20) -> Feature:
    """Volume over its mean of n bars."""
    return Feature(
        name=f"volume_ratio_{n}",
        source=Source.BAR,
        unit="ratio",
        warmup=n - 1,
        state=state_layout(Summed, n),
        step=volume_ratio_step,
        undefined=idle(n),
        params=(n, float(n)),
        reference="own",
        # the sums round
        bounds=(0.0, n * (1.0 + 1e-12)),
    )


@compiled
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


@compiled
def taker_flow_1_step(state: Nothing, row: PreparedBar) -> float:  # noqa: ARG001 - every step has this shape
    """Order-flow imbalance of takers in this bar.

    Formula: 2 B / V - 1, B = volume bought by takers.
    Unit: fraction in [-1, 1]; +1 = takers only bought.
    NaN: no volume, or the venue does not tell.
    Source: Binance kline field 9 over field 5.
    """
    if row.volume > 0.0 and row.taker_buy >= 0.0:
        return min(1.0, max(-1.0, 2.0 * row.taker_buy * row.per_volume - 1.0))
    return NAN


@compiled
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
def illiquidity(log_return: float, per_close: float, per_volume: float) -> float:
    """1e4 |r| / (C V / 1e6) of one bar, bps per million quote, from r, 1 / C and 1 / V."""
    return TO_BPS * 1e6 * abs(log_return) * per_close * per_volume


@compiled
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
    value = illiquidity(row.log_return, row.per_close, row.per_volume)
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


@compiled
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
    covariance = (windows.first - windows.second * before * state.per_n) * state.per_n_less_1
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
        params=(n, 1.0 / n, 1.0 / (n - 1.0)),
        reference="Roll 1984",
        bounds=(0.0, math.inf),
    )


@compiled
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
    """Lag-1 autocorrelation of returns over n pairs (n >= 2), -1 to 1."""
    return Feature(
        name=f"autocorrelation_{n}",
        source=Source.BAR,
        unit="fraction",
        warmup=n + 1,
        state=state_layout(Paired, n),
        step=autocorrelation_step,
        undefined=still_before(n),
        params=(n, 1.0 / n, 1.0 / (n - 1.0)),
        reference="own",
        bounds=(-1.0, 1.0),
    )
