"""A user's strategy in a live run: asked for the newest rows only, and watched for answers that no replay would give.

A strategy is a function of the whole market frame. At a close only its newest rows are wanted, so it is shown only the
last bars of each symbol, a *window*: as many as it says it looks back, or `LOOKBACK`. That a window is enough is never
taken for granted. Before one is used, the answers at rows of the history are compared with those over the whole of it,
and until then the whole is shown. Whenever the bars have doubled, and when the run ends, every answer that was given is
compared with those over all bars; as bars only double so often, that adds less to a close than one row of the whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from exec.market import Market
from exec.past import no_book
from exec.strategy import MarketRows, Strategy, answered, failed, in_use
from features.fold import matrix
from features.registry import feature_set
from utils.errors import ConfigError
from utils.rows import NS_PER_MS, SIGNAL, Rows
from utils.shell.log import event
from utils.shell.moments import at_ms

#: Bars of each symbol that a strategy is shown which does not say how many it looks back.
LOOKBACK = 256
#: Instants at which a window is tried before it is used: as many where the strategy wants something, as many anywhere.
TRIALS = 16

logger = logging.getLogger("exec")

#: What is done about a strategy that needs more bars than were tried, or for which no number of bars will do.
FURTHER = (
    "it looks further back, so it is shown all bars, at a cost that grows with them, until there are enough to try "
    "twice as many; give it a lookback that is enough, and round sums and means that are part of an answer"
)
ENOUGH = "raise its lookback, or leave it out to have one found"
AHEAD = (
    "its answer at a bar changes when later bars are added, so no replay can repeat a live run; "
    "let an answer depend on its bar and those before it alone"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where an answer is not what it is over all bars, and in what."""

    symbol: str
    ts: int  # close of the bar, ns
    seen: str
    whole: str
    failed: bool = False  # there was no answer

    def __str__(self) -> str:
        return f"{self.seen} and not {self.whole} at the bar of {self.symbol} that closed {at_ms(self.ts / NS_PER_MS)}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the answers of a live run stand to those over all its bars; `run.json` has the last one."""

    lookback: int | None  # bars of each symbol that are shown; None = all
    compared: int  # rows that were decided on
    different: int
    note: str | None  # what to know and do about it; None = they are the same

    def row(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {name: getattr(self, name) for name in self.__slots__}


class LiveStrategy:
    """A user's strategy that is told of bars as they close, and answers with the signal rows beside them.

    Args:
        strategy: the function; its attribute `lookback`, if it has one, is how many bars of each symbol its answer at a
            bar depends on, this bar included.
        market: the history, with the closes from which symbols may be decided on.
        begun: some of it was decided live already; then a lookback that is not enough is said and doubled.

    Raises:
        ConfigError: `lookback` is no number of bars, or so many bars give other answers than the whole history.
        DataError: an answer that is no signal rows.
    """

    def __init__(self, strategy: Strategy, market: Market, *, begun: bool = False) -> None:
        self._strategy, self._symbols, self._starts = strategy, market.symbols, market.starts
        self._declared = lookback_of(strategy)
        self._window: int | None = self._declared or LOOKBACK
        self._tried = self._warned = False
        features = feature_set(len(market.symbols)).batch(market.bars)
        book = no_book(len(market.bars)) if market.book is None else market.book
        self._rows = MarketRows(market.symbols, market.bars, features, book)
        try:
            whole = self._answer(self._everything())
        except Exception as error:
            raise failed(error) from error
        self._settle(whole, beginning=not begun)
        #: What it says of the history.
        self.signals = in_use(whole, market.bars, features, market.starts)

    def __call__(self, bars: Rows, features: Rows, book: Rows, whole: Callable[[], Market]) -> Rows:
        """Signal rows beside `bars` of one close, the newest.

        Args:
            bars: of the close.
            features: beside them.
            book: beside them.
            whole: all bars until now, these included: asked for where the strategy fails on those it is shown.

        Raises:
            DataError: no answer, or one that is no signal rows, over all bars.
        """
        self._rows.append(bars, features, book)
        try:
            shown = self._everything() if self.lookback is None else self._rows.newest(self.lookback)
            answer = self._answer(shown)
        except Exception as error:
            if self.lookback is None:
                raise failed(error) from error
            answer = self._answer_over(whole(), error)
        return in_use(answer[-len(bars) :].copy(), bars, features, self._starts)

    def _answer_over(self, market: Market, error: Exception) -> Rows:
        """The answer over all bars, which are shown from now on until a window is tried anew."""
        self._warn(f"strategy: expected an answer over the last {self.lookback} bars, saw {error!r:.200}; {FURTHER}")
        features = feature_set(len(market.symbols)).batch(market.bars)
        self._rows = MarketRows(market.symbols, market.bars, features, market.book)
        self._window, self._tried = 2 * (self._window or LOOKBACK), False
        try:
            return self._answer(self._everything())
        except Exception as still:
            raise failed(still) from still

    @property
    def lookback(self) -> int | None:
        """Bars of each symbol that the strategy is shown; None = all."""
        return self._window if self._tried else None

    def review(self, market: Market, given: Rows, late: Rows) -> Verdict:
        """Compare what was answered with what is answered over all bars, as a replay of them asks; learn from it.

        Where they differ, that is said.

        Args:
            market: all bars until now.
            given: SIGNAL rows beside them, as they were used.
            late: bars that were not acted upon, whatever the answer.
        """
        verdict = self._compared(market, given, late)
        if verdict.note is not None:
            event(logger, "strategy_answers_differ", verdict.note, severity=logging.WARNING)
        return verdict

    def _compared(self, market: Market, given: Rows, late: Rows) -> Verdict:
        lookback = self.lookback
        used = (market.bars["ts"] >= np.array(market.starts)[market.bars["sym"]]) & ~late
        compared, unlike = int(used.sum()), "a replay of these bars will not repeat this run"
        features = feature_set(len(market.symbols)).batch(market.bars)
        self._rows = MarketRows(market.symbols, market.bars, features, market.book)
        try:
            whole = self._answer(self._everything())
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything, and the run must be kept
            if lookback is not None:
                self._rows.keep(lookback)
            note = f"strategy: expected an answer over all bars of the run, saw {error!r:.200}; {unlike}"
            return Verdict(lookback, compared, compared, note)
        odd = np.flatnonzero(used & differ(given, whole))
        if self._tried and self._window is not None:
            self._window *= 2 if len(odd) else 1
        self._settle(whole, beginning=False, suspects=odd)
        if not len(odd):
            return Verdict(lookback, compared, 0, None)
        first = difference(market.symbols, market.bars, given, whole, int(odd[0]))
        note = (
            f"strategy: expected the answers of the live run over all its bars too, saw {len(odd)} of {compared} "
            f"differ, first {first}; {unlike}: let an answer depend on its bar and its lookback alone"
        )
        return Verdict(lookback, compared, len(odd), note)

    def _everything(self) -> slice:
        return slice(0, len(self._rows))

    def _answer(self, rows: slice | Rows) -> Rows:
        """SIGNAL rows beside these rows of the market."""
        return answered(self._strategy, self._rows, rows)

    def _settle(self, whole: Rows, *, beginning: bool, suspects: Rows | None = None) -> None:
        """Find the window that answers as all bars do, of those that all bars are twice; double it where it does not.

        Args:
            whole: what the strategy answers over all bars.
            beginning: nothing was decided yet, so that a lookback that is not enough is refused.
            suspects: rows that were answered otherwise.
        """
        most, window, tried = int(np.bincount(self._rows.sym).max()), self._window, False
        while window is not None and 2 * window <= most and not tried:
            found = self._refuted(window, whole, suspects)
            if found is None:
                self._rows.keep(window)
                tried = True
                continue
            first, further = found
            expected = f"strategy: expected the last {window} bars to answer as all of them do, saw {first}"
            if beginning and self._declared is not None:
                raise ConfigError(f"{expected}; {ENOUGH if further else AHEAD}")
            window = 2 * window if further else None
            if window is None or 2 * window > most:
                self._warn(f"{expected}; {FURTHER if further else AHEAD}")
        self._window, self._tried = window, tried

    def _warn(self, text: str) -> None:
        """Say it the first time."""
        if not self._warned:
            event(logger, "strategy_shown_all_bars", text, severity=logging.WARNING)
        self._warned = True

    def _refuted(self, window: int, whole: Rows, suspects: Rows | None) -> tuple[Difference, bool] | None:
        """The first trial at which so many bars answer otherwise, and whether more bars up to there may help."""
        ends = np.flatnonzero(np.diff(self._rows.ts, append=-1)) + 1
        also = () if suspects is None else np.searchsorted(ends, suspects[:TRIALS], side="right")
        for k in trials(ends, window, whole, also):
            begin, end = int(ends[k - 1]), int(ends[k])
            found = self._seen_otherwise(self._rows.newest(window, end), begin, end, whole)
            if found is not None:
                before = self._seen_otherwise(slice(0, end), begin, end, whole)
                return found, before is None or before.failed
        return None

    def _seen_otherwise(self, rows: slice | Rows, begin: int, end: int, whole: Rows) -> Difference | None:
        """How the answer over `rows` differs from the one over all, at rows `begin` to `end` which are its last."""
        bars = np.zeros(end - begin, [("ts", np.int64), ("sym", np.int64)])
        bars["ts"], bars["sym"] = self._rows.ts[begin:end], self._rows.sym[begin:end]
        there = whole[begin:end]
        try:
            seen = self._answer(rows)[begin - end :]
        except Exception as error:  # noqa: BLE001 - a function that fails on fewer bars needs more of them
            return Difference(
                self._symbols[bars["sym"][0]], int(bars["ts"][0]), f"{error!r:.80}", "an answer", failed=True
            )
        odd = np.flatnonzero(differ(seen, there))
        return difference(self._symbols, bars, seen, there, int(odd[0])) if len(odd) else None


def lookback_of(strategy: Strategy) -> int | None:
    """How many bars a strategy says its answer depends on; None = it does not say."""
    declared = getattr(strategy, "lookback", None)
    if isinstance(declared, np.integer):
        declared = int(declared)
    if declared is not None and (not isinstance(declared, int) or isinstance(declared, bool) or declared < 1):
        raise ConfigError(
            f"strategy: expected lookback to be a whole number of bars from 1, saw {declared!r}; change it"
        )
    return declared


def trials(ends: Rows, window: int, whole: Rows, also: Iterable[int] = ()) -> list[int]:
    """Which instants to try a window at, of those with more bars before them: evenly spread, the newest among them.

    Args:
        ends: where the rows of each instant end.
        window: bars of each symbol.
        whole: SIGNAL rows; half of the trials are made where they want something: that nothing is said proves little.
        also: instants to try besides.
    """
    wants = np.add.reduceat(np.abs(np.nan_to_num(whole["side"])), np.concatenate([[0], ends[:-1]])) > 0.0
    anywhere = np.arange(window, len(ends))
    chosen = {len(ends) - 1, *(int(k) for k in also if k >= window)}
    for some in (anywhere, anywhere[wants[window:]]):
        if len(some):
            chosen |= set(some[np.linspace(0, len(some) - 1, TRIALS).astype(np.int64)].tolist())
    return sorted(chosen)


def differ(seen: Rows, whole: Rows, tolerance: float = 0.0) -> Rows:
    """Which rows are not equal in every field of an answer; NaN equals NaN.

    Args:
        seen: SIGNAL rows.
        whole: others beside them.
        tolerance: what two numbers may differ by, as a share of the greater: two sides never are so near.
    """
    one, other = matrix(np.ascontiguousarray(seen)), matrix(np.ascontiguousarray(whole))
    fields = [name not in ("atr", "vol_bps") for name in SIGNAL.names or ()]  # ours, and the same for all
    odd = (one != other) & ~(np.isnan(one) & np.isnan(other))
    if tolerance > 0.0:
        odd &= ~(np.abs(one - other) <= tolerance * np.maximum(np.abs(one), np.abs(other)))
    found: Rows = odd[:, fields].any(axis=1)
    return found


def difference(symbols: tuple[str, ...], bars: Rows, seen: Rows, whole: Rows, row: int) -> Difference:
    """The field in which a row differs, in words."""
    for name in SIGNAL.names or ():
        one, other = float(seen[name][row]), float(whole[name][row])
        if one != other and not (np.isnan(one) and np.isnan(other)):
            break
    return Difference(symbols[bars["sym"][row]], int(bars["ts"][row]), f"{name} {one!r}", f"{other!r}")
