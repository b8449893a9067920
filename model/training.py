"""A training: judge what came since with the version that there was, make the next, and ask the gate.

Nothing here reads a clock or a settings file; what it writes are versions and records below one folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from backtest.data.dataset import DataSet
from backtest.data.decisions import UNKNOWN
from backtest.data.manifest import stamp
from ml.learning.artifact import meta_of, parts_of
from ml.learning.evaluate import shadow
from ml.learning.fit import Fitted, fit_meta
from ml.learning.gate import FEWEST_DAYS, Verdict, challenge, verdict
from ml.learning.learners import FAMILIES
from ml.learning.policy import unfiltered
from ml.learning.table import Table
from ml.learning.walk import Evidence, Judged, added, judge, known_at, of_judged, together, walk
from model.records import RECORDS, Record
from utils.errors import DataError
from utils.figures.arithmetic import mean_or_nan, moments
from utils.records.ledger import Kind, Ledger, Trial, daily
from utils.records.versions import Versions
from utils.rows import NS_PER_DAY

#: Families that may serve; the base rate is what they are compared with.
SERVING = tuple(family for family in FAMILIES if family != "base")
#: Told what is being done, how much of it, and how much there is.
Told = Callable[[str, float, float], None]
#: Who judged in a first training.
WALKED = "walk-forward"
#: A symbol whose last decision is that many bars before the last of all has ended.
ALIVE_BARS = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """One configuration after its training."""

    family: str
    record: Record
    judged: list[Judged]  # what was judged now: the walk of a first training, or what came since the last
    fitted: Fitted  # the version that was made
    version: str
    verdict: Verdict


def train(
    data: DataSet,
    folder: Path,
    ledger: Ledger,
    *,
    families: Sequence[str] = SERVING,
    kind: Kind = "training",
    now_ns: int,
    seed: int,
    threads: int = 1,
    told: Told | None = None,
) -> list[Trained]:
    """Train each family on a data set: its record goes on, its next version is written, the gate is asked.

    Args:
        data: decisions with their labels.
        folder: of versions and records.
        ledger: of all configurations ever tried.
        families: of learners; each is a configuration of its own.
        kind: of trial: training or retrain.
        now_ns: the time, for manifests and the ledger.
        seed: of learners and bootstraps.
        threads: of the learners.
        told: of progress.

    Raises:
        DataError: too few rows or labels, or a record that was changed.
    """
    versions, table, configuration = Versions(folder), settled(data), data.manifest["configuration"]
    walked = []
    for family in families:
        record = Record(folder / RECORDS, {**configuration, "family": family})
        judged, by = advance(table, data, record, versions, family, seed, threads, told)
        fresh = together([of_judged(one) for one in judged if len(one.table)])
        walked.append((family, record, judged, by, fresh, added(record.evidence, fresh)))
    ledger.add(*(trial_of(record, whole, data, kind, now_ns) for _, record, _, _, _, whole in walked))
    tried = tried_of(ledger, folder)
    known = known_at(table, int(table.ts[-1]))  # the next begins to judge right after
    found = []
    for family, record, judged, by, fresh, whole in walked:
        # those of a later training are of its new rows alone, and the record is longer
        signals = unfiltered([one.table for one in judged]) if by == WALKED else None
        told_of = verdict(whole, tried, worst_of(record.configuration), seed=seed, signals=signals)
        fitted = fit_meta(known, family, data.manifest["fingerprint"], seed=seed, threads=threads)
        version = versions.write(parts_of(fitted.meta), manifest_of(data, record, fitted, fresh, told_of, now_ns))
        if begins(record, fresh):
            record.advance(fresh, version, fitted.until, by)
        found.append(Trained(family, record, judged, fitted, version, told_of))
    return found


def begins(record: Record, evidence: Evidence) -> bool:
    """Whether there is a record, or evidence enough to begin one.

    What is too little to be asked anything does not: a longer history may still begin it.
    """
    return bool(record.version) or evidence.days >= FEWEST_DAYS


def tried_of(ledger: Ledger, folder: Path) -> int:
    """Configurations ever tried: those of the ledger, and at least as many as have a record."""
    return max(1, ledger.count(), len(list((folder / RECORDS).glob("*.jsonl"))))


def settled(data: DataSet) -> Table:
    """The decisions before the first whose trade was still open, in either direction, when the bars ended.

    Of trades still open, those that end early would be counted and the others never: these are not the same trades. A
    symbol whose bars ended long ago is cut by itself.

    Raises:
        DataError: none is left.
    """
    table = data.table
    open_ = np.isin(data.reason, UNKNOWN).any(axis=1)
    keep = np.ones(len(table), np.bool_)
    for sym in range(len(table.symbols)):
        mine = table.sym == sym
        if not (open_ & mine).any():
            continue
        first = table.ts[open_ & mine][0]
        alive = table.ts[mine][-1] + ALIVE_BARS * table.tf_ns >= table.ts[-1]
        keep &= (table.ts < first) | (~mine & ~alive)
    if not keep.any():
        raise DataError("data set: expected trades that were over when its bars ended, saw none; ask for more bars")
    return table.take(keep)


def advance(
    table: Table,
    data: DataSet,
    record: Record,
    versions: Versions,
    family: str,
    seed: int,
    threads: int,
    told: Told | None,
) -> tuple[list[Judged], str]:
    """What came since the record ends, judged by the version that was current then; of an empty record, a walk.

    Returns:
        What was judged, and by whom.
    """

    def progressed(done: float, whole: float) -> None:
        if told is not None:
            told(f"{family}: walking forward", done, whole)

    if not record.version:
        judged = walk(table, family, data.manifest["fingerprint"], seed=seed, threads=threads, progressed=progressed)
        return judged, WALKED
    try:
        manifest, parts = versions.read(record.version)
    except DataError as error:
        raise DataError(
            f"{record.path}: its version {record.version} has to judge what came since, and cannot be read ({error}); "
            "put it back, or move the record away and begin anew, which counts as one more try"
        ) from error
    fitted = fitted_of(manifest, parts)
    before = record.evidence
    if len(table) and table.ts[0] > max(before.last, fitted.until) + table.tf_ns:
        missing = (int(table.ts[0]) - max(before.last, fitted.until)) / NS_PER_DAY
        raise DataError(
            f"data set: expected bars from {stamp(before.last)} on, where the record ends, the first is "
            f"{stamp(int(table.ts[0]))}: what lies between would not be judged; ask for {missing:.1f} days more"
        )
    rows = table.take(table.ts > max(before.last, fitted.until - 1))
    if not len(rows):
        return [], record.version
    busy = np.zeros(len(table.symbols), np.int64)
    np.maximum.at(busy, before.sym, before.until)
    return [judge(fitted, rows, busy)], record.version


def manifest_of(
    data: DataSet, record: Record, fitted: Fitted, fresh: Evidence, told: Verdict, now_ns: int
) -> dict[str, Any]:
    """What a version says of itself."""
    meta = fitted.meta
    return {
        "made": stamp(now_ns),
        "key": record.key,
        "configuration": record.configuration,
        "fingerprint": meta.fingerprint,
        "features": list(meta.names),
        "family": meta.family,
        "threshold_bps": None if math.isinf(meta.threshold_bps) else meta.threshold_bps,
        "data": {
            "sha256": str(data.manifest["content"]),
            "rows": len(data.table),
            "first": int(data.table.ts[0]),
            "last": int(data.table.ts[-1]),
        },
        "fit": {
            "base": list(fitted.base),
            "slope": [None if not math.isfinite(one) else one for one in fitted.slope],
            "slope_error": [None if not math.isfinite(one) else one for one in fitted.slope_error],
            "learned": fitted.learned,
            "calibrated": fitted.calibrated,
            "until": fitted.until,
            "calibration_trades": fitted.calibration_trades,
            "calibration_bps": None if math.isnan(fitted.calibration_bps) else fitted.calibration_bps,
        },
        "verdict": str(told),
        "judged": {"first": fresh.first, "last": fresh.last, "trades": len(fresh.net)},
    }


def fitted_of(manifest: Mapping[str, Any], parts: Mapping[str, bytes]) -> Fitted:
    """A version as it was made.

    Raises:
        DataError: it does not say how it was made.
    """
    try:
        fit = manifest["fit"]
        return Fitted(
            meta=meta_of(parts),
            base=(float(fit["base"][0]), float(fit["base"][1])),
            slope=tuple(math.nan if one is None else float(one) for one in fit["slope"]),  # type: ignore[arg-type]
            slope_error=tuple(math.inf if one is None else float(one) for one in fit["slope_error"]),  # type: ignore[arg-type]
            learned=int(fit["learned"]),
            calibrated=int(fit["calibrated"]),
            until=int(fit["until"]),
            calibration_trades=int(fit["calibration_trades"]),
            calibration_bps=math.nan if fit["calibration_bps"] is None else float(fit["calibration_bps"]),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(
            f"manifest.json: expected how the version was made, saw something else ({error}); train anew"
        ) from error


def trial_of(record: Record, evidence: Evidence, data: DataSet, kind: Kind, now_ns: int) -> Trial:
    """A configuration as the ledger keeps it: all that was judged of it by now.

    Begun at another time it is another try: who moves a record away and begins anew has tried once more.
    """
    return Trial(
        time=now_ns,
        kind=kind,
        configuration={**record.configuration, "since": stamp(evidence.first) if begins(record, evidence) else None},
        data=str(data.manifest["content"]),
        trades=len(evidence.net),
        net_bps=mean_or_nan(evidence.net),
        sharpe=moments(evidence.net)[0],
        days=daily(evidence.ts, evidence.net, evidence.first, evidence.last) if evidence.last else {},
    )


def worst_of(configuration: Mapping[str, Any]) -> float:
    """The loss of a trade that the gate reckons with: twice that at the stop with its costs, since bars open beyond it.

    Unit: bps.
    """
    costs = configuration["costs"]
    crossing = float(costs["half_spread_bps"]) + float(costs["slippage_bps"])
    return worst_loss(float(configuration["stop_bps"]), float(max(costs["taker_bps"])), crossing)


def worst_loss(stop_bps: float, taker_bps: float, crossing_bps: float) -> float:
    """Twice the loss at the stop of who crosses both ways, bps; see `worst_of`."""
    return 2.0 * (stop_bps + 2.0 * (taker_bps + crossing_bps))


def against_champion(trained: Trained, folder: Path, serving: str, tried: int, *, seed: int) -> Verdict | None:
    """The gate of a challenger: on differences to the version that serves; None = that is of the same configuration."""
    manifest, _ = Versions(folder).read(serving)
    if manifest.get("key") == trained.record.key:
        return None
    champion = Record(folder / RECORDS, manifest["configuration"])
    best = max(float(one["take_bps"]) for one in (trained.record.configuration, champion.configuration))
    worst = max(worst_of(one) for one in (trained.record.configuration, champion.configuration))
    names = sorted({*trained.record.configuration["symbols"], *champion.configuration["symbols"]})
    return challenge(among(trained.record, names), among(champion, names), tried, worst, best, seed=seed)


def among(record: Record, names: Sequence[str]) -> Evidence:
    """The evidence of a record with its symbols numbered as they stand among others."""
    place = np.array([names.index(name) for name in record.configuration["symbols"]], np.int64)
    return replace(record.evidence, sym=place[record.evidence.sym])


def daily_matrix(judged: Sequence[Judged], shares: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Net bps by day of the trades of several thresholds: days x thresholds, for the probability of overfitting."""
    tables = [one.table for one in judged if len(one.table)]
    first, last = int((tables[0].ts[0] - 1) // NS_PER_DAY), int((tables[-1].ts[-1] - 1) // NS_PER_DAY)
    found = np.zeros((last - first + 1, len(shares)))
    for k, share in enumerate(shares):
        for one in shadow(judged, share):
            np.add.at(found[:, k], (one.ts - 1) // NS_PER_DAY - first, one.net)
    return found


def table_days(table: Table) -> float:
    """Length of a table, days."""
    return float(table.ts[-1] - table.ts[0] + table.tf_ns) / NS_PER_DAY if len(table) else 0.0
