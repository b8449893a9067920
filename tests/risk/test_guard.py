"""Whether at all: each rule by itself, and all in order."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.guard import (
    RULES,
    guard,
    rule_age,
    rule_break_even,
    rule_cluster,
    rule_cooldown,
    rule_correlated_heat,
    rule_daily_loss,
    rule_drawdown,
    rule_drawdown_scale,
    rule_equity,
    rule_heat,
    rule_kelly,
    rule_losses,
    rule_max_leverage,
    rule_max_positions,
    rule_net_leverage,
    rule_spread,
    rule_volatility,
    rule_volatility_scale,
    unrolled,
)
from risk.stops import stop_distance
from tests.market import NAN, TF, instrument, params, question, row, signals
from utils.codes import AUTO, LIMIT, NO_EDGE, RULE_NAMES, RULE_SIGNS
from utils.compiled import compiled
from utils.rows import ACCOUNT

#: Of a breaker's halt.
LATER = 9 * TF


def asked(rules=guard, *, equity=10_000.0, ins=None, said=None, at=None, acc=None, **settings):
    """(scale, name of the refusing rule, value, limit, until)."""
    sig = signals(1, {0: {"side": 1.0, **(said or {})}})
    ins = instrument() if ins is None else ins
    par = params(**{"leverage": 3.0, "max_positions": 2, **settings})
    stop, _ = stop_distance(sig[0], 100.0, ins[0], par[0])
    account = row(ACCOUNT, equity=equity, **(acc or {}))
    scale, rule, value, limit, until = rules(account[0], ins[0], par[0], sig[0], question(stop=stop, **(at or {}))[0])
    return scale, RULE_NAMES[rule], value, limit, until


def refusing(**known):
    """Name of the rule that refuses; nothing where none does."""
    return asked(**known)[1]


def test_an_entry_that_no_rule_minds_passes_whole():
    scale, rule, value, limit, until = asked()
    assert (1.0, "", 0) == (scale, rule, until)
    assert math.isnan(value)
    assert math.isnan(limit)


def test_nothing_is_risked_that_is_not_there():
    assert (0.0, "equity", 0.0, 0.0, 0) == asked(equity=0.0)
    assert (0.0, "equity", -3.0, 0.0, 0) == asked(equity=-3.0)


def test_positions_and_waiting_entries_stay_under_their_limit():
    assert "" == refusing(at={"count": 1})
    assert (0.0, "max_positions", 2.0, 2.0, 0) == asked(at={"count": 2})


def test_gross_notional_stays_under_the_leverage_limit():
    assert "" == refusing(at={"gross": 29_999.0})
    assert (0.0, "max_leverage", 3.0, 3.0, 0) == asked(at={"gross": 30_000.0})


def by_itself(rule, *, acc=None, p_win=NAN, ins=None, par=None, **at):
    """What one rule answers: scale, value, limit, until."""
    par = params(**{"leverage": 3.0, "max_positions": 2, "veto_break_even": 1, "cooldown_ns": 2 * TF, **(par or {})})
    sig = signals(1, {0: {"side": 1.0, "p_win": p_win}})
    ins = instrument(tick=1e-12) if ins is None else ins
    return rule(row(ACCOUNT, **{"equity": 10_000.0, **(acc or {})})[0], ins[0], par[0], sig[0], question(**at)[0])


def test_a_rule_lets_pass_whole_or_refuses_and_says_what_it_saw_and_allows():
    assert (1.0, 0.01, 0.0, 0) == by_itself(rule_equity, acc={"equity": 0.01})
    assert (0.0, 0.0, 0.0, 0) == by_itself(rule_equity, acc={"equity": 0.0})
    assert (1.0, 1.0, 2.0, 0) == by_itself(rule_max_positions, count=1)
    assert (0.0, 2.0, 2.0, 0) == by_itself(rule_max_positions, count=2)
    assert (1.0, pytest.approx(2.9999), 3.0, 0) == by_itself(rule_max_leverage, gross=29_999.0)
    assert (0.0, 3.0, 3.0, 0) == by_itself(rule_max_leverage, gross=30_000.0)


#: Of each rule that holds something below a limit: what it reads, a value for each unit of it, and its setting.
BELOW = [
    (rule_net_leverage, "net", 10_000.0, "max_net"),
    (rule_heat, "heat", 1.0, "max_heat"),
    (rule_cluster, "cluster", 1.0, "max_cluster"),
]


@pytest.mark.parametrize(("rule", "field", "unit", "setting"), BELOW)
def test_what_is_to_stay_below_a_limit_is_refused_at_it(rule, field, unit, setting):
    assert (1.0, 0.25, 0.5, 0) == by_itself(rule, par={setting: 0.5}, **{field: 0.25 * unit})
    assert (0.0, 0.5, 0.5, 0) == by_itself(rule, par={setting: 0.5}, **{field: 0.5 * unit})
    assert (0.0, 2.0, 0.5, 0) == by_itself(rule, par={setting: 0.5}, **{field: 2.0 * unit})
    assert (1.0, 2.0, 0.0, 0) == by_itself(rule, par={setting: 0.0}, **{field: 2.0 * unit})


def test_a_net_against_the_entry_leaves_it_room():
    assert (1.0, -4.0, 0.5, 0) == by_itself(rule_net_leverage, par={"max_net": 0.5}, net=-40_000.0)


#: Of each rule that holds something at a limit: what it reads, a value for each unit of it, its setting, and its unit.
AT_MOST = [
    (rule_age, "age_ns", TF, "max_age_ns", TF),
    (rule_spread, "spread_bps", 1.0, "max_spread_bps", 1.0),
    (rule_volatility, "vol_bps", 1.0, "max_vol_bps", 1.0),
]


@pytest.mark.parametrize(("rule", "field", "unit", "setting", "scale"), AT_MOST)
def test_what_is_to_stay_at_a_limit_is_refused_beyond_it(rule, field, unit, setting, scale):
    assert (1.0, 3.0, 3.0, 0) == by_itself(rule, par={setting: 3.0 * scale}, **{field: 3.0 * unit})
    assert (0.0, 3.5, 3.0, 0) == by_itself(rule, par={setting: 3.0 * scale}, **{field: 3.5 * unit})
    assert (1.0, 9.0, 0.0, 0) == by_itself(rule, par={setting: 0.0}, **{field: 9.0 * unit})


@pytest.mark.parametrize(("rule", "field", "unit", "setting", "scale"), AT_MOST)
def test_what_is_not_known_passes_in_simulations_and_refuses_live_where_it_is_asked_for(
    rule, field, unit, setting, scale
):
    def said(**par):
        scale_said, value, limit, until = by_itself(rule, par=par, **{field: NAN})
        assert math.isnan(value)
        return scale_said, limit, until

    assert (1.0, 3.0, 0) == said(**{setting: 3.0 * scale})
    assert (0.0, 3.0, 0) == said(**{setting: 3.0 * scale, "nan_refuses": 1})
    assert (1.0, 0.0, 0) == said(nan_refuses=1)


#: Of each breaker: where the account keeps its halt and what tripped it, and its setting.
BREAKERS = [
    (rule_daily_loss, "daily", "max_daily"),
    (rule_losses, "losses", "max_losses"),
    (rule_drawdown, "drawdown", "max_drawdown"),
]


@pytest.mark.parametrize(("rule", "name", "setting"), BREAKERS)
def test_a_halt_holds_until_its_time_and_says_which_and_what_tripped_it(rule, name, setting):
    halted = {f"{name}_until": LATER, f"{name}_saw": 0.07}
    assert (0.0, 0.07, 0.05, LATER) == by_itself(rule, acc=halted, par={setting: 0.05}, ts=LATER - 1)
    assert (1.0, 0.07, 0.05, LATER) == by_itself(rule, acc=halted, par={setting: 0.05}, ts=LATER)
    assert (1.0, 0.0, 0.05, 0) == by_itself(rule, par={setting: 0.05}, ts=TF)
    # switched off afterwards, a halt that is under way goes on: it is state
    assert (0.0, 0.07, 0.0, LATER) == by_itself(rule, acc=halted, ts=TF)


def test_a_symbol_rests_after_a_stop():
    # stopped at bar 7, two bars of rest
    assert (0.0, 0.0, 2.0, LATER) == by_itself(rule_cooldown, ts=7 * TF, cool_until=LATER)
    assert (0.0, 1.0, 2.0, LATER) == by_itself(rule_cooldown, ts=8 * TF, cool_until=LATER)
    assert (1.0, 2.0, 2.0, LATER) == by_itself(rule_cooldown, ts=LATER, cool_until=LATER)
    assert 1.0 == by_itself(rule_cooldown, ts=TF)[0]


def test_correlated_heat_is_refused_where_it_leaves_no_room():
    par = {"max_correlated": 0.03}
    assert (1.0, 0.02, 0.03, 0) == by_itself(rule_correlated_heat, par=par, variance=0.02**2, correlated_room=0.01)
    assert (0.0, 0.03, 0.03, 0) == by_itself(rule_correlated_heat, par=par, variance=0.03**2, correlated_room=0.0)
    # a sum of roundings below nothing is nothing
    assert (1.0, 0.0, 0.03, 0) == by_itself(rule_correlated_heat, par=par, variance=-1e-20, correlated_room=0.03)
    assert (1.0, 0.5, 0.0, 0) == by_itself(rule_correlated_heat, variance=0.25)


def test_what_kelly_would_not_bet_on_is_refused_and_what_it_does_not_know_passes():
    assert (1.0, 0.001, 0.0, 0) == by_itself(rule_kelly, kelly=0.001)
    assert (0.0, 0.0, 0.0, 0) == by_itself(rule_kelly, kelly=0.0)
    assert 1.0 == by_itself(rule_kelly)[0]


@pytest.mark.parametrize(
    ("drawdown", "scale"), [(0.0, 1.0), (0.05, 2.0 / 3.0), (0.10, 1.0 / 3.0), (0.15, 0.0), (0.4, 0.0), (-0.01, 1.0)]
)
def test_a_drawdown_shrinks_an_entry_to_nothing_at_its_floor(drawdown, scale):
    # Grossman and Zhou 1993: (1 - DD - 0.85) / 0.15
    found = by_itself(rule_drawdown_scale, par={"equity_floor": 0.85}, drawdown=drawdown)
    assert (pytest.approx(scale, abs=1e-12), pytest.approx(1.0 - drawdown), 0.85, 0) == found
    assert 1.0 == by_itself(rule_drawdown_scale, drawdown=drawdown)[0]


def test_volatility_above_its_target_shrinks_an_entry_in_proportion():
    par = {"target_vol_bps": 10.0}
    assert (0.4, 25.0, 10.0, 0) == by_itself(rule_volatility_scale, par=par, vol_bps=25.0)
    assert (1.0, 10.0, 10.0, 0) == by_itself(rule_volatility_scale, par=par, vol_bps=10.0)
    assert (1.0, 2.0, 10.0, 0) == by_itself(rule_volatility_scale, par=par, vol_bps=2.0)
    assert 1.0 == by_itself(rule_volatility_scale, par=par)[0]
    assert 1.0 == by_itself(rule_volatility_scale, vol_bps=1e4)[0]


def test_scales_of_drawdown_and_volatility_multiply():
    known = {"at": {"drawdown": 0.05, "vol_bps": 20.0}, "equity_floor": 0.85, "target_vol_bps": 10.0}
    assert pytest.approx(1.0 / 3.0) == asked(**known)[0]


def test_the_win_rate_that_pays_the_costs_is_enough():
    # 100 bps against 50, and a tick of nothing: one win in three
    needed = by_itself(rule_break_even)[2]
    assert pytest.approx(1.0 / 3.0, abs=1e-9) == needed
    assert (1.0, needed, needed, 0) == by_itself(rule_break_even, p_win=needed)
    assert (0.0, 0.3, needed, 0) == by_itself(rule_break_even, p_win=0.3)
    scale, saw, limit, until = by_itself(rule_break_even, par={"nan_refuses": 1})
    assert (0.0, True, needed, 0) == (scale, math.isnan(saw), limit, until)
    assert 1.0 == by_itself(rule_break_even)[0]
    off = by_itself(rule_break_even, par={"veto_break_even": 0})
    assert (1.0, True, True, 0) == (off[0], math.isnan(off[1]), math.isnan(off[2]), off[3])


def test_the_first_rule_that_refuses_is_named():
    assert "max_positions" == refusing(at={"count": 5, "gross": 1e6})
    halted = {"daily_until": LATER, "drawdown_until": LATER}
    assert (0.0, "max_daily_loss", 0.0, 0.0, LATER) == asked(acc=halted, at={"count": 5})


def veto(p_win, ins=None, said=None, **settings):
    fees = instrument(tick=0.01, per_tick=100.0, maker_bps=2.0, taker_bps=5.0) if ins is None else ins
    known = {"veto_break_even": 1, "take_bps": 25.0, "stop_bps": 18.0, "half_spread_bps": 0.5, "slippage_bps": 0.5}
    return asked(ins=fees, said={"p_win": p_win, **(said or {})}, **{**known, **settings})[:4]


def test_the_veto_asks_for_the_win_rate_that_pays_the_costs():
    # taker entry: 5 + 1 + 2 at the take, 5 + 1 + 5 + 1 at the stop
    needed = (18.0 + 12.0) / (25.0 - 8.0 + 18.0 + 12.0)
    assert (0.0, "break_even", 0.6, pytest.approx(needed)) == veto(0.6)
    assert "" == veto(0.64)[1]


def test_a_resting_entry_needs_fewer_wins():
    needed = (18.0 + 8.0) / (25.0 - 4.0 + 18.0 + 8.0)
    assert (0.0, "break_even", 0.55, pytest.approx(needed)) == veto(0.55, entry_kind=LIMIT)
    assert "" == veto(0.56, entry_kind=LIMIT)[1]


def test_an_entry_that_may_be_a_taker_in_the_end_needs_the_wins_of_one():
    assert veto(0.6) == veto(0.6, entry_kind=AUTO)


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
def rule_half(acc, ins, par, sig, at):
    return 0.5, 1.0, 2.0, 0


def test_rules_that_shrink_an_entry_multiply():
    assert 0.25 == asked(unrolled((rule_half, rule_equity, rule_half)))[0]


def test_a_rule_is_numbered_by_its_place():
    sig, par = signals(1, {0: 1.0}), params(veto_break_even=1, nan_refuses=1)
    one = unrolled((rule_half, rule_break_even))
    assert (0.0, 2) == one(row(ACCOUNT, equity=1.0)[0], instrument()[0], par[0], sig[0], question()[0])[:2]


#: What makes each rule refuse alone: of the account, of the question, of the signal, and settings.
def test_what_a_model_expects_reaches_the_least_that_it_takes_a_trade_for():
    for net, least in ((1.5, 1.5), (-3.0, -math.inf), (math.nan, math.nan), (-9.0, math.nan)):
        assert "" == refusing(said={"net_bps": net, "least_bps": least})
    for net, least in ((1.49, 1.5), (1e9, math.inf), (math.nan, 1.5), (math.nan, -math.inf)):
        scale, rule, value, limit, until = asked(said={"net_bps": net, "least_bps": least})
        assert (0.0, "expected_net", least, 0) == (scale, rule, limit, until)
        assert value == pytest.approx(net, nan_ok=True)


ALONE = {
    "equity": {"equity": 0.0},
    "max_daily_loss": {"acc": {"daily_until": LATER}},
    "max_losses": {"acc": {"losses_until": LATER}},
    "max_drawdown": {"acc": {"drawdown_until": LATER}},
    "cooldown_bars": {"at": {"cool_until": LATER}},
    "max_age_bars": {"at": {"age_ns": 2 * TF}, "max_age_ns": TF},
    "max_spread_bps": {"at": {"spread_bps": 3.0}, "max_spread_bps": 2.0},
    "max_volatility_bps": {"at": {"vol_bps": 3.0}, "max_vol_bps": 2.0},
    "drawdown_floor": {"at": {"drawdown": 0.2}, "equity_floor": 0.85},
    "target_volatility_bps": {"at": {"vol_bps": math.inf}, "target_vol_bps": 1.0},
    "max_positions": {"at": {"count": 2}},
    "max_leverage": {"at": {"gross": 3e4}},
    "max_net_leverage": {"at": {"net": 2e4}, "max_net": 2.0},
    "max_heat": {"at": {"heat": 0.04}, "max_heat": 0.04},
    "max_correlated_heat": {"at": {"correlated_room": 0.0}},
    "max_cluster_risk": {"at": {"cluster": 0.02}, "max_cluster": 0.02},
    "kelly": {"at": {"kelly": 0.0}},
    "break_even": {"said": {"p_win": 0.1}, "veto_break_even": 1},
    "expected_net": {"said": {"net_bps": 1.0, "least_bps": 1.5}},
}


@pytest.mark.parametrize("name", RULE_NAMES[1:NO_EDGE])
def test_every_rule_refuses_alone_under_its_own_name(name):
    scale, rule, *_ = asked(**ALONE[name])
    assert (0.0, name) == (scale, rule)


@given(p=st.floats(0.0, 1.0), drawdown=st.floats(0.0, 1.0), vol=st.floats(0.0, 1e4), floor=st.floats(0.0, 0.99))
def test_a_scale_is_a_share_and_falls_with_drawdown_and_volatility(p, drawdown, vol, floor):
    def scale(down, moves):
        par = {"equity_floor": floor, "target_vol_bps": 10.0}
        return asked(at={"drawdown": down, "vol_bps": moves}, **par)[0]

    now = scale(drawdown, vol)
    assert 0.0 <= scale(drawdown + p, vol) <= now <= 1.0
    assert scale(drawdown, vol + p) <= now


def test_rules_bear_the_names_of_their_codes_and_sizing_has_the_rest():
    renamed = {
        "rule_daily_loss": "max_daily_loss", "rule_losses": "max_losses", "rule_drawdown": "max_drawdown",
        "rule_cooldown": "cooldown_bars", "rule_age": "max_age_bars", "rule_spread": "max_spread_bps",
        "rule_volatility": "max_volatility_bps", "rule_drawdown_scale": "drawdown_floor",
        "rule_volatility_scale": "target_volatility_bps", "rule_net_leverage": "max_net_leverage",
        "rule_heat": "max_heat", "rule_correlated_heat": "max_correlated_heat", "rule_cluster": "max_cluster_risk",
    }  # fmt: skip
    named = [renamed.get(rule.__name__, rule.__name__.removeprefix("rule_")) for rule in RULES]
    assert named == list(RULE_NAMES[1:NO_EDGE])
    assert all(RULE_SIGNS[1:])
