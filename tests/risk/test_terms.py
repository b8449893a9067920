"""What settings and instrument say about a size: looked up once, off where the settings say 0."""

import math

from risk.terms import terms_of
from utils.settings.tree import InstrumentEntry, RiskSettings, Settings
from utils.types import Instrument


def test_terms_are_looked_up_once_for_the_same_settings():
    settings = Settings()
    assert terms_of(settings, None, None) is terms_of(settings, None, None)
    assert repr(terms_of(settings, None, None)) == repr(terms_of(None, None, None))


def test_a_limit_of_zero_is_off():
    terms = terms_of(Settings(risk=RiskSettings(max_heat=0.0, max_risk_per_trade=0.0, drawdown_floor=0.0)), None, None)
    assert (True, True, 0.0025) == (math.isnan(terms.max_heat), math.isnan(terms.drawdown_floor), terms.risk)


def test_the_cap_on_a_trade_holds_also_where_its_value_is_fixed():
    assert 0.001 == terms_of(Settings(risk=RiskSettings(max_risk_per_trade=0.001)), None, None).risk
    assert 0.01 == terms_of(Settings(risk=RiskSettings(sizing="fixed")), None, None).risk


def test_what_the_settings_know_of_an_instrument_is_used():
    entry = InstrumentEntry(tick=0.5, lot=0.01, min_notional=5.0, maker_bps=1.0, taker_bps=3.0, max_leverage=20.0)
    terms = terms_of(Settings(instruments={"default": {"default": entry}}), None, "ETHUSDT")
    assert ("ETHUSDT", 0.5, 0.01, 5.0) == (terms.symbol, terms.tick, terms.lot, terms.min_notional)
    assert (1.0, 3.0, 20.0) == (terms.maker_bps, terms.taker_bps, terms.venue_leverage)


def test_an_instrument_names_the_symbol():
    assert "SOLUSDT" == terms_of(None, Instrument("SOLUSDT", 0.01, 0.1), None).symbol
