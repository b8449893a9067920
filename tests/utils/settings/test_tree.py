"""The tree of settings: venues and their fees, addresses, what is closed and frozen."""

from __future__ import annotations

import ast
from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError

from tests.places import DATA, ROOT
from tests.settings import refusal
from utils.errors import ConfigError
from utils.market.timeframes import TIMEFRAMES
from utils.settings.keys import default_leaves, section_model
from utils.settings.tree import SAME_VENUE, VENUES, Settings, Timeframe

CANDLES = DATA / "ohlcv"
PACKAGES = ("backtest", "exec", "features", "ingest", "ml", "model", "risk", "utils")


WRONG_ADDRESSES = {
    "bybit_rest": ("http://exchange.test", "http://127.0.0.1.x.test", "http://[::1", "https://x:99999", "https://a b"),
    "cryptopanic": ("wss://stream.bybit.com", "ws://127.0.0.1:8900", "file:///etc/passwd", "https://x/?a=1", "x.test"),
    "bybit_ws": ("ws://exchange.test", "https://stream.bybit.com", "http://127.0.0.1:8900", "wss://user:word@x.test"),
}


@pytest.mark.parametrize(("name", "address"), [(n, a) for n, several in WRONG_ADDRESSES.items() for a in several])
def test_an_address_that_cannot_be_asked_or_that_others_could_read_along_is_refused(load, name, address):
    told = refusal(load, f"endpoints:\n  {name}: '{address}'\n")
    usual = "wss; ws" if name == "bybit_ws" else "https; http"
    assert told.startswith(f"endpoints.{name}: expected {usual} on this machine only, saw ")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("bybit_rest", "http://localhost:8900/"),
        ("bybit_rest", "https://api.bytick.com"),
        ("bybit_ws", "ws://[::1]:8900"),
        ("bybit_ws", "wss://stream.bytick.com"),
    ],
)
def test_an_address_may_be_this_machine_or_anything_encrypted(load, name, address):
    assert address.rstrip("/") == getattr(load(f"endpoints:\n  {name}: '{address}'\n").settings.endpoints, name)


@pytest.mark.parametrize(
    ("venue", "fees"),
    [
        ("binance_usdm", (2.0, 5.0)),
        ("binance_usdm_flow", (2.0, 5.0)),
        ("binance_spot", (10.0, 10.0)),
        ("bybit_linear", (2.0, 5.5)),
        ("bybit_spot", (10.0, 10.0)),
        ("synthetic", (2.0, 5.0)),
        ("some_folder", (2.0, 5.0)),
    ],
)
def test_every_venue_has_fees(venue, fees):
    instrument = Settings().instrument(venue, "NEWUSDT")
    assert fees == (instrument.maker_bps, instrument.taker_bps)
    assert instrument.tick is None


def test_an_entry_is_laid_over_the_venues_default_field_by_field(load):
    config = "instruments: {bybit_linear: {default: {taker_bps: 4}, BTCUSDT: {maker_bps: -1, tick: null}}}"
    found = load(config).settings.instrument("bybit_linear", "BTCUSDT")
    assert (found.maker_bps, found.taker_bps, found.tick, found.lot) == (-1.0, 4.0, None, 0.001)


def test_the_flow_folder_is_the_same_market():
    settings = Settings()
    assert settings.instrument("binance_usdm", "BTCUSDT") == settings.instrument("binance_usdm_flow", "BTCUSDT")
    assert set(SAME_VENUE.values()) <= set(VENUES)


def test_fees_taken_away_are_missed(load):
    settings = load("instruments: {default: {default: {maker_bps: null}}, synthetic: {X: {tick: 1}}}").settings
    with pytest.raises(ConfigError, match=r"set instruments\.default\.default\.maker_bps"):
        settings.instrument("synthetic", "X")


@pytest.mark.skipif(not CANDLES.is_dir(), reason="the recorded candles (../shared/data/ohlcv) are not here")
def test_configured_ticks_and_lots_divide_every_recorded_price_and_volume():
    parquet = pytest.importorskip("pyarrow.parquet")
    settings = Settings()
    checked = 0
    for path in sorted(CANDLES.glob("*/*/*.parquet")):
        instrument = settings.instrument(path.parent.parent.name, path.name.partition("_")[0])
        columns = {"open": instrument.tick, "high": instrument.tick, "low": instrument.tick}
        columns |= {"close": instrument.tick, "volume": instrument.lot}
        for column, step in columns.items():
            if step is None:
                continue
            values = parquet.read_table(path, columns=[column]).column(0).to_numpy()
            decimals = len(f"{step:.10f}".rstrip("0").partition(".")[2])
            multiples = values * 10**decimals
            off = np.abs(multiples - np.round(multiples)) > 1e-9 * np.maximum(np.abs(multiples), 1e3)
            assert f"{step:g}" == f"{10.0**-decimals:g}"
            assert off.sum() == 0, f"{path.name} {column}: {values[off][:3]}"
            checked += 1
    assert checked > 0


def test_settings_are_frozen_and_closed():
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.risk.take_bps = 1.0
    with pytest.raises(ValidationError):
        Settings(nothing=1)
    assert section_model("instruments") is None


def test_settings_know_the_timeframes_that_the_market_knows():
    assert tuple(TIMEFRAMES) == get_args(Timeframe)


def read_of(sections):
    """Dotted keys of these sections that the program reads as `section.key`."""
    found = set()
    for path in (ROOT / "app.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(above := node.value, ast.Name | ast.Attribute):
                section = above.id if isinstance(above, ast.Name) else above.attr
                found |= {f"{section}.{node.attr}"} if section in sections else set()
    return found


def test_every_setting_of_the_api_and_of_its_trainings_is_read():
    keys = {key for key in default_leaves() if key.startswith(("api.", "retrain."))}
    assert set() == keys - read_of({"api", "retrain"})
