"""A meta-model as texts, and back to the same bits: what is saved holds numbers alone, and is believed in nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ml.learning.boosted import trees_of
from ml.learning.learners import FAMILIES
from ml.scoring import Calibrator, Constant, Direction, Knots, Learner, Linear, Meta, Platt, Trees, meta_form
from utils.errors import DataError
from utils.figures.arithmetic import Floats

#: Of the texts below; another is refused.
SCHEMA = 1
#: The part that names the others; beside it stand a learner and a calibrator of either direction.
META = "meta.json"
SIDES = ("long", "short")
#: What is written of each kind, by the names that tell them apart when read.
FIELDS: dict[type, tuple[str, ...]] = {
    Constant: ("raw",),
    Linear: ("mean", "scale", "weight", "bias"),
    Platt: ("a", "b"),
    Knots: ("x", "y"),
}
#: Most bytes of a text of JSON, features, and characters of a name.
MOST_BYTES, MOST_FEATURES, MOST_NAME = 4_000_000, 4096, 200


def parts_of(meta: Meta) -> dict[str, bytes]:
    """The texts of a meta-model by name: `meta.json`, and a learner and a calibrator of either direction.

    LightGBM's trees are kept as it wrote them; all else is JSON with sorted keys, whose floats come back to the bit.

    Raises:
        DataError: the model is not sound: what could not be read is not written.
    """
    meta_form(meta)
    head: dict[str, Any] = {
        "schema": SCHEMA,
        "names": list(meta.names),
        "fingerprint": meta.fingerprint,
        "family": meta.family,
        # JSON has no inf, which means that no trade is taken
        "threshold_bps": None if meta.threshold_bps == math.inf else float(meta.threshold_bps),
    }
    parts = {}
    for side in SIDES:
        way: Direction = getattr(meta, side)
        head[side] = {"intercept": float(way.intercept), "slope": float(way.slope)}
        if isinstance(way.learner, Trees):
            parts[f"{side}_learner.txt"] = way.learner.text.encode()
        else:
            parts[f"{side}_learner.json"] = _text(_numbers_of(way.learner))
        parts[f"{side}_calibrator.json"] = _text(_numbers_of(way.calibrator))
    whole = {META: _text(head), **parts}
    meta_of(whole)
    return whole


def meta_of(parts: Mapping[str, bytes]) -> Meta:
    """The meta-model of these texts; other parts (a report) are not looked at.

    Raises:
        DataError: a part is missing, cut short or of another schema, or holds what no training writes.
    """
    head = _json(parts, META, ("schema", "names", "fingerprint", "family", "threshold_bps", *SIDES))
    if head["schema"] != SCHEMA or isinstance(head["schema"], bool):
        raise _wrong(META, f"schema {SCHEMA}", head["schema"])
    names, fingerprint, family = head["names"], head["fingerprint"], head["family"]
    if not isinstance(names, list) or not 1 <= len(names) <= MOST_FEATURES:
        raise _wrong(META, f"1 to {MOST_FEATURES} names", names)
    if not all(isinstance(name, str) and 1 <= len(name) <= MOST_NAME for name in names) or len({*names}) < len(names):
        raise _wrong(META, "names of features, each once", names)
    if not isinstance(fingerprint, str) or not 1 <= len(fingerprint) <= MOST_NAME:
        raise _wrong(META, "the fingerprint of the features", fingerprint)
    if family not in FAMILIES:
        raise _wrong(META, f"a family of {', '.join(FAMILIES)}", family)
    threshold = math.inf if head["threshold_bps"] is None else _number(META, "threshold_bps", head["threshold_bps"])
    long, short = (_direction(parts, side, head[side]) for side in SIDES)
    meta = Meta(tuple(names), fingerprint, family, long, short, threshold)
    meta_form(meta)  # which checks that the parts are sound, and fit the names
    return meta


def _numbers_of(part: Constant | Linear | Calibrator) -> dict[str, Any]:
    """What stands in the text of a learner or calibrator."""
    return {name: np.asarray(getattr(part, name), dtype=np.float64).tolist() for name in FIELDS[type(part)]}


def _text(value: object) -> bytes:
    """JSON that is the same for the same value."""
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode()


def _direction(parts: Mapping[str, bytes], side: str, head: Any) -> Direction:
    """One direction of these texts."""
    if not isinstance(head, dict) or set(head) != {"intercept", "slope"}:
        raise _wrong(META, f"intercept and slope of {side}", head)
    intercept, slope = (_number(META, f"{name} of {side}", head[name]) for name in ("intercept", "slope"))
    return Direction(_learner(parts, side), _calibrator(parts, side), intercept, slope)


def _learner(parts: Mapping[str, bytes], side: str) -> Learner:
    """A learner of its text: trees as LightGBM wrote them, or coefficients."""
    trees, numbers = f"{side}_learner.txt", f"{side}_learner.json"
    if trees in parts and numbers in parts:
        raise _wrong(trees, f"either it or {numbers}", "both")
    if trees in parts:
        return trees_of(_decoded(trees, parts[trees]))
    value = _json(parts, numbers)
    if set(value) == {*FIELDS[Constant]}:
        return Constant(_number(numbers, "raw", value["raw"]))
    if set(value) != {*FIELDS[Linear]}:
        raise _wrong(numbers, f"{', '.join(FIELDS[Linear])}, or raw", sorted(value))
    mean, scale, weight = (_column(numbers, name, value[name]) for name in FIELDS[Linear][:3])
    return Linear(mean, scale, weight, _number(numbers, "bias", value["bias"]))


def _calibrator(parts: Mapping[str, bytes], side: str) -> Calibrator:
    """A calibrator of its text."""
    part = f"{side}_calibrator.json"
    value = _json(parts, part)
    if set(value) == {*FIELDS[Platt]}:
        return Platt(*(_number(part, name, value[name]) for name in FIELDS[Platt]))
    if set(value) == {*FIELDS[Knots]}:
        return Knots(*(_column(part, name, value[name]) for name in FIELDS[Knots]))
    raise _wrong(part, "a and b, or x and y", sorted(value))


def _decoded(part: str, data: bytes) -> str:
    """Bytes made text."""
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise _wrong(part, "plain text", f"byte {data[error.start]} at {error.start}") from error


def _json(parts: Mapping[str, bytes], part: str, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object of JSON, with these keys and no others where they are given."""
    if part not in parts:
        raise _wrong(part, "this part", "none")
    if len(parts[part]) > MOST_BYTES:
        raise _wrong(part, f"at most {MOST_BYTES} bytes", len(parts[part]))
    try:
        value = json.loads(_decoded(part, parts[part]), parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _wrong(part, "JSON", error) from error
    if not isinstance(value, dict) or (keys and set(value) != set(keys)):
        raise _wrong(part, ", ".join(keys) or "an object", sorted(value) if isinstance(value, dict) else value)
    return value


def _no_number(text: str) -> None:
    """Python alone would read `NaN` and `Infinity`, which JSON does not know.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"a number, saw {text}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand there once.

    Raises:
        ValueError: one stands there twice.
    """
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands there twice")
    return dict(pairs)


def _number(part: str, name: str, value: Any) -> float:
    """A finite number."""
    if not isinstance(value, float) or not math.isfinite(value):
        raise _wrong(part, f"a finite number with a point as {name}", value)
    return value


def _column(part: str, name: str, value: Any) -> Floats:
    """Finite numbers."""
    if not isinstance(value, list):
        raise _wrong(part, f"numbers as {name}", value)
    return np.array([_number(part, name, one) for one in value], dtype=np.float64)


def _wrong(part: str, expected: str, saw: object) -> DataError:
    """The one sentence about a part that is refused."""
    return DataError(f"model, {part}: expected {expected}, saw {str(saw)[:80]!r}; serve another version or train again")
