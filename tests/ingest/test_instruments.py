import math
from dataclasses import replace

import pytest

from ingest.instruments import LOT, MAINTENANCE, instrument_of
from ingest.synthetic import PRESETS, SyntheticFeed
from ingest.venues.facts import Listing
from tests.e2e.support import settings_of

CANDLES = replace(SyntheticFeed("MOCKUSDT", "1m", 1, "large-tick").candles(60), symbol="BTCUSDT")


def listed(**values):
    """An exchange's word for BTCUSDT."""
    silent = dict.fromkeys(("tick_size", "lot_size", "min_qty", "min_notional", "max_leverage", "listed_ms"))
    names = {"symbol": "BTCUSDT", "id": "BTCUSDT", "unified": "BTC/USDT:USDT", "market": "bybit_linear"}
    return Listing(**names, **{**silent, **values}, contract_size=1.0, status="Trading", active=True)


def of_market(market):
    return replace(CANDLES, market=market, source=market, rows=CANDLES.rows.copy())


def test_what_the_exchange_lists_wins_over_what_is_configured():
    listing = listed(tick_size=0.5, lot_size=0.01, min_notional=7.0)
    found, notes = instrument_of(of_market("bybit_linear"), settings_of(), 50, listing)
    assert (0.5, 0.01, 7.0) == (found.tick_size, found.lot_size, found.min_notional)
    assert "BTCUSDT: tick 0.5, lot 0.01 as bybit_linear lists them" in notes


def test_what_the_exchange_does_not_say_is_as_configured():
    found, _ = instrument_of(of_market("bybit_linear"), settings_of(), 50, listed())
    assert (0.1, 0.001, 5.0, 2.0, 5.5, 100.0) == (
        *(found.tick_size, found.lot_size, found.min_notional),
        *(found.maker_bps, found.taker_bps, found.max_leverage),
    )


def test_what_nobody_says_is_read_from_the_candles_or_assumed_and_said():
    found, notes = instrument_of(of_market("somewhere"), settings_of(), 50)
    assert (1e-4, LOT, 0.0, math.inf, MAINTENANCE) == (
        *(found.tick_size, found.lot_size, found.min_notional),
        *(found.max_leverage, found.maintenance),
    )
    assert [
        "BTCUSDT: tick 0.0001 inferred from the decimals of 50 warm-up bars",
        "BTCUSDT: lot 0.001 assumed",
        "BTCUSDT: maintenance margin 0.5 % assumed",
    ] == notes


def test_no_bar_after_the_first_ones_shows_the_tick():
    later = of_market("somewhere")
    later.rows["close"][55] = later.rows["high"][55] = 0.123456789
    assert 1e-4 == instrument_of(later, settings_of(), 50)[0].tick_size


@pytest.mark.parametrize(
    ("symbol", "name", "tick", "lot"),
    [
        ("BTCUSDT", "large-tick", 0.1, 0.001),
        ("BTCUSDT", "btc-like", 0.1, 0.001),
        ("SOLUSDC", "large-tick", 0.01, 0.1),
        ("SOLUSDC", "btc-like", 0.001, 0.1),  # a tick of 0.01 would be wider than its levels
    ],
)
def test_a_known_coin_has_its_own_tick_and_lot_on_the_mock_market(symbol, name, tick, lot):
    candles = SyntheticFeed(symbol, "1m", 1, name).candles(60)
    found, notes = instrument_of(candles, settings_of(simulation__preset=name), 50)
    assert (tick, lot, []) == (found.tick_size, found.lot_size, [note for note in notes if "mock" in note])


@pytest.mark.parametrize("name", PRESETS)
def test_a_name_the_mock_market_does_not_know_has_the_price_of_the_preset_and_that_is_said(name):
    candles = SyntheticFeed("WIFUSDT", "1m", 1, name).candles(60)
    found, notes = instrument_of(candles, settings_of(simulation__preset=name), 50)
    preset = PRESETS[name]
    assert (preset.tick, preset.lot) == (found.tick_size, found.lot_size)
    assert f"WIFUSDT: the mock market knows no price of it, {preset.start_price:g} assumed" in notes


def test_spot_candles_are_said_to_be_traded_as_a_perpetual():
    _, notes = instrument_of(of_market("binance_spot"), settings_of(), 50)
    assert "spot candles traded as if a perpetual" in notes[-1]
