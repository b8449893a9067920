"""Codes of records and their names: one table each."""

import pytest

from utils import codes


@pytest.mark.parametrize(
    "table",
    ["LIQUIDITY_NAMES", "KIND_NAMES", "STATUS_NAMES", "ACTION_NAMES", "EXIT_NAMES", "ORDER_REASONS", "HALT_NAMES"],
)
def test_the_code_of_a_name_is_its_place_in_the_table(table):
    names = getattr(codes, table)
    assert names[0] == ""
    assert list(range(1, len(names))) == [getattr(codes, name.upper()) for name in names[1:]]


def test_a_table_holds_each_name_once():
    tables = [value for name, value in vars(codes).items() if name.endswith(("_NAMES", "_REASONS"))]
    assert len(tables) == 15
    assert [len(table) for table in tables] == [len(set(table)) for table in tables]


@pytest.mark.parametrize("table", ["STOP_NAMES", "BOUND_NAMES"])
def test_what_set_a_stop_or_held_a_size_has_a_code_for_each_name(table):
    names = getattr(codes, table)
    mine = {
        "STOP_NAMES": ("BY_BPS", "BY_SIGNAL", "BY_ATR", "BY_FLOOR", "BY_LIQUIDATION"),
        "BOUND_NAMES": (
            "BY_RISK", "BY_FIXED", "BY_KELLY", "BY_LEVERAGE", "BY_VENUE", "BY_NET_LEVERAGE", "BY_HEAT",
            "BY_CORRELATED_HEAT", "BY_CLUSTER", "BY_DEPTH",
        ),
    }[table]  # fmt: skip
    assert list(range(1, len(names))) == [getattr(codes, name) for name in mine]


def test_no_order_is_of_the_kind_that_leaves_the_choice_open():
    assert codes.AUTO not in range(len(codes.KIND_NAMES))


def test_sizing_refuses_by_names_of_its_own():
    assert ("stop_distance", "min_notional") == (codes.RULE_NAMES[codes.NO_STOP], codes.RULE_NAMES[codes.TOO_SMALL])
