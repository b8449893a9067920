"""A finished run in its caller's hands: tables as frames, and the book beside live bars."""

import numpy as np
import pandas as pd
import pytest

from backtest.data.market import synthetic_market
from backtest.sim_loop import SimulationResult, run_simulation
from features.live import BOOK_AT_CLOSE
from tests.e2e.support import settings_of
from utils.records.schema import EQUITY_COLUMNS, ORDER_COLUMNS, SIGNAL_COLUMNS, TRADE_COLUMNS


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    market = synthetic_market(settings_of(), "BTCUSDT,ETHUSDT", "1m", 1_000)
    return run_simulation(data=market, settings=settings_of(), logs_dir=tmp_path_factory.mktemp("logs"))


@pytest.mark.parametrize(
    ("table", "columns"),
    [("trades", TRADE_COLUMNS), ("signals", SIGNAL_COLUMNS), ("orders", ORDER_COLUMNS), ("equity", EQUITY_COLUMNS)],
)
def test_a_table_has_the_columns_of_its_file_and_is_made_once(result, table, columns):
    frame = getattr(result, table)
    assert list(columns) == list(frame.columns)
    assert len(frame) == len(result.tables[table][columns[0]]) > 0
    assert frame is result.frame(table)


def test_times_are_utc_to_the_nanosecond(result):
    times = result.trades["exit_time"]
    assert "UTC" == str(times.dt.tz)
    assert result.tables["trades"]["exit_time"].tolist() == times.dt.as_unit("ns").astype("int64").tolist()


def test_without_a_live_book_there_is_a_frame_of_its_columns_and_no_row(result):
    assert ["time", "symbol", *BOOK_AT_CLOSE.names] == list(result.book.columns)
    assert result.book.empty


def test_only_bars_with_a_valid_book_stand_in_the_frame_of_books(result):
    book = np.full(len(result.market.bars), np.nan, BOOK_AT_CLOSE)
    book["book_age_ms"][7], book["spread_bps"][7] = 3.0, 1.5
    market = type(result.market)(
        **{name: getattr(result.market, name) for name in result.market.__slots__} | {"book": book}
    )
    frame = SimulationResult(market, result.settings, {}, {}, {}, {}, {}).book
    bar = market.bars[7]
    assert [(pd.Timestamp(bar["ts"], unit="ns", tz="UTC"), market.symbols[bar["sym"]], 3.0, 1.5)] == list(
        zip(frame["time"], frame["symbol"], frame["book_age_ms"], frame["spread_bps"], strict=True)
    )


def test_the_kpis_are_the_report(result):
    assert result.report is result.kpis
