"""A run read from its files, a frame or arrays, and one sentence for each file that is none."""

from __future__ import annotations

import math
import threading
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.journal import META, moment
from tests.places import ROOT
from tests.runs import (
    FILLS,
    ORDERS,
    text,
    write_run,
    write_trades,
)
from utils import kpis
from utils.errors import DataError
from utils.records import schema
from utils.records.files import FileJournal
from utils.records.reader import RealisedEquityWarning, read_log, tail


def test_without_equity_a_path_warns_once(tmp_path: Path) -> None:
    path = write_trades(tmp_path)
    with pytest.warns(RealisedEquityWarning, match="realised daily equity") as seen:
        [kpi(path) for kpi in (kpis.sharpe_ratio, kpis.sharpe_ratio, kpis.max_drawdown, kpis.win_rate)]
    assert len(seen) == 1
    assert Path(seen[0].filename) != ROOT / "utils" / "records" / "reader.py"
    other = tmp_path / "other"
    other.mkdir()
    with pytest.warns(RealisedEquityWarning):
        kpis.sharpe_ratio(write_trades(other))


def test_figures_of_trades_do_not_warn(tmp_path: Path) -> None:
    path = write_trades(tmp_path)
    with warnings.catch_warnings(action="error"):
        assert kpis.win_rate(path) == 0.5
        assert kpis.avg_trade_duration_minutes(path) == 10
        assert math.isnan(kpis.implementation_shortfall_bps(path))


def test_realised_equity_runs_from_first_entry_to_last_exit(tmp_path: Path) -> None:
    with pytest.warns(RealisedEquityWarning):
        returns = kpis.daily_returns(write_trades(tmp_path))
    assert returns == pytest.approx([37 / 10_000, -11 / 10_037])


def test_initial_capital_comes_from_the_run_then_equity_then_the_keyword_then_the_first_trade(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    assert read_log(path, 5.0).initial_capital == 10_000
    (tmp_path / "run.json").unlink()
    assert read_log(path, 5.0).initial_capital == 10_000
    (tmp_path / "equity.csv").unlink()
    assert read_log(path, 5.0).initial_capital == 5
    assert read_log(path).initial_capital == 10_000


def test_an_unknown_capital_is_asked_for(tmp_path: Path) -> None:
    frame = pd.read_csv(write_trades(tmp_path)).drop(columns="equity_after")
    with pytest.raises(DataError, match="pass initial_capital"):
        kpis.sharpe_ratio(frame)
    with pytest.warns(RealisedEquityWarning):
        assert kpis.max_drawdown(frame, initial_capital=10_000) == pytest.approx(10_001 / 10_037 - 1)


def test_siblings_belong_to_trades_csv_only(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert read_log(write_trades(tmp_path, name="some.csv")).equity is None


def test_rows_are_put_in_order_of_exit_and_ties_stay_as_they_stood(tmp_path: Path) -> None:
    frame = pd.read_csv(write_trades(tmp_path))
    frame["exit_time"] = frame["exit_time"].iloc[-1]
    frame.loc[5, "exit_time"] = "2024-01-01T00:10:00.000Z"
    frame.loc[5, "entry_time"] = "2024-01-01T00:00:00.000Z"
    assert read_log(frame).trades["net_pnl"].tolist() == [25.0, 30, -18, 25, -18, -18]


def test_open_trades_are_left_out(tmp_path: Path) -> None:
    frame = pd.read_csv(write_trades(tmp_path))
    frame.loc[5, ["exit_time", "exit_price", "net_pnl"]] = None
    assert kpis.trade_count(frame) == 5
    frame.to_csv(tmp_path / "trades.csv", index=False)
    assert kpis.trade_count(tmp_path / "trades.csv") == 5


def test_extra_columns_and_an_empty_cell_are_fine(tmp_path: Path) -> None:
    frame = pd.read_csv(write_trades(tmp_path))
    frame["note"] = "x"
    frame["stop_price"] = np.nan
    frame.to_csv(tmp_path / "trades.csv", index=False)
    assert kpis.net_profit(tmp_path / "trades.csv") == 26
    assert math.isnan(kpis.expectancy_r(tmp_path / "trades.csv"))


def test_a_folder_is_read_by_its_trades(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    assert kpis.evaluate(path) == pytest.approx(kpis.evaluate(tmp_path), nan_ok=True)
    assert read_log(tmp_path).fills["price"].tolist() == FILLS["price"].tolist()


def test_an_older_run_without_fills_is_read_as_before(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    before = kpis.evaluate(path)
    (tmp_path / "fills.csv").unlink()
    assert read_log(path).fills is None
    assert before == pytest.approx(kpis.evaluate(path), nan_ok=True)
    assert "fills" not in tail(path).tables


def test_ids_are_texts_in_a_batch(tmp_path: Path) -> None:
    batch = tail(write_run(tmp_path))
    assert batch.tables["orders"]["order_id"].tolist() == ["1", "2", "3", "4"]
    assert batch.tables["orders"]["arrival_time"].tolist()[2:] == [schema.NO_TIME] * 2


def test_one_file_of_another_name_is_a_batch_of_trades(tmp_path: Path) -> None:
    path = write_trades(tmp_path, name="some.csv")
    batch = tail(path)
    assert (batch.whole, list(batch.tables)) == (True, ["trades"])
    assert not tail(path, batch.mark).whole
    path.write_text(path.read_text().replace("25.0", "26.0", 1) + "\n")
    assert tail(path, batch.mark).whole


def test_half_a_last_line_does_not_count_while_the_run_goes_on(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 1, "finished": false, "journal": "journal.sqlite"}')
    for table in ("trades", "orders", "fills", "equity"):
        file = tmp_path / f"{table}.csv"
        file.write_text(file.read_text()[:-20])
    log = read_log(path)
    lengths = (len(log.trades["net_pnl"]), len(log.orders["qty"]), len(log.fills["qty"]), len(log.equity["equity"]))
    assert lengths == (5, 3, 2, 9)
    first = tail(path)
    assert (first.whole, first.finished, tail(path, first.mark).whole) == (True, False, False)
    (tmp_path / "equity.csv").write_text((tmp_path / "equity.csv").read_text() + "x\n")
    with pytest.raises(DataError, match=r"equity.csv, line 11"):
        tail(path, first.mark)


def test_a_reader_never_sees_the_files_of_two_runs(tmp_path: Path) -> None:
    """Two runs replace each other all the time; one has twice the rows of the other in each of its tables."""
    words, ended = META.words, threading.Event()

    def replace() -> None:
        for turn in range(60):
            with FileJournal(tmp_path, None, words) as journal:
                for number in range(2 if turn % 2 else 1):
                    journal.commit(moment(number + 1))
                journal.finish({"initial_capital": 1.0 + turn % 2, "started": str(turn)})
        ended.set()

    replacer = threading.Thread(target=replace)
    replacer.start()
    seen = set()
    while not ended.is_set():
        if (tmp_path / "run.json").exists():
            log = read_log(tmp_path)
            seen.add((len(log.trades["qty"]), len(log.orders["qty"]), len(log.fills["qty"]), log.initial_capital))
    replacer.join()
    assert seen == {(1, 1, 2, 1.0), (2, 2, 4, 2.0)}


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


T0 = 1_704_067_200  # s


@pytest.mark.parametrize("per", [1, 10**3, 10**6, 10**9], ids=["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", ["frame", "file"])
def test_the_size_of_a_trade_s_times_tells_their_unit(tmp_path: Path, per: int, kind: str) -> None:
    times = {"entry_time": [T0 * per, (T0 + 60) * per], "exit_time": [(T0 + 1800) * per, (T0 + 1860) * per]}
    frame = pd.DataFrame({**times, "net_pnl": [1.0, -0.5]})
    path = tmp_path / "trades.csv"
    frame.to_csv(path, index=False)
    log = read_log(frame if kind == "frame" else path)
    assert [T0 * 10**9, (T0 + 60) * 10**9] == log.trades["entry_time"].tolist()
    assert 30.0 == kpis.avg_trade_duration_minutes(log)


@pytest.mark.parametrize("kind", ["frame", "file"])
def test_times_of_no_century_of_ours_are_refused_with_their_trade(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame({"entry_time": [T0, 5], "exit_time": [T0 + 60, T0 + 120], "net_pnl": [1.0, 1.0]})
    path = tmp_path / "trades.csv"
    frame.to_csv(path, index=False)
    where = "trade 2" if kind == "frame" else "line 3"
    with pytest.raises(DataError, match=f"{where}, column entry_time: expected a time in the years 2000-2100, in s"):
        read_log(frame if kind == "frame" else path)


@pytest.mark.parametrize(
    "words", [("LONG", "SHORT"), ("Buy", "Sell"), (1, -1), ("1", "-1"), (1.0, -1.0), (" long", "SELL")]
)
def test_the_sides_of_a_frame_are_understood_in_the_words_of_other_tools(tmp_path: Path, words: tuple) -> None:
    frame = pd.read_csv(write_trades(tmp_path))
    sides = np.array([words[side == "short"] for side in frame["side"]], dtype=object)
    found = read_log(frame.assign(side=sides, entry_liquidity="TAKER", exit_reason="Stop Loss"))
    assert list(frame["side"]) == found.trades["side"].tolist()
    assert {"taker"} == set(found.trades["entry_liquidity"].tolist())
    assert {"STOP_LOSS"} == set(found.trades["exit_reason"].tolist())


def test_a_word_that_is_not_known_is_refused_with_row_and_column_and_no_exit_reason_is(tmp_path: Path) -> None:
    path = write_trades(tmp_path)
    frame = pd.read_csv(path)
    sides = frame["side"].to_numpy(dtype=object)
    sides[2] = "lnog"
    with pytest.raises(DataError, match="trade 3, column side: expected long or short, saw 'lnog'; correct"):
        read_log(frame.assign(side=sides))
    with pytest.raises(DataError, match="trade 1, column exit_liquidity: expected nothing, maker or taker, saw 'mkr'"):
        read_log(frame.assign(exit_liquidity="mkr"))
    path.write_text(path.read_text().replace(",short,", ",shrt,", 1))
    with pytest.raises(DataError, match=r"trades.csv, trade 2, column side: expected long or short, saw 'shrt'"):
        read_log(path)
    assert {"roi"} == set(read_log(frame.assign(exit_reason="roi")).trades["exit_reason"].tolist())


def test_the_states_of_an_order_file_are_understood_or_refused(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    rate = kpis.reject_rate(path)
    orders = tmp_path / "orders.csv"
    written = orders.read_text()
    orders.write_text(written.replace("REJECTED", "rejected").replace("POST_ONLY", "post-only"))
    assert 0 < rate == kpis.reject_rate(path)
    assert kpis.fill_rate(path, kind="POST_ONLY") == pytest.approx(kpis.fill_rate(path, kind="post_only"), nan_ok=True)
    orders.write_text(written.replace("REJECTED", "refused"))
    with pytest.raises(DataError, match=r"orders.csv, order \d+, column status: expected FILLED, .*, saw 'refused'"):
        kpis.reject_rate(path)
