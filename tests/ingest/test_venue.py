import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard

from ingest.prices import get_ohlcv
from ingest.replay_server import Fault
from ingest.retry import Door
from ingest.venue import Venue, clock_offset, close_venues, instrument, server_time_ns, venue
from tests.boxes import PATIENCE_S
from tests.ingest.rest import QUICK, VENUES, paths, rest_box, unthrottled
from tests.scripted import Reply, ScriptedServer
from utils.config import EndpointSettings
from utils.errors import ConfigError, DataUnavailable

RECORDED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "rest"
both = pytest.mark.parametrize("exchange", VENUES)


@pytest.fixture(scope="module")
def standing():
    with rest_box(symbols=("BTCUSDT", "1000PEPEUSDT")) as box:
        yield box


@pytest.fixture
def box(standing):
    yield unthrottled(standing)
    standing.clear_faults()


def ask(box, exchange, **more):
    return get_ohlcv("BTCUSDT", "1m", exchange, limit=5, endpoints=box.endpoints, settings=QUICK, fresh=True, **more)


@pytest.fixture
def anew(box):
    """Venues that have asked nothing yet, and take their bans with them."""
    close_venues()
    yield unthrottled(box)
    close_venues()


# --- names


@both
@pytest.mark.parametrize(
    "symbol",
    [
        "BTCUSDT",
        "btcusdt",
        "BTC/USDT",
        "BTC/USDT:USDT",
        "BTC-USDT",
        "btc_usdt",
        "BTC-USDT-SWAP",
        "BTCUSDT-LINEAR.BYBIT",
    ],
)
def test_every_spelling_is_the_same_perpetual(box, exchange, symbol):
    found = instrument(symbol, exchange, endpoints=box.endpoints, settings=QUICK)
    assert ("BTCUSDT", "BTC/USDT:USDT", True) == (found.symbol, found.unified, found.active)


@both
def test_a_base_that_begins_with_digits_is_found(box, exchange):
    found = instrument("1000PEPE/USDT:USDT", exchange, endpoints=box.endpoints, settings=QUICK)
    assert ("1000PEPEUSDT", "1000PEPEUSDT") == (found.symbol, found.id)


@both
@pytest.mark.parametrize("symbol", ["PEPEUSDT", "BTCUSDX"])
def test_an_unknown_symbol_is_the_users_mistake_and_the_nearest_is_named(box, exchange, symbol):
    with pytest.raises(ConfigError, match=f"perpetual contract of {exchange}, saw '{symbol}'; did you mean .*USDT"):
        instrument(symbol, exchange, endpoints=box.endpoints, settings=QUICK)


@both
def test_each_near_symbol_is_named_once(box, exchange):
    with pytest.raises(ConfigError, match=r"did you mean ([A-Z0-9]+)( or (?!\1\b)[A-Z0-9]+)*\?$"):
        instrument("BTC-PERP", exchange, endpoints=box.endpoints, settings=QUICK)


@pytest.mark.parametrize("symbol", ["BTCUSDT_260626", "BTC/USDT:USDT-260626", "BTCUSDT-26JUN26"])
def test_a_dated_contract_is_refused(box, symbol):
    with pytest.raises(ConfigError, match="perpetual contract"):
        instrument(symbol, "binance", endpoints=box.endpoints, settings=QUICK)


@pytest.mark.parametrize(("name", "near"), [("binanse", "binance"), ("byibt", "bybit"), ("", "binance")])
def test_an_unknown_exchange_is_the_users_mistake_and_the_nearest_is_named(name, near):
    with pytest.raises(ConfigError, match=f"one that ccxt knows.*{near}"):
        venue(name, "futures", EndpointSettings())


def test_an_unknown_market_type_is_the_users_mistake():
    with pytest.raises(ConfigError, match="futures or spot, saw 'margin'"):
        venue("binance", "margin", EndpointSettings())


@both
def test_the_filters_are_those_the_exchange_gives(box, exchange):
    found = instrument("BTCUSDT", exchange, endpoints=box.endpoints, settings=QUICK)
    folder, status = {"binance": ("binance_usdm", "TRADING"), "bybit": ("bybit_linear", "Trading")}[exchange]
    begin = box.candles("BTCUSDT", "1m")[0].open_ms
    assert (folder, status, 5.0, begin) == (found.market, found.status, found.min_notional, found.listed_ms)
    assert (0.0001, 1.0, 1.0) == (found.tick_size, found.lot_size, found.min_qty)


def recorded(name: str, part: str) -> bytes:
    """A REST body of the recordings, as it came."""
    path = RECORDED / name
    if not path.exists():
        pytest.skip(f"no recording {name}")
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        found = next(line for line in lines if part in line)
    return json.dumps(json.loads(found)["body"]).encode()


EMPTY = b'{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[],"nextPageCursor":""},"time":1786310817601}'


def test_bybits_real_listings_are_read_and_every_kind_of_contract_told_apart():
    linear = recorded("bybit_http.jsonl.zst", "category=linear")
    with ScriptedServer(lambda asked: Reply(EMPTY if "PreLaunch" in asked.query.values() else linear)) as server:
        endpoints = EndpointSettings(bybit_rest=server.url)

        def named(symbol):
            return instrument(symbol, "bybit", endpoints=endpoints, settings=QUICK)

        seen = [named(name).id for name in ("BTCPERP", "BTC/USDC:USDC", "BTCUSDC", "BTC-USDT", "1000PEPEUSDT")]
        bitcoin = named("BTCUSDT")
        with pytest.raises(ConfigError, match="did you mean 1000PEPEUSDT"):
            named("PEPEUSDT")
        close_venues()
    assert ["BTCPERP", "BTCPERP", "BTCPERP", "BTCUSDT", "1000PEPEUSDT"] == seen
    assert (0.1, 0.001, 5.0, 100.0) == (
        bitcoin.tick_size,
        bitcoin.lot_size,
        bitcoin.min_notional,
        bitcoin.max_leverage,
    )


def test_binances_real_listings_are_read_and_what_does_not_trade_is_refused():
    info = json.loads(recorded("binance_futures_http.jsonl.zst", "exchangeInfo"))
    halted = "SUSHIUSDT"
    next(row for row in info["symbols"] if row["symbol"] == halted)["status"] = "SETTLING"
    with ScriptedServer(lambda _: Reply(info)) as server:
        endpoints = EndpointSettings(binance_rest=server.url)
        bitcoin = instrument("BTCUSDT", "binance", endpoints=endpoints, settings=QUICK)
        gone = instrument(halted, "binance", endpoints=endpoints, settings=QUICK)
        with pytest.raises(DataUnavailable, match=rf"{halted} does not trade \(status SETTLING\)"):
            get_ohlcv(halted, "1m", endpoints=endpoints, settings=QUICK)
        close_venues()
    assert (0.01, 0.001, 5.0, "TRADING") == (
        bitcoin.tick_size,
        bitcoin.lot_size,
        bitcoin.min_notional,
        bitcoin.status,
    )
    assert (halted, False) == (gone.symbol, gone.active)


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


# --- time


@both
@pytest.mark.parametrize("skew_s", [90.0, -90.0])
def test_the_exchanges_clock_counts_whatever_the_machines_says(anew, exchange, skew_s):
    anew.inject(Fault("clock_skew", match=exchange, seconds=skew_s, times=0))
    reading = clock_offset(exchange, endpoints=anew.endpoints, settings=QUICK)
    assert abs(reading.offset_ns / 1e9 - skew_s) < 1.0
    now = server_time_ns(exchange, endpoints=anew.endpoints, settings=QUICK)
    assert abs(now - time.time_ns() - 1e9 * skew_s) < 1e9


@both
@pytest.mark.parametrize("value", ["0", "s", "us"])
def test_a_time_in_another_unit_is_refused(anew, exchange, value):
    anew.inject(Fault("reply_bad_time", match="/time", value=value, times=0))
    with pytest.raises(DataUnavailable, match=f"{exchange} futures: fetch_time failed after 3 attempts: exchange time"):
        clock_offset(exchange, endpoints=anew.endpoints, settings=QUICK)


class Clocks:
    """A machine's two clocks that stand still, and can be set."""

    def __init__(self) -> None:
        self.wall, self.up = time.time_ns(), 1000.0

    def pass_s(self, seconds: float) -> None:
        self.wall += int(1e9 * seconds)
        self.up += seconds


def test_the_clock_is_read_often_at_first_and_rarely_once_it_holds(box):
    clocks = Clocks()
    where = Venue("binance", "futures", box.http, Door("x"), lambda: clocks.wall, lambda: clocks.up)
    box.freeze()
    read_at = []
    for _ in range(64):
        seen = len(paths(box, "/time"))
        where.reading(QUICK)
        read_at += [clocks.up] * (len(paths(box, "/time")) - seen)
        clocks.pass_s(1.0)
        box.step(1.0)
    box.resume()
    where.close()
    assert [1, 2, 4, 8, 16, 32] == [round(b - a) for a, b in pairwise(read_at)]


def test_a_clock_that_was_set_is_read_again_at_once(box):
    clocks = Clocks()
    where = Venue("binance", "futures", box.http, Door("x"), lambda: clocks.wall, lambda: clocks.up)
    before = where.reading(QUICK).offset_ns
    clocks.wall += 3_600_000_000_000  # an hour forward; the other clock knows nothing of it
    after = where.reading(QUICK).offset_ns
    where.close()
    assert abs(before - after - 3_600_000_000_000) < 2e9


def bitstamp(asked):
    """What another exchange answers, in its own shape: it tells no time but in its headers."""
    if "ohlc" in asked.path:
        prices = {"open": "10", "high": "12", "low": "9", "close": "11", "volume": "3.5"}
        first, count = int(asked.query["start"]), int(asked.query["limit"])
        rows = [prices | {"timestamp": str(first + 60 * i)} for i in range(count)]
        return Reply({"data": {"pair": "BTC/USD", "ohlc": rows}})
    if "markets" in asked.path:
        names = {"name": "BTC/USD", "market_symbol": "btcusd", "base_currency": "BTC", "counter_currency": "USD"}
        sizes = {"base_decimals": 8, "counter_decimals": 0, "minimum_order_value": "10", "trading": "Enabled"}
        return Reply([names | sizes | {"description": "Bitcoin / US dollar", "market_type": "SPOT"}])
    return Reply([])


def test_any_exchange_of_ccxt_will_do_and_one_that_tells_no_time_is_read_from_its_answers():
    with ScriptedServer(bitstamp) as server:
        where = venue("bitstamp", "spot", EndpointSettings())
        where.client.urls["api"] = dict.fromkeys(where.client.urls["api"], f"{server.url}/api")
        where.client.session.trust_env = False
        frame = get_ohlcv("BTCUSD", "1m", "bitstamp", "spot", 5, endpoints=EndpointSettings(), settings=QUICK)
        reading = where.reading(QUICK)
        close_venues()
    assert (5, "bitstamp_spot", "BTCUSD") == (len(frame), frame.attrs["market"], frame.attrs["symbol"])
    # Date tells whole seconds, so what may still be forming counts as forming
    assert (True, True) == (abs(reading.offset_ns) <= reading.error_ns, reading.error_ns >= 500_000_000)


def test_one_thread_reads_the_clock_for_all(anew):
    instrument("BTCUSDT", "binance", endpoints=anew.endpoints, settings=QUICK)
    seen = len(paths(anew, "/time"))
    gate = threading.Barrier(10)

    def read(_):
        gate.wait()
        return clock_offset("binance", endpoints=anew.endpoints, settings=QUICK)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(read, range(10)))
    assert 1 == len(paths(anew, "/time")) - seen
