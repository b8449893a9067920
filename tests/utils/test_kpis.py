from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.places import ROOT
from utils import kpis
from utils.errors import DataError
from utils.figures import arithmetic as kpi_math
from utils.records import reader as kpi_log
from utils.records import schema
from utils.records.reader import Log, RealisedEquityWarning, read_log
from utils.rows import NS_PER_DAY
from utils.summary import GIVEN_ROWS, SUMMARY_ROWS, ExitReason, exit_reasons, summarise

DAY = NS_PER_DAY
MINUTE = 60 * 10**9
START = 1_704_067_200 * 10**9  # 2024-01-01T00:00Z
RETURNS = np.array([0.01, -0.005, 0.002, 0.0, -0.012, 0.008, 0.003])
PNL = np.array([30.0, -18.0, 25.0, -18.0, -18.0, 25.0])


@pytest.fixture(autouse=True)
def forget_what_was_warned() -> Iterator[None]:
    kpi_log._warn_once.cache_clear()
    yield
    kpi_log._warn_once.cache_clear()


def equity_log() -> Log:
    """The golden returns as one equity row a day, without trades."""
    times = START + DAY * np.arange(1, 8)
    equity = {"time": times, "equity": 10_000 * np.cumprod(1 + RETURNS)}
    return Log(trade_arrays(np.empty(0)), equity, None, 10_000.0)


def trade_arrays(pnl: np.ndarray, initial: float = 10_000.0) -> dict[str, np.ndarray]:
    """One trade of ten minutes every eight hours, long and short in turn, fee 1, funding 0.5."""
    n = len(pnl)
    entry = START + 8 * 60 * MINUTE * np.arange(n)
    long = np.arange(n) % 2 == 0
    gross = pnl + 1.5
    return {
        "symbol": np.where(np.arange(n) < 4, "BTCUSDT", "ETHUSDT"),
        "side": np.where(long, "long", "short"),
        "qty": np.full(n, 2.0),
        "signal_time": entry,
        "entry_time": entry,
        "exit_time": entry + 10 * MINUTE,
        "decision_price": np.full(n, 1000.0),
        "entry_price": np.full(n, 1000.0),
        "exit_price": 1000.0 + np.where(long, 1, -1) * gross / 2,
        "stop_price": np.where(long, 998.0, 1002.0),
        "take_price": np.where(long, 1002.5, 997.5),
        "gross_pnl": gross,
        "fees": np.full(n, 1.0),
        "funding": np.full(n, 0.5),
        "net_pnl": pnl.astype(float),
        "slippage_bps": np.full(n, 3.0),
        "entry_liquidity": np.full(n, "taker"),
        "exit_liquidity": np.where(pnl > 0, "maker", "taker"),
        "exit_reason": np.where(pnl > 0, "TAKE_PROFIT", np.where(pnl < 0, "STOP_LOSS", "TIME_LIMIT")),
        "equity_after": initial + np.cumsum(pnl),
        "source": np.full(n, "synthetic"),
        "gap_bars": np.zeros(n),
    }


def text(columns: dict[str, np.ndarray], names: tuple[str, ...]) -> str:
    """Columns as a log file, floats by repr, times as ISO 8601 with milliseconds, NaN as nothing."""

    def cell(name: str, i: int) -> str:
        if name not in columns:
            return str(i + 1)
        value = columns[name][i]
        if name in schema.TIME_COLUMNS:
            return kpi_log.iso_time(int(value))
        if name in schema.TEXT_COLUMNS:
            return str(value)
        return "" if math.isnan(value) else repr(float(value))

    n = len(next(iter(columns.values())))
    return "\n".join([",".join(names), *(",".join(cell(name, i) for name in names) for i in range(n))]) + "\n"


def write_trades(folder: Path, pnl: np.ndarray = PNL, name: str = "trades.csv") -> Path:
    path = folder / name
    path.write_text(text(trade_arrays(pnl), schema.TRADE_COLUMNS))
    return path


EQUITY = {
    "time": START + 6 * 60 * MINUTE * np.arange(1, 11),
    "equity": np.array([10_010.0, 9_990, 10_050, 10_020, 10_100, 10_000, 9_900, 9_950, 10_026, 10_026]),
    "realised": np.array([0.0, 30, 12, 37, 37, 19, 19, 1, 26, 26]),
}
EQUITY["open_pnl"] = EQUITY["equity"] - EQUITY["realised"] - 10_000
EQUITY["drawdown"] = np.zeros(10)

ORDERS = {
    "symbol": np.array(["BTCUSDT"] * 4),
    "side": np.array(["buy", "sell", "buy", "buy"]),
    "kind": np.array(["LIMIT", "MARKET", "LIMIT", "MARKET"]),
    "qty": np.array([10.0, 8, 5, 5]),
    "filled_qty": np.array([8.0, 8, 0, 0]),
    "decision_time": START + MINUTE * np.arange(4),
    "decision_price": np.array([100.0, 101, 100, 100]),
    "arrival_price": np.array([100.05, 100.9, np.nan, np.nan]),
    "fill_price": np.array([100.12, 100.8, np.nan, np.nan]),
    "end_price": np.array([100.40, np.nan, 100.2, np.nan]),
    "fees": np.array([0.4405, 0.4, np.nan, np.nan]),
    "status": np.array(["PARTIAL", "FILLED", "EXPIRED", "REJECTED"]),
    "reason": np.array(["", "TAKE_PROFIT", "", "MIN_NOTIONAL"]),
    "latency_ms": np.full(4, np.nan),
    "source": np.full(4, "synthetic"),
}


def write_run(folder: Path) -> Path:
    (folder / "equity.csv").write_text(text(EQUITY, schema.EQUITY_COLUMNS))
    (folder / "orders.csv").write_text(text(ORDERS, schema.ORDER_COLUMNS))
    (folder / "run.json").write_text('{"schema": 1, "settings": {"simulation": {"initial_capital": 10000}}}')
    return write_trades(folder)


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


class TestGoldenVectors:
    def test_ratios_of_seven_daily_returns_equal_empyrical_and_quantstats(self) -> None:
        log = equity_log()
        assert kpis.sharpe_ratio(log) == pytest.approx(2.1726465, abs=5e-8)
        assert kpis.sortino_ratio(log) == pytest.approx(3.3327698, abs=1e-7)
        assert kpis.max_drawdown(log) == pytest.approx(-0.01497388, abs=5e-9)
        assert kpis.calmar_ratio(log) == pytest.approx(23.710592, abs=5e-6)

    def test_profit_factor_and_expectancy_of_six_trades(self) -> None:
        log = Log(trade_arrays(PNL), None, None, 10_000.0)
        assert kpis.profit_factor(log) == pytest.approx(1.4814815, abs=5e-8)
        assert kpis.expectancy(log) == pytest.approx(4.3333333, abs=5e-8)

    def test_probabilistic_sharpe_of_bailey_and_lopez_de_prado(self) -> None:
        assert kpi_math.probabilistic_sharpe(0.458, 24, -2.448, 10.164) == pytest.approx(0.9134, abs=1e-4)

    def test_deflated_sharpe_of_bailey_and_lopez_de_prado(self) -> None:
        daily, variance = 2.5 / math.sqrt(250), 0.5 / 250
        assert kpi_math.expected_max_sharpe(100, variance) == pytest.approx(0.1132, abs=1e-4)
        assert kpi_math.deflated_sharpe(daily, 1250, -3, 10, 100, variance) == pytest.approx(0.9004, abs=1e-4)
        assert kpi_math.deflated_sharpe(daily, 1250, -3, 10, 46, variance) == pytest.approx(0.9505, abs=1e-4)

    def test_minimum_track_record_is_where_the_probabilistic_sharpe_reaches_the_confidence(self) -> None:
        n = kpi_math.min_track_record(0.458, -2.448, 10.164, 0.1, 0.95)
        assert kpi_math.probabilistic_sharpe(0.458, math.floor(n), -2.448, 10.164, 0.1) < 0.95
        assert kpi_math.probabilistic_sharpe(0.458, math.ceil(n), -2.448, 10.164, 0.1) > 0.95
        assert kpi_math.min_track_record(0.1, 0, 3, 0.1) == math.inf
        assert math.isnan(kpi_math.min_track_record(math.nan, 0, 3))

    def test_implementation_shortfall_and_its_parts(self) -> None:
        first = {name: values[:1] for name, values in ORDERS.items()}
        parts = kpis.implementation_shortfall(Log(trade_arrays(PNL), None, first, 10_000.0))
        assert parts.delay_bps == pytest.approx(4.0)
        assert parts.trading_bps == pytest.approx(5.6)
        assert parts.opportunity_bps == pytest.approx(8.0)
        assert parts.fees_bps == pytest.approx(4.405)
        assert parts.total_bps == pytest.approx(22.005)

    def test_wilson_lower_bound_of_58_of_100_one_sided(self) -> None:
        low, high = kpi_math.wilson_interval(58, 100, 0.90)
        assert low == pytest.approx(0.498, abs=5e-4)
        assert low < 0.58 < high

    @pytest.mark.parametrize(
        ("take_cost", "stop_cost", "percent"),
        [(0, 0, 41.9), (4, 4, 51.2), (4, 7.5, 54.8), (7, 7, 58.1), (11, 11, 67.4)],
    )
    def test_break_even_table(self, take_cost: float, stop_cost: float, percent: float) -> None:
        assert kpis.break_even_win_rate(25, 18, take_cost, stop_cost) == pytest.approx(percent / 100, abs=6e-4)

    def test_costs_above_the_take_have_no_break_even(self) -> None:
        assert kpis.break_even_win_rate(10, 18, 11, 11) > 1
        assert kpis.break_even_win_rate(10, 1, 40, 1) == math.inf


class TestDays:
    def test_days_without_rows_return_nothing(self) -> None:
        times = START + DAY * np.array([1, 4])
        assert kpi_math.daily_returns(times, np.array([110.0, 99.0]), 100.0) == pytest.approx([0.1, 0.0, 0.0, -0.1])

    def test_the_last_partial_day_counts(self) -> None:
        times = START + np.array([DAY, DAY + MINUTE])
        assert kpi_math.daily_returns(times, np.array([110.0, 121.0]), 100.0) == pytest.approx([0.1, 0.1])

    def test_a_close_at_midnight_belongs_to_the_day_that_ends(self) -> None:
        times = START + np.array([MINUTE, DAY])
        assert kpi_math.daily_returns(times, np.array([110.0, 120.0]), 100.0) == pytest.approx([0.2])

    def test_of_equal_times_the_last_row_holds(self) -> None:
        times = START + np.array([MINUTE, MINUTE, MINUTE])
        assert kpi_math.daily_returns(times, np.array([110.0, 120.0, 130.0]), 100.0) == pytest.approx([0.3])

    def test_a_start_on_an_earlier_day_adds_quiet_days(self) -> None:
        times = np.array([START + 2 * DAY + MINUTE])
        assert kpi_math.daily_returns(times, np.array([110.0]), 100.0, START) == pytest.approx([0.0, 0.0, 0.1])

    def test_a_day_that_begins_with_nothing_has_no_return(self) -> None:
        returns = kpi_math.daily_returns(START + DAY * np.array([1, 2]), np.array([0.0, 5.0]), 100.0)
        assert returns[0] == -1
        assert math.isnan(returns[1])
        assert math.isnan(kpi_math.sharpe(returns))

    @given(
        st.lists(st.tuples(st.integers(1, 9 * DAY), st.floats(50, 150)), min_size=1, max_size=40),
    )
    def test_returns_agree_with_pandas(self, rows: list[tuple[int, float]]) -> None:
        rows.sort(key=lambda row: row[0])
        times = START + np.array([t for t, _ in rows])
        equity = np.array([e for _, e in rows])
        daily = pd.Series(equity, pd.to_datetime(times)).resample("D", closed="right").last().ffill()
        expected = pd.concat([pd.Series([100.0]), daily]).pct_change().to_numpy()[1:]
        assert expected == pytest.approx(kpi_math.daily_returns(times, equity, 100.0), abs=1e-12)


class TestEdges:
    def test_no_spread_or_one_day_has_no_sharpe(self) -> None:
        assert math.isnan(kpi_math.sharpe(np.zeros(30)))
        assert math.isnan(kpi_math.sharpe(np.full(30, 0.01)))
        assert math.isnan(kpi_math.sharpe(np.array([0.01])))
        assert math.isnan(kpi_math.sharpe(np.empty(0)))

    def test_fewer_than_twenty_days_are_insufficient(self) -> None:
        assert kpis.sharpe_is_insufficient(19)
        assert not kpis.sharpe_is_insufficient(20)

    def test_sortino_without_a_losing_day_is_undefined(self) -> None:
        assert math.isnan(kpi_math.sortino(np.array([0.01, 0.02])))

    def test_growth_explodes_to_infinity_and_ruin_is_minus_one(self) -> None:
        assert kpi_math.annual_growth(np.array([1e5])) == math.inf
        assert kpi_math.annual_growth(np.array([-1.0])) == -1
        assert math.isnan(kpi_math.annual_growth(np.empty(0)))

    def test_profit_factor_without_losses_is_infinite_and_without_trades_undefined(self) -> None:
        assert kpi_math.profit_over_loss(np.array([1.0, 0.0])) == math.inf
        assert math.isnan(kpi_math.profit_over_loss(np.array([0.0])))

    def test_break_even_trades_are_neither_wins_nor_losses(self) -> None:
        assert kpi_math.win_share(np.array([1.0, 0.0, 0.0, -1.0, 2.0])) == 2 / 3
        assert math.isnan(kpi_math.win_share(np.array([0.0])))
        assert all(math.isnan(bound) for bound in kpi_math.wilson_interval(0, 0))

    def test_the_drawdown_counts_from_the_initial_capital(self) -> None:
        fall = kpi_math.drawdown(START + MINUTE * np.arange(3), np.array([80.0, 90.0, 120.0]), 100.0)
        assert fall == kpi_math.Drawdown(pytest.approx(-0.2), 20.0, 0.2, 0.0, -20.0, START, START)

    def test_deepest_relative_and_deepest_absolute_fall_are_told_apart(self) -> None:
        equity = np.array([100.0, 50, 1000, 900])
        fall = kpi_math.drawdown(START + MINUTE * np.arange(4), equity, 100.0)
        assert fall.max_fraction == -0.5
        assert (fall.absolute, fall.account, fall.high, fall.low) == (100.0, 0.1, 900.0, 800.0)
        assert (fall.start_ns, fall.end_ns) == (START + 2 * MINUTE, START + 3 * MINUTE)

    def test_one_trial_deflates_nothing_and_none_is_refused(self) -> None:
        log = equity_log()
        assert kpis.deflated_sharpe_ratio(log) == kpis.probabilistic_sharpe_ratio(log)
        assert kpis.deflated_sharpe_ratio(log, trials=50, trial_variance=0.01) < kpis.deflated_sharpe_ratio(log)
        assert math.isnan(kpis.deflated_sharpe_ratio(log, trials=50))
        with pytest.raises(ValueError, match="at least 1 trial"):
            kpis.deflated_sharpe_ratio(log, trials=0)

    def test_probabilistic_sharpe_of_a_log_equals_the_formula_on_its_moments(self) -> None:
        deviations = RETURNS - RETURNS.mean()
        spread, skew, kurtosis = (float(np.mean(deviations**power)) for power in (2, 3, 4))
        ratio = RETURNS.mean() / RETURNS.std(ddof=1)
        expected = kpi_math.probabilistic_sharpe(ratio, 7, skew / spread**1.5, kurtosis / spread**2)
        assert expected == pytest.approx(kpis.probabilistic_sharpe_ratio(equity_log()))

    def test_runs_of_wins_and_losses_end_at_a_draw(self) -> None:
        assert kpi_math.longest_runs(np.array([1, 1, 0, 1, -1, -1, -1, 2])) == (2, 3)
        assert kpi_math.longest_runs(np.empty(0)) == (0, 0)

    def test_overlapping_positions_cover_time_once(self) -> None:
        starts, ends = np.array([0, 5, 2, 30]), np.array([10, 8, 12, 31])
        assert kpi_math.covered_time(starts, ends) == 13

    def test_ratios_to_the_risk_and_to_the_notional(self) -> None:
        log = Log(trade_arrays(PNL), None, None, 10_000.0)
        assert kpis.expectancy_bps(log) == pytest.approx(PNL.mean() / 2000 * 1e4)
        assert kpis.expectancy_r(log) == pytest.approx(PNL.mean() / 4)
        assert kpis.expectancy_ratio(log) == pytest.approx((1 + (80 / 3) / 18) * 0.5 - 1)
        assert kpis.return_over_trade_bps(log) == pytest.approx(26 / kpis.trade_volume(log) * 1e4)
        assert kpis.slippage_cost(log) == pytest.approx(6 * 3e-4 * 2000)
        assert kpis.avg_trade_duration_minutes(log) == 10
        assert kpis.median_trade_duration_minutes(log) == 10
        assert kpis.exposure_time(log) == pytest.approx(60 / (5 * 480 + 10))


class TestOrders:
    LOG = Log(trade_arrays(PNL), None, ORDERS, 10_000.0)

    def test_entry_and_exit_orders_are_weighted_by_decision_notional_and_rejects_left_out(self) -> None:
        costs = [0.4 + 0.56 + 0.8 + 0.4405, 8 * 0.1 + 8 * 0.1 + 0.4, 5 * 0.2]
        notional = 1000 + 808 + 500
        assert kpis.implementation_shortfall_bps(self.LOG) == pytest.approx(sum(costs) / notional * 1e4)

    def test_fill_rates_leave_rejects_out_and_reject_rate_shows_them(self) -> None:
        assert kpis.fill_rate(self.LOG) == 2 / 3
        assert kpis.full_fill_rate(self.LOG) == 1 / 3
        assert kpis.fill_rate(self.LOG, kind="LIMIT") == 0.5
        assert kpis.fill_rate_by_quantity(self.LOG, kind="LIMIT") == 8 / 15
        assert kpis.reject_rate(self.LOG) == 0.25

    @pytest.mark.parametrize("missing", ["arrival_price", "end_price", "status", "side"])
    def test_shortfall_without_a_column_is_undefined(self, missing: str) -> None:
        orders = {name: values for name, values in ORDERS.items() if name != missing}
        assert math.isnan(kpis.implementation_shortfall_bps(Log(trade_arrays(PNL), None, orders, 1.0)))

    def test_shortfall_without_the_arrival_price_of_a_fill_is_undefined(self) -> None:
        orders = ORDERS | {"arrival_price": np.full(4, np.nan)}
        assert math.isnan(kpis.implementation_shortfall_bps(Log(trade_arrays(PNL), None, orders, 1.0)))

    def test_without_orders_nothing_is_known(self) -> None:
        log = Log(trade_arrays(PNL), None, None, 1.0)
        figures = (kpis.fill_rate, kpis.full_fill_rate, kpis.fill_rate_by_quantity, kpis.reject_rate)
        assert all(math.isnan(kpi(log)) for kpi in (*figures, kpis.implementation_shortfall_bps))

    def test_an_unknown_side_is_refused(self) -> None:
        orders = ORDERS | {"side": np.array(["buy", "up", "buy", "buy"])}
        with pytest.raises(DataError, match="expected buy or sell, saw 'up'"):
            kpis.implementation_shortfall_bps(Log(trade_arrays(PNL), None, orders, 1.0))


class TestReading:
    def test_path_frame_and_arrays_give_the_same_numbers(self, tmp_path: Path) -> None:
        path = write_trades(tmp_path)
        with pytest.warns(RealisedEquityWarning):
            by_path = kpis.evaluate(path)
        with pytest.warns(RealisedEquityWarning):
            by_frame = kpis.evaluate(pd.read_csv(path))
        parsed = pd.read_csv(path, parse_dates=["entry_time", "exit_time", "signal_time"])
        by_dates = kpis.evaluate(parsed)
        with pytest.warns(RealisedEquityWarning):
            by_arrays = kpis.evaluate(Log(trade_arrays(PNL), None, None, 10_000.0))
        for name, value in by_arrays.items():
            assert same(value, by_path[name]), name
            assert same(value, by_frame[name]), name
            assert same(value, by_dates[name]), name

    def test_a_whole_run_on_disk_equals_its_arrays(self, tmp_path: Path) -> None:
        path = write_run(tmp_path)
        by_path = kpis.evaluate(path)
        by_arrays = kpis.evaluate(Log(trade_arrays(PNL), EQUITY, ORDERS, 10_000.0))
        assert all(same(by_arrays[name], value) for name, value in by_path.items())
        assert kpis.sharpe_ratio(str(path)) == by_path["sharpe_ratio"]
        expected = kpi_math.sharpe(np.array([10_020 / 10_000, 9_950 / 10_020, 10_026 / 9_950]) - 1)
        assert expected == pytest.approx(by_path["sharpe_ratio"])
        assert kpis.max_drawdown(path) == 9_900 / 10_100 - 1

    def test_without_equity_a_path_warns_once(self, tmp_path: Path) -> None:
        path = write_trades(tmp_path)
        with pytest.warns(RealisedEquityWarning, match="realised daily equity") as seen:
            [kpi(path) for kpi in (kpis.sharpe_ratio, kpis.sharpe_ratio, kpis.max_drawdown, kpis.win_rate)]
        assert len(seen) == 1
        assert Path(seen[0].filename) != ROOT / "utils" / "records" / "reader.py"
        other = tmp_path / "other"
        other.mkdir()
        with pytest.warns(RealisedEquityWarning):
            kpis.sharpe_ratio(write_trades(other))

    def test_figures_of_trades_do_not_warn(self, tmp_path: Path) -> None:
        path = write_trades(tmp_path)
        with warnings.catch_warnings(action="error"):
            assert kpis.win_rate(path) == 0.5
            assert kpis.avg_trade_duration_minutes(path) == 10
            assert math.isnan(kpis.implementation_shortfall_bps(path))

    def test_realised_equity_runs_from_first_entry_to_last_exit(self, tmp_path: Path) -> None:
        with pytest.warns(RealisedEquityWarning):
            returns = kpis.daily_returns(write_trades(tmp_path))
        assert returns == pytest.approx([37 / 10_000, -11 / 10_037])

    def test_initial_capital_comes_from_the_run_then_equity_then_the_keyword_then_the_first_trade(
        self, tmp_path: Path
    ) -> None:
        path = write_run(tmp_path)
        assert read_log(path, 5.0).initial_capital == 10_000
        (tmp_path / "run.json").unlink()
        assert read_log(path, 5.0).initial_capital == 10_000
        (tmp_path / "equity.csv").unlink()
        assert read_log(path, 5.0).initial_capital == 5
        assert read_log(path).initial_capital == 10_000

    def test_an_unknown_capital_is_asked_for(self, tmp_path: Path) -> None:
        frame = pd.read_csv(write_trades(tmp_path)).drop(columns="equity_after")
        with pytest.raises(DataError, match="pass initial_capital"):
            kpis.sharpe_ratio(frame)
        with pytest.warns(RealisedEquityWarning):
            assert kpis.max_drawdown(frame, initial_capital=10_000) == pytest.approx(10_001 / 10_037 - 1)

    def test_siblings_belong_to_trades_csv_only(self, tmp_path: Path) -> None:
        write_run(tmp_path)
        assert read_log(write_trades(tmp_path, name="some.csv")).equity is None

    def test_rows_are_put_in_order_of_exit_and_ties_stay_as_they_stood(self, tmp_path: Path) -> None:
        frame = pd.read_csv(write_trades(tmp_path))
        frame["exit_time"] = frame["exit_time"].iloc[-1]
        frame.loc[5, "exit_time"] = "2024-01-01T00:10:00.000Z"
        frame.loc[5, "entry_time"] = "2024-01-01T00:00:00.000Z"
        assert read_log(frame).trades["net_pnl"].tolist() == [25.0, 30, -18, 25, -18, -18]

    def test_open_trades_are_left_out(self, tmp_path: Path) -> None:
        frame = pd.read_csv(write_trades(tmp_path))
        frame.loc[5, ["exit_time", "exit_price", "net_pnl"]] = None
        assert kpis.trade_count(frame) == 5
        frame.to_csv(tmp_path / "trades.csv", index=False)
        assert kpis.trade_count(tmp_path / "trades.csv") == 5

    def test_extra_columns_and_an_empty_cell_are_fine(self, tmp_path: Path) -> None:
        frame = pd.read_csv(write_trades(tmp_path))
        frame["note"] = "x"
        frame["stop_price"] = np.nan
        frame.to_csv(tmp_path / "trades.csv", index=False)
        assert kpis.net_profit(tmp_path / "trades.csv") == 26
        assert math.isnan(kpis.expectancy_r(tmp_path / "trades.csv"))


class TestBadInput:
    def refusal(self, path: Path) -> str:
        with pytest.raises(DataError) as error:
            kpis.sharpe_ratio(path)
        message = str(error.value)
        assert "\n" not in message
        return message

    def test_a_missing_file(self, tmp_path: Path) -> None:
        assert "No such file" in self.refusal(tmp_path / "trades.csv")

    def test_a_directory(self, tmp_path: Path) -> None:
        assert "cannot be read" in self.refusal(tmp_path)

    def test_an_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "trades.csv").write_text("")
        assert "the file is empty" in self.refusal(tmp_path / "trades.csv")

    def test_a_binary_file(self, tmp_path: Path) -> None:
        (tmp_path / "trades.csv").write_bytes(b"\xff\xfe\x00\x9f" * 9)
        assert "not a text file" in self.refusal(tmp_path / "trades.csv")

    def test_another_kind_of_file(self, tmp_path: Path) -> None:
        (tmp_path / "trades.csv").write_text(text(ORDERS, schema.ORDER_COLUMNS))
        assert "expected the column 'entry_time', saw order_id, trade_id" in self.refusal(tmp_path / "trades.csv")

    def test_a_word_where_a_number_belongs(self, tmp_path: Path) -> None:
        path = write_trades(tmp_path)
        path.write_text(path.read_text().replace(",-18.0,", ",much,", 1))
        assert "line 3, column net_pnl: expected a number, saw 'much'" in self.refusal(path)

    def test_a_local_time(self, tmp_path: Path) -> None:
        path = write_trades(tmp_path)
        path.write_text(path.read_text().replace("2024-01-01T08:10:00.000Z", "01.01.2024 08:10"))
        assert "line 3, column exit_time: expected a UTC time such as" in self.refusal(path)

    def test_a_cut_off_line(self, tmp_path: Path) -> None:
        path = write_trades(tmp_path)
        path.write_text(path.read_text()[:-60])
        assert "line 7: expected 23 columns, saw" in self.refusal(path)

    def test_a_closed_trade_without_a_result(self, tmp_path: Path) -> None:
        path = write_trades(tmp_path)
        path.write_text(path.read_text().replace(",25.0,", ",,", 1))
        assert "trade 3, column net_pnl: expected an amount, saw nothing" in self.refusal(path)

    def test_an_exit_before_its_entry(self, tmp_path: Path) -> None:
        path = write_trades(tmp_path)
        path.write_text(path.read_text().replace("2024-01-01T08:10:00.000Z", "2023-01-01T08:10:00.000Z"))
        assert "trade 2, column exit_time: expected a time not before entry_time" in self.refusal(path)

    def test_an_equity_row_without_a_value(self, tmp_path: Path) -> None:
        path = write_run(tmp_path)
        file = tmp_path / "equity.csv"
        file.write_text(file.read_text().replace(",9990.0,", ",,"))
        assert "equity.csv, row 2, column equity: expected a value" in self.refusal(path)

    def test_a_newer_schema(self, tmp_path: Path) -> None:
        path = write_run(tmp_path)
        (tmp_path / "run.json").write_text('{"schema": 2}')
        assert "its schema is 2, this program reads up to 1" in self.refusal(path)

    @pytest.mark.parametrize(
        "content", ["{", "[]", '{"schema": "new"}', '{"settings": {"x": {"initial_capital": []}}}']
    )
    def test_a_broken_record_of_the_run(self, tmp_path: Path, content: str) -> None:
        path = write_run(tmp_path)
        (tmp_path / "run.json").write_text(content)
        assert "expected the record of a run as JSON" in self.refusal(path)

    def test_a_number_instead_of_a_path(self) -> None:
        with pytest.raises(DataError, match="got int"):
            kpis.sharpe_ratio(3)

    def test_a_frame_with_a_wrong_column(self, tmp_path: Path) -> None:
        frame = pd.read_csv(write_trades(tmp_path))
        with pytest.raises(DataError, match="expected the column 'net_pnl'"):
            kpis.win_rate(frame.rename(columns={"net_pnl": "pnl"}))
        with pytest.raises(DataError, match="column exit_time"):
            kpis.win_rate(frame.assign(exit_time="soon"))
        with pytest.raises(DataError, match="column qty"):
            kpis.win_rate(frame.assign(qty="many"))

    def test_a_column_that_only_one_figure_needs(self, tmp_path: Path) -> None:
        frame = pd.read_csv(write_trades(tmp_path)).drop(columns="fees")
        assert kpis.win_rate(frame) == 0.5
        with pytest.raises(DataError, match="expected the column 'fees'"):
            kpis.fees_paid(frame)


class TestNoTrades:
    def test_a_header_alone_gives_no_number_and_no_warning(self, tmp_path: Path) -> None:
        path = write_trades(tmp_path, np.empty(0))
        with warnings.catch_warnings(action="error"):
            figures = kpis.evaluate(path)
            summary = summarise(path)
        zero = {"trades", "net_profit", "trade_volume", "fees_paid", "funding_paid", "slippage_cost"}
        assert {name for name, value in figures.items() if not math.isnan(value)} == zero
        assert all(figures[name] == 0 for name in zero)
        assert summary["Total/Daily Avg Trades"] == "0 / 0.00"
        assert summary["Best Pair"] is None
        assert exit_reasons(path) == ()

    def test_a_quiet_run_keeps_its_money(self) -> None:
        quiet = {"time": EQUITY["time"], "equity": np.full(10, 10_000.0)}
        summary = summarise(Log(trade_arrays(np.empty(0)), quiet, None, 10_000.0))
        assert summary["Final balance"] == 10_000
        assert summary["Max % of account underwater"] == 0
        assert summary["Drawdown Start"] is None
        assert summary["Days win/draw/lose"] == "0 / 3 / 0"
        assert math.isnan(float(summary["Sharpe"] or 0))


class TestSummary:
    LOG = Log(trade_arrays(PNL), EQUITY, ORDERS, 10_000.0)

    def test_every_row_stands_in_its_place(self) -> None:
        assert tuple(summarise(self.LOG)) == SUMMARY_ROWS
        assert set(GIVEN_ROWS.values()) < set(SUMMARY_ROWS)

    def test_rows_are_the_same_numbers_as_the_functions(self) -> None:
        summary = summarise(self.LOG)
        rows = {
            "Sharpe": kpis.sharpe_ratio,
            "Sortino": kpis.sortino_ratio,
            "Calmar": kpis.calmar_ratio,
            "PSR": kpis.probabilistic_sharpe_ratio,
            "DSR": kpis.probabilistic_sharpe_ratio,
            "Profit factor": kpis.profit_factor,
            "Win rate": kpis.win_rate,
            "IS bps": kpis.implementation_shortfall_bps,
            "Fill rate": kpis.fill_rate,
            "Fees paid": kpis.fees_paid,
            "Final balance": kpis.final_balance,
        }
        assert {row: kpi(self.LOG) for row, kpi in rows.items()} == {row: summary[row] for row in rows}

    def test_values_of_a_small_run(self) -> None:
        summary = summarise(self.LOG)
        expected = {
            "Total/Daily Avg Trades": "6 / 2.00",
            "Starting balance": 10_000.0,
            "Final balance": 10_026.0,
            "Absolute profit": 26.0,
            "Sharpe days": 3,
            "Expectancy (Ratio)": "4.3333 (0.2407)",
            "Avg. stake amount": 2000.0,
            "Long / Short": "3 / 3",
            "Absolute profit Long": 37.0,
            "Absolute profit Short": -11.0,
            "Best Pair": "BTCUSDT 0.19%",
            "Worst Pair": "ETHUSDT 0.07%",
            "Best Trade": "BTCUSDT 1.50%",
            "Worst Trade": "BTCUSDT -0.90%",
            "Best day": 37.0,
            "Worst day": -11.0,
            "Days win/draw/lose": "1 / 1 / 1",
            "Avg. Duration Winners": "0:10:00",
            "Avg. Duration Loser": "0:10:00",
            "Max Consecutive Wins / Loss": "1 / 2",
            "Fees paid": 6.0,
            "Funding paid": 3.0,
            "Min balance": 9_900.0,
            "Max balance": 10_100.0,
            "Drawdown": 200.0,
            "Drawdown high": 100.0,
            "Drawdown low": -100.0,
            "Drawdown Start": "2024-01-02T06:00:00.000Z",
            "Drawdown End": "2024-01-02T18:00:00.000Z",
        }
        assert expected == {row: summary[row] for row in expected}
        assert summary["Total profit %"] == pytest.approx(0.26)
        assert summary["Total profit Long %"] == pytest.approx(0.37)
        assert summary["Absolute Drawdown (Account)"] == pytest.approx(200 / 10_100 * 100)

    def test_what_the_caller_knows_is_shown(self) -> None:
        summary = summarise(
            self.LOG,
            period=(START, START + DAY),
            market_change=-0.02,
            entry_timeouts=4,
            max_open_trades=3,
            break_even_win_rate=0.548,
            trials=10,
            trial_variance=0.01,
        )
        assert summary["Backtesting from"] == "2024-01-01T00:00:00.000Z"
        assert summary["Backtesting to"] == "2024-01-02T00:00:00.000Z"
        assert summary["Market change"] == -2
        assert summary["Entry/Exit Timeouts"] == "4 / -"
        assert summary["Max open trades"] == 3
        assert summary["Break-even win rate"] == 0.548
        assert summary["DSR"] == kpis.deflated_sharpe_ratio(self.LOG, trials=10, trial_variance=0.01)

    def test_an_unknown_row_is_refused(self) -> None:
        with pytest.raises(TypeError, match="got maxopen"):
            summarise(self.LOG, maxopen=3)  # type: ignore[call-arg]

    def test_half_the_notional_is_maker_where_every_winner_leaves_by_a_limit(self) -> None:
        qty, out = 2.0, self.LOG.trades["exit_price"]
        expected = qty * out[PNL > 0].sum() / (qty * (1000 + out).sum())
        assert kpis.maker_share(self.LOG) == pytest.approx(expected)

    def test_exits_by_reason(self) -> None:
        log = Log(trade_arrays(np.append(PNL, [0.0, -1.0])), None, None, 10_000.0)
        assert exit_reasons(log) == (
            ExitReason("STOP_LOSS", 4, 0, 0, 4, -55.0, pytest.approx(-55 / 4 / 2000 * 1e4), 10.0),
            ExitReason("TAKE_PROFIT", 3, 3, 0, 0, 80.0, pytest.approx(80 / 3 / 2000 * 1e4), 10.0),
            ExitReason("TIME_LIMIT", 1, 0, 1, 0, 0.0, 0.0, 10.0),
        )


def test_importing_the_figures_imports_neither_pandas_nor_pyarrow() -> None:
    code = (
        "import sys, utils.kpis, utils.summary;"
        "print([m for m in ('pandas', 'pyarrow', 'numba', 'scipy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_columns_of_the_log_files_have_a_kind_each() -> None:
    for columns in (schema.TRADE_COLUMNS, schema.SIGNAL_COLUMNS, schema.ORDER_COLUMNS, schema.EQUITY_COLUMNS):
        assert len(set(columns)) == len(columns)
    assert not schema.TIME_COLUMNS & schema.TEXT_COLUMNS
    every = {*schema.TRADE_COLUMNS, *schema.SIGNAL_COLUMNS, *schema.ORDER_COLUMNS, *schema.EQUITY_COLUMNS}
    assert every > schema.TIME_COLUMNS | schema.TEXT_COLUMNS | schema.ID_COLUMNS
