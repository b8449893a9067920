"""The past of a market from a process of its own: the same market, and the same errors, as without one."""

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from backtest.data.market import build_market
from backtest.run.apart import Apart
from ingest.files.candles import load_candles
from ingest.history import fetch_candles, listed
from ingest.replay_server import ReplayServer
from tests.e2e.support import frame_of, settings_of, write
from tests.places import ROOT
from utils.errors import ConfigError, DataError, DataUnavailable, StorageError


@pytest.fixture(scope="module")
def box():
    with ReplayServer.thread(symbols=("BTCUSDT",), history_hours=12, seed=7) as served:
        yield served


def at(box, **more):
    return settings_of(**more).model_copy(update={"endpoints": box.endpoints})


def test_a_market_of_an_exchange_is_what_this_process_would_have_fetched(box):
    settings = at(box, api__history_bars=500)
    market = Apart(settings).market("BTC/USDT:USDT", "1m")
    assert (("BTCUSDT",), "1m", 500) == (market.symbols, market.tf, len(market.bars))
    again = np.isin(fetch_candles("BTCUSDT", "1m", 500, settings).rows["ts"], market.bars["ts"])
    assert again.sum() >= 498  # a bar may close in between
    assert market.instruments["tick"][0] == listed("BTCUSDT", settings).tick_size


def test_what_an_exchange_does_not_have_is_said_as_it_would_be_here(box):
    apart = Apart(at(box, ingest__retries=1, ingest__backoff_s=0.01))
    with pytest.raises(ConfigError, match="BTCUSDT"):
        apart.market("BTCUSD", "1m")
    with pytest.raises(ConfigError, match="BTCUSDT"):
        apart.listing("BTCUST")
    assert "BTCUSDT" == apart.listing("BTC-USDT")
    with pytest.raises(DataUnavailable, match="expected more than 60 bars"):
        apart.market("BTCUSDT", "1h")
    gone = settings_of(ingest__retries=1, endpoints__bybit_rest="http://127.0.0.1:9")
    with pytest.raises(DataUnavailable, match="no connection"):
        Apart(gone).listing("BTCUSDT")


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    return write(frame_of(400), tmp_path_factory.mktemp("tapes") / "MOCKUSDT-1m.csv")


def test_a_tape_is_the_market_of_its_file(tape):
    settings = settings_of(api__source=f"tape:{tape}")
    market, here = Apart(settings).tape(), build_market([load_candles(tape)], settings)
    assert (here.symbols, here.sources, here.starts) == (market.symbols, market.sources, market.starts)
    for name in ("bars", "instruments", "funding"):
        assert getattr(here, name).tobytes() == getattr(market, name).tobytes()


def test_a_tape_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv"):
        Apart(settings_of(api__source=f"tape:{tmp_path / 'absent.csv'}")).tape()
    with pytest.raises(ConfigError, match="replay_server"):
        Apart(settings_of(api__source="tape:streams.jsonl.zst")).tape()


@pytest.mark.slow
def test_who_asks_stays_small(tape):
    code = (
        "import sys; from backtest.run.apart import Apart; from utils.config import load_settings; "
        f"Apart(load_settings(flags={{'api.source': 'tape:{tape}'}}).settings).tape(); "
        "print(sorted({'pandas', 'ccxt', 'pyarrow', 'sklearn', 'lightgbm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


def python_that(says, folder):
    """A program that is begun instead of Python."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o700)
    return str(program)


def test_a_process_that_is_begun_does_not_know_the_token_of_the_api(tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    monkeypatch.setenv("SCALPER__SECRETS__API_TOKEN", "a-token-of-24-characters")
    monkeypatch.setenv("SCALPER__LOGS__DIR", "elsewhere")
    monkeypatch.setattr(sys, "executable", python_that(f'env > "{seen}"', tmp_path))
    with pytest.raises(StorageError, match="of another process, saw it fail"):
        Apart(settings_of()).listing("BTCUSDT")
    assert "SCALPER__LOGS__DIR=elsewhere" in seen.read_text()
    assert "TOKEN" not in seen.read_text()


def test_what_runs_ends_when_it_is_closed_and_nothing_begins_any_more(tmp_path, monkeypatch):
    begun = tmp_path / "begun"
    monkeypatch.setattr(sys, "executable", python_that(f'touch "{begun}"; exec sleep 60', tmp_path))
    apart = Apart(settings_of())
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(apart.listing, "BTCUSDT")
        while not begun.exists():
            time.sleep(0.01)
        began_s = time.monotonic()
        apart.close()
        with pytest.raises(StorageError, match="SIGKILL"):
            asked.result(10.0)
    assert time.monotonic() - began_s < 5.0
    apart.close()
    with pytest.raises(StorageError, match="none begun"):
        apart.listing("BTCUSDT")
    assert set() == apart._running


#: Asks an exchange that never answers.
ASKING = """
from backtest.run.apart import Apart
from tests.e2e.support import settings_of
Apart(settings_of(endpoints__bybit_rest="http://127.0.0.1:{port}", ingest__timeout_s=60.0)).listing("BTCUSDT")
"""


@pytest.mark.slow
def test_a_process_whose_parent_is_killed_ends_by_itself():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.settimeout(60.0)
        code = ASKING.format(port=deaf.getsockname()[1])
        with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE) as parent:
            line, _ = deaf.accept()  # the child has come so far
            parent.kill()
            began_s = time.monotonic()
            parent.stderr.read()  # which it holds open, too
            assert time.monotonic() - began_s < 3.0
        line.close()
