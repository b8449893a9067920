"""The 30 registered bar features as others compute them: TA-Lib with NumPy, and pandas.

Each peer is written as somebody would who knows it: what several features share is computed once, columns are
contiguous and made before the clock starts, every column of the answer is left where it was made. One symbol.

pandas gives our values (the benchmark compares them first). TA-Lib is a peer in speed: nearest calls, by this table.
Where its definition agrees with ours the values are compared too (`SAME`).

| feature | TA-Lib | NumPy on top |
|---|---|---|
| return_1_bps, return_5_bps, return_20_bps | LN, MOM | scale |
| ewma_vol_20_bps, ewma_vol_120_bps | EMA(r r, 58), EMA(r r, 345): nearest whole spans | root |
| vol_ratio_20_120 | the same two | root of the ratio |
| parkinson_20_bps | SMA of ln(H/L)^2 | logarithm, root |
| garman_klass_20_bps | SMA of the two squares | logarithms, root |
| atr_14 | ATR | |
| gap_bps | - | logarithm of O / C' |
| trend_12_48 | EMA(12), EMA(48), the volatility above | difference over volatility |
| ema_slope_12_bps | EMA(12), MOM | over the close |
| zscore_20 | SMA, STDDEV | difference over deviation |
| efficiency_20 | MOM(20), SUM of abs(MOM(1)) | ratio |
| rsi_14 | RSI | |
| range_position_20 | MAX, MIN | ratio |
| breakout_20 | the same MAX and MIN one bar before, ATR | two clips over ATR |
| body_ratio | BOP | |
| close_location | - | ratio |
| upper_wick | - | ratio |
| run | - | distance to the last change of sign |
| volume_ratio_20 | SUM of V | ratio |
| candle_flow_proxy_20 | SUM of sign(C - O) V, SUM of V | ratio |
| taker_flow_1 | - | ratio |
| taker_flow_20 | SUM of B, SUM of V | ratio |
| amihud_20 | SUM of abs(r) / (C V), SUM of V > 0 | ratios |
| roll_spread_20_bps | SUM of r r', SUM of r | covariance, root |
| autocorrelation_20 | SUM of r r', SUM of r r | root, ratio |
| to_funding_min | - | remainder of the minute |
| adjusted_vol_20_bps | EMA of abs(r), alone and for each half hour of the day | sorting by half hour |
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.folds.volatility import BUCKET_MINUTES, BUCKETS, GARMAN, PARKINSON
from features.folds.windows import half_life_weight
from utils.rows import NS_PER_MINUTE, Rows

Column = NDArray[np.float64]
Columns = dict[str, Column]

#: Features whose definition by TA-Lib is ours, once both are warm.
SAME = (
    "return_1_bps",
    "return_5_bps",
    "return_20_bps",
    "parkinson_20_bps",
    "garman_klass_20_bps",
    "atr_14",
    "gap_bps",
    "ema_slope_12_bps",
    "zscore_20",
    "efficiency_20",
    "rsi_14",
    "range_position_20",
    "breakout_20",
    "body_ratio",
    "close_location",
    "upper_wick",
    "run",
    "volume_ratio_20",
    "candle_flow_proxy_20",
    "taker_flow_1",
    "taker_flow_20",
    "amihud_20",
    "roll_spread_20_bps",
    "autocorrelation_20",
    "to_funding_min",
)
PRICES = ("open", "high", "low", "close", "volume", "taker_buy")
FAST_VOL, SLOW_VOL, BUCKET_HALF_LIFE = half_life_weight(20), half_life_weight(120), 300


def columns(bars: Rows) -> Columns:
    """Contiguous columns of `bars`, and their times: what a peer is handed."""
    return {name: bars[name].copy() for name in (*PRICES, "ts")}


def span(weight: float) -> int:
    """The whole n whose exponential average has nearly `weight`: 2 / weight - 1."""
    return round(2.0 / weight - 1.0)


def lagged(column: Column, n: int = 1) -> Column:
    """The column n rows later, NaN before."""
    out = np.empty_like(column)
    out[:n] = np.nan
    out[n:] = column[:-n]
    return out


def by_talib(given: Columns) -> Columns:
    """All 30 by TA-Lib's nearest calls."""
    import talib

    o, h, low, c, v, b = (given[name] for name in PRICES)
    minute = given["ts"] // NS_PER_MINUTE % 1440
    log_close = talib.LN(c)
    change, r = talib.MOM(c, 1), talib.MOM(log_close, 1)
    size, square, before = np.abs(r), r * r, lagged(r)
    fast, slow = talib.EMA(square, span(FAST_VOL)), talib.EMA(square, span(SLOW_VOL))
    vol = np.sqrt(fast)
    log_range, log_body = np.log(h / low), np.log(c / o)
    range_square = log_range * log_range
    garman = 0.5 * range_square - GARMAN * log_body * log_body
    ema = talib.EMA(c, 12)
    atr = talib.ATR(h, low, c, 14)
    top, bottom = talib.MAX(h, 20), talib.MIN(low, 20)
    last_top, last_bottom = lagged(top), lagged(bottom)
    width = h - low
    traded = talib.SUM(v, 20)
    returns = talib.SUM(r, 20)
    way = np.sign(change)
    rows = np.arange(len(c), dtype=np.float64)
    turned = np.empty(len(c), np.bool_)
    turned[0] = True
    np.not_equal(way[1:], way[:-1], out=turned[1:])
    products, squares = talib.SUM(r * before, 20), talib.SUM(square, 20)
    covariance = (products - returns * lagged(returns) / 20.0) / 19.0
    trades = v > 0.0
    illiquid = np.where(trades, size / (c * v), 0.0)
    return {
        "return_1_bps": 1e4 * r,
        "return_5_bps": 1e4 * talib.MOM(log_close, 5),
        "return_20_bps": 1e4 * talib.MOM(log_close, 20),
        "ewma_vol_20_bps": 1e4 * vol,
        "ewma_vol_120_bps": 1e4 * np.sqrt(slow),
        "vol_ratio_20_120": np.sqrt(fast / slow),
        "parkinson_20_bps": 1e4 * np.sqrt(PARKINSON * np.maximum(0.0, talib.SMA(range_square, 20))),
        "garman_klass_20_bps": 1e4 * np.sqrt(np.maximum(0.0, talib.SMA(garman, 20))),
        "atr_14": atr,
        "gap_bps": 1e4 * np.log(o / lagged(c)),
        "trend_12_48": (ema - talib.EMA(c, 48)) / (c * vol),
        "ema_slope_12_bps": 1e4 * talib.MOM(ema, 1) / c,
        "zscore_20": (c - talib.SMA(c, 20)) / (math.sqrt(20.0 / 19.0) * talib.STDDEV(c, 20)),
        "efficiency_20": np.abs(talib.MOM(c, 20)) / talib.SUM(np.abs(change), 20),
        "rsi_14": talib.RSI(c, 14),
        "range_position_20": (c - bottom) / (top - bottom),
        "breakout_20": (np.maximum(c - last_top, 0.0) + np.minimum(c - last_bottom, 0.0)) / atr,
        "body_ratio": talib.BOP(o, h, low, c),
        "close_location": ((c - low) - (h - c)) / width,
        "upper_wick": (h - np.maximum(o, c)) / width,
        "run": way * (rows - np.maximum.accumulate(np.where(turned, rows, 0.0)) + 1.0),
        "volume_ratio_20": 20.0 * v / traded,
        "candle_flow_proxy_20": talib.SUM(np.sign(c - o) * v, 20) / traded,
        "taker_flow_1": 2.0 * b / v - 1.0,
        "taker_flow_20": 2.0 * talib.SUM(b, 20) / traded - 1.0,
        "amihud_20": 1e10 * talib.SUM(illiquid, 20) / talib.SUM(trades.astype(np.float64), 20),
        "roll_spread_20_bps": 2e4 * np.sqrt(np.maximum(0.0, -covariance)),
        "autocorrelation_20": products / np.sqrt(squares * lagged(squares)),
        "to_funding_min": (480 - minute % 480).astype(np.float64),
        "adjusted_vol_20_bps": 1e4 * vol / _usual_by_talib(minute, size),
    }


def _usual_by_talib(minute: NDArray[np.int64], size: Column) -> Column:
    """Mean size of this half hour of the day over that of all, both exponential."""
    import talib

    bucket = (minute // BUCKET_MINUTES).astype(np.int8)
    order = np.argsort(bucket, kind="stable")
    ends = np.cumsum(np.bincount(bucket, minlength=BUCKETS))
    length, whole = (span(half_life_weight(BUCKET_HALF_LIFE * many)) for many in (1, BUCKETS))
    grouped, usual = size[order], np.empty_like(size)
    for first, end in pairwise((0, *ends)):
        if first < end:
            grouped[first:end] = talib.EMA(grouped[first:end], length)
    usual[order] = grouped
    out: Column = usual / talib.EMA(size, whole)
    return out


def _seeded(values: pd.Series[float], seed: int, weight: float) -> pd.Series[float]:
    """The recursive average of pandas, started with the mean of the first `seed` values; NaN before."""
    first = int(np.argmax(values.notna()))
    start = values.copy()
    start.iloc[: first + seed - 1] = math.nan
    start.iloc[first + seed - 1] = values.iloc[first : first + seed].mean()
    return start.ewm(alpha=weight, adjust=False).mean()


def _settling(values: pd.Series[float], weight: float) -> pd.Series[float]:
    """A plain mean until its weight falls to `weight`, from there on an exponential one."""
    seed = int(1.0 / weight)
    average = values.iloc[:seed].expanding().mean() if len(values) <= seed else _seeded(values, seed, weight)
    return average if len(values) <= seed else average.fillna(values.iloc[:seed].expanding().mean())


def by_pandas(frame: pd.DataFrame, tick: float) -> dict[str, pd.Series[float]]:
    """All 30 by pandas; equal to ours wherever ours are finite."""
    o, h, low, c, v, b = (frame[name] for name in PRICES)
    minute = frame["ts"] // NS_PER_MINUTE % 1440
    log_close = np.log(c)
    change, r = c.diff(), log_close.diff()
    size, square, before = r.abs(), r * r, r.shift(1)
    fast, slow = _seeded(square, 20, FAST_VOL), _seeded(square, 60, SLOW_VOL)
    vol = np.sqrt(fast)
    range_square, body_square = np.log(h / low) ** 2, np.log(c / o) ** 2
    last = c.shift(1)
    atr = _seeded((np.maximum(h, last) - np.minimum(low, last)).where(last.notna()), 14, 1.0 / 14.0)
    ema = _seeded(c, 12, 2.0 / 13.0)
    # in whole ticks, of which no sum is rounded: what pandas' running deviation once rounded it keeps
    ticks = (c / tick).round()
    near, spread = ticks.rolling(20).sum(), (ticks * ticks).rolling(20).sum()
    gain, loss = (_seeded(way.clip(lower=0.0), 14, 1.0 / 14.0) for way in (change, -change))
    top, bottom = h.rolling(20).max(), low.rolling(20).min()
    outside = (c - top.shift(1)).clip(lower=0.0) + (c - bottom.shift(1)).clip(upper=0.0)
    width = h - low
    traded, returns, squares = v.rolling(20).sum(), r.rolling(20).sum(), square.rolling(20).sum()
    products = (r * before).rolling(20).sum()
    covariance = (products - returns * returns.shift(1) / 20.0) / 19.0
    way = np.sign(change)
    place = pd.Series(np.arange(len(c), dtype=np.float64), index=c.index)
    hours = size.iloc[1:].groupby(minute.iloc[1:] // BUCKET_MINUTES, group_keys=False)
    usual = hours.apply(_settling, half_life_weight(BUCKET_HALF_LIFE)).reindex(c.index)
    all_day = _settling(size.iloc[1:], half_life_weight(BUCKET_HALF_LIFE * BUCKETS)).reindex(c.index)
    return {
        "return_1_bps": 1e4 * r,
        "return_5_bps": 1e4 * log_close.diff(5),
        "return_20_bps": 1e4 * log_close.diff(20),
        "ewma_vol_20_bps": 1e4 * vol,
        "ewma_vol_120_bps": 1e4 * np.sqrt(slow),
        "vol_ratio_20_120": np.sqrt(fast / slow),
        "parkinson_20_bps": 1e4 * np.sqrt(PARKINSON * range_square.rolling(20).mean()),
        "garman_klass_20_bps": 1e4 * np.sqrt((0.5 * range_square - GARMAN * body_square).rolling(20).mean()),
        "atr_14": atr,
        "gap_bps": 1e4 * np.log(o / last),
        "trend_12_48": (ema - _seeded(c, 48, 2.0 / 49.0)) / (c * vol),
        "ema_slope_12_bps": 1e4 * ema.diff() / c,
        "zscore_20": math.sqrt(0.95) * (20.0 * ticks - near) / np.sqrt(20.0 * spread - near * near),
        "efficiency_20": c.diff(20).abs() / change.abs().rolling(20).sum(),
        "rsi_14": 100.0 * gain / (gain + loss),
        "range_position_20": (c - bottom) / (top - bottom),
        "breakout_20": outside / atr,
        "body_ratio": (c - o) / width,
        "close_location": ((c - low) - (h - c)) / width,
        "upper_wick": (h - np.maximum(o, c)) / width,
        "run": way * (place - place.where(way != way.shift(1)).ffill() + 1.0),
        "volume_ratio_20": 20.0 * v / traded,
        "candle_flow_proxy_20": (np.sign(c - o) * v).rolling(20).sum() / traded,
        "taker_flow_1": 2.0 * b / v - 1.0,
        "taker_flow_20": 2.0 * b.rolling(20).sum() / traded - 1.0,
        "amihud_20": 1e10 * (size / (c * v.where(v > 0.0))).rolling(20, min_periods=1).mean(),
        "roll_spread_20_bps": 2e4 * np.sqrt((-covariance).clip(lower=0.0)),
        "autocorrelation_20": products / np.sqrt(squares * squares.shift(1)),
        "to_funding_min": (480 - minute % 480).astype(np.float64),
        "adjusted_vol_20_bps": 1e4 * vol * all_day / usual,
    }


def by_polars(lazy: Any, tick: float) -> dict[str, Any]:
    """All 30 by polars, which uses every core; equal to ours wherever ours are finite.

    Args:
        lazy: a LazyFrame of the columns.
        tick: of the prices, quote.
    """
    import polars as pl

    col, row = pl.col, pl.int_range(pl.len())
    o, h, low, c, v, b = (col(name) for name in PRICES)
    when, one, null = pl.when, pl.lit(1.0), pl.lit(None)

    def seeded(values: Any, first: int, seed: int, weight: float) -> Any:
        start = when(row < first + seed - 1).then(null)
        start = start.when(row == first + seed - 1).then(values.slice(first, seed).mean()).otherwise(values)
        return start.ewm_mean(alpha=weight, adjust=False)

    def settling(values: Any, weight: float) -> Any:
        seed, place = int(1.0 / weight), values.cum_count()
        mean = values.cum_sum() / place
        start = when(place == seed).then(mean).when(place > seed).then(values)
        return when(place < seed).then(mean).otherwise(start.ewm_mean(alpha=weight, adjust=False))

    minute = col("ts") // NS_PER_MINUTE % 1440
    shared = lazy.with_columns(
        minute=minute, log_close=c.log(), change=c.diff(), last=c.shift(1), width=h - low, ticks=(c / tick).round()
    )
    shared = shared.with_columns(
        r=col("log_close").diff(),
        range_square=(h / low).log() ** 2,
        body_square=(c / o).log() ** 2,
        reach=pl.max_horizontal(h, "last") - pl.min_horizontal(low, "last"),
        way=col("change").sign(),
        top=h.rolling_max(20),
        bottom=low.rolling_min(20),
        traded=v.rolling_sum(20),
        near=col("ticks").rolling_sum(20),
        spread=(col("ticks") * col("ticks")).rolling_sum(20),
    )
    r, change, last, width, traded = col("r"), col("change"), col("last"), col("width"), col("traded")
    shared = shared.with_columns(size=r.abs(), square=r * r, product=r * r.shift(1)).with_columns(
        fast=seeded(col("square"), 1, 20, FAST_VOL),
        slow=seeded(col("square"), 1, 60, SLOW_VOL),
        atr=seeded(when(row > 0).then(col("reach")), 1, 14, 1.0 / 14.0),
        ema=seeded(c, 0, 12, 2.0 / 13.0),
        gain=seeded(change.clip(lower_bound=0.0), 1, 14, 1.0 / 14.0),
        loss=seeded((-change).clip(lower_bound=0.0), 1, 14, 1.0 / 14.0),
        returns=r.rolling_sum(20),
        squares=col("square").rolling_sum(20),
        products=col("product").rolling_sum(20),
        usual=settling(col("size"), half_life_weight(BUCKET_HALF_LIFE)).over(col("minute") // BUCKET_MINUTES),
        all_day=settling(col("size"), half_life_weight(BUCKET_HALF_LIFE * BUCKETS)),
    )
    vol, ema, atr, near = col("fast").sqrt(), col("ema"), col("atr"), col("near")
    gain, top, bottom, way = col("gain"), col("top"), col("bottom"), col("way")
    covariance = (col("products") - col("returns") * col("returns").shift(1) / 20.0) / 19.0
    outside = (c - top.shift(1)).clip(lower_bound=0.0) + (c - bottom.shift(1)).clip(upper_bound=0.0)
    garman = 0.5 * col("range_square") - GARMAN * col("body_square")
    illiquid = when(v > 0.0).then(col("size") / (c * v))
    answer = shared.select(
        return_1_bps=1e4 * r,
        return_5_bps=1e4 * col("log_close").diff(5),
        return_20_bps=1e4 * col("log_close").diff(20),
        ewma_vol_20_bps=1e4 * vol,
        ewma_vol_120_bps=1e4 * col("slow").sqrt(),
        vol_ratio_20_120=(col("fast") / col("slow")).sqrt(),
        parkinson_20_bps=1e4 * (PARKINSON * col("range_square").rolling_mean(20).clip(lower_bound=0.0)).sqrt(),
        garman_klass_20_bps=1e4 * garman.rolling_mean(20).clip(lower_bound=0.0).sqrt(),
        atr_14=atr,
        gap_bps=1e4 * (o / last).log(),
        trend_12_48=(ema - seeded(c, 0, 48, 2.0 / 49.0)) / (c * vol),
        ema_slope_12_bps=1e4 * ema.diff() / c,
        zscore_20=math.sqrt(0.95) * (20.0 * col("ticks") - near) / (20.0 * col("spread") - near * near).sqrt(),
        efficiency_20=c.diff(20).abs() / change.abs().rolling_sum(20),
        rsi_14=100.0 * gain / (gain + col("loss")),
        range_position_20=(c - bottom) / (top - bottom),
        breakout_20=outside / atr,
        body_ratio=(c - o) / width,
        close_location=((c - low) - (h - c)) / width,
        upper_wick=(h - pl.max_horizontal(o, c)) / width,
        run=way * (row - when(way.ne_missing(way.shift(1))).then(row).forward_fill() + one),
        volume_ratio_20=20.0 * v / traded,
        candle_flow_proxy_20=((c - o).sign() * v).rolling_sum(20) / traded,
        taker_flow_1=2.0 * b / v - 1.0,
        taker_flow_20=2.0 * b.rolling_sum(20) / traded - 1.0,
        amihud_20=1e10 * illiquid.rolling_mean(20, min_samples=1),
        roll_spread_20_bps=2e4 * (-covariance).clip(lower_bound=0.0).sqrt(),
        autocorrelation_20=col("products") / (col("squares") * col("squares").shift(1)).sqrt(),
        to_funding_min=(480 - col("minute") % 480).cast(pl.Float64),
        adjusted_vol_20_bps=1e4 * vol * col("all_day") / col("usual"),
    ).collect()
    return {column.name: column.to_numpy() for column in answer}
