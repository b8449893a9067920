"""One trader for history and live: features, signal and engine of one account of some symbols.

History comes as bars, any number of instants at a time; live come events, and the bars of one close after another. It
knows no file, no socket and no clock: what is late somebody tells it, and what time it is the rows say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from exec.asking import LiveStrategy, Verdict
from exec.champion import Champion
from exec.engine import TABLES, Engine, JournalRows
from exec.market import Market
from exec.past import Part, Past, no_book
from features.live import BOOK_AT_CLOSE, EventFeatures
from features.registry import feature_set
from ml.signal import STATE, Signaller, strategy_params
from utils.errors import DataError
from utils.params import params_of
from utils.rows import ACCOUNT, ORDER_SLOT, POSITION, SIGNAL, Rows
from utils.settings.tree import Settings
from utils.types import MarketEvent

#: Bars handed over at once: features and signals of a chunk stay in cache, memory stays flat.
CHUNK = 16_384


def chunks(bars: Rows, size: int = CHUNK) -> list[tuple[int, int]]:
    """Row ranges of about `size` rows that never part the bars of one instant."""
    cuts = [0]
    while cuts[-1] < len(bars):
        end = min(cuts[-1] + size, len(bars))
        while end < len(bars) and bars["ts"][end] == bars["ts"][end - 1]:
            end += 1
        cuts.append(end)
    return list(pairwise(cuts))


@dataclass(frozen=True, slots=True, eq=False)
class Instant:
    """One close: its bars, the books as they stood, what the strategy said and what the engine did."""

    market: Market
    bars: Rows  # BAR
    book: Rows  # BOOK_AT_CLOSE, beside bars
    signals: Rows  # SIGNAL, beside bars
    rows: JournalRows
    late: bool  # the bars came after the next had opened: nothing was decided on them


class Trader:
    """Features, signal and engine of one account: the same bytes from bars all at once, in chunks, or close by close.

    Args:
        market: its symbols, instruments and funding, and the closes from which they may be decided on; not its bars.
        settings: strategy, risk, execution and cost parameters.
        keep: journal tables to keep; the others come back empty.
        live: gates without input refuse.
        asked: a user's function, which then answers at each close; None = the default strategy.
        events: the folds of books and prints, if they began to listen before there was a market.
        model: judges what the default strategy wants; None = nobody does.
        remember: keep what is needed to decide everything once more; a user's function always needs that.
    """

    def __init__(
        self,
        market: Market,
        settings: Settings,
        keep: Collection[str] = tuple(TABLES),
        *,
        live: bool = False,
        asked: LiveStrategy | None = None,
        events: EventFeatures | None = None,
        model: Champion | None = None,
        remember: bool = False,
    ) -> None:
        self.market, self.model = market, model
        self.features = feature_set(len(market.symbols))
        self.signaller = Signaller(strategy_params(settings, live=live), market.starts)
        params = params_of(settings, market.tf_ns, live=live)
        self.engine = Engine(market.instruments, params, settings.simulation.initial_capital, market.funding, keep)
        self.past = Past(market)
        self._remembers = remember or asked is not None
        self._asked, self._events = asked, events
        self._reviewed = 0  # bars when the answers of a user's function were last compared
        self._vectors, self._signals = np.empty(0, self.features.dtype), np.empty(0, SIGNAL)

    def on_bars(self, bars: Rows, signals: Rows | None = None) -> Rows:
        """Bars of a history, of any number of whole instants: none is decided on before `market.starts`.

        Args:
            bars: BAR rows in order of (ts, sym), after those that came before.
            signals: what a user's function answers beside them; None = the default strategy answers.

        Returns:
            The SIGNAL rows as they were used; the next call may write over them.
        """
        decided = self._decided(bars)
        signals = decided if signals is None else signals
        if self._remembers:
            self.past.append(Part(bars, no_book(len(bars)), signals.copy(), late=False))
            self._reviewed = len(self.past)
        self.act(bars, signals)
        return signals

    def on_event(self, event: MarketEvent) -> None:
        """Something happened. A bar freezes its close, and is decided by `on_close` when its instant is complete.

        Raises:
            DataError: it happened to a symbol that was not named.
        """
        self.events.see(event)

    def on_close(self, bars: Rows, *, late: bool = False) -> Instant:
        """The bars of one close through features, signal and engine, beside books and prints as they stood then.

        Args:
            bars: BAR rows of one instant, in order of their symbols.
            late: nobody could have acted on them: no signal is.

        Raises:
            DataError: a user's function gave no answer, or one that is no signal rows; then nothing was done.
        """
        book = self._book_at(bars)
        signals = self._decided(bars).copy()
        if self._asked is not None:
            newest = Part(bars, book, signals, late=False)
            signals = self._asked(bars, self._vectors[: len(bars)], book, lambda: self.past.market(newest))
        if late:
            signals["side"] = np.nan
        # one step, after the strategy: an interruption leaves a run that is whole until the close before
        if self._remembers:
            self.past.append(Part(bars, book, signals, late))
        self.act(bars, signals)
        if self._asked is not None and len(self.past) >= 2 * self._reviewed:
            self.review()
        return Instant(self.market, bars, book, signals, self.engine.drain(), late)

    @property
    def vectors(self) -> Rows:
        """Feature records beside the bars seen last, in memory that the next bars write over."""
        return self._vectors

    def drain(self) -> JournalRows:
        """What the engine did since the last drain."""
        return self.engine.drain()

    def review(self) -> Verdict | None:
        """How the answers of a user's function stand to those over all bars; None = the default strategy answers."""
        if self._asked is None:
            return None
        self._reviewed = len(self.past)
        return self._asked.review(self.past.market(), self.past.signals, self.past.late)

    @property
    def events(self) -> EventFeatures:
        """The folds of books and prints; made at the first event, for the closes that come."""
        if self._events is None:
            closes = [last + self.market.tf_ns for last in self.last]
            self._events = EventFeatures(self.market.symbols, closes, self.market.tf_ns)
        return self._events

    @property
    def last(self) -> tuple[int, ...]:
        """Close of the last bar of each symbol, ns; 0 = it has none."""
        return tuple(int(ts) for ts in self.engine.positions["bar_ts"])

    def state(self) -> bytes:
        """Account, positions, features and signal, to go on from later; journal rows stay here, for `drain`.

        Folds of books and prints are not in it: a stream that was left begins anew. Nor is what a user's function is
        shown, which the bars of the history give back.
        """
        parts = (self._kind, self.engine.snapshot(), self.features.snapshot(), self.signaller.states.tobytes())
        return b"".join(len(part).to_bytes(8, "little") + part for part in parts)

    def resume(self, state: bytes, past: Past | None = None) -> None:
        """Go on from a `state`: the next bars are those that closed after its `last`.

        Args:
            state: what `state` told.
            past: what was decided until then, where it is to be remembered; None = nothing.

        Raises:
            DataError: it is of other symbols, another timeframe, or a version that remembers something else.
        """
        parts = taken_apart(state)
        if len(parts) != 4 or parts[0] != self._kind:
            names = ", ".join(self.market.symbols)
            raise DataError(
                f"state: expected one of {names} at {self.market.tf} by this version, saw another; "
                "begin without it, or name the symbols and the timeframe of the run that goes on"
            )
        _, engine, features, signal = parts
        self.features.restore(features)
        self.signaller.states[:] = np.frombuffer(signal, STATE)
        self.engine.restore(engine)
        self.past = Past(self.market) if past is None else past
        self._reviewed = len(self.past)

    @cached_property
    def _kind(self) -> bytes:
        """What a state must be of to be gone on from here."""
        layouts = [kind.descr for kind in (ACCOUNT, POSITION, ORDER_SLOT, STATE)]
        return hashlib.sha256(repr((self.market.symbols, self.market.tf, layouts)).encode()).digest()

    def act(self, bars: Rows, signals: Rows) -> None:
        """Let the engine see bars and answer the signals beside them; `exec.advice` only lets it see."""
        self.engine.run(bars, signals)

    def _decided(self, bars: Rows) -> Rows:
        """The default strategy's SIGNAL rows beside `bars`, in memory that the next call writes over."""
        if len(self._vectors) < len(bars):
            self._vectors, self._signals = np.empty(len(bars), self.features.dtype), np.empty(len(bars), SIGNAL)
        vectors = self.features.batch(bars, self._vectors[: len(bars)])
        signals = self.signaller.batch(bars, vectors, self._signals[: len(bars)])
        if self.model is not None:
            self.model.judge(bars, vectors, signals, self.engine.instruments, self.engine.params)
        return signals

    def _book_at(self, bars: Rows) -> Rows:
        """BOOK_AT_CLOSE rows beside the bars of one close; the signal is told of the spreads."""
        rows = np.zeros(len(bars), BOOK_AT_CLOSE)
        for i, bar in enumerate(bars):
            stood = self.events.at(int(bar["sym"]), int(bar["ts"]))
            rows[i] = (stood.book_age_ms, stood.print_age_ms, *stood.vector[0])
            self.signaller.see_book(int(bar["sym"]), float(rows[i]["spread_bps"]))
        return rows


def taken_apart(state: bytes) -> Sequence[bytes]:
    """The parts of a state; fewer where it was cut short."""
    parts, at = [], 0
    while at + 8 <= len(state):
        size = int.from_bytes(state[at : at + 8], "little")
        parts.append(state[at + 8 : at + 8 + size])
        at += 8 + size
    return parts if at == len(state) else []
