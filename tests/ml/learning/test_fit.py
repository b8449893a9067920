from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ml.learning.fit import block_error, expectation, fit_meta, threshold_of
from ml.learning.walk import known_at
from ml.scoring import scored
from tests.ml.learning.made import made
from utils.errors import DataError


def test_the_slope_is_that_of_weighted_least_squares_shrunk_by_its_error():
    dice = np.random.default_rng(1)
    raw, weight = dice.normal(size=500), dice.uniform(0.1, 1.0, 500)
    net = 2.0 + 5.0 * raw + dice.normal(0.0, 10.0, 500)
    intercept, slope, fitted, error = expectation(raw, net, weight)
    design = np.column_stack([np.ones(500), raw]) * np.sqrt(weight)[:, None]
    plain = np.linalg.lstsq(design, net * np.sqrt(weight), rcond=None)[0]
    assert fitted == pytest.approx(plain[1])
    assert slope == pytest.approx(fitted * (1.0 - (error / fitted) ** 2))
    mean = np.average(net, weights=weight)
    assert intercept + slope * np.average(raw, weights=weight) == pytest.approx(mean)


def test_a_slope_within_its_error_or_below_zero_expects_the_mean():
    raw = np.linspace(-1.0, 1.0, 200)
    for net in (-raw, np.where(np.arange(200) % 2, 5.0, -5.0)):
        intercept, slope, _, _ = expectation(raw, net, np.ones(200))
        assert slope == 0.0
        assert intercept == pytest.approx(net.mean())


def test_a_score_that_does_not_vary_expects_the_mean():
    assert expectation(np.full(50, 0.3), np.arange(50.0), np.ones(50))[:2] == (24.5, 0.0)


def test_the_error_of_blocks_grows_with_what_neighbours_share():
    values = np.repeat(np.random.default_rng(2).normal(size=100), 10)
    plain = values.std(ddof=1) / math.sqrt(len(values))
    assert block_error(values, 10) == pytest.approx(math.sqrt(10.0) * plain, rel=0.05)
    assert math.isnan(block_error(values[:10], 10))


def test_without_an_edge_no_threshold_is_usually_worth_it_and_with_one_there_is():
    found = []
    for edge in (-5.0, 15.0):
        table = made(3000, edge_bps=edge)
        table = replace(table, net=table.net - 2.0)
        fitted = fit_meta(known_at(table, int(table.ts[-1])), "logistic", "f", seed=1)
        found.append(fitted)
    assert math.isinf(found[0].meta.threshold_bps)
    assert found[0].calibration_trades == 0
    assert found[1].meta.threshold_bps >= 0.0
    assert found[1].calibration_bps > 0.0


def test_a_threshold_is_never_below_zero_nor_of_few_trades():
    table = made(400, edge_bps=30.0)
    fitted = fit_meta(known_at(table, int(table.ts[-1])), "logistic", "f", seed=1)
    few = table.take(slice(0, 60))
    threshold, trades = threshold_of(few, scored(fitted.meta, few.x))
    assert math.isinf(threshold) or (threshold >= 0.0 and len(trades) >= 30)


def test_rows_that_reach_into_the_calibration_are_not_learned_from():
    table = made(1000)
    whole = known_at(table, int(table.ts[-1]))
    fitted = fit_meta(whole, "logistic", "f", seed=1)
    instants = np.unique(whole.ts)
    since = instants[math.floor(0.7 * len(instants))]
    assert fitted.learned == int(((whole.ts < since) & (whole.until <= since).any(axis=1)).sum())
    assert fitted.calibrated == int((whole.ts >= since).sum())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.take(slice(0, 50)), "ask for more bars"),
        (lambda table: replace(table, net=np.abs(table.net)), "ask for more bars, or other barriers"),
        (lambda table: table.take(slice(0, 1)), "several times"),
    ],
)
def test_too_few_labels_or_one_class_are_refused(change, said):
    with pytest.raises(DataError, match=said):
        fit_meta(change(made(1000)), "logistic", "f", seed=1)
