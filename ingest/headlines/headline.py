"""Headlines: what one is, and how its parts are read from what services write. No network here.

Every field but id, title and time of publication is optional in what they send; text is made safe for one line.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from utils.errors import ProtocolError

TITLE_LENGTH = 500  # characters; what is longer is no headline
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_Shape = TypeVar("_Shape")


@dataclass(frozen=True, slots=True)
class Headline:
    """One headline as it was at `seen_ns`; times ns UTC."""

    id: str  # `cryptopanic:123`, or `coingecko:` and its address
    title: str  # one line, at most 500 characters, without control characters
    published_ns: int  # as the service says; may lie in the future
    seen_ns: int  # when we fetched it
    created_ns: int | None = None  # when the service took it up; None = it does not say
    source: str = ""  # who published it; "" = not said
    currencies: tuple[str, ...] = ()  # BTC, ETH; as the service tags it, unchecked
    kind: str = ""  # news, media, guide, ...; "" = not said
    votes: Mapping[str, int] | None = field(default=None, hash=False)  # as of `seen_ns`; None = the service has none
    url: str = ""  # of the article, http or https, without a key

    @property
    def available_ns(self) -> int:
        """From when on it may be used: max(published, created, seen)."""
        return max(self.published_ns, self.created_ns or 0, self.seen_ns)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was visible at one moment."""

    seen_ns: int
    source: str  # cryptopanic or coingecko
    currencies: tuple[str, ...]  # that were asked for; empty = all
    headlines: tuple[Headline, ...]


def converted(item: Any, shape: type[_Shape]) -> _Shape:
    """An item as a service documents it.

    Raises:
        ProtocolError: something of another kind.
    """
    try:
        return msgspec.convert(item, shape)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"headline: {error}"[:200]) from None


def moment_ns(text: str) -> int:
    """An ISO 8601 time in ns UTC; without a zone it is UTC, as both services document theirs.

    Raises:
        ProtocolError: no such time, or one before 1970.
    """
    try:
        moment = datetime.fromisoformat(text)
        since_1970 = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        since_1970 = timedelta(0)
    if since_1970 <= timedelta(0):
        raise ProtocolError(f"headline: expected an ISO 8601 time, saw {text[:40]!r}")
    return since_1970 // timedelta(microseconds=1) * 1000


def one_line(text: str, length: int) -> str:
    """Text that is safe in a line of a terminal or a page: no control characters, no switches of writing direction.

    Longer ones end with an ellipsis at `length` characters.
    """
    kept = ("" if c in _DIRECTIONS else " " if unicodedata.category(c) in _UNPRINTABLE else c for c in text)
    line = " ".join("".join(kept).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def required_line(text: str, length: int) -> str:
    """One line of what must not be empty.

    Raises:
        ProtocolError: it is.
    """
    line = one_line(text, length)
    if not line:
        raise ProtocolError("headline: expected an id and a title, saw an empty one")
    return line


def codes(codes: Iterable[str]) -> tuple[str, ...]:
    """Currency codes, upper case, each once, as they came."""
    return tuple(dict.fromkeys(code.upper() for code in codes if code.isalnum() and len(code) <= 20))


def web_link(text: str | None) -> str:
    """A web address, or "" for anything else."""
    plain = text and text.startswith(("https://", "http://")) and text.isprintable() and " " not in text
    return text if text and plain and len(text) <= 2000 else ""
