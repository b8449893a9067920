"""What the core asks of the world: where events come from, who hears them, where orders go, who keeps what was done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from utils.records.moment import Moment
from utils.rows import Rows
from utils.types import Decision, Event, MarketEvent, Order, OrderId


@runtime_checkable
class Feed(Protocol):
    """Brings market events in the order in which they were heard, and ends when no more can come.

    Whoever reads it waits where nothing has come yet: `async for event in feed`. A stream brings what comes from now
    on, a recording begins anew with each reading. What cannot be repaired ends the reading with an error.
    """

    def __aiter__(self) -> AsyncIterator[MarketEvent]:
        """The events."""
        ...


@runtime_checkable
class Listener(Protocol):
    """Is told what a live feed hears, at hearing and in that order: a changed book as its record, all else as nouns."""

    def see(self, event: MarketEvent) -> None:
        """Something happened that is no delta of a book: a bar, a trade, a book that begins anew or is invalid ..."""
        ...

    def moved(self, symbol: str, ts: int, ts_recv: int, book: Rows) -> None:
        """A delta changed the book of a symbol: its exchange time and when it was heard, ns, and the book it left.

        `book` is an array of one BOOK record (`utils.market.book`). It is the feed's own: it is read at once, and
        neither kept nor written to.
        """
        ...


@runtime_checkable
class Broker(Protocol):
    """Takes orders, and answers events with what they did to them."""

    def on_event(self, event: Event) -> Decision:
        """The market moved: what was filled, cancelled, rejected, closed."""
        ...

    def apply(self, orders: Sequence[Order], cancels: Sequence[OrderId]) -> Decision:
        """Cancel, then send; the answer holds the orders as accepted, with the broker's ids, and the refusals."""
        ...


@runtime_checkable
class Journal(Protocol):
    """Keeps what a run decides and does."""

    def commit(self, moment: Moment) -> int:
        """Keep one moment of the run; its number, from 1 on. Only then may anybody act upon it."""
        ...

    def write(self, table: str, text: str) -> None:
        """A whole table of the finished run, as CSV, in place of what its moments say."""
        ...

    def finish(self, run: Mapping[str, Any]) -> Mapping[str, str]:
        """The run is over: its log files and its run.json stand in their place, and where each is."""
        ...
