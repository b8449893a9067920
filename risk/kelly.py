"""Kelly's rule: the share of equity to lose at the stop at which a known edge grows fastest, and a part of it.

It is a share that is lost, never a notional: 0.2776 at a stop 18 bps away would be a leverage of 154. It is optimal for
known odds alone; of odds that were estimated, a lower bound and a fraction of the answer are taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, overload

from risk.controls import kelly_fraction
from risk.held import number
from utils.errors import DataError
from utils.figures.arithmetic import wilson_interval

#: Trades from which a win rate is believed at all.
ENOUGH_TRADES = 30


@dataclass(frozen=True, slots=True)
class KellySize:
    """What Kelly's rule allows, and what held it there."""

    risk: float  # equity to be lost at the stop, fraction; the answer
    bound: str  # kelly | fraction | confidence | cap | observations | no_edge
    full: float  # f* at the win rate used and net of costs, before anything else; below 0 = no edge
    win_rate: float  # the one used: as given, or its lower bound
    payoff: float  # b, net win over net loss; 0 or less = costs eat the win

    def __float__(self) -> float:
        return self.risk

    def __str__(self) -> str:
        said = _SAID[self.bound]
        return (
            f"risk {100.0 * self.risk:.2f} % of equity at the stop ({said}; full Kelly {100.0 * self.full:.2f} % "
            f"at a win rate of {100.0 * self.win_rate:.1f} % and a payoff of {self.payoff:.2f})"
        )


_SAID = {
    "kelly": "all of what Kelly's rule allows",
    "fraction": "a fraction of Kelly",
    "confidence": "by the lower bound of the win rate",
    "cap": "held by the cap",
    "observations": f"fewer than {ENOUGH_TRADES} trades: the minimum",
    "no_edge": "no edge after costs",
}


@overload
def kelly_position_sizing(
    win_rate: float,
    avg_win: float,
    avg_loss: float,
    *,
    fraction: float = ...,
    cost_win_bps: float = ...,
    cost_loss_bps: float = ...,
    observations: int | None = ...,
    confidence: float = ...,
    cap: float | None = ...,
    minimum: float = ...,
    explain: Literal[False] = ...,
) -> float: ...
@overload
def kelly_position_sizing(
    win_rate: float,
    avg_win: float,
    avg_loss: float,
    *,
    fraction: float = ...,
    cost_win_bps: float = ...,
    cost_loss_bps: float = ...,
    observations: int | None = ...,
    confidence: float = ...,
    cap: float | None = ...,
    minimum: float = ...,
    explain: Literal[True],
) -> KellySize: ...
def kelly_position_sizing(
    win_rate: float,
    avg_win: float,
    avg_loss: float,
    *,
    fraction: float = 1.0,
    cost_win_bps: float = 0.0,
    cost_loss_bps: float = 0.0,
    observations: int | None = None,
    confidence: float = 0.95,
    cap: float | None = None,
    minimum: float = 0.0,
    explain: bool = False,
) -> float | KellySize:
    """The share of equity to lose at the stop by Kelly's rule; never a notional, which is share x equity / stop.

    Formula: c max(0, W - (1 - W) / b), b = (win - c_w) / (loss + c_l), at most the cap; of n observations W is the
    lower end of its one-sided Wilson interval. (0.58, 25, 18) gives 0.2776, at 4 bps of costs 0.140, at 7 nothing.

    Args:
        win_rate: W, fraction of trades that win.
        avg_win: what a win brings, bps of the notional; any unit as long as it is the loss's, and the costs'.
        avg_loss: what a loss costs, above 0.
        fraction: c, share of the full answer: half of it keeps 75 % of the growth.
        cost_win_bps: round-trip cost of a trade that wins.
        cost_loss_bps: round-trip cost of a trade that loses.
        observations: trades that W was counted over; None = W is known. Under 30 the answer is `minimum`.
        confidence: of the lower bound, one-sided.
        cap: most that is risked, fraction of equity; None = no cap.
        minimum: risked while observations are too few, where there is an edge; fraction of equity.
        explain: answer with all of it, and what bound.

    Returns:
        Fraction of equity, at least 0; with `explain` a `KellySize`, which prints readably.

    Raises:
        DataError: a number out of its range, or no number.
    Source: Kelly 1956; Wilson 1927; MacLean, Thorp and Ziemba 2010.
    """
    found = _kelly(
        number(win_rate, "win_rate", 0.0, 1.0),
        number(avg_win, "avg_win", 0.0, open_low=True) - number(cost_win_bps, "cost_win_bps"),
        _net_loss(number(avg_loss, "avg_loss", 0.0, open_low=True), number(cost_loss_bps, "cost_loss_bps")),
        number(fraction, "fraction", 0.0, 1.0, open_low=True),
        None if observations is None else _counted(observations),
        number(confidence, "confidence", 0.5, 1.0 - 1e-9),
        math.inf if cap is None else number(cap, "cap", 0.0, 1.0),
        number(minimum, "minimum", 0.0, 1.0),
    )
    return found if explain else found.risk


def _net_loss(loss: float, cost: float) -> float:
    if loss + cost <= 0.0:
        raise DataError(f"cost_loss_bps: expected a loss above 0 after costs, saw {loss:g} and {cost:g}; mend one")
    return loss + cost


def _counted(observations: object) -> int:
    found = number(observations, "observations", 0.0)
    if found != int(found):
        raise DataError(f"observations: expected a whole number of trades, saw {found:g}; give a count")
    return int(found)


def _kelly(
    win_rate: float,
    win: float,
    loss: float,
    fraction: float,
    n: int | None,
    confidence: float,
    cap: float,
    least: float,
) -> KellySize:
    """The rule on numbers that were looked at; win and loss are net."""
    believed, short = win_rate, n is not None and n < ENOUGH_TRADES
    if n is not None and not short:
        believed = wilson_interval(win_rate * n, n, 2.0 * confidence - 1.0)[0]
    full = kelly_fraction(believed, win, loss)
    risk, bound = fraction * full, "kelly" if fraction == 1.0 else "fraction"
    if believed < win_rate and fraction == 1.0:
        bound = "confidence"
    if full <= 0.0:
        known = kelly_fraction(win_rate, win, loss)
        return KellySize(0.0, "confidence" if known > 0.0 else "no_edge", full, believed, win / loss)
    if short and least < risk:
        risk, bound = least, "observations"
    if cap < risk:
        risk, bound = cap, "cap"
    return KellySize(risk, bound, full, believed, win / loss)


def growth_share(fraction: float) -> float:
    """Share of the full growth rate that a fraction c of Kelly keeps, for small bets: c (2 - c); half keeps 0.75.

    Raises:
        DataError: the fraction is not from 0 to 2, beyond which capital shrinks.
    Source: Thorp 2006.
    """
    c = number(fraction, "fraction", 0.0, 2.0)
    return c * (2.0 - c)


def chance_of_falling_to(share: float, fraction: float) -> float:
    """Probability that capital ever falls to a share x of what it was, at a fraction c of Kelly: x^(2 / c - 1).

    To a half: 0.5 at full Kelly, 0.125 at half, 0.0078 at a quarter.

    Raises:
        DataError: the share is not in (0, 1], or the fraction not in (0, 1].
    Source: Thorp 2006; MacLean, Thorp and Ziemba 2010.
    """
    x = number(share, "share", 0.0, 1.0, open_low=True)
    return float(x ** (2.0 / number(fraction, "fraction", 0.0, 1.0, open_low=True) - 1.0))
