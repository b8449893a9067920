"""Streams for code that is not asynchronous, read from other threads while the exchange in a box runs in its own."""

import threading
import time

import pytest

from ingest import ws_manager
from ingest.ws_manager import WSManager
from tests.boxes import PATIENCE_S, box_in_thread
from utils.errors import ConfigError, DataUnavailable, InvariantError, StaleData
from utils.settings.tree import EndpointSettings, IngestSettings
from utils.types import Bar, Trade

SETTINGS = IngestSettings(timeout_s=10.0, backoff_s=0.05, backoff_max_s=0.2, stale_s=2.0)
NOWHERE = EndpointSettings(bybit_ws="ws://127.0.0.1:9")


@pytest.fixture(scope="module")
def box():
    with box_in_thread(symbols=("BTCUSDT", "ETHUSDT"), preset="btc-like", history_hours=0.1) as box:
        box.truth("BTCUSDT")  # compiled before a test waits
        yield box


@pytest.fixture
def manager(box):
    with WSManager(endpoints=box.endpoints, settings=SETTINGS) as manager:
        yield manager


def until(true, timeout_s=PATIENCE_S):
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not true within {timeout_s} s"
        time.sleep(0.01)


@pytest.mark.parametrize("exchange", ["bybit", "binance"])
def test_the_latest_book_is_the_markets(box, manager, exchange):
    manager.ensure(exchange, "orderbook", "BTC/USDT:USDT")
    box.freeze()
    try:
        bids, asks = box.truth("BTCUSDT", 20)

        def agrees():
            book = manager.latest(exchange, "orderbook", "BTCUSDT")
            return (book["bids"][:20], book["asks"][:20]) == (bids, asks)

        until(agrees)
    finally:
        box.resume()


def test_a_book_says_how_old_it_is_and_what_it_is_of(manager):
    manager.ensure("bybit", "orderbook", "BTCUSDT")
    book = manager.latest("bybit", "orderbook", "BTCUSDT")
    assert ("bybit", "BTCUSDT", "live") == (book["exchange"], book["symbol"], book["state"])
    assert book["ts"] <= book["ts_recv"]
    assert 0.0 <= book["age_s"] < SETTINGS.stale_s
    assert book["u"] > 0


def test_trades_come_newest_last_and_klines_begin_empty(manager):
    manager.subscribe("bybit", "trades", ["BTCUSDT", "ETHUSDT"])
    manager.subscribe("bybit", "klines", "BTCUSDT", tf="1m")
    until(lambda: len(manager.latest("bybit", "trades", "BTCUSDT")) > 1)
    trades = manager.latest("bybit", "trades", "BTCUSDT")
    assert {Trade} == {type(trade) for trade in trades}
    assert sorted(trade.ts for trade in trades) == [trade.ts for trade in trades]
    assert all(isinstance(bar, Bar) for bar in manager.latest("bybit", "klines", "BTCUSDT", tf="1m"))


def test_closed_bars_arrive_as_klines():
    minute = 60 * 10**9
    start_ns = (time.time_ns() // minute + 1) * minute - 3 * 10**9  # a candle closes three seconds from now
    with (
        box_in_thread(symbols=("BTCUSDT",), history_hours=0.1, start_ns=start_ns) as box,
        WSManager(endpoints=box.endpoints, settings=SETTINGS) as manager,
    ):
        manager.ensure("binance", "klines", "BTCUSDT", tf="1m", timeout=10.0)
        (bar,) = manager.latest("binance", "klines", "BTCUSDT", tf="1m")
        closed = box.candles("BTCUSDT", "1m")[-2]
        assert (closed.open_ms * 10**6 + minute, closed.close, closed.volume) == (bar.ts, bar.close, bar.volume)


def test_what_is_subscribed_to_twice_is_received_once(box, manager):
    manager.ensure("bybit", "orderbook", "BTCUSDT")
    before = box.connections.total
    manager.subscribe("bybit", "orderbook", ["BTCUSDT", "btc-usdt"])
    manager.ensure("bybit", "orderbook", "BTCUSDT")
    assert before == box.connections.total


def test_symbols_may_be_added_while_others_run(manager):
    manager.ensure("bybit", "orderbook", "BTCUSDT")
    manager.ensure("bybit", "orderbook", "ETHUSDT")
    assert "live" == manager.latest("bybit", "orderbook", "BTCUSDT")["state"]


def test_a_lost_book_is_refused_until_it_is_whole_again(box, manager):
    manager.ensure("bybit", "orderbook", "BTCUSDT")
    seen = []

    def watch():
        for _ in range(300):
            try:
                seen.append(manager.latest("bybit", "orderbook", "BTCUSDT")["state"])
            except StaleData as error:
                seen.append(str(error))
            time.sleep(0.002)

    reader = threading.Thread(target=watch)
    reader.start()
    for connection in tuple(box._open):
        box._in_loop(lambda connection=connection: connection.cut(reset=True))
    reader.join()
    assert any("disconnected" in what for what in seen)
    assert "live" == seen[-1]


def test_a_book_that_stands_still_is_stale(box):
    def refused():
        try:
            manager.latest("bybit", "orderbook", "BTCUSDT")
        except StaleData as error:
            return "bybit BTCUSDT book: expected a" in str(error)
        return False

    with WSManager(endpoints=box.endpoints, settings=SETTINGS.model_copy(update={"stale_s": 0.3})) as manager:
        manager.ensure("bybit", "orderbook", "BTCUSDT")
        box.freeze()
        try:
            until(refused)
        finally:
            box.resume()


def test_a_symbol_the_exchange_does_not_know_is_an_error_and_can_be_tried_again(manager):
    for _ in range(2):
        with pytest.raises(DataUnavailable, match="NOSUCHUSDT"):
            manager.ensure("bybit", "orderbook", "NOSUCHUSDT")
    with pytest.raises(DataUnavailable, match="NOSUCHUSDT"):
        manager.latest("bybit", "orderbook", "NOSUCHUSDT")


def test_an_exchange_that_is_not_there_is_unavailable_in_time():
    hasty = SETTINGS.model_copy(update={"timeout_s": 0.4})
    with WSManager(endpoints=NOWHERE, settings=hasty) as manager:
        began = time.monotonic()
        with pytest.raises(DataUnavailable, match="bybit"):
            manager.ensure("bybit", "orderbook", "BTCUSDT", timeout=PATIENCE_S)
        assert time.monotonic() - began < 0.5 * PATIENCE_S
        with pytest.raises(DataUnavailable, match=r"within 0.01 s"):
            manager.ensure("bybit", "trades", "BTCUSDT", timeout=0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.subscribe("bybit", "candles", "BTCUSDT"), "orderbook, klines, trades"),
        (lambda m: m.subscribe("bybit", "klines", "BTCUSDT"), "timeframe"),
        (lambda m: m.subscribe("bybit", "orderbook", "!"), "symbol"),
        (lambda m: m.subscribe("kraken", "orderbook", "BTCUSDT"), "kraken"),
        (lambda m: m.latest("bybit", "orderbook", "XRPUSDT"), "subscribe first"),
    ],
)
def test_a_mistake_is_one_sentence(manager, call, words):
    with pytest.raises(ConfigError, match=words):
        call(manager)


def test_a_closed_manager_ends_its_thread_and_sockets_and_takes_no_more(box):
    manager = WSManager(endpoints=box.endpoints, settings=SETTINGS)
    manager.ensure("bybit", "orderbook", "BTCUSDT")
    manager.close()
    manager.close()
    until(lambda: box.connections.open == 0)
    assert "live streams" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(InvariantError, match="closed"):
        manager.subscribe("bybit", "orderbook", "ETHUSDT")


def test_the_process_has_one_manager_with_one_set_of_settings(box):
    manager = ws_manager.get_manager(box.endpoints, SETTINGS)
    try:
        assert manager is ws_manager.get_manager()
        with pytest.raises(ConfigError, match="other settings"):
            ws_manager.get_manager(NOWHERE)
        ws_manager.subscribe("bybit", "trades", "BTCUSDT")
        assert () == ws_manager.latest("bybit", "trades", "BTCUSDT")[:0]
    finally:
        manager.close()
    with WSManager(endpoints=box.endpoints, settings=SETTINGS) as other:
        assert other is not manager
