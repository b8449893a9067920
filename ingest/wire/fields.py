"""Numbers, times and ids from outside: what is legal, and the sentence for what is not."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec
import numpy as np

from utils.errors import ProtocolError
from utils.market.timeframes import MONDAY, TIMEFRAMES
from utils.rows import NS_PER_MS, NS_PER_S, Level

#: Price and quantity as the exchanges write them: decimal text. A JSON number in their place is refused.
Pair: TypeAlias = tuple[str, str]

#: Exchange times are milliseconds between 2015 and 2100: seconds and microseconds fall outside.
ERA_START_MS, ERA_END_MS = 1_420_070_400_000, 4_102_444_800_000
#: Exchange time may be so far ahead of the corrected receive time; beyond it the stamp is wrong.
AHEAD_NS = 5 * NS_PER_S

_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")
#: What Python would read as a number, and what of it an exchange writes; ids have any number of digits.
_LIKE_NUMBER = re.compile(r"[-+\s_.eE\d]*\d[-+\s_.eE\d]*")
_WRITTEN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
#: A message longer than the first of these (bytes) may hold so many lists and objects: parsing more takes longer than
#: others can wait, and twice 5000 levels is the deepest book there is.
LONG, MOST_PARTS = 2**16, 10_500
#: How much of what was seen a sentence repeats.
_SHOWN = 80


class Refused(ProtocolError):  # noqa: N818 - what happened to the message; the sentence says why
    """A message is refused whole."""


def decode(text: str | bytes | msgspec.Raw, decoder: msgspec.json.Decoder[Any]) -> Any:
    """What `decoder` reads in `text`.

    Raises:
        Refused: it is no JSON, or of another shape.
    """
    try:
        plain = text.encode() if isinstance(text, str) else text
        if len(plain) > LONG:
            _check_parts(bytes(plain))
        return decoder.decode(plain)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors, and so is bad UTF-8
        raise Refused(f"expected what the exchange documents, saw {shown(text)} ({error})") from error


def _check_parts(text: bytes) -> None:
    parts = text.count(b"[") + text.count(b"{")
    if parts > MOST_PARTS:
        raise Refused(f"expected at most {MOST_PARTS} levels or rows, saw {parts}")


def strict_json(text: str | bytes) -> Any:
    """JSON as exchanges write it: each key once, and every number, also one in quotes, in plain ASCII digits.

    Raises:
        Refused: it is JSON and holds a key twice, NaN, infinity, or text that Python would read as a number and no
            exchange means as one: " 1", "1_000", "1e5", digits of other scripts.
        ValueError: it is no JSON.
    """
    return json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_number, parse_float=_finite)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f"expected each key once, saw {shown(twice)} twice")
    for value in found.values():
        _written(value)
    return found


def _written(value: Any) -> None:
    """Refuse odd numbers in a value and in the lists it holds; objects have been looked at."""
    if isinstance(value, list):
        for each in value:
            _written(each)
    elif isinstance(value, str) and _LIKE_NUMBER.fullmatch(value) and not _WRITTEN.fullmatch(value):
        try:
            float(value)
        except ValueError:
            return  # a date, an address
        raise Refused(f"expected a number in plain digits, saw {shown(value)}")


def _no_number(name: str) -> Any:
    raise Refused(f"expected a number, saw {name}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Refused(f"expected a finite number, saw {shown(text)}")
    return value


def shown(value: object) -> str:
    """The beginning of a value, for a sentence; Python refuses to print very long numbers and very deep lists."""
    plain = bytes(value) if isinstance(value, msgspec.Raw) else value
    if isinstance(plain, int) and plain.bit_length() > 64:
        return f"a number of {plain.bit_length()} bits"
    if isinstance(plain, list | dict):
        return f"a {type(plain).__name__}"
    return repr(plain[:_SHOWN] if isinstance(plain, str | bytes) else plain)[:_SHOWN]


def number(text: str, name: str) -> float:
    """A plain decimal from 0 on, at most 18 digits on each side of the point.

    Raises:
        Refused: it is none.
    """
    if not _NUMBER.fullmatch(text):
        raise Refused(f"{name}: expected a plain decimal from 0 on, saw {shown(text)}")
    return float(text)


def above_zero(text: str, name: str) -> float:
    """A plain decimal above 0.

    Raises:
        Refused: it is none.
    """
    value = number(text, name)
    if value == 0.0:
        raise Refused(f"{name}: expected a number above 0, saw {text!r}")
    return value


def signed(text: str, name: str) -> float:
    """A plain decimal, below 0 too.

    Raises:
        Refused: it is none.
    """
    return -number(text[1:], name) if text.startswith("-") else number(text, name)


def changes(pairs: Iterable[Pair], side: str) -> tuple[Level, ...]:
    """Changed levels: prices above 0, quantities from 0 on.

    Raises:
        Refused: one of them is no such number.
    """
    return tuple((above_zero(price, f"{side} price"), number(qty, f"{side} quantity")) for price, qty in pairs)


def decimals(levels: Iterable[Level]) -> list[tuple[str, ...]]:
    """Levels as plain decimals that read as the same numbers."""
    return [tuple(np.format_float_positional(value, trim="-") for value in level) for level in levels]


def milliseconds(value: int, name: str) -> int:
    """Exchange time in ns from ms since 1970.

    Raises:
        Refused: outside 2015-2100, where seconds and microseconds fall.
    """
    if not ERA_START_MS <= value < ERA_END_MS:
        raise Refused(f"{name}: expected milliseconds since 1970, saw {shown(value)}")
    return value * NS_PER_MS


def within(value: int, name: str, pushed: int) -> int:
    """Exchange time in ns from ms since 1970, of something a message tells that was sent at `pushed` (ns).

    Raises:
        Refused: no such time, or more than 5 s after the message.
    """
    ts = milliseconds(value, name)
    if ts > pushed + AHEAD_NS:
        raise Refused(
            f"{name}: expected a time up to that of the message, saw one {(ts - pushed) / 1e9:.1f} s after it"
        )
    return ts


def close_of(start: int, tf: str, pushed: int) -> int:
    """Close of the bar of timeframe `tf` that began at `start`; all in ns, `pushed` as of `within`.

    Raises:
        Refused: no bar begins then, or it closes more than 5 s after the message.
    """
    length = TIMEFRAMES[tf]
    if (start - MONDAY if tf == "1w" else start) % length:
        raise Refused(f"start: expected that of a bar of {tf}, saw {start / 1e6:.0f} ms")
    return within((start + length) // NS_PER_MS, "close", pushed)


def identity(value: int, name: str, least: int = 0) -> int:
    """A number the exchange counts with.

    Raises:
        Refused: not from `least` to 2^62.
    """
    if not least <= value < 2**62:
        raise Refused(f"{name}: expected a number from {least} on, saw {shown(value)}")
    return value


def same_symbol(seen: str, symbol: str) -> None:
    """What the message says of its symbol is what its stream is for.

    Raises:
        Refused: it is another.
    """
    if seen != symbol:
        raise Refused(f"symbol: expected {symbol}, saw {shown(seen)}")
