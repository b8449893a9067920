"""The fast door for depth messages: from the text to the checked and changed book in one compiled call.

It knows plain messages only: no white space, ASCII without escapes, decimal numbers of at most 15 digits, extra keys
with a text or a whole number. Whatever else comes, and whatever is wrong, is `ODD`: left to `receive`, which reads all
of JSON and makes the sentence. So the two can only differ in what both accept, and a test holds them equal there.

Numbers are exact: digits without point below 2^53 and powers of ten to 10^22 are float64 without error, and one
division rounds once, as reading the text does (W. D. Clinger, How to read floating point numbers accurately, 1990).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from utils.compiled import compiled, inlined, is_cached
from utils.market.book import ASKS, BIDS, BOOK, CAPACITY, BookRow, change, put, settle
from utils.rows import NS_PER_MS, NS_PER_S, Rows, layout

#: States of a streamed book, and their names.
EMPTY, LIVE, INVALID = 0, 1, 2
STATES = ("empty", "live", "invalid")

#: Exchange times are milliseconds between 2015 and 2100: seconds and microseconds fall outside.
ERA_START_MS, ERA_END_MS = 1_420_070_400_000, 4_102_444_800_000
#: Exchange time may be so far ahead of the corrected receive time; beyond it the stamp is wrong.
AHEAD_NS = 5 * NS_PER_S

#: `advance` answers so when it did nothing.
ODD = 2**63 - 1
#: Longest topic, and most levels a side, that the fast door takes.
TOPIC_BYTES = 64
MOST_CHANGES = 512

QUOTE, COMMA, POINT, COLON = 34, 44, 46, 58
ZERO, NINE, OPEN_LIST, BACKSLASH, CLOSE_LIST, OPEN, CLOSE = 48, 57, 91, 92, 93, 123, 125
#: Keys and words of a message as numbers, see `word`.
TOPIC, TYPE, TS, CTS, DATA, SYMBOL, BID_LIST, ASK_LIST, UPDATE, DELTA = (
    int.from_bytes(name, "big")
    for name in (b"topic", b"type", b"ts", b"cts", b"data", b"s", b"b", b"a", b"u", b"delta")
)
POWERS = np.array([float(f"1e{i}") for i in range(16)])

#: The int64 fields of a FEED record that Python reads too, in order; they stand first.
FIELDS = ("state", "update_id", "ts", "ts_recv", "latest", "moved", "applied")


class FeedRow(Protocol):
    """One streamed book: where it stands in its stream, and its levels."""

    state: int
    update_id: int  # of the last message of its stream; 0 = not known
    ts: int  # exchange time of the last message applied, ns
    ts_recv: int  # its corrected receive time, ns
    latest: int  # latest exchange time of its stream, ns
    moved: int  # receive time (not corrected) at which exchange time last went on, ns
    applied: int  # messages that came through the fast door
    topic_number: int
    topic_length: int
    topic: NDArray[np.uint8]
    changes: NDArray[np.float64]  # room for a message's levels: side, row, price and quantity; of the first record only
    book: BookRow


FEED = layout(
    *((name, np.int64) for name in FIELDS),
    ("topic_number", np.int64),
    ("topic_length", np.int64),
    ("topic", np.uint8, (TOPIC_BYTES,)),
    ("changes", np.float64, (2, MOST_CHANGES, 2)),
    ("book", BOOK),
)


@compiled
def topic_number(text: bytes, start: int, end: int) -> int:
    """A number for text[start:end]: equal texts have equal numbers, others seldom."""
    value = 0
    for i in range(start, end):
        value += text[i] << ((i - start) & 31)
    return value


def new_feeds(count: int) -> Rows:
    """Empty feeds."""
    return np.zeros(count, FEED)


def name_feed(feeds: Rows, index: int, topic: str, depth: int = CAPACITY) -> None:
    """Give feed `index` its topic and the depth of its book; a topic that is too long never meets the fast door."""
    name = topic.encode()
    feeds["book"]["depth"][index] = depth
    if len(name) <= TOPIC_BYTES:
        feeds["topic_number"][index] = topic_number(name, 0, len(name))
        feeds["topic_length"][index] = len(name)
        feeds["topic"][index, : len(name)] = np.frombuffer(name, np.uint8)


@inlined
def text_end(text: bytes, at: int) -> int:
    """Where the text that begins at `at`, behind its quote, has its closing quote; -1 = it is not plain."""
    for i in range(at, len(text)):
        byte = text[i]
        if byte == QUOTE:
            return i
        if byte < 32 or byte > 126 or byte == BACKSLASH:
            return -1
    return -1


@inlined
def whole(text: bytes, at: int) -> tuple[int, int]:
    """(end, value) of the whole number at `at`, at most 18 digits; end -1 = it is none."""
    value = 0
    i = at
    while i < len(text) and ZERO <= text[i] <= NINE:
        value = value * 10 + (text[i] - ZERO)
        i += 1
        if i - at > 18:
            return -1, 0
    if i == at or (text[at] == ZERO and i - at > 1):
        return -1, 0
    return i, value


@inlined
def decimal(text: bytes, at: int) -> tuple[int, float]:
    """(end, value) of the quoted decimal whose quote is at `at`, at most 15 digits; end -1 = it is none."""
    if at >= len(text) or text[at] != QUOTE:
        return -1, 0.0
    mantissa, digits, point = 0, 0, -1
    for i in range(at + 1, len(text)):
        byte = text[i]
        if ZERO <= byte <= NINE:
            mantissa = mantissa * 10 + (byte - ZERO)
            digits += 1
        elif byte == POINT and point < 0 and digits > 0:
            point = digits
        elif byte == QUOTE and 0 < digits <= 15 and digits != point:
            return i + 1, float(mantissa) if point < 0 else mantissa / POWERS[digits - point]
        else:
            break
    return -1, 0.0


@inlined
def level_list(text: bytes, at: int, rows: NDArray[np.float64], side: int) -> tuple[int, int]:
    """(end, count) of the list of levels at `at`, written to `rows`; end -1 = it is none, or one is not legal."""
    if at + 1 < len(text) and text[at] == OPEN_LIST and text[at + 1] == CLOSE_LIST:
        return at + 2, 0
    count = 0
    while at + 1 < len(text) and count < MOST_CHANGES:
        if text[at] != (COMMA if count else OPEN_LIST) or text[at + 1] != OPEN_LIST:
            return -1, 0
        at, price = decimal(text, at + 2)
        if at < 0 or at >= len(text) or text[at] != COMMA or price <= 0.0:
            return -1, 0
        at, qty = decimal(text, at + 1)
        if at < 0 or at + 1 >= len(text) or text[at] != CLOSE_LIST:
            return -1, 0
        rows[side, count, 0] = price
        rows[side, count, 1] = qty
        count += 1
        at += 1
        if text[at] == CLOSE_LIST:
            return at + 1, count
    return -1, 0


@inlined
def word(text: bytes, at: int) -> tuple[int, int]:
    """(end, number) of the quoted text whose quote is at `at`: its bytes as one number, 0 beyond seven of them."""
    if at >= len(text) or text[at] != QUOTE:
        return -1, 0
    number = 0
    for i in range(at + 1, min(at + 9, len(text))):
        byte = text[i]
        if byte == QUOTE:
            return i + 1, number
        if byte < 32 or byte > 126 or byte == BACKSLASH:
            return -1, 0
        number = number * 256 + byte
    end = text_end(text, at + 1)
    return end + 1 if end >= 0 else -1, 0


@inlined
def quoted(text: bytes, at: int) -> tuple[int, int]:
    """(start, end) of what stands between quotes at `at`; end -1 = it is not plain, or nothing."""
    if at >= len(text) or text[at] != QUOTE:
        return -1, -1
    end = text_end(text, at + 1)
    return (at + 1, end) if end > at + 1 else (-1, -1)


@inlined
def skip(text: bytes, at: int) -> int:
    """Where a text or whole number that is not looked at ends; -1 = it is neither."""
    if at < len(text) and text[at] == QUOTE:
        end = text_end(text, at + 1)
        return end + 1 if end >= 0 else -1
    end, _ = whole(text, at)
    return end


@inlined
def find_feed(feeds: Rows, text: bytes, start: int, end: int) -> int:
    """Index of the feed whose topic is text[start:end]; -1 = there is none."""
    number = topic_number(text, start, end)
    for index in range(len(feeds)):
        feed = feeds[index]
        if feed.topic_number == number and feed.topic_length == end - start:
            same = 0
            while same < end - start and feed.topic[same] == text[start + same]:
                same += 1
            if same == end - start:
                return index
    return -1


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
        Receive time less exchange time, ns; ODD = the message is for `receive`. A book that this message crosses holds
        its levels then, and nothing else is changed: they are absolute, so `receive` writes the same once more.
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
    if matched < 0:
        matched = ts
    if min(ts, matched) < ERA_START_MS or max(ts, matched) >= ERA_END_MS:
        return ODD
    behind = recv_ns - max(ts, matched) * NS_PER_MS
    if behind - min(lag, 0) < -AHEAD_NS:
        return ODD

    book = feed.book
    for i in range(bids):
        put(book, BIDS, changes[BIDS, i, 0], changes[BIDS, i, 1])
    for i in range(asks):
        put(book, ASKS, changes[ASKS, i, 0], changes[ASKS, i, 1])
    if settle(book):
        return ODD
    at = matched * NS_PER_MS
    if at > feed.ts:
        feed.moved = recv_ns
    feed.update_id = update
    feed.ts = at
    feed.ts_recv = recv_ns - min(lag, behind, 0)
    feed.latest = max(feed.latest, at)
    feed.applied += 1
    return behind


def books_compiled() -> bool:
    """Whether the machine code of books is on the disk."""
    return is_cached(advance)


def load_books() -> None:
    """Load the machine code of books, or make it."""
    nothing, feeds = np.zeros((0, 2)), new_feeds(1)
    change(feeds["book"], 0, nothing, nothing, True)
    advance(b"{}", 0, 0, feeds)
