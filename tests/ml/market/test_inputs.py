"""Bars with their costs: what the settings say, what a user says otherwise, and one sentence where it cannot be."""

import pytest

from ml.features_advanced import read_market
from ml.market.inputs import market_of
from tests.e2e.support import settings_of
from tests.ml.walks import walk
from utils.codes import MARKET, POST_ONLY
from utils.errors import ConfigError
from utils.rows import NS_PER_MINUTE
from utils.settings.tree import Settings
from utils.types import Instrument

CANDLES = walk(60)
KNOWN = Instrument("BTCUSDT", tick_size=0.1, lot_size=1e-3)


def test_costs_are_the_settings_unless_told_otherwise():
    market = read_market(CANDLES, settings=settings_of())
    # post-only at Bybit: 2 to enter, 2 at the take; 5.5 and half a spread and slippage at the stop
    assert (4.0, 9.0) == market.costs()
    assert (POST_ONLY, "post_only") == (market.params["entry_kind"][0], market.entry)
    crossed = read_market(
        CANDLES, settings=settings_of(), entry="market", taker_bps=4.0, half_spread_bps=0.0, slippage_bps=0.5
    )
    assert (6.5, 9.0) == crossed.costs()
    assert MARKET == crossed.params["entry_kind"][0]


def test_the_tick_is_the_symbols_or_shows_in_the_prices():
    assert 0.1 == read_market(CANDLES, settings=settings_of()).instrument["tick"][0]
    assert 0.01 == read_market(CANDLES, settings=settings_of(), symbol="SOLUSDT").instrument["tick"][0]
    assert 0.5 == read_market(CANDLES, settings=settings_of(), tick=0.5).instrument["tick"][0]


def test_a_market_keeps_what_it_was_told():
    first = read_market(CANDLES, settings=settings_of(), maker_bps=-1.0, symbol="ETHUSDT")
    again = read_market(first, slippage_bps=2.0)
    assert (-1.0, 2.0, "ETHUSDT") == (again.instrument["maker_bps"][0], again.params["slippage_bps"][0], again.symbol)
    with pytest.raises(ConfigError, match="timeframe: the score has settled it"):
        read_market(first, timeframe="1m")


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ({"entry": "stop"}, "entry: expected one of market, limit, post_only, saw 'stop'"),
        ({"taker_bps": float("nan")}, "taker_bps: expected a number from -10 to 1000 bps, saw nan"),
        ({"slippage_bps": -1.0}, "slippage_bps: expected a number from 0 to 1000 bps, saw -1.0"),
        ({"tick": 0.0}, "tick: expected a finite price step above 0, saw 0.0"),
        ({"tick": "0.1"}, "tick: expected a finite price step above 0, saw '0.1'"),
        ({"taker_fee_bps": 9.0}, "taker_fee_bps: expected one of symbol, timeframe, .*, tick, saw another name"),
        ({"timeframe": "1h"}, "timeframe: expected 5m as the bars of frame are, seen 1h"),
    ],
)
def test_terms_that_cannot_be_are_refused(terms, text):
    with pytest.raises(ConfigError, match=text):
        read_market(CANDLES, settings=settings_of(), **terms)


def test_without_settings_the_built_in_defaults_count_whatever_stands_around(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("simulation: {spread_bps: 50.0}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCALPER__RISK__TAKE_BPS", "99")
    bars = read_market(CANDLES, settings=Settings()).bars
    market = market_of(bars, {}, tf_ns=5 * NS_PER_MINUTE, instrument=KNOWN)
    given = market_of(bars, {"settings": Settings()}, tf_ns=5 * NS_PER_MINUTE, instrument=KNOWN)
    assert given.params.tobytes() == market.params.tobytes()
    assert given.instrument.tobytes() == market.instrument.tobytes()
    assert given.settings == market.settings
