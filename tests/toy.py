"""A third exchange: what its folder would hold, and a server of it on loopback.

Its language is one JSON list a message, [symbol, update, ms, bid, ask]: a book of one level a side; there is nothing
but books. It is subscribed to by a symbol's name. By REST it answers as another exchange that ccxt knows.
"""

import contextlib
import json
import threading

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from ingest.venues.facts import Language, Market, Rest, Tapes, Venue
from ingest.wire.core import ProtocolCore
from ingest.wire.fields import above_zero, decode, identity, milliseconds
from ingest.wire.streams import Connection
from utils.errors import ConfigError

MESSAGE = msgspec.json.Decoder(tuple[str, int, int, str, str])


class ToyProtocol(ProtocolCore):
    """One connection's worth of books."""

    def __init__(self, streams, *, market, clock=None, heartbeat_s=20.0, stale_s=10.0, anything=False):
        super().__init__(streams, market, clock, heartbeat_s, stale_s, anything)
        for stream in [each for each in streams if each.kind == "book"]:
            self._add_feed(stream.symbol, stream.symbol, stream.depth)

    def connected(self, now_ns):
        events = super().connected(now_ns)
        self._outgoing += self._books
        return events

    def _ask(self, feed, now_ns):  # noqa: ARG002
        self._outgoing.append(feed.symbol)

    def receive(self, text, recv_ns):
        self._heard = recv_ns
        symbol, update, ms, bid, ask = decode(text, MESSAGE)
        feed = self._book_feed(symbol)
        return self._guarded(feed.counts, feed, recv_ns, lambda: self._on_book(feed, update, ms, bid, ask, recv_ns))

    def _on_book(self, feed, update, ms, bid, ask, recv_ns):
        ts = milliseconds(ms, "ms")
        if self._change(feed.index, ((above_zero(bid, "bid"), 1.0),), ((above_zero(ask, "ask"), 1.0),), anew=True):
            return self._crossed(feed, recv_ns, ts)
        self._applied(feed, identity(update, "update"), ts, self._stamp(ts, recv_ns), recv_ns)
        self._seen(feed.counts, ts)
        return self._begin(feed, recv_ns)

    def snapshot_path(self, symbol):
        raise ConfigError(f"book of {symbol}: expected no request for a snapshot")

    def snapshot(self, symbol, body, recv_ns):  # noqa: ARG002
        return []


def connections(streams, base, market):
    return [Connection(f"{base}/{market}", tuple(streams))]


def snapshot_message(view, depth):
    best = (f"{view.bids[0][0]}", f"{view.asks[0][0]}")
    return json.dumps([view.symbol, view.update_id, view.ts // 1_000_000, *best]).encode()


TOY = Venue(
    name="toy",
    title="Toy",
    markets=(
        Market(
            name="toy_perpetual",
            kind="futures",
            ws="toy_ws",
            rest=Rest(ccxt="bybit", types=("linear",), host="https://api.{hostname}", at="toy_rest"),
            address="/toy_perpetual",
        ),
        Market(name="toy_spot", kind="spot", ws="toy_ws"),
    ),
    usual="toy_perpetual",
    language=lambda: Language(ToyProtocol, connections, snapshot_message),
    tapes=Tapes(message=r'^\["'),
    aliases=("toy_perpetual",),
    addresses={"toy_rest": "https://api.toy.test", "toy_ws": "wss://stream.toy.test"},
    sockets=40,
    archive=("open_time", "open", "high", "low", "close"),
)


@contextlib.contextmanager
def toy_server(messages):
    """A stream that answers each subscription with these messages; yields its address."""

    def talk(socket):
        with contextlib.suppress(ConnectionClosed):
            for _ in socket:
                for message in messages:
                    socket.send(json.dumps(message))

    with serve(talk, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()
