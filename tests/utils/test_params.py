"""Settings become the engine's PARAMS: every field, each from a setting of its own."""

from __future__ import annotations

from typing import Any

import pytest

from utils.codes import LIMIT, MARKET, POST_ONLY
from utils.params import ENTRY_KINDS, params_of
from utils.rows import NS_PER_MINUTE, NS_PER_S, PARAMS
from utils.settings.tree import Settings

#: What makes a field count at all, where something does.
GATES = {
    "trail_bps": {"risk.trail": "bps"},
    "trail_atr": {"risk.trail": "atr"},
    "fixed_notional": {"risk.sizing": "fixed"},
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
    assert set(PARAMS.names) == SET_BY.keys() | TOLD


@pytest.mark.parametrize("name", SET_BY)
def test_a_setting_changes_its_field_and_no_other(name):
    key, value, wanted = SET_BY[name]
    gates = GATES.get(name, {})
    before, after = fields(gates), fields({**gates, key: value})
    assert {name: wanted} == {field: after[field] for field in after if after[field] != before[field]}


@pytest.mark.parametrize("name", GATES)
def test_what_was_not_chosen_is_off(name):
    assert fields({})[name] == 0.0


def test_the_caller_says_the_length_of_a_bar_and_whether_it_is_live():
    row = params_of(Settings(), 7, live=True)[0]
    assert (7, 1) == (row.tf_ns, row.nan_refuses)
    assert params_of(Settings(), 7)[0].nan_refuses == 0


def test_every_kind_of_entry_has_its_code():
    codes = {kind: fields({"execution.entry": kind})["entry_kind"] for kind in ("market", "limit", "post_only")}
    assert {"market": MARKET, "limit": LIMIT, "post_only": POST_ONLY} == codes == ENTRY_KINDS
