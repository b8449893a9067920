"""A strategy is found by its name, or one sentence says why not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from backtest.strategies.loading import load_strategy
from tests.places import ROOT
from utils.errors import ConfigError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory of its own, that nobody searches afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_function_of_a_file_is_found_with_what_lies_beside_it(here):
    write(here / "deep" / "levels.py", "N = 3\n")
    path = write(here / "deep" / "mine.py", "from levels import N\ndef cross(frame):\n    return frame.head(N)\n")
    assert "cross" == load_strategy(f"{path}:cross").__name__
    assert "cross" == load_strategy("deep/mine.py:cross").__name__


def test_a_function_of_a_package_is_found_from_the_working_directory(here):
    write(here / "lab" / "__init__.py", "")
    write(here / "lab" / "ideas.py", "def cross(frame):\n    return frame\n")
    assert "lab.ideas" == load_strategy("lab.ideas:cross").__module__


def test_the_example_is_found():
    assert "breakout" == load_strategy(f"{ROOT / 'examples' / 'breakout.py'}:breakout").__name__


def test_what_lies_beside_a_file_never_takes_the_place_of_pythons_own(here):
    write(here / "random.py", "raise SystemExit('not me')\n")
    path = write(here / "mine.py", "import random\ndef cross(frame):\n    return random.random()\n")
    assert 0.0 <= load_strategy(f"{path}:cross")(None) < 1.0


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "mine.py",
            r"--strategy: expected package.module:name or file.py:name, saw 'mine.py'; name the function after",
        ),
        ("mine.py:", "expected package.module:name or file.py:name, saw 'mine.py:'"),
        (":cross", "expected package.module:name or file.py:name, saw ':cross'"),
        ("mine.py:a.b", "expected package.module:name"),
        ("nowhere.py:cross", "expected a file of Python, saw nothing at nowhere.py; check the path"),
        ("nowhere:cross", "there is no module nowhere; expected package.module:name or file.py:name"),
        ("nowhere.deeper:cross", "there is no module nowhere; expected"),
        ("mine.py:corss", r"mine.py holds no corss; did you mean cross\?"),
        ("mine.py:zebra", "mine.py holds no zebra; name one that is there"),
        ("mine.py:N", "expected a function from market rows to signal rows, saw N = 3; name another"),
        ("bad.py:cross", r"bad.py line 1: .*; mend it"),
        (
            "late.py:cross",
            r"late.py does not run: ZeroDivisionError: division by zero; mend it\n  .*late.py, line 2, in ",
        ),
        ("lacks.py:cross", "lacks.py does not run: ModuleNotFoundError: No module named 'no_such_thing'; mend it"),
        ("exits.py:cross", "exits.py does not run: SystemExit: 3; mend it"),
        ("pack:cross", "pack does not run: ModuleNotFoundError: No module named 'no_such_thing'; mend it"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(here, said, words):
    write(here / "mine.py", "N = 3\ndef cross(frame):\n    return frame\n")
    write(here / "bad.py", "def cross(frame)\n")
    write(here / "late.py", "def cross(frame): pass\nx = 1 / 0\n")
    write(here / "lacks.py", "import no_such_thing\n")
    write(here / "exits.py", "raise SystemExit(3)\n")
    write(here / "pack" / "__init__.py", "import no_such_thing\n")
    with pytest.raises(ConfigError, match=words):
        load_strategy(said)


def test_a_key_pressed_while_a_file_runs_stays_what_it_is(here):
    write(here / "mine.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_strategy("mine.py:cross")


@pytest.mark.parametrize(
    "line", ["import sys; sys.exit(0)", "exit()", "import argparse; argparse.ArgumentParser().parse_args(['--no'])"]
)
def test_a_file_that_ends_the_program_does_not_run(here, line):
    write(here / "mine.py", line)
    for said in ("mine.py:cross", "mine:cross"):
        with pytest.raises(ConfigError, match=r"mine(\.py)? does not run: SystemExit"):
            load_strategy(said)


def test_what_a_file_prints_while_it_loads_goes_to_standard_error(here, capsys):
    write(here / "mine.py", "print('hello')\ndef cross(frame):\n    return frame\n")
    load_strategy("mine.py:cross")
    assert ("", "hello\n") == capsys.readouterr()
