"""A real server on loopback for an ASGI app, and clients that do what no HTTP library would.

async with served(app) as url:
    async with httpx.AsyncClient(base_url=url) as client: ...
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn


@contextlib.asynccontextmanager
async def served(app: Any, **config: Any) -> AsyncIterator[str]:
    """The address of an app that uvicorn serves in this loop, until it is left."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", **config))
        task = asyncio.create_task(server.serve([listener]))
        while not server.started:
            assert not task.done(), "the server did not start"
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def spoken(url: str, text: bytes, enough: bytes = b"\r\n\r\n") -> bytes:
    """What a server answers to these bytes, until `enough` has come or it hangs up."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(text)
        heard = b""
        while enough not in heard and (more := await asyncio.wait_for(reader.read(65_536), 20.0)):
            heard += more
        return heard
    finally:
        writer.close()
