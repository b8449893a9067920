"""What was tried before a run: how many configurations, and what their search makes of a good result."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exec.market import Market
from utils.errors import ScalperError
from utils.figures.arithmetic import Floats
from utils.records.ledger import Ledger, daily_sharpes, matrix_of
from utils.settings.keys import leaves
from utils.settings.tree import Settings

#: Blocks of time for the probability of overfitting, and days below which it is not told.
BLOCKS, FEWEST_DAYS = 10, 20
#: Sections of the settings that decide nothing about a trade.
ELSEWHERE = ("endpoints", "ingest", "logs", "compute", "meta", "retrain", "secrets")


@dataclass(frozen=True, slots=True)
class Tried:
    """What the ledger says when a run is over."""

    count: int | None  # configurations ever tried, at least this run's own; None = the ledger cannot be read
    variance: float  # of their daily Sharpe ratios; NaN = fewer than two are known
    pbo: float | None  # probability that the best of them is so by luck; None = too few with days in common
    doubt: str  # why the ledger cannot be read; empty = it can


def tried(settings: Settings) -> Tried:
    """What was tried, by the ledger that the settings name. One that is damaged does not cost a run its results."""
    try:
        trials = Ledger(settings.meta.ledger).trials()
    except ScalperError as error:
        return Tried(None, math.nan, None, f"trials are not known, and so no deflated Sharpe ratio: {error}")
    if not trials:
        return Tried(1, math.nan, None, "")
    matrix = matrix_of(trials)
    sharpes = daily_sharpes(matrix)
    variance = float(np.var(sharpes, ddof=1)) if len(sharpes) > 1 else math.nan
    return Tried(len(matrix.keys), variance, _overfit(matrix.net_bps), "")


def _overfit(net_bps: Floats) -> float | None:
    if not net_bps.size:
        return None
    from ml.learning.evaluate import shared_days  # these cost a start that most runs need not wait for
    from ml.learning.overfitting import pbo

    shared = shared_days(net_bps, FEWEST_DAYS)
    return pbo(shared, BLOCKS).probability if shared.shape[1] > 1 and len(shared) >= FEWEST_DAYS else None


def write_down(market: Market, settings: Sequence[Settings], trades: Iterable[int]) -> None:
    """Write down the settings that were tried on a market, beside what each traded, in the ledger that they name.

    What is tried on the mock market says nothing about another, and is not written down.

    Raises:
        DataError: the ledger is damaged.
        StorageError: the disk refuses.
    """
    if market.synthetic:
        return
    by_ledger: dict[Path, list[tuple[Mapping[str, Any], int, float]]] = {}
    for one, count in zip(settings, trades, strict=True):
        by_ledger.setdefault(one.meta.ledger, []).append((configuration_of(market, one), count, math.nan))
    for path, found in by_ledger.items():
        Ledger(path).note("sweep", data_of(market), found)


def configuration_of(market: Market, settings: Settings) -> Mapping[str, Any]:
    """What tells a run of the default strategy from others: symbols, timeframe, and which settings are no defaults."""
    default = dict(leaves(Settings()))
    changed = {
        key: value
        for key, value in leaves(settings)
        if key.partition(".")[0] not in ELSEWHERE and (key not in default or default[key] != value)
    }
    return {"symbols": list(market.symbols), "tf": market.tf, "settings": changed}


def data_of(market: Market) -> str:
    """What tells the data of a market from others: SHA-256 over what its files hold."""
    text = json.dumps([one["sha256"] for one in market.files])
    return hashlib.sha256(text.encode()).hexdigest()
