"""A run is held against everything that was tried before it, and a sweep is tried."""

import json
import math

import numpy as np
import pytest

from backtest.data.market import build_market, synthetic_market
from backtest.run.summary import warnings
from backtest.run.trials import FEWEST_DAYS, configuration_of, data_of, tried
from backtest.sim_loop import run_simulation
from backtest.sweep import sweep
from ingest.files.candles import load_candles
from tests.e2e.support import settings_of
from tests.ml.walks import walk
from utils.errors import DataError
from utils.figures.arithmetic import expected_max_sharpe
from utils.records.ledger import Ledger, Trial

FRAME = walk(1_500, seed=3)


def with_ledger(path, **more):
    return settings_of(meta__ledger=str(path), **more)


def market_of(settings):
    return build_market([load_candles(FRAME, symbol="BTCUSDT")], settings)


def trial(number, days=None):
    return Trial(1, "search", {"n": number}, "d", 3, 1.0, 0.1, days or {})


def test_without_a_ledger_a_run_is_the_only_trial(tmp_path):
    found = tried(with_ledger(tmp_path / "none"))
    assert (1, None, "") == (found.count, found.pbo, found.doubt)
    assert math.isnan(found.variance)
    assert [] == list(tmp_path.iterdir())


def test_what_was_tried_is_counted_and_its_daily_sharpe_ratios_vary(tmp_path):
    days = [f"2026-01-{day:02d}" for day in range(1, FEWEST_DAYS + 5)]
    dice = np.random.default_rng(1)
    nets = dice.normal(size=(3, len(days)))
    Ledger(tmp_path / "t").add(*(trial(k, dict(zip(days, row.tolist(), strict=True))) for k, row in enumerate(nets)))
    found = tried(with_ledger(tmp_path / "t"))
    ratios = nets.mean(axis=1) / nets.std(axis=1, ddof=1)
    assert (3, "") == (found.count, found.doubt)
    assert pytest.approx(np.var(ratios, ddof=1)) == found.variance
    assert found.pbo is not None
    assert 0.0 <= found.pbo <= 1.0


def test_a_run_says_how_much_was_tried_and_deflates_its_sharpe_ratio_by_it(tmp_path):
    alone = run_simulation(data=market_of(settings_of()), settings=with_ledger(tmp_path / "t"), logs_dir=tmp_path / "a")
    Ledger(tmp_path / "t").add(*map(trial, range(100)))
    among = run_simulation(data=market_of(settings_of()), settings=with_ledger(tmp_path / "t"), logs_dir=tmp_path / "b")
    assert (
        [1, 100]
        == [one.metrics["Trials"] for one in (alone, among)]
        == [one.report["trials"] for one in (alone, among)]
    )
    assert alone.metrics["DSR"] == alone.metrics["PSR"]
    days = alone.metrics["Sharpe days"]
    assert expected_max_sharpe(100, 1.0 / (days - 1)) > 0.0
    assert among.metrics["DSR"] < alone.metrics["DSR"]
    assert among.report["deflated_sharpe"] == among.metrics["DSR"]
    assert alone.report["decision_sha256"] == among.report["decision_sha256"]
    kept = json.loads((tmp_path / "b" / "run.json").read_text())
    assert (100, 100) == (kept["trials"], kept["kpis"]["Trials"])


def test_a_damaged_ledger_does_not_cost_a_run_its_results_and_is_said(tmp_path):
    (tmp_path / "t").write_text("not ours\n")
    result = run_simulation(data=market_of(settings_of()), settings=with_ledger(tmp_path / "t"), logs_dir=tmp_path)
    assert (None, None) == (result.metrics["Trials"], result.metrics["DSR"])
    assert any(said.startswith("trials are not known, and so no deflated Sharpe ratio: ") for said in warnings(result))


def test_each_set_of_a_sweep_is_a_trial_once_a_data_set(tmp_path):
    path = tmp_path / "t"
    sets = [with_ledger(path, risk__take_bps=take) for take in (20.0, 25.0, 40.0)]
    market = market_of(sets[0])
    scores = sweep(market, sets)
    assert sweep(market, sets[:2], workers=2) == scores[:2]
    trials = Ledger(path).trials()
    assert [score.trades for score in scores] == [one.trades for one in trials]
    assert {("sweep", data_of(market))} == {(one.kind, one.data) for one in trials}
    assert {"symbols": ["BTCUSDT"], "tf": "5m", "settings": {"risk.take_bps": 20}} == trials[0].configuration


def test_where_a_ledger_or_logs_are_kept_tells_no_configuration_from_another(tmp_path):
    market = market_of(settings_of())
    one, other = with_ledger(tmp_path / "t"), settings_of(logs__dir="elsewhere", retrain__auto=True)
    assert configuration_of(market, one) == configuration_of(market, other) == configuration_of(market, settings_of())


def test_what_is_tried_on_the_mock_market_is_not_written_down(tmp_path):
    settings = with_ledger(tmp_path / "t")
    sweep(synthetic_market(settings, "BTCUSDT", "1m", 1_000), [settings])
    assert [] == list(tmp_path.iterdir())


def test_a_sweep_that_could_not_be_written_down_is_not_begun(tmp_path):
    (tmp_path / "t").write_text("not ours\n")
    with pytest.raises(DataError, match="line 1: expected line 1 as it was written"):
        sweep(market_of(settings_of()), [with_ledger(tmp_path / "t")])
