"""What a version of a model said, as runs wrote it down, beside what became of the trades."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.learning.drift import Gap, calibration_gap, edge_gap
from utils.errors import DataError
from utils.figures.arithmetic import Floats, Times
from utils.records.reader import column
from utils.records.schema import NO_TIME, Columns
from utils.rows import BPS


@dataclass(frozen=True, slots=True, eq=False)
class Journal:
    """Trades that are over, beside what one version said of each at its signal; in order of signals."""

    time: Times  # of the signals, ns
    symbol: NDArray[np.str_]
    p: Floats  # win probability; NaN = none was said
    expected: Floats  # net, bps; NaN = likewise
    net: Floats  # earned, bps of the entry
    own: int = 0  # signals of the version
    others: int = 0  # signals of other versions
    unsaid: int = 0  # trades of whose signal the version said nothing
    learned: int = 0  # trades of signals that the version was trained on
    twice: int = 0  # trades that an earlier folder holds

    @property
    def trades(self) -> int:
        """How many there are."""
        return len(self.net)

    def gaps(self) -> tuple[Gap, Gap]:
        """Of the win probability, and of the net."""
        told, expected = ~np.isnan(self.p), ~np.isnan(self.expected)
        won = (self.net[told] > 0.0).astype(np.float64)
        return calibration_gap(self.p[told], won), edge_gap(self.net[expected], self.expected[expected])


def no_journal() -> Journal:
    """No trade."""
    none = np.zeros(0)
    return Journal(np.zeros(0, np.int64), np.zeros(0, np.str_), none, none, none)


def predicted(signals: Columns, trades: Columns, version: str, until: int, where: str) -> Journal:
    """Join closed trades with what a version said at their signals, by symbol and time of the signal.

    A prediction is that of the version whose name the signal bears. Those of others are counted and left out, and so
    are trades of the bars that it was trained on: a simulation goes over these, too, and of them it knew the end.

    Args:
        signals: signals.csv.
        trades: trades.csv.
        version: whose.
        until: end of its training, ns.
        where: for messages.

    Raises:
        DataError: a column is missing, or holds what cannot be.
    """
    if "model" not in signals or "net_bps" not in signals:  # of before there were models
        signals = {
            **signals,
            "model": np.full(len(signals["time"]), ""),
            "net_bps": np.full(len(signals["time"]), np.nan),
        }
    place = f"{where}/signals.csv"
    model = column(signals, "model", place)
    mine = np.flatnonzero(model == version)
    symbols, times = column(signals, "symbol", place)[mine].tolist(), column(signals, "time", place)[mine].tolist()
    p, expected = column(signals, "p_win", place)[mine], column(signals, "net_bps", place)[mine]
    _require(place, "p_win", "a share from 0 to 1", np.isnan(p) | ((p >= 0.0) & (p <= 1.0)), mine)
    _require(place, "net_bps", "a number", ~np.isinf(expected), mine)
    row_of = {key: row for row, key in enumerate(zip(symbols, times, strict=True))}
    place = f"{where}/trades.csv"
    over = np.flatnonzero(column(trades, "exit_time", place) != NO_TIME)
    names, asked = column(trades, "symbol", place)[over], column(trades, "signal_time", place)[over]
    pnl = column(trades, "net_pnl", place)[over]
    paid = column(trades, "entry_price", place)[over] * column(trades, "qty", place)[over]
    _require(place, "net_pnl", "an amount", np.isfinite(pnl), over)
    _require(place, "entry_price or qty", "a number above 0", np.isfinite(paid) & (paid > 0.0), over)
    rows = np.array([row_of.get(key, -1) for key in zip(names.tolist(), asked.tolist(), strict=True)], np.int64)
    kept = rows >= 0
    kept[kept] = ~(np.isnan(p[rows[kept]]) & np.isnan(expected[rows[kept]]))
    learned = kept & (asked <= until)
    unsaid, kept = ~kept, kept & ~learned
    order = np.flatnonzero(kept)[np.lexsort((names[kept], asked[kept]))]
    return Journal(
        time=asked[order],
        symbol=names[order],
        p=p[rows[order]],
        expected=expected[rows[order]],
        net=pnl[order] / paid[order] / BPS,
        own=len(mine),
        others=int(np.count_nonzero((model != version) & (model != ""))),
        unsaid=int(np.count_nonzero(unsaid)),
        learned=int(np.count_nonzero(learned)),
    )


def _require(place: str, name: str, what: str, sound: NDArray[np.bool_], lines: NDArray[np.int64]) -> None:
    """Refuse a column with a value that cannot be."""
    if not sound.all():
        line = int(lines[np.argmin(sound)]) + 2
        raise DataError(f"{place}, line {line}, column {name}: expected {what}, saw something else; correct that cell")


def joined(one: Journal, other: Journal) -> Journal:
    """Two journals; a trade of the same symbol and signal counts once."""
    seen = set(zip(one.symbol.tolist(), one.time.tolist(), strict=True))
    new = np.array([key not in seen for key in zip(other.symbol.tolist(), other.time.tolist(), strict=True)], np.bool_)
    columns = {
        name: np.concatenate([getattr(one, name), getattr(other, name)[new]])
        for name in ("time", "symbol", "p", "expected", "net")
    }
    order = np.lexsort((columns["symbol"], columns["time"]))
    return Journal(
        **{name: values[order] for name, values in columns.items()},
        own=one.own + other.own,
        others=one.others + other.others,
        unsaid=one.unsaid + other.unsaid,
        learned=one.learned + other.learned,
        twice=one.twice + other.twice + int(np.count_nonzero(~new)),
    )
