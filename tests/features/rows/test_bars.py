"""The prepared row: what features share of a bar, and the logarithm that is cheaper than two."""

import math
from decimal import Decimal

import numpy as np
import pytest

from features.check_inputs import random_bars
from features.rows.bars import BAR_ROW, BAR_SHARED, SERIES, log_ratio, prepare_bar
from tests.market import NAN, bars

NEEDS_A_BAR_BEFORE = ("prev_close", "change", "log_return", "log_gap", "true_range")


def prepared(rows):
    """The prepared rows of one symbol's bars."""
    shared, out = np.zeros(1, BAR_SHARED), np.zeros(len(rows), BAR_ROW)
    for i in range(len(rows)):
        prepare_bar(shared[0], rows[i], out[i])
    return out


def ulps_off(a, b):
    """How far log_ratio is from ln(a / b), in units of the last place."""
    exact = (Decimal(a) / Decimal(b)).ln()
    return float(abs(Decimal(log_ratio(a, b)) - exact)) / math.ulp(float(exact))


def pairs(reach):
    """Prices on a grid of 0.1 and their neighbours, up to `reach` away in logarithm."""
    dice = np.random.default_rng(8)
    first = (60_000.0 * np.exp(dice.normal(0.0, 0.5, 2_000))).round(1)
    second = (first * np.exp(dice.uniform(-reach, reach, 2_000))).round(1)
    return [(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True) if a != b]


@pytest.mark.parametrize("reach", [1e-4, 1e-2, 1.9 * SERIES])
def test_logarithm_of_near_prices_is_exact_to_three_ulps(reach):
    assert max(ulps_off(a, b) for a, b in pairs(reach)) <= 3.0


def test_logarithm_of_far_prices_is_the_difference_of_two():
    far = [(a, b) for a, b in pairs(2.0) if abs(a - b) / (a + b) > SERIES]
    assert len(far) > 1_500
    assert [math.log(a) - math.log(b) for a, b in far] == [log_ratio(a, b) for a, b in far]


def test_logarithm_goes_on_smoothly_where_the_series_ends():
    below, above = (100.0 * (1.0 + z) / (1.0 - z) for z in (SERIES * (1.0 - 1e-9), SERIES * (1.0 + 1e-9)))
    assert pytest.approx(math.log(above / below), rel=1e-4) == log_ratio(above, 100.0) - log_ratio(below, 100.0)


def test_logarithm_of_a_ratio_turned_round_is_its_negative():
    both = pairs(1e-2) + pairs(2.0)
    assert [-log_ratio(b, a) for a, b in both] == [log_ratio(a, b) for a, b in both]


def test_logarithm_of_equal_prices_is_zero():
    assert 0.0 == log_ratio(0.1, 0.1)


def test_inverses_of_close_range_and_volume():
    (row,) = prepared(bars((100.0, 104.0, 96.0, 80.0, 5.0)))
    assert (0.0125, 0.125, 0.2) == (row.per_close, row.per_range, row.per_volume)


def test_inverse_of_no_range_and_of_no_volume_is_zero():
    (row,) = prepared(bars((100.0, 100.0, 100.0, 100.0, 0.0)))
    assert (0.0, 0.0) == (row.per_range, row.per_volume)


def test_a_first_bar_has_nothing_that_needs_the_one_before():
    (row,) = prepared(bars((100.0, 101.0, 99.0, 100.5)))
    assert all(math.isnan(row[name]) for name in NEEDS_A_BAR_BEFORE)
    assert (1, 0.0, 0.0) == (row["count"], row.still, row.frozen)


def test_gap_is_from_the_close_before_to_this_open():
    rows = prepared(bars((100.0, 100.0, 100.0, 100.0), (101.0, 101.0, 101.0, 101.0), (101.0, 102.0, 101.0, 102.0)))
    assert pytest.approx(math.log(1.01), rel=1e-15) == rows[1].log_gap
    assert 0.0 == rows[2].log_gap


def test_true_range_reaches_back_to_the_close_before():
    rows = prepared(bars((100.0, 100.0, 100.0, 100.0), (103.0, 104.0, 102.0, 103.0), (101.0, 101.5, 101.0, 101.0)))
    assert [4.0, 2.0] == rows["true_range"][1:].tolist()


def test_still_and_frozen_count_the_bars_in_a_row_that_did_not_move():
    flat, wick = (100.0, 100.0, 100.0, 100.0), (100.0, 101.0, 100.0, 100.0)
    rows = prepared(bars(flat, flat, flat, wick, (100.0, 101.0, 100.0, 101.0)))
    assert [0.0, 1.0, 2.0, 3.0, 0.0] == rows["still"].tolist()
    assert [0.0, 1.0, 2.0, 0.0, 0.0] == rows["frozen"].tolist()


def test_logarithms_of_a_bar_are_those_of_its_prices():
    made = random_bars(500, seed=7)
    rows = prepared(made)
    before = np.concatenate(([NAN], made["close"][:-1]))
    for name, above, below in (
        ("log_body", made["close"], made["open"]),
        ("log_range", made["high"], made["low"]),
        ("log_gap", made["open"], before),
        ("log_return", made["close"], before),
    ):
        np.testing.assert_allclose(rows[name], np.log(above / below), rtol=0.0, atol=1e-14, err_msg=name)


def test_minute_is_that_of_the_utc_day_at_the_close():
    rows = prepared(random_bars(1_500, seed=7))
    stamps = np.array(rows["time_ms"], "datetime64[ms]")
    minutes = (stamps - stamps.astype("datetime64[D]")) // np.timedelta64(1, "m")
    assert minutes.tolist() == rows["minute"].tolist()
