"""Getting through to an exchange: sockets and REST answers, asked for with patience and never faster than is allowed.

A refusal that may pass is a value with the wait the exchange asked for; a ban or an unknown symbol is an exception.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
from ssl import SSLContext
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from ingest.rest.body import ACCEPTED, BOOK, PIECE, Body, Unreadable
from ingest.rest.retry import local, retry_after_s, said
from ingest.venues.known import Place
from utils.errors import ConfigError, DataUnavailable
from utils.settings.tree import IngestSettings

if TYPE_CHECKING:
    import httpx

#: New sockets are counted for so long, s. So much of those that are allowed we take, and so much of the weight of REST
#: answers: other programs share it.
SOCKETS_S, SOCKETS_SHARE, WEIGHT_SHARE = 300.0, 0.93, 0.7
#: An exchange that asks for a longer wait has banned us, whatever its status says; in seconds.
LONGEST_WAIT_S = 600.0
#: Wait for the other side's goodbye; one that has gone silent says none. In seconds.
GOODBYE_S = 1.0
#: REST answers asked for at the same time.
AT_ONCE = 4
#: Statuses after which asking again makes it worse, or changes nothing.
FINAL = {
    HTTPStatus.IM_A_TEAPOT: "this address is banned for asking too often",
    HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS: "it does not serve this region",
}


class Refused(NamedTuple):
    """No answer yet."""

    reason: str
    wait_s: float = 0.0  # that the exchange asked for; 0 = it named none


class _Direct(connect):
    """A handshake that is answered where it was asked for: a redirect could lead anywhere, a proxy's login page too."""

    def process_redirect(self, exc: Exception) -> Exception:
        """A redirect is a refusal like others."""
        return exc


class Dialler:
    """Opens sockets and fetches REST answers of one exchange, for one feed."""

    def __init__(self, place: Place, settings: IngestSettings, ssl: SSLContext | None = None) -> None:
        self.venue, self.rest = place.venue, place.market.rest
        self.settings, self.ssl = settings, ssl
        self.longest = int(settings.max_frame_mib * 2**20)  # bytes of a message or an answer
        self.opened: deque[float] = deque(maxlen=int(SOCKETS_SHARE * self.venue.sockets))
        self.rest_from = 0.0  # monotonic seconds before which nothing is asked by REST
        self.free = asyncio.Semaphore(AT_ONCE)
        self.client: httpx.AsyncClient | None = None
        self.making = asyncio.Lock()

    async def open(self, url: str) -> ClientConnection | Refused:
        """A socket, its handshake done.

        The exchange's pings are answered by `websockets`; ours, besides those of the protocol, notice a dead line.
        Messages come uncompressed: small ones gain nothing, and inflating costs time.

        Raises:
            DataUnavailable: the exchange has banned us or does not serve us.
            ConfigError: the proxy of the environment needs a package that is not installed.
        """
        if len(self.opened) == self.opened.maxlen:
            await asyncio.sleep(self.opened[0] + SOCKETS_S - time.monotonic())
        self.opened.append(time.monotonic())
        where = urlsplit(url)
        try:
            return await _Direct(
                url,
                open_timeout=self.settings.timeout_s,
                ping_interval=self.settings.heartbeat_s,
                ping_timeout=self.settings.heartbeat_s,
                close_timeout=GOODBYE_S,
                max_size=self.longest,
                compression=None,
                proxy=None if local(where.hostname) else True,
                ssl=(self.ssl or True) if where.scheme == "wss" else None,
            )
        except InvalidStatus as error:
            return self.judged(error.response.status_code, error.response.headers, "its stream")
        except ValueError as error:  # a proxy's address, a header of the answer's
            return Refused(said(error))
        except (OSError, WebSocketException) as error:
            return Refused(said(error))
        except ImportError as error:
            raise no_proxy(error) from None

    async def get(self, url: str) -> bytes | Refused:
        """The body of a REST answer of status 200, whatever it holds.

        Raises:
            DataUnavailable: the exchange has banned us, does not serve us, or does not know the symbol.
            ConfigError: the proxy of the environment needs a package that is not installed.
        """
        async with self.free:
            # no event could be waited for: time itself must pass, and it may be put off once more meanwhile
            while self.rest_from > time.monotonic():  # noqa: ASYNC110
                await asyncio.sleep(self.rest_from - time.monotonic())
            client = await self.rest_client(url)
            import httpx

            try:
                async with asyncio.timeout(self.settings.timeout_s), client.stream("GET", url) as answer:
                    coming = Body(answer.headers.get("Content-Encoding", ""), min(self.longest, BOOK.size))
                    async for part in answer.aiter_raw(PIECE):
                        coming.add(part)
                    body = coming.whole()
            except (httpx.HTTPError, httpx.InvalidURL, Unreadable, TimeoutError) as error:
                return Refused(said(error))
            if answer.status_code != HTTPStatus.OK:
                refused = self.judged(answer.status_code, answer.headers, urlsplit(url).path, body)
                self.rest_from = max(self.rest_from, time.monotonic() + refused.wait_s)
                return refused
            weight = answer.headers.get(self.rest.used, "") if self.rest else ""
            if self.rest and weight.isascii() and weight.isdigit() and float(weight) > WEIGHT_SHARE * self.rest.weight:
                self.rest_from = time.monotonic() + 60.0 - time.time() % 60.0  # the count begins anew with the minute
            return body

    async def rest_client(self, url: str) -> httpx.AsyncClient:
        """The one that keeps connections open between requests."""
        async with self.making:
            if self.client is None:
                self.client = await asyncio.to_thread(self._make_client, url)  # a second's work, the first time
            return self.client

    def _make_client(self, url: str) -> httpx.AsyncClient:
        import httpx

        where = urlsplit(url)
        try:
            return httpx.AsyncClient(
                headers={"Accept-Encoding": ACCEPTED},
                timeout=self.settings.timeout_s,
                verify=self.ssl or where.scheme == "https",  # plain http is this machine's own
                trust_env=not local(where.hostname),
            )
        except ImportError as error:
            raise no_proxy(error) from None
        except ValueError as error:
            raise ConfigError(
                f"proxy: expected the environment to name an address, saw '{said(error)}'; correct it"
            ) from None

    def judged(self, status: int, headers: Mapping[str, str], what: str, body: bytes = b"") -> Refused:
        """What a refusal means.

        Raises:
            DataUnavailable: it is for good, or for longer than a feed can wait.
        """
        wait = retry_after_s(headers, time.time())
        cause = FINAL.get(HTTPStatus(status)) if status in FINAL else None
        if code_of(body) == self.venue.refusals.unknown_symbol:
            cause = "it does not know the symbol"
        elif wait > LONGEST_WAIT_S:
            cause = "that is longer than a feed can wait"
        if cause:
            after = f" and asks to wait {wait:.0f} s" if wait else ""
            raise DataUnavailable(
                f"{self.venue.name}: expected {what}, and it answered HTTP {status}{after}: {cause};"
                " check the symbol, then wait before another try"
            )
        if status == HTTPStatus.FORBIDDEN and not wait:
            wait = self.settings.backoff_max_s  # an address limit: each early try may lengthen it
        if 300 <= status < 400 and "Location" in headers:
            return Refused(f"HTTP {status}: it sends us on to another address, which no exchange does", wait)
        return Refused(f"HTTP {status}", wait)

    async def aclose(self) -> None:
        """Close what is kept open between requests."""
        if self.client is not None:
            await self.client.aclose()


def no_proxy(error: ImportError) -> ConfigError:
    """The proxy that the environment names cannot be used."""
    return ConfigError(f"proxy: expected one that can be used, saw '{said(error)}'; install it, or unset ALL_PROXY")


def code_of(body: bytes) -> str | None:
    """The code of an exchange's error body; None if it has none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    code = answer.get("code") if isinstance(answer, dict) else None
    return None if code is None else str(code)
