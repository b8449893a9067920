"""Terminals without UTF-8, closed pipes, killed neighbours, cautious settings: none of them is a bug of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from backtest.data.market import synthetic_market
from backtest.sim_loop import run_simulation
from tests.places import ROOT
from tests.wire import R0, bybit_book
from utils.errors import ConfigError
from utils.settings.tree import Settings

pytestmark = pytest.mark.slow


def run(place: Path, *flags: str, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "run_simulation.py"), "--steps", "30", "--logs-dir", "logs", *flags]
    if redirect:
        command = ["sh", "-c", f'"$@" {redirect}', "sh", *command]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False)


def test_a_terminal_without_utf8_gets_the_whole_summary(tmp_path):
    seen = run(tmp_path, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LANG="C")
    assert (seen.returncode, "error" in seen.stderr) == (0, False)
    assert seen.stdout.endswith("each line explained: docs/first-run.md\n")
    assert "decisions " in seen.stdout


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_a_closed_standard_output_loses_no_log(tmp_path):
    seen = run(tmp_path, "--quiet", redirect=">&-")
    assert seen.returncode == 0, seen.stderr
    assert json.loads((tmp_path / "logs" / "run.json").read_text(encoding="utf-8"))["bars"] == 30


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX pipe")
@pytest.mark.parametrize(
    "command", [["run_simulation.py", "--show-config"], ["-m", "ingest.tape", "check", "one.jsonl.zst"]]
)
def test_a_reader_of_a_table_that_has_gone_is_no_error(tmp_path, command):
    line = b'{"recv_ns":%d,"msg":%s}\n' % (R0, bybit_book(1, "99 1", "101 1", "snapshot"))
    (tmp_path / "one.jsonl.zst").write_bytes(zstandard.compress(line))
    reader, writer = os.pipe()
    os.close(reader)
    started = [sys.executable, *(str(ROOT / word) if word.endswith(".py") else word for word in command)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    seen = subprocess.run(started, cwd=tmp_path, env=environment, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (0, b"") == (seen.returncode, seen.stderr)


def test_a_leverage_below_one_is_a_cautious_setting_not_a_bug(tmp_path):
    seen = run(tmp_path, "--json", SCALPER__RISK__MAX_LEVERAGE="0.5")
    assert seen.returncode == 0, seen.stderr


def test_an_empty_flag_value_is_refused(tmp_path):
    seen = run(tmp_path, "--symbol", "")
    assert (seen.returncode, seen.stdout) == (2, "")
    assert "empty value" in seen.stderr


def test_a_mock_market_of_centuries_is_refused_with_its_hours():
    with pytest.raises(ConfigError, match="hours"):
        synthetic_market(Settings(), "BTCUSDT", "1w", 5000)


def test_what_the_figures_measure_begins_with_the_first_decision(tmp_path):
    settings = Settings()
    whole = synthetic_market(settings, "BTCUSDT", "5m", 1200)
    start = int(whole.bars["ts"][-300])
    late = type(whole)(**{name: getattr(whole, name) for name in whole.__slots__} | {"starts": (start,)})
    result = run_simulation(data=late, settings=settings, logs_dir=tmp_path)
    times = result.tables["equity"]["time"]
    assert (int(times[0]), len(times)) == (start, 300)
    assert result.report["bars"] == 300
