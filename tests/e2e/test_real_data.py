"""Simulations on an exchange: the one in the box, through the same REST, streams and settings as any other."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from backtest.sim_loop import run_simulation
from ingest.replay_server import ReplayServer
from tests.boxes import let_clocks_run
from tests.e2e.support import names
from tests.places import ROOT
from utils.config import load_settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def still():
    """An exchange at the pace of the world."""
    with ReplayServer.thread(symbols=("BTCUSDT", "ETHUSDT"), history_hours=12.0, seed=5) as box:
        yield box


@pytest.fixture(scope="module")
def fast():
    """An exchange on which a minute takes three seconds."""
    with ReplayServer.thread(symbols=("BTCUSDT", "ETHUSDT"), history_hours=12.0, seed=5, speed=20.0) as box:
        yield box


@pytest.fixture
def at(cli, monkeypatch):
    """Points the command line at a box."""

    def point(endpoints):
        for name, value in names(endpoints).items():
            monkeypatch.setenv(name, value)
        return cli

    return point


@pytest.fixture
def closed_port():
    """A port of this machine on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize("exchange", ["bybit", "binance"])
def test_slow_simulates_the_last_closed_bars_of_the_exchange(at, still, exchange):
    ran = at(still.endpoints)("--slow", "--exchange", exchange, "--timeframe", "1m", "--steps", 50, "--json")
    assert (0, "") == (ran.code, ran.err)
    report = json.loads(ran.out)
    assert (50, "BTCUSDT", "1m") == tuple(report[k] for k in ("bars", "symbol", "timeframe"))
    assert f"{exchange}@{still.http.removeprefix('http://')}" == report["source"]


def test_the_driver_takes_several_symbols_and_the_venues_own_fees(at, still, place):
    ran = at(still.endpoints)("--symbol", "ETHUSDT,BTC/USDT:USDT", "--tf", "1m", "--steps", 30, "--json", real=True)
    assert 0 == ran.code
    run = json.loads((place / "logs" / "run.json").read_text())
    assert ["bybit_linear", "bybit_linear"] == [one["market"] for one in run["data"]]
    assert "BTCUSDT,ETHUSDT" == run["symbol"]


def test_use_ws_joins_the_book_to_no_older_bar(still, place):
    settings = load_settings(env=names(still.endpoints)).settings
    result = run_simulation("BTCUSDT", "1m", "bybit", 40, True, settings=settings, logs_dir=place / "logs")
    history = result.market.bars[:-40]
    assert result.market.book[: len(history)]["spread_bps"].tolist() == pytest.approx(
        [float("nan")] * len(history), nan_ok=True
    )


@pytest.mark.parametrize("exchange_for_ob", ["bybit", "binance"])
def test_live_decides_bar_by_bar_with_the_book_beside_them(fast, place, exchange_for_ob, monkeypatch):
    let_clocks_run(monkeypatch)
    settings = load_settings(env=names(fast.endpoints)).settings
    told = []
    result = run_simulation(
        "BTCUSDT,ETHUSDT",
        "1m",
        exchange_for_ob,
        2,
        live=True,
        settings=settings,
        logs_dir=place / "logs",
        tell=told.append,
    )
    assert [2, 2] == [len(instant.bars) for instant in told if not instant.late]
    assert 4 == result.report["bars"]
    spreads = [float(top) for instant in told[1:] if not instant.late for top in instant.book["spread_bps"]]
    assert all(0.0 < spread < 100.0 for spread in spreads)
    assert len(result.book) >= 2


def test_live_bars_are_the_candles_of_the_exchange(fast, place):
    settings = load_settings(env=names(fast.endpoints)).settings
    result = run_simulation("BTCUSDT", "1m", "bybit", 2, live=True, settings=settings, logs_dir=place / "logs")
    served = {one.open_ms: one for one in fast.candles("BTCUSDT", "1m")}
    for bar in result.market.bars[-2:]:
        candle = served[int(bar["ts"]) // 1_000_000 - 60_000]
        assert (candle.open, candle.close, candle.volume) == (bar["open"], bar["close"], bar["volume"])


@pytest.mark.parametrize("flags", [("--slow",), ("--live", "--steps", "2"), ("--use-ws",)])
def test_an_exchange_that_does_not_answer_ends_the_run_with_three(at, still, closed_port, monkeypatch, flags):
    cli = at(still.endpoints)
    monkeypatch.setenv("SCALPER__ENDPOINTS__BYBIT_REST", f"http://127.0.0.1:{closed_port}")
    ran = cli(*flags, "--timeframe", "1m")
    assert 3 == ran.code
    last = ran.err.splitlines()[-1]
    assert last.startswith("error: bybit futures: load_markets failed after 2 attempts: no connection")


def test_the_simulation_module_wants_real_data_and_never_makes_it_up(closed_port, place):
    ran = subprocess.run(
        [sys.executable, "-m", "backtest.sim_loop"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCALPER__INGEST__RETRIES": "1"}
        | {"SCALPER__ENDPOINTS__BYBIT_REST": f"http://127.0.0.1:{closed_port}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (3, "error: bybit") == (ran.returncode, ran.stderr.splitlines()[-1][:12])
    assert not (place / "logs").exists()


def test_a_stream_that_does_not_answer_ends_the_run_with_three(at, still, closed_port, monkeypatch):
    cli = at(still.endpoints)
    monkeypatch.setenv("SCALPER__ENDPOINTS__BYBIT_WS", f"ws://127.0.0.1:{closed_port}")
    ran = cli("--live", "--timeframe", "1m", "--steps", 2, "--quiet")
    assert 3 == ran.code
    assert "bybit" in ran.err


def after_closes(process, bars):
    """Returns when a live run has told of so many bars; a run that ends before is a failure, with what it said."""
    for line in process.stdout:
        bars -= "  close " in line
        if bars == 0:
            return
    pytest.fail(process.stderr.read())


def test_ctrl_c_ends_a_live_run_with_whole_log_files(fast, place):
    process = subprocess.Popen(
        [sys.executable, "-m", "backtest.sim_loop", "--live", "--tf", "1m", "--symbol", "BTCUSDT"],
        cwd=place,
        env={**os.environ, **names(fast.endpoints), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    after_closes(process, 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert 130 == process.returncode, err
    run = json.loads((place / "logs" / "run.json").read_text())
    assert run["bars"] >= 3
    assert "logs" in out


def test_ctrl_c_does_not_wait_for_an_exchange_that_never_answers(fast, place):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = {"SCALPER__ENDPOINTS__BYBIT_REST": f"http://127.0.0.1:{mute.getsockname()[1]}"}
        process = subprocess.Popen(
            [sys.executable, "-m", "backtest.sim_loop", "--live", "--tf", "1m", "--symbol", "BTCUSDT"],
            cwd=place,
            env={**os.environ, **names(fast.endpoints), **silent, "PYTHONPATH": str(ROOT)}
            | {"SCALPER__INGEST__TIMEOUT_S": "100"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with mute.accept()[0]:  # it asks for the history, and will wait for a long time
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
    assert (130, "stopped by Ctrl-C; no file is half-written") == (process.returncode, err.splitlines()[-1])
    assert not (place / "logs").exists()


def test_a_strategy_that_is_stopped_within_its_own_work_keeps_every_close_before(fast, place):
    settings = load_settings(env=names(fast.endpoints)).settings
    told, stopped = [], []

    def strategy(frame):
        if told and not stopped:
            stopped.append(len(frame))
            raise KeyboardInterrupt  # as a second Ctrl-C does it where the first is not looked at
        return frame[["ts"]].assign(side=1.0)

    result = run_simulation(
        "BTCUSDT",
        "1m",
        live=True,
        settings=settings,
        strategy=strategy,
        logs_dir=place / "logs",
        tell=lambda instant: told.append(instant) if not instant.late else None,
    )
    assert (True, 1) == (result.interrupted, len(told))
    assert told[0].bars["ts"][0] == result.market.bars["ts"][-1]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--slow", "--seed", "3"), "--seed: it belongs to the mock market"),
        (("--exchange-for-ob", "bybit"), "--exchange-for-ob: a book stands beside live bars only"),
        (("--slow", "--exchange", "nowhere"), "one of binance, bybit"),
        (("--slow", "--symbol", "NOSUCHUSDT"), "NOSUCHUSDT"),
    ],
)
def test_flags_that_make_no_sense_on_an_exchange_are_two(at, still, flags, sentence):
    ran = at(still.endpoints)(*flags)
    assert (2, True) == (ran.code, sentence in ran.err), ran.err
