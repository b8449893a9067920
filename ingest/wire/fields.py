"""Numbers, times and ids from outside: what is legal, and the sentence for what is not."""

from __future__ import annotations

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
        return decoder.decode(text.encode() if isinstance(text, str) else text)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors, and so is bad UTF-8
        raise Refused(f"expected what the exchange documents, saw {shown(text)} ({error})") from error


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
