"""How long to hold: a signal's edge grows with time and saturates, its cost does not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ml.market.columns import one_column, variance_of_sum
from ml.market.momentum import fit_decay
from ml.resampling import finite
from utils.errors import ConfigError
from utils.figures.arithmetic import Floats, mean_or_nan
from utils.figures.bootstrap import mean_interval

#: What is scarce: `rate` = slots and capital (the signal comes again), `sharpe` = it is a single shot.
Scarce = Literal["rate", "sharpe"]
#: Horizons of a decay curve, as multiples of a bar up to the longest.
GROWTH = 1.35
#: Signals in each half, and stretches of twice the holding time in the later one, below which nothing is concluded.
ENOUGH_SIGNALS, ENOUGH_STRETCHES = 50, 30


@dataclass(frozen=True, slots=True)
class Decay:
    """Expected move in the signal's direction after a time: alpha(h) = A (1 - exp(-h / tau))."""

    amplitude_bps: float  # A, where it ends
    tau_minutes: float  # tau

    def at(self, minutes: float) -> float:
        """Expected move after `minutes`, bps."""
        return -self.amplitude_bps * math.expm1(-minutes / self.tau_minutes)


def break_even_holding(decay: Decay, cost_bps: float) -> float | None:
    """Time after which the edge has paid the round trip.

    Formula: h0 = -tau ln(1 - c / A). Unit: minutes. None: A does not exceed the cost c, or no tau. Source: own.
    """
    if not decay.amplitude_bps > cost_bps or not decay.tau_minutes > 0.0:
        return None
    return -decay.tau_minutes * math.log1p(-max(cost_bps, 0.0) / decay.amplitude_bps)


def weight_of_time(scarce: Scarce) -> float:
    """The factor of x in `best_holding`'s roots.

    Raises:
        ConfigError: what is scarce is neither `rate` nor `sharpe`.
    """
    factors = {"rate": 1.0, "sharpe": 2.0}
    if scarce not in factors:
        raise ConfigError(f"scarce: expected rate or sharpe, saw {scarce!r}; choose one of these")
    return factors[scarce]


def best_holding(decay: Decay, cost_bps: float, scarce: Scarce = "rate") -> float | None:
    """Holding time that earns most: per minute, or per unit of risk in a single shot.

    Formula: argmax (alpha(h) - c) / h, or argmax (alpha(h) - c) / (sigma sqrt h); with x = h / tau the roots of
    1 - exp(-x) (1 + x) = c / A and of 1 - exp(-x) (1 + 2 x) = c / A. sigma scales the ratio, not where it peaks.
    Unit: minutes. None: A does not exceed the cost c, so no horizon pays. Source: own, as Grinold and Kahn's horizon.

    Args:
        decay: edge over time.
        cost_bps: round trip c, bps; where it is not above 0 the best rate is to leave at once: 0 minutes.
        scarce: what the trade uses up.

    Raises:
        ConfigError: another word for what is scarce.
    """
    factor = weight_of_time(scarce)
    if not decay.amplitude_bps > cost_bps or not decay.tau_minutes > 0.0:
        return None
    share = cost_bps / decay.amplitude_bps
    if scarce == "rate" and share <= 0.0:
        return 0.0

    def short(x: float) -> bool:
        return 1.0 - math.exp(-x) * (1.0 + factor * x) < share

    # the left side falls to its least at x = 1 - 1 / factor and rises to 1 from there
    low = high = 1.0 - 1.0 / factor
    step = 1.0
    while short(high + step):
        high += step
        step *= 2.0
    low, high = high, high + step
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if short(middle) else (low, middle)
    return decay.tau_minutes * 0.5 * (low + high)


def holding_ratio(decay: Decay, minutes: float, cost_bps: float, sigma_bps: float) -> float:
    """Sharpe ratio of one trade held so long.

    Formula: (alpha(h) - c) / (sigma sqrt h), sigma in bps per square root of a minute. Unit: none.
    NaN: no time or no volatility.
    """
    risk = sigma_bps * math.sqrt(minutes) if minutes > 0.0 else 0.0
    return (decay.at(minutes) - cost_bps) / risk if risk > 0.0 else math.nan


def signed_moves(log_close: Floats, sides: Floats, bars: int) -> Floats:
    """Move of the close over `bars` bars in the signal's direction, bps; NaN without a signal or beyond the end."""
    moves = np.full(len(log_close), np.nan)
    moves[:-bars] = 1e4 * (log_close[bars:] - log_close[:-bars])
    return np.where(finite(sides) & (sides != 0.0), np.sign(sides) * moves, np.nan)


def horizons_up_to(longest: int) -> tuple[int, ...]:
    """Horizons of a decay curve, bars: 1, 2, 3 and then by a third more each, the longest included."""
    found, h = [1], 1.0
    while found[-1] < longest:
        h = max(h * GROWTH, found[-1] + 1.0)
        found.append(min(longest, round(h)))
    return tuple(found)


def decay_point(moves: Floats, bars: int) -> tuple[float, float]:
    """Mean of signed moves over `bars` bars and its standard error (Newey-West, as many lags), bps; NaN without one."""
    known = np.isfinite(moves)
    n = np.count_nonzero(known)
    if n == 0:
        return math.nan, math.nan
    mean = float(np.mean(moves[known]))
    return mean, math.sqrt(variance_of_sum(np.where(known, moves - mean, 0.0), bars)) / n


@dataclass(frozen=True, slots=True)
class Holding:
    """What a decay curve says about holding time, and whether bars it was not fitted on agree."""

    minutes: float | None  # None = no horizon pays
    decay: Decay | None  # fitted on the first half of the bars
    cost_bps: float  # round trip
    signals: int  # in both halves
    edge_bps: float  # mean move at that horizon in the second half, before costs; NaN = not asked
    low_bps: float  # lower end of its 95 % interval
    reason: str


def holding_period(
    log_close: Floats, sides: Floats, minutes_per_bar: float, cost_bps: float, longest: int, scarce: Scarce = "rate"
) -> Holding:
    """Optimal holding time of a signal: fitted on the first half of the bars, believed if the second half pays it.

    Formula: h* as in `best_holding` of the curve that `ml.market.momentum.fit_decay` finds; the mean move over h* on
    the second half less the round trip must be above 0 with its 95 % interval, blocks of 4 h*. The halves share no
    move.
    Unit: minutes. None: no horizon pays, or too few signals to know. Source: own.

    Args:
        log_close: logarithm of each close.
        sides: the signal beside each bar: its sign is the direction; 0 or NaN = none.
        minutes_per_bar: bar length.
        cost_bps: round trip, bps.
        longest: longest horizon looked at, bars.
        scarce: what a trade uses up.

    Raises:
        ConfigError: `longest` under 3 bars, sides not beside the bars, another word for what is scarce.
        DataError: what is no column of numbers.
    """
    if longest < 3:
        raise ConfigError(f"longest: expected a horizon of at least 3 bars for a decay curve, saw {longest}; raise it")
    weight_of_time(scarce)  # a wrong word is refused though no curve may come to need it
    log_close, sides = one_column(log_close, "log_close"), one_column(sides, "sides")
    if len(log_close) != len(sides):
        raise ConfigError(
            f"sides: expected a number beside each of {len(log_close)} bars, saw {len(sides)}; 0 or NaN where none is"
        )
    half = len(log_close) // 2
    early, late = slice(0, half), slice(half, None)
    bars = np.array([h for h in horizons_up_to(longest) if h < half])
    said = finite(sides) & (sides != 0.0)
    signals = int(np.count_nonzero(said))

    def unknown(reason: str, decay: Decay | None = None, edge: float = math.nan, low: float = math.nan) -> Holding:
        return Holding(None, decay, cost_bps, signals, edge, low, reason)

    if min(np.count_nonzero(said[early]), np.count_nonzero(said[late])) < ENOUGH_SIGNALS or len(bars) < 3:
        return unknown(f"{signals} signals are too few for a decay curve: {ENOUGH_SIGNALS} in each half are needed")
    points = [decay_point(signed_moves(log_close[early], sides[early], int(h)), int(h)) for h in bars]
    edges, errors = np.array(points).T
    amplitude, tau = fit_decay(bars * minutes_per_bar, edges, errors)
    if not amplitude > 0.0:
        return unknown("the signal has no edge that rises and settles, not even before costs")
    decay = Decay(amplitude, tau)
    best = best_holding(decay, cost_bps, scarce)
    if best is None:
        return unknown(f"the edge ends at {decay.amplitude_bps:.1f} bps, the round trip costs {cost_bps:.1f}", decay)
    held = max(1, round(best / minutes_per_bar))
    if held > bars[-1]:
        return unknown(f"the edge still grows after the {bars[-1] * minutes_per_bar:g} min looked at", decay)
    if len(log_close) - half < ENOUGH_STRETCHES * 2 * held:
        return unknown(f"{len(log_close)} bars are too few to judge trades of {held * minutes_per_bar:g} min", decay)
    edge, low = _confirmed(log_close[late], sides[late], held)
    if math.isnan(low):
        return unknown("the signals of the later half lie too close together to judge them", decay, edge)
    if not low > cost_bps:
        text = (
            f"{held * minutes_per_bar:g} min would be best, but the later half moved {edge:.1f} bps "
            f"(at least {low:.1f}) in that time, and the round trip costs {cost_bps:.1f}"
        )
        return unknown(text, decay, edge, low)
    text = f"the later half moved {edge:.1f} bps (at least {low:.1f}) for a round trip of {cost_bps:.1f}"
    return Holding(max(best, minutes_per_bar), decay, cost_bps, signals, edge, low, text)


def _confirmed(log_close: Floats, sides: Floats, held: int) -> tuple[float, float]:
    """Mean move over `held` bars and the lower end of its interval, bps; NaN where there is no signal."""
    moves = signed_moves(log_close, sides, held)
    known = np.isfinite(moves)
    low, _ = mean_interval(np.where(known, moves, 0.0), known.astype(np.float64), 4 * held)
    return mean_or_nan(moves[known]), low
