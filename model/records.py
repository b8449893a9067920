"""The one record of a configuration: trades out of sample, each counted once, and which version judged them.

It is a chain of lines (`utils.records.chain`): one for each training, with what the version before it made of the rows
since, and the version that was made then. Nothing in it is ever computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ml.learning.walk import DAY, Evidence, nothing, together
from utils.errors import DataError
from utils.records.chain import Chain

#: What a trade is written as, in order.
TRADE = ("ts", "until", "sym", "side", "p", "bps", "net")
WHOLE = ("ts", "until", "sym", "side")


def key_of(configuration: Mapping[str, Any]) -> str:
    """What tells a configuration from all others: SHA-256 of its canonical JSON, hexadecimal."""
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


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
        self.path = folder / f"{self.key[:16]}.jsonl"
        self._chain = Chain(self.path)
        self._lines = [line for line in self._chain.read() if line.get("kind") == "training"]
        other = next((line["key"] for line in self._lines if line.get("key") != self.key), None)
        if other is not None:
            raise DataError(f"{self.path.name}: expected the record of {self.key[:16]}, saw {other[:16]}; move it away")

    @property
    def version(self) -> str:
        """The version that judges next; empty = there is none yet."""
        return str(self._lines[-1]["version"]) if self._lines else ""

    @property
    def trainings(self) -> int:
        """How often it was trained."""
        return len(self._lines)

    def evidence(self) -> Evidence:
        """All that was judged."""
        return together([_read(line, self.path.name) for line in self._lines])

    def advance(self, evidence: Evidence, version: str, trained_until: int, judged_by: str) -> None:
        """Write down what was judged since, and the version that judges from now on; one line, whole or not at all.

        Raises:
            DataError: the evidence is not later than what there is.
        """
        together([self.evidence(), evidence])
        line = {
            "kind": "training",
            "key": self.key,
            "version": version,
            "trained_until": trained_until,
            "judged_by": judged_by,
            "first": evidence.first,
            "last": evidence.last,
            "trades": [
                [
                    *(int(getattr(evidence, name)[i]) for name in WHOLE),
                    *(float(getattr(evidence, name)[i]) for name in TRADE[4:]),
                ]
                for i in range(len(evidence.net))
            ],
            "days": [[int(day), *map(float, row)] for day, row in zip(evidence.day, evidence.scores, strict=True)],
        }
        if not self._lines:
            self._chain.append({"kind": "configuration", "key": self.key, "configuration": self.configuration})
        self._chain.append(line)
        self._lines.append(line)


def _read(line: Mapping[str, Any], name: str) -> Evidence:
    """The evidence of a line."""
    try:
        trades = np.array(line["trades"], np.float64).reshape(-1, len(TRADE))
        whole = np.array([trade[: len(WHOLE)] for trade in line["trades"]], np.int64).reshape(-1, len(WHOLE))
        days = np.array(line["days"], np.float64).reshape(-1, 1 + len(DAY))
        found = Evidence(
            int(line["first"]),
            int(line["last"]),
            *(whole[:, k] for k in range(len(WHOLE))),
            *(trades[:, k] for k in range(len(WHOLE), len(TRADE))),
            days[:, 0].astype(np.int64),
            days[:, 1:],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{name}: expected trades and days of a training, saw something else ({error})") from error
    if not (np.isfinite(trades).all() and np.isfinite(days).all()):
        raise DataError(f"{name}: expected numbers, saw NaN or infinity; the file is damaged: move it away")
    return found if found.last else nothing()
