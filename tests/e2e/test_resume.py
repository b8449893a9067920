"""A live run that is killed with -9 goes on: on an exchange in a box on which a minute takes half a second."""

from __future__ import annotations

import dataclasses
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from backtest.sim_loop import run_simulation
from exec.trader import Trader
from features.live import EVENT_VECTOR, AtClose
from ingest.replay_server import ReplayServer
from tests.e2e.support import names
from tests.live import SETTINGS, Live, bar_events, before, begun_with, sources
from tests.places import ROOT
from utils import kpis
from utils.config import load_settings
from utils.errors import DataError
from utils.records.database import JOURNAL, recover
from utils.records.files import TABLES
from utils.records.reader import START, read_log, tail
from utils.records.sqlite import SqliteJournal, unfinished
from utils.rows import NS_PER_MINUTE

pytestmark = pytest.mark.slow

#: Settings under which something is traded at nearly every close.
EAGER = {
    "SCALPER__SIGNAL__MIN_STRENGTH": "0",
    "SCALPER__SIGNAL__ADAPT_QUANTILE": "0.5",
    "SCALPER__SIGNAL__VOL_LOW": "0",
    "SCALPER__SIGNAL__VOL_HIGH": "100",
    "SCALPER__SIGNAL__MIN_VOLUME_RATIO": "0",
    "SCALPER__SIGNAL__MAX_ROLL_BPS": "10000",
    "SCALPER__SIGNAL__MAX_BOOK_SPREAD_BPS": "1000",
    "SCALPER__SIGNAL__MAX_FLOW_AGAINST": "1",
    "SCALPER__RISK__HORIZON": "1",
    "SCALPER__EXECUTION__ENTRY": "market",
}
#: How long a run is waited for, s.
PATIENCE_S = 120.0

#: Each line read starts a live run, begun or gone on with, forked where the modules are loaded already.
RUNS = """
import os, sys
from pathlib import Path
import ccxt, pandas
from backtest.run.warm import finish, start
from backtest.run.live import run_on_exchange
from backtest.sim_loop import run_simulation
from features.live import load_folds
from ingest.live.feed import load_code
from utils.config import load_settings
finish(start()); load_folds(); load_code("bybit")
settings = load_settings().settings
while line := sys.stdin.readline().strip():
    child = os.fork()
    if not child:
        how = {"live": True, "resume": line == "resume", "settings": settings, "logs_dir": Path(sys.argv[1])}
        run_simulation("BTCUSDT", "1m", **how)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


@pytest.fixture(scope="module")
def box():
    """An exchange on which a minute takes half a second."""
    with ReplayServer.thread(symbols=("BTCUSDT",), history_hours=3.0, seed=5, speed=120.0) as box:
        yield box


def until(true):
    """Wait for something to become true."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def traded(logs):
    """Whether a trade stands in the log files."""
    with suppress(DataError):
        return kpis.trade_count(logs / "trades.csv") > 0
    return False


def start(box, place, *flags, **how):
    """A live run in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "backtest.sim_loop", "--live", *flags, "--quiet"],
        cwd=place,
        env={**os.environ, **names(box.endpoints), **EAGER, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


class Stood:
    """Books and prints as they stood at each close of a run."""

    def __init__(self, market):
        self._stood = {(int(bar["sym"]), int(bar["ts"])): k for k, bar in enumerate(market.bars)}
        self._book = market.book

    def at(self, sym, close):
        row = self._book[self._stood[sym, close] : self._stood[sym, close] + 1]
        vector = np.zeros(1, EVENT_VECTOR)
        for name in EVENT_VECTOR.names:
            vector[name] = row[name]
        return AtClose(row["book_age_ms"][0], row["print_age_ms"][0], vector)


def test_a_live_run_that_is_killed_is_readable_and_goes_on_as_if_it_had_not_been(box, place):
    logs = place / "logs"
    process = start(box, place, "--tf", "1m", "--symbol", "BTCUSDT")
    until(lambda: traded(logs) or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    assert ("", "") == process.communicate()
    left = read_log(logs)
    assert len(left.trades["net_pnl"]) == kpis.trade_count(logs) == kpis.trade_count(logs / "trades.csv") > 0
    assert 10_000.0 == left.initial_capital
    texts = {table: (logs / f"{table}.csv").read_text() for table in TABLES}
    (home,) = unfinished(logs)
    decided = recover(home / JOURNAL).seq

    settings = load_settings(env=names(box.endpoints) | EAGER).settings
    told = []
    result = run_simulation(None, None, steps=5, live=True, resume=True, settings=settings, tell=told.append)
    assert (5, home) == (sum(not one.late for one in told), logs / "runs" / home.name)
    for table, text in texts.items():
        assert (logs / f"{table}.csv").read_text().startswith(text)
        assert (logs / f"{table}.csv").read_bytes() == (home / f"{table}.csv").read_bytes()
    kept = recover(home / JOURNAL)
    assert [False] * decided == [bool(one["late"]) for one in kept.inputs][:decided]
    assert [one.late for one in told] == [bool(one["late"]) for one in kept.inputs][decided:]

    market = result.market
    history = dataclasses.replace(market, bars=market.bars[market.bars["ts"] < market.starts[0]], book=None)
    never = Trader(history, settings, live=True, events=Stood(market))
    never.on_bars(history.bars)
    for one in kept.inputs:
        signals = never.on_close(one["bars"]).signals
        if one["late"]:
            assert np.isnan(one["signals"]["side"]).all()
        elif np.isfinite(one["signals"]["side"]).any():
            assert signals.tobytes() == one["signals"].tobytes()
        else:
            assert np.isnan(signals["side"]).all()


def test_a_full_disk_ends_a_live_run_that_goes_on_when_there_is_space_again(box, place):
    full = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))}
    out, err = start(box, place, "--tf", "1m", "--symbol", "BTCUSDT", **full).communicate(timeout=PATIENCE_S)
    assert ("", True) == (out, "every moment" in err), err
    (home,) = unfinished(place / "logs")
    kept = recover(home / JOURNAL).seq
    settings = load_settings(env=names(box.endpoints) | EAGER).settings
    run_simulation(None, None, steps=1, live=True, resume=home.name, settings=settings)
    assert recover(home / JOURNAL).seq > kept > 0
    assert kpis.trade_count(place / "logs") > 0


class Reader(threading.Thread):
    """Follows a run by `tail`, whatever happens to who writes it."""

    def __init__(self, logs):
        super().__init__()
        self.logs, self.ended, self.mark = logs, threading.Event(), START
        self.seen = {table: [] for table in TABLES}
        self.whole = 0

    def run(self):
        while not self.ended.is_set():
            with suppress(DataError):  # there is nothing yet
                self.look()
            time.sleep(0.01)

    def look(self):
        batch = tail(self.logs, self.mark)
        if batch.whole:
            self.whole += 1
            self.seen = {table: [] for table in TABLES}
        for table, columns in batch.tables.items():
            self.seen[table] += rows_of(columns)
        self.mark = batch.mark


def rows_of(columns):
    """The rows of a table, wherever it comes from: 0.0, -0.0 and 0 are one number, and NaN is NaN."""
    texts = {
        name: [v if isinstance(v, str) else repr(float(v) + 0.0) for v in values] for name, values in columns.items()
    }
    return [*zip(*texts.values(), strict=True)]


@pytest.mark.parametrize("kills", [6, pytest.param(30, marks=pytest.mark.long)])
def test_a_run_that_is_killed_at_any_moment_loses_nothing_that_anybody_saw(box, place, kills):
    logs, dice = place / "logs", random.Random(kills)
    environment = {**os.environ, **names(box.endpoints), **EAGER}
    reader, lives = Reader(logs), 0
    reader.start()
    with subprocess.Popen(
        [sys.executable, "-c", RUNS, logs], cwd=ROOT, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as parent:  # fmt: skip
        while lives < kills:
            began, wanted = reader.mark.seq, dice.choice((0, 0, 1, 2, 4))
            parent.stdin.write("resume\n" if began else "begin\n")
            parent.stdin.flush()
            child = int(parent.stdout.readline())
            until(lambda: reader.mark.seq >= began + wanted)  # noqa: B023 - asked for at once
            time.sleep(dice.random() * (0.6 if wanted else 1.5))
            os.kill(child, signal.SIGKILL)
            assert "gone\n" == parent.stdout.readline()
            lives += 1
            if reader.mark.seq:
                assert recover(logs / JOURNAL).seq >= reader.mark.seq
        parent.stdin.close()
        assert "" == parent.stderr.read()
    reader.ended.set()
    reader.join()
    reader.look()
    kept = recover(logs / JOURNAL)
    assert (1, kept.seq, True) == (reader.whole, reader.mark.seq, kept.seq > kills // 2)

    settings = load_settings(env=names(box.endpoints) | EAGER).settings
    run_simulation(None, None, steps=1, live=True, resume=True, settings=settings, logs_dir=logs)
    final = {table: rows_of(columns) for table, columns in tail(logs).tables.items()}
    for table, seen in reader.seen.items():
        assert seen == final[table][: len(seen)]
    assert len(reader.seen["trades"]) > 0
    for table in ("trades", "orders", "fills"):
        numbers = [int(row[0]) for row in final[table]]
        assert list(range(1, len(numbers) + 1)) == sorted(numbers)
    equity = read_log(logs).equity
    assert {NS_PER_MINUTE} == set(np.diff(equity["time"]).tolist())
    assert equity["equity"] == pytest.approx(1e4 + equity["realised"] + equity["open_pnl"], abs=1e-6)


@pytest.fixture
def killed(place):
    """A live run of two symbols at one minute that was killed, in `logs`, and its folder."""
    candles, market = before(sources())
    with SqliteJournal.begin(place / "logs", "killed", begun_with(load_settings(env={}).settings, market)) as journal:
        Live(candles, market, SETTINGS, journal=journal).play(list(bar_events(sources()))[:20])
    return journal.home


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ("--tf", "5m"),
            "--timeframe: expected 1m as the run has it, saw 5m; leave that as it was, or begin a new run",
        ),
        (("--symbol", "BTCUSDT"), "--symbol: expected BTCUSDT,ETHUSDT as the run has it, saw BTCUSDT; leave that"),
        (("--exchange", "binance"), "market.exchange: expected bybit as the run has it, saw binance; leave that"),
        (("--exchange-for-ob", "binance"), "--exchange-for-ob: expected bybit as the run has it, saw binance"),
        (("--initial-capital", "7"), "simulation.initial_capital: expected 10000.0 as the run has it, saw 7.0"),
        (("--data", "x.csv"), "--data: expected a file or the exchange, saw both"),
    ],
)
def test_what_contradicts_a_killed_run_is_two_and_one_sentence(cli, killed, flags, sentence):
    ran = cli("--live", "--resume", *flags, "--quiet", real=True)
    assert (2, 1, True) == (ran.code, len(ran.err.splitlines()), sentence in ran.err), ran.err
    assert [killed] == unfinished(killed.parents[1])


def test_a_setting_that_decides_and_was_changed_meanwhile_is_two(cli, killed, monkeypatch):
    monkeypatch.setenv("SCALPER__RISK__STOP_BPS", "44")
    ran = cli("--live", "--resume", "--quiet", real=True)
    assert (2, True) == (ran.code, "risk.stop_bps: expected 18.0 as the run has it, saw 44.0" in ran.err), ran.err


def test_nothing_to_go_on_with_is_two(cli):
    ran = cli("--live", "--resume", real=True)
    assert (2, True) == (ran.code, "expected a run in logs that was killed, saw none" in ran.err), ran.err
    ran = cli("--resume", real=True)
    assert (2, True) == (ran.code, "--resume: only a live run can go on; add --live" in ran.err), ran.err


def test_a_finished_run_is_two(cli, killed):
    with SqliteJournal.resume(killed)[0] as journal:
        journal.finish({})
    ran = cli("--live", "--resume", "killed", real=True)
    assert (2, True) == (ran.code, "this run is finished, and nothing can follow" in ran.err), ran.err


def test_a_journal_of_a_newer_version_is_two(cli, killed):
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(killed / JOURNAL)) as db:
        db.execute("PRAGMA user_version = 99")
    ran = cli("--live", "--resume", "killed", real=True)
    assert (2, True) == (ran.code, "its schema is 99, this program reads up to 1: update it" in ran.err), ran.err


def test_data_of_another_address_are_two(cli, killed, monkeypatch):
    monkeypatch.setenv("SCALPER__ENDPOINTS__BYBIT_REST", "http://127.0.0.1:9")
    ran = cli("--live", "--resume", "--quiet", real=True)
    assert (2, True) == (ran.code, "endpoints: expected bybit as the run has it" in ran.err), ran.err


def test_an_exchange_that_does_not_answer_leaves_the_run_to_be_gone_on_with(cli, place, monkeypatch):
    for name, address in {"BYBIT_REST": "http://127.0.0.1:9", "BYBIT_WS": "ws://127.0.0.1:9"}.items():
        monkeypatch.setenv(f"SCALPER__ENDPOINTS__{name}", address)
    monkeypatch.setenv("SCALPER__INGEST__RETRIES", "1")
    candles, market = before(sources())
    meta = dataclasses.replace(begun_with(SETTINGS, market), sources=("bybit@127.0.0.1:9",) * 2)
    with SqliteJournal.begin(place / "logs", "killed", meta) as journal:
        Live(candles, market, SETTINGS, journal=journal).play(list(bar_events(sources()))[:20])
    texts = {table: (place / "logs" / f"{table}.csv").read_text() for table in TABLES}
    ran = cli("--live", "--resume", "--quiet", real=True)
    assert (3, True) == (ran.code, "error: bybit futures" in ran.err), ran.err
    assert [journal.home] == [place / home for home in unfinished(place / "logs")]
    assert texts == {table: (place / "logs" / f"{table}.csv").read_text() for table in TABLES}
