"""Records of streamed books: many of them find theirs by its topic."""

from ingest.venues.bybit.protocol import BybitProtocol
from ingest.wire.streams import Stream
from tests.wire import R0, bybit_book


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
