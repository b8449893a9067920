"""The compiled order book against a dictionary, and its edges."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.market.book import ASKS, BIDS, CAPACITY, best_levels, change, new_books

NOTHING = np.zeros((0, 2))


def rows(*levels):
    return np.array(levels, np.float64).reshape(-1, 2)


def book(bids=(), asks=(), depth=50):
    books = new_books(1, depth)
    change(books, 0, rows(*bids), rows(*asks), anew=True)
    return books


def sides(books):
    return best_levels(books[0], BIDS), best_levels(books[0], ASKS)


def test_levels_are_sorted_best_first_whatever_order_they_come_in():
    books = book([(9.0, 1.0), (11.0, 2.0), (10.0, 3.0)], [(14.0, 1.0), (12.0, 2.0), (13.0, 3.0)])
    assert (((11.0, 2.0), (10.0, 3.0), (9.0, 1.0)), ((12.0, 2.0), (13.0, 3.0), (14.0, 1.0))) == sides(books)


def test_quantity_0_of_a_price_that_is_not_there_changes_nothing():
    books = book([(9.0, 1.0)], [(10.0, 1.0)])
    change(books, 0, rows((8.0, 0.0)), rows((11.0, 0.0)), anew=False)
    assert (((9.0, 1.0),), ((10.0, 1.0),)) == sides(books)


def test_of_one_price_twice_in_a_message_the_last_holds():
    books = book([(9.0, 1.0)])
    change(books, 0, rows((9.0, 5.0), (9.0, 0.0), (9.0, 7.0)), NOTHING, anew=False)
    assert ((9.0, 7.0),) == sides(books)[0]


def test_the_best_goes_and_a_new_best_comes_in_one_message():
    books = book([(9.0, 1.0), (8.0, 1.0)], [(10.0, 1.0)])
    assert not change(books, 0, rows((9.0, 0.0), (9.5, 2.0)), NOTHING, anew=False)
    assert ((9.5, 2.0), (8.0, 1.0)) == sides(books)[0]


def test_a_book_is_trimmed_once_the_message_is_through():
    books = book([(9.0, 1.0), (8.0, 1.0)], depth=2)
    change(books, 0, rows((10.0, 1.0), (9.0, 0.0)), NOTHING, anew=False)
    assert ((10.0, 1.0), (8.0, 1.0)) == sides(books)[0]
    change(books, 0, rows((11.0, 1.0)), NOTHING, anew=False)
    assert ((11.0, 1.0), (10.0, 1.0)) == sides(books)[0]


def test_a_snapshot_forgets_what_was_there():
    books = book([(9.0, 1.0), (8.0, 1.0)], [(10.0, 1.0)])
    change(books, 0, rows((7.0, 1.0)), NOTHING, anew=True)
    assert (((7.0, 1.0),), ()) == sides(books)


@pytest.mark.parametrize(("bid", "crossed"), [(9.9, False), (10.0, True), (10.1, True)])
def test_a_locked_book_counts_as_crossed(bid, crossed):
    assert crossed == change(new_books(1), 0, rows((bid, 1.0)), rows((10.0, 1.0)), anew=True)


def test_a_book_with_an_empty_side_is_not_crossed_and_has_no_best_there():
    books = book([(9.0, 1.0)])
    top = books["top"][0]
    assert (9.0, 1.0, True, True) == (top["bid"], top["bid_qty"], math.isnan(top["ask"]), math.isnan(top["ask_qty"]))


def test_a_full_side_gives_up_its_farthest_level_for_a_nearer_one_and_takes_no_farther_one():
    full = [(float(price), 1.0) for price in range(1, CAPACITY + 1)]
    books = book(full, depth=CAPACITY)
    change(books, 0, rows((CAPACITY + 5.0, 2.0), (0.5, 3.0)), NOTHING, anew=False)
    bids = sides(books)[0]
    assert (CAPACITY, (CAPACITY + 5.0, 2.0), (2.0, 1.0)) == (len(bids), bids[0], bids[-1])


def test_books_of_one_array_do_not_mix():
    books = new_books(2)
    change(books, 0, rows((9.0, 1.0)), NOTHING, anew=True)
    change(books, 1, rows((5.0, 1.0)), NOTHING, anew=True)
    assert [((9.0, 1.0),), ((5.0, 1.0),)] == [best_levels(record, BIDS) for record in books]


CHANGES = st.lists(st.tuples(st.sampled_from([BIDS, ASKS]), st.integers(1, 30), st.integers(0, 3)), max_size=12)


@settings(max_examples=300)
@given(messages=st.lists(CHANGES, max_size=8), depth=st.sampled_from([1, 5, 50]))
def test_a_book_is_what_a_sorted_dictionary_would_be(messages, depth):
    books, model = new_books(1, depth), ({}, {})
    for message in messages:
        parts = ([], [])
        for side, price, qty in message:
            parts[side].append((float(price), float(qty)))
            model[side].pop(float(price), None)
            if qty:
                model[side][float(price)] = float(qty)
        crossed = change(books, 0, rows(*parts[BIDS]), rows(*parts[ASKS]), anew=False)
        for side in (BIDS, ASKS):
            best = sorted(model[side].items(), reverse=side == BIDS)[:depth]
            model[side].clear()
            model[side].update(best)
            assert tuple(best) == best_levels(books[0], side)
        assert crossed == bool(model[BIDS] and model[ASKS] and max(model[BIDS]) >= min(model[ASKS]))
