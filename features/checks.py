"""Conformance of any bar feature: what must hold before its author writes a test.

The inputs are drawn from a seed and named for what is hard about them; they are dice for checks, never market data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from features.fold import Feature, FeatureSet
from utils.errors import InvariantError
from utils.rows import BAR, NS_PER_MINUTE, Rows

#: Lines every step's docstring has.
SECTIONS = ("Formula:", "Unit:", "Source:")
#: Rounding that a stated bound may be missed by, relative.
SLACK = 1e-9
START = 1_700_000_040_000_000_000


def random_bars(rows: int, seed: int, minutes: int = 1, jumps: bool = False) -> Rows:
    """Bars of one symbol on a price grid of 0.1 around 60,000: heavy tails, volume and taker flow everywhere.

    Args:
        rows: how many.
        seed: of the dice; equal seeds give equal bars.
        minutes: length of a bar.
        jumps: one bar in fifty moves by up to a fifth.
    """
    dice = np.random.default_rng(seed)
    steps = dice.standard_t(4, rows) * 5e-4
    if jumps:
        steps += (dice.random(rows) < 0.02) * dice.uniform(-0.2, 0.2, rows)
    close = 60_000.0 * np.exp(np.cumsum(steps))
    opened = np.concatenate(([60_000.0], close[:-1])) * (1.0 + (dice.random(rows) < 0.3) * 1e-5)
    reach = dice.exponential(2e-4, (2, rows))
    bars = np.zeros(rows, BAR)
    bars["ts"] = START + minutes * NS_PER_MINUTE * np.arange(1, rows + 1)
    bars["open"] = opened.round(1)
    bars["close"] = close.round(1)
    bars["high"] = (np.maximum(opened, close) * (1.0 + reach[0])).round(1)
    bars["low"] = (np.minimum(opened, close) * (1.0 - reach[1])).round(1)
    bars["high"] = np.maximum(bars["high"], np.maximum(bars["open"], bars["close"]))
    bars["low"] = np.minimum(bars["low"], np.minimum(bars["open"], bars["close"]))
    bars["volume"] = dice.lognormal(2.0, 1.0, rows)
    bars["taker_buy"] = bars["volume"] * dice.random(rows)
    return bars


def halted(bars: Rows, first: int, last: int) -> Rows:
    """A copy in which rows first to last - 1 did not trade: no volume, all prices at the close before."""
    bars = bars.copy()
    rest = slice(first, last)
    for field in ("open", "high", "low", "close"):
        bars[field][rest] = bars["close"][max(first - 1, 0)]
    bars["volume"][rest] = 0.0
    bars["taker_buy"][rest] = 0.0
    return bars


def hard_inputs(rows: int = 700) -> Iterator[tuple[str, Rows]]:
    """Named inputs of one symbol: plain, with gaps in what a feature needs, and with wild prices."""
    bars = random_bars(rows, seed=1)
    yield "plain bars", bars
    yield "five-minute bars", random_bars(rows, seed=2, minutes=5)
    yield "big jumps", random_bars(rows, seed=3, jumps=True)
    dice = np.random.default_rng(4)
    quiet = random_bars(rows, seed=5)
    for first in np.flatnonzero(dice.random(rows) < 0.05):
        quiet = halted(quiet, int(first), int(first) + 1)
    yield "single bars without volume", quiet
    yield "a long halt", halted(bars, 200, 330)
    yield "a halt from the first bar on", halted(bars, 0, 90)
    silent = bars.copy()
    silent["taker_buy"] = math.nan
    yield "a venue without taker flow", silent
    partly = bars.copy()
    partly["taker_buy"][100:160] = math.nan
    yield "taker flow missing for an hour", partly
    flat = halted(bars, 0, rows)
    flat["volume"] = 3.0
    flat["taker_buy"] = 1.0
    yield "flat prices", flat
    level = bars.copy()
    level["volume"][300:400] = 5.0
    level["taker_buy"][300:400] = 5.0
    yield "equal volumes", level


def problems(feature: Feature, among: tuple[Feature, ...] = ()) -> list[str]:
    """What `feature` breaks, each in a sentence; empty if it conforms.

    Args:
        feature: the one to check.
        among: the set it is computed in (all of one source); default: alone. One set is compiled once for all.
    """
    features = among or (feature,)
    found = []
    documentation = feature.step.__doc__ or ""
    found += [f"docstring has no line `{section}`" for section in SECTIONS if section not in documentation]
    for name, bars in hard_inputs():
        found += [f"{name}: {problem}" for problem in _on(feature, features, bars)]
    return found


def check_feature(feature: Feature, among: tuple[Feature, ...] = ()) -> None:
    """Hold `feature` to the rules of the house.

    Batch equals stream bit for bit; a prefix of the batch equals the batch of a prefix; NaN throughout warm-up and
    afterwards only where `undefined` allows; undefined rows do not poison later ones; states of two symbols do not
    mix; input rows stay unchanged; bounds hold; the docstring has formula, unit and source.

    Args:
        feature: the one to check.
        among: the set it is computed in; default: alone.

    Raises:
        InvariantError: with each rule it breaks.
    """
    found = problems(feature, among)
    if found:
        raise InvariantError(f"{feature.name}: " + "; ".join(found))


def _on(feature: Feature, features: tuple[Feature, ...], bars: Rows) -> Iterator[str]:
    name = feature.name
    before = bars.tobytes()
    values = FeatureSet(features).batch(bars)[name].copy()
    if bars.tobytes() != before:
        yield "it changes its input rows"

    stream = FeatureSet(features)
    live = np.array([stream.step(bars[i : i + 1])[name][0] for i in range(len(bars))])
    if not same_bytes(live, values):
        yield f"stream differs from batch, first at row {first_difference(live, values)}"

    chunked = FeatureSet(features)
    for first, last in ((0, 1), (1, feature.warmup + 3), (feature.warmup + 3, 333)):
        part = chunked.batch(bars[first:last])[name]
        if not same_bytes(part, values[first:last]):
            yield f"rows {first} to {last} alone differ from the same rows of the whole batch"

    defined = ~np.isnan(values)
    if defined[: feature.warmup].any():
        yield f"row {int(np.argmax(defined))} has a value within the warm-up of {feature.warmup} rows"
    forbidden = ~defined & ~feature.undefined.allowed(bars)
    forbidden[: feature.warmup] = False
    if forbidden.any():
        yield f"NaN at row {int(np.argmax(forbidden))}, where `{feature.undefined.name}` does not hold"
    if not np.isfinite(values[defined]).all():
        yield "a value is infinite"
    low, high = feature.bounds
    room = SLACK * max(1.0, *(abs(bound) for bound in feature.bounds if math.isfinite(bound)), 0.0)
    if (values[defined] < low - room).any() or (values[defined] > high + room).any():
        yield f"values leave [{low}, {high}]: {values[defined].min()} to {values[defined].max()}"

    other = random_bars(len(bars), seed=9)
    both = np.empty(2 * len(bars), BAR)
    both[0::2] = bars
    both[1::2] = other
    both["sym"][1::2] = 1
    mixed = FeatureSet(features, symbols=2).batch(both)[name]
    if not same_bytes(mixed[0::2], values):
        yield "another symbol between the rows changes the values"


def same_bytes(first: Rows, second: Rows) -> bool:
    """Two float columns hold the same bits, NaN included."""
    return np.ascontiguousarray(first).tobytes() == np.ascontiguousarray(second).tobytes()


def first_difference(first: Rows, second: Rows) -> int:
    """The first row in which two float columns differ; NaN equals NaN."""
    return int(np.argmax((first != second) & ~(np.isnan(first) & np.isnan(second))))
