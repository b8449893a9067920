"""What the README says can be typed, works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from backtest.sim_loop import run_simulation
from ingest.synthetic import synthetic_bars
from utils.rows import NS_PER_MINUTE

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Setting up an environment is the doors' business (tests/test_doors.py); here only what runs in one.
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("python ") and not line.startswith("python -m venv")
] + [["python", "examples/breakout.py"]]


def candles(seed: int) -> pd.DataFrame:
    bars = synthetic_bars(400, 5 * NS_PER_MINUTE, seed)
    columns = {name: bars[name] for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame({"timestamp": pd.to_datetime(bars["ts"] - 5 * NS_PER_MINUTE), **columns})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the candle files that the README names."""
    folder = tmp_path_factory.mktemp("readme")
    candles(1).to_parquet(folder / "BTCUSDT-5m.parquet")
    candles(1).to_csv(folder / "BTCUSDT-5m.csv", index=False)
    candles(2).to_csv(folder / "ETHUSDT-5m.csv", index=False)
    return folder


def test_the_readme_names_commands() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_the_readme_runs(command: list[str], folder: Path) -> None:
    program = [sys.executable, str(ROOT / command[1]), *command[2:]]
    run = subprocess.run(
        program,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


def test_the_strategy_of_the_readme_trades(folder: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    scope: dict[str, object] = {}
    exec(code, scope)  # noqa: S102 - our own README
    result = run_simulation(data=folder / "BTCUSDT-5m.parquet", strategy=scope["breakout"], logs_dir=folder / "logs")
    assert len(result.trades) > 0
