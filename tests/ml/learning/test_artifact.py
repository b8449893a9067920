from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.learning.artifact import META, meta_of, parts_of
from ml.scoring import Constant, Direction, Knots, Linear, Meta, Platt, scored
from tests.ml.models import grid, metas
from utils.errors import DataError


@pytest.mark.parametrize("family", ["base", "logistic", "lightgbm"])
def test_what_is_read_back_scores_to_the_same_bits(family) -> None:
    one = metas()[family]
    parts = parts_of(one)
    again = meta_of({**parts, "report.html": b"\xff"})
    assert parts == parts_of(again)
    assert (one.names, one.fingerprint, one.family, one.threshold_bps) == (
        again.names,
        again.fingerprint,
        again.family,
        again.threshold_bps,
    )
    before, after = scored(one, grid()), scored(again, grid())
    assert all(getattr(before, name).tobytes() == getattr(after, name).tobytes() for name in ("raw", "p", "bps"))


def test_its_texts_are_lightgbms_own_and_json() -> None:
    parts = parts_of(metas()["lightgbm"])
    names = {f"{side}_{part}" for side in ("long", "short") for part in ("learner.txt", "calibrator.json")}
    assert {META, *names} == set(parts)
    assert metas()["lightgbm"].long.learner.text.encode() == parts["long_learner.txt"]
    assert {"a": -1.1, "b": 0.2} == json.loads(parts["long_calibrator.json"])


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
positive = st.floats(1e-300, 1e300)


@given(finite, st.floats(0.0, 1e300), finite, arrays(np.float64, (3, 2), elements=positive), finite, finite)
def test_every_float_comes_back_to_the_bit(intercept, slope, bias, columns, a, b) -> None:
    line = Linear(columns[0], columns[1], -columns[2], bias)
    knots = Knots(np.sort(columns[0]), np.sort(columns[1] / (1.0 + columns[1])))
    one = Meta(
        ("a", "b"), "f", "logistic", Direction(line, Platt(a, b), intercept, slope),
        Direction(Constant(bias), knots, 0.0, 0.0), intercept,
    )  # fmt: skip
    again = meta_of(parts_of(one))

    def numbers(meta: Meta) -> list[bytes]:
        values = [
            meta.threshold_bps,
            meta.long.intercept,
            meta.long.slope,
            meta.short.learner.raw,
            meta.long.calibrator.a,
        ]
        values += [meta.long.calibrator.b, meta.short.calibrator.x, meta.short.calibrator.y, meta.long.learner.mean]
        values += [meta.long.learner.scale, meta.long.learner.weight, meta.long.learner.bias]
        return [np.asarray(value, dtype=np.float64).tobytes() for value in values]

    assert numbers(one) == numbers(again)


def changed(part: str, **values) -> dict[str, bytes]:
    """The parts of the logistic model, with other values in one of them."""
    parts = parts_of(metas()["logistic"])
    return {**parts, part: json.dumps({**json.loads(parts[part]), **values}).encode()}


def without(part: str) -> dict[str, bytes]:
    return {name: data for name, data in parts_of(metas()["logistic"]).items() if name != part}


def put(part: str, data: bytes) -> dict[str, bytes]:
    return {**parts_of(metas()["logistic"]), part: data}


LINE, CURVE = "long_learner.json", "short_calibrator.json"
HOSTILE = {
    "this part": without(META),
    "this part, saw": without(LINE),
    "expected JSON": put(META, b"{"),
    "expected JSON, saw": put(META, b"[" * 100_000),
    "expected JSON, saw .a number, saw NaN": put(CURVE, b'{"a": NaN, "b": 1.0}'),
    "a key stands there twice": put(CURVE, b'{"a": 1.0, "a": 2.0, "b": 1.0}'),
    "plain text": put(META, b"\xff"),
    "schema, names": put(META, b"{}"),
    "schema, names, .*saw .None": put(META, b"null"),
    "at most 4000000 bytes": put(META, b" " * 5_000_000),
    "schema 1": changed(META, schema=2),
    "1 to 4096 names": changed(META, names=[]),
    "names of features, each once": changed(META, names=["a", "a"]),
    "names of features": changed(META, names=["a", 7]),
    "a mean for each of 3 features": changed(META, names=["a", "b", "c"]),
    "the fingerprint": changed(META, fingerprint=""),
    "a family": changed(META, family="forest"),
    "a finite number with a point as threshold_bps": changed(META, threshold_bps="much"),
    "intercept and slope of long": changed(META, long={"intercept": 1.0}),
    "a slope from 0 on": changed(META, long={"intercept": 1.0, "slope": -1.0}),
    "with a point as slope of long": changed(META, long={"intercept": 1.0, "slope": 10**400}),
    "mean, scale, weight, bias, or raw": changed(LINE, more=1.0),
    "numbers as mean": changed(LINE, mean=1.0),
    "a finite number with a point as mean": changed(LINE, mean=[True, 1.0]),
    "a scale for each of 2 features": changed(LINE, scale=[1.0]),
    "scales above 0": changed(LINE, scale=[1.0, -1.0]),
    "a and b, or x and y": changed(CURVE, a=1.0),
    "as many knots": changed(CURVE, x=[1.0]),
    "ascending": changed(CURVE, x=[1.0, 0.0, 2.0]),
    "from 0 to 1": changed(CURVE, y=[0.1, 0.2, 1.2]),
    "either it or": put("long_learner.txt", b""),
    "LightGBM model": {**without(LINE), "long_learner.txt": b"tree\n"},
}


@pytest.mark.parametrize("saw", HOSTILE)
def test_parts_that_no_training_writes_are_refused_in_one_sentence(saw) -> None:
    with pytest.raises(DataError, match=saw) as refused:
        meta_of(HOSTILE[saw])
    assert len(str(refused.value)) < 300
    assert "; " in str(refused.value)


@given(st.sampled_from(sorted(parts_of(metas()["lightgbm"]))), st.integers(0, 3000), st.binary(max_size=5))
def test_parts_with_anything_in_them_are_read_or_refused(part, at, data) -> None:
    parts = parts_of(metas()["lightgbm"])
    text = parts[part]
    try:
        again = meta_of({**parts, part: text[:at] + data + text[at + 1 :]})
    except DataError:
        return
    assert len(again.names) == 2


def test_what_could_not_be_read_is_not_written() -> None:
    one = metas()["base"]
    for bad in (replace(one, family="forest"), replace(one, threshold_bps=math.nan), replace(one, names=())):
        with pytest.raises(DataError):
            parts_of(bad)
