"""Intervals that know about neighbours."""

import json
import math
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from tests.places import SHARED
from utils.errors import ConfigError
from utils.figures.bootstrap import (
    block_length,
    block_sums,
    chance_positive,
    effective_blocks,
    interval,
    lower_bound,
    mean_interval,
    optimal_block,
    quotient,
    skill,
    stationary_means,
    widened,
)

GOLDEN = SHARED / "golden" / "learning"


def remembering(n, memory, seed):
    """A series whose neighbours hang together: AR(1) of unit innovations."""
    values = np.random.default_rng(seed).normal(size=n)
    for k in range(1, n):
        values[k] += memory * values[k - 1]
    return values


def test_sums_of_blocks_as_long_as_the_series_are_its_sums():
    columns = np.column_stack([np.arange(10.0), np.ones(10)])
    assert np.array_equal(np.tile([45.0, 10.0], (5, 1)), block_sums(columns, 10, 5))
    assert np.array_equal(block_sums(columns, 99, 5), block_sums(columns, 10, 5))


def test_the_same_seed_draws_the_same_blocks():
    columns = np.random.default_rng(1).normal(size=(50, 2))
    assert np.array_equal(block_sums(columns, 7, 20), block_sums(columns, 7, 20))
    assert not np.array_equal(block_sums(columns, 7, 20, 1), block_sums(columns, 7, 20, 2))


def test_of_independent_numbers_the_interval_is_two_errors_wide():
    values = np.random.default_rng(3).normal(1.0, 2.0, 4000)
    low, high = mean_interval(values, np.ones(4000), 5)
    assert low < np.mean(values) < high
    assert high - low == pytest.approx(2 * 1.96 * 2.0 / math.sqrt(4000), rel=0.15)


def test_of_numbers_that_hang_together_it_is_wider():
    dice = np.random.default_rng(4)
    slow = np.repeat(dice.normal(size=200), 20)
    low, high = mean_interval(slow, np.ones(4000), 80)
    alone = mean_interval(slow, np.ones(4000), 1)
    assert high - low > 3.0 * (alone[1] - alone[0])


def test_without_anything_to_count_there_is_no_interval():
    assert all(map(math.isnan, mean_interval(np.zeros(0), np.zeros(0), 3)))
    assert all(map(math.isnan, mean_interval(np.zeros(5), np.zeros(5), 3)))
    assert all(map(math.isnan, interval(np.full(3, np.nan))))


@pytest.mark.parametrize(("n", "length"), [(0, 1), (1, 1), (10, 2), (1_000, 10), (3_508, 15)])
def test_a_block_is_as_long_as_the_cube_root_of_what_there_is(n, length):
    assert length == block_length(n)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_stationary_bootstrap_is_that_of_independent_code(seed):
    if not GOLDEN.exists():
        pytest.skip("the golden bootstrap is not there: ../shared/golden/learning")
    values = pd.read_parquet(GOLDEN / "bootstrap.parquet")["x"].to_numpy()
    golden = json.loads((GOLDEN / "golden.json").read_text())["bootstrap"]
    low, high, positive = (np.mean([run[name] for run in golden["runs"]]) for name in ("lo", "hi", "p_gt_0"))
    how = {"block": golden["block"], "draws": golden["reps"], "seed": seed}
    assert lower_bound(values, 0.975, **how) == pytest.approx(low, abs=0.006)
    assert -lower_bound(-values, 0.975, **how) == pytest.approx(high, abs=0.006)
    assert chance_positive(values, **how) == pytest.approx(positive, abs=0.01)
    assert optimal_block(values) == pytest.approx(golden["optimal_block"]["stationary"], abs=1e-9)


def test_runs_of_one_draw_each_value_by_itself():
    values = np.random.default_rng(1).normal(2.0, 3.0, 400)
    drawn = stationary_means(values, 1, 4000, 5)
    assert drawn.mean() == pytest.approx(values.mean(), abs=0.02)
    assert drawn.std() == pytest.approx(values.std() / 20.0, rel=0.04)


def test_long_runs_keep_what_hangs_together():
    values = remembering(3000, 0.8, 2)
    expected = 5.0 / math.sqrt(3000)  # a mean's spread: that of the innovations over 1 - .8, by the root of n
    assert stationary_means(values, 1).std() < 0.5 * expected
    assert stationary_means(values, 60).std() == pytest.approx(expected, rel=0.15)


def test_every_value_is_drawn_equally_often_those_at_the_ends_too():
    shares = stationary_means(np.eye(12), 5, 20_000, 3).mean(axis=0)
    assert shares == pytest.approx(np.full(12, 1.0 / 12.0), rel=0.05)


def test_runs_go_on_at_the_start_after_the_end_and_are_as_many_as_the_values():
    drawn = stationary_means(np.array([1.0, 2.0, 6.0]), 1e6, 50, 1)
    assert drawn == pytest.approx(np.full(50, 3.0))


def test_columns_stay_paired():
    values = np.random.default_rng(8).normal(size=(100, 1)) * [1.0, 2.0]
    one, twice = stationary_means(values, 4, 300).T
    assert twice == pytest.approx(2.0 * one)
    assert lower_bound(values, seed=2, statistic=lambda means: means[:, 0]) == pytest.approx(
        lower_bound(values[:, 0], seed=2)
    )


def test_the_same_seed_draws_the_same_runs():
    values = np.random.default_rng(1).normal(size=60)
    assert np.array_equal(stationary_means(values, 5, 50, 4), stationary_means(values, 5, 50, 4))
    assert not np.array_equal(stationary_means(values, 5, 50, 4), stationary_means(values, 5, 50, 5))


def test_skill_is_what_a_loss_saves_of_the_others():
    losses = np.column_stack([np.full(50, 0.2), np.full(50, 0.25)])
    assert lower_bound(losses, statistic=skill) == pytest.approx(0.2)
    assert chance_positive(losses, statistic=skill) == 1.0
    assert math.isnan(lower_bound(np.zeros((50, 2)), statistic=skill))


def test_a_lower_bound_is_below_the_mean_and_lower_with_more_confidence():
    values = np.random.default_rng(6).normal(1.0, 1.0, 500)
    assert lower_bound(values, 0.99) < lower_bound(values, 0.9) < values.mean()
    assert chance_positive(values) == 1.0
    assert chance_positive(np.zeros(50)) == 0.0


def test_many_draws_of_a_long_series_take_no_more_memory_than_few():
    values = np.random.default_rng(7).normal(size=50_000)
    tracemalloc.start()
    stationary_means(values, 10, 400)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_what_is_no_series_has_no_means_and_what_is_no_question_no_answer():
    for values in (np.zeros(0), np.array([1.0, math.nan]), np.array([1.0, math.inf])):
        assert np.isnan(stationary_means(values, draws=3)).all()
        assert math.isnan(chance_positive(values))
        assert math.isnan(lower_bound(values))
    for wrong in ({"block": 0.5}, {"block": math.nan}, {"draws": 0}, {"confidence": 1.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            lower_bound(np.ones(5), **wrong)


def test_the_longer_the_memory_the_longer_the_runs_that_suit_it():
    found = [optimal_block(remembering(2000, memory, 3)) for memory in (0.0, 0.5, 0.9)]
    assert found[0] < 4.0 < found[1] < found[2]
    assert all(map(math.isnan, map(optimal_block, (np.zeros(0), np.ones(100), np.full(100, math.nan)))))


def moves_of_spells(dice, bars, held, spoken):
    """Signed moves of a driftless walk over `held` bars, where signals come in spells; and which bars have one."""
    walk = np.cumsum(dice.standard_t(4, size=bars + held))
    sides = dice.choice([1.0, -1.0, 0.0], p=[spoken / 2, spoken / 2, 1.0 - spoken], size=bars)
    side = sides[np.cumsum(dice.random(bars) < 1.0 / held)]
    return side * (walk[held:] - walk[:-held]), (side != 0.0).astype(float)


def stretches_of_trades(dice, stretches, held, spoken):
    """The same added up by stretches of twice as many bars as a trade lasts."""
    moves, known = moves_of_spells(dice, 2 * held * stretches, held, spoken)
    return moves.reshape(stretches, -1).sum(axis=1), known.reshape(stretches, -1).sum(axis=1)


def days_of_trades(dice, days, uneven):
    """Sums of trades that share the luck of their day; the more uneven, the more trades on few of the days."""
    counts = dice.poisson(20.0 * np.exp(uneven * dice.normal(size=days) - uneven * uneven / 2.0)).astype(float)
    return 20.0 * counts * dice.normal(size=days) + 25.0 * np.sqrt(counts) * dice.normal(size=days), counts


def trades_in_a_row(dice, trades, memory):
    """Trades, one after the other, of which each remembers a little of the one before."""
    values = dice.normal(size=trades)
    values[1:] += memory * values[:-1]
    return values, np.ones(trades)


#: Markets without an edge, as each user of the intervals meets them: what makes one, how large, length of a block.
NOTHINGS = {
    "holding": (moves_of_spells, (300, 5, 0.5), 20),
    "holding, few signals": (moves_of_spells, (300, 5, 0.05), 20),
    "search": (stretches_of_trades, (24, 10, 0.5), 4),
    "search, few signals": (stretches_of_trades, (100, 10, 0.05), 4),
    "claims": (days_of_trades, (5, 1.0), 1),
    "figures": (trades_in_a_row, (20, 0.0), 3),
}
MORE_NOTHINGS = {
    "holding, long": (moves_of_spells, (1200, 5, 0.5), 20),
    "search, long": (stretches_of_trades, (100, 20, 0.5), 4),
    "search, longer, few signals": (stretches_of_trades, (400, 10, 0.05), 4),
    "claims, 4 days": (days_of_trades, (4, 0.0), 1),
    "claims, uneven": (days_of_trades, (10, 1.5), 1),
    "claims, 25 days": (days_of_trades, (25, 1.0), 1),
    "figures, 10": (trades_in_a_row, (10, 0.0), 2),
    "figures, remembering": (trades_in_a_row, (20, 0.2), 3),
    "figures, 100": (trades_in_a_row, (100, 0.2), 5),
}


def passes(made, size, block, times, draws):
    """How often the lower end of a 95 % interval is above 0 though nothing is: moving blocks alone, and widened."""
    plain = wide = 0
    for k in range(times):
        totals, counts = made(np.random.default_rng([k, 5]), *size)
        columns = np.column_stack([totals, counts])
        plain += interval(quotient(block_sums(columns, block, draws)))[0] > 0.0
        wide += mean_interval(totals, counts, block, draws)[0] > 0.0
    return plain / times, wide / times


@pytest.mark.parametrize("name", NOTHINGS)
def test_what_is_worth_nothing_passes_no_oftener_than_the_interval_says(name):
    plain, wide = passes(*NOTHINGS[name], 300, 100)
    assert wide <= 0.035
    assert plain > wide


@pytest.mark.long
@pytest.mark.parametrize("name", [*NOTHINGS, *MORE_NOTHINGS])
def test_what_is_worth_nothing_passes_no_oftener_in_thousands_of_markets(name):
    plain, wide = passes(*(NOTHINGS | MORE_NOTHINGS)[name], 4000, 500)
    print(f"{name}: {100 * plain:.1f} % by moving blocks alone, {100 * wide:.1f} % widened")
    assert wide <= 0.035


def test_a_gate_of_hundred_trades_lets_pass_what_it_says():
    plain = gate = 0
    for k in range(600):
        values = trades_in_a_row(np.random.default_rng([k, 6]), 100, 0.0)[0]
        plain += np.mean(stationary_means(values, 10, 400) > 0.0) >= 0.95
        gate += chance_positive(values, 10, 400) >= 0.95
    assert gate <= 0.06 * 600 < plain


def test_the_chance_says_what_the_bound_says():
    for k in range(40):
        values = trades_in_a_row(np.random.default_rng([k, 7]), 100, 0.0)[0] + 0.1
        chance = chance_positive(values)
        assert lower_bound(values, min(0.999, chance - 0.02)) > 0.0 > lower_bound(values, min(0.9999, chance + 0.02))


def test_where_a_few_blocks_hold_everything_there_is_no_interval():
    counts = np.zeros(200)
    counts[[20, 150]] = 1.0
    assert all(map(math.isnan, mean_interval(counts * np.arange(200), counts, 4)))
    assert math.isnan(chance_positive(np.random.default_rng(1).normal(size=25)))


def test_the_fewer_the_blocks_the_wider():
    factors = [widened(blocks, 0.025) for blocks in (4.0, 10.0, 1000.0, 1e9)]
    assert factors == pytest.approx([1.8750, 1.2166, 1.0019, 1.0], abs=1e-3)
    assert math.isnan(widened(3.9, 0.025))
    assert widened(5.0, 0.5) == pytest.approx(math.sqrt(1.25))


def test_blocks_count_by_what_they_hold():
    even = np.column_stack([np.random.default_rng(2).normal(size=4000), np.ones(4000)])
    sparse = even * (np.arange(4000) % 400 < 100)[:, None]
    assert effective_blocks(even, 10, quotient) > 350.0
    assert effective_blocks(sparse, 10, quotient) == pytest.approx(100.0, rel=0.2)
    assert math.isnan(effective_blocks(even[:15], 10, quotient))
