"""Sockets and REST answers of an exchange that is busy, gone, banning or talking nonsense."""

import asyncio
import gzip
import time
import zlib
from contextlib import asynccontextmanager

import pytest
import zstandard
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError

from ingest.live import dial
from ingest.live.dial import Dialler, Refused
from ingest.venues.known import streamed
from tests.boxes import PATIENCE_S
from utils.errors import ConfigError, DataUnavailable
from utils.settings.tree import IngestSettings

SETTINGS = IngestSettings(timeout_s=1.0, backoff_max_s=7.0)


@asynccontextmanager
async def http(answer: bytes, *, delay: float = 0.0):
    """A server that answers every request with these bytes, `delay` seconds between one and the next."""
    asked = []

    async def converse(reader, writer):
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode())
        try:
            for byte in [answer[i : i + 1] for i in range(len(answer))] if delay else [answer]:
                writer.write(byte)
                await writer.drain()
                await asyncio.sleep(delay)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


def reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def dialler(settings=SETTINGS):
    one = Dialler(streamed("binance", "futures"), settings)
    try:
        yield one
    finally:
        await one.aclose()


async def got(answer: bytes, settings=SETTINGS):
    async with http(answer) as (port, _), dialler(settings) as one:
        return await one.get(f"http://127.0.0.1:{port}/fapi/v1/depth?symbol=BTCUSDT")


async def opened(answer: bytes):
    async with http(answer) as (port, _), dialler() as one:
        return await one.open(f"ws://127.0.0.1:{port}/public/stream")


async def test_a_body_of_status_200_is_handed_over_whatever_it_holds():
    assert b"<html>sorry</html>" == await got(reply("200 OK", b"<html>sorry</html>"))


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad Gateway", "504 Late", "520 ?", "404 No", "301 Moved"])
async def test_other_statuses_are_refusals_that_may_pass(status):
    assert Refused(f"HTTP {status[:3]}") == await got(reply(status, b"<html>"))


async def test_a_refusal_too_deep_to_read_is_a_refusal_like_any_other():
    assert Refused("HTTP 500") == await got(reply("500 Oops", b"[" * 100_000))


async def test_a_busy_exchange_is_asked_again_when_it_said_and_by_nobody_sooner():
    async with http(reply("429 Busy", b"", "Retry-After: 1")) as (port, asked), dialler() as one:
        url = f"http://127.0.0.1:{port}/depth"
        assert Refused("HTTP 429", 1.0) == await one.get(url)
        began = time.monotonic()
        await asyncio.gather(*(one.get(url) for _ in range(dial.AT_ONCE)))
        assert time.monotonic() - began > 0.9
        assert 1 + dial.AT_ONCE == len(asked)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (reply("418 Teapot", b"", "Retry-After: 90"), "HTTP 418 and asks to wait 90 s: this address is banned"),
        (reply("451 Legal"), "does not serve this region"),
        (reply("400 Bad", b'{"code":-1121,"msg":"Invalid symbol."}'), "does not know the symbol"),
        (reply("429 Busy", b"", "Retry-After: 86400"), "longer than a feed can wait"),
    ],
)
async def test_what_asking_again_cannot_repair_is_an_error_that_names_exchange_and_cause(answer, cause):
    with pytest.raises(DataUnavailable, match=f"binance.*{cause}"):
        await got(answer)


async def test_a_forbidden_address_waits_the_longest_wait():
    assert Refused("HTTP 403", 7.0) == await got(reply("403 Forbidden", b"<html>"))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nzzzz",
        b"not http at all\r\n\r\n",
        b"",
    ],
)
async def test_an_answer_that_cannot_be_read_is_a_refusal(answer):
    assert isinstance(await got(answer), Refused)


async def test_an_answer_too_long_to_be_a_book_is_not_read_to_its_end():
    small = IngestSettings(max_frame_mib=0.01)
    assert "expected at most 10485 bytes, saw more" in (await got(reply("200 OK", b"x" * 20_000), small)).reason


@pytest.mark.parametrize(
    ("packed", "way"),
    [
        (zstandard.compress(b" " * (64 << 20)), "zstd"),
        (gzip.compress(b" " * (64 << 20), 1), "gzip"),
        (zlib.compress(b" " * (64 << 20), 1), "deflate"),
    ],
)
async def test_a_packed_answer_is_not_unpacked_beyond_what_a_book_needs(packed, way):
    slow: list[float] = []
    beat = asyncio.create_task(_beat(slow))
    answer = await got(reply("200 OK", packed, f"Content-Encoding: {way}"))
    beat.cancel()
    assert isinstance(answer, Refused)
    assert "saw 'zstd'" in answer.reason or "expected at most 1 MiB" in answer.reason
    assert max(slow, default=0.0) < 0.1 * PATIENCE_S


async def _beat(waits):
    """How long each turn of the loop took, s."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.01)
        waits.append(time.monotonic() - began)


async def test_a_packed_answer_of_a_books_length_is_a_body():
    answer = reply("200 OK", gzip.compress(b'{"bids":[]}'), "Content-Encoding: gzip")
    assert b'{"bids":[]}' == await got(answer)


async def test_a_handshake_is_not_followed_elsewhere():
    async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0) as elsewhere:
        port = elsewhere.sockets[0].getsockname()[1]
        for place in (f"ws://127.0.0.1:{port}/", "/other", f"ws://user:PASSWORD@127.0.0.1:{port}/", "//[bad", ""):
            answer = await opened(reply("302 Found", b"", f"Location: {place}"))
            assert Refused("HTTP 302: it sends us on to another address, which no exchange does") == answer


async def test_a_frame_that_is_packed_though_nobody_asked_ends_the_socket_unread():
    async def lie(socket):
        # FIN, RSV1 (packed), text; what follows would unpack to a mebibyte of blanks
        packed = zlib.compress(b" " * (1 << 20))[2:-4]
        socket.transport.write(bytes([0b1100_0001, 126]) + len(packed).to_bytes(2, "big") + packed)
        await socket.wait_closed()

    async with serve(lie, "127.0.0.1", 0) as server, dialler() as one:
        socket = await one.open(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        with pytest.raises(ConnectionClosedError, match="1002"):
            await socket.recv()
        await socket.close()


async def test_the_password_of_a_proxy_that_cannot_be_used_is_in_no_refusal(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "user:SECRETPW@127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with dialler() as one:
        answer = await one.open("wss://stream.example/")
        assert isinstance(answer, Refused)
        assert "SECRETPW" not in answer.reason


async def test_an_answer_that_trickles_is_given_up_in_time():
    async with http(reply("200 OK", b"x" * 300), delay=0.5) as (port, _), dialler() as one:
        began = time.monotonic()
        assert "TimeoutError" == (await one.get(f"http://127.0.0.1:{port}/depth")).reason
        assert time.monotonic() - began < 0.5 * PATIENCE_S


async def test_a_spent_request_budget_waits_for_the_next_minute():
    async with (
        http(reply("200 OK", b"{}", "X-MBX-USED-WEIGHT-1M: 2000")) as (port, _),
        dialler() as one,
    ):
        assert b"{}" == await one.get(f"http://127.0.0.1:{port}/depth")
        assert 0.0 < one.rest_from - time.monotonic() <= 60.0


async def test_nobody_at_the_address_is_a_refusal():
    async with http(b"") as (port, _):
        pass
    async with dialler() as one:
        assert isinstance(await one.open(f"ws://127.0.0.1:{port}/"), Refused)
        assert isinstance(await one.get(f"http://127.0.0.1:{port}/"), Refused)


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (reply("503 Busy"), Refused("HTTP 503")),
        (reply("429 Busy", b"", "Retry-After: 2"), Refused("HTTP 429", 2.0)),
        (reply("403 Forbidden"), Refused("HTTP 403", 7.0)),
    ],
)
async def test_a_refused_handshake_tells_the_wait_that_was_asked_for(answer, refused):
    assert refused == await opened(answer)


async def test_a_ban_on_the_handshake_is_an_error():
    with pytest.raises(DataUnavailable, match=r"binance.*its stream.*banned"):
        await opened(reply("418 Teapot"))


async def test_a_handshake_that_is_never_answered_is_given_up_in_time():
    async with http(b"HTTP/1.1 101 ", delay=20.0) as (port, _), dialler() as one:
        began = time.monotonic()
        assert isinstance(await one.open(f"ws://127.0.0.1:{port}/"), Refused)
        assert time.monotonic() - began < 0.5 * PATIENCE_S


async def test_a_page_where_a_socket_was_expected_is_a_refusal():
    assert Refused("HTTP 200") == await opened(reply("200 OK", b"<html>"))


async def test_a_proxy_that_cannot_be_used_is_named(monkeypatch):
    for name in ("ALL_PROXY", "HTTPS_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    async with dialler() as one:
        with pytest.raises(ConfigError, match="proxy: expected one that can be used"):
            await one.open("wss://exchange.invalid/")
        with pytest.raises(ConfigError, match="proxy: expected one that can be used"):
            await one.get("https://exchange.invalid/")


async def test_sockets_are_never_opened_faster_than_exchanges_allow(monkeypatch):
    # 279 handshakes in five minutes, brought down to 3 in half a second
    monkeypatch.setattr(dial, "SOCKETS_SHARE", 0.01)
    monkeypatch.setattr(dial, "SOCKETS_S", 0.5)
    async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", 0) as server, dialler() as one:
        began = time.monotonic()
        sockets = [await one.open(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}") for _ in range(4)]
        spent = time.monotonic() - began
        for socket in sockets:
            await socket.close()
    assert 0.5 <= spent < 0.5 * PATIENCE_S
