"""In what state the market is: how unusual its volatility is, and the regime that follows from it.

The regime is a column: row t knows rows up to t and nothing later (`ml.audit` proves it). Volatility has a daily
rhythm: for regimes of what is unusual rather than of the hour, rank `adjusted_vol_20_bps`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.folds.windows import Ring, state_layout
from ml.market.columns import Floats, Prices, one_column, volatility_of
from utils.compiled import compiled, inlined
from utils.errors import ConfigError
from utils.rows import Rows

#: Names of the regime codes.
NAMES = ("unknown", "low", "normal", "high", "extreme")
UNKNOWN, LOW, NORMAL, HIGH, EXTREME = range(len(NAMES))
#: Ranks that divide the regimes.
BORDERS = (0.33, 0.8, 0.97)


class RegimeRow(Protocol):
    """Settings and memory of one regime; the ring and the sorted window lie beside it."""

    window: int  # values
    least: int  # values before the first rank
    hold: int  # bars in a row that a change needs
    borders: Ring  # ranks
    ups: Ring  # borders on the way up
    downs: Ring  # borders on the way down
    pos: int  # of the oldest value in the ring
    count: int  # values in the window
    regime: int
    direction: int  # of the change that is asked for: +1, -1, 0 = none
    run: int  # bars in a row that asked for it
    reach: int  # the regime all of them would reach


REGIME = state_layout(RegimeRow)


@inlined
def place_of(ordered: Floats, count: int, value: float, beyond: bool) -> int:
    """How many of the first `count` sorted values are below `value`; `beyond`: not above it."""
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value or (beyond and ordered[middle] == value):
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def admit(state: RegimeRow, ring: Floats, ordered: Floats, value: float) -> None:
    """The newest value in, the oldest out; what lies between their places in the sorted window moves over."""
    hole = state.count
    if state.count == state.window:
        hole = place_of(ordered, state.count, ring[state.pos], False)
    else:
        state.count += 1
    while hole > 0 and ordered[hole - 1] > value:
        ordered[hole] = ordered[hole - 1]
        hole -= 1
    while hole < state.count - 1 and ordered[hole + 1] < value:
        ordered[hole] = ordered[hole + 1]
        hole += 1
    ordered[hole] = value
    ring[state.pos] = value
    state.pos = 0 if state.pos == state.window - 1 else state.pos + 1


@inlined
def settle(state: RegimeRow, rank: float) -> int:
    """The regime after this rank: it changes as far as `hold` ranks in a row agree, each beyond border and band."""
    if state.regime == UNKNOWN:
        state.regime = LOW
        while state.regime < EXTREME and rank >= state.borders[state.regime - LOW]:
            state.regime += 1
        return state.regime
    reach = state.regime
    while reach < EXTREME and rank > state.ups[reach - LOW]:
        reach += 1
    while reach > LOW and rank < state.downs[reach - NORMAL]:
        reach -= 1
    direction = int(reach > state.regime) - int(reach < state.regime)
    if direction != state.direction:
        state.direction = direction
        state.run = 0
    elif abs(state.reach - state.regime) < abs(reach - state.regime):
        reach = state.reach
    state.reach = reach
    state.run += 1
    if direction != 0 and state.run >= state.hold:
        state.regime = reach
        state.direction = 0
    return state.regime


@compiled
def regime_rows(states: Rows, ring: Floats, ordered: Floats, values: Floats, ranks: Floats, codes: Any) -> None:
    """Rank and regime code of each value; a NaN is unknown, does not enter the window and ends a run."""
    state = states[0]
    for i in range(len(values)):
        value = values[i]
        ranks[i] = math.nan
        codes[i] = UNKNOWN
        if math.isnan(value):
            state.direction = 0
            continue
        admit(state, ring, ordered, value)
        if state.count < state.least:
            continue
        below = place_of(ordered, state.count, value, False)
        through = place_of(ordered, state.count, value, True)
        ranks[i] = 0.5 * (below + through) / state.count
        codes[i] = settle(state, ranks[i])


@dataclass(frozen=True, slots=True, eq=False)
class Regimes:
    """One rank and one regime a row."""

    rank: Floats  # fraction in (0, 1); NaN while unknown
    regime: NDArray[np.int8]  # index of NAMES


class RegimeTracker:
    """The volatility regime as it goes on: history and the next value go through one compiled loop.

    Args:
        window: values that a rank is taken in; 7 to 30 days of bars.
        least: values before the first rank; default: a full window.
        borders: ranks that divide low, normal, high and extreme.
        band: how far beyond a border a rank must be for a change; at most half of the room that the border has.
        hold: bars in a row that must be there.

    Raises:
        ConfigError: borders that do not ascend within (0, 1), or a window too short to reach beyond the outer ones.
    """

    def __init__(
        self,
        window: int,
        *,
        least: int | None = None,
        borders: tuple[float, float, float] = BORDERS,
        band: float = 0.05,
        hold: int = 2,
    ) -> None:
        least = window if least is None else least
        edges = np.array((0.0, *borders, 1.0))
        rooms = np.diff(edges)
        if len(borders) != EXTREME - LOW or not rooms.min() > 0.0:
            raise ConfigError(f"borders: expected three ascending ranks between 0 and 1, got {borders}")
        if hold < 1 or not band >= 0.0:
            raise ConfigError(f"expected hold of 1 bar or more and a band of 0 or more, got {hold} and {band}")
        bands = np.minimum(band, 0.5 * np.minimum(rooms[:-1], rooms[1:]))
        # the most extreme of n values ranks half a value from the end
        needed = math.floor(0.5 / min(borders[0] - bands[0], 1.0 - borders[-1] - bands[-1])) + 1
        if not needed <= least <= window:
            raise ConfigError(
                f"expected {needed} <= least <= window, got least {least} and window {window}; "
                f"with fewer values no rank reaches beyond the outer borders {borders[0]} and {borders[-1]}"
            )
        self._fresh = np.zeros(1, REGIME)
        self._fresh["window"], self._fresh["least"], self._fresh["hold"] = window, least, hold
        for name, ranks in (("borders", edges[1:-1]), ("ups", edges[1:-1] + bands), ("downs", edges[1:-1] - bands)):
            self._fresh[name][0, : len(ranks)] = ranks
        self.states: Rows = self._fresh.copy()
        self._ring = np.zeros(window)
        self._ordered = np.zeros(window)

    def batch(self, volatility: Sequence[float] | Floats) -> Regimes:
        """Feed values in order of time, one or many; the answer has as many rows."""
        values = one_column(volatility, "volatility")
        regimes = Regimes(np.empty(len(values)), np.empty(len(values), np.int8))
        regime_rows(self.states, self._ring, self._ordered, values, regimes.rank, regimes.regime)
        return regimes

    def reset(self) -> None:
        """Forget all values."""
        self.states[:] = self._fresh


def volatility_regime(volatility: Sequence[float] | Floats, *, window: int, **settings: Any) -> Regimes:
    """How unusual each volatility is among the last `window`, and the regime that follows from it, causally.

    Formula: rank = (number below + number not above) / (2 n) among the last n values, v[t] included; low < 0.33 <=
    normal < 0.8 <= high < 0.97 <= extreme; a change needs 2 bars in a row beyond the border by a band of 0.05, and
    goes as far as both agree. 0.97 + 0.05 no rank can reach: where a border has less than twice the band to its
    neighbour or to 0 or 1, the band is half of that room (extreme is entered above 0.985, left below 0.955).
    Unit: rank in (0, 1); regime as index of NAMES. `volatility` in any unit.
    NaN: rank while fewer than `least` values were seen, and where the volatility is NaN; the regime is then unknown.
    Source: own; percentile as in Hazen, 1914.

    Args:
        volatility: one value a bar, oldest first.
        window: values that a rank is taken in; 7 to 30 days of bars.
        settings: as in RegimeTracker, whose `batch` gives the same answers one bar at a time.

    Raises:
        ConfigError: as RegimeTracker.
        DataError: the volatility is not one column of finite numbers and NaN.
    """
    return RegimeTracker(window, **settings).batch(volatility)


def price_regime(prices: Prices, *, window: int, half_life: int = 20, **settings: Any) -> Regimes:
    """The regime of the exponentially weighted volatility of prices: `ewma_vol`, then `volatility_regime`.

    Formula, Unit, NaN, Source: as there; the first 20 returns start the average.

    Args:
        prices: DataFrame or bar rows with `close`, or closes, oldest first; quote.
        window: bars.
        half_life: of the volatility, bars.
        settings: as in RegimeTracker.

    Raises:
        ConfigError: as RegimeTracker.
        DataError: prices are not finite and above 0.
    """
    return volatility_regime(volatility_of(prices, half_life), window=window, **settings)
