"""A server that trickles its headers, or its handshake, is given up when the time for the whole answer is over."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import requests
import zstandard

from ingest.headlines.web import Service
from ingest.rest import body
from ingest.rest.deadline import TotalAdapter
from ingest.rest.retry import Door
from ingest.rest.venue import Venue
from tests.boxes import PATIENCE_S
from tests.scripted import Reply, ScriptedServer
from utils.errors import DataUnavailable
from utils.settings.tree import IngestSettings

SHORT = IngestSettings(timeout_s=0.4, retries=2, backoff_s=0.01, backoff_max_s=0.02)


@contextlib.contextmanager
def trickling(*parts: bytes, pause_s: float = 0.05) -> Iterator[str]:
    """A server that sends the first part at once and bytes of the last for ever; one part a request."""
    server = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def one(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.recv(4096)
            client.sendall(b"".join(parts))
            while not over.wait(pause_s):
                client.sendall(b"a")

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        over.set()
        server.close()


HEADERS = (b"", b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")


@pytest.mark.parametrize("sent", HEADERS)
def test_a_session_gives_up_an_answer_when_its_time_is_over(sent):
    with trickling(sent) as url, requests.Session() as session:
        session.mount("http://", TotalAdapter())
        began = time.monotonic()
        with pytest.raises((requests.Timeout, requests.ConnectionError), match="timed out"):
            session.get(url, timeout=0.3)
        assert 0.25 < time.monotonic() - began < 0.3 * PATIENCE_S


def test_a_session_gives_up_a_proxy_that_trickles():
    with trickling(b"HTTP/1.1 200 OK\r\nX-A: ") as url, requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, TotalAdapter())
        for target in ("http://exchange.example/", "https://exchange.example/"):
            began = time.monotonic()
            with pytest.raises(requests.RequestException):
                session.get(target, timeout=0.3, proxies={"http": url, "https": url})
            assert time.monotonic() - began < 0.3 * PATIENCE_S


def test_an_answer_in_time_is_read_on_the_same_connection_as_the_one_before():
    with ScriptedServer(lambda _: Reply({"a": 1})) as server, requests.Session() as session:
        session.mount("http://", TotalAdapter())
        assert [{"a": 1}] * 3 == [session.get(server.url, timeout=5.0).json() for _ in range(3)]


@pytest.mark.parametrize("sent", HEADERS)
def test_an_exchange_that_trickles_is_unavailable_within_its_attempts(sent):
    with trickling(sent) as url:
        venue = Venue("bybit", "futures", url, Door("bybit"))
        began = time.monotonic()
        with pytest.raises(DataUnavailable, match=r"failed after 2 attempts"):
            venue.markets(SHORT)
        assert time.monotonic() - began < 2 * 0.4 + PATIENCE_S
        venue.close()


@pytest.mark.parametrize("sent", HEADERS)
def test_a_news_service_that_trickles_is_unavailable_within_its_attempts(sent):
    with trickling(sent) as url:
        began = time.monotonic()
        with pytest.raises(DataUnavailable, match=r"expected an answer within 0.4 s, saw none"):
            Service("News", url, SHORT, pace_s=0.0).get("/x", {})
        assert time.monotonic() - began < 2 * 0.4 + PATIENCE_S


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(zstandard.compress(b" " * (16 << 20)), headers={"Content-Encoding": "zstd"}), "saw 'zstd'"),
        (Reply(b"x", headers={"Content-Encoding": "br"}), "saw 'br'"),
        (Reply(gzip.compress(b" " * (80 << 20), 1), headers={"Content-Encoding": "gzip"}), "at most 64 MiB"),
        (Reply(b"[" + b"0," * 4_000_000 + b"0]"), "at most 3,000,000 values"),
        (Reply(b'{"result":{},"result":{}}'), "each key once, saw 'result' twice"),
        (Reply(b'{"result":{"list":[["1_000"]]}}'), "plain digits, saw '1_000'"),
        (Reply(b'{"result":{"list":[[NaN]]}}'), "saw NaN"),
        (Reply(b'{"result":{"list":[[1e400]]}}'), "finite number, saw '1e400'"),
        (Reply(b"[" * 100_000), "expected"),
    ],
)
def test_an_answer_beyond_its_limits_or_against_the_rules_is_the_exchanges_fault(reply, said):
    with ScriptedServer(lambda _: reply) as server:
        venue = Venue("bybit", "futures", server.url, Door("bybit"))
        with pytest.raises(DataUnavailable, match=said):
            venue.markets(SHORT.model_copy(update={"timeout_s": 10.0, "retries": 1}))
        venue.close()


def test_a_time_needs_no_mebibyte():
    with ScriptedServer(lambda _: Reply(b'{"retCode":0,"time":' + b" " * body.TIME.size + b"1}")) as server:
        venue = Venue("bybit", "futures", server.url, Door("bybit"))
        with pytest.raises(DataUnavailable, match="expected at most 65536 bytes, saw more"):
            venue.measure(SHORT.model_copy(update={"timeout_s": 10.0, "retries": 1}))
        venue.close()
