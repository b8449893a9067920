"""Where settings come from, and one clear sentence for each way to write them wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.settings import refusal
from utils.config import load_settings
from utils.errors import ConfigError
from utils.settings.tree import Settings


def test_promised_plain_names_are_read(load):
    env = {"AUTO_RETRAIN": "1", "RETRAIN_DAILY_HOUR": "4", "RETRAIN_MAX_AGE_HOURS": "12", "LOCAL_TZ": "Asia/Tokyo"}
    loaded = load(env=env)
    retrain = loaded.settings.retrain
    assert (retrain.auto, retrain.daily_hour, retrain.max_age_hours, retrain.tz) == (True, 4, 12.0, "Asia/Tokyo")
    assert loaded.origin["retrain.auto"] == "environment AUTO_RETRAIN"


def test_names_of_the_retrain_script_do_not_change_a_simulation(load):
    names = ("SYMBOL", "TF", "TIMEFRAME", "HORIZON", "TAKE_BPS", "STOP_BPS", "EXCHANGE", "LIMIT")
    assert Settings() == load(env=dict.fromkeys(names, "1")).settings


def test_environment_names_are_case_insensitive_and_empty_ones_are_not_set(load):
    env = {"scalper__market__Symbol": "ETHUSDT", "SCALPER__RISK__TAKE_BPS": "", "SCALPER__RISK__TRAIL": "off"}
    loaded = load(env=env)
    assert (
        loaded.settings.market.symbol,
        loaded.settings.risk.take_bps,
        loaded.settings.risk.trail,
    ) == ("ETHUSDT", 25.0, "off")
    env = {
        "SCALPER__INSTRUMENTS__BYBIT_LINEAR__DEFAULT__TAKER_BPS": "4",
        "scalper__instruments__synthetic__xusdt__tick": "1",
    }
    assert (
        load(env=env).settings.instrument("bybit_linear", "BTCUSDT").taker_bps,
        load(env=env).settings.instrument("synthetic", "XUSDT").tick,
    ) == (4.0, 1.0)


def test_yaml_words_and_numbers_mean_what_they_look_like(load):
    settings = load("risk: {trail: off, horizon: 010}\nsimulation: {impact: 5e-1, warmup_bars: ~}\n").settings
    assert (
        settings.risk.trail,
        settings.risk.horizon,
        settings.simulation.impact,
        settings.simulation.warmup_bars,
    ) == ("off", 10, 0.5, None)


def test_unknown_environment_names_are_refused_with_the_nearest_known_one(load):
    said = "environment: SCALPER__RISK__TAKE_BP names no setting; did you mean SCALPER__RISK__TAKE_BPS?"
    assert said == refusal(load, env={"SCALPER__RISK__TAKE_BP": "5"})
    assert ".env: SCALPER__RISK names no setting" in refusal(load, dotenv="SCALPER__RISK=5\n")


def test_unknown_flags_are_refused(load):
    assert (
        refusal(load, flags={"risk.take_bp": 5}) == "code: risk.take_bp names no setting; did you mean risk.take_bps?"
    )


def test_two_names_with_two_values_for_one_setting_are_refused(load):
    said = refusal(load, env={"AUTO_RETRAIN": "1", "SCALPER__RETRAIN__AUTO": "0"})
    assert said == "environment: AUTO_RETRAIN and SCALPER__RETRAIN__AUTO both set retrain.auto; keep one of them"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("risk: [", "config.yaml line 1: not valid YAML"),
        ("risk:\n\ttake_bps: 1\n", "config.yaml line 2: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("risk: {take_bps: !!python/object:os.system 1}", "not valid YAML"),
        ("- 1\n", "config.yaml line 1: expected `key: value` lines"),
        ("hello", "config.yaml line 1: expected `key: value` lines"),
        ("risk: 5\n", "config.yaml line 1: expected `key: value` lines under risk"),
        ("[1]: 5\n", "config.yaml line 1: expected a plain word as key"),
        (
            "risk:\n  take_bps: 1\n  stop_bps: 1\n  take_bps: 2\n",
            "config.yaml line 4: risk.take_bps stands in line 2 already; keep one of them",
        ),
        ("risk: &a {horizon: *a}", "config.yaml line 1: not valid YAML (found unconstructable recursive node)"),
        ("\0", "config.yaml: not valid YAML"),
    ],
)
def test_a_config_that_is_not_a_tree_of_keys_is_refused(load, config, said):
    assert said in refusal(load, config)


def test_a_config_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match="expected UTF-8 text, saw the byte 0xff"):
        load_settings(tmp_path / "c.yaml", env={})


def test_a_line_of_dotenv_that_sets_nothing_is_refused(load):
    assert refusal(load, dotenv="A=1\n'broken\n") == ".env line 2: expected NAME=value"


@pytest.mark.parametrize(
    "config", ["CRYPTOPANIC_TOKEN: hush", "secrets:\n  cryptopanic_token: hush", "market: {coingecko_api_key: hush}"]
)
def test_secrets_in_yaml_are_refused_without_repeating_them(load, config):
    said = refusal(load, config)
    assert "is a secret; remove it here and set it in the environment or in .env" in said
    assert "hush" not in said


def test_text_from_the_environment_stays_text(load):
    env = {"SCALPER__LOGS__DIR": "2025", "SCALPER__MARKET__EXCHANGE": "1000"}
    settings = load(env=env).settings
    assert (settings.logs.dir, settings.market.exchange) == (Path("2025"), "1000")


@pytest.mark.parametrize("symbol", ["btcusdt", "BTC/USDT", "BTC/USDT:USDT", "BTC-USDT-SWAP"])
def test_a_symbol_and_a_timeframe_are_spelled_as_behind_flags_wherever_they_stand(load, symbol):
    text = f"market: {{symbol: '{symbol}', timeframe: 1D}}"
    env = {"SCALPER__MARKET__SYMBOL": symbol, "SCALPER__MARKET__TIMEFRAME": "1D"}
    for settings in (load(text).settings, load(env=env).settings):
        assert ("BTCUSDT", "1d") == (settings.market.symbol, settings.market.timeframe)


@pytest.mark.parametrize("symbol", ["ethusdt", "ETH/USDT:USDT", "ETH-USDT"])
def test_the_symbols_of_instruments_are_spelled_so_too(load, symbol):
    settings = load(f"instruments: {{bybit_linear: {{'{symbol}': {{tick: 0.05}}}}}}").settings
    assert 0.05 == settings.instruments["bybit_linear"]["ETHUSDT"].tick


def test_a_settings_file_is_a_regular_file_of_some_kilobytes_or_is_never_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.yaml")
    with (tmp_path / "long.yaml").open("wb") as file:
        file.truncate((1 << 20) + 1)
    for path, says in (
        (tmp_path / "pipe.yaml", "seen a pipe"),
        (tmp_path / "long.yaml", "at most 1 MiB, seen 1,048,577 bytes"),
        (Path("/dev/zero"), "seen a device"),
    ):
        for given in ({"config": path}, {"config": None, "dotenv": path}):
            with pytest.raises(ConfigError, match=says):
                load_settings(**given, env={})
    monkeypatch.chdir(tmp_path)
    os.mkfifo(".env")
    with pytest.raises(ConfigError, match=r"\.env: expected a file, seen a pipe"):
        load_settings(env={})
    Path(".env").unlink()
    Path(".env").mkdir()
    assert load_settings(env={}).settings.secrets.cryptopanic_token is None
