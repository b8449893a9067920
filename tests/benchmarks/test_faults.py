"""The fault table in short; every kind with twenty seeds is marked slow."""

import asyncio
import json
from itertools import product

import pytest

from benchmarks import faults
from benchmarks.faults import PLANS, Reader, Row, Run, try_seeds
from ingest.box.faults.desk import FAULT_KINDS
from utils.types import BookDelta, BookInvalid, BookSnapshot

pytestmark = pytest.mark.slow

BIDS, ASKS = ((99.0, 1.0), (98.0, 2.0)), ((101.0, 3.0),)
SNAPSHOT = BookSnapshot("BTCUSDT", 1, 1, BIDS, ASKS)


#: A few kinds for every test run; the others are tried by hand and by night.
QUICK = [*product(("reset", "gap", "bad_number"), ("bybit", "binance")), ("html", "binance")]


async def test_a_few_kinds_of_faults_hold_every_bar():
    for kind, venue in product(("gap",), ("bybit", "binance")):
        await try_seeds(kind, venue, (0,), 1)  # nothing is compiled while time counts
    rows = await asyncio.gather(*(try_seeds(kind, venue, (1,), 1) for kind, venue in QUICK))
    assert [] == [sentence for row in rows for sentence in row.broken]


@pytest.mark.long
def test_every_kind_of_fault_with_twenty_seeds_holds_every_bar(capsys):
    code = faults.main(["--json"])
    shown = json.loads(capsys.readouterr().out)
    assert [] == [sentence for row in shown["rows"] for sentence in row["broken"]]
    assert 0 == code


def test_every_kind_the_box_knows_is_tried_or_strikes_elsewhere():
    assert set(FAULT_KINDS) == set(PLANS) | faults.ELSEWHERE


def test_a_reader_keeps_the_book_the_events_tell():
    reader = Reader()
    reader.take(SNAPSHOT)
    reader.take(BookDelta("BTCUSDT", 2, 2, ((99.0, 0.0), (97.0, 5.0)), ((100.0, 1.0),)))
    assert (((98.0, 2.0), (97.0, 5.0)), ((100.0, 1.0), (101.0, 3.0))) == reader.top("BTCUSDT", 5)
    assert [] == reader.wrong


def test_a_reader_notes_a_change_of_a_book_that_is_not_live():
    reader = Reader()
    reader.take(SNAPSHOT)
    reader.take(BookInvalid("BTCUSDT", 2, 2, "gap"))
    reader.take(BookDelta("BTCUSDT", 3, 3, ((99.0, 2.0),), ()))
    assert ["BTCUSDT: a change of a book that is not live"] == reader.wrong
    assert ((), ()) == reader.top("BTCUSDT", 5)


def test_a_reader_notes_a_crossed_book():
    reader = Reader()
    reader.take(SNAPSHOT)
    reader.take(BookDelta("BTCUSDT", 3, 3, ((101.0, 2.0),), ()))
    assert ["BTCUSDT: a crossed book"] == reader.wrong


@pytest.mark.parametrize(
    ("change", "bar"),
    [
        ({"noticed": False}, "noticed"),
        ({"wrong": ("BTCUSDT: a crossed book",)}, "no event from an invalid book"),
        ({"equal": False}, "books equal"),
        ({"recovery_s": 2.5}, "recovery within 2 s"),
    ],
)
def test_a_bar_that_does_not_hold_is_said_with_its_seed(change, bar):
    good = {"kind": "gap", "venue": "bybit", "noticed": True, "wrong": (), "equal": True, "recovery_s": 0.1}
    row = Row("gap", "bybit", (Run(**good, seed=1), Run(**good | change, seed=2)))
    (sentence,) = row.broken
    assert f"gap bybit: {bar}: 1 of 2 runs do not, first seed 2" in sentence
    assert "NO" == row.cells()[-1]


def test_an_unknown_kind_is_one_sentence(capsys):
    assert 2 == faults.main(["--kinds", "gapp"])
    assert "saw 'gapp'" in capsys.readouterr().err
