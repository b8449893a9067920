"""The API as a user starts it, and an exchange in a box: each in a process of its own, asked over real sockets.

with box("--speed", "60") as exchange, served(folder, **exchange.environment) as api:
    api.get("/signal/BTCUSDT?tf=1m").json()
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from tests.places import ROOT

UVICORN = (sys.executable, "-m", "uvicorn", "app:app", "--no-access-log", "--port")
TOKEN = "a-token-of-the-tests"  # noqa: S105 - of nobody
#: What takes a blink takes at most so long on a machine as busy as may be, an empty compile cache included, s.
PATIENCE_S = 400.0


class Api(NamedTuple):
    """A process that serves."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> httpx.Response:
        given = {"Authorization": f"Bearer {TOKEN}"} | headers
        return httpx.get(self.url + path, headers=given, timeout=60.0)

    def until(
        self, path: str, true: Callable[[httpx.Response], bool], patience_s: float = PATIENCE_S
    ) -> httpx.Response:
        """The first answer of which something is true."""
        deadline = time.monotonic() + patience_s
        while not true(seen := self.get(path)):
            assert time.monotonic() < deadline, (
                f"{path}: not true within {patience_s} s: {seen.status_code} {seen.text}"
            )
            time.sleep(0.1)
        return seen

    def measured(self) -> psutil.Process:
        return psutil.Process(self.process.pid)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end(process: subprocess.Popen[Any]) -> int:
    """Tell it to end, as Ctrl-C does in a shell; how it did."""
    process.terminate()
    try:
        return process.wait(30.0)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


@contextlib.contextmanager
def served(folder: Path, **environment: str) -> Iterator[Api]:
    """The API from the moment on that it is alive; what it says goes to `served.log`.

    Args:
        folder: its working directory, with its models and logs, and `config.yaml`, where a test has written none.
        environment: names of settings.
    """
    port, log, config = free_port(), folder / "served.log", folder / "config.yaml"
    if not config.exists():
        write_config(folder)
    told = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SCALPER__SECRETS__API_TOKEN": TOKEN,
        "SCALPER__API__RATE_PER_S": "0",
        "SCALPER_CONFIG": str(config),
        "SCALPER__LOGS__DIR": str(folder / "logs"),
        **environment,
    }
    with log.open("ab") as said:
        process = subprocess.Popen([*UVICORN, str(port)], env=told, cwd=folder, stdout=said, stderr=said)
    api = Api(process, port, log)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not alive(api):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield api
    finally:
        end(process)


def write_config(folder: Path, *, enabled: bool = False) -> None:
    """Settings of a folder with its models, which a training may change as it may not those of the environment."""
    (folder / "config.yaml").write_text(f"meta:\n  enabled: {str(enabled).lower()}\n  dir: {folder / 'models'}\n")


def alive(api: Api) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return api.get("/health/live").status_code == 200
    return False


class Box(NamedTuple):
    """An exchange."""

    process: subprocess.Popen[str]
    http: str
    environment: dict[str, str]

    @property
    def now_s(self) -> float:
        """Its time, s since 1970."""
        return httpx.get(self.http + "/v5/market/time").json()["time"] / 1e3


@contextlib.contextmanager
def box(*flags: str, symbols: str = "BTCUSDT", history_hours: float = 12.0, port: int = 0) -> Iterator[Box]:
    """An exchange in a process of its own; `flags` are those of `python -m ingest.replay_server`."""
    words = ["--symbols", symbols, "--history-hours", str(history_hours), "--port", str(port), "--json", *flags]
    with subprocess.Popen(
        [sys.executable, "-m", "ingest.replay_server", *words],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            told = json.loads(process.stdout.readline())
            yield Box(process, told["http"], told["environment"])
        finally:
            end(process)
