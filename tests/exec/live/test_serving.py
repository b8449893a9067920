"""The model that serves is read from its version: checked, or refused in one sentence."""

import csv
import json
import subprocess
import sys

import pytest

from backtest.data.market import synthetic_market
from backtest.run.simulation import run_simulation
from backtest.run.verdict import model_says
from exec.live.serving import served
from features.registry import fingerprint
from ml.learning.artifact import parts_of
from ml.signal import strategy_key
from tests.e2e.support import settings_of
from tests.ml.models import judging
from tests.places import ROOT
from utils.errors import ConfigError, DataError
from utils.records.versions import Versions


@pytest.fixture
def folder(tmp_path):
    """A folder of versions: one takes trades from 3 bps on, the current one takes all."""
    versions = Versions(tmp_path / "artifacts")
    versions.write(parts_of(judging(3.0)), {"what": "strict"}, 1_700_000_000 * 10**9)
    versions.make_current(versions.write(parts_of(judging(-1e9)), {"what": "loose"}, 1_700_000_001 * 10**9))
    return versions


def enabled(folder, **more):
    return settings_of(meta__enabled=True, meta__dir=str(folder.folder), **more)


def test_current_serves_unless_a_version_is_named(folder):
    strict, loose = folder.names()
    assert (loose, -1e9) == ((one := served(enabled(folder))).name, one.meta.threshold_bps)
    assert (strict, 3.0) == ((one := served(enabled(folder, meta__version=strict))).name, one.meta.threshold_bps)
    assert strict == served(settings_of(meta__dir=str(folder.folder)), strict).name
    assert served(settings_of(meta__dir=str(folder.folder))) is None


def test_one_enabled_that_is_not_there_is_refused(tmp_path, folder):
    with pytest.raises(ConfigError, match=r"meta.enabled: expected .* saw none; train one with ./scripts/retrain"):
        served(settings_of(meta__enabled=True, meta__dir=str(tmp_path / "nowhere")))
    with pytest.raises(DataError, match="expected the name of a version"):
        served(enabled(folder, meta__version="20200101T000000Z-000000000000"))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"symbols": ("BTCUSDT",), "tf": "5m"}, ""),
        ({"symbols": ("BTCUSDT", "ETHUSDT"), "tf": "5m"}, "tested on BTCUSDT, saw ETHUSDT"),
        ({"symbols": ("BTCUSDT",), "tf": "1m"}, "timeframe 5m, saw 1m"),
        ({"risk__take_bps": 30.0}, "take_bps 25.0, saw 30.0"),
        ({"execution__entry": "market"}, "entry post_only, saw market"),
        ({"execution__limit_bars": 5}, "limit_bars 3, saw 5"),
        ({"signal__min_strength": 5.0}, "other signals"),
        ({"signal__veto_below_break_even": True}, ""),
        ({"simulation__slippage_bps": 4.0}, "slippage_bps 1, saw 4"),
        ({"simulation__slippage_bps": 0.5}, ""),
    ],
)
def test_a_model_judges_what_it_was_tested_on_and_nothing_else(folder, asked, said):
    tested = {"symbols": ["BTCUSDT"], "timeframe": "5m", "take_bps": 25.0, "stop_bps": 18.0, "horizon": 20}
    costs = {"maker_bps": [2.0], "taker_bps": [5.0], "half_spread_bps": 0.5, "slippage_bps": 1.0}
    rests = {"entry": "post_only", "limit_offset_bps": 1.0, "limit_bars": 3, "signal": strategy_key(settings_of())}
    manifest = {"configuration": {**tested, **rests, "market": ["binance_usdm"], "costs": costs}}
    folder.make_current(folder.write(parts_of(judging(1.0)), manifest, 1_700_000_002 * 10**9))
    where = {name: asked[name] for name in ("symbols", "tf") if name in asked}
    settings = enabled(folder, **{name: value for name, value in asked.items() if name not in where})
    if said:
        with pytest.raises(ConfigError, match=said):
            served(settings, **where)
    else:
        assert served(settings, **where).name == folder.current()


def test_a_model_of_trades_that_paid_less_is_refused(folder):
    costs = {"maker_bps": [0.0], "taker_bps": [5.0], "half_spread_bps": 0.5, "slippage_bps": 1.0}
    tested = {"symbols": ["BTCUSDT"], "market": ["binance_usdm"], "costs": costs}
    folder.make_current(folder.write(parts_of(judging(1.0)), {"configuration": tested}, 1_700_000_002 * 10**9))
    with pytest.raises(ConfigError, match="maker_bps 0 of BTCUSDT, saw 2"):
        served(enabled(folder))
    gross = {"configuration": {"symbols": ["BTCUSDT"], "gross": True}}
    folder.make_current(folder.write(parts_of(judging(1.0)), gross, 1_700_000_003 * 10**9))
    with pytest.raises(ConfigError, match="trades before all costs"):
        served(enabled(folder))


def test_one_that_is_not_as_it_was_written_is_refused(folder):
    part = folder.folder / folder.current() / "meta.json"
    part.write_bytes(part.read_bytes().replace(fingerprint().encode(), b"0" * 64))
    with pytest.raises(DataError, match=folder.current()):
        served(enabled(folder))


def test_a_run_names_the_version_in_every_signal_in_run_json_and_in_the_summary(tmp_path, folder):
    strict, _ = folder.names()
    settings = enabled(folder, meta__version=strict)
    market = synthetic_market(settings, "BTCUSDT", "5m", 500)
    result = run_simulation(data=market, settings=settings, logs_dir=tmp_path / "logs")
    rows = list(csv.DictReader((tmp_path / "logs" / "signals.csv").read_text().splitlines()))
    assert {strict} == {row["model"] for row in rows}
    refused = [row for row in rows if "expected_net=" in row["reasons"]]
    assert refused
    assert all(float(row["net_bps"]) < 3.0 for row in refused)
    said = json.loads((tmp_path / "logs" / "run.json").read_text())["model"]
    counts = {"signals": len(rows), "refused": len(refused)}
    assert {"version": strict, "family": "lightgbm", "threshold_bps": 3.0, **counts} == said
    assert f"{strict}: {len(refused)} of {len(rows)} signals refused, threshold 3.0 bps" == model_says(result)
    plain = run_simulation(data=market, settings=settings_of(), logs_dir=tmp_path / "plain")
    assert "" == model_says(plain)
    assert "model" not in json.loads((tmp_path / "plain" / "run.json").read_text())


def test_a_run_with_a_model_loads_no_library_of_trainings(tmp_path, folder):
    script = (
        "import sys\n"
        "from backtest.data.market import synthetic_market\n"
        "from backtest.run.simulation import run_simulation\n"
        "from tests.e2e.support import settings_of\n"
        f"settings = settings_of(meta__enabled=True, meta__dir={str(folder.folder)!r})\n"
        "market = synthetic_market(settings, 'BTCUSDT', '5m', 200)\n"
        f"result = run_simulation(data=market, settings=settings, logs_dir={str(tmp_path / 'logs')!r})\n"
        "print(result.report['model']['signals'] > 0, [m for m in ('sklearn', 'lightgbm') if m in sys.modules])\n"
    )
    seen = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "True []" == seen.stdout.strip()
