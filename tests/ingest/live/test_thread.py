"""A live market for a reader that is no coroutine, from an exchange in a box."""

import time

import pytest

from ingest.live.thread import MarketStream
from tests.boxes import PATIENCE_S, box_in_thread
from utils.errors import DataUnavailable
from utils.settings.tree import EndpointSettings, Settings
from utils.types import BookDelta, BookSnapshot, Trade


def settings_at(endpoints, exchange="bybit", **ingest):
    plain = Settings()
    return plain.model_copy(
        update={
            "endpoints": endpoints,
            "market": plain.market.model_copy(update={"exchange": exchange}),
            "ingest": plain.ingest.model_copy(update=ingest),
        }
    )


def heard(stream, wanted):
    """Events until one of each wanted kind has come."""
    events, until = [], time.monotonic() + PATIENCE_S
    while not set(wanted) <= {type(event) for event in events}:
        assert time.monotonic() < until, f"only { ({type(event).__name__ for event in events}) }"
        event = stream.get(0.5)
        events += [] if event is None else [event]
    return events


@pytest.mark.parametrize("books_of", ["bybit", "binance"])
def test_books_and_prints_come_through_one_queue_wherever_they_are_from(books_of):
    with box_in_thread(symbols=("BTCUSDT",)) as box:
        with MarketStream(["BTCUSDT"], "1m", books_of, settings_at(box.endpoints)) as stream:
            events = heard(stream, {BookSnapshot, BookDelta, Trade})
        assert {"BTCUSDT"} == {event.symbol for event in events}


def test_a_reader_that_asks_too_early_gets_nothing_and_waits_no_longer_than_it_said():
    with box_in_thread(symbols=("BTCUSDT",)) as box:
        box.freeze()
        with MarketStream(["BTCUSDT"], "1m", "bybit", settings_at(box.endpoints)) as stream:
            assert stream.get(0.0) is None


def test_an_exchange_that_is_not_there_raises_from_get():
    nowhere = EndpointSettings(bybit_ws="ws://127.0.0.1:9", bybit_rest="http://127.0.0.1:9")
    quick = {"retries": 1, "backoff_s": 0.01, "backoff_max_s": 0.02, "timeout_s": 1.0}
    stream = MarketStream(["BTCUSDT"], "1m", "bybit", settings_at(nowhere, **quick))
    with stream, pytest.raises(DataUnavailable, match="bybit"):
        heard(stream, {BookSnapshot})


def test_a_stream_that_is_left_has_no_thread_behind_it():
    with box_in_thread(symbols=("BTCUSDT",)) as box:
        with MarketStream(["BTCUSDT"], "1m", "bybit", settings_at(box.endpoints)) as stream:
            heard(stream, {BookSnapshot})
        assert not stream._thread.is_alive()
