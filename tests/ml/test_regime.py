"""Regimes and forecasts against plain re-computations and other libraries, on dice, by hand and on recorded candles."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.check_inputs import halted, random_bars
from features.fold import FeatureSet
from features.registry import feature_set
from features.volatility import ewma_vol
from ml import regime
from ml.regime import (
    EXTREME,
    HIGH,
    LOW,
    NAMES,
    NORMAL,
    UNKNOWN,
    RegimeTracker,
    ar1_half_life,
    compare_forecasts,
    ewma_forecast,
    har_forecast,
    momentum_decay,
    ou_half_life,
    price_regime,
    qlike,
    realised_ahead,
    variance_ratio,
    volatility_regime,
)
from tests.e2e.support import CANDLES, recordings
from utils.errors import ConfigError, DataError

NAN = math.nan
absent = pytest.mark.skipif(not recordings(), reason="the recorded candles are not beside this tree")


def recorded(name):
    return pd.read_parquet(CANDLES / name)


def same(first, second):
    return first.rank.tobytes() == second.rank.tobytes() and first.regime.tobytes() == second.regime.tobytes()


def autoregressive(n, phi, seed=1):
    dice = np.random.default_rng(seed).standard_normal(n)
    x = np.zeros(n)
    for i in range(1, n):
        x[i] = phi * x[i - 1] + dice[i]
    return x


def at_ranks(*ranks, **options):
    """The regimes of values drawn to have about these ranks (to 0.01) among 1,000, after a warm-up that ends normal."""
    usual = np.random.default_rng(5).permutation(np.linspace(0.0, 1.0, 1000))
    usual[-1] = 0.5
    return list(volatility_regime([*usual, *ranks], window=1000, **options).regime[1000:])


# values of few kinds, so that many are equal, some unknown
VOLATILITIES = st.lists(st.one_of(st.integers(0, 12).map(float), st.just(NAN)), max_size=120)


@given(VOLATILITIES, st.integers(34, 50))
@settings(max_examples=40)
def test_a_rank_is_the_percentile_among_the_last_values_this_one_included(values, window):
    found = volatility_regime(values, window=window, least=34).rank
    seen = []
    for value, rank in zip(values, found, strict=True):
        if math.isnan(value):
            assert math.isnan(rank)
            continue
        seen = [*seen, value][-window:]
        below = sum(other < value for other in seen)
        through = sum(other <= value for other in seen)
        expected = (below + through) / (2 * len(seen)) if len(seen) >= 34 else NAN
        assert expected == pytest.approx(rank, rel=1e-15, nan_ok=True)


def test_a_rank_is_the_mean_percentile_of_scipy():
    score = pytest.importorskip("scipy.stats").percentileofscore
    values = np.random.default_rng(2).integers(0, 40, 300).astype(float)
    found = volatility_regime(values, window=100).rank
    assert [score(values[t - 99 : t + 1], values[t], kind="mean") / 100 for t in range(99, 300)] == pytest.approx(
        list(found[99:])
    )


@given(VOLATILITIES, st.integers(1, 119))
@settings(max_examples=40)
def test_history_at_once_in_parts_and_bar_by_bar_give_the_same_bits(values, cut):
    whole = volatility_regime(values, window=40, least=34)
    for parts in ([values[:cut], values[cut:]], [[value] for value in values]):
        tracker = RegimeTracker(40, least=34)
        answers = [tracker.batch(part) for part in parts]
        joined = regime.Regimes(
            np.concatenate([np.zeros(0), *(answer.rank for answer in answers)]),
            np.concatenate([np.zeros(0, np.int8), *(answer.regime for answer in answers)]),
        )
        assert same(whole, joined)


def test_a_tracker_that_was_reset_has_forgotten():
    values = np.random.default_rng(3).random(200)
    tracker = RegimeTracker(50)
    first = tracker.batch(values)
    tracker.reset()
    assert same(first, tracker.batch(values))


def test_regimes_change_after_two_bars_beyond_border_and_band():
    assert [NORMAL, NORMAL, NORMAL, NORMAL] == at_ranks(0.9, 0.5, 0.83, 0.83)
    assert [NORMAL, HIGH, HIGH, HIGH, HIGH, NORMAL] == at_ranks(0.9, 0.9, 0.77, 0.77, 0.7, 0.7)
    assert [NORMAL, NORMAL, LOW, LOW, LOW, NORMAL] == at_ranks(0.3, 0.2, 0.2, 0.36, 0.45, 0.45)


def test_the_extreme_is_entered_and_left_by_half_of_the_room_that_its_border_has():
    assert [NORMAL, HIGH] == at_ranks(0.978, 0.978)
    assert [NORMAL, EXTREME, EXTREME, EXTREME, EXTREME, HIGH] == at_ranks(0.998, 0.998, 0.965, 0.965, 0.9, 0.9)


def test_a_change_goes_as_far_as_its_bars_agree_and_a_turn_begins_anew():
    assert [NORMAL, HIGH, HIGH, EXTREME] == at_ranks(0.998, 0.9, 0.998, 0.998)
    assert [NORMAL, NORMAL, NORMAL, LOW] == at_ranks(0.9, 0.1, 0.9, 0.1, hold=2)[:3] + at_ranks(0.1, 0.1)[1:]


def test_one_bar_suffices_when_the_hold_is_one_and_a_wide_hold_waits():
    assert [LOW, EXTREME] == at_ranks(0.1, 0.998, hold=1)
    assert [NORMAL, NORMAL, NORMAL, HIGH] == at_ranks(0.9, 0.9, 0.9, 0.9, hold=4)


def test_an_unknown_volatility_is_an_unknown_regime_ends_a_run_and_leaves_no_trace_in_ranks():
    assert [NORMAL, UNKNOWN, NORMAL, HIGH] == at_ranks(0.9, NAN, 0.9, 0.9)
    values = np.random.default_rng(4).random(300)
    holed = np.insert(values, [50, 120, 120], NAN)
    kept = ~np.isnan(holed)
    assert (
        volatility_regime(values, window=60).rank.tobytes() == volatility_regime(holed, window=60).rank[kept].tobytes()
    )


def test_the_warm_up_is_unknown():
    found = volatility_regime(np.random.default_rng(6).random(100), window=80)
    assert ["unknown"] == list({NAMES[code] for code in found.regime[:79]})
    assert np.isnan(found.rank[:79]).all()
    assert not np.isnan(found.rank[79:]).any()
    assert UNKNOWN not in found.regime[79:]


def test_a_volatility_that_never_changes_is_normal():
    found = volatility_regime(np.full(100, 3.0), window=50)
    assert {0.5} == set(found.rank[49:])
    assert {NORMAL} == set(found.regime[49:])


@given(st.integers(-20, 20), st.integers(0, 9))
@settings(max_examples=15)
def test_regimes_do_not_depend_on_the_unit(power, seed):
    values = np.random.default_rng(seed).lognormal(0.0, 1.0, 300)
    assert same(volatility_regime(values, window=80), volatility_regime(values * 2.0**power, window=80))


def test_ranks_stay_within_0_and_1():
    found = volatility_regime(np.arange(200.0), window=34).rank[33:]
    assert {1.0 - 0.5 / 34} == set(found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 33}, "34 <= least"),
        ({"window": 100, "least": 101}, "least 101"),
        ({"window": 100, "borders": (0.5, 0.4, 0.9)}, "ascending"),
        ({"window": 100, "borders": (0.5, 0.9)}, "three"),
        ({"window": 100, "borders": (0.5, 0.9, 1.0)}, "between 0 and 1"),
        ({"window": 100, "hold": 0}, "hold"),
        ({"window": 100, "band": -0.1}, "band"),
        ({"window": 100, "band": NAN}, "band"),
    ],
)
def test_impossible_settings_of_a_regime_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        volatility_regime([], **options)


@pytest.mark.parametrize("values", [[1.0, math.inf], [[1.0, 2.0]], ["much"]])
def test_what_is_not_one_column_of_numbers_is_refused(values):
    with pytest.raises(DataError, match="volatility"):
        volatility_regime(values, window=50)


def test_prices_give_the_regime_of_the_registered_volatility_whatever_form_they_come_in():
    bars = random_bars(400, seed=7)
    ranked = volatility_regime(feature_set().batch(bars)["ewma_vol_20_bps"], window=100)
    frame = pd.DataFrame({name: bars[name] for name in ("open", "high", "low", "close", "volume")})
    for prices in (bars, frame, bars["close"], frame["close"], list(bars["close"])):
        assert same(ranked, price_regime(prices, window=100))


def test_a_live_bar_gives_the_regime_that_history_gives():
    bars = random_bars(300, seed=7)
    fold, tracker = FeatureSet((ewma_vol(20),)), RegimeTracker(80)
    live = [tracker.batch(fold.step(bars[i : i + 1])["ewma_vol_20_bps"]) for i in range(len(bars))]
    past = price_regime(bars, window=80)
    assert list(past.regime) == [int(one.regime[0]) for one in live]
    assert past.rank.tobytes() == np.concatenate([one.rank for one in live]).tobytes()


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        (pd.DataFrame({"open": [1.0]}), "column `close`"),
        ([1.0, 0.0], "row 1"),
        ([1.0, NAN], "row 1"),
        (np.concatenate((random_bars(3, 1), random_bars(3, 1))), "several"),
    ],
)
def test_prices_that_are_none_are_refused(prices, words):
    if isinstance(prices, np.ndarray):
        prices["sym"][3:] = 1
    with pytest.raises(DataError, match=words):
        price_regime(prices, window=50)


def test_the_exponential_forecast_is_the_registered_variance_over_the_horizon():
    bars = random_bars(300, seed=8)
    volatility = feature_set().batch(bars)["ewma_vol_20_bps"]
    found = ewma_forecast(bars, horizon=12, half_life=20)
    assert (12 * (volatility * volatility)).tobytes() == found.tobytes()


def test_what_comes_is_the_sum_of_the_squares_that_come():
    r = 1e-4 * np.array([3.0, -1.0, 2.0, 4.0])
    closes = 100.0 * np.exp(np.concatenate(([0.0], np.cumsum(r))))
    assert [10.0, 5.0, 20.0, NAN, NAN] == pytest.approx(list(realised_ahead(closes, horizon=2)), nan_ok=True)


def test_har_is_least_squares_on_the_logs_of_realised_variance():
    ols = pytest.importorskip("statsmodels.api").OLS
    closes = random_bars(2400, seed=9)["close"]
    horizon, terms, train, t = 10, (1, 3, 8), 100, 1990
    squares = (1e4 * np.diff(np.log(closes), prepend=NAN)) ** 2

    def regressors(s):
        return [1.0, *(math.log(squares[s - horizon * k + 1 : s + 1].sum() / k) for k in terms)]

    origins = [t - horizon * k for k in range(1, train + 1)]
    outcomes = [math.log(squares[s + 1 : s + horizon + 1].sum()) for s in origins]
    fit = ols(outcomes, [regressors(s) for s in origins]).fit()
    found = har_forecast(closes, horizon=horizon, terms=terms, train=train)
    for row in (t, t + 9):  # fitted at t, used until the next fit
        expected = math.exp(float(fit.params @ regressors(row)) + fit.scale / 2.0)
        assert expected == pytest.approx(found[row], rel=1e-9)
    assert 10 * (8 + 100) == int(np.argmax(np.isfinite(found)))


def test_har_without_movement_has_no_forecast():
    flat = halted(random_bars(1500, seed=10), 0, 1500)
    assert np.isnan(har_forecast(flat, horizon=10, terms=(1, 2), train=40)).all()
    paused = halted(random_bars(1500, seed=10), 900, 940)
    found = har_forecast(paused, horizon=10, terms=(1, 2), train=40)
    gone = np.flatnonzero(np.isnan(found[420:])) + 420
    assert (909, 939) == (gone.min(), gone.max())  # no span of ten bars moved


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"horizon": 0}, "horizon"),
        ({"horizon": 5, "terms": ()}, "terms"),
        ({"horizon": 5, "terms": (0, 2)}, "terms"),
        ({"horizon": 5, "train": 39}, "40 periods"),
        ({"horizon": 5, "refit": 0}, "refit"),
    ],
)
def test_impossible_settings_of_a_forecast_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        har_forecast([1.0, 2.0], **options)


def test_short_prices_have_no_forecast_yet():
    for forecast in (ewma_forecast, har_forecast, realised_ahead):
        assert [True, True] == list(np.isnan(forecast([1.0, 2.0], horizon=5)))
    assert {0} == {score.n for score in compare_forecasts([1.0, 2.0], horizon=5)}


def test_qlike_is_0_for_the_truth_and_patton_s_loss_otherwise():
    assert 0.0 == qlike([2.0, 3.0], [2.0, 3.0])
    assert 0.5 - math.log(0.5) - 1.0 == pytest.approx(qlike([2.0, NAN, 1.0], [1.0, 1.0, 0.0]))
    assert math.isnan(qlike([NAN], [1.0]))


@given(st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.integers(-10, 10))
@settings(max_examples=30)
def test_qlike_is_at_least_0_and_knows_no_unit(forecast, realised, power):
    loss = qlike([forecast], [realised])
    assert loss >= 0.0
    assert loss == qlike([forecast * 2.0**power], [realised * 2.0**power])


def test_columns_of_different_length_are_refused():
    with pytest.raises(DataError, match="2 for 1"):
        qlike([1.0, 2.0], [1.0])
    with pytest.raises(DataError, match="each of 2"):
        momentum_decay([1.0], [1.0, 2.0])


def foretold(n=60_000, phi=0.9, noise=5.0, seed=11):
    """A signal that decays with phi, and closes whose next return follows it."""
    x = autoregressive(n, phi, seed)
    r = np.zeros(n)
    r[1:] = 1e-4 * (x[:-1] + noise * np.random.default_rng(seed + 1).standard_normal(n - 1))
    return x, 100.0 * np.exp(np.cumsum(r))


def test_the_half_life_of_a_signal_is_that_of_its_own_decay():
    signal, closes = foretold()
    found = momentum_decay(signal, closes)
    # the edge adds up phi^k: A (1 - phi^h), whose half-life is that of phi
    assert found.half_life == pytest.approx(math.log(2.0) / -math.log(0.9), rel=0.08)
    assert found.tau * math.log(2.0) == found.half_life
    # a signal one deviation strong foretells phi^k deviations of it from each bar to come
    assert found.limit_bps == pytest.approx(signal.std() / (1.0 - 0.9), rel=0.08)
    assert (np.diff(found.ic[:4]) > 0.0).all()
    assert found.ic[-1] < found.ic[4]


def test_a_signal_turned_round_has_the_same_decay_downwards():
    signal, closes = foretold(8000)
    up, down = momentum_decay(signal, closes), momentum_decay(-signal, closes)
    assert list(-up.ic) == pytest.approx(list(down.ic))
    assert -up.limit_bps == pytest.approx(down.limit_bps)
    assert up.half_life == pytest.approx(down.half_life, rel=1e-6)


def test_an_information_coefficient_and_its_error_are_those_of_scipy_and_statsmodels():
    spearman = pytest.importorskip("scipy.stats")
    ols = pytest.importorskip("statsmodels.api").OLS
    signal, closes = foretold(3000)
    found = momentum_decay(signal, closes, horizons=(1, 7, 30))
    for k, h in enumerate((1, 7, 30)):
        x, y = signal[:-h], np.log(closes[h:] / closes[:-h])
        assert spearman.spearmanr(x, y).statistic == pytest.approx(found.ic[k])
        standard = [spearman.zscore(spearman.rankdata(side)) for side in (x, y)]
        fit = ols(standard[1], standard[0]).fit(cov_type="HAC", cov_kwds={"maxlags": h, "use_correction": False})
        assert fit.bse[0] == pytest.approx(found.error[k])
        assert (len(x), 1e4 * y.std() * found.ic[k]) == pytest.approx((found.n[k], found.edge_bps[k]))


def test_a_signal_that_says_nothing_has_no_half_life():
    closes = random_bars(5000, seed=12)["close"]
    noise = momentum_decay(np.random.default_rng(13).standard_normal(5000), closes)
    assert (np.abs(noise.ic) < 3.0 * noise.error).all()
    assert math.isnan(noise.half_life)
    for signal in (np.ones(5000), np.full(5000, NAN)):
        found = momentum_decay(signal, closes)
        assert np.isnan(found.ic).all()
        assert math.isnan(found.half_life)


def test_rows_without_a_signal_say_nothing():
    signal, closes = foretold(4000)
    holed = signal.copy()
    holed[::3] = NAN
    found = momentum_decay(holed, closes, horizons=(1, 2, 5000))
    assert [2666, 2665, 0] == list(found.n)
    assert [False, False, True] == list(np.isnan(found.ic))


@pytest.mark.parametrize("horizons", [(), (0, 1), (2, 2), (5, 3)])
def test_horizons_that_do_not_ascend_are_refused(horizons):
    with pytest.raises(ConfigError, match="horizons"):
        momentum_decay([1.0, 2.0], [1.0, 2.0], horizons=horizons)


def test_a_phi_of_nine_tenths_halves_in_six_and_a_half_bars():
    assert 6.578813478960585 == pytest.approx(ar1_half_life(0.9 ** np.arange(60)))
    assert 6.578813478960585 == pytest.approx(ou_half_life(0.9 ** np.arange(60)))


@pytest.mark.parametrize("x", [[], [1.0], [1.0, 2.0], np.ones(50), 1.1 ** np.arange(50), (-0.5) ** np.arange(50)])
def test_what_does_not_decay_has_no_half_life(x):
    assert math.isnan(ar1_half_life(x))
    assert math.isnan(ou_half_life(x))


def test_half_lives_are_those_of_an_independent_regression():
    x = autoregressive(2000, 0.8, seed=14)
    slope = np.polyfit(x[:-1], x[1:], 1)[0]
    assert -math.log(2.0) / math.log(slope) == pytest.approx(ar1_half_life(x))
    change = np.polyfit(x[:-1], np.diff(x), 1)[0]
    assert -math.log(2.0) / math.log(1.0 + change) == pytest.approx(ou_half_life(x))


def test_a_half_life_leaves_out_pairs_with_a_hole_and_knows_no_unit():
    x = autoregressive(500, 0.8, seed=15)
    assert ar1_half_life(x) == pytest.approx(ar1_half_life(3.0 - 1000.0 * x))
    holed = np.concatenate((x, [NAN], x))
    assert ar1_half_life(x) == pytest.approx(ar1_half_life(holed))


@pytest.mark.parametrize("seed", range(8))
def test_a_half_life_is_given_where_dickey_and_fuller_reject_the_unit_root(seed):
    adf = pytest.importorskip("arch.unitroot").ADF
    x = autoregressive(150, 0.93, seed=seed)
    test = adf(x, lags=0, trend="c")
    assert (test.stat < test.critical_values["5%"]) == math.isfinite(ou_half_life(x))
    assert ou_half_life(x, tested=False) == pytest.approx(ar1_half_life(x))


@pytest.mark.parametrize("q", [2, 3, 10, 40])
def test_a_variance_ratio_is_that_of_arch(q):
    arch = pytest.importorskip("arch.unitroot").VarianceRatio
    r = np.random.default_rng(q).standard_t(4, 800) * np.repeat([1.0, 3.0], 400)
    theirs = arch(np.cumsum(np.concatenate(([0.0], r))), lags=q)
    ours = variance_ratio(r, q)
    assert (theirs.vr, theirs.stat, theirs.pvalue) == pytest.approx((ours.ratio, ours.z, ours.p_value), rel=1e-8)


def test_trends_have_a_ratio_above_1_reversals_one_below_and_neither_has_a_unit():
    up = variance_ratio(autoregressive(3000, 0.3), 5)
    down = variance_ratio(autoregressive(3000, -0.3), 5)
    assert up.ratio > 1.3
    assert down.ratio < 0.7
    scaled = variance_ratio(-1e-4 * autoregressive(3000, 0.3), 5)
    assert (up.ratio, up.z) == pytest.approx((scaled.ratio, scaled.z))


def test_a_variance_ratio_without_returns_is_nan_and_with_holes_refused():
    for r in ([], [1.0, 2.0], np.zeros(50)):
        assert math.isnan(variance_ratio(r, 3).ratio)
    with pytest.raises(DataError, match="row 1"):
        variance_ratio([1.0, NAN, 2.0], 2)
    with pytest.raises(ConfigError, match="q"):
        variance_ratio([1.0, 2.0, 3.0], 1)


@absent
def test_recorded_weeks_divide_into_regimes_about_as_the_borders_say():
    candles = recorded("binance_usdm/5m/BTCUSDT_20250119_20251031.parquet")
    found = price_regime(candles, window=2016)
    codes = found.regime[2016 + 20 :]
    shares = np.bincount(codes, minlength=len(NAMES)) / len(codes)
    assert 0.0 == shares[UNKNOWN]
    assert [0.33, 0.47, 0.17, 0.03] == pytest.approx(list(shares[LOW:]), abs=0.05)
    # a regime lasts: without band and hold there are three times as many changes
    eager = volatility_regime(regime._volatility(candles, 20), window=2016, band=0.0, hold=1).regime[2036:]
    assert np.count_nonzero(np.diff(codes)) < 0.5 * np.count_nonzero(np.diff(eager))


@absent
def test_recorded_volatility_fades_within_a_day_and_the_price_does_not_come_back():
    candles = recorded("bybit_linear/5m/BTCUSDT_20250403_20250810.parquet")
    assert 12 < ar1_half_life(np.log(ewma_forecast(candles, horizon=1, half_life=20))) < 288
    assert math.isnan(ou_half_life(np.log(candles["close"])))
    assert 0.9 < variance_ratio(np.diff(np.log(candles["close"])), 5).ratio < 1.1


@absent
@pytest.mark.slow
def test_har_forecasts_the_next_hour_better_than_averages_on_every_long_recording():
    worse = {}
    for path in recordings():
        minutes = {"1m": 1, "5m": 5}.get(path.parent.name)
        candles = pd.read_parquet(path)
        if minutes is None or len(candles) < 30_000:
            continue
        half_lives = tuple(hours // minutes for hours in (20, 60, 240))
        har, *others = compare_forecasts(candles, horizon=60 // minutes, half_lives=half_lives)
        worse |= {(path.parent.parent.name, path.stem, other.name): other for other in others if other.worse <= 0.0}
        assert har.qlike < 0.6
    # the one file without a winner: the month of a halt and of single minutes that move the price by percents
    assert {("binance_usdm_flow", "NEARUSDT_202308_202310", "ewma_20")} == set(worse)
    assert all(abs(other.worse) < 2.0 * other.error for other in worse.values())
