"""Implementation shortfall: its parts by hand, and what they add up to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from utils.figures.shortfall import NO_SHORTFALL, shortfall

#: A buy of 10 of which 8 filled, and a sell of 8 that filled whole.
ORDERS = {
    "side": np.array([1.0, -1.0]),
    "qty": np.array([10.0, 8.0]),
    "filled_qty": np.array([8.0, 8.0]),
    "decision_price": np.array([100.0, 101.0]),
    "arrival_price": np.array([100.05, 100.9]),
    "fill_price": np.array([100.12, 100.8]),
    "end_price": np.array([100.40, np.nan]),
    "fees": np.array([0.4405, 0.4]),
}


def test_each_part_is_its_price_difference_over_the_decided_notional():
    parts = shortfall(**ORDERS)
    notional = 1000.0 + 808.0
    assert parts.delay_bps == pytest.approx((0.4 + 0.8) / notional * 1e4)
    assert parts.trading_bps == pytest.approx((0.56 + 0.8) / notional * 1e4)
    assert parts.opportunity_bps == pytest.approx(0.8 / notional * 1e4)
    assert parts.fees_bps == pytest.approx(0.8405 / notional * 1e4)
    assert parts.total_bps == parts.delay_bps + parts.trading_bps + parts.opportunity_bps + parts.fees_bps


def test_without_orders_nothing_is_known():
    nothing = shortfall(**{name: values[:0] for name, values in ORDERS.items()})
    assert nothing is NO_SHORTFALL
    assert math.isnan(nothing.total_bps)


def test_what_float_sums_leave_of_an_order_is_no_missed_part():
    dust = shortfall(**{**ORDERS, "filled_qty": np.array([10.0 - 1e-12, 8.0])})
    assert dust.opportunity_bps == 0.0
