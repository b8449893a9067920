"""The signal that is told over HTTP is the one that a simulation takes at the same close, field for field."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest

from backtest.data.market import build_market
from exec.advice import Adviser
from exec.live.serving import served as serving
from exec.trader import chunks
from ingest.files.candles import load_candles
from ml.learning.artifact import parts_of
from ml.scoring import Platt
from tests.apis import served
from tests.e2e.support import frame_of, settings_of, write
from tests.ml.models import judging
from tests.places import DATA, ROOT
from utils.records.versions import Versions

RECORDED = sorted((DATA / "ohlcv" / "bybit_linear" / "5m").glob("SOLUSDT_*.parquet"))
FIRST = 2_000  # candles before the day
CASES = [
    "mock",
    pytest.param("recorded", marks=pytest.mark.skipif(not RECORDED, reason="needs the recordings in ../shared/data")),
]


def hopeful():
    """A model whose probabilities differ from candle to candle, and mostly pay for their costs."""
    meta, likely = judging(-50.0), Platt(-0.3, -1.2)
    long, short = (replace(one, calibrator=likely) for one in (meta.long, meta.short))
    return replace(meta, long=long, short=short)


def candles_of(kind, folder):
    """A file of candles, and how many of them a day has."""
    if kind == "mock":
        return write(frame_of(1_200), folder / "MOCKUSDT-1m.csv"), 900
    frame = pd.read_parquet(RECORDED[0]).iloc[: FIRST + 288]
    return write(frame, folder / "bybit_linear" / "5m" / RECORDED[0].name), 288


def told_at(path, folder, environment):
    """What the API tells of a recording that ends there."""
    with served(folder, SCALPER__API__SOURCE=f"tape:{path}", **environment) as api:
        market = load_candles(path)
        answer = api.until(f"/signal/{market.symbol}?tf={market.tf}", lambda seen: seen.status_code != 503)
        assert 200 == answer.status_code, answer.text
        return answer.json()


def simulated_from(path, bars, folder, environment):
    """signals.csv and orders.csv of a simulation whose first decision is made so many bars before the end."""
    done = subprocess.run(
        [sys.executable, "run_simulation.py", "--data", str(path), "--steps", str(bars), "--logs-dir", str(folder)],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return [list(csv.DictReader((folder / f"{name}.csv").read_text().splitlines())) for name in ("signals", "orders")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_what_is_told_is_what_a_simulation_does(kind, tmp_path):
    path, day = candles_of(kind, tmp_path)
    versions = Versions(tmp_path / "models")
    versions.make_current(versions.write(parts_of(hopeful()), {"what": "one that takes much"}))
    model_on = {"SCALPER__META__ENABLED": "true", "SCALPER__META__DIR": str(versions.folder)}
    cautious = {"SCALPER__SIGNAL__VETO_BELOW_BREAK_EVEN": "true", "SCALPER__RISK__LIMITS": "true"}
    settings = settings_of(meta__enabled=True, meta__dir=str(versions.folder))
    market, model = build_market([load_candles(path)], settings), serving(settings)

    # which closes of the last day are signals, a refused one and a taken one among them
    adviser, wanted = Adviser(market, settings, live=False), {}
    for lo, hi in chunks(market.bars, 1):
        advice = adviser.advise(adviser.on_close(market.bars[lo:hi]), model)
        if advice.side != "none" and len(market.bars) - day <= lo < len(market.bars) - 5:
            wanted.setdefault(advice.action, (hi, advice))
    assert "OPENED" in wanted

    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    for action, (bars, advice) in wanted.items():
        folder = tmp_path / action
        cut = write(frame.iloc[:bars], folder / path.relative_to(tmp_path))
        answer = told_at(cut, folder, model_on)
        further = {name: answer.pop(name) for name in ("source", "as_of", "ages")}
        assert json.loads(advice.model_dump_json()) == answer
        assert {"bar_s": 0.0, "book_s": None, "prints_s": None} == further["ages"]
        assert [f"tape:{path.name}", advice.closed_at] == [further["source"], further["as_of"]]

        longer = write(frame.iloc[: bars + 4], folder / "longer" / path.relative_to(tmp_path))
        signals, orders = simulated_from(longer, 5, folder / "logs", model_on | cautious)
        first = signals[0]
        assert [answer["closed_at"], answer["symbol"], answer["side"], action] == [
            first["time"], first["symbol"], first["side"], first["action"],
        ]  # fmt: skip
        assert first["reasons"].split(";") == answer["reasons"]
        numbers = {"strength": "strength", "p_win": "p_win", "net_bps": "expected_bps"}
        assert {name: float(first[name]) for name in numbers} == {name: answer[ours] for name, ours in numbers.items()}
        assert first["model"] == answer["model"] == versions.current()
        if action == "OPENED":
            assert [float(orders[0]["qty"]), orders[0]["kind"]] == [answer["size"]["qty"], answer["order"]["kind"]]
            assert float(orders[0]["decision_price"]) == answer["close"]
        else:
            assert [None, 0.0] == [answer["order"], answer["size"]["qty"]]
