"""Records of streamed books: many of them find theirs by its topic, and are told of as such."""

from ingest.venues.bybit.protocol import BybitProtocol
from ingest.wire.streams import Stream
from tests.wire import MS, R0, T0, bybit_book, bybit_protocol


class Told:
    """A listener that keeps what it was told."""

    def __init__(self):
        self.found = []

    def see(self, event):
        self.found.append(event)

    def moved(self, symbol, ts, ts_recv, book):
        self.found.append((symbol, ts, ts_recv, book["top"]["bid_qty"][0]))


def test_topics_of_many_symbols_find_their_books():
    streams = [Stream("book", f"C{i}USDT") for i in range(40)]
    protocol = BybitProtocol(streams)
    protocol.connected(R0)
    for i in range(40):
        protocol.receive(bybit_book(i + 5, f"{i + 1} 1", "99 1", "snapshot", f"C{i}USDT"), R0)
    assert all(protocol.advance(bybit_book(i + 6, f"{i + 1} 7", symbol=f"C{i}USDT"), R0) for i in range(40))
    assert [((i + 1.0, 7.0),) for i in range(40)] == [protocol.book(f"C{i}USDT").bids for i in range(40)]


def test_a_topic_too_long_for_the_fast_door_is_served_by_receive():
    symbol = "C" * 70 + "USDT"
    protocol = BybitProtocol([Stream("book", symbol)])
    protocol.connected(R0)
    protocol.receive(bybit_book(5, "1 1", "2 1", "snapshot", symbol), R0)
    delta = bybit_book(6, "1 3", symbol=symbol)
    assert (False, 1) == (protocol.advance(delta, R0), len(protocol.receive(delta, R0)))


def test_a_listener_is_told_of_the_book_that_moved_and_when():
    streams = [Stream("book", f"C{i}USDT") for i in range(40)]
    protocol, told = BybitProtocol(streams), Told()
    protocol.connected(R0)
    for i in range(40):
        protocol.receive(bybit_book(5, "1 1", "99 1", "snapshot", f"C{i}USDT"), R0)
    order = [(i * 7) % 40 for i in range(80)]
    for step, i in enumerate(order):
        message = bybit_book(6 + step // 40, f"1 {step + 2}", symbol=f"C{i}USDT", ts=T0 + step)
        assert protocol.advance(message, R0 + step * MS, told)
    times = [((T0 + step) * MS, R0 + step * MS) for step in range(80)]
    assert [(f"C{i}USDT", *times[step], step + 2.0) for step, i in enumerate(order)] == told.found
    assert 81.0 == protocol.record(f"C{order[-1]}USDT")["top"]["bid_qty"][0]


def test_of_a_book_in_several_depths_a_listener_is_told_of_the_one_that_makes_events():
    protocol, told = bybit_protocol(anything=True), Told()
    for depth in (50, 200):
        protocol.receive(bybit_book(5, "1 1", "99 1", "snapshot", depth=depth), R0)
    for depth, qty in ((200, 2), (50, 3)):
        assert protocol.advance(bybit_book(6, f"1 {qty}", depth=depth), R0, told)
    assert [("BTCUSDT", T0 * MS, R0, 3.0)] == told.found


def test_what_is_for_receive_is_not_told():
    protocol, told = bybit_protocol(), Told()
    protocol.receive(bybit_book(5, "1 1", "99 1", "snapshot"), R0)
    assert [False, False] == [protocol.advance(bybit_book(u, "1 3"), R0, told) for u in (5, 8)]
    assert [] == told.found
