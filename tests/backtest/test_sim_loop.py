"""The door of a simulation: settings, and a result that says nothing that is not a number."""

import math

import pytest

from backtest.sim_loop import run_simulation
from ingest.synthetic import SyntheticFeed
from tests.e2e.support import settings_of
from utils.errors import ConfigError
from utils.settings.tree import MarketSettings, Settings


def test_settings_do_not_come_from_the_environment_where_they_are_given(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALPER__SIMULATION__INITIAL_CAPITAL", "5")
    candles = SyntheticFeed("BTCUSDT", "1m", 1, "large-tick").candles(100)
    assert 1e4 == run_simulation(data=candles, settings=settings_of(), logs_dir=tmp_path).report["initial_capital"]
    assert 5.0 == run_simulation(data=candles, logs_dir=tmp_path).report["initial_capital"]


def test_a_result_says_nothing_that_is_not_a_number(tmp_path):
    market = SyntheticFeed("BTCUSDT", "1m", 1, "large-tick").candles(600)
    report = run_simulation(data=market, settings=settings_of(signal__min_strength=100.0), logs_dir=tmp_path).report
    assert 0 == report["trades"]
    assert [] == [name for name, value in report.items() if isinstance(value, float) and not math.isfinite(value)]


def test_an_exchange_that_nobody_knows_is_refused_from_python_too(tmp_path):
    settings = Settings(market=MarketSettings(exchange="kraken"))
    candles = SyntheticFeed("BTCUSDT", "1m", 1, "large-tick").candles(100)
    with pytest.raises(ConfigError, match=r"market.exchange: expected one of binance, bybit, saw 'kraken'"):
        run_simulation(data=candles, settings=settings, logs_dir=tmp_path)
