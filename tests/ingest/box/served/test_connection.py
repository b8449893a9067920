import asyncio
from types import SimpleNamespace

from aiohttp import WSCloseCode

from ingest.box.faults.desk import Desk, Fault
from ingest.box.served.connection import LONGEST_QUEUE, Connection
from tests.boxes import MIDNIGHT_NS, scripted

TOPIC = "orderbook.1.BTCUSDT"


class Socket:
    """What a connection writes to; keeps what it was given."""

    closed = False

    def __init__(self):
        self.sent = []

    async def send_str(self, text):
        self.sent.append(text)

    async def ping(self):
        self.sent.append("ping")

    async def pong(self, data):
        self.sent.append(f"pong {data}")

    async def close(self, *, code):
        self.sent.append(code)
        self.closed = True


class Talk:
    """A venue's half of a conversation that wraps nothing."""

    venue = "bybit"

    def wrapped(self, _topic, text):
        return text

    def topics(self):
        return TOPIC


def connected(*faults, clock=""):
    """A connection, and what it writes to."""
    exchange, desk, socket = scripted(), Desk(1), Socket()
    for fault in faults:
        desk.inject(fault, MIDNIGHT_NS)
    request = SimpleNamespace(query={"clock": clock}, transport=None)
    connection = Connection("box-1", "bybit", socket, request)
    connection.arm(desk, exchange, Talk())
    return connection, socket


async def written(connection, socket):
    """What has been written when nothing more waits."""
    work = asyncio.create_task(connection.write())
    await asyncio.wait([work], timeout=0.05)
    work.cancel()
    return socket.sent


async def test_frames_are_sent_in_order_and_a_late_answer_after_the_next_message():
    connection, socket = connected()
    connection.say("late", late=True)
    connection.say("answer")
    connection.hear(TOPIC, "message", 5)
    assert 3 == connection.lag
    assert ["answer", "message", "late"] == await written(connection, socket)


async def test_the_tapes_clock_comes_before_each_message_and_no_answer():
    connection, socket = connected(clock="tape")
    connection.say("answer")
    connection.hear(TOPIC, "message", 5)
    assert ["answer", '{"clock":5}', "message"] == await written(connection, socket)


async def test_a_reader_that_is_too_slow_is_cut_off():
    connection, socket = connected()
    for _ in range(LONGEST_QUEUE + 2):
        connection.say("x")
    assert [WSCloseCode.POLICY_VIOLATION] == await written(connection, socket)


async def test_a_ping_is_answered_until_a_fault_takes_the_pongs():
    connection, socket = connected(Fault("no_pong", after=1))
    for data in ("a", "b", "c"):
        await connection.ping(data)
    assert ["pong a"] == socket.sent


async def test_a_pong_that_is_waited_for_in_vain_is_overdue():
    connection, socket = connected(Fault("server_ping", seconds=1e-9))
    connection.hear(TOPIC, "message", 5)
    assert (False, ["ping", "message"], True) == (
        connection.overdue,
        await written(connection, socket),
        connection.overdue,
    )
    connection.pong()
    assert not connection.overdue


async def test_a_dead_connection_sends_nothing():
    connection, socket = connected(Fault("dead"))
    connection.hear(TOPIC, "message", 5)
    connection.say("answer")
    assert (True, []) == (connection.dead, await written(connection, socket))
