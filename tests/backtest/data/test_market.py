"""Sources on one clock: warm-up, steps, instruments, funding, and what is said about them."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from backtest.data.market import build_market, read_sources, synthetic_market, under
from backtest.sim_loop import run_simulation
from features.registry import feature_set
from ingest.synthetic import SyntheticFeed
from tests.e2e.support import frame_of, settings_of, write
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


def later(symbol, by, bars=200, seed=2):
    """Candles that begin `by` bars after those of `candles()`."""
    rows = candles(symbol, bars + by, seed=seed).rows[by:].copy()
    return dataclasses.replace(candles(symbol, bars, seed=seed), rows=rows)


def test_steps_count_on_the_clock_that_all_symbols_share():
    market = build_market([candles("ADAUSDT"), later("BTCUSDT", 5)], settings_of(), steps=7)
    assert 7 == len(np.unique(market.decided["ts"]))
    assert [2, 7] == [int(np.sum(market.decided["sym"] == sym)) for sym in (0, 1)]


def test_a_symbol_without_a_bar_among_the_steps_is_told_of(tmp_path):
    market = build_market([candles("ADAUSDT"), later("BTCUSDT", 5)], settings_of(), steps=5)
    assert {1} == set(market.decided["sym"])
    result = run_simulation(data=market, settings=settings_of(), logs_dir=tmp_path)
    (doubt,) = result.report["data_warnings"]
    assert doubt.startswith("ADAUSDT: not decided on: its bars end at 2024-01-01T03:20:00Z, and the last 5 steps")


def test_a_symbol_whose_warm_up_ends_later_is_decided_on_later_and_that_is_said():
    market = build_market([candles("ADAUSDT"), later("BTCUSDT", 50, 150)], settings_of(), steps=130)
    assert [130, 150 - WARMUP] == [int(np.sum(market.decided["sym"] == sym)) for sym in (0, 1)]
    (note,) = [text for text in market.assumptions if "steps were asked for" in text]
    assert f"130 steps were asked for, and {150 - WARMUP} bars come after the {WARMUP} of the warm-up" in note


@pytest.mark.parametrize(
    ("symbols", "words"),
    [
        (("BTCUSDT", "ETHBTC"), "BTCUSDT is quoted in USDT, ETHBTC in BTC: one account has one currency"),
        (("BTCUSDC", "BTCUSDT"), "BTCUSDC is quoted in USDC, BTCUSDT in USDT: one account"),
        (("BTCUSD", "ETHUSDT", "XRPUSDT"), "BTCUSD is quoted in USD, ETHUSDT in USDT: one account"),
    ],
)
def test_one_account_has_one_currency(symbols, words):
    with pytest.raises(ConfigError, match=words):
        build_market([candles(symbol) for symbol in symbols], settings_of())
    with pytest.raises(ConfigError, match=words):
        synthetic_market(settings_of(), ",".join(symbols), "1m", 30)


def test_a_symbol_of_a_currency_nobody_knows_goes_with_others():
    assert ("BTCUSDT", "SPX500") == build_market([candles("BTCUSDT"), candles("SPX500")], settings_of()).symbols


def test_symbols_without_a_common_instant_are_refused():
    says = r"ADAUSDT and BTCUSDT have no instant in common \(ADAUSDT 2024-01-01 to 2024-01-01; BTCUSDT 2024-01-01 to"
    with pytest.raises(ConfigError, match=says):
        build_market([candles("ADAUSDT"), later("BTCUSDT", 200)], settings_of())
    three = [candles("ADAUSDT"), later("BTCUSDT", 100), later("ETHUSDT", 200)]
    with pytest.raises(ConfigError, match=r"ADAUSDT and ETHUSDT have no instant in common"):
        build_market(three, settings_of())


@pytest.mark.parametrize("tf", ["5m", "1h"])
def test_bars_that_close_at_other_times_of_the_day_are_refused(tf):
    one, other = (candles(symbol, 100, tf) for symbol in ("ADAUSDT", "BTCUSDT"))
    shifted = other.rows.copy()
    shifted["ts"] += 2 * NS_PER_MINUTE
    with pytest.raises(ConfigError, match=f"expected {tf} bars that close at the same times, saw ADAUSDT at 2024"):
        build_market([one, dataclasses.replace(other, rows=shifted)], settings_of())


def test_funding_that_does_not_cover_the_candles_is_told(tmp_path):
    market = "bybit_linear"
    day = candles(bars=2_000).rows
    path = write(frame(day), tmp_path / "ohlcv" / market / "1m" / "MOCKUSDT_2024.parquet")
    rates = pd.DataFrame({"timestamp": pd.to_datetime(day["ts"][[959, 1439]]), "funding_rate": [1e-4, 1e-4]})
    write(rates, tmp_path / "funding" / market / "MOCKUSDT_2024.parquet")
    known = build_market(read_sources([path], None, None), settings_of(), data=[path])
    spans = "2024-01-01T01:01 to 2024-01-01T16:00, 2024-01-02T00:00 to 2024-01-02T09:20"
    (doubt,) = known.doubts
    assert f"MOCKUSDT: funding not modelled {spans}: MOCKUSDT_2024.parquet does not cover it" == doubt
    late = build_market(read_sources([path], None, None), settings_of(), steps=500, data=[path])
    assert ["MOCKUSDT: funding not modelled 2024-01-02T01:01 to 2024-01-02T09:20: MOCKUSDT_2024.parquet"] == [
        text.removesuffix(" does not cover it") for text in late.doubts
    ]


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


def feed(market, symbol="BTCUSDT", seed=1):
    """Candles of an exchange's market, whose fees the settings know."""
    return dataclasses.replace(candles(symbol, seed=seed), market=market)


def fees(maker, taker, **more):
    return {
        "instruments__binance_usdm__default__maker_bps": maker,
        "instruments__binance_usdm__default__taker_bps": taker,
    } | more


def test_a_market_under_the_settings_it_was_built_under_is_itself():
    market = build_market([feed("binance_usdm")], settings_of())
    assert market is under(market, settings_of())


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("instruments__binance_usdm__default__maker_bps", 1.0, "maker_bps"),
        ("instruments__binance_usdm__default__taker_bps", 3.0, "taker_bps"),
        ("instruments__binance_usdm__BTCUSDT__tick", 0.5, "tick"),
        ("instruments__binance_usdm__BTCUSDT__lot", 0.5, "lot"),
        ("instruments__binance_usdm__BTCUSDT__min_notional", 7.0, "min_notional"),
        ("instruments__binance_usdm__BTCUSDT__max_leverage", 9.0, "max_leverage"),
        ("instruments__binance_usdm__BTCUSDT__maintenance_margin", 0.01, "maintenance"),
        ("simulation__spread_bps", 4.0, None),
        ("simulation__slippage_bps", 4.0, None),
        ("simulation__impact", 0.7, None),
        ("simulation__volume_cap", 0.5, None),
        ("simulation__bar_delay_ms", 10.0, None),
        ("execution__entry_latency_ms", 10.0, None),
        ("execution__entry", "market", None),
        ("execution__limit_offset_bps", 3.0, None),
        ("execution__limit_bars", 9, None),
    ],
)
def test_a_market_under_other_settings_is_what_they_would_have_built(name, value, field):
    sources = [feed("binance_usdm"), feed("binance_usdm", "ETHUSDT", 2)]
    market, settings = build_market(sources, settings_of()), settings_of(**{name: value})
    found, wanted = under(market, settings), build_market(sources, settings)
    assert wanted.instruments.tobytes() == found.instruments.tobytes()
    assert wanted.assumptions == found.assumptions != market.assumptions or field is not None
    assert wanted.starts == found.starts
    assert found.bars is market.bars
    assert field is None or value == found.instruments[0][field]
    assert under(found, settings_of()).instruments.tobytes() == market.instruments.tobytes()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "simulation__warmup_bars",
            90,
            "simulation.warmup_bars: the market was built with None, saw 90; build the market",
        ),
        ("simulation__seed", 8, "simulation.seed: the mock market was made with 7, saw 8; build the market anew"),
        (
            "simulation__preset",
            "small-tick",
            "simulation.preset: the mock market was made with large-tick, saw small-tick",
        ),
    ],
)
def test_settings_that_would_make_other_bars_are_refused(name, value, words):
    market = build_market([candles()], settings_of())
    with pytest.raises(ConfigError, match=words):
        under(market, settings_of(**{name: value}))


def test_what_was_replaced_by_hand_is_kept_or_contradicted_never_lost():
    market = build_market([feed("binance_usdm")], settings_of())
    mine = market.instruments.copy()
    mine["taker_bps"] = 1.5
    own = dataclasses.replace(market, instruments=mine, assumptions=("mine",))
    kept = under(own, settings_of(simulation__slippage_bps=3.0))
    assert (1.5, ("mine",)) == (kept.instruments["taker_bps"][0], kept.assumptions)
    with pytest.raises(ConfigError, match="instruments: these settings name others than the market was built with"):
        under(own, settings_of(**fees(1.0, 4.0)))
    by_hand = dataclasses.replace(market, built=None)
    assert by_hand is under(by_hand, settings_of(**fees(1.0, 4.0)))


def test_a_run_on_a_market_of_other_fees_charges_and_says_those_of_its_settings(tmp_path):
    def often(frame):
        return frame[["ts"]].assign(side=np.where(np.arange(len(frame)) % 20 == 5, 1.0, np.nan))

    market = build_market([feed("binance_usdm")], settings_of())
    told = {}
    for name, (maker, taker) in {"dear": (2.0, 5.0), "cheap": (0.0, 1.0)}.items():
        settings = settings_of(**fees(maker, taker, execution__entry="market"))
        result = run_simulation(data=market, settings=settings, strategy=often, logs_dir=tmp_path / name, audit=False)
        (said,) = json.loads((tmp_path / name / "run.json").read_text())["instruments"]
        assert (maker, taker) == (said["maker_bps"], said["taker_bps"])
        told[name] = result
    assert 3 < len(told["dear"].trades)
    taken = told["cheap"].trades[told["cheap"].trades["exit_liquidity"] == "taker"]
    notional = taken["qty"] * (taken["entry_price"] + taken["exit_price"])
    assert taken["fees"].to_numpy() == pytest.approx(notional.to_numpy() * 1e-4)
    assert told["cheap"].report["fees"] < told["dear"].report["fees"]


def test_several_frames_are_read_as_several_sources():
    one, other = frame(candles(seed=1).rows), frame(candles("ETHUSDT", seed=2).rows)
    named = read_sources([one, other], "BTCUSDT,ETHUSDT", "1m")
    assert [("BTCUSDT", 200), ("ETHUSDT", 200)] == [(each.symbol, len(each.rows)) for each in named]
    mixed = read_sources([one, candles("ETHUSDT", seed=2)], "BTCUSDT,ETHUSDT", "1m")
    assert ["BTCUSDT", "ETHUSDT"] == [each.symbol for each in mixed]
    assert named[1].rows["close"].tolist() == mixed[1].rows["close"].tolist()
    with pytest.raises(ConfigError, match="symbol"):
        read_sources([one, other], None, "1m")


def test_candles_kept_as_float32_are_traded_as_those_they_were_made_of(tmp_path):
    seen = []
    for kind in (np.float64, np.float32):
        table = frame_of(400).astype(dict.fromkeys(("open", "high", "low", "close", "volume"), kind))
        path = write(table.drop(columns="taker_buy_volume"), tmp_path / kind.__name__ / "MOCKUSDT_1m.parquet")
        result = run_simulation(data=path, settings=settings_of(), logs_dir=tmp_path / "logs")
        seen.append((result.report["trades"], result.report["decision_sha256"], result.market.instruments["tick"]))
    assert seen[0] == seen[1]
    assert seen[0][0] > 0
