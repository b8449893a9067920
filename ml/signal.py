"""The default strategy: pullbacks in a trend, gated by volatility and microstructure, under a threshold that adapts.

A fold like every other: `signal_step(state, par, features, signal)` over records, compiled once, so history, replay and
the live bot answer alike. `docs/strategy.md` gives the rationale; every parameter stands in `config.yaml`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from utils.compiled import compiled
from utils.rows import SIGNAL, BarRow, Rows, SignalRow, layout, layout_of

if TYPE_CHECKING:
    from utils.settings.tree import Settings


class StrategyRow(Protocol):
    """Parameters of the default strategy; meanings and ranges as in `config.yaml`, section `signal`."""

    trend_weight: float
    stretch_weight: float
    flow_weight: float
    per_weight: float  # 1 / sum of the weights
    min_strength: float  # points
    adapt_quantile: float  # fraction
    adapt_step: float  # points a bar
    vol_tilt: float  # points per unit of fast over slow volatility above 1
    vol_low: float  # ratio
    vol_high: float  # ratio
    min_volume_ratio: float  # of the mean of 20 bars
    max_roll_bps: float
    max_book_spread_bps: float
    max_flow_against: float  # fraction
    edge_per_sigma: float  # expected move over volatility of the horizon, at strength 100
    horizon: float  # bars
    nan_refuses: int  # 1 = a gate without its input refuses (live), 0 = it passes (bar simulation)


STRATEGY = layout_of(StrategyRow)

#: Where a bar ends on its way to a signal; the funnel counts them in this order.
FUNNEL = (
    "warmup",
    "flat_market",
    "vol_low",
    "vol_high",
    "thin_volume",
    "wide_spread",
    "wide_book",
    "strength",
    "flow_against",
    "signal",
)
WARMUP, FLAT, VOL_LOW, VOL_HIGH, THIN, WIDE, WIDE_BOOK, WEAK, AGAINST, SIGNALLED = range(len(FUNNEL))


class Gate(NamedTuple):
    """What a gate looks at, how that fails, and the setting of section `signal` that it is held against."""

    feature: str
    fails: str
    setting: str


#: The gates that look at one feature each; the others are the strength, the book's spread, the flow against the side.
GATES = {
    "vol_low": Gate("vol_ratio_20_120", "<", "vol_low"),
    "vol_high": Gate("vol_ratio_20_120", ">", "vol_high"),
    "thin_volume": Gate("volume_ratio_20", "<", "min_volume_ratio"),
    "wide_spread": Gate("roll_spread_20_bps", ">", "max_roll_bps"),
}

#: Memory of one symbol: adaptive threshold and what was last asked for (points), spread of the book as frozen at
#: the close (bps; NaN = no valid book) and whether there is to be a book at all, the close before which nothing is
#: signalled (ns), where bars ended and where the last one did, the gate being asked, and gates that had no input.
STATE = layout(
    ("quantile", np.float64),
    ("asked", np.float64),
    ("book_spread_bps", np.float64),
    ("has_book", np.int64),
    ("start_ts", np.int64),
    ("started", np.int64),
    ("gate", np.int64),
    ("ended", np.int64, (len(FUNNEL),)),
    ("ended_at", np.int64),
    ("unavailable", np.int64, (len(FUNNEL),)),
)


def strategy_params(settings: Settings, *, live: bool = False) -> Rows:
    """The default strategy's STRATEGY record of these settings."""
    row = np.zeros(1, STRATEGY)
    par, chosen = row[0], settings.signal
    for name in STRATEGY.names or ():
        if hasattr(chosen, name):
            setattr(par, name, getattr(chosen, name))
    weights = chosen.trend_weight + chosen.stretch_weight + chosen.flow_weight
    par.per_weight = 1.0 / weights if weights > 0.0 else 0.0
    # one bar moves the tracked quantile by so many points that its memory halves over adapt_halflife bars
    par.adapt_step = 100.0 * (1.0 - 2.0 ** (-1.0 / chosen.adapt_halflife))
    par.horizon = settings.risk.horizon
    par.nan_refuses = int(live)
    return row


def strategy_key(settings: Settings) -> str:
    """SHA-256 of what decides when the default strategy signals, hexadecimal; vetoes come later and are not in it."""
    return hashlib.sha256(strategy_params(settings).tobytes()).hexdigest()


@compiled
def flow_of(f: Any) -> float:
    """Taker flow of 20 bars where the venue tells, else the candle-direction proxy; fraction in [-1, 1]."""
    if math.isnan(f.taker_flow_20):
        return f.candle_flow_proxy_20  # type: ignore[no-any-return]
    return f.taker_flow_20  # type: ignore[no-any-return]


@compiled
def clipped(x: float) -> float:
    """`x` within [-1, 1], so that no single input decides alone; NaN stays NaN, which `min` and `max` would swallow."""
    if x > 1.0:
        return 1.0
    if x < -1.0:
        return -1.0
    return x


@compiled
def score(par: StrategyRow, f: Any) -> float:
    """Direction and conviction: long a dip in an uptrend that flow supports, short its mirror image.

    Formula: (w_t clip(trend / 4) - w_s clip(z / 2) + w_f clip(2 flow)) / (w_t + w_s + w_f), clip to [-1, 1].

    Args:
        par: weights.
        f: feature record with `trend_12_48`, `zscore_20` and the flows.

    Returns:
        Fraction in [-1, 1]; NaN when an input is.
    """
    flow = flow_of(f)
    supported = 0.0 if math.isnan(flow) else clipped(2.0 * flow)
    pull: float = par.trend_weight * clipped(0.25 * f.trend_12_48) - par.stretch_weight * clipped(0.5 * f.zscore_20)
    return (pull + par.flow_weight * supported) * par.per_weight


@compiled
def threshold_of(state: Any, par: StrategyRow, strength: float, vol_ratio: float) -> float:
    """Strength asked for at this bar; the quantile then learns from the bar.

    Formula: max(min_strength, q) + tilt max(0, vol ratio - 1); q moves by step (quantile - [strength < q]), so the
    given share of recent bars lies below it (Robbins-Monro).

    Returns:
        Points.
    """
    if state.started == 0:
        state.started = 1
        state.quantile = par.min_strength
    asked: float = max(par.min_strength, state.quantile) + par.vol_tilt * max(0.0, vol_ratio - 1.0)
    state.quantile += par.adapt_step * (par.adapt_quantile - (1.0 if strength < state.quantile else 0.0))
    return asked


@compiled
def blocks(state: Any, par: StrategyRow, value: float, low: float, high: float) -> bool:
    """Does the gate that `state.gate` names stop this bar?

    Its value must lie in [low, high]; without a value it is counted as unavailable.
    """
    if math.isnan(value):
        state.unavailable[state.gate] += 1
        return par.nan_refuses == 1
    return value < low or value > high


@compiled
def ends_at(state: Any, par: StrategyRow, bar: BarRow, f: Any, signal: SignalRow) -> int:
    """Walk one closed bar through the gates; fill strength, threshold and expectation on the way.

    Returns:
        Where the bar ended, an index of `FUNNEL`.
    """
    leaning = score(par, f)
    strength = 100.0 * abs(leaning)
    if math.isnan(leaning) or math.isnan(f.vol_ratio_20_120):
        return WARMUP if bar.ts < state.start_ts else FLAT
    asked = state.asked = threshold_of(state, par, strength, f.vol_ratio_20_120)
    if bar.ts < state.start_ts:
        return WARMUP
    state.gate = VOL_LOW
    if blocks(state, par, f.vol_ratio_20_120, par.vol_low, math.inf):
        return VOL_LOW
    state.gate = VOL_HIGH
    if blocks(state, par, f.vol_ratio_20_120, 0.0, par.vol_high):
        return VOL_HIGH
    state.gate = THIN
    if blocks(state, par, f.volume_ratio_20, par.min_volume_ratio, math.inf):
        return THIN
    state.gate = WIDE
    if blocks(state, par, f.roll_spread_20_bps, 0.0, par.max_roll_bps):
        return WIDE
    if state.has_book == 1:
        state.gate = WIDE_BOOK
        if blocks(state, par, state.book_spread_bps, 0.0, par.max_book_spread_bps):
            return WIDE_BOOK
    if strength < asked:
        return WEAK
    side = 1.0 if leaning > 0.0 else -1.0
    state.gate = AGAINST
    if blocks(state, par, side * flow_of(f), -par.max_flow_against, math.inf):
        return AGAINST
    signal.side = side
    signal.strength = strength
    signal.threshold = asked
    signal.p_win = math.nan
    signal.expected_bps = par.edge_per_sigma * f.ewma_vol_20_bps * math.sqrt(par.horizon) * strength / 100.0
    signal.take_bps = math.nan
    signal.stop_bps = math.nan
    signal.horizon = math.nan
    signal.atr = f.atr_14
    signal.vol_bps = f.ewma_vol_20_bps
    signal.net_bps = math.nan
    signal.least_bps = math.nan
    signal.model = math.nan
    return SIGNALLED


@compiled
def signal_step(state: Any, par: StrategyRow, bar: BarRow, f: Any, signal: SignalRow) -> None:
    """One closed bar in, one signal row out; a neutral bar has side NaN, and its other fields say nothing.

    Args:
        state: STATE record of the symbol.
        par: STRATEGY record.
        bar: the bar.
        f: its feature record.
        signal: SIGNAL record to write; `p_win` is NaN until a model is asked, barriers stay with the settings.
    """
    signal.side = math.nan
    state.ended_at = ends_at(state, par, bar, f, signal)
    state.ended[state.ended_at] += 1


@compiled
def signal_rows(states: Rows, params: Rows, bars: Rows, features: Rows, signals: Rows) -> None:
    """`signal_step` over rows of any symbols."""
    for i in range(len(bars)):
        signal_step(states[bars[i].sym], params[0], bars[i], features[i], signals[i])


class Signaller:
    """One state per symbol over the compiled step; history goes on where the last call ended.

    Args:
        params: STRATEGY, one row.
        starts: first close of each symbol at which it may signal, ns; bars before are warm-up.
    """

    def __init__(self, params: Rows, starts: Sequence[int]) -> None:
        self.params = params
        self._starts = np.array(starts, dtype=np.int64)
        self.states: Rows = np.zeros(len(self._starts), STATE)
        self.reset()

    def batch(self, bars: Rows, features: Rows, out: Rows | None = None) -> Rows:
        """Signal rows beside `bars`, from their feature records."""
        if out is None:
            out = np.full(len(bars) * len(SIGNAL.names or ()), np.nan).view(SIGNAL)
        signal_rows(self.states, self.params, bars, features, out)
        return out

    def see_book(self, sym: int, spread_bps: float) -> None:
        """The spread of a symbol's live book at the close of its next bar; NaN = there is no valid book.

        Before the first call the gate of the book is not asked: simulations on candles have none.
        """
        self.states["has_book"][sym] = 1
        self.states["book_spread_bps"][sym] = spread_bps

    def reset(self) -> None:
        """Forget every bar."""
        self.states[:] = 0
        self.states["start_ts"] = self._starts

    def last_gate(self, sym: int) -> str:
        """Where the last bar of a symbol ended: a name of `FUNNEL`."""
        return FUNNEL[int(self.states["ended_at"][sym])]

    def funnel(self) -> dict[str, int]:
        """How many bars of all symbols ended at each gate; `signal` are those that became signals."""
        return dict(zip(FUNNEL, (int(n) for n in self.states["ended"].sum(axis=0)), strict=True))

    def unavailable(self) -> dict[str, int]:
        """How often each gate had no input."""
        counts = zip(FUNNEL, (int(n) for n in self.states["unavailable"].sum(axis=0)), strict=True)
        return {gate: count for gate, count in counts if count}
