"""The promised place of regimes, forecasts and momentum hands out what the chapters define."""

import pytest

from ml import regime
from ml.market import forecasts, momentum
from ml.market import regime as definitions


@pytest.mark.parametrize(
    ("chapter", "names"),
    [
        (forecasts, "ForecastScore compare_forecasts ewma_forecast har_forecast qlike realised_ahead"),
        (
            definitions,
            "Regimes RegimeTracker price_regime volatility_regime NAMES BORDERS LOW NORMAL HIGH EXTREME",
        ),
        (momentum, "MomentumDecay VarianceRatio ar1_half_life momentum_decay ou_half_life variance_ratio"),
    ],
)
def test_the_promised_place_hands_out_what_the_chapters_define(chapter, names):
    assert set(names.split()) <= set(regime.__all__)
    assert [getattr(chapter, name) for name in names.split()] == [getattr(regime, name) for name in names.split()]


def test_it_hands_out_nothing_else():
    names = {name for name in vars(regime) if not name.startswith("_") and name != "annotations"}
    assert set(regime.__all__) == names
