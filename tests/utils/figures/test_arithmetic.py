"""The arithmetic of performance: golden values, days, and where a figure is undefined."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ml.learning.goldens import golden
from tests.runs import (
    DAY,
    MINUTE,
    START,
)
from utils.figures import arithmetic


def test_probabilistic_sharpe_of_bailey_and_lopez_de_prado() -> None:
    assert arithmetic.probabilistic_sharpe(0.458, 24, -2.448, 10.164) == pytest.approx(0.9134, abs=1e-4)


def test_deflated_sharpe_of_bailey_and_lopez_de_prado() -> None:
    daily, variance = 2.5 / math.sqrt(250), 0.5 / 250
    assert arithmetic.expected_max_sharpe(100, variance) == pytest.approx(0.1132, abs=1e-4)
    assert arithmetic.deflated_sharpe(daily, 1250, -3, 10, 100, variance) == pytest.approx(0.9004, abs=1e-4)
    assert arithmetic.deflated_sharpe(daily, 1250, -3, 10, 46, variance) == pytest.approx(0.9505, abs=1e-4)


@pytest.mark.parametrize("case", range(4))
def test_sharpe_ratios_and_their_proofs_are_those_of_independent_code(case: int) -> None:
    want = golden("sharpe")[case]
    returns = np.array(want["returns"])
    n = len(returns)
    ratio, skew, kurtosis = shape = arithmetic.moments(returns)
    assert (want["sharpe"], want["skew"], want["kurtosis"]) == pytest.approx(shape, abs=1e-10)
    certain = arithmetic.probabilistic_sharpe(ratio, n, skew, kurtosis)
    assert want["psr0"] == pytest.approx(certain, abs=1e-10)
    # purgedcv corrects moments for bias; quantstats is 3e-5 from scipy where the record is short and the ratio large
    assert want["psr0_purgedcv"] == pytest.approx(certain, abs=1e-3)
    assert want["psr0_quantstats"] == pytest.approx(certain, abs=1e-5 if n > 120 else 3e-5)
    assert want["psr_005"] == pytest.approx(arithmetic.probabilistic_sharpe(ratio, n, skew, kurtosis, 0.05), abs=1e-10)
    for trials in (2, 10, 100, 1000):
        found = arithmetic.deflated_sharpe(ratio, n, skew, kurtosis, trials, 0.01)
        assert want[f"dsr_N{trials}_V0.01"] == pytest.approx(found, abs=1e-10)
        assert want[f"dsr_N{trials}_purgedcv"] == pytest.approx(found, abs=1e-3)
    record = arithmetic.min_track_record(ratio, skew, kurtosis)
    assert (math.inf if want["mintrl_95"] is None else want["mintrl_95"]) == pytest.approx(record, rel=1e-10)


def test_minimum_track_record_is_where_the_probabilistic_sharpe_reaches_the_confidence() -> None:
    n = arithmetic.min_track_record(0.458, -2.448, 10.164, 0.1, 0.95)
    assert arithmetic.probabilistic_sharpe(0.458, math.floor(n), -2.448, 10.164, 0.1) < 0.95
    assert arithmetic.probabilistic_sharpe(0.458, math.ceil(n), -2.448, 10.164, 0.1) > 0.95
    assert arithmetic.min_track_record(0.1, 0, 3, 0.1) == math.inf
    assert math.isnan(arithmetic.min_track_record(math.nan, 0, 3))


def test_wilson_lower_bound_of_58_of_100_one_sided() -> None:
    low, high = arithmetic.wilson_interval(58, 100, 0.90)
    assert low == pytest.approx(0.498, abs=5e-4)
    assert low < 0.58 < high


# days


def test_days_without_rows_return_nothing() -> None:
    times = START + DAY * np.array([1, 4])
    assert arithmetic.daily_returns(times, np.array([110.0, 99.0]), 100.0) == pytest.approx([0.1, 0.0, 0.0, -0.1])


def test_the_last_partial_day_counts() -> None:
    times = START + np.array([DAY, DAY + MINUTE])
    assert arithmetic.daily_returns(times, np.array([110.0, 121.0]), 100.0) == pytest.approx([0.1, 0.1])


def test_a_close_at_midnight_belongs_to_the_day_that_ends() -> None:
    times = START + np.array([MINUTE, DAY])
    assert arithmetic.daily_returns(times, np.array([110.0, 120.0]), 100.0) == pytest.approx([0.2])


def test_of_equal_times_the_last_row_holds() -> None:
    times = START + np.array([MINUTE, MINUTE, MINUTE])
    assert arithmetic.daily_returns(times, np.array([110.0, 120.0, 130.0]), 100.0) == pytest.approx([0.3])


def test_a_start_on_an_earlier_day_adds_quiet_days() -> None:
    times = np.array([START + 2 * DAY + MINUTE])
    assert arithmetic.daily_returns(times, np.array([110.0]), 100.0, START) == pytest.approx([0.0, 0.0, 0.1])


def test_a_day_that_begins_with_nothing_has_no_return() -> None:
    returns = arithmetic.daily_returns(START + DAY * np.array([1, 2]), np.array([0.0, 5.0]), 100.0)
    assert returns[0] == -1
    assert math.isnan(returns[1])
    assert math.isnan(arithmetic.sharpe(returns))


@given(
    st.lists(st.tuples(st.integers(1, 9 * DAY), st.floats(50, 150)), min_size=1, max_size=40),
)
def test_returns_agree_with_pandas(rows: list[tuple[int, float]]) -> None:
    rows.sort(key=lambda row: row[0])
    times = START + np.array([t for t, _ in rows])
    equity = np.array([e for _, e in rows])
    daily = pd.Series(equity, pd.to_datetime(times)).resample("D", closed="right").last().ffill()
    expected = pd.concat([pd.Series([100.0]), daily]).pct_change().to_numpy()[1:]
    assert expected == pytest.approx(arithmetic.daily_returns(times, equity, 100.0), abs=1e-12)


# edges


def test_no_spread_or_one_day_has_no_sharpe() -> None:
    assert math.isnan(arithmetic.sharpe(np.zeros(30)))
    assert math.isnan(arithmetic.sharpe(np.full(30, 0.01)))
    assert math.isnan(arithmetic.sharpe(np.array([0.01])))
    assert math.isnan(arithmetic.sharpe(np.empty(0)))


def test_sortino_without_a_losing_day_is_undefined() -> None:
    assert math.isnan(arithmetic.sortino(np.array([0.01, 0.02])))


def test_growth_explodes_to_infinity_and_ruin_is_minus_one() -> None:
    assert arithmetic.annual_growth(np.array([1e5])) == math.inf
    assert arithmetic.annual_growth(np.array([-1.0])) == -1
    assert math.isnan(arithmetic.annual_growth(np.empty(0)))


def test_profit_factor_without_losses_is_infinite_and_without_trades_undefined() -> None:
    assert arithmetic.profit_over_loss(np.array([1.0, 0.0])) == math.inf
    assert math.isnan(arithmetic.profit_over_loss(np.array([0.0])))


def test_break_even_trades_are_neither_wins_nor_losses() -> None:
    assert arithmetic.win_share(np.array([1.0, 0.0, 0.0, -1.0, 2.0])) == 2 / 3
    assert math.isnan(arithmetic.win_share(np.array([0.0])))
    assert all(math.isnan(bound) for bound in arithmetic.wilson_interval(0, 0))


def test_the_drawdown_counts_from_the_initial_capital() -> None:
    fall = arithmetic.drawdown(START + MINUTE * np.arange(3), np.array([80.0, 90.0, 120.0]), 100.0)
    assert fall == arithmetic.Drawdown(pytest.approx(-0.2), 20.0, 0.2, 0.0, -20.0, START, START)


def test_deepest_relative_and_deepest_absolute_fall_are_told_apart() -> None:
    equity = np.array([100.0, 50, 1000, 900])
    fall = arithmetic.drawdown(START + MINUTE * np.arange(4), equity, 100.0)
    assert fall.max_fraction == -0.5
    assert (fall.absolute, fall.account, fall.high, fall.low) == (100.0, 0.1, 900.0, 800.0)
    assert (fall.start_ns, fall.end_ns) == (START + 2 * MINUTE, START + 3 * MINUTE)


def test_runs_of_wins_and_losses_end_at_a_draw() -> None:
    assert arithmetic.longest_runs(np.array([1, 1, 0, 1, -1, -1, -1, 2])) == (2, 3)
    assert arithmetic.longest_runs(np.empty(0)) == (0, 0)


def test_overlapping_positions_cover_time_once() -> None:
    starts, ends = np.array([0, 5, 2, 30]), np.array([10, 8, 12, 31])
    assert arithmetic.covered_time(starts, ends) == 13


# what is not spread but rounding


def growth(rate: float, days: int = 30) -> np.ndarray:
    """Daily returns of an equity that grows by the same share each day."""
    equity = 10_000 * (1 + rate) ** np.arange(1, days + 1)
    return arithmetic.daily_returns(np.arange(1, days + 1) * DAY, equity, 10_000.0)


@pytest.mark.parametrize("rate", [0.001, -0.001, 0.02, 1e-6, 1e-9])
def test_a_curve_of_constant_growth_has_no_sharpe_ratio_and_proves_nothing(rate: float) -> None:
    returns = growth(rate)
    ratio, skew, kurtosis = arithmetic.moments(returns)
    assert math.isnan(arithmetic.sharpe(returns))
    assert math.isnan(arithmetic.sharpe(np.full(30, rate)))
    assert math.isnan(arithmetic.probabilistic_sharpe(ratio, len(returns), skew, kurtosis))
    assert math.isnan(arithmetic.deflated_sharpe(ratio, len(returns), skew, kurtosis, 10, 0.01))
    assert math.isnan(arithmetic.min_track_record(ratio, skew, kurtosis))


def test_a_spread_that_is_small_and_real_is_one() -> None:
    returns = 0.001 + 1e-9 * np.array([1.0, -1.0, 2.0, -2.0])
    assert arithmetic.sharpe(returns, 1) == pytest.approx(0.001 / (1e-9 * math.sqrt(10 / 3)), rel=1e-5)


def test_rounding_is_neither_a_losing_day_nor_a_drawdown_nor_a_loss() -> None:
    noise = 1e-16 * np.array([1.0, -1.0, 1.0, -1.0])
    assert math.isnan(arithmetic.sortino(noise))
    assert math.isnan(arithmetic.sortino(0.001 + np.maximum(noise, 0.0)))
    assert arithmetic.sortino(np.array([0.01, -0.005])) == pytest.approx(0.0025 / (0.005 / math.sqrt(2)) * 365**0.5)
    equity = 10_000.0 * (1.0 + np.array([0.0, 2.0, 1.0, 3.0]) * 2**-52)
    fall = arithmetic.drawdown(np.arange(1, 5), equity, 10_000.0)
    assert (0.0, 0.0, None) == (fall.max_fraction, fall.absolute, fall.start_ns)
    assert math.isnan(arithmetic.calmar(0.5, -1e-16))
    assert arithmetic.calmar(0.5, -0.1) == pytest.approx(5.0)
    assert arithmetic.profit_over_loss(np.array([100.0, -1e-13])) == math.inf
    assert arithmetic.profit_over_loss(np.array([100.0, -1e-3])) == pytest.approx(1e5)
