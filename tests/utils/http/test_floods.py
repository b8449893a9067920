"""One connection cannot fill the memory before a request is whole: the server that is required bounds its head."""

import asyncio

import httpx

from tests.served import served
from utils.http.gate import Gate, Rules

#: Far more than a head may have, and little enough for a test, bytes.
FLOOD, PIECE = 4 << 20, 1 << 16


async def quiet(scope, receive, send):
    """An app that nobody reaches."""
    raise AssertionError(scope["type"])


async def test_a_header_without_an_end_is_refused():
    async with served(quiet, lifespan="off") as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        sent, said = 0, b""
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
            while sent < FLOOD and not writer.is_closing():
                writer.write(b"a" * PIECE)
                await writer.drain()
                sent += PIECE
            said = await reader.read(100)
        except ConnectionError:
            pass
        finally:
            writer.close()
        assert sent < FLOOD or said.startswith(b"HTTP/1.1 4")


async def test_what_the_gate_adds_is_added_to_one_answer_alone():
    """Found on 2026-11-30: a start that an app sends again and again grew by the gate's headers with each answer."""
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}

    async def constant(scope, receive, send):
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    async with served(Gate(constant, Rules, lambda *_: None), lifespan="off") as url, httpx.AsyncClient() as client:
        heads = [(await client.get(url)).headers.raw for _ in range(3)]
    assert 1 == len({len(head) for head in heads})
    assert [(b"content-length", b"0")] == start["headers"]
