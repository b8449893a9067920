"""Heat: the share of equity that is lost if every stop is hit from where the market is now.

Equity is marked at current prices, so what a stop would give back of an open profit counts, too. Positions are added up
in one order, whatever order they came in: the same positions are the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from risk.controls import loss_to
from risk.correlation import FLOOR, checked_matrix
from risk.held import Held, Positions, Prices, held, known_symbol, number, price_for, prices_of
from utils.compiled import compiled
from utils.errors import DataError
from utils.figures.arithmetic import Floats
from utils.rows import BPS, Rows, layout_of


class LegRow(Protocol):
    """One open position, ready to be added up; a price of 0 = none."""

    sym: int  # its row in the correlation matrix
    side: int
    qty: float  # base
    stop: float  # quote
    liquidation: float
    price: float  # from where the loss is counted
    loss: float  # at the stop, quote; written by `crowd`


class CrowdRow(Protocol):
    """All positions together, in quote, and how they stand to an entry."""

    heat: float  # sum of losses
    variance: float  # h' C h, quote squared
    covariance: float  # sum of d d_j rho h_j with the entry
    cluster: float  # losses of those that move with the entry
    gross: float  # notional
    net: float  # signed notional


LEG = layout_of(LegRow)
CROWD = layout_of(CrowdRow)


@compiled
def loss_of(leg: LegRow, cost: float, gap: float) -> float:
    """What a position loses if its stop is hit, quote: max(0, d (price - stop) q gap + cost stop q).

    Without a stop it ends where it is liquidated; where that is not known, either, its whole notional is at stake.

    Args:
        leg: the position.
        cost: of leaving, fraction of the notional.
        gap: how much further than its stop it is filled, multiples of the distance.
    """
    level = leg.stop if leg.stop > 0.0 else leg.liquidation
    if level <= 0.0:
        return leg.price * leg.qty
    return loss_to(leg.side, leg.price, level, leg.qty, cost, gap)


@compiled
def believed(rho: float, together: int, floor: float) -> float:
    """A correlation as heat takes it: of one side at least the floor; a hedge as estimated.

    What stands at the floor was estimated lower, who knows how much: a hedge of that is none.
    """
    if together > 0:
        return max(floor, rho)
    return 0.0 if rho == floor and floor > 0.0 else rho


@compiled
def crowd(
    legs: Rows, rho: Floats, sym: int, side: int, floor: float, limit: float, cost: float, gap: float, out: CrowdRow
) -> None:
    """Add positions up: their heat, their correlated heat, and how they stand to an entry.

    Args:
        legs: LEG rows; `loss` is written.
        rho: correlation of each two symbols.
        sym: the entry's row in it; -1 = there is none.
        side: of the entry.
        floor: as `believed` takes it.
        limit: correlation, times both sides, above which a position counts to the entry's cluster.
        cost: of leaving, fraction.
        gap: as in `loss_of`.
        out: written.
    """
    out.heat = 0.0
    out.variance = 0.0
    out.covariance = 0.0
    out.cluster = 0.0
    out.gross = 0.0
    out.net = 0.0
    for i in range(len(legs)):
        leg = legs[i]
        leg.loss = loss_of(leg, cost, gap)
        out.heat += leg.loss
        notional = leg.price * leg.qty
        out.gross += notional
        out.net += leg.side * notional
        out.variance += leg.loss * leg.loss
        for j in range(i):
            other = legs[j]
            together = leg.side * other.side
            near = 1.0 if leg.sym == other.sym else believed(rho[leg.sym, other.sym], together, floor)
            out.variance += 2.0 * together * near * leg.loss * other.loss
        if sym >= 0:
            together = leg.side * side
            near = together * (1.0 if leg.sym == sym else believed(rho[leg.sym, sym], together, floor))
            out.covariance += near * leg.loss
            if near > limit:
                out.cluster += leg.loss
    out.variance = max(0.0, out.variance)


def portfolio_heat(
    positions: Positions,
    total_equity: float,
    current_prices: Prices,
    *,
    stops: Prices | None = None,
    exit_cost_bps: float = 0.0,
    gap: float = 1.0,
    require_stops: bool = False,
) -> float:
    """The share of equity lost if all stops were hit from current prices.

    Formula: sum of max(0, d (price - stop) q gap + cost) / equity. Without a stop the distance to liquidation counts,
    or else the whole notional.

    Args:
        positions: as `risk.held.held` reads them: nouns, dicts as ccxt's `fetch_positions` gives them, a DataFrame.
        total_equity: marked equity, quote, above 0.
        current_prices: quote per base by symbol.
        stops: stop prices by symbol, for positions that bring none.
        exit_cost_bps: fee and crossing of the exit, bps of its notional.
        gap: stress: how far beyond its stop a position is filled, multiples of the distance; 1.5 is usual.
        require_stops: refuse a position without a stop.

    Returns:
        Fraction of equity, at least 0.

    Raises:
        DataError: no equity, a position without a price, or one that cannot be read; names row or symbol.
    """
    return _heat(positions, total_equity, prices_of(current_prices), stops, exit_cost_bps, gap, require_stops)


def initial_heat(
    positions: Positions,
    total_equity: float,
    *,
    stops: Prices | None = None,
    exit_cost_bps: float = 0.0,
    gap: float = 1.0,
    require_stops: bool = False,
) -> float:
    """The share of equity that was to be lost when positions were opened: `portfolio_heat` from their entry prices."""
    return _heat(positions, total_equity, None, stops, exit_cost_bps, gap, require_stops)


def _heat(
    positions: Positions,
    total_equity: float,
    prices: dict[str, Any] | None,
    stops: Prices | None,
    exit_cost_bps: float,
    gap: float,
    require_stops: bool,
) -> float:
    equity = number(total_equity, "total_equity", 0.0, open_low=True)
    open_ones = held(positions, stops)
    if require_stops:
        refuse_without_stop(open_ones)
    legs = legs_of(open_ones, None, prices)
    return float(summed(legs, _NO_RHO, exit_cost_bps=exit_cost_bps, gap=gap).heat) / equity


_NO_RHO = np.ones((1, 1))


def correlated_heat(
    positions: Positions,
    total_equity: float,
    current_prices: Prices,
    correlation_matrix: Any,
    *,
    symbols: Sequence[str] | None = None,
    floor: float = FLOOR,
    stops: Prices | None = None,
    exit_cost_bps: float = 0.0,
    gap: float = 1.0,
) -> float:
    """Heat of positions that do not lose together for certain: sqrt(h' C h), h signed by direction.

    Two on one side count with at least `floor`; one against another hedges by the estimate, and not at all where the
    matrix stands at the floor, which hides the estimate. Limit this and the plain sum.

    Args:
        positions: as in `portfolio_heat`.
        total_equity: likewise.
        current_prices: likewise.
        correlation_matrix: of the symbols held, as `correlation_matrix` makes it; best with floor=None, so that hedges
            are what was estimated. None = all move as one.
        symbols: what the rows of a bare array are; None = the symbols of the positions, in their order.
        floor: least correlation of two on one side.
        stops: as in `portfolio_heat`.
        exit_cost_bps: likewise.
        gap: likewise.

    Returns:
        Fraction of equity, at least 0 and at most `portfolio_heat`.

    Raises:
        DataError: as `portfolio_heat`, or the matrix is none: see `risk.correlation.checked_matrix`.
    """
    equity = number(total_equity, "total_equity", 0.0, open_low=True)
    open_ones = held(positions, stops)
    where, rho = checked_matrix(correlation_matrix, names_of(open_ones, symbols))
    legs = legs_of(open_ones, where, prices_of(current_prices))
    least = number(floor, "floor", -1.0, 1.0)
    return math.sqrt(summed(legs, rho, floor=least, exit_cost_bps=exit_cost_bps, gap=gap).variance) / equity


def refuse_without_stop(open_ones: Iterable[Held]) -> None:
    """Every position has a stop.

    Raises:
        DataError: one has none; names it.
    """
    for one in open_ones:
        if not one.stop:
            side = "long" if one.side > 0 else "short"
            raise DataError(
                f"positions: expected a stop of {one.symbol}, saw a {side} without; set one, or name it in stops"
            )


def names_of(open_ones: Iterable[Held], symbols: Sequence[str] | None, further: str | None = None) -> list[str]:
    """The symbols of a bare matrix's rows: those named, or those held in their order and then a further one."""
    if symbols is not None:
        return [known_symbol(name) for name in symbols]
    found = dict.fromkeys([one[0] for one in open_ones])
    if further is not None:
        found[further] = None
    return list(found)


def legs_of(open_ones: Sequence[Held], where: Any, prices: dict[str, Any] | None) -> Rows:
    """LEG rows of positions, in an order of their own.

    Args:
        open_ones: the positions.
        where: row of each symbol in the matrix; None = there is no matrix.
        prices: current ones by exchange id; None = entry prices.

    Raises:
        DataError: no price, or no row in the matrix, of a symbol.
    """
    values = []
    for one in sorted(open_ones):
        symbol, side, qty, entry, stop, liquidation, _ = one
        sym = 0 if where is None else where.get(symbol)
        if sym is None:
            raise DataError(f"symbols: expected {symbol} among them, saw {', '.join(where)}; add it")
        price = entry if prices is None else prices.get(symbol)
        if not (type(price) is float and 0.0 < price < math.inf):
            price = price_for(prices or {}, symbol)
        values.append((sym, side, qty, stop, liquidation, price, 0.0))
    return np.array(values, LEG)


def summed(
    legs: Rows,
    rho: Floats,
    sym: int = -1,
    side: int = 1,
    *,
    floor: float = -1.0,
    limit: float = 1.0,
    exit_cost_bps: float = 0.0,
    gap: float = 1.0,
) -> Any:
    """`crowd` of positions, as a CROWD record."""
    cost = number(exit_cost_bps, "exit_cost_bps", -100.0, 1e4) * BPS
    out = np.zeros(1, CROWD)[0]
    crowd(legs, rho, sym, side, floor, limit, cost, number(gap, "gap", 1.0, 100.0), out)
    return out
