"""The key figures of a run, from its log files."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.places import ROOT
from tests.runs import (
    DAY,
    EQUITY,
    ORDERS,
    PNL,
    RETURNS,
    START,
    equity_log,
    same,
    trade_arrays,
    write_run,
    write_trades,
)
from utils import kpis
from utils.errors import ConfigError, DataError
from utils.figures import arithmetic
from utils.records.reader import Log, RealisedEquityWarning


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

    def test_implementation_shortfall_and_its_parts(self) -> None:
        first = {name: values[:1] for name, values in ORDERS.items()}
        parts = kpis.implementation_shortfall(Log(trade_arrays(PNL), None, first, 10_000.0))
        assert parts.delay_bps == pytest.approx(4.0)
        assert parts.trading_bps == pytest.approx(5.6)
        assert parts.opportunity_bps == pytest.approx(8.0)
        assert parts.fees_bps == pytest.approx(4.405)
        assert parts.total_bps == pytest.approx(22.005)


class TestEdges:
    def test_fewer_than_twenty_days_are_insufficient(self) -> None:
        assert kpis.sharpe_is_insufficient(19)
        assert not kpis.sharpe_is_insufficient(20)

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
        expected = arithmetic.probabilistic_sharpe(ratio, 7, skew / spread**1.5, kurtosis / spread**2)
        assert expected == pytest.approx(kpis.probabilistic_sharpe_ratio(equity_log()))

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


class TestIntervals:
    DAILY = np.random.default_rng(5).normal(0.001, 0.01, 400)

    def log_of(self, returns: np.ndarray) -> Log:
        equity = {"time": START + DAY * np.arange(1, len(returns) + 1), "equity": 10_000 * np.cumprod(1 + returns)}
        return Log(trade_arrays(np.empty(0)), equity, None, 10_000.0)

    def test_that_of_the_sharpe_ratio_holds_it_and_is_as_wide_as_its_error(self) -> None:
        ratio, (low, high) = kpis.sharpe_ratio(self.log_of(self.DAILY)), kpis.sharpe_interval(self.log_of(self.DAILY))
        daily = ratio / math.sqrt(365)
        error = math.sqrt((1 + daily * daily / 2) / 400 * 365)
        assert low < ratio < high
        assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)
        assert (low, high) == kpis.sharpe_interval(self.log_of(self.DAILY))

    @pytest.mark.parametrize("days", [0, 1, 19])
    def test_few_days_have_none(self, days: int) -> None:
        assert all(map(math.isnan, kpis.sharpe_interval(self.log_of(self.DAILY[:days]))))

    def test_an_account_that_never_moves_has_none(self) -> None:
        assert all(map(math.isnan, kpis.sharpe_interval(self.log_of(np.zeros(60)))))

    def test_that_of_the_mean_trade_holds_it_and_is_as_wide_as_its_error(self) -> None:
        pnl = np.random.default_rng(6).normal(-2.0, 20.0, 2_000)
        log = Log(trade_arrays(pnl), None, None, 10_000.0)
        low, high = kpis.expectancy_bps_interval(log)
        bps = pnl / 2_000.0 * 1e4  # two coins at a thousand each
        assert low < kpis.expectancy_bps(log) < high
        assert high - low == pytest.approx(2 * 1.96 * np.std(bps) / math.sqrt(2_000), rel=0.15)

    def test_fewer_than_ten_trades_have_none(self) -> None:
        assert all(map(math.isnan, kpis.expectancy_bps_interval(Log(trade_arrays(PNL), None, None, 10_000.0))))


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


class TestSources:
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
        expected = arithmetic.sharpe(np.array([10_020 / 10_000, 9_950 / 10_020, 10_026 / 9_950]) - 1)
        assert expected == pytest.approx(by_path["sharpe_ratio"])
        assert kpis.max_drawdown(path) == 9_900 / 10_100 - 1


def test_importing_the_figures_imports_neither_pandas_nor_pyarrow() -> None:
    code = (
        "import sys, utils.kpis, utils.summary;"
        "print([m for m in ('pandas', 'pyarrow', 'numba', 'scipy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_the_mid_at_arrival_parts_delay_from_trading_and_leaves_the_total(tmp_path: Path) -> None:
    before = kpis.implementation_shortfall(write_run(tmp_path))
    text = (tmp_path / "orders.csv").read_text().splitlines()
    at = text[0].split(",").index("arrival_mid")
    cells = text[1].split(",")
    text[1] = ",".join([*cells[:at], "100.02", *cells[at + 1 :]])  # the first order, whose mid was not known
    (tmp_path / "orders.csv").write_text("\n".join(text) + "\n")
    after = kpis.implementation_shortfall(tmp_path / "trades.csv")
    moved = 8 * 0.03 / (1000 + 808 + 500) * 1e4
    assert after.delay_bps == pytest.approx(before.delay_bps - moved)
    assert after.trading_bps == pytest.approx(before.trading_bps + moved)
    assert after.total_bps == pytest.approx(before.total_bps)


def test_a_kind_of_order_that_is_none_is_refused() -> None:
    log = Log(trade_arrays(PNL), None, ORDERS, 1.0)
    assert kpis.fill_rate(log, kind="market") == kpis.fill_rate(log, kind="MARKET")
    with pytest.raises(ConfigError, match="kind: expected MARKET, LIMIT, POST_ONLY or STOP_MARKET, saw 'marekt'"):
        kpis.fill_rate(log, kind="marekt")


def test_a_leg_that_says_neither_maker_nor_taker_leaves_their_share_unknown() -> None:
    trades = trade_arrays(PNL)
    assert kpis.maker_share(Log(trades, None, None, 1.0)) > 0
    assert math.isnan(kpis.maker_share(Log(trades | {"entry_liquidity": np.full(len(PNL), "")}, None, None, 1.0)))


def test_a_stop_at_the_entry_is_no_risk_to_measure_by() -> None:
    trades = trade_arrays(PNL)
    assert math.isfinite(kpis.expectancy_r(Log(trades, None, None, 1.0)))
    stops = trades["entry_price"] * (1 + 2**-52)
    assert math.isnan(kpis.expectancy_r(Log(trades | {"stop_price": stops}, None, None, 1.0)))
