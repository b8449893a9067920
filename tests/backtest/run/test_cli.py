"""The flags of a simulation."""

import pytest

from backtest.run.cli import build_parser, settings_of
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
