"""Breakers by hand: what trips them, until when they hold, and what they measure from."""

import math

import pytest

from risk.halts import calm_until, lift, low_water, turn_day, watch_equity
from tests.market import params, row
from utils.codes import BLOCK, FLATTEN
from utils.rows import ACCOUNT, NEVER, NS_PER_DAY, NS_PER_HOUR

NOON = 3 * NS_PER_DAY + 12 * NS_PER_HOUR
MIDNIGHT = 4 * NS_PER_DAY
PAUSE = 2 * NS_PER_HOUR
#: Two percent a day, an eighth in all, three trades in a row.
ON = {
    "limits": 1, "max_daily": 0.02, "daily_action": BLOCK, "max_drawdown": 0.125, "drawdown_action": BLOCK,
    "max_losses": 3.0, "losses_ns": PAUSE,
}  # fmt: skip


def account(equity=10_000.0, **values):
    """An account in the middle of a day that began, as did everything, with 10,000."""
    known = {"equity": equity, "high": 10_000.0, "day_equity": 10_000.0, "day_end": MIDNIGHT}
    return row(ACCOUNT, **{**known, **values})[0]


def watched(acc, ts=NOON, **settings):
    return watch_equity(acc, params(**{**ON, **settings})[0], ts)


def test_a_day_begins_with_the_last_equity_of_the_day_before():
    acc = account(9_900.0, day_end=0)
    turn_day(acc, NOON)
    assert (9_900.0, MIDNIGHT) == (acc.day_equity, acc.day_end)
    acc.equity = 9_800.0
    turn_day(acc, MIDNIGHT)
    assert (9_900.0, MIDNIGHT) == (acc.day_equity, acc.day_end)  # midnight ends the day, it does not begin one
    turn_day(acc, MIDNIGHT + 1)
    assert (9_800.0, MIDNIGHT + NS_PER_DAY) == (acc.day_equity, acc.day_end)
    turn_day(acc, MIDNIGHT + 5 * NS_PER_DAY + 1)  # days without a price
    assert MIDNIGHT + 6 * NS_PER_DAY == acc.day_end


def test_a_close_at_midnight_ends_its_day_and_trips_nothing_of_it():
    acc = account(9_700.0)
    assert 0 == watched(acc, MIDNIGHT)
    assert (0, 9_700.0, MIDNIGHT + NS_PER_DAY) == (acc.daily_until, acc.day_equity, acc.day_end)
    # the first day too, when a run begins with it
    acc = account(day_end=0)
    turn_day(acc, MIDNIGHT)
    watched(acc, MIDNIGHT)
    assert MIDNIGHT + NS_PER_DAY == acc.day_end


@pytest.mark.parametrize("action", [BLOCK, FLATTEN])
def test_the_loss_of_a_day_trips_at_its_limit_once_and_until_midnight(action):
    acc = account(9_800.01)
    assert 0 == watched(acc, daily_action=action)
    acc.equity = 9_800.0
    assert action == watched(acc, daily_action=action)
    assert (MIDNIGHT, pytest.approx(0.02), 1) == (acc.daily_until, acc.daily_saw, acc.halts)
    acc.equity = 9_500.0
    assert 0 == watched(acc, NOON + 1, daily_action=action)  # it has tripped, and says what it saw then
    assert (pytest.approx(0.02), 1) == (acc.daily_saw, acc.halts)


def test_a_new_day_measures_anew_and_may_trip_anew():
    acc = account(9_800.0)
    watched(acc)
    turn_day(acc, MIDNIGHT + 1)
    assert 0 == watched(acc, MIDNIGHT + 1)
    acc.equity = 9_604.0
    assert BLOCK == watched(acc, MIDNIGHT + 2)
    assert (MIDNIGHT + NS_PER_DAY, 2) == (acc.daily_until, acc.halts)


def test_the_loss_of_a_day_is_of_its_own_beginning_and_not_of_its_best():
    acc = account(10_500.0)
    watched(acc)
    acc.equity = 10_000.0
    assert 0 == watched(acc)
    assert 10_500.0 == acc.high


def test_a_streak_of_losses_pauses_and_is_counted_anew():
    acc = account(losses=2)
    assert 0 == watched(acc)
    acc.losses = 3
    assert BLOCK == watched(acc)
    assert (NOON + PAUSE, 3.0, 0, 1) == (acc.losses_until, acc.losses_saw, acc.losses, acc.halts)
    assert 0 == watched(acc, NOON + 1)
    acc.losses = 4  # several at one instant
    assert BLOCK == watched(acc, NOON + 2)
    assert (NOON + 2 + PAUSE, 4.0, 2) == (acc.losses_until, acc.losses_saw, acc.halts)


@pytest.mark.parametrize("action", [BLOCK, FLATTEN])
def test_a_drawdown_holds_until_somebody_lifts_it(action):
    off = {"max_daily": 0.0, "drawdown_action": action}
    acc = account(8_750.01)
    assert 0 == watched(acc, **off)
    acc.equity = 8_750.0
    assert action == watched(acc, **off)
    assert (NEVER, 0.125, 1) == (acc.drawdown_until, acc.drawdown_saw, acc.halts)
    acc.equity = 8_000.0
    assert 0 == watched(acc, NOON + 400 * NS_PER_DAY, **off)
    lift(acc)
    assert (0, 8_000.0) == (acc.drawdown_until, acc.high)
    assert 0 == watched(acc, NOON + 400 * NS_PER_DAY, **off)
    acc.equity = 7_000.0
    assert action == watched(acc, NOON + 400 * NS_PER_DAY, **off)


def test_a_drawdown_for_hours_then_measures_anew_from_the_equity_there_is():
    off = {"max_daily": 0.0, "drawdown_ns": PAUSE}
    acc = account(8_750.0)
    assert BLOCK == watched(acc, **off)
    assert NOON + PAUSE == acc.drawdown_until
    acc.equity = 8_000.0
    assert 0 == watched(acc, NOON + PAUSE - 1, **off)
    assert 0 == watched(acc, NOON + PAUSE, **off)
    assert (0, 8_000.0, 1) == (acc.drawdown_until, acc.high, acc.halts)
    acc.equity = 7_000.0
    assert BLOCK == watched(acc, NOON + PAUSE + 1, **off)
    assert 2 == acc.halts


def test_of_two_that_trip_at_once_the_sharper_acts_and_both_are_counted():
    acc = account(8_750.0, losses=3)
    assert FLATTEN == watched(acc, drawdown_action=FLATTEN)
    assert (MIDNIGHT, NEVER, NOON + PAUSE, 3) == (acc.daily_until, acc.drawdown_until, acc.losses_until, acc.halts)


@pytest.mark.parametrize("off", ["max_daily", "max_drawdown", "max_losses"])
def test_a_breaker_of_nothing_is_off(off):
    acc = account(5_000.0, losses=9)
    watched(acc, **{off: 0.0})
    halts = {"max_daily": acc.daily_until, "max_drawdown": acc.drawdown_until, "max_losses": acc.losses_until}
    assert {off} == {name for name, until in halts.items() if until == 0}
    assert 2 == acc.halts


def test_the_clock_alone_changes_something_at_midnight_or_when_a_halt_ends():
    assert MIDNIGHT == calm_until(account())
    assert NOON == calm_until(account(drawdown_until=NOON))
    assert MIDNIGHT == calm_until(account(drawdown_until=NEVER))


def test_low_water_is_the_highest_equity_at_which_a_breaker_may_trip():
    def low(acc, high=10_000.0, **settings):
        return low_water(acc, params(**{**ON, **settings})[0], high)

    assert pytest.approx(9_800.0) == low(account())
    assert pytest.approx(10_500.0) == low(account(), high=12_000.0)
    assert pytest.approx(8_750.0) == low(account(daily_until=MIDNIGHT))
    assert pytest.approx(9_800.0) == low(account(drawdown_until=NEVER))
    assert -math.inf == low(account(), max_daily=0.0, max_drawdown=0.0)
    # on the safe side: what trips is never above it
    for equity in (9_800.0, 9_799.999999999998):
        assert equity <= low(account())
        assert BLOCK == watched(account(equity))


def test_who_lifts_lets_all_breakers_measure_from_now():
    acc = account(9_000.0, losses=2, daily_until=MIDNIGHT, losses_until=NOON, drawdown_until=NEVER)
    lift(acc)
    assert (0, 0, 0, 0) == (acc.daily_until, acc.losses_until, acc.drawdown_until, acc.losses)
    assert (9_000.0, 9_000.0) == (acc.high, acc.day_equity)
    assert 0 == watched(acc)
