"""Whether at all: each rule by itself, and all in order."""

import math

import pytest

from risk.guard import RULES, guard, rule_break_even, rule_equity, rule_max_leverage, rule_max_positions, unrolled
from risk.stops import stop_distance
from tests.market import instrument, params, row, signals
from utils.codes import LIMIT, NO_STOP, RULE_NAMES, RULE_SIGNS
from utils.compiled import compiled
from utils.rows import ACCOUNT


def asked(rules=guard, *, count=0, gross=0.0, equity=10_000.0, ins=None, said=None, **settings):
    """(scale, name of the refusing rule, value, limit)."""
    sig = signals(1, {0: {"side": 1.0, **(said or {})}})
    ins = instrument() if ins is None else ins
    par = params(**{"leverage": 3.0, "max_positions": 2, **settings})
    stop = stop_distance(sig[0], 100.0, par[0])
    scale, rule, value, limit = rules(row(ACCOUNT, equity=equity)[0], ins[0], par[0], sig[0], 100.0, stop, count, gross)
    return scale, RULE_NAMES[rule], value, limit


def test_an_entry_that_no_rule_minds_passes_whole():
    scale, rule, value, limit = asked()
    assert (1.0, "") == (scale, rule)
    assert math.isnan(value)
    assert math.isnan(limit)


def test_nothing_is_risked_that_is_not_there():
    assert (0.0, "equity", 0.0, 0.0) == asked(equity=0.0)
    assert (0.0, "equity", -3.0, 0.0) == asked(equity=-3.0)


def test_positions_and_waiting_entries_stay_under_their_limit():
    assert "" == asked(count=1)[1]
    assert (0.0, "max_positions", 2.0, 2.0) == asked(count=2)


def test_gross_notional_stays_under_the_leverage_limit():
    assert "" == asked(gross=29_999.0)[1]
    assert (0.0, "max_leverage", 3.0, 3.0) == asked(gross=30_000.0)


def by_itself(rule, *, count=0, gross=0.0, equity=10_000.0, p_win=math.nan, ins=None, **settings):
    """What one rule answers: scale, value, limit."""
    par = params(**{"leverage": 3.0, "max_positions": 2, "veto_break_even": 1, **settings})
    sig = signals(1, {0: {"side": 1.0, "p_win": p_win}})
    ins = instrument(tick=1e-12) if ins is None else ins
    return rule(row(ACCOUNT, equity=equity)[0], ins[0], par[0], sig[0], 100.0, 0.005, count, gross)


def test_a_rule_lets_pass_whole_or_refuses_and_says_what_it_saw_and_allows():
    assert (1.0, 0.01, 0.0) == by_itself(rule_equity, equity=0.01)
    assert (0.0, 0.0, 0.0) == by_itself(rule_equity, equity=0.0)
    assert (1.0, 1.0, 2.0) == by_itself(rule_max_positions, count=1)
    assert (0.0, 2.0, 2.0) == by_itself(rule_max_positions, count=2)
    assert (1.0, pytest.approx(2.9999), 3.0) == by_itself(rule_max_leverage, gross=29_999.0)
    assert (0.0, 3.0, 3.0) == by_itself(rule_max_leverage, gross=30_000.0)


def test_the_win_rate_that_pays_the_costs_is_enough():
    # 100 bps against 50, and a tick of nothing: one win in three
    needed = by_itself(rule_break_even)[2]
    assert pytest.approx(1.0 / 3.0, abs=1e-9) == needed
    assert (1.0, needed, needed) == by_itself(rule_break_even, p_win=needed)
    assert (0.0, 0.3, needed) == by_itself(rule_break_even, p_win=0.3)
    scale, saw, limit = by_itself(rule_break_even, nan_refuses=1)
    assert (0.0, True, needed) == (scale, math.isnan(saw), limit)
    assert 1.0 == by_itself(rule_break_even)[0]
    off = by_itself(rule_break_even, veto_break_even=0)
    assert (1.0, True, True) == (off[0], math.isnan(off[1]), math.isnan(off[2]))


def test_the_first_rule_that_refuses_is_named():
    assert "max_positions" == asked(count=5, gross=1e6)[1]


def veto(p_win, ins=None, said=None, **settings):
    fees = instrument(tick=0.01, per_tick=100.0, maker_bps=2.0, taker_bps=5.0) if ins is None else ins
    known = {"veto_break_even": 1, "take_bps": 25.0, "stop_bps": 18.0, "half_spread_bps": 0.5, "slippage_bps": 0.5}
    return asked(ins=fees, said={"p_win": p_win, **(said or {})}, **{**known, **settings})


def test_the_veto_asks_for_the_win_rate_that_pays_the_costs():
    # taker entry: 5 + 1 + 2 at the take, 5 + 1 + 5 + 1 at the stop
    needed = (18.0 + 12.0) / (25.0 - 8.0 + 18.0 + 12.0)
    assert (0.0, "break_even", 0.6, pytest.approx(needed)) == veto(0.6)
    assert "" == veto(0.64)[1]


def test_a_resting_entry_needs_fewer_wins():
    needed = (18.0 + 8.0) / (25.0 - 4.0 + 18.0 + 8.0)
    assert (0.0, "break_even", 0.55, pytest.approx(needed)) == veto(0.55, entry_kind=LIMIT)
    assert "" == veto(0.56, entry_kind=LIMIT)[1]


def test_the_veto_counts_a_tick_for_crossing_where_that_is_more():
    # a tick of 0.1 at 100 is 10 bps: 2 + 2 at the take, 2 + 5 + 10 at the stop
    needed = (18.0 + 17.0) / (25.0 - 4.0 + 18.0 + 17.0)
    coarse = instrument(maker_bps=2.0, taker_bps=5.0)
    assert (0.0, "break_even", 0.6, pytest.approx(needed)) == veto(0.6, coarse, entry_kind=LIMIT)


def test_the_veto_reads_the_barriers_of_the_signal():
    assert "" == veto(0.6, said={"take_bps": 100.0})[1]
    assert "break_even" == veto(0.64, said={"stop_bps": 50.0})[1]


def test_the_veto_reads_a_stop_in_true_ranges():
    # 1.5 true ranges of 0.4 are 60 bps of 100, so far more wins are needed than with 18
    atr = {"stop_in_atr": 1, "stop_atr": 1.5}
    needed = (60.0 + 12.0) / (25.0 - 8.0 + 60.0 + 12.0)
    assert (0.0, "break_even", 0.7, pytest.approx(needed)) == veto(0.7, said={"atr": 0.4}, **atr)


def test_a_stop_that_is_still_warming_up_is_no_input_either():
    assert "" == veto(0.0, stop_in_atr=1, stop_atr=1.5)[1]
    assert "break_even" == veto(1.0, stop_in_atr=1, stop_atr=1.5, nan_refuses=1)[1]


def test_without_an_estimate_the_veto_passes_in_simulations_and_refuses_live():
    assert "" == veto(math.nan)[1]
    assert "break_even" == veto(math.nan, nan_refuses=1)[1]


def test_the_veto_can_be_off():
    assert "" == veto(0.0, veto_break_even=0)[1]


@compiled
def rule_half(acc, ins, par, sig, price, stop, count, gross):
    return 0.5, 1.0, 2.0


def test_rules_that_shrink_an_entry_multiply():
    assert 0.25 == asked(unrolled((rule_half, rule_equity, rule_half)))[0]


def test_a_rule_is_numbered_by_its_place():
    sig, par = signals(1, {0: 1.0}), params(veto_break_even=1, nan_refuses=1)
    one = unrolled((rule_half, rule_break_even))
    assert (0.0, 2) == one(row(ACCOUNT, equity=1.0)[0], instrument()[0], par[0], sig[0], 100.0, 0.005, 0, 0.0)[:2]


def test_rules_bear_the_names_of_their_codes_and_sizing_has_the_rest():
    assert [f"rule_{name}" for name in RULE_NAMES[1:NO_STOP]] == [rule.__name__ for rule in RULES]
    assert all(RULE_SIGNS[1:])
