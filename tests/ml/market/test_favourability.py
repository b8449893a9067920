"""The score of a market: causal, bounded, refutable, and refuted where it should be."""

import math

import numpy as np
import pytest

from ml.features_advanced import read_market
from ml.market.favourability import EQUAL, WEIGHTS, favourability, score_table, score_test
from ml.market.regime import EXTREME
from tests.e2e.support import CANDLES, settings_of
from tests.ml.walks import walk
from utils.errors import ConfigError, DataError

SETTINGS = settings_of()
MOODY = walk(9_000, moody=True, seed=2)


def market(frame=MOODY, **terms):
    return read_market(frame, settings=SETTINGS, **terms)


def test_the_shipped_score_is_the_rank_of_cost_coverage_with_hard_zeros():
    found = favourability(market())
    known = np.isfinite(found.weighted)
    assert np.array_equal(100.0 * found.components["cost_coverage"][known], found.weighted[known])
    dead = (found.coverage < 1.5) | (found.regime == EXTREME)
    assert np.array_equal(np.where(dead, 0.0, found.weighted)[known], found.score[known])
    assert 0 < dead[known].sum() < known.sum()


def test_coverage_is_the_expected_move_over_the_round_trip():
    found = favourability(market(), horizon=30)
    sigma = market().features("ewma_vol_20_bps")["ewma_vol_20_bps"]
    expected = 0.7978845608 * sigma * math.sqrt(30) / 9.0
    assert found.coverage == pytest.approx(expected, nan_ok=True, rel=1e-9)


def test_the_score_lies_between_0_and_100_and_is_unknown_at_first():
    score = favourability(market(), weights=EQUAL).score
    assert np.isnan(score[:200]).all()
    assert ((score[600:] >= 0.0) & (score[600:] <= 100.0)).all()


def test_later_bars_change_nothing():
    frame = MOODY.assign(spread_bps=1.0 + np.arange(9_000) % 7, vpin=0.3)
    whole = score_table(market(frame), weights=EQUAL)
    for cut in (2_500, 4_001):
        part = score_table(market(frame[:cut]), weights=EQUAL)
        assert part.equals(whole[:cut])


def test_missing_components_are_left_out_and_the_others_make_up_for_it():
    found = favourability(market(), weights={"cost_coverage": 1.0, "funding_window": 1.0, "depth": 2.0})
    assert {"cost_coverage": 0.5, "funding_window": 0.5} == found.weights
    assert ("depth",) == found.missing


def test_narrow_spreads_depth_and_calm_flow_are_better():
    rising = np.linspace(1.0, 2.0, 9_000)
    frame = MOODY.assign(spread_bps=rising, depth=rising, trade_rate=rising, vpin=rising / 2.0)
    last = {name: column[-1] for name, column in favourability(market(frame)).components.items()}
    assert last["spread"] < 0.01
    assert last["vpin"] < 0.01
    assert last["depth"] > 0.99
    assert last["trade_rate"] > 0.99


def test_a_spread_that_was_seen_is_what_crossing_costs():
    frame = MOODY.assign(spread_bps=11.0)
    # one crossing of a maker's round trip: half of 11 bps instead of half of 1
    assert 14.0 == favourability(market(frame)).cost_bps[-1]
    assert 24.0 == favourability(market(frame, entry="market")).cost_bps[-1]


def test_the_funding_window_closes_in_at_the_settlement():
    table = score_table(market()).set_index("time")["funding_window"]
    day = table["2025-01-08"]
    assert [0.0, 1 / 3, 2 / 3, 1.0, 1.0] == pytest.approx(day[:5].tolist())
    assert 0.0 == day.loc["2025-01-08 08:00:00+00:00"]


def test_a_bar_without_a_trade_is_worth_nothing():
    frame = MOODY.copy()
    frame.loc[8_999, "volume"] = 0.0
    assert 0.0 == favourability(market(frame)).score[-1]


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ({"luck": 1.0}, "weights: expected components among cost_coverage, .*, saw 'luck'"),
        ({"spread": -1.0}, "weights: expected a number of 0 or more for spread, saw -1.0"),
        ({"depth": 1.0}, "weights: expected one above 0 among cost_coverage, funding_window"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights, text):
    with pytest.raises(ConfigError, match=text):
        favourability(market(), weights=weights)


def test_a_horizon_of_no_bars_is_refused():
    for horizon in (0, 1.5, math.nan, "20"):
        with pytest.raises(ConfigError, match="horizon: expected a whole number of bars, at least 1, saw "):
            favourability(market(), horizon=horizon)
    with pytest.raises(ConfigError, match="weights: expected a number of 0 or more for cost_coverage, saw '1'"):
        favourability(market(), weights={"cost_coverage": "1"})


@pytest.mark.parametrize(("asked", "text"), [({"first": -5}, "first: expected a row"), ({"draws": 1}, "at least 2")])
def test_a_test_that_cannot_be_is_refused(asked, text):
    with pytest.raises(ConfigError, match=text):
        score_test(market(), **asked)


def test_where_volatility_lasts_the_score_foretells_the_move_beyond_costs():
    found = score_test(market())
    assert found.foretells
    assert not found.beats_coverage  # it is cost coverage
    assert found.tests["score"].spearman < found.tests["rank_cc"].spearman


def test_where_volatility_is_constant_it_foretells_nothing():
    found = score_test(market(walk(9_000, seed=3)))
    assert found.tests["weighted"].low < 0.0 < found.tests["weighted"].high
    assert abs(found.tests["weighted"].spearman) < 0.06


def test_a_component_that_knows_more_than_coverage_is_recognised():
    # the trade rate sees the size of the next 20 bars
    closes = np.log(MOODY["close"].to_numpy())
    ahead = np.full(9_000, 0.0)
    ahead[:-20] = np.abs(closes[20:] - closes[:-20])
    weights = {"cost_coverage": 1.0, "trade_rate": 1.0}
    assert score_test(market(MOODY.assign(trade_rate=ahead)), weights=weights).beats_coverage


def test_too_few_bars_to_judge_are_said():
    with pytest.raises(DataError, match="expected at least 2880 bars with a score and 20 bars after"):
        score_test(market(MOODY[:2_000]))


RECORDED = CANDLES / "binance_usdm" / "5m" / "BTCUSDT_20250119_20251031.parquet"


@pytest.mark.skipif(not RECORDED.is_file(), reason="the recorded candles are not beside this tree")
def test_on_recorded_candles_coverage_foretells_and_equal_weights_are_no_better():
    found = score_test(market(RECORDED), draws=200)
    assert found.tests["rank_cc"].low > 0.15
    assert found.tests["equal"].gain_high < 0.0
    assert WEIGHTS == {**dict.fromkeys(WEIGHTS, 0.0), "cost_coverage": 1.0}
