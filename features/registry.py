"""The features of this house, in the order of the vector that the model sees."""

from __future__ import annotations

from features.fold import Feature, FeatureSet
from features.fold import fingerprint as fingerprint_of
from features.folds import book_flow, tape_flow, technical, trade_flow, volatility, volume
from features.rows.sources import Source

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


#: Features of the book's events.
BOOK_FEATURES: tuple[Feature, ...] = (
    book_flow.spread(),
    book_flow.mean_spread(10.0),
    book_flow.imbalance(1),
    book_flow.imbalance(5),
    book_flow.imbalance(10, decay=0.5),
    book_flow.pressure(10),
    book_flow.near_imbalance(),
    book_flow.near_depth(),
    book_flow.lean(),
    book_flow.ofi(1.0),
    book_flow.ofi(10.0),
    book_flow.deep_ofi(10.0),
    book_flow.mid_return(1.0),
    book_flow.mid_return(10.0),
    book_flow.mid_vol(60.0),
    book_flow.update_rate(10.0),
)

#: Features of prints.
TRADE_FEATURES: tuple[Feature, ...] = (
    trade_flow.trade_imbalance(10.0),
    trade_flow.trade_imbalance(60.0),
    trade_flow.hurry(2.0),
    trade_flow.trade_rate(10.0),
    trade_flow.turnover(60.0),
    trade_flow.sign_memory(200),
    trade_flow.vpin(20, 50),
)

#: Features of quotes and prints together.
TAPE_FEATURES: tuple[Feature, ...] = (
    tape_flow.effective_spread(60.0),
    tape_flow.realised_spread(60.0, horizon=5.0),
    tape_flow.kyle_lambda(60.0),
)

REGISTERED: dict[Source, tuple[Feature, ...]] = {
    Source.BAR: FEATURES,
    Source.BOOK: BOOK_FEATURES,
    Source.TRADE: TRADE_FEATURES,
    Source.TAPE: TAPE_FEATURES,
}


def feature_set(symbols: int = 1, source: Source = Source.BAR) -> FeatureSet:
    """The registered features of a source with fresh states."""
    return FeatureSet(REGISTERED[source], symbols)


def fingerprint(source: Source = Source.BAR) -> str:
    """Hash of names, order and parameters of a source's registered features; stored with every model."""
    return fingerprint_of(REGISTERED[source])
