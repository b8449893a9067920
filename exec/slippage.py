"""What a market order pays beyond the price it aimed at."""

from __future__ import annotations

import math

from utils.compiled import compiled
from utils.market.barriers import crossed
from utils.rows import BPS, AccountRow, BarRow, InstrumentRow, ParamsRow

#: A bar's range over its volatility: Parkinson's 2 sqrt(ln 2), so sigma = ln(high / low) / RANGE_TO_SIGMA.
RANGE_TO_SIGMA = 2.0 * math.sqrt(math.log(2.0))


@compiled
def square_root_impact(qty: float, volume: float, sigma: float, coefficient: float) -> float:
    """Price impact of one market order.

    Formula: I = Y sigma sqrt(Q / V). Scale-free: sigma and V may belong to any one period.

    Args:
        qty: order size Q, base.
        volume: traded volume V of the period, base; 0 = nothing known, no impact added.
        sigma: volatility of the period, fraction.
        coefficient: Y, dimensionless, 0.5-1 in the literature.

    Returns:
        Impact as a fraction of the price, >= 0.

    Source: Almgren et al. 2005; Toth et al. 2011; Donier and Bonart, arXiv 1412.4503.
    """
    if volume <= 0.0 or coefficient <= 0.0:
        return 0.0
    return coefficient * sigma * math.sqrt(qty / volume)


@compiled
def taker_price(
    acc: AccountRow, reference: float, direction: int, qty: float, bar: BarRow, ins: InstrumentRow, par: ParamsRow
) -> float:
    """Where a market order fills in a candle: reference, half spread, slippage and impact, on the tick against us.

    The three together are held to the settings' cap, as a venue's price band would; how often, the account counts.

    Args:
        acc: its counter of capped prices moves.
        reference: price aimed at: an open, a close, or a stop level (quote).
        direction: +1 buy, -1 sell.
        qty: size, base, positive.
        bar: the candle it fills in.
        ins: tick of the symbol.
        par: half spread, slippage and their cap in bps, impact coefficient.

    Returns:
        Fill price, quote; a tick at least.
    """
    impact = 0.0
    if par.impact > 0.0:
        impact = square_root_impact(qty, bar.volume, math.log(bar.high / bar.low) / RANGE_TO_SIGMA, par.impact)
    cost = (par.half_spread_bps + par.slippage_bps) * BPS + impact
    price, held = crossed(reference, direction, cost, par.max_impact_bps * BPS, ins.tick, ins.per_tick)
    if held:
        acc.capped += 1
    return price
