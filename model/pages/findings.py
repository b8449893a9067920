"""What a training found, as numbers and short series: what a report lays out, and a script reads as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ml.learning.evaluate import Earned, Fold, Line, Quality
from ml.learning.evidence.importance import Importance
from ml.learning.evidence.others import Point
from ml.learning.evidence.paths import Paths
from ml.learning.gate import Outlook, Rule
from utils.figures.shown import counted, percent, plain
from utils.records.files import plain as as_json
from utils.rows import NS_PER_DAY

#: Said of what only trades can tell.
IDLE = "unknown: no trade was worth taking"


@dataclass(frozen=True, slots=True)
class Bins:
    """A reliability diagram: bins of equal numbers of labels beside each other."""

    p: tuple[float, ...]  # mean of what was said
    rate: tuple[float, ...]  # share that won
    weight: tuple[float, ...]  # effective labels
    low: tuple[float, ...]  # 95 % interval of the share
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """All that the verdict is about: the record of a configuration, each trade counted once."""

    first: int  # the first close that was judged, ns; 0 = none
    last: int
    days: int  # with a judged label
    trainings: int  # 0 = too little was judged to begin a record, and a longer history may still
    effective: float  # labels, by their uniqueness
    rate: float  # share of wins; NaN = not computable, as all below
    skill: float  # Brier skill over the base rate that was known
    skill_low: float  # its lower 95 % bound, as the gate asks it
    earned: Earned
    deflated: float  # deflated Sharpe ratio, 0-1
    when: tuple[float, ...]  # of each trade, days since the first close
    total_bps: tuple[float, ...]  # net added up
    wealth: tuple[float, ...]  # after each trade


@dataclass(frozen=True, slots=True)
class Slope:
    """Expected net of one direction as the version that was made tells it: intercept + slope times raw score."""

    intercept_bps: float
    slope_bps: float  # per unit of log odds, as used: shrunk, and not below 0
    fitted_bps: float  # as fitted
    error_bps: float  # its standard error; inf = the score does not vary


@dataclass(frozen=True, slots=True)
class Overfit:
    """A probability of backtest overfitting."""

    probability: float  # NaN = not computable
    configurations: int
    days: int
    why: str  # it is not computable; "" where it is


@dataclass(frozen=True, slots=True)
class Family:
    """What one family of learners showed."""

    name: str
    version: str
    threshold_bps: float  # of the version that was made; inf = no trade is worth taking
    verdict: str
    opens: bool
    enough: bool
    rules: tuple[Rule, ...]
    outlook: Outlook
    record: Record
    quality: Quality  # of what was judged now
    bins: Bins
    slopes: tuple[Slope, Slope]  # LONG, SHORT
    lines: tuple[Line, Line]
    folds: tuple[Fold, ...]
    shadows: tuple[Earned, ...]
    random_bps: float  # what as many random entries earn
    random_chance: float  # how often they beat the model
    paths: Paths | None
    paths_why: str  # there are none
    importances: tuple[Importance, ...]
    curve: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a training found."""

    symbols: tuple[str, ...]
    timeframe: str
    barriers: str  # in words
    entry: str
    gross: bool
    features: int
    rows: int
    first: int  # closes of the data set, ns
    last: int
    judged_first: int  # closes that were judged now; 0 = none
    judged_last: int
    tried: int
    needed: float  # wealth that is asked
    best: int  # place of the family that the verdict is about
    families: tuple[Family, ...]
    base: Quality | None  # the base rate, walked like the others
    base_why: str  # it was not
    base_last: float  # log loss of the base rate on the last step, nats
    overfit: Overfit  # thresholds x families
    overfit_ledger: Overfit
    baselines: tuple[Earned, ...]
    held_bps: float  # buy and hold, before costs

    @property
    def about(self) -> Family:
        """The family that the verdict is about."""
        return self.families[self.best]

    @property
    def nothing_new(self) -> str:
        """What is to be said where no row came since the last training: where the record stands. "" = some did."""
        record = self.about.record
        if self.judged_first or not record.last:
            return ""
        holds = f"{counted(record.earned.trades, 'trade')} of {counted(record.days, 'day')}"
        return f"nothing new since {moment(record.last)}; the record holds {holds}"

    def row(self) -> dict[str, Any]:
        """The report as JSON has it: NaN and infinities are null."""
        found: dict[str, Any] = as_json(asdict(self))
        return found

    def brief(self) -> str:
        """The report in a dozen lines, for a terminal."""
        about = self.about
        seen, outlook = about.quality, about.outlook
        said = {
            "trained": f"{', '.join(self.symbols)} {self.timeframe}, {self.barriers}, {self.entry} entries",
            "data": f"{counted(self.rows, 'row')} of {counted(self.features, 'feature')}, {day(self.first)} to "
            f"{day(self.last)}",
            "labels": self.nothing_new
            or f"{plain(seen.effective, 0)} effective of {counted(seen.labels, 'label')} judged out of sample; "
            f"{percent(seen.rate)} won",
        }
        lines = [f"{name:<14} {text}" for name, text in said.items()]
        lines += [
            "",
            f"{'family':<14} {'Brier skill':>12} {'at least':>9} {'trades':>8} {'net bps':>9} {'at least':>9}",
        ]
        for one in self.families:
            record, earned = one.record, one.record.earned
            lines.append(
                f"{one.name:<14} {percent(record.skill, 2):>12} {percent(record.skill_low, 2):>9} "
                f"{earned.trades:>8,} {plain(earned.net_bps):>9} {plain(earned.low_bps):>9}"
            )
        lines += [
            "",
            f"{'smallest edge':<14} {smallest(outlook)}",
            f"{'days needed':<14} {days_needed(outlook)}",
            *([f"{'':<14} both as if every signal was taken, as no trade was worth it"] if outlook.supposed else []),
            *(f"{one.name:<14} {one.verdict}" for one in self.families),
        ]
        return "\n".join(lines)


def smallest(outlook: Outlook) -> str:
    """The smallest edge that a window can show, in words."""
    if not outlook.trades:
        return IDLE
    if math.isnan(outlook.smallest_bps):
        return f"unknown with {counted(outlook.trades, 'trade')}"
    return (
        f"{plain(outlook.smallest_bps, 1)} bps a trade is what {seen(outlook)} can show "
        f"(2.5 x {plain(outlook.sd_bps, 1)} bps / sqrt n)"
    )


def seen(outlook: Outlook) -> str:
    """What stands behind what is said of a window."""
    if outlook.supposed:
        return f"{counted(outlook.trades, 'signal')} without the model"
    return counted(outlook.trades, "trade")


def days_needed(outlook: Outlook) -> str:
    """How long it takes to know more, in words."""
    if not outlook.trades:
        return IDLE
    days = math.ceil(outlook.days_needed)
    counting = f"{counted(days, 'day')} more until there is enough to judge" if days else "there is enough to judge"
    at = f"at {plain(outlook.edge_bps, 1)} bps a trade"
    if math.isinf(outlook.edge_days) or math.isnan(outlook.edge_days):
        return f"{counting}; the wealth asked is never reached {at}"
    if not outlook.edge_days:
        return f"{counting}, and the wealth asked is reached"
    return f"{counting}, {counted(math.ceil(outlook.edge_days), 'day')} until the wealth asked {at}"


def day(ns: int) -> str:
    """The UTC day of a close; one at midnight belongs to the day that ends. "-" = there is none."""
    return str(np.datetime64((ns - 1) // NS_PER_DAY, "D")) if ns else "-"


def moment(ns: int) -> str:
    """A close to the minute, UTC."""
    return f"{np.datetime64(ns, 'ns').astype('M8[m]')}Z"
