"""What the README says can be typed, works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ccxt
import pandas as pd
import pytest

from backtest.sim_loop import run_simulation
from features.check_inputs import random_bars
from ingest.replay_server import ReplayServer
from ingest.synthetic import synthetic_bars
from tests.boxes import PATIENCE_S, binance, box_in_thread
from tests.places import ROOT
from utils.rows import NS_PER_MINUTE, Rows

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Setting up an environment is the doors' business (tests/test_doors.py); here only what runs in one.
LINES = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
COMMANDS = (
    [
        list(words)  # some stand there twice
        for words in dict.fromkeys(map(tuple, LINES))
        if words[:1] == ("python",) and words[1:3] != ("-m", "venv")
    ]
    + [["python", "examples/breakout.py"], ["python", "examples/quoting.py"]]
)
#: What it shows in Python.
CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
#: Lines of it that answer something.
NAMED = ("order_flow_imbalance", "find_best_scalping_params")
#: Commands that want a week of the exchange's candles, and a data set that holds as much.
LEARNING = [command for command in COMMANDS if {"model.train_meta", "model.retrain", "model.registry"} & set(command)]
#: Commands that run until they are stopped.
SERVERS = [command for command in COMMANDS if "ingest.replay_server" in command]


def candles(seed: int) -> pd.DataFrame:
    return table(synthetic_bars(400, 5 * NS_PER_MINUTE, seed))


def table(bars: Rows) -> pd.DataFrame:
    columns = {name: bars[name] for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame({"timestamp": pd.to_datetime(bars["ts"] - 5 * NS_PER_MINUTE), **columns})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the candle files that the README names."""
    folder = tmp_path_factory.mktemp("readme")
    candles(1).to_parquet(folder / "BTCUSDT-5m.parquet")
    candles(1).to_csv(folder / "BTCUSDT-5m.csv", index=False)
    candles(2).to_csv(folder / "ETHUSDT-5m.csv", index=False)
    (folder / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "breakout.py", folder / "examples")
    return folder


def test_the_readme_names_commands() -> None:
    assert len(COMMANDS) >= 6


@pytest.fixture(scope="module")
def world(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a reader whose exchange is the one in the box; a minute takes three seconds there."""
    with ReplayServer.thread(symbols=("BTCUSDT",), history_hours=24.0, speed=20.0) as box:
        names = {f"SCALPER__ENDPOINTS__{name.upper()}": value for name, value in box.endpoints}
        yield {**os.environ, **names, "PYTHONPATH": str(ROOT)}


def program(command: list[str]) -> list[str]:
    return [sys.executable, *(command[1:] if command[1] == "-m" else [str(ROOT / command[1]), *command[2:]])]


@pytest.mark.parametrize("command", [one for one in COMMANDS if one not in (*SERVERS, *LEARNING)], ids=" ".join)
def test_a_command_of_the_readme_runs(command: list[str], folder: Path, world: dict[str, str]) -> None:
    run = subprocess.run(program(command), cwd=folder, env=world, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


def test_the_learning_of_the_readme_ends_with_the_normal_outcome(tmp_path: Path) -> None:
    table(random_bars(2_000, seed=3, minutes=5)).to_parquet(tmp_path / "BTCUSDT-5m.parquet")
    build = next(command for command in COMMANDS if "backtest.build_dataset" in command)
    with ReplayServer.thread(symbols=("BTCUSDT",), history_hours=170.0, speed=20.0) as box:
        names = {f"SCALPER__ENDPOINTS__{name.upper()}": value for name, value in box.endpoints}
        env = {**os.environ, **names, "PYTHONPATH": str(ROOT)}
        for command in (build, *LEARNING):
            run = subprocess.run(program(command), cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
            assert run.returncode == 0, run.stderr
            if "model.registry" not in command and "backtest.build_dataset" not in command:
                assert run.stdout.splitlines()[-1].startswith("not enabled: ")
    assert run.stdout.count("not enabled: ") == 4  # two learners, trained twice


@pytest.mark.parametrize("command", SERVERS, ids=" ".join)
def test_a_server_of_the_readme_serves_until_ctrl_c(command: list[str], folder: Path, world: dict[str, str]) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(program(command), cwd=folder, env=world, **pipes) as server:
        try:
            assert server.stdout.readline().strip()
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=PATIENCE_S)
        finally:
            server.kill()
    assert 130 == server.returncode


def test_the_strategy_of_the_readme_trades(folder: Path) -> None:
    (code,) = [code for code in CODE if "def breakout" in code]
    scope: dict[str, object] = {}
    exec(code, scope)  # noqa: S102 - our own README
    result = run_simulation(data=folder / "BTCUSDT-5m.parquet", strategy=scope["breakout"], logs_dir=folder / "logs")
    assert len(result.trades) > 0


def test_the_strategy_of_the_readme_is_asked_for_each_of_two_files_by_itself(folder: Path, tmp_path: Path) -> None:
    scope: dict[str, Any] = {}
    exec(next(code for code in CODE if "def breakout" in code), scope)  # noqa: S102 - our own README
    found: dict[str, pd.DataFrame] = {}
    for names in (("BTCUSDT",), ("ETHUSDT",), ("BTCUSDT", "ETHUSDT")):
        result = run_simulation(
            data=[folder / f"{name}-5m.csv" for name in names], strategy=scope["breakout"], logs_dir=tmp_path
        )
        assert result.answers["note"] is None
        found |= {",".join(names): result.signals}
    both = found.pop("BTCUSDT,ETHUSDT")
    for name, alone in found.items():
        assert len(alone) > 0
        assert list(alone["time"]) == list(both.loc[both["symbol"] == name, "time"])


def test_settings_by_code_are_as_the_strategy_page_shows_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "strategy.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "BTCUSDT-5m.parquet", tmp_path)
    exec(code, {})  # noqa: S102 - our own page
    dear, cheap = (line.split() for line in capsys.readouterr().out.splitlines())
    assert dear[1] == cheap[1] != "0"
    # two fifths of the fees; what a stop costs is less, too, so that sizes are larger
    assert 0.4 * float(dear[2]) < float(cheap[2]) < 0.6 * float(dear[2])


def test_the_microstructure_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [code for code in CODE if "features.microstructure" in code]
    flow, search = ([line.split("#")[0] for line in code.splitlines() if line.startswith(name)] for name in NAMED)
    monkeypatch.chdir(tmp_path)
    table(random_bars(8_000, seed=3, minutes=5)).to_parquet("BTCUSDT-5m.parquet")  # a search wants weeks
    with box_in_thread(symbols=("BTCUSDT",)) as box:
        scope: dict[str, Any] = {"exchange": binance(box, ccxt)}
        exec(code, scope)  # noqa: S102 - our own README
        assert -1.0 <= eval(flow[0], scope) <= 1.0  # noqa: S307
    assert 0.0 <= scope["score"]["scalping_favorability"] <= 100.0
    assert not eval(search[0], scope).trade  # noqa: S307
