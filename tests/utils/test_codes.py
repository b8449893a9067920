"""Codes of records and their names: one table each."""

import pytest

from utils import codes


@pytest.mark.parametrize(
    "table", ["LIQUIDITY_NAMES", "KIND_NAMES", "STATUS_NAMES", "ACTION_NAMES", "EXIT_NAMES", "ORDER_REASONS"]
)
def test_the_code_of_a_name_is_its_place_in_the_table(table):
    names = getattr(codes, table)
    assert names[0] == ""
    assert list(range(1, len(names))) == [getattr(codes, name.upper()) for name in names[1:]]


def test_a_table_holds_each_name_once():
    tables = [value for name, value in vars(codes).items() if name.endswith(("_NAMES", "_REASONS"))]
    assert len(tables) == 11
    assert [len(table) for table in tables] == [len(set(table)) for table in tables]


def test_sizing_refuses_by_names_of_its_own():
    assert ("stop_distance", "min_notional") == (codes.RULE_NAMES[codes.NO_STOP], codes.RULE_NAMES[codes.TOO_SMALL])
