"""Markets are followed from their first request on: by streams, by REST, from a tape, or not at all, with the cause."""

import asyncio

import pytest

from exec.live.desk import Desk, Later
from tests.boxes import quick_box, until
from tests.exec.live.desks import Models, by_rest, desk_at, only, settings_at
from utils.errors import ConfigError, DataError


async def test_a_market_is_followed_from_its_first_request_on():
    async with quick_box(symbols=("BTCUSDT",)) as box, desk_at(box) as desk:
        assert ([], None) == (desk.markets(), desk.standing("BTC/USDT:USDT", "1m"))
        standing = await desk.ask("BTC/USDT:USDT", "1m")
        assert standing.ts == box.candles("BTCUSDT", "1m")[-2].open_ms * 10**6 + 60 * 10**9
        await until(lambda: only(desk).state == "streaming")
        assert standing is desk.standing("BTC/USDT:USDT", "1m")
        await until(lambda: only(desk).book_s is not None)
