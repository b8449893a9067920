"""A service follows markets, tells readers of them, and keeps what somebody reads."""

import asyncio
import contextlib
import dataclasses
import json
import threading
import time

import pytest

from backtest.data.market import synthetic_market
from exec.live.service import Service
from exec.live.standing import Later
from ml.learning.artifact import parts_of
from tests.boxes import until
from tests.e2e.support import settings_of
from tests.ml.models import judging
from utils.errors import ConfigError
from utils.records.versions import Versions


class Past:
    """A recording that is at hand."""

    def __init__(self, market):
        self._market = market

    def tape(self):
        return self._market

    def close(self):
        pass


@pytest.fixture(scope="module")
def market():
    return synthetic_market(settings_of(), "BTCUSDT", "1m", 200)


def service_of(market, tmp_path):
    settings = settings_of(api__source="tape:BTCUSDT-1m.csv", market__timeframe="1m", meta__dir=str(tmp_path))
    return Service(settings, None, Past(market))


async def test_a_market_that_is_asked_for_is_told_to_readers(market, tmp_path):
    async with service_of(market, tmp_path) as service:
        assert ([], "ok") == (service.desk.markets(), service.health().status)
        standing = await service.signal("BTC/USDT", "1m")
        assert ("BTCUSDT", "1m") == await service.topic("BTCUSDT", "1m")
        assert (1, standing) == (service.hub.sent, await service.signal("BTC/USDT", "1m"))
        assert standing.json(time.time_ns()).startswith(b'{"symbol":"BTCUSDT","timeframe":"1m"')
        figures = {figure.name: figure.rows for figure in service.figures()}
        assert [(("BTCUSDT", "1m", "", "none"), 1.0)] == figures["scalper_market_model"]
        assert [((), 1)] == figures["scalper_stream_events"]


async def test_what_is_not_there_is_refused_and_not_followed(market, tmp_path):
    async with service_of(market, tmp_path) as service:
        with pytest.raises(ConfigError, match="expected BTCUSDT at 1m"):
            await service.signal("ETHUSDT", "1m")
        assert [] == service.desk.markets()
        await asyncio.sleep(0)


class Reader:
    """A client of the stream, without a socket."""

    def __init__(self):
        self.text, self.gone = b"", asyncio.Event()

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.text += message.get("body", b"")

    def events(self):
        """Name and data of each event that was heard."""
        blocks = [dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
                  for block in self.text.decode().split("\n\n") if block]  # fmt: skip
        return [(each["event"], json.loads(each["data"])) for each in blocks if "data" in each]

    def models(self):
        """The model of each signal that was heard."""
        return [data["model"] for name, data in self.events() if name == "signal"]


@contextlib.asynccontextmanager
async def reading(service, *topics):
    reader = Reader()
    task = asyncio.create_task(service.hub.serve(reader.receive, reader.send, topics or None))
    yield reader
    reader.gone.set()
    await task


async def test_another_model_is_told_to_readers_within_seconds(market, tmp_path):
    settings = settings_of(api__source="tape:BTCUSDT-1m.csv", meta__enabled=True, meta__dir=str(tmp_path / "models"))
    config = tmp_path / "config.yaml"
    config.write_text(f"meta: {{enabled: true, dir: {tmp_path / 'models'}}}\n")
    async with Service(settings, config, Past(market)) as service:
        topic = await service.topic("BTCUSDT", "1m")
        async with reading(service, topic) as reader:
            await until(lambda: reader.models() == [None])
            versions = Versions(tmp_path / "models")
            versions.make_current(versions.write(parts_of(judging(-50.0)), {"what": "another"}))
            await until(lambda: reader.models() == [None, versions.current()])
            assert versions.current() == service.watch.serving[0].name


async def test_a_market_that_is_read_is_followed_and_one_that_is_not_is_let_go(market, tmp_path):
    settings = settings_of(api__source="tape:BTCUSDT-1m.csv", api__idle_minutes=0.04, meta__dir=str(tmp_path))
    async with Service(settings, None, Past(market)) as service:
        topic = await service.topic("BTCUSDT", "1m")
        async with reading(service, topic) as reader:
            await asyncio.sleep(4.0)
            assert [topic] == [(one.symbol, one.tf) for one in service.desk.markets()]
        await until(lambda: service.desk.markets() == [])
        assert 1 == len(reader.models())


class Outage:
    """A desk, markets of which come to grief."""

    def __init__(self, desk):
        self._desk, self.causes = desk, {}

    def __getattr__(self, name):
        return getattr(self._desk, name)

    def standing(self, *topic):
        return None if topic in self.causes else self._desk.standing(*topic)

    async def ask(self, *topic):
        if topic in self.causes:
            raise Later(self.causes[topic], 1.0)
        return await self._desk.ask(*topic)

    def markets(self):
        return [
            dataclasses.replace(one, fresh=False, state="failed", reason=cause)
            if (cause := self.causes.get((one.symbol, one.tf)))
            else one
            for one in self._desk.markets()
        ]


STALE = ("stale", {"symbol": "BTCUSDT", "timeframe": "1m", "reason": "BTCUSDT 1m: nobody answers"})


async def test_readers_are_told_once_that_a_market_is_not_fresh_and_by_a_signal_that_it_is(market, tmp_path):
    async with service_of(market, tmp_path) as service:
        service.desk = desk = Outage(service.desk)
        topic = await service.topic("BTCUSDT", "1m")
        async with reading(service, topic) as named, reading(service) as every:
            await until(lambda: named.events() != [])
            desk.causes[topic] = "nobody answers"
            await until(lambda: STALE in every.events())
            await asyncio.sleep(1.5)  # the next look has nothing to add
            del desk.causes[topic]
            await until(lambda: len(every.events()) > 2)
        for reader in (named, every):
            assert ["signal", "stale", "signal"] == [name for name, _ in reader.events()]
            assert STALE == reader.events()[1]


async def test_whoever_comes_is_not_told_an_old_signal_but_why_there_is_none(market, tmp_path):
    async with service_of(market, tmp_path) as service:
        service.desk = desk = Outage(service.desk)
        topic = await service.topic("BTCUSDT", "1m")
        desk.causes[topic] = "nobody answers"
        async with reading(service) as every, reading(service, topic) as named:
            await until(lambda: named.events() != [] and every.events() != [])
            await asyncio.sleep(0.1)
            assert ([STALE], [STALE]) == (every.events(), named.events())


async def test_what_stands_is_as_of_now(market, tmp_path):
    async with service_of(market, tmp_path) as service:
        topic = await service.topic("BTCUSDT", "1m")
        standing = await service.signal(*topic)
        live = dataclasses.replace(standing, until=time.time_ns() + 10**18)  # time does not stand still at it
        service.desk._publish(live)
        published = json.loads(live.json(time.time_ns()))["as_of"]
        await asyncio.sleep(0.02)
        async with reading(service) as every:
            await until(lambda: every.events() != [])
            ((name, data),) = every.events()
        assert ("signal", True) == (name, data["as_of"] > published)


async def test_of_a_market_that_is_let_go_nothing_stands(market, tmp_path):
    settings = settings_of(api__source="tape:BTCUSDT-1m.csv", api__idle_minutes=0.001, meta__dir=str(tmp_path))
    async with Service(settings, None, Past(market)) as service:
        await service.topic("BTCUSDT", "1m")
        await until(lambda: service.desk.markets() == [])
        async with reading(service) as every:
            await until(lambda: every.text != b"")
        assert [] == every.events()


async def test_no_market_is_begun_before_there_is_machine_code(market, tmp_path):
    """Found on 2026-11-30: what compiles in a service stays there, 110 MiB of it (224 instead of 333)."""
    made = threading.Event()
    settings = settings_of(api__source="tape:BTCUSDT-1m.csv", api__timeout_s=0.2, meta__dir=str(tmp_path))
    async with Service(settings, None, Past(market), made.wait) as service:
        with pytest.raises(Later, match="ask again"):
            await service.signal("BTCUSDT", "1m")
        assert "starting" == service.desk.markets()[0].state
        made.set()
        await until(lambda: service.desk.markets()[0].fresh)
        assert "BTCUSDT" == (await service.signal("BTCUSDT", "1m")).advice.symbol
