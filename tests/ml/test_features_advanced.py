"""The two promised answers: what they hold, how they are read, and what they say when there is nothing to say."""

import dataclasses
import math
import pickle

import numpy as np
import pytest

from ingest.files.candles import load_candles
from ml.features_advanced import (
    favourability_table,
    favourability_test,
    find_best_scalping_params,
    market_microstructure_score,
    read_market,
)
from ml.market import favourability
from tests.e2e.support import CANDLES, settings_of
from tests.ml.walks import known_ahead, walk
from utils.errors import ConfigError, DataUnavailable
from utils.records.ledger import Ledger
from utils.rows import NS_PER_MINUTE
from utils.shell import machines

SETTINGS = settings_of()
MOODY = walk(6_000, moody=True, seed=2)
FEW = walk(60)


def test_a_frame_a_file_and_candles_are_the_same_market(tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    FEW.to_csv(path, index=False)
    frame = read_market(FEW, settings=SETTINGS, symbol="BTCUSDT")
    file = read_market(path, settings=SETTINGS)
    candles = read_market(load_candles(FEW, symbol="BTCUSDT"), settings=SETTINGS)
    for other in (file, candles):
        assert frame.bars.tobytes() == other.bars.tobytes()
        assert frame.instrument.tobytes() == other.instrument.tobytes()
        assert frame.params.tobytes() == other.params.tobytes()
    assert (5.0, "BTCUSDT") == (frame.minutes, file.symbol)


def test_every_door_takes_a_path(tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    MOODY.to_csv(path, index=False)
    market = read_market(MOODY, settings=SETTINGS, symbol="BTCUSDT")
    whole, read = market_microstructure_score(market), market_microstructure_score(path, settings=SETTINGS)
    assert repr(dict(whole)) == repr(dict(read))
    assert favourability.score_table(market).equals(favourability_table(path, settings=SETTINGS))
    assert favourability.score_test(market, draws=20) == favourability_test(path, draws=20, settings=SETTINGS)
    named = {"takes": [60.0], "stops": [60.0], "horizons": [10], "folds": 1}
    found = find_best_scalping_params(path, settings=SETTINGS, **named)
    assert repr(find_best_scalping_params(market, **named)) == repr(found)


@pytest.fixture(scope="module")
def score():
    return market_microstructure_score(MOODY, settings=SETTINGS)


def test_the_score_is_read_like_a_dict_and_like_a_record(score):
    assert {"scalping_favorability", "optimal_holding_period", "components", "regime", "reasons"} <= set(score.keys())
    assert score["scalping_favorability"] == score.scalping_favorability == dict(score)["scalping_favorability"]
    assert len(score) == len(list(score))
    assert "luck" not in score
    with pytest.raises(KeyError):
        score["_market"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        score.regime = "low"
    assert repr(pickle.loads(pickle.dumps(score))) == repr(score)  # noqa: S301 - our own


def test_it_is_the_last_row_of_the_table(score):
    last = favourability_table(MOODY, settings=SETTINGS).iloc[-1]
    assert last["scalping_favorability"] == score.scalping_favorability
    assert (last["regime"], last["cost_bps"]) == (score.regime, score.cost_bps)
    assert last["cost_coverage_ratio"] == score.cost_coverage
    assert {"cost_coverage": 1.0, "funding_window": 0.0} == {k: v.weight for k, v in score.components.items()}


def test_without_an_edge_no_horizon_pays(score):
    assert score.optimal_holding_period is None
    assert any(reason.startswith("holding period none: ") for reason in score.reasons)


def test_the_edge_of_a_signal_is_held_in_minutes():
    sides, push = known_ahead(20_000, 3, push_bps=8.0)
    found = market_microstructure_score(walk(20_000, seed=3, push_bps=push), signal=sides, settings=SETTINGS)
    assert 15.0 <= found.optimal_holding_period <= 75.0


def test_bars_of_an_hour_are_unknown_not_zero():
    found = market_microstructure_score(MOODY[:60], settings=SETTINGS)
    assert math.isnan(found.scalping_favorability)
    assert found.optimal_holding_period is None
    assert "unknown" == found.regime
    assert "score unknown: 60 bars are too few for ranks among the days before" in found.reasons


def test_old_bars_are_worth_nothing():
    end = int(MOODY["timestamp"].iloc[-1].value) + 5 * NS_PER_MINUTE
    late = market_microstructure_score(MOODY, now_ns=end + 11 * NS_PER_MINUTE, settings=SETTINGS)
    assert 0.0 == late.scalping_favorability
    assert "hard 0: the last bar ended more than 2 bar lengths ago" in late.reasons
    fresh = market_microstructure_score(MOODY, now_ns=end + 9 * NS_PER_MINUTE, settings=SETTINGS)
    assert fresh.scalping_favorability > 0.0


def test_a_market_that_cannot_pay_its_costs_is_worth_nothing_and_says_so():
    found = market_microstructure_score(MOODY, taker_bps=200.0, settings=SETTINGS)
    assert 0.0 == found.scalping_favorability
    assert any("under 1.5" in reason for reason in found.reasons)


def test_what_is_missing_is_said():
    bare = MOODY.drop(columns="timestamp")
    found = market_microstructure_score(
        bare, timeframe="5m", weights={"cost_coverage": 1.0, "vpin": 1.0}, settings=SETTINGS
    )
    assert "no data for vpin: left out, the other weights make up for it" in found.reasons
    assert "the bars have no times: the funding window is left out" in found.reasons
    assert 1.0 == found.components["cost_coverage"].weight


def test_a_signal_of_another_length_is_refused():
    with pytest.raises(ConfigError, match="signal: expected a number beside each of 6000 closed bars"):
        market_microstructure_score(MOODY, signal=np.ones(5), settings=SETTINGS)


def test_the_score_carries_its_bars_and_costs_to_the_search(score):
    by_score = find_best_scalping_params(score, horizons=(5, 10))
    by_bars = find_best_scalping_params(MOODY, horizons=(5, 10), settings=SETTINGS)
    assert dict(by_score) == dict(by_bars)
    dear = market_microstructure_score(MOODY, taker_bps=9.0, settings=SETTINGS)
    assert 12.5 == find_best_scalping_params(dear, horizons=(5, 10))["cost_stop_bps"]


def test_a_missing_spread_is_named_as_the_reason_of_a_score_that_is_not_known():
    found = market_microstructure_score(MOODY.assign(spread_bps=math.nan), settings=SETTINGS)
    assert math.isnan(found.scalping_favorability)
    assert "score unknown: the last bar has no spread_bps, and so no cost" in found.reasons


def test_the_search_pays_the_spread_that_the_score_pays():
    wide = market_microstructure_score(MOODY.assign(spread_bps=20.0), settings=SETTINGS)
    found = find_best_scalping_params(wide, horizons=(5,))
    assert (18.5, 18.5) == (wide.cost_bps, found.cost_stop_bps)
    assert 9.5 == find_best_scalping_params(wide, horizons=(5,), half_spread_bps=1.0).cost_stop_bps
    unknown = MOODY.assign(spread_bps=np.nan)
    assert 9.0 == find_best_scalping_params(unknown, horizons=(5,), settings=SETTINGS).cost_stop_bps


def test_a_driftless_walk_is_no_trade_and_the_answer_says_why(score):
    found = find_best_scalping_params(score)
    assert (False, "no trade", None) == (found.trade, found.verdict, found["params"])
    assert found.trials >= 100
    assert found.win_rate < found.break_even_win_rate
    assert any(reason.startswith("out of sample a trade earned -") for reason in found.reasons)
    assert {"side", "entry", "take_bps", "stop_bps", "horizon"} == set(found.best)


def test_a_signal_that_knows_something_is_traded():
    sides, push = known_ahead(20_000, 21, push_bps=8.0)
    frame = walk(20_000, seed=21, push_bps=push)
    found = find_best_scalping_params(frame, signal=sides, horizons=(5, 10), entry="market", settings=SETTINGS)
    assert found.trade
    assert found.params == found.best
    assert ("signal", "market") == (found.params["side"], found.params["entry"])
    assert found.holding_minutes == 5.0 * found.params["horizon"]
    assert found.low_bps > 0.0


def test_a_search_asks_the_cluster_of_the_setting_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(machines, "PATIENCE_S", 0.5)
    settings = settings_of(compute__cluster="tcp://127.0.0.1:9")
    with pytest.raises(DataUnavailable, match=r"expected a Dask scheduler at tcp://127\.0\.0\.1:9"):
        find_best_scalping_params(MOODY, horizons=(5,), settings=settings)
    assert 18 == find_best_scalping_params(MOODY, horizons=(5,), cluster="", settings=settings).trials


RECORDED = CANDLES / "binance_usdm" / "5m" / "BTCUSDT_20250119_20251031.parquet"


@pytest.mark.skipif(not RECORDED.is_file(), reason="the recorded candles are not beside this tree")
def test_recorded_candles_get_a_score_and_no_trade():
    score = market_microstructure_score(RECORDED, settings=SETTINGS)
    assert 0.0 <= score.scalping_favorability <= 100.0
    found = find_best_scalping_params(score, horizons=(10, 20))
    assert "no trade" == found.verdict
    assert found.high_bps < 0.0


def test_every_candidate_of_a_search_is_written_down_once_in_the_ledger_that_is_named(tmp_path):
    ledger = Ledger(tmp_path / "trials")
    asked = {"horizons": (5, 10), "settings": SETTINGS}
    found = find_best_scalping_params(MOODY, ledger=ledger, **asked)
    assert found.trials == ledger.count() == len(ledger.trials()) > 1
    assert {"search"} == {one.kind for one in ledger.trials()}
    assert found.best["take_bps"] in {one.configuration["take_bps"] for one in ledger.trials()}
    assert repr(found) == repr(find_best_scalping_params(MOODY, ledger=ledger, **asked))
    assert found.trials == ledger.count()
    sides = np.where(np.arange(len(MOODY)) % 3 == 0, 1.0, 0.0)
    own = find_best_scalping_params(MOODY, signal=sides, ledger=ledger, **asked)
    assert found.trials + own.trials == ledger.count()
