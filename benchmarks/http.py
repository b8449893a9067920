"""The API under load: `python -m benchmarks.http [signal] [training] [readers] [--seconds 20] [--json]`.

The program is served by uvicorn in a process of its own, on a tape, with token and limits on; who asks is this process.

* signal: `/signal` with warm data beside a bare FastAPI endpoint of the same response model, in turns: over sockets
  kept open (8 clients, each asks anew when it was answered), and without sockets, in one process, by processor time.
* training: 50 such clients while a `model.retrain` runs at low priority, as the API begins it; how long an answer took.
* readers: 1,000 readers of `/signals/stream` at one event a second: memory of the API's process, and whether all came.

Exit code 1 when a bar does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from fastapi import FastAPI

from benchmarks.inputs import market_bars
from benchmarks.timing import interleaved, line, ratio
from exec.advice import Answer
from utils.errors import ConfigError, DataUnavailable
from utils.root import ROOT
from utils.rows import NS_PER_MINUTE, NS_PER_MS
from utils.shell.cli import Parser, amount, command

PARTS = ("signal", "training", "readers")
SYMBOL, TF, TOKEN = "BTCUSDT", "1m", "a-token-of-the-benchmark"
PATH = f"/signal/{SYMBOL}?tf={TF}"
STREAM = "/signals/stream"
#: Candles of the tape that is served, and of the one that is trained on.
SERVED, TRAINED = 5_000, 400_000
#: Clients that ask by turns, their requests a round, rounds.
CLIENTS, REQUESTS, ROUNDS = 8, 500, 7
#: Requests a round without sockets.
CALLS = 2_000
#: Clients during a training, and how long one may have to wait for its answer in 99 of 100 cases, s.
CROWD, CROWD_BAR_S = 50, 0.050
#: Readers of the stream, and what the API's process may take then, MB.
READERS, READERS_BAR_MB = 1_000, 300.0
#: A bare endpoint may be so much faster; and what we would like.
SIGNAL_BAR, SIGNAL_GOAL = 0.9, 1.1
#: Longest that a start may take, an empty compile cache included, s.
START_S = 400.0
MB = 1e6


# --- who is asked


def write_tape(path: Path, bars: int) -> Path:
    """A file of candles."""
    import pandas as pd

    rows = market_bars()[0][:bars]
    frame = pd.DataFrame({name: rows[name] for name in ("open", "high", "low", "close", "volume")})
    frame.insert(0, "timestamp", (rows["ts"] - NS_PER_MINUTE) // NS_PER_MS)
    frame.to_csv(path, index=False)
    return path


def environment(tape: Path, folder: Path) -> dict[str, str]:
    """What the API is told: a tape, a token, a limit that is counted and never reached, and a folder of its own."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SCALPER__API__SOURCE": f"tape:{tape}",
        "SCALPER__API__RATE_PER_S": "1000000",
        "SCALPER__API__BURST": "1000000",
        "SCALPER__SECRETS__API_TOKEN": TOKEN,
        "SCALPER__META__DIR": str(folder / "model"),
        "SCALPER__LOGS__DIR": str(folder / "logs"),
    }


def bare() -> FastAPI:
    """The peer: an endpoint that returns an answer of ours."""
    answer = Answer.model_validate_json(os.environ["BARE_ANSWER"])
    app = FastAPI()

    @app.get("/signal/{symbol}")
    async def signal(symbol: str, tf: str = "5m") -> Answer:  # noqa: ARG001 - what a first version looks like
        return answer

    return app


def ticking() -> FastAPI:
    """Ours, in which once a second another model serves: each market is advised on anew, and every reader told."""
    from app import app

    lifespan = app.router.lifespan_context

    async def tick() -> None:
        clock = asyncio.get_running_loop()
        due = clock.time()
        while True:
            due += 1.0
            await asyncio.sleep(due - clock.time())
            app.state.service.desk.changed()

    @contextlib.asynccontextmanager
    async def life(served: FastAPI) -> AsyncIterator[Any]:
        async with lifespan(served) as state:
            ticker = asyncio.create_task(tick())
            yield state
            ticker.cancel()

    app.router.lifespan_context = life
    return app


@dataclass(frozen=True, slots=True)
class Served:
    """A process of uvicorn."""

    process: subprocess.Popen[bytes]
    port: int

    def resident_mb(self) -> float:
        """Memory of the process, MB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / MB

    def processor_s(self) -> float:
        """What it has used so far, s."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(app: str, told: dict[str, str], folder: Path, *flags: str) -> Iterator[Served]:
    """An app in a process of uvicorn's, from its first answer to its end."""
    port = free_port()
    words = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--no-access-log", "--log-level", "warning"]
    process = subprocess.Popen([*words, *flags], env=told, cwd=folder)
    served = Served(process, port)
    try:
        deadline = time.monotonic() + START_S
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DataUnavailable(f"{app}: expected uvicorn to serve it, saw none that answers; run it by hand")
            time.sleep(0.05)
        yield served
    finally:
        process.terminate()
        try:
            process.wait(20.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


# --- who asks


def request(path: str) -> bytes:
    """A request as it goes over the wire."""
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nAccept: */*\r\n\r\n"
    return head.encode()


class Asker(asyncio.Protocol):
    """A client that asks again as soon as it was answered.

    Args:
        text: the request.
        on: told of each answer, with the seconds it took; False = it is enough.
    """

    def __init__(self, text: bytes, on: Callable[[float], bool]) -> None:
        self._text, self._on = text, on
        self._held = b""
        self._asked = 0.0
        self.body = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport: Any = transport
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody answers any more."""
        if not self.done.done():
            self.done.set_exception(exc or DataUnavailable("expected an answer, saw the connection end"))

    def data_received(self, data: bytes) -> None:
        """An answer, or a part of it."""
        held = self._held + data if self._held else data
        head = held.find(b"\r\n\r\n")
        at = held.find(b"content-length: ")
        size = head + 4 + int(held[at + 16 : held.find(b"\r", at)]) if head >= 0 else len(held) + 1
        if len(held) < size:
            self._held = held
            return
        if not held.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(DataUnavailable(f"expected status 200, saw {held[:300]!r}"))
            self._transport.close()
            return
        self._held, self.body = b"", held[head + 4 :]
        if self._on(time.perf_counter() - self._asked):
            self._ask()
        else:
            self.done.set_result(None)
            self._transport.close()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._text)


async def ask_often(port: int, path: str, clients: int, more: Callable[[float], bool]) -> bytes:
    """Clients that ask until `more` says that it is enough; the last answer."""
    loop, text = asyncio.get_running_loop(), request(path)
    askers = [(await loop.create_connection(lambda: Asker(text, more), "127.0.0.1", port))[1] for _ in range(clients)]
    await asyncio.gather(*(asker.done for asker in askers))
    return askers[0].body


async def ask_once(port: int, path: str) -> bytes:
    """One answer; one that comes later is waited for."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            return await ask_often(port, path, 1, lambda _: False)
        except DataUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


class Reader(asyncio.Protocol):
    """A reader of the stream, who notes when each event came and of what number it was."""

    def __init__(self, came: list[tuple[int, float]]) -> None:
        self._came, self._held = came, b""
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        self._transport: Any = transport
        self._transport.write(request(STREAM))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is asyncio's
        """It was cut off."""
        self.lost = True

    def data_received(self, data: bytes) -> None:
        """Events, the last of which may be cut."""
        held = self._held + data if self._held else data
        *whole, self._held = held.split(b"\n\n")
        now = time.perf_counter()
        for event in whole:
            if b"event: signal\n" in event:
                number = event.partition(b"id: ")[2].partition(b"\n")[0].rpartition(b"-")[2]
                self._came.append((int(number), now))


# --- what is measured


def bench_signal(folder: Path, tape: Path) -> dict[str, Any]:
    """`/signal` beside a bare endpoint."""
    told = environment(tape, folder)
    with serving("app:app", told, folder) as ours:
        answer = uvloop.run(ask_once(ours.port, PATH))
        told["BARE_ANSWER"] = answer.decode()
        with serving("benchmarks.http:bare", told, folder, "--factory") as theirs:
            used: dict[str, list[float]] = {"bare": [], "signal": []}

            def asking(name: str, served: Served) -> Callable[[], None]:
                def work() -> None:
                    left = CLIENTS * (REQUESTS - 1)

                    def more(_: float) -> bool:
                        nonlocal left
                        left -= 1
                        return left >= 0

                    before = served.processor_s()
                    uvloop.run(ask_often(served.port, PATH, CLIENTS, more))
                    used[name].append(served.processor_s() - before)

                return work

            seconds = interleaved({"bare": asking("bare", theirs), "signal": asking("signal", ours)}, ROUNDS)
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.http", "--in-process"],
        check=True, capture_output=True, text=True, env=told, cwd=folder,
    )  # fmt: skip
    within = json.loads(child.stdout.splitlines()[-1])
    each = CLIENTS * REQUESTS
    print(f"\n/signal beside a bare endpoint, answers of {len(answer)} bytes, token and limits on")
    for name in ("bare", "signal"):
        line(f"{name}, over sockets", f"{each / statistics.median(seconds[name]):,.0f} requests/s")
        line(f"{name}, processor time of its server", f"{statistics.median(used[name][1:]) / each * 1e6:.0f} us")
        line(f"{name}, without sockets", f"{statistics.median(within[name]) / CALLS * 1e6:.1f} us")
    goal = f"at least {SIGNAL_BAR:g}, better {SIGNAL_GOAL:g}"
    line("bare / signal, over sockets", ratio(seconds, "bare", "signal"), goal)
    line("bare / signal, without sockets", ratio(within, "bare", "signal"), goal)
    return {
        "over_sockets": median_ratio(seconds, "bare", "signal"),
        "without_sockets": median_ratio(within, "bare", "signal"),
    }


def median_ratio(seconds: dict[str, list[float]], above: str, below: str) -> float:
    return statistics.median(a / b for a, b in zip(seconds[above], seconds[below], strict=True))


def in_process() -> None:
    """Print seconds a round of either app, called without a socket."""
    from app import app

    path, _, query = PATH.partition("?")
    given = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {TOKEN}".encode()), (b"accept", b"*/*")],
        "client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 8_000),
    }  # fmt: skip
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        def calling(asked: FastAPI, times: int) -> Coroutine[Any, Any, None]:
            async def work() -> None:
                for _ in range(times):
                    await asked(dict(given), receive, send)

            return work()

        stop = runner.run(living(app))
        deadline = time.monotonic() + START_S
        while statuses[-1:] != [200]:
            if time.monotonic() > deadline:
                raise DataUnavailable(f"{PATH}: expected status 200, saw {statuses[-1]}")
            runner.run(calling(app, 1))
        statuses.clear()
        peer = bare()
        seconds = interleaved(
            {
                "bare": lambda: runner.run(calling(peer, CALLS)),
                "signal": lambda: runner.run(calling(app, CALLS)),
            },
            ROUNDS,
            time.thread_time,
        )
        runner.run(stop())
    if set(statuses) != {200}:
        raise DataUnavailable(f"expected status 200 of every call, saw {sorted(set(statuses))}")
    print(json.dumps(seconds))


async def living(app: FastAPI) -> Callable[[], Coroutine[Any, Any, None]]:
    """Begin an app as a server does; what ends it again."""
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "lifespan.startup.complete":
            begun.set_result(None)
        elif message["type"].endswith("failed"):
            begun.set_exception(DataUnavailable(str(message.get("message"))))

    life = asyncio.create_task(
        app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, inbox.get, send)  # type: ignore[arg-type]
    )
    inbox.put_nowait({"type": "lifespan.startup"})
    await begun

    async def stop() -> None:
        inbox.put_nowait({"type": "lifespan.shutdown"})
        await life

    return stop


def bench_training(folder: Path, tape: Path, seconds: float) -> dict[str, Any]:
    """How long an answer takes to a crowd, before and during a training."""
    long = write_tape(folder / f"{SYMBOL}_{TF}_long.csv", TRAINED)
    with serving("app:app", environment(tape, folder), folder) as ours:
        uvloop.run(ask_once(ours.port, PATH))
        quiet = uvloop.run(crowd(ours.port, seconds))
        busy, at_work, used = uvloop.run(beside_training(ours.port, seconds, long, folder))
    print(f"\n{CROWD} clients who ask without a pause, for {seconds:g} s; training on {TRAINED:,} candles")
    for name, spent in (("quiet", quiet), ("during a training", busy)):
        p50, p99, most = np.quantile(spent, [0.5, 0.99, 1.0]) * 1e3
        line(f"{name}: p50, p99, most", f"{p50:.1f}, {p99:.1f}, {most:.1f} ms", f"p99 at most {CROWD_BAR_S * 1e3:g}")
        line(f"{name}: answers", f"{len(spent) / seconds:,.0f} a second")
    line("the training's processor time meanwhile", f"{used / seconds * 100:.0f} % of a core")
    return {"quiet_p99_s": float(np.quantile(quiet, 0.99)), "p99_s": float(np.quantile(busy, 0.99)), "whole": at_work}


async def crowd(port: int, seconds: float) -> list[float]:
    """Seconds that each answer took."""
    spent: list[float] = []
    end = time.perf_counter() + seconds

    def more(took: float) -> bool:
        spent.append(took)
        return time.perf_counter() < end

    await ask_often(port, PATH, CROWD, more)
    return spent


async def beside_training(port: int, seconds: float, tape: Path, folder: Path) -> tuple[list[float], bool, float]:
    """The same while a training runs as `model.schedule` begins it; whether it did to the end, and what it used, s."""
    from model.runs.child import Child, command_of
    from utils.settings.tree import ApiSettings, MarketSettings, MetaSettings, Settings

    settings = Settings(
        api=ApiSettings(source=f"tape:{tape}"),
        market=MarketSettings(symbol=SYMBOL, timeframe=TF),
        meta=MetaSettings(dir=folder / "trained"),
    )
    (folder / "trained").mkdir()
    child = Child(command_of(settings, None, folder), folder / "training.log")
    ended = asyncio.create_task(child.ended())
    try:
        await asyncio.sleep(3.0)  # its imports
        before = session_s(child.pid)
        spent = await crowd(port, seconds)
        used = session_s(child.pid) - before
        at_work = not ended.done()
    finally:
        await child.stop()
        await ended
    return spent, at_work, used


def session_s(number: int) -> float:
    """Processor time of all processes of a session so far, s."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == number:
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def bench_readers(folder: Path, tape: Path, seconds: float) -> dict[str, Any]:
    """A thousand readers."""
    with serving("benchmarks.http:ticking", environment(tape, folder), folder, "--factory") as ours:
        uvloop.run(ask_once(ours.port, PATH))
        found = uvloop.run(read_all(ours, seconds))
    print(f"\n{READERS:,} readers of the stream, one event a second, for {seconds:g} s")
    line("memory of the process before they came", f"{found['before_mb']:.0f} MB")
    line("memory with all of them, the most", f"{found['most_mb']:.0f} MB", f"under {READERS_BAR_MB:g}")
    line("a reader", f"{(found['most_mb'] - found['before_mb']) / READERS * 1e3:.1f} kB")
    line("events received of those sent", f"{found['received']:,} of {found['sent']:,}", "all")
    line("from the first reader to the 99th of 100", f"{found['lag_p99_s'] * 1e3:.0f} ms")
    line("its processor", f"{found['processor'] * 100:.0f} % of a core")
    return found


async def read_all(served: Served, seconds: float) -> dict[str, Any]:
    """Readers come, stay for a while, and are counted."""
    loop = asyncio.get_running_loop()
    came: list[tuple[int, float]] = []
    before_mb = served.resident_mb()
    readers = [
        (await loop.create_connection(lambda: Reader(came), "127.0.0.1", served.port))[1] for _ in range(READERS)
    ]
    await asyncio.sleep(2.0)
    came.clear()
    used, most_mb = served.processor_s(), 0.0
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        most_mb = max(most_mb, served.resident_mb())
        await asyncio.sleep(0.5)
    used = served.processor_s() - used
    lost = sum(reader.lost for reader in readers)
    times: dict[int, list[float]] = {}
    for number, when in came:
        times.setdefault(number, []).append(when)
    # of the first and the last number some readers were still to hear, or had heard before the count began
    whole = {number: whens for number, whens in times.items() if min(times) < number < max(times)}
    lags = np.concatenate([np.array(whens) - min(whens) for whens in whole.values()] or [np.array([np.nan])])
    return {
        "before_mb": before_mb,
        "most_mb": most_mb,
        "lost": lost,
        "sent": len(whole) * READERS,
        "received": sum(len(whens) for whens in whole.values()),
        "events": len(whole),
        "lag_p99_s": float(np.quantile(lags, 0.99)),
        "processor": used / (now - began),
    }


def broken(found: dict[str, dict[str, Any]], seconds: float) -> list[str]:
    """The bars that do not hold."""
    bars: dict[str, bool] = {}
    if signal := found.get("signal"):
        bars[f"/signal over sockets at least {SIGNAL_BAR:g} times the bare endpoint"] = (
            signal["over_sockets"] >= SIGNAL_BAR
        )
        bars[f"/signal without sockets at least {SIGNAL_BAR:g} times the bare endpoint"] = (
            signal["without_sockets"] >= SIGNAL_BAR
        )
    if training := found.get("training"):
        bars[f"p99 at most {CROWD_BAR_S * 1e3:g} ms during a training"] = training["p99_s"] <= CROWD_BAR_S
        bars["the training ran all the time"] = training["whole"]
    if readers := found.get("readers"):
        bars[f"less than {READERS_BAR_MB:g} MB with {READERS:,} readers"] = readers["most_mb"] < READERS_BAR_MB
        bars["every reader received every event"] = not readers["lost"] and readers["received"] == readers["sent"]
        bars["an event a second"] = readers["events"] >= seconds - 3.0
    return [name for name, holds in bars.items() if not holds]


def build_parser() -> Parser:
    parser = Parser(prog="python -m benchmarks.http", description="Put the API under load.", allow_abbrev=False)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--seconds", type=amount, default=20.0, metavar="N", help="of training and readers, each (20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    return parser


def run(flags: argparse.Namespace) -> int:
    if flags.in_process:
        in_process()
        return 0
    if unknown := set(flags.parts) - set(PARTS):
        raise ConfigError(f"expected {', '.join(PARTS)}, saw {' '.join(sorted(unknown))}; name one of these")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    chosen = flags.parts or PARTS
    found: dict[str, dict[str, Any]] = {}
    shown = contextlib.redirect_stdout(sys.stderr) if flags.json else contextlib.nullcontext()
    with tempfile.TemporaryDirectory() as name, shown:
        folder = Path(name)
        tape = write_tape(folder / f"{SYMBOL}_{TF}.csv", SERVED)
        if "signal" in chosen:
            found["signal"] = bench_signal(folder, tape)
        if "training" in chosen:
            found["training"] = bench_training(folder, tape, flags.seconds)
        if "readers" in chosen:
            found["readers"] = bench_readers(folder, tape, flags.seconds)
    failed = broken(found, flags.seconds)
    if flags.json:
        print(json.dumps({**found, "broken": failed}))
    else:
        print("all bars hold" if not failed else "DOES NOT HOLD: " + "; ".join(failed))
    return 1 if failed else 0


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
