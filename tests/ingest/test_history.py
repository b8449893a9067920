"""The past of a live market, asked of an exchange in a box."""

import numpy as np
import pytest

from ingest.history import fetch_candles, newest_bar, rest_backfill, source_of
from tests.ingest.rest.support import rest_box
from utils.config import load_settings
from utils.errors import DataUnavailable
from utils.rows import NS_PER_MINUTE
from utils.settings.tree import EndpointSettings


@pytest.fixture(scope="module")
def box():
    with rest_box() as box:
        yield box


def settings_at(endpoints, exchange="bybit"):
    settings = load_settings(env={}).settings
    market = settings.market.model_copy(update={"exchange": exchange})
    return settings.model_copy(update={"endpoints": endpoints, "market": market})


@pytest.mark.parametrize(("exchange", "folder"), [("bybit", "bybit_linear"), ("binance", "binance_usdm")])
def test_the_last_closed_candles_say_where_they_are_from(box, exchange, folder):
    candles = fetch_candles("BTCUSDT", "1m", 30, settings_at(box.endpoints, exchange))
    assert (30, "BTCUSDT", "1m", folder) == (len(candles.rows), candles.symbol, candles.tf, candles.market)
    assert candles.source.startswith(f"{exchange}@127.0.0.1:")


def test_what_a_stream_missed_is_asked_for_by_its_closes_both_ends_included(box):
    settings = settings_at(box.endpoints)
    closes = fetch_candles("BTCUSDT", "1m", 30, settings).rows["ts"]
    missed = rest_backfill("1m", settings)("BTCUSDT", int(closes[5]), int(closes[8]))
    assert closes[5:9].tolist() == missed["ts"].tolist()
    assert {NS_PER_MINUTE} == set(np.diff(missed["ts"]))


def test_the_newest_bar_is_asked_for_once_in_a_while_unless_it_must_be_fresh(box):
    settings = settings_at(box.endpoints)

    def asked():
        return sum("kline" in str(request) for request in box.requests)

    counts, bars = [asked()], []
    for fresh in (False, False, True):
        bars.append(newest_bar("BTCUSDT", "1m", settings, fresh=fresh))
        counts.append(asked())
    assert [1, 0, 1] == np.diff(counts).tolist()
    assert (bars[0].ts, bars[0].close) == (bars[1].ts, bars[1].close)
    assert ("BTCUSDT", "1m", True) == (bars[0].symbol, bars[0].tf, bars[0].ts_recv >= bars[0].ts)
    assert bars[0].ts in fetch_candles("BTCUSDT", "1m", 3, settings).rows["ts"]


def test_at_its_own_address_an_exchange_needs_no_address():
    assert "bybit" == source_of(settings_at(EndpointSettings()))


def test_an_exchange_that_is_not_there_is_no_history():
    nowhere = EndpointSettings(bybit_rest="http://127.0.0.1:9")
    settings = settings_at(nowhere)
    quick = settings.ingest.model_copy(update={"retries": 1, "backoff_s": 0.001, "backoff_max_s": 0.01})
    with pytest.raises(DataUnavailable, match="bybit"):
        fetch_candles("BTCUSDT", "1m", 30, settings.model_copy(update={"ingest": quick}))
