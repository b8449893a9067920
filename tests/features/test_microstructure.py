"""Microstructure measures: golden values, symmetry and scale, and that they are what the live folds say."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import microstructure as ms
from features.check_inputs import random_books, random_tape, random_trades
from features.fold import FeatureSet
from features.orderflow import order_book_imbalance, weighted_mid
from features.registry import TRADE_FEATURES, feature_set
from features.rows.sources import Source
from features.rows.tape import PRINT, QUOTE
from utils.errors import DataError
from utils.market.book import ASKS, BIDS
from utils.rows import NS_PER_S
from utils.types import Trade

BOOK = {"bids": [(100, 10), (99.5, 20), (99, 5)], "asks": [(100.5, 6), (101, 4), (101.5, 30)]}
#: Appendix A of the definitions: best bid, its quantity, best ask, its quantity.
STATES = [
    (100, 10, 100.5, 8),
    (100, 12, 100.5, 8),
    (100, 12, 100.5, 5),
    (100.5, 4, 101, 6),
    (100.5, 4, 101, 9),
    (100, 7, 100.5, 3),
]
#: A time, ms and ns.
T0, NS = 1_700_000_000_000, 1_700_000_000_000_000_000
BOOKS = [{"bids": [(bid, qb)], "asks": [(ask, qa)]} for bid, qb, ask, qa in STATES]


def ccxt_trades(*sides_and_sizes, price=100.0):
    return [
        {"timestamp": T0 + 1000 * i, "side": side, "price": price, "amount": amount}
        for i, (side, amount) in enumerate(sides_and_sizes)
    ]


trade_lists = st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.floats(1e-3, 1e3)), min_size=1, max_size=30)


# --- order flow


def test_seven_bought_and_three_sold_is_an_imbalance_of_four_tenths():
    assert ms.order_flow_imbalance(ccxt_trades(("buy", 7.0), ("sell", 3.0))) == pytest.approx(0.4)


def test_imbalance_is_one_when_every_trade_is_a_buy():
    assert ms.order_flow_imbalance(ccxt_trades(("buy", 7.0), ("buy", 0.1))) == 1.0


def test_imbalance_of_no_trades_is_not_known():
    assert math.isnan(ms.order_flow_imbalance([]))


def test_imbalance_by_notional_weighs_prices():
    trades = pd.DataFrame({"ts": [T0, T0 + 1], "side": ["buy", "sell"], "price": [200.0, 100.0], "qty": [1.0, 2.0]})
    assert ms.order_flow_imbalance(trades) == pytest.approx(-1 / 3)
    assert ms.order_flow_imbalance(trades, notional=True) == 0.0


def test_trades_may_be_nouns():
    nouns = [Trade("X", 1, 1, 100.0, 7.0, 1), Trade("X", 2, 2, 100.0, 3.0, -1)]
    assert ms.order_flow_imbalance(nouns) == pytest.approx(0.4)


@given(trade_lists)
def test_imbalance_is_bounded_antisymmetric_and_free_of_scale(trades):
    value = ms.order_flow_imbalance(ccxt_trades(*trades))
    turned = [("sell" if side == "buy" else "buy", amount) for side, amount in trades]
    assert -1.0 <= value <= 1.0
    assert ms.order_flow_imbalance(ccxt_trades(*turned)) == pytest.approx(-value, abs=1e-12)
    scaled = [(side, 8.0 * amount) for side, amount in trades]
    assert ms.order_flow_imbalance(ccxt_trades(*scaled)) == pytest.approx(value, abs=1e-12)


@given(st.permutations([("buy", 1.0), ("sell", 2.5), ("buy", 0.25), ("sell", 4.0)]))
def test_imbalance_does_not_hang_on_the_order_within_a_moment(trades):
    same = [trade | {"timestamp": T0} for trade in ccxt_trades(*trades)]
    assert ms.order_flow_imbalance(same) == pytest.approx(-5.25 / 7.75)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [({"price": math.nan}, "row 1: price"), ({"amount": -1.0}, "row 1: amount"), ({"side": "up"}, "row 1: side")],
)
def test_a_trade_that_is_none_is_refused_with_its_row(broken, sentence):
    trades = ccxt_trades(("buy", 1.0), ("sell", 1.0))
    trades[1] |= broken
    with pytest.raises(DataError, match=sentence):
        ms.order_flow_imbalance(trades)


# --- book events


def test_order_flow_of_book_events_is_that_of_the_paper():
    flow = ms.book_ofi(BOOKS)
    assert math.isnan(flow[0])
    assert flow[1:].tolist() == [2.0, 3.0, 9.0, -3.0, -7.0]
    assert np.nansum(flow) == 4.0


def test_swapped_sides_turn_the_order_flow():
    mirrored = [{"bids": [(200 - ask, qa)], "asks": [(200 - bid, qb)]} for bid, qb, ask, qa in STATES]
    assert (-ms.book_ofi(BOOKS)[1:]).tolist() == ms.book_ofi(mirrored)[1:].tolist()


def test_nothing_is_differenced_across_an_empty_side():
    rows = random_books(6, seed=1)
    rows["prices"][2, ASKS] = np.nan
    rows["qtys"][2, ASKS] = 0.0
    assert np.isnan(ms.book_ofi(rows)).tolist() == [True, False, True, True, False, False]


def test_level_flows_of_a_window_are_sums_over_mean_depth():
    rows = random_books(400, seed=3)
    flows, windows = ms.multi_level_ofi(rows), ms.multi_level_ofi(rows, seconds=2.0, levels=3)
    place = np.maximum.accumulate(rows["ts"]) // (2 * NS_PER_S)
    chosen = place == place[0] + 2
    expected = flows[chosen, :3].sum(axis=0) / rows["qtys"][chosen].mean()
    assert windows[2].tolist() == pytest.approx(expected.tolist())
    assert np.isnan(windows[0]).all()  # it holds the reset


def test_the_ofi_fold_is_flow_over_mean_best_depth():
    rows = random_books(2000, seed=5)
    flow = ms.book_ofi(rows)
    fold = feature_set(source=Source.BOOK).batch(rows)["ofi_10s"]
    clock = np.maximum.accumulate(rows["ts"])
    bucket = clock // (NS_PER_S // 2)
    for i in (700, 1234, 1999):
        inside = (bucket > bucket[i] - 20) & (np.arange(2000) <= i)
        depth = 0.5 * rows["qtys"][inside][:, :, 0].sum(axis=1).mean()
        assert fold[i] == pytest.approx(flow[inside].sum() / depth)


def test_integrated_flow_follows_the_direction_in_which_all_levels_vary():
    dice = np.random.default_rng(1)
    common = dice.normal(size=500)
    ofi = np.outer(common, [0.5, 0.3, 0.2]) + 0.01 * dice.normal(size=(500, 3))
    values, weights = ms.integrated_ofi(ofi)
    assert weights.tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.01)
    assert np.corrcoef(values, common)[0, 1] > 0.99
    again, same = ms.integrated_ofi(-ofi[:10], weights)
    assert (again == -values[:10]).all()
    assert (same == weights).all()


def test_integrated_flow_wants_more_windows_than_levels():
    with pytest.raises(DataError, match="more whole rows than its 3 levels"):
        ms.integrated_ofi(np.ones((3, 3)))


# --- volume buckets and signs


def test_vpin_of_four_buckets():
    sizes = [("buy", 7.0), ("sell", 3.0), ("buy", 2.0), ("sell", 8.0), ("buy", 5.0), ("sell", 5.0), ("buy", 9.0)]
    assert math.isnan(ms.vpin(ccxt_trades(*sizes), 10.0, buckets=4))
    assert ms.vpin(ccxt_trades(*sizes, ("sell", 1.0)), 10.0, buckets=4) == pytest.approx(0.45)


def test_a_trade_is_split_over_buckets():
    assert ms.vpin(ccxt_trades(("buy", 15.0), ("sell", 5.0)), 10.0, buckets=2) == pytest.approx(0.5)


def test_vpin_without_a_volume_is_the_registered_feature():
    rows = random_trades(3000, seed=4)
    expected = FeatureSet(TRADE_FEATURES).batch(rows)["vpin_50"][-1]
    assert ms.vpin(rows) == expected


@given(trade_lists)
def test_vpin_does_not_know_buyers_from_sellers(trades):
    turned = [("sell" if side == "buy" else "buy", amount) for side, amount in trades]
    one, other = (ms.vpin(ccxt_trades(*each), 5.0, buckets=3) for each in (trades, turned))
    assert one == pytest.approx(other, nan_ok=True, abs=1e-9)
    assert math.isnan(one) or 0.0 <= one <= 1.0


def test_sign_memory_at_lag_one_is_the_registered_feature():
    rows = random_trades(203, seed=6)
    rows["ts"] = np.arange(203) * NS_PER_S
    memory = ms.sign_memory(rows[1:-1], lags=1)  # the fold leaves out the order that may go on
    fold = feature_set(source=Source.TRADE).batch(rows)["sign_memory_200"][-1]
    assert memory.orders == 201
    assert memory.autocorrelation[0] == pytest.approx(ms.sign_memory(rows[:-1], lags=1).autocorrelation[0], abs=0.02)
    assert fold == pytest.approx(np.mean(rows["side"][1:-1][:-1] * rows["side"][1:-1][1:]))


def test_sign_memory_finds_the_exponent_of_split_orders():
    dice = np.random.default_rng(2)
    signs = []
    hidden = [[dice.choice([-1, 1]), 0] for _ in range(10)]
    for _ in range(60_000):
        chosen = hidden[dice.integers(10)]
        if chosen[1] <= 0:
            chosen[:] = dice.choice([-1, 1]), math.ceil((1.0 - dice.random()) ** (-1 / 1.5))
        signs.append(chosen[0])
        chosen[1] -= 1
    trades = pd.DataFrame({"ts": T0 + np.arange(60_000), "side": signs, "price": 1.0, "qty": 1.0})
    memory = ms.sign_memory(trades, lags=300)
    assert 0.3 < memory.gamma < 0.75  # Lillo, Mike and Farmer: gamma = alpha - 1 = 0.5
    assert memory.autocorrelation[0] > 0.03


def test_a_power_law_fades_with_its_exponent_and_noise_with_none():
    lags = np.arange(1, 501)
    assert ms.fading(0.3 * lags**-0.6, 10**8) == pytest.approx(0.6)
    assert math.isnan(ms.fading(np.full(500, 1e-3), 100))
    assert ms.spaced_lags(500)[[0, -1]].tolist() == [1, 500]


def test_prints_of_one_order_are_one_sign():
    trades = ccxt_trades(*[("buy", 1.0)] * 150, *[("sell", 1.0)] * 150)
    assert ms.sign_memory(trades, lags=2).orders == 300
    assert ms.sign_memory([trade | {"timestamp": T0} for trade in trades], lags=2).orders == 2


# --- the book


def test_pressure_is_the_imbalance_weighed_by_distance():
    bids = sum(q * math.exp(-1e4 * (100.25 - p) / 100.25 / 5.0) for p, q in BOOK["bids"])
    asks = sum(q * math.exp(-1e4 * (p - 100.25) / 100.25 / 5.0) for p, q in BOOK["asks"])
    assert ms.bid_ask_pressure(BOOK) == pytest.approx((bids - asks) / (bids + asks))
    assert ms.depth_ratio(BOOK) == pytest.approx(math.log(bids / asks))


def test_pressure_of_the_best_levels_is_the_registered_feature():
    rows = random_books(50, seed=8)
    fold = feature_set(source=Source.BOOK).batch(rows)["pressure_10"]
    assert [ms.bid_ask_pressure(row) for row in rows] == pytest.approx(fold.tolist())


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8), st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8))
def test_pressure_is_bounded_antisymmetric_and_free_of_scale(bids, asks):
    def book(first, second, scale=1.0):
        return {
            "bids": [(100.0 - 0.01 * k, scale * q) for k, q in enumerate(first)],
            "asks": [(100.02 + 0.01 * k, scale * q) for k, q in enumerate(second)],
        }

    value = ms.bid_ask_pressure(book(bids, asks))
    assert -1.0 <= value <= 1.0
    assert ms.bid_ask_pressure(book(asks, bids)) == pytest.approx(-value, abs=1e-9)
    assert ms.bid_ask_pressure(book(bids, asks, 4.0)) == pytest.approx(value, abs=1e-12)


def test_quotes_lean_as_their_books_do():
    imbalances, mids = ms.leanings([BOOK, *BOOKS, {"bids": [], "asks": [(1, 1)]}])
    assert [order_book_imbalance(book) for book in (BOOK, *BOOKS)] == imbalances[:-1].tolist()
    assert [weighted_mid(book) for book in (BOOK, *BOOKS)] == mids[:-1].tolist()
    assert np.isnan([imbalances[-1], mids[-1]]).all()


def test_an_empty_side_has_no_pressure_and_a_crossed_book_is_refused():
    assert math.isnan(ms.bid_ask_pressure({"bids": [(1, 1)], "asks": []}))
    with pytest.raises(DataError, match="a crossed book is not a market"):
        ms.bid_ask_pressure({"bids": [(2, 1)], "asks": [(1, 1)]})


def test_the_depth_weighted_price_leans_to_the_larger_quantity():
    assert ms.depth_weighted_price({"bids": [(99, 1)], "asks": [(101, 3)]}) == 100.5
    assert ms.depth_weighted_price(BOOK, levels=1) == pytest.approx((1000 + 603) / 16)


# --- costs and impact


def quotes_at(*mids, spread=0.5):
    return pd.DataFrame(
        {
            "ts": [NS + 1000 * i for i in range(len(mids))],
            "bid": [mid - spread / 2 for mid in mids],
            "ask": [mid + spread / 2 for mid in mids],
        }
    )


def test_effective_and_realised_spread_and_their_difference():
    quotes = quotes_at(100.25, 100.40)
    trades = pd.DataFrame({"ts": [NS + 500], "side": ["buy"], "price": [100.50], "qty": [2.0]})
    assert ms.effective_spread(trades, quotes) == pytest.approx(49.87531, abs=1e-5)
    assert ms.realised_spread(trades, quotes, 500e-9) == pytest.approx(19.95012, abs=1e-5)
    assert ms.price_impact(trades, quotes, 500e-9) == pytest.approx(29.92519, abs=1e-5)


def test_a_trade_is_held_against_the_quote_strictly_before_it():
    trades = pd.DataFrame({"ts": [NS + 1000], "side": ["sell"], "price": [100.0], "qty": [2.0]})
    assert ms.effective_spread(trades, quotes_at(100.25, 90.0)) == pytest.approx(49.87531, abs=1e-5)


def test_costs_are_symmetric_in_the_side():
    quotes = quotes_at(100.0, 100.0)
    trades = pd.DataFrame({"ts": [NS + 1, NS + 2], "side": ["buy", "sell"], "price": [100.1, 99.9], "qty": [1.0, 1.0]})
    assert ms.print_costs(trades, quotes).tolist() == pytest.approx([20.0, 20.0])


def test_a_horizon_beyond_the_last_quote_is_not_known():
    trades = pd.DataFrame({"ts": [NS + 500], "side": ["buy"], "price": [100.50], "qty": [2.0]})
    assert math.isnan(ms.realised_spread(trades, quotes_at(100.25, 100.40), 5.0))


def test_quotes_may_be_taken_to_be_older_than_they_say():
    trades = pd.DataFrame({"ts": [NS + 500_000], "side": ["buy"], "price": [100.50], "qty": [2.0]})
    quotes = pd.DataFrame({"ts": [NS, NS + 1_000_000], "bid": [100.0, 100.15], "ask": [100.5, 100.65]})
    assert ms.effective_spread(trades, quotes) == pytest.approx(49.87531, abs=1e-5)
    assert ms.effective_spread(trades, quotes, offset_ms=1.0) == pytest.approx(19.92, abs=0.01)


def test_spread_folds_are_the_weighted_means_of_print_costs():
    tape = random_tape(4000, seed=3)
    tape["ts"] = np.maximum.accumulate(tape["ts"]) + np.arange(4000)  # no two rows of one time
    fold = feature_set(source=Source.TAPE).batch(tape)
    prints, quotes = tape[tape["kind"] == PRINT], tape[tape["kind"] == QUOTE]
    trades = pd.DataFrame({name: prints[name] for name in ("ts", "side", "price", "qty")})
    tops = pd.DataFrame({name: quotes[name] for name in ("ts", "bid", "ask")})
    bucket = 3 * NS_PER_S
    for name, horizon in (("effective_spread_60s_bps", None), ("realised_spread_60s_bps", 5.0)):
        costs = ms.print_costs(trades, tops, horizon)
        ends = prints["ts"] + (0 if horizon is None else 5 * NS_PER_S)
        for i in (2500, 3999):
            # a print is settled at the first row after its horizon
            seen = tape["ts"][
                np.minimum(np.searchsorted(tape["ts"], ends, side="left" if horizon is None else "right"), 3999)
            ]
            due = (ends < tape["ts"][i]) | (ends == tape["ts"][i] if horizon is None else False)
            inside = due & (seen // bucket > tape["ts"][i] // bucket - 20) & ~np.isnan(costs)
            expected = np.average(costs[inside], weights=prints["qty"][inside])
            assert fold[name][i] == pytest.approx(expected)


def test_kyle_lambda_with_and_without_intercept():
    q, dp = [3, -2, 5, 0.5, -4], [0.1, -0.05, 0.2, 0, -0.15]
    assert ms.kyle_lambda(q, dp) == pytest.approx(0.03679245, abs=1e-8)
    assert ms.kyle_lambda(q, dp, intercept=False) == pytest.approx(0.03686636, abs=1e-8)


def test_kyle_lambda_is_not_known_without_variance_and_refuses_nan():
    assert math.isnan(ms.kyle_lambda([1, 1, 1], [1, 2, 3]))
    assert math.isnan(ms.kyle_lambda([1, 2], [1, 2]))
    with pytest.raises(DataError, match="expected finite values"):
        ms.kyle_lambda([1, 2, math.nan], [1, 2, 3])


def test_the_kyle_fold_is_the_slope_over_the_last_whole_buckets():
    tape = random_tape(4000, seed=7)
    tape["ts"] = np.maximum.accumulate(tape["ts"])
    fold = feature_set(source=Source.TAPE).batch(tape)["kyle_lambda_60s"]
    number = tape["ts"] // (3 * NS_PER_S)
    signed = np.where(tape["kind"] == PRINT, tape["side"] * tape["price"] * tape["qty"], 0.0) / 1e6
    mid = pd.Series(0.5 * (tape["bid"] + tape["ask"])).ffill().to_numpy()
    for i in (2600, 3999):
        numbers = np.arange(number[i] - 20, number[i])
        volumes = [np.nansum(signed[number == k]) for k in numbers]
        ends = [mid[np.searchsorted(number, k, side="right") - 1] for k in (numbers[0] - 1, *numbers)]
        assert fold[i] == pytest.approx(ms.kyle_lambda(volumes, 1e4 * np.diff(np.log(ends))))


def test_amihud_leaves_out_bars_without_volume():
    bars = pd.DataFrame({"close": [100.0, 101.0, 101.0, 100.0], "volume": [1.0, 10.0, 0.0, 20.0]})
    expected = np.mean([1e10 * math.log(1.01) / 1010.0, 1e10 * math.log(1.01) / 2000.0])
    assert ms.amihud(bars) == pytest.approx(expected)


def test_books_of_rows_and_books_of_users_give_the_same_flow():
    rows = random_books(30, seed=9)
    held = [
        tuple([[p, q] for p, q in zip(row["prices"][side], row["qtys"][side], strict=True)] for side in (BIDS, ASKS))
        for row in rows
    ]
    assert np.array_equal(ms.multi_level_ofi(rows), ms.multi_level_ofi(held), equal_nan=True)


def test_costs_take_trades_that_can_be_read_only_once():
    trades = ccxt_trades(("buy", 1.0), ("sell", 1.0), ("buy", 2.0))
    quotes = [{"timestamp": T0, "bid": 99.0, "ask": 101.0}, {"timestamp": T0 + 10**9, "bid": 99.0, "ask": 101.0}]
    for measure in (ms.effective_spread, ms.realised_spread, ms.price_impact):
        assert measure(iter(trades), iter(quotes)) == measure(trades, quotes)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: ms.kyle_lambda(["dear"] * 3, [1, 2, 3]), "two lists of numbers"),
        (lambda: ms.amihud({"close": [1.0, 2.0], "volume": [1.0]}), "two columns of one length"),
        (lambda: ms.amihud({"close": np.ones((2, 2)), "volume": np.ones((2, 2))}), "two columns of one length"),
        (lambda: ms.integrated_ofi("none"), "expected numbers"),
        (lambda: ms.integrated_ofi([1.0, 2.0]), r"expected shape \(windows, levels\)"),
        (lambda: ms.integrated_ofi(np.ones((9, 2)), [0.0, 0.0]), "not all 0"),
        (lambda: ms.integrated_ofi(np.ones((9, 2)), ["a", "b"]), "expected numbers"),
        (lambda: ms.windows_of(np.array([0, 3600 * NS_PER_S]), 1e-6), "at most 10,000,000 windows"),
        (lambda: ms.windows_of(np.array([0, 1]), 1e-10), "from a nanosecond"),
        (lambda: ms.windows_of(np.array([0, 1]), math.inf), "from a nanosecond"),
        (lambda: ms.realised_spread([], [], math.inf), "horizon: expected seconds"),
        (lambda: ms.realised_spread([], [], 1e12), "horizon: expected seconds"),
        (lambda: ms.effective_spread([], [], math.nan), "offset_ms: expected milliseconds"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(ask, sentence):
    with pytest.raises(DataError, match=sentence):
        ask()


def test_integrated_flow_takes_lists():
    values, weights = ms.integrated_ofi([[1.0, 2.0], [2.0, 4.0], [-3.0, -6.0]])
    assert weights == pytest.approx([1 / 3, 2 / 3])
    assert values == pytest.approx([5 / 3, 10 / 3, -5.0])
