"""The flags of a simulation."""

import pytest

from backtest.run.cli import build_parser, main, settings_of
from utils.errors import ConfigError


@pytest.mark.parametrize(
    "words", [["--data", "a.csv", "b.csv"], ["--data", "a.csv", "--data", "b.csv"], ["--data=a.csv", "--data", "b.csv"]]
)
def test_several_files_stand_behind_one_flag_or_several(words):
    flags = build_parser(real=False).parse_args([*words, "--quiet", "--funding", "c", "d"])
    assert (["a.csv", "b.csv"], ["c", "d"]) == (flags.data, flags.funding)


@pytest.mark.parametrize("symbol", ["BTCUSDT_240329", "BTCUSD_PERP"])
def test_another_instrument_is_refused_behind_the_flag(symbol):
    with pytest.raises(ConfigError, match=r"a dated contract|settled in its coin"):
        settings_of(build_parser(real=False).parse_args(["--symbol", symbol]))


@pytest.mark.parametrize("names", ["BTCUSDT,BTCUSDT", "BTCUSDT,ETHUSDT,btc/usdt"])
def test_each_symbol_is_named_once(tmp_path, capsys, names):
    assert 2 == main(["--symbol", names, "--logs-dir", str(tmp_path)])
    assert "error: --symbol: expected each symbol once, saw BTCUSDT twice; name it once\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--exchange", "binance"], "--exchange: the mock market is of no exchange; add --slow or --live"),
        (["--market-type", "spot"], "--market-type: the mock market is of no exchange; add --slow or --live"),
        (["--exchange-for-ob", "binance"], "--exchange-for-ob: a book stands beside live bars only"),
        (["--live", "--slow"], "--slow: a live run decides bars as they close, --slow the last closed ones"),
    ],
)
def test_a_flag_without_effect_is_refused(capsys, words, says):
    assert 2 == main(words)
    assert f"error: {says}" in capsys.readouterr().err
