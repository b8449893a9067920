"""A service follows markets, tells readers of them, and keeps what somebody reads."""

import asyncio
import contextlib
import json
import time

import pytest

from backtest.data.market import synthetic_market
from exec.live.service import Service
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
        standing = await service.signal("BTC/USDT", "")
        assert ("BTCUSDT", "1m") == await service.topic("BTCUSDT", "1m")
        assert (1, standing) == (service.hub.sent, await service.signal("BTC/USDT", ""))
        assert standing.json(time.time_ns()).startswith(b'{"symbol":"BTCUSDT","timeframe":"1m"')
        figures = {figure.name: figure.rows for figure in service.figures()}
        assert [(("BTCUSDT", "1m", "", "none"), 1.0)] == figures["scalper_market_model"]
        assert [((), 1)] == figures["scalper_stream_events"]


async def test_what_is_not_there_is_refused_and_not_followed(market, tmp_path):
    async with service_of(market, tmp_path) as service:
        with pytest.raises(ConfigError, match="expected BTCUSDT at 1m"):
            await service.signal("ETHUSDT", "")
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

    def models(self):
        """The model of each signal that was heard."""
        lines = [line for line in self.text.decode().splitlines() if line.startswith("data: ")]
        return [json.loads(line.removeprefix("data: "))["model"] for line in lines]


@contextlib.asynccontextmanager
async def reading(service, *topics):
    reader = Reader()
    task = asyncio.create_task(service.hub.serve(reader.receive, reader.send, topics))
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
