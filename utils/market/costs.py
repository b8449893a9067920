"""What a round trip costs, and the win rate it asks for: plain arithmetic that the compiled core compiles as it is."""

from __future__ import annotations


def break_even_win_rate(
    take_bps: float, stop_bps: float, cost_take_bps: float = 0.0, cost_stop_bps: float = 0.0
) -> float:
    """Win probability at which a take/stop trade earns nothing.

    Formula: p* = (S + c_s) / ((T - c_t) + (S + c_s)); without costs S / (T + S), the odds of a driftless walk.

    Args:
        take_bps: distance of the take T, bps of the entry.
        stop_bps: distance of the stop S, bps of the entry.
        cost_take_bps: round-trip cost c_t when the take is hit, bps.
        cost_stop_bps: round-trip cost c_s when the stop is hit, bps.

    Returns:
        A fraction; above 1 when the costs exceed the take (no win rate suffices).
    """
    loss = stop_bps + cost_stop_bps
    denominator = take_bps - cost_take_bps + loss
    if denominator <= 0.0:
        return float("inf")
    return loss / denominator


def crossing_bps(half_spread_bps: float, slippage_bps: float, tick: float, price: float) -> float:
    """What a market order pays for crossing, as tables, vetoes and sizes count it.

    Formula: max(half spread + slippage, tick / price): its price is on the grid, so a tick is the least it can lose.

    Args:
        half_spread_bps: half the quoted spread, bps.
        slippage_bps: extra adverse price, bps.
        tick: price grid, quote.
        price: where the market is, quote.

    Returns:
        bps of the price.
    """
    return max(half_spread_bps + slippage_bps, 1e4 * tick / price)


def round_trip_costs(maker_entry: bool, maker_bps: float, taker_bps: float, crossing_bps: float) -> tuple[float, float]:
    """Cost of a round trip that ends at the take (a resting limit) and of one that ends at the stop (a market order).

    Formula: entry = maker fee, or taker fee + crossing; c_t = entry + maker fee; c_s = entry + taker fee + crossing.

    Args:
        maker_entry: the entry rests in the book.
        maker_bps: maker fee, bps of notional a side.
        taker_bps: taker fee, bps of notional a side.
        crossing_bps: what each market order pays for crossing, as `crossing_bps` counts it, bps.

    Returns:
        (c_t, c_s) in bps of notional.
    """
    entry = maker_bps if maker_entry else taker_bps + crossing_bps
    return entry + maker_bps, entry + taker_bps + crossing_bps
