"""How symbols move together: the fold, what it answers while it knows little, and the matrix of it."""

import math

import numpy as np
import pandas as pd
import pytest

from risk.correlation import PAIR, checked_matrix, correlation_matrix, heat_rho, pair_step, rho_of, weight_of
from utils.errors import DataError


def pair_of(a, b, halflife=100.0):
    pair = np.zeros(1, PAIR)[0]
    for one, other in zip(a, b, strict=True):
        pair_step(pair, one, other, weight_of(halflife))
    return pair


A = [0.01, -0.02, 0.005, 0.0, 0.03]
B = [0.02, -0.01, 0.001, -0.002, 0.01]


def test_the_memory_of_a_weight_halves_over_its_halflife():
    assert math.isclose(0.5, (1.0 - weight_of(20.0)) ** 20)


def test_a_pair_is_the_weighted_correlation_about_zero():
    weights = 0.5 ** ((len(A) - 1 - np.arange(len(A))) / 3.0)
    a, b = np.array(A), np.array(B)
    expected = (weights * a * b).sum() / math.sqrt((weights * a * a).sum() * (weights * b * b).sum())
    assert math.isclose(expected, rho_of(pair_of(A, B, 3.0), -1.0, 1.0), rel_tol=1e-12)


def test_a_symbol_moves_as_itself_and_against_its_mirror():
    assert 1.0 == rho_of(pair_of(A, A), -1.0, 1.0)
    assert -1.0 == rho_of(pair_of(A, [-x for x in A]), -1.0, 1.0)


def test_what_has_no_return_at_the_same_close_is_passed_over():
    assert pair_of(A, B).tobytes() == pair_of([*A, 0.5, math.nan], [*B, math.nan, 0.5]).tobytes()


@pytest.mark.parametrize("pair", [pair_of(A[:3], B[:3]), pair_of(A, [0.0] * 5), pair_of([], [])])
def test_what_is_not_known_counts_as_one_for_a_crowd_and_as_nothing_for_a_hedge(pair):
    assert 1.0 == rho_of(pair, 0.5, 4.0) == heat_rho(pair, 1, 0.5, 4.0)
    assert 0.0 == heat_rho(pair, -1, 0.5, 4.0)


def test_a_floor_holds_for_a_crowd_and_not_for_a_hedge():
    pair = pair_of([0.01, 0.01, 0.02], [0.01, -0.01, 0.001])
    estimate = rho_of(pair, -1.0, 1.0)
    assert -0.5 < estimate < 0.5
    assert 0.5 == rho_of(pair, 0.5, 1.0) == heat_rho(pair, 1, 0.5, 1.0)
    assert estimate == heat_rho(pair, -1, 0.5, 1.0)


NAMES = ["BTC/USDT", "ETHUSDT", "SOLUSDT"]
RETURNS = np.random.default_rng(5).normal(size=(300, 3)) @ np.array([[1.0, 0.8, 0.1], [0.0, 0.6, 0.2], [0.0, 0.0, 1.0]])


def frame(returns=RETURNS):
    return pd.DataFrame(returns * 1e-3, columns=NAMES)


def test_unshrunk_the_matrix_is_the_fold_to_the_bit():
    found = correlation_matrix(frame(), halflife=50.0, floor=None, shrink=False)
    for i, one in enumerate(NAMES):
        for j, other in enumerate(NAMES):
            if i < j:
                pair = pair_of(frame()[one], frame()[other], 50.0)
                assert rho_of(pair, -1.0, 1.0) == found.loc[one, other] == found.loc[other, one]
    assert [1.0] * 3 == np.diag(found).tolist()


def test_the_floor_is_for_majors_alone():
    low = correlation_matrix(frame(), floor=None)
    all_of_them, some = correlation_matrix(frame()), correlation_matrix(frame(), majors=["BTCUSDT", "SOL/USDT"])
    assert low.loc["BTC/USDT", "SOLUSDT"] < 0.5
    assert 0.5 == all_of_them.loc["BTC/USDT", "SOLUSDT"] == some.loc["BTC/USDT", "SOLUSDT"]
    assert low.loc["ETHUSDT", "SOLUSDT"] == some.loc["ETHUSDT", "SOLUSDT"]


def test_under_stress_everything_moves_as_one():
    assert (correlation_matrix(RETURNS, stress=True) == 1.0).all()


def test_with_equal_weights_it_is_shrunk_as_scikit_learn_shrinks():
    from sklearn.covariance import LedoitWolf

    scaled = RETURNS / np.sqrt((RETURNS * RETURNS).mean(axis=0))
    expected = LedoitWolf(assume_centered=True).fit(scaled).covariance_
    found = correlation_matrix(RETURNS, halflife=1e9, floor=None)
    assert np.allclose(expected, found, rtol=1e-5)


def test_units_change_nothing_and_an_array_gives_an_array():
    found = correlation_matrix(RETURNS)
    assert type(found) is np.ndarray
    assert np.allclose(found, correlation_matrix(RETURNS * 1e-4), rtol=1e-12)


def test_a_missing_return_is_left_out_of_its_pairs():
    holed = frame()
    holed.iloc[7, 0] = math.nan
    kept = correlation_matrix(holed, floor=None, shrink=False, halflife=50.0)
    whole = correlation_matrix(frame(), floor=None, shrink=False, halflife=50.0)
    assert kept.iloc[1, 2] == whole.iloc[1, 2]
    assert kept.iloc[0, 1] != whole.iloc[0, 1]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_floor_the_matrix_can_be_one(seed):
    dice = np.random.default_rng(seed)
    returns = dice.normal(size=(40, 3)) @ dice.normal(size=(3, 9)) + 0.1 * dice.normal(size=(40, 9))
    found = correlation_matrix(returns, floor=0.5, shrink=False)
    assert np.linalg.eigvalsh(found)[0] > -1e-8
    assert (found >= 0.5).all()
    checked_matrix(found, [])


@pytest.mark.parametrize(
    ("returns", "word"),
    [
        (np.zeros((5, 2)), "expected a column that varies, saw 0 in each row of 0"),
        (np.full((5, 2), math.nan), "0 returns"),
        (np.array([["1", "2"], ["3", "4"]]), "not read from text"),
        (np.zeros(5), "shape"),
        (np.array([[math.inf, 1.0], [1.0, 2.0]]), "infinite"),
        (np.array([[0.1, math.nan], [0.2, math.nan], [math.nan, 0.1], [math.nan, 0.2]]), "share"),
    ],
)
def test_returns_that_say_nothing_are_one_sentence(returns, word):
    with pytest.raises(DataError) as refused:
        correlation_matrix(returns)
    assert word in str(refused.value)


@pytest.mark.parametrize("wrong", [{"halflife": 0.0}, {"halflife": "9"}, {"floor": 2.0}, {"majors": ["DOGEUSDT"]}])
def test_settings_out_of_their_range_are_refused(wrong):
    with pytest.raises(DataError):
        correlation_matrix(frame(), **wrong)


def test_returns_without_a_common_row_are_not_shrunk():
    holed = RETURNS.copy()
    holed[0::3, 0] = holed[1::3, 1] = holed[2::3, 2] = math.nan
    with pytest.raises(DataError, match="a return of every symbol, saw 0"):
        correlation_matrix(holed)
    assert correlation_matrix(holed, shrink=False).shape == (3, 3)


def test_a_singular_matrix_is_one_and_nothing_is_inverted():
    where, rho = checked_matrix(np.ones((2, 2)), ["BTCUSDT", "ETHUSDT"])
    assert ({"BTCUSDT": 0, "ETHUSDT": 1}, 4.0) == (where, rho.sum())


def test_what_is_unknown_counts_as_one():
    assert (checked_matrix(None, ["BTCUSDT", "ETHUSDT"])[1] == 1.0).all()


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ([[1.0, 0.2], [0.3, 1.0]], "one that is not symmetric"),
        ([[1.0, math.nan], [math.nan, 1.0]], "NaN in it"),
        ([[1.0, 1.2], [1.2, 1.0]], "a value beyond -1 to 1"),
        ([[0.9, 0.2], [0.2, 1.0]], "a diagonal that is not 1"),
        ([[1.0, 0.2]], "square"),
        ([["1", "0"], ["0", "1"]], "a square table of numbers"),
        (np.eye(3), "expected 2 rows, of BTCUSDT, ETHUSDT, saw 3"),
        (pd.DataFrame(np.eye(2), ["BTCUSDT", "SOLUSDT"], ["BTCUSDT", "SOLUSDT"]), "expected ETHUSDT in it"),
        (pd.DataFrame(np.eye(2), ["BTCUSDT", "ETHUSDT"], ["ETHUSDT", "BTCUSDT"]), "the same symbols"),
        (pd.DataFrame(np.eye(2), ["BTCUSDT", "BTC/USDT"], ["BTCUSDT", "BTC/USDT"]), "each symbol once"),
    ],
)
def test_what_is_no_correlation_matrix_is_one_sentence(given, word):
    with pytest.raises(DataError) as refused:
        checked_matrix(given, ["BTCUSDT", "ETHUSDT"])
    assert word in str(refused.value)


def test_a_matrix_that_no_market_could_have_is_refused():
    impossible = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    with pytest.raises(DataError, match="not positive semi-definite"):
        checked_matrix(impossible, ["BTCUSDT", "ETHUSDT", "SOLUSDT"])
