"""CryptoPanic: headlines with votes, for a token; its path depends on the plan (`ingest.cryptopanic_path`)."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from pydantic import SecretStr

from ingest.headlines.headline import (
    TITLE_LENGTH,
    Headline,
    codes,
    converted,
    moment_ns,
    one_line,
    required_line,
    web_link,
)
from ingest.headlines.pages import MOST, Page, page_of
from ingest.headlines.web import Key, Service
from utils.errors import ConfigError
from utils.settings.tree import IngestSettings

NAME = "CryptoPanic"
_lock = threading.Lock()


class _Tag(msgspec.Struct):
    code: str | None = None


class _Publisher(msgspec.Struct):
    title: str | None = None
    domain: str | None = None


class _Post(msgspec.Struct):
    """One post of CryptoPanic; v1 names its coins `currencies`, v2 `instruments`."""

    id: int | str
    title: str
    published_at: str
    created_at: str | None = None
    kind: str | None = None
    source: _Publisher | None = None
    original_url: str | None = None
    url: str | None = None
    currencies: list[_Tag] | None = None
    instruments: list[_Tag] | None = None
    votes: dict[str, Any] | None = None


def service(base: str, settings: IngestSettings, token: SecretStr, now_ns: Callable[[], int] = time.time_ns) -> Service:
    """CryptoPanic as these settings reach it; the same one for the same settings, so that its pace and cache hold."""
    with _lock:
        return _service(base, settings, token, now_ns)


@lru_cache(maxsize=16)
def _service(base: str, settings: IngestSettings, token: SecretStr, now_ns: Callable[[], int]) -> Service:
    key = Key("CRYPTOPANIC_TOKEN", token, query="auth_token")
    return Service(NAME, base, settings, key, _explain, now_ns=now_ns)


def _explain(status: int, _body: Any) -> ConfigError | None:
    if status != 404:
        return None
    return ConfigError(
        "ingest.cryptopanic_path: CryptoPanic knows no such path (HTTP 404); set it to the one of your plan, which your"
        " account's API page there shows, such as api/v1 or api/growth/v2"
    )


def pages(service: Service, path: str, coins: Sequence[str]) -> Iterator[Page]:
    """Pages, newest first, as the `next` links lead: by their query only, so that no link takes the token elsewhere."""
    params = {"public": "true"} | ({"currencies": ",".join(coins)} if coins else {})
    asked: list[dict[str, str]] = []
    while len(asked) < MOST and params not in asked:
        answer = service.get(f"/{path}/posts/", params)
        asked.append(params)
        posts = answer.body.get("results") if isinstance(answer.body, dict) else None
        yield page_of(service.name, posts, parse, answer.seen_ns)
        further = _query(answer.body.get("next"))
        if not further:
            return
        params = params | further


def _query(link: object) -> dict[str, str]:
    """The query of a link, without keys; empty if it is none."""
    try:
        query = urlsplit(link).query if isinstance(link, str) else ""
    except ValueError:
        return {}
    return {name: value for name, value in parse_qsl(query) if not re.search("token|key", name, re.IGNORECASE)}


def parse(item: Any, seen_ns: int) -> Headline:
    """The headline in one post of CryptoPanic, v1 or developer v2.

    Raises:
        ProtocolError: no id, title or time of publication, or something of another kind than documented.
    """
    post = converted(item, _Post)
    votes = (
        None
        if post.votes is None
        else {name: n for name, n in post.votes.items() if name.isidentifier() and _is_count(n)}
    )
    return Headline(
        id=f"cryptopanic:{required_line(str(post.id), 100)}",
        title=required_line(post.title, TITLE_LENGTH),
        published_ns=moment_ns(post.published_at),
        created_ns=moment_ns(post.created_at) if post.created_at else None,
        seen_ns=seen_ns,
        source=one_line((post.source and (post.source.title or post.source.domain)) or "", 100),
        currencies=codes(tag.code or "" for tag in (*(post.instruments or ()), *(post.currencies or ()))),
        kind=one_line(post.kind or "", 20),
        votes=votes,
        url=web_link(post.url) or web_link(post.original_url),
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
