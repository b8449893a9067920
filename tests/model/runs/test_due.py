"""When a run is due, by a clock that is moved: every night of a year, changes of it, days asleep, clocks set wrong."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from model.runs.due import DONE, MOST_ATTEMPTS, Plan, due, hour_of, local_date

SECOND, MINUTE, HOUR, DAY = 10**9, 60 * 10**9, 3600 * 10**9, 86_400 * 10**9
#: Zones whose clocks change: at two or three at night, at midnight, at eleven, by half an hour, and one never.
ZONES = (
    "Europe/Vienna",
    "America/Santiago",
    "Africa/Cairo",
    "America/Nuuk",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/New_York",
)
CHANGES = {
    "Europe/Vienna": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/Santiago": (date(2026, 4, 5), date(2026, 9, 6)),
    "Africa/Cairo": (date(2026, 4, 24), date(2026, 10, 30)),
    "America/Nuuk": (date(2026, 3, 29), date(2026, 10, 25)),
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),
    "Asia/Kathmandu": (date(2026, 3, 29),),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
}


def ns(*when):
    return int(datetime(*when, tzinfo=UTC).timestamp()) * SECOND


@dataclass
class Done:
    day: date
    attempt: int
    began_ns: int
    ended_ns: int | None
    outcome: str | None


class World:
    """A clock, runs that are begun when they are due and end after five minutes, and the versions that they leave."""

    def __init__(self, plan, now_ns, *, newest_ns=None, end="not_enabled"):
        self.plan, self.now_ns, self.end = plan, now_ns, end
        self.versions = [] if newest_ns is None else [newest_ns]
        self.began_ns, self.runs = now_ns, []

    def look(self):
        last = self.runs[-1] if self.runs else None
        if last is not None and last.outcome is None and self.now_ns >= last.began_ns + 5 * MINUTE:
            self.finish(last)
        newest = max((at for at in self.versions if at <= self.now_ns), default=None)
        found = due(self.now_ns, self.plan, self.runs, newest, self.began_ns)
        if found.why:
            self.runs.append(Done(found.day, found.attempt, self.now_ns, None, None))
        return found

    def finish(self, run):
        run.ended_ns, run.outcome = run.began_ns + 5 * MINUTE, self.end
        if self.end in DONE:
            self.versions.append(run.ended_ns)

    def live(self, until_ns, step_ns=10 * MINUTE, punctual=False):
        """Time goes on in steps, or to the moment that is told where that comes before."""
        while self.now_ns < until_ns:
            told = self.look().at_ns
            self.now_ns = min(self.now_ns + step_ns, max(told, self.now_ns + 5 * MINUTE) if punctual else told + DAY)

    def set_clock(self, *when):
        """The clock jumps; what was at work has ended before that."""
        if self.runs and self.runs[-1].outcome is None:
            self.finish(self.runs[-1])
        self.now_ns = ns(*when)

    def local(self):
        return [datetime.fromtimestamp(run.began_ns // SECOND, self.plan.zone) for run in self.runs]


def vienna(hour=3, hours=24):
    return Plan(hour, ZoneInfo("Europe/Vienna"), hours * HOUR)


def awake(plan, *when, **more):
    """A world that has a model of an hour ago."""
    now = ns(*when)
    return World(plan, now, newest_ns=now - HOUR, **more)


@pytest.mark.parametrize("hour", range(24))
@pytest.mark.parametrize("zone", ZONES)
def test_each_local_date_has_one_run_also_where_clocks_change(zone, hour):
    for night in CHANGES[zone]:
        plan = Plan(hour, ZoneInfo(zone), 24 * HOUR)
        begin = hour_of(night - timedelta(3), plan) + HOUR
        world = World(plan, begin, newest_ns=begin - MINUTE)
        world.live(hour_of(night + timedelta(3), plan) + HOUR, 3 * HOUR, punctual=True)
        days = [night + timedelta(k) for k in range(-2, 4)]
        assert [run.day for run in world.runs] == days
        assert [run.began_ns for run in world.runs] == [hour_of(day, plan) for day in days]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("hour", [0, 2, 3, 23])
def test_a_whole_year_has_a_run_a_day(zone, hour):
    plan = Plan(hour, ZoneInfo(zone), 24 * HOUR)
    begin = hour_of(date(2025, 12, 31), plan) + HOUR
    world = World(plan, begin, newest_ns=begin - MINUTE)
    world.live(hour_of(date(2026, 12, 31), plan) + HOUR, DAY, punctual=True)
    assert Counter(run.day for run in world.runs) == {date(2026, 1, 1) + timedelta(k): 1 for k in range(365)}


@pytest.mark.parametrize(
    ("zone", "day", "hour", "utc"),
    [
        ("Europe/Vienna", date(2026, 3, 29), 2, (2026, 3, 29, 1)),  # left out: 02:00 is 03:00
        ("Europe/Vienna", date(2026, 3, 29), 3, (2026, 3, 29, 1)),
        ("Europe/Vienna", date(2026, 10, 25), 2, (2026, 10, 25, 0)),  # twice: the first
        ("Europe/Vienna", date(2026, 10, 25), 3, (2026, 10, 25, 2)),
        ("America/Santiago", date(2026, 9, 6), 0, (2026, 9, 6, 4)),  # the day begins at 01:00
        ("America/Santiago", date(2026, 4, 4), 23, (2026, 4, 5, 2)),  # 23:00 twice
        ("Africa/Cairo", date(2026, 4, 24), 0, (2026, 4, 23, 22)),
        ("America/Nuuk", date(2026, 3, 28), 23, (2026, 3, 29, 1)),  # left out: 23:00 is midnight
        ("Australia/Lord_Howe", date(2026, 10, 4), 2, (2026, 10, 3, 15, 30)),
        ("Asia/Kathmandu", date(2026, 3, 29), 3, (2026, 3, 28, 21, 15)),
        ("Pacific/Apia", date(2011, 12, 30), 12, (2011, 12, 30, 10)),  # a date that nobody there had
    ],
)
def test_an_hour_that_is_left_out_is_the_moment_after_and_one_that_comes_twice_the_first(zone, day, hour, utc):
    assert hour_of(day, Plan(hour, ZoneInfo(zone), HOUR)) == ns(*utc)


def test_days_asleep_are_made_up_for_by_one_run():
    world = awake(vienna(), 2026, 11, 2, 12)
    world.live(ns(2026, 11, 3, 12))
    world.set_clock(2026, 11, 8, 15)
    world.live(ns(2026, 11, 9, 12))
    assert [run.day.day for run in world.runs] == [3, 8, 9]


def test_who_wakes_before_the_hour_of_that_date_makes_up_for_it_and_has_had_that_date():
    world = awake(vienna(), 2026, 11, 2, 12)
    world.live(ns(2026, 11, 3, 12))
    world.set_clock(2026, 11, 8, 0)  # 01:00 there
    world.live(ns(2026, 11, 9, 12))
    assert [(run.day.day, moment.hour) for run, moment in zip(world.runs, world.local(), strict=True)] == [
        (3, 3),
        (8, 1),
        (9, 3),
    ]


def test_a_clock_set_back_has_no_second_run_for_the_same_date():
    world = awake(vienna(), 2026, 11, 2, 12)
    world.live(ns(2026, 11, 3, 4))
    world.set_clock(2026, 11, 3, 1)  # an hour before the hour
    world.live(ns(2026, 11, 3, 20))
    world.set_clock(2026, 11, 2, 1)  # the day before
    world.live(ns(2026, 11, 4, 20))
    days = Counter(run.day for run in world.runs)
    assert set(days.values()) == {1}
    assert days.keys() <= {date(2026, 11, 2), date(2026, 11, 3), date(2026, 11, 4)}
    assert date(2026, 11, 4) in days


@pytest.mark.parametrize("hours", [1, 24])
def test_a_first_model_before_a_clock_set_back_is_not_made_twice(hours):
    world = World(vienna(hours=hours), ns(2026, 11, 3, 2))
    world.live(ns(2026, 11, 3, 3))
    world.set_clock(2026, 11, 3, 1)
    world.live(ns(2026, 11, 3, 1, 50))
    assert [run.day.day for run in world.runs] == [3]


def test_a_clock_a_year_ahead_for_a_while_costs_one_run_and_skips_no_day():
    world = awake(vienna(), 2026, 11, 2, 12)
    world.live(ns(2026, 11, 3, 12))
    world.set_clock(2027, 11, 3, 13)
    world.live(ns(2027, 11, 3, 14))
    world.set_clock(2026, 11, 3, 14)
    world.live(ns(2026, 11, 6, 12))
    assert [run.day for run in world.runs] == [
        date(2026, 11, 3),
        date(2027, 11, 3),
        *(date(2026, 11, day) for day in (4, 5, 6)),
    ]


def test_a_process_that_began_while_the_clock_was_a_year_ahead_is_not_misled_by_that():
    world = awake(vienna(), 2026, 11, 2, 12)
    world.live(ns(2026, 11, 3, 12))
    world.set_clock(2027, 11, 3, 13)
    world.began_ns = world.now_ns
    world.live(ns(2027, 11, 3, 14))
    world.set_clock(2026, 11, 3, 14)
    world.live(ns(2026, 11, 4, 12))
    assert [run.day for run in world.runs] == [date(2026, 11, 3), date(2027, 11, 3), date(2026, 11, 4)]


def test_at_the_start_a_model_that_is_absent_or_too_old_asks_for_one_run():
    for newest in (None, ns(2026, 11, 1, 11)):
        world = World(vienna(), ns(2026, 11, 2, 12), newest_ns=newest)
        assert world.look().why == ("absent" if newest is None else "old")
        world.live(ns(2026, 11, 3, 1))
        assert len(world.runs) == 1
        world.live(ns(2026, 11, 3, 12))
        assert [run.day.day for run in world.runs] == [2, 3]


def test_at_the_start_a_young_model_asks_for_none_before_the_hour():
    world = World(vienna(), ns(2026, 11, 2, 12), newest_ns=ns(2026, 11, 1, 13))
    found = world.look()
    assert found.why == ""
    assert found.at_ns == ns(2026, 11, 3, 2)
    world.live(ns(2026, 11, 3, 1))
    assert world.runs == []


def test_a_start_that_is_a_little_late_makes_up_for_the_hour():
    world = World(vienna(), ns(2026, 11, 2, 2, 20), newest_ns=ns(2026, 11, 1, 2, 30))
    assert world.look().why == "daily"


def test_an_old_model_is_trained_anew_at_a_start_on_the_same_date():
    world = awake(vienna(hours=6), 2026, 11, 2, 1)
    world.live(ns(2026, 11, 2, 20))
    assert len(world.runs) == 1
    world.began_ns = world.now_ns
    world.live(ns(2026, 11, 2, 22))
    assert [(run.day.day, run.attempt) for run in world.runs] == [(2, 1), (2, 2)]


@pytest.mark.parametrize("end", ["failed", "killed", "stopped"])
def test_what_came_to_nothing_is_tried_three_times_a_date_with_pauses(end):
    world = awake(vienna(), 2026, 11, 2, 12, end=end)
    world.live(ns(2026, 11, 4, 1), MINUTE)
    assert [(run.day.day, run.attempt) for run in world.runs] == [(3, 1), (3, 2), (3, 3)]
    assert [moment.strftime("%H:%M") for moment in world.local()] == ["03:00", "03:15", "04:20"]
    assert world.look().at_ns == ns(2026, 11, 4, 2)


def test_starting_over_and_over_starts_no_run_after_run():
    world = World(vienna(), ns(2026, 11, 2, 12), end="stopped")
    for _ in range(9 * 60):
        world.began_ns = world.now_ns
        world.look()
        world.now_ns += MINUTE
    assert [run.attempt for run in world.runs] == [1, 2, 3]
    assert len(world.runs) == MOST_ATTEMPTS


def test_at_eleven_in_the_evening_the_pauses_reach_beyond_midnight():
    world = awake(vienna(23), 2026, 11, 2, 12, end="failed")
    world.live(ns(2026, 11, 3, 12), MINUTE)
    assert [(run.day.day, run.attempt) for run in world.runs] == [(2, 1), (2, 2), (2, 3)]
    assert world.local()[-1].day == 3


def test_a_refusal_is_no_attempt_and_is_tried_again_later():
    world = awake(vienna(), 2026, 11, 2, 12, end="refused")
    world.live(ns(2026, 11, 3, 6), MINUTE)
    assert len(world.runs) > MOST_ATTEMPTS
    world.end = "enabled"
    world.live(ns(2026, 11, 3, 20), MINUTE)
    assert [run.outcome for run in world.runs].count("enabled") == 1
    pauses = {later.began_ns - run.ended_ns for run, later in zip(world.runs, world.runs[1:], strict=False)}
    assert pauses == {15 * MINUTE}


def test_while_one_is_at_work_none_begins_whatever_its_date():
    for day in (date(2026, 11, 2), date(2026, 11, 3)):
        at_work = Done(day, 1, ns(2026, 11, 2, 12), None, None)
        found = [due(ns(2026, 11, 2, 12) + k * HOUR, vienna(), [at_work], None, ns(2026, 11, 2)) for k in range(72)]
        assert {one.why for one in found} == {""}


def test_the_next_run_is_told_in_the_pause_and_after_a_run_of_that_date():
    world = awake(vienna(), 2026, 11, 2, 12, end="failed")
    world.live(ns(2026, 11, 3, 2, 7), MINUTE)
    assert world.look().at_ns == ns(2026, 11, 3, 2, 15)
    world = awake(vienna(), 2026, 11, 2, 12)
    world.live(ns(2026, 11, 3, 2, 7), MINUTE)
    assert world.look().at_ns == ns(2026, 11, 4, 2)


def test_the_local_date_is_that_of_the_zone():
    assert local_date(ns(2026, 11, 2, 23, 30), ZoneInfo("Europe/Vienna")) == date(2026, 11, 3)
