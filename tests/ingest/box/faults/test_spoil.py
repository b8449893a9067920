"""What becomes of right messages; that each kind can be shown on either venue: tests of the whole box."""

import pytest

from ingest.box.faults.desk import Fault
from ingest.box.faults.spoil import bad_number, bad_time, crossed, rows_of, skewed, wrong_symbol
from tests.boxes import ListFlow
from utils.rows import NS_PER_S

MARKET = ListFlow().market


def test_a_bad_number_takes_the_place_of_a_price_or_a_size():
    book = {"data": {"b": [["10.0", "0.001"]], "a": []}}
    assert bad_number(book, Fault("bad_number", value="NaN"), MARKET)
    assert bad_number(book, Fault("bad_number", value="-1", where="size"), MARKET)
    assert [["NaN", "-1"]] == book["data"]["b"]
    assert not bad_number({"topic": "x"}, Fault("bad_number"), MARKET)


@pytest.mark.parametrize("kind", ["crossed", "locked"])
def test_a_crossed_book_has_a_bid_above_the_best_ask_and_a_locked_one_at_it(kind):
    book = {"b": [], "a": []}
    assert crossed(book, Fault(kind), MARKET)
    assert [["10.3" if kind == "crossed" else "10.1", "0.001"]] == [[f"{float(p):.1f}", q] for p, q in book["b"]]
    assert not crossed({"b": []}, Fault(kind), None)


def test_every_symbol_is_named_wrong():
    message = {"s": "BTCUSDT", "data": [{"symbol": "BTCUSDT"}]}
    assert wrong_symbol(message, Fault("wrong_symbol"), MARKET)
    assert ("OTHERUSDT", "OTHERUSDT") == (message["s"], message["data"][0]["symbol"])


@pytest.mark.parametrize(("value", "stamp"), [("0", 0), ("s", 5), ("us", 5_000_000)])
def test_stamps_are_told_in_another_unit_but_a_candles_own_times_are_not(value, stamp):
    message = {"ts": 5000, "data": [{"open": "1", "T": 7}]}
    assert bad_time(message, Fault("bad_time", value=value), MARKET)
    assert (stamp, 7) == (message["ts"], message["data"][0]["T"])


def test_a_skew_moves_every_stamp():
    message = {"time": 5000, "result": {"timeNano": "5000000000", "timeSecond": "5"}}
    assert skewed(message, 2 * NS_PER_S)
    assert (7000, "7000000000", "7") == (message["time"], *message["result"].values())


def test_rows_of_candles_are_found_in_both_venues_answers():
    assert [[1]] == rows_of([[1]]) == rows_of({"result": {"list": [[1]]}})
    assert [] == rows_of({"result": {}}) == rows_of({"a": 1}) == rows_of([])
