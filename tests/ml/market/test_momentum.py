"""Decay, half-lives and variance ratios against other libraries, on series whose truth is known and on candles."""

import math

import numpy as np
import pandas as pd
import pytest

from features.check_inputs import random_bars
from ml.market.forecasts import ewma_forecast
from ml.market.momentum import ar1_half_life, momentum_decay, ou_half_life, variance_ratio
from tests.e2e.support import CANDLES, recordings
from utils.errors import ConfigError, DataError

NAN = math.nan
absent = pytest.mark.skipif(not recordings(), reason="the recorded candles are not beside this tree")


def autoregressive(n, phi, seed=1):
    dice = np.random.default_rng(seed).standard_normal(n)
    x = np.zeros(n)
    for i in range(1, n):
        x[i] = phi * x[i - 1] + dice[i]
    return x


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


def test_a_signal_of_another_length_than_the_prices_is_refused():
    with pytest.raises(DataError, match="each of 2"):
        momentum_decay([1.0], [1.0, 2.0])


def test_a_phi_of_nine_tenths_halves_in_six_and_a_half_bars():
    assert 6.578813478960585 == pytest.approx(ar1_half_life(0.9 ** np.arange(60)))
    assert 6.578813478960585 == pytest.approx(ou_half_life(0.9 ** np.arange(60)))


#: Each value is the one before and a step: phi is 1, though its least squares are a last bit below.
LINE = 0.1 * np.arange(50)


@pytest.mark.parametrize("x", [[], [1.0], [1.0, 2.0], np.ones(50), 1.1 ** np.arange(50), (-0.5) ** np.arange(50), LINE])
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
def test_recorded_volatility_fades_within_a_day_and_the_price_does_not_come_back():
    candles = pd.read_parquet(CANDLES / "bybit_linear/5m/BTCUSDT_20250403_20250810.parquet")
    assert 12 < ar1_half_life(np.log(ewma_forecast(candles, horizon=1, half_life=20))) < 288
    assert math.isnan(ou_half_life(np.log(candles["close"])))
    assert 0.9 < variance_ratio(np.diff(np.log(candles["close"])), 5).ratio < 1.1


def test_one_horizon_may_be_a_number():
    closes = np.linspace(100.0, 110.0, 60)
    assert momentum_decay(closes, closes, 5).n.tolist() == momentum_decay(closes, closes, (5,)).n.tolist() == [55]
