"""Sizes by past trades alone, matched in their average, and what is found where the odds are known."""

import numpy as np
import pytest

from backtest.experiments.data import walked
from backtest.experiments.kelly import (
    CHANCE,
    CLAIMED,
    FIRST,
    FIXED,
    KELLY,
    MOST_RISK,
    STEADY,
    VOLATILITY,
    Trades,
    answer,
    cells,
    chance_sizes,
    coin_trades,
    deepest,
    drawn_paths,
    findings,
    grown,
    in_turn,
    judged,
    kelly_sizes,
    matched,
)
from backtest.experiments.statistics import FAILS, HOLDS, UNMEASURED
from risk.advanced import kelly_position_sizing
from utils.settings.tree import Settings


def trades(won, strength=None, sigma=None):
    """One trade after the other, twenty a day."""
    n = len(won)
    ones = np.ones(n)
    return Trades(
        "x", np.arange(n) // 20, np.array(won), ones if strength is None else strength, ones if sigma is None else sigma
    )


COIN = coin_trades(3)[0]


def test_kelly_sizes_are_the_formula_on_the_trades_before():
    seen = kelly_sizes(COIN)
    for k in (FIRST, 300, 777):
        past = COIN.won[max(0, k - 200) : k]
        expected = kelly_position_sizing(float((past > 0).mean()), 25.0 / 18.0, 1.0, observations=len(past))
        assert expected == pytest.approx(seen[k - FIRST])


@pytest.mark.parametrize("sizes", [kelly_sizes, chance_sizes])
def test_no_size_knows_its_own_trade_or_a_later_one(sizes):
    whole = sizes(COIN)
    cut = 400
    other = trades(np.concatenate([COIN.won[:cut], -COIN.won[cut:]]))
    assert whole[: cut - FIRST + 1].tolist() == sizes(other)[: cut - FIRST + 1].tolist()
    assert whole[cut - FIRST + 1 :].tolist() != sizes(other)[cut - FIRST + 1 :].tolist()


def test_losing_odds_get_no_size():
    dice = np.random.default_rng(1)
    losing = trades(np.where(dice.random(400) < 0.3, 1.0, -1.0))
    assert 0.0 == kelly_sizes(losing).max() == chance_sizes(losing).max()
    assert 0.0 == kelly_sizes(trades(np.full(100, 0.5))).max()


def test_strength_that_tells_winners_gets_the_size():
    dice = np.random.default_rng(1)
    strength = np.tile([1.0, 9.0], 200) + dice.random(400)
    seen = chance_sizes(trades(np.where(dice.random(400) < np.where(strength > 5.0, 0.7, 0.3), 1.0, -1.0), strength))
    assert seen[1::2].mean() > 0.2
    assert seen[0::2].mean() < 0.02


def test_matched_sizes_have_the_mean_that_is_asked_for():
    sizes = [np.array([1.0, 3.0]), np.array([0.0, 8.0])]
    seen = matched(sizes, 0.0025)
    assert 0.0025 == pytest.approx(np.concatenate(seen).mean())
    assert [0.0, 8.0 / 3.0] == pytest.approx((seen[1] / seen[0][1]).tolist())


def test_a_cap_holds_and_zeros_stay():
    assert [0.0, MOST_RISK] == pytest.approx(matched([np.array([0.0, 1e-6])], 0.2)[0].tolist())
    assert 0.0 == matched([np.zeros(3)], 0.01)[0].max()


def test_growth_and_the_deepest_fall_by_hand():
    growth = grown(np.array([0.5, 0.5, 0.5]), np.array([1.0, -1.0, 0.2]))
    assert np.log([1.5, 0.5, 1.1]) == pytest.approx(growth)
    assert 0.5 == pytest.approx(float(deepest(growth)))
    assert 0.3 == pytest.approx(float(deepest(np.log([0.7, 1.1]))))
    assert 0.0 == float(deepest(np.log([1.1, 1.2])))


def test_resampled_paths_are_blocks_of_neighbours():
    seen = drawn_paths(1000, 4)
    assert (300, 1000) == seen.shape
    assert (0, 999) >= (seen.min(), 0)
    assert seen.max() <= 999
    assert 0.89 == pytest.approx((np.diff(seen, axis=1) == 1).mean(), abs=0.03)


def test_trades_in_turn_never_overlap():
    (series,) = walked(1, 8_000, 2, Settings())
    seen = in_turn(series)
    assert 20 < len(seen.won) < len(series.at)
    assert "random walk, after costs" == seen.group
    assert seen.won.min() == pytest.approx(-1.0, abs=0.05)
    free = in_turn(series, costs=False)
    assert free.won.mean() > seen.won.mean()


@pytest.fixture(scope="module")
def steady():
    return {row.rule: row for row in judged(coin_trades(7), 0.0025, 1)}


def test_rules_are_compared_at_the_same_mean_risk(steady):
    assert [0.0025] * 4 == pytest.approx([steady[rule].risk for rule in (FIXED, VOLATILITY, KELLY, CHANCE)])


def test_half_of_kelly_is_half_its_risk_and_has_its_sharpe_ratio(steady):
    full, half = steady["full Kelly"], steady["half Kelly"]
    assert 0.5 == pytest.approx(half.risk / full.risk)
    assert half.sharpe == pytest.approx(full.sharpe)
    assert 0.1 < full.risk < 0.2776
    assert half.drawdown < full.drawdown


def test_where_odds_are_steady_estimating_them_costs_growth(steady):
    assert steady["half Kelly"].better.value < 0.0
    assert {steady[rule].verdict for rule in CLAIMED} != {HOLDS}


def test_the_fixed_fraction_is_the_measure_and_equals_itself(steady):
    assert UNMEASURED == steady[FIXED].verdict
    assert 0.0 == pytest.approx(steady[FIXED].better.value, abs=1e-4)
    assert HOLDS == steady[VOLATILITY].verdict  # volatility of a coin is the same


def test_on_a_random_walk_no_rule_grows_and_after_costs_kelly_asks_for_no_trade():
    found = {(row.group, row.rule): row for row in findings(walked(3, 60_000, 4, Settings()), 0.0025, 1, coins=False)}
    after, before = "random walk, after costs", "random walk, before costs"
    assert 0.0 == found[after, "half Kelly"].risk == found[after, "half Kelly"].growth.value
    assert found[after, FIXED].growth.high < 0.0
    for rule in (KELLY, CHANCE, "half Kelly"):
        assert found[before, rule].growth.low <= 0.0
        assert FAILS != found[before, rule].verdict
    said = answer(list(found.values()))
    assert any("asks for no trade" in sentence for sentence in said)


def test_coins_are_among_the_findings_and_a_row_has_every_column():
    rows = findings([], 0.0025, 7, coins=True)
    assert 7 == sum(row.group == STEADY for row in rows)
    assert 1 == len({tuple(cells(row)) for row in rows})
