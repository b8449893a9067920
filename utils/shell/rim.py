"""What leaves the program for people: no password, no key, and no byte that a terminal would obey.

Texts of exchanges, files and libraries go where they like inside; at each rim (terminal, log, run.json) they go through
`safe`. Keys are told to `keep_secret` where they are read; passwords of the environment's proxies are known by
themselves, all others by where they stand in an address.
"""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from typing import Any, TextIO, cast
from urllib.parse import quote, unquote

#: What stands in place of a secret.
HIDDEN = "hidden"
#: A secret of fewer characters may be a word of the text: it is masked where it stands in an address, and nowhere else.
SHORTEST_SECRET = 8
#: Where programs look for a proxy, any case.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY", "SOCKS_PROXY", "SOCKS5_PROXY")
#: What a process that answers nobody has no need to know, any case.
TOKEN = "SCALPER__SECRETS__API_TOKEN"  # noqa: S105 - its name

#: Control characters but tab and line break, and those that turn the direction of a line, as JSON escapes them.
_OBEYED = {
    code: f"\\u{code:04x}"
    for first, last in ((0, 8), (11, 31), (127, 159), (0x2028, 0x202E), (0x2066, 0x2069))
    for code in range(first, last + 1)
}
#: What may hold a user and a password: from a scheme, or from behind a blank, quote, bracket or equals sign, to its
#: last @.
_ADDRESS = re.compile(
    r"(\b[a-z][a-z0-9+.-]*:/{2,}|//|(?<![^\s\"'(\[{=,;`])(?![\"'(\[{=,;`]))([^\s\"<>]*)@", re.IGNORECASE
)
_HOST = re.compile(r"(?:(?:[a-z0-9-]+\.)+[a-z0-9-]+|localhost|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
_PACKED = re.compile(r"(%3a(?:%2f%2f)?)[^\s\"<>]*%40", re.IGNORECASE)
_KEYED = re.compile(
    r"((?<![a-z0-9])[a-z0-9_-]*(?:token|api[_-]?key|password|passwd|secret|signature)=)[^\s&'\"\\;,]+", re.IGNORECASE
)
_secrets: set[str] = set()


def keep_secret(text: str) -> None:
    """From now on this text is masked wherever it stands, in every spelling an address may have."""
    if len(text) >= SHORTEST_SECRET:
        _secrets.update({text, quote(text), quote(text, safe=""), unquote(text)})


def masked(text: str) -> str:
    """Text without passwords and keys: those that are known, and what stands where an address or a query has one."""
    for secret in sorted({*_secrets, *_of_proxies(_proxies())}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    if "@" in text:
        text = _ADDRESS.sub(_address, text)
    if "%40" in text:
        text = _PACKED.sub(rf"\1{HIDDEN}%40", text)
    return _KEYED.sub(rf"\1{HIDDEN}", text) if "=" in text else text


def _address(found: re.Match[str]) -> str:
    """An address without its user; what only looks like one stays."""
    place, slash, path = found[2].partition("/")
    if not found[1].endswith("//") and ":" not in place:
        return found[0]
    # an @ in the path or query of a plain host, as in those of streams
    if slash and _HOST.fullmatch(place) and ("?" in path or not path or path.endswith("/")):
        outer, inner, _ = path.rpartition("//")  # unless another address stands there
        return f"{found[1]}{place}/{outer}//{HIDDEN}@" if inner else found[0]
    return f"{found[1]}{HIDDEN}@"


def _proxies() -> tuple[str, ...]:
    return tuple(filter(None, (os.environ.get(name) for known in PROXIES for name in (known, known.lower()))))


@lru_cache(16)
def _of_proxies(addresses: tuple[str, ...]) -> frozenset[str]:
    """The passwords in the addresses of proxies."""
    found = set()
    for address in addresses:
        user, _, _ = address.rpartition("://")[2].rpartition("@")
        name, _, password = user.partition(":")
        found |= {password or name, quote(password, safe=""), unquote(password)}
        # who does not know that a password may hold them ends the host there
        first, sign, rest = re.split("([/?#])", password, maxsplit=1) if re.search("[/?#]", password) else ("", "", "")
        found |= {f"{name}:{first}", f"{sign}{rest}@"} if sign else set()
    return frozenset(secret for secret in found if len(secret) >= SHORTEST_SECRET)


def for_children() -> dict[str, str]:
    """The environment for a process that this one begins: without the token that opens the API."""
    return {name: value for name, value in os.environ.items() if name.upper() != TOKEN}


def printable(text: str) -> str:
    """Text whose control characters are written out as JSON does: a terminal obeys none of them."""
    return text if text.isprintable() else text.translate(_OBEYED)


def safe(text: str) -> str:
    """Text for people: `masked` and `printable`."""
    return printable(masked(text))


class Rim:
    """A standard stream that writes what is `safe`, line by line or not.

    rich, which means its control characters, writes past it: its texts are made safe by `utils.shell.console`.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # by this name rich knows it

    def write(self, text: str) -> int:
        """Write it."""
        self.rich_proxied_file.write(safe(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write them."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def guard_output() -> None:
    """Let standard output and standard error write what is safe, and nothing else."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Rim):
            setattr(sys, name, Rim(stream))


def behind(stream: TextIO) -> TextIO:
    """The stream itself, for whoever makes safe what is written by other means."""
    return cast("Rim", stream).rich_proxied_file if isinstance(stream, Rim) else stream
