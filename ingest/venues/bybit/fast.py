"""Bybit's fast door for depth messages: from the text to the checked and changed book in one compiled call.

It knows plain deltas only (`ingest.wire.scan`), extra keys with a text or a whole number; whatever else comes is for
`receive`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ingest.wire.records import LIVE, ODD, find_feed, take
from ingest.wire.scan import CLOSE, COLON, COMMA, OPEN, POINT, level_list, quoted, skip, whole, word
from utils.compiled import compiled, inlined
from utils.market.book import ASKS, BIDS
from utils.rows import Rows

#: Keys and words of a message as numbers, see `word`.
TOPIC, TYPE, TS, CTS, DATA, SYMBOL, BID_LIST, ASK_LIST, UPDATE, DELTA = (
    int.from_bytes(name, "big")
    for name in (b"topic", b"type", b"ts", b"cts", b"data", b"s", b"b", b"a", b"u", b"delta")
)

#: What `scan` answers to a message that is no plain delta.
NOT_PLAIN = (-1, -1, -1, -1, -1, -1, -1, -1, -1)


@inlined
def scan(text: bytes, changes: NDArray[np.float64]) -> tuple[int, int, int, int, int, int, int, int, int]:
    """Read a plain delta; its levels go to `changes`.

    Returns:
        Where topic and symbol begin and end; ts and cts, ms, -1 = not there; update id; levels of each side.
    """
    if len(text) == 0 or text[0] != OPEN:
        return NOT_PLAIN
    topic_start = topic_end = symbol_start = symbol_end = ts = matched = update = bids = asks = -1
    delta = inside = False
    at = 1
    while True:
        at, key = word(text, at)
        if at < 0 or at >= len(text) or text[at] != COLON:
            return NOT_PLAIN
        at += 1
        if inside:
            if key == SYMBOL and symbol_end < 0:
                symbol_start, symbol_end = quoted(text, at)
                at = symbol_end + 1 if symbol_end > 0 else -1
            elif (key == BID_LIST and bids < 0) or (key == ASK_LIST and asks < 0):
                side = BIDS if key == BID_LIST else ASKS
                at, count = level_list(text, at, changes, side)
                bids, asks = (count, asks) if side == BIDS else (bids, count)
            elif key == UPDATE and update < 0:
                at, update = whole(text, at)
            elif key in (SYMBOL, BID_LIST, ASK_LIST, UPDATE):  # twice
                return NOT_PLAIN
            else:
                at = skip(text, at)
        elif key == TOPIC and topic_end < 0:
            topic_start, topic_end = quoted(text, at)
            at = topic_end + 1 if topic_end > 0 else -1
        elif key == TYPE and not delta:
            at, kind = word(text, at)
            delta = kind == DELTA
        elif key == TS and ts < 0:
            at, ts = whole(text, at)
        elif key == CTS and matched < 0:
            at, matched = whole(text, at)
        elif key == DATA and bids < 0 and at < len(text) and text[at] == OPEN:
            inside = True
            at += 1
            continue
        elif key in (TOPIC, TYPE, TS, CTS, DATA):
            return NOT_PLAIN
        else:
            at = skip(text, at)
        if inside and 0 <= at < len(text) and text[at] == CLOSE:
            inside = False
            at += 1
        if at < 0 or at >= len(text):
            return NOT_PLAIN
        if text[at] == COMMA:
            at += 1
        elif text[at] == CLOSE and not inside and at == len(text) - 1 and delta and bids >= 0 and asks >= 0:
            return topic_start, topic_end, symbol_start, symbol_end, ts, matched, update, bids, asks
        else:
            return NOT_PLAIN


@inlined
def names_symbol(text: bytes, topic_start: int, topic_end: int, symbol_start: int, symbol_end: int) -> bool:
    """Is the symbol the last part of the topic?"""
    offset = topic_end - symbol_end
    if symbol_end < 0 or symbol_start + offset <= topic_start or text[symbol_start + offset - 1] != POINT:
        return False
    same = symbol_start
    while same < symbol_end and text[same] == text[same + offset]:
        same += 1
    return same == symbol_end


@compiled
def advance(text: bytes, recv_ns: int, lag: int, feeds: Rows) -> int:
    """Check a plain delta whole, then apply it to its live book.

    Args:
        text: the message.
        recv_ns: when it was received, ns, not corrected.
        lag: of the receive clock, see `ingest.wire.streams.ReceiveClock`.
        feeds: FEED records, at least one.

    Returns:
        Receive time less exchange time, ns; ODD = the message is for `receive`.
    """
    changes = feeds[0].changes
    topic_start, topic_end, symbol_start, symbol_end, ts, matched, update, bids, asks = scan(text, changes)
    if topic_end < 0 or not names_symbol(text, topic_start, topic_end, symbol_start, symbol_end):
        return ODD
    index = find_feed(feeds, text, topic_start, topic_end)
    if index < 0:
        return ODD
    feed = feeds[index]
    if feed.state != LIVE or update == 1 or update != feed.update_id + 1:
        return ODD
    return take(feed, changes, bids, asks, update, ts, matched if matched >= 0 else ts, recv_ns, lag)
