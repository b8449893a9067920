"""Labels: what became of a trade in either direction, when that was known, and how much of its time it had to itself.

The trade is that of `ml.barriers.outcomes`; nothing here walks a bar. Labels of a long history are made stretch by
stretch: memory is flat but for one number a bar and direction.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from ml.barriers.outcomes import OUTCOME, trade_from
from utils.codes import END_OF_DATA
from utils.compiled import compiled
from utils.errors import InvariantError
from utils.figures.arithmetic import Floats
from utils.rows import Rows, layout, layout_of

#: Signs of the directions, in the order of the columns of a table: long, short.
SIDES = (1, -1)


class LabelRow(Protocol):
    """What became of one decision in one direction."""

    until: int  # when the order or its trade was over, ns: close of that bar; of the last bar where they ended first
    entry_bar: int  # row of the bar it was filled in; -1 = not filled
    exit_bar: int  # row of the bar it ended in; -1 = it did not
    reason: int  # as in `utils.codes.LABEL_NAMES`
    ambiguous: int  # bars that touched both barriers
    gross_bps: float  # before fees, of the entry's notional; NaN = no label
    net_bps: float  # after fees, spread and slippage, likewise
    weight: float  # average uniqueness, 0-1; 0 = no label


LABEL = layout_of(LabelRow)
#: Room that is made for labels of trades that last beyond a stretch.
AHEAD = 1_024
#: How far the counts of labels at work have been added up.
SETTLED = layout(("bar", np.int64), ("at_work", np.float64))


@compiled
def label_rows(
    bars: Rows, first: int, side: int, instruments: Rows, params: Rows, scratch: Rows, cover: Floats, out: Rows
) -> None:
    """Follow a signal at each bar from `first` on, and note where labels begin and end.

    A trade that the end of the data cuts short has no label.

    Args:
        bars: BAR rows of one symbol.
        first: row of the first signal.
        side: +1 long, -1 short.
        instruments: INSTRUMENT, one row.
        params: PARAMS, one row.
        scratch: OUTCOME, one row.
        cover: beside the bars and one more: +1 where a label begins, -1 behind its last bar.
        out: LABEL rows to write, one a signal.
    """
    one = scratch[0]
    for i in range(len(out)):
        trade_from(bars, first + i, side, instruments[0], params[0], one)
        label = out[i]
        label.entry_bar = one.entry_bar
        label.exit_bar = one.exit_bar
        label.ambiguous = one.ambiguous
        label.gross_bps = one.gross_bps
        label.net_bps = one.net_bps
        label.weight = 0.0
        end = len(bars) - 1
        if one.entry_bar < 0:
            label.reason = one.unfilled
            if one.order_bar >= 0:
                end = one.order_bar
        elif one.exit_reason in (0, END_OF_DATA):
            label.reason = END_OF_DATA
            label.gross_bps = math.nan
            label.net_bps = math.nan
        else:
            label.reason = one.exit_reason
            end = one.exit_bar
            cover[one.entry_bar] += 1.0
            cover[one.exit_bar + 1] -= 1.0
        label.until = bars[end].ts


@compiled
def settle_rows(cover: Floats, end: int, settled: Rows) -> None:
    """Turn beginnings and ends, up to bar `end` excluded, into 1 / labels at work at each bar; 0 = none is.

    Args:
        cover: as `label_rows` left it, from the bar where the last call stopped; written over.
        end: first bar at which a label may still begin or end.
        settled: SETTLED, one row.
    """
    state = settled[0]
    for k in range(state.bar, end):
        state.at_work += cover[k]
        cover[k] = 1.0 / state.at_work if state.at_work > 0.0 else 0.0
    state.bar = max(state.bar, end)


@compiled
def weigh_rows(cover: Floats, rows: Rows) -> None:
    """Average uniqueness: the mean over a label's bars, from entry to exit, both included, of 1 / labels at work.

    Source: Lopez de Prado 2018, ch. 4.

    Args:
        cover: settled up to every exit.
        rows: LABEL rows, whose weight is written where they have a label.
    """
    for i in range(len(rows)):
        label = rows[i]
        if not math.isnan(label.net_bps):
            total = 0.0
            for k in range(label.entry_bar, label.exit_bar + 1):
                total += cover[k]
            label.weight = total / (label.exit_bar + 1 - label.entry_bar)


class Labeller:
    """Labels of one symbol and direction in order of time, a stretch of its bars at once.

    A weight needs all labels that share its bars, so labels are made as far ahead as the stretch's trades last.

    Args:
        bars: BAR rows of one symbol, in order of time.
        first: row of the first bar that is decided on.
        side: +1 long, -1 short.
        instrument: INSTRUMENT, one row: tick and fees.
        params: PARAMS, one row: barriers, kind of entry, costs.
    """

    def __init__(self, bars: Rows, first: int, side: int, instrument: Rows, params: Rows) -> None:
        self._bars, self._side, self._terms = bars, side, (instrument, params)
        self._given, self._made = first, first
        self._rows: Rows = np.zeros(0, LABEL)  # those of `_given` to `_made`, and room
        self._taken = 0  # rows before them, that the last call gave
        self._cover = np.zeros(len(bars) + 1)
        self._settled: Rows = np.zeros(1, SETTLED)
        self._scratch: Rows = np.zeros(1, OUTCOME)

    def take(self, count: int) -> Rows:
        """LABEL rows of the next `count` bars; the next call may write over them.

        Raises:
            InvariantError: fewer bars are left.
        """
        if not 0 <= count <= len(self._bars) - self._given:
            raise InvariantError(f"expected at most {len(self._bars) - self._given} labels, saw {count} asked for")
        left = self._rows[self._taken : self._taken + self._made - self._given]
        self._rows[: len(left)] = left.copy()
        self._make(self._given + count)
        last = int(self._rows["exit_bar"][:count].max(initial=-1))
        self._make(last)
        settle_rows(self._cover, last + 1, self._settled)
        weigh_rows(self._cover, self._rows[:count])
        self._given, self._taken = self._given + count, count
        return self._rows[:count]

    def _make(self, end: int) -> None:
        """Labels of all bars before `end`."""
        if end <= self._made:
            return
        room, there = end - self._given, self._made - self._given
        if room > len(self._rows):
            rows: Rows = np.zeros(room + AHEAD, LABEL)
            rows[:there] = self._rows[:there]
            self._rows = rows
        label_rows(self._bars, self._made, self._side, *self._terms, self._scratch, self._cover, self._rows[there:room])
        self._made = end


def labels(bars: Rows, instrument: Rows, params: Rows) -> tuple[Rows, Rows]:
    """LABEL rows beside all bars: long, short."""
    long, short = (Labeller(bars, 0, side, instrument, params).take(len(bars)) for side in SIDES)
    return long, short
