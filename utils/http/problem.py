"""What is answered instead of what was asked for: one JSON form for every refusal and failure."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from utils.http.asgi import Lines

Kind = Literal[
    "token_missing",
    "token_wrong",
    "not_local",
    "unknown",
    "no_such_path",
    "no_such_method",
    "body_refused",
    "address_too_long",
    "host_doubled",
    "headers_too_large",
    "invalid",
    "too_many_requests",
    "too_many_streams",
    "unavailable",
    "too_slow",
    "failed",
]


class Error(BaseModel):
    """Why there is no answer."""

    model_config = ConfigDict(frozen=True)

    kind: Kind = Field(description="For programs: what happened.")
    message: str = Field(description="For people: what was expected, what was seen, what to do.")
    retry_after_s: float | None = Field(None, description="Asking again is senseless before; null = it depends on you.")


class Problem(BaseModel):
    """Every answer with a status from 400 on."""

    model_config = ConfigDict(frozen=True)

    error: Error


#: What each status says, in the schema.
MEANING = {
    400: "The request is no HTTP (answered by the server, as plain text), or it names two hosts.",
    401: "A token is asked for, and none or another was given.",
    403: "No token is set, and the request did not come from this machine.",
    404: "No such symbol, timeframe or path; the nearest known is named.",
    405: "The path knows another method.",
    413: "A request with a body: none is read here.",
    414: "Path and query are too long.",
    422: "A parameter is not as the schema says.",
    429: "Too many requests of one client, or of all who come without the token.",
    431: "The header lines are too many, or too long.",
    500: "A bug of ours; the log has more.",
    503: "The data cannot be had at present, are stale, or took too long; the cause is named.",
}


def refusal(status: int, kind: Kind, message: str, retry_after_s: float | None = None) -> tuple[int, Lines, bytes]:
    """Status, header lines and body of an answer that is none.

    Args:
        status: of HTTP.
        kind: for programs.
        message: for people, one sentence.
        retry_after_s: when to ask again, also as a header in whole seconds; None = it does not help.
    """
    lines = [(b"content-type", b"application/json")]
    if retry_after_s is not None:
        retry_after_s = max(0.0, round(retry_after_s, 3))
        lines.append((b"retry-after", str(max(1, math.ceil(retry_after_s))).encode()))
    if status == 401:
        lines.append((b"www-authenticate", b"Bearer"))
    error = Error(kind=kind, message=message, retry_after_s=retry_after_s)
    return status, lines, Problem(error=error).model_dump_json().encode()


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, for its schema: those named, and those that every route may answer.

    `Problem` itself stands in the schema where one route at least names it as a model.
    """
    every = {400, 401, 403, 405, 413, 414, 429, 431, 500, 503}
    seconds = {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
    form = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found: dict[int | str, dict[str, Any]] = {
        status: {"content": form, "description": MEANING[status]} for status in sorted({*statuses, *every})
    }
    found[400]["content"] = form | {"text/plain": {"schema": {"type": "string"}}}
    for status in (429, 503):
        found[status]["headers"] = {"Retry-After": seconds}
    return found
