"""The audit's command: a verdict and its exit code."""

from __future__ import annotations

import json
import sys

import pytest

from backtest.audit import main
from backtest.run.cli import main as simulate
from tests.e2e.support import frame_of, write
from tests.places import ROOT

MINE = """
import numpy as np

def honest(frame):
    return frame[["ts"]].assign(side=np.sign(frame["close"] - frame["close"].rolling(5).mean()))

def ahead(frame):
    return frame[["ts"]].assign(side=np.sign(frame["close"].shift(-1) - frame["close"]))

def broken(frame):
    return frame[["ts"]].assign(side=frame["no_such_column"])

def wrong(frame):
    return 5
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    write(frame_of(300), tmp_path / "BTCUSDT_1m.csv")
    write(frame_of(300, seed=5), tmp_path / "ETHUSDT_1m.csv")
    (tmp_path / "mine.py").write_text(MINE)
    yield tmp_path
    for name in set(sys.modules) - before & {"mine"}:
        del sys.modules[name]


def asked(*words):
    return main(["--data", "BTCUSDT_1m.csv", *words])


def test_an_honest_strategy_is_clean(here, capsys):
    assert 0 == asked("--strategy", "mine.py:honest")
    out = capsys.readouterr().out
    assert "mine:honest on BTCUSDT_1m.csv: 300 bars, asked again at" in out
    assert "it knows no later bar" in out


def test_one_that_looks_ahead_is_two(here, capsys):
    assert 2 == asked("--strategy", "mine.py:ahead")
    assert "of 300 the strategy signals differently at 1 bar, first side" in capsys.readouterr().out


def test_json_is_one_object(here, capsys):
    assert 2 == asked("--strategy", "mine.py:ahead", "--cuts", "12", "--json")
    row = json.loads(capsys.readouterr().out)
    assert (False, 1, "mine:ahead", 300) == (row["clean"], row["different"], row["strategy"]["name"], row["bars"])
    assert 6 <= len(row["cuts"]) <= 12
    assert 0 == asked("--strategy", "mine.py:honest", "--data", "ETHUSDT_1m.csv", "--json")
    assert json.loads(capsys.readouterr().out)["clean"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--strategy", "mine.py:none"), "--strategy: mine.py holds no none"),
        (("--strategy", "mine.py:broken"), "expected signal rows, saw KeyError('no_such_column'); mend the function"),
        (("--strategy", "mine.py:wrong"), "list of dicts), saw 5; return one of these"),
        (("--strategy", "mine.py:honest", "--cuts", "1"), "--cuts: expected at least 4, saw 1"),
        ((), "the following arguments are required: --strategy"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_two(here, capsys, words, sentence):
    assert 2 == asked(*words)
    assert sentence in capsys.readouterr().err


def test_the_examples_are_clean(here, capsys):
    where = f"{ROOT / 'examples' / 'breakout.py'}:breakout"
    assert 0 == asked("--strategy", where, "--data", "ETHUSDT_1m.csv")
    assert "BTCUSDT_1m.csv, ETHUSDT_1m.csv: 300 bars" in capsys.readouterr().out


# the same flag at the simulation


def ran(capsys, *words):
    code = simulate([*words, "--logs-dir", "logs"])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_simulation_takes_a_strategy_by_its_name_and_audits_it(here, capsys):
    code, out, _ = ran(capsys, "--data", "BTCUSDT_1m.csv", "--strategy", "mine.py:ahead", "--json")
    report = json.loads(out)
    assert (0, "mine:ahead", 1) == (code, report["strategy"], report["answers_different"])
    code, out, _ = ran(capsys, "--data", "BTCUSDT_1m.csv", "--strategy", "mine.py:ahead", "--no-audit", "--json")
    assert (0, None) == (code, json.loads(out)["answers_different"])
    assert report["decision_sha256"] == json.loads(out)["decision_sha256"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--strategy", "mine.py:broken"), "saw KeyError('no_such_column'); mend the function\n  "),
        (("--strategy", "mine.py:none"), "--strategy: mine.py holds no none"),
        (("--no-audit",), "--no-audit: there is no strategy of yours; name one with --strategy, or leave it out"),
    ],
)
def test_a_simulation_that_cannot_ask_it_is_one_sentence_and_two(here, capsys, words, sentence):
    code, out, err = ran(capsys, "--data", "BTCUSDT_1m.csv", *words, "--quiet")
    assert (2, "") == (code, out)
    assert sentence in err
    assert "Traceback" not in err


def test_the_live_run_is_told_apart(here, capsys):
    code, _, err = ran(capsys, "--live", "--strategy", "mine.py:honest", "--no-audit")
    assert 2 == code
    assert "--no-audit: a live run compares its answers anyhow, or leave it out" in err
