"""A training from a data set's file: what it writes, what it says, and what it refuses."""

import json
import os
import subprocess
import sys

import pytest

from backtest.data.dataset import write_dataset
from backtest.data.market import build_market
from backtest.experiments.data import walk_candles
from model.train_meta import NICE, main, step_back, threads
from tests.places import ROOT
from utils.config import load_settings
from utils.records.ledger import Ledger
from utils.records.versions import Versions

SETTINGS = load_settings(env={}).settings


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "features.parquet"
    write_dataset(path, build_market([walk_candles(2_000, 1)], SETTINGS), SETTINGS)
    return path


def words(data, folder, *more):
    (folder / "config.yaml").write_text(f"meta:\n  ledger: {folder / 'trials.jsonl'}\n")
    return ["--data", str(data), "--outdir", str(folder), "--config", str(folder / "config.yaml"), *more]


def test_versions_records_and_a_report_are_written_and_no_setting_is_changed(data, tmp_path, capsys):
    assert main(words(data, tmp_path)) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].startswith("not enabled: ")
    assert len(Versions(tmp_path).names()) == 2
    assert Versions(tmp_path).current() is None
    assert {"report.md", "report.html", "trials.jsonl"} <= {path.name for path in tmp_path.iterdir()}
    assert Ledger(tmp_path / "trials.jsonl").count() == 2


def test_json_is_one_object(data, tmp_path, capsys):
    assert main(words(data, tmp_path, "--family", "logistic", "--json")) == 0
    assert json.loads(capsys.readouterr().out)


def test_a_data_set_that_is_cut_short_is_refused_in_one_sentence(data, tmp_path, capsys):
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(data.read_bytes()[:-100])
    assert main(words(cut, tmp_path)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Versions(tmp_path).names()


def test_a_report_that_has_no_place_is_told_before_anything_is_trained(data, tmp_path, capsys):
    (tmp_path / "report.md").mkdir()
    assert main(words(data, tmp_path)) == 1
    err = capsys.readouterr().err
    assert f"{tmp_path / 'report.md'}: expected a file, saw a directory" in err
    assert err.count("\n") == 1
    assert not Versions(tmp_path).names()
    assert not (tmp_path / "trials.jsonl").exists()


def test_what_is_no_file_is_refused(tmp_path, capsys):
    assert main(words(tmp_path / "none.parquet", tmp_path)) == 2
    assert "none.parquet" in capsys.readouterr().err


def test_a_training_leaves_a_core_to_others_and_steps_back():
    assert 1 <= threads() <= max(1, (os.cpu_count() or 1) - 1)
    line = "import os; from model.train_meta import step_back; step_back(); step_back(); print(os.nice(0))"
    told = subprocess.run([sys.executable, "-c", line], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(told.stdout) >= NICE
    assert callable(step_back)
