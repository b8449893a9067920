"""Resiliency: a book whose half-life is known, what a coarse recording can say of it, and what noise must not say."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.rows.book import BOOK_EVENT
from features.rows.users import trade_rows
from features.studies.resiliency import price_impact_decay
from ingest.tape import replay
from tests.places import RECORDINGS
from utils.errors import ConfigError, DataError

S = 1_000_000_000
T0 = 1_700_000_000 * S
TICK, PER, MID, WIDE = 0.01, 100.0, 100.0, 20.0


def market(half_life_s, every_s, shocks=250, noise=0.3, seed=3, permanent=0.0):
    """A book hit every 20 to 40 s: spread, depth and mid come back with one half-life. Quotes at a fixed pace."""
    dice = np.random.default_rng(seed)
    hits = np.cumsum(dice.uniform(20.0, 40.0, shocks))
    side = dice.choice([1, -1], shocks)
    ts = np.arange(0.0, hits[-1] + 30.0, every_s) + every_s * 0.37
    ts = np.sort(np.concatenate([ts, hits + 1e-4])) if every_s < 0.5 else ts
    rate = math.log(2.0) / half_life_s
    last = np.searchsorted(hits, ts, side="right") - 1
    left = np.where(last >= 0, np.exp(-rate * np.maximum(ts - hits[np.maximum(last, 0)], 0.0)), 0.0)
    hit = np.where(last >= 0, side[np.maximum(last, 0)], 0)
    rows = np.zeros(len(ts), BOOK_EVENT)
    rows["ts"] = T0 + (ts * S).astype(np.int64)
    rows["fresh"][0] = 1
    spread = 2.0 + WIDE * left + noise * np.abs(dice.standard_normal(len(ts)))
    walked = np.cumsum(permanent * side)[np.maximum(last, 0)] if permanent else 0.0
    mid = MID + TICK * (walked + 10.0 * hit * left + 0.2 * noise * dice.standard_normal(len(ts)))
    rows["prices"] = math.nan
    bid = np.round(mid / TICK - spread / 2)
    rows["prices"][:, 0, 0], rows["prices"][:, 1, 0] = bid / PER, (bid + np.maximum(np.round(spread), 1.0)) / PER
    rows["qtys"][:, :, 0] = 5.0
    rows["near"] = 20.0 * (1.0 + 0.05 * noise * dice.standard_normal((len(ts), 2)))
    rows["near"][:, 1] *= np.where(hit > 0, 1.0 - 0.8 * left, 1.0)
    rows["near"][:, 0] *= np.where(hit < 0, 1.0 - 0.8 * left, 1.0)
    trades = pd.DataFrame({"ts": T0 + (hits * S).astype(np.int64), "side": side, "price": MID, "qty": 2.5})
    # a shock comes in two prints of one moment; small ones lie between
    small = trades.assign(ts=trades["ts"] + 7 * S, qty=0.1)
    return pd.concat([trades, trades, small]), rows


@pytest.fixture(scope="module")
def fine():
    return market(0.8, 0.05)


@pytest.mark.parametrize("measure", ["spread", "depth", "mid"])
def test_a_known_half_life_is_found_within_its_interval(fine, measure):
    found = price_impact_decay(*fine, measure=measure, horizon_s=8.0)
    assert found.half_life_s == pytest.approx(0.8, rel=0.1)
    assert found.low <= 0.8 * 1.05
    assert found.high >= 0.8 * 0.95
    assert (250, False, "") == (found.n_shocks, found.censored, found.reason)
    assert found.rho == pytest.approx(math.log(2.0) / found.half_life_s)
    assert found.aic_exponential < found.aic_power
    assert found.r2 > 0.95


def test_the_spread_between_shocks_reverts_at_the_same_rate(fine):
    found = price_impact_decay(*fine, horizon_s=8.0)
    assert 0.01 < found.resolution_s < 0.05
    assert 0.0 < found.ar1_half_life_s < 2.0
    assert math.isnan(price_impact_decay(*fine, measure="mid", horizon_s=8.0).ar1_half_life_s)


def test_a_spread_that_never_changes_does_not_revert(fine):
    trades, rows = fine
    still = rows.copy()
    still["prices"][:, 0, 0], still["prices"][:, 1, 0] = MID, MID + 0.1
    assert math.isnan(price_impact_decay(trades, still, horizon_s=8.0).ar1_half_life_s)


def test_a_move_that_stays_does_not_change_the_half_life_of_the_rest():
    found = price_impact_decay(*market(0.8, 0.05, permanent=4.0), measure="mid", horizon_s=8.0)
    assert found.half_life_s == pytest.approx(0.8, rel=0.1)


@pytest.mark.parametrize("half_life_s", [0.1, 0.001])
@pytest.mark.parametrize("measure", ["spread", "depth"])
def test_a_book_that_is_back_before_the_next_quote_is_censored(half_life_s, measure):
    found = price_impact_decay(*market(half_life_s, 1.0), measure=measure, horizon_s=10.0)
    assert found.censored
    assert (found.resolution_s, 0.0, found.resolution_s) == (found.half_life_s, found.low, found.high)
    assert 1.0 == pytest.approx(found.resolution_s)


def test_noise_has_no_half_life():
    trades, rows = market(0.8, 0.05)
    dice = np.random.default_rng(5)
    rows["prices"][:, 1, 0] = rows["prices"][:, 0, 0] + TICK * (1.0 + dice.exponential(300.0, len(rows)))
    found = price_impact_decay(trades, rows, horizon_s=8.0)
    assert math.isnan(found.half_life_s)
    assert not found.censored
    assert "R2" in found.reason


def test_a_book_that_leaves_for_as_long_as_it_is_looked_at_has_none():
    trades, rows = market(0.8, 0.05)
    hits = np.unique(trades["ts"][trades["qty"] > 1.0])
    since = (rows["ts"] - hits[np.maximum(np.searchsorted(hits, rows["ts"], side="right") - 1, 0)]) / S
    wider = np.where((since > 0.0) & (since < 12.0), WIDE * (1.0 - np.exp(-since)), 0.0)
    rows["prices"][:, 1, 0] = rows["prices"][:, 0, 0] + TICK * (2.0 + wider)
    found = price_impact_decay(trades, rows, horizon_s=8.0)
    assert math.isnan(found.half_life_s)
    assert not found.censored
    assert "lead away" in found.reason


def test_few_shocks_and_shocks_that_overlap_are_none():
    trades, rows = market(0.8, 0.05, shocks=90)
    few = price_impact_decay(trades, rows, horizon_s=8.0)
    assert (90, True) == (few.n_shocks, "at least 100 shocks" in few.reason)
    crowded = pd.concat([trades, trades.assign(ts=trades["ts"] + 2 * S)])
    assert 0 == price_impact_decay(crowded, rows, horizon_s=8.0).n_shocks


def test_a_gap_within_the_horizon_takes_its_shock_away(fine):
    trades, rows = fine
    torn = rows.copy()
    torn["fresh"][np.searchsorted(torn["ts"], trades["ts"].iloc[10] + S)] = 1
    assert 249 == price_impact_decay(trades, torn, horizon_s=8.0).n_shocks


def test_the_order_of_prints_within_a_moment_and_the_scale_of_prices_do_not_matter(fine):
    trades, rows = fine
    one = price_impact_decay(trades, rows, horizon_s=8.0)
    assert one == price_impact_decay(trades.iloc[::-1], rows, horizon_s=8.0)
    scaled = rows.copy()
    scaled["prices"] *= 4.0
    scaled["qtys"] *= 2.0
    other = price_impact_decay(trades.assign(qty=trades["qty"] * 2.0), scaled, horizon_s=8.0)
    assert (one.half_life_s, one.r2) == (other.half_life_s, pytest.approx(other.r2))


def test_swapping_the_sides_of_a_market_changes_nothing(fine):
    trades, rows = fine
    mirrored = rows.copy()
    mirrored["prices"] = 2.0 * MID - rows["prices"][:, ::-1]
    mirrored["near"] = rows["near"][:, ::-1]
    one = price_impact_decay(trades, rows, measure="depth", horizon_s=8.0)
    other = price_impact_decay(trades.assign(side=-trades["side"]), mirrored, measure="depth", horizon_s=8.0)
    assert one.half_life_s == pytest.approx(other.half_life_s)


def test_quotes_too_far_apart_for_the_horizon_say_so():
    found = price_impact_decay(*market(0.1, 1.0), horizon_s=1.5)
    assert "more often" in found.reason


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"measure": "depht"}, "measure"), ({"horizon_s": 0.0}, "horizon_s"), ({"consumed": math.nan}, "consumed")],
)
def test_settings_that_mean_nothing_are_refused(fine, change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        price_impact_decay(*fine, **change)


def test_quotes_without_what_is_measured_are_refused():
    trades = trade_rows([{"timestamp": T0, "side": "buy", "price": 1.0, "amount": 1.0}])
    quotes = pd.DataFrame({"ts": [T0], "bid": [1.0], "ask": [2.0], "bid_qty": [1.0], "ask_qty": [1.0]})
    with pytest.raises(DataError, match="near_bid"):
        price_impact_decay(trades, quotes, measure="depth")
    with pytest.raises(DataError, match="bid_qty and ask_qty"):
        price_impact_decay(trades, quotes[["ts", "bid", "ask"]])
    with pytest.raises(DataError, match="saw none"):
        price_impact_decay(trades, quotes.iloc[:0])


@settings(max_examples=8)
@given(st.floats(0.2, 2.0), st.integers(0, 100))
def test_any_half_life_between_resolution_and_horizon_is_found(half_life_s, seed):
    found = price_impact_decay(*market(half_life_s, 0.05, shocks=150, seed=seed), horizon_s=10.0)
    assert found.half_life_s == pytest.approx(half_life_s, rel=0.15)


@pytest.mark.long
@pytest.mark.parametrize("name", ["BTCUSDT_20240808T2354_346s", "ETHUSDT_20240808T2354_346s"])
def test_a_recorded_spread_is_back_within_milliseconds(name):
    path = RECORDINGS / "binance_usdm" / f"{name}.jsonl.zst"
    if not path.is_file():
        pytest.skip("no recordings beside this tree")
    trades, quotes = (list(replay(path, kinds=[kind])) for kind in ("trades", "quote"))
    found = price_impact_decay(trades, quotes, horizon_s=0.1)
    assert found.n_shocks > 100
    assert 0.0005 < found.low <= found.half_life_s <= found.high < 0.01
    assert found.aic_exponential < found.aic_power
    seldom = price_impact_decay(trades, quotes[::2000], horizon_s=5.0)
    assert seldom.censored or seldom.reason
