"""The truncation audit catches what looks ahead, and our columns pass it."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from features.check_inputs import random_bars
from features.registry import FEATURES, feature_set
from ingest.files.candles import load_candles
from ml.audit import Leak, leaks, truncation_audit
from ml.market.forecasts import ewma_forecast, har_forecast, realised_ahead
from ml.patterns import PATTERNS, detect_patterns
from ml.regime import price_regime
from tests.e2e.support import CANDLES, recordings
from utils.errors import ConfigError, DataError, InvariantError

NAN = math.nan
absent = pytest.mark.skipif(not recordings(), reason="the recorded candles are not beside this tree")


def frame_of(bars):
    frame = pd.DataFrame({name: bars[name] for name in ("open", "high", "low", "close", "volume")})
    frame.index = pd.to_datetime(bars["ts"])
    return frame


def smooth(x):
    return pd.Series(x).rolling(5, center=True, min_periods=1).mean().to_numpy()


#: Each looks ahead in a way that happened to somebody.
LEAKY = {
    "centred mean": smooth,
    "rank in the whole sample": lambda x: rankdata(x) / len(x),
    "standardised by the whole sample": lambda x: (x - x.mean()) / x.std(),
    "the next value": lambda x: np.append(x[1:], NAN),
    "the last value": lambda x: x - x[-1],
    "highest yet to come": lambda x: np.maximum.accumulate(x[::-1])[::-1],
    "filled backwards": lambda x: pd.Series(np.where(x > np.median(x), x, NAN)).bfill().to_numpy(),
    "number of rows": lambda x: np.full(len(x), float(len(x))),
}

#: None of these does.
HONEST = {
    "itself": lambda x: x,
    "mean so far": lambda x: np.cumsum(x) / np.arange(1, len(x) + 1),
    "the value before": lambda x: np.append(NAN, x[:-1]),
    "rolling mean": lambda x: pd.Series(x).rolling(5).mean().to_numpy(),
    "sign": lambda x: (x > 0.0).astype(np.int8),
    "word": lambda x: np.where(x > 0.0, "up", "down").astype(object),
    "never known": lambda x: np.full(len(x), NAN),
}


def columns(x):
    return {name: column(x) for name, column in (LEAKY | HONEST).items()}


def test_every_leak_is_caught_and_no_honest_column_is_accused():
    x = np.random.default_rng(1).standard_normal(200)
    assert set(LEAKY) == {leak.column for leak in leaks(columns, x)}


@pytest.mark.parametrize("name", LEAKY)
def test_a_column_that_looks_ahead_is_refused_by_its_name(name):
    x = np.random.default_rng(2).standard_normal(100)
    with pytest.raises(InvariantError, match=name):
        truncation_audit(lambda market: {name: LEAKY[name](market), **{k: f(market) for k, f in HONEST.items()}}, x)


def test_a_leak_tells_the_cut_and_the_first_row_that_changed():
    x = np.random.default_rng(3).standard_normal(60)
    assert (Leak("column", 30, 29, "cut off"), Leak("column", 30, 29, "others")) == leaks(smooth, x, cuts=[30])[:2]


def test_other_rows_catch_what_a_shorter_market_does_not():
    def cunning(x):
        """Looks ahead only where there is a row to look at, as a join that falls back on the row itself does."""
        return np.append(x[1:], x[-1]) if len(x) == 50 else x

    x = np.arange(50.0)
    found = leaks(lambda market: {"value": market[:,], "next": cunning(market)}, x, cuts=[20])
    assert {"next"} == {leak.column for leak in found}


def test_the_smallest_difference_counts_and_the_sign_of_zero_too():
    x = np.random.default_rng(4).standard_normal(50)
    assert leaks(lambda m: m * (1.0 + 2.0**-52 * (len(m) == 50)), x)
    assert leaks(lambda m: np.copysign(0.0, m[-1] * np.ones(len(m)) if len(m) == 50 else -m[0] * np.ones(len(m))), x)


def test_frames_rows_and_columns_are_audited_alike():
    bars = random_bars(300, seed=5)
    for market in (bars, frame_of(bars), frame_of(bars).reset_index(names="timestamp")):
        assert () == leaks(lambda m: {"change": np.diff(m["close"], prepend=NAN)}, market)
        assert leaks(lambda m: {"change": np.diff(m["close"], append=NAN)}, market)
    assert () == leaks(lambda m: m.rolling(3).mean(), frame_of(bars))


def test_later_rows_stay_legal_candles_at_their_own_times():
    bars = random_bars(300, seed=6)
    seen = []
    leaks(lambda m: seen.append(m) or m["close"], bars, cuts=[100])
    other = seen[-1]
    assert (other[:101].tobytes(), other["ts"].tobytes()) == (bars[:101].tobytes(), bars["ts"].tobytes())
    assert not (other["close"][101:] == bars["close"][101:]).any()
    assert (other["low"] <= np.minimum(other["open"], other["close"])).all()
    assert (other["high"] >= np.maximum(other["open"], other["close"])).all()
    assert (other["taker_buy"] <= other["volume"]).all()


def test_columns_may_spoil_their_own_copy_of_the_market_only():
    x = np.random.default_rng(7).standard_normal(80)
    before = x.copy()

    def spoiling(market):
        market += 1.0
        return market

    assert () == leaks(spoiling, x)
    assert before.tobytes() == x.tobytes()


def test_equal_seeds_draw_equal_cuts():
    x = np.random.default_rng(8).standard_normal(200)
    assert leaks(smooth, x, seed=3) == leaks(smooth, x, seed=3)
    assert leaks(smooth, x, seed=3) != leaks(smooth, x, seed=4)


@pytest.mark.parametrize("cuts", [[], [-1], [49], [10, 60]])
def test_a_cut_needs_a_row_after_it(cuts):
    with pytest.raises(ConfigError, match="0 to 48"):
        leaks(smooth, np.zeros(50), cuts=cuts)


def test_a_column_needs_a_value_for_each_row_and_to_stay_there():
    x = np.random.default_rng(9).standard_normal(50)
    with pytest.raises(InvariantError, match="pad with NaN"):
        leaks(lambda m: {"short": m[1:]}, x)
    with pytest.raises(InvariantError, match="columns change"):
        leaks(lambda m: {str(len(m)): m}, x)


def ours(market):
    """The columns of this package that are made of prices."""
    closes = market["close"]
    regimes = price_regime(closes, window=400)
    return {
        "rank": regimes.rank,
        "regime": regimes.regime,
        "ewma": ewma_forecast(closes, horizon=12),
        "har": har_forecast(closes, horizon=12, terms=(1, 3, 8), train=60),
        "har fitted often": har_forecast(closes, horizon=6, terms=(1, 3), train=40, refit=5),
    }


def test_regimes_and_forecasts_know_no_later_row():
    truncation_audit(ours, random_bars(2000, seed=10))
    truncation_audit(ours, frame_of(random_bars(2000, seed=11, jumps=True)), cuts=[600, 1501])


def test_what_comes_is_caught():
    with pytest.raises(InvariantError, match="ahead"):
        truncation_audit(lambda m: {"ahead": realised_ahead(m, horizon=5)}, random_bars(300, seed=12))


@pytest.mark.parametrize("seed", [13, 14])
def test_no_registered_feature_knows_a_later_row(seed):
    bars = random_bars(1500, seed=seed, minutes=30)
    assert len(FEATURES) == len(feature_set().names)
    truncation_audit(lambda m: feature_set().batch(m), bars, cuts=[0, 40, 700, 1200, 1498], seed=seed)


def test_no_pattern_knows_a_later_row():
    pytest.importorskip("talib")
    bars = frame_of(random_bars(1500, seed=15))
    assert len(PATTERNS) == detect_patterns(bars).shape[1]
    truncation_audit(detect_patterns, bars, cuts=[0, 1, 13, 400, 800, 1498])


@absent
def test_no_column_knows_a_later_row_of_recorded_candles():
    pytest.importorskip("talib")
    candles = pd.read_parquet(CANDLES / "bybit_linear/1m/SOLUSDT_20250529_20250629.parquet")[:5000]
    truncation_audit(ours, candles, seed=3)
    truncation_audit(detect_patterns, candles, seed=4)


@absent
@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("bybit_linear/1m/SOLUSDT_20250529_20250629", 30_000),  # no taker flow
        ("binance_usdm_flow/1m/NEARUSDT_202308_202310", 57_500),  # percents lost after 361, a halt from 3494 to 3512
    ],
)
def test_no_registered_feature_knows_a_later_row_of_recorded_candles(name, first):
    bars = load_candles(CANDLES / f"{name}.parquet").rows[first : first + 5000]
    truncation_audit(lambda m: feature_set().batch(m), bars, cuts=[0, 40, 361, 3500, 4998], seed=5)


@pytest.mark.parametrize("kind", ["object", "str", "datetime64[ns]", "boolean", "Int64", "category"])
def test_what_is_missing_is_no_leak_in_a_column_of_any_kind(kind):
    market = pd.DataFrame({"close": np.arange(1.0, 101.0)})

    def honest(rows):
        return pd.DataFrame({"none": pd.Series([None] * len(rows), dtype=kind)})

    assert leaks(honest, market) == ()


def test_a_leak_of_words_is_caught():
    market = pd.DataFrame({"close": np.arange(1.0, 101.0)})
    assert leaks(lambda rows: pd.DataFrame({"word": rows["close"].shift(-1).astype("str")}), market, cuts=[50])


@pytest.mark.parametrize(
    ("market", "sentence"),
    [
        (None, "one column"),
        ("close", "expected a DataFrame, rows or numbers"),
        (np.ones((5, 2)), r"got shape \(5, 2\)"),
        (pd.DataFrame(np.ones((9, 2)), columns=["close", "close"]), "'close' twice"),
    ],
)
def test_what_is_no_market_is_refused(market, sentence):
    with pytest.raises(DataError, match=sentence):
        leaks(lambda rows: rows, market)


@pytest.mark.parametrize("answer", [None, 1.0, "close"])
def test_an_answer_without_rows_is_refused(answer):
    with pytest.raises(InvariantError, match="a value for each of 9 rows"):
        leaks(lambda _: answer, np.arange(9.0))
