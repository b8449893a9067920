import asyncio
import math

from ingest.box.floor.pace import Pace
from tests.boxes import MIDNIGHT_NS, scripted
from utils.rows import NS_PER_MS, NS_PER_S


class Ticking:
    """A listener that wants to be looked after every 100 ms."""

    def __init__(self):
        self.moments = 0

    def cadences(self):
        return {100 * NS_PER_MS}

    def arrival(self, deed):
        pass

    def moment(self, _now_ns, **_more):
        self.moments += 1


def paced(speed, *, waits=False, lag=0, ended=False):
    exchange = scripted()
    return exchange, Pace(exchange, speed, waits=waits, lag=lambda: lag, ended=lambda: ended)


async def passed(exchange, pace, seconds=0.2):
    """Exchange seconds that pass in so much of the world's time."""
    pace.start()
    work = asyncio.create_task(pace.run())
    await asyncio.sleep(seconds)
    work.cancel()
    return (exchange.now - MIDNIGHT_NS) / NS_PER_S


async def test_time_runs_at_the_speed_asked_for():
    exchange, pace = paced(100.0)
    assert 10.0 < await passed(exchange, pace) < 200.0


async def test_frozen_time_stands_still_and_goes_on_from_there():
    exchange, pace = paced(100.0)
    pace.start()
    pace.freeze()
    stood = exchange.now
    assert (stood - MIDNIGHT_NS) / NS_PER_S == await passed(exchange, pace)
    pace.resume()
    assert stood < MIDNIGHT_NS + NS_PER_S * await passed(exchange, pace)


async def test_a_tape_waits_for_its_first_listener():
    exchange, pace = paced(100.0, waits=True)
    assert 0.0 == await passed(exchange, pace)
    exchange.listeners.append(Ticking())
    assert await passed(exchange, pace) > 0.0


async def test_at_full_speed_time_goes_as_fast_as_it_is_read():
    exchange, pace = paced(math.inf)
    assert 0.0 == await passed(exchange, pace)  # nobody listens
    exchange.listeners.append(ticking := Ticking())
    assert await passed(exchange, pace) > 1.0
    assert ticking.moments > 10
    for kept_back in ({"lag": 1000}, {"ended": True}):
        exchange, pace = paced(math.inf, **kept_back)
        exchange.listeners.append(Ticking())
        assert 0.0 == await passed(exchange, pace)
