"""Measure the live book: `python -m benchmarks.wire [--rounds 41] [--json]`, from the text to the measures.

One Bybit orderbook.50 message after the other goes through our fast door (every check on) and to the three top-of-book
measures; beside it, in turns, the same messages go through json and ccxt.pro's own `handle_order_book`, and through a
floor of msgspec and bisect that checks nothing. All three must end with the same book. The messages are those of the
recordings, cut to 50 levels; without them, of a random walk in the same shape.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import statistics
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ccxt.pro
import msgspec
import numba
import zstandard

from features.folds.top_of_book import measures
from ingest.venues.bybit.protocol import BybitProtocol
from ingest.wire.streams import Stream
from utils.errors import ConfigError, InvariantError
from utils.rows import Level
from utils.shell.cli import Parser, command, whole

RECORDING = "bybit_v5/linear_BTC_ETH_SOL_DOGE_20260809T2127_42s.jsonl.zst"
RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "l2"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT")
DEPTH = 50
#: Times as fast as ccxt.pro.
GOAL, STRETCH = 5.0, 8.0
URL = "wss://stream.bybit.com/v5/public/linear"
#: Receive time and text.
Message = tuple[int, bytes]
#: Messages of one symbol, the first of them a snapshot.
Messages = dict[str, list[Message]]


def recorded(path: Path) -> Messages:
    """The recorded books of 200 levels, as a stream of 50 levels would have shown them."""
    books: dict[str, list[dict[str, str]]] = {}
    shown: dict[str, list[dict[str, str]]] = {}
    found: Messages = {}
    with path.open("rb") as file:
        lines = zstandard.ZstdDecompressor().stream_reader(file).read().splitlines()
    for row in map(json.loads, lines):
        message = row.get("msg", {})
        if "event" in row or not message.get("topic", "").startswith("orderbook."):
            continue
        data = message["data"]
        symbol = data["s"]
        if message["type"] == "snapshot":
            books[symbol] = [{}, {}]
        for book, side in zip(books[symbol], "ba", strict=True):
            book.update(data[side])
            for price in [price for price, qty in data[side] if float(qty) == 0.0]:
                del book[price]
        before = shown.get(symbol, [{}, {}])
        shown[symbol] = [best(book, side) for book, side in zip(books[symbol], "ba", strict=True)]
        changed = [difference(*pair) for pair in zip(before, shown[symbol], strict=True)]
        if any(changed):
            sequence = found.setdefault(symbol, [])
            sides = dict(zip("ba", changed, strict=True))
            text = message | {
                "topic": f"orderbook.{DEPTH}.{symbol}",
                "type": "delta" if sequence else "snapshot",
                "data": {"s": symbol, **sides, "u": 1000 + len(sequence), "seq": data["seq"]},
            }
            sequence.append((row["recv_ns"], compact(text)))
    return found


def best(book: dict[str, str], side: str) -> dict[str, str]:
    """The levels of a side that a stream of `DEPTH` shows, best first."""
    prices = sorted(book, key=float, reverse=side == "b")[:DEPTH]
    return {price: book[price] for price in prices}


def difference(before: dict[str, str], after: dict[str, str]) -> list[list[str]]:
    """Changed levels between two views of a side."""
    gone = [[price, "0"] for price in before if price not in after]
    return [[price, qty] for price, qty in after.items() if before.get(price) != qty] + gone


def compact(message: dict[str, Any]) -> bytes:
    """A message as Bybit writes it."""
    return json.dumps(message, separators=(",", ":")).encode()


def made(count: int = 400) -> Messages:
    """Messages in the same shape, of a random walk: about six changed levels each."""
    found: Messages = {}
    for number, symbol in enumerate(SYMBOLS):
        dice = random.Random(number)
        sides: list[dict[str, str]] = [{}, {}]
        mid, sequence = 650_000, found.setdefault(symbol, [])
        for step in range(count):
            mid += dice.choice((-1, 0, 0, 1))
            views = []
            for side, book in enumerate(sides):
                prices = [f"{(mid - i if side == 0 else mid + 1 + i) / 10:.2f}" for i in range(DEPTH)]
                fresh = set(dice.sample(range(DEPTH), 2))
                qty = [f"{dice.randint(1, 9000) / 1000:.3f}" for _ in prices]
                views.append({p: qty[i] if i in fresh else book.get(p, qty[i]) for i, p in enumerate(prices)})
            changed = [difference(*pair) for pair in zip(sides, views, strict=True)]
            sides = views
            ms = 1_786_310_819_000 + 20 * step
            data = {"s": symbol, "b": changed[0], "a": changed[1], "u": 1000 + step, "seq": 70_000 + step}
            text = {"topic": f"orderbook.{DEPTH}.{symbol}", "type": "delta" if step else "snapshot", "ts": ms}
            sequence.append((ms * 1_000_000 + 10_000_000, compact(text | {"data": data, "cts": ms - 3})))
    return found


class Ours:
    """The fast door, then the measures."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.protocol = BybitProtocol([Stream("book", symbol)])

    def run(self, messages: Sequence[Message]) -> float:
        """Seconds for all messages behind the snapshot."""
        protocol = self.protocol
        protocol.connected(0)
        protocol.receive(messages[0][1], messages[0][0])
        top, advance = protocol.top(self.symbol), protocol.advance
        deltas = messages[1:]
        began = time.perf_counter()
        for recv_ns, text in deltas:
            if not advance(text, recv_ns):
                raise InvariantError(f"the fast door refused {text!r}")
            measures(top)
        return time.perf_counter() - began

    def book(self) -> tuple[Sequence[Level], Sequence[Level]]:
        """Bids and asks, best first."""
        view = self.protocol.book(self.symbol)
        return view.bids, view.asks


class Ccxt:
    """json and ccxt.pro's own class."""

    def __init__(self, exchange: Any, symbol: str) -> None:
        self.exchange, self.symbol = exchange, f"{symbol.removesuffix('USDT')}/USDT:USDT"
        self.client = exchange.client(URL)

    def run(self, messages: Sequence[Message]) -> float:
        """Seconds for all messages behind the snapshot."""
        handle, client, loads = self.exchange.handle_order_book, self.client, json.loads
        texts = [text.decode() for _, text in messages]
        handle(client, loads(texts[0]))
        deltas = texts[1:]
        began = time.perf_counter()
        for text in deltas:
            handle(client, loads(text))
        return time.perf_counter() - began

    def book(self) -> tuple[Sequence[Level], Sequence[Level]]:
        """Bids and asks, best first."""
        sides = (self.exchange.orderbooks[self.symbol][side] for side in ("bids", "asks"))
        bids, asks = (tuple((price, qty) for price, qty, *_ in side) for side in sides)
        return bids, asks


def ccxt_markets() -> list[dict[str, Any]]:
    """The markets ccxt has to know, without asking anybody."""
    kinds = {"type": "swap", "swap": True, "contract": True, "linear": True, "active": True}
    others = dict.fromkeys(("spot", "future", "option", "inverse", "margin"), False)
    return [
        {
            "id": symbol,
            "symbol": f"{symbol.removesuffix('USDT')}/USDT:USDT",
            "base": symbol.removesuffix("USDT"),
            "quote": "USDT",
            "settle": "USDT",
            "precision": {},
            "limits": {},
            "info": {},
            **kinds,
            **others,
        }
        for symbol in SYMBOLS
    ]


class _Data(msgspec.Struct):
    b: list[tuple[float, float]]
    a: list[tuple[float, float]]


class _Delta(msgspec.Struct):
    data: _Data


class Floor:
    """msgspec to numbers, sorted lists by bisect, the same measures; no check of anything."""

    def __init__(self) -> None:
        self.keys: tuple[list[float], list[float]] = ([], [])
        self.sizes: tuple[list[float], list[float]] = ([], [])

    def run(self, messages: Sequence[Message]) -> float:
        """Seconds for all messages behind the snapshot."""
        decode = msgspec.json.Decoder(_Delta, strict=False).decode
        for column in (*self.keys, *self.sizes):
            column.clear()
        self.apply(decode(messages[0][1]).data)
        deltas = messages[1:]
        began = time.perf_counter()
        for _, text in deltas:
            self.apply(decode(text).data)
            self.measure()
        return time.perf_counter() - began

    def apply(self, data: _Data) -> None:
        """Changed levels; a side's keys are sign x price, so that the best is last."""
        for sign, levels, keys, sizes in (
            (1.0, data.b, self.keys[0], self.sizes[0]),
            (-1.0, data.a, self.keys[1], self.sizes[1]),
        ):
            for price, qty in levels:
                key = sign * price
                place = bisect_left(keys, key)
                if place < len(keys) and keys[place] == key:
                    if qty:
                        sizes[place] = qty
                    else:
                        del keys[place], sizes[place]
                elif qty:
                    keys.insert(place, key)
                    sizes.insert(place, qty)

    def measure(self) -> tuple[float, float, float]:
        """Spread in bps, imbalance, weighted mid."""
        bid, ask, bids, asks = self.keys[0][-1], -self.keys[1][-1], self.sizes[0][-1], self.sizes[1][-1]
        return 2e4 * (ask - bid) / (ask + bid), (bids - asks) / (bids + asks), (bid * asks + ask * bids) / (bids + asks)

    def book(self) -> tuple[Sequence[Level], Sequence[Level]]:
        """Bids and asks, best first."""
        bids, asks = (
            tuple((abs(key), qty) for key, qty in zip(reversed(keys), reversed(sizes), strict=True))
            for keys, sizes in zip(self.keys, self.sizes, strict=True)
        )
        return bids, asks


def times(messages: Messages, exchange: Any, rounds: int) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """By symbol: microseconds a message of each path, round by round, in turns."""
    for symbol, sequence in messages.items():
        paths = {"ours": Ours(symbol), "ccxt": Ccxt(exchange, symbol), "floor": Floor()}
        spent: dict[str, list[float]] = {name: [] for name in paths}
        for turn in range(rounds + 1):
            for name, path in paths.items():
                seconds = path.run(sequence)
                if turn:  # the first is for warming up
                    spent[name].append(seconds / (len(sequence) - 1) * 1e6)
        books = [path.book() for path in paths.values()]
        if not books[0] == books[1] == books[2]:
            raise InvariantError(f"{symbol}: the three paths end with different books; no speed is worth that")
        yield symbol, spent


def figures(spent: dict[str, list[float]], messages: list[Message]) -> dict[str, float]:
    """Medians of one symbol, and the medians of the ratios of equal rounds."""
    deltas = [text for _, text in messages[1:]]
    ratios = [theirs / ours for theirs, ours in zip(spent["ccxt"], spent["ours"], strict=True)]
    return {
        "messages": len(deltas),
        "bytes": statistics.mean(map(len, deltas)),
        "levels": statistics.mean(text.count(b'["') for text in deltas),
        **{f"{name}_us": statistics.median(values) for name, values in spent.items()},
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "ratio_floor": statistics.median(f / o for f, o in zip(spent["floor"], spent["ours"], strict=True)),
    }


async def measured(messages: Messages, rounds: int) -> dict[str, dict[str, float]]:
    """The figures of each symbol."""
    exchange = ccxt.pro.bybit()
    exchange.set_markets(ccxt_markets())
    try:
        return {symbol: figures(spent, messages[symbol]) for symbol, spent in times(messages, exchange, rounds)}
    finally:
        await exchange.close()


def report(found: dict[str, dict[str, float]], source: str) -> None:
    """The figures as a table."""
    versions = f"ccxt {ccxt.pro.__version__}, msgspec {msgspec.__version__}, numba {numba.__version__}"
    print(f"Bybit orderbook.{DEPTH} deltas, text to checked book and measures; {source}")
    print(f"Python {platform.python_version()}, {versions}; medians, us a message\n")
    print(f"{'':<10}{'messages':>9}{'bytes':>7}{'levels':>8}{'ours':>8}{'floor':>8}{'ccxt+json':>11}   ccxt / ours")
    for symbol, row in found.items():
        ratio = f"{row['ratio']:.2f} ({row['ratio_low']:.2f}-{row['ratio_high']:.2f})"
        print(
            f"{symbol:<10}{row['messages']:>9.0f}{row['bytes']:>7.0f}{row['levels']:>8.1f}{row['ours_us']:>8.2f}"
            f"{row['floor_us']:>8.2f}{row['ccxt_us']:>11.2f}   {ratio}"
        )
    print(f"\nmedian of the ratios {overall(found):.2f}; goal: at least {GOAL:g}, stretch {STRETCH:g}")


def overall(found: dict[str, dict[str, float]]) -> float:
    """The middle of the symbols' ratios."""
    return statistics.median(row["ratio"] for row in found.values())


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m benchmarks.wire", description=__doc__)
    parser.add_argument("--rounds", type=whole, default=41, help="interleaved rounds; default 41")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure and report; 1 when the goal is not reached."""
    if options.rounds < 1:
        raise ConfigError(f"--rounds: expected at least 1, saw {options.rounds}")
    path = RECORDINGS / RECORDING
    messages, source = (recorded(path), path.name) if path.exists() else (made(), "made by a random walk")
    found = asyncio.run(measured(messages, options.rounds))
    if options.json:
        print(json.dumps({"source": source, "ratio": overall(found), "symbols": found}))
    else:
        report(found, source)
    return 0 if overall(found) >= GOAL else 1


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
