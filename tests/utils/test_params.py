"""Settings become the engine's PARAMS: every field, each from a setting of its own."""

from __future__ import annotations

from typing import Any

import pytest

from utils.codes import AUTO, BLOCK, FLATTEN, LIMIT, MARKET, POST_ONLY
from utils.params import ENTRY_KINDS, params_of
from utils.rows import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S, PARAMS
from utils.settings.tree import Settings

#: Fields of limits: all are off without the switch.
LIMITS = (
    "max_risk", "kelly", "max_net", "max_heat", "max_correlated", "max_cluster", "depth_share", "target_vol_bps",
    "equity_floor", "max_daily", "max_losses", "max_drawdown", "cooldown_ns", "max_age_ns", "max_spread_bps",
    "max_vol_bps",
)  # fmt: skip
#: What makes a field count at all, where something does.
GATES = {
    "trail_bps": {"risk.trail": "bps"},
    "trail_atr": {"risk.trail": "atr"},
    "fixed_notional": {"risk.sizing": "fixed"},
    **{limit: {"risk.limits": True} for limit in LIMITS},
}
#: PARAMS field -> the setting that sets it, another value of it, and what the field is then.
SET_BY = {
    "half_spread_bps": ("simulation.spread_bps", 3.0, 1.5),
    "slippage_bps": ("simulation.slippage_bps", 3.0, 3.0),
    "impact": ("simulation.impact", 0.7, 0.7),
    "max_impact_bps": ("simulation.max_impact_bps", 150.0, 150.0),
    "volume_cap": ("simulation.volume_cap", 0.1, 0.1),
    "take_bps": ("risk.take_bps", 40.0, 40.0),
    "stop_bps": ("risk.stop_bps", 41.0, 41.0),
    "horizon": ("risk.horizon", 7, 7.0),
    "stop_in_atr": ("risk.stop", "atr", 1),
    "stop_atr": ("risk.stop_atr", 2.5, 2.5),
    "trail_bps": ("risk.trail_bps", 11.0, 11.0),
    "trail_atr": ("risk.trail_atr", 2.5, 2.5),
    "entry_kind": ("execution.entry", "limit", LIMIT),
    "limit_offset_bps": ("execution.limit_offset_bps", 4.0, 4.0),
    "limit_bars": ("execution.limit_bars", 9, 9.0),
    "risk_fraction": ("risk.risk_per_trade", 0.01, 0.01),
    "fixed_notional": ("risk.fixed_notional", 500.0, 500.0),
    "leverage": ("risk.max_leverage", 5.0, 5.0),
    "max_positions": ("risk.max_positions", 8, 8),
    "veto_break_even": ("signal.veto_below_break_even", True, 1),
    "chandelier": ("risk.trail", "chandelier", 1),
    "stop_floor": ("risk.stop_floor_costs", 4.0, 4.0),
    "stop_liquidation": ("risk.stop_liquidation", 3.0, 3.0),
    "max_risk": ("risk.max_risk_per_trade", 0.02, 0.02),
    "kelly": ("risk.kelly_fraction", 0.5, 0.5),
    "max_net": ("risk.max_net_leverage", 1.5, 1.5),
    "max_heat": ("risk.max_heat", 0.05, 0.05),
    "max_correlated": ("risk.max_correlated_heat", 0.05, 0.05),
    "max_cluster": ("risk.max_cluster_risk", 0.05, 0.05),
    "cluster_rho": ("risk.cluster_correlation", 0.6, 0.6),
    "rho_floor": ("risk.correlation_floor", 0.3, 0.3),
    "rho_weight": ("risk.correlation_halflife", 1.0, 0.5),
    "depth_share": ("risk.max_depth_share", 0.1, 0.1),
    "target_vol_bps": ("risk.target_volatility_bps", 12.0, 12.0),
    "equity_floor": ("risk.drawdown_floor", 0.7, 0.7),
    "max_daily": ("risk.max_daily_loss", 0.03, 0.03),
    "daily_action": ("risk.on_daily_loss", "flatten", FLATTEN),
    "max_losses": ("risk.max_losses", 7, 7.0),
    "losses_ns": ("risk.losses_pause_minutes", 1.5, 3 * NS_PER_MINUTE // 2),
    "max_drawdown": ("risk.max_drawdown", 0.2, 0.2),
    "drawdown_action": ("risk.on_drawdown", "flatten", FLATTEN),
    "drawdown_ns": ("risk.drawdown_pause_hours", 1.5, 3 * NS_PER_HOUR // 2),
    "cooldown_ns": ("risk.cooldown_bars", 4, 4 * NS_PER_MINUTE),
    "max_age_ns": ("risk.max_age_bars", 2.5, 2.5 * NS_PER_MINUTE),
    "max_spread_bps": ("risk.max_spread_bps", 6.0, 6.0),
    "max_vol_bps": ("risk.max_volatility_bps", 90.0, 90.0),
    "equity_step_ns": ("simulation.equity_step_s", 1.5, 3 * NS_PER_S // 2),
}
#: What no setting says: the market's bars, and whether it is live.
TOLD = {"tf_ns", "nan_refuses"}


def settings_of(values: dict[str, Any]) -> Settings:
    tree: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, name = key.split(".")
        tree.setdefault(section, {})[name] = value
    return Settings.model_validate(tree)


def fields(values: dict[str, Any]) -> dict[str, float]:
    row = params_of(settings_of(values), NS_PER_MINUTE)[0]
    return {name: row[name].item() for name in PARAMS.names}


def test_every_field_is_set_by_a_setting_or_by_the_caller():
    assert set(PARAMS.names) == SET_BY.keys() | {"limits"} | TOLD


@pytest.mark.parametrize("name", [name for name in SET_BY if name != "chandelier"])
def test_a_setting_changes_its_field_and_no_other(name):
    key, value, wanted = SET_BY[name]
    gates = GATES.get(name, {})
    before, after = fields(gates), fields({**gates, key: value})
    assert {name: wanted} == {field: after[field] for field in after if after[field] != before[field]}


def test_a_chandelier_is_a_trail_in_true_ranges_that_goes_on():
    assert {"trail_atr": 2.0, "chandelier": 1} == {
        name: fields({"risk.trail": "chandelier"})[name] for name in ("trail_atr", "chandelier")
    }
    assert 0 == fields({"risk.trail": "atr"})["chandelier"]


def test_one_switch_turns_all_limits_on_and_nothing_else():
    on, off = fields({"risk.limits": True}), fields({})
    silent = {"target_vol_bps", "max_spread_bps", "max_vol_bps"}  # of themselves off
    assert {"limits", *LIMITS} - silent == {name for name in on if on[name] != off[name]}
    assert (1, 0) == (on["limits"], off["limits"])


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_of_nothing_is_off(name):
    key = SET_BY[name][0]
    assert 0.0 == fields({"risk.limits": True, key: 0})[name]


def test_what_a_breaker_does_has_its_code():
    for name, setting in (("daily_action", "risk.on_daily_loss"), ("drawdown_action", "risk.on_drawdown")):
        assert [BLOCK, FLATTEN] == [fields({setting: said})[name] for said in ("block", "flatten")]


@pytest.mark.parametrize("name", GATES)
def test_what_was_not_chosen_is_off(name):
    assert fields({})[name] == 0.0


def test_the_caller_says_the_length_of_a_bar_and_whether_it_is_live():
    row = params_of(Settings(), 7, live=True)[0]
    assert (7, 1) == (row.tf_ns, row.nan_refuses)
    assert params_of(Settings(), 7)[0].nan_refuses == 0


def test_every_kind_of_entry_has_its_code():
    codes = {kind: fields({"execution.entry": kind})["entry_kind"] for kind in ENTRY_KINDS}
    assert {"market": MARKET, "limit": LIMIT, "post_only": POST_ONLY, "auto": AUTO} == codes == ENTRY_KINDS
