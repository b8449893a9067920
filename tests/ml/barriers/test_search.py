"""The search: the engine's trades, no look at what comes later, nothing in noise, the same on a cluster."""

import math

import numpy as np
import pytest
from distributed import LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from exec.engine import Engine
from ml.barriers.search import INNER, Candidate, choose, grid, params_of, refusals, search, tabulate
from ml.features_advanced import read_market
from tests.e2e.support import settings_of
from tests.market import instrument, params, signals, wander
from tests.ml.walks import known_ahead, walk
from utils.codes import LIMIT, MARKET, POST_ONLY
from utils.errors import ConfigError, DataError

SETTINGS = settings_of()


def market(frame, **terms):
    return read_market(frame, settings=SETTINGS, **terms)


def both(rows):
    return {"long": np.ones(rows), "short": -np.ones(rows)}


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    take=st.floats(5.0, 300.0),
    stop=st.floats(5.0, 300.0),
    horizon=st.integers(1, 12),
    kind=st.sampled_from([MARKET, LIMIT, POST_ONLY]),
)
def test_what_the_search_adds_up_is_what_the_engine_earns(seed, take, stop, horizon, kind):
    rows = wander(360, seed, holes=5)
    ins = instrument(maker_bps=2.0, taker_bps=5.5)
    par = params(
        take_bps=take,
        stop_bps=stop,
        horizon=float(horizon),
        entry_kind=kind,
        limit_offset_bps=1.0,
        half_spread_bps=0.5,
        slippage_bps=1.0,
        fixed_notional=10.0,
        volume_cap=1.0,
        leverage=1.0,
    )
    # signals far enough apart that the engine is flat at each; empty bars may hold a trade beyond its horizon
    at = range(0, 360, 45)
    said = {t: 1.0 if (t // 45 + seed) % 2 else -1.0 for t in at}
    sides = np.full(360, np.nan)
    sides[list(said)] = list(said.values())
    table, late = tabulate(rows, sides, ins, par, 45)
    engine = Engine(ins, par, 10_000.0)
    engine.run(rows, signals(360, said))
    trades = engine.drain().trades
    net = trades["net_pnl"] / (trades["qty"] * trades["entry_price"]) * 1e4
    assert 0 == late
    assert len(trades) == table[:, 0].sum()
    assert table[:, 1].sum() == pytest.approx(net.sum(), abs=1e-7)
    assert (net > 0.0).sum() == table[:, 2].sum()


def test_a_driftless_walk_pays_nobody():
    frame = walk(16_000, seed=11)
    found = search(market(frame), both(16_000))
    assert refusals(found)
    assert found.high_bps < 0.0  # it pays its costs to the market
    assert 200 == found.trials
    # after costs even the luckiest of 200 candidates explains nothing
    assert found.dsr < 0.5


@pytest.mark.parametrize("seed", range(5))
def test_without_costs_noise_is_still_noise(seed):
    free = {"maker_bps": 0.0, "taker_bps": 0.0, "half_spread_bps": 0.0, "slippage_bps": 0.0, "entry": "market"}
    frame = walk(12_000, seed=100 + seed, steps=400)
    found = search(market(frame, **free), both(12_000), takes=(20, 40, 80), stops=(20, 40, 80), horizons=(6, 12))
    assert refusals(found)


def test_a_signal_that_knows_something_is_found_with_its_horizon():
    sides, push = known_ahead(20_000, 21, push_bps=8.0)
    frame = walk(20_000, seed=21, push_bps=push)
    found = search(market(frame, entry="market"), {"signal": sides}, horizons=(5, 10, 20))
    assert () == refusals(found)
    assert found.low_bps > 0.0
    assert found.best.horizon in {10, 20}
    assert found.win_rate > found.break_even


def test_no_choice_sees_its_own_fold():
    frame = walk(12_000, seed=5)
    whole = search(market(frame), both(12_000), horizons=(5, 10))
    # 429 stretches of 28 bars: the last fold begins with stretch 343; turn everything from there on upside down
    changed = frame.copy()
    later = changed.index >= 343 * 28
    changed.loc[later, ["open", "close"]] = 50_000.0
    changed.loc[later, "high"], changed.loc[later, "low"] = 51_000.0, 49_000.0
    other = search(market(changed), both(12_000), horizons=(5, 10))
    assert [fold.chosen for fold in whole.folds] == [fold.chosen for fold in other.folds]
    assert [fold.train_bps for fold in whole.folds] == [fold.train_bps for fold in other.folds]
    assert whole.folds[:2] == other.folds[:2]
    assert whole.folds[3].net_bps != other.folds[3].net_bps


def test_a_candidate_is_chosen_for_being_steady_and_needs_trades():
    tables = np.zeros((3, 2 * INNER, 4))
    tables[:, :, 0] = 10.0
    tables[0, :, 1] = 10.0 * 2.0  # two bps, always
    tables[1, :2, 1] = 10.0 * 14.0  # more, but in one inner fold alone
    tables[2, :, 1], tables[2, 4:6, 0] = 10.0 * 9.0, 0.0  # most, but with a fold without a trade
    assert 0 == choose(tables)
    assert choose(tables / 1000.0) is None


def test_the_grid_is_scaled_with_volatility_and_never_under_five_round_trips():
    calm, wild = (grid(market(walk(2_000, sigma_bps=s)), 1_000, ("long",), None, None, None) for s in (1.0, 60.0))
    assert {45.0} == {one.take_bps for one in calm}
    assert {10, 20, 40, 80} == {one.horizon for one in wild}
    longest = max(one.stop_bps for one in wild if one.horizon == 80)
    assert longest == pytest.approx(3.0 * 60.0 * math.sqrt(80.0), rel=0.1)
    assert 100 == len(wild)


def test_a_grid_of_the_user_is_taken_as_it_is():
    chosen = grid(market(walk(500)), 100, ("long", "short"), (25.0,), (18.0, 9.0), (20,))
    assert {Candidate(side, 25.0, stop, 20) for side in ("long", "short") for stop in (18.0, 9.0)} == set(chosen)
    # the same again is no further trial
    assert chosen == grid(market(walk(500)), 100, ("long", "short"), (25.0,), (18.0, 9.0, 9.0), (20, 20))
    row = params_of(market(walk(500)), chosen[0])
    assert (25.0, 20.0) == (row["take_bps"][0], row["horizon"][0])


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"takes": ()}, r"takes: expected positive numbers up to 100000, saw \[\]"),
        ({"stops": (10.0, -1.0)}, r"stops: expected positive numbers up to 100000, saw \[10.0, -1.0\]"),
        ({"stops": (10.0, np.nan)}, r"stops: expected positive numbers up to 100000, saw \[10.0, nan\]"),
        ({"horizons": (0,)}, r"horizons: expected positive whole numbers of bars up to 100000, saw \[0.0\]"),
        ({"horizons": (0.6,)}, r"horizons: expected positive whole numbers of bars up to 100000, saw \[0.6\]"),
        ({"folds": 0}, "folds: expected a whole number of at least 1, saw 0"),
        ({"folds": 1.5}, "folds: expected a whole number of at least 1, saw 1.5"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(asked, text):
    with pytest.raises(ConfigError, match=text):
        search(market(walk(500)), both(500), **asked)


def test_too_few_bars_are_said():
    with pytest.raises(DataError, match=r"expected at least \d+ bars for 4 folds and trades of up to 84 bars, saw 900"):
        search(market(walk(900)), both(900))


def test_bars_too_few_for_a_volatility_are_said():
    with pytest.raises(DataError, match="expected a volatility among the first 20 bars, saw none"):
        search(market(walk(200)), both(200))


def test_on_a_cluster_of_two_processes_it_is_the_same_to_the_bit():
    frame = walk(6_000, seed=9)
    asked = {"horizons": (5, 10), "takes": (20.0, 45.0), "stops": (20.0, 45.0)}
    here = search(market(frame), both(6_000), **asked)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        there = search(market(frame), both(6_000), **asked, cluster=cluster.scheduler_address)
    assert repr(here) == repr(there)
