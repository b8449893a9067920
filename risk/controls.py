"""The controls of a size: the smallest of what each of them allows, and which one that was.

One compiled body for the engine's entries and for `risk.advanced`: what a backtest does and what a user is told agree.
"""

from __future__ import annotations

import math

from utils.compiled import compiled
from utils.rows import ControlsRow


@compiled
def per_loss(share: float, equity: float, loss: float) -> float:
    """Notional (quote) of which `share` of `equity` is lost at the stop; infinite where nothing is lost there.

    A control that is off has a `share` of NaN or infinity, and no limit; equity that is gone leaves nothing.
    """
    if not share < math.inf or loss <= 0.0:
        return math.inf
    return max(0.0, share) * max(0.0, equity) / loss


@compiled
def room_of(limit: float, whole: float, used: float) -> float:
    """What a limit leaves: limit x whole - used, at least 0; one of NaN is off, and so is one of an unknown whole."""
    if math.isnan(limit) or math.isnan(whole):
        return math.inf
    return max(0.0, limit * whole - used)


@compiled
def limits_of(c: ControlsRow) -> tuple[float, float, float, float, float, float, float, float, float, float]:
    """What each control allows, quote, in the order of the codes (`utils.codes.BOUND_NAMES`); infinite = it is off.

    Formula: r E / l, fixed, f E / l, L E - gross, L_venue E, N E - net, (H - h) E / l, room of the correlated heat,
    room of the cluster, s D, each as `ControlsRow` names it; loss l at the stop includes costs.
    """
    return (
        per_loss(c.risk_fraction, c.equity, c.loss),
        math.inf if math.isnan(c.fixed_notional) else c.fixed_notional,
        per_loss(c.kelly, c.equity, c.loss),
        room_of(c.max_leverage, c.equity, c.gross),
        room_of(c.venue_leverage, c.equity, 0.0),
        room_of(c.max_net_leverage, c.equity, c.net),
        per_loss(room_of(c.max_heat, 1.0, c.heat), c.equity, c.loss),
        per_loss(c.correlated_room, c.equity, c.loss),
        per_loss(room_of(c.max_cluster, 1.0, c.cluster), c.equity, c.loss),
        room_of(c.depth_share, c.depth, 0.0),
    )


@compiled
def allowed_notional(c: ControlsRow) -> tuple[float, int]:
    """The most that an entry may be worth: the smallest of all controls, before the multipliers.

    Formula: the least of `limits_of`, of equals the first.

    Args:
        c: the controls; NaN in one switches it off.

    Returns:
        (notional in quote, >= 0; the code of the control that gave it, `utils.codes.BOUND_NAMES`).
    """
    limits = limits_of(c)
    best, bound = math.inf, 0
    for code in range(1, len(limits) + 1):
        if limits[code - 1] < best:
            best, bound = limits[code - 1], code
    return best, bound


@compiled
def loss_to(side: int, price: float, level: float, qty: float, cost: float, gap: float) -> float:
    """What a position loses on its way to `level`, quote: max(0, d (P - S) q gap + cost S q).

    Args:
        side: d, +1 long, -1 short.
        price: P, from where the loss is counted, quote.
        level: S, where it is left, quote.
        qty: q, base, positive.
        cost: of leaving, fraction of the notional there.
        gap: how much further than S it is filled, multiples of the distance; 1 = at S.
    """
    return max(0.0, side * (price - level) * qty * gap + cost * level * qty)


@compiled
def kelly_fraction(win_rate: float, win: float, loss: float) -> float:
    """Kelly's fraction of equity to lose at the stop: W - (1 - W) / (win / loss); below 0 = no bet, -inf without a win.

    Args:
        win_rate: W, 0-1.
        win: what a win brings, costs taken off, in any unit.
        loss: what a loss takes, costs added, above 0 in the same unit.

    Source: Kelly 1956; Thorp 2006.
    """
    if win <= 0.0:
        return -math.inf
    return win_rate - (1.0 - win_rate) * loss / win


@compiled
def on(limit: float) -> float:
    """A limit of the settings among the controls, where off is NaN: settings say 0."""
    return limit if limit > 0.0 else math.nan


@compiled
def drawdown_scale(drawdown: float, floor: float) -> float:
    """How much of a size a drawdown leaves: (1 - DD - floor) / (1 - floor), within [0, 1].

    Args:
        drawdown: DD = 1 - equity / peak, fraction.
        floor: share of the peak that is never to be lost, fraction below 1; 0 or NaN = off.

    Source: Grossman and Zhou 1993.
    """
    if not floor > 0.0:
        return 1.0
    return min(1.0, max(0.0, (1.0 - drawdown - floor) / (1.0 - floor)))


@compiled
def volatility_scale(volatility: float, target: float) -> float:
    """How much of a size a volatility leaves: min(1, target / volatility); 1 where either is unknown or off (0)."""
    if math.isnan(volatility) or not target > 0.0 or volatility <= target:
        return 1.0
    return target / volatility


@compiled
def correlated_room(variance: float, covariance: float, limit: float) -> float:
    """Heat that an entry may add before the correlated heat of all positions reaches its limit.

    Formula: the largest x >= 0 with V + 2 b x + x^2 <= limit^2: x = sqrt(b^2 + limit^2 - V) - b.

    Args:
        variance: V = h' C h of what is held, fraction squared.
        covariance: b = sum_j d d_j rho_j h_j of the entry with what is held, fraction.
        limit: fraction of equity; NaN = off.

    Returns:
        Fraction of equity; NaN where the limit is off.
    """
    if math.isnan(limit):
        return math.nan
    left = limit * limit - variance
    under = covariance * covariance + left
    if under <= 0.0 or (left <= 0.0 and covariance >= 0.0):
        return 0.0
    return max(0.0, math.sqrt(under) - covariance)
