"""Which order pays: market, limit or post-only by their expected net utility, and when to stop waiting.

One compiled body for the engine's `execution.entry: auto` and for what a user is told. All utilities are bps of the
entry, against the mid at the decision; the exit's expected cost is taken off the edge first.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypedDict, Unpack

import numpy as np

from exec.slippage import direction_of, number, walk_book
from utils.codes import KIND_NAMES, LIMIT, MARKET, POST_ONLY
from utils.compiled import compiled
from utils.errors import ConfigError, DataError, InvariantError
from utils.market.costs import break_even_win_rate
from utils.market.sides import Book, sides
from utils.market.times import unit_of
from utils.rows import BPS, NS_PER_HOUR, NS_PER_S

#: Without costs the break-even win rate is the odds of a driftless walk.
_odds = compiled(break_even_win_rate)

#: A spread where nothing is known of one, bps.
SPREAD_BPS = 3.5
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
def kind_worths(
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
) -> tuple[float, float, float]:
    """What each kind of entry is expected to earn of a signal at a bar's close.

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
        (market, limit, post-only), bps of the entry after all costs; NaN in a number that is needed gives NaN.
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
        return math.nan, math.nan, math.nan
    return market, limit, post_only


@compiled
def decide_kind(worths: tuple[float, float, float]) -> tuple[int, float]:
    """Which kind of entry a signal at a bar's close gets, and what it is expected to earn.

    Args:
        worths: of each kind, as `kind_worths` has them.

    Returns:
        (MARKET, LIMIT or POST_ONLY; expected bps of the entry, at most 0 = no trade). NaN gives POST_ONLY and NaN,
        which pays nothing either: ask `utility > 0`.
    """
    if math.isnan(worths[0]):
        return POST_ONLY, math.nan
    return choice_of(*worths)


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


class Terms(TypedDict, total=False):
    """What a market charges and a signal is worth; what is left out is that of the default settings."""

    maker_bps: float  # fee, below 0 = rebate
    taker_bps: float  # fee
    slippage_bps: float  # what crossing pays beyond the spread, at the entry and at the stop
    impact_bps: float | None  # what crossing pays beyond the spread at the entry; None = slippage_bps
    wait: float  # share of the holding horizon that a resting order waits, above 0, at most 1
    take_bps: float  # distance of the take
    stop_bps: float  # distance of the stop
    p_win: float | None  # probability of the take; None = the odds of a driftless walk
    edge_per_sigma: float  # sigmas of the horizon that a signal of strength 100 is worth
    adverse_per_sigma: float  # sigmas of the wait that a fill costs
    fill: float | None  # probability that a resting order fills; None = that the best price is touched, an upper bound


#: (least, most, whether it may be absent) of what `optimal_entry_timing` is told, in the order of `signal_utilities`.
RANGES = {
    "signal_strength": (0.0, 100.0, False),
    "spread_bps": (0.0, 1e4, False),
    "volatility": (0.0, 10.0, False),
    "maker_bps": (-1e3, 1e3, False),
    "taker_bps": (-1e3, 1e3, False),
    "slippage_bps": (0.0, 1e4, False),
    "impact_bps": (0.0, math.inf, True),
    "wait": (1e-9, 1.0, False),
    "take_bps": (1e-3, 1e4, False),
    "stop_bps": (1e-3, 1e4, False),
    "p_win": (0.0, 1.0, True),
    "edge_per_sigma": (0.0, 10.0, False),
    "adverse_per_sigma": (0.0, 10.0, False),
    "fill": (0.0, 1.0, True),
}
#: The same for compiled code.
_LEAST, _MOST, _ABSENT = (tuple(column) for column in zip(*RANGES.values(), strict=True))


@compiled
def signal_utilities(given: tuple[float, ...]) -> tuple[float, float, float]:
    """`utilities_of` a signal by its strength, its order at the best price; numbers in the order of `RANGES`."""
    strength, spread, volatility, maker, taker, slippage, impact, wait, take, stop, p_win, worth, against, fill = given
    half = 0.5 * spread
    sigma = volatility / BPS
    return utilities_of(
        edge_of(strength, sigma, worth),
        exit_cost(take, stop, p_win, maker, taker, half + slippage),
        half,
        slippage if math.isnan(impact) else impact,
        maker,
        taker,
        half,
        touch_probability(half, sigma, wait) if math.isnan(fill) else fill,
        against * sigma * math.sqrt(wait),
        wait,
    )


@compiled
def signal_kind(given: tuple[float, ...]) -> int:
    """The kind of entry of a signal by its strength; 0 where a number is out of its range in `RANGES`."""
    for i in range(len(given)):
        if not (_LEAST[i] <= given[i] <= _MOST[i] or (_ABSENT[i] and math.isnan(given[i]))):
            return 0
    return choice_of(*signal_utilities(given))[0]


@cache
def usual_terms() -> dict[str, float]:
    """`Terms` of the default settings, and the fees of their exchange, in the order of `RANGES`; NaN = absent."""
    from utils.settings.tree import Settings  # not needed by whoever asks the compiled functions

    settings = Settings()
    fees = settings.instrument(f"{settings.market.exchange}_linear", settings.market.symbol)
    return {
        "maker_bps": float(fees.maker_bps),
        "taker_bps": float(fees.taker_bps),
        "slippage_bps": settings.simulation.slippage_bps,
        "impact_bps": math.nan,
        "wait": settings.execution.limit_bars / settings.risk.horizon,
        "take_bps": settings.risk.take_bps,
        "stop_bps": settings.risk.stop_bps,
        "p_win": math.nan,
        "edge_per_sigma": settings.signal.edge_per_sigma,
        "adverse_per_sigma": ADVERSE_PER_SIGMA,
        "fill": math.nan,
    }


@cache
def _usual_values() -> tuple[float, ...]:
    return tuple(usual_terms().values())


def _plain(name: str, value: Any) -> float:
    """A number of the user's as a float; None is NaN where it may be absent, a text is no number."""
    if value is None and RANGES[name][2]:
        return math.nan
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise _wrong(name, value)
    return float(value)


def _wrong(name: str, value: Any) -> DataError:
    least, most, absent = RANGES[name]
    between = f"from {least:g} to {most:g}" if most < math.inf else f"of at least {least:g}"
    unit = "fraction" if name == "volatility" else "number"
    return DataError(
        f"{name}: expected a {unit} {between}{' or None' if absent else ''}, saw {value!r:.60}; correct it"
    )


def _given(values: tuple[Any, Any, Any], terms: Terms) -> tuple[float, ...]:
    """All numbers of a question, in the order of `RANGES`."""
    named = usual_terms() | terms
    given = (*values, *named.values())
    for value in (*values, *terms.values()):
        if type(value) is not float:
            break
    else:
        if len(given) == len(RANGES):
            return given
    for name in terms:
        if name not in usual_terms():
            raise ConfigError(f"{name}: expected one of {', '.join(usual_terms())}, saw another; see `Terms`")
    return tuple([_plain(name, value) for name, value in zip(RANGES, given, strict=True)])


def _first_wrong(given: tuple[float, ...]) -> DataError:
    for (name, (least, most, absent)), value in zip(RANGES.items(), given, strict=True):
        if not (least <= value <= most or (absent and math.isnan(value))):
            return _wrong(name, value)
    raise InvariantError(f"expected a number out of its range, saw {given}; this is a bug, please report it")


def optimal_entry_timing(
    signal_strength: float = 85.0, spread_bps: float = SPREAD_BPS, volatility: float = 0.008, **terms: Unpack[Terms]
) -> str:
    """Which kind of entry a signal should get: "MARKET", "LIMIT" or "POST_ONLY", by expected net utility.

    Formula: the highest of U_MARKET = A - h - f_t - I, U_POST_ONLY = P (A_f + h - f_m) and U_LIMIT = U_POST_ONLY +
    (1 - P) max(0, A_n - h - f_t - I), with A = 0.15 sigma s / 100 less the exit's expected cost. Where none is above 0
    the answer is "POST_ONLY" all the same; `order_decision` says that it does not pay, and why.

    Args:
        signal_strength: s, 0 to 100.
        spread_bps: full quoted spread, bps.
        volatility: sigma, standard deviation of the return over the holding horizon, fraction: 0.008 = 80 bps.
        **terms: see `Terms`.

    Raises:
        DataError: a number that is none (a text is none) or out of its range.
        ConfigError: a term that does not exist.
    """
    if terms or not (type(signal_strength) is float and type(spread_bps) is float and type(volatility) is float):
        given = _given((signal_strength, spread_bps, volatility), terms)
    else:
        given = (signal_strength, spread_bps, volatility, *_usual_values())
    kind = signal_kind(given)
    if kind == 0:
        raise _first_wrong(given)
    return KIND_NAMES[kind]


@dataclass(frozen=True, slots=True)
class OrderDecision:
    """Which order pays, what each kind is expected to earn (bps of the entry, exit's cost taken off), and why."""

    kind: str  # MARKET, LIMIT or POST_ONLY
    trade: bool  # False = nothing pays, whatever the kind says
    expected_bps: float  # of that kind
    market_bps: float
    limit_bps: float
    post_only_bps: float
    gross_bps: float  # expected move to the exit
    exit_bps: float  # expected cost of the exit
    half_spread_bps: float
    impact_bps: float  # what crossing pays beyond the spread; inf = the book is too thin
    maker_bps: float
    taker_bps: float
    fill: float  # probability that a resting order fills within its wait
    adverse_bps: float  # what a fill says against us
    missed_bps: float  # expected move already made when it did not fill; NaN where it always fills
    left_bps: float  # expected move left then, less the exit; NaN likewise
    urgency: float  # 0 = no haste, 1 = the wait may move the price by all that crossing costs
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """The decision, its figures, and the reasons, a line each."""
        head = f"{self.kind} expects {self.expected_bps:+.2f} bps" if self.trade else "NO TRADE: nothing pays"
        kinds = f"market {self.market_bps:+.2f}, limit {self.limit_bps:+.2f}, post-only {self.post_only_bps:+.2f} bps"
        odds = f"fill {self.fill:.0%}, adverse {self.adverse_bps:.2f} bps, urgency {self.urgency:.2f}"
        return "\n".join((f"{head} ({kinds}; {odds})", *(f"  {reason}" for reason in self.reasons)))


@compiled
def queue_fill(flow: float, wait: float, ahead: float, qty: float) -> float:
    """How probably a resting order fills: P = 1 - exp(-mu w / (Q + q / 2)).

    Args:
        flow: mu, market orders against our side, base a second.
        wait: w, seconds.
        ahead: Q, quantity before us at our price, base.
        qty: q, ours, base.
    """
    return 1.0 - math.exp(-flow * wait / (ahead + 0.5 * qty))


@compiled
def urgency_of(sigma_bps: float, crossing_bps: float, strength: float) -> float:
    """How much haste a signal has: clip(sigma sqrt(w) / (h + f_t - f_m) x s / 100, 0, 1).

    Args:
        sigma_bps: volatility of the wait, sigma sqrt(w), bps.
        crossing_bps: what crossing costs more than resting, h + f_t - f_m, bps.
        strength: s, 0 to 100.
    """
    haste = sigma_bps * strength / 100.0
    if crossing_bps <= haste:
        return 1.0 if haste > 0.0 else 0.0
    return haste / crossing_bps


def order_decision(
    signal_strength: float = 85.0,
    spread_bps: float | None = None,
    volatility: float = 0.008,
    *,
    side: int | str = 1,
    book: Book | None = None,
    qty: float | None = None,
    flow: float | None = None,
    wait_s: float | None = None,
    **terms: Unpack[Terms],
) -> OrderDecision:
    """What `optimal_entry_timing` weighs, as one value; with a book, what that shows stands for what is assumed.

    Args:
        signal_strength: 0 to 100.
        spread_bps: full quoted spread, bps; None = the book's, or 3.5 without one.
        volatility: standard deviation of the return over the holding horizon, fraction.
        side: buy or sell, +1 or -1; only a book asks for it.
        book: see `utils.market.sides.Book`; gives the spread, and with `qty` the impact (`exec.slippage.walk_book`).
        qty: size, base.
        flow: market orders that trade against our side, base a second; with `book`, `qty` and `wait_s` the fill
            probability is that of the queue, not that of a touch.
        wait_s: seconds that a resting order waits.
        **terms: see `Terms`; what is given there stands against what a book shows.

    Raises:
        DataError: a number that is none or out of its range, or a book that is none.
        ConfigError: a term that does not exist.
    """
    spread, seen, noted = _of_book(book, direction_of(side), qty, flow, wait_s)
    given = _given((signal_strength, spread if spread_bps is None else spread_bps, volatility), seen | terms)
    code = signal_kind(given)
    if code == 0:
        raise _first_wrong(given)
    market, limit, post_only = signal_utilities(given)
    expected = choice_of(market, limit, post_only)[1]
    strength, spread, _, maker, taker, slippage, impact, wait, take, stop, p_win, worth, against, fill = given
    half, sigma = 0.5 * spread, given[2] / BPS
    impact = slippage if math.isnan(impact) else impact
    gross, selection = edge_of(strength, sigma, worth), against * sigma * math.sqrt(wait)
    leaving = exit_cost(take, stop, p_win, maker, taker, half + slippage)
    fill = touch_probability(half, sigma, wait) if math.isnan(fill) else fill
    edge = gross - leaving
    missed = missed_move(gross, wait, fill, selection) if fill < 1.0 else math.nan
    parts = f"half the spread {half:.2f}, fee {taker:.2f}, impact {impact:.2f}"
    reasons = (
        f"a signal of strength {strength:g} is worth {gross:.2f} bps, leaving costs {leaving:.2f}: {edge:.2f} are left",
        f"crossing costs {half + taker + impact:.2f} bps: {parts}"
        if impact < math.inf
        else "crossing is not counted on: the book holds less than the order",
        f"resting earns {half - maker:+.2f} bps and fills with {fill:.0%}, {selection:.2f} bps having gone against it",
        *noted,
        *(() if expected > 0.0 else ("no kind of order is expected to earn anything: better not to trade",)),
    )
    return OrderDecision(
        kind=KIND_NAMES[code],
        trade=expected > 0.0,
        expected_bps=expected,
        market_bps=market,
        limit_bps=limit,
        post_only_bps=post_only,
        gross_bps=gross,
        exit_bps=leaving,
        half_spread_bps=half,
        impact_bps=impact,
        maker_bps=maker,
        taker_bps=taker,
        fill=fill,
        adverse_bps=selection,
        missed_bps=missed,
        left_bps=edge_left(edge, adverse(edge, sigma, wait, against), fill, missed) if fill < 1.0 else math.nan,
        urgency=urgency_of(sigma * math.sqrt(wait), half + taker - maker, strength),
        reasons=reasons,
    )


def _of_book(
    book: Book | None, side: int, qty: float | None, flow: float | None, wait_s: float | None
) -> tuple[float, Terms, tuple[str, ...]]:
    """Spread of a book, what it says of impact and fill, and remarks on that."""
    if book is None:
        return SPREAD_BPS, {}, ()
    bids, asks = sides(book)
    if not (len(bids) and len(asks)):
        raise DataError("book: expected both sides, saw an empty one; wait for the next")
    mid = 0.5 * float(bids[0, 0] + asks[0, 0])
    spread = float(asks[0, 0] - bids[0, 0]) / mid / BPS
    if qty is None:
        return spread, {}, ("without a size the impact is what the settings assume",)
    walk = walk_book(side, qty, book)
    noted = (f"the book gives {walk}",)
    seen: Terms = {"impact_bps": math.inf if walk.remainder > 0.0 else max(0.0, walk.slippage_bps - 0.5 * spread)}
    if flow is None or wait_s is None:
        return spread, seen, (*noted, "the fill is that of a touch, an upper bound: nothing is known of the flow")
    ahead = float((bids if side > 0 else asks)[0, 1])
    seen["fill"] = queue_fill(number("flow", flow, 0.0), number("wait_s", wait_s, 0.0), ahead, float(qty))
    return spread, seen, (*noted, f"{ahead:g} stand before us at the best price, and {flow:g} a second trade there")


@compiled
def decayed(edge: float, seconds: float, tau: float) -> float:
    """What time leaves of an edge: A e^(-t / tau), bps.

    Args:
        edge: A, bps.
        seconds: t since the signal.
        tau: time in which it falls to 37 %, seconds.
    """
    return edge * math.exp(-seconds / tau)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an `ExecutionTimer` waits, and how far it goes."""

    wide_quantile: float = 0.9  # of the spreads of this hour of the day: wider ones are waited out
    samples: int = 30  # spreads of the hour, one a second at most, before any counts as wide
    spread_s: float = 20.0  # longest wait for the spread, seconds; less by the signal's urgency
    wait_s: float = 60.0  # a resting order waits so long in all, seconds
    interval_s: float = 2.0  # shortest time between two prices of an order, seconds
    ticks: int = 1  # the best price is so far from ours before we follow
    chases: int = 3  # most new prices
    chase_bps: float = 10.0  # most that the mid may have moved; never more than the edge
    retries: int = 3  # most prices after rejections of a post-only order
    tau_s: float = 60.0  # decay of the edge, seconds

    def __post_init__(self) -> None:
        """Refuse what is out of range.

        Raises:
            DataError: with the name of the field.
        """
        number("wide_quantile", self.wide_quantile, 0.0, 1.0)
        for name in ("samples", "ticks", "interval_s", "spread_s", "wait_s", "chases", "chase_bps", "retries"):
            number(name, getattr(self, name), 0.0)
        number("tau_s", self.tau_s, 0.0, above=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to do with an entry now, and why."""

    action: str  # WAIT, PLACE, REPLACE, CROSS or CANCEL
    price: float  # of an order to place, quote; NaN otherwise
    utility_bps: float  # of crossing now, bps; NaN without a quote
    reason: str

    def __str__(self) -> str:
        """Action, price and reason."""
        return f"{self.action}{'' if math.isnan(self.price) else f' {self.price:g}'}: {self.reason}"


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry under way."""

    side: int
    decision: OrderDecision
    tick: float  # quote
    began: int  # ns
    mid: float  # at the beginning, quote
    price: float = math.nan  # of the resting order, quote
    moved: int = 0  # when it got that price, ns
    chases: int = 0
    retries: int = 0


#: Spreads that are remembered of each hour of the day.
REMEMBERED = 3600


class ExecutionTimer:
    """When an entry of each symbol is placed, follows the market, crosses or is given up; it reads no clock.

    Times are nanoseconds since 1970 UTC (`ts` of our nouns). It is told of quotes, asked after each, and answers with
    values; whoever asks does what they say, and tells of rejections and fills. CROSS and CANCEL end an entry: what
    still rests of it is to be taken away.
    """

    def __init__(self, patience: Patience | None = None) -> None:
        """Nothing under way.

        Args:
            patience: None = the defaults of `Patience`.
        """
        self._patience = patience or Patience()
        self._quotes: dict[str, tuple[int, float, float]] = {}
        self._spreads: dict[tuple[str, int], deque[float]] = {}
        self._sampled: dict[str, int] = {}
        self._entries: dict[str, _Entry] = {}

    def quote(self, symbol: str, now: int, bid: float, ask: float) -> None:
        """Best prices of a symbol (quote); a spread a second goes into the memory of the hour of the day.

        Raises:
            DataError: prices that are none or crossed, or a time before the last one.
        """
        bid, ask = number("bid", bid, 0.0, above=True), number("ask", ask, 0.0, above=True)
        if bid >= ask:
            raise DataError(f"{symbol}: expected a bid below the ask, saw {bid:g} and {ask:g}; wait for the next quote")
        self._quotes[symbol] = (self._at(symbol, now), bid, ask)
        if now - self._sampled.get(symbol, -NS_PER_S) >= NS_PER_S:
            self._sampled[symbol] = now
            memory = self._spreads.setdefault((symbol, _hour(now)), deque(maxlen=REMEMBERED))
            memory.append((ask - bid) / (0.5 * (bid + ask)) / BPS)

    def usual_spread(self, symbol: str, now: int) -> float:
        """Quantile `wide_quantile` of the spreads of this hour of the day, bps; NaN while too few are known."""
        memory = self._spreads.get((symbol, _hour(now)), ())
        if len(memory) < max(1, self._patience.samples):
            return math.nan
        return float(np.quantile(np.array(memory), self._patience.wide_quantile))

    def should_wait(self, symbol: str, now: int) -> bool:
        """Whether the spread is wider than usual for the hour; no while nothing is known of it."""
        if symbol not in self._quotes:
            return False
        _, bid, ask = self._quotes[symbol]
        return (ask - bid) / (0.5 * (bid + ask)) / BPS > self.usual_spread(symbol, now) * (1.0 + 1e-9)

    def start(self, symbol: str, side: int | str, decision: OrderDecision, now: int, *, tick: float) -> Answer:
        """Begin an entry as `order_decision` advises; one that was under way is forgotten.

        Args:
            symbol: whose.
            side: buy or sell, +1 or -1.
            decision: kind, edge, costs and urgency.
            now: ns.
            tick: price grid, quote.

        Raises:
            DataError: no quote of the symbol yet, a side or tick that is none, or a time before the last one.
        """
        direction, step = direction_of(side), number("tick", tick, 0.0, above=True)
        self._at(symbol, now)
        if symbol not in self._quotes:
            raise DataError(f"{symbol}: expected a quote before an entry, saw none; call quote first")
        _, bid, ask = self._quotes[symbol]
        self._entries[symbol] = _Entry(direction, decision, step, now, 0.5 * (bid + ask))
        if not decision.trade:
            return self._end(symbol, math.nan, "nothing pays")
        return self.ask(symbol, now)

    def ask(self, symbol: str, now: int) -> Answer:
        """What to do now.

        Raises:
            DataError: nothing under way, or a time before the last one.
        """
        entry = self._entry(symbol, now)
        limits, decision = self._patience, entry.decision
        _, bid, ask = self._quotes[symbol]
        best = bid if entry.side > 0 else ask
        waited = (now - entry.began) / NS_PER_S
        left = decayed(decision.gross_bps, waited, limits.tau_s)
        moved = entry.side * (0.5 * (bid + ask) - entry.mid) / entry.mid / BPS
        half = 0.5 * (ask - bid) / (0.5 * (bid + ask)) / BPS
        crossing = chase_pays(left, 0.0, 1.0, moved, half, decision.impact_bps, decision.taker_bps, decision.exit_bps)
        if math.isnan(entry.price):
            patient = limits.spread_s * (1.0 - decision.urgency)
            if waited < patient and self.should_wait(symbol, now):
                usual = self.usual_spread(symbol, now)
                return Answer(
                    "WAIT",
                    math.nan,
                    crossing,
                    f"the spread of {2.0 * half:.2f} bps is above {usual:.2f}, usual at this hour",
                )
            if decision.kind == KIND_NAMES[MARKET]:
                return self._cross_or_cancel(symbol, crossing, "a market order was advised")
            return self._placed(symbol, entry, best, now, crossing, "PLACE", "joins the best price")
        away = entry.side * (best - entry.price) >= (limits.ticks - 1e-6) * entry.tick and best != entry.price
        if waited >= limits.wait_s:
            return self._over(symbol, crossing, f"{waited:.0f} s have passed")
        if not away:
            return Answer("WAIT", math.nan, crossing, "the order stands at the best price")
        most = min(limits.chase_bps, decision.gross_bps)
        if moved > most:
            return self._over(symbol, crossing, f"the market is {moved:.2f} bps away, more than {most:.2f}")
        if entry.chases >= limits.chases:
            return self._over(symbol, crossing, f"it followed {entry.chases} times")
        if now - entry.moved < limits.interval_s * NS_PER_S:
            return Answer("WAIT", math.nan, crossing, f"the last price is less than {limits.interval_s:g} s old")
        resting = left - moved - half - decision.maker_bps - decision.exit_bps
        if resting <= 0.0:
            return self._end(symbol, crossing, f"following leaves {resting:.2f} bps of the edge")
        followed = replace(entry, chases=entry.chases + 1)
        return self._placed(
            symbol, followed, best, now, crossing, "REPLACE", f"follows, {moved:.2f} bps from its start"
        )

    def rejected(self, symbol: str, now: int) -> Answer:
        """A post-only order would have crossed: one tick back, a bounded number of times.

        Raises:
            DataError: nothing under way, no order was placed, or a time before the last one.
        """
        entry = self._entry(symbol, now)
        if math.isnan(entry.price):
            raise DataError(f"{symbol}: expected an order that was placed, saw none; place what ask answers first")
        _, bid, ask = self._quotes[symbol]
        back = min(entry.price, bid) if entry.side > 0 else max(entry.price, ask)
        price = back - entry.side * entry.tick
        if entry.retries >= self._patience.retries or price <= 0.0:
            return self._end(symbol, math.nan, f"rejected {entry.retries + 1} times")
        retried = replace(entry, retries=entry.retries + 1)
        return self._placed(symbol, retried, price, now, math.nan, "PLACE", "one tick back after a rejection")

    def done(self, symbol: str) -> None:
        """The entry filled or was given up; nothing of it is remembered."""
        self._entries.pop(symbol, None)

    def _at(self, symbol: str, now: int) -> int:
        last = self._quotes.get(symbol, (0, 0.0, 0.0))[0]
        if isinstance(now, bool) or not isinstance(now, int | np.integer) or unit_of(int(now)) != "ns":
            raise DataError(f"now: expected int nanoseconds since 1970, saw {now!r:.60}; 1 ms is 1,000,000 of them")
        if now < last:
            raise DataError(f"now: expected a time at or after {last} ns, saw {now}; tell of quotes in their order")
        return int(now)

    def _entry(self, symbol: str, now: int) -> _Entry:
        self._at(symbol, now)
        if symbol not in self._entries:
            raise DataError(f"{symbol}: expected an entry under way, saw none; call start first")
        return self._entries[symbol]

    def _placed(
        self, symbol: str, entry: _Entry, price: float, now: int, crossing: float, action: str, reason: str
    ) -> Answer:
        self._entries[symbol] = replace(entry, price=price, moved=now)
        return Answer(action, price, crossing, reason)

    def _over(self, symbol: str, crossing: float, reason: str) -> Answer:
        """The end of a wait: a limit crosses if that pays, a post-only order never."""
        if self._entries[symbol].decision.kind == KIND_NAMES[POST_ONLY]:
            return self._end(symbol, crossing, f"{reason}, and a post-only order does not cross")
        return self._cross_or_cancel(symbol, crossing, reason)

    def _cross_or_cancel(self, symbol: str, crossing: float, reason: str) -> Answer:
        if crossing > 0.0:
            self.done(symbol)
            return Answer("CROSS", math.nan, crossing, f"{reason}, and crossing earns {crossing:.2f} bps")
        return self._end(symbol, crossing, f"{reason}, and crossing earns {crossing:.2f} bps")

    def _end(self, symbol: str, crossing: float, reason: str) -> Answer:
        self.done(symbol)
        return Answer("CANCEL", math.nan, crossing, reason)


def _hour(now: int) -> int:
    """Hour of the day, UTC."""
    return now // NS_PER_HOUR % 24
