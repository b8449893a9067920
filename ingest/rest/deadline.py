"""One time limit for a whole answer, its headers too: HTTP libraries limit the wait for each piece of it alone.

A socket's own limit is set to what is left before each read, so that a server that sends a byte now and then is given
up when the time is over, by requests (which ccxt uses) and by httpx alike.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable, Iterable
from functools import cache
from ssl import SSLContext
from typing import Any, TypeAlias

import httpcore
from requests.adapters import HTTPAdapter
from urllib3 import Timeout

Option: TypeAlias = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class _Reader(io.RawIOBase):
    """What a socket brings, until the time is over that it was given at the beginning."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, left_s: float) -> None:
        self._raw, self._sock, self._until = raw, sock, time.monotonic() + left_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0.0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer whose headers and body come within the time that its socket has left."""

    def __init__(self, sock: socket.socket, *given: Any, **named: Any) -> None:
        super().__init__(sock, *given, **named)
        left = sock.gettimeout()
        if left is not None:
            self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock, left))


@cache
def _hurried(pool: Any) -> Any:
    """The same kind of pool, whose connections have one time limit for an answer."""
    connection = type("Hurried", (pool.ConnectionCls,), {"response_class": _Response})
    return type("HurriedPool", (pool,), {"ConnectionCls": connection})


def _hurry(manager: Any) -> Any:
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _hurried(pool) for scheme, pool in pools.items()}
    return manager


class TotalAdapter(HTTPAdapter):
    """For a session of requests: its time limit is that of the whole answer, through a proxy too."""

    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        """Make the pools."""
        super().init_poolmanager(*given, **named)
        _hurry(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        """The pools behind a proxy."""
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **named)
        return manager if known else _hurry(manager)

    def send(self, request: Any, stream: bool = False, timeout: Any = None, *given: Any, **named: Any) -> Any:
        """Send a request."""
        total: Any = Timeout(total=timeout) if isinstance(timeout, int | float) else timeout
        return super().send(request, stream, total, *given, **named)


class TotalBackend(httpcore.NetworkBackend):
    """For a transport of httpx: nothing is waited for longer than is left.

    Args:
        inner: what opens sockets.
        left_s: seconds that are left, asked before each wait.
    """

    def __init__(self, inner: httpcore.NetworkBackend, left_s: Callable[[], float]) -> None:
        self._inner, self._left_s = inner, left_s

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Option] | None = None,
    ) -> httpcore.NetworkStream:
        """Open a socket."""
        limit = _least(timeout, self._left_s(), httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, limit, local_address, socket_options), self._left_s)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._inner.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, left_s: Callable[[], float]) -> None:
        self._inner, self._left_s = inner, left_s

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _least(timeout, self._left_s(), httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _least(timeout, self._left_s(), httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        limit = _least(timeout, self._left_s(), httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, limit), self._left_s)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _least(timeout: float | None, left_s: float, late: type[Exception]) -> float:
    """The shorter of two waits; raises `late` when nothing is left."""
    if left_s <= 0.0:
        raise late("timed out")
    return left_s if timeout is None else min(timeout, left_s)
