"""How symbols move together: the fold, what it answers while it knows little, and the matrix of it."""

import math

import numpy as np
import pytest

from risk.correlation import PAIR, heat_rho, pair_step, rho_of, weight_of


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
