from __future__ import annotations

import numpy as np

from ml.learning.table import LONG, SHORT, Table, joined


def table(side: list[float], net: list[list[float]]) -> Table:
    n = len(side)
    ts = np.arange(1, n + 1, dtype=np.int64) * 60_000_000_000
    return Table(
        names=("one",),
        symbols=("BTCUSDT",),
        tf_ns=60_000_000_000,
        ts=ts,
        sym=np.zeros(n, np.int64),
        x=np.arange(n, dtype=np.float64)[:, None],
        side=np.array(side),
        net=np.array(net),
        until=np.column_stack([ts, ts]),
        weight=np.ones((n, 2)),
    )


def test_a_side_allows_its_direction_and_zero_allows_both() -> None:
    allowed = table([1.0, -1.0, 0.0, np.nan], [[0.0, 0.0]] * 4).allowed
    assert allowed[:, LONG].tolist() == [True, False, True, False]
    assert allowed[:, SHORT].tolist() == [False, True, True, False]


def test_a_trade_won_when_it_earned_more_than_its_costs() -> None:
    one = table([0.0, 0.0], [[1.0, 0.0], [np.nan, -1.0]])
    np.testing.assert_array_equal(one.won, [[1.0, 0.0], [np.nan, 0.0]])
    assert one.labelled.tolist() == [[True, True], [False, True]]


def test_taken_apart_and_joined_it_is_the_same() -> None:
    one = table([1.0, -1.0, 0.0], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    again = joined([one.take(slice(0, 1)), one.take(slice(1, None))])
    np.testing.assert_array_equal(again.net, one.net)
    np.testing.assert_array_equal(again.ts, one.ts)
