"""Which order pays: the cases of the reference, what must hold for any market, and compiled equal to plain."""

import math
import os
import struct
import subprocess
import sys
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

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
    optimal_entry_timing,
    order_decision,
    queue_fill,
    touch_probability,
    urgency_of,
    utilities_of,
)
from tests.places import ROOT
from utils.codes import LIMIT, MARKET, POST_ONLY
from utils.errors import ConfigError, DataError

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


#: By how much they want to trade now.
HASTE = {"POST_ONLY": 0, "LIMIT": 1, "MARKET": 2}
STRENGTHS = st.floats(0.0, 100.0)
SPREADS = st.floats(0.0, 60.0)
VOLATILITIES = st.floats(0.0, 0.2)
FEES = st.floats(2.0, 12.0)


def haste(*args, **terms):
    return HASTE[optimal_entry_timing(*args, **terms)]


def test_the_promised_call_answers_with_a_kind_and_the_decision_says_that_nothing_pays():
    assert "POST_ONLY" == optimal_entry_timing(signal_strength=85.0, spread_bps=3.5, volatility=0.008)
    assert ("POST_ONLY", False) == (order_decision().kind, order_decision().trade)
    assert "MARKET" == optimal_entry_timing(100.0, 1.0, 0.02)
    assert "MARKET" == optimal_entry_timing(100, np.int64(1), np.float64(0.02), impact_bps=None)


@given(STRENGTHS, STRENGTHS, SPREADS, VOLATILITIES)
def test_a_stronger_signal_is_never_less_aggressive(one, other, spread, volatility):
    weak, strong = sorted((one, other))
    assert haste(weak, spread, volatility) <= haste(strong, spread, volatility)


@given(st.floats(80.0, 100.0), SPREADS, VOLATILITIES, VOLATILITIES)
def test_a_strong_signal_is_more_aggressive_where_more_moves(strength, spread, one, other):
    calm, wild = sorted((one, other))
    assume(spread <= 0.15 * strength * calm * 1e4 / 100.0)  # a wider one is no market for this edge
    assert haste(strength, spread, calm) <= haste(strength, spread, wild)


@given(STRENGTHS, SPREADS, VOLATILITIES, FEES, FEES)
def test_a_dearer_taker_fee_is_never_more_aggressive(strength, spread, volatility, one, other):
    cheap, dear = sorted((one, other))
    assert haste(strength, spread, volatility, taker_bps=dear) <= haste(strength, spread, volatility, taker_bps=cheap)


@given(STRENGTHS, SPREADS, SPREADS, VOLATILITIES)
def test_a_wider_spread_is_never_more_aggressive_until_it_is_wider_than_the_edge(strength, one, other, volatility):
    narrow, wide = sorted((one, other))
    assume(wide <= 0.15 * strength * volatility * 1e4 / 100.0)
    assert haste(strength, wide, volatility) <= haste(strength, narrow, volatility)


@given(STRENGTHS, SPREADS, VOLATILITIES, st.floats(-1.0, 8.0), FEES, st.floats(0.01, 1.0), st.floats(0.0, 1.0))
def test_the_answer_is_that_of_the_decision_behind_it(strength, spread, volatility, maker, taker, wait, fill):
    terms = {"maker_bps": maker, "taker_bps": taker, "wait": wait, "fill": fill}
    answer = optimal_entry_timing(strength, spread, volatility, **terms)
    decision = order_decision(strength, spread, volatility, **terms)
    assert answer == decision.kind
    assert decision.trade == (decision.expected_bps > 0.0)
    assert decision.expected_bps == max(decision.market_bps, decision.limit_bps, decision.post_only_bps)
    assert 0.0 <= decision.urgency <= 1.0


@pytest.mark.parametrize(("strength", "spread"), [(0.0, 3.5), (0.0, 0.0)])
def test_without_strength_nothing_pays(strength, spread):
    assert "POST_ONLY" == optimal_entry_timing(strength, spread, 0.02)
    assert not order_decision(strength, spread, 0.02).trade


def test_without_a_spread_the_best_price_is_touched_at_once():
    decision = order_decision(100.0, 0.0, 0.02)
    assert ("MARKET", 1.0) == (decision.kind, decision.fill)
    assert math.isnan(decision.missed_bps)


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"signal_strength": 101.0}, "signal_strength: expected a number from 0 to 100, saw 101.0"),
        ({"signal_strength": "85"}, "signal_strength: expected a number from 0 to 100, saw '85'"),
        ({"signal_strength": True}, "signal_strength: expected a number from 0 to 100, saw True"),
        ({"signal_strength": None}, "signal_strength: expected a number from 0 to 100, saw None"),
        ({"spread_bps": -0.1}, "spread_bps: expected a number from 0 to 10000, saw -0.1"),
        ({"volatility": math.nan}, "volatility: expected a fraction from 0 to 10, saw nan"),
        ({"volatility": 80.0}, "volatility: expected a fraction from 0 to 10, saw 80.0"),
        ({"taker_bps": math.inf}, "taker_bps: expected a number from -1000 to 1000, saw inf"),
        ({"fill": 1.5}, "fill: expected a number from 0 to 1 or None, saw 1.5"),
        ({"wait": 0}, "wait: expected a number from 1e-09 to 1, saw 0.0"),
    ],
)
@pytest.mark.parametrize("ask", [optimal_entry_timing, order_decision])
def test_a_number_that_is_none_or_out_of_range_is_refused_with_a_sentence(ask, terms, sentence):
    with pytest.raises(DataError, match=sentence):
        ask(**terms)


def test_a_term_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="taker: expected one of maker_bps, taker_bps"):
        optimal_entry_timing(taker=5.0)


BOOK = {"bids": [[100.0, 10.0], [99.5, 20.0]], "asks": [[100.01, 6.0], [101.0, 4.0]]}


def test_a_book_gives_spread_impact_and_queue():
    decision = order_decision(100.0, None, 0.02, book=BOOK, side="buy", qty=8.0, flow=0.5, wait_s=20.0)
    half = 1e4 * 0.005 / 100.005
    paid = 1e4 * ((6.0 * 100.01 + 2.0 * 101.0) / 8.0 - 100.005) / 100.005
    assert pytest.approx((half, paid - half)) == (decision.half_spread_bps, decision.impact_bps)
    assert pytest.approx(1.0 - math.exp(-0.5 * 20.0 / (10.0 + 4.0))) == decision.fill
    assert decision.fill == queue_fill(0.5, 20.0, 10.0, 8.0)
    assert "10 stand before us" in str(decision)


def test_what_is_told_stands_against_what_a_book_shows():
    decision = order_decision(100.0, 2.0, 0.02, book=BOOK, qty=8.0, impact_bps=0.25)
    assert (1.0, 0.25) == (decision.half_spread_bps, decision.impact_bps)


def test_a_book_that_holds_less_than_the_order_is_not_crossed():
    decision = order_decision(100.0, None, 0.02, book=BOOK, side=1, qty=11.0)
    assert -math.inf == decision.market_bps
    assert "MARKET" != decision.kind
    assert "the book holds less than the order" in str(decision)


def test_without_a_size_or_a_flow_the_decision_says_what_it_assumed():
    assert "without a size the impact is what the settings assume" in order_decision(book=BOOK).reasons
    assert any("a touch, an upper bound" in reason for reason in order_decision(book=BOOK, qty=1.0).reasons)
    with pytest.raises(DataError, match="expected both sides"):
        order_decision(book=([], BOOK["asks"]))


def test_a_decision_reads_in_plain_words():
    told = str(order_decision(100.0, 1.0, 0.02))
    assert told.startswith("MARKET expects +18.09 bps (market +18.09, limit +0.42, post-only +0.35 bps; fill 99%")
    assert "crossing costs 7.00 bps: half the spread 0.50, fee 5.50, impact 1.00" in told
    assert str(order_decision()).startswith("NO TRADE: nothing pays (market -3.68")


def test_haste_is_the_move_of_the_wait_over_what_crossing_costs():
    assert 0.5 == urgency_of(5.0, 8.0, 80.0)
    assert 1.0 == urgency_of(50.0, 8.0, 80.0)
    assert 0.0 == urgency_of(50.0, 8.0, 0.0) == urgency_of(0.0, -1.0, 80.0)
