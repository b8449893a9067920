"""What the box does wrong on purpose, and when: a list of faults, deterministic from the seed.

A fault strikes a message, a frame or a request whose subject contains `match`. Subjects are the venue's name and the
topic (`bybit orderbook.50.BTCUSDT`, `binance btcusdt@depth@100ms`), or the venue's name, path and query of a request
(`binance /fapi/v1/klines?symbol=BTCUSDT`). Letter case does not matter.
"""

from __future__ import annotations

import difflib
import json
import random
import reprlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from utils.errors import ConfigError, DataError
from utils.rows import NS_PER_S, S_PER_DAY

#: What can go wrong on a stream.
WS_FAULTS: Mapping[str, str] = {
    "reset": "the connection is reset in place of a message",
    "close": "the connection is closed in place of a message, with `code` (1001; 1006 = hung up without a close frame)",
    "reset_after_snapshot": "the connection is reset in place of a topic's second message",
    "reset_on_subscribe": "the connection is reset when a subscription arrives",
    "handshake_refused": "the handshake is answered with `status` (503), and Retry-After where `retry_after` is given",
    "handshake_hang": "the handshake is not answered for `seconds` (30)",
    "gap": "`count` messages of a topic are lost",
    "reorder": "a message comes `count` messages of its topic late",
    "duplicate": "a message comes again, `count` times",
    "crossed": "a book message brings a bid above the best ask",
    "locked": "a book message brings a bid at the best ask",
    "stall": "nothing that matches comes for `seconds` (30), or until its topic is subscribed anew; pings are answered",
    "no_pong": "a connection's pings are no longer answered; data goes on",
    "dead": "a connection is open, and nothing comes or is read any more",
    "server_ping": "the server sends a ping frame, and hangs up when no pong comes within `seconds` (10)",
    "restart": "Bybit's service restarts: a snapshot with u = 1",
    "snapshot": "Bybit sends a snapshot in the middle of the stream",
    "bad_number": "`value` (NaN) stands in place of a price, or of a size with `where: size`",
    "wrong_symbol": "a message says that it is of another symbol",
    "truncated": "a frame is cut in half",
    "garbage": "a frame of `value` in place of a message",
    "oversized": "a frame of `count` MiB in place of a message",
    "deep": "a frame of 50,000 nested lists in place of a message",
    "bad_time": "a message's times are `value`: 0, s (seconds) or us (microseconds)",
    "clock_skew": "the venue's stamps are off by `seconds` (90)",
    "clock_drift": "the venue's stamps run away by `seconds` (0.01) a second",
    "subscribe_error": "a subscription is refused, once",
    "no_ack": "a subscription is not acknowledged, and works",
    "late_ack": "a subscription is acknowledged after the first data",
    "wrong_ack": "a subscription is acknowledged under another request id",
    "confirmed_twice": "the closed state of a candle comes twice",
    "never_confirmed": "the closed state of a candle does not come",
}
#: What can go wrong with a REST request.
REST_FAULTS: Mapping[str, str] = {
    "rate_limited": "429 with Retry-After of `retry_after` (2) s",
    "banned": "418 with Retry-After of `retry_after` (120) s",
    "forbidden": "403",
    "rate_code": "the venue's own too-many-requests: Bybit 10006 with the reset header, Binance -1003",
    "server_error": "`status` (503: 500, 502, 504, 507, 520 ...) with a `body` of html, json or text",
    "html": "an HTML page with 200",
    "empty_body": "200 and nothing",
    "null_body": "200 and null",
    "empty_object": "200 and {}",
    "empty_array": "200 and []",
    "truncated_json": "the first half of the answer",
    "cut_body": "the connection ends in the middle of the answer",
    "wrong_type": "the answer as text/html",
    "gzip_garbage": "an answer that says it is compressed, and is not",
    "bom": "a byte order mark before the answer",
    "duplicate_keys": "an answer whose first key comes twice, the second time with null",
    "slow": "the answer comes after `seconds` (5)",
    "trickle": "a byte of the answer every `seconds` (1)",
    "hang_up": "the connection is reset in place of an answer",
    "reply_wrong_symbol": "the answer says that it is of another symbol",
    "reply_wrong_interval": "the answer's candles are of another length",
    "reply_wrong_category": "the answer says that it is of another category (Bybit)",
    "reply_bad_number": "`value` (NaN) stands in place of a price, or of a size with `where: size`",
    "reply_crossed": "the best bid of a book is above its best ask",
    "stale_snapshot": "a book that is older than what the stream has sent (Binance)",
    "forming_candle": "the unfinished candle is there although the request ends before it",
    "future_candle": "a candle that has not begun yet",
    "missing_candle": "a candle in the middle is missing",
    "duplicate_candle": "a candle in the middle comes twice",
    "unsorted_candles": "two candles in the middle have changed places",
    "revised_candle": "a closed candle is not what it was: another close, a higher high, more volume",
    "impossible_candle": "a candle whose high is below its low",
    "reply_bad_time": "the answer's times are `value`: 0, s (seconds) or us (microseconds)",
    "clock_skew": WS_FAULTS["clock_skew"],
    "clock_drift": WS_FAULTS["clock_drift"],
}
#: Every kind of fault with one line about it.
FAULT_KINDS: Mapping[str, str] = {**WS_FAULTS, **REST_FAULTS}

_BOOKS = ("orderbook", "@depth")
_KLINES = ("kline",)
#: Kinds that strike messages of some topics only: one of these stands in the subject.
_SCOPES: Mapping[str, tuple[str, ...]] = {
    "crossed": _BOOKS,
    "locked": _BOOKS,
    "restart": ("orderbook",),
    "snapshot": ("orderbook",),
    "confirmed_twice": _KLINES,
    "never_confirmed": _KLINES,
    "reply_wrong_interval": _KLINES,
    "forming_candle": _KLINES,
    "future_candle": _KLINES,
    "missing_candle": _KLINES,
    "duplicate_candle": _KLINES,
    "unsorted_candles": _KLINES,
    "revised_candle": _KLINES,
    "impossible_candle": _KLINES,
    "reply_crossed": ("orderbook", "/depth"),
    "stale_snapshot": ("/depth",),
}
_SECONDS: Mapping[str, float] = {
    "handshake_hang": 30.0,
    "stall": 30.0,
    "server_ping": 10.0,
    "clock_skew": 90.0,
    "clock_drift": 0.01,
    "slow": 5.0,
    "trickle": 1.0,
}
_RETRY_AFTER: Mapping[str, float] = {"rate_limited": 2.0, "banned": 120.0}
#: No time is longer, s: a century. No script is longer, bytes.
LONGEST_S, MOST_SCRIPT = 100 * 365 * S_PER_DAY, 256 << 10
_WHERE = ("price", "size")
_BODIES = ("html", "json", "text")
_TIMES = ("0", "s", "us")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    kind: str
    match: str = ""  # part of the subject; "" = any
    after: int = 0  # messages or requests that match and pass first, before each strike
    after_s: float = 0.0  # exchange seconds that pass first, before each strike
    times: int = 1  # strikes; 0 = for ever
    probability: float = 1.0  # of a strike that is due
    count: int = 1  # messages, or MiB
    seconds: float | None = None  # None = the kind's own
    value: Any = "NaN"
    where: str = "price"  # or size
    status: int = 503
    retry_after: float | None = None  # s
    code: int = 1001  # of a close frame
    body: str = "html"

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in FAULT_KINDS:
            near = difflib.get_close_matches(str(self.kind), FAULT_KINDS, 1)
            hint = f"did you mean {near[0]}?" if near else "--list-faults lists them"
            raise ConfigError(f"fault: expected a known kind, saw {reprlib.repr(self.kind)}; {hint}")
        timed = self.kind in {"bad_time", "reply_bad_time"}
        rules: tuple[tuple[str, bool, str], ...] = (
            ("match", isinstance(self.match, str), "text"),
            ("after", _whole(self.after) and self.after >= 0, "a whole number, at least 0"),
            ("after_s", _number(self.after_s) and self.after_s >= 0, "seconds, at least 0"),
            ("times", _whole(self.times) and self.times >= 0, "a whole number, at least 0 (0 = for ever)"),
            ("probability", _number(self.probability) and 0 < self.probability <= 1, "a number above 0, at most 1"),
            ("count", _whole(self.count) and self.count >= 1, "a whole number, at least 1"),
            ("seconds", self.seconds is None or _number(self.seconds), "a number of seconds"),
            ("where", self.where in _WHERE, " or ".join(_WHERE)),
            ("status", _whole(self.status) and 400 <= self.status <= 599, "an HTTP status from 400 to 599"),
            ("retry_after", self.retry_after is None or _number(self.retry_after), "a number of seconds"),
            ("code", _whole(self.code) and 1000 <= self.code <= 4999, "a close code from 1000 to 4999"),
            ("body", self.body in _BODIES, " or ".join(_BODIES)),
            ("value", not timed or self.value in (*_TIMES, "NaN"), " or ".join(_TIMES)),
        )
        for name, right, expected in rules:
            if not right:
                seen = getattr(self, name)
                told = reprlib.repr(seen)
                raise ConfigError(f"fault {self.kind}: expected {name} to be {expected}, saw {told}; correct it")

    @property
    def length(self) -> float:
        """`seconds`, or the kind's own."""
        return _SECONDS.get(self.kind, 0.0) if self.seconds is None else self.seconds

    @property
    def wait(self) -> float | None:
        """`retry_after` in s, or the kind's own; None = the answer does not say."""
        return _RETRY_AFTER.get(self.kind) if self.retry_after is None else self.retry_after

    def concerns(self, subject: str) -> bool:
        """Whether it can strike something of this name."""
        scope = _SCOPES.get(self.kind)
        lower = subject.lower()
        return self.match.lower() in lower and (scope is None or any(part in lower for part in scope))


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LONGEST_S


@dataclass(slots=True)
class _Armed:
    """A fault that waits for its moment."""

    fault: Fault
    since_ns: int  # exchange time of its injection, or of its last strike
    passed: int = 0  # since then
    struck: int = 0


class Desk:
    """All faults of a box, and their dice."""

    def __init__(self, seed: int) -> None:
        self.faults: list[_Armed] = []
        self.log: list[tuple[str, str]] = []  # (kind, subject) of every strike
        self._dice = random.Random(seed)

    def inject(self, fault: Fault, now_ns: int) -> None:
        """Let a fault wait for its moment."""
        self.faults.append(_Armed(fault, now_ns))

    def clear(self) -> None:
        """Let nothing more go wrong; what has been done to a connection stays done."""
        self.faults.clear()

    def strike(
        self, kinds: Collection[str], subject: str, now_ns: int, fits: Callable[[Fault], bool] = lambda _: True
    ) -> Fault | None:
        """The fault of these kinds that strikes now.

        Args:
            kinds: that could strike here.
            subject: what the message, frame or request is called; every call is one that could suffer.
            now_ns: exchange time, ns.
            fits: whether a fault can be shown on it; where not, it does not count as one that passed.
        """
        for armed in self.faults:
            fault = armed.fault
            spent = fault.times and armed.struck >= fault.times
            if (
                fault.kind in kinds
                and not spent
                and fault.concerns(subject)
                and fits(fault)
                and self._due(armed, now_ns)
            ):
                self.log.append((fault.kind, subject))
                return fault
        return None

    def _due(self, armed: _Armed, now_ns: int) -> bool:
        fault = armed.fault
        if armed.passed < fault.after:
            armed.passed += 1
            return False
        if now_ns < armed.since_ns + round(fault.after_s * NS_PER_S):
            return False
        if fault.probability < 1.0 and self._dice.random() >= fault.probability:
            return False
        armed.struck += 1
        armed.passed = 0
        armed.since_ns = now_ns
        return True

    def skew_ns(self, subject: str, now_ns: int) -> int:
        """How far the stamps of a message or an answer are off; such a fault lasts until it is cleared."""
        total = 0.0
        for armed in self.faults:
            fault, age_s = armed.fault, (now_ns - armed.since_ns) / NS_PER_S - armed.fault.after_s
            if fault.kind in {"clock_skew", "clock_drift"} and fault.concerns(subject) and age_s >= 0:
                total += fault.length * (age_s if fault.kind == "clock_drift" else 1.0)
                if not armed.struck:
                    self.log.append((fault.kind, subject))
                armed.struck += 1
        return round(total * NS_PER_S)


def read_script(path: Path) -> list[Fault]:
    """The faults of a script: a JSON or YAML file with a list of objects, the fields of `Fault` in each.

    Raises:
        DataError: the file cannot be read, or holds something else.
        ConfigError: a fault is not right; the message names it.
    """
    try:
        if path.exists() and (not path.is_file() or path.stat().st_size > MOST_SCRIPT):
            raise DataError(
                f"{path}: expected a fault script of at most {MOST_SCRIPT >> 10} KiB, saw more; name another"
            )
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except RecursionError:
        raise DataError(f"{path.name}: expected a list of faults, saw lists in lists without end; correct it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a readable fault script ({error}); check the path") from None
    except (ValueError, yaml.YAMLError) as error:
        where = " ".join(str(error).split())
        raise DataError(f"{path.name}: expected JSON or YAML ({where}); correct it") from None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise DataError(f"{path.name}: expected a list of faults such as [{{kind: gap}}]; write one object a fault")
    return [_fault_of(path.name, number, item) for number, item in enumerate(found, 1)]


def _fault_of(name: str, number: int, item: Mapping[Any, Any]) -> Fault:
    known = [field.name for field in fields(Fault)]
    unknown = [str(key) for key in item if key not in known]
    if unknown:
        near: Sequence[str] = difflib.get_close_matches(unknown[0], known, 1) or known
        hint = f"did you mean {near[0]}?" if len(near) == 1 else f"known are {', '.join(near)}"
        raise ConfigError(f"{name}: fault {number} has the unknown key {unknown[0]!r}; {hint}")
    if "kind" not in item:
        raise ConfigError(f"{name}: fault {number} names no kind; --list-faults lists them")
    try:
        return Fault(**item)
    except ConfigError as error:
        raise ConfigError(f"{name}: number {number}, {error}") from None
