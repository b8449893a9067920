"""Bybit's public stream for code that is not asynchronous."""

import subprocess
import sys

import pytest

from ingest import ws_bybit
from ingest.wire.streams import Stream
from ingest.ws_bybit import BybitClient, BybitFeed
from ingest.ws_manager import WSManager
from tests.boxes import box_in_thread, quick_box
from tests.places import ROOT
from utils.errors import ConfigError
from utils.settings.tree import IngestSettings
from utils.types import BookSnapshot

SETTINGS = IngestSettings(timeout_s=10.0)


@pytest.fixture(scope="module")
def box():
    with box_in_thread(symbols=("BTCUSDT",), preset="btc-like", history_hours=0.1) as box:
        box.truth("BTCUSDT")  # compiled before a test waits
        yield box


def test_a_client_reads_book_trades_and_klines(box):
    client = BybitClient(WSManager(endpoints=box.endpoints, settings=SETTINGS))
    try:
        client.ensure_orderbook("BTCUSDT")
        client.subscribe_trades("BTCUSDT")
        client.subscribe_klines("BTCUSDT", "1m")
        book = client.get_orderbook_snapshot("btcusdt")
        assert book["bids"][0][0] < book["asks"][0][0]
        assert isinstance(client.get_trades("BTCUSDT"), tuple)
        assert isinstance(client.get_klines("BTCUSDT", "1m"), tuple)
    finally:
        client.close()
    assert any("orderbook.50.BTCUSDT" in frame.text for frame in box.frames)


def test_a_book_nobody_ensured_is_refused(box):
    client = ws_bybit.get_client(box.endpoints, SETTINGS)
    try:
        with pytest.raises(ConfigError, match="subscribe first"):
            ws_bybit.get_orderbook_snapshot("BTCUSDT")
        ws_bybit.ensure_orderbook("BTCUSDT", timeout=5.0)
        assert "live" == ws_bybit.get_orderbook_snapshot("BTCUSDT")["state"]
    finally:
        client.close()


def test_a_program_that_ends_without_closing_leaves_no_thread_and_no_complaint(box):
    program = (
        "from ingest.ws_bybit import ensure_orderbook, get_orderbook_snapshot\n"
        "ensure_orderbook('BTCUSDT')\n"
        "print(get_orderbook_snapshot('BTCUSDT')['state'])\n"
    )
    environment = {"SCALPER__ENDPOINTS__BYBIT_WS": box.ws, "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=120,
        check=False,
    )
    assert (0, "live\n", "") == (done.returncode, done.stdout, done.stderr)


async def test_the_feed_is_the_live_feed_of_bybit():
    async with (
        quick_box(symbols=("BTCUSDT",)) as box,
        BybitFeed([Stream("book", "BTCUSDT")], endpoints=box.endpoints) as feed,
    ):
        assert ("bybit", BookSnapshot) == (feed.exchange, type(await anext(feed)))
