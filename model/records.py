"""The one record of a configuration: trades out of sample, each counted once, and which version judged them.

It is a chain of lines (`utils.records.chain`): for each training what the version before it made of the rows since, and
then, in a line of its own, the version that was made. What no such line follows was never finished, and does not count.
Nothing in it is ever computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ml.learning.walk import DAY, TRADE, Evidence, added, nothing, of_both
from utils.errors import DataError
from utils.records.chain import Chain
from utils.records.ledger import key_of

#: Folder of the records, below that of the versions.
RECORDS = "records"
#: Columns of a trade that are whole numbers; they come first.
WHOLE = TRADE[:4]
#: Trades of a line.
CHUNK = 2_000


def path_of(folder: Path, configuration: Mapping[str, Any]) -> Path:
    """The file of a configuration's record."""
    return folder / f"{key_of(configuration)[:16]}.jsonl"


class Record:
    """The record of one configuration below `folder`.

    Args:
        folder: where records are kept, one file a configuration.
        configuration: symbols, timeframe, barriers, entry, costs, features, learner family.

    Raises:
        DataError: the file is another configuration's, or was changed.
    """

    def __init__(self, folder: Path, configuration: Mapping[str, Any]) -> None:
        self.configuration = dict(configuration)
        self.key = key_of(configuration)
        self.path = path_of(folder, configuration)
        self._chain = Chain(self.path)
        rows = self._chain.read()
        other = next((row["key"] for row in rows if row.get("key") != self.key), None)
        if other is not None:
            raise DataError(f"{self.path.name}: expected the record of {self.key[:16]}, saw {other[:16]}; move it away")
        self._trainings = [row for row in rows if row.get("kind") == "training"]
        finished = {row["version"] for row in self._trainings}
        judged = [row for row in rows if row.get("kind") == "judged" and row.get("for") in finished]
        self._evidence = joined([_read(row, self.path.name) for row in judged])

    @property
    def version(self) -> str:
        """The version that judges next; empty = there is none yet."""
        return str(self._trainings[-1]["version"]) if self._trainings else ""

    @property
    def trainings(self) -> int:
        """How often it was trained."""
        return len(self._trainings)

    @property
    def evidence(self) -> Evidence:
        """All that was judged."""
        return self._evidence

    def advance(self, fresh: Evidence, version: str, trained_until: int, judged_by: str) -> None:
        """Write down what was judged since, and the version that judges from now on: both, or what no reader counts.

        Raises:
            DataError: the evidence is not later than what there is.
        """
        whole = added(self._evidence, fresh)
        if not self._trainings:
            self._chain.append({"kind": "configuration", "key": self.key, "configuration": self.configuration})
        for start in range(0, max(len(fresh.net), 1), CHUNK):
            self._chain.append(
                {
                    "kind": "judged",
                    "key": self.key,
                    "for": version,
                    "by": judged_by,
                    **_row(fresh, start, start + CHUNK),
                }
            )
        line = {"kind": "training", "key": self.key, "version": version, "trained_until": trained_until}
        self._chain.append(line)
        self._trainings.append(line)
        self._evidence = whole


def _row(fresh: Evidence, start: int, end: int) -> dict[str, Any]:
    """Some of its trades, and with the first of them its days."""
    columns = [getattr(fresh, name)[start:end].tolist() for name in TRADE]
    days = zip(fresh.day.tolist(), fresh.scores.tolist(), strict=True)
    return {
        "first": fresh.first,
        "last": fresh.last,
        "trades": [list(trade) for trade in zip(*columns, strict=True)],
        "days": [] if start else [[day, *row] for day, row in days],
    }


def joined(parts: Sequence[Evidence]) -> Evidence:
    """Lines of a record: those of one training share a period, those of the next begin after it."""
    whole = nothing()
    for k, part in enumerate(parts):
        same = k > 0 and (part.first, part.last) == (parts[k - 1].first, parts[k - 1].last)
        whole = replace(whole, **of_both(whole, part)) if same and part.last else added(whole, part)
    return whole


def _read(line: Mapping[str, Any], name: str) -> Evidence:
    """The evidence of a line."""
    try:
        trades = np.array(line["trades"], np.float64).reshape(-1, len(TRADE))
        whole = np.array([trade[: len(WHOLE)] for trade in line["trades"]], np.int64).reshape(-1, len(WHOLE))
        days = np.array(line["days"], np.float64).reshape(-1, 1 + len(DAY))
        columns: dict[str, Any] = dict(zip(WHOLE, whole.T.copy(), strict=True))
        columns |= zip(TRADE[len(WHOLE) :], trades[:, len(WHOLE) :].T.copy(), strict=True)
        found = Evidence(
            first=int(line["first"]),
            last=int(line["last"]),
            **columns,
            day=days[:, 0].astype(np.int64),
            scores=days[:, 1:].copy(),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{name}: expected trades and days of a training, saw something else ({error})") from error
    if not (np.isfinite(trades).all() and np.isfinite(days).all()):
        raise DataError(f"{name}: expected numbers, saw NaN or infinity; the file is damaged: move it away")
    return found if found.last else nothing()
