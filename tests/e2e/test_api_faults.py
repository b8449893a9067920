"""What goes wrong around the API: the exchange is away and comes back, trainings are killed, fail, or refuse."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from ml.learning.artifact import parts_of
from tests.apis import PATIENCE_S, Api, box, free_port, served, write_config
from tests.e2e.support import frame_of, write
from tests.ml.models import judging
from utils.records.versions import Versions

pytestmark = pytest.mark.slow

#: Patience that a test has.
HASTY = {
    "SCALPER__MARKET__EXCHANGE": "bybit",
    "SCALPER__API__HISTORY_BARS": "500",
    "SCALPER__INGEST__RETRIES": "1",
    "SCALPER__INGEST__TIMEOUT_S": "2",
    "SCALPER__INGEST__STALE_S": "2",
    "SCALPER__INGEST__BACKOFF_S": "0.05",
    "SCALPER__INGEST__BACKOFF_MAX_S": "0.5",
}
SIGNAL = "/signal/BTCUSDT?tf=1m"


def is_well(api: Api) -> None:
    """Health and signal say so; the market is followed by streams."""
    api.until(SIGNAL, lambda seen: seen.status_code == 200)
    (market,) = api.until("/health", lambda seen: ["streaming"] == states(seen)).json()["markets"]
    assert (True, "") == (market["fresh"], market["reason"])
    assert (200, 200) == (api.get("/health").status_code, api.get(SIGNAL).status_code)


def is_ill(api: Api) -> None:
    """Health and signal say so, and why; the process is alive."""
    seen = api.until("/health", lambda seen: seen.status_code == 503).json()
    assert ("stale", True) == (seen["status"], seen["reasons"][0].startswith("BTCUSDT 1m: "))
    asked = api.until(SIGNAL, lambda seen: seen.status_code == 503)
    error = asked.json()["error"]
    assert ("unavailable", True) == (error["kind"], error["message"].startswith("BTCUSDT 1m: "))
    assert int(asked.headers["retry-after"]) >= error["retry_after_s"] > 0.0
    assert "close" not in asked.json()
    assert 200 == api.get("/health/live").status_code


def states(seen) -> list[str]:
    return [market["state"] for market in seen.json().get("markets", [])]


def test_an_exchange_that_is_gone_and_comes_back_is_told_by_health_and_signal(tmp_path):
    port = free_port()  # it comes back where it was
    with ExitStack() as first:
        exchange = first.enter_context(box(port=port))
        with served(tmp_path, **HASTY, **exchange.environment) as api:
            is_well(api)
            first.close()
            is_ill(api)
            with box(port=port):
                is_well(api)


def test_an_exchange_that_falls_silent_and_speaks_again_is_told_by_health_and_signal(tmp_path):
    with box() as exchange, served(tmp_path, **HASTY, **exchange.environment) as api:
        is_well(api)
        exchange.process.send_signal(signal.SIGSTOP)
        try:
            is_ill(api)
        finally:
            exchange.process.send_signal(signal.SIGCONT)
        is_well(api)


# --- trainings


class Serving:
    """An API on a tape with an old model, which trains at its start.

    Args:
        folder: for all of it.
        bars: of the tape.
    """

    def __init__(self, folder: Path, bars: int) -> None:
        self.tape = write(frame_of(bars), folder / "BTCUSDT_1m.csv")
        models = Versions(folder / "models")
        self.model = models.write(parts_of(judging(1.0)), {"what": "by hand"}, 1_700_000_000 * 10**9)
        models.make_current(self.model)
        write_config(folder, enabled=True)
        self.environment = {"SCALPER__API__SOURCE": f"tape:{self.tape}", "AUTO_RETRAIN": "1"}

    def serves(self, api: Api) -> None:
        """The old model does, and says so everywhere."""
        told = api.get("/model").json()
        assert (self.model, "") == (told["serving"]["version"], told["problem"])
        assert self.model == api.get(SIGNAL).json()["model"]


def last(api: Api) -> dict:
    """How the training ended."""
    seen = api.until("/model", lambda seen: seen.json()["retrain"]["last"] is not None, 3 * PATIENCE_S)
    return seen.json()["retrain"]["last"]


def training_of(api: Api) -> psutil.Process:
    """The process that trains, once it is there."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for child in api.measured().children(recursive=True):
            if "model.retrain" in child.cmdline():
                return child
        time.sleep(0.05)
    raise AssertionError(f"no training began: {api.get('/model').text}")


def test_a_training_that_is_killed_leaves_the_old_model_serving_and_is_told(tmp_path):
    serving = Serving(tmp_path, 20_000)
    with served(tmp_path, **serving.environment) as api:
        api.until(SIGNAL, lambda seen: seen.status_code == 200)
        training_of(api).kill()
        seen = last(api)
        assert ("killed", -signal.SIGKILL) == (seen["outcome"], seen["exit_code"])
        serving.serves(api)


def test_a_training_that_fails_leaves_the_old_model_serving_and_says_why(tmp_path):
    serving = Serving(tmp_path, 700)  # enough to decide on, and too few to train on
    with served(tmp_path, **serving.environment) as api:
        seen = last(api)
        assert ("failed", 2) == (seen["outcome"], seen["exit_code"]), seen
        assert seen["verdict"].startswith("error: data set: expected at least 100 long labels")
        api.until(SIGNAL, lambda seen: seen.status_code == 200)
        serving.serves(api)


def test_a_training_that_finds_nothing_leaves_the_old_model_serving_and_says_why(tmp_path):
    serving = Serving(tmp_path, 20_000)
    with served(tmp_path, **serving.environment) as api:
        seen = last(api)
        assert ("not_enabled", 0) == (seen["outcome"], seen["exit_code"]), seen
        assert seen["verdict"].startswith("not enabled")
        api.until(SIGNAL, lambda seen: seen.status_code == 200)
        serving.serves(api)
        newest = api.get("/model").json()["newest"]
        assert (False, True) == (newest["promoted"], newest["verdict"].startswith("not enabled"))
