"""A web service asked politely: one request at a time, paced, cached, retried, its key never shown.

The key joins a request inside the transport, below everything that logs, raises or remembers an address: neither
httpx's own log line nor an exception can hold it. What a server echoes of it is taken out again: of a body before it
is read, of a header in httpcore's log.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import stamina
from pydantic import SecretStr

from ingest.rest.body import ACCEPTED, PAGE, PIECE, Body, TooLong, Unreadable, check_parts
from ingest.rest.cache import TimedCache, uptime
from ingest.rest.deadline import TotalBackend
from ingest.rest.retry import local, retry_after_s, said
from utils.errors import ConfigError, DataUnavailable, ScalperError
from utils.rows import S_PER_DAY
from utils.settings.tree import IngestSettings
from utils.shell.log import event
from utils.shell.rim import HIDDEN, SHORTEST_SECRET, keep_secret, masked

PACE_S = 1.0  # between two requests of one service; plans allow more, none is known to allow less
CACHE_S = 60.0  # the services' own answers live as long
QUIET_S, LONGEST_QUIET_S = 60.0, float(S_PER_DAY)  # after a refusal that names no time, or too long a one


def _hide(record: logging.LogRecord) -> bool:
    record.msg = masked(str(record.msg))
    return True


logger = logging.getLogger("ingest")
# it would say "stamina.retry_scheduled" beside our own sentence
logging.getLogger("stamina").setLevel(logging.ERROR)
# httpcore logs a response's headers at DEBUG, and a redirect repeats the address it was asked under
logging.getLogger("httpcore.http11").addFilter(_hide)


@dataclass(frozen=True, slots=True)
class Key:
    """A service's key: what its setting is called, and the query parameter or header it travels in."""

    setting: str
    value: SecretStr
    query: str = ""
    header: str = ""

    def __post_init__(self) -> None:
        text = self.value.get_secret_value()
        if not (text.isascii() and text.isprintable()) or " " in text:
            raise ConfigError(f"{self.setting}: expected plain letters and digits, saw others; copy the key again")
        keep_secret(text)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said, and when we had it."""

    body: Any
    seen_ns: int


#: What a refusal means to one service: (status, body or None) -> the error to raise, or None = nothing special.
Explain = Callable[[int, Any], ScalperError | None]


class _Again(DataUnavailable):
    """May succeed later, after `wait_s` seconds; 0 = after the usual backoff."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class _Signing(httpx.HTTPTransport):
    """Adds the key to each request on its way out."""

    def __init__(self, key: Key | None, proxy: str | None) -> None:
        super().__init__(proxy=proxy)
        self._key = key
        self.deadline = math.inf  # uptime, s
        # httpx lends no other way to it
        self._pool._network_backend = TotalBackend(self._pool._network_backend, self._left_s)  # noqa: SLF001

    def _left_s(self) -> float:
        return self.deadline - uptime()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request with its key."""
        url, headers = request.url, request.headers.copy()
        if self._key and self._key.query:
            url = url.copy_merge_params({self._key.query: self._key.value.get_secret_value()})
        if self._key and self._key.header:
            headers[self._key.header] = self._key.value.get_secret_value()
        signed = httpx.Request(
            request.method, url, headers=headers, stream=request.stream, extensions=request.extensions
        )
        return super().handle_request(signed)


class Service:
    """One service at one address; safe to share between threads, which then take turns.

    Args:
        name: as people know it, for messages.
        base: address without a slash at its end.
        settings: timeouts and retries.
        key: None = asked without.
        explain: what refusals mean here; asked before the general rules.
        pace_s: shortest time between two requests, s.
        now_ns: the clock that stamps answers, ns.
    """

    def __init__(
        self,
        name: str,
        base: str,
        settings: IngestSettings,
        key: Key | None = None,
        explain: Explain = lambda _status, _body: None,
        *,
        pace_s: float = PACE_S,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.name = name
        self._base = base
        self._settings = settings
        self._key = key
        self._explain = explain
        self._pace_s = pace_s
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._next_at = 0.0  # uptime, s: no request before
        self._quiet_until = 0.0  # likewise: the service asked for quiet
        self._cache: TimedCache[Answer] = TimedCache()

    def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """The JSON body of one GET, at most a minute (or `ingest.cache_s`) old.

        Raises:
            ConfigError: the key or a setting is wrong, as the service says.
            DataUnavailable: it did not answer, answered garbage, or asked for quiet; after the retries of the settings.
        """
        life_s = max(CACHE_S, self._settings.cache_s)
        asked = (path, tuple(sorted(params.items())))
        return self._cache.get(asked, life_s, lambda: self._in_turn(path, params)).value

    def _in_turn(self, path: str, params: Mapping[str, str]) -> Answer:
        with self._lock:
            wait_s = self._quiet_until - uptime()
            if wait_s > 0.0:
                raise DataUnavailable(f"{self.name}: it asked for quiet; ask again in {math.ceil(wait_s)} s")
            return self._with_retries(path, params)

    def _with_retries(self, path: str, params: Mapping[str, str]) -> Answer:
        settings = self._settings
        retrying = stamina.RetryingCaller(
            attempts=settings.retries,
            timeout=None,
            wait_initial=settings.backoff_s,
            wait_max=settings.backoff_max_s,
            wait_jitter=settings.backoff_s,
        )
        transport = self._transport()
        asked = {"Accept-Encoding": ACCEPTED}
        with httpx.Client(
            base_url=self._base, transport=transport, timeout=settings.timeout_s, headers=asked
        ) as client:
            return retrying(self._wait_before_another, self._once, client, transport, path, params)

    def _transport(self) -> _Signing:
        """Through the environment's proxy, if there is one: httpx leaves that to whoever brings a transport."""
        where = urlsplit(self._base)
        host = where.hostname or ""
        proxies = {} if local(host) or proxy_bypass(host) else getproxies()
        try:
            return _Signing(self._key, proxies.get(where.scheme) or proxies.get("all"))
        except (ValueError, ImportError):
            raise ConfigError(
                f"{self.name}: the proxy that the environment names cannot be used; expected an http:// address in"
                f" {where.scheme.upper()}_PROXY, or none"
            ) from None

    def _wait_before_another(self, error: Exception) -> bool | float:
        if not isinstance(error, _Again):
            return False
        if error.wait_s > self._settings.backoff_max_s:
            return False
        event(logger, "service_trouble", str(error), severity=logging.WARNING)
        return error.wait_s or True

    def _once(self, client: httpx.Client, transport: _Signing, path: str, params: Mapping[str, str]) -> Answer:
        time.sleep(max(0.0, self._next_at - uptime()))
        self._next_at = uptime() + self._pace_s
        transport.deadline = uptime() + self._settings.timeout_s
        try:
            with client.stream("GET", path, params=dict(params)) as response:
                body = self._read(response, transport.deadline)
        except httpx.TimeoutException:
            raise self._late() from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            seen = said(error)
            raise _Again(
                f"{self.name}: expected an answer from {urlsplit(self._base).netloc}, saw '{seen}'; check the line"
            ) from None
        return self._judge(path, response, body)

    def _late(self) -> _Again:
        return _Again(
            f"{self.name}: expected an answer within {self._settings.timeout_s:g} s, saw none; check the connection,"
            " or raise ingest.timeout_s"
        )

    def _read(self, response: httpx.Response, deadline: float) -> bytes:
        """The body, unless it is too long or trickles: httpx's own time limit is for each piece alone."""
        try:
            coming = Body(response.headers.get("Content-Encoding", ""), PAGE.size)
            for piece in response.iter_raw(PIECE):
                coming.add(piece)
                if uptime() > deadline:
                    raise self._late()
            body = coming.whole()
            check_parts(body, PAGE.parts)
        except Unreadable as error:
            again = DataUnavailable if isinstance(error, TooLong) else _Again
            raise again(f"{self.name}: {error}; try again later") from None
        secret = self._key.value.get_secret_value().encode() if self._key else b""
        return body.replace(secret, HIDDEN.encode()) if len(secret) >= SHORTEST_SECRET else body

    def _judge(self, path: str, response: httpx.Response, body: bytes) -> Answer:
        """The answer in a response, or the error it means."""
        status = response.status_code
        content = _parsed(body)
        if status == httpx.codes.OK and content is not None:
            self._quiet_until = 0.0
            return Answer(content, self._now_ns())
        if status == httpx.codes.OK:
            start = body[:40].decode("utf-8", "replace")
            raise _Again(f"{self.name}: expected JSON, saw {start!r}; try again later")
        wait_s = min(retry_after_s(response.headers, time.time()), LONGEST_QUIET_S)
        if status in {403, 429}:
            wait_s = wait_s or QUIET_S
            self._quiet_until = uptime() + wait_s
        told = self._explain(status, content)
        if told is not None:
            raise told
        if status == 401:
            raise self._unknown_key()
        if status == 403:
            raise DataUnavailable(
                f"{self.name}: it refused (HTTP 403): too many requests, or your plan does not hold {path}; ask less"
                f" often, or check the plan; no request for {wait_s:.0f} s"
            )
        if status == 429:
            raise _Again(
                f"{self.name}: too many requests (HTTP 429); ask again in {wait_s:.0f} s, and less often", wait_s
            )
        if status == 408 or status >= 500:
            raise _Again(f"{self.name}: expected an answer, saw HTTP {status}; try again later", wait_s)
        raise DataUnavailable(f"{self.name}: expected an answer from {path}, saw HTTP {status}; check its address")

    def _unknown_key(self) -> ConfigError:
        if self._key is None:
            return ConfigError(f"{self.name}: it wants a key (HTTP 401), and none is set; see .env.example")
        return ConfigError(
            f"{self._key.setting}: {self.name} does not know this key (HTTP 401); copy it again from your account there"
        )


def _parsed(body: bytes) -> Any:
    """JSON as UTF-8, -16 or -32, with or without a byte-order mark; None if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
