"""A service on a recording: another model is told to readers, and what is read is not let go."""

import asyncio
import contextlib
import json

import pytest

from exec.live.service import Service
from ml.learning.artifact import parts_of
from tests.boxes import until
from tests.e2e.support import frame_of, write
from tests.exec.live.desks import ByRest, settings_at
from tests.ml.models import judging
from utils.errors import ConfigError
from utils.records.versions import Versions


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


@pytest.fixture
async def service_of(tmp_path):
    """A service on a file of candles, with these settings of the API."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(**api):
            tape = write(frame_of(300), tmp_path / "MOCKUSDT-1m.csv")
            settings = settings_at(None, api={"source": f"tape:{tape}"} | api)
            meta = settings.meta.model_copy(update={"enabled": True, "dir": tmp_path / "models"})
            settings = settings.model_copy(update={"meta": meta})
            config = tmp_path / "config.yaml"
            config.write_text(f"meta: {{enabled: true, dir: {tmp_path / 'models'}}}\n")
            return await stack.enter_async_context(Service(settings, config, ByRest(settings)))

        yield begin


@contextlib.asynccontextmanager
async def reading(service, *topics):
    reader = Reader()
    task = asyncio.create_task(service.hub.serve(reader.receive, reader.send, topics))
    yield reader
    reader.gone.set()
    await task


async def test_another_model_is_told_to_readers_within_seconds(service_of, tmp_path):
    service = await service_of()
    topic = await service.topic("MOCK/USDT", "1m")
    async with reading(service, topic) as reader:
        await until(lambda: reader.models() == [None])
        versions = Versions(tmp_path / "models")
        versions.make_current(versions.write(parts_of(judging(-50.0)), {"what": "another"}))
        await until(lambda: reader.models() == [None, versions.current()])
        assert versions.current() == service.watch.serving[0].name


async def test_a_market_that_is_read_is_followed_and_one_that_is_not_is_let_go(service_of):
    service = await service_of(idle_minutes=0.04)
    topic = await service.topic("MOCKUSDT", "1m")
    async with reading(service, topic) as reader:
        await asyncio.sleep(4.0)
        assert [topic] == [(one.symbol, one.tf) for one in service.desk.markets()]
    await until(lambda: service.desk.markets() == [])
    assert 1 == len(reader.models())


async def test_what_there_is_not_is_refused_and_health_and_figures_tell_the_rest(service_of):
    service = await service_of()
    with pytest.raises(ConfigError, match="MOCKUSDT at 1m"):
        await service.topic("ETHUSDT", "1m")
    await service.signal("MOCKUSDT", "1m")
    assert ("ok", 1) == (service.health().status, len(service.health().markets))
    found = {one.name: one.rows for one in service.figures()}
    ((labels, one),) = found["scalper_market_model"]
    assert (("MOCKUSDT", "1m", ""), 1.0, True) == (labels[:3], one, bool(labels[3]))
    assert [((), 0)] == found["scalper_stream_readers"]
    assert [((), 1)] == found["scalper_stream_events"]
