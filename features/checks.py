"""Conformance of any feature: what must hold before its author writes a test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from features.check_inputs import hard_inputs, usual
from features.fold import Feature, FeatureSet
from utils.errors import InvariantError
from utils.rows import Rows

#: Lines every step's docstring has.
SECTIONS = ("Formula:", "Unit:", "Source:")
#: Rounding that a stated bound may be missed by, relative.
SLACK = 1e-9


def problems(
    feature: Feature, among: tuple[Feature, ...] = (), inputs: Iterable[tuple[str, Rows]] | None = None
) -> list[str]:
    """What `feature` breaks, each in a sentence; empty if it conforms. Arguments as in `check_feature`."""
    features = among or (feature,)
    found = []
    documentation = feature.step.__doc__ or ""
    found += [f"docstring has no line `{section}`" for section in SECTIONS if section not in documentation]
    has_value = False
    for name, rows in hard_inputs(feature.source) if inputs is None else inputs:
        found += [f"{name}: {problem}" for problem in _on(feature, features, rows)]
        has_value = has_value or not np.isnan(FeatureSet(features).batch(rows)[feature.name]).all()
    return found if has_value else [*found, "it has no value on any of the inputs"]


def check_feature(
    feature: Feature, among: tuple[Feature, ...] = (), inputs: Iterable[tuple[str, Rows]] | None = None
) -> None:
    """Hold `feature` to the rules of the house.

    Batch equals stream bit for bit; a prefix of the batch equals the batch of a prefix; NaN throughout warm-up and
    afterwards only where `undefined` allows; undefined rows do not poison later ones; states of two symbols do not
    mix; input rows stay unchanged; bounds hold; the docstring has formula, unit and source.

    Args:
        feature: the one to check.
        among: the set it is computed in (all of one source); default: alone. One set is compiled once for all.
        inputs: named rows of one symbol, from their first; default: those drawn for the checks.

    Raises:
        InvariantError: with each rule it breaks.
    """
    found = problems(feature, among, inputs)
    if found:
        raise InvariantError(f"{feature.name}: " + "; ".join(found))


def _on(feature: Feature, features: tuple[Feature, ...], rows: Rows) -> Iterator[str]:
    name = feature.name
    before = rows.tobytes()
    values = FeatureSet(features).batch(rows)[name].copy()
    if rows.tobytes() != before:
        yield "it changes its input rows"

    stream = FeatureSet(features)
    live = np.array([stream.step(rows[i : i + 1])[name][0] for i in range(len(rows))])
    if not same_bytes(live, values):
        yield f"stream differs from batch, first at row {first_difference(live, values)}"

    chunked = FeatureSet(features)
    for first, last in ((0, 1), (1, feature.warmup + 3), (feature.warmup + 3, 333)):
        part = chunked.batch(rows[first:last])[name]
        if not same_bytes(part, values[first:last]):
            yield f"rows {first} to {last} alone differ from the same rows of the whole batch"

    defined = ~np.isnan(values)
    if defined[: feature.warmup].any():
        yield f"row {int(np.argmax(defined))} has a value within the warm-up of {feature.warmup} rows"
    forbidden = ~defined & ~feature.undefined.allowed(rows)
    forbidden[: feature.warmup] = False
    if forbidden.any():
        yield f"NaN at row {int(np.argmax(forbidden))}, where `{feature.undefined.name}` does not hold"
    if not np.isfinite(values[defined]).all():
        yield "a value is infinite"
    low, high = feature.bounds
    room = SLACK * max(1.0, *(abs(bound) for bound in feature.bounds if math.isfinite(bound)), 0.0)
    if (values[defined] < low - room).any() or (values[defined] > high + room).any():
        yield f"values leave [{low}, {high}]: {values[defined].min()} to {values[defined].max()}"

    other = usual(feature.source, len(rows), seed=9)
    both = np.empty(2 * len(rows), rows.dtype)
    both[0::2] = rows
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
