from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ml.learning.gate import challenge, differences, outlook, skill_bound, verdict
from ml.learning.walk import Evidence, nothing
from ml.learning.wealth import wealth, wealth_of_open
from tests.ml.learning.made import DAY, MINUTE


def evidence(
    days: int = 60, a_day: int = 8, mean: float = 0.0, sd: float = 20.0, skill: float = 0.02, seed: int = 1
) -> Evidence:
    dice = np.random.default_rng(seed)
    n = days * a_day
    ts = 19_000 * DAY + (1 + np.arange(n, dtype=np.int64)) * (DAY // a_day)
    base = dice.uniform(40.0, 60.0, days)
    return Evidence(
        first=int(ts[0]),
        last=int(ts[-1]),
        ts=ts,
        until=ts + 10 * MINUTE,
        sym=np.zeros(n, np.int64),
        side=np.where(np.arange(n) % 2, 1, -1),
        p=np.full(n, 0.5),
        bps=np.full(n, 1.0),
        net=mean + sd * dice.normal(size=n),
        day=19_000 + np.arange(days),
        scores=np.column_stack([np.full(days, 200.0), np.full(days, 100.0), base * (1.0 - skill), base]),
    )


def test_an_edge_with_skill_passes():
    found = verdict(evidence(mean=6.0), 1, 60.0, seed=1)
    assert found.opens
    assert str(found) == "enabled"
    assert found.first_failing is None


def test_nothing_at_all_is_not_enough():
    found = verdict(nothing(), 1, 60.0, seed=1)
    assert not found.opens
    assert not found.enough
    assert str(found) == "not enabled: test days 0 threshold 30 (not enough data)"
    assert math.isnan(found.outlook.smallest_bps)


@pytest.mark.parametrize(
    ("one", "rule"),
    [
        (evidence(days=29, a_day=20, mean=6.0), "test days"),
        (evidence(days=33, a_day=3, mean=14.0), "trades"),
        (evidence(mean=-1.0), "P(net > 0)"),
        (evidence(mean=6.0, skill=-0.01), "Brier skill, lower bound"),
        (evidence(mean=2.5, a_day=4, sd=10.0), "wealth"),
    ],
)
def test_each_rule_refuses_alone(one, rule):
    found = verdict(one, 1, 60.0, seed=1)
    assert found.first_failing is not None
    assert found.first_failing.name == rule
    alone = rule != "P(net > 0)"  # who has no edge has no wealth either
    assert not alone or sum(not each.holds for each in found.rules) == 1
    assert str(found).startswith(f"not enabled: {rule} ")


def test_every_configuration_that_was_tried_raises_the_wealth_that_is_asked():
    one = evidence(mean=5.0, days=90)
    rules = {tried: verdict(one, tried, 60.0, seed=1).rules[-1] for tried in (1, 1_000_000)}
    assert rules[1].holds
    assert not rules[1_000_000].holds
    assert rules[1_000_000].threshold == 20e6


def test_a_skill_of_nothing_is_not_above_zero():
    base = np.full(40, 50.0)
    assert not skill_bound(base, base, seed=1) > 0.0
    assert math.isnan(skill_bound(base[:1], base[:1], seed=1))


def test_the_smallest_edge_is_two_and_a_half_errors():
    one = evidence()
    found = outlook(one, one.days, 1.0, 20.0, 60.0)
    assert found.smallest_bps == pytest.approx(2.5 * one.net.std(ddof=1) / math.sqrt(len(one.net)))
    assert found.days_needed == 0.0


def test_days_are_still_needed_while_there_are_too_few():
    one = evidence(days=10, a_day=2)
    found = outlook(one, one.days, 1.0, 20.0, 60.0)
    assert found.days_needed == pytest.approx(max(20.0, 80 * 9.5 / 20), rel=0.1)
    assert found.edge_days >= found.days_needed


def test_a_challenger_is_judged_on_differences():
    champion, better = evidence(mean=0.0), evidence(mean=0.0)
    better = replace(better, net=better.net + 5.0, scores=better.scores * np.array([1.0, 1.0, 0.97, 1.0]))
    found = challenge(better, champion, 1, 60.0, 25.0, seed=1)
    assert found.opens
    assert not challenge(champion, champion, 1, 60.0, 25.0, seed=1).opens
    assert not challenge(champion, better, 1, 60.0, 25.0, seed=1).opens


def test_what_one_of_them_did_alone_counts_with_its_sign():
    one, other = evidence(days=2, a_day=2), evidence(days=2, a_day=2)
    other = replace(other, ts=other.ts + MINUTE, last=other.last + MINUTE)
    found = differences(one, other, 0, 1 << 62)
    np.testing.assert_array_equal(found["until"], np.ravel(np.column_stack([one.until, other.until])))
    np.testing.assert_allclose(found["net"], np.ravel(np.column_stack([one.net, -other.net])))


def test_several_symbols_at_once_are_no_independent_bets():
    """Ten symbols that move together, each fair: their product would pass 20 in most cases, some time or other."""
    passed = 0
    for seed in range(40):
        dice = np.random.default_rng(seed)
        common = dice.normal(size=(300, 1))
        net = 21.0 * np.sign(0.9 * common + 0.44 * dice.normal(size=(300, 10)))
        ts = np.repeat((1 + np.arange(300)) * 60 * MINUTE, 10)
        until = ts + 50 * MINUTE
        passed += any(wealth_of_open(ts[:n], until[:n], net.ravel()[:n], 60.0) >= 20.0 for n in range(100, 3001, 100))
    assert passed <= 4


def test_trades_one_after_the_other_are_a_product():
    one = evidence()
    apart = wealth_of_open(one.ts, one.until, one.net, 60.0)
    assert apart == wealth(one.net, 60.0)
    late = one.until.copy()
    late[0] = one.ts[1] + 1
    assert wealth_of_open(one.ts, late, one.net, 60.0) == pytest.approx(apart, rel=0.05)


def test_a_bet_that_is_lost_stays_lost():
    ts = np.arange(1, 6, dtype=np.int64) * MINUTE
    net = np.array([-2_000.0, 50.0, 50.0, 50.0, 50.0])
    assert wealth_of_open(ts, ts + 2 * MINUTE, net, 60.0) == 0.0
