"""When the next training is due: a function of the time, of what the settings ask, and of the runs on record.

Nothing here reads a clock, so nothing depends on one that goes steadily: whoever asks again and again with the time of
the moment gets the right answer after a night on which clocks change, after days asleep, and after a clock was moved.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal, Protocol

from utils.rows import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S

#: How a run ended. The first two are a training that was done.
Outcome = Literal["enabled", "not_enabled", "failed", "killed", "stopped", "refused"]
DONE: tuple[Outcome, ...] = ("enabled", "not_enabled")
#: Runs of one local date; those that were refused, since somebody trained by hand, are not among them.
MOST_ATTEMPTS = 3
#: From the end of the first, the second attempt that came to nothing to the next, and from a refusal, ns.
PAUSES = (10 * NS_PER_MINUTE, NS_PER_HOUR)
PAUSE_REFUSED = 15 * NS_PER_MINUTE
#: So long an hour that passed before anybody looked is made up for: a restart of the program at that moment.
GRACE = NS_PER_HOUR
#: So long after its hour a run counts for the date of that hour, midnight or not.
SPAN = 6 * NS_PER_HOUR
#: What is dated further ahead was written by a clock that was wrong.
AHEAD = 10 * NS_PER_MINUTE


class Known(Protocol):
    """What a run on record has to say."""

    @property
    def day(self) -> date:
        """The local date for which it was."""
        ...

    @property
    def attempt(self) -> int:
        """Which run of that date it is, from 1 on."""
        ...

    @property
    def ended_ns(self) -> int | None:
        """When it ended, ns UTC; None = it is at work."""
        ...

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None = it is at work."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What the settings ask."""

    hour: int  # local, 0-23
    zone: tzinfo
    max_age_ns: int


@dataclass(frozen=True, slots=True)
class Due:
    """The next run."""

    day: date  # the local date for which it is
    attempt: int  # the number of its record
    why: str  # it is to begin now; empty = it is not
    at_ns: int  # when it is to begin, ns UTC, if nothing else happens


def due(now_ns: int, plan: Plan, runs: Collection[Known], newest_ns: int | None, began_ns: int) -> Due:
    """Whether a run is to begin now, for which local date, and else when.

    The hour of each local date asks for one run; where nobody could begin it (asleep, a clock set forward), it is made
    up for, once. What was begun for a date and came to nothing is tried again on that date. At the start a model that
    is too old asks for one. Where one is at work none begins.

    Args:
        now_ns: the time, ns UTC.
        plan: what the settings ask.
        runs: on record.
        newest_ns: when the newest version was written; None = there is none.
        began_ns: since when somebody looks, ns UTC.
    """
    passed, of = latest(now_ns, plan)
    day = of if now_ns - passed < SPAN else local_date(now_ns, plan.zone)
    mine = [run for run in runs if run.day == day]
    number = max((run.attempt for run in mine), default=0) + 1
    following = _following(now_ns, plan, runs)
    begins = Due(day, number, "", following)
    if any(run.outcome is None for run in runs) or _attempts(mine) >= MOST_ATTEMPTS:
        return begins
    why = _why(now_ns, plan, runs, newest_ns, min(began_ns, now_ns), passed, of, day)
    if not why:
        return begins
    at = _rested(mine, now_ns)
    if at > now_ns:
        return Due(day, number, "", min(at, following))
    return Due(day, number, why, now_ns)


def _why(
    now_ns: int,
    plan: Plan,
    runs: Collection[Known],
    newest_ns: int | None,
    began_ns: int,
    passed: int,
    of: date,
    day: date,
) -> str:
    """Why a run is wanted; empty = it is not."""
    ends = [(run.ended_ns, run.day) for run in runs if run.outcome in DONE and run.ended_ns is not None]
    done = any(of_day == day for _, of_day in ends)
    if not done and any(run.day == day for run in runs):
        return "tried again"
    if any(of_day == day and end > now_ns + AHEAD for end, of_day in ends):
        return ""  # the clock was set back on that date
    trained = max(
        (at for at in (newest_ns, *(end for end, _ in ends)) if at is not None and at <= now_ns + AHEAD), default=None
    )
    looked = passed >= began_ns or (passed >= began_ns - GRACE and (trained is None or trained < passed))
    if not done and looked and not any(run.day == of for run in runs):
        return "daily" if of == day else "missed"
    if trained is None:
        return "absent"
    return "old" if began_ns - trained > plan.max_age_ns else ""


def _attempts(mine: Collection[Known]) -> int:
    return sum(run.outcome != "refused" for run in mine)


def _rested(mine: Collection[Known], now_ns: int) -> int:
    """When the pause behind the last run of a date is over, ns; one that ends later than now is by another clock."""
    last = max(mine, key=lambda run: run.attempt, default=None)
    if last is None or last.ended_ns is None or last.ended_ns > now_ns or last.outcome in DONE:
        return now_ns
    pause = PAUSE_REFUSED if last.outcome == "refused" else PAUSES[min(_attempts(mine), len(PAUSES)) - 1]
    return last.ended_ns + pause


def _following(now_ns: int, plan: Plan, runs: Collection[Known]) -> int:
    """The next hour of a local date that has no run that was done, ns UTC."""
    today = local_date(now_ns, plan.zone)
    had = {run.day for run in runs if run.outcome in DONE}
    days = [today + timedelta(ahead) for ahead in range(-1, 3 + len(had))]
    return next(at for day in days if (at := hour_of(day, plan)) > now_ns and day not in had)


def latest(now_ns: int, plan: Plan) -> tuple[int, date]:
    """The last hour that has come, ns UTC, and the local date that it is of."""
    today = local_date(now_ns, plan.zone)
    hours = [(hour_of(today + timedelta(ahead), plan), today + timedelta(ahead)) for ahead in range(-2, 2)]
    return max(one for one in hours if one[0] <= now_ns)


def local_date(at_ns: int, zone: tzinfo) -> date:
    """The date on a clock of the zone."""
    return datetime.fromtimestamp(at_ns // NS_PER_S, zone).date()


def hour_of(day: date, plan: Plan) -> int:
    """When the hour of a local date begins, ns UTC.

    The first time where clocks show it twice, and where they leave it out the first moment after.
    """
    wanted = datetime(day.year, day.month, day.day, plan.hour)  # noqa: DTZ001 - what a clock on the wall shows
    low, high = (int(wanted.replace(tzinfo=plan.zone, fold=fold).astimezone(UTC).timestamp()) for fold in (1, 0))
    if low < high:  # left out: the clock changes between the two
        while high - low > 1:
            middle = (low + high) // 2
            shown = datetime.fromtimestamp(middle, plan.zone).replace(tzinfo=None)
            low, high = (low, middle) if shown >= wanted else (middle, high)
    return high * NS_PER_S
