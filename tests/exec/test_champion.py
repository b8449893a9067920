"""A model that serves: what it says of a signal, in a history, in chunks and close by close; nothing without one."""

import dataclasses

import numpy as np
import pytest

from backtest.data.market import synthetic_market
from backtest.run.loop import simulate
from backtest.sweep import Score, sweep
from exec.champion import champion_of, judge_rows
from exec.engine import TABLES, joined
from exec.trader import Trader, chunks
from features.fold import matrix
from features.registry import feature_set, fingerprint
from ml.scoring import scored
from tests.e2e.support import settings_of
from tests.ml.models import champion, judging
from utils.codes import EXPECTED_NET
from utils.errors import DataError
from utils.market.costs import crossing_bps, round_trip_costs

SETTINGS = settings_of()
MODEL = champion(3.0)


@pytest.fixture(scope="module")
def market():
    return synthetic_market(SETTINGS, "BTCUSDT,ETHUSDT", "1m", 1_000)


def tables(*parts):
    return [joined([getattr(part, name) for part in parts], kind).tobytes() for name, (kind, _) in TABLES.items()]


@pytest.fixture(scope="module")
def whole(market):
    """What a trader with a model does that sees the history at once."""
    trader = Trader(market, SETTINGS, model=MODEL)
    trader.on_bars(market.bars)
    return trader.drain()


@pytest.mark.skipif(not hasattr(judge_rows, "signatures"), reason="runs uncompiled")
def test_a_model_that_is_prepared_judges_without_compiling(market):
    MODEL.prepare()
    before = judge_rows.signatures
    Trader(market, SETTINGS, model=MODEL).on_bars(market.bars)
    assert before == judge_rows.signatures


def test_a_signal_bears_what_the_model_says_of_its_side(market):
    plain, judged = (Trader(market, SETTINGS, model=one).on_bars(market.bars).copy() for one in (None, MODEL))
    said = scored(MODEL.meta, matrix(feature_set(2).batch(market.bars)))
    par = SETTINGS.simulation
    asked = np.flatnonzero(np.isfinite(judged["side"]))
    assert len(asked) > 100
    for i in asked:
        which, ins = int(judged["side"][i] < 0.0), market.instruments[market.bars["sym"][i]]
        crossing = crossing_bps(par.spread_bps / 2.0, par.slippage_bps, ins["tick"], market.bars["close"][i])
        take, stop = round_trip_costs(
            SETTINGS.execution.entry == "post_only", ins["maker_bps"], ins["taker_bps"], crossing
        )
        p, net = said.p[i, which], said.bps[i, which]
        assert (p, net, 3.0, 1.0) == tuple(judged[i][name] for name in ("p_win", "net_bps", "least_bps", "model"))
        assert net + p * take + (1.0 - p) * stop == pytest.approx(judged["expected_bps"][i], abs=1e-12)
    same = [
        name for name in plain.dtype.names if name not in ("p_win", "expected_bps", "net_bps", "least_bps", "model")
    ]
    for name in same:
        assert plain[name][asked].tobytes() == judged[name][asked].tobytes()
    assert np.isnan(plain["net_bps"][asked]).all()
    assert np.isnan(judged["side"][np.isnan(plain["side"])]).all()


def test_what_it_expects_too_little_of_is_refused_by_its_own_rule(whole):
    decided = whole.decisions
    assert {1} == set(decided["model"].tolist())
    refused = decided["rule"] == EXPECTED_NET
    assert 20 < refused.sum() < len(decided) - 20
    assert (decided["net_bps"][refused] < 3.0).all()
    assert (decided["value"][refused] == decided["net_bps"][refused]).all()
    assert (decided["limit"][refused] == 3.0).all()


@pytest.mark.parametrize("size", [1, 7, 500])
def test_chunks_are_judged_as_the_whole(market, whole, size):
    trader = Trader(market, SETTINGS, model=MODEL)
    parts = []
    for lo, hi in chunks(market.bars, size):
        trader.on_bars(market.bars[lo:hi])
        parts.append(trader.drain())
    assert tables(whole) == tables(*parts)


def test_closes_one_after_another_are_judged_as_the_whole(market, whole):
    trader = Trader(market, SETTINGS, model=MODEL)
    assert tables(whole) == tables(*(trader.on_close(market.bars[lo:hi]).rows for lo, hi in chunks(market.bars, 1)))


def test_signals_that_were_judged_replay_without_the_model(market, whole):
    trader = Trader(market, SETTINGS, model=MODEL)
    said = trader.on_bars(market.bars).copy()
    assert tables(whole) == tables(simulate(market, SETTINGS, signals=said).rows)


def test_a_model_that_takes_none_leaves_no_trade(market):
    outcome = simulate(market, SETTINGS, model=champion(np.inf))
    assert 0 == len(outcome.rows.trades)
    assert len(outcome.rows.decisions) == (outcome.rows.decisions["rule"] == EXPECTED_NET).sum()


def test_a_users_strategy_is_left_alone(market):
    def strategy(frame):
        return {"ts": frame["ts"], "side": np.where(frame["zscore_20"] > 2.0, 1.0, np.nan), "p_win": 0.6}

    plain = simulate(market, SETTINGS, strategy)
    judged = simulate(market, SETTINGS, strategy, model=MODEL)
    assert len(plain.rows.trades) > 0
    assert tables(plain.rows) == tables(judged.rows)
    assert () == judged.models


def test_a_sweep_judges_as_a_simulation_does(market, monkeypatch):
    monkeypatch.setattr("backtest.sweep.served", lambda one, **_: champion(3.0) if one.meta.enabled else None)
    many = [
        settings_of(meta__enabled=on, execution__entry=entry)
        for on in (True, False)
        for entry in ("market", "post_only")
    ]
    found = [simulate(market, one, model=MODEL if one.meta.enabled else None) for one in many]
    expected = [Score(len(one.rows.trades), float(np.sum(one.rows.trades["net_pnl"])), one.equity) for one in found]
    scores = sweep(market, many)
    assert [one.trades for one in expected] == [one.trades for one in scores]
    assert [one.equity for one in expected] == [one.equity for one in scores]
    assert len({one.equity for one in scores}) == len(many)


def test_a_model_of_other_features_is_refused_in_one_sentence():
    names = feature_set().names
    for other in (
        dataclasses.replace(judging(0.0), fingerprint="0" * 64),
        dataclasses.replace(judging(0.0), names=names[::-1]),
    ):
        with pytest.raises(
            DataError, match=r"model one: expected one of the features of this version \(30, .*; train again"
        ):
            champion_of("one", other, names, fingerprint())
