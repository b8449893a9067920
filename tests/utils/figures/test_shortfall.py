"""Implementation shortfall: its parts by hand, and what they add up to."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.figures.shortfall import NO_SHORTFALL, order_costs, shortfall

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
    "spread_cost": np.array([0.2, 0.0]),
}


def test_each_part_is_its_price_difference_over_the_decided_notional():
    parts = shortfall(order_costs(**ORDERS), funding=0.1808)
    notional = 1000.0 + 808.0
    assert parts.delay_bps == pytest.approx((0.4 + 0.8) / notional * 1e4)
    assert parts.trading_bps == pytest.approx((0.56 + 0.8) / notional * 1e4)
    assert parts.spread_bps == pytest.approx(0.2 / notional * 1e4)
    assert parts.impact_bps == pytest.approx((0.36 + 0.8) / notional * 1e4)
    assert parts.opportunity_bps == pytest.approx(0.8 / notional * 1e4)
    assert parts.funding_bps == pytest.approx(1.0)
    assert parts.fees_bps == pytest.approx(0.8405 / notional * 1e4)
    traded = parts.spread_bps + parts.impact_bps
    assert parts.total_bps == parts.delay_bps + traded + parts.fees_bps + parts.opportunity_bps


def test_the_golden_order_costs_22_bps_and_says_on_what():
    golden = {name: values[:1] for name, values in ORDERS.items()}
    costs = order_costs(**golden)
    parts = (costs.delay, costs.spread + costs.impact, costs.opportunity, costs.fees)
    assert [float(part[0]) for part in parts] == pytest.approx([0.40, 0.56, 0.80, 0.4405])
    assert shortfall(costs).total_bps == pytest.approx(22.005)
    assert math.isnan(shortfall(costs).funding_bps)


@pytest.mark.parametrize("unknown", [None, np.full(2, np.nan)])
def test_without_the_spread_the_trading_part_is_told_whole(unknown):
    costs = order_costs(**{**ORDERS, "spread_cost": unknown})
    known, parts = shortfall(order_costs(**ORDERS)), shortfall(costs)
    assert (parts.trading_bps, parts.delay_bps) == (known.trading_bps, known.delay_bps)
    assert math.isnan(parts.spread_bps)
    assert math.isnan(parts.impact_bps)
    assert parts.total_bps == pytest.approx(known.total_bps)
    assert costs.total == pytest.approx(order_costs(**ORDERS).total)


PRICES = st.floats(0.01, 1e5)
ORDER = st.tuples(
    st.sampled_from([1.0, -1.0]), st.floats(0.001, 1e4), st.floats(0.0, 1.0), *[PRICES] * 4, st.floats(-10.0, 1e3),
    st.floats(0.0, 1e3),
)  # fmt: skip


@given(st.lists(ORDER, min_size=1, max_size=5))
def test_the_parts_are_what_the_paper_portfolio_earned_more_than_the_real_one(orders):
    side, qty, share, decision, arrival, fill, end, fees, spread = map(np.array, zip(*orders, strict=True))
    filled = np.where(share > 0.99, qty, qty * share)
    costs = order_costs(side, qty, filled, decision, arrival, fill, end, fees, spread)
    behind = Fraction(0)
    for row in zip(side, qty, filled, decision, fill, end, fees, strict=True):
        d, q, f, pd, p, pn, fee = map(Fraction, map(float, row))
        paper = d * q * (pn - pd)
        real = d * f * (pn - p) - (fee if f else 0)
        behind += paper - real
    size = float(np.sum(qty * np.maximum.reduce([decision, arrival, fill, end])) + np.sum(np.abs(fees) + spread))
    assert abs(float(np.sum(costs.total)) - float(behind)) <= 1e-11 * size
    parts = shortfall(costs)
    together = parts.delay_bps + (parts.spread_bps + parts.impact_bps) + parts.fees_bps + parts.opportunity_bps
    assert parts.total_bps == together
    each = costs.delay + (costs.spread + costs.impact) + costs.fees + costs.opportunity
    assert np.array_equal(costs.total, each)


def test_without_orders_nothing_is_known():
    nothing = shortfall(order_costs(**{name: values[:0] for name, values in ORDERS.items()}))
    assert nothing is NO_SHORTFALL
    assert math.isnan(nothing.total_bps)


def test_what_float_sums_leave_of_an_order_is_no_missed_part():
    dust = shortfall(order_costs(**{**ORDERS, "filled_qty": np.array([10.0 - 1e-12, 8.0])}))
    assert dust.opportunity_bps == 0.0
