"""What must hold of event features whatever the market: mirrored sides, other units, another hour, another order."""

import numpy as np
import pytest

from features.check_inputs import random_books, random_tape, random_trades
from features.registry import BOOK_FEATURES, REGISTERED, TAPE_FEATURES, TRADE_FEATURES, feature_set
from features.rows.sources import Source
from features.rows.tape import PRINT
from utils.market.book import ASKS, BIDS
from utils.rows import NS_PER_S

#: +1 = the same when buyers and sellers change places, -1 = turned.
PARITY = {
    "spread_bps": 1,
    "spread_10s_bps": 1,
    "imbalance_1": -1,
    "imbalance_5": -1,
    "imbalance_10_decayed": -1,
    "pressure_10": -1,
    "imbalance_5bps": -1,
    "depth_5bps": 1,
    "weighted_mid_bps": -1,
    "ofi_1s": -1,
    "ofi_10s": -1,
    "ofi_10_levels_10s": -1,
    "mid_return_1s_bps": -1,
    "mid_return_10s_bps": -1,
    "mid_vol_60s_bps": 1,
    "book_rate_10s": 1,
    "trade_imbalance_10s": -1,
    "trade_imbalance_60s": -1,
    "trade_imbalance_fading_2s": -1,
    "trade_rate_10s": 1,
    "turnover_60s": 1,
    "sign_memory_200": 1,
    "vpin_50": 1,
    "effective_spread_60s_bps": 1,
    "realised_spread_60s_bps": 1,
    "kyle_lambda_60s": 1,
}
#: What grows with the quantities, and how.
BY_QUANTITY = {"depth_5bps": 1, "turnover_60s": 1, "kyle_lambda_60s": -1}
#: What grows with the price.
BY_PRICE = {"depth_5bps": 1, "turnover_60s": 1, "kyle_lambda_60s": -1}
#: What the order of prints of one moment may change: how they fall into buckets, and which are one order.
ORDERED = {"vpin_50", "sign_memory_200"}
#: Mirrored prices are as far from the centre, not as large: relative measures differ by the price's own moves.
CENTRE = 60_000.0

EVENT_FEATURES = (*BOOK_FEATURES, *TRADE_FEATURES, *TAPE_FEATURES)
BY_NAME = pytest.mark.parametrize("feature", EVENT_FEATURES, ids=lambda feature: feature.name)


def rows_of(source):
    return {Source.BOOK: random_books, Source.TRADE: random_trades, Source.TAPE: random_tape}[source](4000, 21)


def values(feature, rows):
    return feature_set(source=feature.source).batch(rows)[feature.name]


def mirrored(rows, source):
    """Bids and asks, and buyers and sellers, change places; prices are mirrored at the centre."""
    rows = rows.copy()
    if source is Source.BOOK:
        for name in ("prices", "qtys", "near"):
            rows[name] = rows[name][:, ::-1]
        rows["prices"] = 2 * CENTRE - rows["prices"]
        return rows
    rows["side"] = -rows["side"]
    rows["price"] = 2 * CENTRE - rows["price"]
    if source is Source.TAPE:
        rows["bid"], rows["ask"] = 2 * CENTRE - rows["ask"], 2 * CENTRE - rows["bid"]
    return rows


def scaled(rows, price=1.0, qty=1.0):
    rows = rows.copy()
    for name in {"prices", "price", "bid", "ask"} & set(rows.dtype.names):
        rows[name] *= price
    for name in {"qtys", "near", "qty"} & set(rows.dtype.names):
        rows[name] *= qty
    return rows


def test_every_event_feature_says_how_it_turns():
    assert {feature.name for feature in EVENT_FEATURES} == set(PARITY)
    assert sum(len(features) for features in REGISTERED.values()) == 30 + len(PARITY)


@BY_NAME
def test_swapped_sides_turn_it_or_leave_it(feature):
    rows = rows_of(feature.source)
    one, other = values(feature, rows), values(feature, mirrored(rows, feature.source))
    size = np.nanmax(np.abs(one))
    assert size > 0.0
    assert other == pytest.approx(PARITY[feature.name] * one, abs=2e-3 * size, rel=2e-3, nan_ok=True)


@BY_NAME
def test_other_units_of_quantity_change_only_what_is_in_them(feature):
    rows = rows_of(feature.source)
    power = BY_QUANTITY.get(feature.name, 0)
    found = values(feature, scaled(rows, qty=8.0))
    assert found == pytest.approx(values(feature, rows) * 8.0**power, rel=1e-12, nan_ok=True)


@BY_NAME
def test_other_units_of_price_change_only_what_is_in_them(feature):
    rows = rows_of(feature.source)
    power = BY_PRICE.get(feature.name, 0)
    found = values(feature, scaled(rows, price=4.0))
    assert found == pytest.approx(values(feature, rows) * 4.0**power, rel=1e-9, abs=1e-9, nan_ok=True)


@BY_NAME
def test_another_hour_changes_nothing(feature):
    rows = rows_of(feature.source)
    later = rows.copy()
    later["ts"] += 3600 * NS_PER_S
    assert values(feature, rows).tobytes() == values(feature, later).tobytes()


@pytest.mark.parametrize("feature", TRADE_FEATURES + TAPE_FEATURES, ids=lambda feature: feature.name)
def test_the_order_of_prints_of_one_moment_does_not_matter_once_it_is_over(feature):
    rows = rows_of(feature.source)
    rows["ts"] = np.maximum.accumulate(rows["ts"]) // 200_000_000 * 200_000_000
    dice = np.random.default_rng(3)
    order = np.arange(len(rows))
    prints = rows["kind"] == PRINT if feature.source is Source.TAPE else np.ones(len(rows), bool)
    starts = np.flatnonzero(np.diff(rows["ts"], prepend=-1) | (prints != np.roll(prints, 1)))
    for first, last in zip(starts, [*starts[1:], len(rows)], strict=True):
        if first > 0 and prints[first]:
            order[first:last] = dice.permutation(order[first:last])
    assert (order != np.arange(len(rows))).sum() > 300
    ends = np.append(starts[1:] - 1, len(rows) - 1)
    one, other = values(feature, rows)[ends], values(feature, rows[order])[ends]
    if feature.name in ORDERED:
        assert not np.array_equal(one, other, equal_nan=True)
    else:
        assert other == pytest.approx(one, rel=1e-9, nan_ok=True)


def test_a_move_from_before_a_silence_is_not_of_the_last_minute():
    rows = random_books(3, 1)
    rows["fresh"], rows["ts"] = (1, 0, 0), [0, 61 * NS_PER_S, 3700 * NS_PER_S]
    rows["prices"][1:] = 1.01 * rows["prices"][0]
    feature = next(feature for feature in BOOK_FEATURES if feature.name == "mid_vol_60s_bps")
    assert values(feature, rows)[2] == 0.0


def test_a_horizon_that_ended_before_a_silence_is_not_of_the_last_minute():
    rows = random_tape(4000, 21)
    rows = rows[rows["ts"] <= rows["ts"][0] + 80 * NS_PER_S][-1500:]
    rows["fresh"][0], rows["ts"][-1] = 1, rows["ts"][-1] + 3600 * NS_PER_S
    feature = next(feature for feature in TAPE_FEATURES if feature.name == "realised_spread_60s_bps")
    rows["ts"][:-1] += np.arange(1499) * NS_PER_S // 10
    assert np.isfinite(values(feature, rows)[-2:]).tolist() == [True, False]


def test_the_sides_of_a_book_row_are_the_books():
    row = random_books(1, 1)[0]
    assert row["prices"][BIDS, 0] < row["prices"][ASKS, 0]
