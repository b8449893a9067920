import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest.orderbook_ccxt import get_orderbook, get_trades
from ingest.replay_server import Fault
from ingest.rest.cache import TimedCache
from ingest.rest.venue import close_venues
from tests.ingest.rest.support import QUICK, VENUES, paths, rest_box, unthrottled
from utils.errors import ConfigError, DataUnavailable

both = pytest.mark.parametrize("exchange", VENUES)
BOOK = {"binance": "/depth", "bybit": "/orderbook"}
TRADES = {"binance": "/aggTrades", "bybit": "/recent-trade"}


@pytest.fixture(scope="module")
def standing():
    with rest_box() as box:
        yield box


@pytest.fixture
def box(standing):
    yield unthrottled(standing)
    standing.clear_faults()


def ask(box, exchange, limit=50, **more):
    usual = {"endpoints": box.endpoints, "settings": QUICK, "fresh": True}
    return get_orderbook("BTC/USDT:USDT", exchange, limit=limit, **usual | more)


@both
@pytest.mark.parametrize("limit", [1, 5, 7, 50, 60, 300])
def test_the_book_is_the_markets_whatever_number_of_levels_is_asked_for(box, exchange, limit):
    box.freeze()
    bids, asks = box.truth("BTCUSDT", limit)
    book = ask(box, exchange, limit)
    box.resume()
    assert (list(map(list, bids)), list(map(list, asks))) == (book["bids"], book["asks"])


@both
def test_a_book_is_shaped_as_ccxt_does_and_tells_its_age(box, exchange):
    book = ask(box, exchange)
    assert {"symbol", "bids", "asks", "timestamp", "datetime", "nonce", "age_s"} == set(book)
    assert ("BTC/USDT:USDT", 0.0, exchange == "binance") == (book["symbol"], book["age_s"], book["nonce"] is not None)


@pytest.mark.parametrize(("exchange", "asked"), [("binance", "10"), ("bybit", "25")])
def test_levels_are_asked_for_in_a_number_that_the_exchange_knows(box, exchange, asked):
    before = len(box.requests)
    ask(box, exchange, 7)
    assert [asked] == [request.query["limit"] for request in box.requests[before:] if "limit" in request.query]


@both
@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_more_levels_than_there_are_is_the_users_mistake(box, exchange, limit):
    with pytest.raises(ConfigError, match="limit: expected 1 to 1000 levels"):
        ask(box, exchange, limit)


GARBAGE = (
    *("html", "empty_body", "null_body", "empty_object", "empty_array", "truncated_json", "cut_body", "gzip_garbage"),
    *("hang_up", "bom", "duplicate_keys", "reply_crossed", "server_error"),
)


def cases() -> list:
    found = [(exchange, {"kind": kind}) for exchange in VENUES for kind in GARBAGE]
    found += [
        (exchange, {"kind": "reply_bad_time", "value": value}) for exchange in VENUES for value in ("0", "s", "us")
    ]
    found += [
        (exchange, {"kind": "reply_bad_number", "value": value, "where": where})
        for exchange in VENUES
        for value in ("NaN", "-1", "0", "Infinity", "", None)
        for where in ("price", "size")
    ]
    found.append(("bybit", {"kind": "reply_wrong_symbol"}))
    return [pytest.param(*case, id="-".join(map(str, [case[0], *case[1].values()]))) for case in found]


@pytest.mark.parametrize(("exchange", "fault"), cases())
def test_what_is_no_book_is_asked_for_again_and_then_an_error(box, exchange, fault):
    box.inject(Fault(match=BOOK[exchange], **fault))
    assert 5 == len(ask(box, exchange, 5)["bids"])  # the second attempt is right
    box.inject(Fault(match=BOOK[exchange], times=0, **fault))
    with pytest.raises(
        DataUnavailable, match=f"^{exchange} futures: fetch_order_book BTCUSDT failed after 3 attempts: "
    ):
        ask(box, exchange)


@both
@pytest.mark.parametrize("skew_s", [-60.0, 60.0])
def test_a_book_of_another_time_is_refused(box, exchange, skew_s):
    ask(box, exchange)
    box.inject(Fault("clock_skew", match=BOOK[exchange], seconds=skew_s, times=0))
    with pytest.raises(DataUnavailable, match=r"book time: expected one of the last 10 s"):
        ask(box, exchange)


@both
def test_an_exchange_whose_clock_runs_faster_than_ours_is_asked_for_its_time_again(exchange):
    with rest_box(speed=60.0) as hasty:
        for _ in range(3):
            assert 5 == len(ask(hasty, exchange, 5)["bids"])
            time.sleep(0.5)


def test_fifty_callers_at_once_cause_one_request(box):
    before = len(paths(box, "/depth"))
    cache = TimedCache()
    with ThreadPoolExecutor(50) as pool:
        books = list(pool.map(lambda _: ask(box, "binance", fresh=False, cache=cache), range(50)))
    assert (1, 50) == (len(paths(box, "/depth")) - before, len({id(book["bids"]) for book in books}))


def test_readers_of_one_book_do_not_disturb_each_other(box):
    cache = TimedCache()
    ask(box, "binance", fresh=False, cache=cache)["bids"][0][0] = 0.0
    assert ask(box, "binance", fresh=False, cache=cache)["bids"][0][0] > 0.0


@both
def test_trades_are_the_markets_last(box, exchange):
    trades = get_trades("BTCUSDT", exchange, limit=20, endpoints=box.endpoints, settings=QUICK, fresh=True)
    assert (20, {"BTC/USDT:USDT"}) == (len(trades), {trade["symbol"] for trade in trades})
    stamps = [trade["timestamp"] for trade in trades]
    assert sorted(stamps) == stamps


@pytest.mark.parametrize(
    ("exchange", "kind"),
    [
        *(("bybit", kind) for kind in ("html", "empty_body", "empty_object", "empty_array", "truncated_json")),
        *(("binance", kind) for kind in ("html", "null_body")),  # its trades are dear, so ccxt asks slowly
    ],
)
def test_what_are_no_trades_is_refused(box, exchange, kind):
    box.inject(Fault(kind, match=TRADES[exchange], times=0))
    with pytest.raises(DataUnavailable, match=f"^{exchange} futures: fetch_trades BTCUSDT failed after 3 attempts: "):
        get_trades("BTCUSDT", exchange, limit=20, endpoints=box.endpoints, settings=QUICK, fresh=True)


def test_a_number_of_trades_out_of_range_is_the_users_mistake():
    with pytest.raises(ConfigError, match="limit: expected 1 to 1000 trades, saw 0"):
        get_trades("BTCUSDT", limit=0)


def test_an_unknown_symbol_is_the_users_mistake(box):
    with pytest.raises(ConfigError, match="did you mean BTCUSDT"):
        get_orderbook("BTCUSDX", endpoints=box.endpoints, settings=QUICK)


def test_nothing_is_left_open_behind(box):
    close_venues()
    assert 5 == len(ask(box, "bybit", 5)["asks"])
