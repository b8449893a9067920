"""What is told of the models: what serves, why no other, what was, what comes; and of damage that it is there."""

import json
import shutil
import time
from dataclasses import replace

import pytest

import model.status
from exec.champion import Champion
from exec.live.watch import NONE
from features.registry import fingerprint
from model.schedule import Schedule
from model.status import ModelStatus, status_of
from tests.ml.learning.made import made
from tests.model.made import data_of, trained
from tests.model.runs.made import program, settings_of, until
from utils.records.versions import CURRENT, Versions


@pytest.fixture(autouse=True)
def nothing_remembered():
    model.status._folders.clear()
    model.status._versions.clear()
    model.status._records.clear()


def champion(name):
    """As whoever serves it holds it; of it the name alone is asked."""
    return Champion(name, None, None)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two trainings, the later of which serves."""
    folder = tmp_path_factory.mktemp("house")
    data = data_of(made(4000, tf=30))
    data = replace(data, manifest={**data.manifest, "fingerprint": fingerprint()})
    (one,), _ = trained(data, folder / "models", now_ns=1_793_620_800 * 10**9)
    time.sleep(1.0 - time.time() % 1.0)  # a name knows the second alone, and within one the order is by hash
    (two,), _ = trained(data, folder / "models", now_ns=1_793_707_200 * 10**9)
    assert one.version < two.version
    versions = Versions(folder / "models")
    versions.make_current(one.version)
    versions.make_current(two.version)
    return folder, one, two


def asked(folder, name=None, why="", **more):
    found = status_of(settings_of(folder), name and champion(name), why, "", None, **more)
    assert json.loads(found.model_dump_json()) == found.model_dump(mode="json")
    return found


def test_of_what_serves_it_tells_window_configuration_verdict_metrics_and_age(models):
    folder, one, two = models
    found = asked(folder, two.version, now_ns=two_written(folder, two.version) + 2 * 3600 * 10**9)
    told = found.serving
    assert (told.version, told.family, told.promoted) == (two.version, "logistic", False)
    assert told.verdict == str(two.verdict)
    assert told.verdict.startswith("not enabled: ")
    assert told.age_hours == 2.0
    assert told.trained_from < told.trained_until
    assert told.rows == 4000
    assert told.configuration["take_bps"] == 25.0
    evidence = two.record.evidence
    assert (told.metrics.trainings, told.metrics.trades, told.metrics.days) == (2, len(evidence.net), evidence.days)
    assert told.metrics.brier_skill == evidence.skill
    assert (found.newest, found.before, found.why, found.problem) == (None, one.version, "", "")
    assert found.enabled


def two_written(folder, name):
    import numpy as np

    return int(np.datetime64(Versions(folder / "models").read(name)[0]["written"][:-1], "ns").astype(int))


def test_a_newer_version_that_does_not_serve_is_told_with_its_verdict(models):
    folder, one, two = models
    found = asked(folder, one.version)
    assert found.newest.version == two.version
    assert found.newest.verdict.startswith("not enabled: ")


def test_where_none_serves_it_says_why_and_what_was_trained(models):
    folder, _, two = models
    found = asked(folder, None, NONE)
    assert (found.enabled, found.serving) == (False, None)
    assert found.why == "no version serves: meta.enabled is off; a retrain turns it on where the gate opens"
    assert asked(folder, None, "not loaded").why == "not loaded"
    assert found.newest.version == two.version


def test_without_any_model_there_is_nothing_to_tell_and_no_harm(tmp_path):
    found = asked(tmp_path, None, "none yet")
    assert (found.newest, found.before, found.problem) == (None, None, "")
    assert not (tmp_path / "models").exists()


def test_a_damaged_folder_is_told_as_that(tmp_path):
    versions = Versions(tmp_path / "models")
    name = versions.write({"long.txt": b"x"}, {"verdict": 7, "data": [], "fit": "no", "configuration": 1})
    found = asked(tmp_path, name).serving
    assert (found.verdict, found.rows, found.configuration, found.damage) == (None, None, None, None)
    (tmp_path / "models" / CURRENT).write_text("nonsense")
    (tmp_path / "models" / name / "long.txt").write_text("y")
    model.status._folders.clear()
    model.status._versions.clear()
    model.status._records.clear()
    found = asked(tmp_path, name)
    assert "CURRENT" in found.problem
    assert "other bytes" in found.serving.damage
    (tmp_path / "models" / name / "long.txt").write_text("x")
    assert asked(tmp_path, name).serving.damage is None  # mended
    found = asked(tmp_path, "20270115T080000Z-0123456789ab")
    assert "expected the name of a version" in found.serving.damage


def test_of_another_folder_it_tells_what_is_there_and_of_what_serves_what_its_own_says(models, tmp_path):
    folder, _, two = models
    serving = Champion(two.version, None, None, home=folder / "models")
    found = status_of(settings_of(tmp_path), serving, "", "", None)
    assert (found.newest, found.before, found.problem) == (None, None, "")
    assert (found.serving.damage, found.serving.rows) == (None, 4000)


async def test_trainings_that_cannot_follow_to_another_folder_are_told(tmp_path):
    old = settings_of(tmp_path / "old")
    new = old.model_copy(update={"meta": settings_of(tmp_path / "new").meta})
    schedule = Schedule(old)
    assert status_of(old, None, "", "", schedule).problem == ""
    assert status_of(new, None, "", "", schedule).problem == (
        f"meta.dir: expected {tmp_path}/old/models, for which this process trains by itself, "
        f"saw {tmp_path}/new/models; restart it, and trainings follow"
    )
    by_hand = new.model_copy(update={"retrain": new.retrain.model_copy(update={"auto": False})})
    assert status_of(by_hand, None, "", "", schedule).problem == ""


def test_a_folder_that_is_a_file_is_told_as_that(tmp_path):
    (tmp_path / "models").write_text("x")
    assert asked(tmp_path, None, "none").newest is None


def test_a_damaged_record_leaves_the_version_told(models, tmp_path):
    folder, _, two = models
    shutil.copytree(folder / "models", tmp_path / "models")
    for path in (tmp_path / "models" / "records").glob("*.jsonl"):
        path.write_bytes(b"nonsense\n" + path.read_bytes())
    found = asked(tmp_path, two.version).serving
    assert found.damage is None
    assert found.metrics.days is None


def test_what_was_judged_since_is_told_of_a_version_that_was_told_before(models, tmp_path):
    folder, _, two = models
    shutil.copytree(folder / "models", tmp_path / "models")
    (path,) = (tmp_path / "models" / "records").glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    first = next(k for k, line in enumerate(lines, 1) if b'"training"' in line)
    path.write_bytes(b"".join(lines[:first]))
    early = asked(tmp_path, two.version).serving.metrics
    path.write_bytes(b"".join(lines))
    late = asked(tmp_path, two.version).serving.metrics
    assert (1, 2) == (early.trainings, late.trainings)


def test_asked_often_it_reads_a_version_once(models):
    folder, _, two = models
    settings, serving = settings_of(folder), champion(two.version)
    status_of(settings, serving, "", "", None)
    began = time.perf_counter()
    for _ in range(200):
        status_of(settings, serving, "", "", None)
    assert (time.perf_counter() - began) / 200 < 0.005


async def test_a_retrain_that_fails_leaves_the_old_model_serving_and_says_why(models, tmp_path):
    folder, _, two = models
    shutil.copytree(folder / "models", tmp_path / "models")
    settings = settings_of(tmp_path)
    fails = program(tmp_path, "print('error: bybit did not answer', file=sys.stderr); sys.exit(3)")
    clock = 1_793_620_800 * 10**9 + 90 * 86_400 * 10**9  # the models are old
    async with Schedule(settings, tmp_path / "config.yaml", now_ns=lambda: clock, program=fails) as schedule:
        await until(lambda: schedule.status()["last"])
        found = status_of(settings, champion(two.version), "", "", schedule, now_ns=clock)
    assert found.serving.version == Versions(tmp_path / "models").current() == two.version
    last = found.retrain.last
    assert (last.outcome, last.exit_code, last.verdict) == ("failed", 3, "error: bybit did not answer")
    assert found.retrain.next.utc == "2027-01-31T12:10:00Z"
    assert found.retrain.enabled


def test_every_field_of_the_schema_is_described():
    schema = ModelStatus.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    assert [] == [name for part in parts for name, field in part["properties"].items() if not field.get("description")]
