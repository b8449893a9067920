"""Drift against independent code; alarms that come with a cause, and seldom without."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.learning import drift
from ml.learning.drift import Action, Gap, Shift, calibration_gap, edge_gap, ks, psi, psi_noise, shifts, verdict
from tests.ml.learning.goldens import column, golden
from tests.ml.learning.made import made

VALUES = st.lists(st.floats(-10, 10) | st.just(math.nan), min_size=1, max_size=60).map(np.array)
#: No alarm.
CALM = Gap(500, 0.5, 0.5, -0.04, 0.04)


@pytest.mark.parametrize("case", range(4))
def test_psi_and_ks_are_those_of_independent_code(case):
    want = golden("drift")["cases"][case]
    train, now = column("drift_train.parquet"), column(f"drift_{want['name']}.parquet")
    assert want["psi"] == pytest.approx(psi(train, now), abs=1e-9)
    assert (want["ks"], want["ks_p"]) == pytest.approx(ks(train, now), abs=1e-9)


def test_deciles_are_those_of_independent_code():
    assert golden("drift")["edges"] == pytest.approx(drift._edges(column("drift_train.parquet")).tolist(), abs=1e-12)


def test_the_noise_of_psi_is_that_of_independent_code():
    want, train = golden("drift")["noise_psi_n500"], column("drift_train.parquet")
    found = [psi_noise(train, 500, level, block=1, draws=4000) for level in (0.5, 0.95)]
    # the median of a chi square of nine degrees is .927 of its mean; both sides are drawn
    assert (want["mean"] * 0.927, want["q95"]) == pytest.approx(found, rel=0.06)


def test_the_noise_is_what_fresh_samples_show():
    dice = np.random.default_rng(8)
    drawn = [psi(dice.normal(size=2000), dice.normal(size=500)) for _ in range(1000)]
    noise = psi_noise(dice.normal(size=2000), 500, block=1)
    assert 0.02 < np.mean(np.array(drawn) > noise) < 0.09


@given(VALUES, VALUES)
def test_psi_is_never_below_nothing_and_nothing_of_a_sample_and_itself(one, other):
    assert psi(one, one) == 0.0
    assert psi(one, other) >= 0.0


@given(VALUES, VALUES, st.randoms())
def test_order_and_a_change_of_units_do_not_move_a_feature(one, other, dice):
    mixed = other.tolist()
    dice.shuffle(mixed)
    assert psi(one, np.array(mixed)) == pytest.approx(psi(one, other))
    assert psi(4.0 * one, 4.0 * other) == pytest.approx(psi(one, other))


@pytest.mark.parametrize("now", [0.9, 1.1, math.nan, math.inf, -math.inf])
def test_a_constant_feature_that_changes_in_any_direction_is_seen(now):
    still = np.ones(50)
    assert psi(still, still[:7]) == 0.0
    assert psi(still, np.full(7, now)) > 10.0


def test_a_feature_that_is_no_longer_there_is_seen():
    train = np.random.default_rng(1).normal(size=1000)
    assert psi(train, np.full(100, math.nan)) > 5.0
    assert psi(np.full(10, math.nan), np.full(5, math.nan)) == 0.0
    assert all(map(math.isnan, ks(train, np.full(3, math.nan))))


def test_without_rows_nothing_is_known():
    assert all(map(math.isnan, [psi(np.empty(0), np.ones(2)), psi(np.ones(2), np.empty(0)), psi_noise(np.empty(0), 5)]))


def test_slow_features_make_more_noise_and_few_rows_make_more():
    dice = np.random.default_rng(2)
    fast = dice.normal(size=4000)
    slow = np.convolve(dice.normal(size=4199), np.ones(200), "valid")
    assert psi_noise(slow, 200, draws=200) > 5.0 * psi_noise(fast, 200, draws=200)
    assert psi_noise(fast, 50, draws=200) > 2.0 * psi_noise(fast, 500, draws=200)
    assert psi_noise(slow, 200, draws=200) == psi_noise(slow, 200, draws=200)


def test_features_that_stay_alarm_seldom_and_one_that_moves_alarms():
    dice = np.random.default_rng(3)
    train, now = dice.normal(size=(3000, 8)), dice.normal(size=(500, 8))
    now[:, 5] += 1.0
    found = shifts([f"f{j}" for j in range(8)], train, now, draws=200)
    assert ["f5"] == [one.name for one in found if one.beyond(0.0)]
    told = verdict(found, CALM, CALM)
    assert Action.RETRAIN is told.action
    assert told.reason.startswith("f5 moved: PSI 0.88, by chance at most 0.0")


def test_a_promise_kept_is_no_alarm_and_one_broken_is():
    dice = np.random.default_rng(4)
    p = dice.uniform(0.3, 0.7, 1000)
    kept, broken = (calibration_gap(p, (dice.random(1000) < odds).astype(float)) for odds in (p, p - 0.1))
    assert Action.OK is verdict([], kept, CALM).action
    assert kept.low < kept.seen - kept.said < kept.high
    assert Action.RETRAIN is verdict([], broken, CALM).action
    assert "40.9% of 1000 trades won, expected 50.7%" == verdict([], broken, CALM).reason


def test_an_interval_of_wins_knows_few_trades_and_trades_that_overlap():
    all_won = calibration_gap(np.full(3, 0.5), np.ones(3))
    assert (0.438 - 0.5, 0.5) == pytest.approx((all_won.low, all_won.high), abs=1e-3)
    runs = calibration_gap(np.full(600, 0.5), np.repeat(np.random.default_rng(9).permutation([0.0, 1.0] * 30), 10))
    assert runs.low < -0.08
    assert runs.high > 0.08


def test_of_even_promises_few_are_called_broken():
    dice = np.random.default_rng(5)
    p = np.full(200, 0.45)
    gaps = [calibration_gap(p, (dice.random(200) < 0.45).astype(float)) for _ in range(200)]
    assert np.mean([not gap.low <= 0.0 <= gap.high for gap in gaps]) <= 0.06


def test_trades_that_overlap_say_less():
    dice = np.random.default_rng(6)
    once = dice.normal(0.0, 20.0, 100)
    overlapping = edge_gap(np.repeat(once, 5), np.zeros(500))
    apart = edge_gap(dice.normal(0.0, 20.0, 500), np.zeros(500))
    assert overlapping.high - overlapping.low > 1.5 * (apart.high - apart.low)


@pytest.mark.parametrize(
    ("mean", "expected", "action"),
    [(-5.0, 4.0, Action.FALL_BACK), (5.0, 15.0, Action.RETRAIN), (4.0, 4.0, Action.OK), (20.0, 4.0, Action.OK)],
)
def test_trades_that_earn_less_than_was_said_are_an_alarm(mean, expected, action):
    net = np.random.default_rng(8).normal(mean, 20.0, 800)
    told = verdict([], CALM, edge_gap(net, np.full(800, expected)))
    assert action is told.action
    assert (
        action is Action.OK
        or f"800 trades earned {net.mean():.1f} bps on average, expected {expected:.1f}" in told.reason
    )


def test_the_strictest_answer_wins_and_gives_its_reasons_alone():
    broken = Gap(400, 0.6, 0.4, -0.25, -0.15)
    lost = Gap(400, 4.0, -6.0, -12.0, -8.0)
    moved = Shift("gap_bps", 0.5, 0.05, 0.3)
    assert Action.FALL_BACK is verdict([moved], broken, lost).action
    assert "400 trades earned -6.0 bps on average, expected 4.0" == verdict([moved], broken, lost).reason
    assert "40.0% of 400 trades won, expected 60.0%; gap_bps moved: PSI 0.50, by chance at most 0.05" == (
        verdict([moved], broken, CALM).reason
    )
    assert Action.WATCH is verdict([Shift("one", 0.15, 0.05, 0.1)], CALM, CALM).action
    assert Action.OK is verdict([Shift("one", 0.4, 0.45, 0.1)], CALM, CALM).action
    assert Action.WATCH is verdict([], Gap(9000, 0.5, 0.48, -0.03, -0.01), CALM).action


def test_few_trades_are_not_judged_and_that_is_said():
    few, still = Gap(99, 0.6, 0.1, -0.6, -0.4), Shift("one", 0.05, 0.1, 0.1)
    told = verdict([still], few, few)
    assert Action.OK is told.action
    assert "features as trained; 99 of the 100 trades that a judgement needs" == told.reason
    assert "features as trained; 500 trades as expected" == verdict([still], CALM, CALM).reason
    none = calibration_gap(np.empty(0), np.empty(0))
    assert (0, Action.OK) == (none.trades, verdict([still], none, edge_gap(np.empty(0), np.empty(0))).action)


def test_where_nothing_can_be_judged_nothing_is_called_well():
    few = Gap(99, 0.6, 0.1, -0.6, -0.4)
    told = verdict([], few, few)
    assert Action.UNJUDGED is told.action
    assert "features not judged; 99 of the 100 trades that a judgement needs" == told.reason
    assert "features not judged; 500 trades as expected" == verdict([], CALM, CALM).reason
    assert Action.OK is verdict([], CALM, CALM).action is verdict([], CALM, few).action


def test_of_many_features_that_moved_the_furthest_are_named():
    told = verdict([Shift(f"f{k}", 0.3 + 0.1 * k, 0.05, 0.3) for k in range(8)], CALM, CALM)
    assert ["f7", "f6", "f5", "5"] == [part.split()[0] for part in told.reason.split("; ")]
    assert told.reason.endswith("; 5 more moved")


def test_an_interval_that_is_not_known_is_no_alarm():
    unknown = Gap(400, 4.0, -6.0, math.nan, math.nan)
    assert Action.OK is verdict([], unknown, unknown).action


def test_whoever_waits_is_told_of_each_feature():
    told, dice = [], np.random.default_rng(1)
    shifts(["a", "b", "c"], dice.normal(size=(300, 3)), dice.normal(size=(100, 3)), draws=10, told=told.append)
    assert [1, 2, 3] == told


@pytest.mark.slow
def test_of_a_hundred_models_that_still_fit_few_are_alarmed():
    """98 of 100: rows of the same dice and 200 trades as promised; one falls back and one is trained for nothing."""
    actions = []
    for seed in range(100):
        table, dice = made(3600, seed=seed), np.random.default_rng(1000 + seed)
        p = dice.uniform(0.3, 0.6, 200)
        won = (dice.random(200) < p).astype(float)
        net = np.where(won > 0.0, 20.0, -18.0) + dice.normal(0.0, 3.0, 200)
        found = shifts(table.names, table.x[:2400], table.x[2400:])
        actions.append(verdict(found, calibration_gap(p, won), edge_gap(net, 38.0 * p - 18.0)).action)
    assert actions.count(Action.OK) >= 93


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match="row 0 is not"):
        calibration_gap(np.array([1.5]), np.array([1.0]))
    for net in (np.array([math.nan]), np.ones(2)):
        with pytest.raises(ValueError, match="a finite net and expectation"):
            edge_gap(net, np.ones(1))
