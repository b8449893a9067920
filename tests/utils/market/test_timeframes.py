import pytest

from utils.errors import ConfigError
from utils.market.timeframes import TIMEFRAMES, normalise_timeframe, parse_timeframe, timeframe_of

MINUTE = 60_000_000_000


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("1m", 1), ("3m", 3), ("1h", 60), ("12h", 720), ("1d", 1440), ("1D", 1440), ("4H", 240), ("1w", 10080)],
)
def test_a_timeframe_is_its_length_in_nanoseconds(text, minutes):
    assert minutes * MINUTE == parse_timeframe(text)


def test_names_are_normalised_to_ccxt():
    assert "1d" == normalise_timeframe(" 1D ")


@pytest.mark.parametrize("text", ["7m", "", "1M", "m", "60", "1min", "-1m"])
def test_an_unknown_timeframe_is_refused_and_the_known_ones_named(text):
    with pytest.raises(ConfigError, match="1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h, 1d, 1w"):
        parse_timeframe(text)


def test_a_length_finds_its_name():
    assert list(TIMEFRAMES) == [timeframe_of(ns) for ns in TIMEFRAMES.values()]
    assert timeframe_of(7 * MINUTE) is None


def test_timeframes_stand_in_order_of_length():
    assert sorted(TIMEFRAMES.values()) == list(TIMEFRAMES.values())
