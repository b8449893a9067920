"""Rows of the tape: the mid that a print is measured against is one that stood before it."""

import math

import numpy as np

from features.rows.tape import PRINT, QUOTE, QUOTES, TAPE_EVENT, TAPE_ROW, TAPE_SHARED, prepare_tape

NAN = math.nan


def quote(ts, bid, ask):
    return (ts, 0, 0, QUOTE, 0, bid, ask, NAN, NAN)


def a_print(ts, fresh=0):
    return (ts, 0, fresh, PRINT, 1, NAN, NAN, 100.0, 1.0)


def prepared(*events):
    """The prepared row of each event."""
    shared, out = np.zeros(1, TAPE_SHARED), np.zeros(len(events), TAPE_ROW)
    for i, one in enumerate(events):
        prepare_tape(shared[0], np.array([one], TAPE_EVENT)[0], out[i])
    return out


def test_the_mid_before_a_print_is_that_of_the_last_quote_stamped_before_it():
    rows = prepared(quote(1, 99.0, 101.0), quote(4, 101.0, 103.0), a_print(4), a_print(5), a_print(3))
    assert [100.0, 102.0, 102.0, 102.0, 102.0] == rows["mid"].tolist()
    # the last one came late: what stood when it happened counts
    assert [100.0, 102.0, 100.0] == rows["mid_before"][2:].tolist()


def test_a_quote_without_a_side_and_a_loss_forget_the_quotes_before():
    rows = prepared(quote(1, 99.0, 101.0), quote(2, 99.0, NAN), a_print(3), quote(4, 99.0, 101.0), a_print(5, fresh=1))
    assert [1, 1, 0, 0, 1] == rows["fresh"].tolist()
    assert np.isnan(rows["mid"][[1, 2, 4]]).all()
    assert np.isnan(rows["mid_before"][[1, 2, 4]]).all()


def test_a_print_that_comes_later_than_the_quotes_that_are_remembered_has_no_mid_before_it():
    quotes = [quote(k + 10, 99.0, 101.0) for k in range(QUOTES + 1)]
    assert math.isnan(prepared(*quotes, a_print(10))["mid_before"][-1])
    assert 100.0 == prepared(*quotes, a_print(12))["mid_before"][-1]
