"""Positions as users hold them: nouns, dicts of ccxt, frames; and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest

from risk.held import held, known_symbol, number, price_for, prices_of, side_of
from utils.errors import DataError
from utils.types import Position

CCXT = {
    "info": {}, "id": None, "symbol": "BTC/USDT:USDT", "timestamp": 1, "contracts": 2.0, "contractSize": 0.5,
    "side": "short", "entryPrice": 100.0, "markPrice": 101.0, "liquidationPrice": 150.0, "stopLossPrice": 105.0,
    "notional": 101.0, "leverage": 3.0, "unrealizedPnl": -1.0, "marginMode": None,
}  # fmt: skip
BTC = ("BTCUSDT", -1, 1.0, 100.0, 105.0, 150.0, 101.0)


def test_a_position_of_ccxt_is_read():
    assert [BTC] == held([CCXT])


def test_a_frame_of_them_is_read_and_an_empty_cell_is_none():
    frame = pd.DataFrame([CCXT, CCXT | {"symbol": "ETHUSDT", "stopLossPrice": math.nan}])
    assert [BTC, ("ETHUSDT", -1, 1.0, 100.0, 0.0, 150.0, 101.0)] == held(frame)


def test_our_nouns_are_read_in_a_list_or_by_symbol():
    noun = Position("BTCUSDT", -2.0, 100.0, 0, stop=105.0)
    assert [("BTCUSDT", -1, 2.0, 100.0, 105.0, 0.0, 0.0)] == held([noun]) == held({"BTCUSDT": noun})


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTC/USDT", "BTC/USDT:USDT", "BTC-USDT"])
def test_a_symbol_is_one_in_every_spelling(symbol):
    assert [BTC] == held([CCXT | {"symbol": symbol}])
    assert {"BTCUSDT": 1.0} == prices_of({symbol: 1.0})


def test_other_names_and_whole_numbers_are_read():
    row = {"symbol": "BTCUSDT", "qty": np.int64(-1), "entry_price": 100, "stop": 105, "liquidation_price": 150.0}
    assert [("BTCUSDT", -1, 1.0, 100.0, 105.0, 150.0, 0.0)] == held([row])


def test_a_closed_position_is_none():
    assert [] == held([CCXT | {"contracts": 0.0, "side": None, "entryPrice": None}])


def test_a_level_of_nothing_or_zero_is_none():
    found = held([CCXT | {"stopLossPrice": 0.0, "liquidationPrice": None}])[0]
    assert (0.0, 0.0) == (found.stop, found.liquidation)


def test_stops_may_come_beside_and_a_position_keeps_its_own():
    bare = CCXT | {"symbol": "ETHUSDT", "stopLossPrice": None}
    assert [105.0, 110.0] == [one.stop for one in held([CCXT, bare], {"ETH/USDT": 110.0, "BTCUSDT": 1.0})]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"contracts": "2.0"}, "row 0, contracts: expected a finite number, saw '2.0'; give a number, not a text"),
        ({"contracts": math.inf}, "contracts"),
        ({"contracts": None}, "expected 'contracts'"),
        ({"contracts": True}, "contracts"),
        ({"contracts": -1.0, "side": "long"}, "quantity above 0 of a long"),
        ({"contractSize": 0.0}, "contractSize"),
        ({"entryPrice": None}, "expected 'entryPrice'"),
        ({"entryPrice": "100"}, "entryPrice"),
        ({"stopLossPrice": -5.0}, "stopLossPrice"),
        ({"markPrice": math.inf}, "markPrice"),
        ({"side": "sideways"}, "expected long or short, saw 'sideways'"),
        ({"symbol": None}, "expected 'symbol'"),
        ({"symbol": "BTC/USD:BTC"}, "settled in its coin"),
        ({"symbol": 7}, "symbol"),
    ],
)
def test_a_wrong_field_is_one_sentence_that_names_row_and_field(wrong, word):
    with pytest.raises(DataError) as refused:
        held([CCXT | wrong])
    assert word in str(refused.value)


@pytest.mark.parametrize("wrong", ["BTCUSDT", 7, CCXT, [7], Position("BTCUSDT", 1.0, 1.0, 0)])
def test_what_is_no_list_of_positions_is_refused(wrong):
    with pytest.raises(DataError):
        held(wrong)


def test_a_column_that_stands_twice_is_refused():
    frame = pd.DataFrame([CCXT])
    with pytest.raises(DataError, match="each column once"):
        held(pd.concat([frame, frame], axis=1))


def test_a_symbol_in_two_spellings_has_one_price():
    with pytest.raises(DataError, match="expected BTCUSDT once"):
        prices_of({"BTCUSDT": 1.0, "BTC/USDT": 2.0})
    with pytest.raises(DataError, match="expected prices by symbol"):
        prices_of(100.0)


@pytest.mark.parametrize("price", ["100", math.nan, 0.0, -1.0, None])
def test_a_price_that_is_none_is_refused(price):
    with pytest.raises(DataError, match="BTCUSDT"):
        price_for({"BTCUSDT": price}, "BTCUSDT")


def test_a_number_is_within_its_range():
    assert (5.0, 5.0) == (number(5, "a"), number(np.float32(5.0), "a", 5.0))
    with pytest.raises(DataError, match="a: expected a finite number above 5 and at most 6, saw"):
        number(5.0, "a", 5.0, 6.0, open_low=True)


def test_a_side_is_a_word_or_a_sign():
    assert (1, -1, 1, -1) == (side_of("long"), side_of("Sell"), side_of(1), side_of(-1.0))
    with pytest.raises(DataError, match="long or short"):
        side_of(0)


def test_a_symbol_that_is_none_is_refused():
    with pytest.raises(DataError):
        known_symbol("BTCUSDT_240329")


@pytest.mark.parametrize("symbol", [["BTC"], None, 3, {"a": 1}])
def test_what_is_no_name_is_no_symbol(symbol):
    with pytest.raises(DataError, match="symbol: expected a name, saw"):
        known_symbol(symbol)


def test_a_number_beyond_all_floats_is_refused_as_infinite():
    with pytest.raises(DataError, match="win_rate: expected a finite number"):
        number(10**400, "win_rate", 0.0)
