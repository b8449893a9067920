"""Build, train, serve, ask, as the README says it, without internet: on recorded candles, on an exchange in a box."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.apis import Api, box, served
from tests.e2e.support import like_bitcoin, write
from tests.e2e.test_readme import LINES, program
from tests.places import ROOT

pytestmark = pytest.mark.slow

#: Of the README: the steps, in its words.
SERVE = next(words for words in LINES if "uvicorn" in words)
STEPS = LINES[LINES.index(SERVE) - 2 : LINES.index(SERVE) + 2]
BUILD, TRAIN, _, ASK = STEPS


def test_the_readme_names_four_steps() -> None:
    assert [["backtest.build_dataset"], ["model.train_meta"], ["app:app"], ["curl"]] == [
        [word for word in words if word in {"backtest.build_dataset", "model.train_meta", "app:app", "curl"}]
        for words in STEPS
    ]


def done(command: list[str], folder: Path, **names: str) -> str:
    """What a command of the README prints, run in a folder."""
    env = {**os.environ, **names, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(program(command), cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def asked(api: Api) -> dict[str, Any]:
    """The answer to the README's question, once there is one."""
    _, path = ASK[1].split("localhost:8000")
    answer: dict[str, Any] = api.until(path, lambda answer: answer.status_code == 200).json()
    return answer


def test_on_recorded_candles(tmp_path: Path) -> None:
    write(like_bitcoin(3_931), tmp_path / "BTCUSDT-5m.parquet")
    for command in (BUILD, TRAIN):
        said = done(command, tmp_path)
    assert said.splitlines()[-1].startswith("not enabled: ")
    name, _, source = SERVE[0].partition("=")
    with served(tmp_path, **{name: source}, SCALPER__META__DIR="model/artifacts") as api:
        answer = asked(api)
        newest = api.get("/model").json()["newest"]
    assert ("BTCUSDT", "5m", source, "long") == tuple(answer[k] for k in ("symbol", "timeframe", "source", "side"))
    assert (None, None, 0.0) == (answer["p_win"], answer["expected_bps"], answer["size"]["qty"])
    assert "model=none" in answer["reasons"]
    assert (tmp_path / "model" / "artifacts" / newest["version"]).is_dir()


def test_on_the_exchange_in_a_box(tmp_path: Path) -> None:
    flags = ["--symbol", "BTCUSDT", "--tf", "5m", "--limit", "2000"]
    build = [*BUILD[: BUILD.index("--data")], *flags, *BUILD[BUILD.index("--data") + 2 :]]
    with box("--speed", "20", history_hours=170.0) as exchange:
        for command in (build, TRAIN):
            said = done(command, tmp_path, **exchange.environment)
        assert said.splitlines()[-1].startswith("not enabled: ")
        with served(tmp_path, **exchange.environment, SCALPER__META__DIR="model/artifacts") as api:
            answer = asked(api)
            health = api.get("/health").json()
            look = [sys.executable, "-m", "ingest.doctor", "--json", "--api-port", str(api.port), "--timeout", "60"]
            env = {**os.environ, **exchange.environment, "PYTHONPATH": str(ROOT)}
            checks = json.loads(subprocess.run(look, cwd=tmp_path, env=env, capture_output=True, check=False).stdout)
    assert ("BTCUSDT", "5m") == (answer["symbol"], answer["timeframe"])
    assert "model=none" in answer["reasons"]
    assert "127.0.0.1" in answer["source"]
    assert ["BTCUSDT"] == [market["symbol"] for market in health["markets"]]
    (api_check,) = [check for check in checks["checks"] if check["name"] == "api"]
    assert ("OK", True) == (api_check["status"], "asks for a token" in api_check["seen"])
