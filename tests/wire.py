"""Messages of the exchanges for tests: written in their shape, or taken from the recordings."""

import json
import re
from typing import NamedTuple

import msgspec
import pytest
import zstandard

from ingest.venues.binance.protocol import BinanceProtocol
from ingest.venues.bybit.protocol import BybitProtocol
from ingest.wire.streams import Stream
from tests.places import RECORDINGS
from utils.errors import ProtocolError

MS = 1_000_000
S = 1_000 * MS
#: Exchange time of the messages below, ms, and of their receipt, ns: 20 ms later.
T0 = 1_795_327_094_280
R0 = (T0 + 20) * MS


def text(message):
    """A message as the exchanges write it."""
    return json.dumps(message, separators=(",", ":")).encode()


def levels(**sides):
    """b and a of a message: levels(b="64999.9 1.2, 64999.5 0", a="65000 0.3"); lists stay as they are."""
    return {
        side: [pair.split() for pair in pairs.split(",") if pair.strip()] if isinstance(pairs, str) else pairs
        for side, pairs in sides.items()
    }


def bybit_book(u, b="", a="", kind="delta", symbol="BTCUSDT", depth=50, ts=T0, **more):
    """An orderbook message; `more` replaces keys of its data, `cts` is the time of matching."""
    data = {"s": symbol, **levels(b=b, a=a), "u": u, "seq": 70_000} | more
    cts = {"cts": data.pop("cts", ts)}
    return text({"topic": f"orderbook.{depth}.{symbol}", "type": kind, "ts": ts, "data": data} | cts)


def bybit(head, data, symbol="BTCUSDT", ts=T0, kind="snapshot"):
    """A message of another topic: publicTrade, kline.1, tickers, allLiquidation."""
    return text({"topic": f"{head}.{symbol}", "type": kind, "ts": ts, "data": data})


def bybit_trade(identity, price="65000", qty="0.1", side="Buy", symbol="BTCUSDT", ts=T0, **more):
    """One trade of a publicTrade message."""
    return {"T": ts, "s": symbol, "S": side, "v": qty, "p": price, "i": identity, "BT": False, "seq": 1} | more


def diff(first, last, previous=None, b="", a="", symbol="BTCUSDT", ts=T0, **more):
    """A depthUpdate of Binance; without `previous` one of spot."""
    data = {"e": "depthUpdate", "E": ts, "s": symbol, "U": first, "u": last, **levels(b=b, a=a)}
    futures = {} if previous is None else {"T": ts - 3, "pu": previous}
    return enveloped(f"{symbol.lower()}@depth@100ms", data | futures | more)


def enveloped(stream, data):
    """A message of a combined stream."""
    return text({"stream": stream, "data": data})


def rest_book(last, b="64999 1", a="65001 1", **more):
    """A REST order book of Binance."""
    sides = levels(bids=b, asks=a)
    return text({"lastUpdateId": last, **sides} | more)


def bybit_protocol(*streams, **settings):
    """A connected Bybit core; default: the order book of BTCUSDT. What it sends first is taken away."""
    protocol = BybitProtocol(streams or [Stream("book", "BTCUSDT")], **settings)
    protocol.connected(R0)
    protocol.outgoing()
    return protocol


def binance_protocol(*streams, **settings):
    """A connected Binance core; default: the order book of BTCUSDT."""
    protocol = BinanceProtocol(streams or [Stream("book", "BTCUSDT")], **settings)
    protocol.connected(R0)
    return protocol


def names(events):
    """What kinds of events these are."""
    return [type(event).__name__ for event in events]


def book_counts(protocol, symbol="BTCUSDT"):
    """What was counted of a book."""
    return protocol.counts()[symbol, "book"]


class Line(NamedTuple):
    """One line of a recording."""

    recv_ns: int
    message: bytes
    event: str  # "" = a message of a stream
    url: str

    @property
    def is_snapshot(self):
        """Is it a book by REST, or Bybit's first of a topic?"""
        head = self.message[:200]
        return (b'"lastUpdateId"' in head and b'"stream"' not in head) or (
            b"orderbook." in head and b'"type":"snapshot"' in head
        )

    @property
    def stream(self):
        """The stream it belongs to, "" for none: what is numbered in one sequence."""
        named = re.match(rb'\{"(?:stream|topic)":"([^"]*)"', self.message)
        return named[1].decode() if named and not self.event else ""


class _Row(msgspec.Struct):
    recv_ns: int
    msg: msgspec.Raw = msgspec.Raw()
    event: str = ""
    url: str = ""


def recordings(venue=""):
    """Every recording, or those of a venue; or one skipped parameter that says why there is none."""
    paths = sorted(RECORDINGS.glob(f"{venue}*/*.jsonl.zst"))
    if not paths:
        return [pytest.param(None, marks=pytest.mark.skip(reason="no recordings beside this tree"))]
    return [pytest.param(path, id=f"{path.parent.name}-{path.name.split('.')[0]}") for path in paths]


def recording(path):
    """Its lines."""
    decoder = msgspec.json.Decoder(_Row)
    with path.open("rb") as file:
        for row in map(decoder.decode, zstandard.ZstdDecompressor().stream_reader(file).read().splitlines()):
            yield Line(row.recv_ns, bytes(row.msg), row.event, row.url)


def tape_protocol(path, start_ns):
    """A core that takes whatever this recording holds."""
    venue = path.parent.name
    if venue.startswith("binance"):
        protocol = BinanceProtocol([], market=venue, anything=True)
    else:
        protocol = BybitProtocol([], market="bybit_spot" if "spot" in path.name else "bybit_linear", anything=True)
    protocol.connected(start_ns)
    return protocol


def play(protocol, lines, fast=False):
    """Feed the lines of a recording; the events. `fast` = by the fast door first, whose deltas make none."""
    events = []
    for line in lines:
        if line.event == "http" and (asked := re.search(r"/depth\?symbol=(\w+)", line.url)):
            events += protocol.snapshot(asked[1], line.message, line.recv_ns)
        elif not line.event and not (fast and protocol.advance(line.message, line.recv_ns)):
            events += protocol.receive(line.message, line.recv_ns)
    return events


def total(protocol, name):
    """A count summed over all streams."""
    return sum(getattr(counts, name) for counts in protocol.counts().values())


def answer(protocol, message, recv_ns=R0):
    """The events of a message, or the error it raises, as text."""
    try:
        return protocol.receive(message, recv_ns)
    except ProtocolError as error:
        return str(error)
