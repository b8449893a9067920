import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from ingest.prices import get_ohlcv
from ingest.replay_server import Fault
from ingest.rest.clock import ExchangeClock
from ingest.rest.retry import Answer, Door
from ingest.rest.venue import Venue, clock_offset, close_venues, instrument, server_time_ns, venue
from tests.ingest.rest.support import QUICK, VENUES, paths
from tests.scripted import Reply, ScriptedServer
from utils.errors import DataUnavailable
from utils.rows import NS_PER_HOUR, NS_PER_MS, NS_PER_S
from utils.settings.tree import EndpointSettings

both = pytest.mark.parametrize("exchange", VENUES)


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


def answered(wall_ns: int, rtt_s: float, date: str = "") -> Answer:
    """An answer whose headers came at `wall_ns`, `rtt_s` after it was asked for."""
    return Answer(200, "OK", {"Date": date}, b"", True, wall_ns, rtt_s)


def test_the_offset_is_taken_from_the_middle_of_the_round_trip():
    clock = ExchangeClock(lambda: 0, lambda: 7.0)
    reading = clock.told(10_000, answered(4_000 * NS_PER_MS, 0.2))
    assert (6_100 * NS_PER_MS, 101 * NS_PER_MS) == (reading.offset_ns, reading.error_ns)
    assert (200 * NS_PER_MS, 7.0) == (reading.rtt_ns, reading.uptime_s)


def test_a_date_tells_whole_seconds_and_another_header_nothing():
    clock = ExchangeClock(lambda: 0, lambda: 0.0)
    clock.note(answered(0, 0.0, "soon"))
    assert clock.dated is None
    clock.note(answered(0, 0.0, "Thu, 01 Jan 1970 00:00:05 GMT"))
    assert (5.5 * NS_PER_S, 0.5 * NS_PER_S) == (clock.dated.offset_ns, clock.dated.error_ns)


def test_of_two_readings_that_agree_the_narrower_holds_and_one_that_contradicts_takes_over():
    clock = ExchangeClock(lambda: 0, lambda: 0.0)
    narrow = clock.keep(clock.told(1_000, answered(0, 0.01)))
    assert narrow.offset_ns == clock.keep(clock.told(950, answered(0, 0.4))).offset_ns
    later = clock.keep(clock.told(3_000, answered(0, 0.01)))
    assert (later.offset_ns, False) == (clock.offset_ns, clock.holds(later))


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
    clocks.wall += NS_PER_HOUR  # an hour forward; the other clock knows nothing of it
    after = where.reading(QUICK).offset_ns
    where.close()
    assert abs(before - after - NS_PER_HOUR) < 2e9


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
