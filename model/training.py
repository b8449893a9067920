"""A training: judge what came since with the version that there was, make the next, and ask the gate.

Nothing here reads a clock or a settings file; what it writes are versions and records below one folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtest.data.dataset import DataSet
from ml.learning.artifact import meta_of, parts_of
from ml.learning.evaluate import shadow
from ml.learning.fit import Fitted, fit_meta
from ml.learning.gate import Verdict, challenge, verdict
from ml.learning.learners import FAMILIES
from ml.learning.table import Table
from ml.learning.walk import Evidence, Judged, judge, known_at, nothing, of_judged, together, walk
from model.records import Record
from utils.errors import DataError
from utils.figures.arithmetic import moments
from utils.records.ledger import Ledger, Trial
from utils.records.versions import Versions
from utils.rows import NS_PER_DAY

#: Families that may serve; the base rate is what they are compared with.
SERVING = tuple(family for family in FAMILIES if family != "base")
#: Told what is being done, how much of it, and how much there is.
Told = Callable[[str, float, float], None]
RECORDS = "records"


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """One configuration after its training."""

    family: str
    record: Record
    judged: list[Judged]  # what was judged now: the walk of a first training, or what came since the last
    evidence: Evidence  # all that the record holds
    fitted: Fitted  # the version that was made
    version: str
    verdict: Verdict


def train(
    data: DataSet,
    folder: Path,
    ledger: Ledger,
    *,
    families: Sequence[str] = SERVING,
    kind: str = "training",
    now: str,
    seed: int,
    threads: int = 1,
    told: Told | None = None,
) -> list[Trained]:
    """Train each family on a data set: its record goes on, its next version is written, the gate is asked.

    The trials are written down before anything is judged, so that a training that is killed has been tried, too.

    Args:
        data: decisions with their labels.
        folder: of versions and records.
        ledger: of all configurations ever tried.
        families: of learners; each is a configuration of its own.
        kind: of trial: training or retrain.
        now: the time, ISO 8601 UTC, for names and manifests.
        seed: of learners and bootstraps.
        threads: of the learners.
        told: of progress.

    Raises:
        DataError: too few rows or labels, or a record that was changed.
    """
    found = []
    records = {family: Record(folder / RECORDS, {**data.configuration, "family": family}) for family in families}
    for record in records.values():
        ledger.add(trial_of(record, data, nothing(), kind, now))
    for family, record in records.items():
        judged, by = advance(data, record, Versions(folder), family, seed, threads, told)
        fresh = together([of_judged(one) for one in judged if len(one.table)])
        fitted = fit_meta(
            known_at(data.table, int(data.table.ts[-1])), family, data.fingerprint, seed=seed, threads=threads
        )
        version = Versions(folder).write(parts_of(fitted.meta), manifest_of(data, record, fitted, fresh, now))
        record.advance(fresh, version, fitted.until, by)
        found.append((family, record, judged, fitted, version))
    return [
        Trained(
            family,
            record,
            judged,
            record.evidence,
            fitted,
            version,
            verdict(record.evidence, ledger.count(), worst_of(record.configuration), seed=seed),
        )
        for family, record, judged, fitted, version in found
    ]


def advance(
    data: DataSet, record: Record, versions: Versions, family: str, seed: int, threads: int, told: Told | None
) -> tuple[list[Judged], str]:
    """What came since the record ends, judged by the version that was current then; of an empty record, a walk.

    Returns:
        What was judged, and by whom.
    """

    def progressed(done: float, whole: float) -> None:
        if told is not None:
            told(f"{family}: walking forward", done, whole)

    if not record.version:
        judged = walk(data.table, family, data.fingerprint, seed=seed, threads=threads, progressed=progressed)
        return judged, "walk-forward"
    manifest, parts = versions.read(record.version)
    fitted = fitted_of(manifest, parts)
    before = record.evidence
    rows = data.table.take(data.table.ts > max(before.last, fitted.until - 1))
    if not len(rows):
        return [], record.version
    busy = np.zeros(len(data.table.symbols), np.int64)
    np.maximum.at(busy, before.sym, before.until)
    return [judge(fitted, rows, busy)], record.version


def manifest_of(data: DataSet, record: Record, fitted: Fitted, fresh: Evidence, now: str) -> dict[str, Any]:
    """What a version says of itself."""
    meta = fitted.meta
    return {
        "made": now,
        "key": record.key,
        "configuration": record.configuration,
        "fingerprint": meta.fingerprint,
        "features": list(meta.names),
        "family": meta.family,
        "threshold_bps": None if math.isinf(meta.threshold_bps) else meta.threshold_bps,
        "data": {
            "sha256": data.sha256,
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


def trial_of(record: Record, data: DataSet, evidence: Evidence, kind: str, now: str) -> Trial:
    """A configuration as the ledger keeps it."""
    ratio = moments(evidence.net)[0]
    days = {}
    for day, net in zip(evidence.trade_days.tolist(), evidence.net.tolist(), strict=True):
        days[day] = days.get(day, 0.0) + net
    return Trial(
        time=now,
        kind=kind,
        configuration=record.configuration,
        data=data.sha256,
        trades=len(evidence.net),
        net_bps=float(evidence.net.mean()) if len(evidence.net) else math.nan,
        sharpe=ratio,
        days=days,
    )


def worst_of(configuration: Mapping[str, Any]) -> float:
    """The loss of a trade that the gate reckons with: twice that at the stop with its costs, since bars open beyond it.

    Unit: bps.
    """
    return 2.0 * (float(configuration["stop_bps"]) + float(configuration["round_trip_bps"]))


def against_champion(trained: Trained, folder: Path, serving: str, tried: int, *, seed: int) -> Verdict | None:
    """The gate of a challenger: on differences to the version that serves; None = the same configuration serves already."""
    manifest, _ = Versions(folder).read(serving)
    if manifest.get("key") == trained.record.key:
        return None
    champion = Record(folder / RECORDS, manifest["configuration"])
    best = max(float(one["take_bps"]) for one in (trained.record.configuration, champion.configuration))
    worst = max(worst_of(one) for one in (trained.record.configuration, champion.configuration))
    return challenge(trained.evidence, champion.evidence, tried, worst, best, seed=seed)


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
