"""A live run as moments of its journal, and back: each close, what it was decided on, and the state after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.run.report import said_settings, since_start
from exec.engine import JournalRows
from exec.market import Market
from exec.past import Part, Past, no_book
from exec.trader import Instant, Trader
from features.live import BOOK_AT_CLOSE
from utils.errors import DataError
from utils.ports import Journal
from utils.records.moment import Meta, Moment
from utils.records.names import KINDS
from utils.rows import BAR, FUNDING, SIGNAL, Rows
from utils.settings.tree import Settings
from utils.shell.version import version

#: The history of a run stands beside its first close, under these names.
HISTORY, HISTORY_SIGNALS = "history_bars", "history_signals"
#: What each close was decided on: names, and layouts.
INPUTS = {"bars": BAR, "book": BOOK_AT_CLOSE, "signals": SIGNAL}


def meta_of(market: Market, settings: Settings, started: datetime, asked: Mapping[str, Any]) -> Meta:
    """What a run on this market is; `asked` is what else it was begun with."""
    return Meta(
        symbols=market.symbols,
        sources=market.sources,
        tf=market.tf,
        instruments=market.instruments,
        capital=settings.simulation.initial_capital,
        latency_ms=settings.execution.entry_latency_ms,
        settings=said_settings(settings),
        started=round(started.timestamp() * 1e6) * 1_000,
        version=version(),
        starts=market.starts,
        assumptions=market.assumptions,
        asked=asked,
    )


class Keeper:
    """Commits each close of a live run, before anybody acts upon it; with the first one goes the history.

    Args:
        journal: where to.
        trader: that decides, for its state.
        history: its bars and signals; None = the journal has them.
        rows: what was journalled over the history.
    """

    def __init__(
        self, journal: Journal, trader: Trader, history: Part | None = None, rows: JournalRows | None = None
    ) -> None:
        self._journal, self._trader = journal, trader
        self._history, self._rows = history, rows
        self.kept = 0  # closes

    def __call__(self, instant: Instant) -> None:
        """Keep a close.

        Raises:
            StorageError: it was not kept.
        """
        inputs = {
            "bars": instant.bars, "book": instant.book, "signals": instant.signals, "late": np.array(instant.late)
        }  # fmt: skip
        if self._history is not None:
            inputs |= {HISTORY: self._history.bars, HISTORY_SIGNALS: self._history.signals}
        rows = {name: getattr(instant.rows, name) for name in KINDS}
        if self._rows is not None and len(before := since_start(self._rows.equity, instant.market)):
            rows["equity"] = np.concatenate([before, rows["equity"]]).astype(KINDS["equity"])
        self._journal.commit(Moment(int(instant.bars["ts"][0]), rows, inputs, self._trader.state()))
        self._history = self._rows = None
        self.kept += 1


def market_kept(meta: Meta, inputs: Sequence[Mapping[str, NDArray[Any]]], tf_ns: int) -> Market:
    """The market of a run as it was begun.

    Args:
        meta: what the run is.
        inputs: of its moments, at least one.
        tf_ns: its timeframe.

    Raises:
        DataError: its bars are rows of another version of this program.
    """
    return Market(
        symbols=meta.symbols,
        sources=meta.sources,
        tf=meta.tf,
        tf_ns=tf_ns,
        bars=_of_layout(inputs[0], HISTORY, BAR),
        instruments=meta.instruments,
        funding=np.zeros(0, FUNDING),
        starts=meta.starts,
        files=(),
        assumptions=meta.assumptions,
    )


def past_kept(market: Market, inputs: Sequence[Mapping[str, NDArray[Any]]]) -> Past:
    """What a run remembers: its history, and each close.

    Args:
        market: as it was begun.
        inputs: of its moments, in order.

    Raises:
        DataError: they are rows of another version of this program.
    """
    past = Past(market)
    past.append(
        Part(market.bars, no_book(len(market.bars)), _of_layout(inputs[0], HISTORY_SIGNALS, SIGNAL), late=False)
    )
    for one in inputs:
        bars, book, signals = (_of_layout(one, name, kind) for name, kind in INPUTS.items())
        past.append(Part(bars, book, signals, late=bool(one["late"])))
    return past


def _of_layout(inputs: Mapping[str, NDArray[Any]], name: str, kind: np.dtype[Any]) -> Rows:
    rows = inputs.get(name)
    if rows is None or rows.dtype != kind:
        raise DataError(
            f"journal: expected {name} as this version of the program writes them, saw those of another, which alone "
            "can go on with the run; its log files can be read by this one, too"
        )
    return rows
