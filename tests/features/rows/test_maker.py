"""Events to rows: what each event becomes, and what it says of those before it."""

import math
from itertools import islice

import numpy as np
import pytest

from features.rows.book import BAND_BPS
from features.rows.maker import GONE, OWN, RECORD, OwnBooks, RowMaker, rows_of
from features.rows.sources import EVENT_SOURCES, Source
from features.rows.tape import PRINT, QUOTE
from tests.features.events import a_print, delta, snapshot, stream
from utils.errors import DataError, InvariantError
from utils.market.book import change, new_books
from utils.types import BookDelta, BookInvalid, BookSnapshot, Trade


def test_a_book_event_shows_the_best_levels_and_what_lies_near():
    book, tape = RowMaker(["X"]).rows(snapshot(5, ((100.0, 1.0), (99.99, 2.0), (99.0, 4.0)), ((100.02, 3.0),)))
    assert (Source.BOOK, Source.TAPE) == (book[0], tape[0])
    row = book[1][0]
    assert [100.0, 99.99, 99.0] == row["prices"][0, :3].tolist()
    assert np.isnan(row["prices"][0, 3:]).all()
    assert [1.0, 2.0, 4.0, 0.0] == row["qtys"][0, :4].tolist()
    assert [3.0, 3.0] == row["near"].tolist()  # 99.0 lies 100 bps off, the band is narrower
    assert BAND_BPS < 100.0
    assert (5, 0, 1, QUOTE, 0, 100.0, 100.02) == tuple(tape[1][0].tolist()[:7])


def test_a_print_is_a_row_of_its_own_and_of_the_tape():
    maker = RowMaker(["X"])
    maker.rows(snapshot(1))
    trade, tape = maker.rows(a_print(2, side=-1, price=99.0, qty=0.5))
    assert (2, 0, 1, -1, 99.0, 0.5) == trade[1][0].tolist()  # the first one: others may be missing before it
    assert (2, 0, 0, PRINT, -1) == tape[1][0].tolist()[:5]
    assert 0 == maker.rows(a_print(3))[0][1]["fresh"][0]


def test_the_tape_has_a_quote_only_where_a_best_price_changed():
    maker = RowMaker(["X"])
    maker.rows(snapshot(1))
    assert [Source.BOOK] == [source for source, _ in maker.rows(delta(2, bids=((99.0, 5.0),)))]
    for changed in ({"bids": ((100.0, 1.0),)}, {"asks": ((100.5, 1.0),)}):
        assert [Source.BOOK, Source.TAPE] == [source for source, _ in maker.rows(delta(3, **changed))]
    assert [Source.BOOK] == [source for source, _ in maker.rows(delta(4, asks=((100.5, 2.0),)))]


def test_after_a_gap_everything_waits_for_a_snapshot_and_begins_anew():
    maker = RowMaker(["X"])
    assert () == maker.rows(delta(1, bids=((99.0, 1.0),)))
    maker.rows(snapshot(2))
    (_, lost), (_, quote) = maker.rows(BookInvalid("X", 3, 3, "gap"))
    assert (1, True) == (lost["fresh"][0], bool(np.isnan(lost["prices"]).all()))
    assert (1, True) == (quote["fresh"][0], math.isnan(quote["bid"][0]))
    assert () == maker.rows(delta(4, bids=((98.0, 1.0),)))
    assert 1 == maker.rows(a_print(4))[0][1]["fresh"][0]
    assert 1 == maker.rows(snapshot(5))[0][1]["fresh"][0]


def test_a_delta_that_crosses_the_book_ends_it():
    maker = RowMaker(["X"])
    maker.rows(snapshot(1))
    (_, row), _ = maker.rows(delta(2, bids=((102.0, 1.0),)))
    assert np.isnan(row["prices"]).all()
    assert () == maker.rows(delta(3, bids=((99.0, 1.0),)))


def test_an_event_of_an_unknown_symbol_is_refused():
    with pytest.raises(DataError, match="expected one of X, saw Y"):
        RowMaker(["X"]).rows(a_print(1, symbol="Y"))


def test_rows_of_many_events_are_those_of_one_after_the_other():
    events, maker = list(stream(200)), RowMaker(["X"])
    single = [row for event in events for row in maker.rows(event)]
    for source, rows in rows_of(events, ["X"]).items():
        assert rows.tobytes() == b"".join(row.tobytes() for of, row in single if of is source)
        assert len(rows)


def test_a_source_without_events_has_no_rows():
    found = rows_of([a_print(1)], ["X"])
    assert {Source.BOOK: 0, Source.TRADE: 1, Source.TAPE: 1} == {source: len(found[source]) for source in EVENT_SOURCES}


def test_a_book_that_is_given_makes_the_rows_of_its_nouns():
    given, books = RowMaker(["X"]), new_books(1)
    noun = RowMaker(["X"])
    for event in islice(stream(), 300):
        if isinstance(event, BookSnapshot):
            given.rows(event)
        if not isinstance(event, Trade):
            sides = (np.array(side).reshape(-1, 2) for side in (event.bids, event.asks))
            change(books, 0, *sides, isinstance(event, BookSnapshot))
        rows = noun.rows(event)
        if isinstance(event, BookDelta):
            moved = given.moved(0, event.ts, books)
            assert [(source, row.tobytes()) for source, row in moved] == [(of, row.tobytes()) for of, row in rows]


def test_a_book_that_is_given_where_none_was_known_is_fresh():
    books = new_books(1)
    change(books, 0, np.array([[99.0, 1.0]]), np.array([[101.0, 1.0]]), True)
    maker = RowMaker(["X"])
    assert [1, 0] == [maker.moved(0, ts, books)[0][1]["fresh"][0] for ts in (1, 2)]
    maker.rows(BookInvalid("X", 3, 3, "gap"))
    assert 1 == maker.moved(0, 4, books)[0][1]["fresh"][0]


def test_a_book_put_together_from_nouns_says_what_an_event_did_and_misses_none():
    books = OwnBooks(["X"])
    assert GONE == books.take(BookInvalid("X", 1, 1, "gap"), 0, OWN)
    assert None is books.take(delta(2, bids=((99.0, 1.0),)), 0, 0)
    with pytest.raises(InvariantError, match="X: expected its book's record, as before, saw a delta"):
        books.take(delta(3), 0, RECORD)
