"""Hold a stream: `python -m benchmarks.soak [--seconds 60] [--rate 2000] [--symbols 20] [--json]`.

A process of its own sends Bybit frames (`orderbook.50` deltas, one in ten a trade) at a fixed rate over real loopback
sockets; here the real feed reads them with every check on. Printed are drops, memory over time and the time from
receipt to the reader. Exit code 1 when a bar does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ingest.live.feed import LiveFeed
from ingest.wire.streams import Stream
from utils.errors import DataUnavailable
from utils.settings.tree import EndpointSettings, IngestSettings
from utils.shell.cli import Parser, amount, command, whole
from utils.types import BookSnapshot

ROOT = Path(__file__).resolve().parent.parent
#: Time between two bursts of the server, s; the venue's own push interval of a depth-50 book is 20 ms.
BURST_S = 0.005
LEVELS = 50
#: One message in so many is a trade.
TRADES = 10
#: Most growth of memory that is flat, from the first third of a run to its last, MiB.
FLAT_MIB = 2.0
MIB = 2**20


def symbol_names(count: int) -> list[str]:
    return [f"S{number:02d}USDT" for number in range(count)]


class Book:
    """One symbol's frames: sizes change, levels vanish and come back, the spread stays."""

    def __init__(self, symbol: str, seed: int) -> None:
        self.symbol = symbol
        self.dice = random.Random(seed)
        self.u, self.trades = 1000 * (seed + 1), 0
        self.base = 1000 + 10 * seed

    def price(self, side: str, level: int) -> str:
        """A price of the fixed ladder."""
        return f"{self.base + (level if side == 'a' else -1 - level) * 0.01:.2f}"

    def size(self) -> str:
        """A random quantity."""
        return f"{self.dice.randrange(1, 9999) / 1000:.3f}"

    def frame(self, kind: str, sides: dict[str, list[list[str]]]) -> str:
        """An order-book message."""
        now = time.time_ns() // 1_000_000
        data = {"s": self.symbol, **sides, "u": self.u, "seq": 7 * self.u}
        return json.dumps(
            {"topic": f"orderbook.50.{self.symbol}", "type": kind, "ts": now, "data": data, "cts": now - 1},
            separators=(",", ":"),
        )

    def snapshot(self) -> str:
        """The whole ladder."""
        return self.frame(
            "snapshot", {side: [[self.price(side, level), self.size()] for level in range(LEVELS)] for side in "ba"}
        )

    def delta(self) -> str:
        """The next update: one to six levels."""
        self.u += 1
        sides: dict[str, list[list[str]]] = {"b": [], "a": []}
        for _ in range(self.dice.randrange(1, 7)):
            side, level = self.dice.choice("ba"), self.dice.randrange(LEVELS)
            gone = level > 0 and self.dice.random() < 0.2
            sides[side].append([self.price(side, level), "0" if gone else self.size()])
        return self.frame("delta", sides)

    def trade(self) -> str:
        """One trade at the ask."""
        self.trades += 1
        now = time.time_ns() // 1_000_000
        row = {
            "T": now - 1,
            "s": self.symbol,
            "S": self.dice.choice(("Buy", "Sell")),
            "v": self.size(),
            "p": self.price("a", 0),
            "L": "PlusTick",
            "i": f"{self.symbol}-{self.trades:09d}",
            "BT": False,
            "seq": 7 * self.u,
        }
        return json.dumps(
            {"topic": f"publicTrade.{self.symbol}", "type": "snapshot", "ts": now, "data": [row]},
            separators=(",", ":"),
        )


async def serve_frames(rate: float, symbols: int) -> None:
    """The other process: says its port, sends until it reads a line, says how much, and ends with its input."""
    books = {name: Book(name, number) for number, name in enumerate(symbol_names(symbols))}
    sent, sending = 0, True

    async def converse(socket: ServerConnection) -> None:
        nonlocal sent
        live: list[Book] = []
        pump = None
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                order = json.loads(message)
                answer = {"success": True, "ret_msg": "", "conn_id": "soak", "req_id": order.get("req_id", "")}
                if order["op"] == "ping":
                    await socket.send(json.dumps({**answer, "ret_msg": "pong", "op": "ping"}))
                    continue
                await socket.send(json.dumps({**answer, "op": order["op"]}))
                for topic in order["args"] if order["op"] == "subscribe" else ():
                    name, *_, symbol = topic.split(".")
                    if name == "orderbook":
                        await socket.send(books[symbol].snapshot())
                        live.append(books[symbol])
                        sent += 1
                if live and pump is None:
                    pump = asyncio.create_task(send(socket, live))
        if pump:
            pump.cancel()

    async def send(socket: ServerConnection, live: list[Book]) -> None:
        nonlocal sent
        began, number = time.perf_counter(), 0
        with contextlib.suppress(ConnectionClosed):
            while sending:
                while number < (time.perf_counter() - began) * rate:
                    book = live[number % len(live)]
                    number += 1
                    await socket.send(book.trade() if number // len(live) % TRADES == 0 else book.delta())
                    sent += 1
                await asyncio.sleep(BURST_S)

    async with serve(converse, "127.0.0.1", 0, compression=None) as server:
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        sending = False
        print(json.dumps({"sent": sent}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


@dataclass(frozen=True, slots=True)
class Held:
    """What one run showed."""

    seconds: float
    sent: int
    received: int
    events: int
    rate: float  # received messages a second
    dropped: int
    reconnects: int
    sequence_breaks: int
    bad_messages: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    cpu: float  # share of one core
    rss_mib: float  # at the end
    growth_mib: float  # median of the last third less that of the first, after a warm-up

    @property
    def broken(self) -> list[str]:
        """The bars that do not hold."""
        bars = {
            "0 drops": self.dropped == 0,
            "0 reconnects": self.reconnects == 0,
            "0 sequence breaks": self.sequence_breaks == 0,
            "0 bad messages": self.bad_messages == 0,
            f"memory grows less than {FLAT_MIB:g} MiB": self.growth_mib < FLAT_MIB,
            "every message sent is received": self.received == self.sent,
        }
        return [name for name, holds in bars.items() if not holds]


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / MIB


async def hold(seconds: float, rate: float, symbols: int) -> Held:
    """Read a feed for a while, after a warm-up, and see what it costs."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.soak", "--serve", f"--rate={rate}", f"--symbols={symbols}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    if server.stdout is None or server.stdin is None:
        raise DataUnavailable("soak: expected pipes to the server's process, saw none")
    port = json.loads(await server.stdout.readline())["port"]
    streams = [Stream(kind, name) for name in symbol_names(symbols) for kind in ("book", "trades")]
    endpoints = EndpointSettings(bybit_ws=f"ws://127.0.0.1:{port}")
    spent = np.zeros(int(1.2 * rate * seconds) + 10_000, np.int64)
    spent[:] = 1  # its pages are in memory before anything is measured
    memory: list[float] = []
    events, all_live = 0, asyncio.Event()

    async def sample() -> None:
        while True:
            memory.append(resident_mib())
            await asyncio.sleep(max(0.05, seconds / 100))

    try:
        async with LiveFeed("bybit", streams, endpoints=endpoints, settings=IngestSettings()) as feed:

            async def read() -> None:
                nonlocal events
                missing = set(symbol_names(symbols))
                async for noun in feed:
                    spent[events] = time.time_ns() - noun.ts_recv
                    events += 1
                    if missing and isinstance(noun, BookSnapshot):
                        missing.discard(noun.symbol)
                        if not missing:
                            all_live.set()

            reader = asyncio.create_task(read())
            await all_live.wait()
            await asyncio.sleep(max(1.0, seconds / 10))  # what piled up while code was loaded is read
            events, before, cpu, began = 0, feed.stats().messages, time.process_time(), time.perf_counter()
            sampler = asyncio.create_task(sample())
            await asyncio.sleep(seconds)
            measured, cpu = time.perf_counter() - began, time.process_time() - cpu
            received = feed.stats().messages - before
            sampler.cancel()
            server.stdin.write(b"enough\n")
            sent = json.loads(await server.stdout.readline())["sent"]
            await asyncio.sleep(0.3)  # the last messages are still on their way
            counts, stats = feed.counts(), feed.stats()
            reader.cancel()
            await asyncio.gather(reader, sampler, return_exceptions=True)
    finally:
        if server.returncode is None:
            server.stdin.close()
            await server.wait()
    known = [seen for (symbol, _), seen in counts.items() if symbol]
    third = max(1, len(memory) // 3)
    p50, p99, p999, most = np.quantile(spent[:events], [0.5, 0.99, 0.999, 1.0]) / 1e3
    return Held(
        seconds=round(measured, 3),
        sent=sent,
        received=sum(seen.messages for seen in known),
        events=events,
        rate=round(received / measured, 1),
        dropped=stats.dropped,
        reconnects=stats.reconnects,
        sequence_breaks=sum(seen.sequence_breaks for seen in known),
        bad_messages=sum(seen.bad_messages for seen in known) + stats.refused_messages,
        p50_us=round(p50, 1),
        p99_us=round(p99, 1),
        p999_us=round(p999, 1),
        max_us=round(most, 1),
        cpu=round(cpu / measured, 3),
        rss_mib=round(memory[-1], 1),
        growth_mib=round(float(np.median(memory[-third:]) - np.median(memory[:third])), 2),
    )


def show(held: Held, symbols: int) -> None:
    print(f"Bybit frames over loopback, {symbols} symbols, {held.rate:,.0f} messages/s held for {held.seconds:.0f} s")
    print(f"  messages sent, received    {held.sent:,}, {held.received:,}; {held.events:,} events while measured")
    print(f"  drops, reconnects          {held.dropped}, {held.reconnects}")
    print(f"  sequence breaks, bad       {held.sequence_breaks}, {held.bad_messages}")
    print(
        f"  receipt to reader          p50 {held.p50_us:.0f} µs, p99 {held.p99_us:.0f} µs, p99.9 {held.p999_us:.0f} µs,"
        f" max {held.max_us:.0f} µs"
    )
    print(f"  processor                  {100 * held.cpu:.0f} % of one core")
    print(f"  memory                     {held.rss_mib:.1f} MiB, {held.growth_mib:+.2f} MiB first third to last")
    print("all bars hold" if not held.broken else "DOES NOT HOLD: " + "; ".join(held.broken))


def build_parser() -> Parser:
    parser = Parser(prog="python -m benchmarks.soak", description="Hold a stream and report.", allow_abbrev=False)
    parser.add_argument("--seconds", type=amount, default=60.0, metavar="N", help="how long to measure (60)")
    parser.add_argument("--rate", type=amount, default=2000.0, metavar="N", help="messages a second (2000)")
    parser.add_argument("--symbols", type=whole, default=20, metavar="N", help="how many (20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser


def run(flags: argparse.Namespace) -> int:
    if flags.serve:
        asyncio.run(serve_frames(flags.rate, flags.symbols))
        return 0
    held = asyncio.run(hold(flags.seconds, flags.rate, flags.symbols))
    if flags.json:
        print(json.dumps({name: getattr(held, name) for name in Held.__slots__} | {"broken": held.broken}))
    else:
        show(held, flags.symbols)
    return 1 if held.broken else 0


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
