"""One moment of a run, as it is journaled: what was done, and what is needed to go on from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from utils.records.names import Words
from utils.rows import Rows


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One instant of a run, or one event."""

    ts: int  # ns UTC
    rows: Mapping[str, Rows] = field(default_factory=dict)  # by a name of `KINDS`; those not given have no rows
    inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # what was decided on: bars, books, signals
    state: bytes | None = None  # what the run has to remember after it; None = as before


@dataclass(frozen=True, slots=True, eq=False)
class Meta:
    """What a run is: known before its first moment, and the same ever after."""

    symbols: tuple[str, ...]
    sources: tuple[str, ...]  # beside symbols
    tf: str
    instruments: Rows  # INSTRUMENT, beside symbols
    capital: float  # quote
    latency_ms: float  # from decision to market
    settings: Mapping[str, Any]  # as JSON holds them
    started: int  # ns UTC
    version: str  # of this program
    starts: tuple[int, ...] = ()  # first close at which each symbol may be decided on, ns
    assumptions: tuple[str, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)  # what else it was begun with, as JSON holds it

    @property
    def words(self) -> Words:
        """What the log tables say of it."""
        models = (str(name) for name in self.asked.get("models", ()))
        return Words(self.symbols, self.sources, self.capital, self.latency_ms, tuple(models))
