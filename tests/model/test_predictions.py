"""Trades joined with what a version said of them: its own words, of bars that it had not seen, each once."""

import numpy as np
import pytest

from backtest.data.market import synthetic_market
from backtest.run.simulation import run_simulation
from ml.learning.artifact import parts_of
from model.predictions import joined, no_journal, predicted
from tests.e2e.support import settings_of
from tests.ml.models import judging
from tests.model.journals import PAID, signal_arrays
from tests.runs import START, trade_arrays
from utils.errors import DataError
from utils.records.reader import tail
from utils.records.schema import NO_TIME
from utils.records.versions import Versions

NET = np.array([10.0, -5.0, 20.0, -5.0, 0.0, 3.0])
P = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def signals(version="v"):
    return signal_arrays(version, P.copy(), 10.0 * P)


def trades():
    return trade_arrays(NET * PAID / 1e4)


def test_each_trade_stands_beside_what_was_said_at_its_signal():
    order = np.array([3, 1, 5, 0, 2, 4])
    mixed = {name: values[order] for name, values in trades().items()}
    found = predicted(signals(), mixed, "v", 0, "logs")
    assert NET.tolist() == pytest.approx(found.net.tolist())
    assert P.tolist() == found.p.tolist()
    assert (10.0 * P).tolist() == found.expected.tolist()
    assert (6, 6, 0, 0, 0) == (found.trades, found.own, found.others, found.unsaid, found.learned)
    calibration, edge = found.gaps()
    assert (6, 0.5, 0.35) == pytest.approx((calibration.trades, calibration.seen, calibration.said))
    assert (6, 23.0 / 6.0, 3.5) == pytest.approx((edge.trades, edge.seen, edge.said))


def test_what_other_versions_said_is_counted_and_left_out():
    said = signals()
    said["model"] = np.array(["v", "w", "v", "", "w", "v"])
    found = predicted(said, trades(), "v", 0, "logs")
    assert P[[0, 2, 5]].tolist() == found.p.tolist()
    assert (3, 2, 3) == (found.own, found.others, found.unsaid)


def test_trades_of_bars_that_it_was_trained_on_are_left_out():
    found = predicted(signals(), trades(), "v", int(trades()["signal_time"][1]), "logs")
    assert P[2:].tolist() == found.p.tolist()
    assert (2, 0) == (found.learned, found.unsaid)


def test_open_trades_are_none_and_what_was_not_said_is_not_guessed():
    said, closed = signals(), trades()
    closed["exit_time"][5] = NO_TIME
    said["p_win"][0] = said["net_bps"][1] = np.nan
    said["p_win"][2] = said["net_bps"][2] = np.nan
    found = predicted(said, closed, "v", 0, "logs")
    assert (4, 1) == (found.trades, found.unsaid)
    calibration, edge = found.gaps()
    assert (3, 3) == (calibration.trades, edge.trades)
    assert 0.2 == pytest.approx(calibration.said - 1.0 / 6.0)


def test_a_signal_of_another_symbol_or_moment_is_not_that_of_a_trade():
    said = signals()
    said["symbol"][0], said["time"][1] = "ETHUSDT", START + 1
    assert P[2:].tolist() == predicted(said, trades(), "v", 0, "logs").p.tolist()


def test_logs_of_before_there_were_models_hold_no_prediction():
    old = {name: values for name, values in signals().items() if name not in ("model", "net_bps")}
    found = predicted(old, trades(), "v", 0, "logs")
    assert (0, 0, 0, 6) == (found.trades, found.own, found.others, found.unsaid)


def test_a_trade_of_two_folders_counts_once_and_the_first_is_kept():
    one = predicted(signals(), {name: values[:4] for name, values in trades().items()}, "v", 0, "logs")
    other = predicted(signals(), trade_arrays(-NET), "v", 0, "logs")
    whole = joined(joined(no_journal(), one), other)
    assert NET[:4].tolist() == pytest.approx(whole.net[:4].tolist())
    assert (6, 4, 12) == (whole.trades, whole.twice, whole.own)
    assert (np.diff(whole.time) > 0).all()


@pytest.mark.parametrize(
    ("table", "name", "value", "said"),
    [
        ("signals", "p_win", 1.5, "p_win: expected a share from 0 to 1"),
        ("signals", "net_bps", np.inf, "net_bps: expected a number"),
        ("trades", "net_pnl", np.nan, "net_pnl: expected an amount"),
        ("trades", "qty", 0.0, "entry_price or qty: expected a number above 0"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(table, name, value, said):
    tables = {"signals": signals(), "trades": trades()}
    tables[table][name][3] = value
    with pytest.raises(DataError, match=f"{table}.csv, line 5, column {said}"):
        predicted(tables["signals"], tables["trades"], "v", 0, "logs")


def test_a_column_that_is_missing_is_named():
    without = {name: values for name, values in trades().items() if name != "signal_time"}
    with pytest.raises(DataError, match="signal_time"):
        predicted(signals(), without, "v", 0, "logs")


def test_every_trade_of_a_run_that_a_version_served_is_found(tmp_path):
    versions = Versions(tmp_path / "models")
    versions.make_current(version := versions.write(parts_of(judging(-1e9)), {}))
    settings = settings_of(meta__enabled=True, meta__dir=str(versions.folder))
    market = synthetic_market(settings, "BTCUSDT,ETHUSDT", "1m", 2_000)
    run_simulation(data=market, settings=settings, logs_dir=tmp_path / "logs")
    tables = tail(tmp_path / "logs").tables
    found = predicted(tables["signals"], tables["trades"], version, 0, "logs")
    assert found.trades == len(tables["trades"]["net_pnl"]) > 20
    assert (0, 0) == (found.unsaid, found.others)
    assert found.own == len(tables["signals"]["time"])
    assert {"BTCUSDT", "ETHUSDT"} == set(found.symbol.tolist())
