"""What an exchange's refusal means, and when it may be asked again.

| kind | seen as | answer |
|---|---|---|
| transient | no answer, 5xx, a cut or unreadable body, garbage with status 200 | again, after a growing wait |
| rate | 429, and what ccxt takes for one | again, after Retry-After or the usual wait, the longer of them |
| ban | 418, 403, or a Retry-After beyond `PATIENCE_S` | never before it ends; every later call is refused here |
| fatal | unknown symbol, bad parameter, not supported, 451 | at once |

ccxt's own error classes are not enough: its tree calls 429 three different names, a cut body a plain ExchangeError, and
an HTML page with status 200 no error at all.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from itertools import count
from typing import Any, Literal, TypeAlias

from ingest.rest.cache import uptime
from ingest.venues.facts import Refusals
from utils.rows import S_PER_DAY
from utils.settings.tree import IngestSettings
from utils.shell.log import event
from utils.shell.moments import at_ms
from utils.shell.rim import masked
from utils.shell.seldom import Seldom

logger = logging.getLogger("ingest")
# it would say "stamina.retry_scheduled" beside our own sentence
logging.getLogger("stamina").setLevel(logging.ERROR)

Kind: TypeAlias = Literal["transient", "rate", "ban", "fatal"]

#: An exchange that asks for a longer wait than this has banned us, whatever its status says.
PATIENCE_S = 120.0
#: No wait counts as longer: ten years, s.
LONGEST_S = 10.0 * 365 * S_PER_DAY
#: How long a ban lasts that does not say: Binance begins with 2 minutes (418), Bybit with 10 (403).
BAN_S = {HTTPStatus.IM_A_TEAPOT: 120.0, HTTPStatus.FORBIDDEN: 600.0}
#: A wait from here on is worth a line, s.
WORTH_A_LINE_S = 1.0
#: Shortest time between two lines about the same failure of the same request, s: an exchange may be away for hours.
REPEATED_S = 60.0
#: Codes of answers that are no refusals.
NO_ERROR = {"", "0"}

_REPEATED = Seldom(REPEATED_S)


class BadVenueData(Exception):  # noqa: N818 - internal: becomes DataUnavailable when asking again did not help
    """An answer that is not what it should be, whatever its status said."""


class IncompleteCandles(BadVenueData):
    """Candles are missing inside what was asked for; what came is legal.

    Args:
        rows: what came, as `ingest.rest.checks.candles` returns it.
        missing: (first open, bars) of each run of missing candles, ms.
        tf_ms: length of a candle.
    """

    def __init__(self, rows: Any, missing: list[tuple[int, int]], tf_ms: int) -> None:
        runs = ", ".join(f"{bars} from {at_ms(first)}" for first, bars in missing[:3])
        more = f" and {len(missing) - 3} more runs" if len(missing) > 3 else ""
        super().__init__(f"missing candles: {runs}{more}")
        self.rows, self.missing, self.tf_ms = rows, missing, tf_ms


class Trouble(Exception):  # noqa: N818 - internal, likewise
    """Why one attempt failed, and what follows from it."""

    def __init__(self, kind: Kind, cause: str, wait_s: float = 0.0) -> None:
        super().__init__(cause)
        self.kind, self.cause, self.wait_s = kind, cause, wait_s


@dataclass(frozen=True, slots=True)
class Answer:
    """What came over the wire."""

    status: int
    reason: str
    headers: Mapping[str, str]  # case does not matter
    body: bytes
    whole: bool  # the body came to its end
    wall_ns: int  # when its headers had come, machine's clock
    elapsed_s: float  # from sending the request until then

    def json(self) -> Any:
        """The body; None if it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def text(self, most: int = 120) -> str:
        """The beginning of the body, for messages."""
        plain = one_line(self.body[: 4 * most].decode("utf-8", "replace"), most)
        return "an HTML page" if plain.startswith("<") else repr(plain) if plain else "nothing"


def one_line(text: str, most: int = 160) -> str:
    """Text without line breaks and secrets, and not longer than a line."""
    plain = masked(" ".join(text.split()))
    return plain if len(plain) <= most else plain[: most - 3] + "..."


def said(error: BaseException) -> str:
    """An error in one line: many of the network's have no text of their own."""
    return masked(" ".join(str(error).split())) or type(error).__name__


def local(host: str | None) -> bool:
    """Is this host the machine itself? Then no proxy stands between."""
    return host in {"127.0.0.1", "::1", "localhost"}


def judge(error: Exception, answer: Answer | None, now_ms: float, timeout_s: float, refusals: Refusals) -> Trouble:
    """What a failed attempt means.

    Args:
        error: what ccxt raised, a BadVenueData of ours, or what Python raised inside ccxt over an unexpected body.
        answer: the last answer of this attempt; None = there was none.
        now_ms: present time, to read waits that are given as times.
        timeout_s: how long was waited, for the message.
        refusals: the exchange's.
    """
    import ccxt

    if isinstance(error, BadVenueData):
        garbled = answer is not None and answer.whole and answer.json() is None
        return Trouble("transient", f"expected JSON, saw {answer.text()}" if answer and garbled else str(error))
    if not isinstance(error, ccxt.BaseError):  # ccxt reads bodies without looking what they are
        seen = answer.text(60) if answer else "nothing"
        return Trouble("transient", f"expected an answer as documented, saw {seen} ({type(error).__name__})")
    status = answer.status if answer else 0
    wait_s = asked_wait_s(answer, now_ms, refusals) if answer else 0.0
    cause = cause_of(error, answer, timeout_s)
    if status in BAN_S or wait_s > PATIENCE_S:
        return Trouble("ban", cause, max(wait_s, 0.0) or BAN_S[HTTPStatus(status)])
    if status == HTTPStatus.TOO_MANY_REQUESTS or isinstance(error, (ccxt.DDoSProtection, ccxt.RateLimitExceeded)):
        return Trouble("rate", cause, wait_s)
    if status == HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS:
        return Trouble("fatal", f"{cause}: it does not serve this location")
    garbage = status == HTTPStatus.OK and code_of(answer) in NO_ERROR | refusals.passing
    broken = answer is None and error.__cause__ is not None  # the line, or the certificate
    passing = garbage or broken or status >= 500 or isinstance(error, ccxt.OperationFailed)
    refused = isinstance(error, (ccxt.BadRequest, ccxt.AuthenticationError, ccxt.NotSupported, ccxt.ArgumentsRequired))
    return Trouble("transient" if passing and not refused else "fatal", cause, wait_s)


def code_of(answer: Answer | None) -> str:
    """The error code in a body, `retCode` or `code`; "" where it has none."""
    body = answer.json() if answer else None
    code = body.get("retCode", body.get("code")) if isinstance(body, dict) else None
    return "" if code is None else str(code)


def cause_of(error: Exception, answer: Answer | None, timeout_s: float) -> str:
    """One phrase for what went wrong."""
    import ccxt

    if answer is None:
        if isinstance(error, ccxt.RequestTimeout):
            return f"no answer within {timeout_s:g} s"
        if error.__cause__ is None:
            return one_line(str(error))
        root: BaseException = error
        while root.__cause__ is not None or root.__context__ is not None:
            root = root.__cause__ or root.__context__ or root
        return one_line(f"no connection ({str(root) or type(root).__name__})")
    body = answer.json()
    told = body.get("retMsg") or body.get("msg") if isinstance(body, dict) else None
    code = code_of(answer)
    text = f"{code} {told or ''}".strip() if told or code else answer.text()
    if answer.status != HTTPStatus.OK:
        return one_line(f"HTTP {answer.status} {answer.reason}".strip() + f": {text}")
    if code in NO_ERROR and body is not None:
        return one_line(f"expected an answer as documented, saw {answer.text(60)} ({error})")
    return one_line(text if code else f"expected JSON, saw {text}")


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float:
    """The wait that Retry-After asks for, in seconds or as a date, s; 0 when it says nothing that can be read.

    Args:
        headers: of a refusal.
        now_s: present time, s since 1970.
    """
    text = str(headers.get("Retry-After", "")).strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return min(float(text), LONGEST_S)
    try:
        until = parsedate_to_datetime(text)
        return min(max(0.0, until.replace(tzinfo=until.tzinfo or UTC).timestamp() - now_s), LONGEST_S)
    except (ValueError, OverflowError):  # the latter of numbers beyond a machine's
        return 0.0


def asked_wait_s(answer: Answer, now_ms: float, refusals: Refusals) -> float:
    """The wait an answer asks for, s; 0 where it names none that makes sense.

    Read are Retry-After and the exchange's own time of reset, which comes with every answer and counts only where the
    answer is a refusal.
    """
    if answer.headers.get("Retry-After"):
        return retry_after_s(answer.headers, now_ms / 1000.0)
    reset = str(answer.headers.get(refusals.reset, "")) if refusals.reset else ""
    if re.fullmatch(r"\d{13}", reset) and code_of(answer) == refusals.limited:
        return max(0.0, (int(reset) - now_ms) / 1000.0)
    return 0.0


class Door:
    """The one way to an exchange's address: one request at a time, none while it has asked for quiet.

    Shared by everything in the process that asks this address, so that one caller's 429 holds all of them back.

    Args:
        name: as people know it.
        clock: seconds, never going back.
        sleep: waits for so many seconds.
    """

    def __init__(
        self, name: str, clock: Callable[[], float] = uptime, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.name = name
        self._clock, self._sleep = clock, sleep
        self._lock = threading.RLock()
        self._quiet_until = 0.0
        self._banned_until = 0.0
        self._why = ""

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait for one's turn, and for quiet to end, then hold the door while asking.

        Raises:
            Trouble: banned; nothing was sent.
        """
        with self._lock:
            if self._clock() < self._banned_until:
                raise Trouble("ban", self._why)
            wait_s = self._quiet_until - self._clock()
            if wait_s > 0.0:
                if wait_s >= WORTH_A_LINE_S:
                    text = f"{self.name} asked for quiet; no request for {wait_s:.1f} s"
                    event(logger, "exchange_wait", text, severity=logging.WARNING)
                self._sleep(wait_s)
            yield

    def quiet(self, seconds: float) -> None:
        """Nobody asks for so long."""
        self._quiet_until = max(self._quiet_until, self._clock() + seconds)

    def ban(self, trouble: Trouble, wall_ms: float) -> Trouble:
        """Nobody asks until a ban is over; callers get its cause and its end, as the returned trouble says them."""
        self._banned_until = self._clock() + trouble.wait_s
        self._why = f"{trouble.cause}; no request before {at_ms(wall_ms + 1000.0 * trouble.wait_s)}"
        return Trouble("ban", self._why)


def patience(what: str, settings: IngestSettings) -> Callable[[Exception], bool | float]:
    """The wait before another attempt, for stamina: True = its own jittered backoff, False = no other attempt.

    Formula: for a rate limit max(asked, min(backoff_max_s, backoff_s 2^n)) after n + 1 failures, in seconds.

    Args:
        what: is asked for, for the log.
        settings: first and longest wait.
    """
    failures = count()

    def wait(error: Exception) -> bool | float:
        if not isinstance(error, Trouble) or error.kind in {"ban", "fatal"}:
            return False
        usual = min(settings.backoff_max_s, settings.backoff_s * 2.0 ** next(failures))
        text, kind = f"{what}: {error.cause}", (what.partition(" (")[0], error.cause)  # without the period asked for
        _REPEATED.event(logger, "exchange_attempt_failed", text, kind=kind, severity=logging.WARNING)
        return max(error.wait_s, usual) if error.kind == "rate" else True

    return wait
