"""Values of the bar features: golden vectors, pandas, and what a window may remember."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmarks import feature_peers
from features.check_inputs import hard_inputs, random_bars
from features.checks import check_feature
from features.fold import FeatureSet
from features.folds import technical, volatility, volume
from features.folds.windows import half_life_weight
from features.registry import FEATURES
from tests.places import DATA
from utils.rows import BAR, NS_PER_MINUTE

EXACT = 1e-9

GOLDEN = (
    volatility.parkinson(5),
    volatility.garman_klass(5),
    volatility.rogers_satchell(5),
    volatility.yang_zhang(4),
    volatility.atr(3),
    volatility.atr_bps(3),
)
#: What the default vector does without.
SPARE = (
    volatility.rogers_satchell(),
    volatility.yang_zhang(),
    volatility.atr_bps(),
    volatility.time_of_day_vol(),
    volume.volume_zscore(),
)
ALL = FEATURES + SPARE
SMALL = (
    technical.log_return(1),
    technical.gap(),
    technical.run(),
    technical.upper_wick(),
    technical.to_funding(),
    volume.volume_ratio(3),
    technical.log_return(3),
    technical.efficiency(3),
    volume.taker_flow(1),
    volume.taker_flow(2),
    volume.candle_flow_proxy(3),
    technical.zscore(3),
    technical.rsi(2),
    technical.range_position(2),
    technical.breakout(2, atr_n=2),
    technical.body_ratio(),
    technical.close_location(),
    volume.amihud(2),
    volume.volume_zscore(3),
)


def bars_of(close, *, opened=None, high=None, low=None, volume=None, taker_buy=None):
    close = np.asarray(close, np.float64)
    bars = np.zeros(len(close), BAR)
    bars["ts"] = NS_PER_MINUTE * np.arange(1, len(close) + 1)
    bars["close"] = close
    bars["open"] = close if opened is None else opened
    bars["high"] = np.maximum(bars["open"], close) if high is None else high
    bars["low"] = np.minimum(bars["open"], close) if low is None else low
    bars["volume"] = 1.0 if volume is None else volume
    bars["taker_buy"] = math.nan if taker_buy is None else taker_buy
    return bars


@pytest.fixture(scope="module")
def golden():
    bars = bars_of(
        [101, 102, 101, 103, 104],
        opened=[100, 101, 102, 101, 103],
        high=[102, 103, 103, 104, 105],
        low=[99, 100, 100.5, 100, 102],
    )
    return FeatureSet(GOLDEN).batch(bars)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("parkinson_5_bps", 0.01850510),
        ("garman_klass_5_bps", 0.02037536),
        ("rogers_satchell_5_bps", 0.01999848),
        ("yang_zhang_4_bps", 0.01930848),
    ],
)
def test_range_volatility_equals_its_golden_vector(golden, name, expected):
    assert round(golden[name][-1] / 1e4, 8) == expected


def test_yang_zhang_weight_of_four_pairs():
    assert round(volatility.yang_zhang(4).params[1], 7) == 0.1130820


def test_atr_equals_its_golden_vector(golden):
    assert [3.1666667, 3.1111111] == golden["atr_3"][3:].round(7).tolist()
    assert golden["atr_3_bps"][4] == pytest.approx(1e4 * golden["atr_3"][4] / 104)


def test_weight_of_a_half_life_of_twenty():
    assert round(half_life_weight(20), 4) == 0.0341


def small(bars):
    return FeatureSet(SMALL).batch(bars)


def test_six_and_a_half_of_ten_bought_is_a_flow_of_three_tenths():
    assert small(bars_of([1.0], volume=10.0, taker_buy=6.5))["taker_flow_1"][0] == pytest.approx(0.3)


def test_flow_over_two_bars_weighs_by_volume():
    out = small(bars_of([1.0, 1.0], volume=[10.0, 30.0], taker_buy=[10.0, 0.0]))
    assert out["taker_flow_2"][1] == pytest.approx(-0.5)


def test_flow_over_two_bars_uses_the_one_that_tells():
    out = small(bars_of([1.0, 1.0, 1.0], volume=[10.0, 30.0, 5.0], taker_buy=[10.0, math.nan, math.nan]))
    assert out["taker_flow_2"][1] == 1.0
    assert math.isnan(out["taker_flow_2"][2])


def test_efficiency_of_a_straight_line_is_one():
    assert small(bars_of([1.0, 2.0, 3.0, 4.0]))["efficiency_3"][3] == 1.0


def test_efficiency_of_two_steps_forward_and_one_back_is_a_third():
    assert small(bars_of([1.0, 2.0, 3.0, 2.0]))["efficiency_3"][3] == pytest.approx(1 / 3)


def test_returns_are_logarithmic_and_in_bps():
    out = small(bars_of([100.0, 101.0, 102.0, 110.0]))
    assert out["return_1_bps"][3] == pytest.approx(1e4 * math.log(110 / 102))
    assert out["return_3_bps"][3] == pytest.approx(1e4 * math.log(1.1))


def test_candle_proxy_signs_volume_by_colour():
    out = small(bars_of([2.0, 1.0, 1.0], opened=[1.0, 2.0, 1.0], volume=[4.0, 1.0, 3.0]))
    assert out["candle_flow_proxy_3"][2] == pytest.approx(3 / 8)


def test_rsi_of_rises_only_is_a_hundred_and_of_falls_only_nought():
    assert small(bars_of([1.0, 2.0, 3.0, 4.0]))["rsi_2"][3] == 100.0
    assert small(bars_of([4.0, 3.0, 2.0, 1.0]))["rsi_2"][3] == 0.0


def test_breakout_counts_true_ranges_outside_the_channel_before():
    bars = bars_of([10.0, 10.0, 10.0, 14.0], high=[11, 11, 11, 14], low=[9, 9, 9, 10])
    out = small(bars)
    assert out["breakout_2"][2] == 0.0
    assert out["breakout_2"][3] == pytest.approx((14 - 11) / 3.0)


def test_body_and_close_location_of_a_candle():
    out = small(bars_of([13.0], opened=[11.0], high=[14.0], low=[10.0]))
    assert out["body_ratio"][0] == 0.5
    assert out["close_location"][0] == 0.5


def test_amihud_leaves_out_bars_without_volume():
    out = small(bars_of([100.0, 101.0, 101.0], volume=[1.0, 2e6, 0.0]))
    assert out["amihud_2"][2] == pytest.approx(1e4 * math.log(1.01) / (101 * 2))


def test_gap_is_the_jump_from_the_close_before_in_bps():
    out = small(bars_of([100.0, 102.0, 102.0, 99.0], opened=[99.0, 101.0, 102.0, 100.0]))
    assert math.isnan(out["gap_bps"][0])
    expected = [1e4 * math.log(1.01), 0.0, 1e4 * math.log(100 / 102)]
    assert pytest.approx(expected, rel=1e-12) == out["gap_bps"][1:].tolist()


def test_run_counts_closes_one_way_and_begins_anew_at_a_turn():
    out = small(bars_of([5.0, 6.0, 7.0, 8.0, 7.0, 6.0, 6.0, 6.0, 7.0, 6.0]))
    assert math.isnan(out["run"][0])
    assert [1.0, 2.0, 3.0, -1.0, -2.0, 0.0, 0.0, 1.0, -1.0] == out["run"][1:].tolist()


def test_upper_wick_is_what_stands_over_the_body():
    up, down = ({"opened": [o], "high": [14.0], "low": [10.0]} for o in (11.0, 13.0))
    assert 0.25 == small(bars_of([13.0], **up))["upper_wick"][0]
    assert 0.25 == small(bars_of([11.0], **down))["upper_wick"][0]
    assert 1.0 == small(bars_of([10.0], opened=[10.0], high=[14.0], low=[10.0]))["upper_wick"][0]
    assert math.isnan(small(bars_of([10.0]))["upper_wick"][0])


@pytest.mark.parametrize(
    ("clock", "minutes"),
    [("00:00", 480), ("00:01", 479), ("07:59", 1), ("08:00", 480), ("12:30", 210), ("16:00", 480), ("23:59", 1)],
)
def test_minutes_to_the_next_of_three_settlements_a_day(clock, minutes):
    bars = bars_of([1.0])
    bars["ts"] = np.datetime64(f"2024-02-29T{clock}", "ns").astype(np.int64)
    assert minutes == small(bars)["to_funding_min"][0]


def test_volume_ratio_is_volume_over_its_mean():
    out = small(bars_of([1.0] * 7, volume=[1.0, 2.0, 3.0, 7.0, 0.0, 0.0, 0.0]))["volume_ratio_3"]
    assert [True, True, False, False, False, False, True] == np.isnan(out).tolist()
    assert pytest.approx([1.5, 1.75, 0.0, 0.0]) == out[2:6].tolist()


def test_volume_ratio_of_one_bar_alone_is_the_length_of_the_window():
    assert 3.0 == small(bars_of([1.0] * 3, volume=[0.0, 0.0, 0.3]))["volume_ratio_3"][2]


def test_rogers_satchell_of_prices_a_rounding_apart_is_zero():
    # the high is the next float above the open, and the body lies across the end of the logarithm's series
    start, high, close = 99.48768535793229, 99.4876853579323, 95.58620750075849
    assert math.nextafter(start, math.inf) == high
    one = FeatureSet((volatility.rogers_satchell(1),))
    assert 0.0 == one.batch(bars_of([close], opened=[start], high=[high]))["rogers_satchell_1_bps"][0]


@pytest.fixture(scope="module")
def sample():
    bars = random_bars(5_000, seed=21)
    return bars, FeatureSet(ALL).batch(bars)


def by_pandas(bars):
    """The features that pandas can say too: the registered ones as the benchmark has them, and the spare ones."""
    frame = pd.DataFrame(feature_peers.columns(bars))
    o, h, low, c, v = (frame[field] for field in ("open", "high", "low", "close", "volume"))
    rogers = np.log(h / c) * np.log(h / o) + np.log(low / c) * np.log(low / o)
    k = 0.34 / (1.34 + 21 / 19)
    yz = (
        np.log(o / c.shift(1)).rolling(20).var()
        + k * np.log(c / o).rolling(20).var()
        + (1 - k) * rogers.rolling(20).mean()
    )
    lv = np.log(v)
    said = feature_peers.by_pandas(frame, tick=0.1)
    return said | {
        "rogers_satchell_20_bps": 1e4 * np.sqrt(rogers.rolling(20).mean()),
        "yang_zhang_20_bps": 1e4 * np.sqrt(yz),
        "atr_14_bps": 1e4 * said["atr_14"] / c,
        "volume_zscore_20": (lv - lv.rolling(20).mean()) / lv.rolling(20).std(),
    }


def test_features_equal_pandas(sample):
    bars, out = sample
    said = by_pandas(bars)
    assert {f.name for f in ALL} - set(said) == {"time_of_day_vol"}
    for feature in ALL:
        if feature.name not in said:
            continue
        known = np.isfinite(out[feature.name])
        ours, theirs = out[feature.name][known], said[feature.name].to_numpy()[known]
        room = EXACT * max(1.0, float(np.abs(theirs).max()))
        if feature.name == "roll_spread_20_bps":
            # a root near 0 magnifies the rounding of both: compare under it
            ours, theirs = ours**2, theirs**2
            room = EXACT * float(theirs.max())
        assert float(np.abs(ours - theirs).max()) <= room, feature.name


def test_features_are_the_same_at_any_level_of_price(sample):
    bars, out = sample
    scaled = bars.copy()
    for field in ("open", "high", "low", "close"):
        scaled[field] *= 2.0**-20
    again = FeatureSet(ALL).batch(scaled)
    for name in set(out.dtype.names) - {"atr_14", "amihud_20"}:
        np.testing.assert_allclose(again[name], out[name], rtol=1e-6, atol=1e-6, err_msg=name)


#: All windows of 20 bars; exponential averages (volatilities, and the true range of a breakout) remember all.
WINDOWED = [
    feature
    for feature in ALL
    if feature.name.endswith(("_20", "_20_bps")) and not feature.name.startswith(("ewma", "adjusted", "breakout"))
]


@pytest.mark.parametrize("feature", WINDOWED, ids=lambda feature: feature.name)
def test_window_remembers_nothing_older_than_itself(sample, feature):
    bars, out = sample
    wild = bars[:1_000].copy()
    for field in ("open", "high", "low", "close"):
        wild[field] *= 1e3
    wild["volume"] *= 1e9
    wild["taker_buy"] *= 1e9
    again = FeatureSet(ALL).batch(np.concatenate((wild, bars[1_000:2_000])))[feature.name]
    later = slice(1_000 + feature.warmup + 1, 2_000)
    np.testing.assert_allclose(again[later], out[feature.name][later], rtol=1e-9, atol=1e-9)


def test_quiet_half_hours_of_the_day_have_a_ratio_below_one():
    minutes = np.arange(10 * 1440)
    quiet = (minutes + 1) % 1440 < 720
    close = 100.0 * np.exp(np.cumsum(np.where(minutes % 2, 1.0, -1.0) * np.where(quiet, 1e-4, 3e-4)))
    out = FeatureSet((volatility.time_of_day_vol(), volatility.adjusted_vol())).batch(bars_of(close))
    last_day = slice(9 * 1440, None)
    assert {0.5, 1.5} == set(out["time_of_day_vol"][last_day].round(1))
    assert 2.0 == pytest.approx(float(np.median(out["adjusted_vol_20_bps"][last_day])), rel=0.05)


@pytest.mark.parametrize(
    "file", ["binance_usdm_flow/1m/AVAXUSDT_202309.parquet", "binance_usdm/5m/BTCUSDT_20250119_20251031.parquet"]
)
def test_recorded_file_gives_the_same_bytes_in_batch_and_stream(file):
    path = DATA / "ohlcv" / file
    if not path.exists():
        pytest.skip("recorded data are not beside this repository")
    frame = pd.read_parquet(path).iloc[:20_000]
    bars = np.zeros(len(frame), BAR)
    step = frame["timestamp"].iloc[1] - frame["timestamp"].iloc[0]
    bars["ts"] = (frame["timestamp"] + step).astype("datetime64[ns]").astype(np.int64)
    for field in ("open", "high", "low", "close", "volume"):
        bars[field] = frame[field]
    bars["taker_buy"] = frame.get("taker_buy_volume", math.nan)
    whole = FeatureSet(ALL).batch(bars)
    stream = FeatureSet(ALL)
    assert b"".join(stream.step(bars[i : i + 1]).tobytes() for i in range(len(bars))) == whole.tobytes()
    for feature in ALL:
        expected = feature.undefined.allowed(bars)
        expected[: feature.warmup] = True
        assert np.flatnonzero(expected).tolist() == np.flatnonzero(np.isnan(whole[feature.name])).tolist()


def test_windows_of_other_lengths_conform_too():
    features = (
        technical.log_return(60),
        technical.zscore(60),
        technical.zscore(2),
        technical.efficiency(2),
        volume.roll_spread(40),
        technical.range_position(33),
    )
    for feature in features:
        check_feature(feature, among=features)


def test_hard_inputs_are_legal_bars():
    for name, bars in hard_inputs():
        assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all(), name
        assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all(), name
        assert (bars["low"] > 0).all(), name
