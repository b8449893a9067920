"""Whether evidence is enough to enable a model: rules that cannot be worn down by trying again every day.

Each rule is a number and what it must reach. The wealth of a bettor who plays every trade against us holds at any
time, however often one looks, and grows with the number of configurations that were ever tried; the other rules keep
out what is too little to be looked at, or wins without knowing more than the base rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ml.learning.overfitting import smallest_edge
from ml.learning.walk import DAY, Evidence
from ml.learning.wealth import bets, wealth_needed, wealth_of_open
from utils.figures.arithmetic import Floats, mean_or_nan
from utils.figures.bootstrap import chance_positive, lower_bound, skill
from utils.rows import NS_PER_DAY

#: Days with a judged label, and trades, below which nothing is known.
FEWEST_DAYS, FEWEST_TRADES = 30, 100
#: Share of bootstrap means above 0, and trades of a block.
CHANCE, BLOCK = 0.95, 10
#: How surely the Brier skill is above its lower bound; labels reach a few hours ahead, so days stand for themselves.
SURE, SKILL_DAYS = 0.95, 1
#: The edge that is asked about where none was seen, bps.
ASKED_BPS = 2.0
#: So little wealth counts as that much: what is lost for ever is not waited for.
LEAST_WEALTH = 1e-300

DAYS_RULE, TRADES_RULE, CHANCE_RULE, SKILL_RULE, WEALTH_RULE = (
    "test days",
    "trades",
    "P(net > 0)",
    "Brier skill, lower bound",
    "wealth",
)
NOT_ENOUGH = "not enough data"


@dataclass(frozen=True, slots=True)
class Rule:
    """One condition: it holds where the value reaches the threshold, or for a strict one exceeds it."""

    name: str
    value: float  # NaN = not computable, which does not hold
    threshold: float
    strict: bool = False

    @property
    def holds(self) -> bool:
        """Whether it is met."""
        return self.value > self.threshold if self.strict else self.value >= self.threshold

    def __str__(self) -> str:
        sign = ">" if self.strict else ">="
        return f"{self.name} {_short(self.value)} {sign if self.holds else 'not ' + sign} {_short(self.threshold)}"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the window can show, and how long it would take to know more."""

    trades: int  # that were taken; `supposed`: the strategy's own signals
    days: int
    sd_bps: float  # of a trade's net; NaN with fewer than two
    smallest_bps: float  # the smallest mean net that so many trades can show
    days_needed: float  # for the rules that count days and trades; inf = without a trade nothing can be said
    edge_bps: float  # the mean net asked about below: the observed one if above 0, else 2 bps
    edge_days: float  # days until the wealth would be reached if trades went on at that mean; inf = never
    supposed: bool = (
        False  # the model took fewer than two trades: all of this is said of the strategy's signals without it
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """All rules, and what follows."""

    rules: tuple[Rule, ...]
    outlook: Outlook
    tried: int  # k, configurations ever tried

    @property
    def opens(self) -> bool:
        """Whether the model may be enabled."""
        return all(rule.holds for rule in self.rules)

    @property
    def enough(self) -> bool:
        """Whether there is enough to judge at all."""
        return all(rule.holds for rule in self.rules if rule.name in {DAYS_RULE, TRADES_RULE})

    @property
    def first_failing(self) -> Rule | None:
        """The rule that is named in a refusal."""
        return next((rule for rule in self.rules if not rule.holds), None)

    def __str__(self) -> str:
        failing = self.first_failing
        if failing is None:
            return "enabled"
        about = f" ({NOT_ENOUGH})" if not self.enough else ""
        return f"not enabled: {failing.name} {_short(failing.value)} threshold {_short(failing.threshold)}{about}"


def verdict(evidence: Evidence, tried: int, worst_bps: float, *, seed: int, signals: Floats | None = None) -> Verdict:
    """The gate before a first enabling.

    Formula: days >= 30, trades >= 100, P(net > 0) >= .95 by a stationary bootstrap in blocks of ten trades, the 5 %
    end of the Brier skill 1 - sum w (p - y)^2 / sum w (b - y)^2 over days above 0, wealth >= 20 k. Source: own; wealth
    Ville 1939, Waudby-Smith and Ramdas 2024.

    Args:
        evidence: of the configuration.
        tried: k, configurations ever tried; at least 1.
        worst_bps: the worst loss of a trade that is to be reckoned with, bps.
        seed: of the bootstraps.
        signals: what the strategy's own signals earned on the rows that were judged, bps; they say what the window can
            show where the model took nothing.
    """
    low = skill_bound(evidence.scores[:, DAY.index("squared")], evidence.scores[:, DAY.index("base")], seed=seed)
    return _judged(evidence, evidence.days, low, tried, worst_bps, seed, signals)


def challenge(
    challenger: Evidence, champion: Evidence, tried: int, worst_bps: float, best_bps: float, *, seed: int
) -> Verdict:
    """The gate before a model of another configuration takes the place of the one that serves: the same on differences.

    Both are looked at from the later of their beginnings to the earlier of their ends. A trade of the challenger counts
    with its net, one of the champion with its negative, one that both made with the difference; of the squared errors
    those of the champion stand where the base rate's stood.

    Args:
        challenger: of the configuration that would serve.
        champion: of the one that does, its symbols numbered alike.
        tried: k.
        worst_bps: the worst loss of a trade, bps.
        best_bps: the best gain of one, which is a loss where the champion makes it; both may come together.
        seed: of the bootstraps.
    """
    since, end = max(challenger.first, champion.first), min(challenger.last, champion.last)
    trades = differences(challenger, champion, since, end)
    days, ours, theirs = np.intersect1d(challenger.day, champion.day, assume_unique=True, return_indices=True)
    inside = (days > since // NS_PER_DAY) & (days < (end - 1) // NS_PER_DAY)
    column, weight = DAY.index("squared"), DAY.index("weight")
    # per label, as the two may have labels of other barriers
    own = challenger.scores[ours][inside][:, column] / challenger.scores[ours][inside][:, weight]
    other = champion.scores[theirs][inside][:, column] / champion.scores[theirs][inside][:, weight]
    low = skill_bound(own, other, seed=seed)
    shared = replace(challenger, first=since, last=max(since, end), **trades)
    return _judged(shared, int(inside.sum()), low, tried, worst_bps + best_bps, seed)


def differences(challenger: Evidence, champion: Evidence, since: int, end: int) -> dict[str, Any]:
    """What either did in a period, in order of time: `ts`, `until`, `sym` and net difference (bps) of each.

    A trade that both made is one difference, and over when both are.
    """
    found: dict[tuple[int, int, int], tuple[int, float]] = {}
    for one, sign in ((challenger, 1.0), (champion, -1.0)):
        for ts, until, sym, side, net in zip(one.ts, one.until, one.sym, one.side, one.net, strict=True):
            if since <= ts <= end:
                key = (int(ts), int(sym), int(side))
                over, sum_ = found.get(key, (0, 0.0))
                found[key] = (max(over, int(until)), sum_ + sign * float(net))
    keys = sorted(found)
    return {
        "ts": np.array([key[0] for key in keys], np.int64),
        "until": np.array([found[key][0] for key in keys], np.int64),
        "sym": np.array([key[1] for key in keys], np.int64),
        "net": np.array([found[key][1] for key in keys], np.float64),
    }


def skill_bound(squared: Floats, base: Floats, *, seed: int) -> float:
    """What the skill of a squared error over another's exceeds with 95 % confidence: day by day; NaN under two days."""
    if len(squared) < 2:
        return math.nan
    return lower_bound(np.column_stack([squared, base]), SURE, SKILL_DAYS, seed=seed, statistic=skill)


def _judged(
    evidence: Evidence,
    days: int,
    low: float,
    tried: int,
    worst_bps: float,
    seed: int,
    signals: Floats | None = None,
) -> Verdict:
    net = evidence.net
    # trades of several symbols at once share their luck: a block is so many moments
    block = BLOCK * max(1, len(np.unique(evidence.sym)))
    chance = chance_positive(net, block, seed=seed) if len(net) >= 2 * block else math.nan
    needed = wealth_needed(max(tried, 1))
    have = wealth_of_open(evidence.ts, evidence.until, net, worst_bps)
    rules = (
        Rule(DAYS_RULE, days, FEWEST_DAYS),
        Rule(TRADES_RULE, len(net), FEWEST_TRADES),
        Rule(CHANCE_RULE, chance, CHANCE),
        Rule(SKILL_RULE, low, 0.0, strict=True),
        Rule(WEALTH_RULE, have, needed),
    )
    return Verdict(rules, outlook(evidence, days, have, needed, worst_bps, signals), max(tried, 1))


def outlook(
    evidence: Evidence, days: int, have: float, needed: float, worst_bps: float, signals: Floats | None = None
) -> Outlook:
    """The smallest edge that so many trades can show, and the days still needed.

    Formula: 2.5 sd / sqrt n. Days for the counting rules: the greater of 30 - days and (100 - n) days / n. For the
    wealth at a mean of e: n with ln(needed) + ln(bets) - ln W = n max over lambda of
    ln(1 + lambda e) - lambda^2 sd^2 / 2, times days a trade; e is the observed mean if that is above 0, else 2 bps.
    Unit: bps, days.
    """
    net, taken = evidence.net, len(evidence.net)
    supposed = taken < 2 and signals is not None and len(signals) > 1
    seen = signals if supposed and signals is not None else net
    n = len(seen)
    sd = float(np.std(seen, ddof=1)) if n > 1 else math.nan
    span = max((evidence.last - evidence.first) / NS_PER_DAY, float(days))
    pace = span / n if n else math.inf
    missing = max(FEWEST_TRADES - taken, 0)
    counting = max(float(FEWEST_DAYS - days), missing * pace if missing else 0.0, 0.0)
    mean = mean_or_nan(net)
    edge = mean if mean > 0.0 else ASKED_BPS
    sizes = bets(worst_bps).tolist()
    growth = max(math.log1p(one * edge) - one * one * sd * sd / 2.0 for one in sizes)
    left = math.log(needed) + math.log(len(sizes)) - math.log(max(have, LEAST_WEALTH))
    ahead = max(left, 0.0) / growth * pace if growth > 0.0 else math.inf
    smallest = smallest_edge(sd, n) if n > 1 else math.nan
    return Outlook(taken if not supposed else n, days, sd, smallest, counting, edge, max(counting, ahead), supposed)


def _short(value: float) -> str:
    return "nan" if math.isnan(value) else f"{value:.4g}"
