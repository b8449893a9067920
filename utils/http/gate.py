"""The one gate in front of all routes: size, rate, who may ask, how long it may take, and what every answer carries.

One function of plain ASGI instead of a layer for each: a request pays for it in microseconds.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from utils.errors import ConfigError, ScalperError
from utils.http.asgi import App, Lines, Message, Receive, Scope, Send, answer, drop
from utils.http.local import is_local, is_loopback, served_at
from utils.http.problem import refusal
from utils.http.rate import Buckets, client_of
from utils.shell.log import event
from utils.shell.rim import safe

#: Longest path with its query, bytes.
MOST_ADDRESS = 2_048
#: Most header lines, and bytes in them.
MOST_LINES, MOST_HEADERS = 64, 16_384
#: What every answer carries: nobody keeps it, guesses what it is, shows it in a frame, or is told where we came from.
CARRIED = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
#: How a page of another origin may ask, where it may at all.
PREFLIGHT = [
    (b"access-control-allow-methods", b"GET"),
    (b"access-control-allow-headers", b"authorization, last-event-id"),
    (b"access-control-max-age", b"600"),
]
_log = logging.getLogger("app")

Refusal = tuple[int, Lines, bytes]
#: (route, status, seconds): of a request that was answered or refused.
Observe = Callable[[str, int, float], None]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is granted to whom.

    Args:
        token: what is asked for; empty = nothing, and this machine alone may ask.
        hosts: names of this machine beside localhost, lower case.
        rate_per_s: requests of one client that are answered; 0 = all of them.
        burst: requests that may come at once.
        timeout_s: longest time for an answer.
        origins: whose pages may read answers.
        proxied: the server was told of a proxy, which says truly whom it asks for.
    """

    token: bytes = field(default=b"", repr=False)
    hosts: frozenset[str] = frozenset()
    rate_per_s: float = 0.0
    burst: int = 1
    timeout_s: float = 10.0
    origins: frozenset[bytes] = frozenset()
    proxied: bool = False

    def granted(self, told: str | None) -> str:
        """What is granted, as a sentence for the log.

        Args:
            told: the address that the server was told to listen at, "" = all there are; None = nobody told it another
                than its default.

        Raises:
            ConfigError: others could reach this machine, and no token is set.
        """
        if self.token:
            return "whoever has the token may ask"
        if told is not None and not is_loopback(told):
            raise ConfigError(
                f"served at {told or 'all addresses'}: expected a token where others than this machine can ask, saw "
                "none; set SCALPER__SECRETS__API_TOKEN to 16 characters or more, or serve at 127.0.0.1"
            )
        return "only this machine may ask, without a token"


class Gate:
    """ASGI middleware that lets a request through by `Rules`, or answers why not.

    It also begins and ends the service: a mistake in the settings is one line and an exit code, not a traceback.

    Args:
        app: what stands behind.
        rules: the rules, read at start; raises a ScalperError where the service cannot begin.
        observe: told of each request.
        opened: paths that are answered to everybody and never held up.
        endless: paths whose answers have no end, and so no time limit.
    """

    def __init__(
        self,
        app: App,
        rules: Callable[[], Rules],
        observe: Observe,
        opened: frozenset[str] = frozenset(),
        endless: frozenset[str] = frozenset(),
    ) -> None:
        self._app, self._read, self._observe = app, rules, observe
        self._opened, self._endless = opened, endless
        self._rules: Rules | None = None
        self._buckets = self._strangers = Buckets(0.0, 1, time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] == "http":
            await self._asked(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:  # there are no sockets here
            await send({"type": "websocket.close", "code": 1008})

    async def _asked(self, scope: Scope, receive: Receive, send: Send) -> None:
        rules = self._rules or self._begin()
        began = time.perf_counter()
        headers = dict(scope["headers"])
        carried = CARRIED
        if rules.origins and (origin := headers.get(b"origin")) in rules.origins:
            carried = [*CARRIED, (b"access-control-allow-origin", origin), (b"vary", b"origin")]
        status = 0

        def carry(message: Message) -> object:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *carried]}  # whose it is keeps it as it was
            return send(message)

        told: Send = carry  # type: ignore[assignment]  # what it hands on is awaited by whoever calls
        refused = self._refused(rules, scope, headers)
        if refused is not None:
            await answer(told, *refused)
            self._observe("refused", status, time.perf_counter() - began)
            return
        try:
            if scope["path"] in self._endless:
                await self._app(scope, receive, told)
            else:
                async with asyncio.timeout(rules.timeout_s):
                    await self._app(scope, receive, told)
        except TimeoutError:
            message = f"no answer within {rules.timeout_s:g} s (api.timeout_s); ask again"
            await self._instead(told, receive, status, refusal(503, "too_slow", message, 1.0))
        except Exception as error:  # noqa: BLE001 - said to whoever asked, and told to the log
            _log.error("%s failed", scope["path"], exc_info=error)
            await self._instead(told, receive, status, refusal(500, "failed", "a bug of ours; the log says more"))
        route = scope.get("route")
        self._observe(getattr(route, "path_format", "none"), status, time.perf_counter() - began)

    def _refused(self, rules: Rules, scope: Scope, headers: dict[bytes, bytes]) -> Refusal | None:
        """Why a request gets no further; None = it does."""
        if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > MOST_ADDRESS:
            return refusal(
                414, "address_too_long", f"expected at most {MOST_ADDRESS} bytes of path and query; ask for less"
            )
        lines = scope["headers"]
        if len(lines) > MOST_LINES or sum(len(name) + len(value) for name, value in lines) > MOST_HEADERS:
            return refusal(
                431, "headers_too_large", f"expected at most {MOST_LINES} header lines of {MOST_HEADERS} bytes in all"
            )
        if len(headers) < len(lines) and sum(name == b"host" for name, _ in lines) > 1:
            return refusal(400, "host_doubled", "expected one header line Host, saw several; send one")
        if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
            status, head, body = refusal(413, "body_refused", "expected a request without a body; leave it away")
            return status, [*head, (b"connection", b"close")], body
        if scope["path"] in self._opened:
            return None
        preflight = rules.origins and scope["method"] == "OPTIONS" and headers.get(b"origin") in rules.origins
        stranger = self._without_token(rules.token, headers) if rules.token and not preflight else None
        # one bucket for all who guess the token, from wherever they do; it holds up nobody who has it
        wait = self._buckets.take(_client(rules, scope, headers)) if stranger is None else self._strangers.take("")
        if wait > 0.0:
            message = f"expected at most {rules.rate_per_s:g} requests/s (api.rate_per_s); wait, then ask again"
            return refusal(429, "too_many_requests", message, wait)
        if preflight:
            return 200, PREFLIGHT, b""
        if rules.token:
            return stranger
        if not is_local(scope, headers, rules.hosts):
            return refusal(
                403,
                "not_local",
                "expected a request from this machine to localhost or a name of api.hosts; where others are to ask, "
                "set SCALPER__SECRETS__API_TOKEN, and send it as Authorization: Bearer TOKEN",
            )
        return None

    @staticmethod
    def _without_token(token: bytes, headers: dict[bytes, bytes]) -> Refusal | None:
        """Why a request without the token gets no further; compared in constant time."""
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), token):
            return None
        if not given:
            return refusal(401, "token_missing", "expected the header Authorization: Bearer TOKEN, saw none; send it")
        return refusal(
            401, "token_wrong", "expected the token of this service as Authorization: Bearer TOKEN, saw another"
        )

    @staticmethod
    async def _instead(send: Send, receive: Receive, status: int, refused: Refusal) -> None:
        """Answer so, or cut the answer that has begun."""
        if status:
            drop(receive)
        else:
            await answer(send, *refused)

    def _begin(self) -> Rules:
        rules = self._read()
        self._buckets = Buckets(rules.rate_per_s, rules.burst, time.monotonic)
        self._strangers = Buckets(rules.rate_per_s, rules.burst, time.monotonic)
        self._rules = rules
        return rules

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The life of the service; what its start fails by is told in one line, without a traceback."""
        try:
            granted = self._begin().granted(served_at(sys.argv, os.environ))
        except ScalperError as error:
            await send({"type": "lifespan.startup.failed", "message": safe(str(error))})
            return
        held: Message | None = None

        async def told(message: Message) -> None:
            nonlocal held
            if message["type"] == "lifespan.startup.failed":
                held = message
                return
            if message["type"] == "lifespan.startup.complete":
                event(_log, "granted", granted)
            await send(message)

        try:
            await self._app(scope, receive, told)
        except Exception as error:
            if held is None:
                raise
            why = str(error) if isinstance(error, ScalperError) else held["message"]
            await send({"type": held["type"], "message": safe(why)})


def _client(rules: Rules, scope: Scope, headers: dict[bytes, bytes]) -> str:
    """Whose bucket a request draws from.

    uvicorn believes on loopback what X-Forwarded-For says, which anybody there may write: where nobody told it of a
    proxy, all who come with that header are one client.
    """
    if not rules.proxied and b"x-forwarded-for" in headers:
        return "X-Forwarded-For"
    client = scope.get("client")
    return client_of(client[0]) if client else ""
