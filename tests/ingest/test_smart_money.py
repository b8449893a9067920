import time

import pytest

from ingest.replay_server import Fault
from ingest.rest.client import moved
from ingest.rest.venue import close_venues, venue
from ingest.smart_money import Positioning, fetch_positioning
from tests.ingest.rest.support import QUICK, VENUES, rest_box, unthrottled
from tests.scripted import Reply, ScriptedServer
from utils.errors import ConfigError, DataUnavailable
from utils.settings.tree import EndpointSettings

both = pytest.mark.parametrize("exchange", VENUES)
PATHS = {
    "fetch_funding_rate": {"binance": "/premiumIndex", "bybit": "/tickers"},
    "fetch_open_interest": {"binance": "/openInterest", "bybit": "/open-interest"},
    "fetch_long_short_ratio_history": {"binance": "/globalLongShort", "bybit": "/account-ratio"},
}


@pytest.fixture(scope="module")
def standing():
    with rest_box() as box:
        yield box


@pytest.fixture
def box(standing):
    yield unthrottled(standing)
    standing.clear_faults()


def ask(box, exchange, **more) -> Positioning:
    return fetch_positioning("BTCUSDT", exchange, endpoints=box.endpoints, settings=QUICK, **{"fresh": True} | more)


@both
def test_everything_the_exchange_tells_is_there(box, exchange):
    seen = ask(box, exchange)
    assert ("BTCUSDT", exchange) == (seen.symbol, seen.exchange)
    assert 0.0 < abs(seen.funding_rate) < 0.01
    assert 0.0 < seen.next_funding_ts - time.time_ns() <= 8 * 3600 * 10**9
    assert (True, True) == (seen.open_interest > 0.0, 0.0 < seen.long_short_ratio < 100.0)
    assert abs(seen.ts - time.time_ns()) < 5 * 10**9


@both
def test_within_the_life_of_the_cache_the_exchange_is_not_asked_again(box, exchange):
    first = ask(box, exchange)
    before = len(box.requests)
    again = ask(box, exchange, fresh=False)
    assert (before, first.open_interest) == (len(box.requests), again.open_interest)
    assert again.age_s > 0.0


@both
@pytest.mark.parametrize("call", PATHS)
@pytest.mark.parametrize("kind", ["html", "empty_object", "null_body", "truncated_json", "server_error"])
def test_a_measure_that_cannot_be_had_is_an_error_never_zero(box, exchange, call, kind):
    box.inject(Fault(kind, match=PATHS[call][exchange], times=0))
    with pytest.raises(DataUnavailable, match=f"^{exchange} futures: {call} BTCUSDT failed after 3 attempts: "):
        ask(box, exchange)


@both
@pytest.mark.parametrize("call", ["fetch_open_interest", "fetch_long_short_ratio_history"])
def test_an_empty_list_is_no_measure(box, exchange, call):
    box.inject(Fault("empty_array", match=PATHS[call][exchange], times=0))
    with pytest.raises(DataUnavailable, match=f"{call} BTCUSDT failed"):
        ask(box, exchange)


@both
@pytest.mark.parametrize("call", PATHS)
def test_another_symbols_measure_is_refused(box, exchange, call):
    box.inject(Fault("reply_wrong_symbol", match=PATHS[call][exchange], times=0))
    with pytest.raises(DataUnavailable, match=f"{call} BTCUSDT failed after 3 attempts: "):
        ask(box, exchange)


LISTED = {
    "symbol": "BTCUSDT",
    "pair": "BTCUSDT",
    "contractType": "PERPETUAL",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "onboardDate": 1569398400000,
    "deliveryDate": 4133404800000,
    "filters": [{"filterType": "PRICE_FILTER", "minPrice": "0.1", "maxPrice": "1000000", "tickSize": "0.1"}],
}


def aster(asked) -> Reply:
    """An exchange that tells funding alone."""
    now = int(time.time() * 1000)
    if asked.path.endswith("exchangeInfo"):
        return Reply({"serverTime": now, "assets": [], "symbols": [LISTED] if "fapi" in asked.path else []})
    if asked.path.endswith("premiumIndex"):
        rate = {"lastFundingRate": "0.0001", "nextFundingTime": now + 60_000, "markPrice": "65000.5", "time": now}
        return Reply({"symbol": "BTCUSDT", "indexPrice": "65000", "interestRate": "0.0001"} | rate)
    return Reply({"serverTime": now})


def test_what_an_exchange_does_not_tell_is_none():
    with ScriptedServer(aster) as server:
        where = venue("aster", "futures", EndpointSettings())
        where.client.urls["api"] = moved(where.client.urls["api"], "https://fapi.asterdex.com", server.url, "")
        where.client.session.trust_env = False
        seen = fetch_positioning("BTCUSDT", "aster", endpoints=EndpointSettings(), settings=QUICK)
        close_venues()
    assert (0.0001, 65000.5) == (seen.funding_rate, seen.mark_price)
    assert (None, None, None) == (seen.open_interest, seen.long_short_ratio, seen.long_short_ts)


def test_an_exchange_that_tells_nothing_of_this_is_the_users_mistake():
    with pytest.raises(ConfigError, match="upbit tells neither funding nor positioning"):
        fetch_positioning("BTCUSD", "upbit", endpoints=EndpointSettings(), settings=QUICK)
