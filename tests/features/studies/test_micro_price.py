"""Micro-price: a chain whose truth is known is recovered, its symmetries hold, and it is judged on recorded quotes."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.check_inputs import random_books
from features.checks import check_feature
from features.fold import FeatureSet, fingerprint
from features.orderflow import micro_price, weighted_mid
from features.rows.users import quote_rows
from features.studies.micro_price import MicroPrice, fit_micro_price, micro_adjustment, micro_lean, micro_prices
from ingest.tape import replay
from tests.places import RECORDINGS
from utils.errors import ConfigError, DataError

#: Imbalance buckets, spreads in ticks, moves of the mid in half ticks: even ones keep the spread, odd ones change it.
BUCKETS, SPREADS, MOVES = 6, (1, 2), (-2, -1, 0, 1, 2)
TICK = 0.5


def chain(seed=5):
    """P[level, spread, move, next level]: a symmetrical market that leans with its imbalance."""
    dice = np.random.default_rng(seed)
    raw = dice.uniform(0.2, 1.0, (BUCKETS, 2, len(MOVES), BUCKETS))
    lean = (np.arange(BUCKETS) - (BUCKETS - 1) / 2) / BUCKETS
    raw *= np.exp(1.5 * lean[:, None, None, None] * np.array(MOVES)[:, None])
    raw[:, :, 2] *= 6.0
    # a level stays near itself
    raw *= np.exp(-0.3 * np.abs(np.arange(BUCKETS)[:, None] - np.arange(BUCKETS)))[:, None, None, :]
    raw += raw[::-1, :, ::-1, ::-1]
    return raw / raw.sum(axis=(2, 3), keepdims=True)


def truth(chain):
    """Where the mid ends, in ticks, from each (level, spread): the sum of all expected moves to come."""
    states = BUCKETS * 2
    step, drift = np.zeros((states, states)), np.zeros(states)
    for level in range(BUCKETS):
        for spread in range(2):
            for number, move in enumerate(MOVES):
                after = spread if move % 2 == 0 else 1 - spread
                for to in range(BUCKETS):
                    p = chain[level, spread, number, to]
                    step[level * 2 + spread, to * 2 + after] += p
                    drift[level * 2 + spread] += 0.5 * p * move
    total = np.zeros(states)
    for _ in range(2000):
        total += drift
        drift = step @ drift
    return total.reshape(BUCKETS, 2)


def walk(chain, steps, seed=7):
    """Quotes that the chain made."""
    dice = np.random.default_rng(seed)
    cumulated = np.cumsum(chain.reshape(BUCKETS, 2, -1), axis=2)
    draws, inside = dice.random(steps), dice.random(steps)
    level, spread, half_ticks = 0, 0, 20_001
    rows = np.empty((steps, 4))
    for number in range(steps):
        bid, ask = half_ticks - SPREADS[spread], half_ticks + SPREADS[spread]
        share = (level + inside[number]) / BUCKETS
        rows[number] = 0.5 * TICK * bid, 0.5 * TICK * ask, 10.0 * share, 10.0 * (1.0 - share)
        drawn = min(int(np.searchsorted(cumulated[level, spread], draws[number])), len(MOVES) * BUCKETS - 1)
        move, level = MOVES[drawn // BUCKETS], drawn % BUCKETS
        half_ticks += move
        spread = spread if move % 2 == 0 else 1 - spread
    frame = pd.DataFrame(rows, columns=["bid", "ask", "bid_qty", "ask_qty"])
    return frame.assign(ts=1_700_000_000 + np.arange(steps))


@pytest.fixture(scope="module")
def market():
    return walk(chain(), 100_000)


@pytest.fixture(scope="module")
def model(market):
    return fit_micro_price(market, BUCKETS, 2, tick=TICK)


def test_a_chain_whose_truth_is_known_is_recovered(model):
    expected = truth(chain())[BUCKETS // 2 :]
    assert np.abs(expected).max() > 0.4
    assert np.abs(model.table - expected).max() < 0.06
    assert (99_999, True) == (model.n, model.converged)
    assert [1.5, math.inf] == model.edges.tolist()


def test_more_terms_change_nothing_once_the_sum_has_converged(market, model):
    longer = fit_micro_price(market, BUCKETS, 2, tick=TICK, terms=60)
    scale = np.abs(longer.table).max()
    assert np.abs(longer.table - model.table).max() < 0.02 * scale
    assert not fit_micro_price(market, BUCKETS, 2, tick=TICK, terms=1).converged


def test_a_market_and_its_mirror_give_the_same_model(market, model):
    mirror = market.assign(
        bid=1e5 - market["ask"], ask=1e5 - market["bid"], bid_qty=market["ask_qty"], ask_qty=market["bid_qty"]
    )
    other = fit_micro_price(mirror, BUCKETS, 2, tick=TICK)
    assert model.table == pytest.approx(other.table, abs=1e-9)


def test_a_model_scales_with_price_and_not_with_quantity(market, model):
    scaled = market * [8.0, 8.0, 3.0, 3.0, 1]
    other = fit_micro_price(scaled, BUCKETS, 2, tick=8.0 * TICK)
    assert model.table == pytest.approx(other.table, abs=1e-9)


def test_without_a_tick_the_unit_is_a_basis_point_and_spreads_are_split_by_their_quantiles(market, model):
    found = fit_micro_price(market, BUCKETS, 1)
    one = fit_micro_price(market, BUCKETS, 1, tick=TICK)
    mid = float((market["bid"] + market["ask"]).mean()) / 2
    assert math.isnan(found.tick)
    assert found.table * 1e-4 * mid == pytest.approx(one.table * TICK, rel=0.02)
    halves = fit_micro_price(market, BUCKETS, 2)
    spread = 1e4 * (market["ask"] - market["bid"]) / (market["ask"] + market["bid"]) * 2
    assert float(spread[:-1].median()) == pytest.approx(halves.edges[0])


def test_a_book_and_its_row_have_the_micro_price_of_the_model(model):
    book = {"bids": [[100.0, 9.0]], "asks": [[100.5, 1.0]]}
    expected = 100.25 + TICK * model.table[2, 0]
    row = quote_rows(
        pd.DataFrame({"ts": [1_700_000_000], "bid": [100.0], "ask": [100.5], "bid_qty": [9.0], "ask_qty": [1.0]})
    )
    assert expected == micro_price(book, model) == micro_prices(row, model)[0] == model.price(row)
    assert math.isnan(micro_price({"bids": [], "asks": [[1.0, 1.0]]}, model))


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6), st.integers(1, 5))
def test_swapping_the_sides_of_a_book_mirrors_its_micro_price(model, bid_qty, ask_qty, ticks):
    ask = 100.0 + ticks * TICK
    one = micro_price(([[100.0, bid_qty]], [[ask, ask_qty]]), model)
    other = micro_price(([[100.0, ask_qty]], [[ask, bid_qty]]), model)
    assert one + other == pytest.approx(100.0 + ask, abs=1e-9)
    assert (one == 0.5 * (100.0 + ask)) or ((one > other) == (bid_qty > ask_qty))


def test_a_state_that_was_never_seen_has_no_value():
    edges, table = np.array([1.5, math.inf]), np.array([[0.1, math.nan]])
    assert [0.1, -0.1, 0.0] == [micro_adjustment(edges, table, side, 1.0) for side in (0.3, -0.3, 0.0)]
    assert all(
        math.isnan(micro_adjustment(edges, table, side, spread))
        for side, spread in [(0.3, 2.0), (0.0, 2.0), (math.nan, 1.0), (0.3, math.nan)]
    )


def test_no_step_leads_across_a_gap_an_empty_side_or_the_end(market):
    rows = quote_rows(market)
    rows["fresh"][50] = 1
    rows["bid"][70] = math.nan
    assert len(rows) - 1 - 1 - 2 == fit_micro_price(rows, BUCKETS, 2, tick=TICK).n
    assert len(rows) - 3 == fit_micro_price(market, BUCKETS, 2, tick=TICK, step_s=3.0).n


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"imbalance_buckets": 5}, "even"),
        ({"imbalance_buckets": 0}, "even"),
        ({"spread_buckets": 0}, "at least 1"),
        ({"terms": 0}, "at least 1"),
        ({"tick": 0.0}, "tick"),
        ({"tick": math.nan}, "tick"),
        ({"step_s": -1.0}, "step_s"),
    ],
)
def test_settings_that_mean_nothing_are_refused(market, settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        fit_micro_price(market, **settings)


def test_too_few_quotes_a_mid_that_never_moves_and_missing_quantities_are_refused(market):
    with pytest.raises(DataError, match=r"at least 10,000 steps .* saw 99"):
        fit_micro_price(market.head(100))
    with pytest.raises(DataError, match="lead to a move"):
        fit_micro_price(market.assign(bid=99.0, ask=100.0))
    with pytest.raises(DataError, match="with prices and quantities"):
        fit_micro_price(market.drop(columns="bid_qty"))


def judged(rows: np.ndarray, tick: float, horizon_s: float) -> dict[str, float]:
    """Mean squared error, in squared ticks, of three forecasts of the mid `horizon_s` on, over the second half."""
    half = len(rows) // 2
    model: MicroPrice = fit_micro_price(rows[:half], 10, 2, tick=tick)
    test = rows[half:]
    mid = 0.5 * (test["bid"] + test["ask"])
    weighted = (test["bid"] * test["ask_qty"] + test["ask"] * test["bid_qty"]) / (test["bid_qty"] + test["ask_qty"])
    later = np.searchsorted(test["ts"], test["ts"] + int(horizon_s * 1e9), side="right") - 1
    known = test["ts"] + int(horizon_s * 1e9) <= test["ts"][-1]
    forecasts = {"mid": mid, "weighted": weighted, "micro": micro_prices(test, model)}
    return {
        name: float(np.nanmean(((forecast - mid[later])[known] / tick) ** 2)) for name, forecast in forecasts.items()
    }


@pytest.mark.parametrize(
    ("name", "tick"),
    [
        ("binance_usdm/ETHUSDT_20240808T2354_346s", 0.01),
        pytest.param("binance_usdm/ETHUSDT_20240718T2357_480s", 0.01, marks=pytest.mark.long),
        pytest.param("binance_usdm/BTCUSDT_20240718T2357_480s", 0.1, marks=pytest.mark.long),
        pytest.param("binance_usdm/BTCUSDT_20240808T2354_346s", 0.1, marks=pytest.mark.long),
        pytest.param("binance_spot/BTCUSDT_20240808T2354_651s", 0.01, marks=pytest.mark.long),
    ],
)
def test_on_recorded_quotes_it_forecasts_the_mid_of_a_second_later_better_than_mid_and_weighted_mid(name, tick):
    path = RECORDINGS / f"{name}.jsonl.zst"
    if not path.is_file():
        pytest.skip("no recordings beside this tree")
    rows = quote_rows(list(replay(path, kinds=["quote"])))
    error = judged(rows, tick, 1.0)
    assert error["micro"] < error["mid"]
    assert error["micro"] < error["weighted"]


def test_the_weighted_mid_of_a_book_is_the_one_it_is_judged_against():
    assert 100.45 == weighted_mid({"bids": [[100.0, 9.0]], "asks": [[100.5, 1.0]]})


def test_the_micro_price_is_a_fold_of_the_book_that_conforms():
    books = random_books(20_000, seed=11)
    model = fit_micro_price(books, tick=0.1)
    feature = micro_lean(model)
    check_feature(feature)
    found = FeatureSet((feature,)).batch(books)["micro_price_bps"]
    mid = books["prices"][:, :, 0].mean(axis=1)
    expected = [1e4 * (micro_price(row, model) / m - 1.0) for row, m in zip(books[:50], mid[:50], strict=True)]
    assert found[:50].tolist() == pytest.approx(expected, abs=1e-9)
    again = micro_lean(fit_micro_price(random_books(20_000, seed=12), tick=0.1))
    assert fingerprint((feature,)) != fingerprint((again,))
