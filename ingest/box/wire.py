"""What both venues' views answer with: requests whose parameters are checked, replies, JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

JSON = "application/json"
_encoder = msgspec.json.Encoder()


def text_of(value: object) -> str:
    """JSON text."""
    return _encoder.encode(value).decode()


def whole_number(text: str) -> int | None:
    """The whole number that a parameter is; None = it is none."""
    return int(text) if text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 20 else None


@dataclass(slots=True)
class Reply:
    """An HTTP answer, and how it is delivered."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = JSON
    delay_s: float = 0.0
    byte_s: float = 0.0  # from one byte to the next
    sent: float = 1.0  # part of the body after which the connection is reset; 0 = not even a status


def json_reply(value: object, status: int = 200) -> Reply:
    """An answer of JSON."""
    return Reply(_encoder.encode(value), status)


class Refused(Exception):  # noqa: N818 - not an error of ours: the venue's word for a bad request
    """The venue refuses a request; carries its answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Asked:
    """A request: its path, and its query, which remembers what was read of it."""

    def __init__(self, path: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.query = query
        self.headers = {name.lower(): value for name, value in (headers or {}).items()}
        self._read: set[str] = set()

    def text(self, name: str, default: str = "") -> str:
        """A parameter as it was sent."""
        self._read.add(name)
        return self.query.get(name, default)

    def refused(self) -> None:
        """The request was not read to its end, so that nothing can be said about the rest."""
        self._read.update(self.query)

    def unread(self) -> list[str]:
        """Parameters nobody asked for."""
        return sorted(set(self.query) - self._read)
