"""Rows of prints: which is the first of those that hang together, and that time never goes back."""

import numpy as np

from features.rows.trades import TRADE_EVENT, TRADE_ROW, TRADE_SHARED, prepare_trade


def prepared(*events):
    """The prepared row of each (ts, sym, fresh, side, price, qty)."""
    shared, out = np.zeros(1, TRADE_SHARED), np.zeros(len(events), TRADE_ROW)
    for i, one in enumerate(events):
        prepare_trade(shared[0], np.array([one], TRADE_EVENT)[0], out[i])
    return out


def test_the_first_print_is_fresh_and_so_is_one_before_which_others_may_be_missing():
    rows = prepared((1, 0, 0, 1, 100.0, 1.0), (2, 0, 0, 1, 100.0, 1.0), (5, 0, 1, -1, 99.0, 2.0))
    assert [1, 0, 1] == rows["fresh"].tolist()
    assert [1, 1, 5] == rows["fresh_ts"].tolist()
    assert (3, -1, 99.0, 2.0) == tuple(rows[["count", "side", "price", "qty"]][2].tolist())


def test_time_never_goes_back():
    assert [5, 5] == prepared((5, 0, 0, 1, 100.0, 1.0), (3, 0, 0, 1, 100.0, 1.0))["ts"].tolist()
