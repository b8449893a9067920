"""Sources on one clock: warm-up, steps, instruments, funding, and what is said about them."""

import numpy as np
import pandas as pd
import pytest

from backtest.data.market import build_market, read_sources, synthetic_market
from features.registry import feature_set
from ingest.synthetic import SyntheticFeed
from tests.e2e.support import settings_of, write
from utils.errors import ConfigError, DataError
from utils.rows import NS_PER_MINUTE

WARMUP = feature_set().warmup


def candles(symbol="MOCKUSDT", bars=200, tf="1m", seed=1):
    return SyntheticFeed(symbol, tf, seed, "large-tick").candles(bars)


def frame(rows):
    """BAR rows as a recorded file has them."""
    columns = {name: rows[name] for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame({"timestamp": pd.to_datetime(rows["ts"] - NS_PER_MINUTE), **columns})


def test_decisions_begin_after_the_warm_up():
    market = build_market([candles()], settings_of())
    assert 200 - WARMUP == len(market.decided)
    assert market.starts == (market.bars["ts"][WARMUP],)


def test_steps_are_the_last_bars():
    market = build_market([candles()], settings_of(), steps=7)
    assert list(market.bars["ts"][-7:]) == list(market.decided["ts"])


def test_a_warm_up_of_the_settings_holds():
    assert 190 == len(build_market([candles()], settings_of(simulation__warmup_bars=10)).decided)
    assert 200 == len(build_market([candles()], settings_of(simulation__warmup_bars=0)).decided)


def test_symbols_stand_in_order_of_name_whatever_the_order_given():
    several = [candles("XRPUSDT", seed=1), candles("ADAUSDT", seed=2), candles("BTCUSDT", seed=3)]
    markets = [build_market(order, settings_of()) for order in (several, several[::-1])]
    assert ("ADAUSDT", "BTCUSDT", "XRPUSDT") == markets[0].symbols == markets[1].symbols
    for name in markets[0].bars.dtype.names:
        np.testing.assert_array_equal(markets[0].bars[name], markets[1].bars[name])
    keys = [(int(bar["ts"]), int(bar["sym"])) for bar in markets[0].bars]
    assert sorted(keys) == keys


def test_putting_sources_together_leaves_them_as_they_were():
    one, two = candles("ADAUSDT"), candles("BTCUSDT")
    build_market([two, one], settings_of())
    assert {0} == set(one.rows["sym"]) | set(two.rows["sym"])


def test_the_tick_is_read_from_the_warm_up_bars_alone():
    one = candles()
    one.rows["close"][WARMUP + 1] = one.rows["high"][WARMUP + 1] = 0.123456789
    one.rows["low"][WARMUP + 1] = 0.1
    unknown = type(one)(**{name: getattr(one, name) for name in one.__slots__} | {"market": "somewhere"})
    market = build_market([unknown], settings_of())
    assert 1e-4 == market.instruments[0]["tick"]
    assert f"MOCKUSDT: tick 0.0001 inferred from the decimals of {WARMUP} warm-up bars" in market.assumptions
    assert "MOCKUSDT: lot 0.001 assumed" in market.assumptions


def test_instruments_come_from_settings_where_they_are_known():
    one = candles("BTCUSDT")
    known = type(one)(**{name: getattr(one, name) for name in one.__slots__} | {"market": "bybit_linear"})
    row = build_market([known], settings_of()).instruments[0]
    assert (0.1, 0.001, 5.0, 2.0, 5.5, 100.0) == tuple(
        float(row[name]) for name in ("tick", "lot", "min_notional", "maker_bps", "taker_bps", "max_leverage")
    )


def test_the_mock_market_has_decidable_bars_as_asked_and_says_what_it_is():
    market = synthetic_market(settings_of(), "ETHUSDT,BTCUSDT", "1m", 30)
    assert (True, ("synthetic", "synthetic"), 60) == (market.synthetic, market.sources, len(market.decided))
    assert list(market.bars["close"][market.bars["sym"] == 0]) != list(market.bars["close"][market.bars["sym"] == 1])


def test_making_the_mock_market_tells_how_far_it_is():
    told = []
    synthetic_market(settings_of(), "ETHUSDT,BTCUSDT", "1m", 30, lambda done, total: told.append((done, total)))
    assert {2 * (30 + WARMUP)} == {total for _, total in told}
    assert sorted(told) == told
    assert told[-1][0] == told[-1][1]


def test_gaps_and_empty_bars_are_described_and_not_filled(tmp_path):
    rows = np.delete(candles().rows, [100, 101, 102])
    rows["volume"][50] = 0.0
    path = write(frame(rows), tmp_path / "MOCKUSDT_1m.parquet")
    market = build_market(read_sources(path, None, None), settings_of())
    (file,) = market.files
    assert (197, 1, [3]) == (file["bars"], file["zero_volume_bars"], [gap["missing"] for gap in file["gaps"]])
    assert 197 == len(market.bars)


def test_funding_beside_the_candles_is_found_and_said(tmp_path):
    rows = candles().rows
    path = write(frame(rows), tmp_path / "ohlcv" / "bybit_linear" / "1m" / "MOCKUSDT_2024.parquet")
    stamps = pd.to_datetime(rows["ts"][[10, 90]])
    rates = pd.DataFrame({"timestamp": stamps, "funding_rate": [1e-4, -2e-4]})
    write(rates, tmp_path / "funding" / "bybit_linear" / "MOCKUSDT_2024.parquet")
    market = build_market(read_sources([path], None, None), settings_of(), data=[path])
    assert [1e-4, -2e-4] == list(market.funding["rate"])
    (note,) = [text for text in market.assumptions if "funding" in text]
    assert note.startswith("MOCKUSDT: funding from MOCKUSDT_2024.parquet (2 settlements, 2024-01-01 to 2024-01-01")
    without = build_market(read_sources([path], None, None), settings_of())
    assert "MOCKUSDT: funding not modelled" in without.assumptions


@pytest.mark.parametrize(
    ("several", "error", "words"),
    [
        ([candles("ADAUSDT"), candles("ADAUSDT")], ConfigError, "each symbol once, saw ADAUSDT twice"),
        ([candles("ADAUSDT"), candles("BTCUSDT", tf="5m")], ConfigError, "one timeframe on one clock, saw 1m, 5m"),
        ([candles(bars=WARMUP)], DataError, f"more than {WARMUP} bars .the warm-up. to decide on, saw {WARMUP}"),
    ],
)
def test_sources_that_do_not_fit_are_refused(several, error, words):
    with pytest.raises(error, match=words):
        build_market(several, settings_of())


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match=r"simulation\.preset: expected one of"):
        synthetic_market(settings_of(simulation__preset="marsh"), "BTCUSDT", "1m", 30)
