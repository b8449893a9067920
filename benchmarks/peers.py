"""The peer systems, each run as fast as it can be made to go on the benchmark's rules.

vectorbt is a peer in speed, not a check of equality. Its nearest equivalent: the kernel's signals shifted by one bar,
filled at that bar's open with slippage and fees, a flip by reversing, take and stop measured from the fill. Where it
differs: no maximum hold, no barriers in the entry bar, no tick, a take is filled when touched and with slippage, a bar
without volume fills, and quantities are not rounded to the lot.

The clock runs over indicators, signals and simulation. Everything that can be argued away is left out of it: making
contiguous columns, trade records (only orders are made), `stats()`, and, if the caller warms up first, compilation.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.inputs import Setting
from benchmarks.kernel import (
    FAST,
    FEE_BPS,
    NOTIONAL,
    SLIPPAGE_BPS,
    SLOW,
    STOP_BPS,
    TAKE_BPS,
    VOL,
    VOL_SLOW,
    WARMUP,
    Column,
    columns,
)
from utils.errors import ConfigError
from utils.rows import Rows

Engine = Literal["rust", "numba"]
Flags = NDArray[np.bool_]


def vectorbt_bars(bars: Rows, engine: Engine) -> tuple[float, int]:
    """Seconds and number of trades of one vectorbt run over `BAR` rows; call it once before to compile.

    Raises:
        ConfigError: vectorbt, or the engine asked for, is not installed.
    """
    vbt, ema = _vectorbt(engine)
    setting = Setting(FAST, SLOW, TAKE_BPS, STOP_BPS)
    opens, highs, lows, closes, _ = columns(bars)
    start = time.perf_counter()
    gate = _gate(ema, closes)
    longs, shorts = np.empty(len(bars), np.bool_), np.empty(len(bars), np.bool_)
    _entries(ema(closes, setting.fast), ema(closes, setting.slow), gate, longs, shorts)
    portfolio = _simulate(vbt, engine, (opens, highs, lows, closes), longs, shorts, setting.stop_bps, setting.take_bps)
    seconds = time.perf_counter() - start
    return seconds, len(portfolio.trades.values)


def vectorbt_sweep(
    bars: Rows, params: Sequence[Setting], chunk: int, engine: Engine = "rust"
) -> tuple[float, list[int]]:
    """Seconds of a vectorbt sweep, and the trades of each parameter set; call it once before to compile.

    Each distinct EMA and the filter are computed once; `chunk` parameter sets are simulated at a time, as columns.

    Raises:
        ConfigError: vectorbt, or the engine asked for, is not installed.
    """
    vbt, ema = _vectorbt(engine)
    opens, highs, lows, closes, _ = columns(bars)
    prices = tuple(column[:, None] for column in (opens, highs, lows, closes))
    start = time.perf_counter()
    emas = {span: ema(closes, span) for span in {span for p in params for span in (p.fast, p.slow)}}
    gate = _gate(ema, closes)
    seconds = time.perf_counter() - start
    trades: list[int] = []
    for first in range(0, len(params), chunk):
        start = time.perf_counter()
        part = params[first : first + chunk]
        longs, shorts = (np.empty((len(bars), len(part)), np.bool_) for _ in range(2))
        for j, p in enumerate(part):
            _entries(emas[p.fast], emas[p.slow], gate, longs[:, j], shorts[:, j])
        stops = np.array([[p.stop_bps for p in part]])
        takes = np.array([[p.take_bps for p in part]])
        portfolio = _simulate(vbt, engine, prices, longs, shorts, stops, takes)
        seconds += time.perf_counter() - start
        trades.extend(int(count) for count in np.atleast_1d(portfolio.trades.count()))
    return seconds, trades


def _vectorbt(engine: Engine) -> tuple[Any, Any]:
    """The library, and its fastest recursive EMA (a third of the time of its `MA` indicator) as f(values, span)."""
    if find_spec("vectorbt") is None or (engine == "rust" and find_spec("vectorbt_rust") is None):
        raise ConfigError(
            f"the vectorbt benchmark with the {engine} engine needs vectorbt[rust], which is not installed here; "
            "run `pip install -r benchmarks/requirements.txt`"
        )
    ewm_mean_1d = import_module("vectorbt.generic.dispatch").ewm_mean_1d

    def ema(values: Column, span: int) -> Column:
        return ewm_mean_1d(values, span, engine=engine)  # type: ignore[no-any-return]

    return import_module("vectorbt"), ema


def _gate(ema: Any, closes: Column) -> Flags:
    """Where the volatility filter passes."""
    log_close = np.log(closes)
    moves = np.empty_like(log_close)
    moves[0] = 0.0
    np.subtract(log_close[1:], log_close[:-1], out=moves[1:])
    vol = ema(np.abs(moves, out=moves), VOL)
    gate: Flags = vol > ema(vol, VOL_SLOW)
    gate[:WARMUP] = False
    return gate


def _entries(fast: Column, slow: Column, gate: Flags, longs: Flags, shorts: Flags) -> None:
    """Write where a position is entered: the bar after the signal."""
    longs[0] = shorts[0] = False
    np.logical_and(gate[:-1], fast[:-1] > slow[:-1], out=longs[1:])
    np.logical_and(gate[:-1], fast[:-1] < slow[:-1], out=shorts[1:])


def _simulate(
    vbt: Any, engine: Engine, prices: tuple[Column, ...], longs: Flags, shorts: Flags, stop_bps: Any, take_bps: Any
) -> Any:
    opens, highs, lows, closes = prices
    return vbt.Portfolio.from_signals(
        closes,
        longs,
        False,
        shorts,
        False,
        price=opens,
        open=opens,
        high=highs,
        low=lows,
        sl_stop=stop_bps * 1e-4,
        tp_stop=take_bps * 1e-4,
        stop_entry_price="fillprice",
        upon_opposite_entry="reverse",
        fees=FEE_BPS * 1e-4,
        slippage=SLIPPAGE_BPS * 1e-4,
        size=NOTIONAL,
        size_type="value",
        init_cash=1e9,
        ffill_val_price=False,
        attach_call_seq=False,
        engine=engine,
    )
