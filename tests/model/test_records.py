from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from ml.learning.walk import Evidence, added, nothing
from model.records import CHUNK, Record
from tests.ml.learning.test_gate import evidence
from utils.errors import DataError
from utils.records.ledger import key_of

CONFIGURATION = {"symbols": ["BTCUSDT"], "take_bps": 25.0, "family": "logistic"}


def same(one: Evidence, other: Evidence) -> bool:
    return all(np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(Evidence))


def later(one: Evidence, shift: int) -> Evidence:
    moved = {name: getattr(one, name) + shift for name in ("first", "last", "ts", "until")}
    return replace(one, **moved, day=one.day + shift // 86_400_000_000_000)


def test_a_record_gives_back_what_was_written(tmp_path):
    first = evidence(days=40, a_day=80)
    assert len(first.net) > CHUNK
    record = Record(tmp_path, CONFIGURATION)
    record.advance(first, "v1", first.last, "walk-forward")
    second = later(first, 100 * 86_400_000_000_000)
    record.advance(second, "v2", second.last, "v1")
    again = Record(tmp_path, CONFIGURATION)
    assert same(again.evidence, added(first, second))
    assert same(again.evidence, record.evidence)
    assert (again.version, again.trainings) == ("v2", 2)


def test_a_training_without_anything_to_judge_is_a_line_too(tmp_path):
    record = Record(tmp_path, CONFIGURATION)
    record.advance(nothing(), "v1", 5, "walk-forward")
    assert Record(tmp_path, CONFIGURATION).version == "v1"
    assert same(Record(tmp_path, CONFIGURATION).evidence, nothing())


def test_what_no_version_followed_does_not_count(tmp_path):
    record = Record(tmp_path, CONFIGURATION)
    one = evidence(days=3)
    record.advance(one, "v1", one.last, "walk-forward")
    lines = record.path.read_bytes().splitlines(keepends=True)
    record.path.write_bytes(b"".join(lines[:-1]))
    killed = Record(tmp_path, CONFIGURATION)
    assert (killed.version, killed.evidence.last) == ("", 0)
    killed.advance(one, "v2", one.last, "walk-forward")
    assert same(Record(tmp_path, CONFIGURATION).evidence, one)


def test_nothing_is_judged_twice(tmp_path):
    record, one = Record(tmp_path, CONFIGURATION), evidence(days=3)
    record.advance(one, "v1", one.last, "walk-forward")
    with pytest.raises(DataError, match="again"):
        record.advance(one, "v2", one.last, "v1")
    assert Record(tmp_path, CONFIGURATION).version == "v1"


def test_a_changed_net_is_seen(tmp_path):
    record, one = Record(tmp_path, CONFIGURATION), evidence(days=3)
    record.advance(one, "v1", one.last, "walk-forward")
    text = record.path.read_text(encoding="utf-8")
    net = json.dumps(float(one.net[0]))
    record.path.write_text(text.replace(net, "99.5", 1), encoding="utf-8")
    with pytest.raises(DataError):
        Record(tmp_path, CONFIGURATION)


def test_another_configuration_has_another_record(tmp_path):
    assert key_of(CONFIGURATION) != key_of({**CONFIGURATION, "take_bps": 26.0})
    assert key_of(CONFIGURATION) == key_of(dict(reversed(CONFIGURATION.items())))
    assert Record(tmp_path, CONFIGURATION).path != Record(tmp_path, {**CONFIGURATION, "family": "lightgbm"}).path
