"""Whether a user's strategy knows later bars: it is asked again on data cut off, and has to answer as before.

A signal at a bar may depend on that bar and those before it. So what a strategy answers over all bars, up to a cut, is
what it answers when it is shown the bars up to the cut alone. `shift(-1)` differs at the last bar before each cut, the
mean of a whole column nearly everywhere. Where few of many bars are decided on, every cut among those shows nearly all
bars, and such a mean hardly moves: it is asked at some of the bars before, too, and the answers there, which nobody
acts on, are compared. Sides are compared exactly, other numbers to `TOLERANCE`: sums that begin at
the same bar and run forwards are the same bits, those by convolution or matrices differ in the last digits.

One that wants several symbols together is also asked with the rows of each instant shuffled: that changes nothing for
one that looks at symbols by name, and something for one whose `rolling` or `shift` runs from one into another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from exec.asking import Difference, differ, difference
from exec.market import Market
from exec.strategy import MarketRows, Strategy, answered, together_of
from features.registry import feature_set
from utils.figures.shown import counted
from utils.rows import Rows

#: What numbers of an answer may differ by, as a share of the greater.
TOLERANCE = 1e-9
#: Cuts for each thing that is said at a bar (long, short, close, nothing), in a run: within the first half, so that
#: all of them together show a strategy some twice the bars of the run (one more where it wants symbols together).
RUN_CUTS, RUN_SHARE = 2, 0.5
#: Where else to cut, as shares of the bars, if the first cut lies behind them.
INNER = (0.25, 0.5)
#: Of the dice that put the rows of an instant in another order.
SHUFFLE = 1
#: Told of cuts done, and of all there are.
Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Cut:
    """What came of asking again at one cut."""

    bar: int  # bars of the clock that were shown
    different: int  # rows that are answered otherwise
    first: Difference | None
    failure: str | None = None  # how it broke instead


@dataclass(frozen=True, slots=True)
class Audit:
    """What a strategy answers on data that were cut off."""

    bars: int  # of the clock, in all
    cuts: tuple[Cut, ...]
    steady: bool  # asked twice for the same bars it answers the same
    mixed: Cut | None  # rows of an instant in another order; None = it makes no difference, or was not tried

    @property
    def different(self) -> int:
        """Rows that were answered otherwise, at the cut with the most of them."""
        return max(self.counts, default=0)

    @property
    def counts(self) -> tuple[int, ...]:
        """Rows that were answered otherwise, by cut."""
        return tuple(cut.different for cut in self.cuts)

    @property
    def clean(self) -> bool:
        """Nothing was found."""
        return self.note is None

    @property
    def note(self) -> str | None:
        """What was found and what to do, in one sentence; None = nothing was."""
        worst = max(self.cuts, key=lambda cut: cut.different, default=None)
        if worst is not None and worst.different and not self.steady:
            return (
                f"strategy: asked twice for the same {worst.bar} bars it answers differently, first {worst.first}: it "
                "remembers or throws dice, so no run can be repeated; let it answer from its frame alone"
            )
        if worst is not None and worst.different:
            return (
                f"strategy: cut at bar {worst.bar} of {self.bars} the strategy signals differently at "
                f"{counted(worst.different, 'bar')}, first {worst.first}, and so at {sum(map(bool, self.counts))} of "
                f"{len(self.cuts)} cuts: it sees the future, and these results mean nothing; let an answer depend on "
                "its bar and those before it alone"
            )
        if self.mixed is not None:
            return (
                f"strategy: with the symbols of each bar in another order it signals differently at "
                f"{counted(self.mixed.different, 'bar')}, first {self.mixed.first}: it mixes rows of several "
                "symbols; group them by symbol, or leave `together` out to be asked for each by itself"
            )
        broken = next((cut for cut in self.cuts if cut.failure), None)
        if broken is not None:
            return (
                f"strategy: shown the first {broken.bar} of {self.bars} bars alone, where it signals over all of them, "
                f"it fails with {broken.failure}; live it would fail there: mend the function"
            )
        return None

    def row(self) -> dict[str, Any]:
        """The same as JSON has it; the fields of a live run's verdict, and the cuts."""
        return {
            "lookback": None,
            "compared": sum(cut.bar for cut in self.cuts),
            "different": self.different,
            "note": self.note,
            "cuts": [{"bar": cut.bar, "different": cut.different, "failure": cut.failure} for cut in self.cuts],
        }


def audit(
    strategy: Strategy,
    market: Market,
    signals: Rows,
    *,
    each: int = RUN_CUTS,
    share: float = RUN_SHARE,
    tell: Tell | None = None,
) -> Audit:
    """Ask a strategy again, on the market cut off at some of its bars.

    Args:
        strategy: a user's function; it is asked afresh each time, and must not keep anything from one to the next.
        market: what it was asked for.
        signals: SIGNAL rows that it answered, beside the bars.
        each: cuts for each thing that is said at a bar: long, short, close, nothing.
        share: of the bars, from the first, in which cuts are made.
        tell: told of each cut.
    """
    ends = np.flatnonzero(np.diff(market.bars["ts"], append=-1)) + 1
    chosen = places(ends, market.bars, signals, market.starts, each, share)
    if not chosen:
        return Audit(len(ends), (), steady=True, mixed=None)
    mixes = len(market.symbols) > 1 and together_of(strategy)
    most = len(market.bars) if mixes else int(ends[chosen[-1]])
    features = feature_set(len(market.symbols)).batch(market.bars[:most])
    book = None if market.book is None else market.book[:most]
    asked = _Asked(strategy, market, MarketRows(market.symbols, market.bars[:most], features, book), signals)
    inner = [int(part * len(ends)) for part in INNER] if chosen[0] >= max(INNER) * len(ends) else []
    cuts, total = [], len(chosen) + len(inner)
    for done, k in enumerate(chosen):
        if tell is not None:
            tell(done, total)
        cuts.append(asked.cut(int(ends[k]), k + 1))
    for done, bar in enumerate(inner, len(chosen)):
        if tell is not None:
            tell(done, total)
        cuts += asked.inner(int(ends[bar - 1]), bar) if bar else ()
    if tell is not None:
        tell(total, total)
    worst = max(cuts, key=lambda cut: cut.different)
    steady = not worst.different or asked.steady(int(ends[worst.bar - 1]))
    mixed = asked.mixed(len(ends)) if mixes and not worst.different else None
    return Audit(len(ends), tuple(cuts), steady, mixed)


def places(ends: Rows, rows: Rows, signals: Rows, starts: tuple[int, ...], each: int, share: float) -> list[int]:
    """At which instants to cut: as many of each thing that is said there, spread evenly; never the last instant.

    A strategy that leaks buys or sells where the future told it to, so cuts lie at signals; one that leaks what not to
    do is silent where the future told it to be, so some lie where nothing is said.
    """
    sides = signals["side"]
    begins = np.concatenate([[0], ends[:-1]])
    decided = np.logical_or.reduceat(rows["ts"] >= np.array(starts)[rows["sym"]], begins)
    decided[-1] = False
    said = [np.logical_or.reduceat(sides == side, begins) for side in (1.0, -1.0, 0.0)]
    silent = ~np.logical_or.reduceat(~np.isnan(sides), begins)
    chosen: set[int] = set()
    for there in (*said, silent):
        some = np.flatnonzero(there & decided)
        within = some[: max(1, int(np.ceil(share * len(some))))]
        if len(within):
            chosen |= set(within[np.linspace(0, len(within) - 1, each + 2).astype(np.int64)[1:-1]].tolist())
    return sorted(chosen)


class _Asked:
    """A strategy, what it may be shown, and what it answered over all of it."""

    def __init__(self, strategy: Strategy, market: Market, rows: MarketRows, signals: Rows) -> None:
        self._strategy, self._market, self._rows, self._whole = strategy, market, rows, signals
        self._longest: Rows | None = None  # its answer at the last cut, also where nothing is decided

    def cut(self, end: int, bar: int) -> Cut:
        """Its answer over the first `end` rows, against the one over all."""
        try:
            seen = self._answer(slice(0, end))
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything, and the run goes on
            return Cut(bar, 0, None, f"{error!r:.120}")
        self._longest = seen
        return self._compared(self._decided(seen, slice(0, end)), self._whole[:end], bar)

    def inner(self, end: int, bar: int) -> tuple[Cut, ...]:
        """Its answer over the first `end` rows, decided on or not, against the longest one; none where it fails.

        A run never shows it so few bars, so that it may fail there.
        """
        if self._longest is None:
            return ()
        try:
            seen = self._answer(slice(0, end))
        except Exception:  # noqa: BLE001 - a user's function may raise anything
            return ()
        return (self._compared(seen, self._longest[:end], bar),)

    def steady(self, end: int) -> bool:
        """Whether it answers the same when it is asked twice."""
        one, other = (self._answer(slice(0, end)) for _ in range(2))
        return not bool(answered_otherwise(one, other).any())

    def mixed(self, bar: int) -> Cut | None:
        """Its answer over all rows, those of each instant shuffled, where that is another."""
        rows = self._market.bars
        order = np.lexsort((np.random.default_rng(SHUFFLE).random(len(rows)), rows["ts"]))
        seen = np.empty(len(rows), self._whole.dtype)
        try:
            seen[order] = self._decided(self._answer(order), order)
        except Exception:  # noqa: BLE001 - it does not answer for such a frame, and nobody will show it one
            return None
        found = self._compared(seen, self._whole, bar)
        return found if found.different else None

    def _answer(self, rows: slice | Rows) -> Rows:
        return answered(self._strategy, self._rows, rows)

    def _decided(self, answer: Rows, rows: slice | Rows) -> Rows:
        """The answer as a run uses it: silent before the decided period."""
        seen = answer.copy()
        ts, sym = self._rows.ts[rows], self._rows.sym[rows]
        seen["side"][ts < np.array(self._market.starts)[sym]] = np.nan
        return seen

    def _compared(self, seen: Rows, whole: Rows, bar: int) -> Cut:
        odd = np.flatnonzero(answered_otherwise(seen, whole))
        if not len(odd):
            return Cut(bar, 0, None)
        first = difference(self._market.symbols, self._market.bars, seen, whole, int(odd[0]))
        return Cut(bar, len(odd), first)


def answered_otherwise(seen: Rows, whole: Rows) -> Rows:
    """Rows that are answered otherwise, of those where either answer wants something."""
    rows: Rows = differ(seen, whole, TOLERANCE) & ~(np.isnan(seen["side"]) & np.isnan(whole["side"]))
    return rows
