"""Bybit's fast door: the same answer as `receive` to every message it takes."""

import itertools
import json
import os
import subprocess
import sys

import pytest

from ingest.wire.streams import Stream
from tests.places import ROOT
from tests.wire import MS, R0, T0, answer, bybit_book, bybit_protocol, play, recording, recordings, tape_protocol, text
from utils.types import BookDelta

BOOK = Stream("book", "BTCUSDT")
SNAPSHOT = bybit_book(100, "64999.9 1.2, 64999.8 3, 7 1", "65000 0.3, 65000.1 0.7", "snapshot")
DELTA = bybit_book(101, "64999.9 0, 7 5, 64999.5 2.50", "65000 0.29", ts=T0 + 20)


class Pair:
    """Two cores at update 100, one with the fast door and one without."""

    def __init__(self):
        self.fast, self.plain = (bybit_protocol(BOOK) for _ in range(2))

    def disagree(self, message):
        """What differs after a message, "" for nothing; then both are back where they were."""
        for core in (self.fast, self.plain):
            core.connected(R0)
            core.receive(SNAPSHOT, R0)
            core.outgoing()
        passed = self.fast.advance(message, R0)
        first = [] if passed else answer(self.fast, message)
        second = answer(self.plain, message)
        seen = [
            (core.book("BTCUSDT"), core.top("BTCUSDT").tobytes(), core.outgoing(), core.counts())
            for core in (self.fast, self.plain)
        ]
        same = [BookDelta] == [type(event) for event in second] if passed else first == second
        return "" if same and seen[0] == seen[1] else f"passed={passed} {message!r}: {seen} {first} {second}"


def all_disagreements(messages):
    pair = Pair()
    return [found for found in map(pair.disagree, messages) if found]


def test_a_plain_delta_goes_through_the_fast_door():
    protocol = bybit_protocol(BOOK)
    protocol.receive(SNAPSHOT, R0)
    assert protocol.advance(DELTA, R0 + 20 * MS)
    view = protocol.book("BTCUSDT")
    assert (101, (T0 + 20) * MS, R0 + 20 * MS) == (view.update_id, view.ts, view.ts_recv)
    assert (((64999.8, 3.0), (64999.5, 2.5), (7.0, 5.0)), (65000.0, 0.29)) == (view.bids, view.asks[0])


@pytest.mark.parametrize(
    "message",
    [
        SNAPSHOT,
        bybit_book(1, "1 1", "2 1"),
        bybit_book(102),
        bybit_book(100),
        bybit_book(101, "65000 1"),
        bybit_book(101, symbol="ETHUSDT"),
        bybit_book(101, s="ETHUSDT"),
        bybit_book(101, "NaN 1"),
        bybit_book(101, ts=T0 + 6_000),
        DELTA.replace(b",", b", "),
        DELTA.decode(),
        b"",
    ],
    ids=range(12),
)
def test_whatever_is_not_plain_is_left_to_receive(message):
    protocol = bybit_protocol(BOOK)
    protocol.receive(SNAPSHOT, R0)
    before = protocol.counts()
    assert not protocol.advance(message, R0)
    assert (before, 100) == (protocol.counts(), protocol.book("BTCUSDT").update_id)


def test_update_1_is_a_restart_even_where_it_follows():
    protocol = bybit_protocol(BOOK)
    protocol.receive(bybit_book(0, "1 1", "2 1", "snapshot"), R0)
    assert not protocol.advance(bybit_book(1, "1 5"), R0)


def test_both_doors_agree_on_a_delta_with_any_byte_changed_lost_or_added():
    strange = b' "{}[],:.-+0159eE\\n\x00\x1f\x7f\xc3\xff'
    places = range(len(DELTA))
    changed = (DELTA[:at] + bytes([byte]) + DELTA[at + 1 :] for at in places for byte in strange)
    added = (DELTA[:at] + bytes([byte]) + DELTA[at:] for at in places for byte in strange)
    lost = (DELTA[:at] + DELTA[at + 1 :] for at in places)
    cut = (DELTA[:at] for at in places)
    assert [] == all_disagreements(itertools.chain(changed, added, lost, cut))


def test_both_doors_agree_on_a_delta_with_any_value_replaced():
    values = [
        0,
        -1,
        1,
        101,
        1.0,
        10**18,
        2**63,
        10**30,
        None,
        True,
        "",
        "0",
        "1",
        "0.0",
        "00.10",
        "-1",
        "NaN",
        "1e5",
        "1,5",
    ]
    values += [
        "9" * 15,
        "9" * 16,
        "9" * 19,
        "0." + "0" * 15 + "1",
        "65000.1",
        "BTCUSDT",
        "ETHUSDT",
        "delta",
        "snapshot",
        [],
        {},
    ]
    values += [
        T0,
        T0 + 5_019,
        T0 + 5_021,
        T0 // 1000,
        T0 * 1000,
        1_420_070_399_999,
        1_420_070_400_000,
        [["1"]],
        [["1", "1", "1"]],
    ]
    values += [
        [["65000", "0"], ["65000", "1"]],
        [[str(i + 1), "1"] for i in range(600)],
        [["64999.9", "0"], ["64999.8", "0"]],
    ]
    plain = json.loads(DELTA)
    messages = [text(plain | {key: value}) for key in ("topic", "type", "ts", "cts", "data", "new") for value in values]
    messages += [
        text(plain | {"data": plain["data"] | {key: value}})
        for key in ("s", "b", "a", "u", "seq", "new")
        for value in values
    ]
    levels = [[["64999.9", value]] for value in values] + [[[value, "1"]] for value in values]
    messages += [text(plain | {"data": plain["data"] | {side: level}}) for side in "ba" for level in levels]
    assert [] == all_disagreements(messages)


def test_both_doors_agree_whatever_the_order_of_keys_and_with_any_of_them_missing_or_twice():
    plain = json.loads(DELTA)
    inner, outer = [*plain["data"].items()], [(key, value) for key, value in plain.items() if key != "data"]
    orders = [
        (itertools.permutations(inner), itertools.combinations(inner, len(inner) - 1)),
        (itertools.permutations(plain.items()), itertools.combinations(plain.items(), len(plain) - 1)),
    ]
    messages = [text({"data": dict(chosen), **dict(outer)}) for chosen in itertools.chain(*orders[0])]
    messages += [text(dict(chosen)) for chosen in itertools.chain(*orders[1])]
    for key, value in [*inner, *outer, ("topic", "orderbook.50.ETHUSDT"), ("u", 55), ("type", "snapshot")]:
        pair = text({key: value})[1:-1]
        messages += [DELTA.replace(b'"data":{', b'"data":{' + pair + b","), DELTA.replace(b"},", b"," + pair + b"},")]
        messages += [DELTA.replace(b"{", b"{" + pair + b",", 1), DELTA[:-1] + b"," + pair + b"}"]
    assert [] == all_disagreements(messages)


@pytest.mark.parametrize("path", recordings("bybit"))
def test_both_doors_give_equal_books_and_events_on_the_recordings(path):
    lines = list(recording(path))
    fast, plain = (tape_protocol(path, lines[0].recv_ns) for _ in range(2))
    events = play(plain, lines)
    assert [event for event in events if not isinstance(event, BookDelta)] == play(fast, lines, fast=True)
    assert fast.counts() == plain.counts()
    books = [symbol for symbol, kind in plain.counts() if kind == "book"]
    assert [fast.book(symbol, 200) for symbol in books] == [plain.book(symbol, 200) for symbol in books]


PLAIN_PYTHON = """
import hashlib
from tests.ingest.venues.bybit.test_fast import SNAPSHOT, BOOK
from tests.wire import MS, R0, T0, bybit_book, bybit_protocol
protocol = bybit_protocol(BOOK)
protocol.receive(SNAPSHOT, R0)
for i in range(400):
    bids = f"{64900 + i * 37 % 97}.{i % 10} {i % 4}.{i % 7}, 64999.9 {1 + i % 3}"
    message = bybit_book(101 + i, bids, f"{65001 + i * 31 % 89} {i % 5}", ts=T0 + 20 * i)
    assert protocol.advance(message, R0 + 20 * i * MS)
print(hashlib.sha256(repr(protocol.book("BTCUSDT")).encode() + protocol.top("BTCUSDT").tobytes()).hexdigest())
"""


def test_compiled_or_in_plain_python_the_book_is_the_same():
    digests = [
        subprocess.run(
            [sys.executable, "-c", PLAIN_PYTHON],
            cwd=ROOT,
            env=os.environ | {"NUMBA_DISABLE_JIT": switch},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for switch in ("0", "1")
    ]
    assert digests[0] == digests[1] != ""
