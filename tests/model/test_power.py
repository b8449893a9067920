"""The gate errs as seldom as it says: few markets of each kind here, a hundred of them by `python -m model.power`."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ml.learning.table import LONG, SHORT
from model.power import PLANTED, ROTATED, TELLS, WALK, daily, free, main, once, planted, rotated, table_of
from tests.ml.learning.made import made
from utils.config import load_settings

SETTINGS = load_settings(env={}).settings


def few(table, days=45):
    """A shorter table."""
    return table.take(slice(0, days * 288))


def test_a_free_market_has_no_cost_at_all():
    found = free(SETTINGS)
    fees = found.instrument("binance_usdm", "BTCUSDT")
    assert (fees.maker_bps, fees.taker_bps) == (0.0, 0.0)
    assert (found.simulation.spread_bps, found.simulation.slippage_bps, found.simulation.impact) == (0.0, 0.0, 0.0)
    assert found.execution.entry == "market"


def test_rotated_labels_are_the_same_labels_elsewhere_with_a_mean_of_nothing():
    table = made(2000)
    found = rotated(table, np.random.default_rng(1))
    assert np.nanmean(found.net, axis=0) == pytest.approx([0.0, 0.0], abs=1e-12)
    for way in (LONG, SHORT):
        np.testing.assert_allclose(np.sort(found.net[:, way]), np.sort(table.net[:, way] - table.net[:, way].mean()))
    assert (found.x == table.x).all()
    assert (found.until > found.ts[:, None]).all()
    turn = int(np.argmin(np.abs(found.net[:, LONG] - (table.net[0, LONG] - table.net[:, LONG].mean()))))
    assert 200 <= turn <= 1800


def test_a_planted_edge_is_as_large_as_it_says_and_nowhere_else():
    table = replace(made(20_000), names=(TELLS, "f1", "f2", "f3"))
    found = planted(table, 8.0, np.random.default_rng(1))
    low = table.x[:, 0] <= np.quantile(table.x[:, 0], 0.1)
    gained = found.net - table.net
    assert gained[low, LONG].mean() == pytest.approx(8.0, abs=1.5)
    assert (gained[~low, LONG] == 0.0).all()
    assert (gained[:, SHORT] != 0.0).mean() < 0.1


@pytest.mark.parametrize("kind", [WALK, ROTATED])
def test_nothing_passes_where_nothing_is_to_be_earned(kind):
    passed = [once(table_of(kind, seed, 14_000, 0.0, SETTINGS), seed, "logistic", 60.0).passed for seed in (1, 2, 3)]
    assert not any(passed)


@pytest.mark.slow
def test_an_edge_is_seen():
    found = once(table_of(PLANTED, 1, 20_000, 12.0, SETTINGS), 1, "lightgbm", 60.0, 2)
    assert found.passed
    assert found.net_bps > 5.0


def test_a_look_a_day_judges_each_day_by_the_model_before():
    found = daily(few(table_of(WALK, 1, 8_000, 0.0, SETTINGS)), 1, "logistic", 10, 60.0)
    assert not found.passed
    assert found.days >= 10


def test_an_edge_is_found_day_by_day_too():
    table = replace(made(12_000, edge_bps=25.0), names=(TELLS, "f1", "f2", "f3"))
    found = daily(table, 1, "logistic", 30, 60.0)
    assert found.passed
    assert 0 < found.first_pass <= 30


def test_the_command_counts_what_passed(capsys):
    assert main(["walk", "--seeds", "1", "--bars", "12000", "--family", "logistic", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["passed"], len(told["seeds"])) == ("walk", 0, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["walk", "--seeds", "0"], "--seeds: expected at least 1"),
        (["walk", "--data", "x.csv"], "--data: it is rotated"),
        (["nowhere"], "rotated"),
        (["walk", "--bars", "100"], "data"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(capsys, words, said):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert said in err
