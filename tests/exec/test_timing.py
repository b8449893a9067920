"""Which order pays: the cases of the reference, what must hold for any market, and compiled equal to plain."""

import math
import os
import struct
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exec.timing import (
    ExecutionTimer,
    Patience,
    adverse,
    chase_pays,
    choice_of,
    decayed,
    decide_kind,
    edge_left,
    edge_of,
    entry_utilities,
    exit_cost,
    kind_worths,
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
from utils.rows import NS_PER_HOUR, NS_PER_S

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
    return decide_kind(kind_worths(*(STRONG | changes).values()))


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
from exec.timing import chase_pays, decide_kind, kind_worths, touch_probability
dice = np.random.default_rng(11)
digest = hashlib.sha256()
for _ in range(3000):
    row = [float(x) for x in np.exp(dice.normal(1.0, 2.0, 13))]
    row[12] = float(dice.choice([0.3, float("nan")]))
    if dice.random() < 0.2:
        row[int(dice.choice([0, 1, 2, 3, 4, 5, 6, 7, 8]))] = float(dice.choice([0.0, -1.0, float("nan"), float("inf")]))
    row[8] = abs(row[8])
    kind, utility = decide_kind(kind_worths(*row))
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


T0 = 1_700_000_000 * NS_PER_S
TICK = 0.01
#: Told that a limit pays: an edge of 30 bps, a calm wait.
LIMITED = {"adverse_per_sigma": 0.0, "wait": 0.05, "fill": 0.5}


def advice(kind, strength=100.0, volatility=0.02):
    terms = {"LIMIT": LIMITED, "POST_ONLY": LIMITED | {"impact_bps": 1000.0}, "MARKET": {}}[kind]
    decision = order_decision(strength, 1.0, volatility, **terms)
    assert (kind, True) == (decision.kind, decision.trade)
    return decision


def quoted(mid=100.0, half=0.005, **patience):
    """A timer that has one quote."""
    timer = ExecutionTimer(Patience(**patience))
    timer.quote("X", T0, mid - half, mid + half)
    return timer


def at(timer, seconds, mid, half=0.005):
    """The answer after a quote so many seconds later."""
    timer.quote("X", T0 + round(seconds * NS_PER_S), mid - half, mid + half)
    return timer.ask("X", T0 + round(seconds * NS_PER_S))


def test_a_market_order_crosses_at_once_and_a_limit_joins_the_best_price():
    assert "CROSS" == quoted().start("X", "buy", advice("MARKET"), T0, tick=TICK).action
    for side, price in (("buy", 99.995), ("sell", 100.005)):
        answer = quoted().start("X", side, advice("LIMIT"), T0, tick=TICK)
        assert ("PLACE", price) == (answer.action, answer.price)


def test_what_does_not_pay_is_given_up_at_once():
    timer = quoted()
    assert "CANCEL: nothing pays" == str(timer.start("X", 1, order_decision(), T0, tick=TICK))
    with pytest.raises(DataError, match="X: expected an entry under way"):
        timer.ask("X", T0)


def test_a_spread_that_is_wide_for_its_hour_is_waited_out_but_not_for_ever():
    timer = ExecutionTimer(Patience(spread_s=10.0))
    for second in range(40):
        timer.quote("X", T0 + second * NS_PER_S, 99.99, 100.01)
    assert pytest.approx(2.0) == timer.usual_spread("X", T0)
    patient = advice("LIMIT", 20.0, 0.05)
    timer.quote("X", T0 + 40 * NS_PER_S, 99.9, 100.1)
    assert timer.should_wait("X", T0 + 40 * NS_PER_S)
    began = T0 + 40 * NS_PER_S
    calm = replace(patient, urgency=0.0)
    answer = timer.start("X", 1, calm, began, tick=TICK)
    assert ("WAIT", True) == (answer.action, "usual at this hour" in answer.reason)
    assert "WAIT" == timer.ask("X", began + 9 * NS_PER_S).action
    assert "PLACE" == timer.ask("X", began + 10 * NS_PER_S).action
    assert "PLACE" == timer.start("X", 1, replace(patient, urgency=1.0), began, tick=TICK).action
    timer.quote("X", began + NS_PER_S, 99.99, 100.01)
    assert not timer.should_wait("X", began + NS_PER_S)


def test_the_spread_of_another_hour_or_of_too_few_seconds_says_nothing():
    timer = ExecutionTimer()
    for second in range(29):
        for part in range(3):
            timer.quote("X", T0 + second * NS_PER_S + part, 99.99, 100.01)
    assert math.isnan(timer.usual_spread("X", T0))
    timer.quote("X", T0 + 29 * NS_PER_S, 99.99, 100.01)
    assert pytest.approx(2.0) == timer.usual_spread("X", T0)
    assert math.isnan(timer.usual_spread("X", T0 + NS_PER_HOUR))
    assert not timer.should_wait("Y", T0)


def test_an_order_follows_the_market_after_the_interval_and_by_a_tick_at_least():
    timer = quoted(interval_s=2.0)
    timer.start("X", 1, advice("LIMIT"), T0, tick=TICK)
    assert "WAIT: the order stands at the best price" == str(at(timer, 0.5, 100.0))
    assert "less than 2 s old" in at(timer, 1.0, 100.02).reason
    assert "WAIT" == at(timer, 2.5, 100.005).action  # half a tick
    answer = at(timer, 3.0, 100.02)
    assert ("REPLACE", pytest.approx(100.015)) == (answer.action, answer.price)
    assert "less than 2 s old" in at(timer, 4.0, 100.05).reason


def test_after_the_last_chase_a_limit_crosses_where_that_pays_and_a_post_only_order_never():
    for kind, action in (("LIMIT", "CROSS"), ("POST_ONLY", "CANCEL")):
        timer = quoted(chases=1, interval_s=1.0)
        timer.start("X", 1, advice(kind), T0, tick=TICK)
        assert "REPLACE" == at(timer, 1.0, 100.02).action
        answer = at(timer, 2.0, 100.04)
        assert (action, True) == (answer.action, "it followed 1 times" in answer.reason)


def test_a_chase_goes_no_farther_than_told_and_never_farther_than_the_edge():
    timer = quoted(chase_bps=5.0)
    timer.start("X", 1, advice("LIMIT"), T0, tick=TICK)
    assert "the market is 6.00 bps away, more than 5.00" in at(timer, 3.0, 100.06).reason
    timer = quoted(chase_bps=500.0)
    timer.start("X", 1, advice("LIMIT"), T0, tick=TICK)
    answer = at(timer, 3.0, 100.4)
    assert ("CANCEL", True) == (answer.action, "more than 30.00" in answer.reason)


def test_an_edge_decays_and_what_is_left_decides_at_the_end_of_the_wait():
    assert pytest.approx(30.0 / math.e) == decayed(30.0, 60.0, 60.0)
    for tau, action in ((600.0, "CROSS"), (20.0, "CANCEL")):
        timer = quoted(tau_s=tau, wait_s=60.0)
        timer.start("X", 1, advice("LIMIT"), T0, tick=TICK)
        answer = at(timer, 60.0, 100.0)
        assert (action, True) == (answer.action, "60 s have passed" in answer.reason)
        assert (answer.utility_bps > 0.0) == (action == "CROSS")


def test_nobody_follows_when_the_edge_is_spent():
    timer = quoted(tau_s=5.0)
    timer.start("X", 1, advice("LIMIT"), T0, tick=TICK)
    assert "of the edge" in at(timer, 30.0, 100.02).reason


def test_a_rejected_order_goes_one_tick_back_a_bounded_number_of_times():
    timer = quoted(retries=2)
    timer.start("X", -1, advice("POST_ONLY"), T0, tick=TICK)
    first, second, last = (timer.rejected("X", T0 + n) for n in range(3))
    assert ("PLACE", pytest.approx(100.015)) == (first.action, first.price)
    assert ("PLACE", pytest.approx(100.025)) == (second.action, second.price)
    assert "CANCEL: rejected 3 times" == str(last)


def test_symbols_do_not_know_of_each_other():
    timer = quoted()
    timer.quote("Y", T0, 9.99, 10.01)
    timer.start("X", 1, advice("LIMIT"), T0, tick=TICK)
    assert 10.01 == timer.start("Y", -1, advice("LIMIT"), T0, tick=TICK).price
    timer.done("X")
    assert "WAIT" == timer.ask("Y", T0).action


@given(
    st.lists(st.tuples(st.floats(0.01, 5.0), st.floats(-4.0, 4.0)), min_size=1, max_size=60), st.sampled_from([1, -1])
)
def test_on_any_path_an_entry_ends_and_keeps_its_limits(path, side):
    patience = Patience(interval_s=2.0, chases=3, chase_bps=6.0, wait_s=30.0)
    timer = ExecutionTimer(patience)
    timer.quote("X", T0, 99.995, 100.005)
    answers = [(0.0, 100.0, timer.start("X", side, advice("LIMIT"), T0, tick=TICK))]
    seconds, mid = 0.0, 100.0
    for step, bps in path:
        if answers[-1][2].action in {"CROSS", "CANCEL"}:
            break
        seconds, mid = seconds + step, mid * (1.0 + bps * 1e-4)
        answers.append((seconds, mid, at(timer, seconds, mid)))
    followed = [(when, mid) for when, mid, answer in answers if answer.action == "REPLACE"]
    assert len(followed) <= patience.chases
    assert all(side * (mid / 100.0 - 1.0) * 1e4 <= patience.chase_bps + 1e-6 for _, mid in followed)
    times = [0.0, *(when for when, _ in followed)]
    assert all(later - sooner >= patience.interval_s - 1e-6 for sooner, later in pairwise(times))
    assert all(answer.utility_bps > 0.0 for *_, answer in answers if answer.action == "CROSS")
    assert seconds < patience.wait_s or answers[-1][2].action in {"CROSS", "CANCEL"}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda timer: timer.quote("X", T0 - 1, 99.0, 100.0), "now: expected a time at or after"),
        (lambda timer: timer.quote("X", T0 // 10**6, 99.0, 100.0), "now: expected int nanoseconds"),
        (lambda timer: timer.quote("X", T0, 100.0, 100.0), "X: expected a bid below the ask, saw 100 and 100"),
        (lambda timer: timer.quote("X", T0, "99", 100.0), "bid: expected a finite number above 0, saw '99'"),
        (lambda timer: timer.ask("X", T0), "X: expected an entry under way"),
        (lambda timer: timer.start("Y", 1, advice("LIMIT"), T0, tick=TICK), "Y: expected a quote before an entry"),
        (lambda timer: timer.start("X", 1, advice("LIMIT"), T0, tick=0.0), "tick: expected a finite number above 0"),
        (lambda timer: timer.start("X", "up", advice("LIMIT"), T0, tick=TICK), "side: expected buy or sell"),
        (lambda _: Patience(tau_s=0.0), "tau_s: expected a finite number above 0"),
        (lambda _: Patience(wide_quantile=1.5), "wide_quantile: expected a finite number of at least 0 and at most 1"),
    ],
)
def test_what_a_timer_cannot_be_told_is_refused_with_a_sentence(wrong, sentence):
    with pytest.raises(DataError, match=sentence):
        wrong(quoted())


def test_a_rejection_of_what_was_never_placed_is_refused():
    timer = ExecutionTimer(Patience(spread_s=10.0, samples=1, wide_quantile=0.0))
    timer.quote("X", T0, 99.995, 100.005)
    timer.quote("X", T0 + 1, 99.9, 100.1)
    assert "WAIT" == timer.start("X", 1, replace(advice("LIMIT"), urgency=0.0), T0 + 1, tick=TICK).action
    with pytest.raises(DataError, match="X: expected an order that was placed"):
        timer.rejected("X", T0 + 1)
