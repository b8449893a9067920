"""The rows of a journal: which tables there are, and what the engine hands out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.records.names import KINDS
from utils.rows import Rows

#: The tables of a journal, with their rows and the counter each has in the account.
TABLES = {name: (KINDS[name], f"n_{name}") for name in ("trades", "orders", "fills", "decisions", "equity")}


@dataclass(frozen=True, slots=True)
class JournalRows:
    """What a run wrote: one array of rows a kind, in the order things happened."""

    trades: Rows
    orders: Rows
    fills: Rows
    decisions: Rows
    equity: Rows


def joined(parts: Sequence[Rows], kind: np.dtype[Any]) -> Rows:
    """Journal rows of consecutive parts as one array; NumPy's own concatenate would lose the record type."""
    if len(parts) == 1:
        return parts[0]
    whole = np.empty(sum(map(len, parts)), kind)
    at = 0
    for part in parts:
        whole[at : at + len(part)] = part
        at += len(part)
    return whole
