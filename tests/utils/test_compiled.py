"""Machine code is kept between processes, and never outlives the source of anything it was made from.

Numba looks only at the file of the cached function: an engine that was compiled yesterday went on with yesterday's stop
after `risk/stops.py` had been edited. Each process here works in a copied tree with its own cache.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.places import ROOT
from utils.compiled import is_ours, temporary_place

PACKAGES = ("utils", "risk", "exec", "ingest")

#: One long entry at 100, then a fall of ten quote a bar: the trade ends at its stop.
TRADE = """
import json
import numpy as np
from exec.engine import Engine
from exec.step.loop import BARS, loop_of
from utils.codes import MARKET
from utils.rows import BAR, INSTRUMENT, PARAMS, SIGNAL

instruments = np.zeros(1, INSTRUMENT)
instruments[0].tick = instruments[0].lot = 0.01
instruments[0].max_leverage = 1.0
params = np.zeros(1, PARAMS)
par = params[0]
par.tf_ns, par.volume_cap, par.stop_bps, par.take_bps, par.horizon = 60, 1.0, 100.0, 1000.0, 5.0
par.entry_kind, par.fixed_notional, par.leverage, par.max_positions = MARKET, 100.0, 1.0, 1
bars = np.zeros(4, BAR)
bars["ts"], bars["last"][-1] = (60, 120, 180, 240), 1
bars["open"] = bars["high"] = (100.0, 100.0, 90.0, 80.0)
bars["low"] = bars["close"] = (100.0, 100.0, 81.0, 71.0)
bars["volume"], bars["taker_buy"] = 1e6, np.nan
signals = np.full(4, np.nan, SIGNAL)
signals[0].side, signals[0].strength = 1.0, 80.0
engine = Engine(instruments, params, 1000.0)
engine.run(bars, signals)
trade = engine.drain().trades[0]
seen = {"stop": trade.stop_price, "exit": trade.exit_price, "entry": trade.entry_price}
replay = loop_of(BARS)
counts = {"hits": replay.stats.cache_hits, "misses": replay.stats.cache_misses}
print(json.dumps({**seen, **{name: sum(count.values()) for name, count in counts.items()}}))
"""

#: The stop distance of the settings, 100 bps, by itself: quicker to compile than an engine.
DISTANCE = """
import json
import numpy as np
from risk.stops import stop_distance
from utils.rows import INSTRUMENT, PARAMS, SIGNAL

signals, instruments, params = np.full(1, np.nan, SIGNAL), np.zeros(1, INSTRUMENT), np.zeros(1, PARAMS)
params[0].stop_bps = 100.0
seen = {"stop": stop_distance(signals[0], 100.0, instruments[0], params[0])[0]}
counts = {"hits": stop_distance.stats.cache_hits, "misses": stop_distance.stats.cache_misses}
print(json.dumps({**seen, **{name: sum(count.values()) for name, count in counts.items()}}))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Our compiled packages, copied without their caches, and two scripts to run among them."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "trade.py").write_text(TRADE)
    (tmp_path / "distance.py").write_text(DISTANCE)
    return tmp_path


def run(tree: Path, script: str) -> dict[str, Any]:
    """What a new process in `tree` finds, and whether its machine code came from the cache."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    # edits within one second of one another would go unseen by Python's own byte code files
    ours["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run([sys.executable, script], cwd=tree, env=ours, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def edit(file: Path, before: str, after: str) -> None:
    """Replace the one place where `before` stands."""
    source = file.read_text()
    assert 1 == source.count(before)
    file.write_text(source.replace(before, after))


@pytest.mark.slow
def test_a_callee_edited_in_another_file_changes_the_next_run_and_nothing_else_recompiles(tree: Path) -> None:
    cold, warm = run(tree, "trade.py"), run(tree, "trade.py")
    assert (0, 1) == (cold["hits"], cold["misses"])
    assert {**cold, "hits": 1, "misses": 0} == warm
    assert pytest.approx(99.0) == cold["stop"]

    edit(tree / "risk" / "stops.py", "distance, rule = par.stop_bps * BPS", "distance, rule = 2.0 * par.stop_bps * BPS")
    edited, again = run(tree, "trade.py"), run(tree, "trade.py")
    assert (0, 1) == (edited["hits"], edited["misses"])
    assert pytest.approx(98.0) == edited["stop"]
    assert {**edited, "hits": 1, "misses": 0} == again


def test_a_constant_edited_in_another_file_changes_the_next_run_and_a_headline_reader_nothing(tree: Path) -> None:
    cold = run(tree, "distance.py")
    assert {"stop": pytest.approx(0.01), "hits": 0, "misses": 1} == cold
    reader = tree / "ingest" / "headlines" / "headline.py"
    reader.write_text(reader.read_text() + "ANOTHER = 1\n")
    assert {**cold, "hits": 1, "misses": 0} == run(tree, "distance.py")
    edit(tree / "utils" / "rows.py", "BPS = 1e-4", "BPS = 3e-4")
    assert {"stop": pytest.approx(0.03), "hits": 0, "misses": 1} == run(tree, "distance.py")


def test_debug_switches_that_change_machine_code_retire_it_too() -> None:
    question = "from utils.compiled import STAMP; print(STAMP)"
    stamps = {
        subprocess.run(
            [sys.executable, "-c", question],
            cwd=ROOT,
            env={**os.environ, "NUMBA_BOUNDSCHECK": switch},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for switch in ("0", "1")
    }
    assert 2 == len(stamps)


def homeless(tree: Path, temporary: Path, **values: str) -> subprocess.CompletedProcess[str]:
    """The script in a tree that takes no cache, without a home, with these temporary files."""
    for package in PACKAGES:
        for folder in [tree / package, *(path for path in (tree / package).rglob("*") if path.is_dir())]:
            (folder / "__pycache__").touch()  # a file: nobody can make a folder of that name, not even root
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "XDG_"))}
    ours |= {"PYTHONDONTWRITEBYTECODE": "1", "HOME": "/dev/null", "TMPDIR": str(temporary), **values}
    return subprocess.run(
        [sys.executable, "distance.py"], cwd=tree, env=ours, capture_output=True, text=True, check=True
    )


def test_a_read_only_install_without_a_home_keeps_machine_code_among_temporary_files(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    temporary = tmp_path_factory.mktemp("t")
    cold, warm = homeless(tree, temporary), homeless(tree, temporary)
    assert ([0, 1], ["", ""]) == ([json.loads(one.stdout)["hits"] for one in (cold, warm)], [cold.stderr, warm.stderr])
    (place,) = temporary.glob("hybrid-scalper-*")
    assert 0o700 == place.stat().st_mode & 0o777


def planted(temporary: Path, plant: str) -> Path:
    """Something that stands where our folder would be."""
    place = temporary / f"hybrid-scalper-{os.getuid()}"
    if plant == "link":
        (temporary / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(temporary / "elsewhere")
    elif plant == "file":
        place.touch()
    else:
        place.mkdir()
        place.chmod(int(plant, 8))
    return place


@pytest.mark.parametrize(
    ("plant", "taken"),
    [("700", True), ("777", False), ("750", False), ("1777", False), ("file", False), ("link", False)],
)
def test_a_temporary_folder_that_others_could_have_filled_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: str, taken: bool
) -> None:
    place = planted(tmp_path, plant)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert ([place] if taken else []) == temporary_place()


@pytest.mark.parametrize(("mode", "ours"), [(0o755, True), (0o775, True), (0o777, False), (0o1777, True)])
def test_a_folder_below_one_that_all_may_change_is_not_ours(tmp_path: Path, mode: int, ours: bool) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(mode)
    assert ours == is_ours(tmp_path / "home" / ".cache" / "numba")


def test_without_a_place_code_is_compiled_anew_and_that_is_said_once(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    temporary = tmp_path_factory.mktemp("t")
    planted(temporary, "777")
    done = homeless(tree, temporary)
    seen = json.loads(done.stdout)
    assert (pytest.approx(0.01), 0) == (seen["stop"], seen["hits"])
    assert 1 == done.stderr.count("There is no place to keep machine code in")
    assert [] == list(temporary.rglob("*.nb?"))
