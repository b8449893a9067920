"""The benchmark's rules through our own engine: signals of two averages and a volatility filter, then `Engine`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from benchmarks.inputs import Setting
from benchmarks.kernel import (
    FAST,
    FEE_BPS,
    HORIZON,
    NOTIONAL,
    SLIPPAGE_BPS,
    SLOW,
    STOP_BPS,
    TAKE_BPS,
    VOL,
    VOL_SLOW,
    WARMUP,
)
from exec.engine import Engine
from exec.trader import chunks
from utils.codes import FLATTEN, MARKET
from utils.compiled import compiled
from utils.rows import INSTRUMENT, NS_PER_MINUTE, PARAMS, SIGNAL, Rows, layout
from utils.types import Instrument

Flags = NDArray[np.bool_]
CAPITAL = 1e9  # quote: losses of a million bars must not bind
RULE = layout(
    ("fast_weight", np.float64),
    ("slow_weight", np.float64),
    ("bars", np.int64),
    ("fast", np.float64),
    ("slow", np.float64),
    ("vol", np.float64),
    ("vol_slow", np.float64),
    ("log_close", np.float64),
)


@compiled
def rule_signals(states: Rows, bars: Rows, signals: Rows) -> None:
    """Write the rule's side at each close, as `benchmarks.kernel` states it; NaN = nothing.

    A user's strategy over whole arrays: its memory stays in registers over a chunk and goes back to the record after
    it. The other fields of `signals` are NaN and stay so.
    """
    state = states[0]
    fast, slow, vol, vol_slow, log_close = state.fast, state.slow, state.vol, state.vol_slow, state.log_close
    fast_weight, slow_weight = state.fast_weight, state.slow_weight
    vol_weight, vol_slow_weight = 2.0 / (VOL + 1), 2.0 / (VOL_SLOW + 1)
    done = state.bars
    if done == 0 and len(bars) > 0:
        fast = slow = bars[0].close
        log_close = math.log(fast)
    for i in range(len(bars)):
        close = bars[i].close
        last, log_close = log_close, math.log(close)
        fast = (1.0 - fast_weight) * fast + fast_weight * close
        slow = (1.0 - slow_weight) * slow + slow_weight * close
        vol = (1.0 - vol_weight) * vol + vol_weight * abs(log_close - last)
        vol_slow = (1.0 - vol_slow_weight) * vol_slow + vol_slow_weight * vol
        side = math.nan
        if done + i >= WARMUP and vol > vol_slow and bars[i].volume > 0.0 and fast != slow:
            side = 1.0 if fast > slow else -1.0
        signals[i].side = side
    state.bars = done + len(bars)
    state.fast, state.slow, state.vol, state.vol_slow, state.log_close = fast, slow, vol, vol_slow, log_close


@compiled
def filter_passes(bars: Rows, passes: Flags) -> None:
    """Where the volatility filter of `rule_signals` passes and the bar trades: the same for every pair of averages."""
    vol_weight, vol_slow_weight = 2.0 / (VOL + 1), 2.0 / (VOL_SLOW + 1)
    vol = vol_slow = 0.0
    log_close = math.log(bars[0].close)
    for i in range(len(bars)):
        last, log_close = log_close, math.log(bars[i].close)
        vol = (1.0 - vol_weight) * vol + vol_weight * abs(log_close - last)
        vol_slow = (1.0 - vol_slow_weight) * vol_slow + vol_slow_weight * vol
        passes[i] = i >= WARMUP and vol > vol_slow and bars[i].volume > 0.0


@compiled
def filtered_signals(states: Rows, bars: Rows, passes: Flags, signals: Rows) -> None:
    """What `rule_signals` writes, with the filter known already."""
    state = states[0]
    fast, slow, fast_weight, slow_weight = state.fast, state.slow, state.fast_weight, state.slow_weight
    if state.bars == 0 and len(bars) > 0:
        fast = slow = bars[0].close
    for i in range(len(bars)):
        close = bars[i].close
        fast = (1.0 - fast_weight) * fast + fast_weight * close
        slow = (1.0 - slow_weight) * slow + slow_weight * close
        side = math.nan
        if passes[i] and fast != slow:
            side = 1.0 if fast > slow else -1.0
        signals[i].side = side
    state.bars += len(bars)
    state.fast, state.slow = fast, slow


def fresh_rule(fast: int = FAST, slow: int = SLOW) -> Rows:
    """The rule's state before its first bar; spans in bars."""
    state = np.zeros(1, RULE)
    state["fast_weight"], state["slow_weight"] = 2.0 / (fast + 1), 2.0 / (slow + 1)
    return state


def blank_signals(n: int) -> Rows:
    """`n` neutral signal rows."""
    rows = np.empty(n, SIGNAL)
    rows.view(np.float64)[:] = np.nan
    return rows


def params_for(take_bps: float = TAKE_BPS, stop_bps: float = STOP_BPS) -> Rows:
    """PARAMS of the benchmark: market entries of a fixed notional, slippage only, a volume cap that never binds."""
    row = np.zeros(1, PARAMS)
    par = row[0]
    par.tf_ns = NS_PER_MINUTE
    par.slippage_bps = SLIPPAGE_BPS
    par.volume_cap = 1e6
    par.max_impact_bps = 1e4
    par.take_bps, par.stop_bps, par.horizon = take_bps, stop_bps, HORIZON
    par.entry_kind = MARKET
    par.fixed_notional = NOTIONAL
    par.leverage = 1.0
    par.max_positions = 1
    par.equity_step_ns = np.iinfo(np.int64).max
    return row


def guarded(params: Rows) -> Rows:
    """The same with every limit asked and every breaker watching, each so wide that the trades stay the same."""
    row = params.copy()
    par = row[0]
    par.limits = 1
    par.max_risk = par.max_heat = par.max_correlated = par.max_cluster = par.kelly = 0.9
    par.max_net, par.cluster_rho, par.rho_floor, par.rho_weight = 5.0, 0.7, 0.5, 0.01
    par.depth_share, par.target_vol_bps, par.max_vol_bps, par.max_spread_bps = 0.9, 1e4, 1e4, 1e4
    par.max_daily, par.max_drawdown, par.max_losses = 0.9, 0.9, 1e9  # the drawdown scale would shrink every entry
    par.daily_action = par.drawdown_action = FLATTEN
    par.max_age_ns = 1e18
    return row


def instrument_for(tick: float) -> Rows:
    """The benchmark's instrument: 4 bps a side, lot 0.001; `tick` in quote."""
    known = Instrument("BENCH", tick, 1e-3, 0.0, FEE_BPS, FEE_BPS, max_leverage=1.0, maintenance=0.005)
    return np.array([known.row()], dtype=INSTRUMENT)


def engine_trades(bars: Rows, tick: float, setting: Setting | None = None, *, limits: bool = False) -> Rows:
    """The whole run: BAR rows in, signals, engine, TRADE rows out.

    Args:
        bars: rows of one symbol.
        tick: quote.
        setting: spans and barriers; default: the benchmark's.
        limits: ask every rule, and watch every breaker.
    """
    chosen = setting or Setting(FAST, SLOW, TAKE_BPS, STOP_BPS)
    params = params_for(chosen.take_bps, chosen.stop_bps)
    engine = Engine(instrument_for(tick), guarded(params) if limits else params, CAPITAL, keep=("trades",))
    state = fresh_rule(chosen.fast, chosen.slow)
    signals = blank_signals(min(len(bars), CHUNK))
    for lo, hi in chunks(bars, CHUNK):
        rule_signals(state, bars[lo:hi], signals[: hi - lo])
        engine.run(bars[lo:hi], signals[: hi - lo])
    return engine.drain().trades


#: Rows at once: few enough to stay in cache between signal and engine.
CHUNK = 16_384
