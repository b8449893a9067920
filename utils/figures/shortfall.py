"""What execution cost: orders as they were decided against what became of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from utils.figures.arithmetic import QTY_NOISE, Floats


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Implementation shortfall and its parts, bps of decision notional; positive = cost."""

    delay_bps: float  # from decision to arrival, on what was filled
    trading_bps: float  # from arrival to fill
    opportunity_bps: float  # from decision to end, on what was not filled
    fees_bps: float

    @property
    def total_bps(self) -> float:
        """Sum of the parts."""
        return self.delay_bps + self.trading_bps + self.opportunity_bps + self.fees_bps


NO_SHORTFALL = Shortfall(math.nan, math.nan, math.nan, math.nan)


def shortfall(
    side: Floats,
    qty: Floats,
    filled_qty: Floats,
    decision_price: Floats,
    arrival_price: Floats,
    fill_price: Floats,
    end_price: Floats,
    fees: Floats,
) -> Shortfall:
    """Implementation shortfall of orders, weighted by decision notional.

    Per order: delay = Qf d (P0 - Pd); trading = Qf d (P - P0); opportunity = (Q - Qf) d (Pn - Pd); fees. Each summed
    and divided by sum(Q Pd).

    Args:
        side: d, +1 buy, -1 sell.
        qty: Q ordered, base.
        filled_qty: Qf.
        decision_price: Pd, mid at the signal.
        arrival_price: P0, mid when the order reached the market; may be NaN where nothing filled.
        fill_price: P, mean fill price; may be NaN where nothing filled.
        end_price: Pn, mid when the order ended; may be NaN where all filled.
        fees: quote, >= 0 unless a rebate; may be NaN where nothing filled.

    Returns:
        bps, positive = cost; a part is NaN where a price it needs is; all NaN without orders. Source: Perold 1988,
        Wagner and Edwards 1993.
    """
    notional = float(np.sum(qty * decision_price))
    if not notional > 0:
        return NO_SHORTFALL
    left = np.where(qty - filled_qty > QTY_NOISE * qty, qty - filled_qty, 0.0)
    delay = np.where(filled_qty > 0, filled_qty * side * (arrival_price - decision_price), 0.0)
    trading = np.where(filled_qty > 0, filled_qty * side * (fill_price - arrival_price), 0.0)
    missed = np.where(left > 0, left * side * (end_price - decision_price), 0.0)
    paid = np.where(filled_qty > 0, fees, 0.0)
    parts = (1e4 * float(np.sum(part)) / notional for part in (delay, trading, missed, paid))
    return Shortfall(*parts)
