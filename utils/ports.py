"""What the core asks of the world: where events come from, and where orders go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, runtime_checkable

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
class Broker(Protocol):
    """Takes orders, and answers events with what they did to them."""

    def on_event(self, event: Event) -> Decision:
        """The market moved: what was filled, cancelled, rejected, closed."""
        ...

    def apply(self, orders: Sequence[Order], cancels: Sequence[OrderId]) -> Decision:
        """Cancel, then send; the answer holds the orders as accepted, with the broker's ids, and the refusals."""
        ...
