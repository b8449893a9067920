"""Bybit's REST views: what they say, and how strict they are."""

import json
from itertools import pairwise
from typing import Any

import pytest

from ingest.box.bybit import ws as bybit_ws
from ingest.box.bybit.rest import BybitRest
from ingest.box.faults.desk import Desk
from ingest.box.floor.market import FUNDING_MS
from ingest.box.topics import Topics
from ingest.box.wire import Asked
from tests.boxes import MIDNIGHT_NS, ListPeer, advance, deed, jump, scripted
from utils.rows import MS_PER_MINUTE, NS_PER_MS

MIDNIGHT = MIDNIGHT_NS // NS_PER_MS


class Client:
    """Asks for things of category linear, symbol BTCUSDT, unless told otherwise."""

    def __init__(self, *arrivals: Any, symbols: tuple[str, ...] = ("BTCUSDT",)) -> None:
        self.exchange = scripted(*arrivals, symbols=symbols)
        self.topics = Topics(self.exchange, "bybit", Desk(1), lambda name: bybit_ws.build(self.exchange, name))
        self.exchange.listeners.append(self.topics)
        self.rest = BybitRest(self.exchange, self.topics)
        self.asked: Asked | None = None

    def ask(self, path: str, **query: object) -> dict[str, Any]:
        full = {"category": "linear", "symbol": "BTCUSDT"} | query
        self.asked = Asked(
            f"/v5/market/{path}", {name: str(value) for name, value in full.items() if value is not None}
        )
        reply = self.rest.reply(self.asked)
        assert 200 == reply.status
        return json.loads(reply.body)

    def result(self, path: str, **query: object) -> Any:
        answer = self.ask(path, **query)
        assert (0, "OK", []) == (answer["retCode"], answer["retMsg"], self.asked.unread())
        return answer["result"]


@pytest.fixture
def minutes() -> Client:
    """Ten minutes with a trade in each, at ticks 101, 102, ... and half a minute more."""
    client = Client(*(deed(i * MS_PER_MINUTE + 1, fills=[(1, 101 + i, 1)]) for i in range(11)))
    client.exchange.market("BTCUSDT")
    advance(client.exchange, 10.5 * MS_PER_MINUTE)
    return client


def opens(rows: list[list[str]]) -> list[int]:
    return [(int(row[0]) - MIDNIGHT) // MS_PER_MINUTE for row in rows]


def test_candles_come_newest_first_and_the_newest_is_being_formed(minutes):
    rows = minutes.result("kline", interval="1", limit=3)["list"]
    assert [10, 9, 8] == opens(rows)
    assert [str(MIDNIGHT + 10 * MS_PER_MINUTE), "11.1", "11.1", "11.1", "11.1", "0.001", "0.0111"] == rows[0]


def test_a_start_inside_a_candle_gives_that_candle(minutes):
    rows = minutes.result("kline", interval="1", start=MIDNIGHT + 4 * MS_PER_MINUTE + 1, limit=2)["list"]
    assert [5, 4] == opens(rows)


def test_start_and_end_give_the_newest_of_the_span(minutes):
    span = {"start": MIDNIGHT + 2 * MS_PER_MINUTE, "end": MIDNIGHT + 6 * MS_PER_MINUTE}
    rows = minutes.result("kline", interval="1", limit=3, **span)["list"]
    assert [6, 5, 4] == opens(rows)


def test_the_limit_of_candles_is_cut_to_1000():
    client = Client(deed(1, fills=[(1, 101, 1)]))
    jump(client.exchange, 1_500 * MS_PER_MINUTE)
    assert 1000 == len(client.result("kline", interval="1", limit=5_000)["list"])


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("kline", {"interval": "7"}, "Invalid period!"),
        ("kline", {"interval": None}, "Invalid period!"),
        ("kline", {"interval": "1", "limit": "many"}, "params error: limit invalid"),
        ("kline", {"interval": "1", "start": 5, "end": 4}, "params error: start is after end"),
        ("kline", {"interval": "1", "category": None}, "params error: Category is invalid"),
        ("kline", {"interval": "1", "symbol": "NOUSDT"}, "Not supported symbols"),
        ("kline", {"interval": "1", "symbol": None}, "params error: symbol is required"),
        ("orderbook", {"limit": 1001}, "params error: limit invalid"),
        ("orderbook", {"limit": 0}, "params error: limit invalid"),
        ("orderbook", {"category": "spot"}, "Not supported symbols"),
        ("tickers", {"category": "swap"}, "params error: Category is invalid"),
        ("recent-trade", {"symbol": "btcusdt"}, "Not supported symbols"),
        ("funding/history", {"startTime": MIDNIGHT}, "params error: endTime is required with startTime"),
        ("open-interest", {"intervalTime": "7min"}, "params error: intervalTime invalid"),
        ("account-ratio", {"period": None}, "params error: period invalid"),
        ("instruments-info", {"cursor": "x"}, "params error: cursor invalid"),
        ("instruments-info", {"symbol": "NOUSDT"}, "params error: symbol invalid"),
    ],
)
def test_a_wrong_parameter_is_refused(path, query, message):
    answer = Client().ask(path, **query)
    assert (10001, message, {}) == (answer["retCode"], answer["retMsg"], answer["result"])


def test_a_parameter_nobody_knows_is_remembered(minutes):
    minutes.ask("kline", interval="1", limits=5)
    assert ["limits"] == minutes.asked.unread()


def test_the_book_has_the_u_of_the_deepest_stream():
    client = Client(deed(1, (1, 100, 5)), deed(300, (1, 100, 6)))
    peer = ListPeer()
    client.topics.subscribe(peer, "orderbook.1000.BTCUSDT")
    advance(client.exchange, 250)
    book = client.result("orderbook", limit=2)
    assert peer.heard[-1]["data"]["u"] == book["u"]
    assert ([["10.00", "0.005"], ["9.90", "0.001"]], MIDNIGHT + 250, MIDNIGHT + 1) == (
        book["b"],
        book["ts"],
        book["cts"],
    )


def test_instruments_are_paged():
    client = Client(symbols=("AUSDT", "BUSDT", "CUSDT"))
    first = client.result("instruments-info", symbol=None, limit=2)
    second = client.result("instruments-info", symbol=None, limit=2, cursor=first["nextPageCursor"])
    assert (["AUSDT", "BUSDT"], ["CUSDT"], "") == (
        [row["symbol"] for row in first["list"]],
        [row["symbol"] for row in second["list"]],
        second["nextPageCursor"],
    )


def test_an_instrument_says_its_steps_and_when_it_was_listed():
    row = Client().result("instruments-info")["list"][0]
    assert ("0.10", "0.001", "2", str(MIDNIGHT), 480) == (
        row["priceFilter"]["tickSize"],
        row["lotSizeFilter"]["qtyStep"],
        row["priceScale"],
        row["launchTime"],
        row["fundingInterval"],
    )


@pytest.mark.parametrize(("category", "status"), [("spot", None), ("option", None), ("linear", "PreLaunch")])
def test_there_is_nothing_in_other_categories_and_before_launch(category, status):
    asked = {"symbol": None, "category": category, "status": status}
    assert [] == Client().result("instruments-info", **asked)["list"]


def test_trades_come_newest_first(minutes):
    rows = minutes.result("recent-trade", limit=2)["list"]
    assert [
        ("11.10", "Buy", str(MIDNIGHT + 10 * MS_PER_MINUTE + 1)),
        ("11.00", "Buy", str(MIDNIGHT + 9 * MS_PER_MINUTE + 1)),
    ] == [(row["price"], row["side"], row["time"]) for row in rows]


def test_the_ticker_has_the_best_prices_of_the_book(minutes):
    row = minutes.result("tickers")["list"][0]
    book = minutes.result("orderbook", limit=1)
    assert [[row["bid1Price"], row["bid1Size"]], [row["ask1Price"], row["ask1Size"]]] == [book["b"][0], book["a"][0]]
    assert ("11.10", "10.10", "0.011") == (row["lastPrice"], row["lowPrice24h"], row["volume24h"])


def test_fundings_come_newest_first():
    client = Client(deed(1, fills=[(1, 101, 1)]))
    jump(client.exchange, FUNDING_MS + 5)
    rows = client.result("funding/history")["list"]
    assert [("0.0002", str(MIDNIGHT + FUNDING_MS)), ("0.0001", str(MIDNIGHT))] == [
        (row["fundingRate"], row["fundingRateTimestamp"]) for row in rows
    ]


@pytest.mark.parametrize(("path", "name"), [("open-interest", "intervalTime"), ("account-ratio", "period")])
def test_positioning_is_paged_back_to_the_listing(minutes, path, name):
    first = minutes.result(path, **{name: "5min", "limit": 2})
    second = minutes.result(path, **{name: "5min", "limit": 2, "cursor": first["nextPageCursor"]})
    stamps = [int(row["timestamp"]) - MIDNIGHT for row in first["list"] + second["list"]]
    assert ([10 * MS_PER_MINUTE, 5 * MS_PER_MINUTE, 0], "") == (stamps, second["nextPageCursor"])


def test_shares_of_accounts_add_up_to_one(minutes):
    for row in minutes.result("account-ratio", period="5min")["list"]:
        assert 1.0 == pytest.approx(float(row["buyRatio"]) + float(row["sellRatio"]))


def test_maintenance_is_continuous_from_tier_to_tier():
    rows = Client().result("risk-limit")["list"]
    for lower, upper in pairwise(rows):
        edge = float(lower["riskLimitValue"])
        margins = [edge * float(row["maintenanceMargin"]) - float(row["mmDeduction"] or 0) for row in (lower, upper)]
        assert margins[0] == pytest.approx(margins[1])


def test_the_time_is_the_exchanges():
    client = Client()
    advance(client.exchange, 1_234)
    answer = client.ask("time", symbol=None, category=None)
    assert (str(MIDNIGHT_NS + 1_234 * NS_PER_MS), MIDNIGHT + 1_234) == (answer["result"]["timeNano"], answer["time"])
