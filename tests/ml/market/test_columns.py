"""What the chapters share, against plain re-computations and statsmodels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.check_inputs import random_bars
from features.folds.technical import log_return
from features.registry import feature_set
from ml.market.columns import closes_of, folded, one_column, require, rows_ahead, variance_of_sum, volatility_of
from utils.errors import ConfigError, DataError

NAN = math.nan


@given(st.lists(st.floats(-9.0, 9.0), max_size=12), st.integers(1, 15))
@settings(max_examples=40)
def test_rows_ahead_are_the_rows_that_come_and_nan_where_none_does(values, rows):
    expected = [*values[rows:], *[NAN] * min(rows, len(values))]
    assert expected == pytest.approx(list(rows_ahead(np.array(values), rows)), abs=0.0, nan_ok=True)


@pytest.mark.parametrize("lags", [0, 1, 7, 299])
def test_the_variance_of_a_sum_is_that_of_statsmodels(lags):
    kernel = pytest.importorskip("statsmodels.stats.sandwich_covariance").S_hac_simple
    dice = np.random.default_rng(1).standard_normal(302)
    scores = dice[2:] + dice[1:-1] + 0.5 * dice[:-2]
    scores -= scores.mean()
    assert float(kernel(scores[:, None], nlags=lags)[0, 0]) == pytest.approx(variance_of_sum(scores, lags))


def test_a_feature_of_closes_has_the_bits_of_the_registered_one():
    bars = random_bars(300, seed=3)
    whole = feature_set().batch(bars)
    assert whole[log_return(1).name].tobytes() == folded(bars, log_return(1)).tobytes()
    assert whole["ewma_vol_20_bps"].tobytes() == volatility_of(list(bars["close"]), 20).tobytes()


def test_one_column_keeps_its_holes_and_refuses_what_is_none():
    assert [1.0, NAN] == pytest.approx(list(one_column([1, NAN], "x")), nan_ok=True)
    for values in ([1.0, math.inf], [[1.0]], ["much"]):
        with pytest.raises(DataError, match=r"^x"):
            one_column(values, "x")


def test_closes_are_above_0():
    assert [1.0, 2.0] == list(closes_of([1.0, 2.0]))
    with pytest.raises(DataError, match="row 1"):
        closes_of([1.0, -2.0])


def test_a_setting_that_does_not_hold_is_told_with_what_was_seen():
    require(True, "q", "2 bars or more", 2)
    with pytest.raises(ConfigError, match=r"^q: expected 2 bars or more, got 1$"):
        require(False, "q", "2 bars or more", 1)
