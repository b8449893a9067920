"""The record of a streamed book: where it stands in its stream, and its levels; and what changes it without a noun.

A venue's fast door is one compiled function from the text of a plain delta to the checked and changed book. What it
does not know, and whatever is wrong, is `ODD`: left to `receive`, which reads all and makes the sentence. So the two
can only differ in what both accept, and tests hold them equal there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingest.wire.fields import AHEAD_NS, ERA_END_MS, ERA_START_MS
from utils.compiled import compiled, inlined, is_cached
from utils.market.book import ASKS, BIDS, BOOK, CAPACITY, BookRow, change, put, settle
from utils.rows import NS_PER_MS, Rows, layout

#: States of a streamed book, and their names.
EMPTY, LIVE, INVALID = 0, 1, 2
STATES = ("empty", "live", "invalid")

#: A fast door answers so when it did nothing.
ODD = 2**63 - 1
#: Longest topic, and most levels a side, that a fast door takes.
TOPIC_BYTES = 64
MOST_CHANGES = 512
#: A venue's fast door: text, receive time (ns, not corrected), lag of the receive clock and FEED records in; receive
#: time less exchange time, ns, out, or ODD.
FastDoor: TypeAlias = Callable[[bytes, int, int, Rows], int]

#: The int64 fields of a FEED record that Python reads too, in order; they stand first.
FIELDS = ("state", "update_id", "ts", "ts_recv", "latest", "moved", "applied", "found")


class FeedRow(Protocol):
    """One streamed book: where it stands in its stream, and its levels."""

    state: int
    update_id: int  # of the last message of its stream; 0 = not known
    ts: int  # exchange time of the last message applied, ns
    ts_recv: int  # its corrected receive time, ns
    latest: int  # latest exchange time of its stream, ns
    moved: int  # receive time (not corrected) at which exchange time last went on, ns
    applied: int  # messages that came through a fast door
    found: int  # index of the feed that was found last; of the first record only
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
    """Give feed `index` its topic and the depth of its book; a topic that is too long never meets a fast door."""
    name = topic.encode()
    feeds["book"]["depth"][index] = depth
    if len(name) <= TOPIC_BYTES:
        feeds["topic_number"][index] = topic_number(name, 0, len(name))
        feeds["topic_length"][index] = len(name)
        feeds["topic"][index, : len(name)] = np.frombuffer(name, np.uint8)


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
                feeds[0].found = index
                return index
    return -1


@inlined
def take(
    feed: FeedRow,
    changes: NDArray[np.float64],
    bids: int,
    asks: int,
    update: int,
    pushed: int,
    matched: int,
    recv_ns: int,
    lag: int,
) -> int:
    """Apply the delta that follows in a live book's stream, if its times can be; answers as a fast door.

    A book that it crosses holds its levels then, and nothing else is changed: they are absolute, so `receive` writes
    the same once more.

    Args:
        feed: the book.
        changes: levels by side and row.
        bids: rows of that side.
        asks: likewise.
        update: the delta's id.
        pushed: when it was sent, ms.
        matched: when the matching engine made it, ms.
        recv_ns: when it was received, ns, not corrected.
        lag: of the receive clock, see `ingest.wire.streams.ReceiveClock`.
    """
    if min(pushed, matched) < ERA_START_MS or max(pushed, matched) >= ERA_END_MS:
        return ODD
    behind = recv_ns - max(pushed, matched) * NS_PER_MS
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
    feed.ts = max(feed.ts, at)
    feed.ts_recv = max(recv_ns - min(lag, behind, 0), feed.ts)
    feed.latest = max(feed.latest, at)
    feed.applied += 1
    return behind


def books_compiled(*doors: FastDoor) -> bool:
    """Whether the machine code of books, and of these fast doors, is on the disk."""
    return is_cached(change) and all(is_cached(door) for door in doors)


def load_books(*doors: FastDoor) -> None:
    """Load the machine code of books and of these fast doors, or make it."""
    nothing, feeds = np.zeros((0, 2)), new_feeds(1)
    change(feeds["book"], 0, nothing, nothing, True)
    for door in doors:
        door(b"{}", 0, 0, feeds)
