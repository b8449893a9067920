"""Who asks in the benchmark of the API understands what it is answered, however it is cut; its bars are its bars."""

import pytest

from benchmarks.http import Asker, Reader, broken, request
from utils.errors import DataUnavailable

ANSWER = b'HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-type: application/json\r\n\r\n{"a":1}'
STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nretry: 2000\nid: ab-0\n\n"
    b'id: ab-1\nevent: signal\ndata: {"x": 1}\n\n: alive\n\nid: ab-2\nevent: signal\ndata: {}\n\n'
)


class Line:
    """A transport that keeps what is written to it."""

    def __init__(self):
        self.written, self.closed = [], False

    def write(self, text):
        self.written.append(text)

    def close(self):
        self.closed = True


@pytest.mark.parametrize("piece", [1, 7, len(ANSWER)])
async def test_a_client_asks_again_when_it_was_answered_until_it_is_enough(piece):
    took, line = [], Line()
    asker = Asker(request("/x"), lambda seconds: took.append(seconds) or len(took) < 3)
    asker.connection_made(line)
    for _ in range(3):
        for at in range(0, len(ANSWER), piece):
            asker.data_received(ANSWER[at : at + piece])
    assert (None, 3, 3, True, b'{"a":1}') == (await asker.done, len(took), len(line.written), line.closed, asker.body)


@pytest.mark.parametrize("text", [b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}", None])
async def test_another_status_and_a_lost_line_end_the_measurement(text):
    asker = Asker(request("/x"), lambda _: True)
    asker.connection_made(Line())
    if text is None:
        asker.connection_lost(None)
    else:
        asker.data_received(text)
    with pytest.raises(DataUnavailable, match="expected"):
        await asker.done


@pytest.mark.parametrize("piece", [1, 10, len(STREAM)])
def test_a_reader_counts_events_and_nothing_else(piece):
    came = []
    reader = Reader(came)
    reader.connection_made(Line())
    for at in range(0, len(STREAM), piece):
        reader.data_received(STREAM[at : at + piece])
    assert ([1, 2], False) == ([number for number, _ in came], reader.lost)
    reader.connection_lost(None)
    assert reader.lost


def test_what_does_not_hold_is_named():
    good = {
        "signal": {"over_sockets": 0.9, "without_sockets": 1.2},
        "training": {"p99_s": 0.05, "whole": True},
        "readers": {"most_mb": 299.0, "lost": 0, "sent": 9_000, "received": 9_000, "events": 9},
    }
    assert [] == broken(good, 10.0)
    bad = {
        "signal": {"over_sockets": 0.89, "without_sockets": 1.2},
        "training": {"p99_s": 0.051, "whole": False},
        "readers": {"most_mb": 300.0, "lost": 0, "sent": 9_000, "received": 8_999, "events": 3},
    }
    assert 6 == len(broken(bad, 10.0))
