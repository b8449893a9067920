"""Server-sent events of a hub, read over real connections: ids, heartbeats, what was missed, and how streams end."""

import asyncio
import contextlib
import json
import logging
import socket
import time

import httpx
import pytest

from tests.boxes import until
from tests.served import served
from utils.http.events import Hub

A, B = ("BTCUSDT", "5m"), ("ETHUSDT", "1m")


class Events:
    """What a client of server-sent events makes of a stream: (id, name, data) each, comments, the last id."""

    def __init__(self):
        self.heard, self.comments, self.last, self.retry, self.ended = [], [], "", None, False
        self._rest = ""

    def take(self, text):
        *blocks, self._rest = (self._rest + text).split("\n\n")
        for block in blocks:
            fields = {}
            for line in block.split("\n"):
                name, _, value = line.partition(": ")
                if name == ":" or line.startswith(":"):
                    self.comments.append(value or line)
                else:
                    fields[name] = value
            self.retry = fields.get("retry", self.retry)
            self.last = fields.get("id", self.last)
            if "data" in fields:
                self.heard.append((fields.get("event"), fields["data"]))

    async def follow(self, url, **headers):
        async with httpx.AsyncClient(timeout=30.0) as client, client.stream("GET", url, headers=headers) as response:
            assert (200, "text/event-stream; charset=utf-8") == (
                response.status_code,
                response.headers["content-type"],
            )
            async for text in response.aiter_text():
                self.take(text)
        self.ended = True


class World:
    """A hub on a server; `/` reads everything, `/a` and `/b` a topic."""

    def __init__(self, hub=None):
        self.hub, self.url, self.tasks, self.now = hub, "", [], {}
        self.asked = self.standing

    def stands(self, topics):
        return self.asked(topics)

    def standing(self, topics):
        return [told for topic, told in self.now.items() if topics is None or topic in topics]

    async def __call__(self, scope, receive, send):
        topics = {"/a": [A], "/b": [B]}.get(scope["path"])
        last = dict(scope["headers"]).get(b"last-event-id", b"").decode()
        await self.hub.serve(receive, send, topics, last)

    def read(self, path="/", **headers):
        events = Events()
        self.tasks.append(asyncio.create_task(events.follow(self.url + path, **headers)))
        return events

    async def left(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await until(lambda: len(self.hub) == 0)


@pytest.fixture
async def world_of():
    async with contextlib.AsyncExitStack() as stack:

        async def begin(**given):
            world = World()
            hub = Hub("e1", world.stands, **({"kept": 100, "heartbeat_s": 15.0, "most": 10} | given))
            world.hub = hub
            world.url = await stack.enter_async_context(served(world, lifespan="off"))
            await stack.enter_async_context(hub)
            stack.push_async_callback(world.left)
            return world

        yield begin


async def there(world, readers):
    await until(lambda: len(world.hub) == readers)


async def test_readers_get_each_event_of_their_topics_in_order(world_of):
    world = await world_of()
    every, one = world.read(), world.read("/a")
    await there(world, 2)
    for number in range(200):
        world.hub.publish(A if number % 2 else B, b"%d" % number)
        await asyncio.sleep(0)
    await until(lambda: len(every.heard) == 200 and len(one.heard) == 100)
    assert [("signal", str(number)) for number in range(200)] == every.heard
    assert [("signal", str(number)) for number in range(1, 200, 2)] == one.heard
    assert ("e1-200", "e1-200", "2000") == (every.last, one.last, every.retry)


async def test_who_comes_first_hears_what_stands_then_and_nothing_older(world_of):
    world = await world_of()
    for topic, data in ((A, b"1"), (B, b"2"), (A, b"3")):
        world.hub.publish(topic, data)
    world.now = {A: ("signal", b"3 now"), B: ("stale", b"why")}
    every, one = world.read(), world.read("/b")
    await until(lambda: len(every.heard) == 2 and len(one.heard) == 1)
    assert ([("signal", "3 now"), ("stale", "why")], [("stale", "why")]) == (every.heard, one.heard)
    assert ("e1-3", "e1-3") == (every.last, one.last)


async def test_what_is_published_while_it_is_asked_what_stands_is_not_sent_twice(world_of):
    world = await world_of()

    def stands(_):
        world.hub.publish(A, b"why", "stale")
        return [("stale", b"why")]

    world.asked = stands
    one = world.read()
    await until(lambda: one.heard != [])
    world.hub.publish(A, b"1")
    await until(lambda: len(one.heard) > 1)
    assert ([("stale", "why"), ("signal", "1")], "e1-2") == (one.heard, one.last)


async def test_who_comes_back_hears_what_was_missed(world_of):
    world = await world_of()
    for number in range(1, 11):
        world.hub.publish(A if number % 2 else B, b"%d" % number)
    back = world.read("/a", **{"last-event-id": "e1-4"})
    await until(lambda: len(back.heard) == 3)
    world.hub.publish(A, b"11")
    await until(lambda: len(back.heard) == 4)
    assert [("signal", each) for each in ("5", "7", "9", "11")] == back.heard


async def test_who_missed_nothing_hears_nothing_twice(world_of):
    world = await world_of()
    world.hub.publish(A, b"1")
    back = world.read("/", **{"last-event-id": "e1-1"})
    await until(lambda: back.retry is not None)
    world.hub.publish(A, b"2")
    await until(lambda: back.heard != [])
    assert [("signal", "2")] == back.heard


@pytest.mark.parametrize(
    "last", ["e0-5", "e1-4", "e1-21", "e1--1", "e1-", "-", "e1-5x", "e1-" + "9" * 5_000, "e1-٣", "nonsense"]
)
async def test_what_is_not_known_any_more_is_said_before_what_stands(world_of, last):
    world = await world_of(kept=10)
    for number in range(1, 21):
        world.hub.publish(A if number % 2 else B, b"%d" % number)
    world.now = {B: ("signal", b"20 now"), A: ("signal", b"19 now")}
    back = world.read("/", **{"last-event-id": last.encode()})
    await until(lambda: len(back.heard) == 3)
    assert ["reset", "signal", "signal"] == [name for name, _ in back.heard]
    assert [("signal", "20 now"), ("signal", "19 now")] == back.heard[1:]


async def test_the_oldest_event_that_is_kept_can_be_asked_for(world_of):
    world = await world_of(kept=10)
    for number in range(1, 21):
        world.hub.publish(A, b"%d" % number)
    back = world.read("/", **{"last-event-id": "e1-10"})
    await until(lambda: len(back.heard) == 10)
    assert [("signal", str(number)) for number in range(11, 21)] == back.heard


async def test_a_quiet_stream_gives_signs_of_life(world_of):
    world = await world_of(heartbeat_s=0.05)
    quiet = world.read()
    await until(lambda: len(quiet.comments) >= 3)
    assert ({"alive"}, []) == (set(quiet.comments), quiet.heard)


async def test_a_reader_who_leaves_makes_place_at_once(world_of):
    world = await world_of(most=1)
    world.read()
    await there(world, 1)
    assert world.hub.full
    await world.left()
    assert not world.hub.full


async def test_of_many_who_come_at_once_as_many_as_may_be_are_let_in(world_of):
    world = await world_of(most=3)
    async with httpx.AsyncClient(base_url=world.url) as client, contextlib.AsyncExitStack() as opened:
        asked = [opened.enter_async_context(client.stream("GET", "/a")) for _ in range(12)]
        answers = await asyncio.gather(*asked)
        refused = [each for each in answers if each.status_code != 200]
        assert (3, 9, {503}) == (len(world.hub), len(refused), {each.status_code for each in refused})
        problem = json.loads(await refused[0].aread())["error"]
    assert ("too_many_streams", "5") == (problem["kind"], refused[0].headers["retry-after"])
    assert "3 places are taken (api.max_streams)" in problem["message"]


def greedy(url, asks=1):
    """A client that asks and then reads nothing, with hardly a buffer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    host, port = url.removeprefix("http://").split(":")
    client.connect((host, int(port)))
    client.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n" * asks)
    return client


async def test_a_reader_who_takes_nothing_is_cut_off_and_holds_nobody_up(world_of):
    world = await world_of(kept=50, heartbeat_s=0.3)
    with greedy(world.url):
        quick = world.read()
        await there(world, 2)
        data = b"x" * 20_000
        for _ in range(300):
            world.hub.publish(A, data)
            await asyncio.sleep(0.001)
        await there(world, 1)
        await until(lambda: len(quick.heard) == 300)


async def test_streams_end_when_the_service_does(world_of):
    world = await world_of()
    readers = [world.read() for _ in range(5)]
    await there(world, 5)
    world.hub.publish(A, b"last")
    world.hub.close()
    await asyncio.gather(*world.tasks)
    assert {True} == {each.ended for each in readers}
    assert {(("signal", "last"),)} == {tuple(each.heard) for each in readers}
    assert world.hub.full


async def test_a_server_ends_at_once_though_a_reader_takes_nothing():
    hub = Hub("e1", lambda _: [], kept=1_000, heartbeat_s=15.0, most=10)
    async with hub, served(World(hub), lifespan="off") as url:
        with greedy(url):
            await until(lambda: len(hub) == 1)
            for _ in range(200):
                hub.publish(A, b"x" * 50_000)
                await asyncio.sleep(0.001)
            began = time.monotonic()
            hub.close()
            await until(lambda: len(hub) == 0)
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("way", ["it is cut off", "it leaves", "the service ends"])
async def test_requests_behind_a_stream_are_let_go_with_it_and_nothing_is_said_of_a_mistake(world_of, way, caplog):
    world = await world_of(kept=1_000, heartbeat_s=0.3)
    behind = greedy(world.url, asks=4)
    await there(world, 1)
    for _ in range(100):
        world.hub.publish(A, b"x" * 50_000)
        await asyncio.sleep(0.001)
    if way == "it leaves":
        behind.close()
    elif way == "the service ends":
        world.hub.close()
    await there(world, 0)
    await asyncio.sleep(0.05)
    behind.close()
    assert [] == [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_service_ends_while_a_reader_is_being_cut_off():
    """Whoever takes nothing holds up the end of nobody, at no moment."""
    ended = []

    async def never():
        await asyncio.Event().wait()

    async def stuck(message):
        if message["type"] == "http.response.body":
            await never()

    async def quick(message):
        if message.get("more_body") is False or message == {"type": "http.response.body", "body": b""}:
            ended.append(message)

    hub = Hub("e1", lambda _: [], kept=10, heartbeat_s=0.05, most=10)
    async with hub:
        tasks = [asyncio.create_task(hub.serve(never, send, None)) for send in (stuck, quick)]
        await asyncio.sleep(0.2)  # it waits for the end of a line that nobody cuts
        hub.close()
        await asyncio.wait(tasks, timeout=3.0)
    assert (1, {True}) == (len(ended), {task.done() for task in tasks})
