"""What a REST answer goes through on its way out: the faults of requests."""

from __future__ import annotations

import json
from dataclasses import replace

from ingest.box.faults.desk import REST_FAULTS, Desk, Fault
from ingest.box.faults.spoil import ANSWER, skewed
from ingest.box.floor.market import Market
from ingest.box.wire import JSON, Asked, Reply, json_reply, text_of
from utils.rows import NS_PER_MS, NS_PER_S

HTML = b"<!DOCTYPE html><html><head><title>One moment</title></head><body><h1>Please wait</h1></body></html>"
#: Answers of which the body is another, at 200.
_BODIES = {"empty_body": b"", "null_body": b"null", "empty_object": b"{}", "empty_array": b"[]"}
_KINDS = frozenset(REST_FAULTS) - {"clock_skew", "clock_drift"}


def delivered(desk: Desk, venue: str, asked: Asked, reply: Reply, market: Market | None, now_ns: int) -> Reply:
    """The answer as it leaves the box."""
    if not desk.faults or reply.kind != JSON:
        return reply
    query = "&".join(f"{name}={value}" for name, value in asked.query.items())
    subject = f"{venue} {asked.path}?{query}"
    skew_ns = desk.skew_ns(subject, now_ns)
    if skew_ns:
        message = json.loads(reply.body)
        skewed(message, skew_ns)
        reply = replace(reply, body=text_of(message).encode())
    spoiled: list[bytes] = []

    def fits(fault: Fault) -> bool:
        if fault.kind == "duplicate_keys":
            return reply.body.startswith(b"{") and len(reply.body) > 2
        if fault.kind not in ANSWER:
            return True
        message = json.loads(reply.body)
        possible = ANSWER[fault.kind](message, fault, market)
        spoiled[:] = [text_of(message).encode()]
        return possible

    fault = desk.strike(_KINDS, subject, now_ns, fits)
    if fault is None:
        return reply
    if fault.kind in ANSWER:
        return replace(reply, body=spoiled[0])
    return _refusal(fault, venue, now_ns) or _damaged(fault, reply)


def _refusal(fault: Fault, venue: str, now_ns: int) -> Reply | None:
    """An answer that says no; None for faults of other kinds."""
    texts = {"html": HTML, "text": b"Service unavailable"}
    code = (
        {"retCode": 10016, "retMsg": "Server error"} if venue == "bybit" else {"code": -1001, "msg": "Internal error"}
    )
    match fault.kind:
        case "rate_limited":
            reply = json_reply({"code": -1003, "msg": "Too many requests."}, 429)
            if venue == "bybit":
                reply = Reply(b"Too many requests", 429, kind="text/plain")
        case "banned":
            reply = Reply(b"<html><body>I am a teapot: your address is banned</body></html>", 418, kind="text/html")
        case "forbidden":
            reply = Reply(b"<html><body>403 Forbidden: access too frequent</body></html>", 403, kind="text/html")
        case "rate_code":
            reply = _rate_code(fault, venue, now_ns)
        case "server_error" if fault.body == "json":
            reply = json_reply(code, fault.status)
        case "server_error":
            reply = Reply(texts[fault.body], fault.status, kind=f"text/{'html' if fault.body == 'html' else 'plain'}")
        case _:
            return None
    if fault.wait is not None:
        reply.headers["Retry-After"] = f"{fault.wait:g}"
    return reply


def _rate_code(fault: Fault, venue: str, now_ns: int) -> Reply:
    """Too many requests, in the venue's own words."""
    if venue != "bybit":
        return json_reply({"code": -1003, "msg": "Too many requests."}, 429)
    reply = json_reply({"retCode": 10006, "retMsg": "Too many visits!", "result": {}, "time": now_ns // NS_PER_MS})
    reset_ns = now_ns + round((2.0 if fault.wait is None else fault.wait) * NS_PER_S)
    reset = {
        "X-Bapi-Limit": "600",
        "X-Bapi-Limit-Status": "0",
        "X-Bapi-Limit-Reset-Timestamp": str(reset_ns // NS_PER_MS),
    }
    reply.headers.update(reset)
    return reply


def _damaged(fault: Fault, reply: Reply) -> Reply:
    """A right answer that arrives wrong."""
    body = reply.body
    match fault.kind:
        case "html":
            return replace(reply, body=HTML, kind="text/html")
        case "truncated_json":
            return replace(reply, body=body[: len(body) // 2])
        case "cut_body":
            return replace(reply, sent=0.5)
        case "hang_up":
            return replace(reply, sent=0.0)
        case "wrong_type":
            return replace(reply, kind="text/html")
        case "gzip_garbage":
            return replace(reply, headers=reply.headers | {"Content-Encoding": "gzip"})
        case "bom":
            return replace(reply, body=b"\xef\xbb\xbf" + body)
        case "duplicate_keys":
            key = body[1 : body.index(b":")]
            return replace(reply, body=body[:-1] + b"," + key + b":null}")
        case "slow":
            return replace(reply, delay_s=fault.length)
        case "trickle":
            return replace(reply, byte_s=fault.length)
        case _:
            return replace(reply, body=_BODIES[fault.kind])
