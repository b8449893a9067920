"""The features of this house, in the order of the vector that the model sees."""

from __future__ import annotations

from features import technical as t
from features.fold import Feature, FeatureSet
from features.fold import fingerprint as fingerprint_of

#: Bar features, in order. Adding one is one line here; `features.checks` tests it by itself.
FEATURES: tuple[Feature, ...] = (
    t.log_return(1),
    t.log_return(5),
    t.log_return(20),
    t.ewma_vol(20),
    t.ewma_vol(120, seed=60),
    t.vol_ratio(20, 120),
    t.parkinson(20),
    t.garman_klass(20),
    t.rogers_satchell(20),
    t.yang_zhang(20),
    t.atr(14),
    t.atr_bps(14),
    t.trend(12, 48),
    t.ema_slope(12),
    t.zscore(20),
    t.efficiency(20),
    t.rsi(14),
    t.range_position(20),
    t.breakout(20),
    t.body_ratio(),
    t.close_location(),
    t.volume_zscore(20),
    t.candle_flow_proxy(20),
    t.taker_flow(1),
    t.taker_flow(20),
    t.amihud(20),
    t.roll_spread(20),
    t.autocorrelation(20),
    t.time_of_day_vol(),
    t.adjusted_vol(20),
)


def feature_set(symbols: int = 1) -> FeatureSet:
    """The registered features with fresh states."""
    return FeatureSet(FEATURES, symbols)


def fingerprint() -> str:
    """Hash of names, order and parameters of the registered features; stored with every model."""
    return fingerprint_of(FEATURES)
