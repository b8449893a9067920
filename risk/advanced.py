"""How much, by all controls at once; and the formulas behind it: Kelly's rule, heat, correlations, drawdown scaling.

Formulas, units and what each leaves open: `docs/risk.md`. Nothing here looks at a file or a clock: settings are handed
in, and the account is as it is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from risk.controls import (
    allowed_notional,
    correlated_room,
    drawdown_scale,
    limits_of,
    volatility_scale,
)
from risk.correlation import checked_matrix, correlation_matrix
from risk.heat import believed, correlated_heat, initial_heat, legs_of, names_of, portfolio_heat, summed
from risk.held import Held, Positions, Prices, held, known_symbol, number, prices_of, side_of
from risk.kelly import KellySize, chance_of_falling_to, growth_share, kelly_position_sizing
from risk.terms import Terms, terms_of
from utils.codes import BOUND_NAMES
from utils.errors import DataError
from utils.figures.arithmetic import Floats
from utils.market.barriers import floor_to
from utils.market.costs import break_even_win_rate, crossing_bps, round_trip_costs
from utils.rows import BPS, CONTROLS
from utils.settings.tree import Settings
from utils.types import Instrument, per_step

__all__ = [
    "KellySize",
    "PositionSize",
    "calculate_position_size_with_all_controls",
    "chance_of_falling_to",
    "correlated_heat",
    "correlation_matrix",
    "drawdown_scale",
    "growth_share",
    "initial_heat",
    "kelly_position_sizing",
    "portfolio_heat",
    "size_of_probability",
    "volatility_scale",
]


@dataclass(frozen=True, slots=True)
class PositionSize:
    """A size, what held it, and what every other control would have allowed; prints as a small table."""

    symbol: str
    side: int  # +1 long, -1 short
    notional: float  # quote; the answer, which is what `float` gives
    qty: float  # base, down to the lot; NaN where no price was given
    risk: float  # equity lost at the stop, fraction
    bound: str  # what held it: a control of `utils.codes.BOUND_NAMES`, or of a size of 0 the rule that refused
    allowed: float  # by the smallest control, before the multipliers, quote
    rooms: tuple[float, ...]  # what each control allows, quote, in the order of BOUND_NAMES[1:]; inf = off
    volatility: float  # multiplier, 0-1
    drawdown: float  # multiplier, 0-1
    confidence: float  # multiplier, 0-1: of the win probability where there is one, else of the strength
    loss: float  # lost at the stop with costs, fraction of the notional
    heat: float  # of what is held, fraction of equity
    correlated: float  # likewise, with correlations
    cluster: float  # heat of what moves with the entry, fraction of equity

    @property
    def limits(self) -> dict[str, float]:
        """What each control that is on allows, quote."""
        return {name: room for name, room in zip(BOUND_NAMES[1:], self.rooms, strict=True) if room < math.inf}

    def __float__(self) -> float:
        return self.notional

    def __str__(self) -> str:
        side = "long" if self.side > 0 else "short"
        base = "" if math.isnan(self.qty) else f" ({self.qty:.10g} base)"
        lines = [
            f"{self.symbol} {side}: {self.notional:,.2f} quote{base}, {100.0 * self.risk:.3f} % of equity at the stop",
            f"  held by {self.bound}",
            f"  {'control':<22}{'allows, quote':>16}",
        ]
        lines += [
            f"  {name:<22}{room:>16,.2f}{'  <' if name == self.bound else ''}" for name, room in self.limits.items()
        ]
        scales = {"volatility": self.volatility, "drawdown": self.drawdown, "confidence": self.confidence}
        lines += [f"  {'x ' + name:<22}{scale:>16.4f}" for name, scale in scales.items()]
        lines.append(f"  heat {100.0 * self.heat:.2f} %, with correlations {100.0 * self.correlated:.2f} %")
        return "\n".join(lines)


def size_of_probability(p_win: float, break_even: float = 0.5) -> float:
    """Share of a full size that a win probability deserves: 2 Phi(z) - 1, z = (p - p*) / sqrt(p (1 - p)), at least 0.

    Args:
        p_win: p, 0-1.
        break_even: p*, the one at which the trade earns nothing after costs; above 1 nothing suffices.

    Source: Lopez de Prado 2018, chapter 10, where p* is a half: 0.6 deserves 0.1617.
    """
    edge = p_win - break_even
    if edge <= 0.0:
        return 0.0
    spread = math.sqrt(p_win * (1.0 - p_win))
    return math.erf(edge / spread / math.sqrt(2.0)) if spread > 0.0 else 1.0


def calculate_position_size_with_all_controls(
    signal_strength: float,
    volatility: float,
    correlation_matrix: Any,
    portfolio_heat: float | None,
    *,
    positions: Positions | None = None,
    prices: Prices | None = None,
    stops: Prices | None = None,
    symbols: Sequence[str] | None = None,
    equity: float | None = None,
    price: float | None = None,
    side: int | str = 1,
    symbol: str | None = None,
    stop_bps: float | None = None,
    take_bps: float | None = None,
    p_win: float | None = None,
    observations: int | None = None,
    drawdown: float = 0.0,
    depth: float | None = None,
    gap: float = 1.0,
    halted: bool = False,
    stale: bool = False,
    settings: Settings | None = None,
    instrument: Instrument | None = None,
    lot: float | None = None,
) -> PositionSize:
    """The size of an entry: the least of all controls, times what volatility, drawdown and confidence leave of it.

    Formula: min(r E / l, fixed, c f E / l, L E - gross, L_venue E, N E - net, (H - h) E / l, room of the correlated
    heat and of the cluster, s D) x min(1, sigma_target / sigma) x drawdown scale x confidence; then down to the lot. E
    is equity, l the loss at the stop with costs, f Kelly's fraction net of costs. Confidence is 2 Phi(z) - 1 of the win
    probability against break-even after costs, or, where there is none, strength / 100. A size is 0 where nothing is to
    be gained, while halted or stale, and below the least order.

    Args:
        signal_strength: points, 0-100.
        volatility: of one bar, fraction, as `risk.target_volatility_bps` means it.
        correlation_matrix: what `correlation_matrix` gives, a DataFrame by symbol; an array is in the order of
            `symbols`; None = unknown, everything counts as 1.
        portfolio_heat: of what is held, fraction of equity; None = of `positions`.
        positions: what is held, as `risk.held.held` reads it; None = unknown: then the heat is taken for one position
            on the entry's side that moves with it by the greatest correlation of the matrix, and there is no cluster.
        prices: current ones by symbol; None = the mark prices that the positions bring.
        stops: stop prices by symbol, for positions that bring none; one without is at stake up to its liquidation.
        symbols: rows of a bare array; None = those of the positions in their order, then the entry's.
        equity: marked, quote; None = `simulation.initial_capital`.
        price: of the entry, quote; None = that of `prices`, or none: then nothing is rounded.
        side: 1 or long, -1 or short.
        symbol: of the entry; None = the instrument's, or `market.symbol`.
        stop_bps: distance of the stop; None = `risk.stop_bps`.
        take_bps: distance of the take; None = `risk.take_bps`.
        p_win: win probability, 0-1; None = not estimated.
        observations: trades that it was counted over: Kelly's rule takes the lower bound, and nothing under 30.
        drawdown: 1 - equity / peak, fraction.
        depth: quote resting within 5 bps on the side that the entry would take; None = not known.
        gap: how far beyond their stops positions are filled, multiples of the distance.
        halted: a breaker has tripped.
        stale: prices are too old to act upon.
        settings: limits and costs; None = every default (`utils.config.load_settings` reads yours).
        instrument: lot, least notional, fees, venue's leverage; None = `instruments` of the settings.
        lot: base; None = the instrument's.

    Raises:
        DataError: anything out of its range, a text for a number, no equity, an unknown symbol, no correlation matrix.
    Source: Grossman and Zhou 1993; Kelly 1956; Lopez de Prado 2018.
    """
    terms = terms_of(settings, instrument, None if symbol is None else known_symbol(symbol))
    money = terms.equity if equity is None else number(equity, "equity", 0.0, open_low=True)
    strength = number(signal_strength, "signal_strength", 0.0, 100.0)
    sigma = number(volatility, "volatility", 0.0)
    given_heat = None if portfolio_heat is None else number(portfolio_heat, "portfolio_heat", 0.0)
    down = number(drawdown, "drawdown", 0.0, 1.0)
    way = side if type(side) is int and side in {1, -1} else side_of(side)
    paid = None if prices is None else prices_of(prices)
    at = price if price is not None or paid is None else paid.get(terms.symbol)
    at = math.nan if at is None else number(at, "price", 0.0, open_low=True)
    stop = _distance(stop_bps, "stop_bps", terms.stop_bps)
    take = _distance(take_bps, "take_bps", terms.take_bps)
    crossing = terms.crossing_bps if math.isnan(at) else crossing_bps(terms.crossing_bps, 0.0, terms.tick, at)
    cost_take, cost_stop = round_trip_costs(terms.maker_entry, terms.maker_bps, terms.taker_bps, crossing)

    held_now = _held(positions, stops)
    where, rho = checked_matrix(correlation_matrix, names_of(held_now, symbols, terms.symbol))
    cost = terms.taker_bps + terms.crossing_bps
    if positions is None:
        crowd = _unnamed(terms, rho, given_heat or 0.0)
    else:
        crowd = _named(terms, held_now, paid, where, rho, way, money, cost, gap, given_heat)
    confidence, kelly, why = strength / 100.0, math.nan, ""
    if p_win is not None:
        p = number(p_win, "p_win", 0.0, 1.0)
        confidence = size_of_probability(p, break_even_win_rate(take, stop, cost_take, cost_stop))
        if terms.kelly > 0.0:
            bet = kelly_position_sizing(
                p,
                take,
                stop,
                fraction=terms.kelly,
                cost_win_bps=cost_take,
                cost_loss_bps=cost_stop,
                observations=observations,
                explain=True,
            )
            kelly, why = bet.risk, bet.bound if bet.risk == 0.0 else ""
        why = why if confidence > 0.0 else "break_even"
    loss = max(0.0, (stop + cost_stop) * BPS)
    controls = _controls(
        equity=money,
        loss=loss,
        risk_fraction=terms.risk,
        fixed_notional=terms.fixed,
        kelly=kelly,
        gross=crowd.gross,
        max_leverage=terms.max_leverage,
        venue_leverage=terms.venue_leverage,
        net=crowd.net,
        max_net_leverage=terms.max_net,
        heat=crowd.heat,
        max_heat=terms.max_heat,
        correlated_room=correlated_room(crowd.variance, crowd.covariance, terms.max_correlated),
        cluster=crowd.cluster,
        max_cluster=math.nan if positions is None else terms.max_cluster,
        depth=math.nan if depth is None else number(depth, "depth", 0.0),
        depth_share=terms.depth_share,
    )
    allowed, code = allowed_notional(controls)
    scales = (volatility_scale(sigma, terms.target), drawdown_scale(down, terms.drawdown_floor), confidence)
    notional, qty = allowed * scales[0] * scales[1] * scales[2], math.nan
    bound = BOUND_NAMES[code]
    if why or halted or stale:
        notional, bound = 0.0, "halted" if halted else "stale" if stale else why
    elif notional == 0.0 < allowed:
        bound = "drawdown_floor" if scales[1] == 0.0 else "no_edge" if confidence == 0.0 else "target_volatility_bps"
    if not math.isnan(at):
        step = terms.lot if lot is None else number(lot, "lot", 0.0, open_low=True)
        qty = notional / at if math.isnan(step) else floor_to(notional / at, step, per_step(step))
        if notional > 0.0 and (qty <= 0.0 or qty * at < terms.min_notional):
            qty, bound = 0.0, "min_notional"
        notional = qty * at
    return PositionSize(
        terms.symbol,
        way,
        notional,
        qty,
        notional * loss / money,
        bound,
        allowed,
        limits_of(controls),
        *scales,
        loss,
        crowd.heat,
        math.sqrt(crowd.variance),
        crowd.cluster,
    )


def _controls(**values: float) -> Any:
    """A CONTROLS record."""
    return np.array([tuple([values[name] for name in _FIELDS])], CONTROLS)[0]


_FIELDS = CONTROLS.names or ()


class _Crowd(NamedTuple):
    """What is held, as fractions of equity but for the notionals, which are quote."""

    heat: float
    variance: float
    covariance: float
    cluster: float
    gross: float
    net: float


def _held(positions: Positions | None, stops: Prices | None) -> list[Held]:
    return [] if positions is None else held(positions, stops)


def _unnamed(terms: Terms, rho: Floats, heat: float) -> _Crowd:
    """A heat of which nobody says whose it is: one position on the entry's side, as near to it as any symbol."""
    others = rho[~np.eye(len(rho), dtype=bool)]
    near = believed(float(others.max()) if others.size else 1.0, 1, terms.rho_floor)
    return _Crowd(heat, heat * heat, near * heat, math.nan, 0.0, 0.0)


def _named(
    terms: Terms,
    held_now: Sequence[Held],
    prices: dict[str, Any] | None,
    where: Mapping[str, int],
    rho: Floats,
    side: int,
    money: float,
    cost: float,
    gap: float,
    heat: float | None,
) -> _Crowd:
    """Positions added up at current prices; a heat that is given takes the place of theirs."""
    if terms.symbol not in where:
        raise DataError(f"symbols: expected {terms.symbol} among them, saw {', '.join(where)}; add the entry's symbol")
    if prices is None:
        prices = {one.symbol: one.mark or None for one in held_now}
    found = summed(
        legs_of(held_now, where, prices),
        rho,
        where[terms.symbol],
        side,
        floor=terms.rho_floor,
        limit=terms.cluster_rho,
        exit_cost_bps=cost,
        gap=gap,
    )
    sum_of, variance, covariance, cluster, gross, net = found.item()
    return _Crowd(
        sum_of / money if heat is None else heat,
        variance / (money * money),
        covariance / money,
        cluster / money,
        gross,
        side * net,
    )


def _distance(given: float | None, name: str, usual: float) -> float:
    """A distance in bps, as given or as the settings say."""
    if given is not None:
        return number(given, name, 0.0, 1e4, open_low=True)
    if math.isnan(usual):
        raise DataError(
            f"{name}: expected the distance, as the settings' stop is in ATR units, saw none; give it in bps"
        )
    return usual
