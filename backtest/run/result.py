"""A finished simulation, as its caller holds it: log tables as frames, the numbers, and what they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from exec.market import Market
from features.live import BOOK_AT_CLOSE
from utils.records.schema import TIME_COLUMNS, Columns
from utils.settings.tree import Settings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class SimulationResult:
    """A finished simulation: tables, KPIs and everything the summary shows."""

    market: Market
    settings: Settings
    tables: Mapping[str, Columns]  # trades, signals, orders, equity: the columns of the log files
    metrics: Mapping[str, Any]  # every row of the summary
    report: Mapping[str, Any]  # what `--json` prints, paths and timing included
    funnel: Mapping[str, int]
    unavailable: Mapping[str, int]
    answers: Mapping[str, Any] = field(default_factory=dict)  # of a user's strategy, when it was asked again
    interrupted: bool = False  # a live run that Ctrl-C ended
    _frames: dict[str, Any] = field(default_factory=dict)

    def frame(self, table: str) -> pd.DataFrame:
        """A table as a DataFrame; times as UTC datetimes."""
        if table not in self._frames:
            import pandas as pd

            columns = self.tables[table]
            self._frames[table] = pd.DataFrame(
                {name: pd.to_datetime(v, utc=True) if name in TIME_COLUMNS else v for name, v in columns.items()}
            )
        frame: pd.DataFrame = self._frames[table]
        return frame

    @property
    def trades(self) -> pd.DataFrame:
        """Closed round trips, the columns of trades.csv."""
        return self.frame("trades")

    @property
    def signals(self) -> pd.DataFrame:
        """Non-neutral signals and what was decided on each."""
        return self.frame("signals")

    @property
    def orders(self) -> pd.DataFrame:
        """Every order and how it ended."""
        return self.frame("orders")

    @property
    def equity(self) -> pd.DataFrame:
        """The account at closes."""
        return self.frame("equity")

    @property
    def book(self) -> pd.DataFrame:
        """The live book at each close; no rows where there was none."""
        import pandas as pd

        if self.market.book is None:
            return pd.DataFrame(columns=["time", "symbol", *(BOOK_AT_CLOSE.names or ())])
        bars = self.market.bars
        frame = pd.DataFrame({name: self.market.book[name] for name in BOOK_AT_CLOSE.names or ()})
        frame.insert(0, "time", pd.to_datetime(bars["ts"], utc=True))
        frame.insert(1, "symbol", np.array(self.market.symbols)[bars["sym"]])
        return frame[frame["book_age_ms"].notna()]

    @property
    def kpis(self) -> Mapping[str, Any]:
        """The headline numbers, as `--json` gives them."""
        return self.report
