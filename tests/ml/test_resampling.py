"""Rank correlation, from sums."""

import math

import numpy as np
import pandas as pd
import pytest

from ml.resampling import correlation, products, spearman


def test_rank_correlation_is_pandas_and_survives_any_rising_function():
    dice = np.random.default_rng(5)
    x = dice.normal(size=300)
    y = x + dice.normal(size=300)
    expected = pd.Series(x).rank().corr(pd.Series(y).rank())
    assert spearman(x, y) == pytest.approx(expected, abs=1e-12)
    assert spearman(np.exp(x), y) == pytest.approx(expected, abs=1e-12)
    assert spearman(x, -y) == pytest.approx(-expected, abs=1e-12)


def test_a_side_that_does_not_vary_has_no_correlation():
    assert math.isnan(spearman(np.ones(5), np.arange(5.0)))
    assert math.isnan(spearman(np.ones(1), np.ones(1)))
    assert np.isnan(correlation(products(np.ones(4), np.arange(4.0)).sum(axis=0)[None])).all()
