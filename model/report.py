"""The report of a training: everything it found as one value, and the two pages that lay it out.

All numbers come from `ml.learning`; here they are gathered. A training after the first has only what came since to
judge: what cannot be computed of that is NaN here, and the page says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtest.data.dataset import DataSet
from ml.learning.evaluate import (
    SHADOWS,
    at_base,
    baselines,
    earned,
    folds,
    held_throughout,
    line,
    predicted,
    quality,
    random_entries,
    shadow,
    shared_days,
    trades_of,
)
from ml.learning.evidence.importance import importances
from ml.learning.evidence.others import instead, learning_curve, simple
from ml.learning.evidence.paths import Paths, paths
from ml.learning.gate import SKILL_RULE, Outlook, outlook
from ml.learning.overfitting import deflated, pbo
from ml.learning.policy import unfiltered
from ml.learning.scores import log_loss, reliability
from ml.learning.table import LONG, SHORT, Table
from ml.learning.walk import DAY, Evidence, Judged, of_judged, together
from ml.learning.wealth import open_path, wealth_needed
from model.pages.contents import page_of
from model.pages.document import html, markdown
from model.pages.findings import Bins, Family, Overfit, Record, Report, Slope
from model.training import Trained, daily_matrix, settled, worst_of
from utils.disk import put, written
from utils.errors import DataError, StorageError
from utils.figures.arithmetic import Floats, ratio_or_nan
from utils.records.ledger import Ledger
from utils.rows import NS_PER_DAY

__all__ = ["Paths", "Report", "Written", "best_of", "places", "report_of", "write_report"]

#: Rows above which boosted trees are not fitted along all paths: fifteen fits more.
MOST_ROWS = 60_000
#: Blocks of days for the probability of overfitting, and days that they need.
BLOCKS, FEWEST_DAYS = 10, 20
#: Trades of a record that the pictures show at most.
POINTS = 2_000
#: What a disk that refuses a report means, and what else can be done.
LOST, CURE = "the report was not written", "name another place"

Told = Callable[[str, float, float], None]


@dataclass(frozen=True, slots=True)
class Written:
    """Where a report stands."""

    markdown: Path
    html: Path

    def __str__(self) -> str:
        return f"report: {self.markdown.as_posix()}, {self.html.as_posix()}"


def best_of(found: Sequence[Trained]) -> Trained:
    """The one that the verdict is about: of those whose gate opens, else of all, that with the greatest wealth."""
    return max(found, key=lambda one: (one.verdict.opens, one.verdict.rules[-1].value))


def report_of(
    found: Sequence[Trained], data: DataSet, ledger: Ledger, *, seed: int, threads: int = 1, told: Told | None = None
) -> Report:
    """What a training found.

    Args:
        found: its families, at least one.
        data: what they were trained on.
        ledger: of all configurations ever tried, these among them.
        seed: of bootstraps, shuffles and learners.
        threads: of learners.
        told: of progress.
    """
    table, configuration = settled(data), found[0].record.configuration
    steps = 4 * len(found) + 2
    done = iter(range(1, steps + 1))

    def tell(what: str) -> None:
        if told is not None:
            told(what, next(done), steps)

    sharpes, tried = ledger.sharpes(), max(ledger.count(), 1)
    families = tuple(_family(one, table, sharpes, tried, seed, threads, tell) for one in found)
    judged = max((one.judged for one in found), key=lambda each: sum(len(one.table) for one in each))
    fingerprint = found[0].fitted.meta.fingerprint
    base, base_why, base_last = None, "", math.nan
    plain = baselines(judged)
    try:
        walked = instead(judged, table, "base", fingerprint, seed=seed)
        base = quality(predicted(walked), seed) if judged else None
    except DataError as error:
        base_why = str(error)
    last = next((one for one in reversed(judged) if one.table.labelled.any()), None)
    if last is not None:
        known = at_base(predicted([last]))
        base_last = log_loss(known.p, known.y, known.w)
    tell("base rate")
    names = simple(table.names)
    try:
        few = instead(judged, table, "logistic", fingerprint, seed=seed, names=names)
        plain.append(earned(f"logistic, {len(names)} features", trades_of(few)))
    except DataError:
        pass
    tell("three features")
    rows = [one.table for one in judged if len(one.table)]
    return Report(
        symbols=table.symbols,
        timeframe=str(configuration.get("timeframe", "")),
        barriers=_barriers(configuration),
        entry=str(configuration.get("entry", "")),
        gross=bool(configuration.get("gross", False)),
        features=len(table.names),
        rows=len(table),
        first=int(table.ts[0]),
        last=int(table.ts[-1]),
        judged_first=int(rows[0].ts[0]) if rows else 0,
        judged_last=int(rows[-1].ts[-1]) if rows else 0,
        tried=tried,
        needed=wealth_needed(tried),
        best=list(found).index(best_of(found)),
        families=families,
        base=base,
        base_why=base_why,
        base_last=base_last,
        overfit=_overfit_thresholds(found),
        overfit_ledger=_overfit(shared_days(ledger.matrix().net_bps, FEWEST_DAYS)),
        baselines=tuple(plain),
        held_bps=held_throughout(judged),
    )


def write_report(report: Report, stem: Path) -> Written:
    """Put a report on the disk as `stem`.md and `stem`.html, each whole or not at all.

    Raises:
        StorageError: the disk refuses.
    """
    paths, page = places(stem), page_of(report)
    for path, text in ((paths.markdown, markdown(page)), (paths.html, html(page))):
        with written(path, "a file", LOST, CURE):
            put(path, text.encode())
    return paths


def places(stem: Path) -> Written:
    """Where a report of this stem stands; its folder is made, and what stands there is a file or nothing.

    Raises:
        StorageError: it cannot be so.
    """
    paths = Written(stem.with_name(f"{stem.name}.md"), stem.with_name(f"{stem.name}.html"))
    with written(stem.parent, "a directory", LOST, CURE):
        stem.parent.mkdir(parents=True, exist_ok=True)
    for path in (paths.markdown, paths.html):
        if path.is_dir():
            raise StorageError(f"{path}: expected a file, saw a directory; move it away or {CURE}")
    return paths


def evidence_of(one: Trained) -> Evidence:
    """What a verdict is about: the record, or what was judged now where that is too little to begin one."""
    if one.record.version:
        return one.record.evidence
    return together([of_judged(each) for each in one.judged if len(each.table)])


def outlook_of(one: Trained, table: Table) -> Outlook:
    """What the record can show; one without trades is asked for the strategy's signals since it began.

    A training after the first judges what came since, and the signals of that alone say little. Where the data set
    begins after the record they are all there is.
    """
    whole = evidence_of(one)
    rows = table.take((table.ts >= whole.first) & (table.ts <= whole.last))
    if len(whole.net) > 1 or one.record.trainings < 2 or table.ts[0] > whole.first or not len(rows):
        return one.verdict.outlook
    rule = one.verdict.rules[-1]
    worst = worst_of(one.record.configuration)
    return outlook(whole, whole.days, rule.value, rule.threshold, worst, unfiltered([rows]))


def _family(
    one: Trained, table: Table, sharpes: Floats, tried: int, seed: int, threads: int, tell: Callable[[str], None]
) -> Family:
    fingerprint = one.fitted.meta.fingerprint
    seen = predicted(one.judged)
    of = reliability(seen.p, seen.y, seen.w)
    random_bps, random_chance = random_entries(one.judged, seed)
    scores = quality(seen, seed)
    tell(f"{one.family}: scores")
    important = importances(one.judged, seed)
    tell(f"{one.family}: importance")
    curve = learning_curve(one.judged, table, one.family, fingerprint, seed=seed, threads=threads)
    tell(f"{one.family}: learning curve")
    ways, why = _ways(one, table, seed, threads)
    tell(f"{one.family}: paths")
    return Family(
        name=one.family,
        version=one.version,
        threshold_bps=one.fitted.meta.threshold_bps,
        verdict=str(one.verdict),
        opens=one.verdict.opens,
        enough=one.verdict.enough,
        rules=one.verdict.rules,
        outlook=outlook_of(one, table),
        record=_record(one, sharpes, tried),
        quality=scores,
        bins=Bins(*(tuple(map(float, each)) for each in (of.p, of.rate, of.weight, of.low, of.high))),
        slopes=(_slope(one, LONG), _slope(one, SHORT)),
        lines=(line(seen, LONG), line(seen, SHORT)),
        folds=tuple(folds(one.judged)),
        shadows=tuple(earned(f"best {100.0 * share:g} %", _net(one.judged, share)) for share in SHADOWS if share < 1.0),
        random_bps=random_bps,
        random_chance=random_chance,
        paths=ways,
        paths_why=why,
        importances=tuple(important),
        curve=tuple(curve),
    )


def _ways(one: Trained, table: Table, seed: int, threads: int) -> tuple[Paths | None, str]:
    """All paths, or why there are none."""
    if one.family != "logistic" and len(table) > MOST_ROWS:
        return None, f"as fifteen fits of {len(table):,} rows take too long: it is for up to {MOST_ROWS:,}"
    embargo = int(one.record.configuration.get("horizon", 0)) * table.tf_ns
    try:
        found = paths(table, one.family, one.fitted.meta.fingerprint, embargo, seed=seed, threads=threads)
    except DataError as error:
        return None, str(error)
    return found, ""


def _net(judged: Sequence[Judged], share: float) -> Floats:
    return np.concatenate([np.zeros(0), *(each.net for each in shadow(judged, share))])


def _record(one: Trained, sharpes: Floats, tried: int) -> Record:
    evidence = evidence_of(one)
    net, scores = evidence.net, dict(zip(DAY, evidence.scores.sum(axis=0).tolist(), strict=True))
    kept = np.unique(np.linspace(0, len(net) - 1, min(len(net), POINTS)).astype(np.int64)) if len(net) else slice(0)
    wealth = open_path(evidence.ts, evidence.until, net, worst_of(one.record.configuration))
    return Record(
        first=evidence.first,
        last=evidence.last,
        days=evidence.days,
        trainings=one.record.trainings,
        effective=scores["weight"],
        rate=ratio_or_nan(scores["won"], scores["weight"]),
        skill=evidence.skill,
        skill_low=next(rule.value for rule in one.verdict.rules if rule.name == SKILL_RULE),
        earned=earned(one.family, net),
        deflated=deflated(net, sharpes, max(tried, len(sharpes))),
        when=tuple(((evidence.ts - evidence.first) / NS_PER_DAY)[kept].tolist()),
        total_bps=tuple(np.cumsum(net)[kept].tolist()),
        wealth=tuple(wealth[kept].tolist()),
    )


def _slope(one: Trained, way: int) -> Slope:
    direction = (one.fitted.meta.long, one.fitted.meta.short)[way]
    return Slope(direction.intercept, direction.slope, one.fitted.slope[way], one.fitted.slope_error[way])


def _overfit_thresholds(found: Sequence[Trained]) -> Overfit:
    """Of all thresholds that are looked at, of all families that judged the same rows."""
    judged = [one.judged for one in found if any(len(each.table) for each in one.judged)]
    parts = [daily_matrix([each for each in one if len(each.table)], SHADOWS) for one in judged]
    days = max(map(len, parts), default=0)
    same = [part for part in parts if len(part) == days]
    return _overfit(np.concatenate(same, axis=1) if same else np.zeros((0, 0)))


def _overfit(matrix: Floats) -> Overfit:
    """The probability of overfitting of days x configurations, or why there is none."""
    traded = matrix[:, np.ptp(matrix, axis=0) > 0.0] if len(matrix) else matrix  # one that never did is no rival
    days, configurations = traded.shape
    if configurations < 2:
        return Overfit(math.nan, configurations, days, "fewer than two configurations traded on days in common")
    if days < FEWEST_DAYS:
        return Overfit(math.nan, configurations, days, f"fewer than {FEWEST_DAYS} days")
    return Overfit(pbo(traded, BLOCKS).probability, configurations, days, "")


def _barriers(configuration: Any) -> str:
    """The barriers in words."""
    take, stop, horizon = (configuration.get(name) for name in ("take_bps", "stop_bps", "horizon"))
    return f"take {take:g} bps, stop {stop:g} bps, {horizon} bars" if take is not None else "unknown"
