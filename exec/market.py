"""What a trader is told of the world before it begins: symbols, instruments, funding, and the bars there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.rows import Rows
from utils.settings.tree import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What settings make of candles, besides their bars."""

    starts: tuple[int, ...]  # as of a market
    instruments: Rows
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """What a market was built under, and what other settings would make of the same candles."""

    settings: Settings
    terms: Terms
    anew: Callable[[Settings], Terms]


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """Everything the engine needs of the world, in arrays; symbols stand in order of name."""

    symbols: tuple[str, ...]
    sources: tuple[str, ...]  # beside symbols
    tf: str
    tf_ns: int
    bars: Rows  # BAR, in order of (ts, sym)
    instruments: Rows  # INSTRUMENT, beside symbols
    funding: Rows  # FUNDING of all symbols
    starts: tuple[int, ...]  # first close at which a symbol may be decided on, ns
    files: tuple[Mapping[str, Any], ...]  # name, hash, period and gaps of each source
    assumptions: tuple[str, ...]
    doubts: tuple[str, ...] = ()  # what its files leave open, for the summary
    book: Rows | None = None  # features.live.BOOK_AT_CLOSE, beside bars; None = no live book
    built: Built | None = None  # None = by hand: its terms are its own, whatever the settings

    @property
    def synthetic(self) -> bool:
        """True when a symbol comes from the mock market."""
        return "synthetic" in self.sources

    @property
    def spot(self) -> bool:
        """True when a symbol's candles come from a spot market."""
        return any(str(one["market"]).endswith("_spot") for one in self.files)

    @property
    def decided(self) -> Rows:
        """The bars on which decisions may be made."""
        rows: Rows = self.bars[self.bars["ts"] >= np.array(self.starts)[self.bars["sym"]]]
        return rows
