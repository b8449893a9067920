"""Words of other tools: understood however they are spelled, or refused with their row; never the default."""

from __future__ import annotations

import enum
import math

import numpy as np
import pytest

from utils.codes import EXIT_NAMES
from utils.errors import DataError
from utils.words import (
    EXITS,
    KINDS,
    LIQUIDITIES,
    ORDER_SIDES,
    PRINT_SIDES,
    SIGNAL_SIDES,
    STATUSES,
    TRADE_SIDES,
    expected,
    ours,
    ours_or_none,
    plain,
    signs,
)


class PositionSide(enum.Enum):
    LONG = 1
    SHORT = 2


def row(number: int) -> str:
    return f"row {number + 1}"


@pytest.mark.parametrize(
    ("words", "value", "name"),
    [
        *((TRADE_SIDES, value, "long") for value in ("long", "LONG", " Long ", "Buy", "b", 1, 1.0, "1", "+1", "1.0")),
        *((TRADE_SIDES, value, "short") for value in ("short", "SHORT", "Sell", "s", -1, -1.0, "-1", np.int64(-1))),
        (TRADE_SIDES, PositionSide.SHORT, "short"),
        (TRADE_SIDES, "OrderSide.BUY", "long"),
        (ORDER_SIDES, "LONG", "buy"),
        (PRINT_SIDES, "Sell", "sell"),
        (PRINT_SIDES, None, ""),
        (SIGNAL_SIDES, "EXIT", "close"),
        (SIGNAL_SIDES, -0.0, "close"),
        (SIGNAL_SIDES, math.nan, ""),
        (LIQUIDITIES, "MAKER", "maker"),
        (LIQUIDITIES, "T", "taker"),
        (LIQUIDITIES, "LiquiditySide.TAKER", "taker"),
        (KINDS, "post-only", "POST_ONLY"),
        (KINDS, "PostOnly", "POST_ONLY"),
        (KINDS, "Stop Market", "STOP_MARKET"),
        (STATUSES, "Canceled", "CANCELLED"),
        (STATUSES, "PartiallyFilled", "PARTIAL"),
        (EXITS, "take profit", "TAKE_PROFIT"),
    ],
)
def test_a_word_is_known_however_it_is_spelled(words, value, name) -> None:
    assert name == ours_or_none(value, words)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        *((TRADE_SIDES, value) for value in ("up", "", None, math.nan, True, False, 0, 2, -0.5, "lng", "neutral")),
        (PRINT_SIDES, "long"),
        (SIGNAL_SIDES, True),
        (LIQUIDITIES, "mkaer"),
        (KINDS, ""),
        (STATUSES, "open"),
    ],
)
def test_a_word_that_is_not_known_is_none(words, value) -> None:
    assert ours_or_none(value, words) is None


def test_a_column_is_read_whole_or_refused_with_the_row_of_its_first_unknown_word() -> None:
    assert ["long", "short", "long"] == ours(["LONG", -1, "Buy"], TRADE_SIDES, row).tolist()
    with pytest.raises(DataError, match=r"row 3: expected long or short, saw 'lnog'; correct that row"):
        ours(["LONG", "short", "lnog", "what"], TRADE_SIDES, row)
    with pytest.raises(DataError, match=r"row 2: expected long or short, saw True"):
        ours([1, True], TRADE_SIDES, row)


def test_sides_are_numbers_and_nothing_is_nan() -> None:
    found = signs(["Buy", "sell", "flat", None], SIGNAL_SIDES, row)
    np.testing.assert_array_equal([1.0, -1.0, 0.0, np.nan], found)


def test_our_own_names_are_words() -> None:
    assert [*EXIT_NAMES] == [ours_or_none(name, EXITS) for name in EXIT_NAMES]
    assert "market, limit" == expected({"market": "market", "limit": "limit"}).replace(" or ", ", ")
    assert "" == plain(float("nan"))
