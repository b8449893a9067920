"""The two sides of a book, in every form that users hold one."""

import math

import numpy as np
import pytest

from features.rows.users import book_rows, top_of
from utils.errors import DataError
from utils.market.sides import sides
from utils.types import BookSnapshot

BIDS_OF = [[100.0, 10.0], [99.5, 20.0], [99.0, 5.0]]
ASKS_OF = [[100.5, 6.0], [101.0, 4.0]]
CCXT = {"bids": BIDS_OF, "asks": ASKS_OF, "timestamp": 1_700_000_000_000}


def snapshot():
    return BookSnapshot("BTCUSDT", 1, 1, tuple(map(tuple, BIDS_OF)), tuple(map(tuple, ASKS_OF)))


@pytest.mark.parametrize(
    "book",
    [CCXT, snapshot(), (BIDS_OF, ASKS_OF), (np.array(BIDS_OF), np.array(ASKS_OF)), book_rows([CCXT])[0]],
    ids=["ccxt", "noun", "lists", "arrays", "row"],
)
def test_every_form_of_a_book_has_the_same_sides(book):
    assert (BIDS_OF, ASKS_OF) == tuple(side.tolist() for side in sides(book))


def test_a_record_of_the_best_has_one_level_and_an_empty_side_none():
    assert ([BIDS_OF[0]], [ASKS_OF[0]]) == tuple(side.tolist() for side in sides(top_of(CCXT)))
    assert ([], ASKS_OF) == tuple(side.tolist() for side in sides(([], ASKS_OF)))


@pytest.mark.parametrize(
    ("book", "sentence"),
    [
        ((BIDS_OF[::-1], ASKS_OF), "levels best first"),
        ((BIDS_OF, [[100.0, 1.0]]), "best bid below the best ask, saw bid 100 and ask 100"),
        ((BIDS_OF, [[math.nan, 1.0]]), "asks: expected finite prices"),
        ((BIDS_OF, [[101.0, 0.0]]), "asks: expected finite prices and quantities above 0"),
        (([["much", 1.0]], ASKS_OF), "bids: expected rows of price and quantity"),
        ({"bids": BIDS_OF}, "asks: expected rows of price and quantity"),
        (3.0, "bids: expected rows of price and quantity, saw 3.0"),
    ],
)
def test_what_is_no_book_is_refused_with_a_sentence(book, sentence):
    with pytest.raises(DataError, match=sentence):
        sides(book)
