"""Binance's REST views: what they say, and how strict they are."""

import json
from typing import Any

import pytest

from ingest.box.binance.rest import BinanceRest, weight
from ingest.box.floor.market import FUNDING_MS
from ingest.box.wire import Asked
from tests.boxes import MIDNIGHT_NS, advance, deed, jump, scripted
from utils.rows import MS_PER_MINUTE, NS_PER_MS

MIDNIGHT = MIDNIGHT_NS // NS_PER_MS


class Client:
    """Asks for things of BTCUSDT, unless told otherwise."""

    def __init__(self, *arrivals: Any, symbols: tuple[str, ...] = ("BTCUSDT",)) -> None:
        self.exchange = scripted(*arrivals, symbols=symbols)
        for symbol in symbols:
            self.exchange.market(symbol)
        self.rest = BinanceRest(self.exchange)
        self.asked: Asked | None = None

    def ask(self, path: str, **query: object) -> tuple[int, Any]:
        full = {"symbol": "BTCUSDT"} | query
        root = "" if path.startswith("/") else "/fapi/v1/"
        self.asked = Asked(root + path, {name: str(value) for name, value in full.items() if value is not None})
        reply = self.rest.reply(self.asked)
        return reply.status, json.loads(reply.body)

    def result(self, path: str, **query: object) -> Any:
        status, body = self.ask(path, **query)
        assert (200, []) == (status, self.asked.unread())
        return body


@pytest.fixture
def minutes() -> Client:
    """Ten minutes with a trade in each, at ticks 101, 102, ... and half a minute more."""
    client = Client(*(deed(i * MS_PER_MINUTE + 1, fills=[(1, 101 + i, 1), (-1, 101 + i, 2)]) for i in range(11)))
    advance(client.exchange, 10.5 * MS_PER_MINUTE)
    return client


def opens(rows: list[list[Any]]) -> list[int]:
    return [(row[0] - MIDNIGHT) // MS_PER_MINUTE for row in rows]


def test_candles_come_oldest_first_with_what_takers_bought(minutes):
    rows = minutes.result("klines", interval="1m", limit=2)
    end = MIDNIGHT + 11 * MS_PER_MINUTE - 1
    assert [9, 10] == opens(rows)
    assert ["11.10", "11.10", "11.10", "11.10", "0.003", end, "0.03330", 2, "0.001", "0.01110", "0"] == rows[1][1:]


def test_a_start_gives_the_oldest_from_there(minutes):
    assert [4, 5] == opens(minutes.result("klines", interval="1m", startTime=MIDNIGHT + 4 * MS_PER_MINUTE, limit=2))
    assert [5, 6] == opens(minutes.result("klines", interval="1m", startTime=MIDNIGHT + 4 * MS_PER_MINUTE + 1, limit=2))


def test_an_end_gives_the_newest_up_to_it(minutes):
    assert [5, 6] == opens(minutes.result("klines", interval="1m", endTime=MIDNIGHT + 6 * MS_PER_MINUTE, limit=2))


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("klines", {"interval": "7m"}, -1120),
        ("klines", {}, -1102),
        ("klines", {"interval": "1m", "symbol": None}, -1102),
        ("klines", {"interval": "1m", "symbol": "btcusdt"}, -1121),
        ("klines", {"interval": "1m", "limit": 1501}, -1130),
        ("klines", {"interval": "1m", "startTime": 5, "endTime": 4}, -1023),
        ("depth", {"limit": 25}, -4021),
        ("depth", {"symbol": "NOUSDT"}, -1121),
        ("trades", {"limit": 0}, -1130),
        ("aggTrades", {"startTime": MIDNIGHT, "endTime": MIDNIGHT + 60 * MS_PER_MINUTE + 1}, -1127),
        ("openInterest", {"symbol": None}, -1102),
        ("fundingRate", {"limit": "x"}, -1130),
        ("/futures/data/openInterestHist", {"period": "7m"}, -1130),
        ("/futures/data/globalLongShortAccountRatio", {"period": "5m", "limit": 501}, -1130),
    ],
)
def test_a_wrong_parameter_is_refused(path, query, code):
    status, body = Client().ask(path, **query)
    assert (400, code) == (status, body["code"])


def test_a_parameter_nobody_knows_is_remembered(minutes):
    minutes.ask("depth", limits=5)
    assert ["limits"] == minutes.asked.unread()


def test_the_book_has_the_update_id_of_the_stream():
    client = Client(deed(1, (1, 100, 5)))
    advance(client.exchange, 10)
    book = client.result("depth", limit=5)
    assert client.exchange.market("BTCUSDT").update_id == book["lastUpdateId"]
    assert (["10.00", "0.005"], ["10.10", "0.001"], MIDNIGHT + 10, MIDNIGHT + 1) == (
        book["bids"][0],
        book["asks"][0],
        book["E"],
        book["T"],
    )


def test_aggregate_trades_are_asked_for_by_time_and_by_id(minutes):
    rows = minutes.result("aggTrades", startTime=MIDNIGHT + 3 * MS_PER_MINUTE, endTime=MIDNIGHT + 4 * MS_PER_MINUTE)
    assert [("10.40", "0.001", False), ("10.40", "0.002", True)] == [(row["p"], row["q"], row["m"]) for row in rows]
    assert rows == minutes.result("aggTrades", fromId=rows[0]["a"], limit=2)


def test_trades_come_oldest_first(minutes):
    rows = minutes.result("trades", limit=2)
    assert [("11.10", "0.001", False), ("11.10", "0.002", True)] == [
        (row["price"], row["qty"], row["isBuyerMaker"]) for row in rows
    ]


def test_the_day_adds_up(minutes):
    row = minutes.result("ticker/24hr")
    assert ("10.10", "11.10", "10.10", "0.033", 22, "11.10") == tuple(
        row[name] for name in ("openPrice", "highPrice", "lowPrice", "volume", "count", "lastPrice")
    )


def test_without_a_symbol_every_symbol_is_answered():
    client = Client(symbols=("AUSDT", "BUSDT"))
    for path in ("ticker/24hr", "ticker/bookTicker", "premiumIndex"):
        assert ["AUSDT", "BUSDT"] == [row["symbol"] for row in client.result(path, symbol=None)]


def test_best_prices_are_those_of_the_book(minutes):
    row, book = minutes.result("ticker/bookTicker"), minutes.result("depth", limit=5)
    assert [[row["bidPrice"], row["bidQty"]], [row["askPrice"], row["askQty"]]] == [book["bids"][0], book["asks"][0]]


def test_fundings_come_oldest_first():
    client = Client(deed(1, fills=[(1, 101, 1)]))
    jump(client.exchange, FUNDING_MS + 5)
    rows = client.result("fundingRate")
    assert [("0.00010000", MIDNIGHT), ("0.00020000", MIDNIGHT + FUNDING_MS)] == [
        (row["fundingRate"], row["fundingTime"]) for row in rows
    ]
    assert rows[1:] == client.result("fundingRate", startTime=MIDNIGHT + 1)


def test_the_premium_index_has_mark_index_and_the_running_funding(minutes):
    row = minutes.result("premiumIndex")
    assert ("10.050", "10.100", MIDNIGHT + FUNDING_MS) == tuple(
        row[name] for name in ("markPrice", "indexPrice", "nextFundingTime")
    )


def test_positioning_comes_oldest_first(minutes):
    for path in ("openInterestHist", "globalLongShortAccountRatio"):
        rows = minutes.result(f"/futures/data/{path}", period="5m", limit=2)
        assert [5, 10] == [(row["timestamp"] - MIDNIGHT) // MS_PER_MINUTE for row in rows]


def test_exchange_info_says_tick_lot_and_listing():
    row = Client().result("exchangeInfo", symbol=None)["symbols"][0]
    filters = {one["filterType"]: one for one in row["filters"]}
    assert ("0.10", "0.001", 2, MIDNIGHT) == (
        filters["PRICE_FILTER"]["tickSize"],
        filters["LOT_SIZE"]["stepSize"],
        row["pricePrecision"],
        row["onboardDate"],
    )


@pytest.mark.parametrize(
    ("path", "limit", "symbol", "cost"),
    [
        ("klines", "99", "X", 1),
        ("klines", "", "X", 2),
        ("klines", "1000", "X", 5),
        ("klines", "1001", "X", 10),
        ("depth", "50", "X", 2),
        ("depth", "100", "X", 5),
        ("depth", "", "X", 10),
        ("depth", "1000", "X", 20),
        ("aggTrades", "", "X", 20),
        ("trades", "", "X", 5),
        ("ticker/24hr", "", "X", 1),
        ("ticker/24hr", "", "", 40),
        ("ticker/bookTicker", "", "X", 2),
        ("ticker/bookTicker", "", "", 5),
        ("premiumIndex", "", "", 10),
        ("exchangeInfo", "", "", 1),
        ("fundingRate", "", "X", 0),
    ],
)
def test_a_request_weighs_what_it_weighs_at_the_venue(path, limit, symbol, cost):
    assert cost == weight(f"/fapi/v1/{path}", limit, symbol)
