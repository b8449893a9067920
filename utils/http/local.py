"""Who asks from this machine, by addresses and by the name that was asked for."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

#: Names that this machine has for itself.
OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
#: What a proxy adds: who asks through one may be anywhere.
PASSED_ON = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via")


@lru_cache(256)
def is_loopback(address: str) -> bool:
    """Whether an address, or the name localhost, is this machine as it knows itself."""
    if address == "localhost":
        return True
    try:
        found = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


@lru_cache(256)
def name_of(host: str) -> str:
    """The name in a Host header, without its port: lower case, IPv6 without brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).rstrip(".").lower()


def is_local(scope: Mapping[str, Any], headers: Mapping[bytes, bytes], hosts: Collection[str]) -> bool:
    """Whether a request comes from this machine and asks for it by a name of its own.

    Without the name a page of the web could ask here by a name of its own that it lets point to this machine.

    Args:
        scope: the request's.
        headers: its header lines.
        hosts: names beside `OWN_NAMES`, lower case.
    """
    server, client = scope.get("server"), scope.get("client")
    if server is None or any(name in headers for name in PASSED_ON):
        return False
    if server[1] is None:  # a socket of the file system, whose permissions say who may ask
        return client is None or not client[0]
    if client is None or not (is_loopback(client[0]) and is_loopback(server[0])):
        return False
    name = name_of(headers.get(b"host", b"").decode("latin-1"))
    return name in OWN_NAMES or name in hosts


def served_at(argv: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The address that uvicorn was told to listen at; "" = all there are; None = none, or another program runs.

    Processes that it starts for `--workers` and `--reload` have its command line.
    """
    if not _is_uvicorn(argv):
        return None
    if "--uds" in argv or "--fd" in argv or any(word.startswith(("--uds=", "--fd=")) for word in argv):
        return None
    return _told("--host", argv, environment.get("UVICORN_HOST"))


def proxied(argv: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether uvicorn was told which proxies it may believe (`--forwarded-allow-ips`)."""
    names = ("UVICORN_FORWARDED_ALLOW_IPS", "FORWARDED_ALLOW_IPS")
    by_name = next(filter(None, map(environment.get, names)), None)
    return _is_uvicorn(argv) and bool(_told("--forwarded-allow-ips", argv, by_name))


def _is_uvicorn(argv: Sequence[str]) -> bool:
    program = Path(argv[0]) if argv else Path()
    return "uvicorn" in {program.stem, program.parent.name}


def _told(flag: str, argv: Sequence[str], default: str | None) -> str | None:
    """What a command line says last for a flag, else the environment; empty, that is nothing to uvicorn."""
    told = default or None
    for word, after in zip(argv[1:], [*argv[2:], ""], strict=True):
        if word == flag:
            told = after
        elif word.startswith(f"{flag}="):
            told = word.partition("=")[2]
    return told
