"""Data sets: made of a market in memory, written to Parquet stretch by stretch, and read back with every check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from backtest.data.decisions import MORE, DataSet, Further, Maker
from exec.market import Market
from ml.learning.table import joined
from utils.errors import DataError
from utils.settings.tree import Settings

__all__ = ["DataSet", "Further", "make_dataset"]


def make_dataset(
    market: Market, settings: Settings, *, gross: bool = False, further: tuple[Further, ...] = ()
) -> DataSet:
    """The data set of a market, in memory.

    Args:
        market: bars, instruments, and the closes from which each symbol is decided on.
        settings: signal, barriers, kind of entry, costs.
        gross: labels before all costs.
        further: columns beside the bars, which stand after the registered features.

    Raises:
        ConfigError: the kind of an entry is chosen signal by signal, so a walk over candles cannot take it.
        DataError: not one decision has a known end.
    """
    maker = Maker(market, settings, gross=gross, further=further)
    parts = list(maker.parts())
    if not maker.tally.rows:
        raise DataError(
            f"expected a decision of which it is known what became, saw {maker.rows} bars after the warm-up and none; "
            "use a longer history"
        )
    more: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in MORE}
    return replace(DataSet(joined([part.table for part in parts]), **more), manifest=maker.manifest())
