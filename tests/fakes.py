"""Fakes that satisfy the ports: small, honest, in memory."""

from collections.abc import AsyncIterator, Sequence

from utils.types import Decision, Event, MarketEvent, Order, OrderId, TradeRecord


class ListFeed:
    """A feed of the events it is given."""

    def __init__(self, events: Sequence[MarketEvent]) -> None:
        self.events = list(events)

    async def __aiter__(self) -> AsyncIterator[MarketEvent]:
        for event in self.events:
            yield event


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
