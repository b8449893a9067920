import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest.prices import get_ohlcv
from ingest.replay_server import Fault
from ingest.rest.retry import Door
from ingest.rest.venue import Venue, close_venues, instrument, venue
from tests.boxes import PATIENCE_S
from tests.ingest.rest.support import QUICK, VENUES, paths
from tests.scripted import Reply, ScriptedServer
from utils.errors import ConfigError, DataUnavailable
from utils.settings.tree import EndpointSettings

both = pytest.mark.parametrize("exchange", VENUES)


def ask(box, exchange, **more):
    return get_ohlcv("BTCUSDT", "1m", exchange, limit=5, endpoints=box.endpoints, settings=QUICK, fresh=True, **more)


# --- names


@pytest.mark.parametrize(("name", "near"), [("binanse", "binance"), ("byibt", "bybit"), ("", "binance")])
def test_an_unknown_exchange_is_the_users_mistake_and_the_nearest_is_named(name, near):
    with pytest.raises(ConfigError, match=f"one that ccxt knows.*{near}"):
        venue(name, "futures", EndpointSettings())


def test_an_unknown_market_type_is_the_users_mistake():
    with pytest.raises(ConfigError, match="futures or spot, saw 'margin'"):
        venue("binance", "margin", EndpointSettings())


# --- one of each


@both
def test_a_process_has_one_client_of_a_venue(box, exchange):
    first = venue(exchange, "futures", box.endpoints)
    with ThreadPoolExecutor(8) as pool:
        others = list(pool.map(lambda _: venue(exchange, "futures", box.endpoints), range(20)))
    assert {id(first)} == {id(each) for each in others}


@both
def test_markets_are_loaded_once_for_many_threads(anew, exchange):
    before = len(paths(anew, "info")) + len(paths(anew, "Info"))
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: instrument("BTCUSDT", exchange, endpoints=anew.endpoints, settings=QUICK), range(20)))
    # Bybit's listings come in two requests, those that trade and those before launch
    assert {"binance": 1, "bybit": 2}[exchange] == len(paths(anew, "info")) + len(paths(anew, "Info")) - before


@both
def test_every_address_of_ccxt_is_moved_with_the_setting(box, exchange):
    def addresses(urls):
        if isinstance(urls, dict):
            return [address for inner in urls.values() for address in addresses(inner)]
        return [urls]

    api = venue(exchange, "futures", box.endpoints).client.urls["api"]
    assert [] == [address for address in addresses(api) if not address.startswith(box.http)]


def test_without_a_setting_ccxt_is_used_as_shipped():
    where = Venue("bybit", "futures", EndpointSettings().bybit_rest, Door("x"))
    assert {"https://api.bybit.com"} == set(where.client.urls["api"].values())
    where.close()


def test_a_redirect_to_another_machine_is_not_followed():
    elsewhere = []
    with ScriptedServer(lambda request: elsewhere.append(request) or Reply({})) as other:
        moved = Reply(b"", 302, {"Location": f"{other.url}/login"})
        with ScriptedServer(lambda _: moved) as hotel, pytest.raises(DataUnavailable, match="HTTP 302"):
            instrument("BTCUSDT", "binance", endpoints=EndpointSettings(binance_rest=hotel.url), settings=QUICK)
    close_venues()
    assert [] == elsewhere


def test_an_address_where_nobody_listens_is_named_as_no_connection():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoints = EndpointSettings(bybit_rest=f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(DataUnavailable) as failed:
            instrument("BTCUSDT", "bybit", endpoints=endpoints, settings=QUICK)
    close_venues()
    assert "bybit futures: load_markets failed after 3 attempts: no connection (" in str(failed.value)
    assert 3 == failed.value.exit_code


@both
@pytest.mark.parametrize("kind", ["html", "empty_body", "null_body", "empty_object", "empty_array", "truncated_json"])
def test_garbage_in_place_of_markets_is_refused_and_leaves_nothing_behind(anew, exchange, kind):
    anew.inject(Fault(kind, match="info", times=3 if exchange == "binance" else 6))
    with pytest.raises(DataUnavailable, match=f"{exchange} futures: load_markets failed after 3 attempts"):
        instrument("BTCUSDT", exchange, endpoints=anew.endpoints, settings=QUICK)
    anew.clear_faults()
    assert "BTCUSDT" == instrument("BTCUSDT", exchange, endpoints=anew.endpoints, settings=QUICK).symbol


# --- when it may be asked again


@both
def test_retry_after_is_waited_out_exactly(box, exchange):
    box.inject(Fault("rate_limited", match="kline", retry_after=0.4))
    seen = len(box.requests)
    ask(box, exchange)
    asked = [request.at for request in box.requests[seen:] if "kline" in request.path]
    assert 0.4 <= asked[1] - asked[0] < 0.8


def test_bybits_time_of_reset_is_waited_for(box):
    box.inject(Fault("rate_code", match="bybit", retry_after=0.4))
    seen = len(box.requests)
    ask(box, "bybit")
    asked = [request.at for request in box.requests[seen:] if "kline" in request.path]
    assert 0.35 <= asked[1] - asked[0] < 0.8


@both
def test_while_one_caller_waits_no_other_asks(box, exchange):
    ask(box, exchange)  # the clock is read, markets are there
    box.inject(Fault("rate_limited", match="kline", retry_after=0.5))
    seen = len(box.requests)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ask(box, exchange), range(8)))
    asked = [request.at for request in box.requests[seen:]]
    assert asked[1] - asked[0] >= 0.5


@both
@pytest.mark.parametrize(("kind", "status"), [("banned", 418), ("forbidden", 403)])
def test_a_ban_stops_at_once_and_says_until_when(anew, exchange, kind, status):
    ask(anew, exchange)
    anew.inject(Fault(kind, match="kline", times=0))
    seen = len(anew.requests)
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(DataUnavailable, match=rf"{exchange} futures: .*HTTP {status} .*; no request before 20.*Z"):
            ask(anew, exchange)
    assert 1 == len([request for request in anew.requests[seen:] if "kline" in request.path])
    assert time.monotonic() - began < 0.5 * PATIENCE_S


def test_a_ban_of_one_exchange_is_not_the_others(anew):
    anew.inject(Fault("banned", match="binance", times=0))
    with pytest.raises(DataUnavailable):
        ask(anew, "binance")
    assert 5 == len(ask(anew, "bybit"))


def test_what_the_exchange_refuses_for_good_is_asked_once(box):
    where = venue("binance", "futures", box.endpoints)
    seen = len(box.requests)
    with pytest.raises(
        DataUnavailable, match=r"binance futures: klines failed: HTTP 400 Bad Request: -1121 Invalid symbol"
    ):
        where.call("klines", lambda client: client.fapiPublicGetKlines({"symbol": "NOUSDT", "interval": "1m"}), QUICK)
    assert 1 == len(box.requests) - seen


def test_a_body_that_trickles_is_given_up_after_the_timeout(box):
    ask(box, "binance")  # only the faulty answer is to be slow
    swift = QUICK.model_copy(update={"timeout_s": 2.0, "retries": 1})
    box.inject(Fault("trickle", match="kline", seconds=0.25, times=1))
    began = time.monotonic()
    with pytest.raises(DataUnavailable, match=r"whole answer within 2 s"):
        get_ohlcv("BTCUSDT", "1m", "binance", limit=5, endpoints=box.endpoints, settings=swift, fresh=True)
    assert time.monotonic() - began < 0.5 * PATIENCE_S
