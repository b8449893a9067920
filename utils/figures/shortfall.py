"""What execution cost: orders as they were decided against what became of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from utils.figures.arithmetic import QTY_NOISE, Floats


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Implementation shortfall and its parts, bps of decision notional; positive = cost.

    Where the spread of an order is not known, spread and impact are NaN, and the trading part holds both.
    """

    delay_bps: float  # from decision to arrival, on what was filled
    trading_bps: float  # from arrival to fill: spread and impact
    spread_bps: float  # of it: half the spread that takers crossed
    fees_bps: float
    opportunity_bps: float  # from decision to end, on what was not filled
    funding_bps: float = math.nan  # beside them, no part: what holding cost

    @property
    def impact_bps(self) -> float:
        """What is not spread of the trading part: slippage and market impact, less what resting won."""
        return self.trading_bps - self.spread_bps

    @property
    def total_bps(self) -> float:
        """Sum of the parts: delay + spread + impact + fees + opportunity."""
        trading = self.trading_bps if math.isnan(self.spread_bps) else self.spread_bps + self.impact_bps
        return self.delay_bps + trading + self.fees_bps + self.opportunity_bps


NO_SHORTFALL = Shortfall(math.nan, math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True, eq=False)
class OrderCosts:
    """The shortfall of each order by parts, quote, beside orders; positive = cost."""

    notional: Floats  # decided, Q Pd
    delay: Floats
    trading: Floats
    spread: Floats  # NaN = not known
    fees: Floats
    opportunity: Floats

    @property
    def impact(self) -> Floats:
        """What is not spread of the trading part; NaN where the spread is."""
        return self.trading - self.spread

    @property
    def total(self) -> Floats:
        """Sum of the parts of each: delay + spread + impact + fees + opportunity."""
        trading = np.where(np.isnan(self.spread), self.trading, self.spread + self.impact)
        return np.asarray(self.delay + trading + self.fees + self.opportunity)


def order_costs(
    side: Floats,
    qty: Floats,
    filled_qty: Floats,
    decision_price: Floats,
    arrival_price: Floats,
    fill_price: Floats,
    end_price: Floats,
    fees: Floats,
    spread_cost: Floats | None = None,
) -> OrderCosts:
    """Implementation shortfall of each order, by parts.

    Formula: delay = Qf d (P0 - Pd); trading = Qf d (P - P0) = spread + impact; fees; opportunity =
    (Q - Qf) d (Pn - Pd).

    Args:
        side: d, +1 buy, -1 sell.
        qty: Q ordered, base.
        filled_qty: Qf.
        decision_price: Pd, mid at the signal.
        arrival_price: P0, mid when the order reached the market; may be NaN where nothing filled.
        fill_price: P, mean fill price; may be NaN where nothing filled.
        end_price: Pn, mid when the order ended; may be NaN where all filled.
        fees: quote, >= 0 unless a rebate; may be NaN where nothing filled.
        spread_cost: half the spread that taker fills crossed, quote; None or NaN = not known.

    Returns:
        Quote, positive = cost; a part is NaN where a price it needs is. Source: Perold 1988, Wagner and Edwards 1993.
    """
    left = np.where(qty - filled_qty > QTY_NOISE * qty, qty - filled_qty, 0.0)
    some = filled_qty > 0
    return OrderCosts(
        qty * decision_price,
        np.where(some, filled_qty * side * (arrival_price - decision_price), 0.0),
        np.where(some, filled_qty * side * (fill_price - arrival_price), 0.0),
        np.where(some, np.nan if spread_cost is None else spread_cost, 0.0),
        np.where(some, fees, 0.0),
        np.where(left > 0, left * side * (end_price - decision_price), 0.0),
    )


def shortfall(costs: OrderCosts, funding: float = math.nan) -> Shortfall:
    """Implementation shortfall of orders together: each part summed, over the sum of the decided notional.

    Args:
        costs: of the orders.
        funding: paid meanwhile, quote; NaN = not known.

    Returns:
        bps, positive = cost; a part is NaN where that of one order is; all NaN without orders.
    """
    notional = float(np.sum(costs.notional))
    if not notional > 0:
        return NO_SHORTFALL
    parts = (costs.delay, costs.trading, costs.spread, costs.fees, costs.opportunity, funding)
    return Shortfall(*(1e4 * float(np.sum(part)) / notional for part in parts))
