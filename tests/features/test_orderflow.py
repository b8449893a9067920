"""Top-of-book measures: golden values, what users hold, and what is refused."""

import math

import numpy as np
import pytest

from features.folds.top_of_book import measures
from features.orderflow import order_book_imbalance, spread_bps, weighted_mid
from features.rows.users import top_of
from ingest.wire.streams import BookView
from tests.wire import R0, bybit_book, bybit_protocol
from utils.errors import DataError
from utils.types import BookSnapshot

BIDS = [[99.0, 3.0], [98.0, 5.0], [97.0, 1.0]]
ASKS = [[101.0, 1.0], [102.0, 2.0]]
CCXT = {"symbol": "BTC/USDT:USDT", "bids": BIDS, "asks": ASKS, "timestamp": None, "nonce": 7}
LEVELS = tuple((price, qty) for price, qty in BIDS), tuple((price, qty) for price, qty in ASKS)
FORMS = {
    "ccxt": CCXT,
    "ccxt with counts": {"bids": [[*level, 4] for level in BIDS], "asks": [[*level, 4] for level in ASKS]},
    "snapshot": BookSnapshot("BTCUSDT", 1, 1, *LEVELS),
    "view": BookView("BTCUSDT", "live", "", 1, 1, 7, *LEVELS),
    "arrays": (np.array(BIDS), np.array(ASKS)),
    "text": {"bids": [["99.0", "3"]], "asks": [["101", "1.0"]]},
}


@pytest.mark.parametrize("book", FORMS.values(), ids=FORMS)
def test_each_form_of_a_book_gives_the_same_measures(book):
    assert (200.0, 0.5, 100.5) == (spread_bps(book), order_book_imbalance(book), weighted_mid(book))


def test_measures_agree_with_the_nouns_bit_for_bit():
    book = BookSnapshot("BTCUSDT", 1, 1, ((64999.9, 1.234),), ((65000.3, 0.377),))
    assert (book.spread_bps, book.weighted_mid) == (spread_bps(book), weighted_mid(book))


def test_imbalance_over_several_levels_takes_their_sums():
    assert (8.0 - 3.0) / 11.0 == order_book_imbalance(CCXT, 2)


def test_a_side_with_fewer_levels_counts_those_it_has():
    assert (9.0 - 3.0) / 12.0 == order_book_imbalance(CCXT, 50)


#: Appendix A of the definitions.
GOLDEN = {"bids": [(100, 10), (99.5, 20), (99, 5)], "asks": [(100.5, 6), (101, 4), (101.5, 30)]}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"levels": 1}, 0.25),
        ({"levels": 2}, 0.5),
        ({"levels": 3}, -0.0666667),
        ({"levels": 3, "decay": 0.5}, 0.1037818),
    ],
)
def test_imbalance_of_the_golden_book(weights, expected):
    assert order_book_imbalance(GOLDEN, **weights) == pytest.approx(expected, abs=1e-7)


def test_spread_and_weighted_mid_of_the_golden_book():
    assert spread_bps(GOLDEN) == pytest.approx(49.87531, abs=1e-5)
    assert weighted_mid(GOLDEN) == 100.3125


def test_distance_lets_near_levels_count_more():
    near = {"bids": [(99.99, 1.0), (99.0, 50.0)], "asks": [(100.01, 2.0)]}
    assert order_book_imbalance(near, 2) > 0.9
    assert order_book_imbalance(near, 2, distance_bps=5.0) == pytest.approx(-1 / 3, abs=1e-6)


@pytest.mark.parametrize("weights", [{"decay": -1.0}, {"distance_bps": 0.0}, {"decay": math.nan}])
def test_weights_that_make_no_sense_are_refused(weights):
    with pytest.raises(DataError, match="expected decay of at least 0"):
        order_book_imbalance(GOLDEN, 3, **weights)


@pytest.mark.parametrize("empty", [("bids",), ("asks",), ("bids", "asks")])
def test_an_empty_side_gives_nan(empty):
    book = CCXT | {side: [] for side in empty}
    assert all(math.isnan(measure(book)) for measure in (spread_bps, order_book_imbalance, weighted_mid))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"bids": [[101.0, 1.0]]}, "crossed"),
        ({"bids": [[101.5, 1.0]]}, "crossed"),
        ({"bids": [[98.0, 1.0], [99.0, 1.0]]}, "best first"),
        ({"asks": [[101.0, 1.0], [101.0, 1.0]]}, "best first"),
        ({"bids": [[math.nan, 1.0]]}, "finite"),
        ({"bids": [[math.inf, 1.0]]}, "finite"),
        ({"bids": [[99.0, 0.0]]}, "above 0"),
        ({"bids": [[-99.0, 1.0]]}, "above 0"),
        ({"bids": None}, "price and quantity"),
        ({"bids": [[99.0]]}, "price and quantity"),
        ({"bids": [["x", "y"]]}, "price and quantity"),
        ({"bids": [99.0, 1.0]}, "price and quantity"),
    ],
)
def test_a_book_that_is_none_is_refused_in_a_sentence(change, sentence):
    with pytest.raises(DataError, match=sentence):
        spread_bps(CCXT | change)


@pytest.mark.parametrize("book", [None, 5, "book", {}, {"bids": []}, ()])
def test_what_is_no_book_at_all_is_refused(book):
    with pytest.raises(DataError, match="price and quantity"):
        spread_bps(book)


def test_no_levels_are_no_imbalance():
    with pytest.raises(DataError, match="levels"):
        order_book_imbalance(CCXT, 0)


def test_a_live_book_has_the_measures_of_its_view_and_none_once_it_is_invalid():
    protocol = bybit_protocol()
    protocol.receive(bybit_book(100, "64999.9 1.2, 64999.8 3", "65000.3 0.3", "snapshot"), R0)
    protocol.advance(bybit_book(101, "64999.9 0.7"), R0)
    top, view = protocol.top("BTCUSDT"), protocol.book("BTCUSDT")
    assert (spread_bps(view), order_book_imbalance(view), weighted_mid(view)) == measures(top)
    protocol.receive(bybit_book(103), R0)
    assert all(math.isnan(value) for value in measures(top))


def test_the_top_of_a_book_holds_prices_of_the_best_and_quantities_of_the_levels_asked_for():
    assert (99.0, 8.0, 101.0, 3.0) == tuple(top_of(CCXT, 2)[0].item())
