"""In what state the market is, where it goes and how long that lasts: the promised place of these names.

Regimes are defined in `ml.market.regime`, forecasts of volatility in `ml.market.forecasts`, momentum and half-lives in
`ml.market.momentum`.
"""

from __future__ import annotations

from ml.market.forecasts import ForecastScore, compare_forecasts, ewma_forecast, har_forecast, qlike, realised_ahead
from ml.market.momentum import MomentumDecay, VarianceRatio, ar1_half_life, momentum_decay, ou_half_life, variance_ratio
from ml.market.regime import (
    BORDERS,
    EXTREME,
    HIGH,
    LOW,
    NAMES,
    NORMAL,
    UNKNOWN,
    Regimes,
    RegimeTracker,
    price_regime,
    volatility_regime,
)

__all__ = [
    "BORDERS",
    "EXTREME",
    "HIGH",
    "LOW",
    "NAMES",
    "NORMAL",
    "UNKNOWN",
    "ForecastScore",
    "MomentumDecay",
    "RegimeTracker",
    "Regimes",
    "VarianceRatio",
    "ar1_half_life",
    "compare_forecasts",
    "ewma_forecast",
    "har_forecast",
    "momentum_decay",
    "ou_half_life",
    "price_regime",
    "qlike",
    "realised_ahead",
    "variance_ratio",
    "volatility_regime",
]
