import pytest

from ingest.box.faults.desk import Desk, Fault
from ingest.box.faults.line import Close, Cut, Line, Ping
from tests.boxes import MIDNIGHT_NS, scripted
from utils.rows import NS_PER_S

TOPIC = "publicTrade.BTCUSDT"


def line(*faults):
    """A connection with faults on it, and its exchange."""
    exchange, desk = scripted(), Desk(1)
    for fault in faults:
        desk.inject(fault, MIDNIGHT_NS)
    return Line(desk, exchange, "bybit", lambda _topic, text: text), exchange


def sent(*faults, messages=5):
    """What comes out of a connection of messages {"n":0}, {"n":1}, ..."""
    one, _ = line(*faults)
    return [[*one.through(TOPIC, f'{{"n":{i}}}')] for i in range(messages)]


def numbers(steps):
    return [step[5:-1] for each in steps for step in each]


def test_without_faults_every_message_comes_as_it_is():
    assert ["0", "1", "2", "3", "4"] == numbers(sent())


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (Fault("gap", after=1, count=2), "034"),
        (Fault("reorder", after=1, count=2), "02314"),
        (Fault("duplicate", after=1, count=2), "0111234"),
        (Fault("dead", after=2), "01"),
        (Fault("stall", after=2), "01"),
        (Fault("gap", match="orderbook"), "01234"),
    ],
)
def test_messages_are_lost_late_or_come_again(fault, seen):
    assert seen == "".join(numbers(sent(fault)))


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        (Fault("reset"), Cut(reset=True)),
        (Fault("close", code=1012), Close(1012)),
        (Fault("close", code=1006), Cut(reset=False)),
        (Fault("garbage", value="?"), "?"),
        (Fault("truncated"), '{"n'),
    ],
)
def test_something_else_takes_the_place_of_a_message(fault, step):
    assert [step] == sent(fault)[0]


def test_a_ping_comes_before_the_message_and_says_how_long_it_waits():
    assert [Ping(4.0), '{"n":0}'] == sent(Fault("server_ping", seconds=4.0))[0]


def test_a_stall_ends_with_its_time_or_a_new_subscription():
    for heal in (False, True):
        one, exchange = line(Fault("stall", seconds=2.0))
        assert [] == one.through(TOPIC, "a")
        if heal:
            one.subscribed(TOPIC)
        else:
            exchange.now += 2 * NS_PER_S
        assert ["b"] == one.through(TOPIC, "b")


def test_a_connection_whose_pongs_were_taken_answers_no_ping_but_goes_on_sending():
    one, _ = line(Fault("no_pong"))
    assert (False, False, ["a"]) == (one.pongs(TOPIC), one.pongs(TOPIC), one.through(TOPIC, "a"))
