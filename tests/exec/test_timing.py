"""Which order pays: the cases of the reference, what must hold for any market, and compiled equal to plain."""

import math
import os
import struct
import subprocess
import sys
from statistics import NormalDist

import pytest

from exec.timing import (
    adverse,
    chase_pays,
    choice_of,
    decide_kind,
    edge_left,
    edge_of,
    entry_utilities,
    exit_cost,
    missed_move,
    touch_probability,
    utilities_of,
)
from tests.places import ROOT
from utils.codes import LIMIT, MARKET, POST_ONLY

#: Half spread 1.75, taker 5.5, maker 2, no impact.
COSTS = (1.75, 5.5, 2.0, 0.0)


@pytest.mark.parametrize(
    ("edge", "fill", "filled", "missed", "left", "utilities", "kind"),
    [
        (12.0, 0.6, 7.0, 4.0, 15.5, (4.75, 7.35, 4.05), LIMIT),
        (5.0, 0.6, 3.0, 3.0, 5.0, (-2.25, 1.65, 1.65), POST_ONLY),
        (20.0, 0.25, 6.0, 10.0, 14.67, (12.75, 7.0, 1.44), MARKET),
    ],
)
def test_the_three_cases_of_the_reference(edge, fill, filled, missed, left, utilities, kind):
    assert pytest.approx(left, abs=0.005) == edge_left(edge, filled, fill, missed)
    found = entry_utilities(edge, *COSTS, fill, filled, left)
    assert pytest.approx(utilities, abs=0.005) == found
    assert (kind, max(found)) == choice_of(*found)


def test_impact_is_paid_by_whoever_crosses():
    calm, thin = (entry_utilities(12.0, 1.75, 5.5, 2.0, impact, 0.6, 7.0, 15.5) for impact in (0.0, 1.0))
    assert pytest.approx((1.0, 0.4, 0.0)) == tuple(a - b for a, b in zip(calm, thin, strict=True))


def test_a_limit_that_earns_no_more_is_post_only_and_so_is_what_does_not_pay():
    assert (POST_ONLY, 2.0) == choice_of(1.0, 2.0, 2.0)
    assert (POST_ONLY, 2.0) == choice_of(2.0, 2.0, 2.0)
    assert (LIMIT, 2.0) == choice_of(2.0, 2.0, 1.0)
    assert (MARKET, 2.0) == choice_of(2.0, 1.0, 1.0)
    assert (POST_ONLY, -1.0) == choice_of(-1.0, -2.0, -2.0)
    assert (POST_ONLY, 0.0) == choice_of(0.0, -2.0, -2.0)


@pytest.mark.parametrize(("distance", "sigma", "wait"), [(1.0, 2.0, 1.0), (18.0, 6.9, 20.0), (60.0, 6.9, 3.0)])
def test_a_touch_is_twice_as_probable_as_an_end_beyond(distance, sigma, wait):
    beyond = NormalDist(0.0, sigma * math.sqrt(wait)).cdf(-distance)
    assert pytest.approx(2.0 * beyond, rel=1e-12) == touch_probability(distance, sigma, wait)


def test_what_is_here_is_touched_and_what_stands_still_touches_nothing():
    assert 1.0 == touch_probability(0.0, 5.0, 3.0) == touch_probability(0.0, 0.0, 3.0)
    assert 0.0 == touch_probability(1.0, 0.0, 3.0) == touch_probability(1.0, 5.0, 0.0)


def test_an_edge_is_sigmas_by_strength_and_a_fill_costs_sigmas_of_the_wait():
    assert pytest.approx(10.2) == edge_of(85.0, 80.0, 0.15)
    assert pytest.approx(7.6) == adverse(10.0, 4.0, 4.0, 0.3)


def test_both_outcomes_of_a_wait_together_are_the_edge_and_what_is_left_has_decayed():
    edge, fill, waited = 12.0, 0.6, 0.25
    filled = adverse(edge, 4.0, 4.0, 0.3)
    missed = missed_move(edge, waited, fill, edge - filled)
    left = edge_left(edge, filled, fill, missed)
    assert pytest.approx(edge * (1.0 - waited)) == left
    assert pytest.approx(edge) == fill * filled + (1.0 - fill) * (left + missed)


def test_the_utilities_of_a_signal_are_those_of_its_parts():
    gross, leaving, fill, selection, waited = 20.0, 3.0, 0.6, 2.0, 0.25
    missed = missed_move(gross, waited, fill, selection)
    edge = gross - leaving
    left = edge_left(edge, edge - selection, fill, missed)
    expected = entry_utilities(edge, 1.75, 5.5, 2.0, 0.5, fill, edge - selection, left)
    assert pytest.approx(expected) == utilities_of(gross, leaving, 1.75, 0.5, 2.0, 5.5, 1.75, fill, selection, waited)


def test_an_exit_is_maker_at_the_take_and_taker_at_the_stop():
    assert pytest.approx(0.6 * 2.0 + 0.4 * 7.0) == exit_cost(25.0, 18.0, 0.6, 2.0, 5.5, 1.5)
    assert exit_cost(25.0, 18.0, 18.0 / 43.0, 2.0, 5.5, 1.5) == exit_cost(25.0, 18.0, math.nan, 2.0, 5.5, 1.5)


#: What `decide_kind` is told, in its order, with an edge that pays for a taker.
STRONG = {
    "expected_bps": 60.0,
    "sigma_bps": 10.0,
    "half_spread_bps": 0.5,
    "slippage_bps": 1.0,
    "maker_bps": 2.0,
    "taker_bps": 5.5,
    "offset_bps": 1.0,
    "tick_bps": 0.1,
    "wait": 3.0,
    "horizon": 20.0,
    "take_bps": 25.0,
    "stop_bps": 18.0,
    "p_win": math.nan,
}


def decided(**changes):
    return decide_kind(*(STRONG | changes).values())


def test_where_fills_cost_much_a_strong_edge_crosses_elsewhere_it_waits_and_a_weak_one_is_not_traded():
    leaving = exit_cost(25.0, 18.0, math.nan, 2.0, 5.5, 1.5)
    assert (MARKET, pytest.approx(60.0 - leaving - 7.0)) == decided(sigma_bps=20.0)
    assert (LIMIT, True) == (decided()[0], decided()[1] > 60.0 - leaving - 7.0)
    kind, utility = decided(expected_bps=12.0)
    assert (POST_ONLY, True) == (kind, utility > 0.0)
    kind, utility = decided(expected_bps=5.0)
    assert (POST_ONLY, True) == (kind, utility < 0.0)


def test_a_number_that_is_not_known_pays_nothing():
    for name in STRONG.keys() - {"p_win"}:
        kind, utility = decided(**{name: math.nan})
        assert (POST_ONLY, True) == (kind, math.isnan(utility)), name


def test_a_chase_pays_what_time_and_the_move_have_left():
    assert pytest.approx(20.0 * 0.75 - 4.0 - 0.5 - 1.0 - 5.5 - 2.0) == chase_pays(
        20.0, 5.0, 20.0, 4.0, 0.5, 1.0, 5.5, 2.0
    )
    assert 0.0 > chase_pays(20.0, 30.0, 20.0, 0.0, 0.5, 1.0, 5.5, 2.0)


#: Asked in a process of its own: the bits of every function over seeded numbers, some of them odd.
DIGEST = """
import hashlib, struct
import numpy as np
from exec.timing import chase_pays, decide_kind, touch_probability
dice = np.random.default_rng(11)
digest = hashlib.sha256()
for _ in range(3000):
    row = [float(x) for x in np.exp(dice.normal(1.0, 2.0, 13))]
    row[12] = float(dice.choice([0.3, float("nan")]))
    if dice.random() < 0.2:
        row[int(dice.choice([0, 1, 2, 3, 4, 5, 6, 7, 8]))] = float(dice.choice([0.0, -1.0, float("nan"), float("inf")]))
    row[8] = abs(row[8])
    kind, utility = decide_kind(*row)
    numbers = (kind, utility, chase_pays(row[0], row[8], row[9], *row[3:8]), touch_probability(row[6], row[1], row[8]))
    digest.update(b"".join(struct.pack("d", x if x == x else -1e300) for x in numbers))
print(digest.hexdigest())
"""


def test_compiled_and_plain_answers_have_the_same_bits():
    compiled, plain = (
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", DIGEST],
            env=os.environ | {"NUMBA_DISABLE_JIT": switch},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for switch in ("0", "1")
    )
    assert compiled == plain
    assert 64 == len(compiled.strip())


def test_the_bits_of_a_touch_are_those_of_the_library():
    for k in range(2000):
        distance = 0.001 * 1.007**k
        expected = math.erfc(distance / (3.0 * math.sqrt(2.0)))
        assert struct.pack("d", expected) == struct.pack("d", touch_probability(distance, 3.0, 1.0))
