"""One clock for all markets, and moments at which topics are due."""

from ingest.box.floor.exchange import LATENCY_NS
from tests.boxes import MIDNIGHT_NS, advance, deed, scripted
from utils.rows import NS_PER_MS


class Listener:
    """Notes what it is told."""

    def __init__(self, *periods_ms: int) -> None:
        self.periods = {period * NS_PER_MS for period in periods_ms}
        self.log: list[tuple[str, float]] = []

    def cadences(self) -> set[int]:
        return self.periods

    def arrival(self, one) -> None:
        self.log.append((one.arrival.symbol, (one.arrival.at - MIDNIGHT_NS) / NS_PER_MS))

    def moment(self, now_ns: int, *, all_due: bool = False) -> None:
        self.log.append(("all" if all_due else "due", (now_ns - MIDNIGHT_NS) / NS_PER_MS))


def test_arrivals_of_all_symbols_come_in_order_of_time_before_the_moment_they_belong_to():
    first, second = deed(3, (1, 100, 2)), deed(7, (1, 100, 3))
    other = deed(5, (1, 100, 4), symbol="ETHUSDT")
    exchange = scripted(first, second, other, symbols=("BTCUSDT", "ETHUSDT"))
    for symbol in exchange.symbols:
        exchange.market(symbol)
    listener = Listener(20, 50)
    exchange.listeners.append(listener)
    advance(exchange, 60)
    assert [
        ("BTCUSDT", 3.0),
        ("ETHUSDT", 5.0),
        ("BTCUSDT", 7.0),
        ("due", 20.0),
        ("due", 40.0),
        ("due", 50.0),
        ("due", 60.0),
    ] == listener.log


def test_a_flush_sends_everything_at_once():
    exchange = scripted()
    listener = Listener(20)
    exchange.listeners.append(listener)
    advance(exchange, 5)
    exchange.flush()
    assert [("all", 5.0)] == listener.log


def test_a_market_that_is_made_late_has_missed_nothing():
    exchange = scripted(deed(10, (1, 100, 9)))
    advance(exchange, 20)
    assert {100: 9} == exchange.market("BTCUSDT").bids.top(1)


def test_without_listeners_time_goes_on_in_long_steps():
    exchange = scripted()
    assert exchange.next_moment() is None
    advance(exchange, 5_000)
    assert MIDNIGHT_NS + 5_000 * NS_PER_MS == exchange.now


def test_a_message_of_the_mock_market_is_received_a_little_later():
    assert MIDNIGHT_NS + LATENCY_NS == scripted().received(MIDNIGHT_NS)
