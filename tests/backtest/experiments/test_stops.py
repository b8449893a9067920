"""False triggers by hand, matched distances, and what is found where the truth is known."""

import dataclasses
import math

import numpy as np
import pytest

from backtest.experiments.data import Series, walked
from backtest.experiments.statistics import FAILS, HOLDS, UNMEASURED, UNPROVEN, Estimate
from backtest.experiments.stops import EVERY, answer, cells, compared, findings, paired, words
from tests.market import FLAT, bars, instrument, params
from utils.settings.tree import Settings

CALM = (*FLAT, 10.0)


def series(candles, at=(0,), sides=(1.0,), atr_bps=(25.0,), **par):
    """Signals by hand: take 100 bps, stop 50 bps, 20 bars, entries at the open, no costs."""
    return Series(
        place="by hand",
        name="AAAUSDT",
        group="by hand",
        bars=bars(*candles),
        instrument=instrument(),
        params=params(**par),
        at=np.array(at, np.int64),
        sides=np.array(sides),
        strength=np.full(len(at), 50.0),
        atr_bps=np.array(atr_bps),
        sigma_bps=np.full(len(at), 10.0),
    )


def vain(*candles, **more):
    """Whether the fixed stop of one long trade was hit in vain."""
    seen = paired(series([CALM, *candles, *[CALM] * 25], **more))
    assert 1 == len(seen.days)
    return bool(seen.false_fixed[0])


DIP, RISE, FALL = (100.0, 100.0, 99.4, 99.8, 10.0), (99.8, 101.2, 99.8, 101.0, 10.0), (99.8, 99.8, 98.0, 98.5, 10.0)


def test_a_stop_out_before_the_price_reaches_the_take_is_in_vain():
    assert vain(DIP, RISE)


def test_a_stop_out_after_which_the_take_is_never_reached_is_not():
    assert not vain(DIP, FALL)
    assert not vain(DIP)


def test_a_take_that_is_reached_after_the_time_limit_does_not_count():
    late = [(99.8, 99.8, 99.8, 99.8, 10.0)] * 3
    assert vain(DIP, *late, RISE, horizon=5)
    assert not vain(DIP, *late, RISE, horizon=4)


def test_a_trade_that_was_never_stopped_is_not_in_vain():
    assert not vain(CALM, (100.0, 101.2, 100.0, 101.0, 10.0))


def test_a_bar_with_both_barriers_is_a_stop_and_then_the_take():
    assert vain((100.0, 101.2, 99.4, 100.0, 10.0))


def test_a_trade_that_does_not_end_in_the_data_is_left_out_of_both():
    assert 0 == len(paired(series([CALM] * 5)).days)


def test_both_stops_are_equally_far_away_on_average_over_the_trades_compared():
    one = series([CALM] * 60, at=(0, 3, 9, 59), sides=(1.0, -1.0, 1.0, 1.0), atr_bps=(10.0, 30.0, 80.0, 1e6))
    seen = paired(one)
    assert 3 == len(seen.days)
    assert [12.5, 37.5, 100.0] == pytest.approx(seen.stop_atr.tolist())
    assert seen.stop_atr.mean() == pytest.approx(seen.stop_fixed.mean())
    assert 150.0 == pytest.approx(paired(one, 3.0).stop_atr.mean())


def test_entries_are_identical_under_both_stops():
    seen = paired(next(walked(1, 4_000, 2, Settings())))
    assert seen.fixed["entry_bar"].tolist() == seen.atr["entry_bar"].tolist()
    assert seen.fixed["entry_price"].tolist() == seen.atr["entry_price"].tolist()
    assert (seen.fixed["exit_bar"] != seen.atr["exit_bar"]).any()


@pytest.fixture(scope="module")
def plain():
    return findings(walked(3, 60_000, 11, Settings()), (1.0,), 1)


@pytest.fixture(scope="module")
def clustered_volatility():
    return findings(walked(3, 60_000, 11, Settings(), clustered=True), (1.0,), 1)


def test_on_a_random_walk_nothing_is_found(plain):
    (found,) = plain
    assert found.trades > 3_000
    assert found.ratio.low < 1.0 < found.ratio.high
    assert found.difference.low < 0.0 < found.difference.high
    assert FAILS == found.verdict
    assert found.stop_atr == pytest.approx(found.stop_fixed)


def test_where_volatility_clusters_a_stop_that_follows_it_is_hit_in_vain_less_often(clustered_volatility):
    (found,) = clustered_volatility
    assert found.ratio.high < 0.8
    assert found.false_atr < found.false_fixed
    assert found.tail_atr < found.tail_fixed  # which has its price


def finding(ratio, difference, trades=1000, false=0.1):
    nothing = {field.name: 0.0 for field in dataclasses.fields(compared("x", 1.0, [paired(series([CALM] * 60))], 1))}
    told = {"group": "x", "series": 1, "trades": trades, "days": 9, "false_fixed": false}
    kind = type(compared("x", 1.0, [paired(series([CALM] * 60))], 1))
    return kind(**{**nothing, **told, "ratio": Estimate(*ratio), "difference": Estimate(*difference)})


@pytest.mark.parametrize(
    ("ratio", "difference", "verdict"),
    [
        ((0.6, 0.5, 0.8), (0.0, -1.0, 1.0), HOLDS),
        ((0.6, 0.5, 0.8), (-0.1, -1.0, 1.0), UNPROVEN),
        ((0.6, 0.5, 0.81), (1.0, 0.5, 2.0), UNPROVEN),
        ((0.9, 0.81, 1.0), (1.0, 0.5, 2.0), FAILS),
        ((0.6, 0.5, 0.7), (-1.0, -2.0, -0.1), FAILS),
        ((0.6, math.nan, math.nan), (1.0, 0.5, 2.0), UNMEASURED),
    ],
)
def test_a_verdict_asks_for_fewer_false_triggers_and_for_no_worse_trade(ratio, difference, verdict):
    found = finding(ratio, difference)
    assert verdict == found.verdict == cells(found)["20 % fewer"]
    assert verdict.split()[-1] in words(found) or UNMEASURED == verdict


def test_a_handful_of_false_triggers_says_nothing():
    found = finding((0.0, 0.0, 0.0), (1.0, 0.5, 2.0), false=0.02)
    assert UNMEASURED == found.verdict
    assert "too few to say anything: 20 false triggers, 30 are needed" in words(found)


def test_recordings_of_several_timeframes_are_also_taken_together():
    one = series([CALM] * 60)
    found = findings([one, dataclasses.replace(one, group="other")], (1.0, 2.0), 1)
    assert ["by hand", "other", EVERY] * 2 == [row.group for row in found]
    assert 2 == found[2].trades
    assert 2 == len(answer(found))
