"""The tables of a run: every row in its place, with the number of the function that answers for it."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.runs import (
    DAY,
    EQUITY,
    ORDERS,
    PNL,
    START,
    trade_arrays,
    write_trades,
)
from utils import kpis
from utils.errors import DataError
from utils.records.reader import Log, RealisedEquityWarning
from utils.summary import GIVEN_ROWS, SUMMARY_ROWS, ExitReason, exit_reasons, summarise


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
        assert tuple(summarise(self.LOG)) == tuple(SUMMARY_ROWS)
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
            "Best Pair": "BTCUSDT 0.19 %",
            "Worst Pair": "ETHUSDT 0.07 %",
            "Best Trade": "BTCUSDT 1.50 %",
            "Worst Trade": "BTCUSDT -0.90 %",
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


def test_a_frame_without_its_capital_is_summarised_with_the_one_that_is_passed(tmp_path: Path) -> None:
    frame = pd.read_csv(write_trades(tmp_path))
    bare = frame.drop(columns=["equity_after"])
    with pytest.raises(DataError, match="pass initial_capital"):
        summarise(bare)
    with pytest.warns(RealisedEquityWarning):
        assert summarise(frame) == pytest.approx(summarise(bare, initial_capital=10_000), nan_ok=True)


def test_every_function_whose_message_asks_for_the_capital_takes_it() -> None:
    homeless = Log(trade_arrays(PNL), None, None, math.nan)
    asked = []
    for name in (*kpis.__all__, "summarise"):
        function = summarise if name == "summarise" else getattr(kpis, name)
        if not callable(function) or isinstance(function, type) or name in {"break_even_win_rate", "read_log"}:
            continue
        try:
            function(homeless)
        except (DataError, TypeError) as error:
            if "pass initial_capital" in str(error):
                asked.append(name)
                with warnings.catch_warnings(action="ignore"):
                    function(homeless, initial_capital=10_000.0)
    assert {"summarise", "evaluate", "sharpe_ratio", "drawdown"} <= set(asked)


def test_a_log_whose_sides_are_no_words_is_refused() -> None:
    trades = trade_arrays(PNL)
    log = Log(trades | {"side": np.full(len(PNL), "up")}, EQUITY, None, 10_000.0)
    with pytest.raises(DataError, match="trade 1, column side: expected long or short, saw 'up'"):
        summarise(log)
