"""The features of this house, in the order of the vector that the model sees."""

from __future__ import annotations

from features import technical, volatility, volume
from features.fold import Feature, FeatureSet
from features.fold import fingerprint as fingerprint_of

#: Bar features, in order. Adding one is one line here; `features.checks` tests it by itself.
FEATURES: tuple[Feature, ...] = (
    technical.log_return(1),
    technical.log_return(5),
    technical.log_return(20),
    volatility.ewma_vol(20),
    volatility.ewma_vol(120, seed=60),
    volatility.vol_ratio(20, 120),
    volatility.parkinson(20),
    volatility.garman_klass(20),
    volatility.atr(14),
    technical.gap(),
    technical.trend(12, 48),
    technical.ema_slope(12),
    technical.zscore(20),
    technical.efficiency(20),
    technical.rsi(14),
    technical.range_position(20),
    technical.breakout(20),
    technical.body_ratio(),
    technical.close_location(),
    technical.upper_wick(),
    technical.run(),
    volume.volume_ratio(20),
    volume.candle_flow_proxy(20),
    volume.taker_flow(1),
    volume.taker_flow(20),
    volume.amihud(20),
    volume.roll_spread(20),
    volume.autocorrelation(20),
    technical.to_funding(),
    volatility.adjusted_vol(20),
)


def feature_set(symbols: int = 1) -> FeatureSet:
    """The registered features with fresh states."""
    return FeatureSet(FEATURES, symbols)


def fingerprint() -> str:
    """Hash of names, order and parameters of the registered features; stored with every model."""
    return fingerprint_of(FEATURES)
