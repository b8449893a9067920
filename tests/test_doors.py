"""The doors: POSIX sh, an environment made once, nothing between the caller and the program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT

DOORS = ("simulate.sh", "retrain.sh", "test.sh")
SETTING_UP = "Setting up .venv (once, about a minute) ...\n"
PROGRAM = """
import sys
from pathlib import Path
print(sys.argv[1:], Path.cwd(), sys.prefix, sep="\\n")
sys.exit(7)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("sh") is None, reason="the doors are POSIX shell; this machine has none"),
]


def start(
    house: Path, *flags: str, cwd: Path | None = None, door: str = "simulate.sh", **env: str
) -> subprocess.CompletedProcess[str]:
    """A door of `house`, as a user would start it."""
    return subprocess.run(
        ["sh", str(house / "scripts" / door), *flags],
        cwd=cwd or house,
        env={**os.environ, "PYTHON": sys.executable, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def build(house: Path) -> Path:
    """A tree with our doors, a program that echoes what it was given, and nothing to download."""
    shutil.copytree(ROOT / "scripts", house / "scripts")
    for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt", "pyproject.toml"):
        (house / name).touch()
    (house / "run_simulation.py").write_text(PROGRAM)
    (house / "model").mkdir()
    (house / "model" / "retrain.py").write_text(PROGRAM)
    return house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree whose environment is installed."""
    house = build(tmp_path_factory.mktemp("a house with spaces") / "it's one")
    first = start(house)
    assert (7, SETTING_UP) == (first.returncode, first.stderr)
    return house


@pytest.mark.parametrize("name", [*DOORS, "setup.sh"])
def test_scripts_parse_as_posix_shell(name: str) -> None:
    assert b"" == subprocess.run(["sh", "-n", ROOT / "scripts" / name], check=True, capture_output=True).stderr


@pytest.mark.parametrize("name", [f"scripts/{door}" for door in DOORS] + [".ci/run"])
def test_doors_are_executable(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)


def test_flags_directory_and_exit_code_pass_through_unchanged(house: Path, tmp_path: Path) -> None:
    seen = start(house, "--data", "a b.csv", "", "--log-file=$HOME", cwd=tmp_path)
    flags, directory, prefix = seen.stdout.splitlines()
    assert str(["--data", "a b.csv", "", "--log-file=$HOME"]) == flags
    assert str(tmp_path) == directory
    assert str(house / ".venv") == prefix
    assert (7, "") == (seen.returncode, seen.stderr)


NAMES = ("SYMBOL", "TF", "HORIZON", "TAKE_BPS", "STOP_BPS", "EXCHANGE", "LIMIT")


def retrain(house: Path, *flags: str, cwd: Path, **env: str) -> str:
    """The flags that a retrain is given."""
    seen = start(house, *flags, cwd=cwd, door="retrain.sh", **(dict.fromkeys(NAMES, "") | env))
    said, directory, prefix = seen.stdout.splitlines()
    assert (7, "", str(cwd), str(house / ".venv")) == (seen.returncode, seen.stderr, directory, prefix)
    return said


def test_a_retrain_takes_what_the_environment_names_and_then_the_flags(house: Path, tmp_path: Path) -> None:
    values = dict(zip(NAMES, ("BTC/USDT", "5m", "20", "25", "18", "bybit", "2000"), strict=True))
    of_environment = [word for name, value in values.items() for word in (f"--{name.lower()}", value)]
    asked = retrain(house, "--market_type", "spot", "--limit=9", "a b", cwd=tmp_path, **values)
    assert str([*of_environment, "--market_type", "spot", "--limit=9", "a b"]) == asked
    assert str(["--tf", "1 m $x"]) == retrain(house, cwd=tmp_path, TF="1 m $x")
    assert "[]" == retrain(house, cwd=tmp_path)


def test_a_retrain_is_ours_whatever_stands_in_the_working_directory(house: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "retrain.py").write_text("raise SystemExit('not ours')")
    assert "['--json']" == retrain(house, "--json", cwd=tmp_path)


def work_of_children() -> float:
    """Seconds of processor that ended children took: other jobs on the machine do not count."""
    spent = os.times()
    return spent.children_user + spent.children_system


def test_a_second_start_adds_less_than_a_second_and_no_word(house: Path) -> None:
    began = work_of_children()
    bare = subprocess.run([house / ".venv" / "bin" / "python", house / "run_simulation.py"], check=False)
    between = work_of_children()
    seen = start(house)
    added = (work_of_children() - between) - (between - began)
    assert (bare.returncode, "") == (seen.returncode, seen.stderr)
    assert added < 1.0


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt", "pyproject.toml"])
def test_a_changed_requirement_file_installs_again_once(house: Path, name: str) -> None:
    with (house / name).open("a") as file:
        file.write("# changed\n")
    assert [SETTING_UP, ""] == [start(house).stderr, start(house).stderr]


def test_a_failed_or_interrupted_setup_does_not_look_ready_and_is_begun_anew(house: Path) -> None:
    requirements = house / "requirements.txt"
    before = requirements.read_text()
    requirements.write_text("not a requirement\n")
    refused = start(house)
    requirements.write_text(before)
    assert (1, "") == (refused.returncode, refused.stdout)
    assert "Could not install requirements.txt" in refused.stderr
    # what a kill in the middle of an upgrade may leave
    shutil.rmtree(next((house / ".venv" / "lib").glob("python3*/site-packages/pip")))
    assert [(7, SETTING_UP), (7, "")] == [(seen.returncode, seen.stderr) for seen in (start(house), start(house))]


def test_a_moved_tree_is_set_up_for_its_new_place(house: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(house, tmp_path / "moved", symlinks=True)
    assert [SETTING_UP, ""] == [start(copy).stderr, start(copy).stderr]


def test_two_first_starts_at_once_both_run(tmp_path: Path) -> None:
    house = build(tmp_path / "house")
    command = ["sh", str(house / "scripts" / "simulate.sh")]
    env = {**os.environ, "PYTHON": sys.executable}
    both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    assert [7, 7] == [(process.communicate(timeout=120), process.returncode)[1] for process in both]


def test_without_a_recent_python_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("dirname", "cat"):
        (tools / name).symlink_to(str(shutil.which(name)))
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tools / "python3").chmod(0o755)
    seen = subprocess.run(
        [str(shutil.which("sh")), build(tmp_path / "house") / "scripts" / "simulate.sh"],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (1, "", 1) == (seen.returncode, seen.stdout, seen.stderr.count("\n"))
    assert seen.stderr.startswith("Expected Python 3.11 or newer with its venv module on the PATH, found none;")


def test_a_python_named_wrongly_is_named_in_the_answer(tmp_path: Path) -> None:
    seen = start(build(tmp_path / "house"), PYTHON="/no/such/python")
    assert (1, "") == (seen.returncode, seen.stdout)
    assert "got '/no/such/python'" in seen.stderr


@pytest.mark.long
@pytest.mark.network
def test_a_fresh_clone_runs_and_starts_quickly_the_second_time(tmp_path: Path) -> None:
    if subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], check=False, capture_output=True).returncode:
        pytest.skip("this tree is not a git repository with a commit, so there is nothing to clone")
    clone = tmp_path / "fresh clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    door = [clone / "scripts" / "simulate.sh", "--version"]
    first = subprocess.run(door, cwd=tmp_path, capture_output=True, text=True, check=True)
    began = work_of_children()
    second = subprocess.run(door, cwd=tmp_path, capture_output=True, text=True, check=True)
    through_door = work_of_children() - began
    began = work_of_children()
    subprocess.run([clone / ".venv" / "bin" / "python", clone / "run_simulation.py", "--version"], check=True)
    bare = work_of_children() - began
    assert (first.stdout, "") == (second.stdout, second.stderr)
    assert through_door - bare < 1.0
