"""Which order pays: market, limit or post-only by their expected net utility, and when to stop waiting.

One compiled body for the engine's `execution.entry: auto` and for what a user is told. All utilities are bps of the
entry, against the mid at the decision; the exit's expected cost is taken off the edge first.
"""

from __future__ import annotations

import math

from utils.codes import LIMIT, MARKET, POST_ONLY
from utils.compiled import compiled
from utils.market.costs import break_even_win_rate

#: Without costs the break-even win rate is the odds of a driftless walk.
_odds = compiled(break_even_win_rate)

#: What a fill says against us: sigmas of the wait by which the mid has moved on average when a resting order fills.
ADVERSE_PER_SIGMA = 0.3
#: Expected move over volatility of the horizon at strength 100, until somebody measures it.
EDGE_PER_SIGMA = 0.15


@compiled
def entry_utilities(
    edge: float,
    half_spread: float,
    fee_taker: float,
    fee_maker: float,
    impact: float,
    fill: float,
    edge_filled: float,
    edge_left: float,
) -> tuple[float, float, float]:
    """What an entry is expected to earn, by its kind.

    Formula: U_MARKET = A - h - f_t - I; U_POST_ONLY = P (A_f + h - f_m), cancelled when its wait is over;
    U_LIMIT = U_POST_ONLY + (1 - P) max(0, A_n - h - f_t - I), crossing then if what is left pays.

    Args:
        edge: A, expected favourable move of the mid to the exit, less the exit's cost, bps.
        half_spread: h, bps.
        fee_taker: f_t, bps.
        fee_maker: f_m, bps; below 0 = rebate.
        impact: I, what crossing pays beyond the spread, bps.
        fill: P, probability that a resting order fills within its wait.
        edge_filled: A_f, expected move from the mid at the decision, given that it fills, bps.
        edge_left: A_n, expected move that is left at the end of the wait, given that it did not fill, bps.

    Returns:
        (market, limit, post-only), bps of the entry.
    """
    crossing = half_spread + fee_taker + impact
    post_only = fill * (edge_filled + half_spread - fee_maker)
    return edge - crossing, post_only + (1.0 - fill) * max(0.0, edge_left - crossing), post_only


@compiled
def choice_of(market: float, limit: float, post_only: float) -> tuple[int, float]:
    """The kind that earns most, and what it earns; POST_ONLY where a limit earns no more, and where nothing pays.

    Args:
        market: U_MARKET, bps.
        limit: U_LIMIT, bps.
        post_only: U_POST_ONLY, bps.

    Returns:
        (MARKET, LIMIT or POST_ONLY; the highest of the three, bps: at most 0 = no trade, which the caller refuses).
    """
    best = max(market, limit, post_only)
    if best <= 0.0 or post_only >= best:
        return POST_ONLY, best
    return (LIMIT if limit >= best else MARKET), best


@compiled
def touch_probability(distance_bps: float, sigma_bps: float, wait: float) -> float:
    """How probably a driftless walk touches a price within a wait: an upper bound of a fill, as a touch is no fill.

    Formula: 2 Phi(-d / (sigma sqrt(w))), by reflection; 1 where there is no distance, 0 where nothing moves.

    Args:
        distance_bps: d, from the mid, bps.
        sigma_bps: volatility of one period, bps.
        wait: w, periods.

    Returns:
        A fraction.
    """
    if distance_bps <= 0.0:
        return 1.0
    reach = sigma_bps * math.sqrt(wait)
    if reach <= 0.0:
        return 0.0
    return math.erfc(distance_bps / (reach * math.sqrt(2.0)))


@compiled
def edge_of(strength: float, sigma_bps: float, per_sigma: float) -> float:
    """Expected move of a signal: A = k sigma s / 100, bps; a prior until moves were measured by strength.

    Args:
        strength: s, 0 to 100.
        sigma_bps: volatility of the return over the holding horizon, bps.
        per_sigma: k, sigmas that a signal of strength 100 is worth; `signal.edge_per_sigma`.
    """
    return per_sigma * sigma_bps * strength / 100.0


@compiled
def adverse(edge: float, sigma_bps: float, wait: float, k: float) -> float:
    """What an edge is worth once a resting order has filled: A_f = A - k sigma sqrt(w), bps.

    Args:
        edge: A, bps.
        sigma_bps: volatility of one period, bps.
        wait: w, periods.
        k: sigmas of the wait that a fill costs, 0.2-0.4 until measured by the moves after fills.
    """
    return edge - k * sigma_bps * math.sqrt(wait)


@compiled
def missed_move(edge: float, waited: float, fill: float, selection: float) -> float:
    """Expected move already made when a wait ends without a fill.

    Formula: D_n = A w / H + P / (1 - P) (A - A_f): the drift of the wait, and the other side of what fills select: as
    those that fill saw the mid come, those that do not saw it go. So what is left is A_n = A (1 - w / H).

    Args:
        edge: A before the exit's cost, bps.
        waited: w / H, share of the horizon.
        fill: P, probability of a fill within the wait, below 1.
        selection: A - A_f, bps.

    Returns:
        bps.
    """
    return edge * waited + fill / (1.0 - fill) * selection


@compiled
def edge_left(edge: float, edge_filled: float, fill: float, missed: float) -> float:
    """What is left at the end of a wait without a fill, so that both outcomes together are the edge.

    Formula: A_n = (A - P A_f) / (1 - P) - D_n, from A = P A_f + (1 - P) (A_n + D_n).

    Args:
        edge: A, bps.
        edge_filled: A_f, bps.
        fill: P, below 1.
        missed: D_n, bps.

    Returns:
        bps.
    """
    return (edge - fill * edge_filled) / (1.0 - fill) - missed


@compiled
def exit_cost(
    take_bps: float, stop_bps: float, p_win: float, maker_bps: float, taker_bps: float, crossing: float
) -> float:
    """What leaving is expected to cost: p f_m + (1 - p) (f_t + crossing), as a take rests and a stop crosses.

    Args:
        take_bps: T, distance of the take, bps.
        stop_bps: S, distance of the stop, bps.
        p_win: p, probability of the take; NaN = the odds of a driftless walk, S / (T + S).
        maker_bps: f_m, bps.
        taker_bps: f_t, bps.
        crossing: half the spread and slippage, bps.

    Returns:
        bps of the exit.
    """
    p = _odds(take_bps, stop_bps, 0.0, 0.0) if math.isnan(p_win) else p_win
    return p * maker_bps + (1.0 - p) * (taker_bps + crossing)


@compiled
def utilities_of(
    gross: float,
    exit_bps: float,
    half_spread: float,
    impact: float,
    maker_bps: float,
    taker_bps: float,
    rest: float,
    fill: float,
    selection: float,
    waited: float,
) -> tuple[float, float, float]:
    """`entry_utilities` of a signal whose resting order stands `rest` from the mid.

    Formula: A = gross - exit; A_f = A - selection; A_n = A - gross w / H (`edge_left` of `missed_move`, which at P = 1
    would divide by 0). The order earns `rest` where the formula says h, so A_f is moved by the difference.

    Args:
        gross: expected favourable move of the mid to the exit, bps.
        exit_bps: expected cost of the exit, bps.
        half_spread: h, bps.
        impact: I, what crossing pays beyond the spread, bps.
        maker_bps: f_m, bps.
        taker_bps: f_t, bps.
        rest: distance of the resting order from the mid, bps.
        fill: P.
        selection: A - A_f, what a fill says against us, bps.
        waited: w / H, share of the horizon that the wait is.

    Returns:
        (market, limit, post-only), bps of the entry.
    """
    edge = gross - exit_bps
    filled = edge - selection + rest - half_spread
    left = edge - gross * min(1.0, waited)
    return entry_utilities(edge, half_spread, taker_bps, maker_bps, impact, fill, filled, left)


@compiled
def decide_kind(
    expected_bps: float,
    sigma_bps: float,
    half_spread_bps: float,
    slippage_bps: float,
    maker_bps: float,
    taker_bps: float,
    offset_bps: float,
    tick_bps: float,
    wait: float,
    horizon: float,
    take_bps: float,
    stop_bps: float,
    p_win: float,
) -> tuple[int, float]:
    """Which kind of entry a signal at a bar's close gets, and what it is expected to earn.

    A resting order stands `offset_bps` from the close and fills when the market trades a tick through it, as
    `utils.market.barriers.enter_in_bar` has it; how probably, `touch_probability` bounds from above.

    Args:
        expected_bps: expected favourable move to the exit, costs not counted, bps.
        sigma_bps: volatility of one bar, bps.
        half_spread_bps: bps.
        slippage_bps: what crossing pays beyond the spread, bps.
        maker_bps: bps.
        taker_bps: bps.
        offset_bps: distance of a resting entry from the close, bps.
        tick_bps: price grid over the close, bps.
        wait: bars a resting entry waits.
        horizon: bars the position may be held.
        take_bps: bps.
        stop_bps: bps.
        p_win: probability of the take; NaN = the odds of a driftless walk.

    Returns:
        (MARKET, LIMIT or POST_ONLY; expected bps of the entry, at most 0 = no trade). NaN in a number that is needed
        gives POST_ONLY and NaN, which pays nothing either: ask `utility > 0`.
    """
    crossing = half_spread_bps + slippage_bps
    waited = wait / horizon
    market, limit, post_only = utilities_of(
        expected_bps,
        exit_cost(take_bps, stop_bps, p_win, maker_bps, taker_bps, crossing),
        half_spread_bps,
        slippage_bps,
        maker_bps,
        taker_bps,
        offset_bps,
        touch_probability(offset_bps + tick_bps, sigma_bps, wait),
        ADVERSE_PER_SIGMA * sigma_bps * math.sqrt(wait),
        waited,
    )
    if math.isnan(market + limit + post_only + waited):
        return POST_ONLY, math.nan
    return choice_of(market, limit, post_only)


@compiled
def chase_pays(
    expected_bps: float,
    waited: float,
    horizon: float,
    moved_bps: float,
    half_spread: float,
    slippage: float,
    taker_bps: float,
    exit_bps: float,
) -> float:
    """What crossing earns when the wait of a limit is over; above 0 = cross, else cancel.

    Formula: A (1 - w / H) - moved - h - I - f_t - exit. The move already made counts against the edge in full: careful,
    as part of it may have been noise, and so no chase pays more than the edge it runs after.

    Args:
        expected_bps: A at the decision, costs not counted, bps.
        waited: w, bars.
        horizon: H, bars.
        moved_bps: move of the mid since the decision, in the signal's favour above 0, bps.
        half_spread: h, bps.
        slippage: I, what crossing pays beyond the spread, bps.
        taker_bps: f_t, bps.
        exit_bps: expected cost of the exit, `exit_cost`, bps.

    Returns:
        bps of the entry.
    """
    left = expected_bps * max(0.0, 1.0 - waited / horizon)
    return left - moved_bps - half_spread - slippage - taker_bps - exit_bps
