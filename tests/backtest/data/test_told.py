"""What people are told of a data set."""

import copy

import pytest

from backtest.data.dataset import make_dataset
from backtest.data.market import synthetic_market
from backtest.data.told import lines_of, warnings_of
from utils.settings.tree import Settings


@pytest.fixture(scope="module")
def manifest():
    return make_dataset(synthetic_market(Settings(), "BTCUSDT", "1m", 300), Settings()).manifest


def test_lines_say_how_many_how_often_and_what_it_takes(manifest):
    lines = list(lines_of(manifest))
    assert lines[0].startswith(f"{manifest['rows']} decisions of BTCUSDT at 1m, ")
    assert lines[2].startswith(f"long: {manifest['long']['labels']} labels, ")
    assert lines[-1] == "BTCUSDT: win rate that pays the costs without a time limit: 55.8 %"


def test_nothing_is_warned_of_but_what_is_there(manifest):
    assert list(warnings_of(manifest)) == ["of the mock market: no evidence of a market"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["prices"]["BTCUSDT"].update(tick_bps=9.0), "its tick is 9.00 bps, wider than the fees of a round"),
        (lambda m: m["short"].update(ambiguous_share=0.03), "short: 3.0 % of the trades met a bar that touched both"),
        (lambda m: m.update(empty=["taker_flow_1"]), "no value in any row: taker_flow_1"),
        (
            lambda m: m["sources"][0].update(
                gaps=[{"after": f"day {k}", "before": "", "missing": 2} for k in range(4)]
            ),
            "BTCUSDT: 4 gaps of 8 bars in all (after day 0, after day 1, after day 2, ...)",
        ),
        (lambda m: m["settings"]["risk"].update(stop="atr"), "labels have a stop of stop_bps, without a trail"),
        (lambda m: m["doubts"].append("BTCUSDT: a doubt"), "BTCUSDT: a doubt"),
    ],
)
def test_a_warning_names_what_and_where(manifest, change, said):
    other = copy.deepcopy(manifest)
    change(other)
    assert any(said in warning for warning in warnings_of(other))


def test_a_direction_without_labels_has_dashes(manifest):
    other = copy.deepcopy(manifest)
    other["long"].update(base_rate=None, mean_net_bps=None, mean_uniqueness=None, unfilled_share=1.0)
    assert "- won, none a trade; uniqueness 0.000" in list(lines_of(other))[2]
