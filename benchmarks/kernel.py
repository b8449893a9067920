"""The bare kernel: the benchmark's rules in one hand-written compiled loop, the yardstick every other figure stands on.

Rules. Signal at the close of bar t: side +1 when the fast EMA is above the slow one and the volatility filter passes,
-1 when it is below and the filter passes, else nothing; nothing in the first `WARMUP` bars, nothing at a bar without
volume. EMAs are recursive, alpha = 2 / (span + 1), seeded with the first value; volatility is the EMA (span 60) of
|log return| with the first return taken as 0, and the filter passes when it is above its own EMA (span 600). A signal
acts at the open of the next bar that trades; the opposite side closes and enters at that one open (FLIP), the same
side while in a position changes nothing. Take 25 bps, stop 18 bps, at most 20 bars, 4 bps of fee a side, 1 bp of
slippage on taker fills, 1,000 quote an entry at the deciding close, rounded down to the lot of 0.001. Bars are matched
as the barrier contract says. Left out: volume cap, impact, margin, funding, journal rows. The log return is `math.log`,
as a feature has it; a series for small returns would save some 5 ns a bar and is left out of the yardstick.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray

import utils.compiled  # noqa: F401 - its cache locator also sees changes in the callees of other files
from utils.codes import END_OF_DATA, FLIP, STOP_LOSS, TAKE_PROFIT, TIME_LIMIT
from utils.rows import Rows, layout

Column = NDArray[np.float64]

FAST, SLOW = 12, 48  # bars
VOL, VOL_SLOW = 60, 600  # bars
WARMUP = 600  # bars
TAKE_BPS, STOP_BPS, FEE_BPS, SLIPPAGE_BPS = 25.0, 18.0, 4.0, 1.0
HORIZON = 20  # bars
NOTIONAL = 1000.0  # quote
PER_LOT = 1000.0  # lots in one base unit

#: One closed trade: bar indices, base, quote per base, quote.
TRADE = layout(
    ("entry", np.int64),
    ("exit", np.int64),
    ("side", np.int64),
    ("qty", np.float64),
    ("entry_price", np.float64),
    ("exit_price", np.float64),
    ("net_pnl", np.float64),
    ("reason", np.int64),
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

    def _njit(function: Callable[P, R]) -> Callable[P, R]:
        return function
else:
    # unlike the core's decorator without bounds checks: the yardstick is what the machine can do
    _njit = numba.njit(cache=True, nogil=True, error_model="numpy")


def columns(bars: Rows) -> tuple[Column, Column, Column, Column, Column]:
    """Open, high, low, close and volume of `BAR` rows as contiguous arrays, in the kernel's order."""
    names = ("open", "high", "low", "close", "volume")
    opens, highs, lows, closes, volumes = (np.ascontiguousarray(bars[name]) for name in names)
    return opens, highs, lows, closes, volumes


def run(bars: Rows, tick: float) -> Rows:
    """The kernel's trades on `BAR` rows of one symbol, in order of exit; `tick` in quote."""
    trades = np.empty(len(bars), TRADE)
    return trades[: kernel(*columns(bars), tick, trades)]


@_njit
def _price(k: float, tick: float, per_tick: float) -> float:
    return k / per_tick if per_tick > 0.0 else k * tick


@_njit
def _taker(price: float, direction: int, tick: float, per_tick: float) -> float:
    """`price` with slippage, rounded to the tick against who buys (+1) or sells (-1)."""
    if direction > 0:
        return _price(math.ceil(price * (1.0 + SLIPPAGE_BPS * 1e-4) / tick - 1e-9), tick, per_tick)
    return _price(math.floor(price * (1.0 - SLIPPAGE_BPS * 1e-4) / tick + 1e-9), tick, per_tick)


@_njit
def _write(trade: Any, entry: int, leave: int, side: int, qty: float, bought: float, sold: float, reason: int) -> None:
    trade.entry = entry
    trade.exit = leave
    trade.side = side
    trade.qty = qty
    trade.entry_price = bought
    trade.exit_price = sold
    trade.net_pnl = side * (sold - bought) * qty - (bought + sold) * qty * (FEE_BPS * 1e-4)
    trade.reason = reason


@_njit
def kernel(
    opens: Column, highs: Column, lows: Column, closes: Column, volumes: Column, tick: float, trades: Rows
) -> int:
    """Run the rules over one symbol's bars and write its trades; returns how many.

    Args:
        opens: quote per base, on the tick; highs, lows and closes likewise.
        highs: see `opens`.
        lows: see `opens`.
        closes: see `opens`.
        volumes: base; a bar of volume 0 fills nothing.
        tick: quote.
        trades: `TRADE` rows to write to; as many as bars, since at most one position is entered a bar.
    """
    bars = len(closes)
    if bars == 0:
        return 0
    near = tick * 0.999999
    per_tick = float(round(1.0 / tick))
    if abs(per_tick * tick - 1.0) > 1e-9:
        per_tick = 0.0
    n = 0
    fast = slow = closes[0]
    vol = vol_slow = 0.0
    log_close = math.log(closes[0])
    a_fast, a_slow, a_vol, a_vol_slow = 2.0 / (FAST + 1), 2.0 / (SLOW + 1), 2.0 / (VOL + 1), 2.0 / (VOL_SLOW + 1)
    k_fast, k_slow, k_vol, k_vol_slow = 1.0 - a_fast, 1.0 - a_slow, 1.0 - a_vol, 1.0 - a_vol_slow

    # a bar needs a look only if it touches `floor` or `ceiling` or comes at `due` or later
    floor, ceiling, due = -math.inf, math.inf, bars
    side = want = closing = 0
    entry = 0
    qty = next_qty = price = stop = take = 0.0
    for i in range(1, bars):
        close = closes[i]
        previous = log_close
        log_close = math.log(close)
        fast = k_fast * fast + a_fast * close
        slow = k_slow * slow + a_slow * close
        vol = k_vol * vol + a_vol * abs(log_close - previous)
        vol_slow = k_vol_slow * vol_slow + a_vol_slow * vol

        if lows[i] <= floor or highs[i] >= ceiling or i >= due:
            if volumes[i] > 0.0:
                if closing:
                    _write(trades[n], entry, i, side, qty, price, _taker(opens[i], -side, tick, per_tick), closing)
                    n += 1
                    side = closing = 0
                if want:
                    side, want, entry, qty = want, 0, i, next_qty
                    price = _taker(opens[i], side, tick, per_tick)
                    if side > 0:
                        take = _price(math.ceil(price * (1.0 + TAKE_BPS * 1e-4) / tick - 1e-9), tick, per_tick)
                        stop = _price(math.floor(price * (1.0 - STOP_BPS * 1e-4) / tick + 1e-9), tick, per_tick)
                        floor, ceiling = stop, take + near
                    else:
                        take = _price(math.floor(price * (1.0 - TAKE_BPS * 1e-4) / tick + 1e-9), tick, per_tick)
                        stop = _price(math.ceil(price * (1.0 + STOP_BPS * 1e-4) / tick - 1e-9), tick, per_tick)
                        floor, ceiling = take - near, stop
                    due = entry + HORIZON - 1
                if side:
                    reason, leave = 0, 0.0
                    if i > entry and side * (opens[i] - take) >= near:
                        reason, leave = TAKE_PROFIT, take
                    elif (lows[i] <= stop) if side > 0 else (highs[i] >= stop):
                        worse = min(stop, opens[i]) if side > 0 else max(stop, opens[i])
                        reason, leave = STOP_LOSS, _taker(worse, -side, tick, per_tick)
                    elif (highs[i] - take >= near) if side > 0 else (take - lows[i] >= near):
                        reason, leave = TAKE_PROFIT, take
                    elif i >= entry + HORIZON - 1:
                        reason, leave = TIME_LIMIT, _taker(close, -side, tick, per_tick)
                    if reason:
                        _write(trades[n], entry, i, side, qty, price, leave, reason)
                        n += 1
                        side = 0
                if side == 0:
                    floor, ceiling, due = -math.inf, math.inf, bars
            elif side and closing == 0 and i >= entry + HORIZON - 1:
                closing = TIME_LIMIT

        if vol > vol_slow and i >= WARMUP:
            signal = 1 if fast > slow else (-1 if fast < slow else 0)
            if signal not in (0, side) and volumes[i] > 0.0:
                next_qty = math.floor(NOTIONAL / close * PER_LOT + 1e-9) / PER_LOT
                want = signal if next_qty > 0.0 else 0
                closing = FLIP if side else 0
                due = i + 1
    if side:
        last = bars - 1
        _write(trades[n], entry, last, side, qty, price, _taker(closes[last], -side, tick, per_tick), END_OF_DATA)
        n += 1
    return n
