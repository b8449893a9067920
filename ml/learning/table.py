"""A data set as arrays: one row a decision, what was known then, and what became of a trade in either direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.figures.arithmetic import Floats, Times

Whole = NDArray[np.int64]

#: Columns of whatever there is of either direction.
LONG, SHORT = 0, 1
#: What has a value for each row.
BESIDE = ("ts", "sym", "x", "side", "net", "until", "weight")


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Decisions in order of (ts, sym); n rows, f features, two directions."""

    names: tuple[str, ...]  # of the features
    symbols: tuple[str, ...]
    tf_ns: int  # length of a bar
    ts: Times  # n: close of the deciding bar, ns
    sym: Whole  # n: index of the symbol
    x: Floats  # n x f: the features at that close; NaN = not computable
    side: Floats  # n: what the strategy wanted: +1, -1; 0 = either may be taken, NaN = nothing
    net: Floats  # n x 2: what the trade earned after costs, bps of its entry; NaN = no label
    until: Times  # n x 2: when the order or its trade was over, ns; the label is known from then on
    weight: Floats  # n x 2: average uniqueness of the label, 0-1; 0 where there is none

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, rows: Any) -> Table:
        """The table of some rows: a mask, indices or a slice."""
        return replace(self, **{name: getattr(self, name)[rows] for name in BESIDE})

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Where there is a label, n x 2."""
        return np.isfinite(self.net)

    @property
    def won(self) -> Floats:
        """1 where the trade earned more than its costs, else 0, n x 2; NaN = no label."""
        return np.where(self.labelled, (self.net > 0.0).astype(np.float64), np.nan)

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """In which directions the strategy lets a trade be taken, n x 2."""
        either = self.side == 0.0
        return np.column_stack([either | (self.side > 0.0), either | (self.side < 0.0)])


def joined(parts: Sequence[Table]) -> Table:
    """Tables of the same features and symbols, one after the other."""
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in BESIDE}
    return replace(parts[0], **columns)
