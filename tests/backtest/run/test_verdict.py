"""The sentence of a run, and the money behind it."""

from dataclasses import replace

import pytest

from backtest.data.market import synthetic_market
from backtest.run.verdict import Step, all_steps, exits, gates, outcome, steps, verdict, why_not_more
from backtest.sim_loop import run_simulation
from tests.e2e.support import settings_of


def ran(folder, steps=400, **flags):
    settings = settings_of(**flags)
    return run_simulation(data=synthetic_market(settings, "BTCUSDT", "5m", steps), settings=settings, logs_dir=folder)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return ran(tmp_path_factory.mktemp("logs"))


def test_the_steps_from_prices_to_the_result_add_up_to_it(result):
    money = steps(result)
    assert ["price moves", "spread", "slippage", "fees"] == [step.name for step in money]
    assert sum(step.money for step in money) == pytest.approx(result.report["net_pnl"], abs=1e-8)
    assert money[3].money == pytest.approx(-result.report["fees"])
    assert max(step.money for step in money[1:]) < 0
    assert sum(step.bps or 0.0 for step in money) == pytest.approx(result.report["money"]["net_bps"])


def test_all_steps_part_makers_from_takers_and_hold_funding(result):
    names = ["price moves", "spread", "slippage", "maker fees", "taker fees", "funding"]
    assert names == [step.name for step in all_steps(result)]
    assert -result.metrics["Spread+slippage cost"] == pytest.approx(sum(step.money for step in all_steps(result)[1:3]))


def test_funding_that_was_paid_is_a_step_and_fees_that_are_not_parted_stay_one(result):
    told = [{"name": "price moves", "quote": 3.0, "bps": 3.0}, {"name": "fees", "quote": -1.0, "bps": -1.0}]
    told.append({"name": "funding", "quote": -0.5, "bps": -0.5})
    paid = replace(result, report={**result.report, "money": {"steps": told}})
    assert [Step("price moves", 3.0, 3.0), Step("fees", -1.0, -1.0), Step("funding", -0.5, -0.5)] == steps(paid)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (-0.976, "lost 97.6 %"),
        (-0.0706, "lost 7.1 %"),
        (-0.0094, "lost 0.94 %"),
        (0.02, "gained 2.0 %"),
        (1e-6, "came out even"),
        (0.0, "came out even"),
    ],
)
def test_what_became_of_the_account_is_one_word_and_a_number(share, words):
    assert words == outcome(share)


def test_the_verdict_is_the_result_after_costs_and_before(result):
    capital = result.report["initial_capital"]
    after, before = (outcome(money / capital) for money in (result.report["net_pnl"], steps(result)[0].money))
    assert f"After costs this run {after}. Before costs the same trades {before}." == verdict(result)


def test_what_is_still_open_is_a_step_of_its_own_and_part_of_the_result(result):
    open_too = replace(result, report={**result.report, "final_equity": result.report["final_equity"] + 250.0})
    assert ("still open", 250.0) == (steps(open_too)[-1].name, pytest.approx(steps(open_too)[-1].money))
    only_open = replace(result, report={**result.report, "trades": 0, "final_equity": 10_250.0})
    assert "No trade has been closed. With what is still open the account gained 2.5 %." == verdict(only_open)


def test_why_not_more_trades_counts_bars_and_signals_that_became_none(result):
    funnel, said = result.funnel, why_not_more(result)
    assert said.startswith(f"{gates(result)[0][0]} {100 * gates(result)[0][1]:.0f} %")
    assert f"of {funnel['signals']} signals {funnel['held']} came while in a position" in said
    assert sum(share for _, share in gates(result)) * 400 == pytest.approx(400 - funnel["signals"])


def test_exits_are_counted_by_reason_the_most_frequent_first(result):
    counts = result.trades["exit_reason"].value_counts()
    assert f"{counts.index[0].lower().replace('_', ' ')} {counts.iloc[0]}" == exits(result).split(", ")[0]
    assert counts.sum() == sum(int(part.split()[-1]) for part in exits(result).split(", "))


def test_a_run_of_refusals_names_the_rule(tmp_path):
    refused = ran(tmp_path, risk__max_leverage=0.0001, instruments__default__default__min_notional=1_000.0)
    assert 0 == refused.report["trades"] < refused.funnel["refused"]
    assert f"{refused.funnel['refused']} refused (min notional)" in why_not_more(refused)
    assert "This run made no trade." in verdict(refused)


def test_a_strategy_of_ones_own_has_no_gates_to_name(tmp_path):
    settings = settings_of()
    market = synthetic_market(settings, "BTCUSDT", "5m", 300)

    def tenth(frame):
        return frame[["ts"]].assign(side=[1.0 if k % 10 == 0 else float("nan") for k in range(len(frame))])

    said = why_not_more(run_simulation(data=market, settings=settings, strategy=tenth, logs_dir=tmp_path))
    assert said.startswith("no signal at 90 % of bars; of 30 signals ")
