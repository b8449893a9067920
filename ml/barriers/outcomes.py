"""What becomes of a trade that a signal opens at a bar's close: the walk from bar to bar that labels and search share.

The walk through each bar is that of `utils.market.barriers`, which the engine's matching takes, too. So the outcome at
a bar is the trade that the engine makes of a single signal there (size small against the bar's volume: no cap, no
impact, no liquidation, no funding, no trail).
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from utils.codes import MAKER, MARKET, NO_BAR, NOT_FILLED, NOT_TAKEN, TAKER, TIME_LIMIT
from utils.compiled import compiled
from utils.figures.arithmetic import Floats
from utils.market.barriers import (
    CROSSES,
    FILLS,
    crossed,
    enter_in_bar,
    leave_in_bar,
    levels,
    out_of_reach,
    resting_price,
)
from utils.rows import BPS, InstrumentRow, ParamsRow, Rows, layout_of

Whole = NDArray[np.int64]


class OutcomeRow(Protocol):
    """One trade from signal to exit; `exit_reason` 0 = there was none, or the bars ended before it was known."""

    entry_bar: int  # row of the bar it was filled in; -1 = not filled
    order_bar: int  # row of the bar in which its entry was filled, refused or given up; the last where bars ended
    unfilled: int  # why it was not filled, as in `utils.codes.LABEL_NAMES`; 0 = it was
    exit_bar: int  # row of the bar it ended in; -1 = it did not
    entry_liquidity: int
    exit_liquidity: int
    exit_reason: int
    at_open: int  # 1 = a time limit that had to wait for a bar that trades, and ended at its open
    ambiguous: int  # bars that touched both barriers
    entry_price: float  # quote
    exit_price: float  # quote
    gross_bps: float  # before fees, of the entry's notional; NaN = no trade
    net_bps: float  # after fees, spread and slippage, likewise


OUTCOME = layout_of(OutcomeRow)


@compiled
def forget(out: OutcomeRow) -> None:
    """No trade so far."""
    out.entry_bar = -1
    out.order_bar = -1
    out.unfilled = NO_BAR
    out.exit_bar = -1
    out.entry_liquidity = 0
    out.exit_liquidity = 0
    out.exit_reason = 0
    out.at_open = 0
    out.ambiguous = 0
    out.entry_price = math.nan
    out.exit_price = math.nan
    out.gross_bps = math.nan
    out.net_bps = math.nan


@compiled
def conclude(out: OutcomeRow, side: int, k: int, reason: int, price: float, liquidity: int, ins: InstrumentRow) -> None:
    """The trade ended in bar k.

    Formula: net = (d (exit - entry) - fee_entry entry - fee_exit exit) / entry, in bps.
    """
    out.exit_bar = k
    out.exit_reason = reason
    out.exit_price = price
    out.exit_liquidity = liquidity
    paid_in = ins.maker_bps if out.entry_liquidity == MAKER else ins.taker_bps
    paid_out = ins.maker_bps if liquidity == MAKER else ins.taker_bps
    out.gross_bps = side * (price - out.entry_price) / out.entry_price / BPS
    out.net_bps = out.gross_bps - paid_in - paid_out * price / out.entry_price


@compiled
def fill_from(bars: Rows, t: int, side: int, ins: InstrumentRow, par: ParamsRow, out: OutcomeRow) -> bool:
    """Walk the entry order from the bar after t on until it ends; writes when, and bar, price, liquidity or why not.

    Returns:
        Whether the fill came inside its bar rather than at the open.
    """
    cost, band = (par.half_spread_bps + par.slippage_bps) * BPS, par.max_impact_bps * BPS
    limit = math.nan
    if par.entry_kind != MARKET:
        limit = resting_price(bars[t].close, side, par.limit_offset_bps * BPS, ins.tick, ins.per_tick)
    waited = 0
    last = bars[t].last
    k = t + 1
    while last == 0 and k < len(bars):
        bar = bars[k]
        out.order_bar = k
        if bar.volume > 0.0:
            outcome, price, liquidity, inside = enter_in_bar(par.entry_kind, side, limit, waited > 0, bar, ins.tick)
            if outcome == FILLS:
                if par.entry_kind == MARKET:
                    price = crossed(price, side, cost, band, ins.tick, ins.per_tick)[0]
                out.entry_price = price
                out.entry_liquidity = liquidity
                out.entry_bar = k
                out.unfilled = 0
                return inside
            if outcome == CROSSES:
                out.unfilled = NOT_TAKEN
                return False
        waited += 1
        if par.entry_kind != MARKET and waited >= par.limit_bars:
            out.unfilled = NOT_FILLED
            return False
        last = bar.last
        k += 1
    return False


@compiled
def trade_from(bars: Rows, t: int, side: int, ins: InstrumentRow, par: ParamsRow, out: OutcomeRow) -> None:
    """The trade that a signal at the close of bar t becomes, from a flat account.

    Args:
        bars: BAR rows of one symbol, in order of time.
        t: row of the signal.
        side: +1 long, -1 short.
        ins: tick and fees.
        par: take, stop, horizon, kind of entry, half spread and slippage.
        out: OUTCOME record to write; without a trade, or where the bars end before it does, `net_bps` is NaN. A row
            with `last` set ends it (END_OF_DATA).
    """
    forget(out)
    inside = fill_from(bars, t, side, ins, par, out)
    if out.entry_bar < 0:
        return
    cost, band = (par.half_spread_bps + par.slippage_bps) * BPS, par.max_impact_bps * BPS
    take, stop = levels(side, out.entry_price, par.take_bps * BPS, par.stop_bps * BPS, ins.tick, ins.per_tick)
    closing = False
    for k in range(out.entry_bar, len(bars)):
        held = k - out.entry_bar
        bar = bars[k]
        if closing and bar.volume > 0.0:
            out.at_open = 1
            price = crossed(bar.open, -side, cost, band, ins.tick, ins.per_tick)[0]
            conclude(out, side, k, TIME_LIMIT, price, TAKER, ins)
            return
        if not closing and bar.last == 0 and held + 1 < par.horizon and out_of_reach(side, stop, take, bar):
            inside = False
            continue
        reason, price, liquidity, both, due = leave_in_bar(side, stop, take, held, par.horizon, inside, bar, ins.tick)
        if both:
            out.ambiguous += 1
        if reason != 0:
            if liquidity == TAKER:
                price = crossed(price, -side, cost, band, ins.tick, ins.per_tick)[0]
            conclude(out, side, k, reason, price, liquidity, ins)
            return
        closing = due
        inside = False


@compiled
def outcome_rows(bars: Rows, sides: Floats, instruments: Rows, params: Rows, out: Rows) -> None:
    """`trade_from` for the signal beside each bar; a side of 0 or NaN is no signal.

    Args:
        bars: BAR rows of one symbol.
        sides: +1, -1, 0 or NaN beside them.
        instruments: INSTRUMENT, one row.
        params: PARAMS, one row.
        out: OUTCOME rows to write, beside the bars.
    """
    for t in range(len(bars)):
        if sides[t] > 0.0:
            trade_from(bars, t, 1, instruments[0], params[0], out[t])
        elif sides[t] < 0.0:
            trade_from(bars, t, -1, instruments[0], params[0], out[t])
        else:
            forget(out[t])


def outcomes(bars: Rows, sides: Floats, instrument: Rows, params: Rows) -> Rows:
    """The trade behind every signal, each as if the account were flat: OUTCOME rows beside `bars`."""
    out: Rows = np.zeros(len(bars), OUTCOME)
    outcome_rows(bars, sides, instrument, params, out)
    return out


@compiled
def stopped_rows(
    bars: Rows, at: Whole, sides: Floats, stops: Floats, instruments: Rows, params: Rows, out: Rows
) -> None:
    """`trade_from` for signals at some bars, each with a stop of its own.

    Args:
        bars: BAR rows of one symbol.
        at: rows of the signals.
        sides: +1 or -1 of each.
        stops: distance of each stop, bps of the entry.
        instruments: INSTRUMENT, one row.
        params: PARAMS, one row; its `stop_bps` is written over.
        out: OUTCOME rows to write, beside the signals.
    """
    for i in range(len(at)):
        params[0].stop_bps = stops[i]
        trade_from(bars, at[i], 1 if sides[i] > 0.0 else -1, instruments[0], params[0], out[i])


def stopped_outcomes(bars: Rows, at: Whole, sides: Floats, stops: Floats, instrument: Rows, params: Rows) -> Rows:
    """The trades behind signals at some bars, each with a stop of its own (bps): OUTCOME rows beside `at`."""
    out: Rows = np.zeros(len(at), OUTCOME)
    stopped_rows(bars, at, sides, stops, instrument, params.copy(), out)
    return out
