"""Rows of the book: what one event did to a level, and where nothing may be differenced."""

import math

import numpy as np
import pytest

from features.rows.book import BOOK_EVENT, BOOK_ROW, BOOK_SHARED, LEVELS, gone, level_flow, prepare_book
from utils.market.book import ASKS, BIDS

BID, ASK = 1, -1


@pytest.mark.parametrize(
    ("new", "old", "direction", "flow"),
    [
        ((100.0, 5.0), (100.0, 3.0), BID, 2.0),  # the queue grew
        ((100.0, 3.0), (100.0, 5.0), BID, -2.0),  # it shrank
        ((100.1, 5.0), (100.0, 3.0), BID, 5.0),  # the best bid came up: all of it is new
        ((99.9, 5.0), (100.0, 3.0), BID, -3.0),  # it went down: all of it is gone
        ((99.9, 5.0), (100.0, 3.0), ASK, 5.0),  # the best ask came down
        ((100.1, 5.0), (100.0, 3.0), ASK, -3.0),
        ((math.nan, 0.0), (100.0, 3.0), BID, -3.0),  # the level is gone
        ((100.0, 3.0), (math.nan, 0.0), ASK, 3.0),  # there was none
        ((math.nan, 0.0), (math.nan, 0.0), BID, 0.0),
    ],
)
def test_the_flow_of_a_level_is_what_was_added_towards_the_price(new, old, direction, flow):
    assert flow == level_flow(*new, *old, direction)


def event(ts, bid=99.0, ask=101.0, qty=1.0, fresh=0):
    """A book of one level a side, at most."""
    row = np.zeros(1, BOOK_EVENT)
    row["ts"], row["fresh"], row["prices"] = ts, fresh, np.nan
    for side, price in ((BIDS, bid), (ASKS, ask)):
        if not math.isnan(price):
            row["prices"][0, side, 0], row["qtys"][0, side, 0] = price, qty
    return row


def prepared(*events):
    """The prepared row of each event."""
    shared, out = np.zeros(1, BOOK_SHARED), np.zeros(len(events), BOOK_ROW)
    for i, one in enumerate(events):
        prepare_book(shared[0], one[0], out[i])
    return out


def test_flow_is_that_of_the_bid_less_that_of_the_ask_and_none_on_a_fresh_row():
    rows = prepared(event(1), event(2, bid=99.5), event(3, bid=99.5, qty=4.0, fresh=1))
    assert [0.0, 1.0, 0.0] == rows["flow"][:, 0].tolist()
    assert [1, 0, 1] == rows["fresh"].tolist()
    assert [1, 1, 3] == rows["whole_ts"].tolist()


def test_a_row_after_an_empty_side_is_fresh_too():
    rows = prepared(event(1), event(2, ask=math.nan), event(3), event(4))
    assert [1, 0, 1, 1] == rows["both"].tolist()
    assert [1, 1, 1, 0] == rows["fresh"].tolist()
    assert math.isnan(rows["mid"][1])


def test_time_never_goes_back():
    assert [5, 5, 6] == prepared(event(5), event(3), event(6))["ts"].tolist()


def test_a_book_that_is_gone_is_a_fresh_row_without_levels():
    row = np.ones(1, BOOK_EVENT)
    gone(3, 7, row[0])
    assert (7, 3, 1) == tuple(row[["ts", "sym", "fresh"]][0].tolist())
    assert np.isnan(row["prices"]).all()
    assert (1, 2, LEVELS) == row["qtys"].shape
    assert not row["qtys"].any()
