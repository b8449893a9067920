"""The little of ASGI that a service needs beside its framework: what a request is, a whole answer, a dropped line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
#: Header lines: lower-case name, value.
Lines = Iterable[tuple[bytes, bytes]]


async def answer(send: Send, status: int, lines: Lines, body: bytes) -> None:
    """Send a whole answer; its length is added to the header lines."""
    head = [*lines, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def drop(receive: Receive) -> None:
    """Cut a request's connection at once, without waiting until its client has read what is on its way.

    ASGI has no word for that, and a server that is asked to stop waits for ever for clients who read nothing. Of
    uvicorn the connection is known by the object that `receive` belongs to; of other servers nothing is cut.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    abort = getattr(transport, "abort", None)
    if abort is not None:
        abort()
