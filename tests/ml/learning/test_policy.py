from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ml.learning.policy import taken
from ml.learning.table import LONG, SHORT, Table
from ml.scoring import Scored
from tests.ml.learning.made import made


def told(table: Table, bps: list[list[float]]) -> Scored:
    each = np.array(bps)
    return Scored(each, np.full_like(each, 0.5), each)


def small(rows: int, life: int) -> Table:
    table = made(rows)
    return replace(table, until=table.ts[:, None] + life * table.tf_ns + np.zeros((rows, 2), np.int64))


def test_the_better_direction_is_taken_where_it_expects_enough() -> None:
    table = small(3, 1)
    found = taken(table, told(table, [[1.0, 2.0], [0.4, 0.1], [3.0, -1.0]]), 0.5)
    assert found.row.tolist() == [0, 2]
    assert found.way.tolist() == [SHORT, LONG]
    assert found.net.tolist() == [table.net[0, SHORT], table.net[2, LONG]]


def test_a_symbol_with_a_position_takes_nothing_until_it_is_over() -> None:
    table = small(5, 2)
    assert taken(table, told(table, [[1.0, 0.0]] * 5), 0.5).row.tolist() == [0, 2, 4]


def test_what_the_strategy_does_not_want_is_not_taken() -> None:
    table = replace(small(3, 1), side=np.array([1.0, -1.0, np.nan]))
    found = taken(table, told(table, [[1.0, 9.0], [9.0, 1.0], [9.0, 9.0]]), 0.5)
    assert found.row.tolist() == [0, 1]
    assert found.way.tolist() == [LONG, SHORT]


def test_an_order_that_did_not_fill_is_no_trade_but_waits() -> None:
    table = small(4, 2)
    net = table.net.copy()
    net[0, LONG] = math.nan
    table = replace(table, net=net)
    assert taken(table, told(table, [[1.0, 0.0]] * 4), 0.5).row.tolist() == [2]


def test_an_endless_threshold_takes_nothing() -> None:
    table = small(3, 1)
    assert len(taken(table, told(table, [[1.0, 1.0]] * 3), math.inf)) == 0


def test_what_came_before_keeps_a_symbol_busy_and_is_brought_up_to_date() -> None:
    table = small(4, 1)
    busy = np.array([table.ts[2]])
    found = taken(table, told(table, [[1.0, 0.0]] * 4), 0.5, busy)
    assert found.row.tolist() == [2, 3]
    assert busy.tolist() == [table.until[3, LONG]]


@given(st.integers(0, 10_000), st.floats(-1.0, 1.0))
def test_no_two_trades_of_a_symbol_overlap(seed: int, threshold: float) -> None:
    table = made(200, seed=seed)
    dice = np.random.default_rng(seed)
    table = replace(
        table, symbols=("A", "B"), sym=dice.integers(0, 2, 200), side=dice.choice([0.0, 1.0, -1.0, np.nan], 200)
    )
    found = taken(table, told(table, dice.normal(size=(200, 2)).tolist()), threshold)
    assert (np.diff(found.row) > 0).all()
    for sym in range(2):
        mine = found.sym == sym
        assert (found.ts[mine][1:] >= found.until[mine][:-1]).all()
    assert table.allowed[found.row, found.way].all()
    assert (found.bps >= threshold).all()
