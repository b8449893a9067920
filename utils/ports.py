"""What the core asks of the world: where events come from, and where orders go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from utils.types import Decision, Event, Order, OrderId


@runtime_checkable
class Feed(Protocol):
    """Yields market events in order of time: market events first, then funding, bars last, symbols by name."""

    def __iter__(self) -> Iterator[Event]:
        """The events, from the beginning."""
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
