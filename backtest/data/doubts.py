"""What a run has to doubt about its bars: prices between ticks, moves that nobody traded, jumps of the unit."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from exec.market import Market
from ingest.files.columns import PRICES, show
from ingest.files.ticks import between_ticks
from utils.figures.shown import counted
from utils.records.schema import Columns
from utils.rows import Rows

#: From one bar to the next, or inside one, a price does not become that many times itself, or that part of it.
JUMP = 3.0
#: A price that far from the last trade, after bars without volume, is said; fraction.
REOPENED_FAR = 0.05
#: Share of a power of ten within which a jump is one.
_ROUND = 0.1


def doubts(market: Market, trades: Columns) -> list[str]:
    """What a user has to know of the bars that were decided on before believing in the trades made of them.

    Args:
        market: the bars, their ticks and where they came from.
        trades: columns of trades.csv.
    """
    said = list(market.doubts)
    for sym, symbol in enumerate(market.symbols):
        bars = market.bars[market.bars["sym"] == sym]
        first = int(np.searchsorted(bars["ts"], market.starts[sym]))
        place = dict(market.files[sym]).get("market", "") if sym < len(market.files) else ""
        own = {name: trades[name][trades["symbol"] == symbol] for name in ("entry_time", "exit_time", "exit_price")}
        if first < len(bars):
            said += [f"{symbol}: {text}" for text in _empty_bars(bars, first)]
            said += [f"{symbol}: {text}" for text in _jumps(bars, first, market.tf_ns, own)]
            said += [
                f"{symbol}: {text}; set instruments.{place or 'default'}.{symbol}.tick"
                for text in _off_tick(bars[first:], float(market.instruments[sym]["tick"]))
            ]
    return said


def _off_tick(bars: Rows, tick: float) -> Iterator[str]:
    off = np.zeros(len(bars), dtype=bool)
    for name in PRICES:
        off |= between_ticks(bars[name], tick)
    count = int(np.count_nonzero(off))
    if not count:
        return
    since = int(off.argmax())
    if 2 * count >= len(bars) - since:
        yield f"from {show(bars[since]['ts'])[:16]} prices lie between ticks of {tick:g}: the tick has changed"
    else:
        where = f"the first in the one that closed at {show(bars[since]['ts'])[:16]}"
        yield f"prices lie between ticks of {tick:g} in {counted(count, 'bar')}, {where}: the tick is another"


def _empty_bars(bars: Rows, first: int) -> Iterator[str]:
    empty = bars["volume"] == 0.0
    if empty[first:].all():
        yield "no bar has any volume: nothing traded, so no order can fill"
        return
    moved = empty & (bars["high"] != bars["low"])
    moved[1:] |= empty[1:] & (bars["open"][1:] != bars["close"][:-1])
    moved[:first] = False
    if count := int(np.count_nonzero(moved)):
        at = f"row {int(moved.argmax()) + 1}"
        which = "it" if count == 1 else "them"
        yield f"{counted(count, 'bar')} moved without volume: stops are not checked in {which} ({at})"
    # the close of the last bar that traded, at each bar
    traded = np.maximum.accumulate(np.where(empty, 0, np.arange(len(bars))))
    opened = np.flatnonzero(~empty[1:] & empty[:-1]) + 1
    opened = opened[opened >= first]
    away = np.abs(bars["open"][opened] / bars["close"][traded[opened - 1]] - 1.0)
    if len(away) and away.max() > REOPENED_FAR:
        row = int(opened[away.argmax()])
        yield (
            f"row {row + 1} opened {100 * away.max():.1f} % from the last trade, after bars without volume: "
            "stops between the two filled there"
        )


def _jumps(bars: Rows, first: int, tf_ns: int, trades: Columns) -> Iterator[str]:
    ratios = np.ones(len(bars))
    ratios[1:] = bars["open"][1:] / bars["close"][:-1]
    between = np.maximum(ratios, 1.0 / ratios) >= JUMP
    inside = bars["high"] / bars["low"] >= JUMP
    rows = np.flatnonzero(between | inside)
    rows = rows[rows >= first]
    if not len(rows):
        return
    row = int(rows[0])
    opened = int(bars["ts"][row]) - tf_ns
    across = np.zeros(len(trades["entry_time"]), dtype=bool)
    for each in rows:
        across |= _crosses(trades, bars, int(each), int(bars["ts"][each]) - tf_ns, bool(between[each]))
    if between[row]:
        what = f"opens at {_times(float(ratios[row]))} the close before"
    else:
        what = f"goes from {bars['low'][row]:g} to {bars['high'][row]:g}"
    more = f", and {len(rows) - 1} more such rows" if len(rows) > 1 else ""
    yield (
        f"{show(opened)[:16]}, row {row + 1} {what}: a new unit or another instrument?"
        f" trades across {'it' if not more else 'them'}: {np.count_nonzero(across)}{more}"
    )


def _crosses(trades: Columns, bars: Rows, row: int, opened: int, between: bool) -> NDArray[np.bool_]:
    """Trades that were entered before a jump and left after it."""
    entry, left = trades["entry_time"], trades["exit_time"]
    if not between:
        return np.asarray((entry < bars["ts"][row]) & (left > opened))
    # what ended at that moment ended before the jump if its price is nearer to the close than to the open
    price = np.log(np.maximum(trades["exit_price"], np.finfo(float).tiny))
    after = np.abs(price - math.log(bars["open"][row])) < np.abs(price - math.log(bars["close"][row - 1]))
    return np.asarray((entry < opened) & ((left > opened) | ((left == opened) & after)))


def _times(ratio: float) -> str:
    """A ratio of prices in words."""
    size = max(ratio, 1.0 / ratio)
    power = 10.0 ** round(math.log10(size))
    shown = f"{power:.0f}" if abs(size / power - 1.0) < _ROUND and power > 1.0 else f"{size:.3g}"
    return f"{shown} times" if ratio > 1.0 else f"1/{shown} of"
