"""Honest trades on recorded exchange candles: re-checked by an independent tool, repeatable, and adding up."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from backtest.sim_loop import SimulationResult, run_simulation
from tests.e2e.support import CANDLES, recordings, settings_of
from utils.market.timeframes import TIMEFRAMES

#: The settings furthest from the default: takers, stops by volatility that move.
BRACKETS = {"execution__entry": "market", "risk__stop": "atr", "risk__trail": "bps"}


def name_of(path: Path) -> str:
    """Market, timeframe and file without its ending."""
    return "/".join((*path.parts[-3:-1], path.stem))


def minutes_of(path: Path) -> str:
    """The timeframe of a file's folder in minutes, as the tool wants it."""
    return str(TIMEFRAMES[path.parent.name] // 60_000_000_000)


FILES = [pytest.param(path, id=name_of(path)) for path in recordings()]
absent = pytest.mark.skipif(not FILES, reason="the recorded candles are not beside this tree")


def recording(name: str) -> Path:
    """A recorded file by its name; the test is skipped where it is not there."""
    path = CANDLES / f"{name}.parquet"
    if not path.is_file():
        pytest.skip("the recorded candles are not beside this tree")
    return path


def check(tool, capsys, path: Path, logs: Path) -> None:
    """The independent re-check finds no fault."""
    capsys.readouterr()
    code = tool.main(str(path), str(logs / "trades.csv"), minutes_of(path), "10000", strict=True)
    assert 0 == code, capsys.readouterr().out


@absent
@pytest.mark.parametrize("path", FILES or [None])
def test_trades_on_every_recording_withstand_the_independent_check(path, tmp_path, check_trades, capsys):
    result = run_simulation(data=path, settings=settings_of(), logs_dir=tmp_path)
    check(check_trades, capsys, path, tmp_path)
    assert pq.read_metadata(path).num_rows == result.report["bars"] + result.report["warmup_bars"]
    assert result.report["bars"] < 5_000 or result.report["trades"] >= 30


@pytest.mark.slow
@absent
@pytest.mark.parametrize("path", FILES or [None])
@pytest.mark.parametrize("entry", ["market", "limit", "post_only"])
@pytest.mark.parametrize(
    "stops",
    [{}, {"risk__stop": "atr", "risk__trail": "bps"}, {"risk__trail": "atr"}],
    ids=["plain", "stop in true ranges, trail", "trail in true ranges"],
)
def test_every_kind_of_entry_and_stop_withstands_the_check_on_every_recording(
    path, entry, stops, tmp_path, check_trades, capsys
):
    run_simulation(data=path, settings=settings_of(execution__entry=entry, **stops), logs_dir=tmp_path)
    check(check_trades, capsys, path, tmp_path)


@absent
@pytest.mark.parametrize("path", FILES or [None])
def test_the_risked_share_of_equity_is_what_a_stop_costs(path, tmp_path):
    if "/binance_usdm/5m/" not in str(path):
        pytest.skip("one view of the market is enough")
    settings = settings_of(risk__max_leverage=20.0, simulation__volume_cap=1.0, simulation__impact=0.0)
    trades = run_simulation(data=path, settings=settings, logs_dir=tmp_path).trades
    stopped = trades[trades["exit_reason"] == "STOP_LOSS"]
    share = -stopped["net_pnl"] / (stopped["equity_after"] - stopped["net_pnl"])
    assert pytest.approx(settings.risk.risk_per_trade, rel=0.02) == np.median(share)


@pytest.mark.parametrize("name", ["binance_usdm/1m/BTCUSDT_20250706_20250717", "binance_usdm_flow/1m/AVAXUSDT_202309"])
def test_market_entries_with_moving_stops_withstand_the_check(name, tmp_path, check_trades, capsys):
    path = recording(name)
    result = run_simulation(data=path, settings=settings_of(**BRACKETS), logs_dir=tmp_path)
    check(check_trades, capsys, path, tmp_path)
    assert {"STOP_LOSS", "TRAILING_STOP"} <= set(result.trades["exit_reason"])
    assert {"taker"} == set(result.trades["entry_liquidity"])


@pytest.mark.parametrize("overrides", [{}, BRACKETS], ids=["default", "market entries"])
def test_two_symbols_on_one_account_withstand_the_check(overrides, tmp_path, check_trades, capsys):
    paths = [recording(f"binance_usdm/1m/{symbol}_20250706_20250717") for symbol in ("ETHUSDT", "BTCUSDT")]
    settings = settings_of(**overrides)
    result = run_simulation(data=paths, settings=settings, logs_dir=tmp_path / "a")
    for path in paths:
        check(check_trades, capsys, path, tmp_path / "a")
    assert {"BTCUSDT", "ETHUSDT"} == set(result.trades["symbol"])
    run_simulation(data=paths[::-1], settings=settings, logs_dir=tmp_path / "b")
    for table in ("trades", "signals", "orders", "equity"):
        assert (tmp_path / "a" / f"{table}.csv").read_bytes() == (tmp_path / "b" / f"{table}.csv").read_bytes()


def test_two_runs_write_the_same_bytes(tmp_path, monkeypatch):
    path = recording("bybit_linear/5m/SOLUSDT_20250403_20250810")
    run_simulation(data=path, settings=settings_of(), logs_dir=tmp_path / "a")
    monkeypatch.chdir(path.parent)
    run_simulation(data=path.name, settings=settings_of(), logs_dir=tmp_path / "another folder")
    for table in ("trades", "signals", "orders", "equity"):
        assert (tmp_path / "a" / f"{table}.csv").read_bytes() == (
            tmp_path / "another folder" / f"{table}.csv"
        ).read_bytes()
    texts = [(tmp_path / folder / "run.json").read_text() for folder in ("a", "another folder")]
    runs = [json.loads(text) for text in texts]
    for run in runs:
        del run["started"], run["elapsed_s"]
    assert runs[0] == runs[1]
    assert [] == [word for text in texts for word in (str(tmp_path), str(CANDLES.parent)) if word in text]


def open_profit(result: SimulationResult, trade: pd.Series, times: np.ndarray, closes: np.ndarray) -> np.ndarray:
    """Profit of a position at `times` while it is open: at the close, less its entry fee and the funding so far."""
    bars, fees = result.market.bars, result.market.instruments[0]
    bps = fees["maker_bps"] if trade.entry_liquidity == "maker" else fees["taker_bps"]
    profit = trade.d * (closes - trade.entry_price) * trade.qty - bps * 1e-4 * trade.qty * trade.entry_price
    for stamp in result.market.funding:
        if trade.entry < stamp["ts"]:
            mark = bars["close"][np.searchsorted(bars["ts"], stamp["ts"], "right") - 1]
            profit -= np.where(times >= stamp["ts"], trade.d * stamp["rate"] * trade.qty * mark, 0.0)
    return profit


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("binance_usdm/1m/BTCUSDT_20250706_20250717", {}),
        ("binance_usdm/1m/ETHUSDT_20250706_20250717", BRACKETS),
        ("bybit_linear/5m/SOLUSDT_20250403_20250810", {"risk__horizon": 300, "risk__take_bps": 500.0}),
    ],
)
def test_equity_is_capital_and_closed_trades_and_open_profit(name, overrides, tmp_path):
    result = run_simulation(data=recording(name), settings=settings_of(**overrides), logs_dir=tmp_path)
    trades, equity = pd.read_csv(tmp_path / "trades.csv"), pd.read_csv(tmp_path / "equity.csv")
    times = pd.to_datetime(equity["time"]).dt.as_unit("ns").astype("int64").to_numpy()
    for column in ("entry", "exit"):
        trades[column] = pd.to_datetime(trades[f"{column}_time"]).dt.as_unit("ns").astype("int64")
    trades["d"] = np.where(trades["side"] == "long", 1.0, -1.0)
    bars = result.market.bars
    closes = bars["close"][np.searchsorted(bars["ts"], times)]
    # an exit at an open belongs to the bar that begins there, one inside a bar to the bar that ends there
    traded = bars["ts"][bars["volume"] > 0.0]
    put_off = (trades["exit_reason"] == "TIME_LIMIT") & ~np.isin(trades["exit"], traded)
    at_open = trades["exit_reason"].isin(["FLIP", "EARLY_STOP"]) | put_off
    due = np.full(len(times), 10_000.0)
    for trade, late in zip(trades.itertuples(), at_open, strict=True):
        end = np.searchsorted(times, trade.exit, "right" if late else "left")
        held = slice(np.searchsorted(times, trade.entry, "right"), end)
        due[held] += open_profit(result, trade, times[held], closes[held])
        due[end:] += trade.net_pnl
    np.testing.assert_allclose(equity["equity"], due, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(
        equity["equity"], 10_000.0 + equity["realised"] + equity["open_pnl"], rtol=0.0, atol=1e-9
    )
    assert trades["equity_after"].iloc[-1] == pytest.approx(10_000.0 + trades["net_pnl"].sum(), abs=1e-6)
    assert result.report["final_equity"] == pytest.approx(trades["equity_after"].iloc[-1], abs=1e-6)
