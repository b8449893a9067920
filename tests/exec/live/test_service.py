"""A service follows markets, tells readers of them, and keeps what somebody reads."""

import asyncio
import time

import pytest

from backtest.data.market import synthetic_market
from exec.live.service import Service
from tests.e2e.support import settings_of
from utils.errors import ConfigError


class Past:
    """A recording that is at hand."""

    def __init__(self, market):
        self._market = market

    def tape(self):
        return self._market


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
