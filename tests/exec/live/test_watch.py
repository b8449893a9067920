"""The model that serves is swapped while others ask; whatever cannot be loaded leaves the old one, and is said."""

import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from exec.live.watch import ModelWatch
from features.registry import fingerprint
from ml.learning.artifact import parts_of
from tests.ml.models import judging
from tests.places import ROOT
from utils.config import load_settings
from utils.disk import put
from utils.records.versions import CURRENT, Versions
from utils.settings.edit import set_values

S = 10**9
BORN = 1_700_000_000


class World:
    """A settings file and a folder of versions, each version with its own threshold."""

    def __init__(self, folder: Path) -> None:
        self.config, self.versions = folder / "config.yaml", Versions(folder / "artifacts")
        self.write("risk:\n  take_bps: 25.0\nmeta:\n  enabled: true\n  dir: " + str(folder / "artifacts") + "\n")
        self.made = 0

    def write(self, text: str) -> None:
        self.config.write_text(text)

    def version(self, threshold: float = 0.0, **tested: object) -> str:
        """A new version, not current yet; tested on what is named, or by nobody."""
        self.made += 1
        manifest = {"configuration": tested} if tested else {"what": "by hand"}
        return self.versions.write(parts_of(judging(threshold)), manifest, (BORN + self.made) * S)

    def serve(self, threshold: float = 0.0, **tested: object) -> str:
        name = self.version(threshold, **tested)
        self.versions.make_current(name)
        return name

    def set(self, **values: object) -> None:
        set_values(self.config, {f"meta.{key}": value for key, value in values.items()})

    def watch(self) -> ModelWatch:
        return ModelWatch(load_settings(self.config).settings, self.config)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return World(tmp_path)


def serving(watch, symbol="BTCUSDT", tf="5m"):
    champion, why = watch.of(symbol, tf)
    return champion.name if champion else why


def test_a_version_that_becomes_current_serves_from_the_next_look_on(world):
    one = world.serve(1.0)
    watch = world.watch()
    assert (one, False, "") == (serving(watch), watch.look(), watch.problem)
    two = world.serve(2.0)
    assert one == serving(watch)
    assert (True, False) == (watch.look(), watch.look())
    assert (two, 2.0) == (serving(watch), watch.of("BTCUSDT", "5m")[0].meta.threshold_bps)
    world.versions.rollback()
    assert watch.look()
    assert one == serving(watch)


def test_where_nothing_changed_the_model_is_the_same_value(world):
    world.serve()
    watch = world.watch()
    before = watch.of("BTCUSDT", "5m")[0]
    world.versions.write(parts_of(judging(9.0)), {"what": "not current"}, BORN * S)
    world.config.write_text(world.config.read_text() + "# a comment\n")
    assert not watch.look()
    assert before is watch.of("ETHUSDT", "1m")[0]


def test_the_first_version_is_waited_for(world):
    watch = world.watch()
    assert "not loaded" == serving(watch)
    assert "expected a version that" in watch.problem
    assert not watch.look()
    name = world.serve()
    assert watch.look()
    assert (name, "") == (serving(watch), watch.problem)


def test_the_section_meta_switches_freezes_and_thaws(world):
    old, new = world.version(), world.serve()
    watch = world.watch()
    for change, expected in (
        ({"enabled": False}, "none"),
        ({"enabled": True}, new),
        ({"version": old}, old),
        ({"version": ""}, new),
    ):
        world.set(**change)
        assert watch.look()
        assert (expected, "") == (serving(watch), watch.problem)
        assert watch.meta == load_settings(world.config).settings.meta


def test_a_frozen_version_serves_whatever_current_says(world):
    old = world.version()
    world.set(version=old)
    watch = world.watch()
    world.serve()
    (world.versions.folder / CURRENT).write_text("rubbish")
    assert (False, old, "") == (watch.look(), serving(watch), watch.problem)


def test_a_frozen_version_that_is_not_there_yet_leaves_the_old_one(world):
    one, two = world.serve(), world.version()
    watch = world.watch()
    away = world.versions.folder / two
    away.rename(world.config.parent / "away")
    world.set(version=two)
    assert (False, one) == (watch.look(), serving(watch))
    assert two in watch.problem
    assert watch.problem.endswith(f"until then {one} serves")
    (world.config.parent / "away").rename(away)
    assert (True, two, "") == (watch.look(), serving(watch), watch.problem)


def test_nothing_but_meta_is_read_again(world):
    world.serve(1.0, symbols=["BTCUSDT"], timeframe="5m", take_bps=25.0)
    watch = world.watch()
    world.write(world.config.read_text().replace("take_bps: 25.0", "take_bps: 30.0"))
    other = world.serve(2.0, symbols=["BTCUSDT"], timeframe="5m", take_bps=30.0)
    one = serving(watch)
    assert (False, one) == (watch.look(), serving(watch))
    assert f"model {other} was tested on take_bps 30.0, saw 25.0" in watch.problem
    third = world.serve(3.0, symbols=["BTCUSDT"], timeframe="5m", take_bps=25.0)
    assert (True, third, "") == (watch.look(), serving(watch), watch.problem)


def test_a_market_that_it_was_not_tested_on_has_no_model_and_says_so(world):
    name = world.serve(symbols=["BTCUSDT", "SOLUSDT"], timeframe="5m")
    watch = world.watch()
    assert [name, name] == [serving(watch), serving(watch, "SOLUSDT")]
    assert (None, "not tested on ETHUSDT 5m") == watch.of("ETHUSDT", "5m")
    assert (None, "not tested on BTCUSDT 1m") == watch.of("BTCUSDT", "1m")


def test_a_damaged_version_is_said_until_it_is_mended(world):
    one = world.serve()
    watch = world.watch()
    two = world.serve(2.0)
    part = world.versions.folder / two / "meta.json"
    whole = part.read_bytes()
    part.write_bytes(whole[:-9])
    for _ in range(3):
        assert (False, one) == (watch.look(), serving(watch))
        assert "meta.json with other bytes" in watch.problem
    part.write_bytes(whole)
    assert (True, two, "") == (watch.look(), serving(watch), watch.problem)


def test_a_version_of_other_features_is_refused(world):
    one = world.serve()
    watch = world.watch()
    parts = parts_of(judging(1.0))
    parts["meta.json"] = parts["meta.json"].replace(fingerprint().encode(), b"0" * 64)
    world.versions.make_current(world.versions.write(parts, {"what": "another"}, (BORN + 99) * S))
    assert (False, one) == (watch.look(), serving(watch))
    assert "expected one of the features of this version" in watch.problem


@pytest.mark.parametrize("current", ["", "rubbish", "20200101T000000Z-000000000000", None])
def test_a_current_that_names_nothing_or_vanished_leaves_the_old_one(world, current):
    one = world.serve()
    watch = world.watch()
    path = world.versions.folder / CURRENT
    path.unlink()
    if current is not None:
        path.write_text(current)
    assert (False, one) == (watch.look(), serving(watch))
    assert "expected" in watch.problem
    path.unlink(missing_ok=True)
    path.write_text(f"{one}\n")
    assert (False, one, "") == (watch.look(), serving(watch), watch.problem)


def test_a_folder_that_vanished_leaves_the_old_one(world):
    one = world.serve()
    watch = world.watch()
    shutil.rmtree(world.versions.folder)
    assert (False, one) == (watch.look(), serving(watch))
    assert watch.problem
    world.set(enabled=False)
    assert (True, "none", "") == (watch.look(), serving(watch), watch.problem)


@pytest.mark.parametrize(
    "text", ["meta: [", "meta:\n  enabled: perhaps\n", "meta:\n  enable: false\n", "risk:\n  take_bps: -1.0\n", None]
)
def test_a_settings_file_that_is_wrong_or_gone_leaves_everything_as_it_was(world, text):
    one, whole = world.serve(), world.config.read_text()
    watch = world.watch()
    world.config.unlink()
    if text is not None:
        world.write(text)
    two = world.serve()
    assert (True, two) == (watch.look(), serving(watch))  # CURRENT is followed nevertheless
    assert "config.yaml" in watch.problem
    world.write(whole.replace("enabled: true", "enabled: false"))
    assert one != two
    assert (True, "none", "") == (watch.look(), serving(watch), watch.problem)


def test_a_settings_file_cut_off_while_it_is_written_switches_nothing(world):
    old, whole = world.version(), world.config.read_text()
    world.serve()
    world.write(whole := f"{whole}  version: {old}\n")
    watch = world.watch()
    for cut in range(len(whole)):
        world.write(whole[:cut])
        watch.look()
        assert old == serving(watch), whole[:cut]
        world.write(whole)
        watch.look()
        assert (old, "") == (serving(watch), watch.problem)


def test_another_folder_is_followed_and_told_of_the_model_also_where_it_holds_the_same_version(world):
    name = world.serve()
    watch = world.watch()
    there = world.config.parent / "there"
    shutil.copytree(world.versions.folder, there)
    world.set(dir=str(there))
    assert (True, name, "") == (watch.look(), serving(watch), watch.problem)
    assert (there, there) == (watch.serving[0].home, watch.meta.dir)
    world.set(dir=str(world.config.parent / "nowhere"))
    assert (False, name) == (watch.look(), serving(watch))
    assert there == watch.serving[0].home


def test_a_key_that_was_taken_out_has_its_default_from_the_second_look_on(world):
    old, new = world.version(), world.serve()
    whole = world.config.read_text()
    world.set(version=old)
    watch = world.watch()
    world.write(whole)
    assert (False, old) == (watch.look(), serving(watch))
    assert "being written" in watch.problem
    assert (True, new, "") == (watch.look(), serving(watch), watch.problem)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "risk:\n  take_bps: 25.0\n", "meta:\n", "meta:\n  dir: artifacts\n"]
)
def test_a_settings_file_that_says_no_more_that_a_model_serves_never_ends_it(world, text):
    name, whole = world.serve(), world.config.read_text()
    watch = world.watch()
    world.write(text)
    for _ in range(4):
        assert (False, name) == (watch.look(), serving(watch))
        assert str(world.config) in watch.problem
    assert "write meta.enabled: false" in watch.problem
    assert (True, world.versions.folder) == (watch.meta.enabled, watch.meta.dir)
    world.write(whole)
    assert (False, name, "") == (watch.look(), serving(watch), watch.problem)
    world.write("meta:\n  enabled: false\n")
    watch.look()
    watch.look()  # its folder is taken out, too
    assert ("none", "") == (serving(watch), watch.problem)


def test_an_empty_settings_file_takes_no_folder_from_a_model_that_the_environment_switches_on(world, monkeypatch):
    monkeypatch.setenv("SCALPER__META__ENABLED", "true")
    name = world.serve()
    watch = world.watch()
    world.write("")
    for _ in range(3):
        assert (False, name) == (watch.look(), serving(watch))
    assert "saw nothing of it" in watch.problem
    assert world.versions.folder == watch.meta.dir


def test_a_settings_file_that_was_not_there_may_come(world, monkeypatch):
    world.serve()
    text = world.config.read_text()
    world.config.unlink()
    monkeypatch.setattr("exec.live.watch.ROOT", world.config.parent)
    monkeypatch.setattr("utils.config.ROOT", world.config.parent)
    watch = ModelWatch(load_settings().settings)
    assert (False, "none", "") == (watch.look(), serving(watch), watch.problem)
    world.write(text)
    assert watch.look()
    assert world.versions.current() == serving(watch)


def test_the_environment_wins_over_the_file_at_each_look(world, monkeypatch):
    old, new = world.version(), world.serve()
    monkeypatch.setenv("SCALPER__META__VERSION", old)
    watch = world.watch()
    world.set(version=new)
    assert (False, old, "") == (watch.look(), serving(watch), watch.problem)


def test_a_hundred_swaps_under_those_who_ask(world):
    names = {world.version(0.0): 0.0, world.version(7.0): 7.0}
    world.versions.make_current(next(iter(names)))
    watch = world.watch()
    seen, wrong, over = set(), [], threading.Event()

    def asks():
        while not over.wait(0.0002):
            champion, why = watch.of("BTCUSDT", "5m")
            if champion is None or why or names[champion.name] != champion.meta.threshold_bps:
                wrong.append((champion, why))
            else:
                seen.add(champion.name)

    askers = [threading.Thread(target=asks) for _ in range(4)]
    for asker in askers:
        asker.start()
    swaps = 0
    for _ in range(50):
        for name in reversed(names):
            put(world.versions.folder / CURRENT, name.encode())
            swaps += watch.look()
            assert name == serving(watch)
    over.set()
    for asker in askers:
        asker.join()
    assert (100, set(names), []) == (swaps, seen, wrong)


def test_of_many_that_look_at_once_one_sees_the_swap(world):
    world.serve()
    watch = world.watch()
    world.serve()
    seen = []
    lookers = [threading.Thread(target=lambda: seen.append(watch.look())) for _ in range(8)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    assert (8, 1) == (len(seen), sum(seen))


WRITER = """
import sys
from pathlib import Path
from ml.learning.artifact import parts_of
from tests.ml.models import judging
from utils.records.versions import Versions
from utils.settings.edit import set_values
config, versions, k = Path(sys.argv[1]), Versions(Path(sys.argv[2])), int(sys.argv[3])
print("ready", flush=True)
while True:
    k += 1
    name = versions.write(parts_of(judging(float(k % 9))), {"k": k}, (1_800_000_000 + k) * 10**9)
    versions.make_current(name)
    set_values(config, {"meta.version": name if k % 2 else ""})
"""


@pytest.mark.slow
def test_writers_that_are_killed_leave_a_sound_model(world):
    world.serve()
    watch = world.watch()
    names, dice = set(), random.Random(5)
    for k in range(6):
        command = [sys.executable, "-c", WRITER, str(world.config), str(world.versions.folder), str(1_000 * k)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            assert "ready\n" == writer.stdout.readline()
            end = time.monotonic() + dice.uniform(0.2, 0.5)
            while time.monotonic() < end:
                watch.look()
                champion, why = watch.of("BTCUSDT", "5m")
                assert "" == why
                names.add(champion.name)
            writer.kill()
        watch.look()
        assert "" == watch.problem
        assert (load_settings(world.config).settings.meta.version or world.versions.current()) == serving(watch)
    assert len(names) > 6
