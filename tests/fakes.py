"""Fakes that satisfy the ports: small, honest, in memory."""

from collections.abc import Iterator, Sequence

from utils.types import Decision, Event, Order, OrderId, TradeRecord


class ListFeed:
    """A feed of the events it is given."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = list(events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)


class ListJournal:
    """A journal that keeps what it is handed."""

    def __init__(self) -> None:
        self.trades: list[TradeRecord] = []

    def write(self, trades: Sequence[TradeRecord]) -> None:
        self.trades.extend(trades)


class FakeBroker:
    """A broker that accepts every order, fills none, and keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.orders: list[Order] = []
        self.cancels: list[OrderId] = []

    def on_event(self, event: Event) -> Decision:
        self.events.append(event)
        return Decision(self._now)

    def apply(self, orders: Sequence[Order], cancels: Sequence[OrderId]) -> Decision:
        self.orders.extend(orders)
        self.cancels.extend(cancels)
        return Decision(self._now, orders=tuple(orders), cancels=tuple(cancels))

    @property
    def _now(self) -> int:
        return self.events[-1].ts if self.events else 0
